/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the successor of a process that was killed finds in the records of its
 * queue pairs: more than it can do at once, what must not be done again, and
 * damage.
 */
#include "guest-fixture.h"

#include "core/ctrl/iogroup.h"
#include "core/guest/queue.h"

static bool never(const void *sqe, uint64_t note, void *arg)
{
	(void)sqe;
	(void)note;
	(void)arg;
	return false;
}

struct heir {
	struct gx gx;
	struct gx_cq cq;
	struct gx_sq sq;
	uint8_t *state;
};

/* @n commands under way, then a kill. */
static void leave(struct heir *h, uint32_t nr_cmds, int n)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	int i;

	gx_init_cmds(&h->gx, nr_cmds);
	gx_cq(&h->gx, &h->cq, 1, 16, 1);
	gx_sq(&h->gx, &h->sq, 1, &h->cq, 16);
	h->gx.hold = true;
	for (i = 0; i < n; i++) {
		sqe.cdw10 = leap_to_le32((uint32_t)i);
		gx_push(&h->sq, &sqe);
	}
	gx_ring(&h->sq);
	gx_poll(&h->gx, 2);
	assert_int_equal(h->gx.nr_held, n);
	h->state = exact_copy(h->gx.state, GX_STATE_BYTES);
	gx_sq_end(&h->sq);
	gx_cq_end(&h->cq);
	memcpy(h->gx.state, h->state, GX_STATE_BYTES);
	free(h->state);
	h->gx.executed = 0;
	h->cq.desc.flags = LEAP_QPD_RESUME;
	h->sq.desc.flags = LEAP_QPD_RESUME;
}

static void take_over(struct heir *h)
{
	assert_int_equal(leap__guest_cq_create(h->gx.pg, &h->gx.guest,
					       &h->cq.desc, &h->cq.cq), 0);
	gx_sq_make(&h->gx, &h->sq, &h->cq);
}

static void end(struct heir *h)
{
	if (h->sq.vqp)
		gx_sq_end(&h->sq);
	gx_cq_end(&h->cq);
	gx_fini(&h->gx);
}

/* More to do again than the pool has commands: in turns, in order. */
static void test_redo_small_pool(void **state)
{
	struct leap__cqe cqe;
	struct heir h;
	struct leap_vqp *other;
	struct leap_cmd *taken[12];
	struct gx_sq sq2;
	uint32_t i;

	leave(&h, 12, 10);
	take_over(&h);
	/* Another queue pair has all but three of them. */
	h.cq.desc.flags = 0;
	gx_sq_desc(&h.gx, &sq2, 2, &h.cq, 16);
	gx_sq_make(&h.gx, &sq2, &h.cq);
	other = sq2.vqp;
	for (i = 0; i < 9; i++) {
		taken[i] = leap_cmd_get(other);
		assert_non_null(taken[i]);
	}
	assert_int_equal(leap__guest_cq_restored(h.cq.cq), 0);
	assert_int_equal(h.gx.irqs[1], 1);	/* once, wanted or not */
	leap__guest_vqp_start(h.sq.vqp);
	gx_poll(&h.gx, 3);
	assert_int_equal(h.gx.executed, 3);
	gx_let_all(&h.gx);
	gx_poll(&h.gx, 3);
	assert_int_equal(h.gx.executed, 6);
	while (i)
		leap_cmd_put(taken[--i]);
	gx_poll(&h.gx, 3);
	assert_int_equal(h.gx.executed, 10);
	h.gx.hold = false;
	gx_let_all(&h.gx);
	gx_poll(&h.gx, 3);
	for (i = 0; i < 10; i++) {
		assert_true(gx_reap(&h.cq, &cqe));
		assert_int_equal(cqe.dw0, i);
	}
	gx_sq_end(&sq2);
	end(&h);
}

static void test_no_rerun(void **state)
{
	const struct leap__guest_rerun rerun = { .may = never };
	struct leap__cqe cqe;
	struct heir h;
	int i;

	leave(&h, 0, 3);
	assert_int_equal(leap__guest_cq_create(h.gx.pg, &h.gx.guest,
					       &h.cq.desc, &h.cq.cq), 0);
	assert_int_equal(leap__guest_vqp_create(h.gx.pg, &h.gx.guest, h.cq.cq,
				&h.sq.desc, &rerun, &h.sq.vqp), 0);
	h.sq.vqp->handler = &gx_handler;
	h.sq.vqp->handler_priv = &h.gx;
	assert_int_equal(leap__guest_cq_restored(h.cq.cq), 0);
	leap__guest_vqp_start(h.sq.vqp);
	gx_poll(&h.gx, 2);
	assert_int_equal(h.gx.executed, 0);
	for (i = 0; i < 3; i++) {
		assert_true(gx_reap(&h.cq, &cqe));
		assert_int_equal(cqe.status,
				 LEAP_SC_INTERNAL | LEAP_STATUS_DNR);
	}
	end(&h);
}

/* What the I/O half of a controller says of each command. */
static void test_which_rerun(void **state)
{
	static const struct {
		uint8_t opc, flags, nsid, may, note;
	} cases[] = {
		{ LEAP_NVM_READ, 0, 1, 1 },
		{ LEAP_NVM_FLUSH, 0, 1, 1 },
		{ LEAP_NVM_COMPARE, 0, 1, 1 },
		{ LEAP_NVM_WRITE, 0, 1, 1 },
		{ LEAP_NVM_WRITE_ZEROES, 0, 1, 1 },
		{ LEAP_NVM_DSM, 0, 1, 1 },
		/* nobody's: refused when it runs */
		{ LEAP_NVM_WRITE, 0, 3, 1 },
		/* a pair that may have written, and one that has not */
		{ LEAP_NVM_COMPARE, LEAP_SQE_FUSE_FIRST, 1, 0,
		  LEAP__FUSED_WRITES },
		{ LEAP_NVM_WRITE, LEAP_SQE_FUSE_SECOND, 1, 0,
		  LEAP__FUSED_WRITES },
		{ LEAP_NVM_COMPARE, LEAP_SQE_FUSE_FIRST, 1, 1 },
		{ LEAP_NVM_WRITE, LEAP_SQE_FUSE_SECOND, 1, 1 },
		{ LEAP_NVM_COPY, 0, 1, 0 },
		{ LEAP_NVM_VENDOR, 0, 1, 0 },
		/* namespace 2 has zones */
		{ LEAP_NVM_READ, 0, 2, 1 },
		/* what is refused is compared with what is there */
		{ LEAP_NVM_WRITE, 0, 2, 1 },
		{ LEAP_NVM_WRITE_ZEROES, 0, 2, 0 },
		{ LEAP_NVM_ZONE_APPEND, 0, 2, 0 },
		{ LEAP_NVM_ZONE_MGMT_SEND, 0, 2, 1 },
		{ LEAP_NVM_ZONE_MGMT_RECV, 0, 2, 1 },
	};
	struct leap__ions plain = { .caps = LEAP_BDEV_FLUSH };
	struct leap__ions zoned = { .caps = LEAP_BDEV_ZONED };
	struct leap__ioss *ss = calloc(1, sizeof(*ss) + 3 * sizeof(ss->ns[0]));
	struct leap__ioqp q = { .ss = ss };
	uint32_t i;

	(void)state;
	ss->max_nsid = 2;
	ss->ns[1] = &plain;
	ss->ns[2] = &zoned;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct leap_sqe sqe = { .opc = cases[i].opc };

		sqe.flags = cases[i].flags;
		sqe.nsid = leap_to_le32(cases[i].nsid);
		if (leap__io_may_rerun(&q, &sqe, cases[i].note) !=
		    cases[i].may)
			fail_msg("opcode %#x, flags %u, namespace %u",
				 cases[i].opc, cases[i].flags, cases[i].nsid);
	}
	free(ss);
}

/* A drain ends what was left, too; a stop leaves it for the next one. */
static void test_stop_and_drain(void **state)
{
	struct leap__cqe cqe;
	struct heir h;
	int i;

	leave(&h, 0, 4);
	take_over(&h);
	assert_int_equal(leap__guest_cq_restored(h.cq.cq), 0);
	leap__guest_vqp_start(h.sq.vqp);
	leap__guest_vqp_stop(h.sq.vqp);
	gx_poll(&h.gx, 2);
	assert_int_equal(h.gx.executed, 0);
	gx_sq_end(&h.sq);
	gx_cq_end(&h.cq);
	h.gx.gone = 0;
	take_over(&h);
	assert_int_equal(leap__guest_cq_restored(h.cq.cq), 0);
	leap__guest_vqp_start(h.sq.vqp);
	h.gx.hold = false;
	leap__guest_vqp_drain(h.sq.vqp);
	gx_poll(&h.gx, 4);
	assert_int_equal(h.gx.executed, 4);
	assert_int_equal(h.gx.gone, 1);
	h.sq.vqp = NULL;
	for (i = 0; i < 4; i++)
		assert_true(gx_reap(&h.cq, &cqe));
	end(&h);
}

static void test_damage(void **state)
{
	struct leap_record_slot *slot;
	struct leap_vqp *vqp;
	struct heir h;
	uint64_t seq;

	leave(&h, 0, 3);
	slot = (struct leap_record_slot *)(h.gx.state + h.sq.desc.record +
					   LEAP_RECORD_HEADER_BYTES);
	assert_int_equal(leap__guest_cq_create(h.gx.pg, &h.gx.guest,
					       &h.cq.desc, &h.cq.cq), 0);
	seq = slot[1].control;
	slot[1].control = slot[0].control;	/* twice the same place */
	assert_int_equal(leap__guest_vqp_create(h.gx.pg, &h.gx.guest, h.cq.cq,
				&h.sq.desc, NULL, &vqp), -EPROTO);
	slot[1].control = seq;
	/* An answer without room in the ring, as the head doorbell has it. */
	slot[0].control = leap_to_le64((0 + 1) << 3 | LEAP_RECORD_COMPLETING);
	slot[0].cq = leap_to_le64(1);
	h.cq.db->value = leap_to_le32(1);
	gx_sq_make(&h.gx, &h.sq, &h.cq);
	assert_int_equal(leap__guest_cq_restored(h.cq.cq), -EPROTO);
	assert_int_equal(h.gx.fatals, 1);
	assert_int_equal(h.gx.fatal_err, -EPROTO);
	gx_poll(&h.gx, 3);
	assert_int_equal(h.gx.lost, 2);
	assert_int_equal(h.gx.lost_err, -EPROTO);
	assert_int_equal(h.gx.gone, 2);
	h.sq.vqp = NULL;
	end(&h);
}

/* Shadow doorbells that nobody said the place of: not taken for trapped. */
static void test_shadow_unknown(void **state)
{
	struct heir h;

	leave(&h, 0, 3);
	h.sq.desc.flags |= LEAP_QPD_SHADOW;
	take_over(&h);
	assert_int_equal(leap__guest_cq_restored(h.cq.cq), -EINVAL);
	end(&h);
}

/* Entries of a queue that is gone since count, though no record has them. */
static void test_place_of_gone(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	struct gx_sq gone;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	int i;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 8, 1);
	gx_sq(&gx, &sq, 1, &cq, 8);
	gx_sq(&gx, &gone, 2, &cq, 8);
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL), 0);
	for (i = 0; i < 12; i++)
		assert_int_equal(gx_do(&gone, &cq, &sqe, NULL), 0);
	gx_sq_end(&gone);
	gx_sq_end(&sq);
	gx_cq_end(&cq);		/* and desc.seq is not told */
	cq.desc.flags = sq.desc.flags = LEAP_QPD_RESUME;
	assert_int_equal(leap__guest_cq_create(gx.pg, &gx.guest, &cq.desc,
					       &cq.cq), 0);
	gx_sq_make(&gx, &sq, &cq);
	assert_int_equal(leap__guest_cq_restored(cq.cq), 0);
	leap__guest_vqp_start(sq.vqp);
	for (i = 0; i < 12; i++)
		assert_int_equal(gx_do(&sq, &cq, &sqe, NULL), 0);
	gx_sq_end(&sq);
	assert_int_equal(gx_cq_end(&cq), 25);
	gx_fini(&gx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_redo_small_pool),
		cmocka_unit_test(test_no_rerun),
		cmocka_unit_test(test_which_rerun),
		cmocka_unit_test(test_stop_and_drain),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_shadow_unknown),
		cmocka_unit_test(test_place_of_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
