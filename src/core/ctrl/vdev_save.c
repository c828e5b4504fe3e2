/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtual function in a box: what its admin half knows, as bytes and
 * descriptors, and a function made from them again. For a process that is
 * replaced under its guests. What is under way lies in state memory and in the
 * guest's; the rings are taken up as after a kill (LEAP_QPD_RESUME).
 *
 * Items are tag, length, bytes, in the byte order of the machine that both run
 * on. A successor skips what it does not know, and has defaults for what it
 * does not find.
 */
#include "core/ctrl/vdev_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x56454150u

enum {
	T_HEAD = 1, T_CONFIG, T_VECTOR, T_RANGE, T_CQ, T_SQ,
	T_CTRL = 64,	/* and the place in ctrl_fields */
};

struct head {
	uint32_t magic, state_fd, pin_fd, nr_vectors;
	uint32_t cntlid, started, shadow, msix_ctrl;
	uint64_t state_bytes, shadow_db, shadow_ei;
	uint64_t commands, doorbells, admin_posted;
	uint32_t admin_head, admin_tail;
	uint32_t irqs, reserved;
};

struct vector {
	uint32_t index, addr_lo, addr_hi, data, ctrl, pending, fd, reserved;
};

struct range {
	uint64_t gpa, bytes, offset;
	uint32_t perm, fd;
};

struct queue {
	uint64_t gpa, seq, posted;
	uint32_t qid, cqid, depth, vector, flags, at;	/* at: head or tail */
};

#define F(name) { offsetof(struct leap__ctrl, name), \
		  sizeof(((struct leap__ctrl *)0)->name) }

/* Appended to only: the place is the tag. */
static const struct { size_t at, bytes; } ctrl_fields[] = {
	F(hostnqn), F(hostid), F(asq), F(acq), F(cc), F(csts), F(aqa), F(intm),
	F(feat), F(granted), F(timestamp_ms), F(timestamp_ns),
	F(timestamp_origin), F(host_behavior), F(coalesce_off), F(events),
	F(masked), F(changed_ns), F(nr_changed_ns), F(errors), F(error_count),
	F(created_ns),
};

#define NR_FIELDS (sizeof(ctrl_fields) / sizeof(ctrl_fields[0]))

/* ---- save ---- */

struct box {
	struct leap__saved *s;
	int err;		/* the first one */
};

static void put(struct box *b, uint32_t tag, const void *data, uint32_t len)
{
	if (!b->err)
		b->err = leap__saved_put(b->s, tag, data, len);
}

static uint32_t put_fd(struct box *b, int fd)
{
	uint32_t index = LEAP__SAVED_NO_FD;

	if (!b->err)
		b->err = leap__saved_put_fd(b->s, fd, &index);
	return index;
}

static void put_head(struct box *b, const struct leap_vdev *v)
{
	struct head h = {
		.magic = MAGIC,
		.state_fd = put_fd(b, leap_dmabuf_fd(v->state)),
		.pin_fd = put_fd(b, v->pin.has_fd ? v->pin.fd : -1),
		.nr_vectors = v->nr_vectors, .cntlid = v->c->cntlid,
		.started = v->started, .shadow = v->shadow,
		.msix_ctrl = v->msix_ctrl,
		.state_bytes = v->guest.state_bytes,
		.shadow_db = v->shadow_db.addr,
		.shadow_ei = v->shadow_ei.addr, .commands = v->commands,
		.doorbells = v->doorbells,
		.admin_posted = v->admin_cq.posted,
		.admin_head = v->admin_cq.head, .admin_tail = v->admin_tail,
		.irqs = v->opts.irqs,
	};

	put(b, T_HEAD, &h, sizeof(h));
	put(b, T_CONFIG, v->config, sizeof(v->config));
}

static void put_vectors(struct box *b, const struct leap_vdev *v)
{
	uint32_t i;

	for (i = 0; i < v->nr_vectors; i++) {
		const struct leap__vvector *x = &v->vector[i];
		struct vector o = {
			i, x->addr_lo, x->addr_hi, x->data, x->ctrl,
			leap__load_relaxed(&x->pending),
			put_fd(b, x->irqfd.has_fd ? x->irqfd.fd : -1), 0,
		};

		put(b, T_VECTOR, &o, sizeof(o));
	}
}

static void put_ranges(struct box *b, const struct leap_vdev *v)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &v->ranges) {
		const struct leap__vrange *r =
			leap__list_entry(pos, struct leap__vrange, link);
		struct range o = { .gpa = r->range.gpa.addr,
				   .bytes = r->range.bytes,
				   .perm = r->range.perm };

		o.fd = put_fd(b, leap__vrange_fd(r, &o.offset));
		if (o.fd != LEAP__SAVED_NO_FD)
			put(b, T_RANGE, &o, sizeof(o));
	}
}

static void put_queues(struct box *b, const struct leap_vdev *v)
{
	uint32_t i;

	for (i = 1; i < v->nr_queues; i++) {
		const struct leap__vcq *cq = v->cq[i];
		struct queue o;

		if (!cq)
			continue;
		o = (struct queue){
			.gpa = cq->io.desc.gpa.addr, .seq = cq->io.desc.seq,
			.posted = cq->posted, .qid = i,
			.depth = cq->io.desc.depth,
			.vector = cq->io.desc.vector,
			.flags = cq->io.desc.flags, .at = cq->head,
		};
		put(b, T_CQ, &o, sizeof(o));
	}
	for (i = 1; i < v->nr_queues; i++) {
		const struct leap__vsq *sq = (struct leap__vsq *)v->c->ioq[i];
		struct queue o;

		if (!sq)
			continue;
		o = (struct queue){
			.gpa = sq->io.desc.sq.addr, .qid = i,
			.cqid = sq->io.desc.cqid,
			.depth = sq->io.desc.sq_depth, .at = sq->tail,
		};
		put(b, T_SQ, &o, sizeof(o));
	}
}

static int under_way(const struct leap_vdev *v)
{
	const struct leap__ctrl *c = v->c;
	uint32_t i;

	if (c->resetting || c->flush_out || c->feat_cmd || v->shadow_cmd ||
	    !leap__list_empty(&v->memops) || !leap__list_empty(&v->waits))
		return 1;
	for (i = 1; i < v->nr_queues; i++) {
		const struct leap__vsq *sq = (struct leap__vsq *)c->ioq[i];

		if (v->cq[i] && v->cq[i]->state != LEAP__VCQ_LIVE)
			return 1;
		if (sq && (sq->cmd || leap__ctrl_ioq_is_ending(&sq->io)))
			return 1;
	}
	return 0;
}

int leap__vdev_save(const struct leap_vdev *v, struct leap__saved *s)
{
	struct box b = { .s = s };
	uint32_t i;

	memset(s, 0, sizeof(*s));
	if (leap__vdev_ended(v))
		return -ENODEV;
	if (under_way(v))
		return -EAGAIN;
	put_head(&b, v);
	for (i = 0; i < NR_FIELDS; i++)
		put(&b, T_CTRL + i, (const uint8_t *)v->c + ctrl_fields[i].at,
		    (uint32_t)ctrl_fields[i].bytes);
	put_vectors(&b, v);
	put_ranges(&b, v);
	put_queues(&b, v);
	if (b.err)
		leap__saved_free(s);
	return b.err;
}

/* ---- restore ---- */

/* The next item at *@at: 1; 0 at the end, -EPROTO. */
static int next(const struct leap__saved *s, size_t *at, uint32_t *tag,
		const uint8_t **data, uint32_t *len)
{
	if (*at == s->len)
		return 0;
	if (s->len - *at < 8)
		return -EPROTO;
	memcpy(tag, s->bytes + *at, 4);
	memcpy(len, s->bytes + *at + 4, 4);
	*at += 8;
	if (*len > s->len - *at)
		return -EPROTO;
	*data = s->bytes + *at;
	*at += *len;
	return 1;
}

/* As much of it as both have. */
static void take(void *to, size_t bytes, const uint8_t *data, uint32_t len)
{
	memset(to, 0, bytes);
	memcpy(to, data, len < bytes ? len : bytes);
}

static int fd_of(const struct leap__saved *s, uint32_t i)
{
	return i < s->nr_fds ? s->fds[i] : -1;
}

static int take_vector(struct leap_vdev *v, const struct leap__saved *s,
		       const struct vector *o)
{
	struct leap__vvector *x;

	if (o->index >= v->nr_vectors)
		return -EPROTO;
	x = &v->vector[o->index];
	x->addr_lo = o->addr_lo;
	x->addr_hi = o->addr_hi;
	x->data = o->data;
	leap__store_relaxed(&x->ctrl, o->ctrl & 1);
	leap__exchange(&x->pending, o->pending & 1);
	return o->fd == LEAP__SAVED_NO_FD ? 0 :
	       leap_vdev_irq_fd(v, LEAP_VDEV_MSIX, o->index, fd_of(s, o->fd));
}

static int take_range(struct leap_vdev *v, const struct leap__saved *s,
		      const struct range *o)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = o->gpa;
	r.bytes = o->bytes;
	r.offset = o->offset;
	r.perm = o->perm;
	r.source = LEAP_ATS_FD;
	r.fd = fd_of(s, o->fd);
	return leap_vdev_mem_add(v, &r);
}

static int take_cq(struct leap_vdev *v, const struct queue *o)
{
	struct leap__vcq *cq = calloc(1, sizeof(*cq));
	int err;

	if (!cq)
		return -ENOMEM;
	cq->io.desc.cqid = (uint16_t)o->qid;
	cq->io.desc.depth = o->depth;
	cq->io.desc.gpa.addr = o->gpa;
	cq->io.desc.seq = o->seq;
	cq->io.desc.vector = o->vector;
	cq->io.desc.flags = o->flags;
	cq->head = o->at;
	cq->posted = o->posted;
	err = o->qid > UINT16_MAX ? -EINVAL : leap__vdev_resume_cq(v, cq);
	if (err)
		free(cq);
	return err;
}

static int take_sq(struct leap_vdev *v, const struct queue *o)
{
	struct leap__vsq *sq = calloc(1, sizeof(*sq));
	int err;

	if (!sq)
		return -ENOMEM;
	sq->io.desc.qid = (uint16_t)o->qid;
	sq->io.desc.cqid = (uint16_t)o->cqid;
	sq->io.desc.sq_depth = o->depth;
	sq->io.desc.sq.addr = o->gpa;
	sq->tail = o->at;
	err = o->qid > UINT16_MAX || o->cqid > UINT16_MAX ? -EINVAL :
	      leap__vdev_resume_sq(v, sq);
	if (err)
		free(sq);
	return err;
}

/* What has to be there before queues are. */
static int take_state(struct leap_vdev *v, const struct leap__saved *s)
{
	const uint8_t *data;
	uint32_t tag, len;
	struct vector vec;
	struct range range;
	size_t at = 0;
	int more, err = 0;

	while (!err && (more = next(s, &at, &tag, &data, &len)) > 0) {
		if (tag == T_CONFIG) {
			take(v->config, sizeof(v->config), data, len);
		} else if (tag == T_VECTOR) {
			take(&vec, sizeof(vec), data, len);
			err = take_vector(v, s, &vec);
		} else if (tag == T_RANGE) {
			take(&range, sizeof(range), data, len);
			err = take_range(v, s, &range);
		} else if (tag >= T_CTRL && tag < T_CTRL + NR_FIELDS) {
			take((uint8_t *)v->c + ctrl_fields[tag - T_CTRL].at,
			     ctrl_fields[tag - T_CTRL].bytes, data, len);
		}
	}
	return err ? err : more;
}

static int take_queues(struct leap_vdev *v, const struct leap__saved *s)
{
	const uint8_t *data;
	uint32_t tag, len;
	struct queue q;
	size_t at = 0;
	int more, err = 0;

	while (!err && (more = next(s, &at, &tag, &data, &len)) > 0) {
		if (tag != T_CQ && tag != T_SQ)
			continue;
		take(&q, sizeof(q), data, len);
		err = tag == T_CQ ? take_cq(v, &q) : take_sq(v, &q);
	}
	return err ? err : more;
}

/* What indexes something. */
static int check_ctrl(struct leap__ctrl *c)
{
	c->hostnqn[sizeof(c->hostnqn) - 1] = 0;
	if (c->nr_changed_ns > LEAP__NR_CHANGED_NS + 1 || !c->granted ||
	    c->granted > c->target->opts.max_io_queues ||
	    LEAP_GET(c->cc, LEAP_CC_MPS) > LEAP_GET(c->cap, LEAP_CAP_MPSMAX))
		return -EPROTO;
	return 0;
}

static int carry_on(struct leap_vdev *v, const struct leap__saved *s,
		    const struct head *h)
{
	int err = take_state(v, s);

	if (err)
		return err;
	err = check_ctrl(v->c);
	if (err)
		return err;
	leap__vdev_irq_mask(v);
	leap__vdev_msix_control(v, h->msix_ctrl);
	v->commands = h->commands;
	v->doorbells = h->doorbells;
	v->admin_cq.head = h->admin_head;
	v->admin_cq.posted = h->admin_posted;
	v->admin_tail = h->admin_tail;
	if (!h->started)
		return 0;
	if (h->shadow) {
		v->shadow_db.addr = h->shadow_db;
		v->shadow_ei.addr = h->shadow_ei;
		err = leap_ats_attach(v->guest.ats, v->home, &v->view);
		if (err)
			return err;
		v->shadow = 1;
		v->told_shadow = 1;
	}
	leap__vdev_tell_coalesce(v);
	err = take_queues(v, s);
	if (!err && v->shadow)
		leap__vdev_tell_shadow(v);
	if (!err)
		err = leap__vdev_resume_admin(v);
	if (!err)
		leap__vdev_tell_resume(v);
	return err;
}

/* The controller id that the guest's driver knows. */
static int make(struct leap_subsystem *ss, const struct leap_vdev_opts *opts,
		const struct head *h, int fd, struct leap_vdev **out)
{
	struct leap_vdev_opts o = LEAP_VDEV_OPTS_INIT;
	struct leap_dmabuf *state;
	uint16_t last = ss->last_cntlid;
	int err;

	if (opts)
		o = *opts;
	o.nr_vectors = h->nr_vectors;
	o.irqs = h->irqs;	/* what the guest has found,
				 * whatever is asked */
	err = leap_dmabuf_import(fd, 0, h->state_bytes,
				 LEAP_PERM_READ | LEAP_PERM_WRITE, &state);
	if (err)
		return err;
	ss->last_cntlid = (uint16_t)(h->cntlid - 1);
	err = leap__vdev_make(ss, &o, state, out);
	leap_dmabuf_put(state);
	if (ss->last_cntlid < last)
		ss->last_cntlid = last;
	if (err)
		return err;
	if ((*out)->c->cntlid == h->cntlid)
		return 0;
	leap_vdev_destroy(*out, NULL, NULL);
	return leap__err(-EBUSY,
			 "leap__vdev_restore: controller id %u is taken",
			 h->cntlid);
}

int leap__vdev_restore(struct leap_subsystem *ss,
		       const struct leap_vdev_opts *opts,
		       const struct leap__saved *s,
		       struct leap_vdev **out)
{
	const uint8_t *data;
	struct leap_vdev *v;
	struct head h = { 0 };
	uint32_t tag, len;
	size_t at = 0;
	int err;

	if (next(s, &at, &tag, &data, &len) > 0 && tag == T_HEAD)
		take(&h, sizeof(h), data, len);
	if (h.magic != MAGIC || !h.cntlid || h.cntlid > UINT16_MAX)
		return leap__err(-EPROTO, "leap__vdev_restore: %zu bytes that "
				 "are not of a saved drive", s->len);
	err = make(ss, opts, &h, fd_of(s, h.state_fd), &v);
	if (err)
		return err;
	err = carry_on(v, s, &h);
	if (!err && h.pin_fd != LEAP__SAVED_NO_FD)
		err = leap_vdev_irq_fd(v, LEAP_VDEV_INTX, 0,
				       fd_of(s, h.pin_fd));
	if (err) {
		leap_vdev_destroy(v, NULL, NULL);
		return err;
	}
	leap__vdev_intx_update(v);
	*out = v;
	return 0;
}
