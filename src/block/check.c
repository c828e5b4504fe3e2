/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the dispatcher (bdev.c) asks of operations on zones and of vectors of
 * addresses before a layer sees them. Of an append, range and pieces are
 * checked there as of any write.
 */
#include "config.h"

#include <leapio/nvme.h>

#include "block/bdev.h"
#include "util/atomic.h"

#define DNR(status)	((leap_status_t)((status) | LEAP_STATUS_DNR))

leap_status_t leap__check_vector(const struct leap_bdev *bdev,
				 struct leap_bio *bio, uint32_t caps)
{
	uint64_t bytes = leap_pieces_bytes(bio->pieces, bio->nr_pieces);
	uint64_t nr_blocks = leap__load_relaxed(&bdev->nr_blocks);
	const struct leap_bio_vector *v = bio->vector;
	uint32_t i;

	if (!(caps & LEAP_BDEV_VECTOR))
		return DNR(LEAP_SC_INVALID_OPCODE);
	if (!v || !v->nr || v->nr > LEAP_VECTOR_MAX || bio->nr_blocks ||
	    v->op > LEAP_VECTOR_COPY)
		return DNR(LEAP_SC_INVALID_FIELD);
	if (v->op != LEAP_VECTOR_READ && caps & LEAP_BDEV_READONLY)
		return DNR(LEAP_SC_NS_WRITE_PROTECTED);
	bio->result = 0;
	for (i = 0; i < v->nr; i++)
		if (v->at[i] >= nr_blocks ||
		    (v->op == LEAP_VECTOR_COPY && v->to[i] >= nr_blocks))
			bio->result |= 1ull << i;
	if (bio->result)
		return DNR(LEAP_SC_LBA_RANGE);
	for (i = 0; i < bio->nr_pieces; i++)
		if (bio->pieces[i].reach != LEAP_REACH_DIRECT)
			return DNR(LEAP_SC_INVALID_FIELD);
	if (bytes != (v->op == LEAP_VECTOR_WRITE || v->op == LEAP_VECTOR_READ ?
		      (uint64_t)v->nr << bdev->block_shift : 0))
		return DNR(LEAP_SC_SGL_DATA_LEN);
	return 0;
}

static leap_status_t check_report(const struct leap_bdev *bdev,
				  const struct leap_bio *bio)
{
	uint64_t bytes = leap_pieces_bytes(bio->pieces, bio->nr_pieces);
	uint32_t what = (uint32_t)bio->result, i;

	if (bio->block >= leap__load_relaxed(&bdev->nr_blocks))
		return DNR(LEAP_SC_LBA_RANGE);
	for (i = 0; i < bio->nr_pieces; i++)
		if (bio->pieces[i].reach != LEAP_REACH_DIRECT)
			return DNR(LEAP_SC_INVALID_FIELD);
	if (bytes < sizeof(struct leap_zone_report) || bytes % 4 ||
	    bio->nr_blocks ||
	    LEAP_GET(what, LEAP_ZMR_CDW13_ZRA) != LEAP_ZRA_REPORT ||
	    LEAP_GET(what, LEAP_ZMR_CDW13_ZRASF) > LEAP_ZRASF_OFFLINE)
		return DNR(LEAP_SC_INVALID_FIELD);
	return 0;
}

/* What is of zones but not of their states, which the layer knows. */
leap_status_t leap__check_zone(const struct leap_bdev *bdev,
			       const struct leap_bio *bio, uint32_t caps)
{
	const struct leap_bdev_zones *zones = &bdev->zones;

	if (!(caps & LEAP_BDEV_ZONED))
		return DNR(LEAP_SC_INVALID_OPCODE);
	if (bio->op == LEAP_BIO_ZONE_REPORT)
		return check_report(bdev, bio);
	if (caps & LEAP_BDEV_READONLY)
		return DNR(LEAP_SC_NS_WRITE_PROTECTED);
	if (bio->op == LEAP_BIO_ZONE_SEND) {
		if (bio->nr_pieces || bio->nr_blocks ||
		    bio->result < LEAP_ZSA_CLOSE ||
		    bio->result > LEAP_ZSA_OFFLINE)
			return DNR(LEAP_SC_INVALID_FIELD);
		if (bio->flags & LEAP_BIO_ZONE_ALL)
			return 0;
		if (bio->block >= leap__load_relaxed(&bdev->nr_blocks))
			return DNR(LEAP_SC_LBA_RANGE);
		return bio->block % zones->zone_blocks ?
		       DNR(LEAP_SC_INVALID_FIELD) : 0;
	}
	if (bio->block % zones->zone_blocks ||
	    (zones->append_blocks && bio->nr_blocks > zones->append_blocks))
		return DNR(LEAP_SC_INVALID_FIELD);
	return 0;
}
