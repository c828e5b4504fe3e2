/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The leaf over the kernel's pass-through, with a kernel of the test's: a drive
 * in memory that answers when it likes, resets and refuses. And the real one,
 * as far as a machine without such a drive has it.
 */
#include "config.h"

#include "block-fixture.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <leapio/relay.h>

#include "block/bdev.h"
#include "block/copy.h"
#include "block/relay/ng.h"

#define FAR_BLOCKS	4096u
#define START		100u
#define BLOCKS		2048u
#define TAGS		128u
#define DNR		LEAP_STATUS_DNR

/* ---- a kernel ------------------------------------------------------------ */

struct out {
	struct leap_sqe sqe;
	struct iovec *iov;
	uint32_t nr_iov, bytes;
	int busy;
};

static struct {
	struct leap_id_ctrl id;
	struct leap_id_ctrl_nvm nvm;
	struct leap_id_ns ns;
	uint8_t desc[32];
	uint32_t max_bytes, max_segments;
	int nsid, open_err, hold_err, read_only, opened, rings;
	uint8_t media[FAR_BLOCKS * 512];
	struct out out[TAGS];
	uint32_t fifo[TAGS], nr;
	uint32_t most;		/* out at once */
	uint32_t most_iov, most_bytes;
	int event_fd;
	int armed;
	int held;		/* atomic: answer nothing */
	int32_t fail;		/* the next command's answer */
	uint32_t nr_fail;
	uint32_t nr_sent;
	struct leap_sqe last;
	uint64_t size;		/* blocks of 512 bytes; 0 = nobody says */
	struct blk zoned;	/* chan: in the place of media */
	int32_t forget;		/* done, and then answered with this */
} k;

static int fake_open(const char *path, bool *read_only, void **dev)
{
	if (k.open_err)
		return k.open_err;
	assert_string_equal(path, "/dev/ng7n3");
	*read_only = k.read_only;
	*dev = &k;
	k.opened++;
	return 0;
}

static void fake_close(void *dev)
{
	k.opened--;
}

static int fake_hold(void *dev, const char *path)
{
	return k.hold_err;
}

static int fake_nsid(void *dev)
{
	return k.nsid;
}

static void fake_limits(const char *path, uint32_t *bytes, uint32_t *segments)
{
	if (k.max_bytes)
		*bytes = k.max_bytes;
	if (k.max_segments)
		*segments = k.max_segments;
}

static int fake_size(const char *path, uint64_t *blocks_512)
{
	*blocks_512 = k.size;
	return k.size ? 0 : -ENOENT;
}

#define ZONE	64u
#define ZONES	16u

static int zns_page(uint32_t cns, void *data)
{
	struct leap_id_ns_zns *ns = data;
	struct leap_id_ctrl_zns *ctrl = data;

	if (!k.zoned.chan)
		return LEAP_SC_INVALID_FIELD | DNR;
	memset(data, 0, 4096);
	if (cns == LEAP_CNS_CSI_CTRL) {
		ctrl->zasl = 1;		/* 8 KiB */
		return 0;
	}
	ns->mar = leap_to_le32(LEAP_ZNS_NO_LIMIT);
	ns->mor = leap_to_le32(LEAP_ZNS_NO_LIMIT);
	ns->lbafe[0].zsze = leap_to_le64(ZONE);
	return 0;
}

static int fake_admin(void *dev, const struct leap_sqe *sqe, void *data,
		      uint32_t bytes)
{
	uint32_t cns = leap_from_le32(sqe->cdw10);

	assert_int_equal(sqe->opc, LEAP_ADM_IDENTIFY);
	assert_int_equal(bytes, 4096);
	if (leap_from_le32(sqe->cdw11) >> 24 == LEAP_CSI_ZNS)
		return zns_page(cns, data);
	if (cns == LEAP_CNS_CTRL)
		memcpy(data, &k.id, 4096);
	else if (cns == LEAP_CNS_NS && (int)leap_from_le32(sqe->nsid) == k.nsid)
		memcpy(data, &k.ns, 4096);
	else if (cns == LEAP_CNS_CSI_CTRL)
		memcpy(data, &k.nvm, 4096);
	else if (cns == LEAP_CNS_NS_DESC)
		memcpy(data, k.desc, sizeof(k.desc));
	else
		return LEAP_SC_INVALID_FIELD | DNR;
	return 0;
}

static int fake_ring_open(void *dev, uint32_t depth, int event_fd, void **ring)
{
	assert_true(depth <= TAGS);
	k.event_fd = event_fd;
	k.rings++;
	*ring = &k;
	return 0;
}

static void fake_ring_close(void *ring)
{
	k.rings--;
}

static int fake_submit(void *ring, uint32_t tag, const struct leap_sqe *sqe,
		       struct iovec *iov, uint32_t nr_iov, uint32_t bytes)
{
	assert_true(tag < TAGS && !k.out[tag].busy);
	k.out[tag] = (struct out){ *sqe, iov, nr_iov, bytes, 1 };
	k.fifo[k.nr++] = tag;
	if (k.nr > k.most)
		k.most = k.nr;
	if (nr_iov > k.most_iov)
		k.most_iov = nr_iov;
	if (bytes > k.most_bytes)
		k.most_bytes = bytes;
	k.nr_sent++;
	k.last = *sqe;
	return 0;
}

static void fake_push(void *ring)
{
}

static int32_t move(struct out *o, uint8_t *at)
{
	uint32_t i;

	for (i = 0; i < o->nr_iov; i++) {
		if (o->sqe.opc == LEAP_NVM_READ)
			memcpy(o->iov[i].iov_base, at, o->iov[i].iov_len);
		else if (o->sqe.opc == LEAP_NVM_WRITE)
			memcpy(at, o->iov[i].iov_base, o->iov[i].iov_len);
		else if (memcmp(at, o->iov[i].iov_base, o->iov[i].iov_len))
			return LEAP_SC_COMPARE_FAILED | DNR;
		at += o->iov[i].iov_len;
	}
	return 0;
}

static int32_t discard(struct out *o)
{
	struct leap_dsm_range r;
	uint32_t i, nr = (leap_from_le32(o->sqe.cdw10) & 0xff) + 1;

	assert_int_equal(o->bytes, nr * sizeof(r));
	for (i = 0; i < nr; i++) {
		memcpy(&r, (uint8_t *)o->iov[0].iov_base + i * sizeof(r),
		       sizeof(r));
		assert_true(leap_from_le64(r.slba) + leap_from_le32(r.nlb) <=
			    FAR_BLOCKS);
		memset(k.media + leap_from_le64(r.slba) * 512, 0,
		       leap_from_le32(r.nlb) * 512);
	}
	return 0;
}

static int32_t copy(struct out *o)
{
	struct leap_piece piece = { .addr = o->iov[0].iov_base,
		.len_bytes = o->bytes };
	uint64_t to = leap_sqe_slba(&o->sqe);
	struct leap__copy_list list;
	uint32_t bad, i;

	assert_int_equal(leap__copy_list_read(&o->sqe, &piece, 1, FAR_BLOCKS,
					      &list, &bad), 0);
	assert_true(to + list.nr_blocks <= FAR_BLOCKS);
	for (i = 0; i < list.nr; to += list.range[i++].nr_blocks)
		memmove(k.media + to * 512, k.media +
			list.range[i].block * 512,
			list.range[i].nr_blocks * 512);
	return 0;
}

/* A leaf with zones, which ends everything at once. */
static int32_t zone_command(struct out *o, uint64_t *result)
{
	static const struct {
		uint8_t opc, op;
	} ops[] = {
		{ LEAP_NVM_READ, LEAP_BIO_READ },
		{ LEAP_NVM_WRITE, LEAP_BIO_WRITE },
		{ LEAP_NVM_COMPARE, LEAP_BIO_COMPARE },
		{ LEAP_NVM_ZONE_APPEND, LEAP_BIO_ZONE_APPEND },
		{ LEAP_NVM_ZONE_MGMT_SEND, LEAP_BIO_ZONE_SEND },
		{ LEAP_NVM_ZONE_MGMT_RECV, LEAP_BIO_ZONE_REPORT },
	};
	struct leap_piece pieces[8] = { 0 };
	uint32_t i, nr = leap_sqe_nlb(&o->sqe);
	struct blk_wait wait;
	struct leap_bio *bio;

	for (i = 0; i < o->nr_iov; i++) {
		pieces[i].addr = o->iov[i].iov_base;
		pieces[i].len_bytes = (uint32_t)o->iov[i].iov_len;
	}
	for (i = 0; ops[i].opc != o->sqe.opc; i++)
		assert_true(i + 1 < sizeof(ops) / sizeof(ops[0]));
	if (ops[i].op >= LEAP_BIO_ZONE_SEND)
		nr = 0;
	bio = blk_bio(&k.zoned, ops[i].op, leap_sqe_slba(&o->sqe), nr, pieces,
		      (uint16_t)o->nr_iov, &wait);
	bio->result = leap_from_le32(o->sqe.cdw13);
	leap_bio_submit(k.zoned.chan, bio);
	assert_int_equal(wait.nr_done, 1);
	*result = bio->result;
	leap_bio_put(k.zoned.chan, bio);
	if (k.forget && !wait.status && o->sqe.opc == LEAP_NVM_WRITE) {
		wait.status = (leap_status_t)k.forget;
		k.forget = 0;
	}
	return wait.status;
}

static int32_t execute(struct out *o, uint64_t *result)
{
	uint64_t lba = leap_sqe_slba(&o->sqe);
	uint32_t nlb = leap_sqe_nlb(&o->sqe);

	assert_int_equal((int)leap_from_le32(o->sqe.nsid), k.nsid);
	if (k.nr_fail) {
		k.nr_fail--;
		*result = 0;
		return k.fail;
	}
	if (k.zoned.chan)
		return zone_command(o, result);
	switch (o->sqe.opc) {
	case LEAP_NVM_FLUSH:
		return 0;
	case LEAP_NVM_DSM:
		return discard(o);
	case LEAP_NVM_COPY:
		return copy(o);
	}
	assert_true(lba < FAR_BLOCKS && nlb <= FAR_BLOCKS - lba);
	switch (o->sqe.opc) {
	case LEAP_NVM_VERIFY:
		return 0;
	case LEAP_NVM_WRITE_ZEROES:
		memset(k.media + lba * 512, 0, nlb * 512);
		return 0;
	}
	assert_int_equal(o->bytes, nlb * 512);
	return move(o, k.media + lba * 512);
}

/* Not in the order in which they came. */
static uint32_t fake_reap(void *ring, struct leap__ng_event *e, uint32_t max)
{
	uint32_t n = 0, at;

	while (!__atomic_load_n(&k.held, __ATOMIC_ACQUIRE) && k.nr && n < max) {
		at = (k.nr_sent * 7 + n) % k.nr;
		e[n].tag = k.fifo[at];
		k.fifo[at] = k.fifo[--k.nr];
		e[n].result = 0;
		e[n].res = execute(&k.out[e[n].tag], &e[n].result);
		k.out[e[n++].tag].busy = 0;
	}
	return n;
}

static int fake_arm(void *ring, bool on)
{
	k.armed += on;
	return on && k.nr && !__atomic_load_n(&k.held, __ATOMIC_ACQUIRE);
}

static const struct leap__ng_kernel fake = {
	fake_open, fake_close, fake_hold, fake_nsid, fake_limits, fake_size,
	fake_admin, fake_ring_open, fake_ring_close, fake_submit, fake_push, fake_reap,
	fake_arm,
};

static struct leap__ng_layer layer;
static const struct leap_bdev_ops *const own[] = { &layer.ops, NULL };

static int set_up(void **state)
{
	memset(&k, 0, sizeof(k));
	layer.ops = leap__ng_ops;
	layer.kernel = &fake;
	k.nsid = 3;
	k.id.mdts = 5;		/* 128 KiB */
	k.id.vwc = LEAP_VWC_PRESENT;
	k.id.oncs = leap_to_le16(LEAP_ONCS_COMPARE | LEAP_ONCS_DSM |
				 LEAP_ONCS_WRITE_ZEROES | LEAP_ONCS_VERIFY |
				 LEAP_ONCS_COPY);
	k.id.ocfs = leap_to_le16(LEAP_OCFS_FORMAT0);
	k.ns.nsze = leap_to_le64(FAR_BLOCKS);
	k.ns.lbaf[0].lbads = 9;
	k.ns.dlfeat = LEAP_DLFEAT_READ_ZEROES | LEAP_DLFEAT_WZ_DEAC;
	k.ns.mssrl = leap_to_le16(128);
	k.ns.mcl = leap_to_le32(128);
	k.ns.msrc = 3;
	return 0;
}

#define STACK(opts) "ng:/dev/ng7n3[start=100,blocks=2048" opts "]"

static void open_ng(struct blk *b, const char *stack)
{
	blk_open_with(b, LEAP_WORLD_EPOLL, stack, own);
}

/* The event fd is given back in a later poll. */
static void close_ng(struct blk *b)
{
	int i;

	assert_int_equal(leap_chan_close(b->chan), 0);
	assert_int_equal(leap_bdev_close(b->bdev), 0);
	for (i = 0; leap_pollgroup_destroy(b->pg); i++) {
		assert_true(i < 1000);
		leap_pollgroup_wait(b->pg, 1000000);
	}
	assert_int_equal(k.rings, 0);
	assert_int_equal(k.opened, 0);
}

/* ---- cases --------------------------------------------------------------- */

static void test_model(void **state)
{
	struct blk b;
	uint32_t i;

	memset(k.media, 0xca, sizeof(k.media));
	open_ng(&b, STACK(""));
	assert_int_equal(b.nr_blocks, BLOCKS);
	assert_int_equal(b.block_bytes, 512);
	assert_int_equal(b.caps, LEAP_BDEV_FUA | LEAP_BDEV_FLUSH |
			 LEAP_BDEV_DISCARD | LEAP_BDEV_RANGES |
			 LEAP_BDEV_WRITE_ZEROES | LEAP_BDEV_COMPARE |
			 LEAP_BDEV_ZERO_DISCARD | LEAP_BDEV_VERIFY |
			 LEAP_BDEV_COPY);
	model_run(&b, 77, 3000, 0, 1);
	for (i = 0; i < sizeof(k.media); i++)
		if (k.media[i] != 0xca && (i < START * 512 ||
					   i >= (START + BLOCKS) * 512))
			fail_msg("byte %u is outside of the window", i);
	close_ng(&b);
}

/* More at once than there is room for, and more pieces than one takes. */
static void test_many(void **state)
{
	static uint8_t buf[64][512], big[256 << 10];
	static struct leap_piece pieces[512];
	struct leap_relay_info info = { sizeof(info) };
	struct blk_wait wait[8];
	struct leap_bio *bio[8];
	struct leap_piece one[8];
	struct blk b;
	uint32_t i;

	open_ng(&b, STACK(",depth=3"));
	__atomic_store_n(&k.held, 1, __ATOMIC_RELEASE);
	for (i = 0; i < 8; i++) {
		memset(buf[i], (int)i + 1, 512);
		one[i] = (struct leap_piece){ .addr = buf[i],
			.len_bytes = 512 };
		bio[i] = blk_bio(&b, LEAP_BIO_WRITE, i, 1, &one[i], 1,
				 &wait[i]);
		leap_bio_submit(b.chan, bio[i]);
	}
	assert_int_equal(k.nr, 3);
	__atomic_store_n(&k.held, 0, __ATOMIC_RELEASE);
	for (i = 0; i < 8; i++)
		assert_int_equal(blk_await(&b, bio[i], &wait[i]), 0);
	assert_int_equal(k.most, 3);
	for (i = 0; i < 8; i++)
		assert_int_equal(k.media[(START + i) * 512], i + 1);
	for (i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + i / 512);
	for (i = 0; i < 512; i++)
		pieces[i] = (struct leap_piece){ .addr = big + i * 512,
			.len_bytes = 512 };
	assert_int_equal(blk_run(&b, LEAP_BIO_WRITE, 0, 10, 512, pieces, 512),
			 0);
	assert_memory_equal(k.media + (START + 10) * 512, big, sizeof(big));
	/* 128 KiB are 32 pages, of 127 segments. */
	assert_int_equal(k.most_iov, 47);
	assert_true(k.most_bytes <= 128 << 10);
	assert_int_equal(leap_relay_info(b.bdev, &info), 0);
	assert_int_equal(info.split, 1);
	assert_int_equal(info.groups_live, 1);
	close_ng(&b);
}

/* As many bytes and segments as the kernel says, whatever the drive says. */
static void test_kernel_limits(void **state)
{
	static const struct {
		uint32_t bytes, segments, want;
	} t[] = {
		{ 64 << 10, 127, 64 << 10 }, { 1 << 20, 1024, 128 << 10 },
		{ 1 << 20, 33, 64 << 10 }, { 4096, 1, 4096 },
		{ 512, 127, 4096 }, { 1 << 20, 2, 4096 },
	};
	static uint8_t buf[512 << 10];
	struct blk b;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		k.max_bytes = t[i].bytes;
		k.max_segments = t[i].segments;
		k.most_bytes = 0;
		open_ng(&b, STACK(""));
		assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 0, 1024, buf),
				 0);
		assert_int_equal(k.most_bytes, t[i].want);
		close_ng(&b);
	}
}

static leap_status_t copy_blocks(struct blk *b, uint32_t nr)
{
	struct leap_copy_range0 r = { .slba = leap_to_le64(0),
		.nlb = leap_to_le16((uint16_t)(nr - 1)) };
	struct leap_piece piece = { .addr = &r, .len_bytes = sizeof(r) };
	struct leap_sqe sqe = { .opc = LEAP_NVM_COPY };
	struct blk_wait wait;
	struct leap_bio *bio;

	bio = blk_bio(b, LEAP_BIO_COPY, 1000, nr, &piece, 1, &wait);
	bio->sqe = &sqe;
	leap_bio_submit(b->chan, bio);
	return blk_await(b, bio, &wait);
}

static void test_copy_in_parts(void **state)
{
	struct blk b;
	uint32_t i;

	for (i = 0; i < sizeof(k.media); i++)
		k.media[i] = (uint8_t)(i / 512 * 3);
	open_ng(&b, STACK(""));
	assert_int_equal(copy_blocks(&b, 1000), 0);
	assert_int_equal(k.nr_sent, 8);
	assert_memory_equal(k.media + (START + 1000) * 512,
			    k.media + START * 512, 1000 * 512);
	close_ng(&b);
}

static leap_status_t read_one(struct blk *b)
{
	static uint8_t buf[512];

	return blk_io(b, LEAP_BIO_READ, 0, 5, 1, buf);
}

static void test_failures(void **state)
{
	static const struct {
		int32_t res;
		leap_status_t status;
	} t[] = {
		{ LEAP_SC_UNRECOVERED_READ | DNR,
		  LEAP_SC_UNRECOVERED_READ | DNR },
		{ LEAP_SC_UNRECOVERED_READ | LEAP_STATUS_MORE,
		  LEAP_SC_UNRECOVERED_READ },
		{ LEAP_SC_NS_NOT_READY, LEAP_SC_NS_NOT_READY },
		{ -EACCES, LEAP_SC_OP_DENIED | DNR },
		{ -EINVAL, LEAP_SC_INTERNAL | DNR },
		{ -EFAULT, LEAP_SC_INTERNAL | DNR },
		{ -ENODEV, LEAP_SC_PATH_CTRL },
	};
	struct blk b;
	size_t i;

	open_ng(&b, STACK(",loss_ms=300"));
	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		k.fail = t[i].res;
		k.nr_fail = 1;
		assert_int_equal(read_one(&b), t[i].status);
		assert_int_equal(read_one(&b), 0);
	}
	close_ng(&b);
}

/* The kernel resets the drive: commands wait, for so long. */
static void test_resets(void **state)
{
	static const int32_t res[] = { -EAGAIN, -EINTR, LEAP_SC_PATH_HOST,
		LEAP_SC_PATH_HOST_ABORTED | DNR };
	struct leap_relay_info info = { sizeof(info) };
	struct blk b;
	size_t i;

	open_ng(&b, STACK(",loss_ms=250"));
	for (i = 0; i < 4; i++) {
		k.fail = res[i];
		k.nr_fail = 2;
		k.nr_sent = 0;
		assert_int_equal(read_one(&b), 0);
		assert_int_equal(k.nr_sent, 3);
	}
	assert_int_equal(leap_relay_info(b.bdev, &info), 0);
	assert_int_equal(info.held, 4);
	k.nr_fail = 1000;
	assert_int_equal(read_one(&b), LEAP_SC_PATH_CTRL);
	k.nr_fail = 0;
	assert_int_equal(read_one(&b), 0);
	close_ng(&b);
}

/* The drive may have done it before it was reset: then not once more. */
static void test_copy_is_done_once(void **state)
{
	static const struct {
		int32_t res;
		uint32_t sent;
		leap_status_t status;
	} t[] = {
		{ LEAP_SC_PATH_HOST_ABORTED, 1, LEAP_SC_INTERNAL | DNR },
		{ -EIO, 1, LEAP_SC_INTERNAL | DNR },
		{ LEAP_SC_ABORT_REQUESTED | DNR, 1, LEAP_SC_INTERNAL | DNR },
		/* It never got there. */
		{ -EAGAIN, 2, 0 }, { LEAP_SC_PATH_HOST, 2, 0 },
		{ -ENODEV, 1, LEAP_SC_PATH_CTRL },
	};
	struct blk b;
	size_t i;

	open_ng(&b, STACK(""));
	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		k.fail = t[i].res;
		k.nr_fail = 1;
		k.nr_sent = 0;
		assert_int_equal(copy_blocks(&b, 8), t[i].status);
		assert_int_equal(k.nr_sent, t[i].sent);
	}
	close_ng(&b);
}

static struct leap_bio *start_read(struct blk *b, struct blk_wait *wait)
{
	static uint8_t buf[512];
	static const struct leap_piece piece = { .addr = buf,
		.len_bytes = sizeof(buf) };
	struct leap_bio *bio;

	bio = blk_bio(b, LEAP_BIO_READ, 1, 1, &piece, 1, wait);
	leap_bio_submit(b->chan, bio);
	leap__chan_let_go(b->chan, NULL);
	return bio;
}

/* Memory is wanted back while the drive is being reset: half a minute is no
 * answer. What the kernel has it keeps, but is not given again. */
static void test_lets_go(void **state)
{
	struct blk_wait wait;
	struct leap_bio *bio;
	uint64_t start;
	struct blk b;

	open_ng(&b, STACK(""));
	start = leap_pollgroup_now_ns(b.pg);
	k.fail = -EAGAIN;
	k.nr_fail = 1000000;
	bio = start_read(&b, &wait);
	assert_int_equal(blk_await(&b, bio, &wait), LEAP_SC_PATH_CTRL);
	assert_true(leap_pollgroup_now_ns(b.pg) - start < 10000000000u);
	k.held = 1;
	k.nr_sent = 0;
	bio = start_read(&b, &wait);
	start = leap_pollgroup_now_ns(b.pg);
	while (leap_pollgroup_now_ns(b.pg) - start < 1200000000u)
		leap_pollgroup_wait(b.pg, 10000000);
	assert_false(wait.nr_done);
	k.held = 0;
	assert_int_equal(blk_await(&b, bio, &wait), LEAP_SC_PATH_CTRL);
	assert_int_equal(k.nr_sent, 1);
	k.nr_fail = 0;
	assert_int_equal(read_one(&b), 0);
	close_ng(&b);
}

static void *let_go(void *arg)
{
	uint64_t one = 1;

	usleep(50000);
	__atomic_store_n(&k.held, 0, __ATOMIC_RELEASE);
	assert_int_equal(write(k.event_fd, &one, 8), 8);
	return NULL;
}

/* Nothing but the event fd ends the sleep. */
static void test_wakes(void **state)
{
	struct leap_pollgroup_stats st = { sizeof(st) };
	struct blk_wait wait;
	struct leap_piece piece;
	struct leap_bio *bio;
	uint8_t buf[512];
	pthread_t thread;
	uint64_t wakeups;
	struct blk b;
	int i;

	open_ng(&b, STACK(""));
	for (i = 0; i < 3; i++) {
		__atomic_store_n(&k.held, 1, __ATOMIC_RELEASE);
		k.armed = 0;
		piece = (struct leap_piece){ .addr = buf, .len_bytes = 512 };
		bio = blk_bio(&b, LEAP_BIO_READ, 1, 1, &piece, 1, &wait);
		leap_bio_submit(b.chan, bio);
		assert_int_equal(pthread_create(&thread, NULL, let_go, NULL),
				 0);
		assert_int_equal(leap_pollgroup_stats(b.pg, &st), 0);
		wakeups = st.wakeups;
		/* It looks again after a second, which is no wake-up. */
		assert_int_equal(blk_await(&b, bio, &wait), 0);
		assert_int_equal(leap_pollgroup_stats(b.pg, &st), 0);
		assert_true(st.wakeups > wakeups);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_true(k.armed > 0);
	}
	close_ng(&b);
}

static void test_open_fails(void **state)
{
	struct leap_pollgroup *pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	struct leap_bdev *bdev = NULL;
	static const char plain[] = "ng:/dev/ng7n3";

#define REFUSED(stack, err, text) do { \
	assert_int_equal(leap_bdev_open_with(pg, stack, own, &bdev), err); \
	if (!strstr(leap_last_error(), text)) \
		fail_msg("%s", leap_last_error()); \
	assert_int_equal(k.opened, 0); \
} while (0)
	REFUSED("ng", -EINVAL, "path is missing");
	REFUSED("ng:/dev/ng7n3[depth=0]", -EINVAL, "depth");
	REFUSED("ng:/dev/ng7n3[nsid=4]", -EINVAL, "column");
	REFUSED("ng:/dev/ng7n3[start=4096]", -EINVAL, "not in the");
	REFUSED("ng:/dev/ng7n3[start=4000,blocks=97]", -EINVAL, "not in the");
	k.open_err = -ENOENT;
	REFUSED(plain, -ENOENT, "/dev/ng7n3");
	k.open_err = 0;
	k.nsid = -ENOTTY;
	REFUSED(plain, -ENOTTY, "not the node");
	k.nsid = 3;
	k.hold_err = -EBUSY;
	REFUSED(plain, -EBUSY, "mounted");
	/* Who has no block device has nobody to keep away. */
	k.hold_err = -ENOENT;
	k.ns.lbaf[0].ms = leap_to_le16(8);
	k.ns.dps = 1;
	REFUSED(plain, -EOPNOTSUPP, "type 1");
	k.ns.dps = 0;
	REFUSED(plain, -EOPNOTSUPP, "metadata");
	k.ns.lbaf[0].ms = leap_to_le16(0);
	k.ns.lbaf[0].lbads = 0;
	REFUSED(plain, -EOPNOTSUPP, "format");
	k.ns.lbaf[0].lbads = 9;
	k.desc[0] = LEAP_NIDT_EUI64;
	k.desc[1] = LEAP_NIDL_EUI64;
	k.desc[12] = LEAP_NIDT_CSI;
	k.desc[13] = LEAP_NIDL_CSI;
	k.desc[16] = LEAP_CSI_KV;
	REFUSED(plain, -EOPNOTSUPP, "another command set");
	k.desc[16] = LEAP_CSI_ZNS;
	REFUSED(plain, -EOPNOTSUPP, "nothing is said");
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

static void test_read_only(void **state)
{
	static uint8_t buf[512];
	struct blk b;

	k.read_only = 1;
	open_ng(&b, STACK(",lock=off"));
	assert_true(b.caps & LEAP_BDEV_READONLY);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 0, 1, buf), 0);
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 0, 1, buf),
			 LEAP_SC_NS_WRITE_PROTECTED | DNR);
	close_ng(&b);
}

/* The kernel has heard of a new size; a window stays what it is. */
static void test_resized(void **state)
{
	uint64_t from;
	struct blk b;

	open_ng(&b, "ng:/dev/ng7n3[start=96,rescan_ms=5]");
	assert_int_equal(b.nr_blocks, FAR_BLOCKS - 96);
	k.size = FAR_BLOCKS / 2;
	from = leap_pollgroup_now_ns(b.pg);
	while (b.nr_blocks != FAR_BLOCKS / 2 - 96) {
		assert_true(leap_pollgroup_now_ns(b.pg) - from < 60000000000ull);
		leap_pollgroup_wait(b.pg, 5000000);
		blk_refresh(&b);
	}
	close_ng(&b);
	open_ng(&b, STACK(",rescan_ms=5"));
	from = leap_pollgroup_now_ns(b.pg);
	while (leap_pollgroup_now_ns(b.pg) - from < 30000000)
		leap_pollgroup_wait(b.pg, 5000000);
	blk_refresh(&b);
	assert_int_equal(b.nr_blocks, BLOCKS);
	close_ng(&b);
}

static void open_zoned(struct blk *b)
{
	k.zoned.pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	assert_int_equal(leap_bdev_open(k.zoned.pg, "zoned:512K[block=512,zone=32K]",
					&k.zoned.bdev), 0);
	assert_int_equal(leap_chan_open(k.zoned.bdev, k.zoned.pg, 8,
					&k.zoned.chan), 0);
	k.ns.nsze = leap_to_le64(ZONE * ZONES);
	k.desc[0] = LEAP_NIDT_CSI;
	k.desc[1] = LEAP_NIDL_CSI;
	k.desc[4] = LEAP_CSI_ZNS;
	open_ng(b, "ng:/dev/ng7n3");
}

static void close_zoned(struct blk *b)
{
	close_ng(b);
	blk_close(&k.zoned);
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
	k.forget = LEAP_SC_PATH_HOST_ABORTED;
	assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0, 2 * ZONE, 8, out), 0);
	assert_int_equal(k.forget, 0);
	assert_int_equal(pointer(&b, 2 * ZONE), 2 * ZONE + 8);
	close_zoned(&b);
}

/* ---- the real kernel ----------------------------------------------------- */

static void test_real_nodes(void **state)
{
	struct leap_pollgroup *pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	struct leap_bdev *bdev = NULL;

	assert_int_equal(leap_bdev_open(pg, "ng:/dev/null", &bdev), -ENOTTY);
	assert_int_equal(leap_bdev_open(pg, "ng:/dev/none", &bdev), -ENOENT);
	assert_int_equal(leap_bdev_open(pg, "ng:/", &bdev), -EISDIR);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* Every place of the ring comes round several times. */
static void test_real_ring(void **state)
{
	const struct leap__ng_kernel *kernel = &leap__ng_kernel;
	struct leap_sqe sqe = { .opc = LEAP_NVM_READ };
	struct leap__ng_event e[8];
	void *dev = NULL, *ring = NULL;
	bool read_only = false;
	uint32_t round, i, n, seen;
	struct iovec iov[2];
	char buf[1024];
	int err, tries, event_fd;

	iov[0] = (struct iovec){ buf, 512 };
	iov[1] = (struct iovec){ buf + 512, 512 };
	assert_int_equal(kernel->open("/dev/null", &read_only, &dev), 0);
	event_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(event_fd >= 0);
	err = kernel->ring_open(dev, 8, event_fd, &ring);
	if (err) {
		kernel->close(dev);
		close(event_fd);
		print_message("skipped: %s\n", leap_last_error());
		skip();
	}
	for (round = 0; round < 40; round++) {
		for (i = 0; i < 8; i++)
			assert_int_equal(kernel->submit(ring, i, &sqe, iov,
				i % 3, i % 3 * 512), 0);
		kernel->push(ring);
		for (seen = tries = 0; seen != 255 && tries < 100000;
		     tries++) {
			n = kernel->reap(ring, e, 3);
			for (i = 0; i < n; i++) {
				assert_true(e[i].tag < 8 &&
					    !(seen >> e[i].tag & 1));
				seen |= 1u << e[i].tag;
				/* It may take commands for nothing. */
				assert_true(e[i].res == 0 ||
					    e[i].res == -EOPNOTSUPP);
			}
		}
		assert_int_equal(seen, 255);
	}
	kernel->ring_close(ring);
	kernel->close(dev);
	close(event_fd);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		CASE(test_resized), CASE(test_zones), CASE(test_zone_write_again),
		CASE(test_model), CASE(test_many), CASE(test_kernel_limits),
		CASE(test_copy_in_parts), CASE(test_copy_is_done_once),
		CASE(test_failures), CASE(test_resets), CASE(test_lets_go),
		CASE(test_wakes),
		CASE(test_open_fails), CASE(test_read_only),
		CASE(test_real_nodes), CASE(test_real_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
