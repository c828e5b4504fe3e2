/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs of a controller behind registers, behind the same slots as those
 * of a fabric: what a host says by fabrics commands is said by registers and by
 * queue creation, and the answers are those that a fabric would give.
 *
 *	Connect, admin     what is there: PCI, reset, Identify; then disabled
 *	Property Get, Set  registers; CC.EN brings the admin queue up
 *	Connect, I/O       Create I/O CQ, Create I/O SQ (regioq.c)
 *	everything else    into the ring
 *
 * An I/O queue finds its controller among those of the poll group, by address
 * and controller id. The id is the controller's own when that is free here and
 * not 0, which I/O Connects could not say; else one from the upper end.
 *
 * Spec: NVMe Base 2.0 s6 (fabrics commands)
 */
#include "core/io/regctrl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/dispatch.h"
#include "core/io/transport.h"
#include "util/err.h"

/* DW0 of a Connect refused with Invalid Parameters: where the bad field is. */
#define IN_DATA(field)	((uint32_t)offsetof(struct leap_connect_data, field) | \
			 LEAP_CONNECT_DW0_IATTR_DATA)
#define DNR(status)	((leap_status_t)((status) | LEAP_STATUS_DNR))

static struct leap__regqp *of_qp(struct leap_qp *qp)
{
	return (struct leap__regqp *)qp;
}

static bool is_admin(const struct leap__regqp *rq)
{
	return !rq->qp.opts.qid;
}

/* ---- answers of our own ------------------------------------------------ */

void leap__regqp_complete(struct leap__regqp *rq, struct leap_req *req,
			  uint64_t result, leap_status_t status)
{
	memset(&req->cqe, 0, sizeof(req->cqe));
	req->cqe.result = leap_to_le64(result);
	req->cqe.cid = req->sqe.cid;
	req->cqe.status = leap_cqe_status_word(status, 0);
	leap_qp_complete(&rq->qp, req);
}

/* ---- the end of a queue pair ------------------------------------------- */

void leap__regqp_free_queue(struct leap__regqp *rq)
{
	if (rq->q_init)
		leap__regq_fini(&rq->q);
	rq->q_init = false;
}

static void say_closed(struct leap__regqp *rq)
{
	free(rq->fabs);
	leap_qp_closed(&rq->qp);
}

static void hear_closed(struct leap_msg *msg)
{
	say_closed(leap__list_entry(msg, struct leap__regqp, msg));
}

/* No controller has anything of it any more. */
void leap__regqp_ended(struct leap__regqp *rq, int err)
{
	rq->state = LEAP__REGQP_ENDED;
	if (rq->closing)
		err = -ECANCELED;
	else if (!err)
		err = -ECONNRESET;
	if (rq->connect) {
		struct leap_req *req = rq->connect;

		rq->connect = NULL;
		leap_qp_fail(&rq->qp, req, err);
	}
	if (rq->q_init)
		leap__regq_fail_all(&rq->q, err, 0);
	leap__regfab_fail(rq, err);
	leap__regqp_free_queue(rq);
	rq->c = NULL;
	if (!rq->closing)
		leap_qp_transport_down(&rq->qp, err);
	else if (!rq->msg_out)
		say_closed(rq);
}

/* ---- Connect ----------------------------------------------------------- */

/* Free in this poll group? */
static bool id_is_free(const struct leap__regctrl *c, uint32_t id)
{
	struct leap__list *list = &leap__dispatch(c->pg)->regctrls, *pos;

	leap__list_for_each(pos, list) {
		const struct leap__regctrl *x =
			leap__list_entry(pos, struct leap__regctrl, link);

		if (x != c && x->cntlid == id)
			return false;
	}
	return true;
}

static uint16_t pick_id(const struct leap__regctrl *c)
{
	uint32_t id = leap_from_le16(c->id->cntlid);

	if (id < LEAP_CNTLID_MIN || id > LEAP_CNTLID_MAX ||
	    !id_is_free(c, id))
		for (id = LEAP_CNTLID_MAX; id > LEAP_CNTLID_MIN; id--)
			if (id_is_free(c, id))
				break;
	return (uint16_t)id;
}

static const struct leap_connect_data *data_of(const struct leap_req *req)
{
	return req->pieces[0].addr;
}

/* Controllers before 1.2.1 have no name in Identify. */
static bool name_fits(const struct leap__regctrl *c, const char *wanted)
{
	const char *name = (const char *)c->id->subnqn;

	return !name[0] || (c->quirks & LEAP__REGQ_NO_NAME) ||
	       !strcmp(wanted, LEAP__NQN_ANY) ||
	       !strncmp(name, wanted, sizeof(c->id->subnqn));
}

static void probed(struct leap__regctrl *c, int err, leap_status_t status)
{
	struct leap__regqp *rq = c->owner;
	struct leap_req *req = rq->connect;

	rq->connect = NULL;
	rq->state = LEAP__REGQP_LIVE;
	if (status) {
		leap__regqp_complete(rq, req, 0, status);
	} else if (!name_fits(c, data_of(req)->subnqn)) {
		leap__regqp_complete(rq, req, IN_DATA(subnqn),
				     DNR(LEAP_SC_FAB_PARAM));
	} else {
		c->cntlid = pick_id(c);
		leap__regqp_complete(rq, req, c->cntlid, 0);
	}
}

static void connect_admin(struct leap__regqp *rq, struct leap_req *req)
{
	const struct leap_connect_data *d = data_of(req);
	struct leap__regfab *f;

	if (leap_from_le16(d->cntlid) == LEAP_CNTLID_DYNAMIC &&
	    strcmp(d->subnqn, LEAP_NQN_DISCOVERY)) {
		rq->connect = req;
		rq->c->probed = probed;
		leap__regctrl_probe(rq->c);
		return;
	}
	f = leap__regfab_take(rq, req);
	leap__regfab_answer(f, leap_from_le16(d->cntlid) ==
			       LEAP_CNTLID_DYNAMIC ?
			       IN_DATA(subnqn) : IN_DATA(cntlid),
			    DNR(LEAP_SC_FAB_PARAM));
}

static void hear_start(struct leap_msg *msg);

static int first_command(struct leap__regqp *rq, struct leap_req *req)
{
	if (is_admin(rq)) {
		connect_admin(rq, req);
		return 1;
	}
	/* The answer may not come from within submit. */
	rq->connect = req;
	rq->msg.run = hear_start;
	rq->msg_out = true;
	leap_pollgroup_send(rq->qp.pg, &rq->msg);
	return 1;
}

/* ---- commands ---------------------------------------------------------- */

static void hear_disconnect(struct leap_msg *msg)
{
	struct leap__regqp *rq =
		leap__list_entry(msg, struct leap__regqp, msg);

	rq->msg_out = false;
	if (rq->state == LEAP__REGQP_ENDED && rq->closing)
		say_closed(rq);
	else if (rq->state == LEAP__REGQP_LIVE && rq->c->enabled)
		leap__regioq_delete(rq);
}

void leap__regqp_disconnect(struct leap__regfab *f)
{
	const struct leap_fab_disconnect *d =
		(const struct leap_fab_disconnect *)(const void *)&f->req->sqe;
	struct leap__regqp *rq = f->rq;

	if (leap_from_le16(d->recfmt)) {
		leap__regfab_answer(f, 0, DNR(LEAP_SC_FAB_FORMAT));
		return;
	}
	leap__regfab_answer(f, 0, 0);
	if (rq->msg_out)
		return;
	rq->msg.run = hear_disconnect;
	rq->msg_out = true;
	leap_pollgroup_send(rq->qp.pg, &rq->msg);
}

static int submit_one(struct leap__regqp *rq, struct leap_req *req)
{
	struct leap__regfab *f;
	bool fab = req->sqe.opc == LEAP_ADM_FABRICS;
	int cid;

	if (__builtin_expect(fab || is_admin(rq), 0) &&
	    (fab || leap__regfab_takes(rq, req))) {
		f = leap__regfab_take(rq, req);
		if (!f)
			return -EAGAIN;
		leap__regfab_submit(f);
		return 0;
	}
	cid = leap__regq_slot(&rq->q, req);
	return cid < 0 ? cid : leap__regq_push(&rq->q, (uint16_t)cid);
}

/* The two of a fused pair are bounced where they would have to be parked. */
static bool two_fit(const struct leap__regq *q, struct leap_req *const *reqs)
{
	return q->nr_free_slots >= 2 && leap__sqp_room(&q->sqp) >= 2 &&
	       q->chunks.nr_free >= leap__chunks_for(reqs[0]->lib[1]) +
				    leap__chunks_for(reqs[1]->lib[1]);
}

static bool is_up(const struct leap__regqp *rq)
{
	return rq->state == LEAP__REGQP_LIVE && (is_admin(rq) || rq->q.live);
}

static void went_out(struct leap__regqp *rq)
{
	leap__pollgroup_defer(rq->qp.pg, &rq->q.kick);
	if (__builtin_expect(!rq->c->watching, 0))
		leap__regwatch_start(rq->c);
}

int leap__regqp_submit(struct leap_qp *qp, struct leap_req *const *reqs,
		       unsigned int n)
{
	struct leap__regqp *rq = of_qp(qp);
	unsigned int i;

	if (!rq->c || leap__regctrl_dead(rq->c))
		return -ENOTCONN;
	if (rq->state == LEAP__REGQP_NEW)
		return first_command(rq, reqs[0]);
	if (!is_up(rq))
		return -ENOTCONN;
	if (n > 1 && leap__req_is_first(reqs[0]) && !two_fit(&rq->q, reqs))
		return 0;
	for (i = 0; i < n; i++)
		if (submit_one(rq, reqs[i]))
			break;
	if (i)
		went_out(rq);
	return (int)i;
}

int leap__regqp_submit_lists(struct leap_qp *qp, struct leap_req *req,
			     const struct leap_req_lists *lists)
{
	struct leap__regqp *rq = of_qp(qp);
	int cid;

	if (!rq->c || leap__regctrl_dead(rq->c) || is_admin(rq) || !is_up(rq))
		return -ENOTCONN;
	cid = leap__regq_slot(&rq->q, req);
	if (cid < 0 || leap__regq_lists(&rq->q, (uint16_t)cid, lists) ||
	    leap__regq_push(&rq->q, (uint16_t)cid))
		return 0;
	went_out(rq);
	return 1;
}

void leap__regqp_kick(struct leap_qp *qp)
{
	struct leap__regqp *rq = of_qp(qp);

	if (rq->c && rq->q_init && !leap__regctrl_dead(rq->c))
		leap__regq_kick(&rq->q);
}

/* ---- opening and closing ----------------------------------------------- */

void leap__regqp_opened(struct leap__regqp *rq)
{
	leap_qp_transport_up(&rq->qp);
}

/* An I/O queue's two messages to itself: up, and begin to create. */
static void hear_start(struct leap_msg *msg)
{
	struct leap__regqp *rq =
		leap__list_entry(msg, struct leap__regqp, msg);

	rq->msg_out = false;
	if (rq->state == LEAP__REGQP_ENDED) {
		if (rq->closing)
			say_closed(rq);
		return;
	}
	if (rq->closing) {
		if (!leap__regctrl_dead(rq->c))
			leap__regioq_gone(rq, -ECANCELED);
	} else if (!rq->connect) {
		leap_qp_transport_up(&rq->qp);
	} else if (!leap__regctrl_dead(rq->c)) {
		leap__regioq_start(rq);
	}
}

static struct leap__regctrl *find(struct leap_pollgroup *pg,
				  const struct leap__regdev_ops *ops,
				  const char *address, uint16_t cntlid)
{
	struct leap__list *list = &leap__dispatch(pg)->regctrls, *pos;

	leap__list_for_each(pos, list) {
		struct leap__regctrl *c =
			leap__list_entry(pos, struct leap__regctrl, link);

		if (c->state == LEAP__REGCTRL_UP && c->cntlid == cntlid &&
		    c->dev->ops == ops && !strcmp(c->address, address))
			return c;
	}
	return NULL;
}

static bool qid_is_taken(const struct leap__regctrl *c, uint16_t qid)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &c->qps)
		if (leap__list_entry(pos, struct leap__regqp, link)
		    ->qp.opts.qid == qid)
			return true;
	return false;
}

static int connect_io(struct leap__regqp *rq, const char *address,
		      const struct leap__regdev_ops *ops)
{
	const struct leap_qp_opts *o = &rq->qp.opts;
	struct leap__regctrl *c = find(rq->qp.pg, ops, address, o->cntlid);

	if (!c)
		return leap__err(-ENOTCONN, "leap_qp_connect: no controller %u "
				 "at \"%s\" in this poll group", o->cntlid,
				 address);
	if (qid_is_taken(c, o->qid))
		return leap__err(-EBUSY, "leap_qp_connect: controller %u has a "
				 "queue %u", o->cntlid, o->qid);
	rq->c = c;
	leap__list_push_back(&c->qps, &rq->link);
	rq->msg.run = hear_start;
	rq->msg_out = true;
	leap_pollgroup_send(rq->qp.pg, &rq->msg);
	return 0;
}

int leap__regqp_connect(struct leap_qp *qp, const char *address,
			const struct leap__regdev_ops *ops)
{
	struct leap__regqp *rq = of_qp(qp);
	int err;

	leap__regfab_init(rq);
	leap__list_init(&rq->link);
	qp->max_data_bytes = LEAP__REG_MAX_DATA;
	rq->fabs = calloc(qp->depth, sizeof(*rq->fabs));
	if (!rq->fabs)
		return leap__err(-ENOMEM, "leap_qp_connect: out of memory");
	if (qp->opts.qid) {
		err = connect_io(rq, address, ops);
	} else {
		err = leap__regctrl_create(qp, ops, address, &rq->c);
		if (!err)
			leap__list_push_back(&rq->c->qps, &rq->link);
	}
	if (err)
		free(rq->fabs);
	return err;
}

static void close_io(struct leap__regqp *rq)
{
	struct leap__regctrl *c = rq->c;

	if (leap__regctrl_dead(c) || c->state == LEAP__REGCTRL_ENDING)
		return;		/* it ends with its controller */
	switch (rq->state) {
	case LEAP__REGQP_LIVE:
		if (c->enabled)
			leap__regioq_delete(rq);
		return;		/* else a disable is under way: as above */
	case LEAP__REGQP_NEW:
		if (rq->msg_out)
			return;	/* hear_start goes on */
		rq->msg.run = hear_start;
		rq->msg_out = true;
		leap_pollgroup_send(rq->qp.pg, &rq->msg);
		return;
	default:
		return;		/* the step that is out goes on */
	}
}

void leap__regqp_close(struct leap_qp *qp)
{
	struct leap__regqp *rq = of_qp(qp);

	rq->closing = true;
	if (!rq->c) {
		if (rq->msg_out)
			return;
		rq->msg.run = hear_closed;
		leap_pollgroup_send(qp->pg, &rq->msg);
	} else if (is_admin(rq)) {
		leap__regctrl_end(rq->c);
	} else {
		close_io(rq);
	}
}
