/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rdma-fixture.h - a controller end on the fake fabric with a memory behind it,
 * and a host end that writes patterns there and reads them back
 *
 * Write and read commands carry their place in CDW10 and their length in CDW12,
 * both in bytes. fake-target.c answers Connect.
 */
#ifndef LEAP_TESTS_RDMA_FIXTURE_H
#define LEAP_TESTS_RDMA_FIXTURE_H

#include "unit.h"

#include "fake-target.h"
#include "fake-verbs.h"

#include <leapio/dmabuf.h>
#include <leapio/nvmf.h>
#include <leapio/qp.h>

#include "core/io/pollgroup.h"
#include "transport/rdma/group.h"
#include "transport/rdma/rdma.h"

#define RDMA_NQN	"nqn.2014-08.org.example:disk"
#define RDMA_DISK	(2u << 20)
#define RDMA_DEPTH	17u
#define RDMA_SLOT	(RDMA_DISK / RDMA_DEPTH)

struct rdma_fixture {
	struct leap_target target;	/* fake; first */
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg;	/* of the controller ends' home */
	struct leap_pollgroup *io;	/* they move there, or NULL */
	char url[128];
	uint8_t *disk;
	/* Completions wait for up to this many polls; 0 = at once. */
	unsigned int delay;
	struct leap_cmd *delayed[256];
	unsigned int due[256];
	unsigned int nr_delayed;
	unsigned int executed;
	int stopped;
};

/* Shared receives of listeners made from now on; 0 = none are shared. */
extern uint32_t rdma_srq;

struct rdma_run;

struct rdma_io {
	struct leap_req req;	/* first */
	struct rdma_run *run;
	struct leap_piece pieces[9];
	uint8_t *data;
	uint32_t bytes, at;
	unsigned int turn;
	uint8_t fill;
	int busy;
};

struct rdma_run {
	struct rdma_fixture *f;
	struct leap_pollgroup *pg;
	struct leap_qp *qp;
	struct rdma_io ios[RDMA_DEPTH - 1];
	struct leap_dmabuf *buf;	/* payload lies in it, or NULL */
	unsigned int left, done, failed, connected, lost, closed;
	leap_status_t status;
	int sys_errno;
	uint32_t max;
	int stop;
	int may_fail;
};

/* A poll group with the fabric; 0 = the default. */
struct leap_pollgroup *rdma_pollgroup(struct fake_fabric *f, uint32_t nr_bufs,
				      uint32_t buf_bytes, uint32_t nr_cmds);
/* It sleeps from now on. */
void rdma_arm(struct leap_pollgroup *pg);
/* Nothing of its pools is out; destroys it. */
void rdma_no_leak(struct leap_pollgroup *pg);

/* A new fabric, and a listener at @address of @pg's. */
void rdma_start(struct rdma_fixture *f, struct fake_fabric *fabric,
		struct leap_pollgroup *pg, const char *address);
void rdma_poll(struct rdma_fixture *f);
void rdma_stop(struct rdma_fixture *f);

/* A host end. @qid 0 = admin. */
void rdma_open(struct rdma_run *r, struct rdma_fixture *f,
	       struct leap_pollgroup *pg, uint16_t qid, uint32_t flags,
	       uint32_t inline_bytes);
void rdma_run_poll(struct rdma_run *r);
void rdma_connect(struct rdma_run *r);
/* Start requests in all slots; each is followed by another while left. */
void rdma_load(struct rdma_run *r, unsigned int n);
void rdma_ios(struct rdma_run *r, unsigned int n);
void rdma_close(struct rdma_run *r);

/* A fabric with a listener on it, and a host end. */
struct rdma_pair {
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg;	/* of the controller ends' home */
	struct leap_pollgroup *io;	/* they move there, or NULL */
	struct leap_pollgroup *host;	/* may be pg */
	struct rdma_fixture f;
	struct rdma_run r;
};

/* The fabric alone. */
void rdma_pair_init(struct rdma_pair *p);
/* And, of as many buffers as usual, a poll group for each end. */
void rdma_pair_init_two(struct rdma_pair *p);
/* The listener. Without pg one is made, without host that is pg. */
void rdma_pair_start(struct rdma_pair *p, const char *address);
/* A live host end of queue 1. */
void rdma_pair_open(struct rdma_pair *p, uint32_t inline_bytes);
/* Close it, if it is not, and all the rest. */
void rdma_pair_end(struct rdma_pair *p);

uint64_t rdma_now_ns(void);

/* Poll until it is so, for 20 s at most. */
#define RDMA_WAIT(cond, poll) do { \
	uint64_t end_ns_ = rdma_now_ns() + 120000000000u; \
	while (!(cond) && rdma_now_ns() < end_ns_) \
		poll; \
	assert_true(cond); \
} while (0)

#endif
