/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller that a borrower's driver sees: its registers are kept here,
 * admin commands are taken out of the ring and sent to the lender, whose
 * answers are put into the completion ring.
 *
 * Knows nothing of NVMe but the registers and which admin command makes a
 * queue, as the device names that; and nothing of the connection.
 */
#include "transport/lend/host.h"

#include <errno.h>
#include <string.h>

#include <leapio/dmabuf.h>

/* ---- memory --------------------------------------------------------- */

static struct leap__lent_memory *find_mem(struct leap__lent_dev *d, uint64_t at)
{
	uint32_t i;

	for (i = 0; i < LEAP__REG_REGIONS; i++)
		if (d->mem[i].bytes && at >= d->mem[i].at &&
		    at - d->mem[i].at < d->mem[i].bytes)
			return &d->mem[i];
	return NULL;
}

int leap__lent_mem_add(struct leap__lent_dev *d, const struct leap__regio *io)
{
	uint32_t i = 0;

	while (i < LEAP__REG_REGIONS && d->mem[i].bytes)
		i++;
	if (i == LEAP__REG_REGIONS)
		return -ENOSPC;
	d->mem[i] = (struct leap__lent_memory){
		.at = io->offset, .bytes = leap_dmabuf_bytes(io->buf),
		.addr = leap_dmabuf_addr(io->buf),
	};
	return 0;
}

void leap__lent_mem_del(struct leap__lent_dev *d, uint64_t at)
{
	struct leap__lent_memory *m = find_mem(d, at);

	if (m)
		m->bytes = 0;
}

/* ---- the admin queue ------------------------------------------------ */

static struct leap__lent_create *find_create(struct leap__lent_dev *d,
					     uint16_t cid, bool is_new)
{
	uint32_t i;

	for (i = 0; i < LEAP__LENT_CREATES; i++)
		if (is_new ? !d->creates[i].queue :
			     d->creates[i].queue && d->creates[i].cid == cid)
			return &d->creates[i];
	return NULL;
}

static void send_admin(struct leap__lent_dev *d, const struct leap_sqe *sqe)
{
	uint16_t cid = leap_from_le16(sqe->cid);
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_ADMIN,
					(uint32_t)d->era << 16 | cid);
	struct leap__lent_create *c;

	msg.sqe = *sqe;
	c = sqe->opc == LEAP_ADM_CREATE_CQ ? find_create(d, cid, true) : NULL;
	if (c)
		*c = (struct leap__lent_create){
			cid, (uint16_t)leap_from_le32(sqe->cdw10) };
	leap__lent_say(d, &msg, -1);
}

void leap__lent_admin_doorbell(struct leap__lent_dev *d, uint32_t value)
{
	struct leap_sqe sqe;
	int n;

	if (!(d->csts & LEAP_CSTS_RDY))
		return;
	n = leap__sqc_trap(&d->sqc, value);
	while (n-- > 0) {
		leap__sqc_take(&d->sqc, &sqe);
		send_admin(d, &sqe);
	}
}

int leap__lent_admin_done(struct leap__lent_dev *d,
			  const struct leap__lend_msg *msg)
{
	uint32_t id = leap_from_le32(msg->id);
	uint64_t result = leap_from_le64(msg->done.result);
	struct leap__cqe cqe = {
		.dw0 = (uint32_t)result, .dw1 = (uint32_t)(result >> 32),
		.cid = (uint16_t)id, .status = leap_from_le16(msg->done.status),
	};
	struct leap__lent_create *c;

	if (id >> 16 != d->era || !(d->csts & LEAP_CSTS_RDY))
		return 0;	/* of before it was disabled */
	if (!leap__cqp_room(&d->cqp) || cqe.status >> 15)
		return -EPROTO;
	c = find_create(d, cqe.cid, false);
	if (c && c->queue < sizeof(d->qids) / sizeof(d->qids[0]))
		d->qids[c->queue] = leap_from_le16(msg->done.qid);
	if (c)
		c->queue = 0;
	cqe.sqhd = leap__sqc_sqhd(&d->sqc);
	leap__cqp_post(&d->cqp, &cqe);
	return 0;
}

/* ---- registers ------------------------------------------------------ */

static void enable(struct leap__lent_dev *d)
{
	struct leap__lent_memory *sq = find_mem(d, d->asq);
	struct leap__lent_memory *cq = find_mem(d, d->acq);
	struct leap__ring_opts so = {
		.size = LEAP_GET(d->aqa, LEAP_AQA_ASQS) + 1,
	};
	struct leap__ring_opts co = {
		.size = LEAP_GET(d->aqa, LEAP_AQA_ACQS) + 1,
	};

	d->csts |= LEAP_CSTS_CFS;
	if (!sq || !cq)
		return;
	so.entries = sq->addr + (d->asq - sq->at);
	co.entries = cq->addr + (d->acq - cq->at);
	if (leap__sqc_init(&d->sqc, &so) || leap__cqp_init(&d->cqp, &co))
		return;
	d->era++;
	memset(d->creates, 0, sizeof(d->creates));
	d->csts = LEAP_CSTS_RDY;
}

void leap__lent_ask_disable(struct leap__lent_dev *d)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_DISABLE,
						   d->next_id);

	d->era++;
	leap__lent_say(d, &msg, -1);
}

static bool write_cc(struct leap__lent_dev *d, const struct leap__regio *io)
{
	uint32_t cc = (uint32_t)io->value, old = d->cc;

	d->cc = cc;
	if ((cc & LEAP_CC_EN) && !(old & LEAP_CC_EN))
		enable(d);
	if (LEAP_GET(cc, LEAP_CC_SHN) && (d->csts & LEAP_CSTS_RDY))
		d->csts |= LEAP_PUT(LEAP_CSTS_SHST_DONE, LEAP_CSTS_SHST);
	if ((cc & LEAP_CC_EN) || !(old & LEAP_CC_EN))
		return false;
	leap__lent_ask_disable(d);
	return true;
}

bool leap__lent_write(struct leap__lent_dev *d, const struct leap__regio *io)
{
	switch (io->offset) {
	case LEAP_REG_CC:
		return write_cc(d, io);
	case LEAP_REG_AQA:
		d->aqa = (uint32_t)io->value;
		break;
	case LEAP_REG_ASQ:
		d->asq = io->value;
		break;
	case LEAP_REG_ACQ:
		d->acq = io->value;
		break;
	}
	return false;
}

uint64_t leap__lent_read(const struct leap__lent_dev *d, uint64_t offset)
{
	switch (offset) {
	case LEAP_REG_CAP:
		return d->cap;
	case LEAP_REG_VS:
		return d->vs;
	case LEAP_REG_CRTO:
		return d->crto;
	case LEAP_REG_CC:
		return d->cc;
	case LEAP_REG_CSTS:
		return d->csts;
	default:
		return 0;
	}
}

void leap__lent_disabled(struct leap__lent_dev *d)
{
	d->csts = 0;
}
