/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server.c - one socket, one device, one client at a time
 *
 * Accepts a client, gives its messages to the device, and when it is gone has
 * the device forget it before the next one is served. A client that comes
 * meanwhile waits; one that comes while another is served is refused. Knows
 * what a client is, and nothing of what it asks for.
 */
#include "transport/vfio-user/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/acceptor.h"

#define HELLO_NS 5000000000u	/* from accept to VERSION */

enum state {
	IDLE,		/* listens */
	SERVING,	/* a client is connected */
	DROPPING,	/* it is gone, the device forgets it */
	STOPPING,	/* the vdev is being destroyed */
};

struct leap__vfu_server {
	struct leap__vfu_dev dev;	/* first */
	struct leap__acceptor *acceptor;
	struct leap__wfd *next;		/* a client that waits */
	struct leap_timer hello;
	enum state state;
	bool stop;			/* as soon as there is no client */
	void (*stopped)(void *arg);
	void *stopped_arg;
	int (*renew)(void *arg, struct leap_vdev *old,
		     struct leap_vdev **vdev);
	void *renew_arg;
	char name[160];
};

static struct leap__vfu_server *of_dev(struct leap__vfu_dev *dev)
{
	return (struct leap__vfu_server *)dev;
}

static struct leap__vfu_server *of_chan(struct leap__fdchan *chan)
{
	return (struct leap__vfu_server *)chan;
}

struct leap__vfu_dev *leap__vfu_server_dev(struct leap__vfu_server *s)
{
	return &s->dev;
}

bool leap__vfu_server_busy(const struct leap__vfu_server *s)
{
	return s->state != IDLE;
}

int leap__vfu_server_create(struct leap_pollgroup *pg,
			    const struct leap__vfu_vdev_ops *ops,
			    const char *name, struct leap__vfu_server **out)
{
	struct leap__vfu_server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	snprintf(s->name, sizeof(s->name), "%s", name);
	leap__vfu_dev_init(&s->dev, pg, ops, s->name);
	leap__pollgroup_hold(pg);
	*out = s;
	return 0;
}

void leap__vfu_server_free(void *server)
{
	struct leap__vfu_server *s = server;

	leap__pollgroup_release(s->dev.pg);
	leap__vfu_dev_fini(&s->dev);
	free(s);
}

/* ---- the end ---- */

static void vdev_gone(void *arg)
{
	struct leap__vfu_server *s = arg;
	void (*stopped)(void *a) = s->stopped;
	void *stopped_arg = s->stopped_arg;

	leap__vfu_server_free(s);
	if (stopped)
		stopped(stopped_arg);
}

static void stop(struct leap__vfu_server *s)
{
	s->state = STOPPING;
	s->dev.ops->destroy(s->dev.vdev, vdev_gone, s);
}

/* ---- clients ---- */

static void serve(struct leap__vfu_server *s, struct leap__wfd *wfd);

static void idle(void *arg)
{
	struct leap__vfu_server *s = arg;
	struct leap__wfd *next = s->next;

	s->state = IDLE;
	s->next = NULL;
	if (s->stop)
		stop(s);
	else if (next)
		serve(s, next);
}

static void dropped(struct leap__vfu_dev *dev)
{
	struct leap__vfu_server *s = of_dev(dev);
	struct leap_vdev *old = dev->vdev;

	if (!s->stop && s->renew && !s->renew(s->renew_arg, old, &dev->vdev))
		dev->ops->destroy(old, idle, s);
	else
		idle(s);
}

static void gone(struct leap__fdchan *chan, int err)
{
	struct leap__vfu_server *s = of_chan(chan);

	leap_timer_stop(s->dev.pg, &s->hello);
	leap__pg_log(s->dev.pg, LEAP_LOG_INFO, "%s: client gone%s%s", s->name,
		     err ? ": " : "", err ? strerror(-err) : "");
	s->state = DROPPING;
	leap__vfu_dev_drop(&s->dev, dropped);
}

static void message(struct leap__fdchan *chan, uint32_t bytes)
{
	struct leap__vfu_server *s = of_chan(chan);

	leap__vfu_dev_message(&s->dev, bytes);
	if (s->dev.greeted)
		leap_timer_stop(s->dev.pg, &s->hello);
}

static void sent(struct leap__fdchan *chan)
{
	leap__vfu_dev_sent(&of_chan(chan)->dev);
}

static void too_late(struct leap_timer *timer)
{
	struct leap__vfu_server *s = (struct leap__vfu_server *)
		((char *)timer - offsetof(struct leap__vfu_server, hello));

	leap__pg_log_limited(s->dev.pg, &s->dev.pg->peer_limit, LEAP_LOG_WARN,
			     "%s: client ended: no VERSION", s->name);
	leap__fdchan_kill(&s->dev.chan, -ETIMEDOUT);
}

static void serve(struct leap__vfu_server *s, struct leap__wfd *wfd)
{
	static const struct leap__fdchan_end end = {
		.head_bytes = sizeof(struct leap__vfu_hdr),
		.max_fds = LEAP__VFU_MAX_FDS, .size = leap__vfu_size,
		.message = message, .idle = sent, .gone = gone,
	};
	char peer[64] = "client";

	s->state = SERVING;
	wfd->world->ops->peer_text(wfd, peer, sizeof(peer));
	leap__pg_log(s->dev.pg, LEAP_LOG_INFO, "%s: client %s", s->name, peer);
	leap_timer_start(s->dev.pg, &s->hello, HELLO_NS);
	leap__vfu_dev_start(&s->dev, &end, wfd);
}

/* A client that has died is not in the way of the next. */
static int accepted(void *arg, struct leap__wfd *conn)
{
	struct leap__vfu_server *s = arg;

	if (s->state == IDLE) {
		serve(s, conn);
		return 0;
	}
	if (s->state == SERVING && leap__fdchan_peer_closed(&s->dev.chan))
		leap__fdchan_kill(&s->dev.chan, -ECONNRESET);
	if (s->next || (s->state == SERVING && !s->dev.chan.dead)) {
		leap__pg_log_limited(s->dev.pg, &s->dev.pg->peer_limit,
				     LEAP_LOG_WARN, "%s: a second client was "
				     "refused: a socket is one device, for one "
				     "virtual machine", s->name);
		return -EBUSY;
	}
	s->next = conn;
	return 0;
}

/* ---- another process follows ---- */

int leap__vfu_server_save(struct leap__vfu_server *s, struct leap__saved *saved)
{
	if (s->state == IDLE)
		return -ENOENT;
	return s->state == SERVING ? leap__vfu_dev_save(&s->dev, saved) :
	       -EAGAIN;
}

void leap__vfu_server_carry_on(struct leap__vfu_server *s)
{
	if (s->state == SERVING)
		leap__fdchan_unpause(&s->dev.chan);
}

int leap__vfu_server_restore(struct leap__vfu_server *s,
			     const struct leap__saved *saved)
{
	struct leap__world *w = leap__pollgroup_world(s->dev.pg);
	struct leap__vfu_dev *dev = &s->dev;
	struct leap__wfd *wfd;
	bool greeted, warned, bad_dma, given_up;
	int sock, err;

	err = leap__vfu_dev_restore(dev, saved, &sock);
	if (!err)
		err = w->ops->adopt(w, sock, &wfd);
	if (err) {
		if (sock >= 0)
			close(sock);
		return err;
	}
	greeted = dev->greeted;
	warned = dev->warned;
	bad_dma = dev->bad_dma;
	given_up = dev->dma_given_up;
	serve(s, wfd);
	dev->greeted = greeted;
	dev->warned = warned;
	dev->bad_dma = bad_dma;
	dev->dma_given_up = given_up;
	if (greeted)
		leap_timer_stop(dev->pg, &s->hello);
	return 0;
}

int leap__vfu_server_start(struct leap__vfu_server *s, struct leap__wfd *wfd,
			   struct leap_vdev *vdev, uint32_t nr_vectors,
			   uint32_t irqs)
{
	s->dev.vdev = vdev;
	s->dev.nr_vectors = nr_vectors < LEAP__VFU_MAX_VECTORS ?
		nr_vectors : LEAP__VFU_MAX_VECTORS;
	s->dev.irqs = irqs;
	s->hello.run = too_late;
	return leap__acceptor_start(s->dev.pg, wfd, accepted, s, &s->acceptor);
}

void leap__vfu_server_renews(struct leap__vfu_server *s,
			     int (*renew)(void *arg, struct leap_vdev *old,
					  struct leap_vdev **vdev),
			     void *arg)
{
	s->renew = renew;
	s->renew_arg = arg;
}

void leap__vfu_server_stop(struct leap__vfu_server *s,
			   void (*stopped)(void *arg), void *arg)
{
	s->stop = true;
	s->stopped = stopped;
	s->stopped_arg = arg;
	leap__acceptor_stop(s->acceptor);
	s->acceptor = NULL;
	if (s->next)
		s->next->world->ops->close(s->next);
	s->next = NULL;
	if (s->state == SERVING)
		leap__fdchan_kill(&s->dev.chan, -ESHUTDOWN);
	else if (s->state == IDLE)
		stop(s);
}
