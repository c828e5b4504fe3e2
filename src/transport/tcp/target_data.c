/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Payload at the controller end of an NVMe/TCP queue pair: where it lies, and
 * how it comes in.
 *
 * Finds room for what a command reads or writes, asks the host for it by R2T,
 * and takes H2CData in. The stream itself, capsules and answers are target.c's.
 * Must not know what a command means beyond its direction and descriptor.
 */
#include "transport/tcp/target.h"
#include "util/plant.h"

#include "core/io/dispatch.h"

#include <string.h>

int leap__tcp_slot_get(struct target *t, struct leap_cmd *cmd)
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
void leap__tcp_release(struct target *t, struct leap_cmd *cmd)
{
	struct tcmd *tc = priv(cmd);
	struct leap_piece *pieces = cmd->pieces;
	uint32_t i;

	for (i = 0; i < tc->nr_bufs; i++)
		if (!t->vqp.dead || !LEAP_PLANT(BUFFER_LEAK))
			leap_pollgroup_buf_put(t->vqp.pg, pieces[i].addr);
	t->nr_bufs -= tc->nr_bufs;
	tc->nr_bufs = 0;
	if (t->own_cmd == cmd)
		t->own_cmd = NULL;
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

/* As many R2Ts as the host allows and the send takes. */
void leap__tcp_gather_r2t(struct target *t, struct leap_cmd *cmd)
{
	uint32_t head = sizeof(struct leap_tcp_r2t) +
			(t->c.rules.hdgst ? LEAP_TCP_DIGEST_LEN : 0);
	struct tcmd *tc = priv(cmd);

	while (tc->open < t->max_open + LEAP_PLANT(R2T_OVERLAP) &&
	       tc->asked < cmd->data_bytes) {
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
	leap__cmdq_pop(&t->r2t);
	tc->flags &= (uint8_t)~IN_R2T;
}

/* ---- payload for the handler ---- */

/*
 * Buffers of the pool for all of it or none: nobody waits while holding some,
 * and nobody holds more than he leaves to the others.
 */
static int get_bufs(struct target *t, struct leap_cmd *cmd)
{
	struct leap__dispatch *d = leap__dispatch(t->vqp.pg);
	uint32_t each = leap_pollgroup_buf_bytes(t->vqp.pg);
	uint32_t n = (cmd->data_bytes + each - 1) / each;
	struct tcmd *tc = priv(cmd);

	if (t->nr_bufs + 2 * n > leap__bufs_free(d)) {
		d->pool_empty++;
		return 0;
	}
	cmd->pieces = n > LEAP_CMD_INLINE_PIECES ?
		t->pieces + (size_t)tc->slot * t->max_bufs : cmd->inline_pieces;
	cmd->nr_pieces = leap__bufs_take(d, cmd->data_bytes, cmd->pieces);
	tc->nr_bufs = (uint16_t)n;
	t->nr_bufs += n;
	return 1;
}

static void set_piece(struct leap_cmd *cmd, uint8_t *at,
		      struct leap_dmabuf *buf)
{
	cmd->pieces = cmd->inline_pieces;
	memset(cmd->pieces, 0, sizeof(*cmd->pieces));
	cmd->pieces->addr = at;
	cmd->pieces->buf = buf;
	cmd->pieces->len_bytes = cmd->data_bytes;
	cmd->nr_pieces = 1;
}

/* The place of a slot, when that takes it: there is one for each command, so
 * small ones need not wait for buffers. */
static int get_place(struct target *t, struct leap_cmd *cmd)
{
	struct tcmd *tc = priv(cmd);

	if (cmd->data_bytes > t->capsule_bytes ||
	    (tc->slot == NO_SLOT && !leap__tcp_slot_get(t, cmd)))
		return 0;
	set_piece(cmd, place_of(t, tc->slot, cmd->data_bytes), t->places_mem);
	return 1;
}

/*
 * What the others cannot take: room for one command of any size. However little
 * the pool has left, a connection moves on.
 */
static int get_own(struct target *t, struct leap_cmd *cmd)
{
	if (t->own_cmd) {
		leap_vqp_starved(&t->vqp);
		return 0;
	}
	t->own_cmd = cmd;
	set_piece(cmd, t->own, NULL);
	return 1;
}

/* Room is there; the host is asked for its data. */
static void start_r2t(struct target *t, struct leap_cmd *cmd)
{
	uint32_t each = leap_pollgroup_buf_bytes(t->vqp.pg);
	struct tcmd *tc = priv(cmd);

	tc->cur.piece = cmd->pieces;
	tc->cur.off = 0;
	tc->unit = t->max_open > 1 && each < cmd->data_bytes ?
		each : cmd->data_bytes;
	tc->r2t_end = tc->unit;
	tc->flags |= RECEIVING | IN_R2T;
	t->receiving++;
	leap__cmdq_push(&t->r2t, cmd);
	/* Before Connect: nothing else is wanted, but this is. */
	t->c.rx.hold = 0;
	if (!t->stall_timer) {
		t->stall_timer = 1;
		leap__tcp_timer(&t->c, LEAP__TCP_STALL_MS);
	}
	leap__tcp_work(&t->c);
}

/* 0 = no buffers or slot now */
static int start_pull(struct leap_cmd *cmd)
{
	struct target *t = (struct target *)cmd->vqp;
	uint32_t each = leap_pollgroup_buf_bytes(t->vqp.pg);
	struct tcmd *tc = priv(cmd);

	if (tc->slot == NO_SLOT &&
	    (tc->dir == LEAP_DIR_TO_CTRL ||
	     cmd->data_bytes > (uint64_t)each * LEAP_CMD_INLINE_PIECES) &&
	    !leap__tcp_slot_get(t, cmd))
		return 0;
	if (!get_place(t, cmd) && !get_bufs(t, cmd) && !get_own(t, cmd))
		return 0;
	if (tc->dir == LEAP_DIR_TO_HOST)
		leap_cmd_ready(cmd, 0);
	else
		start_r2t(t, cmd);
	return 1;
}

void leap__tcp_retry_waiting(struct target *t)
{
	leap__cmdq_retry(&t->wait, start_pull);
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
	set_piece(cmd, place_of(t, tc->slot, tc->in_capsule), t->places_mem);
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
	else if (t->wait.head || !start_pull(cmd))
		leap__cmdq_push(&t->wait, cmd);
}

/* ---- payload of the host ---- */

int leap__tcp_on_data(struct target *t, const union leap__tcp_pdu *pdu,
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

void leap__tcp_data_ready(struct target *t, struct leap_cmd *cmd)
{
	struct tcmd *tc = priv(cmd);

	tc->flags &= (uint8_t)~RECEIVING;
	t->receiving--;
	leap_cmd_ready(cmd, tc->flags & DIGEST_BAD ?
		       LEAP_SC_TRANSIENT_TRANSPORT : 0);
}

void leap__tcp_data_end(struct leap__tcp_conn *c, int ok)
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
			leap__cmdq_push(&t->r2t, cmd);
		}
		return;
	}
	c->rx.hold = !t->live;
	/* The queue pair may move now, but not in the middle of a send. */
	if (c->rx.hold && c->tx.busy)
		t->connect = cmd;
	else
		leap__tcp_data_ready(t, cmd);
}
