/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * src/block/bdev.c: what a layer may count on, with layers made for the test.
 */
#include "config.h"

#include "block-fixture.h"
#include "block/bdev.h"

/* A leaf of 64 blocks that says what it was given and ends it when told. */
static struct {
	uint32_t caps;
	uint32_t block_bytes;
	int hold;
	leap_status_t status;
	int opens, closes, chan_opens, chan_closes;
	int nr;			/* bios submitted */
	struct leap_bio *last;
	struct { uint8_t op, flags; uint32_t nr_blocks; uint64_t block; }
		seen[8192];
	unsigned char bytes[64 * 4096];
} probe;

static int probe_open(struct leap_bdev *bdev)
{
	const char *fail;

	leap_bdev_opt_str(bdev, "fail", NULL, &fail);
	if (fail)
		return -EXDEV;
	probe.opens++;
	leap_bdev_set(bdev, probe.block_bytes ? probe.block_bytes : 512,
		      UINT64_C(1) << 20, probe.caps);
	return 0;
}

static void probe_close(struct leap_bdev *bdev)
{
	probe.closes++;
}

static int probe_chan_open(struct leap_chan *chan)
{
	probe.chan_opens++;
	return 0;
}

static void probe_chan_close(struct leap_chan *chan)
{
	probe.chan_closes++;
}

static void probe_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	unsigned int i, j;

	probe.seen[probe.nr].op = bio->op;
	probe.seen[probe.nr].flags = bio->flags;
	probe.seen[probe.nr].block = bio->block;
	probe.seen[probe.nr++].nr_blocks = bio->nr_blocks;
	probe.last = bio;
	for (i = 0; bio->op == LEAP_BIO_WRITE && i < bio->nr_pieces; i++)
		for (j = 0; j < bio->pieces[i].len_bytes; j += 512)
			probe.bytes[0] |=
				((unsigned char *)bio->pieces[i].addr)[j];
	if (!probe.hold)
		leap_bio_done(bio, probe.status);
}

static int probe_resize(struct leap_bdev *bdev, uint64_t bytes)
{
	leap_bdev_set(bdev, 512, bytes / 512, probe.caps);
	return 0;
}

static const struct leap_bdev_ops probe_ops = {
	.size = sizeof(probe_ops),
	.name = "probe",
	.bdev_bytes = 8,
	.open = probe_open,
	.close = probe_close,
	.chan_open = probe_chan_open,
	.chan_close = probe_chan_close,
	.submit = probe_submit,
	.resize = probe_resize,
};

/* Sends every bio to all children, twice; scratch must not overlap. */
struct fan_bio {
	int left;
	leap_status_t status;
	unsigned char fill[100];
};

static void fan_done(struct leap_bio *child, leap_status_t status)
{
	struct leap_bio *bio = child->arg;
	struct fan_bio *fb = leap_bio_priv(bio);
	int i;

	if (status)
		fb->status = status;
	for (i = 0; i < 100; i++)
		assert_int_equal(fb->fill[i], 0xcd);
	if (!--fb->left)
		leap_bio_done(bio, fb->status);
}

static void fan_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	struct fan_bio *fb = leap_bio_priv(bio);
	struct leap_bdev_info info = { sizeof(info) };
	uint32_t i, n;

	leap_bdev_info(leap_chan_bdev(chan), &info);
	memset(fb->fill, 0xcd, sizeof(fb->fill));
	fb->left = 2 * (int)info.nr_children;
	fb->status = 0;
	for (i = 0; i < info.nr_children; i++)
		for (n = 0; n < 2; n++)
			leap_bio_submit(leap_chan_child(chan, i),
					leap_bio_child(bio, i, n, fan_done));
}

static const struct leap_bdev_ops fan_ops = {
	.size = sizeof(fan_ops),
	.name = "fan",
	.nr_children_min = 1,
	.nr_children_max = 4,
	.bio_bytes = sizeof(struct fan_bio),
	.bio_children = 2,
	.submit = fan_submit,
};

static const struct leap_bdev_ops mute_ops = {
	.size = sizeof(mute_ops), .name = "mute",
};

static const struct leap_bdev_ops *const own[] = {
	&probe_ops, &fan_ops, &mute_ops, NULL
};

static void open_probe(struct blk *b, const char *stack, uint32_t caps)
{
	memset(&probe, 0, sizeof(probe));
	probe.caps = caps;
	blk_open_with(b, LEAP_WORLD_EPOLL, stack, own);
}

static void bad_bios_never_reach_a_layer(void **state)
{
	unsigned char buf[1024];
	struct leap_piece piece = { .addr = buf, .len_bytes = 1024 };
	struct leap_piece far = { .len_bytes = 512,
				  .reach = LEAP_REACH_ONE_SIDED };
	static const struct {
		int op;
		uint8_t flags;
		uint64_t block;
		uint32_t nr;
		int pieces;	/* 1024 bytes if any */
		leap_status_t status;
	} bad[] = {
		{ LEAP_BIO_READ, 0, 1 << 20, 2, 1, LEAP_SC_LBA_RANGE },
		{ LEAP_BIO_READ, 0, (1 << 20) - 1, 2, 1, LEAP_SC_LBA_RANGE },
		{ LEAP_BIO_READ, 0, UINT64_MAX, 2, 1, LEAP_SC_LBA_RANGE },
		{ LEAP_BIO_WRITE, 0, UINT64_MAX - 1, 2, 1, LEAP_SC_LBA_RANGE },
		{ LEAP_BIO_READ, 0, 0, UINT32_MAX, 1, LEAP_SC_LBA_RANGE },
		{ LEAP_BIO_READ, 0, 0, 0, 0, LEAP_SC_INVALID_FIELD },
		{ LEAP_BIO_READ, 0, 0, 1, 1, LEAP_SC_SGL_DATA_LEN },
		{ LEAP_BIO_READ, 0, 0, 3, 1, LEAP_SC_SGL_DATA_LEN },
		{ LEAP_BIO_WRITE, 0, 0, 2, 0, LEAP_SC_SGL_DATA_LEN },
		{ LEAP_BIO_WRITE, 4, 0, 2, 1, LEAP_SC_INVALID_FIELD },
		{ LEAP_BIO_DISCARD, 0, 0, 2, 1, LEAP_SC_INVALID_FIELD },
		{ LEAP_BIO_DISCARD, 0, 1 << 20, 1, 0, LEAP_SC_LBA_RANGE },
		{ LEAP_BIO_FLUSH, 0, 0, 1, 0, LEAP_SC_INVALID_FIELD },
		{ LEAP_BIO_RANGES, 0, 0, 2, 1, LEAP_SC_INVALID_FIELD },
		{ LEAP_BIO_RANGES, 0, 0, 0, 0, LEAP_SC_INVALID_FIELD },
		{ LEAP_BIO_VERIFY, 0, 0, 2, 1, LEAP_SC_INVALID_FIELD },
		{ LEAP_BIO_VERIFY, 0, (1 << 20) - 1, 2, 0, LEAP_SC_LBA_RANGE },
		{ LEAP_BIO_VERIFY, 0, UINT64_MAX, 2, 0, LEAP_SC_LBA_RANGE },
		/* Without the command that says its format. */
		{ LEAP_BIO_COPY, 0, 0, 2, 1, LEAP_SC_INVALID_FIELD },
		{ 255, 0, 0, 2, 1, LEAP_SC_INVALID_OPCODE },
	};
	struct blk b;
	size_t i;

	open_probe(&b, "probe", ~0u & ~(LEAP_BDEV_READONLY | LEAP_BDEV_ZONED |
					LEAP_BDEV_REMOTE_PIECES));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(blk_run(&b, bad[i].op, bad[i].flags,
				 bad[i].block, bad[i].nr, &piece,
				 (uint16_t)bad[i].pieces),
				 bad[i].status | LEAP_STATUS_DNR);
	assert_int_equal(LEAP_STATUS_CODE(blk_run(&b, LEAP_BIO_READ, 0, 0, 1,
			 &far, 1)), LEAP_SC_INVALID_FIELD);
	assert_int_equal(probe.nr, 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, (1 << 20) - 2, 2, buf),
			 0);
	assert_int_equal(probe.nr, 1);
	blk_close(&b);

	open_probe(&b, "probe", LEAP_BDEV_REMOTE_PIECES);
	assert_int_equal(blk_run(&b, LEAP_BIO_READ, 0, 0, 1, &far, 1), 0);
	blk_close(&b);
}

static void missing_capabilities_are_stood_in_for(void **state)
{
	unsigned char buf[512] = { 0 };
	struct blk b;

	/* No cache: nothing to flush, every write durable. */
	open_probe(&b, "probe", 0);
	assert_int_equal(blk_run(&b, LEAP_BIO_FLUSH, 0, 0, 0, NULL, 0), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_DISCARD, 0, 0, 1, NULL), 0);
	assert_int_equal(probe.nr, 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, LEAP_BIO_FUA, 0, 1, buf),
			 0);
	assert_int_equal(probe.nr, 1);
	assert_int_equal(probe.seen[0].flags, 0);
	assert_int_equal(LEAP_STATUS_CODE(blk_io(&b, LEAP_BIO_COMPARE, 0, 0, 1,
			 buf)), LEAP_SC_INVALID_OPCODE);
	blk_close(&b);

	/* A cache without FUA: write, then flush, and both must be well. */
	open_probe(&b, "probe", LEAP_BDEV_FLUSH);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, LEAP_BIO_FUA, 7, 1, buf),
			 0);
	assert_int_equal(probe.nr, 2);
	assert_int_equal(probe.seen[0].op, LEAP_BIO_WRITE);
	assert_int_equal(probe.seen[0].block, 7);
	assert_int_equal(probe.seen[1].op, LEAP_BIO_FLUSH);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, LEAP_BIO_FUA, 7, 1, buf),
			 0);
	assert_int_equal(probe.nr, 3);
	probe.status = LEAP_SC_WRITE_FAULT;
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, LEAP_BIO_FUA, 7, 1, buf),
			 LEAP_SC_WRITE_FAULT);
	assert_int_equal(probe.nr, 4);
	blk_close(&b);

	open_probe(&b, "probe", LEAP_BDEV_FLUSH | LEAP_BDEV_FUA);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, LEAP_BIO_FUA, 7, 1, buf),
			 0);
	assert_int_equal(probe.nr, 1);
	assert_int_equal(probe.seen[0].flags, LEAP_BIO_FUA);
	blk_close(&b);
}

static void fua_ends_after_its_flush(void **state)
{
	unsigned char buf[512] = { 0 };
	struct leap_piece piece = { .addr = buf, .len_bytes = 512 };
	struct blk_wait wait;
	struct leap_bio *bio;
	struct blk b;

	open_probe(&b, "probe", LEAP_BDEV_FLUSH);
	probe.hold = 1;
	bio = blk_bio(&b, LEAP_BIO_WRITE, 3, 1, &piece, 1, &wait);
	bio->flags = LEAP_BIO_FUA;
	leap_bio_submit(b.chan, bio);
	leap_bio_done(probe.last, 0);
	assert_int_equal(probe.nr, 2);
	assert_int_equal(wait.nr_done, 0);
	leap_bio_done(probe.last, LEAP_SC_WRITE_FAULT);
	assert_int_equal(wait.nr_done, 1);
	assert_int_equal(wait.status, LEAP_SC_WRITE_FAULT);
	/* The submitter gets its bio back as it was. */
	assert_int_equal(bio->op, LEAP_BIO_WRITE);
	assert_int_equal(bio->flags, LEAP_BIO_FUA);
	assert_int_equal(bio->block, 3);
	assert_int_equal(bio->nr_blocks, 1);
	assert_ptr_equal(bio->pieces, &piece);
	leap_bio_put(b.chan, bio);
	blk_close(&b);
}

static void zeroes_are_written_in_parts(void **state)
{
	uint64_t next = 5;
	struct blk b;
	int i;

	open_probe(&b, "probe", LEAP_BDEV_FLUSH);
	assert_int_equal(blk_run(&b, LEAP_BIO_WRITE_ZEROES, LEAP_BIO_FUA, 5,
				 1000000, NULL, 0), 0);
	assert_int_equal(probe.nr, 1000000 / 128 + 2);
	for (i = 0; i < probe.nr - 1; i++) {
		assert_int_equal(probe.seen[i].op, LEAP_BIO_WRITE);
		assert_int_equal(probe.seen[i].block, next);
		next += probe.seen[i].nr_blocks;
	}
	assert_int_equal(next, 1000005);
	assert_int_equal(probe.seen[i].op, LEAP_BIO_FLUSH);
	assert_int_equal(probe.bytes[0], 0);

	/* An error ends it. */
	probe.nr = 0;
	probe.status = LEAP_SC_CAPACITY_EXCEEDED;
	assert_int_equal(blk_run(&b, LEAP_BIO_WRITE_ZEROES, 0, 5, 1000, NULL,
				 0), LEAP_SC_CAPACITY_EXCEEDED);
	assert_int_equal(probe.nr, 1);
	blk_close(&b);
}

static void verify_is_read_in_parts(void **state)
{
	static const uint32_t nr[] = { 128, 128, 44 };
	uint64_t next = 5;
	struct blk b;
	int i;

	open_probe(&b, "probe", LEAP_BDEV_READONLY);
	assert_int_equal(blk_run(&b, LEAP_BIO_VERIFY, 0, 5, 300, NULL, 0), 0);
	assert_int_equal(probe.nr, 3);
	for (i = 0; i < 3; i++) {
		assert_int_equal(probe.seen[i].op, LEAP_BIO_READ);
		assert_int_equal(probe.seen[i].block, next);
		assert_int_equal(probe.seen[i].nr_blocks, nr[i]);
		next += nr[i];
	}
	probe.nr = 0;
	probe.status = LEAP_SC_UNRECOVERED_READ;
	assert_int_equal(blk_run(&b, LEAP_BIO_VERIFY, 0, 5, 300, NULL, 0),
			 LEAP_SC_UNRECOVERED_READ);
	assert_int_equal(probe.nr, 1);
	blk_close(&b);

	open_probe(&b, "probe", LEAP_BDEV_VERIFY);
	assert_int_equal(blk_run(&b, LEAP_BIO_VERIFY, 0, 5, 300, NULL, 0), 0);
	assert_int_equal(probe.nr, 1);
	assert_int_equal(probe.seen[0].op, LEAP_BIO_VERIFY);
	blk_close(&b);
}

static leap_status_t copy(struct blk *b, const struct leap_sqe *sqe,
			  uint64_t to, uint32_t nr, uint32_t bytes)
{
	static unsigned char entries[257 * 40];
	struct leap_piece piece = { .addr = entries, .len_bytes = bytes };
	struct blk_wait wait;
	struct leap_bio *bio = blk_bio(b, LEAP_BIO_COPY, to, nr, &piece, 1,
				       &wait);

	bio->sqe = sqe;
	leap_bio_submit(b->chan, bio);
	return LEAP_STATUS_CODE(blk_await(b, bio, &wait));
}

static void copies_are_checked(void **state)
{
	struct leap_sqe zero = { 0 }, one = { 0 }, two = { 0 };
	struct blk b;

	one.cdw12 = leap_to_le32(1u << LEAP_COPY_CDW12_DF_SHIFT);
	two.cdw12 = leap_to_le32(2u << LEAP_COPY_CDW12_DF_SHIFT);
	open_probe(&b, "probe", LEAP_BDEV_COPY);
	assert_int_equal(copy(&b, &zero, 7, 1, 32), 0);
	assert_int_equal(copy(&b, &one, 7, 1, 40), 0);
	assert_int_equal(copy(&b, &zero, 7, 1, 256 * 32), 0);
	assert_int_equal(probe.nr, 3);
	assert_int_equal(copy(&b, &two, 7, 1, 32), LEAP_SC_INVALID_FIELD);
	assert_int_equal(copy(&b, &zero, 7, 1, 40), LEAP_SC_INVALID_FIELD);
	assert_int_equal(copy(&b, &one, 7, 1, 257 * 40),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(copy(&b, &zero, 7, 0, 32), LEAP_SC_INVALID_FIELD);
	assert_int_equal(copy(&b, &zero, (1 << 20) - 3, 4, 32),
			 LEAP_SC_LBA_RANGE);
	assert_int_equal(copy(&b, &zero, UINT64_MAX, 4, 32),
			 LEAP_SC_LBA_RANGE);
	assert_int_equal(probe.nr, 3);
	blk_close(&b);
	open_probe(&b, "probe", LEAP_BDEV_COPY | LEAP_BDEV_READONLY);
	assert_int_equal(copy(&b, &zero, 7, 1, 32),
			 LEAP_SC_NS_WRITE_PROTECTED);
	blk_close(&b);
	open_probe(&b, "probe", 0);
	assert_int_equal(copy(&b, &zero, 7, 1, 32), LEAP_SC_INVALID_OPCODE);
	assert_int_equal(probe.nr, 0);
	blk_close(&b);
}

static void scratch_is_each_layers_own(void **state)
{
	unsigned char buf[512] = { 0 };
	struct blk b;

	open_probe(&b, "fan(fan(probe, probe), probe, trace -> probe)", 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 9, 1, buf), 0);
	assert_int_equal(probe.nr, 2 * (2 * 2) + 2 + 2);
	assert_int_equal(probe.opens, 4);
	assert_int_equal(probe.chan_opens, 4);
	blk_close(&b);
	assert_int_equal(probe.closes, 4);
	assert_int_equal(probe.chan_closes, 4);
}

static void failed_opens_undo_everything(void **state)
{
	static const struct {
		const char *stack;
		int err;
		const char *text;
	} bad[] = {
		{ "fan(probe, nosuch)", -ENOENT, "column 12" },
		{ "fan(probe, probe[fail=now])", -EXDEV, "" },
		{ "fan(probe, probe[color=red])", -EINVAL, "column 18" },
		{ "fan(probe, mute)", -EINVAL, "mute has no submit" },
		{ "fan", -EINVAL, "takes 1 to 4" },
		{ "probe -> probe", -EINVAL, "takes 0 to 0" },
		{ "fan(probe,", -EINVAL, "column 11" },
	};
	struct leap_pollgroup *pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	struct leap_bdev *bdev = NULL;
	char text[1024] = "";
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		memset(&probe, 0, sizeof(probe));
		assert_int_equal(leap_bdev_open_with(pg, bad[i].stack, own,
						     &bdev), bad[i].err);
		assert_null(bdev);
		if (!strstr(leap_last_error(), bad[i].text))
			fail_msg("%s: %s", bad[i].stack, leap_last_error());
		assert_int_equal(probe.opens, probe.closes);
	}
	/* Before any was opened. */
	memset(&probe, 0, sizeof(probe));
	leap_bdev_open_with(pg, "fan(probe, nosuch)", own, &bdev);
	assert_int_equal(probe.opens, 0);
	/* 2^12 bios for one. */
	for (i = 0; i < 12; i++)
		strcat(text, "fan -> ");
	strcat(text, "probe");
	assert_int_equal(leap_bdev_open_with(pg, text, own, &bdev), -EINVAL);
	assert_non_null(strstr(leap_last_error(), "exceed"));
	assert_int_equal(probe.opens, probe.closes);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

static void use_keeps_it_open(void **state)
{
	struct leap__bdev_user user = { NULL };
	struct leap_bio *bio[8];
	struct blk b;
	int i;

	open_probe(&b, "trace -> probe", 0);
	assert_int_equal(leap_bdev_close(b.bdev), -EBUSY);
	assert_int_equal(leap_bdev_close(leap_bdev_child(b.bdev, 0)), -EINVAL);
	assert_int_equal(leap_pollgroup_destroy(b.pg), -EBUSY);
	for (i = 0; i < 8; i++)
		assert_non_null(bio[i] = leap_bio_get(b.chan));
	assert_null(leap_bio_get(b.chan));
	assert_int_equal(leap_chan_close(b.chan), -EBUSY);
	for (i = 0; i < 8; i++)
		leap_bio_put(b.chan, bio[i]);
	assert_int_equal(leap_chan_close(b.chan), 0);
	leap__bdev_use(b.bdev, &user);
	assert_int_equal(leap_bdev_close(b.bdev), -EBUSY);
	leap__bdev_unuse(b.bdev, &user);
	assert_int_equal(leap_chan_open(b.bdev, b.pg, 8, &b.chan), 0);
	assert_int_equal(leap_chan_open(b.bdev, b.pg, 0, &b.chan), -EINVAL);
	blk_close(&b);
}

static int nr_resized;

static void count_resized(struct leap__bdev_user *user)
{
	nr_resized++;
}

static void a_new_size_goes_up(void **state)
{
	struct leap__bdev_user user = { count_resized };
	struct blk b;

	open_probe(&b, "trace -> delay -> probe", 0);
	leap__bdev_use(b.bdev, &user);
	nr_resized = 0;
	assert_int_equal(leap_bdev_resize(b.bdev, 512 * 99), 0);
	assert_int_equal(nr_resized, 1);
	blk_refresh(&b);
	assert_int_equal(b.nr_blocks, 99);
	assert_int_equal(leap_bdev_resize(b.bdev, 512 * 99), 0);
	assert_int_equal(nr_resized, 1);
	assert_int_equal(leap_bdev_resize(b.bdev, 100), -EINVAL);
	assert_int_equal(leap_bdev_resize(b.bdev, 0), -EINVAL);
	leap__bdev_unuse(b.bdev, &user);
	blk_close(&b);

	open_probe(&b, "fan(probe, probe)", 0);
	assert_int_equal(leap_bdev_resize(b.bdev, 512), -EOPNOTSUPP);
	blk_close(&b);
}

static uint64_t hist_sum(const struct leap_bdev_op_stats *s)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < LEAP_HIST_BUCKETS; i++)
		sum += s->hist[i];
	return sum;
}

static void stats_count_all_channels(void **state)
{
	struct leap_bdev_stats st = { sizeof(st) };
	unsigned char buf[1024];
	struct leap_chan *first;
	struct blk b;
	int i;

	open_probe(&b, "probe", LEAP_BDEV_FLUSH | LEAP_BDEV_DISCARD);
	first = b.chan;
	for (i = 0; i < 5; i++)
		blk_io(&b, LEAP_BIO_READ, 0, 0, 2, buf);
	assert_int_equal(leap_chan_open(b.bdev, b.pg, 8, &b.chan), 0);
	for (i = 0; i < 3; i++)
		blk_io(&b, LEAP_BIO_WRITE, LEAP_BIO_FUA, 0, 1, buf);
	blk_io(&b, LEAP_BIO_DISCARD, 0, 0, 100, NULL);
	probe.status = LEAP_SC_INTERNAL;
	blk_io(&b, LEAP_BIO_READ, 0, 0, 1, buf);
	/* Of a closed channel too. */
	assert_int_equal(leap_chan_close(first), 0);
	assert_int_equal(leap_bdev_stats(b.bdev, &st), 0);
	assert_int_equal(st.op[LEAP_BDEV_STAT_READ].ops, 6);
	assert_int_equal(st.op[LEAP_BDEV_STAT_READ].bytes, 5 * 1024);
	assert_int_equal(st.op[LEAP_BDEV_STAT_READ].errors, 1);
	assert_int_equal(hist_sum(&st.op[LEAP_BDEV_STAT_READ]), 6);
	assert_int_equal(st.op[LEAP_BDEV_STAT_WRITE].ops, 3);
	assert_int_equal(st.op[LEAP_BDEV_STAT_FLUSH].ops, 0);
	assert_int_equal(st.op[LEAP_BDEV_STAT_OTHER].bytes, 51200);
	st.size = 0;
	assert_int_equal(leap_bdev_stats(b.bdev, &st), -EINVAL);
	blk_close(&b);
}

static void print_and_list(void **state)
{
	const char *const *names = leap_bdev_types();
	const struct leap_bdev_ops *const *ops = leap__bdev_builtin();
	const char *text = "trace[depth=16] -> delay -> memory:1M[block=4096]";
	struct leap_bdev_info info = { sizeof(info) };
	struct leap_bdev *below;
	char out[128];
	struct blk b;

	for (; *names && *ops; names++, ops++) {
		assert_string_equal(*names, (*ops)->name);
		assert_string_equal(leap_bdev_help(*names), (*ops)->help);
	}
	assert_null(leap_bdev_help("no-layer"));
	assert_null(*names);
	assert_null(*ops);
	blk_open(&b, text);
	assert_int_equal(leap_bdev_print(b.bdev, out, sizeof(out)),
			 strlen(text));
	assert_string_equal(out, text);
	below = leap_bdev_child(leap_bdev_child(b.bdev, 0), 0);
	leap_bdev_print(below, out, sizeof(out));
	assert_string_equal(out, "memory:1M[block=4096]");
	assert_null(leap_bdev_child(below, 0));
	assert_int_equal(leap_bdev_info(below, &info), 0);
	assert_string_equal(info.name, "memory");
	assert_int_equal(info.nr_children, 0);
	blk_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_bios_never_reach_a_layer),
		cmocka_unit_test(missing_capabilities_are_stood_in_for),
		cmocka_unit_test(fua_ends_after_its_flush),
		cmocka_unit_test(zeroes_are_written_in_parts),
		cmocka_unit_test(verify_is_read_in_parts),
		cmocka_unit_test(copies_are_checked),
		cmocka_unit_test(scratch_is_each_layers_own),
		cmocka_unit_test(failed_opens_undo_everything),
		cmocka_unit_test(use_keeps_it_open),
		cmocka_unit_test(a_new_size_goes_up),
		cmocka_unit_test(stats_count_all_channels),
		cmocka_unit_test(print_and_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
