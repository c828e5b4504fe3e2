/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A look inside a virtual function, for those who debug one: memory, queues,
 * doorbells, commands in flight. What lies in state memory is read there
 * (inspect.c), so that it can be seen whoever serves the queues, or when nobody
 * does any more. What belongs to threads of this process is asked for by
 * message. Changes nothing.
 *
 *	inspect --> local groups fill in what they serve --> answers
 *	        --> items, one after the other --> done
 */
#include "core/ctrl/vdev_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "core/ctrl/inspect.h"
#include "util/opts.h"

struct job {
	struct leap_msg msg;	/* first: to ourselves */
	struct leap_vdev *v;
	struct leap_vdev_inspect_ops ops;
	void *arg;
	uint32_t pending;
	struct leap__lmsg *m;	/* one for each group of the target */
	struct leap__inspect in;
};

/* ---- queues ---- */

static struct leap__inspect_record record_of(const struct leap_vdev *v,
					     uint32_t qid)
{
	const uint8_t *at = v->guest.state +
			    2ull * v->nr_queues * sizeof(struct leap_doorbell) +
			    qid * v->record_bytes;

	return (struct leap__inspect_record){
		.head = (const void *)at, .max_slots = LEAP__VDEV_SLOTS };
}

static uint32_t shadow_word(const struct leap_vdev *v, leap_gpa_t page,
			    uint32_t index, int *err)
{
	leap_le32 word = 0;

	page.addr += index * 4;
	if (leap_ats_copy_in(v->view, &word, page, sizeof(word)))
		*err = 1;
	/* Above is what nobody looks at, or our mark. */
	return leap_from_le32(word) & 0xffff;
}

static void read_db(const struct leap_vdev *v, uint32_t qid, uint32_t cq,
		    struct leap_vdev_db_info *o)
{
	const struct leap_doorbell *db = leap__vdev_db(v, qid, cq);
	int err = !v->shadow || !v->view || !qid;

	leap__inspect_db(db, o);
	if (err)
		return;
	o->shadow = shadow_word(v, v->shadow_db, 2 * qid + cq, &err);
	o->eventidx = shadow_word(v, v->shadow_ei, 2 * qid + cq, &err);
	o->has_shadow = !err;
}

static void tell_cq(const struct job *j, struct leap__vcq *cq)
{
	const struct leap_cq_desc *d = &cq->io.desc;
	struct leap_vdev_cq_info i = { .cqid = d->cqid };

	i.nr_sqs = d->cqid ? (uint16_t)cq->io.nr_sqs : 1;
	i.depth = d->depth;
	i.gpa = d->gpa;
	i.vector = d->vector;
	i.pin = !!(d->flags & LEAP_QPD_PIN);
	read_db(j->v, d->cqid, 1, &i.db);
	i.head = i.db.has_shadow ? i.db.shadow : i.db.value;
	i.tail = (uint32_t)(leap__vdev_cq_posted(j->v, cq) % d->depth);
	if (d->cqid < j->in.nr && j->in.queue[d->cqid].has_view) {
		i.has_view = 1;
		i.view = j->in.queue[d->cqid].view;
	}
	if (j->ops.cq)
		j->ops.cq(j->arg, &i);
}

static void tell_sq(const struct job *j, struct leap_vdev_sq_info *i)
{
	const struct leap__inspect_record r = record_of(j->v, i->sqid);

	read_db(j->v, i->sqid, 0, &i->db);
	leap__inspect_record(&r, i);
	i->tail = i->db.has_shadow ? i->db.shadow : i->db.value;
	leap__inspect_served(&j->in.queue[i->sqid], i);
	if (j->ops.sq)
		j->ops.sq(j->arg, i);
	leap__inspect_slots(&r, i->sqid, &j->ops, j->arg);
}

/* The admin queue is the home's own. */
static void look_at_admin(struct job *j)
{
	const struct leap_vdev *v = j->v;
	struct leap__inspect_queue *q = &j->in.queue[0];
	const struct leap__vadmin *a;

	if (!v->started || leap__list_empty(&v->admins))
		return;
	/* The last one; others are on their way out. */
	a = leap__list_entry(v->admins.prev, struct leap__vadmin, link);
	q->has_view = 1;
	leap__guest_cq_view_stats(a->cq, &q->view);
	/* Unless it has ended itself: rings that lie. */
	if (!v->c->conn || v->c->conn->vqp != a->vqp)
		return;
	q->has_sq = 1;
	leap__guest_vqp_info(a->vqp, &q->sq);
}

static void tell_queues(const struct job *j)
{
	struct leap_vdev *v = j->v;
	uint32_t q;

	if (v->started)
		tell_cq(j, &v->admin_cq);
	for (q = 1; q < v->nr_queues; q++)
		if (v->cq[q])
			tell_cq(j, v->cq[q]);
	if (v->started) {
		struct leap_vdev_sq_info i = { .depth = v->admin_depth };

		i.gpa.addr = v->c->asq;
		tell_sq(j, &i);
	}
	for (q = 1; q < v->nr_queues; q++) {
		const struct leap__ioqp *io = v->c->ioq[q];
		struct leap_vdev_sq_info i = { .sqid = (uint16_t)q };

		if (!io)
			continue;
		i.cqid = io->desc.cqid;
		i.depth = io->desc.sq_depth;
		i.gpa = io->desc.sq;
		tell_sq(j, &i);
	}
}

static void tell_mem(const struct job *j)
{
	const struct leap__list *pos;

	leap__list_for_each(pos, &j->v->ranges) {
		const struct leap__vrange *r =
			leap__list_entry(pos, struct leap__vrange, link);
		const struct leap_vdev_mem_info i = {
			.gpa = r->range.gpa, .bytes = r->range.bytes,
			.perm = r->range.perm, .source = r->range.source,
		};

		if (j->ops.mem)
			j->ops.mem(j->arg, &i);
	}
}

/* ---- the call ---- */

static void finish(struct job *j)
{
	struct leap_vdev *v = j->v;

	look_at_admin(j);
	tell_mem(j);
	tell_queues(j);
	v->out--;
	leap__vdev_settle(v);
	j->ops.done(j->arg);
	free(j->m);
	free(j);
}

static void answered(struct leap__lmsg *m)
{
	struct job *j = m->arg;

	if (!--j->pending)
		finish(j);
}

static void asked_all(struct leap_msg *msg)
{
	struct job *j = (struct job *)msg;

	if (!--j->pending)
		finish(j);
}

/* Those of other processes are not asked; there may be no others. */
static void ask(struct job *j)
{
	const struct leap_target *t = j->v->target;
	uint32_t i;

	j->v->out++;
	j->pending = 1;
	j->msg.run = asked_all;
	leap_pollgroup_send(j->v->home, &j->msg);
	for (i = 0; i < t->nr_groups; i++)
		j->pending += !t->groups[i]->remote;
	for (i = 0; i < t->nr_groups; i++) {
		if (t->groups[i]->remote)
			continue;
		leap__link_init(&j->m[i], LEAP__LINK_INSPECT, answered, j);
		j->m[i].ctrl = j->v->c;
		j->m[i].subject = &j->in;
		j->m[i].fd = -1;
		leap__link_ask(t->groups[i], &j->m[i]);
	}
}

int leap_vdev_inspect(struct leap_vdev *v,
		      const struct leap_vdev_inspect_ops *ops, void *arg)
{
	struct leap_vdev_inspect_ops o;
	struct job *j;
	int err = leap__opts_copy(&o, sizeof(o), ops);

	if (err)
		return err;
	if (!o.done)
		return leap__err(-EINVAL,
				 "leap_vdev_inspect: ops.done is NULL");
	if (!v->c || v->told_end)
		return leap__err(-ENODEV,
				 "leap_vdev_inspect: the drive is going");
	j = calloc(1, sizeof(*j) + v->nr_queues * sizeof(j->in.queue[0]));
	if (j)
		j->m = calloc(v->target->nr_groups, sizeof(*j->m));
	if (!j || !j->m) {
		free(j);
		return leap__err(-ENOMEM, "leap_vdev_inspect: out of memory");
	}
	j->v = v;
	j->ops = o;
	j->arg = arg;
	j->in.nr = v->nr_queues;
	ask(j);
	return 0;
}
