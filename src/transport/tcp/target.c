/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller end of an NVMe/TCP queue pair.
 *
 * Brings commands in (capsule, in-capsule data, R2T and H2CData) and carries
 * answers out (C2HData, CapsuleResp). Payload lives in buffers of the poll
 * group; in-capsule data in memory of the connection, one place per slot, and
 * capsules that find no command wait beside the stream: so the stream never
 * waits for a buffer or a command that only the stream could free.
 *
 *	wait: pull found no buffers   r2t: R2Ts to send   done: answers to send
 *	slot: TTAG, in-capsule place, and pieces of a command that needs them
 *
 * Must not know what a command means beyond its direction and descriptor.
 */
#include "core/io/dispatch.h"
#include "transport/tcp/tcp.h"

#include <leapio/nvmf.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_SLOT 0xffffu
#define SGL_BAD		1u	/* in-capsule descriptor leaves the capsule */
#define RECEIVING	2u	/* R2T is out or queued */
#define IN_R2T		4u	/* on the r2t queue */
#define DIGEST_BAD	8u

/* What the transport keeps in cmd->priv. */
struct tcmd {
	struct leap__tcp_cursor cur;	/* where H2CData goes on */
	uint32_t got;		/* H2CData received, bytes */
	uint32_t asked;		/* covered by R2Ts sent */
	uint32_t r2t_end;	/* end of the R2T being answered */
	uint32_t unit;		/* bytes of one R2T */
	uint32_t in_capsule;	/* bytes that came with the capsule */
	uint16_t slot;
	uint16_t open;		/* R2Ts outstanding */
	uint16_t nr_bufs;	/* of the poll group, in pieces[] */
	uint8_t dir;
	uint8_t flags;
};

LEAP_STATIC_ASSERT(sizeof(struct tcmd) <= sizeof(((struct leap_cmd *)0)->priv));

struct slot {
	struct leap_cmd *cmd;
	uint16_t gen;
	uint16_t next;
};

struct queue {
	struct leap_cmd *head, **tail;
};

/* A capsule that waits for a command; its data follows. */
struct aside {
	struct leap_sqe sqe;
	uint32_t bytes;
	int ok;
};

struct target {
	struct leap_vqp vqp;		/* first */
	struct leap__tcp_conn c;
	struct leap__tcp_limits limits;
	uint32_t inflight;		/* arrived, answer not gathered */
	uint32_t receiving;		/* commands with RECEIVING */
	uint32_t max_open;		/* R2Ts per command: MAXR2T + 1 */
	uint32_t max_bufs;		/* of the largest command */
	uint32_t bufs_held;
	uint32_t progress;		/* data PDUs seen, for the stall timer */
	uint32_t seen[2];
	uint16_t sqhd;
	uint16_t free_slot;
	uint8_t live;			/* Connect has succeeded */
	uint8_t ic_due;			/* ICResp is to be sent */
	uint8_t stall_timer;
	uint8_t slot_bits;
	struct slot *slots;
	uint8_t *capsules;		/* max_depth in-capsule places */
	uint32_t capsule_bytes;		/* of one */
	struct leap_piece *pieces;	/* max_depth x max_bufs */
	uint8_t *aside;			/* ring of max_depth, made when needed */
	uint32_t aside_head, nr_aside;
	struct queue wait, r2t, done;
	struct leap_cmd *sending;	/* payload is in the pending send */
	struct leap_cmd *tx_cmd;	/* its payload is being gathered */
	struct leap_cmd *rx_cmd;	/* its payload is arriving */
	struct leap_tcp_hdr ic_hdr;
	uint8_t ic_dgst;
};

static struct tcmd *priv(struct leap_cmd *cmd)
{
	return (struct tcmd *)cmd->priv;
}

static struct target *of_conn(struct leap__tcp_conn *c)
{
	return (struct target *)((char *)c - offsetof(struct target, c));
}

static void push(struct queue *q, struct leap_cmd *cmd)
{
	cmd->link[0] = NULL;
	*q->tail = cmd;
	q->tail = &cmd->link[0];
}

static struct leap_cmd *pop(struct queue *q)
{
	struct leap_cmd *cmd = q->head;

	q->head = cmd->link[0];
	if (!q->head)
		q->tail = &q->head;
	return cmd;
}

static struct aside *aside_at(const struct target *t, uint32_t i)
{
	if (i >= t->limits.max_depth)
		i -= t->limits.max_depth;
	return (struct aside *)(t->aside + (size_t)i * (sizeof(struct aside) +
							t->capsule_bytes));
}

static int slot_get(struct target *t, struct leap_cmd *cmd)
{
	uint16_t i = t->free_slot;

	if (i == NO_SLOT)
		return 0;
	t->free_slot = t->slots[i].next;
	t->slots[i].cmd = cmd;
	t->slots[i].gen++;
	priv(cmd)->slot = i;
	return 1;
}

/* All of what a command holds goes back, and the command too. */
static void release(struct target *t, struct leap_cmd *cmd)
{
	struct tcmd *tc = priv(cmd);
	struct leap_piece *pieces = cmd->pieces;
	uint32_t i;

	for (i = 0; i < tc->nr_bufs; i++)
		leap_pollgroup_buf_put(t->vqp.pg, pieces[i].addr);
	t->bufs_held -= tc->nr_bufs;
	tc->nr_bufs = 0;
	if (tc->slot != NO_SLOT) {
		t->slots[tc->slot].cmd = NULL;
		t->slots[tc->slot].next = t->free_slot;
		t->free_slot = tc->slot;
		tc->slot = NO_SLOT;
	}
	leap_cmd_put(cmd);
}

static uint16_t ttag(const struct target *t, uint16_t slot)
{
	return (uint16_t)(t->slots[slot].gen << t->slot_bits | slot);
}

/* ---- sending ---- */

static void gather_ic(struct target *t)
{
	union leap__tcp_pdu pdu;
	uint32_t max = t->limits.max_data & ~3u;

	memset(&pdu, 0, sizeof(pdu));
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_IC_RESP, 0, sizeof(pdu.ic_resp), 0,
		      sizeof(pdu.ic_resp));
	pdu.ic_resp.dgst = t->ic_dgst;
	pdu.ic_resp.maxh2cdata = leap_to_le32(max);
	leap__tcp_tx_hdr(&t->c, &pdu, sizeof(pdu.ic_resp));
	t->ic_due = 0;
	t->c.rules.hdgst = !!(t->ic_dgst & LEAP_TCP_DGST_HEADER);
	t->c.rules.ddgst = !!(t->ic_dgst & LEAP_TCP_DGST_DATA);
	t->c.rules.max_data = max;
	t->c.rules.ready = 1;
	t->c.state = LEAP__TCP_READY;
}

/* As many R2Ts as the host allows and the send takes. */
static void gather_r2t(struct target *t, struct leap_cmd *cmd)
{
	uint32_t head = sizeof(struct leap_tcp_r2t) +
			(t->c.rules.hdgst ? LEAP_TCP_DIGEST_LEN : 0);
	struct tcmd *tc = priv(cmd);

	while (tc->open < t->max_open && tc->asked < cmd->data_bytes) {
		uint32_t n = cmd->data_bytes - tc->asked;
		union leap__tcp_pdu pdu;

		if (leap__tcp_tx_full(&t->c))
			return;
		if (n > tc->unit)
			n = tc->unit;
		memset(&pdu.r2t, 0, sizeof(pdu.r2t));
		leap__tcp_hdr(&pdu.hdr, LEAP_TCP_R2T, 0, sizeof(pdu.r2t), 0,
			      head);
		pdu.r2t.cccid = cmd->sqe.cid;
		pdu.r2t.ttag = leap_to_le16(ttag(t, tc->slot));
		pdu.r2t.r2to = leap_to_le32(tc->asked);
		pdu.r2t.r2tl = leap_to_le32(n);
		leap__tcp_tx_hdr(&t->c, &pdu, head);
		tc->asked += n;
		tc->open++;
		t->c.rx.expect += n;
	}
	pop(&t->r2t);
	tc->flags &= (uint8_t)~IN_R2T;
}

static void gather_rsp(struct target *t, struct leap_cmd *cmd)
{
	uint32_t head = sizeof(struct leap_tcp_rsp) +
			(t->c.rules.hdgst ? LEAP_TCP_DIGEST_LEN : 0);
	union leap__tcp_pdu pdu;

	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_RSP, 0, sizeof(pdu.rsp), 0, head);
	pdu.rsp.cqe.result = leap_to_le64(cmd->result);
	pdu.rsp.cqe.sqhd = leap_to_le16(cmd->sqhd);
	pdu.rsp.cqe.sqid = leap_to_le16(t->vqp.qid);
	pdu.rsp.cqe.cid = cmd->sqe.cid;
	pdu.rsp.cqe.status = leap_cqe_status_word(cmd->status, 0);
	leap__tcp_tx_hdr(&t->c, &pdu, head);
}

static int no_rsp(const struct target *t, const struct leap_cmd *cmd)
{
	/* Without flow control a response says nothing that LAST does not. */
	return t->vqp.sq_flow_off && !cmd->result && t->live;
}

/* 0 = the send is full in the middle of the payload */
static int gather_data(struct target *t)
{
	struct leap_cmd *cmd = t->tx_cmd;

	if (!leap__tcp_tx_data(&t->c))
		return 0;
	if (!no_rsp(t, cmd))
		gather_rsp(t, cmd);
	t->tx_cmd = NULL;
	cmd->link[0] = t->sending;
	t->sending = cmd;
	return 1;
}

static int gather_done(struct target *t, struct leap_cmd *cmd)
{
	struct leap__tcp_cursor cur = { cmd->pieces, 0 };
	union leap__tcp_pdu pdu;
	uint8_t flags = LEAP_TCP_F_LAST;

	t->inflight--;
	if (cmd->status || !cmd->nr_pieces ||
	    priv(cmd)->dir != LEAP_DIR_TO_HOST) {
		gather_rsp(t, cmd);
		release(t, cmd);
		return 1;
	}
	if (no_rsp(t, cmd))
		flags |= LEAP_TCP_F_SUCCESS;
	if (t->c.rules.ddgst)
		flags |= LEAP_TCP_F_DDGST;
	memset(&pdu.data, 0, sizeof(pdu.data));
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_C2H_DATA, flags, sizeof(pdu.data),
		      t->c.pdo, t->c.pdo + cmd->data_bytes +
		      (t->c.rules.ddgst ? LEAP_TCP_DIGEST_LEN : 0));
	pdu.data.cccid = cmd->sqe.cid;
	pdu.data.datal = leap_to_le32(cmd->data_bytes);
	leap__tcp_tx_hdr(&t->c, &pdu, t->c.pdo);
	leap__tcp_tx_begin(&t->c, cur, cmd->data_bytes);
	t->tx_cmd = cmd;
	return gather_data(t);
}

static void retry_waiting(struct target *t);
static void retry_aside(struct target *t);

static void target_gather(struct leap__tcp_conn *c)
{
	struct target *t = of_conn(c);

	if (t->tx_cmd && !gather_data(t))
		return;
	if (t->wait.head)
		retry_waiting(t);
	if (t->nr_aside)
		retry_aside(t);
	if (t->ic_due)
		gather_ic(t);
	while (t->r2t.head && !leap__tcp_tx_full(c))
		gather_r2t(t, t->r2t.head);
	while (t->done.head && !leap__tcp_tx_full(c))
		if (!gather_done(t, pop(&t->done)))
			return;
}

static void target_sent(struct leap__tcp_conn *c)
{
	struct target *t = of_conn(c);
	struct leap_cmd *cmd;

	while ((cmd = t->sending)) {
		t->sending = cmd->link[0];
		release(t, cmd);
	}
}

/* ---- payload for the handler ---- */

/*
 * May this connection have @need more? Peers that ask for much and read nothing
 * must leave some for the others, however many they are: nobody holds more than
 * is still free, and who holds none finds enough for the largest command.
 */
static int bufs_share(const struct target *t, uint32_t need)
{
	const struct leap__dispatch *d = leap__dispatch(t->vqp.pg);
	uint32_t free = leap__dispatch_bufs_free(d);
	uint32_t keep = t->max_bufs < d->nr_bufs / 4 ? t->max_bufs :
		d->nr_bufs / 4;

	return !t->bufs_held ||
	       (t->bufs_held + need <= free && need + keep <= free);
}

/* Buffers for all of it or none: nobody waits while holding some. */
static int get_bufs(struct target *t, struct leap_cmd *cmd, uint32_t bytes)
{
	uint32_t each = leap_pollgroup_buf_bytes(t->vqp.pg);
	struct leap_piece *p = cmd->pieces;
	struct tcmd *tc = priv(cmd);

	if (!bufs_share(t, (bytes + each - 1) / each)) {
		leap_vqp_starved(&t->vqp);
		return 0;
	}
	while (bytes) {
		void *buf = leap_pollgroup_buf_get(t->vqp.pg);
		uint32_t n = bytes < each ? bytes : each;

		if (!buf) {
			while (tc->nr_bufs)
				leap_pollgroup_buf_put(t->vqp.pg,
					cmd->pieces[--tc->nr_bufs].addr);
			leap_vqp_starved(&t->vqp);
			return 0;
		}
		memset(p, 0, sizeof(*p));
		p->addr = buf;
		p->len_bytes = n;
		bytes -= n;
		tc->nr_bufs++;
		p++;
	}
	cmd->nr_pieces = tc->nr_bufs;
	t->bufs_held += tc->nr_bufs;
	return 1;
}

/* 0 = no buffers or slot now */
static int start_pull(struct target *t, struct leap_cmd *cmd)
{
	uint32_t each = leap_pollgroup_buf_bytes(t->vqp.pg);
	struct tcmd *tc = priv(cmd);

	if (tc->slot == NO_SLOT &&
	    (tc->dir == LEAP_DIR_TO_CTRL ||
	     cmd->data_bytes > (uint64_t)each * LEAP_CMD_INLINE_PIECES) &&
	    !slot_get(t, cmd))
		return 0;
	cmd->pieces = cmd->inline_pieces;
	if (cmd->data_bytes > (uint64_t)each * LEAP_CMD_INLINE_PIECES)
		cmd->pieces = t->pieces + (size_t)tc->slot * t->max_bufs;
	if (!get_bufs(t, cmd, cmd->data_bytes))
		return 0;
	if (tc->dir == LEAP_DIR_TO_HOST) {
		leap_cmd_ready(cmd, 0);
		return 1;
	}
	tc->cur.piece = cmd->pieces;
	tc->cur.off = 0;
	tc->unit = t->max_open > 1 && each < cmd->data_bytes ?
		each : cmd->data_bytes;
	tc->r2t_end = tc->unit;
	tc->flags |= RECEIVING | IN_R2T;
	t->receiving++;
	push(&t->r2t, cmd);
	if (!t->stall_timer) {
		t->stall_timer = 1;
		leap__tcp_timer(&t->c, LEAP__TCP_STALL_MS);
	}
	leap__tcp_work(&t->c);
	return 1;
}

static void retry_waiting(struct target *t)
{
	struct queue q = t->wait;

	/* What handlers pull meanwhile queues up behind. */
	t->wait.head = NULL;
	t->wait.tail = &t->wait.head;
	while (q.head) {
		struct leap_cmd *next = q.head->link[0];

		if (!start_pull(t, q.head))
			break;
		q.head = next;
	}
	if (q.head) {
		*q.tail = t->wait.head;
		if (t->wait.head)
			q.tail = t->wait.tail;
		t->wait.head = q.head;
		t->wait.tail = q.tail;
	}
}

/* In-capsule data: it is there already. */
static void pull_capsule(struct target *t, struct leap_cmd *cmd, uint32_t len)
{
	struct tcmd *tc = priv(cmd);
	leap_status_t status = 0;

	if (tc->dir != LEAP_DIR_TO_CTRL)
		status = LEAP_SC_INVALID_FIELD;
	else if (tc->flags & SGL_BAD)
		status = LEAP_SC_SGL_OFFSET;
	else if (tc->in_capsule < len)
		status = LEAP_SC_SGL_DATA_LEN;
	if (status) {
		leap_cmd_ready(cmd, status | LEAP_STATUS_DNR);
		return;
	}
	cmd->pieces = cmd->inline_pieces;
	memset(cmd->pieces, 0, sizeof(*cmd->pieces));
	cmd->pieces->addr = t->capsules + (size_t)tc->slot * t->capsule_bytes;
	cmd->pieces->len_bytes = len;
	cmd->nr_pieces = 1;
	leap_cmd_ready(cmd, 0);
}

void leap__tcp_cmd_pull(struct leap_cmd *cmd, uint32_t len_bytes)
{
	struct target *t = (struct target *)cmd->vqp;
	struct leap_sgl_desc *sgl = &cmd->sqe.sgl1;
	struct tcmd *tc = priv(cmd);
	leap_status_t status = LEAP_SC_SGL_TYPE;

	if ((cmd->sqe.flags & LEAP_SQE_PSDT_MASK) != LEAP_SQE_PSDT_SGL) {
		status = LEAP_SC_INVALID_FIELD;
	} else if (sgl->type == LEAP_SGL_ID(LEAP_SGL_TYPE_DATA,
					    LEAP_SGL_SUB_OFFSET)) {
		pull_capsule(t, cmd, len_bytes);
		return;
	} else if (LEAP_SGL_ID_TYPE(sgl->type) == LEAP_SGL_TYPE_TRANSPORT) {
		if (LEAP_SGL_ID_SUB(sgl->type) != LEAP_SGL_SUB_TRANSPORT ||
		    tc->dir == LEAP_DIR_NONE || tc->dir == LEAP_DIR_BOTH)
			status = LEAP_SC_INVALID_FIELD;
		else if (leap_from_le32(sgl->len) < len_bytes)
			status = LEAP_SC_SGL_DATA_LEN;
		else
			status = 0;
	}
	cmd->data_bytes = len_bytes;
	if (status)
		leap_cmd_ready(cmd, status | LEAP_STATUS_DNR);
	else if (t->wait.head || !start_pull(t, cmd))
		push(&t->wait, cmd);
}

void leap__tcp_cmd_complete(struct leap_cmd *cmd)
{
	struct target *t = (struct target *)cmd->vqp;
	struct leap_fab_sqe fab;

	if (t->vqp.dead || t->c.state > LEAP__TCP_CLOSING) {
		release(t, cmd);
		return;
	}
	if (!t->live) {
		memcpy(&fab, &cmd->sqe, sizeof(fab));
		if (fab.opc == LEAP_ADM_FABRICS && !cmd->status &&
		    fab.fctype == LEAP_FCTYPE_CONNECT) {
			t->live = 1;
			leap__tcp_timer_stop(&t->c);
			t->stall_timer = 0;
			cmd->sqhd = t->vqp.sq_flow_off ? 0xffff : cmd->sqhd;
		}
		t->c.rx.hold = 0;
		leap__tcp_resume(&t->c);
	}
	push(&t->done, cmd);
	leap__tcp_work(&t->c);
}

/* ---- receiving ---- */

static int fatal(struct target *t, const union leap__tcp_pdu *pdu,
		 uint16_t fes, uint32_t fei)
{
	struct leap__tcp_bad bad = { fes, fei };

	leap__tcp_fatal(&t->c, &bad, pdu, pdu->hdr.hlen);
	return 0;
}

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

/* What the descriptor points at, out of the read buffer. */
static void take_capsule(struct target *t, struct leap_cmd *cmd,
			 const uint8_t *data, uint32_t bytes)
{
	uint64_t at = leap_from_le64(cmd->sqe.sgl1.addr);
	uint32_t len = leap_from_le32(cmd->sqe.sgl1.len);
	struct tcmd *tc = priv(cmd);

	if (at > bytes || len > bytes - at) {
		tc->flags |= SGL_BAD;
		return;
	}
	tc->in_capsule = len;
	memcpy(t->capsules + (size_t)tc->slot * t->capsule_bytes, data + at,
	       len);
}

/* 0 = no command or slot is free now */
static int take_cmd(struct target *t, const struct leap_sqe *sqe,
		    const uint8_t *data, uint32_t bytes, int ok)
{
	struct leap_cmd *cmd = leap_cmd_get(&t->vqp);
	struct tcmd *tc;

	if (!cmd)
		return 0;
	tc = priv(cmd);
	memset(tc, 0, sizeof(*tc));
	tc->slot = NO_SLOT;
	cmd->sqe = *sqe;
	tc->dir = direction(&cmd->sqe);
	if (bytes && cmd->sqe.sgl1.type ==
	    LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_OFFSET)) {
		if (!slot_get(t, cmd)) {
			leap_cmd_put(cmd);
			return 0;
		}
		take_capsule(t, cmd, data, bytes);
	}
	cmd->sqhd = t->vqp.sq_flow_off ? 0 : t->sqhd;
	if (!ok) {
		cmd->status = LEAP_SC_TRANSIENT_TRANSPORT;
		push(&t->done, cmd);
		leap__tcp_work(&t->c);
		return 1;
	}
	leap_vqp_deliver(&t->vqp, cmd);
	return 1;
}

/*
 * Out of commands: the capsule is put aside, because behind it in the stream
 * may be the data that commands which have one are waiting for.
 */
__attribute__((cold)) static int put_aside(struct target *t,
		const struct leap_sqe *sqe, const uint8_t *data, uint32_t bytes,
		int ok)
{
	struct aside *a;

	if (!t->aside)
		t->aside = malloc(t->limits.max_depth *
				  (sizeof(*a) + t->capsule_bytes));
	if (!t->aside) {
		/* Not even that: the stream has to wait after all. */
		t->inflight--;
		t->sqhd--;
		return 1;
	}
	a = aside_at(t, t->aside_head + t->nr_aside++);
	a->sqe = *sqe;
	a->bytes = bytes;
	a->ok = ok;
	memcpy(a + 1, data, bytes);
	return 0;
}

static void retry_aside(struct target *t)
{
	while (t->nr_aside && t->c.state <= LEAP__TCP_READY) {
		struct aside *a = aside_at(t, t->aside_head);

		if (!take_cmd(t, &a->sqe, (uint8_t *)(a + 1), a->bytes, a->ok))
			return;
		t->nr_aside--;
		t->aside_head = t->aside_head + 1 == t->limits.max_depth ?
			0 : t->aside_head + 1;
	}
}

static int on_cmd(struct target *t, const union leap__tcp_pdu *pdu,
		  const struct leap__tcp_shape *s, const uint8_t *data, int ok)
{
	uint32_t depth = t->vqp.depth;

	if (!depth || depth > t->limits.max_depth)
		depth = t->limits.max_depth;
	/* Up to Connect one at a time, so that the queue pair can move. */
	if (!t->live) {
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
	if (t->nr_aside || !take_cmd(t, &pdu->cmd.sqe, data, s->data, ok))
		return put_aside(t, &pdu->cmd.sqe, data, s->data, ok);
	return 0;
}

static int on_data(struct target *t, const union leap__tcp_pdu *pdu,
		   const struct leap__tcp_shape *s)
{
	uint16_t tag = leap_from_le16(pdu->data.ttag);
	uint32_t i = tag & ((1u << t->slot_bits) - 1);
	uint32_t at = leap_from_le32(pdu->data.datao);
	int last = !!(pdu->hdr.flags & LEAP_TCP_F_LAST);
	struct leap_cmd *cmd;
	struct tcmd *tc;

	cmd = i < t->limits.max_depth ? t->slots[i].cmd : NULL;
	if (!cmd || !(priv(cmd)->flags & RECEIVING) || !priv(cmd)->open ||
	    ttag(t, (uint16_t)i) != tag || cmd->sqe.cid != pdu->data.cccid)
		return fatal(t, pdu, LEAP_TCP_FES_SEQUENCE, 0);
	tc = priv(cmd);
	if (at != tc->got || s->data > tc->r2t_end - at)
		return fatal(t, pdu, LEAP_TCP_FES_RANGE, 0);
	if (last != (at + s->data == tc->r2t_end))
		return fatal(t, pdu, LEAP_TCP_FES_HDR_FIELD,
			     offsetof(struct leap_tcp_hdr, flags));
	tc->got += s->data;
	t->rx_cmd = cmd;
	t->c.rx.cur = tc->cur;
	return 0;
}

static void target_data_end(struct leap__tcp_conn *c, int ok)
{
	struct target *t = of_conn(c);
	struct leap_cmd *cmd = t->rx_cmd;
	struct tcmd *tc = priv(cmd);

	t->progress++;
	tc->cur = c->rx.cur;
	if (!ok)
		tc->flags |= DIGEST_BAD;
	if (tc->got < tc->r2t_end)
		return;
	tc->open--;
	if (tc->got < cmd->data_bytes) {
		uint32_t rest = cmd->data_bytes - tc->got;

		tc->r2t_end += rest < tc->unit ? rest : tc->unit;
		if (tc->asked < cmd->data_bytes && !(tc->flags & IN_R2T)) {
			tc->flags |= IN_R2T;
			push(&t->r2t, cmd);
		}
		return;
	}
	tc->flags &= (uint8_t)~RECEIVING;
	t->receiving--;
	leap_cmd_ready(cmd, tc->flags & DIGEST_BAD ?
		       LEAP_SC_TRANSIENT_TRANSPORT : 0);
}

static int target_pdu(struct leap__tcp_conn *c, const union leap__tcp_pdu *pdu,
		      const struct leap__tcp_shape *s, const uint8_t *data,
		      int ok)
{
	struct target *t = of_conn(c);

	switch (s->type) {
	case LEAP_TCP_CMD:
		return on_cmd(t, pdu, s, data, ok);
	case LEAP_TCP_H2C_DATA:
		return on_data(t, pdu, s);
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

	target_sent(c);
	if (t->tx_cmd)
		release(t, t->tx_cmd);
	t->tx_cmd = NULL;
	while (t->done.head)
		release(t, pop(&t->done));
	while (t->wait.head)
		release(t, pop(&t->wait));
	for (i = 0; i < t->limits.max_depth; i++) {
		cmd = t->slots[i].cmd;
		if (cmd && (priv(cmd)->flags & RECEIVING))
			release(t, cmd);
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
	.data_end = target_data_end,
	.gather = target_gather,
	.sent = target_sent,
	.gone = target_gone,
	.timeout = target_timeout,
};

void leap__tcp_vqp_resume(struct leap_vqp *vqp)
{
	struct target *t = (struct target *)vqp;

	if (t->c.state > LEAP__TCP_CLOSING)
		return;
	retry_waiting(t);
	retry_aside(t);
	leap__tcp_resume(&t->c);
}

void leap__tcp_vqp_close(struct leap_vqp *vqp)
{
	leap__tcp_close(&((struct target *)vqp)->c);
}

void leap__tcp_vqp_detach(struct leap_vqp *vqp)
{
	struct leap__tcp_conn *c = &((struct target *)vqp)->c;

	leap__tcp_timer_stop(c);
	leap__pollgroup_undefer(c->pg, &c->defer);
	if (c->wfd)
		c->world->ops->detach(c->wfd);
}

int leap__tcp_vqp_attach(struct leap_vqp *vqp)
{
	struct leap__tcp_conn *c = &((struct target *)vqp)->c;
	int err = 0;

	c->pg = vqp->pg;
	c->world = leap__pollgroup_world(vqp->pg);
	if (c->wfd)
		err = c->world->ops->attach(c->world, c->wfd);
	if (err) {
		c->world->ops->close(c->wfd);
		c->wfd = NULL;
		c->state = LEAP__TCP_GONE;
		return err;
	}
	leap__tcp_timer(c, LEAP__TCP_HELLO_MS);
	leap__tcp_work(c);
	return 0;
}

static void target_free(struct target *t)
{
	leap__tcp_conn_fini(&t->c);
	free(t->slots);
	free(t->capsules);
	free(t->aside);
	free(t->pieces);
	free(t);
}

void leap__tcp_vqp_destroy(struct leap_vqp *vqp)
{
	target_free((struct target *)vqp);
}

static int target_memory(struct target *t)
{
	uint32_t each = leap_pollgroup_buf_bytes(t->vqp.pg), i;
	uint32_t n = t->limits.max_depth;

	t->c.rules.max_capsule = t->limits.inline_bytes > LEAP_TCP_ADMIN_ICD ?
		t->limits.inline_bytes : LEAP_TCP_ADMIN_ICD;
	t->capsule_bytes = (t->c.rules.max_capsule + 63) & ~63u;
	t->max_bufs = (t->limits.max_data + each - 1) / each;
	t->slots = calloc(n, sizeof(*t->slots));
	/* Large and mostly never touched: costs address space only. */
	t->capsules = malloc((size_t)n * t->capsule_bytes);
	if (t->max_bufs > LEAP_CMD_INLINE_PIECES)
		t->pieces = malloc((size_t)n * t->max_bufs *
				   sizeof(*t->pieces));
	if (!t->slots || !t->capsules ||
	    (!t->pieces && t->max_bufs > LEAP_CMD_INLINE_PIECES))
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
	t->wait.tail = &t->wait.head;
	t->r2t.tail = &t->r2t.head;
	t->done.tail = &t->done.head;
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
