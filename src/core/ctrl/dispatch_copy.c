/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copy: from several ranges of a namespace to one, without a trip to the host.
 *
 * Every namespace without zones offers it, with the same limits, because what a
 * controller says it can (ONCS) must not change with the namespaces that come
 * and go; those with zones say that none of it is allowed (MSSRL 0). A
 * stack that copies by itself (LEAP_BDEV_COPY) gets the command as it came; for
 * others it is done here, chunk by chunk through the group's scratch buffer,
 * which costs them what the host's own reads and writes would, and the host and
 * its link nothing.
 *
 * The ranges are in payload that the host may change: they are read once when
 * the command arrives, to refuse what is wrong, and once more by who copies,
 * from then on in memory of our own.
 *
 * Spec: NVM Command Set 1.0 s3.2.2 (Copy)
 */
#include "core/ctrl/iogroup.h"

#include <string.h>

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

static uint32_t copy_nr(const struct leap_sqe *sqe)
{
	return LEAP_GET(leap_from_le32(sqe->cdw12), LEAP_COPY_CDW12_NR) + 1;
}

/* ---- arrival ---- */

static leap_status_t check_lengths(const struct leap__ions *ns,
				   const struct leap__copy_list *list,
				   uint32_t *bad)
{
	uint32_t sum = 0, nr;

	for (*bad = 0; *bad < list->nr; ++*bad) {
		nr = list->range[*bad].nr_blocks;
		sum += nr;
		if (nr > LEAP__COPY_RANGE_BYTES >> ns->lba_shift ||
		    sum > LEAP__COPY_BYTES >> ns->lba_shift)
			return DNR(LEAP_SC_SIZE_LIMIT);
	}
	*bad = 0;
	return 0;
}

static void copy_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ioqp *q = cmd->vqp->handler_priv;
	struct leap__ions *ns = leap__io_ns(q, leap_from_le32(cmd->sqe.nsid));
	uint64_t to = leap_sqe_slba(&cmd->sqe);
	struct leap__iocmd *io = leap__iocmd(cmd);
	struct leap__copy_list list;
	uint32_t bad = 0;

	if (!status && !ns)
		status = DNR(LEAP_SC_INVALID_NS);
	if (!status)
		status = leap__copy_list_read(&cmd->sqe, cmd->pieces,
					      cmd->nr_pieces, ns->nr_lbas,
					      &list, &bad);
	if (!status)
		status = check_lengths(ns, &list, &bad);
	if (!status && (list.nr_blocks > ns->nr_lbas ||
			to > ns->nr_lbas - list.nr_blocks))
		status = DNR(LEAP_SC_LBA_RANGE);
	if (status) {
		cmd->result = bad;
		leap__io_fail(cmd, status);
		return;
	}
	memset(io, 0, sizeof(*io));
	io->kind = LEAP__IOC_COPY;
	io->range.slba = to;
	io->range.nr_lbas = list.nr_blocks;
	leap__io_start(q, ns, cmd);
}

void leap__io_copy(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	struct leap__ions *ns = leap__io_ns(q, leap_from_le32(cmd->sqe.nsid));
	uint32_t cdw12 = leap_from_le32(cmd->sqe.cdw12);
	uint32_t bytes = leap_copy_entry_bytes(&cmd->sqe);
	leap_status_t status = 0;

	if (!ns)
		status = DNR(LEAP_SC_INVALID_NS);
	else if (ns->caps & LEAP_BDEV_ZONED)
		status = DNR(LEAP_SC_INVALID_OPCODE);
	else if (!bytes || LEAP_GET(cdw12, LEAP_COPY_CDW12_DTYPE))
		status = DNR(LEAP_SC_INVALID_FIELD);
	else if (ns->read_only)
		status = DNR(LEAP_SC_NS_WRITE_PROTECTED);
	else if (copy_nr(&cmd->sqe) > LEAP__COPY_RANGES)
		status = DNR(LEAP_SC_SIZE_LIMIT);
	if (status)
		leap__io_fail(cmd, status);
	else
		leap_cmd_pull(cmd, copy_nr(&cmd->sqe) * bytes, copy_ready);
}

/* ---- steps ---- */

static uint8_t write_flags(const struct leap__ioqp *q,
			   const struct leap_cmd *cmd)
{
	return q->write_through || leap_from_le32(cmd->sqe.cdw12) &
	       LEAP_COPY_CDW12_FUA ? LEAP_BIO_FUA : 0;
}

/* A stack that can: one bio. */
static int pass_on(struct leap__ioqp *q, struct leap__ions *ns,
		   struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__iocmd *io = leap__iocmd(cmd);

	if (!io->step++) {
		io->bio_flags = write_flags(q, cmd);
		return leap__io_issue(q, ns, cmd, LEAP_BIO_COPY,
				      io->range.slba, io->range.nr_lbas,
				      cmd->pieces, cmd->nr_pieces);
	}
	if (!status)
		cmd->result = 0;
	leap__io_complete(cmd, status);
	return 0;
}

/* The scratch buffer has become ours. */
static leap_status_t take_list(struct leap__iogroup *g,
			       const struct leap__ions *ns,
			       struct leap_cmd *cmd)
{
	leap_status_t status;
	uint32_t bad;

	status = leap__copy_list_read(&cmd->sqe, cmd->pieces, cmd->nr_pieces,
				      ns->nr_lbas, &g->copy, &bad);
	/* The range it goes to was checked for the sum that there was. */
	if (!status && g->copy.nr_blocks != leap__iocmd(cmd)->range.nr_lbas)
		status = DNR(LEAP_SC_INVALID_FIELD);
	g->copy_at = status ? bad : 0;
	g->copy_done = 0;
	return status;
}

static uint32_t chunk_lbas(const struct leap__iogroup *g,
			   const struct leap__ions *ns)
{
	uint32_t left = g->copy.range[g->copy_at].nr_blocks - g->copy_done;
	uint32_t max = LEAP__IOC_SCRATCH_BYTES >> ns->lba_shift;

	return left < max ? left : max;
}

/* A chunk has been written. */
static void advance(struct leap__iogroup *g, struct leap__iocmd *io,
		    uint32_t nr)
{
	io->done += nr;
	g->copy_done += nr;
	if (g->copy_done == g->copy.range[g->copy_at].nr_blocks) {
		g->copy_at++;
		g->copy_done = 0;
	}
}

/* io->step: 0 before a chunk is read, 1 before it is written. */
static int issue(struct leap__ioqp *q, struct leap__ions *ns,
		 struct leap_cmd *cmd)
{
	struct leap__iogroup *g = q->group;
	struct leap__iocmd *io = leap__iocmd(cmd);
	uint32_t nr = chunk_lbas(g, ns);
	uint64_t from = g->copy.range[g->copy_at].block + g->copy_done;
	int ok;

	memset(&g->piece, 0, sizeof(g->piece));
	g->piece.addr = g->scratch;
	g->piece.len_bytes = nr << ns->lba_shift;
	io->bio_flags = io->step ? write_flags(q, cmd) : 0;
	ok = leap__io_issue(q, ns, cmd, io->step ? LEAP_BIO_WRITE :
			    LEAP_BIO_READ, io->step ? io->range.slba +
			    io->done : from, nr, &g->piece, 1);
	if (!ok)
		g->comparing = NULL;
	return ok;
}

static int end(struct leap__iogroup *g, struct leap_cmd *cmd,
	       leap_status_t status)
{
	cmd->result = status ? g->copy_at : 0;
	return leap__io_scratch_end(g, cmd, status);
}

int leap__io_copy_step(struct leap__ioqp *q, struct leap__ions *ns,
		       struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__iogroup *g = q->group;
	struct leap__iocmd *io = leap__iocmd(cmd);

	/* Its blocks are our LBAs, or the list is not for it. */
	if ((ns->caps & LEAP_BDEV_COPY) && !ns->stack_shift)
		return pass_on(q, ns, cmd, status);
	if (leap__io_scratch_busy(g, cmd))
		return 0;
	if (g->comparing == cmd) {
		if (!status && io->step)
			advance(g, io, chunk_lbas(g, ns));
		io->step = !io->step;
	} else {
		g->comparing = cmd;
		status = take_list(g, ns, cmd);
	}
	if (!status && q->state == LEAP__IOQP_ENDED)
		status = LEAP_SC_ABORT_SQ_DELETED;
	if (status || io->done == io->range.nr_lbas)
		return end(g, cmd, status);
	return issue(q, ns, cmd);
}
