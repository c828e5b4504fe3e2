/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compare and Write, fused: two commands that lie next to each other in a queue
 * and are done as one, or not at all.
 *
 * A first half waits for what the queue brings next: while it does, another
 * handler stands behind the queue pair, so that commands which are not fused
 * pay nothing. Pairs of a queue are done one after the other, so that none
 * waits for room for its payload while others hold it. A stack that takes
 * LEAP_BIO_COMPARE_WRITE gets the pair as one operation; what claims.c has to
 * do with others is one compare and one write.
 *
 *	arrives -> lone -> waits -> PULL_FIRST, _SECOND -> claim -> in leaves
 *
 * Spec: NVMe Base 2.0 s3.4.2, s6.2 (Fused Operations); NVM Command Set 1.0
 * s2.1.4 (ACWU)
 */
#include "core/ctrl/iogroup.h"

#include <string.h>

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

#define ACWU_LBAS	1u	/* as Identify says, which is 0's based */
#define LONE_NS		1000000000u
#define LONE_WAITS	10u	/* while there may be no room for the second */

enum stage {
	IDLE = 0,
	PULL_FIRST,
	PULL_SECOND,
	STARTED,
};

static unsigned int fuse(const struct leap_cmd *cmd)
{
	return cmd->sqe.flags & LEAP_SQE_FUSE_MASK;
}

static struct leap_cmd *second_of(struct leap_cmd *first)
{
	return first->owner;
}

static void drive(struct leap__ioqp *q);

/* ---- ends ---- */

/* Of the two, the one that has nothing wrong goes with the other. */
static void complete_half(struct leap_cmd *cmd, leap_status_t status)
{
	leap_status_t code = LEAP_STATUS_CODE(status);

	if (code == LEAP_SC_ABORT_FUSED_FAILED ||
	    code == LEAP_SC_ABORT_SQ_DELETED ||
	    code == LEAP_SC_ABORT_REQUESTED)
		leap_cmd_complete(cmd, status);
	else
		leap__io_complete(cmd, status);
}

static void complete(struct leap_cmd *first, leap_status_t status1,
		     struct leap_cmd *second, leap_status_t status2)
{
	if (status1 && !status2)
		status2 = DNR(LEAP_SC_ABORT_FUSED_FAILED);
	else if (status2 && !status1)
		status1 = DNR(LEAP_SC_ABORT_FUSED_FAILED);
	complete_half(first, status1);
	complete_half(second, status2);
}

/* The pair under way is none any more. */
static void end(struct leap__ioqp *q, leap_status_t status1,
		leap_status_t status2)
{
	struct leap__fused *f = &q->fused;
	struct leap_cmd *first = f->first, *second = f->second;

	if (f->in_leaf) {
		q->group->inflight[first->tag] = NULL;
		q->nr_in--;
	}
	f->in_leaf = 0;
	f->first = f->second = NULL;
	f->stage = IDLE;
	leap__claim_end(q);
	complete(first, status1, second, status2);
	drive(q);
}

void leap__fused_dropped(struct leap__ioqp *q, leap_status_t status)
{
	end(q, LEAP_STATUS_CODE(status) == LEAP_SC_ABORT_REQUESTED ? 0 : status,
	    status);
}

/* ---- payload ---- */

static void start(struct leap__ioqp *q)
{
	struct leap__fused *f = &q->fused;
	struct leap__iocmd *io = leap__iocmd(f->second);
	struct leap__ions *ns;

	ns = leap__io_ns(q, leap_from_le32(f->second->sqe.nsid));
	if (!ns || !leap__io_fuses(ns)) {
		end(q, DNR(LEAP_SC_INVALID_NS), 0);
		return;
	}
	memset(io, 0, sizeof(*io));
	io->kind = LEAP__IOC_FUSED;
	io->range.slba = leap_sqe_slba(&f->second->sqe);
	io->range.nr_lbas = leap_sqe_nlb(&f->second->sqe);
	f->expect.pieces = f->first->pieces;
	f->expect.nr_pieces = f->first->nr_pieces;
	f->expect.sqe = &f->first->sqe;
	f->stage = STARTED;
	leap__io_start(q, ns, f->second);
}

/* Late, for a queue that has ended meanwhile. */
static int is_stale(const struct leap__ioqp *q, struct leap_cmd *cmd,
		    uint32_t stage)
{
	const struct leap__fused *f = &q->fused;

	if (f->stage == stage && (f->first == cmd || f->second == cmd))
		return 0;
	leap_cmd_complete(cmd, LEAP_SC_ABORT_SQ_DELETED);
	return 1;
}

static void second_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ioqp *q = cmd->vqp->handler_priv;

	if (is_stale(q, cmd, PULL_SECOND))
		return;
	if (status)
		end(q, 0, status);
	else
		start(q);
}

static void first_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ioqp *q = cmd->vqp->handler_priv;
	struct leap__fused *f = &q->fused;

	if (is_stale(q, cmd, PULL_FIRST))
		return;
	if (status) {
		end(q, status, 0);
		return;
	}
	f->stage = PULL_SECOND;
	leap_cmd_pull(f->second, f->bytes, second_ready);
}

/* The next pair of a queue. A leaf may end one before this returns. */
static void drive(struct leap__ioqp *q)
{
	struct leap__fused *f = &q->fused;
	const struct leap__ions *ns;

	if (f->driving)
		return;
	f->driving = 1;
	while (!f->first && (f->first = leap__cmds_pop(&f->pairs))) {
		f->second = second_of(f->first);
		ns = leap__io_ns(q, leap_from_le32(f->first->sqe.nsid));
		f->stage = PULL_FIRST;
		if (!ns) {
			end(q, DNR(LEAP_SC_INVALID_NS), 0);
			continue;
		}
		f->bytes = leap_sqe_nlb(&f->first->sqe) << ns->lba_shift;
		leap_cmd_pull(f->first, f->bytes, first_ready);
	}
	f->driving = 0;
}

/* ---- arrival ---- */

static int same_range(const struct leap_sqe *a, const struct leap_sqe *b)
{
	return leap_from_le32(a->nsid) == leap_from_le32(b->nsid) &&
	       leap_sqe_slba(a) == leap_sqe_slba(b) &&
	       leap_sqe_nlb(a) == leap_sqe_nlb(b);
}

/* What is wrong with a pair as such: then with both. */
static leap_status_t check_pair(const struct leap__ioqp *q,
				const struct leap_sqe *a,
				const struct leap_sqe *b)
{
	const struct leap__ions *ns = leap__io_ns(q, leap_from_le32(a->nsid));

	if (b->opc != LEAP_NVM_WRITE || !same_range(a, b) ||
	    (ns && !leap__io_fuses(ns)))
		return DNR(LEAP_SC_INVALID_FIELD);
	return 0;
}

static void pair(struct leap__ioqp *q, struct leap_cmd *first,
		 struct leap_cmd *second)
{
	leap_status_t status1, status2;

	status1 = status2 = check_pair(q, &first->sqe, &second->sqe);
	if (!status1)
		status1 = leap__io_check_half(q, &first->sqe);
	if (!status1)
		status2 = leap__io_check_half(q, &second->sqe);
	if (!status1 && !status2 && leap_sqe_nlb(&first->sqe) > ACWU_LBAS)
		status1 = status2 = DNR(LEAP_SC_ATOMIC_UNIT);
	if (status1 || status2) {
		complete(first, status1, second, status2);
		return;
	}
	first->owner = second;
	leap__cmds_push(&q->fused.pairs, first);
	drive(q);
}

static struct leap_cmd *take_lone(struct leap__ioqp *q)
{
	struct leap_cmd *first = q->fused.lone;

	q->fused.lone = NULL;
	leap_timer_stop(q->group->pg, &q->fused.timer);
	if (q->vqp->handler == &leap__io_fused_handler)
		q->vqp->handler = &leap__io_handler;
	return first;
}

void leap__fused_next(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	struct leap__ioqp *q = vqp->handler_priv;
	struct leap_cmd *first = take_lone(q);

	if (fuse(cmd) == LEAP_SQE_FUSE_SECOND) {
		q->nr_seen++;
		pair(q, first, cmd);
		return;
	}
	leap__io_fail(first, DNR(LEAP_SC_ABORT_FUSED_MISSING));
	leap__io_execute(vqp, cmd);
}

/* There may be no slot for the second while others are in leaves. */
static void lone_over(struct leap_timer *timer)
{
	struct leap__ioqp *q = leap__list_entry(timer, struct leap__ioqp,
						fused.timer);
	struct leap__fused *f = &q->fused;

	if ((q->vqp->starved || q->vqp->nr_cmds > 1) &&
	    ++f->waits < LONE_WAITS) {
		leap_timer_start(q->group->pg, timer, LONE_NS);
		return;
	}
	leap__io_fail(take_lone(q), DNR(LEAP_SC_ABORT_FUSED_MISSING));
}

static void wait_for_second(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	q->fused.lone = cmd;
	q->fused.waits = 0;
	q->fused.timer.run = lone_over;
	leap_timer_start(q->group->pg, &q->fused.timer, LONE_NS);
	q->vqp->handler = &leap__io_fused_handler;
}

void leap__io_fused(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	const struct leap__ions *ns =
		leap__io_ns(q, leap_from_le32(cmd->sqe.nsid));
	int can = !ns || leap__io_fuses(ns);

	if (can && fuse(cmd) == LEAP_SQE_FUSE_FIRST &&
	    cmd->sqe.opc == LEAP_NVM_COMPARE)
		wait_for_second(q, cmd);
	else if (can && fuse(cmd) == LEAP_SQE_FUSE_SECOND &&
		 cmd->sqe.opc == LEAP_NVM_WRITE)
		leap__io_fail(cmd, DNR(LEAP_SC_ABORT_FUSED_MISSING));
	else
		leap__io_fail(cmd, DNR(LEAP_SC_INVALID_FIELD));
}

void leap__fused_init(struct leap__ioqp *q)
{
	memset(&q->fused, 0, sizeof(q->fused));
	leap__cmds_init(&q->fused.pairs);
	leap__list_init(&q->fused.link);
}

/* ---- steps ---- */

enum {
	BEGIN = 0,	/* no orphan is in the way */
	COMPARED,
	WRITTEN,
	DONE,		/* by a stack that does it all */
};

/* From here on a successor must not run the pair again. */
static void about_to_write(struct leap__ioqp *q)
{
	if (!q->guest)
		return;
	leap__guest_note(q->fused.first, LEAP__FUSED_WRITES);
	leap__guest_note(q->fused.second, LEAP__FUSED_WRITES);
}

static uint8_t write_flags(const struct leap__ioqp *q,
			   const struct leap_cmd *cmd)
{
	return q->write_through || leap_from_le32(cmd->sqe.cdw12) &
	       LEAP_IO_CDW12_FUA ? LEAP_BIO_FUA : 0;
}

/* The first half's payload is in use too, for who wants memory back. */
static int issue(struct leap__ioqp *q, struct leap__ions *ns, uint8_t op,
		 const struct leap_piece *pieces, uint32_t nr_pieces)
{
	struct leap__fused *f = &q->fused;
	struct leap__iocmd *io = leap__iocmd(f->second);

	if (!f->in_leaf) {
		f->in_leaf = 1;
		f->first->owner = ns;
		q->group->inflight[f->first->tag] = f->first;
		q->nr_in++;
	}
	io->bio_flags = op == LEAP_BIO_COMPARE || op == LEAP_BIO_READ ? 0 :
			write_flags(q, f->second);
	return leap__io_issue(q, ns, f->second, op, io->range.slba,
			      io->range.nr_lbas, pieces, nr_pieces);
}

static int issue_compare(struct leap__ioqp *q, struct leap__ions *ns)
{
	struct leap__iogroup *g = q->group;

	if (ns->caps & LEAP_BDEV_COMPARE)
		return issue(q, ns, LEAP_BIO_COMPARE, q->fused.expect.pieces,
			     q->fused.expect.nr_pieces);
	memset(&g->claim_piece, 0, sizeof(g->claim_piece));
	g->claim_piece.addr = g->claim_block;
	g->claim_piece.len_bytes = q->fused.bytes;
	return issue(q, ns, LEAP_BIO_READ, &g->claim_piece, 1);
}

static int issue_write(struct leap__ioqp *q, struct leap__ions *ns, uint8_t op)
{
	about_to_write(q);
	return issue(q, ns, op, q->fused.second->pieces,
		     q->fused.second->nr_pieces);
}

static int ended(struct leap__ioqp *q, leap_status_t status1,
		 leap_status_t status2)
{
	end(q, status1, status2);
	return 0;
}

static int begin(struct leap__ioqp *q, struct leap__ions *ns,
		 struct leap_cmd *cmd)
{
	struct leap__iocmd *io = leap__iocmd(cmd);

	if (leap__io_fuses_below(ns)) {
		io->step = DONE;
		return issue_write(q, ns, LEAP_BIO_COMPARE_WRITE);
	}
	if (!leap__claim_begin(q, ns)) {
		/* Again when there is an answer. */
		io->stepping = 0;
		return 0;
	}
	io->step = COMPARED;
	return issue_compare(q, ns);
}

int leap__fused_step(struct leap__ioqp *q, struct leap__ions *ns,
		     struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__iocmd *io = leap__iocmd(cmd);
	uint64_t which = cmd->result;

	cmd->result = 0;
	if (q->state == LEAP__IOQP_ENDED && io->step < WRITTEN)
		return ended(q, LEAP_SC_ABORT_SQ_DELETED,
			     LEAP_SC_ABORT_SQ_DELETED);
	switch (io->step) {
	case BEGIN:
		return begin(q, ns, cmd);
	case COMPARED:
		if (!status && !(ns->caps & LEAP_BDEV_COMPARE) &&
		    !leap__io_same(q->fused.first, 0, q->group->claim_block,
				   q->fused.bytes))
			status = LEAP_SC_COMPARE_FAILED;
		if (status)
			return ended(q, status, 0);
		io->step = WRITTEN;
		return issue_write(q, ns, LEAP_BIO_WRITE);
	case WRITTEN:
		return ended(q, 0, status);
	default:
		/* One that is equal and could not be written. */
		if (status && which &&
		    LEAP_STATUS_CODE(status) != LEAP_SC_COMPARE_FAILED)
			return ended(q, 0, status);
		return ended(q, status, 0);
	}
}

void leap__fused_no_bio(struct leap__ioqp *q)
{
	end(q, LEAP_SC_NS_NOT_READY, LEAP_SC_NS_NOT_READY);
}

/* ---- aborts ---- */

static leap_status_t abort_status(const struct leap_cmd *cmd, int32_t cid)
{
	if (cid < 0)
		return LEAP_SC_ABORT_SQ_DELETED;
	return leap_from_le16(cmd->sqe.cid) == cid ? LEAP_SC_ABORT_REQUESTED :
						     0;
}

static uint32_t abort_pairs(struct leap__ioqp *q, int32_t cid)
{
	struct leap_cmd **at = &q->fused.pairs.head, *first;
	leap_status_t status1, status2;
	uint32_t found = 0;

	while ((first = *at)) {
		status1 = abort_status(first, cid);
		status2 = abort_status(second_of(first), cid);
		if (!status1 && !status2) {
			at = &first->link[0];
			continue;
		}
		leap__cmds_take_at(&q->fused.pairs, at);
		complete(first, status1, second_of(first), status2);
		found++;
	}
	return found;
}

/* The queue ends, and what is being pulled is the transport's to put. */
static void abandon(struct leap__ioqp *q)
{
	struct leap__fused *f = &q->fused;
	struct leap_cmd *left = f->stage == PULL_FIRST ? f->second : f->first;

	f->first = f->second = NULL;
	f->stage = IDLE;
	leap_cmd_complete(left, LEAP_SC_ABORT_SQ_DELETED);
}

uint32_t leap__fused_abort(struct leap__ioqp *q, int32_t cid)
{
	struct leap__fused *f = &q->fused;
	leap_status_t status1, status2;
	uint32_t found = 0;

	if (f->lone && abort_status(f->lone, cid)) {
		struct leap_cmd *first = take_lone(q);

		leap_cmd_complete(first, abort_status(first, cid));
		found++;
	}
	found += abort_pairs(q, cid);
	if (!f->first)
		return found;
	if (cid < 0 && (f->stage == PULL_FIRST || f->stage == PULL_SECOND)) {
		abandon(q);
		return found + 1;
	}
	status1 = abort_status(f->first, cid);
	status2 = abort_status(f->second, cid);
	if ((status1 || status2) && leap__claim_waits(q)) {
		end(q, status1, status2);
		found++;
	}
	return found;
}

void leap__fused_drain(struct leap__ioqp *q)
{
	struct leap_cmd *first;

	if (!q->fused.lone)
		return;
	first = take_lone(q);
	if (q->guest) {
		leap__io_fail(first, DNR(LEAP_SC_ABORT_FUSED_MISSING));
		return;
	}
	/* As whatever else arrives too late. */
	first->link[0] = q->parked;
	q->parked = first;
}
