/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that is given to those who connect: the owner's end of farmem.h.
 *
 * Listens, registers the memory once for each device, and answers a connection
 * with its address and key. From then on nothing happens here but the end: the
 * peer's READs and WRITEs are the device's. The memory is deregistered when the
 * last queue pair has been destroyed, and then the share is done. Knows nothing
 * of what is in the memory.
 */
#include "transport/rdma/door.h"
#include "transport/rdma/farmem.h"

#include "core/io/inet.h"
#include "core/io/info.h"
#include "util/err.h"
#include "util/list.h"
#include "util/opts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG		16
#define MAX_PEERS	64u

/* The memory as a device knows it. */
struct region {
	struct leap__list link;
	const struct leap__rdma_dev *dev;	/* its peers keep it */
	struct leap__v_mr *mr;
	uint32_t key;
	uint32_t users;
};

struct peer {
	struct leap__rdma_conn c;	/* first */
	struct leap_share *share;
	struct region *region;
	struct leap__list link;
};

struct leap_share {
	struct leap__rdma_door door;	/* first */
	struct leap_pollgroup *pg;
	struct leap_dmabuf *buf;
	struct leap__list regions;
	struct leap__list peers;
	struct leap_share_info info;
	uint32_t perm;
	uint32_t max_peers;
	uint8_t token[LEAP_SHARE_TOKEN];
	uint8_t closing;
	uint8_t unwatched;
	void (*done)(void *arg);
	void *done_arg;
	char url[128];
};

/* ---- the memory ---- */

static uint32_t access_of(uint32_t perm)
{
	return (perm & LEAP_PERM_READ ? LEAP__V_REMOTE_READ : 0) |
	       (perm & LEAP_PERM_WRITE ? LEAP__V_REMOTE_WRITE : 0);
}

/* With the last peer on that device: nothing may be left of a device that
 * nobody is connected by. One who comes back gets another key. */
static void region_put(struct leap_share *s, struct region *r)
{
	if (--r->users)
		return;
	leap__list_remove(&r->link);
	s->door.v->mr_destroy(r->mr);
	free(r);
}

static int region_get(struct leap_share *s, const struct leap__rdma_dev *dev,
		      struct region **out)
{
	struct leap__v_keys keys;
	struct leap__list *pos;
	struct region *r;
	int err;

	leap__list_for_each(pos, &s->regions) {
		r = leap__list_entry(pos, struct region, link);
		if (r->dev != dev)
			continue;
		r->users++;
		*out = r;
		return 0;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	err = s->door.v->mr_create(dev->pd, leap_dmabuf_addr(s->buf),
				   leap_dmabuf_bytes(s->buf),
				   access_of(s->perm), &keys, &r->mr);
	if (err) {
		free(r);
		return err;
	}
	r->dev = dev;
	r->key = keys.rkey;
	r->users = 1;
	leap__list_push_back(&s->regions, &r->link);
	*out = r;
	return 0;
}

/* ---- the end ---- */

static void share_free(struct leap_share *s)
{
	leap__rdma_door_end(&s->door);
	leap_dmabuf_put(s->buf);
	free(s);
}

/* Nobody is connected, and nobody looks at the channel. */
static void maybe_done(struct leap_share *s)
{
	struct leap_pollgroup *pg = s->pg;
	void (*done)(void *arg) = s->done;
	void *arg = s->done_arg;

	if (!s->closing || !s->unwatched || !leap__list_empty(&s->peers))
		return;
	share_free(s);
	leap__pollgroup_release(pg);
	if (done)
		done(arg);
}

static void watch_ended(void *arg)
{
	struct leap_share *s = arg;

	s->unwatched = 1;
	maybe_done(s);
}

void leap_share_destroy(struct leap_share *s, void (*done)(void *arg),
			void *arg)
{
	struct leap__list *pos, *next;

	if (!s)
		return;
	s->closing = 1;
	s->done = done;
	s->done_arg = arg;
	leap__list_for_each_safe(pos, next, &s->peers)
		leap__rdma_kill(&leap__list_entry(pos, struct peer, link)->c,
				-ECANCELED);
	leap__rdma_door_close(&s->door, watch_ended);
}

/* ---- one that has connected ---- */

static void peer_sent(struct leap__rdma_conn *c, uint32_t kind, void *ptr)
{
	(void)c;
	(void)kind;
	(void)ptr;
}

static void peer_gather(struct leap__rdma_conn *c)
{
	(void)c;
}

static void peer_event(struct leap__rdma_conn *c, const struct leap__v_cm *cm)
{
	if (cm->type != LEAP__V_ESTABLISHED || c->state != LEAP__RDMA_SETUP) {
		leap__rdma_kill(c, -EPROTO);
		return;
	}
	c->state = LEAP__RDMA_READY;
	leap_timer_stop(c->pg, &c->timer);
}

static void peer_gone(struct leap__rdma_conn *c)
{
	struct peer *p = (struct peer *)c;
	struct leap_share *s = p->share;

	leap__list_remove(&p->link);
	s->info.peers--;
	region_put(s, p->region);
	free(p);
	maybe_done(s);
}

static const struct leap__rdma_end peer_end = {
	.recv = leap__rdma_no_recv,
	.sent = peer_sent,
	.gather = peer_gather,
	.event = peer_event,
	.gone = peer_gone,
};

static int accept_it(struct leap_share *s, struct peer *p,
		     const struct leap__v_cm *cm)
{
	struct leap__farmem_mem mem = {
		.addr = (uintptr_t)leap_dmabuf_addr(s->buf),
		.bytes = leap_dmabuf_bytes(s->buf),
		.key = p->region->key, .perm = s->perm,
	};
	struct leap__farmem_rep rep;
	struct leap__v_param param = {
		.priv = &rep, .priv_len = sizeof(rep), .ird = cm->ord,
		.retries = LEAP__RDMA_RETRIES,
		.rnr_retries = LEAP__RDMA_RNR_RETRIES,
	};
	int err;

	leap__farmem_rep_make(&rep, &mem);
	if (param.ird > p->c.dev->caps.max_ird)
		param.ird = p->c.dev->caps.max_ird;
	err = p->c.v->accept(p->c.id, &param);
	p->c.linked = !err;
	return err;
}

/* Its id is taken over, also when it is refused. */
static void refuse(struct leap_share *s, struct peer *p,
		   const struct leap__v_cm *cm, int err)
{
	s->info.refused++;
	s->door.v->reject(cm->id, NULL, 0);
	if (!p || !p->c.id)
		s->door.v->id_destroy(cm->id);
	if (p)
		leap__rdma_conn_fini(&p->c);
	free(p);
	leap__pg_log_limited(s->pg, &s->pg->peer_limit, LEAP_LOG_WARN,
			     "rdma: a connection to shared memory is refused: "
			     "%s", strerror(-err));
}

/*
 * A machine that has gone does not say so, and we post nothing that its device
 * could fail to answer: it would have its place for ever.
 */
static void ask_who_is_there(struct leap_share *s)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &s->peers) {
		struct leap__rdma_conn *c =
			&leap__list_entry(pos, struct peer, link)->c;

		if (c->state == LEAP__RDMA_READY && leap__rdma_room(c))
			leap__rdma_touch(c);
	}
}

static void peer_start(struct leap__rdma_door *d, const struct leap__v_cm *cm)
{
	struct leap_share *s = (struct leap_share *)d;
	struct peer *p = NULL;
	int err;

	err = leap__farmem_req_parse(cm->priv, cm->priv_len, s->token);
	if (!err && s->info.peers >= s->max_peers) {
		ask_who_is_there(s);
		err = -EUSERS;
	}
	if (!err) {
		p = calloc(1, sizeof(*p));
		err = p ? 0 : -ENOMEM;
	}
	if (!err) {
		p->share = s;
		p->c.realm = s;
		err = leap__rdma_conn_init(&p->c, &peer_end, s->pg, cm->id);
	}
	if (!err)
		err = leap__rdma_conn_qp(&p->c, 1, 1, 0);
	if (!err)
		err = region_get(s, p->c.dev, &p->region);
	if (err) {
		refuse(s, p, cm, err);
		return;
	}
	leap__list_push_back(&s->peers, &p->link);
	s->info.peers++;
	leap__rdma_timer(&p->c, LEAP__RDMA_HELLO_MS);
	err = accept_it(s, p, cm);
	if (err)
		leap__rdma_kill(&p->c, err);
	else
		s->info.accepted++;
}

/* ---- the beginning ---- */

static int listen_at(struct leap_share *s, const char *url)
{
	static const char call[] = "leap_share_create";
	char text[64];
	int err;

	err = leap__farmem_url(call, url, s->url, sizeof(s->url),
			       &s->door.addr);
	if (!err)
		err = leap__rdma_door_open(&s->door, s->pg, call);
	if (err)
		return err;
	leap__inet_text(&s->door.addr, text, sizeof(text));
	snprintf(s->url, sizeof(s->url), "rdma://%s", text);
	return 0;
}

int leap_share_create(struct leap_pollgroup *pg,
		      const struct leap_share_opts *user,
		      struct leap_share **out)
{
	const uint32_t rw = LEAP_PERM_READ | LEAP_PERM_WRITE;
	struct leap_share_opts opts;
	struct leap_share *s;
	int err;

	*out = NULL;
	err = leap__opts_copy(&opts, sizeof(opts), user);
	if (err)
		return err;
	if (!opts.buf || !opts.perm || (opts.perm & ~rw))
		return leap__err(-EINVAL, "leap_share_create: buf %p, perm %#x",
				 (void *)opts.buf, opts.perm);
	s = calloc(1, sizeof(*s));
	if (!s)
		return leap__err(-ENOMEM, "leap_share_create: out of memory");
	s->pg = pg;
	s->buf = leap_dmabuf_get(opts.buf);
	s->perm = opts.perm;
	s->max_peers = opts.max_peers ? opts.max_peers : MAX_PEERS;
	s->door.request = peer_start;
	s->door.backlog = BACKLOG;
	s->info.size = sizeof(s->info);
	memcpy(s->token, opts.token, sizeof(s->token));
	leap__list_init(&s->regions);
	leap__list_init(&s->peers);
	err = listen_at(s, opts.url);
	if (err) {
		share_free(s);
		return err;
	}
	leap__pollgroup_hold(pg);
	*out = s;
	return 0;
}

const char *leap_share_url(const struct leap_share *s)
{
	return s->url;
}

int leap_share_info(const struct leap_share *s, struct leap_share_info *info)
{
	return leap__info_copy("leap_share_info", info, &s->info,
			       sizeof(s->info));
}
