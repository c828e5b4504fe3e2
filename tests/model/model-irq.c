/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts under the explorer, while the guest changes how it gets them: from
 * messages to the pin and back, with the queue served in this process or in
 * another one, whose eventfd comes and goes by message. The shipped code of
 * both halves runs between a home, an I/O thread and, with another process, a
 * home there; poll groups and the link are words and fake eventfds.
 * Entries that are there without an interrupt, when nothing can move any more,
 * are the violation.
 */
#define _GNU_SOURCE	/* dup3 */
#include "core/ctrl/runtime_priv.h"
#include "core/ctrl/vdev_priv.h"
#include "core/io/wake.h"
#include "explore.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ENABLE		0x8000u
#define NO_INTX		0x04u	/* of the command register's upper byte */

/* Fake eventfds. */
#define HOME_FD		0	/* a home sleeps on */
#define FAR_FD		1	/* the one of the other process */
#define GUEST_FD	2	/* the guest's, of its vector */

enum { HOME, FAR_HOME };

/* What a home finds in its mail: how often, a byte for each. */
#define POKED		1u		/* by a thread that serves a queue */
#define TOLD		(1u << 8)	/* the other process says IRQ */
#define ANSWERED	(1u << 16)	/* and what has become of ours */
#define ASKED		(1u << 24)	/* the agent says IRQ */

struct world {
	struct leap_vdev v;
	struct leap__rctrl c;		/* the same, in the other process */
	struct leap_runtime rt;
	struct leap__rvector vector[1];
	struct leap_doorbell db[2];
	uint32_t mail[2];
	int asked_fd;
	uint32_t go;			/* the guest has gone on */
	uint32_t got;			/* and has an interrupt */
};

static struct world world;
/* Nothing of them changes: with INTMS as after a reset, and vector 0 masked. */
static struct leap__ctrl ctrl = { .cc = LEAP_CC_EN };
static struct leap__ctrl masked = { .cc = LEAP_CC_EN, .intm = 1 };
static struct leap_pollgroup groups[2];

/* ---- what the halves stand on ---- */

static void mail(int home, uint32_t what)
{
	(void)leap__fetch_add(&world.mail[home], what);
	leap__eventfd_signal(home == HOME ? HOME_FD : FAR_FD);
}

void leap_pollgroup_send(struct leap_pollgroup *pg, struct leap_msg *msg)
{
	(void)msg;
	mail(pg == &groups[HOME] ? HOME : FAR_HOME, POKED);
}

void leap__vdev_tell_irq(struct leap_vdev *v, uint32_t vector, int fd)
{
	(void)v;
	(void)vector;
	leap__store_relaxed(&world.asked_fd, fd);
	mail(FAR_HOME, ASKED);
}

void leap__runtime_tell(struct leap_runtime *rt, struct leap_link_msg *msg)
{
	(void)rt;
	explore_check(msg->type == LEAP_LINK_IRQ);
	mail(HOME, TOLD);
}

int leap__vdev_cq_waiting(struct leap_vdev *v, struct leap__vcq *cq)
{
	(void)v;
	(void)cq;
	return leap__load_acquire(&world.db[1].posted) != 0;
}

int leap__vdev_intx_allowed(const struct leap_vdev *v)
{
	return !(v->config[5] & NO_INTX);
}

bool leap__is_eventfd(int fd)
{
	return fd == GUEST_FD;
}

/* The number stays; what is behind it is nobody's affair here. */
int fcntl(int fd, int cmd, ...)
{
	(void)cmd;
	return fd;
}

int dup3(int from, int to, int flags)
{
	(void)from;
	(void)flags;
	return to;
}

int eventfd(unsigned int value, int flags)
{
	(void)value;
	(void)flags;
	return HOME_FD;
}

void leap__vdev_settle(struct leap_vdev *v)
{
	(void)v;
}

void leap__rctrl_settle(struct leap__rctrl *c)
{
	(void)c;
}

void leap_timer_start(struct leap_pollgroup *pg, struct leap_timer *timer,
		      uint64_t ns)
{
	(void)pg;
	(void)timer;
	(void)ns;
}

void leap_timer_stop(struct leap_pollgroup *pg, struct leap_timer *timer)
{
	(void)pg;
	(void)timer;
}

void leap__pg_log_limited(struct leap_pollgroup *pg,
			  struct leap__log_limit *limit,
			  enum leap_log_level level, const char *fmt, ...)
{
	(void)pg;
	(void)limit;
	(void)level;
	(void)fmt;
}

int leap__err(int err, const char *fmt, ...)
{
	(void)fmt;
	return err;
}

/* ---- threads ---- */

static void run_home(struct world *w)
{
	for (;;) {
		uint32_t got;

		explore_wait(HOME_FD);
		got = leap__exchange(&w->mail[HOME], 0u);
		if (got & 0xff * POKED)
			w->v.poke.run(&w->v.poke);
		if (got & 0xff * TOLD)
			leap__vdev_irq(&w->v, 0);
		if (got & 0xff * ANSWERED)
			leap__vdev_irq_told(&w->v, 0, 0);
	}
}

static void far_home(void *arg)
{
	struct world *w = arg;

	for (;;) {
		uint32_t got;

		explore_wait(FAR_FD);
		got = leap__exchange(&w->mail[FAR_HOME], 0u);
		if (got & 0xff * ASKED) {
			leap__rctrl_irq_fd(&w->c, 0,
					   leap__load_relaxed(&w->asked_fd));
			mail(HOME, ANSWERED);
		}
		if (got & 0xff * POKED)
			w->c.poke.run(&w->c.poke);
	}
}

static void post(struct world *w)
{
	leap__store_release(&w->db[1].posted, leap__cpu_to_le32(1));
}

static void serve(void *arg)
{
	struct world *w = arg;

	post(w);
	w->v.guest.raise(&w->v.guest, 0);
}

static void far_serve(void *arg)
{
	struct world *w = arg;

	while (!leap__load_acquire(&w->go))
		explore_await();
	post(w);
	w->c.guest.raise(&w->c.guest, 0);
}

static void guest(void *arg)
{
	struct world *w = arg;

	explore_wait(GUEST_FD);
	w->got = 1;
}

static void to_the_pin(void *arg)
{
	struct world *w = arg;

	leap__vdev_msix_control(&w->v, 0);
	run_home(w);
}

static void allow_the_pin(void *arg)
{
	struct world *w = arg;

	w->v.config[5] = 0;
	leap__vdev_intx_update(&w->v);
	run_home(w);
}

static void give_eventfd(void *arg)
{
	struct world *w = arg;

	leap_vdev_irq_fd(&w->v, LEAP_VDEV_MSIX, 0, GUEST_FD);
	leap__store_release(&w->go, 1u);
	run_home(w);
}

static void take_eventfd(void *arg)
{
	struct world *w = arg;

	leap_vdev_irq_fd(&w->v, LEAP_VDEV_MSIX, 0, -1);
	run_home(w);
}

/* INTMC; eventfds and messages of the other process are as they were. */
static void unmask(void *arg)
{
	struct world *w = arg;

	w->v.c = &ctrl;
	leap__vdev_irq_mask(&w->v);
	run_home(w);
}

static void mask_and_unmask(void *arg)
{
	struct world *w = arg;

	w->v.c = &masked;
	leap__vdev_irq_mask(&w->v);
	unmask(w);
}

/* ---- models ---- */

/* A queue with vector 0, messages that are on and have no mask. */
static void build(struct world *w)
{
	struct leap_vdev *v = &w->v;

	v->c = &ctrl;
	v->home = &groups[HOME];
	v->started = 1;
	v->nr_queues = 1;
	v->nr_vectors = 1;
	v->guest.state = (uint8_t *)w->db;
	v->guest.raise = leap__vdev_raise;
	leap__vdev_irq_init(v);
	v->vector[0].ctrl = 0;
	leap__vdev_msix_control(v, ENABLE);
}

static void build_far(struct world *w)
{
	build(w);
	w->rt.pg = &groups[FAR_HOME];
	w->c.rt = &w->rt;
	w->c.guest.state = (uint8_t *)w->db;
	leap__rctrl_irq_init(&w->c);
	free(w->c.vector);
	w->c.vector = w->vector;
	w->c.nr_vectors = 1;
	w->vector[0].irqfd = LEAP__IRQFD_NONE;
}

static void setup_messages(void *arg)
{
	build(arg);
}

static void setup_silent(void *arg)
{
	struct world *w = arg;

	build(w);
	w->v.config[5] = NO_INTX;
	leap__vdev_msix_control(&w->v, 0);
	explore_check(leap__load_relaxed(&w->db[0].no_irq));
}

/* Masks are the client's: nobody hears of interrupts that have no eventfd. */
static void setup_client(void *arg)
{
	struct world *w = arg;

	w->v.opts.client_msix = 1;
	build_far(w);
	explore_check(leap__load_relaxed(&w->db[0].no_irq));
}

static void setup_client_fd(void *arg)
{
	struct world *w = arg;

	setup_client(w);
	leap__vdev_msix_control(&w->v, 0);
	leap_vdev_irq_fd(&w->v, LEAP_VDEV_MSIX, 0, GUEST_FD);
	leap__rctrl_irq_fd(&w->c, 0, GUEST_FD);
	explore_check(leap__exchange(&w->mail[FAR_HOME], 0u) == ASKED);
	leap__store_relaxed(&w->go, 1u);
}

static void setup_mask(struct world *w)
{
	w->v.opts.irqs = LEAP_VDEV_HAS_MSI;
	w->v.c = &masked;
	leap__vdev_irq_mask(&w->v);
}

static void setup_masked(void *arg)
{
	struct world *w = arg;

	build(w);
	leap_vdev_irq_fd(&w->v, LEAP_VDEV_MSIX, 0, GUEST_FD);
	setup_mask(w);
}

/* Served elsewhere, by one that has the eventfd. */
static void setup_far_masked(void *arg)
{
	struct world *w = arg;

	setup_client_fd(w);
	setup_mask(w);
}

static void setup_far_unmasked(void *arg)
{
	struct world *w = arg;

	setup_far_masked(w);
	w->v.c = &ctrl;
	leap__vdev_irq_mask(&w->v);
}

static void pin_final(void *arg, unsigned int stuck)
{
	struct world *w = arg;

	(void)stuck;
	if (!w->v.level)
		explore_fail("the pin is down beside an entry");
}

static void eventfd_final(void *arg, unsigned int stuck)
{
	struct world *w = arg;

	(void)stuck;
	if (!w->got)
		explore_fail("the guest waits for ever for an interrupt");
}

static const struct explore_model messages_to_pin = {
	.name = "messages-to-pin", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_messages,
	.thread = { to_the_pin, serve }, .final = pin_final,
};

static const struct explore_model pin_allowed = {
	.name = "pin-allowed", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_silent,
	.thread = { allow_the_pin, serve }, .final = pin_final,
};

static const struct explore_model eventfd_comes = {
	.name = "eventfd-comes", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_client,
	.thread = { give_eventfd, far_home, far_serve, guest },
	.final = eventfd_final,
};

static const struct explore_model eventfd_goes = {
	.name = "eventfd-goes", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_client_fd,
	.thread = { take_eventfd, far_home, far_serve },
	.final = pin_final,
};

static const struct explore_model message_unmasked = {
	.name = "message-unmasked", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_masked,
	.thread = { unmask, serve, guest }, .final = eventfd_final,
};

static const struct explore_model far_unmasked = {
	.name = "far-unmasked", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_far_masked,
	.thread = { unmask, far_home, far_serve, guest },
	.final = eventfd_final,
};

static const struct explore_model far_masked = {
	.name = "far-masked-and-unmasked", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_far_unmasked,
	.thread = { mask_and_unmask, far_home, far_serve, guest },
	.final = eventfd_final,
};

static const struct explore_case cases[] = {
	{ &messages_to_pin, { LEAP_PLANT_IRQ_UNFENCED,
			      LEAP_PLANT_IRQ_MODE_UNFENCED } },
	{ &pin_allowed, { LEAP_PLANT_IRQ_UNFENCED,
			  LEAP_PLANT_IRQ_MODE_UNFENCED } },
	{ &eventfd_comes, { LEAP_PLANT_IRQ_NOT_KEPT } },
	{ &eventfd_goes, { LEAP_PLANT_IRQ_UNFENCED,
			   LEAP_PLANT_IRQ_END_UNSEEN } },
	{ &message_unmasked, { LEAP_PLANT_IRQ_MASK_UNFENCED } },
	{ &far_unmasked, { LEAP_PLANT_IRQ_MASKED_UNTOLD } },
	{ &far_masked, { LEAP_PLANT_IRQ_MASKED_UNTOLD } },
};

int main(int argc, char **argv)
{
	return explore_main(argc, argv, cases,
			    sizeof(cases) / sizeof(cases[0]));
}
