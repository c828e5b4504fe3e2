/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * region.h - what those who pass a dmabuf's fd on have to know beside it
 */
#ifndef LEAP_DMABUF_REGION_H
#define LEAP_DMABUF_REGION_H

#include <leapio/dmabuf.h>

/* Where in leap_dmabuf_fd() the first byte lies. Context: any */
uint64_t leap__dmabuf_offset(const struct leap_dmabuf *buf);

/* The page size that mappings of @fd must respect. Context: any */
uint32_t leap__dmabuf_fd_page_bytes(int fd);

#endif
