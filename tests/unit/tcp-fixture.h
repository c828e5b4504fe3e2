/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp-fixture.h - a controller end on a socket, with a memory behind it
 *
 * Write and read commands carry their place in CDW10 and their length in CDW12,
 * both in bytes. fake-target.c answers Connect.
 */
#ifndef LEAP_TESTS_TCP_FIXTURE_H
#define LEAP_TESTS_TCP_FIXTURE_H

#include "unit.h"

#include "fake-target.h"

#include <leapio/qp.h>

#include "core/io/pollgroup.h"
#include "transport/tcp/tcp.h"

#define TCP_NQN "nqn.2014-08.org.example:disk"
#define TCP_DISK (2u << 20)

/* One target that listens on a loopback address. */
struct tcp_fixture {
	struct leap_target target;	/* fake */
	struct leap_pollgroup *pg;	/* of the controller ends */
	struct leap__tcp_limits limits;
	struct leap__io accept;
	struct leap__wfd *listener;
	int listening;
	int fd;				/* borrowed: of the last pair's end */
	char url[128];
	uint8_t *disk;
	/* Completions wait for tcp_fixture_poll in this many polls; 0 = at
	 * once. */
	unsigned int delay;
	struct leap_cmd *delayed[256];
	unsigned int due[256];
	unsigned int nr_delayed;
	unsigned int executed, lost_before;
	leap_status_t fail;		/* what every command gets */
	int last_err;
};

void tcp_fixture_start(struct tcp_fixture *f, struct leap_pollgroup *pg,
		       const char *address);
/* A controller end on one end of a socket pair; returns the other. */
int tcp_fixture_pair(struct tcp_fixture *f, struct leap_pollgroup *pg);
void tcp_fixture_poll(struct tcp_fixture *f);
void tcp_fixture_stop(struct tcp_fixture *f);

/* Poll until it is so, for 20 s at most: loopback TCP may take its time. */
#define TCP_WAIT(cond, poll) do { \
	uint64_t end_ns_ = tcp_now_ns() + 120000000000u; \
	while (!(cond) && tcp_now_ns() < end_ns_) \
		poll; \
	assert_true(cond); \
} while (0)

uint64_t tcp_now_ns(void);

struct leap_pollgroup *tcp_pollgroup(uint32_t nr_bufs, uint32_t buf_bytes);
struct leap_pollgroup *tcp_pollgroup_few(uint32_t nr_cmds);

#endif
