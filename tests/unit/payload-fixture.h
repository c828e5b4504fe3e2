/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * payload-fixture.h - a guest with payload in memory of its own, which it maps
 * by itself: that others do without theirs, or come to it too late, shows
 */
#ifndef LEAP_TESTS_PAYLOAD_FIXTURE_H
#define LEAP_TESTS_PAYLOAD_FIXTURE_H

#include "guest-driver.h"
#include "rand.h"

#define PAYLOAD	0x300000000ull		/* guest physical */
#define BYTES	(2u << 20)
#define BLOCKS	4096u			/* of 512 bytes, on the drive */
#define OUT	16u			/* commands of a load */

struct payload {
	struct leap_dmabuf *buf;
	uint8_t *own;			/* the guest's mapping of it */
	struct gd *g;
	struct gd_sq *sq;
	struct test_rand rnd;
};

/* The memory, and its end; g and sq are the test's to set. @name: as in
 * /proc/self/maps, or NULL. */
void pay_make(struct payload *p, const char *name);
void pay_free(struct payload *p);
/* @v gets all of it. */
void pay_add(const struct payload *p, struct leap_vdev *v);

/* A command whose data is at @at. */
struct leap_sqe pay_sqe(struct payload *p, uint8_t opc, uint32_t lba,
			uint32_t nr, uint32_t at);
/* A write of some blocks and a read of them, from anywhere to anywhere: what
 * is read is what was written, and nothing behind it is. @run: to its end */
void pay_one(struct payload *p, int fill,
	     leap_status_t (*run)(const struct leap_sqe *sqe));
/* OUT commands, of one place each: writes of @fill, and reads. */
void pay_load(struct payload *p, uint16_t *cids, uint8_t fill);

#endif
