/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller end of the RDMA transport against a host that does what it
 * likes: private data, descriptors, capsules too short, queues flooded, keys
 * that are wrong, and receives that are missing. Its end at any moment is in
 * test-rdma-target-events.c.
 */
#include "rdma-world.h"

/* ---- private data ---- */

static void rejected(const void *priv, uint32_t len, uint8_t ird,
		     unsigned int sts)
{
	struct leap_rdma_cm_rej rej;
	struct world w;

	begin(&w);
	peer_ask(&w.p, w.f.url, priv, len, ird, DEPTH);
	polls(&w);
	assert_int_equal(peer_event(&w.p), 1);
	assert_int_equal(w.p.cm.type, LEAP__V_REJECTED);
	memcpy(&rej, w.p.cm.priv, sizeof(rej));
	assert_int_equal(leap_from_le16(rej.recfmt), 0);
	assert_int_equal(leap_from_le16(rej.sts), sts);
	assert_int_equal(w.f.target.accepted, 0);
	finish(&w);
}

static void test_rejections(void **state)
{
	struct leap_rdma_cm_req req = peer_req(1, DEPTH);

	rejected(&req, 31, 16, LEAP_RDMA_REJ_LENGTH);
	rejected(&req, 4, 16, LEAP_RDMA_REJ_LENGTH);
	req.recfmt = leap_to_le16(1);
	rejected(&req, 32, 16, LEAP_RDMA_REJ_RECFMT);
	req = peer_req(65, DEPTH);
	rejected(&req, 32, 16, LEAP_RDMA_REJ_QID);
	req = peer_req(1, 129);
	rejected(&req, 32, 16, LEAP_RDMA_REJ_HSQSIZE);
	req = peer_req(0, 129);
	rejected(&req, 32, 16, LEAP_RDMA_REJ_HSQSIZE);
	req = peer_req(1, 1);
	rejected(&req, 32, 16, LEAP_RDMA_REJ_HSQSIZE);
	req = peer_req(1, DEPTH);
	req.hsqsize = leap_to_le16(0xffff);
	rejected(&req, 32, 16, LEAP_RDMA_REJ_HSQSIZE);
	req = peer_req(1, DEPTH);
	req.hrqsize = leap_to_le16(0);
	rejected(&req, 32, 16, LEAP_RDMA_REJ_HRQSIZE);
	req = peer_req(1, DEPTH);
	rejected(&req, 32, 0, LEAP_RDMA_REJ_IRD);
}

/* Whatever of its own it cannot make, it says that it has none. */
static void test_no_resources(void **state)
{
	struct leap_rdma_cm_req req = peer_req(1, DEPTH);
	struct leap_rdma_cm_rej rej;
	int n, refused = 0, own = 0, all = 0;
	struct world w;

	for (n = 1; !all; n++) {
		begin(&w);
		peer_ask(&w.p, w.f.url, &req, 32, 16, DEPTH);
		w.fabric->fail_calls = n;
		polls(&w);
		/* None was left to fail. */
		all = w.fabric->fail_calls != 0;
		w.fabric->fail_calls = 0;
		assert_int_equal(peer_event(&w.p), 1);
		if (w.p.cm.type == LEAP__V_ESTABLISHED) {
			/* Who cannot share has receives of its own. */
			own += !all;
		} else {
			assert_int_equal(w.p.cm.type, LEAP__V_REJECTED);
			memcpy(&rej, w.p.cm.priv, sizeof(rej));
			/* That of accept itself has no room for words. */
			refused += leap_from_le16(rej.sts) ==
				   LEAP_RDMA_REJ_RESOURCES;
		}
		finish(&w);
	}
	assert_true(refused >= 6);
	assert_int_equal(own, rdma_srq ? 2 : 0);
	begin(&w);
	w.f.target.refuse = -EMFILE;
	request(&w, 1, LEAP__V_REJECTED);
	finish(&w);
}

/* ---- capsules ---- */

static void test_truncated(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 63 };
	struct world w;
	unsigned int i;

	for (i = 0; i < COUNT(sizes); i++) {
		link_up(&w, DEPTH);
		connect_sqe(&w.p, 1);
		peer_send(&w.p, sizes[i]);
		gone(&w);
		finish(&w);
	}
	/* And one that is longer than any capsule. */
	link_up(&w, DEPTH);
	connect_sqe(&w.p, 1);
	peer_send(&w.p, 64 + 8192 + 1);
	gone(&w);
	finish(&w);
}

static void test_other_queue(void **state)
{
	struct world w;

	link_up(&w, DEPTH);
	connect_sqe(&w.p, 2);
	peer_send(&w.p, LEAP_SQE_SIZE);
	status_is(&w, 0, LEAP_SC_FAB_PARAM);
	finish(&w);
}

/* More commands than the queue holds, while none of them ends. */
static void test_flood(void **state)
{
	struct world w;
	int i;

	live(&w);
	w.f.delay = 1000000;
	for (i = 0; i < DEPTH + 1; i++) {
		send_io(&w.p, LEAP_NVM_READ, 0, 512, (uint16_t)i);
		rdma_poll(&w.f);
	}
	RDMA_WAIT(w.f.target.lost == 1, rdma_poll(&w.f));
	assert_true(w.f.executed <= DEPTH);
	w.f.delay = 0;
	for (i = 0; i < (int)w.f.nr_delayed; i++)
		w.f.due[i] = 1;
	gone(&w);
	finish(&w);
}

/* Those that it should refuse, it refuses, and goes on. */
static void test_descriptors(void **state)
{
	struct leap_sqe *sqe;
	struct world w;

	live(&w);
	/* Not an SGL. */
	sqe = io(&w.p, LEAP_NVM_WRITE, 0, 512, 1);
	keyed(sqe, (uintptr_t)w.p.data, 512, w.p.data_keys.rkey, 0);
	sqe->flags = 0;
	peer_send(&w.p, LEAP_SQE_SIZE);
	status_is(&w, 1, LEAP_SC_INVALID_FIELD);
	/* A type, and a subtype, that there are not. */
	sqe = io(&w.p, LEAP_NVM_WRITE, 0, 512, 2);
	keyed(sqe, (uintptr_t)w.p.data, 512, w.p.data_keys.rkey, 0);
	sqe->sgl1.type = LEAP_SGL_ID(LEAP_SGL_TYPE_TRANSPORT, 0xa);
	peer_send(&w.p, LEAP_SQE_SIZE);
	status_is(&w, 2, LEAP_SC_SGL_TYPE);
	sqe = io(&w.p, LEAP_NVM_WRITE, 0, 512, 3);
	keyed(sqe, (uintptr_t)w.p.data, 512, w.p.data_keys.rkey, 3);
	peer_send(&w.p, LEAP_SQE_SIZE);
	status_is(&w, 3, LEAP_SC_INVALID_FIELD);
	/* Shorter than what it moves. */
	keyed(io(&w.p, LEAP_NVM_READ, 0, 512, 4), (uintptr_t)w.p.data, 511,
	      w.p.data_keys.rkey, 0);
	peer_send(&w.p, LEAP_SQE_SIZE);
	status_is(&w, 4, LEAP_SC_SGL_DATA_LEN);
	keyed(io(&w.p, LEAP_NVM_WRITE, 0, 512, 4), (uintptr_t)w.p.data, 0,
	      w.p.data_keys.rkey, LEAP_SGL_SUB_INVALIDATE);
	peer_send(&w.p, LEAP_SQE_SIZE);
	status_is(&w, 4, LEAP_SC_SGL_DATA_LEN);
	/* In-capsule data that reads, that is not there, or not all there. */
	in_capsule(io(&w.p, LEAP_NVM_READ, 0, 512, 5), 0, 512);
	peer_send(&w.p, LEAP_SQE_SIZE + 512);
	status_is(&w, 5, LEAP_SC_INVALID_FIELD);
	in_capsule(io(&w.p, LEAP_NVM_WRITE, 0, 512, 6), 0, 512);
	peer_send(&w.p, LEAP_SQE_SIZE);
	status_is(&w, 6, LEAP_SC_SGL_DATA_LEN);
	in_capsule(io(&w.p, LEAP_NVM_WRITE, 0, 512, 7), 1, 512);
	peer_send(&w.p, LEAP_SQE_SIZE + 512);
	status_is(&w, 7, LEAP_SC_SGL_OFFSET);
	in_capsule(io(&w.p, LEAP_NVM_WRITE, 0, 512, 8), 256, UINT32_MAX);
	peer_send(&w.p, LEAP_SQE_SIZE + 512);
	status_is(&w, 8, LEAP_SC_SGL_OFFSET);
	in_capsule(io(&w.p, LEAP_NVM_WRITE, 0, 512, 8), UINT64_MAX, 512);
	peer_send(&w.p, LEAP_SQE_SIZE + 512);
	status_is(&w, 8, LEAP_SC_SGL_OFFSET);
	/* Data in the middle of what came. */
	in_capsule(io(&w.p, LEAP_NVM_WRITE, 0, 4, 9), 8, 4);
	memcpy(w.p.out + LEAP_SQE_SIZE + 8, "data", 4);
	peer_send(&w.p, LEAP_SQE_SIZE + 512);
	status_is(&w, 9, 0);
	assert_memory_equal(w.f.disk, "data", 4);
	/* Larger than all that there is. */
	send_io(&w.p, LEAP_NVM_READ, 0, 2 << 20, 10);
	status_is(&w, 10, LEAP_SC_INVALID_FIELD);
	assert_int_equal(w.f.target.lost, 0);
	finish(&w);
}

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

/* Two at once with one CID, which is the host's business: each is executed, and
 * answered once. */
static void test_same_cid(void **state)
{
	struct world w;
	unsigned int i;

	live(&w);
	w.f.delay = 4;
	memset(w.p.data, 0x31, 512);
	memset(w.p.data + 512, 0x32, 512);
	for (i = 0; i < 2; i++) {
		keyed(io(&w.p, LEAP_NVM_WRITE, 512 * i, 512, 9),
		      (uintptr_t)w.p.data + 512 * i, 512, w.p.data_keys.rkey,
		      0);
		peer_send(&w.p, LEAP_SQE_SIZE);
	}
	status_is(&w, 9, 0);
	status_is(&w, 9, 0);
	assert_null(answer(&w));
	assert_memory_equal(w.f.disk, w.p.data, 1024);
	finish(&w);
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

/* A device that says that an answer is out while a READ before it is not: the
 * command that needs it is not begun. */
static void test_late_read(void **state)
{
	struct world w;

	live(&w);
	w.fabric->late_reads = 1;
	memset(w.p.data, 0x11, 8192);
	send_io(&w.p, LEAP_NVM_WRITE, 65536, 8192, 1);
	polls(&w);
	keyed(io(&w.p, LEAP_NVM_READ, 0, 512, 2), (uintptr_t)w.p.data + 16384,
	      512, w.p.data_keys.rkey, 0);
	peer_send(&w.p, LEAP_SQE_SIZE);
	status_is(&w, 2, 0);
	assert_null(answer(&w));
	memset(w.p.data, 0x22, 8192);
	fake_end_late(w.fabric);
	status_is(&w, 1, 0);
	assert_memory_equal(w.f.disk + 65536, w.p.data, 8192);
	finish(&w);
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

/* A host that posts no receive for its answer: it waits, and gets it. */
static void test_slow_peer(void **state)
{
	struct world w;
	int i;

	link_up(&w, 1);
	connect_sqe(&w.p, 1);
	peer_send(&w.p, LEAP_SQE_SIZE);
	assert_non_null(answer(&w));
	for (i = 0; i < DEPTH - 1; i++) {
		send_io(&w.p, LEAP_NVM_READ, 0, 512, (uint16_t)i);
	}
	polls(&w);
	assert_int_equal(w.f.executed, DEPTH - 1);
	assert_null(answer(&w));
	for (i = 0; i < DEPTH - 1; i++) {
		peer_recv(&w.p, 0);
		assert_non_null(answer(&w));
	}
	assert_int_equal(w.f.target.lost, 0);
	/* And one that never does, ends the day with the connection. */
	send_io(&w.p, LEAP_NVM_READ, 0, 512, 99);
	polls(&w);
	leap_vqp_close(w.f.target.vqp);
	gone(&w);
	finish(&w);
}

static void ask_reads(struct world *w, unsigned int n)
{
	unsigned int i;

	link_up(w, 1);
	connect_sqe(&w->p, 1);
	peer_send(&w->p, LEAP_SQE_SIZE);
	assert_non_null(answer(w));
	for (i = 0; i < n; i++) {
		send_io(&w->p, LEAP_NVM_READ, 0, 512, (uint16_t)i);
		polls(w);
	}
}

/* A host that never posts one keeps what waits for it only so long. */
static void test_stalled_peer(void **state)
{
	struct world w;

	ask_reads(&w, 1);
	/* Connect was answered in the first time. */
	assert_true(stall_time(&w));
	assert_int_equal(w.f.target.lost, 0);
	assert_true(stall_time(&w));
	gone(&w);
	finish(&w);
}

/* One that is slow, and moves on, is not cut off. */
static void test_slow_not_stalled(void **state)
{
	struct world w;
	int i;

	ask_reads(&w, 8);
	for (i = 0; i < 8; i++) {
		assert_true(stall_time(&w));
		peer_recv(&w.p, 0);
		assert_non_null(answer(&w));
		polls(&w);
	}
	/* And nothing is waited for when nothing is out. */
	stall_time(&w);
	assert_false(stall_time(&w));
	assert_int_equal(w.f.target.lost, 0);
	finish(&w);
}

/* Closed while its Connect is out, and then the host takes no answer. */
static void test_close_at_connect(void **state)
{
	struct world w;

	link_up(&w, 0);
	w.f.target.hold_connect = 1;
	connect_sqe(&w.p, 1);
	peer_send(&w.p, LEAP_SQE_SIZE);
	RDMA_WAIT(w.f.target.held, rdma_poll(&w.f));
	/* Something is being sent, so it lingers. */
	w.fabric->paused = 1;
	leap_vqp_close(w.f.target.vqp);
	leap_cmd_complete(w.f.target.held, 0);
	w.f.target.held = NULL;
	gone(&w);
	finish(&w);
}

/* An admin capsule has no data: there is no room for it. */
static void test_admin_capsule(void **state)
{
	struct world w;

	begin(&w);
	request(&w, 0, LEAP__V_ESTABLISHED);
	connect_sqe(&w.p, 0);
	in_capsule((struct leap_sqe *)(void *)w.p.out, 0, 1024);
	peer_send(&w.p, LEAP_SQE_SIZE + 1024);
	gone(&w);
	finish(&w);
}

/* A device that reads nothing would leave every write waiting. */
static void test_no_reads(void **state)
{
	struct world w;

	begin(&w);
	w.fabric->dev.caps.max_ord = 0;
	request(&w, 1, LEAP__V_REJECTED);
	finish(&w);
}

/* One that says nothing after the connection is there. */
static void test_silent(void **state)
{
	struct world w;

	link_up(&w, DEPTH);
	polls(&w);
	assert_int_equal(w.f.target.lost, 0);
	assert_int_equal(w.p.v->disconnect(w.p.id), 0);
	gone(&w);
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rejections),
		cmocka_unit_test(test_no_resources),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_other_queue),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_invalidate),
		cmocka_unit_test(test_same_cid),
		cmocka_unit_test(test_invalidates_ours),
		cmocka_unit_test(test_late_read),
		cmocka_unit_test(test_wrong_keys),
		cmocka_unit_test(test_nr_reads),
		cmocka_unit_test(test_guessed_key),
		cmocka_unit_test(test_slow_peer),
		cmocka_unit_test(test_stalled_peer),
		cmocka_unit_test(test_slow_not_stalled),
		cmocka_unit_test(test_close_at_connect),
		cmocka_unit_test(test_admin_capsule),
		cmocka_unit_test(test_no_reads),
		cmocka_unit_test(test_silent),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	/* Again, with fewer shared receives than there are
	 * entries of queues. */
	rdma_srq = 12;
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
