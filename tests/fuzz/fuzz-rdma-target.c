/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host over RDMA that says what it likes: private data, capsules, keys, and
 * events of a connection manager gone mad.
 *
 * Byte 0: 1 private data by the book, 2 and Connect, 4 no receives posted at
 * first, 64 without 32 where receives are shared; else 32 bytes of private data
 * follow. Then operations: a byte of kind,
 * and what it needs.
 */
#include "fuzz-target.h"

#include <netinet/in.h>

#include "../unit/fake-verbs.h"
#include "transport/rdma/group.h"

#define DEPTH	8u
#define SLOT	16384u
#define DATA	65536u
#define SHARED	4u

static struct fuzz_target f;
static struct fake_fabric *fabric;
static const struct leap__verbs *v;
static struct leap__v_chan *chan;
static struct leap__v_id *id;
static struct leap__v_pd *pd;
static struct leap__v_comp *comp;
static struct leap__v_cq *cq;
static struct leap__v_qp *qp;
static struct leap__v_mr *mr;
static struct leap__v_keys keys;
static uint8_t *mem;		/* DATA, a message in and a message out */

static void polls(void)
{
	int i;

	for (i = 0; i < 20; i++)
		leap_pollgroup_poll(f.pg, 0);
}

static void init(void)
{
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;

	if (fabric)
		return;
	fabric = fake_fabric_create();
	v = &fabric->v;
	fuzz_target_init(&f, "loop://");
	FUZZ_CHECK(!leap__rdma_use(f.pg, v));
	lo.url = "rdma://127.0.0.1:4420";
	FUZZ_CHECK(!leap_listener_create(f.target, &lo, &f.listener));
	lo.url = "rdma://127.0.0.1:4421";
	lo.srq = SHARED;
	FUZZ_CHECK(!leap_listener_create(f.target, &lo, &f.listener));
	mem = calloc(1, DATA + 2 * SLOT);
	FUZZ_CHECK(mem);
}

static void post_recv(void)
{
	struct leap__v_sge sge = { (uintptr_t)mem + DATA, SLOT, keys.lkey };
	struct leap__v_recv r = { 1, &sge, 1 };

	v->post_recv(qp, &r, 1);
}

static void ask(const void *priv, uint8_t ird, uint16_t port)
{
	struct leap__v_qp_caps caps = {
		.max_send = 64, .max_recv = 64, .max_sge = 2,
	};
	struct leap__v_param p = { .priv = priv, .priv_len = 32, .ird = ird,
				   .rnr_retries = 7 };
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(port) };

	FUZZ_CHECK(!v->chan_create(v, &chan));
	FUZZ_CHECK(!v->id_create(chan, NULL, &id));
	FUZZ_CHECK(!v->resolve_addr(id, (struct sockaddr *)&sin, 1));
	FUZZ_CHECK(!v->pd_create(v->id_dev(id), &pd));
	FUZZ_CHECK(!v->comp_create(v->id_dev(id), &comp));
	FUZZ_CHECK(!v->cq_create(v->id_dev(id), 1024, comp, &cq));
	FUZZ_CHECK(!v->qp_create(id, pd, cq, &caps, &qp));
	FUZZ_CHECK(!v->mr_create(pd, mem, DATA + 2 * SLOT, LEAP__V_REMOTE_READ |
				 LEAP__V_REMOTE_WRITE, &keys, &mr));
	FUZZ_CHECK(!v->connect(id, &p));
}

static void drain(void)
{
	struct leap__v_wc wc[16];
	struct leap__v_cm cm;

	while (v->cq_poll(cq, wc, 16) > 0)
		;
	while (v->chan_get(chan, &cm) > 0)
		;
}

/* Nobody is connected: the shared ones are gone, with all that they were. */
static void settle(void)
{
	fuzz_target_settle(&f);
	while (fabric->nr_qps)
		leap_pollgroup_poll(f.pg, 0);
	FUZZ_CHECK(!fabric->nr_srqs);
}

static void leave(void)
{
	drain();
	v->disconnect(id);
	v->qp_destroy(id, qp);
	v->cq_destroy(cq);
	v->comp_destroy(comp);
	v->mr_destroy(mr);
	v->id_destroy(id);
	v->pd_destroy(pd);
	v->chan_destroy(chan);
}

static void send_bytes(uint32_t len)
{
	struct leap__v_sge sge = { (uintptr_t)mem + DATA + SLOT, len,
				   keys.lkey };
	struct leap__v_wr wr = { .id = 2, .sge = &sge, .nr_sge = 1,
				 .op = LEAP__V_SEND,
				 .flags = LEAP__V_SIGNALED };

	v->post_send(qp, &wr, 1);
	leap_pollgroup_poll(f.pg, 0);
	drain();
}

static void put_key(struct leap_sqe *sqe, uint32_t at, uint32_t len,
		    uint8_t sub)
{
	struct leap_sgl_keyed k;

	leap_sgl_keyed_set(&k, (uintptr_t)mem + at, len, keys.rkey,
			   LEAP_SGL_ID(LEAP_SGL_TYPE_KEYED, sub));
	memcpy(&sqe->sgl1, &k, sizeof(k));
	sqe->flags = LEAP_SQE_PSDT_SGL;
}

static void join(uint16_t qid)
{
	struct leap_fab_connect c;

	fuzz_connect(&c, (void *)mem, qid, qid ? 1 : 0xffff, DEPTH);
	put_key((struct leap_sqe *)(void *)&c, 0, 1024, 0);
	memcpy(mem + DATA + SLOT, &c, sizeof(c));
	send_bytes(sizeof(c));
	polls();
	drain();
}

/* A command of up to 64 bytes; its key is right unless bit 7 of @how says. */
static uint32_t capsule(const uint8_t *p, uint32_t n, uint8_t how)
{
	struct leap_sqe *sqe = (struct leap_sqe *)(void *)(mem + DATA + SLOT);
	uint32_t len = n < 64 ? n : 64;

	memset(sqe, 0, 64);
	memcpy(sqe, p, len);
	if (!(how & 0x80))
		put_key(sqe, (how & 7u) * 512u, 512u << (how >> 3 & 7),
			how & 0x40 ? LEAP_SGL_SUB_INVALIDATE : 0);
	return len;
}

static size_t operate(const uint8_t *p, size_t n)
{
	uint32_t len;

	if (n < 4)
		return 0;
	switch (p[0] & 7) {
	case 0:			/* a capsule alone */
		len = capsule(p + 2, (uint32_t)n - 2, p[1]);
		send_bytes(64);
		return 2 + len;
	case 1:			/* with data behind it */
		len = capsule(p + 3, (uint32_t)n - 3, 0x80);
		send_bytes(64 + p[1] * 40u);
		return 3 + len;
	case 2:			/* of any length */
		send_bytes((p[1] | (uint32_t)p[2] << 8) % SLOT);
		return 3;
	case 3:
		post_recv();
		return 1;
	case 4:
		polls();
		drain();
		return 1;
	case 5:
		if (fake_id(fabric, 1, 0))
			fake_event(fake_id(fabric, 1, 0),
				   p[1] % LEAP__V_NR_EVENTS ==
				   LEAP__V_CONNECT_REQUEST ? LEAP__V_OTHER :
				   p[1] % LEAP__V_NR_EVENTS, -(int)p[2],
				   p + 3, (uint32_t)(n - 3 < 16 ? n - 3 : 16));
		return 3;
	case 6:
		fabric->paused = p[1] & 1;
		if (!fabric->paused)
			fake_resume(fabric);
		return 2;
	default:
		fake_break(id);
		return 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leap_rdma_cm_req req = {
		.hrqsize = leap_to_le16(DEPTH),
		.hsqsize = leap_to_le16(DEPTH - 1),
	};
	uint8_t how;
	size_t n;
	int i;

	if (size < 2)
		return 0;
	init();
	how = *data++;
	size--;
	req.qid = leap_to_le16(how >> 3 & 3);
	if (!(how & 1) && size >= sizeof(req)) {
		memcpy(&req, data, sizeof(req));
		data += sizeof(req);
		size -= sizeof(req);
	}
	ask(&req, how & 32 ? how >> 6 : 16, (how & 96) == 64 ? 4421 : 4420);
	for (i = 0; i < 16 && !(how & 4); i++)
		post_recv();
	polls();
	drain();
	if (how & 2)
		join(leap_from_le16(req.qid));
	for (; size; data += n, size -= n) {
		n = operate(data, size);
		if (!n || n > size)
			break;
	}
	fabric->paused = 0;
	fake_resume(fabric);
	leave();
	settle();
	return 0;
}
