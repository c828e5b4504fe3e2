/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that a device can reach: which dmabufs it knows, and by which
 * addresses.
 *
 * Payload buffers are made known when they are first used and stay so until
 * somebody wants them back or nobody else has them: then, when no command in
 * flight names them any more, the device is made to forget them first. While it
 * has not answered, commands wait; what it refuses passes through bounce
 * memory, for good. Knows nothing of commands but which memory they name.
 */
#include "core/io/regctrl.h"

#include <errno.h>
#include <stdlib.h>

#include <leapio/dmabuf.h>

#include "util/atomic.h"

#define ALIGN	(2ull << 20)	/* so that huge pages stay huge in IOMMUs */
#define IOVA_END	(1ull << 48)	/* of a device that does not say */

static void forget(struct leap__regmap *m)
{
	struct leap_dmabuf *buf = m->buf;

	if (m->cache)
		leap__dmabuf_unhold(buf, &m->holder);
	free(m->io.pages);
	m->io.pages = NULL;
	m->buf = NULL;
	m->cache = false;
	m->state = LEAP__REGMAP_FREE;
	leap_dmabuf_put(buf);
}

static void map_done(struct leap__regio *io, int err)
{
	struct leap__regmap *m = io->arg;
	struct leap__regctrl *c = m->c;
	void (*mapped)(void *arg, int err) = m->mapped;

	m->mapped = NULL;
	m->state = err ? LEAP__REGMAP_REFUSED : LEAP__REGMAP_READY;
	m->delta = io->offset - (uintptr_t)leap_dmabuf_addr(m->buf);
	if (mapped)
		mapped(m->arg, err);
	if (leap__regctrl_dead(c) || !m->cache)
		return;
	leap__regctrl_unpark(c);
	if (leap__load_relaxed(&m->wanted))
		leap__regmem_recalled(c);
}

static void unmap_done(struct leap__regio *io, int err)
{
	struct leap__regmap *m = io->arg;
	void (*unmapped)(void *arg, int err) = m->mapped;
	void *arg = m->arg;

	m->mapped = NULL;
	/* Refused or lost: the device will be closed before it ends. */
	if (!err)
		forget(m);
	else if (!leap__regctrl_dead(m->c))
		leap__regctrl_fail(m->c, err);
	if (unmapped)
		unmapped(arg, err);
}

static struct leap__regmap *take_map(struct leap__regctrl *c)
{
	uint32_t i;

	for (i = 0; i < c->nr_maps; i++)
		if (c->maps[i].state == LEAP__REGMAP_FREE)
			return &c->maps[i];
	if (c->nr_maps == LEAP__REG_REGIONS)
		return NULL;
	return &c->maps[c->nr_maps++];
}

/* Of device addresses, with a gap behind it. */
static uint64_t room_of(const struct leap_dmabuf *buf)
{
	return (leap_dmabuf_bytes(buf) + 2 * ALIGN - 1) & ~(ALIGN - 1);
}

/* The end of the map that has a part of @room at @at; 0 = there is none. */
static uint64_t taken_to(const struct leap__regctrl *c, uint64_t at,
			 uint64_t room)
{
	uint32_t i;

	for (i = 0; i < c->nr_maps; i++) {
		const struct leap__regmap *m = &c->maps[i];
		uint64_t first = m->io.offset & ~(ALIGN - 1);

		if (m->state != LEAP__REGMAP_FREE &&
		    m->state != LEAP__REGMAP_REFUSED && first < at + room &&
		    at < first + room_of(m->buf))
			return first + room_of(m->buf);
	}
	return 0;
}

/*
 * Always onwards, and from the beginning when the end is reached: what has been
 * let go is used again as late as can be, so a late access finds nothing.
 */
static int take_iova(struct leap__regctrl *c, uint64_t room, uint64_t *iova)
{
	uint64_t end = c->dev->iova_end ? c->dev->iova_end : IOVA_END;
	uint64_t at = c->next_iova, taken = at;
	bool again = false;

	while (taken) {
		if (at > end || room > end - at) {
			if (again)
				return -ENOSPC;
			again = true;
			at = LEAP__REG_IOVA;
			continue;
		}
		taken = taken_to(c, at, room);
		if (taken)
			at = taken;
	}
	*iova = at;
	c->next_iova = at + room;
	return 0;
}

int leap__regmem_map(struct leap__regctrl *c, struct leap_dmabuf *buf,
		     void (*mapped)(void *arg, int err), void *arg)
{
	struct leap__regmap *m;
	uint64_t iova;

	if (leap__regctrl_dead(c))
		return -ENOTCONN;
	m = take_map(c);
	if (!m || take_iova(c, room_of(buf), &iova))
		return -ENOSPC;
	m->c = c;
	m->buf = leap_dmabuf_get(buf);
	m->cache = false;
	leap__store_relaxed(&m->wanted, 0u);
	m->state = LEAP__REGMAP_ASKED;
	m->mapped = mapped;
	m->arg = arg;
	m->io = (struct leap__regio){
		.op = LEAP__REG_MAP, .fd = -1, .offset = iova,
		.buf = buf, .done = map_done, .arg = m,
	};
	c->dev->ops->submit(c->dev, &m->io);
	return (int)(m - c->maps);
}

static void unmap(struct leap__regmap *m)
{
	m->state = LEAP__REGMAP_GOING;
	m->io.op = LEAP__REG_UNMAP;
	m->io.done = unmap_done;
	m->c->dev->ops->submit(m->c->dev, &m->io);
}

void leap__regmem_unmap(struct leap__regctrl *c, uint32_t map)
{
	struct leap__regmap *m = &c->maps[map];

	if (m->state == LEAP__REGMAP_REFUSED) {
		forget(m);
		return;
	}
	if (leap__regctrl_dead(c) || m->state != LEAP__REGMAP_READY)
		return;		/* with the rest: leap__regmem_free */
	unmap(m);
}

int leap__regmem_unmap_told(struct leap__regctrl *c, uint32_t map,
			    void (*unmapped)(void *arg, int err), void *arg)
{
	struct leap__regmap *m = &c->maps[map];

	if (leap__regctrl_dead(c) || m->state != LEAP__REGMAP_READY)
		return -ENOTCONN;
	m->mapped = unmapped;
	m->arg = arg;
	unmap(m);
	return 0;
}

uint64_t leap__regmem_iova(const struct leap__regctrl *c, uint32_t map)
{
	return c->maps[map].io.offset;
}

/* ---- memory that somebody wants back ---- */

/* Any thread, under the buffer's lock: the map is there until that is ours. */
static void wanted(struct leap__dmabuf_holder *holder)
{
	struct leap__regmap *m =
		leap__list_entry(holder, struct leap__regmap, holder);
	struct leap__regctrl *c = m->c;

	leap__store_release(&m->wanted, 1u);
	if (!leap__exchange(&c->recall_sent, 1u))
		leap_pollgroup_send(c->pg, &c->recall);
}

static bool in_use(struct leap__regctrl *c, const struct leap_dmabuf *buf)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &c->queues)
		if (leap__regq_uses(leap__list_entry(pos, struct leap__regq,
						     link), buf))
			return true;
	return false;
}

void leap__regmem_recalled(struct leap__regctrl *c)
{
	uint32_t i;

	c->leaving = 0;
	for (i = 0; i < c->nr_maps && !leap__regctrl_dead(c); i++) {
		struct leap__regmap *m = &c->maps[i];

		if (m->state == LEAP__REGMAP_FREE || !m->cache ||
		    !leap__load_acquire(&m->wanted))
			continue;
		if (m->state == LEAP__REGMAP_REFUSED)
			forget(m);
		if (m->state == LEAP__REGMAP_READY)
			m->state = LEAP__REGMAP_LEAVING;
		if (m->state != LEAP__REGMAP_LEAVING)
			continue;
		if (in_use(c, m->buf))
			c->leaving++;
		else
			unmap(m);
	}
}

void leap__regmem_recall_run(struct leap_msg *msg)
{
	struct leap__regctrl *c =
		leap__list_entry(msg, struct leap__regctrl, recall);

	/* Before the look: what is wanted after it sends another. */
	leap__exchange(&c->recall_sent, 0u);
	if (leap__regctrl_dead(c))
		leap__regctrl_settle(c);
	else
		leap__regmem_recalled(c);
}

/* ---- payload ---- */

int leap__regmem_find(struct leap__regctrl *c, struct leap_dmabuf *buf,
		      uint64_t *delta)
{
	uint32_t i;
	int err;

	for (i = 0; i < c->nr_maps; i++) {
		const struct leap__regmap *m = &c->maps[i];

		if (m->buf != buf)
			continue;
		if (m->state == LEAP__REGMAP_ASKED)
			return -EAGAIN;
		if (m->state != LEAP__REGMAP_READY)
			return -EOPNOTSUPP;
		c->last_map = i;
		*delta = m->delta;
		return 0;
	}
	err = leap__regmem_map(c, buf, NULL, NULL);
	if (err < 0)
		return -EOPNOTSUPP;
	c->maps[err].cache = true;
	c->maps[err].holder.wanted = wanted;
	leap__dmabuf_hold(buf, &c->maps[err].holder);
	return -EAGAIN;
}

void leap__regmem_free(struct leap__regctrl *c)
{
	uint32_t i;

	for (i = 0; i < c->nr_maps; i++)
		if (c->maps[i].state != LEAP__REGMAP_FREE)
			forget(&c->maps[i]);
}
