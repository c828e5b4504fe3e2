/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The PCI side of a virtual function: its configuration space, and which part
 * of it an access to BAR 0 means. Turns loads and stores of any size into
 * those of the registers (registers.c), of the doorbells (vdev_doorbell.c) and
 * of the MSI-X table (vdev_msix.c); knows nothing of what they do.
 *
 * While bus mastering is off no doorbell takes effect: the last value rung is
 * remembered and rung when it is switched on. Commands that were fetched
 * before go on.
 *
 * Spec: PCI Local Bus 3.0 s6 (configuration space), PCI Express Base 4.0 s7.5;
 * NVMe PCIe Transport 1.0 s3
 */
#include "core/ctrl/vdev_priv.h"

#include <string.h>

#include "util/endian.h"

/* Offsets of type 0 headers and of the capabilities here. */
#define PCI_VENDOR	0x00
#define PCI_DEVICE	0x02
#define PCI_COMMAND	0x04
#define PCI_STATUS	0x06
#define PCI_CLASS	0x09
#define PCI_CACHE_LINE	0x0c
#define PCI_BAR0	0x10
#define PCI_BAR1	0x14
#define PCI_SUB_VENDOR	0x2c
#define PCI_SUB_DEVICE	0x2e
#define PCI_CAP_PTR	0x34
#define PCI_INT_LINE	0x3c
#define PCI_INT_PIN	0x3d
#define CAP_PM		0x40
#define CAP_MESSAGES	0x50	/* MSI-X, MSI or none */
#define CAP_PCIE	0x80

#define COMMAND_MEMORY	0x0002u
#define COMMAND_MASTER	0x0004u
#define COMMAND_NO_INTX	0x0400u
/* Parity and SERR# enable may be set, and mean nothing here. */
#define COMMAND_BITS	(COMMAND_MEMORY | COMMAND_MASTER | 0x0140u | \
			 COMMAND_NO_INTX)
#define STATUS_INTX	0x08u
#define STATUS_CAPS	0x10u
#define BAR_64BIT	0x4u

#define PM_CSR		(CAP_PM + 4)
#define MSIX_CONTROL	(CAP_MESSAGES + 2)
#define MSI_CONTROL	(CAP_MESSAGES + 2)
#define MSI_ADDR	(CAP_MESSAGES + 4)
#define MSI_DATA	(CAP_MESSAGES + 12)
#define MSI_ENABLE	0x0001u
#define MSI_64BIT	0x0080u
#define PCIE_DEVCTL	(CAP_PCIE + 8)
#define PCIE_DEVCTL2	(CAP_PCIE + 0x28)
#define DEVCTL_FLR	0x8000u

/*
 * Identifiers of no vendor that the PCI-SIG lists; whoever has some of his own
 * gives them in leap_vdev_opts.
 */
#define LEAP_PCI_VENDOR	0x4c50
#define LEAP_PCI_DEVICE	0x4e56

/* What a guest may write: bytes of a mask, all others are read only. */
struct writable {
	uint16_t at;
	uint8_t bytes;
	uint32_t mask;
};

static const struct writable writable[] = {
	{ PCI_COMMAND, 2, COMMAND_BITS },
	{ PCI_CACHE_LINE, 1, 0xff },
	{ PCI_BAR0, 4, ~(LEAP_VDEV_BAR_BYTES - 1) },
	{ PCI_BAR1, 4, 0xffffffff },
	{ PCI_INT_LINE, 1, 0xff },
	{ PM_CSR, 2, 0x0003 },
	/* Bit 15 starts a reset and reads as zero. */
	{ PCIE_DEVCTL, 2, 0x7fff },
	{ PCIE_DEVCTL2, 2, 0x001f },
};

/* And of its kind of message. */
static const struct writable msix_writable[] = {
	{ MSIX_CONTROL, 2, 0xc000 },
};

static const struct writable msi_writable[] = {
	{ MSI_CONTROL, 2, 0x0071 },
	{ MSI_ADDR, 4, 0xfffffffc },
	{ MSI_ADDR + 4, 4, 0xffffffff },
	{ MSI_DATA, 2, 0xffff },
};

static void put16(struct leap_vdev *v, uint32_t at, uint32_t value)
{
	leap__put_le16(v->config + at, (uint16_t)value);
}

static void put32(struct leap_vdev *v, uint32_t at, uint32_t value)
{
	leap__put_le32(v->config + at, value);
}

/* The capability of messages, if there is one; where the chain goes on. */
static uint32_t init_messages(struct leap_vdev *v)
{
	uint32_t log = 0;

	switch (v->opts.irqs) {
	case LEAP_VDEV_HAS_MSIX:
		put16(v, CAP_MESSAGES, 0x11 | CAP_PCIE << 8);
		put16(v, MSIX_CONTROL, v->nr_vectors - 1);
		put32(v, CAP_MESSAGES + 4, LEAP_VDEV_MSIX_TABLE);
		put32(v, CAP_MESSAGES + 8, LEAP_VDEV_MSIX_PBA);
		return CAP_MESSAGES;
	case LEAP_VDEV_HAS_MSI:
		while (1u << log < v->nr_vectors)
			log++;
		put16(v, CAP_MESSAGES, 0x05 | CAP_PCIE << 8);
		put16(v, MSI_CONTROL, MSI_64BIT | log << 1);
		return CAP_MESSAGES;
	default:
		return CAP_PCIE;
	}
}

static void init_caps(struct leap_vdev *v)
{
	v->config[PCI_CAP_PTR] = CAP_PM;
	/* Power management: version 3, D0 and D3 only, no reset between. */
	put16(v, CAP_PM, 0x01 | init_messages(v) << 8);
	put16(v, CAP_PM + 2, 0x0003);
	put16(v, PM_CSR, 0x0008);
	/* PCI Express: version 2 endpoint; role based errors, FLR. */
	put16(v, CAP_PCIE, 0x10);
	put16(v, CAP_PCIE + 2, 0x0002);
	put32(v, CAP_PCIE + 4, 1u << 28 | 1u << 15);
	/* Relaxed ordering, no snoop, reads of 512 bytes. */
	put16(v, PCIE_DEVCTL, 0x2810);
	/* A link of one lane at 2.5 GT/s: what is there at all. */
	put32(v, CAP_PCIE + 0x0c, 0x11);
	put16(v, CAP_PCIE + 0x12, 0x11);
	put32(v, CAP_PCIE + 0x24, 1u << 4);
}

void leap__vdev_pci_init(struct leap_vdev *v)
{
	const struct leap_vdev_opts *o = &v->opts;
	uint16_t vendor = o->vendor_id ? o->vendor_id : LEAP_PCI_VENDOR;

	memset(v->config, 0, sizeof(v->config));
	put16(v, PCI_VENDOR, vendor);
	put16(v, PCI_DEVICE, o->device_id ? o->device_id : LEAP_PCI_DEVICE);
	put16(v, PCI_STATUS, STATUS_CAPS);
	v->config[PCI_CLASS] = 0x02;	/* NVM Express, I/O controller */
	v->config[PCI_CLASS + 1] = 0x08;
	v->config[PCI_CLASS + 2] = 0x01;
	put32(v, PCI_BAR0, BAR_64BIT);
	put16(v, PCI_SUB_VENDOR, o->subsystem_vendor_id ?
	      o->subsystem_vendor_id : vendor);
	put16(v, PCI_SUB_DEVICE, o->subsystem_id ? o->subsystem_id : 1);
	v->config[PCI_INT_PIN] = 1;
	init_caps(v);
	v->front.vendor_id = vendor;
	v->front.subsystem_vendor_id =
		leap__get_le16(v->config + PCI_SUB_VENDOR);
}

int leap__vdev_bus_master(const struct leap_vdev *v)
{
	return !!(leap__get_le16(v->config + PCI_COMMAND) & COMMAND_MASTER);
}

int leap__vdev_intx_allowed(const struct leap_vdev *v)
{
	return !(leap__get_le16(v->config + PCI_COMMAND) & COMMAND_NO_INTX);
}

/* ---- configuration space ---- */

void leap_vdev_config_read(struct leap_vdev *v, uint64_t offset, void *buf,
			   uint32_t bytes)
{
	uint8_t *to = buf;
	uint32_t i;

	if (!v->c) {
		memset(buf, 0xff, bytes);
		return;
	}
	for (i = 0; i < bytes; i++) {
		uint64_t at = offset + i;

		/* Where addresses end, nothing begins again. */
		if (at < offset || at >= sizeof(v->config)) {
			to[i] = 0xff;
			continue;
		}
		to[i] = v->config[at];
		if (at == PCI_STATUS && v->level)
			to[i] |= STATUS_INTX;
	}
}

static uint8_t mask_in(const struct writable *w, size_t n, uint32_t at)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (at >= w[i].at && at < w[i].at + (uint32_t)w[i].bytes)
			return (uint8_t)(w[i].mask >> 8 * (at - w[i].at));
	return 0;
}

#define MASK_IN(table, at) \
	mask_in(table, sizeof(table) / sizeof((table)[0]), at)

/* Byte @at of the masks. */
static uint8_t mask_at(const struct leap_vdev *v, uint32_t at)
{
	uint8_t mask = MASK_IN(writable, at);

	if (v->opts.irqs == LEAP_VDEV_HAS_MSIX)
		mask |= MASK_IN(msix_writable, at);
	else if (v->opts.irqs == LEAP_VDEV_HAS_MSI)
		mask |= MASK_IN(msi_writable, at);
	return mask;
}

/* What was written may be about messages. */
static void messages_control(struct leap_vdev *v)
{
	uint32_t ctrl = leap__get_le16(v->config + MSIX_CONTROL), log;

	if (v->opts.irqs == LEAP_VDEV_HAS_MSIX)
		leap__vdev_msix_control(v, ctrl);
	if (v->opts.irqs != LEAP_VDEV_HAS_MSI)
		return;
	/* A guest may not allow itself more of them than there are. */
	log = ctrl >> 4 & 7;
	if (log > (ctrl >> 1 & 7))
		log = ctrl >> 1 & 7;
	leap__vdev_msi_control(v, ctrl & MSI_ENABLE, 1u << log,
			       leap__get_le64(v->config + MSI_ADDR),
			       leap__get_le16(v->config + MSI_DATA));
}

void leap_vdev_config_write(struct leap_vdev *v, uint64_t offset,
			    const void *buf, uint32_t bytes)
{
	const uint8_t *from = buf;
	int was_master, flr = 0;
	uint32_t i;

	if (!v->c)
		return;
	was_master = leap__vdev_bus_master(v);
	for (i = 0; i < bytes && offset + i < sizeof(v->config); i++) {
		uint32_t at = (uint32_t)offset + i;
		uint8_t mask = mask_at(v, at);

		v->config[at] = (uint8_t)((v->config[at] & ~mask) |
					  (from[i] & mask));
		if (at == PCIE_DEVCTL + 1)
			flr = !!(from[i] & DEVCTL_FLR >> 8);
	}
	if (flr) {
		leap__vdev_do_reset(v);
		return;
	}
	messages_control(v);
	if (!was_master && leap__vdev_bus_master(v))
		leap__vdev_ring_all(v);
	leap__vdev_intx_update(v);
}

/* ---- BAR 0 ---- */

static uint32_t read_dword(struct leap_vdev *v, uint64_t at)
{
	uint8_t b[4];

	if (at < LEAP_REG_DBL) {
		leap__ctrl_reg_read(v->c, at, b, 4);
		return leap__get_le32(b);
	}
	if (at < LEAP_VDEV_MSIX_TABLE || v->opts.irqs != LEAP_VDEV_HAS_MSIX)
		return 0;	/* doorbells are written only */
	if (at < LEAP_VDEV_MSIX_PBA)
		return leap__vdev_table_read(v, (uint32_t)at -
					     LEAP_VDEV_MSIX_TABLE);
	return leap__vdev_pba_read(v, (uint32_t)at - LEAP_VDEV_MSIX_PBA);
}

void leap_vdev_bar_read(struct leap_vdev *v, uint64_t offset, void *buf,
			uint32_t bytes)
{
	uint8_t *to = buf, word[4] = { 0 };
	uint32_t i;

	for (i = 0; i < bytes; i++) {
		uint64_t at = offset + i;

		if (!v->c || v->c->dead || at < offset ||
		    at >= LEAP_VDEV_BAR_BYTES) {
			to[i] = 0xff;
			continue;
		}
		if (!i || at % 4 == 0)
			leap__put_le32(word, read_dword(v, at & ~3ull));
		to[i] = word[at % 4];
	}
}

static void write_doorbell(struct leap_vdev *v, uint32_t offset,
			   uint32_t value)
{
	uint32_t n = (offset - LEAP_REG_DBL) / 4;

	v->doorbells++;
	if (n & 1)
		leap__vdev_cq_doorbell(v, n / 2, value);
	else
		leap__vdev_sq_doorbell(v, n / 2, value);
}

void leap_vdev_bar_write(struct leap_vdev *v, uint64_t offset, const void *buf,
			 uint32_t bytes)
{
	const uint8_t *from = buf;
	uint32_t i;

	if (!v->c || v->c->dead || (bytes != 4 && bytes != 8) ||
	    offset % bytes || offset >= LEAP_VDEV_BAR_BYTES)
		return;
	if (offset < LEAP_REG_DBL) {
		leap__ctrl_reg_write(v->c, offset, buf, bytes);
		leap__vdev_irq_mask(v);
		leap__vdev_intx_update(v);
		return;
	}
	if (offset < LEAP_VDEV_MSIX_TABLE) {
		/* Two doorbells at once have no meaning. */
		if (bytes == 4)
			write_doorbell(v, (uint32_t)offset,
				       leap__get_le32(from));
		return;
	}
	if (v->opts.irqs != LEAP_VDEV_HAS_MSIX)
		return;
	for (i = 0; i < bytes && offset < LEAP_VDEV_MSIX_PBA; i += 4)
		leap__vdev_table_write(v, (uint32_t)offset + i -
				       LEAP_VDEV_MSIX_TABLE,
				       leap__get_le32(from + i));
}
