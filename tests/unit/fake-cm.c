/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection manager of the fake fabric: addresses are ports of one host,
 * private data is padded with zeroes as the real one pads it, and each event is
 * queued on the channel that its id is on.
 */
#include "fake-verbs.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PRIV_BYTES 56	/* of a connection request over IP */

static uint16_t port_of(const struct sockaddr_storage *sa)
{
	return sa->ss_family == AF_INET6 ?
	       ntohs(((const struct sockaddr_in6 *)sa)->sin6_port) :
	       ntohs(((const struct sockaddr_in *)sa)->sin_port);
}

static void set_port(struct sockaddr_storage *sa, uint16_t port)
{
	if (sa->ss_family == AF_INET6)
		((struct sockaddr_in6 *)sa)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)sa)->sin_port = htons(port);
}

static void copy_addr(struct sockaddr_storage *to, const struct sockaddr *from)
{
	memset(to, 0, sizeof(*to));
	memcpy(to, from, from->sa_family == AF_INET6 ?
	       sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
}

static void push(struct leap__v_chan *chan, const struct leap__v_cm *cm)
{
	struct fake_event *e = calloc(1, sizeof(*e));
	uint64_t one = 1;

	if (!e)
		abort();
	e->cm = *cm;
	*chan->tail = e;
	chan->tail = &e->next;
	if (write(chan->fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

/* Which event it becomes. */
static unsigned int swap(struct fake_fabric *f, unsigned int type, int *status)
{
	if (!f->swap_on || f->swap_from != type)
		return type;
	f->swap_on = 0;
	*status = f->swap_status;
	return f->swap_to;
}

void fake_tell(struct leap__v_id *id, unsigned int type, int status,
	       const void *priv, uint32_t len)
{
	struct leap__v_cm cm = { .id = id, .ctx = id->ctx };

	if (id->f->mute)
		return;
	cm.type = (uint8_t)swap(id->f, type, &status);
	cm.status = status;
	if (len) {
		memcpy(cm.priv, priv, len);
		cm.priv_len = len > PRIV_BYTES ? len : PRIV_BYTES;
	}
	push(id->chan, &cm);
}

void fake_event(struct leap__v_id *id, unsigned int type, int status,
		const void *priv, uint32_t len)
{
	struct leap__v_cm cm = { .id = id, .ctx = id->ctx,
				 .type = (uint8_t)type, .status = status };

	fake_lock(id->f);
	if (len) {
		memcpy(cm.priv, priv, len);
		cm.priv_len = len;
	}
	push(id->chan, &cm);
	fake_unlock(id->f);
}

/* ---- channels ---- */

static int chan_create(const struct leap__verbs *v, struct leap__v_chan **out)
{
	struct fake_fabric *f = (struct fake_fabric *)(uintptr_t)v;
	struct leap__v_chan *c = NULL;

	fake_lock(f);
	if (!fake_fails(f))
		c = calloc(1, sizeof(*c));
	if (c) {
		c->f = f;
		c->tail = &c->head;
		c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		f->nr_chans++;
		*out = c;
	}
	fake_unlock(f);
	return c ? 0 : -ENODEV;
}

static void chan_destroy(struct leap__v_chan *c)
{
	struct fake_fabric *f = c->f;
	struct fake_event *e;

	fake_lock(f);
	while ((e = c->head)) {
		c->head = e->next;
		free(e);
	}
	f->nr_chans--;
	fake_unlock(f);
	close(c->fd);
	free(c);
}

static int chan_fd(struct leap__v_chan *c)
{
	return c->fd;
}

static int chan_get(struct leap__v_chan *c, struct leap__v_cm *cm)
{
	struct fake_event *e;
	uint64_t count;

	fake_lock(c->f);
	e = c->head;
	if (e) {
		c->head = e->next;
		if (!c->head)
			c->tail = &c->head;
		*cm = e->cm;
	}
	if (!c->head && read(c->fd, &count, sizeof(count)) < 0 &&
	    errno != EAGAIN)
		abort();
	fake_unlock(c->f);
	free(e);
	return e != NULL;
}

/* ---- ids ---- */

static struct leap__v_id *new_id(struct fake_fabric *f,
				 struct leap__v_chan *chan, void *ctx)
{
	struct leap__v_id *id = calloc(1, sizeof(*id));

	if (!id)
		return NULL;
	id->f = f;
	id->chan = chan;
	id->ctx = ctx;
	id->next = f->ids;
	f->ids = id;
	f->nr_ids++;
	return id;
}

static int id_create(struct leap__v_chan *chan, void *ctx,
		     struct leap__v_id **out)
{
	fake_lock(chan->f);
	*out = fake_fails(chan->f) ? NULL : new_id(chan->f, chan, ctx);
	fake_unlock(chan->f);
	return *out ? 0 : -ENOMEM;
}

/* Its events, to @to or away; a request that nobody takes takes its id. */
static void move_events(struct leap__v_chan *from, struct leap__v_id *id,
			struct leap__v_chan *to)
{
	struct fake_event **at = &from->head, *e;

	while ((e = *at)) {
		if (e->cm.id != id) {
			at = &e->next;
			continue;
		}
		*at = e->next;
		if (to) {
			e->cm.ctx = id->ctx;
			push(to, &e->cm);
		}
		free(e);
	}
	for (from->tail = &from->head; *from->tail;)
		from->tail = &(*from->tail)->next;
}

void fake_apart(struct leap__v_id *id, int told)
{
	struct leap__v_id *peer = id->peer;

	if (id->qp)
		fake_flush(id->qp);
	if (peer && peer->qp)
		fake_flush(peer->qp);
	if (id->state != FAKE_LINKED || id->left)
		return;
	id->left = 1;
	if (told)
		fake_tell(id, LEAP__V_DISCONNECTED, 0, NULL, 0);
	if (peer && peer->state == FAKE_LINKED && !peer->left) {
		peer->left = 1;
		fake_tell(peer, LEAP__V_DISCONNECTED, 0, NULL, 0);
	}
}

static void destroy(struct leap__v_id *id)
{
	struct fake_fabric *f = id->f;
	struct leap__v_id **at = &f->ids;

	if (id->state == FAKE_ASKED && id->peer && !id->passive) {
		id->peer->peer = NULL;
	} else if (id->state == FAKE_ASKED && id->peer) {
		fake_tell(id->peer, LEAP__V_REJECTED, 28, NULL, 0);
		id->peer->peer = NULL;
	} else if (id->peer) {
		fake_apart(id, 0);
		id->peer->peer = NULL;
	}
	move_events(id->chan, id, NULL);
	if (id->dev && id->state != FAKE_LISTENING)
		id->dev->nr_ids--;
	while (*at != id)
		at = &(*at)->next;
	*at = id->next;
	f->nr_ids--;
	free(id);
}

/* Requests that a listener has not looked at go with it. */
static void drop_requests(struct leap__v_id *listener)
{
	struct fake_event *e = listener->chan->head;

	while (e) {
		struct leap__v_id *id = e->cm.id;
		int request = e->cm.type == LEAP__V_CONNECT_REQUEST &&
			      id != listener;

		e = e->next;
		if (request) {
			destroy(id);
			e = listener->chan->head;
		}
	}
}

static void id_destroy(struct leap__v_id *id)
{
	struct fake_fabric *f = id->f;

	fake_lock(f);
	if (id->qp)
		abort();
	if (id->state == FAKE_LISTENING)
		drop_requests(id);
	destroy(id);
	fake_unlock(f);
}

static int id_move(struct leap__v_id *id, struct leap__v_chan *to, void *ctx)
{
	fake_lock(id->f);
	id->ctx = ctx;
	move_events(id->chan, id, to);
	id->chan = to;
	fake_unlock(id->f);
	return 0;
}

static struct leap__v_id *find_listener(struct fake_fabric *f, uint16_t port)
{
	struct leap__v_id *id;

	for (id = f->ids; id; id = id->next)
		if (id->state == FAKE_LISTENING && port_of(&id->local) == port)
			return id;
	return NULL;
}

static int v_listen(struct leap__v_id *id, const struct sockaddr *addr,
		    int backlog)
{
	struct fake_fabric *f = id->f;
	int err = 0;

	(void)backlog;
	fake_lock(f);
	copy_addr(&id->local, addr);
	if (fake_fails(f))
		err = -ENODEV;
	else if (!port_of(&id->local))
		set_port(&id->local, ++f->next_port);
	else if (find_listener(f, port_of(&id->local)))
		err = -EADDRINUSE;
	if (!err) {
		id->state = FAKE_LISTENING;
		id->dev = &f->dev;
	}
	fake_unlock(f);
	return err;
}

void fake_dev_use(struct leap__v_id *id)
{
	struct fake_fabric *f = id->f;
	struct leap__v_dev *dev = f->nr_devs ? f->devs[f->nr_devs - 1] : NULL;

	if (!dev || dev->removed) {
		dev = f->nr_devs < FAKE_DEVS ? calloc(1, sizeof(*dev)) : NULL;
		if (!dev)
			abort();
		dev->f = f;
		f->devs[f->nr_devs++] = dev;
	}
	dev->caps = f->dev.caps;
	dev->nr_ids++;
	id->dev = dev;
}

static int resolve_addr(struct leap__v_id *id, const struct sockaddr *addr,
			int timeout_ms)
{
	struct fake_fabric *f = id->f;
	int err = 0;

	(void)timeout_ms;
	fake_lock(f);
	if (fake_fails(f)) {
		err = -ENODEV;
	} else {
		copy_addr(&id->remote, addr);
		id->local = id->remote;
		set_port(&id->local, ++f->next_port);
		fake_dev_use(id);
		fake_tell(id, LEAP__V_ADDR_RESOLVED, 0, NULL, 0);
	}
	fake_unlock(f);
	return err;
}

static int resolve_route(struct leap__v_id *id, int timeout_ms)
{
	(void)timeout_ms;
	fake_lock(id->f);
	fake_tell(id, LEAP__V_ROUTE_RESOLVED, 0, NULL, 0);
	fake_unlock(id->f);
	return 0;
}

static void ask(struct leap__v_id *id, struct leap__v_id *listener,
		const struct leap__v_param *p)
{
	struct fake_fabric *f = id->f;
	struct leap__v_cm cm = { .type = LEAP__V_CONNECT_REQUEST };
	struct leap__v_id *in = new_id(f, listener->chan, NULL);

	if (!in)
		abort();
	fake_dev_use(in);
	in->local = id->remote;
	in->remote = id->local;
	in->passive = 1;
	in->state = FAKE_ASKED;
	in->peer = id;
	id->peer = in;
	id->state = FAKE_ASKED;
	id->rnr_retries = p->rnr_retries;
	id->ird = p->ird;
	id->ord = p->ord;
	cm.id = in;
	cm.ctx = listener->ctx;
	cm.ird = f->no_ird ? 0 : f->max_ird ? f->max_ird : p->ird;
	cm.ord = p->ord;
	memcpy(cm.priv, p->priv, p->priv_len);
	/* A test of short private data wants it short. */
	cm.priv_len = p->priv_len < 32 ? p->priv_len : PRIV_BYTES;
	push(listener->chan, &cm);
}

static int v_connect(struct leap__v_id *id, const struct leap__v_param *p)
{
	struct fake_fabric *f = id->f;
	struct leap__v_id *listener;
	int err = 0;

	fake_lock(f);
	listener = find_listener(f, port_of(&id->remote));
	if (fake_fails(f)) {
		err = -ENOMEM;
	} else if (!listener) {
		id->state = FAKE_APART;
		fake_tell(id, LEAP__V_REJECTED, 8, NULL, 0);
	} else {
		ask(id, listener, p);
	}
	fake_unlock(f);
	return err;
}

static int v_accept(struct leap__v_id *id, const struct leap__v_param *p)
{
	struct fake_fabric *f = id->f;
	int err = 0;

	fake_lock(f);
	if (fake_fails(f) || id->state != FAKE_ASKED || !id->peer) {
		/* The other side has given up. */
		err = -EINVAL;
	} else {
		id->rnr_retries = p->rnr_retries;
		id->ird = p->ird;
		id->ord = p->ord;
		id->state = FAKE_LINKED;
		id->peer->state = FAKE_LINKED;
		fake_tell(id->peer, LEAP__V_ESTABLISHED, 0, p->priv,
			  p->priv_len);
		fake_tell(id, LEAP__V_ESTABLISHED, 0, NULL, 0);
	}
	fake_unlock(f);
	return err;
}

static int v_reject(struct leap__v_id *id, const void *priv, uint8_t len)
{
	fake_lock(id->f);
	if (id->state == FAKE_ASKED && id->peer) {
		id->peer->state = FAKE_APART;
		fake_tell(id->peer, LEAP__V_REJECTED, 28, priv, len);
		id->peer->peer = NULL;
	}
	id->peer = NULL;
	id->state = FAKE_APART;
	fake_unlock(id->f);
	return 0;
}

static int v_disconnect(struct leap__v_id *id)
{
	fake_lock(id->f);
	fake_apart(id, 1);
	fake_unlock(id->f);
	return 0;
}

static int local_addr(struct leap__v_id *id, struct sockaddr_storage *sa)
{
	*sa = id->local;
	return 0;
}

static int peer_addr(struct leap__v_id *id, struct sockaddr_storage *sa)
{
	*sa = id->remote;
	return 0;
}

static struct leap__v_dev *id_dev(struct leap__v_id *id)
{
	return id->dev;
}

struct leap__v_id *fake_id(struct fake_fabric *f, int passive, unsigned int n)
{
	struct leap__v_id *id;

	fake_lock(f);
	for (id = f->ids; id; id = id->next)
		if (id->passive == passive && id->state != FAKE_LISTENING &&
		    !n--)
			break;
	fake_unlock(f);
	return id;
}

void fake_break(struct leap__v_id *id)
{
	fake_lock(id->f);
	if (id->qp)
		fake_flush(id->qp);
	if (id->peer && id->peer->qp)
		fake_flush(id->peer->qp);
	fake_unlock(id->f);
}

void fake_remove_device(struct fake_fabric *f)
{
	struct leap__v_id *id;

	fake_lock(f);
	if (f->nr_devs)
		f->devs[f->nr_devs - 1]->removed = 1;
	for (id = f->ids; id; id = id->next) {
		if (id->qp)
			fake_flush(id->qp);
		if (id->dev)
			fake_tell(id, LEAP__V_DEVICE_REMOVAL, 0, NULL, 0);
	}
	fake_unlock(f);
}

void fake_cm_ops(struct leap__verbs *v)
{
	v->name = "fake";
	v->chan_create = chan_create;
	v->chan_destroy = chan_destroy;
	v->chan_fd = chan_fd;
	v->chan_get = chan_get;
	v->id_create = id_create;
	v->id_destroy = id_destroy;
	v->id_move = id_move;
	v->listen = v_listen;
	v->resolve_addr = resolve_addr;
	v->resolve_route = resolve_route;
	v->connect = v_connect;
	v->accept = v_accept;
	v->reject = v_reject;
	v->disconnect = v_disconnect;
	v->local_addr = local_addr;
	v->peer_addr = peer_addr;
	v->id_dev = id_dev;
}
