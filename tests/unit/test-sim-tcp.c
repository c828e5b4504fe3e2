/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVMe/TCP under virtual time: hosts that stall, read nothing or vanish cost
 * the others nothing, and every timeout of either end fires when it should,
 * ends its connection the right way, and leaves nothing behind.
 */
#include "unit.h"

#include "core/io/pollgroup.h"
#include "sim/sim.h"
#include "transport/tcp/conn.h"

#include <leapio/bdev.h>
#include <leapio/host.h>
#include <leapio/nvmf.h>
#include <leapio/qp.h>
#include <leapio/target.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#define MS 1000000ull
#define SECOND (1000 * MS)
#define NQN "nqn.2024-01.io.leapio:sim"
#define URL "tcp://127.0.0.1:4420/" NQN
#define TARGET 1		/* process */
#define GOOD 2
#define HOSTILE 3		/* the first */
#define NR_HOSTILE 8
#define DEPTH 128
#define LARGE (1u << 20)
#define OPS 200

/* A host with its own process and poll group. */
struct end {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct leap_req reqs[DEPTH];
	struct leap_piece piece;
	uint32_t left, done, failed;
	int live, closed;
};

struct rig {
	struct leap_sim *sim;
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct end good, bad[NR_HOSTILE];
	uint8_t *data;
	uint64_t cmds;		/* in use before */
	int gone;
};

static struct leap_pollgroup *process(struct leap_sim *sim, int nr)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup *pg;

	leap_sim_enter(sim, nr);
	o.world = LEAP_WORLD_SIM;
	o.sim = sim;
	assert_int_equal(leap_pollgroup_create(&o, &pg), 0);
	leap_sim_add(sim, pg);
	return pg;
}

static void open_rig(struct rig *r, uint64_t seed)
{
	struct leap_sim_opts so = { .seed = seed };
	struct leap_subsystem_opts sso = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_subsystem *ss;

	memset(r, 0, sizeof(*r));
	r->data = calloc(1, LARGE);
	assert_non_null(r->data);
	r->sim = leap_sim_create(&so);
	r->pg = process(r->sim, TARGET);
	assert_int_equal(leap_target_create(r->pg, NULL, &r->target), 0);
	sso.nqn = NQN;
	sso.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(r->target, &sso, &ss), 0);
	assert_int_equal(leap_bdev_open(r->pg, "memory:2M", &no.bdev), 0);
	assert_int_equal(leap_ns_add(ss, &no, NULL, NULL), 1);
	lo.url = "tcp://127.0.0.1:4420";
	assert_int_equal(leap_listener_create(r->target, &lo, &listener), 0);
}

static void target_gone(void *arg)
{
	((struct rig *)arg)->gone = 1;
}

static bool is_gone(void *arg)
{
	return ((struct rig *)arg)->gone;
}

/* leap_pollgroup_destroy asserts that all commands and buffers are back. */
static void close_rig(struct rig *r)
{
	struct leap_pollgroup_stats st = { sizeof(st) };

	leap_target_destroy(r->target, target_gone, r);
	assert_int_equal(leap_sim_run(r->sim, is_gone, r, 10 * SECOND), 1);
	assert_int_equal(leap_pollgroup_stats(r->pg, &st), 0);
	assert_int_equal(st.cmds_in_use, 0);
	assert_int_equal(st.bufs_in_use, 0);
	assert_int_equal(leap_pollgroup_destroy(r->pg), 0);
	leap_sim_destroy(r->sim);
	free(r->data);
}

static uint64_t cmds_in_use(struct rig *r)
{
	struct leap_pollgroup_stats st = { sizeof(st) };

	assert_int_equal(leap_pollgroup_stats(r->pg, &st), 0);
	return st.cmds_in_use;
}

static uint64_t connections(struct rig *r)
{
	struct leap_target_stats st = { sizeof(st) };

	assert_int_equal(leap_target_stats(r->target, &st), 0);
	return st.connections;
}

/* ---- hosts that take all they can get ---- */

static void host_state(struct leap_host *host, enum leap_host_state state,
		       leap_status_t status, int sys_errno, void *arg)
{
	((struct end *)arg)->live = state == LEAP_HOST_LIVE;
}

static bool is_live(void *arg)
{
	return ((struct end *)arg)->live;
}

static bool is_done(void *arg)
{
	return !((struct end *)arg)->left &&
	       ((struct end *)arg)->done == OPS;
}

static bool is_closed(void *arg)
{
	return ((struct end *)arg)->closed;
}

static bool has_more_cmds(void *arg)
{
	return cmds_in_use(arg) > ((struct rig *)arg)->cmds;
}

static void host_closed(void *arg)
{
	((struct end *)arg)->closed = 1;
}

static void start_end(struct rig *r, struct end *e, int nr)
{
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;

	e->pg = process(r->sim, nr);
	ho.url = URL;
	ho.hostid[0] = (uint8_t)nr;
	ho.state = host_state;
	ho.arg = e;
	assert_int_equal(leap_host_connect(e->pg, &ho, &e->host), 0);
	assert_int_equal(leap_sim_run(r->sim, is_live, e, 10 * SECOND), 1);
}

static void stop_end(struct rig *r, struct end *e)
{
	leap_host_close(e->host, host_closed, e);
	assert_int_equal(leap_sim_run(r->sim, is_closed, e, 30 * SECOND), 1);
	assert_int_equal(leap_pollgroup_destroy(e->pg), 0);
}

static void submit(struct rig *r, struct end *e, struct leap_req *req,
		   uint8_t opc, uint32_t bytes)
{
	e->piece.addr = r->data;
	e->piece.len_bytes = bytes;
	memset(&req->sqe, 0, sizeof(req->sqe));
	req->sqe.opc = opc;
	req->sqe.nsid = leap_to_le32(1);
	req->sqe.cdw12 = leap_to_le32(bytes / 512 - 1);
	req->pieces = &e->piece;
	req->nr_pieces = 1;
	assert_int_equal(leap_host_submit(e->host, 1, &req, 1), 1);
}

static struct rig *playing;

static void good_done(struct leap_req *req)
{
	struct end *e = &playing->good;

	assert_int_equal(leap_req_status(req), 0);
	e->done++;
	if (!e->left)
		return;
	e->left--;
	submit(playing, e, req, e->left % 2 ? LEAP_NVM_READ : LEAP_NVM_WRITE,
	       e->piece.len_bytes);
}

static void bad_done(struct leap_req *req)
{
	uint32_t i;

	for (i = 0; i < NR_HOSTILE; i++) {
		struct end *e = &playing->bad[i];

		if (req < e->reqs || req >= e->reqs + DEPTH)
			continue;
		e->done++;
		e->failed += leap_req_status(req) != 0;
	}
}

/*
 * A full queue of large commands; the process is stopped as soon as the target
 * has taken the first, so that it sends no data, or takes none.
 */
static void attack(struct rig *r, struct end *e, int nr, uint8_t opc)
{
	uint32_t i;

	start_end(r, e, nr);
	r->cmds = cmds_in_use(r);
	for (i = 0; i < DEPTH - 1; i++) {
		e->reqs[i].done = bad_done;
		submit(r, e, &e->reqs[i], opc, LARGE);
	}
	leap_host_kick(e->host, 1);
	assert_int_equal(leap_sim_run(r->sim, has_more_cmds, r, SECOND), 1);
	leap_sim_stop(r->sim, nr);
	/* What it has sent so far arrives. */
	assert_int_equal(leap_sim_run(r->sim, NULL, NULL, 10 * MS), -ETIME);
}

/* @ops of @bytes at depth 8, each half a write, half a read. */
static void work(struct rig *r, uint32_t bytes, uint64_t max_ns)
{
	struct end *e = &r->good;
	uint32_t i;

	e->done = 0;
	e->left = OPS - 8;
	for (i = 0; i < 8; i++) {
		e->reqs[i].done = good_done;
		submit(r, e, &e->reqs[i], LEAP_NVM_WRITE, bytes);
	}
	assert_int_equal(leap_sim_run(r->sim, is_done, e, max_ns), 1);
}

static bool bad_is_over(void *arg)
{
	struct rig *r = arg;
	uint32_t i;

	for (i = 0; i < NR_HOSTILE; i++)
		if (r->bad[i].done < DEPTH - 1)
			return false;
	return true;
}

static void play_hostile(uint8_t opc)
{
	static struct rig r;
	uint64_t start;
	uint32_t i;

	open_rig(&r, opc);
	playing = &r;
	start_end(&r, &r.good, GOOD);
	for (i = 0; i < NR_HOSTILE; i++)
		attack(&r, &r.bad[i], HOSTILE + (int)i, opc);
	assert_true(cmds_in_use(&r) > 256);
	start = leap_sim_now_ns(r.sim);
	work(&r, 4096, SECOND);
	work(&r, 131072, SECOND);
	work(&r, LARGE, 4 * SECOND);
	/* Nobody was thrown out meanwhile, so nothing was given back. */
	assert_true(leap_sim_now_ns(r.sim) - start < 10 * SECOND);
	assert_int_equal(connections(&r), 2 + 2 * NR_HOSTILE);
	/* And those who were only slow get what they asked for. */
	for (i = 0; i < NR_HOSTILE; i++)
		leap_sim_continue(r.sim, HOSTILE + (int)i);
	assert_int_equal(leap_sim_run(r.sim, bad_is_over, &r, 60 * SECOND), 1);
	for (i = 0; i < NR_HOSTILE; i++) {
		assert_int_equal(r.bad[i].failed, 0);
		stop_end(&r, &r.bad[i]);
	}
	stop_end(&r, &r.good);
	close_rig(&r);
}

static void test_stalled_writers(void **state)
{
	play_hostile(LEAP_NVM_WRITE);
}

static void test_slow_readers(void **state)
{
	play_hostile(LEAP_NVM_READ);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stalled_writers),
		cmocka_unit_test(test_slow_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
