/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * halves.h - the two halves of a controller in one process
 *
 * They exchange struct leap_link_msg (leapio/link.h) and nothing else: as
 * messages between poll groups, in memory that the admin half set aside on the
 * control path. What would be a descriptor beside a message on a socket (a
 * connection, a stack) is the subject pointer beside it here.
 *
 * A question is answered by the same memory: until then it belongs to the I/O
 * half, afterwards to the admin half again.
 */
#ifndef LEAP_CORE_CTRL_HALVES_H
#define LEAP_CORE_CTRL_HALVES_H

#include <leapio/link.h>
#include <leapio/plugin/transport_ops.h>

#include "util/list.h"

/* Limits of a Copy (MSRC + 1, MSSRL, MCL): what may hold others up at once. */
#define LEAP__COPY_RANGES	128u
#define LEAP__COPY_RANGE_BYTES	(2u << 20)
#define LEAP__COPY_BYTES	(4u << 20)

struct leap__iogroup;
struct leap__ioqp;
struct leap__ions;
struct leap__ioss;

struct leap__lmsg {
	struct leap_msg msg;		/* first */
	struct leap_link_msg link;
	struct leap__iogroup *group;	/* the I/O half it is for, or from */
	const void *ctrl;		/* controller it is about: an identity,
					 * never followed by the I/O half */
	void *subject;			/* leap__ioqp, leap__iocq, ... */
	int fd;				/* remote groups: goes along; the
					 * asker's. Else unused */
	/* On the admin half's thread: a question has been answered, or an
	 * unasked message arrived. */
	void (*arrived)(struct leap__lmsg *m);
	void *arg;			/* admin half's */
	struct leap__lmsg *next;	/* I/O half's while it has it */
	void *at;			/* the same */
};

/* Admin half: send @m to @g, which may be another process: then @m->link has
 * all that it needs to know, and @m->fd. Context: home */
void leap__link_ask(struct leap__iogroup *g, struct leap__lmsg *m);

/* I/O half: the same memory back, as a reply. Context: owner of the group */
void leap__link_answer(struct leap__lmsg *m, int err);

/* I/O half: an unasked message of its own. Context: owner of the group */
void leap__link_tell(struct leap__iogroup *g, struct leap__lmsg *m);

/*
 * Between poll groups only, beyond the types of link.h: never encoded. What the
 * group knows of the queues of a controller; subject: leap__inspect.
 */
#define LEAP__LINK_INSPECT	0x100u

static inline void leap__counters_add(struct leap_io_counters *to,
				      const struct leap_io_counters *c)
{
	to->host_reads += c->host_reads;
	to->host_writes += c->host_writes;
	to->blocks_512_read += c->blocks_512_read;
	to->blocks_512_written += c->blocks_512_written;
	to->media_errors += c->media_errors;
	to->busy_ns += c->busy_ns;
}

/* Set up the constant fields. */
static inline void leap__link_init(struct leap__lmsg *m, uint16_t type,
				   void (*arrived)(struct leap__lmsg *m),
				   void *arg)
{
	m->link.type = type;
	m->link.flags = 0;
	m->link.err = 0;
	m->arrived = arrived;
	m->arg = arg;
}

#endif
