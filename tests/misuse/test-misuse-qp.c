/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wrong calls of qp.h and host.h: the errno, and a text that names the call,
 * the value and the limit. Nothing may be left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <leapio/host.h>

#include "../unit/fake-target.h"

#define NQN "nqn.2014-08.org.example:disk"
#define URL "loop://fake/" NQN

static struct leap_pollgroup *pg;
static struct leap_target target;

static int set_up(void **state)
{
	fake_target_init(&target, NULL);
	if (leap_pollgroup_create(NULL, &pg))
		return -1;
	target.home = pg;
	return 0;
}

static int tear_down(void **state)
{
	return leap_pollgroup_destroy(pg);
}

struct bad_qp {
	struct leap_qp_opts opts;
	int err;
	const char *text;
};

static void check_text(const char *call, const char *text)
{
	const char *last = leap_last_error();

	if (strncmp(last, call, strlen(call)) || !strstr(last, text))
		fail_msg("\"%s\" says nothing of \"%s\" in %s", last, text,
			 call);
}

#define Q .size = sizeof(struct leap_qp_opts), .target = &target
static const struct bad_qp bad_qps[] = {
	{ { Q, .url = NULL }, -EINVAL, "url is empty" },
	{ { Q, .url = "" }, -EINVAL, "url is empty" },
	{ { Q, .url = "/no/scheme" }, -EINVAL, "has no scheme" },
	{ { Q, .url = "://x/" NQN }, -EINVAL, "has no scheme" },
	{ { Q, .url = "pigeon://x/" NQN }, -EPROTONOSUPPORT, "\"pigeon\"" },
	{ { Q, .url = "loop://fake" }, -EINVAL, "has no NQN" },
	{ { Q, .url = "loop://fake/" }, -EINVAL, "loop://fake/" },
	{ { Q, .url = "loop://fake/disk" }, -EINVAL, "loop://fake/disk" },
	{ { Q, .url = URL, .hostnqn = "me" }, -EINVAL, "hostnqn" },
	{ { Q, .url = URL, .depth = 1 }, -EINVAL, "depth 1 is not in 2..4096" },
	{ { Q, .url = URL, .depth = 4097 }, -EINVAL, "4097" },
	{ { Q, .url = URL, .depth = 65537, .qid = 1, .cntlid = 1 }, -EINVAL,
	  "2..65536" },
	{ { Q, .url = URL, .flags = 0x80 }, -EINVAL, "flags 0x80" },
	{ { Q, .url = URL, .qid = 3 }, -EINVAL, "queue 3 without a cntlid" },
	{ { .size = 3, .url = URL }, -EINVAL, "size" },
	{ { .size = sizeof(struct leap_qp_opts), .url = URL }, -EINVAL,
	  "needs opts.target" },
};

static void test_qp_connect(void **state)
{
	char url[600] = "loop://";
	struct leap_qp_opts opts = { Q, .url = url };
	struct leap_qp *qp = NULL;
	unsigned int i;

	for (i = 0; i < sizeof(bad_qps) / sizeof(bad_qps[0]); i++) {
		assert_int_equal(leap_qp_connect(pg, &bad_qps[i].opts, &qp),
				 bad_qps[i].err);
		check_text("leap_qp_connect", bad_qps[i].text);
		assert_null(qp);
	}
	memset(url + 7, 'x', 560);
	assert_int_equal(leap_qp_connect(pg, &opts, &qp), -EINVAL);
	check_text("leap_qp_connect", "exceeds 511");
	url[7 + 100] = 0;
	strcat(url, "/" NQN);
	assert_int_equal(leap_qp_connect(pg, &opts, &qp), -EINVAL);
	check_text("leap_qp_connect", "name of 100 bytes exceeds 63");
	assert_null(qp);
}

static void test_newer_opts(void **state)
{
	struct {
		struct leap_qp_opts opts;
		uint64_t more;
	} big = { { .size = sizeof(big), .target = &target, .url = URL }, 1 };
	struct leap_qp *qp = NULL;

	assert_int_equal(leap_qp_connect(pg, &big.opts, &qp), -E2BIG);
	assert_null(qp);
}

struct bad_host {
	struct leap_host_opts opts;
	int err;
	const char *text;
};

#define H .size = sizeof(struct leap_host_opts), .target = &target
static const struct bad_host bad_hosts[] = {
	{ { H, .url = NULL }, -EINVAL, "url is empty" },
	{ { H, .url = "loop://fake" }, -EINVAL, "has no NQN" },
	{ { H, .url = "x:y/" NQN }, -EPROTONOSUPPORT, "\"x\"" },
	{ { H, .url = URL, .nr_io_queues = 1025 }, -EINVAL,
	  "nr_io_queues 1025 exceeds 1024" },
	{ { H, .url = URL, .depth = 1 }, -EINVAL, "depth 1" },
	{ { H, .url = URL, .depth = 65537 }, -EINVAL, "depth 65537" },
};

static void test_host_connect(void **state)
{
	struct leap_host_opts opts = { H, .url = URL, .hostnqn = "me" };
	struct leap_host *host = NULL;
	unsigned int i;

	for (i = 0; i < sizeof(bad_hosts) / sizeof(bad_hosts[0]); i++) {
		assert_int_equal(leap_host_connect(pg, &bad_hosts[i].opts,
						   &host), bad_hosts[i].err);
		check_text("leap_host_connect", bad_hosts[i].text);
		assert_null(host);
	}
	/* What the queue pair refuses. */
	assert_int_equal(leap_host_connect(pg, &opts, &host), -EINVAL);
	check_text("leap_qp_connect", "hostnqn");
	opts.hostnqn = NULL;
	opts.target = NULL;
	assert_int_equal(leap_host_connect(pg, &opts, &host), -EINVAL);
	check_text("leap_qp_connect", "needs opts.target");
	assert_null(host);
}

static void on_closed(void *arg)
{
	*(int *)arg = 1;
}

static void test_infos(void **state)
{
	struct leap_qp_opts opts = { Q, .url = URL };
	struct leap_qp_info info = { .size = 0 };
	struct leap_qp *qp;
	int closed = 0;

	assert_int_equal(leap_qp_connect(pg, &opts, &qp), 0);
	assert_int_equal(leap_qp_info(qp, &info), -EINVAL);
	check_text("leap_qp_info", "size 0");
	/* An older caller gets what it has room for. */
	info.size = offsetof(struct leap_qp_info, depth);
	info.depth = 12345;
	assert_int_equal(leap_qp_info(qp, &info), 0);
	assert_int_equal(info.depth, 12345);
	assert_int_equal(leap_pollgroup_destroy(pg), -EBUSY);
	leap_qp_close(qp, on_closed, &closed);
	while (!closed)
		leap_pollgroup_poll(pg, 0);
	leap_pollgroup_poll(pg, 0);
	leap_qp_close(NULL, on_closed, &closed);
	leap_host_close(NULL, on_closed, &closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_qp_connect),
		cmocka_unit_test(test_newer_opts),
		cmocka_unit_test(test_host_connect),
		cmocka_unit_test(test_infos),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
