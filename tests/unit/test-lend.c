/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One drive behind registers lent to many: over a socket and in the same
 * process, on one thread and on several, with and without shadow doorbells.
 * Who gets how many queues, who hears of events, and when memory goes.
 */
#include "lend-fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "core/io/dispatch.h"
#include "core/io/regctrl.h"

static uint64_t bounced(struct leap_pollgroup *pg)
{
	struct leap__list *list = &leap__dispatch(pg)->regctrls, *pos, *q;
	uint64_t n = 0;

	leap__list_for_each(pos, list)
		leap__list_for_each(q, &leap__list_entry(pos,
				struct leap__regctrl, link)->queues) {
			struct leap__regq *rq =
				leap__list_entry(q, struct leap__regq, link);

			n += rq->qid ? rq->qp->bounced : 0;
		}
	return n;
}

/* ---- behaving ------------------------------------------------------- */

static void one_after_the_other(int over)
{
	static struct lx_side s;
	int k;

	for (k = 0; k < 3; k++) {
		lx_side_start(&s, lx.pg, over, 3, 0);
		lx_side_live(&s);
		assert_int_equal(s.nr_queues, 3);
		if (k)
			lx_io(&s, LEAP_NVM_READ, 0, 256, s.base);
		lx_check(&s, 300);
		assert_int_equal(lx_lent().nr_borrowers, 1);
		assert_int_equal(lx_lent().nr_queues, 3);
		assert_int_equal(lx_info().nr_sqs, 3);
		/* Three rings, the admin queue's, payload. */
		assert_int_equal(lx_lent().nr_maps, 5);
		assert_int_equal(bounced(lx.pg), 0);
		lx_io(&s, LEAP_NVM_WRITE_ZEROES, 0, LX_SLICE, s.base);
		memset(s.copy, 0, sizeof(s.copy));
		lx_side_stop(&s);
		lx_wait_unlent();
	}
	assert_int_equal(lx_lent().ended, 3);
	assert_int_equal(lx_lent().resets, 0);
}

static void test_socket(void **state)
{
	one_after_the_other(1);
	/* The drive is awake nearly always: its words are enough. */
	assert_in_range(lx_lent().doorbells, 0, 900);
}

static void test_here(void **state)
{
	one_after_the_other(0);
}

static void test_trapped(void **state)
{
	one_after_the_other(1);
	assert_true(lx_lent().doorbells > 900);
}

static void test_grants(void **state)
{
	static struct lx_side s[4];
	struct leap_borrower_info b = { .size = sizeof(b) };
	uint32_t id = 0, queues = 0, k;

	for (k = 0; k < 3; k++) {
		lx_side_start(&s[k], lx.pg, (int)k & 1, 3, k);
		lx_side_live(&s[k]);
	}
	assert_int_equal(s[0].nr_queues, 3);
	assert_int_equal(s[1].nr_queues, 3);
	assert_int_equal(s[2].nr_queues, 2);
	assert_int_equal(lx_info().nr_sqs, 8);
	/* Nothing is left for a fourth. */
	lx_side_start(&s[3], lx.pg, 1, 3, 3);
	while (s[3].state == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(lx.pg, 1000000);
	assert_int_equal(s[3].state, LEAP_HOST_FAILED);
	lx_side_stop(&s[3]);
	while (!leap_lender_next(lx.lender, id, &b)) {
		assert_true(b.id > id);
		assert_true(b.pid == getpid());
		assert_true(b.commands > 3);
		queues += b.nr_queues;
		id = b.id;
	}
	assert_int_equal(queues, 8);
	for (k = 0; k < 3; k++)
		lx_check(&s[k], 100);
	/* What one gives back, another gets. */
	lx_side_stop(&s[1]);
	lx_side_start(&s[3], lx.pg, 1, 3, 3);
	lx_side_live(&s[3]);
	assert_int_equal(s[3].nr_queues, 3);
	for (k = 0; k < 4; k++)
		if (k != 1)
			lx_check(&s[k], 100);
	for (k = 0; k < 4; k++)
		if (k != 1)
			lx_side_stop(&s[k]);
	lx_wait_unlent();
}

static void test_events(void **state)
{
	static struct lx_side s[2];
	uint64_t from;

	lx_side_start(&s[0], lx.pg, 0, 1, 0);
	lx_side_start(&s[1], lx.pg, 1, 1, 1);
	lx_side_live(&s[0]);
	lx_side_live(&s[1]);
	lx_add_ns("memory:1M");
	from = leap_pollgroup_now_ns(lx.pg);
	while (!s[0].events || !s[1].events)
		lx_turn_once(from);
	lx_side_stop(&s[0]);
	lx_side_stop(&s[1]);
	lx_wait_unlent();
}

/* Nobody polls but when there is something to do: commands from a group that
 * sleeps to a drive that sleeps, and back. */
static void *sleepy(void *arg)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup_stats a = { .size = sizeof(a) }, b = a;
	struct leap_pollgroup *pg;
	static struct lx_side s;
	uint64_t from;
	int k;

	popts.spin_ns = -1;
	LX_MUST(!leap_pollgroup_create(&popts, &pg));
	lx_side_start(&s, pg, 1, 2, 0);
	lx_side_live(&s);
	lx_check(&s, 20);
	for (k = 0; k < 2; k++) {
		for (from = leap_pollgroup_now_ns(pg);
		     leap_pollgroup_now_ns(pg) - from < 100000000;)
			leap_pollgroup_wait(pg, 50000000);
		leap_pollgroup_stats(pg, &a);
		for (from = leap_pollgroup_now_ns(pg);
		     leap_pollgroup_now_ns(pg) - from < 500000000;)
			leap_pollgroup_wait(pg, 250000000);
		leap_pollgroup_stats(pg, &b);
		LX_MUST(b.wakeups - a.wakeups < 6);
		lx_check(&s, 50);
	}
	lx_side_stop(&s);
	LX_MUST(!leap_pollgroup_destroy(pg));
	atomic_store((atomic_int *)arg, 1);
	return NULL;
}

static void test_idle(void **state)
{
	atomic_int ended = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, sleepy, &ended), 0);
	while (!atomic_load(&ended))
		leap_pollgroup_wait(lx.pg, 20000000);
	pthread_join(thread, NULL);
	lx_wait_unlent();
}

/* ---- threads -------------------------------------------------------- */

#define NR_THREADS 3

struct worker {
	pthread_t thread;
	struct lx_side s;
	uint32_t nr;
	atomic_int ended;
};

static void *work(void *arg)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;
	struct worker *x = arg;
	struct leap_pollgroup *pg;
	int k;

	popts.spin_ns = x->nr ? 0 : -1;
	LX_MUST(!leap_pollgroup_create(&popts, &pg));
	for (k = 0; k < 3; k++) {
		lx_side_start(&x->s, pg, 0, 2, x->nr);
		lx_side_live(&x->s);
		LX_MUST(x->s.nr_queues == 2);
		lx_check(&x->s, 150);
		LX_MUST(!bounced(pg));
		lx_io(&x->s, LEAP_NVM_WRITE_ZEROES, 0, LX_SLICE, x->s.base);
		lx_side_stop(&x->s);
	}
	LX_MUST(!leap_pollgroup_destroy(pg));
	atomic_store(&x->ended, 1);
	return NULL;
}

static void threads(void)
{
	static struct worker x[NR_THREADS];
	uint32_t i, left;

	memset(x, 0, sizeof(x));
	for (i = 0; i < NR_THREADS; i++) {
		x[i].nr = i;
		assert_int_equal(pthread_create(&x[i].thread, NULL, work,
						&x[i]), 0);
	}
	do {
		leap_pollgroup_wait(lx.pg, 1000000);
		for (left = NR_THREADS, i = 0; i < NR_THREADS; i++)
			left -= (uint32_t)atomic_load(&x[i].ended);
	} while (left);
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(x[i].thread, NULL);
	lx_wait_unlent();
	assert_int_equal(lx_lent().resets, 0);
}

static void test_threads(void **state)
{
	threads();
}

static void test_threads_trapped(void **state)
{
	threads();
}

/* ---- memory that is wanted back ------------------------------------- */

static void test_buffer_gone(void **state)
{
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	static struct lx_side s;
	uint32_t maps, k;
	uint64_t from;

	lx_side_start(&s, lx.pg, 1, 2, 0);
	lx_side_live(&s);
	lx_check(&s, 50);
	maps = lx_lent().nr_maps;
	for (k = 0; k < 5; k++) {
		leap_dmabuf_put(s.mem);
		from = leap_pollgroup_now_ns(lx.pg);
		while (lx_lent().nr_maps == maps)
			lx_turn_once(from);
		assert_int_equal(lx_lent().nr_maps, maps - 1);
		mopts.bytes = 1 << 20;
		assert_int_equal(leap_dmabuf_create(&mopts, &s.mem), 0);
		s.base = leap_dmabuf_addr(s.mem);
		lx_check(&s, 50);
		assert_int_equal(lx_lent().nr_maps, maps);
	}
	lx_side_stop(&s);
	lx_wait_unlent();
}

/* Another thread uses it meanwhile, and goes on: each wish is granted, and the
 * device knows it again afterwards. */
struct wish {
	struct leap__dmabuf_recall recall;
	atomic_int granted;
};

static void granted(struct leap__dmabuf_recall *recall)
{
	atomic_store(&leap__list_entry(recall, struct wish, recall)->granted,
		     1);
}

static void *use(void *arg)
{
	struct worker *x = arg;
	struct leap_pollgroup *pg;
	int k;

	LX_MUST(!leap_pollgroup_create(NULL, &pg));
	lx_side_start(&x->s, pg, 0, 2, 0);
	lx_side_live(&x->s);
	atomic_store(&x->ended, 1);
	for (k = 0; atomic_load(&x->ended) == 1; k++)
		lx_check(&x->s, 10);
	lx_check(&x->s, 10);
	lx_side_stop(&x->s);
	LX_MUST(!leap_pollgroup_destroy(pg));
	atomic_store(&x->ended, 3);
	return NULL;
}

static void test_recall(void **state)
{
	static struct worker x;
	struct leap_dmabuf *mem;
	struct wish wish;
	uint64_t from;
	int k;

	memset(&x, 0, sizeof(x));
	assert_int_equal(pthread_create(&x.thread, NULL, use, &x), 0);
	while (!atomic_load(&x.ended))
		leap_pollgroup_wait(lx.pg, 1000000);
	mem = leap_dmabuf_get(x.s.mem);
	for (k = 0; k < 50; k++) {
		atomic_store(&wish.granted, 0);
		wish.recall.done = granted;
		from = leap_pollgroup_now_ns(lx.pg);
		leap__dmabuf_recall(mem, &wish.recall);
		while (!atomic_load(&wish.granted)) {
			leap_pollgroup_wait(lx.pg, 100000);
			assert_true(leap_pollgroup_now_ns(lx.pg) - from <
				    LX_SECONDS(120));
		}
		while (leap_pollgroup_now_ns(lx.pg) - from <
		       (uint64_t)k * 50000)
			leap_pollgroup_wait(lx.pg, 10000);
	}
	leap_dmabuf_put(mem);
	atomic_store(&x.ended, 2);
	while (atomic_load(&x.ended) != 3)
		leap_pollgroup_wait(lx.pg, 1000000);
	pthread_join(x.thread, NULL);
	lx_wait_unlent();
	assert_int_equal(lx_lent().resets, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LX_T(test_socket, lx_set_up), LX_T(test_here, lx_set_up),
		LX_T(test_trapped, lx_set_up_trapped),
		LX_T(test_grants, lx_set_up), LX_T(test_events, lx_set_up),
		LX_T(test_idle, lx_set_up), LX_T(test_threads, lx_set_up),
		LX_T(test_threads_trapped, lx_set_up_trapped),
		LX_T(test_buffer_gone, lx_set_up), LX_T(test_recall, lx_set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
