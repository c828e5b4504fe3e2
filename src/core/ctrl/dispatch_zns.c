/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O commands of namespaces with zones: what a write has to wait for, Zone
 * Append, and Zone Management Send and Receive. What a zone may do in its state
 * is the leaf's to know; here is order.
 *
 * A write goes where its zone's pointer is, so two of one zone must get to the
 * leaf in the order of their queue, whichever payload comes first, and the
 * second not before the first has come back: a stack may swap what is in it.
 *
 *	numbered --payload--> its turn --> zone free --> orphans --> leaf
 *	             (early)            (waits)
 *
 * Spec: NVMe ZNS Command Set 1.1 s2.1.1 (zones), s3.4.1 (Zone Append), s3.4.2
 * (Zone Management Receive), s3.4.3 (Zone Management Send)
 */
#include "core/ctrl/iogroup.h"

#include <string.h>

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

/* ---- a zone has one write in the leaf ---- */

static int bucket_of(const struct leap__ions *ns, uint64_t lba)
{
	return (int)(lba / ns->zone_lbas % LEAP__IONS_ZONES);
}

static int is_busy(const struct leap__ions *ns, int bucket)
{
	return !!(ns->zone_busy[bucket / 64] >> (bucket % 64) & 1);
}

static void set_busy(struct leap__ions *ns, int bucket, int busy)
{
	uint64_t bit = 1ull << (bucket % 64);

	if (busy)
		ns->zone_busy[bucket / 64] |= bit;
	else
		ns->zone_busy[bucket / 64] &= ~bit;
}

static struct leap__ions *ns_of(const struct leap_cmd *cmd)
{
	return leap__io_ns(cmd->vqp->handler_priv,
			   leap_from_le32(cmd->sqe.nsid));
}

/* Takes the first that waits and whose zone is free from the list. */
static struct leap_cmd *take_waiting(struct leap__iogroup *g)
{
	struct leap_cmd **at = &g->zone_wait.head, *cmd;

	for (; (cmd = *at); at = &cmd->link[0]) {
		struct leap__ions *ns = ns_of(cmd);
		int bucket = bucket_of(ns, leap_sqe_slba(&cmd->sqe));

		if (is_busy(ns, bucket))
			continue;
		set_busy(ns, bucket, 1);
		return leap__cmds_take_at(&g->zone_wait, at);
	}
	return NULL;
}

/* A leaf that ends its bios in submit comes back here from below: those go on
 * in the loop that is running already, not deeper and deeper on the stack. */
static void drive(struct leap__iogroup *g)
{
	struct leap_cmd *cmd;

	if (g->zone_driving)
		return;
	g->zone_driving = 1;
	while ((cmd = take_waiting(g))) {
		leap__iocmd(cmd)->kind = LEAP__IOC_ZONE_WRITE;
		leap__io_start(cmd->vqp->handler_priv, ns_of(cmd), cmd);
	}
	g->zone_driving = 0;
}

static void release(struct leap__iogroup *g, struct leap__ions *ns,
		    uint64_t slba)
{
	set_busy(ns, bucket_of(ns, slba), 0);
	if (g->zone_wait.head)
		drive(g);
}

void leap__zns_dropped(struct leap__iogroup *g, struct leap_cmd *cmd)
{
	struct leap__ions *ns = ns_of(cmd);

	if (ns && leap__iocmd(cmd)->kind == LEAP__IOC_ZONE_WRITE)
		release(g, ns, leap_sqe_slba(&cmd->sqe));
}

/* A number that is not answered would hold all that follow: those whose payload
 * came early are not found by a CID. */
uint32_t leap__zns_abort(struct leap__iogroup *g, struct leap_vqp *vqp,
			 int32_t cid)
{
	struct leap__ioqp *q = vqp->handler_priv;
	uint32_t found = leap__cmds_abort(&g->zone_wait, vqp, cid);
	struct leap_cmd *cmd;

	while (cid < 0 && (cmd = q->zone_early)) {
		q->zone_early = cmd->link[0];
		leap_cmd_complete(cmd, LEAP_SC_ABORT_SQ_DELETED);
		found++;
	}
	return found;
}

void leap__zns_closing(struct leap__iogroup *g, struct leap__ions *ns)
{
	struct leap_cmd **at = &g->zone_wait.head, *cmd;

	while ((cmd = *at)) {
		if (ns_of(cmd) != ns) {
			at = &cmd->link[0];
			continue;
		}
		leap__cmds_take_at(&g->zone_wait, at);
		leap__io_fail(cmd, DNR(LEAP_SC_INVALID_NS));
	}
}

/* ---- in the order of the queue ---- */

static void turn(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	struct leap__iogroup *g = q->group;
	struct leap__ions *ns = ns_of(cmd);

	q->zone_turn++;
	if (cmd->status) {
		leap__io_fail(cmd, cmd->status);
		return;
	}
	/* It may have gone, and another come, while the payload came. */
	if (!ns || !ns->zone_lbas) {
		leap__io_fail(cmd, DNR(LEAP_SC_INVALID_NS));
		return;
	}
	leap__cmds_push(&g->zone_wait, cmd);
	drive(g);
}

static struct leap_cmd *take_early(struct leap__ioqp *q)
{
	struct leap_cmd **at = &q->zone_early, *cmd;

	for (; (cmd = *at); at = &cmd->link[0]) {
		if (leap__iocmd(cmd)->done != q->zone_turn)
			continue;
		*at = cmd->link[0];
		return cmd;
	}
	return NULL;
}

static void write_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ioqp *q = cmd->vqp->handler_priv;

	cmd->status = status;
	if (leap__iocmd(cmd)->done != q->zone_turn) {
		cmd->link[0] = q->zone_early;
		q->zone_early = cmd;
		return;
	}
	do
		turn(q, cmd);
	while ((cmd = take_early(q)));
}

static void set_range(struct leap__iocmd *io, const struct leap_sqe *sqe)
{
	io->range.slba = leap_sqe_slba(sqe);
	io->range.nr_lbas = leap_sqe_nlb(sqe);
}

static uint8_t write_flags(const struct leap__ioqp *q,
			   const struct leap_sqe *sqe)
{
	return q->write_through || leap_from_le32(sqe->cdw12) &
				   LEAP_IO_CDW12_FUA ? LEAP_BIO_FUA : 0;
}

void leap__zns_write(struct leap__ioqp *q, struct leap__ions *ns,
		     struct leap_cmd *cmd)
{
	struct leap__iocmd *io = leap__iocmd(cmd);

	memset(io, 0, sizeof(*io));
	set_range(io, &cmd->sqe);
	io->kind = LEAP__IOC_ZONE_WAITS;
	io->bio_flags = write_flags(q, &cmd->sqe);
	io->done = q->zone_next++;
	leap_cmd_pull(cmd, cmd->sqe.opc == LEAP_NVM_WRITE ?
		      io->range.nr_lbas << ns->lba_shift : 0, write_ready);
}

/* ---- orphans ---- */

void leap__zns_widen(const struct leap__ions *ns, struct leap__orphan *range)
{
	uint64_t end;

	if (!ns->zone_lbas || !range->nr_lbas)
		return;
	end = range->slba + range->nr_lbas - 1;
	range->slba -= range->slba % ns->zone_lbas;
	end += ns->zone_lbas - end % ns->zone_lbas;
	/* More than there is room for is everything. */
	range->nr_lbas = end - range->slba > UINT32_MAX ? 0 :
			 (uint32_t)(end - range->slba);
}

/* ---- steps ---- */

/* Zeroes are what a zone shows where nothing was written:
 * they prove nothing. */
static int has_contents(const struct leap_cmd *cmd)
{
	uint32_t i, n;

	for (i = 0; i < cmd->nr_pieces; i++) {
		const uint8_t *p = cmd->pieces[i].addr;

		for (n = 0; n < cmd->pieces[i].len_bytes; n++)
			if (p[n])
				return 1;
	}
	return 0;
}

/* Refused to a command that a dead predecessor may have brought to its end. */
static int may_be_done(const struct leap__ions *ns, const struct leap_cmd *cmd,
		       leap_status_t status)
{
	leap_status_t code = LEAP_STATUS_CODE(status);

	return cmd->flags & LEAP_CMD_AGAIN && cmd->sqe.opc == LEAP_NVM_WRITE &&
	       (code == LEAP_SC_ZONE_INVALID_WRITE ||
		code == LEAP_SC_ZONE_FULL) &&
	       (ns->caps & LEAP_BDEV_COMPARE) && has_contents(cmd);
}

static int zone_write(struct leap__ioqp *q, struct leap__ions *ns,
		      struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__iogroup *g = q->group;
	struct leap__iocmd *io = leap__iocmd(cmd);
	uint64_t slba = io->range.slba;
	int zeroes = cmd->sqe.opc == LEAP_NVM_WRITE_ZEROES;
	uint8_t op = zeroes ? LEAP_BIO_WRITE_ZEROES : LEAP_BIO_WRITE;

	switch (io->step++) {
	case 0:
		break;
	case 1:
		if (!may_be_done(ns, cmd, status)) {
			leap__io_complete(cmd, status);
			release(g, ns, slba);
			return 0;
		}
		io->done = status;
		io->bio_flags = 0;
		op = LEAP_BIO_COMPARE;
		break;
	default:
		leap__io_complete(cmd, status ? (leap_status_t)io->done : 0);
		release(g, ns, slba);
		return 0;
	}
	if (leap__io_issue(q, ns, cmd, op, slba, io->range.nr_lbas, zeroes ?
			   NULL : cmd->pieces, zeroes ? 0 : cmd->nr_pieces))
		return 1;
	release(g, ns, slba);
	return 0;
}

static int other_issue(struct leap__ioqp *q, struct leap__ions *ns,
		       struct leap_cmd *cmd)
{
	struct leap__iocmd *io = leap__iocmd(cmd);

	switch (cmd->sqe.opc) {
	case LEAP_NVM_ZONE_APPEND:
		return leap__io_issue(q, ns, cmd, LEAP_BIO_ZONE_APPEND,
				      io->range.slba, io->range.nr_lbas,
				      cmd->pieces, cmd->nr_pieces);
	case LEAP_NVM_ZONE_MGMT_SEND:
		return leap__io_issue(q, ns, cmd, LEAP_BIO_ZONE_SEND,
				      io->bio_flags ? 0 : io->range.slba, 0,
				      NULL, 0);
	default:
		return leap__io_issue(q, ns, cmd, LEAP_BIO_ZONE_REPORT,
				      leap_sqe_slba(&cmd->sqe), 0,
				      cmd->pieces, cmd->nr_pieces);
	}
}

int leap__zns_step(struct leap__ioqp *q, struct leap__ions *ns,
		   struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__iocmd *io = leap__iocmd(cmd);

	if (io->kind == LEAP__IOC_ZONE_WRITE)
		return zone_write(q, ns, cmd, status);
	if (!io->step++)
		return other_issue(q, ns, cmd);
	if (!status && io->kind == LEAP__IOC_ZONE_APPEND)
		leap__io_complete(cmd, 0);
	else if (status)
		leap__io_fail(cmd, status);
	else
		leap_cmd_complete(cmd, 0);
	return 0;
}

/* ---- append, send, receive ---- */

static void begin(struct leap_cmd *cmd)
{
	struct leap__ioqp *q = cmd->vqp->handler_priv;
	struct leap__ions *ns = ns_of(cmd);

	if (ns && ns->zone_lbas)
		leap__io_start(q, ns, cmd);
	else
		leap__io_fail(cmd, DNR(LEAP_SC_INVALID_NS));
}

static void ready(struct leap_cmd *cmd, leap_status_t status)
{
	if (status)
		leap__io_fail(cmd, status);
	else
		begin(cmd);
}

static leap_status_t check_append(const struct leap__ioqp *q,
				  const struct leap__ions *ns,
				  const struct leap_sqe *sqe, uint32_t *bytes)
{
	uint64_t slba = leap_sqe_slba(sqe);
	uint32_t nr = leap_sqe_nlb(sqe), cdw12 = leap_from_le32(sqe->cdw12);

	*bytes = nr << ns->lba_shift;
	if (ns->read_only)
		return DNR(LEAP_SC_NS_WRITE_PROTECTED);
	if (slba >= ns->nr_lbas)
		return DNR(LEAP_SC_LBA_RANGE);
	if (slba % ns->zone_lbas || *bytes > q->max_bytes ||
	    (ns->append_lbas && nr > ns->append_lbas) ||
	    LEAP_GET(cdw12, LEAP_IO_CDW12_DTYPE))
		return DNR(LEAP_SC_INVALID_FIELD);
	return nr > ns->zone_lbas ? DNR(LEAP_SC_ZONE_BOUNDARY) : 0;
}

static leap_status_t check_send(const struct leap__ions *ns,
				const struct leap_sqe *sqe,
				struct leap__iocmd *io)
{
	uint64_t slba = leap_sqe_slba(sqe);
	uint32_t cdw13 = leap_from_le32(sqe->cdw13);
	uint32_t action = LEAP_GET(cdw13, LEAP_ZMS_CDW13_ZSA);

	if (ns->read_only)
		return DNR(LEAP_SC_NS_WRITE_PROTECTED);
	/* No extensions of descriptors, no random write area. */
	if (action < LEAP_ZSA_CLOSE || action > LEAP_ZSA_OFFLINE ||
	    (cdw13 & LEAP_ZMS_CDW13_ZRWAA))
		return DNR(LEAP_SC_INVALID_FIELD);
	io->done = action;
	io->range.nr_lbas = 0;
	if (cdw13 & LEAP_ZMS_CDW13_SELECT_ALL) {
		io->bio_flags = LEAP_BIO_ZONE_ALL;
		return 0;
	}
	if (slba >= ns->nr_lbas)
		return DNR(LEAP_SC_LBA_RANGE);
	if (slba % ns->zone_lbas)
		return DNR(LEAP_SC_INVALID_FIELD);
	io->range.slba = slba;
	io->range.nr_lbas = 1;
	return 0;
}

static leap_status_t check_receive(const struct leap__ioqp *q,
				   const struct leap__ions *ns,
				   const struct leap_sqe *sqe,
				   struct leap__iocmd *io, uint32_t *bytes)
{
	uint64_t numd = (uint64_t)leap_from_le32(sqe->cdw12) + 1;
	uint32_t cdw13 = leap_from_le32(sqe->cdw13);

	if (leap_sqe_slba(sqe) >= ns->nr_lbas)
		return DNR(LEAP_SC_LBA_RANGE);
	if (numd * 4 < sizeof(struct leap_zone_report) ||
	    numd * 4 > q->max_bytes ||
	    LEAP_GET(cdw13, LEAP_ZMR_CDW13_ZRA) != LEAP_ZRA_REPORT ||
	    LEAP_GET(cdw13, LEAP_ZMR_CDW13_ZRASF) > LEAP_ZRASF_OFFLINE)
		return DNR(LEAP_SC_INVALID_FIELD);
	*bytes = (uint32_t)numd * 4;
	/* Of any zone, so it waits for what is under way to any. */
	io->range.nr_lbas = 0;
	io->done = cdw13;
	return 0;
}

void leap__io_zns(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	struct leap__ions *ns = ns_of(cmd);
	struct leap__iocmd *io = leap__iocmd(cmd);
	leap_status_t status = 0;
	uint32_t bytes = 0;

	memset(io, 0, sizeof(*io));
	if (!ns)
		status = DNR(LEAP_SC_INVALID_NS);
	else if (!ns->zone_lbas)
		status = DNR(LEAP_SC_INVALID_OPCODE);
	if (status) {
		leap__io_fail(cmd, status);
		return;
	}
	io->kind = LEAP__IOC_ZONE_OTHER;
	switch (cmd->sqe.opc) {
	case LEAP_NVM_ZONE_APPEND:
		io->kind = LEAP__IOC_ZONE_APPEND;
		set_range(io, &cmd->sqe);
		io->bio_flags = write_flags(q, &cmd->sqe);
		status = check_append(q, ns, &cmd->sqe, &bytes);
		break;
	case LEAP_NVM_ZONE_MGMT_SEND:
		status = check_send(ns, &cmd->sqe, io);
		break;
	default:
		status = check_receive(q, ns, &cmd->sqe, io, &bytes);
	}
	if (status)
		leap__io_fail(cmd, status);
	else
		leap_cmd_pull(cmd, bytes, ready);
}
