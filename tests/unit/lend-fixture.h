/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lend-fixture.h - a drive behind registers, its lender, and borrowers of both
 * kinds: those that behave, on any thread, and those that speak the protocol by
 * themselves
 */
#ifndef LEAP_TESTS_LEND_FIXTURE_H
#define LEAP_TESTS_LEND_FIXTURE_H

#include "rand.h"
#include "serve.h"

#include <stdio.h>

#include <leapio/leapio.h>

#include "transport/lend/proto.h"

#define LX_NQN		"nqn.2026-01.org.example:lent"
#define LX_BLOCK	512u
#define LX_SLICE	512u		/* blocks of one borrower */
#define LX_SECONDS(n)	((n) * 1000000000ull)

/* An assertion that may fail on any thread. */
#define LX_MUST(x) \
	do { \
		if (!(x)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, \
				#x); \
			abort(); \
		} \
	} while (0)

struct lx {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *vdev;
	struct leap_lender *lender;
	struct leap_vdev_info before;	/* of the drive, nothing lent */
	char path[64];
	int state;			/* of the lender */
};

extern struct lx lx;

/* cmocka's: as it is, without shadow doorbells, with slow writes. */
int lx_set_up(void **state);
int lx_set_up_trapped(void **state);
int lx_set_up_slow(void **state);
int lx_tear_down(void **state);

#define LX_T(f, s) cmocka_unit_test_setup_teardown(f, s, lx_tear_down)

/* Poll the lender's group until then; 20 seconds since @from are too long. */
void lx_turn(const int *flag);
void lx_turn_once(uint64_t from);
void lx_wait_state(enum leap_lender_state state);
/* Until nobody borrows, and nothing is left on the drive. */
void lx_wait_unlent(void);
struct leap_vdev_info lx_info(void);
struct leap_lender_info lx_lent(void);
void lx_add_ns(const char *stack);

/* ---- a borrower that behaves, on any thread ---- */

struct lx_side {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct leap_dmabuf *mem;
	uint8_t *base;
	uint32_t nr_queues;
	uint32_t first;		/* block of its slice */
	uint32_t events;
	uint8_t copy[LX_SLICE * LX_BLOCK];
	struct test_rand rnd;
	int state;		/* of the host */
};

/* @over: 1 over the socket, 0 in the process. @nr: which slice. */
void lx_side_start(struct lx_side *s, struct leap_pollgroup *pg, int over,
		   uint32_t nr_queues, uint32_t nr);
void lx_side_live(struct lx_side *s);
void lx_side_stop(struct lx_side *s);
void lx_io(struct lx_side *s, uint8_t opc, uint32_t lba, uint32_t nr,
	   uint8_t *at);
/* @n reads and writes of its slice, compared. */
void lx_check(struct lx_side *s, uint32_t n);

/* ---- one that speaks by itself ---- */

struct lx_raw {
	int fd;
	struct leap_dmabuf *mem;	/* rings: SQ, 4096: CQ, 8192: data */
	uint8_t *base;
	uint64_t iova;
	struct leap__lend_msg in;
};

void lx_raw_open(struct lx_raw *r);
void lx_raw_close(struct lx_raw *r);
void lx_raw_say(struct lx_raw *r, const void *bytes, size_t n, int fd);
/* The next message, whose descriptor is of no use here; 0 = closed. */
int lx_raw_hear(struct lx_raw *r);
void lx_raw_send(struct lx_raw *r, enum leap__lend_type type);
/* Opened, and welcome. */
void lx_raw_hello(struct lx_raw *r);
void lx_raw_mem(struct lx_raw *r);
leap_status_t lx_raw_admin(struct lx_raw *r, struct leap_sqe sqe);
leap_status_t lx_raw_create(struct lx_raw *r, uint8_t opc, uint32_t qid,
			    uint32_t size, uint64_t at, uint32_t cdw11);
/* Queue pair 1; the drive's name of it. */
uint32_t lx_raw_queue(struct lx_raw *r);
void lx_raw_ring(struct lx_raw *r, uint32_t qid, uint32_t tail);

#endif
