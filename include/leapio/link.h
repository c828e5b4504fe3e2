/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.h - what the two halves of a controller say to each other
 *
 * The admin half owns what must not be lost: registers or properties, admin
 * queue, features, events. The I/O half borrows queue pairs, an address space
 * and namespaces, and may die. They exchange only these messages: as structs
 * between two poll groups of one process, or encoded (little-endian, length
 * first, one bounded decoder) over a Unix socket, a window or a network. A
 * message that needs an answer is answered by the same type with
 * LEAP_LINK_REPLY and the same id.
 */
#ifndef LEAPIO_LINK_H
#define LEAPIO_LINK_H

#include <leapio/ats.h>
#include <leapio/nvmf.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LEAP_LINK_VERSION 1u
#define LEAP_LINK_HEAD_BYTES 20u	/* of a message: length first */
#define LEAP_LINK_PATH_MAX 256u	/* bytes with NUL */

enum leap_link_type {
	LEAP_LINK_HELLO = 1,	/* version, capabilities, role */
	LEAP_LINK_MEM_ADD = 2,	/* a range of an address space (+fd) */
	LEAP_LINK_MEM_DEL = 3,	/* reply = nothing touches it any more */
	LEAP_LINK_QP_ADD = 4,	/* serve an I/O queue pair */
	LEAP_LINK_QP_DEL = 5,	/* reply = its commands have left */
	LEAP_LINK_NS_ADD = 6,	/* serve a namespace; reply describes it */
	LEAP_LINK_NS_DEL = 7,	/* reply = its commands have left */
	LEAP_LINK_NS_CHANGED = 8,	/* from the I/O half: new description */
	LEAP_LINK_TRANSLATE = 9,	/* runtimes without a full table */
	LEAP_LINK_INVALIDATE = 10,	/* reply = range no longer used */
	LEAP_LINK_IRQ = 11,	/* raise a vector (no eventfd reachable) */
	LEAP_LINK_PQP_GRANT = 12,	/* a physical queue pair, lent */
	LEAP_LINK_PQP_REVOKE = 13,
	LEAP_LINK_QUIESCE = 14,	/* reply = no command is below */
	LEAP_LINK_RESUME = 15,
	LEAP_LINK_HANDOFF = 16,	/* a successor takes over */
	LEAP_LINK_KEEPALIVE = 17,
	LEAP_LINK_ABORT = 18,	/* qid, cid; reply says whether it was found */
	LEAP_LINK_ERROR = 19,	/* from the I/O half: an error-log entry */
	LEAP_LINK_STATS = 20,	/* reply: SMART counters of a controller */
	LEAP_LINK_FEATURE = 21,	/* a feature that the I/O half obeys */
	LEAP_LINK_FLUSH = 22,	/* all namespaces of a controller;
				 * reply = done */
	LEAP_LINK_CTRL_ADD = 23, /* a controller behind registers (+fd of its
				  * state memory) */
	LEAP_LINK_CTRL_DEL = 24,	/* reply = nothing of it is left */
	LEAP_LINK_CQ_ADD = 25,	/* before the queue pairs that use it */
	LEAP_LINK_CQ_DEL = 26,	/* after them */
	LEAP_LINK_SHADOW = 27,	/* Doorbell Buffer Config */
	LEAP_LINK_LEAF = 28,	/* from the runtime: a file whose lock it holds
				 * while a command can be in it */
	LEAP_LINK_FATAL = 29,	/* from the I/O half: a queue is beyond use */
};

#define LEAP_LINK_REPLY 1u	/* flags */

/* hello.role and hello.caps */
#define LEAP_LINK_AGENT		1u
#define LEAP_LINK_RUNTIME	2u
#define LEAP_LINK_STANDBY	1u	/* runtime: another may be serving */

/*
 * Over a socket: a runtime says HELLO and is answered. RESUME with cntlid 0
 * tells it that it is its turn: it opens its stacks, says LEAF for each of
 * their locks and NS_ADD for each namespace, and answers. Then it gets
 * CTRL_ADD and all that follows from it. It says QUIESCE when it has finished
 * what it had and ends. It asks nothing but HELLO. cntlid is the agent's number
 * for a controller, the same for all subsystems. Descriptors go with CTRL_ADD
 * (state memory), MEM_ADD (guest memory), IRQ (eventfd; none = no more) and
 * with the reply to QP_ADD (eventfd that wakes who serves it; qp.reserved is a
 * number from 0 to 63 that queues with the same eventfd share).
 */

/* What a namespace answers: all that the admin half needs to identify it. */
struct leap_ns_desc {
	uint32_t nsid;
	uint32_t block_bytes;
	uint64_t nr_blocks;
	uint32_t caps;		/* LEAP_BDEV_* */
	uint32_t read_only;
	uint32_t optimal_blocks;
	uint32_t csi;		/* command set: 0 NVM, 2 zoned */
	uint8_t uuid[16];
	uint8_t nguid[16];
	uint8_t eui64[8];
	/* csi 2: as leap_bdev_zones, in the blocks above. */
	uint32_t zone_blocks;
	uint32_t max_active;
	uint32_t max_open;
	uint32_t append_blocks;
	uint32_t read_across;
	uint32_t reserved;
};

/*
 * State memory: one memory file per controller behind registers, made by the
 * admin half, mapped by the I/O half, out of the guest's sight. It holds a
 * leap_doorbell for every queue and an in-flight record (record.h) for every
 * submission queue. Every word but leap_doorbell.wake has one writer.
 */
struct leap_doorbell {
	/* The admin half's: last value written to the trapped doorbell. */
	leap_le32 value;
	/* The admin half's, in the first one, of the whole controller. Not 0:
	 * nobody wants an interrupt that has no eventfd, so none is told. */
	leap_le32 no_irq;
	/* The same: vectors that the guest has masked in registers (INTMS, with
	 * MSI). Whoever raises one of them tells the admin half instead,
	 * whatever eventfd it has, and no_irq says. */
	leap_le32 irq_mask;
	leap_le32 reserved;
	/* The I/O half's. Not 0: it sleeps, kick it after a change of value;
	 * who takes it off kicks. */
	leap_le32 wake;
	/* CQ: entries posted, mod 2^32; for level-triggered interrupts. */
	leap_le32 posted;
	leap_le32 reserved2[10];
};

LEAP_STATIC_ASSERT(sizeof(struct leap_doorbell) == 64);

/* Where the completion queue of a controller behind registers is. */
struct leap_cq_desc {
	uint16_t cqid;
	uint16_t cntlid;
	uint32_t depth;		/* entries, one-based */
	leap_gpa_t gpa;		/* ring, contiguous */
	uint64_t doorbell;	/* offset of its leap_doorbell, state memory */
	uint64_t seq;		/* entries posted by queues that are gone */
	uint32_t vector;	/* interrupt vector; UINT32_MAX = none */
	uint32_t flags;		/* LEAP_QPD_* */
};

/* Where an I/O queue pair is; for fabrics only qid, depths and hostid. */
struct leap_qp_desc {
	uint16_t qid;		/* of the submission queue */
	uint16_t cntlid;
	uint16_t cqid;		/* its completion queue, by CQ_ADD */
	uint16_t reserved;
	uint32_t sq_depth;	/* entries, one-based */
	uint32_t cq_depth;
	uint32_t flags;		/* LEAP_QPD_* */
	uint32_t page_bytes;	/* of PRPs: 4096 << CC.MPS */
	leap_gpa_t sq;		/* ring, contiguous */
	uint64_t doorbell;	/* offset of its leap_doorbell, state memory */
	uint64_t record;	/* offset of its in-flight record there */
	uint64_t record_bytes;
	uint8_t hostid[16];	/* whose commands these are */
};

#define LEAP_QPD_SHADOW		1u	/* shadow doorbells:
					 * SHADOW said where */
#define LEAP_QPD_RESUME		2u	/* record may hold commands in flight */
#define LEAP_QPD_DRAIN		4u	/* QP_DEL: finish what was fetched */
#define LEAP_QPD_WRITE_THROUGH	8u	/* volatile write cache disabled */
#define LEAP_QPD_PIN		16u	/* of a CQ: interrupts by the pin, which
					 * falls when a trapped doorbell says
					 * the head: no head stays untold */

/* SMART counters of one controller, since it was created. */
struct leap_io_counters {
	uint64_t host_reads;	/* commands */
	uint64_t host_writes;
	uint64_t blocks_512_read;	/* units of 512 bytes */
	uint64_t blocks_512_written;
	uint64_t media_errors;
	uint64_t busy_ns;
};

/* One error for the error log. */
struct leap_error_desc {
	uint16_t sqid;
	uint16_t cid;
	uint16_t status;	/* leap_status_t */
	uint16_t location;	/* parameter error location, FFFFh = none */
	uint32_t nsid;
	uint8_t opcode;
	uint8_t csi;
	uint16_t reserved;
	uint64_t lba;
};

struct leap_link_msg {
	uint16_t type;		/* enum leap_link_type */
	uint16_t flags;
	uint32_t id;		/* of the question */
	int32_t err;		/* replies: 0 or negative errno */
	uint16_t cntlid;	/* controller it is about; 0 = none */
	uint16_t reserved;
	union {
		struct {
			uint32_t version;
			uint32_t caps;
			uint32_t role;	/* 1 agent, 2 runtime */
			uint32_t reserved;
		} hello;
		struct {
			uint32_t ats_id;
			uint32_t perm;		/* enum leap_perm; UNSEALED
						 * when the agent's user said
						 * that its owner is trusted */
			leap_gpa_t gpa;
			uint64_t bytes;
			uint64_t offset;	/* in the fd or window */
			uint32_t source;	/* enum leap_ats_source */
			uint32_t key;
		} mem;
		struct leap_qp_desc qp;
		struct leap_cq_desc cq;
		struct leap_ns_desc ns;
		struct {
			struct leap_ns_desc desc;	/* = ns */
			char nqn[LEAP_NQN_FIELD];	/* links: whose it is */
		} ns_of;
		struct {
			char nqn[LEAP_NQN_FIELD];	/* of its subsystem */
			uint64_t state_bytes;
			uint32_t max_data_bytes;	/* MDTS */
			uint32_t reserved;
		} ctrl;
		struct {
			leap_gpa_t doorbells;	/* one page each, in the */
			leap_gpa_t eventidx;	/* guest; both 0 = none */
		} shadow;
		struct {
			char path[LEAP_LINK_PATH_MAX];
			uint32_t released;	/* 1: no command can be there */
			uint32_t reserved;
		} leaf;
		struct {
			uint16_t qid;
			uint16_t reserved;
			int32_t err;
		} fatal;
		struct {
			uint16_t qid;
			uint16_t cid;
			uint32_t found;
		} abort;
		struct leap_error_desc error;
		struct leap_io_counters stats;
		struct {
			struct leap_io_counters count;	/* = stats */
			char nqn[LEAP_NQN_FIELD];	/* links: of all queues
							 * of a subsystem */
			uint32_t qid;	/* unasked: of a queue that is gone */
			uint32_t reserved;
		} stats_of;
		struct {
			uint32_t fid;
			uint32_t nsid;
			uint32_t value;
			uint32_t reserved;
		} feature;
		struct {
			uint32_t vector;
			uint32_t reserved;
		} irq;
	} u;
};

/**
 * leap_link_encode - one message as bytes
 *
 * Context: any
 * Returns: bytes written
 * Errors:  -EINVAL unknown type, -ENOSPC @max too small
 */
LEAP_API int leap_link_encode(const struct leap_link_msg *msg, void *buf,
			      size_t max);

/**
 * leap_link_decode - the first message of a byte stream
 *
 * The stream is not trusted: every length, type and count is checked.
 * Context: any
 * Returns: bytes consumed, or 0 = not all there yet
 * Errors:  -EPROTO malformed: end the link
 */
LEAP_API int leap_link_decode(const void *buf, size_t len,
			      struct leap_link_msg *msg);

#ifdef __cplusplus
}
#endif

#endif
