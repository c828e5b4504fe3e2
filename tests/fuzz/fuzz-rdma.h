/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz-rdma.h - a peer on the fake fabric that a fuzz target speaks for: a
 * queue pair of its own over memory of its own
 *
 * The fabric, a channel and the memory are made once; an input makes an id and
 * what hangs on it, and leaves nothing of that.
 */
#ifndef LEAP_FUZZ_RDMA_H
#define LEAP_FUZZ_RDMA_H

#include "fuzz.h"

#include <netinet/in.h>

#include "../unit/fake-verbs.h"
#include "core/io/pollgroup.h"
#include "transport/rdma/group.h"

#define FUZZ_SENT	1u	/* id of what it posts */
#define FUZZ_RECVS	100u	/* ids of its receives, from here */

struct fuzz_peer {
	struct fake_fabric *fabric;
	const struct leap__verbs *v;
	struct leap__v_chan *chan;
	struct leap__v_id *listener;	/* stays */
	struct leap__v_id *id;
	struct leap__v_pd *pd;
	struct leap__v_comp *comp;
	struct leap__v_cq *cq;
	struct leap__v_qp *qp;
	struct leap__v_mr *mr;
	struct leap__v_keys keys;
	uint8_t *mem;
	uint32_t bytes;
};

static inline void fuzz_peer_init(struct fuzz_peer *p, uint32_t bytes)
{
	p->fabric = fake_fabric_create();
	p->v = &p->fabric->v;
	FUZZ_CHECK(!p->v->chan_create(p->v, &p->chan));
	p->bytes = bytes;
	p->mem = calloc(1, bytes);
	FUZZ_CHECK(p->mem);
}

static inline struct sockaddr_in fuzz_port(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port),
	};
}

static inline void fuzz_peer_listen(struct fuzz_peer *p, uint16_t port)
{
	struct sockaddr_in sin = fuzz_port(port);

	FUZZ_CHECK(!p->v->id_create(p->chan, NULL, &p->listener));
	FUZZ_CHECK(!p->v->listen(p->listener, (struct sockaddr *)&sin, 1));
}

/* A queue pair for p->id, with @max_recv receives; all memory is in reach of
 * the other side as far as @access goes. */
static inline void fuzz_peer_queue(struct fuzz_peer *p, uint32_t max_recv,
				   uint32_t access)
{
	struct leap__v_qp_caps caps = {
		.max_send = 64, .max_recv = max_recv, .max_sge = 2,
	};
	const struct leap__verbs *v = p->v;

	FUZZ_CHECK(!v->pd_create(v->id_dev(p->id), &p->pd));
	FUZZ_CHECK(!v->comp_create(v->id_dev(p->id), &p->comp));
	FUZZ_CHECK(!v->cq_create(v->id_dev(p->id), 1024, p->comp, &p->cq));
	FUZZ_CHECK(!v->qp_create(p->id, p->pd, p->cq, &caps, &p->qp));
	FUZZ_CHECK(!v->mr_create(p->pd, p->mem, p->bytes, access, &p->keys,
				 &p->mr));
}

/* Ask who listens at @port. */
static inline void fuzz_peer_ask(struct fuzz_peer *p, uint16_t port,
				 const struct leap__v_param *param,
				 uint32_t max_recv)
{
	struct sockaddr_in sin = fuzz_port(port);

	FUZZ_CHECK(!p->v->id_create(p->chan, NULL, &p->id));
	FUZZ_CHECK(!p->v->resolve_addr(p->id, (struct sockaddr *)&sin, 1));
	fuzz_peer_queue(p, max_recv, LEAP__V_REMOTE_READ |
			LEAP__V_REMOTE_WRITE);
	FUZZ_CHECK(!p->v->connect(p->id, param));
}

/* Whatever there is of it. */
static inline void fuzz_peer_leave(struct fuzz_peer *p)
{
	if (p->qp) {
		p->v->disconnect(p->id);
		p->v->qp_destroy(p->id, p->qp);
		p->v->cq_destroy(p->cq);
		p->v->comp_destroy(p->comp);
		p->v->mr_destroy(p->mr);
	}
	if (p->id)
		p->v->id_destroy(p->id);
	if (p->pd)
		p->v->pd_destroy(p->pd);
	p->qp = NULL;
	p->id = NULL;
	p->pd = NULL;
}

/* Into @len bytes at @at of its memory. */
static inline void fuzz_peer_recv(struct fuzz_peer *p, uint32_t nr,
				  uint32_t at, uint32_t len)
{
	struct leap__v_sge sge = { (uintptr_t)p->mem + at, len, p->keys.lkey };
	struct leap__v_recv r = { FUZZ_RECVS + nr, &sge, 1 };

	p->v->post_recv(p->qp, &r, 1);
}

/* From or, by a READ, into @len bytes at @at of its memory. */
static inline void fuzz_peer_post(struct fuzz_peer *p, uint8_t op, uint32_t at,
				  uint32_t len, uint32_t key, uint64_t remote)
{
	struct leap__v_sge sge = { (uintptr_t)p->mem + at, len, p->keys.lkey };
	struct leap__v_wr wr = {
		.id = FUZZ_SENT, .sge = &sge, .nr_sge = 1, .op = op,
		.key = key, .remote = remote, .flags = LEAP__V_SIGNALED,
	};

	p->v->post_send(p->qp, &wr, 1);
}

/* Kinds of events, but for requests: these bring an id of their own. */
static inline unsigned int fuzz_event_type(uint8_t kind)
{
	unsigned int type = kind % LEAP__V_NR_EVENTS;

	return type == LEAP__V_CONNECT_REQUEST ? LEAP__V_OTHER : type;
}

/* A connection manager gone mad: a status, and private data. */
static inline void fuzz_event(struct leap__v_id *to, unsigned int type,
			      const uint8_t *p, size_t n)
{
	if (to)
		fake_event(to, type, -(int)p[0], p + 1,
			   (uint32_t)(n - 1 < 32 ? n - 1 : 32));
}

#endif
