/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller as a host sees it: Connect, properties, reset, shutdown, I/O.
 */
#include "ctrl-fixture.h"

#include <leapio/nvmf.h>

static void test_connect_refused(void **state)
{
	struct fx *fx = *state;
	struct fx_connect no_ss = { .nqn = "nqn.2026-01.org.example:none" };
	struct fx_connect no_ctrl = { .qid = 1, .cntlid = 77 };
	struct fx_connect not_ready = { .qid = 1 };
	struct fx_connect other_host = { .qid = 1, .hostid = 9 };
	struct fx_connect big_qid = { .qid = 65 };
	struct fx_connect deep = { .qid = 1, .depth = 129 };
	struct fx_connect admin = { 0 };
	struct leap_qp *qp;

	assert_int_equal(fx_connect(fx, &no_ss, &qp), LEAP_SC_FAB_PARAM);
	assert_int_equal(fx_connect(fx, &no_ctrl, &qp), LEAP_SC_FAB_PARAM);
	assert_int_equal(fx_connect(fx, &admin, &fx->admin), 0);
	not_ready.cntlid = fx->cntlid;
	assert_int_equal(fx_connect(fx, &not_ready, &qp),
			 LEAP_SC_CMD_SEQUENCE);
	fx_enable(fx);
	other_host.cntlid = fx->cntlid;
	assert_int_equal(fx_connect(fx, &other_host, &qp), LEAP_SC_FAB_PARAM);
	big_qid.cntlid = fx->cntlid;
	assert_int_equal(fx_connect(fx, &big_qid, &qp), LEAP_SC_FAB_PARAM);
	deep.cntlid = fx->cntlid;
	assert_int_equal(fx_connect(fx, &deep, &qp), LEAP_SC_FAB_PARAM);
	assert_int_equal(fx_connect(fx, &not_ready, &qp), 0);
	assert_int_equal(fx_connect(fx, &not_ready, &(struct leap_qp *){ 0 }),
			 LEAP_SC_CMD_SEQUENCE);
	fx_close(fx, qp);
}

static void test_hosts_allowed(void **state)
{
	struct fx *fx = *state;
	struct leap_subsystem_opts opts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct fx_connect how = { .nqn = "nqn.2026-01.org.example:private" };
	struct leap_subsystem *ss;
	struct leap_qp *qp;
	uint64_t v;

	opts.nqn = how.nqn;
	assert_int_equal(leap_subsystem_create(fx->target, &opts, &ss), 0);
	assert_int_equal(fx_connect(fx, &how, &qp), LEAP_SC_FAB_HOST);
	assert_int_equal(leap_subsystem_allow(ss, FX_HOST), 0);
	assert_int_equal(fx_connect(fx, &how, &fx->admin), 0);
	assert_int_equal(fx_prop_get(fx, LEAP_REG_VS, 0, &v), 0);
	assert_int_equal(v, LEAP_VS_2_0);
	/* Denied: its controller ends, and so does the connection. */
	assert_int_equal(leap_subsystem_deny(ss, FX_HOST), 0);
	fx_settle(fx);
	assert_true(fx_is_lost(fx->admin));
}

static void test_properties(void **state)
{
	struct fx *fx = *state;
	uint64_t v;

	assert_int_equal(fx_prop_get(fx, LEAP_REG_CAP, 1, &v), 0);
	assert_int_equal(LEAP_GET(v, LEAP_CAP_MQES), 127);
	assert_true(v & LEAP_CAP_CQR && v & LEAP_CAP_CSS_NVM);
	assert_int_equal(fx_prop_get(fx, LEAP_REG_CAP, 0, &v),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(fx_prop_get(fx, LEAP_REG_CC, 1, &v),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(fx_prop_get(fx, LEAP_REG_ASQ, 1, &v),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(fx_prop_set(fx, LEAP_REG_CAP, 1),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(fx_prop_get(fx, LEAP_REG_CC, 0, &v), 0);
	assert_int_equal(v, 0x00460001);
}

static void test_reset(void **state)
{
	struct fx *fx = *state;
	struct leap_sqe set, get;
	struct leap_qp *io = fx_io(fx, 1), *io2 = fx_io(fx, 2);
	struct leap_sqe rd = fx_rw(LEAP_NVM_READ, 1, 0, 1);
	uint8_t buf[512];
	uint64_t v;

	set = fx_feature(LEAP_ADM_SET_FEATURES, LEAP_FID_ARBITRATION, 0, 3);
	get = fx_feature(LEAP_ADM_GET_FEATURES, LEAP_FID_ARBITRATION, 0, 0);
	assert_int_equal(fx_cmd(fx, fx->admin, &set, NULL, 0), 0);
	assert_int_equal(fx_cmd(fx, io, &rd, buf, sizeof(buf)), 0);
	/* EN 1->0: queues go, features revert, RDY drops. */
	assert_int_equal(fx_prop_set(fx, LEAP_REG_CC, 0x00460000), 0);
	fx_settle(fx);
	assert_int_equal(fx_prop_get(fx, LEAP_REG_CSTS, 0, &v), 0);
	assert_int_equal(v, 0);
	assert_true(fx_is_lost(io) && fx_is_lost(io2));
	assert_int_equal(fx_cmd(fx, fx->admin, &get, NULL, 0),
			 LEAP_SC_CMD_SEQUENCE);
	fx_enable(fx);
	assert_int_equal(fx_cmd(fx, fx->admin, &get, NULL, 0), 0);
	assert_int_equal(fx->result, LEAP_FEAT_ARB_AB_MASK);
	fx_close(fx, io);
	fx_close(fx, io2);
	io = fx_io(fx, 1);
	assert_int_equal(fx_cmd(fx, io, &rd, buf, sizeof(buf)), 0);
	fx_close(fx, io);
}

static void test_bad_enable(void **state)
{
	struct fx *fx = *state;
	struct fx_connect how = { 0 };
	uint64_t v;

	assert_int_equal(fx_connect(fx, &how, &fx->admin), 0);
	/* Pages of 8 KiB: beyond MPSMAX. */
	assert_int_equal(fx_prop_set(fx, LEAP_REG_CC, 0x00460081), 0);
	assert_int_equal(fx_prop_get(fx, LEAP_REG_CSTS, 0, &v), 0);
	assert_int_equal(v, LEAP_CSTS_CFS);
	assert_int_equal(fx_prop_set(fx, LEAP_REG_CC, 0), 0);
	fx_enable(fx);
}

static void test_shutdown(void **state)
{
	struct fx *fx = *state;
	uint64_t v;

	assert_int_equal(fx_prop_set(fx, LEAP_REG_CC, 0x00464001), 0);
	fx_settle(fx);
	assert_int_equal(fx_prop_get(fx, LEAP_REG_CSTS, 0, &v), 0);
	assert_int_equal(LEAP_GET(v, LEAP_CSTS_SHST), LEAP_CSTS_SHST_DONE);
	assert_int_equal(fx_prop_set(fx, LEAP_REG_CC, 0x00460000), 0);
	fx_settle(fx);
	assert_int_equal(fx_prop_get(fx, LEAP_REG_CSTS, 0, &v), 0);
	assert_int_equal(v, 0);
	fx_enable(fx);
}

static void test_read_write(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1);
	uint8_t out[8192], in[8192];
	uint32_t ns, lba;

	for (ns = 1; ns <= 2; ns++) {
		struct leap_sqe wr, rd, cmp, wz;
		uint32_t nr;

		lba = ns == 1 ? 512 : 4096;
		nr = sizeof(out) / lba;
		wr = fx_rw(LEAP_NVM_WRITE, ns, 5, nr);
		rd = fx_rw(LEAP_NVM_READ, ns, 5, nr);
		cmp = fx_rw(LEAP_NVM_COMPARE, ns, 5, nr);
		wz = fx_rw(LEAP_NVM_WRITE_ZEROES, ns, 5, nr);
		memset(out, 0x40 + (int)ns, sizeof(out));
		assert_int_equal(fx_cmd(fx, io, &wr, out, sizeof(out)), 0);
		assert_int_equal(fx_cmd(fx, io, &rd, in, sizeof(in)), 0);
		assert_memory_equal(in, out, sizeof(in));
		assert_int_equal(fx_cmd(fx, io, &cmp, out, sizeof(out)), 0);
		out[8191] ^= 1;
		assert_int_equal(fx_cmd(fx, io, &cmp, out, sizeof(out)),
				 LEAP_SC_COMPARE_FAILED);
		assert_int_equal(fx_cmd(fx, io, &wz, NULL, 0), 0);
		memset(out, 0, sizeof(out));
		assert_int_equal(fx_cmd(fx, io, &rd, in, sizeof(in)), 0);
		assert_memory_equal(in, out, sizeof(in));
	}
	fx_close(fx, io);
}

/* A stack that cannot compare is read instead; each time from the start, even
 * if the slot of the command was used for another one before. */
static void test_compare_by_reading(void **state)
{
	struct fx *fx = *state;
	static uint8_t zeroes[65536 * 3];
	const uint32_t sizes[] = { sizeof(zeroes), 4096, 8192, sizeof(zeroes),
				   512 };
	struct leap_qp *io;
	struct leap_sqe sqe;
	uint32_t i;

	/* Of which reads leave memory alone, that of the controller's too. */
	fx_add_ns(fx, "null:1M", 9, 0, 0);
	io = fx_io(fx, 1);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t last = sizes[i] - 1;

		sqe = fx_rw(LEAP_NVM_COMPARE, 9, 0, sizes[i] / 512);
		assert_int_equal(fx_cmd(fx, io, &sqe, zeroes, sizes[i]), 0);
		zeroes[last] = 1;
		assert_int_equal(fx_cmd(fx, io, &sqe, zeroes, sizes[i]),
				 LEAP_SC_COMPARE_FAILED);
		zeroes[last] = 0;
	}
	fx_close(fx, io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connect_refused,
						fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_hosts_allowed, fx_setup,
						fx_teardown),
		cmocka_unit_test_setup_teardown(test_compare_by_reading,
						fx_setup_live, fx_teardown),
		cmocka_unit_test_setup_teardown(test_properties, fx_setup_live,
						fx_teardown),
		cmocka_unit_test_setup_teardown(test_reset, fx_setup_live,
						fx_teardown),
		cmocka_unit_test_setup_teardown(test_bad_enable, fx_setup,
						fx_teardown),
		cmocka_unit_test_setup_teardown(test_shutdown, fx_setup_live,
						fx_teardown),
		cmocka_unit_test_setup_teardown(test_read_write, fx_setup_live,
						fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
