/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * list.c - commands of a relay whose payload carries LBAs: dataset management
 * and copy
 *
 * The payload is read once, into room of our own, and checked there against
 * the window, all of it before anything is sent; what is sent is made from that
 * copy. A far end that takes fewer or shorter ranges at once gets several
 * commands, one after the other; where the list stands is kept between them.
 * Knows no connections.
 */
#include <string.h>

#include "block/copy.h"
#include "block/relay/relay.h"
#include "util/atomic.h"

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

/* ---- reading ---- */

static void copy_in(const struct leap_bio *bio, uint8_t *to, uint32_t room)
{
	const struct leap_piece *p = bio->pieces;
	uint32_t i, n;

	for (i = 0; i < bio->nr_pieces && room; i++, p++) {
		n = p->len_bytes < room ? p->len_bytes : room;
		leap__copy_from_shared(to, p->addr, n);
		to += n;
		room -= n;
	}
}

static leap_status_t read_ranges(struct leap__relay_list *list,
				 const struct leap_bio *bio,
				 uint64_t nr_blocks)
{
	const struct leap_dsm_range *in = list->to.dsm;
	uint32_t nr, i;

	nr = (uint32_t)(leap_pieces_bytes(bio->pieces, bio->nr_pieces) /
			sizeof(*in));
	copy_in(bio, (uint8_t *)list->to.dsm, nr * (uint32_t)sizeof(*in));
	for (i = 0; i < nr; i++) {
		uint64_t block = leap_from_le64(in[i].slba);
		uint32_t n = leap_from_le32(in[i].nlb);

		if (n > nr_blocks || block > nr_blocks - n)
			return DNR(LEAP_SC_LBA_RANGE);
		list->from[i].block = block;
		list->from[i].nr_blocks = n;
		list->from[i].attr = leap_from_le32(in[i].cattr);
	}
	list->nr = nr;
	return 0;
}

static leap_status_t read_sources(struct leap__relay_list *list,
				  struct leap_bio *bio, uint64_t nr_blocks)
{
	struct leap__copy_list in;
	leap_status_t status;
	uint32_t bad, i;

	status = leap__copy_list_read(bio->sqe, bio->pieces, bio->nr_pieces,
				      nr_blocks, &in, &bad);
	/* The window was checked for as many as there were. */
	if (!status && in.nr_blocks != bio->nr_blocks)
		status = DNR(LEAP_SC_INVALID_FIELD);
	if (status) {
		bio->result = bad;
		return status;
	}
	for (i = 0; i < in.nr; i++) {
		list->from[i].block = in.range[i].block;
		list->from[i].nr_blocks = in.range[i].nr_blocks;
	}
	list->nr = in.nr;
	return 0;
}

static leap_status_t list_read(struct leap__rbio *r)
{
	struct leap__relay_list *list = &r->wide->list;
	struct leap_bdev_info info = { .size = sizeof(info) };
	struct leap_bio *bio = r->bio;

	list->at = 0;
	list->off = 0;
	leap_bdev_info(leap_chan_bdev(bio->chan), &info);
	if (bio->op == LEAP_BIO_COPY)
		return read_sources(list, bio, info.nr_blocks);
	if (bio->op == LEAP_BIO_RANGES)
		return read_ranges(list, bio, info.nr_blocks);
	list->from[0].block = bio->block;
	list->from[0].nr_blocks = bio->nr_blocks;
	list->from[0].attr = 0;
	list->nr = 1;
	return 0;
}

/* ---- making a command ---- */

static void put_range(struct leap__rbio *r, uint32_t i, uint64_t lba,
		      uint32_t nr, uint32_t attr)
{
	struct leap__relay_list *list = &r->wide->list;

	if (r->bio->op == LEAP_BIO_COPY) {
		memset(&list->to.copy[i], 0, sizeof(list->to.copy[i]));
		list->to.copy[i].slba = leap_to_le64(lba);
		list->to.copy[i].nlb = leap_to_le16((uint16_t)(nr - 1));
	} else {
		list->to.dsm[i].cattr = leap_to_le32(attr);
		list->to.dsm[i].nlb = leap_to_le32(nr);
		list->to.dsm[i].slba = leap_to_le64(lba);
	}
}

/*
 * As many ranges from where the list stands as one command may have; how many.
 * *@sum: their blocks.
 */
static uint32_t fill(struct leap__rbio *r, uint32_t max_ranges,
		     uint32_t max_range, uint64_t max, uint64_t *sum)
{
	struct leap__relay_list *list = &r->wide->list;
	uint32_t at = list->at, off = list->off, nr = 0, n;

	for (*sum = 0; nr < max_ranges && at < list->nr; nr++) {
		n = list->from[at].nr_blocks - off;
		if (n > max_range)
			n = max_range;
		if (n > max - *sum)
			n = (uint32_t)(max - *sum);
		/* Full; an empty range is none. */
		if (!n && list->from[at].nr_blocks)
			break;
		put_range(r, nr, r->link->relay->start +
			  list->from[at].block + off, n, list->from[at].attr);
		list->origin[nr] = (uint8_t)at;
		*sum += n;
		off += n;
		if (off == list->from[at].nr_blocks) {
			at++;
			off = 0;
		}
	}
	list->next_at = at;
	list->next_off = off;
	return nr;
}

static uint32_t make_dsm(struct leap__rbio *r)
{
	const struct leap__far *far = &r->link->relay->far;
	const struct leap_sqe *sqe = r->bio->sqe;
	uint32_t attr = LEAP_DSM_CDW11_AD, nr;
	uint64_t sum;

	if (sqe && sqe->opc == LEAP_NVM_DSM)
		attr = leap_from_le32(sqe->cdw11) &
		       (LEAP_DSM_CDW11_IDR | LEAP_DSM_CDW11_IDW |
			LEAP_DSM_CDW11_AD);
	nr = fill(r, far->dsm_ranges, far->dsm_range_blocks, far->dsm_blocks,
		  &sum);
	r->req.sqe.cdw10 = leap_to_le32(nr - 1);
	r->req.sqe.cdw11 = leap_to_le32(attr);
	return nr * (uint32_t)sizeof(struct leap_dsm_range);
}

static uint32_t make_copy(struct leap__rbio *r)
{
	const struct leap__relay *relay = r->link->relay;
	const struct leap_bio *bio = r->bio;
	uint64_t to = relay->start + bio->block + r->done, sum;
	uint32_t cdw12 = 0, nr;

	nr = fill(r, relay->far.copy_ranges, relay->far.copy_range_blocks,
		  relay->far.copy_blocks, &sum);
	r->blocks = (uint32_t)sum;
	if (bio->flags & LEAP_BIO_FUA)
		cdw12 |= LEAP_COPY_CDW12_FUA;
	cdw12 |= leap_from_le32(bio->sqe->cdw12) & LEAP_COPY_CDW12_LR;
	r->req.sqe.cdw10 = leap_to_le32((uint32_t)to);
	r->req.sqe.cdw11 = leap_to_le32((uint32_t)(to >> 32));
	r->req.sqe.cdw12 = leap_to_le32((nr - 1) | cdw12);
	return nr * (uint32_t)sizeof(struct leap_copy_range0);
}

leap_status_t leap__relay_list_make(struct leap__rbio *r)
{
	struct leap__relay_list *list = &r->wide->list;
	leap_status_t status = 0;
	uint32_t bytes;

	if (!list->nr)
		status = list_read(r);
	if (status)
		return status;
	bytes = r->bio->op == LEAP_BIO_COPY ? make_copy(r) : make_dsm(r);
	if (!list->at && !list->off && list->next_at < list->nr)
		leap__fetch_add(&r->link->relay->split, 1u);
	r->piece = (struct leap_piece){ .addr = &list->to, .len_bytes = bytes };
	r->req.pieces = &r->piece;
	r->req.nr_pieces = 1;
	return 0;
}

/* ---- and after ---- */

bool leap__relay_list_next(struct leap__rbio *r)
{
	struct leap__relay_list *list = &r->wide->list;

	if (r->bio->op == LEAP_BIO_COPY)
		r->done += r->blocks;
	list->at = list->next_at;
	list->off = list->next_off;
	return list->at == list->nr;
}

uint32_t leap__relay_list_failed(const struct leap__rbio *r)
{
	const struct leap__relay_list *list = &r->wide->list;
	uint32_t i = (uint32_t)leap_req_result(&r->req);

	return i < LEAP__RELAY_RANGES && list->origin[i] < list->nr &&
	       list->origin[i] >= list->at ? list->origin[i] : list->at;
}
