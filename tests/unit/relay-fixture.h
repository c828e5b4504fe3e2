/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay-fixture.h - two targets in this process, of which the near one has
 * windows of the far one's namespaces, and a host of each
 */
#ifndef LEAP_TESTS_RELAY_FIXTURE_H
#define LEAP_TESTS_RELAY_FIXTURE_H

#include "serve.h"

#include <leapio/host.h>
#include <leapio/relay.h>

#define FAR_NQN		"nqn.2026-01.org.example:far"
#define NEAR_NQN	"nqn.2026-01.org.example:near"

struct world {
	struct leap_pollgroup *pg;
	struct leap_target *far, *near;
	struct leap_subsystem *far_ss, *near_ss;
	struct leap_listener *far_listener;
	char far_url[128], bound[64];
	struct leap_host *host;		/* of the near target */
	struct leap_host *direct;	/* of the far one, or NULL */
	struct leap_bdev *bdev;		/* the relay that was opened last */
	struct leap_bdev *stack;	/* the near namespace's */
	struct leap_chan *chan;		/* past the near controller */
	int tcp, flag, err;
	uint8_t *buf, *back;		/* 1 MiB each */
};

/* cmocka's: a world in which nothing is there yet. */
int rx_set_up(void **state);

/* The group and both targets, without namespaces, and not listening. */
void rx_start(struct world *w, uint32_t far_mdts);
/* All of it goes, hosts first. */
int rx_tear_down(void **state);

/* leap_host_close's and leap_ns_remove's; and for them. */
void rx_set_flag(void *arg);
void rx_set_err(int err, void *arg);
void rx_wait_flag(struct world *w);
void rx_run_for(struct world *w, uint32_t ms);

void rx_add_ns(struct world *w, struct leap_subsystem *ss,
	       struct leap_bdev *bdev);
/* w->bdev; what it answered. */
int rx_open(struct world *w, const struct leap_relay_opts *opts);
/* It is live when this returns. */
struct leap_host *rx_connect(struct world *w, struct leap_target *t,
			     const char *url, uint32_t queues);
/* One command to its end; status without M. */
leap_status_t rx_run(struct world *w, struct leap_host *host,
		     const struct leap_sqe *sqe, void *buf, uint32_t bytes);

#endif
