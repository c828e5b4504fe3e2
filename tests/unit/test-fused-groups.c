/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compare-and-write over two poll groups on two threads: every queue pair of
 * two hosts counts one block up, over a file, whose pairs need the other
 * group's answer, and over memory. Each value is made exactly once.
 */
#include "serve.h"

#include <leapio/host.h>
#include <leapio/pollgroup.h>
#include <leapio/target.h>

#include <pthread.h>
#include <stdio.h>

#define NQN		"nqn.2026-01.org.example:fused"
#define NR_GROUPS	2
#define NR_HOSTS	2
#define NR_QUEUES	2u
#define LIMIT_NS	60000000000ull

struct group {
	struct leap_pollgroup *pg;
	pthread_t thread;
	int stop;	/* atomic */
};

struct half {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	struct counter *c;
	uint64_t data[64];
};

struct counter {
	struct leap_host *host;
	uint32_t queue, out, left;
	uint64_t done, lost;
	struct half read, compare, write;
};

struct world {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct group groups[NR_GROUPS];
	struct leap_host *hosts[NR_HOSTS];
	int live;
	struct counter counters[NR_HOSTS * NR_QUEUES];
	unsigned int busy, bad;
};

static struct world w;

static void *run_group(void *arg)
{
	struct group *g = arg;

	while (!__atomic_load_n(&g->stop, __ATOMIC_ACQUIRE))
		leap_pollgroup_wait(g->pg, 2000000);
	return NULL;
}

static void count(void *arg)
{
	*(int *)arg += 1;
}

static void await(const int *flag, int value)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);

	while (*flag < value) {
		leap_pollgroup_wait(w.pg, 2000000);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < LIMIT_NS);
	}
}

/* ---- counting ---- */

static void prepare(struct half *x, uint8_t opc, uint64_t value)
{
	unsigned int i;

	memset(&x->req.sqe, 0, sizeof(x->req.sqe));
	x->req.sqe.opc = opc;
	x->req.sqe.nsid = leap_to_le32(1);
	x->req.sqe.cdw10 = leap_to_le32(7);
	x->piece.addr = x->data;
	x->piece.len_bytes = sizeof(x->data);
	x->req.pieces = &x->piece;
	x->req.nr_pieces = 1;
	for (i = 0; i < COUNT(x->data); i++)
		x->data[i] = value;
}

static void count_next(struct counter *c)
{
	struct leap_req *req = &c->read.req;

	if (!c->left || w.bad) {
		w.busy--;
		return;
	}
	prepare(&c->read, LEAP_NVM_READ, 0);
	if (leap_host_submit(c->host, c->queue, &req, 1) != 1)
		w.bad++;
}

static void half_done(struct leap_req *req)
{
	struct counter *c = ((struct half *)req)->c;
	leap_status_t one, two;

	if (--c->out)
		return;
	one = LEAP_STATUS_CODE(leap_req_status(&c->compare.req));
	two = LEAP_STATUS_CODE(leap_req_status(&c->write.req));
	if (!one && !two) {
		c->done++;
		c->left--;
	} else if (one == LEAP_SC_COMPARE_FAILED &&
		   two == LEAP_SC_ABORT_FUSED_FAILED) {
		c->lost++;
	} else {
		w.bad++;
	}
	count_next(c);
}

static void read_done(struct leap_req *req)
{
	struct counter *c = ((struct half *)req)->c;

	if (leap_req_status(req) || c->read.data[0] != c->read.data[63])
		w.bad++;
	prepare(&c->compare, LEAP_NVM_COMPARE, c->read.data[0]);
	prepare(&c->write, LEAP_NVM_WRITE, c->read.data[0] + 1);
	c->out = 2;
	if (leap_host_submit_fused(c->host, c->queue, &c->compare.req,
				   &c->write.req) != 1)
		w.bad++;
}

/* ---- the world ---- */

static void host_state(struct leap_host *host, enum leap_host_state state,
		       leap_status_t status, int sys_errno, void *arg)
{
	(void)host;
	(void)status;
	(void)sys_errno;
	(void)arg;
	w.live += state == LEAP_HOST_LIVE;
}

static void start_target(const char *stack)
{
	unsigned int i;

	assert_int_equal(leap_pollgroup_create(NULL, &w.pg), 0);
	assert_int_equal(leap_target_create(w.pg, NULL, &w.target), 0);
	for (i = 0; i < NR_GROUPS; i++) {
		struct group *g = &w.groups[i];

		assert_int_equal(leap_pollgroup_create(NULL, &g->pg), 0);
		assert_int_equal(leap_target_add_group(w.target, g->pg), 0);
		assert_int_equal(pthread_create(&g->thread, NULL, run_group,
						g), 0);
	}
	w.ss = serve_subsystem(w.target, NQN);
	serve_ns(w.pg, w.ss, stack, 1);
	serve_at(w.target, "loop://");
}

static void stop_target(void)
{
	unsigned int i;
	int flag = 0;

	for (i = 0; i < NR_HOSTS; i++)
		leap_host_close(w.hosts[i], count, &flag);
	await(&flag, NR_HOSTS);
	serve_stop(w.pg, w.target);
	for (i = 0; i < NR_GROUPS; i++) {
		__atomic_store_n(&w.groups[i].stop, 1, __ATOMIC_RELEASE);
		pthread_join(w.groups[i].thread, NULL);
		assert_int_equal(leap_pollgroup_destroy(w.groups[i].pg), 0);
	}
	assert_int_equal(leap_pollgroup_destroy(w.pg), 0);
}

static void connect_hosts(void)
{
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	unsigned int i;

	ho.url = "loop://leapio/" NQN;
	ho.target = w.target;
	ho.nr_io_queues = NR_QUEUES;
	ho.state = host_state;
	for (i = 0; i < NR_HOSTS; i++) {
		ho.hostid[0] = (uint8_t)(i + 1);
		assert_int_equal(leap_host_connect(w.pg, &ho, &w.hosts[i]), 0);
	}
	await(&w.live, NR_HOSTS);
}

static void run(const char *stack, uint32_t each)
{
	uint64_t from, done = 0, lost = 0;
	unsigned int i;

	memset(&w, 0, sizeof(w));
	start_target(stack);
	connect_hosts();
	for (i = 0; i < COUNT(w.counters); i++) {
		struct counter *c = &w.counters[i];

		c->host = w.hosts[i / NR_QUEUES];
		c->queue = 1 + i % NR_QUEUES;
		c->left = each;
		c->read.c = c->compare.c = c->write.c = c;
		c->read.req.done = read_done;
		c->compare.req.done = c->write.req.done = half_done;
		w.busy++;
		count_next(c);
	}
	from = leap_pollgroup_now_ns(w.pg);
	while (w.busy && !w.bad) {
		leap_pollgroup_wait(w.pg, 2000000);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < LIMIT_NS);
	}
	assert_int_equal(w.bad, 0);
	for (i = 0; i < COUNT(w.counters); i++) {
		done += w.counters[i].done;
		lost += w.counters[i].lost;
	}
	assert_int_equal(done, each * COUNT(w.counters));
	/* The last one that succeeded wrote what all of them made. */
	w.busy = 1;
	w.counters[0].left = 1;
	count_next(&w.counters[0]);
	while (w.busy)
		leap_pollgroup_wait(w.pg, 2000000);
	assert_int_equal(w.counters[0].read.data[0], done);
	assert_true(lost > 0);
	stop_target();
}

static void test_file(void **state)
{
	char stack[128], path[64];

	(void)state;
	snprintf(path, sizeof(path), "/tmp/leap-fused-%d", getpid());
	snprintf(stack, sizeof(stack), "file:%s[create=1M]", path);
	run(stack, unit_is_slow() ? 30 : 120);
	unlink(path);
}

static void test_memory(void **state)
{
	(void)state;
	run("memory:1M", unit_is_slow() ? 100 : 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
