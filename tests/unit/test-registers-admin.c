/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands of a controller that is registers: in an admin queue that no Connect
 * has made, what fabrics has no use for, and what only fabrics has.
 */
#include "registers-front.h"

static void test_admin(void **state)
{
	struct front *f = *state;
	struct leap_sqe id = fx_identify(LEAP_CNS_CTRL, 0), sqe;
	const struct leap_id_ctrl *ctrl;
	struct leap_ctrl_info info = { .size = sizeof(info) };
	struct leap_sqe aer = { 0 };

	enable(f);
	assert_int_equal(script_cmd(f->admin, &id), 0);
	ctrl = (void *)f->admin->buf;
	assert_int_equal(leap_from_le16(ctrl->cntlid), f->c->cntlid);
	assert_int_equal(leap_from_le32(ctrl->sgls), 0);
	assert_int_equal(leap_from_le32(ctrl->ioccsz), 0);
	assert_int_equal(leap_from_le32(ctrl->rtd3e), 5000000);
	/* PRPs always, never fused, and nothing of fabrics. */
	sqe = id;
	sqe.flags = LEAP_SQE_PSDT_SGL;
	assert_int_equal(script_cmd(f->admin, &sqe),
			 LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
	sqe.flags = 1;
	assert_int_equal(script_cmd(f->admin, &sqe),
			 LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
	sqe = id;
	sqe.opc = LEAP_ADM_FABRICS;
	assert_int_equal(script_cmd(f->admin, &sqe),
			 LEAP_SC_INVALID_OPCODE | LEAP_STATUS_DNR);
	assert_int_equal(leap_ctrl_next(f->fx->target, f->fx->ss, 0, &info),
			 0);
	assert_string_equal(info.hostnqn, "nqn.2026-01.org.example:guest");
	/* Events are forgotten by a reset: their answers go nowhere. */
	aer.opc = LEAP_ADM_AER;
	script_send(f->admin, &aer);
	fx_settle(f->fx);
	wr4(f, LEAP_REG_CC, 0);
	assert_int_equal(f->admin->dropped, 1);
	reap(f);
}

static leap_status_t set(struct front *f, uint8_t fid, uint32_t v)
{
	struct leap_sqe sqe = fx_feature(LEAP_ADM_SET_FEATURES, fid, 0, v);

	return LEAP_STATUS_CODE(script_cmd(f->admin, &sqe));
}

static leap_status_t get(struct front *f, uint8_t fid, uint32_t sel,
			 uint32_t v)
{
	struct leap_sqe sqe = fx_feature(LEAP_ADM_GET_FEATURES, fid, sel, v);

	return LEAP_STATUS_CODE(script_cmd(f->admin, &sqe));
}

static void test_interrupt_features(void **state)
{
	struct front *f = *state;

	enable(f);
	assert_int_equal(set(f, LEAP_FID_INT_COALESCE, 0x0a07), 0);
	assert_int_equal(get(f, LEAP_FID_INT_COALESCE, 0, 0), 0);
	assert_int_equal(f->admin->result, 0x0a07);
	assert_int_equal(get(f, LEAP_FID_INT_COALESCE, 1, 0), 0);
	assert_int_equal(f->admin->result, 0);
	/* A bit for each vector, up to the last there is. */
	assert_int_equal(set(f, LEAP_FID_INT_VECTOR, 1u << 16 | 32), 0);
	assert_int_equal(get(f, LEAP_FID_INT_VECTOR, 0, 32), 0);
	assert_int_equal(f->admin->result, 1u << 16 | 32);
	assert_int_equal(get(f, LEAP_FID_INT_VECTOR, 0, 31), 0);
	assert_int_equal(f->admin->result, 31);
	assert_int_equal(get(f, LEAP_FID_INT_VECTOR, 1, 32), 0);
	assert_int_equal(f->admin->result, 32);
	assert_int_equal(set(f, LEAP_FID_INT_VECTOR, 33),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(get(f, LEAP_FID_INT_VECTOR, 0, 33),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(get(f, LEAP_FID_INT_VECTOR, 3, 0), 0);
	assert_int_equal(f->admin->result, LEAP_FEAT_CAP_CHANGE);
	disable(f);
	wr4(f, LEAP_REG_CC, CC_ENABLE);
	assert_int_equal(get(f, LEAP_FID_INT_VECTOR, 0, 32), 0);
	assert_int_equal(f->admin->result, 32);
	assert_int_equal(get(f, LEAP_FID_INT_COALESCE, 0, 0), 0);
	assert_int_equal(f->admin->result, 0);
}

static void test_host_id(void **state)
{
	struct front *f = *state;
	uint8_t id[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };

	enable(f);
	memcpy(f->admin->buf, id, 16);
	assert_int_equal(set(f, LEAP_FID_HOST_ID, 1), 0);
	assert_int_equal(f->admin->data_bytes, 16);
	assert_memory_equal(f->c->hostid, id, 16);
	assert_int_equal(get(f, LEAP_FID_HOST_ID, 0, 0), 0);
	assert_int_equal(f->admin->data_bytes, 8);
	assert_memory_equal(f->admin->buf, id, 8);
	assert_int_equal(set(f, LEAP_FID_HOST_ID, 2), LEAP_SC_INVALID_FIELD);
	assert_int_equal(get(f, LEAP_FID_HOST_ID, 3, 1), 0);
	assert_int_equal(f->admin->result, LEAP_FEAT_CAP_CHANGE);
}

/* A fabrics host cannot add queues to it, and the operator can end it. */
static void test_not_of_fabrics(void **state)
{
	struct front *f = *state;
	struct fx_connect how = { .qid = 1, .cntlid = f->c->cntlid };
	struct leap_qp *qp;

	enable(f);
	assert_int_equal(fx_connect(f->fx, &how, &qp), LEAP_SC_FAB_PARAM);
	assert_int_equal(leap_ctrl_disconnect(f->fx->ss, f->c->cntlid), 0);
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->stops, 1);
	/* What its host still writes changes nothing. */
	wr4(f, LEAP_REG_CC, 0);
	wr4(f, LEAP_REG_CC, CC_ENABLE);
	leap__ctrl_reg_reset(f->c);
	assert_int_equal(f->starts, 1);
}

static void test_bad_create(void **state)
{
	struct front *f = *state;
	struct leap__ctrl_front none = front_ops;
	struct leap__ctrl *c = NULL;

	none.nr_vectors = 0;
	assert_int_equal(leap__ctrl_create_registers(f->fx->ss, &none, f, &c),
			 -EINVAL);
	assert_last_error("0 vectors are not 1..2048");
	none.nr_vectors = LEAP__MAX_VECTORS + 1;
	assert_int_equal(leap__ctrl_create_registers(f->fx->ss, &none, f, &c),
			 -EINVAL);
	assert_null(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRONT_TEST(test_admin),
		FRONT_TEST(test_interrupt_features),
		FRONT_TEST(test_host_id),
		FRONT_TEST(test_not_of_fabrics),
		FRONT_TEST(test_bad_create),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
