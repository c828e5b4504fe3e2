/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ng.h - a namespace whose device the kernel drives
 *
 * ng.c is the leaf "ng:/dev/ngXnY": a relay's data path (command.c, list.c)
 * whose commands go to the kernel's pass-through instead of a host end.
 * ng_kernel.c is that pass-through, behind a table, so that tests can be one.
 */
#ifndef LEAP_BLOCK_RELAY_NG_H
#define LEAP_BLOCK_RELAY_NG_H

#include <sys/uio.h>

#include "block/relay/relay.h"

struct leap__ng_event {
	uint32_t tag;
	int32_t res;	/* 0, an NVMe status, or -errno: it was not carried out
			 * as far as the kernel knows */
	uint64_t result;	/* DW0 and DW1 */
};

struct leap__ng_kernel {
	/* Control path, any thread; may block. 0 or -errno. */
	int (*open)(const char *path, bool *read_only, void **dev);
	void (*close)(void *dev);
	/* Nobody else is to use the namespace: -EBUSY somebody does. */
	int (*hold)(void *dev, const char *path);
	int (*nsid)(void *dev);
	/* What the kernel takes as one command, where it says so: bytes, and
	 * pages or parts of them. */
	void (*limits)(const char *path, uint32_t *bytes, uint32_t *segments);
	/* How many blocks of 512 bytes it has now; -errno: nobody says. Does
	 * not block. */
	int (*size)(const char *path, uint64_t *blocks_512);
	/* An NVMe status, or -errno. */
	int (*admin)(void *dev, const struct leap_sqe *sqe, void *data,
		     uint32_t bytes);
	/* On the thread that uses the ring. */
	int (*ring_open)(void *dev, uint32_t depth, int event_fd, void **ring);
	void (*ring_close)(void *ring);
	/* @tag is below depth and not out. @iov is in use until it is reaped.
	 * 0, or -EAGAIN: after push. */
	int (*submit)(void *ring, uint32_t tag, const struct leap_sqe *sqe,
		      struct iovec *iov, uint32_t nr_iov, uint32_t bytes);
	void (*push)(void *ring);
	uint32_t (*reap)(void *ring, struct leap__ng_event *events,
			 uint32_t max);
	/* The event fd is signalled for what completes from now on, or not.
	 * 1: something is complete. */
	int (*arm)(void *ring, bool on);
};

/* A table of its own: a copy of leap__ng_ops over something else. */
struct leap__ng_layer {
	struct leap_bdev_ops ops;	/* first */
	const struct leap__ng_kernel *kernel;
};

extern const struct leap_bdev_ops leap__ng_ops;
extern const struct leap__ng_kernel leap__ng_kernel;

#endif
