/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of a borrower that the device is told of, and made to forget.
 *
 *	free -> adding -> ready -> deleting -> free
 *
 * The lender has a mapping of its own of it for as long, so that the pages stay
 * whatever the borrower does. Knows nothing of what is done with it.
 */
#include "transport/lend/lend.h"

#include <errno.h>

#include <leapio/dmabuf.h>

static bool is_in(const struct leap__lend_map *m, uint64_t iova, uint64_t bytes)
{
	return m->state == LEAP__LEND_MAP_READY && iova >= m->iova &&
	       iova - m->iova < leap_dmabuf_bytes(m->buf) &&
	       bytes <= leap_dmabuf_bytes(m->buf) - (iova - m->iova);
}

bool leap__borrower_owns(const struct leap__borrower *b, uint64_t iova,
			 uint64_t bytes)
{
	uint32_t i;

	for (i = 0; i < LEAP__LEND_MAX_MAPS; i++)
		if (is_in(&b->maps[i], iova, bytes))
			return true;
	return false;
}

/* The device writes there on its own; the addresses may be another's next. */
static bool has_rings(const struct leap__lend_map *m)
{
	uint32_t i;

	for (i = 1; i <= LEAP__LEND_MAX_QUEUES; i++) {
		const struct leap__lend_queue *q = &m->b->queues[i];

		if ((q->cq && is_in(m, q->cq_at, 1)) ||
		    (q->sq && is_in(m, q->sq_at, 1)))
			return true;
	}
	return false;
}

static void forget_map(struct leap__lend_map *m)
{
	m->b->map_bytes -= leap_dmabuf_bytes(m->buf);
	leap_dmabuf_put(m->buf);
	m->buf = NULL;
	m->state = LEAP__LEND_MAP_FREE;
}

static void mem_added(void *arg, int err)
{
	struct leap__lend_map *m = arg;
	struct leap__borrower *b = m->b;
	struct leap__regctrl *c = b->l->c;

	if (err) {
		if (c && !leap__regctrl_dead(c))
			leap__regmem_unmap(c, m->map);
		forget_map(m);
	} else {
		m->state = LEAP__LEND_MAP_READY;
		m->iova = leap__regmem_iova(c, m->map);
	}
	leap__borrower_reply(b, m->id, err, err ? 0 : m->iova);
	leap__borrower_step(b);
}

int leap__borrower_mem_add(struct leap__borrower *b,
			   const struct leap__lend_msg *msg, int fd)
{
	const uint32_t rw = LEAP_PERM_READ | LEAP_PERM_WRITE;
	uint64_t bytes = leap_from_le64(msg->mem.bytes);
	struct leap__lend_map *m = b->maps;
	uint32_t id = leap_from_le32(msg->id);
	int err;

	while (m < b->maps + LEAP__LEND_MAX_MAPS && m->state)
		m++;
	err = b->l->c->dev->scattered ? -EOPNOTSUPP : -ENOSPC;
	if (err == -ENOSPC && m < b->maps + LEAP__LEND_MAX_MAPS &&
	    bytes <= b->l->opts.max_map_bytes - b->map_bytes)
		err = leap_dmabuf_import(fd, leap_from_le64(msg->mem.offset),
					 bytes, rw, &m->buf);
	if (!err) {
		m->b = b;
		m->id = id;
		b->map_bytes += bytes;
		err = leap__regmem_map(b->l->c, m->buf, mem_added, m);
		if (err < 0) {
			forget_map(m);
		} else {
			m->map = (uint32_t)err;
			m->state = LEAP__LEND_MAP_ADDING;
			return 0;
		}
	}
	leap__borrower_reply(b, id, err, 0);
	return 0;
}

static void mem_deleted(void *arg, int err)
{
	struct leap__lend_map *m = arg;
	struct leap__borrower *b = m->b;

	forget_map(m);
	leap__borrower_reply(b, m->id, err, 0);
	leap__borrower_step(b);
}

static int del_map(struct leap__lend_map *m)
{
	int err = leap__regmem_unmap_told(m->b->l->c, m->map, mem_deleted, m);

	if (!err)
		m->state = LEAP__LEND_MAP_DELETING;
	return err;
}

int leap__borrower_mem_del(struct leap__borrower *b,
			   const struct leap__lend_msg *msg)
{
	uint64_t iova = leap_from_le64(msg->mem.iova);
	uint32_t id = leap_from_le32(msg->id), i;
	int err = -ENOENT;

	for (i = 0; i < LEAP__LEND_MAX_MAPS; i++) {
		struct leap__lend_map *m = &b->maps[i];

		if (m->state != LEAP__LEND_MAP_READY || m->iova != iova)
			continue;
		m->id = id;
		err = has_rings(m) ? -EBUSY : del_map(m);
		if (!err)
			return 0;
	}
	leap__borrower_reply(b, id, err, 0);
	return 0;
}

bool leap__borrower_mem_drop(struct leap__borrower *b)
{
	bool any = false;
	uint32_t i;

	for (i = 0; i < LEAP__LEND_MAX_MAPS; i++) {
		struct leap__lend_map *m = &b->maps[i];

		if (m->state == LEAP__LEND_MAP_READY && del_map(m))
			continue;	/* the device is being closed */
		any |= m->state != LEAP__LEND_MAP_FREE;
	}
	return any;
}

void leap__borrower_mem_lost(struct leap__borrower *b)
{
	uint32_t i;

	for (i = 0; i < LEAP__LEND_MAX_MAPS; i++)
		if (b->maps[i].state == LEAP__LEND_MAP_READY)
			forget_map(&b->maps[i]);
}
