/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The payload of commands at the controller end of a shared-memory queue pair:
 * their SGLs become pieces of the host's own pages, pinned until the command is
 * complete. Commands with more pieces than fit into them share a few arrays;
 * whoever finds none waits for one. Knows nothing of rings and of the socket.
 */
#include "transport/shm/target.h"

#include <errno.h>
#include <stdlib.h>

#define NR_ARRAYS 4u
#define ARRAY_PIECES 256u

struct array {
	struct array *next;
	struct leap_piece pieces[ARRAY_PIECES];
};

int leap__shm_arrays_init(struct target *t)
{
	uint32_t i;

	t->all_arrays = malloc(NR_ARRAYS * sizeof(struct array));
	if (!t->all_arrays)
		return -ENOMEM;
	for (i = 0; i < NR_ARRAYS; i++) {
		t->all_arrays[i].next = t->arrays;
		t->arrays = &t->all_arrays[i];
	}
	return 0;
}

static uint32_t perm_of(const struct leap_sqe *sqe)
{
	uint8_t bits = sqe->opc == LEAP_ADM_FABRICS ?
		(uint8_t)(leap_from_le32(sqe->nsid) & 3) : sqe->opc & 3;

	return (bits & 1 ? LEAP_PERM_READ : 0) |
		(bits & 2 ? LEAP_PERM_WRITE : 0);
}

/* Before Connect is answered the queue may move to another thread, and with it
 * the view: such a payload is copied and nothing stays pinned. */
static void pull_private(struct target *t, struct leap_cmd *cmd, uint32_t len)
{
	struct leap_piece *piece = &cmd->inline_pieces[0];
	uint8_t *to = t->connect_data;
	uint32_t i;

	if (perm_of(&cmd->sqe) != LEAP_PERM_READ ||
	    len > sizeof(t->connect_data)) {
		payload_put(t, cmd);
		leap_cmd_ready(cmd, LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
		return;
	}
	for (i = 0; i < cmd->nr_pieces; i++) {
		leap__copy_from_shared(to, cmd->pieces[i].addr,
				       cmd->pieces[i].len_bytes);
		to += cmd->pieces[i].len_bytes;
	}
	payload_put(t, cmd);
	*piece = (struct leap_piece){ .addr = t->connect_data,
				      .len_bytes = len };
	cmd->pieces = piece;
	cmd->nr_pieces = 1;
	leap_cmd_ready(cmd, LEAP_SC_SUCCESS);
}

static void pull_into(struct target *t, struct leap_cmd *cmd,
		      struct leap_piece *pieces, uint32_t max, int *full)
{
	leap_status_t status;
	int err;

	*full = 0;
	err = leap_ats_sgl(t->view, &cmd->sqe.sgl1, cmd->data_bytes, 0,
			   perm_of(&cmd->sqe), pieces, max, &cmd->nr_pieces,
			   &cmd->pins, &status);
	if (err == -ENOBUFS && max < ARRAY_PIECES) {
		leap_ats_release(t->view, &cmd->pins);
		*full = 1;
		return;
	}
	if (err) {
		payload_put(t, cmd);
		leap_cmd_ready(cmd, status);
		return;
	}
	cmd->pieces = pieces;
	if (t->vqp.connected)
		leap_cmd_ready(cmd, LEAP_SC_SUCCESS);
	else
		pull_private(t, cmd, cmd->data_bytes);
}

static void pull_array(struct target *t, struct leap_cmd *cmd)
{
	struct array *a = t->arrays;
	int full;

	t->arrays = a->next;
	cmd->priv[0] = (uintptr_t)a;
	pull_into(t, cmd, a->pieces, ARRAY_PIECES, &full);
}

/* Gives the array of a command back, and it to the next that waits. That one
 * may be complete, or refused, before this returns, and gives it back in turn:
 * to the loop below it on the stack, not to one more. */
void leap__shm_array_put(struct target *t, struct leap_cmd *cmd)
{
	struct array *a = (struct array *)(uintptr_t)cmd->priv[0];
	struct leap_cmd *next;

	cmd->priv[0] = 0;
	a->next = t->arrays;
	t->arrays = a;
	if (t->giving)
		return;
	t->giving = true;
	while (t->arrays && (next = t->waiting) && !t->chan.c.dead) {
		t->waiting = next->link[0];
		if (!t->waiting)
			t->waiting_tail = &t->waiting;
		pull_array(t, next);
	}
	t->giving = false;
}

void leap__shm_cmd_pull(struct leap_cmd *cmd, uint32_t len_bytes)
{
	struct target *t = of_vqp(cmd->vqp);
	int full;

	if ((cmd->sqe.flags & LEAP_SQE_PSDT_MASK) != LEAP_SQE_PSDT_SGL ||
	    !perm_of(&cmd->sqe)) {
		leap_cmd_ready(cmd, LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
		return;
	}
	pull_into(t, cmd, cmd->inline_pieces, LEAP_CMD_INLINE_PIECES, &full);
	if (!full)
		return;
	if (t->arrays) {
		pull_array(t, cmd);
		return;
	}
	cmd->link[0] = NULL;
	*t->waiting_tail = cmd;
	t->waiting_tail = &cmd->link[0];
}
