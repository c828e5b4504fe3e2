/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs in guest memory that is taken back under them, and comes again:
 * rings wait for it, payload keeps it.
 */
#include "guest-fixture.h"

#define HALF (GX_RAM_BYTES / 2)

/* The first half of RAM holds the CQ, the second the SQ. */
static void set_apart(struct gx *gx, struct gx_cq *cq, struct gx_sq *sq)
{
	int done = 0;

	gx_init(gx);
	gx_unmap(gx, (leap_gpa_t){ GX_RAM_GPA }, GX_RAM_BYTES, &done);
	assert_int_equal(done, 1);
	gx_map(gx, (leap_gpa_t){ GX_RAM_GPA }, HALF);
	gx_map(gx, (leap_gpa_t){ GX_RAM_GPA + HALF }, HALF);
	gx_cq(gx, cq, 1, 8, 1);
	gx->mem_used = HALF;
	gx_sq(gx, sq, 1, cq, 8);
}

static void test_unmap_sq(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	const leap_gpa_t half = { GX_RAM_GPA + HALF };
	struct leap__guest_info info;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	int done = 0, i;

	set_apart(&gx, &cq, &sq);
	for (i = 0; i < 11; i++)
		assert_int_equal(gx_do(&sq, &cq, &sqe, NULL), 0);
	gx.hold = true;
	gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_poll(&gx, 1);
	gx_unmap(&gx, half, HALF, &done);
	assert_int_equal(done, 1);		/* no pin is left */
	gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_poll(&gx, 3);
	assert_int_equal(gx.executed, 12);
	leap__guest_vqp_info(sq.vqp, &info);
	assert_true(info.no_memory);
	assert_int_equal(leap_pollgroup_arm(gx.pg), 0);
	gx_let_all(&gx);			/* its answer has a ring */
	gx_poll(&gx, 1);
	assert_int_equal(gx.irqs[1], 12);
	gx_map(&gx, half, HALF);
	gx_poll(&gx, 3);
	assert_int_equal(gx.executed, 13);	/* at its old place */
	leap__guest_vqp_info(sq.vqp, &info);
	assert_false(info.no_memory);
	assert_int_equal(info.sq_head, 13 % 8);
	gx_end(&gx, &sq, 1, &cq);
}

static void test_unmap_cq(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	const leap_gpa_t low = { GX_RAM_GPA };
	struct leap__cqe cqe;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	int done = 0, i;

	set_apart(&gx, &cq, &sq);
	for (i = 0; i < 11; i++)
		assert_int_equal(gx_do(&sq, &cq, &sqe, NULL), 0);
	gx.hold = true;
	for (i = 0; i < 3; i++)
		gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_poll(&gx, 1);
	assert_int_equal(gx.nr_held, 3);
	gx_unmap(&gx, low, HALF, &done);
	assert_int_equal(done, 1);
	gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_let(&gx, 0);
	gx_let(&gx, 0);
	gx_poll(&gx, 3);
	assert_int_equal(gx.executed, 14);
	assert_false(gx_reap(&cq, &cqe));
	gx_map(&gx, low, HALF);
	gx_poll(&gx, 3);
	assert_true(gx_reap(&cq, &cqe));
	assert_true(gx_reap(&cq, &cqe));
	assert_false(gx_reap(&cq, &cqe));
	assert_int_equal(gx.executed, 15);
	assert_int_equal(gx.irqs[1], 12);
	gx_end(&gx, &sq, 1, &cq);
}

/* Payload keeps an unmap waiting; rings do not. */
static void test_unmap_payload(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_READ, 1, 0);
	const leap_gpa_t low = { GX_RAM_GPA };
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	int done = 0;

	set_apart(&gx, &cq, &sq);
	sqe.cdw12 = leap_to_le32(512);
	sqe.prp1 = leap_to_le64(GX_RAM_GPA + HALF - 4096);
	gx.hold = true;
	gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_poll(&gx, 1);
	gx_unmap(&gx, low, HALF, &done);
	gx_poll(&gx, 3);
	assert_int_equal(done, 0);
	gx_let_all(&gx);
	assert_int_equal(done, 1);
	/* Deleted while its rings are not there. */
	gx_end(&gx, &sq, 1, &cq);
}

/* Another range takes its place before we have heard that it went. */
static void test_remap_at_once(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	const leap_gpa_t half = { GX_RAM_GPA + HALF };
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	int done = 0, i;

	set_apart(&gx, &cq, &sq);
	for (i = 0; i < 20; i++) {
		gx_unmap(&gx, half, HALF, &done);
		gx_map(&gx, half, HALF);
		gx_poll(&gx, i % 3);
		assert_int_equal(gx_do(&sq, &cq, &sqe, NULL), 0);
	}
	assert_int_equal(done, 20);
	gx_end(&gx, &sq, 1, &cq);
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
