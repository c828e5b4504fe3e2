/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of a drive in the same process ("vdev://NAME/NQN"): a guest's
 * driver without a guest, over the calls that a hypervisor makes.
 *
 * Registers and doorbells are calls of leapio/vdev.h, memory is added and taken
 * away as a guest's would be, the interrupt is an eventfd. What takes longer
 * (taking memory away, reset) holds back what was asked after it, so that
 * answers keep their order. All calls are for the owner of the target's home
 * poll group: the host end has to live on the same thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/dmabuf.h>
#include <leapio/vdev.h>

#include "core/io/regctrl.h"
#include "core/io/transport.h"
#include "dmabuf/region.h"
#include "util/err.h"

struct range {
	uint64_t at;
	uint64_t bytes;		/* 0 = free */
};

struct vdev_dev {
	struct leap__regdev dev;	/* first */
	struct leap_vdev *vdev;
	struct leap__regio *ask, **ask_tail;
	struct leap_msg work;		/* there is something to do */
	bool work_out;
	bool open;
	bool closing;
	bool holds;			/* the first of ask is under way */
	uint32_t nr_irqs;		/* vectors that were asked for */
	int err;			/* of what was under way */
	uint32_t dropping;		/* parts of the end that are out */
	struct range ranges[LEAP__REG_REGIONS];
};

static struct vdev_dev *of_dev(struct leap__regdev *dev)
{
	return (struct vdev_dev *)dev;
}

static void wake(struct vdev_dev *d)
{
	if (d->work_out)
		return;
	d->work_out = true;
	leap_pollgroup_send(d->dev.pg, &d->work);
}

/* ---- operations ---- */

static void end_slow(void *arg, int err)
{
	struct vdev_dev *d = arg;

	d->holds = false;
	d->err = err;
	wake(d);
}

static int map(struct vdev_dev *d, const struct leap__regio *io)
{
	/* Whoever mapped it here has taken the risk that it is truncated. */
	const uint32_t rw = LEAP_PERM_READ | LEAP_PERM_WRITE |
			    LEAP_PERM_UNSEALED;
	struct leap_ats_range range = LEAP_ATS_RANGE_INIT;
	uint32_t i = 0;
	int err;

	while (i < LEAP__REG_REGIONS && d->ranges[i].bytes)
		i++;
	if (i == LEAP__REG_REGIONS)
		return -ENOSPC;
	/* A mapping of its own, as a device has: the end that lets it go is
	 * asked for what it holds of io->buf, not for what the drive has. */
	err = leap_dmabuf_import(leap_dmabuf_fd(io->buf),
				 leap__dmabuf_offset(io->buf),
				 leap_dmabuf_bytes(io->buf), rw, &range.buf);
	if (err)
		return err;
	range.gpa.addr = io->offset;
	range.bytes = leap_dmabuf_bytes(io->buf);
	range.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	range.source = LEAP_ATS_DMABUF;
	err = leap_vdev_mem_add(d->vdev, &range);
	leap_dmabuf_put(range.buf);
	if (err)
		return err;
	d->ranges[i] = (struct range){ io->offset, range.bytes };
	d->holds = true;
	leap_vdev_mem_sync(d->vdev, end_slow, d);
	return 0;
}

static int unmap(struct vdev_dev *d, const struct leap__regio *io)
{
	leap_gpa_t gpa = { io->offset };
	uint32_t i = 0;

	while (i < LEAP__REG_REGIONS && d->ranges[i].at != io->offset)
		i++;
	if (i == LEAP__REG_REGIONS)
		return -ENOENT;
	d->holds = true;
	d->ranges[i].bytes = 0;
	d->ranges[i].at = 0;
	return leap_vdev_mem_del(d->vdev, gpa, leap_dmabuf_bytes(io->buf),
				 end_slow, d);
}

static void read_bytes(struct vdev_dev *d, struct leap__regio *io)
{
	leap_le64 le = leap_to_le64(0);

	if (io->op == LEAP__REG_READ)
		leap_vdev_bar_read(d->vdev, io->offset, &le, io->bytes);
	else
		leap_vdev_config_read(d->vdev, io->offset, &le, io->bytes);
	io->value = leap_from_le64(le);
}

static void write_bytes(struct vdev_dev *d, const struct leap__regio *io)
{
	leap_le64 le = leap_to_le64(io->value);

	if (io->op == LEAP__REG_WRITE)
		leap_vdev_bar_write(d->vdev, io->offset, &le, io->bytes);
	else
		leap_vdev_config_write(d->vdev, io->offset, &le, io->bytes);
}

static int irq(struct vdev_dev *d, const struct leap__regio *io)
{
	uint32_t vector = (uint32_t)io->value;
	int err = leap_vdev_irq_fd(d->vdev, LEAP_VDEV_MSIX, vector, io->fd);

	if (!err && vector >= d->nr_irqs)
		d->nr_irqs = vector + 1;
	return err;
}

static int run(struct vdev_dev *d, struct leap__regio *io)
{
	switch (io->op) {
	case LEAP__REG_READ:
	case LEAP__REG_CONFIG_READ:
		read_bytes(d, io);
		return 0;
	case LEAP__REG_WRITE:
	case LEAP__REG_CONFIG_WRITE:
		write_bytes(d, io);
		return 0;
	case LEAP__REG_MAP:
		return map(d, io);
	case LEAP__REG_UNMAP:
		return unmap(d, io);
	case LEAP__REG_IRQ:
		return irq(d, io);
	default:
		d->holds = true;
		leap_vdev_reset(d->vdev, end_slow, d);
		return 0;
	}
}

static struct leap__regio *pop(struct vdev_dev *d)
{
	struct leap__regio *io = d->ask;

	d->ask = io->next;
	if (!d->ask)
		d->ask_tail = &d->ask;
	return io;
}

/* io->priv: it has been started, and d->err is its end. */
static void run_all(struct vdev_dev *d)
{
	struct leap__regio *io;
	int err;

	while ((io = d->ask) && !d->closing && !d->holds) {
		err = d->err;
		if (!io->priv) {
			io->priv = 1;
			d->err = 0;
			err = run(d, io);
			if (err)
				d->holds = false;
			else if (io->op == LEAP__REG_MAP ||
				 io->op == LEAP__REG_UNMAP ||
				 io->op == LEAP__REG_RESET)
				continue;	/* perhaps it has ended */
		}
		pop(d);
		io->done(io, err);
	}
}

/* ---- the end ---- */

static void part_ended(void *arg, int err)
{
	struct vdev_dev *d = arg;

	if (!--d->dropping)
		wake(d);
}

/* As when a guest's machine goes: reset, then memory and interrupt. */
static void drop_memory(struct vdev_dev *d)
{
	uint32_t i;

	for (i = 0; i < d->nr_irqs; i++)
		leap_vdev_irq_fd(d->vdev, LEAP_VDEV_MSIX, i, -1);
	d->dropping++;
	d->dropping++;
	leap_vdev_reset(d->vdev, part_ended, d);
	for (i = 0; i < LEAP__REG_REGIONS; i++) {
		leap_gpa_t gpa = { d->ranges[i].at };
		uint64_t bytes = d->ranges[i].bytes;

		d->ranges[i].bytes = 0;
		if (!bytes)
			continue;
		d->dropping++;
		if (leap_vdev_mem_del(d->vdev, gpa, bytes, part_ended, d))
			d->dropping--;
	}
	part_ended(d, 0);
}

static void finish(struct vdev_dev *d)
{
	while (d->ask) {
		struct leap__regio *io = pop(d);

		io->done(io, -ECANCELED);
	}
	leap__reg_closed(&d->dev);
}

static void do_work(struct leap_msg *msg)
{
	struct vdev_dev *d = leap__list_entry(msg, struct vdev_dev, work);

	d->work_out = false;
	if (!d->open && !d->closing) {
		d->open = true;
		leap__reg_opened(&d->dev, 0);
		return;
	}
	if (!d->closing) {
		run_all(d);
	} else if (!d->holds && !d->dropping) {
		if (d->open) {
			d->open = false;
			drop_memory(d);
		} else {
			finish(d);
		}
	}
}

/* ---- the table ---- */

static int vdev_open(struct leap__regdev *dev, const struct leap_qp_opts *opts,
		     const char *address)
{
	struct vdev_dev *d = of_dev(dev);

	if (!opts->vdev)
		return leap__err(-EINVAL,
				 "leap_qp_connect: vdev:// needs opts.vdev");
	d->vdev = opts->vdev;
	d->ask_tail = &d->ask;
	d->work.run = do_work;
	wake(d);
	return 0;
}

static void vdev_submit(struct leap__regdev *dev, struct leap__regio *io)
{
	struct vdev_dev *d = of_dev(dev);

	io->next = NULL;
	io->priv = 0;
	*d->ask_tail = io;
	d->ask_tail = &io->next;
	wake(d);
}

static void vdev_doorbell(struct leap__regdev *dev, uint32_t offset,
			  uint32_t value)
{
	leap_le32 le = leap_to_le32(value);

	leap_vdev_bar_write(of_dev(dev)->vdev, offset, &le, sizeof(le));
}

static void vdev_close(struct leap__regdev *dev)
{
	struct vdev_dev *d = of_dev(dev);

	d->closing = true;
	wake(d);
}

static const struct leap__regdev_ops vdev_dev_ops = {
	.dev_bytes = sizeof(struct vdev_dev),
	.msix_table = true,
	.open = vdev_open,
	.submit = vdev_submit,
	.doorbell = vdev_doorbell,
	.close = vdev_close,
};

static int vdev_qp_connect(struct leap_qp *qp, const char *address)
{
	return leap__regqp_connect(qp, address, &vdev_dev_ops);
}

const struct leap_transport_ops leap__vdev_transport = {
	.size = sizeof(struct leap_transport_ops),
	.name = "vdev",
	.qp_bytes = sizeof(struct leap__regqp),
	.qp_connect = vdev_qp_connect,
	.qp_submit = leap__regqp_submit,
	.qp_submit_lists = leap__regqp_submit_lists,
	.qp_kick = leap__regqp_kick,
	.qp_close = leap__regqp_close,
};
