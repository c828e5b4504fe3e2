/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host end of an NVMe/TCP queue pair sends: ICReq, capsules with their
 * data, H2CData for each R2T, as far as a send has room.
 *
 * A request whose payload is still in a send completes when that send is done:
 * the caller may reuse its memory from then on. Knows nothing of what comes in.
 */
#include "transport/tcp/host.h"

#include <leapio/nvmf.h>

#include <errno.h>
#include <string.h>

static void pop_tx(struct host *h)
{
	struct hslot *s = h->txq;

	h->txq = s->next_tx;
	if (!h->txq)
		h->txq_tail = &h->txq;
	s->flags &= (uint8_t)~QUEUED;
}

static void gather_ic(struct host *h)
{
	union leap__tcp_pdu pdu;
	uint32_t flags = h->qp.opts.flags;

	memset(&pdu, 0, sizeof(pdu));
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_IC_REQ, 0, sizeof(pdu.ic_req), 0,
		      sizeof(pdu.ic_req));
	pdu.ic_req.dgst = (flags & LEAP_QP_HEADER_DIGEST ?
			   LEAP_TCP_DGST_HEADER : 0) |
			  (flags & LEAP_QP_DATA_DIGEST ?
			   LEAP_TCP_DGST_DATA : 0);
	pdu.ic_req.maxr2t = leap_to_le32(MAX_R2TS - 1);
	leap__tcp_tx_hdr(&h->c, &pdu, sizeof(pdu.ic_req));
	h->ic_due = 0;
}

/* Payload behind the header just gathered; 0 = the send is full. */
static int gather_payload(struct host *h)
{
	struct hslot *s = h->tx_slot;
	int all = leap__tcp_tx_data(&h->c);

	if (!(s->flags & IN_SEND)) {
		s->flags |= IN_SEND;
		s->next_sending = h->sending;
		h->sending = s;
	}
	if (!all)
		return 0;
	s->tx_cur = h->c.tx.cur;
	h->tx_slot = NULL;
	return 1;
}

static int gather_capsule(struct host *h, struct hslot *s)
{
	const struct leap_sqe *sqe = &s->req->sqe;
	uint32_t head, plen;
	union leap__tcp_pdu pdu;
	int data = s->len && sqe->sgl1.type ==
		   LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_OFFSET);

	head = sizeof(pdu.cmd) + (h->c.rules.hdgst ? LEAP_TCP_DIGEST_LEN : 0);
	plen = head;
	if (data) {
		head = h->capsule_pdo;
		plen = head + s->len +
		       (h->c.rules.ddgst ? LEAP_TCP_DIGEST_LEN : 0);
	}
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_CMD, data && h->c.rules.ddgst ?
		      LEAP_TCP_F_DDGST : 0, sizeof(pdu.cmd),
		      (uint8_t)(data ? head : 0), plen);
	pdu.cmd.sqe = *sqe;
	leap__tcp_tx_hdr(&h->c, &pdu, head);
	s->flags |= SENT;
	pop_tx(h);
	if (!data)
		return 1;
	h->tx_slot = s;
	leap__tcp_tx_begin(&h->c, s->tx_cur, s->len);
	return gather_payload(h);
}

/* One H2CData of the oldest R2T. */
static int gather_h2c(struct host *h, struct hslot *s)
{
	uint32_t end = s->r2t_end[s->r2t_first], n = end - s->sent;
	uint8_t flags = h->c.rules.ddgst ? LEAP_TCP_F_DDGST : 0;
	union leap__tcp_pdu pdu;

	if (n > h->max_h2c)
		n = h->max_h2c;
	else
		flags |= LEAP_TCP_F_LAST;
	memset(&pdu.data, 0, sizeof(pdu.data));
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_H2C_DATA, flags, sizeof(pdu.data),
		      h->c.pdo, h->c.pdo + n +
		      (h->c.rules.ddgst ? LEAP_TCP_DIGEST_LEN : 0));
	pdu.data.cccid = s->req->sqe.cid;
	pdu.data.ttag = leap_to_le16(s->r2t_tag[s->r2t_first]);
	pdu.data.datao = leap_to_le32(s->sent);
	pdu.data.datal = leap_to_le32(n);
	leap__tcp_tx_hdr(&h->c, &pdu, h->c.pdo);
	s->sent += n;
	if (s->sent == end) {
		s->r2t_first = (s->r2t_first + 1) % MAX_R2TS;
		s->nr_r2ts--;
	}
	if (!s->nr_r2ts)
		pop_tx(h);
	h->tx_slot = s;
	leap__tcp_tx_begin(&h->c, s->tx_cur, n);
	return gather_payload(h);
}

void leap__tcp_host_gather(struct leap__tcp_conn *c)
{
	struct host *h = of_conn(c);
	int more = 1;

	if (h->tx_slot && !gather_payload(h))
		return;
	if (h->ic_due)
		gather_ic(h);
	while (more && h->txq && !leap__tcp_tx_full(c)) {
		struct hslot *s = h->txq;

		if (!s->req)
			pop_tx(h);
		else if (!(s->flags & SENT))
			more = gather_capsule(h, s);
		else if (s->nr_r2ts && !(s->flags & DONE))
			more = gather_h2c(h, s);
		else
			pop_tx(h);
	}
}

void leap__tcp_host_sent(struct leap__tcp_conn *c)
{
	struct host *h = of_conn(c);
	struct hslot *s = h->sending;

	h->sending = NULL;
	while (s) {
		struct hslot *next = s->next_sending;

		s->flags &= (uint8_t)~IN_SEND;
		if ((s->flags & DONE) && s != h->tx_slot) {
			s->flags &= (uint8_t)~DONE;
			finish(h, s);
		}
		s = next;
	}
}

static void fill_sgl(struct host *h, struct leap_sqe *sqe, uint32_t len,
		     uint8_t dir)
{
	uint32_t room = h->qp.opts.inline_bytes;

	if (!h->qp.opts.qid || sqe->opc == LEAP_ADM_FABRICS)
		room = LEAP_TCP_ADMIN_ICD;
	memset(&sqe->sgl1, 0, sizeof(sqe->sgl1));
	sqe->sgl1.len = leap_to_le32(len);
	sqe->sgl1.type = len && dir == LEAP_DIR_TO_CTRL && len <= room ?
		LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_OFFSET) :
		LEAP_SGL_ID(LEAP_SGL_TYPE_TRANSPORT, LEAP_SGL_SUB_TRANSPORT);
	sqe->flags = (uint8_t)((sqe->flags & ~LEAP_SQE_PSDT_MASK) |
			       LEAP_SQE_PSDT_SGL);
}

int leap__tcp_qp_submit(struct leap_qp *qp, struct leap_req *const *reqs,
			unsigned int n)
{
	struct host *h = (struct host *)qp;
	unsigned int i;

	if (h->c.state != LEAP__TCP_READY)
		return -ENOTCONN;
	if (n > 1 && leap__req_is_first(reqs[0]) &&
	    (h->free_slot == NO_SLOT ||
	     h->slots[h->free_slot].next_free == NO_SLOT))
		return 0;
	for (i = 0; i < n && h->free_slot != NO_SLOT; i++) {
		struct hslot *s = &h->slots[h->free_slot];
		struct leap_req *req = reqs[i];

		h->free_slot = s->next_free;
		s->req = req;
		s->gen++;
		s->flags &= QUEUED;
		s->dir = LEAP_OPC_DIR(req->sqe.opc == LEAP_ADM_FABRICS ?
				      leap_from_le32(req->sqe.nsid) :
				      req->sqe.opc);
		s->len = (uint32_t)leap_pieces_bytes(req->pieces,
						     req->nr_pieces);
		s->rx_cur.piece = req->pieces;
		s->rx_cur.off = 0;
		s->tx_cur = s->rx_cur;
		s->got = 0;
		s->sent = 0;
		s->asked = 0;
		s->r2t_first = 0;
		s->nr_r2ts = 0;
		req->sqe.cid = leap_to_le16(cid_of(h, s));
		fill_sgl(h, &req->sqe, s->len, s->dir);
		queue_tx(h, s);
	}
	return (int)i;
}
