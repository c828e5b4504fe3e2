/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest-driver.h - a guest with one virtual drive: RAM, a driver that goes by
 * the book, and everything that a worse one needs
 *
 * Nothing is hidden: tests read and write rings, doorbells and registers as
 * they like beside it. Calls that wait poll the given function.
 */
#ifndef LEAP_TESTS_GUEST_DRIVER_H
#define LEAP_TESTS_GUEST_DRIVER_H

#include "serve.h"

#include <leapio/dmabuf.h>
#include <leapio/vdev.h>

#define GD_PAGE		4096u
#define GD_BASE		0x100000000ull	/* of the RAM, guest physical */
#define GD_CC_ENABLE	0x00460001u

struct gd_cq {
	uint16_t qid;
	uint32_t depth, head;
	uint32_t phase;
	uint64_t gpa;
};

struct gd_sq {
	uint16_t qid;
	uint32_t depth, tail;
	uint32_t head;		/* by SQHD */
	uint64_t gpa;
	struct gd_cq *cq;
};

struct gd {
	struct leap_vdev *v;
	void (*poll)(void *arg);
	void *poll_arg;
	struct leap_dmabuf *ram;
	uint8_t *mem;
	uint64_t bytes, used;
	struct gd_sq asq;
	struct gd_cq acq;
	uint64_t shadow, eventidx;	/* pages, 0 = none */
	uint64_t mmio;			/* doorbells written */
	uint16_t cid;
	uint64_t result;		/* DW0, DW1 of the last command */
	leap_status_t raw;		/* its status with all bits */
	/* What came for others while one was waited for. */
	leap_status_t status[65536];
	uint8_t done[65536];
};

/* RAM of @bytes for @v, which it gets by leap_vdev_mem_add. */
struct gd *gd_new(struct leap_vdev *v, uint64_t bytes,
		  void (*poll)(void *arg), void *arg);
/* The drive must be gone, or not care. */
void gd_free(struct gd *g);
void gd_poll(struct gd *g);

/* Whole pages of RAM, zeroed. */
uint64_t gd_alloc(struct gd *g, uint64_t bytes);
void *gd_at(struct gd *g, uint64_t gpa);

uint32_t gd_rd4(struct gd *g, uint64_t at);
uint64_t gd_rd8(struct gd *g, uint64_t at);
void gd_wr4(struct gd *g, uint64_t at, uint32_t v);
void gd_wr8(struct gd *g, uint64_t at, uint64_t v);
uint32_t gd_cfg(struct gd *g, uint32_t at, uint32_t bytes);
void gd_cfg_wr(struct gd *g, uint32_t at, uint32_t v, uint32_t bytes);
/* Memory space and bus master. */
void gd_bus_master(struct gd *g);
/* First byte of a capability, 0 = it is not there. */
uint32_t gd_cap(struct gd *g, uint8_t id);
void gd_msix_enable(struct gd *g, uint32_t on);

/* CSTS after it is ready, or has failed. */
uint32_t gd_enable(struct gd *g, uint32_t asqs, uint32_t acqs);
void gd_disable(struct gd *g);

/* What goes into Create; the rings are allocated. */
void gd_cq_init(struct gd *g, struct gd_cq *cq, uint16_t qid, uint32_t depth);
void gd_sq_init(struct gd *g, struct gd_sq *sq, uint16_t qid, uint32_t depth,
		struct gd_cq *cq);
struct leap_sqe gd_sqe_create_cq(const struct gd_cq *cq, uint32_t vector,
				 int ien);
struct leap_sqe gd_sqe_create_sq(const struct gd_sq *sq);
struct leap_sqe gd_sqe_delete(uint8_t opc, uint16_t qid);
struct leap_sqe gd_sqe_rw(uint8_t opc, uint32_t nsid, uint64_t slba,
			  uint32_t nr_lbas);

/* Status codes without DNR and M. */
leap_status_t gd_create_cq(struct gd *g, struct gd_cq *cq, uint32_t vector,
			   int ien);
leap_status_t gd_create_sq(struct gd *g, struct gd_sq *sq);
leap_status_t gd_delete(struct gd *g, uint8_t opc, uint16_t qid);
leap_status_t gd_dbbuf(struct gd *g);

/* Fill the PRPs for @bytes of RAM at @gpa; a list page if need be. */
void gd_prp(struct gd *g, struct leap_sqe *sqe, uint64_t gpa, uint32_t bytes);
/* Into the ring and rung; its CID, which is set here. */
uint16_t gd_submit(struct gd *g, struct gd_sq *sq, const struct leap_sqe *sqe);
/* Without the doorbell; and the doorbell. */
uint16_t gd_push(struct gd *g, struct gd_sq *sq, const struct leap_sqe *sqe);
void gd_ring_sq(struct gd *g, struct gd_sq *sq);
void gd_ring_cq(struct gd *g, struct gd_cq *cq);
/* Take what is in the ring; how many. */
int gd_reap(struct gd *g, struct gd_cq *cq, struct gd_sq *sq);
/* Poll until the command is answered, or fail the test. */
leap_status_t gd_wait(struct gd *g, struct gd_sq *sq, uint16_t cid);
leap_status_t gd_cmd(struct gd *g, struct gd_sq *sq,
		     const struct leap_sqe *sqe);
/* The drive is gone when this returns; @pg is its home. */
void gd_unplug(struct leap_pollgroup *pg, struct leap_vdev *v);

/* Enable, a CQ and an SQ with QID 1. */
void gd_up(struct gd *g, struct gd_cq *cq, struct gd_sq *sq, uint32_t depth);

#endif
