/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bounce memory that host ends share the code of: shared memory queues, and
 * controllers behind registers. Chains of chunks by index; who names them to
 * the other end, and how, is not known here.
 */
#include "core/io/chunks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/atomic.h"
#include "util/plant.h"

int leap__chunks_init(struct leap__chunks *c)
{
	uint32_t i;

	c->next = calloc(LEAP__CHUNKS, sizeof(*c->next));
	if (!c->next)
		return -ENOMEM;
	for (i = 0; i < LEAP__CHUNKS; i++)
		c->next[i] = i + 1 < LEAP__CHUNKS ? (uint16_t)(i + 1) :
						    LEAP__NO_CHUNK;
	c->free = 0;
	c->nr_free = LEAP__CHUNKS;
	return 0;
}

void leap__chunks_fini(struct leap__chunks *c)
{
	free(c->next);
	c->next = NULL;
}

uint16_t leap__chunks_take(struct leap__chunks *c, uint32_t nr)
{
	uint16_t first = c->free, chunk = first, last = LEAP__NO_CHUNK;

	if (!nr || nr > c->nr_free)
		return LEAP__NO_CHUNK;
	c->nr_free -= nr;
	while (nr--) {
		last = chunk;
		chunk = c->next[chunk];
	}
	c->free = chunk;
	c->next[last] = LEAP__NO_CHUNK;
	return first;
}

void leap__chunks_put(struct leap__chunks *c, uint16_t first)
{
	while (first != LEAP__NO_CHUNK) {
		uint16_t next = c->next[first];

		c->next[first] = c->free;
		c->free = first;
		c->nr_free++;
		first = next;
	}
}

static void copy(struct leap__chunks *c, uint16_t chunk,
		 const struct leap_req *req, bool in)
{
	uint32_t at = 0, i;

	for (i = 0; i < req->nr_pieces; i++) {
		uint8_t *p = req->pieces[i].addr, *mem;
		uint32_t left = req->pieces[i].len_bytes, n;

		while (left) {
			if (at == LEAP__CHUNK_BYTES) {
				if (in || !LEAP_PLANT(SHM_CHUNK_STUCK))
					chunk = c->next[chunk];
				at = 0;
			}
			mem = c->mem + (size_t)chunk * LEAP__CHUNK_BYTES + at;
			n = LEAP__CHUNK_BYTES - at;
			n = n < left ? n : left;
			if (in)
				memcpy(mem, p, n);
			else
				leap__copy_from_shared(p, mem, n);
			p += n;
			at += n;
			left -= n;
		}
	}
}

void leap__chunks_fill(struct leap__chunks *c, uint16_t first,
		       const struct leap_req *req)
{
	copy(c, first, req, true);
}

void leap__chunks_drain(struct leap__chunks *c, uint16_t first,
			const struct leap_req *req)
{
	copy(c, first, req, false);
}
