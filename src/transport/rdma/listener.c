/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listening for NVMe/RDMA connections.
 *
 * Each connection request becomes a controller end of the target's home poll
 * group, or is rejected with the code of the standard. A device that goes, or
 * whose address changes, takes the listening id with it: a new one is tried
 * until it can listen again. Knows neither descriptors nor commands.
 */
#include "transport/rdma/rdma.h"

#include "core/io/inet.h"
#include "util/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_NS 1000000000u
#define MAX_SRQ 65536u

struct leap__rdma_listen {
	struct leap_listener *listener;	/* NULL = stopped */
	struct leap_pollgroup *pg;
	const struct leap__verbs *v;
	struct leap__v_chan *chan;
	struct leap__v_id *id;
	struct leap__rdma_watch *watch;
	struct leap_timer retry;
	struct sockaddr_storage addr;
	int backlog;
};

static int start(struct leap__rdma_listen *l)
{
	int err = l->v->id_create(l->chan, l, &l->id);

	if (!err)
		err = l->v->listen(l->id, (struct sockaddr *)&l->addr,
				   l->backlog);
	if (err && l->id) {
		l->v->id_destroy(l->id);
		l->id = NULL;
	}
	return err;
}

static void retry_run(struct leap_timer *timer)
{
	struct leap__rdma_listen *l = (struct leap__rdma_listen *)
		((char *)timer - offsetof(struct leap__rdma_listen, retry));

	if (start(l))
		leap_timer_start(l->pg, &l->retry, RETRY_NS);
}

static void request(struct leap__rdma_listen *l, const struct leap__v_cm *cm)
{
	const struct leap_target_opts *opts =
		leap_listener_target_opts(l->listener);
	struct leap_vqp *vqp;
	int err = leap__rdma_target_start(l->pg, opts, l->listener,
					  leap_listener_opts(l->listener)->srq,
					  cm, &vqp);

	if (!err)
		return;
	leap__pg_log_limited(l->pg, &l->pg->peer_limit, LEAP_LOG_WARN,
			     "rdma: a connection is refused: %s",
			     err > 0 ? leap__rdma_rej_str((unsigned int)err) :
			     strerror(-err));
}

static void on_event(struct leap__rdma_listen *l, const struct leap__v_cm *cm)
{
	switch (cm->type) {
	case LEAP__V_CONNECT_REQUEST:
		request(l, cm);
		return;
	case LEAP__V_DEVICE_REMOVAL:
	case LEAP__V_ADDR_CHANGE:
		leap__pg_log(l->pg, LEAP_LOG_WARN, "rdma: the device of a "
			     "listener has gone or changed");
		l->v->id_destroy(l->id);
		l->id = NULL;
		leap_timer_start(l->pg, &l->retry, RETRY_NS);
		return;
	default:
		return;
	}
}

static void fired(void *arg)
{
	struct leap__rdma_listen *l = arg;
	struct leap__v_cm cm;

	/* An event may have stopped us. */
	while (l->listener && l->v->chan_get(l->chan, &cm) > 0)
		on_event(l, &cm);
}

/* What is left when nobody looks at the channel any more. */
static void ended(void *arg)
{
	struct leap__rdma_listen *l = arg;

	if (l->id)
		l->v->id_destroy(l->id);
	if (l->chan)
		l->v->chan_destroy(l->chan);
	free(l);
}

static int open_it(struct leap__rdma_listen *l, const char *address,
		   char *bound, size_t bound_max)
{
	int fds[2] = { -1, -1 };
	socklen_t len;
	int err;

	err = leap__inet_parse("leap_listener_create", address, &l->addr, &len);
	if (err)
		return err;
	l->v = leap__rdma_verbs(l->pg, "leap_listener_create");
	if (!l->v)
		return -EPROTONOSUPPORT;
	err = l->v->chan_create(l->v, &l->chan);
	if (err)
		return leap__err(err, "leap_listener_create: rdma: there is no "
				 "RDMA device here: %s", strerror(-err));
	err = start(l);
	/* The port that it got, for when it has to listen anew. */
	if (!err)
		err = l->v->local_addr(l->id, &l->addr);
	if (!err) {
		fds[0] = l->v->chan_fd(l->chan);
		err = leap__rdma_watch(l->pg, fds, fired, l, &l->watch);
	}
	if (err)
		return leap__err(err, "leap_listener_create: rdma: %s: %s",
				 address, strerror(-err));
	leap__inet_text(&l->addr, bound, bound_max);
	return 0;
}

int leap__rdma_listen(struct leap_listener *listener, const char *address,
		      char *bound, size_t bound_max)
{
	const struct leap_listener_opts *opts = leap_listener_opts(listener);
	struct leap__rdma_listener *priv = leap_listener_priv(listener);
	struct leap__rdma_listen *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	if (opts->srq > MAX_SRQ) {
		free(l);
		return leap__err(-EINVAL, "leap_listener_create: srq %u "
				 "exceeds %u", opts->srq, MAX_SRQ);
	}
	l->listener = listener;
	l->pg = leap_listener_pollgroup(listener);
	l->retry.run = retry_run;
	l->backlog = opts->backlog ? (int)opts->backlog : 128;
	err = open_it(l, address, bound, bound_max);
	if (err) {
		ended(l);
		return err;
	}
	priv->listen = l;
	return 0;
}

void leap__rdma_unlisten(struct leap_listener *listener)
{
	struct leap__rdma_listener *priv = leap_listener_priv(listener);
	struct leap__rdma_listen *l = priv->listen;

	if (!l)
		return;
	priv->listen = NULL;
	l->listener = NULL;
	leap_timer_stop(l->pg, &l->retry);
	if (l->id)
		l->v->id_destroy(l->id);
	l->id = NULL;
	leap__rdma_unwatch(l->watch, ended);
}
