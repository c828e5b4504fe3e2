/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * src/block/file over both real worlds, and over a world that fails: sizes,
 * locks, pieces of any shape, full disks, syncs that fail.
 */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block-fixture.h"
#include "core/io/pollgroup.h"

static char path[64];
static int kind;

static void blk_file(struct blk *b, const char *options)
{
	char text[256];

	snprintf(text, sizeof(text), "file:%s%s", path, options);
	blk_open_with(b, kind, text, NULL);
}

static int refused(const char *options)
{
	struct leap_pollgroup *pg = blk_pollgroup(kind);
	struct leap_bdev *bdev = NULL;
	char text[256];
	int err;

	snprintf(text, sizeof(text), "file:%s%s", path, options);
	err = leap_bdev_open(pg, text, &bdev);
	assert_int_equal(leap_bdev_close(bdev), 0);
	/* Nothing may be left that holds the group. */
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
	return err;
}

static int setup(void **state)
{
	int fd;

	strcpy(path, "test-file-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 256 << 10), 0);
	close(fd);
	return 0;
}

static int cleanup(void **state)
{
	return unlink(path);
}

static void bytes_are_where_they_belong(void **state)
{
	unsigned char buf[1024], raw[1024];
	struct blk b;
	int fd;

	blk_file(&b, "");
	assert_int_equal(b.nr_blocks, 512);
	memset(buf, 0x42, sizeof(buf));
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, LEAP_BIO_FUA, 3, 2, buf),
			 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, raw, 1024, 3 * 512), 1024);
	assert_memory_equal(buf, raw, 1024);
	close(fd);
	blk_close(&b);
}

static void random_operations(void **state)
{
	static const char *const options[] = {
		"[direct=off]", "[direct=auto]", "[direct=off,block=4096]",
		"[block=4096]",
	};
	struct blk b;
	size_t i;

	for (i = 0; i < 4; i++) {
		blk_file(&b, options[i]);
		/* Any alignment, then a guest's, then what O_DIRECT likes. */
		model_run(&b, 77 + i, 700, 0, 1);
		model_run(&b, 88 + i, 700, 2 * b.nr_blocks, 4);
		model_run(&b, 99 + i, 700, 2 * b.nr_blocks, b.block_bytes);
		assert_int_equal(leap_bdev_resize(b.bdev, 256 << 10), 0);
		blk_close(&b);
	}
}

static void many_small_pieces_in_flight(void **state)
{
	static unsigned char buf[8][200 * 512];
	struct leap_piece pieces[8][400];
	struct blk_wait wait[8];
	struct leap_bio *bio[8];
	unsigned char got[512];
	struct blk b;
	int i, j;

	/* More bios than bounce buffers, each in more steps than one. */
	blk_file(&b, "[create=1M]");
	assert_int_equal(leap_bdev_resize(b.bdev, 8 * 200 * 512), 0);
	memset(pieces, 0, sizeof(pieces));
	for (i = 0; i < 8; i++) {
		memset(buf[i], 'a' + i, sizeof(buf[i]));
		for (j = 0; j < 400; j++) {
			pieces[i][j].addr = buf[i] + 256 * j;
			pieces[i][j].len_bytes = 256;
		}
		bio[i] = blk_bio(&b, LEAP_BIO_WRITE, 200 * (uint64_t)i, 200,
				 pieces[i], 400, &wait[i]);
	}
	for (i = 0; i < 8; i++)
		leap_bio_submit(b.chan, bio[i]);
	for (i = 0; i < 8; i++)
		assert_int_equal(blk_await(&b, bio[i], &wait[i]), 0);
	for (i = 0; i < 1600; i++) {
		assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, (uint64_t)i, 1,
					got), 0);
		assert_int_equal(got[0], 'a' + i / 200);
		assert_int_equal(got[511], 'a' + i / 200);
	}
	blk_close(&b);
}

static void a_lock_keeps_others_out(void **state)
{
	struct blk b;
	int fd;

	blk_file(&b, "");
	assert_true(b.caps & LEAP_BDEV_FENCEABLE);
	assert_int_equal(refused(""), -EBUSY);
	assert_non_null(strstr(leap_last_error(), "locked"));
	/* Whoever asks for no lock gets none, and is no use for failover. */
	assert_int_equal(refused("[lock=off]"), 0);
	blk_close(&b);

	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(refused(""), -EBUSY);
	close(fd);
	assert_int_equal(refused(""), 0);
}

static void a_killed_holder_lets_go(void **state)
{
	int status, fds[2], i;
	struct blk b;
	pid_t pid;
	char c;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		blk_file(&b, "");
		if (write(fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(fds[0], &c, 1), 1);
	assert_int_equal(refused(""), -EBUSY);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* io_uring lets go a little after the process is gone. */
	for (i = 0; refused("") == -EBUSY; i++) {
		assert_true(i < 6000);
		usleep(10000);
	}
	assert_int_equal(refused(""), 0);
	close(fds[0]);
	close(fds[1]);
}

static void readonly_is_readonly(void **state)
{
	unsigned char buf[512] = { 0 };
	struct blk b, second;

	blk_file(&b, "[readonly=on]");
	assert_true(b.caps & LEAP_BDEV_READONLY);
	assert_false(b.caps & LEAP_BDEV_FENCEABLE);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 0, 1, buf), 0);
	assert_int_equal(LEAP_STATUS_CODE(blk_io(&b, LEAP_BIO_WRITE, 0, 0, 1,
			 buf)), LEAP_SC_NS_WRITE_PROTECTED);
	assert_int_equal(LEAP_STATUS_CODE(blk_io(&b, LEAP_BIO_DISCARD, 0, 0, 1,
			 NULL)), LEAP_SC_NS_WRITE_PROTECTED);
	assert_int_equal(leap_bdev_resize(b.bdev, 512), -EOPNOTSUPP);
	blk_file(&second, "[readonly=on]");
	blk_close(&second);
	blk_close(&b);
}

static void bad_opens_are_refused(void **state)
{
	assert_int_equal(refused("/no/such"), -ENOTDIR);
	assert_int_equal(refused("-absent"), -ENOENT);
	assert_int_equal(refused("[direct=maybe]"), -EINVAL);
	assert_int_equal(refused("[block=1024]"), -EINVAL);
	assert_int_equal(refused("[readonly=on,create=1M]"), -EINVAL);
	assert_int_equal(refused("[lock=perhaps]"), -EINVAL);
	assert_int_equal(refused(" -> null"), -EINVAL);
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(refused(""), -EINVAL);
	assert_non_null(strstr(leap_last_error(), "100 bytes"));
	cleanup(NULL);
	strcpy(path, ".");
	assert_int_equal(refused(""), -EISDIR);
	strcpy(path, "/dev/null");
	assert_int_equal(refused(""), -EINVAL);
	setup(NULL);
}

static void create_makes_it_once(void **state)
{
	unsigned char buf[512];
	struct stat st;
	struct blk b;

	assert_int_equal(unlink(path), 0);
	blk_file(&b, "[create=1M]");
	assert_int_equal(b.nr_blocks, 2048);
	memset(buf, 7, sizeof(buf));
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 2047, 1, buf), 0);
	blk_close(&b);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
	blk_file(&b, "[create=2M]");
	assert_int_equal(b.nr_blocks, 2048);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 2047, 1, buf), 0);
	assert_int_equal(buf[511], 7);
	blk_close(&b);
}

static void growth_from_outside_is_noticed(void **state)
{
	uint64_t until;
	struct blk b;

	blk_file(&b, "[rescan_ms=5]");
	assert_int_equal(truncate(path, 512 << 10), 0);
	until = leap_pollgroup_now_ns(b.pg) + 60000000000u;
	while (b.nr_blocks != 1024 && leap_pollgroup_now_ns(b.pg) < until) {
		leap_pollgroup_wait(b.pg, 100000000);
		blk_refresh(&b);
	}
	assert_int_equal(b.nr_blocks, 1024);
	/* Cut off behind our back: an error, not a crash and not zeroes. */
	assert_int_equal(truncate(path, 4096), 0);
	blk_close(&b);

	blk_file(&b, "[rescan_ms=0]");
	assert_int_equal(truncate(path, 512), 0);
	{
		unsigned char buf[1024];

		assert_int_equal(LEAP_STATUS_CODE(blk_io(&b, LEAP_BIO_READ, 0,
				 0, 2, buf)), LEAP_SC_UNRECOVERED_READ);
	}
	blk_close(&b);
}

static void discard_makes_holes(void **state)
{
	unsigned char *buf = calloc(1, 256 << 10);
	struct stat full, holes;
	struct blk b;
	uint32_t i;

	blk_file(&b, "");
	memset(buf, 1, 256 << 10);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, LEAP_BIO_FUA, 0, 512, buf),
			 0);
	assert_int_equal(stat(path, &full), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_DISCARD, 0, 8, 480, NULL), 0);
	assert_int_equal(blk_run(&b, LEAP_BIO_FLUSH, 0, 0, 0, NULL, 0), 0);
	assert_int_equal(stat(path, &holes), 0);
	assert_int_equal(holes.st_size, 256 << 10);
	assert_true(holes.st_blocks < full.st_blocks);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 0, 512, buf), 0);
	for (i = 0; i < 256 << 10; i++)
		assert_int_equal(buf[i], i < 4096 || i >= 488 * 512);
	blk_close(&b);
	free(buf);
}

static void beyond_the_limit_is_capacity_exceeded(void **state)
{
	unsigned char buf[4096] = { 1 };
	struct rlimit old, tight;
	struct blk b;

	blk_file(&b, "[direct=off]");
	assert_int_equal(leap_bdev_resize(b.bdev, 1 << 20), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	tight.rlim_cur = 64 << 10;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	assert_int_equal(LEAP_STATUS_CODE(blk_io(&b, LEAP_BIO_WRITE,
			 LEAP_BIO_FUA, 1024, 8, buf)),
			 LEAP_SC_CAPACITY_EXCEEDED);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	/* A full disk is not a disk that lost something. */
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, LEAP_BIO_FUA, 1024, 8,
				buf), 0);
	assert_int_equal(blk_run(&b, LEAP_BIO_FLUSH, 0, 0, 0, NULL, 0), 0);
	blk_close(&b);
}

/*
 * A world that fails: the real one with another submit, which answers what it
 * was told to instead of doing the operation.
 */
static struct leap__world_ops faulty;
static const struct leap__world_ops *real;
static int fail_op, fail_res, fail_count;

static void faulty_submit(struct leap__world *w, struct leap__io *io)
{
	if (io->op != fail_op || !fail_count) {
		real->submit(w, io);
		return;
	}
	fail_count--;
	io->res = fail_res;
	io->done(io);
}

static void break_world(struct blk *b, int op, int res, int count)
{
	struct leap__world *w = leap__pollgroup_world(b->pg);

	if (w->ops != &faulty) {
		real = w->ops;
		faulty = *real;
		faulty.submit = faulty_submit;
		w->ops = &faulty;
	}
	fail_op = op;
	fail_res = res;
	fail_count = count;
}

static void mend_world(struct blk *b)
{
	leap__pollgroup_world(b->pg)->ops = real;
}

static void a_failed_sync_latches(void **state)
{
	unsigned char buf[512] = { 5 };
	struct blk b;

	blk_file(&b, "");
	break_world(&b, LEAP__IO_FSYNC, -EIO, 1);
	assert_int_equal(blk_run(&b, LEAP_BIO_FLUSH, 0, 0, 0, NULL, 0),
			 LEAP_SC_WRITE_FAULT);
	/* The kernel would answer 0 from now on. */
	assert_int_equal(LEAP_STATUS_CODE(blk_run(&b, LEAP_BIO_FLUSH, 0, 0, 0,
			 NULL, 0)), LEAP_SC_WRITE_FAULT);
	assert_int_equal(LEAP_STATUS_CODE(blk_io(&b, LEAP_BIO_WRITE,
			 LEAP_BIO_FUA, 0, 1, buf)), LEAP_SC_WRITE_FAULT);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 0, 1, buf), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 0, 1, buf), 0);
	mend_world(&b);
	blk_close(&b);
	blk_file(&b, "");
	assert_int_equal(blk_run(&b, LEAP_BIO_FLUSH, 0, 0, 0, NULL, 0), 0);
	blk_close(&b);
}

/*
 * The kernel tells of a lost page once, on whichever channel syncs next. Two
 * groups have the file: neither may be told that all is well after that, nor
 * the one whose own sync went well while the other's failed.
 */
static struct leap__io *kept_sync;

static void keeping_submit(struct leap__world *w, struct leap__io *io)
{
	(void)w;
	assert_int_equal(io->op, LEAP__IO_FSYNC);
	kept_sync = io;
}

static void a_failed_sync_latches_for_every_group(void **state)
{
	unsigned char buf[512] = { 5 };
	struct leap__world_ops keeping;
	struct blk b, other = { 0 };
	struct blk_wait wait;
	struct leap_bio *bio;

	blk_file(&b, "");
	other = b;
	other.pg = blk_pollgroup(kind);
	assert_non_null(other.pg);
	assert_int_equal(leap_chan_open(b.bdev, other.pg, 8, &other.chan), 0);
	assert_int_equal(blk_run(&other, LEAP_BIO_FLUSH, 0, 0, 0, NULL, 0), 0);
	/* A sync of the other group is on its way all the time. */
	keeping = *leap__pollgroup_world(other.pg)->ops;
	keeping.submit = keeping_submit;
	real = leap__pollgroup_world(other.pg)->ops;
	leap__pollgroup_world(other.pg)->ops = &keeping;
	bio = blk_bio(&other, LEAP_BIO_FLUSH, 0, 0, NULL, 0, &wait);
	leap_bio_submit(other.chan, bio);
	mend_world(&other);
	assert_non_null(kept_sync);
	break_world(&b, LEAP__IO_FSYNC, -EIO, 1);
	assert_int_equal(blk_run(&b, LEAP_BIO_FLUSH, 0, 0, 0, NULL, 0),
			 LEAP_SC_WRITE_FAULT);
	mend_world(&b);
	kept_sync->res = 0;
	kept_sync->done(kept_sync);
	assert_int_equal(LEAP_STATUS_CODE(blk_await(&other, bio, &wait)),
			 LEAP_SC_WRITE_FAULT);
	assert_int_equal(LEAP_STATUS_CODE(blk_run(&other, LEAP_BIO_FLUSH, 0, 0,
			 0, NULL, 0)), LEAP_SC_WRITE_FAULT);
	assert_int_equal(LEAP_STATUS_CODE(blk_io(&other, LEAP_BIO_WRITE,
			 LEAP_BIO_FUA, 0, 1, buf)), LEAP_SC_WRITE_FAULT);
	assert_int_equal(LEAP_STATUS_CODE(blk_run(&b, LEAP_BIO_FLUSH, 0, 0, 0,
			 NULL, 0)), LEAP_SC_WRITE_FAULT);
	assert_int_equal(leap_chan_close(other.chan), 0);
	assert_int_equal(leap_pollgroup_destroy(other.pg), 0);
	blk_close(&b);
	blk_file(&b, "");
	assert_int_equal(blk_run(&b, LEAP_BIO_FLUSH, 0, 0, 0, NULL, 0), 0);
	blk_close(&b);
}

static void a_failed_fua_write_latches(void **state)
{
	unsigned char buf[512] = { 5 };
	struct blk b;

	blk_file(&b, "");
	break_world(&b, LEAP__IO_WRITE, -EIO, 1);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, LEAP_BIO_FUA, 0, 1, buf),
			 LEAP_SC_WRITE_FAULT);
	assert_int_equal(LEAP_STATUS_CODE(blk_run(&b, LEAP_BIO_FLUSH, 0, 0, 0,
			 NULL, 0)), LEAP_SC_WRITE_FAULT);
	mend_world(&b);
	blk_close(&b);
}

static void errors_become_the_right_status(void **state)
{
	static const struct {
		int io, err, op;
		leap_status_t status;
	} cases[] = {
		{ LEAP__IO_READ, -EIO, LEAP_BIO_READ,
		  LEAP_SC_UNRECOVERED_READ },
		{ LEAP__IO_READ, 0, LEAP_BIO_READ, LEAP_SC_UNRECOVERED_READ },
		{ LEAP__IO_READ, 100, LEAP_BIO_READ, LEAP_SC_UNRECOVERED_READ },
		{ LEAP__IO_READ, -EIO, LEAP_BIO_COMPARE,
		  LEAP_SC_UNRECOVERED_READ },
		{ LEAP__IO_WRITE, -EIO, LEAP_BIO_WRITE, LEAP_SC_WRITE_FAULT },
		{ LEAP__IO_WRITE, -ENOSPC, LEAP_BIO_WRITE,
		  LEAP_SC_CAPACITY_EXCEEDED },
		{ LEAP__IO_WRITE, -EDQUOT, LEAP_BIO_WRITE,
		  LEAP_SC_CAPACITY_EXCEEDED },
		{ LEAP__IO_WRITE, -EROFS, LEAP_BIO_WRITE,
		  LEAP_SC_NS_WRITE_PROTECTED },
		{ LEAP__IO_ZERO, -EIO, LEAP_BIO_WRITE_ZEROES,
		  LEAP_SC_WRITE_FAULT },
		{ LEAP__IO_DISCARD, -EIO, LEAP_BIO_DISCARD,
		  LEAP_SC_WRITE_FAULT },
	};
	unsigned char buf[512];
	struct blk b;
	size_t i;
	int data;

	blk_file(&b, "");
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		break_world(&b, cases[i].io, cases[i].err, 1);
		data = cases[i].io == LEAP__IO_READ ||
		       cases[i].io == LEAP__IO_WRITE;
		assert_int_equal(blk_io(&b, cases[i].op, 0, 0, 1,
					data ? buf : NULL), cases[i].status);
		assert_int_equal(fail_count, 0);
	}
	/* None of these was a sync. */
	assert_int_equal(blk_run(&b, LEAP_BIO_FLUSH, 0, 0, 0, NULL, 0), 0);
	mend_world(&b);
	blk_close(&b);
}

static void without_punching_discard_still_zeroes(void **state)
{
	unsigned char buf[512] = { 9 };
	struct blk b;
	int i;

	blk_file(&b, "");
	break_world(&b, LEAP__IO_DISCARD, -EOPNOTSUPP, 1);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 4, 1, buf), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_DISCARD, 0, 4, 1, NULL), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 4, 1, buf), 0);
	for (i = 0; i < 512; i++)
		assert_int_equal(buf[i], 0);
	/* It does not ask again. */
	fail_count = 1;
	assert_int_equal(blk_io(&b, LEAP_BIO_DISCARD, 0, 4, 1, NULL), 0);
	assert_int_equal(fail_count, 1);
	mend_world(&b);
	blk_close(&b);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, cleanup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(bytes_are_where_they_belong),
		CASE(random_operations),
		CASE(many_small_pieces_in_flight),
		CASE(a_lock_keeps_others_out),
		CASE(a_killed_holder_lets_go),
		CASE(readonly_is_readonly),
		CASE(bad_opens_are_refused),
		CASE(create_makes_it_once),
		CASE(growth_from_outside_is_noticed),
		CASE(discard_makes_holes),
		CASE(beyond_the_limit_is_capacity_exceeded),
		CASE(a_failed_sync_latches),
		CASE(a_failed_sync_latches_for_every_group),
		CASE(a_failed_fua_write_latches),
		CASE(errors_become_the_right_status),
		CASE(without_punching_discard_still_zeroes),
	};
	struct leap_pollgroup *pg;
	int failed;

	kind = LEAP_WORLD_EPOLL;
	failed = cmocka_run_group_tests_name("epoll", tests, NULL, NULL);
	kind = LEAP_WORLD_URING;
	pg = blk_pollgroup(kind);
	if (!pg) {
		printf("[  SKIPPED ] everything over io_uring: %s\n",
		       leap_last_error());
		return failed;
	}
	leap_pollgroup_destroy(pg);
	return failed + cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}
