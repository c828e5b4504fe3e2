/* SPDX-License-Identifier: BSD-3-Clause */
#include "bounce-fixture.h"

struct bounce bx;

void bx_answer(uint32_t i, int err)
{
	struct bx_request r = bx.ask[i];

	assert_true(i < bx.nr_asks);
	memmove(&bx.ask[i], &bx.ask[i + 1],
		(--bx.nr_asks - i) * sizeof(bx.ask[0]));
	if (!err && r.in)
		memcpy(r.in, bx.mem + (r.gpa.addr - FAR_GPA), r.bytes);
	else if (!err)
		memcpy(bx.mem + (r.gpa.addr - FAR_GPA), r.out, r.bytes);
	leap_ats_io_done(r.io, err);
}

static int queue(struct bx_request r)
{
	if (bx.refuse)
		return bx.refuse;
	assert_true(r.gpa.addr >= FAR_GPA &&
		    r.gpa.addr + r.bytes <= FAR_GPA + FAR_BYTES);
	assert_true(bx.nr_asks < BX_ASKS);
	bx.asked++;
	bx.ask[bx.nr_asks++] = r;
	if (bx.now)
		bx_answer(bx.nr_asks - 1, 0);
	return 0;
}

static int far_read(void *arg, leap_gpa_t gpa, void *buf, uint32_t bytes,
		    struct leap_ats_io *io)
{
	assert_ptr_equal(arg, &bx);
	return queue((struct bx_request){ gpa, buf, NULL, bytes, io });
}

static int far_write(void *arg, leap_gpa_t gpa, const void *buf,
		     uint32_t bytes, struct leap_ats_io *io)
{
	assert_ptr_equal(arg, &bx);
	return queue((struct bx_request){ gpa, NULL, buf, bytes, io });
}

void bx_map(uint32_t max_bytes, bool reach)
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
	r.arg = &bx;
	assert_int_equal(leap_ats_map(bx.gx.ats, &r), 0);
}

void bx_open(uint32_t nr_bufs, uint32_t buf_bytes, uint32_t max_bytes,
	     uint16_t qid)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;

	memset(&bx, 0, sizeof(bx));
	popts.nr_bufs = nr_bufs;
	popts.buf_bytes = buf_bytes;
	gx_init_opts(&bx.gx, popts);
	bx.mem = malloc(FAR_BYTES);
	assert_non_null(bx.mem);
	memset(bx.mem, 0xee, FAR_BYTES);
	bx_map(max_bytes, true);
	gx_cq(&bx.gx, &bx.cq, qid, 64, 0);
	gx_sq(&bx.gx, &bx.sq, qid, &bx.cq, 64);
}

struct leap_pollgroup_stats bx_stats(void)
{
	struct leap_pollgroup_stats st = { sizeof(st) };

	assert_int_equal(leap_pollgroup_stats(bx.gx.pg, &st), 0);
	return st;
}

void bx_close_rest(void)
{
	gx_cq_end(&bx.cq);
	assert_int_equal(bx.nr_asks, 0);
	assert_int_equal(bx_stats().bufs_in_use, 0);
	gx_fini(&bx.gx);
	free(bx.mem);
}

void bx_close(void)
{
	gx_sq_end(&bx.sq);
	bx_close_rest();
}

struct leap_sqe bx_rw(uint8_t opc, uint16_t cid, uint32_t at, uint32_t disk,
		      uint32_t len)
{
	struct leap_sqe sqe = gx_rw(opc, cid, disk, len);

	sqe.prp1 = leap_to_le64(FAR_GPA + at);
	if (len > 4096)
		sqe.prp2 = leap_to_le64(FAR_GPA + at + 4096);
	return sqe;
}

void bx_submit(const struct leap_sqe *sqe)
{
	gx_push(&bx.sq, sqe);
	gx_ring(&bx.sq);
	gx_poll(&bx.gx, 2);
}

bool bx_reap(struct leap__cqe *cqe)
{
	if (!gx_reap(&bx.cq, cqe))
		return false;
	bx.sq.head = cqe->sqhd;
	gx_ring_cq(&bx.cq);
	return true;
}

uint16_t bx_run(const struct leap_sqe *sqe)
{
	struct leap__cqe cqe;
	int i;

	bx_submit(sqe);
	for (i = 0; i < 2000; i++) {
		if (bx_reap(&cqe))
			return cqe.status;
		gx_poll(&bx.gx, 1);
	}
	fail_msg("no completion");
	return 0xffff;
}
