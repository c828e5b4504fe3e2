/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zones.c - zones of a far namespace, seen through a relay's window
 *
 * A window begins and ends where zones do. Where an append went is moved back
 * into it. A report is read in parts into room of our own, checked, cut off at
 * the window's end, counted anew and moved back; only then does it go into the
 * payload. What is asked of all zones is asked of each of the window's to which
 * it applies, unless the window is everything. The far end is trusted with
 * nothing of that: zones have to come in order, and to lie where zones lie.
 */
#include <string.h>

#include "block/relay/relay.h"
#include "util/atomic.h"
#include "util/err.h"

#include <errno.h>

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

#define MAX_DESCS	LEAP__RELAY_ZONES

static uint64_t window_end(const struct leap__relay *relay)
{
	return relay->blocks ? relay->start + relay->blocks :
	       relay->far.nr_blocks;
}

int leap__relay_zones_open(struct leap_bdev *bdev, const struct leap__relay *r)
{
	struct leap_bdev_zones zones = { .size = sizeof(zones) };
	const struct leap__far *far = &r->far;
	uint32_t append = far->append_bytes;

	if (!far->zone_blocks)
		return 0;
	if (far->zone_blocks > UINT32_MAX / 2 ||
	    far->nr_blocks % far->zone_blocks)
		return leap__err(-EOPNOTSUPP, "relay: namespace %u has %llu "
			"blocks in zones of %llu", r->nsid,
			(unsigned long long)far->nr_blocks,
			(unsigned long long)far->zone_blocks);
	if (r->start % far->zone_blocks || r->blocks % far->zone_blocks)
		return leap__err(-EINVAL, "relay: start %llu and blocks %llu "
			"are not those of zones of %llu",
			(unsigned long long)r->start,
			(unsigned long long)r->blocks,
			(unsigned long long)far->zone_blocks);
	/* None is sent in parts. */
	if (!append || append > far->max_bytes)
		append = far->max_bytes;
	zones.zone_blocks = (uint32_t)far->zone_blocks;
	zones.max_active = far->max_active;
	zones.max_open = far->max_open;
	zones.append_blocks = append / far->block_bytes;
	zones.read_across = far->read_across;
	leap_bdev_set_zones(bdev, &zones);
	return 0;
}

/* ---- commands ---- */

static void set_lba(struct leap_sqe *sqe, uint64_t lba)
{
	sqe->cdw10 = leap_to_le32((uint32_t)lba);
	sqe->cdw11 = leap_to_le32((uint32_t)(lba >> 32));
}

static int is_everything(const struct leap__relay *relay)
{
	return !relay->start && window_end(relay) == relay->far.nr_blocks;
}

bool leap__relay_zone_walks(const struct leap__rbio *r)
{
	return r->bio->op == LEAP_BIO_ZONE_REPORT ||
	       (r->bio->op == LEAP_BIO_ZONE_SEND &&
		r->bio->flags & LEAP_BIO_ZONE_ALL &&
		!is_everything(r->link->relay));
}

static void make_report(struct leap__rbio *r, uint32_t filter)
{
	struct leap__relay_zones *z = &r->wide->zones;
	struct leap_sqe *sqe = &r->req.sqe;

	sqe->opc = LEAP_NVM_ZONE_MGMT_RECV;
	set_lba(sqe, z->next);
	sqe->cdw12 = leap_to_le32((uint32_t)(sizeof(z->report) / 4 - 1));
	sqe->cdw13 = leap_to_le32(filter | LEAP_ZMR_CDW13_PARTIAL);
	memset(&z->report, 0, sizeof(z->report));
	r->piece = (struct leap_piece){ .addr = &z->report,
					.len_bytes = sizeof(z->report) };
	r->req.pieces = &r->piece;
	r->req.nr_pieces = 1;
}

static void make_send(struct leap__rbio *r, uint64_t lba, uint32_t all)
{
	struct leap_sqe *sqe = &r->req.sqe;

	sqe->opc = LEAP_NVM_ZONE_MGMT_SEND;
	set_lba(sqe, lba);
	sqe->cdw13 = leap_to_le32((uint32_t)r->bio->result | all);
	r->req.nr_pieces = 0;
}

static void make_append(struct leap__rbio *r)
{
	const struct leap_bio *bio = r->bio;
	struct leap_sqe *sqe = &r->req.sqe;

	sqe->opc = LEAP_NVM_ZONE_APPEND;
	set_lba(sqe, bio->block + r->link->relay->start);
	sqe->cdw12 = leap_to_le32((bio->nr_blocks - 1) |
				  (bio->flags & LEAP_BIO_FUA ?
				   LEAP_IO_CDW12_FUA : 0));
	r->req.pieces = bio->pieces;
	r->req.nr_pieces = bio->nr_pieces;
}

void leap__relay_zone_make(struct leap__rbio *r)
{
	struct leap__relay *relay = r->link->relay;
	const struct leap_bio *bio = r->bio;
	struct leap__relay_zones *z;

	r->blocks = 0;
	if (bio->op == LEAP_BIO_ZONE_APPEND) {
		make_append(r);
		return;
	}
	if (!leap__relay_zone_walks(r)) {
		uint32_t all = bio->flags & LEAP_BIO_ZONE_ALL ?
			       LEAP_ZMS_CDW13_SELECT_ALL : 0;

		make_send(r, all ? 0 : bio->block + relay->start, all);
		return;
	}
	z = &r->wide->zones;
	if (!z->started) {
		memset(z, 0, offsetof(struct leap__relay_zones, report));
		z->started = 1;
		z->next = relay->start;
		if (bio->op == LEAP_BIO_ZONE_REPORT)
			z->next += bio->block -
				   bio->block % relay->far.zone_blocks;
	}
	if (z->at < z->nr)
		make_send(r, leap_from_le64(z->report.desc[z->at].zslba), 0);
	else
		make_report(r, bio->op == LEAP_BIO_ZONE_REPORT ?
			    (uint32_t)bio->result & LEAP_ZMR_CDW13_ZRASF_MASK <<
			    LEAP_ZMR_CDW13_ZRASF_SHIFT : 0);
}

/* ---- answers ---- */

static bool has_pointer(const struct leap_zone_desc *d)
{
	uint8_t zs = d->zs >> 4;

	return zs != LEAP_ZS_FULL && zs != LEAP_ZS_READ_ONLY &&
	       zs != LEAP_ZS_OFFLINE;
}

/* Is it a zone, with what is said of it within it? */
static bool is_sane(const struct leap__relay *relay,
		    const struct leap_zone_desc *d)
{
	uint64_t zslba = leap_from_le64(d->zslba);
	uint64_t zcap = leap_from_le64(d->zcap);

	return !(zslba % relay->far.zone_blocks) &&
	       zcap <= relay->far.zone_blocks &&
	       (!has_pointer(d) || leap_from_le64(d->wp) - zslba <= zcap);
}

/*
 * What came: zones that are in order and in the namespace, of which *@nr are in
 * the window. z->next is where to go on; the window's end: nothing is left.
 */
static leap_status_t take_report(struct leap__rbio *r, uint32_t *nr)
{
	const struct leap__relay *relay = r->link->relay;
	struct leap__relay_zones *z = &r->wide->zones;
	uint64_t n = leap_from_le64(z->report.head.nzones), zslba;
	uint64_t end = window_end(relay);
	uint32_t i;

	if (n > MAX_DESCS)
		n = MAX_DESCS;
	*nr = 0;
	for (i = 0; i < n; i++) {
		zslba = leap_from_le64(z->report.desc[i].zslba);
		if (zslba >= z->next && zslba >= end)
			break;
		if (zslba < z->next || !is_sane(relay, &z->report.desc[i]))
			return DNR(LEAP_SC_INTERNAL);
		z->next = zslba + relay->far.zone_blocks;
		++*nr;
	}
	if (i < MAX_DESCS)
		z->next = end;
	return 0;
}

/* @len bytes at @offset of a bio's payload; NULL: zeroes. */
static void put(const struct leap_bio *bio, uint64_t offset, const void *from,
		uint64_t len)
{
	static const uint8_t zeroes[64];
	const struct leap_piece *p = bio->pieces;
	const uint8_t *src = from;
	uint64_t n;

	for (; len && offset >= p->len_bytes; p++)
		offset -= p->len_bytes;
	for (; len; len -= n, offset += n) {
		while (offset == p->len_bytes) {
			p++;
			offset = 0;
		}
		n = p->len_bytes - offset < len ? p->len_bytes - offset : len;
		if (!src && n > sizeof(zeroes))
			n = sizeof(zeroes);
		leap__copy_to_shared((uint8_t *)p->addr + offset,
				     src ? src : zeroes, n);
		src = src ? src + n : NULL;
	}
}

/* Into the window, and without extensions of descriptors, random write areas
 * and whatever else nobody here is shown. */
static void put_desc(struct leap__rbio *r, const struct leap_zone_desc *d)
{
	uint64_t start = r->link->relay->start;
	struct leap_zone_desc to = {
		.zt = d->zt, .zs = d->zs, .zai = d->zai, .zcap = d->zcap,
		.za = d->za & (LEAP_ZA_ZFC | LEAP_ZA_FZR | LEAP_ZA_RZR),
		.zslba = leap_to_le64(leap_from_le64(d->zslba) - start),
		.wp = leap_to_le64(has_pointer(d) ?
				   leap_from_le64(d->wp) - start : UINT64_MAX),
	};

	put(r->bio, sizeof(struct leap_zone_report) +
	    r->wide->zones.nr_put++ * sizeof(to), &to, sizeof(to));
}

/* True: there is more to ask. */
static bool report_next(struct leap__rbio *r, leap_status_t *status)
{
	const struct leap_bio *bio = r->bio;
	struct leap__relay_zones *z = &r->wide->zones;
	uint64_t bytes = leap_pieces_bytes(bio->pieces, bio->nr_pieces);
	uint64_t room = bytes / sizeof(struct leap_zone_desc) - 1, used;
	int partial = !!(bio->result & LEAP_ZMR_CDW13_PARTIAL);
	struct leap_zone_report head = { 0 };
	uint32_t nr, i;

	*status = take_report(r, &nr);
	if (*status)
		return false;
	for (i = 0; i < nr; i++) {
		if (z->nr_put < room)
			put_desc(r, &z->report.desc[i]);
		else if (partial)
			break;
		z->nr_all++;
	}
	if (z->next < window_end(r->link->relay) &&
	    !(partial && z->nr_put == room))
		return true;
	head.nzones = leap_to_le64(z->nr_all);
	put(bio, 0, &head, sizeof(head));
	used = sizeof(head) + z->nr_put * sizeof(struct leap_zone_desc);
	put(bio, used, NULL, bytes - used);
	return false;
}

static bool applies(const struct leap_zone_desc *d, uint64_t action)
{
	uint8_t zs = d->zs >> 4;
	bool open = zs == LEAP_ZS_IMPLICIT_OPEN || zs == LEAP_ZS_EXPLICIT_OPEN;

	switch (action) {
	case LEAP_ZSA_CLOSE:
		return open;
	case LEAP_ZSA_FINISH:
		return open || zs == LEAP_ZS_CLOSED;
	case LEAP_ZSA_OPEN:
		return zs == LEAP_ZS_CLOSED;
	case LEAP_ZSA_RESET:
		return open || zs == LEAP_ZS_CLOSED || zs == LEAP_ZS_FULL;
	default:
		return zs == LEAP_ZS_READ_ONLY;
	}
}

static bool send_next(struct leap__rbio *r, leap_status_t *status)
{
	struct leap__relay_zones *z = &r->wide->zones;

	if (z->at < z->nr) {
		/* Somebody else was there since it was reported. */
		if (LEAP_STATUS_CODE(*status) == LEAP_SC_ZONE_TRANSITION)
			*status = 0;
		z->at++;
	} else if (!*status) {
		z->at = 0;
		*status = take_report(r, &z->nr);
	}
	if (*status)
		return false;
	while (z->at < z->nr &&
	       !applies(&z->report.desc[z->at], r->bio->result))
		z->at++;
	if (z->at < z->nr)
		return true;
	z->at = z->nr = 0;
	return z->next < window_end(r->link->relay);
}

static leap_status_t append_done(struct leap__rbio *r, leap_status_t status)
{
	const struct leap__relay *relay = r->link->relay;
	uint64_t where = leap_req_result(&r->req) - relay->start;
	uint64_t left = where - r->bio->block;

	if (status)
		return status;
	if (left >= relay->far.zone_blocks ||
	    r->bio->nr_blocks > relay->far.zone_blocks - left)
		return DNR(LEAP_SC_INTERNAL);
	r->bio->result = where;
	return 0;
}

bool leap__relay_zone_next(struct leap__rbio *r, leap_status_t *status)
{
	if (r->bio->op == LEAP_BIO_ZONE_APPEND) {
		*status = append_done(r, *status);
		return false;
	}
	if (!leap__relay_zone_walks(r))
		return false;
	if (r->bio->op == LEAP_BIO_ZONE_SEND)
		return send_next(r, status);
	return !*status && report_next(r, status);
}

/* ---- a write in several parts ---- */

enum { PROBE_NOT, PROBE_OUT, PROBE_DONE };

bool leap__relay_zone_probe(struct leap__rbio *r)
{
	struct leap__relay *relay = r->link->relay;
	struct leap__relay_zones *z = &r->wide->zones;

	if (r->probe == PROBE_DONE)
		return false;
	r->probe = PROBE_OUT;
	r->blocks = 0;
	z->next = relay->start + r->bio->block -
		  r->bio->block % relay->far.zone_blocks;
	make_report(r, 0);
	return true;
}

/* Anything but room is the far end's to find out, at the first part. */
bool leap__relay_zone_probed(struct leap__rbio *r, leap_status_t *status)
{
	struct leap__relay_zones *z = &r->wide->zones;
	const struct leap_zone_desc *d = &z->report.desc[0];
	uint64_t at = r->link->relay->start + r->bio->block;
	uint64_t end = leap_from_le64(d->zslba) + leap_from_le64(d->zcap);

	if (r->probe != PROBE_OUT)
		return false;
	r->probe = PROBE_DONE;
	if (*status)
		return false;
	if (leap_from_le64(d->zslba) != z->next ||
	    leap_from_le64(d->zcap) > r->link->relay->far.zone_blocks)
		*status = DNR(LEAP_SC_INTERNAL);
	else if (leap_from_le64(d->wp) == at && at + r->bio->nr_blocks > end)
		*status = DNR(LEAP_SC_ZONE_BOUNDARY);
	return !*status;
}

/* ---- a write that may have been done before the connection was lost ---- */

/* Zeroes are what a zone shows where nothing was written. */
static bool has_contents(const struct leap_req *req)
{
	uint32_t i, n;

	for (i = 0; i < req->nr_pieces; i++) {
		const uint8_t *p = req->pieces[i].addr;

		for (n = 0; n < req->pieces[i].len_bytes; n++)
			if (p[n])
				return true;
	}
	return false;
}

bool leap__relay_zone_compare(struct leap__rbio *r, leap_status_t *status)
{
	const struct leap__relay *relay = r->link->relay;
	leap_status_t code = LEAP_STATUS_CODE(*status);

	if (r->refused) {
		/* What was compared is what was to be written. */
		*status = *status ? r->refused : 0;
		r->refused = 0;
		return false;
	}
	if ((code != LEAP_SC_ZONE_INVALID_WRITE && code != LEAP_SC_ZONE_FULL) ||
	    r->bio->op != LEAP_BIO_WRITE || r->lost == r->link->lost ||
	    !(relay->far.caps & LEAP_BDEV_COMPARE) || !has_contents(&r->req))
		return false;
	r->refused = *status;
	return true;
}
