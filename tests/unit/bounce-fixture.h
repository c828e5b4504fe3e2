/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bounce-fixture.h - a guest whose far memory only messages reach, and their
 * source, which answers at once, later, in any order, with errors or not at all
 *
 * One of it: the global @bx.
 */
#ifndef LEAP_TESTS_BOUNCE_FIXTURE_H
#define LEAP_TESTS_BOUNCE_FIXTURE_H

#include "guest-fixture.h"

#define FAR_GPA		0x40000000ull
#define FAR_BYTES	(1u << 20)
#define BX_ASKS		256
#define FAULT		(LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR)

/* What the source was asked for. */
struct bx_request {
	leap_gpa_t gpa;
	void *in;
	const void *out;
	uint32_t bytes;
	struct leap_ats_io *io;
};

struct bounce {
	struct gx gx;
	struct gx_cq cq;
	struct gx_sq sq;
	uint8_t *mem;		/* the far one */
	bool now;		/* answer at once */
	int refuse;		/* do not even ask */
	struct bx_request ask[BX_ASKS];
	uint32_t nr_asks;
	uint32_t asked;
};

extern struct bounce bx;

/* Buffers of the pool, 0 = as usual; bytes of a message, 0 = any. */
void bx_open(uint32_t nr_bufs, uint32_t buf_bytes, uint32_t max_bytes,
	     uint16_t qid);
/* Nothing is asked for, and no buffer out, any more. */
void bx_close(void);
/* The same, when the submission queue is gone already. */
void bx_close_rest(void);
/* @reach: by messages; else by nobody. */
void bx_map(uint32_t max_bytes, bool reach);
/* The @i-th of what is asked for. */
void bx_answer(uint32_t i, int err);
struct leap_pollgroup_stats bx_stats(void);

/* One page or two at @at of the far memory. */
struct leap_sqe bx_rw(uint8_t opc, uint16_t cid, uint32_t at, uint32_t disk,
		      uint32_t len);
void bx_submit(const struct leap_sqe *sqe);
bool bx_reap(struct leap__cqe *cqe);
/* To its end: its status. */
uint16_t bx_run(const struct leap_sqe *sqe);

#endif
