/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What groups in other processes are told of a virtual function beside its
 * queues: that it exists, which memory it has, where interrupts go, features;
 * and all of it again when another process takes over. Every message has
 * memory of its own, and a descriptor of its own, until it is answered.
 */
#include "core/ctrl/vdev_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct note {
	struct leap__lmsg m;	/* first */
	struct leap_vdev *v;
	void (*answered)(void *arg, int err);
	void *arg;
};

static void note_arrived(struct leap__lmsg *m)
{
	struct note *n = (struct note *)m;
	struct leap_vdev *v = n->v;

	if (m->fd >= 0)
		close(m->fd);
	v->out--;
	v->mem_out -= m->link.type == LEAP_LINK_MEM_ADD;
	if (m->link.type == LEAP_LINK_IRQ)
		leap__vdev_irq_told(v, m->link.u.irq.vector, m->link.err);
	if (n->answered)
		n->answered(n->arg, m->link.err);
	free(n);
	leap__vdev_settle(v);
}

static struct note *note_make(struct leap_vdev *v, uint16_t type)
{
	struct note *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	leap__link_init(&n->m, type, note_arrived, NULL);
	n->m.ctrl = v->c;
	n->m.link.cntlid = v->c->cntlid;
	n->m.fd = -1;
	n->v = v;
	return n;
}

static void note_send(struct note *n, struct leap__iogroup *g)
{
	n->v->out++;
	n->v->mem_out += n->m.link.type == LEAP_LINK_MEM_ADD;
	leap__link_ask(g, &n->m);
}

/* A copy of @fd goes along. */
static int note_fd(struct note *n, int fd)
{
	if (fd < 0)
		return 0;
	n->m.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return n->m.fd < 0 ? -errno : 0;
}

/* A group that could not be told would serve something else than there is. */
static void note_failed(struct leap_vdev *v)
{
	leap__vdev_fatal(v, 0, -ENOMEM);
}

/* ---- what they say ---- */

static struct note *say_ctrl(struct leap_vdev *v, uint16_t type)
{
	struct note *n = note_make(v, type);

	if (!n)
		return NULL;
	memcpy(n->m.link.u.ctrl.nqn, v->c->ss->nqn, sizeof(v->c->ss->nqn));
	n->m.link.u.ctrl.state_bytes = v->guest.state_bytes;
	if (type == LEAP_LINK_CTRL_ADD &&
	    note_fd(n, leap_dmabuf_fd(v->state))) {
		free(n);
		return NULL;
	}
	return n;
}

static struct note *say_mem(struct leap_vdev *v, const struct leap__vrange *r)
{
	struct note *n = note_make(v, LEAP_LINK_MEM_ADD);
	int fd;

	if (!n)
		return NULL;
	fd = leap__vrange_fd(r, &n->m.link.u.mem.offset);
	n->m.link.u.mem.gpa = r->range.gpa;
	n->m.link.u.mem.bytes = r->range.bytes;
	n->m.link.u.mem.perm = r->range.perm;
	n->m.link.u.mem.key = r->range.key;
	/* There it has to be mapped in any case. */
	n->m.link.u.mem.source = r->range.source == LEAP_ATS_DMABUF ?
				 LEAP_ATS_FD : r->range.source;
	if (note_fd(n, fd)) {
		free(n);
		return NULL;
	}
	return n;
}

static struct note *say_irq(struct leap_vdev *v, uint32_t vector, int fd)
{
	struct note *n = note_make(v, LEAP_LINK_IRQ);

	if (!n)
		return NULL;
	n->m.link.u.irq.vector = vector;
	if (note_fd(n, fd)) {
		free(n);
		return NULL;
	}
	return n;
}

static struct note *say_feature(struct leap_vdev *v, uint32_t fid,
				uint32_t value)
{
	struct note *n = note_make(v, LEAP_LINK_FEATURE);

	if (!n)
		return NULL;
	n->m.link.u.feature.fid = fid;
	n->m.link.u.feature.value = value;
	return n;
}

static void send_or_fail(struct leap_vdev *v, struct note *n,
			 struct leap__iogroup *g)
{
	if (n)
		note_send(n, g);
	else
		note_failed(v);
}

/* ---- to all of them ---- */

#define for_each_remote(v, i) \
	for ((i) = 0; (i) < (v)->target->nr_groups; (i)++) \
		if ((v)->target->groups[i]->remote)

void leap__vdev_tell_add(struct leap_vdev *v)
{
	uint32_t i;

	for_each_remote(v, i)
		send_or_fail(v, say_ctrl(v, LEAP_LINK_CTRL_ADD),
			     v->target->groups[i]);
}

void leap__vdev_tell_end(struct leap_vdev *v)
{
	uint32_t i;

	for_each_remote(v, i)
		send_or_fail(v, say_ctrl(v, LEAP_LINK_CTRL_DEL),
			     v->target->groups[i]);
}

void leap__vdev_tell_mem(struct leap_vdev *v, const struct leap__vrange *r)
{
	uint32_t i;

	for_each_remote(v, i)
		send_or_fail(v, say_mem(v, r), v->target->groups[i]);
}

int leap__vdev_tell_mem_del(struct leap_vdev *v, leap_gpa_t gpa,
			    uint64_t bytes,
			    void (*answered)(void *arg, int err), void *arg)
{
	uint32_t i;
	int nr = 0;

	for_each_remote(v, i) {
		struct note *n = note_make(v, LEAP_LINK_MEM_DEL);

		nr++;
		if (!n) {
			/* Never answered: it times out, as it must. */
			note_failed(v);
			continue;
		}
		n->m.link.u.mem.gpa = gpa;
		n->m.link.u.mem.bytes = bytes;
		n->answered = answered;
		n->arg = arg;
		note_send(n, v->target->groups[i]);
	}
	return nr;
}

void leap__vdev_tell_irq(struct leap_vdev *v, uint32_t vector, int fd)
{
	uint32_t i;

	for_each_remote(v, i)
		send_or_fail(v, say_irq(v, vector, fd), v->target->groups[i]);
}

/* ---- features ---- */

/* Groups remember what they were told: tell each what is different now. */
static void tell_all(struct leap_vdev *v, uint32_t fid, uint32_t value)
{
	uint32_t i;

	for (i = 0; i < v->target->nr_groups; i++)
		send_or_fail(v, say_feature(v, fid, value),
			     v->target->groups[i]);
}

static void tell_coalesce(struct leap_vdev *v, uint32_t all,
			  const uint32_t *off)
{
	uint32_t i;

	for (i = 0; i < v->nr_vectors; i++) {
		uint32_t bit = 1u << i % 32, *told = &v->told_off[i / 32];

		if (!((off[i / 32] ^ *told) & bit))
			continue;
		*told ^= bit;
		tell_all(v, LEAP_FID_INT_VECTOR,
			 i | (*told & bit ? LEAP_FEAT_IV_CD : 0));
	}
	if (all == v->told_coalesce)
		return;
	v->told_coalesce = all;
	tell_all(v, LEAP_FID_INT_COALESCE, all);
}

void leap__vdev_tell_coalesce(struct leap_vdev *v)
{
	tell_coalesce(v, v->c->feat[LEAP__FEAT_INTR_COALESCE],
		      v->c->coalesce_off);
}

static struct note *say_shadow(struct leap_vdev *v)
{
	struct note *n = note_make(v, LEAP_LINK_SHADOW);

	if (n && v->shadow) {
		n->m.link.u.shadow.doorbells = v->shadow_db;
		n->m.link.u.shadow.eventidx = v->shadow_ei;
	}
	return n;
}

void leap__vdev_tell_shadow(struct leap_vdev *v)
{
	uint32_t i;

	for (i = 0; i < v->target->nr_groups; i++)
		send_or_fail(v, say_shadow(v), v->target->groups[i]);
}

void leap__vdev_tell_forget(struct leap_vdev *v)
{
	static const uint32_t none[LEAP__VDEV_VECTORS / 32];

	tell_coalesce(v, 0, none);
	if (v->told_shadow)
		leap__vdev_tell_shadow(v);
	v->told_shadow = 0;
}

static void resumed(void *arg, int err)
{
	if (err)
		leap__vdev_fatal(arg, 0, err);
}

void leap__vdev_tell_resume(struct leap_vdev *v)
{
	uint32_t i;

	for (i = 0; i < v->target->nr_groups; i++) {
		struct note *n = note_make(v, LEAP_LINK_RESUME);

		if (n) {
			n->answered = resumed;
			n->arg = v;
		}
		send_or_fail(v, n, v->target->groups[i]);
	}
}

void leap__vdev_tell_cache(struct leap_vdev *v, struct leap__iogroup *g)
{
	if (g->remote && !v->c->feat[LEAP__FEAT_WRITE_CACHE])
		send_or_fail(v, say_feature(v, LEAP_FID_WRITE_CACHE, 0), g);
}

/* ---- all of it again ---- */

struct replay {
	struct leap_vdev *v;
	struct leap__iogroup *g;
	uint32_t pending;
	int err;
	void (*done)(void *arg, int err);
	void *arg;
};

static void replay_answered(void *arg, int err)
{
	struct replay *r = arg;

	if (err && !r->err)
		r->err = err;
	if (--r->pending)
		return;
	r->done(r->arg, r->err);
	free(r);
}

static void replay_send(struct replay *r, struct note *n)
{
	if (!n) {
		r->err = -ENOMEM;
		return;
	}
	n->answered = replay_answered;
	n->arg = r;
	r->pending++;
	note_send(n, r->g);
}

static void replay_cq(struct replay *r, struct leap__vcq *cq)
{
	struct note *n = note_make(r->v, LEAP_LINK_CQ_ADD);

	if (n) {
		n->m.subject = &cq->io;
		n->m.link.u.cq = cq->io.desc;
		n->m.link.u.cq.flags |= LEAP_QPD_RESUME;
	}
	replay_send(r, n);
}

static void replay_sq(struct replay *r, struct leap__vsq *sq)
{
	struct leap__ioqp *q = &sq->io;
	struct note *n;

	/* The predecessor was asked to end it, and has ended: whoever fenced it
	 * says so. */
	if (leap__ctrl_ioq_is_ending(q))
		return;
	n = note_make(r->v, LEAP_LINK_QP_ADD);
	if (n) {
		n->m.subject = q;
		n->m.link.u.qp = q->desc;
		n->m.link.u.qp.flags |= LEAP_QPD_RESUME;
	}
	replay_send(r, n);
}

static void replay_queues(struct replay *r)
{
	struct leap_vdev *v = r->v;
	uint32_t i;

	for (i = 1; i < v->nr_queues; i++)
		if (v->cq[i] && v->cq[i]->io.group == r->g &&
		    v->cq[i]->state == LEAP__VCQ_LIVE)
			replay_cq(r, v->cq[i]);
	for (i = 1; i < v->nr_queues; i++)
		if (v->c->ioq[i] && v->c->ioq[i]->group == r->g)
			replay_sq(r, (struct leap__vsq *)v->c->ioq[i]);
}

static void replay_features(struct replay *r)
{
	struct leap_vdev *v = r->v;
	uint32_t i;

	for (i = 0; i < v->nr_vectors; i++)
		if (v->told_off[i / 32] & 1u << i % 32)
			replay_send(r, say_feature(v, LEAP_FID_INT_VECTOR,
						   i | LEAP_FEAT_IV_CD));
	if (v->told_coalesce)
		replay_send(r, say_feature(v, LEAP_FID_INT_COALESCE,
					   v->told_coalesce));
	if (v->shadow)
		replay_send(r, say_shadow(v));
	leap__vdev_tell_cache(v, r->g);
}

void leap__vdev_replay(struct leap_vdev *v, struct leap__iogroup *g,
		       void (*done)(void *arg, int err), void *arg)
{
	struct replay *r = calloc(1, sizeof(*r));
	struct leap__list *pos;
	uint32_t i;

	if (!r || !v->c || v->ended) {
		free(r);
		done(arg, v->c && !v->ended ? -ENOMEM : -ENODEV);
		return;
	}
	r->v = v;
	r->g = g;
	r->done = done;
	r->arg = arg;
	r->pending = 1;
	v->irq_refused = 0;
	v->shadow_missed |= v->shadow_cmd != NULL;
	replay_send(r, say_ctrl(v, LEAP_LINK_CTRL_ADD));
	leap__list_for_each(pos, &v->ranges)
		replay_send(r, say_mem(v, leap__list_entry(pos,
					struct leap__vrange, link)));
	for (i = 0; v->opts.client_msix && i < v->nr_vectors; i++)
		if (v->vector[i].irqfd.has_fd)
			replay_send(r, say_irq(v, i, v->vector[i].irqfd.fd));
	replay_queues(r);
	replay_features(r);
	replay_send(r, note_make(v, LEAP_LINK_RESUME));
	if (r->pending > 1) {
		r->pending--;
		return;
	}
	/* Not one could be sent. */
	replay_answered(r, -ENOMEM);
}
