/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listening for NVMe/RDMA connections.
 *
 * Each connection request becomes a controller end of the target's home poll
 * group, or is rejected with the code of the standard. Knows neither
 * descriptors nor commands.
 */
#include "transport/rdma/door.h"
#include "transport/rdma/rdma.h"

#include "core/io/inet.h"
#include "util/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SRQ 65536u

struct leap__rdma_listen {
	struct leap__rdma_door door;	/* first */
	struct leap_listener *listener;
};

static void request(struct leap__rdma_door *d, const struct leap__v_cm *cm)
{
	struct leap__rdma_listen *l = (struct leap__rdma_listen *)d;
	struct leap_vqp *vqp;
	int err;

	err = leap__rdma_target_start(d->pg,
				      leap_listener_target_opts(l->listener),
				      l->listener,
				      leap_listener_opts(l->listener)->srq, cm,
				      &vqp);
	if (!err)
		return;
	leap__pg_log_limited(d->pg, &d->pg->peer_limit, LEAP_LOG_WARN,
			     "rdma: a connection is refused: %s",
			     err > 0 ? leap__rdma_rej_str((unsigned int)err) :
			     strerror(-err));
}

static void ended(void *arg)
{
	leap__rdma_door_end(arg);
	free(arg);
}

int leap__rdma_listen(struct leap_listener *listener, const char *address,
		      char *bound, size_t bound_max)
{
	static const char call[] = "leap_listener_create";
	const struct leap_listener_opts *opts = leap_listener_opts(listener);
	struct leap__rdma_listener *priv = leap_listener_priv(listener);
	struct leap__rdma_listen *l;
	socklen_t len;
	int err;

	if (opts->srq > MAX_SRQ)
		return leap__err(-EINVAL, "%s: srq %u exceeds %u", call,
				 opts->srq, MAX_SRQ);
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->listener = listener;
	l->door.request = request;
	l->door.backlog = opts->backlog ? (int)opts->backlog : 128;
	err = leap__inet_parse(call, address, &l->door.addr, &len);
	if (!err)
		err = leap__rdma_door_open(&l->door,
					   leap_listener_pollgroup(listener),
					   call);
	if (err) {
		ended(l);
		return err;
	}
	leap__inet_text(&l->door.addr, bound, bound_max);
	priv->listen = l;
	return 0;
}

void leap__rdma_unlisten(struct leap_listener *listener)
{
	struct leap__rdma_listener *priv = leap_listener_priv(listener);
	struct leap__rdma_listen *l = priv->listen;

	priv->listen = NULL;
	if (l)
		leap__rdma_door_close(&l->door, ended);
}
