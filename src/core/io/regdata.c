/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the payload of a command is named to a controller behind registers: where
 * it is, if that is a dmabuf which the device knows, by SGLs when the
 * controller takes them and by PRPs otherwise; or as bounce chunks.
 *
 * SGLs also tell the controller the length. PRPs need pieces that meet at page
 * borders, and carry no length: a command that moves more than its payload has
 * must not be sent with them. Lists and segments lie in the room of their slot
 * (desc_at in regqueue.c's layout), which never crosses a page.
 *
 * For a scattered device (regdev.h) each page has an address of its own: PRPs
 * say just that, and SGLs are not used.
 *
 * Spec: NVMe Base 2.0 s4.1.1 (PRPs), s4.1.2 (SGLs)
 */
#include "core/io/regctrl.h"

#include <errno.h>
#include <string.h>

#include <leapio/dmabuf.h>

#include "core/io/dispatch.h"

#define PAGE		LEAP__REG_PAGE
#define CHUNK		LEAP__CHUNK_BYTES
#define MAX_PRPS	(LEAP__REG_DESC_BYTES / 8)
#define MAX_SGLS	(LEAP__REG_DESC_BYTES / 16)

/* ---- PRPs and SGLs ----------------------------------------------------- */

/*
 * A short list starts at one of eight places of its slot's room: with all at
 * the same distance from a page's start, lists would share few cache sets.
 */
static uint64_t desc_at(const struct leap__regq *q, uint16_t cid,
			uint32_t bytes)
{
	uint32_t shift = (cid & 7u) * q->list_step;

	if (shift + bytes > LEAP__REG_DESC_BYTES)
		shift = 0;
	return q->desc_at + (uint64_t)cid * LEAP__REG_DESC_BYTES + shift;
}

struct prps {
	leap_le64 *list;	/* all but the first */
	uint32_t nr;
	uint32_t max;		/* of the list */
	uint64_t first;
	uint64_t end;
};

static bool add_prps(struct prps *p, uint64_t addr, uint32_t len)
{
	uint64_t end = addr + len;

	if (!p->nr) {
		if (addr & 3)
			return false;
		p->first = addr;
		p->nr = 1;
		addr = (addr | (PAGE - 1)) + 1;
	} else if ((addr | p->end) & (PAGE - 1)) {
		return false;
	}
	for (; addr < end; addr += PAGE) {
		if (p->nr > p->max)
			return false;
		p->list[p->nr++ - 1] = leap_to_le64(addr);
	}
	p->end = end;
	return true;
}

/* How much room the list of @len bytes takes, at most. */
static uint32_t prp_bytes(uint64_t len)
{
	uint64_t n = len / PAGE + 1;

	return (uint32_t)(n < MAX_PRPS ? n : MAX_PRPS) * 8;
}

static void start_prps(struct leap__regq *q, struct prps *p, uint64_t at,
		       uint32_t bytes)
{
	p->list = (leap_le64 *)(void *)(q->base + at);
	p->nr = 0;
	p->max = bytes / 8;
	p->first = 0;
	p->end = 0;
}

static void set_prps(const struct leap__regq *q, struct leap_sqe *sqe,
		     const struct prps *p, uint64_t at)
{
	sqe->prp1 = leap_to_le64(p->first);
	if (p->nr == 2)
		sqe->prp2 = p->list[0];
	else if (p->nr > 2)
		sqe->prp2 = leap_to_le64(leap__regq_addr(q, at));
}

/* @len bytes from byte @at of memory whose pages are anywhere. */
static bool add_scattered(struct prps *p, const uint64_t *pages, uint64_t at,
			  uint32_t len)
{
	uint32_t part;

	for (; len; at += part, len -= part) {
		part = PAGE - (uint32_t)(at % PAGE);
		if (part > len)
			part = len;
		if (!add_prps(p, pages[at / PAGE] + at % PAGE, part))
			return false;
	}
	return true;
}

static void set_sgl(struct leap_sgl_desc *desc, uint32_t type, uint64_t addr,
		    uint32_t len)
{
	memset(desc, 0, sizeof(*desc));
	desc->addr = leap_to_le64(addr);
	desc->len = leap_to_le32(len);
	desc->type = LEAP_SGL_ID(type, LEAP_SGL_SUB_ADDRESS);
}

/* What most commands have: one piece in one page of memory that the device
 * knows. False: nothing was done, walk. */
static bool one_prp(struct leap__regq *q, struct leap_req *req)
{
	const struct leap_piece *p = req->pieces;
	uint64_t addr, delta;

	if (q->bounce_all || q->sgl || q->pages || req->nr_pieces != 1 ||
	    !p->buf || leap__regmem_delta(q->c, p->buf, &delta))
		return false;
	addr = (uintptr_t)p->addr + delta;
	if (addr & 3 || p->len_bytes > PAGE - (addr & (PAGE - 1)))
		return false;
	req->sqe.prp1 = leap_to_le64(addr);
	return true;
}

/* 0 named; -EAGAIN park it; -EOPNOTSUPP bounce it. */
static int in_place_prp(struct leap__regq *q, struct leap_req *req,
			 uint16_t cid)
{
	uint32_t bytes = prp_bytes(req->lib[1]), i;
	uint64_t at = desc_at(q, cid, bytes);
	struct prps p;

	start_prps(q, &p, at, bytes);
	for (i = 0; i < req->nr_pieces; i++) {
		const struct leap_piece *piece = &req->pieces[i];
		uint64_t delta;

		int err;

		if (!piece->len_bytes)
			continue;
		if (!piece->buf)
			return -EOPNOTSUPP;
		err = leap__regmem_delta(q->c, piece->buf, &delta);
		if (err)
			return err;
		if (!add_prps(&p, (uintptr_t)piece->addr + delta,
			      piece->len_bytes))
			return -EOPNOTSUPP;
	}
	set_prps(q, &req->sqe, &p, at);
	return 0;
}

/* As in_place_prp, of a scattered device. The table of pages ends with its
 * buffer. */
static int in_place_pages(struct leap__regq *q, struct leap_req *req,
			  uint16_t cid)
{
	uint32_t bytes = prp_bytes(req->lib[1]), i;
	uint64_t at = desc_at(q, cid, bytes), off;
	const uint64_t *pages;
	struct prps p;
	int err;

	start_prps(q, &p, at, bytes);
	for (i = 0; i < req->nr_pieces; i++) {
		const struct leap_piece *piece = &req->pieces[i];

		if (!piece->len_bytes)
			continue;
		if (!piece->buf)
			return -EOPNOTSUPP;
		err = leap__regmem_pages(q->c, piece->buf, &pages);
		if (err)
			return err;
		off = (uintptr_t)piece->addr -
		      (uintptr_t)leap_dmabuf_addr(piece->buf);
		if (off >= leap_dmabuf_bytes(piece->buf) ||
		    piece->len_bytes > leap_dmabuf_bytes(piece->buf) - off ||
		    !add_scattered(&p, pages, off, piece->len_bytes))
			return -EOPNOTSUPP;
	}
	set_prps(q, &req->sqe, &p, at);
	return 0;
}

static int in_place_sgl(struct leap__regq *q, struct leap_req *req,
			 uint16_t cid)
{
	uint32_t nr = req->nr_pieces, i;
	struct leap_sgl_desc *desc = &req->sqe.sgl1;
	uint64_t at = 0, delta;
	int err;

	if (nr > MAX_SGLS)
		return -EOPNOTSUPP;
	if (nr > 1) {
		at = desc_at(q, cid, nr * 16);
		desc = (struct leap_sgl_desc *)(void *)(q->base + at);
	}
	for (i = 0; i < nr; i++) {
		const struct leap_piece *p = &req->pieces[i];

		if (!p->buf)
			return -EOPNOTSUPP;
		err = leap__regmem_delta(q->c, p->buf, &delta);
		if (err)
			return err;
		set_sgl(&desc[i], LEAP_SGL_TYPE_DATA,
			(uintptr_t)p->addr + delta, p->len_bytes);
	}
	if (nr > 1)
		set_sgl(&req->sqe.sgl1, LEAP_SGL_TYPE_LAST, q->iova + at,
			nr * 16);
	return 0;
}

/* ---- bounce ------------------------------------------------------------ */

static void name_chunks(struct leap__regq *q, struct leap_req *req,
			uint16_t cid, uint32_t nr)
{
	uint32_t bytes = q->sgl ? nr * 16 : prp_bytes(req->lib[1]), i;
	uint64_t at = desc_at(q, cid, bytes), left = req->lib[1];
	struct leap_sgl_desc *desc = (void *)(q->base + at);
	uint16_t chunk = q->slots[cid].chunks;
	struct prps p;

	if (nr == 1)
		desc = &req->sqe.sgl1;
	start_prps(q, &p, at, bytes);
	for (i = 0; i < nr; i++, chunk = q->chunks.next[chunk]) {
		uint32_t part = left < CHUNK ? (uint32_t)left : CHUNK;
		uint64_t from = q->chunk_at + (uint64_t)chunk * CHUNK;

		if (q->sgl)
			set_sgl(&desc[i], LEAP_SGL_TYPE_DATA, q->iova + from,
				part);
		else if (q->pages)
			add_scattered(&p, q->pages, from, part);
		else
			add_prps(&p, q->iova + from, part);
		left -= part;
	}
	if (!q->sgl)
		set_prps(q, &req->sqe, &p, at);
	else if (nr > 1)
		set_sgl(&req->sqe.sgl1, LEAP_SGL_TYPE_LAST, q->iova + at,
			nr * 16);
}

static bool by_chunks(struct leap__regq *q, struct leap_req *req, uint16_t cid)
{
	uint32_t nr = leap__chunks_for(req->lib[1]);
	uint16_t first = leap__chunks_take(&q->chunks, nr);

	if (first == LEAP__NO_CHUNK)
		return false;
	leap__qp_bounced(q->qp);
	q->slots[cid].chunks = first;
	/* Reads too: what the controller leaves alone stays as it was. */
	leap__chunks_fill(&q->chunks, first, req);
	name_chunks(q, req, cid, nr);
	return true;
}

/* What is not that: a function of its own, so that most commands have none of
 * its registers to save. */
static __attribute__((noinline)) int name_other(struct leap__regq *q,
						struct leap_req *req,
						uint16_t cid)
{
	int err = -EOPNOTSUPP;

	if (!q->bounce_all)
		err = q->sgl ? in_place_sgl(q, req, cid) :
		      q->pages ? in_place_pages(q, req, cid) :
				 in_place_prp(q, req, cid);
	/* The two of a fused pair have to stay together. */
	if (err == -EAGAIN && !(req->sqe.flags & LEAP_SQE_FUSE_MASK))
		return err;
	if (err && !by_chunks(q, req, cid))
		return -ENOBUFS;
	return 0;
}

int leap__regdata_name(struct leap__regq *q, struct leap_req *req,
		       uint16_t cid)
{
	return one_prp(q, req) ? 0 : name_other(q, req, cid);
}
