/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Drives of several guests whose I/O queues two poll groups on threads of
 * their own serve: verified I/O with vectors that are masked and unmasked
 * meanwhile, resets and unplugging under it, memory that goes and comes.
 * For ThreadSanitizer as much as for itself.
 */
#include "guest-driver.h"
#include "rand.h"

#include <leapio/bdev.h>
#include <leapio/nvme.h>

#include <pthread.h>
#include <stdatomic.h>

#define NQN		"nqn.2026-01.org.example:threads"
#define RAM_BYTES	(4u << 20)
#define NR_GROUPS	2u
#define NR_GUESTS	4u
#define NR_QUEUES	3u
#define DEPTH		16u
#define BLOCKS		16u

struct group {
	struct leap_pollgroup *pg;
	pthread_t thread;
	atomic_int stop;
};

struct world {
	struct leap_pollgroup *home;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct group group[NR_GROUPS];
	struct test_rand r;
};

struct guest {
	struct world *w;
	unsigned int nr;
	struct leap_vdev *v;
	struct gd *g;
	struct gd_cq cq[NR_QUEUES];
	struct gd_sq sq[NR_QUEUES];
	uint64_t buf[NR_QUEUES];
	uint32_t gen[NR_QUEUES];
	atomic_uint raised[NR_QUEUES + 1];
};

static void *run_group(void *arg)
{
	struct group *g = arg;

	while (!atomic_load(&g->stop))
		leap_pollgroup_wait(g->pg, 2000000);
	return NULL;
}

static int set_up(void **state)
{
	struct leap_subsystem_opts ss = LEAP_SUBSYSTEM_OPTS_INIT;
	struct world *w = calloc(1, sizeof(*w));
	uint32_t i;

	assert_int_equal(leap_pollgroup_create(NULL, &w->home), 0);
	assert_int_equal(leap_target_create(w->home, NULL, &w->target), 0);
	for (i = 0; i < NR_GROUPS; i++) {
		struct group *g = &w->group[i];

		assert_int_equal(leap_pollgroup_create(NULL, &g->pg), 0);
		assert_int_equal(leap_target_add_group(w->target, g->pg), 0);
	}
	for (i = 0; i < NR_GROUPS; i++)
		assert_int_equal(pthread_create(&w->group[i].thread, NULL,
						run_group, &w->group[i]), 0);
	ss.nqn = NQN;
	ss.allow_any_host = 1;
	ss.max_nsid = 16;
	assert_int_equal(leap_subsystem_create(w->target, &ss, &w->ss), 0);
	serve_ns(w->home, w->ss, "memory:16M", 1);
	serve_ns(w->home, w->ss,
		  "delay[read_us=3000,jitter_us=3000] -> memory:16M", 2);
	w->r.s = 99;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	uint32_t i;

	serve_stop(w->home, w->target);
	for (i = 0; i < NR_GROUPS; i++) {
		atomic_store(&w->group[i].stop, 1);
		pthread_join(w->group[i].thread, NULL);
		assert_int_equal(leap_pollgroup_destroy(w->group[i].pg), 0);
	}
	assert_int_equal(leap_pollgroup_destroy(w->home), 0);
	free(w);
	return 0;
}

/* ---- guests ---- */

static void on_raise(void *arg, uint32_t vector)
{
	struct guest *x = arg;

	assert_true(vector <= NR_QUEUES);
	atomic_fetch_add(&x->raised[vector], 1);
}

static void plug_in(struct guest *x)
{
	struct leap_vdev_opts o = LEAP_VDEV_OPTS_INIT;

	o.raise = on_raise;
	o.arg = x;
	assert_int_equal(leap_vdev_create(x->w->ss, &o, &x->v), 0);
	x->g = gd_new(x->v, RAM_BYTES, serve_poll, x->w->home);
}

static void bring_up(struct guest *x, int shadow)
{
	struct gd *g = x->g;
	uint32_t i;

	g->used = 0;
	gd_msix_enable(g, 1);
	for (i = 0; i <= NR_QUEUES; i++)
		gd_wr4(g, LEAP_VDEV_MSIX_TABLE + 16 * i + 12, 0);
	assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
	for (i = 0; i < NR_QUEUES; i++) {
		gd_cq_init(g, &x->cq[i], (uint16_t)(i + 1), DEPTH);
		gd_sq_init(g, &x->sq[i], (uint16_t)(i + 1), DEPTH, &x->cq[i]);
		x->buf[i] = gd_alloc(g, BLOCKS * 512);
		assert_int_equal(gd_create_cq(g, &x->cq[i], i + 1, 1), 0);
		assert_int_equal(gd_create_sq(g, &x->sq[i]), 0);
		if (shadow && i == 1)
			assert_int_equal(gd_dbbuf(g), 0);
	}
}

static uint8_t byte_at(const struct guest *x, uint32_t q, uint32_t i)
{
	return (uint8_t)(x->gen[q] * 29 + x->nr * 5 + q * 3 + i / 512 + i);
}

static void write_and_read(struct guest *x, uint32_t q)
{
	struct gd *g = x->g;
	uint8_t *p = gd_at(g, x->buf[q]);
	uint64_t slba = (x->nr * NR_QUEUES + q) * BLOCKS;
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, slba, BLOCKS);
	uint32_t i;

	x->gen[q]++;
	for (i = 0; i < BLOCKS * 512; i++)
		p[i] = byte_at(x, q, i);
	gd_prp(g, &sqe, x->buf[q], BLOCKS * 512);
	assert_int_equal(gd_cmd(g, &x->sq[q], &sqe), 0);
	memset(p, 0, BLOCKS * 512);
	sqe.opc = LEAP_NVM_READ;
	assert_int_equal(gd_cmd(g, &x->sq[q], &sqe), 0);
	for (i = 0; i < BLOCKS * 512; i++)
		if (p[i] != byte_at(x, q, i))
			fail_msg("guest %u, queue %u, byte %u", x->nr, q, i);
}

static void start_slow(struct guest *x, uint32_t q)
{
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_READ, 2, 0, 8);
	uint32_t i;

	sqe.prp1 = leap_to_le64(x->buf[q]);
	for (i = 0; i < DEPTH - 1; i++)
		gd_push(x->g, &x->sq[q], &sqe);
	gd_ring_sq(x->g, &x->sq[q]);
}

static void init_guests(struct world *w, struct guest *x)
{
	uint32_t i;

	memset(x, 0, NR_GUESTS * sizeof(*x));
	for (i = 0; i < NR_GUESTS; i++) {
		x[i].w = w;
		x[i].nr = i;
		plug_in(&x[i]);
		bring_up(&x[i], (int)i & 1);
	}
}

static void unplug(struct guest *x)
{
	int gone = 0;

	leap_vdev_destroy(x->v, set_flag, &gone);
	serve_await(x->w->home, &gone);
	gd_free(x->g);
	x->v = NULL;
}

static void test_io(void **state)
{
	struct world *w = *state;
	struct guest x[NR_GUESTS];
	uint32_t i, n;

	init_guests(w, x);
	for (n = 0; n < 400; n++)
		write_and_read(&x[n % NR_GUESTS],
			       test_rand_below(&w->r, NR_QUEUES));
	for (i = 0; i < NR_GUESTS; i++)
		unplug(&x[i]);
}

/* Every interrupt comes, whatever the masks do meanwhile. */
static void test_masks(void **state)
{
	struct world *w = *state;
	struct guest x = { .w = w };
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	const uint64_t at = LEAP_VDEV_MSIX_TABLE + 16 + 12;
	uint32_t n, turns, before;
	uint16_t cid;

	flush.cdw12 = leap_to_le32(0);
	plug_in(&x);
	bring_up(&x, 0);
	for (n = 0; n < 2000; n++) {
		/* The guest sleeps until its interrupt, then looks. */
		before = atomic_load(&x.raised[1]);
		cid = gd_submit(x.g, &x.sq[0], &flush);
		for (turns = 0; atomic_load(&x.raised[1]) == before; turns++) {
			gd_wr4(x.g, at, 1);
			if (turns % 3)
				serve_poll(w->home);
			gd_wr4(x.g, at, 0);
			assert_true(turns < 20000000);
		}
		assert_int_equal(gd_wait(x.g, &x.sq[0], cid), 0);
	}
	unplug(&x);
}

static void test_resets(void **state)
{
	struct world *w = *state;
	struct guest x[NR_GUESTS];
	uint32_t n, i;
	int done;

	init_guests(w, x);
	for (n = 0; n < 120; n++) {
		struct guest *one = &x[test_rand_below(&w->r, NR_GUESTS)];

		start_slow(one, test_rand_below(&w->r, NR_QUEUES));
		write_and_read(&x[(one->nr + 1) % NR_GUESTS], 0);
		done = 0;
		switch (test_rand_below(&w->r, 4)) {
		case 0:
			leap_vdev_reset(one->v, set_err, &done);
			serve_await(w->home, &done);
			assert_int_equal(done, 1);
			break;
		case 1:
			gd_disable(one->g);
			break;
		case 2:
			leap_vdev_reset(one->v, NULL, NULL);
			break;
		default:
			unplug(one);
			plug_in(one);
		}
		bring_up(one, (int)n & 1);
		write_and_read(one, 2);
	}
	for (i = 0; i < NR_GUESTS; i++)
		unplug(&x[i]);
}

static void test_memory(void **state)
{
	struct world *w = *state;
	struct guest x = { .w = w };
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	leap_gpa_t base = { GD_BASE };
	uint32_t n;
	int done;

	plug_in(&x);
	bring_up(&x, 0);
	r.gpa = base;
	r.bytes = RAM_BYTES;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = x.g->ram;
	for (n = 0; n < 200; n++) {
		done = 0;
		assert_int_equal(leap_vdev_mem_del(x.v, base, RAM_BYTES,
						   set_err, &done), 0);
		serve_await(w->home, &done);
		assert_int_equal(done, 1);
		assert_int_equal(leap_vdev_mem_add(x.v, &r), 0);
		write_and_read(&x, n % NR_QUEUES);
	}
	unplug(&x);
}

/* Unplugged with the target, nobody having asked. */
static void test_target_goes(void **state)
{
	struct world *w = *state;
	struct guest x = { .w = w };
	int gone = 0;

	plug_in(&x);
	bring_up(&x, 0);
	start_slow(&x, 0);
	leap_subsystem_destroy(w->ss, set_flag, &gone);
	serve_await(w->home, &gone);
	assert_int_equal(gd_rd4(x.g, LEAP_REG_CSTS), 0xffffffff);
	unplug(&x);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_io),
		T(test_masks),
		T(test_resets),
		T(test_memory),
		T(test_target_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
