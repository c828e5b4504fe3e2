/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A queue pair of a controller behind registers: its memory, its slots, and the
 * completions of its commands.
 *
 *	0         submission ring
 *	cq_at     completion ring
 *	extra_at  two pages: shadow doorbells and EventIdx (admin queue's only)
 *	desc_at   a PRP list or SGL segment for each slot
 *	chunk_at  bounce chunks
 *
 * Payload is named by regdata.c; a command whose payload the device is being
 * told of is parked until it answers. Admin payload is always bounced: PRPs
 * carry no length.
 *
 * What the controller writes is checked: a completion of a command that is not
 * out, of another queue, or with an SQHD that lies ends the controller.
 *
 * Spec: NVMe Base 2.0 s3.3.1 (queues), s5.8 (Doorbell Buffer Config)
 */
#include "core/io/regctrl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/dmabuf.h>
#include <leapio/ocssd.h>

#include "util/err.h"

#define REAP_MAX	64
#define NO_CHUNK	LEAP__NO_CHUNK
#define PAGE		LEAP__REG_PAGE

static uint64_t to_page(uint64_t n)
{
	return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* ---- slots and the ring ------------------------------------------------ */

static __attribute__((cold)) void put_chunks(struct leap__regq *q,
					     struct leap__regslot *slot)
{
	leap__chunks_put(&q->chunks, slot->chunks);
	slot->chunks = NO_CHUNK;
}

static __attribute__((cold)) void put_list(struct leap__regq *q,
					   struct leap__regslot *slot)
{
	leap__chunks_put(&q->chunks, slot->list);
	slot->list = NO_CHUNK;
}

/* Two lists have room in a chunk, and in the first page of it. */
LEAP_STATIC_ASSERT(2 * LEAP_OCSSD_MAX_ADDRS * 8 <= LEAP__REG_PAGE);

static void put_addresses(struct leap__regq *q, uint64_t at,
			  const uint64_t *list, uint32_t nr,
			  leap_le32 *low, leap_le32 *high)
{
	leap_le64 *to = (leap_le64 *)(void *)(q->base + at);
	uint64_t addr = leap__regq_addr(q, at);
	uint32_t i;

	for (i = 0; i < nr; i++)
		to[i] = leap_to_le64(list[i]);
	*low = leap_to_le32((uint32_t)addr);
	*high = leap_to_le32((uint32_t)(addr >> 32));
}

int leap__regq_lists(struct leap__regq *q, uint16_t cid,
		     const struct leap_req_lists *lists)
{
	struct leap__regslot *slot = &q->slots[cid];
	struct leap_sqe *sqe = &slot->req->sqe;
	uint64_t at;

	slot->list = leap__chunks_take(&q->chunks, 1);
	if (slot->list == NO_CHUNK) {
		leap__regq_put_slot(q, cid);
		return -EAGAIN;
	}
	at = q->chunk_at + (uint64_t)slot->list * LEAP__CHUNK_BYTES;
	put_addresses(q, at, lists->at, lists->nr, &sqe->cdw10, &sqe->cdw11);
	if (lists->to)
		put_addresses(q, at + LEAP_OCSSD_MAX_ADDRS * 8, lists->to,
			      lists->nr, &sqe->cdw14, &sqe->cdw15);
	return 0;
}

/*
 * A CID is the slot and, above it, how often that has been used: a completion
 * that comes twice, or too late, is not taken for that of the slot's next
 * command. FFFFh is never one: logs say "no command" with it.
 */
static uint16_t cid_of(const struct leap__regq *q, uint16_t slot, uint16_t gen)
{
	uint32_t cid = slot | (uint32_t)gen << q->cid_bits;

	return (uint16_t)(q->cid_bits < 15 ? cid & 0x7fff : slot);
}

int leap__regq_slot(struct leap__regq *q, struct leap_req *req)
{
	struct leap__regslot *slot;
	uint16_t cid, gen;

	if (!q->nr_free_slots)
		return -EAGAIN;
	cid = q->free_slots[--q->nr_free_slots];
	slot = &q->slots[cid];
	gen = (uint16_t)(slot->gen + 1);
	slot->req = req;
	slot->own = false;
	slot->parked = false;
	slot->tick = q->tick;
	slot->gen = gen;
	req->sqe.cid = leap_to_le16(cid_of(q, cid, gen));
	return cid;
}

void leap__regq_put_slot(struct leap__regq *q, uint16_t cid)
{
	struct leap__regslot *slot = &q->slots[cid];

	slot->req = NULL;
	if (__builtin_expect(slot->chunks != NO_CHUNK, 0))
		put_chunks(q, slot);
	if (__builtin_expect(slot->list != NO_CHUNK, 0))
		put_list(q, slot);
	if (__builtin_expect(slot->abort == LEAP__ABORT_OUT, 0))
		return;		/* leap__regq_abort_over */
	slot->abort = 0;
	q->free_slots[q->nr_free_slots++] = cid;
}

void leap__regq_abort_over(struct leap__regq *q, uint16_t cid)
{
	struct leap__regslot *slot = &q->slots[cid];

	slot->abort = LEAP__ABORT_OVER;
	if (slot->req)
		return;
	slot->abort = 0;
	q->free_slots[q->nr_free_slots++] = cid;
}

static void park(struct leap__regq *q, uint16_t cid)
{
	q->slots[cid].next = NO_CHUNK;
	q->slots[cid].parked = true;
	if (q->parked == NO_CHUNK)
		q->parked = cid;
	else
		q->slots[q->parked_last].next = cid;
	q->parked_last = cid;
}

int leap__regq_push(struct leap__regq *q, uint16_t cid)
{
	const struct leap__regslot *slot = &q->slots[cid];
	struct leap_req *req = slot->req;
	struct leap_sqe *sqe = &req->sqe;
	int err = 0;

	sqe->flags = (uint8_t)((sqe->flags & LEAP_SQE_FUSE_MASK) |
			       (q->sgl ? LEAP_SQE_PSDT_SGL :
					 LEAP_SQE_PSDT_PRP));
	if (!slot->own) {	/* ours may name queues and pages */
		sqe->prp1 = leap_to_le64(0);
		sqe->prp2 = leap_to_le64(0);
	}
	if (req->lib[1])
		err = leap__regdata_name(q, req, cid);
	if (__builtin_expect(err == -EAGAIN, 0)) {
		park(q, cid);
		return 0;
	}
	if (err || leap__sqp_push(&q->sqp, sqe)) {
		leap__regq_put_slot(q, cid);
		return -EAGAIN;
	}
	return 0;
}

/* Those without chunks are tried again when a completion has freed some. */
void leap__regq_unpark(struct leap__regq *q)
{
	uint16_t cid = q->parked, next;
	bool stuck = false;

	q->parked = NO_CHUNK;
	for (; cid != NO_CHUNK; cid = next) {
		struct leap_req *req = q->slots[cid].req;

		next = q->slots[cid].next;
		q->slots[cid].parked = false;
		if (stuck || leap__regdata_name(q, req, cid)) {
			stuck = true;
			park(q, cid);
		} else if (leap__sqp_push(&q->sqp, &req->sqe)) {
			put_chunks(q, &q->slots[cid]);
			stuck = true;
			park(q, cid);
		}
	}
	leap__pollgroup_defer(q->c->pg, &q->kick);
}

bool leap__regq_uses(const struct leap__regq *q,
		     const struct leap_dmabuf *buf)
{
	uint32_t cid, i;

	for (cid = 0; cid < q->sq_size; cid++) {
		const struct leap_req *req = q->slots[cid].req;

		if (!req || q->slots[cid].parked ||
		    q->slots[cid].chunks != NO_CHUNK)
			continue;
		for (i = 0; i < req->nr_pieces; i++)
			if (req->pieces[i].buf == buf)
				return true;
	}
	return false;
}

/*
 * What may not pass what, and who sees to it. "Device" is one that is no
 * processor of this machine (regdev.h), for which ARM needs the outer shareable
 * domain; the other side's half is in brackets.
 *
 *	entry, PRP list -> doorbell	release store of a shadow word; for a
 *		device leap__dma_publish before it and, in its table's doorbell,
 *		before the register [it reads the entry after the doorbell]
 *	shadow word -> EventIdx		leap__full_fence in leap__sqp_ring [it
 *		stores EventIdx, then looks at the word: one of us sees the
 *		other's store, so no entry waits unseen]
 *	phase -> rest of a completion, payload	acquire load; for a device
 *		leap__dma_observe behind it [it writes the phase last]
 *	completion, bounced payload -> doorbells that let it be overwritten
 *		leap__dma_observe here, as leap__dma_publish orders stores
 *		alone [it writes after it saw the doorbell]
 */
static void before_doorbell(bool window)
{
	if (window)
		leap__dma_observe();
}

void leap__regq_kick(struct leap__regq *q)
{
	struct leap__regdev *dev = q->c->dev;

	before_doorbell(q->sqp.window);
	if (q->live && leap__sqp_ring(&q->sqp))
		dev->ops->doorbell(dev, q->sq_db, q->sqp.tail);
}

static void kick_later(struct leap__defer *defer)
{
	leap__regq_kick(leap__list_entry(defer, struct leap__regq, kick));
}

/* ---- completions ------------------------------------------------------- */

static bool reads(const struct leap_sqe *sqe)
{
	return sqe->opc & LEAP_DIR_TO_HOST;
}

static void give_back(struct leap__regq *q, struct leap_req *req, bool own)
{
	leap_status_t status = leap_req_status(req);

	if (__builtin_expect(own, 0))
		leap__regctrl_cmd_done(q->c, (struct leap__regcmd *)req,
				       status);
	else if (__builtin_expect(q->closing, 0) &&
		 LEAP_STATUS_CODE(status) == LEAP_SC_ABORT_SQ_DELETED)
		leap_qp_fail(q->qp, req, -ECANCELED);
	else
		leap_qp_complete(q->qp, req);
}

static int finish(struct leap__regq *q, const struct leap__cqe *cqe)
{
	uint16_t i = cqe->cid & q->cid_mask;
	struct leap__regslot *slot;
	struct leap_req *req;
	int err = 0;
	bool own;

	if (i >= q->sq_size || !q->slots[i].req || q->slots[i].parked ||
	    leap_from_le16(q->slots[i].req->sqe.cid) != cqe->cid ||
	    cqe->sqid != q->qid || leap__sqp_head(&q->sqp, cqe->sqhd))
		return -EPROTO;
	slot = &q->slots[i];
	req = slot->req;
	own = slot->own;
	req->cqe.dw0 = leap_to_le32(cqe->dw0);
	req->cqe.dw1 = leap_to_le32(cqe->dw1);
	req->cqe.sqhd = leap_to_le16(cqe->sqhd);
	req->cqe.sqid = leap_to_le16(cqe->sqid);
	req->cqe.cid = leap_to_le16(cqe->cid);
	req->cqe.status = leap_to_le16((uint16_t)(cqe->status << 1));
	if (__builtin_expect(slot->chunks != NO_CHUNK, 0) &&
	    reads(&req->sqe) && !cqe->status)
		leap__chunks_drain(&q->chunks, slot->chunks, req);
	leap__regq_put_slot(q, i);
	/* All that went out has been fetched: an SQHD that says otherwise would
	 * leave a ring that is full of nothing. */
	if (__builtin_expect(q->nr_free_slots == q->sq_size, 0) &&
	    q->sqp.head != q->sqp.rung)
		err = -EPROTO;
	if (__builtin_expect(!q->qid, 0) && !own)
		leap__regfab_seen(q->c, req);
	give_back(q, req, own);
	return err;
}

/* The CQ has room for all that can be out, and cq_lazy more. */
static void ring_cq(struct leap__regq *q)
{
	struct leap__regdev *dev = q->c->dev;

	if (leap__ring_dist(q->cqc.rung, q->cqc.head, q->cq_size) <=
	    q->cq_lazy)
		return;
	before_doorbell(q->cqc.window);
	if (leap__cqc_ring(&q->cqc))
		dev->ops->doorbell(dev, q->cq_db, q->cqc.head);
}

int leap__regq_reap(struct leap__regq *q)
{
	struct leap__cqe cqe;
	int n = 0;

	while (n < REAP_MAX && q->live && leap__cqc_next(&q->cqc, &cqe)) {
		n++;
		if (finish(q, &cqe)) {
			leap__regctrl_fail(q->c, -EPROTO);
			return n;
		}
	}
	if (n && q->live) {
		ring_cq(q);
		if (__builtin_expect(q->parked != NO_CHUNK, 0))
			leap__regq_unpark(q);
	}
	return n;
}

void leap__regq_fail_all(struct leap__regq *q, int err, leap_status_t status)
{
	uint32_t cid;

	q->parked = NO_CHUNK;
	for (cid = 0; cid < q->sq_size; cid++) {
		struct leap_req *req = q->slots[cid].req;

		if (!req)
			continue;
		leap__regq_put_slot(q, (uint16_t)cid);
		if (q->slots[cid].own)
			continue;
		if (!status) {
			leap_qp_fail(q->qp, req, err);
			continue;
		}
		memset(&req->cqe, 0, sizeof(req->cqe));
		req->cqe.cid = req->sqe.cid;
		req->cqe.status = leap_cqe_status_word(status, 0);
		leap_qp_complete(q->qp, req);
	}
}

/* ---- making one -------------------------------------------------------- */

static void layout(struct leap__regq *q)
{
	q->cq_at = to_page((uint64_t)q->sq_size * LEAP_SQE_SIZE);
	q->extra_at = q->cq_at + to_page((uint64_t)q->cq_size * LEAP_CQE_SIZE);
	q->desc_at = q->extra_at + (q->qid ? 0 : 2 * PAGE);
	q->chunk_at = q->desc_at +
		to_page((uint64_t)q->sq_size * LEAP__REG_DESC_BYTES);
}

static void free_lists(struct leap__regq *q)
{
	uint32_t i;

	for (i = 0; i < q->sq_size; i++) {
		q->slots[i].chunks = NO_CHUNK;
		q->slots[i].list = NO_CHUNK;
		q->free_slots[i] = (uint16_t)(q->sq_size - 1 - i);
	}
	q->nr_free_slots = q->sq_size;
	q->parked = NO_CHUNK;
}

void leap__regq_name(struct leap__regq *q, uint16_t qid)
{
	uint32_t dstrd = (uint32_t)LEAP_GET(q->c->cap, LEAP_CAP_DSTRD);

	q->qid = qid;
	q->sq_db = LEAP_REG_SQTDBL((uint32_t)qid, dstrd);
	q->cq_db = LEAP_REG_CQHDBL((uint32_t)qid, dstrd);
}

int leap__regq_init(struct leap__regq *q, struct leap__regctrl *c,
		    struct leap_qp *qp, uint32_t sq_size, uint32_t cq_size)
{
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;

	memset(q, 0, sizeof(*q));
	q->c = c;
	q->qp = qp;
	q->sq_size = sq_size;
	q->cq_size = cq_size;
	while (1u << q->cid_bits < sq_size)
		q->cid_bits++;
	q->cid_mask = (uint16_t)((1u << q->cid_bits) - 1);
	q->list_step = c->quirks & LEAP__REGQ_LIST_512 ? 0 :
		LEAP__REG_DESC_BYTES / 8;
	q->cq_lazy = cq_size > sq_size ? (cq_size - sq_size) / 2 : 0;
	leap__regq_name(q, qp->opts.qid);
	q->kick.run = kick_later;
	leap__list_init(&q->link);
	layout(q);
	q->slots = calloc(sq_size, sizeof(*q->slots));
	q->free_slots = calloc(sq_size, sizeof(*q->free_slots));
	opts.bytes = q->chunk_at + (uint64_t)LEAP__CHUNKS *
		     LEAP__CHUNK_BYTES;
	/* Most of it is never touched; but rings must not be scattered. */
	opts.huge = c->dev->scattered ? LEAP_HUGE_AUTO : LEAP_HUGE_NEVER;
	opts.name = "leapio-queue";
	if (!q->slots || !q->free_slots || leap__chunks_init(&q->chunks) ||
	    leap_dmabuf_create(&opts, &q->mem)) {
		leap__regq_fini(q);
		return -ENOMEM;
	}
	q->base = leap_dmabuf_addr(q->mem);
	q->chunks.mem = q->base + q->chunk_at;
	free_lists(q);
	leap__regq_restart(q);
	return 0;
}

static bool in_one_piece(const uint64_t *pages, uint64_t from, uint64_t to)
{
	uint64_t i;

	for (i = from / PAGE + 1; i < to / PAGE; i++)
		if (pages[i] != pages[i - 1] + PAGE)
			return false;
	return true;
}

bool leap__regq_mapped(struct leap__regq *q)
{
	const struct leap__regmap *m = &q->c->maps[q->map];

	q->pages = m->io.pages;
	q->iova = q->pages ? q->pages[0] : leap__regmem_iova(q->c, q->map);
	return !q->pages || (in_one_piece(q->pages, 0, q->cq_at) &&
			     in_one_piece(q->pages, q->cq_at, q->extra_at));
}

void leap__regq_fini(struct leap__regq *q)
{
	leap__regwatch_forget(q);
	leap__pollgroup_undefer(q->c->pg, &q->kick);
	leap__list_remove(&q->link);
	leap_dmabuf_put(q->mem);
	free(q->slots);
	free(q->free_slots);
	leap__chunks_fini(&q->chunks);
	q->mem = NULL;
	q->pages = NULL;
	q->slots = NULL;
	q->free_slots = NULL;
	q->sq_size = 0;
	q->live = false;
}

void leap__regq_restart(struct leap__regq *q)
{
	bool window = q->c->dev->ops->device;
	struct leap__ring_opts sq = {
		.entries = q->base, .size = q->sq_size, .window = window,
	};
	struct leap__ring_opts cq = {
		.entries = q->base + q->cq_at, .size = q->cq_size,
		.window = window,
	};

	q->tick = (uint16_t)q->c->age;
	memset(q->base + q->cq_at, 0, (size_t)q->cq_size * LEAP_CQE_SIZE);
	leap__sqp_init(&q->sqp, &sq);
	leap__cqc_init(&q->cqc, &cq);
}

/* Words of @page for this queue; NULL beyond its end. */
static leap_le32 *shadow_word(const struct leap__regq *q, uint64_t page,
			      uint32_t db)
{
	const struct leap__regq *a = q->c->admin;
	uint8_t *pages = q->c->dev->shadow;
	uint64_t at = db - LEAP_REG_DBL;

	if (at + sizeof(leap_le32) > PAGE)
		return NULL;
	if (!pages)
		pages = a->base + a->extra_at;
	return (leap_le32 *)(void *)(pages + page * PAGE + at);
}

/* Spec: NVMe Base 2.0 s5.8: the entries of a new queue are this side's to
 * clear, before the controller learns of it. */
void leap__regq_shadow(struct leap__regq *q)
{
	if (!q->c->shadow || !shadow_word(q, 0, q->cq_db))
		return;
	q->sqp.doorbell = shadow_word(q, 0, q->sq_db);
	q->sqp.eventidx = shadow_word(q, 1, q->sq_db);
	q->cqc.doorbell = shadow_word(q, 0, q->cq_db);
	q->cqc.eventidx = shadow_word(q, 1, q->cq_db);
	if (q->c->dev->shadow)
		return;		/* it has done that, before it made the CQ */
	*q->sqp.doorbell = *q->sqp.eventidx = leap_to_le32(0);
	*q->cqc.doorbell = *q->cqc.eventidx = leap_to_le32(0);
}
