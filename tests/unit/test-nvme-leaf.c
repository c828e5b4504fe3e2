/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The leaf that drives a device by itself, over a controller behind a
 * vfio-user socket that another thread serves: its lender, channels on two
 * threads that borrow, windows, a device that goes away and comes back, and one
 * that somebody else lends.
 */
#include "config.h"

#include "block-fixture.h"
#include "drive-fixture.h"

#include <pthread.h>
#include <unistd.h>

#include <leapio/lend.h>
#include <leapio/relay.h>
#include <leapio/target.h>

#include "block/bdev.h"

#define BLOCKS	32768u

static int set_up(void **state)
{
	struct drive *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	drive_start(d, "memory:16M");
	*state = d;
	return 0;
}

static int tear_down(void **state)
{
	struct drive *d = *state;

	drive_stop(d);
	free(d);
	return 0;
}

/* ---- the leaf ---- */

static void open_nvme(struct blk *b, const struct drive *d, const char *opts)
{
	char text[256];
	int i, err;

	snprintf(text, sizeof(text), "nvme:%s[reconnect_ms=20%s]", d->url,
		 opts);
	memset(b, 0, sizeof(*b));
	b->pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	/* It has one guest at a time, and may not have seen the last one go. */
	for (i = 0; i < 2000; i++) {
		err = leap_bdev_open(b->pg, text, &b->bdev);
		if (!err)
			break;
		usleep(10000);
	}
	if (err)
		fail_msg("%s: %s", text, leap_last_error());
	assert_int_equal(leap_chan_open(b->bdev, b->pg, 8, &b->chan), 0);
	blk_refresh(b);
}

/* Lender and connections take their leave in later polls. */
static void close_nvme(struct blk *b)
{
	int i;

	assert_int_equal(leap_chan_close(b->chan), 0);
	assert_int_equal(leap_bdev_close(b->bdev), 0);
	for (i = 0; leap_pollgroup_destroy(b->pg); i++) {
		assert_true(i < 5000);
		leap_pollgroup_wait(b->pg, 1000000);
	}
}

static void test_model(void **state)
{
	struct leap_relay_info info = { sizeof(info) };
	struct blk b;

	open_nvme(&b, *state, ",start=1000,blocks=5000");
	assert_int_equal(b.nr_blocks, 5000);
	assert_true(b.caps & LEAP_BDEV_COPY && b.caps & LEAP_BDEV_VERIFY);
	model_run(&b, 5, 1500, 0, 4);
	assert_int_equal(blk_io(&b, LEAP_BIO_VERIFY, 0, 0, 5000, NULL), 0);
	assert_int_equal(leap_relay_info(b.bdev, &info), 0);
	assert_int_equal(info.groups_live, 1);
	/* The model's payload is memory that no device knows. */
	assert_true(info.bounced > 500);
	close_nvme(&b);
}

/* ---- a channel on another thread ---- */

struct user {
	struct leap_bdev *bdev;
	uint64_t first, nr;
	pthread_t thread;
};

static void *use(void *arg)
{
	struct user *u = arg;
	static const uint32_t n = 8;
	struct blk b = { .bdev = u->bdev, .block_bytes = 512 };
	uint8_t *buf = malloc(n * 512), *back = malloc(n * 512);
	uint64_t at;
	int i;

	b.pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	assert_int_equal(leap_chan_open(b.bdev, b.pg, 4, &b.chan), 0);
	for (at = u->first; at < u->first + u->nr; at += n) {
		memset(buf, (int)(at / n * 3), n * 512);
		assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, at, n, buf), 0);
		assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, at, n, back), 0);
		assert_memory_equal(buf, back, n * 512);
	}
	assert_int_equal(blk_io(&b, LEAP_BIO_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(leap_chan_close(b.chan), 0);
	for (i = 0; leap_pollgroup_destroy(b.pg); i++) {
		assert_true(i < 20000);
		leap_pollgroup_wait(b.pg, 1000000);
	}
	free(buf);
	free(back);
	return u;
}

static void join(struct blk *b, struct user *u)
{
	/* The lender lives here. */
	while (pthread_tryjoin_np(u->thread, NULL) == EBUSY)
		leap_pollgroup_wait(b->pg, 1000000);
}

static void test_threads(void **state)
{
	struct user u[2];
	struct blk b;
	uint8_t *buf = malloc(4096);
	uint64_t at;
	uint32_t i;

	open_nvme(&b, *state, ",queues=2");
	for (i = 0; i < 2; i++) {
		u[i] = (struct user){ .bdev = b.bdev, .first = i * 8192,
			.nr = 4096 };
		assert_int_equal(pthread_create(&u[i].thread, NULL, use,
						&u[i]), 0);
	}
	join(&b, &u[0]);
	join(&b, &u[1]);
	/* What they wrote is there for others. */
	for (i = 0; i < 2; i++)
		for (at = i * 8192; at < i * 8192 + 4096; at += 8) {
			assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, at, 8,
						buf), 0);
			assert_int_equal(buf[4095], (uint8_t)(at / 8 * 3));
		}
	free(buf);
	close_nvme(&b);
}

static void settle(struct blk *b, uint32_t live)
{
	struct leap_relay_info info = { sizeof(info) };
	uint64_t from = leap_pollgroup_now_ns(b->pg);

	while (info.groups_live != live) {
		/* Of a test that hangs, not of how long it may take. */
		assert_true(leap_pollgroup_now_ns(b->pg) - from <
			    120000000000ull);
		leap_pollgroup_wait(b->pg, 1000000);
		assert_int_equal(leap_relay_info(b->bdev, &info), 0);
	}
}

/* It goes away for longer than the lender waits: another lender finds it. */
static void test_device_comes_back(void **state)
{
	static uint8_t buf[512];
	struct drive *d = *state;
	struct blk b;
	int i;

	open_nvme(&b, d, ",loss_ms=200");
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 5, 1, buf), 0);
	for (i = 0; i < 2; i++) {
		drive_stop(d);
		assert_int_equal(LEAP_STATUS_CODE(blk_io(&b, LEAP_BIO_READ, 0,
				 5, 1, buf)), LEAP_SC_PATH_CTRL);
		usleep(i * 400000);
		drive_start(d, d->stack);
		settle(&b, 1);
		assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 5, 1, buf), 0);
	}
	close_nvme(&b);
}

/* Somebody wants its memory back before that. */
static void test_lets_go(void **state)
{
	static uint8_t buf[512];
	struct leap_piece piece = { .addr = buf, .len_bytes = 512 };
	struct drive *d = *state;
	struct leap_bio *bio;
	struct blk_wait wait;
	uint64_t start;
	struct blk b;

	open_nvme(&b, d, "");
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 5, 1, buf), 0);
	drive_stop(d);
	start = leap_pollgroup_now_ns(b.pg);
	bio = blk_bio(&b, LEAP_BIO_READ, 5, 1, &piece, 1, &wait);
	leap_bio_submit(b.chan, bio);
	leap__chan_let_go(b.chan, NULL);
	assert_int_equal(blk_await(&b, bio, &wait), LEAP_SC_PATH_CTRL);
	assert_true(leap_pollgroup_now_ns(b.pg) - start < 20000000000u);
	drive_start(d, d->stack);
	settle(&b, 1);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 5, 1, buf), 0);
	close_nvme(&b);
}

/* Not even live yet. */
static void test_closed_at_once(void **state)
{
	struct blk b;
	int i, k;

	for (i = 0; i < 8; i++) {
		open_nvme(&b, *state, "");
		for (k = 0; k < i * 3; k++)
			leap_pollgroup_poll(b.pg, 0);
		close_nvme(&b);
	}
}

struct lending {
	struct leap_lender *lender;
	enum leap_lender_state state;
	int gone;
};

static void changed(struct leap_lender *lender, enum leap_lender_state state,
		    int sys_errno, void *arg)
{
	((struct lending *)arg)->state = state;
}

static void lender_gone(void *arg)
{
	((struct lending *)arg)->gone = 1;
}

static void *open_lent(void *arg)
{
	char text[128];
	struct blk b;

	snprintf(text, sizeof(text), "nvme:lent:%s.lent[start=64]",
		 ((struct drive *)arg)->path);
	blk_open(&b, text);
	assert_int_equal(b.nr_blocks, BLOCKS - 64);
	model_run(&b, 9, 100, 0, 4);
	close_nvme(&b);
	return NULL;
}

static void test_lent(void **state)
{
	struct leap_lender_opts opts = LEAP_LENDER_OPTS_INIT;
	struct drive *d = *state;
	struct lending l = { NULL };
	struct leap_pollgroup *pg;
	char url[200], path[80];
	pthread_t thread;

	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	snprintf(url, sizeof(url), "%s/" DRIVE_NQN, d->url);
	snprintf(path, sizeof(path), "%s.lent", d->path);
	opts.url = url;
	opts.path = path;
	opts.changed = changed;
	opts.arg = &l;
	assert_int_equal(leap_lender_create(pg, &opts, &l.lender), 0);
	assert_int_equal(pthread_create(&thread, NULL, open_lent, d), 0);
	while (pthread_tryjoin_np(thread, NULL) == EBUSY)
		leap_pollgroup_wait(pg, 1000000);
	assert_int_equal(l.state, LEAP_LENDER_LIVE);
	leap_lender_destroy(l.lender, lender_gone, &l);
	while (!l.gone || leap_pollgroup_destroy(pg))
		leap_pollgroup_wait(pg, 1000000);
	unlink(path);
}

static void test_open_fails(void **state)
{
	struct leap_pollgroup *pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	struct leap_bdev *bdev = NULL;
	struct drive *d = *state;
	char text[256];

#define REFUSED(err, why, ...) do { \
	snprintf(text, sizeof(text), __VA_ARGS__); \
	assert_int_equal(leap_bdev_open(pg, text, &bdev), err); \
	if (!strstr(leap_last_error(), why)) \
		fail_msg("%s: %s", text, leap_last_error()); \
} while (0)
	REFUSED(-EINVAL, "is missing", "nvme");
	REFUSED(-EINVAL, "at least", "nvme:%s[nsid=0]", d->url);
	REFUSED(-ENOENT, "no namespace 9", "nvme:%s[nsid=9]", d->url);
	REFUSED(-EINVAL, "not in the", "nvme:%s[start=%u]", d->url, BLOCKS);
	REFUSED(-ENOENT, "cannot reach", "nvme:vfio-user:%s.none", d->path);
	REFUSED(-ENOENT, "cannot reach", "nvme:lent:%s.none", d->path);
#ifdef LEAP_WITH_PCIE
	REFUSED(-ENODEV, "ffff:ff:1f.7 is not there", "nvme:ffff:ff:1f.%d", 7);
	REFUSED(-ENODEV, "ffff:ff:1f.7 is not there",
		"nvme:ffff:ff:1f.%d/" DRIVE_NQN, 7);
#endif
	while (leap_pollgroup_destroy(pg))
		leap_pollgroup_wait(pg, 1000000);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_model), CASE(test_threads),
		CASE(test_device_comes_back), CASE(test_lets_go),
		CASE(test_closed_at_once),
		CASE(test_lent), CASE(test_open_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
