/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto.h - vfio-user on the wire
 *
 * One Unix stream is one client (a hypervisor) and one device. A message is 16
 * bytes of header and a payload; file descriptors come with the header's first
 * byte. Everything is in the byte order of the machine that both ends run on.
 * Commands go both ways, each with one reply unless it says that it wants none.
 *
 * Spec: QEMU docs/interop/vfio-user.rst
 */
#ifndef LEAP_VFIO_USER_PROTO_H
#define LEAP_VFIO_USER_PROTO_H

#include <stdint.h>

#define LEAP__VFU_MAJOR		0
#define LEAP__VFU_MINOR		1	/* the highest that is spoken */
#define LEAP__VFU_MAX_FDS	16	/* of one message */
#define LEAP__VFU_MAX_DATA	65536u	/* of one access */
/* Each is a mapping and two descriptors of this process, which serves others as
 * well, and an unmap takes longer the more there are. Virtual machines have
 * some dozens. */
#define LEAP__VFU_MAX_MAPS	4096u
#define LEAP__VFU_MAX_JSON	4096u	/* of a VERSION message */
#define LEAP__VFU_PAGE		4096u

/* The longest payload: an access with its 16 bytes in front. */
#define LEAP__VFU_MAX_PAYLOAD	(16u + LEAP__VFU_MAX_DATA)

enum leap__vfu_cmd {
	LEAP__VFU_VERSION = 1,
	LEAP__VFU_DMA_MAP = 2,
	LEAP__VFU_DMA_UNMAP = 3,
	LEAP__VFU_GET_INFO = 4,
	LEAP__VFU_REGION_INFO = 5,
	LEAP__VFU_REGION_IO_FDS = 6,
	LEAP__VFU_IRQ_INFO = 7,
	LEAP__VFU_SET_IRQS = 8,
	LEAP__VFU_REGION_READ = 9,
	LEAP__VFU_REGION_WRITE = 10,
	LEAP__VFU_DMA_READ = 11,	/* from the device to the client */
	LEAP__VFU_DMA_WRITE = 12,	/* the same */
	LEAP__VFU_RESET = 13,
	LEAP__VFU_WRITE_MULTI = 15,
};

struct leap__vfu_hdr {
	uint16_t id;		/* the sender's; in the reply again */
	uint16_t cmd;		/* enum leap__vfu_cmd */
	uint32_t size;		/* with this header */
	uint32_t flags;
	uint32_t err;		/* a positive errno, with LEAP__VFU_ERROR */
};

#define LEAP__VFU_TYPE		0xfu
#define LEAP__VFU_COMMAND	0u
#define LEAP__VFU_REPLY		1u
#define LEAP__VFU_NO_REPLY	0x10u
#define LEAP__VFU_ERROR		0x20u

struct leap__vfu_version {
	uint16_t major;
	uint16_t minor;
	/* JSON with its NUL, or nothing */
};

struct leap__vfu_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;	/* in the file, when one came */
	uint64_t addr;
	uint64_t bytes;
};

#define LEAP__VFU_MAP_READ	1u
#define LEAP__VFU_MAP_WRITE	2u
#define LEAP__VFU_MAP_MODES	0xcu	/* how to reach it: said by some */

struct leap__vfu_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t addr;
	uint64_t bytes;
};

#define LEAP__VFU_UNMAP_DIRTY	1u	/* and give back what was written */
#define LEAP__VFU_UNMAP_ALL	2u

struct leap__vfu_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t nr_regions;
	uint32_t nr_irqs;
};

#define LEAP__VFU_DEV_RESET	1u
#define LEAP__VFU_DEV_PCI	2u

enum {
	LEAP__VFU_BAR0 = 0,
	LEAP__VFU_CONFIG = 7,
	LEAP__VFU_NR_REGIONS = 9,
};

struct leap__vfu_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t bytes;		/* 0: there is none */
	uint64_t offset;
};

#define LEAP__VFU_REGION_R	1u
#define LEAP__VFU_REGION_W	2u

struct leap__vfu_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

enum {
	LEAP__VFU_IRQ_INTX = 0,
	LEAP__VFU_IRQ_MSI = 1,
	LEAP__VFU_IRQ_MSIX = 2,
	LEAP__VFU_IRQ_ERR = 3,
	LEAP__VFU_IRQ_REQ = 4,
	LEAP__VFU_NR_IRQS = 5,
};

struct leap__vfu_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

#define LEAP__VFU_IRQ_EVENTFD		1u
#define LEAP__VFU_IRQ_MASKABLE		2u
#define LEAP__VFU_IRQ_AUTOMASKED	4u
#define LEAP__VFU_IRQ_NORESIZE		8u

struct leap__vfu_set_irqs {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	/* count bytes with DATA_BOOL */
};

#define LEAP__VFU_SET_NONE	1u	/* data: none */
#define LEAP__VFU_SET_BOOL	2u	/* a byte each */
#define LEAP__VFU_SET_EVENTFD	4u	/* an fd each, or none at all */
#define LEAP__VFU_SET_DATA	7u
#define LEAP__VFU_SET_MASK	8u
#define LEAP__VFU_SET_UNMASK	16u
#define LEAP__VFU_SET_TRIGGER	32u
#define LEAP__VFU_SET_ACTION	56u

/* REGION_READ, REGION_WRITE and their replies. */
struct leap__vfu_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	/* data of writes and of replies to reads */
};

/* REGION_WRITE_MULTI: a uint64_t of how many, then these. */
struct leap__vfu_write1 {
	uint64_t offset;
	uint32_t region;
	uint32_t count;		/* 1..8 */
	uint8_t data[8];
};

#define LEAP__VFU_MAX_MULTI	((LEAP__VFU_MAX_PAYLOAD - 8u) / 24u)

/*
 * DMA_READ and DMA_WRITE. QEMU 10.1 has a 32-bit count here, with the data in
 * byte 12: an error of that release.
 */
struct leap__vfu_dma {
	uint64_t addr;
	uint64_t count;
	/* data of writes and of replies to reads */
};

_Static_assert(sizeof(struct leap__vfu_hdr) == 16, "header");
_Static_assert(sizeof(struct leap__vfu_dma_map) == 32, "DMA_MAP");
_Static_assert(sizeof(struct leap__vfu_dma_unmap) == 24, "DMA_UNMAP");
_Static_assert(sizeof(struct leap__vfu_region_info) == 32, "REGION_INFO");
_Static_assert(sizeof(struct leap__vfu_set_irqs) == 20, "SET_IRQS");
_Static_assert(sizeof(struct leap__vfu_access) == 16, "REGION_READ");
_Static_assert(sizeof(struct leap__vfu_write1) == 24, "WRITE_MULTI");
_Static_assert(sizeof(struct leap__vfu_dma) == 16, "DMA_READ");

#endif
