/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands that outlive their connection: what the same host sends over a new
 * one waits where it overlaps; others, and other ranges, do not. Over a leaf
 * that keeps every write until it is let go.
 */
#include "ctrl-fixture.h"

#include <leapio/nvmf.h>
#include <leapio/plugin/bdev_ops.h>

#define NSID 7

/* What the leaf keeps; one test at a time. */
struct slow {
	struct leap_bio *bio[16];
	unsigned int nr;
	int hold;
	uint64_t order[32];	/* first blocks, as they finished */
	unsigned int nr_done;
};

static struct slow slow;

static int slow_open(struct leap_bdev *bdev)
{
	leap_bdev_set(bdev, 512, 1024, LEAP_BDEV_FUA);
	return 0;
}

static void slow_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	(void)chan;
	if (bio->op == LEAP_BIO_WRITE && slow.hold) {
		assert_true(slow.nr < 16);
		slow.bio[slow.nr++] = bio;
		return;
	}
	slow.order[slow.nr_done++ % 32] = bio->block;
	leap_bio_done(bio, 0);
}

static void let_go(unsigned int i)
{
	struct leap_bio *bio = slow.bio[i];

	slow.bio[i] = slow.bio[--slow.nr];
	slow.order[slow.nr_done++ % 32] = bio->block + 1000;
	leap_bio_done(bio, 0);
}

static const struct leap_bdev_ops slow_ops = {
	.size = sizeof(slow_ops),
	.name = "slow",
	.open = slow_open,
	.submit = slow_submit,
};

static int setup(void **state)
{
	static const struct leap_bdev_ops *const own[] = { &slow_ops, NULL };
	struct leap_ns_opts opts = LEAP_NS_OPTS_INIT;
	struct fx *fx;
	int added = 0;

	memset(&slow, 0, sizeof(slow));
	fx_setup_live(state);
	fx = *state;
	opts.nsid = NSID;
	assert_int_equal(leap_bdev_open_with(fx->pg, "slow", own, &opts.bdev),
			 0);
	assert_int_equal(leap_ns_add(fx->ss, &opts, ns_done, &added), NSID);
	fx_wait(fx, &added);
	assert_int_equal(added, 1);
	return 0;
}

static struct leap_target_stats stats(struct fx *fx)
{
	struct leap_target_stats st = { .size = sizeof(st) };

	assert_int_equal(leap_target_stats(fx->target, &st), 0);
	return st;
}

/* Loopback gives a host its requests back when they leave the leaf, so the
 * close is not waited for. */
static void begin_close(struct leap_qp *qp, int *closed)
{
	*closed = 0;
	leap_qp_close(qp, set_flag, closed);
}

static void test_overlap_waits(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *io2;
	struct leap_sqe old = fx_rw(LEAP_NVM_WRITE, NSID, 100, 8);
	struct leap_sqe over = fx_rw(LEAP_NVM_WRITE, NSID, 107, 8);
	struct leap_sqe beside = fx_rw(LEAP_NVM_WRITE, NSID, 108, 8);
	struct leap_sqe other_ns = fx_rw(LEAP_NVM_WRITE, 1, 100, 8);
	static uint8_t a[4096], b[4096];
	struct fx_req r0, r1, r2;
	int closed;

	slow.hold = 1;
	fx_submit(fx, io, &r0, &old, a, sizeof(a));
	fx_settle(fx);
	assert_int_equal(slow.nr, 1);
	begin_close(io, &closed);
	fx_settle(fx);
	assert_int_equal(stats(fx).orphans, 1);
	slow.hold = 0;
	io2 = fx_io(fx, 2);
	fx_submit(fx, io2, &r1, &over, b, sizeof(b));
	fx_submit(fx, io2, &r2, &beside, b, sizeof(b));
	fx_settle(fx);
	assert_int_equal(r1.done, 0);
	assert_int_equal(r2.done, 1);
	assert_int_equal(stats(fx).held, 1);
	assert_int_equal(fx_cmd(fx, io2, &other_ns, b, sizeof(b)), 0);
	let_go(0);
	fx_wait(fx, &r1.done);
	assert_int_equal(r1.status, 0);
	assert_int_equal(stats(fx).held, 0);
	assert_int_equal(stats(fx).orphans, 0);
	/* Beside; the orphan (marked by 1000); then what had to wait. */
	assert_int_equal(slow.order[0], 108);
	assert_int_equal(slow.order[1], 1100);
	assert_int_equal(slow.order[2], 107);
	fx_wait(fx, &closed);
	fx_close(fx, io2);
}

static void test_other_host_does_not_wait(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *mine = fx->admin, *admin2, *io2;
	struct fx_connect other = { .hostid = 2 };
	struct leap_sqe wr = fx_rw(LEAP_NVM_WRITE, NSID, 100, 8);
	static uint8_t a[4096];
	struct fx_req r0;
	int closed;

	slow.hold = 1;
	fx_submit(fx, io, &r0, &wr, a, sizeof(a));
	fx_settle(fx);
	begin_close(io, &closed);
	fx_settle(fx);
	slow.hold = 0;
	assert_int_equal(fx_connect(fx, &other, &admin2), 0);
	fx->admin = admin2;
	fx_enable(fx);
	other.qid = 1;
	other.cntlid = fx->cntlid;
	assert_int_equal(fx_connect(fx, &other, &io2), 0);
	assert_int_equal(fx_cmd(fx, io2, &wr, a, sizeof(a)), 0);
	assert_int_equal(stats(fx).orphans, 1);
	let_go(0);
	fx_wait(fx, &closed);
	fx_close(fx, io2);
	fx_close(fx, admin2);
	fx->admin = mine;
}

static void test_abort_held(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *io2;
	struct leap_sqe wr = fx_rw(LEAP_NVM_WRITE, NSID, 100, 8);
	struct leap_sqe abort = { 0 };
	static uint8_t a[4096];
	struct fx_req r0, r1, r2;
	int closed, closed2;

	slow.hold = 1;
	fx_submit(fx, io, &r0, &wr, a, sizeof(a));
	fx_settle(fx);
	begin_close(io, &closed);
	fx_settle(fx);
	io2 = fx_io(fx, 2);
	fx_submit(fx, io2, &r1, &wr, a, sizeof(a));
	fx_submit(fx, io2, &r2, &wr, a, sizeof(a));
	fx_settle(fx);
	assert_int_equal(stats(fx).held, 2);
	abort.opc = LEAP_ADM_ABORT;
	abort.cdw10 = leap_to_le32(2 |
		(uint32_t)leap_from_le16(r1.req.sqe.cid) << 16);
	assert_int_equal(fx_cmd(fx, fx->admin, &abort, NULL, 0), 0);
	assert_int_equal(fx->result, 0);
	fx_settle(fx);
	assert_int_equal(r1.done, 1);
	assert_int_equal(LEAP_STATUS_CODE(r1.status), LEAP_SC_ABORT_REQUESTED);
	assert_int_equal(stats(fx).held, 1);
	/* One that waits is dropped with its connection, and never runs. */
	begin_close(io2, &closed2);
	fx_settle(fx);
	assert_int_equal(stats(fx).held, 0);
	assert_int_equal(slow.nr, 1);
	let_go(0);
	fx_wait(fx, &closed);
	fx_wait(fx, &closed2);
	assert_int_equal(slow.nr_done, 1);
}

/* A command in a leaf cannot be aborted, and says so. */
static void test_abort_in_leaf(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1);
	struct leap_sqe wr = fx_rw(LEAP_NVM_WRITE, NSID, 100, 8);
	struct leap_sqe abort = { 0 };
	static uint8_t a[4096];
	struct fx_req r0;

	slow.hold = 1;
	fx_submit(fx, io, &r0, &wr, a, sizeof(a));
	fx_settle(fx);
	abort.opc = LEAP_ADM_ABORT;
	abort.cdw10 = leap_to_le32(1 |
		(uint32_t)leap_from_le16(r0.req.sqe.cid) << 16);
	assert_int_equal(fx_cmd(fx, fx->admin, &abort, NULL, 0), 0);
	assert_int_equal(fx->result, 1);
	let_go(0);
	fx_wait(fx, &r0.done);
	assert_int_equal(r0.status, 0);
	fx_close(fx, io);
}

/* What a host sent and then closed on, unread by us, is not executed. */
static void test_unread_is_dropped(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1);
	struct leap_sqe wr = fx_rw(LEAP_NVM_WRITE, NSID, 100, 8);
	static uint8_t a[4096];
	struct fx_req r0;
	int closed;

	fx_submit(fx, io, &r0, &wr, a, sizeof(a));
	begin_close(io, &closed);
	fx_wait(fx, &closed);
	assert_int_equal(r0.done, 1);
	assert_int_equal(slow.nr_done, 0);
}

static void test_remove_waits(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1);
	struct leap_sqe wr = fx_rw(LEAP_NVM_WRITE, NSID, 100, 8);
	static uint8_t a[4096];
	struct fx_req r0;
	int removed = 0;

	slow.hold = 1;
	fx_submit(fx, io, &r0, &wr, a, sizeof(a));
	fx_settle(fx);
	assert_int_equal(leap_ns_remove(fx->ss, NSID, ns_done, &removed), 0);
	fx_settle(fx);
	assert_int_equal(removed, 0);
	assert_int_equal(fx_cmd(fx, io, &wr, a, sizeof(a)),
			 LEAP_SC_INVALID_NS);
	let_go(0);
	fx_wait(fx, &r0.done);
	assert_int_equal(r0.status, 0);
	fx_wait(fx, &removed);
	assert_int_equal(removed, 1);
	fx_close(fx, io);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_overlap_waits),
		TEST(test_other_host_does_not_wait),
		TEST(test_abort_held),
		TEST(test_abort_in_leaf),
		TEST(test_unread_is_dropped),
		TEST(test_remove_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
