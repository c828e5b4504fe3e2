/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * resume.c - a queue goes on where a predecessor was killed
 *
 * In the order of core/io/record.h: the records of all submission queues that
 * share a completion queue are read, the rings take their places from them,
 * answers that were decided are posted, the vector is raised once, and what was
 * fetched is delivered again before anything new. Trusts no word of the state
 * memory: whoever wrote it was another process.
 */
#include "core/guest/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"

/* Slots of a queue that has no record. */
#define SLOTS_MAX 1024u

/* As the record says; leap__slots_attach and _recover hold it to the rest. */
static uint32_t record_slots(const struct leap_record_header *h,
			     uint64_t bytes)
{
	uint32_t nr = leap__le32_to_cpu(leap__load_relaxed(&h->nr_slots));
	size_t need = leap_record_bytes(nr);

	return need && need <= bytes ? nr : 0;
}

static int recover(struct leap__guest_sq *sq,
		   const struct leap__record_where *where)
{
	struct leap__guest_cq *cq = sq->cq;
	int err;

	if (!(cq->halt & LEAP__CQ_UNRESTORED))
		return leap__err(-EINVAL, "leap__guest_vqp_create: queue %u "
				 "resumes on completion queue %u, which does "
				 "not", sq->desc.qid, sq->desc.cqid);
	if (!cq->cqp.entries)
		return -EFAULT;
	sq->rec.redo = calloc(sq->slots.nr, sizeof(*sq->rec.redo));
	if (!sq->rec.redo)
		return -ENOMEM;
	sq->rec.cqes = cq->cqp.entries;
	err = leap__slots_recover(&sq->slots, where, &sq->rec);
	if (err)
		return err;
	leap__sqc_restore(&sq->sqc, sq->rec.sq_seq);
	sq->resumed = true;
	return 0;
}

int leap__guest_record(struct leap__guest_sq *sq,
		       const struct leap__guest_rerun *rerun)
{
	const struct leap_qp_desc *d = &sq->desc;
	struct leap__record_where where = {
		.bytes = d->record_bytes,
		.sq_size = d->sq_depth, .cq_size = sq->cq->desc.depth,
		.sqid = d->qid, .cqid = d->cqid, .window = sq->guest->window,
	};
	uint32_t nr = d->sq_depth < SLOTS_MAX ? d->sq_depth : SLOTS_MAX;
	int err;

	if (d->record_bytes) {
		where.mem = leap__guest_state(sq->guest, d->record,
					      d->record_bytes);
		if (!where.mem || d->record_bytes < LEAP_RECORD_HEADER_BYTES)
			return leap__err(-EINVAL, "leap__guest_vqp_create: "
					 "record %#llx + %#llx is not in state "
					 "memory",
					 (unsigned long long)d->record,
					 (unsigned long long)d->record_bytes);
		nr = record_slots(where.mem, d->record_bytes);
		if (!nr)
			return -EPROTO;
	} else if (d->flags & LEAP_QPD_RESUME) {
		return leap__err(-EINVAL, "leap__guest_vqp_create: queue %u "
				 "resumes without a record", d->qid);
	}
	err = leap__slots_init(&sq->slots, nr);
	if (err || !where.mem)
		return err;
	if (!(d->flags & LEAP_QPD_RESUME))
		return leap__slots_attach(&sq->slots, &where);
	if (rerun) {
		sq->rec.may_rerun = rerun->may;
		sq->rec.arg = rerun->arg;
	}
	return recover(sq, &where);
}

/* ---- the completion queue ---- */

/*
 * Where the ring goes on. Records know the places of their own entries only;
 * entries of queues that are gone count by desc.seq, or by the word that says
 * how many were posted, which is at most one behind.
 */
static uint64_t next_place(const struct leap__guest_cq *cq, bool *signal)
{
	uint32_t posted = leap__le32_to_cpu(leap__load_relaxed(
							&cq->db->posted));
	uint64_t seq = cq->desc.seq;
	const struct leap__list *pos;

	leap__list_for_each(pos, &cq->sqs) {
		const struct leap__guest_sq *sq =
			leap__list_entry(pos, struct leap__guest_sq, link);

		if (!sq->resumed)
			continue;
		if (sq->rec.cq_seq > seq)
			seq = sq->rec.cq_seq;
		*signal |= sq->rec.signal;
	}
	posted -= (uint32_t)seq;
	return posted < 1u << 31 ? seq + posted : seq;
}

static int restore(struct leap__guest_cq *cq, bool *signal)
{
	uint64_t seq = next_place(cq, signal);
	struct leap__list *pos;
	uint32_t head;
	int err;

	head = leap__le32_to_cpu(leap__load_acquire(cq->cqp.doorbell));
	/* No head at all counts as a ring without room. */
	if ((head & 0xffff) >= cq->desc.depth)
		head = (uint32_t)((seq + 1) % cq->desc.depth);
	err = leap__cqp_restore(&cq->cqp, seq, head);
	leap__list_for_each(pos, &cq->sqs) {
		struct leap__guest_sq *sq =
			leap__list_entry(pos, struct leap__guest_sq, link);

		if (err < 0)
			break;
		if (!sq->resumed)
			continue;
		sq->resumed = false;
		err = leap__slots_repost(&sq->slots, &sq->rec, &sq->sqc,
					 &cq->cqp);
	}
	leap__store_release(&cq->db->posted,
			    leap__cpu_to_le32((uint32_t)cq->cqp.seq));
	return err < 0 ? -EPROTO : 0;
}

int leap__guest_cq_restored(struct leap__guest_cq *cq)
{
	struct leap__list *pos, *tmp;
	bool signal = false;
	int err;

	if (!(cq->halt & LEAP__CQ_UNRESTORED))
		return 0;
	leap__list_for_each(pos, &cq->sqs) {
		const struct leap__guest_sq *sq =
			leap__list_entry(pos, struct leap__guest_sq, link);

		if ((sq->desc.flags & LEAP_QPD_SHADOW) && !sq->mem.shadow)
			return leap__err(-EINVAL, "leap__guest_cq_restored: "
					 "queue %u has shadow doorbells, and "
					 "nobody said where", sq->desc.qid);
	}
	cq->restore_late = cq->halt & LEAP__CQ_NO_MEMORY;
	if (cq->restore_late)
		return 0;
	err = restore(cq, &signal);
	cq->halt &= ~(uint32_t)LEAP__CQ_UNRESTORED;
	if (err) {
		leap__list_for_each_safe(pos, tmp, &cq->sqs)
			leap__guest_fatal(leap__list_entry(pos,
					  struct leap__guest_sq, link), err);
		return err;
	}
	/* Wanted or not: the predecessor's interrupt may have died with it. */
	if (signal)
		leap__guest_signal(cq);
	return 0;
}

/* ---- commands ---- */

static void redo_ends(struct leap__guest_sq *sq)
{
	free(sq->rec.redo);
	sq->rec.redo = NULL;
	sq->rec.nr = 0;
	sq->redo_at = 0;
}

int leap__guest_redo(struct leap__guest_sq *sq)
{
	const uint32_t wait = ~(uint32_t)LEAP__SQ_DRAINING;
	struct leap__redo *r;
	struct leap_cmd *cmd;
	int n = 0;

	while (leap__guest_has_redo(sq) && !(sq->halt & wait) &&
	       !sq->cq->halt) {
		cmd = leap_cmd_get(&sq->vqp);
		if (!cmd) {
			sq->halt |= LEAP__SQ_STARVED;
			return n;
		}
		r = &sq->rec.redo[sq->redo_at++];
		memcpy(&cmd->sqe, r->sqe, sizeof(cmd->sqe));
		cmd->priv[LEAP__GUEST_ARRAY] = 0;
		cmd->priv[LEAP__GUEST_TAG] = r->tag;
		cmd->flags = LEAP_CMD_AGAIN;
		n++;
		if (r->act == LEAP__REDO_RUN) {
			leap__guest_begin(sq, cmd, r->tag);
			continue;
		}
		cmd->status = LEAP_SC_INTERNAL | LEAP_STATUS_DNR;
		leap__guest_post(sq->cq, cmd);
	}
	if (!leap__guest_has_redo(sq) && sq->rec.redo) {
		redo_ends(sq);
		if (sq->halt & LEAP__SQ_DRAINING)
			leap__guest_drained(sq);
	}
	return n;
}
