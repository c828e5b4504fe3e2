/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs over loop://: the host-end dispatcher and the transport, in every
 * state that a connection can end in, on one poll group and on two threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fake-target.h"

#define NQN "nqn.2014-08.org.example:disk"
#define URL "loop://fake/" NQN

struct host {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_qp *qp;
	unsigned int connected, lost, closed, done;
	leap_status_t status;
	int sys_errno, lost_errno;
};

struct io {
	struct leap_req req;
	struct host *host;
	struct leap_piece piece;
	unsigned int done;
	char data[512];
};

static void on_connected(struct leap_qp *qp, leap_status_t status,
			 int sys_errno, void *arg)
{
	struct host *h = arg;

	assert_int_equal(h->connected, 0);
	assert_int_equal(h->closed, 0);
	h->connected++;
	h->status = status;
	h->sys_errno = sys_errno;
}

static void on_lost(struct leap_qp *qp, int sys_errno, void *arg)
{
	struct host *h = arg;
	struct leap_qp_info info = { sizeof(info) };

	assert_int_equal(h->connected, 1);
	assert_int_equal(leap_qp_info(qp, &info), 0);
	assert_int_equal(info.in_flight, 0);
	h->lost++;
	h->lost_errno = sys_errno;
}

static void on_closed(void *arg)
{
	((struct host *)arg)->closed++;
}

static void io_done(struct leap_req *req)
{
	struct io *io = (struct io *)req;

	io->done++;
	io->host->done++;
}

static void io_init(struct io *io, struct host *h)
{
	memset(io, 0, sizeof(*io));
	io->host = h;
	io->piece.addr = io->data;
	io->piece.len_bytes = sizeof(io->data);
	io->req.done = io_done;
	io->req.pieces = &io->piece;
	io->req.nr_pieces = 1;
	io->req.sqe.opc = LEAP_NVM_READ;
}

static void poll_until(struct leap_pollgroup *pg, const unsigned int *what,
		       unsigned int n)
{
	int i;

	for (i = 0; i < 1000 && *what < n; i++)
		leap_pollgroup_poll(pg, 0);
	assert_true(*what >= n);
}

static void poll_some(struct leap_pollgroup *pg)
{
	int i;

	for (i = 0; i < 20; i++)
		leap_pollgroup_poll(pg, 0);
}

static void open_qp(struct host *h, uint16_t qid, uint32_t flags)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;

	opts.url = URL;
	opts.qid = qid;
	opts.cntlid = qid ? 7 : 0;
	opts.depth = 8;
	opts.flags = flags;
	opts.target = h->target;
	opts.connected = on_connected;
	opts.lost = on_lost;
	opts.arg = h;
	assert_int_equal(leap_qp_connect(h->pg, &opts, &h->qp), 0);
	assert_int_equal(h->connected, 0);
}

static void set_up(struct host *h, struct leap_target *t)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;

	memset(h, 0, sizeof(*h));
	opts.nr_cmds = 16;
	opts.nr_bufs = 4;
	opts.buf_bytes = 4096;
	assert_int_equal(leap_pollgroup_create(&opts, &h->pg), 0);
	fake_target_init(t, h->pg);
	h->target = t;
}

static void tear_down(struct host *h)
{
	struct leap_pollgroup_stats stats = { sizeof(stats) };

	poll_some(h->pg);
	assert_int_equal(leap_pollgroup_stats(h->pg, &stats), 0);
	assert_int_equal(stats.cmds_in_use, 0);
	assert_int_equal(stats.bufs_in_use, 0);
	assert_int_equal(h->target->gone, h->target->accepted);
	assert_int_equal(h->target->lost, h->target->accepted);
	assert_int_equal(leap_pollgroup_destroy(h->pg), 0);
}

static void close_qp(struct host *h)
{
	leap_qp_close(h->qp, on_closed, h);
	assert_int_equal(h->closed, 0);
	poll_until(h->pg, &h->closed, 1);
	poll_some(h->pg);
	assert_int_equal(h->closed, 1);
}

static void fill_read(struct leap_cmd *cmd, leap_status_t status)
{
	if (!status)
		memset(cmd->pieces[0].addr, 0x5a, cmd->pieces[0].len_bytes);
	leap_cmd_complete(cmd, status);
}

static void execute_read(struct leap_target *t, struct leap_cmd *cmd)
{
	cmd->result = 0x1122334455667788;
	leap_cmd_pull(cmd, 512, fill_read);
}

static void test_connect_and_read(void **state)
{
	struct leap_qp_info info = { sizeof(info) };
	struct leap_target t;
	struct leap_req *reqs[10];
	struct io io[10];
	struct host h;
	int i;

	set_up(&h, &t);
	t.execute = execute_read;
	open_qp(&h, 1, LEAP_QP_NO_SQ_FLOW);
	io_init(&io[0], &h);
	reqs[0] = &io[0].req;
	assert_int_equal(leap_qp_submit(h.qp, reqs, 1), -ENOTCONN);
	poll_until(h.pg, &h.connected, 1);
	assert_int_equal(h.status, 0);
	assert_string_equal(t.data.subnqn, NQN);
	assert_memory_equal(t.data.hostnqn, "nqn.2014-08.org.nvmexpress:uuid:",
			    32);
	assert_int_equal(leap_from_le16(t.data.cntlid), 7);
	for (i = 0; i < 10; i++) {
		io_init(&io[i], &h);
		reqs[i] = &io[i].req;
	}
	/* 8 entries: 7 usable. */
	assert_int_equal(leap_qp_submit(h.qp, reqs, 10), 7);
	assert_int_equal(leap_qp_submit(h.qp, &reqs[7], 3), 0);
	assert_int_equal(h.done, 0);
	leap_qp_kick(h.qp);
	assert_int_equal(h.done, 0);
	poll_until(h.pg, &h.done, 7);
	assert_int_equal(leap_qp_submit(h.qp, &reqs[7], 3), 3);
	poll_until(h.pg, &h.done, 10);
	for (i = 0; i < 10; i++) {
		assert_int_equal(io[i].done, 1);
		assert_int_equal(leap_req_status(&io[i].req), 0);
		assert_int_equal(leap_req_result(&io[i].req),
				 0x1122334455667788);
		assert_int_equal(io[i].data[0], 0x5a);
		assert_int_equal(io[i].data[511], 0x5a);
	}
	assert_int_equal(leap_qp_info(h.qp, &info), 0);
	assert_int_equal(info.depth, 7);
	assert_int_equal(info.cntlid, 7);
	assert_int_equal(info.flags, LEAP_QP_NO_SQ_FLOW);
	assert_int_equal(info.submitted, 11);
	assert_int_equal(info.completed, 11);
	close_qp(&h);
	assert_int_equal(h.lost, 0);
	tear_down(&h);
}

static void test_wrong_length(void **state)
{
	struct leap_target t;
	struct leap_req *req;
	struct host h;
	struct io io;

	set_up(&h, &t);
	t.execute = execute_read;
	open_qp(&h, 1, 0);
	poll_until(h.pg, &h.connected, 1);
	io_init(&io, &h);
	io.piece.len_bytes = 256;
	req = &io.req;
	assert_int_equal(leap_qp_submit(h.qp, &req, 1), 1);
	poll_until(h.pg, &h.done, 1);
	assert_int_equal(leap_req_status(&io.req),
			 LEAP_SC_SGL_DATA_LEN | LEAP_STATUS_DNR);
	io.piece.reach = LEAP_REACH_MESSAGE;
	assert_int_equal(leap_qp_submit(h.qp, &req, 1), -EINVAL);
	assert_non_null(strstr(leap_last_error(), "not direct"));
	io.piece.reach = LEAP_REACH_DIRECT;
	io.piece.len_bytes = UINT32_MAX;
	assert_int_equal(leap_qp_submit(h.qp, &req, 1), -EINVAL);
	assert_non_null(strstr(leap_last_error(), "4294967295"));
	assert_int_equal(io.done, 1);
	close_qp(&h);
	tear_down(&h);
}

/* Commands that the handler keeps until told. */
static struct leap_cmd *kept[16];
static unsigned int nr_kept;

static void execute_keep(struct leap_target *t, struct leap_cmd *cmd)
{
	kept[nr_kept++] = cmd;
}

static void complete_kept(void)
{
	while (nr_kept)
		leap_cmd_complete(kept[--nr_kept], 0);
}

static void submit_n(struct host *h, struct io *io, unsigned int n)
{
	struct leap_req *req;
	unsigned int i;

	for (i = 0; i < n; i++) {
		io_init(&io[i], h);
		req = &io[i].req;
		assert_int_equal(leap_qp_submit(h->qp, &req, 1), 1);
	}
}

static void test_close_with_commands_below(void **state)
{
	struct leap_target t;
	struct io io[5];
	struct host h;
	int i;

	set_up(&h, &t);
	t.execute = execute_keep;
	open_qp(&h, 1, 0);
	poll_until(h.pg, &h.connected, 1);
	submit_n(&h, io, 3);
	poll_until(h.pg, &nr_kept, 3);
	submit_n(&h, io + 3, 2);		/* these are not fetched */
	leap_qp_close(h.qp, on_closed, &h);
	poll_some(h.pg);
	assert_int_equal(t.lost, 1);
	assert_int_equal(t.gone, 0);
	/* The handler may still write to their memory. */
	assert_int_equal(h.done, 0);
	assert_int_equal(h.closed, 0);
	complete_kept();
	poll_until(h.pg, &h.closed, 1);
	assert_int_equal(h.done, 5);
	for (i = 0; i < 5; i++) {
		assert_int_equal(io[i].done, 1);
		assert_int_equal(leap_req_status(&io[i].req),
				 LEAP_SC_PATH_HOST_ABORTED);
		assert_int_equal(io[i].req.sys_errno, -ECANCELED);
	}
	tear_down(&h);
}

static void test_controller_closes(void **state)
{
	struct leap_target t;
	struct io io[3];
	struct host h;
	int i;

	set_up(&h, &t);
	t.execute = execute_keep;
	open_qp(&h, 1, 0);
	poll_until(h.pg, &h.connected, 1);
	submit_n(&h, io, 3);
	poll_until(h.pg, &nr_kept, 3);
	leap_vqp_close(t.vqp);
	leap_vqp_close(t.vqp);
	poll_until(h.pg, &t.lost, 1);
	assert_int_equal(h.lost, 0);
	complete_kept();
	poll_until(h.pg, &h.lost, 1);
	assert_int_equal(h.lost_errno, -ECONNRESET);
	for (i = 0; i < 3; i++) {
		assert_int_equal(io[i].done, 1);
		assert_int_equal(leap_req_status(&io[i].req),
				 LEAP_SC_PATH_HOST);
		assert_int_equal(io[i].req.sys_errno, -ECONNRESET);
	}
	submit_n(&h, io, 0);
	assert_int_equal(leap_qp_submit(h.qp, (struct leap_req *[]){
		&io[0].req }, 1), -ENOTCONN);
	close_qp(&h);
	assert_int_equal(h.lost, 1);
	tear_down(&h);
}

static void test_refused(void **state)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	struct leap_target t;
	struct host h;

	set_up(&h, &t);
	t.refuse = -EUSERS;
	open_qp(&h, 0, 0);
	poll_until(h.pg, &h.connected, 1);
	assert_int_equal(h.status, LEAP_SC_PATH_HOST);
	assert_int_equal(h.sys_errno, -EUSERS);
	close_qp(&h);
	/* Nobody of that name. */
	h.connected = h.closed = 0;
	opts.url = "loop://other/" NQN;
	opts.target = &t;
	opts.connected = on_connected;
	opts.arg = &h;
	assert_int_equal(leap_qp_connect(h.pg, &opts, &h.qp), 0);
	poll_until(h.pg, &h.connected, 1);
	assert_int_equal(h.sys_errno, -ECONNREFUSED);
	close_qp(&h);
	/* A controller that says no. */
	h.connected = h.closed = 0;
	t.refuse = 0;
	t.connect_status = LEAP_SC_FAB_HOST | LEAP_STATUS_DNR;
	open_qp(&h, 0, 0);
	poll_until(h.pg, &h.connected, 1);
	assert_int_equal(h.status, LEAP_SC_FAB_HOST | LEAP_STATUS_DNR);
	assert_int_equal(h.sys_errno, 0);
	close_qp(&h);
	assert_int_equal(h.lost, 0);
	tear_down(&h);
}

static void test_close_while_connecting(void **state)
{
	struct leap_target t;
	struct host h;
	int polls;

	for (polls = 0; polls < 6; polls++) {
		int i;

		set_up(&h, &t);
		t.hold_connect = 1;
		open_qp(&h, 0, 0);
		for (i = 0; i < polls; i++)
			leap_pollgroup_poll(h.pg, 0);
		leap_qp_close(h.qp, on_closed, &h);
		poll_some(h.pg);
		if (t.held) {
			assert_int_equal(h.closed, 0);
			leap_cmd_complete(t.held, 0);
		}
		poll_until(h.pg, &h.closed, 1);
		assert_int_equal(h.connected, 0);
		assert_int_equal(h.lost, 0);
		tear_down(&h);
	}
}

static void test_connect_timeout(void **state)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	struct leap_target t;
	struct host h;

	set_up(&h, &t);
	t.hold_connect = 1;
	opts.url = URL;
	opts.target = &t;
	opts.connect_timeout_ms = 20;
	opts.connected = on_connected;
	opts.lost = on_lost;
	opts.arg = &h;
	assert_int_equal(leap_qp_connect(h.pg, &opts, &h.qp), 0);
	while (!h.connected)
		assert_true(leap_pollgroup_wait(h.pg, 1000000000) >= 0);
	assert_int_equal(h.status, LEAP_SC_PATH_HOST);
	assert_int_equal(h.sys_errno, -ETIMEDOUT);
	leap_cmd_complete(t.held, 0);
	poll_some(h.pg);
	assert_int_equal(h.connected, 1);
	close_qp(&h);
	tear_down(&h);
}

static void test_more_than_the_pool(void **state)
{
	struct leap_target t;
	struct host h[4];
	struct io io[4][7];
	unsigned int i, done = 0, rounds;

	set_up(&h[0], &t);	/* 16 commands for 4 x 7 requests */
	t.execute = execute_keep;
	for (i = 0; i < 4; i++) {
		if (i)
			h[i] = (struct host){ .pg = h[0].pg, .target = &t };
		open_qp(&h[i], (uint16_t)(i + 1), 0);
		poll_until(h[0].pg, &h[i].connected, 1);
	}
	for (i = 0; i < 4; i++)
		submit_n(&h[i], io[i], 7);
	poll_some(h[0].pg);
	assert_int_equal(nr_kept, 16);
	for (rounds = 0; rounds < 40 && done < 28; rounds++) {
		if (nr_kept)
			leap_cmd_complete(kept[--nr_kept], 0);
		poll_some(h[0].pg);
		done = h[0].done + h[1].done + h[2].done + h[3].done;
	}
	assert_int_equal(done, 28);
	for (i = 0; i < 4; i++) {
		close_qp(&h[i]);
		assert_int_equal(h[i].done, 7);
	}
	tear_down(&h[0]);
}

/* ---- two threads -------------------------------------------------------- */

struct server {
	struct leap_target target;
	struct leap_pollgroup *io;
	pthread_t thread;
	atomic_int ready, stop;
};

static void *serve(void *arg)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;
	struct server *s = arg;
	struct leap_pollgroup_stats stats = { sizeof(stats) };
	int i;

	opts.spin_ns = -1;
	if (leap_pollgroup_create(&opts, &s->io))
		return "create";
	atomic_store(&s->ready, 1);
	while (!atomic_load(&s->stop))
		leap_pollgroup_wait(s->io, 10000000);
	for (i = 0; i < 50; i++)
		leap_pollgroup_poll(s->io, 0);
	leap_pollgroup_stats(s->io, &stats);
	if (stats.cmds_in_use)
		return "a command is out";
	return leap_pollgroup_destroy(s->io) ? "destroy" : NULL;
}

static struct leap_qp *chain_qp;
static unsigned int chain_left;

static void chain_done(struct leap_req *req)
{
	struct io *io = (struct io *)req;

	io->host->done++;
	io->done += leap_req_status(req) == 0 && io->data[511] == 0x5a;
	io->data[511] = 0;
	if (chain_left) {
		chain_left--;
		assert_int_equal(leap_qp_submit(chain_qp, &req, 1), 1);
	}
}

/* The admin queue stays at home; the I/O queue moves while Connect is out. */
static void test_two_threads(void **state)
{
	enum { TOTAL = 20000 };
	unsigned int i, ok = 0;
	struct server s = { .ready = 0 };
	struct leap_req *req;
	struct io io[7];
	struct host h;
	void *why;

	set_up(&h, &s.target);
	assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
	while (!atomic_load(&s.ready))
		;
	s.target.io = s.io;
	s.target.execute = execute_read;
	open_qp(&h, 1, 0);
	while (!h.connected)
		assert_true(leap_pollgroup_wait(h.pg, 1000000000) >= 0);
	assert_int_equal(h.status, 0);
	chain_qp = h.qp;
	chain_left = TOTAL - 7;
	for (i = 0; i < 7; i++) {
		io_init(&io[i], &h);
		io[i].req.done = chain_done;
		req = &io[i].req;
		assert_int_equal(leap_qp_submit(h.qp, &req, 1), 1);
	}
	while (h.done < TOTAL)
		assert_true(leap_pollgroup_wait(h.pg, 1000000000) >= 0);
	for (i = 0; i < 7; i++)
		ok += io[i].done;
	assert_int_equal(ok, TOTAL);
	leap_qp_close(h.qp, on_closed, &h);
	while (!h.closed)
		assert_true(leap_pollgroup_wait(h.pg, 1000000000) >= 0);
	atomic_store(&s.stop, 1);
	assert_int_equal(pthread_join(s.thread, &why), 0);
	assert_null(why);
	tear_down(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect_and_read),
		cmocka_unit_test(test_wrong_length),
		cmocka_unit_test(test_close_with_commands_below),
		cmocka_unit_test(test_controller_closes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_close_while_connecting),
		cmocka_unit_test(test_connect_timeout),
		cmocka_unit_test(test_more_than_the_pool),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
