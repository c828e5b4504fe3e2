/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest-driver.c - see guest-driver.h
 */
#include "guest-driver.h"

#include <leapio/bdev.h>
#include <leapio/nvme.h>

#include <time.h>

#define GD_TURNS 2000000u
#define GD_PATIENCE_NS 20000000000u

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct leap_ats_range ram_range(struct gd *g)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = GD_BASE;
	r.bytes = g->bytes;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = g->ram;
	return r;
}

struct gd *gd_new(struct leap_vdev *v, uint64_t bytes,
		  void (*poll)(void *arg), void *arg)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct gd *g = calloc(1, sizeof(*g));
	struct leap_ats_range r;

	o.bytes = bytes;
	o.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_dmabuf_create(&o, &g->ram), 0);
	g->mem = leap_dmabuf_addr(g->ram);
	g->bytes = bytes;
	g->v = v;
	g->poll = poll;
	g->poll_arg = arg;
	r = ram_range(g);
	assert_int_equal(leap_vdev_mem_add(v, &r), 0);
	return g;
}

void gd_free(struct gd *g)
{
	leap_dmabuf_put(g->ram);
	free(g);
}

void gd_poll(struct gd *g)
{
	g->poll(g->poll_arg);
}

uint64_t gd_alloc(struct gd *g, uint64_t bytes)
{
	uint64_t at = g->used;

	bytes = (bytes + GD_PAGE - 1) / GD_PAGE * GD_PAGE;
	assert_true(at + bytes <= g->bytes);
	g->used += bytes;
	memset(g->mem + at, 0, bytes);
	return GD_BASE + at;
}

void *gd_at(struct gd *g, uint64_t gpa)
{
	return g->mem + (gpa - GD_BASE);
}

/* ---- registers ---- */

uint32_t gd_rd4(struct gd *g, uint64_t at)
{
	leap_le32 v;

	leap_vdev_bar_read(g->v, at, &v, sizeof(v));
	return leap_from_le32(v);
}

uint64_t gd_rd8(struct gd *g, uint64_t at)
{
	leap_le64 v;

	leap_vdev_bar_read(g->v, at, &v, sizeof(v));
	return leap_from_le64(v);
}

void gd_wr4(struct gd *g, uint64_t at, uint32_t v)
{
	leap_le32 le = leap_to_le32(v);

	leap_vdev_bar_write(g->v, at, &le, sizeof(le));
}

void gd_wr8(struct gd *g, uint64_t at, uint64_t v)
{
	leap_le64 le = leap_to_le64(v);

	leap_vdev_bar_write(g->v, at, &le, sizeof(le));
}

uint32_t gd_cfg(struct gd *g, uint32_t at, uint32_t bytes)
{
	leap_le32 v = leap_to_le32(0);

	leap_vdev_config_read(g->v, at, &v, bytes);
	return leap_from_le32(v);
}

void gd_cfg_wr(struct gd *g, uint32_t at, uint32_t v, uint32_t bytes)
{
	leap_le32 le = leap_to_le32(v);

	leap_vdev_config_write(g->v, at, &le, bytes);
}

void gd_bus_master(struct gd *g)
{
	gd_cfg_wr(g, 0x04, gd_cfg(g, 0x04, 2) | 0x6, 2);
}

uint32_t gd_cap(struct gd *g, uint8_t id)
{
	uint32_t at = gd_cfg(g, 0x34, 1), turns = 0;

	while (at && turns++ < 48) {
		if (gd_cfg(g, at, 1) == id)
			return at;
		at = gd_cfg(g, at + 1, 1);
	}
	return 0;
}

void gd_msix_enable(struct gd *g, uint32_t on)
{
	uint32_t at = gd_cap(g, 0x11) + 2;

	gd_cfg_wr(g, at, (gd_cfg(g, at, 2) & 0x3fff) | (on ? 0x8000 : 0), 2);
}

uint32_t gd_enable(struct gd *g, uint32_t asqs, uint32_t acqs)
{
	uint32_t turns, csts = 0;

	gd_bus_master(g);
	memset(g->done, 0, sizeof(g->done));
	g->shadow = 0;
	gd_cq_init(g, &g->acq, 0, acqs);
	gd_sq_init(g, &g->asq, 0, asqs, &g->acq);
	gd_wr4(g, LEAP_REG_AQA, (acqs - 1) << 16 | (asqs - 1));
	gd_wr8(g, LEAP_REG_ASQ, g->asq.gpa);
	gd_wr8(g, LEAP_REG_ACQ, g->acq.gpa);
	gd_wr4(g, LEAP_REG_CC, GD_CC_ENABLE);
	for (turns = 0; turns < GD_TURNS; turns++) {
		csts = gd_rd4(g, LEAP_REG_CSTS);
		if (csts & (LEAP_CSTS_RDY | LEAP_CSTS_CFS))
			return csts;
		gd_poll(g);
	}
	fail_msg("never ready: CSTS %x", csts);
	return csts;
}

void gd_disable(struct gd *g)
{
	uint32_t turns;

	gd_wr4(g, LEAP_REG_CC, 0);
	for (turns = 0; gd_rd4(g, LEAP_REG_CSTS); turns++) {
		assert_true(turns < GD_TURNS);
		gd_poll(g);
	}
	g->shadow = 0;
}

/* ---- queues ---- */

void gd_cq_init(struct gd *g, struct gd_cq *cq, uint16_t qid, uint32_t depth)
{
	memset(cq, 0, sizeof(*cq));
	cq->qid = qid;
	cq->depth = depth;
	cq->phase = 1;
	cq->gpa = gd_alloc(g, depth * sizeof(struct leap_cqe));
}

void gd_sq_init(struct gd *g, struct gd_sq *sq, uint16_t qid, uint32_t depth,
		struct gd_cq *cq)
{
	memset(sq, 0, sizeof(*sq));
	sq->qid = qid;
	sq->depth = depth;
	sq->cq = cq;
	sq->gpa = gd_alloc(g, depth * sizeof(struct leap_sqe));
}

struct leap_sqe gd_sqe_create_cq(const struct gd_cq *cq, uint32_t vector,
				 int ien)
{
	struct leap_sqe sqe = { .opc = LEAP_ADM_CREATE_CQ };

	sqe.prp1 = leap_to_le64(cq->gpa);
	sqe.cdw10 = leap_to_le32((cq->depth - 1) << 16 | cq->qid);
	sqe.cdw11 = leap_to_le32(vector << 16 | (ien ? 2u : 0) | 1u);
	return sqe;
}

struct leap_sqe gd_sqe_create_sq(const struct gd_sq *sq)
{
	struct leap_sqe sqe = { .opc = LEAP_ADM_CREATE_SQ };

	sqe.prp1 = leap_to_le64(sq->gpa);
	sqe.cdw10 = leap_to_le32((sq->depth - 1) << 16 | sq->qid);
	sqe.cdw11 = leap_to_le32((uint32_t)sq->cq->qid << 16 | 1u);
	return sqe;
}

struct leap_sqe gd_sqe_delete(uint8_t opc, uint16_t qid)
{
	struct leap_sqe sqe = { .opc = opc };

	sqe.cdw10 = leap_to_le32(qid);
	return sqe;
}

struct leap_sqe gd_sqe_rw(uint8_t opc, uint32_t nsid, uint64_t slba,
			  uint32_t nr_lbas)
{
	struct leap_sqe sqe = { .opc = opc };

	sqe.nsid = leap_to_le32(nsid);
	sqe.cdw10 = leap_to_le32((uint32_t)slba);
	sqe.cdw11 = leap_to_le32((uint32_t)(slba >> 32));
	sqe.cdw12 = leap_to_le32(nr_lbas - 1);
	return sqe;
}

leap_status_t gd_create_cq(struct gd *g, struct gd_cq *cq, uint32_t vector,
			   int ien)
{
	struct leap_sqe sqe = gd_sqe_create_cq(cq, vector, ien);

	return gd_cmd(g, &g->asq, &sqe);
}

leap_status_t gd_create_sq(struct gd *g, struct gd_sq *sq)
{
	struct leap_sqe sqe = gd_sqe_create_sq(sq);

	return gd_cmd(g, &g->asq, &sqe);
}

leap_status_t gd_delete(struct gd *g, uint8_t opc, uint16_t qid)
{
	struct leap_sqe sqe = gd_sqe_delete(opc, qid);

	return gd_cmd(g, &g->asq, &sqe);
}

leap_status_t gd_dbbuf(struct gd *g)
{
	struct leap_sqe sqe = { .opc = LEAP_ADM_DBBUF_CONFIG };
	uint64_t db = gd_alloc(g, GD_PAGE), ei = gd_alloc(g, GD_PAGE);
	leap_status_t status;

	sqe.prp1 = leap_to_le64(db);
	sqe.prp2 = leap_to_le64(ei);
	status = gd_cmd(g, &g->asq, &sqe);
	if (!status) {
		g->shadow = db;
		g->eventidx = ei;
	}
	return status;
}

void gd_prp(struct gd *g, struct leap_sqe *sqe, uint64_t gpa, uint32_t bytes)
{
	uint64_t next = (gpa + GD_PAGE) & ~(uint64_t)(GD_PAGE - 1), at;
	uint64_t end = gpa + bytes;
	leap_le64 *list;

	sqe->prp1 = leap_to_le64(gpa);
	if (next >= end)
		return;
	if (end - next <= GD_PAGE) {
		sqe->prp2 = leap_to_le64(next);
		return;
	}
	assert_true((end - next) / GD_PAGE <= 512);
	at = gd_alloc(g, GD_PAGE);
	sqe->prp2 = leap_to_le64(at);
	for (list = gd_at(g, at); next < end; next += GD_PAGE)
		*list++ = leap_to_le64(next);
}

/* A doorbell, or its shadow and perhaps the doorbell. */
static void ring(struct gd *g, uint32_t index, uint32_t was, uint32_t now)
{
	leap_le32 *shadow, *ei;
	uint16_t event;

	if (g->shadow && index >= 2) {
		shadow = (leap_le32 *)gd_at(g, g->shadow) + index;
		ei = (leap_le32 *)gd_at(g, g->eventidx) + index;
		__atomic_store_n(shadow, leap_to_le32(now), __ATOMIC_SEQ_CST);
		event = (uint16_t)leap_from_le32(__atomic_load_n(ei,
							__ATOMIC_SEQ_CST));
		if ((uint16_t)(now - event - 1) >= (uint16_t)(now - was))
			return;
	}
	g->mmio++;
	gd_wr4(g, LEAP_REG_DBL + 4ull * index, now);
}

uint16_t gd_push(struct gd *g, struct gd_sq *sq, const struct leap_sqe *sqe)
{
	struct leap_sqe *to = (struct leap_sqe *)gd_at(g, sq->gpa) + sq->tail;
	uint16_t cid = g->cid++;

	assert_true((sq->tail + 1) % sq->depth != sq->head);
	*to = *sqe;
	to->cid = leap_to_le16(cid);
	g->done[cid] = 0;
	sq->tail = (sq->tail + 1) % sq->depth;
	return cid;
}

void gd_ring_sq(struct gd *g, struct gd_sq *sq)
{
	ring(g, 2u * sq->qid, (sq->tail + sq->depth - 1) % sq->depth,
	     sq->tail);
}

uint16_t gd_submit(struct gd *g, struct gd_sq *sq, const struct leap_sqe *sqe)
{
	uint16_t cid = gd_push(g, sq, sqe);

	gd_ring_sq(g, sq);
	return cid;
}

void gd_ring_cq(struct gd *g, struct gd_cq *cq)
{
	ring(g, 2u * cq->qid + 1, (cq->head + cq->depth - 1) % cq->depth,
	     cq->head);
}

int gd_reap(struct gd *g, struct gd_cq *cq, struct gd_sq *sq)
{
	struct leap_cqe *ring_at = gd_at(g, cq->gpa), *e;
	uint32_t word;
	uint16_t cid;
	int n = 0;

	for (;;) {
		e = &ring_at[cq->head];
		/* CID and status in one load, as they were stored. */
		word = leap_from_le32(__atomic_load_n(
			(leap_le32 *)(void *)&e->cid, __ATOMIC_ACQUIRE));
		if ((word >> 16 & 1) != cq->phase)
			break;
		cid = (uint16_t)word;
		g->done[cid] = 1;
		g->status[cid] = (leap_status_t)(word >> 17);
		g->result = leap_from_le32(e->dw0) |
			    (uint64_t)leap_from_le32(e->dw1) << 32;
		if (sq && leap_from_le16(e->sqid) == sq->qid)
			sq->head = leap_from_le16(e->sqhd);
		cq->head = (cq->head + 1) % cq->depth;
		cq->phase ^= !cq->head;
		gd_ring_cq(g, cq);
		n++;
	}
	return n;
}

/* Far ends that are connected to again take their time, however many turns. */
leap_status_t gd_wait(struct gd *g, struct gd_sq *sq, uint16_t cid)
{
	struct unit_lived lived = { 0 };
	uint32_t turns;

	for (turns = 0; !g->done[cid]; turns++) {
		if (turns > GD_TURNS &&
		    unit_lived_ns(&lived, now_ns()) > GD_PATIENCE_NS)
			fail_msg("command %u of queue %u is never answered",
				 cid, sq->qid);
		gd_reap(g, sq->cq, sq);
		gd_poll(g);
	}
	g->raw = g->status[cid];
	return LEAP_STATUS_CODE(g->raw);
}

leap_status_t gd_cmd(struct gd *g, struct gd_sq *sq,
		     const struct leap_sqe *sqe)
{
	return gd_wait(g, sq, gd_submit(g, sq, sqe));
}

void gd_up(struct gd *g, struct gd_cq *cq, struct gd_sq *sq, uint32_t depth)
{
	assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(g, cq, 1, depth);
	gd_sq_init(g, sq, 1, depth, cq);
	assert_int_equal(gd_create_cq(g, cq, 0, 1), 0);
	assert_int_equal(gd_create_sq(g, sq), 0);
}

/* ---- what is on its way ---- */

void gd_unplug(struct leap_pollgroup *pg, struct leap_vdev *v)
{
	int gone = 0;

	leap_vdev_destroy(v, set_flag, &gone);
	serve_await(pg, &gone);
}
