/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several virtual drives are windows of one namespace: whatever a hostile host
 * of one of them sends, no command reaches outside of its window. Every opcode
 * with every range that is right, wrong or absurd goes through a whole near
 * controller, and again straight into the relay as if no controller had
 * checked. A layer of the far end watches where commands go, and the blocks
 * outside the window are looked at after every case.
 */
#include "relay-fixture.h"

#include <stdio.h>

#include <leapio/plugin/bdev_ops.h>

#include "block/copy.h"

#define BLOCK		512u
#define NR_WINDOWS	3u
#define BLOCKS		512u	/* of each window */
#define FAR_BLOCKS	(BLOCKS * (NR_WINDOWS + 2))
#define MINE		1u	/* the window that commands are for */
#define START(i)	(BLOCKS * ((i) + 1))
#define CANARY		0xca

/* ---- the far end's watch ------------------------------------------------ */

static struct {
	uint64_t low, high;	/* commands have to stay within */
	uint32_t seen, strayed;
	int off;		/* the test itself is at work */
} watch;

static void check(uint64_t block, uint64_t nr)
{
	if (block < watch.low || nr > watch.high - watch.low ||
	    block > watch.high - nr)
		watch.strayed++;
}

static void watch_done(struct leap_bio *child, leap_status_t status)
{
	struct leap_bio *bio = child->arg;

	bio->result = child->result;
	leap_bio_done(bio, status);
}

static void watch_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	struct leap__copy_list list;
	uint32_t i, bad;

	if (!watch.off) {
		watch.seen++;
		if (bio->op != LEAP_BIO_FLUSH)
			check(bio->block, bio->nr_blocks);
		if (bio->op == LEAP_BIO_COPY) {
			leap__copy_list_read(bio->sqe, bio->pieces,
					     bio->nr_pieces, UINT32_MAX, &list,
					     &bad);
			for (i = 0; i < list.nr; i++)
				check(list.range[i].block,
				      list.range[i].nr_blocks);
		}
	}
	leap_bio_submit(leap_chan_child(chan, 0),
			leap_bio_child(bio, 0, 0, watch_done));
}

static const struct leap_bdev_ops watch_ops = {
	.size = sizeof(watch_ops),
	.name = "watch",
	.nr_children_min = 1,
	.nr_children_max = 1,
	.bio_children = 1,
	.submit = watch_submit,
};

static const struct leap_bdev_ops *const own[] = { &watch_ops, NULL };

/* ---- two targets -------------------------------------------------------- */

static uint8_t *list;		/* ranges */

static struct leap_bdev *open_window(struct world *w, uint32_t i)
{
	struct leap_relay_opts ro = LEAP_RELAY_OPTS_INIT;

	ro.url = "loop://far/" FAR_NQN;
	ro.target = w->far;
	ro.start_block = START(i);
	ro.nr_blocks = BLOCKS;
	assert_int_equal(rx_open(w, &ro), 0);
	return w->bdev;
}

static int set_up(void **state)
{
	struct leap_bdev *bdev;
	struct world *w;
	uint32_t i;

	rx_set_up(state);
	w = *state;
	memset(&watch, 0, sizeof(watch));
	watch.off = 1;
	rx_start(w, 0);
	assert_int_equal(leap_bdev_open_with(w->pg,
		"watch -> memory:1310720", own, &bdev), 0);
	rx_add_ns(w, w->far_ss, bdev);
	serve_at(w->far, "loop://");
	serve_at(w->near, "loop://");
	for (i = 0; i < NR_WINDOWS; i++) {
		bdev = open_window(w, i);
		rx_add_ns(w, w->near_ss, bdev);
		if (i == MINE)
			assert_int_equal(leap_chan_open(bdev, w->pg, 1,
							&w->chan), 0);
	}
	w->host = rx_connect(w, w->near, "loop://near/" NEAR_NQN, 1);
	w->direct = rx_connect(w, w->far, "loop://far/" FAR_NQN, 1);
	w->buf = realloc(w->buf, FAR_BLOCKS * BLOCK);
	assert_non_null(w->buf);
	list = calloc(256, 40);
	assert_non_null(list);
	watch.low = START(MINE);
	watch.high = START(MINE) + BLOCKS;
	return 0;
}

static int tear_down(void **state)
{
	free(list);
	return rx_tear_down(state);
}

/* ---- canaries ----------------------------------------------------------- */

static leap_status_t run(struct world *w, struct leap_host *host,
			 const struct leap_sqe *sqe, void *buf, uint32_t bytes)
{
	return LEAP_STATUS_CODE(rx_run(w, host, sqe, buf, bytes));
}

static struct leap_sqe rw(uint8_t opc, uint32_t nsid, uint64_t lba,
			  uint32_t nlb)
{
	struct leap_sqe sqe = { 0 };

	sqe.opc = opc;
	sqe.nsid = leap_to_le32(nsid);
	sqe.cdw10 = leap_to_le32((uint32_t)lba);
	sqe.cdw11 = leap_to_le32((uint32_t)(lba >> 32));
	sqe.cdw12 = leap_to_le32(nlb - 1);
	return sqe;
}

static void fill_far(struct world *w)
{
	struct leap_sqe sqe = rw(LEAP_NVM_WRITE, 1, 0, FAR_BLOCKS / 2);

	watch.off = 1;
	memset(w->buf, CANARY, FAR_BLOCKS * BLOCK);
	assert_int_equal(run(w, w->direct, &sqe, w->buf,
			     FAR_BLOCKS / 2 * BLOCK), 0);
	sqe = rw(LEAP_NVM_WRITE, 1, FAR_BLOCKS / 2, FAR_BLOCKS / 2);
	assert_int_equal(run(w, w->direct, &sqe, w->buf,
			     FAR_BLOCKS / 2 * BLOCK), 0);
	watch.off = 0;
	watch.seen = 0;
}

/* All that is not in the window. */
static void check_far(struct world *w, const char *what)
{
	uint32_t half, i, at;
	struct leap_sqe sqe;

	watch.off = 1;
	for (half = 0; half < 2; half++) {
		sqe = rw(LEAP_NVM_READ, 1, half * FAR_BLOCKS / 2,
			 FAR_BLOCKS / 2);
		assert_int_equal(run(w, w->direct, &sqe, w->buf,
				     FAR_BLOCKS / 2 * BLOCK), 0);
		for (i = 0; i < FAR_BLOCKS / 2 * BLOCK; i++) {
			at = half * FAR_BLOCKS / 2 + i / BLOCK;
			if (w->buf[i] != CANARY &&
			    (at < START(MINE) || at >= START(MINE) + BLOCKS))
				fail_msg("%s: block %u is another's", what,
					 at);
		}
	}
	watch.off = 0;
	if (watch.strayed)
		fail_msg("%s: %u commands strayed", what, watch.strayed);
}

/* ---- the table ---------------------------------------------------------- */

#define WRAP	(0 - (uint64_t)START(MINE))

static const struct {
	uint64_t lba;
	uint32_t nlb;	/* as a count; lists may say more than 65536 */
	int in;
} ranges[] = {
	{ 0, 1, 1 }, { 0, BLOCKS, 1 }, { BLOCKS - 1, 1, 1 },
	{ BLOCKS / 2, 8, 1 }, { BLOCKS - 8, 8, 1 },
	/* Just out, on either side. */
	{ BLOCKS, 1, 0 }, { BLOCKS - 1, 2, 0 }, { 0, BLOCKS + 1, 0 },
	{ BLOCKS - 7, 8, 0 }, { UINT64_MAX, 1, 0 }, { UINT64_MAX, 2, 0 },
	{ UINT64_MAX - 7, 8, 0 }, { UINT64_MAX - 7, 16, 0 },
	/* The windows of the neighbours, the whole of the far namespace. */
	{ BLOCKS + 1, 8, 0 }, { 2 * BLOCKS - 1, 1, 0 }, { 3 * BLOCKS, 1, 0 },
	{ FAR_BLOCKS, 1, 0 }, { FAR_BLOCKS - START(MINE) - 1, 1, 0 },
	/* What becomes the first far blocks when START is added. */
	{ WRAP, 1, 0 }, { WRAP, BLOCKS, 0 }, { WRAP + 1, 8, 0 },
	{ WRAP - 1, 1, 0 }, { WRAP - 1, 2, 0 }, { WRAP + START(0), 1, 0 },
	{ 0 - (uint64_t)BLOCKS, BLOCKS, 0 }, { 0 - (uint64_t)8, 8, 0 },
	/* Far out, and lengths that wrap. */
	{ 1ull << 31, 1, 0 }, { 1ull << 32, 1, 0 }, { (1ull << 32) + 1, 8, 0 },
	{ 1ull << 54, 1, 0 }, { 1ull << 55, 1, 0 }, { 1ull << 63, 1, 0 },
	{ (1ull << 63) - 1, 2, 0 }, { 0, 65536, 0 }, { 1, 65536, 0 },
	{ BLOCKS - 1, 65536, 0 }, { BLOCKS, 65536, 0 },
	{ UINT64_MAX, 65536, 0 }, { UINT64_MAX - 65535, 65536, 0 },
	{ WRAP, 65536, 0 },
};

#define NR_RANGES (sizeof(ranges) / sizeof(ranges[0]))

static const struct {
	const char *name;
	uint8_t opc;
	int data;
} plain[] = {
	{ "write", LEAP_NVM_WRITE, 1 }, { "read", LEAP_NVM_READ, 1 },
	{ "compare", LEAP_NVM_COMPARE, 1 },
	{ "write zeroes", LEAP_NVM_WRITE_ZEROES, 0 },
	{ "verify", LEAP_NVM_VERIFY, 0 },
};

/* Whether it is in the window; one without blocks need not be sent. */
enum { OUT, SENT, EMPTY };

static void outcome(struct world *w, const char *what, size_t i, int in,
		    leap_status_t status)
{
	char text[120];

	snprintf(text, sizeof(text), "%s of %u at %llx", what, ranges[i].nlb,
		 (unsigned long long)ranges[i].lba);
	if (!in == (status == LEAP_SC_SUCCESS))
		fail_msg("%s: status %x", text, status);
	/* What is refused does not even get there. */
	if (!in && watch.seen)
		fail_msg("%s: %u commands at the far end", text, watch.seen);
	if (in == SENT && !watch.seen)
		fail_msg("%s: none at the far end", text);
	check_far(w, text);
}

static void test_plain(void **state)
{
	struct world *w = *state;
	uint8_t *payload = malloc(65536 * BLOCK);
	leap_status_t status;
	struct leap_sqe sqe;
	uint32_t bytes;
	size_t op, i;

	for (op = 0; op < sizeof(plain) / sizeof(*plain); op++) {
		for (i = 0; i < NR_RANGES; i++) {
			fill_far(w);
			memset(payload, plain[op].opc == LEAP_NVM_COMPARE ?
			       CANARY : 0x11, 65536 * BLOCK);
			bytes = plain[op].data ? ranges[i].nlb * BLOCK : 0;
			/* More than MDTS is refused for that. */
			if (bytes > 1 << 19)
				bytes = 1 << 19;
			sqe = rw(plain[op].opc, MINE + 1, ranges[i].lba,
				 ranges[i].nlb);
			status = run(w, w->host, &sqe, payload, bytes);
			outcome(w, plain[op].name, i, ranges[i].in, status);
		}
	}
	free(payload);
}

static void dsm_entry(struct world *w, uint32_t i, uint64_t lba, uint32_t nlb)
{
	struct leap_dsm_range r = { 0 };

	r.slba = leap_to_le64(lba);
	r.nlb = leap_to_le32(nlb);
	memcpy(list + i * sizeof(r), &r, sizeof(r));
}

static void copy_entry(struct world *w, int format, uint32_t i, uint64_t lba,
		       uint32_t nlb)
{
	struct leap_copy_range0 r = { 0 };

	r.slba = leap_to_le64(lba);
	r.nlb = leap_to_le16((uint16_t)(nlb - 1));
	/* Namespaces are no business of formats 0 and 1. */
	r.snsid = leap_to_le32(1);
	r.sopt = leap_to_le16(0xffff);
	memcpy(list + i * (format ? 40u : 32u), &r, sizeof(r));
}

/* The range of the table among good ones, at each place of a list. */
static void test_dsm(void **state)
{
	static const uint32_t more[] = { 0, BLOCKS, UINT32_MAX };
	struct world *w = *state;
	struct leap_sqe sqe = { 0 };
	uint32_t nr, place, i, k, nlb;
	leap_status_t status;

	sqe.opc = LEAP_NVM_DSM;
	sqe.nsid = leap_to_le32(MINE + 1);
	sqe.cdw11 = leap_to_le32(LEAP_DSM_CDW11_AD);
	for (i = 0; i < NR_RANGES * 4; i++) {
		/* Counts of 32 bits as well. */
		nlb = i % 4 == 3 ? ranges[i / 4].nlb : more[i % 4];
		for (nr = 1; nr <= 256; nr *= 16) {
			place = i % nr;
			fill_far(w);
			for (k = 0; k < nr; k++)
				dsm_entry(w, k, k, 1);
			dsm_entry(w, place, ranges[i / 4].lba, nlb);
			sqe.cdw10 = leap_to_le32(nr - 1);
			status = run(w, w->host, &sqe, list, nr * 16);
			outcome(w, "dsm", i / 4, nlb > BLOCKS ||
				ranges[i / 4].lba > BLOCKS - nlb ? OUT :
				nlb ? SENT : EMPTY, status);
		}
	}
}

static void test_copy(void **state)
{
	struct world *w = *state;
	uint32_t nr, place, k, format;
	leap_status_t status;
	struct leap_sqe sqe;
	size_t i;

	for (i = 0; i < NR_RANGES * 2; i++) {
		format = i & 1;
		for (nr = 1; nr <= 64; nr *= 8) {
			/* From the range of the table. */
			place = (uint32_t)i % nr;
			fill_far(w);
			for (k = 0; k < nr; k++)
				copy_entry(w, (int)format, k, k, 1);
			copy_entry(w, (int)format, place, ranges[i / 2].lba,
				   ranges[i / 2].nlb);
			sqe = rw(LEAP_NVM_COPY, MINE + 1, 0, 1);
			sqe.cdw12 = leap_to_le32((nr - 1) | format << 8);
			status = run(w, w->host, &sqe, list,
				     nr * (format ? 40 : 32));
			outcome(w, "copy from", i / 2, ranges[i / 2].in &&
				ranges[i / 2].nlb + nr - 1 <= BLOCKS, status);
		}
		/* To it. */
		if (ranges[i / 2].nlb > BLOCKS)
			continue;
		fill_far(w);
		copy_entry(w, (int)format, 0, 0, ranges[i / 2].nlb);
		sqe = rw(LEAP_NVM_COPY, MINE + 1, ranges[i / 2].lba, 1);
		sqe.cdw12 = leap_to_le32(format << 8);
		status = run(w, w->host, &sqe, list, format ? 40 : 32);
		outcome(w, "copy to", i / 2, ranges[i / 2].in, status);
	}
}

/* Opcodes of every kind, with anything at all in their fields. */
static void test_every_opcode(void **state)
{
	struct world *w = *state;
	struct leap_sqe sqe;
	uint8_t *payload = malloc(BLOCK * 8);
	uint32_t opc, flags;
	size_t i;

	for (opc = 0; opc < 256; opc++) {
		/* Its direction and room are the transport's business. */
		if (opc == LEAP_NVM_FABRICS)
			continue;
		fill_far(w);
		for (i = 0; i < NR_RANGES; i++) {
			for (flags = 0; flags < 4; flags++) {
				sqe = rw((uint8_t)opc, MINE + 1, ranges[i].lba,
					 8);
				sqe.flags = (uint8_t)flags;
				sqe.cdw13 = leap_to_le32(0xffffffff);
				memset(payload, 0x11, BLOCK * 8);
				run(w, w->host, &sqe, payload, BLOCK * 8);
			}
		}
		check_far(w, "any opcode");
	}
	free(payload);
}

/* ---- past the controller ------------------------------------------------ */

struct ended {
	int done;
	leap_status_t status;
};

static void bio_ended(struct leap_bio *bio, leap_status_t status)
{
	struct ended *e = bio->arg;

	e->done++;
	e->status = status;
}

static leap_status_t bio_run(struct world *w, uint8_t op, uint64_t block,
			     uint32_t nr, const struct leap_sqe *sqe,
			     void *payload, uint32_t bytes)
{
	struct leap_piece piece = { .addr = payload, .len_bytes = bytes };
	struct leap_bio *bio = leap_bio_get(w->chan);
	struct ended e = { 0 };

	bio->op = op;
	bio->block = block;
	bio->nr_blocks = nr;
	bio->sqe = sqe;
	bio->pieces = &piece;
	bio->nr_pieces = bytes ? 1 : 0;
	bio->done = bio_ended;
	bio->arg = &e;
	leap_bio_submit(w->chan, bio);
	while (!e.done)
		leap_pollgroup_wait(w->pg, 10000000);
	leap_bio_put(w->chan, bio);
	return LEAP_STATUS_CODE(e.status);
}

static void test_past_the_controller(void **state)
{
	static const uint8_t ops[] = { LEAP_BIO_READ, LEAP_BIO_WRITE,
		LEAP_BIO_WRITE_ZEROES, LEAP_BIO_DISCARD, LEAP_BIO_COMPARE,
		LEAP_BIO_VERIFY };
	struct world *w = *state;
	uint8_t *payload = malloc(65536 * BLOCK);
	leap_status_t status;
	struct leap_sqe sqe;
	uint32_t bytes, sum;
	size_t op, i;

	for (op = 0; op < sizeof(ops); op++) {
		for (i = 0; i < NR_RANGES; i++) {
			fill_far(w);
			memset(payload, ops[op] == LEAP_BIO_COMPARE ? CANARY :
			       0x11, 65536 * BLOCK);
			bytes = ranges[i].nlb * BLOCK;
			if (ops[op] != LEAP_BIO_READ &&
			    ops[op] != LEAP_BIO_WRITE &&
			    ops[op] != LEAP_BIO_COMPARE)
				bytes = 0;
			status = bio_run(w, ops[op], ranges[i].lba,
					 ranges[i].nlb, NULL, payload, bytes);
			outcome(w, "bio", i, ranges[i].in, status);
		}
	}
	for (i = 0; i < NR_RANGES; i++) {
		fill_far(w);
		dsm_entry(w, 0, 0, 1);
		dsm_entry(w, 1, ranges[i].lba, ranges[i].nlb);
		status = bio_run(w, LEAP_BIO_RANGES, 0, 0, NULL, list, 32);
		outcome(w, "bio of ranges", i, ranges[i].in, status);
		/* The list may say another sum than was checked. */
		for (sum = 1; sum <= BLOCKS; sum += BLOCKS - 1) {
			fill_far(w);
			sqe = rw(LEAP_NVM_COPY, 1, 0, 1);
			copy_entry(w, 0, 0, ranges[i].lba, ranges[i].nlb);
			status = bio_run(w, LEAP_BIO_COPY, BLOCKS - sum, sum,
					 &sqe, list, 32);
			outcome(w, "bio of copy", i, ranges[i].in &&
				ranges[i].nlb == sum, status);
		}
	}
	free(payload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dsm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_copy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_every_opcode, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_past_the_controller,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
