/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The poller of a controller behind registers, and its interrupt.
 *
 * All queues of a controller belong to one thread, so one vector is enough. As
 * long as the poll group polls, the device has no eventfd for it and signals
 * nothing. When the group is about to sleep the eventfd is given to the device;
 * after its answer the queues are looked at once more, so that what came before
 * is seen and what comes after signals. A group that then stays busy takes it
 * away again. Where there is no interrupt a timer looks instead.
 *
 * Knows queues only as something to reap.
 */
#include "core/io/regctrl.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUSY_AFTER	256u		/* completions without a sleep */
#define TICK_NS		1000000u

static struct leap__regctrl *of_poller(struct leap_poller *poller)
{
	return leap__list_entry(poller, struct leap__regctrl, poller);
}

static void irq_done(struct leap__regio *io, int err)
{
	struct leap__regctrl *c = io->arg;

	c->irq_busy = false;
	c->irq_refused |= err != 0;
	c->irq_on = !err && io->fd >= 0;
}

static void ask_irq(struct leap__regctrl *c, int fd)
{
	c->irq_busy = true;
	c->irq_io = (struct leap__regio){
		.op = LEAP__REG_IRQ, .fd = fd, .done = irq_done, .arg = c,
	};
	c->dev->ops->submit(c->dev, &c->irq_io);
}

static int ctrl_poll(struct leap_poller *poller, unsigned int budget)
{
	struct leap__regctrl *c = of_poller(poller);
	struct leap__list *pos;
	int n = 0;

	/* The admin queue is the last: what its completions take out of the
	 * list has been passed. */
	leap__list_for_each(pos, &c->queues) {
		n += leap__regq_reap(leap__list_entry(pos, struct leap__regq,
						      link));
		if (leap__regctrl_dead(c))
			return n;
	}
	if (n && c->cmd_wait)
		leap__regctrl_pump(c);
	if (n && __builtin_expect(c->leaving, 0))
		leap__regmem_recalled(c);
	if (n && c->irq_on) {
		c->irq_idle += (uint32_t)n;
		if (c->irq_idle > BUSY_AFTER && !c->irq_busy)
			ask_irq(c, -1);
	}
	return n;
}

static void tick(struct leap_timer *timer)
{
	/* It has ended the sleep, which was its purpose. */
}

static int ctrl_arm(struct leap_poller *poller)
{
	struct leap__regctrl *c = of_poller(poller);
	struct leap__list *pos;

	if (leap__regctrl_dead(c))
		return 0;
	c->irq_idle = 0;
	leap__list_for_each(pos, &c->queues) {
		struct leap__regq *q =
			leap__list_entry(pos, struct leap__regq, link);

		if (q->live && leap__cqc_ready(&q->cqc))
			return 1;
	}
	if (c->irq_on || c->irq_busy || leap__list_empty(&c->queues))
		return 0;	/* an answer wakes us as well */
	if (c->irq_fd >= 0 && !c->irq_refused) {
		ask_irq(c, c->irq_fd);
		return 1;
	}
	if (c->tick.armed)
		return 0;
	leap_timer_start(c->pg, &c->tick, TICK_NS);
	return 1;
}

static void irq_fired(struct leap__io *io)
{
	struct leap__regctrl *c = io->arg;

	/* We are awake; the queues are looked at in any case. */
	if (!leap__regctrl_dead(c) && !io->res) {
		leap__io_submit(io->wfd->world, io);
		return;
	}
	c->irq_watching = false;
	c->irq_refused = true;
	leap__regctrl_settle(c);
}

static void open_irq(struct leap__regctrl *c)
{
	struct leap__world *w = leap__pollgroup_world(c->pg);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		return;
	if (w->ops->adopt(w, fd, &c->irq_wfd)) {
		close(fd);
		return;
	}
	c->irq_fd = fd;
	c->irq_watch = (struct leap__io){
		.op = LEAP__IO_WATCH, .wfd = c->irq_wfd, .done = irq_fired,
		.arg = c,
	};
	c->irq_watching = true;
	leap__io_submit(w, &c->irq_watch);
}

void leap__regirq_start(struct leap__regctrl *c)
{
	c->tick.run = tick;
	c->poller.poll = ctrl_poll;
	c->poller.arm = ctrl_arm;
	leap_pollgroup_add_poller(c->pg, &c->poller);
	c->polled = true;
	open_irq(c);
}

void leap__regirq_stop(struct leap__regctrl *c)
{
	leap_timer_stop(c->pg, &c->tick);
	if (c->irq_fd < 0)
		return;
	c->irq_fd = -1;
	c->irq_wfd->world->ops->close(c->irq_wfd);
}
