/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Payload at the host end of an NVMe/RDMA queue pair: where a controller may
 * read and write it.
 *
 * One key and one address for each request: a dmabuf's, when the payload is one
 * run of bytes in it, else bounce memory of this queue, to and from which it is
 * copied. A controller can reach what it has been given a key for at any time,
 * until the connection ends: so bounce memory belongs to one queue, holds
 * nothing else, and what a command has read is taken out of it once.
 */
#include "transport/rdma/host.h"

#include "core/io/dispatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int leap__rdma_host_memory(struct host *h)
{
	size_t cqes = ((size_t)h->qp.depth * LEAP_CQE_SIZE + 63) & ~(size_t)63;
	size_t sqes = (size_t)h->nr_slots * LEAP_SQE_SIZE;

	h->mem_bytes = (cqes + sqes + 4095) & ~(size_t)4095;
	h->sqe_at = (uint32_t)cqes;
	h->mem = aligned_alloc(4096, h->mem_bytes);
	h->bounce = aligned_alloc(4096, (size_t)LEAP__RDMA_PAGES *
				  LEAP__RDMA_PAGE);
	if (!h->mem || !h->bounce)
		return -ENOMEM;
	memset(h->mem, 0, h->mem_bytes);
	/* The controller may read all of it: nothing that was here before. */
	memset(h->bounce, 0, (size_t)LEAP__RDMA_PAGES * LEAP__RDMA_PAGE);
	return 0;
}

void leap__rdma_host_memory_free(struct host *h)
{
	free(h->mem);
	free(h->bounce);
	h->mem = NULL;
	h->bounce = NULL;
}

int leap__rdma_host_register(struct host *h)
{
	struct leap__rdma_conn *c = &h->c;
	struct leap__v_keys keys;
	int err;

	err = c->v->mr_create(c->dev->pd, h->mem, h->mem_bytes, 0, &keys,
			      &c->mr[0]);
	if (err)
		return err;
	h->lkey = keys.lkey;
	c->recvs.at[0] = (uintptr_t)h->mem;
	c->recvs.bytes[0] = LEAP_CQE_SIZE;
	c->recvs.lkey = keys.lkey;
	err = c->v->mr_create(c->dev->pd, h->bounce,
			      (uint64_t)LEAP__RDMA_PAGES * LEAP__RDMA_PAGE,
			      LEAP__V_REMOTE_READ | LEAP__V_REMOTE_WRITE,
			      &keys, &c->mr[1]);
	h->bounce_lkey = keys.lkey;
	h->bounce_rkey = keys.rkey;
	return err;
}

/*
 * The first @n free pages in a row; -1 = none. First, so that a queue that is
 * not deep stays in the cache.
 */
static int get_pages(struct host *h, uint32_t n)
{
	uint32_t at = h->first_free, i;

	while (at + n <= LEAP__RDMA_PAGES) {
		for (i = 0; i < n && !h->used[at + i]; i++)
			;
		if (i == n) {
			memset(&h->used[at], 1, n);
			if (at == h->first_free)
				h->first_free = at + n;
			return (int)at;
		}
		at += i + 1;
	}
	return -1;
}

static void put_pages(struct host *h, uint32_t at, uint32_t n)
{
	memset(&h->used[at], 0, n);
	if (at < h->first_free)
		h->first_free = at;
}

/* One run of bytes of one dmabuf? */
static struct leap_dmabuf *one_run(const struct leap_req *req)
{
	const struct leap_piece *p = req->pieces;
	uint32_t i;

	if (!p->buf)
		return NULL;
	for (i = 1; i < req->nr_pieces; i++)
		if (p[i].buf != p->buf || (uint8_t *)p[i].addr !=
		    (uint8_t *)p[i - 1].addr + p[i - 1].len_bytes)
			return NULL;
	return p->buf;
}

static int map_registered(struct host *h, struct hslot *s,
			  struct hpayload *out)
{
	struct leap_dmabuf *buf = one_run(s->req);

	if (!buf)
		return 0;
	s->reg = leap__rdma_reg_get(h->c.pg, h->c.pool, buf);
	if (!s->reg)
		return 0;
	out->addr = (uintptr_t)s->req->pieces->addr;
	out->lkey = s->reg->keys.lkey;
	out->rkey = s->reg->keys.rkey;
	return 1;
}

static void copy(struct host *h, const struct hslot *s, int out)
{
	uint8_t *at = h->bounce + (size_t)s->page * LEAP__RDMA_PAGE;
	const struct leap_piece *p = s->req->pieces;
	uint32_t left = s->len, n;

	for (; left; p++, at += n, left -= n) {
		n = p->len_bytes < left ? p->len_bytes : left;
		if (out)
			memcpy(p->addr, at, n);
		else
			memcpy(at, p->addr, n);
	}
}

int leap__rdma_map(struct host *h, struct hslot *s, struct hpayload *out)
{
	uint32_t n = (s->len + LEAP__RDMA_PAGE - 1) / LEAP__RDMA_PAGE;
	int page;

	if (map_registered(h, s, out))
		return 1;
	page = get_pages(h, n);
	if (page < 0)
		return 0;
	leap__qp_bounced(&h->qp);
	s->page = (uint32_t)page;
	s->nr_pages = n;
	if (s->dir == LEAP_DIR_TO_CTRL)
		copy(h, s, 0);
	out->addr = (uintptr_t)h->bounce + (uint64_t)s->page * LEAP__RDMA_PAGE;
	out->lkey = h->bounce_lkey;
	out->rkey = h->bounce_rkey;
	return 1;
}

void leap__rdma_landed(struct host *h, struct hslot *s)
{
	if (s->nr_pages && s->dir == LEAP_DIR_TO_HOST)
		copy(h, s, 1);
}

void leap__rdma_unmap(struct host *h, struct hslot *s)
{
	if (s->reg)
		leap__rdma_reg_put(s->reg);
	if (s->nr_pages)
		put_pages(h, s->page, s->nr_pages);
	s->reg = NULL;
	s->nr_pages = 0;
}
