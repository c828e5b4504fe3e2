/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.c - the client end of vfio-user: how the host end of a controller behind
 * registers (core/io/regdev.h) reaches a device at the other side of a socket
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

#include <leapio/dmabuf.h>

#include "core/io/connector.h"
#include "core/io/fdchan.h"
#include "core/io/regctrl.h"
#include "dmabuf/region.h"
#include "transport/vfio-user/parse.h"
#include "util/err.h"

#define TX_BYTES	4096u
#define RX_BYTES	(LEAP__VFU_MAX_JSON + 64u)
#define MAX_DBS		65536u
#define MSG_MAX		64u		/* longest command of ours but VERSION */

enum step {
	STEP_VERSION,
	STEP_INFO,
	STEP_BAR,
	STEP_CONFIG,
	STEP_IRQ,
	STEP_OPEN,
};

struct db {
	uint32_t value;
	bool waits;
};

struct vfu_dev {
	struct leap__regdev dev;	/* first */
	struct leap__fdchan chan;
	struct leap__connector connector;
	struct leap_msg closed;
	enum step step;
	bool chan_up;
	bool closing;
	bool gone;
	bool asks_version;		/* the step's question has to be sent */
	bool refuse_dma;		/* an error reply has to be sent */
	uint16_t next_id;
	uint16_t first_id;		/* of the oldest without an answer */
	uint16_t step_cmd;
	uint32_t nr_vectors;
	struct leap__vfu_hdr dma;	/* of the command to be refused */
	struct leap__regio *ask, **ask_tail;	/* to be sent */
	struct leap__regio *out, **out_tail;	/* answers are awaited */
	struct db *dbs;
	uint32_t *db_fifo;		/* ring of those that wait */
	uint32_t nr_dbs, db_head, db_nr;
	uint32_t tx_bytes;
	int tx_fd;
	uint32_t nr_tx_fds;
	uint8_t tx[TX_BYTES];
	struct {
		struct leap__vfu_hdr hdr;
		uint8_t data[RX_BYTES];
	} rx;				/* a message */
};

static struct vfu_dev *of_dev(struct leap__regdev *dev)
{
	return (struct vfu_dev *)dev;
}

static struct vfu_dev *of_chan(struct leap__fdchan *chan)
{
	return leap__list_entry(chan, struct vfu_dev, chan);
}

/* ---- messages out ----------------------------------------------------------------- */

static void put(struct vfu_dev *d, const void *p, size_t n)
{
	memcpy(d->tx + d->tx_bytes, p, n);
	d->tx_bytes += (uint32_t)n;
}

static void put_header(struct vfu_dev *d, uint16_t cmd, uint32_t flags,
		       size_t payload)
{
	struct leap__vfu_hdr hdr = {
		.id = d->next_id++, .cmd = cmd, .flags = flags,
		.size = (uint32_t)(sizeof(hdr) + payload),
	};

	/* Answers are counted by their ids: posted writes get none. */
	if (flags & LEAP__VFU_NO_REPLY)
		d->next_id--;
	put(d, &hdr, sizeof(hdr));
}

static void put_access(struct vfu_dev *d, const struct leap__regio *io)
{
	bool config = io->op == LEAP__REG_CONFIG_READ ||
		      io->op == LEAP__REG_CONFIG_WRITE;
	bool write = io->op == LEAP__REG_WRITE ||
		     io->op == LEAP__REG_CONFIG_WRITE;
	struct leap__vfu_access a = {
		.offset = io->offset, .count = io->bytes,
		.region = config ? LEAP__VFU_CONFIG : LEAP__VFU_BAR0,
	};
	leap_le64 le = leap_to_le64(io->value);

	put_header(d, write ? LEAP__VFU_REGION_WRITE : LEAP__VFU_REGION_READ,
		   0, sizeof(a) + (write ? io->bytes : 0));
	put(d, &a, sizeof(a));
	if (write)
		put(d, &le, io->bytes);
}

static void put_map(struct vfu_dev *d, const struct leap__regio *io)
{
	struct leap__vfu_dma_map map = {
		.argsz = sizeof(map),
		.flags = LEAP__VFU_MAP_READ | LEAP__VFU_MAP_WRITE,
		.offset = leap__dmabuf_offset(io->buf), .addr = io->offset,
		.bytes = leap_dmabuf_bytes(io->buf),
	};

	put_header(d, LEAP__VFU_DMA_MAP, 0, sizeof(map));
	put(d, &map, sizeof(map));
	d->tx_fd = leap_dmabuf_fd(io->buf);
	d->nr_tx_fds = 1;
}

static void put_unmap(struct vfu_dev *d, const struct leap__regio *io)
{
	struct leap__vfu_dma_unmap unmap = {
		.argsz = sizeof(unmap), .addr = io->offset,
		.bytes = leap_dmabuf_bytes(io->buf),
	};

	put_header(d, LEAP__VFU_DMA_UNMAP, 0, sizeof(unmap));
	put(d, &unmap, sizeof(unmap));
}

static void put_irq(struct vfu_dev *d, const struct leap__regio *io)
{
	struct leap__vfu_set_irqs set = {
		.argsz = sizeof(set), .index = LEAP__VFU_IRQ_MSIX, .count = 1,
		.start = (uint32_t)io->value,
		.flags = LEAP__VFU_SET_EVENTFD | LEAP__VFU_SET_TRIGGER,
	};

	put_header(d, LEAP__VFU_SET_IRQS, 0, sizeof(set));
	put(d, &set, sizeof(set));
	if (io->fd < 0)
		return;
	d->tx_fd = io->fd;
	d->nr_tx_fds = 1;
}

static bool has_fd(const struct leap__regio *io)
{
	return io->op == LEAP__REG_MAP ||
	       (io->op == LEAP__REG_IRQ && io->fd >= 0);
}

static void put_ask(struct vfu_dev *d, const struct leap__regio *io)
{
	switch (io->op) {
	case LEAP__REG_MAP:
		put_map(d, io);
		break;
	case LEAP__REG_UNMAP:
		put_unmap(d, io);
		break;
	case LEAP__REG_IRQ:
		put_irq(d, io);
		break;
	case LEAP__REG_RESET:
		put_header(d, LEAP__VFU_RESET, 0, 0);
		break;
	default:
		put_access(d, io);
	}
}

/* Descriptors go with the first byte that is sent: theirs is a send alone. */
static void put_asks(struct vfu_dev *d)
{
	struct leap__regio *io;

	while ((io = d->ask) && TX_BYTES - d->tx_bytes >= MSG_MAX) {
		if (has_fd(io) && d->tx_bytes)
			return;
		d->ask = io->next;
		if (!d->ask)
			d->ask_tail = &d->ask;
		put_ask(d, io);
		io->next = NULL;
		*d->out_tail = io;
		d->out_tail = &io->next;
		if (d->nr_tx_fds)
			return;
	}
}

static void put_doorbells(struct vfu_dev *d)
{
	while (d->db_nr && TX_BYTES - d->tx_bytes >= MSG_MAX) {
		uint32_t i = d->db_fifo[d->db_head];
		struct leap__vfu_access a = {
			.offset = LEAP_REG_DBL + (uint64_t)i * 4,
			.region = LEAP__VFU_BAR0, .count = 4,
		};
		leap_le32 value = leap_to_le32(d->dbs[i].value);

		put_header(d, LEAP__VFU_REGION_WRITE, LEAP__VFU_NO_REPLY,
			   sizeof(a) + sizeof(value));
		put(d, &a, sizeof(a));
		put(d, &value, sizeof(value));
		d->dbs[i].waits = false;
		d->db_head = d->db_head + 1 == d->nr_dbs ? 0 : d->db_head + 1;
		d->db_nr--;
	}
}

/* All our memory came with descriptors: nobody has to ask for bytes. */
static void put_refusal(struct vfu_dev *d)
{
	struct leap__vfu_hdr hdr = d->dma;

	hdr.size = sizeof(hdr);
	hdr.flags = LEAP__VFU_REPLY | LEAP__VFU_ERROR;
	hdr.err = EOPNOTSUPP;
	put(d, &hdr, sizeof(hdr));
	d->refuse_dma = false;
}

static void put_version(struct vfu_dev *d)
{
	static const struct leap__vfu_caps caps = {
		.max_msg_fds = LEAP__VFU_MAX_FDS,
		.max_data_xfer_size = LEAP__VFU_MAX_DATA,
		.pgsizes = LEAP__VFU_PAGE,
		.max_dma_maps = LEAP__VFU_MAX_MAPS,
	};
	struct leap__vfu_version v = {
		.major = LEAP__VFU_MAJOR, .minor = LEAP__VFU_MINOR,
	};
	char json[512];
	int n = leap__vfu_caps_print(json, sizeof(json), &caps);

	put_header(d, LEAP__VFU_VERSION, 0,
		   sizeof(v) + (n > 0 ? (size_t)n : 0));
	put(d, &v, sizeof(v));
	if (n > 0)
		put(d, json, (size_t)n);
}

/* The question of the step that opening is at. */
static void put_step(struct vfu_dev *d)
{
	struct leap__vfu_region_info region = { .argsz = sizeof(region) };
	struct leap__vfu_irq_info four = {
		.argsz = sizeof(four), .index = LEAP__VFU_IRQ_MSIX,
	};

	d->asks_version = false;
	switch (d->step) {
	case STEP_VERSION:
		put_version(d);
		return;
	case STEP_BAR:
	case STEP_CONFIG:
		region.index = d->step == STEP_BAR ? LEAP__VFU_BAR0 :
						     LEAP__VFU_CONFIG;
		put_header(d, LEAP__VFU_REGION_INFO, 0, sizeof(region));
		put(d, &region, sizeof(region));
		return;
	case STEP_INFO:
		four.index = 0;
		put_header(d, LEAP__VFU_GET_INFO, 0, sizeof(four));
		put(d, &four, sizeof(four));
		return;
	default:
		put_header(d, LEAP__VFU_IRQ_INFO, 0, sizeof(four));
		put(d, &four, sizeof(four));
	}
}

static void pump(struct vfu_dev *d)
{
	struct iovec iov = { .iov_base = d->tx };

	if (!d->chan_up || !leap__fdchan_idle(&d->chan))
		return;
	d->tx_bytes = 0;
	d->nr_tx_fds = 0;
	if (d->refuse_dma)
		put_refusal(d);
	if (d->asks_version)
		put_step(d);
	put_doorbells(d);
	put_asks(d);
	iov.iov_len = d->tx_bytes;
	if (d->tx_bytes)
		leap__fdchan_post(&d->chan, &iov, 1, &d->tx_fd, d->nr_tx_fds);
}

static void chan_sent(struct leap__fdchan *chan)
{
	pump(of_chan(chan));
}

/* ---- messages in ------------------------------------------------------------------ */

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

static int irq_ok(struct vfu_dev *d, uint32_t bytes)
{
	struct leap__vfu_irq_info info;

	if (bytes < sizeof(info))
		return -EPROTO;
	memcpy(&info, d->rx.data, sizeof(info));
	d->nr_vectors = info.count;
	return 0;
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
		return irq_ok(d, bytes);
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
	d->asks_version = true;
	pump(d);
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
	pump(d);
}

/* ---- the end ------------------------------------------------------------------------ */

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

/* ---- the table --------------------------------------------------------------------- */

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
	d->asks_version = true;
	pump(d);
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
	pump(d);
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
	pump(d);
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
