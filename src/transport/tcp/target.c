/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller end of an NVMe/TCP queue pair: its life, its memory, and the
 * commands that come in. Data of R2Ts is target_data.c's, answers are
 * target_tx.c's.
 *
 * Small payload lives in memory of the connection, one place per slot; other
 * payload in buffers of the poll group, of which a connection takes a share
 * that shrinks as they run out, and then in room for one command. Capsules that
 * find no command wait beside the stream: so the stream never waits for a
 * buffer or a command that only the stream could free, and a host that is
 * stalled holds up nobody else.
 *
 * Must not know what a command means beyond its direction and descriptor.
 */
#include "transport/tcp/target.h"

#include "core/io/inet.h"
#include "util/crc32c.h"

#include <leapio/nvmf.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <leapio/dmabuf.h>

#include "core/io/dispatch.h"

/* Of one capsule put aside, its data and digest. */
static size_t aside_bytes(const struct target *t)
{
	return sizeof(struct aside) + t->capsule_bytes + 8;
}

static struct aside *aside_at(const struct target *t, uint32_t i)
{
	if (i >= t->limits.max_depth)
		i -= t->limits.max_depth;
	return (struct aside *)(t->aside + i * aside_bytes(t));
}

/* ---- receiving ---- */

static int on_ic_req(struct target *t, const union leap__tcp_pdu *pdu)
{
	uint32_t maxr2t = leap_from_le32(pdu->ic_req.maxr2t);

	if (t->ic_due)
		return fatal(t, pdu, LEAP_TCP_FES_SEQUENCE, 0);
	t->max_open = maxr2t < 64 ? maxr2t + 1 : 64;
	t->ic_dgst = pdu->ic_req.dgst &
		     (LEAP_TCP_DGST_HEADER | LEAP_TCP_DGST_DATA);
	t->c.pdo = leap__tcp_pdo(sizeof(struct leap_tcp_data),
				 t->ic_dgst & LEAP_TCP_DGST_HEADER,
				 pdu->ic_req.hpda);
	t->ic_due = 1;
	leap__tcp_timer(&t->c, LEAP__TCP_HELLO_MS);
	return 0;
}

static uint8_t direction(const struct leap_sqe *sqe)
{
	/* Fabrics commands have their type where others have the NSID. */
	if (sqe->opc == LEAP_ADM_FABRICS)
		return LEAP_OPC_DIR(leap_from_le32(sqe->nsid));
	return LEAP_OPC_DIR(sqe->opc);
}

/*
 * What the descriptor points at, out of the read buffer; summed in the same
 * pass when that is all of the data. Returns whether the digest is right.
 */
static int take_capsule(struct target *t, struct leap_cmd *cmd,
			const struct leap__tcp_shape *s, const uint8_t *data)
{
	uint64_t at = leap_from_le64(cmd->sqe.sgl1.addr);
	uint32_t len = leap_from_le32(cmd->sqe.sgl1.len), crc = 0;
	struct tcmd *tc = priv(cmd);

	if (at > s->data || len > s->data - at) {
		tc->flags |= SGL_BAD;
		at = len = 0;
	}
	tc->in_capsule = len;
	if (s->has_ddgst && len == s->data) {
		crc = leap__crc32c_copy(place_of(t, tc->slot, len), data, len,
					0);
	} else {
		if (s->has_ddgst)
			crc = leap__crc32c(0, data, s->data);
		memcpy(place_of(t, tc->slot, len), data + at, len);
	}
	return leap__tcp_ddgst_ok(s, data, crc);
}

/* 0 = no command or slot is free now */
static int take_cmd(struct target *t, const struct leap_sqe *sqe,
		    const struct leap__tcp_shape *s, const uint8_t *data)
{
	struct leap_cmd *cmd = leap_cmd_get(&t->vqp);
	struct tcmd *tc;
	int ok = 1;

	if (!cmd)
		return 0;
	tc = priv(cmd);
	memset(tc, 0, sizeof(*tc));
	tc->slot = NO_SLOT;
	cmd->sqe = *sqe;
	tc->dir = direction(&cmd->sqe);
	if (s->data && cmd->sqe.sgl1.type ==
	    LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_OFFSET)) {
		if (!leap__tcp_slot_get(t, cmd)) {
			leap_cmd_put(cmd);
			return 0;
		}
		ok = take_capsule(t, cmd, s, data);
	} else if (s->has_ddgst) {
		ok = leap__tcp_ddgst_ok(s, data,
					leap__crc32c(0, data, s->data));
	}
	cmd->sqhd = t->vqp.sq_flow_off ? 0 : t->sqhd;
	if (!ok) {
		cmd->status = LEAP_SC_TRANSIENT_TRANSPORT;
		leap__cmdq_push(&t->done, cmd);
		leap__tcp_work(&t->c);
		return 1;
	}
	leap_vqp_deliver(&t->vqp, cmd);
	return 1;
}

/*
 * Out of commands: the capsule is put aside with its digest, because behind it
 * in the stream may be the data that commands which have one are waiting for.
 */
__attribute__((cold)) static int put_aside(struct target *t,
		const struct leap_sqe *sqe, const struct leap__tcp_shape *s,
		const uint8_t *data, uint32_t depth)
{
	struct aside *a;

	if (!t->aside)
		t->aside = malloc(t->limits.max_depth * aside_bytes(t));
	if (!t->aside) {
		/* Not even that: the stream has to wait after all. */
		t->inflight--;
		t->sqhd = (uint16_t)((t->sqhd ? t->sqhd : depth) - 1);
		return 1;
	}
	a = aside_at(t, t->aside_head + t->nr_aside++);
	a->sqe = *sqe;
	a->shape = *s;
	memcpy(a + 1, data, s->data + (s->has_ddgst ? LEAP_TCP_DIGEST_LEN : 0));
	return 0;
}

void leap__tcp_retry_aside(struct target *t)
{
	while (t->nr_aside && t->c.state <= LEAP__TCP_READY) {
		struct aside *a = aside_at(t, t->aside_head);

		if (!take_cmd(t, &a->sqe, &a->shape, (uint8_t *)(a + 1)))
			return;
		t->nr_aside--;
		t->aside_head = t->aside_head + 1 == t->limits.max_depth ?
			0 : t->aside_head + 1;
	}
}

static int on_cmd(struct target *t, const union leap__tcp_pdu *pdu,
		  const struct leap__tcp_shape *s, const uint8_t *data)
{
	uint32_t depth = t->vqp.depth;

	if (!depth || depth > t->limits.max_depth)
		depth = t->limits.max_depth;
	/* Up to Connect one at a time, so that the queue pair can move. */
	if (!t->live) {
		/* Data is due, which cannot come past it. */
		if (t->receiving)
			return fatal(t, pdu, LEAP_TCP_FES_SEQUENCE, 0);
		if (t->inflight || t->c.tx.busy)
			return 1;
	} else if (t->inflight >= depth) {
		return fatal(t, pdu, LEAP_TCP_FES_SEQUENCE, 0);
	} else if (s->data > t->limits.inline_bytes && t->vqp.qid &&
		   pdu->cmd.sqe.opc != LEAP_ADM_FABRICS) {
		return fatal(t, pdu, LEAP_TCP_FES_LIMIT, 0);
	}
	t->inflight++;
	if (++t->sqhd >= depth)
		t->sqhd -= (uint16_t)depth;
	t->c.rx.hold = !t->live;
	if (t->nr_aside || !take_cmd(t, &pdu->cmd.sqe, s, data))
		return put_aside(t, &pdu->cmd.sqe, s, data, depth);
	return 0;
}

static int target_pdu(struct leap__tcp_conn *c, const union leap__tcp_pdu *pdu,
		      const struct leap__tcp_shape *s, const uint8_t *data)
{
	struct target *t = of_conn(c);

	switch (s->type) {
	case LEAP_TCP_CMD:
		return on_cmd(t, pdu, s, data);
	case LEAP_TCP_H2C_DATA:
		return leap__tcp_on_data(t, pdu, s);
	case LEAP_TCP_IC_REQ:
		return on_ic_req(t, pdu);
	default:
		/* H2CTermReq: close, and never answer it with another. */
		leap__tcp_kill(c, -ECONNABORTED);
		return 0;
	}
}

/* ---- the end ---- */

static void target_gone(struct leap__tcp_conn *c)
{
	struct target *t = of_conn(c);
	struct leap_cmd *cmd;
	uint32_t i;

	t->connect = NULL;
	leap__tcp_target_sent(c);
	if (t->tx_cmd)
		leap__tcp_release(t, t->tx_cmd);
	t->tx_cmd = NULL;
	while (t->done.head)
		leap__tcp_release(t, leap__cmdq_pop(&t->done));
	while (t->wait.head)
		leap__tcp_release(t, leap__cmdq_pop(&t->wait));
	for (i = 0; i < t->limits.max_depth; i++) {
		cmd = t->slots[i].cmd;
		if (cmd && (priv(cmd)->flags & RECEIVING))
			leap__tcp_release(t, cmd);
	}
	leap_vqp_lost(&t->vqp, c->err);
}

static void target_timeout(struct leap__tcp_conn *c)
{
	struct target *t = of_conn(c);

	t->stall_timer = 0;
	if (!t->live) {
		leap__tcp_kill(c, -ETIMEDOUT);
		return;
	}
	if (!t->receiving)
		return;
	if (t->seen[0] == t->progress && t->seen[1] == c->rx.left) {
		leap__tcp_kill(c, -ETIMEDOUT);
		return;
	}
	t->seen[0] = t->progress;
	t->seen[1] = c->rx.left;
	t->stall_timer = 1;
	leap__tcp_timer(c, LEAP__TCP_STALL_MS);
}

static const struct leap__tcp_end target_end = {
	.pdu = target_pdu,
	.data_end = leap__tcp_data_end,
	.gather = leap__tcp_target_gather,
	.sent = leap__tcp_target_sent,
	.gone = target_gone,
	.timeout = target_timeout,
};

void leap__tcp_vqp_resume(struct leap_vqp *vqp)
{
	struct target *t = (struct target *)vqp;

	if (t->c.state > LEAP__TCP_CLOSING)
		return;
	leap__tcp_retry_waiting(t);
	leap__tcp_retry_aside(t);
	leap__tcp_resume(&t->c);
}

void leap__tcp_vqp_close(struct leap_vqp *vqp)
{
	leap__tcp_close(&((struct target *)vqp)->c);
}

int leap__tcp_vqp_peer_closed(struct leap_vqp *vqp)
{
	struct leap__tcp_conn *c = &((struct target *)vqp)->c;

	return !c->wfd || c->world->ops->peer_closed(c->wfd);
}

int leap__tcp_vqp_local(struct leap_vqp *vqp, char *text, size_t max)
{
	struct leap__tcp_conn *c = &((struct target *)vqp)->c;
	struct sockaddr_storage addr;
	int err = c->wfd ? c->world->ops->local_addr(c->wfd, &addr) : -ENOTCONN;

	if (!err)
		leap__inet_text(&addr, text, max);
	return err;
}

void leap__tcp_vqp_detach(struct leap_vqp *vqp)
{
	struct leap__tcp_conn *c = &((struct target *)vqp)->c;

	leap__tcp_timer_stop(c);
	leap__pollgroup_undefer(c->pg, &c->defer);
	if (c->wfd)
		c->world->ops->detach(c->wfd);
}

/*
 * Lists of pieces for the largest command out of the buffers of this poll
 * group; the next one's may be smaller. None is in use: a Connect has one
 * piece.
 */
static int target_pieces(struct target *t)
{
	uint32_t each = leap_pollgroup_buf_bytes(t->vqp.pg);
	uint32_t n = (t->limits.max_data + each - 1) / each;
	struct leap_piece *pieces;

	if (n > t->max_bufs && n > LEAP_CMD_INLINE_PIECES) {
		pieces = realloc(t->pieces, (size_t)t->limits.max_depth * n *
				 sizeof(*pieces));
		if (!pieces)
			return -ENOMEM;
		t->pieces = pieces;
	}
	if (n > t->max_bufs)
		t->max_bufs = n;
	return 0;
}

int leap__tcp_vqp_attach(struct leap_vqp *vqp)
{
	struct leap__tcp_conn *c = &((struct target *)vqp)->c;
	int err = target_pieces((struct target *)vqp);

	c->pg = vqp->pg;
	c->world = leap__pollgroup_world(vqp->pg);
	if (!err && c->wfd)
		err = c->world->ops->attach(c->world, c->wfd);
	if (err) {
		if (c->wfd)
			c->world->ops->close(c->wfd);
		c->wfd = NULL;
		c->state = LEAP__TCP_GONE;
		return err;
	}
	leap__tcp_timer(c, LEAP__TCP_HELLO_MS);
	leap__tcp_work(c);
	return 0;
}

static size_t places_bytes(const struct target *t)
{
	return (size_t)t->limits.max_depth * (SMALL_PLACE + t->capsule_bytes);
}

static void target_free(struct target *t)
{
	leap__tcp_conn_fini(&t->c);
	free(t->slots);
	if (t->places_mem)
		leap_dmabuf_put(t->places_mem);
	else if (t->places)
		munmap(t->places, places_bytes(t));
	free(t->aside);
	free(t->own);
	free(t->pieces);
	free(t);
}

void leap__tcp_vqp_destroy(struct leap_vqp *vqp)
{
	target_free((struct target *)vqp);
}

/* Large and mostly never touched: costs address space only. Aligned, so that a
 * file leaf can write from it as it is. */
static uint8_t *make_places(struct target *t)
{
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;
	void *at;

	if (!leap__dispatch(t->vqp.pg)->bufs_mem) {
		at = mmap(NULL, places_bytes(t), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		return at == MAP_FAILED ? NULL : at;
	}
	opts.bytes = places_bytes(t);
	opts.huge = LEAP_HUGE_NEVER;
	opts.name = "leapio-places";
	return leap_dmabuf_create(&opts, &t->places_mem) ? NULL :
		leap_dmabuf_addr(t->places_mem);
}

static int target_memory(struct target *t)
{
	uint32_t n = t->limits.max_depth, i;

	t->c.rules.max_capsule = t->limits.inline_bytes > LEAP_TCP_ADMIN_ICD ?
		t->limits.inline_bytes : LEAP_TCP_ADMIN_ICD;
	t->capsule_bytes = (t->c.rules.max_capsule + 4095) & ~4095u;
	t->slots = calloc(n, sizeof(*t->slots));
	t->places = make_places(t);
	t->own = aligned_alloc(4096, ((size_t)t->limits.max_data + 4095) &
					     ~(size_t)4095);
	if (!t->slots || !t->places || !t->own || target_pieces(t))
		return -ENOMEM;
	for (i = 0; i < n; i++)
		t->slots[i].next = (uint16_t)(i + 1 < n ? i + 1 : NO_SLOT);
	while ((1u << t->slot_bits) < n)
		t->slot_bits++;
	return 0;
}

int leap__tcp_target_start(struct leap_pollgroup *pg,
			   const struct leap__tcp_limits *limits,
			   struct leap_listener *listener,
			   struct leap__wfd *wfd, struct leap_vqp **out)
{
	struct target *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->limits = *limits;
	/* A capsule has to fit half of the read buffer. */
	if (limits->inline_bytes > LEAP__TCP_RX_BYTES / 4)
		t->c.rx.size = 4 * limits->inline_bytes;
	leap_vqp_init(&t->vqp, &leap__tcp_transport, pg, listener);
	t->vqp.max_data_bytes = limits->max_data;
	leap__cmdq_init(&t->wait);
	leap__cmdq_init(&t->r2t);
	leap__cmdq_init(&t->done);
	t->sqhd = 0;
	err = leap__tcp_conn_init(&t->c, &target_end, pg, NULL);
	if (!err)
		err = target_memory(t);
	t->c.world->ops->peer_text(wfd, t->vqp.peer, sizeof(t->vqp.peer));
	if (!err && listener)
		err = leap_listener_accepted(listener, &t->vqp);
	if (err) {
		target_free(t);
		return err;
	}
	t->c.wfd = wfd;
	leap__tcp_timer(&t->c, LEAP__TCP_HELLO_MS);
	leap__tcp_work(&t->c);
	*out = &t->vqp;
	return 0;
}
