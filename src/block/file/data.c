/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path of the file leaf: bios become operations of the world.
 *
 * A bio goes in steps, one operation at a time. Pieces that the file can take
 * as they are go straight; others (guests may align to four bytes, O_DIRECT
 * wants 512 and more) go through one of a few bounce buffers of the channel,
 * for which bios queue. Every step is whole blocks, so that no block is torn by
 * us. A failed sync latches: the kernel has dropped the pages by then, and a
 * second sync would lie. Knows nothing of paths, locks and sizes.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include <leapio/nvme.h>

#include "block/file/file.h"
#include "util/atomic.h"
#include "util/plant.h"

static void step(struct leap_chan *chan, struct leap_bio *bio);

static struct leap__file *file_of(const struct leap_bio *bio)
{
	return ((struct leap__file_chan *)leap_chan_priv(bio->chan))->file;
}

static leap_status_t status_of(const struct leap_bio *bio, int64_t res)
{
	switch (res) {
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return LEAP_SC_CAPACITY_EXCEEDED;
	case -EROFS:
	case -EPERM:
	case -EBADF:
		return LEAP_SC_NS_WRITE_PROTECTED;
	case -EIO:
	case -ENODATA:		/* a block device's medium error */
	case -EREMOTEIO:
		return bio->op == LEAP_BIO_READ || bio->op == LEAP_BIO_COMPARE ?
			LEAP_SC_UNRECOVERED_READ : LEAP_SC_WRITE_FAULT;
	}
	return leap_status_from_errno((int)res);
}

static uint64_t bio_bytes(const struct leap_bio *bio)
{
	return (uint64_t)bio->nr_blocks * file_of(bio)->block_bytes;
}

/*
 * Copy, or compare, @bytes of the bounce buffer with the pieces from @at on.
 * Returns 1 when a comparison found a difference.
 */
static int bounce_move(const struct leap_bio *bio, unsigned char *bounce,
		       uint64_t at, uint64_t bytes)
{
	const struct leap_piece *piece = bio->pieces;
	unsigned char *addr;
	uint64_t n;

	while (at >= piece->len_bytes && bytes)
		at -= piece++->len_bytes;
	for (; bytes; piece++, at = 0) {
		addr = (unsigned char *)piece->addr + at;
		n = piece->len_bytes - at;
		if (n > bytes)
			n = bytes;
		if (bio->op == LEAP_BIO_WRITE)
			memcpy(bounce, addr, n);
		else if (bio->op == LEAP_BIO_READ)
			memcpy(addr, bounce, n);
		else if (memcmp(addr, bounce, n - LEAP_PLANT(COMPARE_SHORT)))
			return 1;
		bounce += n;
		bytes -= n;
	}
	return 0;
}

static void bounce_free(struct leap_chan *chan, struct leap__file_bio *fb)
{
	struct leap__file_chan *fc = leap_chan_priv(chan);
	struct leap_bio *bio = fc->waiting;

	leap_bufpool_put(fc->bounce, fb->bounce);
	fb->bounce = NULL;
	if (!bio)
		return;
	fb = leap_bio_priv(bio);
	fc->waiting = fb->next;
	if (!fc->waiting)
		fc->tail = &fc->waiting;
	fb->bounce = leap_bufpool_get(fc->bounce);
	step(chan, bio);
}

static void end(struct leap_bio *bio, leap_status_t status)
{
	struct leap__file_bio *fb = leap_bio_priv(bio);

	if (fb->bounce)
		bounce_free(bio->chan, fb);
	leap_bio_done(bio, status);
}

/* A sync, or a write that was to be durable, has failed. */
static void latch(struct leap_bio *bio, int64_t res)
{
	if (res != -ENOSPC && res != -EDQUOT && res != -EFBIG &&
	    !LEAP_PLANT(FSYNC_UNLATCHED))
		leap__store_relaxed(&file_of(bio)->sync_failed, 1u);
}

static leap_status_t step_failed(struct leap_bio *bio, int64_t res)
{
	if (bio->op == LEAP_BIO_FLUSH || bio->flags & LEAP_BIO_FUA)
		latch(bio, res);
	return status_of(bio, res);
}

/* A step of reading, writing or comparing went well. */
static void step_done(struct leap_bio *bio, struct leap__file_bio *fb)
{
	if (fb->bounce && bio->op != LEAP_BIO_WRITE &&
	    bounce_move(bio, fb->bounce, fb->at_bytes, fb->step_bytes)) {
		end(bio, LEAP_SC_COMPARE_FAILED);
		return;
	}
	fb->at_bytes += fb->step_bytes;
	if (fb->at_bytes < bio_bytes(bio))
		step(bio->chan, bio);
	else
		end(bio, 0);
}

static void file_done(struct leap__io *io)
{
	struct leap_bio *bio = io->arg;
	struct leap__file_bio *fb = leap_bio_priv(bio);
	struct leap__file *f = file_of(bio);

	if (io->op == LEAP__IO_DISCARD && io->res == -EOPNOTSUPP) {
		leap__store_relaxed(&f->no_discard, 1u);
		leap__file_submit(bio->chan, bio);
		return;
	}
	if (io->res < 0) {
		end(bio, step_failed(bio, io->res));
		return;
	}
	if (io->op == LEAP__IO_READ || io->op == LEAP__IO_WRITE) {
		if ((uint64_t)io->res != fb->step_bytes)
			/* Somebody has cut the file off. */
			end(bio, status_of(bio, -EIO));
		else
			step_done(bio, fb);
		return;
	}
	if (io->op == LEAP__IO_ZERO && bio->flags & LEAP_BIO_FUA) {
		io->op = LEAP__IO_FSYNC;
		leap__io_submit(io->wfd->world, io);
		return;
	}
	/* Another channel may have been told of what befell us, too. */
	if (io->op == LEAP__IO_FSYNC && leap__load_relaxed(&f->sync_failed))
		end(bio, LEAP_SC_WRITE_FAULT);
	else
		end(bio, 0);
}

/* Pieces that can be handed to the file as they are, in whole blocks. */
static int fits(const struct leap__file *f, const struct leap_bio *bio)
{
	const struct leap_piece *piece = bio->pieces;
	const struct leap_piece *last = piece + bio->nr_pieces;

	if (f->align == 1 && bio->nr_pieces <= LEAP__FILE_IOVS)
		return 1;
	for (; piece < last; piece++)
		if (piece->len_bytes & (f->block_bytes - 1) ||
		    (uintptr_t)piece->addr & (f->align - 1))
			return 0;
	return 1;
}

static void step_pieces(struct leap_bio *bio, struct leap__file_bio *fb)
{
	const struct leap_piece *piece;

	fb->step_bytes = 0;
	fb->io.nr_iov = 0;
	while (fb->piece < bio->nr_pieces &&
	       fb->io.nr_iov < LEAP__FILE_IOVS) {
		piece = &bio->pieces[fb->piece++];
		fb->iov[fb->io.nr_iov].iov_base = piece->addr;
		fb->iov[fb->io.nr_iov++].iov_len = piece->len_bytes;
		fb->step_bytes += piece->len_bytes;
	}
}

static void step_bounce(struct leap_bio *bio, struct leap__file_bio *fb)
{
	uint64_t left = bio_bytes(bio) - fb->at_bytes;

	fb->step_bytes = left < LEAP__FILE_BOUNCE_BYTES ? left :
			 LEAP__FILE_BOUNCE_BYTES;
	fb->iov[0].iov_base = fb->bounce;
	fb->iov[0].iov_len = fb->step_bytes;
	fb->io.nr_iov = 1;
	if (bio->op == LEAP_BIO_WRITE)
		bounce_move(bio, fb->bounce, fb->at_bytes, fb->step_bytes);
}

static void step(struct leap_chan *chan, struct leap_bio *bio)
{
	struct leap__file_chan *fc = leap_chan_priv(chan);
	struct leap__file_bio *fb = leap_bio_priv(bio);

	if (fb->bounce)
		step_bounce(bio, fb);
	else
		step_pieces(bio, fb);
	fb->io.op = bio->op == LEAP_BIO_WRITE ? LEAP__IO_WRITE : LEAP__IO_READ;
	fb->io.flags = bio->flags & LEAP_BIO_FUA &&
		       bio->op == LEAP_BIO_WRITE &&
		       !LEAP_PLANT(FUA_IGNORED) ? LEAP__IO_FUA : 0;
	fb->io.iov = fb->iov;
	fb->io.offset = bio->block * fc->file->block_bytes + fb->at_bytes;
	fb->io.len = fb->step_bytes;
	leap__io_submit(fc->world, &fb->io);
}

static void transfer(struct leap_chan *chan, struct leap_bio *bio)
{
	struct leap__file_chan *fc = leap_chan_priv(chan);
	struct leap__file_bio *fb = leap_bio_priv(bio);

	if (bio->op == LEAP_BIO_COMPARE || !fits(fc->file, bio)) {
		fb->bounce = leap_bufpool_get(fc->bounce);
		if (!fb->bounce) {
			fb->next = NULL;
			*fc->tail = bio;
			fc->tail = &fb->next;
			return;
		}
	}
	step(chan, bio);
}

static void discard(struct leap_chan *chan, struct leap_bio *bio)
{
	struct leap__file_chan *fc = leap_chan_priv(chan);
	struct leap__file_bio *fb = leap_bio_priv(bio);

	if (!leap__load_relaxed(&fc->file->no_discard)) {
		fb->io.op = LEAP__IO_DISCARD;
	} else if (fc->file->is_block) {
		leap_bio_done(bio, 0);
		return;
	} else {
		/* We said that discarded blocks read as zeroes. */
		fb->io.op = LEAP__IO_ZERO;
	}
	leap__io_submit(fc->world, &fb->io);
}

void leap__file_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	struct leap__file_chan *fc = leap_chan_priv(chan);
	struct leap__file_bio *fb = leap_bio_priv(bio);

	if ((bio->op == LEAP_BIO_FLUSH || bio->flags & LEAP_BIO_FUA) &&
	    leap__load_relaxed(&fc->file->sync_failed)) {
		leap_bio_done(bio, LEAP_SC_WRITE_FAULT | LEAP_STATUS_DNR);
		return;
	}
	memset(&fb->io, 0, sizeof(fb->io));
	fb->bounce = NULL;
	fb->at_bytes = 0;
	fb->piece = 0;
	fb->io.wfd = fc->wfd;
	fb->io.done = file_done;
	fb->io.arg = bio;
	fb->io.offset = bio->block * fc->file->block_bytes;
	fb->io.len = (uint64_t)bio->nr_blocks * fc->file->block_bytes;
	switch (bio->op) {
	case LEAP_BIO_FLUSH:
		fb->io.op = LEAP__IO_FSYNC;
		if (LEAP_PLANT(ACK_BEFORE_FLUSH)) {
			leap_bio_done(bio, 0);
			return;
		}
		break;
	case LEAP_BIO_DISCARD:
		discard(chan, bio);
		return;
	case LEAP_BIO_WRITE_ZEROES:
		fb->io.op = LEAP__IO_ZERO;
		if (bio->flags & LEAP_BIO_DEAC)
			fb->io.flags = LEAP__IO_PUNCH;
		break;
	default:
		transfer(chan, bio);
		return;
	}
	leap__io_submit(fc->world, &fb->io);
}
