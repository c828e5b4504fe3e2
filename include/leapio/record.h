/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * record.h - the in-flight record: which commands of a queue are under way
 *
 * One record per submission queue lies in memory that the agent owns and the
 * guest cannot see. The agent formats it once; from then on only the runtime
 * that serves the queue writes it, one word at a time, so that after a
 * SIGKILL, or behind PCIe, every state a reader can find is one of the steps
 * below. The successor reads it and continues. Neither side trusts it: an
 * agent never acts on it, and a successor treats every field, the commands
 * too, as if the guest had written them.
 *
 *      header      128 bytes   written by the agent, before the queue is lent
 *      slot 0      128 bytes   written by the runtime
 *      ...
 *      slot n-1
 *
 * A slot goes free -> fetched -> issued -> completing -> free. No word says
 * where the queue's heads are: the next submission to fetch is one past the
 * largest sequence number of any slot, and so is the next completion to post.
 * All integers are little-endian.
 */
#ifndef LEAPIO_RECORD_H
#define LEAPIO_RECORD_H

#include <leapio/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LEAP_RECORD_MAGIC	0x4352504cu	/* "LPRC" */
#define LEAP_RECORD_VERSION	1u
#define LEAP_RECORD_HEADER_BYTES	128u
#define LEAP_RECORD_SLOT_BYTES	128u
#define LEAP_RECORD_SLOTS_MAX	65535u

/* States, in the low bits of leap_record_slot.control. */
enum leap_record_state {
	LEAP_RECORD_FREE = 0,
	LEAP_RECORD_FETCHED = 1,	/* copied; nothing was done yet */
	LEAP_RECORD_ISSUED = 2,		/* may have had effects */
	LEAP_RECORD_COMPLETING = 3,	/* done; CQE may be visible */
};

/* control = (sequence number + 1) << 3 | state; 0 = never used */
#define LEAP_RECORD_STATE_BITS	3
#define LEAP_RECORD_STATE_MASK	7u
/* Larger sequence numbers are damage: no queue lives that long. */
#define LEAP_RECORD_SEQ_MAX	((UINT64_C(1) << 60) - 1)

struct leap_record_header {
	leap_le32 magic;
	leap_le16 version;
	leap_le16 header_bytes;	/* slots begin here */
	leap_le32 slot_bytes;
	leap_le32 nr_slots;	/* commands at once; not the depth of the SQ */
	leap_le32 sq_size;	/* entries, one-based */
	leap_le32 cq_size;
	leap_le16 sqid;
	leap_le16 cqid;
	uint8_t reserved[100];	/* 0 */
};

struct leap_record_slot {
	uint8_t sqe[64];	/* as fetched */
	leap_le64 control;	/* publishes sqe (fetched) or the next four */
	leap_le64 cq;		/* completion sequence number + 1; 0 = never */
	leap_le64 result;	/* DW0 and DW1 of the completion */
	leap_le32 status;	/* its status, without phase */
	leap_le32 reserved;	/* 0 */
	leap_le64 note;		/* the leaf's own: what a rerun must know */
	uint8_t reserved2[24];	/* 0 */
};

/**
 * leap_record_bytes - memory that a record of @nr_slots slots needs
 *
 * Context: any
 * Returns: bytes; 0 = @nr_slots is 0 or over LEAP_RECORD_SLOTS_MAX
 */
LEAP_API size_t leap_record_bytes(uint32_t nr_slots);

struct leap_record_opts {
	size_t size;
	uint32_t nr_slots;	/* 1..65535 */
	uint32_t sq_size;	/* entries, 2..65536 */
	uint32_t cq_size;
	uint16_t sqid;
	uint16_t cqid;
};

#define LEAP_RECORD_OPTS_INIT LEAP_OPTS_INIT(struct leap_record_opts)

/**
 * leap_record_format - make @mem an empty record
 *
 * The agent's call, for a new queue and after every controller reset; nobody
 * may be serving the queue.
 * @mem: aligned to 64, @bytes long; borrowed for this call
 * Context: any
 * Returns: 0
 * Errors:  -EINVAL a size out of range or a bad alignment, -ENOSPC @bytes too
 *          small, -E2BIG @opts has fields this library does not know
 */
LEAP_API int leap_record_format(void *mem, size_t bytes,
				const struct leap_record_opts *opts);

#ifdef __cplusplus
}
#endif

#endif
