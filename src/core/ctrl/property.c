/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state machine of a controller, reached through its properties: fabrics
 * commands and registers in memory are two ways to the same functions.
 *
 *	EN 0->1: check settings ---> RDY        (or CFS)
 *	EN 1->0: delete I/O queues, forget events and features ---> not RDY
 *	SHN:     SHST 01, flush every namespace ---> SHST 10
 *
 * Knows no commands and no connections beyond "all I/O queues".
 *
 * Spec: NVMe Base 2.0 s3.1.3 (properties), s3.5 (initialization), s3.6
 * (shutdown), s3.7 (reset)
 */
#include "core/ctrl/ctrl.h"

#include <errno.h>

void leap__ctrl_init_props(struct leap__ctrl *c)
{
	const struct leap_target_opts *o = &c->target->opts;

	c->cap = LEAP_PUT((uint64_t)o->queue_depth - 1, LEAP_CAP_MQES) |
		 LEAP_CAP_CQR | LEAP_PUT((uint64_t)LEAP__CAP_TO, LEAP_CAP_TO) |
		 LEAP_CAP_CSS_NVM | LEAP_CAP_CSS_IOCS | LEAP_CAP_CRMS_RWM;
}

/* ---- reading ---- */

static int find(const struct leap__ctrl *c, uint32_t offset, uint32_t *bytes,
		uint64_t *v)
{
	*bytes = 4;
	switch (offset) {
	case LEAP_REG_CAP:
		*bytes = 8;
		*v = c->cap;
		return 0;
	case LEAP_REG_VS:
		*v = LEAP_VS_2_0;
		return 0;
	case LEAP_REG_CC:
		*v = c->cc;
		return 0;
	case LEAP_REG_CSTS:
		*v = c->csts;
		return 0;
	case LEAP_REG_CRTO:
		*v = LEAP_PUT(LEAP__CAP_TO, LEAP_CRTO_CRWMT);
		return 0;
	}
	if (!c->front)
		return -EINVAL;
	switch (offset) {
	case LEAP_REG_AQA:
		*v = c->aqa;
		return 0;
	case LEAP_REG_ASQ:
		*bytes = 8;
		*v = c->asq;
		return 0;
	case LEAP_REG_ACQ:
		*bytes = 8;
		*v = c->acq;
		return 0;
	case LEAP_REG_INTMS:
	case LEAP_REG_INTMC:
		*v = c->intm;
		return 0;
	}
	return -EINVAL;
}

int leap__ctrl_prop_read(struct leap__ctrl *c, uint32_t offset,
			 uint32_t bytes, uint64_t *value)
{
	uint32_t size;
	uint64_t v;

	if (bytes != 4 && bytes != 8)
		return -EINVAL;
	if (!find(c, offset, &size, &v)) {
		if (bytes > size)
			return -EINVAL;
		*value = bytes == 4 ? (uint32_t)v : v;
		return 0;
	}
	/* The upper half of an 8-byte property. */
	if (bytes == 4 && offset >= 4 && !find(c, offset - 4, &size, &v) &&
	    size == 8) {
		*value = v >> 32;
		return 0;
	}
	return -EINVAL;
}

/* ---- enable, reset, shutdown ---- */

static int may_enable(const struct leap__ctrl *c)
{
	uint32_t mps = LEAP_GET(c->cc, LEAP_CC_MPS);
	uint32_t css = LEAP_GET(c->cc, LEAP_CC_CSS);
	uint64_t page = 4096ull << mps;

	/* Round robin, and the NVM command set or all, are what CAP offers. */
	if (mps < LEAP_GET(c->cap, LEAP_CAP_MPSMIN) ||
	    mps > LEAP_GET(c->cap, LEAP_CAP_MPSMAX) ||
	    (css != LEAP_CC_CSS_NVM && css != LEAP_CC_CSS_ALL) ||
	    LEAP_GET(c->cc, LEAP_CC_AMS) != LEAP_CC_AMS_RR)
		return 0;
	if (!c->front)
		return 1;
	return LEAP_GET(c->aqa, LEAP_AQA_ASQS) &&
	       LEAP_GET(c->aqa, LEAP_AQA_ACQS) && !(c->asq % page) &&
	       !(c->acq % page);
}

static int start_front(struct leap__ctrl *c)
{
	c->started = c->front && !c->front->start(c, c->front_arg);
	return c->started || !c->front;
}

void leap__ctrl_stop_front(struct leap__ctrl *c)
{
	if (c->started)
		c->front->stop(c, c->front_arg);
	c->started = 0;
}

static void enable(struct leap__ctrl *c)
{
	if (may_enable(c) && start_front(c))
		c->csts |= LEAP_CSTS_RDY;
	else
		c->csts |= LEAP_CSTS_CFS;
}

void leap__ctrl_reset_done(struct leap__ctrl *c)
{
	c->resetting = 0;
	/* A shutdown that was asked for in the same write goes on. */
	if (LEAP_GET(c->cc, LEAP_CC_SHN))
		c->csts &= LEAP_CSTS_SHST_MASK << LEAP_CSTS_SHST_SHIFT;
	else
		c->csts = 0;
	/* A host that did not wait for RDY to drop. */
	if (c->cc & LEAP_CC_EN)
		enable(c);
}

/* Of the registers only AQA, ASQ and ACQ survive; CC on fabrics keeps what
 * its host wrote. */
static void reset(struct leap__ctrl *c)
{
	c->resetting = 1;
	leap__ctrl_stop_front(c);
	if (c->front) {
		c->cc &= LEAP_CC_SHN_MASK << LEAP_CC_SHN_SHIFT;
		c->intm = 0;
	}
	leap__aer_forget(c, LEAP_SC_ABORT_SQ_DELETED);
	c->events = 0;
	c->masked = 0;
	c->nr_changed_ns = 0;
	leap__zns_forget(c);
	leap__features_reset(c);
	leap__ctrl_delete_ioqs(c, 0);
	leap__ctrl_queues_left(c);
}

static void set_shst(struct leap__ctrl *c, uint32_t shst)
{
	c->csts &= ~(LEAP_CSTS_SHST_MASK << LEAP_CSTS_SHST_SHIFT);
	c->csts |= LEAP_PUT(shst, LEAP_CSTS_SHST);
}

static void shut_down(struct leap__ctrl *c);

static void flushed(struct leap__lmsg *m)
{
	struct leap__ctrl *c = m->arg;

	c->flush_out = 0;
	if (c->flush_again && !c->dead && LEAP_GET(c->cc, LEAP_CC_SHN)) {
		c->flush_again = 0;
		shut_down(c);
		leap__ctrl_put(c);
		return;
	}
	if (m->link.err)
		leap__pg_log_limited(c->target->home,
				     &c->target->home->peer_limit,
				     LEAP_LOG_ERROR, "controller %u: flush at "
				     "shutdown failed", c->cntlid);
	if (LEAP_GET(c->cc, LEAP_CC_SHN) &&
	    LEAP_GET(c->csts, LEAP_CSTS_SHST) == LEAP_CSTS_SHST_BUSY)
		set_shst(c, LEAP_CSTS_SHST_DONE);
	leap__ctrl_put(c);
}

/* The home group has a channel of every namespace: it flushes them. */
static void shut_down(struct leap__ctrl *c)
{
	set_shst(c, LEAP_CSTS_SHST_BUSY);
	/* One that is out was asked for before a reset, and what has been
	 * written since may have come too late for it. */
	c->flush_again = c->flush_out;
	if (c->flush_out)
		return;
	if (c->ss->discovery) {
		set_shst(c, LEAP_CSTS_SHST_DONE);
		return;
	}
	leap__link_init(&c->flush, LEAP_LINK_FLUSH, flushed, c);
	c->flush.ctrl = c;
	c->flush.subject = c->ss->ioss[0];
	c->flush_out = 1;
	c->refs++;
	leap__link_ask(c->target->groups[0], &c->flush);
}

static void write_cc(struct leap__ctrl *c, uint32_t cc)
{
	const uint32_t fixed = LEAP_CC_MPS_MASK << LEAP_CC_MPS_SHIFT |
			       LEAP_CC_CSS_MASK << LEAP_CC_CSS_SHIFT |
			       LEAP_CC_AMS_MASK << LEAP_CC_AMS_SHIFT;
	uint32_t old = c->cc;

	/* What was checked at EN 0->1 stays until EN 1->0. */
	if (old & cc & LEAP_CC_EN)
		cc = (cc & ~fixed) | (old & fixed);
	c->cc = cc;
	if ((old & LEAP_CC_EN) && !(cc & LEAP_CC_EN))
		reset(c);
	else if (!(old & LEAP_CC_EN) && (cc & LEAP_CC_EN) && !c->resetting)
		enable(c);
	if (LEAP_GET(cc, LEAP_CC_SHN) && !LEAP_GET(old, LEAP_CC_SHN))
		shut_down(c);
	else if (!LEAP_GET(cc, LEAP_CC_SHN) && LEAP_GET(old, LEAP_CC_SHN))
		set_shst(c, LEAP_CSTS_SHST_NONE);
}

/* ---- writing ---- */

#define AQA_BITS (LEAP_AQA_ASQS_MASK << LEAP_AQA_ASQS_SHIFT | \
		  LEAP_AQA_ACQS_MASK << LEAP_AQA_ACQS_SHIFT)

static uint64_t merge(uint64_t old, uint32_t half, uint32_t bytes,
		      uint64_t value)
{
	if (bytes == 8)
		return value;
	if (half)
		return (old & 0xffffffffull) | value << 32;
	return (old & ~0xffffffffull) | (uint32_t)value;
}

static int write_register(struct leap__ctrl *c, uint32_t offset,
			  uint32_t bytes, uint64_t value)
{
	uint32_t half = offset % 8 == 4;

	if (bytes == 8 && offset != LEAP_REG_ASQ && offset != LEAP_REG_ACQ)
		return -EINVAL;
	/* The admin queues are in use, where they were when it was enabled. */
	if ((c->cc & LEAP_CC_EN) && offset >= LEAP_REG_AQA &&
	    offset < LEAP_REG_ACQ + 8)
		return 0;
	switch (offset) {
	case LEAP_REG_AQA:
		c->aqa = (uint32_t)value & AQA_BITS;
		return 0;
	case LEAP_REG_ASQ:
	case LEAP_REG_ASQ + 4:
		c->asq = merge(c->asq, half, bytes, value);
		return 0;
	case LEAP_REG_ACQ:
	case LEAP_REG_ACQ + 4:
		c->acq = merge(c->acq, half, bytes, value);
		return 0;
	case LEAP_REG_INTMS:
		c->intm |= (uint32_t)value;
		return 0;
	case LEAP_REG_INTMC:
		c->intm &= ~(uint32_t)value;
		return 0;
	}
	return -EINVAL;
}

int leap__ctrl_prop_write(struct leap__ctrl *c, uint32_t offset,
			  uint32_t bytes, uint64_t value)
{
	if (bytes != 4 && bytes != 8)
		return -EINVAL;
	if (offset == LEAP_REG_CC) {
		if (bytes != 4)
			return -EINVAL;
		write_cc(c, (uint32_t)value);
		return 0;
	}
	if (c->front)
		return write_register(c, offset, bytes, value);
	return -EINVAL;
}
