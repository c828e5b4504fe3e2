/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O queues of a controller behind registers: how they are made and deleted,
 * each step an admin command whose answer starts the next.
 *
 *	NEW -> MAPPING -> CREATING_CQ -> CREATING_SQ -> LIVE
 *	    -> DELETING_SQ -> DELETING_CQ -> gone
 *
 * What closes meanwhile lets the step that is out end, and goes back from
 * there. Memory is taken away only when the controller has deleted the queue;
 * one that does not is reset.
 *
 * Spec: NVMe Base 2.0 s5.4, s5.5 (Create), s5.6, s5.7 (Delete)
 */
#include "core/io/regctrl.h"

#include <errno.h>
#include <string.h>

/* DW0 of a Connect refused with Invalid Parameters: where the bad field is. */
#define IN_SQE(field)	((uint32_t)offsetof(struct leap_fab_connect, field))
#define DNR(status)	((leap_status_t)((status) | LEAP_STATUS_DNR))

/* ---- deletion ---------------------------------------------------------- */

void leap__regioq_gone(struct leap__regqp *rq, int err)
{
	leap__list_remove(&rq->link);
	if (rq->q_init)
		leap__regmem_unmap(rq->c, rq->q.map);
	leap__regqp_ended(rq, err);
}

/* Creation failed, and nothing of the queue is left at the controller. */
static void refuse(struct leap__regqp *rq, uint32_t where, leap_status_t status)
{
	struct leap_req *req = rq->connect;

	rq->connect = NULL;
	rq->state = LEAP__REGQP_NEW;
	if (rq->q_init)
		leap__regmem_unmap(rq->c, rq->q.map);
	leap__regqp_free_queue(rq);
	leap__regqp_complete(rq, req, where, status);
}

/* It may still write to the queue's memory: only a reset takes it away. */
static void not_deleted(struct leap__regqp *rq, const char *what,
			leap_status_t status)
{
	leap__regctrl_reset(rq->c, -EIO, "%s queue %u cannot be deleted: %s",
			    what, rq->qp.opts.qid, leap_status_str(status));
}

static void cq_deleted(struct leap__regcmd *cmd, leap_status_t status)
{
	struct leap__regqp *rq = cmd->arg;

	if (status)
		not_deleted(rq, "completion", status);
	else if (rq->connect && !rq->closing)
		refuse(rq, 0, rq->why);
	else
		leap__regioq_gone(rq, -ECONNRESET);
}

static void delete(struct leap__regqp *rq, uint8_t opc,
		   void (*done)(struct leap__regcmd *cmd, leap_status_t status))
{
	struct leap_sqe *sqe = &rq->cmd.req.sqe;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opc = opc;
	sqe->cdw10 = leap_to_le32(rq->qp.opts.qid);
	rq->cmd.req.nr_pieces = 0;
	rq->cmd.arg = rq;
	leap__regctrl_admin(rq->c, &rq->cmd, done);
}

static void delete_cq(struct leap__regqp *rq)
{
	rq->state = LEAP__REGQP_DELETING_CQ;
	delete(rq, LEAP_ADM_DELETE_CQ, cq_deleted);
}

/* What it aborted is in the CQ now. */
static void sq_deleted(struct leap__regcmd *cmd, leap_status_t status)
{
	struct leap__regqp *rq = cmd->arg;

	while (leap__regq_reap(&rq->q) > 0)
		;
	if (leap__regctrl_dead(rq->c))
		return;
	if (status) {
		not_deleted(rq, "submission", status);
		return;
	}
	rq->q.live = false;
	leap__list_remove(&rq->q.link);
	delete_cq(rq);
}

void leap__regioq_delete(struct leap__regqp *rq)
{
	rq->state = LEAP__REGQP_DELETING_SQ;
	rq->q.closing = true;
	delete(rq, LEAP_ADM_DELETE_SQ, sq_deleted);
}

/* ---- creation ---------------------------------------------------------- */

/* As the fabric says it; creation's words are another table's. */
static leap_status_t create_status(leap_status_t status, uint32_t *where)
{
	*where = 0;
	switch (LEAP_STATUS_CODE(status)) {
	case LEAP_SC_QID_INVALID:
		*where = IN_SQE(qid);
		return DNR(LEAP_SC_FAB_PARAM);
	case LEAP_SC_QSIZE_INVALID:
		*where = IN_SQE(sqsize);
		return DNR(LEAP_SC_FAB_PARAM);
	default:
		return status;
	}
}

static void create_failed(struct leap__regqp *rq, leap_status_t status)
{
	uint32_t where;

	status = create_status(status, &where);
	refuse(rq, where, status);
}

static void create(struct leap__regqp *rq, uint8_t opc, uint32_t size,
		   uint64_t at, uint32_t cdw11,
		   void (*done)(struct leap__regcmd *cmd, leap_status_t status))
{
	struct leap_sqe *sqe = &rq->cmd.req.sqe;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opc = opc;
	sqe->prp1 = leap_to_le64(leap__regq_addr(&rq->q, at));
	sqe->cdw10 = leap_to_le32(rq->qp.opts.qid | (size - 1) << 16);
	sqe->cdw11 = leap_to_le32(cdw11);
	rq->cmd.req.nr_pieces = 0;
	rq->cmd.arg = rq;
	leap__regctrl_admin(rq->c, &rq->cmd, done);
}

static void sq_created(struct leap__regcmd *cmd, leap_status_t status)
{
	struct leap__regqp *rq = cmd->arg;
	struct leap_req *req = rq->connect;

	if (status) {
		uint32_t where;

		rq->why = create_status(status, &where);
		rq->q.live = false;
		delete_cq(rq);
		return;
	}
	rq->connect = NULL;
	rq->state = LEAP__REGQP_LIVE;
	rq->q.live = true;
	leap__list_push_front(&rq->c->queues, &rq->q.link);
	if (rq->closing) {
		leap__regioq_delete(rq);
		leap_qp_fail(&rq->qp, req, -ECANCELED);
		return;
	}
	leap__regqp_complete(rq, req, rq->c->cntlid, 0);
}

/* A device that many share has names of its own for queues. */
static void name_queue(struct leap__regqp *rq)
{
	struct leap__regdev *dev = rq->c->dev;

	if (!dev->ops->queue_id)
		return;
	leap__regq_name(&rq->q, dev->ops->queue_id(dev, rq->qp.opts.qid));
	leap__regq_shadow(&rq->q);
}

static void cq_created(struct leap__regcmd *cmd, leap_status_t status)
{
	struct leap__regqp *rq = cmd->arg;

	if (status && rq->closing) {
		leap__regioq_gone(rq, -ECANCELED);
		return;
	}
	if (status) {
		create_failed(rq, status);
		return;
	}
	if (rq->closing) {
		delete_cq(rq);
		return;
	}
	name_queue(rq);
	rq->state = LEAP__REGQP_CREATING_SQ;
	create(rq, LEAP_ADM_CREATE_SQ, rq->q.sq_size, 0,
	       1u | (uint32_t)rq->qp.opts.qid << 16, sq_created);
}

static void io_mapped(void *arg, int err)
{
	struct leap__regqp *rq = arg;
	/* PC; IEN; vector 0. */
	uint32_t cdw11 = 3;

	if (rq->closing) {
		leap__regioq_gone(rq, -ECANCELED);
		return;
	}
	if (err == -ENODEV) {
		leap__regctrl_fail(rq->c, err);
		return;
	}
	if (err || !rq->c->enabled) {
		refuse(rq, 0, err ? LEAP_SC_FAB_BUSY :
				    DNR(LEAP_SC_CMD_SEQUENCE));
		return;
	}
	if (!leap__regq_mapped(&rq->q)) {
		leap__regctrl_refuse(rq->c, -ENOMEM, "a queue of %u entries "
				     "is not in one piece of memory without "
				     "huge pages (vm.nr_hugepages)",
				     rq->q.sq_size);
		return;
	}
	if (!rq->c->dev->ops->queue_id)
		leap__regq_shadow(&rq->q);
	rq->state = LEAP__REGQP_CREATING_CQ;
	create(rq, LEAP_ADM_CREATE_CQ, rq->q.cq_size, rq->q.cq_at, cdw11,
	       cq_created);
}

static leap_status_t check_io(const struct leap__regqp *rq, uint32_t *where)
{
	const struct leap__regctrl *c = rq->c;

	*where = IN_SQE(qid);
	if (c->nr_granted && rq->qp.opts.qid > c->nr_granted)
		return DNR(LEAP_SC_FAB_PARAM);
	*where = IN_SQE(sqsize);
	if (rq->qp.depth - 1 > LEAP_GET(c->cap, LEAP_CAP_MQES))
		return DNR(LEAP_SC_FAB_PARAM);
	*where = 0;
	if (!c->enabled || leap__regctrl_busy(c))
		return DNR(LEAP_SC_CMD_SEQUENCE);
	return 0;
}

static bool takes_sgls(const struct leap__regqp *rq)
{
	uint32_t sgls = leap_from_le32(rq->c->id->sgls);

	return (sgls & (LEAP_SGLS_BYTE | LEAP_SGLS_DWORD)) == LEAP_SGLS_BYTE &&
	       !(rq->qp.opts.flags & LEAP_QP_PRP) && !rq->c->dev->scattered;
}

void leap__regioq_start(struct leap__regqp *rq)
{
	uint32_t most = (uint32_t)LEAP_GET(rq->c->cap, LEAP_CAP_MQES) + 1;
	uint32_t sq = rq->qp.depth, where;
	leap_status_t status = check_io(rq, &where);
	int map = -ENOMEM;

	if (!status && !leap__regq_init(&rq->q, rq->c, &rq->qp, sq,
					2 * sq < most ? 2 * sq : most)) {
		rq->q_init = true;
		rq->q.sgl = takes_sgls(rq);
		map = leap__regmem_map(rq->c, rq->q.mem, io_mapped, rq);
		if (map >= 0)
			rq->q.map = (uint16_t)map;
		else
			leap__regqp_free_queue(rq);
	}
	if (!status && map < 0)
		status = LEAP_SC_FAB_BUSY;
	if (status)
		refuse(rq, where, status);
	else
		rq->state = LEAP__REGQP_MAPPING;
}
