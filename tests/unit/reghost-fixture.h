/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reghost-fixture.h - queue pairs over a scripted controller behind registers
 */
#ifndef LEAP_TESTS_REGHOST_FIXTURE_H
#define LEAP_TESTS_REGHOST_FIXTURE_H

#include "fake-regs.h"

#include <leapio/dmabuf.h>
#include <leapio/nvmf.h>
#include <leapio/pollgroup.h>

#define RH_URL	"fake:x/" FAKE_NQN
#define RH_MB	(1u << 20)
#define RH_ON	0x00460001u	/* CC */

struct rh_side {
	struct leap_qp *qp;
	int state;		/* 1 connected, -1 not */
	leap_status_t status;
	int err, lost, lost_err, closed;
};

struct rh_cmd {
	struct leap_req req;	/* first */
	struct leap_piece piece[4];
	int done;
};

struct rh {
	struct leap_pollgroup *pg;
	struct rh_side admin, io1;
	struct leap_dmabuf *mem;	/* of 4 MiB */
	uint8_t *base;
};

extern struct rh rh;

/* cmocka's. */
int rh_set_up(void **state);
int rh_tear_down(void **state);

#define RH_T(f) cmocka_unit_test_setup_teardown(f, rh_set_up, rh_tear_down)

/* Callbacks that count: of a side's close, of a command. */
void rh_on_closed(void *arg);
void rh_on_done(struct leap_req *req);
/* Until *@flag, or for 8 s. */
int rh_turn(const int *flag);
void rh_turns(int n);
struct leap_qp_opts rh_opts_of(struct rh_side *s, uint16_t qid);
int rh_begin(struct rh_side *s, const struct leap_qp_opts *o);
void rh_finish(struct rh_side *s);
void rh_connect_admin(void);
void rh_connect_io(struct rh_side *s, uint32_t flags);
void rh_run(struct rh_side *s, struct rh_cmd *c);
leap_status_t rh_set_cc(uint32_t cc);
uint32_t rh_get(uint32_t reg);
/* Connected and enabled. */
void rh_up(void);
void rh_piece(struct rh_cmd *c, uint32_t i, uint8_t *addr, uint32_t len);
/* A read or write of the first @nr pieces of @c. */
void rh_transfer(struct rh_cmd *c, uint8_t opc, uint32_t nr);
/* Read what the device makes of it, and have it check what we send. */
void rh_both_ways(struct rh_cmd *c, uint32_t nr);

#endif
