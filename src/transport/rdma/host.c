/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of an NVMe/RDMA queue pair.
 *
 * Carries requests out (a SEND with the capsule, in-capsule data behind it) and
 * brings answers in; payload that is not in a capsule is moved by the
 * controller, by the key in the command's descriptor. That is always the plain
 * one: our regions outlive a command, and no peer may invalidate them.
 *
 * A request has a slot; its CID is the slot with a generation above it. The
 * slot is free again when the answer is there and the SEND is done with its
 * memory, whichever comes last. Completes requests only in poll.
 */
#include "transport/rdma/host.h"

#include "core/io/inet.h"
#include "core/io/transport.h"
#include "util/err.h"

#include <leapio/nvmf.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_SLOT		0xffffu

/* hslot.flags */
#define POSTED		1u	/* its SEND */
#define IN_SEND		2u	/* the SEND is not done yet */

#define SENT_CAPSULE	1u	/* for end->sent */

static struct host *of_conn(struct leap__rdma_conn *c)
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

	if (!s || !s->req || !(s->flags & POSTED) || cid_of(h, s) != cid)
		return NULL;
	return s;
}

static void slot_free(struct host *h, struct hslot *s)
{
	leap__rdma_unmap(h, s);
	s->next_free = h->free_slot;
	h->free_slot = (uint16_t)(s - h->slots);
}

/* ---- sending ---- */

static int in_capsule(const struct host *h, const struct hslot *s)
{
	/* An admin queue's capsule is the command alone. */
	return s->dir == LEAP_DIR_TO_CTRL && h->qp.opts.qid &&
	       s->len <= h->qp.opts.inline_bytes && h->c.max_sge > 1;
}

static void fill_sgl(const struct host *h, const struct hslot *s,
		     const struct hpayload *p, struct leap_sqe *sqe)
{
	struct leap_sgl_keyed keyed;

	memset(&sqe->sgl1, 0, sizeof(sqe->sgl1));
	sqe->flags = (uint8_t)((sqe->flags & ~LEAP_SQE_PSDT_MASK) |
			       LEAP_SQE_PSDT_SGL);
	if (s->len && in_capsule(h, s)) {
		sqe->sgl1.len = leap_to_le32(s->len);
		sqe->sgl1.type = LEAP_SGL_ID(LEAP_SGL_TYPE_DATA,
					     LEAP_SGL_SUB_OFFSET);
		return;
	}
	leap_sgl_keyed_set(&keyed, s->len ? p->addr : 0, s->len,
			   s->len ? p->rkey : 0,
			   LEAP_SGL_ID(LEAP_SGL_TYPE_KEYED,
				       LEAP_SGL_SUB_ADDRESS));
	memcpy(&sqe->sgl1, &keyed, sizeof(keyed));
}

/* 0 = no memory for its payload now */
static int post_capsule(struct host *h, struct hslot *s)
{
	struct hpayload p = { 0, 0, 0 };
	struct leap_sqe *sqe = &s->req->sqe;
	uint8_t *capsule = h->mem + h->sqe_at +
			   (size_t)(s - h->slots) * LEAP_SQE_SIZE;
	struct leap__v_sge *sge;
	int data;

	if (s->len && !leap__rdma_map(h, s, &p))
		return 0;
	data = s->len && in_capsule(h, s);
	fill_sgl(h, s, &p, sqe);
	memcpy(capsule, sqe, LEAP_SQE_SIZE);
	leap__rdma_post(&h->c, LEAP__V_SEND, data ? 2 : 1, &sge,
			!data && h->c.inline_ok >= LEAP_SQE_SIZE ?
			LEAP__V_INLINE : 0);
	sge[0].addr = (uintptr_t)capsule;
	sge[0].len = LEAP_SQE_SIZE;
	sge[0].lkey = h->lkey;
	if (data) {
		sge[1].addr = p.addr;
		sge[1].len = s->len;
		sge[1].lkey = p.lkey;
	}
	leap__rdma_post_end(&h->c, SENT_CAPSULE, s);
	s->flags = POSTED | IN_SEND;
	return 1;
}

static void host_gather(struct leap__rdma_conn *c)
{
	struct host *h = of_conn(c);

	while (h->txq && leap__rdma_room(c)) {
		struct hslot *s = h->txq;

		if (!post_capsule(h, s))
			return;
		h->txq = s->next;
		if (!h->txq)
			h->txq_tail = &h->txq;
	}
}

static void host_sent(struct leap__rdma_conn *c, uint32_t kind, void *ptr)
{
	struct host *h = of_conn(c);
	struct hslot *s = ptr;

	(void)kind;
	s->flags &= (uint8_t)~IN_SEND;
	if (!s->req)
		slot_free(h, s);
}

static int qp_submit(struct leap_qp *qp, struct leap_req *const *reqs,
		     unsigned int n)
{
	struct host *h = (struct host *)qp;
	unsigned int i;

	if (h->c.state != LEAP__RDMA_READY)
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
		s->flags = 0;
		s->dir = LEAP_OPC_DIR(req->sqe.opc == LEAP_ADM_FABRICS ?
				      leap_from_le32(req->sqe.nsid) :
				      req->sqe.opc);
		s->len = (uint32_t)req->lib[1];
		req->sqe.cid = leap_to_le16(cid_of(h, s));
		s->next = NULL;
		*h->txq_tail = s;
		h->txq_tail = &s->next;
	}
	leap__rdma_work(&h->c);
	return (int)i;
}

static void qp_kick(struct leap_qp *qp)
{
	leap__rdma_push(&((struct host *)qp)->c);
}

/* ---- receiving ---- */

static void host_recv(struct leap__rdma_conn *c, uint32_t slot, uint32_t bytes,
		      uint32_t flags)
{
	struct host *h = of_conn(c);
	struct leap_req *req;
	struct leap_cqe cqe;
	struct hslot *s;

	if (bytes != LEAP_CQE_SIZE || (flags & LEAP__V_WITH_INV)) {
		leap__rdma_fatal(c, flags & LEAP__V_WITH_INV ?
				 "a key invalidated that is not its" :
				 "no response capsule");
		return;
	}
	memcpy(&cqe, h->mem + (size_t)slot * LEAP_CQE_SIZE, sizeof(cqe));
	leap__rdma_post_recv(c, slot);
	s = find(h, cqe.cid);
	if (!s) {
		leap__rdma_fatal(c, "a response to no command");
		return;
	}
	req = s->req;
	if (!leap_cqe_status(&cqe))
		leap__rdma_landed(h, s);
	s->req = NULL;
	if (!(s->flags & IN_SEND))
		slot_free(h, s);
	req->cqe = cqe;
	leap_qp_complete(&h->qp, req);
}

/* ---- connecting ---- */

static int host_ask(struct leap__rdma_conn *c)
{
	struct host *h = of_conn(c);
	struct leap_qp *qp = &h->qp;
	struct leap_rdma_cm_req req = {
		.qid = leap_to_le16(qp->opts.qid),
		.hrqsize = leap__rdma_cm_recvs(qp->depth),
		.hsqsize = leap_to_le16((uint16_t)(qp->depth - 1)),
		.cntlid = leap_to_le16(qp->opts.qid ? qp->opts.cntlid : 0),
	};
	struct leap__v_param p = {
		.priv = &req, .priv_len = sizeof(req),
		.retries = LEAP__RDMA_RETRIES,
		.rnr_retries = LEAP__RDMA_RNR_RETRIES,
	};
	uint32_t i;
	int err;

	err = leap__rdma_conn_qp(c, h->nr_slots, qp->depth, LEAP_SQE_SIZE);
	if (!err)
		err = leap__rdma_host_register(h);
	if (err)
		return err;
	for (i = 0; i < qp->depth; i++)
		leap__rdma_post_recv(c, i);
	leap__rdma_flush(c);
	if (c->state == LEAP__RDMA_DEAD)
		return c->err;
	p.ird = c->dev->caps.max_ird;
	return leap__rdma_ask(c, &p);
}

static void host_accepted(struct leap__rdma_conn *c,
			  const struct leap__v_cm *cm)
{
	if (leap__rdma_parse_rep(cm->priv, cm->priv_len)) {
		leap__rdma_fatal(c, "RECFMT of its accept");
		return;
	}
	leap__rdma_up(c);
	leap_qp_transport_up(&of_conn(c)->qp);
}

static int host_refused(struct leap__rdma_conn *c, const struct leap__v_cm *cm)
{
	unsigned int sts = leap__rdma_parse_rej(cm->priv, cm->priv_len);

	leap__pg_log(c->pg, LEAP_LOG_WARN, "rdma: the controller refuses the "
		     "connection: %s", leap__rdma_rej_str(sts));
	return sts == LEAP_RDMA_REJ_RESOURCES ? -EBUSY : -ECONNREFUSED;
}

/* ---- the life of it ---- */

static void host_gone(struct leap__rdma_conn *c)
{
	struct host *h = of_conn(c);
	int err = c->err ? c->err : -ECONNRESET;
	uint32_t i;

	h->txq = NULL;
	h->txq_tail = &h->txq;
	for (i = 0; h->slots && i < h->nr_slots; i++) {
		struct leap_req *req = h->slots[i].req;

		h->slots[i].req = NULL;
		/* The device is done with them, also with what was answered
		 * before its SEND was known to be done. */
		leap__rdma_unmap(h, &h->slots[i]);
		if (req)
			leap_qp_fail(&h->qp, req, err);
	}
	if (!h->closing) {
		leap_qp_transport_down(&h->qp, err);
		return;
	}
	leap__rdma_host_memory_free(h);
	free(h->slots);
	h->slots = NULL;
	leap_qp_closed(&h->qp);
}

/* Fused commands want two slots. */
static int host_waiting(struct leap__rdma_conn *c)
{
	const struct host *h = of_conn(c);

	return h->txq || h->free_slot == NO_SLOT ||
	       h->slots[h->free_slot].next_free == NO_SLOT;
}

static const struct leap__rdma_end host_end = {
	.recv = host_recv,
	.sent = host_sent,
	.gather = host_gather,
	.event = leap__rdma_connecting,
	.ask = host_ask,
	.accepted = host_accepted,
	.refused = host_refused,
	.gone = host_gone,
	.waiting = host_waiting,
};

static int make_slots(struct host *h)
{
	uint32_t i;

	/* Twice: a slot is not free before its SEND is known to be done. */
	h->nr_slots = 2 * h->qp.depth;
	if (h->nr_slots >= NO_SLOT)
		h->nr_slots = NO_SLOT - 1;
	h->slots = calloc(h->nr_slots, sizeof(*h->slots));
	if (!h->slots)
		return -ENOMEM;
	for (i = 0; i < h->nr_slots; i++)
		h->slots[i].next_free = (uint16_t)(i + 1 < h->nr_slots ?
						   i + 1 : NO_SLOT);
	while ((1u << h->slot_bits) < h->nr_slots)
		h->slot_bits++;
	return leap__rdma_host_memory(h);
}

static int qp_connect(struct leap_qp *qp, const char *address)
{
	struct host *h = (struct host *)qp;
	socklen_t len;
	int err;

	err = leap__inet_parse("leap_qp_connect", address, &h->addr, &len);
	if (!err && !leap__rdma_verbs(qp->pg, "leap_qp_connect"))
		err = -EPROTONOSUPPORT;
	if (err)
		return err;
	h->txq_tail = &h->txq;
	qp->max_data_bytes = LEAP__RDMA_MAX_DATA;
	h->c.realm = LEAP__RDMA_HOSTS;
	err = make_slots(h);
	if (!err)
		err = leap__rdma_connect(&h->c, &host_end, qp->pg, &h->addr,
					 qp->opts.connect_timeout_ms ?
					 qp->opts.connect_timeout_ms :
					 LEAP__RDMA_HELLO_MS);
	if (!err)
		return 0;
	leap__rdma_host_memory_free(h);
	free(h->slots);
	return leap__err(err, "leap_qp_connect: rdma: %s: %s", address,
			 strerror(-err));
}

static void qp_close(struct leap_qp *qp)
{
	struct host *h = (struct host *)qp;

	h->closing = 1;
	if (h->c.state == LEAP__RDMA_GONE) {
		/* It was lost before: only leap_qp_closed is left. */
		h->c.state = LEAP__RDMA_DEAD;
		leap__rdma_work(&h->c);
		return;
	}
	leap__rdma_kill(&h->c, -ECANCELED);
}

const struct leap_transport_ops leap__rdma_transport = {
	.size = sizeof(struct leap_transport_ops),
	.name = "rdma",
	.trtype = LEAP_TRTYPE_RDMA,
	.qp_bytes = sizeof(struct host),
	.listener_bytes = sizeof(struct leap__rdma_listener),
	.qp_connect = qp_connect,
	.qp_submit = qp_submit,
	.qp_kick = qp_kick,
	.qp_close = qp_close,
	.listen = leap__rdma_listen,
	.unlisten = leap__rdma_unlisten,
	.cmd_pull = leap__rdma_cmd_pull,
	.cmd_complete = leap__rdma_cmd_complete,
	.vqp_resume = leap__rdma_vqp_resume,
	.vqp_detach = leap__rdma_vqp_detach,
	.vqp_attach = leap__rdma_vqp_attach,
	.vqp_close = leap__rdma_vqp_close,
	.vqp_destroy = leap__rdma_vqp_destroy,
	.vqp_peer_closed = leap__rdma_vqp_peer_closed,
	.vqp_local = leap__rdma_vqp_local,
};
