/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Payload in memory of a guest that only messages reach: of all sizes and
 * shapes, answered in any order, with errors, or never asked for.
 */
#include "bounce-fixture.h"

#include "rand.h"

#define NR_PAGES	66u

static struct test_rand rng = { 7 };

static uint8_t *byte_at(uint64_t gpa)
{
	if (gpa >= FAR_GPA)
		return bx.mem + (gpa - FAR_GPA);
	return gx_at(&bx.gx, (leap_gpa_t){ gpa });
}

struct buffer {
	uint64_t page[NR_PAGES];
	leap_gpa_t list;
};

/* @far: of 100 pages so many */
static void make_buffer(struct buffer *b, uint32_t far, uint64_t far_at)
{
	uint64_t near = gx_alloc(&bx.gx, NR_PAGES * 4096, 4096).addr;
	uint32_t i, at;

	for (i = 0; i < NR_PAGES; i++) {
		/* In order for a while, then not. */
		at = i < 20 ? i : (i * 29 + 7) % NR_PAGES;
		if (i >= 20)
			at = NR_PAGES + 20 - 1 - i;
		b->page[i] = test_rand_below(&rng, 100) < far ?
			FAR_GPA + far_at + at * 4096u : near + at * 4096u;
	}
	b->list = gx_alloc(&bx.gx, 4096, 4096);
}

static uint8_t *byte_of(const struct buffer *b, uint32_t at)
{
	return byte_at(b->page[at / 4096]) + at % 4096;
}

static struct leap_sqe rw_prp(uint8_t opc, const struct buffer *b, uint32_t off,
			      uint32_t len)
{
	struct leap_sqe sqe = gx_rw(opc, 1, 0, len);
	leap_le64 *list = gx_at(&bx.gx, b->list);
	uint32_t nr = (off + len + 4095) / 4096, i;

	sqe.prp1 = leap_to_le64(b->page[0] + off);
	if (nr == 2)
		sqe.prp2 = leap_to_le64(b->page[1]);
	if (nr > 2)
		sqe.prp2 = leap_to_le64(b->list.addr);
	for (i = 1; nr > 2 && i < nr; i++)
		list[i - 1] = leap_to_le64(b->page[i]);
	return sqe;
}

static void there_and_back(uint32_t len, uint32_t off, uint32_t far)
{
	struct buffer from, to;
	struct leap_sqe sqe;
	uint32_t i, back = 4092 - off / 4 * 4;
	uint64_t used = bx.gx.mem_used;

	make_buffer(&from, far, 0);
	make_buffer(&to, far, FAR_BYTES / 2);
	for (i = 0; i < len; i++)
		*byte_of(&from, off + i) = (uint8_t)(len + i * 7 + i / 256);
	memset(byte_of(&to, back), 0x55, 1);
	*byte_of(&to, back + len) = 0x5a;
	sqe = rw_prp(GX_OP_WRITE, &from, off, len);
	assert_int_equal(bx_run(&sqe), 0);
	sqe = rw_prp(GX_OP_READ, &to, back, len);
	assert_int_equal(bx_run(&sqe), 0);
	for (i = 0; i < len; i++)
		assert_int_equal(*byte_of(&to, back + i),
				 (uint8_t)(len + i * 7 + i / 256));
	assert_int_equal(*byte_of(&to, back + len), 0x5a);
	assert_int_equal(bx_stats().bufs_in_use, 0);
	bx.gx.mem_used = used;
}

static void test_sizes(void **state)
{
	static const uint32_t len[] = { 4, 512, 4096, 4100, 8192, 12288, 20000,
					65536, 131072, 262144 };
	static const uint32_t far[] = { 100, 50, 10 };
	static const uint32_t buf[] = { 4096, 12288, 131072 };
	static const uint32_t max[] = { 0, 1000, 65536 };
	uint32_t i, j, k, off;

	for (i = 0; i < COUNT(buf); i++) {
		bx_open(0, buf[i], max[i], 1);
		bx.now = true;
		for (j = 0; j < COUNT(len); j++)
			for (k = 0; k < COUNT(far); k++)
				for (off = 0; off < 4096; off += 1364)
					there_and_back(len[j], off, far[k]);
		assert_true(bx.asked > 100);
		bx_close();
	}
}

/* Pieces of odd lengths, near and far in turn. */
static void test_sgl(void **state)
{
	struct leap_sgl_desc *seg;
	struct leap_sqe sqe;
	leap_gpa_t at, data;
	uint32_t i, j, pos;

	bx_open(0, 4096, 300, 1);
	bx.now = true;
	at = gx_alloc(&bx.gx, 4096, 4096);
	data = gx_alloc(&bx.gx, 16384, 4096);
	seg = gx_at(&bx.gx, at);
	for (i = 0; i < 16; i++) {
		seg[i] = (struct leap_sgl_desc){
			.addr = leap_to_le64((i % 3 ? FAR_GPA : data.addr) +
					     (15 - i) * 1001),
			.len = leap_to_le32(901 + i) };
		memset(byte_at(leap_from_le64(seg[i].addr)), (int)i + 1,
		       901 + i);
	}
	sqe = gx_rw(GX_OP_WRITE, 1, 0, 16 * 901 + 120);
	sqe.flags = LEAP_SQE_PSDT_SGL;
	sqe.sgl1.addr = leap_to_le64(at.addr);
	sqe.sgl1.len = leap_to_le32(16 * 16);
	sqe.sgl1.type = LEAP_SGL_ID(LEAP_SGL_TYPE_LAST, LEAP_SGL_SUB_ADDRESS);
	assert_int_equal(bx_run(&sqe), 0);
	for (i = pos = 0; i < 16; pos += 901 + i++)
		for (j = 0; j < 901 + i; j++)
			assert_int_equal(bx.gx.disk[pos + j], i + 1);
	for (i = 0; i < 16; i++)
		memset(byte_at(leap_from_le64(seg[i].addr)), 0, 901 + i);
	sqe.opc = GX_OP_READ;
	assert_int_equal(bx_run(&sqe), 0);
	for (i = 0; i < 16; i++)
		for (j = 0; j < 901 + i; j++)
			assert_int_equal(byte_at(leap_from_le64(
						 seg[i].addr))[j], i + 1);
	bx_close();
}

/* Answers in any order; no completion before its data is there. */
static void test_order(void **state)
{
	uint32_t i, left, n = 12;
	struct leap__cqe cqe;
	struct leap_sqe sqe;
	uint64_t at;

	bx_open(0, 4096, 0, 1);
	for (i = 0; i < n; i++) {
		memset(bx.mem + i * 4096, (int)i + 1, 4096);
		sqe = bx_rw(GX_OP_WRITE, (uint16_t)i, i * 4096, i * 4096,
			    4096);
		bx_submit(&sqe);
	}
	assert_int_equal(bx.nr_asks, n);
	assert_int_equal(bx.gx.executed, n);
	assert_int_equal(bx_stats().bufs_in_use, n);
	for (left = n; left; left--) {
		assert_false(bx_reap(&cqe));
		at = bx.ask[left / 2].gpa.addr - FAR_GPA;
		assert_int_equal(bx.gx.disk[at], 0);
		bx_answer(left / 2, 0);
		gx_poll(&bx.gx, 2);
		assert_true(bx_reap(&cqe));
		for (i = 0; i < 4096; i++)
			assert_int_equal(bx.gx.disk[cqe.cid * 4096u + i],
					 cqe.cid + 1u);
	}
	memset(bx.mem, 0, FAR_BYTES);
	for (i = 0; i < n; i++) {
		sqe = bx_rw(GX_OP_READ, (uint16_t)i, i * 4096, i * 4096,
			    4096);
		bx_submit(&sqe);
	}
	assert_int_equal(bx.nr_asks, n);
	for (left = n; left; left--) {
		assert_false(bx_reap(&cqe));
		bx_answer(left / 2, 0);
		gx_poll(&bx.gx, 2);
		assert_true(bx_reap(&cqe));
		for (i = 0; i < 4096; i++)
			assert_int_equal(bx.mem[cqe.cid * 4096u + i],
					 cqe.cid + 1u);
	}
	bx_close();
}

/* What the source answers, and when: the guest gets it, once. */
static void test_errors(void **state)
{
	static const struct {
		int err;
		uint16_t status;
	} e[] = {
		{ -EFAULT, FAULT }, { -EIO, FAULT }, { -EPROTO, FAULT },
		{ -ENOTCONN, FAULT }, { -EBUSY, LEAP_SC_DATA_TRANSFER },
		{ -ECANCELED, LEAP_SC_DATA_TRANSFER },
	};
	struct leap__cqe cqe;
	struct leap_sqe sqe;
	uint32_t i, opc;

	bx_open(0, 4096, 0, 1);
	memset(bx.mem, 0x11, 8192);
	for (i = 0; i < COUNT(e); i++) {
		for (opc = GX_OP_WRITE; opc <= GX_OP_READ; opc++) {
			/* The second part of two. */
			sqe = bx_rw((uint8_t)opc, 1, 0, 0, 8192);
			bx_submit(&sqe);
			bx_answer(0, 0);
			gx_poll(&bx.gx, 2);
			assert_false(bx_reap(&cqe));
			bx_answer(0, e[i].err);
			gx_poll(&bx.gx, 2);
			assert_true(bx_reap(&cqe));
			assert_int_equal(cqe.status, e[i].status);
			assert_int_equal(cqe.dw0, 0);
			/* It cannot even be asked. */
			bx.refuse = e[i].err;
			assert_int_equal(bx_run(&sqe), e[i].status);
			bx.refuse = 0;
			assert_int_equal(bx_stats().bufs_in_use, 0);
		}
		assert_int_equal(bx.gx.disk[0], 0);
	}
	bx.now = true;
	sqe = bx_rw(GX_OP_WRITE, 1, 0, 0, 8192);
	assert_int_equal(bx_run(&sqe), 0);
	assert_int_equal(bx.gx.disk[8191], 0x11);
	bx_close();
}

/* What can be known before a command is executed is. */
static void test_refused(void **state)
{
	struct leap_sqe sqe;
	int done = 0;

	bx_open(2, 4096, 0, 1);
	bx.now = true;
	bx.gx.disk[0] = 3;
	/* A list that only messages reach. */
	sqe = bx_rw(GX_OP_WRITE, 1, 0, 0, 12288);
	assert_int_equal(bx_run(&sqe), FAULT);
	/* Larger than all buffers together. */
	sqe = gx_rw(GX_OP_WRITE, 1, 0, 12288);
	sqe.flags = LEAP_SQE_PSDT_SGL;
	sqe.sgl1 = (struct leap_sgl_desc){ .addr = leap_to_le64(FAR_GPA),
					   .len = leap_to_le32(12288) };
	assert_int_equal(bx_run(&sqe), LEAP_SC_INTERNAL | LEAP_STATUS_DNR);
	/* As large as all of them. */
	sqe.cdw12 = sqe.sgl1.len = leap_to_le32(8192);
	assert_int_equal(bx_run(&sqe), 0);
	bx.gx.disk[0] = 3;
	/* A range that nobody reaches. */
	gx_unmap(&bx.gx, (leap_gpa_t){ FAR_GPA }, FAR_BYTES, &done);
	gx_poll(&bx.gx, 1);
	assert_int_equal(done, 1);
	bx_map(0, false);
	assert_int_equal(bx_run(&sqe), FAULT);
	sqe.opc = GX_OP_READ;
	assert_int_equal(bx_run(&sqe), FAULT);
	assert_int_equal(bx.gx.disk[0], 3);
	assert_int_equal(bx_stats().pool_empty, 0);
	bx_close();
}

/* More commands than there are buffers: all have their turn, and direct ones
 * do not wait for them. */
static void test_hungry(void **state)
{
	uint32_t i, n = 15, done = 0;
	struct leap__cqe cqe;
	struct leap_sqe sqe;

	bx_open(4, 4096, 0, 1);
	memset(bx.mem, 0x77, FAR_BYTES);
	for (i = 0; i < n; i++) {
		sqe = bx_rw(i % 2 ? GX_OP_READ : GX_OP_WRITE, (uint16_t)i,
			    i * 8192, i * 8192, i % 3 ? 8192 : 4096);
		bx_submit(&sqe);
	}
	assert_int_equal(bx.gx.executed, n);
	assert_true(bx.nr_asks && bx.nr_asks < 4);
	assert_true(bx_stats().bufs_in_use <= 4);
	assert_true(bx_stats().pool_empty > 0);
	sqe = gx_rw(GX_OP_WRITE, 99, 400000, 4096);
	sqe.prp1 = leap_to_le64(gx_alloc(&bx.gx, 4096, 4096).addr);
	bx_submit(&sqe);
	assert_true(bx_reap(&cqe));
	assert_int_equal(cqe.cid, 99);
	for (i = 0; i < 500 && done < n; i++) {
		if (bx.nr_asks)
			bx_answer(test_rand_below(&rng, bx.nr_asks), 0);
		gx_poll(&bx.gx, 1);
		while (bx_reap(&cqe)) {
			assert_int_equal(cqe.status, 0);
			done++;
		}
		assert_true(bx_stats().bufs_in_use <= 4);
	}
	assert_int_equal(done, n);
	for (i = 0; i < n; i += 2)
		assert_int_equal(bx.gx.disk[i * 8192], 0x77);
	bx_close();
}

static void test_admin(void **state)
{
	struct leap_sqe sqe;

	bx_open(0, 0, 0, 0);
	bx.now = true;
	memset(bx.gx.disk, 0x42, 4096);
	sqe = bx_rw(GX_OP_READ, 1, 8, 0, 4096);
	sqe.prp2 = leap_to_le64(FAR_GPA + 4096);
	assert_int_equal(bx_run(&sqe), 0);
	assert_int_equal(bx.mem[7], 0xee);
	assert_int_equal(bx.mem[8], 0x42);
	assert_int_equal(bx.mem[4103], 0x42);
	assert_int_equal(bx.mem[4104], 0xee);
	bx_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_sgl),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_hungry),
		cmocka_unit_test(test_admin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
