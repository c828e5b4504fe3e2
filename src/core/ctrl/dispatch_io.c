/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From opcode to block operation: what happens to an I/O command between its
 * arrival and its completion. Checks opcode, flags, namespace, range and size,
 * fetches payload, hands one bio to the namespace's stack, counts. Commands of
 * several steps continue in dispatch_multi.c.
 *
 * While a payload is on its way the transport has the command and may free it
 * (connection lost), so nothing is held meanwhile: the namespace is looked up
 * again when the payload is there. Does not know how bytes or blocks travel.
 *
 * Spec: NVM Command Set 1.0 s3.2 (I/O commands), Base 2.0 s3.3 (flags)
 */
#include "core/ctrl/iogroup.h"

#include <string.h>

#include <leapio/ocssd.h>

#include "block/bdev.h"
#include "util/plant.h"

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

/* ---- endings ---- */

static int is_media_error(leap_status_t status)
{
	leap_status_t code = LEAP_STATUS_CODE(status);

	return LEAP_STATUS_SCT(code) == LEAP_SCT_MEDIA &&
	       code != LEAP_SC_COMPARE_FAILED;
}

/* Tell the error log; LEAP_STATUS_MORE when there is an entry. */
static __attribute__((cold)) leap_status_t log_error(struct leap__ioqp *q,
						     struct leap_cmd *cmd,
						     leap_status_t status)
{
	struct leap__iogroup *g = q->group;
	struct leap__lmsg *m = g->free_errors;
	struct leap_error_desc *e;

	if (LEAP_STATUS_CODE(status) == LEAP_SC_ABORT_SQ_DELETED ||
	    LEAP_STATUS_CODE(status) == LEAP_SC_ABORT_REQUESTED)
		return 0;
	if (!m) {
		g->errors_dropped++;
		return 0;
	}
	g->free_errors = m->next;
	m->ctrl = q->ctrl;
	m->link.flags = 0;
	m->link.cntlid = q->desc.cntlid;
	e = &m->link.u.error;
	memset(e, 0, sizeof(*e));
	e->sqid = q->desc.qid;
	e->cid = leap_from_le16(cmd->sqe.cid);
	e->status = status | LEAP_STATUS_MORE;
	e->location = LEAP_ID16_NONE;
	e->nsid = leap_from_le32(cmd->sqe.nsid);
	e->opcode = cmd->sqe.opc;
	e->lba = leap_sqe_slba(&cmd->sqe);
	leap__link_tell(g, m);
	return LEAP_STATUS_MORE;
}

__attribute__((cold)) void leap__io_fail(struct leap_cmd *cmd,
					 leap_status_t status)
{
	struct leap__ioqp *q = cmd->vqp->handler_priv;

	if (is_media_error(status))
		q->count.media_errors++;
	/* Whoever compared: trying again compares the same. */
	if (LEAP_STATUS_CODE(status) == LEAP_SC_COMPARE_FAILED)
		status |= LEAP_STATUS_DNR;
	status |= log_error(q, cmd, status);
	leap_cmd_complete(cmd, status);
}

/* Compare counts as a read; what moves no data counts nothing. */
static inline void count(struct leap__ioqp *q, const struct leap__ions *ns,
			 const struct leap_cmd *cmd)
{
	uint64_t units = (uint64_t)leap_sqe_nlb(&cmd->sqe) <<
			 (ns->lba_shift - 9);
	uint8_t opc = cmd->sqe.opc;

	if (opc == LEAP_NVM_READ || opc == LEAP_NVM_COMPARE) {
		q->count.host_reads++;
		q->count.blocks_512_read += units;
	} else if (opc == LEAP_NVM_WRITE || opc == LEAP_NVM_ZONE_APPEND) {
		q->count.host_writes++;
		q->count.blocks_512_written += units;
	}
}

/* A command of ours that has been in a leaf ends. */
static inline void finish(struct leap__ioqp *q, const struct leap__ions *ns,
			  struct leap_cmd *cmd, leap_status_t status)
{
	if (likely(!status)) {
		count(q, ns, cmd);
		leap_cmd_complete(cmd, 0);
	} else {
		leap__io_fail(cmd, status);
	}
}

void leap__io_complete(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ioqp *q = cmd->vqp->handler_priv;
	struct leap__ions *ns = leap__io_ns(q, leap_from_le32(cmd->sqe.nsid));

	if (status || !ns)
		status ? leap__io_fail(cmd, status) : leap_cmd_complete(cmd, 0);
	else
		finish(q, ns, cmd, 0);
}

/* 1: a claim of somebody's waits for that. */
static __attribute__((cold)) int orphan_left(struct leap__iogroup *g,
					     struct leap_cmd *cmd)
{
	struct leap__iocmd *io = leap__iocmd(cmd);
	uint8_t was = io->orphan;

	io->orphan = 0;
	if ((was & LEAP__IOC_ORPHAN) && LEAP_PLANT(ORPHAN_FORGOTTEN))
		io->orphan = LEAP__IOC_ORPHAN;
	else if (was & LEAP__IOC_ORPHAN)
		leap__orphans_del(g->orphans, &io->range);
	return was & LEAP__IOC_AWAITED;
}

/* Rare things to look at when a bio has come back. */
static __attribute__((cold)) void settle(struct leap__ioqp *q)
{
	if (q->busy_since) {
		q->count.busy_ns += leap_pollgroup_now_ns(q->group->pg) -
				    q->busy_since;
		q->busy_since = 0;
	}
	if (q->state == LEAP__IOQP_DRAINING)
		leap_vqp_close(q->vqp);
}

/* Does the bio's result say something to the host? */
static int has_result(const struct leap__iocmd *io, leap_status_t status)
{
	return io->kind == LEAP__IOC_COPY || io->kind == LEAP__IOC_VECTOR ||
	       io->kind == LEAP__IOC_FUSED ||
	       (io->kind == LEAP__IOC_ZONE_APPEND && !status);
}

static void bio_done(struct leap_bio *bio, leap_status_t status)
{
	struct leap_cmd *cmd = bio->arg;
	struct leap__ions *ns = cmd->owner;
	struct leap__ioqp *q = cmd->vqp->handler_priv;
	struct leap__iogroup *g = q->group;
	struct leap__iocmd *io = leap__iocmd(cmd);
	int awaited = 0;

	if (unlikely(io->kind != LEAP__IOC_PLAIN) && has_result(io, status))
		cmd->result = bio->result;
	leap__bio_return(ns->chan, bio);
	g->inflight[cmd->tag] = NULL;
	q->nr_in--;
	if (unlikely(io->orphan))
		awaited = orphan_left(g, cmd);
	if (likely(io->kind == LEAP__IOC_PLAIN))
		finish(q, ns, cmd, status);
	else
		leap__io_next(q, ns, cmd, status);
	if (!q->nr_in && unlikely(q->busy_since || q->state))
		settle(q);
	/* Its next step, if it has one, is in a leaf by now. */
	if (unlikely(awaited))
		leap__claims_look(g);
	ns->busy--;
	if (unlikely(ns->closing))
		leap__ions_put(ns);
}

/* ---- starting ---- */

/* What is in a leaf now: the command, its queue pair, its namespace. */
static inline void enter(struct leap__ioqp *q, struct leap__ions *ns,
			 struct leap_cmd *cmd, struct leap_bio *bio)
{
	struct leap__iogroup *g = q->group;
	struct leap_chan *chan = ns->chan;
	uint32_t tag = cmd->tag;

	bio->done = bio_done;
	bio->arg = cmd;
	bio->sqe = &cmd->sqe;
	bio->tag = tag;
	cmd->owner = ns;
	ns->busy++;
	q->nr_in++;
	g->inflight[tag] = cmd;
	leap_bio_submit(chan, bio);
	/* The command may be gone by now; the queue pair goes in a later poll
	 * at the earliest. */
	if (q->nr_in && !q->busy_since)
		q->busy_since = leap__pollgroup_now(g->pg);
}

/* As many bios as commands exist, so: never. The host may send it again. */
static __attribute__((cold)) int no_bio(struct leap_cmd *cmd)
{
	if (leap__iocmd(cmd)->kind == LEAP__IOC_FUSED)
		leap__fused_no_bio(cmd->vqp->handler_priv);
	else
		leap__io_fail(cmd, LEAP_SC_NS_NOT_READY);
	return 0;
}

int leap__io_issue(struct leap__ioqp *q, struct leap__ions *ns,
		   struct leap_cmd *cmd, uint8_t op, uint64_t slba,
		   uint32_t nr_lbas, const struct leap_piece *pieces,
		   uint32_t nr_pieces)
{
	struct leap_bio *bio = leap_bio_get(ns->chan);

	if (unlikely(!bio))
		return no_bio(cmd);
	bio->op = op;
	bio->flags = leap__iocmd(cmd)->bio_flags;
	bio->nr_pieces = (uint16_t)nr_pieces;
	bio->pieces = pieces;
	bio->block = slba << ns->stack_shift;
	bio->nr_blocks = nr_lbas << ns->stack_shift;
	if (leap__iocmd(cmd)->kind == LEAP__IOC_VECTOR)
		bio->vector = &q->group->vectors[cmd->tag];
	if (leap__iocmd(cmd)->kind == LEAP__IOC_ZONE_OTHER)
		bio->result = leap__iocmd(cmd)->done;
	if (op == LEAP_BIO_COMPARE_WRITE)
		bio->expect = &q->fused.expect;
	enter(q, ns, cmd, bio);
	return 1;
}

static inline uint8_t plain_op(const struct leap_cmd *cmd)
{
	switch (cmd->sqe.opc) {
	case LEAP_NVM_WRITE:
		return LEAP_BIO_WRITE;
	case LEAP_NVM_WRITE_ZEROES:
		return LEAP_BIO_WRITE_ZEROES;
	case LEAP_NVM_COMPARE:
		return LEAP_BIO_COMPARE;
	case LEAP_NVM_VERIFY:
		return LEAP_BIO_VERIFY;
	default:
		return LEAP_BIO_READ;
	}
}

/* A bio comes as it was left: one more field is one more line in begin. */
_Static_assert(sizeof(struct leap_bio) == offsetof(struct leap_bio, vector) +
	       sizeof(void *), "begin() sets every field");

static inline void begin(struct leap__ioqp *q, struct leap__ions *ns,
			 struct leap_cmd *cmd)
{
	struct leap__iocmd *io = leap__iocmd(cmd);
	uint32_t shift = ns->stack_shift, nr_lbas = io->range.nr_lbas;
	uint64_t slba = io->range.slba;
	struct leap_bio *bio;

	if (unlikely(io->kind != LEAP__IOC_PLAIN)) {
		leap__io_next(q, ns, cmd, 0);
		return;
	}
	bio = leap__bio_take(ns->chan);
	if (unlikely(!bio)) {
		no_bio(cmd);
		return;
	}
	bio->result = 0;
	bio->vector = NULL;
	bio->op = plain_op(cmd);
	bio->flags = io->bio_flags;
	bio->nr_pieces = (uint16_t)cmd->nr_pieces;
	bio->pieces = cmd->pieces;
	bio->block = slba << (LEAP_PLANT(LBA_UNSCALED) ? 0 : shift);
	bio->nr_blocks = nr_lbas << shift;
	enter(q, ns, cmd, bio);
}

void leap__io_begin(struct leap__ioqp *q, struct leap__ions *ns,
		    struct leap_cmd *cmd)
{
	begin(q, ns, cmd);
}

static inline void start(struct leap__ioqp *q, struct leap__ions *ns,
			 struct leap_cmd *cmd)
{
	if (unlikely(leap__orphans_any(q->group->orphans)) &&
	    !LEAP_PLANT(LATE_WRITE_RECONNECT) && leap__io_held(q, cmd))
		return;
	begin(q, ns, cmd);
}

void leap__io_start(struct leap__ioqp *q, struct leap__ions *ns,
		    struct leap_cmd *cmd)
{
	start(q, ns, cmd);
}

/* ---- checks ---- */

static leap_status_t check_range(const struct leap__ions *ns, uint64_t slba,
				 uint32_t nr)
{
	if (unlikely(nr > ns->nr_lbas || slba > ns->nr_lbas - nr))
		return DNR(LEAP_SC_LBA_RANGE);
	return 0;
}

/* What a read, write or compare has beside its range. */
static inline void set_kind(const struct leap__ioqp *q,
			    const struct leap__ions *ns, struct leap_cmd *cmd,
			    struct leap__iocmd *io)
{
	uint32_t fua = leap_from_le32(cmd->sqe.cdw12) & LEAP_IO_CDW12_FUA;

	io->kind = LEAP__IOC_PLAIN;
	io->orphan = 0;
	io->bio_flags = 0;
	io->stepping = 0;
	io->step = 0;
	if (cmd->sqe.opc == LEAP_NVM_WRITE) {
		if (unlikely(q->write_through || fua))
			io->bio_flags = LEAP_BIO_FUA;
	} else if (unlikely(cmd->sqe.opc == LEAP_NVM_COMPARE)) {
		if (!(ns->caps & LEAP_BDEV_COMPARE))
			io->kind = LEAP__IOC_COMPARE;
		io->done = 0;
	} else if (unlikely(fua && (ns->caps & LEAP_BDEV_FLUSH))) {
		io->kind = LEAP__IOC_FUA_READ;
	}
}

/* Payload or room for it is there. */
static void rw_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ioqp *q = cmd->vqp->handler_priv;
	struct leap__iocmd *io = leap__iocmd(cmd);
	struct leap__ions *ns;

	if (unlikely(status)) {
		leap__io_fail(cmd, status);
		return;
	}
	ns = leap__io_ns(q, leap_from_le32(cmd->sqe.nsid));
	if (unlikely(!ns)) {
		leap__io_fail(cmd, DNR(LEAP_SC_INVALID_NS));
		return;
	}
	io->range.slba = leap_sqe_slba(&cmd->sqe);
	io->range.nr_lbas = leap_sqe_nlb(&cmd->sqe);
	set_kind(q, ns, cmd, io);
	start(q, ns, cmd);
}

static inline leap_status_t check_rw(const struct leap__ioqp *q,
				     const struct leap__ions *ns,
				     const struct leap_sqe *sqe,
				     uint32_t *bytes)
{
	uint32_t nr = leap_sqe_nlb(sqe);
	leap_status_t status;

	if (unlikely(!ns))
		return DNR(LEAP_SC_INVALID_NS);
	/* 65536 LBAs of 4096 bytes: no overflow in 32 bits. */
	*bytes = nr << ns->lba_shift;
	if (unlikely(*bytes > q->max_bytes))
		return DNR(LEAP_SC_INVALID_FIELD);
	status = check_range(ns, leap_sqe_slba(sqe), nr);
	if (unlikely(status))
		return status;
	if (sqe->opc == LEAP_NVM_WRITE) {
		if (unlikely(ns->read_only))
			return DNR(LEAP_SC_NS_WRITE_PROTECTED);
		/* No directives here. */
		if (unlikely(LEAP_GET(leap_from_le32(sqe->cdw12),
				      LEAP_IO_CDW12_DTYPE)))
			return DNR(LEAP_SC_INVALID_FIELD);
	}
	return 0;
}

static inline void io_rw(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	const struct leap_sqe *sqe = &cmd->sqe;
	struct leap__ions *ns = leap__io_ns(q, leap_from_le32(sqe->nsid));
	leap_status_t status;
	uint32_t bytes = 0;

	status = check_rw(q, ns, sqe, &bytes);
	if (unlikely(status))
		leap__io_fail(cmd, status);
	else if (unlikely(ns->zone_lbas) && sqe->opc == LEAP_NVM_WRITE)
		leap__zns_write(q, ns, cmd);
	else
		leap_cmd_pull(cmd, bytes, rw_ready);
}

/* Write Zeroes and Verify: a range, and no payload. */
static void io_range(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	const struct leap_sqe *sqe = &cmd->sqe;
	struct leap__ions *ns = leap__io_ns(q, leap_from_le32(sqe->nsid));
	struct leap__iocmd *io = leap__iocmd(cmd);
	uint32_t cdw12 = leap_from_le32(sqe->cdw12);
	leap_status_t status = 0;

	if (!ns)
		status = DNR(LEAP_SC_INVALID_NS);
	else
		status = check_range(ns, leap_sqe_slba(sqe), leap_sqe_nlb(sqe));
	if (!status && sqe->opc == LEAP_NVM_WRITE_ZEROES && ns->read_only)
		status = DNR(LEAP_SC_NS_WRITE_PROTECTED);
	if (status) {
		leap__io_fail(cmd, status);
		return;
	}
	if (ns->zone_lbas && sqe->opc == LEAP_NVM_WRITE_ZEROES) {
		leap__zns_write(q, ns, cmd);
		return;
	}
	memset(io, 0, sizeof(*io));
	io->range.slba = leap_sqe_slba(sqe);
	io->range.nr_lbas = leap_sqe_nlb(sqe);
	if (LEAP_PLANT(ZEROES_SHORT) && io->range.nr_lbas > 1)
		io->range.nr_lbas--;
	if (sqe->opc == LEAP_NVM_WRITE_ZEROES) {
		if (q->write_through || (cdw12 & LEAP_IO_CDW12_FUA))
			io->bio_flags |= LEAP_BIO_FUA;
		if ((cdw12 & LEAP_IO_CDW12_DEAC) &&
			 (ns->caps & LEAP_BDEV_ZERO_DISCARD))
			io->bio_flags |= LEAP_BIO_DEAC;
	} else if (LEAP_PLANT(VERIFY_UNREAD)) {
		leap_cmd_complete(cmd, 0);
		return;
	}
	leap__io_start(q, ns, cmd);
}

/* The last command of a connection that may still come after Connect. */
static void io_fabrics(struct leap__ioqp *q, struct leap_cmd *cmd)
{
	const struct leap_fab_disconnect *d =
		(const struct leap_fab_disconnect *)(const void *)&cmd->sqe;

	switch (d->fctype) {
	case LEAP_FCTYPE_CONNECT:
		leap__io_fail(cmd, DNR(LEAP_SC_CMD_SEQUENCE));
		break;
	case LEAP_FCTYPE_DISCONNECT:
		if (leap_from_le16(d->recfmt)) {
			leap__io_fail(cmd, DNR(LEAP_SC_FAB_FORMAT));
			break;
		}
		leap_cmd_complete(cmd, 0);
		leap_vqp_close(q->vqp);
		break;
	default:
		/* Properties are the admin queue's; no authentication. */
		leap__io_fail(cmd, DNR(LEAP_SC_INVALID_FIELD));
	}
}

/* Fabrics queues take SGLs (PSDT 01b) only, those of guests PRPs (00b) too. */
static inline leap_status_t check_flags(const struct leap__ioqp *q,
					uint8_t flags)
{
	if (likely(flags == LEAP_SQE_PSDT_SGL))
		return 0;
	if (likely(flags == LEAP_SQE_PSDT_PRP && q->guest))
		return 0;
	return DNR(LEAP_SC_INVALID_FIELD);
}

leap_status_t leap__io_check_half(const struct leap__ioqp *q,
				  const struct leap_sqe *sqe)
{
	const struct leap__ions *ns = leap__io_ns(q, leap_from_le32(sqe->nsid));
	leap_status_t status;
	uint32_t bytes;

	status = check_flags(q, (uint8_t)(sqe->flags & ~LEAP_SQE_FUSE_MASK));
	return status ? status : check_rw(q, ns, sqe, &bytes);
}

/* Every other opcode. */
static __attribute__((noinline)) void execute_other(struct leap__ioqp *q,
						    struct leap_cmd *cmd)
{
	leap_status_t status = check_flags(q, cmd->sqe.flags);

	if (unlikely(cmd->sqe.flags & LEAP_SQE_FUSE_MASK)) {
		leap__io_fused(q, cmd);
		return;
	}
	switch (cmd->sqe.opc) {
	case LEAP_NVM_COMPARE:
		if (!status)
			io_rw(q, cmd);
		break;
	case LEAP_NVM_WRITE_ZEROES:
	case LEAP_NVM_VERIFY:
		if (!status)
			io_range(q, cmd);
		break;
	case LEAP_NVM_FLUSH:
	case LEAP_NVM_DSM:
		if (!status)
			leap__io_multi(q, cmd);
		break;
	case LEAP_NVM_COPY:
		if (!status)
			leap__io_copy(q, cmd);
		break;
	case LEAP_NVM_ZONE_APPEND:
	case LEAP_NVM_ZONE_MGMT_SEND:
	case LEAP_NVM_ZONE_MGMT_RECV:
		if (!status)
			leap__io_zns(q, cmd);
		break;
	case LEAP_NVM_FABRICS:
		if (q->guest)
			status = DNR(LEAP_SC_INVALID_OPCODE);
		else if (!status)
			io_fabrics(q, cmd);
		break;
	default:
		if (!status && cmd->sqe.opc >= LEAP_OCSSD_RESET &&
		    cmd->sqe.opc <= LEAP_OCSSD_COPY && leap__io_vector(q, cmd))
			return;
		status = DNR(LEAP_SC_INVALID_OPCODE);
	}
	if (status)
		leap__io_fail(cmd, status);
}

void leap__io_execute(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	struct leap__ioqp *q = vqp->handler_priv;
	uint8_t opc = cmd->sqe.opc;

	q->nr_seen++;
	if (unlikely(opc != LEAP_NVM_READ && opc != LEAP_NVM_WRITE))
		execute_other(q, cmd);
	else if (likely(!check_flags(q, cmd->sqe.flags)))
		io_rw(q, cmd);
	else if (cmd->sqe.flags & LEAP_SQE_FUSE_MASK)
		leap__io_fused(q, cmd);
	else
		leap__io_fail(cmd, check_flags(q, cmd->sqe.flags));
}
