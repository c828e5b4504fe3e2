/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs in guest memory: where the payload of a command is, by PRPs, SGLs
 * and arrays, good ones and others.
 */
#include "guest-fixture.h"

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
			sqe = gx_rw(GX_OP_WRITE, 1, 0, len[i]);
			set_prps(&gx, &from, off, len[i], &sqe);
			assert_int_equal(gx_do(&sq, &cq, &sqe, NULL), 0);
			sqe = gx_rw(GX_OP_READ, 2, 0, len[i]);
			set_prps(&gx, &to, 4092 - off / 4 * 4, len[i], &sqe);
			assert_int_equal(gx_do(&sq, &cq, &sqe, NULL), 0);
			check(&gx, &to, 4092 - off / 4 * 4, len[i], i + off);
		}
	}
	gx_end(&gx, &sq, 1, &cq);
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
	sqe = gx_rw(GX_OP_WRITE, 1, 0, 512);
	sqe.prp1 = leap_to_le64(0x1000);	/* no memory there */
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR);
	sqe.prp1 = leap_to_le64(GX_RAM_GPA + 2);
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_PRP_OFFSET | LEAP_STATUS_DNR);
	sqe = gx_rw(GX_OP_WRITE, 1, 0, 8192);
	sqe.prp1 = leap_to_le64(GX_RAM_GPA);
	sqe.prp2 = leap_to_le64(GX_RAM_GPA + 8);
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_PRP_OFFSET | LEAP_STATUS_DNR);
	/* Larger than MDTS; an opcode that transfers nothing; PSDT 10b. */
	sqe = gx_rw(GX_OP_WRITE, 1, 0, (256u << 10) + 4);
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
	sqe = gx_rw(4, 1, 0, 512);
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
	sqe = gx_rw(GX_OP_READ, 1, 0, 512);
	sqe.flags = LEAP_SQE_PSDT_SGL_MSGL;
	assert_int_equal(gx_do(&sq, &cq, &sqe, NULL),
			 LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
	gx_end(&gx, &sq, 1, &cq);
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
	sqe = gx_rw(GX_OP_WRITE, 1, 0, 828);
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
	gx_end(&gx, &sq, 1, &cq);
}

/* More large commands at once than there are arrays for their pieces. */
static void test_arrays(void **state)
{
	struct leap_sqe sqe = gx_rw(GX_OP_WRITE, 0, 0, 10 * 4096);
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
	gx_end(&gx, &sq, 1, &cq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prp),
		cmocka_unit_test(test_bad_prp),
		cmocka_unit_test(test_sgl),
		cmocka_unit_test(test_arrays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
