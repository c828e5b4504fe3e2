/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller end of the RDMA transport and keys: those of the host, which
 * it reads, writes and invalidates; wrong ones; and those that are not the
 * host's to use.
 */
#include "rdma-world.h"

/* The host wants its key invalidated; others stay as they are. */
static void invalidate(int iwarp)
{
	struct world w;
	uint32_t key;

	live_on(&w, iwarp);
	key = w.p.data_keys.rkey;
	/* Which the transport may not do to a command's failure, either. */
	memset(w.f.disk, 0x5a, 512);
	keyed(io(&w.p, LEAP_NVM_READ, 0, 512, 1), (uintptr_t)w.p.data, 512, key,
	      LEAP_SGL_SUB_ADDRESS);
	peer_send(&w.p, LEAP_SQE_SIZE);
	status_is(&w, 1, 0);
	assert_int_equal(w.p.wc.flags, 0);
	assert_false(fake_is_invalid(w.fabric, key));
	fake_may_invalidate(w.fabric, key);
	keyed(io(&w.p, LEAP_NVM_READ, 0, 512, 2), (uintptr_t)w.p.data, 512, key,
	      LEAP_SGL_SUB_INVALIDATE);
	peer_send(&w.p, LEAP_SQE_SIZE);
	status_is(&w, 2, 0);
	assert_int_equal(w.p.wc.flags, LEAP__V_WITH_INV);
	assert_true(fake_is_invalid(w.fabric, key));
	assert_memory_equal(w.p.data, w.f.disk, 512);
	finish(&w);
}

static void test_invalidate(void **state)
{
	invalidate(0);
	invalidate(1);
}

/* A message that invalidates a key of ours, which was never given. */
static void test_invalidates_ours(void **state)
{
	struct leap__rdma_conn *c;
	struct leap__v_sge sge;
	struct leap__v_wr wr = {
		.id = 7, .sge = &sge, .nr_sge = 1, .op = LEAP__V_SEND_INV,
		.flags = LEAP__V_SIGNALED,
	};
	struct world w;
	uint32_t n;

	for (n = 0; n < 2; n++) {
		live(&w);
		c = &((struct target *)w.f.target.vqp)->c;
		wr.key = c->pool->lkey;
		/* A device that lets it, and one that does not. */
		if (n)
			fake_may_invalidate(w.fabric, wr.key);
		sge.addr = (uintptr_t)w.p.data;
		sge.len = LEAP_SQE_SIZE;
		sge.lkey = w.p.data_keys.lkey;
		memset(w.p.data, 0, LEAP_SQE_SIZE);
		assert_int_equal(w.p.v->post_send(w.p.qp, &wr, 1), 0);
		polls(&w);
		/* Without receives of its own it learns of it from the host. */
		if (rdma_srq && !n)
			assert_int_equal(w.p.v->disconnect(w.p.id), 0);
		gone(&w);
		assert_null(answer(&w));
		assert_int_equal(w.f.executed, 0);
		finish(&w);
	}
}

/* Keys and places that are not the host's to name. */
static void test_wrong_keys(void **state)
{
	struct world w;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		uint32_t key, len = 4096;
		uint64_t at;

		live(&w);
		key = w.p.data_keys.rkey;
		at = (uintptr_t)w.p.data;
		if (i / 2 == 0)
			key ^= 0x10000;
		else if (i / 2 == 1)
			at += PEER_DATA - 100;
		else if (i / 2 == 2)
			at = UINT64_MAX - 100;
		else
			key = w.p.keys.rkey;	/* not for remote use */
		keyed(io(&w.p, i & 1 ? LEAP_NVM_READ : LEAP_NVM_WRITE, 0, len,
			 1), at, len, key, 0);
		peer_send(&w.p, LEAP_SQE_SIZE);
		gone(&w);
		assert_null(answer(&w));
		finish(&w);
	}
}

/* READs of the host's memory as many as it and our device allow; and of ours
 * none, whatever it asks for. */
static void test_nr_reads(void **state)
{
	static const uint8_t ird[] = { 1, 15, 16, 17, 255 };
	struct leap_rdma_cm_req req = peer_req(1, DEPTH);
	const struct leap__v_id *id;
	unsigned int i, n;
	struct world w;

	for (i = 0; i < COUNT(ird); i++) {
		begin(&w);
		peer_ask(&w.p, w.f.url, &req, 32, ird[i], DEPTH);
		polls(&w);
		assert_int_equal(peer_event(&w.p), 1);
		assert_int_equal(w.p.cm.type, LEAP__V_ESTABLISHED);
		n = ird[i] < 16 ? ird[i] : 16;
		id = fake_id(w.fabric, 1, 0);
		assert_int_equal(id->ord, n);
		assert_int_equal(id->ird, 0);
		assert_int_equal(((struct target *)w.f.target.vqp)->max_reads,
				 n);
		finish(&w);
	}
}

/* What others of this process give keys of, on the same device. */
static const struct leap__v_mr *given(const struct world *w)
{
	const struct leap__v_mr *mr;
	uint32_t i;

	for (i = 0; i < FAKE_MRS; i++) {
		mr = w->fabric->mrs[i];
		if (mr && mr->access & LEAP__V_REMOTE_WRITE &&
		    mr->pd != w->p.pd)
			return mr;
	}
	return NULL;
}

/* A host that guesses the key of what a host end here has given a controller
 * gets at nothing. */
static void test_guessed_key(void **state)
{
	const struct leap__v_mr *mr;
	struct leap__v_sge sge;
	struct rdma_run r = { 0 };
	struct leap__v_wr wr = {
		.id = 7, .sge = &sge, .nr_sge = 1, .op = LEAP__V_WRITE,
		.flags = LEAP__V_SIGNALED,
	};
	struct world w;

	live(&w);
	rdma_open(&r, &w.f, w.pg, 1, 0, 8192);
	rdma_connect(&r);
	mr = given(&w);
	assert_non_null(mr);
	sge.addr = (uintptr_t)w.p.data;
	sge.len = 4096;
	sge.lkey = w.p.data_keys.lkey;
	wr.key = mr->key;
	wr.remote = mr->addr;
	memset(w.p.data, 0x77, 4096);
	assert_int_equal(w.p.v->post_send(w.p.qp, &wr, 1), 0);
	while (peer_completion(&w.p) && w.p.wc.id != 7)
		;
	assert_int_equal(w.p.wc.id, 7);
	assert_int_equal(w.p.wc.status, LEAP__V_ACCESS);
	/* The other queue has nothing to do with it. */
	rdma_ios(&r, 20);
	rdma_close(&r);
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invalidate),
		cmocka_unit_test(test_invalidates_ours),
		cmocka_unit_test(test_wrong_keys),
		cmocka_unit_test(test_nr_reads),
		cmocka_unit_test(test_guessed_key),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	/* Again, with fewer shared receives than there are
	 * entries of queues. */
	rdma_srq = 12;
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
