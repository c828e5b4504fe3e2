/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proto.h - the messages of vfio-user, as they lie on the socket
 *
 * One Unix stream connection is one client and one device. Both ends run on
 * one machine: integers are in host byte order. A message is a header and a
 * payload; descriptors travel with the first byte of the header.
 *
 *	client (virtual machine monitor)        server (device)
 *	   command, flags 0            ------->
 *	                               <-------  reply, same id, flags 1
 *	   command with NO_REPLY       ------->  (posted writes)
 *	   reply                       <-------  DMA_READ, DMA_WRITE
 *
 * An error reply is a header alone. Commands are answered in their order.
 */
#ifndef LEAP_VFIO_USER_PROTO_H
#define LEAP_VFIO_USER_PROTO_H

#include <stddef.h>
#include <stdint.h>

#define LEAP__VFU_MAJOR		0u
#define LEAP__VFU_MINOR		0u

enum leap__vfu_command {
	LEAP__VFU_VERSION = 1,
	LEAP__VFU_DMA_MAP = 2,
	LEAP__VFU_DMA_UNMAP = 3,
	LEAP__VFU_GET_INFO = 4,
	LEAP__VFU_GET_REGION_INFO = 5,
	LEAP__VFU_GET_REGION_IO_FDS = 6,
	LEAP__VFU_GET_IRQ_INFO = 7,
	LEAP__VFU_SET_IRQS = 8,
	LEAP__VFU_REGION_READ = 9,
	LEAP__VFU_REGION_WRITE = 10,
	LEAP__VFU_DMA_READ = 11,	/* server to client */
	LEAP__VFU_DMA_WRITE = 12,	/* server to client */
	LEAP__VFU_RESET = 13,
	LEAP__VFU_REGION_WRITE_MULTI = 15,
	LEAP__VFU_FEATURE = 16,
};

struct leap__vfu_header {
	uint16_t id;		/* the sender's; the reply has it too */
	uint16_t command;	/* enum leap__vfu_command */
	uint32_t size;		/* of the message, header included */
	uint32_t flags;		/* LEAP__VFU_F_x */
	uint32_t err;		/* errno, with LEAP__VFU_F_ERROR */
};

#define LEAP__VFU_F_TYPE_MASK	0xfu
#define LEAP__VFU_F_COMMAND	0x0u
#define LEAP__VFU_F_REPLY	0x1u
#define LEAP__VFU_F_NO_REPLY	0x10u
#define LEAP__VFU_F_ERROR	0x20u

/* VERSION; then a JSON text with its NUL, or nothing. */
struct leap__vfu_version {
	uint16_t major;
	uint16_t minor;
};

/* What holds when a peer's JSON does not say. */
#define LEAP__VFU_DEF_MSG_FDS	1u
#define LEAP__VFU_DEF_DATA_XFER	1048576u
#define LEAP__VFU_DEF_PGSIZES	4096u
#define LEAP__VFU_DEF_DMA_MAPS	65535u

struct leap__vfu_dma_map {
	uint32_t argsz;
	uint32_t flags;		/* LEAP__VFU_DMA_x */
	uint64_t offset;	/* in the fd that came along */
	uint64_t iova;
	uint64_t bytes;
};

#define LEAP__VFU_DMA_R		(1u << 0)	/* the device may read it */
#define LEAP__VFU_DMA_W		(1u << 1)	/* the device may write it */

struct leap__vfu_dma_unmap {
	uint32_t argsz;
	uint32_t flags;		/* LEAP__VFU_UNMAP_x */
	uint64_t iova;
	uint64_t bytes;
};

#define LEAP__VFU_UNMAP_BITMAP	(1u << 0)	/* dirty pages, too */
#define LEAP__VFU_UNMAP_ALL	(1u << 1)	/* iova and bytes 0 */

struct leap__vfu_info {
	uint32_t argsz;
	uint32_t flags;		/* LEAP__VFU_DEV_x */
	uint32_t nr_regions;
	uint32_t nr_irqs;
};

#define LEAP__VFU_DEV_RESET	(1u << 0)
#define LEAP__VFU_DEV_PCI	(1u << 1)

struct leap__vfu_region_info {
	uint32_t argsz;
	uint32_t flags;		/* LEAP__VFU_REGION_x */
	uint32_t index;		/* enum leap__vfu_region */
	uint32_t cap_offset;	/* from here to the first capability */
	uint64_t bytes;		/* 0 = there is none */
	uint64_t offset;	/* for mmap */
};

#define LEAP__VFU_REGION_READ_OK	(1u << 0)
#define LEAP__VFU_REGION_WRITE_OK	(1u << 1)
#define LEAP__VFU_REGION_MMAP		(1u << 2)
#define LEAP__VFU_REGION_CAPS		(1u << 3)

enum leap__vfu_region {
	LEAP__VFU_BAR0 = 0,	/* to BAR 5 */
	LEAP__VFU_ROM = 6,
	LEAP__VFU_CONFIG = 7,
	LEAP__VFU_VGA = 8,
	LEAP__VFU_NR_REGIONS = 9,
};

/* Header of a region capability. */
struct leap__vfu_cap {
	uint16_t id;		/* LEAP__VFU_CAP_x */
	uint16_t version;
	uint32_t next;		/* from the region info; 0 = last */
};

#define LEAP__VFU_CAP_SPARSE	1u	/* sparse mmap */

struct leap__vfu_irq_info {
	uint32_t argsz;
	uint32_t flags;		/* LEAP__VFU_IRQ_x */
	uint32_t index;		/* enum leap__vfu_irq_index */
	uint32_t count;
};

#define LEAP__VFU_IRQ_EVENTFD	(1u << 0)
#define LEAP__VFU_IRQ_MASKABLE	(1u << 1)
#define LEAP__VFU_IRQ_AUTOMASKED (1u << 2)
#define LEAP__VFU_IRQ_NORESIZE	(1u << 3)

enum leap__vfu_irq_index {
	LEAP__VFU_INTX = 0,
	LEAP__VFU_MSI = 1,
	LEAP__VFU_MSIX = 2,
	LEAP__VFU_ERR = 3,
	LEAP__VFU_REQ = 4,
	LEAP__VFU_NR_IRQS = 5,
};

/* SET_IRQS; then count bytes with DATA_BOOL. With DATA_EVENTFD up to count
 * descriptors; none takes those of the vectors away. */
struct leap__vfu_set_irqs {
	uint32_t argsz;
	uint32_t flags;		/* LEAP__VFU_SET_x, a datum and an action */
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

#define LEAP__VFU_SET_NONE	(1u << 0)
#define LEAP__VFU_SET_BOOL	(1u << 1)
#define LEAP__VFU_SET_EVENTFD	(1u << 2)
#define LEAP__VFU_SET_MASK	(1u << 3)
#define LEAP__VFU_SET_UNMASK	(1u << 4)
#define LEAP__VFU_SET_TRIGGER	(1u << 5)

/* REGION_READ and REGION_WRITE; the bytes follow it in the reply to a read and
 * in a write. */
struct leap__vfu_region_rw {
	uint64_t offset;
	uint32_t region;	/* enum leap__vfu_region */
	uint32_t count;
};

/* One write of a REGION_WRITE_MULTI, whose payload opens with their number. */
struct leap__vfu_write_one {
	uint64_t offset;
	uint32_t region;
	uint32_t count;		/* <= 8 */
	uint8_t data[8];
};

/* DMA_READ and DMA_WRITE; the bytes follow it. */
struct leap__vfu_dma_rw {
	uint64_t iova;
	uint64_t count;
};

/* DEVICE_FEATURE; its data follows. */
struct leap__vfu_feature {
	uint32_t argsz;
	uint32_t flags;		/* 15:0 which; LEAP__VFU_FEATURE_x */
};

#define LEAP__VFU_FEATURE_GET	(1u << 16)
#define LEAP__VFU_FEATURE_SET	(1u << 17)
#define LEAP__VFU_FEATURE_PROBE	(1u << 18)

_Static_assert(sizeof(struct leap__vfu_header) == 16, "header");
_Static_assert(offsetof(struct leap__vfu_header, size) == 4, "size");
_Static_assert(offsetof(struct leap__vfu_header, flags) == 8, "flags");
_Static_assert(sizeof(struct leap__vfu_version) == 4, "version");
_Static_assert(sizeof(struct leap__vfu_dma_map) == 32, "map");
_Static_assert(offsetof(struct leap__vfu_dma_map, iova) == 16, "map iova");
_Static_assert(sizeof(struct leap__vfu_dma_unmap) == 24, "unmap");
_Static_assert(offsetof(struct leap__vfu_dma_unmap, iova) == 8, "unmap iova");
_Static_assert(sizeof(struct leap__vfu_info) == 16, "info");
_Static_assert(sizeof(struct leap__vfu_region_info) == 32, "region info");
_Static_assert(offsetof(struct leap__vfu_region_info, bytes) == 16, "bytes");
_Static_assert(sizeof(struct leap__vfu_cap) == 8, "capability");
_Static_assert(sizeof(struct leap__vfu_irq_info) == 16, "irq info");
_Static_assert(sizeof(struct leap__vfu_set_irqs) == 20, "set irqs");
_Static_assert(sizeof(struct leap__vfu_region_rw) == 16, "region access");
_Static_assert(sizeof(struct leap__vfu_write_one) == 24, "one of many");
_Static_assert(sizeof(struct leap__vfu_dma_rw) == 16, "dma access");
_Static_assert(sizeof(struct leap__vfu_feature) == 8, "feature");

#endif
