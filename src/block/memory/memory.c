/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory: a drive in the memory of this process. A leaf.
 *
 *	memory:SIZE[block=512|4096,max=SIZE]
 *
 * Address space is reserved once, for as far as the drive may ever grow; the
 * kernel gives pages as they are written and takes them back when they are
 * zeroed, so a drive of many terabytes costs what is in it. Nothing moves, so
 * channels on other threads copy without a lock. A write is durable as far as
 * memory can be: there is no volatile cache to flush. Ends every bio inside
 * submit, but for zeroing of large ranges, which goes on a bounded step per
 * poll.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <leapio/nvme.h>
#include <leapio/plugin/bdev_ops.h>
#include <leapio/pollgroup.h>

#include "util/err.h"

#define CAPS (LEAP_BDEV_FUA | LEAP_BDEV_DISCARD | LEAP_BDEV_WRITE_ZEROES | \
	      LEAP_BDEV_ZERO_DISCARD | LEAP_BDEV_COMPARE)
#define SIZE_MAX_BYTES	(UINT64_C(1) << 46)	/* half of x86's user space */
#define STEP_BYTES	(UINT64_C(16) << 20)	/* zeroed per poll: about 1 ms */
#define MADVISE_BYTES	65536u			/* below, memset is faster */

struct memory {
	unsigned char *base;
	uint64_t reserved;	/* bytes of address space */
	uint64_t usable;	/* of them, readable and writable */
	uint32_t shift;
	uint32_t page_bytes;
};

struct memory_chan {
	struct leap_poller poller;	/* first */
	struct leap_chan *chan;
	struct leap_bio *head;		/* being zeroed, oldest first */
	struct leap_bio **tail;
};

struct memory_bio {
	struct leap_bio *next;
	uint64_t done_bytes;
};

static int memory_opts(struct leap_bdev *bdev, uint64_t *bytes,
		       uint64_t *block, uint64_t *max)
{
	int err;

	err = leap_bdev_opt_u64(bdev, NULL, 0, SIZE_MAX_BYTES, bytes);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "block", 512, 4096, block);
	if (err)
		return err;
	if (*block != 512 && *block != 4096)
		return leap__err(-EINVAL,
			"memory: block %llu is not 512 or 4096",
			(unsigned long long)*block);
	if (!*bytes || *bytes % *block)
		return leap__err(-EINVAL,
			"memory: size %llu is not a multiple of block %llu",
			(unsigned long long)*bytes,
			(unsigned long long)*block);
	err = leap_bdev_opt_u64(bdev, "max", *bytes > SIZE_MAX_BYTES / 4 ?
				*bytes : *bytes * 4, SIZE_MAX_BYTES, max);
	if (!err && *max < *bytes)
		err = leap__err(-EINVAL, "memory: max %llu is less than size",
				(unsigned long long)*max);
	return err;
}

static uint64_t pages_up(const struct memory *m, uint64_t bytes)
{
	return (bytes + m->page_bytes - 1) & ~(uint64_t)(m->page_bytes - 1);
}

static int memory_open(struct leap_bdev *bdev)
{
	struct memory *m = leap_bdev_priv(bdev);
	uint64_t bytes, block, max;
	int err;

	err = memory_opts(bdev, &bytes, &block, &max);
	if (err)
		return err;
	m->page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
	m->shift = block == 4096 ? 12 : 9;
	m->reserved = pages_up(m, max);
	m->usable = pages_up(m, bytes);
	m->base = mmap(NULL, m->reserved, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->base == MAP_FAILED)
		return leap__err(-ENOMEM,
			"memory: no address space for %llu bytes",
			(unsigned long long)max);
	if (mprotect(m->base, m->usable, PROT_READ | PROT_WRITE)) {
		munmap(m->base, m->reserved);
		return leap__err(-ENOMEM, "memory: no room for %llu bytes",
				 (unsigned long long)bytes);
	}
	/* A crash of the program need not write the drive to disk. */
	madvise(m->base, m->reserved, MADV_DONTDUMP);
	leap_bdev_set(bdev, (uint32_t)block, bytes >> m->shift, CAPS);
	return 0;
}

static void memory_close(struct leap_bdev *bdev)
{
	struct memory *m = leap_bdev_priv(bdev);

	munmap(m->base, m->reserved);
}

static void zero_bytes(const struct memory *m, unsigned char *from,
		       uint64_t bytes, int give_back)
{
	uintptr_t mask = m->page_bytes - 1;
	unsigned char *end = from + bytes;
	unsigned char *first, *last;

	first = (unsigned char *)(((uintptr_t)from + mask) & ~mask);
	last = (unsigned char *)((uintptr_t)end & ~mask);
	if (first < last && (give_back || bytes >= MADVISE_BYTES) &&
	    !madvise(first, (size_t)(last - first), MADV_DONTNEED)) {
		memset(from, 0, (size_t)(first - from));
		memset(last, 0, (size_t)(end - last));
		return;
	}
	memset(from, 0, bytes);
}

/* One step; 1 when the bio is finished with. */
static int zero_step(const struct memory *m, struct leap_bio *bio)
{
	struct memory_bio *mb = leap_bio_priv(bio);
	uint64_t left = ((uint64_t)bio->nr_blocks << m->shift) -
			mb->done_bytes;
	uint64_t n = left < STEP_BYTES ? left : STEP_BYTES;

	zero_bytes(m, m->base + (bio->block << m->shift) + mb->done_bytes, n,
		   bio->op == LEAP_BIO_DISCARD ||
		   bio->flags & LEAP_BIO_DEAC);
	mb->done_bytes += n;
	return n == left;
}

static int memory_poll(struct leap_poller *poller, unsigned int budget)
{
	struct memory_chan *mc = (struct memory_chan *)poller;
	struct memory *m = leap_bdev_priv(leap_chan_bdev(mc->chan));
	struct leap_bio *bio = mc->head;
	struct memory_bio *mb;

	if (!bio)
		return 0;
	if (zero_step(m, bio)) {
		mb = leap_bio_priv(bio);
		mc->head = mb->next;
		if (!mc->head) {
			mc->tail = &mc->head;
			leap_pollgroup_del_poller(leap_chan_pollgroup(mc->chan),
						  poller);
		}
		leap_bio_done(bio, 0);
	}
	return 1;
}

static int memory_arm(struct leap_poller *poller)
{
	return ((struct memory_chan *)poller)->head != NULL;
}

static void zero(struct leap_chan *chan, struct leap_bio *bio)
{
	struct memory_chan *mc = leap_chan_priv(chan);
	struct memory_bio *mb = leap_bio_priv(bio);

	mb->next = NULL;
	mb->done_bytes = 0;
	if (zero_step(leap_bdev_priv(leap_chan_bdev(chan)), bio)) {
		leap_bio_done(bio, 0);
		return;
	}
	if (!mc->head)
		leap_pollgroup_add_poller(leap_chan_pollgroup(chan),
					  &mc->poller);
	*mc->tail = bio;
	mc->tail = &mb->next;
}

/* Hosts order what touches the same blocks: nothing here does. */
static leap_status_t copy_data(unsigned char *at, struct leap_bio *bio)
{
	const struct leap_piece *piece = bio->pieces;
	const struct leap_piece *end = piece + bio->nr_pieces;
	leap_status_t status = 0;

	switch (bio->op) {
	case LEAP_BIO_READ:
		for (; piece < end; at += piece++->len_bytes)
			memcpy(piece->addr, at, piece->len_bytes);
		break;
	case LEAP_BIO_WRITE:
		for (; piece < end; at += piece++->len_bytes)
			memcpy(at, piece->addr, piece->len_bytes);
		break;
	case LEAP_BIO_COMPARE:
		for (; piece < end && !status; at += piece++->len_bytes)
			if (memcmp(at, piece->addr, piece->len_bytes))
				status = LEAP_SC_COMPARE_FAILED;
		break;
	}
	return status;
}

static void memory_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	struct memory *m = leap_bdev_priv(leap_chan_bdev(chan));

	if (bio->op == LEAP_BIO_WRITE_ZEROES || bio->op == LEAP_BIO_DISCARD)
		zero(chan, bio);
	else
		leap_bio_done(bio, copy_data(m->base +
					     (bio->block << m->shift), bio));
}

static int memory_chan_open(struct leap_chan *chan)
{
	struct memory_chan *mc = leap_chan_priv(chan);

	mc->chan = chan;
	mc->tail = &mc->head;
	mc->poller.poll = memory_poll;
	mc->poller.arm = memory_arm;
	return 0;
}

/*
 * What is cut off stays mapped until close, because a bio of another thread may
 * still be on its way to it; it is zeroed when the drive grows again.
 */
static int memory_resize(struct leap_bdev *bdev, uint64_t bytes)
{
	struct memory *m = leap_bdev_priv(bdev);
	struct leap_bdev_info info = { sizeof(info) };
	uint64_t old;

	leap_bdev_info(bdev, &info);
	old = info.nr_blocks << m->shift;
	if (bytes > m->reserved)
		return leap__err(-ENOSPC,
			"leap_bdev_resize: %llu bytes exceed memory's max %llu",
			(unsigned long long)bytes,
			(unsigned long long)m->reserved);
	if (pages_up(m, bytes) > m->usable) {
		if (mprotect(m->base, pages_up(m, bytes),
			     PROT_READ | PROT_WRITE))
			return leap__err(-ENOSPC,
				"leap_bdev_resize: no room for %llu bytes",
				(unsigned long long)bytes);
		m->usable = pages_up(m, bytes);
	}
	if (bytes > old)
		zero_bytes(m, m->base + old, bytes - old, 1);
	leap_bdev_set(bdev, info.block_bytes, bytes >> m->shift, info.caps);
	return 0;
}

const struct leap_bdev_ops leap__memory_ops = {
	.size = sizeof(struct leap_bdev_ops),
	.name = "memory",
	.help = "memory:SIZE     sparse, in this process\n"
		"block=512|4096  block size\n"
		"max=SIZE        how far it may be resized; 4 times SIZE",
	.bdev_bytes = sizeof(struct memory),
	.chan_bytes = sizeof(struct memory_chan),
	.bio_bytes = sizeof(struct memory_bio),
	.open = memory_open,
	.close = memory_close,
	.chan_open = memory_chan_open,
	.submit = memory_submit,
	.resize = memory_resize,
};
