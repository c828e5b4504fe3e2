/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chunks.h - bounce memory of a host end: chunks of 16 KiB, chained
 *
 * For payload that the other end cannot reach where it is. Whoever has a chain
 * has its first chunk, or LEAP__NO_CHUNK.
 */
#ifndef LEAP_CORE_IO_CHUNKS_H
#define LEAP_CORE_IO_CHUNKS_H

#include <leapio/qp.h>

#include <stdbool.h>

#define LEAP__CHUNK_BYTES	16384u
#define LEAP__CHUNKS		512u
#define LEAP__NO_CHUNK		UINT16_MAX

struct leap__chunks {
	uint8_t *mem;		/* LEAP__CHUNKS of them */
	uint16_t *next;		/* chains: free ones, and of users */
	uint32_t nr_free;
	uint16_t free;
};

/* All free; @mem is set by the caller. 0, -ENOMEM. */
int leap__chunks_init(struct leap__chunks *c);
void leap__chunks_fini(struct leap__chunks *c);
/* A chain of @nr, 1 or more; LEAP__NO_CHUNK: there are not so many. */
uint16_t leap__chunks_take(struct leap__chunks *c, uint32_t nr);
void leap__chunks_put(struct leap__chunks *c, uint16_t first);
/* Copy between pieces and chunks, chunk by chunk. */
void leap__chunks_fill(struct leap__chunks *c, uint16_t first,
		       const struct leap_req *req);
void leap__chunks_drain(struct leap__chunks *c, uint16_t first,
			const struct leap_req *req);

/* How many hold @bytes. */
static inline uint32_t leap__chunks_for(uint64_t bytes)
{
	return (uint32_t)((bytes + LEAP__CHUNK_BYTES - 1) / LEAP__CHUNK_BYTES);
}

#endif
