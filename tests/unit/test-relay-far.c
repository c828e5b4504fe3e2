/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a relay makes of far ends that we are not: with limits of their own on
 * verify, write zeroes, dataset management and copy, without any of these, and
 * with formats that nobody here carries. The far end is a script that keeps
 * every command it got.
 */
#include "far-fixture.h"

#define START	FAR_START

/* ---- cases -------------------------------------------------------------- */

static void test_formats(void **state)
{
	static const struct {
		uint16_t ms;
		uint8_t dps, flbas, lbads;
		const char *text;	/* NULL = taken */
	} t[] = {
		{ 8, 1, 0, 9, "information type 1" },
		{ 8, 1 | LEAP_DPS_FIRST, 0, 9, "information type 1" },
		{ 8, 2, 0, 9, "metadata per block and protection" },
		{ 16, 3, LEAP_FLBAS_EXTENDED, 12, "16 bytes of metadata" },
		{ 8, 0, 0, 9, "8 bytes of metadata" },
		{ 64, 0, LEAP_FLBAS_EXTENDED, 12, "64 bytes of metadata" },
		{ 0, 0, 0, 13, "blocks of 8192 bytes" },
		{ 0, 0, 0, 12, NULL },
	};
	struct far *f = *state;
	size_t i;

	/* The window has to be in the namespace, whatever its blocks. */
	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		f->ns.lbaf[0].ms = leap_to_le16(t[i].ms);
		f->ns.lbaf[0].lbads = t[i].lbads;
		f->ns.flbas = t[i].flbas;
		f->ns.dps = t[i].dps;
		assert_int_equal(far_open(f), t[i].text ? -EOPNOTSUPP : 0);
		if (t[i].text) {
			assert_last_error(t[i].text);
			assert_null(f->bdev);
		}
	}
}

/* More bytes than a number of 64 bits has: none that anybody could use. */
static void test_absurd_size(void **state)
{
	struct far *f = *state;

	f->ns.lbaf[0].lbads = 12;
	f->ns.nsze = leap_to_le64(1ull << 52);
	assert_int_equal(far_open(f), -ENOENT);
	f->ns.nsze = leap_to_le64(UINT64_MAX);
	assert_int_equal(far_open(f), -ENOENT);
	f->ns.nsze = leap_to_le64((1ull << 52) - 1);
	assert_int_equal(far_open(f), 0);
}

static void lba_is(const struct got *g, uint8_t opc, uint64_t lba, uint32_t nr)
{
	assert_int_equal(g->sqe.opc, opc);
	assert_int_equal(leap_from_le32(g->sqe.nsid), 1);
	assert_int_equal(leap_sqe_slba(&g->sqe), START + lba);
	assert_int_equal(leap_sqe_nlb(&g->sqe), nr);
	assert_int_equal(g->bytes, 0);
}

static void test_verify_and_zeroes_limits(void **state)
{
	struct far *f = *state;
	uint32_t i;

	f->nvm.vsl = 7;		/* 512 KiB */
	f->nvm.wzsl = 4;	/* 64 KiB */
	assert_int_equal(far_open(f), 0);
	assert_int_equal(far_run(f, LEAP_BIO_VERIFY, 9, 2500, NULL, NULL, 0,
				 NULL), 0);
	assert_int_equal(f->nr, 3);
	lba_is(&f->got[0], LEAP_NVM_VERIFY, 9, 1024);
	lba_is(&f->got[1], LEAP_NVM_VERIFY, 9 + 1024, 1024);
	lba_is(&f->got[2], LEAP_NVM_VERIFY, 9 + 2048, 452);
	assert_int_equal(far_run(f, LEAP_BIO_WRITE_ZEROES, 5, 300, NULL, NULL,
				 0, NULL), 0);
	assert_int_equal(f->nr, 3);
	for (i = 0; i < 3; i++)
		lba_is(&f->got[i], LEAP_NVM_WRITE_ZEROES, 5 + 128 * i,
		       i < 2 ? 128 : 44);
	/* The second of three fails: the third is not sent. */
	f->fail_at = 2;
	assert_int_equal(far_run(f, LEAP_BIO_VERIFY, 9, 2500, NULL, NULL, 0,
				 NULL), LEAP_SC_WRITE_FAULT);
	assert_int_equal(f->nr, 2);
}

static void test_without(void **state)
{
	struct leap_bdev_info info = { sizeof(info) };
	struct far *f = *state;

	f->id.oncs = leap_to_le16(0);
	assert_int_equal(far_open(f), 0);
	leap_bdev_info(f->bdev, &info);
	assert_int_equal(info.caps, LEAP_BDEV_FUA);
	/* Verify is a read then, of bounded length. */
	assert_int_equal(far_run(f, LEAP_BIO_VERIFY, 9, 200, NULL, NULL, 0,
				 NULL), 0);
	assert_int_equal(f->nr, 2);
	assert_int_equal(f->got[0].sqe.opc, LEAP_NVM_READ);
	assert_int_equal(leap_sqe_nlb(&f->got[0].sqe), 128);
	assert_int_equal(leap_sqe_nlb(&f->got[1].sqe), 72);
	/* Without a volatile cache there is nothing to flush. */
	assert_int_equal(far_run(f, LEAP_BIO_FLUSH, 0, 0, NULL, NULL, 0, NULL),
			 0);
	assert_int_equal(f->nr, 0);
}

static void dsm_is(const struct got *g, uint32_t i, uint32_t nr, uint64_t lba,
		   uint32_t len, uint32_t attr)
{
	struct leap_dsm_range r;

	memcpy(&r, g->list + i * sizeof(r), sizeof(r));
	assert_int_equal(g->sqe.opc, LEAP_NVM_DSM);
	assert_int_equal(leap_from_le32(g->sqe.cdw10), nr - 1);
	assert_int_equal(leap_from_le32(g->sqe.cdw11), LEAP_DSM_CDW11_AD);
	assert_int_equal(leap_from_le64(r.slba), START + lba);
	assert_int_equal(leap_from_le32(r.nlb), len);
	assert_int_equal(leap_from_le32(r.cattr), attr);
}

static void test_dsm_limits(void **state)
{
	struct leap_dsm_range r[4] = { { .nlb = leap_to_le32(10) } };
	struct far *f = *state;

	f->nvm.dmrl = 3;
	f->nvm.dmrsl = leap_to_le32(1000);
	f->nvm.dmsl = leap_to_le64(2500);
	assert_int_equal(far_open(f), 0);
	r[0].cattr = leap_to_le32(7);
	r[1].slba = leap_to_le64(100);
	r[1].nlb = leap_to_le32(3200);
	r[2].slba = leap_to_le64(50);
	r[3].slba = leap_to_le64(60);
	r[3].nlb = leap_to_le32(1);
	assert_int_equal(far_run(f, LEAP_BIO_RANGES, 0, 0, NULL, r, sizeof(r),
				 NULL), 0);
	assert_int_equal(f->nr, 3);
	dsm_is(&f->got[0], 0, 3, 0, 10, 7);
	dsm_is(&f->got[0], 1, 3, 100, 1000, 0);
	dsm_is(&f->got[0], 2, 3, 1100, 1000, 0);
	dsm_is(&f->got[1], 0, 3, 2100, 1000, 0);
	dsm_is(&f->got[1], 1, 3, 3100, 200, 0);
	dsm_is(&f->got[1], 2, 3, 50, 0, 0);
	dsm_is(&f->got[2], 0, 1, 60, 1, 0);
	/* DMSL cuts before DMRL. */
	assert_int_equal(far_run(f, LEAP_BIO_DISCARD, 8, 5001, NULL, NULL, 0,
				 NULL), 0);
	assert_int_equal(f->nr, 3);
	dsm_is(&f->got[0], 2, 3, 2008, 500, 0);
	dsm_is(&f->got[2], 0, 1, 5008, 1, 0);
}

static void source(uint8_t *list, uint32_t i, uint64_t lba, uint32_t nr)
{
	struct leap_copy_range0 r = { 0 };

	r.slba = leap_to_le64(lba);
	r.nlb = leap_to_le16((uint16_t)(nr - 1));
	memcpy(list + i * sizeof(r), &r, sizeof(r));
}

static void source_is(const struct got *g, uint32_t i, uint64_t lba,
		      uint32_t nr)
{
	struct leap_copy_range0 r, want = { 0 };

	memcpy(&r, g->list + i * sizeof(r), sizeof(r));
	want.slba = leap_to_le64(START + lba);
	want.nlb = leap_to_le16((uint16_t)(nr - 1));
	assert_memory_equal(&r, &want, sizeof(r));
}

static void copy_is(const struct got *g, uint64_t to, uint32_t nr)
{
	assert_int_equal(g->sqe.opc, LEAP_NVM_COPY);
	assert_int_equal(leap_sqe_slba(&g->sqe), START + to);
	assert_int_equal(leap_from_le32(g->sqe.cdw12) & 0xfff, nr - 1);
}

static void test_copy_limits(void **state)
{
	struct leap_sqe sqe = { 0 };
	struct far *f = *state;
	uint8_t list[3 * 32];
	uint64_t result = 0;

	f->ns.mssrl = leap_to_le16(100);
	f->ns.mcl = leap_to_le32(250);
	f->ns.msrc = 1;
	assert_int_equal(far_open(f), 0);
	sqe.opc = LEAP_NVM_COPY;
	sqe.cdw12 = leap_to_le32(2 | LEAP_COPY_CDW12_LR);
	source(list, 0, 5000, 130);
	source(list, 1, 7000, 80);
	source(list, 2, 6000, 200);
	assert_int_equal(far_run(f, LEAP_BIO_COPY, 1000, 410, &sqe, list,
				 sizeof(list), NULL), 0);
	assert_int_equal(f->nr, 3);
	copy_is(&f->got[0], 1000, 2);
	source_is(&f->got[0], 0, 5000, 100);
	source_is(&f->got[0], 1, 5100, 30);
	copy_is(&f->got[1], 1130, 2);
	source_is(&f->got[1], 0, 7000, 80);
	source_is(&f->got[1], 1, 6000, 100);
	copy_is(&f->got[2], 1310, 1);
	source_is(&f->got[2], 0, 6100, 100);
	assert_true(leap_from_le32(f->got[2].sqe.cdw12) & LEAP_COPY_CDW12_LR);
	/* Its range 1 is our range 2; nonsense is where the command began. */
	f->fail_at = 2;
	f->fail_result = 1;
	assert_int_equal(far_run(f, LEAP_BIO_COPY, 1000, 410, &sqe, list,
				 sizeof(list), &result),
			 LEAP_SC_WRITE_FAULT);
	assert_int_equal(result, 2);
	f->fail_result = 0xffffffff;
	far_run(f, LEAP_BIO_COPY, 1000, 410, &sqe, list, sizeof(list),
		&result);
	assert_int_equal(result, 1);
	/* Another sum than was checked: nothing is sent. */
	assert_int_equal(far_run(f, LEAP_BIO_COPY, 1000, 409, &sqe, list,
				 sizeof(list), NULL),
			 LEAP_SC_INVALID_FIELD | DNR);
	assert_int_equal(f->nr, 0);
}

/* MCL below MSSRL, and one block at a time. */
static void test_copy_least(void **state)
{
	struct leap_sqe sqe = { .opc = LEAP_NVM_COPY };
	struct far *f = *state;
	uint8_t list[32];
	uint32_t i;

	f->ns.mssrl = leap_to_le16(1);
	f->ns.mcl = leap_to_le32(1);
	f->ns.msrc = 0;
	assert_int_equal(far_open(f), 0);
	source(list, 0, 500, 5);
	assert_int_equal(far_run(f, LEAP_BIO_COPY, 1000, 5, &sqe, list, 32,
				 NULL), 0);
	assert_int_equal(f->nr, 5);
	for (i = 0; i < 5; i++) {
		copy_is(&f->got[i], 1000 + i, 1);
		source_is(&f->got[i], 0, 500 + i, 1);
	}
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, far_set_up, \
						   far_tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_formats), CASE(test_absurd_size),
		CASE(test_verify_and_zeroes_limits),
		CASE(test_without), CASE(test_dsm_limits),
		CASE(test_copy_limits), CASE(test_copy_least),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
