/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Payload in memory of a guest that only messages reach: a source of messages
 * that answers at once, later, in any order, with errors or not at all.
 */
#include "guest-fixture.h"

#include "rand.h"

#define FAR_GPA		0x40000000ull
#define FAR_BYTES	(1u << 20)
#define NR_PAGES	66u
#define ASKS		256
#define FAULT		(LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR)

struct request {
	leap_gpa_t gpa;
	void *in;
	const void *out;
	uint32_t bytes;
	struct leap_ats_io *io;
};

static struct {
	struct gx gx;
	struct gx_cq cq;
	struct gx_sq sq;
	uint8_t *mem;
	bool now;		/* answer at once */
	int refuse;		/* do not even ask */
	struct request ask[ASKS];
	uint32_t nr_asks;
	uint32_t asked;
} t;

static struct test_rand rng = { 7 };

/* ---- the source ---- */

static void answer(uint32_t i, int err)
{
	struct request r = t.ask[i];

	assert_true(i < t.nr_asks);
	memmove(&t.ask[i], &t.ask[i + 1],
		(--t.nr_asks - i) * sizeof(t.ask[0]));
	if (!err && r.in)
		memcpy(r.in, t.mem + (r.gpa.addr - FAR_GPA), r.bytes);
	else if (!err)
		memcpy(t.mem + (r.gpa.addr - FAR_GPA), r.out, r.bytes);
	leap_ats_io_done(r.io, err);
}

static int queue(struct request r)
{
	if (t.refuse)
		return t.refuse;
	assert_true(r.gpa.addr >= FAR_GPA &&
		    r.gpa.addr + r.bytes <= FAR_GPA + FAR_BYTES);
	assert_true(t.nr_asks < ASKS);
	t.asked++;
	t.ask[t.nr_asks++] = r;
	if (t.now)
		answer(t.nr_asks - 1, 0);
	return 0;
}

static int far_read(void *arg, leap_gpa_t gpa, void *buf, uint32_t bytes,
		    struct leap_ats_io *io)
{
	assert_ptr_equal(arg, &t);
	return queue((struct request){ gpa, buf, NULL, bytes, io });
}

static int far_write(void *arg, leap_gpa_t gpa, const void *buf,
		     uint32_t bytes, struct leap_ats_io *io)
{
	assert_ptr_equal(arg, &t);
	return queue((struct request){ gpa, NULL, buf, bytes, io });
}

static void map_far(uint32_t max_bytes, bool reach)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	struct leap_ats_ops ops = LEAP_ATS_OPS_INIT;

	ops.read = far_read;
	ops.write = far_write;
	ops.max_bytes = max_bytes;
	r.gpa.addr = FAR_GPA;
	r.bytes = FAR_BYTES;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_MESSAGE;
	r.fd = -1;
	r.ops = reach ? &ops : NULL;
	r.arg = &t;
	assert_int_equal(leap_ats_map(t.gx.ats, &r), 0);
}

static void open_all(uint32_t nr_bufs, uint32_t buf_bytes, uint32_t max_bytes,
		     uint16_t qid)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;

	memset(&t, 0, sizeof(t));
	popts.nr_bufs = nr_bufs;
	popts.buf_bytes = buf_bytes;
	gx_init_opts(&t.gx, popts);
	t.mem = malloc(FAR_BYTES);
	assert_non_null(t.mem);
	memset(t.mem, 0xee, FAR_BYTES);
	map_far(max_bytes, true);
	gx_cq(&t.gx, &t.cq, qid, 64, 0);
	gx_sq(&t.gx, &t.sq, qid, &t.cq, 64);
}

static uint64_t bufs_in_use(void)
{
	struct leap_pollgroup_stats s = { sizeof(s) };

	assert_int_equal(leap_pollgroup_stats(t.gx.pg, &s), 0);
	return s.bufs_in_use;
}

static uint64_t pool_empty(void)
{
	struct leap_pollgroup_stats s = { sizeof(s) };

	assert_int_equal(leap_pollgroup_stats(t.gx.pg, &s), 0);
	return s.pool_empty;
}

static void close_rest(void)
{
	gx_cq_end(&t.cq);
	assert_int_equal(t.nr_asks, 0);
	assert_int_equal(bufs_in_use(), 0);
	gx_fini(&t.gx);
	free(t.mem);
}

static void close_all(void)
{
	gx_sq_end(&t.sq);
	close_rest();
}

/* ---- payload ---- */

static uint8_t *byte_at(uint64_t gpa)
{
	if (gpa >= FAR_GPA)
		return t.mem + (gpa - FAR_GPA);
	return gx_at(&t.gx, (leap_gpa_t){ gpa });
}

struct buffer {
	uint64_t page[NR_PAGES];
	leap_gpa_t list;
};

/* @far: of 100 pages so many */
static void make_buffer(struct buffer *b, uint32_t far, uint64_t far_at)
{
	uint64_t near = gx_alloc(&t.gx, NR_PAGES * 4096, 4096).addr;
	uint32_t i, at;

	for (i = 0; i < NR_PAGES; i++) {
		/* In order for a while, then not. */
		at = i < 20 ? i : (i * 29 + 7) % NR_PAGES;
		if (i >= 20)
			at = NR_PAGES + 20 - 1 - i;
		b->page[i] = test_rand_below(&rng, 100) < far ?
			FAR_GPA + far_at + at * 4096u : near + at * 4096u;
	}
	b->list = gx_alloc(&t.gx, 4096, 4096);
}

static uint8_t *byte_of(const struct buffer *b, uint32_t at)
{
	return byte_at(b->page[at / 4096]) + at % 4096;
}

static struct leap_sqe rw_prp(uint8_t opc, const struct buffer *b, uint32_t off,
			      uint32_t len)
{
	struct leap_sqe sqe = gx_rw(opc, 1, 0, len);
	leap_le64 *list = gx_at(&t.gx, b->list);
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

/* One page at @at of the far memory. */
static struct leap_sqe rw_far(uint8_t opc, uint16_t cid, uint32_t at,
			      uint32_t disk, uint32_t len)
{
	struct leap_sqe sqe = gx_rw(opc, cid, disk, len);

	sqe.prp1 = leap_to_le64(FAR_GPA + at);
	if (len > 4096)
		sqe.prp2 = leap_to_le64(FAR_GPA + at + 4096);
	return sqe;
}

static void submit(const struct leap_sqe *sqe)
{
	gx_push(&t.sq, sqe);
	gx_ring(&t.sq);
	gx_poll(&t.gx, 2);
}

static bool reap(struct leap__cqe *cqe)
{
	if (!gx_reap(&t.cq, cqe))
		return false;
	t.sq.head = cqe->sqhd;
	gx_ring_cq(&t.cq);
	return true;
}

static uint16_t run(const struct leap_sqe *sqe)
{
	struct leap__cqe cqe;
	int i;

	submit(sqe);
	for (i = 0; i < 2000; i++) {
		if (reap(&cqe))
			return cqe.status;
		gx_poll(&t.gx, 1);
	}
	fail_msg("no completion");
	return 0xffff;
}

static void there_and_back(uint32_t len, uint32_t off, uint32_t far)
{
	struct buffer from, to;
	struct leap_sqe sqe;
	uint32_t i, back = 4092 - off / 4 * 4;
	uint64_t used = t.gx.mem_used;

	make_buffer(&from, far, 0);
	make_buffer(&to, far, FAR_BYTES / 2);
	for (i = 0; i < len; i++)
		*byte_of(&from, off + i) = (uint8_t)(len + i * 7 + i / 256);
	memset(byte_of(&to, back), 0x55, 1);
	*byte_of(&to, back + len) = 0x5a;
	sqe = rw_prp(GX_OP_WRITE, &from, off, len);
	assert_int_equal(run(&sqe), 0);
	sqe = rw_prp(GX_OP_READ, &to, back, len);
	assert_int_equal(run(&sqe), 0);
	for (i = 0; i < len; i++)
		assert_int_equal(*byte_of(&to, back + i),
				 (uint8_t)(len + i * 7 + i / 256));
	assert_int_equal(*byte_of(&to, back + len), 0x5a);
	assert_int_equal(bufs_in_use(), 0);
	t.gx.mem_used = used;
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
		open_all(0, buf[i], max[i], 1);
		t.now = true;
		for (j = 0; j < COUNT(len); j++)
			for (k = 0; k < COUNT(far); k++)
				for (off = 0; off < 4096; off += 1364)
					there_and_back(len[j], off, far[k]);
		assert_true(t.asked > 100);
		close_all();
	}
}

/* Pieces of odd lengths, near and far in turn. */
static void test_sgl(void **state)
{
	struct leap_sgl_desc *seg;
	struct leap_sqe sqe;
	leap_gpa_t at, data;
	uint32_t i, j, pos;

	open_all(0, 4096, 300, 1);
	t.now = true;
	at = gx_alloc(&t.gx, 4096, 4096);
	data = gx_alloc(&t.gx, 16384, 4096);
	seg = gx_at(&t.gx, at);
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
	assert_int_equal(run(&sqe), 0);
	for (i = pos = 0; i < 16; pos += 901 + i++)
		for (j = 0; j < 901 + i; j++)
			assert_int_equal(t.gx.disk[pos + j], i + 1);
	for (i = 0; i < 16; i++)
		memset(byte_at(leap_from_le64(seg[i].addr)), 0, 901 + i);
	sqe.opc = GX_OP_READ;
	assert_int_equal(run(&sqe), 0);
	for (i = 0; i < 16; i++)
		for (j = 0; j < 901 + i; j++)
			assert_int_equal(byte_at(leap_from_le64(
						 seg[i].addr))[j], i + 1);
	close_all();
}

/* Answers in any order; no completion before its data is there. */
static void test_order(void **state)
{
	uint32_t i, left, n = 12;
	struct leap__cqe cqe;
	struct leap_sqe sqe;

	open_all(0, 4096, 0, 1);
	for (i = 0; i < n; i++) {
		memset(t.mem + i * 4096, (int)i + 1, 4096);
		sqe = rw_far(GX_OP_WRITE, (uint16_t)i, i * 4096, i * 4096,
			     4096);
		submit(&sqe);
	}
	assert_int_equal(t.nr_asks, n);
	assert_int_equal(t.gx.executed, n);
	assert_int_equal(bufs_in_use(), n);
	for (left = n; left; left--) {
		assert_false(reap(&cqe));
		assert_int_equal(t.gx.disk[t.ask[left / 2].gpa.addr - FAR_GPA],
				 0);
		answer(left / 2, 0);
		gx_poll(&t.gx, 2);
		assert_true(reap(&cqe));
		for (i = 0; i < 4096; i++)
			assert_int_equal(t.gx.disk[cqe.cid * 4096u + i],
					 cqe.cid + 1u);
	}
	memset(t.mem, 0, FAR_BYTES);
	for (i = 0; i < n; i++) {
		sqe = rw_far(GX_OP_READ, (uint16_t)i, i * 4096, i * 4096,
			     4096);
		submit(&sqe);
	}
	assert_int_equal(t.nr_asks, n);
	for (left = n; left; left--) {
		assert_false(reap(&cqe));
		answer(left / 2, 0);
		gx_poll(&t.gx, 2);
		assert_true(reap(&cqe));
		for (i = 0; i < 4096; i++)
			assert_int_equal(t.mem[cqe.cid * 4096u + i],
					 cqe.cid + 1u);
	}
	close_all();
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

	open_all(0, 4096, 0, 1);
	memset(t.mem, 0x11, 8192);
	for (i = 0; i < COUNT(e); i++) {
		for (opc = GX_OP_WRITE; opc <= GX_OP_READ; opc++) {
			/* The second part of two. */
			sqe = rw_far((uint8_t)opc, 1, 0, 0, 8192);
			submit(&sqe);
			answer(0, 0);
			gx_poll(&t.gx, 2);
			assert_false(reap(&cqe));
			answer(0, e[i].err);
			gx_poll(&t.gx, 2);
			assert_true(reap(&cqe));
			assert_int_equal(cqe.status, e[i].status);
			assert_int_equal(cqe.dw0, 0);
			/* It cannot even be asked. */
			t.refuse = e[i].err;
			assert_int_equal(run(&sqe), e[i].status);
			t.refuse = 0;
			assert_int_equal(bufs_in_use(), 0);
		}
		assert_int_equal(t.gx.disk[0], 0);
	}
	t.now = true;
	sqe = rw_far(GX_OP_WRITE, 1, 0, 0, 8192);
	assert_int_equal(run(&sqe), 0);
	assert_int_equal(t.gx.disk[8191], 0x11);
	close_all();
}

static void unmapped(void *arg)
{
	++*(int *)arg;
}

static void unmap_far(int *done)
{
	assert_int_equal(leap_ats_unmap(t.gx.ats, (leap_gpa_t){ FAR_GPA },
					FAR_BYTES, unmapped, done), 0);
}

/* What can be known before a command is executed is. */
static void test_refused(void **state)
{
	struct leap_sqe sqe;
	int done = 0;

	open_all(2, 4096, 0, 1);
	t.now = true;
	t.gx.disk[0] = 3;
	/* A list that only messages reach. */
	sqe = rw_far(GX_OP_WRITE, 1, 0, 0, 12288);
	assert_int_equal(run(&sqe), FAULT);
	/* Larger than all buffers together. */
	sqe = gx_rw(GX_OP_WRITE, 1, 0, 12288);
	sqe.flags = LEAP_SQE_PSDT_SGL;
	sqe.sgl1 = (struct leap_sgl_desc){ .addr = leap_to_le64(FAR_GPA),
					   .len = leap_to_le32(12288) };
	assert_int_equal(run(&sqe), LEAP_SC_INTERNAL | LEAP_STATUS_DNR);
	/* As large as all of them. */
	sqe.cdw12 = sqe.sgl1.len = leap_to_le32(8192);
	assert_int_equal(run(&sqe), 0);
	t.gx.disk[0] = 3;
	/* A range that nobody reaches. */
	unmap_far(&done);
	gx_poll(&t.gx, 1);
	assert_int_equal(done, 1);
	map_far(0, false);
	assert_int_equal(run(&sqe), FAULT);
	sqe.opc = GX_OP_READ;
	assert_int_equal(run(&sqe), FAULT);
	assert_int_equal(t.gx.disk[0], 3);
	assert_int_equal(pool_empty(), 0);
	close_all();
}

/* More commands than there are buffers: all have their turn, and direct ones
 * do not wait for them. */
static void test_hungry(void **state)
{
	uint32_t i, n = 15, done = 0;
	struct leap__cqe cqe;
	struct leap_sqe sqe;

	open_all(4, 4096, 0, 1);
	memset(t.mem, 0x77, FAR_BYTES);
	for (i = 0; i < n; i++) {
		sqe = rw_far(i % 2 ? GX_OP_READ : GX_OP_WRITE, (uint16_t)i,
			     i * 8192, i * 8192, i % 3 ? 8192 : 4096);
		submit(&sqe);
	}
	assert_int_equal(t.gx.executed, n);
	assert_true(t.nr_asks && t.nr_asks < 4);
	assert_true(bufs_in_use() <= 4);
	assert_true(pool_empty() > 0);
	sqe = gx_rw(GX_OP_WRITE, 99, 400000, 4096);
	sqe.prp1 = leap_to_le64(gx_alloc(&t.gx, 4096, 4096).addr);
	submit(&sqe);
	assert_true(reap(&cqe));
	assert_int_equal(cqe.cid, 99);
	for (i = 0; i < 500 && done < n; i++) {
		if (t.nr_asks)
			answer(test_rand_below(&rng, t.nr_asks), 0);
		gx_poll(&t.gx, 1);
		while (reap(&cqe)) {
			assert_int_equal(cqe.status, 0);
			done++;
		}
		assert_true(bufs_in_use() <= 4);
	}
	assert_int_equal(done, n);
	for (i = 0; i < n; i += 2)
		assert_int_equal(t.gx.disk[i * 8192], 0x77);
	close_all();
}

/* ---- ends ---- */

/* Close with @n commands of @opc; those under way are answered @err later. */
static void closed(uint8_t opc, uint32_t n, int err)
{
	uint8_t *ram, *mem, *far;
	struct leap__cqe cqe;
	struct leap_sqe sqe;
	uint32_t i, irqs;
	int done = 0;

	open_all(4, 4096, 0, 1);
	for (i = 0; i < n; i++) {
		sqe = rw_far(opc, (uint16_t)i, i * 8192, i * 8192, 8192);
		submit(&sqe);
	}
	assert_true(t.nr_asks > 0);
	leap_vqp_close(t.sq.vqp);
	ram = exact_copy(t.gx.mem, GX_RAM_BYTES);
	mem = exact_copy(t.gx.state, GX_STATE_BYTES);
	far = exact_copy(t.gx.disk, GX_DISK_BYTES);
	irqs = t.gx.irqs[0];
	unmap_far(&done);
	gx_poll(&t.gx, 5);
	assert_int_equal(t.gx.lost, 1);
	assert_int_equal(t.gx.gone, 0);
	assert_int_equal(done, 0);
	assert_true(bufs_in_use() > 0);
	while (t.nr_asks) {
		assert_int_equal(t.gx.gone, 0);
		answer(t.nr_asks - 1, err);
		gx_poll(&t.gx, 3);
	}
	assert_int_equal(t.gx.gone, 1);
	assert_int_equal(done, 1);
	assert_int_equal(t.gx.irqs[0], irqs);
	assert_false(gx_reap(&t.cq, &cqe));
	assert_memory_equal(ram, t.gx.mem, GX_RAM_BYTES);
	assert_memory_equal(mem, t.gx.state, GX_STATE_BYTES);
	assert_memory_equal(far, t.gx.disk, GX_DISK_BYTES);
	free(ram);
	free(mem);
	free(far);
	close_rest();
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

	open_all(0, 4096, 0, 1);
	t.gx.hold = true;
	sqe = rw_far(GX_OP_READ, 1, 0, 0, 8192);
	submit(&sqe);
	assert_int_equal(t.gx.nr_held, 1);
	assert_int_equal(bufs_in_use(), 2);
	leap_vqp_close(t.sq.vqp);
	gx_poll(&t.gx, 3);
	assert_int_equal(t.gx.gone, 0);
	gx_let_all(&t.gx);
	gx_poll(&t.gx, 3);
	assert_int_equal(t.gx.gone, 1);
	assert_int_equal(t.asked, 0);
	close_rest();
}

static void test_drain(void **state)
{
	struct leap__cqe cqe;
	struct leap_sqe sqe;

	open_all(0, 4096, 0, 1);
	sqe = rw_far(GX_OP_WRITE, 1, 0, 0, 4096);
	submit(&sqe);
	sqe = rw_far(GX_OP_READ, 2, 4096, 0, 4096);
	submit(&sqe);
	assert_int_equal(t.nr_asks, 2);
	leap__guest_vqp_drain(t.sq.vqp);
	gx_poll(&t.gx, 3);
	answer(1, 0);
	gx_poll(&t.gx, 3);
	assert_true(reap(&cqe));
	assert_int_equal(cqe.cid, 2);
	assert_int_equal(t.gx.lost, 0);
	answer(0, 0);
	gx_poll(&t.gx, 3);
	assert_true(reap(&cqe));
	assert_int_equal(cqe.status, 0);
	assert_int_equal(t.gx.lost, 1);
	assert_int_equal(t.gx.gone, 1);
	close_rest();
}

/* The guest takes the memory back: its unmap waits for what is under way. */
static void test_unmap(void **state)
{
	struct leap__cqe cqe;
	struct leap_sqe sqe;
	int done = 0;

	open_all(0, 4096, 0, 1);
	sqe = rw_far(GX_OP_READ, 1, 0, 0, 8192);
	submit(&sqe);
	unmap_far(&done);
	gx_poll(&t.gx, 2);
	assert_int_equal(done, 0);
	answer(0, 0);		/* the other half is out of reach now */
	gx_poll(&t.gx, 3);
	assert_int_equal(done, 1);
	assert_true(reap(&cqe));
	assert_int_equal(cqe.status, FAULT);
	assert_int_equal(t.nr_asks, 0);
	assert_int_equal(run(&sqe), FAULT);
	close_all();
}

static void test_admin(void **state)
{
	struct leap_sqe sqe;

	open_all(0, 0, 0, 0);
	t.now = true;
	memset(t.gx.disk, 0x42, 4096);
	sqe = rw_far(GX_OP_READ, 1, 8, 0, 4096);
	sqe.prp2 = leap_to_le64(FAR_GPA + 4096);
	assert_int_equal(run(&sqe), 0);
	assert_int_equal(t.mem[7], 0xee);
	assert_int_equal(t.mem[8], 0x42);
	assert_int_equal(t.mem[4103], 0x42);
	assert_int_equal(t.mem[4104], 0xee);
	close_all();
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
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_close_below),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_unmap),
		cmocka_unit_test(test_admin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
