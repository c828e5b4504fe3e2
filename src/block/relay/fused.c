/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fused.c - compare-and-write of a relay: a pair of commands that go over the
 * same queue of the far end, next to each other
 *
 * The second request lies in a wide of the link, so a link has as many pairs
 * out as it has of those. A pair that was out when its connection was lost may
 * have been done: it ends with an error that says not to send it again.
 */
#include <string.h>

#include "block/relay/relay.h"

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

static void fill(struct leap_req *req, const struct leap__rbio *r, uint8_t opc,
		 const struct leap_sqe *from)
{
	const struct leap__relay *relay = r->link->relay;
	const struct leap_bio *bio = r->bio;
	uint64_t lba = relay->start + bio->block;
	uint32_t hints = 0;

	memset(&req->sqe, 0, sizeof(req->sqe));
	if (from)
		hints = leap_from_le32(from->cdw12) & LEAP_IO_CDW12_LR;
	if (bio->flags & LEAP_BIO_FUA)
		hints |= LEAP_IO_CDW12_FUA;
	req->sqe.opc = opc;
	req->sqe.nsid = leap_to_le32(relay->nsid);
	req->sqe.cdw10 = leap_to_le32((uint32_t)lba);
	req->sqe.cdw11 = leap_to_le32((uint32_t)(lba >> 32));
	req->sqe.cdw12 = leap_to_le32((bio->nr_blocks - 1) | hints);
}

/* Of the two answers, the one that says why. */
static leap_status_t judge(struct leap__rbio *r)
{
	struct leap__relay_fused *f = &r->wide->fused;
	leap_status_t first = leap__relay_answer(&r->req);
	leap_status_t second = leap__relay_answer(&f->second);

	r->bio->result = 0;
	if (!first && !second)
		return 0;
	/* Nobody says whether it was done. */
	if (r->req.sys_errno || f->second.sys_errno ||
	    LEAP_STATUS_CODE(first) == LEAP_SC_PATH_CTRL ||
	    LEAP_STATUS_CODE(second) == LEAP_SC_PATH_CTRL)
		return DNR(LEAP_SC_INTERNAL);
	if (first && LEAP_STATUS_CODE(first) != LEAP_SC_ABORT_FUSED_FAILED)
		return first;
	r->bio->result = 1;
	return second ? second : DNR(LEAP_SC_INTERNAL);
}

static void half_done(struct leap__rbio *r)
{
	if (!--r->wide->fused.out)
		leap__relay_end(r, judge(r));
}

static void first_done(struct leap_req *req)
{
	half_done((struct leap__rbio *)req);
}

static void second_done(struct leap_req *req)
{
	half_done(((struct leap__relay_fused *)req)->rbio);
}

struct leap__rbio *leap__relay_rbio(struct leap_req *req)
{
	return req->done == second_done ?
	       ((struct leap__relay_fused *)req)->rbio :
	       (struct leap__rbio *)req;
}

int leap__relay_fused_send(struct leap__rbio *r)
{
	struct leap__relay_fused *f = &r->wide->fused;
	const struct leap_bio_expect *expect = r->bio->expect;

	fill(&r->req, r, LEAP_NVM_COMPARE, expect->sqe);
	r->req.pieces = expect->pieces;
	r->req.nr_pieces = expect->nr_pieces;
	r->req.done = first_done;
	fill(&f->second, r, LEAP_NVM_WRITE, r->bio->sqe);
	f->second.pieces = r->bio->pieces;
	f->second.nr_pieces = r->bio->nr_pieces;
	f->second.done = second_done;
	f->rbio = r;
	f->out = 2;
	return r->link->send_fused(r->link, &r->req, &f->second);
}
