/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that does two things at once: takes memory away in which queues are
 * being created, rings doorbells of queues that go, unmaps the page of its
 * shadow doorbells. The queues are served by a thread of their own. All rings
 * and pages are seen by the drive through an alias of the guest's memory, which
 * comes and goes, while the guest itself always has it.
 */
#include "guest-driver.h"
#include "rand.h"

#include <leapio/bdev.h>
#include <leapio/nvme.h>

#include <pthread.h>
#include <stdatomic.h>

#include "core/ctrl/vdev_priv.h"

#define NQN		"nqn.2026-01.org.example:races"
#define RAM_BYTES	(1u << 20)
#define ALIAS		(1ull << 40)
#define ROUNDS		300u

struct w {
	struct leap_pollgroup *home, *io;
	pthread_t thread;
	atomic_int stop;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *v;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	struct test_rand r;
	int mapped;
};

static void *run_group(void *arg)
{
	struct w *w = arg;

	while (!atomic_load(&w->stop))
		leap_pollgroup_wait(w->io, 2000000);
	return NULL;
}

static int set_up(void **state)
{
	struct w *w = calloc(1, sizeof(*w));

	assert_int_equal(leap_pollgroup_create(NULL, &w->home), 0);
	assert_int_equal(leap_pollgroup_create(NULL, &w->io), 0);
	assert_int_equal(leap_target_create(w->home, NULL, &w->target), 0);
	assert_int_equal(leap_target_add_group(w->target, w->io), 0);
	assert_int_equal(pthread_create(&w->thread, NULL, run_group, w), 0);
	w->ss = serve_subsystem(w->target, NQN);
	serve_ns(w->home, w->ss, "memory:1M", 1);
	assert_int_equal(leap_vdev_create(w->ss, NULL, &w->v), 0);
	w->g = gd_new(w->v, RAM_BYTES, serve_poll, w->home);
	w->r.s = 7;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct w *w = *state;

	gd_unplug(w->home, w->v);
	gd_free(w->g);
	serve_stop(w->home, w->target);
	atomic_store(&w->stop, 1);
	pthread_join(w->thread, NULL);
	assert_int_equal(leap_pollgroup_destroy(w->io), 0);
	assert_int_equal(leap_pollgroup_destroy(w->home), 0);
	free(w);
	return 0;
}

/* ---- the alias ---- */

static void alias_add(struct w *w)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = ALIAS;
	r.bytes = RAM_BYTES;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = w->g->ram;
	assert_int_equal(leap_vdev_mem_add(w->v, &r), 0);
	w->mapped = 1;
}

static void alias_del(struct w *w, int *done)
{
	*done = 0;
	assert_int_equal(leap_vdev_mem_del(w->v, (leap_gpa_t){ ALIAS },
					   RAM_BYTES, set_err, done), 0);
	w->mapped = 0;
}

static uint64_t alias_of(uint64_t gpa)
{
	return gpa - GD_BASE + ALIAS;
}

static uint16_t ask(struct w *w, struct leap_sqe sqe, uint64_t prp1)
{
	if (prp1)
		sqe.prp1 = leap_to_le64(alias_of(prp1));
	return gd_submit(w->g, &w->g->asq, &sqe);
}

static void some_polls(struct w *w)
{
	uint32_t n = test_rand_below(&w->r, 6);

	while (n--)
		serve_poll(w->home);
}

static void new_rings(struct w *w)
{
	w->g->used = 1u << 16;	/* behind the admin queues */
	gd_cq_init(w->g, &w->cq, 1, 16);
	gd_sq_init(w->g, &w->sq, 1, 16, &w->cq);
}

static void flush(struct w *w)
{
	struct leap_sqe sqe = { .opc = LEAP_NVM_FLUSH,
				.nsid = leap_to_le32(1) };

	assert_int_equal(gd_cmd(w->g, &w->sq, &sqe), 0);
}

static void bring_up(struct w *w)
{
	alias_add(w);
	assert_int_equal(gd_enable(w->g, 32, 32), LEAP_CSTS_RDY);
	new_rings(w);
}

/* ---- tests ---- */

/* Each of the two ends well, or because there was no memory; nothing hangs. */
static void test_unmap_in_create(void **state)
{
	struct w *w = *state;
	struct gd *g = w->g;
	leap_status_t cqs, sqs;
	uint32_t n, made = 0;
	uint16_t cid;
	int done = 1;

	bring_up(w);
	for (n = 0; n < ROUNDS; n++) {
		new_rings(w);
		cid = ask(w, gd_sqe_create_cq(&w->cq, 0, 1), w->cq.gpa);
		some_polls(w);
		if (n % 2)
			alias_del(w, &done);
		cqs = gd_wait(g, &g->asq, cid);
		assert_true(!cqs || cqs == LEAP_SC_DATA_TRANSFER);
		sqs = cqs;
		if (!cqs) {
			cid = ask(w, gd_sqe_create_sq(&w->sq), w->sq.gpa);
			some_polls(w);
			if (!(n % 2))
				alias_del(w, &done);
			sqs = gd_wait(g, &g->asq, cid);
			assert_true(!sqs || sqs == LEAP_SC_DATA_TRANSFER);
		}
		serve_await(w->home, &done);
		assert_int_equal(done, 1);
		if (!w->mapped)
			alias_add(w);
		if (!sqs) {
			flush(w);
			assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_SQ, 1),
					 0);
			made++;
		}
		if (!cqs)
			assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_CQ, 1),
					 0);
		assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	}
	assert_true(made > 0);
}

/* A queue that is made again knows nothing of what was rung before. */
static void test_doorbells_of_the_dead(void **state)
{
	struct leap_sqe sqe = { .opc = LEAP_NVM_FLUSH,
				.nsid = leap_to_le32(1) };
	struct w *w = *state;
	struct gd *g = w->g;
	uint32_t n, i;
	uint16_t cid;

	bring_up(w);
	for (n = 0; n < ROUNDS; n++) {
		new_rings(w);
		cid = ask(w, gd_sqe_create_cq(&w->cq, 0, 1), w->cq.gpa);
		assert_int_equal(gd_wait(g, &g->asq, cid), 0);
		cid = ask(w, gd_sqe_create_sq(&w->sq), w->sq.gpa);
		assert_int_equal(gd_wait(g, &g->asq, cid), 0);
		flush(w);
		for (i = 0; i < 8; i++)
			gd_push(g, &w->sq, &sqe);
		cid = ask(w, gd_sqe_delete(LEAP_ADM_DELETE_SQ, 1), 0);
		for (i = 0; i < 16; i++) {
			gd_wr4(g, LEAP_REG_SQTDBL(1, 0),
			       test_rand_below(&w->r, 20));
			gd_wr4(g, LEAP_REG_CQHDBL(1, 0),
			       test_rand_below(&w->r, 20));
			some_polls(w);
		}
		assert_int_equal(gd_wait(g, &g->asq, cid), 0);
		cid = ask(w, gd_sqe_delete(LEAP_ADM_DELETE_CQ, 1), 0);
		for (i = 0; i < 8; i++) {
			gd_wr4(g, LEAP_REG_CQHDBL(1, 0),
			       test_rand_below(&w->r, 20));
			gd_wr4(g, LEAP_REG_SQTDBL(1, 0), i);
			some_polls(w);
		}
		assert_int_equal(gd_wait(g, &g->asq, cid), 0);
		assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	}
}

/* Commands that are rung while the page is away are found when it is back. */
static void test_shadow_goes(void **state)
{
	struct leap_sqe dbbuf = { .opc = LEAP_ADM_DBBUF_CONFIG };
	struct leap_sqe sqe = { .opc = LEAP_NVM_FLUSH,
				.nsid = leap_to_le32(1) };
	struct w *w = *state;
	struct gd *g = w->g;
	uint64_t db, ei;
	uint32_t n, i;
	uint16_t cid;
	int done;

	bring_up(w);
	/* Rings where they stay, only the pages are in the alias. */
	assert_int_equal(gd_create_cq(g, &w->cq, 0, 1), 0);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	db = gd_alloc(g, GD_PAGE);
	ei = gd_alloc(g, GD_PAGE);
	dbbuf.prp2 = leap_to_le64(alias_of(ei));
	cid = ask(w, dbbuf, db);
	assert_int_equal(gd_wait(g, &g->asq, cid), 0);
	g->shadow = db;
	g->eventidx = ei;
	for (n = 0; n < ROUNDS; n++) {
		for (i = 0; i < test_rand_below(&w->r, 3); i++)
			flush(w);
		alias_del(w, &done);
		some_polls(w);
		cid = gd_submit(g, &w->sq, &sqe);
		some_polls(w);
		serve_await(w->home, &done);
		assert_int_equal(done, 1);
		/* The pin looks there as well. */
		(void)leap_vdev_intx_level(w->v);
		if (n % 2)
			some_polls(w);
		alias_add(w);
		assert_int_equal(gd_wait(g, &w->sq, cid), 0);
		assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_unmap_in_create), T(test_doorbells_of_the_dead),
		T(test_shadow_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
