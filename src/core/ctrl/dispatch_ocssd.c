/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I/O commands of open-channel namespaces: vector reset, write, read and copy.
 * Their addresses are in the command when there is one of each, else in lists
 * that are copied out of the guest's memory once, before anything is checked.
 * A capsule has no room for such lists, and a host of fabrics only commands of
 * one address. The answer has a bit for each address that failed.
 *
 * The copies lie beside the commands of the group, by tag, and are made when
 * the first such namespace comes.
 */
#include "core/ctrl/iogroup.h"

#include <stdlib.h>
#include <string.h>

#include <leapio/ocssd.h>

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

int leap__ocssd_prepare(struct leap__iogroup *g)
{
	if (!g->vectors)
		g->vectors = calloc(g->nr_cmds, sizeof(*g->vectors));
	return g->vectors ? 0 : -1;
}

static uint64_t pair(leap_le32 low, leap_le32 high)
{
	return (uint64_t)leap_from_le32(high) << 32 | leap_from_le32(low);
}

/* One address, or where the list of them is. */
static leap_status_t take_list(const struct leap__ioqp *q,
			       const struct leap_cmd *cmd, uint64_t where,
			       uint64_t *to, uint32_t nr)
{
	leap_le64 list[LEAP_VECTOR_MAX];
	uint32_t i;

	if (nr == 1) {
		to[0] = where;
		return 0;
	}
	if (!q->guest || where % 8)
		return DNR(LEAP_SC_INVALID_FIELD);
	if (leap__guest_copy_in(cmd->vqp, list, (leap_gpa_t){ where },
				nr * sizeof(list[0])))
		return DNR(LEAP_SC_DATA_TRANSFER);
	for (i = 0; i < nr; i++)
		to[i] = leap_from_le64(list[i]);
	return 0;
}

static void ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ioqp *q = cmd->vqp->handler_priv;
	struct leap__ions *ns = leap__io_ns(q, leap_from_le32(cmd->sqe.nsid));

	if (!status && (!ns || !(ns->caps & LEAP_BDEV_VECTOR)))
		status = DNR(LEAP_SC_INVALID_NS);
	if (status)
		leap__io_fail(cmd, status);
	else
		leap__io_start(q, ns, cmd);
}

static uint8_t vector_op(uint8_t opc)
{
	switch (opc) {
	case LEAP_OCSSD_WRITE:
		return LEAP_VECTOR_WRITE;
	case LEAP_OCSSD_READ:
		return LEAP_VECTOR_READ;
	case LEAP_OCSSD_COPY:
		return LEAP_VECTOR_COPY;
	default:
		return LEAP_VECTOR_RESET;
	}
}

static leap_status_t take(const struct leap__ioqp *q,
			  const struct leap__ions *ns, struct leap_cmd *cmd)
{
	struct leap_bio_vector *v = &q->group->vectors[cmd->tag];
	const struct leap_sqe *sqe = &cmd->sqe;
	uint32_t nr = (leap_from_le32(sqe->cdw12) & 0xffff) + 1;
	leap_status_t status;

	if (nr > LEAP_VECTOR_MAX)
		return DNR(LEAP_SC_INVALID_FIELD);
	v->op = vector_op(sqe->opc);
	v->nr = (uint8_t)nr;
	if (ns->read_only && v->op != LEAP_VECTOR_READ)
		return DNR(LEAP_SC_NS_WRITE_PROTECTED);
	status = take_list(q, cmd, leap_sqe_slba(sqe), v->at, nr);
	if (!status && v->op == LEAP_VECTOR_COPY)
		status = take_list(q, cmd, pair(sqe->cdw14, sqe->cdw15), v->to,
				   nr);
	return status;
}

int leap__io_vector(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	struct leap__ions *ns = leap__io_ns(q, leap_from_le32(cmd->sqe.nsid));
	struct leap__iocmd *io = leap__iocmd(cmd);
	leap_status_t status;
	uint32_t bytes = 0;

	/* Elsewhere these are opcodes that nobody knows. */
	if (!ns || !(ns->caps & LEAP_BDEV_VECTOR))
		return 0;
	memset(io, 0, sizeof(*io));
	io->kind = LEAP__IOC_VECTOR;
	status = take(q, ns, cmd);
	if (!status && (cmd->sqe.opc == LEAP_OCSSD_WRITE ||
			cmd->sqe.opc == LEAP_OCSSD_READ))
		bytes = (uint32_t)q->group->vectors[cmd->tag].nr <<
			ns->lba_shift;
	if (!status && bytes > q->max_bytes)
		status = DNR(LEAP_SC_INVALID_FIELD);
	if (status)
		leap__io_fail(cmd, status);
	else
		leap_cmd_pull(cmd, bytes, ready);
	return 1;
}

int leap__vector_step(struct leap__ioqp *q, struct leap__ions *ns,
		      struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__iocmd *io = leap__iocmd(cmd);

	if (!io->step++)
		return leap__io_issue(q, ns, cmd, LEAP_BIO_VECTOR, 0, 0,
				      cmd->pieces, cmd->nr_pieces);
	if (status)
		leap__io_fail(cmd, status);
	else
		leap_cmd_complete(cmd, 0);
	return 0;
}
