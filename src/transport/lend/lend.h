/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lend.h - the inside of a lender
 *
 *	lender.c	the device, the socket, who is there
 *	borrower.c	one borrower: its messages, its interrupt, its end
 *	borrower_mem.c	  its memory
 *	admin.c		its admin commands
 *	queues.c	  queues, by way of them
 *	host.h		the other end: "lent:", a way to a device (regdev.h)
 */
#ifndef LEAP_LEND_LEND_H
#define LEAP_LEND_LEND_H

#include <leapio/lend.h>

#include "core/io/acceptor.h"
#include "core/io/fdchan.h"
#include "core/io/fence.h"
#include "core/io/host.h"
#include "core/io/regctrl.h"
#include "transport/lend/proto.h"

#define LEAP__LEND_QID_MAX	1023u	/* queues of a device that are lent */

struct leap__borrower;

/* An I/O queue pair of a borrower, by the id that it has there. */
struct leap__lend_queue {
	uint16_t qid;		/* the device's; 0 = not granted */
	bool cq, sq;		/* may exist at the device */
	bool changing;		/* a Create or Delete of it is out */
	uint16_t out;		/* commands there that name it */
	uint16_t naming;	/* Create SQ there that name its CQ */
	uint64_t cq_at, sq_at;	/* device addresses of its rings */
};

enum leap__lend_map_state {
	LEAP__LEND_MAP_FREE = 0,
	LEAP__LEND_MAP_ADDING,
	LEAP__LEND_MAP_READY,
	LEAP__LEND_MAP_DELETING,
};

struct leap__lend_map {
	struct leap__borrower *b;
	enum leap__lend_map_state state;
	struct leap_dmabuf *buf;
	uint32_t map;		/* of the controller */
	uint64_t iova;
	uint32_t id;		/* to be answered */
};

/* An admin command on its way, or held until it may go. */
struct leap__lend_cmd {
	struct leap__regcmd cmd;	/* first */
	struct leap__borrower *b;
	uint32_t id;
	uint16_t queue;		/* that it names: the borrower's id; 0 = none */
	uint16_t cq;		/* and whose completion queue, of Create SQ */
	bool busy;
	struct leap__list held;
};

struct leap__borrower {
	struct leap__list link;		/* of the lender */
	struct leap_lender *l;
	struct leap__fdchan chan;
	struct leap__lend_msg in;
	uint32_t id;
	int64_t pid;
	bool hello, welcomed;
	bool chan_gone;
	bool ending;		/* the device is to forget it */
	bool clean;		/* and has: the channel's end is awaited */
	bool disabling;
	bool kill;
	bool fenced;
	bool fence_busy;
	bool del_busy;
	uint32_t disable_id;
	uint32_t vector;	/* 0 = none */
	uint32_t irq_busy;	/* operations */
	uint32_t irq_id;
	int irq_fd;		/* while it is being told; owned */
	int irq_err;
	bool irq_on, irq_set;	/* MSI-X entry written */
	struct leap__regio irq_io[5];
	struct leap__regcmd del;
	uint32_t del_queue;
	struct leap__fence fence;
	struct leap__lend_queue queues[LEAP__LEND_MAX_QUEUES + 1];
	struct leap__lend_map maps[LEAP__LEND_MAX_MAPS];
	uint64_t map_bytes;	/* of them */
	struct leap__lend_cmd cmds[LEAP__LEND_MAX_CMDS];
	uint32_t cmds_out;	/* at the device */
	uint32_t aers[LEAP__HOST_AERS];		/* parked: ids */
	uint32_t nr_aers;
	uint64_t events[LEAP__HOST_AERS];	/* nobody has asked for yet */
	uint32_t nr_events;
	uint32_t aec;		/* Set Features 0Bh */
	uint64_t commands;
	void (*evicted)(void *arg);
	void *evicted_arg;
};

struct leap_lender {
	struct leap_pollgroup *pg;
	struct leap_lender_opts opts;	/* defaults filled in */
	char *url, *hostnqn, *path;
	enum leap_lender_state state;
	struct leap_host *host;
	/* Live only; the rest of a controller that is being closed is waited
	 * for by @timer. */
	struct leap__regctrl *c;
	struct leap__acceptor *acceptor;
	struct leap__list borrowers;
	uint32_t nr_borrowers;
	uint32_t nr_fencing;
	uint32_t next_id;
	uint32_t max_queues;		/* that the device granted */
	uint32_t nr_queues;		/* that exist */
	uint64_t qids[(LEAP__LEND_QID_MAX + 64) / 64];	/* 1 = taken */
	uint64_t vectors[2048 / 64];
	struct leap__list held;		/* what asks for queues, while somebody
					 * is being fenced */
	struct leap_timer timer;
	struct leap_msg work;
	bool work_sent;
	bool destroying, closing;
	uint32_t connects;		/* on their way here; atomic */
	uint64_t ended, killed, refused, doorbells, resets;
	void (*destroyed)(void *arg);
	void *destroyed_arg;
};

/* lender.c */

/* One has let go of something others may wait for. */
void leap__lender_look(struct leap_lender *l);
/* End those whose peer is gone and who have not been told yet. */
void leap__lender_sweep(struct leap_lender *l);
/* A borrower at @wfd, taken over. 0, -ENOMEM, -EUSERS (@wfd stays). */
int leap__lender_admit(struct leap_lender *l, struct leap__wfd *wfd);
static inline bool leap__lender_live(const struct leap_lender *l)
{
	return l->state == LEAP_LENDER_LIVE && !leap__regctrl_dead(l->c);
}

/* borrower.c */

int leap__borrower_start(struct leap_lender *l, struct leap__wfd *wfd);
/* The device is live: it may be told. */
void leap__borrower_welcome(struct leap__borrower *b);
/* Take everything back; then the connection ends. It may be freed when the
 * connection has ended already. */
void leap__borrower_end(struct leap__borrower *b, bool kill);
/* The device is closed: nothing that was there is out any more. */
void leap__borrower_lost(struct leap__borrower *b);
/* Something has ended: what is next, for one that is ended or disabled? It may
 * be freed. */
void leap__borrower_step(struct leap__borrower *b);
void leap__borrower_reply(struct leap__borrower *b, uint32_t id, int err,
			  uint64_t value);
void leap__borrower_done(struct leap__borrower *b, uint32_t id,
			 leap_status_t status, uint64_t result, uint16_t qid);

/* borrower_mem.c */

/* Are @bytes at @iova in its memory? */
bool leap__borrower_owns(const struct leap__borrower *b, uint64_t iova,
			 uint64_t bytes);
/* Each is answered by REPLY. 0 */
int leap__borrower_mem_add(struct leap__borrower *b,
			   const struct leap__lend_msg *msg, int fd);
int leap__borrower_mem_del(struct leap__borrower *b,
			   const struct leap__lend_msg *msg);
/* All of it has to go: true while some is there. */
bool leap__borrower_mem_drop(struct leap__borrower *b);
/* The device is closed, and reaches nothing any more. */
void leap__borrower_mem_lost(struct leap__borrower *b);

/* admin.c */

/* -EPROTO, -ENOBUFS: it breaks a rule. */
int leap__lend_admin(struct leap__borrower *b, uint32_t id,
		     const struct leap_sqe *sqe);
/* Forget what is held or parked of one that is disabled or ends. */
void leap__lend_drop(struct leap__borrower *b);
/* @event: DW0, DW1 */
void leap__lend_event(struct leap__borrower *b, uint64_t event);

/* queues.c */

/* To the device; @queue: that it names, the borrower's id, or 0. 0, -ENOBUFS */
int leap__lend_forward(struct leap__borrower *b, uint32_t id,
		       const struct leap_sqe *sqe, uint16_t queue);
/* Create, and Set Features 07h: when nobody is being fenced. 0, -ENOBUFS */
int leap__lend_get(struct leap__borrower *b, uint32_t id,
		   const struct leap_sqe *sqe, uint16_t queue);
int leap__lend_create(struct leap__borrower *b, uint32_t id,
		      const struct leap_sqe *sqe);
int leap__lend_delete_one(struct leap__borrower *b, uint32_t id,
			  const struct leap_sqe *sqe);
/* Queues are no longer waited for by anybody: go on. */
void leap__lend_release_held(struct leap_lender *l);
/* Delete what is left of its queues, one after the other: 1 = one is under way,
 * 0 = there is none. */
int leap__lend_delete(struct leap__borrower *b);
void leap__lend_put_qid(struct leap_lender *l, struct leap__lend_queue *q);

#endif
