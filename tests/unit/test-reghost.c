/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end for controllers behind registers against one that is scripted:
 * bring-up and every way in which it fails, queue creation, completions that
 * lie, and the end at any moment.
 */
#include "reghost-fixture.h"

/* ---- bring-up ---- */

static void test_enable(void **state)
{
	struct leap_qp_info info = { .size = sizeof(info) };

	rh_connect_admin();
	leap_qp_info(rh.admin.qp, &info);
	assert_int_equal(info.cntlid, 3);
	assert_int_equal(fake.command, 0x406);
	assert_int_equal(fake.msix, 0x8000);
	assert_int_equal(fake.enables, 1);
	assert_int_equal(rh_get(LEAP_REG_CC) & LEAP_CC_EN, 0);
	assert_int_equal(rh_get(LEAP_REG_CSTS), 0);
	fake.ready_after = 3;
	assert_int_equal(rh_set_cc(RH_ON), 0);
	assert_int_equal(rh_get(LEAP_REG_CSTS), LEAP_CSTS_RDY);
	assert_int_equal(rh_get(LEAP_REG_CC), RH_ON);
	assert_true((fake.aqa & 0xfff) + 1 > 32);
	/* Other page sizes than the rings have. */
	assert_int_equal(LEAP_STATUS_CODE(rh_set_cc(RH_ON | 1 << 7)),
			 LEAP_SC_INVALID_FIELD);
}

static void expect_down(int err)
{
	struct leap_qp_opts o = rh_opts_of(&rh.admin, 0);

	assert_int_equal(rh_begin(&rh.admin, &o), 0);
	assert_int_equal(rh_turn(&rh.admin.state), -1);
	assert_int_equal(rh.admin.err, err);
	assert_int_equal(LEAP_STATUS_SCT(rh.admin.status), 3);
}

static void test_never_ready(void **state)
{
	fake.never_ready = 1;
	expect_down(-ETIMEDOUT);
	assert_int_equal(fake.closes, 1);
}

static void test_fatal(void **state)
{
	fake.cfs = 1;
	expect_down(-EIO);
}

static void test_gone(void **state)
{
	fake.gone = 1;
	expect_down(-ENODEV);
}

static void test_large_pages(void **state)
{
	fake.cap |= LEAP_PUT(1ull, LEAP_CAP_MPSMIN);
	expect_down(-EOPNOTSUPP);
}

static void test_cannot_open(void **state)
{
	fake.open_err = -ECONNREFUSED;
	expect_down(-ECONNREFUSED);
}

static void test_cannot_map(void **state)
{
	fake.map_err = -ENOMEM;
	expect_down(-ENOMEM);
}

/* What a user sees of a controller that does not come up: CSTS, as it is. */
static void test_enable_fails(void **state)
{
	rh_connect_admin();
	fake.never_ready = 1;
	assert_int_equal(rh_set_cc(RH_ON), 0);
	assert_int_equal(rh_get(LEAP_REG_CSTS), 0);
	assert_int_equal(rh_set_cc(0), 0);
	fake.never_ready = 0;
	fake.cfs = 1;
	assert_int_equal(rh_set_cc(RH_ON), 0);
	assert_int_equal(rh_get(LEAP_REG_CSTS), LEAP_CSTS_CFS);
	assert_int_equal(rh_set_cc(0), 0);
	fake.cfs = 0;
	assert_int_equal(rh_set_cc(RH_ON), 0);
	assert_int_equal(rh_get(LEAP_REG_CSTS), LEAP_CSTS_RDY);
}

static void test_stays_ready(void **state)
{
	rh_up();
	fake.stays_ready = 1;
	assert_int_equal(rh_set_cc(0), 0);
	assert_int_equal(fake.resets, 1);
	assert_int_equal(fake.command, 0x406);
	assert_int_equal(rh_set_cc(RH_ON), 0);
	assert_int_equal(rh_get(LEAP_REG_CSTS), LEAP_CSTS_RDY);
}

static void test_stays_ready_for_ever(void **state)
{
	struct leap_fab_prop_set p = {
		.opc = LEAP_ADM_FABRICS, .fctype = LEAP_FCTYPE_PROP_SET,
		.ofst = leap_to_le32(LEAP_REG_CC),
	};
	struct rh_cmd c = { 0 };

	rh_up();
	fake.stays_ready = 2;
	memcpy(&c.req.sqe, &p, sizeof(p));
	rh_run(&rh.admin, &c);
	assert_int_equal(c.req.sys_errno, -ETIMEDOUT);
	assert_int_equal(rh_turn(&rh.admin.lost), 1);
	assert_int_equal(rh.admin.lost_err, -ETIMEDOUT);
}

static void test_names(void **state)
{
	struct leap_qp_opts o = rh_opts_of(&rh.admin, 0);

	o.url = "fake:x/nqn.2026-01.org.example:another";
	assert_int_equal(rh_begin(&rh.admin, &o), 0);
	assert_int_equal(rh_turn(&rh.admin.state), -1);
	assert_int_equal(LEAP_STATUS_CODE(rh.admin.status), LEAP_SC_FAB_PARAM);
	rh_finish(&rh.admin);
	o = rh_opts_of(&rh.admin, 0);
	o.url = "fake:x/" LEAP_NQN_DISCOVERY;
	assert_int_equal(rh_begin(&rh.admin, &o), 0);
	assert_int_equal(rh_turn(&rh.admin.state), -1);
	assert_int_equal(LEAP_STATUS_CODE(rh.admin.status), LEAP_SC_FAB_PARAM);
	rh_finish(&rh.admin);
	/* Older than names. */
	memset(fake.id.subnqn, 0, sizeof(fake.id.subnqn));
	rh_connect_admin();
}

static void test_identify_refused(void **state)
{
	struct leap_qp_opts o = rh_opts_of(&rh.admin, 0);

	fake.refuse_id = LEAP_SC_INTERNAL;
	assert_int_equal(rh_begin(&rh.admin, &o), 0);
	assert_int_equal(rh_turn(&rh.admin.state), -1);
	assert_int_equal(rh.admin.status, LEAP_SC_INTERNAL);
}

/* It never answers: the connect timeout, and then the end is ours. */
static void test_silent(void **state)
{
	struct leap_qp_opts o = rh_opts_of(&rh.admin, 0);

	fake.mute = 1;
	o.connect_timeout_ms = 50;
	assert_int_equal(rh_begin(&rh.admin, &o), 0);
	assert_int_equal(rh_turn(&rh.admin.state), -1);
	assert_int_equal(rh.admin.err, -ETIMEDOUT);
	rh_finish(&rh.admin);
	fake.never_opens = 1;
	o = rh_opts_of(&rh.admin, 0);
	o.connect_timeout_ms = 50;
	assert_int_equal(rh_begin(&rh.admin, &o), 0);
	assert_int_equal(rh_turn(&rh.admin.state), -1);
	rh_finish(&rh.admin);
}

/* ---- queues ---- */

static void test_refused_queues(void **state)
{
	static const struct {
		leap_status_t cq, sq, seen;
	} rows[] = {
		{ LEAP_SC_QID_INVALID, 0, LEAP_SC_FAB_PARAM },
		{ LEAP_SC_QSIZE_INVALID, 0, LEAP_SC_FAB_PARAM },
		{ LEAP_SC_INT_VECTOR, 0, LEAP_SC_INT_VECTOR },
		{ 0, LEAP_SC_QID_INVALID, LEAP_SC_FAB_PARAM },
		{ 0, LEAP_SC_CQ_INVALID, LEAP_SC_CQ_INVALID },
	};
	struct leap_qp_opts o;
	unsigned int i;

	rh_up();
	for (i = 0; i < COUNT(rows); i++) {
		fake.refuse_cq = rows[i].cq;
		fake.refuse_sq = rows[i].sq;
		o = rh_opts_of(&rh.io1, 1);
		assert_int_equal(rh_begin(&rh.io1, &o), 0);
		assert_int_equal(rh_turn(&rh.io1.state), -1);
		assert_int_equal(LEAP_STATUS_CODE(rh.io1.status), rows[i].seen);
		assert_int_equal(fake.q[1].cq_size, 0);
		rh_finish(&rh.io1);
	}
	fake.refuse_cq = fake.refuse_sq = 0;
	rh_connect_io(&rh.io1, 0);
}

static void test_bad_io_connects(void **state)
{
	struct leap_qp_opts o = rh_opts_of(&rh.io1, 1);
	struct rh_side two;

	assert_int_equal(rh_begin(&rh.io1, &o), -ENOTCONN);
	assert_last_error("no controller 3");
	rh.io1.qp = NULL;
	rh_connect_admin();
	/* Not enabled. */
	o = rh_opts_of(&rh.io1, 1);
	assert_int_equal(rh_begin(&rh.io1, &o), 0);
	assert_int_equal(rh_turn(&rh.io1.state), -1);
	assert_int_equal(LEAP_STATUS_CODE(rh.io1.status), LEAP_SC_CMD_SEQUENCE);
	rh_finish(&rh.io1);
	assert_int_equal(rh_set_cc(RH_ON), 0);
	/* Deeper than CAP.MQES. */
	o = rh_opts_of(&rh.io1, 1);
	o.depth = 2000;
	assert_int_equal(rh_begin(&rh.io1, &o), 0);
	assert_int_equal(rh_turn(&rh.io1.state), -1);
	assert_int_equal(LEAP_STATUS_CODE(rh.io1.status), LEAP_SC_FAB_PARAM);
	rh_finish(&rh.io1);
	rh_connect_io(&rh.io1, 0);
	o = rh_opts_of(&two, 1);
	assert_int_equal(rh_begin(&two, &o), -EBUSY);
}

/* What may not be asked for, and what is answered without the controller. */
static void test_own_answers(void **state)
{
	static const struct {
		uint8_t opc;
		uint32_t len;
		leap_status_t status;
	} rows[] = {
		{ LEAP_ADM_CREATE_CQ, 0, LEAP_SC_INVALID_OPCODE },
		{ LEAP_ADM_CREATE_SQ, 0, LEAP_SC_INVALID_OPCODE },
		{ LEAP_ADM_DELETE_CQ, 0, LEAP_SC_INVALID_OPCODE },
		{ LEAP_ADM_DELETE_SQ, 0, LEAP_SC_INVALID_OPCODE },
		{ LEAP_ADM_DBBUF_CONFIG, 0, LEAP_SC_INVALID_OPCODE },
		{ LEAP_ADM_IDENTIFY, 512, LEAP_SC_SGL_DATA_LEN },
		{ LEAP_ADM_IDENTIFY, 0, LEAP_SC_SGL_DATA_LEN },
		{ LEAP_ADM_IDENTIFY, 4096, 0 },
		{ LEAP_ADM_KEEP_ALIVE, 0, 0 },
	};
	unsigned int i;

	fake.id.kas = leap_to_le16(0);
	rh_up();
	for (i = 0; i < COUNT(rows); i++) {
		struct rh_cmd c = { 0 };

		c.req.sqe.opc = rows[i].opc;
		rh_piece(&c, 0, rh.base, rows[i].len);
		c.req.pieces = c.piece;
		c.req.nr_pieces = rows[i].len ? 1 : 0;
		rh_run(&rh.admin, &c);
		assert_int_equal(LEAP_STATUS_CODE(leap_req_status(&c.req)),
				 rows[i].status);
	}
}

static void test_disable_ends_queues(void **state)
{
	struct rh_cmd c = { 0 }, aer = { 0 };
	struct leap_req *req = &c.req;

	rh_up();
	rh_connect_io(&rh.io1, 0);
	fake.hold = 1;
	c.req.sqe.opc = LEAP_NVM_FLUSH;
	c.req.done = rh_on_done;
	assert_int_equal(leap_qp_submit(rh.io1.qp, &req, 1), 1);
	aer.req.sqe.opc = LEAP_ADM_AER;
	aer.req.done = rh_on_done;
	req = &aer.req;
	assert_int_equal(leap_qp_submit(rh.admin.qp, &req, 1), 1);
	rh_turns(5);
	assert_int_equal(rh_set_cc(0), 0);
	assert_int_equal(rh.io1.lost, 1);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.req.sys_errno, -ECONNRESET);
	assert_int_equal(aer.done, 1);
	assert_int_equal(leap_req_status(&aer.req), LEAP_SC_ABORT_SQ_DELETED);
	rh_finish(&rh.io1);
	assert_int_equal(rh_set_cc(RH_ON), 0);
	rh_connect_io(&rh.io1, 0);
}

static void test_close_aborts(void **state)
{
	struct rh_cmd c[3];
	struct leap_req *reqs[3];
	unsigned int i;

	rh_up();
	rh_connect_io(&rh.io1, 0);
	fake.hold = 1;
	memset(c, 0, sizeof(c));
	for (i = 0; i < 3; i++) {
		c[i].req.sqe.opc = LEAP_NVM_FLUSH;
		c[i].req.done = rh_on_done;
		reqs[i] = &c[i].req;
	}
	assert_int_equal(leap_qp_submit(rh.io1.qp, reqs, 3), 3);
	rh_turns(3);
	assert_int_equal(fake.nr_held, 3);
	rh_finish(&rh.io1);
	for (i = 0; i < 3; i++) {
		assert_int_equal(c[i].done, 1);
		assert_int_equal(c[i].req.sys_errno, -ECANCELED);
	}
	assert_int_equal(fake.q[1].sq_size, 0);
	assert_int_equal(fake.q[1].cq_size, 0);
}

/* ---- lies ---- */

static void lie(int *what)
{
	struct rh_cmd c = { 0 };
	struct leap_req *req = &c.req;

	rh_up();
	rh_connect_io(&rh.io1, 0);
	*what = 1;
	c.req.sqe.opc = LEAP_NVM_FLUSH;
	c.req.done = rh_on_done;
	assert_int_equal(leap_qp_submit(rh.io1.qp, &req, 1), 1);
	assert_int_equal(rh_turn(&rh.io1.lost), 1);
	assert_int_equal(rh.io1.lost_err, -EPROTO);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.req.sys_errno, -EPROTO);
	assert_int_equal(rh.admin.lost, 1);
	assert_int_equal(leap_qp_submit(rh.io1.qp, &req, 1), -ENOTCONN);
}

static void test_sqhd_lies(void **state)
{
	lie(&fake.lie_sqhd);
}

static void test_sqid_lies(void **state)
{
	lie(&fake.lie_sqid);
}

static void test_cid_lies(void **state)
{
	lie(&fake.lie_cid);
}

/* Not a completion: the command stays out, until its queue goes. */
static void test_wrong_phase(void **state)
{
	struct rh_cmd c = { 0 };
	struct leap_req *req = &c.req;

	rh_up();
	rh_connect_io(&rh.io1, 0);
	fake.wrong_phase = 1;
	c.req.sqe.opc = LEAP_NVM_FLUSH;
	c.req.done = rh_on_done;
	assert_int_equal(leap_qp_submit(rh.io1.qp, &req, 1), 1);
	rh_turns(50);
	assert_int_equal(c.done, 0);
	assert_int_equal(rh.io1.lost, 0);
	fake.wrong_phase = 0;
	rh_finish(&rh.io1);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.req.sys_errno, -ECANCELED);
}

static void test_lost(void **state)
{
	struct rh_cmd c = { 0 };
	struct leap_req *req = &c.req;

	rh_up();
	rh_connect_io(&rh.io1, 0);
	fake.hold = 1;
	c.req.sqe.opc = LEAP_NVM_FLUSH;
	c.req.done = rh_on_done;
	assert_int_equal(leap_qp_submit(rh.io1.qp, &req, 1), 1);
	rh_turns(3);
	fake_lose(-EPIPE);
	assert_int_equal(rh_turn(&rh.io1.lost), 1);
	assert_int_equal(c.req.sys_errno, -EPIPE);
	assert_int_equal(rh.admin.lost_err, -EPIPE);
}

/* ---- the end at any moment ---- */

static void test_close_any_time(void **state)
{
	struct leap_qp_opts o;
	int n;

	for (n = 0; n < 60; n++) {
		o = rh_opts_of(&rh.admin, 0);
		assert_int_equal(rh_begin(&rh.admin, &o), 0);
		rh_turns(n);
		rh_finish(&rh.admin);
		assert_int_equal(fake.maps, 0);
	}
}

static void test_close_io_any_time(void **state)
{
	struct leap_qp_opts o;
	int n, admin_first;

	for (admin_first = 0; admin_first < 2; admin_first++)
		for (n = 0; n < 20; n++) {
			rh_up();
			o = rh_opts_of(&rh.io1, 1);
			assert_int_equal(rh_begin(&rh.io1, &o), 0);
			rh_turns(n);
			if (admin_first) {
				leap_qp_close(rh.admin.qp, rh_on_closed,
					      &rh.admin);
				rh_finish(&rh.io1);
				assert_int_equal(rh_turn(&rh.admin.closed), 1);
				rh.admin.qp = NULL;
			} else {
				rh_finish(&rh.io1);
				rh_finish(&rh.admin);
			}
			assert_int_equal(fake.maps, 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RH_T(test_enable), RH_T(test_never_ready), RH_T(test_fatal),
		RH_T(test_gone), RH_T(test_large_pages),
		RH_T(test_cannot_open), RH_T(test_cannot_map),
		RH_T(test_enable_fails), RH_T(test_stays_ready),
		RH_T(test_stays_ready_for_ever), RH_T(test_names),
		RH_T(test_identify_refused), RH_T(test_silent),
		RH_T(test_refused_queues), RH_T(test_bad_io_connects),
		RH_T(test_own_answers), RH_T(test_disable_ends_queues),
		RH_T(test_close_aborts), RH_T(test_sqhd_lies),
		RH_T(test_sqid_lies), RH_T(test_cid_lies),
		RH_T(test_wrong_phase), RH_T(test_lost),
		RH_T(test_close_any_time), RH_T(test_close_io_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
