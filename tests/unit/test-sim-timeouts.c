/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVMe/TCP under virtual time: every timeout of either end fires when it
 * should, ends its connection the right way, and leaves nothing behind.
 */
#include "sim-rig.h"

#include "core/io/pollgroup.h"
#include "transport/tcp/conn.h"

#include <leapio/nvmf.h>
#include <leapio/qp.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#define RAW 3			/* process of a peer by hand */

/* A peer that says what it is told to, and writes down what it hears. */
struct raw {
	struct rig *r;
	struct leap_pollgroup *pg;
	struct leap__world *w;
	struct leap__wfd *listener, *wfd;
	struct leap__io conn, out, in;
	struct iovec out_iov, in_iov;
	struct sockaddr_in addr;
	uint8_t got[2048];
	uint32_t nr_got;
	int open, over;
	int64_t res;		/* of the last receive */
	uint64_t over_ns;
};

static void raw_recv(struct raw *p)
{
	p->in_iov.iov_base = p->got + p->nr_got;
	p->in_iov.iov_len = sizeof(p->got) - p->nr_got;
	p->in.wfd = p->wfd;
	leap__io_submit(p->w, &p->in);
}

static void raw_received(struct leap__io *io)
{
	struct raw *p = io->arg;

	p->res = io->res;
	if (io->res > 0) {
		p->nr_got += (uint32_t)io->res;
		assert_true(p->nr_got < sizeof(p->got));
		raw_recv(p);
		return;
	}
	p->over = 1;
	p->over_ns = leap_sim_now_ns(p->r->sim);
}

static void raw_connected(struct leap__io *io)
{
	struct raw *p = io->arg;

	assert_int_equal(io->res, 0);
	if (io->op == LEAP__IO_ACCEPT)
		p->wfd = io->wfd_out;
	p->open = 1;
	raw_recv(p);
}

static void raw_sent(struct leap__io *io)
{
	assert_int_equal(io->res, ((struct raw *)io->arg)->out_iov.iov_len);
}

static bool raw_is_open(void *arg)
{
	return ((struct raw *)arg)->open;
}

static bool raw_is_over(void *arg)
{
	return ((struct raw *)arg)->over;
}

static void raw_init(struct raw *p, struct rig *r)
{
	memset(p, 0, sizeof(*p));
	p->r = r;
	p->pg = rig_process(r->sim, RAW);
	p->w = leap__pollgroup_world(p->pg);
	p->conn.done = raw_connected;
	p->conn.arg = p;
	p->in.op = LEAP__IO_RECV;
	p->in.nr_iov = 1;
	p->in.iov = &p->in_iov;
	p->in.done = raw_received;
	p->in.arg = p;
	p->out.op = LEAP__IO_SEND;
	p->out.nr_iov = 1;
	p->out.iov = &p->out_iov;
	p->out.done = raw_sent;
	p->out.arg = p;
	p->addr.sin_family = AF_INET;
	p->addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static void raw_connect(struct raw *p, struct rig *r)
{
	raw_init(p, r);
	p->addr.sin_port = htons(4420);
	assert_int_equal(p->w->ops->socket(p->w, AF_INET, &p->wfd), 0);
	p->conn.op = LEAP__IO_CONNECT;
	p->conn.wfd = p->wfd;
	p->conn.addr = (struct sockaddr *)&p->addr;
	leap__io_submit(p->w, &p->conn);
	assert_int_equal(leap_sim_run(r->sim, raw_is_open, p, SECOND), 1);
}

static void raw_listen(struct raw *p, struct rig *r)
{
	raw_init(p, r);
	p->addr.sin_port = htons(4421);
	assert_int_equal(p->w->ops->listen(p->w, (struct sockaddr *)&p->addr,
					   sizeof(p->addr), 1, 0,
					   &p->listener), 0);
	p->conn.op = LEAP__IO_ACCEPT;
	p->conn.wfd = p->listener;
	leap__io_submit(p->w, &p->conn);
}

static void raw_send(struct raw *p, const void *bytes, uint32_t n)
{
	/* It is copied on its way before the caller's memory is gone. */
	p->out_iov.iov_base = (void *)(uintptr_t)bytes;
	p->out_iov.iov_len = n;
	p->out.wfd = p->wfd;
	leap__io_submit(p->w, &p->out);
	assert_int_equal(leap_sim_run(p->r->sim, NULL, NULL, MS), -ETIME);
}

static void raw_close(struct raw *p)
{
	if (p->listener)
		p->w->ops->close(p->listener);
	p->listener = NULL;
	if (p->wfd)
		p->w->ops->close(p->wfd);
	p->wfd = NULL;
}

static void raw_stop(struct raw *p)
{
	raw_close(p);
	leap_sim_run(p->r->sim, NULL, NULL, 100 * MS);
	assert_int_equal(leap_pollgroup_destroy(p->pg), 0);
}

static void ic_req(union leap__tcp_pdu *pdu)
{
	memset(pdu, 0, sizeof(*pdu));
	leap__tcp_hdr(&pdu->hdr, LEAP_TCP_IC_REQ, 0, sizeof(pdu->ic_req), 0,
		      sizeof(pdu->ic_req));
}

/* Over @after_ns since @start, to 10 ms, in order; @bytes were heard. */
static void expect_over(struct raw *p, uint64_t start, uint64_t after_ns,
			uint32_t bytes)
{
	assert_int_equal(leap_sim_run(p->r->sim, raw_is_over, p, 60 * SECOND),
			 1);
	assert_int_equal(p->res, 0);
	assert_int_equal(p->nr_got, bytes);
	assert_in_range(p->over_ns - start, after_ns, after_ns + 10 * MS);
}

/* 10 s for ICReq and Connect; it ends without a word. */
static void test_target_hello(void **state)
{
	union leap__tcp_pdu pdu;
	static struct rig r;
	static struct raw p;
	uint64_t start;

	rig_open(&r, 1);
	start = leap_sim_now_ns(r.sim);
	raw_connect(&p, &r);
	expect_over(&p, start, 10 * SECOND, 0);
	raw_stop(&p);

	start = leap_sim_now_ns(r.sim);
	raw_connect(&p, &r);
	leap_sim_run(r.sim, NULL, NULL, 5 * SECOND);
	ic_req(&pdu);
	raw_send(&p, &pdu, sizeof(pdu.ic_req));
	expect_over(&p, start, 10 * SECOND, sizeof(pdu.ic_resp));
	assert_int_equal(p.got[0], LEAP_TCP_IC_RESP);
	raw_stop(&p);

	/* Half an ICReq is none, however late it comes. */
	start = leap_sim_now_ns(r.sim);
	raw_connect(&p, &r);
	leap_sim_run(r.sim, NULL, NULL, 9 * SECOND);
	raw_send(&p, &pdu, 64);
	expect_over(&p, start, 10 * SECOND, 0);
	raw_stop(&p);
	rig_close(&r);
}

/* After C2HTermReq the host has a second to close. */
static void test_target_linger(void **state)
{
	uint32_t bytes = sizeof(struct leap_tcp_term) +
			 sizeof(struct leap_tcp_ic_req);
	union leap__tcp_pdu pdu;
	static struct rig r;
	static struct raw p;
	uint64_t start;

	rig_open(&r, 2);
	ic_req(&pdu);
	pdu.ic_req.pfv = leap_to_le16(1);
	raw_connect(&p, &r);
	start = leap_sim_now_ns(r.sim);
	raw_send(&p, &pdu, sizeof(pdu.ic_req));
	assert_int_equal(p.nr_got, bytes);
	assert_int_equal(p.got[0], LEAP_TCP_C2H_TERM);
	/* What it says now is thrown away. */
	raw_send(&p, &pdu, 100);
	assert_int_equal(rig_connections(&r), 1);
	expect_over(&p, start, SECOND, bytes);
	assert_int_equal(rig_connections(&r), 0);
	raw_stop(&p);
	/* One that closes at once is gone at once. */
	raw_connect(&p, &r);
	raw_send(&p, &pdu, sizeof(pdu.ic_req));
	assert_int_equal(p.nr_got, bytes);
	raw_close(&p);
	leap_sim_run(r.sim, NULL, NULL, MS);
	assert_int_equal(rig_connections(&r), 0);
	raw_stop(&p);
	rig_close(&r);
}

struct try {
	struct leap_pollgroup *pg;
	struct leap_qp *qp;
	struct leap_sim *sim;
	int over, sys_errno, closed;
	uint64_t over_ns;
};

static void try_connected(struct leap_qp *qp, leap_status_t status,
			  int sys_errno, void *arg)
{
	struct try *t = arg;

	t->over = 1;
	t->sys_errno = sys_errno;
	t->over_ns = leap_sim_now_ns(t->sim);
	assert_int_not_equal(status, 0);
}

static bool try_is_over(void *arg)
{
	return ((struct try *)arg)->over;
}

static void try_closed(void *arg)
{
	((struct try *)arg)->closed = 1;
}

static bool try_is_closed(void *arg)
{
	return ((struct try *)arg)->closed;
}

static void try_connect(struct try *t, struct rig *r)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;

	memset(t, 0, sizeof(*t));
	t->sim = r->sim;
	t->pg = rig_process(r->sim, GOOD);
	o.url = "tcp://127.0.0.1:4421/" NQN;
	o.hostid[0] = 1;
	o.connected = try_connected;
	o.arg = t;
	assert_int_equal(leap_qp_connect(t->pg, &o, &t->qp), 0);
}

static void try_close(struct try *t)
{
	leap_qp_close(t->qp, try_closed, t);
	assert_int_equal(leap_sim_run(t->sim, try_is_closed, t, SECOND), 1);
	assert_int_equal(leap_pollgroup_destroy(t->pg), 0);
}

/* A controller that is silent, from the start or after ICResp. */
static void test_host_hello(void **state)
{
	union leap__tcp_pdu pdu;
	static struct rig r;
	static struct raw p;
	struct try t;
	uint64_t start;
	int ic;

	rig_open(&r, 3);
	for (ic = 0; ic < 2; ic++) {
		raw_listen(&p, &r);
		start = leap_sim_now_ns(r.sim);
		try_connect(&t, &r);
		assert_int_equal(leap_sim_run(r.sim, raw_is_open, &p, SECOND),
				 1);
		ic_req(&pdu);
		pdu.hdr.type = LEAP_TCP_IC_RESP;
		pdu.ic_resp.maxh2cdata = leap_to_le32(65536);
		if (ic)
			raw_send(&p, &pdu, sizeof(pdu.ic_resp));
		assert_int_equal(leap_sim_run(r.sim, try_is_over, &t,
					      60 * SECOND), 1);
		assert_int_equal(t.sys_errno, -ETIMEDOUT);
		assert_in_range(t.over_ns - start, 10 * SECOND,
				10 * SECOND + 10 * MS);
		try_close(&t);
		expect_over(&p, start, 10 * SECOND, sizeof(pdu.ic_req) +
			    (ic ? sizeof(pdu.cmd) +
			     sizeof(struct leap_connect_data) : 0));
		raw_stop(&p);
	}
	rig_close(&r);
}

/* After H2CTermReq the controller has a second to close. */
static void test_host_linger(void **state)
{
	union leap__tcp_pdu pdu;
	static struct rig r;
	static struct raw p;
	struct try t;
	uint64_t start;

	rig_open(&r, 4);
	raw_listen(&p, &r);
	try_connect(&t, &r);
	assert_int_equal(leap_sim_run(r.sim, raw_is_open, &p, SECOND), 1);
	ic_req(&pdu);
	pdu.hdr.type = LEAP_TCP_IC_RESP;
	pdu.ic_resp.pfv = leap_to_le16(1);
	pdu.ic_resp.maxh2cdata = leap_to_le32(65536);
	start = leap_sim_now_ns(r.sim);
	raw_send(&p, &pdu, sizeof(pdu.ic_resp));
	assert_int_equal(p.nr_got, 2 * sizeof(pdu.ic_req) + sizeof(pdu.term));
	assert_int_equal(p.got[sizeof(pdu.ic_req)], LEAP_TCP_H2C_TERM);
	assert_int_equal(leap_sim_run(r.sim, try_is_over, &t, 60 * SECOND), 1);
	assert_int_equal(t.sys_errno, -EPROTO);
	expect_over(&p, start, SECOND, p.nr_got);
	try_close(&t);
	raw_stop(&p);
	rig_close(&r);
}

static bool one_is_gone(void *arg)
{
	return rig_connections(arg) < 2;
}

static bool all_are_gone(void *arg)
{
	return !rig_connections(arg);
}

static struct end *quiet;

static void quiet_done(struct leap_req *req)
{
	assert_int_equal(leap_req_status(req), 0);
	quiet->done++;
}

static void start_quiet_at(struct rig *r, struct end *e, const char *url,
			   uint32_t kato_ms)
{
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;

	memset(e, 0, sizeof(*e));
	e->pg = rig_process(r->sim, GOOD);
	ho.url = url;
	ho.hostid[0] = 1;
	ho.kato_ms = kato_ms;
	ho.reconnect_ms = 10;
	ho.state = end_state;
	ho.arg = e;
	assert_int_equal(leap_host_connect(e->pg, &ho, &e->host), 0);
	assert_int_equal(leap_sim_run(r->sim, end_is_live, e, 10 * SECOND), 1);
	/* Its requests for events are there. */
	leap_sim_run(r->sim, NULL, NULL, 10 * MS);
}

static void start_quiet(struct rig *r, struct end *e, uint32_t kato_ms)
{
	start_quiet_at(r, e, URL, kato_ms);
}

static bool good_is_done(void *arg)
{
	return ((struct rig *)arg)->good.done;
}

/*
 * R2Ts that nobody answers: the host is stopped, or its data gets stuck on the
 * way. Its I/O connection ends after 15 s, the admin one does not; the host
 * comes back and the write is done after all.
 */
static void test_stalled_r2t(void **state)
{
	static struct rig r;
	struct end *e = &r.good;
	uint64_t start;
	int stop;

	for (stop = 0; stop < 2; stop++) {
		rig_open(&r, 5);
		quiet = e;
		start_quiet(&r, e, UINT32_MAX);
		assert_int_equal(rig_connections(&r), 2);
		r.cmds = rig_cmds(&r);
		e->reqs[0].done = quiet_done;
		end_submit(&r, e, &e->reqs[0], LEAP_NVM_WRITE, LARGE);
		leap_host_kick(e->host, 1);
		assert_int_equal(leap_sim_run(r.sim, rig_is_busy, &r,
					      SECOND), 1);
		start = leap_sim_now_ns(r.sim);
		if (stop)
			leap_sim_stop(r.sim, GOOD);
		else
			leap_sim_net_hold(r.sim, GOOD, TARGET);
		assert_int_equal(leap_sim_run(r.sim, one_is_gone, &r,
					      60 * SECOND), 1);
		assert_in_range(leap_sim_now_ns(r.sim) - start, 15 * SECOND,
				15 * SECOND + 10 * MS);
		assert_int_equal(rig_connections(&r), 1);
		assert_int_equal(rig_cmds(&r), r.cmds);
		if (stop)
			leap_sim_continue(r.sim, GOOD);
		else
			leap_sim_net_release(r.sim, GOOD, TARGET);
		assert_int_equal(leap_sim_run(r.sim, good_is_done, &r,
					      10 * SECOND), 1);
		end_stop(&r, e);
		rig_close(&r);
	}
}

/* A target that has stood still hears what came meanwhile before it calls a
 * host silent. */
static void stopped_target(const char *url)
{
	struct leap_target_stats st = { sizeof(st) };
	static struct rig r;
	struct end *e = &r.good;

	rig_open(&r, 8);
	quiet = e;
	start_quiet_at(&r, e, url, 4000);
	leap_sim_stop(r.sim, TARGET);
	assert_int_equal(leap_sim_run(r.sim, NULL, NULL, 4500 * MS), -ETIME);
	leap_sim_continue(r.sim, TARGET);
	assert_int_equal(leap_sim_run(r.sim, NULL, NULL, 10 * SECOND), -ETIME);
	assert_int_equal(leap_target_stats(r.target, &st), 0);
	assert_int_equal(st.keep_alive_expired, 0);
	assert_int_equal(e->live, 1);
	end_stop(&r, e);
	rig_close(&r);
}

static void test_stopped_target(void **state)
{
	stopped_target(URL);
	/* Without I/O queues. */
	stopped_target("tcp://127.0.0.1:4420/" LEAP_NQN_DISCOVERY);
}

/* Nothing comes from the other side any more, in either direction. */
static void test_vanished(void **state)
{
	struct leap_target_stats st = { sizeof(st) };
	static struct rig r;
	struct end *e = &r.good;
	uint64_t start;

	rig_open(&r, 6);
	quiet = e;
	start_quiet(&r, e, 4000);
	leap_sim_net_hold(r.sim, GOOD, TARGET);
	leap_sim_net_hold(r.sim, TARGET, GOOD);
	start = leap_sim_now_ns(r.sim);
	e->reqs[0].done = quiet_done;
	end_submit(&r, e, &e->reqs[0], LEAP_NVM_WRITE, 4096);
	assert_int_equal(leap_sim_run(r.sim, all_are_gone, &r, 60 * SECOND),
			 1);
	/* KATO since the last sign of life, looked at every half of it; then
	 * a second for what is still to be sent. */
	assert_in_range(leap_sim_now_ns(r.sim) - start, 2 * SECOND,
			4 * SECOND + 2 * SECOND + SECOND + 200 * MS);
	assert_int_equal(leap_target_stats(r.target, &st), 0);
	assert_int_equal(st.keep_alive_expired, 1);
	assert_int_equal(leap_sim_run(r.sim, NULL, NULL, 4 * SECOND), -ETIME);
	/* The host has noticed too. */
	assert_int_equal(e->live, 0);
	leap_sim_net_release(r.sim, GOOD, TARGET);
	leap_sim_net_release(r.sim, TARGET, GOOD);
	assert_int_equal(leap_sim_run(r.sim, good_is_done, &r, 30 * SECOND),
			 1);
	end_stop(&r, e);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target_hello),
		cmocka_unit_test(test_target_linger),
		cmocka_unit_test(test_host_hello),
		cmocka_unit_test(test_host_linger),
		cmocka_unit_test(test_stalled_r2t),
		cmocka_unit_test(test_stopped_target),
		cmocka_unit_test(test_vanished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
