/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto.h - what the two ends of a shared-memory queue pair agree on
 *
 * One queue pair is one Unix stream connection. The host end makes the memory:
 *
 *	0      doorbell page: SQ tail, CQ head, their EventIdx words, the host's
 *	       need-wake word, each in a cache line of its own
 *	4096   submission ring, completion ring, SGL segments, bounce chunks
 *
 * All offsets follow from the depth, so that none is sent, and none has to be
 * believed. Addresses in commands are REGION << 40 | offset; region 0 is this
 * memory, others are dmabufs of the host program that it has added.
 *
 * The socket carries 64-byte messages: hand-shake, memory with its fd, and
 * kicks for a peer that sleeps. Kicks go through the socket and not through an
 * eventfd of the peer's, because a write to a descriptor that somebody else
 * made can be made to block.
 */
#ifndef LEAP_SHM_PROTO_H
#define LEAP_SHM_PROTO_H

#include <leapio/endian.h>

#define LEAP__SHM_MAGIC		0x4d48534cu	/* "LSHM" */
#define LEAP__SHM_VERSION	1u
#define LEAP__SHM_MSG_BYTES	64
#define LEAP__SHM_MAX_REGIONS	16u	/* region 0 included */
#define LEAP__SHM_REGION_SHIFT	40
#define LEAP__SHM_MAX_DEPTH	4096u

#define LEAP__SHM_CHUNK		16384u	/* bounce memory comes in these */
#define LEAP__SHM_NR_CHUNKS	512u
#define LEAP__SHM_SGL_DESCS	64u	/* of one command */

enum leap__shm_type {
	LEAP__SHM_HELLO = 1,	/* host: depth; fd of the memory */
	LEAP__SHM_WELCOME = 2,	/* controller: err */
	LEAP__SHM_MEM_ADD = 3,	/* host: region, bytes; fd */
	LEAP__SHM_MEM_ADDED = 4,	/* controller: region, err */
	LEAP__SHM_KICK = 5,	/* either: look at the rings */
};

struct leap__shm_msg {
	leap_le32 magic;
	leap_le16 version;
	leap_le16 type;		/* enum leap__shm_type */
	leap_le32 err;		/* replies: 0 or a positive errno */
	leap_le32 depth;	/* HELLO: entries of each ring */
	leap_le32 region;	/* MEM_ADD, MEM_ADDED: 1..MAX_REGIONS - 1 */
	leap_le32 zero;
	leap_le64 bytes;	/* HELLO, MEM_ADD: length of the memory */
	uint8_t reserved[32];	/* zero */
};

_Static_assert(sizeof(struct leap__shm_msg) == LEAP__SHM_MSG_BYTES, "message");

/* Doorbell page. */
#define LEAP__SHM_SQ_TAIL	0
#define LEAP__SHM_SQ_EVENTIDX	64
#define LEAP__SHM_CQ_HEAD	128
#define LEAP__SHM_CQ_EVENTIDX	192
#define LEAP__SHM_HOST_WAKE	256
#define LEAP__SHM_SQ		4096

static inline uint64_t leap__shm_cq(uint32_t depth)
{
	return LEAP__SHM_SQ + (uint64_t)depth * 64;
}

/* SGL segment of slot @i. */
static inline uint64_t leap__shm_sgl(uint32_t depth, uint32_t i)
{
	return ((leap__shm_cq(depth) + (uint64_t)depth * 16 + 4095) &
		~4095ull) + (uint64_t)i * LEAP__SHM_SGL_DESCS * 16;
}

static inline uint64_t leap__shm_chunk(uint32_t depth, uint32_t i)
{
	return ((leap__shm_sgl(depth, depth) + 4095) & ~4095ull) +
		(uint64_t)i * LEAP__SHM_CHUNK;
}

static inline uint64_t leap__shm_bytes(uint32_t depth)
{
	return leap__shm_chunk(depth, LEAP__SHM_NR_CHUNKS);
}

/*
 * leap__shm_check - is this a message that a peer may send?
 *
 * @from_host: by which end
 * @nr_fds:    descriptors that came with it
 * Returns: its type; -EPROTO
 */
int leap__shm_check(const struct leap__shm_msg *msg, int from_host,
		    uint32_t nr_fds);

#endif
