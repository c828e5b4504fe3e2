/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Relays: what reaches the far target, and where: windows, rewritten ranges,
 * splitting, answers.
 */
#include "rand.h"
#include "relay-pair.h"

#include <leapio/plugin/bdev_ops.h>

static leap_status_t dsm(struct world *w, struct leap_dsm_range *ranges,
			 uint32_t nr)
{
	struct leap_sqe sqe = { .opc = LEAP_NVM_DSM };

	sqe.nsid = leap_to_le32(1);
	sqe.cdw10 = leap_to_le32(nr - 1);
	sqe.cdw11 = leap_to_le32(LEAP_DSM_CDW11_AD);
	return rx_run(w, w->host, &sqe, ranges, nr * 16);
}

/* All of the far namespace reads as @fill. */
static void fill_far(struct world *w, uint8_t fill)
{
	uint32_t lba;

	memset(w->buf, fill, 64 * BLOCK);
	for (lba = 0; lba < FAR_BLOCKS; lba += 64)
		assert_int_equal(cmd(w, w->direct, LEAP_NVM_WRITE, lba, 64,
				     w->buf, 64 * BLOCK), 0);
}

static void check_far(struct world *w, uint64_t lba, uint8_t fill)
{
	uint32_t i;

	assert_int_equal(cmd(w, w->direct, LEAP_NVM_READ, lba, 1, w->back,
			     BLOCK), 0);
	for (i = 0; i < BLOCK; i++)
		assert_int_equal(w->back[i], fill);
}

static void test_window(void **state)
{
	struct world *w = *state;
	struct leap_host_ns ns = { sizeof(ns) };

	start(w, 1);
	fill_far(w, 0xee);
	assert_int_equal(leap_host_ns_next(w->host, 0, &ns), 0);
	assert_int_equal(ns.nr_blocks, BLOCKS);
	assert_int_equal(ns.block_bytes, BLOCK);
	memset(w->buf, 1, BLOCK);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_WRITE, 0, 1, w->buf, BLOCK),
			 0);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_WRITE, BLOCKS - 1, 1, w->buf,
			     BLOCK), 0);
	check_far(w, START - 1, 0xee);
	check_far(w, START, 1);
	check_far(w, START + 1, 0xee);
	check_far(w, START + BLOCKS - 1, 1);
	check_far(w, START + BLOCKS, 0xee);
	/* One block over the end, and addresses that wrap into the window. */
	assert_int_equal(cmd(w, w->host, LEAP_NVM_WRITE, BLOCKS - 1, 2, w->buf,
			     2 * BLOCK), LEAP_SC_LBA_RANGE | DNR);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_READ, 0 - (uint64_t)START, 1,
			     w->buf, BLOCK), LEAP_SC_LBA_RANGE | DNR);
	check_far(w, START + BLOCKS, 0xee);
	memset(w->back, 0, BLOCK);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_READ, 0, 1, w->back, BLOCK),
			 0);
	assert_int_equal(w->back[BLOCK - 1], 1);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_FLUSH, 0, 0, NULL, 0), 0);
}

static void test_other_commands(void **state)
{
	struct world *w = *state;

	start(w, 1);
	fill_far(w, 0x55);
	memset(w->buf, 0x55, 8 * BLOCK);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_COMPARE, 7, 8, w->buf,
			     8 * BLOCK), 0);
	w->buf[8 * BLOCK - 1] ^= 1;
	assert_int_equal(cmd(w, w->host, LEAP_NVM_COMPARE, 7, 8, w->buf,
			     8 * BLOCK), LEAP_SC_COMPARE_FAILED | DNR);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_WRITE_ZEROES, 10, 3, NULL,
			     0), 0);
	check_far(w, START + 9, 0x55);
	check_far(w, START + 10, 0);
	check_far(w, START + 12, 0);
	check_far(w, START + 13, 0x55);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_VERIFY, 0, 100, NULL, 0), 0);
}

static struct leap_dsm_range range(uint64_t slba, uint32_t nlb)
{
	struct leap_dsm_range r = { .nlb = leap_to_le32(nlb),
		.slba = leap_to_le64(slba) };

	return r;
}

static void test_ranges_are_rewritten(void **state)
{
	struct leap_dsm_range r[256];
	struct world *w = *state;
	uint32_t i;

	start(w, 1);
	fill_far(w, 0x77);
	r[0] = range(0, 1);
	r[1] = range(BLOCKS - 1, 1);
	r[2] = range(100, 10);
	assert_int_equal(dsm(w, r, 3), 0);
	check_far(w, START - 1, 0x77);
	check_far(w, START, 0);
	check_far(w, START + 1, 0x77);
	check_far(w, START + 99, 0x77);
	check_far(w, START + 100, 0);
	check_far(w, START + 109, 0);
	check_far(w, START + 110, 0x77);
	check_far(w, START + BLOCKS - 1, 0);
	check_far(w, START + BLOCKS, 0x77);
	/* The host's ranges are its own. */
	assert_int_equal(leap_from_le64(r[2].slba), 100);
	/* One bad range: nothing is discarded. */
	r[0] = range(500, 4);
	r[1] = range(BLOCKS - 2, 3);
	assert_int_equal(dsm(w, r, 2), LEAP_SC_LBA_RANGE | DNR);
	check_far(w, START + 500, 0x77);
	for (i = 0; i < 256; i++)
		r[i] = range(200 + 2 * i, 1);
	assert_int_equal(dsm(w, r, 256), 0);
	check_far(w, START + 200, 0);
	check_far(w, START + 201, 0x77);
	check_far(w, START + 200 + 510, 0);
}

struct direct_bio {
	int done;
	leap_status_t status;
};

static void bio_done(struct leap_bio *bio, leap_status_t status)
{
	struct direct_bio *d = bio->arg;

	d->done = 1;
	d->status = status;
}

/* What the controller has checked, the relay checks again in its own copy. */
static void test_ranges_are_checked_again(void **state)
{
	struct leap_dsm_range r[2];
	struct leap_piece piece = { .addr = r, .len_bytes = sizeof(r) };
	struct world *w = *state;
	struct direct_bio d = { 0 };
	struct leap_chan *chan;
	struct leap_bio *bio;

	start(w, 1);
	fill_far(w, 0x33);
	assert_int_equal(leap_chan_open(w->stack, w->pg, 1, &chan), 0);
	bio = leap_bio_get(chan);
	bio->op = LEAP_BIO_RANGES;
	bio->pieces = &piece;
	bio->nr_pieces = 1;
	bio->done = bio_done;
	bio->arg = &d;
	r[0] = range(0, 1);
	r[1] = range(BLOCKS, 1);
	leap_bio_submit(chan, bio);
	while (!d.done)
		leap_pollgroup_wait(w->pg, 10000000);
	assert_int_equal(d.status, LEAP_SC_LBA_RANGE | DNR);
	check_far(w, START, 0x33);
	check_far(w, START + BLOCKS, 0x33);
	leap_bio_put(chan, bio);
	assert_int_equal(leap_chan_close(chan), 0);
}

static void test_split(void **state)
{
	struct leap_relay_info info = { sizeof(info) };
	struct world *w = *state;
	struct test_rand rnd = { 5 };
	struct leap_piece pieces[300];
	struct leap_req req = { .pieces = pieces };
	uint32_t i, at = 0, n;

	far_mdts = 32768;
	start(w, 1);
	for (i = 0; i < 1 << 20; i++)
		w->buf[i] = (uint8_t)test_rand_next(&rnd);
	/* Uneven pieces, empty ones among them. */
	for (i = 0; at < 1 << 20; i++, at += n) {
		n = i == 299 ? (1u << 20) - at : test_rand_below(&rnd, 7000);
		if (n > (1u << 20) - at)
			n = (1u << 20) - at;
		pieces[i] = (struct leap_piece){ .addr = w->buf + at,
			.len_bytes = n };
	}
	req.nr_pieces = i;
	req.sqe.opc = LEAP_NVM_WRITE;
	req.sqe.nsid = leap_to_le32(1);
	req.sqe.cdw10 = leap_to_le32(3);
	req.sqe.cdw12 = leap_to_le32(2047);
	assert_int_equal(leap_host_sync(w->host, w->pg, 1, &req), 0);
	assert_int_equal(leap_req_status(&req), 0);
	for (i = 0; i < 2048; i += 64)
		assert_int_equal(cmd(w, w->direct, LEAP_NVM_READ, START + 3 +
				     i, 64, w->back + i * BLOCK, 64 * BLOCK),
				 0);
	assert_memory_equal(w->back, w->buf, 1 << 20);
	memset(w->back, 0, 1 << 20);
	for (i = 0; i < req.nr_pieces; i++)
		pieces[i].addr = w->back + ((uint8_t *)pieces[i].addr - w->buf);
	req.sqe.opc = LEAP_NVM_READ;
	assert_int_equal(leap_host_sync(w->host, w->pg, 1, &req), 0);
	assert_int_equal(leap_req_status(&req), 0);
	assert_memory_equal(w->back, w->buf, 1 << 20);
	assert_int_equal(leap_relay_info(w->stack, &info), 0);
	assert_int_equal(info.split, 2);
}

static void test_answers_pass(void **state)
{
	struct world *w = *state;

	far_stack = "error[op=read,block=1005,blocks=1,status=2/81,dnr=on] -> "
		    "memory:16M";
	start(w, 1);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_READ, 4, 1, w->buf, BLOCK),
			 0);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_READ, 5, 1, w->buf, BLOCK),
			 LEAP_SC_UNRECOVERED_READ | DNR);
	/* The far namespace goes. */
	assert_int_equal(leap_ns_remove(w->far_ss, 1, rx_set_err, w), 0);
	rx_wait_flag(w);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_READ, 4, 1, w->buf, BLOCK),
			 LEAP_SC_INVALID_NS | DNR);
}

static void test_open_fails(void **state)
{
	struct leap_bdev *bdev;
	struct world *w = *state;

	start(w, 1);
	assert_int_equal(open_relay(w, 9, 0, 0), -ENOENT);
	assert_last_error("namespace 9");
	assert_null(w->bdev);
	assert_int_equal(open_relay(w, 1, FAR_BLOCKS - 1, 2), -EINVAL);
	assert_last_error("relay: ");
	assert_int_equal(open_relay(w, 1, FAR_BLOCKS, 0), -EINVAL);
	assert_int_equal(open_relay(w, 1, UINT64_MAX, 2), -EINVAL);
	assert_int_equal(leap_bdev_open(w->pg, "relay", &bdev), -EINVAL);
	assert_int_equal(leap_bdev_open(w->pg, "relay:nonsense", &bdev),
			 -EINVAL);
	assert_true(leap_bdev_open(w->pg, "relay:\"tcp://127.0.0.1:1/"
				   FAR_NQN "\"", &bdev) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		both(test_window),
		both(test_other_commands),
		both(test_ranges_are_rewritten),
		l(test_ranges_are_checked_again),
		both(test_split),
		both(test_answers_pass),
		both(test_open_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
