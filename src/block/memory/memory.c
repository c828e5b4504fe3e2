/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory: a drive in the memory of this process. A leaf.
 *
 *	memory:SIZE[block=512|4096,max=SIZE]
 *
 * Address space is reserved once, for as far as the drive may ever grow; the
 * kernel gives pages as they are written and takes them back when they are
 * zeroed, so a drive of many terabytes costs what is in it. A write is durable
 * as far as memory can be: there is no volatile cache to flush. Ends every bio
 * inside submit, but for zeroing of large ranges, which goes on a bounded step
 * per poll.
 *
 * A block is read and written whole, whatever other threads do to it: each
 * region of 4 KiB belongs to a stripe, held while a part of it is copied. This
 * is the one place where the data path waits for another thread, and only for
 * one that copies in the same stripe at this moment.
 */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <leapio/nvme.h>
#include <leapio/plugin/bdev_ops.h>
#include <leapio/pollgroup.h>

#include "block/copy.h"
#include "util/atomic.h"
#include "util/err.h"

#define CAPS (LEAP_BDEV_FUA | LEAP_BDEV_DISCARD | LEAP_BDEV_WRITE_ZEROES | \
	      LEAP_BDEV_ZERO_DISCARD | LEAP_BDEV_COMPARE | LEAP_BDEV_VERIFY | \
	      LEAP_BDEV_COPY | LEAP_BDEV_COMPARE_WRITE | LEAP_BDEV_EXCLUSIVE)
#define SIZE_MAX_BYTES	(UINT64_C(1) << 46)	/* half of x86's user space */
#define STEP_BYTES	(UINT64_C(2) << 20)	/* zeroed per poll:
						 * about 0.1 ms */
#define MADVISE_BYTES	65536u			/* below, memset is faster */

#define REGION_BYTES	4096u
#define NR_STRIPES	64u
#define SPINS		128		/* then let the holder run */

struct stripe {
	_Alignas(64) uint32_t held;
};

struct memory {
	struct stripe *stripes;
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

struct held {
	uint32_t first, nr;	/* stripes */
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

static void hold(struct stripe *stripe)
{
	uint32_t spins = 0;

	while (leap__exchange(&stripe->held, 1u)) {
		if (++spins % SPINS)
			leap__cpu_relax();
		else
			sched_yield();
	}
}

static void let_go(struct stripe *stripe)
{
	leap__store_release(&stripe->held, 0u);
}

static struct stripe *stripe_of(const struct memory *m, uint64_t offset)
{
	return &m->stripes[offset / REGION_BYTES % NR_STRIPES];
}

static int memory_open(struct leap_bdev *bdev)
{
	struct memory *m = leap_bdev_priv(bdev);
	uint64_t bytes, block, max;
	int err;

	err = memory_opts(bdev, &bytes, &block, &max);
	if (err)
		return err;
	m->stripes = aligned_alloc(64, NR_STRIPES * sizeof(*m->stripes));
	if (!m->stripes)
		return leap__err(-ENOMEM, "memory: out of memory");
	memset(m->stripes, 0, NR_STRIPES * sizeof(*m->stripes));
	m->page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
	m->shift = block == 4096 ? 12 : 9;
	m->reserved = pages_up(m, max);
	m->usable = pages_up(m, bytes);
	m->base = mmap(NULL, m->reserved, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->base == MAP_FAILED) {
		free(m->stripes);
		return leap__err(-ENOMEM,
			"memory: no address space for %llu bytes",
			(unsigned long long)max);
	}
	if (mprotect(m->base, m->usable, PROT_READ | PROT_WRITE)) {
		munmap(m->base, m->reserved);
		free(m->stripes);
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
	free(m->stripes);
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

/* The stripes that a range of one or of many regions needs, in ascending order,
 * as several are held at once nowhere else. */
static void hold_range(const struct memory *m, uint64_t at, uint64_t bytes,
		       struct held *held)
{
	uint64_t nr = (at % REGION_BYTES + bytes + REGION_BYTES - 1) /
		      REGION_BYTES;
	uint64_t first = at / REGION_BYTES % NR_STRIPES, i;

	if (nr > NR_STRIPES || first + nr > NR_STRIPES) {
		first = 0;
		nr = NR_STRIPES;
	}
	held->first = (uint32_t)first;
	held->nr = (uint32_t)nr;
	for (i = 0; i < nr; i++)
		hold(&m->stripes[first + i]);
}

static void let_range_go(const struct memory *m, const struct held *held)
{
	uint32_t i;

	for (i = 0; i < held->nr; i++)
		let_go(&m->stripes[held->first + i]);
}

static void zero_held(const struct memory *m, uint64_t at, uint64_t bytes,
		      int give_back)
{
	struct held held;

	hold_range(m, at, bytes, &held);
	zero_bytes(m, m->base + at, bytes, give_back);
	let_range_go(m, &held);
}

/* One step; 1 when the bio is finished with. */
static int zero_step(const struct memory *m, struct leap_bio *bio)
{
	struct memory_bio *mb = leap_bio_priv(bio);
	uint64_t left = ((uint64_t)bio->nr_blocks << m->shift) -
			mb->done_bytes;
	uint64_t n = left < STEP_BYTES ? left : STEP_BYTES;

	zero_held(m, (bio->block << m->shift) + mb->done_bytes, n,
		  bio->op == LEAP_BIO_DISCARD || bio->flags & LEAP_BIO_DEAC);
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

static int move(uint8_t op, unsigned char *at, unsigned char *payload,
		uint32_t n)
{
	if (op == LEAP_BIO_READ)
		memcpy(payload, at, n);
	else if (op == LEAP_BIO_WRITE)
		memcpy(at, payload, n);
	else
		return memcmp(at, payload, n);
	return 0;
}

/* Region by region, each held while pieces go in or out. */
static leap_status_t transfer(const struct memory *m,
			      const struct leap_bio *bio)
{
	const struct leap_piece *piece = bio->pieces;
	uint64_t at = bio->block << m->shift;
	uint64_t left = (uint64_t)bio->nr_blocks << m->shift;
	uint32_t in_piece = 0, region, n;
	int differs = 0;

	while (left && !differs) {
		struct stripe *stripe = stripe_of(m, at);

		region = REGION_BYTES - (uint32_t)(at % REGION_BYTES);
		if (region > left)
			region = (uint32_t)left;
		left -= region;
		hold(stripe);
		for (; region && !differs; region -= n) {
			n = piece->len_bytes - in_piece;
			if (n > region)
				n = region;
			differs = move(bio->op, m->base + at,
				       (unsigned char *)piece->addr + in_piece,
				       n);
			at += n;
			in_piece += n;
			if (in_piece == piece->len_bytes) {
				piece++;
				in_piece = 0;
			}
		}
		let_go(stripe);
	}
	return differs ? LEAP_SC_COMPARE_FAILED : 0;
}

/* Never across the end of a region on either side. One stripe is held at a
 * time: both at once would have to be taken in order. */
static void copy_range(const struct memory *m, uint64_t from, uint64_t to,
		       uint64_t bytes)
{
	unsigned char region[REGION_BYTES];
	uint64_t n;

	for (; bytes; bytes -= n, from += n, to += n) {
		n = REGION_BYTES - from % REGION_BYTES;
		if (n > REGION_BYTES - to % REGION_BYTES)
			n = REGION_BYTES - to % REGION_BYTES;
		if (n > bytes)
			n = bytes;
		hold(stripe_of(m, from));
		memcpy(region, m->base + from, n);
		let_go(stripe_of(m, from));
		hold(stripe_of(m, to));
		memcpy(m->base + to, region, n);
		let_go(stripe_of(m, to));
	}
}

static leap_status_t copy(struct leap_chan *chan, struct leap_bio *bio)
{
	struct memory *m = leap_bdev_priv(leap_chan_bdev(chan));
	struct leap_bdev_info info = { sizeof(info) };
	uint64_t to = bio->block << m->shift, bytes;
	struct leap__copy_list list;
	leap_status_t status;
	uint32_t bad, i;

	leap_bdev_info(leap_chan_bdev(chan), &info);
	status = leap__copy_list_read(bio->sqe, bio->pieces, bio->nr_pieces,
				      info.nr_blocks, &list, &bad);
	if (!status && list.nr_blocks != bio->nr_blocks)
		status = LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR;
	if (status) {
		bio->result = bad;
		return status;
	}
	for (i = 0; i < list.nr; i++, to += bytes) {
		bytes = (uint64_t)list.range[i].nr_blocks << m->shift;
		copy_range(m, list.range[i].block << m->shift, to, bytes);
	}
	return 0;
}

static int pieces_differ(const unsigned char *at,
			 const struct leap_piece *p, uint32_t nr)
{
	for (; nr; nr--, at += p->len_bytes, p++)
		if (memcmp(at, p->addr, p->len_bytes))
			return 1;
	return 0;
}

static leap_status_t compare_write(const struct memory *m,
				   const struct leap_bio *bio)
{
	uint64_t at = bio->block << m->shift;
	unsigned char *to = m->base + at;
	struct held held;
	uint32_t i;
	int differs;

	hold_range(m, at, (uint64_t)bio->nr_blocks << m->shift, &held);
	differs = pieces_differ(to, bio->expect->pieces,
				bio->expect->nr_pieces);
	for (i = 0; !differs && i < bio->nr_pieces; i++) {
		memcpy(to, bio->pieces[i].addr, bio->pieces[i].len_bytes);
		to += bio->pieces[i].len_bytes;
	}
	let_range_go(m, &held);
	return differs ? LEAP_SC_COMPARE_FAILED : 0;
}

static void memory_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	struct memory *m = leap_bdev_priv(leap_chan_bdev(chan));
	leap_status_t status = 0;

	switch (bio->op) {
	case LEAP_BIO_READ:
	case LEAP_BIO_WRITE:
	case LEAP_BIO_COMPARE:
		status = transfer(m, bio);
		break;
	case LEAP_BIO_WRITE_ZEROES:
	case LEAP_BIO_DISCARD:
		zero(chan, bio);
		return;
	case LEAP_BIO_COPY:
		status = copy(chan, bio);
		break;
	case LEAP_BIO_COMPARE_WRITE:
		status = compare_write(m, bio);
		break;
	}
	/* Verify: nothing here can be unreadable. */
	leap_bio_done(bio, status);
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
