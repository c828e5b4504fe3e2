/* SPDX-License-Identifier: BSD-3-Clause */
/* src/block/memory and src/block/null. */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "block-fixture.h"

/* Pages of this process that are in memory. */
static long resident(void)
{
	long size, rss = -1;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld %ld", &size, &rss), 2);
	fclose(f);
	return rss;
}

static void null_reads_zeroes(void **state)
{
	unsigned char buf[8192];
	struct blk b;
	int i;

	blk_open(&b, "null:1M[block=4096]");
	assert_int_equal(b.nr_blocks, 256);
	memset(buf, 0xaa, sizeof(buf));
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 0, 2, buf), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 0, 2, buf), 0);
	for (i = 0; i < 8192; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(leap_bdev_resize(b.bdev, 8192), 0);
	blk_refresh(&b);
	assert_int_equal(b.nr_blocks, 2);
	blk_close(&b);
}

static void refuses(const char *stack, const char *text)
{
	struct leap_pollgroup *pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	struct leap_bdev *bdev = NULL;

	assert_int_equal(leap_bdev_open(pg, stack, &bdev), -EINVAL);
	assert_null(bdev);
	if (!strstr(leap_last_error(), text))
		fail_msg("%s: %s", stack, leap_last_error());
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

static void bad_options_are_refused(void **state)
{
	refuses("memory", "size 0");
	refuses("memory:1000", "1000");
	refuses("memory:1M[block=1024]", "block 1024");
	refuses("memory:1M[max=4096]", "max 4096");
	refuses("memory:1M[blocks=512]", "\"blocks\"");
	refuses("memory:many", "many");
	refuses("memory:1M -> null", "takes 0 to 0");
	refuses("null:1M[block=1]", "block 1 ");
	refuses("null:1", "size 1 ");
	refuses("null:999E", "999E");
}

static void random_operations_512(void **state)
{
	struct blk b;

	blk_open(&b, "memory:256K[max=512K]");
	model_run(&b, 0x1234567, 6000, 1024, 1);
	blk_close(&b);
}

static void random_operations_4096(void **state)
{
	struct blk b;

	blk_open(&b, "memory:512K[block=4096,max=1M]");
	model_run(&b, 0xabcdef01, 4000, 256, 4);
	blk_close(&b);
}

/*
 * TSan's shadow takes most of the address space, valgrind has little of it, and
 * qemu-user looks at each page.
 */
static int set(const char *name)
{
	const char *text = getenv(name);

	return text && *text;
}

static int emulated(void)
{
	return set("LEAP_CROSS") || set("LEAP_VALGRIND");
}

static int under_tsan(void)
{
#ifdef __SANITIZE_THREAD__
	return 1;
#else
	return 0;
#endif
}

static const char *large(void)
{
	if (emulated())
		return "memory:8G[block=4096]";
	return under_tsan() ? "memory:64G[block=4096,max=64G]" :
		"memory:8T[block=4096]";
}

static void terabytes_cost_what_is_in_them(void **state)
{
	unsigned char buf[4096];
	struct blk b;
	long before = resident();

	blk_open(&b, large());
	memset(buf, 0x11, sizeof(buf));
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, b.nr_blocks - 1, 1,
				buf), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, b.nr_blocks / 3, 1, buf),
			 0);
	assert_int_equal(buf[77], 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, b.nr_blocks - 1, 1,
				buf), 0);
	assert_int_equal(buf[77], 0x11);
	/* The memory of an emulator or of TSan is counted with it. */
	if (!emulated() && !under_tsan())
		assert_true(resident() - before < 4096);
	blk_close(&b);
}

static void discard_gives_memory_back_in_steps(void **state)
{
	const uint32_t nr = 48 << 8;	/* 48 MiB: three steps */
	struct blk_wait wait;
	struct leap_bio *bio;
	unsigned char *buf = malloc(1 << 20);
	long full;
	struct blk b;
	uint32_t i;

	blk_open(&b, "memory:64M[block=4096]");
	memset(buf, 0x22, 1 << 20);
	for (i = 0; i < nr; i += 256)
		assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, i, 256, buf), 0);
	full = resident();
	bio = blk_bio(&b, LEAP_BIO_DISCARD, 0, nr, NULL, 0, &wait);
	leap_bio_submit(b.chan, bio);
	assert_int_equal(wait.nr_done, 0);
	assert_int_equal(leap_chan_close(b.chan), -EBUSY);
	assert_int_equal(leap_pollgroup_arm(b.pg), 1);
	assert_int_equal(blk_await(&b, bio, &wait), 0);
	assert_true(full - resident() > 11000);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, nr - 1, 1, buf), 0);
	for (i = 0; i < 4096; i++)
		assert_int_equal(buf[i], 0);
	blk_close(&b);
	free(buf);
}

static void growing_shows_no_old_bytes(void **state)
{
	unsigned char buf[4096];
	struct blk b;
	int i;

	blk_open(&b, "memory:64K[block=4096]");
	memset(buf, 0x33, sizeof(buf));
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 15, 1, buf), 0);
	assert_int_equal(leap_bdev_resize(b.bdev, 32768), 0);
	assert_int_equal(leap_bdev_resize(b.bdev, 256 << 10), 0);
	assert_int_equal(leap_bdev_resize(b.bdev, 1 << 20), -ENOSPC);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 15, 1, buf), 0);
	for (i = 0; i < 4096; i++)
		assert_int_equal(buf[i], 0);
	blk_close(&b);
}

/* ---- two threads on one drive ---- */

#define TEAR_ROUNDS 30000

struct tear {
	struct leap_bdev *bdev;
	atomic_int stop;
	unsigned int torn, failed_reads, failed_writes;
};

static void tear_done(struct leap_bio *bio, leap_status_t status)
{
	*(int *)bio->arg = status;
}

static int tear_io(struct leap_pollgroup *pg, struct leap_chan *chan,
		   struct leap_bio *bio, int op, unsigned char *buf)
{
	struct leap_piece piece = { .addr = buf, .len_bytes = 8192 };
	int status = -1;

	bio->op = (uint8_t)op;
	bio->block = 1;		/* spans three regions of the leaf */
	bio->nr_blocks = 16;
	bio->pieces = &piece;
	bio->nr_pieces = op != LEAP_BIO_WRITE_ZEROES;
	bio->done = tear_done;
	bio->arg = &status;
	leap_bio_submit(chan, bio);
	while (status < 0)
		leap_pollgroup_poll(pg, 0);
	return status;
}

static void *write_patterns(void *arg)
{
	struct tear *t = arg;
	unsigned char buf[8192];
	struct leap_pollgroup *pg;
	struct leap_chan *chan;
	struct leap_bio *bio;
	unsigned int i;

	if (leap_pollgroup_create(NULL, &pg) ||
	    leap_chan_open(t->bdev, pg, 4, &chan))
		return NULL;
	bio = leap_bio_get(chan);
	for (i = 0; !atomic_load(&t->stop); i++) {
		memset(buf, (int)(i % 251), sizeof(buf));
		t->failed_writes += tear_io(pg, chan, bio, i % 16 == 15 ?
				  LEAP_BIO_WRITE_ZEROES : LEAP_BIO_WRITE,
				  buf) != 0;
	}
	leap_bio_put(chan, bio);
	t->failed_writes += leap_chan_close(chan) || leap_pollgroup_destroy(pg);
	return t;
}

/* A block is old or new, never some of both. */
static void a_block_is_read_whole(void **state)
{
	unsigned char buf[8192];
	struct tear t = { 0 };
	struct leap_bio *bio;
	pthread_t thread;
	struct blk b;
	void *ran;
	int i, j;

	blk_open(&b, "memory:1M");
	t.bdev = b.bdev;
	assert_int_equal(pthread_create(&thread, NULL, write_patterns, &t), 0);
	bio = leap_bio_get(b.chan);
	for (i = 0; i < TEAR_ROUNDS; i++) {
		t.failed_reads += tear_io(b.pg, b.chan, bio,
					  LEAP_BIO_READ, buf) != 0;
		for (j = 0; j < 8192; j += 512)
			t.torn += memcmp(buf + j, buf + j + 1, 511) != 0;
	}
	leap_bio_put(b.chan, bio);
	atomic_store(&t.stop, 1);
	pthread_join(thread, &ran);
	assert_non_null(ran);
	assert_int_equal(t.failed_reads, 0);
	assert_int_equal(t.failed_writes, 0);
	assert_int_equal(t.torn, 0);
	blk_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_reads_zeroes),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(random_operations_512),
		cmocka_unit_test(random_operations_4096),
		cmocka_unit_test(terabytes_cost_what_is_in_them),
		cmocka_unit_test(discard_gives_memory_back_in_steps),
		cmocka_unit_test(growing_shows_no_old_bytes),
		cmocka_unit_test(a_block_is_read_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
