/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A look at controllers that an agent has lent: what this process has of them
 * and the agent cannot see, mappings and IOTLBs above all; and of their queues
 * what the agent shows as well (vdev_inspect.c). Changes nothing.
 */
#include "core/ctrl/runtime_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ats/ats.h"
#include "core/ctrl/inspect.h"
#include "core/io/info.h"
#include "util/opts.h"

struct job {
	struct leap__round r;
	struct leap__rctrl *c;
	struct leap_vdev_inspect_ops ops;
	void *arg;
	struct leap__inspect in;
};

/* State memory that the agent has named; NULL: it is not there. */
static const void *state_at(const struct leap__rctrl *c, uint64_t offset,
			    uint64_t bytes)
{
	if (offset % 64 || bytes > c->guest.state_bytes ||
	    offset > c->guest.state_bytes - bytes)
		return NULL;
	return c->guest.state + offset;
}

static void read_db(const struct leap__rctrl *c, uint64_t offset,
		    struct leap_vdev_db_info *o)
{
	const struct leap_doorbell *db = state_at(c, offset, sizeof(*db));

	if (db)
		leap__inspect_db(db, o);
}

/* Where the ring really is: the guest's doorbell may be a shadow one. */
static void live_ring(const struct job *j, struct leap_vdev_cq_info *i)
{
	uint32_t q;

	for (q = 0; q < j->in.nr; q++) {
		if (!j->in.queue[q].has_sq || j->in.queue[q].sq.cqid != i->cqid)
			continue;
		i->head = j->in.queue[q].sq.cq_head;
		i->tail = j->in.queue[q].sq.cq_tail;
		return;
	}
}

static void tell_cq(const struct job *j, const struct leap__rcq *cq)
{
	const struct leap_cq_desc *d = &cq->io.desc;
	struct leap_vdev_cq_info i = {
		.cqid = d->cqid, .nr_sqs = (uint16_t)cq->nr_qps,
		.depth = d->depth, .gpa = d->gpa, .vector = d->vector,
		.pin = !!(d->flags & LEAP_QPD_PIN),
	};

	read_db(j->c, d->doorbell, &i.db);
	i.head = i.db.value;
	i.tail = d->depth ? i.db.posted % d->depth : 0;
	live_ring(j, &i);
	if (d->cqid < j->in.nr && j->in.queue[d->cqid].has_view) {
		i.has_view = 1;
		i.view = j->in.queue[d->cqid].view;
	}
	if (j->ops.cq)
		j->ops.cq(j->arg, &i);
}

static void tell_qp(const struct job *j, const struct leap__rqp *q)
{
	const struct leap_qp_desc *d = &q->io.desc;
	struct leap__inspect_record r = { 0 };
	struct leap_vdev_sq_info i = {
		.sqid = d->qid, .cqid = d->cqid, .depth = d->sq_depth,
		.gpa = d->sq,
	};

	if (d->record_bytes >= sizeof(*r.head)) {
		r.head = state_at(j->c, d->record, d->record_bytes);
		r.max_slots = (uint32_t)((d->record_bytes - sizeof(*r.head)) /
					 LEAP_RECORD_SLOT_BYTES);
	}
	read_db(j->c, d->doorbell, &i.db);
	leap__inspect_record(&r, &i);
	i.tail = i.db.value;
	if (d->qid < j->in.nr && j->in.queue[d->qid].has_sq) {
		leap__inspect_served(&j->in.queue[d->qid], &i);
		i.head = j->in.queue[d->qid].sq.sq_head;
		i.tail = j->in.queue[d->qid].sq.sq_tail;
	}
	if (j->ops.sq)
		j->ops.sq(j->arg, &i);
	leap__inspect_slots(&r, d->qid, &j->ops, j->arg);
}

static void tell_range(void *arg, const struct leap__ats_range *r)
{
	const struct job *j = arg;
	struct leap_vdev_mem_info i = {
		.gpa.addr = r->start, .bytes = r->last - r->start + 1,
		.perm = r->perm, .source = r->source,
	};

	if (j->ops.mem)
		j->ops.mem(j->arg, &i);
}

static void answered(struct leap__round *r)
{
	struct job *j = r->arg;
	struct leap__rctrl *c = j->c;
	struct leap__list *pos;

	leap__ats_ranges(c->guest.ats, tell_range, j);
	leap__list_for_each(pos, &c->cqs)
		tell_cq(j, leap__list_entry(pos, struct leap__rcq, link));
	leap__list_for_each(pos, &c->qps)
		tell_qp(j, leap__list_entry(pos, struct leap__rqp, link));
	c->out--;
	leap__rctrl_settle(c);
	j->ops.done(j->arg);
	leap__round_fini(r);
	free(j);
}

/* Room for every queue that there is, by its number. */
static uint32_t highest(const struct leap__rctrl *c)
{
	const struct leap__list *pos;
	uint32_t max = 0;

	leap__list_for_each(pos, &c->cqs) {
		const struct leap__rcq *cq =
			leap__list_entry(pos, struct leap__rcq, link);

		if (cq->io.desc.cqid > max)
			max = cq->io.desc.cqid;
	}
	leap__list_for_each(pos, &c->qps) {
		const struct leap__rqp *q =
			leap__list_entry(pos, struct leap__rqp, link);

		if (q->io.desc.qid > max)
			max = q->io.desc.qid;
	}
	return max;
}

static int start(struct leap__rctrl *c, const struct leap_vdev_inspect_ops *o,
		 void *arg)
{
	struct leap_target *t = c->rt->target;
	uint32_t i, nr = highest(c) + 1;
	struct job *j = calloc(1, sizeof(*j) + nr * sizeof(j->in.queue[0]));

	if (!j || !leap__round_prepare(t, &j->r, LEAP__LINK_INSPECT)) {
		free(j);
		return leap__err(-ENOMEM, "leap_runtime_inspect: no memory");
	}
	j->c = c;
	j->ops = *o;
	j->arg = arg;
	j->in.nr = nr;
	j->r.done = answered;
	j->r.arg = j;
	for (i = 0; i < j->r.nr; i++) {
		j->r.m[i].ctrl = c;
		j->r.m[i].subject = &j->in;
		j->r.m[i].fd = -1;
	}
	c->out++;
	leap__round_send(t, &j->r);
	return 0;
}

int leap_runtime_inspect(struct leap_runtime *rt, uint16_t cntlid,
			 const struct leap_vdev_inspect_ops *ops, void *arg)
{
	struct leap__rctrl *c = leap__rctrl_find(rt, cntlid);
	struct leap_vdev_inspect_ops o;
	int err = leap__opts_copy(&o, sizeof(o), ops);

	if (err)
		return err;
	if (!o.done)
		return leap__err(-EINVAL,
				 "leap_runtime_inspect: ops.done is NULL");
	if (!c || c->ending)
		return leap__err(-ENOENT,
				 "leap_runtime_inspect: no controller %u",
				 cntlid);
	return start(c, &o, arg);
}

int leap_runtime_ctrl_next(const struct leap_runtime *rt, uint32_t after,
			   struct leap_runtime_ctrl_info *info)
{
	struct leap_runtime_ctrl_info i = { 0 };
	const struct leap__rctrl *best = NULL;
	const struct leap__list *pos;

	leap__list_for_each(pos, &rt->ctrls) {
		const struct leap__rctrl *c =
			leap__list_entry(pos, struct leap__rctrl, link);

		if (c->id > after && !c->ending && (!best || c->id < best->id))
			best = c;
	}
	if (!best)
		return -ENOENT;
	i.cntlid = best->id;
	i.nr_queues = (uint16_t)best->nr_qps;
	i.mem_bytes = best->mem_bytes;
	memcpy(i.nqn, best->ss->nqn, sizeof(best->ss->nqn));
	return leap__info_copy("leap_runtime_ctrl_next", info, &i, sizeof(i));
}
