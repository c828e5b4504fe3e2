/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs in guest memory: rings, payload, completion queues that are
 * shared or full, interrupts, doorbells of both kinds, ends.
 */
#include "guest-fixture.h"

#include "core/io/pollgroup.h"
#include "rand.h"

static struct test_rand rng = { 1 };

static uint32_t rand_below(uint32_t n)
{
	return test_rand_below(&rng, n);
}

static void end_all(struct gx *gx, struct gx_sq *sq, int nr, struct gx_cq *cq)
{
	int i;

	for (i = 0; i < nr; i++)
		gx_sq_end(&sq[i]);
	gx_cq_end(cq);
	gx_fini(gx);
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
	end_all(&gx, &sq, 1, &cq);
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
			struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING,
						     (uint16_t)next[i], next[i]);

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
	end_all(&gx, sq, 3, &cq);
}

/* ---- payload ---- */

#define NR_PAGES 66u

struct buffer {
	leap_gpa_t page[NR_PAGES];
	leap_gpa_t list[2];
};

/* Pages in no order, so that pieces do not merge. */
static void make_buffer(struct gx *gx, struct buffer *b)
{
	leap_gpa_t first = gx_alloc(gx, NR_PAGES * 4096, 4096);
	uint32_t i;

	for (i = 0; i < NR_PAGES; i++)
		b->page[i].addr = first.addr + (i * 29 + 7) % NR_PAGES * 4096u;
	b->list[0] = gx_alloc(gx, 4096, 4096);
	b->list[1] = gx_alloc(gx, 4096, 4096);
}

/* PRPs for @len bytes at @off of its first page. The list begins near the end
 * of a page, so that long ones have a link. */
static void set_prps(struct gx *gx, const struct buffer *b, uint32_t off,
		     uint32_t len, struct leap_sqe *sqe)
{
	uint32_t nr = (off + len + 4095) / 4096, i, at = 480;
	leap_le64 *list = gx_at(gx, b->list[0]);

	sqe->prp1 = leap_to_le64(b->page[0].addr + off);
	sqe->prp2 = 0;
	if (nr == 2)
		sqe->prp2 = leap_to_le64(b->page[1].addr);
	if (nr <= 2)
		return;
	sqe->prp2 = leap_to_le64(b->list[0].addr + at * 8);
	for (i = 1; i < nr; i++) {
		if (at == 511 && i + 1 < nr) {
			list[at] = leap_to_le64(b->list[1].addr);
			list = gx_at(gx, b->list[1]);
			at = 0;
		}
		list[at++] = leap_to_le64(b->page[i].addr);
	}
}

static uint8_t *byte_of(struct gx *gx, const struct buffer *b, uint32_t at)
{
	return (uint8_t *)gx_at(gx, b->page[at / 4096]) + at % 4096;
}

static void fill(struct gx *gx, const struct buffer *b, uint32_t off,
		 uint32_t len, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		*byte_of(gx, b, off + i) = (uint8_t)(seed + i * 7 + i / 256);
}

static void check(struct gx *gx, const struct buffer *b, uint32_t off,
		  uint32_t len, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		assert_int_equal(*byte_of(gx, b, off + i),
				 (uint8_t)(seed + i * 7 + i / 256));
}

static struct leap_sqe rw(uint8_t opc, uint16_t cid, uint32_t at, uint32_t len)
{
	struct leap_sqe sqe = gx_sqe(opc, cid, at);

	sqe.cdw12 = leap_to_le32(len);
	return sqe;
}

static void test_prp(void **state)
{
	static const uint32_t len[] = { 4, 512, 4096, 4100, 8192, 12288, 65536,
					131072, 262144 };
	struct buffer from, to;
	struct leap_sqe sqe;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	uint32_t i, off;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 8, 0);
	gx_sq(&gx, &sq, 1, &cq, 8);
	make_buffer(&gx, &from);
	make_buffer(&gx, &to);
	for (i = 0; i < COUNT(len); i++) {
		for (off = 0; off < 4096; off += 1364) {
			fill(&gx, &from, off, len[i], i + off);
			sqe = rw(GX_OP_WRITE, 1, 0, len[i]);
			set_prps(&gx, &from, off, len[i], &sqe);
			assert_int_equal(gx_do(&sq, &cq, &sqe, NULL), 0);
			sqe = rw(GX_OP_READ, 2, 0, len[i]);
			set_prps(&gx, &to, 4092 - off / 4 * 4, len[i], &sqe);
			assert_int_equal(gx_do(&sq, &cq, &sqe, NULL), 0);
			check(&gx, &to, 4092 - off / 4 * 4, len[i], i + off);
		}
	}
	end_all(&gx, &sq, 1, &cq);
}

static void test_bad_prp(void **state)
{
	struct leap_sqe sqe;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 8, 0);
	gx_sq(&gx, &sq, 1, &cq, 8);
	sqe = rw(GX_OP_WRITE, 1, 0, 512);
	sqe.prp1 = leap_to_le64(0x1000);	/* no memory there */
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR);
	sqe.prp1 = leap_to_le64(GX_RAM_GPA + 2);
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_PRP_OFFSET | LEAP_STATUS_DNR);
	sqe = rw(GX_OP_WRITE, 1, 0, 8192);
	sqe.prp1 = leap_to_le64(GX_RAM_GPA);
	sqe.prp2 = leap_to_le64(GX_RAM_GPA + 8);
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_PRP_OFFSET | LEAP_STATUS_DNR);
	/* Larger than MDTS; an opcode that transfers nothing; PSDT 10b. */
	sqe = rw(GX_OP_WRITE, 1, 0, (256u << 10) + 4);
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
	sqe = rw(4, 1, 0, 512);
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
	sqe = rw(GX_OP_READ, 1, 0, 512);
	sqe.flags = LEAP_SQE_PSDT_SGL_MSGL;
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
	end_all(&gx, &sq, 1, &cq);
}

static void test_sgl(void **state)
{
	struct gx_cq cq, acq;
	struct leap_sgl_desc *seg;
	struct gx_sq sq, asq;
	struct leap_sqe sqe;
	leap_gpa_t at, data;
	struct gx gx;
	uint32_t i;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 8, 0);
	gx_sq(&gx, &sq, 1, &cq, 8);
	gx_cq(&gx, &acq, 0, 8, 0);
	gx_sq(&gx, &asq, 0, &acq, 8);
	at = gx_alloc(&gx, 4096, 4096);
	data = gx_alloc(&gx, 8192, 4096);
	seg = gx_at(&gx, at);
	for (i = 0; i < 8; i++) {
		seg[i] = (struct leap_sgl_desc){
			.addr = leap_to_le64(data.addr + (7 - i) * 1001),
			.len = leap_to_le32(100 + i), .type = 0 };
		memset((uint8_t *)gx_at(&gx, data) + (7 - i) * 1001,
		       (int)i + 1, 100 + i);
	}
	sqe = rw(GX_OP_WRITE, 1, 0, 828);
	sqe.flags = LEAP_SQE_PSDT_SGL;
	sqe.sgl1.addr = leap_to_le64(at.addr);
	sqe.sgl1.len = leap_to_le32(8 * 16);
	sqe.sgl1.type = LEAP_SGL_ID(LEAP_SGL_TYPE_LAST, LEAP_SGL_SUB_ADDRESS);
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL), 0);
	assert_int_equal(gx.disk[0], 1);
	assert_int_equal(gx.disk[100], 2);
	assert_int_equal(gx.disk[827], 8);
	/* Admin commands have PRPs only. */
	assert_int_equal(gx_do(&asq, &acq, &sqe, NULL),
			 LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
	gx_sq_end(&asq);
	gx_cq_end(&acq);
	end_all(&gx, &sq, 1, &cq);
}

/* More large commands at once than there are arrays for their pieces. */
static void test_arrays(void **state)
{
	struct leap_sqe sqe = rw(GX_OP_WRITE, 0, 0, 10 * 4096);
	struct leap_record_opts opts = LEAP_RECORD_OPTS_INIT;
	struct leap__cqe cqe;
	struct buffer b;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	uint32_t i;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 128, 0);
	gx_sq_desc(&gx, &sq, 1, &cq, 128);
	opts.nr_slots = 100;
	opts.sq_size = opts.cq_size = 128;
	opts.sqid = opts.cqid = 1;
	sq.desc.record_bytes = leap_record_bytes(100);
	sq.desc.record = gx_state(&gx, sq.desc.record_bytes);
	assert_int_equal(leap_record_format(gx.state + sq.desc.record,
					    sq.desc.record_bytes, &opts), 0);
	gx_sq_make(&gx, &sq, &cq);
	leap__guest_vqp_start(sq.vqp);
	make_buffer(&gx, &b);
	set_prps(&gx, &b, 0, 10 * 4096, &sqe);
	gx.hold = true;
	for (i = 0; i < 100; i++) {
		sqe.cid = leap_to_le16((uint16_t)i);
		gx_push(&sq, &sqe);
	}
	gx_ring(&sq);
	gx_poll(&gx, 4);
	assert_int_equal(gx.executed, 100);
	assert_int_equal(gx.nr_held, 32);	/* the others wait */
	/* Those that wait find a bad list now. */
	*(leap_le64 *)((uint8_t *)gx_at(&gx, b.list[0]) + 482 * 8) =
		leap_to_le64(1);
	gx_let(&gx, 0);
	assert_int_equal(gx.nr_held, 31);
	gx_let_all(&gx);
	gx_poll(&gx, 2);
	for (i = 0; i < 100; i++) {
		assert_true(gx_reap(&cq, &cqe));
		if (cqe.cid < 32)
			assert_int_equal(cqe.status, 0);
		else
			assert_int_equal(cqe.status, LEAP_SC_PRP_OFFSET |
					 LEAP_STATUS_DNR);
	}
	end_all(&gx, &sq, 1, &cq);
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
	end_all(&gx, &sq, 1, &cq);
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
	end_all(&gx, &sq, 1, &cq);
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
	/* Time is over before the count. */
	leap__guest_cq_coalesce(cq.cq, 8, 2000000);
	do_many(&gx, &sq, &cq, 3);
	assert_int_equal(gx.irqs[1], 2);
	sleep_ns(&gx, 10000000);
	assert_int_equal(gx.irqs[1], 3);
	sleep_ns(&gx, 10000000);
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
	end_all(&gx, &sq, 1, &cq);
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
	end_all(&gx, &sq, 1, &cq);
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

static void test_shadow(void **state)
{
	struct leap_sqe sqe = gx_sqe(GX_OP_NOTHING, 1, 1);
	struct leap__guest_info info;
	struct leap__cqe cqe;
	struct shadow sh;
	struct gx_cq cq;
	struct gx_sq sq;
	struct gx gx;
	int i;

	gx_init(&gx);
	gx_cq(&gx, &cq, 1, 4, 0);
	gx_sq(&gx, &sq, 3, &cq, 8);
	/* Rung the old way, not yet seen when the new way begins. */
	gx_push(&sq, &sqe);
	sq.db->value = leap_to_le32(1);
	sq.rung = 1;
	set_shadow(&gx, &sq, &cq, &sh);
	assert_int_equal(leap_from_le32(*sq.shadow), 1);
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
	/* Room in the completion queue comes by its shadow word. */
	for (i = 0; i < 3; i++)
		gx_push(&sq, &sqe);
	gx_ring(&sq);
	gx_poll(&gx, 2);
	assert_int_equal(leap_pollgroup_arm(gx.pg), 0);
	while (gx_reap(&cq, &cqe))
		;
	gx_ring_cq(&cq);
	assert_int_equal(leap_from_le32(cq.db->value), cq.rung);
	gx_poll(&gx, 3);
	assert_int_equal(gx.executed, 6);
	/* And back: trapped ones only. */
	assert_int_equal(leap__guest_vqp_shadow(sq.vqp, (leap_gpa_t){ 0 },
						(leap_gpa_t){ 0 }), 0);
	info_of(&sq, &info);
	assert_false(info.shadow);
	end_all(&gx, &sq, 1, &cq);
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
	end_all(&gx, &sq, 1, &cq);
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
		sqe = rw(GX_OP_READ, (uint16_t)i, 0, 512);
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
	gx_sq_end(&sq);
	gx_cq_end(&cq);
	gx_fini(&gx);
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
	end_all(&gx, &sq, 1, &cq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_command),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_prp),
		cmocka_unit_test(test_bad_prp),
		cmocka_unit_test(test_sgl),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_cq_full),
		cmocka_unit_test(test_cq_shared),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_coalescing),
		cmocka_unit_test(test_hostile_doorbells),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_bad_shadow),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_bad_descriptors),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_same_cid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
