/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compare and Write, fused: over a leaf that keeps operations until they are
 * let go, so that every stage of a pair can be looked at; what becomes of it
 * when its queue, its namespace or its neighbours end; and which half says why.
 * Races are tests/sim/fused.c's.
 */
#include "ctrl-fixture.h"

#include <leapio/nvmf.h>
#include <leapio/plugin/bdev_ops.h>

#define NSID	7
#define DNR	LEAP_STATUS_DNR

/* What the leaf has; one test at a time. */
struct slow {
	struct leap_bio *bio[32];
	unsigned int nr;
	int hold;
	leap_status_t fails[16];	/* by operation */
	uint32_t result;
	unsigned int ops[16];
	uint8_t data[1024][512];
	uint32_t caps;
};

static struct slow slow;

static int slow_open(struct leap_bdev *bdev)
{
	leap_bdev_set(bdev, 512, 1024, slow.caps);
	return 0;
}

static leap_status_t compare(const struct leap_piece *p, uint32_t nr,
			     const uint8_t *at)
{
	for (; nr; nr--, at += p->len_bytes, p++)
		if (memcmp(p->addr, at, p->len_bytes))
			return LEAP_SC_COMPARE_FAILED;
	return 0;
}

static leap_status_t carry_out(struct leap_bio *bio)
{
	const struct leap_piece *p = bio->pieces;
	uint8_t *at = slow.data[bio->block];
	uint32_t i;

	if (slow.fails[bio->op]) {
		bio->result = slow.result;
		return slow.fails[bio->op];
	}
	if (bio->op == LEAP_BIO_COMPARE)
		return compare(p, bio->nr_pieces, at);
	if (bio->op == LEAP_BIO_COMPARE_WRITE &&
	    compare(bio->expect->pieces, bio->expect->nr_pieces, at))
		return LEAP_SC_COMPARE_FAILED;
	for (i = 0; i < bio->nr_pieces; i++, at += p->len_bytes, p++) {
		if (bio->op == LEAP_BIO_READ)
			memcpy(p->addr, at, p->len_bytes);
		else
			memcpy(at, p->addr, p->len_bytes);
	}
	return 0;
}

static void slow_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	(void)chan;
	slow.ops[bio->op]++;
	if (slow.hold) {
		assert_true(slow.nr < 32);
		slow.bio[slow.nr++] = bio;
		return;
	}
	leap_bio_done(bio, carry_out(bio));
}

/* The oldest, which has to be @op. */
static void let_go(unsigned int op)
{
	struct leap_bio *bio = slow.bio[0];

	assert_true(slow.nr);
	assert_int_equal(bio->op, op);
	memmove(slow.bio, slow.bio + 1, --slow.nr * sizeof(slow.bio[0]));
	leap_bio_done(bio, carry_out(bio));
}

static const struct leap_bdev_ops slow_ops = {
	.size = sizeof(slow_ops),
	.name = "slow",
	.open = slow_open,
	.submit = slow_submit,
};

static void add_slow(struct fx *fx, uint32_t nsid, uint32_t caps)
{
	static const struct leap_bdev_ops *const own[] = { &slow_ops, NULL };
	struct leap_ns_opts opts = LEAP_NS_OPTS_INIT;
	int added = 0;

	slow.caps = caps;
	opts.nsid = nsid;
	assert_int_equal(leap_bdev_open_with(fx->pg, "slow", own, &opts.bdev),
			 0);
	assert_int_equal(leap_ns_add(fx->ss, &opts, ns_done, &added), nsid);
	fx_wait(fx, &added);
	assert_int_equal(added, 1);
}

static int setup(void **state)
{
	memset(&slow, 0, sizeof(slow));
	fx_setup_live(state);
	add_slow(*state, NSID, LEAP_BDEV_FUA | LEAP_BDEV_EXCLUSIVE);
	return 0;
}

static void begin_close(struct leap_qp *qp, int *closed)
{
	*closed = 0;
	leap_qp_close(qp, set_flag, closed);
}

/* ---- pairs ---- */

struct pair {
	struct fx_req first, second;
	uint8_t old[512], new[512];
};

static void on_half(struct leap_req *req)
{
	struct fx_req *r = (struct fx_req *)req;

	r->status = leap_req_status(req) & (leap_status_t)~LEAP_STATUS_MORE;
	r->done++;
}

static void fill(struct fx_req *r, uint8_t opc, uint32_t nsid, uint64_t slba,
		 uint8_t *buf, uint8_t byte)
{
	memset(r, 0, sizeof(*r));
	memset(buf, byte, 512);
	r->req.sqe = fx_rw(opc, nsid, slba, 1);
	r->req.done = on_half;
	r->piece.addr = buf;
	r->piece.len_bytes = 512;
	r->req.pieces = &r->piece;
	r->req.nr_pieces = 1;
}

static void send_pair(struct fx *fx, struct leap_qp *qp, struct pair *p,
		      uint32_t nsid, uint64_t slba, uint8_t from, uint8_t to)
{
	fill(&p->first, LEAP_NVM_COMPARE, nsid, slba, p->old, from);
	fill(&p->second, LEAP_NVM_WRITE, nsid, slba, p->new, to);
	assert_int_equal(leap_qp_submit_fused(qp, &p->first.req,
					      &p->second.req), 1);
	leap_qp_kick(qp);
	fx_settle(fx);
}

static void ended(const struct pair *p, leap_status_t first,
		  leap_status_t second)
{
	assert_int_equal(p->first.done, 1);
	assert_int_equal(p->second.done, 1);
	assert_int_equal(p->first.status, first);
	assert_int_equal(p->second.status, second);
}

static void is_out(const struct pair *p)
{
	assert_int_equal(p->first.done, 0);
	assert_int_equal(p->second.done, 0);
}

static void test_steps(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1);
	struct pair p;

	send_pair(fx, io, &p, NSID, 5, 0, 1);
	ended(&p, 0, 0);
	assert_int_equal(slow.data[5][511], 1);
	send_pair(fx, io, &p, NSID, 5, 0, 2);
	ended(&p, LEAP_SC_COMPARE_FAILED | DNR,
	      LEAP_SC_ABORT_FUSED_FAILED | DNR);
	assert_int_equal(slow.data[5][0], 1);
	/* Compared here: the leaf cannot. */
	assert_int_equal(slow.ops[LEAP_BIO_READ], 2);
	assert_int_equal(slow.ops[LEAP_BIO_WRITE], 1);
	fx_close(fx, io);
}

/* Each way that a stack may have. */
static void test_ways(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1);
	struct pair p;

	add_slow(fx, 8, LEAP_BDEV_EXCLUSIVE | LEAP_BDEV_COMPARE);
	send_pair(fx, io, &p, 8, 6, 0, 1);
	ended(&p, 0, 0);
	assert_int_equal(slow.ops[LEAP_BIO_COMPARE], 1);
	assert_int_equal(slow.ops[LEAP_BIO_WRITE], 1);
	add_slow(fx, 9, LEAP_BDEV_COMPARE_WRITE);
	send_pair(fx, io, &p, 9, 6, 1, 2);
	ended(&p, 0, 0);
	assert_int_equal(slow.ops[LEAP_BIO_COMPARE_WRITE], 1);
	assert_int_equal(slow.ops[LEAP_BIO_WRITE], 1);
	assert_int_equal(slow.data[6][0], 2);
	/* Neither: as if there were no such operation. */
	add_slow(fx, 10, LEAP_BDEV_COMPARE);
	send_pair(fx, io, &p, 10, 6, 2, 3);
	ended(&p, LEAP_SC_INVALID_FIELD | DNR, LEAP_SC_INVALID_FIELD | DNR);
	fx_close(fx, io);
}

/* The half that failed says why, the other that there was one. */
static void test_failures(void **state)
{
	const leap_status_t other = LEAP_SC_ABORT_FUSED_FAILED | DNR;
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1);
	struct pair p;

	slow.fails[LEAP_BIO_READ] = LEAP_SC_UNRECOVERED_READ;
	send_pair(fx, io, &p, NSID, 5, 0, 1);
	ended(&p, LEAP_SC_UNRECOVERED_READ, other);
	slow.fails[LEAP_BIO_READ] = 0;
	slow.fails[LEAP_BIO_WRITE] = LEAP_SC_WRITE_FAULT;
	send_pair(fx, io, &p, NSID, 5, 0, 1);
	ended(&p, other, LEAP_SC_WRITE_FAULT);
	add_slow(fx, 9, LEAP_BDEV_COMPARE_WRITE);
	slow.fails[LEAP_BIO_COMPARE_WRITE] = LEAP_SC_WRITE_FAULT;
	slow.result = 1;
	send_pair(fx, io, &p, 9, 5, 0, 1);
	ended(&p, other, LEAP_SC_WRITE_FAULT);
	slow.fails[LEAP_BIO_COMPARE_WRITE] = LEAP_SC_UNRECOVERED_READ;
	slow.result = 0;
	send_pair(fx, io, &p, 9, 5, 0, 1);
	ended(&p, LEAP_SC_UNRECOVERED_READ, other);
	/* And nothing is left of a claim. */
	slow.fails[LEAP_BIO_WRITE] = 0;
	send_pair(fx, io, &p, NSID, 5, 0, 1);
	ended(&p, 0, 0);
	fx_close(fx, io);
}

/* ---- others ---- */

static void send_write(struct fx *fx, struct leap_qp *qp, struct fx_req *r,
		       uint64_t slba, uint8_t *buf, uint8_t byte)
{
	struct leap_sqe sqe = fx_rw(LEAP_NVM_WRITE, NSID, slba, 1);

	memset(buf, byte, 512);
	fx_submit(fx, qp, r, &sqe, buf, 512);
	fx_settle(fx);
}

/* What has begun is waited for, what comes later waits; what is beside does
 * neither. */
static void test_writes(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *io2 = fx_io(fx, 2);
	struct fx_req before, beside, after;
	static uint8_t a[512], b[512], c[512];
	struct pair p;

	slow.hold = 1;
	send_write(fx, io2, &before, 5, a, 1);
	send_pair(fx, io, &p, NSID, 5, 1, 2);
	assert_int_equal(slow.nr, 1);
	send_write(fx, io2, &after, 5, b, 3);
	assert_int_equal(slow.nr, 1);
	send_write(fx, io2, &beside, 6, c, 4);
	assert_int_equal(slow.nr, 2);
	let_go(LEAP_BIO_WRITE);
	fx_settle(fx);
	assert_int_equal(before.done, 1);
	let_go(LEAP_BIO_WRITE);
	let_go(LEAP_BIO_READ);
	let_go(LEAP_BIO_WRITE);
	fx_settle(fx);
	ended(&p, 0, 0);
	let_go(LEAP_BIO_WRITE);
	fx_settle(fx);
	assert_int_equal(after.done, 1);
	assert_int_equal(beside.done, 1);
	assert_int_equal(slow.data[5][0], 3);
	assert_int_equal(slow.nr, 0);
	fx_close(fx, io);
	fx_close(fx, io2);
}

/* One claim of a group, and of a queue one pair, at a time. */
static void test_many(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *io2 = fx_io(fx, 2);
	struct pair p[4];
	unsigned int i;

	slow.hold = 1;
	for (i = 0; i < 4; i++)
		send_pair(fx, i & 1 ? io2 : io, &p[i], NSID, 5, (uint8_t)i,
			  (uint8_t)(i + 1));
	for (i = 0; i < 4; i++) {
		assert_int_equal(slow.nr, 1);
		let_go(LEAP_BIO_READ);
		let_go(LEAP_BIO_WRITE);
		fx_settle(fx);
	}
	/* The second of a queue comes behind the first of the other. */
	for (i = 0; i < 4; i++)
		ended(&p[i], 0, 0);
	assert_int_equal(slow.data[5][0], 4);
	fx_close(fx, io);
	fx_close(fx, io2);
}

/* ---- ends ---- */

static uint32_t orphans(struct fx *fx)
{
	struct leap_target_stats st = { .size = sizeof(st) };

	assert_int_equal(leap_target_stats(fx->target, &st), 0);
	return (uint32_t)(st.orphans + st.held);
}

/* The connection goes while the pair waits for a write that has begun; nothing
 * is done, and nothing is left. */
static void test_close_while_asking(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *io2 = fx_io(fx, 2);
	static uint8_t a[512];
	struct fx_req before;
	struct pair p, next;
	int closed;

	slow.hold = 1;
	send_write(fx, io2, &before, 5, a, 1);
	send_pair(fx, io, &p, NSID, 5, 1, 2);
	send_pair(fx, io, &next, NSID, 5, 1, 2);
	begin_close(io, &closed);
	fx_settle(fx);
	is_out(&p);
	let_go(LEAP_BIO_WRITE);
	fx_wait(fx, &closed);
	assert_int_equal(slow.nr, 0);
	assert_int_equal(slow.data[5][0], 1);
	assert_int_equal(orphans(fx), 0);
	slow.hold = 0;
	send_pair(fx, io2, &p, NSID, 5, 1, 2);
	ended(&p, 0, 0);
	fx_close(fx, io2);
}

/* Or while it is compared: then it is not written. */
static void test_close_while_comparing(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *io2;
	struct pair p;
	int closed;

	slow.hold = 1;
	send_pair(fx, io, &p, NSID, 5, 0, 2);
	begin_close(io, &closed);
	fx_settle(fx);
	let_go(LEAP_BIO_READ);
	fx_wait(fx, &closed);
	assert_int_equal(slow.nr, 0);
	assert_int_equal(orphans(fx), 0);
	slow.hold = 0;
	io2 = fx_io(fx, 2);
	send_pair(fx, io2, &p, NSID, 5, 0, 2);
	ended(&p, 0, 0);
	fx_close(fx, io2);
}

/* Behind the claim of another queue, as much as in line of its own. */
static void test_close_in_line(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *io2 = fx_io(fx, 2);
	struct pair p, q, r;
	int closed;

	slow.hold = 1;
	send_pair(fx, io, &p, NSID, 5, 0, 1);
	send_pair(fx, io2, &q, NSID, 9, 0, 1);
	send_pair(fx, io2, &r, NSID, 9, 0, 1);
	begin_close(io2, &closed);
	fx_wait(fx, &closed);
	let_go(LEAP_BIO_READ);
	let_go(LEAP_BIO_WRITE);
	fx_settle(fx);
	ended(&p, 0, 0);
	assert_int_equal(slow.nr, 0);
	assert_int_equal(slow.data[9][0], 0);
	fx_close(fx, io);
}

/* A pair whose host was lost is an orphan: what comes next waits for it. */
static void test_orphan(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *io2;
	struct pair p, q;
	int closed;

	slow.hold = 1;
	send_pair(fx, io, &p, NSID, 5, 0, 1);
	let_go(LEAP_BIO_READ);
	begin_close(io, &closed);
	fx_settle(fx);
	assert_int_equal(orphans(fx), 1);
	io2 = fx_io(fx, 2);
	send_pair(fx, io2, &q, NSID, 5, 1, 2);
	assert_int_equal(slow.nr, 1);
	let_go(LEAP_BIO_WRITE);
	fx_wait(fx, &closed);
	fx_settle(fx);
	let_go(LEAP_BIO_READ);
	let_go(LEAP_BIO_WRITE);
	fx_settle(fx);
	ended(&q, 0, 0);
	fx_close(fx, io2);
}

static void abort_cmd(struct fx *fx, uint32_t sqid, const struct fx_req *r,
		      uint32_t not_found)
{
	struct leap_sqe abort = { 0 };

	abort.opc = LEAP_ADM_ABORT;
	abort.cdw10 = leap_to_le32(sqid | (uint32_t)
				   leap_from_le16(r->req.sqe.cid) << 16);
	assert_int_equal(fx_cmd(fx, fx->admin, &abort, NULL, 0), 0);
	assert_int_equal(fx->result, not_found);
	fx_settle(fx);
}

/* Of a pair that has not begun either half may be aborted. */
static void test_abort(void **state)
{
	const leap_status_t other = LEAP_SC_ABORT_FUSED_FAILED | DNR;
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *io2 = fx_io(fx, 2);
	struct pair p, q, r;
	struct fx_req alone;
	uint8_t buf[512];

	slow.hold = 1;
	send_pair(fx, io, &p, NSID, 5, 0, 1);
	send_pair(fx, io, &q, NSID, 5, 1, 2);
	send_pair(fx, io2, &r, NSID, 5, 1, 2);
	abort_cmd(fx, 1, &p.first, 1);
	abort_cmd(fx, 1, &q.first, 0);
	ended(&q, LEAP_SC_ABORT_REQUESTED, other);
	abort_cmd(fx, 2, &r.second, 0);
	ended(&r, other, LEAP_SC_ABORT_REQUESTED);
	fill(&alone, LEAP_NVM_COMPARE, NSID, 5, buf, 0);
	alone.req.sqe.flags = LEAP_SQE_FUSE_FIRST;
	assert_int_equal(leap_qp_submit(io2, (struct leap_req *[]){
					&alone.req }, 1), 1);
	fx_settle(fx);
	assert_int_equal(alone.done, 0);
	abort_cmd(fx, 2, &alone, 0);
	assert_int_equal(alone.status, LEAP_SC_ABORT_REQUESTED);
	let_go(LEAP_BIO_READ);
	let_go(LEAP_BIO_WRITE);
	fx_settle(fx);
	ended(&p, 0, 0);
	fx_close(fx, io);
	fx_close(fx, io2);
}

/* It goes while a pair has a claim in it, and while one waits. */
static void test_remove(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *io = fx_io(fx, 1), *io2 = fx_io(fx, 2);
	struct pair p, q;
	int removed = 0;

	slow.hold = 1;
	send_pair(fx, io, &p, NSID, 5, 0, 1);
	send_pair(fx, io2, &q, NSID, 5, 1, 2);
	assert_int_equal(leap_ns_remove(fx->ss, NSID, ns_done, &removed), 0);
	fx_settle(fx);
	assert_int_equal(removed, 0);
	let_go(LEAP_BIO_READ);
	let_go(LEAP_BIO_WRITE);
	fx_settle(fx);
	ended(&p, 0, 0);
	ended(&q, LEAP_SC_INVALID_NS | DNR, LEAP_SC_INVALID_NS | DNR);
	fx_wait(fx, &removed);
	assert_int_equal(removed, 1);
	fx_close(fx, io);
	fx_close(fx, io2);
}

/* ---- what is said of it ---- */

static uint32_t fuses(struct fx *fx)
{
	static struct leap_id_ctrl id;
	struct leap_sqe sqe = fx_identify(LEAP_CNS_CTRL, 0);

	assert_int_equal(fx_cmd(fx, fx->admin, &sqe, &id, sizeof(id)), 0);
	assert_int_equal(leap_from_le16(id.acwu), 0);
	return leap_from_le16(id.fuses);
}

static void test_identify(void **state)
{
	struct fx *fx = *state;
	int removed = 0;

	assert_int_equal(fuses(fx), LEAP_FUSES_COMPARE_WRITE);
	/* Zones have no say in it. */
	fx_add_ns(fx, "zoned:1M[zone=64K]", 9, 0, 0);
	assert_int_equal(fuses(fx), LEAP_FUSES_COMPARE_WRITE);
	add_slow(fx, 10, LEAP_BDEV_COMPARE);
	assert_int_equal(fuses(fx), 0);
	assert_int_equal(leap_ns_remove(fx->ss, 10, ns_done, &removed), 0);
	fx_wait(fx, &removed);
	assert_int_equal(removed, 1);
	assert_int_equal(fuses(fx), LEAP_FUSES_COMPARE_WRITE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_steps),
		TEST(test_ways),
		TEST(test_failures),
		TEST(test_writes),
		TEST(test_many),
		TEST(test_close_while_asking),
		TEST(test_close_while_comparing),
		TEST(test_close_in_line),
		TEST(test_orphan),
		TEST(test_abort),
		TEST(test_remove),
		TEST(test_identify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
