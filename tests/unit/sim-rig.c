/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim-rig.h"

struct leap_pollgroup *rig_process(struct leap_sim *sim, int nr)
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

void rig_open(struct rig *r, uint64_t seed)
{
	struct leap_sim_opts so = { .seed = seed };
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct leap_subsystem *ss;

	memset(r, 0, sizeof(*r));
	r->data = calloc(1, LARGE);
	assert_non_null(r->data);
	r->sim = leap_sim_create(&so);
	r->pg = rig_process(r->sim, TARGET);
	r->target = serve_target(r->pg, NQN, &ss);
	assert_int_equal(leap_bdev_open(r->pg, "memory:2M", &no.bdev), 0);
	assert_int_equal(leap_ns_add(ss, &no, NULL, NULL), 1);
	serve_at(r->target, "tcp://127.0.0.1:4420");
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
void rig_close(struct rig *r)
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

uint64_t rig_cmds(struct rig *r)
{
	struct leap_pollgroup_stats st = { sizeof(st) };

	assert_int_equal(leap_pollgroup_stats(r->pg, &st), 0);
	return st.cmds_in_use;
}

bool rig_is_busy(void *arg)
{
	return rig_cmds(arg) > ((struct rig *)arg)->cmds;
}

uint64_t rig_connections(struct rig *r)
{
	struct leap_target_stats st = { sizeof(st) };

	assert_int_equal(leap_target_stats(r->target, &st), 0);
	return st.connections;
}

void end_state(struct leap_host *host, enum leap_host_state state,
	       leap_status_t status, int sys_errno, void *arg)
{
	((struct end *)arg)->live = state == LEAP_HOST_LIVE;
}

bool end_is_live(void *arg)
{
	return ((struct end *)arg)->live;
}

static bool is_closed(void *arg)
{
	return ((struct end *)arg)->closed;
}

static void host_closed(void *arg)
{
	((struct end *)arg)->closed = 1;
}

void end_start(struct rig *r, struct end *e, int nr)
{
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;

	e->pg = rig_process(r->sim, nr);
	ho.url = URL;
	ho.hostid[0] = (uint8_t)nr;
	ho.state = end_state;
	ho.arg = e;
	assert_int_equal(leap_host_connect(e->pg, &ho, &e->host), 0);
	assert_int_equal(leap_sim_run(r->sim, end_is_live, e, 10 * SECOND), 1);
	/* Its requests for events are there. */
	leap_sim_run(r->sim, NULL, NULL, 10 * MS);
}

void end_stop(struct rig *r, struct end *e)
{
	leap_host_close(e->host, host_closed, e);
	assert_int_equal(leap_sim_run(r->sim, is_closed, e, 30 * SECOND), 1);
	assert_int_equal(leap_pollgroup_destroy(e->pg), 0);
}

void end_submit(struct rig *r, struct end *e, struct leap_req *req,
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
