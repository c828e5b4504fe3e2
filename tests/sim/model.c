/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each block of 512 bytes may hold, given what was sent and answered.
 *
 * A block has candidates: writes that may be what a reader finds. One leaves
 * them ("gone") when a write that began after its end is acknowledged, and it
 * can still be what the medium has after a power cut until a flush that began
 * after that, or such a write with FUA, is acknowledged ("lost"). Reads between
 * writes narrow it down. Knows nothing of commands or hosts beyond a number.
 */
#include "sim-test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x6c656170u

struct cand {
	struct write *w;
	uint64_t gone;		/* 0 = may be read */
	bool lost;		/* cannot come back by a power cut either */
};

struct block {
	struct cand *cand;
	uint32_t nr, max;
	uint64_t changed;	/* last submit or end of a write */
};

struct model {
	uint64_t now;
	uint64_t next_id;
	struct write *writes;
	struct block block[MODEL_BLOCKS];
	char text[160];
};

struct stamp {
	uint32_t magic;
	uint32_t block;
	uint64_t id;
};

static void *need(void *p)
{
	if (!p)
		abort();
	return p;
}

uint64_t model_now(struct model *m)
{
	return ++m->now;
}

uint64_t model_id(struct model *m)
{
	return ++m->next_id;
}

void model_fill(unsigned char *buf, uint64_t id, uint32_t block)
{
	struct stamp stamp = { MAGIC, block, id };
	uint64_t x = id * 0x9e3779b97f4a7c15ull + block + 1;
	size_t i;

	memset(buf, 0, BLOCK);
	if (!id)
		return;
	for (i = 0; i < BLOCK; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(buf + i, &x, 8);
	}
	memcpy(buf, &stamp, sizeof(stamp));
}

struct write *model_submit(struct model *m, uint32_t host, uint32_t block,
			   uint32_t nr, uint64_t id)
{
	struct write *w = need(calloc(1, sizeof(*w)));
	uint32_t i;

	w->id = id;
	w->host = host;
	w->block = block;
	w->nr = nr;
	w->submit = model_now(m);
	w->end = UINT64_MAX;
	w->next = m->writes;
	m->writes = w;
	for (i = block; i < block + nr; i++) {
		struct block *b = &m->block[i];

		if (b->nr == b->max) {
			b->max = b->max * 2 + 8;
			b->cand = need(realloc(b->cand, b->max *
					       sizeof(*b->cand)));
		}
		b->cand[b->nr++] = (struct cand){ .w = w };
		b->changed = w->submit;
	}
	return w;
}

/* Has @old left the disk's queue before @w began? */
static bool before(const struct write *old, const struct write *w)
{
	if (old->host_died && old->host == w->host)
		return old->host_died < w->submit;
	return old->end < w->submit;
}

void model_ack(struct model *m, struct write *w, bool durable)
{
	uint64_t now = model_now(m);
	uint32_t i, k;

	w->end = now;
	for (i = w->block; i < w->block + w->nr; i++) {
		struct block *b = &m->block[i];

		b->changed = now;
		for (k = 0; k < b->nr; k++) {
			if (!before(b->cand[k].w, w))
				continue;
			if (!b->cand[k].gone)
				b->cand[k].gone = now;
			if (durable)
				b->cand[k].lost = true;
		}
	}
}

void model_maybe(struct model *m, struct write *w)
{
	uint32_t i;

	w->end = model_now(m);
	for (i = w->block; i < w->block + w->nr; i++)
		m->block[i].changed = w->end;
}

void model_flushed(struct model *m, uint64_t submit)
{
	uint32_t i, k;

	for (i = 0; i < MODEL_BLOCKS; i++)
		for (k = 0; k < m->block[i].nr; k++) {
			struct cand *c = &m->block[i].cand[k];

			if (c->gone && c->gone < submit)
				c->lost = true;
		}
}

void model_host_died(struct model *m, uint32_t host)
{
	uint64_t now = model_now(m);
	struct write *w;

	for (w = m->writes; w; w = w->next)
		if (w->host == host && w->end == UINT64_MAX && !w->host_died)
			w->host_died = now;
}

void model_power_cut(struct model *m)
{
	uint64_t now = model_now(m);
	uint32_t i, k;

	for (i = 0; i < MODEL_BLOCKS; i++) {
		m->block[i].changed = now;
		for (k = 0; k < m->block[i].nr; k++)
			if (!m->block[i].cand[k].lost)
				m->block[i].cand[k].gone = 0;
	}
}

/* What was read, in words. */
static const char *describe(struct model *m, uint32_t block,
			    const unsigned char *buf)
{
	unsigned char whole[BLOCK];
	struct stamp stamp;
	const char *what;

	memcpy(&stamp, buf, sizeof(stamp));
	model_fill(whole, stamp.magic == MAGIC ? stamp.id : 0, stamp.block);
	if (memcmp(whole, buf, BLOCK))
		what = "torn";
	else if (stamp.id && stamp.block != block)
		what = "misplaced";
	else
		what = "stale or lost write";
	snprintf(m->text, sizeof(m->text),
		 "block %u: %s (found write %llu of block %u)", block, what,
		 (unsigned long long)stamp.id, stamp.block);
	return m->text;
}

static bool may_be(const struct cand *c, uint64_t submit)
{
	return !c->gone || c->gone > submit;
}

/* A quiet block is what was just read, and nothing else. */
static void narrow(struct model *m, struct block *b, uint64_t submit,
		   uint64_t id)
{
	uint32_t k;

	if (b->changed > submit)
		return;
	for (k = 0; k < b->nr; k++)
		if (!b->cand[k].gone && b->cand[k].w->end == UINT64_MAX)
			return;
	for (k = 0; k < b->nr; k++)
		if (!b->cand[k].gone && b->cand[k].w->id != id)
			b->cand[k].gone = model_now(m);
}

const char *model_read(struct model *m, uint64_t submit, uint32_t block,
		       const unsigned char *buf)
{
	struct block *b = &m->block[block];
	unsigned char want[BLOCK];
	uint32_t k;

	for (k = b->nr; k--; ) {
		struct cand *c = &b->cand[k];

		if (!may_be(c, submit))
			continue;
		model_fill(want, c->w->id, block);
		if (memcmp(want, buf, BLOCK))
			continue;
		narrow(m, b, submit, c->w->id);
		return NULL;
	}
	return describe(m, block, buf);
}

uint64_t model_guess(struct model *m, uint32_t block)
{
	struct block *b = &m->block[block];
	uint32_t k;

	for (k = b->nr; k--; )
		if (!b->cand[k].gone)
			return b->cand[k].w->id;
	return 0;
}

bool model_may_differ(struct model *m, uint64_t submit, uint32_t block,
		      const unsigned char *buf)
{
	struct block *b = &m->block[block];
	unsigned char want[BLOCK];
	uint32_t k;

	for (k = b->nr; k--; ) {
		if (!may_be(&b->cand[k], submit))
			continue;
		model_fill(want, b->cand[k].w->id, block);
		if (memcmp(want, buf, BLOCK))
			return true;
	}
	return false;
}

struct model *model_new(void)
{
	struct model *m = need(calloc(1, sizeof(*m)));
	struct write *w = model_submit(m, UINT32_MAX, 0, MODEL_BLOCKS, 0);

	model_ack(m, w, true);
	return m;
}

void model_free(struct model *m)
{
	struct write *w;
	uint32_t i;

	if (!m)
		return;
	while ((w = m->writes)) {
		m->writes = w->next;
		free(w);
	}
	for (i = 0; i < MODEL_BLOCKS; i++)
		free(m->block[i].cand);
	free(m);
}
