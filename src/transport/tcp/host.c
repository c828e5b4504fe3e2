/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of an NVMe/TCP queue pair.
 *
 * Carries requests out (capsule, in-capsule data, H2CData for each R2T) and
 * brings answers in (C2HData straight into the request's pieces, responses). A
 * request has a slot; its CID is the slot with a generation above it, so that
 * a late answer of a controller is not taken for another request's.
 *
 * A request whose payload is still in a send completes when that send is done:
 * the caller may reuse its memory from then on. Completes requests only in
 * poll; submit and kick may send, nothing else.
 */
#include "transport/tcp/tcp.h"

#include "core/io/inet.h"
#include "core/io/transport.h"
#include "util/err.h"

#include <leapio/nvmf.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_SLOT		0xffffu
#define MAX_R2TS	4u	/* that we let a command have: MAXR2T + 1 */
#define MAX_DATA	(64u << 20)	/* bytes of one request */

#define SENT		1u	/* its capsule has been gathered */
#define QUEUED		2u	/* on txq; may outlive its request */
#define IN_SEND		4u	/* payload is in the pending send */
#define DONE		8u	/* answered; completes when sent */
#define DIGEST_BAD	16u

struct hslot {
	struct leap_req *req;
	struct hslot *next_tx, *next_sending;
	struct leap__tcp_cursor rx_cur, tx_cur;
	uint32_t len;		/* payload, bytes */
	uint32_t got;		/* received */
	uint32_t sent;		/* by H2CData */
	uint32_t asked;		/* by R2Ts */
	uint32_t r2t_end[MAX_R2TS];	/* oldest first from r2t_first */
	uint16_t r2t_tag[MAX_R2TS];
	uint8_t r2t_first, nr_r2ts;
	uint8_t flags, dir;
	uint16_t gen, next_free;
	struct leap_cqe cqe;
};

struct host {
	struct leap_qp qp;		/* first */
	struct leap__tcp_conn c;
	struct leap__io connect;
	struct sockaddr_storage addr;
	struct hslot *slots;
	uint32_t nr_slots;
	uint32_t max_h2c;		/* MAXH2CDATA */
	uint16_t free_slot;
	uint8_t slot_bits;
	uint8_t ic_due;			/* ICReq is to be sent */
	uint8_t closing;		/* leap_qp_closed is awaited */
	uint8_t capsule_pdo;
	uint8_t rx_flags;		/* of the C2HData under way */
	struct hslot *txq, **txq_tail;
	struct hslot *sending;
	struct hslot *tx_slot;		/* payload is being gathered */
	struct hslot *rx_slot;		/* payload is arriving */
};

static struct host *of_conn(struct leap__tcp_conn *c)
{
	return (struct host *)((char *)c - offsetof(struct host, c));
}

static uint16_t cid_of(const struct host *h, const struct hslot *s)
{
	return (uint16_t)(s->gen << h->slot_bits | (uint16_t)(s - h->slots));
}

/* The slot that a CID of the peer means, or NULL. */
static struct hslot *find(struct host *h, leap_le16 wire)
{
	uint16_t cid = leap_from_le16(wire);
	uint32_t i = cid & ((1u << h->slot_bits) - 1);
	struct hslot *s = i < h->nr_slots ? &h->slots[i] : NULL;

	if (!s || !s->req || !(s->flags & SENT) || (s->flags & DONE) ||
	    cid_of(h, s) != cid)
		return NULL;
	return s;
}

static void queue_tx(struct host *h, struct hslot *s)
{
	if (!(s->flags & QUEUED)) {
		s->flags |= QUEUED;
		s->next_tx = NULL;
		*h->txq_tail = s;
		h->txq_tail = &s->next_tx;
	}
	leap__tcp_work(&h->c);
}

static void pop_tx(struct host *h)
{
	struct hslot *s = h->txq;

	h->txq = s->next_tx;
	if (!h->txq)
		h->txq_tail = &h->txq;
	s->flags &= (uint8_t)~QUEUED;
}

static struct leap_req *slot_free(struct host *h, struct hslot *s)
{
	struct leap_req *req = s->req;

	s->req = NULL;
	s->nr_r2ts = 0;
	s->next_free = h->free_slot;
	h->free_slot = (uint16_t)(s - h->slots);
	return req;
}

static void finish(struct host *h, struct hslot *s)
{
	struct leap_req *req;

	if (s->flags & IN_SEND || s == h->tx_slot) {
		s->flags |= DONE;
		return;
	}
	req = slot_free(h, s);
	req->cqe = s->cqe;
	leap_qp_complete(&h->qp, req);
}

/* ---- sending ---- */

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

static void host_gather(struct leap__tcp_conn *c)
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

static void host_sent(struct leap__tcp_conn *c)
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

static int qp_submit(struct leap_qp *qp, struct leap_req *const *reqs,
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

static void qp_kick(struct leap_qp *qp)
{
	struct host *h = (struct host *)qp;

	if (!h->c.in_rx)
		leap__tcp_flush(&h->c);
}

/* ---- receiving ---- */

static int fatal(struct host *h, const union leap__tcp_pdu *pdu, uint16_t fes,
		 uint32_t fei)
{
	struct leap__tcp_bad bad = { fes, fei };

	leap__tcp_fatal(&h->c, &bad, pdu, pdu->hdr.hlen);
	return 0;
}

static int on_ic_resp(struct host *h, const union leap__tcp_pdu *pdu)
{
	uint8_t dgst = pdu->ic_resp.dgst, asked = 0;

	asked |= h->qp.opts.flags & LEAP_QP_HEADER_DIGEST ?
		 LEAP_TCP_DGST_HEADER : 0;
	asked |= h->qp.opts.flags & LEAP_QP_DATA_DIGEST ?
		 LEAP_TCP_DGST_DATA : 0;
	if (dgst & ~asked)
		return fatal(h, pdu, LEAP_TCP_FES_HDR_FIELD,
			     offsetof(struct leap_tcp_ic_resp, dgst));
	h->c.rules.hdgst = !!(dgst & LEAP_TCP_DGST_HEADER);
	h->c.rules.ddgst = !!(dgst & LEAP_TCP_DGST_DATA);
	h->c.rules.max_data = MAX_DATA;
	h->c.rules.ready = 1;
	h->max_h2c = leap_from_le32(pdu->ic_resp.maxh2cdata);
	h->c.pdo = leap__tcp_pdo(sizeof(struct leap_tcp_data),
				 h->c.rules.hdgst, pdu->ic_resp.cpda);
	h->capsule_pdo = leap__tcp_pdo(sizeof(struct leap_tcp_cmd),
				       h->c.rules.hdgst, pdu->ic_resp.cpda);
	h->qp.flags &= ~(LEAP_QP_HEADER_DIGEST | LEAP_QP_DATA_DIGEST);
	h->qp.flags |= h->c.rules.hdgst ? LEAP_QP_HEADER_DIGEST : 0;
	h->qp.flags |= h->c.rules.ddgst ? LEAP_QP_DATA_DIGEST : 0;
	h->c.state = LEAP__TCP_READY;
	leap__tcp_timer_stop(&h->c);
	leap_qp_transport_up(&h->qp);
	return 0;
}

static int on_rsp(struct host *h, const union leap__tcp_pdu *pdu)
{
	struct hslot *s = find(h, pdu->rsp.cqe.cid);
	leap_status_t status = 0;

	if (!s)
		return fatal(h, pdu, LEAP_TCP_FES_SEQUENCE, 0);
	s->cqe = pdu->rsp.cqe;
	if (s->flags & DIGEST_BAD)
		status = LEAP_SC_TRANSIENT_TRANSPORT;
	else if (!leap_cqe_status(&s->cqe) && s->dir == LEAP_DIR_TO_HOST &&
		 s->got != s->len)
		status = LEAP_SC_DATA_TRANSFER;
	if (status)
		s->cqe.status = leap_cqe_status_word(status, 0);
	finish(h, s);
	return 0;
}

static int on_r2t(struct host *h, const union leap__tcp_pdu *pdu)
{
	struct hslot *s = find(h, pdu->r2t.cccid);
	uint32_t at = leap_from_le32(pdu->r2t.r2to);
	uint32_t n = leap_from_le32(pdu->r2t.r2tl), i;

	if (!s || s->dir != LEAP_DIR_TO_CTRL || !s->len ||
	    s->req->sqe.sgl1.type != LEAP_SGL_ID(LEAP_SGL_TYPE_TRANSPORT,
						 LEAP_SGL_SUB_TRANSPORT))
		return fatal(h, pdu, LEAP_TCP_FES_SEQUENCE, 0);
	if (s->nr_r2ts == MAX_R2TS)
		return fatal(h, pdu, LEAP_TCP_FES_LIMIT, 0);
	if (at != s->asked || n > s->len - at)
		return fatal(h, pdu, LEAP_TCP_FES_RANGE, 0);
	i = (s->r2t_first + s->nr_r2ts++) % MAX_R2TS;
	s->asked += n;
	s->r2t_end[i] = s->asked;
	s->r2t_tag[i] = leap_from_le16(pdu->r2t.ttag);
	queue_tx(h, s);
	return 0;
}

static int on_data(struct host *h, const union leap__tcp_pdu *pdu,
		   const struct leap__tcp_shape *shape)
{
	struct hslot *s = find(h, pdu->data.cccid);
	uint32_t at = leap_from_le32(pdu->data.datao);

	if (!s || s->dir != LEAP_DIR_TO_HOST)
		return fatal(h, pdu, LEAP_TCP_FES_SEQUENCE, 0);
	if (at != s->got || shape->data > s->len - at)
		return fatal(h, pdu, LEAP_TCP_FES_RANGE, 0);
	if (!!(pdu->hdr.flags & LEAP_TCP_F_LAST) !=
	    (at + shape->data == s->len))
		return fatal(h, pdu, LEAP_TCP_FES_HDR_FIELD,
			     offsetof(struct leap_tcp_hdr, flags));
	s->got += shape->data;
	h->rx_slot = s;
	h->rx_flags = pdu->hdr.flags;
	h->c.rx.cur = s->rx_cur;
	return 0;
}

static void host_data_end(struct leap__tcp_conn *c, int ok)
{
	struct host *h = of_conn(c);
	struct hslot *s = h->rx_slot;

	h->rx_slot = NULL;
	s->rx_cur = c->rx.cur;
	if (!ok)
		s->flags |= DIGEST_BAD;
	if (!(h->rx_flags & LEAP_TCP_F_SUCCESS))
		return;
	memset(&s->cqe, 0, sizeof(s->cqe));
	s->cqe.cid = s->req->sqe.cid;
	s->cqe.status = leap_cqe_status_word(s->flags & DIGEST_BAD ?
					     LEAP_SC_TRANSIENT_TRANSPORT : 0,
					     0);
	finish(h, s);
}

static int host_pdu(struct leap__tcp_conn *c, const union leap__tcp_pdu *pdu,
		    const struct leap__tcp_shape *s, const uint8_t *data)
{
	struct host *h = of_conn(c);

	switch (s->type) {
	case LEAP_TCP_RSP:
		return on_rsp(h, pdu);
	case LEAP_TCP_C2H_DATA:
		return on_data(h, pdu, s);
	case LEAP_TCP_R2T:
		return on_r2t(h, pdu);
	case LEAP_TCP_IC_RESP:
		return on_ic_resp(h, pdu);
	default:
		leap__pg_log(c->pg, LEAP_LOG_WARN, "tcp: controller ended the "
			     "connection: fes %u fei %u",
			     leap_from_le16(pdu->term.fes),
			     leap_tcp_term_fei(&pdu->term));
		leap__tcp_kill(c, -ECONNABORTED);
		return 0;
	}
}

/* ---- the life of it ---- */

static void host_gone(struct leap__tcp_conn *c)
{
	struct host *h = of_conn(c);
	int err = c->err ? c->err : -ECONNRESET;
	uint32_t i;

	h->txq = NULL;
	h->txq_tail = &h->txq;
	h->sending = NULL;
	h->tx_slot = NULL;
	for (i = 0; i < h->nr_slots; i++)
		if (h->slots[i].req)
			leap_qp_fail(&h->qp, slot_free(h, &h->slots[i]), err);
	if (!h->closing) {
		leap_qp_transport_down(&h->qp, err);
		return;
	}
	leap__tcp_conn_fini(c);
	free(h->slots);
	h->slots = NULL;
	leap_qp_closed(&h->qp);
}

static void host_timeout(struct leap__tcp_conn *c)
{
	leap__tcp_kill(c, -ETIMEDOUT);
}

static const struct leap__tcp_end host_end = {
	.pdu = host_pdu,
	.data_end = host_data_end,
	.gather = host_gather,
	.sent = host_sent,
	.gone = host_gone,
	.timeout = host_timeout,
};

static void connect_done(struct leap__io *io)
{
	struct host *h = io->arg;

	h->c.connecting = 0;
	if (h->c.state >= LEAP__TCP_DEAD) {
		leap__tcp_work(&h->c);
		return;
	}
	if (io->res < 0) {
		leap__tcp_kill(&h->c, (int)io->res);
		return;
	}
	h->ic_due = 1;
	h->c.rx.hold = 0;
	leap__tcp_work(&h->c);
}

static int qp_connect(struct leap_qp *qp, const char *address)
{
	struct host *h = (struct host *)qp;
	struct leap__world *w = leap__pollgroup_world(qp->pg);
	struct leap__wfd *wfd;
	socklen_t len;
	uint32_t i;
	int err;

	err = leap__inet_parse("leap_qp_connect", address, &h->addr, &len);
	if (err)
		return err;
	h->nr_slots = qp->depth;
	h->slots = calloc(h->nr_slots, sizeof(*h->slots));
	if (!h->slots)
		return -ENOMEM;
	err = w->ops->socket(w, h->addr.ss_family, &wfd);
	if (!err)
		err = leap__tcp_conn_init(&h->c, &host_end, qp->pg, wfd);
	if (err) {
		free(h->slots);
		h->slots = NULL;
		return leap__err(err, "leap_qp_connect: %s: no socket", address);
	}
	for (i = 0; i < h->nr_slots; i++)
		h->slots[i].next_free = (uint16_t)(i + 1 < h->nr_slots ?
						   i + 1 : NO_SLOT);
	while ((1u << h->slot_bits) < h->nr_slots)
		h->slot_bits++;
	h->txq_tail = &h->txq;
	h->c.rules.host = 1;
	h->c.rx.hold = 1;
	h->c.connecting = 1;
	qp->max_data_bytes = MAX_DATA;
	h->connect.op = LEAP__IO_CONNECT;
	h->connect.wfd = wfd;
	h->connect.addr = (const struct sockaddr *)&h->addr;
	h->connect.done = connect_done;
	h->connect.arg = h;
	leap__io_submit(w, &h->connect);
	leap__tcp_timer(&h->c, qp->opts.connect_timeout_ms ?
			qp->opts.connect_timeout_ms : LEAP__TCP_HELLO_MS);
	return 0;
}

static void qp_close(struct leap_qp *qp)
{
	struct host *h = (struct host *)qp;

	h->closing = 1;
	if (h->c.state == LEAP__TCP_GONE) {
		/* It was lost before: only leap_qp_closed is left. */
		h->c.state = LEAP__TCP_DEAD;
		leap__tcp_work(&h->c);
		return;
	}
	leap__tcp_kill(&h->c, -ECANCELED);
}

const struct leap_transport_ops leap__tcp_transport = {
	.size = sizeof(struct leap_transport_ops),
	.name = "tcp",
	.trtype = LEAP_TRTYPE_TCP,
	.qp_bytes = sizeof(struct host),
	.listener_bytes = sizeof(struct leap__tcp_listener),
	.qp_connect = qp_connect,
	.qp_submit = qp_submit,
	.qp_kick = qp_kick,
	.qp_close = qp_close,
	.listen = leap__tcp_listen,
	.unlisten = leap__tcp_unlisten,
	.cmd_pull = leap__tcp_cmd_pull,
	.cmd_complete = leap__tcp_cmd_complete,
	.vqp_resume = leap__tcp_vqp_resume,
	.vqp_detach = leap__tcp_vqp_detach,
	.vqp_attach = leap__tcp_vqp_attach,
	.vqp_close = leap__tcp_vqp_close,
	.vqp_destroy = leap__tcp_vqp_destroy,
	.vqp_peer_closed = leap__tcp_vqp_peer_closed,
	.vqp_local = leap__tcp_vqp_local,
};
