/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vqp.c - submission queues in guest memory: the controller end of a queue
 * pair behind registers
 *
 * Looks at the tail, which the admin half stores when it traps a doorbell, or
 * the guest in its shadow page; copies what is new into slots in one pass and
 * hands it to whoever stands behind. All that the guest can write is checked
 * where it is read, or cannot matter. A queue ends by close: at once, or when
 * a drain finds it empty.
 *
 *	          start            stop, drain
 *	UNSTARTED -----> fetching -------------> what was fetched goes on
 *	     |              |                            |
 *	     '--------------+------- close --------------+--> lost .. gone
 *
 * Spec: NVMe Base 2.0 s3.3.1 (queues), s5.8 (Doorbell Buffer Config)
 */
#include "core/guest/queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/io/wake.h"
#include "util/err.h"

#define FETCH_MAX 64

static struct leap__guest_sq *of_poller(struct leap_poller *poller)
{
	return (struct leap__guest_sq *)(void *)
		((char *)poller - offsetof(struct leap__guest_sq, poller));
}

/* ---- commands ---- */

void leap__guest_begin(struct leap__guest_sq *sq, struct leap_cmd *cmd,
		       uint16_t tag)
{
	sq->commands++;
	LEAP_POINT(AFTER_FETCHED);
	leap__slot_issue(&sq->slots, tag);
	LEAP_POINT(AFTER_ISSUED);
	leap_vqp_deliver(&sq->vqp, cmd);
}

void leap__guest_answer(struct leap_cmd *cmd)
{
	struct leap__guest_sq *sq = leap__guest_sq(cmd->vqp);

	if (unlikely(sq->halt & LEAP__SQ_CLOSED)) {
		leap_cmd_put(cmd);
		return;
	}
	leap__guest_post(sq->cq, cmd);
}

static void complete(struct leap_cmd *cmd)
{
	struct leap__guest_sq *sq = leap__guest_sq(cmd->vqp);

	LEAP_POINT(BEFORE_POSTED);
	if (unlikely(cmd->priv[LEAP__GUEST_ARRAY])) {
		if (!leap__guest_data_end(sq, cmd))
			return;
	} else if (cmd->pins.nr) {
		leap_ats_release(sq->cq->view, &cmd->pins);
	}
	leap__guest_answer(cmd);
}

/* How many entries wait. */
static int look(struct leap__guest_sq *sq, int n)
{
	uint32_t tail;

	if (likely(n >= 0))
		return n;
	/* No tail that an honest guest can write: as if it had not. */
	tail = leap__le32_to_cpu(leap__load_relaxed(sq->sqc.doorbell));
	if (tail != sq->bad_tail)
		sq->bad_tails++;
	sq->bad_tail = tail;
	return (int)leap__sqc_pending(&sq->sqc);
}

static bool may_fetch(const struct leap__guest_sq *sq)
{
	return likely(!(sq->halt | sq->cq->halt));
}

static int fetch(struct leap__guest_sq *sq, int n)
{
	struct leap_cmd *cmd;
	int done = 0, tag;

	while (done < n && may_fetch(sq) && sq->slots.nr_free) {
		cmd = leap_cmd_get(&sq->vqp);
		if (unlikely(!cmd)) {
			sq->halt |= LEAP__SQ_STARVED;
			break;
		}
		tag = leap__slot_fetch(&sq->slots, &sq->sqc, &cmd->sqe);
		cmd->priv[LEAP__GUEST_ARRAY] = 0;
		cmd->priv[LEAP__GUEST_TAG] = (uint64_t)tag;
		done++;
		leap__guest_begin(sq, cmd, (uint16_t)tag);
	}
	return done;
}

/* Who takes the wake word off kicks. */
static void count_kick(struct leap__guest_sq *sq)
{
	if (sq->armed && !leap__load_relaxed(&sq->db->wake))
		sq->kicks++;
}

static void disarm(struct leap__guest_sq *sq)
{
	count_kick(sq);
	sq->armed = false;
	leap__wake_disarm(&sq->db->wake);
	leap__sqc_disarm(&sq->sqc);
}

static int sq_poll(struct leap_poller *poller, unsigned int budget)
{
	struct leap__guest_sq *sq = of_poller(poller);
	int n, done = 0;

	if (unlikely(sq->armed))
		disarm(sq);
	if (leap__guest_has_redo(sq)) {
		done = leap__guest_redo(sq);
		if (leap__guest_has_redo(sq))
			return done;
	}
	if (unlikely(!may_fetch(sq)))
		return done;
	n = look(sq, leap__sqc_poll(&sq->sqc));
	if (!n)
		return done;
	if (n > FETCH_MAX)
		n = FETCH_MAX;
	if (n > (int)budget)
		n = (int)budget;
	return done + fetch(sq, n);
}

static int sq_arm(struct leap_poller *poller)
{
	struct leap__guest_sq *sq = of_poller(poller);

	/* What ends a halt, or frees a slot, is an event of its own. */
	if (leap__guest_has_redo(sq))
		return !(sq->halt & ~(uint32_t)LEAP__SQ_DRAINING) &&
		       !sq->cq->halt;
	if (!may_fetch(sq) || !sq->slots.nr_free)
		return 0;
	count_kick(sq);
	sq->armed = true;
	/* Partner: the fence in leap__wake_wanted(), of leap__guest_kick(). */
	leap__wake_arm(&sq->db->wake);
	return look(sq, leap__sqc_arm(&sq->sqc)) > 0;
}

static void resume(struct leap_vqp *vqp)
{
	struct leap__guest_sq *sq = leap__guest_sq(vqp);

	sq->halt &= ~(uint32_t)LEAP__SQ_STARVED;
	if (unlikely(sq->hungry))
		leap__guest_bounce_resume(sq);
}

void leap__guest_kick(struct leap_pollgroup *pg, struct leap_doorbell *db)
{
	if (leap__wake_wanted(&db->wake))
		pg->world->ops->wake(pg->world);
}

/* ---- ends ---- */

static void tell_lost(struct leap__defer *defer)
{
	struct leap__guest_sq *sq = (struct leap__guest_sq *)(void *)
		((char *)defer - offsetof(struct leap__guest_sq, end));

	leap_vqp_lost(&sq->vqp, sq->err);
}

void leap__guest_close(struct leap__guest_sq *sq, int err)
{
	if (sq->halt & LEAP__SQ_CLOSED)
		return;
	/* First: whoever has the record next finds it as it is now. */
	leap__slots_detach(&sq->slots);
	sq->halt |= LEAP__SQ_CLOSED;
	sq->err = err;
	if (sq->armed)
		disarm(sq);
	if (sq->polling)
		leap_pollgroup_del_poller(sq->vqp.pg, &sq->poller);
	leap__list_remove(&sq->link);
	leap__guest_forget(sq->cq, sq);
	leap__guest_data_forget(sq);
	leap__guest_mem_unmap(sq->cq->view, &sq->mem);
	/* Not from under the feet of a handler. */
	leap__pollgroup_defer(sq->vqp.pg, &sq->end);
}

static void vqp_close(struct leap_vqp *vqp)
{
	leap__guest_close(leap__guest_sq(vqp), 0);
}

void leap__guest_fatal(struct leap__guest_sq *sq, int err)
{
	if (sq->halt & LEAP__SQ_CLOSED)
		return;
	leap__guest_close(sq, err);
	if (sq->guest->fatal)
		sq->guest->fatal(sq->guest, sq->desc.qid, err);
}

void leap__guest_drained(struct leap__guest_sq *sq)
{
	if (!sq->vqp.nr_cmds && !leap__guest_has_redo(sq))
		leap__guest_close(sq, 0);
}

static void sq_free(struct leap__guest_sq *sq)
{
	leap__slots_fini(&sq->slots);
	leap__guest_data_fini(sq);
	free(sq->rec.redo);
	free(sq);
}

static void destroy(struct leap_vqp *vqp)
{
	struct leap__guest_sq *sq = leap__guest_sq(vqp);
	struct leap__guest_cq *cq = sq->cq;

	if (!--cq->nr_sqs && cq->dying)
		free(cq);
	sq_free(sq);
}

const struct leap_transport_ops leap__guest_ops = {
	.size = sizeof(leap__guest_ops),
	.name = "guest",
	.cmd_pull = leap__guest_pull,
	.cmd_complete = complete,
	.vqp_resume = resume,
	.vqp_close = vqp_close,
	.vqp_destroy = destroy,
};

/* ---- life ---- */

void leap__guest_sq_moved(struct leap__guest_sq *sq)
{
	sq->sqc.entries = sq->mem.ring_at;
	sq->sqc.doorbell = sq->mem.doorbell_at ? sq->mem.doorbell_at :
						 &sq->db->value;
	sq->sqc.eventidx = sq->mem.eventidx_at;
}

static int check_desc(const struct leap__guest *guest,
		      const struct leap__guest_cq *cq,
		      const struct leap_qp_desc *d)
{
	static const char call[] = "leap__guest_vqp_create";

	if (d->sq_depth < LEAP__RING_MIN || d->sq_depth > LEAP__RING_MAX)
		return leap__err(-EINVAL, "%s: sq_depth %u is not in %d..%d",
				 call, d->sq_depth, LEAP__RING_MIN,
				 LEAP__RING_MAX);
	if (d->page_bytes < 4096 || (d->page_bytes & (d->page_bytes - 1)))
		return leap__err(-EINVAL, "%s: page_bytes %u is no power of "
				 "two >= 4096", call, d->page_bytes);
	if (d->cqid != cq->desc.cqid || guest != cq->guest)
		return leap__err(-EINVAL, "%s: cqid %u is not that of the "
				 "completion queue, %u", call, d->cqid,
				 cq->desc.cqid);
	if (!leap__guest_state(guest, d->doorbell,
			       sizeof(struct leap_doorbell)))
		return leap__err(-EINVAL, "%s: doorbell %#llx is not in %#llx "
				 "bytes of state memory", call,
				 (unsigned long long)d->doorbell,
				 (unsigned long long)guest->state_bytes);
	return 0;
}

static int init_ring(struct leap__guest_sq *sq)
{
	struct leap__ring_opts opts = { .size = sq->desc.sq_depth,
					.window = sq->guest->window };
	int err;

	sq->mem = (struct leap__guest_mem){
		.ring = sq->desc.sq,
		.bytes = (uint64_t)sq->desc.sq_depth * LEAP__SQE_BYTES,
		.perm = LEAP_PERM_READ,
	};
	err = leap__guest_mem_map(sq->cq->view, &sq->mem);
	if (err)
		return leap__err(err, "leap__guest_vqp_create: ring %#llx is "
				 "not one piece of memory",
				 (unsigned long long)sq->desc.sq.addr);
	opts.entries = sq->mem.ring_at;
	err = leap__sqc_init(&sq->sqc, &opts);
	if (err)
		return leap__err(err, "leap__guest_vqp_create: ring %#llx is "
				 "not aligned",
				 (unsigned long long)sq->desc.sq.addr);
	leap__guest_sq_moved(sq);
	return 0;
}

static void init_base(struct leap__guest_sq *sq, struct leap_pollgroup *pg)
{
	const struct leap_qp_desc *d = &sq->desc;

	leap_vqp_init(&sq->vqp, &leap__guest_ops, pg, NULL);
	sq->vqp.max_data_bytes = sq->guest->max_data_bytes;
	sq->vqp.qid = d->qid;
	sq->vqp.depth = d->sq_depth > UINT16_MAX ? UINT16_MAX :
						   (uint16_t)d->sq_depth;
	sq->vqp.connected = 1;
	snprintf(sq->vqp.peer, sizeof(sq->vqp.peer), "guest of controller %u",
		 d->cntlid);
	sq->db = leap__guest_state(sq->guest, d->doorbell, sizeof(*sq->db));
	sq->poller.poll = sq_poll;
	sq->poller.arm = sq_arm;
	sq->end.run = tell_lost;
	sq->halt = LEAP__SQ_UNSTARTED;
	sq->bad_tail = UINT32_MAX;
}

int leap__guest_vqp_create(struct leap_pollgroup *pg,
			   struct leap__guest *guest, struct leap__guest_cq *cq,
			   const struct leap_qp_desc *desc,
			   const struct leap__guest_rerun *rerun,
			   struct leap_vqp **out)
{
	struct leap__guest_sq *sq;
	int err = check_desc(guest, cq, desc);

	if (err)
		return err;
	sq = calloc(1, sizeof(*sq));
	if (!sq)
		return leap__err(-ENOMEM, "leap__guest_vqp_create: no memory");
	sq->guest = guest;
	sq->cq = cq;
	sq->desc = *desc;
	init_base(sq, pg);
	err = init_ring(sq);
	if (!err)
		err = leap__guest_record(sq, rerun);
	if (!err)
		err = leap__guest_data_init(sq);
	if (err) {
		leap__guest_mem_unmap(cq->view, &sq->mem);
		sq_free(sq);
		return err;
	}
	leap__list_push_back(&cq->sqs, &sq->link);
	cq->nr_sqs++;
	*out = &sq->vqp;
	return 0;
}

void leap__guest_vqp_start(struct leap_vqp *vqp)
{
	struct leap__guest_sq *sq = leap__guest_sq(vqp);

	if (sq->halt & LEAP__SQ_CLOSED)
		return;
	sq->halt &= ~(uint32_t)(LEAP__SQ_UNSTARTED | LEAP__SQ_STOPPED);
	if (!sq->polling) {
		sq->polling = true;
		leap__wake_disarm(&sq->db->wake);
		leap_pollgroup_add_poller(vqp->pg, &sq->poller);
	}
}

void leap__guest_vqp_leave(struct leap_vqp *vqp,
			   void (*leave)(void *arg, uint16_t slot,
					 const struct leap_dmabuf *buf),
			   void *arg)
{
	struct leap__guest_sq *sq = leap__guest_sq(vqp);

	sq->leave = leave;
	sq->leave_arg = arg;
}

void leap__guest_note(struct leap_cmd *cmd, uint64_t note)
{
	leap__slot_note(&leap__guest_sq(cmd->vqp)->slots, leap__guest_tag(cmd),
			note);
}

void leap__guest_vqp_stop(struct leap_vqp *vqp)
{
	leap__guest_sq(vqp)->halt |= LEAP__SQ_STOPPED;
}

void leap__guest_vqp_drain(struct leap_vqp *vqp)
{
	struct leap__guest_sq *sq = leap__guest_sq(vqp);

	sq->halt |= LEAP__SQ_DRAINING;
	leap__guest_drained(sq);
}

static int sq_shadow(struct leap__guest_sq *sq, leap_gpa_t doorbells,
		     leap_gpa_t eventidx)
{
	/* What a predecessor's guest stored there counts. */
	bool adopt = (sq->halt & LEAP__SQ_UNSTARTED) &&
		     (sq->desc.flags & LEAP_QPD_RESUME);
	struct leap__guest_mem mem = sq->mem;
	int err;

	mem.pins.nr = 0;
	err = leap__guest_mem_shadow(&mem, 2u * sq->desc.qid, doorbells,
				     eventidx);
	if (err || leap__guest_mem_same(&mem, &sq->mem))
		return err;
	if (sq->halt & LEAP__SQ_NO_MEMORY) {
		if (mem.shadow)
			return -EFAULT;
		sq->mem.shadow = false;
		return 0;
	}
	err = leap__guest_mem_map(sq->cq->view, &mem);
	if (err)
		return err;
	if (sq->armed)
		disarm(sq);
	/* What was rung the old way until now. */
	if (!adopt)
		look(sq, leap__sqc_poll(&sq->sqc));
	leap__guest_mem_unmap(sq->cq->view, &sq->mem);
	sq->mem = mem;
	leap__guest_sq_moved(sq);
	if (mem.shadow && !adopt)
		leap__sqc_shadow(&sq->sqc, mem.doorbell_at, mem.eventidx_at);
	return 0;
}

int leap__guest_vqp_shadow(struct leap_vqp *vqp, leap_gpa_t doorbells,
			   leap_gpa_t eventidx)
{
	struct leap__guest_sq *sq = leap__guest_sq(vqp);
	int err;

	if (sq->halt & LEAP__SQ_CLOSED)
		return 0;
	err = leap__guest_cq_shadow(sq->cq, doorbells, eventidx);
	if (!err)
		err = sq_shadow(sq, doorbells, eventidx);
	if (err)
		return leap__err(err, "leap__guest_vqp_shadow: queue %u: pages "
				 "%#llx and %#llx", sq->desc.qid,
				 (unsigned long long)doorbells.addr,
				 (unsigned long long)eventidx.addr);
	return 0;
}

void leap__guest_vqp_info(const struct leap_vqp *vqp,
			  struct leap__guest_info *info)
{
	const struct leap__guest_sq *sq =
		(const struct leap__guest_sq *)(const void *)vqp;
	const struct leap__guest_cq *cq = sq->cq;
	uint32_t i;

	*info = (struct leap__guest_info){
		.sqid = sq->desc.qid, .cqid = cq->desc.cqid,
		.sq_depth = sq->desc.sq_depth, .cq_depth = cq->desc.depth,
		.sq_head = sq->sqc.head, .sq_tail = sq->sqc.tail,
		.cq_head = cq->cqp.head, .cq_tail = cq->cqp.tail,
		.commands = sq->commands, .interrupts = cq->interrupts,
		.kicks = sq->kicks,
		.bad_doorbells = sq->bad_tails + cq->bad_heads,
		.shadow = sq->mem.shadow, .armed = sq->armed,
		.stopped = sq->halt & LEAP__SQ_STOPPED,
		.no_memory = (sq->halt & LEAP__SQ_NO_MEMORY) ||
			     (cq->halt & LEAP__CQ_NO_MEMORY),
	};
	for (i = 0; i < sq->slots.nr; i++) {
		info->fetched += sq->slots.slot[i].state ==
				 LEAP_RECORD_FETCHED;
		info->issued += sq->slots.slot[i].state == LEAP_RECORD_ISSUED;
	}
}

int leap__guest_copy_in(struct leap_vqp *vqp, void *to, leap_gpa_t from,
			uint64_t bytes)
{
	return leap_ats_copy_in(leap__guest_sq(vqp)->cq->view, to, from, bytes);
}
