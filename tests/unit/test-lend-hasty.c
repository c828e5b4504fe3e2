/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Borrowers that do not wait for the answer: a drive takes commands in any
 * order, so of those that name a queue which is being made or deleted the lender
 * lets none pass.
 */
#include "lend-fixture.h"

static void say_queue(struct lx_raw *r, uint8_t opc, uint32_t id)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_ADMIN, id);

	m.sqe.opc = opc;
	m.sqe.prp1 = leap_to_le64(r->iova);
	m.sqe.cdw10 = leap_to_le32(1 | 63u << 16);
	m.sqe.cdw11 = leap_to_le32(1 | 1u << 16);
	lx_raw_say(r, &m, sizeof(m), -1);
}

static leap_status_t hear_queue(struct lx_raw *r, uint32_t *id)
{
	assert_int_equal(lx_raw_hear(r), LEAP__LEND_DONE);
	*id = leap_from_le32(r->in.id);
	return LEAP_STATUS_CODE(leap_from_le16(r->in.done.status));
}

/* What names a queue while that is being made or deleted might meet another
 * borrower's under the same name, when the drive gets to it. */
static void test_hasty(void **state)
{
	struct lx_raw r;
	uint32_t id, k;

	lx_raw_hello(&r);
	lx_raw_mem(&r);
	lx_raw_queue(&r);
	for (k = 0; k < 4; k++)
		say_queue(&r, LEAP_ADM_DELETE_SQ, k);
	for (k = 0; k < 4; k++) {
		leap_status_t status = hear_queue(&r, &id);

		assert_int_equal(status, id ? LEAP_SC_CMD_SEQUENCE : 0);
	}
	assert_int_equal(lx_lent().nr_queues, 0);
	say_queue(&r, LEAP_ADM_CREATE_SQ, 0);
	say_queue(&r, LEAP_ADM_DELETE_SQ, 1);
	say_queue(&r, LEAP_ADM_CREATE_SQ, 2);
	for (k = 0; k < 3; k++) {
		leap_status_t status = hear_queue(&r, &id);

		assert_int_equal(status, id ? LEAP_SC_CMD_SEQUENCE : 0);
	}
	assert_int_equal(lx_lent().nr_queues, 1);
	assert_int_equal(lx_info().nr_sqs, 1);
	lx_raw_close(&r);
	lx_wait_unlent();
	assert_int_equal(lx_lent().resets, 0);
}

/* Submission queue 2, or completion queue 1. */
static void say_one(struct lx_raw *r, uint8_t opc, uint32_t id)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_ADMIN, id);
	int sq = opc == LEAP_ADM_CREATE_SQ || opc == LEAP_ADM_DELETE_SQ;

	m.sqe.opc = opc;
	m.sqe.prp1 = leap_to_le64(r->iova + (sq ? 4096 : 0));
	m.sqe.cdw10 = leap_to_le32((sq ? 2 : 1) | 63u << 16);
	m.sqe.cdw11 = leap_to_le32(1 | (sq ? 1u << 16 : 0));
	lx_raw_say(r, &m, sizeof(m), -1);
}

/* The first is done, the second came too soon. */
static void say_both(struct lx_raw *r, uint8_t first, uint8_t second)
{
	uint32_t id, k;

	say_one(r, first, 0);
	say_one(r, second, 1);
	for (k = 0; k < 2; k++) {
		leap_status_t status = hear_queue(r, &id);

		assert_int_equal(status, id ? LEAP_SC_CMD_SEQUENCE : 0);
	}
}

/* The same for the completion queue that a submission queue names. */
static void test_hasty_pairs(void **state)
{
	struct lx_raw r;
	uint32_t id;

	lx_raw_hello(&r);
	lx_raw_mem(&r);
	lx_raw_queue(&r);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_CREATE_CQ, 2, 64,
				       r.iova + 8192, 3), 0);
	say_queue(&r, LEAP_ADM_DELETE_SQ, 0);
	assert_int_equal(hear_queue(&r, &id), 0);
	say_both(&r, LEAP_ADM_CREATE_SQ, LEAP_ADM_DELETE_CQ);
	say_one(&r, LEAP_ADM_DELETE_SQ, 0);
	assert_int_equal(hear_queue(&r, &id), 0);
	say_both(&r, LEAP_ADM_DELETE_CQ, LEAP_ADM_CREATE_SQ);
	say_both(&r, LEAP_ADM_CREATE_CQ, LEAP_ADM_CREATE_SQ);
	assert_int_equal(lx_info().nr_sqs, 0);
	lx_raw_close(&r);
	lx_wait_unlent();
	assert_int_equal(lx_lent().resets, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LX_T(test_hasty, lx_set_up),
		LX_T(test_hasty_pairs, lx_set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
