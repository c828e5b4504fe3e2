/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioguest.c - the I/O half: queues in the memory of guests
 *
 * Takes the link messages that only controllers behind registers send: queues
 * come and go by message instead of by connection, resume where a predecessor
 * was killed, and share completion queues. How their rings work is
 * core/guest's; what a command means is dispatch_io.c's.
 */
#include "core/ctrl/iogroup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NR_VECTORS 2048u	/* of MSI-X */

/*
 * What a controller said to all of its queues of a group, for those that are
 * made later. Forgotten when it says nothing special any more.
 */
struct memo {
	struct leap__list link;		/* the group's */
	const void *ctrl;
	leap_gpa_t doorbells;		/* SHADOW */
	leap_gpa_t eventidx;
	uint32_t coalesce;		/* feature 08h */
	uint32_t nr_not;
	uint64_t not[NR_VECTORS / 64];	/* feature 09h: vectors without */
};

static struct memo *memo_find(struct leap__iogroup *g, const void *ctrl)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &g->memos) {
		struct memo *m = leap__list_entry(pos, struct memo, link);

		if (m->ctrl == ctrl)
			return m;
	}
	return NULL;
}

static struct memo *memo_get(struct leap__iogroup *g, const void *ctrl)
{
	struct memo *m = memo_find(g, ctrl);

	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->ctrl = ctrl;
	leap__list_push_back(&g->memos, &m->link);
	return m;
}

static void memo_put(struct memo *m)
{
	if (m->doorbells.addr || m->eventidx.addr || m->coalesce || m->nr_not)
		return;
	leap__list_remove(&m->link);
	free(m);
}

/* Another controller may get its address. */
static void forget(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct memo *memo = memo_find(g, m->ctrl);

	if (memo) {
		leap__list_remove(&memo->link);
		free(memo);
	}
	leap__link_answer(m, 0);
}

void leap__ioguest_fini(struct leap__iogroup *g)
{
	struct leap__list *at;

	while ((at = leap__list_pop(&g->memos)))
		free(leap__list_entry(at, struct memo, link));
}

/* ---- completion queues ---- */

static void coalesce(struct leap__iogroup *g, struct leap__iocq *cq)
{
	const struct memo *m = memo_find(g, cq->ctrl);
	uint32_t vector = cq->desc.vector;
	uint32_t entries, time;

	if (!m || (vector < NR_VECTORS &&
		   m->not[vector / 64] >> (vector % 64) & 1)) {
		leap__guest_cq_coalesce(cq->cq, 0, 0);
		return;
	}
	entries = LEAP_GET(m->coalesce, LEAP_FEAT_IC_THR) + 1;
	time = LEAP_GET(m->coalesce, LEAP_FEAT_IC_TIME);
	leap__guest_cq_coalesce(cq->cq, entries, time * 100000ull);
}

static void cq_add(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap__iocq *cq = m->subject;
	int err;

	cq->cq = NULL;
	cq->nr_users = 0;
	cq->closing = NULL;
	leap__list_init(&cq->link);
	err = leap__guest_cq_create(g->pg, cq->guest, &cq->desc, &cq->cq);
	if (!err) {
		leap__list_push_back(&g->cqs, &cq->link);
		coalesce(g, cq);
	}
	leap__link_answer(m, err);
}

static void cq_put(struct leap__iocq *cq)
{
	struct leap__lmsg *m = cq->closing;

	if (cq->nr_users || !m)
		return;
	cq->closing = NULL;
	if (cq->cq) {
		leap__list_remove(&cq->link);
		cq->desc.seq = leap__guest_cq_destroy(cq->cq);
		cq->cq = NULL;
	}
	m->link.u.cq = cq->desc;
	leap__link_answer(m, 0);
}

/* ---- queue pairs ---- */

bool leap__io_may_rerun(const struct leap__ioqp *q, const struct leap_sqe *sqe,
			uint64_t note)
{
	const struct leap__ions *ns = leap__io_ns(q, leap_from_le32(sqe->nsid));

	/* Of a compare and write: what it compared with is overwritten, but
	 * for one that had not got so far. */
	if (sqe->flags & LEAP_SQE_FUSE_MASK)
		return !(note & LEAP__FUSED_WRITES);
	switch (sqe->opc) {
	case LEAP_NVM_READ:
	case LEAP_NVM_COMPARE:
	case LEAP_NVM_VERIFY:
	case LEAP_NVM_FLUSH:
	case LEAP_NVM_ZONE_MGMT_RECV:
	/* A zone that is what it is to be already is no error. */
	case LEAP_NVM_ZONE_MGMT_SEND:
		return true;
	/* A zone takes no write twice, and dispatch_zns.c looks whether what
	 * it refuses is what it has. */
	case LEAP_NVM_WRITE:
	case LEAP_NVM_DSM:
		return true;
	case LEAP_NVM_WRITE_ZEROES:
		/* Behind its pointer a zone reads as zeroes too. */
		return !ns || !(ns->caps & LEAP_BDEV_ZONED);
	default:
		/* Append, Copy onto its own source, what nobody knows. */
		return false;
	}
}

static bool may_rerun(const void *at, uint64_t note, void *arg)
{
	struct leap_sqe sqe;

	memcpy(&sqe, at, sizeof(sqe));
	return leap__io_may_rerun(arg, &sqe, note);
}

static int qp_make(struct leap__iogroup *g, struct leap__ioqp *q)
{
	const struct leap__guest_rerun rerun = { .may = may_rerun, .arg = q };
	const struct memo *memo = memo_find(g, q->ctrl);
	int err;

	if (!q->iocq || !q->iocq->cq)
		return -EINVAL;
	/* Where a queue that resumes has them may be said until RESUME. */
	if ((q->desc.flags & (LEAP_QPD_SHADOW | LEAP_QPD_RESUME)) ==
	    LEAP_QPD_SHADOW && q->desc.qid &&
	    (!memo || !memo->doorbells.addr))
		return -EINVAL;
	err = leap__guest_vqp_create(g->pg, q->guest, q->iocq->cq, &q->desc,
				     &rerun, &q->vqp);
	if (err)
		return err;
	q->vqp->handler_priv = q;
	if (memo && (q->desc.flags & LEAP_QPD_SHADOW) && q->desc.qid)
		err = leap__guest_vqp_shadow(q->vqp, memo->doorbells,
					     memo->eventidx);
	if (err) {
		leap_vqp_close(q->vqp);
		q->vqp = NULL;
		return err;
	}
	q->vqp->handler = &leap__io_handler;
	leap__guest_vqp_leave(q->vqp, leap__ioqp_leave, q);
	return 0;
}

static void qp_add(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap__ioqp *q = m->subject;
	int err;

	q->group = g;
	q->vqp = NULL;
	q->state = LEAP__IOQP_LIVE;
	q->nr_in = 0;
	q->parked = NULL;
	q->connect = NULL;
	leap__list_init(&q->link);
	leap__fused_init(q);
	err = qp_make(g, q);
	leap__link_answer(m, err);
	if (err) {
		leap__ioqp_tell_gone(q);
		return;
	}
	leap__list_push_back(&g->qps, &q->link);
	q->iocq->nr_users++;
	if (!(q->desc.flags & LEAP_QPD_RESUME))
		leap__guest_vqp_start(q->vqp);
}

void leap__ioguest_gone(struct leap__iocq *cq)
{
	cq->nr_users--;
	cq_put(cq);
}

/* Every queue of a controller exists: go on where the predecessor stopped. */
static void resume(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap__list *pos;
	int err = 0;

	leap__list_for_each(pos, &g->cqs) {
		struct leap__iocq *cq =
			leap__list_entry(pos, struct leap__iocq, link);
		int one = cq->ctrl == m->ctrl ?
			leap__guest_cq_restored(cq->cq) : 0;

		if (!err)
			err = one;
	}
	leap__list_for_each(pos, &g->qps) {
		struct leap__ioqp *q =
			leap__list_entry(pos, struct leap__ioqp, link);

		if (q->guest && q->ctrl == m->ctrl && !err)
			leap__guest_vqp_start(q->vqp);
	}
	leap__link_answer(m, err);
}

/* ---- what concerns every queue of a controller ---- */

static int shadow_all(struct leap__iogroup *g, const void *ctrl,
		      leap_gpa_t doorbells, leap_gpa_t eventidx)
{
	struct leap__list *pos;
	int err = 0, one;

	leap__list_for_each(pos, &g->qps) {
		struct leap__ioqp *q =
			leap__list_entry(pos, struct leap__ioqp, link);

		/* The admin queue's doorbells are always trapped. */
		if (!q->guest || q->ctrl != ctrl || !q->desc.qid)
			continue;
		one = leap__guest_vqp_shadow(q->vqp, doorbells, eventidx);
		if (!err)
			err = one;
	}
	return err;
}

static void shadow(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct memo *memo = memo_get(g, m->ctrl);
	leap_gpa_t none = { 0 };
	int err;

	if (!memo) {
		leap__link_answer(m, -ENOMEM);
		return;
	}
	err = shadow_all(g, m->ctrl, m->link.u.shadow.doorbells,
			 m->link.u.shadow.eventidx);
	if (!err) {
		memo->doorbells = m->link.u.shadow.doorbells;
		memo->eventidx = m->link.u.shadow.eventidx;
	} else {
		/* All or none. */
		shadow_all(g, m->ctrl, none, none);
		memo->doorbells = memo->eventidx = none;
	}
	memo_put(memo);
	leap__link_answer(m, err);
}

static void set_not(struct memo *memo, uint32_t value)
{
	uint32_t vector = LEAP_GET(value, LEAP_FEAT_IV_IV);
	uint64_t bit = 1ull << (vector % 64), *word;

	if (vector >= NR_VECTORS)
		return;
	word = &memo->not[vector / 64];
	if (!(*word & bit) == !(value & LEAP_FEAT_IV_CD))
		return;
	*word ^= bit;
	if (value & LEAP_FEAT_IV_CD)
		memo->nr_not++;
	else
		memo->nr_not--;
}

static void feature(struct leap__iogroup *g, struct leap__lmsg *m)
{
	uint32_t value = m->link.u.feature.value;
	struct memo *memo = memo_get(g, m->ctrl);
	struct leap__list *pos;

	if (!memo) {
		leap__link_answer(m, -ENOMEM);
		return;
	}
	if (m->link.u.feature.fid == LEAP_FID_INT_COALESCE)
		memo->coalesce = value;
	else
		set_not(memo, value);
	leap__list_for_each(pos, &g->cqs) {
		struct leap__iocq *cq =
			leap__list_entry(pos, struct leap__iocq, link);

		if (cq->ctrl == m->ctrl)
			coalesce(g, cq);
	}
	memo_put(memo);
	leap__link_answer(m, 0);
}

static void inspect(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap__inspect *in = m->subject;
	struct leap__inspect_queue *o;
	struct leap__list *pos;

	leap__list_for_each(pos, &g->cqs) {
		struct leap__iocq *cq =
			leap__list_entry(pos, struct leap__iocq, link);

		if (cq->ctrl != m->ctrl || cq->desc.cqid >= in->nr)
			continue;
		o = &in->queue[cq->desc.cqid];
		o->has_view = 1;
		leap__guest_cq_view_stats(cq->cq, &o->view);
	}
	leap__list_for_each(pos, &g->qps) {
		struct leap__ioqp *q =
			leap__list_entry(pos, struct leap__ioqp, link);

		if (!q->guest || q->ctrl != m->ctrl || q->desc.qid >= in->nr)
			continue;
		o = &in->queue[q->desc.qid];
		o->has_sq = 1;
		leap__guest_vqp_info(q->vqp, &o->sq);
	}
	leap__link_answer(m, 0);
}

int leap__ioguest_message(struct leap__iogroup *g, struct leap__lmsg *m)
{
	switch (m->link.type) {
	case LEAP_LINK_CQ_ADD:
		cq_add(g, m);
		return 1;
	case LEAP_LINK_CQ_DEL:
		((struct leap__iocq *)m->subject)->closing = m;
		cq_put(m->subject);
		return 1;
	case LEAP_LINK_QP_ADD:
		qp_add(g, m);
		return 1;
	case LEAP_LINK_RESUME:
		resume(g, m);
		return 1;
	case LEAP_LINK_CTRL_DEL:
		forget(g, m);
		return 1;
	case LEAP_LINK_SHADOW:
		shadow(g, m);
		return 1;
	case LEAP__LINK_INSPECT:
		inspect(g, m);
		return 1;
	case LEAP_LINK_IRQ:
		/* Known here by leap__guest.raise. */
		leap__link_answer(m, 0);
		return 1;
	case LEAP_LINK_FEATURE:
		if (m->link.u.feature.fid != LEAP_FID_INT_COALESCE &&
		    m->link.u.feature.fid != LEAP_FID_INT_VECTOR)
			return 0;
		feature(g, m);
		return 1;
	default:
		return 0;
	}
}
