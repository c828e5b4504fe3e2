/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * region.h - what those who pass a dmabuf's fd on have to know beside it
 */
#ifndef LEAP_DMABUF_REGION_H
#define LEAP_DMABUF_REGION_H

#include <leapio/dmabuf.h>

#include "util/list.h"

/*
 * A holder keeps a reference only because that may save work later: a device
 * that has been told of the memory. When somebody wants the memory back, or
 * nobody but holders has it any more, it is asked to let go: to have the device
 * forget the memory, then call leap__dmabuf_unhold and put its reference.
 */
struct leap__dmabuf_holder {
	struct leap__list link;		/* of the buffer, under its lock */
	uint64_t nr;			/* in the order of coming */
	/* May be called several times, on any thread, under the buffer's lock:
	 * send a message, call nothing of this file. */
	void (*wanted)(struct leap__dmabuf_holder *holder);
};

/* A wish to have it back; the memory stays its sender's until done. */
struct leap__dmabuf_recall {
	struct leap__list link;
	uint64_t upto;			/* holders that came before */
	/* Once, on the thread of the last holder, or from within the call. */
	void (*done)(struct leap__dmabuf_recall *recall);
};

/* Context: any */
void leap__dmabuf_hold(struct leap_dmabuf *buf,
		       struct leap__dmabuf_holder *holder);
void leap__dmabuf_unhold(struct leap_dmabuf *buf,
			 struct leap__dmabuf_holder *holder);

/* Have all let go that hold it now. Who asks has a reference until done.
 * Context: any */
void leap__dmabuf_recall(struct leap_dmabuf *buf,
			 struct leap__dmabuf_recall *recall);

/* Where in leap_dmabuf_fd() the first byte lies. Context: any */
uint64_t leap__dmabuf_offset(const struct leap_dmabuf *buf);

/* The page size that mappings of @fd must respect. Context: any */
uint32_t leap__dmabuf_fd_page_bytes(int fd);

#endif
