/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both ends of the TCP transport against each other, in one process over
 * 127.0.0.1 and ::1: sizes 0 to 1 MiB, digests, flow control off, scattered
 * payload, scarce buffers, delayed completions, and sudden ends.
 */
#include "ipv6.h"
#include "tcp-fixture.h"

#include <stdio.h>

#define DEPTH 17u
#define SLOT (TCP_DISK / DEPTH)

struct run;

struct io {
	struct leap_req req;
	struct run *run;
	struct leap_piece pieces[9];
	uint8_t *data;
	uint32_t bytes, at;
	unsigned int turn;
	uint8_t fill;
	int busy;
};

struct run {
	struct leap_pollgroup *pg;
	struct leap_qp *qp;
	struct io ios[DEPTH - 1];
	unsigned int left, done, failed, connected, lost, closed;
	leap_status_t status;
	int sys_errno;
	uint32_t max;
	int stop;
};

static void on_connected(struct leap_qp *qp, leap_status_t status,
			 int sys_errno, void *arg)
{
	struct run *r = arg;

	r->connected++;
	r->status = status;
	r->sys_errno = sys_errno;
}

static void on_lost(struct leap_qp *qp, int sys_errno, void *arg)
{
	struct run *r = arg;

	r->lost++;
	r->sys_errno = sys_errno;
}

static void on_closed(void *arg)
{
	((struct run *)arg)->closed++;
}

/* Payload in up to 9 uneven pieces, some of them empty. */
static void cut(struct io *io)
{
	uint32_t left = io->bytes, n, i = 0;
	uint8_t *at = io->data;

	while (left && i < 8 && rand() % 3) {
		n = (uint32_t)rand() % (left + 1);
		memset(&io->pieces[i], 0, sizeof(io->pieces[i]));
		io->pieces[i].addr = at;
		io->pieces[i++].len_bytes = n;
		at += n;
		left -= n;
	}
	memset(&io->pieces[i], 0, sizeof(io->pieces[i]));
	io->pieces[i].addr = at;
	io->pieces[i++].len_bytes = left;
	io->req.pieces = io->pieces;
	io->req.nr_pieces = i;
}

static void next_io(struct io *io)
{
	static const uint32_t sizes[] = { 0, 1, 512, 4096, 8192, 8193, 65536,
					  131072, 131073, 1 << 20 };
	struct run *r = io->run;
	struct leap_req *req = &io->req;

	if (!r->left || r->stop)
		return;
	r->left--;
	/* Turns: write a pattern, read it back. */
	if (!(io->turn & 1)) {
		io->bytes = sizes[(unsigned int)rand() % COUNT(sizes)];
		if (rand() % 2 || io->bytes > r->max)
			io->bytes = (uint32_t)rand() % (r->max + 1);
		if (io->bytes > SLOT)
			io->bytes = SLOT;
		io->fill = (uint8_t)rand();
		memset(io->data, io->fill, io->bytes);
	} else {
		memset(io->data, ~io->fill, io->bytes);
	}
	cut(io);
	memset(&req->sqe, 0, sizeof(req->sqe));
	req->sqe.opc = io->turn & 1 ? LEAP_NVM_READ : LEAP_NVM_WRITE;
	req->sqe.cdw10 = leap_to_le32(io->at);
	req->sqe.cdw12 = leap_to_le32(io->bytes);
	req->sqe.cdw13 = leap_to_le32(io->turn % 3 ? 0 : 77);
	io->busy = 1;
	assert_int_equal(leap_qp_submit(r->qp, (struct leap_req *[]){ req }, 1),
			 1);
}

static void io_done(struct leap_req *req)
{
	struct io *io = (struct io *)req;
	struct run *r = io->run;
	uint32_t i;

	assert_true(io->busy);
	io->busy = 0;
	r->done++;
	if (leap_req_status(req)) {
		r->failed++;
		return;
	}
	if (io->turn & 1)
		for (i = 0; i < io->bytes; i++)
			assert_int_equal(io->data[i], io->fill);
	assert_int_equal(leap_req_result(req), io->turn % 3 ? 0 : 77);
	io->turn++;
	next_io(io);
}

static void run_open(struct run *r, struct leap_pollgroup *pg, const char *url,
		     uint32_t flags, uint32_t inline_bytes)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	uint32_t i;

	memset(r, 0, sizeof(*r));
	r->pg = pg;
	r->max = 1 << 20;
	for (i = 0; i < COUNT(r->ios); i++) {
		r->ios[i].run = r;
		r->ios[i].req.done = io_done;
		r->ios[i].at = i * SLOT;
		r->ios[i].data = malloc(1 << 20);
		assert_non_null(r->ios[i].data);
	}
	opts.url = url;
	opts.qid = 1;
	opts.cntlid = 7;
	opts.depth = DEPTH;
	opts.flags = flags;
	opts.inline_bytes = inline_bytes;
	opts.connected = on_connected;
	opts.lost = on_lost;
	opts.arg = r;
	assert_int_equal(leap_qp_connect(pg, &opts, &r->qp), 0);
}

static void poll_both(struct run *r, struct tcp_fixture *f)
{
	leap_pollgroup_poll(r->pg, 0);
	if (f->pg != r->pg)
		leap_pollgroup_poll(f->pg, 0);
	tcp_fixture_poll(f);
}

static void run_connect(struct run *r, struct tcp_fixture *f)
{
	TCP_WAIT(r->connected, poll_both(r, f));
	assert_int_equal(r->connected, 1);
	assert_int_equal(r->status, 0);
	assert_int_equal(f->target.data.cntlid, leap_to_le16(7));
}

static void run_close(struct run *r, struct tcp_fixture *f)
{
	unsigned int i;

	leap_qp_close(r->qp, on_closed, r);
	TCP_WAIT(r->closed, poll_both(r, f));
	assert_int_equal(r->closed, 1);
	/* Late writes must not land in the next connection's data: keeping
	 * them apart is a controller's work, and this target is none. */
	TCP_WAIT(!f->nr_delayed, poll_both(r, f));
	for (i = 0; i < COUNT(r->ios); i++) {
		assert_false(r->ios[i].busy);
		free(r->ios[i].data);
	}
}

static void run_ios(struct run *r, struct tcp_fixture *f, unsigned int n)
{
	unsigned int i;

	r->left = n;
	r->done = 0;
	for (i = 0; i < COUNT(r->ios); i++)
		next_io(&r->ios[i]);
	TCP_WAIT(r->done == n, poll_both(r, f));
	assert_int_equal(r->done, n);
	assert_int_equal(r->failed, 0);
}

static void no_leak(struct leap_pollgroup *pg)
{
	struct leap_pollgroup_stats st = { sizeof(st) };

	assert_int_equal(leap_pollgroup_stats(pg, &st), 0);
	assert_int_equal(st.cmds_in_use, 0);
	assert_int_equal(st.bufs_in_use, 0);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

static void exchange_in(struct leap_pollgroup *pg, const char *address,
			uint32_t flags, uint32_t inline_bytes,
			unsigned int delay)
{
	struct leap_qp_info info = { sizeof(info) };
	struct tcp_fixture f;
	struct run r;

	tcp_fixture_start(&f, pg, address);
	f.delay = delay;
	run_open(&r, pg, f.url, flags, inline_bytes);
	run_connect(&r, &f);
	assert_int_equal(leap_qp_info(r.qp, &info), 0);
	assert_int_equal(info.flags, flags);
	run_ios(&r, &f, 300);
	run_close(&r, &f);
	tcp_fixture_stop(&f);
	no_leak(pg);
}

static void exchange(const char *address, uint32_t flags, uint32_t bufs,
		     uint32_t buf_bytes, uint32_t inline_bytes,
		     unsigned int delay)
{
	exchange_in(tcp_pollgroup(bufs, buf_bytes), address, flags,
		    inline_bytes, delay);
}

static void test_plain(void **state)
{
	exchange("127.0.0.1", 0, 256, 131072, 8192, 0);
}

static void test_v6(void **state)
{
	need_ipv6(&in6addr_loopback);
	exchange("[::1]", 0, 256, 131072, 0, 3);
}

static void test_digests(void **state)
{
	exchange("127.0.0.1", LEAP_QP_HEADER_DIGEST, 256, 131072, 8192, 0);
	exchange("127.0.0.1", LEAP_QP_DATA_DIGEST, 256, 131072, 8192, 5);
	exchange("127.0.0.1", LEAP_QP_DATA_DIGEST | LEAP_QP_HEADER_DIGEST |
		 LEAP_QP_NO_SQ_FLOW, 256, 131072, 4096, 2);
}

static void test_no_flow(void **state)
{
	exchange("127.0.0.1", LEAP_QP_NO_SQ_FLOW, 256, 131072, 8192, 0);
}

static void test_scarce(void **state)
{
	exchange("127.0.0.1", 0, 16, 65536, 8192, 4);
	exchange("127.0.0.1", LEAP_QP_DATA_DIGEST, 256, 4096, 8192, 2);
}

/* Fewer commands than the host may have out, in-capsule and not. */
static void test_few_cmds(void **state)
{
	exchange_in(tcp_pollgroup_few(1), "127.0.0.1", 0, 8192, 3);
	exchange_in(tcp_pollgroup_few(3), "127.0.0.1", LEAP_QP_DATA_DIGEST,
		    8192, 0);
}

/* The controller end moves to another poll group at Connect. */
static void move(struct leap_pollgroup *home, struct leap_pollgroup *io)
{
	struct tcp_fixture f;
	struct run r;
	unsigned int n;

	tcp_fixture_start(&f, home, "127.0.0.1");
	f.target.io = io;
	run_open(&r, home, f.url, 0, 8192);
	TCP_WAIT(r.connected, (poll_both(&r, &f), leap_pollgroup_poll(io, 0)));
	assert_int_equal(r.status, 0);
	assert_ptr_equal(f.target.vqp->pg, io);
	r.left = 100;
	for (n = 0; n < COUNT(r.ios); n++)
		next_io(&r.ios[n]);
	TCP_WAIT(r.done == 100,
		 (poll_both(&r, &f), leap_pollgroup_poll(io, 0)));
	assert_int_equal(r.failed, 0);
	run_close(&r, &f);
	TCP_WAIT(f.target.gone,
		 (poll_both(&r, &f), leap_pollgroup_poll(io, 0)));
	tcp_fixture_stop(&f);
	no_leak(io);
	no_leak(home);
}

static void test_move(void **state)
{
	move(tcp_pollgroup(16, 65536), tcp_pollgroup(16, 131072));
	/* A command takes more of the smaller ones. */
	move(tcp_pollgroup(16, 131072), tcp_pollgroup(600, 4096));
}

/* Either end goes away in the middle, at any time; nothing stays behind. */
static void test_kills(void **state)
{
	struct leap_pollgroup *host = tcp_pollgroup(4, 4096);
	struct leap_pollgroup *pg = tcp_pollgroup(40, 65536);
	struct tcp_fixture f;
	struct run r;
	unsigned int round, i, n;

	tcp_fixture_start(&f, pg, "127.0.0.1");
	f.delay = 4;
	for (round = 0; round < 60; round++) {
		run_open(&r, host, f.url, round & 1 ? LEAP_QP_DATA_DIGEST : 0,
			 round & 2 ? 8192 : 0);
		n = (unsigned int)rand() % 300;
		if (round % 5)
			run_connect(&r, &f);
		r.left = 1u << 30;
		for (i = 0; i < COUNT(r.ios) && round % 5; i++)
			next_io(&r.ios[i]);
		for (i = 0; i < n; i++)
			poll_both(&r, &f);
		r.stop = 1;
		if (round % 5 && round & 4) {
			leap_vqp_close(f.target.vqp);
			TCP_WAIT(r.lost, poll_both(&r, &f));
		}
		run_close(&r, &f);
		/* What was still on its way may be executed until then, and
		 * this target lets it overtake the next round's. */
		TCP_WAIT(f.target.gone == f.target.accepted,
			 poll_both(&r, &f));
	}
	tcp_fixture_stop(&f);
	no_leak(pg);
	no_leak(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_digests),
		cmocka_unit_test(test_no_flow),
		cmocka_unit_test(test_scarce),
		cmocka_unit_test(test_few_cmds),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_kills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
