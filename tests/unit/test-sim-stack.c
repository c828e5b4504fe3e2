/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The whole library in the simulator: a target with a drive in one process, a
 * host over TCP in another. Writes and reads back at depth while connections
 * are reset and held and the target is killed and started again on its disk;
 * every answer is checked, and a seed replays.
 */
#include "sim/sim.h"

#include <leapio/bdev.h>
#include <leapio/host.h>
#include <leapio/target.h>

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SECOND 1000000000ull
#define DEPTH 8
#define OPS 400
#define BLOCKS 8
#define BYTES (BLOCKS * 512)
#define NQN "nqn.2024-01.io.leapio:sim"

struct stack;

struct io {
	struct leap_req req;
	struct leap_piece piece;
	struct stack *s;
	unsigned char data[BYTES];
	unsigned char fill;
	int reading;
};

struct stack {
	struct leap_sim *sim;
	struct leap_pollgroup *tpg, *hpg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_listener *listener;
	struct leap_host *host;
	struct io ios[DEPTH];
	unsigned int left, done;
	int live, gone;
	int kills;	/* may the target be killed */
};

static void state_changed(struct leap_host *host, enum leap_host_state state,
			  leap_status_t status, int sys_errno, void *arg)
{
	((struct stack *)arg)->live = state == LEAP_HOST_LIVE;
}

static void gone(void *arg)
{
	((struct stack *)arg)->gone++;
}

static bool is_live(void *arg)
{
	return ((struct stack *)arg)->live;
}

static bool is_over(void *arg)
{
	return ((struct stack *)arg)->done == OPS;
}

static bool is_gone(void *arg)
{
	return ((struct stack *)arg)->gone;
}

/* Each request has its own blocks: what it wrote last is what it reads. */
static void next(struct io *io)
{
	struct leap_req *req = &io->req;
	struct stack *s = io->s;

	if (!s->left)
		return;
	s->left--;
	io->reading = !io->reading;
	if (!io->reading)
		memset(io->data, ++io->fill, BYTES);
	else
		memset(io->data, 0xee, BYTES);
	io->piece = (struct leap_piece){ .addr = io->data, .len_bytes = BYTES };
	memset(&req->sqe, 0, sizeof(req->sqe));
	req->sqe.opc = io->reading ? LEAP_NVM_READ : LEAP_NVM_WRITE;
	req->sqe.nsid = leap_to_le32(1);
	req->sqe.cdw10 = leap_to_le32((uint32_t)(io - s->ios) * BLOCKS);
	req->sqe.cdw12 = leap_to_le32(BLOCKS - 1);
	req->pieces = &io->piece;
	req->nr_pieces = 1;
	assert_int_equal(leap_host_submit(s->host, 1, &req, 1), 1);
}

static void io_done(struct leap_req *req)
{
	struct io *io = (struct io *)req;
	int i;

	assert_int_equal(leap_req_status(req), 0);
	for (i = 0; io->reading && i < BYTES; i++)
		assert_int_equal(io->data[i], io->fill);
	io->s->done++;
	next(io);
}

static void start_target(struct stack *s)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;

	leap_sim_enter(s->sim, 1);
	o.world = LEAP_WORLD_SIM;
	o.sim = s->sim;
	assert_int_equal(leap_pollgroup_create(&o, &s->tpg), 0);
	leap_sim_add(s->sim, s->tpg);
	assert_int_equal(leap_target_create(s->tpg, NULL, &s->target), 0);
	so.nqn = NQN;
	so.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(s->target, &so, &s->ss), 0);
	assert_int_equal(leap_bdev_open(s->tpg, s->kills ? "file:disk0" :
					"memory:1M", &no.bdev), 0);
	assert_int_equal(leap_ns_add(s->ss, &no, NULL, NULL), 1);
	lo.url = "tcp://127.0.0.1:4420";
	assert_int_equal(leap_listener_create(s->target, &lo, &s->listener), 0);
}

static void start_host(struct stack *s)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;

	leap_sim_enter(s->sim, 2);
	o.world = LEAP_WORLD_SIM;
	o.sim = s->sim;
	assert_int_equal(leap_pollgroup_create(&o, &s->hpg), 0);
	leap_sim_add(s->sim, s->hpg);
	ho.url = "tcp://127.0.0.1:4420/" NQN;
	ho.hostid[0] = 1;
	ho.reconnect_ms = 10;
	ho.state = state_changed;
	ho.arg = s;
	assert_int_equal(leap_host_connect(s->hpg, &ho, &s->host), 0);
}

static uint64_t reconnects, killed;

/* What the dead leave behind stays reachable. */
static void *left_behind[1000];

static bool is_unlocked(void *arg)
{
	return leap_sim_disk_unlocked(((struct stack *)arg)->sim, "disk0");
}

/* The successor opens the disk when the dead one's last write has landed. */
static void restart(struct stack *s)
{
	left_behind[killed++ % 1000] = s->target;
	leap_sim_kill(s->sim, 1);
	assert_int_equal(leap_sim_run(s->sim, is_unlocked, s, SECOND), 1);
	start_target(s);
}

static void trouble(struct stack *s)
{
	switch (leap_sim_below(s->sim, 4)) {
	case 0:
		leap_sim_net_reset(s->sim, 1, 2);
		break;
	case 1:
		leap_sim_net_hold(s->sim, 1, 2);
		leap_sim_run(s->sim, is_over, s, SECOND / 100);
		leap_sim_net_release(s->sim, 1, 2);
		break;
	case 2:
		if (s->kills)
			restart(s);
		break;
	}
}

static uint64_t play(uint64_t seed, int kills)
{
	struct leap_host_stats hs = { sizeof(hs) };
	struct leap_sim_opts so = { .seed = seed };
	struct stack *s = calloc(1, sizeof(*s));
	uint64_t hash;
	int i;

	s->sim = leap_sim_create(&so);
	s->kills = kills;
	leap_sim_disk(s->sim, "disk0", 1 << 20);
	start_target(s);
	start_host(s);
	assert_int_equal(leap_sim_run(s->sim, is_live, s, 10 * SECOND), 1);
	s->left = OPS;
	for (i = 0; i < DEPTH; i++) {
		s->ios[i].s = s;
		s->ios[i].reading = 1;
		s->ios[i].req.done = io_done;
		next(&s->ios[i]);
	}
	for (i = 0; i < 200 && !is_over(s); i++) {
		leap_sim_run(s->sim, is_over, s, SECOND / 1000);
		trouble(s);
	}
	assert_int_equal(leap_sim_run(s->sim, is_over, s, 100 * SECOND), 1);
	assert_int_equal(leap_host_stats(s->host, &hs), 0);
	reconnects += hs.reconnects;
	leap_host_close(s->host, gone, s);
	assert_int_equal(leap_sim_run(s->sim, is_gone, s, 10 * SECOND), 1);
	s->gone = 0;
	leap_target_destroy(s->target, gone, s);
	assert_int_equal(leap_sim_run(s->sim, is_gone, s, 10 * SECOND), 1);
	hash = leap_sim_trace_hash(s->sim);
	assert_int_equal(leap_pollgroup_destroy(s->hpg), 0);
	assert_int_equal(leap_pollgroup_destroy(s->tpg), 0);
	leap_sim_destroy(s->sim);
	free(s);
	return hash;
}

static void test_play(void **state)
{
	uint64_t seed;

	for (seed = 0; seed < 20; seed++)
		assert_true(play(seed, 0) == play(seed, 0));
	assert_true(reconnects > 20);
}

static void test_kill(void **state)
{
	uint64_t seed;

	for (seed = 0; seed < 20; seed++)
		assert_true(play(seed, 1) == play(seed, 1));
	assert_true(killed > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_play),
		cmocka_unit_test(test_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
