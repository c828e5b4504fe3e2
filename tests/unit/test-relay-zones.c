/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A window of zones over a far end that lies: where appends went, which zones
 * there are and where their pointers stand. And hosts that name zones which are
 * not theirs, straight into the relay as if no controller had looked.
 */
#include "far-fixture.h"

#include <stdio.h>

#define ZSIZE		4096u
#define CAP		3000u
#define NR_ZONES	200u		/* of the window */
#define ZONE(i)		((uint64_t)(i) * ZSIZE)
#define FAR(i)		(FAR_START + ZONE(i))
#define LIE		(LEAP_SC_INTERNAL | DNR)

/* What the next reports say: from @at on, those that are asked for. */
static struct {
	struct leap_zone_desc d[NR_ZONES + 2];
	uint32_t nr;
	uint64_t nzones;	/* 0 = as many as there are */
	int blind;		/* whatever is asked: from the first on */
} says;

static uint8_t payload[512 * 64];

static struct leap_zone_desc desc(uint64_t zslba, uint8_t zs, uint64_t wp)
{
	return (struct leap_zone_desc){
		.zt = LEAP_ZT_SEQ_WRITE, .zs = (uint8_t)(zs << 4),
		.zcap = leap_to_le64(CAP), .zslba = leap_to_le64(zslba),
		.wp = leap_to_le64(wp),
	};
}

static bool report(struct far *f, struct leap_cmd *cmd)
{
	struct leap_zone_report head = { 0 };
	uint32_t room = cmd->data_bytes / 64 - 1, i, n = 0;
	uint64_t from = leap_sqe_slba(&cmd->sqe);
	uint8_t *to = cmd->pieces[0].addr;

	(void)f;
	assert_int_equal(cmd->nr_pieces, 1);
	for (i = 0; i < says.nr && n < room; i++) {
		if (!says.blind && leap_from_le64(says.d[i].zslba) < from)
			continue;
		memcpy(to + 64 * ++n, &says.d[i], 64);
	}
	head.nzones = leap_to_le64(says.nzones ? says.nzones : n);
	memcpy(to, &head, sizeof(head));
	leap_cmd_complete(cmd, 0);
	return true;
}

/* The window's, and one on either side. */
static void tell_the_truth(void)
{
	uint32_t i;

	memset(&says, 0, sizeof(says));
	for (i = 0; i < NR_ZONES + 2; i++)
		says.d[i] = desc(FAR(i) - ZSIZE, LEAP_ZS_IMPLICIT_OPEN,
				 FAR(i) - ZSIZE + i);
	says.nr = NR_ZONES + 2;
}

static uint64_t append_result;

static bool answer(struct far *f, struct leap_cmd *cmd)
{
	if (cmd->sqe.opc == LEAP_NVM_ZONE_MGMT_RECV)
		return report(f, cmd);
	if (cmd->sqe.opc == LEAP_NVM_ZONE_APPEND)
		cmd->result = append_result;
	return false;
}

static int set_up(void **state)
{
	struct far *f;

	far_set_up(state);
	f = *state;
	f->csi = LEAP_CSI_ZNS;
	f->zns.lbafe[0].zsze = leap_to_le64(ZSIZE);
	f->zns.mar = f->zns.mor = leap_to_le32(LEAP_ZNS_NO_LIMIT);
	f->answer = answer;
	f->relay.nr_blocks = ZONE(NR_ZONES);
	tell_the_truth();
	return 0;
}

/* ---- hosts that lie ------------------------------------------------------ */

#define WRAP (0 - FAR_START)

static const uint64_t astray[] = {
	ZONE(NR_ZONES), ZONE(NR_ZONES + 1), WRAP, WRAP + ZSIZE, WRAP - ZSIZE,
	0 - (uint64_t)ZSIZE, UINT64_MAX, UINT64_MAX - ZSIZE + 1, 1ull << 63,
	1, ZSIZE - 1, ZONE(5) + 1,
};

static void nothing_came(struct far *f, const char *what, size_t i,
			 leap_status_t status)
{
	if (!(status & DNR) || f->nr)
		fail_msg("%s at %llx: status %x, %u commands", what,
			 (unsigned long long)astray[i], status, f->nr);
}

static void test_other_zones(void **state)
{
	struct far *f = *state;
	uint64_t action;
	size_t i;

	assert_int_equal(far_open(f), 0);
	for (i = 0; i < COUNT(astray); i++) {
		nothing_came(f, "append", i, far_run(f, LEAP_BIO_ZONE_APPEND,
			     astray[i], 8, NULL, payload, 4096, NULL));
		for (action = LEAP_ZSA_CLOSE; action <= LEAP_ZSA_OFFLINE;
		     action++)
			nothing_came(f, "send", i, far_run(f,
				     LEAP_BIO_ZONE_SEND, astray[i], 0, NULL,
				     NULL, 0, &action));
		/* One may begin within a zone. */
		if (astray[i] < ZONE(NR_ZONES))
			continue;
		nothing_came(f, "report", i, far_run(f, LEAP_BIO_ZONE_REPORT,
			     astray[i], 0, NULL, payload, 4096, NULL));
	}
	/* What nobody here knows how to keep inside. */
	for (action = 0; action < 256; action++) {
		if (action >= LEAP_ZSA_CLOSE && action <= LEAP_ZSA_OFFLINE)
			continue;
		assert_true(far_run(f, LEAP_BIO_ZONE_SEND, ZONE(1), 0, NULL,
				    NULL, 0, &action) & DNR);
		assert_int_equal(f->nr, 0);
	}
	action = 1ull << 32 | LEAP_ZSA_RESET;
	assert_true(far_run(f, LEAP_BIO_ZONE_SEND, ZONE(1), 0, NULL, NULL, 0,
			    &action) & DNR);
	assert_true(far_run(f, LEAP_BIO_ZONE_APPEND, ZONE(NR_ZONES - 1),
			    ZSIZE + 1, NULL, payload, 512, NULL) & DNR);
	assert_int_equal(f->nr, 0);
}

static void test_sent_where_it_belongs(void **state)
{
	struct leap_sqe sqe = { 0 };
	struct far *f = *state;
	uint64_t r;

	memset(&sqe, 0xff, sizeof(sqe));
	assert_int_equal(far_open(f), 0);
	append_result = FAR(3) + 17;
	assert_int_equal(far_run(f, LEAP_BIO_ZONE_APPEND, ZONE(3), 8, &sqe,
				 payload, 4096, &r), 0);
	assert_int_equal(r, ZONE(3) + 17);
	assert_int_equal(leap_sqe_slba(&f->got[0].sqe), FAR(3));
	/* No bit of it but what a relay knows. */
	assert_int_equal(leap_from_le32(f->got[0].sqe.cdw12), 7);
	assert_int_equal(leap_from_le32(f->got[0].sqe.cdw13), 0);
	assert_int_equal(leap_from_le32(f->got[0].sqe.cdw2), 0);
	assert_int_equal(f->got[0].sqe.flags & LEAP_SQE_FUSE_MASK, 0);
	r = LEAP_ZSA_RESET;
	assert_int_equal(far_run(f, LEAP_BIO_ZONE_SEND, ZONE(9), 0, &sqe,
				 NULL, 0, &r), 0);
	assert_int_equal(leap_sqe_slba(&f->got[0].sqe), FAR(9));
	assert_int_equal(leap_from_le32(f->got[0].sqe.cdw13), LEAP_ZSA_RESET);
}

/* ---- where appends went -------------------------------------------------- */

static void test_appends_that_went_elsewhere(void **state)
{
	static const uint64_t elsewhere[] = {
		0, ZONE(3), FAR(3) - 1, FAR(3) - ZSIZE, FAR(4), FAR(4) - 7,
		FAR(3) + ZSIZE - 1, FAR(NR_ZONES), UINT64_MAX, UINT64_MAX - 7,
		FAR(3) | 1ull << 63, 0 - FAR_START,
	};
	struct far *f = *state;
	uint64_t r;
	size_t i;

	assert_int_equal(far_open(f), 0);
	for (i = 0; i < COUNT(elsewhere); i++) {
		append_result = elsewhere[i];
		r = 0;
		assert_int_equal(far_run(f, LEAP_BIO_ZONE_APPEND, ZONE(3), 8,
					 NULL, payload, 4096, &r), LIE);
	}
	append_result = FAR(4) - 8;
	assert_int_equal(far_run(f, LEAP_BIO_ZONE_APPEND, ZONE(3), 8, NULL,
				 payload, 4096, &r), 0);
	assert_int_equal(r, ZONE(4) - 8);
}

/* Whether it was done nobody knows. */
static void test_lost_append(void **state)
{
	struct far *f = *state;

	assert_int_equal(far_open(f), 0);
	f->cut_at = 1;
	assert_int_equal(far_run(f, LEAP_BIO_ZONE_APPEND, ZONE(3), 8, NULL,
				 payload, 4096, NULL), LIE);
	assert_int_equal(f->nr, 1);
	f->cut_at = 0;
	f->fail_at = 1;
	f->fail_status = LEAP_SC_ABORT_SQ_DELETED;
	assert_int_equal(far_run(f, LEAP_BIO_ZONE_APPEND, ZONE(3), 8, NULL,
				 payload, 4096, NULL), LIE);
}

/* ---- reports ------------------------------------------------------------- */

static leap_status_t ask(struct far *f, uint64_t lba, uint32_t what,
			 uint32_t bytes, uint64_t *nr)
{
	struct leap_zone_report head;
	uint64_t result = what;
	leap_status_t status;

	memset(payload, 0xee, sizeof(payload));
	status = far_run(f, LEAP_BIO_ZONE_REPORT, lba, 0, NULL, payload, bytes,
			 &result);
	memcpy(&head, payload, sizeof(head));
	*nr = leap_from_le64(head.nzones);
	assert_int_equal(payload[bytes], 0xee);
	return status;
}

static struct leap_zone_desc told(uint32_t i)
{
	struct leap_zone_desc d;

	memcpy(&d, payload + 64 * (i + 1), sizeof(d));
	return d;
}

static void test_reports(void **state)
{
	struct far *f = *state;
	struct leap_zone_desc d;
	uint64_t nr;
	uint32_t i;

	assert_int_equal(far_open(f), 0);
	assert_int_equal(ask(f, 0, 0, 64, &nr), 0);
	assert_int_equal(nr, NR_ZONES);
	assert_int_equal(ask(f, ZONE(7) + 9, 0, 64 * 11 + 4, &nr), 0);
	assert_int_equal(nr, NR_ZONES - 7);
	for (i = 0; i < 10; i++) {
		d = told(i);
		assert_int_equal(leap_from_le64(d.zslba), ZONE(7 + i));
		assert_int_equal(leap_from_le64(d.wp), ZONE(7 + i) + 8 + i);
	}
	assert_int_equal(ask(f, ZONE(7), LEAP_ZMR_CDW13_PARTIAL, 64 * 3, &nr),
			 0);
	assert_int_equal(nr, 2);
	/* Shorter than their head. */
	assert_int_equal(ask(f, 0, 0, 60, &nr), LEAP_SC_INVALID_FIELD | DNR);
	assert_int_equal(ask(f, 0, 0, 4, &nr), LEAP_SC_INVALID_FIELD | DNR);
	/* Extended ones, and what is none. */
	assert_int_equal(ask(f, 0, 1, 640, &nr), LEAP_SC_INVALID_FIELD | DNR);
	assert_int_equal(ask(f, 0, 8 << 8, 640, &nr),
			 LEAP_SC_INVALID_FIELD | DNR);
}

/* A pointer that a state has not is not passed on, whatever is there. */
static void test_no_pointer(void **state)
{
	static const uint8_t without[] = {
		LEAP_ZS_FULL, LEAP_ZS_READ_ONLY, LEAP_ZS_OFFLINE,
	};
	static const uint64_t wps[] = { 0, 5, UINT64_MAX, 1ull << 63 };
	struct far *f = *state;
	struct leap_zone_desc d;
	uint64_t nr;
	size_t i, k;

	assert_int_equal(far_open(f), 0);
	for (i = 0; i < COUNT(without); i++)
		for (k = 0; k < COUNT(wps); k++) {
			says.d[1] = desc(FAR(0), without[i], wps[k]);
			says.d[1].za = 0xff;
			memset(says.d[1].rsvd32, 0xab, 32);
			assert_int_equal(ask(f, 0, 0, 128, &nr), 0);
			d = told(0);
			assert_true(leap_from_le64(d.wp) == UINT64_MAX);
			assert_int_equal(d.za & LEAP_ZA_ZDEV, 0);
			assert_int_equal(d.rsvd32[31], 0);
		}
}

static void test_lies_in_reports(void **state)
{
	struct leap_zone_desc lies[] = {
		desc(FAR(0) - ZSIZE, LEAP_ZS_EMPTY, FAR(0) - ZSIZE),
		desc(FAR(1) + 1, LEAP_ZS_EMPTY, FAR(1) + 1),
		desc(0, LEAP_ZS_EMPTY, 0),
		/* Pointers of other zones. */
		desc(FAR(2), LEAP_ZS_EMPTY, 0),
		desc(FAR(2), LEAP_ZS_CLOSED, FAR(2) - 1),
		desc(FAR(2), LEAP_ZS_IMPLICIT_OPEN, FAR(2) + CAP + 1),
		desc(FAR(2), LEAP_ZS_EXPLICIT_OPEN, FAR(3)),
		desc(FAR(2), LEAP_ZS_EXPLICIT_OPEN, UINT64_MAX),
		/* A capacity that its place has no room for; see below. */
		desc(FAR(2), LEAP_ZS_EMPTY, FAR(2)),
	};
	struct far *f = *state;
	uint64_t nr;
	size_t i;

	lies[COUNT(lies) - 1].zcap = leap_to_le64(ZSIZE + 1);
	assert_int_equal(far_open(f), 0);
	for (i = 0; i < COUNT(lies); i++) {
		tell_the_truth();
		says.blind = i < 3;
		says.d[i < 3 ? 0 : 3] = lies[i];
		if (ask(f, 0, 0, 640, &nr) != LIE)
			fail_msg("lie %zu was believed", i);
	}
	/* Twice the same one, and more than fit. */
	tell_the_truth();
	says.d[4] = says.d[3];
	assert_int_equal(ask(f, 0, 0, 640, &nr), LIE);
	tell_the_truth();
	says.nr = 5;
	says.nzones = UINT64_MAX;
	assert_int_equal(ask(f, 0, 0, 640, &nr), LIE);
}

/* All of the window: what lies beside it is not even looked at. */
static void test_all_of_the_window(void **state)
{
	struct far *f = *state;
	uint64_t lba;
	uint32_t i, nr = 0;

	assert_int_equal(far_open(f), 0);
	f->bio_flags = LEAP_BIO_ZONE_ALL;
	lba = LEAP_ZSA_RESET;
	assert_int_equal(far_run(f, LEAP_BIO_ZONE_SEND, 0, 0, NULL, NULL, 0,
				 &lba), 0);
	for (i = 0; i < f->nr; i++) {
		lba = leap_sqe_slba(&f->got[i].sqe);
		assert_true(lba >= FAR(0) && lba < FAR(NR_ZONES));
		if (f->got[i].sqe.opc != LEAP_NVM_ZONE_MGMT_SEND)
			continue;
		assert_int_equal(lba, FAR(nr++));
		assert_int_equal(leap_from_le32(f->got[i].sqe.cdw13),
				 LEAP_ZSA_RESET);
	}
	assert_int_equal(nr, NR_ZONES);
}

/* ---- a far end that becomes another one ---------------------------------- */

static void test_another_size(void **state)
{
	struct leap_bdev_info info = { sizeof(info) };
	struct far *f = *state;
	int i;

	f->relay.start_block = 0;
	f->relay.nr_blocks = 0;
	assert_int_equal(far_open(f), 0);
	append_result = 17;
	while (far_run(f, LEAP_BIO_READ, 0, 1, NULL, payload, 512, NULL) ||
	       !f->nr_aers)
		leap_pollgroup_wait(f->pg, 1000000);
	f->ns.nsze = leap_to_le64(FAR_BLOCKS + 1);
	far_ns_changed(f);
	for (i = 0; i < 200; i++)
		leap_pollgroup_wait(f->pg, 1000000);
	leap_bdev_info(f->bdev, &info);
	assert_int_equal(info.nr_blocks % ZSIZE, 0);
	assert_int_equal(far_run(f, LEAP_BIO_READ, 0, 1, NULL, payload, 512,
				 NULL), LIE);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, far_tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_other_zones), CASE(test_sent_where_it_belongs),
		CASE(test_appends_that_went_elsewhere), CASE(test_lost_append),
		CASE(test_reports), CASE(test_no_pointer),
		CASE(test_lies_in_reports), CASE(test_all_of_the_window),
		CASE(test_another_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
