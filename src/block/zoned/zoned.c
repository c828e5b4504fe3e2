/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zoned: a drive of zones in the memory of this process. A leaf.
 *
 *	zoned:SIZE[block=512|4096,zone=SIZE,cap=SIZE,max_active=N,max_open=N,
 *	           append=SIZE,across=on|off,readonly=ZONE,offline=ZONE]
 *
 * Every operation ends inside submit. Bytes are copied while their zone is
 * held, states change while all zones are held (state.c), in this order; both
 * for as long as the copy takes, which only a thread that uses the same zone
 * waits for. What lies behind a zone's pointer is whatever was there before,
 * and is never shown: it reads as zeroes.
 */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/zoned/zoned.h"
#include "util/atomic.h"
#include "util/err.h"

#define CAPS (LEAP_BDEV_FUA | LEAP_BDEV_WRITE_ZEROES | LEAP_BDEV_COMPARE | \
	      LEAP_BDEV_ZERO_DISCARD | LEAP_BDEV_ZONED)
#define SIZE_MAX_BYTES	(UINT64_C(1) << 46)
#define ZONE_BYTES	(UINT64_C(64) << 20)
#define MAX_ZONES	(1u << 20)
#define MADVISE_BYTES	65536u
#define SPINS		128

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

struct zoned {
	struct leap__zones z;
	unsigned char *base;
	uint64_t bytes;
	uint32_t shift;
	uint32_t across;
};

void leap__zone_lock(uint32_t *held)
{
	uint32_t spins = 0;

	while (leap__exchange(held, 1u)) {
		if (++spins % SPINS)
			leap__cpu_relax();
		else
			sched_yield();
	}
}

void leap__zone_unlock(uint32_t *held)
{
	leap__store_release(held, 0u);
}

/* ---- options ---- */

struct zoned_opts {
	uint64_t bytes, block, zone, cap, max_active, max_open, append;
	uint64_t readonly, offline;
	int across;
};

static int read_opts(struct leap_bdev *bdev, struct zoned_opts *o)
{
	int err;

	err = leap_bdev_opt_u64(bdev, NULL, 0, SIZE_MAX_BYTES, &o->bytes);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "block", 4096, 4096, &o->block);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "zone", ZONE_BYTES,
					UINT64_C(1) << 40, &o->zone);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "cap", o->zone, o->zone,
					&o->cap);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "max_active", 0, MAX_ZONES,
					&o->max_active);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "max_open", o->max_active,
					MAX_ZONES, &o->max_open);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "append", 0, 1u << 30,
					&o->append);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "readonly", MAX_ZONES, MAX_ZONES,
					&o->readonly);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "offline", MAX_ZONES, MAX_ZONES,
					&o->offline);
	if (!err)
		err = leap_bdev_opt_bool(bdev, "across", 1, &o->across);
	return err;
}

static int check_opts(const struct zoned_opts *o)
{
	if (o->block != 512 && o->block != 4096)
		return leap__err(-EINVAL,
				 "zoned: block %llu is not 512 or 4096",
				 (unsigned long long)o->block);
	/* Whole pages, for those that are given back. */
	if (!o->zone || o->zone % 4096 || o->zone / o->block > UINT32_MAX / 2)
		return leap__err(-EINVAL,
			"zoned: zone %llu is no multiple of 4096 or too large",
			(unsigned long long)o->zone);
	if (!o->cap || o->cap % o->block)
		return leap__err(-EINVAL,
			"zoned: cap %llu is no multiple of block %llu",
			(unsigned long long)o->cap,
			(unsigned long long)o->block);
	if (!o->bytes || o->bytes % o->zone || o->bytes / o->zone > MAX_ZONES)
		return leap__err(-EINVAL,
			"zoned: size %llu is not 1 to %u zones of %llu",
			(unsigned long long)o->bytes, MAX_ZONES,
			(unsigned long long)o->zone);
	if (o->max_active && (!o->max_open || o->max_open > o->max_active))
		return leap__err(-EINVAL,
			"zoned: max_open %llu is not 1 to max_active %llu",
			(unsigned long long)o->max_open,
			(unsigned long long)o->max_active);
	/* Hosts are told a power of two of pages. */
	if (o->append && (o->append < 4096 || o->append & (o->append - 1)))
		return leap__err(-EINVAL,
			"zoned: append %llu is not 4096 times a power of two",
			(unsigned long long)o->append);
	return 0;
}

static void set_zones(struct leap_bdev *bdev, const struct zoned_opts *o)
{
	struct leap_bdev_zones zones = { .size = sizeof(zones) };

	zones.zone_blocks = (uint32_t)(o->zone / o->block);
	zones.max_active = (uint32_t)o->max_active;
	zones.max_open = (uint32_t)o->max_open;
	zones.append_blocks = (uint32_t)(o->append / o->block);
	zones.read_across = (uint32_t)o->across;
	leap_bdev_set_zones(bdev, &zones);
}

static int zoned_open(struct leap_bdev *bdev)
{
	struct zoned *zd = leap_bdev_priv(bdev);
	struct leap__zones *z = &zd->z;
	struct zoned_opts o;
	int err = read_opts(bdev, &o);

	if (!err)
		err = check_opts(&o);
	if (err)
		return err;
	zd->bytes = o.bytes;
	zd->shift = o.block == 4096 ? 12 : 9;
	zd->across = (uint32_t)o.across;
	z->nr = (uint32_t)(o.bytes / o.zone);
	z->blocks = (uint32_t)(o.zone >> zd->shift);
	z->cap = (uint32_t)(o.cap >> zd->shift);
	z->max_active = (uint32_t)o.max_active;
	z->max_open = (uint32_t)o.max_open;
	z->zone = calloc(z->nr, sizeof(*z->zone));
	if (!z->zone)
		return leap__err(-ENOMEM, "zoned: out of memory");
	zd->base = mmap(NULL, zd->bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (zd->base == MAP_FAILED) {
		free(z->zone);
		return leap__err(-ENOMEM, "zoned: no room for %llu bytes",
				 (unsigned long long)zd->bytes);
	}
	madvise(zd->base, zd->bytes, MADV_DONTDUMP);
	leap__zones_init(z);
	if (o.readonly < z->nr)
		leap__zone_break(z, &z->zone[o.readonly], LEAP_ZS_READ_ONLY);
	if (o.offline < z->nr)
		leap__zone_break(z, &z->zone[o.offline], LEAP_ZS_OFFLINE);
	set_zones(bdev, &o);
	leap_bdev_set(bdev, (uint32_t)o.block, o.bytes >> zd->shift, CAPS);
	return 0;
}

static void zoned_close(struct leap_bdev *bdev)
{
	struct zoned *zd = leap_bdev_priv(bdev);

	munmap(zd->base, zd->bytes);
	free(zd->z.zone);
}

/* ---- bytes ---- */

/* A place in the payload of a bio. */
struct cursor {
	const struct leap_piece *piece;
	uint32_t at;
};

static int is_zero(const unsigned char *p, uint32_t n)
{
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

/* @n bytes between @at, NULL = zeroes, and the payload. 1: they differ. */
static int move(struct cursor *c, uint8_t op, unsigned char *at, uint64_t n)
{
	unsigned char *payload;
	int differs = 0;
	uint32_t part;

	for (; n && !differs; n -= part) {
		payload = (unsigned char *)c->piece->addr + c->at;
		part = c->piece->len_bytes - c->at;
		if (part > n)
			part = (uint32_t)n;
		if (op == LEAP_BIO_COMPARE)
			differs = at ? !!memcmp(at, payload, part) :
				       !is_zero(payload, part);
		else if (op != LEAP_BIO_READ)
			memcpy(at, payload, part);
		else if (at)
			memcpy(payload, at, part);
		else
			memset(payload, 0, part);
		at = at ? at + part : NULL;
		c->at += part;
		if (c->at == c->piece->len_bytes) {
			c->piece++;
			c->at = 0;
		}
	}
	return differs;
}

static void zero_bytes(unsigned char *at, uint64_t n)
{
	uintptr_t mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;

	if (n < MADVISE_BYTES || ((uintptr_t)at & mask) || (n & mask) ||
	    madvise(at, n, MADV_DONTNEED))
		memset(at, 0, n);
}

static unsigned char *at_block(const struct zoned *zd, uint64_t block)
{
	return zd->base + (block << zd->shift);
}

/* ---- reading ---- */

/* The part of a bio that lies in one zone. */
static leap_status_t read_part(struct zoned *zd, uint8_t op,
			       struct cursor *c, uint64_t block, uint32_t nr)
{
	struct leap__zone *zone = &zd->z.zone[block / zd->z.blocks];
	uint32_t at = (uint32_t)(block % zd->z.blocks), there;
	uint8_t state;
	int differs;

	leap__zone_lock(&zone->held);
	leap__zone_lock(&zd->z.held);
	there = zone->written > at ? zone->written - at : 0;
	state = zone->state;
	leap__zone_unlock(&zd->z.held);
	if (there > nr)
		there = nr;
	if (state == LEAP_ZS_OFFLINE) {
		leap__zone_unlock(&zone->held);
		return DNR(LEAP_SC_ZONE_OFFLINE);
	}
	differs = move(c, op, at_block(zd, block),
		       (uint64_t)there << zd->shift);
	if (!differs)
		differs = move(c, op, NULL,
			       (uint64_t)(nr - there) << zd->shift);
	leap__zone_unlock(&zone->held);
	return differs ? LEAP_SC_COMPARE_FAILED : 0;
}

static leap_status_t do_read(struct zoned *zd, const struct leap_bio *bio)
{
	struct cursor c = { .piece = bio->pieces };
	uint64_t block = bio->block;
	uint32_t left = bio->nr_blocks, nr;
	leap_status_t status = 0;

	if (!zd->across && block / zd->z.blocks !=
			   (block + left - 1) / zd->z.blocks)
		return DNR(LEAP_SC_ZONE_BOUNDARY);
	for (; left && !status; left -= nr, block += nr) {
		nr = zd->z.blocks - (uint32_t)(block % zd->z.blocks);
		if (nr > left)
			nr = left;
		status = read_part(zd, bio->op, &c, block, nr);
	}
	return status;
}

/* ---- writing ---- */

static leap_status_t do_write(struct zoned *zd, struct leap_bio *bio)
{
	struct cursor c = { .piece = bio->pieces };
	uint64_t bytes = (uint64_t)bio->nr_blocks << zd->shift, start;
	struct leap__zone *zone = &zd->z.zone[bio->block / zd->z.blocks];
	leap_status_t status;
	uint32_t where = 0;

	leap__zone_lock(&zone->held);
	leap__zone_lock(&zd->z.held);
	status = leap__zone_write(&zd->z, zone,
				  (uint32_t)(bio->block % zd->z.blocks),
				  bio->nr_blocks,
				  bio->op == LEAP_BIO_ZONE_APPEND, &where);
	leap__zone_unlock(&zd->z.held);
	start = bio->block - bio->block % zd->z.blocks;
	if (status)
		status = DNR(status);
	else if (bio->op == LEAP_BIO_WRITE_ZEROES)
		zero_bytes(at_block(zd, start + where), bytes);
	else
		move(&c, LEAP_BIO_WRITE, at_block(zd, start + where), bytes);
	leap__zone_unlock(&zone->held);
	bio->result = start + where;
	return status;
}

/* ---- zones ---- */

static leap_status_t do_action(struct zoned *zd, const struct leap_bio *bio)
{
	uint32_t action = (uint32_t)bio->result;
	struct leap__zone *zone = &zd->z.zone[bio->block / zd->z.blocks];
	leap_status_t status;

	/* What is reset is not shown any more, whoever copies there: and who
	 * writes there next has to hold the zone. */
	if (bio->flags & LEAP_BIO_ZONE_ALL) {
		leap__zone_lock(&zd->z.held);
		status = leap__zones_action(&zd->z, action);
		leap__zone_unlock(&zd->z.held);
	} else {
		leap__zone_lock(&zone->held);
		leap__zone_lock(&zd->z.held);
		status = leap__zone_action(&zd->z, zone, action);
		leap__zone_unlock(&zd->z.held);
		if (!status && action == LEAP_ZSA_RESET)
			zero_bytes(at_block(zd, bio->block),
				   (uint64_t)zd->z.blocks << zd->shift);
		leap__zone_unlock(&zone->held);
	}
	return status ? DNR(status) : 0;
}

static void put_bytes(struct cursor *c, const void *from, uint32_t n)
{
	move(c, LEAP_BIO_READ, (unsigned char *)(uintptr_t)from, n);
}

static leap_status_t do_report(struct zoned *zd, const struct leap_bio *bio)
{
	struct cursor c = { .piece = bio->pieces }, head = c;
	uint64_t bytes = leap_pieces_bytes(bio->pieces, bio->nr_pieces);
	uint64_t room = bytes / sizeof(struct leap_zone_desc) - 1, nr = 0;
	uint32_t what = (uint32_t)bio->result, i;
	struct leap_zone_report report = { 0 };
	struct leap_zone_desc desc;

	move(&c, LEAP_BIO_READ, NULL, sizeof(report));
	bytes -= sizeof(report);
	leap__zone_lock(&zd->z.held);
	for (i = (uint32_t)(bio->block / zd->z.blocks); i < zd->z.nr; i++) {
		if (!leap__zone_matches(&zd->z.zone[i],
					LEAP_GET(what, LEAP_ZMR_CDW13_ZRASF)))
			continue;
		if (nr < room) {
			leap__zone_describe(&zd->z, i, &desc);
			put_bytes(&c, &desc, sizeof(desc));
			bytes -= sizeof(desc);
		} else if (what & LEAP_ZMR_CDW13_PARTIAL) {
			break;
		}
		nr++;
	}
	leap__zone_unlock(&zd->z.held);
	move(&c, LEAP_BIO_READ, NULL, bytes);
	report.nzones = leap_to_le64(nr);
	put_bytes(&head, &report, sizeof(report));
	return 0;
}

static void zoned_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	struct zoned *zd = leap_bdev_priv(leap_chan_bdev(chan));
	leap_status_t status;

	switch (bio->op) {
	case LEAP_BIO_READ:
	case LEAP_BIO_COMPARE:
		status = do_read(zd, bio);
		break;
	case LEAP_BIO_WRITE:
	case LEAP_BIO_WRITE_ZEROES:
	case LEAP_BIO_ZONE_APPEND:
		status = do_write(zd, bio);
		break;
	case LEAP_BIO_ZONE_SEND:
		status = do_action(zd, bio);
		break;
	case LEAP_BIO_ZONE_REPORT:
		status = do_report(zd, bio);
		break;
	default:
		status = DNR(LEAP_SC_INVALID_OPCODE);
	}
	leap_bio_done(bio, status);
}

static int zoned_resize(struct leap_bdev *bdev, uint64_t bytes)
{
	(void)bdev;
	(void)bytes;
	return leap__err(-EOPNOTSUPP, "leap_bdev_resize: zoned cannot");
}

int leap__zoned_break(struct leap_bdev *bdev, uint32_t zone, uint8_t state)
{
	struct zoned *zd = leap_bdev_priv(bdev);

	if (zone >= zd->z.nr)
		return -EINVAL;
	leap__zone_lock(&zd->z.held);
	leap__zone_break(&zd->z, &zd->z.zone[zone], state);
	leap__zone_unlock(&zd->z.held);
	leap_bdev_zone_changed(bdev, (uint64_t)zone * zd->z.blocks);
	return 0;
}

const struct leap_bdev_ops leap__zoned_ops = {
	.size = sizeof(struct leap_bdev_ops),
	.name = "zoned",
	.help = "zoned:SIZE      sparse, in this process, of zones\n"
		"block=512|4096  block size; 4096\n"
		"zone=SIZE       of each zone; 64M\n"
		"cap=SIZE        what can be written of each; all\n"
		"max_active=N    zones that may be open or closed; 0: all\n"
		"max_open=N      zones that may be open; as max_active\n"
		"append=SIZE     most in one append; 0: any\n"
		"across=on|off   one read may lie in two zones; on\n"
		"readonly=ZONE   a zone that is read-only, by its number\n"
		"offline=ZONE    a zone that is offline",
	.bdev_bytes = sizeof(struct zoned),
	.open = zoned_open,
	.close = zoned_close,
	.submit = zoned_submit,
	.resize = zoned_resize,
};
