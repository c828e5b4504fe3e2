/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs in guest memory: interrupts, one or for many, and doorbells of
 * both kinds, from guests that ring them well or badly.
 */
#include "guest-fixture.h"

#include "core/io/pollgroup.h"

static void info_of(const struct gx_sq *sq, struct leap__guest_info *info)
{
	leap__guest_vqp_info(sq->vqp, info);
}

/* ---- interrupts ---- */

static void do_many(struct gx *gx, struct gx_sq *sq, struct gx_cq *cq, int n)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 0, 0);
	struct leap__cqe cqe;
	int i;

	for (i = 0; i < n; i++)
		gx_push(sq, &sqe);
	gx_ring(sq);
	gx_poll(gx, 1);
	for (i = 0; i < n; i++) {
		assert_true(gx_reap(cq, &cqe));
		sq->head = cqe.sqhd;
	}
	gx_ring_cq(cq);
}

static void test_interrupts(void **state)
{
	struct gx_sq sq, silent;
	struct gx_cq cq, quiet;
	struct gx gx;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 32, 5);
	gx_sq(&gx, &sq, 1, &cq, 32);
	gx_cq(&gx, &quiet, 2, 32, GX_NO_VECTOR);
	gx_sq(&gx, &silent, 2, &quiet, 32);
	do_many(&gx, &sq, &cq, 10);
	assert_int_equal(gx.irqs[5], 1);	/* one a batch */
	do_many(&gx, &sq, &cq, 1);
	assert_int_equal(gx.irqs[5], 2);
	gx_poll(&gx, 5);
	assert_int_equal(gx.irqs[5], 2);
	do_many(&gx, &silent, &quiet, 3);
	assert_int_equal(gx.irqs[5], 2);
	gx_sq_end(&silent);
	gx_cq_end(&quiet);
	gx_end(&gx, &sq, 1, &cq);
}

static void sleep_ns(struct gx *gx, uint64_t ns)
{
	uint64_t until = leap_pollgroup_now_ns(gx->pg) + ns;

	while (leap_pollgroup_now_ns(gx->pg) < until)
		leap_pollgroup_wait(gx->pg, (int64_t)ns);
	gx_poll(gx, 1);
}

static void test_coalescing(void **state)
{
	struct gx_sq sq, asq;
	struct gx_cq cq, acq;
	struct gx gx;

	gx_init(&gx);
	gx_cq(&gx, &acq, 0, 32, 0);
	gx_sq(&gx, &asq, 0, &acq, 32);
	gx_cq(&gx, &cq, 1, 32, 1);
	gx_sq(&gx, &sq, 1, &cq, 32);
	leap__guest_cq_coalesce(cq.cq, 8, 1000000000000ull);
	leap__guest_cq_coalesce(acq.cq, 8, 1000000000000ull);
	do_many(&gx, &sq, &cq, 7);
	assert_int_equal(gx.irqs[1], 0);
	do_many(&gx, &sq, &cq, 1);
	assert_int_equal(gx.irqs[1], 1);	/* the eighth */
	do_many(&gx, &sq, &cq, 12);
	assert_int_equal(gx.irqs[1], 2);
	do_many(&gx, &asq, &acq, 1);
	assert_int_equal(gx.irqs[0], 1);	/* never the admin queue */
	/* Time is over before the count, and not before the three are. */
	leap__guest_cq_coalesce(cq.cq, 8, 300000000);
	do_many(&gx, &sq, &cq, 3);
	assert_int_equal(gx.irqs[1], 2);
	sleep_ns(&gx, 400000000);
	assert_int_equal(gx.irqs[1], 3);
	sleep_ns(&gx, 400000000);
	assert_int_equal(gx.irqs[1], 3);
	/* Switched off: what waited is told. */
	leap__guest_cq_coalesce(cq.cq, 8, 1000000000000ull);
	do_many(&gx, &sq, &cq, 3);
	assert_int_equal(gx.irqs[1], 3);
	leap__guest_cq_coalesce(cq.cq, 0, 0);
	gx_poll(&gx, 1);
	assert_int_equal(gx.irqs[1], 4);
	do_many(&gx, &sq, &cq, 1);
	assert_int_equal(gx.irqs[1], 5);
	gx_sq_end(&asq);
	gx_cq_end(&acq);
	gx_end(&gx, &sq, 1, &cq);
}

/* ---- doorbells ---- */

static void test_hostile_doorbells(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 9, 9);
	struct leap__guest_info info;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 4, 0);
	gx_sq(&gx, &sq, 1, &cq, 8);
	sq.db->value = leap_to_le32(8);		/* beyond the ring */
	leap__guest_kick(gx.pg, sq.db);
	gx_poll(&gx, 3);
	sq.db->value = leap_to_le32(0xffff);
	gx_poll(&gx, 3);
	assert_int_equal(gx.executed, 0);
	info_of(&sq, &info);
	assert_int_equal(info.bad_doorbells, 2);
	/* It does not keep us from sleeping. */
	assert_int_equal(leap_pollgroup_arm(gx.pg), 0);
	/* Upper bits do not matter. */
	gx_push(&sq, &sqe);
	sq.db->value = leap_to_le32(0xabcd0001);
	gx_poll(&gx, 2);
	assert_int_equal(gx.executed, 1);
	/* A head where nothing was posted. */
	cq.db->value = leap_to_le32(3);
	gx.hold = true;
	gx_push(&sq, &sqe);
	gx_push(&sq, &sqe);
	gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_poll(&gx, 2);
	gx_let_all(&gx);
	gx_poll(&gx, 2);
	info_of(&sq, &info);
	assert_int_equal(info.bad_doorbells, 2);	/* 3 of 4: all taken */
	cq.db->value = leap_to_le32(77);
	gx.hold = false;
	gx_push(&sq, &sqe);
	gx_push(&sq, &sqe);
	gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_poll(&gx, 4);
	info_of(&sq, &info);
	assert_int_equal(info.bad_doorbells, 3);
	assert_int_equal(gx.fatals, 0);
	gx_end(&gx, &sq, 1, &cq);
}

struct shadow {
	leap_gpa_t doorbells, eventidx;
};

static void set_shadow(struct gx *gx, struct gx_sq *sq, struct gx_cq *cq,
		       struct shadow *sh)
{
	sh->doorbells = gx_alloc(gx, 4096, 4096);
	sh->eventidx = gx_alloc(gx, 4096, 4096);
	assert_int_equal(leap__guest_vqp_shadow(sq->vqp, sh->doorbells,
						sh->eventidx), 0);
	sq->shadow = (leap_le32 *)gx_at(gx, sh->doorbells) + 2 * sq->desc.qid;
	sq->eventidx = (leap_le32 *)gx_at(gx, sh->eventidx) + 2 * sq->desc.qid;
	cq->shadow = (leap_le32 *)gx_at(gx, sh->doorbells) +
		     2 * cq->desc.cqid + 1;
	cq->eventidx = (leap_le32 *)gx_at(gx, sh->eventidx) +
		       2 * cq->desc.cqid + 1;
}

/* Room in the completion queue, of 3, comes by its shadow word. */
static void room_by_shadow(struct gx *gx, struct gx_sq *sq, struct gx_cq *cq)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	struct leap__cqe cqe;
	int i;

	for (i = 0; i < 3; i++)
		gx_push(sq, &sqe);
	gx_ring(sq);
	gx_poll(gx, 2);
	assert_int_equal(leap_pollgroup_arm(gx->pg), 0);
	while (gx_reap(cq, &cqe))
		;
	gx_ring_cq(cq);
	assert_int_equal(leap_from_le32(cq->db->value), cq->rung);
	gx_poll(gx, 3);
	assert_int_equal(gx->executed, 6);
}

static void test_shadow(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	struct leap__guest_info info;
	struct leap__cqe cqe;
	struct shadow sh;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 4, 0);
	gx_sq(&gx, &sq, 3, &cq, 8);
	/* Rung the old way, not yet seen when the new way begins. */
	gx_push(&sq, &sqe);
	sq.db->value = leap_to_le32(1);
	sq.rung = 1;
	set_shadow(&gx, &sq, &cq, &sh);
	assert_int_equal(leap_from_le32(*sq.shadow), 1 | LEAP__RING_UNRUNG);
	gx_poll(&gx, 1);
	assert_int_equal(gx.executed, 1);
	assert_true(gx_reap(&cq, &cqe));
	/* Without a trap, by one who polls. */
	gx_push(&sq, &sqe);
	leap__store_release(sq.shadow, leap_to_le32(2));
	sq.rung = 2;
	gx_poll(&gx, 1);
	assert_int_equal(gx.executed, 2);
	/* A sleeper asks for the trap by EventIdx, and takes it back. */
	assert_int_equal(leap_pollgroup_arm(gx.pg), 0);
	assert_int_equal(leap_from_le32(*sq.eventidx), 2);
	info_of(&sq, &info);
	assert_true(info.shadow && info.armed);
	gx_push(&sq, &sqe);
	gx_ring(&sq);
	assert_int_equal(leap_from_le32(sq.db->value), 3);	/* trapped */
	assert_int_equal(leap_pollgroup_arm(gx.pg), 1);
	gx_poll(&gx, 1);
	assert_int_equal(gx.executed, 3);
	assert_int_equal(leap_from_le32(*sq.eventidx), 2);
	info_of(&sq, &info);
	assert_int_equal(info.kicks, 1);
	/* The trapped word is only a hint: an old value changes nothing. */
	sq.db->value = leap_to_le32(7);
	gx_poll(&gx, 2);
	assert_int_equal(gx.executed, 3);
	room_by_shadow(&gx, &sq, &cq);
	/* And back: trapped ones only. */
	assert_int_equal(leap__guest_vqp_shadow(sq.vqp, (leap_gpa_t){ 0 },
						(leap_gpa_t){ 0 }), 0);
	info_of(&sq, &info);
	assert_false(info.shadow);
	gx_end(&gx, &sq, 1, &cq);
}

static void test_bad_shadow(void **state)
{
	struct leap__guest_info info;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	leap_gpa_t ok;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 4, 0);
	gx_sq(&gx, &sq, 1, &cq, 8);
	ok = gx_alloc(&gx, 4096, 4096);
	assert_int_equal(leap__guest_vqp_shadow(sq.vqp, ok,
					(leap_gpa_t){ 0x1000 }), -EFAULT);
	assert_int_equal(leap__guest_vqp_shadow(sq.vqp, ok,
					(leap_gpa_t){ ok.addr + 8 }), -EINVAL);
	assert_int_equal(leap__guest_vqp_shadow(sq.vqp, ok,
					(leap_gpa_t){ 0 }), -EINVAL);
	info_of(&sq, &info);
	assert_false(info.shadow);
	do_many(&gx, &sq, &cq, 2);
	gx_end(&gx, &sq, 1, &cq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_coalescing),
		cmocka_unit_test(test_hostile_doorbells),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_bad_shadow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
