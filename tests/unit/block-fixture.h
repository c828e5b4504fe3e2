/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of block layers share: an open stack with one channel, bios
 * that are waited for and must end once, and random operations against a plain
 * array of bytes.
 */
#ifndef LEAP__TEST_BLOCK_FIXTURE_H
#define LEAP__TEST_BLOCK_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <leapio/nvme.h>
#include <leapio/plugin/bdev_ops.h>
#include <leapio/pollgroup.h>

struct blk {
	struct leap_pollgroup *pg;
	struct leap_bdev *bdev;
	struct leap_chan *chan;
	uint32_t block_bytes;
	uint64_t nr_blocks;
	uint32_t caps;
};

struct blk_wait {
	int nr_done;
	leap_status_t status;
};

static inline void blk_done(struct leap_bio *bio, leap_status_t status)
{
	struct blk_wait *wait = bio->arg;

	wait->nr_done++;
	wait->status = status;
}

static inline struct leap_pollgroup *blk_pollgroup(int kind)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup *pg = NULL;

	opts.world = (uint32_t)kind;
	if (leap_pollgroup_create(&opts, &pg))
		return NULL;
	return pg;
}

static inline void blk_refresh(struct blk *b)
{
	struct leap_bdev_info info = { sizeof(info) };

	assert_int_equal(leap_bdev_info(b->bdev, &info), 0);
	b->block_bytes = info.block_bytes;
	b->nr_blocks = info.nr_blocks;
	b->caps = info.caps;
}

static inline void blk_open_with(struct blk *b, int kind, const char *stack,
				 const struct leap_bdev_ops *const *own)
{
	memset(b, 0, sizeof(*b));
	b->pg = blk_pollgroup(kind);
	assert_non_null(b->pg);
	if (leap_bdev_open_with(b->pg, stack, own, &b->bdev))
		fail_msg("%s: %s", stack, leap_last_error());
	assert_int_equal(leap_chan_open(b->bdev, b->pg, 8, &b->chan), 0);
	blk_refresh(b);
}

static inline void blk_open(struct blk *b, const char *stack)
{
	blk_open_with(b, LEAP_WORLD_EPOLL, stack, NULL);
}

static inline void blk_close(struct blk *b)
{
	assert_int_equal(leap_chan_close(b->chan), 0);
	assert_int_equal(leap_bdev_close(b->bdev), 0);
	assert_int_equal(leap_pollgroup_destroy(b->pg), 0);
}

static inline struct leap_bio *
blk_bio(struct blk *b, int op, uint64_t block, uint32_t nr,
	const struct leap_piece *pieces, uint16_t nr_pieces,
	struct blk_wait *wait)
{
	struct leap_bio *bio = leap_bio_get(b->chan);

	assert_non_null(bio);
	memset(wait, 0, sizeof(*wait));
	bio->op = (uint8_t)op;
	bio->block = block;
	bio->nr_blocks = nr;
	bio->pieces = pieces;
	bio->nr_pieces = nr_pieces;
	bio->done = blk_done;
	bio->arg = wait;
	return bio;
}

/* Poll until @wait is done; it must be done once and stay so. */
static inline leap_status_t blk_await(struct blk *b, struct leap_bio *bio,
				      struct blk_wait *wait)
{
	uint64_t end = leap_pollgroup_now_ns(b->pg) + 60000000000ull;

	while (!wait->nr_done) {
		assert_true(leap_pollgroup_now_ns(b->pg) < end);
		leap_pollgroup_wait(b->pg, 1000000000);
	}
	leap_pollgroup_poll(b->pg, 0);
	assert_int_equal(wait->nr_done, 1);
	leap_bio_put(b->chan, bio);
	return wait->status;
}

static inline leap_status_t blk_run(struct blk *b, int op, uint8_t flags,
				    uint64_t block, uint32_t nr,
				    const struct leap_piece *pieces,
				    uint16_t nr_pieces)
{
	struct blk_wait wait;
	struct leap_bio *bio = blk_bio(b, op, block, nr, pieces, nr_pieces,
				       &wait);

	bio->flags = flags;
	leap_bio_submit(b->chan, bio);
	return blk_await(b, bio, &wait);
}

/* One piece. */
static inline leap_status_t blk_io(struct blk *b, int op, uint8_t flags,
				   uint64_t block, uint32_t nr, void *buf)
{
	struct leap_piece piece = {
		.addr = buf, .len_bytes = nr * b->block_bytes
	};

	return blk_run(b, op, flags, block, nr, buf ? &piece : NULL, !!buf);
}

/* ---- random operations against an array ---- */

#define MODEL_PIECES	16
#define MODEL_IO_BLOCKS	24
#define MODEL_IO_BYTES	(MODEL_IO_BLOCKS * 4096)

struct model {
	struct blk *b;
	unsigned char *bytes;	/* what the drive holds */
	uint64_t max_blocks;
	uint64_t seed;
	unsigned char *buf;	/* pieces lie in here, with gaps */
	struct leap_piece pieces[MODEL_PIECES];
	uint16_t nr_pieces;
	uint32_t align;		/* of piece addresses and lengths */
};

static inline uint32_t model_rand(struct model *m, uint32_t below)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return (uint32_t)((m->seed >> 20) % below);
}

/* Cut @bytes in random pieces at random addresses. */
static inline void model_pieces(struct model *m, uint32_t bytes)
{
	uint32_t max = 1 + model_rand(m, MODEL_PIECES), at = 0, n;

	memset(m->pieces, 0, sizeof(m->pieces));
	for (m->nr_pieces = 0; bytes; m->nr_pieces++) {
		at += model_rand(m, 3) * m->align;
		n = bytes;
		if (m->nr_pieces + 1u < max && bytes > m->align)
			n = m->align * (1 + model_rand(m, bytes / m->align));
		if (n > bytes)
			n = bytes;
		m->pieces[m->nr_pieces].addr = m->buf + at;
		m->pieces[m->nr_pieces].len_bytes = n;
		at += n;
		bytes -= n;
	}
}

/* Copy between the pieces and a plain buffer. */
static inline void model_gather(struct model *m, unsigned char *plain, int out)
{
	uint16_t i;

	for (i = 0; i < m->nr_pieces; i++) {
		if (out)
			memcpy(m->pieces[i].addr, plain,
			       m->pieces[i].len_bytes);
		else
			memcpy(plain, m->pieces[i].addr,
			       m->pieces[i].len_bytes);
		plain += m->pieces[i].len_bytes;
	}
}

static inline void model_write(struct model *m, uint64_t block, uint32_t nr)
{
	uint32_t bytes = nr * m->b->block_bytes, i;
	unsigned char *at = m->bytes + block * m->b->block_bytes;
	uint8_t flags = model_rand(m, 4) ? 0 : LEAP_BIO_FUA;

	for (i = 0; i < bytes; i++)
		at[i] = (unsigned char)model_rand(m, 256);
	model_pieces(m, bytes);
	model_gather(m, at, 1);
	assert_int_equal(blk_run(m->b, LEAP_BIO_WRITE, flags, block, nr,
				 m->pieces, m->nr_pieces), 0);
}

static inline void model_read(struct model *m, uint64_t block, uint32_t nr)
{
	uint32_t bytes = nr * m->b->block_bytes;
	unsigned char *got = malloc(bytes);

	model_pieces(m, bytes);
	memset(m->buf, 0xee, MODEL_IO_BYTES);
	assert_int_equal(blk_run(m->b, LEAP_BIO_READ, 0, block, nr, m->pieces,
				 m->nr_pieces), 0);
	model_gather(m, got, 0);
	assert_memory_equal(got, m->bytes + block * m->b->block_bytes, bytes);
	free(got);
}

static inline void model_compare(struct model *m, uint64_t block, uint32_t nr)
{
	uint32_t bytes = nr * m->b->block_bytes, i;
	unsigned char *p;
	leap_status_t want = 0;

	if (!(m->b->caps & LEAP_BDEV_COMPARE))
		return;
	model_pieces(m, bytes);
	model_gather(m, m->bytes + block * m->b->block_bytes, 1);
	if (model_rand(m, 2)) {
		i = model_rand(m, m->nr_pieces);
		p = m->pieces[i].addr;
		p[model_rand(m, m->pieces[i].len_bytes)] ^= 1;
		want = LEAP_SC_COMPARE_FAILED;
	}
	assert_int_equal(LEAP_STATUS_CODE(blk_run(m->b, LEAP_BIO_COMPARE, 0,
			 block, nr, m->pieces, m->nr_pieces)), want);
}

static inline void model_zero(struct model *m, int op, uint64_t block,
			      uint32_t nr)
{
	uint8_t flags = 0;

	if (op == LEAP_BIO_WRITE_ZEROES)
		flags = (uint8_t)model_rand(m, 4);	/* FUA, DEAC */
	assert_int_equal(blk_run(m->b, op, flags, block, nr, NULL, 0), 0);
	/* Discarded blocks may hold anything where the drive does not say. */
	if (op == LEAP_BIO_DISCARD && !(m->b->caps & LEAP_BDEV_ZERO_DISCARD))
		assert_int_equal(blk_run(m->b, LEAP_BIO_WRITE_ZEROES, 0, block,
					 nr, NULL, 0), 0);
	memset(m->bytes + block * m->b->block_bytes, 0,
	       (size_t)nr * m->b->block_bytes);
}

static inline void model_resize(struct model *m)
{
	struct blk *b = m->b;
	uint64_t old = b->nr_blocks;
	uint64_t nr = MODEL_IO_BLOCKS + model_rand(m, (uint32_t)m->max_blocks -
						   MODEL_IO_BLOCKS + 1);

	assert_int_equal(leap_bdev_resize(b->bdev, nr * b->block_bytes), 0);
	blk_refresh(b);
	assert_int_equal(b->nr_blocks, nr);
	if (nr > old)
		memset(m->bytes + old * b->block_bytes, 0,
		       (nr - old) * b->block_bytes);
	if (nr < m->max_blocks)
		assert_int_equal(LEAP_STATUS_CODE(blk_io(b, LEAP_BIO_READ, 0,
				 nr - 1, 2, m->buf)), LEAP_SC_LBA_RANGE);
}

/* The drive of @b is zeroed first; resized up to @max_blocks if not 0. */
static inline void model_run(struct blk *b, uint64_t seed, int nr_ops,
			     uint64_t max_blocks, uint32_t align)
{
	struct model m = { .b = b, .seed = seed, .align = align };
	uint64_t block;
	uint32_t nr;
	int i;

	m.max_blocks = max_blocks ? max_blocks : b->nr_blocks;
	m.bytes = calloc(m.max_blocks, b->block_bytes);
	m.buf = aligned_alloc(4096, 2 * MODEL_IO_BYTES);
	assert_int_equal(blk_run(b, LEAP_BIO_WRITE_ZEROES, 0, 0,
				 (uint32_t)b->nr_blocks, NULL, 0), 0);
	for (i = 0; i < nr_ops; i++) {
		nr = 1 + model_rand(&m, MODEL_IO_BLOCKS);
		block = model_rand(&m, (uint32_t)b->nr_blocks - nr + 1);
		switch (model_rand(&m, 12)) {
		case 0: case 1: case 2: case 3:
			model_write(&m, block, nr);
			break;
		case 4: case 5: case 6:
			model_read(&m, block, nr);
			break;
		case 7:
			model_compare(&m, block, nr);
			break;
		case 8:
			model_zero(&m, LEAP_BIO_WRITE_ZEROES, block, nr);
			break;
		case 9:
			model_zero(&m, LEAP_BIO_DISCARD, block, nr);
			break;
		case 10:
			assert_int_equal(blk_run(b, LEAP_BIO_FLUSH, 0, 0, 0,
						 NULL, 0), 0);
			break;
		case 11:
			if (max_blocks)
				model_resize(&m);
			break;
		}
	}
	for (block = 0; block < b->nr_blocks; block += nr) {
		nr = b->nr_blocks - block < MODEL_IO_BLOCKS ?
		     (uint32_t)(b->nr_blocks - block) : MODEL_IO_BLOCKS;
		model_read(&m, block, nr);
	}
	free(m.bytes);
	free(m.buf);
}

#endif
