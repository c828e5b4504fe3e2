/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands of hosts: chosen by chance, sent, and every answer held against the
 * model. What an answer may be depends on what may happen in the world.
 */
#include "sim-test.h"

#include "core/io/host.h"

#include <stdlib.h>
#include <string.h>

static void op_done(struct leap_req *req);
static void load_next(struct op *op);

static const char *const names[OP_NR] = {
	"read", "write", "flush", "zeroes", "dsm", "compare", "verify",
	"admin",
};

void op_init(struct op *op, struct host *h)
{
	memset(op, 0, sizeof(*op));
	op->h = h;
	op->req.done = op_done;
	op->queue = 1;
	op->buf = calloc(1, OP_BYTES);
	if (!op->buf)
		abort();
}

static struct model *op_model(const struct op *op)
{
	return op->h->w->ns[op->nsid - 1].model;
}

/* Blocks of the model in an LBA of the namespace. */
static uint32_t op_lba(const struct op *op)
{
	return op->nsid ? op->h->w->ns[op->nsid - 1].lba : 1;
}

static void op_begin(struct op *op, enum op_kind kind, uint32_t nsid,
		     uint32_t block, uint32_t nr)
{
	struct leap_sqe *sqe = &op->req.sqe;

	op->kind = kind;
	op->nsid = nsid;
	op->block = block;
	op->nr = nr;
	op->w = NULL;
	op->fua = false;
	memset(sqe, 0, sizeof(*sqe));
	sqe->nsid = leap_to_le32(nsid);
	sqe->cdw10 = leap_to_le32(block / op_lba(op));
	if (nr)
		sqe->cdw12 = leap_to_le32(nr / op_lba(op) - 1);
	op->req.nr_pieces = 0;
	op->req.pieces = op->piece;
}

/* Payload in two pieces that meet anywhere. */
static void op_payload(struct op *op, uint32_t bytes)
{
	uint32_t cut = leap_sim_below(op->h->w->sim, bytes / 4) * 4;

	memset(op->piece, 0, sizeof(op->piece));
	op->piece[0].addr = op->buf;
	op->piece[0].len_bytes = cut ? cut : bytes;
	op->piece[1].addr = op->buf + cut;
	op->piece[1].len_bytes = bytes - cut;
	op->req.nr_pieces = cut ? 2 : 1;
}

void op_read(struct op *op, uint32_t nsid, uint32_t block, uint32_t nr)
{
	op_begin(op, OP_READ, nsid, block, nr);
	op->req.sqe.opc = LEAP_NVM_READ;
	memset(op->buf, 0xee, nr * BLOCK);
	op_payload(op, nr * BLOCK);
}

static void set_fua(struct op *op, bool fua)
{
	op->fua = fua;
	if (fua)
		op->req.sqe.cdw12 = leap_to_le32((op->nr / op_lba(op) - 1) |
						 LEAP_IO_CDW12_FUA);
}

void op_write(struct op *op, uint32_t nsid, uint32_t block, uint32_t nr,
	      bool fua)
{
	uint64_t id;
	uint32_t i;

	op_begin(op, OP_WRITE, nsid, block, nr);
	op->req.sqe.opc = LEAP_NVM_WRITE;
	set_fua(op, fua);
	id = model_id(op_model(op));
	for (i = 0; i < nr; i++)
		model_fill(op->buf + (size_t)i * BLOCK, id, block + i);
	op_payload(op, nr * BLOCK);
	op->w = model_submit(op_model(op), op->h->i, block, nr, id);
}

void op_zeroes(struct op *op, uint32_t nsid, uint32_t block, uint32_t nr)
{
	struct world *w = op->h->w;

	op_begin(op, OP_ZEROES, nsid, block, nr);
	op->req.sqe.opc = LEAP_NVM_WRITE_ZEROES;
	set_fua(op, leap_sim_below(w->sim, 3) == 0);
	op->w = model_submit(op_model(op), op->h->i, block, nr, 0);
}

static void op_dsm(struct op *op, uint32_t nsid, uint32_t block, uint32_t nr)
{
	struct leap_dsm_range range;

	op_begin(op, OP_DSM, nsid, block, nr);
	op->req.sqe.opc = LEAP_NVM_DSM;
	op->req.sqe.cdw10 = leap_to_le32(0);
	op->req.sqe.cdw11 = leap_to_le32(LEAP_DSM_CDW11_AD);
	op->req.sqe.cdw12 = leap_to_le32(0);
	memset(&range, 0, sizeof(range));
	range.slba = leap_to_le64(block / op_lba(op));
	range.nlb = leap_to_le32(nr / op_lba(op));
	memcpy(op->buf, &range, sizeof(range));
	op_payload(op, sizeof(range));
	op->w = model_submit(op_model(op), op->h->i, block, nr, 0);
}

void op_flush(struct op *op, uint32_t nsid)
{
	op_begin(op, OP_FLUSH, nsid, 0, 0);
	op->req.sqe.opc = LEAP_NVM_FLUSH;
}

void op_verify(struct op *op, uint32_t nsid, uint32_t block, uint32_t nr)
{
	op_begin(op, OP_VERIFY, nsid, block, nr);
	op->req.sqe.opc = LEAP_NVM_VERIFY;
}

void op_compare(struct op *op, uint32_t nsid, uint32_t block, uint32_t nr,
		bool other)
{
	struct model *m;
	uint32_t i;

	op_begin(op, OP_COMPARE, nsid, block, nr);
	op->req.sqe.opc = LEAP_NVM_COMPARE;
	m = op_model(op);
	for (i = 0; i < nr; i++)
		model_fill(op->buf + (size_t)i * BLOCK,
			   model_guess(m, block + i), block + i);
	if (other)
		op->buf[nr * BLOCK - 1] ^= 0x55;
	op_payload(op, nr * BLOCK);
}

void op_send(struct op *op)
{
	struct leap_req *req = &op->req;
	struct host *h = op->h;
	int n;

	if (h->w->failed[0])
		return;
	op->submit = op->nsid ? model_now(op_model(op)) : 0;
	if (op->w)
		op->submit = op->w->submit;
	op->busy = true;
	h->w->busy++;
	world_note(h->w, "host %u op %d: %s nsid %u blocks %u+%u%s id %llu",
		   h->i, (int)(op - h->ops), names[op->kind], op->nsid,
		   op->block, op->nr, op->fua ? " fua" : "",
		   op->w ? (unsigned long long)op->w->id : 0);
	n = leap_host_submit(h->host, op->queue, &req, 1);
	if (n != 1)
		world_fail(h->w, "host %u: submit says %d", h->i, n);
}

bool op_is_done(void *op)
{
	return !((struct op *)op)->busy;
}

void op_sync(struct op *op)
{
	op_send(op);
	world_run(op->h->w, op_is_done, op, 20 * SECOND, "a command ends");
}

/* ---- answers ------------------------------------------------------------- */

/* May a command end so, when it has not succeeded? */
static bool may_fail(const struct op *op, leap_status_t status)
{
	leap_status_t code = LEAP_STATUS_CODE(status);
	uint32_t what = op->h->w->what;

	switch (code) {
	case LEAP_SC_ABORT_REQUESTED:
		return what & W_ABORT;
	case LEAP_SC_INVALID_NS:
		return what & W_NS;
	case LEAP_SC_TRANSIENT_TRANSPORT:
		return what & W_CORRUPT;
	case LEAP_SC_WRITE_FAULT:
		if (what & W_FLUSH_FAIL)
			return true;
		/* fallthrough */
	case LEAP_SC_UNRECOVERED_READ:
	case LEAP_SC_CAPACITY_EXCEEDED:
		return what & W_DISK;
	}
	return false;
}

/* An answer that was under way when the power failed: true, and of no use. */
static bool before_cut(const struct op *op)
{
	return op->h->w->cut_ns > op->h->live_ns && !op->fua;
}

/* FAILED is an answer, when a block may have held something else. */
static bool may_compare_unequal(const struct op *op)
{
	uint32_t i;

	if (op->kind != OP_COMPARE ||
	    LEAP_STATUS_CODE(op->status) != LEAP_SC_COMPARE_FAILED)
		return false;
	for (i = 0; i < op->nr; i++)
		if (model_may_differ(op_model(op), op->submit, op->block + i,
				     op->buf + (size_t)i * BLOCK))
			return true;
	return false;
}

static void ended_well(struct op *op)
{
	struct model *m = op_model(op);
	struct world *w = op->h->w;
	const char *wrong = NULL;
	uint32_t i;

	switch (op->kind) {
	case OP_READ:
	case OP_COMPARE:	/* as if it had been read and were this */
		for (i = 0; i < op->nr && !wrong; i++)
			wrong = model_read(m, op->submit, op->block + i,
					   op->buf + (size_t)i * BLOCK);
		if (wrong)
			world_fail(w, "host %u %s of nsid %u: %s", op->h->i,
				   names[op->kind], op->nsid, wrong);
		break;
	case OP_WRITE:
	case OP_ZEROES:
		if (before_cut(op))
			model_maybe(m, op->w);
		else
			model_ack(m, op->w, op->fua);
		break;
	case OP_DSM:		/* a hint: the old data may stay */
		model_maybe(m, op->w);
		break;
	case OP_FLUSH:
		model_flushed(m, op->submit);
		break;
	default:
		break;
	}
}

static void op_done(struct leap_req *req)
{
	struct op *op = (struct op *)req;
	struct world *w = op->h->w;

	if (!op->busy) {
		world_fail(w, "host %u: a command ended twice", op->h->i);
		return;
	}
	op->busy = false;
	w->busy--;
	w->done++;
	op->status = leap_req_status(req);
	world_note(w, "host %u op %d: %s ends with %#x", op->h->i,
		   (int)(op - op->h->ops), names[op->kind], op->status);
	if (op->kind == OP_ADMIN)
		return;
	if (!op->status) {
		ended_well(op);
	} else {
		if (op->w)
			model_maybe(op_model(op), op->w);
		if (!may_fail(op, op->status) && !may_compare_unequal(op))
			world_fail(w, "host %u: opcode %#x ended with %#x, "
				   "errno %d", op->h->i, req->sqe.opc,
				   op->status, req->sys_errno);
	}
	if (!op->final)
		load_next(op);
}

/* ---- by chance ----------------------------------------------------------- */

static uint32_t pick_nr(struct leap_sim *sim)
{
	if (!leap_sim_below(sim, 12))
		return 1 + leap_sim_below(sim, OP_BYTES / BLOCK);
	return 1 + leap_sim_below(sim, 16);
}

static void load_next(struct op *op)
{
	struct host *h = op->h;
	struct world *w = h->w;
	struct leap_sim *sim = w->sim;
	uint32_t nsid, nr, block, lba, dice;

	if (!w->left || w->failed[0] || op->final)
		return;
	w->left--;
	nsid = 1 + leap_sim_below(sim, w->nr_ns);
	lba = w->ns[nsid - 1].lba;
	nr = (pick_nr(sim) + lba - 1) / lba * lba;
	/* A small part of the drive, so that commands meet. */
	block = leap_sim_below(sim, MODEL_BLOCKS - nr + 1) / lba * lba;
	if (leap_sim_below(sim, 3) && nr <= 16)
		block = leap_sim_below(sim, 24) / lba * lba;
	op->queue = 1 + leap_sim_below(sim, leap_host_nr_queues(h->host));
	dice = leap_sim_below(sim, 100);
	if (dice < 30)
		op_read(op, nsid, block, nr);
	else if (dice < 36)
		op_compare(op, nsid, block, nr, !leap_sim_below(sim, 4));
	else if (dice < 39)
		op_verify(op, nsid, block, nr);
	else if (dice < 75)
		op_write(op, nsid, block, nr, false);
	else if (dice < 85)
		op_write(op, nsid, block, nr, true);
	else if (dice < 91)
		op_flush(op, nsid);
	else if (dice < 97)
		op_zeroes(op, nsid, block, nr);
	else
		op_dsm(op, nsid, block, nr);
	op_send(op);
}

void load_start(struct host *h)
{
	uint32_t i;

	for (i = 0; i < MAX_OPS; i++)
		load_next(&h->ops[i]);
}

bool load_is_over(void *arg)
{
	struct world *w = arg;

	return !w->left && !w->busy;
}

/* The CID that a command of ours travels with; -1 = it waits. */
static int cid_of(struct host *h, const struct op *op)
{
	struct leap__hqueue *q = &h->host->q[op->queue];
	uint32_t i;

	for (i = 0; i < q->depth - 1; i++)
		if (q->cmds[i].user == &op->req && op->busy && q->up)
			return leap_from_le16(q->cmds[i].req.sqe.cid);
	return -1;
}

void op_admin(struct op *op, uint8_t opc, uint32_t cdw10, uint32_t cdw11)
{
	op_begin(op, OP_ADMIN, 0, 0, 0);
	op->req.sqe.opc = opc;
	op->req.sqe.cdw10 = leap_to_le32(cdw10);
	op->req.sqe.cdw11 = leap_to_le32(cdw11);
	op->queue = 0;
	op->final = true;
}

void load_abort_one(struct host *h)
{
	load_abort(h, &h->ops[leap_sim_below(h->w->sim, MAX_OPS)]);
}

void load_abort(struct host *h, struct op *op)
{
	int cid = cid_of(h, op);

	if (h->admin.busy || cid < 0 || h->state != LEAP_HOST_LIVE)
		return;
	world_note(h->w, "host %u aborts %d of queue %u", h->i, cid, op->queue);
	op_admin(&h->admin, LEAP_ADM_ABORT, (uint32_t)cid << 16 | op->queue, 0);
	op_send(&h->admin);
}

void load_reset_controller(struct host *h)
{
	struct leap_fab_prop_set set;
	struct op *op = &h->admin;

	if (op->busy || h->state != LEAP_HOST_LIVE)
		return;
	world_note(h->w, "host %u clears CC.EN", h->i);
	op_admin(op, LEAP_ADM_FABRICS, 0, 0);
	memset(&set, 0, sizeof(set));
	set.opc = LEAP_ADM_FABRICS;
	set.fctype = LEAP_FCTYPE_PROP_SET;
	set.ofst = leap_to_le32(0x14);
	memcpy(&op->req.sqe, &set, sizeof(set));
	op_send(op);
}

void load_check_all(struct world *w)
{
	struct op *op = &w->hosts[0].ops[0];
	uint32_t i, at, n = 64, tries;

	for (i = 0; i < w->nr_ns; i++)
		for (at = 0; at < MODEL_BLOCKS && w->ns[i].there; at += n) {
			op->final = true;
			op->queue = 1;
			op_read(op, i + 1, at, n);
			op_sync(op);
			/* A stack that lets reads fail does so to the end. */
			for (tries = 0; op->status && tries < 20 &&
			     w->what & W_DISK && !w->failed[0]; tries++)
				op_sync(op);
			if (w->failed[0])
				return;
			if (op->status) {
				world_fail(w, "check: read ended with %#x",
					   op->status);
				return;
			}
		}
}
