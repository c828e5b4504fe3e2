/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest on another thread against a poll group that sleeps whenever it can:
 * no doorbell of either kind may be lost, for submissions and for room.
 */
#include "guest-fixture.h"

#include <pthread.h>
#include <stdio.h>

#include "core/io/pollgroup.h"
#include "rand.h"

#define CQ_DEPTH 4u
#define SQ_DEPTH 16u
#define SPINS	1000u
#define LOOKS	200000u	/* pauses of 20 us and more: somebody sleeps on it */

struct both {
	struct gx gx;
	struct gx_cq cq;
	struct gx_sq sq;
	uint32_t rounds;
	struct leap_msg msg;	/* from the guest: over */
	bool over;
	const char *wrong;	/* the guest's, until then */
};

static void is_over(struct leap_msg *msg)
{
	((struct both *)((char *)msg - offsetof(struct both, msg)))->over =
		true;
}

/* No answer for so long means that somebody sleeps on it. */
static bool wait_for(struct both *b, struct leap__cqe *cqe)
{
	uint32_t looks;

	for (looks = 0; looks < LOOKS; looks++) {
		if (gx_reap(&b->cq, cqe))
			return true;
		if (looks > SPINS)
			unit_pause();
	}
	return false;
}

/* Long enough for the other side to fall asleep, at times. */
static void dawdle(struct test_rand *r)
{
	struct timespec ts = { 0, (long)test_rand_below(r, 60000) };
	uint32_t n;

	switch (test_rand_below(r, 4)) {
	case 0:
		nanosleep(&ts, NULL);
		break;
	case 1:
		for (n = test_rand_below(r, 60000); n; n--)
			__asm__ volatile("" : : : "memory");
		break;
	}
}

static void *guest(void *arg)
{
	struct both *b = arg;
	struct test_rand r = { 7 };
	struct leap__cqe cqe;
	uint32_t i, n, k;

	for (i = 0; i < b->rounds && !b->wrong; i++) {
		struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, (uint16_t)i, i);

		n = 1 + test_rand_below(&r, 8);
		for (k = 0; k < n; k++)
			gx_push(&b->sq, &sqe);
		gx_ring(&b->sq);
		dawdle(&r);
		/* More than the completion queue holds: it blocks. */
		for (k = 0; k < n; k++) {
			if (!wait_for(b, &cqe)) {
				b->wrong = "no answer";
				break;
			}
			if (cqe.cid != (uint16_t)i)
				b->wrong = "another's answer";
			b->sq.head = cqe.sqhd;
			if (test_rand_below(&r, 2) || k + 1 == n)
				gx_ring_cq(&b->cq);
			else if (k % (CQ_DEPTH - 1) == CQ_DEPTH - 2)
				gx_ring_cq(&b->cq);
			if (n > CQ_DEPTH)
				dawdle(&r);
		}
	}
	b->msg.run = is_over;
	leap_pollgroup_send(b->gx.pg, &b->msg);
	return NULL;
}

static void both_sides(bool shadow)
{
	struct leap_pollgroup_stats stats = { .size = sizeof(stats) };
	struct leap__guest_info info;
	leap_gpa_t db, ei;
	pthread_t thread;
	struct both b;

	memset(&b, 0, sizeof(b));
	b.rounds = unit_is_slow() ? 1000 : 6000;
	gx_init(&b.gx);
	gx_cq(&b.gx, &b.cq, 1, CQ_DEPTH, 0);
	gx_sq(&b.gx, &b.sq, 1, &b.cq, SQ_DEPTH);
	if (shadow) {
		db = gx_alloc(&b.gx, 4096, 4096);
		ei = gx_alloc(&b.gx, 4096, 4096);
		assert_int_equal(leap__guest_vqp_shadow(b.sq.vqp, db, ei), 0);
		b.sq.shadow = (leap_le32 *)gx_at(&b.gx, db) + 2;
		b.sq.eventidx = (leap_le32 *)gx_at(&b.gx, ei) + 2;
		b.cq.shadow = (leap_le32 *)gx_at(&b.gx, db) + 3;
		b.cq.eventidx = (leap_le32 *)gx_at(&b.gx, ei) + 3;
	}
	assert_int_equal(pthread_create(&thread, NULL, guest, &b), 0);
	/* Without a timeout that would wake it all the same. */
	while (!b.over)
		leap_pollgroup_wait(b.gx.pg, -1);
	pthread_join(thread, NULL);
	if (b.wrong)
		fail_msg("%s", b.wrong);
	leap__guest_vqp_info(b.sq.vqp, &info);
	leap_pollgroup_stats(b.gx.pg, &stats);
	assert_true(stats.sleeps > b.rounds / 20);
	assert_true(info.kicks > 0 && info.bad_doorbells == 0);
	gx_sq_end(&b.sq);
	gx_cq_end(&b.cq);
	gx_fini(&b.gx);
}

static void test_trapped(void **state)
{
	both_sides(false);
}

static void test_shadow(void **state)
{
	both_sides(true);
}

/* A doorbell stored by somebody else's hand and kicked: once, while asleep. */
static void test_kick_only_sleepers(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 8, 0);
	gx_sq(&gx, &sq, 1, &cq, 8);
	assert_int_equal(sq.db->wake, 0);
	gx_poll(&gx, 1);
	assert_int_equal(leap_pollgroup_arm(gx.pg), 0);
	assert_int_not_equal(sq.db->wake, 0);
	assert_int_equal(cq.db->wake, 0);	/* nothing blocked there */
	gx_push(&sq, &sqe);
	gx_ring(&sq);
	assert_int_equal(sq.db->wake, 0);	/* taken off by who kicks */
	assert_true(leap_pollgroup_wait(gx.pg, 5000000000) > 0);
	assert_int_equal(gx.executed, 1);
	gx_end(&gx, &sq, 1, &cq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trapped),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_kick_only_sleepers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
