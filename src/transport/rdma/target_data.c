/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Payload at the controller end of an NVMe/RDMA queue pair: what a descriptor
 * says, where payload lies, and how it crosses.
 *
 * Payload is in registered buffers of the poll group, or in the capsule that it
 * came with. A command that writes is ready when its last RDMA READ is; what a
 * command has read goes out as RDMA WRITEs and the response right behind, in
 * one chain: the peer sees them in that order. Buffers come back in a time that
 * the peer cannot stretch, because a transfer that it does not serve, or an
 * answer that it does not take, ends the connection; so whoever finds none just
 * waits.
 * Must not know what a command means beyond its direction and descriptor.
 */
#include "transport/rdma/target.h"

#include "core/io/dispatch.h"

#include <string.h>

#define SGL_BAD		2u	/* in-capsule descriptor leaves the capsule */

void leap__rdma_describe(struct target *t, struct leap_cmd *cmd, uint32_t slot,
			 uint32_t capsule_data)
{
	const struct leap_sgl_desc *sgl = &cmd->sqe.sgl1;
	struct leap_sgl_keyed keyed;
	struct tcmd *tc = priv(cmd);
	uint64_t at;
	uint32_t len;

	tc->slot = NO_SLOT;
	if (LEAP_SGL_ID_TYPE(sgl->type) == LEAP_SGL_TYPE_KEYED) {
		memcpy(&keyed, sgl, sizeof(keyed));
		tc->data.reach = LEAP_REACH_ONE_SIDED;
		tc->data.remote = leap_from_le64(keyed.addr);
		tc->data.len_bytes = leap_sgl_keyed_len(&keyed);
		tc->data.key = leap_sgl_keyed_key(&keyed);
		tc->invalidate = tc->data.len_bytes &&
				 LEAP_SGL_ID_SUB(keyed.type) ==
				 LEAP_SGL_SUB_INVALIDATE;
		return;
	}
	if (!capsule_data || sgl->type !=
	    LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_OFFSET))
		return;
	at = leap_from_le64(sgl->addr);
	len = leap_from_le32(sgl->len);
	if (at > capsule_data || len > capsule_data - at) {
		tc->flags |= SGL_BAD;
		return;
	}
	tc->slot = slot;
	tc->data.reach = LEAP_REACH_MESSAGE;
	tc->data.remote = at;
	tc->data.len_bytes = len;
}

static void slot_back(struct target *t, struct tcmd *tc)
{
	if (tc->slot == NO_SLOT)
		return;
	leap__rdma_slot_back(t, tc->slot);
	tc->slot = NO_SLOT;
}

void leap__rdma_release(struct target *t, struct leap_cmd *cmd)
{
	struct tcmd *tc = priv(cmd);
	uint32_t i;

	for (i = 0; i < tc->nr_bufs; i++)
		leap_pollgroup_buf_put(t->vqp.pg, cmd->pieces[i].addr);
	t->nr_bufs -= tc->nr_bufs;
	if (tc->nr_bufs > LEAP_CMD_INLINE_PIECES)
		t->free_pieces[t->nr_free_pieces++] = (uint32_t)
			((size_t)(cmd->pieces - t->pieces) / t->max_bufs);
	tc->nr_bufs = 0;
	slot_back(t, tc);
	leap_cmd_put(cmd);
}

/* All of it, when nothing else is out. */
static int pool_holds(const struct target *t, uint32_t bytes)
{
	return (uint64_t)leap__dispatch(t->vqp.pg)->nr_bufs *
	       leap_pollgroup_buf_bytes(t->vqp.pg) >= bytes;
}

/*
 * Buffers of the pool for all of it or none: nobody waits while holding some,
 * and who has some already leaves as many to the others.
 */
static int get_bufs(struct target *t, struct leap_cmd *cmd)
{
	struct leap__dispatch *d = leap__dispatch(t->vqp.pg);
	uint32_t each = leap_pollgroup_buf_bytes(t->vqp.pg);
	uint32_t n = (cmd->data_bytes + each - 1) / each;
	struct tcmd *tc = priv(cmd);

	if (n > leap__bufs_free(d) ||
	    (t->nr_bufs && t->nr_bufs + 2 * n > leap__bufs_free(d))) {
		d->pool_empty++;
		leap_vqp_starved(&t->vqp);
		return 0;
	}
	if (n > LEAP_CMD_INLINE_PIECES) {
		if (!t->nr_free_pieces)
			return 0;	/* of our own: an answer frees one */
		cmd->pieces = t->pieces + (size_t)t->max_bufs *
			      t->free_pieces[--t->nr_free_pieces];
	} else {
		cmd->pieces = cmd->inline_pieces;
	}
	cmd->nr_pieces = leap__bufs_take(d, cmd->data_bytes, cmd->pieces);
	tc->nr_bufs = (uint16_t)n;
	tc->lkey = t->c.pool->lkey;
	t->nr_bufs += n;
	return 1;
}

/* READs of what the host writes; 0 = no room, or as many as it answers are
 * out. */
static int may_read(const struct target *t, const struct leap_cmd *cmd)
{
	uint32_t each = leap_pollgroup_buf_bytes(t->vqp.pg);
	uint32_t n = leap__rdma_nr_moves(&t->c, LEAP__V_READ,
					 (cmd->data_bytes + each - 1) / each);

	return n <= leap__rdma_room(&t->c) && t->reads < t->max_reads;
}

/* 0 = not now */
static int start_pull(struct leap_cmd *cmd)
{
	struct target *t = (struct target *)cmd->vqp;
	struct tcmd *tc = priv(cmd);

	if (tc->dir == LEAP_DIR_TO_CTRL && !may_read(t, cmd))
		return 0;
	if (!get_bufs(t, cmd))
		return 0;
	if (tc->dir == LEAP_DIR_TO_HOST) {
		leap_cmd_ready(cmd, 0);
		return 1;
	}
	tc->flags |= READING;
	t->reads++;
	out_add(t, cmd);
	leap__rdma_post_move(&t->c, LEAP__V_READ, &tc->data, cmd->pieces,
			     cmd->nr_pieces, tc->lkey, LEAP__V_SIGNALED);
	leap__rdma_post_end(&t->c, SENT_READ, cmd);
	leap__rdma_work(&t->c);
	return 1;
}

void leap__rdma_retry_waiting(struct target *t)
{
	leap__cmdq_retry(&t->wait, start_pull);
}

static void copy_capsule(struct target *t, struct leap_cmd *cmd)
{
	struct tcmd *tc = priv(cmd);
	const uint8_t *from = slot_data(t, tc->slot) + tc->data.remote;
	uint32_t i;

	for (i = 0; i < cmd->nr_pieces; i++) {
		memcpy(cmd->pieces[i].addr, from, cmd->pieces[i].len_bytes);
		from += cmd->pieces[i].len_bytes;
	}
	slot_back(t, tc);
	leap_cmd_ready(cmd, 0);
}

/*
 * Its data goes where that of others is, too; or aside, when there is no room
 * now: whoever waits keeps no shared receive. 0 = it is there and may be used.
 */
static int copy_greedy(struct target *t, struct leap_cmd *cmd, uint32_t len)
{
	struct tcmd *tc = priv(cmd);
	/* Others of this queue who wait do so for READs. */
	int may = !t->wait.head || t->reads >= t->max_reads;

	if (may && pool_holds(t, len) && get_bufs(t, cmd)) {
		copy_capsule(t, cmd);
		return 1;
	}
	leap__rdma_put_aside(t, &tc->slot, (uint32_t)tc->data.remote, len);
	return 0;
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
	else if (tc->data.len_bytes < len)
		status = LEAP_SC_SGL_DATA_LEN;
	if (status) {
		leap_cmd_ready(cmd, status | LEAP_STATUS_DNR);
		return;
	}
	if (len && !is_aside(t, tc->slot) && leap__rdma_is_greedy(t) &&
	    copy_greedy(t, cmd, len))
		return;
	cmd->pieces = cmd->inline_pieces;
	memset(cmd->pieces, 0, sizeof(*cmd->pieces));
	cmd->pieces->addr = slot_data(t, tc->slot) + tc->data.remote;
	cmd->pieces->len_bytes = len;
	cmd->nr_pieces = 1;
	leap_cmd_ready(cmd, 0);
}

void leap__rdma_cmd_pull(struct leap_cmd *cmd, uint32_t len_bytes)
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
	} else if (LEAP_SGL_ID_TYPE(sgl->type) == LEAP_SGL_TYPE_KEYED) {
		if ((LEAP_SGL_ID_SUB(sgl->type) != LEAP_SGL_SUB_ADDRESS &&
		     LEAP_SGL_ID_SUB(sgl->type) != LEAP_SGL_SUB_INVALIDATE) ||
		    tc->dir == LEAP_DIR_NONE || tc->dir == LEAP_DIR_BOTH)
			status = LEAP_SC_INVALID_FIELD;
		else if (tc->data.len_bytes < len_bytes)
			status = LEAP_SC_SGL_DATA_LEN;
		else
			status = 0;
	}
	/* Larger than the pool of the group that it has moved to. */
	if (!status && !pool_holds(t, len_bytes))
		status = LEAP_SC_INTERNAL;
	if (status)
		leap_cmd_ready(cmd, status | LEAP_STATUS_DNR);
	else if (t->wait.head || !start_pull(cmd))
		leap__cmdq_push(&t->wait, cmd);
}

static void fill_cqe(const struct target *t, const struct leap_cmd *cmd,
		     struct leap_cqe *cqe)
{
	cqe->result = leap_to_le64(cmd->result);
	cqe->sqhd = leap_to_le16(cmd->sqhd);
	cqe->sqid = leap_to_le16(t->vqp.qid);
	cqe->cid = cmd->sqe.cid;
	cqe->status = leap_cqe_status_word(cmd->status, 0);
}

int leap__rdma_post_answer(struct target *t, struct leap_cmd *cmd)
{
	struct leap__rdma_conn *c = &t->c;
	struct tcmd *tc = priv(cmd);
	int data = !cmd->status && cmd->nr_pieces &&
		   tc->dir == LEAP_DIR_TO_HOST;
	struct leap__v_sge *sge;
	struct leap__v_wr *wr;
	struct leap_cqe *cqe;

	if (leap__rdma_room(c) < 1 + (data ?
	    leap__rdma_nr_moves(c, LEAP__V_WRITE, cmd->nr_pieces) : 0))
		return 0;
	leap__cmdq_pop(&t->done);
	t->inflight--;
	/* Before the host can know that it may send another. */
	slot_back(t, tc);
	if (data)
		leap__rdma_post_move(c, LEAP__V_WRITE, &tc->data, cmd->pieces,
				     cmd->nr_pieces, tc->lkey, 0);
	cqe = &t->cqes[c->sq_tail & c->ring_mask];
	fill_cqe(t, cmd, cqe);
	wr = leap__rdma_post(c, tc->invalidate ? LEAP__V_SEND_INV :
			     LEAP__V_SEND, 1, &sge,
			     c->inline_ok >= LEAP_CQE_SIZE ?
			     LEAP__V_INLINE : 0);
	wr->key = tc->data.key;
	sge->addr = (uintptr_t)cqe;
	sge->len = LEAP_CQE_SIZE;
	sge->lkey = t->lkey;
	out_add(t, cmd);
	leap__rdma_post_end(c, SENT_ANSWER, cmd);
	return 1;
}
