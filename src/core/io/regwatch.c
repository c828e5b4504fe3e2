/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands that take too long, and whether the device is well, as long as
 * commands are out.
 *
 * Every command bears the tick at which it went into the ring: the hot path
 * stores that and no more. A timer counts ticks, a second each or less, and
 * looks for commands that are too old:
 *
 *	I/O    too old --> Abort --> half the limit later: controller reset
 *	admin  too old --> controller reset
 *
 * The reset ends every queue with -ETIMEDOUT; who uses them connects again and
 * sends again what was out (host.c), or fails it. An Abort names a slot, so the
 * slot is not used again before the Abort has been answered.
 *
 * At each tick CSTS is read: all ones is a device that was pulled out, CFS one
 * that has given up, RDY 0 one that somebody else has reset. And a device with
 * shadow doorbells that has left a command alone for a tick gets the doorbell
 * itself: it may be one that does not look.
 *
 * Spec: NVMe Base 2.0 s5.1 (Abort), s9.6 (recovery)
 */
#include "core/io/regctrl.h"

#include <errno.h>
#include <string.h>

#define MS		1000000ull
#define TICKS		8u		/* of the limit, or more */
#define MAX_TICK_NS	(1000 * MS)
#define MIN_TICK_NS	(5 * MS)
#define MAX_TICKS	3000u
#define LONG		20u		/* times the limit */
#define NEVER		UINT32_MAX	/* may be out while all is idle */

static void look(struct leap__regctrl *c);

/* ---- is it well? ------------------------------------------------------- */

bool leap__regwatch_csts(struct leap__regctrl *c, uint32_t csts)
{
	if (csts == UINT32_MAX)
		leap__regctrl_refuse(c, -ENODEV, "CSTS reads as all ones: "
				     "removed");
	else if (csts & LEAP_CSTS_CFS)
		leap__regctrl_reset(c, -EIO, "CSTS.CFS: fatal status");
	else if (!(csts & LEAP_CSTS_RDY) && c->enabled &&
		 !leap__regctrl_busy(c))
		leap__regctrl_reset(c, -ECONNRESET, "CSTS.RDY is gone");
	else
		return true;
	return false;
}

static void csts_read(struct leap__regio *io, int err)
{
	struct leap__regctrl *c = io->arg;

	c->watch_busy = false;
	if (leap__regctrl_dead(c))
		return;
	if (err)
		leap__regctrl_fail(c, err);
	else if (c->enabled && !leap__regctrl_busy(c))
		leap__regwatch_csts(c, (uint32_t)io->value);
}

static void read_csts(struct leap__regctrl *c)
{
	if (c->watch_busy)
		return;
	c->watch_busy = true;
	c->watch_io = (struct leap__regio){
		.op = LEAP__REG_READ, .bytes = 4, .fd = -1,
		.offset = LEAP_REG_CSTS, .done = csts_read, .arg = c,
	};
	c->dev->ops->submit(c->dev, &c->watch_io);
}

/* ---- Abort ------------------------------------------------------------- */

static void aborted(struct leap__regcmd *cmd, leap_status_t status)
{
	struct leap__regctrl *c = cmd->arg;
	struct leap__regq *q = c->abort_q;

	/* Whatever it says: the command's own completion counts. */
	c->abort_out = false;
	c->abort_q = NULL;
	if (q)
		leap__regq_abort_over(q, c->abort_cid);
	if (c->enabled)
		look(c);
}

static void send_abort(struct leap__regctrl *c, struct leap__regq *q,
		       uint16_t cid)
{
	uint32_t name = leap_from_le16(q->slots[cid].req->sqe.cid);
	struct leap_sqe *sqe = &c->abort.req.sqe;

	c->abort_out = true;
	c->abort_q = q;
	c->abort_cid = cid;
	q->slots[cid].abort = LEAP__ABORT_OUT;
	/* Half of the limit from now. */
	q->slots[cid].tick = (uint16_t)(c->age - c->limit_ticks / 2);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opc = LEAP_ADM_ABORT;
	/* By the id of its creation, as Delete: not by the device's name. */
	sqe->cdw10 = leap_to_le32(LEAP_PUT((uint32_t)q->qp->opts.qid,
					   LEAP_ABORT_CDW10_SQID) |
				  LEAP_PUT(name, LEAP_ABORT_CDW10_CID));
	c->abort.req.nr_pieces = 0;
	c->abort.arg = c;
	leap__regctrl_admin(c, &c->abort, aborted);
}

void leap__regwatch_forget(struct leap__regq *q)
{
	if (q->c->abort_q == q)
		q->c->abort_q = NULL;
}

/* ---- too old? ---------------------------------------------------------- */

/* In ticks. Commands of our own have a timer besides, for where there is no
 * limit; it begins again with each answer, so that one may be forgotten. */
static uint32_t limit_of(const struct leap__regq *q,
			 const struct leap__regslot *slot)
{
	uint32_t limit = q->c->limit_ticks;

	if (q->c->admin != q)
		return limit;
	if (slot->own)
		return 2 * limit;
	switch (slot->req->sqe.opc) {
	case LEAP_ADM_AER:
		return NEVER;
	case LEAP_ADM_FORMAT:
	case LEAP_ADM_SANITIZE:
	case LEAP_ADM_FW_COMMIT:
	case LEAP_ADM_NS_MGMT:
		return LONG * limit;
	default:
		return slot->req->sqe.opc >= LEAP_ADM_VENDOR ? LONG * limit :
			2 * limit;
	}
}

/* True: the controller is being reset. */
static bool too_old(struct leap__regctrl *c, struct leap__regq *q,
		    uint16_t cid)
{
	struct leap__regslot *slot = &q->slots[cid];

	if (q == c->admin || slot->abort || slot->parked) {
		leap__regctrl_reset(c, -ETIMEDOUT, "queue %u, opcode %#x: no "
				    "answer in %llu ms", q->qid,
				    slot->req->sqe.opc,
				    (unsigned long long)(c->limit_ns / MS));
		return true;
	}
	if (!c->abort_out && c->admin->live)
		send_abort(c, q, cid);
	return false;
}

/* Whether a command with a limit is out; -1: the controller is being reset. */
static int look_at(struct leap__regctrl *c, struct leap__regq *q)
{
	uint32_t age, limit, cid;
	bool slow = false;
	int found = 0;

	for (cid = 0; cid < q->sq_size; cid++) {
		const struct leap__regslot *slot = &q->slots[cid];

		if (!slot->req)
			continue;
		limit = limit_of(q, slot);
		if (limit == NEVER)
			continue;
		found = 1;
		age = (uint16_t)(c->age - slot->tick);
		slow |= age > 1;
		if (age > limit && too_old(c, q, (uint16_t)cid))
			return -1;
	}
	if (slow && q->live && q->sqp.doorbell)
		c->dev->ops->doorbell(c->dev, q->sq_db, q->sqp.rung);
	return found;
}

static void look(struct leap__regctrl *c)
{
	struct leap__list *pos;
	int found = 0, r;

	leap__list_for_each(pos, &c->queues) {
		struct leap__regq *q =
			leap__list_entry(pos, struct leap__regq, link);

		q->tick = (uint16_t)c->age;
		r = look_at(c, q);
		if (r < 0)
			return;
		found |= r;
	}
	c->watch_idle = !found;
}

/* ---- ticks ------------------------------------------------------------- */

static void tick(struct leap_timer *timer)
{
	struct leap__regctrl *c =
		leap__list_entry(timer, struct leap__regctrl, watch);

	c->watching = false;
	if (leap__regctrl_dead(c) || c->state == LEAP__REGCTRL_ENDING)
		return;
	c->age++;
	look(c);
	if (c->watch_idle || leap__regctrl_dead(c) ||
	    c->state == LEAP__REGCTRL_ENDING)
		return;
	if (c->enabled && !leap__regctrl_busy(c))
		read_csts(c);
	leap__regwatch_start(c);
}

void leap__regwatch_init(struct leap__regctrl *c, uint32_t timeout_ms)
{
	c->watch.run = tick;
	c->limit_ns = timeout_ms == UINT32_MAX ? 0 : timeout_ms * MS;
	c->tick_ns = c->limit_ns / TICKS;
	if (c->tick_ns < MIN_TICK_NS)
		c->tick_ns = MIN_TICK_NS;
	if (c->tick_ns > MAX_TICK_NS)
		c->tick_ns = MAX_TICK_NS;
	/* Ages are 16 bits wide. */
	if (c->tick_ns < c->limit_ns / MAX_TICKS)
		c->tick_ns = c->limit_ns / MAX_TICKS;
	c->limit_ticks = (uint32_t)((c->limit_ns + c->tick_ns - 1) /
				    c->tick_ns);
}

void leap__regwatch_start(struct leap__regctrl *c)
{
	if (!c->limit_ns)
		return;
	c->watching = true;
	c->watch_idle = false;
	leap_timer_start(c->pg, &c->watch, c->tick_ns);
}

void leap__regwatch_stop(struct leap__regctrl *c)
{
	leap_timer_stop(c->pg, &c->watch);
	c->watching = false;
}
