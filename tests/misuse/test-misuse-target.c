/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wrong calls of target.h: the errno, and a text that names the call, the
 * value and the limit. What was there before is there afterwards.
 */
#include "../unit/unit.h"

#include <leapio/pollgroup.h>
#include <leapio/target.h>

#include <stdio.h>

#define NQN	"nqn.2026-01.org.example:target"
#define HOST	"nqn.2026-01.org.example:host"

struct mx {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
};

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void on_ns(int err, void *arg)
{
	assert_int_equal(err, 0);
	*(int *)arg = 1;
}

static void wait_for(struct mx *mx, const int *flag)
{
	struct unit_lived lived = { 0 };

	while (!*flag) {
		leap_pollgroup_poll(mx->pg, 0);
		assert_true(unit_lived_ns(&lived,
				leap_pollgroup_now_ns(mx->pg)) < 10000000000u);
	}
}

static int set_up(void **state)
{
	struct leap_subsystem_opts o = LEAP_SUBSYSTEM_OPTS_INIT;
	struct mx *mx = calloc(1, sizeof(*mx));

	assert_int_equal(leap_pollgroup_create(NULL, &mx->pg), 0);
	assert_int_equal(leap_target_create(mx->pg, NULL, &mx->target), 0);
	o.nqn = NQN;
	o.max_nsid = 4;
	assert_int_equal(leap_subsystem_create(mx->target, &o, &mx->ss), 0);
	*state = mx;
	return 0;
}

static int tear_down(void **state)
{
	struct mx *mx = *state;
	int gone = 0;

	leap_target_destroy(mx->target, set_flag, &gone);
	wait_for(mx, &gone);
	assert_int_equal(leap_pollgroup_destroy(mx->pg), 0);
	free(mx);
	return 0;
}

/* The last failure names its call first, and then this. */
static void said(const char *call, const char *text)
{
	const char *last = leap_last_error();

	if (strncmp(last, call, strlen(call)) || !strstr(last, text))
		fail_msg("\"%s\" says nothing of \"%s\" in %s", last, text,
			 call);
}

/* ---- targets ---- */

struct bad_target {
	struct leap_target_opts o;
	int err;
	const char *text;
};

#define T .size = sizeof(struct leap_target_opts)
static const struct bad_target bad_targets[] = {
	{ { .size = 4 }, -EINVAL, "size" },
	{ { T, .mdts_bytes = 2048 }, -EINVAL, "mdts_bytes 2048" },
	{ { T, .mdts_bytes = 12288 }, -EINVAL, "mdts_bytes 12288" },
	{ { T, .mdts_bytes = 1u << 29 }, -EINVAL, "4096 to 2^28" },
	{ { T, .max_io_queues = 65535 }, -EINVAL, "65535 exceeds 65534" },
	{ { T, .queue_depth = 1 }, -EINVAL, "queue_depth 1 is not 2..65536" },
	{ { T, .queue_depth = 65537 }, -EINVAL, "queue_depth 65537" },
	{ { T, .inline_bytes = 100 }, -EINVAL, "inline_bytes 100" },
	{ { T, .inline_bytes = (1u << 20) + 16 }, -EINVAL, "up to 2^20" },
};

static void test_targets(void **state)
{
	struct mx *mx = *state;
	struct leap_target_opts named = LEAP_TARGET_OPTS_INIT;
	struct leap_target *none = (void *)mx;
	char name[65];
	size_t i;

	for (i = 0; i < COUNT(bad_targets); i++) {
		assert_int_equal(leap_target_create(mx->pg, &bad_targets[i].o,
						    &none),
				 bad_targets[i].err);
		said("leap_target_create", bad_targets[i].text);
		assert_ptr_equal(none, mx);
	}
	memset(name, 'n', 64);
	name[64] = 0;
	named.name = name;
	assert_int_equal(leap_target_create(mx->pg, &named, &none), -EINVAL);
	said("leap_target_create", "name of 64 bytes exceeds 63");
	assert_ptr_equal(none, mx);
}

static void test_groups(void **state)
{
	struct mx *mx = *state;
	struct leap_pollgroup *pg[65];
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_listener *l;
	int gone = 0;
	unsigned int i;

	for (i = 0; i < 65; i++)
		assert_int_equal(leap_pollgroup_create(NULL, &pg[i]), 0);
	for (i = 0; i < 63; i++)
		assert_int_equal(leap_target_add_group(mx->target, pg[i]), 0);
	assert_int_equal(leap_target_add_group(mx->target, pg[7]), -EEXIST);
	said("leap_target_add_group", "one already");
	assert_int_equal(leap_target_add_group(mx->target, pg[63]), -ENOSPC);
	said("leap_target_add_group", "more than 63 groups");
	lo.url = "loop://";
	assert_int_equal(leap_listener_create(mx->target, &lo, &l), 0);
	assert_int_equal(leap_target_add_group(mx->target, pg[64]), -EBUSY);
	said("leap_target_add_group", "a listener exists");
	leap_target_destroy(mx->target, set_flag, &gone);
	while (!gone) {
		leap_pollgroup_poll(mx->pg, 0);
		for (i = 0; i < 63; i++)
			leap_pollgroup_poll(pg[i], 0);
	}
	for (i = 0; i < 65; i++)
		assert_int_equal(leap_pollgroup_destroy(pg[i]), 0);
	assert_int_equal(leap_target_create(mx->pg, NULL, &mx->target), 0);
}

static void test_stats(void **state)
{
	struct mx *mx = *state;
	struct leap_target_stats st = { 0 };

	assert_int_equal(leap_target_stats(mx->target, &st), -EINVAL);
	said("leap_target_stats", "size 0");
}

/* ---- subsystems ---- */

struct bad_ss {
	struct leap_subsystem_opts o;
	int err;
	const char *text;
};

#define S .size = sizeof(struct leap_subsystem_opts)
static const struct bad_ss bad_subsystems[] = {
	{ { .size = 1 }, -EINVAL, "size" },
	{ { S, .nqn = NULL }, -EINVAL, "nqn: not given" },
	{ { S, .nqn = "" }, -EINVAL, "nqn: " },
	{ { S, .nqn = "disk" }, -EINVAL, "nqn: " },
	{ { S, .nqn = NQN }, -EEXIST, "\"" NQN "\" exists" },
	{ { S, .nqn = LEAP_NQN_DISCOVERY }, -EEXIST, "discovery\" exists" },
	{ { S, .nqn = NQN "2", .serial = "123456789012345678901" }, -EINVAL,
	  "serial of 21 bytes exceeds 20" },
	{ { S, .nqn = NQN "2", .serial = "a\tb" }, -EINVAL,
	  "serial is not printable" },
	{ { S, .nqn = NQN "2",
	    .model = "12345678901234567890123456789012345678901" }, -EINVAL,
	  "model of 41 bytes exceeds 40" },
	{ { S, .nqn = NQN "2", .model = "\xc3\xa4" }, -EINVAL,
	  "model is not printable" },
	{ { S, .nqn = NQN "2", .max_nsid = (1u << 20) + 1 }, -EINVAL,
	  "max_nsid 1048577 exceeds 1048576" },
	{ { S, .nqn = NQN "2", .max_ctrls = 65536 }, -EINVAL,
	  "max_ctrls 65536 exceeds" },
};

static void test_subsystems(void **state)
{
	struct mx *mx = *state;
	struct leap_subsystem *none = (void *)mx;
	size_t i;

	for (i = 0; i < COUNT(bad_subsystems); i++) {
		assert_int_equal(leap_subsystem_create(mx->target,
						&bad_subsystems[i].o, &none),
				 bad_subsystems[i].err);
		said("leap_subsystem_create", bad_subsystems[i].text);
		assert_ptr_equal(none, mx);
	}
	assert_ptr_equal(leap_subsystem_next(mx->target, NULL), mx->ss);
	assert_null(leap_subsystem_next(mx->target, mx->ss));
	assert_null(leap_subsystem_find(mx->target, NQN "2"));
	leap_subsystem_destroy(NULL, NULL, NULL);
}

static void test_hosts(void **state)
{
	struct mx *mx = *state;
	char nqn[260];

	memset(nqn, 'x', sizeof(nqn));
	memcpy(nqn, HOST, strlen(HOST));
	nqn[259] = 0;
	assert_int_equal(leap_subsystem_allow(mx->ss, "me"), -EINVAL);
	said("leap_subsystem_allow", "");
	assert_int_equal(leap_subsystem_allow(mx->ss, nqn), -EINVAL);
	said("leap_subsystem_allow", "223");
	assert_int_equal(leap_subsystem_deny(mx->ss, HOST), -ENOENT);
	said("leap_subsystem_deny", "\"" HOST "\"");
	/* Twice is once. */
	assert_int_equal(leap_subsystem_allow(mx->ss, HOST), 0);
	assert_int_equal(leap_subsystem_allow(mx->ss, HOST), 0);
	assert_int_equal(leap_subsystem_deny(mx->ss, HOST), 0);
	assert_int_equal(leap_subsystem_deny(mx->ss, HOST), -ENOENT);
}

static void test_controllers(void **state)
{
	struct mx *mx = *state;
	struct leap_ctrl_info info = { .size = sizeof(info) };

	assert_int_equal(leap_ctrl_next(mx->target, mx->ss, 0, &info),
			 -ENOENT);
	assert_int_equal(leap_ctrl_next(mx->target, NULL, 0, &info), -ENOENT);
	assert_int_equal(leap_ctrl_disconnect(mx->ss, 9), -ENOENT);
	said("leap_ctrl_disconnect", "no controller 9");
}

/* ---- namespaces ---- */

/* The bdev has stayed the caller's: it can be closed. */
static void bad_ns(struct mx *mx, const char *stack, uint32_t nsid,
		   uint32_t block_bytes, int err, const char *text)
{
	struct leap_ns_opts o = LEAP_NS_OPTS_INIT;

	assert_int_equal(leap_bdev_open(mx->pg, stack, &o.bdev), 0);
	o.nsid = nsid;
	o.block_bytes = block_bytes;
	assert_int_equal(leap_ns_add(mx->ss, &o, NULL, NULL), err);
	said("leap_ns_add", text);
	assert_int_equal(leap_bdev_close(o.bdev), 0);
}

static void add(struct mx *mx, uint32_t nsid, uint32_t block_bytes)
{
	struct leap_ns_opts o = LEAP_NS_OPTS_INIT;
	int added = 0;

	assert_int_equal(leap_bdev_open(mx->pg, "memory:1M[max=8M]", &o.bdev),
			 0);
	o.nsid = nsid;
	o.block_bytes = block_bytes;
	assert_true(leap_ns_add(mx->ss, &o, on_ns, &added) > 0);
	wait_for(mx, &added);
}

static void test_namespaces(void **state)
{
	struct mx *mx = *state;
	struct leap_ns_opts none = LEAP_NS_OPTS_INIT;
	uint32_t i;

	assert_int_equal(leap_ns_add(mx->ss, &none, NULL, NULL), -EINVAL);
	said("leap_ns_add", "no bdev");
	none.size = 3;
	assert_int_equal(leap_ns_add(mx->ss, &none, NULL, NULL), -EINVAL);
	said("leap_ns_add", "size 3");
	bad_ns(mx, "memory:1M", 5, 0, -EINVAL, "nsid 5 exceeds 4");
	bad_ns(mx, "memory:1M", 1, 1024, -EINVAL,
	       "block_bytes 1024 over blocks of 512 bytes");
	bad_ns(mx, "memory:1M[block=4096]", 1, 512, -EINVAL,
	       "block_bytes 512 over blocks of 4096 bytes");
	for (i = 1; i <= 4; i++) {
		add(mx, i == 2 ? 2 : 0, 0);
		bad_ns(mx, "memory:1M", 1, 0, -EEXIST, "nsid 1 exists");
	}
	bad_ns(mx, "memory:1M", 0, 0, -ENOSPC, "4 namespaces exist");
	for (i = 1; i <= 4; i++)
		assert_int_equal(leap_ns_next(mx->ss, i - 1), i);
	assert_int_equal(leap_ns_next(mx->ss, 4), 0);
	assert_int_equal(leap_ns_next(mx->ss, UINT32_MAX), 0);
}

static void test_ns_remove(void **state)
{
	struct mx *mx = *state;
	struct leap_ns_opts o = LEAP_NS_OPTS_INIT;
	int added = 0, removed = 0;

	assert_int_equal(leap_ns_remove(mx->ss, 0, NULL, NULL), -ENOENT);
	said("leap_ns_remove", "no nsid 0");
	assert_int_equal(leap_ns_remove(mx->ss, 3, NULL, NULL), -ENOENT);
	assert_int_equal(leap_ns_remove(mx->ss, UINT32_MAX, NULL, NULL),
			 -ENOENT);
	said("leap_ns_remove", "no nsid 4294967295");
	assert_int_equal(leap_bdev_open(mx->pg, "memory:1M", &o.bdev), 0);
	o.nsid = 3;
	assert_int_equal(leap_ns_add(mx->ss, &o, on_ns, &added), 3);
	/* Before it is open, and while it closes. */
	assert_int_equal(leap_ns_remove(mx->ss, 3, NULL, NULL), -EBUSY);
	said("leap_ns_remove", "nsid 3 is being added or removed");
	assert_null(leap_ns_bdev(mx->ss, 3));
	assert_int_equal(leap_ns_resize(mx->ss, 3, 4096), -ENOENT);
	wait_for(mx, &added);
	assert_ptr_equal(leap_ns_bdev(mx->ss, 3), o.bdev);
	assert_int_equal(leap_ns_remove(mx->ss, 3, on_ns, &removed), 0);
	assert_int_equal(leap_ns_remove(mx->ss, 3, NULL, NULL), -EBUSY);
	bad_ns(mx, "memory:1M", 3, 0, -EEXIST, "nsid 3 exists");
	wait_for(mx, &removed);
	assert_int_equal(leap_ns_remove(mx->ss, 3, NULL, NULL), -ENOENT);
}

static void test_ns_resize(void **state)
{
	struct mx *mx = *state;

	assert_int_equal(leap_ns_resize(mx->ss, 1, 4096), -ENOENT);
	said("leap_ns_resize", "no nsid 1");
	assert_int_equal(leap_ns_resize(mx->ss, 9, 4096), -ENOENT);
	add(mx, 1, 4096);
	assert_int_equal(leap_ns_resize(mx->ss, 1, 0), -EINVAL);
	said("leap_ns_resize", "0 bytes are no multiple of 4096");
	assert_int_equal(leap_ns_resize(mx->ss, 1, 512), -EINVAL);
	said("leap_ns_resize", "512 bytes are no multiple of 4096");
	/* The stack's own limit. */
	assert_int_equal(leap_ns_resize(mx->ss, 1, 16u << 20), -ENOSPC);
	assert_int_equal(leap_ns_resize(mx->ss, 1, 8u << 20), 0);
}

/* ---- listeners ---- */

struct bad_listener {
	struct leap_listener_opts o;
	int err;
	const char *text;
};

#define L .size = sizeof(struct leap_listener_opts)
static const struct bad_listener bad_listeners[] = {
	{ { .size = 2 }, -EINVAL, "size" },
	{ { L, .url = NULL }, -EINVAL, "url is empty" },
	{ { L, .url = "" }, -EINVAL, "url is empty" },
	{ { L, .url = "4420" }, -EINVAL, "has no scheme" },
	{ { L, .url = "pigeon://1" }, -EPROTONOSUPPORT, "\"pigeon\"" },
	{ { L, .url = "vdev://v/" NQN }, -EINVAL,
	  "vdev: is for hosts alone" },
	{ { L, .url = "lent:/tmp/x/" NQN }, -EINVAL,
	  "lent: is for hosts alone" },
	{ { L, .url = "loop://", .advertise = "here" }, -EINVAL,
	  "advertise \"here\" is not HOST:PORT" },
	{ { L, .url = "loop://", .advertise = ":4420" }, -EINVAL,
	  "\":4420\"" },
	{ { L, .url = "loop://", .advertise = "h:" }, -EINVAL, "\"h:\"" },
	{ { L, .url = "loop://", .advertise = "h:x1" }, -EINVAL, "\"h:x1\"" },
	{ { L, .url = "loop://", .advertise = "h:123456" }, -EINVAL,
	  "\"h:123456\"" },
	{ { L, .url = "loop://", .advertise = "h:65536" }, -EINVAL,
	  "\"h:65536\"" },
	{ { L, .url = "loop://", .advertise = "h:0" }, -EINVAL, "\"h:0\"" },
#ifdef LEAP_WITH_TCP
	{ { L, .url = "tcp://127.0.0.1" }, -EINVAL, "" },
	{ { L, .url = "tcp://127.0.0.1:65536" }, -EINVAL, "65536" },
	{ { L, .url = "tcp://no.such.host.invalid:1" }, -EINVAL, "" },
#endif
};

static void test_listeners(void **state)
{
	struct mx *mx = *state;
	struct leap_listener *none = (void *)mx;
	size_t i;

	for (i = 0; i < COUNT(bad_listeners); i++) {
		int err = leap_listener_create(mx->target,
					       &bad_listeners[i].o, &none);

		if (err != bad_listeners[i].err)
			fail_msg("%s: %d \"%s\"", bad_listeners[i].o.url, err,
				 leap_last_error());
		said("", bad_listeners[i].text);
		assert_ptr_equal(none, mx);
	}
	assert_null(leap_listener_next(mx->target, NULL));
	leap_listener_destroy(NULL);
}

#ifdef LEAP_WITH_TCP
static void test_address_in_use(void **state)
{
	struct mx *mx = *state;
	struct leap_listener_opts o = LEAP_LISTENER_OPTS_INIT;
	struct leap_listener *l, *none = NULL;
	char url[100];

	o.url = "tcp://127.0.0.1:0";
	assert_int_equal(leap_listener_create(mx->target, &o, &l), 0);
	snprintf(url, sizeof(url), "%s", leap_listener_url(l));
	o.url = url;
	assert_int_equal(leap_listener_create(mx->target, &o, &none),
			 -EADDRINUSE);
	said("", url + strlen("tcp://"));
	assert_null(none);
	assert_null(leap_listener_next(mx->target, l));
}
#endif

#ifdef LEAP_WITH_SHM
static void test_no_such_folder(void **state)
{
	struct mx *mx = *state;
	struct leap_listener_opts o = LEAP_LISTENER_OPTS_INIT;
	struct leap_listener *none = NULL;

	o.url = "shm:/nonexistent-folder/s";
	assert_int_equal(leap_listener_create(mx->target, &o, &none),
			 -ENOENT);
	said("", "/nonexistent-folder/s");
	assert_null(none);
}
#endif

/* ---- on the way out ---- */

static void test_late(void **state)
{
	struct mx *mx = *state;
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_subsystem *ss;
	struct leap_listener *l;
	int drained = 0, gone = 0;

	add(mx, 1, 0);
	leap_target_drain(mx->target, 100, set_flag, &drained);
	lo.url = "loop://";
	assert_int_equal(leap_listener_create(mx->target, &lo, &l), -EBUSY);
	said("leap_listener_create", "drains");
	wait_for(mx, &drained);
	leap_subsystem_destroy(mx->ss, NULL, NULL);
	bad_ns(mx, "memory:1M", 2, 0, -EINVAL, "being destroyed");
	leap_target_destroy(mx->target, set_flag, &gone);
	so.nqn = NQN "2";
	assert_int_equal(leap_subsystem_create(mx->target, &so, &ss),
			 -EINVAL);
	said("leap_subsystem_create", "being destroyed");
	wait_for(mx, &gone);
	leap_target_destroy(NULL, NULL, NULL);
	assert_int_equal(leap_target_create(mx->pg, NULL, &mx->target), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_targets),
		TEST(test_groups),
		TEST(test_stats),
		TEST(test_subsystems),
		TEST(test_hosts),
		TEST(test_controllers),
		TEST(test_namespaces),
		TEST(test_ns_remove),
		TEST(test_ns_resize),
		TEST(test_listeners),
#ifdef LEAP_WITH_TCP
		TEST(test_address_in_use),
#endif
#ifdef LEAP_WITH_SHM
		TEST(test_no_such_folder),
#endif
		TEST(test_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
