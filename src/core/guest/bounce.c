/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bounce.c - payload in memory of the guest that only messages reach, or RDMA
 *
 * Layers below load and store, so such bytes go through buffers of the poll
 * group: fetched before the handler gets the command, or stored after it is
 * done and before its completion is posted. For a peer's memory that is one
 * RDMA READ or WRITE between it and the buffer, all of a command's at once;
 * messages go one after the other. Pieces that can be used where they are stay
 * where they are. Sits between data.c, which finds the pieces, and
 * leap_ats_read and leap_ats_write, which move bytes; must not know what a
 * command means or how bytes travel. What is under way has its command, pins
 * and buffers until it is answered, also when the queue has been closed
 * meanwhile: so the end of a queue waits. What most commands need for it is
 * allocated once and kept.
 */
#include "core/guest/queue.h"

#include <errno.h>
#include <stdlib.h>

#include "core/io/dispatch.h"

struct leap__guest_bounce;

/* Most commands have no more pieces than this; what they needed is kept. */
#define MANY	36u
#define KEPT	32u

/* One part of the payload. Those of @buf are copies of the bytes at @gpa. */
struct part {
	struct leap_ats_io io;
	struct leap__guest_bounce *bounce;
	leap_gpa_t gpa;
	void *buf;		/* NULL: used where it is */
	bool alone;		/* nothing else is moved meanwhile */
};

struct leap__guest_bounce {
	struct leap__guest_bounce *next;	/* kept */
	uint32_t max;		/* parts, pieces, bufs that there is room for */
	struct leap_cmd *cmd;
	void (*ended)(struct leap__guest_bounce *b, int err);
	int err;
	uint32_t nr_bufs;
	uint32_t nr;		/* pieces and parts */
	uint32_t at;		/* the part that is moved next */
	uint32_t under_way;
	bool out;		/* to the guest */
	bool waits;		/* for one that goes alone */
	void **bufs;
	struct leap_piece *pieces;
	struct part parts[];
};

static struct leap__guest_bounce *bounce_of(const struct leap_cmd *cmd)
{
	return (struct leap__guest_bounce *)
		(uintptr_t)cmd->priv[LEAP__GUEST_BOUNCE];
}

/* Those that may succeed when they are sent again carry no DNR. */
static leap_status_t status_of(int err)
{
	switch (err) {
	case 0:
		return LEAP_SC_SUCCESS;
	case -EBUSY:
	case -ECANCELED:
	case -ENOMEM:
	case -ECONNRESET:
	case -ETIMEDOUT:
		return LEAP_SC_DATA_TRANSFER;
	default:
		return LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR;
	}
}

static void refuse(struct leap__guest_sq *sq, struct leap_cmd *cmd,
		   leap_status_t status)
{
	leap__guest_data_put(sq, cmd);
	cmd->nr_pieces = 0;
	leap_cmd_ready(cmd, status);
}

/* ---- moving ---- */

static void moved(struct leap_ats_io *io, int err);

/* 1 there is nothing left to do, 0 it is under way; or a negative errno. */
static int move_part(struct leap__guest_bounce *b, uint32_t at)
{
	struct leap_ats_view *view = leap__guest_sq(b->cmd->vqp)->cq->view;
	struct part *p = &b->parts[at];

	if (!p->buf)
		return 1;
	p->io.gpa = p->gpa;
	p->io.buf = p->buf;
	p->io.bytes = b->pieces[at].len_bytes;
	p->io.done = moved;
	p->io.arg = p;
	return b->out ? leap_ats_write(view, &p->io) :
			leap_ats_read(view, &p->io);
}

/* As many parts as may be under way, until all are done or one has failed. */
static void move(struct leap__guest_bounce *b)
{
	int rc;

	while (b->at < b->nr && !b->waits && !b->err) {
		rc = move_part(b, b->at);
		b->err = rc < 0 ? rc : 0;
		b->under_way += !rc;
		b->waits = !rc && b->parts[b->at].alone;
		b->at++;
	}
	if (!b->under_way)
		b->ended(b, b->err);
}

static void moved(struct leap_ats_io *io, int err)
{
	struct part *p = io->arg;
	struct leap__guest_bounce *b = p->bounce;

	b->under_way--;
	if (p->alone)
		b->waits = false;
	/* Nobody wants the rest of it. */
	if (!err && leap__guest_sq(b->cmd->vqp)->halt & LEAP__SQ_CLOSED)
		err = -ECANCELED;
	if (err && !b->err)
		b->err = err;
	move(b);
}

static void fetched(struct leap__guest_bounce *b, int err)
{
	struct leap_cmd *cmd = b->cmd;
	struct leap__guest_sq *sq = leap__guest_sq(cmd->vqp);

	if (likely(!err)) {
		leap_cmd_ready(cmd, LEAP_SC_SUCCESS);
		return;
	}
	if (!(sq->halt & LEAP__SQ_CLOSED)) {
		refuse(sq, cmd, status_of(err));
		return;
	}
	leap__guest_data_put(sq, cmd);
	leap_cmd_put(cmd);
}

static void stored(struct leap__guest_bounce *b, int err)
{
	struct leap_cmd *cmd = b->cmd;

	if (unlikely(err)) {
		cmd->status = status_of(err);
		cmd->result = 0;
	}
	leap__guest_data_put(leap__guest_sq(cmd->vqp), cmd);
	leap__guest_answer(cmd);
}

static void start(struct leap__guest_bounce *b, bool out)
{
	b->out = out;
	b->ended = out ? stored : fetched;
	b->at = 0;
	b->err = 0;
	move(b);
}

/* ---- making ---- */

/* How many bytes are to be copied, or that some cannot be. */
static leap_status_t survey(struct leap__guest_sq *sq,
			    const struct leap_cmd *cmd,
			    const struct leap_piece *pieces, uint64_t *bytes)
{
	leap_gpa_t gpa;
	uint32_t i;
	int err;

	*bytes = 0;
	for (i = 0; i < cmd->nr_pieces; i++) {
		if (pieces[i].reach == LEAP_REACH_DIRECT)
			continue;
		/* Before the command is executed, not after. */
		err = leap__ats_piece(sq->cq->view, &pieces[i], &gpa);
		if (err)
			return status_of(err);
		*bytes += pieces[i].len_bytes;
	}
	return LEAP_SC_SUCCESS;
}

/*
 * Nobody has more than he leaves to the others, so that a guest which never
 * answers cannot take all; whoever has none takes what there is.
 */
static bool has_share(const struct leap__guest_sq *sq, uint32_t n)
{
	uint32_t left = leap__bufs_free(leap__dispatch(sq->vqp.pg));

	return n <= left && (!sq->nr_bufs || sq->nr_bufs + 2 * n <= left);
}

static struct leap__guest_bounce *take(struct leap__guest_sq *sq, uint32_t max)
{
	struct leap__guest_bounce *b = sq->kept;

	if (b && max <= MANY) {
		sq->kept = b->next;
		sq->nr_kept--;
		return b;
	}
	if (max < MANY)
		max = MANY;
	b = malloc(sizeof(*b) + max * (sizeof(b->parts[0]) +
		   sizeof(b->pieces[0]) + sizeof(b->bufs[0])));
	if (!b)
		return NULL;
	b->max = max;
	b->pieces = (struct leap_piece *)(void *)(b->parts + max);
	b->bufs = (void **)(void *)(b->pieces + max);
	return b;
}

static void give_back(struct leap__guest_sq *sq, struct leap__guest_bounce *b)
{
	if (b->max != MANY || sq->nr_kept == KEPT) {
		free(b);
		return;
	}
	b->next = sq->kept;
	sq->kept = b;
	sq->nr_kept++;
}

void leap__guest_bounce_fini(struct leap__guest_sq *sq)
{
	struct leap__guest_bounce *b;

	while ((b = sq->kept)) {
		sq->kept = b->next;
		free(b);
	}
}

static struct leap__guest_bounce *make(struct leap__guest_sq *sq,
				       struct leap_cmd *cmd, uint32_t nr_bufs)
{
	/* A piece that ends in another buffer than it began in is two. */
	struct leap__guest_bounce *b = take(sq, cmd->nr_pieces + nr_bufs);
	uint32_t i;

	if (!b)
		return NULL;
	b->cmd = cmd;
	b->nr = 0;
	b->under_way = 0;
	b->waits = false;
	for (i = 0; i < nr_bufs; i++)
		b->bufs[i] = leap_pollgroup_buf_get(sq->vqp.pg);
	b->nr_bufs = nr_bufs;
	sq->nr_bufs += nr_bufs;
	return b;
}

static void add_part(struct leap__guest_bounce *b, uint64_t gpa, uint8_t *buf,
		     uint32_t bytes, bool alone)
{
	struct part *p = &b->parts[b->nr];

	p->bounce = b;
	p->gpa.addr = gpa;
	p->buf = buf;
	p->alone = alone;
	b->pieces[b->nr++] = (struct leap_piece){
		.addr = buf, .len_bytes = bytes };
}

/* Copies lie one behind the other in the buffers. */
static void lay_out(struct leap__guest_bounce *b, uint32_t each,
		    const struct leap_piece *pieces, uint32_t nr)
{
	struct leap_ats_view *view = leap__guest_sq(b->cmd->vqp)->cq->view;
	uint32_t i, left, n, off;
	uint64_t used = 0;
	leap_gpa_t gpa;

	for (i = 0; i < nr; i++) {
		if (pieces[i].reach == LEAP_REACH_DIRECT) {
			b->parts[b->nr].buf = NULL;
			b->pieces[b->nr++] = pieces[i];
			continue;
		}
		leap__ats_piece(view, &pieces[i], &gpa);
		for (left = pieces[i].len_bytes; left; left -= n) {
			off = (uint32_t)(used % each);
			n = left < each - off ? left : each - off;
			add_part(b, gpa.addr, (uint8_t *)b->bufs[used / each] +
				 off, n,
				 pieces[i].reach == LEAP_REACH_MESSAGE);
			gpa.addr += n;
			used += n;
		}
	}
}

static void wait_for_bufs(struct leap__guest_sq *sq, struct leap_cmd *cmd)
{
	/* Found anew then: nothing is held by one who waits. */
	leap__guest_data_put(sq, cmd);
	leap__dispatch(sq->vqp.pg)->pool_empty++;
	cmd->link[0] = NULL;
	*sq->hungry_tail = cmd;
	sq->hungry_tail = &cmd->link[0];
	leap_vqp_starved(&sq->vqp);
}

void leap__guest_bounce(struct leap__guest_sq *sq, struct leap_cmd *cmd,
			const struct leap_piece *pieces, uint32_t perm)
{
	uint32_t each = leap_pollgroup_buf_bytes(sq->vqp.pg), n;
	struct leap__guest_bounce *b;
	leap_status_t status;
	uint64_t bytes;

	status = survey(sq, cmd, pieces, &bytes);
	if (status) {
		refuse(sq, cmd, status);
		return;
	}
	n = (uint32_t)((bytes + each - 1) / each);
	if (n > leap__dispatch(sq->vqp.pg)->nr_bufs) {
		refuse(sq, cmd, LEAP_SC_INTERNAL | LEAP_STATUS_DNR);
		return;
	}
	if (sq->hungry || !has_share(sq, n)) {
		wait_for_bufs(sq, cmd);
		return;
	}
	b = make(sq, cmd, n);
	if (!b) {
		refuse(sq, cmd, LEAP_SC_INTERNAL);
		return;
	}
	lay_out(b, each, pieces, cmd->nr_pieces);
	cmd->pieces = b->pieces;
	cmd->nr_pieces = b->nr;
	cmd->priv[LEAP__GUEST_BOUNCE] = (uintptr_t)b;
	cmd->priv[LEAP__GUEST_ARRAY] |= LEAP__GUEST_BOUNCED;
	if (perm & LEAP_PERM_READ)
		start(b, false);
	else
		leap_cmd_ready(cmd, LEAP_SC_SUCCESS);
}

/* ---- the end ---- */

bool leap__guest_bounce_store(struct leap_cmd *cmd)
{
	if (cmd->status || !(cmd->sqe.opc & 2))
		return false;
	start(bounce_of(cmd), true);
	return true;
}

void leap__guest_bounce_put(struct leap__guest_sq *sq, struct leap_cmd *cmd)
{
	struct leap__guest_bounce *b = bounce_of(cmd);
	uint32_t i;

	cmd->priv[LEAP__GUEST_ARRAY] &= ~(uint64_t)LEAP__GUEST_BOUNCED;
	for (i = 0; i < b->nr_bufs; i++)
		leap_pollgroup_buf_put(sq->vqp.pg, b->bufs[i]);
	sq->nr_bufs -= b->nr_bufs;
	give_back(sq, b);
}

void leap__guest_bounce_resume(struct leap__guest_sq *sq)
{
	struct leap_cmd *cmd, *next = sq->hungry;
	struct leap_cmd **tail = sq->hungry_tail;

	sq->hungry = NULL;
	sq->hungry_tail = &sq->hungry;
	while ((cmd = next)) {
		next = cmd->link[0];
		if (unlikely(sq->halt & LEAP__SQ_CLOSED)) {
			leap_cmd_put(cmd);
			continue;
		}
		leap__guest_pull(cmd, cmd->data_bytes);
		if (!sq->hungry || !next)
			continue;
		/* No room yet: the others stay in line behind it. */
		*sq->hungry_tail = next;
		sq->hungry_tail = tail;
		return;
	}
}

void leap__guest_bounce_forget(struct leap__guest_sq *sq)
{
	struct leap_cmd *cmd;

	while ((cmd = sq->hungry)) {
		sq->hungry = cmd->link[0];
		leap_cmd_put(cmd);
	}
	sq->hungry_tail = &sq->hungry;
}
