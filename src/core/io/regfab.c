/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a queue pair behind registers answers without its ring: fabrics
 * commands, which become register accesses, and admin commands that are this
 * driver's business.
 *
 * Answers are given at the end of the poll, never from within submit. Changes
 * of CC are made one after the other: next_set takes up the first of rq->sets
 * when the last is over.
 *
 * Knows nothing of rings and of how queues are made (regqp.c).
 *
 * Spec: NVMe Base 2.0 s3.1.3 (properties), s6 (fabrics commands)
 */
#include "core/io/regctrl.h"

#include <errno.h>
#include <string.h>

#include "util/err.h"

#define DNR(status)	((leap_status_t)((status) | LEAP_STATUS_DNR))

static bool is_admin(const struct leap__regqp *rq)
{
	return !rq->qp.opts.qid;
}

/* ---- answers ----------------------------------------------------------- */

static void fab_complete(struct leap__regfab *f, uint64_t result,
			 leap_status_t status)
{
	struct leap_req *req = f->req;

	f->req = NULL;
	leap__regqp_complete(f->rq, req, result, status);
}

static void answer_all(struct leap__defer *defer)
{
	struct leap__regqp *rq =
		leap__list_entry(defer, struct leap__regqp, answer);
	struct leap__regfab *f;

	while ((f = rq->answers)) {
		rq->answers = f->next;
		if (!rq->answers)
			rq->answers_tail = &rq->answers;
		fab_complete(f, f->result, f->status);
	}
}

/* Not from within submit: at the end of this poll. */
void leap__regfab_answer(struct leap__regfab *f, uint64_t result,
			 leap_status_t status)
{
	struct leap__regqp *rq = f->rq;

	f->result = result;
	f->status = status;
	f->next = NULL;
	*rq->answers_tail = f;
	rq->answers_tail = &f->next;
	leap__pollgroup_defer(rq->qp.pg, &rq->answer);
}

struct leap__regfab *leap__regfab_take(struct leap__regqp *rq,
				       struct leap_req *req)
{
	uint32_t i;

	for (i = 0; i < rq->qp.depth; i++) {
		struct leap__regfab *f = &rq->fabs[i];

		if (f->req)
			continue;
		f->req = req;
		f->rq = rq;
		f->next = NULL;
		return f;
	}
	return NULL;
}

void leap__regfab_init(struct leap__regqp *rq)
{
	rq->answer.run = answer_all;
	rq->answers_tail = &rq->answers;
	rq->sets_tail = &rq->sets;
}

void leap__regfab_fail(struct leap__regqp *rq, int err)
{
	struct leap_req *req;
	uint32_t i;

	rq->answers = rq->sets = NULL;
	rq->answers_tail = &rq->answers;
	rq->sets_tail = &rq->sets;
	leap__pollgroup_undefer(rq->qp.pg, &rq->answer);
	for (i = 0; i < rq->qp.depth; i++) {
		req = rq->fabs[i].req;
		rq->fabs[i].req = NULL;
		if (req)
			leap_qp_fail(&rq->qp, req, err);
	}
}

/* ---- properties -------------------------------------------------------- */

static void next_set(struct leap__regqp *rq);

/* The disabled controller has forgotten its queues: so do their users. */
static void end_io_queues(struct leap__regctrl *c)
{
	struct leap__list *pos, *tmp, ended;

	leap__list_init(&ended);
	leap__list_for_each_safe(pos, tmp, &c->qps) {
		struct leap__regqp *rq =
			leap__list_entry(pos, struct leap__regqp, link);

		if (is_admin(rq) || rq->state == LEAP__REGQP_NEW ||
		    rq->state == LEAP__REGQP_MAPPING)
			continue;
		leap__list_remove(pos);
		leap__list_push_back(&ended, pos);
	}
	while ((pos = leap__list_pop(&ended)))
		leap__regioq_gone(leap__list_entry(pos, struct leap__regqp,
						  link), -ECONNRESET);
}

static void set_over(struct leap__regctrl *c, int err)
{
	struct leap__regqp *rq = c->owner;
	struct leap__regfab *f = rq->sets;

	rq->sets = f->next;
	if (!rq->sets)
		rq->sets_tail = &rq->sets;
	/* Whatever became of it: CSTS says, as it does on a fabric. */
	leap__regfab_answer(f, 0, 0);
	next_set(rq);
}

static void set_disabled(struct leap__regctrl *c, int err)
{
	leap__regctrl_drop_cmds(c);
	leap__regq_fail_all(c->admin, 0, LEAP_SC_ABORT_SQ_DELETED);
	end_io_queues(c);
	set_over(c, 0);
}

static void set_written(struct leap__regio *io, int err)
{
	struct leap__regfab *f = io->arg;
	struct leap__regctrl *c = f->rq->c;

	if (leap__regctrl_dead(c))
		return;		/* ends with everything else */
	if (err)
		leap__regctrl_fail(c, err);
	else
		set_over(c, 0);
}

/* One change of CC after the other. */
static void next_set(struct leap__regqp *rq)
{
	struct leap__regctrl *c = rq->c;
	struct leap__regfab *f = rq->sets;
	uint32_t cc;

	if (!f || leap__regctrl_busy(c) || c->state != LEAP__REGCTRL_UP)
		return;
	cc = (uint32_t)f->result;
	if ((cc & LEAP_CC_EN) && !(c->cc & LEAP_CC_EN)) {
		leap__regctrl_enable(c, cc, set_over);
	} else if (!(cc & LEAP_CC_EN) && (c->cc & LEAP_CC_EN)) {
		leap__regctrl_disable(c, set_disabled);
	} else {
		c->cc = cc;
		f->io = (struct leap__regio){
			.op = LEAP__REG_WRITE, .bytes = 4, .fd = -1,
			.offset = LEAP_REG_CC, .value = cc,
			.done = set_written, .arg = f,
		};
		c->dev->ops->submit(c->dev, &f->io);
	}
}

static void nssr_written(struct leap__regio *io, int err)
{
	struct leap__regfab *f = io->arg;
	struct leap__regctrl *c = f->rq->c;

	if (leap__regctrl_dead(c))
		return;
	if (err) {
		leap__regctrl_fail(c, err);
		return;
	}
	leap__regfab_answer(f, 0, 0);
	leap__regctrl_reset(c, -ECONNRESET, "NVM subsystem reset");
}

/*
 * All controllers of the subsystem are reset, other hosts' too: only who asks
 * for it gets it, it is no step of recovery. NVMe Base 2.0 s3.7.1.
 */
static void subsystem_reset(struct leap__regfab *f)
{
	struct leap__regctrl *c = f->rq->c;

	f->io = (struct leap__regio){
		.op = LEAP__REG_WRITE, .bytes = 4, .fd = -1,
		.offset = LEAP_REG_NSSR, .value = LEAP_NSSR_MAGIC,
		.done = nssr_written, .arg = f,
	};
	c->dev->ops->submit(c->dev, &f->io);
}

static void property_set(struct leap__regfab *f)
{
	const struct leap_fab_prop_set *p =
		(const struct leap_fab_prop_set *)(const void *)&f->req->sqe;
	uint32_t value = (uint32_t)leap_from_le64(p->value);
	struct leap__regqp *rq = f->rq;
	bool idle = !rq->sets;

	if ((p->attrib & LEAP_PROP_SIZE_MASK) == LEAP_PROP_SIZE_4 &&
	    leap_from_le32(p->ofst) == LEAP_REG_NSSR &&
	    value == LEAP_NSSR_MAGIC && (rq->c->cap & LEAP_CAP_NSSRS)) {
		subsystem_reset(f);
		return;
	}
	/* Pages of 4 KiB are what queues and PRPs are made of here. */
	if ((p->attrib & LEAP_PROP_SIZE_MASK) != LEAP_PROP_SIZE_4 ||
	    leap_from_le32(p->ofst) != LEAP_REG_CC ||
	    LEAP_GET(value, LEAP_CC_MPS)) {
		leap__regfab_answer(f, 0, DNR(LEAP_SC_INVALID_FIELD));
		return;
	}
	f->result = value;
	f->next = NULL;
	*rq->sets_tail = f;
	rq->sets_tail = &f->next;
	if (idle)
		next_set(rq);
}

static void property_read(struct leap__regio *io, int err)
{
	struct leap__regfab *f = io->arg;

	if (leap__regctrl_dead(f->rq->c))
		return;
	if (err)
		leap__regctrl_fail(f->rq->c, err);
	else if (io->value == (io->bytes == 8 ? UINT64_MAX : UINT32_MAX))
		leap__regctrl_refuse(f->rq->c, -ENODEV,
				     "register %#llx reads as all ones",
				     (unsigned long long)io->offset);
	else if (io->offset == LEAP_REG_CAP)
		fab_complete(f, leap__regprobe_cap(f->rq->c, io->value), 0);
	else
		fab_complete(f, io->value, 0);
}

/* What a fabric has of the registers. */
static uint32_t property_bytes(uint32_t offset)
{
	switch (offset) {
	case LEAP_REG_CAP:
		return 8;
	case LEAP_REG_VS:
	case LEAP_REG_CC:
	case LEAP_REG_CSTS:
	case LEAP_REG_CRTO:
		return 4;
	default:
		return 0;
	}
}

static void property_get(struct leap__regfab *f)
{
	const struct leap_fab_prop_get *p =
		(const struct leap_fab_prop_get *)(const void *)&f->req->sqe;
	uint32_t offset = leap_from_le32(p->ofst);
	uint32_t bytes = 4u << (p->attrib & LEAP_PROP_SIZE_MASK);
	struct leap__regctrl *c = f->rq->c;

	if (bytes != property_bytes(offset)) {
		leap__regfab_answer(f, 0, DNR(LEAP_SC_INVALID_FIELD));
		return;
	}
	f->io = (struct leap__regio){
		.op = LEAP__REG_READ, .bytes = (uint8_t)bytes, .fd = -1,
		.offset = offset, .done = property_read, .arg = f,
	};
	c->dev->ops->submit(c->dev, &f->io);
}

/* ---- commands ---------------------------------------------------------- */

static void fabrics(struct leap__regfab *f)
{
	const struct leap_fab_sqe *sqe =
		(const struct leap_fab_sqe *)(const void *)&f->req->sqe;
	bool admin = is_admin(f->rq);

	if (sqe->fctype == LEAP_FCTYPE_CONNECT)
		leap__regfab_answer(f, 0, DNR(LEAP_SC_CMD_SEQUENCE));
	else if (sqe->fctype == LEAP_FCTYPE_DISCONNECT && admin)
		leap__regfab_answer(f, 0, DNR(LEAP_SC_FAB_QTYPE));
	else if (sqe->fctype == LEAP_FCTYPE_DISCONNECT)
		leap__regqp_disconnect(f);
	else if (sqe->fctype == LEAP_FCTYPE_PROP_SET && admin)
		property_set(f);
	else if (sqe->fctype == LEAP_FCTYPE_PROP_GET && admin)
		property_get(f);
	else
		leap__regfab_answer(f, 0, DNR(LEAP_SC_INVALID_FIELD));
}

/* In place of Keep Alive, for a controller that has none: is it well? */
static void health_read(struct leap__regio *io, int err)
{
	struct leap__regfab *f = io->arg;
	struct leap__regctrl *c = f->rq->c;

	if (leap__regctrl_dead(c))
		return;
	if (err)
		leap__regctrl_fail(c, err);
	else if (leap__regwatch_csts(c, (uint32_t)io->value))
		fab_complete(f, 0, 0);
}

static void ask_health(struct leap__regfab *f)
{
	struct leap__regctrl *c = f->rq->c;

	f->io = (struct leap__regio){
		.op = LEAP__REG_READ, .bytes = 4, .fd = -1,
		.offset = LEAP_REG_CSTS, .done = health_read, .arg = f,
	};
	c->dev->ops->submit(c->dev, &f->io);
}

void leap__regfab_seen(struct leap__regctrl *c, struct leap_req *req)
{
	uint32_t dw0 = leap_from_le32(req->cqe.dw0), nsq, ncq;
	uint32_t cdw10 = leap_from_le32(req->sqe.cdw10);

	if (leap_req_status(req))
		return;
	if (req->sqe.opc == LEAP_ADM_SET_FEATURES &&
	    (cdw10 & 0xff) == LEAP_FID_NUM_QUEUES) {
		nsq = LEAP_GET(dw0, LEAP_FEAT_NQ_NSQ) + 1;
		ncq = LEAP_GET(dw0, LEAP_FEAT_NQ_NCQ) + 1;
		c->nr_granted = nsq < ncq ? nsq : ncq;
	}
	if (c->quirks && req->sqe.opc == LEAP_ADM_IDENTIFY &&
	    (cdw10 & 0xff) == LEAP_CNS_CTRL && req->nr_pieces == 1)
		leap__regprobe_correct(c, req->pieces[0].addr);
}

/* PRPs have no length: a controller would write on behind the payload. */
static bool too_short(const struct leap_req *req)
{
	uint32_t cdw10 = leap_from_le32(req->sqe.cdw10);
	uint32_t cdw11 = leap_from_le32(req->sqe.cdw11);

	if (req->sqe.opc == LEAP_ADM_IDENTIFY)
		return req->lib[1] < LEAP_IDENTIFY_SIZE;
	if (req->sqe.opc == LEAP_ADM_GET_LOG)
		return req->lib[1] < ((uint64_t)(cdw11 & 0xffff) << 16 |
				      cdw10 >> 16) * 4 + 4;
	return false;
}

static bool is_keep_alive(const struct leap__regqp *rq,
			  const struct leap_req *req)
{
	return req->sqe.opc == LEAP_ADM_KEEP_ALIVE && rq->c->enabled &&
	       !leap_from_le16(rq->c->id->kas);
}

/* What an admin command is answered without the controller, if it is. */
static bool own_status(struct leap__regqp *rq, const struct leap_req *req,
		       leap_status_t *status)
{
	switch (req->sqe.opc) {
	case LEAP_ADM_DELETE_SQ:
	case LEAP_ADM_CREATE_SQ:
	case LEAP_ADM_DELETE_CQ:
	case LEAP_ADM_CREATE_CQ:
	case LEAP_ADM_DBBUF_CONFIG:	/* this driver's business */
		*status = DNR(LEAP_SC_INVALID_OPCODE);
		return true;
	}
	if (!rq->c->enabled) {
		*status = DNR(LEAP_SC_CMD_SEQUENCE);
		return true;
	}
	if ((rq->c->quirks & LEAP__REGQ_NO_NS_DESC) &&
	    req->sqe.opc == LEAP_ADM_IDENTIFY &&
	    (leap_from_le32(req->sqe.cdw10) & 0xff) == LEAP_CNS_NS_DESC) {
		*status = DNR(LEAP_SC_INVALID_FIELD);
		return true;
	}
	*status = DNR(LEAP_SC_SGL_DATA_LEN);
	return too_short(req);
}

void leap__regfab_submit(struct leap__regfab *f)
{
	leap_status_t status;

	if (f->rq->c->state == LEAP__REGCTRL_ENDING)
		return;		/* fails with everything else */
	if (f->req->sqe.opc == LEAP_ADM_FABRICS)
		fabrics(f);
	else if (is_keep_alive(f->rq, f->req))
		ask_health(f);
	else if (own_status(f->rq, f->req, &status))
		leap__regfab_answer(f, 0, status);
}

bool leap__regfab_takes(struct leap__regqp *rq, const struct leap_req *req)
{
	leap_status_t status;

	return rq->c->state == LEAP__REGCTRL_ENDING ||
	       is_keep_alive(rq, req) || own_status(rq, req, &status);
}
