/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto.h - what a lender and a borrower say to each other
 *
 * One borrower is one Unix stream connection. It says HELLO, hears WELCOME,
 * makes memory of its own known to the device (MEM_ADD, with the descriptor;
 * the answer is a device address) and sends admin commands whose PRPs are such
 * addresses: data never passes through the socket. Create I/O CQ and SQ are
 * among them; the lender chooses the ids that the device knows, and the
 * interrupt vector. Doorbells are words in memory that came with WELCOME (the
 * device's shadow doorbells, or its doorbell page), else messages.
 *
 *	borrower: HELLO MEM_ADD MEM_DEL ADMIN DISABLE IRQ RING BYE
 *	lender:   WELCOME REPLY DONE
 *
 * MEM_ADD, MEM_DEL, DISABLE and IRQ are answered by REPLY with their id, in any
 * order; ADMIN by DONE. The lender ends the connection, after BYE or for
 * reasons of its own, when the device has nothing of the borrower's any more.
 * Messages have one size; what a type does not use is zero.
 */
#ifndef LEAP_LEND_PROTO_H
#define LEAP_LEND_PROTO_H

#include <leapio/endian.h>
#include <leapio/nvme.h>

#define LEAP__LEND_MAGIC	0x444e454cu	/* "LEND" */
#define LEAP__LEND_VERSION	1u
#define LEAP__LEND_DOORBELLS	7u		/* in one message */
#define LEAP__LEND_MAX_PAGE	(1u << 20)	/* of doorbells, bytes */
#define LEAP__LEND_MAX_QUEUES	64u		/* of a borrower */
#define LEAP__LEND_MAX_MAPS	128u		/* memories of a borrower */
#define LEAP__LEND_MAX_CMDS	64u		/* admin, at once */

enum leap__lend_type {
	LEAP__LEND_HELLO = 1,
	LEAP__LEND_WELCOME = 2,	/* fd: see flags */
	LEAP__LEND_MEM_ADD = 3,	/* fd; REPLY: value = device address */
	LEAP__LEND_MEM_DEL = 4,	/* REPLY: the device does not reach it; EBUSY:
				 * a queue's rings are in it */
	LEAP__LEND_ADMIN = 5,
	LEAP__LEND_DISABLE = 6,	/* REPLY: no queue is left, no command is out;
				 * event requests are forgotten */
	LEAP__LEND_IRQ = 7,	/* fd: eventfd to be signalled; none: no more */
	LEAP__LEND_RING = 8,
	LEAP__LEND_REPLY = 9,
	LEAP__LEND_DONE = 10,
	LEAP__LEND_BYE = 11,
};

/* WELCOME: flags, each with a descriptor, in this order. */
#define LEAP__LEND_SHADOW	1u	/* shadow doorbells, two pages */
#define LEAP__LEND_PAGE		2u	/* BAR 0 from 1000h on */

/* RING: flags. */
/* Shadow words as well, which the borrower does not reach. */
#define LEAP__LEND_STORE	1u

struct leap__lend_msg {
	leap_le32 magic;
	leap_le16 version;
	leap_le16 type;		/* enum leap__lend_type */
	leap_le32 id;		/* chosen by who asks */
	leap_le32 err;		/* REPLY: 0 or a positive errno */
	union {
		uint8_t bytes[64];
		struct {
			leap_le64 cap;
			leap_le32 vs;
			leap_le32 crto;
			leap_le32 flags;
			leap_le32 page_bytes;
			leap_le64 page_offset;	/* in the descriptor */
			leap_le64 shadow_offset;
		} welcome;
		struct {
			leap_le64 offset;	/* in the descriptor */
			leap_le64 bytes;
			leap_le64 iova;		/* MEM_DEL */
		} mem;
		struct leap_sqe sqe;		/* ADMIN */
		struct {
			leap_le64 value;
		} reply;
		struct {
			leap_le64 result;
			leap_le16 status;	/* without phase bit */
			leap_le16 qid;		/* Create CQ: the device's */
		} done;
		struct {
			leap_le32 nr;
			leap_le32 flags;
			struct {
				leap_le32 offset;	/* in BAR 0 */
				leap_le32 value;
			} db[LEAP__LEND_DOORBELLS];
		} doorbells;
	};
};

LEAP_STATIC_ASSERT(sizeof(struct leap__lend_msg) == 80);

/*
 * leap__lend_check - is this a message that a peer may send?
 *
 * @from_borrower: by which end
 * @nr_fds:        descriptors that came with it
 * Returns: its type; -EPROTO
 */
int leap__lend_check(const struct leap__lend_msg *msg, int from_borrower,
		     uint32_t nr_fds);

/* An empty message of a type. */
struct leap__lend_msg leap__lend_msg(enum leap__lend_type type, uint32_t id);

#endif
