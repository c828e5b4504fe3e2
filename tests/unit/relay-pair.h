/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay-pair.h - a near target whose namespace is a window of a far target's,
 * over loopback or TCP, both in this process
 */
#ifndef LEAP_TESTS_RELAY_PAIR_H
#define LEAP_TESTS_RELAY_PAIR_H

#include "relay-fixture.h"

#include <stdio.h>

#define BLOCK		512u
#define FAR_BLOCKS	32768u
#define START		1000u
#define BLOCKS		20000u
#define DNR		LEAP_STATUS_DNR

/* What start() makes; as set-up has it, or the test. */
static const char *far_stack;
static uint32_t far_mdts, near_blocks, loss_ms, nr_queues;

static inline void listen_far(struct world *w)
{
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;

	lo.url = w->tcp ? *w->bound ? w->bound : "tcp://127.0.0.1:0" :
		"loop://";
	assert_int_equal(leap_listener_create(w->far, &lo, &w->far_listener),
			 0);
	if (w->tcp) {
		snprintf(w->bound, sizeof(w->bound), "%s",
			 leap_listener_url(w->far_listener));
		snprintf(w->far_url, sizeof(w->far_url), "%s/%s", w->bound,
			 FAR_NQN);
	} else {
		snprintf(w->far_url, sizeof(w->far_url), "loop://far/%s",
			 FAR_NQN);
	}
}

static inline int open_relay(struct world *w, uint32_t nsid, uint64_t start,
			     uint64_t blocks)
{
	struct leap_relay_opts ro = LEAP_RELAY_OPTS_INIT;

	ro.url = w->far_url;
	ro.nsid = nsid;
	ro.start_block = start;
	ro.nr_blocks = blocks;
	ro.nr_queues = nr_queues;
	ro.loss_ms = loss_ms;
	ro.reconnect_ms = 20;
	ro.target = w->tcp ? NULL : w->far;
	return rx_open(w, &ro);
}

static inline void start(struct world *w, uint32_t queues)
{
	struct leap_bdev *bdev;

	rx_start(w, far_mdts);
	assert_int_equal(leap_bdev_open(w->pg, far_stack, &bdev), 0);
	rx_add_ns(w, w->far_ss, bdev);
	listen_far(w);
	assert_int_equal(open_relay(w, 1, START, near_blocks), 0);
	w->stack = w->bdev;
	rx_add_ns(w, w->near_ss, w->bdev);
	serve_at(w->near, "loop://");
	w->host = rx_connect(w, w->near, "loop://near/" NEAR_NQN, queues);
	w->direct = rx_connect(w, w->tcp ? NULL : w->far, w->far_url, 1);
}

static inline int set_up_loop(void **state)
{
	far_stack = "memory:16M";
	far_mdts = 0;
	near_blocks = BLOCKS;
	loss_ms = 20000;
	nr_queues = 1;
	return rx_set_up(state);
}

static inline int set_up_tcp(void **state)
{
	set_up_loop(state);
	((struct world *)*state)->tcp = 1;
	return 0;
}

/* One command to its end; status with DNR. */
static inline leap_status_t cmd(struct world *w, struct leap_host *host,
				uint8_t opc, uint64_t lba, uint32_t nlb,
				void *buf, uint32_t bytes)
{
	struct leap_sqe sqe = { .opc = opc };

	sqe.nsid = leap_to_le32(1);
	sqe.cdw10 = leap_to_le32((uint32_t)lba);
	sqe.cdw11 = leap_to_le32((uint32_t)(lba >> 32));
	sqe.cdw12 = leap_to_le32(nlb ? nlb - 1 : 0);
	return rx_run(w, host, &sqe, buf, bytes);
}

#define l(f) { #f " (loop)", f, set_up_loop, rx_tear_down, NULL }
#define t(f) { #f " (tcp)", f, set_up_tcp, rx_tear_down, NULL }
#define both(f) l(f), t(f)

#endif
