/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * keep.c - a client and what it has told us, for the process that follows
 *
 * The connection itself, its VERSION, the ranges and the eventfds. What the
 * function knows of them is the vdev's to keep; here is what the device must
 * know besides, so that the client's next message finds it as it was.
 */
#include "transport/vfio-user/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	T_CLIENT = LEAP__SAVED_TRANSPORT, T_VECTOR, T_MAPS,
};

struct client {
	struct leap__vfu_caps caps;
	uint32_t sock_fd, intx_fd, other_fd[2];
	uint32_t greeted, warned, intx_masked, bad_dma;
	uint32_t dma_given_up, dma_id;
};

struct vector {
	uint32_t index, fd;
};

/* A range, whatever bytes it is read from. */
struct map {
	uint64_t addr, bytes;
	uint32_t perm, by_message;
};

/* ---- save ---- */

static int put_maps(const struct leap__vfu_dev *dev, struct leap__saved *s)
{
	struct map *maps = calloc(dev->nr_maps + 1, sizeof(*maps));
	uint32_t i;
	int err;

	if (!maps)
		return -ENOMEM;
	for (i = 0; i < dev->nr_maps; i++)
		maps[i] = (struct map){
			dev->maps[i].addr, dev->maps[i].bytes,
			dev->maps[i].perm, dev->maps[i].by_message,
		};
	err = leap__saved_put(s, T_MAPS, maps,
			      dev->nr_maps * (uint32_t)sizeof(*maps));
	free(maps);
	return err;
}

static int put_client(const struct leap__vfu_dev *dev, struct leap__saved *s)
{
	struct client c;
	int err, sock;

	memset(&c, 0, sizeof(c));
	sock = dev->chan.world->ops->borrow_fd ?
	       dev->chan.world->ops->borrow_fd(dev->chan.wfd) : -EOPNOTSUPP;
	if (sock < 0)
		return sock;
	c.caps = dev->caps;
	c.greeted = dev->greeted;
	c.warned = dev->warned;
	c.intx_masked = dev->intx_masked;
	c.bad_dma = dev->bad_dma;
	c.dma_given_up = dev->dma_given_up;
	c.dma_id = dev->dma_id;
	err = leap__saved_put_fd(s, sock, &c.sock_fd);
	if (!err)
		err = leap__saved_put_fd(s, dev->intx_fd, &c.intx_fd);
	if (!err)
		err = leap__saved_put_fd(s, dev->other_fd[0], &c.other_fd[0]);
	if (!err)
		err = leap__saved_put_fd(s, dev->other_fd[1], &c.other_fd[1]);
	return err ? err : leap__saved_put(s, T_CLIENT, &c, sizeof(c));
}

int leap__vfu_dev_save(struct leap__vfu_dev *dev, struct leap__saved *s)
{
	struct vector v;
	uint32_t i;
	int err;

	leap__fdchan_pause(&dev->chan);
	if (!leap__fdchan_is_paused(&dev->chan) || dev->answer_waits ||
	    dev->pending || dev->dma_sending ||
	    !leap__list_empty(&dev->dma_wait) ||
	    !leap__list_empty(&dev->dma_sent))
		return -EAGAIN;
	if (!s)
		return 0;
	err = put_client(dev, s);
	for (i = 0; !err && i < dev->nr_vectors; i++) {
		if (dev->message_fd[i] < 0)
			continue;
		v.index = i;
		err = leap__saved_put_fd(s, dev->message_fd[i], &v.fd);
		if (!err)
			err = leap__saved_put(s, T_VECTOR, &v, sizeof(v));
	}
	return err ? err : put_maps(dev, s);
}

/* ---- restore ---- */

static int take_vectors(struct leap__vfu_dev *dev, const struct leap__saved *s)
{
	const uint8_t *p;
	struct vector v;
	uint32_t n, len;
	int err = 0;

	for (n = 0; !err && (p = leap__saved_find(s, T_VECTOR, n, &len)); n++) {
		if (len < sizeof(v))
			return -EPROTO;
		memcpy(&v, p, sizeof(v));
		if (v.index >= dev->nr_vectors || dev->message_fd[v.index] >= 0)
			return -EPROTO;
		err = leap__saved_fd(s, v.fd, &dev->message_fd[v.index]);
	}
	return err;
}

static int take_maps(struct leap__vfu_dev *dev, const struct leap__saved *s)
{
	struct map m;
	const uint8_t *p;
	uint32_t at, len;
	int err = 0;

	p = leap__saved_find(s, T_MAPS, 0, &len);
	if (!p || len % sizeof(m))
		return -EPROTO;
	for (at = 0; !err && at < len; at += (uint32_t)sizeof(m)) {
		memcpy(&m, p + at, sizeof(m));
		err = leap__vfu_remap(dev, &(struct leap__vfu_map){
			.addr = m.addr, .bytes = m.bytes, .perm = m.perm,
			.by_message = m.by_message != 0 });
	}
	return err;
}

int leap__vfu_dev_restore(struct leap__vfu_dev *dev,
			  const struct leap__saved *s, int *sock)
{
	const uint8_t *p;
	struct client c;
	uint32_t len;
	int err;

	*sock = -1;
	p = leap__saved_find(s, T_CLIENT, 0, &len);
	/* Any other value is no bool. */
	if (!p || len < sizeof(c) ||
	    p[offsetof(struct client, caps.write_multiple)] > 1)
		return -EPROTO;
	memcpy(&c, p, sizeof(c));
	dev->caps = c.caps;
	dev->greeted = c.greeted;
	dev->warned = c.warned;
	dev->intx_masked = c.intx_masked;
	dev->bad_dma = c.bad_dma;
	dev->dma_given_up = c.dma_given_up;
	dev->dma_id = (uint16_t)c.dma_id;
	err = leap__saved_fd(s, c.intx_fd, &dev->intx_fd);
	if (!err)
		err = leap__saved_fd(s, c.other_fd[0], &dev->other_fd[0]);
	if (!err)
		err = leap__saved_fd(s, c.other_fd[1], &dev->other_fd[1]);
	if (!err)
		err = take_vectors(dev, s);
	if (!err)
		err = take_maps(dev, s);
	if (!err)
		err = leap__saved_fd(s, c.sock_fd, sock);
	if (!err && *sock < 0)
		err = -EPROTO;
	/* It may have become due before there was an eventfd. */
	if (!err)
		leap__vfu_intx(dev, dev->ops->intx_level(dev->vdev));
	return err;
}
