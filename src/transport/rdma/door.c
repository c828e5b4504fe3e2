/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listening: an id, its events, and a new id where the device that it was on
 * has gone or changed. Between the connection manager and those who take
 * connections, target.c by way of listener.c and share.c. Knows neither what
 * they are for nor what they say.
 */
#include "transport/rdma/door.h"

#include "core/io/inet.h"
#include "util/err.h"
#include "util/list.h"

#include <errno.h>
#include <string.h>

#define RETRY_NS 1000000000u
#define AT_ONCE	8	/* events of a poll: a connection takes long to make */

static int start(struct leap__rdma_door *d)
{
	int err = d->v->id_create(d->chan, d, &d->id);

	if (!err)
		err = d->v->listen(d->id, (struct sockaddr *)&d->addr,
				   d->backlog);
	if (err && d->id) {
		d->v->id_destroy(d->id);
		d->id = NULL;
	}
	return err;
}

static void retry_run(struct leap_timer *timer)
{
	struct leap__rdma_door *d =
		leap__list_entry(timer, struct leap__rdma_door, retry);

	if (start(d))
		leap_timer_start(d->pg, &d->retry, RETRY_NS);
}

static void on_event(struct leap__rdma_door *d, const struct leap__v_cm *cm)
{
	switch (cm->type) {
	case LEAP__V_CONNECT_REQUEST:
		d->request(d, cm);
		return;
	case LEAP__V_DEVICE_REMOVAL:
	case LEAP__V_ADDR_CHANGE:
		leap__pg_log(d->pg, LEAP_LOG_WARN, "rdma: the device of a "
			     "listener has gone or changed");
		d->v->id_destroy(d->id);
		d->id = NULL;
		leap_timer_start(d->pg, &d->retry, RETRY_NS);
		return;
	default:
		return;
	}
}

static void fired(void *arg)
{
	struct leap__rdma_door *d = arg;
	struct leap__v_cm cm;
	int i;

	for (i = 0; i < AT_ONCE && !d->closed &&
	     d->v->chan_get(d->chan, &cm) > 0; i++)
		on_event(d, &cm);
}

int leap__rdma_door_open(struct leap__rdma_door *d, struct leap_pollgroup *pg,
			 const char *call)
{
	int fds[2] = { -1, -1 }, err;
	char text[64];

	d->pg = pg;
	d->retry.run = retry_run;
	leap__inet_text(&d->addr, text, sizeof(text));
	d->v = leap__rdma_verbs(pg, call);
	if (!d->v)
		return -EPROTONOSUPPORT;
	err = d->v->chan_create(d->v, &d->chan);
	if (err)
		return leap__err(err, "%s: rdma: there is no RDMA device here: "
				 "%s", call, strerror(-err));
	err = start(d);
	/* The port that it got, for when it has to listen anew. */
	if (!err)
		err = d->v->local_addr(d->id, &d->addr);
	if (!err) {
		fds[0] = d->v->chan_fd(d->chan);
		err = leap__rdma_watch(pg, fds, fired, d, &d->watch);
	}
	return err ? leap__err(err, "%s: rdma: %s: %s", call, text,
			       strerror(-err)) : 0;
}

void leap__rdma_door_close(struct leap__rdma_door *d, void (*ended)(void *d))
{
	d->closed = 1;
	leap_timer_stop(d->pg, &d->retry);
	if (d->id)
		d->v->id_destroy(d->id);
	d->id = NULL;
	leap__rdma_unwatch(d->watch, ended);
}

void leap__rdma_door_end(struct leap__rdma_door *d)
{
	if (d->id)
		d->v->id_destroy(d->id);
	if (d->chan)
		d->v->chan_destroy(d->chan);
}
