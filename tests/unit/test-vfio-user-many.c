/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hypervisor that maps as much as it may, in the pieces and the order that
 * cost most, beside others that are served by the same thread.
 */
#include "serve.h"
#include "vfu-client.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <leapio/pollgroup.h>
#include <leapio/target.h>

#include "transport/vfio-user/proto.h"

#define NQN	"nqn.2026-01.org.example:many"
#define PAGE	4096u

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	char path[64];
	struct vfu_client c;
	uint64_t longest;	/* poll, ns */
} t;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* One poll. What it works counts, not what it waits for a processor. */
static void poll_timed(void)
{
	uint64_t from = clock_ns(CLOCK_THREAD_CPUTIME_ID), took;

	leap_pollgroup_poll(t.pg, 0);
	took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - from;
	if (took > t.longest)
		t.longest = took;
}

static int setup(void **state)
{
	char url[160];

	(void)state;
	memset(&t, 0, sizeof(t));
	snprintf(t.path, sizeof(t.path), "/tmp/leap-many-%d.sock",
		 (int)getpid());
	snprintf(url, sizeof(url), "vfio-user:%s/" NQN, t.path);
	assert_int_equal(leap_pollgroup_create(NULL, &t.pg), 0);
	t.target = serve_target(t.pg, NQN, &t.ss);
	serve_at(t.target, url);
	assert_int_equal(vfu_connect(&t.c, t.pg, t.path), 0);
	assert_int_equal(vfu_hello(&t.c), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vfu_close(&t.c);
	serve_stop(t.pg, t.target);
	assert_int_equal(leap_pollgroup_destroy(t.pg), 0);
	return 0;
}

/* Poll until there is an answer; how long the longest poll was. */
static int wait_answer(void)
{
	int n;

	while ((n = vfu_peek(&t.c)) == -1)
		poll_timed();
	return n;
}

/* As many pages as it is given, from above, with holes; how many. */
static uint32_t map_all(int fd)
{
	uint32_t n;
	int err = 0;

	for (n = 0; n < 70000; n++) {
		err = vfu_map(&t.c, (1ull << 40) - 2ull * n * PAGE, PAGE, fd, 0,
			      LEAP__VFU_MAP_READ | LEAP__VFU_MAP_WRITE);
		if (err)
			break;
	}
	assert_true(err > 0);
	return n;
}

static void test_all_at_once(void **state)
{
	struct leap__vfu_dma_unmap all = {
		.argsz = sizeof(all), .flags = LEAP__VFU_UNMAP_ALL,
	};
	uint64_t from = now();
	uint32_t n = map_all(-1);

	(void)state;
	printf("# %u ranges mapped in %llu ms\n", n,
	       (unsigned long long)(now() - from) / 1000000);
	from = now();
	vfu_send(&t.c, LEAP__VFU_DMA_UNMAP, 0, &all, sizeof(all), NULL, 0);
	assert_int_equal(wait_answer(), sizeof(all));
	printf("# unmapped in %llu ms, longest poll %llu ms\n",
	       (unsigned long long)(now() - from) / 1000000,
	       (unsigned long long)t.longest / 1000000);
	/* Others are served by this thread: theirs must not stand still. */
	assert_in_range(t.longest, 0, 250000000);
	assert_int_equal(map_all(-1), n);
	/* And its end, which is the same work. */
	vfu_close(&t.c);
	t.longest = 0;
	for (from = now(); now() - from < 2000000000; )
		poll_timed();
	assert_in_range(t.longest, 0, 250000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_at_once, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
