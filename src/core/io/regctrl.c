/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller behind registers, from the host's side: enables and disables it,
 * and ends it. Every step is one access whose answer starts the next; nothing
 * waits except on timers.
 *
 *	OPENING -> OPEN --probe--> UP <--> (enabled or not, as the user wants)
 *	    |        |             |
 *	    |        +-------------+--end--> ENDING: shutdown, disable,
 *	    |                                        reset ------------> DEAD
 *	    +---- lost, lies, cannot be used: device closed -----------> DEAD
 *
 * A command that is not answered, or CSTS.CFS, is an end without the shutdown.
 *
 * The memory of queues, and requests in it, are let go only when the device is
 * closed: until then it may write to them.
 *
 * Knows neither leap_qp requests nor fabrics commands (regqp.c), nor how
 * registers are reached (regdev.h).
 *
 * Spec: NVMe Base 2.0 s3.5.1 (memory-based initialization), s3.6 (shutdown),
 * s3.7.2 (controller level reset), s5.8 (Doorbell Buffer Config)
 */
#include "core/io/regctrl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/dispatch.h"
#include "util/atomic.h"
#include "util/err.h"

#define MS		1000000ull
#define CSTS_POLL_NS	MS
#define END_NS		(2000 * MS)	/* what is not CSTS takes no longer */
#define QUIRK_NS	(2300 * MS)	/* SLOW_CSTS; found by trial */
#define ALL_ONES	0xffffffffu
#define PCI_COMMAND	0x04

typedef void (*next_fn)(struct leap__regctrl *c, uint64_t value);

/* ---- one access after the other ---------------------------------------- */

static void close_device(struct leap__regctrl *c)
{
	if (leap__regctrl_dead(c))
		return;
	c->state = LEAP__REGCTRL_DEAD;
	c->enabled = false;
	c->seq_done = NULL;
	leap_timer_stop(c->pg, &c->timer);
	leap_timer_stop(c->pg, &c->cmd_timer);
	leap__regwatch_stop(c);
	leap__regirq_stop(c);
	c->dev->ops->close(c->dev);
}

void leap__regctrl_fail(struct leap__regctrl *c, int err)
{
	if (!leap__regctrl_dead(c) && c->state != LEAP__REGCTRL_ENDING)
		c->err = err;
	close_device(c);
}

static void say_why(struct leap__regctrl *c, const char *fmt, va_list ap)
{
	if (!c->why[0] && !leap__regctrl_dead(c))
		vsnprintf(c->why, sizeof(c->why), fmt, ap);
}

void leap__regctrl_refuse(struct leap__regctrl *c, int err, const char *fmt,
			  ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_why(c, fmt, ap);
	va_end(ap);
	leap__regctrl_fail(c, err);
}

static void io_done(struct leap__regio *io, int err)
{
	struct leap__regctrl *c = io->arg;
	next_fn next = c->io_next;

	c->io_busy = false;
	if (leap__regctrl_dead(c))
		return;
	if (err)
		leap__regctrl_fail(c, err);
	else if (c->state == LEAP__REGCTRL_ENDING && !c->seq_done)
		leap__regctrl_end_now(c);
	else
		next(c, io->value);
}

void leap__regctrl_ask(struct leap__regctrl *c, enum leap__regop op,
		       uint64_t offset, uint8_t bytes, uint64_t value,
		       void (*next)(struct leap__regctrl *c, uint64_t value))
{
	c->io_next = next;
	c->io_busy = true;
	c->io = (struct leap__regio){
		.op = (uint8_t)op, .bytes = bytes, .fd = -1, .offset = offset,
		.value = value, .done = io_done, .arg = c,
	};
	c->dev->ops->submit(c->dev, &c->io);
}

static void reg_read(struct leap__regctrl *c, uint32_t reg, uint8_t bytes,
		     next_fn next)
{
	leap__regctrl_ask(c, LEAP__REG_READ, reg, bytes, 0, next);
}

static void reg_write(struct leap__regctrl *c, uint32_t reg, uint8_t bytes,
		      uint64_t value, next_fn next)
{
	leap__regctrl_ask(c, LEAP__REG_WRITE, reg, bytes, value, next);
}

/* A sequence that the user asked for is over. */
static void seq_end(struct leap__regctrl *c, int err)
{
	void (*done)(struct leap__regctrl *c, int err) = c->seq_done;

	c->seq_done = NULL;
	done(c, err);
}

/* ---- CSTS -------------------------------------------------------------- */

static void csts_read(struct leap__regctrl *c, uint64_t value);

static void csts_again(struct leap_timer *timer)
{
	reg_read(leap__list_entry(timer, struct leap__regctrl, timer),
		 LEAP_REG_CSTS, 4, csts_read);
}

/*
 * Until the bits of @mask are @want: @done gets 0, -EIO (CFS, where RDY is
 * waited for) or -ETIMEDOUT. The first look is @after_ns from now.
 */
static void csts_wait(struct leap__regctrl *c, uint32_t mask, uint32_t want,
		      uint64_t after_ns, uint64_t max_ns,
		      void (*done)(struct leap__regctrl *c, int err))
{
	c->mask = mask;
	c->want = want;
	c->waited = done;
	c->deadline_ns = leap_pollgroup_now_ns(c->pg) + after_ns + max_ns;
	if (after_ns)
		leap_timer_start(c->pg, &c->timer, after_ns);
	else
		reg_read(c, LEAP_REG_CSTS, 4, csts_read);
}

static void csts_read(struct leap__regctrl *c, uint64_t value)
{
	uint32_t csts = (uint32_t)value;

	if (csts == ALL_ONES)
		leap__regctrl_refuse(c, -ENODEV, "CSTS reads as all ones");
	else if (c->want && (csts & LEAP_CSTS_CFS))
		c->waited(c, -EIO);
	else if ((csts & c->mask) == c->want)
		c->waited(c, 0);
	else if (leap_pollgroup_now_ns(c->pg) >= c->deadline_ns)
		c->waited(c, -ETIMEDOUT);
	else
		leap_timer_start(c->pg, &c->timer, CSTS_POLL_NS);
}

/* ---- disable ----------------------------------------------------------- */

static void now_disabled(struct leap__regctrl *c, int err);

static void back_on_bus(struct leap__regctrl *c, uint64_t value)
{
	csts_wait(c, LEAP_CSTS_RDY, 0, 0, c->to_ns, now_disabled);
}

/* The reset has switched off bus mastering, and MSI-X. */
static void was_reset(struct leap__regctrl *c, uint64_t value)
{
	c->cc = 0;
	c->irq_refused = true;
	c->irq_on = false;
	leap__regctrl_ask(c, LEAP__REG_CONFIG_WRITE, PCI_COMMAND, 2,
			  LEAP__REG_PCI_ON, back_on_bus);
}

/* A controller that stays up is reset, once, for its memory. */
static void now_disabled(struct leap__regctrl *c, int err)
{
	if (err && c->reset_tried) {
		leap__regctrl_refuse(c, err, "still ready after a reset");
	} else if (err) {
		c->reset_tried = true;
		leap__regctrl_ask(c, LEAP__REG_RESET, 0, 0, 0, was_reset);
	} else {
		c->shadow = false;
		c->nr_granted = 0;
		c->admin->live = false;
		leap__list_remove(&c->admin->link);
		seq_end(c, 0);
	}
}

static void wait_not_ready(struct leap__regctrl *c, uint64_t value)
{
	csts_wait(c, LEAP_CSTS_RDY, 0,
		  c->quirks & LEAP__REGQ_SLOW_CSTS ? QUIRK_NS : 0, c->to_ns,
		  now_disabled);
}

/* Ready, fatal, or neither for too long: EN may be cleared. */
static void clear_en(struct leap__regctrl *c, int err)
{
	reg_write(c, LEAP_REG_CC, 4, c->cc, wait_not_ready);
}

static void disable_cc(struct leap__regctrl *c, uint64_t value)
{
	const uint32_t off = LEAP_CC_EN |
			     LEAP_CC_SHN_MASK << LEAP_CC_SHN_SHIFT;
	uint32_t cc = (uint32_t)value;
	bool found_on = !c->cc;

	if (cc == ALL_ONES) {
		leap__regctrl_refuse(c, -ENODEV, "CC reads as all ones");
		return;
	}
	c->cc = cc & ~off;
	if (!(cc & LEAP_CC_EN))
		csts_wait(c, LEAP_CSTS_RDY, 0, 0, c->to_ns, now_disabled);
	else if (found_on && !LEAP_GET(cc, LEAP_CC_SHN))
		/* Somebody's EN, perhaps not yet answered by RDY: clearing it
		 * before that is undefined. NVMe Base 2.0 s3.5.1. */
		csts_wait(c, LEAP_CSTS_RDY, LEAP_CSTS_RDY, 0, c->to_ns,
			  clear_en);
	else
		clear_en(c, 0);
}

void leap__regctrl_disable(struct leap__regctrl *c,
			   void (*done)(struct leap__regctrl *c, int err))
{
	c->enabled = false;
	c->seq_done = done;
	c->reset_tried = false;
	reg_read(c, LEAP_REG_CC, 4, disable_cc);
}

/* ---- enable ------------------------------------------------------------ */

/* A controller that refuses goes on with doorbells in registers. */
static void dbbuf_done(struct leap__regcmd *cmd, leap_status_t status)
{
	struct leap__regctrl *c = cmd->arg;

	c->shadow = !status;
	seq_end(c, 0);
}

static void now_enabled(struct leap__regctrl *c, int err)
{
	struct leap__regq *a = c->admin;
	struct leap_sqe *sqe = &c->cmd.req.sqe;

	if (err) {
		seq_end(c, err);
		return;
	}
	c->enabled = true;
	a->live = true;
	leap__list_push_back(&c->queues, &a->link);
	if (c->dev->shadow)
		c->shadow = true;
	if (c->shadow || !(leap_from_le16(c->id->oacs) & LEAP_OACS_DBBUF)) {
		seq_end(c, 0);
		return;
	}
	memset(a->base + a->extra_at, 0, 2 * LEAP__REG_PAGE);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opc = LEAP_ADM_DBBUF_CONFIG;
	sqe->prp1 = leap_to_le64(leap__regq_addr(a, a->extra_at));
	sqe->prp2 = leap_to_le64(leap__regq_addr(a, a->extra_at +
						 LEAP__REG_PAGE));
	c->cmd.req.nr_pieces = 0;
	leap__regctrl_admin(c, &c->cmd, dbbuf_done);
}

static void wait_ready(struct leap__regctrl *c, uint64_t value)
{
	c->cc = c->seq_cc;
	csts_wait(c, LEAP_CSTS_RDY, LEAP_CSTS_RDY, 0, c->to_ns, now_enabled);
}

static void write_cc(struct leap__regctrl *c, uint64_t value)
{
	reg_write(c, LEAP_REG_CC, 4, c->seq_cc, wait_ready);
}

static void write_acq(struct leap__regctrl *c, uint64_t value)
{
	reg_write(c, LEAP_REG_ACQ, 8, leap__regq_addr(c->admin,
						      c->admin->cq_at),
		  write_cc);
}

static void write_asq(struct leap__regctrl *c, uint64_t value)
{
	reg_write(c, LEAP_REG_ASQ, 8, c->admin->iova, write_acq);
}

void leap__regctrl_enable(struct leap__regctrl *c, uint32_t cc,
			  void (*done)(struct leap__regctrl *c, int err))
{
	const struct leap__regq *a = c->admin;
	uint32_t aqa = LEAP_PUT(a->sq_size - 1, LEAP_AQA_ASQS) |
		       LEAP_PUT(a->cq_size - 1, LEAP_AQA_ACQS);

	leap__regq_restart(c->admin);
	c->seq_done = done;
	c->seq_cc = cc | LEAP_CC_EN;
	reg_write(c, LEAP_REG_AQA, 4, aqa, write_asq);
}

void leap__regctrl_unpark(struct leap__regctrl *c)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &c->queues)
		leap__regq_unpark(leap__list_entry(pos, struct leap__regq,
						   link));
}

/* ---- opening and ending ------------------------------------------------ */

static void end_closed(struct leap__regctrl *c, uint64_t value)
{
	close_device(c);
}

static void end_disabled(struct leap__regctrl *c, int err)
{
	c->seq_done = end_disabled;	/* io_done: this is the end's access */
	leap__regctrl_ask(c, LEAP__REG_RESET, 0, 0, 0, end_closed);
}

/* Done, fatal, or for too long: the disable that follows says the rest. */
static void shut_down(struct leap__regctrl *c, int err)
{
	leap__regctrl_disable(c, end_disabled);
}

static void shn_set(struct leap__regctrl *c, uint64_t value)
{
	csts_wait(c, LEAP_CSTS_SHST_MASK << LEAP_CSTS_SHST_SHIFT,
		  LEAP_PUT(LEAP_CSTS_SHST_DONE, LEAP_CSTS_SHST), 0,
		  c->shutdown_ns, shut_down);
}

/* Its caches are written back before it is disabled: NVMe Base 2.0 s3.6.1. */
static void shn_cc(struct leap__regctrl *c, uint64_t value)
{
	uint32_t cc = (uint32_t)value;

	if (cc == ALL_ONES)
		leap__regctrl_refuse(c, -ENODEV, "CC reads as all ones");
	else if (!(cc & LEAP_CC_EN) || LEAP_GET(cc, LEAP_CC_SHN))
		shut_down(c, 0);
	else
		reg_write(c, LEAP_REG_CC, 4,
			  cc | LEAP_PUT(LEAP_CC_SHN_NORMAL, LEAP_CC_SHN),
			  shn_set);
}

void leap__regctrl_end_now(struct leap__regctrl *c)
{
	c->seq_done = end_disabled;	/* io_done: these are the end's */
	if (!c->cap || !c->admin->iova)
		end_disabled(c, 0);
	else if (c->was_on && !c->hung)
		reg_read(c, LEAP_REG_CC, 4, shn_cc);
	else
		leap__regctrl_disable(c, end_disabled);
}

static void end_timeout(struct leap_timer *timer)
{
	close_device(leap__list_entry(timer, struct leap__regctrl, cmd_timer));
}

/* Shutdown, disable, reset and disable again, each as late as may be. */
static uint64_t end_ns(const struct leap__regctrl *c)
{
	uint64_t ns = END_NS + 2 * c->to_ns;

	if (c->was_on && !c->hung)
		ns += c->shutdown_ns;
	if (c->quirks & LEAP__REGQ_SLOW_CSTS)
		ns += QUIRK_NS;
	return ns;
}

void leap__regctrl_end(struct leap__regctrl *c)
{
	bool opening = c->state == LEAP__REGCTRL_OPENING;

	if (leap__regctrl_dead(c) || c->state == LEAP__REGCTRL_ENDING)
		return;
	c->err = -ECONNRESET;
	c->state = LEAP__REGCTRL_ENDING;
	if (opening) {
		close_device(c);
		return;
	}
	c->was_on = c->enabled;
	c->enabled = false;
	c->admin->live = false;
	c->seq_done = NULL;
	leap_timer_stop(c->pg, &c->timer);
	leap__regctrl_drop_cmds(c);
	c->cmd_timer.run = end_timeout;
	leap_timer_start(c->pg, &c->cmd_timer, end_ns(c));
	/* Memory that is being mapped comes to admin_mapped. */
	if (!c->io_busy && !(c->admin->mem && !c->admin->iova))
		leap__regctrl_end_now(c);
}

void leap__regctrl_reset(struct leap__regctrl *c, int err, const char *fmt,
			 ...)
{
	va_list ap;

	if (leap__regctrl_dead(c) || c->state == LEAP__REGCTRL_ENDING)
		return;
	va_start(ap, fmt);
	say_why(c, fmt, ap);
	va_end(ap);
	c->hung = true;
	leap__regctrl_end(c);
	c->err = err;
}

void leap__reg_opened(struct leap__regdev *dev, int err)
{
	struct leap__regctrl *c = dev->ctrl;

	if (leap__regctrl_dead(c))
		return;
	if (err) {
		leap__regctrl_fail(c, err);
		return;
	}
	c->state = LEAP__REGCTRL_OPEN;
	leap__regqp_opened(c->owner);
}

void leap__reg_lost(struct leap__regdev *dev, int err)
{
	leap__regctrl_fail(dev->ctrl, err ? err : -ECONNRESET);
}

void leap__regctrl_settle(struct leap__regctrl *c)
{
	struct leap__list *l;

	if (!c->dev_closed || c->irq_watching)
		return;
	/* No holder is left then, and nobody sends the message any more. */
	leap__regmem_free(c);
	if (leap__load_acquire(&c->recall_sent))
		return;
	if (c->polled)
		leap_pollgroup_del_poller(c->pg, &c->poller);
	c->polled = false;
	leap__list_remove(&c->link);
	leap__regctrl_drop_cmds(c);
	if (c->why[0])
		leap__err(c->err, "%s: %s", c->address, c->why);
	while ((l = leap__list_pop(&c->qps)))
		leap__regqp_ended(leap__list_entry(l, struct leap__regqp, link),
				  c->err);
	free(c->maps);
	free(c->id);
	free(c->dev);
	free(c);
}

void leap__reg_closed(struct leap__regdev *dev)
{
	dev->ctrl->dev_closed = true;
	leap__regctrl_settle(dev->ctrl);
}

static struct leap__regctrl *alloc_ctrl(const struct leap__regdev_ops *ops)
{
	struct leap__regctrl *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->maps = calloc(LEAP__REG_REGIONS, sizeof(*c->maps));
	c->id = calloc(1, sizeof(*c->id));
	c->dev = calloc(1, ops->dev_bytes);
	if (c->maps && c->id && c->dev)
		return c;
	free(c->maps);
	free(c->id);
	free(c->dev);
	free(c);
	return NULL;
}

int leap__regctrl_create(struct leap_qp *qp,
			 const struct leap__regdev_ops *ops,
			 const char *address, struct leap__regctrl **out)
{
	struct leap__regctrl *c;
	int err;

	if (strlen(address) >= sizeof(c->address))
		return leap__err(-EINVAL, "leap_qp_connect: address of %zu "
				 "bytes exceeds %zu", strlen(address),
				 sizeof(c->address) - 1);
	c = alloc_ctrl(ops);
	if (!c)
		return leap__err(-ENOMEM, "leap_qp_connect: out of memory");
	c->pg = qp->pg;
	strcpy(c->address, address);
	c->owner = qp;
	c->admin = &((struct leap__regqp *)qp)->q;
	c->cmd.arg = c;
	c->timer.run = csts_again;
	c->cmd_timer.run = leap__regcmd_late;
	c->cmd_wait_tail = &c->cmd_wait;
	leap__regwatch_init(c, qp->opts.timeout_ms);
	c->next_iova = LEAP__REG_IOVA;
	c->recall.run = leap__regmem_recall_run;
	c->irq_fd = -1;
	leap__list_init(&c->qps);
	leap__list_init(&c->queues);
	c->dev->ops = ops;
	c->dev->pg = qp->pg;
	c->dev->ctrl = c;
	err = ops->open(c->dev, &qp->opts, address);
	if (err) {
		free(c->maps);
		free(c->id);
		free(c->dev);
		free(c);
		return err;
	}
	leap__list_push_back(&leap__dispatch(c->pg)->regctrls, &c->link);
	leap__regirq_start(c);
	*out = c;
	return 0;
}
