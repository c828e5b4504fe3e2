/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfu-client.h - a scripted vfio-user client beside its server, one thread
 *
 * Every wait polls the server's group. Answers are kept whole in c->hdr and
 * c->in until the next.
 */
#ifndef LEAP_TESTS_VFU_CLIENT_H
#define LEAP_TESTS_VFU_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "transport/vfio-user/proto.h"

struct leap_pollgroup;

struct vfu_client {
	struct leap_pollgroup *pg;
	int sock;
	uint16_t id;
	struct leap__vfu_hdr hdr;	/* of the last answer */
	uint8_t in[1 << 17];
};

/* Connect to @path. 0, -1 */
int vfu_connect(struct vfu_client *c, struct leap_pollgroup *pg,
		const char *path);
void vfu_close(struct vfu_client *c);
/* Poll for as long as there is something to do, and a little more. */
void vfu_settle(struct leap_pollgroup *pg);

/* Bytes as they are. */
void vfu_raw(struct vfu_client *c, const void *p, size_t n, const int *fds,
	     uint32_t nr_fds);
/* A message with a header that is right. @flags: LEAP__VFU_NO_REPLY */
void vfu_send(struct vfu_client *c, uint16_t cmd, uint32_t flags,
	      const void *payload, size_t n, const int *fds, uint32_t nr_fds);
/* Is there an answer? Its payload's bytes, or -1. -2: the server hung up. */
int vfu_peek(struct vfu_client *c);
/* Send, and wait for the answer: 0 and *@bytes, or the errno of an error
 * (positive); -2 hung up */
int vfu_ask(struct vfu_client *c, uint16_t cmd, const void *payload, size_t n,
	    const int *fds, uint32_t nr_fds, int *bytes);
/* VERSION by the book. */
int vfu_hello(struct vfu_client *c);

/* Short forms; answers as vfu_ask. */
int vfu_map(struct vfu_client *c, uint64_t addr, uint64_t bytes, int fd,
	    uint64_t offset, uint32_t flags);
int vfu_unmap(struct vfu_client *c, uint64_t addr, uint64_t bytes,
	      uint32_t flags);
int vfu_read(struct vfu_client *c, uint32_t region, uint64_t offset, void *buf,
	     uint32_t n);
int vfu_write(struct vfu_client *c, uint32_t region, uint64_t offset,
	      const void *buf, uint32_t n, uint32_t flags);
int vfu_set_irqs(struct vfu_client *c, uint32_t flags, uint32_t index,
		 uint32_t start, uint32_t count, const void *bools,
		 const int *fds, uint32_t nr_fds);

#endif
