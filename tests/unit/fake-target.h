/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake-target.h - the least that a transport's controller end needs: one
 * listener, a handler that answers Connect, and a hook for everything else
 *
 * Defines the functions of target.h that transports call, so a program that
 * links it gets these instead of the library's.
 */
#ifndef LEAP_TESTS_FAKE_TARGET_H
#define LEAP_TESTS_FAKE_TARGET_H

#include <leapio/plugin/transport_ops.h>

struct fake_target;

struct leap_listener {
	struct leap_target *target;
	void *priv[4];			/* of transports that listen */
};

struct leap_target {
	struct leap_pollgroup *home;
	struct leap_pollgroup *io;	/* connections move there;
					 * NULL = stay */
	struct leap_listener listener;
	struct leap_listener_opts listener_opts;
	struct leap_target_opts opts;
	int refuse;			/* errno for accept; 0 = take */
	leap_status_t connect_status;
	int hold_connect;		/* never answer it */
	struct leap_cmd *held;		/* the Connect that waits */
	/* Any command but Connect. NULL = success at once. */
	void (*execute)(struct leap_target *t, struct leap_cmd *cmd);
	struct leap_vqp *vqp;		/* the last one accepted */
	unsigned int accepted, lost, gone;
	int lost_err;			/* why, the last time */
	struct leap_connect_data data;	/* of the last Connect */
	void *arg;
};

void fake_target_init(struct leap_target *t, struct leap_pollgroup *home);

#endif
