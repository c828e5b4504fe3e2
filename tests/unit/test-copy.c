/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copy: how its list is read, by stacks that copy themselves and through the
 * controller for one that cannot, against a plain array; failures half way.
 */
#include "ctrl-fixture.h"

#include <leapio/plugin/bdev_ops.h>

#include "block/copy.h"
#include "rand.h"

#define DNR	LEAP_STATUS_DNR

static struct leap_sqe copy_sqe(uint32_t nsid, uint32_t format, uint64_t to,
				uint32_t nr)
{
	struct leap_sqe sqe = { 0 };

	sqe.opc = LEAP_NVM_COPY;
	sqe.nsid = leap_to_le32(nsid);
	sqe.cdw10 = leap_to_le32((uint32_t)to);
	sqe.cdw11 = leap_to_le32((uint32_t)(to >> 32));
	sqe.cdw12 = leap_to_le32((nr - 1) | format << 8);
	return sqe;
}

static void entry(uint8_t *list, uint32_t format, uint32_t i, uint64_t slba,
		  uint32_t nr)
{
	struct leap_copy_range0 r = { 0 };
	uint32_t bytes = format ? 40 : 32;

	memset(list + i * bytes, 0xa5, bytes);
	r.slba = leap_to_le64(slba);
	r.nlb = leap_to_le16((uint16_t)(nr - 1));
	memcpy(list + i * bytes, &r, 18);
}

/* Cut anywhere, empty pieces among them. */
static void test_list_in_pieces(void **state)
{
	struct test_rand rnd = { 3 };
	struct leap_piece pieces[64];
	struct leap__copy_list list;
	struct leap_sqe sqe;
	uint8_t raw[256 * 40];
	uint32_t round, bad, i, n, at, bytes, nr, format;

	(void)state;
	for (round = 0; round < 2000; round++) {
		format = round & 1;
		nr = 1 + test_rand_below(&rnd, 256);
		bytes = nr * (format ? 40 : 32);
		for (i = 0; i < nr; i++)
			entry(raw, format, i, 1000 * i + 7, i % 65536 + 1);
		for (i = at = 0; i < 64; i++, at += n) {
			n = i == 63 ? bytes - at : test_rand_below(&rnd, 700);
			if (n > bytes - at)
				n = bytes - at;
			pieces[i] = (struct leap_piece){ .addr = raw + at,
				.len_bytes = n };
		}
		sqe = copy_sqe(1, format, 0, nr);
		assert_int_equal(leap__copy_list_read(&sqe, pieces, 64,
				 1 << 20, &list, &bad), 0);
		assert_int_equal(list.nr, nr);
		assert_int_equal(list.nr_blocks, nr * (nr + 1) / 2);
		for (i = 0; i < nr; i++) {
			assert_int_equal(list.range[i].block, 1000 * i + 7);
			assert_int_equal(list.range[i].nr_blocks, i + 1);
		}
		/* A list that is one byte short. */
		for (i = 63; !pieces[i].len_bytes; i--)
			;
		pieces[i].len_bytes--;
		assert_int_equal(leap__copy_list_read(&sqe, pieces, 64,
				 1 << 20, &list, &bad),
				 LEAP_SC_SGL_DATA_LEN | DNR);
	}
}

static void test_list_out_of_range(void **state)
{
	static const struct {
		uint64_t slba;
		uint32_t nr;
		int ok;
	} t[] = {
		{ 0, 1000, 1 }, { 999, 1, 1 }, { 0, 1001, 0 }, { 1000, 1, 0 },
		{ 999, 2, 0 }, { UINT64_MAX, 1, 0 }, { UINT64_MAX, 65536, 0 },
		{ 0 - 1000ull, 1000, 0 }, { 1ull << 63, 1, 0 },
		{ 1ull << 32, 1, 0 }, { 0, 65536, 0 },
	};
	struct leap__copy_list list;
	struct leap_sqe sqe = copy_sqe(1, 0, 0, 2);
	uint8_t raw[64];
	struct leap_piece piece = { .addr = raw, .len_bytes = 64 };
	uint32_t bad;
	size_t i;

	(void)state;
	entry(raw, 0, 0, 0, 1);
	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		entry(raw, 0, 1, t[i].slba, t[i].nr);
		assert_int_equal(leap__copy_list_read(&sqe, &piece, 1, 1000,
				 &list, &bad),
				 t[i].ok ? 0 : LEAP_SC_LBA_RANGE | DNR);
		if (!t[i].ok)
			assert_int_equal(bad, 1);
	}
}

/* Namespaces 1 and 2 of the fixture: memory that copies, and blocks of 4096
 * over blocks of 512, which the controller has to copy itself. */
static void model(struct fx *fx, struct leap_qp *io, uint32_t nsid,
		  uint32_t lba_bytes, uint64_t seed)
{
	const uint32_t lbas = 400;
	struct test_rand rnd = { seed };
	uint8_t *all = malloc((size_t)lbas * lba_bytes), list[8 * 40], *part;
	uint32_t round, i, k, nr, from[8], len[8], sum, to, format;
	struct leap_sqe sqe;

	part = malloc((size_t)lbas * lba_bytes);
	for (i = 0; i < lbas * lba_bytes; i++)
		all[i] = (uint8_t)test_rand_next(&rnd);
	for (i = 0; i < lbas; i += 4) {
		sqe = fx_rw(LEAP_NVM_WRITE, nsid, i, 4);
		assert_int_equal(fx_cmd(fx, io, &sqe, all + i * lba_bytes,
					4 * lba_bytes), 0);
	}
	for (round = 0; round < 100; round++) {
		format = round & 1;
		nr = 1 + test_rand_below(&rnd, 8);
		/* Sources from the first part, destination in the second. */
		for (k = sum = 0; k < nr; k++, sum += len[k - 1]) {
			len[k] = 1 + test_rand_below(&rnd, 20);
			from[k] = test_rand_below(&rnd, 200 - len[k] + 1);
			entry(list, format, k, from[k], len[k]);
			memcpy(part + sum * lba_bytes,
			       all + from[k] * lba_bytes, len[k] * lba_bytes);
		}
		to = 200 + test_rand_below(&rnd, 200 - sum + 1);
		memcpy(all + to * lba_bytes, part, sum * lba_bytes);
		sqe = copy_sqe(nsid, format, to, nr);
		assert_int_equal(fx_cmd(fx, io, &sqe, list,
					nr * (format ? 40 : 32)), 0);
		assert_int_equal(fx->result, 0);
	}
	for (i = 0; i < lbas; i += 4) {
		sqe = fx_rw(LEAP_NVM_READ, nsid, i, 4);
		assert_int_equal(fx_cmd(fx, io, &sqe, part, 4 * lba_bytes), 0);
		assert_memory_equal(part, all + i * lba_bytes, 4 * lba_bytes);
	}
	free(all);
	free(part);
}

static void test_copies(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1);

	model(fx, io, 1, 512, 11);
	model(fx, io, 2, 4096, 12);
	fx_close(fx, io);
}

/* What fails half way says how far it got, and leaves the rest alone. */
static void test_fails_half_way(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io;
	struct leap_sqe sqe;
	uint8_t list[4 * 32], buf[4096], back[4096];
	uint32_t i;

	/* LBA 30 of 4096 bytes is blocks 240 to 247. */
	fx_add_ns(fx, "error[op=read,block=240,blocks=8,status=2/81,dnr=on] "
		  "-> memory:1M", 4, 4096, 0);
	io = fx_io(fx, 1);
	memset(buf, 0x31, sizeof(buf));
	for (i = 10; i < 14; i++) {
		sqe = fx_rw(LEAP_NVM_WRITE, 4, i, 1);
		assert_int_equal(fx_cmd(fx, io, &sqe, buf, 4096), 0);
	}
	entry(list, 0, 0, 10, 2);
	entry(list, 0, 1, 12, 2);
	entry(list, 0, 2, 29, 2);
	entry(list, 0, 3, 10, 2);
	sqe = copy_sqe(4, 0, 100, 4);
	assert_int_equal(fx_cmd(fx, io, &sqe, list, sizeof(list)),
			 LEAP_SC_UNRECOVERED_READ);
	assert_int_equal(fx->result, 2);
	for (i = 100; i < 108; i++) {
		sqe = fx_rw(LEAP_NVM_READ, 4, i, 1);
		assert_int_equal(fx_cmd(fx, io, &sqe, back, 4096), 0);
		memset(buf, i < 104 ? 0x31 : 0, sizeof(buf));
		assert_memory_equal(back, buf, 4096);
	}
	/* The scratch buffer is free again. */
	sqe = copy_sqe(4, 0, 100, 1);
	assert_int_equal(fx_cmd(fx, io, &sqe, list, 32), 0);
	fx_close(fx, io);
}

/* Copies and compares take turns; a connection that ends leaves the line. */
static void test_taking_turns(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io, *other;
	static uint8_t list[32 * 32], buf[16 * 4096];
	struct fx_req copies[32], compares[32];
	struct leap_sqe sqe;
	uint32_t i;

	/* A stack that cannot compare or copy, and takes its time. */
	fx_add_ns(fx, "delay[read_us=200,write_us=200] -> memory:2M", 4, 4096,
		  0);
	io = fx_io(fx, 1);
	other = fx_io(fx, 2);
	memset(buf, 0x44, sizeof(buf));
	sqe = fx_rw(LEAP_NVM_WRITE, 4, 0, 16);
	assert_int_equal(fx_cmd(fx, io, &sqe, buf, sizeof(buf)), 0);
	for (i = 0; i < 32; i++)
		entry(list, 0, i, i % 16, 1);
	for (i = 0; i < 32; i++) {
		sqe = copy_sqe(4, 0, 32 + i * 8, 8);
		fx_submit(fx, i & 1 ? other : io, &copies[i], &sqe, list, 256);
		sqe = fx_rw(LEAP_NVM_COMPARE, 4, 0, 16);
		fx_submit(fx, io, &compares[i], &sqe, buf, sizeof(buf));
	}
	fx_wait(fx, &copies[0].done);
	fx_close(fx, other);
	for (i = 0; i < 32; i++) {
		fx_wait(fx, &compares[i].done);
		fx_wait(fx, &copies[i].done);
		assert_int_equal(compares[i].status, 0);
		if (!(i & 1))
			assert_int_equal(copies[i].status, 0);
		assert_int_equal(copies[i].done, 1);
	}
	for (i = 0; i < 32; i += 2) {
		sqe = fx_rw(LEAP_NVM_COMPARE, 4, 32 + i * 8, 8);
		assert_int_equal(fx_cmd(fx, io, &sqe, buf, 8 * 4096), 0);
	}
	fx_close(fx, io);
}

static void bio_ended(struct leap_bio *bio, leap_status_t status)
{
	*(leap_status_t *)bio->arg = status;
}

/* The list became another one after it was checked above. */
static void test_list_changed_meanwhile(void **state)
{
	struct leap_sqe sqe = copy_sqe(1, 0, 100, 2);
	leap_status_t status = 0xffff;
	uint8_t list[64];
	struct leap_piece piece = { .addr = list, .len_bytes = sizeof(list) };
	struct leap_pollgroup *pg;
	struct leap_bdev *bdev;
	struct leap_chan *chan;
	struct leap_bio *bio;

	(void)state;
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	assert_int_equal(leap_bdev_open(pg, "memory:1M", &bdev), 0);
	assert_int_equal(leap_chan_open(bdev, pg, 1, &chan), 0);
	bio = leap_bio_get(chan);
	bio->done = bio_ended;
	bio->arg = &status;
	bio->op = LEAP_BIO_COPY;
	bio->sqe = &sqe;
	bio->block = 2040;
	bio->nr_blocks = 8;
	bio->pieces = &piece;
	bio->nr_pieces = 1;
	/* 8 blocks were checked; now there are 9, past the end. */
	entry(list, 0, 0, 0, 4);
	entry(list, 0, 1, 0, 5);
	leap_bio_submit(chan, bio);
	assert_int_equal(status, LEAP_SC_INVALID_FIELD | DNR);
	entry(list, 0, 1, 0, 4);
	leap_bio_submit(chan, bio);
	assert_int_equal(status, 0);
	entry(list, 0, 1, 2045, 4);
	leap_bio_submit(chan, bio);
	assert_int_equal(status, LEAP_SC_LBA_RANGE | DNR);
	assert_int_equal(bio->result, 1);
	leap_bio_put(chan, bio);
	assert_int_equal(leap_chan_close(chan), 0);
	assert_int_equal(leap_bdev_close(bdev), 0);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_in_pieces),
		cmocka_unit_test(test_list_out_of_range),
		cmocka_unit_test(test_list_changed_meanwhile),
		cmocka_unit_test_setup_teardown(test_copies, fx_setup_live,
						fx_teardown),
		cmocka_unit_test_setup_teardown(test_fails_half_way,
						fx_setup_live, fx_teardown),
		cmocka_unit_test_setup_teardown(test_taking_turns,
						fx_setup_live, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
