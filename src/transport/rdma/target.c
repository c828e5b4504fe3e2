/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller end of an NVMe/RDMA queue pair.
 *
 * Brings commands in (SEND with capsule and in-capsule data, RDMA READ of what
 * a command writes) and carries answers out (RDMA WRITE of what it read, and
 * the response behind it, as one chain). There is a receive for each entry of
 * the host's queue; it is posted again as soon as the capsule is copied, but
 * for capsules with data, whose data is used where it lies.
 *
 * Must not know what a command means beyond its direction and descriptor.
 */
#include "transport/rdma/target.h"

#include "core/io/dispatch.h"
#include "core/io/inet.h"
#include "core/io/transport.h"

#include <leapio/nvmf.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- answering ---- */

static void gather_done(struct target *t)
{
	while (t->done.head && leap__rdma_post_answer(t, t->done.head))
		;
}

static void retry_held(struct target *t);

static void target_gather(struct leap__rdma_conn *c)
{
	struct target *t = of_conn(c);

	if (t->wait.head)
		leap__rdma_retry_waiting(t);
	if (t->nr_held)
		retry_held(t);
	gather_done(t);
}

static void target_sent(struct leap__rdma_conn *c, uint32_t kind, void *ptr)
{
	struct target *t = of_conn(c);
	struct leap_cmd *cmd = ptr;

	out_del(t, cmd);
	if (kind == SENT_ANSWER) {
		leap__rdma_release(t, cmd);
		return;
	}
	t->reads--;
	priv(cmd)->flags &= (uint8_t)~READING;
	leap_cmd_ready(cmd, 0);
}

/* Connect has been answered, well or badly: what waits may come. */
static void connect_answered(struct target *t, struct leap_cmd *cmd)
{
	struct leap_fab_sqe fab;

	memcpy(&fab, &cmd->sqe, sizeof(fab));
	if (fab.opc == LEAP_ADM_FABRICS && !cmd->status &&
	    fab.fctype == LEAP_FCTYPE_CONNECT) {
		t->live = 1;
		/* One that is being closed goes when its time is over. */
		if (t->c.state < LEAP__RDMA_CLOSING)
			leap_timer_stop(t->c.pg, &t->c.timer);
		cmd->sqhd = t->vqp.sq_flow_off ? 0xffff : cmd->sqhd;
	}
	t->hold = 0;
}

void leap__rdma_cmd_complete(struct leap_cmd *cmd)
{
	struct target *t = (struct target *)cmd->vqp;

	/* A command that ends because its queue does is not answered: the host
	 * sends it again, where an error would reach the application. */
	if (t->vqp.dead || t->c.state > LEAP__RDMA_CLOSING ||
	    (t->c.state == LEAP__RDMA_CLOSING &&
	     cmd->status == LEAP_SC_ABORT_SQ_DELETED)) {
		leap__rdma_release(t, cmd);
		return;
	}
	if (!t->live)
		connect_answered(t, cmd);
	leap__cmdq_push(&t->done, cmd);
	leap__rdma_work(&t->c);
}

/* ---- receiving ---- */

static uint8_t direction(const struct leap_sqe *sqe)
{
	/* Fabrics commands have their type where others have the NSID. */
	if (sqe->opc == LEAP_ADM_FABRICS)
		return LEAP_OPC_DIR(leap_from_le32(sqe->nsid));
	return LEAP_OPC_DIR(sqe->opc);
}

/* The queue that private data spoke of is the one that Connect means. */
static int other_queue(const struct target *t, const struct leap_sqe *sqe)
{
	struct leap_fab_connect con;

	memcpy(&con, sqe, sizeof(con));
	return !t->live && con.opc == LEAP_ADM_FABRICS &&
	       con.fctype == LEAP_FCTYPE_CONNECT &&
	       leap_from_le16(con.qid) != t->ask.qid;
}

/* It is copied. What is posted next takes the receive along. */
static void slot_copied(struct target *t, uint32_t slot)
{
	if (is_aside(t, slot)) {
		leap__rdma_slot_back(t, slot);
		return;
	}
	t->nr_kept--;
	leap__rdma_post_recv(&t->c, slot);
}

/* 0 = no command is free now */
static int take_cmd(struct target *t, uint32_t slot, uint32_t bytes)
{
	struct leap_cmd *cmd = leap_cmd_get(&t->vqp);
	struct tcmd *tc;

	if (!cmd)
		return 0;
	tc = priv(cmd);
	memset(tc, 0, sizeof(*tc));
	memcpy(&cmd->sqe, slot_sqe(t, slot), LEAP_SQE_SIZE);
	tc->dir = direction(&cmd->sqe);
	leap__rdma_describe(t, cmd, slot, bytes - LEAP_SQE_SIZE);
	if (tc->slot == NO_SLOT)
		slot_copied(t, slot);
	cmd->sqhd = t->vqp.sq_flow_off ? 0 : t->sqhd;
	if (other_queue(t, &cmd->sqe)) {
		/* IPO: QID, in the SQE. */
		cmd->result = offsetof(struct leap_fab_connect, qid);
		cmd->status = LEAP_SC_FAB_PARAM | LEAP_STATUS_DNR;
		t->hold = 0;
		leap__cmdq_push(&t->done, cmd);
		leap__rdma_work(&t->c);
		return 1;
	}
	leap_vqp_deliver(&t->vqp, cmd);
	return 1;
}

static void retry_held(struct target *t)
{
	while (t->nr_held && !t->hold && t->c.state <= LEAP__RDMA_READY) {
		uint32_t at = t->held_head;

		/* Up to Connect one at a time, so that the queue pair can
		 * move. */
		t->hold = !t->live;
		leap__rdma_unhold(t);
		if (take_cmd(t, t->held[at].slot, t->held[at].bytes))
			continue;
		t->held_head = at;
		t->nr_held++;
		t->hold = 0;
		return;
	}
}

static void target_recv(struct leap__rdma_conn *c, uint32_t slot,
			uint32_t bytes, uint32_t flags)
{
	struct target *t = of_conn(c);
	uint32_t depth = t->vqp.depth;

	t->nr_kept++;
	if (c->state == LEAP__RDMA_SETUP)
		c->state = LEAP__RDMA_READY;	/* before its event */
	if (!depth || depth > t->depth)
		depth = t->depth;
	if (c->state == LEAP__RDMA_READY) {
		if (bytes < LEAP_SQE_SIZE || (flags & LEAP__V_WITH_INV))
			leap__rdma_fatal(c, "no capsule");
		else if (t->inflight >= depth)
			leap__rdma_fatal(c, "more commands than its queue "
					 "holds");
	}
	if (c->state != LEAP__RDMA_READY) {
		leap__rdma_slot_back(t, slot);
		return;
	}
	t->inflight++;
	if (++t->sqhd >= depth)
		t->sqhd -= (uint16_t)depth;
	/* Most of them wait for nothing. */
	if (t->live && !t->nr_held && take_cmd(t, slot, bytes))
		return;
	leap__rdma_hold(t, slot, bytes);
	if (!t->live)
		retry_held(t);
	leap__rdma_hold_aside(t);
}

static void target_event(struct leap__rdma_conn *c,
			 const struct leap__v_cm *cm)
{
	if (cm->type == LEAP__V_ESTABLISHED && c->state == LEAP__RDMA_SETUP)
		c->state = LEAP__RDMA_READY;
	/* Our accept: the host has changed its mind, which is its right. */
	else if (cm->type == LEAP__V_REJECTED)
		leap__rdma_kill(c, -ECONNREFUSED);
	/* The others are for those who connect: a connection manager that
	 * sends us one is not to be believed. */
	else if (cm->type != LEAP__V_ESTABLISHED)
		leap__rdma_kill(c, -EPROTO);
}

/* ---- the end ---- */

static void target_gone(struct leap__rdma_conn *c)
{
	struct target *t = of_conn(c);

	while (t->out) {
		struct leap_cmd *cmd = t->out;

		out_del(t, cmd);
		leap__rdma_release(t, cmd);
	}
	while (t->done.head)
		leap__rdma_release(t, leap__cmdq_pop(&t->done));
	while (t->wait.head)
		leap__rdma_release(t, leap__cmdq_pop(&t->wait));
	while (t->nr_held)
		leap__rdma_slot_back(t, leap__rdma_unhold(t));
	leap_vqp_lost(&t->vqp, c->err);
}

/* Also those of other connections who want its buffers and commands. */
static int target_waiting(struct leap__rdma_conn *c)
{
	const struct target *t = of_conn(c);

	return t->reads || t->wait.head || t->done.head ||
	       leap__dispatch(c->pg)->starved;
}

static const struct leap__rdma_end target_end = {
	.recv = target_recv,
	.sent = target_sent,
	.gather = target_gather,
	.event = target_event,
	.gone = target_gone,
	.waiting = target_waiting,
};

void leap__rdma_vqp_resume(struct leap_vqp *vqp)
{
	struct target *t = (struct target *)vqp;

	if (t->c.state > LEAP__RDMA_CLOSING)
		return;
	leap__rdma_retry_waiting(t);
	retry_held(t);
	leap__rdma_work(&t->c);
}

void leap__rdma_vqp_close(struct leap_vqp *vqp)
{
	leap__rdma_close(&((struct target *)vqp)->c);
}

int leap__rdma_vqp_peer_closed(struct leap_vqp *vqp)
{
	struct target *t = (struct target *)vqp;

	if (t->c.state < LEAP__RDMA_DEAD)
		leap__rdma_events(&t->c);
	return t->c.state >= LEAP__RDMA_DEAD;
}

int leap__rdma_vqp_local(struct leap_vqp *vqp, char *text, size_t max)
{
	struct target *t = (struct target *)vqp;
	struct sockaddr_storage addr;
	int err = -ENOTCONN;

	if (t->c.id)
		err = t->c.v->local_addr(t->c.id, &addr);
	if (!err)
		leap__inet_text(&addr, text, max);
	return err;
}

void leap__rdma_vqp_detach(struct leap_vqp *vqp)
{
	leap__rdma_conn_detach(&((struct target *)vqp)->c);
}

/*
 * Lists of pieces for the largest command out of the buffers of this poll
 * group; the next one's may be smaller. None is in use: a Connect has one
 * piece.
 */
static int target_pieces(struct target *t)
{
	uint32_t each = leap_pollgroup_buf_bytes(t->vqp.pg);
	uint32_t n = (t->vqp.max_data_bytes + each - 1) / each;
	struct leap_piece *pieces;

	/* A chain of one each has to fit into the send queue. */
	if (t->c.sq_size && n >= t->c.sq_size) {
		n = t->c.sq_size - 1;
		t->vqp.max_data_bytes = n * each;
	}
	if (n > t->max_bufs && n > LEAP_CMD_INLINE_PIECES) {
		pieces = realloc(t->pieces, (size_t)t->depth * n *
				 sizeof(*pieces));
		if (!pieces)
			return -ENOMEM;
		t->pieces = pieces;
	}
	if (n > t->max_bufs)
		t->max_bufs = n;
	return 0;
}

int leap__rdma_vqp_attach(struct leap_vqp *vqp)
{
	struct target *t = (struct target *)vqp;
	int err = target_pieces(t);

	if (err) {
		t->c.pg = vqp->pg;
		leap__rdma_conn_fini(&t->c);
		t->c.state = LEAP__RDMA_GONE;
		return err;
	}
	err = leap__rdma_conn_attach(&t->c, vqp->pg);
	if (!err && t->c.state < LEAP__RDMA_DEAD)
		leap__rdma_timer(&t->c, LEAP__RDMA_HELLO_MS);
	return err;
}

/* After the connection: nobody may be writing into it any more. */
static void target_free(struct target *t)
{
	leap__rdma_srq_put(t->srq, &t->c);
	leap__rdma_aside_free(t);
	free(t->mem);
	free(t->pieces);
	free(t->free_pieces);
	free(t->held);
	free(t);
}

void leap__rdma_vqp_destroy(struct leap_vqp *vqp)
{
	target_free((struct target *)vqp);
}

/* ---- the beginning ---- */

/*
 * One piece of registered memory: SQEs, in-capsule data (on pages of its own,
 * so that a file leaf can write from it as it is), CQEs.
 */
static int target_memory(struct target *t)
{
	uint32_t n = t->depth, recvs = t->srq ? 0 : n, i;
	size_t sqes, caps, bytes;
	int err;

	err = target_pieces(t);
	if (err)
		return err;
	/* A chain of WRITEs and an answer each, most of them short. */
	t->sends = 2 * n + 1 + t->max_bufs;
	for (t->nr_cqes = 1; t->nr_cqes < t->sends;)
		t->nr_cqes *= 2;
	sqes = ((size_t)recvs * LEAP_SQE_SIZE + 4095) & ~(size_t)4095;
	caps = (size_t)recvs * t->capsule_bytes;
	bytes = sqes + caps + (((size_t)t->nr_cqes * LEAP_CQE_SIZE + 4095) &
			       ~(size_t)4095);
	t->mem = aligned_alloc(4096, bytes);
	t->held = calloc(n, sizeof(*t->held));
	t->free_pieces = calloc(n, sizeof(*t->free_pieces));
	if (!t->mem || !t->held || !t->free_pieces)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		t->free_pieces[t->nr_free_pieces++] = i;
	t->cqes = (struct leap_cqe *)(void *)(t->mem + sqes + caps);
	memset(t->cqes, 0, (size_t)t->nr_cqes * LEAP_CQE_SIZE);
	t->c.recvs.at[0] = (uintptr_t)t->mem;
	t->c.recvs.bytes[0] = LEAP_SQE_SIZE;
	t->c.recvs.at[1] = (uintptr_t)t->mem + sqes;
	t->c.recvs.bytes[1] = t->capsule_bytes;
	t->nr_recvs = t->srq ? t->srq->total : n;
	if (t->srq)
		t->c.recvs = t->srq->recvs;
	t->sqes = (uint8_t *)(uintptr_t)t->c.recvs.at[0];
	t->capsules = (uint8_t *)(uintptr_t)t->c.recvs.at[1];
	return (int)(bytes >> 12);
}

static int target_queues(struct target *t, uint32_t pages)
{
	struct leap__rdma_conn *c = &t->c;
	struct leap__v_keys keys;
	uint32_t i;
	int err;

	err = leap__rdma_conn_qp(c, t->sends, t->depth, LEAP_CQE_SIZE);
	/* One command of any size has to fit. */
	if (!err && (c->sq_size < 1 + t->max_bufs || !c->dev->caps.max_ord))
		err = -ENOSPC;
	if (!err)
		err = leap__rdma_pool_bufs(c->pg, c->pool);
	if (!err)
		err = c->v->mr_create(c->dev->pd, t->mem,
				      (uint64_t)pages << 12, 0, &keys,
				      &c->mr[0]);
	if (err)
		return err;
	t->lkey = keys.lkey;
	if (!t->srq)
		c->recvs.lkey = keys.lkey;
	for (i = 0; !t->srq && i < t->depth; i++)
		leap__rdma_post_recv(c, i);
	leap__rdma_flush(c);
	return c->state == LEAP__RDMA_DEAD ? c->err : 0;
}

static int accept_it(struct target *t, const struct leap__v_cm *cm)
{
	struct leap_rdma_cm_rep rep = {
		.crqsize = leap__rdma_cm_recvs(t->depth),
	};
	/* No memory here is a host's to read, however many READs it wants. */
	struct leap__v_param p = {
		.priv = &rep, .priv_len = sizeof(rep),
		.ird = 0, .ord = cm->ird,
		.retries = LEAP__RDMA_RETRIES,
		.rnr_retries = LEAP__RDMA_RNR_RETRIES,
		.rnr_timer = t->srq ? LEAP__RDMA_RNR_TIMER : 0,
	};
	int err;

	if (p.ord > t->c.dev->caps.max_ord)
		p.ord = t->c.dev->caps.max_ord;
	t->max_reads = p.ord;
	err = t->c.v->accept(t->c.id, &p);
	t->c.linked = !err;
	return err;
}

/* The connection manager's part of saying no. */
static void say_no(const struct leap__verbs *v, struct leap__v_id *id, int err)
{
	struct leap_rdma_cm_rej rej = {
		.sts = leap_to_le16(err > 0 ? (uint16_t)err :
				    LEAP_RDMA_REJ_RESOURCES),
	};

	v->reject(id, &rej, sizeof(rej));
}

static int refuse(struct leap_pollgroup *pg, const struct leap__v_cm *cm,
		  int err)
{
	const struct leap__verbs *v = leap__rdma_verbs(pg, "rdma");

	say_no(v, cm->id, err);
	v->id_destroy(cm->id);
	return err;
}

static int set_limits(struct target *t, struct leap_pollgroup *pg,
		      const struct leap_target_opts *opts,
		      const struct leap__v_cm *cm)
{
	const struct leap_pollgroup_opts *po = leap__pollgroup_opts(pg);
	uint64_t pool = (uint64_t)po->nr_bufs * po->buf_bytes;
	struct leap__rdma_limits limits = {
		.max_qid = opts->max_io_queues,
		.max_depth = opts->queue_depth,
		.max_admin = LEAP__RDMA_ADMIN_DEPTH,
	};
	int err;

	if (limits.max_depth < LEAP__RDMA_ADMIN_DEPTH)
		limits.max_depth = LEAP__RDMA_ADMIN_DEPTH;
	t->vqp.max_data_bytes = opts->mdts_bytes < 4096 ? 4096 :
				opts->mdts_bytes;
	/* What the 24 bits of a descriptor could never say, and what the pool
	 * could never hold. */
	if (t->vqp.max_data_bytes >= 1u << 24)
		t->vqp.max_data_bytes = (1u << 24) - 1;
	if (pool < t->vqp.max_data_bytes)
		t->vqp.max_data_bytes = (uint32_t)pool;
	err = (int)leap__rdma_parse_req(cm->priv, cm->priv_len, cm->ird,
					&limits, &t->ask);
	/* A capsule of an admin queue is the command alone. */
	t->capsule_bytes = t->ask.qid ? (opts->inline_bytes + 4095) & ~4095u :
			   0;
	return err;
}

/* Not an admin queue: its receives are small, and Keep Alive waits for nobody.
 * Who cannot share has receives of its own. */
static int share_receives(struct target *t, uint32_t nr)
{
	struct leap__rdma_conn *c = &t->c;
	int err = leap__rdma_conn_dev(c);

	if (err || !nr || !t->ask.qid)
		return err;
	err = leap__rdma_srq_join(c->dev, nr, t->capsule_bytes, &t->srq);
	if (err)
		leap__pg_log_limited(c->pg, &c->pg->peer_limit, LEAP_LOG_WARN,
				     "rdma: a queue has receives of its own: "
				     "%u shared ones cannot be had: %s", nr,
				     strerror(-err));
	else
		leap__pg_log(c->pg, LEAP_LOG_DEBUG, "rdma: a queue of %u takes "
			     "part in %u shared receives", t->depth,
			     t->srq->nr);
	c->srq = t->srq;
	return 0;
}

int leap__rdma_target_start(struct leap_pollgroup *pg,
			    const struct leap_target_opts *opts,
			    struct leap_listener *listener, uint32_t srq,
			    const struct leap__v_cm *cm, struct leap_vqp **out)
{
	int err = listener ? leap_listener_room(listener) : 0;
	struct sockaddr_storage addr;
	struct target *t;

	/* A device takes long to make a queue pair: not for nothing. */
	if (err)
		return refuse(pg, cm, err);
	t = calloc(1, sizeof(*t));
	if (!t)
		return refuse(pg, cm, -ENOMEM);
	err = set_limits(t, pg, opts, cm);
	if (err) {
		free(t);
		return refuse(pg, cm, err);
	}
	leap_vqp_init(&t->vqp, &leap__rdma_transport, pg, listener);
	t->depth = t->ask.depth;
	leap__cmdq_init(&t->wait);
	leap__cmdq_init(&t->done);
	err = leap__rdma_conn_init(&t->c, &target_end, pg, cm->id);
	if (!err)
		err = share_receives(t, srq);
	if (!err)
		err = target_memory(t);
	if (err > 0)
		err = target_queues(t, (uint32_t)err);
	if (!err && !t->c.v->peer_addr(t->c.id, &addr))
		leap__inet_text(&addr, t->vqp.peer, sizeof(t->vqp.peer));
	if (!err && listener)
		err = leap_listener_accepted(listener, &t->vqp);
	if (err) {
		say_no(t->c.v, cm->id, err);
		if (!t->c.id)
			t->c.v->id_destroy(cm->id);
		leap__rdma_conn_fini(&t->c);
		target_free(t);
		return err;
	}
	leap__rdma_timer(&t->c, LEAP__RDMA_HELLO_MS);
	*out = &t->vqp;
	err = accept_it(t, cm);
	if (err)
		leap__rdma_kill(&t->c, err);
	return 0;
}
