/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues that are lent: the ids that the device knows them by, who gets how
 * many, their creation and deletion, and the commands that name them, on their
 * way to the device and back.
 *
 * While a borrower that has gone is being fenced, nobody gets a queue: what its
 * queues wrote has landed before a successor's can begin.
 *
 * Spec: NVMe Base 2.0 s5.4 to s5.7 (Create, Delete), s5.27.1.5 (Number of
 * Queues)
 */
#include "transport/lend/lend.h"

#include <errno.h>
#include <string.h>

#include "util/atomic.h"
#include "util/bitmap.h"

#define DNR(status)	((leap_status_t)((status) | LEAP_STATUS_DNR))
#define PAGE		LEAP__REG_PAGE

/* ---- ids that the device knows -------------------------------------- */

void leap__lend_put_qid(struct leap_lender *l, struct leap__lend_queue *q)
{
	if (q->qid)
		leap__bitmap_clear(l->qids, q->qid);
	q->qid = 0;
}

static bool take_qid(struct leap_lender *l, struct leap__lend_queue *q)
{
	size_t id;

	if (q->qid)
		return true;
	id = leap__bitmap_next_zero(l->qids, l->max_queues + 1, 1);
	if (id > l->max_queues)
		return false;
	leap__bitmap_set(l->qids, id);
	q->qid = (uint16_t)id;
	return true;
}

/* What the device granted, the lender shares out: first come, first served. */
static uint32_t grant(struct leap__borrower *b, uint32_t want)
{
	uint32_t n = 0, i;

	for (i = 1; i <= LEAP__LEND_MAX_QUEUES; i++) {
		struct leap__lend_queue *q = &b->queues[i];

		if (i <= want && n == i - 1 && take_qid(b->l, q))
			n = i;
		else if (!q->cq && !q->sq && !q->out)
			leap__lend_put_qid(b->l, q);
	}
	return n;
}

/* ---- commands at the device ----------------------------------------- */

static struct leap__lend_cmd *take_cmd(struct leap__borrower *b, uint32_t id,
				       const struct leap_sqe *sqe)
{
	uint32_t i;

	for (i = 0; i < LEAP__LEND_MAX_CMDS; i++) {
		struct leap__lend_cmd *c = &b->cmds[i];

		if (c->busy)
			continue;
		memset(c, 0, sizeof(*c));
		leap__list_init(&c->held);
		c->busy = true;
		c->b = b;
		c->id = id;
		c->cmd.req.sqe = *sqe;
		c->cmd.arg = c;
		return c;
	}
	return NULL;
}

static bool changes(const struct leap_sqe *sqe)
{
	return sqe->opc == LEAP_ADM_CREATE_CQ ||
	       sqe->opc == LEAP_ADM_CREATE_SQ ||
	       sqe->opc == LEAP_ADM_DELETE_CQ ||
	       sqe->opc == LEAP_ADM_DELETE_SQ;
}

static void note_result(struct leap__lend_cmd *c, leap_status_t status)
{
	struct leap__lend_queue *q = &c->b->queues[c->queue];
	struct leap_lender *l = c->b->l;

	q->out--;
	c->b->queues[c->cq].naming -= c->cq != 0;
	q->changing &= !changes(&c->cmd.req.sqe);
	switch (c->cmd.req.sqe.opc) {
	case LEAP_ADM_CREATE_CQ:
		q->cq = !status;
		return;
	case LEAP_ADM_CREATE_SQ:
		q->sq = !status;
		l->nr_queues -= status != 0;
		return;
	case LEAP_ADM_DELETE_CQ:
		q->cq &= status != 0;
		return;
	case LEAP_ADM_DELETE_SQ:
		l->nr_queues -= q->sq && !status;
		q->sq &= status != 0;
		return;
	}
}

static void cmd_done(struct leap__regcmd *cmd, leap_status_t status)
{
	struct leap__lend_cmd *c = cmd->arg;
	struct leap__borrower *b = c->b;
	uint16_t qid = 0;

	note_result(c, status);
	if (!status && cmd->req.sqe.opc == LEAP_ADM_CREATE_CQ)
		qid = b->queues[c->queue].qid;
	c->busy = false;
	b->cmds_out--;
	leap__borrower_done(b, c->id, status, leap_req_result(&cmd->req), qid);
	leap__borrower_step(b);
}

/*
 * One change of a queue at a time, and none of a completion queue that a Create
 * SQ names; its id stays with it until the last command that names it has been
 * answered: a device takes commands in any order, and might find another
 * borrower's queue behind the id.
 */
static void to_device(struct leap__lend_cmd *c)
{
	struct leap__borrower *b = c->b;

	b->queues[c->queue].out++;
	b->queues[c->cq].naming += c->cq != 0;
	b->queues[c->queue].changing |= changes(&c->cmd.req.sqe);
	b->cmds_out++;
	leap__regctrl_admin(b->l->c, &c->cmd, cmd_done);
}

int leap__lend_forward(struct leap__borrower *b, uint32_t id,
		       const struct leap_sqe *sqe, uint16_t queue)
{
	struct leap__lend_cmd *c = take_cmd(b, id, sqe);

	if (!c)
		return -ENOBUFS;
	c->queue = queue;
	to_device(c);
	return 0;
}

/* ---- queues --------------------------------------------------------- */

/* Spec: NVMe Base 2.0 s5.8: before the controller learns of a queue. */
static void clear_shadow(const struct leap_lender *l, uint16_t qid)
{
	uint32_t dstrd = (uint32_t)LEAP_GET(l->c->cap, LEAP_CAP_DSTRD);
	const struct leap__regq *a = l->c->admin;
	uint64_t sq = LEAP_REG_SQTDBL((uint32_t)qid, dstrd) - LEAP_REG_DBL;
	uint64_t cq = LEAP_REG_CQHDBL((uint32_t)qid, dstrd) - LEAP_REG_DBL;
	uint8_t *page = a->base + a->extra_at;
	uint32_t i;

	if (!l->c->shadow || cq + 4 > PAGE)
		return;
	for (i = 0; i < 2; i++, page += PAGE) {
		leap__store_relaxed((uint32_t *)(void *)(page + sq), 0u);
		leap__store_relaxed((uint32_t *)(void *)(page + cq), 0u);
	}
}

static leap_status_t prepare_cq(struct leap__lend_cmd *c)
{
	struct leap__borrower *b = c->b;
	struct leap__lend_queue *q = &b->queues[c->queue];
	struct leap_sqe *sqe = &c->cmd.req.sqe;
	uint32_t size = (leap_from_le32(sqe->cdw10) >> 16) + 1;
	uint32_t cdw11 = leap_from_le32(sqe->cdw11);

	if (q->changing)
		return DNR(LEAP_SC_CMD_SEQUENCE);
	if (q->cq || !take_qid(b->l, q))
		return DNR(LEAP_SC_QID_INVALID);
	if (!(cdw11 & 1) ||
	    !leap__borrower_owns(b, leap_from_le64(sqe->prp1),
				 (uint64_t)size * LEAP_CQE_SIZE))
		return DNR(LEAP_SC_INVALID_FIELD);
	clear_shadow(b->l, q->qid);
	sqe->cdw10 = leap_to_le32(q->qid | (size - 1) << 16);
	cdw11 = b->vector ? (cdw11 & 3) | b->vector << 16 : 1;
	sqe->cdw11 = leap_to_le32(cdw11);
	q->cq_at = leap_from_le64(sqe->prp1);
	q->cq = true;
	return 0;
}

static leap_status_t prepare_sq(struct leap__lend_cmd *c)
{
	struct leap__borrower *b = c->b;
	struct leap__lend_queue *q = &b->queues[c->queue], *cq;
	struct leap_sqe *sqe = &c->cmd.req.sqe;
	uint32_t size = (leap_from_le32(sqe->cdw10) >> 16) + 1;
	uint32_t cdw11 = leap_from_le32(sqe->cdw11);
	uint32_t cqid = cdw11 >> 16;

	if (q->changing)
		return DNR(LEAP_SC_CMD_SEQUENCE);
	if (q->sq || !q->qid)
		return DNR(LEAP_SC_QID_INVALID);
	if (!cqid || cqid > LEAP__LEND_MAX_QUEUES || !b->queues[cqid].cq)
		return DNR(LEAP_SC_CQ_INVALID);
	cq = &b->queues[cqid];
	if (cq->changing)
		return DNR(LEAP_SC_CMD_SEQUENCE);
	if (!(cdw11 & 1) ||
	    !leap__borrower_owns(b, leap_from_le64(sqe->prp1),
				 (uint64_t)size * LEAP_SQE_SIZE))
		return DNR(LEAP_SC_INVALID_FIELD);
	sqe->cdw10 = leap_to_le32(q->qid | (size - 1) << 16);
	sqe->cdw11 = leap_to_le32((cdw11 & 7) | (uint32_t)cq->qid << 16);
	q->sq_at = leap_from_le64(sqe->prp1);
	q->sq = true;
	c->cq = (uint16_t)cqid;
	b->l->nr_queues++;
	return 0;
}

static void set_queues(struct leap__borrower *b, uint32_t id, uint32_t cdw11)
{
	uint32_t nsq = LEAP_GET(cdw11, LEAP_FEAT_NQ_NSQ) + 1;
	uint32_t ncq = LEAP_GET(cdw11, LEAP_FEAT_NQ_NCQ) + 1;
	uint32_t n, i;

	if (nsq == 65536 || ncq == 65536) {
		leap__borrower_done(b, id, DNR(LEAP_SC_INVALID_FIELD), 0, 0);
		return;
	}
	for (i = 1; i <= LEAP__LEND_MAX_QUEUES; i++)
		if (b->queues[i].cq)
			break;
	if (i <= LEAP__LEND_MAX_QUEUES) {
		leap__borrower_done(b, id, DNR(LEAP_SC_CMD_SEQUENCE), 0, 0);
		return;
	}
	n = grant(b, nsq < ncq ? nsq : ncq);
	/* There is no way to say none; another try may get some. */
	if (!n)
		leap__borrower_done(b, id, LEAP_SC_INTERNAL, 0, 0);
	else
		leap__borrower_done(b, id, 0,
				    LEAP_PUT(n - 1, LEAP_FEAT_NQ_NSQ) |
				    LEAP_PUT(n - 1, LEAP_FEAT_NQ_NCQ), 0);
}

/* What nobody gets while another is being fenced. */
static void get_now(struct leap__lend_cmd *c)
{
	struct leap__borrower *b = c->b;
	leap_status_t status;

	if (c->cmd.req.sqe.opc == LEAP_ADM_SET_FEATURES) {
		c->busy = false;
		set_queues(b, c->id, leap_from_le32(c->cmd.req.sqe.cdw11));
		return;
	}
	status = c->cmd.req.sqe.opc == LEAP_ADM_CREATE_CQ ? prepare_cq(c) :
							    prepare_sq(c);
	if (!status) {
		to_device(c);
		return;
	}
	c->busy = false;
	leap__borrower_done(b, c->id, status, 0, 0);
}

int leap__lend_get(struct leap__borrower *b, uint32_t id,
		   const struct leap_sqe *sqe, uint16_t queue)
{
	struct leap__lend_cmd *c;

	leap__lender_sweep(b->l);
	if (b->ending)
		return 0;
	c = take_cmd(b, id, sqe);
	if (!c)
		return -ENOBUFS;
	c->queue = queue;
	if (b->l->nr_fencing)
		leap__list_push_back(&b->l->held, &c->held);
	else
		get_now(c);
	return 0;
}

int leap__lend_create(struct leap__borrower *b, uint32_t id,
		      const struct leap_sqe *sqe)
{
	uint16_t queue = (uint16_t)leap_from_le32(sqe->cdw10);

	if (queue && queue <= LEAP__LEND_MAX_QUEUES)
		return leap__lend_get(b, id, sqe, queue);
	leap__borrower_done(b, id, DNR(LEAP_SC_QID_INVALID), 0, 0);
	return 0;
}

void leap__lend_release_held(struct leap_lender *l)
{
	struct leap__list *pos;

	while (!l->nr_fencing && leap__lender_live(l) &&
	       (pos = leap__list_pop(&l->held)))
		get_now(leap__list_entry(pos, struct leap__lend_cmd, held));
}

int leap__lend_delete_one(struct leap__borrower *b, uint32_t id,
			  const struct leap_sqe *sqe)
{
	uint16_t queue = (uint16_t)leap_from_le32(sqe->cdw10);
	bool sq = sqe->opc == LEAP_ADM_DELETE_SQ;
	struct leap__lend_queue *q = &b->queues[queue %
						(LEAP__LEND_MAX_QUEUES + 1)];
	struct leap_sqe named = *sqe;

	if (!queue || queue > LEAP__LEND_MAX_QUEUES || !(sq ? q->sq : q->cq)) {
		leap__borrower_done(b, id, DNR(LEAP_SC_QID_INVALID), 0, 0);
		return 0;
	}
	if (q->changing || (!sq && q->naming)) {
		leap__borrower_done(b, id, DNR(LEAP_SC_CMD_SEQUENCE), 0, 0);
		return 0;
	}
	named.cdw10 = leap_to_le32(q->qid);
	return leap__lend_forward(b, id, &named, queue);
}

/* ---- the end of its queues ------------------------------------------ */

/* A device that keeps a queue is reset: that ends it as well. */
static void del_done(struct leap__regcmd *cmd, leap_status_t status)
{
	struct leap__borrower *b = cmd->arg;
	struct leap__lend_queue *q = &b->queues[b->del_queue];

	b->del_busy = false;
	if (status) {
		leap__regctrl_fail(b->l->c, -EIO);
		return;
	}
	if (cmd->req.sqe.opc == LEAP_ADM_DELETE_SQ) {
		q->sq = false;
		b->l->nr_queues--;
	} else {
		q->cq = false;
	}
	leap__borrower_step(b);
}

int leap__lend_delete(struct leap__borrower *b)
{
	struct leap_sqe *sqe = &b->del.req.sqe;
	uint32_t i, pass;

	if (b->del_busy)
		return 1;
	for (pass = 0; pass < 2; pass++)
		for (i = 1; i <= LEAP__LEND_MAX_QUEUES; i++) {
			struct leap__lend_queue *q = &b->queues[i];

			if (!(pass ? q->cq : q->sq))
				continue;
			memset(&b->del.req, 0, sizeof(b->del.req));
			sqe->opc = pass ? LEAP_ADM_DELETE_CQ :
					  LEAP_ADM_DELETE_SQ;
			sqe->cdw10 = leap_to_le32(q->qid);
			b->del.arg = b;
			b->del_queue = i;
			b->del_busy = true;
			leap__regctrl_admin(b->l->c, &b->del, del_done);
			return 1;
		}
	return 0;
}
