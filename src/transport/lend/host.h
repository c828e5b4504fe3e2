/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.h - the inside of a borrower's end
 *
 *	host.c		the way to the lender: messages, doorbells, regdev.h
 *	host_ctrl.c	the controller that the driver above sees
 */
#ifndef LEAP_LEND_HOST_H
#define LEAP_LEND_HOST_H

#include "core/io/connector.h"
#include "core/io/fdchan.h"
#include "core/io/regctrl.h"
#include "transport/lend/proto.h"

#define LEAP__LENT_CREATES	64u	/* at once */
#define LEAP__LENT_DBS		(2 * LEAP__LEND_MAX_QUEUES)

struct leap__lent_memory {
	uint64_t at;
	uint64_t bytes;		/* 0 = free */
	uint8_t *addr;
};

/* Create I/O CQ that is out: the answer names the queue. */
struct leap__lent_create {
	uint16_t cid;
	uint16_t queue;		/* 0 = free */
};

struct leap__lent_db {
	uint32_t offset;
	uint32_t value;
	bool waits;
};

struct leap__lent_dev {
	struct leap__regdev dev;	/* first */
	struct leap__fdchan chan;
	struct leap__lend_msg in, out;	/* out: doorbells */
	struct leap__connector connector;
	struct leap_timer bound;	/* of the end */
	struct leap_msg work;		/* answers of our own; or the end */
	bool work_sent;
	bool chan_up, open, closing, gone, finished;
	int err;
	struct leap__regio *ask, **ask_tail;	/* oldest first */
	uint32_t next_id;
	/* Registers. */
	uint64_t cap, asq, acq;
	uint32_t vs, crto, cc, csts, aqa;
	/* Admin rings, as the controller sees them. */
	struct leap__sqc sqc;
	struct leap__cqp cqp;
	uint16_t era;			/* of CC.EN: older answers are late */
	struct leap__lent_create creates[LEAP__LENT_CREATES];
	/* As the device names them. */
	uint16_t qids[LEAP__LEND_MAX_QUEUES + 1];
	struct leap__lent_memory mem[LEAP__REG_REGIONS];
	/* Doorbells. */
	bool has_shadow;		/* the device; @shadow: so have we */
	struct leap_dmabuf *shadow;
	uint8_t *page;
	uint32_t page_bytes;
	struct leap__lent_db dbs[LEAP__LENT_DBS];
	uint32_t nr_dbs, db_waits;
};

/* host.c */

/* To the lender. A failure ends the connection, and the device with it. */
void leap__lent_say(struct leap__lent_dev *d, const struct leap__lend_msg *msg,
		    int fd);

/* host_ctrl.c */

/* True: the answer is the lender's, to what has been sent with next_id. */
bool leap__lent_write(struct leap__lent_dev *d, const struct leap__regio *io);
uint64_t leap__lent_read(const struct leap__lent_dev *d, uint64_t offset);
void leap__lent_ask_disable(struct leap__lent_dev *d);
/* What has become of DISABLE. */
void leap__lent_disabled(struct leap__lent_dev *d);
void leap__lent_admin_doorbell(struct leap__lent_dev *d, uint32_t value);
/* The answer to an admin command. 0, -EPROTO */
int leap__lent_admin_done(struct leap__lent_dev *d,
			  const struct leap__lend_msg *msg);
/* Memory that the lender has mapped: the admin rings are in some of it.
 * 0, -ENOSPC */
int leap__lent_mem_add(struct leap__lent_dev *d, const struct leap__regio *io);
void leap__lent_mem_del(struct leap__lent_dev *d, uint64_t at);

#endif
