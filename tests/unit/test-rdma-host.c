/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of the RDMA transport: every event in every state, a hand-shake
 * with any event in place of another, everything that can fail failing once,
 * connections that break after any number of operations, a device that is
 * pulled out, and controllers that answer wrongly.
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

static void begin(struct rdma_pair *w)
{
	rdma_pair_init_two(w);
	rdma_pair_start(w, "127.0.0.1");
}

static void polls(struct rdma_pair *w, int n)
{
	while (n--)
		rdma_run_poll(&w->r);
}

/* The next host is served as if nothing had been. */
static void serves(struct rdma_pair *w)
{
	memset(&w->r, 0, sizeof(w->r));
	rdma_open(&w->r, &w->f, w->host, 1, 0, 8192);
	rdma_connect(&w->r);
	rdma_ios(&w->r, 40);
	rdma_close(&w->r);
}

static int is_fatal(unsigned int type)
{
	return type != LEAP__V_TIMEWAIT_EXIT && type != LEAP__V_OTHER &&
	       type != LEAP__V_CONNECT_REQUEST;
}

/* ---- events ---- */

enum { RESOLVING, ROUTING, ASKING, LIVE, LOADED, NR_STATES };

/* As far as @state, and there one event. */
static void event_in(unsigned int type, unsigned int state)
{
	static const uint8_t last[] = { LEAP__V_ADDR_RESOLVED,
					LEAP__V_ROUTE_RESOLVED,
					LEAP__V_ESTABLISHED };
	struct rdma_pair w;

	begin(&w);
	if (state < LIVE) {
		/* Instead of what it waits for. */
		w.fabric->swap_on = 1;
		w.fabric->swap_from = last[state];
		w.fabric->swap_to = (uint8_t)type;
		w.fabric->swap_status = -EHOSTUNREACH;
	}
	rdma_open(&w.r, &w.f, w.host, 1, 0, 8192);
	w.r.may_fail = 1;
	if (state >= LIVE) {
		rdma_connect(&w.r);
		if (state == LOADED)
			rdma_load(&w.r, 1u << 30);
		fake_event(fake_id(w.fabric, 0, 0), type, 0, NULL, 0);
	}
	polls(&w, 100);
	w.r.stop = 1;
	polls(&w, 100);
	if (state >= LIVE) {
		assert_int_equal(w.r.connected, 1);
		assert_int_equal(w.r.lost, is_fatal(type) ? 1 : 0);
	} else if (type == last[state]) {
		assert_int_equal(w.r.connected, 1);
		assert_int_equal(w.r.status, 0);
	} else if (is_fatal(type)) {
		assert_int_equal(w.r.connected, 1);
		assert_true(w.r.status && w.r.sys_errno < 0);
	} else {
		/* It waits on, until its time is over. */
		assert_int_equal(w.r.connected, 0);
	}
	rdma_close(&w.r);
	assert_int_equal(w.r.lost + !!w.r.status <= 1, 1);
	serves(&w);
	rdma_pair_end(&w);
}

static void test_events(void **state)
{
	unsigned int type, s;

	for (type = 0; type < LEAP__V_NR_EVENTS; type++)
		for (s = 0; s < NR_STATES; s++)
			event_in(type, s);
}

/* Nobody listens; and nobody answers. */
static void test_nobody(void **state)
{
	struct rdma_pair w;

	begin(&w);
	strcpy(strchr(w.f.url + 8, ':'), ":1/" RDMA_NQN);
	rdma_open(&w.r, &w.f, w.host, 1, 0, 8192);
	RDMA_WAIT(w.r.connected, rdma_run_poll(&w.r));
	assert_int_equal(w.r.sys_errno, -ECONNREFUSED);
	rdma_close(&w.r);
	w.fabric->mute = 1;
	rdma_open(&w.r, &w.f, w.host, 1, 0, 8192);
	polls(&w, 50);
	assert_int_equal(w.r.connected, 0);
	rdma_close(&w.r);
	w.fabric->mute = 0;
	rdma_pair_end(&w);
}

static void test_bad_urls(void **state)
{
	static const char *const urls[] = {
		"rdma://127.0.0.1/" RDMA_NQN, "rdma://host:4420/" RDMA_NQN,
		"rdma://[::1:4420/" RDMA_NQN, "rdma://:/" RDMA_NQN,
		"rdma://127.0.0.1:65536/" RDMA_NQN,
	};
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	struct leap_qp *qp;
	struct rdma_pair w;
	unsigned int i;

	begin(&w);
	for (i = 0; i < COUNT(urls); i++) {
		opts.url = urls[i];
		assert_int_equal(leap_qp_connect(w.host, &opts, &qp), -EINVAL);
	}
	rdma_pair_end(&w);
}

/* A build without the libraries says so. */
static void test_not_built(void **state)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	struct leap_qp *qp;
	char bound[64];
	struct rdma_pair w;

	begin(&w);
	assert_int_equal(leap__rdma_use(w.host, NULL), 0);
	opts.url = w.f.url;
	assert_int_equal(leap_qp_connect(w.host, &opts, &qp),
			 -EPROTONOSUPPORT);
	assert_last_error("rdma");
	leap__rdma_unlisten(&w.f.target.listener);
	assert_int_equal(leap__rdma_use(w.pg, NULL), 0);
	assert_int_equal(leap__rdma_listen(&w.f.target.listener, "0.0.0.0:0",
					   bound, sizeof(bound)),
			 -EPROTONOSUPPORT);
	assert_int_equal(leap__rdma_use(w.pg, &w.fabric->v), 0);
	w.fabric->fail_calls = 1;
	assert_int_equal(leap__rdma_listen(&w.f.target.listener, "0.0.0.0:0",
					   bound, sizeof(bound)), -ENODEV);
	assert_last_error("no RDMA device");
	assert_int_equal(leap__rdma_use(w.host, &w.fabric->v), 0);
	rdma_pair_end(&w);
}

/* ---- faults ---- */

/* Whatever is made on the way to a connection, at either end, fails once. */
static void test_failing_calls(void **state)
{
	int n, failed = 0;

	for (n = 1; ; n++) {
		struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
		struct leap_qp *qp = NULL;
		struct rdma_pair w;
		int left;

		begin(&w);
		opts.url = w.f.url;
		w.fabric->fail_calls = n;
		if (n <= 3) {
			/* Before connect returns. */
			assert_true(leap_qp_connect(w.host, &opts, &qp) < 0);
			failed++;
			rdma_pair_end(&w);
			continue;
		}
		rdma_open(&w.r, &w.f, w.host, 1, 0, 8192);
		RDMA_WAIT(w.r.connected, rdma_run_poll(&w.r));
		left = w.fabric->fail_calls;
		w.fabric->fail_calls = 0;
		failed += !left;
		assert_int_equal(!w.r.status, left != 0);
		rdma_close(&w.r);
		serves(&w);
		rdma_pair_end(&w);
		if (left)
			break;
	}
	assert_true(failed >= 15);
}

/* Emulated and instrumented builds do fewer. */
static unsigned int step(void)
{
	const char *cross = getenv("LEAP_CROSS");
	const char *instrumented = getenv("LEAP_INSTRUMENTED");

	return (cross && *cross) || (instrumented && *instrumented) ? 11 : 1;
}

/* The connection breaks after any number of operations, quietly or not. */
static void test_breaks(void **state)
{
	unsigned int n, how;

	for (how = 0; how < 3; how++)
		for (n = 1; n < 150; n += step()) {
			struct rdma_pair w;

			begin(&w);
			w.f.delay = n % 3;
			if (how == 0)
				w.fabric->die_after = n;
			else if (how == 1)
				w.fabric->leave_after = n;
			rdma_open(&w.r, &w.f, w.host, 1, 0, n & 1 ? 8192 : 0);
			w.r.may_fail = 1;
			RDMA_WAIT(w.r.connected, rdma_run_poll(&w.r));
			if (!w.r.status)
				rdma_load(&w.r, 1u << 30);
			if (how == 2) {
				polls(&w, (int)n);
				fake_lock(w.fabric);
				w.fabric->fail_post = -ENOMEM;
				fake_unlock(w.fabric);
			}
			RDMA_WAIT(w.r.lost || w.r.status,
				  rdma_run_poll(&w.r));
			assert_true(w.r.sys_errno < 0);
			rdma_close(&w.r);
			w.f.delay = 0;
			serves(&w);
			rdma_pair_end(&w);
		}
}

/* The device is pulled out under load; another takes its place. */
static void test_device_removed(void **state)
{
	struct rdma_pair w;
	int i;

	for (i = 0; i < 4; i++) {
		uint32_t pds;

		begin(&w);
		rdma_open(&w.r, &w.f, w.host, 1, 0, 8192);
		rdma_connect(&w.r);
		rdma_ios(&w.r, 20);
		w.r.may_fail = 1;
		rdma_load(&w.r, 1u << 30);
		polls(&w, i);
		fake_remove_device(w.fabric);
		RDMA_WAIT(w.r.lost, rdma_run_poll(&w.r));
		assert_true(w.r.sys_errno == -ENODEV ||
			    w.r.sys_errno == -ECONNRESET);
		rdma_close(&w.r);
		RDMA_WAIT(w.f.target.gone == w.f.target.accepted,
			  rdma_run_poll(&w.r));
		/* Nothing keeps it: that is what the kernel waits for. */
		if (w.r.sys_errno == -ENODEV)
			assert_true(w.fabric->nr_pds <= 1);
		pds = w.fabric->nr_pds;
		RDMA_WAIT(w.fabric->nr_ids == 0, rdma_run_poll(&w.r));
		RDMA_WAIT(w.fabric->nr_ids == 1, rdma_run_poll(&w.r));
		serves(&w);
		assert_true(w.fabric->nr_pds <= pds + 2);
		rdma_pair_end(&w);
	}
}

/* ---- controllers that answer wrongly ---- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_bad_urls),
		cmocka_unit_test(test_not_built),
		cmocka_unit_test(test_failing_calls),
		cmocka_unit_test(test_breaks),
		cmocka_unit_test(test_device_removed),
		cmocka_unit_test(test_private_data),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_answered_early),
		cmocka_unit_test(test_clean_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
