/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dispatcher of block layers: the only file that calls ops.submit.
 *
 * Checks every bio once on its way into a layer, does what the layer cannot
 * (FUA by a flush, zeroes by writing them, verify by reading into memory that
 * nobody looks at), counts it on its way out. What belongs to a thread, the
 * memory of bios too, is chan.c's; stacks are opened and closed by bdev_open.c.
 * Knows no layer by name, and nothing of NVMe but status codes.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include <leapio/nvme.h>
#include <leapio/pollgroup.h>

#include "block/bdev.h"
#include "core/io/pollgroup.h"
#include "util/atomic.h"

#define DNR(status)	((leap_status_t)((status) | LEAP_STATUS_DNR))

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

enum phase {
	PHASE_IDLE,	/* not submitted, or done */
	PHASE_PLAIN,	/* as submitted */
	PHASE_LAST,	/* write whose flush is still to come */
	PHASE_ZEROES,	/* one of the writes that stand for write zeroes */
	PHASE_VERIFY,	/* one of the reads that stand for verify */
	PHASE_FLUSH,	/* the flush that stands for FUA */
};

/* The dispatcher's part of a bio, right behind it; the layer's part follows. */
struct state {
	uint8_t phase;
	uint8_t inside;		/* in the layer's submit right now */
	uint8_t ended;		/* the layer called leap_bio_done inside */
	uint8_t op;		/* what was submitted, while emulated */
	uint8_t flags;
	uint16_t nr_pieces;
	leap_status_t status;
	uint32_t nr_blocks;
	uint64_t block;
	const struct leap_piece *pieces;
	struct leap_piece part;
};

#define HEAD_BYTES	(sizeof(struct leap_bio) + sizeof(struct state))

static struct state *state_of(const struct leap_bio *bio)
{
	return (struct state *)(bio + 1);
}

uint32_t leap__bio_head_bytes(void)
{
	return leap__bio_align((uint32_t)HEAD_BYTES);
}

static inline void finish_at(struct leap_bio *bio, leap_status_t status,
			     uint64_t now_ns)
{
	struct leap_chan *chan = bio->chan;

	state_of(bio)->phase = PHASE_IDLE;
	leap__chan_count(chan, bio->op,
			 (uint64_t)bio->nr_blocks << chan->bdev->block_shift,
			 now_ns - bio->start_ns, status != 0);
	bio->done(bio, status);
}

static __attribute__((cold, noinline)) void
finish_outside_poll(struct leap_bio *bio, leap_status_t status)
{
	finish_at(bio, status, leap_pollgroup_now_ns(bio->chan->pg));
}

/* What is rare here and in submit is a call at the end, so that the rest has no
 * registers to save. */
static inline void finish(struct leap_bio *bio, leap_status_t status)
{
	const struct leap_pollgroup *pg = bio->chan->pg;

	if (likely(pg->polling))
		finish_at(bio, status, pg->now_ns);
	else
		finish_outside_poll(bio, status);
}

/* Off the way of those that are fine. */
static __attribute__((cold, noinline)) void refuse(struct leap_bio *bio,
						   leap_status_t status)
{
	finish(bio, status);
}

/* The pieces of an operation that moves data. */
static inline leap_status_t check_pieces(const struct leap_bdev *bdev,
					 const struct leap_bio *bio,
					 uint32_t caps)
{
	const struct leap_piece *p = bio->pieces, *end = p + bio->nr_pieces;
	uint64_t bytes = 0;
	uint32_t reach = LEAP_REACH_DIRECT;

	for (; p < end; p++) {
		bytes += p->len_bytes;
		reach |= p->reach;
	}
	if (unlikely(reach != LEAP_REACH_DIRECT &&
		     !(caps & LEAP_BDEV_REMOTE_PIECES)))
		return DNR(LEAP_SC_INVALID_FIELD);
	if (unlikely(bytes != (uint64_t)bio->nr_blocks << bdev->block_shift))
		return DNR(LEAP_SC_SGL_DATA_LEN);
	return 0;
}

static inline leap_status_t check_range(const struct leap_bdev *bdev,
					const struct leap_bio *bio)
{
	uint64_t nr_blocks = leap__load_relaxed(&bdev->nr_blocks);

	if (unlikely(!bio->nr_blocks))
		return DNR(LEAP_SC_INVALID_FIELD);
	if (unlikely(bio->block >= nr_blocks ||
		     bio->nr_blocks > nr_blocks - bio->block))
		return DNR(LEAP_SC_LBA_RANGE);
	return 0;
}

/* A read or write without flags. */
static inline leap_status_t check_plain(const struct leap_bdev *bdev,
					const struct leap_bio *bio,
					uint32_t caps)
{
	leap_status_t status = check_range(bdev, bio);

	if (unlikely(status))
		return status;
	if (unlikely(bio->op == LEAP_BIO_WRITE && caps & LEAP_BDEV_READONLY))
		return DNR(LEAP_SC_NS_WRITE_PROTECTED);
	return check_pieces(bdev, bio, caps);
}

/* Payload that a layer reads itself: 1 to 256 entries. */
static leap_status_t check_list(const struct leap_bio *bio, uint32_t caps,
				uint32_t entry_bytes)
{
	uint64_t bytes = leap_pieces_bytes(bio->pieces, bio->nr_pieces);
	uint32_t i;

	if (caps & LEAP_BDEV_READONLY)
		return DNR(LEAP_SC_NS_WRITE_PROTECTED);
	for (i = 0; i < bio->nr_pieces; i++)
		if (bio->pieces[i].reach != LEAP_REACH_DIRECT)
			return DNR(LEAP_SC_INVALID_FIELD);
	if (!bytes || bytes % entry_bytes || bytes > 256u * entry_bytes)
		return DNR(LEAP_SC_INVALID_FIELD);
	return 0;
}

static leap_status_t check_ranges(const struct leap_bio *bio, uint32_t caps)
{
	if (!(caps & LEAP_BDEV_RANGES))
		return DNR(LEAP_SC_INVALID_OPCODE);
	if (bio->nr_blocks)
		return DNR(LEAP_SC_INVALID_FIELD);
	return check_list(bio, caps, sizeof(struct leap_dsm_range));
}

/* Where it goes is checked here, where it comes from by the layer. */
static leap_status_t check_copy(const struct leap_bdev *bdev,
				const struct leap_bio *bio, uint32_t caps)
{
	leap_status_t status;
	uint32_t bytes;

	if (!(caps & LEAP_BDEV_COPY))
		return DNR(LEAP_SC_INVALID_OPCODE);
	bytes = bio->sqe ? leap_copy_entry_bytes(bio->sqe) : 0;
	if (!bytes)
		return DNR(LEAP_SC_INVALID_FIELD);
	status = check_range(bdev, bio);
	return status ? status : check_list(bio, caps, bytes);
}

static leap_status_t check_compare_write(const struct leap_bdev *bdev,
					 struct leap_bio *bio, uint32_t caps)
{
	struct leap_bio compare = { .nr_blocks = bio->nr_blocks };
	leap_status_t status = check_range(bdev, bio);

	bio->result = 0;
	if (!(caps & LEAP_BDEV_COMPARE_WRITE))
		return DNR(LEAP_SC_INVALID_OPCODE);
	if (!bio->expect)
		return DNR(LEAP_SC_INVALID_FIELD);
	if (caps & LEAP_BDEV_READONLY)
		return DNR(LEAP_SC_NS_WRITE_PROTECTED);
	compare.pieces = bio->expect->pieces;
	compare.nr_pieces = (uint16_t)bio->expect->nr_pieces;
	if (!status && compare.nr_pieces != bio->expect->nr_pieces)
		status = DNR(LEAP_SC_INVALID_FIELD);
	if (!status)
		status = check_pieces(bdev, &compare, caps);
	return status ? status : check_pieces(bdev, bio, caps);
}

static leap_status_t check(const struct leap_bdev *bdev,
			   struct leap_bio *bio, uint32_t caps)
{
	leap_status_t status;

	if (bio->flags & ~(bio->op == LEAP_BIO_ZONE_SEND ? LEAP_BIO_ZONE_ALL :
			   LEAP_BIO_FUA | LEAP_BIO_DEAC))
		return DNR(LEAP_SC_INVALID_FIELD);
	if (bio->op == LEAP_BIO_VECTOR)
		return leap__check_vector(bdev, bio, caps);
	if (bio->op >= LEAP_BIO_ZONE_APPEND &&
	    bio->op <= LEAP_BIO_ZONE_REPORT) {
		status = leap__check_zone(bdev, bio, caps);
		if (!status && bio->op == LEAP_BIO_ZONE_APPEND)
			status = check_range(bdev, bio);
		if (!status && bio->op == LEAP_BIO_ZONE_APPEND)
			status = check_pieces(bdev, bio, caps);
		return status;
	}
	if (bio->op == LEAP_BIO_FLUSH)
		return bio->nr_blocks ? DNR(LEAP_SC_INVALID_FIELD) : 0;
	if (bio->op == LEAP_BIO_RANGES)
		return check_ranges(bio, caps);
	if (bio->op == LEAP_BIO_COPY)
		return check_copy(bdev, bio, caps);
	if (bio->op == LEAP_BIO_COMPARE_WRITE)
		return check_compare_write(bdev, bio, caps);
	if (bio->op > LEAP_BIO_VERIFY)
		return DNR(LEAP_SC_INVALID_OPCODE);
	if (bio->op <= LEAP_BIO_WRITE)
		return check_plain(bdev, bio, caps);
	status = check_range(bdev, bio);
	if (status)
		return status;
	if (bio->op == LEAP_BIO_COMPARE)
		return check_pieces(bdev, bio, caps);
	if (caps & LEAP_BDEV_READONLY && bio->op != LEAP_BIO_VERIFY)
		return DNR(LEAP_SC_NS_WRITE_PROTECTED);
	return bio->nr_pieces ? DNR(LEAP_SC_INVALID_FIELD) : 0;
}

static void save(struct leap_bio *bio, struct state *st)
{
	st->op = bio->op;
	st->flags = bio->flags;
	st->nr_pieces = bio->nr_pieces;
	st->nr_blocks = bio->nr_blocks;
	st->block = bio->block;
	st->pieces = bio->pieces;
}

static void restore(struct leap_bio *bio, const struct state *st)
{
	bio->op = st->op;
	bio->flags = st->flags;
	bio->nr_pieces = st->nr_pieces;
	bio->nr_blocks = st->nr_blocks;
	bio->block = st->block;
	bio->pieces = st->pieces;
}

/* The next write of zeroes, or read to nowhere; bio->block is where it
 * starts. */
static void part_prepare(struct leap_bio *bio, struct state *st)
{
	struct leap_chan *chan = bio->chan;
	uint32_t shift = chan->bdev->block_shift;
	uint64_t left = st->block + st->nr_blocks - bio->block;
	int zeroes = st->phase == PHASE_ZEROES;

	bio->nr_blocks = left < LEAP__PART_BYTES >> shift ? (uint32_t)left :
			 LEAP__PART_BYTES >> shift;
	memset(&st->part, 0, sizeof(st->part));
	st->part.addr = zeroes ? chan->zeroes : chan->sink;
	st->part.len_bytes = bio->nr_blocks << shift;
	bio->op = zeroes ? LEAP_BIO_WRITE : LEAP_BIO_READ;
	bio->pieces = &st->part;
	bio->nr_pieces = 1;
}

static void flush_prepare(struct leap_bio *bio, struct state *st)
{
	st->phase = PHASE_FLUSH;
	if (st->op == LEAP_BIO_COMPARE_WRITE)
		bio->result = 1;
	bio->op = LEAP_BIO_FLUSH;
	bio->flags = 0;
	bio->nr_pieces = 0;
	bio->nr_blocks = 0;
	bio->block = 0;
}

/* What comes after a part that went well: 1 = another part, 0 = finished. */
static int emulate_next(struct leap_bio *bio, struct state *st)
{
	uint32_t caps = leap__load_relaxed(&bio->chan->bdev->caps);

	if (st->phase == PHASE_ZEROES || st->phase == PHASE_VERIFY) {
		bio->block += bio->nr_blocks;
		if (bio->block < st->block + st->nr_blocks) {
			part_prepare(bio, st);
			return 1;
		}
	}
	if (st->phase == PHASE_VERIFY)
		return 0;
	if (st->phase != PHASE_FLUSH && st->flags & LEAP_BIO_FUA &&
	    !(caps & LEAP_BDEV_FUA) && caps & LEAP_BDEV_FLUSH) {
		flush_prepare(bio, st);
		return 1;
	}
	return 0;
}

/*
 * Submit parts until one stays in the layer or all are done. A layer that ends
 * a part inside submit is not called again from there: thousands of parts would
 * nest.
 */
static void emulate_run(struct leap_bio *bio)
{
	struct state *st = state_of(bio);
	struct leap_chan *chan = bio->chan;

	for (;;) {
		st->ended = 0;
		st->inside = 1;
		chan->bdev->ops.submit(chan, bio);
		st->inside = 0;
		if (!st->ended)
			return;
		if (st->status || !emulate_next(bio, st))
			break;
	}
	restore(bio, st);
	finish(bio, st->status);
}

static __attribute__((noinline)) void emulate_done(struct leap_bio *bio,
						   leap_status_t status)
{
	struct state *st = state_of(bio);

	st->status = status;
	if (st->inside) {
		st->ended = 1;
		return;
	}
	if (!status && emulate_next(bio, st)) {
		emulate_run(bio);
		return;
	}
	restore(bio, st);
	finish(bio, status);
}

/* What the layer has no capability for: finished here, or in parts. */
static int handled_above(struct leap_chan *chan, struct leap_bio *bio,
			 uint32_t caps)
{
	struct state *st = state_of(bio);

	if ((bio->op == LEAP_BIO_FLUSH && !(caps & LEAP_BDEV_FLUSH)) ||
	    (bio->op == LEAP_BIO_DISCARD && !(caps & LEAP_BDEV_DISCARD))) {
		finish(bio, 0);
		return 1;
	}
	if (bio->op == LEAP_BIO_COMPARE && !(caps & LEAP_BDEV_COMPARE)) {
		finish(bio, DNR(LEAP_SC_INVALID_OPCODE));
		return 1;
	}
	save(bio, st);
	if (bio->op == LEAP_BIO_WRITE_ZEROES &&
	    !(caps & LEAP_BDEV_WRITE_ZEROES)) {
		st->phase = PHASE_ZEROES;
		bio->flags = caps & LEAP_BDEV_FUA ?
			     bio->flags & LEAP_BIO_FUA : 0;
		part_prepare(bio, st);
	} else if (bio->op == LEAP_BIO_VERIFY && !(caps & LEAP_BDEV_VERIFY)) {
		st->phase = PHASE_VERIFY;
		bio->flags = 0;
		part_prepare(bio, st);
	} else if (bio->flags & LEAP_BIO_FUA && !(caps & LEAP_BDEV_FUA)) {
		bio->flags &= (uint8_t)~LEAP_BIO_FUA;
		/* Without a volatile cache every write is durable. */
		if (bio->op != LEAP_BIO_WRITE && bio->op != LEAP_BIO_COPY &&
		    bio->op != LEAP_BIO_WRITE_ZEROES &&
		    bio->op != LEAP_BIO_COMPARE_WRITE &&
		    bio->op != LEAP_BIO_ZONE_APPEND)
			return 0;
		if (!(caps & LEAP_BDEV_FLUSH))
			return 0;
		st->phase = PHASE_LAST;
	} else {
		return 0;
	}
	emulate_run(bio);
	return 1;
}

/* Flags, and what is neither read nor write. */
static __attribute__((noinline)) void submit_other(struct leap_chan *chan,
						   struct leap_bio *bio,
						   uint32_t caps)
{
	leap_status_t status = check(chan->bdev, bio, caps);

	if (status)
		finish(bio, status);
	else if (!handled_above(chan, bio, caps))
		chan->bdev->ops.submit(chan, bio);
}

static inline void submit_at(struct leap_chan *chan, struct leap_bio *bio,
			     uint64_t now_ns)
{
	struct leap_bdev *bdev = chan->bdev;
	uint32_t caps = leap__load_relaxed(&bdev->caps);
	struct state *st = state_of(bio);
	leap_status_t status;

	assert(st->phase == PHASE_IDLE);
	bio->chan = chan;
	bio->start_ns = now_ns;
	st->phase = PHASE_PLAIN;
	st->inside = 0;
	if (unlikely(bio->op > LEAP_BIO_WRITE || bio->flags)) {
		submit_other(chan, bio, caps);
		return;
	}
	status = check_plain(bdev, bio, caps);
	if (unlikely(status))
		refuse(bio, status);
	else
		bdev->ops.submit(chan, bio);
}

static __attribute__((cold, noinline)) void
submit_outside_poll(struct leap_chan *chan, struct leap_bio *bio)
{
	submit_at(chan, bio, leap_pollgroup_now_ns(chan->pg));
}

void leap_bio_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	if (likely(chan->pg->polling))
		submit_at(chan, bio, chan->pg->now_ns);
	else
		submit_outside_poll(chan, bio);
}

void leap_bio_done(struct leap_bio *bio, leap_status_t status)
{
	struct state *st = state_of(bio);

	assert(st->phase != PHASE_IDLE);
	if (likely(st->phase == PHASE_PLAIN))
		finish(bio, status);
	else
		emulate_done(bio, status);
}

void *leap_bio_priv(const struct leap_bio *bio)
{
	return state_of(bio) + 1;
}

struct leap_bio *leap_bio_child(struct leap_bio *bio, uint32_t i, uint32_t n,
				void (*done)(struct leap_bio *child,
					     leap_status_t status))
{
	const struct leap_bdev *bdev = bio->chan->bdev;
	struct leap_bio *child;

	assert(i < bdev->nr_children && n < bdev->ops.bio_children);
	child = (struct leap_bio *)((unsigned char *)bio + bdev->child_off[i] +
				    n * bdev->children[i]->bio_total);
	*child = *bio;
	child->done = done;
	child->arg = bio;
	return child;
}

struct leap_bio *leap_bio_get(struct leap_chan *chan)
{
	struct leap_bio *bio = leap__bio_take(chan);

	if (unlikely(!bio))
		return NULL;
	/* In two parts: of all of it at once, which is too long for a few
	 * stores, compilers make a "rep stos", slower than all of submit. */
	memset(bio, 0, offsetof(struct leap_bio, sqe));
	memset(&bio->sqe, 0, sizeof(*bio) - offsetof(struct leap_bio, sqe));
	return bio;
}

void leap_bio_put(struct leap_chan *chan, struct leap_bio *bio)
{
	assert(state_of(bio)->phase == PHASE_IDLE);
	leap__bio_return(chan, bio);
}
