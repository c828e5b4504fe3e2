/* SPDX-License-Identifier: BSD-3-Clause */
#include "payload-fixture.h"

#include <leapio/ats.h>
#include <leapio/nvme.h>

#include <sys/mman.h>

void pay_make(struct payload *p, const char *name)
{
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;

	opts.bytes = BYTES;
	opts.huge = LEAP_HUGE_NEVER;
	opts.name = name;
	assert_int_equal(leap_dmabuf_create(&opts, &p->buf), 0);
	p->own = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		      leap_dmabuf_fd(p->buf), 0);
	assert_true(p->own != MAP_FAILED);
}

void pay_free(struct payload *p)
{
	leap_dmabuf_put(p->buf);
	munmap(p->own, BYTES);
}

void pay_add(const struct payload *p, struct leap_vdev *v)
{
	struct leap_ats_range range = LEAP_ATS_RANGE_INIT;

	range.gpa.addr = PAYLOAD;
	range.bytes = BYTES;
	range.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	range.source = LEAP_ATS_DMABUF;
	range.buf = p->buf;
	assert_int_equal(leap_vdev_mem_add(v, &range), 0);
}

struct leap_sqe pay_sqe(struct payload *p, uint8_t opc, uint32_t lba,
			uint32_t nr, uint32_t at)
{
	struct leap_sqe sqe = gd_sqe_rw(opc, 1, lba, nr);

	gd_prp(p->g, &sqe, PAYLOAD + at, nr * 512);
	return sqe;
}

void pay_one(struct payload *p, int fill,
	     leap_status_t (*run)(const struct leap_sqe *sqe))
{
	uint32_t nr = 1 + test_rand_below(&p->rnd, 255), i;
	uint32_t lba = test_rand_below(&p->rnd, BLOCKS - nr);
	uint32_t at = 4 * test_rand_below(&p->rnd, 1000);
	uint32_t to = (1 << 20) + 4 * test_rand_below(&p->rnd, 1000);
	struct leap_sqe sqe;

	p->g->used = 256 << 10;	/* PRP lists: those of before are done */
	for (i = 0; i < nr * 512; i++)
		p->own[at + i] = (uint8_t)test_rand_below(&p->rnd, 256);
	memset(p->own + to, fill, nr * 512);
	p->own[to + nr * 512] = 0x5a;
	sqe = pay_sqe(p, LEAP_NVM_WRITE, lba, nr, at);
	assert_int_equal(run(&sqe), 0);
	sqe = pay_sqe(p, LEAP_NVM_READ, lba, nr, to);
	assert_int_equal(run(&sqe), 0);
	assert_memory_equal(p->own + to, p->own + at, nr * 512);
	assert_int_equal(p->own[to + nr * 512], 0x5a);
}

void pay_load(struct payload *p, uint16_t *cids, uint8_t fill)
{
	struct leap_sqe sqe;
	uint32_t i;

	p->g->used = 256 << 10;
	for (i = 0; i < OUT; i++) {
		memset(p->own + i * 65536, i & 1 ? 0 : fill, 64 * 512);
		sqe = pay_sqe(p, i & 1 ? LEAP_NVM_READ : LEAP_NVM_WRITE,
			      (i & ~1u) * 64 + (i & 1) * 2048, 64, i * 65536);
		cids[i] = gd_submit(p->g, p->sq, &sqe);
	}
}
