/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pattern of a block and what may be there when it is read.
 *
 *	0  magic     8  seed    16  LBA    24  generation    28  check of 0..27
 *	32 ... words of a generator started from seed, LBA and generation
 *
 * For every block two generations are kept: the last one acknowledged and the
 * last one sent. A read must find one between what was acknowledged when it was
 * sent and what has been sent when it comes back, whole.
 */
#include "perf.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC 0x6c656170506572ull

struct header {
	uint64_t magic;
	uint64_t seed;
	uint64_t lba;
	uint32_t gen;
	uint32_t check;
};

struct state {
	uint32_t acked;
	uint32_t sent;		/* > acked: a write is in flight, or failed */
};

struct verify {
	uint64_t blocks;
	uint32_t block_bytes;
	uint64_t seed;
	struct state *st;
	uint8_t *busy;		/* write in flight */
	uint64_t faults[FAULT_NR];
};

static uint64_t start(const struct header *h)
{
	return mix(h->seed ^ mix(h->lba * 0x9e3779b97f4a7c15ull ^ h->gen)) | 1;
}

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void header_make(const struct verify *v, struct header *h, uint64_t lba,
			uint32_t gen)
{
	h->magic = MAGIC;
	h->seed = v->seed;
	h->lba = lba;
	h->gen = gen;
	h->check = (uint32_t)mix(h->magic ^ mix(h->seed ^ mix(lba ^
						(uint64_t)gen << 40)));
}

static void fill(const struct verify *v, char *block, uint64_t lba,
		 uint32_t gen)
{
	struct header h;
	uint64_t x, w;
	uint32_t i;

	header_make(v, &h, lba, gen);
	memcpy(block, &h, sizeof(h));
	x = start(&h);
	for (i = sizeof(h); i < v->block_bytes; i += 8) {
		w = next(&x);
		memcpy(block + i, &w, 8);
	}
}

static int body_matches(const struct verify *v, const char *block,
			const struct header *h)
{
	uint64_t x = start(h), w;
	uint32_t i;

	for (i = sizeof(*h); i < v->block_bytes; i += 8) {
		w = next(&x);
		if (memcmp(block + i, &w, 8))
			return 0;
	}
	return 1;
}

struct verify *verify_create(uint64_t blocks, uint32_t block_bytes,
			     uint64_t seed)
{
	struct verify *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->blocks = blocks;
	v->block_bytes = block_bytes;
	v->seed = seed;
	v->st = calloc(blocks, sizeof(*v->st));
	v->busy = calloc(blocks, 1);
	if (v->st && v->busy)
		return v;
	verify_destroy(v);
	return NULL;
}

void verify_destroy(struct verify *v)
{
	if (!v)
		return;
	free(v->st);
	free(v->busy);
	free(v);
}

int verify_may_write(const struct verify *v, uint64_t lba, uint32_t nr)
{
	while (nr--)
		if (v->busy[lba + nr])
			return 0;
	return 1;
}

void verify_write_start(struct verify *v, uint64_t lba, uint32_t nr, void *buf)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		v->busy[lba + i] = 1;
		v->st[lba + i].sent++;
		fill(v, (char *)buf + (size_t)i * v->block_bytes, lba + i,
		     v->st[lba + i].sent);
	}
}

/* A write that failed may have happened or not: both are right from now on. */
void verify_write_end(struct verify *v, uint64_t lba, uint32_t nr, int ok)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		v->busy[lba + i] = 0;
		if (ok)
			v->st[lba + i].acked = v->st[lba + i].sent;
	}
}

void verify_read_start(struct verify *v, uint64_t lba, uint32_t nr,
		       uint32_t *floor)
{
	uint32_t i;

	for (i = 0; i < nr; i++)
		floor[i] = v->st[lba + i].acked;
}

static enum fault judge(const struct verify *v, const char *block, uint64_t lba,
			uint32_t floor)
{
	struct header h, want;

	memcpy(&h, block, sizeof(h));
	header_make(v, &want, h.lba, h.gen);
	if (memcmp(&h, &want, sizeof(h)))
		/* Not ours: as it was before, or a header cut in two. */
		return !floor ? FAULT_NONE :
		       h.magic == MAGIC && h.seed == v->seed ? FAULT_TORN :
		       FAULT_LOST;
	if (!body_matches(v, block, &h))
		return FAULT_TORN;
	if (h.lba != lba)
		return FAULT_MISPLACED;
	if (h.gen < floor)
		return FAULT_STALE;
	/* Nothing of ours yet: an earlier run with this seed may show. */
	if (!v->st[lba].sent)
		return FAULT_NONE;
	return h.gen > v->st[lba].sent && floor ? FAULT_FUTURE : FAULT_NONE;
}

unsigned int verify_read_end(struct verify *v, uint64_t lba, uint32_t nr,
			     const void *buf, const uint32_t *floor)
{
	unsigned int bad = 0;
	struct header h;
	const char *block;
	enum fault f;
	uint32_t i;

	for (i = 0; i < nr; i++) {
		block = (const char *)buf + (size_t)i * v->block_bytes;
		f = judge(v, block, lba + i, floor[i]);
		if (f == FAULT_NONE)
			continue;
		if (!bad++ && v->faults[f] < 3) {
			memcpy(&h, block, sizeof(h));
			fprintf(stderr,
				"leap-perf: LBA %llu is %s: acknowledged %u, "
				"sent %u; it says LBA %llu, write %u\n",
				(unsigned long long)(lba + i),
				verify_fault_name(f), floor[i],
				v->st[lba + i].sent,
				(unsigned long long)h.lba, h.gen);
		}
		v->faults[f]++;
	}
	return bad;
}

int verify_is_written(const struct verify *v, uint64_t lba)
{
	return v->st[lba].acked != 0;
}

uint64_t verify_faults(const struct verify *v, enum fault f)
{
	return v->faults[f];
}

const char *verify_fault_name(enum fault f)
{
	static const char *const names[FAULT_NR] = {
		"good", "torn", "lost", "stale", "misplaced", "from the future",
	};

	return names[f];
}
