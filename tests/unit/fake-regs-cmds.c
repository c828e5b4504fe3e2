/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the controller of fake-regs.c does with its queues: rings, doorbells,
 * commands and their payload, as the specification reads.
 */
#include "fake-regs.h"

#include <sys/eventfd.h>

/* ---- payload: each byte is its place in the payload, or becomes it ---- */

static void touch(const struct leap_sqe *sqe, uint64_t addr, uint32_t n,
		  uint32_t *pos)
{
	uint8_t *p = fake_at(addr, n);
	uint32_t i;

	for (i = 0; i < n; i++, ++*pos) {
		if (sqe->opc == LEAP_NVM_READ)
			p[i] = (uint8_t)(*pos * 7 + (*pos >> 8));
		else
			assert_int_equal(p[i], (uint8_t)(*pos * 7 +
							 (*pos >> 8)));
	}
}

static uint64_t word(uint64_t addr)
{
	leap_le64 le;

	memcpy(&le, fake_at(addr, 8), 8);
	return leap_from_le64(le);
}

/* NVMe Base 2.0 s4.1.1, as it reads. */
static void by_prps(const struct leap_sqe *sqe, uint32_t len)
{
	uint64_t prp1 = leap_from_le64(sqe->prp1);
	uint64_t prp2 = leap_from_le64(sqe->prp2), page, list;
	uint32_t n = 4096 - (uint32_t)(prp1 % 4096), pos = 0;

	assert_int_equal(prp1 % 4, 0);
	fake.prps++;
	n = n < len ? n : len;
	touch(sqe, prp1, n, &pos);
	len -= n;
	if (!len)
		return;
	if (len <= 4096) {
		assert_int_equal(prp2 % 4096, 0);
		touch(sqe, prp2, len, &pos);
		return;
	}
	fake.lists++;
	for (list = prp2; len; list += 8) {
		page = word(list);
		if (list % 4096 == 4088 && len > 4096) {
			list = page - 8;
			continue;
		}
		assert_int_equal(page % 4096, 0);
		n = len < 4096 ? len : 4096;
		touch(sqe, page, n, &pos);
		len -= n;
	}
}

static void by_sgl(const struct leap_sqe *sqe, uint32_t len)
{
	struct leap_sgl_desc d = sqe->sgl1;
	uint32_t i, nr = 1, pos = 0;
	uint64_t seg = 0;

	fake.sgls++;
	if (LEAP_SGL_ID_TYPE(d.type) == LEAP_SGL_TYPE_LAST) {
		seg = leap_from_le64(d.addr);
		nr = leap_from_le32(d.len) / 16;
		fake.lists++;
	}
	for (i = 0; i < nr; i++) {
		if (seg)
			memcpy(&d, fake_at(seg + i * 16, 16), 16);
		assert_int_equal(d.type, 0);
		if (leap_from_le32(d.len))
			touch(sqe, leap_from_le64(d.addr),
			      leap_from_le32(d.len), &pos);
	}
	assert_int_equal(pos, len);
}

/* ---- commands ---- */

static void post(uint32_t qid, const struct leap_sqe *sqe, uint32_t dw0,
		 leap_status_t status)
{
	struct fake_queue *q = &fake.q[qid];
	struct leap_cqe *cqe = (struct leap_cqe *)
		fake_at(q->cq + q->cq_tail * 16, 16);
	int phase = fake.wrong_phase ? !q->phase : q->phase;

	if (fake.mute)
		return;
	cqe->dw0 = leap_to_le32(dw0);
	cqe->dw1 = leap_to_le32(0);
	cqe->sqhd = leap_to_le16((uint16_t)(fake.lie_sqhd ?
		(q->tail + 1) % q->sq_size : q->head));
	cqe->sqid = leap_to_le16((uint16_t)(fake.lie_sqid ? 77 : qid));
	cqe->cid = leap_to_le16((uint16_t)
		(leap_from_le16(sqe->cid) ^ (fake.lie_cid ? 0x7fu : 0)));
	cqe->status = leap_to_le16((uint16_t)(status << 1 | phase));
	if (++q->cq_tail == q->cq_size) {
		q->cq_tail = 0;
		q->phase = !q->phase;
	}
	/* Full: a host that does not keep up with its own commands. */
	assert_int_not_equal(q->cq_tail, q->cq_head);
	if (fake.irq_fd >= 0)
		eventfd_write(fake.irq_fd, 1);
}

static leap_status_t create(const struct leap_sqe *sqe)
{
	uint32_t qid = leap_from_le32(sqe->cdw10) & 0xffff;
	uint32_t size = (leap_from_le32(sqe->cdw10) >> 16) + 1;
	uint32_t cdw11 = leap_from_le32(sqe->cdw11);
	struct fake_queue *q = &fake.q[qid];

	assert_int_equal(cdw11 & 1, 1);
	assert_int_equal(leap_from_le64(sqe->prp1) % 4096, 0);
	if (qid >= FAKE_QUEUES)
		return LEAP_SC_QID_INVALID;
	if (sqe->opc == LEAP_ADM_CREATE_CQ) {
		assert_int_equal(q->cq_size, 0);
		assert_int_equal(cdw11 >> 16, 0);
		if (fake.refuse_cq)
			return fake.refuse_cq;
		memset(q, 0, sizeof(*q));
		q->cq_size = size;
		q->cq = leap_from_le64(sqe->prp1);
		q->phase = 1;
		return 0;
	}
	assert_int_not_equal(q->cq_size, 0);
	assert_int_equal(cdw11 >> 16, qid);
	if (fake.refuse_sq)
		return fake.refuse_sq;
	q->sq_size = size;
	q->sq = leap_from_le64(sqe->prp1);
	return 0;
}

static leap_status_t delete(const struct leap_sqe *sqe)
{
	struct fake_queue *q =
		&fake.q[leap_from_le32(sqe->cdw10) & 0xffff];
	unsigned int i;

	if (sqe->opc == LEAP_ADM_DELETE_CQ) {
		assert_int_equal(q->sq_size, 0);
		assert_int_not_equal(q->cq_size, 0);
		q->cq_size = 0;
		return 0;
	}
	assert_int_not_equal(q->sq_size, 0);
	for (i = 0; i < fake.nr_held; i++)
		post(leap_from_le32(sqe->cdw10), &fake.held[i], 0,
		     LEAP_SC_ABORT_SQ_DELETED);
	fake.nr_held = 0;
	q->sq_size = 0;
	return 0;
}

static void admin(const struct leap_sqe *sqe)
{
	leap_status_t status = 0;

	assert_int_equal(sqe->flags & LEAP_SQE_PSDT_MASK, LEAP_SQE_PSDT_PRP);
	switch (sqe->opc) {
	case LEAP_ADM_IDENTIFY:
		status = fake.refuse_id;
		if (!status)
			memcpy(fake_at(leap_from_le64(sqe->prp1), 4096),
			       &fake.id, 4096);
		break;
	case LEAP_ADM_CREATE_CQ:
	case LEAP_ADM_CREATE_SQ:
		status = create(sqe);
		break;
	case LEAP_ADM_DELETE_CQ:
	case LEAP_ADM_DELETE_SQ:
		status = delete(sqe);
		break;
	case LEAP_ADM_DBBUF_CONFIG:
		status = fake.refuse_dbbuf;
		if (status)
			break;
		fake.shadow = leap_from_le64(sqe->prp1);
		fake.eventidx = leap_from_le64(sqe->prp2);
		assert_int_equal(fake.shadow % 4096, 0);
		assert_int_equal(fake.eventidx % 4096, 0);
		break;
	case LEAP_ADM_AER:
		return;
	}
	post(0, sqe, 0, status);
}

static void io(uint32_t qid, const struct leap_sqe *sqe)
{
	uint32_t len = (leap_from_le32(sqe->cdw12) & 0xffff) * 512 + 512;

	fake.last = *sqe;
	fake.last_bytes = len;
	if (fake.hold) {
		fake.held[fake.nr_held++] = *sqe;
		return;
	}
	if (sqe->opc == LEAP_NVM_READ || sqe->opc == LEAP_NVM_WRITE) {
		if (sqe->flags & LEAP_SQE_PSDT_MASK)
			by_sgl(sqe, len);
		else
			by_prps(sqe, len);
	}
	post(qid, sqe, 0, 0);
}

static void fetch(uint32_t qid)
{
	struct fake_queue *q = &fake.q[qid];
	struct leap_sqe sqe;

	while (q->sq_size && q->head != q->tail) {
		memcpy(&sqe, fake_at(q->sq + q->head * 64, 64), 64);
		q->head = (q->head + 1) % q->sq_size;
		if (qid)
			io(qid, &sqe);
		else
			admin(&sqe);
	}
}

void fake_release(void)
{
	unsigned int i, n = fake.nr_held;

	fake.hold = 0;
	fake.nr_held = 0;
	for (i = 0; i < n; i++)
		post(1, &fake.held[i], 0, 0);
}

void fake_bell(uint32_t i, uint32_t value)
{
	struct fake_queue *q = &fake.q[i / 2];

	assert_true(i / 2 < FAKE_QUEUES);
	if (i & 1) {
		q->cq_head = value;
		return;
	}
	q->tail = value;
	fetch(i / 2);
}

void fake_poll(void)
{
	uint32_t i;
	leap_le32 le;

	for (i = 2; fake.shadow && i < 2 * FAKE_QUEUES; i++) {
		if (!fake.q[i / 2].sq_size)
			continue;
		memcpy(&le, fake_at(fake.shadow + i * 4, 4), 4);
		fake_bell(i, leap_from_le32(le));
		memcpy(fake_at(fake.eventidx + i * 4, 4), &le, 4);
	}
}
