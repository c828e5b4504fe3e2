/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end of a borrower, and of the drive: writes of one that is gone never
 * land behind those of its successor, and a drive that is lost is lent again.
 */
#include "lend-fixture.h"

#include "core/io/dispatch.h"
#include "core/io/regctrl.h"

/* Writes of a borrower that is gone the moment it has rung. */
static void raw_writes(struct lx_raw *r, uint32_t qid, uint32_t round)
{
	uint32_t i;
	struct leap_sqe *sq = (struct leap_sqe *)(void *)r->base;

	memset(r->base + 8192, 0xa0 + (int)round, 4096);
	for (i = 0; i < 32; i++) {
		sq[i] = (struct leap_sqe){ .opc = LEAP_NVM_WRITE };
		sq[i].cid = leap_to_le16((uint16_t)i);
		sq[i].nsid = leap_to_le32(1);
		sq[i].cdw10 = leap_to_le32(i * 8);
		sq[i].cdw12 = leap_to_le32(7);
		sq[i].prp1 = leap_to_le64(r->iova + 8192);
	}
	lx_raw_ring(r, qid, 32);
}

static void test_fence(void **state)
{
	static struct lx_side s;
	struct lx_raw r;
	uint32_t qid, k, i, n;

	for (k = 0; k < 8; k++) {
		lx_raw_hello(&r);
		lx_raw_mem(&r);
		qid = lx_raw_queue(&r);
		raw_writes(&r, qid, k);
		for (i = 0; i < k; i++)
			leap_pollgroup_poll(lx.pg, 0);
		lx_raw_close(&r);
		/* The successor writes what is to stay. */
		lx_side_start(&s, lx.pg, 1, 1, 0);
		lx_side_live(&s);
		assert_int_equal(lx_lent().nr_fencing, 0);
		memset(s.base, 0x11 + (int)k, 256 * LX_BLOCK);
		lx_io(&s, LEAP_NVM_WRITE, 0, 256, s.base);
		for (i = 0; i < 2; i++) {
			uint64_t from = leap_pollgroup_now_ns(lx.pg);

			lx_io(&s, LEAP_NVM_READ, 0, 256, s.base);
			for (n = 0; n < 256 * LX_BLOCK; n++)
				assert_int_equal(s.base[n], 0x11 + k);
			while (leap_pollgroup_now_ns(lx.pg) - from < 50000000)
				leap_pollgroup_wait(lx.pg, 1000000);
		}
		lx_side_stop(&s);
		lx_wait_unlent();
	}
	assert_int_equal(lx_lent().resets, 0);
	assert_int_equal(lx_lent().ended, 16);
}

static void wait_side(struct lx_side *s, int state)
{
	uint64_t from = leap_pollgroup_now_ns(lx.pg);

	while (s->state != state) {
		leap_pollgroup_wait(s->pg, 1000000);
		assert_true(leap_pollgroup_now_ns(lx.pg) - from <
			    LX_SECONDS(120));
	}
}

static void test_evict(void **state)
{
	struct leap_borrower_info b = { .size = sizeof(b) };
	static struct lx_side s;
	int done = 0;

	lx_side_start(&s, lx.pg, 1, 2, 0);
	lx_side_live(&s);
	lx_check(&s, 50);
	assert_int_equal(leap_lender_next(lx.lender, 0, &b), 0);
	assert_int_equal(leap_lender_evict(lx.lender, b.id + 1, 0, set_flag,
					   &done), -ENOENT);
	/* This process is not killed for that. */
	assert_int_equal(leap_lender_evict(lx.lender, b.id, 1, set_flag,
					   &done), 0);
	assert_int_equal(leap_lender_evict(lx.lender, b.id, 0, NULL, NULL),
			 -EBUSY);
	lx_turn(&done);
	wait_side(&s, LEAP_HOST_RECONNECTING);
	wait_side(&s, LEAP_HOST_LIVE);
	assert_int_equal(leap_lender_next(lx.lender, b.id, &b), 0);
	lx_check(&s, 50);
	assert_int_equal(lx_lent().killed, 0);
	lx_side_stop(&s);
	lx_wait_unlent();
}

/* The drive stops answering: it is reset, and both go on. */
static void test_lost(void **state)
{
	struct leap__list *list = &leap__dispatch(lx.pg)->regctrls;
	static struct lx_side s[2];
	int k, i;

	for (i = 0; i < 2; i++) {
		lx_side_start(&s[i], lx.pg, i, 2, (uint32_t)i);
		lx_side_live(&s[i]);
	}
	for (k = 1; k < 4; k++) {
		struct leap__list *pos = list->next;
		struct leap__regctrl *c;

		/* The lender's own is the one without a lender. */
		do {
			c = leap__list_entry(pos, struct leap__regctrl, link);
			pos = pos->next;
		} while (c->dev->ops->queue_id);
		leap__regctrl_fail(c, -ETIMEDOUT);
		lx_wait_state(LEAP_LENDER_LOST);
		lx_wait_state(LEAP_LENDER_LIVE);
		for (i = 0; i < 2; i++) {
			wait_side(&s[i], LEAP_HOST_LIVE);
			lx_check(&s[i], 50);
		}
		assert_int_equal(lx_lent().resets, k);
		assert_int_equal(lx_lent().nr_queues, 4);
	}
	for (i = 0; i < 2; i++)
		lx_side_stop(&s[i]);
	lx_wait_unlent();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LX_T(test_fence, lx_set_up_slow),
		LX_T(test_evict, lx_set_up_slow), LX_T(test_lost, lx_set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
