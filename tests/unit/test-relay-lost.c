/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What becomes of a relay's commands whose far end goes away while it has them,
 * or gives them up: those that may be done twice go again, and nobody is told
 * to send the others again.
 */
#include "far-fixture.h"

#include "block/relay/relay.h"

#define LOST	(LEAP_SC_INTERNAL | DNR)

static const struct {
	uint8_t op;
	uint32_t nr, bytes;
} plain[] = {
	{ LEAP_BIO_READ, 2, 1024 }, { LEAP_BIO_WRITE, 2, 1024 },
	{ LEAP_BIO_COMPARE, 2, 1024 }, { LEAP_BIO_WRITE_ZEROES, 9, 0 },
	{ LEAP_BIO_VERIFY, 9, 0 }, { LEAP_BIO_DISCARD, 9, 0 },
};

static uint8_t payload[4096];

static void test_goes_again(void **state)
{
	struct far *f = *state;
	size_t i;

	assert_int_equal(far_open(f), 0);
	for (i = 0; i < COUNT(plain); i++) {
		f->cut_at = 1;
		assert_int_equal(far_run(f, plain[i].op, 5, plain[i].nr, NULL,
					 payload, plain[i].bytes, NULL), 0);
		assert_int_equal(f->nr, 2);
		assert_memory_equal(&f->got[0].sqe.nsid, &f->got[1].sqe.nsid,
				    sizeof(f->got[0].sqe) - 4);
	}
}

/* Two ranges, of which the far end takes one at a time; the second one lies
 * where the first one went. */
static leap_status_t copy(struct far *f)
{
	struct leap_sqe sqe = { .opc = LEAP_NVM_COPY };
	struct leap_copy_range0 r[2] = {
		{ .slba = leap_to_le64(0), .nlb = leap_to_le16(9) },
		{ .slba = leap_to_le64(100), .nlb = leap_to_le16(9) },
	};

	sqe.cdw12 = leap_to_le32(1);
	return far_run(f, LEAP_BIO_COPY, 100, 20, &sqe, r, sizeof(r), NULL);
}

static void test_copy_is_done_once(void **state)
{
	struct far *f = *state;
	uint32_t i;

	f->ns.msrc = 0;
	assert_int_equal(far_open(f), 0);
	for (i = 1; i <= 2; i++) {
		f->cut_at = i;
		assert_int_equal(copy(f), LOST);
		assert_int_equal(f->nr, i);
	}
	f->cut_at = 0;
	assert_int_equal(copy(f), 0);
	assert_int_equal(f->nr, 2);
}

/* Nothing of it was done, and then a part. */
static void test_copy_that_nobody_takes(void **state)
{
	struct far *f = *state;

	f->ns.msrc = 0;
	f->relay.loss_ms = 50;
	assert_int_equal(far_open(f), 0);
	assert_int_equal(copy(f), 0);
	f->target.refuse = -ECONNREFUSED;
	f->cut_at = 1;
	assert_int_equal(far_run(f, LEAP_BIO_READ, 0, 1, NULL, payload, 512,
				 NULL), LEAP_SC_PATH_CTRL);
	f->cut_at = 0;
	assert_int_equal(copy(f), LEAP_SC_PATH_CTRL);
	assert_int_equal(f->nr, 0);
}

/* It cannot even be tried when a thread begins to use it: that is waited for as
 * any other absence. */
static void test_away_from_the_start(void **state)
{
	static const char *const urls[] = {
		NULL, "loop://nobody/nqn.2026-01.x:y", "none://x/y",
	};
	struct leap__relay *relay;
	struct leap_chan *first;
	struct far *f = *state;
	const char *url;
	size_t i;

	f->relay.loss_ms = 50;
	assert_int_equal(far_open(f), 0);
	first = f->chan;
	relay = leap_bdev_priv(f->bdev);
	url = relay->url;
	for (i = 0; i < COUNT(urls); i++) {
		relay->url = urls[i] ? urls[i] : url;
		f->target.refuse = urls[i] ? 0 : -ECONNREFUSED;
		assert_int_equal(leap_chan_open(f->bdev, f->pg, 8, &f->chan),
				 0);
		assert_int_equal(far_run(f, LEAP_BIO_READ, 0, 1, NULL,
					 payload, 512, NULL),
				 LEAP_SC_PATH_CTRL);
		f->target.refuse = 0;
		relay->url = url;
		while (far_run(f, LEAP_BIO_READ, 0, 1, NULL, payload, 512,
			       NULL))
			leap_pollgroup_wait(f->pg, 1000000);
		assert_int_equal(leap_chan_close(f->chan), 0);
	}
	f->chan = first;
}

/* A far end that says it has given a command up may have begun with it. */
static void test_given_up(void **state)
{
	static const leap_status_t status[] = {
		LEAP_SC_ABORT_SQ_DELETED, LEAP_SC_ABORT_REQUESTED | DNR,
	};
	struct far *f = *state;
	size_t i, k;

	assert_int_equal(far_open(f), 0);
	for (k = 0; k < COUNT(status); k++) {
		f->fail_status = status[k];
		f->fail_at = 1;
		for (i = 0; i < COUNT(plain); i++)
			assert_int_equal(far_run(f, plain[i].op, 5,
					 plain[i].nr, NULL, payload,
					 plain[i].bytes, NULL),
					 LEAP_SC_PATH_CTRL);
		assert_int_equal(copy(f), LOST);
	}
	/* Its own way to the drive: it knows that nothing was done. */
	f->fail_status = LEAP_SC_PATH_INTERNAL;
	assert_int_equal(copy(f), LEAP_SC_PATH_CTRL);
}

/* Part by part: the first one was done. */
static void test_half_a_copy(void **state)
{
	struct far *f = *state;

	f->ns.msrc = 0;
	f->fail_status = LEAP_SC_PATH_INTERNAL;
	f->fail_at = 2;
	assert_int_equal(far_open(f), 0);
	assert_int_equal(copy(f), LOST);
	assert_int_equal(f->nr, 2);
}

/* 0 is not the default of what is below. */
static void test_no_patience(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct leap__relay relay = { .url = "loop://x/y" };
	struct far *f = *state;
	struct leap_bdev *bdev = NULL;

	leap__relay_host_opts(&relay, &opts);
	assert_int_equal(opts.loss_ms, 1);
	assert_int_equal(leap_bdev_open(f->pg, "relay:loop://x/nqn.2026-01.x:y"
					"[reconnect_ms=0]", &bdev), -EINVAL);
	assert_last_error("reconnect_ms");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, far_set_up, \
						   far_tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_goes_again), CASE(test_copy_is_done_once),
		CASE(test_copy_that_nobody_takes),
		CASE(test_away_from_the_start), CASE(test_given_up),
		CASE(test_half_a_copy), CASE(test_no_patience),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
