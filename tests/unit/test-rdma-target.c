/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller end of the RDMA transport against a host that does what it
 * likes: private data, descriptors, capsules too short, queues flooded, and
 * receives that are missing. What it does with keys is in
 * test-rdma-target-keys.c, its end at any moment in test-rdma-target-events.c.
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

/* The head of the host's queue, in each answer, as often as it goes round; a
 * queue may be shorter than what was asked for. None for a host that wants
 * none. */
static void heads(uint16_t entries, uint8_t cattr)
{
	struct leap_fab_connect *con;
	const struct leap_cqe *cqe;
	struct world w;
	unsigned int i;

	link_up(&w, DEPTH);
	connect_sqe(&w.p, 1);
	con = (void *)w.p.out;
	con->sqsize = leap_to_le16((uint16_t)(entries - 1));
	con->cattr = cattr;
	peer_send(&w.p, LEAP_SQE_SIZE);
	for (i = 1; i < 50; i++) {
		cqe = answer(&w);
		assert_non_null(cqe);
		assert_int_equal(leap_cqe_status(cqe), 0);
		assert_int_equal(leap_from_le16(cqe->sqhd), !cattr ?
				 i % entries : i == 1 ? 0xffff : 0);
		peer_recv(&w.p, (uint32_t)(w.p.wc.id - 1000));
		send_io(&w.p, LEAP_NVM_READ, 0, 512, (uint16_t)i);
	}
	assert_non_null(answer(&w));
	finish(&w);
}

static void test_heads(void **state)
{
	heads(DEPTH, 0);
	heads(3, 0);
	heads(2, 0);
	heads(DEPTH, LEAP_CATTR_NO_SQFLOW);
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
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_same_cid),
		cmocka_unit_test(test_late_read),
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
