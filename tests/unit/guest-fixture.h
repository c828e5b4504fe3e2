/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest-fixture.h - a guest by hand: memory, rings and doorbells of a driver,
 * and a device behind the queues that the test scripts
 */
#ifndef LEAP_TESTS_GUEST_FIXTURE_H
#define LEAP_TESTS_GUEST_FIXTURE_H

#include <leapio/dmabuf.h>
#include <leapio/leapio.h>
#include <leapio/link.h>
#include <leapio/record.h>

#include "core/guest/guest.h"
#include "core/io/ring.h"
#include "unit.h"

#define GX_RAM_GPA	0x100000ull
#define GX_RAM_BYTES	(2u << 20)
#define GX_STATE_BYTES	(256u << 10)
#define GX_DISK_BYTES	(512u << 10)
#define GX_VECTORS	16
#define GX_NO_VECTOR	UINT32_MAX
#define GX_SLOTS	16
#define GX_HELD		256

/* What the scripted device knows: 1 writes, 2 reads CDW12 bytes at CDW10. */
enum {
	GX_OP_NOTHING = 0,	/* answers with CDW10 */
	GX_OP_WRITE = 1,
	GX_OP_READ = 2,
};

struct gx {
	struct leap_pollgroup *pg;
	struct leap_ats *ats;
	struct leap_dmabuf *ram;
	uint8_t *mem;			/* the guest's view of its RAM */
	uint8_t *state;
	uint64_t mem_used, state_used;
	struct leap__guest guest;
	uint32_t irqs[GX_VECTORS];
	uint32_t fatals;
	int fatal_err;
	/* The device. */
	uint8_t *disk;
	bool hold;			/* commands wait in held */
	struct leap_cmd *held[GX_HELD];
	uint32_t nr_held;
	uint32_t executed;
	uint32_t lost, gone;
	int lost_err;
	void (*on_irq)(struct gx *gx, uint32_t vector);
	void (*on_execute)(struct gx *gx, struct leap_cmd *cmd);
};

struct gx_cq {
	struct gx *gx;
	struct leap_cq_desc desc;
	struct leap_doorbell *db;
	struct leap__guest_cq *cq;
	struct leap__cqc ring;
	leap_le32 *shadow, *eventidx;
	uint16_t rung;
};

struct gx_sq {
	struct gx *gx;
	struct leap_qp_desc desc;
	struct leap_doorbell *db;
	struct leap_vqp *vqp;
	leap_le32 *shadow, *eventidx;
	uint16_t tail, rung, head;	/* head from SQHD */
};

extern const struct leap_vqp_handler gx_handler;

void gx_init(struct gx *gx);
/* With a pool of so many commands; 0 = as usual. */
void gx_init_cmds(struct gx *gx, uint32_t nr_cmds);
/* With other pools. */
void gx_init_opts(struct gx *gx, struct leap_pollgroup_opts popts);
/* Map so much of the RAM at its place, and take it away again: true when the
 * unmap ended at once. *@done counts. */
void gx_map(struct gx *gx, leap_gpa_t gpa, uint64_t bytes);
void gx_unmap(struct gx *gx, leap_gpa_t gpa, uint64_t bytes, int *done);
/* The queues must be gone. */
void gx_fini(struct gx *gx);
/* All of it: @nr submission queues, their completion queue, and @gx. */
void gx_end(struct gx *gx, struct gx_sq *sq, int nr, struct gx_cq *cq);

leap_gpa_t gx_alloc(struct gx *gx, uint64_t bytes, uint64_t align);
void *gx_at(struct gx *gx, leap_gpa_t gpa);
uint64_t gx_state(struct gx *gx, uint64_t bytes);

/* Descriptors with fresh memory. */
void gx_cq_desc(struct gx *gx, struct gx_cq *cq, uint16_t id, uint32_t depth,
		uint32_t vector);
void gx_sq_desc(struct gx *gx, struct gx_sq *sq, uint16_t id,
		const struct gx_cq *cq, uint32_t depth);
/* And the queues themselves, started. */
void gx_cq(struct gx *gx, struct gx_cq *cq, uint16_t id, uint32_t depth,
	   uint32_t vector);
void gx_sq(struct gx *gx, struct gx_sq *sq, uint16_t id,
	   const struct gx_cq *cq, uint32_t depth);
void gx_sq_make(struct gx *gx, struct gx_sq *sq, const struct gx_cq *cq);

/* Close at once and wait for gone; destroy the CQ. */
void gx_sq_end(struct gx_sq *sq);
uint64_t gx_cq_end(struct gx_cq *cq);

/* Put a command into the ring; tell. */
struct leap_sqe gx_sqe(uint8_t opc, uint16_t cid, uint32_t cdw10);
/* @len bytes of the disk at @at; where the payload is has to be added. */
struct leap_sqe gx_rw(uint8_t opc, uint16_t cid, uint32_t at, uint32_t len);
uint32_t gx_room(const struct gx_sq *sq);
void gx_push(struct gx_sq *sq, const struct leap_sqe *sqe);
void gx_ring(struct gx_sq *sq);
/* Take one completion, if there is one; tell the head. */
bool gx_reap(struct gx_cq *cq, struct leap__cqe *cqe);
void gx_ring_cq(struct gx_cq *cq);

void gx_poll(struct gx *gx, int times);
/* Let what the device holds go on: the @i-th, or all. */
void gx_let(struct gx *gx, uint32_t i);
void gx_let_all(struct gx *gx);

/* Push, ring, poll, reap: the completion's status. */
uint16_t gx_do(struct gx_sq *sq, struct gx_cq *cq, const struct leap_sqe *sqe,
	       struct leap__cqe *cqe);

#endif
