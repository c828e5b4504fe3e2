/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leap_host whose connection to a scripted controller is lost: what was out
 * goes again, once, or fails where that could do harm; queues are fewer than
 * before; and in the end it gives up.
 */
#include "host-script.h"

/* All of it, its I/O queues included; @nr_queues are granted from then on. */
static void lose(struct script *s, unsigned int nr_queues)
{
	unsigned int lost = 1 + s->nr_queues;

	s->nr_queues = nr_queues;
	script_cut(s, lost);
	script_release(s);
	s->hold_io = 0;
	WAIT(s, s->state == LEAP_HOST_RECONNECTING);
}

static void test_lost_under_load(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct leap_host_stats stats = { sizeof(stats) };
	struct script *s = script_begin();
	struct io io[12];
	unsigned int i;

	opts.reconnect_ms = 5;
	opts.depth = 16;
	script_up(s, &opts);
	s->hold_io = 1;
	for (i = 0; i < 8; i++)
		io_submit(s, &io[i], 1 + i % 2, LEAP_NVM_WRITE, i,
			  'a' + (int)i);
	WAIT(s, s->nr_held == 8);
	lose(s, 2);
	for (; i < 12; i++)
		io_submit(s, &io[i], 1, LEAP_NVM_WRITE, i, 'a' + (int)i);
	assert_int_equal(s->nr_done, 0);
	WAIT(s, s->state == LEAP_HOST_LIVE);
	WAIT(s, s->nr_done == 12);
	for (i = 0; i < 12; i++) {
		assert_int_equal(io[i].done, 1);
		assert_int_equal(leap_req_status(&io[i].req), 0);
		assert_int_equal(s->media[i][511], 'a' + (int)i);
	}
	assert_int_equal(s->writes, 12);
	assert_int_equal(leap_host_stats(s->host, &stats), 0);
	assert_int_equal(stats.reconnects, 1);
	assert_int_equal(stats.redriven, 8);
	script_end(s);
}

/* Each was out when the connection went: does it go again? */
static void test_not_twice(void **state)
{
	static const struct {
		uint8_t opc, flags;
		int again;
	} t[] = {
		{ LEAP_NVM_READ, 0, 1 }, { LEAP_NVM_FLUSH, 0, 1 },
		{ LEAP_NVM_ZONE_MGMT_SEND, 0, 1 },
		{ LEAP_NVM_COPY, 0, 0 }, { LEAP_NVM_ZONE_APPEND, 0, 0 },
		{ LEAP_NVM_RESV_ACQUIRE, 0, 0 },
		{ LEAP_NVM_RESV_RELEASE, 0, 0 },
		/* What nobody here knows. */
		{ LEAP_NVM_VENDOR, 0, 0 }, { 0xff, 0, 0 }, { 0x2b, 0, 0 },
		{ LEAP_NVM_COMPARE, LEAP_SQE_FUSE_FIRST, 0 },
		{ LEAP_NVM_WRITE, LEAP_SQE_FUSE_SECOND, 0 },
	};
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = script_begin();
	struct io io[COUNT(t)];
	struct leap_req *req;
	unsigned int i, again = 0;

	opts.reconnect_ms = 5;
	opts.nr_io_queues = 1;
	script_up(s, &opts);
	s->hold_io = 1;
	for (i = 0; i < COUNT(t); i++) {
		req = io_init(s, &io[i], t[i].opc, 0, 0);
		req->sqe.flags = t[i].flags;
		assert_int_equal(leap_host_submit(s->host, 1, &req, 1), 1);
		again += (unsigned int)t[i].again;
	}
	WAIT(s, s->nr_held == COUNT(t));
	script_cut(s, 2);
	script_release(s);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->nr_held == again);
	assert_int_equal(s->nr_done, COUNT(t) - again);
	script_release(s);
	WAIT(s, s->nr_done == COUNT(t));
	for (i = 0; i < COUNT(t); i++) {
		assert_int_equal(io[i].done, 1);
		assert_int_equal(!leap_req_status(&io[i].req), t[i].again);
		assert_int_equal(!io[i].req.sys_errno, t[i].again);
	}
	script_end(s);
}

/* Sends writes 0..n-1 on queues 1, 2 and 3 in turn. */
static void write_all(struct script *s, struct io *io, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		io_submit(s, &io[i], 1 + i % 3, LEAP_NVM_WRITE, i,
			  'A' + (int)i);
}

static void check_all(struct script *s, struct io *io, unsigned int n)
{
	unsigned int i;

	WAIT(s, s->nr_done == n);
	for (i = 0; i < n; i++) {
		assert_int_equal(io[i].done, 1);
		assert_int_equal(leap_req_status(&io[i].req), 0);
		assert_int_equal(s->media[i][511], 'A' + (int)i);
	}
	memset(s->media, 0, sizeof(s->media));
	s->nr_done = 0;
}

/* A bad count of addresses is said at once, whether the command could go or
 * has to wait; and nothing of it is sent later. */
static void test_bad_lists(void **state)
{
	static const uint64_t at[65];
	struct leap_req_lists lists = { .at = at };
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = script_begin();
	struct leap_req *req;
	struct io io;
	int away;

	opts.reconnect_ms = 5;
	opts.nr_io_queues = 1;
	s->nr_queues = 1;
	script_up(s, &opts);
	io_submit(s, &io, 1, LEAP_NVM_READ, 0, 0);
	WAIT(s, s->nr_done == 1);
	req = io_init(s, &io, LEAP_NVM_WRITE, 0, 0);
	for (away = 0; away < 2; away++) {
		lists.nr = 0;
		assert_int_equal(leap_host_submit_lists(s->host, 1, req,
							&lists), -EINVAL);
		lists.nr = 65;
		assert_int_equal(leap_host_submit_lists(s->host, 1, req,
							&lists), -EINVAL);
		assert_last_error("nr 65 is not 1 to");
		if (away)
			break;
		lists.nr = 2;
		assert_int_equal(leap_host_submit_lists(s->host, 1, req,
							&lists), -EOPNOTSUPP);
		assert_last_error("nr 2 over a");
		lose(s, 1);
	}
	WAIT(s, s->state == LEAP_HOST_LIVE);
	leap_pollgroup_wait(s->pg, 1000000);
	assert_int_equal(s->nr_done, 1);
	assert_int_equal(s->writes, 0);
	script_end(s);
}

/* Three queues, then one, of which all three make use, then two, then three. */
static void test_fewer_queues(void **state)
{
	static const unsigned int granted[] = { 1, 2, 3 };
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = script_begin();
	struct io *io = calloc(18, sizeof(*io));
	unsigned int i, q, up;

	s->nr_queues = 3;
	opts.nr_io_queues = 3;
	opts.reconnect_ms = 5;
	opts.depth = 8;
	script_up(s, &opts);
	for (i = 0; i < 3; i++) {
		/* More than a connection takes: some wait for the others. */
		s->hold_io = 1;
		write_all(s, io, 18);
		WAIT(s, s->nr_held >= 7);
		lose(s, granted[i]);
		WAIT(s, s->state == LEAP_HOST_LIVE);
		check_all(s, io, 18);
		assert_int_equal(leap_host_nr_queues(s->host), 3);
		for (q = 1, up = 0; q < 8; q++)
			up += s->vqps[q] != NULL;
		assert_int_equal(up, granted[i]);
		/* And again, live. */
		write_all(s, io, 18);
		check_all(s, io, 18);
	}
	script_end(s);
	free(io);
}

static void test_gives_up(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = script_begin();
	struct leap_req *req;
	struct io io;

	opts.reconnect_ms = 5;
	opts.loss_ms = 30;
	script_up(s, &opts);
	s->target.refuse = -ECONNREFUSED;
	script_cut(s, 1);
	WAIT(s, s->state == LEAP_HOST_RECONNECTING);
	req = io_init(s, &io, LEAP_NVM_READ, 0, 0);
	assert_int_equal(leap_host_submit(s->host, 1, &req, 1), 1);
	WAIT(s, s->state == LEAP_HOST_FAILED);
	assert_int_equal(s->err, -ECONNREFUSED);
	WAIT(s, s->nr_done == 1);
	assert_int_equal(leap_req_status(req), LEAP_SC_PATH_HOST);
	assert_int_equal(req->sys_errno, -ECONNREFUSED);
	assert_int_equal(leap_host_submit(s->host, 1, &req, 1), -ENOTCONN);
	script_end(s);
}

/* A controller that is stuck: half of KATO after a Keep Alive it is left. */
static void test_no_keep_alive(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = script_begin();

	s->hold_ka = 1;
	opts.kato_ms = 40;
	opts.reconnect_ms = 5;
	script_up(s, &opts);
	WAIT(s, s->state == LEAP_HOST_RECONNECTING);
	assert_int_equal(s->err, -ETIMEDOUT);
	assert_int_equal(s->keep_alives, 1);
	s->hold_ka = 0;
	WAIT(s, s->target.lost == 3);
	leap_cmd_complete(s->held_ka, 0);
	script_drop_aers(s);
	WAIT(s, s->state == LEAP_HOST_LIVE);
	assert_int_equal(s->states[LEAP_HOST_LIVE], 2);
	script_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lost_under_load),
		cmocka_unit_test(test_not_twice),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_fewer_queues),
		cmocka_unit_test(test_gives_up),
		cmocka_unit_test(test_no_keep_alive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
