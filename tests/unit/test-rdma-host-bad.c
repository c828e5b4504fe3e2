/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of the RDMA transport against a controller that does what it
 * likes: private data, answers to no command or cut short, keys invalidated,
 * receives that are missing. Its events and faults are in test-rdma-host.c.
 */
#include "rdma-peer.h"

#include "dmabuf/region.h"

#include <stdio.h>
#include <stdlib.h>

/* What the library gets was used before, and is not clean. */
void *aligned_alloc(size_t alignment, size_t bytes)
{
	void *p = NULL;

	if (posix_memalign(&p, alignment, bytes))
		return NULL;
	return memset(p, 0xa5, bytes);
}

struct bad {
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg;
	struct rdma_fixture f;		/* for the run:
					 * no listener of its own */
	struct rdma_run r;
	struct peer p;
	struct leap__v_chan *listen_chan;
	struct leap__v_id *listener;
	struct leap_dmabuf *buf;	/* payload is there, or NULL */
	uint32_t recvs;			/* the controller's */
};

static void bad_begin(struct bad *b)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct leap_dmabuf *buf = b->buf;
	struct sockaddr_storage sa;
	uint32_t recvs = b->recvs;

	memset(b, 0, sizeof(*b));
	b->buf = buf;
	b->recvs = recvs ? recvs : 32;
	b->r.buf = buf;
	b->fabric = fake_fabric_create();
	b->pg = rdma_pollgroup(b->fabric, 0, 0, 0);
	b->f.pg = b->pg;
	peer_init(&b->p, b->fabric);
	assert_int_equal(b->p.v->id_create(b->p.chan, NULL, &b->listener), 0);
	assert_int_equal(b->p.v->listen(b->listener, (struct sockaddr *)&sin,
					1), 0);
	b->p.v->local_addr(b->listener, &sa);
	snprintf(b->f.url, sizeof(b->f.url), "rdma://127.0.0.1:%u/" RDMA_NQN,
		 ntohs(((struct sockaddr_in *)&sa)->sin_port));
	rdma_open(&b->r, &b->f, b->pg, 1, 0, 8192);
	b->p.cm.type = LEAP__V_OTHER;
	RDMA_WAIT(peer_event(&b->p) || b->p.cm.type != LEAP__V_OTHER,
		  rdma_run_poll(&b->r));
	assert_int_equal(b->p.cm.type, LEAP__V_CONNECT_REQUEST);
	b->p.id = b->p.cm.id;
	assert_true(b->p.cm.ird > 0);
}

static void bad_accept(struct bad *b, const void *priv, uint8_t len)
{
	struct leap__v_param param = { .priv = priv, .priv_len = len,
				       .rnr_retries = 7 };

	peer_qp(&b->p, b->recvs);
	assert_int_equal(b->p.v->accept(b->p.id, &param), 0);
}

static void bad_end(struct bad *b)
{
	rdma_close(&b->r);
	peer_fini(&b->p);
	rdma_no_leak(b->pg);
	assert_int_equal(fake_fabric_destroy(b->fabric), 0);
}

static void drop_listener(struct bad *b)
{
	b->p.v->id_destroy(b->listener);
}

static void test_private_data(void **state)
{
	struct leap_rdma_cm_req req;
	struct leap_rdma_cm_rep rep = { .recfmt = leap_to_le16(1) };
	struct leap_rdma_cm_rej rej = { .sts = 0 };
	unsigned int i;
	struct bad b = { 0 };

	bad_begin(&b);
	memcpy(&req, b.p.cm.priv, sizeof(req));
	assert_int_equal(leap_from_le16(req.recfmt), 0);
	assert_int_equal(leap_from_le16(req.qid), 1);
	assert_int_equal(leap_from_le16(req.hrqsize), RDMA_DEPTH);
	assert_int_equal(leap_from_le16(req.hsqsize), RDMA_DEPTH - 1);
	assert_int_equal(leap_from_le16(req.cntlid), 7);
	bad_accept(&b, &rep, sizeof(rep));
	RDMA_WAIT(b.r.connected, rdma_run_poll(&b.r));
	assert_int_equal(b.r.sys_errno, -EPROTO);
	drop_listener(&b);
	bad_end(&b);
	/* Every code, and some that there are not. */
	for (i = 0; i < 12; i++) {
		bad_begin(&b);
		rej.sts = leap_to_le16((uint16_t)i);
		b.p.v->reject(b.p.id, &rej, i == 11 ? 2 : sizeof(rej));
		RDMA_WAIT(b.r.connected, rdma_run_poll(&b.r));
		assert_int_equal(b.r.sys_errno, i == LEAP_RDMA_REJ_RESOURCES ?
				 -EBUSY : -ECONNREFUSED);
		drop_listener(&b);
		bad_end(&b);
	}
}

/* The next command that comes, or NULL. */
static struct leap_sqe *bad_next(struct bad *b)
{
	int i;

	for (i = 0; i < 100; i++) {
		rdma_run_poll(&b->r);
		while (peer_completion(&b->p))
			if (b->p.wc.id >= 1000 && !b->p.wc.status)
				return (void *)(b->p.in + (b->p.wc.id - 1000) *
						PEER_SLOT);
	}
	return NULL;
}

/* Up to the command that the test answers; @n more are behind it. */
static uint16_t bad_live(struct bad *b, unsigned int n)
{
	struct leap_cqe *cqe;
	struct leap_rdma_cm_rep rep = { .crqsize = leap_to_le16(RDMA_DEPTH) };
	struct leap_sqe *sqe;
	int i;

	bad_begin(b);
	cqe = (void *)b->p.out;
	bad_accept(b, &rep, sizeof(rep));
	for (i = 0; i < 2; i++) {
		b->p.wc.id = 0;
		RDMA_WAIT(b->p.wc.id >= 1000 || (peer_completion(&b->p) &&
						 b->p.wc.id >= 1000),
			  rdma_run_poll(&b->r));
		sqe = (void *)(b->p.in + (b->p.wc.id - 1000) * PEER_SLOT);
		if (i)
			return leap_from_le16(sqe->cid);
		assert_int_equal(sqe->opc, LEAP_ADM_FABRICS);
		memset(cqe, 0, sizeof(*cqe));
		cqe->cid = sqe->cid;
		cqe->result = leap_to_le64(7);
		peer_send(&b->p, sizeof(*cqe));
		rdma_connect(&b->r);
		b->r.may_fail = 1;
		rdma_load(&b->r, 1 + n);
		leap_qp_kick(b->r.qp);
	}
	return 0;
}

static void is_back(struct leap__dmabuf_recall *recall)
{
	recall->upto = UINT64_MAX;
}

/*
 * Commands that are answered while the last of their batch waits for a receive:
 * their payload is let go of when the connection ends in that state.
 */
static void test_answered_early(void **state)
{
	struct leap__dmabuf_recall recall = { .done = is_back };
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct bad b = { .recvs = 1 + RDMA_DEPTH - 2 };
	struct leap__rdma_pool *pool;
	struct leap_cqe *cqe;
	struct leap_sqe *sqe;
	uint16_t cid;

	o.bytes = RDMA_DISK;
	assert_int_equal(leap_dmabuf_create(&o, &b.buf), 0);
	cid = bad_live(&b, RDMA_DEPTH - 2);
	cqe = (void *)b.p.out;
	b.r.left = 0;
	do {
		memset(cqe, 0, sizeof(*cqe));
		cqe->cid = leap_to_le16(cid);
		cqe->result = leap_to_le64(77);
		cqe->status = leap_cqe_status_word(LEAP_SC_INTERNAL, 0);
		peer_send(&b.p, sizeof(*cqe));
		sqe = bad_next(&b);
		cid = sqe ? leap_from_le16(sqe->cid) : 0;
	} while (sqe);
	assert_int_equal(b.r.done, RDMA_DEPTH - 2);
	/* Other queues of this poll group stay. */
	assert_int_equal(leap__rdma_pool_get(b.pg, fake_id(b.fabric, 0, 0)->dev,
					     NULL, LEAP__RDMA_HOSTS, &pool),
			 0);
	fake_break(fake_id(b.fabric, 0, 0));
	RDMA_WAIT(b.r.lost, rdma_run_poll(&b.r));
	leap__dmabuf_recall(b.buf, &recall);
	RDMA_WAIT(recall.upto == UINT64_MAX, rdma_run_poll(&b.r));
	leap__rdma_pool_put(b.pg, pool);
	drop_listener(&b);
	bad_end(&b);
	leap_dmabuf_put(b.buf);
}

/* What a controller may read holds nothing but payload. */
static void test_clean_memory(void **state)
{
	struct bad b = { 0 };
	uint64_t seen = 0, k;
	uint32_t i;

	bad_live(&b, 0);
	for (i = 0; i < FAKE_MRS; i++) {
		const struct leap__v_mr *mr = b.fabric->mrs[i];
		const uint8_t *at;

		if (!mr || mr->pd == b.p.pd || !mr->access)
			continue;
		at = (const uint8_t *)(uintptr_t)mr->addr;
		seen += mr->bytes;
		/* The last half: Connect and one command are before it. */
		for (k = mr->bytes / 2; k < mr->bytes && !at[k]; k++)
			;
		assert_int_equal(k, mr->bytes);
	}
	assert_true(seen >= 2u << 20);
	drop_listener(&b);
	bad_end(&b);
}

static void test_bad_answers(void **state)
{
	unsigned int i;

	for (i = 0; i < 6; i++) {
		struct leap_cqe *cqe;
		struct bad b = { 0 };
		uint16_t cid = bad_live(&b, 0);

		cqe = (void *)b.p.out;
		memset(cqe, 0, sizeof(*cqe));
		cqe->cid = leap_to_le16(i == 0 ? (uint16_t)(cid ^ 0x8000) :
					i == 1 ? 0xffff : cid);
		if (i < 2) {
			/* To no command, or to one of an earlier turn. */
			peer_send(&b.p, sizeof(*cqe));
		} else if (i == 2) {
			peer_send(&b.p, 15);	/* truncated */
		} else if (i == 3) {
			peer_send(&b.p, 0);
		} else if (i == 4) {
			peer_send(&b.p, 17);	/* more than there is room */
		} else {
			/* Twice. */
			cqe->result = leap_to_le64(77);
			peer_send(&b.p, sizeof(*cqe));
			RDMA_WAIT(b.r.done == 1, rdma_run_poll(&b.r));
			peer_send(&b.p, sizeof(*cqe));
		}
		RDMA_WAIT(b.r.lost, rdma_run_poll(&b.r));
		assert_true(b.r.sys_errno < 0);
		assert_int_equal(b.r.done, 1);
		drop_listener(&b);
		bad_end(&b);
	}
}

/* A message that invalidates: a key of ours, or one that there is not. None is
 * ever offered for it. */
static void test_invalidated(void **state)
{
	const struct leap__v_mr *mr;
	unsigned int n;
	uint32_t i;

	for (n = 0; n < 3; n++) {
		struct leap__v_sge sge;
		struct leap__v_wr wr = {
			.sge = &sge, .nr_sge = 1, .op = LEAP__V_SEND_INV,
		};
		struct leap_cqe *cqe;
		struct bad b = { 0 };
		uint16_t cid = bad_live(&b, 0);

		for (i = 0, mr = NULL; !mr || mr->pd == b.p.pd || !mr->access;)
			mr = b.fabric->mrs[i++];
		wr.key = n == 2 ? mr->key ^ 0x10000 : mr->key;
		if (n == 1)
			fake_may_invalidate(b.fabric, mr->key);
		cqe = (void *)b.p.data;
		memset(cqe, 0, sizeof(*cqe));
		cqe->cid = leap_to_le16(cid);
		sge.addr = (uintptr_t)cqe;
		sge.len = sizeof(*cqe);
		sge.lkey = b.p.data_keys.lkey;
		b.p.v->post_send(b.p.qp, &wr, 1);
		RDMA_WAIT(b.r.lost, rdma_run_poll(&b.r));
		assert_int_equal(b.r.failed, 1);
		drop_listener(&b);
		bad_end(&b);
	}
}

/* What an answer says beyond CID and status is not believed: a head that the
 * queue does not have, another queue's number, the bit that is the phase where
 * there are rings. */
static void test_odd_answers(void **state)
{
	struct leap_cqe *cqe;
	struct bad b = { 0 };
	uint16_t cid = bad_live(&b, 0);

	cqe = (void *)b.p.out;
	memset(cqe, 0, sizeof(*cqe));
	cqe->cid = leap_to_le16(cid);
	cqe->sqhd = leap_to_le16(0xffff);
	cqe->sqid = leap_to_le16(0xfffe);
	cqe->status = leap_cqe_status_word(LEAP_SC_INTERNAL, 1);
	b.r.left = 0;
	peer_send(&b.p, sizeof(*cqe));
	RDMA_WAIT(b.r.done == 1, rdma_run_poll(&b.r));
	assert_int_equal(leap_req_status(&b.r.ios[0].req), LEAP_SC_INTERNAL);
	assert_int_equal(b.r.lost, 0);
	/* And the next one goes out. */
	b.r.stop = 0;
	rdma_load(&b.r, 1);
	leap_qp_kick(b.r.qp);
	assert_non_null(bad_next(&b));
	drop_listener(&b);
	bad_end(&b);
}

/* A controller that says that it has one receive, or does not say; and has no
 * more: the others wait, and all get there. */
static void test_few_receives(void **state)
{
	static const uint16_t crqsize[] = { 0, 1, 0xffff };
	unsigned int i;

	for (i = 0; i < COUNT(crqsize); i++) {
		struct leap_rdma_cm_rep rep = {
			.crqsize = leap_to_le16(crqsize[i]),
		};
		struct bad b = { .recvs = 1 };
		struct leap_cqe *cqe;
		struct leap_sqe *sqe;
		unsigned int n;

		bad_begin(&b);
		cqe = (void *)b.p.out;
		bad_accept(&b, &rep, i ? sizeof(rep) : 0);
		for (n = 0; n < RDMA_DEPTH; n++) {
			sqe = bad_next(&b);
			assert_non_null(sqe);
			memset(cqe, 0, sizeof(*cqe));
			cqe->cid = sqe->cid;
			cqe->result = leap_to_le64(n ? 77 : 7);
			cqe->status = leap_cqe_status_word(n ? LEAP_SC_INTERNAL
							   : 0, 0);
			peer_recv(&b.p, 0);
			peer_send(&b.p, sizeof(*cqe));
			if (n)
				continue;
			rdma_connect(&b.r);
			b.r.may_fail = 1;
			rdma_load(&b.r, RDMA_DEPTH - 1);
			leap_qp_kick(b.r.qp);
		}
		RDMA_WAIT(b.r.done == RDMA_DEPTH - 1, rdma_run_poll(&b.r));
		assert_int_equal(b.r.lost, 0);
		drop_listener(&b);
		bad_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private_data),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_invalidated),
		cmocka_unit_test(test_odd_answers),
		cmocka_unit_test(test_few_receives),
		cmocka_unit_test(test_answered_early),
		cmocka_unit_test(test_clean_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
