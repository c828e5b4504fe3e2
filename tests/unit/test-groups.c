/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A target whose I/O queues are served by two poll groups on two threads, its
 * home by a third, and hosts on two more: verified I/O over real transports
 * while namespaces come, go and change size, and controllers are disconnected
 * under it. What a host wrote before it lost a connection must not land after
 * what it wrote over the next one, whichever group serves it: every slot reads
 * back what was written last.
 */
#include "serve.h"

#include <leapio/host.h>
#include <leapio/nvmf.h>
#include <leapio/pollgroup.h>
#include <leapio/target.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define NQN		"nqn.2026-01.org.example:groups"
#define NR_GROUPS	2
#define NR_HOSTS	2
#define NR_QUEUES	3u
#define NR_SLOTS	6u		/* a queue */
#define SLOT_BLOCKS	16u
#define SLOT_BYTES	(SLOT_BLOCKS * 512u)
#define NR_CUTS		12
#define CUT_NS		40000000ull	/* between two disconnects */
#define LIMIT_NS	60000000000ull

struct group {
	struct leap_pollgroup *pg;
	pthread_t thread;
	atomic_int stop;
};

struct slot {
	struct leap_req req;	/* first */
	struct client *client;
	struct leap_piece piece;
	uint32_t queue;
	uint64_t block;
	uint32_t gen;
	uint8_t reading;
	uint8_t busy;
	uint8_t buf[SLOT_BYTES];
};

struct client {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	pthread_t thread;
	char url[200];
	unsigned int nr;
	int live, failed, closed;
	unsigned int busy;
	uint64_t verified, mismatches, bad_status;
	struct slot slots[NR_QUEUES][NR_SLOTS];
	/* The namespace that comes and goes. */
	struct slot visit;
	uint64_t visited, refused;
	struct leap_host_stats stats;
};

struct world {
	struct leap_pollgroup *home;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_listener *listener;
	struct group groups[NR_GROUPS];
	struct client clients[NR_HOSTS];
};

static atomic_int stop_io, nr_ended;
static _Atomic uint64_t progress;

/* ---- groups ---- */

static void *run_group(void *arg)
{
	struct group *g = arg;

	while (!atomic_load(&g->stop))
		leap_pollgroup_wait(g->pg, 2000000);
	return NULL;
}

/* ---- hosts ---- */

static uint8_t byte_at(const struct slot *s, uint32_t i)
{
	return (uint8_t)(s->gen * 31 + s->block + i / 512 * 7 + i);
}

static void fill(struct slot *s)
{
	uint32_t i;

	for (i = 0; i < SLOT_BYTES; i++)
		s->buf[i] = byte_at(s, i);
}

static int is_right(const struct slot *s)
{
	uint32_t i;

	for (i = 0; i < SLOT_BYTES; i++)
		if (s->buf[i] != byte_at(s, i))
			return 0;
	return 1;
}

static void slot_done(struct leap_req *req);

static void submit(struct slot *s, uint32_t nsid)
{
	struct leap_req *r = &s->req;

	memset(&r->sqe, 0, sizeof(r->sqe));
	r->sqe.opc = s->reading ? LEAP_NVM_READ : LEAP_NVM_WRITE;
	r->sqe.nsid = leap_to_le32(nsid);
	r->sqe.cdw10 = leap_to_le32((uint32_t)s->block);
	r->sqe.cdw12 = leap_to_le32(SLOT_BLOCKS - 1);
	s->piece.addr = s->buf;
	s->piece.len_bytes = SLOT_BYTES;
	r->pieces = &s->piece;
	r->nr_pieces = 1;
	r->done = slot_done;
	if (leap_host_submit(s->client->host, s->queue, &r, 1) != 1)
		return;		/* full: from the loop */
	s->busy = 1;
	s->client->busy++;
}

static void visit_done(struct slot *s, leap_status_t code)
{
	struct client *c = s->client;

	/* There, on its way out, gone, or shorter than it was. */
	if (!code)
		c->visited++;
	else if (code == LEAP_SC_INVALID_NS || code == LEAP_SC_LBA_RANGE ||
		 code == LEAP_SC_NS_NOT_READY)
		c->refused++;
	else
		c->bad_status++;
}

static void slot_done(struct leap_req *req)
{
	struct slot *s = (struct slot *)req;
	struct client *c = s->client;
	leap_status_t code = LEAP_STATUS_CODE(leap_req_status(req));

	s->busy = 0;
	c->busy--;
	if (s == &c->visit) {
		visit_done(s, code);
		return;
	}
	if (code) {
		c->bad_status++;
		return;
	}
	if (s->reading) {
		c->verified++;
		c->mismatches += !is_right(s);
		atomic_fetch_add(&progress, 1);
		s->gen++;
	}
	s->reading = !s->reading;
}

static void next_round(struct client *c)
{
	uint32_t q, i;

	for (q = 0; q < NR_QUEUES; q++)
		for (i = 0; i < NR_SLOTS; i++) {
			struct slot *s = &c->slots[q][i];

			if (s->busy)
				continue;
			if (s->reading)
				memset(s->buf, 0, sizeof(s->buf));
			else
				fill(s);
			submit(s, 1);
		}
	if (!c->visit.busy) {
		c->visit.block = c->visit.block ? 0 : 2048 - SLOT_BLOCKS;
		submit(&c->visit, 2);
	}
}

static void on_state(struct leap_host *host, enum leap_host_state state,
		     leap_status_t status, int sys_errno, void *arg)
{
	struct client *c = arg;

	(void)host;
	(void)status;
	(void)sys_errno;
	c->live |= state == LEAP_HOST_LIVE;
	c->failed |= state == LEAP_HOST_FAILED;
}

static void start_host(struct client *c)
{
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;

	o.url = c->url;
	o.hostnqn = "nqn.2026-01.org.example:host";
	memset(o.hostid, (int)c->nr + 1, sizeof(o.hostid));
	o.nr_io_queues = NR_QUEUES;
	o.depth = 32;
	o.reconnect_ms = 5;
	o.state = on_state;
	o.arg = c;
	c->failed = leap_host_connect(c->pg, &o, &c->host) != 0;
}

static void *run_client(void *arg)
{
	struct client *c = arg;

	if (leap_pollgroup_create(NULL, &c->pg))
		return NULL;
	start_host(c);
	while (!c->live && !c->failed)
		leap_pollgroup_wait(c->pg, 2000000);
	while (!atomic_load(&stop_io) && !c->failed) {
		next_round(c);
		leap_pollgroup_wait(c->pg, 2000000);
	}
	while (c->busy && !c->failed)
		leap_pollgroup_wait(c->pg, 2000000);
	c->stats.size = sizeof(c->stats);
	leap_host_stats(c->host, &c->stats);
	leap_host_close(c->host, set_flag, &c->closed);
	while (!c->closed)
		leap_pollgroup_wait(c->pg, 2000000);
	leap_pollgroup_destroy(c->pg);
	atomic_fetch_add(&nr_ended, 1);
	return NULL;
}

static void init_client(struct client *c, unsigned int nr, const char *url)
{
	uint32_t q, i;

	memset(c, 0, sizeof(*c));
	c->nr = nr;
	snprintf(c->url, sizeof(c->url), "%s/%s", url, NQN);
	for (q = 0; q < NR_QUEUES; q++)
		for (i = 0; i < NR_SLOTS; i++) {
			struct slot *s = &c->slots[q][i];

			s->client = c;
			s->queue = q + 1;
			s->block = ((nr * NR_QUEUES + q) * NR_SLOTS + i) *
				   SLOT_BLOCKS;
		}
	c->visit.client = c;
	c->visit.queue = 1 + nr % NR_QUEUES;
	c->visit.reading = 1;
}

/* ---- the target ---- */

static void wait_home(struct world *w, const int *flag)
{
	uint64_t from = leap_pollgroup_now_ns(w->home);

	while (!*flag) {
		leap_pollgroup_wait(w->home, 2000000);
		assert_true(leap_pollgroup_now_ns(w->home) - from < LIMIT_NS);
	}
}

static void add_ns(struct world *w, uint32_t nsid, const char *stack)
{
	struct leap_ns_opts o = LEAP_NS_OPTS_INIT;
	int added = 0;

	o.nsid = nsid;
	assert_int_equal(leap_bdev_open(w->home, stack, &o.bdev), 0);
	assert_int_equal(leap_ns_add(w->ss, &o, ns_done, &added), (int)nsid);
	wait_home(w, &added);
	assert_int_equal(added, 1);
}

static void remove_ns(struct world *w, uint32_t nsid)
{
	int removed = 0;

	assert_int_equal(leap_ns_remove(w->ss, nsid, ns_done, &removed), 0);
	wait_home(w, &removed);
	assert_int_equal(removed, 1);
}

static void start_target(struct world *w, const char *url)
{
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	unsigned int i;

	assert_int_equal(leap_pollgroup_create(NULL, &w->home), 0);
	assert_int_equal(leap_target_create(w->home, NULL, &w->target), 0);
	for (i = 0; i < NR_GROUPS; i++) {
		struct group *g = &w->groups[i];

		assert_int_equal(leap_pollgroup_create(NULL, &g->pg), 0);
		atomic_store(&g->stop, 0);
		assert_int_equal(leap_target_add_group(w->target, g->pg), 0);
		assert_int_equal(pthread_create(&g->thread, NULL, run_group,
						g), 0);
	}
	w->ss = serve_subsystem(w->target, NQN);
	add_ns(w, 1, "memory:1M");
	lo.url = url;
	assert_int_equal(leap_listener_create(w->target, &lo, &w->listener),
			 0);
}

static void stop_target(struct world *w)
{
	struct leap_target_stats st = { .size = sizeof(st) };
	int gone = 0;
	unsigned int i;

	assert_int_equal(leap_target_stats(w->target, &st), 0);
	assert_int_equal(st.protocol_errors, 0);
	leap_target_destroy(w->target, set_flag, &gone);
	wait_home(w, &gone);
	for (i = 0; i < NR_GROUPS; i++) {
		atomic_store(&w->groups[i].stop, 1);
		pthread_join(w->groups[i].thread, NULL);
		assert_int_equal(leap_pollgroup_destroy(w->groups[i].pg), 0);
	}
	assert_int_equal(leap_pollgroup_destroy(w->home), 0);
}

/* The next controller after the last one cut, in turn; 0: none is there. */
static uint32_t cut(struct world *w, uint32_t after)
{
	struct leap_ctrl_info info = { .size = sizeof(info) };

	if (leap_ctrl_next(w->target, w->ss, after, &info) &&
	    leap_ctrl_next(w->target, w->ss, 0, &info))
		return after;
	assert_int_equal(leap_ctrl_disconnect(w->ss, info.cntlid), 0);
	return info.cntlid;
}

/* Until @n more slots have been verified: nothing is only torn down. */
static void let_run(struct world *w, uint64_t n)
{
	uint64_t from = leap_pollgroup_now_ns(w->home), now = from;
	uint64_t aim = atomic_load(&progress) + n;

	while (now - from < CUT_NS || atomic_load(&progress) < aim) {
		leap_pollgroup_wait(w->home, 2000000);
		now = leap_pollgroup_now_ns(w->home);
		assert_true(now - from < LIMIT_NS);
	}
}

static void disturb(struct world *w)
{
	uint32_t last = 0;
	int i;

	for (i = 0; i < NR_CUTS; i++) {
		add_ns(w, 2, "memory:512K[max=1M]");
		let_run(w, 50);
		assert_int_equal(leap_ns_resize(w->ss, 2, 1 << 20), 0);
		if (i % 3 != 2)
			last = cut(w, last);
		let_run(w, 50);
		remove_ns(w, 2);
	}
}

static void check_client(const struct client *c)
{
	assert_true(c->live && !c->failed);
	assert_int_equal(c->mismatches, 0);
	assert_int_equal(c->bad_status, 0);
	assert_true(c->verified >= NR_CUTS * 10);
	assert_true(c->refused > 0);
}

static void run(const char *url)
{
	struct world *w = calloc(1, sizeof(*w));
	uint64_t reconnects = 0, visited = 0;
	unsigned int i;

	atomic_store(&stop_io, 0);
	atomic_store(&nr_ended, 0);
	start_target(w, url);
	for (i = 0; i < NR_HOSTS; i++) {
		struct client *c = &w->clients[i];

		init_client(c, i, leap_listener_url(w->listener));
		assert_int_equal(pthread_create(&c->thread, NULL, run_client,
						c), 0);
	}
	let_run(w, 50);
	disturb(w);
	atomic_store(&stop_io, 1);
	while (atomic_load(&nr_ended) < NR_HOSTS)
		leap_pollgroup_wait(w->home, 2000000);
	for (i = 0; i < NR_HOSTS; i++) {
		pthread_join(w->clients[i].thread, NULL);
		check_client(&w->clients[i]);
		reconnects += w->clients[i].stats.reconnects;
		visited += w->clients[i].visited;
	}
	assert_true(reconnects >= NR_CUTS / 2);
	assert_true(visited > 0);
	stop_target(w);
	free(w);
}

#ifdef LEAP_WITH_TCP
static void test_tcp(void **state)
{
	(void)state;
	run("tcp://127.0.0.1:0");
}
#endif

#ifdef LEAP_WITH_SHM
static void test_shm(void **state)
{
	char dir[] = "/tmp/leap-groups-XXXXXX", url[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(url, sizeof(url), "shm:%s/s", dir);
	run(url);
	assert_int_equal(rmdir(dir), 0);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef LEAP_WITH_TCP
		cmocka_unit_test(test_tcp),
#endif
#ifdef LEAP_WITH_SHM
		cmocka_unit_test(test_shm),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
