/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the client end of vfio-user says: the questions of opening, accesses,
 * memory and interrupts, doorbells. Puts as many messages as fit into one send,
 * doorbells first. Knows how they are encoded; what becomes of them is
 * host.c's.
 */
#include "transport/vfio-user/host.h"

#include <errno.h>
#include <string.h>

#include <leapio/dmabuf.h>

#include "dmabuf/region.h"

#define MSG_MAX		64u	/* longest command of ours but VERSION */

static void put(struct vfu_dev *d, const void *p, size_t n)
{
	memcpy(d->tx + d->tx_bytes, p, n);
	d->tx_bytes += (uint32_t)n;
}

static void put_header(struct vfu_dev *d, uint16_t cmd, uint32_t flags,
		       size_t payload)
{
	struct leap__vfu_hdr hdr = {
		.id = d->next_id, .cmd = cmd, .flags = flags,
		.size = (uint32_t)(sizeof(hdr) + payload),
	};

	/* Answers are counted by their ids: posted writes get none. */
	if (!(flags & LEAP__VFU_NO_REPLY))
		d->next_id++;
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

	while ((io = d->ask) && LEAP__VFU_HOST_TX - d->tx_bytes >= MSG_MAX) {
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
	while (d->db_nr && LEAP__VFU_HOST_TX - d->tx_bytes >= MSG_MAX) {
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

	d->asks = false;
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

void leap__vfu_host_pump(struct vfu_dev *d)
{
	struct iovec iov = { .iov_base = d->tx };

	if (!d->chan_up || !leap__fdchan_idle(&d->chan))
		return;
	d->tx_bytes = 0;
	d->nr_tx_fds = 0;
	if (d->refuse_dma)
		put_refusal(d);
	if (d->asks)
		put_step(d);
	put_doorbells(d);
	put_asks(d);
	iov.iov_len = d->tx_bytes;
	if (d->tx_bytes)
		leap__fdchan_post(&d->chan, &iov, 1, &d->tx_fd, d->nr_tx_fds);
}
