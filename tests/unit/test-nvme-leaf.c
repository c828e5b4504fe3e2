/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The leaf that drives a device by itself, over a controller behind a
 * vfio-user socket that another thread serves: its lender, channels on two
 * threads that borrow, windows, a device that goes away and comes back, and one
 * that somebody else lends.
 */
#include "config.h"

#include "block-fixture.h"

#include <pthread.h>
#include <unistd.h>

#include <leapio/lend.h>
#include <leapio/relay.h>
#include <leapio/target.h>

#include "block/bdev.h"

#define NQN	"nqn.2026-01.org.example:ssd"
#define BLOCKS	32768u

/* ---- a device, on a thread of its own ------------------------------------- */

struct device {
	char path[64], url[160];
	pthread_t thread;
	int up, stop;		/* atomic */
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_bdev *bdev;
	int flag;
};

static void set_flag(void *arg)
{
	((struct device *)arg)->flag = 1;
}

static void added(int err, void *arg)
{
	assert_int_equal(err, 0);
	set_flag(arg);
}

static void serve(struct device *d)
{
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_subsystem *ss;
	char url[200];

	assert_int_equal(leap_pollgroup_create(NULL, &d->pg), 0);
	assert_int_equal(leap_target_create(d->pg, NULL, &d->target), 0);
	so.nqn = NQN;
	so.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(d->target, &so, &ss), 0);
	assert_int_equal(leap_bdev_open(d->pg, "memory:16M", &no.bdev), 0);
	d->flag = 0;
	assert_true(leap_ns_add(ss, &no, added, d) > 0);
	while (!d->flag)
		leap_pollgroup_wait(d->pg, 10000000);
	snprintf(url, sizeof(url), "%s/" NQN, d->url);
	lo.url = url;
	assert_int_equal(leap_listener_create(d->target, &lo, &listener), 0);
}

static void *device_main(void *arg)
{
	struct device *d = arg;

	serve(d);
	__atomic_store_n(&d->up, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&d->stop, __ATOMIC_ACQUIRE))
		leap_pollgroup_wait(d->pg, 5000000);
	d->flag = 0;
	leap_target_destroy(d->target, set_flag, d);
	while (!d->flag || leap_pollgroup_destroy(d->pg))
		leap_pollgroup_wait(d->pg, 1000000);
	return NULL;
}

static void device_start(struct device *d)
{
	d->stop = d->up = 0;
	assert_int_equal(pthread_create(&d->thread, NULL, device_main, d), 0);
	while (!__atomic_load_n(&d->up, __ATOMIC_ACQUIRE))
		usleep(1000);
}

static void device_stop(struct device *d)
{
	__atomic_store_n(&d->stop, 1, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(d->thread, NULL), 0);
}

static int set_up(void **state)
{
	struct device *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	snprintf(d->path, sizeof(d->path), "/tmp/leap-nvme-%d", getpid());
	snprintf(d->url, sizeof(d->url), "vfio-user:%s", d->path);
	device_start(d);
	*state = d;
	return 0;
}

static int tear_down(void **state)
{
	struct device *d = *state;

	device_stop(d);
	unlink(d->path);
	free(d);
	return 0;
}

/* ---- the leaf ------------------------------------------------------------- */

static void open_nvme(struct blk *b, const struct device *d, const char *opts)
{
	char text[256];
	int i, err;

	snprintf(text, sizeof(text), "nvme:%s[reconnect_ms=20%s]", d->url,
		 opts);
	memset(b, 0, sizeof(*b));
	b->pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	/* It has one guest at a time, and may not have seen the last one go. */
	for (i = 0; i < 200; i++) {
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

/* ---- a channel on another thread ------------------------------------------ */

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
	struct device *d = *state;
	struct blk b;
	int i;

	open_nvme(&b, d, ",loss_ms=200");
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 5, 1, buf), 0);
	for (i = 0; i < 2; i++) {
		device_stop(d);
		assert_int_equal(LEAP_STATUS_CODE(blk_io(&b, LEAP_BIO_READ, 0,
				 5, 1, buf)), LEAP_SC_PATH_CTRL);
		usleep(i * 400000);
		device_start(d);
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
	struct device *d = *state;
	struct leap_bio *bio;
	struct blk_wait wait;
	uint64_t start;
	struct blk b;

	open_nvme(&b, d, "");
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 5, 1, buf), 0);
	device_stop(d);
	start = leap_pollgroup_now_ns(b.pg);
	bio = blk_bio(&b, LEAP_BIO_READ, 5, 1, &piece, 1, &wait);
	leap_bio_submit(b.chan, bio);
	leap__chan_let_go(b.chan, NULL);
	assert_int_equal(blk_await(&b, bio, &wait), LEAP_SC_PATH_CTRL);
	assert_true(leap_pollgroup_now_ns(b.pg) - start < 10000000000u);
	device_start(d);
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
		 ((struct device *)arg)->path);
	blk_open(&b, text);
	assert_int_equal(b.nr_blocks, BLOCKS - 64);
	model_run(&b, 9, 100, 0, 4);
	close_nvme(&b);
	return NULL;
}

static void test_lent(void **state)
{
	struct leap_lender_opts opts = LEAP_LENDER_OPTS_INIT;
	struct device *d = *state;
	struct lending l = { NULL };
	struct leap_pollgroup *pg;
	char url[200], path[80];
	pthread_t thread;

	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	snprintf(url, sizeof(url), "%s/" NQN, d->url);
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
	struct device *d = *state;
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
		"nvme:ffff:ff:1f.%d/" NQN, 7);
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
