/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest.h - queue pairs in the memory of a guest: the I/O side of a controller
 * behind registers
 *
 * A submission queue of a guest is a leap_vqp like any other controller end.
 * Its ring and its completion queue lie in the guest's address space (an ats),
 * its doorbells and its in-flight record in state memory that the guest cannot
 * see (leapio/link.h). The same code serves the I/O queues of a controller in
 * this process, those that an agent lends over a link, and admin queues.
 *
 *	doorbell:  the admin half traps it, stores it in leap_doorbell.value and
 *	           kicks; or the guest stores it in its shadow page
 *	fetch:     all new entries in one pass, each copied into a slot
 *	payload:   PRP or SGL -> pieces of the guest's memory, pinned
 *	complete:  slot, CQE, phase; one interrupt decision a batch
 *
 * Everything that the guest can write is copied before it is checked. When the
 * guest takes memory back under a ring (leap_ats_unmap), the queue stops with
 * its place kept, and goes on when the range is mapped again.
 *
 * All calls: owner of the poll group, unless said otherwise.
 */
#ifndef LEAP_CORE_GUEST_GUEST_H
#define LEAP_CORE_GUEST_GUEST_H

#include <leapio/ats.h>
#include <leapio/link.h>
#include <leapio/plugin/transport_ops.h>

#include "core/io/record.h"
#include "util/atomic.h"

/* A controller behind registers, as those who serve its queues see it. Made and
 * owned by who has its memory; outlives every queue. */
struct leap__guest {
	struct leap_ats *ats;
	uint8_t *state;		/* state memory */
	uint64_t state_bytes;
	uint32_t max_data_bytes;	/* MDTS */
	bool window;		/* reached through PCIe */
	/* Raise an interrupt vector. Any thread; must not block. */
	void (*raise)(struct leap__guest *guest, uint32_t vector);
	/* A queue is beyond use: rings that lie, a damaged record. It is dead,
	 * its vqp is told lost; the controller should show CFS. The thread of
	 * the queue. */
	void (*fatal)(struct leap__guest *guest, uint16_t qid, int err);
};

/*
 * Between the entries and a look at who wants to hear of them. Partners: the
 * fences of who changes that and then looks for entries, in vdev_msix.c and
 * runtime_irq.c; of the two one sees the other's store.
 */
static inline void leap__guest_before_irq(void)
{
	if (!LEAP_PLANT(IRQ_UNFENCED))
		leap__full_fence();
}

/* An interrupt that has no eventfd: does the admin half want to hear of it? For
 * raise, after leap__guest_before_irq(). */
static inline bool leap__guest_wants_irq(const struct leap__guest *guest)
{
	const struct leap_doorbell *first =
		(const struct leap_doorbell *)(const void *)guest->state;

	return !leap__load_relaxed(&first->no_irq);
}

/* The same, for one that the guest has masked in registers: the admin half is
 * told, and keeps it. */
static inline bool leap__guest_masks_irq(const struct leap__guest *guest,
					 uint32_t vector)
{
	const struct leap_doorbell *first =
		(const struct leap_doorbell *)(const void *)guest->state;

	return vector < 32 && (leap_from_le32(leap__load_relaxed(
				&first->irq_mask)) >> vector & 1);
}

struct leap__guest_cq;

/*
 * leap__guest_cq_create - a completion queue, shared by the queue pairs of @pg
 * that name it
 *
 * @resume: its ring is in use: entries stay; leap__guest_cq_restored follows
 * Errors:  -EINVAL depth or offsets, -EFAULT ring not in memory, -ENOMEM
 */
int leap__guest_cq_create(struct leap_pollgroup *pg, struct leap__guest *guest,
			  const struct leap_cq_desc *desc,
			  struct leap__guest_cq **out);

/* After the last of its queue pairs has told gone; may be called from there.
 * Returns what desc.seq is to say if the ring is taken up again. */
uint64_t leap__guest_cq_destroy(struct leap__guest_cq *cq);

/* As in struct leap__recovery. */
struct leap__guest_rerun {
	bool (*may)(const void *sqe, uint64_t note, void *arg);
	void *arg;
};

/*
 * leap__guest_vqp_create - a submission queue
 *
 * With LEAP_QPD_RESUME in @desc->flags the record is what a fenced predecessor
 * left: its commands are delivered first, after leap__guest_vqp_start.
 * The vqp has no handler yet and fetches nothing.
 * @rerun: may an issued command run again; NULL = every one may. Asked before
 *         this returns, and not later
 * Errors:  -EINVAL, -EFAULT ring not in memory, -EPROTO record, -ENOMEM
 */
int leap__guest_vqp_create(struct leap_pollgroup *pg,
			   struct leap__guest *guest, struct leap__guest_cq *cq,
			   const struct leap_qp_desc *desc,
			   const struct leap__guest_rerun *rerun,
			   struct leap_vqp **out);

/*
 * leap__guest_vqp_leave - memory that commands have pinned is taken back
 *
 * @leave: whoever has commands whose pins have this slot is to end them, sooner
 *         than they would by themselves; @buf as in their pieces, or NULL
 */
void leap__guest_vqp_leave(struct leap_vqp *vqp,
			   void (*leave)(void *arg, uint16_t slot,
					 const struct leap_dmabuf *buf),
			   void *arg);

/*
 * leap__guest_cq_restored - every queue pair that resumes on @cq exists
 *
 * Restores the ring from their records, posts what was already decided, and
 * signals once if need be.
 *
 * Errors: -EPROTO
 */
int leap__guest_cq_restored(struct leap__guest_cq *cq);

/* The handler is set: begin to fetch; of a queue that resumes, after
 * leap__guest_cq_restored. */
void leap__guest_vqp_start(struct leap_vqp *vqp);

/* Leave a word about a command to who comes after a kill
 * (leap__guest_rerun.may); seen before whatever is done next. */
void leap__guest_note(struct leap_cmd *cmd, uint64_t note);

/* Fetch no more; what was fetched goes on. For draining and handing on: idle
 * when vqp->nr_cmds is 0. */
void leap__guest_vqp_stop(struct leap_vqp *vqp);

/* The same, and when the last of it has its answer the vqp ends as if closed:
 * lost, gone. leap_vqp_close ends it at once: nothing is posted any more. */
void leap__guest_vqp_drain(struct leap_vqp *vqp);

/* Shadow doorbells from now on (or, with 0, no more). For @vqp and its CQ.
 * Pages of 4096 bytes; words 4 bytes apart (CAP.DSTRD 0). The words are set to
 * what is known now, except those of a queue that resumes and has not been
 * started.
 * 0, -EFAULT, -EINVAL. */
int leap__guest_vqp_shadow(struct leap_vqp *vqp, leap_gpa_t doorbells,
			   leap_gpa_t eventidx);

/* Interrupt Coalescing (features 08h, 09h): at most one interrupt each
 * @nr_entries completions or @time_ns; 0, 0 = none. */
void leap__guest_cq_coalesce(struct leap__guest_cq *cq, uint32_t nr_entries,
			     uint64_t time_ns);

/* What leapctl inspect shows of a queue. */
struct leap__guest_info {
	uint16_t sqid, cqid;
	uint32_t sq_depth, cq_depth;
	uint32_t sq_head, sq_tail;	/* as this side knows them */
	uint32_t cq_head, cq_tail;
	uint32_t fetched, issued;	/* slots */
	uint64_t commands;		/* since it was made */
	uint64_t interrupts;
	uint64_t kicks;			/* trapped doorbells that woke us */
	uint64_t bad_doorbells;		/* values that were ignored */
	bool shadow, armed, stopped, no_memory;
};

void leap__guest_vqp_info(const struct leap_vqp *vqp,
			  struct leap__guest_info *info);

/* The IOTLB of the view that @cq and its submission queues share. */
void leap__guest_cq_view_stats(const struct leap__guest_cq *cq,
			       struct leap_ats_stats *stats);

/*
 * The doorbell words of a queue changed: poll it. Any thread; does nothing
 * while nobody sleeps (leap_doorbell.wake). The admin half calls it after
 * storing the value; over a link an eventfd does its work.
 */
void leap__guest_kick(struct leap_pollgroup *pg, struct leap_doorbell *db);

extern const struct leap_transport_ops leap__guest_ops;

/* @bytes of the memory of the guest that @vqp is of, once. 0, -EFAULT, -EACCES,
 * -EAGAIN it is not mapped here. */
int leap__guest_copy_in(struct leap_vqp *vqp, void *to, leap_gpa_t from,
			uint64_t bytes);

#endif
