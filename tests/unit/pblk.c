/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pblk.c - see pblk.h
 *
 * Blocks gather until there are WS_MIN of them and go to the open chunk of the
 * next parallel unit. What an open chunk holds is also kept here, because the
 * drive need not show it yet. When free chunks get few, the closed chunk with
 * the least that is still mapped is emptied and reset.
 */
#include "pblk.h"

#include <stdlib.h>
#include <string.h>

#define NOWHERE	UINT64_MAX

struct chunk {
	uint64_t slba;
	uint64_t *owner;	/* [blocks]: user LBA, or NOWHERE */
	uint32_t valid, wp;
	uint8_t *open;		/* bytes while it is open */
	int free, dead;
};

struct pblk {
	struct pblk_ops ops;
	void *arg;
	uint32_t bytes, blocks, ws, nr_pus, per_pu;
	uint64_t user_blocks;
	struct chunk *chunk;	/* [nr_pus * per_pu] */
	uint32_t *current;	/* of each unit: its open chunk, or none */
	uint32_t next_pu, nr_free;
	uint64_t *map;		/* user LBA: chunk * blocks + block */
	/* What gathers. */
	uint64_t *who;
	uint8_t *data;
	uint32_t nr;
	int collecting;
	struct pblk_stats stats;
};

#define NONE UINT32_MAX

static uint32_t nr_chunks(const struct pblk *p)
{
	return p->nr_pus * p->per_pu;
}

static uint64_t slba_of(const struct leap_ocssd_geometry *g, uint32_t i)
{
	uint32_t chks = leap_from_le32(g->num_chk);
	uint32_t pus = leap_from_le16(g->num_pu), unit = i / chks;
	uint32_t s = g->block_bits;

	return (uint64_t)(i % chks) << s |
	       (uint64_t)(unit % pus) << (s + g->chunk_bits) |
	       (uint64_t)(unit / pus) << (s + g->chunk_bits + g->pu_bits);
}

struct pblk *pblk_new(const struct leap_ocssd_geometry *g, uint32_t block_bytes,
		      uint64_t user_blocks, const struct pblk_ops *ops,
		      void *arg)
{
	struct pblk *p = calloc(1, sizeof(*p));
	uint32_t i;

	p->ops = *ops;
	p->arg = arg;
	p->bytes = block_bytes;
	p->blocks = leap_from_le32(g->clba);
	p->ws = leap_from_le32(g->ws_min);
	p->nr_pus = leap_from_le16(g->num_grp) *
		    (uint32_t)leap_from_le16(g->num_pu);
	p->per_pu = leap_from_le32(g->num_chk);
	p->user_blocks = user_blocks;
	p->chunk = calloc(nr_chunks(p), sizeof(*p->chunk));
	p->current = malloc(p->nr_pus * sizeof(*p->current));
	p->map = malloc(user_blocks * sizeof(*p->map));
	p->who = malloc(p->ws * sizeof(*p->who));
	p->data = malloc((size_t)p->ws * block_bytes);
	memset(p->map, 0xff, user_blocks * sizeof(*p->map));
	memset(p->current, 0xff, p->nr_pus * sizeof(*p->current));
	p->nr_free = nr_chunks(p);
	for (i = 0; i < nr_chunks(p); i++) {
		p->chunk[i].slba = slba_of(g, i);
		p->chunk[i].free = 1;
		p->chunk[i].owner = malloc(p->blocks * sizeof(uint64_t));
	}
	return p;
}

void pblk_free(struct pblk *p)
{
	uint32_t i;

	for (i = 0; i < nr_chunks(p); i++) {
		free(p->chunk[i].owner);
		free(p->chunk[i].open);
	}
	free(p->chunk);
	free(p->current);
	free(p->map);
	free(p->who);
	free(p->data);
	free(p);
}

const struct pblk_stats *pblk_stats(const struct pblk *p)
{
	return &p->stats;
}

/* ---- the log ---- */

static struct chunk *chunk_at(struct pblk *p, uint64_t place)
{
	return &p->chunk[place / p->blocks];
}

/* The open chunk of the next unit that has one, or can have. */
static uint32_t pick(struct pblk *p)
{
	uint32_t tries, i, pu, n;

	for (tries = 0; tries < p->nr_pus; tries++) {
		pu = p->next_pu++ % p->nr_pus;
		if (p->current[pu] != NONE)
			return p->current[pu];
		for (i = 0; i < p->per_pu; i++) {
			n = pu * p->per_pu + i;
			if (!p->chunk[n].free || p->chunk[n].dead)
				continue;
			p->chunk[n].free = 0;
			p->nr_free--;
			p->chunk[n].open = malloc((size_t)p->blocks *
						  p->bytes);
			p->current[pu] = n;
			return n;
		}
	}
	return NONE;
}

static void unmap(struct pblk *p, uint64_t lba)
{
	uint64_t at = p->map[lba];

	if (at == NOWHERE)
		return;
	chunk_at(p, at)->owner[at % p->blocks] = NOWHERE;
	chunk_at(p, at)->valid--;
	p->map[lba] = NOWHERE;
}

/* ws blocks have gone to the end of chunk @n: these LBAs, or nobody's. */
static void placed(struct pblk *p, uint32_t n, const uint64_t *who)
{
	struct chunk *c = &p->chunk[n];
	uint32_t i;

	for (i = 0; i < p->ws; i++) {
		c->owner[c->wp + i] = NOWHERE;
		if (who[i] == NOWHERE)
			continue;
		unmap(p, who[i]);
		c->owner[c->wp + i] = who[i];
		c->valid++;
		p->map[who[i]] = (uint64_t)n * p->blocks + c->wp + i;
	}
	c->wp += p->ws;
	if (c->wp < p->blocks)
		return;
	free(c->open);
	c->open = NULL;
	p->current[n / p->per_pu] = NONE;
}

static leap_status_t flush(struct pblk *p)
{
	uint32_t n = pick(p), i;
	uint64_t at[64], bad = 0;
	struct chunk *c;
	leap_status_t status;

	if (n == NONE)
		return LEAP_SC_CAPACITY_EXCEEDED;
	c = &p->chunk[n];
	for (i = 0; i < p->ws; i++)
		at[i] = c->slba + c->wp + i;
	status = p->ops.write(p->arg, at, p->ws, p->data, &bad);
	if (status)
		return status;
	memcpy(c->open + (size_t)c->wp * p->bytes, p->data,
	       (size_t)p->ws * p->bytes);
	placed(p, n, p->who);
	p->nr = 0;
	return 0;
}

static leap_status_t gather(struct pblk *p, uint64_t lba, const void *data)
{
	uint32_t i;

	for (i = 0; i < p->nr && p->who[i] != lba; i++)
		;
	p->who[i] = lba;
	memcpy(p->data + (size_t)i * p->bytes, data, p->bytes);
	p->nr += i == p->nr;
	return p->nr == p->ws ? flush(p) : 0;
}

/* ---- garbage ---- */

static uint32_t victim(const struct pblk *p)
{
	uint32_t i, best = NONE;

	for (i = 0; i < nr_chunks(p); i++) {
		const struct chunk *c = &p->chunk[i];

		if (c->free || c->dead || c->open || c->wp < p->blocks)
			continue;
		if (best == NONE || c->valid < p->chunk[best].valid)
			best = i;
	}
	return best;
}

static int gathers(const struct pblk *p, uint64_t lba)
{
	uint32_t i;

	for (i = 0; i < p->nr; i++)
		if (p->who[i] == lba)
			return 1;
	return 0;
}

/* By the drive itself, a unit of writing at a time. */
static leap_status_t copy_out(struct pblk *p, struct chunk *c)
{
	uint64_t from[64], to[64], who[64], bad = 0;
	uint32_t i, n = 0, dst;
	leap_status_t status;

	for (i = 0; i < p->blocks; i++) {
		if (c->owner[i] == NOWHERE || gathers(p, c->owner[i]))
			continue;
		from[n] = c->slba + i;
		who[n++] = c->owner[i];
		if (n < p->ws)
			continue;
		dst = pick(p);
		if (dst == NONE)
			return LEAP_SC_CAPACITY_EXCEEDED;
		for (n = 0; n < p->ws; n++)
			to[n] = p->chunk[dst].slba + p->chunk[dst].wp + n;
		/* What is kept of an open chunk has to be kept of this. */
		status = p->ops.read(p->arg, from, p->ws,
				     p->chunk[dst].open +
				     (size_t)p->chunk[dst].wp * p->bytes, &bad);
		if (!status)
			status = p->ops.copy(p->arg, from, to, p->ws, &bad);
		if (status)
			return status;
		placed(p, dst, who);
		p->stats.copied += p->ws;
		n = 0;
	}
	return 0;
}

static leap_status_t move_out(struct pblk *p, struct chunk *c)
{
	uint8_t *buf = malloc(p->bytes);
	leap_status_t status = 0;
	uint64_t at, bad = 0;
	uint32_t i;

	for (i = 0; i < p->blocks && !status; i++) {
		if (c->owner[i] == NOWHERE)
			continue;
		if (gathers(p, c->owner[i])) {
			unmap(p, c->owner[i]);
			continue;
		}
		at = c->slba + i;
		status = p->ops.read(p->arg, &at, 1, buf, &bad);
		if (!status)
			status = gather(p, c->owner[i], buf);
		if (!status && c->owner[i] != NOWHERE)
			unmap(p, c->owner[i]);
		p->stats.moved++;
	}
	free(buf);
	return status;
}

static leap_status_t collect(struct pblk *p)
{
	uint32_t n = victim(p);
	struct chunk *c = &p->chunk[n];
	leap_status_t status;
	uint64_t bad = 0;

	if (n == NONE)
		return LEAP_SC_CAPACITY_EXCEEDED;
	status = copy_out(p, c);
	if (!status)
		status = move_out(p, c);
	if (status)
		return status;
	status = p->ops.reset(p->arg, &c->slba, 1, &bad);
	p->stats.resets++;
	c->wp = 0;
	if (status == LEAP_SC_OCSSD_OFFLINE && bad == 1) {
		c->dead = 1;
		p->stats.offline++;
		return 0;
	}
	c->free = !status;
	p->nr_free += !status;
	return status;
}

leap_status_t pblk_write(struct pblk *p, uint64_t lba, const void *data)
{
	leap_status_t status = 0;

	while (!status && p->nr_free <= p->nr_pus + 1)
		status = collect(p);
	p->stats.written++;
	return status ? status : gather(p, lba, data);
}

leap_status_t pblk_read(struct pblk *p, uint64_t lba, void *data)
{
	uint64_t at = p->map[lba], ppa, bad = 0;
	struct chunk *c;
	uint32_t i;

	for (i = 0; i < p->nr; i++) {
		if (p->who[i] != lba)
			continue;
		memcpy(data, p->data + (size_t)i * p->bytes, p->bytes);
		return 0;
	}
	if (at == NOWHERE) {
		memset(data, 0, p->bytes);
		return 0;
	}
	c = chunk_at(p, at);
	if (c->open) {
		memcpy(data, c->open + (size_t)(at % p->blocks) * p->bytes,
		       p->bytes);
		return 0;
	}
	ppa = c->slba + at % p->blocks;
	return p->ops.read(p->arg, &ppa, 1, data, &bad);
}
