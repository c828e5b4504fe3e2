/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ocssd: an open-channel drive in the memory of this process. A leaf.
 *
 *	ocssd[groups=N,pus=N,chunks=N,blocks=N,ws_min=N,ws_opt=N,cunits=N,
 *	      maxoc=N,maxocpu=N,wear=N,block=512|4096,version=1|2]
 *
 * A model to write hosts against, not a fast drive: one lock is held for each
 * operation, bytes included. Every operation ends inside submit. Reads and
 * writes of a range are vectors of its addresses; a deallocated chunk is reset.
 */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "block/ocssd/ocssd.h"
#include "util/atomic.h"
#include "util/err.h"

#define CAPS		(LEAP_BDEV_FUA | LEAP_BDEV_DISCARD | LEAP_BDEV_VECTOR)
#define MAX_CHUNKS	(1u << 20)
#define MAX_BYTES	(UINT64_C(1) << 44)

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

/* ---- opening ---- */

static int u32_opt(struct leap_bdev *bdev, const char *key, uint32_t fallback,
		   uint32_t max, uint32_t *out)
{
	uint64_t v;
	int err = leap_bdev_opt_u64(bdev, key, fallback, max, &v);

	*out = err ? 0 : (uint32_t)v;
	return err;
}

static int read_opts(struct leap_bdev *bdev, struct leap__ocssd *o,
		     uint32_t *block)
{
	int err;

	err = u32_opt(bdev, "groups", 2, 256, &o->groups);
	if (!err)
		err = u32_opt(bdev, "pus", 4, 256, &o->pus);
	if (!err)
		err = u32_opt(bdev, "chunks", 32, 65535, &o->chunks);
	if (!err)
		err = u32_opt(bdev, "blocks", 64, 65536, &o->blocks);
	if (!err)
		err = u32_opt(bdev, "ws_min", 4, 64, &o->ws_min);
	if (!err)
		err = u32_opt(bdev, "ws_opt", 2 * o->ws_min, 65536,
			      &o->ws_opt);
	if (!err)
		err = u32_opt(bdev, "cunits", 0, 65536, &o->cunits);
	if (!err)
		err = u32_opt(bdev, "maxoc", 0, MAX_CHUNKS, &o->maxoc);
	if (!err)
		err = u32_opt(bdev, "maxocpu", 0, 65535, &o->maxocpu);
	if (!err)
		err = u32_opt(bdev, "wear", 0, 1u << 24, &o->wear);
	if (!err)
		err = u32_opt(bdev, "block", 4096, 4096, block);
	if (!err)
		err = u32_opt(bdev, "version", 2, 2, &o->version);
	return err;
}

static int check_opts(const struct leap__ocssd *o, uint32_t block)
{
	if (block != 512 && block != 4096)
		return leap__err(-EINVAL, "ocssd: block %u is not 512 or 4096",
				 block);
	if (!o->groups || !o->pus || !o->chunks || !o->version ||
	    (uint64_t)o->groups * o->pus * o->chunks > MAX_CHUNKS)
		return leap__err(-EINVAL, "ocssd: 1 to %u chunks", MAX_CHUNKS);
	if (!o->ws_min || o->ws_min & (o->ws_min - 1) ||
	    !o->blocks || o->blocks % o->ws_min)
		return leap__err(-EINVAL, "ocssd: blocks %u are not units of "
				 "ws_min %u, a power of two", o->blocks,
				 o->ws_min);
	if ((uint64_t)o->groups * o->pus * o->chunks * o->blocks * block >
	    MAX_BYTES)
		return leap__err(-EINVAL, "ocssd: too large");
	/* The widths of num_ch, num_lun, num_pg and fpg_sz. */
	if (o->version == 1 &&
	    (o->groups > UINT8_MAX || o->pus > UINT8_MAX ||
	     o->blocks / o->ws_min > UINT16_MAX ||
	     (uint64_t)o->ws_min * block > UINT16_MAX))
		return leap__err(-EINVAL, "ocssd: more groups, pus, pages or "
				 "bytes of a page than version 1 can say");
	return 0;
}

/* Bits that @n values take. */
static uint32_t bits(uint32_t n)
{
	return n > 1 ? 32u - (uint32_t)__builtin_clz(n - 1) : 0;
}

static uint64_t bytes_of(const struct leap__ocssd *o)
{
	return (uint64_t)o->nr_chunks * o->blocks << o->shift;
}

static int alloc(struct leap__ocssd *o)
{
	uint32_t i;

	o->chunk = calloc(o->nr_chunks, sizeof(*o->chunk));
	o->unit = calloc((size_t)o->groups * o->pus, sizeof(*o->unit));
	o->base = mmap(NULL, bytes_of(o), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!o->chunk || !o->unit || o->base == MAP_FAILED) {
		if (o->base != MAP_FAILED)
			munmap(o->base, bytes_of(o));
		free(o->chunk);
		free(o->unit);
		return leap__err(-ENOMEM, "ocssd: out of memory");
	}
	for (i = 0; i < o->nr_chunks; i++)
		o->chunk[i].state = LEAP_OCSSD_CS_FREE;
	return 0;
}

static int ocssd_open(struct leap_bdev *bdev)
{
	struct leap__ocssd *o = leap_bdev_priv(bdev);
	uint32_t block;
	int err = read_opts(bdev, o, &block);

	if (!err)
		err = check_opts(o, block);
	if (err)
		return err;
	o->shift = block == 4096 ? 12 : 9;
	o->nr_chunks = o->groups * o->pus * o->chunks;
	o->chunk_shift = bits(o->blocks);
	o->pu_shift = o->chunk_shift + bits(o->chunks);
	o->group_shift = o->pu_shift + bits(o->pus);
	err = alloc(o);
	if (!err)
		leap_bdev_set(bdev, block, (uint64_t)o->groups <<
			      o->group_shift, CAPS);
	return err;
}

static void ocssd_close(struct leap_bdev *bdev)
{
	struct leap__ocssd *o = leap_bdev_priv(bdev);

	munmap(o->base, bytes_of(o));
	free(o->chunk);
	free(o->unit);
}

/* ---- bytes ---- */

struct cursor {
	const struct leap_piece *piece;
	uint32_t at;
};

static void move(struct cursor *c, int out, unsigned char *at, uint32_t n)
{
	uint32_t part;

	for (; n; n -= part, at += part) {
		unsigned char *payload = (unsigned char *)c->piece->addr +
					 c->at;

		part = c->piece->len_bytes - c->at;
		if (part > n)
			part = n;
		if (out)
			memcpy(payload, at, part);
		else
			memcpy(at, payload, part);
		c->at += part;
		if (c->at == c->piece->len_bytes) {
			c->piece++;
			c->at = 0;
		}
	}
}

static void skip(struct cursor *c, uint32_t n)
{
	uint32_t part;

	for (; n; n -= part) {
		part = c->piece->len_bytes - c->at;
		if (part > n)
			part = n;
		c->at += part;
		if (c->at == c->piece->len_bytes) {
			c->piece++;
			c->at = 0;
		}
	}
}

static unsigned char *bytes_at(struct leap__ocssd *o, uint64_t lba)
{
	uint32_t block;
	struct leap__oc_chunk *c = leap__oc_find(o, lba, &block);

	return o->base + (((uint64_t)(c - o->chunk) * o->blocks + block) <<
			  o->shift);
}

/* ---- vectors ---- */

static leap_status_t do_read(struct leap__ocssd *o, const uint64_t *at,
			     uint32_t nr, struct cursor *c, uint64_t *bad)
{
	leap_status_t status = 0, one;
	uint32_t i;

	for (i = 0; i < nr; i++) {
		one = leap__oc_readable(o, at[i]);
		if (!one) {
			move(c, 1, bytes_at(o, at[i]), 1u << o->shift);
			continue;
		}
		skip(c, 1u << o->shift);
		*bad |= 1ull << i;
		status = status ? status : one;
	}
	return status;
}

static leap_status_t do_write(struct leap__ocssd *o, const uint64_t *at,
			      uint32_t nr, struct cursor *c, uint64_t *bad)
{
	leap_status_t status = leap__oc_write(o, at, nr, bad);
	uint32_t i;

	for (i = 0; !status && i < nr; i++)
		move(c, 0, bytes_at(o, at[i]), 1u << o->shift);
	return status;
}

static leap_status_t do_copy(struct leap__ocssd *o,
			     const struct leap_bio_vector *v, uint64_t *bad)
{
	leap_status_t status = 0, one;
	uint32_t i;

	for (i = 0; i < v->nr; i++) {
		one = leap__oc_readable(o, v->at[i]);
		if (one) {
			*bad |= 1ull << i;
			status = status ? status : one;
		}
	}
	if (!status)
		status = leap__oc_write(o, v->to, v->nr, bad);
	for (i = 0; !status && i < v->nr; i++)
		memcpy(bytes_at(o, v->to[i]), bytes_at(o, v->at[i]),
		       1u << o->shift);
	return status;
}

static leap_status_t do_reset(struct leap__ocssd *o, const uint64_t *at,
			      uint32_t nr, uint64_t *bad)
{
	leap_status_t status = 0, one;
	uint32_t i;

	for (i = 0; i < nr; i++) {
		one = leap__oc_reset(o, at[i]);
		if (one)
			*bad |= 1ull << i;
		status = status ? status : one;
	}
	return status;
}

static leap_status_t do_vector(struct leap__ocssd *o, struct leap_bio *bio)
{
	const struct leap_bio_vector *v = bio->vector;
	struct cursor c = { .piece = bio->pieces };

	switch (v->op) {
	case LEAP_VECTOR_READ:
		return do_read(o, v->at, v->nr, &c, &bio->result);
	case LEAP_VECTOR_WRITE:
		return do_write(o, v->at, v->nr, &c, &bio->result);
	case LEAP_VECTOR_COPY:
		return do_copy(o, v, &bio->result);
	default:
		return do_reset(o, v->at, v->nr, &bio->result);
	}
}

/* A range of addresses, as a few vectors. */
static leap_status_t do_range(struct leap__ocssd *o, const struct leap_bio *bio)
{
	struct cursor c = { .piece = bio->pieces };
	uint64_t at[LEAP_VECTOR_MAX], bad = 0, lba = bio->block;
	uint32_t left = bio->nr_blocks, nr, i;
	leap_status_t status = 0;

	for (; left && !status; left -= nr, lba += nr) {
		nr = left < LEAP_VECTOR_MAX ? left : LEAP_VECTOR_MAX;
		for (i = 0; i < nr; i++)
			at[i] = lba + i;
		status = bio->op == LEAP_BIO_READ ?
			 do_read(o, at, nr, &c, &bad) :
			 do_write(o, at, nr, &c, &bad);
	}
	return status;
}

/* Every chunk that lies in the range, whole; the rest is advice. */
static leap_status_t do_discard(struct leap__ocssd *o,
				const struct leap_bio *bio)
{
	uint64_t end = bio->block + bio->nr_blocks, lba, step;
	struct leap__oc_chunk *c;
	uint32_t block;

	step = 1ull << o->chunk_shift;
	for (lba = (bio->block + step - 1) & ~(step - 1);
	     lba + o->blocks <= end; lba += step) {
		c = leap__oc_find(o, lba, &block);
		if (c && c->state != LEAP_OCSSD_CS_FREE)
			(void)leap__oc_reset(o, lba);
	}
	return 0;
}

static void ocssd_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	struct leap__ocssd *o = leap_bdev_priv(leap_chan_bdev(chan));
	leap_status_t status;

	while (leap__exchange(&o->held, 1u))
		sched_yield();
	switch (bio->op) {
	case LEAP_BIO_READ:
	case LEAP_BIO_WRITE:
		status = do_range(o, bio);
		break;
	case LEAP_BIO_DISCARD:
		status = do_discard(o, bio);
		break;
	case LEAP_BIO_VECTOR:
		status = do_vector(o, bio);
		break;
	default:
		status = LEAP_SC_INVALID_OPCODE;
	}
	leap__store_release(&o->held, 0u);
	leap_bio_done(bio, status ? DNR(status) : 0);
}

const struct leap_bdev_ops leap__ocssd_ops = {
	.size = sizeof(struct leap_bdev_ops),
	.name = "ocssd",
	.help = "groups=N,pus=N  groups of parallel units; 2 of 4\n"
		"chunks=N        of each unit; 32\n"
		"blocks=N        of each chunk; 64\n"
		"ws_min=N,ws_opt=N  blocks of a write; 4, twice that\n"
		"cunits=N        not readable behind the pointer; 0\n"
		"maxoc=N,maxocpu=N  open chunks, and of a unit; 0: any\n"
		"wear=N          resets until a chunk is offline; 0: never\n"
		"block=512|4096  block size; 4096\n"
		"version=1|2     1.2 or 2.0; 2",
	.bdev_bytes = sizeof(struct leap__ocssd),
	.open = ocssd_open,
	.close = ocssd_close,
	.submit = ocssd_submit,
	.admin = leap__oc_admin,
};
