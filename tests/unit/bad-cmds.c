/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The misbehaving drive: its queues, commands and completions. Written from the
 * specification, without the rings and PRP walkers that the library has.
 */
#include "bad-device.h"

#include <string.h>

/* ---- payload ----------------------------------------------------------- */

struct walk {
	uint8_t *mem;		/* ours */
	uint32_t left;
	bool to_host;
};

static bool touch(struct walk *w, uint64_t addr, uint32_t n)
{
	uint8_t *p;

	if (n > w->left)
		n = w->left;
	p = bad_at(addr, n);
	if (!p)
		return false;
	if (w->to_host)
		memcpy(p, w->mem, n);
	else
		memcpy(w->mem, p, n);
	w->mem += n;
	w->left -= n;
	return true;
}

static uint64_t word(uint64_t addr)
{
	leap_le64 le = leap_to_le64(0);
	void *p = bad_at(addr, 8);

	if (p)
		memcpy(&le, p, 8);
	return leap_from_le64(le);
}

/* NVMe Base 2.0 s4.1.1, as it reads. */
static bool by_prps(struct walk *w, const struct leap_sqe *sqe)
{
	uint64_t prp1 = leap_from_le64(sqe->prp1);
	uint64_t list = leap_from_le64(sqe->prp2), page;

	if (prp1 & 3)
		bad_complain("PRP1 %llx", (unsigned long long)prp1);
	if (!touch(w, prp1, 4096 - (uint32_t)(prp1 & 4095)))
		return false;
	if (w->left && w->left <= 4096) {
		if (list & 4095)
			bad_complain("PRP2 %llx", (unsigned long long)list);
		return touch(w, list, 4096);
	}
	for (; w->left; list += 8) {
		page = word(list);
		if ((list & 4095) == 4088 && w->left > 4096) {
			list = page - 8;
			continue;
		}
		if (page & 4095)
			bad_complain("PRP %llx", (unsigned long long)page);
		if (!touch(w, page, 4096))
			return false;
	}
	return true;
}

static bool by_sgl(struct walk *w, const struct leap_sqe *sqe)
{
	struct leap_sgl_desc d = sqe->sgl1;
	uint32_t i, nr = 1;
	uint64_t seg = 0;
	void *p;

	if (LEAP_SGL_ID_TYPE(d.type) == LEAP_SGL_TYPE_LAST) {
		seg = leap_from_le64(d.addr);
		nr = leap_from_le32(d.len) / 16;
	}
	for (i = 0; i < nr; i++) {
		if (seg) {
			p = bad_at(seg + i * 16, 16);
			if (!p)
				return false;
			memcpy(&d, p, 16);
		}
		if (d.type) {
			bad_complain("SGL descriptor %x", d.type);
			return false;
		}
		if (leap_from_le32(d.len) &&
		    !touch(w, leap_from_le64(d.addr), leap_from_le32(d.len)))
			return false;
	}
	return true;
}

static bool transfer(const struct leap_sqe *sqe, void *mem, uint32_t bytes,
		     bool to_host)
{
	struct walk w = { .mem = mem, .left = bytes, .to_host = to_host };
	bool ok = sqe->flags & LEAP_SQE_PSDT_MASK ? by_sgl(&w, sqe) :
						    by_prps(&w, sqe);

	if (ok && w.left)
		bad_complain("opcode %x without memory for %u bytes", sqe->opc,
			     w.left);
	return ok && !w.left;
}

/* ---- completions ------------------------------------------------------- */

static void put_cqe(uint32_t qid, struct leap_cqe *cqe, leap_status_t status,
		    int phase)
{
	struct bad_queue *q = &bad.q[qid];
	void *p = bad_at(q->cq + q->cq_tail * 16, 16);

	if (!q->cq_size || !p)
		return;
	cqe->status = leap_to_le16((uint16_t)(status << 1 | phase));
	memcpy(p, cqe, sizeof(*cqe));
	if (++q->cq_tail == q->cq_size) {
		q->cq_tail = 0;
		q->phase = !q->phase;
	}
}

static void lie(uint32_t qid, const struct leap_sqe *sqe, enum bad_fault fault,
		struct leap_cqe *cqe)
{
	const struct bad_queue *q = &bad.q[qid];
	uint16_t cid = leap_from_le16(sqe->cid);
	uint32_t head = q->head;

	switch (fault) {
	case BAD_CID_RANGE:
		cqe->cid = leap_to_le16(0xfff0);
		break;
	case BAD_CID_FREE:
		cqe->cid = leap_to_le16((uint16_t)((cid + q->sq_size / 2) %
						   q->sq_size));
		break;
	case BAD_SQID:
		cqe->sqid = leap_to_le16((uint16_t)(qid + 1));
		break;
	case BAD_SQHD_RANGE:
		cqe->sqhd = leap_to_le16((uint16_t)q->sq_size);
		break;
	case BAD_SQHD_AHEAD:
		head = (q->tail + 1) % q->sq_size;
		cqe->sqhd = leap_to_le16((uint16_t)head);
		break;
	case BAD_SQHD_BACK:
		head = (head + q->sq_size - 2) % q->sq_size;
		cqe->sqhd = leap_to_le16((uint16_t)head);
		break;
	default:
		break;
	}
}

static void post(uint32_t qid, const struct leap_sqe *sqe, uint32_t dw0,
		 leap_status_t status, enum bad_fault fault)
{
	struct bad_queue *q = &bad.q[qid];
	struct leap_cqe cqe;
	uint32_t i, n = 1;

	if ((q->cq_tail + 1) % (q->cq_size ? q->cq_size : 1) == q->cq_head &&
	    !bad.hit && !bad.bytes) {
		bad_complain("no room in completion queue %u", qid);
		return;
	}
	memset(&cqe, 0, sizeof(cqe));
	cqe.dw0 = leap_to_le32(dw0);
	cqe.sqhd = leap_to_le16((uint16_t)q->head);
	cqe.sqid = leap_to_le16((uint16_t)qid);
	cqe.cid = sqe->cid;
	lie(qid, sqe, fault, &cqe);
	if (fault == BAD_DUPLICATE)
		n = 2;
	if (fault == BAD_FLOOD)
		n = q->cq_size - 1;
	for (i = 0; i < n; i++)
		put_cqe(qid, &cqe, status, fault == BAD_WRONG_PHASE ?
			!q->phase : q->phase);
}

static void mute(uint32_t qid, const struct leap_sqe *sqe)
{
	if (bad.nr_muted == BAD_MUTED)
		return;
	bad.muted[bad.nr_muted].sqe = *sqe;
	bad.muted[bad.nr_muted++].qid = (uint16_t)qid;
}

/* Those of @qid, or the one that is @cid. How many there were. */
static uint32_t end_muted(uint32_t qid, uint32_t cid, leap_status_t status)
{
	uint32_t i, kept = 0, n = 0;

	for (i = 0; i < bad.nr_muted; i++) {
		struct bad_muted *m = &bad.muted[i];

		if (m->qid != qid || (cid <= 0xffff &&
				      leap_from_le16(m->sqe.cid) != cid)) {
			bad.muted[kept++] = *m;
			continue;
		}
		post(qid, &m->sqe, 0, status, BAD_NONE);
		n++;
	}
	bad.nr_muted = kept;
	return n;
}

int bad_event(uint32_t dw0)
{
	if (!bad.nr_aers)
		return -1;
	post(0, &bad.aer[--bad.nr_aers], dw0, 0, BAD_NONE);
	return 0;
}

/* ---- admin commands ---------------------------------------------------- */

/* What the bytes make of Identify data. */
static void twist(uint8_t *page)
{
	uint8_t n = bad_byte(0) >> 5, lo, hi;

	while (n--) {
		lo = bad_byte(0);
		hi = bad_byte(0);
		page[(lo | hi << 8) & 4095] = bad_byte(0);
	}
}

static leap_status_t identify(const struct leap_sqe *sqe)
{
	uint32_t nsid = leap_from_le32(sqe->nsid), i, n = 0;
	uint8_t page[4096] = { 0 };

	switch (leap_from_le32(sqe->cdw10) & 0xff) {
	case LEAP_CNS_CTRL:
		memcpy(page, &bad.id, sizeof(page));
		break;
	case LEAP_CNS_NS:
		if (!nsid || nsid > BAD_NS)
			return LEAP_SC_INVALID_NS;
		memcpy(page, &bad.ns[nsid - 1], sizeof(page));
		break;
	case LEAP_CNS_NS_ACTIVE:
		for (i = nsid + 1; i <= BAD_NS; i++, n++)
			memcpy(page + n * 4, &(leap_le32){ leap_to_le32(i) },
			       4);
		break;
	case LEAP_CNS_NS_DESC:
		bad.ns_descs++;
		page[0] = LEAP_NIDT_UUID;
		page[1] = LEAP_NIDL_UUID;
		page[4] = (uint8_t)nsid;
		break;
	default:
		return LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR;
	}
	twist(page);
	return transfer(sqe, page, sizeof(page), true) ? 0 :
		LEAP_SC_DATA_TRANSFER;
}

static leap_status_t get_log(const struct leap_sqe *sqe)
{
	uint32_t bytes = ((leap_from_le32(sqe->cdw10) >> 16) + 1) * 4;
	struct leap_log_error *e;
	struct leap_log_smart *s;
	uint8_t page[4096] = { 0 };

	if (bytes > sizeof(page))
		return LEAP_SC_INVALID_FIELD;
	switch (leap_from_le32(sqe->cdw10) & 0xff) {
	case LEAP_LID_ERROR:
		e = (struct leap_log_error *)(void *)page;
		e->count = leap_to_le64(1);
		e->cid = leap_to_le16(7);
		e->nsid = leap_to_le32(2);
		break;
	case LEAP_LID_SMART:
		s = (struct leap_log_smart *)(void *)page;
		s->critical = LEAP_SMART_SPARE;
		s->spare = 3;
		s->spare_thresh = 10;
		s->temp[0] = 0x2c;
		s->temp[1] = 1;
		break;
	case LEAP_LID_CHANGED_NS:
		page[0] = 1;
		break;
	default:
		return LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR;
	}
	return transfer(sqe, page, bytes, true) ? 0 : LEAP_SC_DATA_TRANSFER;
}

static leap_status_t create(const struct leap_sqe *sqe)
{
	uint32_t qid = leap_from_le32(sqe->cdw10) & 0xffff;
	uint32_t size = (leap_from_le32(sqe->cdw10) >> 16) + 1;
	struct bad_queue *q = &bad.q[qid < BAD_QUEUES ? qid : 0];
	uint32_t max = (uint32_t)LEAP_GET(bad.cap, LEAP_CAP_MQES) + 1;
	uint64_t at = leap_from_le64(sqe->prp1);
	bool cq = sqe->opc == LEAP_ADM_CREATE_CQ;

	if (!qid || qid >= BAD_QUEUES ||
	    (qid > bad.nr_queues && !bad.trusts_grant))
		return LEAP_SC_QID_INVALID;
	if (size > (bad.max_entries ? bad.max_entries : max))
		return LEAP_SC_QSIZE_INVALID;
	if ((at & 4095) || !(leap_from_le32(sqe->cdw11) & 1) ||
	    (cq ? q->cq_size : !q->cq_size || q->sq_size)) {
		bad_complain("creation of queue %u", qid);
		return LEAP_SC_INVALID_FIELD;
	}
	if (cq) {
		memset(q, 0, sizeof(*q));
		q->cq_size = size;
		q->cq = at;
		q->phase = 1;
	} else {
		q->sq_size = size;
		q->sq = at;
	}
	return 0;
}

static leap_status_t delete(const struct leap_sqe *sqe)
{
	uint32_t qid = leap_from_le32(sqe->cdw10) & 0xffff;
	struct bad_queue *q = &bad.q[qid < BAD_QUEUES ? qid : 0];

	if (!qid || qid >= BAD_QUEUES || !q->cq_size)
		return LEAP_SC_QID_INVALID;
	if (sqe->opc == LEAP_ADM_DELETE_CQ) {
		if (q->sq_size)
			bad_complain("CQ %u deleted before its SQ", qid);
		q->cq_size = 0;
		return 0;
	}
	end_muted(qid, UINT32_MAX, LEAP_SC_ABORT_SQ_DELETED);
	q->sq_size = 0;
	return 0;
}

static leap_status_t set_features(const struct leap_sqe *sqe, uint32_t *dw0)
{
	switch (leap_from_le32(sqe->cdw10) & 0xff) {
	case LEAP_FID_NUM_QUEUES:
		*dw0 = (bad.nr_queues - 1) * 0x10001u;
		return 0;
	case LEAP_FID_ASYNC_EVENT:
		bad.events = leap_from_le32(sqe->cdw11);
		return 0;
	default:
		return LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR;
	}
}

static leap_status_t do_abort(const struct leap_sqe *sqe, uint32_t *dw0)
{
	uint32_t cdw10 = leap_from_le32(sqe->cdw10);

	bad.aborts++;
	*dw0 = 1;
	if (!bad.ignores_abort && end_muted(cdw10 & 0xffff, cdw10 >> 16,
					    LEAP_SC_ABORT_REQUESTED))
		*dw0 = 0;
	return 0;
}

static leap_status_t admin(const struct leap_sqe *sqe, uint32_t *dw0)
{
	switch (sqe->opc) {
	case LEAP_ADM_IDENTIFY:
		return identify(sqe);
	case LEAP_ADM_GET_LOG:
		return get_log(sqe);
	case LEAP_ADM_SET_FEATURES:
		return set_features(sqe, dw0);
	case LEAP_ADM_ABORT:
		return do_abort(sqe, dw0);
	case LEAP_ADM_CREATE_CQ:
	case LEAP_ADM_CREATE_SQ:
		return create(sqe);
	case LEAP_ADM_DELETE_CQ:
	case LEAP_ADM_DELETE_SQ:
		return delete(sqe);
	case LEAP_ADM_DBBUF_CONFIG:
		bad.shadow = leap_from_le64(sqe->prp1);
		bad.eventidx = leap_from_le64(sqe->prp2);
		return 0;
	default:
		return LEAP_SC_INVALID_OPCODE | LEAP_STATUS_DNR;
	}
}

/* ---- I/O commands ------------------------------------------------------ */

static leap_status_t io(const struct leap_sqe *sqe)
{
	uint32_t nsid = leap_from_le32(sqe->nsid);
	uint64_t slba = leap_from_le32(sqe->cdw10) |
			(uint64_t)leap_from_le32(sqe->cdw11) << 32;
	uint32_t nr = (leap_from_le32(sqe->cdw12) & 0xffff) + 1;
	uint8_t *mem;

	bad.io++;
	if (!nsid || nsid > BAD_NS)
		return LEAP_SC_INVALID_NS;
	if (sqe->opc == LEAP_NVM_FLUSH)
		return 0;
	if (slba >= BAD_BLOCKS || nr > BAD_BLOCKS - slba)
		return LEAP_SC_LBA_RANGE | LEAP_STATUS_DNR;
	if (bad.id.mdts && bad.id.mdts < 16 && !bad.bytes &&
	    nr * BAD_BLOCK > 4096u << bad.id.mdts)
		bad_complain("%u blocks are beyond MDTS", nr);
	mem = bad.data[nsid - 1] + slba * BAD_BLOCK;
	switch (sqe->opc) {
	case LEAP_NVM_READ:
	case LEAP_NVM_WRITE:
		return transfer(sqe, mem, nr * BAD_BLOCK,
				sqe->opc == LEAP_NVM_READ) ? 0 :
			LEAP_SC_DATA_TRANSFER;
	case LEAP_NVM_WRITE_ZEROES:
		memset(mem, 0, (size_t)nr * BAD_BLOCK);
		return 0;
	default:
		return LEAP_SC_INVALID_OPCODE | LEAP_STATUS_DNR;
	}
}

/* ---- fetching ---------------------------------------------------------- */

static enum bad_fault fault_of(const struct leap_sqe *sqe)
{
	uint8_t how = bad_byte(0);

	if (how >= 200)
		return BAD_MUTE + how % (BAD_LATE - BAD_MUTE + 1);
	if (bad.opc != 0x100 && bad.opc != sqe->opc)
		return BAD_NONE;
	if (bad.cmds++ < bad.at || bad.hit || bad.fault < BAD_MUTE)
		return BAD_NONE;
	bad.hit = true;
	return bad.fault;
}

static void execute(uint32_t qid, const struct leap_sqe *sqe)
{
	enum bad_fault fault = fault_of(sqe);
	leap_status_t status;
	struct bad_muted late;
	uint32_t dw0 = 0;

	if (bad.fault == BAD_LATE && bad.nr_muted && fault != BAD_LATE) {
		late = bad.muted[--bad.nr_muted];
		execute(late.qid, &late.sqe);
	}
	if (!qid && sqe->opc == LEAP_ADM_AER && fault == BAD_NONE) {
		if (bad.nr_aers < 16)
			bad.aer[bad.nr_aers++] = *sqe;
		return;
	}
	if (fault == BAD_MUTE || fault == BAD_LATE) {
		mute(qid, sqe);
		return;
	}
	status = fault == BAD_STATUS ? LEAP_SC_INTERNAL :
		qid ? io(sqe) : admin(sqe, &dw0);
	post(qid, sqe, dw0, status, fault);
}

/* One page each: queues whose words lie beyond have registers alone. */
static bool has_shadow(uint32_t qid)
{
	return bad.shadow && !bad.ignores_shadow && qid &&
	       (qid * 2 + 1) * (4u << LEAP_GET(bad.cap, LEAP_CAP_DSTRD)) < 4096;
}

static leap_le32 *shadow_word(uint64_t page, uint32_t i)
{
	return bad_at(page + (uint64_t)i *
		      (4u << LEAP_GET(bad.cap, LEAP_CAP_DSTRD)), 4);
}

/* By shadow doorbells, if they are in force: what the words say now. */
static void look(uint32_t qid)
{
	struct bad_queue *q = &bad.q[qid];
	leap_le32 *sq, *cq, *ei;

	if (!has_shadow(qid)) {
		q->tail = q->told;
		return;
	}
	sq = shadow_word(bad.shadow, qid * 2);
	cq = shadow_word(bad.shadow, qid * 2 + 1);
	if (!sq || !cq)
		return;
	q->tail = leap_from_le32(*sq);
	q->cq_head = leap_from_le32(*cq);
	ei = shadow_word(bad.eventidx, qid * 2);
	if (ei)
		*ei = *sq;
	ei = shadow_word(bad.eventidx, qid * 2 + 1);
	if (ei)
		*ei = *cq;
}

static void fetch(uint32_t qid)
{
	struct bad_queue *q = &bad.q[qid];
	struct leap_sqe sqe;
	void *p;

	look(qid);
	if (q->tail >= q->sq_size) {
		if (q->sq_size && !bad.bytes)
			bad_complain("tail %u of queue %u", q->tail, qid);
		return;
	}
	while (q->sq_size && q->head != q->tail) {
		if (bad_step() || bad.hung || !q->sq_size)
			return;
		p = bad_at(q->sq + q->head * 64, 64);
		if (!p)
			return;
		memcpy(&sqe, p, 64);
		q->head = (q->head + 1) % q->sq_size;
		execute(qid, &sqe);
	}
}

void bad_fetch(void)
{
	uint32_t i;

	if (!(bad.cc & LEAP_CC_EN) || !(bad.csts & LEAP_CSTS_RDY))
		return;
	for (i = 0; i < BAD_QUEUES && !bad.gone && !bad.hung; i++)
		if (bad.q[i].sq_size && bad.q[i].cq_size)
			fetch(i);
}
