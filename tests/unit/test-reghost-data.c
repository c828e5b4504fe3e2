/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The same host end, on its data path: payload of every shape, doorbells,
 * interrupts.
 */
#include "reghost-fixture.h"

#include <poll.h>

/* ---- payload ---- */

static void shapes(uint32_t flags)
{
	static const uint32_t lens[] = {
		512, 4096, 4608, 8192, 12288, 65536, 131072, RH_MB,
	};
	uint8_t *heap = malloc(RH_MB);
	struct rh_cmd c = { 0 };
	unsigned int i;

	rh_up();
	rh_connect_io(&rh.io1, flags);
	/* The first one is bounced, while the device learns of the buffer. */
	rh_piece(&c, 0, rh.base, 4096);
	rh_both_ways(&c, 1);
	rh_turns(5);
	for (i = 0; i < COUNT(lens); i++) {
		rh_piece(&c, 0, rh.base, lens[i]);
		rh_both_ways(&c, 1);
		rh_piece(&c, 0, rh.base + 512, lens[i]);
		rh_both_ways(&c, 1);
		rh_piece(&c, 0, rh.base + 4, lens[i]);
		rh_both_ways(&c, 1);
		rh_piece(&c, 0, rh.base + 3, lens[i]);
		rh_both_ways(&c, 1);
		rh_piece(&c, 0, heap, lens[i]);
		rh_both_ways(&c, 1);
	}
	/* Pieces that meet at page borders, and pieces that do not. */
	rh_piece(&c, 0, rh.base + 512, 3584);
	rh_piece(&c, 1, rh.base + 5 * 4096, 8192);
	rh_piece(&c, 2, rh.base + 2 * 4096, 512);
	rh_both_ways(&c, 3);
	rh_piece(&c, 0, rh.base + 1024, 1024);
	rh_piece(&c, 1, rh.base + 8192 + 512, 512);
	rh_both_ways(&c, 2);
	rh_piece(&c, 1, heap, 1024);
	rh_both_ways(&c, 2);
	free(heap);
}

static void test_prps(void **state)
{
	shapes(0);
	assert_int_equal(fake.sgls, 0);
	assert_true(fake.lists > 10);
}

static void test_sgls(void **state)
{
	fake.id.sgls = leap_to_le32(LEAP_SGLS_BYTE);
	shapes(0);
	assert_int_equal(fake.prps, 0);
	assert_true(fake.lists > 3);
}

static void test_prps_by_choice(void **state)
{
	fake.id.sgls = leap_to_le32(LEAP_SGLS_BYTE);
	shapes(LEAP_QP_PRP);
	assert_int_equal(fake.sgls, 0);
}

/* Bounce memory runs out, and comes back. */
static void test_bounce_runs_out(void **state)
{
	static struct rh_cmd c[15];
	uint8_t *heap = malloc(RH_MB);
	struct leap_req *req;
	unsigned int i, n = 0, done = 0;

	memset(heap, 0, RH_MB);
	rh_up();
	rh_connect_io(&rh.io1, 0);
	fake.hold = 1;
	memset(c, 0, sizeof(c));
	for (i = 0; i < 15; i++) {
		rh_piece(&c[i], 0, heap, RH_MB);
		c[i].req.pieces = c[i].piece;
		c[i].req.nr_pieces = 1;
		c[i].req.sqe.opc = LEAP_NVM_FLUSH;
		c[i].req.done = rh_on_done;
		req = &c[i].req;
		n += (unsigned int)leap_qp_submit(rh.io1.qp, &req, 1);
	}
	assert_int_equal(n, 8);		/* of 8 MiB */
	rh_turns(3);
	fake_release();
	rh_turns(3);
	for (i = 0; i < 15; i++)
		done += (unsigned int)c[i].done;
	assert_int_equal(done, 8);
	req = &c[8].req;
	assert_int_equal(leap_qp_submit(rh.io1.qp, &req, 1), 1);
	assert_int_equal(rh_turn(&c[8].done), 1);
	free(heap);
}

/* ---- doorbells and interrupts ---- */

static void many(unsigned int n)
{
	struct rh_cmd c = { 0 };

	rh_piece(&c, 0, rh.base, 512);
	while (n--)
		rh_transfer(&c, LEAP_NVM_READ, 1);
}

static void test_trapped_doorbells(void **state)
{
	unsigned int before;

	rh_up();
	rh_connect_io(&rh.io1, 0);
	before = fake.doorbells;
	many(1000);
	/* One a command, and the CQ head once in a while. */
	assert_in_range(fake.doorbells - before, 1000, 1200);
}

static void test_shadow_doorbells(void **state)
{
	unsigned int before;

	fake.id.oacs = leap_to_le16(LEAP_OACS_DBBUF);
	rh_up();
	assert_int_not_equal(fake.shadow, 0);
	rh_connect_io(&rh.io1, 0);
	before = fake.doorbells;
	many(1000);
	assert_int_equal(fake.doorbells, before);
	rh_finish(&rh.io1);
	rh_connect_io(&rh.io1, 0);	/* from zero again */
	many(100);
}

static void test_shadow_refused(void **state)
{
	fake.id.oacs = leap_to_le16(LEAP_OACS_DBBUF);
	fake.refuse_dbbuf = LEAP_SC_INVALID_FIELD;
	rh_up();
	assert_int_equal(fake.shadow, 0);
	rh_connect_io(&rh.io1, 0);
	many(10);
}

static int readable(void)
{
	struct pollfd p = { leap_pollgroup_fd(rh.pg), POLLIN, 0 };

	return poll(&p, 1, 0);
}

static void test_interrupt(void **state)
{
	struct rh_cmd c = { 0 };
	struct leap_req *req = &c.req;
	int i;

	rh_up();
	rh_connect_io(&rh.io1, 0);
	assert_int_equal(fake.irqs, 0);
	fake.hold = 1;
	c.req.sqe.opc = LEAP_NVM_FLUSH;
	c.req.done = rh_on_done;
	assert_int_equal(leap_qp_submit(rh.io1.qp, &req, 1), 1);
	for (i = 0; i < 20 && leap_pollgroup_arm(rh.pg); i++)
		leap_pollgroup_poll(rh.pg, 0);
	assert_true(i < 20);
	assert_int_equal(fake.irqs, 1);
	assert_true(fake.irq_fd >= 0);
	assert_int_equal(readable(), 0);
	fake_release();
	assert_int_equal(readable(), 1);
	assert_int_equal(rh_turn(&c.done), 1);
	/* Busy again: it is taken away. */
	many(400);
	assert_int_equal(fake.irqs, 2);
	assert_int_equal(fake.irq_fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RH_T(test_prps), RH_T(test_sgls), RH_T(test_prps_by_choice),
		RH_T(test_bounce_runs_out), RH_T(test_trapped_doorbells),
		RH_T(test_shadow_doorbells), RH_T(test_shadow_refused),
		RH_T(test_interrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
