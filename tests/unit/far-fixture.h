/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * far-fixture.h - a far end of a relay that we are not: a script over loop://
 * that keeps every command it got, and answers as a test wants it
 */
#ifndef LEAP_TESTS_FAR_FIXTURE_H
#define LEAP_TESTS_FAR_FIXTURE_H

#include "unit.h"

#include <stdbool.h>

#include <leapio/nvme.h>
#include <leapio/plugin/bdev_ops.h>
#include <leapio/relay.h>

#include "fake-target.h"

#define FAR_BLOCKS	(1ull << 40)
#define FAR_START	(1ull << 33)	/* window, unless relay says so */
#define DNR		LEAP_STATUS_DNR

struct got {
	struct leap_sqe sqe;
	uint32_t bytes;
	uint8_t list[256 * 32];
};

struct far {
	struct leap_target target;	/* first */
	struct leap_pollgroup *pg;
	/* What it says that it is. */
	struct leap_id_ctrl id;
	struct leap_id_ctrl_nvm nvm;
	struct leap_id_ns ns;
	uint8_t csi;
	struct leap_id_ns_zns zns;
	struct leap_id_ctrl_zns ctrl_zns;
	uint32_t cc;
	struct got got[300];
	uint32_t nr;
	uint32_t fail_at;	/* the n-th command from 1 on; 0 = none */
	leap_status_t fail_status;
	uint64_t fail_result;
	/* The n-th is not answered: its connection goes instead. */
	uint32_t cut_at;
	struct leap_cmd *cut_cmd;
	uint32_t cut_lost;	/* target.lost when it has gone */
	/* When there is no payload to wait for any more. True: it has answered
	 * the command, or will. */
	bool (*answer)(struct far *f, struct leap_cmd *cmd);
	struct leap_cmd *aers[8];
	uint32_t nr_aers;
	struct leap_vqp *vqps[8];	/* by qid */
	/* the relay */
	struct leap_relay_opts relay;
	struct leap_bdev *bdev;
	struct leap_chan *chan;
	uint8_t bio_flags;
	int flag, err;
};

int far_set_up(void **state);
int far_tear_down(void **state);
/* With a window at FAR_START; what it answered. */
int far_open(struct far *f);
/* Until *@flag is set. */
void far_settle(struct far *f, int *flag);
/* Events that the controller holds back go with its connection. */
void far_drop_aers(struct far *f);
/* One event: the namespace has changed. */
void far_ns_changed(struct far *f);
leap_status_t far_run(struct far *f, uint8_t op, uint64_t block, uint32_t nr,
		      const struct leap_sqe *sqe, void *payload,
		      uint32_t bytes, uint64_t *result);

#endif
