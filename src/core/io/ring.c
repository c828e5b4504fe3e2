/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parts of the NVMe rings that run once per batch or once per queue:
 * set-up, doorbells with EventIdx, and the checks of what a peer handed in.
 * What runs once per entry is inline in ring.h.  Sits below queue pairs and
 * transports; knows neither commands nor where the memory came from.
 */
#include "core/io/ring.h"

static int check_words(const leap_le32 *doorbell, const leap_le32 *eventidx)
{
	if ((uintptr_t)doorbell % sizeof(leap_le32) ||
	    (uintptr_t)eventidx % sizeof(leap_le32))
		return -EINVAL;
	return eventidx && !doorbell ? -EINVAL : 0;
}

static int check_opts(const struct leap__ring_opts *opts)
{
	if (opts->size < LEAP__RING_MIN || opts->size > LEAP__RING_MAX)
		return -EINVAL;
	if (!opts->entries || (uintptr_t)opts->entries % LEAP__CQE_BYTES)
		return -EINVAL;
	return check_words(opts->doorbell, opts->eventidx);
}

/* Controller side: both words start at the index that is known now, the shadow
 * doorbell with the mark that a host's first store wipes off. */
static void seed_words(leap_le32 *doorbell, leap_le32 *eventidx, uint16_t seen)
{
	if (doorbell)
		leap__store_relaxed(doorbell,
				    leap__cpu_to_le32(seen |
						      LEAP__RING_UNRUNG));
	if (eventidx)
		leap__store_relaxed(eventidx, leap__cpu_to_le32(seen));
}

/*
 * Store a doorbell and decide about a kick.  "before" is the value that the
 * consumer was last told.  Partners: the acquire load of the consumer's poll,
 * and the fence in arm_word().
 */
static int ring_doorbell(leap_le32 *doorbell, leap_le32 *eventidx,
			 uint16_t before, uint16_t after, bool window)
{
	uint32_t ei;

	if (!doorbell)
		return 1;
	if (window)
		leap__dma_publish();
	if (LEAP_PLANT(MISSING_RELEASE_SQ))
		leap__store_relaxed(doorbell, leap__cpu_to_le32(after));
	else
		leap__store_release(doorbell, leap__cpu_to_le32(after));
	if (!eventidx)
		return 1;
	/* Our doorbell before their EventIdx: they do the opposite. */
	if (!LEAP_PLANT(DOORBELL_NO_FENCE))
		leap__full_fence();
	ei = leap__le32_to_cpu(leap__load_relaxed(eventidx));
	return leap__eventidx_passed((uint16_t)ei, before, after);
}

/*
 * Ask for a kick as soon as the index leaves "seen".  The caller reads the
 * doorbell again afterwards: an update that came before our store was seen by
 * the producer with the old EventIdx and gave no kick.
 */
static void arm_word(leap_le32 *eventidx, uint16_t seen)
{
	leap__store_relaxed(eventidx, leap__cpu_to_le32(seen));
	if (!LEAP_PLANT(EVENTIDX_NO_FENCE))
		leap__full_fence();
}

/* Just behind "seen": the index has a whole lap to go until there. */
static void disarm_word(leap_le32 *eventidx, uint16_t seen, uint32_t size)
{
	uint32_t behind = seen ? seen - 1u : size - 1;

	if (eventidx)
		leap__store_relaxed(eventidx, leap__cpu_to_le32(behind));
}

/* ---- SQ producer ------------------------------------------------------ */

int leap__sqp_init(struct leap__sqp *sqp, const struct leap__ring_opts *opts)
{
	int rc = check_opts(opts);

	if (rc < 0)
		return rc;
	*sqp = (struct leap__sqp) {
		.entries = opts->entries,
		.doorbell = opts->doorbell,
		.eventidx = opts->eventidx,
		.size = opts->size,
		.window = opts->window,
	};
	return 0;
}

int leap__sqp_ring(struct leap__sqp *sqp)
{
	uint16_t before = sqp->rung;

	if (before == sqp->tail)
		return 0;
	sqp->rung = sqp->tail;
	return ring_doorbell(sqp->doorbell, sqp->eventidx, before, sqp->tail,
			     sqp->window);
}

/* ---- SQ consumer ------------------------------------------------------ */

int leap__sqc_init(struct leap__sqc *sqc, const struct leap__ring_opts *opts)
{
	int rc = check_opts(opts);

	if (rc < 0)
		return rc;
	*sqc = (struct leap__sqc) {
		.entries = opts->entries,
		.doorbell = opts->doorbell,
		.eventidx = opts->eventidx,
		.size = opts->size,
		.window = opts->window,
	};
	return 0;
}

void leap__sqc_restore(struct leap__sqc *sqc, uint64_t seq)
{
	sqc->seq = seq;
	sqc->head = (uint16_t)(seq % sqc->size);
	sqc->tail = sqc->head;
}

int leap__sqc_shadow(struct leap__sqc *sqc, leap_le32 *doorbell,
		     leap_le32 *eventidx)
{
	int rc = check_words(doorbell, eventidx);

	if (rc < 0)
		return rc;
	seed_words(doorbell, eventidx, sqc->tail);
	sqc->doorbell = doorbell;
	sqc->eventidx = eventidx;
	return 0;
}

int leap__sqc_trap(struct leap__sqc *sqc, uint32_t value)
{
	if ((value & 0xffff) >= sqc->size)
		return -EPROTO;
	/* The word may be newer than the posted write that announced it. */
	if (sqc->doorbell)
		return leap__sqc_poll(sqc);
	return leap__sqc_accept(sqc, (uint16_t)value);
}

int leap__sqc_arm(struct leap__sqc *sqc)
{
	if (sqc->eventidx)
		arm_word(sqc->eventidx, sqc->tail);
	if (LEAP_PLANT(EVENTIDX_NO_REREAD))
		return (int)leap__sqc_pending(sqc);
	return leap__sqc_poll(sqc);
}

void leap__sqc_disarm(struct leap__sqc *sqc)
{
	sqc->lap = sqc->tail;
	disarm_word(sqc->eventidx, sqc->tail, sqc->size);
}

/* ---- CQ producer ------------------------------------------------------ */

int leap__cqp_init(struct leap__cqp *cqp, const struct leap__ring_opts *opts)
{
	int rc = check_opts(opts);

	if (rc < 0)
		return rc;
	*cqp = (struct leap__cqp) {
		.entries = opts->entries,
		.doorbell = opts->doorbell,
		.eventidx = opts->eventidx,
		.size = opts->size,
		.phase = 1,
		.window = opts->window,
	};
	return 0;
}

int leap__cqp_restore(struct leap__cqp *cqp, uint64_t seq, uint32_t head)
{
	head &= 0xffff;
	if (head >= cqp->size)
		return -EPROTO;
	cqp->seq = seq;
	cqp->tail = (uint16_t)(seq % cqp->size);
	cqp->phase = leap__cq_phase(seq, cqp->size);
	cqp->head = (uint16_t)head;
	return 0;
}

int leap__cqp_shadow(struct leap__cqp *cqp, leap_le32 *doorbell,
		     leap_le32 *eventidx)
{
	int rc = check_words(doorbell, eventidx);

	if (rc < 0)
		return rc;
	seed_words(doorbell, eventidx, cqp->head);
	cqp->doorbell = doorbell;
	cqp->eventidx = eventidx;
	return 0;
}

/* The host consumes between its last head and our tail, nowhere else. */
static int accept_head(struct leap__cqp *cqp, uint16_t head)
{
	if (head >= cqp->size)
		return -EPROTO;
	if (leap__ring_dist(cqp->head, head, cqp->size) >
	    leap__ring_dist(cqp->head, cqp->tail, cqp->size))
		return -EPROTO;
	cqp->head = head;
	return (int)leap__cqp_room(cqp);
}

int leap__cqp_space(struct leap__cqp *cqp)
{
	uint32_t head;

	if (!cqp->doorbell)
		return (int)leap__cqp_room(cqp);
	head = leap__load_acquire(cqp->doorbell);
	if (cqp->window)
		leap__dma_observe();
	return accept_head(cqp, (uint16_t)leap__le32_to_cpu(head));
}

int leap__cqp_trap(struct leap__cqp *cqp, uint32_t value)
{
	if ((value & 0xffff) >= cqp->size)
		return -EPROTO;
	if (cqp->doorbell)
		return leap__cqp_space(cqp);
	return accept_head(cqp, (uint16_t)value);
}

int leap__cqp_arm(struct leap__cqp *cqp)
{
	if (cqp->eventidx)
		arm_word(cqp->eventidx, cqp->head);
	return leap__cqp_space(cqp);
}

void leap__cqp_disarm(struct leap__cqp *cqp)
{
	disarm_word(cqp->eventidx, cqp->head, cqp->size);
}

/* ---- CQ consumer ------------------------------------------------------ */

int leap__cqc_init(struct leap__cqc *cqc, const struct leap__ring_opts *opts)
{
	int rc = check_opts(opts);

	if (rc < 0)
		return rc;
	*cqc = (struct leap__cqc) {
		.entries = opts->entries,
		.doorbell = opts->doorbell,
		.eventidx = opts->eventidx,
		.size = opts->size,
		.phase = 1,
		.window = opts->window,
	};
	return 0;
}

int leap__cqc_ring(struct leap__cqc *cqc)
{
	uint16_t before = cqc->rung;

	if (before == cqc->head)
		return 0;
	cqc->rung = cqc->head;
	return ring_doorbell(cqc->doorbell, cqc->eventidx, before, cqc->head,
			     cqc->window);
}
