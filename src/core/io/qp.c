/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host-end dispatcher: opens a queue pair, sends its Connect command,
 * counts what is in flight, and returns every request exactly once.
 *
 *	TRANSPORT --up--> CONNECT --ok--> LIVE --down--> DOWN --close--> CLOSING
 *	    |                |                                             |
 *	    +---- down, bad status, timeout ----> FAILED ------close-------+
 *	                                                                   v
 *	                                                                  gone
 *
 * The only caller of the host-end slots of a transport. Knows no command but
 * Connect; how a whole controller is used is host.c's business.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/nvmf.h>
#include <leapio/ocssd.h>
#include <leapio/qp.h>

#include "core/io/dispatch.h"
#include "core/io/host.h"
#include "core/io/info.h"
#include "core/io/transport.h"
#include "core/io/world.h"
#include "util/err.h"
#include "util/opts.h"
#include "util/uuid.h"

#define URL_MAX		512
#define DEPTH_ADMIN	32u	/* smallest that a controller must take */
#define DEPTH_IO	128u
#define CONNECT_MS	10000u
#define TIMEOUT_MS	30000u

enum {
	QP_TRANSPORT = 0,	/* the transport shakes hands */
	QP_CONNECT,		/* the Connect command is out */
	QP_LIVE,
	QP_FAILED,		/* could not connect; wants to be closed */
	QP_DOWN,		/* connection lost; wants to be closed */
	QP_CLOSING,
};

/* Behind the transport's struct, in the same allocation. */
struct qp_core {
	struct leap_qp *qp;
	struct leap_timer timer;
	struct leap_req connect;
	struct leap_piece piece;
	struct leap_connect_data data;
	void (*closed)(void *arg);
	void *closed_arg;
	const char *address;
	const char *nqn;
	char url[URL_MAX];
	char parts[URL_MAX];
	char hostnqn[LEAP_NQN_FIELD];
};

static struct qp_core *core_of(struct leap_qp *qp)
{
	return qp->core;
}

/* ---- opening ------------------------------------------------------------ */

/* A host identity for those who have none: random, one for each group. */
static void default_hostid(struct leap_pollgroup *pg, uint8_t hostid[16])
{
	struct leap__dispatch *d = leap__dispatch(pg);
	struct leap__world *w = leap__pollgroup_world(pg);
	uint64_t rnd[2];

	if (!d->has_hostid) {
		rnd[0] = w->ops->random(w);
		rnd[1] = w->ops->random(w);
		memcpy(d->hostid, rnd, sizeof(d->hostid));
		/* RFC 4122: version 4, variant 10b. */
		d->hostid[6] = (uint8_t)((d->hostid[6] & 0x0f) | 0x40);
		d->hostid[8] = (uint8_t)((d->hostid[8] & 0x3f) | 0x80);
		d->has_hostid = 1;
	}
	memcpy(hostid, d->hostid, sizeof(d->hostid));
}

static int set_identity(struct leap_qp *qp, struct qp_core *core)
{
	static const uint8_t none[16];
	struct leap_qp_opts *opts = &qp->opts;

	if (!memcmp(opts->hostid, none, sizeof(none)))
		default_hostid(qp->pg, opts->hostid);
	if (opts->hostnqn) {
		if (leap_nqn_check(opts->hostnqn, LEAP_NQN_FIELD))
			return leap__err(-EINVAL,
					 "leap_qp_connect: hostnqn: %s",
					 leap_last_error());
		strcpy(core->hostnqn, opts->hostnqn);
	} else {
		strcpy(core->hostnqn, LEAP_NQN_UUID_PREFIX);
		leap__uuid_format(opts->hostid,
				core->hostnqn + strlen(LEAP_NQN_UUID_PREFIX));
	}
	opts->hostnqn = core->hostnqn;
	return 0;
}

static int check_opts(struct leap_qp_opts *opts)
{
	uint32_t max = opts->qid ? LEAP_IOQ_MAX_ENTRIES : LEAP_AQ_MAX_ENTRIES;

	if (!opts->depth)
		opts->depth = opts->qid ? DEPTH_IO : DEPTH_ADMIN;
	if (!opts->timeout_ms)
		opts->timeout_ms = TIMEOUT_MS;
	if (!opts->connect_timeout_ms)
		opts->connect_timeout_ms = CONNECT_MS;
	if (opts->depth < 2 || opts->depth > max)
		return leap__err(-EINVAL,
				 "leap_qp_connect: depth %u is not in 2..%u",
				 opts->depth, max);
	if (opts->flags & ~(LEAP_QP_HEADER_DIGEST | LEAP_QP_DATA_DIGEST |
			    LEAP_QP_NO_SQ_FLOW | LEAP_QP_PRP))
		return leap__err(-EINVAL,
				 "leap_qp_connect: unknown flags %#x",
				 opts->flags);
	if (opts->qid && !opts->cntlid)
		return leap__err(-EINVAL,
				 "leap_qp_connect: queue %u without a cntlid",
				 opts->qid);
	return 0;
}

static void fail(struct leap_qp *qp, leap_status_t status, int sys_errno)
{
	leap_timer_stop(qp->pg, &core_of(qp)->timer);
	qp->state = QP_FAILED;
	if (qp->opts.connected)
		qp->opts.connected(qp, status, sys_errno, qp->opts.arg);
}

static void timed_out(struct leap_timer *timer)
{
	struct qp_core *core = (struct qp_core *)
		((char *)timer - offsetof(struct qp_core, timer));

	fail(core->qp, LEAP_SC_PATH_HOST, -ETIMEDOUT);
}

static struct leap_qp *alloc_qp(const struct leap_transport_ops *ops)
{
	size_t at = (ops->qp_bytes + 63u) & ~63u;
	size_t bytes = (at + sizeof(struct qp_core) + 63u) & ~(size_t)63u;
	struct leap_qp *qp = aligned_alloc(64, bytes);
	struct qp_core *core;

	if (!qp)
		return NULL;
	memset(qp, 0, bytes);
	core = (struct qp_core *)((char *)qp + at);
	core->qp = qp;
	qp->core = core;
	qp->ops = ops;
	return qp;
}

int leap_qp_connect(struct leap_pollgroup *pg, const struct leap_qp_opts *from,
		    struct leap_qp **out)
{
	const struct leap_transport_ops *ops;
	struct leap_qp_opts opts;
	char parts[URL_MAX];
	const char *address, *nqn;
	struct qp_core *core;
	struct leap_qp *qp;
	int err;

	err = leap__opts_copy(&opts, sizeof(opts), from);
	if (!err)
		err = check_opts(&opts);
	if (!err)
		err = leap__url_split("leap_qp_connect", opts.url, 1, parts,
				      sizeof(parts), &ops, &address, &nqn);
	if (err)
		return err;
	qp = alloc_qp(ops);
	if (!qp)
		return leap__err(-ENOMEM, "leap_qp_connect: out of memory");
	core = qp->core;
	qp->pg = pg;
	qp->opts = opts;
	qp->depth = opts.depth;
	strcpy(core->url, opts.url);
	qp->opts.url = core->url;
	memcpy(core->parts, parts, sizeof(parts));
	core->address = core->parts + (address - parts);
	core->nqn = core->parts + (nqn - parts);
	err = set_identity(qp, core);
	if (!err)
		err = ops->qp_connect(qp, core->address);
	if (err) {
		free(qp);
		return err;
	}
	leap__pollgroup_hold(pg);
	core->timer.run = timed_out;
	leap_timer_start(pg, &core->timer,
			 (uint64_t)opts.connect_timeout_ms * 1000000);
	*out = qp;
	return 0;
}

static void connect_done(struct leap_req *req)
{
	struct qp_core *core = (struct qp_core *)
		((char *)req - offsetof(struct qp_core, connect));
	struct leap_qp *qp = core->qp;
	leap_status_t status = leap_req_status(req);

	if (qp->state != QP_CONNECT)
		return;		/* timed out before, or being closed */
	if (status) {
		fail(qp, status, req->sys_errno);
		return;
	}
	leap_timer_stop(qp->pg, &core->timer);
	qp->cntlid = (uint16_t)LEAP_GET(leap_req_result(req),
					LEAP_CONNECT_DW0_CNTLID);
	if ((qp->opts.flags & LEAP_QP_NO_SQ_FLOW) &&
	    leap_from_le16(req->cqe.sqhd) == 0xffff)
		qp->flags |= LEAP_QP_NO_SQ_FLOW;
	qp->state = QP_LIVE;
	if (qp->opts.connected)
		qp->opts.connected(qp, 0, 0, qp->opts.arg);
}

/* NVMe Base 2.0, "Connect command". */
static void fill_connect(struct leap_qp *qp, struct qp_core *core)
{
	struct leap_fab_connect *sqe =
		(struct leap_fab_connect *)&core->connect.sqe;
	const struct leap_qp_opts *opts = &qp->opts;
	uint16_t cntlid = opts->cntlid;

	if (!opts->qid && !cntlid)
		cntlid = LEAP_CNTLID_DYNAMIC;
	sqe->opc = LEAP_ADM_FABRICS;
	sqe->flags = LEAP_SQE_PSDT_SGL;
	sqe->fctype = LEAP_FCTYPE_CONNECT;
	sqe->qid = leap_to_le16(opts->qid);
	sqe->sqsize = leap_to_le16((uint16_t)(opts->depth - 1));
	if (opts->flags & LEAP_QP_NO_SQ_FLOW)
		sqe->cattr = LEAP_CATTR_NO_SQFLOW;
	if (!opts->qid)
		sqe->kato = leap_to_le32(opts->kato_ms);
	memcpy(core->data.hostid, opts->hostid, sizeof(core->data.hostid));
	core->data.cntlid = leap_to_le16(cntlid);
	strcpy(core->data.subnqn, core->nqn);
	strcpy(core->data.hostnqn, core->hostnqn);
	core->piece.addr = &core->data;
	core->piece.len_bytes = sizeof(core->data);
	core->connect.pieces = &core->piece;
	core->connect.nr_pieces = 1;
	core->connect.done = connect_done;
}

void leap_qp_transport_up(struct leap_qp *qp)
{
	struct qp_core *core = core_of(qp);
	struct leap_req *req = &core->connect;

	if (qp->state != QP_TRANSPORT)
		return;
	fill_connect(qp, core);
	qp->state = QP_CONNECT;
	req->lib[1] = core->piece.len_bytes;
	req->lib[2] = (uintptr_t)qp;
	qp->in_flight++;
	qp->submitted++;
	if (qp->ops->qp_submit(qp, &req, 1) != 1) {
		qp->in_flight--;
		qp->submitted--;
		fail(qp, LEAP_SC_PATH_HOST, -EIO);
		return;
	}
	qp->ops->qp_kick(qp);
}

void leap__qp_limit(struct leap_qp *qp, uint32_t bytes)
{
	if (qp->max_data_bytes > bytes)
		qp->max_data_bytes = bytes;
}

/* ---- submitting --------------------------------------------------------- */

__attribute__((cold, noinline))
static int bad_req(const struct leap_qp *qp, const struct leap_req *req,
		   uint64_t bytes)
{
	if (bytes > qp->max_data_bytes)
		return leap__err(-EINVAL,
				 "leap_qp_submit: payload of %llu bytes "
				 "exceeds %u", (unsigned long long)bytes,
				 qp->max_data_bytes);
	return leap__err(-EINVAL,
			 "leap_qp_submit: opcode %#x with a piece that is not "
			 "direct", req->sqe.opc);
}

static inline int check_req(struct leap_qp *qp, struct leap_req *req)
{
	const struct leap_piece *p = req->pieces;
	uint32_t left = req->nr_pieces;
	uint32_t reach = LEAP_REACH_DIRECT;
	uint64_t bytes = 0;

	for (; left; left--, p++) {
		bytes += p->len_bytes;
		reach |= p->reach;
	}
	if (__builtin_expect(bytes > qp->max_data_bytes ||
			     reach != LEAP_REACH_DIRECT, 0))
		return bad_req(qp, req, bytes);
	req->sys_errno = 0;
	req->lib[1] = bytes;
	req->lib[2] = (uintptr_t)qp;
	return 0;
}

int leap_qp_submit(struct leap_qp *qp, struct leap_req *const *reqs,
		   unsigned int n)
{
	uint32_t room = qp->depth - 1 - qp->in_flight;
	unsigned int i;
	int taken;

	if (__builtin_expect(qp->state != QP_LIVE, 0))
		return -ENOTCONN;
	for (i = 0; i < n; i++)
		if (check_req(qp, reqs[i]))
			return -EINVAL;
	if (n > room)
		n = room;
	if (!n)
		return 0;
	taken = qp->ops->qp_submit(qp, reqs, n);
	assert(taken <= (int)n);
	if (taken > 0) {
		qp->in_flight += (uint32_t)taken;
		qp->submitted += (uint32_t)taken;
	}
	return taken;
}

static void set_fuse(struct leap_req *req, uint8_t fuse)
{
	req->sqe.flags = (uint8_t)((req->sqe.flags & ~LEAP_SQE_FUSE_MASK) |
				   fuse);
}

int leap_qp_submit_fused(struct leap_qp *qp, struct leap_req *first,
			 struct leap_req *second)
{
	struct leap_req *const reqs[] = { first, second };
	int taken;

	if (qp->state != QP_LIVE)
		return -ENOTCONN;
	if (check_req(qp, first) || check_req(qp, second))
		return -EINVAL;
	if (qp->depth - 1 - qp->in_flight < 2)
		return 0;
	set_fuse(first, LEAP_SQE_FUSE_FIRST);
	set_fuse(second, LEAP_SQE_FUSE_SECOND);
	taken = qp->ops->qp_submit(qp, reqs, 2);
	if (taken <= 0)
		return taken;
	assert(taken == 2);
	qp->in_flight += 2;
	qp->submitted += 2;
	return 1;
}

static void set_one(struct leap_sqe *sqe, const struct leap_req_lists *l)
{
	sqe->cdw10 = leap_to_le32((uint32_t)l->at[0]);
	sqe->cdw11 = leap_to_le32((uint32_t)(l->at[0] >> 32));
	if (!l->to)
		return;
	sqe->cdw14 = leap_to_le32((uint32_t)l->to[0]);
	sqe->cdw15 = leap_to_le32((uint32_t)(l->to[0] >> 32));
}

int leap_qp_submit_lists(struct leap_qp *qp, struct leap_req *req,
			 const struct leap_req_lists *lists)
{
	int taken;

	if (qp->state != QP_LIVE)
		return -ENOTCONN;
	if (!lists->nr || lists->nr > LEAP_OCSSD_MAX_ADDRS)
		return leap__err(-EINVAL, "leap_qp_submit_lists: nr %u is not "
				 "1 to %u", lists->nr, LEAP_OCSSD_MAX_ADDRS);
	if (check_req(qp, req))
		return -EINVAL;
	if (lists->nr > 1 && !qp->ops->qp_submit_lists)
		return leap__err(-EOPNOTSUPP,
				 "leap_qp_submit_lists: nr %u over a transport "
				 "that has no lists", lists->nr);
	if (qp->depth - 1 == qp->in_flight)
		return 0;
	req->sqe.cdw12 = leap_to_le32((leap_from_le32(req->sqe.cdw12) &
				       ~0xffffu) | (lists->nr - 1));
	if (lists->nr == 1) {
		set_one(&req->sqe, lists);
		taken = qp->ops->qp_submit(qp, &req, 1);
	} else {
		taken = qp->ops->qp_submit_lists(qp, req, lists);
	}
	if (taken == 1) {
		qp->in_flight++;
		qp->submitted++;
	}
	return taken;
}

int leap__qp_takes_lists(const struct leap_qp *qp)
{
	return qp->ops->qp_submit_lists != NULL;
}

void leap_qp_kick(struct leap_qp *qp)
{
	if (qp->state == QP_LIVE)
		qp->ops->qp_kick(qp);
}

void leap_qp_complete(struct leap_qp *qp, struct leap_req *req)
{
	assert(req->lib[2] == (uintptr_t)qp && qp->in_flight);
	req->lib[2] = 0;
	qp->in_flight--;
	qp->completed++;
	req->done(req);
}

void leap_qp_fail(struct leap_qp *qp, struct leap_req *req, int sys_errno)
{
	leap_status_t status = sys_errno == -ECANCELED ?
			       LEAP_SC_PATH_HOST_ABORTED : LEAP_SC_PATH_HOST;

	memset(&req->cqe, 0, sizeof(req->cqe));
	req->cqe.cid = req->sqe.cid;
	req->cqe.status = leap_cqe_status_word(status, 0);
	req->sys_errno = sys_errno;
	leap_qp_complete(qp, req);
}

/* ---- closing ------------------------------------------------------------ */

void leap_qp_transport_down(struct leap_qp *qp, int sys_errno)
{
	switch (qp->state) {
	case QP_TRANSPORT:
	case QP_CONNECT:
		fail(qp, LEAP_SC_PATH_HOST, sys_errno);
		return;
	case QP_LIVE:
		assert(!qp->in_flight);
		qp->state = QP_DOWN;
		if (qp->opts.lost)
			qp->opts.lost(qp, sys_errno, qp->opts.arg);
		return;
	default:
		return;
	}
}

void leap_qp_close(struct leap_qp *qp, void (*closed)(void *arg), void *arg)
{
	struct qp_core *core;

	if (!qp)
		return;
	core = qp->core;
	assert(qp->state != QP_CLOSING);
	leap_timer_stop(qp->pg, &core->timer);
	core->closed = closed;
	core->closed_arg = arg;
	qp->state = QP_CLOSING;
	qp->ops->qp_close(qp);
}

void leap_qp_closed(struct leap_qp *qp)
{
	struct qp_core *core = qp->core;
	void (*closed)(void *arg) = core->closed;
	void *arg = core->closed_arg;

	assert(qp->state == QP_CLOSING && !qp->in_flight);
	leap__pollgroup_release(qp->pg);
	free(qp);
	if (closed)
		closed(arg);
}

int leap_qp_info(const struct leap_qp *qp, struct leap_qp_info *info)
{
	struct leap_qp_info full = {
		.qid = qp->opts.qid,
		.cntlid = qp->cntlid,
		.depth = qp->depth - 1,
		.in_flight = qp->in_flight,
		.flags = qp->flags,
		.max_data_bytes = qp->max_data_bytes,
		.submitted = qp->submitted,
		.completed = qp->completed,
		.bounced = qp->bounced,
	};

	return leap__info_copy("leap_qp_info", info, &full, sizeof(full));
}
