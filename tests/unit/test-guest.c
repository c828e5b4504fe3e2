/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs in guest memory: rings, completion queues that are shared or
 * full, ends.
 */
#include "guest-fixture.h"

#include "core/io/pollgroup.h"
#include "rand.h"

static struct test_rand rng = { 1 };

static uint32_t rand_below(uint32_t n)
{
	return test_rand_below(&rng, n);
}

static void info_of(const struct gx_sq *sq, struct leap__guest_info *info)
{
	leap__guest_vqp_info(sq->vqp, info);
}

static void test_one_command(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 0xbeef, 0x12345678);
	struct leap__guest_info info;
	struct leap__cqe cqe;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 8, 3);
	gx_sq(&gx, &sq, 7, &cq, 8);
	gx_push(&sq, &sqe);
	gx_poll(&gx, 3);
	assert_int_equal(gx.executed, 0);	/* not rung */
	gx_ring(&sq);
	gx_poll(&gx, 1);
	assert_int_equal(gx.executed, 1);
	assert_int_equal(gx.irqs[3], 1);
	assert_true(gx_reap(&cq, &cqe));
	assert_int_equal(cqe.cid, 0xbeef);
	assert_int_equal(cqe.sqid, 7);
	assert_int_equal(cqe.sqhd, 1);
	assert_int_equal(cqe.status, 0);
	assert_int_equal(cqe.dw0, 0x12345678);
	assert_false(gx_reap(&cq, &cqe));
	assert_int_equal(leap_from_le32(cq.db->posted), 1);
	info_of(&sq, &info);
	assert_int_equal(info.commands, 1);
	assert_int_equal(info.interrupts, 1);
	assert_int_equal(info.sq_head, 1);
	assert_int_equal(info.cq_tail, 1);
	assert_int_equal(info.issued, 0);
	gx_end(&gx, &sq, 1, &cq);
}

/* Many laps of rings of different sizes, several queues into one. */
static void test_wrap(void **state)
{
	static const uint32_t depth[3] = { 5, 8, 33 };
	uint32_t next[3] = { 0 }, seen[3] = { 0 }, total = 0, i, n;
	struct leap__cqe cqe;
	struct gx_sq sq[3];
	struct gx_cq cq;
	struct gx gx;

	gx_init(&gx);
	gx_cq(&gx, &cq, 2, 7, 0);
	for (i = 0; i < 3; i++)
		gx_sq(&gx, &sq[i], (uint16_t)(i + 1), &cq, depth[i]);
	while (total < 3000) {
		i = rand_below(3);
		for (n = rand_below(6); n && gx_room(&sq[i]); n--) {
			uint16_t cid = (uint16_t)next[i];
			struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, cid,
						     next[i]);

			next[i]++;
			gx_push(&sq[i], &sqe);
		}
		gx_ring(&sq[i]);
		gx_poll(&gx, (int)rand_below(3));
		for (n = rand_below(5); n && gx_reap(&cq, &cqe); n--) {
			i = cqe.sqid - 1u;
			assert_true(i < 3);
			/* In order: the device answers at once. */
			assert_int_equal(cqe.dw0, seen[i]);
			assert_int_equal(cqe.cid, (uint16_t)seen[i]);
			seen[i]++;
			sq[i].head = cqe.sqhd;
			total++;
		}
		gx_ring_cq(&cq);
	}
	assert_int_equal(gx.fatals, 0);
	gx_end(&gx, sq, 3, &cq);
}

/* ---- completion queues ---- */

static void test_cq_full(void **state)
{
	struct leap__guest_info info;
	struct leap__cqe cqe;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	uint32_t i, seen = 0;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 4, 0);
	gx_sq(&gx, &sq, 1, &cq, 32);
	for (i = 0; i < 20; i++) {
		struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, (uint16_t)i, i);

		gx_push(&sq, &sqe);
	}
	gx_ring(&sq);
	gx_poll(&gx, 5);
	/* Three entries fit; one more found no room; then none is fetched. */
	assert_int_equal(gx.executed, 4);
	info_of(&sq, &info);
	assert_int_equal(info.sq_head, 4);
	while (seen < 20) {
		assert_true(gx_reap(&cq, &cqe));
		assert_int_equal(cqe.cid, seen++);
		gx_ring_cq(&cq);
		gx_poll(&gx, 2);
	}
	assert_false(gx_reap(&cq, &cqe));
	assert_int_equal(leap_from_le32(cq.db->posted), 20);
	gx_end(&gx, &sq, 1, &cq);
}

/* Three queues share one that is full; one of them ends meanwhile. */
static void test_cq_shared(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	struct leap__cqe cqe;
	struct gx_sq sq[3];
	struct gx_cq cq;
	struct gx gx;
	int i, j;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 3, 0);
	for (i = 0; i < 3; i++)
		gx_sq(&gx, &sq[i], (uint16_t)(i + 1), &cq, 8);
	gx.hold = true;
	for (i = 0; i < 3; i++) {
		for (j = 0; j < 3; j++)
			gx_push(&sq[i], &sqe);
		gx_ring(&sq[i]);
	}
	gx_poll(&gx, 1);
	assert_int_equal(gx.nr_held, 9);
	gx_let_all(&gx);
	gx_poll(&gx, 1);
	leap_vqp_close(sq[1].vqp);
	gx_poll(&gx, 3);
	assert_int_equal(gx.gone, 1);
	for (i = 0; i < 6; i++) {
		if (!gx_reap(&cq, &cqe))
			break;
		assert_int_equal(cqe.sqid, i < 3 ? 1 : 3);
		gx_ring_cq(&cq);
		gx_poll(&gx, 2);
	}
	assert_int_equal(i, 6);
	gx_sq_end(&sq[0]);
	gx_sq_end(&sq[2]);
	assert_int_equal(gx_cq_end(&cq), 6);
	gx_fini(&gx);
}

/* ---- ends ---- */

static void test_drain(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	struct leap__cqe cqe;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	int i;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 3, 0);
	gx_sq(&gx, &sq, 1, &cq, 8);
	gx.hold = true;
	for (i = 0; i < 3; i++)
		gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_poll(&gx, 1);
	leap__guest_vqp_drain(sq.vqp);
	gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_poll(&gx, 2);
	assert_int_equal(gx.executed, 3);
	assert_int_equal(gx.lost, 0);
	gx_let_all(&gx);
	gx_poll(&gx, 3);
	assert_int_equal(gx.lost, 0);		/* one waits for room */
	for (i = 0; i < 3; i++) {
		assert_true(gx_reap(&cq, &cqe));
		gx_ring_cq(&cq);
		gx_poll(&gx, 3);
	}
	assert_int_equal(gx.lost, 1);
	assert_int_equal(gx.lost_err, 0);
	assert_int_equal(gx.gone, 1);
	assert_int_equal(gx_cq_end(&cq), 3);
	gx_fini(&gx);
}

/* Nothing reaches guest or record once a queue is closed. */
static void test_close(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	uint8_t *ram, *mem;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	int i;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 3, 0);
	gx_sq(&gx, &sq, 1, &cq, 8);
	gx.hold = true;
	for (i = 0; i < 6; i++)
		gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_poll(&gx, 1);
	while (gx.nr_held > 3)
		gx_let(&gx, 0);
	gx_poll(&gx, 2);
	leap_vqp_close(sq.vqp);
	ram = exact_copy(gx.mem, GX_RAM_BYTES);
	mem = exact_copy(gx.state, GX_STATE_BYTES);
	gx_poll(&gx, 3);
	assert_int_equal(gx.lost, 1);
	assert_int_equal(gx.gone, 0);		/* three are below */
	i = (int)gx.irqs[0];
	gx_let_all(&gx);
	gx_poll(&gx, 3);
	assert_int_equal(gx.gone, 1);
	assert_int_equal(gx.irqs[0], i);
	assert_memory_equal(ram, gx.mem, GX_RAM_BYTES);
	assert_memory_equal(mem, gx.state, GX_STATE_BYTES);
	free(ram);
	free(mem);
	gx_cq_end(&cq);
	gx_fini(&gx);
}

static void test_bad_descriptors(void **state)
{
	struct leap__guest_cq *out;
	struct leap_vqp *vqp;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;

	gx_init(&gx);
	gx_cq_desc(&gx, &cq, 1, 8, 0);
	cq.desc.depth = 1;
	assert_int_equal(leap__guest_cq_create(gx.pg, &gx.guest, &cq.desc,
					       &out), -EINVAL);
	cq.desc.depth = 65537;
	assert_int_equal(leap__guest_cq_create(gx.pg, &gx.guest, &cq.desc,
					       &out), -EINVAL);
	cq.desc.depth = 65536;		/* half of it is not there */
	cq.desc.gpa.addr = GX_RAM_GPA + GX_RAM_BYTES - (512u << 10);
	assert_int_equal(leap__guest_cq_create(gx.pg, &gx.guest, &cq.desc,
					       &out), -EFAULT);
	cq.desc.gpa.addr = UINT64_MAX - 4095;
	assert_int_equal(leap__guest_cq_create(gx.pg, &gx.guest, &cq.desc,
					       &out), -EFAULT);
	gx_cq_desc(&gx, &cq, 1, 8, 0);
	cq.desc.doorbell = GX_STATE_BYTES;
	assert_int_equal(leap__guest_cq_create(gx.pg, &gx.guest, &cq.desc,
					       &out), -EINVAL);
	cq.desc.doorbell = UINT64_MAX - 63;
	assert_int_equal(leap__guest_cq_create(gx.pg, &gx.guest, &cq.desc,
					       &out), -EINVAL);
	gx_cq(&gx, &cq, 1, 8, 0);
	gx_sq_desc(&gx, &sq, 1, &cq, 8);
	sq.desc.cqid = 2;
	assert_int_equal(leap__guest_vqp_create(gx.pg, &gx.guest, cq.cq,
				&sq.desc, NULL, &vqp), -EINVAL);
	sq.desc.cqid = 1;
	sq.desc.page_bytes = 512;
	assert_int_equal(leap__guest_vqp_create(gx.pg, &gx.guest, cq.cq,
				&sq.desc, NULL, &vqp), -EINVAL);
	sq.desc.page_bytes = 4096;
	sq.desc.sq.addr = GX_RAM_GPA - 4096;
	assert_int_equal(leap__guest_vqp_create(gx.pg, &gx.guest, cq.cq,
				&sq.desc, NULL, &vqp), -EFAULT);
	sq.desc.sq.addr = GX_RAM_GPA;
	sq.desc.record_bytes = GX_STATE_BYTES;
	assert_int_equal(leap__guest_vqp_create(gx.pg, &gx.guest, cq.cq,
				&sq.desc, NULL, &vqp), -EINVAL);
	sq.desc.record_bytes = leap_record_bytes(GX_SLOTS);
	gx.state[sq.desc.record] ^= 1;
	assert_int_equal(leap__guest_vqp_create(gx.pg, &gx.guest, cq.cq,
				&sq.desc, NULL, &vqp), -EPROTO);
	gx.state[sq.desc.record] ^= 1;
	sq.desc.flags = LEAP_QPD_RESUME;	/* its CQ does not */
	assert_int_equal(leap__guest_vqp_create(gx.pg, &gx.guest, cq.cq,
				&sq.desc, NULL, &vqp), -EINVAL);
	gx_cq_end(&cq);
	gx_fini(&gx);
}

/* Rings over each other and payload over rings: the guest's own loss. */
static void test_overlap(void **state)
{
	struct leap_sqe sqe;
	struct leap__cqe cqe;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	uint32_t i;

	gx_init(&gx);
	memset(gx.disk, 0xa5, GX_DISK_BYTES);
	gx_cq(&gx, &cq, 1, 32, 0);
	gx_sq_desc(&gx, &sq, 1, &cq, 32);
	sq.desc.sq = cq.desc.gpa;
	gx_sq_make(&gx, &sq, &cq);
	leap__guest_vqp_start(sq.vqp);
	for (i = 0; i < 200; i++) {
		sqe = gx_rw(GX_OP_READ, (uint16_t)i, 0, 512);
		sqe.prp1 = leap_to_le64(sq.desc.sq.addr + i % 8 * 64);
		if (gx_room(&sq))
			gx_push(&sq, &sqe);
		gx_ring(&sq);
		gx_poll(&gx, 1);
		while (gx_reap(&cq, &cqe))
			sq.head = cqe.sqhd % 32;
		gx_ring_cq(&cq);
		memset(gx_at(&gx, cq.desc.gpa), 0, 2048);
	}
	gx_end(&gx, &sq, 1, &cq);
}

/* A guest may use a command id twice at once: we have our own tags. */
static void test_same_cid(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 5, 0);
	struct leap__cqe cqe;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	int i;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 8, 0);
	gx_sq(&gx, &sq, 1, &cq, 8);
	gx.hold = true;
	for (i = 0; i < 4; i++)
		gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_poll(&gx, 1);
	gx_let(&gx, 2);
	gx_let_all(&gx);
	gx_poll(&gx, 1);
	for (i = 0; i < 4; i++) {
		assert_true(gx_reap(&cq, &cqe));
		assert_int_equal(cqe.cid, 5);
	}
	gx_end(&gx, &sq, 1, &cq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_command),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_cq_full),
		cmocka_unit_test(test_cq_shared),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_bad_descriptors),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_same_cid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
