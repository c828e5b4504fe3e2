/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * queue.h - the inside of queue pairs in guest memory
 *
 * A completion queue owns the view of the guest's address space, and what many
 * submission queues share: the ring, the completions that found it full, the
 * interrupt decision. All of it belongs to the thread of one poll group.
 */
#ifndef LEAP_CORE_GUEST_QUEUE_H
#define LEAP_CORE_GUEST_QUEUE_H

#include <errno.h>

#include "ats/ats.h"
#include "core/guest/guest.h"
#include "core/io/pollgroup.h"
#include "util/list.h"

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

/* Bytes from one shadow word to the next: CAP.DSTRD is 0. */
#define LEAP__GUEST_STRIDE 4u

/*
 * What a queue has of the guest's memory for as long as it lives: its ring and
 * perhaps its two shadow words. Pinned, until the guest takes any of it back.
 */
struct leap__guest_mem {
	leap_gpa_t ring;
	uint64_t bytes;
	uint32_t perm;
	bool shadow;
	leap_gpa_t doorbell;		/* words of this queue */
	leap_gpa_t eventidx;
	struct leap_pins pins;
	void *ring_at;
	leap_le32 *doorbell_at;
	leap_le32 *eventidx_at;
};

/* Why a completion queue takes nothing, for its submission queues to see. */
enum {
	LEAP__CQ_BLOCKED = 1,		/* completions wait for room */
	LEAP__CQ_NO_MEMORY = 2,
	LEAP__CQ_UNRESTORED = 4,
};

struct leap__guest_cq {
	struct leap_pollgroup *pg;
	struct leap__guest *guest;
	struct leap_cq_desc desc;
	struct leap_ats_view *view;
	struct leap__ats_hook hook;
	struct leap__guest_mem mem;
	struct leap__cqp cqp;
	struct leap_doorbell *db;
	struct leap__list sqs;		/* those that are not closed */
	uint32_t nr_sqs;		/* and those that are, until freed */
	uint32_t halt;			/* LEAP__CQ_* */
	struct leap_cmd *blocked;	/* in order */
	struct leap_cmd **blocked_tail;
	struct leap_poller poller;	/* while BLOCKED */
	struct leap__defer end_of_batch;
	struct leap_timer timer;	/* coalescing */
	uint32_t max_entries;		/* 0 = not coalescing */
	uint32_t unsignalled;		/* entries without interrupt */
	uint64_t max_ns;
	uint64_t interrupts;
	uint64_t bad_heads;
	uint32_t bad_head;
	bool armed;
	bool restore_late;		/* when the ring is back */
	bool dying;			/* freed with the last of its sqs */
};

/* Why a submission queue does not fetch. */
enum {
	LEAP__SQ_UNSTARTED = 1,
	LEAP__SQ_STARVED = 2,		/* until vqp_resume */
	LEAP__SQ_STOPPED = 4,
	LEAP__SQ_NO_MEMORY = 8,
	LEAP__SQ_DRAINING = 16,		/* closed when empty */
	LEAP__SQ_CLOSED = 32,
};

struct leap__guest_bounce;

struct leap__guest_array {
	struct leap__guest_array *next;
	struct leap_piece pieces[];	/* [nr_array_pieces] */
};

struct leap__guest_sq {
	struct leap_vqp vqp;		/* first */
	struct leap__guest *guest;
	struct leap__guest_cq *cq;
	struct leap_qp_desc desc;
	struct leap__list link;		/* cq->sqs */
	struct leap__guest_mem mem;
	struct leap__sqc sqc;
	struct leap__slots slots;
	struct leap_doorbell *db;
	struct leap_poller poller;	/* from start to close */
	struct leap__defer end;		/* tells lost */
	uint32_t halt;			/* LEAP__SQ_* */
	int err;			/* to tell with it */
	void (*leave)(void *arg, uint16_t slot,
		      const struct leap_dmabuf *buf);
	void *leave_arg;
	bool armed;
	bool polling;			/* the poller is on */
	bool resumed;			/* recovered, CQ not yet restored */
	/* What a predecessor left: redo[redo_at ..] is still to be done. */
	struct leap__recovery rec;
	uint32_t redo_at;
	/* Commands with more pieces than fit in them share these arrays; those
	 * above nr_fresh were never used, their memory never touched. */
	uint8_t *arrays;
	uint32_t nr_arrays;
	uint32_t nr_fresh;
	uint32_t array_pieces;
	uint32_t array_bytes;
	struct leap__guest_array *free_array;
	struct leap_cmd *waiting;	/* pulls without an array, in order */
	struct leap_cmd **waiting_tail;
	bool serving;			/* those that wait, right now */
	/* Commands whose payload goes through buffers of the poll group. */
	struct leap_cmd *hungry;	/* wait for some, in order */
	struct leap_cmd **hungry_tail;
	uint32_t nr_bufs;		/* that its commands have */
	struct leap__guest_bounce *kept;
	uint32_t nr_kept;
	/* Counters. */
	uint64_t commands;
	uint64_t kicks;
	uint64_t bad_tails;
	uint32_t bad_tail;
};

/* Transport's words of a command. */
#define LEAP__GUEST_ARRAY	0	/* priv[]: its array */
#define LEAP__GUEST_TAG		1	/* its slot */
#define LEAP__GUEST_BOUNCE	2	/* its bounce, if BOUNCED */

/* Beside the address of the array: parts of the payload are copies. */
#define LEAP__GUEST_BOUNCED	1u

static inline struct leap__guest_sq *leap__guest_sq(struct leap_vqp *vqp)
{
	return (struct leap__guest_sq *)vqp;
}

static inline uint16_t leap__guest_tag(const struct leap_cmd *cmd)
{
	return (uint16_t)cmd->priv[LEAP__GUEST_TAG];
}

/* mem.c */

/* Pin all of @mem and find it. 0; -EFAULT and nothing is pinned. */
int leap__guest_mem_map(struct leap_ats_view *view,
			struct leap__guest_mem *mem);
void leap__guest_mem_unmap(struct leap_ats_view *view,
			   struct leap__guest_mem *mem);
/* Where the shadow words of doorbell @index are; 0, -EINVAL. */
int leap__guest_mem_shadow(struct leap__guest_mem *mem, uint32_t index,
			   leap_gpa_t doorbells, leap_gpa_t eventidx);
/* Both have the same shadow words, or none. */
static inline bool leap__guest_mem_same(const struct leap__guest_mem *a,
					const struct leap__guest_mem *b)
{
	return a->shadow == b->shadow &&
	       (!a->shadow || (a->doorbell.addr == b->doorbell.addr &&
			       a->eventidx.addr == b->eventidx.addr));
}

/* State memory at @offset, or NULL: not all of it is there. */
void *leap__guest_state(const struct leap__guest *guest, uint64_t offset,
			uint64_t bytes);
/* Memory comes and goes; hooks of a completion queue's view. */
void leap__guest_going(struct leap__ats_hook *hook, leap_gpa_t gpa,
		       uint64_t bytes);
void leap__guest_came(struct leap__ats_hook *hook);

/* cq.c */

/* The rings of @cq and @sq are where their mem says now. */
void leap__guest_cq_moved(struct leap__guest_cq *cq);
void leap__guest_sq_moved(struct leap__guest_sq *sq);
/* A command has its answer: post it, or hold it until there is room. */
void leap__guest_post(struct leap__guest_cq *cq, struct leap_cmd *cmd);
/* Completions of @sq that wait are not posted any more. */
void leap__guest_forget(struct leap__guest_cq *cq, struct leap__guest_sq *sq);
/* There may be room again, or memory. */
void leap__guest_unblock(struct leap__guest_cq *cq);
/* Raise its vector, if it has one. */
void leap__guest_signal(struct leap__guest_cq *cq);
int leap__guest_cq_shadow(struct leap__guest_cq *cq, leap_gpa_t doorbells,
			  leap_gpa_t eventidx);

/* data.c */

int leap__guest_data_init(struct leap__guest_sq *sq);
void leap__guest_data_fini(struct leap__guest_sq *sq);
void leap__guest_pull(struct leap_cmd *cmd, uint32_t len_bytes);
/* The command no longer needs its payload. */
void leap__guest_data_put(struct leap__guest_sq *sq, struct leap_cmd *cmd);
/* It has its answer, and priv[LEAP__GUEST_ARRAY]: the same, unless its payload
 * is on its way to the guest first; then false. */
bool leap__guest_data_end(struct leap__guest_sq *sq, struct leap_cmd *cmd);
/* Nor do those that wait for an array or buffers, which are put. */
void leap__guest_data_forget(struct leap__guest_sq *sq);

/* bounce.c */

/* Answer a pull: some of @pieces, cmd->nr_pieces of them, are not direct. */
void leap__guest_bounce(struct leap__guest_sq *sq, struct leap_cmd *cmd,
			const struct leap_piece *pieces, uint32_t perm);
/* Bring to the guest what is for it; leap__guest_answer follows. False: there
 * is nothing to bring. */
bool leap__guest_bounce_store(struct leap_cmd *cmd);
/* Buffers of a command that is BOUNCED. */
void leap__guest_bounce_put(struct leap__guest_sq *sq, struct leap_cmd *cmd);
void leap__guest_bounce_fini(struct leap__guest_sq *sq);
/* There may be buffers again; nobody waits for them any more. */
void leap__guest_bounce_resume(struct leap__guest_sq *sq);
void leap__guest_bounce_forget(struct leap__guest_sq *sq);

/* resume.c */

int leap__guest_record(struct leap__guest_sq *sq,
		       const struct leap__guest_rerun *rerun);
/* Deliver what a predecessor left, oldest first; returns how many. */
int leap__guest_redo(struct leap__guest_sq *sq);

static inline bool leap__guest_has_redo(const struct leap__guest_sq *sq)
{
	return unlikely(sq->redo_at < sq->rec.nr);
}

/* vqp.c */

/* A command with a slot goes to the handler. */
void leap__guest_begin(struct leap__guest_sq *sq, struct leap_cmd *cmd,
		       uint16_t tag);
/* A command with its status, and nothing else any more, leaves. */
void leap__guest_answer(struct leap_cmd *cmd);
/* Nothing is fetched, posted or recorded from here on. */
void leap__guest_close(struct leap__guest_sq *sq, int err);
/* The same, and the controller is told. */
void leap__guest_fatal(struct leap__guest_sq *sq, int err);
/* A command has left: perhaps the last one of a drain. */
void leap__guest_drained(struct leap__guest_sq *sq);

#endif
