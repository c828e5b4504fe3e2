/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client end of vfio-user: how the host end of a controller behind
 * registers (core/io/regdev.h) reaches a device at the other side of a socket.
 * What it says is host_msg.c's; here are what it hears, and its life.
 *
 *	connect -> VERSION -> GET_INFO -> REGION_INFO 0, 7 -> IRQ_INFO -> open
 *
 * Commands are answered in their order, so that what has been sent is a list
 * whose first entry the next reply belongs to. Doorbells are posted writes; one
 * that has not left yet takes the newest value. Knows nothing of NVMe beyond
 * where doorbells lie; what the server says is checked like a guest's words.
 */
#include "transport/vfio-user/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DBS		65536u

static struct vfu_dev *of_dev(struct leap__regdev *dev)
{
	return (struct vfu_dev *)dev;
}

static struct vfu_dev *of_chan(struct leap__fdchan *chan)
{
	return leap__list_entry(chan, struct vfu_dev, chan);
}

/* ---- messages in ---- */

static int read_answer(const struct vfu_dev *d, struct leap__regio *io,
		       uint32_t bytes)
{
	leap_le64 value = leap_to_le64(0);

	if (io->op != LEAP__REG_READ && io->op != LEAP__REG_CONFIG_READ)
		return 0;
	if (bytes != sizeof(struct leap__vfu_access) + io->bytes)
		return -EPROTO;
	memcpy(&value, d->rx.data + sizeof(struct leap__vfu_access), io->bytes);
	io->value = leap_from_le64(value);
	return 0;
}

static int errno_of(const struct leap__vfu_hdr *hdr)
{
	if (!(hdr->flags & LEAP__VFU_ERROR))
		return 0;
	return hdr->err && hdr->err < 4096 ? -(int)hdr->err : -EIO;
}

static int version_ok(const struct vfu_dev *d, uint32_t bytes)
{
	struct leap__vfu_version v;

	if (bytes < sizeof(v))
		return -EPROTO;
	memcpy(&v, d->rx.data, sizeof(v));
	return v.major == LEAP__VFU_MAJOR && v.minor <= LEAP__VFU_MINOR ?
		0 : -EPROTONOSUPPORT;
}

static int info_ok(const struct vfu_dev *d, uint32_t bytes)
{
	struct leap__vfu_device_info info;

	if (bytes < sizeof(info))
		return -EPROTO;
	memcpy(&info, d->rx.data, sizeof(info));
	return (info.flags & LEAP__VFU_DEV_PCI) &&
	       info.nr_regions > LEAP__VFU_CONFIG ? 0 : -EPROTONOSUPPORT;
}

static int make_dbs(struct vfu_dev *d, uint64_t bytes)
{
	uint64_t n = (bytes - LEAP_REG_DBL) / 4;

	d->nr_dbs = n < MAX_DBS ? (uint32_t)n : MAX_DBS;
	d->dbs = calloc(d->nr_dbs, sizeof(*d->dbs));
	d->db_fifo = calloc(d->nr_dbs, sizeof(*d->db_fifo));
	return d->dbs && d->db_fifo ? 0 : -ENOMEM;
}

static int region_ok(struct vfu_dev *d, uint32_t bytes)
{
	const uint32_t rw = LEAP__VFU_REGION_R | LEAP__VFU_REGION_W;
	struct leap__vfu_region_info info;

	if (bytes < sizeof(info))
		return -EPROTO;
	memcpy(&info, d->rx.data, sizeof(info));
	if ((info.flags & rw) != rw)
		return -EPROTONOSUPPORT;
	if (d->step == STEP_CONFIG)
		return info.bytes >= 256 ? 0 : -EPROTONOSUPPORT;
	if (info.bytes < LEAP_REG_DBL + 8)
		return -EPROTONOSUPPORT;
	return make_dbs(d, info.bytes);
}

static int step_answer(struct vfu_dev *d, uint32_t bytes)
{
	int err = errno_of(&d->rx.hdr);

	if (err)
		return err;
	switch (d->step) {
	case STEP_VERSION:
		return version_ok(d, bytes);
	case STEP_INFO:
		return info_ok(d, bytes);
	case STEP_IRQ:
		return bytes < sizeof(struct leap__vfu_irq_info) ? -EPROTO : 0;
	default:
		return region_ok(d, bytes);
	}
}

static void next_step(struct vfu_dev *d, uint32_t bytes)
{
	int err = step_answer(d, bytes);

	if (err) {
		leap__fdchan_kill(&d->chan, err);
		return;
	}
	if (++d->step == STEP_OPEN) {
		leap__reg_opened(&d->dev, 0);
		return;
	}
	d->asks = true;
	leap__vfu_host_pump(d);
}

static void reply(struct vfu_dev *d, uint32_t bytes)
{
	const struct leap__vfu_hdr *hdr = &d->rx.hdr;
	struct leap__regio *io = d->out;
	int err;

	if (hdr->id != d->first_id || d->first_id == d->next_id ||
	    (d->step == STEP_OPEN && !io)) {
		leap__fdchan_kill(&d->chan, -EPROTO);
		return;
	}
	d->first_id++;
	if (d->step != STEP_OPEN) {
		next_step(d, bytes);
		return;
	}
	err = errno_of(hdr);
	if (!err)
		err = read_answer(d, io, bytes);
	d->out = io->next;
	if (!d->out)
		d->out_tail = &d->out;
	io->done(io, err);
}

static void chan_sent(struct leap__fdchan *chan)
{
	leap__vfu_host_pump(of_chan(chan));
}

static void chan_message(struct leap__fdchan *chan, uint32_t bytes)
{
	struct vfu_dev *d = of_chan(chan);

	if ((d->rx.hdr.flags & LEAP__VFU_TYPE) == LEAP__VFU_REPLY) {
		reply(d, bytes - (uint32_t)sizeof(d->rx.hdr));
		return;
	}
	if (d->rx.hdr.flags & LEAP__VFU_NO_REPLY)
		return;
	if (d->refuse_dma) {	/* it does not wait for answers */
		leap__fdchan_kill(chan, -EPROTO);
		return;
	}
	d->dma = d->rx.hdr;
	d->refuse_dma = true;
	leap__vfu_host_pump(d);
}

/* ---- the end ---- */

static void fail_list(struct leap__regio *io, int err)
{
	struct leap__regio *next;

	for (; io; io = next) {
		next = io->next;
		io->done(io, err);
	}
}

static void fail_all(struct vfu_dev *d, int err)
{
	struct leap__regio *out = d->out, *ask = d->ask;

	d->out = d->ask = NULL;
	d->out_tail = &d->out;
	d->ask_tail = &d->ask;
	fail_list(out, err);
	fail_list(ask, err);
}

static void finish(struct vfu_dev *d)
{
	fail_all(d, -ECANCELED);
	free(d->dbs);
	free(d->db_fifo);
	d->dbs = NULL;
	d->db_fifo = NULL;
	leap__reg_closed(&d->dev);
}

static void close_later(struct leap_msg *msg)
{
	finish(leap__list_entry(msg, struct vfu_dev, closed));
}

static void chan_gone(struct leap__fdchan *chan, int err)
{
	struct vfu_dev *d = of_chan(chan);

	d->gone = true;
	if (d->closing) {
		finish(d);
		return;
	}
	if (!err)
		err = -ECONNRESET;
	if (d->step != STEP_OPEN)
		leap__reg_opened(&d->dev, err);
	else
		leap__reg_lost(&d->dev, err);
}

static const struct leap__fdchan_end client_end = {
	.head_bytes = sizeof(struct leap__vfu_hdr),
	.max_fds = LEAP__VFU_MAX_FDS, .size = leap__vfu_size,
	.message = chan_message, .idle = chan_sent, .gone = chan_gone,
};

/* ---- the table ---- */

static void connected(struct leap__connector *c, struct leap__wfd *wfd, int err)
{
	struct vfu_dev *d = leap__list_entry(c, struct vfu_dev, connector);

	if (err) {
		d->gone = true;
		if (d->closing)
			finish(d);
		else
			leap__reg_opened(&d->dev, err);
		return;
	}
	leap__fdchan_start(&d->chan, &client_end, d->dev.pg, wfd, &d->rx,
			   sizeof(d->rx));
	d->chan_up = true;
	d->asks = true;
	leap__vfu_host_pump(d);
}

static int vfu_open(struct leap__regdev *dev, const struct leap_qp_opts *opts,
		    const char *address)
{
	struct vfu_dev *d = of_dev(dev);

	d->ask_tail = &d->ask;
	d->out_tail = &d->out;
	return leap__connector_start(&d->connector, dev->pg, address,
				     connected);
}

static void vfu_submit(struct leap__regdev *dev, struct leap__regio *io)
{
	struct vfu_dev *d = of_dev(dev);

	io->next = NULL;
	*d->ask_tail = io;
	d->ask_tail = &io->next;
	leap__vfu_host_pump(d);
}

static void vfu_doorbell(struct leap__regdev *dev, uint32_t offset,
			 uint32_t value)
{
	struct vfu_dev *d = of_dev(dev);
	uint32_t i = (offset - LEAP_REG_DBL) / 4, at;

	if (i >= d->nr_dbs || d->gone)
		return;
	d->dbs[i].value = value;
	if (!d->dbs[i].waits) {
		d->dbs[i].waits = true;
		at = d->db_head + d->db_nr++;
		d->db_fifo[at < d->nr_dbs ? at : at - d->nr_dbs] = i;
	}
	leap__vfu_host_pump(d);
}

static void vfu_close(struct leap__regdev *dev)
{
	struct vfu_dev *d = of_dev(dev);

	d->closing = true;
	if (leap__connector_busy(&d->connector)) {
		leap__connector_stop(&d->connector);
	} else if (d->gone) {
		d->closed.run = close_later;
		leap_pollgroup_send(dev->pg, &d->closed);
	} else {
		leap__fdchan_kill(&d->chan, -ECANCELED);
	}
}

static const struct leap__regdev_ops vfu_dev_ops = {
	.dev_bytes = sizeof(struct vfu_dev),
	.open = vfu_open,
	.submit = vfu_submit,
	.doorbell = vfu_doorbell,
	.close = vfu_close,
};

int leap__vfu_qp_connect(struct leap_qp *qp, const char *address)
{
	return leap__regqp_connect(qp, address, &vfu_dev_ops);
}
