/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A look inside a virtual function, for those who debug one: memory, queues,
 * doorbells, commands in flight. What lies in state memory is read there, so
 * that it can be seen whoever serves the queues, or when nobody does any more;
 * that memory is written by another process meanwhile, and by one that may
 * have gone mad before it was killed: each word is read once, atomically, and
 * bounded by what was agreed when the queue was made. What belongs to threads
 * of this process is asked for by message. Changes nothing.
 *
 *	inspect --> local groups fill in what they serve --> answers
 *	        --> items, one after the other --> done
 */
#include "core/ctrl/vdev_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/endian.h"
#include "util/opts.h"

#define READ_TRIES 4

struct job {
	struct leap_msg msg;	/* first: to ourselves */
	struct leap_vdev *v;
	struct leap_vdev_inspect_ops ops;
	void *arg;
	uint32_t pending;
	struct leap__lmsg *m;	/* one for each group of the target */
	struct leap__inspect in;
};

/* ---- the in-flight record ---- */

static uint64_t load64(const leap_le64 *p)
{
	return leap_from_le64(leap__load_relaxed(p));
}

/*
 * One slot as it was at one moment. Its entry changes only while it is free, so
 * that the same control word before and after says that it did not. 0, or
 * -EAGAIN it never stood still: commands come and go.
 */
static int read_slot(const struct leap_record_slot *slot, uint64_t *control,
		     uint64_t *sqe, struct leap_vdev_slot_info *out)
{
	const leap_le64 *words = (const void *)slot->sqe;
	uint32_t i, tries;

	for (tries = 0; tries < READ_TRIES; tries++) {
		*control = leap_from_le64(leap__load_acquire(&slot->control));
		for (i = 0; i < LEAP__SQE_BYTES / 8; i++)
			sqe[i] = leap__load_relaxed(&words[i]);
		out->status = leap_from_le32(leap__load_relaxed(&slot->status));
		out->note = load64(&slot->note);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (load64(&slot->control) == *control)
			return 0;
	}
	return -EAGAIN;
}

static void tell_slot(const struct job *j, const uint64_t *words,
		      uint64_t control, struct leap_vdev_slot_info *s)
{
	struct leap_sqe sqe;

	memcpy(&sqe, words, sizeof(sqe));
	s->state = control & LEAP_RECORD_STATE_MASK;
	s->seq = (control >> LEAP_RECORD_STATE_BITS) - 1;
	s->opcode = sqe.opc;
	s->cid = leap_from_le16(sqe.cid);
	s->nsid = leap_from_le32(sqe.nsid);
	s->slba = leap_from_le32(sqe.cdw10) |
		  (uint64_t)leap_from_le32(sqe.cdw11) << 32;
	if (s->state != LEAP_RECORD_COMPLETING)
		s->status = 0;
	if (j->ops.slot)
		j->ops.slot(j->arg, s);
}

/* The slots, if there is a record where one has to be. */
static const struct leap_record_slot *
find_slots(const struct leap_vdev *v, uint32_t qid, uint32_t *nr)
{
	uint64_t at = 2ull * v->nr_queues * sizeof(struct leap_doorbell) +
		      qid * v->record_bytes;
	const struct leap_record_header *h =
		(const void *)(v->guest.state + at);

	*nr = leap_from_le32(leap__load_relaxed(&h->nr_slots));
	if (*nr > LEAP__VDEV_SLOTS ||
	    leap_from_le32(leap__load_relaxed(&h->magic)) != LEAP_RECORD_MAGIC)
		*nr = 0;
	return (const void *)(h + 1);
}

static int is_bad(uint64_t control)
{
	uint64_t seq1 = control >> LEAP_RECORD_STATE_BITS;
	uint32_t state = control & LEAP_RECORD_STATE_MASK;

	return state > LEAP_RECORD_COMPLETING ||
	       seq1 > LEAP_RECORD_SEQ_MAX + 1 || (!seq1 && state);
}

static void count_slots(const struct leap_vdev *v, struct leap_vdev_sq_info *q)
{
	const struct leap_record_slot *slot = find_slots(v, q->sqid,
							 &q->nr_slots);
	uint64_t control;
	uint32_t i;

	for (i = 0; i < q->nr_slots; i++) {
		control = load64(&slot[i].control);
		if (is_bad(control)) {
			q->bad_slots++;
			continue;
		}
		q->slots[control & LEAP_RECORD_STATE_MASK]++;
		if (control >> LEAP_RECORD_STATE_BITS > q->fetched)
			q->fetched = control >> LEAP_RECORD_STATE_BITS;
	}
}

static void tell_slots(const struct job *j, uint16_t sqid)
{
	struct leap_vdev_slot_info s;
	const struct leap_record_slot *slot;
	uint64_t control, sqe[LEAP__SQE_BYTES / 8];
	uint32_t i, nr;

	slot = find_slots(j->v, sqid, &nr);
	for (i = 0; i < nr; i++) {
		memset(&s, 0, sizeof(s));
		s.sqid = sqid;
		s.tag = (uint16_t)i;
		if (!read_slot(&slot[i], &control, sqe, &s) &&
		    (control & LEAP_RECORD_STATE_MASK) && !is_bad(control))
			tell_slot(j, sqe, control, &s);
	}
}

/* ---- queues ---- */

static uint32_t shadow_word(const struct leap_vdev *v, leap_gpa_t page,
			    uint32_t index, int *err)
{
	leap_le32 word = 0;

	page.addr += index * 4;
	if (leap_ats_copy_in(v->view, &word, page, sizeof(word)))
		*err = 1;
	return leap_from_le32(word);
}

static void read_db(const struct leap_vdev *v, uint32_t qid, uint32_t cq,
		    struct leap_vdev_db_info *o)
{
	const struct leap_doorbell *db = leap__vdev_db(v, qid, cq);
	int err = !v->shadow || !v->view || !qid;

	o->value = leap_from_le32(leap__load_relaxed(&db->value));
	o->wake = leap_from_le32(leap__load_relaxed(&db->wake));
	o->posted = leap_from_le32(leap__load_relaxed(&db->posted));
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
	const struct leap__inspect_queue *here = &j->in.queue[i->sqid];

	read_db(j->v, i->sqid, 0, &i->db);
	count_slots(j->v, i);
	i->head = (uint32_t)(i->fetched % i->depth);
	i->tail = i->db.has_shadow ? i->db.shadow : i->db.value;
	if (here->has_sq) {
		i->served = 1;
		i->armed = here->sq.armed;
		i->stopped = here->sq.stopped;
		i->no_memory = here->sq.no_memory;
		i->interrupts = here->sq.interrupts;
		i->kicks = here->sq.kicks;
		i->bad_doorbells = here->sq.bad_doorbells;
	}
	if (j->ops.sq)
		j->ops.sq(j->arg, i);
	tell_slots(j, i->sqid);
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
		return leap__err(-EINVAL, "leap_vdev_inspect: ops.done is NULL");
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
