/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thousand connections made and ended under load, 64 of them at a time, with
 * whatever is in flight then: what was acknowledged is there, and the process
 * uses no more memory, blocks and descriptors than before.
 */
#include "fault.h"
#include "fds.h"

#include <malloc.h>
#include <stdio.h>

#include "count.h"

#define NR 64u
/* Payload buffers that are touched for the first time, free small blocks. */
#define RSS_SLACK (12u << 20)

static struct fault_host hosts[NR];

struct load {
	uint32_t cycles, warm, opened, ended;
	int fds;
	uint64_t rss;
};

static void settle(struct leap_pollgroup *pg, uint32_t ms)
{
	uint64_t until = fault_now_ns() + ms * 1000000ull;

	while (fault_now_ns() < until)
		leap_pollgroup_wait(pg, 1000000);
}

/* Some have just come, some end with commands in flight, all the time. */
static void cycle(struct load *l, struct fault_server *s)
{
	uint32_t i;

	for (i = 0; i < NR; i++) {
		struct fault_host *h = &hosts[i];

		if (h->closed) {
			l->ended++;
			h->closed = 0;
		}
		if (!h->host && l->opened < l->cycles) {
			l->opened++;
			fault_host_open(h, s->url, s->target);
		} else if (h->host && !h->closing) {
			assert_true(leap_host_state(h->host) !=
				    LEAP_HOST_FAILED);
			fault_host_feed(h);
			if (!h->check && (h->rnd >> 20) % 8 == 0)
				fault_host_close(h);
		}
	}
}

static void run_cycles(struct load *l, struct fault_server *s,
		       struct leap_pollgroup *pg)
{
	uint64_t until = fault_now_ns() + 1200000000000ull;

	while (l->ended < l->cycles) {
		assert_true(fault_now_ns() < until);
		leap_pollgroup_wait(pg, 1000000);
		cycle(l, s);
	}
}

static void over(const char *kind, unsigned int nr_groups)
{
	struct fault_server s = { .kind = kind, .stack = { "memory:16M" } };
	struct fault_server once = s;
	struct load l = { .cycles = fault_slow() ? NR : 500 };
	uint64_t acked = 0, verified = 0, wrong = 0, failed = 0;
	struct leap_pollgroup *pg;
	int64_t blocks;
	uint32_t i;
	int fds;

	/* What libc keeps for threads is not ours. */
	fault_serve(&once, nr_groups);
	fault_end(&once);
	fds = fds_open();
	blocks = count_blocks();
	fault_serve(&s, nr_groups);
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	for (i = 0; i < NR; i++)
		fault_host_init(&hosts[i], pg, i);
	run_cycles(&l, &s, pg);
	settle(pg, 300);
	l.fds = fds_open();
	l.rss = fault_rss_bytes();
	l.cycles += fault_slow() ? 200 : 1000;
	run_cycles(&l, &s, pg);
	settle(pg, 300);
	assert_int_equal(fds_open(), l.fds);
	if (!fault_slow())
		assert_in_range(fault_rss_bytes(), 0, l.rss + RSS_SLACK);
	for (i = 0; i < NR; i++) {
		acked += hosts[i].acked;
		verified += hosts[i].verified;
		wrong += hosts[i].wrong;
		failed += hosts[i].failed;
	}
	printf("# %s: %u cycles, %llu writes acknowledged, %llu blocks read, "
	       "RSS %llu -> %llu KiB\n",
	       kind, l.ended, (unsigned long long)acked,
	       (unsigned long long)verified, (unsigned long long)l.rss >> 10,
	       (unsigned long long)fault_rss_bytes() >> 10);
	assert_int_equal(wrong, 0);
	assert_int_equal(failed, 0);
	/* How much depends on the machine; that there was load does not. */
	assert_true(acked > 64 && verified > 64);
	assert_int_equal(fault_stats(&s).connections, 0);
	assert_int_equal(fault_stats(&s).orphans, 0);
	while (leap_pollgroup_poll(pg, 0))
		;
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
	fault_end(&s);
	assert_int_equal(fds_open(), fds);
	assert_int_equal(count_blocks(), blocks);
}

static void test_tcp(void **state)
{
	over("tcp", 2);
}

static void test_shm(void **state)
{
	over("shm", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_shm),
	};

	/* What is freed goes back: RSS shows what is in use. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 8192);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
