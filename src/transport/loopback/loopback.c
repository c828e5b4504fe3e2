/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-process transport ("loop://NAME/NQN"): both ends of a queue pair in
 * one process, on one poll group or on two.
 *
 *	host end                        controller end
 *	  submit --> sq ring, sq bell --> drain_sq --> leap_vqp_deliver
 *	  done  <--  drain_cq <-- cq bell, cq ring <-- cmd_complete
 *
 * The rings hold request pointers; the payload of a command is the pieces of
 * the request themselves, nothing is copied. A bell is a message to the other
 * end's poll group, rung at most once until it is heard, so that it wakes a
 * sleeper as well. Commands look as they would on a fabric (SGLs, capsule
 * rules): this transport is what the others are compared with.
 *
 * As the controller works in the host's memory, a connection that ends gives a
 * request back only when its command has come back from below.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/pollgroup.h"
#include "core/io/transport.h"
#include "core/io/vqp.h"
#include "util/atomic.h"
#include "util/err.h"

#define CONN_OF(msg, member) \
	((struct loop_conn *)((char *)(msg) - \
			      offsetof(struct loop_conn, member)))
#define LOOP_MAX_DATA	(1u << 30)
#define LOOP_NAME_MAX	64

/* One producer, one consumer; never overflows, as depth bounds what is out. */
struct loop_ring {
	_Alignas(64) uint32_t tail;	/* producer's */
	_Alignas(64) uint32_t head;	/* consumer's */
	uint32_t mask;
	struct leap_req **slot;
};

/* What both ends share. Lives until the host end is freed, always last. */
struct loop_conn {
	struct loop_ring sq, cq;
	_Alignas(64) struct leap_msg sq_bell;
	struct leap_pollgroup *bell_pg;	/* where it was sent */
	uint32_t sq_rung;	/* bell is on its way, or nobody hears it */
	uint32_t host_closed;
	uint32_t moving;
	struct leap_pollgroup *ctrl_pg;
	struct loop_vqp *vqp;	/* controller's side only */
	_Alignas(64) struct leap_msg cq_bell;
	uint32_t cq_rung;
	struct loop_qp *qp;	/* host's side only */
	struct leap_pollgroup *host_pg;
	struct leap_msg reply;	/* of connect; then: controller end is gone */
	int err;
	char name[LOOP_NAME_MAX];
};

struct loop_qp {
	struct leap_qp qp;	/* first */
	struct loop_conn *conn;
	uint16_t *cids;		/* free ones, a stack */
	uint32_t nr_cids;
	uint8_t connecting;	/* reply is outstanding */
	uint8_t gone;		/* no controller end: never was, or freed */
	uint8_t closing;
};

struct loop_vqp {
	struct leap_vqp vqp;	/* first */
	struct loop_conn *conn;
	uint16_t sqhd;
	uint8_t close;
	uint8_t draining;
};

/* ---- rings and bells ---------------------------------------------------- */

static int ring_init(struct loop_ring *r, uint32_t depth)
{
	uint32_t n = 2;

	while (n < depth)
		n *= 2;
	r->mask = n - 1;
	r->slot = calloc(n, sizeof(struct leap_req *));
	return r->slot ? 0 : -ENOMEM;
}

/* Partner: the acquire in ring_pop. */
static void ring_push(struct loop_ring *r, struct leap_req *req)
{
	r->slot[r->tail & r->mask] = req;
	leap__store_release(&r->tail, r->tail + 1);
}

static struct leap_req *ring_peek(struct loop_ring *r)
{
	if (r->head == leap__load_acquire(&r->tail))
		return NULL;
	return r->slot[r->head & r->mask];
}

static int one_thread(const struct loop_conn *c)
{
	return c->host_pg == leap__load_relaxed(&c->ctrl_pg);
}

/*
 * The exchange orders what was pushed before the look at the flag; the hearer
 * clears it by an exchange before it looks at the ring. On one thread there is
 * nothing to order.
 */
static inline int take_bell(const struct loop_conn *c, uint32_t *rung)
{
	if (!one_thread(c))
		return !leap__exchange(rung, 1u);
	if (leap__load_relaxed(rung))
		return 0;
	leap__store_relaxed(rung, 1u);
	return 1;
}

static void ring_sq_bell(struct loop_conn *c)
{
	if (!take_bell(c, &c->sq_rung))
		return;
	c->bell_pg = leap__load_acquire(&c->ctrl_pg);
	leap_pollgroup_send(c->bell_pg, &c->sq_bell);
}

static void ring_cq_bell(struct loop_conn *c)
{
	if (take_bell(c, &c->cq_rung))
		leap_pollgroup_send(c->host_pg, &c->cq_bell);
}

/* ---- host end ----------------------------------------------------------- */

static void give_back(struct loop_qp *lq, struct leap_req *req)
{
	lq->cids[lq->nr_cids++] = leap_from_le16(req->sqe.cid);
	if (lq->closing || req->lib[0])
		leap_qp_fail(&lq->qp, req,
			     lq->closing ? -ECANCELED : -ECONNRESET);
	else
		leap_qp_complete(&lq->qp, req);
}

static void drain_cq(struct loop_qp *lq)
{
	struct loop_ring *r = &lq->conn->cq;
	struct leap_req *req;

	while ((req = ring_peek(r))) {
		r->head++;
		give_back(lq, req);
	}
}

static void hear_cq_bell(struct leap_msg *msg)
{
	struct loop_conn *c = CONN_OF(msg, cq_bell);

	leap__exchange(&c->cq_rung, 0u);
	drain_cq(c->qp);
}

static void free_conn(struct loop_qp *lq)
{
	struct loop_conn *c = lq->conn;

	free(c->sq.slot);
	free(c->cq.slot);
	free(c);
	free(lq->cids);
}

static void say_closed(struct leap_msg *msg)
{
	struct loop_conn *c = CONN_OF(msg, reply);
	struct loop_qp *lq = c->qp;

	free_conn(lq);
	leap_qp_closed(&lq->qp);
}

/* The controller end is gone: what was not fetched will never be. */
static void hear_gone(struct leap_msg *msg)
{
	struct loop_conn *c = CONN_OF(msg, reply);
	struct loop_qp *lq = c->qp;
	struct leap_req *req;

	lq->gone = 1;
	drain_cq(lq);
	while ((req = ring_peek(&c->sq))) {
		c->sq.head++;
		req->lib[0] = 1;
		give_back(lq, req);
	}
	if (lq->closing)
		say_closed(msg);
	else
		leap_qp_transport_down(&lq->qp, -ECONNRESET);
}

static void hear_reply(struct leap_msg *msg)
{
	struct loop_conn *c = CONN_OF(msg, reply);
	struct loop_qp *lq = c->qp;

	lq->connecting = 0;
	lq->gone = c->err != 0;
	if (lq->closing && lq->gone)
		say_closed(msg);
	else if (lq->closing)
		ring_sq_bell(c);
	else if (lq->gone)
		leap_qp_transport_down(&lq->qp, c->err);
	else
		leap_qp_transport_up(&lq->qp);
}

static void hear_connect(struct leap_msg *msg);
static void hear_sq_bell(struct leap_msg *msg);

static int loop_qp_connect(struct leap_qp *qp, const char *address)
{
	struct loop_qp *lq = (struct loop_qp *)qp;
	struct loop_conn *c;
	uint32_t i;

	if (!qp->opts.target)
		return leap__err(-EINVAL,
			"leap_qp_connect: loop:// needs opts.target");
	if (strlen(address) >= LOOP_NAME_MAX)
		return leap__err(-EINVAL,
			"leap_qp_connect: loop:// name of %zu bytes exceeds %d",
			strlen(address), LOOP_NAME_MAX - 1);
	c = aligned_alloc(64, sizeof(*c));
	if (!c)
		return leap__err(-ENOMEM, "leap_qp_connect: out of memory");
	memset(c, 0, sizeof(*c));
	lq->conn = c;
	lq->cids = calloc(qp->depth, sizeof(*lq->cids));
	if (!lq->cids || ring_init(&c->sq, qp->depth) ||
	    ring_init(&c->cq, qp->depth)) {
		free_conn(lq);
		return leap__err(-ENOMEM, "leap_qp_connect: out of memory");
	}
	for (i = 0; i < qp->depth; i++)
		lq->cids[lq->nr_cids++] = (uint16_t)(qp->depth - 1 - i);
	strcpy(c->name, address);
	c->qp = lq;
	c->host_pg = qp->pg;
	c->sq_bell.run = hear_sq_bell;
	c->cq_bell.run = hear_cq_bell;
	qp->max_data_bytes = LOOP_MAX_DATA;
	lq->connecting = 1;
	c->reply.run = hear_connect;
	leap_pollgroup_send(leap__target_home(qp->opts.target), &c->reply);
	return 0;
}

static int loop_qp_submit(struct leap_qp *qp, struct leap_req *const *reqs,
			  unsigned int n)
{
	struct loop_qp *lq = (struct loop_qp *)qp;
	struct leap_req *req;
	unsigned int i;

	if (n > 1 && leap__req_is_first(reqs[0]) && lq->nr_cids < 2)
		return 0;
	for (i = 0; i < n && lq->nr_cids; i++) {
		req = reqs[i];
		req->sqe.cid = leap_to_le16(lq->cids[--lq->nr_cids]);
		req->sqe.flags = (uint8_t)((req->sqe.flags &
			LEAP_SQE_FUSE_MASK) | LEAP_SQE_PSDT_SGL);
		memset(&req->sqe.sgl1, 0, sizeof(req->sqe.sgl1));
		req->sqe.sgl1.len = leap_to_le32((uint32_t)req->lib[1]);
		if (req->nr_pieces)
			req->sqe.sgl1.type =
				LEAP_SGL_ID(LEAP_SGL_TYPE_TRANSPORT,
					    LEAP_SGL_SUB_TRANSPORT);
		req->lib[0] = 0;
		ring_push(&lq->conn->sq, req);
	}
	if (i && !lq->gone)
		ring_sq_bell(lq->conn);
	return (int)i;
}

static void loop_qp_kick(struct leap_qp *qp)
{
}

static void loop_qp_close(struct leap_qp *qp)
{
	struct loop_qp *lq = (struct loop_qp *)qp;
	struct loop_conn *c = lq->conn;

	lq->closing = 1;
	leap__store_release(&c->host_closed, 1u);
	if (lq->gone) {
		c->reply.run = say_closed;
		leap_pollgroup_send(c->host_pg, &c->reply);
	} else if (!lq->connecting) {
		ring_sq_bell(c);
	}
}

/* ---- controller end ----------------------------------------------------- */

static void fetch(struct loop_vqp *lv, struct leap_cmd *cmd,
		  struct leap_req *req)
{
	cmd->sqe = req->sqe;
	cmd->priv[0] = (uintptr_t)req;
	if (++lv->sqhd == lv->vqp.depth)
		lv->sqhd = 0;
	cmd->sqhd = lv->sqhd;
	leap_vqp_deliver(&lv->vqp, cmd);
}

static void drain_sq(struct loop_vqp *lv)
{
	struct loop_conn *c = lv->conn;
	struct leap_req *req;
	struct leap_cmd *cmd;

	if (lv->draining || lv->vqp.dead)
		return;
	lv->draining = 1;
	/* What a host that closes has sent is for itself to take back. */
	while (!lv->close && !leap__load_acquire(&c->host_closed) &&
	       (req = ring_peek(&c->sq))) {
		cmd = leap_cmd_get(&lv->vqp);
		if (!cmd)
			break;
		c->sq.head++;
		fetch(lv, cmd, req);
	}
	lv->draining = 0;
	/* An end that moves looks again once it is there. */
	if ((lv->close || leap__load_acquire(&c->host_closed)) &&
	    !leap__vqp_is_moving(&lv->vqp))
		leap_vqp_lost(&lv->vqp, 0);
	/* No need to send ourselves a message. */
	if (one_thread(c))
		drain_cq(c->qp);
}

static void say_gone(struct loop_conn *c)
{
	c->reply.run = hear_gone;
	leap_pollgroup_send(c->host_pg, &c->reply);
}

static void hear_sq_bell(struct leap_msg *msg)
{
	struct loop_conn *c = CONN_OF(msg, sq_bell);

	if (leap__load_acquire(&c->moving) ||
	    c->bell_pg != leap__load_acquire(&c->ctrl_pg)) {
		/* Follow the controller end, again until it has arrived. */
		if (!leap__load_acquire(&c->moving))
			c->bell_pg = leap__load_acquire(&c->ctrl_pg);
		leap_pollgroup_send(c->bell_pg, msg);
	} else if (!c->vqp) {
		say_gone(c);	/* sq_rung stays set: nobody rings again */
	} else {
		leap__exchange(&c->sq_rung, 0u);
		drain_sq(c->vqp);
	}
}

static struct leap_listener *listener_of(const struct loop_conn *c)
{
	const struct leap_target *target = c->qp->qp.opts.target;
	struct leap_listener *l = NULL;

	while ((l = leap_listener_next(target, l)))
		if (!strncmp(leap_listener_url(l), "loop:", 5) &&
		    !strcmp(leap_listener_target_opts(l)->name, c->name))
			return l;
	return NULL;
}

static int accept_conn(struct loop_conn *c)
{
	struct leap_listener *l = listener_of(c);
	struct loop_vqp *lv;
	int err;

	if (!l)
		return -ECONNREFUSED;
	lv = calloc(1, sizeof(*lv));
	if (!lv)
		return -ENOMEM;
	lv->conn = c;
	lv->vqp.max_data_bytes = leap_listener_target_opts(l)->mdts_bytes;
	strcpy(lv->vqp.peer, "loop");
	c->vqp = lv;
	c->ctrl_pg = leap_listener_pollgroup(l);
	leap_vqp_init(&lv->vqp, &leap__loop_transport, c->ctrl_pg, l);
	err = leap_listener_accepted(l, &lv->vqp);
	if (err)
		free(lv);
	return err;
}

/* On the home of the target. */
static void hear_connect(struct leap_msg *msg)
{
	struct loop_conn *c = CONN_OF(msg, reply);

	c->err = accept_conn(c);
	c->reply.run = hear_reply;
	leap_pollgroup_send(c->host_pg, &c->reply);
}

static int loop_listen(struct leap_listener *listener, const char *address,
		       char *bound, size_t bound_max)
{
	if (*address)
		return leap__err(-EINVAL,
				 "leap_listener_create: loop:// takes no "
				 "address, not \"%s\"", address);
	if (bound_max)
		*bound = 0;
	return 0;
}

static void loop_unlisten(struct leap_listener *listener)
{
}

static void loop_cmd_pull(struct leap_cmd *cmd, uint32_t len_bytes)
{
	const struct leap_req *req =
		(const struct leap_req *)(uintptr_t)cmd->priv[0];

	if (leap_from_le32(cmd->sqe.sgl1.len) != len_bytes) {
		leap_cmd_ready(cmd, LEAP_SC_SGL_DATA_LEN | LEAP_STATUS_DNR);
		return;
	}
	cmd->pieces = (struct leap_piece *)req->pieces;
	cmd->nr_pieces = req->nr_pieces;
	leap_cmd_ready(cmd, 0);
}

static void loop_cmd_complete(struct leap_cmd *cmd)
{
	struct loop_vqp *lv = (struct loop_vqp *)cmd->vqp;
	struct leap_req *req = (struct leap_req *)(uintptr_t)cmd->priv[0];

	req->cqe.result = leap_to_le64(cmd->result);
	req->cqe.sqhd = leap_to_le16(lv->vqp.sq_flow_off ? 0xffff : cmd->sqhd);
	req->cqe.sqid = 0;
	req->cqe.cid = cmd->sqe.cid;
	req->cqe.status = leap_cqe_status_word(cmd->status, 0);
	req->lib[0] = lv->vqp.dead;
	ring_push(&lv->conn->cq, req);
	if (!lv->draining || !one_thread(lv->conn))
		ring_cq_bell(lv->conn);
	leap_cmd_put(cmd);
}

static void loop_vqp_resume(struct leap_vqp *vqp)
{
	drain_sq((struct loop_vqp *)vqp);
}

static void loop_vqp_detach(struct leap_vqp *vqp)
{
	struct loop_vqp *lv = (struct loop_vqp *)vqp;

	leap__store_release(&lv->conn->moving, 1u);
}

static int loop_vqp_attach(struct leap_vqp *vqp)
{
	struct loop_conn *c = ((struct loop_vqp *)vqp)->conn;

	leap__store_release(&c->ctrl_pg, vqp->pg);
	leap__store_release(&c->moving, 0u);
	ring_sq_bell(c);
	return 0;
}

static void loop_vqp_close(struct leap_vqp *vqp)
{
	((struct loop_vqp *)vqp)->close = 1;
	ring_sq_bell(((struct loop_vqp *)vqp)->conn);
}

static void loop_vqp_destroy(struct leap_vqp *vqp)
{
	struct loop_conn *c = ((struct loop_vqp *)vqp)->conn;

	c->vqp = NULL;
	free(vqp);
	if (!leap__exchange(&c->sq_rung, 1u))
		say_gone(c);
}

static int loop_vqp_peer_closed(struct leap_vqp *vqp)
{
	return (int)leap__load_acquire(
		&((struct loop_vqp *)vqp)->conn->host_closed);
}

const struct leap_transport_ops leap__loop_transport = {
	.size = sizeof(struct leap_transport_ops),
	.name = "loop",
	.trtype = LEAP_TRTYPE_LOOP,
	.qp_bytes = sizeof(struct loop_qp),
	.qp_connect = loop_qp_connect,
	.qp_submit = loop_qp_submit,
	.qp_kick = loop_qp_kick,
	.qp_close = loop_qp_close,
	.listen = loop_listen,
	.unlisten = loop_unlisten,
	.cmd_pull = loop_cmd_pull,
	.cmd_complete = loop_cmd_complete,
	.vqp_resume = loop_vqp_resume,
	.vqp_detach = loop_vqp_detach,
	.vqp_attach = loop_vqp_attach,
	.vqp_close = loop_vqp_close,
	.vqp_destroy = loop_vqp_destroy,
	.vqp_peer_closed = loop_vqp_peer_closed,
};
