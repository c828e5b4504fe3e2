/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest unmasks a vector at the moment when a thread that serves a queue
 * raises it: the interrupt comes, and comes once, whichever was first. A
 * barrier that is missing shows once in a few million rounds: give their
 * number.
 */
#include "guest-driver.h"

#include <pthread.h>

#include <leapio/nvme.h>

#include "core/ctrl/vdev_priv.h"

#define NQN	"nqn.2026-01.org.example:unmask"
#define MSIX_CAP	0x11
#define MSI_CAP		0x05
#define ENABLE		0x8000u
#define MASK_ALL	0x4000u
#define ROUNDS		100000u

static uint32_t nr_rounds = ROUNDS;

struct w {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *v;
	struct gd *g;
	uint32_t cap;
	uint32_t fired;		/* atomic */
	uint32_t round;		/* atomic: the raiser may begin */
	uint32_t raised;	/* atomic: it has */
	uint32_t stop;		/* atomic */
};

static void on_raise(void *arg, uint32_t vector)
{
	(void)vector;
	__atomic_fetch_add(&((struct w *)arg)->fired, 1, __ATOMIC_SEQ_CST);
}

static int set_up(void **state, uint32_t irqs)
{
	struct leap_vdev_opts vo = LEAP_VDEV_OPTS_INIT;
	struct w *w = calloc(1, sizeof(*w));

	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	w->target = serve_target(w->pg, NQN, &w->ss);
	vo.raise = on_raise;
	vo.arg = w;
	vo.irqs = irqs;
	assert_int_equal(leap_vdev_create(w->ss, &vo, &w->v), 0);
	w->g = gd_new(w->v, 1 << 20, serve_poll, w->pg);
	*state = w;
	return 0;
}

static int set_up_msix(void **state)
{
	struct w *w;

	set_up(state, LEAP_VDEV_HAS_MSIX);
	w = *state;
	w->cap = gd_cap(w->g, MSIX_CAP);
	gd_msix_enable(w->g, 1);
	return 0;
}

static int set_up_msi(void **state)
{
	struct w *w;

	set_up(state, LEAP_VDEV_HAS_MSI);
	w = *state;
	gd_cfg_wr(w->g, gd_cap(w->g, MSI_CAP) + 2, 1, 2);
	/* So that what is held back is not for queues that go. */
	assert_int_equal(gd_enable(w->g, 32, 32), LEAP_CSTS_RDY);
	return 0;
}

static int tear_down(void **state)
{
	struct w *w = *state;

	gd_unplug(w->pg, w->v);
	gd_free(w->g);
	serve_stop(w->pg, w->target);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
	free(w);
	return 0;
}

static void *raiser(void *arg)
{
	struct w *w = arg;
	uint32_t seen = 0, i, now, spins;

	for (;;) {
		for (spins = 0; ; spins++) {
			if (__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE))
				return NULL;
			now = __atomic_load_n(&w->round, __ATOMIC_ACQUIRE);
			if (now != seen)
				break;
			if (spins > 1000)
				unit_pause();
		}
		seen = now;
		/* A little sooner or later each time. */
		for (i = 0; i < seen % 64; i++)
			__asm__ volatile("" : : : "memory");
		leap__vdev_raise(&w->v->guest, 0);
		__atomic_store_n(&w->raised, seen, __ATOMIC_RELEASE);
	}
}

/* Each round: masked; unmasked and raised at once; one interrupt. */
static void rounds(struct w *w, void (*mask)(struct w *w, int on))
{
	uint32_t i, spins;
	pthread_t thread;

	mask(w, 0);
	w->fired = 0;
	assert_int_equal(pthread_create(&thread, NULL, raiser, w), 0);
	for (i = 1; i <= nr_rounds; i++) {
		mask(w, 1);
		__atomic_store_n(&w->round, i, __ATOMIC_RELEASE);
		for (spins = 0; spins < i / 64 % 64; spins++)
			__asm__ volatile("" : : : "memory");
		mask(w, 0);
		for (spins = 0; __atomic_load_n(&w->raised, __ATOMIC_ACQUIRE) !=
				i; spins++)
			if (spins > 1000)
				unit_pause();
		if (__atomic_load_n(&w->fired, __ATOMIC_SEQ_CST) != i)
			break;
	}
	__atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	__atomic_store_n(&w->stop, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&w->round, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&w->raised, 0, __ATOMIC_RELEASE);
	if (i <= nr_rounds)
		fail_msg("round %u: %u interrupts", i, w->fired);
}

static void one_vector(struct w *w, int on)
{
	gd_wr4(w->g, LEAP_VDEV_MSIX_TABLE + 12, (uint32_t)on);
}

static void all_vectors(struct w *w, int on)
{
	gd_cfg_wr(w->g, w->cap + 2, on ? ENABLE | MASK_ALL : ENABLE, 2);
}

static void test_vector(void **state)
{
	rounds(*state, one_vector);
}

static void test_function(void **state)
{
	struct w *w = *state;

	one_vector(w, 0);
	rounds(w, all_vectors);
}

static void by_register(struct w *w, int on)
{
	gd_wr4(w->g, on ? LEAP_REG_INTMS : LEAP_REG_INTMC, 1);
}

static void test_register(void **state)
{
	rounds(*state, by_register);
}

#define T(f, irqs) \
	cmocka_unit_test_setup_teardown(f, set_up_##irqs, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_vector, msix), T(test_function, msix),
		T(test_register, msi),
	};

	if (argc > 1)
		nr_rounds = (uint32_t)strtoul(argv[1], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
