/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake-regs.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <leapio/dmabuf.h>

#include "core/io/transport.h"

#define MSIX_CAP	0x50

struct fake_map {
	uint64_t at, bytes;	/* bytes 0 = none */
	uint8_t *addr;
};

struct fake_dev {
	struct leap__regdev dev;	/* first */
	struct leap__regio *ask, **ask_tail;
	struct leap_msg work;
	int work_out, opened, closing, was_lost;
};

struct fake fake;
static struct fake_map maps[512];
static struct fake_dev *the_dev;

/* ---- memory ---- */

uint8_t *fake_at(uint64_t addr, uint64_t bytes)
{
	unsigned int i;

	for (i = 0; i < COUNT(maps); i++)
		if (maps[i].bytes && addr >= maps[i].at &&
		    addr + bytes <= maps[i].at + maps[i].bytes)
			return maps[i].addr + (addr - maps[i].at);
	fail_msg("%llx of %llu bytes is not the device's to reach",
		 (unsigned long long)addr, (unsigned long long)bytes);
	return NULL;
}

static int map(const struct leap__regio *io)
{
	unsigned int i = 0;

	if (fake.map_err)
		return fake.map_err;
	while (maps[i].bytes)
		i++;
	maps[i].at = io->offset;
	maps[i].bytes = leap_dmabuf_bytes(io->buf);
	maps[i].addr = leap_dmabuf_addr(io->buf);
	fake.maps++;
	return 0;
}

static int unmap(const struct leap__regio *io)
{
	unsigned int i;

	for (i = 0; i < COUNT(maps); i++)
		if (maps[i].bytes && maps[i].at == io->offset) {
			maps[i].bytes = 0;
			fake.maps--;
			return 0;
		}
	return -ENOENT;
}

/* ---- registers ---- */

static void write_cc(uint32_t cc)
{
	uint32_t old = fake.cc;

	fake.cc = cc;
	if ((cc & LEAP_CC_EN) && !(old & LEAP_CC_EN)) {
		fake.enables++;
		memset(fake.q, 0, sizeof(fake.q));
		fake.q[0].sq_size = (fake.aqa & 0xfff) + 1;
		fake.q[0].cq_size = (fake.aqa >> 16) + 1;
		fake.q[0].sq = fake.asq;
		fake.q[0].cq = fake.acq;
		fake.q[0].phase = 1;
		fake.shadow = 0;
		fake.nr_held = 0;
		fake.reads_left = fake.ready_after;
	}
	if (LEAP_GET(cc, LEAP_CC_SHN))
		fake.csts |= LEAP_PUT(LEAP_CSTS_SHST_DONE, LEAP_CSTS_SHST);
	if (!(cc & LEAP_CC_EN))
		fake.reads_left = fake.ready_after;
}

static uint32_t read_csts(void)
{
	if (fake.reads_left) {
		fake.reads_left--;
		return fake.csts;
	}
	if (fake.cc & LEAP_CC_EN) {
		if (fake.cfs)
			fake.csts |= LEAP_CSTS_CFS;
		else if (!fake.never_ready)
			fake.csts |= LEAP_CSTS_RDY;
	} else if (!fake.stays_ready) {
		fake.csts = 0;
	}
	return fake.csts;
}

static uint64_t read_bar(uint64_t offset)
{
	if (fake.gone)
		return UINT64_MAX;
	switch (offset) {
	case LEAP_REG_CAP:
		return fake.cap;
	case LEAP_REG_VS:
		return LEAP_VS_1_4;
	case LEAP_REG_CC:
		return fake.cc;
	case LEAP_REG_CSTS:
		return read_csts();
	}
	return 0;
}

static void write_bar(uint64_t offset, uint64_t value)
{
	switch (offset) {
	case LEAP_REG_CC:
		write_cc((uint32_t)value);
		break;
	case LEAP_REG_AQA:
		fake.aqa = (uint32_t)value;
		break;
	case LEAP_REG_ASQ:
		fake.asq = value;
		break;
	case LEAP_REG_ACQ:
		fake.acq = value;
		break;
	}
}

static uint64_t read_config(uint64_t offset)
{
	switch (offset) {
	case 0x08:
		return 0x01080200;
	case 0x34:
		return fake.no_msix ? 0 : 0x40;
	case 0x40:
		return 0x01 | MSIX_CAP << 8;
	case MSIX_CAP:
		return 0x11 | 7u << 16;
	}
	return 0;
}

static void reset(void)
{
	fake.resets++;
	if (fake.stays_ready == 1)
		fake.stays_ready = 0;
	fake.cc = 0;
	fake.command = 0;
	if (!fake.stays_ready)
		fake.csts = 0;
}

static int run(struct leap__regio *io)
{
	switch (io->op) {
	case LEAP__REG_READ:
		io->value = read_bar(io->offset);
		if (io->bytes == 4)
			io->value = (uint32_t)io->value;
		return 0;
	case LEAP__REG_WRITE:
		write_bar(io->offset, io->value);
		return 0;
	case LEAP__REG_CONFIG_READ:
		io->value = fake.gone ? 0xffffffff : read_config(io->offset);
		return 0;
	case LEAP__REG_CONFIG_WRITE:
		if (io->offset == 4)
			fake.command = (uint32_t)io->value;
		if (io->offset == MSIX_CAP + 2)
			fake.msix = (uint32_t)io->value;
		return 0;
	case LEAP__REG_MAP:
		return map(io);
	case LEAP__REG_UNMAP:
		return unmap(io);
	case LEAP__REG_IRQ:
		fake.irqs++;
		if (fake.irq_fd >= 0)
			close(fake.irq_fd);
		fake.irq_fd = io->fd < 0 ? -1 : dup(io->fd);
		return 0;
	}
	reset();
	return 0;
}

/* ---- the device ---- */

static void wake(struct fake_dev *d)
{
	if (d->work_out)
		return;
	d->work_out = 1;
	leap_pollgroup_send(d->dev.pg, &d->work);
}

static void do_work(struct leap_msg *msg)
{
	struct fake_dev *d = leap__list_entry(msg, struct fake_dev, work);
	struct leap__regio *io;
	int err;

	d->work_out = 0;
	if (!d->opened && !d->closing) {
		if (fake.never_opens)
			return;
		d->opened = 1;
		leap__reg_opened(&d->dev, fake.open_err);
		return;
	}
	while ((io = d->ask)) {
		d->ask = io->next;
		if (!d->ask)
			d->ask_tail = &d->ask;
		err = d->closing ? -ECANCELED : d->was_lost ? d->was_lost :
			run(io);
		io->done(io, err);
	}
	if (!d->closing || d->work_out)
		return;
	memset(maps, 0, sizeof(maps));
	fake.maps = 0;
	fake.closes++;
	if (fake.irq_fd >= 0)
		close(fake.irq_fd);
	fake.irq_fd = -1;
	the_dev = NULL;
	leap__reg_closed(&d->dev);
}

void fake_lose(int err)
{
	the_dev->was_lost = err;
	leap__reg_lost(&the_dev->dev, err);
}

static int fake_open(struct leap__regdev *dev, const struct leap_qp_opts *opts,
		     const char *address)
{
	struct fake_dev *d = (struct fake_dev *)dev;

	assert_null(the_dev);
	the_dev = d;
	d->ask_tail = &d->ask;
	d->work.run = do_work;
	wake(d);
	return 0;
}

static void fake_submit(struct leap__regdev *dev, struct leap__regio *io)
{
	struct fake_dev *d = (struct fake_dev *)dev;

	io->next = NULL;
	*d->ask_tail = io;
	d->ask_tail = &io->next;
	wake(d);
}

static void fake_doorbell(struct leap__regdev *dev, uint32_t offset,
			  uint32_t value)
{
	if (!fake.shadow || offset < LEAP_REG_SQTDBL(1, 0))
		fake.doorbells++;
	else
		fake.shadow_kicks++;
	fake_bell((offset - LEAP_REG_DBL) / 4, value);
}

static void fake_close(struct leap__regdev *dev)
{
	((struct fake_dev *)dev)->closing = 1;
	wake((struct fake_dev *)dev);
}

static const struct leap__regdev_ops dev_ops = {
	.dev_bytes = sizeof(struct fake_dev), .open = fake_open,
	.submit = fake_submit, .doorbell = fake_doorbell, .close = fake_close,
};

static int fake_connect(struct leap_qp *qp, const char *address)
{
	return leap__regqp_connect(qp, address, &dev_ops);
}

const struct leap_transport_ops *const *leap__transports(void)
{
	static const struct leap_transport_ops ops = {
		.size = sizeof(ops), .name = "fake",
		.qp_bytes = sizeof(struct leap__regqp),
		.qp_connect = fake_connect, .qp_submit = leap__regqp_submit,
		.qp_kick = leap__regqp_kick, .qp_close = leap__regqp_close,
	};
	static const struct leap_transport_ops *const all[] = { &ops, NULL };

	return all;
}

void fake_init(void)
{
	assert_null(the_dev);
	memset(&fake, 0, sizeof(fake));
	fake.irq_fd = -1;
	fake.cap = LEAP_PUT(1023ull, LEAP_CAP_MQES) | LEAP_CAP_CQR |
		   LEAP_CAP_CSS_NVM;
	strcpy((char *)fake.id.subnqn, FAKE_NQN);
	fake.id.cntlid = leap_to_le16(3);
	fake.id.kas = leap_to_le16(10);
	fake.id.sqes = 0x66;
	fake.id.cqes = 0x44;
}
