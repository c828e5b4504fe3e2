/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of a virtual function: the MSI-X table and its pending bits, an
 * eventfd or a call for each vector, and the INTx pin. MSI is a table whose
 * entries are all made of one address. Vectors are raised by
 * the threads that serve queues; all else, the pin included, is the home's.
 *
 *	raise --> masked? pending --unmask--> fire --> eventfd, or opts.raise
 *	      '-> MSI-X is off: message to the home --> level of the pin
 *
 * INTMS and INTMC mask MSI and the pin; of MSI-X they are to be left alone, and
 * change nothing.
 *
 * Knows of queues only whether entries wait in them.
 *
 * Spec: PCI Local Bus 3.0 s6.8.2 (MSI-X); NVMe PCIe Transport 1.0 s3.1.1
 * (INTMS, INTMC), s3.5
 */
#include "core/ctrl/vdev_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MSIX_ENABLE	0x8000u
#define MSIX_MASK_ALL	0x4000u
#define VECTOR_MASKED	1u

/* How soon a pin is looked at whose heads move without doorbells; a guest that
 * takes nothing, each time after twice as long. */
#define INTX_LOOK_NS	100000u
#define INTX_LOOK_MAX	12800000u

static void poked(struct leap_msg *msg);
static void intx_look(struct leap_timer *timer);

int leap__vdev_irq_init(struct leap_vdev *v)
{
	uint32_t i;

	v->poke.run = poked;
	v->intx_timer.run = intx_look;
	for (i = 0; i < LEAP__VDEV_VECTORS; i++) {
		v->vector[i].irqfd = LEAP__IRQFD_NONE;
		v->vector[i].ctrl = VECTOR_MASKED;
	}
	v->pin = LEAP__IRQFD_NONE;
	v->sink_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return v->sink_fd < 0 ? -EMFILE : 0;
}

void leap__vdev_irq_fini(struct leap_vdev *v)
{
	uint32_t i;

	if (!v->poke.run)
		return;	/* init was not */
	leap_timer_stop(v->home, &v->intx_timer);
	for (i = 0; i < LEAP__VDEV_VECTORS; i++)
		leap__irqfd_close(&v->vector[i].irqfd);
	leap__irqfd_close(&v->pin);
	if (v->sink_fd >= 0)
		close(v->sink_fd);
}

void leap__vdev_irq_trim(struct leap_vdev *v)
{
	uint32_t i;

	for (i = 0; i < v->nr_vectors; i++)
		if (!v->vector[i].irqfd.has_fd)
			leap__irqfd_close(&v->vector[i].irqfd);
}

/* ---- firing ---- */

static void fire(struct leap_vdev *v, uint32_t i)
{
	struct leap__irqfd *x = &v->vector[i].irqfd;

	if (leap__load_acquire(&x->has_fd))
		(void)leap__eventfd_signal(x->fd);
	else if (v->opts.raise)
		v->opts.raise(v->opts.arg, i);
}

static int table_masks(const struct leap_vdev *v, uint32_t i)
{
	return (leap__load_relaxed(&v->msix_ctrl) & MSIX_MASK_ALL) ||
	       (leap__load_relaxed(&v->vector[i].ctrl) & VECTOR_MASKED);
}

/* The table is the client's, if it says so; registers are never. */
static int is_masked(const struct leap_vdev *v, uint32_t i)
{
	return (!v->opts.client_msix && table_masks(v, i)) ||
	       leap__guest_masks_irq(&v->guest, i);
}

/*
 * Set the pending bit, then look at the mask; whoever unmasks clears the mask,
 * then looks at the bit. One of the two sees the other, and the exchange lets
 * only one fire.
 */
static void fire_pending(struct leap_vdev *v, uint32_t i)
{
	if (!LEAP_PLANT(IRQ_MASK_UNFENCED))
		leap__full_fence();
	if (!is_masked(v, i) && leap__exchange(&v->vector[i].pending, 0u))
		fire(v, i);
}

static void poke_home(struct leap_vdev *v)
{
	if (!leap__exchange(&v->poked, 1u))
		leap_pollgroup_send(v->home, &v->poke);
}

void leap__vdev_raise(struct leap__guest *guest, uint32_t vector)
{
	struct leap_vdev *v = leap__list_entry(guest, struct leap_vdev, guest);

	leap__guest_before_irq();
	if (!leap__load_acquire(&v->msix_on)) {
		if (leap__guest_wants_irq(guest))
			poke_home(v);
		return;
	}
	if (vector >= v->nr_vectors)
		return;
	/* Nothing but a client masks it then. */
	if (v->opts.client_msix && v->opts.irqs != LEAP_VDEV_HAS_MSI) {
		fire(v, vector);
		return;
	}
	leap__exchange(&v->vector[vector].pending, 1u);
	fire_pending(v, vector);
}

void leap__vdev_irq(struct leap_vdev *v, uint32_t vector)
{
	leap__vdev_raise(&v->guest, vector);
}

void leap__vdev_guest_fatal(struct leap__guest *guest, uint16_t qid, int err)
{
	struct leap_vdev *v = leap__list_entry(guest, struct leap_vdev, guest);

	/* The last one is as good as the first: CFS is all that follows. */
	leap__store_relaxed(&v->fatal_err, err);
	leap__exchange(&v->fatal, qid + 1u);
	poke_home(v);
}

void leap__vdev_fatal(struct leap_vdev *v, uint16_t qid, int err)
{
	if (!v->c || v->c->dead)
		return;
	/* One that has been reset meanwhile starts anew. */
	if (!(v->c->cc & LEAP_CC_EN) || (v->c->csts & LEAP_CSTS_CFS))
		return;
	leap__pg_log_limited(v->home, &v->home->peer_limit, LEAP_LOG_ERROR,
			     "controller %u: queue %u is beyond use: %s",
			     v->c->cntlid, qid, strerror(-err));
	v->c->csts |= LEAP_CSTS_CFS;
}

static void poked(struct leap_msg *msg)
{
	struct leap_vdev *v = leap__list_entry(msg, struct leap_vdev, poke);
	uint32_t fatal;

	/* Before the look: what comes after it sends again. */
	leap__exchange(&v->poked, 0u);
	fatal = leap__exchange(&v->fatal, 0u);
	if (fatal)
		leap__vdev_fatal(v, (uint16_t)(fatal - 1),
				 leap__load_relaxed(&v->fatal_err));
	leap__vdev_intx_update(v);
	leap__vdev_settle(v);
}

/* ---- the table ---- */

static void fire_unmasked(struct leap_vdev *v)
{
	uint32_t i;

	/* The mask is off before the first look: as in fire_pending. */
	leap__full_fence();
	for (i = 0; i < v->nr_vectors; i++)
		if (leap__load_relaxed(&v->vector[i].pending))
			fire_pending(v, i);
}

/* In whose hands interrupts are. */
static void choose_mode(struct leap_vdev *v)
{
	uint32_t on = (leap__load_relaxed(&v->msix_ctrl) & MSIX_ENABLE) ||
		      (v->opts.client_msix && v->nr_fds);

	if (on == leap__load_relaxed(&v->msix_on))
		return;
	leap__store_release(&v->msix_on, on);
	/* Before the pin is looked at: leap__guest_before_irq(). */
	if (!LEAP_PLANT(IRQ_MODE_UNFENCED))
		leap__full_fence();
	leap__vdev_intx_update(v);
}

void leap__vdev_msix_control(struct leap_vdev *v, uint32_t ctrl)
{
	uint32_t i, old = leap__load_relaxed(&v->msix_ctrl);

	if (ctrl == old)
		return;
	leap__store_relaxed(&v->msix_ctrl, ctrl);
	if (!(ctrl & MSIX_ENABLE))
		for (i = 0; i < v->nr_vectors; i++)
			leap__exchange(&v->vector[i].pending, 0u);
	choose_mode(v);
	if (!(ctrl & MSIX_MASK_ALL) && (ctrl & MSIX_ENABLE))
		fire_unmasked(v);
}

void leap__vdev_msi_control(struct leap_vdev *v, int on, uint32_t nr,
			    uint64_t addr, uint32_t data)
{
	uint32_t i;

	for (i = 0; i < v->nr_vectors; i++) {
		struct leap__vvector *x = &v->vector[i];

		leap__store_relaxed(&x->ctrl, i < nr ? 0 : VECTOR_MASKED);
		leap__store_relaxed(&x->addr_lo, (uint32_t)addr);
		leap__store_relaxed(&x->addr_hi, (uint32_t)(addr >> 32));
		/* The low bits are the message's. */
		leap__store_relaxed(&x->data, (data & ~(nr - 1)) | i);
	}
	leap__vdev_msix_control(v, (v->nr_vectors - 1) |
				(on ? MSIX_ENABLE : 0));
	/* It was on, and has more of them now. */
	if (on)
		fire_unmasked(v);
}

void leap__vdev_irq_mask(struct leap_vdev *v)
{
	struct leap_doorbell *first = leap__vdev_db(v, 0, 0);
	leap_le32 mask = v->c && v->opts.irqs == LEAP_VDEV_HAS_MSI ?
			 leap_to_le32(v->c->intm) : leap_to_le32(0);
	uint32_t i;

	if (leap__load_relaxed(&first->irq_mask) == mask)
		return;
	/* A reset: what was held back belongs to queues that go. */
	if (v->c && !(v->c->cc & LEAP_CC_EN))
		for (i = 0; i < v->nr_vectors; i++)
			leap__exchange(&v->vector[i].pending, 0u);
	leap__store_relaxed(&first->irq_mask, mask);
	if (leap__load_relaxed(&v->msix_on))
		fire_unmasked(v);
}

void leap__vdev_irq_reset(struct leap_vdev *v)
{
	uint32_t i;

	leap__vdev_irq_mask(v);
	for (i = 0; i < v->nr_vectors; i++) {
		struct leap__vvector *x = &v->vector[i];

		leap__store_relaxed(&x->ctrl, VECTOR_MASKED);
		leap__exchange(&x->pending, 0u);
		leap__store_relaxed(&x->addr_lo, 0);
		leap__store_relaxed(&x->addr_hi, 0);
		leap__store_relaxed(&x->data, 0);
	}
	leap__store_relaxed(&v->msix_ctrl, v->nr_vectors - 1);
	choose_mode(v);
}

static uint32_t *field(struct leap_vdev *v, uint32_t offset)
{
	struct leap__vvector *x;

	if (offset / 16 >= v->nr_vectors)
		return NULL;
	x = &v->vector[offset / 16];
	switch (offset % 16) {
	case 0:
		return &x->addr_lo;
	case 4:
		return &x->addr_hi;
	case 8:
		return &x->data;
	default:
		return &x->ctrl;
	}
}

uint32_t leap__vdev_table_read(const struct leap_vdev *v, uint32_t offset)
{
	const uint32_t *f = field((struct leap_vdev *)v, offset);

	return f ? leap__load_relaxed(f) : 0;
}

void leap__vdev_table_write(struct leap_vdev *v, uint32_t offset,
			    uint32_t value)
{
	uint32_t *f = field(v, offset);

	if (!f)
		return;
	if (offset % 16 == 0)
		value &= ~3u;
	if (offset % 16 == 12)
		value &= VECTOR_MASKED;
	leap__store_relaxed(f, value);
	if (offset % 16 == 12 &&
	    (leap__load_relaxed(&v->msix_ctrl) & MSIX_ENABLE))
		fire_pending(v, offset / 16);
}

uint32_t leap__vdev_pba_read(const struct leap_vdev *v, uint32_t offset)
{
	uint32_t bits = 0, i, first = offset * 8;

	for (i = first; i < first + 32 && i < v->nr_vectors; i++)
		bits |= leap__load_relaxed(&v->vector[i].pending)
			<< (i - first);
	return bits;
}

int leap_vdev_msix(const struct leap_vdev *v, uint32_t vector, uint64_t *addr,
		   uint32_t *data)
{
	const struct leap__vvector *x;

	if (vector >= v->nr_vectors)
		return -EINVAL;
	x = &v->vector[vector];
	*addr = (uint64_t)leap__load_relaxed(&x->addr_hi) << 32 |
		leap__load_relaxed(&x->addr_lo);
	*data = leap__load_relaxed(&x->data);
	return table_masks(v, vector) ||
	       leap__guest_masks_irq(&v->guest, vector);
}

/* ---- eventfds ---- */

int leap_vdev_irq_fd(struct leap_vdev *v, uint32_t irq, uint32_t vector,
		     int fd)
{
	struct leap__irqfd *x;
	int err, had;

	if (irq > LEAP_VDEV_MSIX ||
	    vector >= (irq == LEAP_VDEV_MSIX ? v->nr_vectors : 1))
		return leap__err(-EINVAL,
			"leap_vdev_irq_fd: no vector %u of kind %u", vector,
			irq);
	x = irq == LEAP_VDEV_MSIX ? &v->vector[vector].irqfd : &v->pin;
	had = (int)leap__load_relaxed(&x->has_fd);
	err = leap__irqfd_set(x, fd, v->sink_fd);
	if (err)
		return leap__err(err, "leap_vdev_irq_fd: fd %d: %s", fd,
				 strerror(-err));
	if (irq == LEAP_VDEV_INTX) {
		if (fd >= 0 && v->level)
			(void)leap__eventfd_signal(x->fd);
		return 0;
	}
	v->nr_fds = v->nr_fds + (fd >= 0) - (uint32_t)had;
	choose_mode(v);
	/* Masks are kept here: then every interrupt has to come by here. */
	if (v->c && v->opts.client_msix)
		leap__vdev_tell_irq(v, vector, fd);
	return 0;
}

/* ---- the pin ---- */

static int pin_wanted(struct leap_vdev *v)
{
	uint32_t i;

	if (!v->c || !v->started || leap__load_relaxed(&v->msix_on) ||
	    !leap__vdev_intx_allowed(v))
		return 0;
	for (i = 0; i < v->nr_queues; i++) {
		struct leap__vcq *cq = i ? v->cq[i] : &v->admin_cq;
		uint32_t iv = cq ? cq->io.desc.vector : UINT32_MAX;

		if (iv == UINT32_MAX || (iv < 32 && (v->c->intm & 1u << iv)))
			continue;
		if (leap__vdev_cq_waiting(v, cq))
			return 1;
	}
	return 0;
}

/* Whether interrupts without eventfds are to be told. */
static void tell_wanted(struct leap_vdev *v)
{
	struct leap_doorbell *first = leap__vdev_db(v, 0, 0);
	int here = !v->opts.client_msix || v->opts.raise || v->irq_refused;
	int wanted = leap__load_relaxed(&v->msix_on) ? here :
		     leap__vdev_intx_allowed(v);
	leap_le32 no = leap_to_le32(!wanted);

	if (leap__load_relaxed(&first->no_irq) == no)
		return;
	leap__store_relaxed(&first->no_irq, no);
	/* The same. */
	if (!LEAP_PLANT(IRQ_MODE_UNFENCED))
		leap__full_fence();
}

void leap__vdev_intx_update(struct leap_vdev *v)
{
	int level;

	tell_wanted(v);
	if (leap__load_relaxed(&v->msix_on) && !v->level)
		return;
	level = pin_wanted(v);
	/* Heads in shadow doorbells move without our being told. */
	if (level && v->shadow) {
		v->intx_look_ns = INTX_LOOK_NS;
		leap_timer_start(v->home, &v->intx_timer, INTX_LOOK_NS);
	}
	if (level == v->level)
		return;
	v->level = level;
	if (level && v->pin.has_fd)
		(void)leap__eventfd_signal(v->pin.fd);
	if (v->opts.intx)
		v->opts.intx(v->opts.arg, level);
}

/*
 * Until now the other process went by what it knew before. What it has
 * signalled to an eventfd that is gone may be the pin's; what it has kept from
 * us, for one that it could not take, is not known: once too often then.
 * Whoever has ended is followed by one who is told again.
 */
void leap__vdev_irq_told(struct leap_vdev *v, uint32_t vector, int err)
{
	int refused = err && err != -ECONNRESET;

	v->irq_refused |= (uint32_t)refused;
	if (!LEAP_PLANT(IRQ_END_UNSEEN))
		leap__vdev_intx_update(v);
	if (refused)
		leap__vdev_irq(v, vector);
}

static void intx_look(struct leap_timer *timer)
{
	struct leap_vdev *v =
		leap__list_entry(timer, struct leap_vdev, intx_timer);
	uint32_t ns = v->intx_look_ns;

	leap__vdev_intx_update(v);
	if (!timer->armed)
		return;
	v->intx_look_ns = ns < INTX_LOOK_MAX ? ns * 2 : ns;
	leap_timer_start(v->home, timer, v->intx_look_ns);
}

int leap_vdev_intx_level(const struct leap_vdev *v)
{
	return pin_wanted((struct leap_vdev *)v);
}
