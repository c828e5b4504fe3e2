/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RDMA READ and WRITE between one piece of the peer's memory and pieces of
 * ours: the one way that payload crosses, for commands (target_data.c) and for
 * far memory (farmem_lane.c). Knows nothing of what is moved.
 */
#include "transport/rdma/conn.h"

/* Pieces of one descriptor. */
static uint32_t sges(const struct leap__rdma_conn *c, uint32_t op)
{
	uint32_t max = c->max_sge;

	if (op == LEAP__V_READ && c->dev->caps.read_sges < max)
		max = c->dev->caps.read_sges;
	return max;
}

uint32_t leap__rdma_nr_moves(const struct leap__rdma_conn *c, uint32_t op,
			     uint32_t nr)
{
	uint32_t max = sges(c, op);

	return (nr + max - 1) / max;
}

void leap__rdma_post_move(struct leap__rdma_conn *c, uint32_t op,
			  const struct leap_piece *remote,
			  const struct leap_piece *pieces, uint32_t nr,
			  uint32_t lkey, uint32_t flags)
{
	uint32_t max = sges(c, op), i = 0, k, n;
	uint64_t at = remote->remote;
	struct leap__v_sge *sge;
	struct leap__v_wr *wr;

	while (i < nr) {
		n = nr - i < max ? nr - i : max;
		wr = leap__rdma_post(c, op, n, &sge, i + n == nr ? flags : 0);
		wr->remote = at;
		wr->key = remote->key;
		for (k = 0; k < n; k++, i++) {
			sge[k].addr = (uintptr_t)pieces[i].addr;
			sge[k].len = pieces[i].len_bytes;
			sge[k].lkey = lkey;
			at += sge[k].len;
		}
	}
}
