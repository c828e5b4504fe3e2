/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem.h - pieces of memory, and how they can be reached
 *
 * Payload is an array of pieces. What can be done with a piece depends on its
 * reach, never on the code that handles it: memory this process can load and
 * store (direct), memory a device can read and write for us (one-sided: RDMA),
 * or data that travels beside its command (message: NVMe/TCP).
 */
#ifndef LEAPIO_MEM_H
#define LEAPIO_MEM_H

#include <leapio/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_dmabuf;

enum leap_reach {
	LEAP_REACH_DIRECT = 0,	/* addr may be dereferenced */
	LEAP_REACH_ONE_SIDED = 1,	/* remote + key, by RDMA READ / WRITE */
	LEAP_REACH_MESSAGE = 2,	/* remote is an offset in the payload */
};

/* Who may do what with memory, seen from the side that serves commands. */
enum leap_perm {
	LEAP_PERM_READ = 1,	/* we may read it: payload of a write */
	LEAP_PERM_WRITE = 2,	/* we may write it: payload of a read */
	/*
	 * For leap_dmabuf_import and leap_ats_map of a file without
	 * F_SEAL_SHRINK: its owner is trusted never to cut it short. If it is,
	 * the process that touches it next dies of SIGBUS.
	 */
	LEAP_PERM_UNSEALED = 4,
};

/*
 * One contiguous piece. Whoever hands a piece on says until when it is
 * borrowed; a piece owns nothing.
 */
struct leap_piece {
	void *addr;		/* direct: where it is; else NULL */
	uint64_t remote;	/* one-sided: peer's address; message: offset */
	struct leap_dmabuf *buf;	/* registered memory it lies in,
					 * or NULL */
	uint32_t len_bytes;
	uint32_t key;		/* one-sided: the peer's remote key */
	uint32_t reach;		/* enum leap_reach */
	uint32_t range;		/* one-sided, of an ats: library's; else 0 */
};

/**
 * leap_pieces_bytes - the sum of the lengths of @nr pieces
 *
 * Context: any, hot path
 */
static inline uint64_t leap_pieces_bytes(const struct leap_piece *pieces,
					 uint32_t nr)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < nr; i++)
		sum += pieces[i].len_bytes;
	return sum;
}

#ifdef __cplusplus
}
#endif

#endif
