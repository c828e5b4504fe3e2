/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim_net.h - what the files of the simulated network share
 */
#ifndef LEAP_SIM_NET_H
#define LEAP_SIM_NET_H

#include "sim/sim_int.h"

struct sim_seg;

struct seg_list {
	struct sim_seg *head, **tail;
};

/* From side s to side 1 - s. */
struct sim_pipe {
	struct seg_list flight;	/* not scheduled: held back */
	struct seg_list arrived;
	size_t bytes;		/* in flight and unread */
	uint64_t last_ns;	/* arrival of the newest */
	bool fin;		/* arrived */
	bool rst;		/* arrived */
};

struct sim_conn {
	bool held[2];		/* by side; besides those of processes */
	bool cut;		/* nothing gets through any more */
	uint32_t id;
	struct sim_pipe pipe[2];
	struct sim_fd *end[2];	/* NULL = closed */
	int process[2];
	struct sim_conn *next;	/* of the simulator, newest first */
};

/* A connection request, there and back. */
struct sim_syn {
	struct sim_event ev;
	struct sim_fd *f;
	int family;
	uint16_t port;
	char path[108];
	int to;			/* process; -1 = nobody listens */
	int res;		/* of the request, once answered is set */
	bool answered;
	struct sim_syn *next, **prev;
};

/* sim_net.c */
/* Something to do for @f; NULL: it is closed. */
void sim_net_wake(struct sim_fd *f);
void sim_conn_new(struct leap_sim *sim, struct sim_fd *from, struct sim_fd *to);
/* What was held back of what @side has sent. */
void sim_conn_release(struct leap_sim *sim, struct sim_conn *c, int side);
/* Both ends learn of it, as of one that came from the other. */
void sim_conn_reset(struct leap_sim *sim, struct sim_conn *c);

/* sim_connect.c */
void sim_net_connect(struct sim_world *w, struct sim_fd *f);
void sim_net_accept(struct sim_world *w, struct sim_fd *l);
void sim_listener_close(struct leap_sim *sim, struct sim_fd *l);
void sim_syn_send(struct leap_sim *sim, struct sim_syn *syn);
void sim_syn_free(struct leap_sim *sim, struct sim_syn *syn);

#endif
