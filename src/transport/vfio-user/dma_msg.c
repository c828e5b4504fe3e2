/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dma_msg.c - memory of a client that only the client can reach
 *
 * What it mapped without a descriptor is read and written by asking it:
 * DMA_READ and DMA_WRITE. The address space asks from the threads of its views;
 * a message takes it to the home thread, where requests wait for the channel
 * and for their answers, which come between the client's own commands. An
 * unmap ends what is asked of the range: while it waits for an unmap, a client
 * answers nothing.
 */
#include "transport/vfio-user/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct leap__vfu_dma_op {
	struct leap_msg msg;		/* first */
	struct leap__list link;		/* of dev->dma_wait or dma_sent */
	struct leap__vfu_dev *dev;
	struct leap_ats_io *io;
	struct leap__vfu_hdr hdr;
	struct leap__vfu_dma dma;
	void *buf;
	int err;
	bool write;
	bool sending;			/* the channel reads it, and buf */
	bool ended;
};

static void end(struct leap__vfu_dma_op *op, int err)
{
	leap__list_remove(&op->link);
	if (op->sending) {
		op->ended = true;
		op->err = err;
		return;
	}
	leap_ats_io_done(op->io, err);
	free(op);
}

static void arrive(struct leap_msg *msg)
{
	struct leap__vfu_dma_op *op = (struct leap__vfu_dma_op *)msg;
	struct leap__vfu_dev *dev = op->dev;

	leap__list_push_back(&dev->dma_wait, &op->link);
	if (dev->chan.dead || !dev->greeted || dev->dropped || dev->bad_dma)
		end(op, -ENOTCONN);
	else if (dev->pending)
		end(op, -EBUSY);	/* an unmap or reset waits for us */
	else
		leap__vfu_dev_pump(dev);
}

static int ask(struct leap__vfu_dev *dev, leap_gpa_t gpa, void *buf,
	       uint32_t bytes, struct leap_ats_io *io, bool write)
{
	struct leap__vfu_dma_op *op = calloc(1, sizeof(*op));

	if (!op)
		return -ENOMEM;
	leap__list_init(&op->link);
	op->msg.run = arrive;
	op->dev = dev;
	op->io = io;
	op->dma = (struct leap__vfu_dma){ gpa.addr, bytes };
	op->buf = buf;
	op->write = write;
	leap_pollgroup_send(dev->pg, &op->msg);
	return 0;
}

static int ask_read(void *arg, leap_gpa_t gpa, void *buf, uint32_t bytes,
		    struct leap_ats_io *io)
{
	return ask(arg, gpa, buf, bytes, io, false);
}

static int ask_write(void *arg, leap_gpa_t gpa, const void *buf,
		     uint32_t bytes, struct leap_ats_io *io)
{
	return ask(arg, gpa, (void *)(uintptr_t)buf, bytes, io, true);
}

void leap__vfu_dma_ops(const struct leap__vfu_dev *dev,
		       struct leap_ats_ops *ops)
{
	uint64_t max = dev->caps.max_data_xfer_size;

	*ops = (struct leap_ats_ops)LEAP_ATS_OPS_INIT;
	ops->read = ask_read;
	ops->write = ask_write;
	ops->max_bytes = max && max < LEAP__VFU_MAX_DATA ?
		(uint32_t)max : LEAP__VFU_MAX_DATA;
}

bool leap__vfu_dma_send(struct leap__vfu_dev *dev)
{
	struct leap__list *item = leap__list_pop(&dev->dma_wait);
	struct leap__vfu_dma_op *op;
	struct iovec iov[3];

	if (!item)
		return false;
	op = leap__list_entry(item, struct leap__vfu_dma_op, link);
	leap__list_push_back(&dev->dma_sent, &op->link);
	op->sending = true;
	op->hdr = (struct leap__vfu_hdr){
		.id = ++dev->dma_id,
		.cmd = op->write ? LEAP__VFU_DMA_WRITE : LEAP__VFU_DMA_READ,
		.size = (uint32_t)(sizeof(op->hdr) + sizeof(op->dma)),
	};
	if (op->write)
		op->hdr.size += (uint32_t)op->dma.count;
	iov[0] = (struct iovec){ &op->hdr, sizeof(op->hdr) };
	iov[1] = (struct iovec){ &op->dma, sizeof(op->dma) };
	iov[2] = (struct iovec){ op->buf, op->dma.count };
	dev->dma_sending = op;
	leap__fdchan_post(&dev->chan, iov, op->write ? 3 : 2, NULL, 0);
	return true;
}

void leap__vfu_dma_was_sent(struct leap__vfu_dev *dev)
{
	struct leap__vfu_dma_op *op = dev->dma_sending;

	dev->dma_sending = NULL;
	op->sending = false;
	if (op->ended)
		end(op, op->err);
}

/*
 * The count in the answer of QEMU 10.1 has 32 bits, and the data begins where
 * the other half of ours is.
 */
static bool old_layout(const struct leap__vfu_dma_op *op,
		       const struct leap__vfu_dma *dma)
{
	return (uint32_t)dma->count == op->dma.count && dma->count >> 32;
}

static int check(struct leap__vfu_dev *dev, const struct leap__vfu_dma_op *op,
		 uint32_t bytes)
{
	const struct leap__vfu_hdr *hdr = &dev->in.hdr;
	uint64_t want = sizeof(op->dma) + (op->write ? 0 : op->dma.count);
	struct leap__vfu_dma dma;

	if (hdr->flags & LEAP__VFU_ERROR)
		return hdr->err && hdr->err < 4096 ? -(int)hdr->err : -EIO;
	/* The text of the standard has a 32-bit count here, code has not. */
	if (op->write && bytes == 12)
		return 0;
	if (bytes != want)
		return -EPROTO;
	memcpy(&dma, dev->in.data, sizeof(dma));
	if (dma.addr == op->dma.addr && dma.count == op->dma.count)
		return 0;
	if (!op->write && old_layout(op, &dma)) {
		dev->bad_dma = true;
		leap__pg_log(dev->pg, LEAP_LOG_ERROR, "%s: the client answers "
			     "DMA_READ with a 32-bit count and its data at "
			     "byte 12, as QEMU 10.1.0 does: memory without a "
			     "descriptor is out of reach; share it (-object "
			     "memory-backend-memfd,share=on) or take a later "
			     "QEMU", dev->name);
	}
	return -EPROTO;
}

bool leap__vfu_dma_reply(struct leap__vfu_dev *dev, uint32_t bytes)
{
	const struct leap__vfu_hdr *hdr = &dev->in.hdr;
	struct leap__vfu_dma_op *op;
	struct leap__list *pos;
	int err;

	leap__list_for_each(pos, &dev->dma_sent) {
		op = leap__list_entry(pos, struct leap__vfu_dma_op, link);
		if (op->hdr.id != hdr->id || op->hdr.cmd != hdr->cmd)
			continue;
		err = check(dev, op, bytes);
		if (!err && !op->write)
			memcpy(op->buf, dev->in.data + sizeof(op->dma),
			       op->dma.count);
		end(op, err);
		return true;
	}
	/* One that was given up may still come. */
	return dev->dma_given_up && (hdr->cmd == LEAP__VFU_DMA_READ ||
				     hdr->cmd == LEAP__VFU_DMA_WRITE);
}

static void end_all(struct leap__vfu_dev *dev, struct leap__list *list,
		    int err)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, list) {
		dev->dma_given_up = true;
		end(leap__list_entry(pos, struct leap__vfu_dma_op, link), err);
	}
}

void leap__vfu_dma_give_up(struct leap__vfu_dev *dev, int err)
{
	/* Of a channel that is gone nothing is read any more. */
	if (dev->dma_sending && dev->chan.dead)
		leap__vfu_dma_was_sent(dev);
	end_all(dev, &dev->dma_wait, err);
	end_all(dev, &dev->dma_sent, err);
}
