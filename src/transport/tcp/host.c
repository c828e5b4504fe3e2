/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of an NVMe/TCP queue pair: its life, and what comes in.
 *
 * Requests are carried out by host_tx.c; here come answers (C2HData straight
 * into the request's pieces, responses) and R2Ts. A request has a slot; its CID
 * is the slot with a generation above it, so that a late answer of a controller
 * is not taken for another request's. Completes requests only in poll; submit
 * and kick may send, nothing else.
 */
#include "transport/tcp/host.h"

#include "core/io/inet.h"
#include "util/err.h"

#include <leapio/nvmf.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- receiving ---- */

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
	.gather = leap__tcp_host_gather,
	.sent = leap__tcp_host_sent,
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
	if (!err) {
		err = leap__tcp_conn_init(&h->c, &host_end, qp->pg, wfd);
		if (err)
			w->ops->close(wfd);
	}
	if (err) {
		free(h->slots);
		h->slots = NULL;
		return leap__err(err, "leap_qp_connect: %s: no socket",
				 address);
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

static void qp_kick(struct leap_qp *qp)
{
	struct host *h = (struct host *)qp;

	if (!h->c.in_rx)
		leap__tcp_flush(&h->c);
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
	.qp_submit = leap__tcp_qp_submit,
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
