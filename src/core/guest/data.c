/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * data.c - payload of commands: PRPs and SGLs to pieces of the guest's memory
 *
 * What a command transfers is used where it is, pinned until the command has
 * its answer. Few pieces stand in the command itself; more take an array of
 * the queue, and wait for one when all are taken. What cannot be used where it
 * is is bounce.c's. Knows the two descriptors of a command and the direction
 * that its opcode says, nothing else of it.
 *
 * Spec: NVMe Base 2.0 s4.1 (data layout), s3.3.3.1 (opcode, PSDT)
 */
#include "core/guest/queue.h"

#include <errno.h>
#include <stdlib.h>

#define NR_ARRAYS	32u
#define MIN_PIECES	64u
#define MAX_PIECES	4096u
#define PAGE		4096u	/* the smallest of a guest */

int leap__guest_data_init(struct leap__guest_sq *sq)
{
	uint32_t n = sq->vqp.max_data_bytes / PAGE + 2;

	n = n < MIN_PIECES ? MIN_PIECES : n > MAX_PIECES ? MAX_PIECES : n;
	sq->array_pieces = n;
	sq->array_bytes = (uint32_t)(sizeof(struct leap__guest_array) +
				     n * sizeof(struct leap_piece));
	sq->nr_arrays = sq->slots.nr < NR_ARRAYS ? sq->slots.nr : NR_ARRAYS;
	sq->waiting_tail = &sq->waiting;
	sq->hungry_tail = &sq->hungry;
	sq->arrays = malloc((size_t)sq->nr_arrays * sq->array_bytes);
	return sq->arrays ? 0 : -ENOMEM;
}

void leap__guest_data_fini(struct leap__guest_sq *sq)
{
	leap__guest_bounce_fini(sq);
	free(sq->arrays);
}

static struct leap__guest_array *array_get(struct leap__guest_sq *sq)
{
	struct leap__guest_array *a = sq->free_array;

	if (a)
		sq->free_array = a->next;
	else if (sq->nr_fresh < sq->nr_arrays)
		a = (struct leap__guest_array *)(void *)(sq->arrays +
			(size_t)sq->nr_fresh++ * sq->array_bytes);
	return a;
}

static uint32_t perm_of(const struct leap_sqe *sqe)
{
	return (sqe->opc & 1 ? LEAP_PERM_READ : 0) |
	       (sqe->opc & 2 ? LEAP_PERM_WRITE : 0);
}

/* Layers below load and store: a peer's memory, or memory without an fd, is not
 * for them. */
static bool is_direct(const struct leap_cmd *cmd,
		      const struct leap_piece *pieces)
{
	uint32_t i;

	for (i = 0; i < cmd->nr_pieces; i++)
		if (unlikely(pieces[i].reach != LEAP_REACH_DIRECT))
			return false;
	return true;
}

/* One piece in memory that was used last, as most commands have. */
static bool pull_one(struct leap__guest_sq *sq, struct leap_cmd *cmd,
		     uint32_t perm, uint8_t psdt)
{
	struct leap_ats_view *view = sq->cq->view;

	if (psdt ? !leap__ats_one_sgl(view, &cmd->sqe.sgl1, cmd->data_bytes,
				      perm, cmd->inline_pieces, &cmd->pins) :
	    !leap__ats_one_prp(view, leap_from_le64(cmd->sqe.prp1),
			       cmd->data_bytes, sq->desc.page_bytes, perm,
			       cmd->inline_pieces, &cmd->pins))
		return false;
	cmd->nr_pieces = 1;
	cmd->pieces = cmd->inline_pieces;
	leap_cmd_ready(cmd, LEAP_SC_SUCCESS);
	return true;
}

/* 0, or 1: more than @max pieces. Else the command has been answered for. */
static int pull_into(struct leap__guest_sq *sq, struct leap_cmd *cmd,
		     struct leap_piece *pieces, uint32_t max)
{
	uint32_t perm = perm_of(&cmd->sqe);
	struct leap_ats_view *view = sq->cq->view;
	leap_gpa_t prp1 = { leap_from_le64(cmd->sqe.prp1) };
	leap_gpa_t prp2 = { leap_from_le64(cmd->sqe.prp2) };
	leap_status_t status;
	int err;

	if (cmd->sqe.flags & LEAP_SQE_PSDT_MASK)
		err = leap_ats_sgl(view, &cmd->sqe.sgl1, cmd->data_bytes, 0,
				   perm, pieces, max, &cmd->nr_pieces,
				   &cmd->pins, &status);
	else
		err = leap_ats_prp(view, prp1, prp2, cmd->data_bytes,
				   sq->desc.page_bytes, perm, pieces, max,
				   &cmd->nr_pieces, &cmd->pins, &status);
	if (unlikely(err == -ENOBUFS && max < sq->array_pieces)) {
		leap_ats_release(view, &cmd->pins);
		return 1;
	}
	if (likely(!err) && unlikely(!is_direct(cmd, pieces))) {
		leap__guest_bounce(sq, cmd, pieces, perm);
		return 0;
	}
	if (unlikely(err)) {
		leap__guest_data_put(sq, cmd);
		cmd->nr_pieces = 0;
	} else {
		cmd->pieces = pieces;
	}
	leap_cmd_ready(cmd, status);
	return 0;
}

static void pull_array(struct leap__guest_sq *sq, struct leap_cmd *cmd,
		       struct leap__guest_array *a)
{
	cmd->priv[LEAP__GUEST_ARRAY] = (uintptr_t)a;
	pull_into(sq, cmd, a->pieces, sq->array_pieces);
}

void leap__guest_pull(struct leap_cmd *cmd, uint32_t len_bytes)
{
	struct leap__guest_sq *sq = leap__guest_sq(cmd->vqp);
	uint8_t psdt = cmd->sqe.flags & LEAP_SQE_PSDT_MASK;
	uint32_t perm = perm_of(&cmd->sqe);
	struct leap__guest_array *a;

	(void)len_bytes;	/* cmd->data_bytes */
	/* Admin commands have PRPs. */
	if (unlikely(!perm ||
		     (psdt && (psdt != LEAP_SQE_PSDT_SGL || !sq->desc.qid)))) {
		leap_cmd_ready(cmd, LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
		return;
	}
	if (likely(pull_one(sq, cmd, perm, psdt)) ||
	    !pull_into(sq, cmd, cmd->inline_pieces, LEAP_CMD_INLINE_PIECES))
		return;
	a = array_get(sq);
	if (a) {
		pull_array(sq, cmd, a);
		return;
	}
	cmd->link[0] = NULL;
	*sq->waiting_tail = cmd;
	sq->waiting_tail = &cmd->link[0];
}

void leap__guest_data_put(struct leap__guest_sq *sq, struct leap_cmd *cmd)
{
	struct leap__guest_array *a;
	struct leap_cmd *next;

	if (cmd->priv[LEAP__GUEST_ARRAY] & LEAP__GUEST_BOUNCED)
		leap__guest_bounce_put(sq, cmd);
	if (cmd->pins.nr)
		leap_ats_release(sq->cq->view, &cmd->pins);
	a = (struct leap__guest_array *)(uintptr_t)
		cmd->priv[LEAP__GUEST_ARRAY];
	if (!a)
		return;
	cmd->priv[LEAP__GUEST_ARRAY] = 0;
	a->next = sq->free_array;
	sq->free_array = a;
	/* One that fails gives it back at once: a loop, not a recursion. */
	if (sq->serving)
		return;
	sq->serving = true;
	while ((next = sq->waiting) && sq->free_array) {
		sq->waiting = next->link[0];
		if (!sq->waiting)
			sq->waiting_tail = &sq->waiting;
		pull_array(sq, next, array_get(sq));
	}
	sq->serving = false;
}

bool leap__guest_data_end(struct leap__guest_sq *sq, struct leap_cmd *cmd)
{
	if (cmd->priv[LEAP__GUEST_ARRAY] & LEAP__GUEST_BOUNCED &&
	    !(sq->halt & LEAP__SQ_CLOSED) && leap__guest_bounce_store(cmd))
		return false;
	leap__guest_data_put(sq, cmd);
	return true;
}

void leap__guest_data_forget(struct leap__guest_sq *sq)
{
	struct leap_cmd *cmd;

	while ((cmd = sq->waiting)) {
		sq->waiting = cmd->link[0];
		leap_cmd_put(cmd);
	}
	sq->waiting_tail = &sq->waiting;
	leap__guest_bounce_forget(sq);
}
