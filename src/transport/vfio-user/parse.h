/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parse.h - what a client says, checked and copied
 *
 * Pure functions over bytes: no socket, no device. What passes here has every
 * length, count and flag right in itself; whether the region, range or vector
 * that it names is there is for the device to say.
 */
#ifndef LEAP_VFIO_USER_PARSE_H
#define LEAP_VFIO_USER_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "transport/vfio-user/proto.h"

/* What the other end said about itself in its VERSION message. */
struct leap__vfu_caps {
	uint64_t max_msg_fds;
	uint64_t max_data_xfer_size;
	uint64_t pgsizes;
	uint64_t max_dma_maps;
	bool write_multiple;
};

/* A request; pointers are into the payload. */
struct leap__vfu_req {
	struct leap__vfu_hdr hdr;
	bool no_reply;
	union {
		struct {
			struct leap__vfu_version version;
			struct leap__vfu_caps caps;
		};
		struct leap__vfu_dma_map map;
		struct leap__vfu_dma_unmap unmap;
		struct leap__vfu_device_info device;
		struct leap__vfu_region_info region;
		struct leap__vfu_io_fds io_fds;
		struct leap__vfu_irq_info irq;
		struct {
			struct leap__vfu_set_irqs set;
			const uint8_t *bools;	/* set.count of them */
		};
		struct {
			struct leap__vfu_access access;
			const uint8_t *data;	/* of a write */
		};
		struct {
			uint64_t nr_writes;
			const uint8_t *writes;	/* nr_writes, unaligned */
		};
	};
};

/*
 * leap__vfu_size - how long is a message with this header?
 *
 * Returns: its bytes, header included; -EPROTO: the stream is lost
 */
int leap__vfu_size(const uint8_t *head);

/*
 * leap__vfu_parse - a command of a client
 *
 * @bytes:  of @payload, as leap__vfu_size said, without the header
 * @nr_fds: that came with it
 * Returns: 0; the negative errno of the error reply: -EINVAL, -EOPNOTSUPP no
 *          such command, -ENOTSUP an option that is not served. req->hdr and
 *          req->no_reply are set in any case
 */
int leap__vfu_parse(const struct leap__vfu_hdr *hdr, const void *payload,
		    uint32_t bytes, uint32_t nr_fds,
		    struct leap__vfu_req *req);

/* One of req->writes. */
void leap__vfu_write_at(const struct leap__vfu_req *req, uint64_t i,
			struct leap__vfu_write1 *out);

/*
 * leap__vfu_caps_parse - the JSON of a VERSION message
 *
 * @text:  @bytes with a NUL in the last place; 0 bytes = nothing was said
 * @caps:  what was said, the standard's defaults for the rest
 * Returns: 0; -EINVAL not JSON, too deep, or a number out of range
 */
int leap__vfu_caps_parse(const char *text, size_t bytes,
			 struct leap__vfu_caps *caps);

/* Ours, with its NUL, for a VERSION message. Returns: bytes, -ENOSPC */
int leap__vfu_caps_print(char *text, size_t max,
			 const struct leap__vfu_caps *caps);

#endif
