/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake-ng.h - a kernel of the test's under the pass-through leaf: a drive in
 * memory, or one of zones, that answers when it likes, resets and refuses
 */
#ifndef LEAP_TESTS_FAKE_NG_H
#define LEAP_TESTS_FAKE_NG_H

#include "block-fixture.h"

#include "block/relay/ng.h"

#define FAR_BLOCKS	4096u
#define TAGS		128u
#define DNR		LEAP_STATUS_DNR
#define ZONE		64u	/* blocks, of ZONES */
#define ZONES		16u

struct fake_ng_out {
	struct leap_sqe sqe;
	struct iovec *iov;
	uint32_t nr_iov, bytes;
	int busy;
};

struct fake_ng {
	struct leap_id_ctrl id;
	struct leap_id_ctrl_nvm nvm;
	struct leap_id_ns ns;
	uint8_t desc[32];
	uint32_t max_bytes, max_segments;
	int nsid, open_err, hold_err, read_only, opened, rings;
	uint8_t media[FAR_BLOCKS * 512];
	struct fake_ng_out out[TAGS];
	uint32_t fifo[TAGS], nr;
	uint32_t most;		/* out at once */
	uint32_t most_iov, most_bytes;
	int event_fd;
	int armed;
	int held;		/* atomic: answer nothing */
	int32_t fail;		/* the next command's answer */
	uint32_t nr_fail;
	uint32_t nr_sent;
	struct leap_sqe last;
	uint64_t size;		/* blocks of 512 bytes; 0 = nobody says */
	struct blk zoned;	/* chan: in the place of media */
	int32_t forget;		/* done, and then answered with this */
};

extern struct fake_ng ngk;
/* For leap_bdev_open_with: "ng" over it. */
extern const struct leap_bdev_ops *const fake_ng_own[];

/* cmocka's: a drive of FAR_BLOCKS. */
int fake_ng_set_up(void **state);
/* A stack over ng:/dev/ng7n3. */
void open_ng(struct blk *b, const char *stack);
void close_ng(struct blk *b);

#endif
