/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Payload in memory of a guest that only messages reach, and an end: its queue
 * is closed or drained, or the guest takes the memory back, while they are out.
 */
#include "bounce-fixture.h"

/* Close with @n commands of @opc; those under way are answered @err later. */
static void closed(uint8_t opc, uint32_t n, int err)
{
	uint8_t *ram, *mem, *far;
	struct leap__cqe cqe;
	struct leap_sqe sqe;
	uint32_t i, irqs;
	int done = 0;

	bx_open(4, 4096, 0, 1);
	for (i = 0; i < n; i++) {
		sqe = bx_rw(opc, (uint16_t)i, i * 8192, i * 8192, 8192);
		bx_submit(&sqe);
	}
	assert_true(bx.nr_asks > 0);
	leap_vqp_close(bx.sq.vqp);
	ram = exact_copy(bx.gx.mem, GX_RAM_BYTES);
	mem = exact_copy(bx.gx.state, GX_STATE_BYTES);
	far = exact_copy(bx.gx.disk, GX_DISK_BYTES);
	irqs = bx.gx.irqs[0];
	gx_unmap(&bx.gx, (leap_gpa_t){ FAR_GPA }, FAR_BYTES, &done);
	gx_poll(&bx.gx, 5);
	assert_int_equal(bx.gx.lost, 1);
	assert_int_equal(bx.gx.gone, 0);
	assert_int_equal(done, 0);
	assert_true(bx_stats().bufs_in_use > 0);
	while (bx.nr_asks) {
		assert_int_equal(bx.gx.gone, 0);
		bx_answer(bx.nr_asks - 1, err);
		gx_poll(&bx.gx, 3);
	}
	assert_int_equal(bx.gx.gone, 1);
	assert_int_equal(done, 1);
	assert_int_equal(bx.gx.irqs[0], irqs);
	assert_false(gx_reap(&bx.cq, &cqe));
	assert_memory_equal(ram, bx.gx.mem, GX_RAM_BYTES);
	assert_memory_equal(mem, bx.gx.state, GX_STATE_BYTES);
	assert_memory_equal(far, bx.gx.disk, GX_DISK_BYTES);
	free(ram);
	free(mem);
	free(far);
	bx_close_rest();
}

static void test_close(void **state)
{
	closed(GX_OP_WRITE, 1, 0);
	closed(GX_OP_WRITE, 1, -ENOTCONN);
	closed(GX_OP_READ, 1, 0);
	closed(GX_OP_READ, 1, -ENOTCONN);
	/* Some wait for buffers. */
	closed(GX_OP_WRITE, 9, 0);
	closed(GX_OP_READ, 9, -ENOTCONN);
}

/* With the device while the queue is closed: nothing is asked any more. */
static void test_close_below(void **state)
{
	struct leap_sqe sqe;

	bx_open(0, 4096, 0, 1);
	bx.gx.hold = true;
	sqe = bx_rw(GX_OP_READ, 1, 0, 0, 8192);
	bx_submit(&sqe);
	assert_int_equal(bx.gx.nr_held, 1);
	assert_int_equal(bx_stats().bufs_in_use, 2);
	leap_vqp_close(bx.sq.vqp);
	gx_poll(&bx.gx, 3);
	assert_int_equal(bx.gx.gone, 0);
	gx_let_all(&bx.gx);
	gx_poll(&bx.gx, 3);
	assert_int_equal(bx.gx.gone, 1);
	assert_int_equal(bx.asked, 0);
	bx_close_rest();
}

static void test_drain(void **state)
{
	struct leap__cqe cqe;
	struct leap_sqe sqe;

	bx_open(0, 4096, 0, 1);
	sqe = bx_rw(GX_OP_WRITE, 1, 0, 0, 4096);
	bx_submit(&sqe);
	sqe = bx_rw(GX_OP_READ, 2, 4096, 0, 4096);
	bx_submit(&sqe);
	assert_int_equal(bx.nr_asks, 2);
	leap__guest_vqp_drain(bx.sq.vqp);
	gx_poll(&bx.gx, 3);
	bx_answer(1, 0);
	gx_poll(&bx.gx, 3);
	assert_true(bx_reap(&cqe));
	assert_int_equal(cqe.cid, 2);
	assert_int_equal(bx.gx.lost, 0);
	bx_answer(0, 0);
	gx_poll(&bx.gx, 3);
	assert_true(bx_reap(&cqe));
	assert_int_equal(cqe.status, 0);
	assert_int_equal(bx.gx.lost, 1);
	assert_int_equal(bx.gx.gone, 1);
	bx_close_rest();
}

/* The guest takes the memory back: its unmap waits for what is under way. */
static void test_unmap(void **state)
{
	struct leap__cqe cqe;
	struct leap_sqe sqe;
	int done = 0;

	bx_open(0, 4096, 0, 1);
	sqe = bx_rw(GX_OP_READ, 1, 0, 0, 8192);
	bx_submit(&sqe);
	gx_unmap(&bx.gx, (leap_gpa_t){ FAR_GPA }, FAR_BYTES, &done);
	gx_poll(&bx.gx, 2);
	assert_int_equal(done, 0);
	bx_answer(0, 0);		/* the other half is out of reach now */
	gx_poll(&bx.gx, 3);
	assert_int_equal(done, 1);
	assert_true(bx_reap(&cqe));
	assert_int_equal(cqe.status, FAULT);
	assert_int_equal(bx.nr_asks, 0);
	assert_int_equal(bx_run(&sqe), FAULT);
	bx_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_close_below),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_unmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
