/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of a controller that an agent has lent: an eventfd for each vector
 * that the agent has one for, else a message to the agent, sent by the home.
 * Raised by the threads that serve queues.
 */
#include "core/ctrl/runtime_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/io/wake.h"
#include "util/atomic.h"

static void poke(struct leap__rctrl *c)
{
	if (!leap__exchange(&c->poked, 1u))
		leap_pollgroup_send(c->rt->pg, &c->poke);
}

/*
 * No eventfd: the agent is told, if it wants to be. It may not because the
 * guest has one already, which is on its way here: the interrupt is kept for
 * that. Of this look and the one that follows the eventfd's arrival one sees
 * the other's store, and the exchange lets only one signal.
 */
static bool catch_up(struct leap__rctrl *c, struct leap__rvector *x)
{
	if (!leap__load_relaxed(&x->pending) && !LEAP_PLANT(IRQ_NOT_KEPT)) {
		leap__exchange(&x->pending, 1u);
		leap__full_fence();
	}
	if (leap__load_acquire(&x->irqfd.has_fd))
		return leap__exchange(&x->pending, 0u);
	if (leap__guest_wants_irq(&c->guest))
		poke(c);
	return false;
}

/*
 * The guest has masked it: the agent is told, who knows when that is over. It
 * may be by now, and the agent looks at that when it hears of this.
 */
static void hand_over(struct leap__rctrl *c, struct leap__rvector *x)
{
	leap__exchange(&x->pending, 1u);
	if (!LEAP_PLANT(IRQ_MASKED_UNTOLD) || leap__guest_wants_irq(&c->guest))
		poke(c);
}

static void raise_vector(struct leap__guest *guest, uint32_t vector)
{
	struct leap__rctrl *c = leap__rctrl_of(guest);
	struct leap__rvector *x;

	if (vector >= LEAP__RT_VECTORS)
		return;
	x = &c->vector[vector];
	leap__guest_before_irq();
	if (leap__guest_masks_irq(guest, vector)) {
		hand_over(c, x);
		return;
	}
	if (!leap__load_acquire(&x->irqfd.has_fd) && !catch_up(c, x))
		return;
	leap__wake_signal(x->irqfd.fd);
}

static void fatal(struct leap__guest *guest, uint16_t qid, int err)
{
	struct leap__rctrl *c = leap__rctrl_of(guest);

	leap__store_relaxed(&c->fatal_err, err);
	leap__exchange(&c->fatal, qid + 1u);
	poke(c);
}

static void poked(struct leap_msg *msg)
{
	struct leap__rctrl *c = leap__list_entry(msg, struct leap__rctrl, poke);
	struct leap_link_msg m = { .cntlid = c->id };
	uint32_t i;

	/* Before the looks: what comes after them sends again. */
	leap__exchange(&c->poked, 0u);
	m.type = LEAP_LINK_IRQ;
	for (i = 0; i < c->nr_vectors; i++) {
		if (!leap__load_relaxed(&c->vector[i].pending) ||
		    !leap__exchange(&c->vector[i].pending, 0u))
			continue;
		m.u.irq.vector = i;
		leap__runtime_tell(c->rt, &m);
	}
	i = leap__exchange(&c->fatal, 0u);
	if (i) {
		m.type = LEAP_LINK_FATAL;
		m.u.fatal.qid = (uint16_t)(i - 1);
		m.u.fatal.reserved = 0;
		m.u.fatal.err = leap__load_relaxed(&c->fatal_err);
		leap__runtime_tell(c->rt, &m);
	}
	leap__rctrl_settle(c);
}

int leap__rctrl_irq_init(struct leap__rctrl *c)
{
	uint32_t i;

	c->poke.run = poked;
	c->guest.raise = raise_vector;
	c->guest.fatal = fatal;
	c->sink_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->sink_fd < 0)
		return -errno;
	c->vector = calloc(LEAP__RT_VECTORS, sizeof(*c->vector));
	if (!c->vector)
		return -ENOMEM;
	for (i = 0; i < LEAP__RT_VECTORS; i++)
		c->vector[i].irqfd = LEAP__IRQFD_NONE;
	return 0;
}

void leap__rctrl_irq_fini(struct leap__rctrl *c)
{
	uint32_t i;

	for (i = 0; c->vector && i < LEAP__RT_VECTORS; i++)
		leap__irqfd_close(&c->vector[i].irqfd);
	free(c->vector);
	c->vector = NULL;
	if (c->sink_fd >= 0)
		close(c->sink_fd);
	c->sink_fd = -1;
}

int leap__rctrl_irq_fd(struct leap__rctrl *c, uint32_t vector, int fd)
{
	struct leap__rvector *x;
	int err;

	if (vector >= LEAP__RT_VECTORS)
		return -EINVAL;
	x = &c->vector[vector];
	/* What is written to is an eventfd, whoever sent it. */
	if (fd >= 0 && !leap__is_eventfd(fd))
		return -EINVAL;
	err = leap__irqfd_set(&x->irqfd, fd, c->sink_fd);
	if (err || fd < 0)
		return err;
	/* Partner: the fence in catch_up(). */
	leap__full_fence();
	if (leap__guest_masks_irq(&c->guest, vector))
		poke(c);
	else if (leap__exchange(&x->pending, 0u))
		leap__wake_signal(x->irqfd.fd);
	return 0;
}
