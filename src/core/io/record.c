/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Slots and the writing side of the in-flight record: one function through
 * which every command passes from fetched to completed.  Sits between the
 * rings and the controller's I/O half.  Must not know what a command means,
 * and never reads the shared record back: that is recover.c.
 */
#include "core/io/record.h"

#include <stdlib.h>

/* One body, and a copy of it for each step, with what does not apply gone. */
#define STEP static inline __attribute__((always_inline))

int leap__slots_init(struct leap__slots *s, uint32_t nr)
{
	uint32_t i;

	if (!nr || nr > LEAP_RECORD_SLOTS_MAX)
		return -EINVAL;
	*s = (struct leap__slots) { .nr = nr, .nr_free = nr };
	s->slot = calloc(nr, sizeof(*s->slot));
	s->free = calloc(nr, sizeof(*s->free));
	if (!s->slot || !s->free) {
		leap__slots_fini(s);
		return -ENOMEM;
	}
	/* A stack: tag 0 first, and the cache-warm one again soon. */
	for (i = 0; i < nr; i++)
		s->free[i] = (uint16_t)(nr - 1 - i);
	return 0;
}

void leap__slots_fini(struct leap__slots *s)
{
	free(s->slot);
	free(s->free);
	*s = (struct leap__slots) { .nr = 0 };
}

void leap__slots_detach(struct leap__slots *s)
{
	s->shared = NULL;
}

/* One slot: our own word of it, and its place in the record, if there is
 * one. */
struct place {
	struct leap__slot *own;
	struct leap_record_slot *shared;
	bool window;
};

STEP struct place place_of(const struct leap__slots *s, uint16_t tag)
{
	return (struct place) {
		.own = &s->slot[tag],
		.shared = s->shared ? &s->shared[tag] : NULL,
		.window = s->window,
	};
}

/*
 * Publish a state together with the sequence number it is about.  Release:
 * whatever the state promises is visible first.  Partner: the acquire loads
 * of recover.c.
 */
STEP void store_control(struct place at, uint64_t seq,
			enum leap_record_state state)
{
	uint64_t v = (seq + 1) << LEAP_RECORD_STATE_BITS | (uint64_t)state;

	if (!at.shared)
		return;
	if (LEAP_PLANT(RECORD_LATE_STATE)) {
		leap__store_relaxed(&at.shared->control, leap__cpu_to_le64(v));
		return;
	}
	if (at.window)
		leap__dma_publish();
	leap__store_release(&at.shared->control, leap__cpu_to_le64(v));
}

STEP void step_fetched(struct place at, const struct leap__slot_step *step)
{
	*at.own = (struct leap__slot) {
		.seq = step->seq, .state = LEAP_RECORD_FETCHED,
	};
	if (!at.shared)
		return;
	leap__store_relaxed(&at.shared->note, 0);
	leap__copy_to_shared(at.shared->sqe, step->sqe, LEAP__SQE_BYTES);
	LEAP_POINT(BEFORE_FETCHED);
	store_control(at, step->seq, LEAP_RECORD_FETCHED);
}

/*
 * What comes next may change media or guest memory.  Stores of this process
 * that it made before it was killed are all visible to whoever comes after
 * it; across a window some may be lost, hence the barrier.
 */
STEP void step_issued(struct place at)
{
	at.own->state = LEAP_RECORD_ISSUED;
	store_control(at, at.own->seq, LEAP_RECORD_ISSUED);
	if (at.shared && at.window && !LEAP_PLANT(RECORD_ISSUED_LATE))
		leap__dma_publish();
}

/* The answer and its place, before anything says that they are there. */
STEP void step_completing(struct place at, const struct leap__slot_step *step)
{
	if (!at.shared || LEAP_PLANT(RECORD_NO_COMPLETING))
		return;
	leap__store_relaxed(&at.shared->result, leap__cpu_to_le64(
		step->cqe->dw0 | (uint64_t)step->cqe->dw1 << 32));
	leap__store_relaxed(&at.shared->status, leap__cpu_to_le32(
		step->cqe->status));
	leap__store_relaxed(&at.shared->cq,
			    leap__cpu_to_le64(step->cqp->seq + 1));
	store_control(at, at.own->seq, LEAP_RECORD_COMPLETING);
}

STEP void step_free(struct leap__slots *s, uint16_t tag, struct place at)
{
	at.own->state = LEAP_RECORD_FREE;
	s->free[s->nr_free++] = tag;
	store_control(at, at.own->seq, LEAP_RECORD_FREE);
}

/* May a slot go from one state to another, and is the step complete? */
STEP bool step_is_legal(const struct leap__slots *s, uint16_t tag,
			  const struct leap__slot_step *step)
{
	uint8_t from;

	if (tag >= s->nr)
		return false;
	from = s->slot[tag].state;
	switch (step->to) {
	case LEAP_RECORD_FETCHED:
		/* The tag on top of the stack, so that it can be popped. */
		return from == LEAP_RECORD_FREE && s->nr_free &&
		       s->free[s->nr_free - 1] == tag && step->sqe;
	case LEAP_RECORD_ISSUED:
		return from == LEAP_RECORD_FETCHED;
	case LEAP_RECORD_COMPLETING:
		return from != LEAP_RECORD_FREE && step->cqp && step->cqe;
	case LEAP_RECORD_FREE:
		return from != LEAP_RECORD_FREE;
	default:
		return false;
	}
}

/* Of a step that is legal. */
STEP int take_step(struct leap__slots *s, uint16_t tag,
		   const struct leap__slot_step *step)
{
	struct place at = place_of(s, tag);

	/*
	 * A release store orders what came before it, not what follows: across
	 * a window the first words of this step could otherwise overtake the
	 * last ones of the step before, in this slot (a new SQE under an old
	 * state) or another (a CQ place beyond one that was never reached).
	 */
	if (at.shared && at.window && !LEAP_PLANT(RECORD_STEPS_OVERTAKE))
		leap__dma_publish();
	switch (step->to) {
	case LEAP_RECORD_FETCHED:
		s->nr_free--;
		step_fetched(at, step);
		break;
	case LEAP_RECORD_ISSUED:
		step_issued(at);
		break;
	case LEAP_RECORD_COMPLETING:
		if (!leap__cqp_room(step->cqp))
			return -EAGAIN;
		step_completing(at, step);
		LEAP_POINT(COMPLETING);
		if (LEAP_PLANT(RECORD_EARLY_FREE)) {
			step_free(s, tag, at);
			leap__cqp_post(step->cqp, step->cqe);
			break;
		}
		leap__cqp_post(step->cqp, step->cqe);
		LEAP_POINT(CQE_VISIBLE);
		step_free(s, tag, at);
		break;
	case LEAP_RECORD_FREE:
		step_free(s, tag, at);
		break;
	}
	return 0;
}

STEP int advance(struct leap__slots *s, uint16_t tag,
		 const struct leap__slot_step *step)
{
	return step_is_legal(s, tag, step) ? take_step(s, tag, step) : -EINVAL;
}

int leap__slot_advance(struct leap__slots *s, uint16_t tag,
		       const struct leap__slot_step *step)
{
	return advance(s, tag, step);
}

int leap__slot_fetch(struct leap__slots *s, struct leap__sqc *sqc, void *sqe)
{
	struct leap__slot_step step = {
		.to = LEAP_RECORD_FETCHED, .sqe = sqe,
	};
	uint16_t tag;

	if (__builtin_expect(!s->nr_free, 0))
		return -EAGAIN;
	tag = s->free[s->nr_free - 1];
	if (!step_is_legal(s, tag, &step))
		return -EINVAL;
	step.seq = leap__sqc_take(sqc, sqe);
	take_step(s, tag, &step);
	return tag;
}

int leap__slot_issue(struct leap__slots *s, uint16_t tag)
{
	const struct leap__slot_step step = { .to = LEAP_RECORD_ISSUED };

	return advance(s, tag, &step);
}

int leap__slot_complete(struct leap__slots *s, uint16_t tag,
			struct leap__cqp *cqp, const struct leap__cqe *cqe)
{
	const struct leap__slot_step step = {
		.to = LEAP_RECORD_COMPLETING, .cqp = cqp, .cqe = cqe,
	};

	return advance(s, tag, &step);
}

void leap__slot_note(struct leap__slots *s, uint16_t tag, uint64_t note)
{
	if (!s->shared || tag >= s->nr)
		return;
	leap__store_relaxed(&s->shared[tag].note, leap__cpu_to_le64(note));
	leap__dma_publish();
}
