/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * door.h - where connection requests come in: of listeners, and of shares
 */
#ifndef LEAP_RDMA_DOOR_H
#define LEAP_RDMA_DOOR_H

#include "transport/rdma/conn.h"

/* Embed it, zeroed. */
struct leap__rdma_door {
	struct leap_pollgroup *pg;
	const struct leap__verbs *v;
	struct leap__v_chan *chan;
	struct leap__v_id *id;		/* NULL = no device now */
	struct leap__rdma_watch *watch;
	struct leap_timer retry;
	struct sockaddr_storage addr;
	int backlog;
	uint8_t closed;
	/* Its id is taken over, also when it is refused. May close the door. */
	void (*request)(struct leap__rdma_door *d, const struct leap__v_cm *cm);
};

/*
 * leap__rdma_door_open - listen at d->addr, which then has the port that was
 * bound
 *
 * @call: of the public call, for last error
 * Context: owner of @pg
 * Returns: 0; or what was answered, with last error, and is to be ended
 */
int leap__rdma_door_open(struct leap__rdma_door *d, struct leap_pollgroup *pg,
			 const char *call);

/* leap__rdma_door_close - no request from now on; @ended runs later in poll
 * with @d, which is then to be ended. Context: owner */
void leap__rdma_door_close(struct leap__rdma_door *d,
			   void (*ended)(void *d));

/* leap__rdma_door_end - nothing is left of it. Context: owner */
void leap__rdma_door_end(struct leap__rdma_door *d);

#endif
