/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs in guest memory that is taken back under them, and comes again:
 * rings wait for it, payload keeps it.
 */
#include "guest-fixture.h"

#define HALF (GX_RAM_BYTES / 2)

/* The first half of RAM holds the CQ, the second the SQ. */
static const leap_gpa_t low = { GX_RAM_GPA }, high = { GX_RAM_GPA + HALF };

struct apart {
	struct gx gx;
	struct gx_cq cq;
	struct gx_sq sq;
	struct leap_sqe sqe;	/* does nothing */
	int done;		/* unmaps that have ended */
};

static void begin(struct apart *a)
{
	a->sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	a->done = 0;
	gx_init(&a->gx);
	gx_unmap(&a->gx, low, GX_RAM_BYTES, &a->done);
	assert_int_equal(a->done, 1);
	a->done = 0;
	gx_map(&a->gx, low, HALF);
	gx_map(&a->gx, high, HALF);
	gx_cq(&a->gx, &a->cq, 1, 8, 1);
	a->gx.mem_used = HALF;
	gx_sq(&a->gx, &a->sq, 1, &a->cq, 8);
}

static void end(struct apart *a)
{
	gx_end(&a->gx, &a->sq, 1, &a->cq);
}

static void push(struct apart *a, int nr)
{
	while (nr--)
		gx_push(&a->sq, &a->sqe);
	gx_ring(&a->sq);
}

/* In the middle of its second time round: with @nr commands that do not end,
 * a half of the memory goes. Rings keep no pin on it. */
static void take(struct apart *a, int nr, leap_gpa_t half)
{
	int i;

	begin(a);
	for (i = 0; i < 11; i++)
		assert_int_equal(gx_do(&a->sq, &a->cq, &a->sqe, NULL), 0);
	a->gx.hold = true;
	push(a, nr);
	gx_poll(&a->gx, 1);
	assert_int_equal(a->gx.nr_held, nr);
	gx_unmap(&a->gx, half, HALF, &a->done);
	assert_int_equal(a->done, 1);
}

static void test_unmap_sq(void **state)
{
	struct leap__guest_info info;
	struct apart a;

	take(&a, 1, high);
	push(&a, 1);
	gx_poll(&a.gx, 3);
	assert_int_equal(a.gx.executed, 12);
	leap__guest_vqp_info(a.sq.vqp, &info);
	assert_true(info.no_memory);
	assert_int_equal(leap_pollgroup_arm(a.gx.pg), 0);
	gx_let_all(&a.gx);			/* its answer has a ring */
	gx_poll(&a.gx, 1);
	assert_int_equal(a.gx.irqs[1], 12);
	gx_map(&a.gx, high, HALF);
	gx_poll(&a.gx, 3);
	assert_int_equal(a.gx.executed, 13);	/* at its old place */
	leap__guest_vqp_info(a.sq.vqp, &info);
	assert_false(info.no_memory);
	assert_int_equal(info.sq_head, 13 % 8);
	end(&a);
}

static void test_unmap_cq(void **state)
{
	struct leap__cqe cqe;
	struct apart a;

	take(&a, 3, low);
	push(&a, 1);
	gx_let(&a.gx, 0);
	gx_let(&a.gx, 0);
	gx_poll(&a.gx, 3);
	assert_int_equal(a.gx.executed, 14);
	assert_false(gx_reap(&a.cq, &cqe));
	gx_map(&a.gx, low, HALF);
	gx_poll(&a.gx, 3);
	assert_true(gx_reap(&a.cq, &cqe));
	assert_true(gx_reap(&a.cq, &cqe));
	assert_false(gx_reap(&a.cq, &cqe));
	assert_int_equal(a.gx.executed, 15);
	assert_int_equal(a.gx.irqs[1], 12);
	end(&a);
}

/* Payload keeps an unmap waiting; rings do not. */
static void test_unmap_payload(void **state)
{
	struct apart a;

	begin(&a);
	a.sqe = gx_rw(GX_OP_READ, 1, 0, 512);
	a.sqe.prp1 = leap_to_le64(GX_RAM_GPA + HALF - 4096);
	a.gx.hold = true;
	push(&a, 1);
	gx_poll(&a.gx, 1);
	gx_unmap(&a.gx, low, HALF, &a.done);
	gx_poll(&a.gx, 3);
	assert_int_equal(a.done, 0);
	gx_let_all(&a.gx);
	assert_int_equal(a.done, 1);
	/* Deleted while its rings are not there. */
	end(&a);
}

/* Another range takes its place before we have heard that it went. */
static void test_remap_at_once(void **state)
{
	struct apart a;
	int i;

	begin(&a);
	for (i = 0; i < 20; i++) {
		gx_unmap(&a.gx, high, HALF, &a.done);
		gx_map(&a.gx, high, HALF);
		gx_poll(&a.gx, i % 3);
		assert_int_equal(gx_do(&a.sq, &a.cq, &a.sqe, NULL), 0);
	}
	assert_int_equal(a.done, 20);
	end(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unmap_sq),
		cmocka_unit_test(test_unmap_cq),
		cmocka_unit_test(test_unmap_payload),
		cmocka_unit_test(test_remap_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
