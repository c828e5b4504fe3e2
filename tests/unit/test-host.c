/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leap_host against a scripted controller over loop://: bring-up, namespaces,
 * events, keep alive, shutdown, and closing after any number of polls. What a
 * lost connection does to it is in test-host-lost.c.
 */
#include "host-script.h"

static void test_live_and_io(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct leap_host_ns ns = { sizeof(ns) };
	struct script *s = script_begin();
	struct leap_req *req;
	struct io io;

	s->rdy_after = 3;
	script_open(s, &opts);
	req = io_init(s, &io, LEAP_NVM_WRITE, 3, 'x');
	assert_int_equal(leap_host_submit(s->host, 1, &req, 1), -ENOTCONN);
	WAIT(s, s->state == LEAP_HOST_LIVE);
	assert_int_equal(s->csts_reads, 4);
	assert_int_equal(s->cc & LEAP_CC_EN, LEAP_CC_EN);
	assert_int_equal(leap_host_nr_queues(s->host), 2);
	assert_int_equal(leap_host_identify(s->host)->aerl, 1);
	assert_int_equal(s->nr_aers, 0);
	WAIT(s, s->nr_aers == 2);
	assert_int_equal(leap_host_ns_next(s->host, 0, &ns), 0);
	assert_int_equal(ns.nsid, 1);
	assert_int_equal(ns.block_bytes, 512);
	assert_int_equal(ns.nr_blocks, BLOCKS);
	assert_int_equal(ns.uuid[15], 1);
	assert_int_equal(ns.nguid[0], 1);
	assert_int_equal(leap_host_ns_next(s->host, 1, &ns), 0);
	assert_int_equal(ns.nsid, 5);
	assert_int_equal(leap_host_ns_next(s->host, 5, &ns), -ENOENT);
	assert_int_equal(leap_host_sync(s->host, s->pg, 2, req), 0);
	assert_int_equal(leap_req_status(req), 0);
	req = io_init(s, &io, LEAP_NVM_READ, 3, 0);
	assert_int_equal(leap_host_sync(s->host, s->pg, 1, req), 0);
	assert_int_equal(io.data[511], 'x');
	assert_int_equal(leap_host_submit(s->host, 3, &req, 1), -EINVAL);
	assert_last_error("queue 3 exceeds 2");
	script_close(s);
	assert_int_equal(leap_host_submit(s->host, 1, &req, 1), -ENOTCONN);
	script_end(s);
	assert_int_equal(s->shutdowns, 1);
}

static void test_event(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct leap_host_ns ns = { sizeof(ns) };
	struct leap_host_stats stats = { sizeof(stats) };
	struct script *s = script_begin();
	struct leap_cmd *cmd;

	opts.kato_ms = 40;
	script_up(s, &opts);
	s->nsids[1] = 2;
	s->nsids[2] = 9;
	cmd = s->aers[--s->nr_aers];
	cmd->result = LEAP_AER_DW0(LEAP_AER_TYPE_NOTICE,
				   LEAP_AER_NOTICE_NS_CHANGED,
				   LEAP_LID_CHANGED_NS);
	leap_cmd_complete(cmd, 0);
	WAIT(s, s->events == 1);
	assert_int_equal(s->log_reads, 1);
	assert_int_equal(LEAP_AER_LID(s->last_event), LEAP_LID_CHANGED_NS);
	assert_int_equal(leap_host_ns_next(s->host, 1, &ns), 0);
	assert_int_equal(ns.nsid, 2);
	assert_int_equal(leap_host_ns_next(s->host, 2, &ns), 0);
	assert_int_equal(ns.nsid, 9);
	WAIT(s, s->nr_aers == 2);
	WAIT(s, s->keep_alives >= 3);
	assert_int_equal(leap_host_stats(s->host, &stats), 0);
	assert_int_equal(stats.events, 1);
	assert_int_equal(stats.reconnects, 0);
	script_end(s);
}

/* A controller that shuts down has no timer to be kept from running out, and
 * some call such a command an error. */
static void test_quiet_shutdown(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = script_begin();

	opts.kato_ms = 4;
	s->shst_after = 20;
	script_open(s, &opts);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->keep_alives > 2);
	script_end(s);
	assert_true(s->shst_reads > s->shst_after);
	assert_int_equal(s->late_keep_alives, 0);
}

static void test_first_try_fails(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = script_begin();

	s->target.connect_status = LEAP_SC_FAB_HOST | LEAP_STATUS_DNR;
	script_open(s, &opts);
	WAIT(s, s->state == LEAP_HOST_FAILED);
	assert_int_equal(s->why, LEAP_SC_FAB_HOST | LEAP_STATUS_DNR);
	assert_int_equal(s->states[LEAP_HOST_LIVE], 0);
	script_end(s);
	/* Enabled, but never ready: CAP.TO is over after a second. */
	s = script_begin();
	s->never_ready = 1;
	script_open(s, &opts);
	WAIT(s, s->state == LEAP_HOST_FAILED);
	assert_int_equal(s->err, -ETIMEDOUT);
	script_end(s);
}

static void test_discovery(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct leap_host_ns ns = { sizeof(ns) };
	struct script *s = script_begin();

	s->cntrltype = LEAP_CNTRLTYPE_DISCOVERY;
	opts.url = "loop://fake/" LEAP_NQN_DISCOVERY;
	script_open(s, &opts);
	WAIT(s, s->state == LEAP_HOST_LIVE);
	assert_int_equal(leap_host_nr_queues(s->host), 0);
	assert_int_equal(leap_host_ns_next(s->host, 0, &ns), -ENOENT);
	assert_int_equal(s->target.accepted, 1);
	script_end(s);
}

static void test_close_at_any_time(void **state)
{
	int polls, i;

	for (polls = 0; polls < 60; polls++) {
		struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
		struct script *s = script_begin();

		script_open(s, &opts);
		for (i = 0; i < polls; i++)
			leap_pollgroup_poll(s->pg, 0);
		script_end(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_live_and_io),
		cmocka_unit_test(test_event),
		cmocka_unit_test(test_quiet_shutdown),
		cmocka_unit_test(test_first_try_fails),
		cmocka_unit_test(test_discovery),
		cmocka_unit_test(test_close_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
