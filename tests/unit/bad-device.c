/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The misbehaving drive: its registers, memory and doorbells, and how the
 * driver gets to them. What it does with commands is in bad-cmds.c.
 */
#include "bad-device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/dmabuf.h>

#include "core/io/regctrl.h"
#include "core/io/transport.h"

#define MSIX_CAP	0x50
#define NR_MAPS		512u

struct bad_map {
	uint64_t at, bytes;	/* bytes 0 = none */
	uint8_t *addr;
};

struct bad_dev {
	struct leap__regdev dev;	/* first */
	struct leap__regio *ask, **ask_tail;
	struct leap_msg work;
	bool work_out, opened, closing, was_told;
};

struct bad_device bad;
static struct bad_map maps[NR_MAPS];
static struct bad_dev *the_dev;
static uint32_t nr_mapped;

void bad_complain(const char *fmt, ...)
{
	va_list ap;

	if (!bad.complaints++) {
		va_start(ap, fmt);
		vsnprintf(bad.complaint, sizeof(bad.complaint), fmt, ap);
		va_end(ap);
	}
}

uint8_t bad_byte(uint8_t dflt)
{
	if (!bad.nr_bytes)
		return dflt;
	bad.nr_bytes--;
	return *bad.bytes++;
}

bool bad_step(void)
{
	if (bad.gone)
		return true;
	if (bad.steps++ < bad.at || bad.hit || bad.fault == BAD_NONE ||
	    bad.fault > BAD_RESETS)
		return false;
	bad.hit = true;
	switch (bad.fault) {
	case BAD_GONE:
	case BAD_GONE_TOLD:
		bad.gone = true;
		return true;
	case BAD_CFS:
		bad.csts |= LEAP_CSTS_CFS;
		bad.hung = true;
		return false;
	case BAD_HANG:
		bad.hung = true;
		return false;
	default:
		bad_clear();
		bad.cc = 0;
		return false;
	}
}

/* ---- memory ------------------------------------------------------------ */

void *bad_at(uint64_t addr, uint64_t bytes)
{
	uint32_t i;

	for (i = 0; i < NR_MAPS; i++)
		if (maps[i].bytes && addr >= maps[i].at &&
		    addr - maps[i].at <= maps[i].bytes &&
		    bytes <= maps[i].bytes - (addr - maps[i].at))
			return maps[i].addr + (addr - maps[i].at);
	bad_complain("%llx of %llu bytes is not the device's to reach",
		     (unsigned long long)addr, (unsigned long long)bytes);
	return NULL;
}

static int map(const struct leap__regio *io)
{
	uint32_t i = 0;

	if (++nr_mapped == bad.map_fails_at)
		return -ENOMEM;
	while (i < NR_MAPS && maps[i].bytes)
		i++;
	if (i == NR_MAPS)
		return -ENOSPC;
	maps[i].at = io->offset;
	maps[i].bytes = leap_dmabuf_bytes(io->buf);
	maps[i].addr = leap_dmabuf_addr(io->buf);
	bad.maps++;
	return 0;
}

static int unmap(const struct leap__regio *io)
{
	uint32_t i;

	for (i = 0; i < NR_MAPS; i++) {
		if (!maps[i].bytes || maps[i].at != io->offset)
			continue;
		maps[i].bytes = 0;
		bad.maps--;
		return 0;
	}
	bad_complain("unmap of what is not mapped");
	return -ENOENT;
}

/* ---- registers --------------------------------------------------------- */

void bad_clear(void)
{
	memset(bad.q, 0, sizeof(bad.q));
	bad.shadow = bad.eventidx = 0;
	bad.nr_muted = bad.nr_aers = 0;
	bad.csts = 0;
	if (bad.sticky && bad.hit) {
		if (bad.fault == BAD_CFS)
			bad.csts = LEAP_CSTS_CFS;
	} else {
		bad.hung = false;
	}
}

static void enable(void)
{
	struct bad_queue *q = &bad.q[0];

	bad.enables++;
	bad_clear();
	q->sq_size = (bad.aqa & 0xfff) + 1;
	q->cq_size = (bad.aqa >> 16 & 0xfff) + 1;
	q->sq = bad.asq;
	q->cq = bad.acq;
	q->phase = 1;
	if (!(bad.command & 4))
		bad_complain("enabled without bus mastering");
	if ((bad.cc >> 16 & 0xf) != 6 || (bad.cc >> 20 & 0xf) != 4 ||
	    (bad.cc >> 7 & 0xf) || (bad.asq | bad.acq) & 0xfff)
		bad_complain("CC %x, ASQ or ACQ at its enable", bad.cc);
}

static void write_cc(uint32_t cc)
{
	uint32_t old = bad.cc;

	bad.cc = cc;
	bad.reads_left = bad.ready_after;
	if ((cc & LEAP_CC_EN) && !(old & LEAP_CC_EN))
		enable();
	if (LEAP_GET(cc, LEAP_CC_SHN) && !LEAP_GET(old, LEAP_CC_SHN)) {
		bad.shutdowns++;
		bad.csts |= LEAP_PUT(LEAP_CSTS_SHST_DONE, LEAP_CSTS_SHST);
	}
}

static uint32_t read_csts(void)
{
	if (bad.reads_left) {
		bad.reads_left--;
		return bad.csts;
	}
	if ((bad.cc & LEAP_CC_EN) && !bad.never_ready)
		bad.csts |= LEAP_CSTS_RDY;
	if (!(bad.cc & LEAP_CC_EN) && !bad.never_down) {
		uint32_t cfs = bad.csts & LEAP_CSTS_CFS;

		bad_clear();
		if (bad.sticky)
			bad.csts |= cfs;
	}
	return bad.csts;
}

static uint64_t read_bar(uint64_t offset)
{
	switch (offset) {
	case LEAP_REG_CAP:
		return bad.cap;
	case LEAP_REG_VS:
		return LEAP_VS_1_4;
	case LEAP_REG_CC:
		return bad.cc;
	case LEAP_REG_CSTS:
		return read_csts();
	case LEAP_REG_CRTO:
		return bad.crto;
	}
	return 0;
}

static void reset(void)
{
	bad.resets++;
	bad.cc = 0;
	bad.command = 0;
	if (!bad.reset_fails)
		bad_clear();
}

static void write_bar(uint64_t offset, uint64_t value)
{
	switch (offset) {
	case LEAP_REG_CC:
		write_cc((uint32_t)value);
		break;
	case LEAP_REG_AQA:
		bad.aqa = (uint32_t)value;
		break;
	case LEAP_REG_ASQ:
		bad.asq = value;
		break;
	case LEAP_REG_ACQ:
		bad.acq = value;
		break;
	case LEAP_REG_NSSR:
		if (value == LEAP_NSSR_MAGIC) {
			bad.subsystem_resets++;
			bad_clear();
			bad.cc = 0;
			bad.csts = LEAP_CSTS_NSSRO;
		}
		break;
	}
}

static uint64_t read_config(uint64_t offset)
{
	switch (offset) {
	case 0x00:
		return bad.pci_id;
	case 0x08:
		return bad.pci_class;
	case 0x34:
		return 0x40;
	case 0x40:
		return 0x01 | MSIX_CAP << 8;
	case MSIX_CAP:
		return 0x11 | 7u << 16;
	}
	return 0;
}

/* What was read, or what the bytes make of it. */
static uint64_t twist(uint64_t value)
{
	uint8_t how = bad_byte(0), at;

	if (how < 224)
		return value;
	if (how >= 252)
		return UINT64_MAX;
	at = bad_byte(0) & 63;
	return how < 248 ? value ^ 1ull << at : (uint64_t)bad_byte(0) << at;
}

static int run(struct leap__regio *io)
{
	bool gone = bad_step();

	if (gone && bad.fault == BAD_GONE_TOLD)
		return -ENODEV;
	switch (io->op) {
	case LEAP__REG_READ:
		io->value = gone ? UINT64_MAX : twist(read_bar(io->offset));
		break;
	case LEAP__REG_CONFIG_READ:
		io->value = gone ? UINT64_MAX :
			twist(read_config(io->offset));
		break;
	case LEAP__REG_WRITE:
		if (!gone)
			write_bar(io->offset, io->value);
		return 0;
	case LEAP__REG_CONFIG_WRITE:
		if (io->offset == 4 && !gone)
			bad.command = (uint32_t)io->value;
		return 0;
	case LEAP__REG_MAP:
		return map(io);
	case LEAP__REG_UNMAP:
		return unmap(io);
	case LEAP__REG_IRQ:
		return -EOPNOTSUPP;
	default:
		if (!gone)
			reset();
		return 0;
	}
	if (io->bytes < 8)
		io->value &= (1ull << io->bytes * 8) - 1;
	return 0;
}

/* ---- the way to it ----------------------------------------------------- */

static void wake(struct bad_dev *d)
{
	if (d->work_out)
		return;
	d->work_out = true;
	leap_pollgroup_send(d->dev.pg, &d->work);
}

static void finish(struct bad_dev *d)
{
	memset(maps, 0, sizeof(maps));
	bad.maps = 0;
	bad.closes++;
	/* What the kernel does to a function that nobody has open. */
	if (!bad.gone)
		reset();
	the_dev = NULL;
	leap__reg_closed(&d->dev);
}

static void do_work(struct leap_msg *msg)
{
	struct bad_dev *d = leap__list_entry(msg, struct bad_dev, work);
	struct leap__regio *io;
	int err;

	d->work_out = false;
	if (!d->opened && !d->closing) {
		d->opened = true;
		leap__reg_opened(&d->dev, bad.gone ? -ENODEV : 0);
		return;
	}
	while ((io = d->ask)) {
		d->ask = io->next;
		if (!d->ask)
			d->ask_tail = &d->ask;
		err = d->closing ? -ECANCELED : run(io);
		io->done(io, err);
	}
	if (d->closing) {
		if (!d->work_out)
			finish(d);
		return;
	}
	bad_fetch();
	if (bad.gone && bad.fault == BAD_GONE_TOLD && !d->was_told) {
		d->was_told = true;
		leap__reg_lost(&d->dev, -ENODEV);
	}
}

static int bad_open(struct leap__regdev *dev, const struct leap_qp_opts *opts,
		    const char *address)
{
	struct bad_dev *d = (struct bad_dev *)dev;

	if (the_dev)
		bad_complain("opened twice");
	bad.opens++;
	if (bad.hit && !bad.stays_gone)
		bad.gone = false;
	the_dev = d;
	d->ask_tail = &d->ask;
	d->work.run = do_work;
	wake(d);
	return 0;
}

static void bad_submit(struct leap__regdev *dev, struct leap__regio *io)
{
	struct bad_dev *d = (struct bad_dev *)dev;

	io->next = NULL;
	*d->ask_tail = io;
	d->ask_tail = &io->next;
	wake(d);
}

static void bad_doorbell(struct leap__regdev *dev, uint32_t offset,
			 uint32_t value)
{
	uint32_t stride = 4u << LEAP_GET(bad.cap, LEAP_CAP_DSTRD);
	uint32_t i = (offset - LEAP_REG_DBL) / stride;

	if (bad_step())
		return;
	if ((offset - LEAP_REG_DBL) % stride || i / 2 >= BAD_QUEUES ||
	    (!bad.nr_bytes && !bad.q[i / 2].cq_size)) {
		if (!bad.bytes && !bad.hit)
			bad_complain("doorbell at %x", offset);
		return;
	}
	if (i & 1) {
		bad.q[i / 2].cq_head = value;
	} else {
		bad.q[i / 2].told = value;
		bad.doorbells[i / 2]++;
	}
	wake((struct bad_dev *)dev);
}

static void bad_close(struct leap__regdev *dev)
{
	((struct bad_dev *)dev)->closing = true;
	wake((struct bad_dev *)dev);
}

static const struct leap__regdev_ops dev_ops = {
	.dev_bytes = sizeof(struct bad_dev), .open = bad_open,
	.submit = bad_submit, .doorbell = bad_doorbell, .close = bad_close,
};

static int bad_connect(struct leap_qp *qp, const char *address)
{
	return leap__regqp_connect(qp, address, &dev_ops);
}

const struct leap_transport_ops *const *leap__transports(void)
{
	static const struct leap_transport_ops ops = {
		.size = sizeof(ops), .name = "bad",
		.qp_bytes = sizeof(struct leap__regqp),
		.qp_connect = bad_connect, .qp_submit = leap__regqp_submit,
		.qp_kick = leap__regqp_kick, .qp_close = leap__regqp_close,
	};
	static const struct leap_transport_ops *const all[] = {
		&ops, &leap__vdev_transport, NULL,
	};

	return all;
}

static void make_ns(uint32_t i)
{
	struct leap_id_ns *ns = &bad.ns[i];

	ns->nsze = ns->ncap = ns->nuse = leap_to_le64(BAD_BLOCKS);
	ns->lbaf[0].lbads = 9;
	ns->nguid[0] = (uint8_t)(i + 1);
	bad.data[i] = calloc(BAD_BLOCKS, BAD_BLOCK);
}

void bad_init(void)
{
	uint32_t i;

	memset(&bad, 0, sizeof(bad));
	memset(maps, 0, sizeof(maps));
	nr_mapped = 0;
	bad.pci_id = 0xabcd1234;
	bad.pci_class = 0x01080201;
	bad.opc = 0x100;
	bad.nr_queues = BAD_QUEUES - 1;
	bad.cap = LEAP_PUT(1023ull, LEAP_CAP_MQES) | LEAP_CAP_CQR |
		  LEAP_CAP_CSS_NVM | LEAP_PUT(1ull, LEAP_CAP_TO);
	strcpy((char *)bad.id.subnqn, BAD_NQN);
	bad.id.cntlid = leap_to_le16(3);
	bad.id.sqes = 0x66;
	bad.id.cqes = 0x44;
	bad.id.mdts = 5;
	bad.id.nn = leap_to_le32(BAD_NS);
	bad.id.aerl = 3;
	bad.id.acl = 3;
	bad.id.oaes = leap_to_le32(LEAP_AEC_NS_ATTR);
	bad.id.oncs = leap_to_le16(LEAP_ONCS_WRITE_ZEROES | LEAP_ONCS_DSM);
	for (i = 0; i < BAD_NS; i++)
		make_ns(i);
}

void bad_fini(void)
{
	uint32_t i;

	for (i = 0; i < BAD_NS; i++)
		free(bad.data[i]);
	memset(bad.data, 0, sizeof(bad.data));
}
