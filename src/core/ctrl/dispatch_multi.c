/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O commands that take several steps: flush of all namespaces, dataset
 * management, and what a stack does not offer by itself: compare, copy
 * (dispatch_copy.c), and reads with FUA. One bio at a time per command; a
 * command whose connection has died takes no further step.
 *
 * Payload that holds LBAs may lie in memory that the peer can still change: it
 * is copied out, checked and used from the copy, once per use.
 *
 * Spec: NVM Command Set 1.0 s3.2.1 (Compare), s3.2.3 (Dataset Management);
 * Base 2.0 s7.1 (Flush)
 */
#include "core/ctrl/iogroup.h"
#include "util/plant.h"

#include <string.h>

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

/* @len bytes at @offset of a payload; they are there. */
static void copy_in(const struct leap_cmd *cmd, uint32_t offset, void *buf,
		    uint32_t len)
{
	const struct leap_piece *p = cmd->pieces;
	uint8_t *dst = buf;
	uint32_t n;

	for (; offset >= p->len_bytes; p++)
		offset -= p->len_bytes;
	for (; len; p++, offset = 0) {
		n = p->len_bytes - offset;
		if (n > len)
			n = len;
		memcpy(dst, (const uint8_t *)p->addr + offset, n);
		dst += n;
		len -= n;
	}
}

int leap__io_same(const struct leap_cmd *cmd, uint64_t offset,
		  const uint8_t *buf, uint32_t len)
{
	const struct leap_piece *p = cmd->pieces;
	uint32_t n;

	for (; offset >= p->len_bytes; p++)
		offset -= p->len_bytes;
	for (; len; p++, offset = 0) {
		n = p->len_bytes - (uint32_t)offset;
		if (n > len)
			n = len;
		if (memcmp((const uint8_t *)p->addr + offset, buf, n))
			return 0;
		buf += n;
		len -= n;
	}
	return 1;
}

static uint32_t chunk_lbas(const struct leap__ions *ns,
			   const struct leap__iocmd *io)
{
	uint64_t left = io->range.nr_lbas - io->done;
	uint32_t max = LEAP__IOC_SCRATCH_BYTES >> ns->lba_shift;

	return left < max ? (uint32_t)left : max;
}

/* ---- flush ---- */

static int flush_next(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	struct leap__iocmd *io = leap__iocmd(cmd);
	uint32_t nsid = leap_from_le32(cmd->sqe.nsid);
	uint32_t last = nsid == LEAP_NSID_ALL ? q->ss->max_nsid : nsid;

	for (; io->step <= last; io->step++) {
		struct leap__ions *ns = leap__io_ns(q, io->step);

		if (!ns || !(ns->caps & LEAP_BDEV_FLUSH))
			continue;
		io->step++;
		return leap__io_issue(q, ns, cmd, LEAP_BIO_FLUSH, 0, 0, NULL,
				      0);
	}
	leap_cmd_complete(cmd, 0);
	return 0;
}

static void io_flush(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	struct leap__iocmd *io = leap__iocmd(cmd);
	uint32_t nsid = leap_from_le32(cmd->sqe.nsid);

	if (nsid != LEAP_NSID_ALL && !leap__io_ns(q, nsid)) {
		leap__io_fail(cmd, DNR(LEAP_SC_INVALID_NS));
		return;
	}
	memset(io, 0, sizeof(*io));
	io->kind = LEAP__IOC_FLUSH;
	io->step = nsid == LEAP_NSID_ALL ? 1 : nsid;
	leap__io_next(q, NULL, cmd, 0);
}

/* ---- dataset management ---- */

static leap_status_t dsm_range(const struct leap__ions *ns,
			       const struct leap_cmd *cmd, uint64_t i,
			       uint64_t *slba, uint32_t *nr)
{
	struct leap_dsm_range r;

	copy_in(cmd, (uint32_t)i * sizeof(r), &r, sizeof(r));
	*slba = leap_from_le64(r.slba);
	*nr = leap_from_le32(r.nlb);
	if (*nr > ns->nr_lbas || *slba > ns->nr_lbas - *nr)
		return DNR(LEAP_SC_LBA_RANGE);
	return 0;
}

static uint32_t dsm_nr(const struct leap_cmd *cmd)
{
	return LEAP_GET(leap_from_le32(cmd->sqe.cdw10), LEAP_DSM_CDW10_NR) + 1;
}

static int dsm_next(struct leap__ioqp *q, struct leap__ions *ns,
		    struct leap_cmd *cmd)
{
	struct leap__iocmd *io = leap__iocmd(cmd);
	/* A bio's count is 32 bits of stack blocks. */
	uint32_t max = UINT32_MAX >> ns->stack_shift;
	uint32_t nr_ranges = dsm_nr(cmd), nr;
	leap_status_t status;
	uint64_t slba;

	/* A stack that takes them all, in blocks that are LBAs: then what is
	 * checked is its own copy. */
	if ((ns->caps & LEAP_BDEV_RANGES) && !ns->stack_shift) {
		if (!io->step++)
			return leap__io_issue(q, ns, cmd, LEAP_BIO_RANGES, 0,
					      0, cmd->pieces, cmd->nr_pieces);
		leap_cmd_complete(cmd, 0);
		return 0;
	}
	for (; io->step < nr_ranges; io->step++, io->done = 0) {
		status = dsm_range(ns, cmd, io->step, &slba, &nr);
		if (status) {
			leap__io_fail(cmd, status);
			return 0;
		}
		/* The peer may have shortened it between two chunks. */
		if (io->done >= nr)
			continue;
		slba += io->done;
		nr -= (uint32_t)io->done;
		if (nr > max)
			nr = max;
		io->done += nr;
		return leap__io_issue(q, ns, cmd, LEAP_BIO_DISCARD, slba, nr,
				      NULL, 0);
	}
	leap_cmd_complete(cmd, 0);
	return 0;
}

static void dsm_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ioqp *q = cmd->vqp->handler_priv;
	struct leap__ions *ns = leap__io_ns(q, leap_from_le32(cmd->sqe.nsid));
	struct leap__iocmd *io = leap__iocmd(cmd);
	uint32_t cdw11 = leap_from_le32(cmd->sqe.cdw11), nr, i;
	uint64_t slba;

	if (!status && !ns)
		status = DNR(LEAP_SC_INVALID_NS);
	/* All are checked first: a bad range discards nothing. */
	for (i = 0; !status && i < dsm_nr(cmd); i++)
		status = dsm_range(ns, cmd, i, &slba, &nr);
	if (status) {
		leap__io_fail(cmd, status);
		return;
	}
	/* The rest of the attributes, and all of it to a stack that cannot,
	 * is advice. */
	if (!(cdw11 & LEAP_DSM_CDW11_AD) || !(ns->caps & LEAP_BDEV_DISCARD)) {
		leap_cmd_complete(cmd, 0);
		return;
	}
	memset(io, 0, sizeof(*io));
	io->kind = LEAP__IOC_DSM;
	leap__io_start(q, ns, cmd);
}

static void io_dsm(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	struct leap__ions *ns = leap__io_ns(q, leap_from_le32(cmd->sqe.nsid));

	if (!ns)
		leap__io_fail(cmd, DNR(LEAP_SC_INVALID_NS));
	else if (ns->read_only && (leap_from_le32(cmd->sqe.cdw11) &
				   LEAP_DSM_CDW11_AD))
		leap__io_fail(cmd, DNR(LEAP_SC_NS_WRITE_PROTECTED));
	else
		leap_cmd_pull(cmd, dsm_nr(cmd) * sizeof(struct leap_dsm_range),
			      dsm_ready);
}

/* ---- by chunks, through the group's scratch buffer ---- */

static int scratch_issue(struct leap__ioqp *q, struct leap__ions *ns,
			 struct leap_cmd *cmd)
{
	struct leap__iogroup *g = q->group;
	struct leap__iocmd *io = leap__iocmd(cmd);
	uint32_t nr = chunk_lbas(ns, io);

	memset(&g->piece, 0, sizeof(g->piece));
	g->piece.addr = g->scratch;
	g->piece.len_bytes = nr << ns->lba_shift;
	if (leap__io_issue(q, ns, cmd, LEAP_BIO_READ,
			   io->range.slba + io->done, nr, &g->piece, 1))
		return 1;
	g->comparing = NULL;
	return 0;
}

/* Let those who wait for the scratch buffer have it, one after the other. */
static void scratch_release(struct leap__iogroup *g)
{
	struct leap_cmd *cmd;
	struct leap__ioqp *q;
	struct leap__ions *ns;

	if (g->releasing)
		return;
	g->releasing = 1;
	while (!g->comparing && (cmd = leap__cmds_pop(&g->compares))) {
		q = cmd->vqp->handler_priv;
		ns = leap__io_ns(q, leap_from_le32(cmd->sqe.nsid));
		/* It has not begun: somebody may claim blocks by now. */
		if (ns)
			leap__io_start(q, ns, cmd);
		else
			leap__io_fail(cmd, DNR(LEAP_SC_INVALID_NS));
	}
	g->releasing = 0;
}

int leap__io_scratch_end(struct leap__iogroup *g, struct leap_cmd *cmd,
			 leap_status_t status)
{
	g->comparing = NULL;
	leap__io_complete(cmd, status);
	scratch_release(g);
	return 0;
}

int leap__io_scratch_busy(struct leap__iogroup *g, struct leap_cmd *cmd)
{
	if (!g->comparing || g->comparing == cmd)
		return 0;
	leap__iocmd(cmd)->stepping = 0;
	leap__cmds_push(&g->compares, cmd);
	return 1;
}

static int compare_step(struct leap__ioqp *q, struct leap__ions *ns,
			struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__iogroup *g = q->group;
	struct leap__iocmd *io = leap__iocmd(cmd);

	if (leap__io_scratch_busy(g, cmd))
		return 0;
	if (g->comparing == cmd) {
		uint32_t nr = chunk_lbas(ns, io);

		if (!status && !leap__io_same(cmd, io->done << ns->lba_shift,
					      g->scratch, nr << ns->lba_shift))
			status = DNR(LEAP_SC_COMPARE_FAILED);
		io->done += nr;
		if (status || io->done == io->range.nr_lbas)
			return leap__io_scratch_end(g, cmd, status);
	}
	g->comparing = cmd;
	if (q->state == LEAP__IOQP_ENDED)
		return leap__io_scratch_end(g, cmd, LEAP_SC_ABORT_SQ_DELETED);
	return scratch_issue(q, ns, cmd);
}

/* ---- one more step ---- */

/* 1: a bio is out, or has come back meanwhile; 0: the command has ended, or
 * waits, and is not ours to look at. */
static int step(struct leap__ioqp *q, struct leap__ions *ns,
		struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__iocmd *io = leap__iocmd(cmd);

	if (io->kind == LEAP__IOC_COMPARE)
		return compare_step(q, ns, cmd, status);
	if (io->kind == LEAP__IOC_COPY)
		return leap__io_copy_step(q, ns, cmd, status);
	if (io->kind == LEAP__IOC_VECTOR)
		return leap__vector_step(q, ns, cmd, status);
	if (io->kind == LEAP__IOC_FUSED)
		return leap__fused_step(q, ns, cmd, status);
	if (io->kind >= LEAP__IOC_ZONE_WAITS)
		return leap__zns_step(q, ns, cmd, status);
	if (!status && q->state == LEAP__IOQP_ENDED)
		status = LEAP_SC_ABORT_SQ_DELETED;
	if (status) {
		leap__io_fail(cmd, status);
		return 0;
	}
	switch (io->kind) {
	case LEAP__IOC_FLUSH:
		return flush_next(q, cmd);
	case LEAP__IOC_DSM:
		return dsm_next(q, ns, cmd);
	}
	/* LEAP__IOC_FUA_READ */
	if (!io->step++)
		return leap__io_issue(q, ns, cmd, LEAP_BIO_FLUSH, 0, 0, NULL,
				      0);
	io->kind = LEAP__IOC_PLAIN;
	io->stepping = 0;
	leap__io_begin(q, ns, cmd);
	return 0;
}

enum { STEP_NONE = 0, STEP_ISSUING, STEP_BACK };

/*
 * A leaf may finish before submit returns, thousands of times in a row: then
 * the next step is taken here in a loop, not deeper and deeper on the stack.
 */
void leap__io_next(struct leap__ioqp *q, struct leap__ions *ns,
		   struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__iocmd *io = leap__iocmd(cmd);

	if (io->stepping == STEP_ISSUING) {
		io->stepping = STEP_BACK;
		cmd->status = status;
		return;
	}
	for (;;) {
		io->stepping = STEP_ISSUING;
		if (!step(q, ns, cmd, status))
			return;
		if (io->stepping == STEP_ISSUING) {
			io->stepping = STEP_NONE;
			return;
		}
		status = cmd->status;
	}
}

void leap__io_multi(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	if (cmd->sqe.opc == LEAP_NVM_FLUSH)
		io_flush(q, cmd);
	else
		io_dsm(q, cmd);
}
