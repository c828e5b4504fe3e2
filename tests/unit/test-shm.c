/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs in shared memory, against a real target with a memory drive:
 * every size, in place and bounced, over threads; without descriptors or a poll
 * group for them; and many commands that wait for each other's room.
 */
#include "fds.h"
#include "shm-fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#include <leapio/dmabuf.h>

static void test_sizes(void **state)
{
	struct shm_client c;
	uint32_t i;

	(void)state;
	shm_client_open(&c);
	for (i = 0; i < 400; i++)
		shm_check_io(&c, 1 + shm_below(i % 8 ? 64 : 2048), i & 1,
			     1 + shm_below(i % 16 == 3 ? 80 : 4));
	shm_client_close(&c);
}

/* The group that is to serve a queue pair does not get it: the first of a host,
 * or the second; nothing of it stays behind, and the next host is served. */
static void test_attach_fails(void **state)
{
	struct leap_pollgroup *pg;
	struct leap_host *host;
	int i, fds;

	(void)state;
	shm_good_one();
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	fds = fds_open();
	for (i = 1; i <= 20; i++) {
		atomic_store(&shm.attach_failed, 0);
		atomic_store(&shm.attach_fails, 1 + i % 3);
		assert_false(shm_host_try(pg, &host));
		shm_host_close(pg, host);
		assert_true(atomic_load(&shm.attach_failed) > 0);
		atomic_store(&shm.attach_fails, 0);
		shm_wait_for_fds(fds);
		shm_good_one();
	}
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* A process with room for @n more descriptors, then one more, until it is room
 * enough: each step of an attach is without once. */
static void test_full_table(void **state)
{
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct rlimit old, lim;
	int n, fds, ok = 0, failed = 0;

	(void)state;
	shm_good_one();
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	fds = fds_open();
	for (n = 0; n < 64 && !ok; n++) {
		lim = old;
		lim.rlim_cur = (rlim_t)(fds + n);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
		host = NULL;
		ok = shm_host_try(pg, &host);
		if (host)
			shm_host_close(pg, host);
		failed += !ok;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		shm_wait_for_fds(fds);
		shm_good_one();
	}
	assert_true(ok && failed >= 3);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* ---- those that wait for each other's room ---- */

#define MANY	1000u
#define PARTS	40u		/* more than fit into a command */
#define STACK	(96u << 10)	/* a sanitizer wants some for itself */

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_host *host;
	struct leap_dmabuf *mem;
	struct leap_piece piece[PARTS];
	struct leap_req req[MANY], *ptr[MANY];
	uint32_t done;
	leap_status_t status;
} many;

static void many_done(struct leap_req *req)
{
	many.done++;
	many.status |= leap_req_status(req);
}

static void many_open(const char *path)
{
	struct leap_target_opts to = LEAP_TARGET_OPTS_INIT;
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;
	struct leap_subsystem *ss;
	char url[160];

	assert_int_equal(leap_pollgroup_create(NULL, &many.pg), 0);
	to.queue_depth = MANY + 1;
	assert_int_equal(leap_target_create(many.pg, &to, &many.target), 0);
	ss = serve_subsystem(many.target, SHM_NQN);
	serve_ns(many.pg, ss, "delay[read_us=100000] -> memory:1M", 1);
	serve_ns(many.pg, ss, "null:1M", 2);
	snprintf(url, sizeof(url), "shm:%s", path);
	serve_at(many.target, url);
	snprintf(url, sizeof(url), "shm:%s/" SHM_NQN, path);
	ho.url = url;
	ho.nr_io_queues = 1;
	ho.depth = MANY + 1;
	assert_int_equal(leap_host_connect(many.pg, &ho, &many.host), 0);
	while (leap_host_state(many.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(many.pg, 10000000);
	mo.bytes = 1u << 20;
	assert_int_equal(leap_dmabuf_create(&mo, &many.mem), 0);
}

static void many_close(void)
{
	shm_host_close(many.pg, many.host);
	serve_stop(many.pg, many.target);
	leap_dmabuf_put(many.mem);
	assert_int_equal(leap_pollgroup_destroy(many.pg), 0);
}

static void many_submit(uint32_t n)
{
	uint32_t i;

	many.done = 0;
	for (i = 0; i < PARTS; i++) {
		many.piece[i].addr = (uint8_t *)leap_dmabuf_addr(many.mem) +
				     i * 8192;
		many.piece[i].len_bytes = 512;
		many.piece[i].buf = many.mem;
	}
	for (i = 0; i < n; i++) {
		many.ptr[i] = &many.req[i];
		many.req[i] = (struct leap_req){
			.pieces = many.piece, .nr_pieces = PARTS,
			.done = many_done,
		};
		many.req[i].sqe.opc = LEAP_NVM_READ;
		many.req[i].sqe.nsid = leap_to_le32(i < 4 ? 1 : 2);
		many.req[i].sqe.cdw12 = leap_to_le32(PARTS - 1);
	}
	assert_int_equal(leap_host_submit(many.host, 1, many.ptr, n), n);
	while (many.done < n)
		leap_pollgroup_wait(many.pg, 10000000);
	assert_int_equal(many.status, 0);
}

static void *many_main(void *arg)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/leap-shm-many-%d.sock",
		 (int)getpid());
	memset(&many, 0, sizeof(many));
	many_open(path);
	many_submit(1);		/* the memory is mapped from now on */
	many_submit(MANY);
	many_close();
	return arg;
}

/* Four reads of a drive that takes its time have all the room there is for long
 * lists; all others are of one that answers at once. Whoever gets the room
 * gives it on, and that takes no more stack for many than for a few. */
static void test_many_wait(void **state)
{
	size_t stack = unit_env("LEAP_INSTRUMENTED") ? 16 * STACK : STACK;
	long least = sysconf(_SC_THREAD_STACK_MIN);
	pthread_attr_t attr;
	pthread_t id;

	if (least > 0 && stack < (size_t)least)
		stack = (size_t)least;
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, stack), 0);
	assert_int_equal(pthread_create(&id, &attr, many_main, NULL), 0);
	assert_int_equal(pthread_join(id, NULL), 0);
	pthread_attr_destroy(&attr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SHM_TEST(test_sizes, shm_start_one),
		SHM_TEST(test_sizes, shm_start_two),
		SHM_TEST(test_attach_fails, shm_start_two),
		SHM_TEST(test_full_table, shm_start_one),
		SHM_TEST(test_full_table, shm_start_two),
		cmocka_unit_test(test_many_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
