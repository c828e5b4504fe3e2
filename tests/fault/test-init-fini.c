/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything made and unmade a thousand times in one process: two poll groups,
 * a target with a drive in each, a host that uses it. Then by two threads at
 * once. The two never see each other's data, and nothing stays behind.
 */
#include "fault.h"
#include "fds.h"

#include <stdio.h>
#include <unistd.h>

#include "count.h"

struct side {
	unsigned int nr;
	uint32_t world;
	const char *kind;
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_host *host;
	uint8_t out[512], in[512];
	int flag;
};

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void added(int err, void *arg)
{
	assert_int_equal(err, 0);
	*(int *)arg = 1;
}

static void wait_for(struct side *s)
{
	uint64_t until = fault_now_ns() + 30000000000ull;

	while (!s->flag) {
		assert_true(fault_now_ns() < until);
		leap_pollgroup_wait(s->pg, 1000000);
	}
	s->flag = 0;
}

static void make(struct side *s)
{
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_subsystem *ss;
	char url[256];

	po.world = s->world;
	assert_int_equal(leap_pollgroup_create(&po, &s->pg), 0);
	assert_int_equal(leap_target_create(s->pg, NULL, &s->target), 0);
	so.nqn = FAULT_NQN;
	so.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(s->target, &so, &ss), 0);
	assert_int_equal(leap_bdev_open(s->pg, "memory:1M", &no.bdev), 0);
	assert_int_equal(leap_ns_add(ss, &no, added, &s->flag), 1);
	wait_for(s);
	snprintf(url, sizeof(url), "shm:/tmp/leap-fini-%d-%u.sock",
		 (int)getpid(), s->nr);
	lo.url = !strcmp(s->kind, "shm") ? url :
		!strcmp(s->kind, "tcp") ? "tcp://127.0.0.1:0" : "loop://";
	if (leap_listener_create(s->target, &lo, &listener))
		fail_msg("%s", leap_last_error());
	snprintf(url, sizeof(url), "%s/%s", strcmp(s->kind, "loop") ?
		 leap_listener_url(listener) : "loop://leapio", FAULT_NQN);
	ho.url = url;
	ho.target = s->target;
	assert_int_equal(leap_host_connect(s->pg, &ho, &s->host), 0);
}

static void use(struct side *s, uint32_t cycle)
{
	while (leap_host_state(s->host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(s->pg, 1000000);
	assert_int_equal(leap_host_state(s->host), LEAP_HOST_LIVE);
	memset(s->out, (int)(cycle * 2 + s->nr), sizeof(s->out));
	assert_int_equal(fault_cmd(s->host, s->pg, LEAP_NVM_WRITE, 1, 7, 1,
				   s->out), 0);
}

static void unmake(struct side *s)
{
	assert_int_equal(fault_cmd(s->host, s->pg, LEAP_NVM_READ, 1, 7, 1,
				   s->in), 0);
	assert_memory_equal(s->in, s->out, sizeof(s->in));
	leap_host_close(s->host, set_flag, &s->flag);
	wait_for(s);
	leap_target_destroy(s->target, set_flag, &s->flag);
	wait_for(s);
	while (leap_pollgroup_poll(s->pg, 0))
		;
	assert_int_equal(leap_pollgroup_destroy(s->pg), 0);
}

static void over(const char *kind, uint32_t cycles)
{
	struct side a = { .kind = kind }, b = { .kind = kind, .nr = 1 };
	int64_t blocks = 0;
	int fds = 0;
	uint32_t i;

	for (i = 0; i < cycles; i++) {
		/* The kernel takes its time to end a ring. */
		a.world = b.world = i % 8 ? LEAP_WORLD_EPOLL : LEAP_WORLD_AUTO;
		make(&a);
		make(&b);
		use(&a, i);
		use(&b, i);
		unmake(i & 1 ? &a : &b);
		unmake(i & 1 ? &b : &a);
		if (!i) {
			fds = fds_open();
			blocks = count_blocks();
		}
	}
	assert_int_equal(count_blocks(), blocks);
	/* The kernel ends rings that were closed when it comes to it, but
	 * their descriptors are gone at once. */
	assert_int_equal(fds_open(), fds);
}

static void test_loop(void **state)
{
	over("loop", fault_slow() ? 50 : 500);
}

#ifdef LEAP_WITH_TCP
static void test_tcp(void **state)
{
	over("tcp", fault_slow() ? 10 : 50);
}
#endif

#ifdef LEAP_WITH_SHM
static void test_shm(void **state)
{
	over("shm", fault_slow() ? 10 : 50);
}
#endif

static void *one_side(void *arg)
{
	struct side *s = arg;
	uint32_t i;

	for (i = 0; i < (fault_slow() ? 30u : 250u); i++) {
		make(s);
		use(s, i);
		unmake(s);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct side side[2] = { { .kind = "loop" }, { .kind = "loop" } };
	pthread_t id[2];
	int i;

	for (i = 0; i < 2; i++) {
		side[i].nr = (unsigned int)i;
		assert_int_equal(pthread_create(&id[i], NULL, one_side,
						&side[i]), 0);
	}
	for (i = 0; i < 2; i++)
		pthread_join(id[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop),
#ifdef LEAP_WITH_TCP
		cmocka_unit_test(test_tcp),
#endif
#ifdef LEAP_WITH_SHM
		cmocka_unit_test(test_shm),
#endif
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
