/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin half: features, logs, events, keep alive, abort, discovery, and
 * namespaces that come and go under a connected host.
 */
#include "ctrl-fixture.h"

#include <leapio/nvmf.h>

#include "sim/sim.h"

#define MS	1000000ull

static void on_removed(int err, void *arg)
{
	assert_int_equal(err, 0);
	*(int *)arg = 1;
}

static struct leap_sqe aer(void)
{
	struct leap_sqe sqe = { 0 };

	sqe.opc = LEAP_ADM_AER;
	return sqe;
}

static void test_aer(void **state)
{
	struct fx *fx = *state;
	struct leap_sqe a = aer(), log;
	static struct fx_req r[5];	/* one is answered at the very end */
	uint8_t buf[4096];
	uint32_t nsid;
	int i;

	for (i = 0; i < 4; i++)
		fx_submit(fx, fx->admin, &r[i], &a, NULL, 0);
	/* One more than AERL + 1. */
	assert_int_equal(fx_cmd(fx, fx->admin, &a, NULL, 0),
			 LEAP_SC_AER_LIMIT);
	fx_add_ns(fx, "memory:1M", 9, 0, 0);
	fx_settle(fx);
	for (i = 0, nsid = 0; i < 4; i++)
		if (r[i].done) {
			nsid++;
			assert_int_equal(leap_req_result(&r[i].req),
				LEAP_AER_DW0(LEAP_AER_TYPE_NOTICE, 0, 4));
		}
	assert_int_equal(nsid, 1);
	/* Masked until the log has been read. */
	fx_add_ns(fx, "memory:1M", 5, 0, 0);
	fx_settle(fx);
	assert_int_equal(r[0].done + r[1].done + r[2].done + r[3].done, 1);
	log = fx_log(LEAP_LID_CHANGED_NS, 4096);
	log.cdw10 = leap_to_le32(leap_from_le32(log.cdw10) |
				 LEAP_LOG_CDW10_RAE);
	assert_int_equal(fx_cmd(fx, fx->admin, &log, buf, sizeof(buf)), 0);
	fx_settle(fx);
	assert_int_equal(r[0].done + r[1].done + r[2].done + r[3].done, 1);
	log = fx_log(LEAP_LID_CHANGED_NS, 4096);
	assert_int_equal(fx_cmd(fx, fx->admin, &log, buf, sizeof(buf)), 0);
	memcpy(&nsid, buf, 4);
	assert_int_equal(nsid, 5);
	memcpy(&nsid, buf + 4, 4);
	assert_int_equal(nsid, 9);
	memcpy(&nsid, buf + 8, 4);
	assert_int_equal(nsid, 0);
	/* The event of NSID 5 was held, and is told now. */
	fx_settle(fx);
	assert_int_equal(r[0].done + r[1].done + r[2].done + r[3].done, 2);
}

static void test_aer_config(void **state)
{
	struct fx *fx = *state;
	struct leap_sqe a = aer(), set;
	static struct fx_req r;	/* answered at the very end */

	set = fx_feature(LEAP_ADM_SET_FEATURES, LEAP_FID_ASYNC_EVENT, 0, 0);
	assert_int_equal(fx_cmd(fx, fx->admin, &set, NULL, 0), 0);
	fx_submit(fx, fx->admin, &r, &a, NULL, 0);
	fx_add_ns(fx, "memory:1M", 9, 0, 0);
	fx_settle(fx);
	assert_int_equal(r.done, 0);
	/* Reset: requests are forgotten. */
	assert_int_equal(fx_prop_set(fx, LEAP_REG_CC, 0x00460000), 0);
	fx_settle(fx);
	assert_int_equal(r.done, 1);
	assert_int_equal(LEAP_STATUS_CODE(r.status), LEAP_SC_ABORT_SQ_DELETED);
}

static void test_abort_aer(void **state)
{
	struct fx *fx = *state;
	struct leap_sqe a = aer(), abort = { 0 };
	static struct fx_req r;	/* answered at the very end */

	fx_submit(fx, fx->admin, &r, &a, NULL, 0);
	fx_settle(fx);
	abort.opc = LEAP_ADM_ABORT;
	abort.cdw10 = leap_to_le32(
		(uint32_t)leap_from_le16(r.req.sqe.cid) << 16);
	assert_int_equal(fx_cmd(fx, fx->admin, &abort, NULL, 0), 0);
	assert_int_equal(fx->result, 0);
	assert_int_equal(r.done, 1);
	assert_int_equal(LEAP_STATUS_CODE(r.status), LEAP_SC_ABORT_REQUESTED);
}

static void test_error_log(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 3);
	struct leap_sqe rd = fx_rw(LEAP_NVM_READ, 1, 1ull << 40, 8);
	struct leap_sqe bad = fx_identify(0xee, 0);
	struct leap_sqe log = fx_log(LEAP_LID_ERROR, 128);
	struct leap_log_error e[2];
	uint8_t buf[4096];

	assert_int_equal(fx_cmd_raw(fx, io, &rd, buf, sizeof(buf)),
			 LEAP_SC_LBA_RANGE | LEAP_STATUS_DNR |
			 LEAP_STATUS_MORE);
	fx_settle(fx);
	assert_int_equal(fx_cmd(fx, fx->admin, &bad, buf, sizeof(buf)),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(fx_cmd(fx, fx->admin, &log, e, sizeof(e)), 0);
	/* Newest first: from the admin half, then from the I/O half. */
	assert_int_equal(leap_from_le64(e[0].count), 2);
	assert_int_equal(leap_from_le16(e[0].sqid), 0);
	assert_int_equal(e[0].opc, LEAP_ADM_IDENTIFY);
	assert_int_equal(leap_from_le64(e[1].count), 1);
	assert_int_equal(leap_from_le16(e[1].sqid), 3);
	assert_int_equal(leap_from_le64(e[1].lba), 1ull << 40);
	assert_int_equal(leap_from_le32(e[1].nsid), 1);
	assert_int_equal(LEAP_STATUS_CODE(leap_from_le16(e[1].status) >> 1),
			 LEAP_SC_LBA_RANGE);
	fx_close(fx, io);
}

static void test_smart(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *io2 = fx_io(fx, 2);
	struct leap_sqe log = fx_log(LEAP_LID_SMART, 512);
	struct leap_sqe rd = fx_rw(LEAP_NVM_READ, 2, 0, 16);
	struct leap_sqe wr = fx_rw(LEAP_NVM_WRITE, 1, 0, 128);
	struct leap_log_smart s;
	uint8_t buf[65536] = { 0 };
	int i;

	for (i = 0; i < 10; i++) {
		assert_int_equal(fx_cmd(fx, io, &rd, buf, 65536), 0);
		assert_int_equal(fx_cmd(fx, io2, &wr, buf, 65536), 0);
		assert_int_equal(fx_cmd(fx, io2, &wr, buf, 65536), 0);
	}
	/* Counters of a queue that is gone are not lost. */
	fx_close(fx, io2);
	assert_int_equal(fx_cmd(fx, fx->admin, &log, &s, sizeof(s)), 0);
	assert_int_equal(leap_from_le64(s.host_reads.lo), 10);
	assert_int_equal(leap_from_le64(s.host_writes.lo), 20);
	/* 10 x 128 and 20 x 128 units of 512, in thousands, rounded up. */
	assert_int_equal(leap_from_le64(s.units_read.lo), 2);
	assert_int_equal(leap_from_le64(s.units_written.lo), 3);
	fx_close(fx, io);
}

/* A new connection is no new drive. */
static void test_smart_survives(void **state)
{
	struct fx *fx = *state;
	struct fx_connect how = { 0 };
	struct leap_sqe log = fx_log(LEAP_LID_SMART, 512);
	struct leap_sqe rd = fx_rw(LEAP_NVM_READ, 1, 0, 8);
	struct leap_qp *io = fx_io(fx, 1), *admin2, *admin = fx->admin;
	struct leap_log_smart s;
	uint8_t buf[4096];
	int i;

	for (i = 0; i < 5; i++)
		assert_int_equal(fx_cmd(fx, io, &rd, buf, sizeof(buf)), 0);
	/* Another controller sees the I/O of the first, while it runs... */
	assert_int_equal(fx_connect(fx, &how, &admin2), 0);
	fx->admin = admin2;
	fx_enable(fx);
	assert_int_equal(fx_cmd(fx, admin2, &log, &s, sizeof(s)), 0);
	assert_int_equal(leap_from_le64(s.host_reads.lo), 5);
	/* ...and when it has gone. */
	fx_close(fx, io);
	fx_close(fx, admin);
	fx_settle(fx);
	assert_int_equal(fx_cmd(fx, admin2, &log, &s, sizeof(s)), 0);
	assert_int_equal(leap_from_le64(s.host_reads.lo), 5);
	assert_int_equal(leap_from_le64(s.units_read.lo), 1);
	assert_int_equal(leap_from_le64(s.power_cycles.lo), 1);
	assert_int_equal(leap_from_le64(s.unsafe_shutdowns.lo), 0);
	assert_int_equal(s.critical, 0);
}

static leap_status_t temp_threshold(struct fx *fx, uint32_t v)
{
	struct leap_sqe set = fx_feature(LEAP_ADM_SET_FEATURES,
					 LEAP_FID_TEMP_THRESHOLD, 0, v);

	return fx_cmd(fx, fx->admin, &set, NULL, 0);
}

static uint8_t critical(struct fx *fx)
{
	struct leap_sqe log = fx_log(LEAP_LID_SMART, 512);
	struct leap_log_smart s;

	assert_int_equal(fx_cmd(fx, fx->admin, &log, &s, sizeof(s)), 0);
	assert_int_equal(s.temp[0] | s.temp[1] << 8, 313);
	return s.critical;
}

static void test_temperature(void **state)
{
	struct fx *fx = *state;
	struct leap_sqe a = aer(), set;
	static struct fx_req r;	/* answered at the very end */

	set = fx_feature(LEAP_ADM_SET_FEATURES, LEAP_FID_ASYNC_EVENT, 0,
			 LEAP_SMART_TEMPERATURE);
	assert_int_equal(fx_cmd(fx, fx->admin, &set, NULL, 0), 0);
	fx_submit(fx, fx->admin, &r, &a, NULL, 0);
	assert_int_equal(critical(fx), 0);
	assert_int_equal(temp_threshold(fx, 314), 0);
	fx_settle(fx);
	assert_int_equal(r.done, 0);
	assert_int_equal(temp_threshold(fx, 313), 0);
	fx_settle(fx);
	assert_int_equal(r.done, 1);
	assert_int_equal(leap_req_result(&r.req),
			 LEAP_AER_DW0(LEAP_AER_TYPE_SMART,
				      LEAP_AER_SMART_TEMPERATURE,
				      LEAP_LID_SMART));
	assert_int_equal(critical(fx), LEAP_SMART_TEMPERATURE);
	assert_int_equal(temp_threshold(fx, 343), 0);
	assert_int_equal(critical(fx), 0);
	/* Under. */
	assert_int_equal(temp_threshold(fx, 1u << 20 | 400), 0);
	assert_int_equal(critical(fx), LEAP_SMART_TEMPERATURE);
}

/* { FID, default, another value, what SEL 3 says } */
static const uint32_t feats[][4] = {
	{ LEAP_FID_ARBITRATION, 7, 2, LEAP_FEAT_CAP_CHANGE },
	{ LEAP_FID_POWER, 0, 0x20, LEAP_FEAT_CAP_CHANGE },
	{ LEAP_FID_TEMP_THRESHOLD, 343, 350, LEAP_FEAT_CAP_CHANGE },
	{ LEAP_FID_WRITE_CACHE, 1, 0, LEAP_FEAT_CAP_CHANGE },
	{ LEAP_FID_NUM_QUEUES, 63 << 16 | 63, 3 << 16 | 3,
	  LEAP_FEAT_CAP_CHANGE },
	{ LEAP_FID_WRITE_ATOMIC, 0, 1, LEAP_FEAT_CAP_CHANGE },
	{ LEAP_FID_ASYNC_EVENT, 0x10c, 0x100, LEAP_FEAT_CAP_CHANGE },
	{ LEAP_FID_KATO, 0, 5000, LEAP_FEAT_CAP_CHANGE },
};

static uint64_t feature(struct fx *fx, uint32_t fid, uint32_t sel)
{
	struct leap_sqe get = fx_feature(LEAP_ADM_GET_FEATURES, (uint8_t)fid,
					 sel, 0);

	assert_int_equal(fx_cmd(fx, fx->admin, &get, NULL, 0), 0);
	return fx->result;
}

static void test_features(void **state)
{
	struct fx *fx = *state;
	struct leap_sqe sqe;
	size_t i;

	for (i = 0; i < COUNT(feats); i++) {
		const uint32_t *f = feats[i];

		assert_int_equal(feature(fx, f[0], 0), f[1]);
		sqe = fx_feature(LEAP_ADM_SET_FEATURES, (uint8_t)f[0], 1,
				 f[2]);
		assert_int_equal(fx_cmd(fx, fx->admin, &sqe, NULL, 0),
				 LEAP_SC_FEAT_NOT_SAVEABLE);
		sqe = fx_feature(LEAP_ADM_SET_FEATURES, (uint8_t)f[0], 0,
				 f[2]);
		assert_int_equal(fx_cmd(fx, fx->admin, &sqe, NULL, 0), 0);
		assert_int_equal(feature(fx, f[0], 0), f[2]);
		assert_int_equal(feature(fx, f[0], 1), f[1]);
		assert_int_equal(feature(fx, f[0], 2), f[1]);
		assert_int_equal(feature(fx, f[0], 3), f[3]);
	}
	/* Interrupts are for registers. */
	sqe = fx_feature(LEAP_ADM_GET_FEATURES, LEAP_FID_INT_COALESCE, 0, 0);
	assert_int_equal(fx_cmd(fx, fx->admin, &sqe, NULL, 0),
			 LEAP_SC_INVALID_FIELD);
	sqe = fx_feature(LEAP_ADM_SET_FEATURES, LEAP_FID_INT_VECTOR, 0, 0);
	assert_int_equal(fx_cmd(fx, fx->admin, &sqe, NULL, 0),
			 LEAP_SC_INVALID_FIELD);
	/* A reset forgets all but the identity. */
	assert_int_equal(fx_prop_set(fx, LEAP_REG_CC, 0x00460000), 0);
	fx_settle(fx);
	fx_enable(fx);
	for (i = 0; i < COUNT(feats); i++)
		assert_int_equal(feature(fx, feats[i][0], 0), feats[i][1]);
}

static void test_namespaces(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1);
	struct leap_sqe id = fx_identify(LEAP_CNS_NS, 8);
	struct leap_sqe rd = fx_rw(LEAP_NVM_READ, 8, 4095, 1);
	struct leap_id_ns ns;
	uint8_t buf[512];
	int removed = 0;

	assert_int_equal(fx_cmd(fx, io, &rd, buf, 512), LEAP_SC_INVALID_NS);
	fx_add_ns(fx, "memory:1M[max=8M]", 8, 0, 0);
	assert_int_equal(fx_cmd(fx, io, &rd, buf, 512), LEAP_SC_LBA_RANGE);
	assert_int_equal(leap_ns_resize(fx->ss, 8, 2u << 20), 0);
	fx_settle(fx);
	assert_int_equal(fx_cmd(fx, io, &rd, buf, 512), 0);
	assert_int_equal(fx_cmd(fx, fx->admin, &id, &ns, sizeof(ns)), 0);
	assert_int_equal(leap_from_le64(ns.nsze), 4096);
	assert_int_equal(leap_ns_remove(fx->ss, 8, on_removed, &removed), 0);
	assert_int_equal(leap_ns_remove(fx->ss, 8, NULL, NULL), -EBUSY);
	fx_wait(fx, &removed);
	assert_int_equal(fx_cmd(fx, io, &rd, buf, 512), LEAP_SC_INVALID_NS);
	assert_int_equal(leap_ns_remove(fx->ss, 8, NULL, NULL), -ENOENT);
	fx_close(fx, io);
}

/* ---- keep alive: on a clock that moves when nothing else does ---- */

static struct leap_sim *sim;
static int quiet;	/* steps in a row; before the first one -1 */

/* A step of the world; one that nothing will ever happen in is a bug. */
static int sim_poll(struct fx *fx)
{
	if (quiet < 0)
		leap_sim_add(sim, fx->pg);
	quiet = leap_sim_run(sim, NULL, NULL, MS / 10) ? 0 : quiet + 1;
	assert_true(quiet < 1000);
	return 0;
}

static int setup_sim(void **state)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;

	sim = leap_sim_create(NULL);
	quiet = -1;
	o.world = LEAP_WORLD_SIM;
	o.sim = sim;
	return fx_setup_in(state, &o, sim_poll);
}

static int teardown_sim(void **state)
{
	fx_teardown(state);
	leap_sim_destroy(sim);
	return 0;
}

static uint64_t expired(struct fx *fx)
{
	struct leap_target_stats st = { .size = sizeof(st) };

	assert_int_equal(leap_target_stats(fx->target, &st), 0);
	return st.keep_alive_expired;
}

static bool has_expired(void *arg)
{
	return expired(arg) > 0;
}

/* From the last sign of life: KATO and a granule of 100 ms, and at most half a
 * KATO more, which is how often it is looked at; then there is a second look, 10
 * ms later. */
static void check_expiry(struct fx *fx)
{
	uint64_t from = leap_sim_now_ns(sim), took;

	assert_int_equal(expired(fx), 0);
	assert_int_equal(leap_sim_run(sim, has_expired, fx, 1000 * MS), 1);
	took = leap_sim_now_ns(sim) - from;
	assert_in_range(took, 305 * MS, 411 * MS);
	fx_settle(fx);
	assert_true(fx_is_lost(fx->admin));
}

static void test_keep_alive(void **state)
{
	struct fx *fx = *state;
	struct fx_connect how = { .kato_ms = 200 };
	struct leap_sqe ka = { 0 };
	int i;

	ka.opc = LEAP_ADM_KEEP_ALIVE;
	assert_int_equal(fx_connect(fx, &how, &fx->admin), 0);
	fx_enable(fx);
	/* Alive for as long as it says so. */
	for (i = 0; i < 20; i++) {
		leap_sim_run(sim, NULL, NULL, 250 * MS);
		assert_int_equal(fx_cmd(fx, fx->admin, &ka, NULL, 0), 0);
	}
	check_expiry(fx);
}

/* I/O counts as a sign of life. */
static void test_traffic_keeps_alive(void **state)
{
	struct fx *fx = *state;
	struct fx_connect how = { .kato_ms = 200 };
	struct leap_sqe rd = fx_rw(LEAP_NVM_READ, 1, 0, 1);
	struct leap_qp *io;
	uint8_t buf[512];
	int i;

	assert_int_equal(fx_connect(fx, &how, &fx->admin), 0);
	fx_enable(fx);
	io = fx_io(fx, 1);
	for (i = 0; i < 20; i++) {
		leap_sim_run(sim, NULL, NULL, 250 * MS);
		assert_int_equal(fx_cmd(fx, io, &rd, buf, 512), 0);
	}
	check_expiry(fx);
	fx_close(fx, io);
}

static void test_discovery(void **state)
{
	struct fx *fx = *state;
	struct fx_connect how = { .nqn = LEAP_NQN_DISCOVERY };
	struct leap_sqe log = fx_log(LEAP_LID_DISCOVERY, 1024);
	struct leap_sqe id = fx_identify(LEAP_CNS_CTRL, 0);
	struct leap_subsystem_opts opts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_subsystem *ss;
	struct leap_disc_hdr hdr, later;
	struct leap_id_ctrl ctrl;

	assert_int_equal(fx_connect(fx, &how, &fx->admin), 0);
	fx_enable(fx);
	assert_int_equal(fx_cmd(fx, fx->admin, &id, &ctrl, sizeof(ctrl)), 0);
	assert_int_equal(ctrl.cntrltype, LEAP_CNTRLTYPE_DISCOVERY);
	assert_int_equal(fx_cmd(fx, fx->admin, &log, &hdr, sizeof(hdr)), 0);
	/* Loopback cannot be discovered. */
	assert_int_equal(leap_from_le64(hdr.numrec), 0);
	opts.nqn = "nqn.2026-01.org.example:more";
	assert_int_equal(leap_subsystem_create(fx->target, &opts, &ss), 0);
	assert_int_equal(fx_cmd(fx, fx->admin, &log, &later, sizeof(later)),
			 0);
	assert_true(leap_from_le64(later.genctr) > leap_from_le64(hdr.genctr));
}

static void test_drain(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1);
	struct fx_connect how = { 0 };
	struct leap_target_stats st = { .size = sizeof(st) };
	struct leap_qp *qp;
	int drained = 0;

	leap_target_drain(fx->target, 1000, set_flag, &drained);
	fx_wait(fx, &drained);
	assert_int_equal(leap_target_stats(fx->target, &st), 0);
	assert_int_equal(st.connections, 0);
	assert_true(fx_is_lost(io) && fx_is_lost(fx->admin));
	assert_int_equal(fx_connect(fx, &how, &qp) >> 8, 3);
	fx_close(fx, io);
	/* With nobody there it does not wait for its time to run out. */
	drained = 0;
	leap_target_drain(fx->target, 1000000, set_flag, &drained);
	fx_wait(fx, &drained);
}

static void test_disconnect(void **state)
{
	struct fx *fx = *state;
	struct leap_ctrl_info info = { .size = sizeof(info) };
	struct leap_qp *io = fx_io(fx, 1);

	assert_int_equal(leap_ctrl_next(fx->target, fx->ss, 0, &info), 0);
	assert_int_equal(info.cntlid, fx->cntlid);
	assert_int_equal(info.nr_io_queues, 1);
	assert_string_equal(info.hostnqn, FX_HOST);
	assert_int_equal(leap_ctrl_disconnect(fx->ss, info.cntlid), 0);
	assert_int_equal(leap_ctrl_disconnect(fx->ss, info.cntlid), -ENOENT);
	fx_settle(fx);
	assert_true(fx_is_lost(io) && fx_is_lost(fx->admin));
	assert_int_equal(leap_ctrl_next(fx->target, fx->ss, 0, &info),
			 -ENOENT);
	fx_close(fx, io);
}

#define LIVE(f) cmocka_unit_test_setup_teardown(f, fx_setup_live, fx_teardown)
#define BARE(f) cmocka_unit_test_setup_teardown(f, fx_setup, fx_teardown)
#define SIM(f) cmocka_unit_test_setup_teardown(f, setup_sim, teardown_sim)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE(test_aer),
		LIVE(test_aer_config),
		LIVE(test_abort_aer),
		LIVE(test_error_log),
		LIVE(test_smart),
		LIVE(test_smart_survives),
		LIVE(test_temperature),
		LIVE(test_features),
		LIVE(test_namespaces),
		SIM(test_keep_alive),
		SIM(test_traffic_keeps_alive),
		BARE(test_discovery),
		LIVE(test_drain),
		LIVE(test_disconnect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
