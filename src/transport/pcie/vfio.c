/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of a PCI function ("pcie:DDDD:BB:DD.F/NQN"): how the driver of
 * a controller behind registers (core/io/regdev.h) reaches a real device, by
 * VFIO (link.c).
 *
 * Registers and doorbells are loads and stores in the mapped BAR. What needs a
 * system call (config space, memory, interrupts, reset) is made when its turn
 * comes, in poll: memory is pinned and a function reset takes 0.1 s, so this is
 * for bring-up and its end, not for the data path. The kernel says by an
 * eventfd that it wants the device back (unplugged, unbound) or that the bus
 * had an error: the device is lost then.
 *
 * Order, for ARM: memory that the device reads or writes is cacheable, the BAR
 * is Device memory.
 *  - descriptors, then doorbell: leap__dma_publish() (dmb oshst) before every
 *    store to the BAR. The outer shareable domain includes the device, which a
 *    release store, an inner shareable affair, need not. The partner is the
 *    device's own read of the ring after it saw the doorbell.
 *  - phase of a completion, then its other words and the payload:
 *    leap__dma_observe() (dmb oshld) behind the load of the phase, which the
 *    rings do for devices (`.device' in the table); the partner is the device,
 *    which writes payload, then the entry, as posted writes that keep order.
 *  - registers among themselves: volatile accesses to Device memory stay in
 *    program order.
 * x86 keeps all three orders by itself for write-back and uncached memory;
 * there both are for the compiler only.
 */
#include "config.h"

#include "transport/pcie/vfio.h"

#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <leapio/dmabuf.h>

#include "core/io/regctrl.h"
#include "core/io/transport.h"
#include "util/atomic.h"
#include "util/err.h"

/* The kernel asks for the device; the bus has failed. */
#define NR_NEWS 2

struct news {
	struct leap__io io;
	struct leap__wfd *wfd;
	bool watched;
};

struct vfio_dev {
	struct leap__regdev dev;	/* first */
	struct leap__vfio_link link;
	struct leap__regio *ask, **ask_tail;
	struct leap_msg work;		/* there is something to do */
	bool work_out;
	bool told;			/* that it is open */
	bool lost;
	bool closing;
	bool closed;
	struct news news[NR_NEWS];
};

static struct vfio_dev *of_dev(struct leap__regdev *dev)
{
	return (struct vfio_dev *)dev;
}

static void wake(struct vfio_dev *d)
{
	if (d->work_out)
		return;
	d->work_out = true;
	leap_pollgroup_send(d->dev.pg, &d->work);
}

/* ---- registers --------------------------------------------------------- */

static uint32_t load(const struct vfio_dev *d, uint64_t at)
{
	const volatile leap_le32 *p = (const void *)(d->link.bar + at);

	return leap_from_le32(*p);
}

static void store(struct vfio_dev *d, uint64_t at, uint32_t value)
{
	volatile leap_le32 *p = (void *)(d->link.bar + at);

	/* What the device will look for is in memory first: see above. */
	leap__dma_publish();
	*p = leap_to_le32(value);
}

static bool in_map(const struct vfio_dev *d, uint64_t at, uint32_t bytes)
{
	return at + bytes <= d->link.map_bytes && !(at & 3) && !(bytes & 3);
}

static int region_read(const struct vfio_dev *d, uint64_t at,
		       struct leap__regio *io)
{
	leap_le64 le = leap_to_le64(0);
	ssize_t n = d->link.calls->pread(d->link.arg, d->link.device, &le,
					 io->bytes, at);

	if (n != io->bytes)
		return n < 0 ? (int)n : -EIO;
	io->value = leap_from_le64(le);
	return 0;
}

static int region_write(const struct vfio_dev *d, uint64_t at,
			const struct leap__regio *io)
{
	leap_le64 le = leap_to_le64(io->value);
	ssize_t n;

	leap__dma_publish();
	n = d->link.calls->pwrite(d->link.arg, d->link.device, &le, io->bytes,
				  at);
	return n == io->bytes ? 0 : n < 0 ? (int)n : -EIO;
}

static int check(uint64_t at, uint32_t bytes, uint64_t limit)
{
	return bytes && bytes <= 8 && bytes <= limit && at <= limit - bytes ?
		0 : -EINVAL;
}

/* 64 bits as two words, the lower one first: every controller takes that. */
static int bar_access(struct vfio_dev *d, struct leap__regio *io)
{
	uint64_t at = io->offset;
	int err = check(at, io->bytes, d->link.bar_bytes);

	if (err)
		return err;
	if (!in_map(d, at, io->bytes))
		return io->op == LEAP__REG_READ ?
			region_read(d, d->link.bar_at + at, io) :
			region_write(d, d->link.bar_at + at, io);
	if (io->op == LEAP__REG_READ) {
		io->value = load(d, at);
		if (io->bytes == 8)
			io->value |= (uint64_t)load(d, at + 4) << 32;
	} else {
		store(d, at, (uint32_t)io->value);
		if (io->bytes == 8)
			store(d, at + 4, (uint32_t)(io->value >> 32));
	}
	return 0;
}

static int config_access(struct vfio_dev *d, struct leap__regio *io)
{
	int err = check(io->offset, io->bytes, d->link.config_bytes);

	if (err)
		return err;
	return io->op == LEAP__REG_CONFIG_READ ?
		region_read(d, d->link.config_at + io->offset, io) :
		region_write(d, d->link.config_at + io->offset, io);
}

/* ---- operations -------------------------------------------------------- */

/* All pages that the buffer has a part of are its own. */
static uint64_t map_bytes(const struct leap_dmabuf *buf)
{
	uint64_t page = leap_dmabuf_page_bytes(buf);

	return (leap_dmabuf_bytes(buf) + page - 1) / page * page;
}

/* Refused: its bytes are bounced, which somebody should know. */
static int map(struct vfio_dev *d, struct leap__regio *io)
{
	int err = leap__vfio_link_map(&d->link, leap_dmabuf_addr(io->buf),
				      map_bytes(io->buf), io->offset,
				      &io->pages);

	if (err)
		leap__pg_log(d->dev.pg, LEAP_LOG_WARN, "pcie: %s",
			     leap_last_error());
	return err;
}

/* Vectors are had from the kernel one by one, as they are asked for. */
static int set_irq(struct vfio_dev *d, uint64_t vector, int fd)
{
	if (vector >= d->link.nr_vectors)
		return -EOPNOTSUPP;
	return leap__vfio_link_irq(&d->link, VFIO_PCI_MSIX_IRQ_INDEX,
				   (uint32_t)vector, fd);
}

static int run(struct vfio_dev *d, struct leap__regio *io)
{
	switch (io->op) {
	case LEAP__REG_READ:
	case LEAP__REG_WRITE:
		return bar_access(d, io);
	case LEAP__REG_CONFIG_READ:
	case LEAP__REG_CONFIG_WRITE:
		return config_access(d, io);
	case LEAP__REG_MAP:
		return map(d, io);
	case LEAP__REG_UNMAP:
		return leap__vfio_link_unmap(&d->link, map_bytes(io->buf),
					     io->offset);
	case LEAP__REG_IRQ:
		return set_irq(d, io->value, io->fd);
	case LEAP__REG_RESET:
		return leap__vfio_link_reset(&d->link);
	default:
		return -EINVAL;
	}
}

static struct leap__regio *pop(struct vfio_dev *d)
{
	struct leap__regio *io = d->ask;

	d->ask = io->next;
	if (!d->ask)
		d->ask_tail = &d->ask;
	return io;
}

static void run_all(struct vfio_dev *d)
{
	while (d->ask && !d->closing && !d->lost) {
		struct leap__regio *io = pop(d);

		io->done(io, run(d, io));
	}
}

/* ---- what the kernel has to say ---------------------------------------- */

static void settle(struct vfio_dev *d);

static void heard(struct leap__io *io)
{
	struct vfio_dev *d = io->arg;
	size_t i;

	for (i = 0; i < NR_NEWS; i++)
		if (io == &d->news[i].io)
			d->news[i].watched = false;
	if (!d->closing && !io->res && !d->lost) {
		d->lost = true;
		leap__pg_log(d->dev.pg, LEAP_LOG_WARN,
			     "pcie: %s: the kernel wants it back",
			     d->link.address);
		wake(d);
	}
	settle(d);
}

/* Without these a device that is unplugged is seen by its registers only. */
static void watch(struct vfio_dev *d, struct news *n, uint32_t index)
{
	struct leap__world *w = leap__pollgroup_world(d->dev.pg);
	int fd;

	if (!leap__vfio_link_has_irq(&d->link, index))
		return;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		return;
	if (leap__vfio_link_irq(&d->link, index, 0, fd) ||
	    w->ops->adopt(w, fd, &n->wfd)) {
		close(fd);	/* the kernel holds its own reference */
		return;
	}
	n->io = (struct leap__io){
		.op = LEAP__IO_WATCH, .wfd = n->wfd, .done = heard, .arg = d,
	};
	n->watched = true;
	leap__io_submit(w, &n->io);
}

/* ---- the end ----------------------------------------------------------- */

static void settle(struct vfio_dev *d)
{
	size_t i;

	if (!d->closed)
		return;
	for (i = 0; i < NR_NEWS; i++)
		if (d->news[i].watched)
			return;
	leap__reg_closed(&d->dev);
}

static void finish(struct vfio_dev *d)
{
	size_t i;

	leap__vfio_link_close(&d->link);
	while (d->ask) {
		struct leap__regio *io = pop(d);

		io->done(io, -ECANCELED);
	}
	for (i = 0; i < NR_NEWS; i++)
		if (d->news[i].wfd)
			d->news[i].wfd->world->ops->close(d->news[i].wfd);
	d->closed = true;
	settle(d);
}

static void do_work(struct leap_msg *msg)
{
	struct vfio_dev *d = leap__list_entry(msg, struct vfio_dev, work);

	d->work_out = false;
	if (d->closing) {
		finish(d);
		return;
	}
	if (!d->told) {
		d->told = true;
		leap__reg_opened(&d->dev, 0);
	}
	run_all(d);
	if (d->lost && !d->closing)
		leap__reg_lost(&d->dev, -ENODEV);
}

/* ---- the table --------------------------------------------------------- */

/* "DDDD:BB:DD.F", and "?noiommu=1" behind it if that is meant. */
static int read_address(struct leap__vfio_link *l, const char *address)
{
	size_t n = strcspn(address, "?");

	if (n != sizeof(l->address) - 1)
		return leap__pci_check_address("leap_qp_connect", address);
	if (address[n] && strcmp(address + n, "?noiommu=1"))
		return leap__err(-EINVAL, "leap_qp_connect: \"%.32s\": only "
				 "?noiommu=1 may follow an address", address);
	l->no_iommu_ok = address[n];
	memcpy(l->address, address, n);
	return leap__pci_check_address("leap_qp_connect", l->address);
}

int leap__vfio_open(struct leap__regdev *dev, const char *address,
		    const struct leap__vfio_calls *calls, void *arg)
{
	struct vfio_dev *d = of_dev(dev);
	int err = read_address(&d->link, address);

	if (err)
		return err;
	d->link.calls = calls;
	d->link.arg = arg;
	err = leap__vfio_link_open(&d->link);
	if (err)
		return err;
	d->dev.scattered = d->link.no_iommu;
	if (d->link.no_iommu)
		leap__pg_log(dev->pg, LEAP_LOG_WARN, "pcie: %s: no IOMMU: it "
			     "can write to all memory", d->link.address);
	d->ask_tail = &d->ask;
	d->work.run = do_work;
	dev->iova_end = leap__vfio_link_end(&d->link, LEAP__REG_IOVA);
	watch(d, &d->news[0], VFIO_PCI_REQ_IRQ_INDEX);
	watch(d, &d->news[1], VFIO_PCI_ERR_IRQ_INDEX);
	wake(d);
	return 0;
}

static int vfio_open(struct leap__regdev *dev, const struct leap_qp_opts *opts,
		     const char *address)
{
	return leap__vfio_open(dev, address, &leap__vfio_kernel, NULL);
}

static void vfio_submit(struct leap__regdev *dev, struct leap__regio *io)
{
	struct vfio_dev *d = of_dev(dev);

	io->next = NULL;
	*d->ask_tail = io;
	d->ask_tail = &io->next;
	wake(d);
}

/* A kick that was put off may come when the device is closed already: then
 * nothing is mapped any more. */
static void vfio_doorbell(struct leap__regdev *dev, uint32_t offset,
			  uint32_t value)
{
	struct vfio_dev *d = of_dev(dev);
	struct leap__regio io = {
		.op = LEAP__REG_WRITE, .bytes = 4, .offset = offset,
		.value = value,
	};

	if (__builtin_expect((uint64_t)offset + 4 <= d->link.map_bytes, 1))
		store(d, offset, value);
	else if (!d->closing && bar_access(d, &io) && !d->lost) {
		d->lost = true;		/* nobody else would hear of it */
		wake(d);
	}
}

/* The page of doorbells as the kernel maps it for whoever has the device's
 * descriptor: the whole device, to be trusted with that. */
static int vfio_doorbell_fd(struct leap__regdev *dev, uint64_t *offset,
			    uint32_t *bytes)
{
	struct vfio_dev *d = of_dev(dev);

	if (d->link.map_bytes <= LEAP_REG_DBL)
		return -EOPNOTSUPP;
	*offset = d->link.bar_at + LEAP_REG_DBL;
	*bytes = (uint32_t)(d->link.map_bytes - LEAP_REG_DBL);
	return d->link.device;
}

static void vfio_close(struct leap__regdev *dev)
{
	struct vfio_dev *d = of_dev(dev);

	d->closing = true;
	wake(d);
}

const struct leap__regdev_ops leap__vfio_dev_ops = {
	.dev_bytes = sizeof(struct vfio_dev),
	.device = true,
	.open = vfio_open,
	.submit = vfio_submit,
	.doorbell = vfio_doorbell,
	.close = vfio_close,
	.doorbell_fd = vfio_doorbell_fd,
};

static int pcie_qp_connect(struct leap_qp *qp, const char *address)
{
	return leap__regqp_connect(qp, address, &leap__vfio_dev_ops);
}

const struct leap_transport_ops leap__pcie_transport = {
	.size = sizeof(struct leap_transport_ops),
	.name = "pcie",
	.qp_bytes = sizeof(struct leap__regqp),
	.qp_connect = pcie_qp_connect,
	.qp_submit = leap__regqp_submit,
	.qp_submit_lists = leap__regqp_submit_lists,
	.qp_kick = leap__regqp_kick,
	.qp_close = leap__regqp_close,
};
