/* SPDX-License-Identifier: BSD-3-Clause */
/* src/block/{trace,delay,error}: the layers that other tests lean on. */
#include "config.h"

#include "block-fixture.h"
#include "block/trace.h"

static void trace_remembers_the_last(void **state)
{
	struct leap__trace_entry e[64];
	unsigned char buf[1024];
	struct blk b;
	uint64_t i;

	blk_open(&b, "trace[depth=8] -> error[op=flush] -> memory:1M");
	assert_int_equal(leap__trace_read(b.bdev, e, 64), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, LEAP_BIO_FUA, i,
					2, buf), 0);
	assert_int_equal(leap__trace_read(b.bdev, e, 64), 3);
	assert_int_equal(e[0].op, LEAP_BIO_WRITE);
	assert_int_equal(e[0].block, 0);
	assert_int_equal(e[0].nr_blocks, 2);
	assert_int_equal(e[0].flags, LEAP_BIO_FUA);
	for (i = 0; i < 20; i++)
		assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 100 + i, 1, buf),
				 0);
	assert_int_equal(leap__trace_read(b.bdev, e, 64), 8);
	for (i = 0; i < 8; i++)
		assert_true(e[i].op == LEAP_BIO_READ && e[i].block >= 112);
	assert_int_equal(leap__trace_read(b.bdev, e, 2), 2);
	assert_int_equal(leap__trace_read(leap_bdev_child(b.bdev, 0), e, 2),
			 -EINVAL);
	blk_close(&b);
}

static void trace_sees_errors_and_times(void **state)
{
	struct leap__trace_entry e;
	unsigned char buf[512];
	struct blk b;

	blk_open(&b, "trace -> delay[read_us=2000] -> "
		 "error[op=read,status=2/81] -> memory:1M");
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 5, 1, buf),
			 LEAP_SC_UNRECOVERED_READ);
	assert_int_equal(leap__trace_read(b.bdev, &e, 1), 1);
	assert_int_equal(e.status, LEAP_SC_UNRECOVERED_READ);
	assert_true(e.ns >= 2000000);
	blk_close(&b);
}

static uint64_t timed(struct blk *b, int op, void *buf)
{
	uint64_t start = leap_pollgroup_now_ns(b->pg);

	assert_int_equal(blk_io(b, op, 0, 0, !!buf, buf), 0);
	return leap_pollgroup_now_ns(b->pg) - start;
}

static void delay_waits_by_kind(void **state)
{
	unsigned char buf[512];
	struct blk b;
	uint64_t ns;
	int i;

	blk_open(&b, "delay[read_us=3000,write_us=6000,flush_us=9000] -> "
		 "memory:1M");
	assert_true(timed(&b, LEAP_BIO_READ, buf) >= 3000000);
	assert_true(timed(&b, LEAP_BIO_WRITE, buf) >= 6000000);
	assert_true(timed(&b, LEAP_BIO_FLUSH, NULL) >= 9000000);
	blk_close(&b);

	blk_open(&b, "delay[read_us=500,jitter_us=1000] -> memory:1M");
	for (i = 0; i < 10; i++) {
		ns = timed(&b, LEAP_BIO_READ, buf);
		assert_true(ns >= 500000);
	}
	blk_close(&b);

	blk_open(&b, "delay -> memory:1M");
	model_run(&b, 4711, 500, 0, 1);
	blk_close(&b);
}

static void delayed_bios_overtake(void **state)
{
	unsigned char buf[1024];
	struct leap_piece piece[2] = {
		{ .addr = buf, .len_bytes = 512 },
		{ .addr = buf + 512, .len_bytes = 512 },
	};
	struct blk_wait slow_wait, fast_wait;
	struct leap_bio *slow, *fast;
	struct blk b;

	blk_open(&b, "delay[write_us=20000] -> memory:1M");
	slow = blk_bio(&b, LEAP_BIO_WRITE, 0, 1, &piece[0], 1, &slow_wait);
	fast = blk_bio(&b, LEAP_BIO_READ, 1, 1, &piece[1], 1, &fast_wait);
	leap_bio_submit(b.chan, slow);
	leap_bio_submit(b.chan, fast);
	assert_int_equal(fast_wait.nr_done, 1);
	assert_int_equal(slow_wait.nr_done, 0);
	assert_int_equal(blk_await(&b, fast, &fast_wait), 0);
	assert_int_equal(blk_await(&b, slow, &slow_wait), 0);
	blk_close(&b);
}

/* How many of @n reads of block @block fail. */
static int failures(struct blk *b, int n, uint64_t block)
{
	unsigned char buf[512];
	int bad = 0;

	while (n--)
		bad += blk_io(b, LEAP_BIO_READ, 0, block, 1, buf) != 0;
	return bad;
}

static void error_chooses(void **state)
{
	unsigned char buf[2048];
	struct blk b;
	int n;

	blk_open(&b, "error[op=read,after=5,every=3,count=4] -> memory:1M");
	assert_int_equal(failures(&b, 5, 0), 0);
	assert_int_equal(failures(&b, 2, 0), 0);
	assert_int_equal(failures(&b, 1, 0), 1);
	assert_int_equal(failures(&b, 100, 0), 3);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 0, 1, buf), 0);
	blk_close(&b);

	blk_open(&b, "error[block=10,blocks=2,status=read,dnr=on] -> "
		 "memory:1M");
	assert_int_equal(failures(&b, 1, 9), 0);
	assert_int_equal(failures(&b, 1, 10), 1);
	assert_int_equal(failures(&b, 1, 11), 1);
	assert_int_equal(failures(&b, 1, 12), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 7, 3, buf), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 7, 4, buf),
			 LEAP_SC_UNRECOVERED_READ | LEAP_STATUS_DNR);
	blk_close(&b);

	blk_open(&b, "error[rate=250000] -> memory:1M");
	n = failures(&b, 4000, 0);
	assert_in_range(n, 800, 1200);
	blk_close(&b);
}

static void error_refuses(void **state)
{
	static const char *const bad[] = {
		"error[op=reed] -> null", "error[status=9/1] -> null",
		"error[status=0/0] -> null", "error[status=2/81x] -> null",
		"error[every=0] -> null", "error[rate=1000001] -> null",
		"error[torn=half] -> null", "error", "error(null, null)",
		"trace[depth=0] -> null", "trace[depth=70000] -> null",
		"delay[read_us=-1] -> null",
	};
	struct leap_pollgroup *pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	struct leap_bdev *bdev = NULL;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (leap_bdev_open(pg, bad[i], &bdev) != -EINVAL)
			fail_msg("%s: %s", bad[i], leap_last_error());
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

static void torn_writes_half(void **state)
{
	unsigned char buf[9 * 512], got[9 * 512];
	struct leap_piece pieces[64];
	struct blk b;
	int i;

	blk_open(&b, "error[op=write,torn=on,status=write] -> memory:1M");
	memset(buf, 0x66, sizeof(buf));
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 0, 9, buf),
			 LEAP_SC_WRITE_FAULT);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 0, 9, got), 0);
	for (i = 0; i < 9 * 512; i++)
		assert_int_equal(got[i], i < 4 * 512 ? 0x66 : 0);

	/* Pieces that end nowhere near a block. */
	memset(pieces, 0, sizeof(pieces));
	for (i = 0; i < 64; i++) {
		pieces[i].addr = buf + 72 * i;
		pieces[i].len_bytes = 72;
	}
	assert_int_equal(blk_run(&b, LEAP_BIO_WRITE, 0, 100, 9, pieces, 64),
			 LEAP_SC_WRITE_FAULT);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 100, 9, got), 0);
	for (i = 0; i < 9 * 512; i++)
		assert_int_equal(got[i], i < 512 ? 0x66 : 0);

	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 200, 1, buf),
			 LEAP_SC_WRITE_FAULT);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 200, 1, got), 0);
	assert_int_equal(got[0], 0);
	blk_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trace_remembers_the_last),
		cmocka_unit_test(trace_sees_errors_and_times),
		cmocka_unit_test(delay_waits_by_kind),
		cmocka_unit_test(delayed_bios_overtake),
		cmocka_unit_test(error_chooses),
		cmocka_unit_test(error_refuses),
		cmocka_unit_test(torn_writes_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
