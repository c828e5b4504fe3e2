/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ocssd-fixture.h - a guest of an open-channel drive: its commands, with lists
 * in its memory, and a translation layer over them
 */
#ifndef LEAP_TESTS_OCSSD_FIXTURE_H
#define LEAP_TESTS_OCSSD_FIXTURE_H

#include "vdev-fixture.h"

#include <stdio.h>

#include <leapio/ocssd.h>

#include "pblk.h"
#include "rand.h"

#define NSID	5
#define B	4096u
#define DRIVE	"ocssd[groups=2,pus=3,chunks=12,blocks=24,ws_min=4,cunits=8"

/* 2 groups: 1 bit; 3 units: 2; 12 chunks: 4; 24 blocks: 5. */
static inline uint64_t ppa(uint32_t group, uint32_t pu, uint32_t chunk,
			   uint32_t block)
{
	return (uint64_t)group << 11 | pu << 9 | chunk << 5 | block;
}

void bring_up(struct vx *w, const char *stack);
/* @data: NULL, or what is written, or where to put what is read. */
leap_status_t vec(struct vx *w, uint8_t opc, const uint64_t *at,
		  const uint64_t *to, uint32_t nr, void *data, uint64_t *bad);
leap_status_t adm(struct vx *w, uint8_t opc, uint64_t dw10, uint32_t dw12,
		  uint32_t dw13, void *buf, uint32_t bytes);
/* So many writes, each with a read, and all read at the end. The caller frees
 * what comes back. */
struct pblk *pblk_run(struct vx *w, uint32_t writes);

#endif
