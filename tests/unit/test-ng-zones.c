/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The leaf over the kernel's pass-through, over a drive of zones: its zones are
 * the relay's, and a write whose answer was lost is looked for.
 */
#include "config.h"

#include "fake-ng.h"

static void open_zoned(struct blk *b)
{
	ngk.zoned.pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	assert_int_equal(leap_bdev_open(ngk.zoned.pg,
					"zoned:512K[block=512,zone=32K]",
					&ngk.zoned.bdev), 0);
	assert_int_equal(leap_chan_open(ngk.zoned.bdev, ngk.zoned.pg, 8,
					&ngk.zoned.chan), 0);
	ngk.ns.nsze = leap_to_le64(ZONE * ZONES);
	ngk.desc[0] = LEAP_NIDT_CSI;
	ngk.desc[1] = LEAP_NIDL_CSI;
	ngk.desc[4] = LEAP_CSI_ZNS;
	open_ng(b, "ng:/dev/ng7n3");
}

static void close_zoned(struct blk *b)
{
	close_ng(b);
	blk_close(&ngk.zoned);
}

static leap_status_t send_zone(struct blk *b, uint64_t block, uint32_t what)
{
	struct blk_wait wait;
	struct leap_bio *bio = blk_bio(b, LEAP_BIO_ZONE_SEND, block, 0, NULL, 0,
				       &wait);

	bio->result = what;
	leap_bio_submit(b->chan, bio);
	return blk_await(b, bio, &wait);
}

static uint64_t pointer(struct blk *b, uint64_t block)
{
	struct {
		struct leap_zone_report head;
		struct leap_zone_desc desc[1];
	} report;
	struct leap_piece piece = { .addr = &report,
		.len_bytes = sizeof(report) };
	struct blk_wait wait;
	struct leap_bio *bio = blk_bio(b, LEAP_BIO_ZONE_REPORT, block, 0,
				       &piece, 1, &wait);

	leap_bio_submit(b->chan, bio);
	assert_int_equal(blk_await(b, bio, &wait), 0);
	assert_int_equal(leap_from_le64(report.desc[0].zslba), block);
	return leap_from_le64(report.desc[0].wp);
}

/* Its zones are the relay's, with reports, appends and resets. */
static void test_zones(void **state)
{
	static uint8_t out[16 * 512], in[16 * 512];
	struct leap_bdev_zones zones = { .size = sizeof(zones) };
	struct leap_piece piece = { .addr = out, .len_bytes = 4 * 512 };
	struct blk_wait wait;
	struct leap_bio *bio;
	struct blk b;

	open_zoned(&b);
	assert_true(b.caps & LEAP_BDEV_ZONED);
	assert_int_equal(leap_bdev_zones(b.bdev, &zones), 0);
	assert_int_equal(zones.zone_blocks, ZONE);
	assert_int_equal(zones.append_blocks, 16);
	memset(out, 0x3c, sizeof(out));
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, ZONE, 8, out), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, ZONE, 8, out),
			 LEAP_SC_ZONE_INVALID_WRITE | DNR);
	bio = blk_bio(&b, LEAP_BIO_ZONE_APPEND, ZONE, 4, &piece, 1, &wait);
	leap_bio_submit(b.chan, bio);
	while (!wait.nr_done)
		leap_pollgroup_wait(b.pg, 1000000);
	assert_int_equal(wait.status, 0);
	assert_int_equal(bio->result, ZONE + 8);
	leap_bio_put(b.chan, bio);
	assert_int_equal(pointer(&b, ZONE), ZONE + 12);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, ZONE, 12, in), 0);
	assert_memory_equal(in, out, 12 * 512);
	assert_int_equal(send_zone(&b, ZONE, LEAP_ZSA_RESET), 0);
	assert_int_equal(pointer(&b, ZONE), ZONE);
	close_zoned(&b);
}

/* Done, and the kernel's reset took the answer: what the zone refuses then is
 * what it has. */
static void test_zone_write_again(void **state)
{
	static uint8_t out[8 * 512];
	struct blk b;

	open_zoned(&b);
	memset(out, 0x5a, sizeof(out));
	ngk.forget = LEAP_SC_PATH_HOST_ABORTED;
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 2 * ZONE, 8, out), 0);
	assert_int_equal(ngk.forget, 0);
	assert_int_equal(pointer(&b, 2 * ZONE), 2 * ZONE + 8);
	close_zoned(&b);
}

/* @nr blocks in 200 pieces, more than a command of the kernel has. */
static leap_status_t in_crumbs(struct blk *b, int op, uint64_t block,
			       uint32_t nr)
{
	static uint8_t bytes[16 * 512];
	struct leap_piece pieces[200];
	struct blk_wait wait;
	struct leap_bio *bio;
	uint32_t i;

	memset(bytes, 0x77, sizeof(bytes));
	for (i = 0; i < 200; i++)
		pieces[i] = (struct leap_piece){ .addr = bytes + i * 16,
			.len_bytes = 16 };
	pieces[199].len_bytes = nr * 512 - 199 * 16;
	bio = blk_bio(b, op, block, nr, pieces, 200, &wait);
	leap_bio_submit(b->chan, bio);
	return blk_await(b, bio, &wait);
}

/* None of it is done when it cannot be one command, or its zone has no room for
 * all of it. */
static void test_zones_and_many_pieces(void **state)
{
	static uint8_t out[56 * 512];
	struct blk b;

	open_zoned(&b);
	assert_int_equal(in_crumbs(&b, LEAP_BIO_ZONE_APPEND, ZONE, 16),
			 LEAP_SC_INTERNAL | DNR);
	assert_int_equal(pointer(&b, ZONE), ZONE);
	assert_int_equal(in_crumbs(&b, LEAP_BIO_WRITE, ZONE, 16), 0);
	assert_int_equal(pointer(&b, ZONE), ZONE + 16);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 2 * ZONE, 56, out), 0);
	assert_int_equal(in_crumbs(&b, LEAP_BIO_WRITE, 2 * ZONE + 56, 16),
			 LEAP_SC_ZONE_BOUNDARY | DNR);
	assert_int_equal(pointer(&b, 2 * ZONE), 2 * ZONE + 56);
	close_zoned(&b);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, fake_ng_set_up)
	const struct CMUnitTest tests[] = {
		CASE(test_zones), CASE(test_zone_write_again),
		CASE(test_zones_and_many_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
