/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller as registers in memory: the orders in which real hosts write
 * them, every check at enable, reset and shutdown, accesses of wrong sizes and
 * random noise.
 */
#include "rand.h"
#include "registers-front.h"

/* ---- real hosts ---- */

static void test_edk2(void **state)
{
	struct front *f = *state;
	uint64_t cap;

	/* CAP low half first; CC = 0 although it is 0; two entries each. */
	cap = rd4(f, LEAP_REG_CAP);
	cap |= (uint64_t)rd4(f, LEAP_REG_CAP + 4) << 32;
	assert_int_equal(cap, rd8(f, LEAP_REG_CAP));
	assert_true(cap & LEAP_CAP_CSS_NVM);
	wr4(f, LEAP_REG_CC, 0);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), 0);
	wr4(f, LEAP_REG_AQA, AQA_EDK2);
	wr8(f, LEAP_REG_ASQ, 0x7e000000);
	wr8(f, LEAP_REG_ACQ, 0x7e001000);
	wr4(f, LEAP_REG_CC, CC_ENABLE);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	assert_int_equal(f->aqa, AQA_EDK2);
	assert_int_equal(f->asq, 0x7e000000);
	assert_int_equal(f->acq, 0x7e001000);
	assert_int_equal(f->admin->vqp.depth, 2);
	/* It ends by a shutdown, then resets. */
	wr4(f, LEAP_REG_CC, CC_ENABLE | 1u << LEAP_CC_SHN_SHIFT);
	fx_settle(f->fx);
	assert_int_equal(LEAP_GET(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_SHST),
			 LEAP_CSTS_SHST_DONE);
	disable(f);
	/* Disabled and shut down by one write: both come to an end. */
	enable(f);
	wr4(f, LEAP_REG_CC, 1u << LEAP_CC_SHN_SHIFT);
	reap(f);
	fx_settle(f->fx);
	assert_int_equal(rd4(f, LEAP_REG_CSTS),
			 LEAP_PUT(LEAP_CSTS_SHST_DONE, LEAP_CSTS_SHST));
	disable(f);
}

static void test_seabios(void **state)
{
	struct front *f = *state;
	uint64_t cap;

	/* The high half first, and bases in halves, high half first. */
	cap = (uint64_t)rd4(f, LEAP_REG_CAP + 4) << 32;
	cap |= rd4(f, LEAP_REG_CAP);
	assert_int_equal(cap, rd8(f, LEAP_REG_CAP));
	wr4(f, LEAP_REG_CC, 0);
	wr4(f, LEAP_REG_AQA, AQA_SEABIOS);
	wr4(f, LEAP_REG_ASQ + 4, 1);
	wr4(f, LEAP_REG_ASQ, 0x3000);
	wr4(f, LEAP_REG_ACQ + 4, 2);
	wr4(f, LEAP_REG_ACQ, 0x4000);
	wr4(f, LEAP_REG_CC, CC_ENABLE);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	assert_int_equal(f->asq, 0x100003000ull);
	assert_int_equal(f->acq, 0x200004000ull);
	assert_int_equal(rd4(f, LEAP_REG_ASQ + 4), 1);
	assert_int_equal(rd8(f, LEAP_REG_ACQ), 0x200004000ull);
	assert_int_equal(rd4(f, LEAP_REG_AQA), AQA_SEABIOS);
}

static void test_linux(void **state)
{
	struct front *f = *state;
	unsigned int turn;

	for (turn = 0; turn < 3; turn++) {
		/* All of CC with EN 0, CAP again, the same with EN. */
		wr4(f, LEAP_REG_AQA, 0x001f001f);
		wr8(f, LEAP_REG_ASQ, 0x100000);
		wr8(f, LEAP_REG_ACQ, 0x200000);
		wr4(f, LEAP_REG_CC, CC_ENABLE & ~LEAP_CC_EN);
		assert_int_equal(rd4(f, LEAP_REG_CSTS), 0);
		assert_int_equal(f->starts, turn);
		assert_true(LEAP_GET(rd8(f, LEAP_REG_CAP), LEAP_CAP_TO) > 0);
		wr4(f, LEAP_REG_CC, CC_ENABLE);
		assert_int_equal(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_RDY);
		assert_int_equal(f->starts, turn + 1);
		assert_int_equal(rd4(f, LEAP_REG_CC), CC_ENABLE);
		wr4(f, LEAP_REG_CC, CC_ENABLE & ~LEAP_CC_EN);
		reap(f);
		fx_settle(f->fx);
		assert_int_equal(rd4(f, LEAP_REG_CSTS), 0);
		assert_int_equal(f->stops, turn + 1);
	}
}

/* ---- checks at enable ---- */

struct bad_enable {
	uint32_t aqa, cc;
	uint64_t asq, acq;
};

static const struct bad_enable bad_enables[] = {
	{ 0x001f0000, CC_ENABLE, 0x1000, 0x2000 },	/* ASQS 0 */
	{ 0x0000001f, CC_ENABLE, 0x1000, 0x2000 },	/* ACQS 0 */
	{ AQA_EDK2, CC_ENABLE, 0x1800, 0x2000 },
	{ AQA_EDK2, CC_ENABLE, 0x1000, 0x2004 },
	{ AQA_EDK2, CC_ENABLE | 1u << LEAP_CC_MPS_SHIFT, 0x4000, 0x8000 },
	{ AQA_EDK2, CC_ENABLE | 15u << LEAP_CC_MPS_SHIFT, 0, 0 },
	{ AQA_EDK2, CC_ENABLE | 7u << LEAP_CC_CSS_SHIFT, 0x1000, 0x2000 },
	{ AQA_EDK2, CC_ENABLE | 1u << LEAP_CC_CSS_SHIFT, 0x1000, 0x2000 },
	{ AQA_EDK2, CC_ENABLE | 1u << LEAP_CC_AMS_SHIFT, 0x1000, 0x2000 },
};

static void test_bad_enable(void **state)
{
	struct front *f = *state;
	size_t i;

	for (i = 0; i < COUNT(bad_enables); i++) {
		const struct bad_enable *b = &bad_enables[i];

		wr4(f, LEAP_REG_AQA, b->aqa);
		wr8(f, LEAP_REG_ASQ, b->asq);
		wr8(f, LEAP_REG_ACQ, b->acq);
		wr4(f, LEAP_REG_CC, b->cc);
		assert_int_equal(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_CFS);
		assert_int_equal(f->starts, 0);
		wr4(f, LEAP_REG_CC, 0);
		assert_int_equal(rd4(f, LEAP_REG_CSTS), 0);
	}
	enable(f);
}

/* The front end cannot reach the queues. */
static void test_unreachable(void **state)
{
	struct front *f = *state;

	f->refuse = 1;
	set_queues(f);
	wr4(f, LEAP_REG_CC, CC_ENABLE);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_CFS);
	wr4(f, LEAP_REG_CC, 0);
	assert_int_equal(f->stops, 0);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), 0);
}

/* ---- reset, shutdown, the rest of the registers ---- */

static void test_reset(void **state)
{
	struct front *f = *state;

	enable(f);
	wr4(f, LEAP_REG_INTMS, 0xf0);
	/* Locked while they are in use; so are MPS, CSS and AMS. */
	wr4(f, LEAP_REG_AQA, AQA_EDK2);
	wr8(f, LEAP_REG_ASQ, 0x900000);
	wr4(f, LEAP_REG_ACQ + 4, 5);
	wr4(f, LEAP_REG_CC, CC_ENABLE | 3u << LEAP_CC_MPS_SHIFT);
	assert_int_equal(rd4(f, LEAP_REG_CC), CC_ENABLE);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	disable(f);
	assert_int_equal(rd4(f, LEAP_REG_CC), 0);
	assert_int_equal(rd4(f, LEAP_REG_INTMS), 0);
	assert_int_equal(rd4(f, LEAP_REG_AQA), AQA_SEABIOS);
	assert_int_equal(rd8(f, LEAP_REG_ASQ), 0x100000);
	assert_int_equal(rd8(f, LEAP_REG_ACQ), 0x200000);
	/* They are good for another enable as they are. */
	wr4(f, LEAP_REG_CC, CC_ENABLE);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	assert_int_equal(f->asq, 0x100000);
	/* A function level reset takes everything. */
	leap__ctrl_reg_reset(f->c);
	reap(f);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), 0);
	assert_int_equal(rd4(f, LEAP_REG_CC), 0);
	assert_int_equal(rd4(f, LEAP_REG_AQA), 0);
	assert_int_equal(rd8(f, LEAP_REG_ASQ), 0);
	assert_int_equal(rd8(f, LEAP_REG_ACQ), 0);
}

static void test_shutdown(void **state)
{
	struct front *f = *state;
	uint32_t how;

	for (how = LEAP_CC_SHN_NORMAL; how <= LEAP_CC_SHN_ABRUPT; how++) {
		enable(f);
		wr4(f, LEAP_REG_CC, CC_ENABLE | how << LEAP_CC_SHN_SHIFT);
		assert_int_equal(LEAP_GET(rd4(f, LEAP_REG_CSTS),
					  LEAP_CSTS_SHST),
				 LEAP_CSTS_SHST_BUSY);
		fx_settle(f->fx);
		assert_int_equal(rd4(f, LEAP_REG_CSTS),
				 LEAP_CSTS_RDY | LEAP_PUT(2u, LEAP_CSTS_SHST));
		disable(f);
	}
	/* Shut down, reset and shut down again before the flush is back. */
	enable(f);
	wr4(f, LEAP_REG_CC, CC_ENABLE | 1u << LEAP_CC_SHN_SHIFT);
	wr4(f, LEAP_REG_CC, 0);
	reap(f);
	wr4(f, LEAP_REG_CC, CC_ENABLE);
	wr4(f, LEAP_REG_CC, CC_ENABLE | 1u << LEAP_CC_SHN_SHIFT);
	fx_settle(f->fx);
	assert_int_equal(LEAP_GET(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_SHST),
			 LEAP_CSTS_SHST_DONE);
	disable(f);
	/* And then not after all. */
	enable(f);
	wr4(f, LEAP_REG_CC, CC_ENABLE | 1u << LEAP_CC_SHN_SHIFT);
	wr4(f, LEAP_REG_CC, CC_ENABLE);
	wr4(f, LEAP_REG_CC, CC_ENABLE | 1u << LEAP_CC_SHN_SHIFT);
	wr4(f, LEAP_REG_CC, CC_ENABLE);
	fx_settle(f->fx);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	disable(f);
}

static int poll_crowd(struct fx *fx)
{
	return leap_pollgroup_poll(fx->pg, 0);
}

static void count_failures(void *arg, enum leap_log_level level,
			   const char *text)
{
	(void)level;
	if (strstr(text, "flush at shutdown failed"))
		++*(int *)arg;
}

/* More at once than there are bios for: none says that it is done without a
 * flush. */
static void test_crowd(void **state)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;
	struct unit_lived lived = { 0 };
	struct front *f[24];
	int failures = 0, i;
	struct fx *fx;

	(void)state;
	opts.nr_cmds = 4;
	opts.log = count_failures;
	opts.log_arg = &failures;
	fx_setup_in((void **)&fx, &opts, poll_crowd);
	fx_add_ns(fx, "delay[flush_us=2000] -> memory:1M", 4, 512, 0);
	for (i = 0; i < (int)COUNT(f); i++) {
		f[i] = front_new(fx);
		enable(f[i]);
	}
	for (i = 0; i < (int)COUNT(f); i++)
		wr4(f[i], LEAP_REG_CC, CC_ENABLE | 1u << LEAP_CC_SHN_SHIFT);
	for (i = 0; i < (int)COUNT(f); i++)
		while (LEAP_GET(rd4(f[i], LEAP_REG_CSTS), LEAP_CSTS_SHST) !=
		       LEAP_CSTS_SHST_DONE) {
			fx->poll(fx);
			assert_true(unit_lived_ns(&lived,
				leap_pollgroup_now_ns(fx->pg)) < 10000000000u);
		}
	assert_int_equal(failures, 0);
	for (i = 0; i < (int)COUNT(f); i++)
		front_free(f[i]);
	fx_teardown((void **)&fx);
}

static void test_others(void **state)
{
	struct front *f = *state;
	uint32_t at;

	enable(f);
	assert_int_equal(rd4(f, LEAP_REG_VS), LEAP_VS_2_0);
	/* Set and clear, and both read the mask. */
	wr4(f, LEAP_REG_INTMS, 0x0ff0);
	wr4(f, LEAP_REG_INTMC, 0x00f0);
	assert_int_equal(rd4(f, LEAP_REG_INTMS), 0x0f00);
	assert_int_equal(rd4(f, LEAP_REG_INTMC), 0x0f00);
	/* Read only, and a subsystem reset that CAP does not offer. */
	assert_false(rd8(f, LEAP_REG_CAP) & LEAP_CAP_NSSRS);
	wr4(f, LEAP_REG_NSSR, LEAP_NSSR_MAGIC);
	wr4(f, LEAP_REG_CSTS, 0xffffffff);
	wr8(f, LEAP_REG_CAP, ~0ull);
	wr4(f, LEAP_REG_VS, 0);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	assert_int_equal(rd4(f, LEAP_REG_VS), LEAP_VS_2_0);
	assert_int_equal(rd4(f, LEAP_REG_NSSR), 0);
	for (at = LEAP_REG_CMBLOC; at < LEAP_REG_DBL; at += 4)
		if (at != LEAP_REG_CRTO)
			assert_int_equal(rd4(f, at), 0);
	/* Reserved bits of AQA are not kept. */
	disable(f);
	wr4(f, LEAP_REG_AQA, 0xffffffff);
	assert_int_equal(rd4(f, LEAP_REG_AQA), 0x0fff0fff);
}

static void test_sizes(void **state)
{
	struct front *f = *state;
	uint8_t b[16], whole[64];
	uint32_t at, n;

	enable(f);
	leap__ctrl_reg_read(f->c, 0, whole, sizeof(whole));
	/* Any size at any place reads the bytes that are there. */
	for (at = 0; at < 48; at++)
		for (n = 1; n <= 16; n++) {
			leap__ctrl_reg_read(f->c, at, b, n);
			assert_memory_equal(b, whole + at, n);
		}
	/* Writes that are no dwords change nothing. */
	memset(b, 0, sizeof(b));
	for (n = 0; n <= 16; n++)
		for (at = 0; at < 48; at++)
			if ((n != 4 && n != 8) || at % n)
				leap__ctrl_reg_write(f->c, at, b, n);
	leap__ctrl_reg_read(f->c, 0, b, 16);
	assert_memory_equal(b, whole, 16);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	assert_int_equal(rd4(f, LEAP_REG_AQA), AQA_SEABIOS);
	/* CC in the upper half of an 8-byte write. */
	wr8(f, LEAP_REG_INTMC, 0);
	reap(f);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), 0);
	/* Beyond the registers. */
	memset(b, 0xff, sizeof(b));
	leap__ctrl_reg_read(f->c, LEAP_REG_DBL - 4, b, 16);
	for (n = 0; n < 16; n++)
		assert_int_equal(b[n], 0);
	leap__ctrl_reg_read(f->c, UINT64_MAX - 3, b, 8);
	leap__ctrl_reg_write(f->c, UINT64_MAX - 7, b, 8);
}

static int often(struct test_rand *r)
{
	return test_rand_next(r) % 4 != 0;
}

static uint64_t noise_value(struct test_rand *r)
{
	static const uint64_t likely[] = {
		0, CC_ENABLE, CC_ENABLE & ~1u, CC_ENABLE | 1u << 14,
		CC_ENABLE | 2u << 14, AQA_EDK2, AQA_SEABIOS, 0x100000,
		LEAP_NSSR_MAGIC, ~0ull,
	};

	return often(r) ? likely[test_rand_next(r) % COUNT(likely)] :
			  test_rand_next(r);
}

static void test_noise(void **state)
{
	struct front *f = *state;
	struct test_rand r = { 1 };
	uint8_t b[16];
	unsigned int i;

	for (i = 0; i < 200000; i++) {
		uint64_t v = noise_value(&r);
		uint64_t at = often(&r) ? test_rand_next(&r) % 64 :
					  test_rand_next(&r);
		uint32_t n = often(&r) ? 4u << test_rand_next(&r) % 2 :
					 (uint32_t)(test_rand_next(&r) % 17);

		if (often(&r))
			at &= ~3ull;
		memset(b, 0, sizeof(b));
		memcpy(b, &v, sizeof(v));
		if (test_rand_next(&r) % 3)
			leap__ctrl_reg_write(f->c, at, b, n);
		else
			leap__ctrl_reg_read(f->c, at, b, n);
		if (!(test_rand_next(&r) % 64))
			leap__ctrl_reg_reset(f->c);
		if (!(test_rand_next(&r) % 16)) {
			reap(f);
			set_queues(f);
			wr4(f, LEAP_REG_CC, CC_ENABLE);
		}
		reap(f);
		if (!(test_rand_next(&r) % 16))
			leap_pollgroup_poll(f->fx->pg, 0);
		/* Ready and broken never go together. */
		v = rd4(f, LEAP_REG_CSTS);
		assert_false((v & LEAP_CSTS_RDY) && (v & LEAP_CSTS_CFS));
		assert_int_equal(!!(v & LEAP_CSTS_RDY), f->admin != NULL);
	}
	assert_true(f->starts > 1000);
	disable(f);
	enable(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRONT_TEST(test_edk2),
		FRONT_TEST(test_seabios),
		FRONT_TEST(test_linux),
		FRONT_TEST(test_bad_enable),
		FRONT_TEST(test_unreachable),
		FRONT_TEST(test_reset),
		FRONT_TEST(test_shutdown),
		cmocka_unit_test(test_crowd),
		FRONT_TEST(test_others),
		FRONT_TEST(test_sizes),
		FRONT_TEST(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
