/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O queues of a virtual function: Create and Delete I/O Queue, and where all
 * queues are in the state memory. The queues themselves are core/guest's on
 * some poll group, or those of another process; here is what the guest was
 * promised about them, and in which order they come and go:
 *
 *	CQ_ADD --> QP_ADD ... QP_DEL, gone --> CQ_DEL --> the group is free
 *
 * Spec: NVMe Base 2.0 s5.4 to s5.7 (queues)
 */
#include "core/ctrl/vdev_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_VECTOR	UINT32_MAX

/* ---- state memory ---- */

void leap__vdev_fresh_doorbell(struct leap_vdev *v, uint32_t qid, uint32_t cq)
{
	struct leap_doorbell *db = leap__vdev_db(v, qid, cq);

	leap__store_relaxed(&db->value, leap_to_le32(0));
	leap__store_relaxed(&db->wake, leap_to_le32(0));
	leap__store_relaxed(&db->posted, leap_to_le32(0));
	if (qid)
		leap__vdev_shadow_fresh(v, qid, cq);
}

uint64_t leap__vdev_db_offset(const struct leap_vdev *v, uint32_t qid,
			      uint32_t cq)
{
	return (uint64_t)((uint8_t *)leap__vdev_db(v, qid, cq) -
			  v->guest.state);
}

int leap__vdev_place_record(struct leap_vdev *v, struct leap_qp_desc *d)
{
	struct leap_record_opts o = LEAP_RECORD_OPTS_INIT;

	o.nr_slots = d->sq_depth - 1 < LEAP__VDEV_SLOTS ? d->sq_depth - 1 :
		     LEAP__VDEV_SLOTS;
	o.sq_size = d->sq_depth;
	o.cq_size = d->cq_depth;
	o.sqid = d->qid;
	o.cqid = d->cqid;
	d->record = leap__vdev_db_offset(v, v->nr_queues, 0) +
		    d->qid * v->record_bytes;
	d->record_bytes = leap_record_bytes(o.nr_slots);
	if (d->flags & LEAP_QPD_RESUME)
		return 0;
	return leap_record_format(v->guest.state + d->record,
				  v->record_bytes, &o);
}

void leap__vdev_fill_qp(struct leap_vdev *v, struct leap_qp_desc *d)
{
	d->cntlid = v->c->cntlid;
	d->page_bytes = 4096u << LEAP_GET(v->c->cc, LEAP_CC_MPS);
	d->doorbell = leap__vdev_db_offset(v, d->qid, 0);
	memcpy(d->hostid, v->c->hostid, sizeof(d->hostid));
	if (v->shadow && d->qid)
		d->flags |= LEAP_QPD_SHADOW;
}

/* ---- completion queues ---- */

static int cq_going(const struct leap_vdev *v)
{
	return v->c->resetting || v->c->dead;
}

static void cq_free(struct leap_vdev *v, struct leap__vcq *cq)
{
	v->commands += leap__vdev_cq_posted(v, cq);
	v->cq[cq->io.desc.cqid] = NULL;
	v->nr_cqs--;
	free(cq);
	v->c->nr_iocqs--;
	leap__ctrl_queues_left(v->c);
	leap__ctrl_put(v->c);
	leap__vdev_settle(v);
}

static void cq_deleted(struct leap__lmsg *m)
{
	struct leap__vcq *cq = m->subject;
	struct leap_cmd *cmd = cq->cmd;

	cq_free(m->arg, cq);
	if (cmd)
		leap_cmd_complete(cmd, 0);
}

static void cq_ask(struct leap_vdev *v, struct leap__vcq *cq, uint16_t type,
		   void (*arrived)(struct leap__lmsg *m))
{
	struct leap__lmsg *m = &cq->io.m;

	leap__link_init(m, type, arrived, v);
	m->ctrl = v->c;
	m->subject = &cq->io;
	m->fd = -1;
	m->link.cntlid = v->c->cntlid;
	m->link.u.cq = cq->io.desc;
	leap__link_ask(cq->io.group, m);
}

static void cq_delete(struct leap_vdev *v, struct leap__vcq *cq)
{
	cq->state = LEAP__VCQ_DELETING;
	cq_ask(v, cq, LEAP_LINK_CQ_DEL, cq_deleted);
}

/* Reset or the end: as soon as nobody uses it. */
static void cq_doom(struct leap_vdev *v, struct leap__vcq *cq)
{
	if (cq->state == LEAP__VCQ_LIVE && !cq->io.nr_sqs)
		cq_delete(v, cq);
}

/* For a guest that asked for memory which is not there, or for too much. */
static leap_status_t refused(int err)
{
	return LEAP__DNR(err == -ENOMEM ? LEAP_SC_INTERNAL :
			 err == -EFAULT ? LEAP_SC_DATA_TRANSFER :
			 LEAP_SC_INVALID_FIELD);
}

void leap__vdev_answer(struct leap_vdev *v, struct leap_cmd *cmd, int err)
{
	if (!cmd && err)
		leap__vdev_fatal(v, 0, err);
	else if (err)
		leap__admin_fail(v->c, cmd, refused(err));
	else if (cmd)
		leap_cmd_complete(cmd, 0);
}

static void cq_added(struct leap__lmsg *m)
{
	struct leap__vcq *cq = m->subject;
	struct leap_vdev *v = m->arg;
	struct leap_cmd *cmd = cq->cmd;
	/* Its process is gone: the next one is told of it by the replay. */
	int err = m->link.err == -ECONNRESET ? 0 : m->link.err;

	cq->cmd = NULL;
	cq->state = LEAP__VCQ_LIVE;
	leap__vdev_answer(v, cmd, err);
	/* Those that resume on it fail as well, and are waited for. */
	if (err && cq->io.nr_sqs)
		cq->state = LEAP__VCQ_FAILED;
	else if (err)
		cq_free(v, cq);
	else if (cq_going(v))
		cq_doom(v, cq);
}

static uint32_t qid_of(const struct leap_cmd *cmd)
{
	return LEAP_GET(leap_from_le32(cmd->sqe.cdw10), LEAP_Q_CDW10_QID);
}

static uint32_t qsize_of(const struct leap_cmd *cmd)
{
	return LEAP_GET(leap_from_le32(cmd->sqe.cdw10), LEAP_Q_CDW10_QSIZE);
}

/* What both kinds of queue have in common. */
static leap_status_t check_ring(const struct leap_vdev *v,
				const struct leap_cmd *cmd,
				uint32_t entry_shift)
{
	uint64_t page = 4096ull << LEAP_GET(v->c->cc, LEAP_CC_MPS);
	uint32_t size = qsize_of(cmd);

	if (!size || size > LEAP_GET(v->c->cap, LEAP_CAP_MQES))
		return LEAP_SC_QSIZE_INVALID;
	/* Entries of other sizes than CC says are none of ours. */
	if (entry_shift != (entry_shift == 4 ?
			    LEAP_GET(v->c->cc, LEAP_CC_IOCQES) :
			    LEAP_GET(v->c->cc, LEAP_CC_IOSQES)))
		return LEAP_SC_QSIZE_INVALID;
	return leap_from_le64(cmd->sqe.prp1) % page ? LEAP_SC_PRP_OFFSET : 0;
}

static leap_status_t check_cq(struct leap_vdev *v, const struct leap_cmd *cmd)
{
	uint32_t dw11 = leap_from_le32(cmd->sqe.cdw11);
	uint32_t iv = LEAP_GET(dw11, LEAP_CQ_CDW11_IV);
	uint32_t qid = qid_of(cmd);
	leap_status_t status;

	if (!qid || qid > v->c->granted || v->cq[qid])
		return LEAP_SC_QID_INVALID;
	status = check_ring(v, cmd, 4);
	if (status)
		return status;
	if (iv >= v->nr_vectors ||
	    (iv && (dw11 & LEAP_CQ_CDW11_IEN) && !v->msix_on))
		return LEAP_SC_INT_VECTOR;
	return dw11 & LEAP_Q_CDW11_PC ? 0 : LEAP_SC_INVALID_FIELD;
}

static void cq_add(struct leap_vdev *v, struct leap__vcq *cq)
{
	struct leap__ctrl *c = v->c;
	uint16_t qid = cq->io.desc.cqid;

	cq->io.ctrl = c;
	cq->io.group = leap__target_pick(v->target);
	cq->io.guest = cq->io.group->remote ? NULL : &v->guest;
	leap__list_init(&cq->io.link);
	v->cq[qid] = cq;
	v->nr_cqs++;
	c->nr_iocqs++;
	c->refs++;
	cq_ask(v, cq, LEAP_LINK_CQ_ADD, cq_added);
}

static void create_cq(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	struct leap_vdev *v = leap__vdev_of(c);
	uint32_t dw11 = leap_from_le32(cmd->sqe.cdw11);
	leap_status_t status = check_cq(v, cmd);
	struct leap_cq_desc *d;
	struct leap__vcq *cq;

	cq = status ? NULL : calloc(1, sizeof(*cq));
	if (!cq) {
		leap__admin_fail(c, cmd, LEAP__DNR(status ? status :
						   LEAP_SC_INTERNAL));
		return;
	}
	d = &cq->io.desc;
	d->cqid = (uint16_t)qid_of(cmd);
	d->cntlid = c->cntlid;
	d->depth = qsize_of(cmd) + 1;
	d->gpa.addr = leap_from_le64(cmd->sqe.prp1);
	d->doorbell = leap__vdev_db_offset(v, d->cqid, 1);
	d->vector = dw11 & LEAP_CQ_CDW11_IEN ?
		    LEAP_GET(dw11, LEAP_CQ_CDW11_IV) : NO_VECTOR;
	d->flags = (v->shadow ? LEAP_QPD_SHADOW : 0) |
		   (!v->msix_on && leap__vdev_intx_allowed(v) ?
		    LEAP_QPD_PIN : 0);
	cq->cmd = cmd;
	leap__vdev_fresh_doorbell(v, d->cqid, 1);
	cq_add(v, cq);
}

static void delete_cq(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	struct leap_vdev *v = leap__vdev_of(c);
	uint32_t qid = qid_of(cmd);
	struct leap__vcq *cq = qid < v->nr_queues ? v->cq[qid] : NULL;

	if (!cq || cq->state != LEAP__VCQ_LIVE) {
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_QID_INVALID));
	} else if (cq->io.nr_sqs) {
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_QUEUE_DELETION));
	} else {
		cq->cmd = cmd;
		cq_delete(v, cq);
	}
}

/* ---- submission queues ---- */

static struct leap__vsq *find_sq(const struct leap_vdev *v, uint32_t qid)
{
	return qid && qid < v->nr_queues ?
	       (struct leap__vsq *)v->c->ioq[qid] : NULL;
}

static void front_ioq_added(struct leap__ctrl *c, void *arg,
			    struct leap__ioqp *q, int err)
{
	struct leap__vsq *sq = (struct leap__vsq *)q;
	struct leap_cmd *cmd = sq->cmd;

	/* Refused: answered when it has gone, so that it can be tried again.
	 * Its process is gone: the replay tells the next one. */
	sq->err = err == -ECONNRESET ? 0 : err;
	if (sq->err || sq->deleting)
		return;
	sq->cmd = NULL;
	leap__vdev_tell_cache(arg, q->group);
	leap__vdev_answer(arg, cmd, 0);
	(void)c;
}

static void front_ioq_gone(struct leap__ctrl *c, void *arg,
			   struct leap__ioqp *q)
{
	struct leap__vsq *sq = (struct leap__vsq *)q;
	struct leap_vdev *v = arg;

	sq->cq->io.nr_sqs--;
	/* What its record knew of the ring, its successor cannot. */
	sq->cq->io.desc.seq = leap__vdev_cq_posted(v, sq->cq);
	/* One that a predecessor left has no command: then it is CFS. */
	if (sq->cmd || sq->err)
		leap__vdev_answer(v, sq->cmd, sq->err);
	if (sq->cq->state == LEAP__VCQ_FAILED && !sq->cq->io.nr_sqs)
		cq_free(v, sq->cq);
	else if (cq_going(v))
		cq_doom(v, sq->cq);
	leap__vdev_settle(v);
	(void)c;
}

static leap_status_t check_sq(struct leap_vdev *v, const struct leap_cmd *cmd)
{
	uint32_t dw11 = leap_from_le32(cmd->sqe.cdw11);
	uint32_t cqid = LEAP_GET(dw11, LEAP_SQ_CDW11_CQID);
	uint32_t qid = qid_of(cmd);
	leap_status_t status;

	if (!cqid || cqid > v->c->granted)
		return LEAP_SC_QID_INVALID;
	if (!v->cq[cqid] || v->cq[cqid]->state != LEAP__VCQ_LIVE)
		return LEAP_SC_CQ_INVALID;
	if (!qid || qid > v->c->granted || v->c->ioq[qid])
		return LEAP_SC_QID_INVALID;
	status = check_ring(v, cmd, 6);
	if (status)
		return status;
	return dw11 & LEAP_Q_CDW11_PC ? 0 : LEAP_SC_INVALID_FIELD;
}

/* What a queue on this completion queue has to know. */
static void fill_io(struct leap_vdev *v, struct leap__vsq *sq)
{
	struct leap__ioqp *q = &sq->io;
	struct leap_qp_desc *d = &q->desc;

	d->cqid = sq->cq->io.desc.cqid;
	d->cq_depth = sq->cq->io.desc.depth;
	leap__vdev_fill_qp(v, d);
	q->group = sq->cq->io.group;
	q->ss = v->c->ss->ioss[q->group->index];
	q->max_bytes = v->target->opts.mdts_bytes;
	q->write_through = !v->c->feat[LEAP__FEAT_WRITE_CACHE];
	q->ctrl = v->c;
	q->guest = q->group->remote ? NULL : &v->guest;
	q->iocq = &sq->cq->io;
	leap__list_init(&q->link);
}

static void fill_sq(struct leap_vdev *v, struct leap__vsq *sq,
		    const struct leap_cmd *cmd)
{
	struct leap_qp_desc *d = &sq->io.desc;

	sq->cmd = (struct leap_cmd *)cmd;
	sq->cq = v->cq[LEAP_GET(leap_from_le32(cmd->sqe.cdw11),
				LEAP_SQ_CDW11_CQID)];
	d->qid = (uint16_t)qid_of(cmd);
	d->sq_depth = qsize_of(cmd) + 1;
	d->sq.addr = leap_from_le64(cmd->sqe.prp1);
	fill_io(v, sq);
}

static void sq_add(struct leap_vdev *v, struct leap__vsq *sq)
{
	struct leap__ctrl *c = v->c;
	struct leap__ioqp *q = &sq->io;

	sq->cq->io.nr_sqs++;
	v->shadow_missed |= v->shadow_cmd != NULL;
	v->target->connections++;
	leap__ctrl_add_ioq(c, q);
	q->add.ctrl = c;
	q->add.fd = -1;
	q->add.link.cntlid = c->cntlid;
	q->add.link.u.qp = q->desc;
	leap__link_ask(q->group, &q->add);
}

static void create_sq(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	struct leap_vdev *v = leap__vdev_of(c);
	leap_status_t status = check_sq(v, cmd);
	struct leap__vsq *sq;

	sq = status ? NULL : calloc(1, sizeof(*sq));
	if (sq) {
		fill_sq(v, sq, cmd);
		if (leap__vdev_place_record(v, &sq->io.desc)) {
			free(sq);
			sq = NULL;
		}
	}
	if (!sq) {
		leap__admin_fail(c, cmd, LEAP__DNR(status ? status :
						   LEAP_SC_INTERNAL));
		return;
	}
	leap__vdev_fresh_doorbell(v, sq->io.desc.qid, 0);
	sq_add(v, sq);
}

static void delete_sq(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	struct leap_vdev *v = leap__vdev_of(c);
	struct leap__vsq *sq = find_sq(v, qid_of(cmd));

	/* One that is being created or deleted is not there. */
	if (!sq || sq->cmd) {
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_QID_INVALID));
		return;
	}
	sq->cmd = cmd;
	sq->deleting = 1;
	leap__ctrl_delete_ioq(&sq->io);
}

/* ---- resets, the end ---- */

static void doom_all(struct leap_vdev *v)
{
	uint32_t i;

	for (i = 1; i < v->nr_queues; i++)
		if (v->cq[i])
			cq_doom(v, v->cq[i]);
}

static void front_stop(struct leap__ctrl *c, void *arg)
{
	struct leap_vdev *v = arg;

	v->started = 0;
	/* Unless it has ended itself: rings that lie. */
	if (c->conn && c->conn->vqp)
		leap_vqp_close(c->conn->vqp);
	leap__vdev_forget_shadow(v);
	doom_all(v);
	leap__vdev_intx_update(v);
}

static void front_ended(struct leap__ctrl *c, void *arg)
{
	struct leap_vdev *v = arg;

	(void)c;
	v->ended = 1;
	doom_all(v);
	leap__vdev_settle(v);
}

/* ---- what a predecessor left ---- */

int leap__vdev_resume_cq(struct leap_vdev *v, struct leap__vcq *cq)
{
	struct leap_cq_desc *d = &cq->io.desc;

	if (!d->cqid || d->cqid >= v->nr_queues || v->cq[d->cqid] ||
	    d->depth < 2 || d->depth > 65536)
		return -EINVAL;
	d->cntlid = v->c->cntlid;
	d->doorbell = leap__vdev_db_offset(v, d->cqid, 1);
	d->flags |= LEAP_QPD_RESUME;
	cq_add(v, cq);
	return 0;
}

int leap__vdev_resume_sq(struct leap_vdev *v, struct leap__vsq *sq)
{
	struct leap_qp_desc *d = &sq->io.desc;
	uint16_t cqid = d->cqid;

	if (!d->qid || d->qid >= v->nr_queues || v->c->ioq[d->qid] ||
	    cqid >= v->nr_queues || !v->cq[cqid] || d->sq_depth < 2 ||
	    d->sq_depth > 65536)
		return -EINVAL;
	sq->cq = v->cq[cqid];
	d->flags = LEAP_QPD_RESUME;
	fill_io(v, sq);
	if (leap__vdev_place_record(v, d))
		return -EINVAL;
	sq_add(v, sq);
	return 0;
}

static void front_coalesce(struct leap__ctrl *c, void *arg)
{
	(void)c;
	leap__vdev_tell_coalesce(arg);
}

void leap__vdev_front_init(struct leap_vdev *v)
{
	v->front.start = leap__vdev_admin_start;
	v->front.stop = front_stop;
	v->front.ended = front_ended;
	v->front.ioq_added = front_ioq_added;
	v->front.ioq_gone = front_ioq_gone;
	v->front.coalesce = front_coalesce;
	v->front.create_cq = create_cq;
	v->front.delete_cq = delete_cq;
	v->front.create_sq = create_sq;
	v->front.delete_sq = delete_sq;
	if (!v->opts.no_shadow)
		v->front.dbbuf_config = leap__vdev_dbbuf_config;
	v->front.nr_vectors = v->nr_vectors;
}
