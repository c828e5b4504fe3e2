/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The leaf over the kernel's pass-through, with a kernel of the test's: a drive
 * in memory that answers when it likes, resets and refuses. And the real one,
 * as far as a machine without such a drive has it.
 */
#include "config.h"

#include "fake-ng.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <leapio/relay.h>

#include "block/bdev.h"
#include "block/copy.h"

#define START		100u
#define BLOCKS		2048u

#define STACK(opts) "ng:/dev/ng7n3[start=100,blocks=2048" opts "]"

static void test_model(void **state)
{
	struct blk b;
	uint32_t i;

	memset(ngk.media, 0xca, sizeof(ngk.media));
	open_ng(&b, STACK(""));
	assert_int_equal(b.nr_blocks, BLOCKS);
	assert_int_equal(b.block_bytes, 512);
	assert_int_equal(b.caps, LEAP_BDEV_FUA | LEAP_BDEV_FLUSH |
			 LEAP_BDEV_DISCARD | LEAP_BDEV_RANGES |
			 LEAP_BDEV_WRITE_ZEROES | LEAP_BDEV_COMPARE |
			 LEAP_BDEV_ZERO_DISCARD | LEAP_BDEV_VERIFY |
			 LEAP_BDEV_COPY);
	model_run(&b, 77, 3000, 0, 1);
	for (i = 0; i < sizeof(ngk.media); i++)
		if (ngk.media[i] != 0xca && (i < START * 512 ||
					   i >= (START + BLOCKS) * 512))
			fail_msg("byte %u is outside of the window", i);
	close_ng(&b);
}

/* More at once than there is room for, and more pieces than one takes. */
static void test_many(void **state)
{
	static uint8_t buf[64][512], big[256 << 10];
	static struct leap_piece pieces[512];
	struct leap_relay_info info = { sizeof(info) };
	struct blk_wait wait[8];
	struct leap_bio *bio[8];
	struct leap_piece one[8];
	struct blk b;
	uint32_t i;

	open_ng(&b, STACK(",depth=3"));
	__atomic_store_n(&ngk.held, 1, __ATOMIC_RELEASE);
	for (i = 0; i < 8; i++) {
		memset(buf[i], (int)i + 1, 512);
		one[i] = (struct leap_piece){ .addr = buf[i],
			.len_bytes = 512 };
		bio[i] = blk_bio(&b, LEAP_BIO_WRITE, i, 1, &one[i], 1,
				 &wait[i]);
		leap_bio_submit(b.chan, bio[i]);
	}
	assert_int_equal(ngk.nr, 3);
	__atomic_store_n(&ngk.held, 0, __ATOMIC_RELEASE);
	for (i = 0; i < 8; i++)
		assert_int_equal(blk_await(&b, bio[i], &wait[i]), 0);
	assert_int_equal(ngk.most, 3);
	for (i = 0; i < 8; i++)
		assert_int_equal(ngk.media[(START + i) * 512], i + 1);
	for (i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + i / 512);
	for (i = 0; i < 512; i++)
		pieces[i] = (struct leap_piece){ .addr = big + i * 512,
			.len_bytes = 512 };
	assert_int_equal(blk_run(&b, LEAP_BIO_WRITE, 0, 10, 512, pieces, 512),
			 0);
	assert_memory_equal(ngk.media + (START + 10) * 512, big, sizeof(big));
	/* 128 KiB are 32 pages, of 127 segments. */
	assert_int_equal(ngk.most_iov, 47);
	assert_true(ngk.most_bytes <= 128 << 10);
	assert_int_equal(leap_relay_info(b.bdev, &info), 0);
	assert_int_equal(info.split, 1);
	assert_int_equal(info.groups_live, 1);
	close_ng(&b);
}

/* As many bytes and segments as the kernel says, whatever the drive says. */
static void test_kernel_limits(void **state)
{
	static const struct {
		uint32_t bytes, segments, want;
	} t[] = {
		{ 64 << 10, 127, 64 << 10 }, { 1 << 20, 1024, 128 << 10 },
		{ 1 << 20, 33, 64 << 10 }, { 4096, 1, 4096 },
		{ 512, 127, 4096 }, { 1 << 20, 2, 4096 },
	};
	static uint8_t buf[512 << 10];
	struct blk b;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		ngk.max_bytes = t[i].bytes;
		ngk.max_segments = t[i].segments;
		ngk.most_bytes = 0;
		open_ng(&b, STACK(""));
		assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 0, 1024, buf),
				 0);
		assert_int_equal(ngk.most_bytes, t[i].want);
		close_ng(&b);
	}
}

static leap_status_t copy_blocks(struct blk *b, uint32_t nr)
{
	struct leap_copy_range0 r = { .slba = leap_to_le64(0),
		.nlb = leap_to_le16((uint16_t)(nr - 1)) };
	struct leap_piece piece = { .addr = &r, .len_bytes = sizeof(r) };
	struct leap_sqe sqe = { .opc = LEAP_NVM_COPY };
	struct blk_wait wait;
	struct leap_bio *bio;

	bio = blk_bio(b, LEAP_BIO_COPY, 1000, nr, &piece, 1, &wait);
	bio->sqe = &sqe;
	leap_bio_submit(b->chan, bio);
	return blk_await(b, bio, &wait);
}

static void test_copy_in_parts(void **state)
{
	struct blk b;
	uint32_t i;

	for (i = 0; i < sizeof(ngk.media); i++)
		ngk.media[i] = (uint8_t)(i / 512 * 3);
	open_ng(&b, STACK(""));
	assert_int_equal(copy_blocks(&b, 1000), 0);
	assert_int_equal(ngk.nr_sent, 8);
	assert_memory_equal(ngk.media + (START + 1000) * 512,
			    ngk.media + START * 512, 1000 * 512);
	close_ng(&b);
}

static leap_status_t read_one(struct blk *b)
{
	static uint8_t buf[512];

	return blk_io(b, LEAP_BIO_READ, 0, 5, 1, buf);
}

static void test_failures(void **state)
{
	static const struct {
		int32_t res;
		leap_status_t status;
	} t[] = {
		{ LEAP_SC_UNRECOVERED_READ | DNR,
		  LEAP_SC_UNRECOVERED_READ | DNR },
		{ LEAP_SC_UNRECOVERED_READ | LEAP_STATUS_MORE,
		  LEAP_SC_UNRECOVERED_READ },
		{ LEAP_SC_NS_NOT_READY, LEAP_SC_NS_NOT_READY },
		{ -EACCES, LEAP_SC_OP_DENIED | DNR },
		{ -EINVAL, LEAP_SC_INTERNAL | DNR },
		{ -EFAULT, LEAP_SC_INTERNAL | DNR },
		{ -ENODEV, LEAP_SC_PATH_CTRL },
	};
	struct blk b;
	size_t i;

	open_ng(&b, STACK(",loss_ms=300"));
	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		ngk.fail = t[i].res;
		ngk.nr_fail = 1;
		assert_int_equal(read_one(&b), t[i].status);
		assert_int_equal(read_one(&b), 0);
	}
	close_ng(&b);
}

/* The kernel resets the drive: commands wait, for so long. */
static void test_resets(void **state)
{
	static const int32_t res[] = { -EAGAIN, -EINTR, LEAP_SC_PATH_HOST,
		LEAP_SC_PATH_HOST_ABORTED | DNR };
	struct leap_relay_info info = { sizeof(info) };
	struct blk b;
	size_t i;

	open_ng(&b, STACK(",loss_ms=250"));
	for (i = 0; i < 4; i++) {
		ngk.fail = res[i];
		ngk.nr_fail = 2;
		ngk.nr_sent = 0;
		assert_int_equal(read_one(&b), 0);
		assert_int_equal(ngk.nr_sent, 3);
	}
	assert_int_equal(leap_relay_info(b.bdev, &info), 0);
	assert_int_equal(info.held, 4);
	ngk.nr_fail = 1000;
	assert_int_equal(read_one(&b), LEAP_SC_PATH_CTRL);
	ngk.nr_fail = 0;
	assert_int_equal(read_one(&b), 0);
	close_ng(&b);
}

/* The drive may have done it before it was reset: then not once more. */
static void test_copy_is_done_once(void **state)
{
	static const struct {
		int32_t res;
		uint32_t sent;
		leap_status_t status;
	} t[] = {
		{ LEAP_SC_PATH_HOST_ABORTED, 1, LEAP_SC_INTERNAL | DNR },
		{ -EIO, 1, LEAP_SC_INTERNAL | DNR },
		{ LEAP_SC_ABORT_REQUESTED | DNR, 1, LEAP_SC_INTERNAL | DNR },
		/* It never got there. */
		{ -EAGAIN, 2, 0 }, { LEAP_SC_PATH_HOST, 2, 0 },
		{ -ENODEV, 1, LEAP_SC_PATH_CTRL },
	};
	struct blk b;
	size_t i;

	open_ng(&b, STACK(""));
	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		ngk.fail = t[i].res;
		ngk.nr_fail = 1;
		ngk.nr_sent = 0;
		assert_int_equal(copy_blocks(&b, 8), t[i].status);
		assert_int_equal(ngk.nr_sent, t[i].sent);
	}
	close_ng(&b);
}

static struct leap_bio *start_read(struct blk *b, struct blk_wait *wait)
{
	static uint8_t buf[512];
	static const struct leap_piece piece = { .addr = buf,
		.len_bytes = sizeof(buf) };
	struct leap_bio *bio;

	bio = blk_bio(b, LEAP_BIO_READ, 1, 1, &piece, 1, wait);
	leap_bio_submit(b->chan, bio);
	leap__chan_let_go(b->chan, NULL);
	return bio;
}

/* Memory is wanted back while the drive is being reset: half a minute is no
 * answer. What the kernel has it keeps, but is not given again. */
static void test_lets_go(void **state)
{
	struct blk_wait wait;
	struct leap_bio *bio;
	uint64_t start;
	struct blk b;

	open_ng(&b, STACK(""));
	start = leap_pollgroup_now_ns(b.pg);
	ngk.fail = -EAGAIN;
	ngk.nr_fail = 1000000;
	bio = start_read(&b, &wait);
	assert_int_equal(blk_await(&b, bio, &wait), LEAP_SC_PATH_CTRL);
	assert_true(leap_pollgroup_now_ns(b.pg) - start < 20000000000u);
	ngk.held = 1;
	ngk.nr_sent = 0;
	bio = start_read(&b, &wait);
	start = leap_pollgroup_now_ns(b.pg);
	while (leap_pollgroup_now_ns(b.pg) - start < 1200000000u)
		leap_pollgroup_wait(b.pg, 10000000);
	assert_false(wait.nr_done);
	ngk.held = 0;
	assert_int_equal(blk_await(&b, bio, &wait), LEAP_SC_PATH_CTRL);
	assert_int_equal(ngk.nr_sent, 1);
	ngk.nr_fail = 0;
	assert_int_equal(read_one(&b), 0);
	close_ng(&b);
}

static void *let_go(void *arg)
{
	uint64_t one = 1;

	usleep(50000);
	__atomic_store_n(&ngk.held, 0, __ATOMIC_RELEASE);
	assert_int_equal(write(ngk.event_fd, &one, 8), 8);
	return NULL;
}

/* Nothing but the event fd ends the sleep. */
static void test_wakes(void **state)
{
	struct leap_pollgroup_stats st = { sizeof(st) };
	struct blk_wait wait;
	struct leap_piece piece;
	struct leap_bio *bio;
	uint8_t buf[512];
	pthread_t thread;
	uint64_t wakeups;
	struct blk b;
	int i;

	open_ng(&b, STACK(""));
	for (i = 0; i < 3; i++) {
		__atomic_store_n(&ngk.held, 1, __ATOMIC_RELEASE);
		ngk.armed = 0;
		piece = (struct leap_piece){ .addr = buf, .len_bytes = 512 };
		bio = blk_bio(&b, LEAP_BIO_READ, 1, 1, &piece, 1, &wait);
		leap_bio_submit(b.chan, bio);
		assert_int_equal(pthread_create(&thread, NULL, let_go, NULL),
				 0);
		assert_int_equal(leap_pollgroup_stats(b.pg, &st), 0);
		wakeups = st.wakeups;
		/* It looks again after a second, which is no wake-up. */
		assert_int_equal(blk_await(&b, bio, &wait), 0);
		assert_int_equal(leap_pollgroup_stats(b.pg, &st), 0);
		assert_true(st.wakeups > wakeups);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_true(ngk.armed > 0);
	}
	close_ng(&b);
}

static void test_open_fails(void **state)
{
	struct leap_pollgroup *pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	struct leap_bdev *bdev = NULL;
	static const char plain[] = "ng:/dev/ng7n3";

#define REFUSED(stack, err, text) do { \
	assert_int_equal(leap_bdev_open_with(pg, stack, fake_ng_own, &bdev), \
			 err); \
	if (!strstr(leap_last_error(), text)) \
		fail_msg("%s", leap_last_error()); \
	assert_int_equal(ngk.opened, 0); \
} while (0)
	REFUSED("ng", -EINVAL, "path is missing");
	REFUSED("ng:/dev/ng7n3[depth=0]", -EINVAL, "depth");
	REFUSED("ng:/dev/ng7n3[nsid=4]", -EINVAL, "column");
	REFUSED("ng:/dev/ng7n3[start=4096]", -EINVAL, "not in the");
	REFUSED("ng:/dev/ng7n3[start=4000,blocks=97]", -EINVAL, "not in the");
	ngk.open_err = -ENOENT;
	REFUSED(plain, -ENOENT, "/dev/ng7n3");
	ngk.open_err = 0;
	ngk.nsid = -ENOTTY;
	REFUSED(plain, -ENOTTY, "not the node");
	ngk.nsid = 3;
	ngk.hold_err = -EBUSY;
	REFUSED(plain, -EBUSY, "mounted");
	/* Who has no block device has nobody to keep away. */
	ngk.hold_err = -ENOENT;
	ngk.ns.lbaf[0].ms = leap_to_le16(8);
	ngk.ns.dps = 1;
	REFUSED(plain, -EOPNOTSUPP, "type 1");
	ngk.ns.dps = 0;
	REFUSED(plain, -EOPNOTSUPP, "metadata");
	ngk.ns.lbaf[0].ms = leap_to_le16(0);
	ngk.ns.lbaf[0].lbads = 0;
	REFUSED(plain, -EOPNOTSUPP, "format");
	ngk.ns.lbaf[0].lbads = 9;
	ngk.desc[0] = LEAP_NIDT_EUI64;
	ngk.desc[1] = LEAP_NIDL_EUI64;
	ngk.desc[12] = LEAP_NIDT_CSI;
	ngk.desc[13] = LEAP_NIDL_CSI;
	ngk.desc[16] = LEAP_CSI_KV;
	REFUSED(plain, -EOPNOTSUPP, "another command set");
	ngk.desc[16] = LEAP_CSI_ZNS;
	REFUSED(plain, -EOPNOTSUPP, "nothing is said");
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

static void test_read_only(void **state)
{
	static uint8_t buf[512];
	struct blk b;

	ngk.read_only = 1;
	open_ng(&b, STACK(",lock=off"));
	assert_true(b.caps & LEAP_BDEV_READONLY);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 0, 1, buf), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 0, 1, buf),
			 LEAP_SC_NS_WRITE_PROTECTED | DNR);
	close_ng(&b);
}

/* The kernel has heard of a new size; a window stays what it is. */
static void test_resized(void **state)
{
	uint64_t from;
	struct blk b;

	open_ng(&b, "ng:/dev/ng7n3[start=96,rescan_ms=5]");
	assert_int_equal(b.nr_blocks, FAR_BLOCKS - 96);
	ngk.size = FAR_BLOCKS / 2;
	from = leap_pollgroup_now_ns(b.pg);
	while (b.nr_blocks != FAR_BLOCKS / 2 - 96) {
		assert_true(leap_pollgroup_now_ns(b.pg) - from <
			    60000000000ull);
		leap_pollgroup_wait(b.pg, 5000000);
		blk_refresh(&b);
	}
	close_ng(&b);
	open_ng(&b, STACK(",rescan_ms=5"));
	from = leap_pollgroup_now_ns(b.pg);
	while (leap_pollgroup_now_ns(b.pg) - from < 30000000)
		leap_pollgroup_wait(b.pg, 5000000);
	blk_refresh(&b);
	assert_int_equal(b.nr_blocks, BLOCKS);
	close_ng(&b);
}

/* ---- the real kernel ----------------------------------------------------- */

static void test_real_nodes(void **state)
{
	struct leap_pollgroup *pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	struct leap_bdev *bdev = NULL;

	assert_int_equal(leap_bdev_open(pg, "ng:/dev/null", &bdev), -ENOTTY);
	assert_int_equal(leap_bdev_open(pg, "ng:/dev/none", &bdev), -ENOENT);
	assert_int_equal(leap_bdev_open(pg, "ng:/", &bdev), -EISDIR);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* Every place of the ring comes round several times. */
static void test_real_ring(void **state)
{
	const struct leap__ng_kernel *kernel = &leap__ng_kernel;
	struct leap_sqe sqe = { .opc = LEAP_NVM_READ };
	struct leap__ng_event e[8];
	void *dev = NULL, *ring = NULL;
	bool read_only = false;
	uint32_t round, i, n, seen;
	struct iovec iov[2];
	char buf[1024];
	int err, tries, event_fd;

	iov[0] = (struct iovec){ buf, 512 };
	iov[1] = (struct iovec){ buf + 512, 512 };
	assert_int_equal(kernel->open("/dev/null", &read_only, &dev), 0);
	event_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(event_fd >= 0);
	err = kernel->ring_open(dev, 8, event_fd, &ring);
	if (err) {
		kernel->close(dev);
		close(event_fd);
		print_message("skipped: %s\n", leap_last_error());
		skip();
	}
	for (round = 0; round < 40; round++) {
		for (i = 0; i < 8; i++)
			assert_int_equal(kernel->submit(ring, i, &sqe, iov,
				i % 3, i % 3 * 512), 0);
		kernel->push(ring);
		for (seen = tries = 0; seen != 255 && tries < 100000;
		     tries++) {
			n = kernel->reap(ring, e, 3);
			for (i = 0; i < n; i++) {
				assert_true(e[i].tag < 8 &&
					    !(seen >> e[i].tag & 1));
				seen |= 1u << e[i].tag;
				/* It may take commands for nothing. */
				assert_true(e[i].res == 0 ||
					    e[i].res == -EOPNOTSUPP);
			}
		}
		assert_int_equal(seen, 255);
	}
	kernel->ring_close(ring);
	kernel->close(dev);
	close(event_fd);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, fake_ng_set_up)
	const struct CMUnitTest tests[] = {
		CASE(test_resized),
		CASE(test_model), CASE(test_many), CASE(test_kernel_limits),
		CASE(test_copy_in_parts), CASE(test_copy_is_done_once),
		CASE(test_failures), CASE(test_resets), CASE(test_lets_go),
		CASE(test_wakes),
		CASE(test_open_fails), CASE(test_read_only),
		CASE(test_real_nodes), CASE(test_real_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
