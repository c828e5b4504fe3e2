/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller end of the RDMA transport, and what a connection manager may
 * tell it: any event at any stage of a connection, and of a listener; requests
 * by the dozen, and those that nobody comes to look at.
 */
#include "rdma-world.h"

#include <errno.h>

/* What a connection may be in the middle of. */
enum stage {
	AT_SETUP,	/* accepted, but not told that it is there */
	AT_ACCEPT,	/* nothing has come */
	AT_CONNECT,	/* Connect waits */
	AT_IDLE,
	AT_EXECUTE,
	AT_READ,	/* of the host's memory */
	AT_CLOSE,
	NR_STAGES
};

static void bring_to(struct world *w, enum stage stage)
{
	struct leap_rdma_cm_req req = peer_req(1, DEPTH);

	if (stage == AT_SETUP) {
		begin(w);
		peer_ask(&w->p, w->f.url, &req, 32, 16, DEPTH);
		w->fabric->mute = 1;
		polls(w);
		w->fabric->mute = 0;
		assert_int_equal(w->f.target.accepted, 1);
		return;
	}
	if (stage < AT_IDLE) {
		link_up(w, DEPTH);
		if (stage == AT_ACCEPT)
			return;
		w->f.target.hold_connect = 1;
		connect_sqe(&w->p, 1);
		peer_send(&w->p, LEAP_SQE_SIZE);
		polls(w);
		return;
	}
	live(w);
	if (stage > AT_IDLE) {
		w->f.delay = 1000000;
		w->fabric->paused = stage == AT_READ;
		send_io(&w->p, LEAP_NVM_WRITE, 0, 8192, 1);
	}
	polls(w);
	if (stage == AT_READ) {
		/* The command arrives; what fetches its data does not go. */
		fake_resume(w->fabric);
		w->fabric->paused = 1;
		polls(w);
	}
	if (stage == AT_CLOSE)
		leap_vqp_close(w->f.target.vqp);
}

/* Whatever waits does so no longer. */
static void let_go(struct world *w)
{
	fake_resume(w->fabric);
	polls(w);
	w->f.delay = 0;
	while (w->f.nr_delayed) {
		w->f.due[0] = 1;
		rdma_poll(&w->f);
	}
	if (w->f.target.held) {
		leap_cmd_complete(w->f.target.held, 0);
		w->f.target.held = NULL;
	}
	w->f.target.hold_connect = 0;
	polls(w);
}

/*
 * Every event at every stage of a connection: those that end it end it, the
 * others are without effect or end it; nothing is left, nothing is answered
 * twice, and the next host is served.
 */
static void event_in(unsigned int type, enum stage stage)
{
	struct leap__v_id *id;
	struct world w;
	int ends;

	bring_to(&w, stage);
	id = fake_id(w.fabric, 1, 0);
	if (id)
		fake_event(id, type, 0, NULL, 0);
	polls(&w);
	let_go(&w);
	ends = type == LEAP__V_DISCONNECTED || type == LEAP__V_ADDR_CHANGE ||
	       type == LEAP__V_DEVICE_REMOVAL;
	if (ends || stage == AT_CLOSE)
		gone(&w);
	if (type == LEAP__V_TIMEWAIT_EXIT || type == LEAP__V_OTHER ||
	    type == LEAP__V_ESTABLISHED)
		assert_int_equal(w.f.target.lost, stage == AT_CLOSE);
	/* Which a host may say to our accept. */
	if (type == LEAP__V_REJECTED && stage != AT_CLOSE) {
		assert_int_equal(w.f.target.lost, 1);
		assert_int_equal(w.f.target.lost_err, -ECONNREFUSED);
	}
	/* The next one. */
	peer_fini(&w.p);
	peer_init(&w.p, w.fabric);
	request(&w, 1, LEAP__V_ESTABLISHED);
	finish(&w);
}

static void test_events(void **state)
{
	unsigned int type, s;

	for (type = 0; type < LEAP__V_NR_EVENTS; type++)
		for (s = 0; s < NR_STAGES; s++)
			event_in(type, s);
}

/* A listener's device goes, or changes: it listens again. */
static void test_listener_events(void **state)
{
	unsigned int type;

	for (type = 0; type < LEAP__V_NR_EVENTS; type++) {
		struct leap__v_id *id;
		struct world w;
		int restarts = type == LEAP__V_DEVICE_REMOVAL ||
			       type == LEAP__V_ADDR_CHANGE;

		if (type == LEAP__V_CONNECT_REQUEST)
			continue;
		begin(&w);
		for (id = w.fabric->ids; id->state != FAKE_LISTENING;)
			id = id->next;
		fake_event(id, type, 0, NULL, 0);
		polls(&w);
		if (restarts) {
			assert_int_equal(w.fabric->nr_ids, 0);
			RDMA_WAIT(w.fabric->nr_ids == 1, rdma_poll(&w.f));
		}
		request(&w, 1, LEAP__V_ESTABLISHED);
		finish(&w);
	}
}

/* Many at once: others of the poll group have their turn between them. */
static void test_request_flood(void **state)
{
	struct leap_rdma_cm_req req = peer_req(1, DEPTH);
	struct peer p[64];
	struct world w;
	unsigned int i;

	begin(&w);
	for (i = 0; i < COUNT(p); i++) {
		peer_init(&p[i], w.fabric);
		peer_ask(&p[i], w.f.url, &req, 32, 16, 1);
	}
	rdma_poll(&w.f);
	rdma_poll(&w.f);
	assert_in_range(w.f.target.accepted, 1, COUNT(p) / 2);
	RDMA_WAIT(w.f.target.accepted == COUNT(p), rdma_poll(&w.f));
	for (i = 0; i < COUNT(p); i++)
		peer_fini(&p[i]);
	finish(&w);
}

static unsigned int is_refused(struct peer *p)
{
	struct leap_rdma_cm_rej rej;

	if (!peer_event(p))
		return 0;
	assert_int_equal(p->cm.type, LEAP__V_REJECTED);
	memcpy(&rej, p->cm.priv, sizeof(rej));
	assert_int_equal(leap_from_le16(rej.recfmt), 0);
	assert_int_equal(leap_from_le16(rej.sts), LEAP_RDMA_REJ_RESOURCES);
	return 1;
}

/* More than a target may have: nothing is made for them, and when one has left
 * the next is served. */
static void test_full(void **state)
{
	struct leap_rdma_cm_req req = peer_req(1, DEPTH);
	unsigned int i, refused = 0;
	struct peer p[20];
	struct world w;
	uint64_t made;

	begin(&w);
	w.f.target.opts.max_connections = 1;
	request(&w, 1, LEAP__V_ESTABLISHED);
	for (i = 0; i < COUNT(p); i++) {
		peer_init(&p[i], w.fabric);
		peer_ask(&p[i], w.f.url, &req, 32, 16, 1);
	}
	made = w.fabric->nr_qps_made;
	/* Whatever is made counts it down. */
	w.fabric->fail_calls = 1000;
	polls(&w);
	assert_int_equal(w.fabric->fail_calls, 1000);
	assert_int_equal(w.fabric->nr_qps_made, made);
	for (i = 0; i < COUNT(p); i++)
		refused += is_refused(&p[i]);
	assert_int_equal(refused, COUNT(p));
	w.fabric->fail_calls = 0;
	for (i = 0; i < COUNT(p); i++)
		peer_fini(&p[i]);
	assert_int_equal(w.f.target.accepted, 1);
	peer_fini(&w.p);
	RDMA_WAIT(w.f.target.gone == 1, rdma_poll(&w.f));
	peer_init(&w.p, w.fabric);
	request(&w, 1, LEAP__V_ESTABLISHED);
	finish(&w);
}

/* Requests that nobody has looked at when the listener stops. */
static void test_unlisten(void **state)
{
	struct leap_rdma_cm_req req = peer_req(1, DEPTH);
	struct world w;

	begin(&w);
	peer_ask(&w.p, w.f.url, &req, 32, 16, DEPTH);
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_listener_events),
		cmocka_unit_test(test_request_flood),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_unlisten),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	/* Again, with fewer shared receives than there are
	 * entries of queues. */
	rdma_srq = 12;
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
