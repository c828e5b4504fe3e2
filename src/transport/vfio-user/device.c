/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.c - answers the messages of a vfio-user client for one vdev
 *
 * One message at a time and in order: what takes longer (an unmap, a reset)
 * holds the channel until it is answered. Everything about the controller is
 * behind the vdev; must not know NVMe.
 */
#include "transport/vfio-user/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void leap__vfu_dev_init(struct leap__vfu_dev *dev, struct leap_pollgroup *pg,
			const struct leap__vfu_vdev_ops *ops, const char *name)
{
	dev->pg = pg;
	dev->ops = ops;
	dev->name = name;
	leap__list_init(&dev->dma_wait);
	leap__list_init(&dev->dma_sent);
	leap__vfu_irqs_init(dev);
}

void leap__vfu_dev_fini(struct leap__vfu_dev *dev)
{
	leap__vfu_irqs_drop(dev);
	free(dev->maps);
}

void leap__vfu_dev_start(struct leap__vfu_dev *dev,
			 const struct leap__fdchan_end *end,
			 struct leap__wfd *wfd)
{
	dev->greeted = false;
	dev->warned = false;
	dev->answer_waits = false;
	dev->bad_dma = false;
	dev->dma_given_up = false;
	leap__fdchan_start(&dev->chan, end, dev->pg, wfd, &dev->in,
			   sizeof(dev->in));
}

/* ---- work that ends later ---- */

void leap__vfu_dev_begin(struct leap__vfu_dev *dev,
			 void (*finish)(struct leap__vfu_dev *dev))
{
	dev->pending = 1;
	dev->err = 0;
	dev->finish = finish;
}

void leap__vfu_dev_part(struct leap__vfu_dev *dev)
{
	dev->pending++;
}

void leap__vfu_dev_end(void *arg, int err)
{
	struct leap__vfu_dev *dev = arg;

	if (err)
		dev->err = err;
	if (!--dev->pending)
		dev->finish(dev);
}

/* ---- answers ---- */

void leap__vfu_dev_pump(struct leap__vfu_dev *dev)
{
	struct iovec iov[2] = {
		{ &dev->out_hdr, sizeof(dev->out_hdr) },
		{ dev->out, dev->out_hdr.size - sizeof(dev->out_hdr) },
	};

	if (!leap__fdchan_idle(&dev->chan))
		return;
	if (!dev->answer_waits) {
		leap__vfu_dma_send(dev);
		return;
	}
	dev->answer_waits = false;
	leap__fdchan_post(&dev->chan, iov, iov[1].iov_len ? 2 : 1, NULL, 0);
}

static void send_answer(struct leap__vfu_dev *dev, uint32_t flags, int err,
			uint32_t bytes)
{
	dev->out_hdr = (struct leap__vfu_hdr){
		.id = dev->req.hdr.id, .cmd = dev->req.hdr.cmd,
		.size = (uint32_t)sizeof(dev->out_hdr) + bytes,
		.flags = LEAP__VFU_REPLY | flags, .err = (uint32_t)err,
	};
	dev->answer_waits = true;
	leap__vfu_dev_pump(dev);
}

/* @rc: bytes of dev->out, or the negative errno of an error. */
static void answer(struct leap__vfu_dev *dev, int rc)
{
	if (rc < 0 && !dev->chan.dead)
		leap__pg_log_limited(dev->pg, &dev->pg->peer_limit,
				     LEAP_LOG_INFO, "%s: command %u: %s",
				     dev->name, dev->req.hdr.cmd,
				     strerror(-rc));
	if (dev->req.no_reply)
		leap__fdchan_resume(&dev->chan);
	else if (rc < 0)
		send_answer(dev, LEAP__VFU_ERROR, -rc, 0);
	else
		send_answer(dev, 0, 0, (uint32_t)rc);
}

void leap__vfu_dev_sent(struct leap__vfu_dev *dev)
{
	if (dev->dma_sending)
		leap__vfu_dma_was_sent(dev);
	else
		leap__fdchan_resume(&dev->chan);
	leap__vfu_dev_pump(dev);
}

static int put(struct leap__vfu_dev *dev, const void *p, size_t n)
{
	memcpy(dev->out, p, n);
	return (int)n;
}

/* ---- VERSION ---- */

static int version(struct leap__vfu_dev *dev)
{
	static const struct leap__vfu_caps ours = {
		.max_msg_fds = LEAP__VFU_MAX_FDS,
		.max_data_xfer_size = LEAP__VFU_MAX_DATA,
		.pgsizes = LEAP__VFU_PAGE,
		.max_dma_maps = LEAP__VFU_MAX_MAPS,
		.write_multiple = true,
	};
	struct leap__vfu_version v = dev->req.version;
	int rc;

	if (dev->greeted)
		return -EINVAL;
	if (v.minor > LEAP__VFU_MINOR)
		v.minor = LEAP__VFU_MINOR;
	dev->caps = dev->req.caps;
	dev->greeted = true;
	put(dev, &v, sizeof(v));
	rc = leap__vfu_caps_print((char *)dev->out + sizeof(v),
				  sizeof(dev->out) - sizeof(v), &ours);
	return rc < 0 ? rc : rc + (int)sizeof(v);
}

/* ---- what there is ---- */

static int device_info(struct leap__vfu_dev *dev)
{
	struct leap__vfu_device_info info = {
		.argsz = sizeof(info),
		.flags = LEAP__VFU_DEV_RESET | LEAP__VFU_DEV_PCI,
		.nr_regions = LEAP__VFU_NR_REGIONS,
		.nr_irqs = LEAP__VFU_NR_IRQS,
	};

	return put(dev, &info, sizeof(info));
}

static uint64_t region_bytes(uint32_t index)
{
	switch (index) {
	case LEAP__VFU_BAR0:
		return LEAP_VDEV_BAR_BYTES;
	case LEAP__VFU_CONFIG:
		return LEAP_VDEV_CONFIG_BYTES;
	default:
		return 0;
	}
}

static int region_info(struct leap__vfu_dev *dev)
{
	struct leap__vfu_region_info info = {
		.argsz = sizeof(info), .index = dev->req.region.index,
	};

	if (info.index >= LEAP__VFU_NR_REGIONS)
		return -EINVAL;
	info.bytes = region_bytes(info.index);
	/* Nothing can be mapped: a ring that never traps wakes no sleeper. */
	if (info.bytes)
		info.flags = LEAP__VFU_REGION_R | LEAP__VFU_REGION_W;
	return put(dev, &info, sizeof(info));
}

/* None: a doorbell is a posted message, and rings without exits are what
 * shadow doorbells are for. */
static int region_io_fds(struct leap__vfu_dev *dev)
{
	struct leap__vfu_io_fds io = {
		.argsz = sizeof(io), .index = dev->req.io_fds.index,
	};

	if (io.index >= LEAP__VFU_NR_REGIONS || !region_bytes(io.index) ||
	    dev->req.io_fds.flags)
		return -EINVAL;
	return put(dev, &io, sizeof(io));
}

static int irq_info(struct leap__vfu_dev *dev)
{
	struct leap__vfu_irq_info info = dev->req.irq;
	int err = leap__vfu_irq_info(dev, &info);

	return err ? err : put(dev, &info, sizeof(info));
}

/* ---- regions ---- */

static bool inside(uint32_t region, uint64_t offset, uint32_t count)
{
	uint64_t bytes = region_bytes(region);

	return count <= bytes && offset <= bytes - count;
}

static int region_read(struct leap__vfu_dev *dev)
{
	struct leap__vfu_access a = dev->req.access;
	uint8_t *to = dev->out + sizeof(a);

	if (!inside(a.region, a.offset, a.count))
		return -EINVAL;
	put(dev, &a, sizeof(a));
	memset(to, 0, a.count);
	if (a.region == LEAP__VFU_BAR0)
		dev->ops->bar_read(dev->vdev, a.offset, to, a.count);
	else
		dev->ops->config_read(dev->vdev, a.offset, to, a.count);
	return (int)(sizeof(a) + a.count);
}

static void write_one(struct leap__vfu_dev *dev, uint32_t region,
		      uint64_t offset, const void *data, uint32_t count)
{
	if (region == LEAP__VFU_BAR0)
		dev->ops->bar_write(dev->vdev, offset, data, count);
	else
		dev->ops->config_write(dev->vdev, offset, data, count);
}

static int region_write(struct leap__vfu_dev *dev)
{
	struct leap__vfu_access a = dev->req.access;

	if (!inside(a.region, a.offset, a.count))
		return -EINVAL;
	write_one(dev, a.region, a.offset, dev->req.data, a.count);
	return put(dev, &a, sizeof(a));
}

/* All of them are good, or none is done. */
static int write_multi(struct leap__vfu_dev *dev)
{
	const struct leap__vfu_req *req = &dev->req;
	struct leap__vfu_write1 one;
	uint64_t i;

	for (i = 0; i < req->nr_writes; i++) {
		leap__vfu_write_at(req, i, &one);
		if (!inside(one.region, one.offset, one.count))
			return -EINVAL;
	}
	for (i = 0; i < req->nr_writes; i++) {
		leap__vfu_write_at(req, i, &one);
		write_one(dev, one.region, one.offset, one.data, one.count);
	}
	return put(dev, &req->nr_writes, sizeof(req->nr_writes));
}

/* ---- what takes longer ---- */

static void drop_all(struct leap__vfu_dev *dev);

/* A client that went meanwhile needs no answer, but its end. */
static void late_answer(struct leap__vfu_dev *dev, int rc)
{
	if (dev->dropped)
		drop_all(dev);
	else if (!dev->chan.dead)
		answer(dev, rc);
}

/* What is mapped stays so, even if a runtime that hangs does not know it yet:
 * its successor will. */
static void map_finished(struct leap__vfu_dev *dev)
{
	late_answer(dev, 0);
}

static void map(struct leap__vfu_dev *dev)
{
	const struct leap__fdchan *chan = &dev->chan;
	int err = leap__vfu_map(dev, &dev->req.map,
				chan->nr_fds ? chan->fds[0] : -1);

	if (err) {
		answer(dev, err);
		return;
	}
	leap__vfu_dev_begin(dev, map_finished);
	dev->ops->mem_sync(dev->vdev, leap__vfu_dev_end, dev);
}

static void unmap_finished(struct leap__vfu_dev *dev)
{
	int err = dev->err;

	/* Still mapped when it failed: the client may ask again. */
	if (!err)
		leap__vfu_unmapped(dev, &dev->req.unmap);
	late_answer(dev, err ? err : put(dev, &dev->req.unmap,
					 sizeof(dev->req.unmap)));
}

static void unmap(struct leap__vfu_dev *dev)
{
	int err;

	leap__vfu_dev_begin(dev, unmap_finished);
	leap__vfu_dma_give_up(dev, -ECANCELED);
	err = leap__vfu_unmap(dev, &dev->req.unmap);
	leap__vfu_dev_end(dev, err);
}

static void reset_finished(struct leap__vfu_dev *dev)
{
	late_answer(dev, dev->err);
}

static void reset(struct leap__vfu_dev *dev)
{
	leap__vfu_dev_begin(dev, reset_finished);
	leap__vfu_dev_part(dev);
	dev->ops->reset(dev->vdev, leap__vfu_dev_end, dev);
	/* The queues are told first: nothing is posted of what is given up. */
	leap__vfu_dma_give_up(dev, -ECANCELED);
	leap__vfu_dev_end(dev, 0);
}

/* ---- messages ---- */

/* Bytes of the answer in dev->out, or a negative errno. */
static int serve(struct leap__vfu_dev *dev)
{
	struct leap__fdchan *chan = &dev->chan;

	switch (dev->req.hdr.cmd) {
	case LEAP__VFU_VERSION:
		return version(dev);
	case LEAP__VFU_GET_INFO:
		return device_info(dev);
	case LEAP__VFU_REGION_INFO:
		return region_info(dev);
	case LEAP__VFU_REGION_IO_FDS:
		return region_io_fds(dev);
	case LEAP__VFU_IRQ_INFO:
		return irq_info(dev);
	case LEAP__VFU_SET_IRQS:
		return leap__vfu_irqs_set(dev, &dev->req.set, dev->req.bools,
					  chan->fds, chan->nr_fds);
	case LEAP__VFU_REGION_READ:
		return region_read(dev);
	case LEAP__VFU_REGION_WRITE:
		return region_write(dev);
	case LEAP__VFU_WRITE_MULTI:
		return write_multi(dev);
	default:
		return -EOPNOTSUPP;
	}
}

static void refuse(struct leap__vfu_dev *dev, const char *why)
{
	leap__pg_log_limited(dev->pg, &dev->pg->peer_limit, LEAP_LOG_WARN,
			     "%s: client ended: %s", dev->name, why);
	leap__fdchan_kill(&dev->chan, -EPROTO);
}

void leap__vfu_dev_message(struct leap__vfu_dev *dev, uint32_t bytes)
{
	const struct leap__vfu_hdr *hdr = &dev->in.hdr;
	int err;

	bytes -= (uint32_t)sizeof(*hdr);
	if ((hdr->flags & LEAP__VFU_TYPE) != LEAP__VFU_COMMAND) {
		if (!leap__vfu_dma_reply(dev, bytes))
			refuse(dev, "a reply to nothing");
		return;
	}
	err = leap__vfu_parse(hdr, dev->in.data, bytes, dev->chan.nr_fds,
			      &dev->req);
	if (!dev->greeted && (err || dev->req.hdr.cmd != LEAP__VFU_VERSION)) {
		refuse(dev, "it did not open with a VERSION 0.x that can be "
		       "read");
		return;
	}
	leap__fdchan_hold(&dev->chan);
	if (err)
		answer(dev, err);
	else if (dev->req.hdr.cmd == LEAP__VFU_DMA_MAP)
		map(dev);
	else if (dev->req.hdr.cmd == LEAP__VFU_DMA_UNMAP)
		unmap(dev);
	else if (dev->req.hdr.cmd == LEAP__VFU_RESET)
		reset(dev);
	else
		answer(dev, serve(dev));
}

/* ---- the end of a client ---- */

static void drop_finished(struct leap__vfu_dev *dev)
{
	void (*dropped)(struct leap__vfu_dev *dev) = dev->dropped;

	if (dev->err)
		leap__pg_log(dev->pg, LEAP_LOG_WARN, "%s: unmap after the "
			     "client: %s", dev->name, strerror(-dev->err));
	dev->dropped = NULL;
	dropped(dev);
}

static void drop_maps(struct leap__vfu_dev *dev)
{
	if (dev->err)
		leap__pg_log(dev->pg, LEAP_LOG_WARN, "%s: reset after the "
			     "client: %s", dev->name, strerror(-dev->err));
	leap__vfu_dev_begin(dev, drop_finished);
	leap__vfu_unmap_all(dev);
	leap__vfu_dev_end(dev, 0);
}

static void drop_all(struct leap__vfu_dev *dev)
{
	leap__vfu_irqs_drop(dev);
	leap__vfu_dev_begin(dev, drop_maps);
	leap__vfu_dev_part(dev);
	dev->ops->reset(dev->vdev, leap__vfu_dev_end, dev);
	leap__vfu_dev_end(dev, 0);
}

void leap__vfu_dev_drop(struct leap__vfu_dev *dev,
			void (*dropped)(struct leap__vfu_dev *dev))
{
	dev->dropped = dropped;
	leap__vfu_dma_give_up(dev, -ENOTCONN);
	/* The last message's work first: it uses the same count. */
	if (!dev->pending)
		drop_all(dev);
}
