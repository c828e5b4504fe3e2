/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a virtual PCI function: from leap_vdev_create to the moment when
 * nothing touches the guest's memory any more, whoever pulls it out; resets.
 * Ties a controller behind registers (registers.c) to the other vdev_*.c, which
 * know the rest.
 *
 *	destroy, or the controller ends --> queues go --> other processes told
 *	--> the controller is put --> (destroy) --> freed
 */
#include "core/ctrl/vdev_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/info.h"
#include "util/opts.h"
#include "util/uuid.h"

/* ---- the end ---- */

/* Nothing that belongs to a queue, here or elsewhere. */
static int is_quiet(const struct leap_vdev *v)
{
	return leap__list_empty(&v->admins) && !v->c->nr_ioqs && !v->nr_cqs &&
	       !v->shadow_cmd;
}

static int waits_over(const struct leap_vdev *v)
{
	const struct leap__list *first = leap__list_first(&v->admins);

	if (!v->c)
		return 1;
	/* A reset that the end overtook is never done by itself. */
	if (v->ended)
		return is_quiet(v);
	/* Of admin queues the one that is in use may be there. */
	return !v->c->resetting &&
	       (!first || (v->started && first->next == &v->admins));
}

/* Those who wait now; who is told may wait for another one. */
static void finish_waits(struct leap_vdev *v, struct leap__list *waits)
{
	struct leap__list over, *item;

	leap__list_init(&over);
	while ((item = leap__list_pop(waits)))
		leap__list_push_back(&over, item);
	while ((item = leap__list_pop(&over))) {
		struct leap__vwait *w =
			leap__list_entry(item, struct leap__vwait, link);

		leap_timer_stop(v->home, &w->timer);
		w->done(w->arg, 0);
		free(w);
	}
}

/* The controller is going: let it. */
static void leave(struct leap_vdev *v)
{
	struct leap__ctrl *c = v->c;

	if (!v->told_end) {
		v->told_end = 1;
		leap__vdev_tell_forget(v);
		leap__vdev_tell_end(v);
	}
	if (v->out || leap__load_relaxed(&v->poked))
		return;
	if (v->view && leap_ats_detach(v->view))
		return;
	v->view = NULL;
	leap_timer_stop(v->home, &v->intx_timer);
	leap__list_remove(&v->link);
	leap__round_fini(&v->shadow_round);
	v->c = NULL;
	v->target = NULL;
	leap__ctrl_put(c);
}

static void free_vdev(struct leap_vdev *v)
{
	leap__vdev_mem_fini(v);
	leap__vdev_irq_fini(v);
	leap_dmabuf_put(v->state);
	if (v->guest.ats)
		leap_ats_destroy(v->guest.ats);
	free(v->cq);
	free(v);
}

static void settle(struct leap_timer *timer)
{
	struct leap_vdev *v =
		leap__list_entry(timer, struct leap_vdev, settle_timer);
	void (*destroyed)(void *arg);
	void *arg;

	/* Who is told may destroy it: then, and not before, it is known how. */
	if (waits_over(v))
		finish_waits(v, &v->waits);
	if (!v->mem_out)
		finish_waits(v, &v->mem_waits);
	if (v->c && is_quiet(v)) {
		leap__vdev_irq_trim(v);
		if (v->ended)
			leave(v);
	}
	if (!v->dying || v->c || !leap__list_empty(&v->memops) ||
	    leap__load_relaxed(&v->poked))
		return;
	/* Views of other groups may be on their way out. */
	if (leap_ats_destroy(v->guest.ats)) {
		leap_timer_start(v->home, timer, 1000000);
		return;
	}
	v->guest.ats = NULL;
	destroyed = v->destroyed;
	arg = v->destroyed_arg;
	leap_timer_stop(v->home, timer);
	leap__pollgroup_release(v->home);
	free_vdev(v);
	if (destroyed)
		destroyed(arg);
}

void leap__vdev_settle(struct leap_vdev *v)
{
	v->settle_timer.run = settle;
	leap_timer_start(v->home, &v->settle_timer, 0);
}

void leap_vdev_destroy(struct leap_vdev *v, void (*done)(void *arg), void *arg)
{
	if (!v)
		return;
	v->dying = 1;
	v->destroyed = done;
	v->destroyed_arg = arg;
	if (v->c)
		leap__ctrl_end(v->c);
	leap__vdev_settle(v);
}

/* ---- create ---- */

static void set_hostid(struct leap_vdev *v)
{
	static const uint8_t none[16];
	struct leap__world *w = leap__pollgroup_world(v->home);
	uint64_t rnd[2];

	if (!memcmp(v->opts.hostid, none, sizeof(none))) {
		rnd[0] = w->ops->random(w);
		rnd[1] = w->ops->random(w);
		memcpy(v->opts.hostid, rnd, sizeof(rnd));
		/* RFC 4122: version 4, variant 10b. */
		v->opts.hostid[6] = (uint8_t)((v->opts.hostid[6] & 0x0f) |
					      0x40);
		v->opts.hostid[8] = (uint8_t)((v->opts.hostid[8] & 0x3f) |
					      0x80);
	}
	memcpy(v->c->hostid, v->opts.hostid, sizeof(v->c->hostid));
	if (v->opts.hostnqn) {
		strcpy(v->c->hostnqn, v->opts.hostnqn);
	} else {
		strcpy(v->c->hostnqn, LEAP_NQN_UUID_PREFIX);
		leap__uuid_format(v->c->hostid, v->c->hostnqn +
				  strlen(LEAP_NQN_UUID_PREFIX));
	}
	v->opts.hostnqn = v->c->hostnqn;
	strcpy(v->c->peer, "pci");
}

/* MSI knows powers of two only; and without messages there is the pin's. */
static void fit_vectors(struct leap_vdev_opts *o)
{
	uint32_t n = 1;

	if (o->irqs == LEAP_VDEV_HAS_MSIX)
		return;
	while (o->irqs == LEAP_VDEV_HAS_MSI && n < o->nr_vectors &&
	       n < LEAP__VDEV_MSI_VECTORS)
		n *= 2;
	o->nr_vectors = n;
}

static int check_opts(struct leap_vdev_opts *o, const struct leap_target *t)
{
	uint32_t queues = t->opts.max_io_queues + 1;

	if (!o->nr_vectors)
		o->nr_vectors = queues < LEAP__VDEV_VECTORS ? queues :
				LEAP__VDEV_VECTORS;
	if (o->nr_vectors > LEAP__VDEV_VECTORS)
		return leap__err(-EINVAL,
			"leap_vdev_create: nr_vectors %u exceeds %u",
			o->nr_vectors, LEAP__VDEV_VECTORS);
	if (o->irqs > LEAP_VDEV_HAS_PIN)
		return leap__err(-EINVAL,
				 "leap_vdev_create: irqs %u exceeds %u",
				 o->irqs, LEAP_VDEV_HAS_PIN);
	fit_vectors(o);
	if (queues > LEAP__VDEV_QUEUES)
		return leap__err(-EINVAL,
				 "leap_vdev_create: the target's max_io_queues "
				 "%u exceeds the doorbells of %u",
				 t->opts.max_io_queues, LEAP__VDEV_QUEUES - 1);
	if (o->hostnqn && leap_nqn_check(o->hostnqn, LEAP_NQN_FIELD))
		return leap__err(-EINVAL, "leap_vdev_create: hostnqn: %s",
				 leap_last_error());
	return 0;
}

static int make_memory(struct leap_vdev *v)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	int err;

	v->record_bytes = leap_record_bytes(LEAP__VDEV_SLOTS);
	o.bytes = v->nr_queues * (2 * sizeof(struct leap_doorbell) +
				  v->record_bytes);
	o.huge = LEAP_HUGE_NEVER;
	o.name = "leapio-vdev";
	err = v->state ? 0 : leap_dmabuf_create(&o, &v->state);
	if (!err && leap_dmabuf_bytes(v->state) < o.bytes)
		err = -EINVAL;
	if (err)
		return err;
	v->guest.state = leap_dmabuf_addr(v->state);
	v->guest.state_bytes = leap_dmabuf_bytes(v->state);
	v->cq = calloc(v->nr_queues, sizeof(struct leap__vcq *));
	if (!v->cq)
		return -ENOMEM;
	err = leap__vdev_irq_init(v);
	return err ? err : leap_ats_create(NULL, &v->guest.ats);
}

static void init_fields(struct leap_vdev *v, struct leap_target *t)
{
	leap__list_init(&v->link);
	leap__list_init(&v->ranges);
	leap__list_init(&v->memops);
	leap__list_init(&v->waits);
	leap__list_init(&v->mem_waits);
	leap__list_init(&v->admins);
	v->target = t;
	v->home = t->home;
	v->sink_fd = -1;
	v->nr_queues = t->opts.max_io_queues + 1;
	v->nr_vectors = v->opts.nr_vectors;
	v->msix_ctrl = v->nr_vectors - 1;
	v->guest.max_data_bytes = t->opts.mdts_bytes;
	v->guest.raise = leap__vdev_raise;
	v->guest.fatal = leap__vdev_guest_fatal;
	leap__vdev_front_init(v);
	leap__vdev_pci_init(v);
}

int leap__vdev_make(struct leap_subsystem *ss,
		    const struct leap_vdev_opts *opts,
		    struct leap_dmabuf *state, struct leap_vdev **out)
{
	struct leap_vdev *v = calloc(1, sizeof(*v));
	int err;

	if (!v)
		return leap__err(-ENOMEM, "leap_vdev_create: out of memory");
	err = leap__opts_copy(&v->opts, sizeof(v->opts), opts);
	if (!err)
		err = check_opts(&v->opts, ss->target);
	if (err) {
		free(v);
		return err;
	}
	init_fields(v, ss->target);
	v->state = state ? leap_dmabuf_get(state) : NULL;
	err = make_memory(v);
	if (!err)
		err = leap__ctrl_create_registers(ss, &v->front, v, &v->c);
	if (err) {
		free_vdev(v);
		return leap__err(err, "leap_vdev_create: %s", err == -EBUSY ?
				 "no controller id is free" : strerror(-err));
	}
	set_hostid(v);
	leap__pollgroup_hold(v->home);
	leap__list_push_back(&v->target->vdevs, &v->link);
	leap__vdev_tell_add(v);
	*out = v;
	return 0;
}

int leap_vdev_create(struct leap_subsystem *ss,
		     const struct leap_vdev_opts *opts, struct leap_vdev **out)
{
	return leap__vdev_make(ss, opts, NULL, out);
}

struct leap_vdev *leap__vdev_next(const struct leap_target *t,
				  const struct leap_vdev *after)
{
	const struct leap__list *next =
		after ? after->link.next : t->vdevs.next;

	return next == &t->vdevs ? NULL :
	       leap__list_entry(next, struct leap_vdev, link);
}

bool leap__vdev_ended(const struct leap_vdev *v)
{
	return !v->c || v->ended || v->c->dead;
}

struct leap__ctrl *leap__vdev_ctrl(const struct leap_vdev *v)
{
	return v->c;
}

/* ---- reset ---- */

void leap__vdev_do_reset(struct leap_vdev *v)
{
	if (!v->c)
		return;
	leap__ctrl_reg_reset(v->c);
	leap__vdev_pci_init(v);
	leap__vdev_irq_reset(v);
	leap__vdev_intx_update(v);
	leap__vdev_settle(v);
}

static void wait_late(struct leap_timer *timer)
{
	struct leap__vwait *w =
		leap__list_entry(timer, struct leap__vwait, timer);

	if (w->fatal && w->v->c)
		w->v->c->csts |= LEAP_CSTS_CFS;
	leap__list_remove(&w->link);
	w->done(w->arg, -ETIMEDOUT);
	free(w);
}

void leap__vdev_wait(struct leap_vdev *v, struct leap__list *waits,
		     uint32_t fatal, void (*done)(void *arg, int err),
		     void *arg)
{
	struct leap__vwait *w = calloc(1, sizeof(*w));

	if (!w) {
		done(arg, -ENOMEM);
		return;
	}
	w->v = v;
	w->fatal = fatal;
	w->done = done;
	w->arg = arg;
	w->timer.run = wait_late;
	leap__list_push_back(waits, &w->link);
	leap_timer_start(v->home, &w->timer,
			 LEAP__VDEV_FENCE_MS * 1000000ull);
	leap__vdev_settle(v);
}

void leap_vdev_reset(struct leap_vdev *v, void (*done)(void *arg, int err),
		     void *arg)
{
	leap__vdev_do_reset(v);
	if (done)
		leap__vdev_wait(v, &v->waits, 1, done, arg);
}

/* ---- info ---- */

struct leap_vdev *leap_vdev_find(const struct leap_subsystem *ss,
				 uint16_t cntlid)
{
	struct leap__ctrl *c = leap__subsystem_ctrl(ss, cntlid);

	return c && c->front ? leap__vdev_of(c) : NULL;
}

int leap_vdev_info(const struct leap_vdev *v, struct leap_vdev_info *info)
{
	struct leap_vdev_info i = { 0 };
	uint32_t q;

	i.nr_vectors = v->nr_vectors;
	i.irqs = v->opts.irqs;
	i.shadow = v->shadow;
	i.doorbells = v->doorbells;
	i.nr_ranges = v->nr_ranges;
	i.mem_bytes = v->mem_bytes;
	i.commands = v->commands;
	i.nr_cqs = (uint16_t)v->nr_cqs;
	if (v->c) {
		i.cntlid = v->c->cntlid;
		i.nr_sqs = (uint16_t)v->c->nr_ioqs;
		i.cc = v->c->cc;
		i.csts = v->c->csts;
	}
	for (q = 1; v->c && q < v->nr_queues; q++)
		if (v->cq[q])
			i.commands += leap__vdev_cq_posted(
				(struct leap_vdev *)v, v->cq[q]);
	return leap__info_copy("leap_vdev_info", info, &i, sizeof(i));
}
