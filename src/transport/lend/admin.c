/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A borrower's admin commands: what goes to the device, and what is answered
 * here.
 *
 * Data goes between device and borrower: PRPs are left as they are, and have to
 * begin in the borrower's memory. Nothing passes that would change the device
 * for others. What is about queues goes on in queues.c.
 *
 * Spec: NVMe Base 2.0 s5 (admin commands)
 */
#include "transport/lend/lend.h"

#include <leapio/ocssd.h>

#define DNR(status)	((leap_status_t)((status) | LEAP_STATUS_DNR))
#define PAGE		LEAP__REG_PAGE

/* ---- features, events ----------------------------------------------- */

static void answer(struct leap__borrower *b, uint32_t id, leap_status_t status,
		   uint64_t result)
{
	leap__borrower_done(b, id, status, result, 0);
}

static int set_features(struct leap__borrower *b, uint32_t id,
			const struct leap_sqe *sqe)
{
	uint32_t cdw10 = leap_from_le32(sqe->cdw10);
	uint32_t cdw11 = leap_from_le32(sqe->cdw11);

	if (cdw10 >> 31) {
		answer(b, id, DNR(LEAP_SC_FEAT_NOT_SAVEABLE), 0);
		return 0;
	}
	switch (cdw10 & 0xff) {
	case LEAP_FID_NUM_QUEUES:
		return leap__lend_get(b, id, sqe, 0);
	case LEAP_FID_ASYNC_EVENT:
		b->aec = cdw11;
		answer(b, id, 0, 0);
		return 0;
	case LEAP_FID_KATO:	/* the connection tells when it is gone */
		answer(b, id, 0, 0);
		return 0;
	default:
		b->l->refused++;
		answer(b, id, DNR(LEAP_SC_FEAT_NOT_CHANGEABLE), 0);
		return 0;
	}
}

static int get_features(struct leap__borrower *b, uint32_t id,
			const struct leap_sqe *sqe)
{
	uint32_t cdw10 = leap_from_le32(sqe->cdw10), n = b->l->max_queues;

	if (n > LEAP__LEND_MAX_QUEUES)
		n = LEAP__LEND_MAX_QUEUES;
	if ((cdw10 & 0x7ff) == LEAP_FID_NUM_QUEUES)
		answer(b, id, 0, LEAP_PUT(n - 1, LEAP_FEAT_NQ_NSQ) |
				 LEAP_PUT(n - 1, LEAP_FEAT_NQ_NCQ));
	else if ((cdw10 & 0x7ff) == LEAP_FID_ASYNC_EVENT)
		answer(b, id, 0, b->aec);
	else
		return leap__lend_forward(b, id, sqe, 0);
	return 0;
}

static bool wants(const struct leap__borrower *b, uint32_t dw0)
{
	uint32_t info = dw0 >> 8 & 0xff;

	if ((dw0 & 7) != LEAP_AER_TYPE_NOTICE || info > 23)
		return true;
	return b->aec >> (8 + info) & 1;
}

void leap__lend_event(struct leap__borrower *b, uint64_t event)
{
	uint32_t i;

	if (!wants(b, (uint32_t)event))
		return;
	if (b->nr_aers) {
		answer(b, b->aers[--b->nr_aers], 0, event);
		return;
	}
	for (i = 0; i < b->nr_events; i++)
		if (b->events[i] == event)
			return;
	if (b->nr_events < LEAP__HOST_AERS)
		b->events[b->nr_events++] = event;
}

static int park_aer(struct leap__borrower *b, uint32_t id)
{
	if (b->nr_events)
		answer(b, id, 0, b->events[--b->nr_events]);
	else if (b->nr_aers == LEAP__HOST_AERS)
		answer(b, id, DNR(LEAP_SC_AER_LIMIT), 0);
	else
		b->aers[b->nr_aers++] = id;
	return 0;
}

void leap__lend_drop(struct leap__borrower *b)
{
	uint32_t i;

	b->nr_aers = 0;
	for (i = 0; i < LEAP__LEND_MAX_CMDS; i++) {
		struct leap__lend_cmd *c = &b->cmds[i];

		if (!c->busy || leap__list_empty(&c->held))
			continue;
		leap__list_remove(&c->held);
		c->busy = false;
	}
}

/* ---- what may pass -------------------------------------------------- */

static bool data_is_own(const struct leap__borrower *b,
			const struct leap_sqe *sqe)
{
	uint64_t prp1 = leap_from_le64(sqe->prp1);
	uint64_t prp2 = leap_from_le64(sqe->prp2);

	return leap__borrower_owns(b, prp1, PAGE - (prp1 & (PAGE - 1))) &&
	       (!prp2 || leap__borrower_owns(b, prp2, 8));
}

/* Elsewhere it makes snapshots, opens contexts, starts measurements. */
static bool field_only_selects(uint32_t lid)
{
	switch (lid) {
	case LEAP_LID_ANA:
	case LEAP_LID_LOCKDOWN:
	case LEAP_LID_BOOT_PARTITION:
	case LEAP_LID_FDP_EVENTS:
		return true;
	default:
		return false;
	}
}

/* The log stays as it is for others: its event is the lender's to clear. */
static int get_log(struct leap__borrower *b, uint32_t id, struct leap_sqe *sqe)
{
	uint32_t cdw10 = leap_from_le32(sqe->cdw10);
	uint32_t lid = LEAP_GET(cdw10, LEAP_LOG_CDW10_LID);

	if (LEAP_GET(cdw10, LEAP_LOG_CDW10_LSP) && !field_only_selects(lid)) {
		b->l->refused++;
		answer(b, id, DNR(LEAP_SC_INVALID_FIELD), 0);
		return 0;
	}
	sqe->cdw10 = leap_to_le32(cdw10 | LEAP_LOG_CDW10_RAE);
	return leap__lend_forward(b, id, sqe, 0);
}

static int abort_cmd(struct leap__borrower *b, uint32_t id,
		     struct leap_sqe *sqe)
{
	uint32_t cdw10 = leap_from_le32(sqe->cdw10), queue = cdw10 & 0xffff;

	/* 1: not aborted. Admin commands end by themselves. */
	if (!queue || queue > LEAP__LEND_MAX_QUEUES || !b->queues[queue].sq) {
		answer(b, id, 0, 1);
		return 0;
	}
	sqe->cdw10 = leap_to_le32((cdw10 & ~0xffffu) | b->queues[queue].qid);
	return leap__lend_forward(b, id, sqe, (uint16_t)queue);
}

static int with_data(struct leap__borrower *b, uint32_t id,
		     struct leap_sqe *sqe)
{
	if (!data_is_own(b, sqe)) {
		answer(b, id, DNR(LEAP_SC_DATA_TRANSFER), 0);
		return 0;
	}
	return sqe->opc == LEAP_ADM_GET_LOG ? get_log(b, id, sqe) :
					      leap__lend_forward(b, id, sqe, 0);
}

/* To other drives its geometry is a vendor's command, which may do anything. */
static bool is_open_channel(const struct leap_lender *l, uint32_t nsid)
{
	struct leap_host_ns ns = { .size = sizeof(ns) };

	return nsid && !leap_host_ns_next(l->host, nsid - 1, &ns) &&
	       ns.nsid == nsid && ns.open_channel;
}

int leap__lend_admin(struct leap__borrower *b, uint32_t id,
		     const struct leap_sqe *from)
{
	struct leap_sqe sqe = *from;

	b->commands++;
	if (sqe.flags & LEAP_SQE_FUSE_MASK) {
		answer(b, id, DNR(LEAP_SC_INVALID_FIELD), 0);
		return 0;
	}
	sqe.flags = 0;
	sqe.mptr = leap_to_le64(0);
	switch (sqe.opc) {
	case LEAP_ADM_IDENTIFY:
	case LEAP_ADM_GET_LOG:
		return with_data(b, id, &sqe);
	case LEAP_OCSSD_ADM_GEOMETRY:
		if (is_open_channel(b->l, leap_from_le32(sqe.nsid)))
			return with_data(b, id, &sqe);
		break;
	case LEAP_ADM_GET_FEATURES:
		if (!sqe.prp1 && !sqe.prp2)
			return get_features(b, id, &sqe);
		return with_data(b, id, &sqe);
	case LEAP_ADM_SET_FEATURES:
		return set_features(b, id, &sqe);
	case LEAP_ADM_CREATE_CQ:
	case LEAP_ADM_CREATE_SQ:
		return leap__lend_create(b, id, &sqe);
	case LEAP_ADM_DELETE_CQ:
	case LEAP_ADM_DELETE_SQ:
		return leap__lend_delete_one(b, id, &sqe);
	case LEAP_ADM_ABORT:
		return abort_cmd(b, id, &sqe);
	case LEAP_ADM_AER:
		return park_aer(b, id);
	case LEAP_ADM_KEEP_ALIVE:
		answer(b, id, 0, 0);
		return 0;
	}
	b->l->refused++;
	answer(b, id, DNR(LEAP_SC_INVALID_OPCODE), 0);
	return 0;
}
