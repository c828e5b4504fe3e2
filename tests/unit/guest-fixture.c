/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's side of a queue pair, as a driver would have it, and a device
 * that keeps bytes.
 */
#include "guest-fixture.h"

#include "core/io/pollgroup.h"

static struct gx *gx_of(struct leap__guest *guest)
{
	return (struct gx *)((char *)guest - offsetof(struct gx, guest));
}

static void raise_vector(struct leap__guest *guest, uint32_t vector)
{
	struct gx *gx = gx_of(guest);

	assert_true(vector < GX_VECTORS);
	leap__fetch_add(&gx->irqs[vector], 1u);
	if (gx->on_irq)
		gx->on_irq(gx, vector);
}

static void fatal(struct leap__guest *guest, uint16_t qid, int err)
{
	struct gx *gx = gx_of(guest);

	(void)qid;
	gx->fatals++;
	gx->fatal_err = err;
}

void gx_map(struct gx *gx, leap_gpa_t gpa, uint64_t bytes)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa = gpa;
	r.bytes = bytes;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = gx->ram;
	r.offset = gpa.addr - GX_RAM_GPA;
	assert_int_equal(leap_ats_map(gx->ats, &r), 0);
}

static void unmapped(void *arg)
{
	++*(int *)arg;
}

void gx_unmap(struct gx *gx, leap_gpa_t gpa, uint64_t bytes, int *done)
{
	assert_int_equal(leap_ats_unmap(gx->ats, gpa, bytes, unmapped, done),
			 0);
}

void gx_init(struct gx *gx)
{
	gx_init_cmds(gx, 0);
}

void gx_init_cmds(struct gx *gx, uint32_t nr_cmds)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;

	popts.nr_cmds = nr_cmds;
	gx_init_opts(gx, popts);
}

void gx_init_opts(struct gx *gx, struct leap_pollgroup_opts popts)
{
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;

	memset(gx, 0, sizeof(*gx));
	popts.spin_ns = -1;
	popts.world = LEAP_WORLD_EPOLL;
	assert_int_equal(leap_pollgroup_create(&popts, &gx->pg), 0);
	opts.bytes = GX_RAM_BYTES;
	assert_int_equal(leap_dmabuf_create(&opts, &gx->ram), 0);
	assert_int_equal(leap_ats_create(NULL, &gx->ats), 0);
	gx_map(gx, (leap_gpa_t){ GX_RAM_GPA }, GX_RAM_BYTES);
	gx->mem = leap_dmabuf_addr(gx->ram);
	gx->state = aligned_alloc(64, GX_STATE_BYTES);
	gx->disk = calloc(1, GX_DISK_BYTES);
	assert_true(gx->state && gx->disk);
	memset(gx->state, 0, GX_STATE_BYTES);
	gx->guest.ats = gx->ats;
	gx->guest.state = gx->state;
	gx->guest.state_bytes = GX_STATE_BYTES;
	gx->guest.max_data_bytes = 256u << 10;
	gx->guest.raise = raise_vector;
	gx->guest.fatal = fatal;
}

void gx_fini(struct gx *gx)
{
	while (leap_pollgroup_poll(gx->pg, 0))
		;
	assert_int_equal(leap_ats_destroy(gx->ats), 0);
	leap_dmabuf_put(gx->ram);
	assert_int_equal(leap_pollgroup_destroy(gx->pg), 0);
	free(gx->state);
	free(gx->disk);
}

leap_gpa_t gx_alloc(struct gx *gx, uint64_t bytes, uint64_t align)
{
	uint64_t at = (gx->mem_used + align - 1) / align * align;

	gx->mem_used = at + bytes;
	assert_true(gx->mem_used <= GX_RAM_BYTES);
	return (leap_gpa_t){ GX_RAM_GPA + at };
}

void *gx_at(struct gx *gx, leap_gpa_t gpa)
{
	assert_true(gpa.addr >= GX_RAM_GPA &&
		    gpa.addr < GX_RAM_GPA + GX_RAM_BYTES);
	return gx->mem + (gpa.addr - GX_RAM_GPA);
}

uint64_t gx_state(struct gx *gx, uint64_t bytes)
{
	uint64_t at = gx->state_used;

	gx->state_used += (bytes + 63) / 64 * 64;
	assert_true(gx->state_used <= GX_STATE_BYTES);
	return at;
}

/* ---- the device ---- */

static void copy(struct gx *gx, struct leap_cmd *cmd)
{
	uint8_t *disk = gx->disk + leap_from_le32(cmd->sqe.cdw10);
	uint32_t i;

	for (i = 0; i < cmd->nr_pieces; i++) {
		const struct leap_piece *p = &cmd->pieces[i];

		if (cmd->sqe.opc == GX_OP_WRITE)
			memcpy(disk, p->addr, p->len_bytes);
		else
			memcpy(p->addr, disk, p->len_bytes);
		disk += p->len_bytes;
	}
}

static void finish(struct gx *gx, struct leap_cmd *cmd)
{
	(void)gx;
	cmd->result = leap_from_le32(cmd->sqe.cdw10);
	leap_cmd_complete(cmd, 0);
}

static void ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct gx *gx = cmd->vqp->handler_priv;

	if (status) {
		leap_cmd_complete(cmd, status);
		return;
	}
	assert_int_equal(leap_pieces_bytes(cmd->pieces, cmd->nr_pieces),
			 leap_from_le32(cmd->sqe.cdw12));
	copy(gx, cmd);
	if (gx->hold)
		gx->held[gx->nr_held++] = cmd;
	else
		finish(gx, cmd);
}

static void execute(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	struct gx *gx = vqp->handler_priv;

	gx->executed++;
	if (gx->on_execute)
		gx->on_execute(gx, cmd);
	if (cmd->sqe.opc == GX_OP_NOTHING && gx->hold)
		gx->held[gx->nr_held++] = cmd;
	else if (cmd->sqe.opc == GX_OP_NOTHING)
		finish(gx, cmd);
	else
		leap_cmd_pull(cmd, leap_from_le32(cmd->sqe.cdw12), ready);
	assert_true(gx->nr_held < GX_HELD);
}

void gx_let(struct gx *gx, uint32_t i)
{
	struct leap_cmd *cmd = gx->held[i];

	assert_true(i < gx->nr_held);
	memmove(&gx->held[i], &gx->held[i + 1],
		(--gx->nr_held - i) * sizeof(gx->held[0]));
	finish(gx, cmd);
}

void gx_let_all(struct gx *gx)
{
	while (gx->nr_held)
		gx_let(gx, 0);
}

static void lost(struct leap_vqp *vqp, int err)
{
	struct gx *gx = vqp->handler_priv;

	gx->lost++;
	gx->lost_err = err;
}

static void gone(struct leap_vqp *vqp)
{
	struct gx *gx = vqp->handler_priv;

	gx->gone++;
}

const struct leap_vqp_handler gx_handler = {
	.size = sizeof(gx_handler),
	.execute = execute,
	.lost = lost,
	.gone = gone,
};

/* ---- queues ---- */

void gx_cq_desc(struct gx *gx, struct gx_cq *cq, uint16_t id, uint32_t depth,
		uint32_t vector)
{
	struct leap__ring_opts opts = { .size = depth };

	*cq = (struct gx_cq){ .gx = gx };
	cq->desc.cqid = id;
	cq->desc.depth = depth;
	cq->desc.vector = vector;
	cq->desc.gpa = gx_alloc(gx, (uint64_t)depth * 16, 4096);
	cq->desc.doorbell = gx_state(gx, sizeof(struct leap_doorbell));
	cq->db = (struct leap_doorbell *)(gx->state + cq->desc.doorbell);
	opts.entries = gx_at(gx, cq->desc.gpa);
	memset(opts.entries, 0, depth * 16);
	assert_int_equal(leap__cqc_init(&cq->ring, &opts), 0);
}

void gx_sq_desc(struct gx *gx, struct gx_sq *sq, uint16_t id,
		const struct gx_cq *cq, uint32_t depth)
{
	struct leap_record_opts opts = LEAP_RECORD_OPTS_INIT;

	*sq = (struct gx_sq){ .gx = gx };
	sq->desc.qid = id;
	sq->desc.cqid = cq->desc.cqid;
	sq->desc.sq_depth = depth;
	sq->desc.cq_depth = cq->desc.depth;
	sq->desc.page_bytes = 4096;
	sq->desc.sq = gx_alloc(gx, (uint64_t)depth * 64, 4096);
	sq->desc.doorbell = gx_state(gx, sizeof(struct leap_doorbell));
	sq->db = (struct leap_doorbell *)(gx->state + sq->desc.doorbell);
	opts.nr_slots = GX_SLOTS;
	opts.sq_size = depth;
	opts.cq_size = cq->desc.depth;
	opts.sqid = id;
	opts.cqid = cq->desc.cqid;
	sq->desc.record_bytes = leap_record_bytes(GX_SLOTS);
	sq->desc.record = gx_state(gx, sq->desc.record_bytes);
	assert_int_equal(leap_record_format(gx->state + sq->desc.record,
					    sq->desc.record_bytes, &opts), 0);
}

void gx_cq(struct gx *gx, struct gx_cq *cq, uint16_t id, uint32_t depth,
	   uint32_t vector)
{
	gx_cq_desc(gx, cq, id, depth, vector);
	assert_int_equal(leap__guest_cq_create(gx->pg, &gx->guest, &cq->desc,
					       &cq->cq), 0);
}

void gx_sq_make(struct gx *gx, struct gx_sq *sq, const struct gx_cq *cq)
{
	assert_int_equal(leap__guest_vqp_create(gx->pg, &gx->guest, cq->cq,
						&sq->desc, NULL, &sq->vqp), 0);
	sq->vqp->handler = &gx_handler;
	sq->vqp->handler_priv = gx;
}

void gx_sq(struct gx *gx, struct gx_sq *sq, uint16_t id,
	   const struct gx_cq *cq, uint32_t depth)
{
	gx_sq_desc(gx, sq, id, cq, depth);
	gx_sq_make(gx, sq, cq);
	leap__guest_vqp_start(sq->vqp);
}

void gx_sq_end(struct gx_sq *sq)
{
	uint32_t before = sq->gx->gone, i;

	leap_vqp_close(sq->vqp);
	gx_let_all(sq->gx);
	for (i = 0; i < 10 && sq->gx->gone == before; i++)
		leap_pollgroup_poll(sq->gx->pg, 0);
	assert_int_equal(sq->gx->gone, before + 1);
	sq->vqp = NULL;
}

uint64_t gx_cq_end(struct gx_cq *cq)
{
	uint64_t seq = leap__guest_cq_destroy(cq->cq);

	cq->cq = NULL;
	return seq;
}

/* ---- the driver ---- */

struct leap_sqe gx_sqe(uint8_t opc, uint16_t cid, uint32_t cdw10)
{
	return (struct leap_sqe){
		.opc = opc, .cid = leap_to_le16(cid),
		.cdw10 = leap_to_le32(cdw10),
	};
}

struct leap_sqe gx_rw(uint8_t opc, uint16_t cid, uint32_t at, uint32_t len)
{
	struct leap_sqe sqe = gx_sqe(opc, cid, at);

	sqe.cdw12 = leap_to_le32(len);
	return sqe;
}

uint32_t gx_room(const struct gx_sq *sq)
{
	return sq->desc.sq_depth - 1 -
	       leap__ring_dist(sq->head, sq->tail, sq->desc.sq_depth);
}

void gx_push(struct gx_sq *sq, const struct leap_sqe *sqe)
{
	uint8_t *ring = gx_at(sq->gx, sq->desc.sq);

	assert_true(gx_room(sq) > 0);
	memcpy(ring + sq->tail * 64u, sqe, 64);
	sq->tail = leap__ring_next(sq->tail, sq->desc.sq_depth);
}

/* As a driver with shadow doorbells does; else every doorbell is trapped. */
static void ring(struct gx *gx, struct leap_doorbell *db, leap_le32 *shadow,
		 leap_le32 *eventidx, uint16_t before, uint16_t after)
{
	if (shadow) {
		leap__store_release(shadow, leap_to_le32(after));
		leap__full_fence();
		if (!leap__eventidx_passed((uint16_t)leap_from_le32(
				leap__load_relaxed(eventidx)), before, after))
			return;
	}
	leap__store_release(&db->value, leap_to_le32(after));
	leap__guest_kick(gx->pg, db);
}

void gx_ring(struct gx_sq *sq)
{
	ring(sq->gx, sq->db, sq->shadow, sq->eventidx, sq->rung, sq->tail);
	sq->rung = sq->tail;
}

bool gx_reap(struct gx_cq *cq, struct leap__cqe *cqe)
{
	return leap__cqc_next(&cq->ring, cqe);
}

void gx_ring_cq(struct gx_cq *cq)
{
	ring(cq->gx, cq->db, cq->shadow, cq->eventidx, cq->rung,
	     cq->ring.head);
	cq->rung = cq->ring.head;
}

void gx_poll(struct gx *gx, int times)
{
	while (times--)
		leap_pollgroup_poll(gx->pg, 0);
}

uint16_t gx_do(struct gx_sq *sq, struct gx_cq *cq, const struct leap_sqe *sqe,
	       struct leap__cqe *cqe)
{
	struct leap__cqe own;
	int i;

	if (!cqe)
		cqe = &own;
	gx_push(sq, sqe);
	gx_ring(sq);
	for (i = 0; i < 4; i++) {
		gx_poll(sq->gx, 1);
		if (gx_reap(cq, cqe)) {
			sq->head = cqe->sqhd;
			gx_ring_cq(cq);
			assert_int_equal(cqe->cid, leap_from_le16(sqe->cid));
			return cqe->status;
		}
	}
	fail_msg("no completion");
	return 0xffff;
}

void gx_end(struct gx *gx, struct gx_sq *sq, int nr, struct gx_cq *cq)
{
	int i;

	for (i = 0; i < nr; i++)
		gx_sq_end(&sq[i]);
	gx_cq_end(cq);
	gx_fini(gx);
}
