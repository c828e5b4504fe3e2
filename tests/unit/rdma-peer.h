/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rdma-peer.h - a peer on the fake fabric that does what it likes
 *
 * A queue pair without the transport: the test posts what it wants and looks at
 * what comes. Used as a host against a controller end and the other way round.
 */
#ifndef LEAP_TESTS_RDMA_PEER_H
#define LEAP_TESTS_RDMA_PEER_H

#include "rdma-fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define PEER_RECVS	64u
#define PEER_SLOT	16384u	/* bytes of a message */
#define PEER_DATA	(1u << 20)

struct peer {
	struct fake_fabric *fabric;
	const struct leap__verbs *v;
	struct leap__v_chan *chan;
	struct leap__v_id *id;
	struct leap__v_pd *pd;
	struct leap__v_comp *comp;
	struct leap__v_cq *cq;
	struct leap__v_qp *qp;
	struct leap__v_mr *mr, *data_mr;
	struct leap__v_keys keys, data_keys;
	uint8_t *in, *out, *data;
	struct leap__v_cm cm;		/* the last event */
	struct leap__v_wc wc;		/* the last completion */
	uint32_t send_seq;
};

/* One event, if there is any. */
static inline int peer_event(struct peer *p)
{
	return p->v->chan_get(p->chan, &p->cm);
}

static inline int peer_completion(struct peer *p)
{
	return p->v->cq_poll(p->cq, &p->wc, 1);
}

static inline void peer_init(struct peer *p, struct fake_fabric *f)
{
	memset(p, 0, sizeof(*p));
	p->fabric = f;
	p->v = &f->v;
	assert_int_equal(p->v->chan_create(p->v, &p->chan), 0);
	p->in = calloc(PEER_RECVS, PEER_SLOT);
	p->out = calloc(1, PEER_SLOT);
	p->data = calloc(1, PEER_DATA);
	assert_true(p->in && p->out && p->data);
}

static inline void peer_recv(struct peer *p, uint32_t slot)
{
	struct leap__v_sge sge = {
		(uintptr_t)p->in + slot * PEER_SLOT, PEER_SLOT, p->keys.lkey,
	};
	struct leap__v_recv r = { 1000 + slot, &sge, 1 };

	assert_int_equal(p->v->post_recv(p->qp, &r, 1), 0);
}

/* Its queue pair, with @recvs receives. */
static inline void peer_qp(struct peer *p, uint32_t recvs)
{
	struct leap__v_qp_caps caps = {
		.max_send = 256, .max_recv = PEER_RECVS, .max_sge = 4,
	};
	uint32_t i;

	assert_int_equal(p->v->pd_create(p->v->id_dev(p->id), &p->pd), 0);
	assert_int_equal(p->v->comp_create(p->v->id_dev(p->id), &p->comp), 0);
	assert_int_equal(p->v->cq_create(p->v->id_dev(p->id), 1024, p->comp,
					 &p->cq), 0);
	assert_int_equal(p->v->qp_create(p->id, p->pd, p->cq, &caps, &p->qp),
			 0);
	assert_int_equal(p->v->mr_create(p->pd, p->in, PEER_RECVS * PEER_SLOT,
					 0, &p->keys, &p->mr), 0);
	assert_int_equal(p->v->mr_create(p->pd, p->data, PEER_DATA,
					 LEAP__V_REMOTE_READ |
					 LEAP__V_REMOTE_WRITE, &p->data_keys,
					 &p->data_mr), 0);
	for (i = 0; i < recvs; i++)
		peer_recv(p, i);
}

/* A message: @len bytes of p->out, which is sent from p->data's end. */
static inline void peer_send(struct peer *p, uint32_t len)
{
	uint8_t *at = p->data + PEER_DATA - PEER_SLOT;
	struct leap__v_sge sge = { (uintptr_t)at, len, p->data_keys.lkey };
	struct leap__v_wr wr = {
		.id = ++p->send_seq, .sge = &sge, .nr_sge = 1,
		.op = LEAP__V_SEND, .flags = LEAP__V_SIGNALED,
	};

	memcpy(at, p->out, len);
	p->v->post_send(p->qp, &wr, 1);
}

static inline void peer_fini(struct peer *p)
{
	if (p->qp)
		p->v->qp_destroy(p->id, p->qp);
	if (p->mr)
		p->v->mr_destroy(p->mr);
	if (p->data_mr)
		p->v->mr_destroy(p->data_mr);
	if (p->cq)
		p->v->cq_destroy(p->cq);
	if (p->comp)
		p->v->comp_destroy(p->comp);
	if (p->id)
		p->v->id_destroy(p->id);
	if (p->pd)
		p->v->pd_destroy(p->pd);
	p->v->chan_destroy(p->chan);
	free(p->in);
	free(p->out);
	free(p->data);
}

static inline uint16_t port_in(const char *url)
{
	const char *at = strstr(url, "127.0.0.1:");

	assert_non_null(at);
	return (uint16_t)atoi(at + strlen("127.0.0.1:"));
}

/* A host: up to the point where it asks, with @len bytes of private data. */
static inline void peer_ask(struct peer *p, const char *url, const void *priv,
			    uint32_t len, uint8_t ird, uint32_t recvs)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct leap__v_param param = {
		.priv = priv, .priv_len = (uint8_t)len, .ird = ird, .ord = 16,
		.rnr_retries = 7,
	};

	sin.sin_port = htons(port_in(url));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(p->v->id_create(p->chan, p, &p->id), 0);
	assert_int_equal(p->v->resolve_addr(p->id, (struct sockaddr *)&sin,
					    100), 0);
	assert_int_equal(peer_event(p), 1);
	assert_int_equal(p->cm.type, LEAP__V_ADDR_RESOLVED);
	assert_int_equal(p->v->resolve_route(p->id, 100), 0);
	assert_int_equal(peer_event(p), 1);
	peer_qp(p, recvs);
	assert_int_equal(p->v->connect(p->id, &param), 0);
}

static inline struct leap_rdma_cm_req peer_req(uint16_t qid, uint16_t depth)
{
	struct leap_rdma_cm_req req = {
		.qid = leap_to_le16(qid), .hrqsize = leap_to_le16(depth),
		.hsqsize = leap_to_le16((uint16_t)(depth - 1)),
	};

	return req;
}

#endif
