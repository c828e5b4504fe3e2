/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem.c - the guest's memory under the rings, and state memory
 *
 * Rings and shadow words are translated once and stay pinned, so that the data
 * path uses plain pointers. When the guest takes the memory back, the queue is
 * halted with its place kept and the pins go, which ends the guest's unmap;
 * when memory comes, the same addresses are tried again. Knows nothing of what
 * lies in a ring.
 */
#include "core/guest/queue.h"

#include <errno.h>

static int pin_one(struct leap_ats_view *view, struct leap__guest_mem *mem,
		   leap_gpa_t gpa, uint64_t bytes, uint32_t perm, void **at)
{
	struct leap_piece piece;
	int n;

	n = leap_ats_translate(view, gpa, bytes, perm, &piece, 1, &mem->pins);
	if (n != 1 || piece.reach != LEAP_REACH_DIRECT)
		return -EFAULT;
	*at = piece.addr;
	return 0;
}

int leap__guest_mem_map(struct leap_ats_view *view,
			struct leap__guest_mem *mem)
{
	const uint32_t rw = LEAP_PERM_READ | LEAP_PERM_WRITE;
	void *doorbell = NULL, *eventidx = NULL;
	int err;

	mem->pins.nr = 0;
	err = pin_one(view, mem, mem->ring, mem->bytes, mem->perm,
		      &mem->ring_at);
	if (!err && mem->shadow)
		err = pin_one(view, mem, mem->doorbell, sizeof(leap_le32), rw,
			      &doorbell);
	if (!err && mem->shadow)
		err = pin_one(view, mem, mem->eventidx, sizeof(leap_le32), rw,
			      &eventidx);
	if (err) {
		leap__guest_mem_unmap(view, mem);
		return err;
	}
	mem->doorbell_at = doorbell;
	mem->eventidx_at = eventidx;
	return 0;
}

void leap__guest_mem_unmap(struct leap_ats_view *view,
			   struct leap__guest_mem *mem)
{
	mem->ring_at = NULL;
	mem->doorbell_at = NULL;
	mem->eventidx_at = NULL;
	if (mem->pins.nr)
		leap_ats_release(view, &mem->pins);
}

int leap__guest_mem_shadow(struct leap__guest_mem *mem, uint32_t index,
			   leap_gpa_t doorbells, leap_gpa_t eventidx)
{
	uint64_t at = (uint64_t)index * LEAP__GUEST_STRIDE;

	mem->shadow = false;
	if (!doorbells.addr && !eventidx.addr)
		return 0;
	/* One page each, of the smallest size. */
	if (((doorbells.addr | eventidx.addr) & 4095) || at >= 4096 ||
	    !doorbells.addr || !eventidx.addr)
		return -EINVAL;
	mem->doorbell.addr = doorbells.addr + at;
	mem->eventidx.addr = eventidx.addr + at;
	mem->shadow = true;
	return 0;
}

void *leap__guest_state(const struct leap__guest *guest, uint64_t offset,
			uint64_t bytes)
{
	if (offset % 64 || bytes > guest->state_bytes ||
	    offset > guest->state_bytes - bytes)
		return NULL;
	return guest->state + offset;
}

/* Ranges end at 2^64 at most: last bytes are compared. */
static bool meet(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
	return a <= b + (b_bytes - 1) && b <= a + (a_bytes - 1);
}

static bool uses(const struct leap__guest_mem *mem, leap_gpa_t gpa,
		 uint64_t bytes)
{
	if (!mem->pins.nr)
		return false;
	return meet(mem->ring.addr, mem->bytes, gpa.addr, bytes) ||
	       (mem->shadow &&
		(meet(mem->doorbell.addr, 4, gpa.addr, bytes) ||
		 meet(mem->eventidx.addr, 4, gpa.addr, bytes)));
}

static struct leap__guest_cq *of_hook(struct leap__ats_hook *hook)
{
	return (struct leap__guest_cq *)(void *)
		((char *)hook - offsetof(struct leap__guest_cq, hook));
}

void leap__guest_going(struct leap__ats_hook *hook, leap_gpa_t gpa,
		       uint64_t bytes)
{
	struct leap__guest_cq *cq = of_hook(hook);
	struct leap__list *pos;

	if (uses(&cq->mem, gpa, bytes)) {
		leap__guest_mem_unmap(cq->view, &cq->mem);
		/* Other memory may be there already. */
		if (leap__guest_mem_map(cq->view, &cq->mem))
			cq->halt |= LEAP__CQ_NO_MEMORY;
		leap__guest_cq_moved(cq);
	}
	leap__list_for_each(pos, &cq->sqs) {
		struct leap__guest_sq *sq =
			leap__list_entry(pos, struct leap__guest_sq, link);

		if (sq->leave && sq->vqp.nr_cmds)
			sq->leave(sq->leave_arg, cq->view->leaving->slot,
				  cq->view->leaving->buf);
		if (!uses(&sq->mem, gpa, bytes))
			continue;
		leap__guest_mem_unmap(cq->view, &sq->mem);
		if (leap__guest_mem_map(cq->view, &sq->mem))
			sq->halt |= LEAP__SQ_NO_MEMORY;
		leap__guest_sq_moved(sq);
	}
}

void leap__guest_came(struct leap__ats_hook *hook)
{
	struct leap__guest_cq *cq = of_hook(hook);
	struct leap__list *pos;

	leap__list_for_each(pos, &cq->sqs) {
		struct leap__guest_sq *sq =
			leap__list_entry(pos, struct leap__guest_sq, link);

		if (!(sq->halt & LEAP__SQ_NO_MEMORY) ||
		    leap__guest_mem_map(cq->view, &sq->mem))
			continue;
		leap__guest_sq_moved(sq);
		sq->halt &= ~(uint32_t)LEAP__SQ_NO_MEMORY;
	}
	if (!(cq->halt & LEAP__CQ_NO_MEMORY) ||
	    leap__guest_mem_map(cq->view, &cq->mem))
		return;
	leap__guest_cq_moved(cq);
	cq->halt &= ~(uint32_t)LEAP__CQ_NO_MEMORY;
	if (cq->restore_late)
		leap__guest_cq_restored(cq);
	leap__guest_unblock(cq);
}
