/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PRPs and SGLs against a model that walks the same memory byte by byte, and
 * hostile lists of both kinds.
 */
#include "ats-fixture.h"

#include <errno.h>

static uint64_t rnd_state = 1;

static uint32_t rnd(uint32_t n)
{
	rnd_state = rnd_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rnd_state >> 33) % n;
}

static uint64_t page_at(uint32_t i)
{
	return i < RAM_PAGES ? LOW + (uint64_t)i * PAGE :
		HIGH + (uint64_t)(i - RAM_PAGES) * PAGE;
}

static void put64(struct ats_world *w, uint64_t gpa, uint64_t v)
{
	leap_le64 le = leap_to_le64(v);

	memcpy(ats_host(w, gpa), &le, 8);
}

/* PRPs of random pages for @len bytes from @off; the pages in @order. */
static void make_prps(struct ats_world *w, uint32_t off, uint32_t len,
		      uint64_t *prp1, uint64_t *prp2, uint64_t *order)
{
	uint32_t pages = (off + len + PAGE - 1) / PAGE, i;
	uint64_t list = HIGH + (RAM_PAGES - 8) * (uint64_t)PAGE, slot;

	for (i = 0; i < pages; i++)
		order[i] = page_at(rnd(2 * RAM_PAGES - 16));
	*prp1 = order[0] + off;
	*prp2 = pages == 2 ? order[1] : 0;
	if (pages <= 2)
		return;
	slot = list + 8 * rnd(512);
	*prp2 = slot;
	for (i = 1; i < pages; i++) {
		if (slot % PAGE == PAGE - 8 && i != pages - 1) {
			list += PAGE;
			put64(w, slot, list);
			slot = list;
		}
		put64(w, slot, order[i]);
		slot += 8;
	}
}

static void check_pieces(struct ats_world *w, uint32_t off, uint32_t len,
			 const uint64_t *order)
{
	uint32_t at = 0, p = 0, in = 0;

	assert_int_equal(leap_pieces_bytes(w->pieces, w->nr), len);
	while (at < len) {
		uint64_t gpa = order[(off + at) / PAGE] + (off + at) % PAGE;

		assert_ptr_equal((uint8_t *)w->pieces[p].addr + in,
				 ats_host(w, gpa));
		/* One step a run is enough: pieces are contiguous. */
		uint32_t step = PAGE - (off + at) % PAGE;

		at += step;
		in += step;
		while (p < w->nr && in >= w->pieces[p].len_bytes)
			in -= w->pieces[p++].len_bytes;
	}
}

static void test_prp_random(void **state)
{
	struct ats_world *w = *state;
	uint64_t order[600], prp1, prp2;
	uint32_t i, off, len;

	for (i = 0; i < 20000; i++) {
		off = 4 * rnd(1024);
		len = 1 + rnd(i % 2 ? 8 * PAGE : 500 * PAGE);
		make_prps(w, off, len, &prp1, &prp2, order);
		assert_int_equal(leap_ats_prp(w->view, (leap_gpa_t){ prp1 },
				 (leap_gpa_t){ prp2 }, len, PAGE,
				 LEAP_PERM_READ, w->pieces, MAX_PIECES, &w->nr,
				 &w->pins, &w->status), 0);
		check_pieces(w, off, len, order);
		leap_ats_release(w->view, &w->pins);
	}
}

static leap_status_t prp(struct ats_world *w, uint64_t prp1, uint64_t prp2,
			 uint32_t len)
{
	int err = leap_ats_prp(w->view, (leap_gpa_t){ prp1 },
			       (leap_gpa_t){ prp2 }, len, PAGE,
			       LEAP_PERM_WRITE, w->pieces, MAX_PIECES, &w->nr,
			       &w->pins, &w->status);

	assert_int_equal(err, w->status ? -EIO : 0);
	leap_ats_release(w->view, &w->pins);
	return LEAP_STATUS_CODE(w->status);
}

static void test_prp_bad(void **state)
{
	struct ats_world *w = *state;
	uint64_t list = LOW + 100 * PAGE;

	assert_int_equal(prp(w, LOW + 2, 0, 512), LEAP_SC_PRP_OFFSET);
	assert_int_equal(prp(w, LOW, LOW + 8, PAGE + 512), LEAP_SC_PRP_OFFSET);
	assert_int_equal(prp(w, LOW, list + 4, 3 * PAGE), LEAP_SC_PRP_OFFSET);
	/* PRP2 is not looked at when PRP1 is enough. */
	assert_int_equal(prp(w, LOW, 0xdeadbeef, PAGE), LEAP_SC_SUCCESS);
	assert_int_equal(prp(w, 0, 0, 512), LEAP_SC_DATA_TRANSFER);
	assert_int_equal(prp(w, LOW, 0, 2 * PAGE), LEAP_SC_DATA_TRANSFER);
	assert_int_equal(prp(w, LOW, 0, 3 * PAGE), LEAP_SC_DATA_TRANSFER);
	put64(w, list, LOW);
	put64(w, list + 8, LOW + 512);
	assert_int_equal(prp(w, LOW, list, 3 * PAGE), LEAP_SC_PRP_OFFSET);
	put64(w, list + 8, 0x7000);
	assert_int_equal(prp(w, LOW, list, 3 * PAGE), LEAP_SC_DATA_TRANSFER);
	/* A list that links to itself ends with the length. */
	put64(w, list + PAGE - 8, list + PAGE - 8);
	assert_int_equal(prp(w, LOW, list + PAGE - 8, 9 * PAGE),
			 LEAP_SC_PRP_OFFSET);
	put64(w, list + PAGE - 8, list);
	put64(w, list + 8, LOW);
	put64(w, list + 16, list);
	assert_int_equal(prp(w, LOW, list + PAGE - 8, 4 * PAGE),
			 LEAP_SC_SUCCESS);
}

static void desc(struct ats_world *w, uint64_t at, uint8_t id, uint64_t addr,
		 uint32_t len)
{
	struct leap_sgl_desc d = { 0 };

	d.addr = leap_to_le64(addr);
	d.len = leap_to_le32(len);
	d.type = id;
	memcpy(ats_host(w, at), &d, sizeof(d));
}

static leap_status_t sgl(struct ats_world *w, uint8_t id, uint64_t addr,
			 uint32_t seg_len, uint32_t len, uint32_t flags)
{
	struct leap_sgl_desc d = { 0 };
	int err;

	d.addr = leap_to_le64(addr);
	d.len = leap_to_le32(seg_len);
	d.type = id;
	err = leap_ats_sgl(w->view, &d, len, flags, LEAP_PERM_WRITE, w->pieces,
			   MAX_PIECES, &w->nr, &w->pins, &w->status);
	assert_int_equal(err, w->status ? -EIO : 0);
	leap_ats_release(w->view, &w->pins);
	return LEAP_STATUS_CODE(w->status);
}

#define DATA 0x00
#define BUCKET 0x10
#define SEG 0x20
#define LAST 0x30

static void test_sgl_good(void **state)
{
	struct ats_world *w = *state;
	uint64_t s1 = LOW + 50 * PAGE, s2 = HIGH + 60 * PAGE;

	assert_int_equal(sgl(w, DATA, LOW + 1, 777, 777, 0), 0);
	assert_int_equal(w->nr, 1);
	assert_ptr_equal(w->pieces[0].addr, ats_host(w, LOW + 1));
	/* Segment of two and a link to a last one of two. */
	desc(w, s1, DATA, LOW, 100);
	desc(w, s1 + 16, DATA, LOW + 100, 28);	/* merges */
	desc(w, s1 + 32, LAST, s2, 32);
	desc(w, s2, DATA, HIGH, 0);
	desc(w, s2 + 16, DATA, HIGH + 5, 50);
	assert_int_equal(sgl(w, SEG, s1, 48, 178, 0), 0);
	assert_int_equal(w->nr, 2);
	assert_int_equal(w->pieces[0].len_bytes, 128);
	assert_ptr_equal(w->pieces[1].addr, ats_host(w, HIGH + 5));
	/* Bit bucket of a read: its bytes go nowhere. */
	desc(w, s2, BUCKET, 0, 100000);
	desc(w, s2 + 16, DATA, HIGH, 10);
	assert_int_equal(sgl(w, LAST, s2, 32, 100010, LEAP_SGL_BIT_BUCKET), 0);
	assert_int_equal(leap_pieces_bytes(w->pieces, w->nr), 100010);
	assert_int_equal(sgl(w, LAST, s2, 32, 100010, 0), LEAP_SC_SGL_TYPE);
	assert_int_equal(sgl(w, DATA, LOW, 600, 512, LEAP_SGL_OVERSIZED), 0);
	assert_int_equal(w->pieces[0].len_bytes, 512);
}

static void test_sgl_bad(void **state)
{
	struct ats_world *w = *state;
	uint64_t s1 = LOW + 50 * PAGE;
	uint32_t i;

	assert_int_equal(sgl(w, DATA, LOW, 511, 512, 0), LEAP_SC_SGL_DATA_LEN);
	assert_int_equal(sgl(w, DATA, LOW, 513, 512, 0), LEAP_SC_SGL_DATA_LEN);
	assert_int_equal(sgl(w, 0x01, 0, 512, 512, 0), LEAP_SC_SGL_TYPE);
	assert_int_equal(sgl(w, 0x5a, 0, 512, 512, 0), LEAP_SC_SGL_TYPE);
	assert_int_equal(sgl(w, 0xf0, 0, 512, 512, 0), LEAP_SC_SGL_TYPE);
	assert_int_equal(sgl(w, SEG, s1, 0, 512, 0), LEAP_SC_SGL_SEGMENT);
	assert_int_equal(sgl(w, SEG, s1, 17, 512, 0), LEAP_SC_SGL_SEGMENT);
	assert_int_equal(sgl(w, SEG, 0x10, 16, 512, 0), LEAP_SC_DATA_TRANSFER);
	/* A segment that is not the last names no successor. */
	desc(w, s1, DATA, LOW, 512);
	assert_int_equal(sgl(w, SEG, s1, 16, 512, 0), LEAP_SC_SGL_SEGMENT);
	/* A segment descriptor before the end, or in a last segment. */
	desc(w, s1, LAST, s1, 16);
	desc(w, s1 + 16, DATA, LOW, 512);
	assert_int_equal(sgl(w, SEG, s1, 32, 512, 0), LEAP_SC_SGL_SEGMENT);
	assert_int_equal(sgl(w, LAST, s1, 32, 512, 0), LEAP_SC_SGL_SEGMENT);
	/* A circle of segments, and one that claims to be endless. */
	desc(w, s1, SEG, s1, 16);
	assert_int_equal(sgl(w, SEG, s1, 16, 512, 0), LEAP_SC_SGL_COUNT);
	for (i = 0; i < 100 * PAGE / 16; i++)
		desc(w, s1 + i * 16, DATA, LOW, 0);
	assert_int_equal(sgl(w, LAST, s1, 0xfffffff0, 512, 0),
			 LEAP_SC_SGL_COUNT);
	assert_int_equal(sgl(w, DATA, LOW + 2, 512, 512, LEAP_SGL_DWORD),
			 LEAP_SC_INVALID_FIELD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ATS_T(test_prp_random),
		ATS_T(test_prp_bad),
		ATS_T(test_sgl_good),
		ATS_T(test_sgl_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
