/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cq.c - completion queues in guest memory
 *
 * The one place that posts entries: in order, through the slot of the command,
 * held back while the guest leaves no room or has taken the ring away. One
 * interrupt decision a batch, at the end of the poll, whatever the number of
 * submission queues that completed into it. Knows neither what a command meant
 * nor how an interrupt reaches the guest.
 *
 * Spec: NVMe Base 2.0 s3.3.3.2 (CQ entries), s5.27.1.7 (Interrupt Coalescing)
 */
#include "core/guest/queue.h"

#include <errno.h>
#include <stdlib.h>

#include "core/io/wake.h"
#include "util/err.h"

static struct leap__guest_cq *of_poller(struct leap_poller *poller)
{
	return (struct leap__guest_cq *)(void *)
		((char *)poller - offsetof(struct leap__guest_cq, poller));
}

/* ---- interrupts ---- */

/*
 * The pin falls when the admin half hears that the ring is empty, so EventIdx
 * stays at the head: whatever the guest does next, it is told. A head that
 * moved meanwhile may have seen the word before; a guest that moves it on and
 * on only deceives itself.
 */
static __attribute__((cold)) void follow_head(struct leap__guest_cq *cq)
{
	uint16_t head;
	int i = 0;

	do {
		head = cq->cqp.head;
		(void)leap__cqp_arm(&cq->cqp);
	} while (cq->cqp.head != head && ++i < 8);
}

void leap__guest_signal(struct leap__guest_cq *cq)
{
	cq->unsignalled = 0;
	if (unlikely(cq->timer.armed))
		leap_timer_stop(cq->pg, &cq->timer);
	if (cq->desc.vector == UINT32_MAX)
		return;
	if (unlikely(cq->desc.flags & LEAP_QPD_PIN))
		follow_head(cq);
	cq->interrupts++;
	LEAP_POINT(BEFORE_SIGNAL);
	cq->guest->raise(cq->guest, cq->desc.vector);
	LEAP_POINT(AFTER_SIGNAL);
}

static void timer_run(struct leap_timer *timer)
{
	struct leap__guest_cq *cq = (struct leap__guest_cq *)(void *)
		((char *)timer - offsetof(struct leap__guest_cq, timer));

	if (cq->unsignalled)
		leap__guest_signal(cq);
}

static void end_of_batch(struct leap__defer *defer)
{
	struct leap__guest_cq *cq = (struct leap__guest_cq *)(void *)
		((char *)defer - offsetof(struct leap__guest_cq, end_of_batch));

	if (!cq->unsignalled)
		return;
	if (likely(cq->unsignalled >= cq->max_entries))
		leap__guest_signal(cq);
	else if (!cq->timer.armed)
		leap_timer_start(cq->pg, &cq->timer, cq->max_ns);
}

void leap__guest_cq_coalesce(struct leap__guest_cq *cq, uint32_t nr_entries,
			     uint64_t time_ns)
{
	/* No delay allowed, or each entry by itself: nothing to gather. */
	if (nr_entries < 2 || !time_ns || !cq->desc.cqid)
		nr_entries = 0;
	cq->max_entries = nr_entries;
	cq->max_ns = time_ns;
	if (cq->unsignalled)
		leap__pollgroup_defer(cq->pg, &cq->end_of_batch);
}

/* ---- posting ---- */

/* No word about the next heads, but for those that are followed. */
static void hush(struct leap__guest_cq *cq)
{
	if (!(cq->desc.flags & LEAP_QPD_PIN))
		leap__cqp_disarm(&cq->cqp);
}

/* Room, as the guest's head doorbell says it. */
static int space(struct leap__guest_cq *cq)
{
	uint32_t head;
	int n = leap__cqp_space(&cq->cqp);

	if (likely(n >= 0)) {
		hush(cq);
		return n;
	}
	/* No head that an honest guest can write: as if it had not. */
	head = leap__le32_to_cpu(leap__load_relaxed(cq->cqp.doorbell));
	if (head != cq->bad_head)
		cq->bad_heads++;
	cq->bad_head = head;
	return (int)leap__cqp_room(&cq->cqp);
}

static void post(struct leap__guest_cq *cq, struct leap_cmd *cmd)
{
	struct leap__guest_sq *sq = leap__guest_sq(cmd->vqp);
	struct leap__cqe cqe = {
		.dw0 = (uint32_t)cmd->result,
		.dw1 = (uint32_t)(cmd->result >> 32),
		.sqhd = leap__sqc_sqhd(&sq->sqc),
		.sqid = sq->desc.qid,
		.cid = leap_from_le16(cmd->sqe.cid),
		.status = cmd->status,
	};

	leap__slot_complete(&sq->slots, leap__guest_tag(cmd), &cq->cqp, &cqe);
	leap__store_release(&cq->db->posted,
			    leap__cpu_to_le32((uint32_t)cq->cqp.seq));
	LEAP_POINT(AFTER_POSTED);
	cq->unsignalled++;
	leap_cmd_put(cmd);
	if (unlikely(sq->halt & LEAP__SQ_DRAINING))
		leap__guest_drained(sq);
}

static __attribute__((cold)) void block(struct leap__guest_cq *cq,
					struct leap_cmd *cmd)
{
	cmd->link[0] = NULL;
	*cq->blocked_tail = cmd;
	cq->blocked_tail = &cmd->link[0];
	if (cq->halt & LEAP__CQ_BLOCKED)
		return;
	cq->halt |= LEAP__CQ_BLOCKED;
	leap_pollgroup_add_poller(cq->pg, &cq->poller);
}

void leap__guest_post(struct leap__guest_cq *cq, struct leap_cmd *cmd)
{
	if (unlikely(cq->halt) ||
	    unlikely(!leap__cqp_room(&cq->cqp) && space(cq) <= 0)) {
		block(cq, cmd);
		return;
	}
	post(cq, cmd);
	leap__pollgroup_defer(cq->pg, &cq->end_of_batch);
}

static void disarm(struct leap__guest_cq *cq)
{
	if (!cq->armed)
		return;
	cq->armed = false;
	leap__wake_disarm(&cq->db->wake);
	if (cq->desc.flags & LEAP_QPD_PIN)
		follow_head(cq);
	hush(cq);
}

static void none_blocked(struct leap__guest_cq *cq)
{
	cq->blocked_tail = &cq->blocked;
	if (!(cq->halt & LEAP__CQ_BLOCKED))
		return;
	cq->halt &= ~(uint32_t)LEAP__CQ_BLOCKED;
	disarm(cq);
	leap_pollgroup_del_poller(cq->pg, &cq->poller);
}

void leap__guest_unblock(struct leap__guest_cq *cq)
{
	struct leap_cmd *cmd;
	int room;

	if (cq->halt & ~(uint32_t)LEAP__CQ_BLOCKED)
		return;
	room = cq->blocked ? space(cq) : 0;
	while (room-- > 0 && (cmd = cq->blocked) != NULL) {
		cq->blocked = cmd->link[0];
		if (!cq->blocked)
			cq->blocked_tail = &cq->blocked;
		post(cq, cmd);
		leap__pollgroup_defer(cq->pg, &cq->end_of_batch);
	}
	if (!cq->blocked)
		none_blocked(cq);
}

void leap__guest_forget(struct leap__guest_cq *cq, struct leap__guest_sq *sq)
{
	struct leap_cmd **at = &cq->blocked, *cmd;

	while ((cmd = *at)) {
		if (cmd->vqp != &sq->vqp) {
			at = &cmd->link[0];
			continue;
		}
		*at = cmd->link[0];
		leap_cmd_put(cmd);
	}
	cq->blocked_tail = at;
	if (!cq->blocked)
		none_blocked(cq);
}

static int cq_poll(struct leap_poller *poller, unsigned int budget)
{
	struct leap__guest_cq *cq = of_poller(poller);
	uint64_t before = cq->cqp.seq;

	(void)budget;
	disarm(cq);
	leap__guest_unblock(cq);
	return (int)(cq->cqp.seq - before);
}

static int cq_arm(struct leap_poller *poller)
{
	struct leap__guest_cq *cq = of_poller(poller);

	/* Memory that comes, or RESUME, is a message. */
	if (cq->halt & ~(uint32_t)LEAP__CQ_BLOCKED)
		return 0;
	cq->armed = true;
	/* Partner: the fence in leap__wake_wanted(), of leap__guest_kick(). */
	leap__wake_arm(&cq->db->wake);
	return leap__cqp_arm(&cq->cqp) > 0;
}

/* ---- life ---- */

/* Where the head doorbell is: the shadow word, or what was trapped. */
void leap__guest_cq_moved(struct leap__guest_cq *cq)
{
	cq->cqp.entries = cq->mem.ring_at;
	cq->cqp.doorbell = cq->mem.doorbell_at ? cq->mem.doorbell_at :
						 &cq->db->value;
	cq->cqp.eventidx = cq->mem.eventidx_at;
}

int leap__guest_cq_shadow(struct leap__guest_cq *cq, leap_gpa_t doorbells,
			  leap_gpa_t eventidx)
{
	/* What a predecessor's guest stored there counts. */
	bool adopt = cq->halt & LEAP__CQ_UNRESTORED;
	struct leap__guest_mem mem = cq->mem;
	int err;

	mem.pins.nr = 0;
	err = leap__guest_mem_shadow(&mem, 2u * cq->desc.cqid + 1, doorbells,
				     eventidx);
	if (err || leap__guest_mem_same(&mem, &cq->mem))
		return err;
	if (cq->halt & LEAP__CQ_NO_MEMORY) {
		if (mem.shadow)
			return -EFAULT;
		cq->mem.shadow = false;
		return 0;
	}
	err = leap__guest_mem_map(cq->view, &mem);
	if (err)
		return err;
	disarm(cq);
	if (!adopt)
		space(cq);
	leap__guest_mem_unmap(cq->view, &cq->mem);
	cq->mem = mem;
	leap__guest_cq_moved(cq);
	if (mem.shadow && !adopt)
		leap__cqp_shadow(&cq->cqp, mem.doorbell_at, mem.eventidx_at);
	return 0;
}

static int check_desc(const struct leap__guest *guest,
		      const struct leap_cq_desc *desc)
{
	static const char call[] = "leap__guest_cq_create";

	if (desc->depth < LEAP__RING_MIN || desc->depth > LEAP__RING_MAX)
		return leap__err(-EINVAL, "%s: depth %u is not in %d..%d",
				 call, desc->depth, LEAP__RING_MIN,
				 LEAP__RING_MAX);
	if (!leap__guest_state(guest, desc->doorbell,
			       sizeof(struct leap_doorbell)))
		return leap__err(-EINVAL, "%s: doorbell %#llx is not in %#llx "
				 "bytes of state memory", call,
				 (unsigned long long)desc->doorbell,
				 (unsigned long long)guest->state_bytes);
	if (desc->seq && !(desc->flags & LEAP_QPD_RESUME))
		return leap__err(-EINVAL, "%s: seq %llu of a new ring", call,
				 (unsigned long long)desc->seq);
	return 0;
}

static int init_ring(struct leap__guest_cq *cq)
{
	struct leap__ring_opts opts = { .size = cq->desc.depth,
					.window = cq->guest->window };
	int err;

	cq->mem = (struct leap__guest_mem){
		.ring = cq->desc.gpa,
		.bytes = (uint64_t)cq->desc.depth * LEAP__CQE_BYTES,
		.perm = LEAP_PERM_WRITE | LEAP_PERM_READ,
	};
	/* The hook first, so that nothing slips between the two. */
	cq->hook.going = leap__guest_going;
	cq->hook.came = leap__guest_came;
	leap__ats_hook_add(cq->view, &cq->hook);
	err = leap__guest_mem_map(cq->view, &cq->mem);
	if (err)
		return leap__err(err, "leap__guest_cq_create: ring %#llx is "
				 "not one piece of memory",
				 (unsigned long long)cq->desc.gpa.addr);
	opts.entries = cq->mem.ring_at;
	err = leap__cqp_init(&cq->cqp, &opts);
	if (err)
		return leap__err(err, "leap__guest_cq_create: ring %#llx is "
				 "not aligned",
				 (unsigned long long)cq->desc.gpa.addr);
	leap__guest_cq_moved(cq);
	return 0;
}

static void cq_free(struct leap__guest_cq *cq)
{
	if (cq->view) {
		leap__ats_hook_del(cq->view, &cq->hook);
		leap__guest_mem_unmap(cq->view, &cq->mem);
		leap_ats_detach(cq->view);
	}
	cq->view = NULL;
	if (!cq->nr_sqs)
		free(cq);
}

int leap__guest_cq_create(struct leap_pollgroup *pg, struct leap__guest *guest,
			  const struct leap_cq_desc *desc,
			  struct leap__guest_cq **out)
{
	struct leap__guest_cq *cq;
	int err = check_desc(guest, desc);

	if (err)
		return err;
	cq = calloc(1, sizeof(*cq));
	if (!cq)
		return leap__err(-ENOMEM, "leap__guest_cq_create: no memory");
	cq->pg = pg;
	cq->guest = guest;
	cq->desc = *desc;
	cq->db = leap__guest_state(guest, desc->doorbell, sizeof(*cq->db));
	cq->blocked_tail = &cq->blocked;
	cq->poller.poll = cq_poll;
	cq->poller.arm = cq_arm;
	cq->end_of_batch.run = end_of_batch;
	cq->timer.run = timer_run;
	cq->bad_head = UINT32_MAX;
	leap__list_init(&cq->sqs);
	err = leap_ats_attach(guest->ats, pg, &cq->view);
	if (!err)
		err = init_ring(cq);
	if (err) {
		cq_free(cq);
		return err;
	}
	if (desc->flags & LEAP_QPD_RESUME) {
		cq->halt = LEAP__CQ_UNRESTORED;
	} else {
		leap__store_relaxed(&cq->db->posted, 0);
		leap__wake_disarm(&cq->db->wake);
	}
	leap__pollgroup_hold(pg);
	*out = cq;
	return 0;
}

uint64_t leap__guest_cq_destroy(struct leap__guest_cq *cq)
{
	uint64_t seq = cq->halt & LEAP__CQ_UNRESTORED ? cq->desc.seq :
							cq->cqp.seq;

	none_blocked(cq);
	leap_timer_stop(cq->pg, &cq->timer);
	leap__pollgroup_undefer(cq->pg, &cq->end_of_batch);
	leap__pollgroup_release(cq->pg);
	cq->dying = true;
	cq_free(cq);
	return seq;
}

void leap__guest_cq_view_stats(const struct leap__guest_cq *cq,
			       struct leap_ats_stats *stats)
{
	*stats = (struct leap_ats_stats){ .size = sizeof(*stats) };
	leap_ats_view_stats(cq->view, stats);
}
