/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that a device can reach: which dmabufs it knows, and by which
 * addresses.
 *
 * Payload buffers are made known when they are first used and stay so until the
 * controller ends; while the device has not answered, and for good when it
 * refuses, their bytes pass through bounce memory. Knows nothing of commands.
 */
#include "core/io/regctrl.h"

#include <errno.h>

#include <leapio/dmabuf.h>

#define ALIGN	(2ull << 20)	/* so that huge pages stay huge in IOMMUs */

static void forget(struct leap__regmap *m)
{
	leap_dmabuf_put(m->buf);
	m->buf = NULL;
	m->state = LEAP__REGMAP_FREE;
}

static void map_done(struct leap__regio *io, int err)
{
	struct leap__regmap *m = io->arg;
	void (*mapped)(void *arg, int err) = m->mapped;

	m->mapped = NULL;
	m->state = err ? LEAP__REGMAP_REFUSED : LEAP__REGMAP_READY;
	m->delta = io->offset - (uintptr_t)leap_dmabuf_addr(m->buf);
	if (mapped)
		mapped(m->arg, err);
}

static void unmap_done(struct leap__regio *io, int err)
{
	/* Refused or lost: the device will be closed before it ends. */
	if (!err)
		forget(io->arg);
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

int leap__regmem_map(struct leap__regctrl *c, struct leap_dmabuf *buf,
		     void (*mapped)(void *arg, int err), void *arg)
{
	uint64_t bytes = leap_dmabuf_bytes(buf);
	struct leap__regmap *m;

	if (leap__regctrl_dead(c))
		return -ENOTCONN;
	m = take_map(c);
	if (!m)
		return -ENOSPC;
	m->c = c;
	m->buf = leap_dmabuf_get(buf);
	m->state = LEAP__REGMAP_ASKED;
	m->mapped = mapped;
	m->arg = arg;
	m->io = (struct leap__regio){
		.op = LEAP__REG_MAP, .fd = -1, .offset = c->next_iova,
		.buf = buf, .done = map_done, .arg = m,
	};
	/* Never handed out twice: a late access finds nothing. */
	c->next_iova += (bytes + 2 * ALIGN - 1) & ~(ALIGN - 1);
	c->dev->ops->submit(c->dev, &m->io);
	return (int)(m - c->maps);
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
	m->state = LEAP__REGMAP_GOING;
	m->io.op = LEAP__REG_UNMAP;
	m->io.done = unmap_done;
	c->dev->ops->submit(c->dev, &m->io);
}

uint64_t leap__regmem_iova(const struct leap__regctrl *c, uint32_t map)
{
	return c->maps[map].io.offset;
}

int leap__regmem_find(struct leap__regctrl *c, struct leap_dmabuf *buf,
		      uint64_t *delta)
{
	uint32_t i;
	int err;

	for (i = 0; i < c->nr_maps; i++) {
		const struct leap__regmap *m = &c->maps[i];

		if (m->buf != buf)
			continue;
		if (m->state != LEAP__REGMAP_READY)
			return -EAGAIN;
		c->last_map = i;
		*delta = m->delta;
		return 0;
	}
	err = leap__regmem_map(c, buf, NULL, NULL);
	return err < 0 ? err : -EAGAIN;
}

void leap__regmem_free(struct leap__regctrl *c)
{
	uint32_t i;

	for (i = 0; i < c->nr_maps; i++)
		if (c->maps[i].state != LEAP__REGMAP_FREE)
			forget(&c->maps[i]);
}
