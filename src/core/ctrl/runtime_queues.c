/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues of controllers that an agent has lent: they go to the target's I/O
 * groups by the same messages that a virtual function sends in one process, and
 * each question of the agent is answered with what became of it.
 *
 *	CQ_ADD --> QP_ADD ... QP_DEL, gone --> CQ_DEL
 */
#include "core/ctrl/runtime_priv.h"

#include <errno.h>
#include <stdlib.h>

enum { CQ_ADDING, CQ_LIVE, CQ_FAILED, CQ_DELETING };

/* ---- queue pairs ---- */

static void qp_settle(struct leap__rqp *q)
{
	struct leap__rctrl *c = q->c;
	uint32_t i;

	if (!q->gone || !q->added || q->del_out)
		return;
	for (i = 0; i < q->nr_dels; i++)
		leap__runtime_reply(c->rt, &q->dels[i], 0, -1);
	q->cq->nr_qps--;
	leap__list_remove(&q->link);
	c->nr_qps--;
	free(q);
	leap__rctrl_settle(c);
}

static void qp_added(struct leap__lmsg *m)
{
	struct leap__rqp *q = m->subject;
	struct leap_pollgroup *pg = q->io.group->pg;
	int fd = -1;

	q->added = 1;
	if (!m->link.err) {
		fd = pg->world->ops->wake_fd(pg->world);
		q->q.u.qp.reserved = (uint16_t)q->io.group->index;
	}
	leap__runtime_reply(q->c->rt, &q->q, m->link.err, fd);
	qp_settle(q);
}

static void qp_stats(struct leap__lmsg *m)
{
	struct leap__rqp *q = m->arg;
	struct leap_link_msg out = {
		.type = LEAP_LINK_STATS, .cntlid = q->c->id,
	};

	out.u.stats_of.count = m->link.u.stats;
	out.u.stats_of.qid = q->io.desc.qid;
	leap__runtime_tell(q->c->rt, &out);
}

static void qp_gone(struct leap__lmsg *m)
{
	struct leap__rqp *q = m->subject;

	q->gone = 1;
	qp_settle(q);
}

static void qp_delete(struct leap__rqp *q, uint32_t flags);

static void qp_deleted(struct leap__lmsg *m)
{
	struct leap__rqp *q = m->subject;

	q->del_out = 0;
	/* Asked to drain first, and to end at once meanwhile. */
	if (q->del_again && !q->gone) {
		q->del_again = 0;
		qp_delete(q, 0);
		return;
	}
	qp_settle(q);
}

static void qp_delete(struct leap__rqp *q, uint32_t flags)
{
	if (q->gone)
		return;
	if (q->del_out) {
		q->del_again |= !flags;
		return;
	}
	q->del_out = 1;
	q->del_flags = flags;
	leap__link_init(&q->io.del, LEAP_LINK_QP_DEL, qp_deleted, q);
	q->io.del.ctrl = q->c;
	q->io.del.subject = &q->io;
	q->io.del.link.u.feature.value = flags;
	leap__link_ask(q->io.group, &q->io.del);
}

struct leap__rqp *leap__rctrl_find_qp(struct leap__rctrl *c, uint16_t qid)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &c->qps) {
		struct leap__rqp *q =
			leap__list_entry(pos, struct leap__rqp, link);

		if (q->io.desc.qid == qid && !q->gone)
			return q;
	}
	return NULL;
}

static struct leap__rcq *find_cq(struct leap__rctrl *c, uint16_t cqid)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &c->cqs) {
		struct leap__rcq *cq =
			leap__list_entry(pos, struct leap__rcq, link);

		if (cq->io.desc.cqid == cqid && cq->state <= CQ_LIVE)
			return cq;
	}
	return NULL;
}

static void fill_qp(struct leap__rctrl *c, struct leap__rqp *q,
		    const struct leap_link_msg *msg)
{
	struct leap__ioqp *io = &q->io;

	q->c = c;
	q->q = *msg;
	io->group = q->cq->io.group;
	io->ss = c->ss->ioss[io->group->index];
	io->desc = msg->u.qp;
	io->max_bytes = c->guest.max_data_bytes;
	io->write_through = !!(msg->u.qp.flags & LEAP_QPD_WRITE_THROUGH);
	io->ctrl = c;
	io->guest = &c->guest;
	io->iocq = &q->cq->io;
	leap__list_init(&io->link);
	leap__link_init(&io->add, LEAP_LINK_QP_ADD, qp_added, q);
	io->add.subject = io;
	io->add.ctrl = c;
	io->add.link.u.qp = io->desc;
	leap__link_init(&io->stats, LEAP_LINK_STATS, qp_stats, q);
	leap__link_init(&io->gone, LEAP_LINK_QP_DEL, qp_gone, q);
	io->gone.subject = io;
}

int leap__rctrl_qp_add(struct leap__rctrl *c, const struct leap_link_msg *msg)
{
	struct leap__rcq *cq = find_cq(c, msg->u.qp.cqid);
	struct leap__rqp *q;

	if (c->ending || c->rt->draining)
		return -ESHUTDOWN;
	if (!cq || !msg->u.qp.qid || leap__rctrl_find_qp(c, msg->u.qp.qid))
		return cq && msg->u.qp.qid ? -EEXIST : -EINVAL;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->cq = cq;
	fill_qp(c, q, msg);
	cq->nr_qps++;
	c->nr_qps++;
	leap__list_push_back(&c->qps, &q->link);
	leap__link_ask(q->io.group, &q->io.add);
	return 0;
}

void leap__rctrl_qp_del(struct leap__rctrl *c, const struct leap_link_msg *msg)
{
	struct leap__rqp *q = leap__rctrl_find_qp(c, msg->u.qp.qid);

	if (!q) {
		leap__runtime_reply(c->rt, msg, 0, -1);
		return;
	}
	if (q->nr_dels == sizeof(q->dels) / sizeof(q->dels[0])) {
		leap__runtime_reply(c->rt, msg, -EBUSY, -1);
		return;
	}
	q->dels[q->nr_dels++] = *msg;
	qp_delete(q, msg->u.qp.flags & LEAP_QPD_DRAIN ? LEAP__QPDEL_DRAIN : 0);
}

void leap__rctrl_delete_queues(struct leap__rctrl *c, uint32_t flags)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &c->qps)
		qp_delete(leap__list_entry(pos, struct leap__rqp, link), flags);
	leap__rctrl_settle(c);
}

/* ---- completion queues ---- */

static void cq_free(struct leap__rcq *cq)
{
	leap__list_remove(&cq->link);
	leap__rctrl_settle(cq->c);
	free(cq);
}

static void cq_added(struct leap__lmsg *m)
{
	struct leap__rcq *cq = m->subject;

	cq->state = m->link.err ? CQ_FAILED : CQ_LIVE;
	leap__runtime_reply(cq->c->rt, &cq->q, m->link.err, -1);
	/* Queue pairs that name it are being refused one by one. */
	leap__rctrl_settle(cq->c);
	if (m->link.err && !cq->nr_qps)
		cq_free(cq);
}

static void cq_deleted(struct leap__lmsg *m)
{
	struct leap__rcq *cq = m->subject;

	if (cq->q.type == LEAP_LINK_CQ_DEL) {
		cq->q.u.cq.seq = m->link.u.cq.seq;
		leap__runtime_reply(cq->c->rt, &cq->q, m->link.err, -1);
	}
	cq_free(cq);
}

static void cq_ask(struct leap__rcq *cq, uint16_t type,
		   void (*arrived)(struct leap__lmsg *m))
{
	leap__link_init(&cq->io.m, type, arrived, NULL);
	cq->io.m.subject = &cq->io;
	cq->io.m.ctrl = cq->c;
	cq->io.m.link.u.cq = cq->io.desc;
	leap__link_ask(cq->io.group, &cq->io.m);
}

/* The end of its controller. */
static void cq_close(struct leap__rcq *cq)
{
	if (cq->nr_qps)
		return;
	if (cq->state == CQ_FAILED) {
		cq_free(cq);
	} else if (cq->state == CQ_LIVE) {
		cq->state = CQ_DELETING;
		cq_ask(cq, LEAP_LINK_CQ_DEL, cq_deleted);
	}
}

int leap__rctrl_cq_add(struct leap__rctrl *c, const struct leap_link_msg *msg)
{
	struct leap__rcq *cq;

	if (c->ending || c->rt->draining)
		return -ESHUTDOWN;
	if (!msg->u.cq.cqid || find_cq(c, msg->u.cq.cqid))
		return msg->u.cq.cqid ? -EEXIST : -EINVAL;
	cq = calloc(1, sizeof(*cq));
	if (!cq)
		return -ENOMEM;
	cq->c = c;
	cq->q = *msg;
	cq->io.desc = msg->u.cq;
	cq->io.ctrl = c;
	cq->io.guest = &c->guest;
	cq->io.group = leap__target_pick(c->rt->target);
	leap__list_init(&cq->io.link);
	leap__list_push_back(&c->cqs, &cq->link);
	if (msg->u.cq.vector < LEAP__RT_VECTORS &&
	    msg->u.cq.vector >= c->nr_vectors)
		c->nr_vectors = msg->u.cq.vector + 1;
	cq_ask(cq, LEAP_LINK_CQ_ADD, cq_added);
	return 0;
}

void leap__rctrl_cq_del(struct leap__rctrl *c, const struct leap_link_msg *msg)
{
	struct leap__rcq *cq = find_cq(c, msg->u.cq.cqid);

	if (!cq) {
		leap__runtime_reply(c->rt, msg, 0, -1);
	} else if (cq->state != CQ_LIVE) {
		leap__runtime_reply(c->rt, msg, -EBUSY, -1);
	} else {
		/* The group waits for queue pairs that are still going. */
		cq->q = *msg;
		cq->state = CQ_DELETING;
		cq_ask(cq, LEAP_LINK_CQ_DEL, cq_deleted);
	}
}

void leap__rctrl_close_cqs(struct leap__rctrl *c)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &c->cqs)
		cq_close(leap__list_entry(pos, struct leap__rcq, link));
}

int leap__rctrl_has_queues(const struct leap__rctrl *c)
{
	return !leap__list_empty(&c->qps) || !leap__list_empty(&c->cqs);
}
