/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rdma-world.h - a controller end and a host (rdma-peer.h) that speaks to it by
 * hand, one capsule at a time
 */
#ifndef LEAP_TESTS_RDMA_WORLD_H
#define LEAP_TESTS_RDMA_WORLD_H

#include "rdma-peer.h"

#include "transport/rdma/target.h"

#define DEPTH 16

struct world {
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg;
	struct rdma_fixture f;
	struct peer p;
};

static inline void begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->fabric = fake_fabric_create();
	w->pg = rdma_pollgroup(w->fabric, 0, 0, 0);
	rdma_start(&w->f, w->fabric, w->pg, "127.0.0.1");
	peer_init(&w->p, w->fabric);
}

static inline void finish(struct world *w)
{
	peer_fini(&w->p);
	rdma_stop(&w->f);
	rdma_no_leak(w->pg);
	assert_int_equal(fake_fabric_destroy(w->fabric), 0);
}

static inline void polls(struct world *w)
{
	int i;

	/* Who is busy asks for events only now and then. */
	for (i = 0; i < 80; i++)
		rdma_poll(&w->f);
}

static inline struct leap_sqe *sqe_of(struct peer *p)
{
	memset(p->out, 0, PEER_SLOT);
	return (struct leap_sqe *)(void *)p->out;
}

static inline void keyed(struct leap_sqe *sqe, uint64_t addr, uint32_t len,
			 uint32_t key, uint8_t sub)
{
	struct leap_sgl_keyed k;

	leap_sgl_keyed_set(&k, addr, len, key,
			   LEAP_SGL_ID(LEAP_SGL_TYPE_KEYED, sub));
	memcpy(&sqe->sgl1, &k, sizeof(k));
	sqe->flags = LEAP_SQE_PSDT_SGL;
}

static inline void in_capsule(struct leap_sqe *sqe, uint64_t at, uint32_t len)
{
	sqe->sgl1.addr = leap_to_le64(at);
	sqe->sgl1.len = leap_to_le32(len);
	sqe->sgl1.type = LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_OFFSET);
	sqe->flags = LEAP_SQE_PSDT_SGL;
}

static inline void connect_sqe(struct peer *p, uint16_t qid)
{
	struct leap_fab_connect *c = (void *)sqe_of(p);

	c->opc = LEAP_ADM_FABRICS;
	c->fctype = LEAP_FCTYPE_CONNECT;
	c->qid = leap_to_le16(qid);
	c->sqsize = leap_to_le16(DEPTH - 1);
	keyed((struct leap_sqe *)(void *)c, (uintptr_t)p->data, 1024,
	      p->data_keys.rkey, LEAP_SGL_SUB_ADDRESS);
}

/* A host: asks for queue @qid, and is told that it has it, or not. */
static inline void request_with(struct world *w, uint16_t qid, uint32_t recvs,
				unsigned int type)
{
	struct leap_rdma_cm_req req = peer_req(qid, DEPTH);

	peer_ask(&w->p, w->f.url, &req, 32, 16, recvs);
	polls(w);
	assert_int_equal(peer_event(&w->p), 1);
	assert_int_equal(w->p.cm.type, type);
}

static inline void request(struct world *w, uint16_t qid, unsigned int type)
{
	request_with(w, qid, DEPTH, type);
}

/* The next message, or NULL: none comes, or the connection is over. */
static inline const struct leap_cqe *answer(struct world *w)
{
	int i;

	for (i = 0; i < 50; i++) {
		rdma_poll(&w->f);
		while (peer_completion(&w->p)) {
			if (w->p.wc.status)
				return NULL;
			if (w->p.wc.id < 1000)
				continue;
			assert_int_equal(w->p.wc.bytes, LEAP_CQE_SIZE);
			return (void *)(w->p.in +
					(w->p.wc.id - 1000) * PEER_SLOT);
		}
	}
	return NULL;
}

static inline void link_up_on(struct world *w, uint32_t recvs, int iwarp)
{
	struct leap_rdma_cm_rep rep;

	begin(w);
	w->fabric->dev.caps.remote_sink = (uint8_t)iwarp;
	request_with(w, 1, recvs, LEAP__V_ESTABLISHED);
	memcpy(&rep, w->p.cm.priv, sizeof(rep));
	assert_int_equal(leap_from_le16(rep.recfmt), 0);
	assert_int_equal(leap_from_le16(rep.crqsize), DEPTH);
}

static inline void link_up(struct world *w, uint32_t recvs)
{
	link_up_on(w, recvs, 0);
}

static inline void live_on(struct world *w, int iwarp)
{
	const struct leap_cqe *cqe;

	link_up_on(w, DEPTH, iwarp);
	connect_sqe(&w->p, 1);
	peer_send(&w->p, LEAP_SQE_SIZE);
	cqe = answer(w);
	assert_non_null(cqe);
	assert_int_equal(leap_cqe_status(cqe), 0);
	peer_recv(&w->p, (uint32_t)(w->p.wc.id - 1000));
}

static inline void live(struct world *w)
{
	live_on(w, 0);
}

static inline void gone(struct world *w)
{
	RDMA_WAIT(w->f.target.gone == 1, rdma_poll(&w->f));
	assert_int_equal(w->f.target.lost, 1);
}

static inline struct leap_sqe *io(struct peer *p, uint8_t opc, uint32_t at,
				  uint32_t len, uint16_t cid)
{
	struct leap_sqe *sqe = sqe_of(p);

	sqe->opc = opc;
	sqe->cid = leap_to_le16(cid);
	sqe->cdw10 = leap_to_le32(at);
	sqe->cdw12 = leap_to_le32(len);
	return sqe;
}

/* Its data is at the start of the host's memory. */
static inline void send_io(struct peer *p, uint8_t opc, uint32_t at,
			   uint32_t len, uint16_t cid)
{
	keyed(io(p, opc, at, len, cid), (uintptr_t)p->data, len,
	      p->data_keys.rkey, 0);
	peer_send(p, LEAP_SQE_SIZE);
}

static inline void status_is(struct world *w, uint16_t cid,
			     leap_status_t status)
{
	const struct leap_cqe *cqe = answer(w);

	assert_non_null(cqe);
	assert_int_equal(leap_from_le16(cqe->cid), cid);
	assert_int_equal(LEAP_STATUS_CODE(leap_cqe_status(cqe)), status);
	peer_recv(&w->p, (uint32_t)(w->p.wc.id - 1000));
}

/* As if the time for it were over. 1 = something was waited for */
static inline int stall_time(struct world *w)
{
	struct leap__rdma_conn *c = &((struct target *)w->f.target.vqp)->c;
	int waiting = c->stalling;

	if (waiting) {
		leap_timer_stop(w->pg, &c->stall);
		c->stall.run(&c->stall);
	}
	return waiting;
}

#endif
