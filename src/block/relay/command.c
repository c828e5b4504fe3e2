/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * command.c - a relay's data path: bios to commands of the far end, and back
 *
 * The request lies in the bio's scratch, so nothing is allocated and ids are
 * the far queue's. User data goes on as the pieces that came. What does not fit
 * in one command of the far end is sent in several, one after the other.
 * Payload that carries LBAs is list.c's. Bios that cannot be sent now wait in
 * line.
 */
#include <errno.h>
#include <string.h>

#include "block/relay/relay.h"
#include "core/io/host.h"
#include "util/atomic.h"
#include "util/list.h"

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

#define LET_GO_NS	1000000000u	/* as leap_bdev_ops.let_go says */

static struct leap__rbio *rbio_of(struct leap_bio *bio)
{
	return leap_bio_priv(bio);
}

static void wait_append(struct leap__link *link, struct leap__rbio *r)
{
	r->next = NULL;
	*link->wait_tail = r;
	link->wait_tail = &r->next;
}

static struct leap__rbio *wait_pop(struct leap__link *link)
{
	struct leap__rbio *r = link->wait;

	link->wait = r->next;
	if (!link->wait)
		link->wait_tail = &link->wait;
	return r;
}

static void wait_push(struct leap__link *link, struct leap__rbio *r)
{
	r->next = link->wait;
	link->wait = r;
	if (!r->next)
		link->wait_tail = &r->next;
}

static void finish(struct leap__rbio *r, leap_status_t status)
{
	struct leap__link *link = r->link;

	/* Who sends a copy again would copy from where its first parts went. */
	if (unlikely(status == LEAP_SC_PATH_CTRL) &&
	    r->bio->op == LEAP_BIO_COPY && r->done)
		status = DNR(LEAP_SC_INTERNAL);
	if (r->wide) {
		r->wide->next = link->free_wides;
		link->free_wides = r->wide;
		r->wide = NULL;
	}
	leap_bio_done(r->bio, status);
}

static bool take_wide(struct leap__rbio *r)
{
	if (!r->wide && r->link->free_wides) {
		r->wide = r->link->free_wides;
		r->link->free_wides = r->wide->next;
		r->wide->list.nr = 0;
		r->wide->zones.started = 0;
	}
	return r->wide;
}

/* ---- payload ---- */

/*
 * The part of the payload that begins at block r->done. As many of r->blocks as
 * there is room for in @max pieces; 0 = not even one.
 */
static void slice(struct leap__rbio *r, uint32_t shift, uint32_t max)
{
	uint64_t skip = (uint64_t)r->done << shift;
	uint64_t want = (uint64_t)r->blocks << shift, have = 0;
	const struct leap_piece *p = r->bio->pieces;
	struct leap_piece *out = r->wide->pieces;
	uint32_t nr = 0, cut;

	for (; skip >= p->len_bytes; p++)
		skip -= p->len_bytes;
	for (; have < want && nr < max; p++, skip = 0) {
		if (p->len_bytes == skip)
			continue;
		out[nr] = *p;
		out[nr].addr = (uint8_t *)p->addr + skip;
		out[nr].len_bytes -= (uint32_t)skip;
		if (out[nr].len_bytes > want - have)
			out[nr].len_bytes = (uint32_t)(want - have);
		have += out[nr++].len_bytes;
	}
	r->blocks = (uint32_t)(have >> shift);
	for (have &= (1u << shift) - 1; have; have -= cut) {
		cut = out[nr - 1].len_bytes < have ? out[nr - 1].len_bytes :
			(uint32_t)have;
		out[nr - 1].len_bytes -= cut;
		if (!out[nr - 1].len_bytes)
			nr--;
	}
	r->req.pieces = out;
	r->req.nr_pieces = nr;
}

/* ---- commands ---- */

enum { SENT_WAIT = 0, SENT_GONE = 1 };

static uint8_t opcode(uint8_t op)
{
	switch (op) {
	case LEAP_BIO_READ:
		return LEAP_NVM_READ;
	case LEAP_BIO_WRITE:
		return LEAP_NVM_WRITE;
	case LEAP_BIO_FLUSH:
		return LEAP_NVM_FLUSH;
	case LEAP_BIO_WRITE_ZEROES:
		return LEAP_NVM_WRITE_ZEROES;
	case LEAP_BIO_COMPARE:
		return LEAP_NVM_COMPARE;
	case LEAP_BIO_VERIFY:
		return LEAP_NVM_VERIFY;
	case LEAP_BIO_COPY:
		return LEAP_NVM_COPY;
	default:
		return LEAP_NVM_DSM;
	}
}

/* What is beside opcode and range in the command as it came. */
static uint32_t cdw12_hints(const struct leap_bio *bio)
{
	uint32_t hints = 0;

	if (bio->flags & LEAP_BIO_FUA)
		hints |= LEAP_IO_CDW12_FUA;
	if (bio->flags & LEAP_BIO_DEAC)
		hints |= LEAP_IO_CDW12_DEAC;
	if (bio->sqe)
		hints |= leap_from_le32(bio->sqe->cdw12) & LEAP_IO_CDW12_LR;
	return hints;
}

static uint32_t max_blocks(const struct leap__relay *relay, uint8_t op)
{
	if (op == LEAP_BIO_WRITE_ZEROES)
		return relay->far.zeroes_blocks;
	if (op == LEAP_BIO_VERIFY)
		return relay->far.verify_blocks;
	return relay->max_blocks;
}

/* To a zone, in several parts, of which none has been sent. */
static bool is_long_write(const struct leap__rbio *r)
{
	const struct leap__relay *relay = r->link->relay;
	uint8_t op = r->bio->op;

	return relay->far.zone_blocks && !r->done &&
	       (op == LEAP_BIO_WRITE || op == LEAP_BIO_WRITE_ZEROES) &&
	       (r->bio->nr_blocks > max_blocks(relay, op) ||
		r->bio->nr_pieces > relay->far.max_pieces);
}

/* Of more than one command has room for, or of what is left of it. */
static __attribute__((noinline)) bool choose_some(struct leap__rbio *r,
						  uint32_t max)
{
	struct leap__relay *relay = r->link->relay;

	if (!r->done)
		leap__fetch_add(&relay->split, 1u);
	if (r->blocks > max)
		r->blocks = max;
	if (!r->bio->nr_pieces)
		return true;
	if (!take_wide(r))
		return false;
	slice(r, relay->shift, relay->far.max_pieces < LEAP__RELAY_PIECES ?
	      relay->far.max_pieces : LEAP__RELAY_PIECES);
	return true;
}

/* How many blocks the next command has; false: it needs room and has none. */
static inline bool choose_part(struct leap__rbio *r)
{
	const struct leap__relay *relay = r->link->relay;
	const struct leap_bio *bio = r->bio;
	uint32_t max = max_blocks(relay, bio->op);

	r->req.pieces = bio->pieces;
	r->req.nr_pieces = bio->nr_pieces;
	r->blocks = bio->nr_blocks - r->done;
	return likely(r->blocks <= max && !r->done &&
		      bio->nr_pieces <= relay->far.max_pieces) ||
	       choose_some(r, max);
}

/* Of a flush, a list, or zones: as make(). */
static __attribute__((noinline)) int make_other(struct leap__rbio *r,
						leap_status_t *status)
{
	const struct leap_bio *bio = r->bio;

	if (bio->op == LEAP_BIO_FLUSH) {
		r->req.nr_pieces = 0;
		r->blocks = 0;
		return 1;
	}
	if (leap__relay_has_list(bio)) {
		if (!take_wide(r))
			return 0;
		*status = leap__relay_list_make(r);
		return !*status;
	}
	/* An append is not sent in parts. */
	if (bio->op == LEAP_BIO_ZONE_APPEND &&
	    bio->nr_pieces > r->link->relay->far.max_pieces) {
		*status = DNR(LEAP_SC_INTERNAL);
		return 0;
	}
	if (leap__relay_zone_walks(r) && !take_wide(r))
		return 0;
	leap__relay_zone_make(r);
	return 1;
}

static bool has_range(const struct leap_bio *bio)
{
	return likely(bio->op <= LEAP_BIO_WRITE) ||
	       (bio->op != LEAP_BIO_FLUSH && !leap__relay_has_list(bio) &&
		!leap__relay_is_zone(bio));
}

/* The next command of a bio: 1 made, 0 no room, or *@status says why not. */
static inline int make(struct leap__rbio *r, leap_status_t *status)
{
	const struct leap__relay *relay = r->link->relay;
	const struct leap_bio *bio = r->bio;
	struct leap_sqe *sqe = &r->req.sqe;
	uint64_t lba;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opc = opcode(bio->op);
	sqe->nsid = leap_to_le32(relay->nsid);
	if (unlikely(!has_range(bio)))
		return make_other(r, status);
	if (unlikely(is_long_write(r))) {
		if (!take_wide(r))
			return 0;
		if (leap__relay_zone_probe(r))
			return 1;
	}
	if (unlikely(!choose_part(r)))
		return 0;
	/* Pieces of a few bytes each, more than there is room for. */
	if (unlikely(!r->blocks)) {
		*status = DNR(LEAP_SC_INTERNAL);
		return 0;
	}
	if (unlikely(r->refused))
		sqe->opc = LEAP_NVM_COMPARE;
	lba = relay->start + bio->block + r->done;
	sqe->cdw10 = leap_to_le32((uint32_t)lba);
	sqe->cdw11 = leap_to_le32((uint32_t)(lba >> 32));
	sqe->cdw12 = leap_to_le32((r->blocks - 1) | cdw12_hints(bio));
	if (bio->sqe && bio->op <= LEAP_BIO_WRITE)
		sqe->cdw13 = leap_to_le32(leap_from_le32(bio->sqe->cdw13) &
					  LEAP_IO_CDW13_DSM_MASK);
	return 1;
}

int leap__relay_host_send(struct leap__link *link, struct leap_req *req)
{
	uint32_t nr_queues = leap_host_nr_queues(link->host), i;
	int sent = 0;

	for (i = 0; i < nr_queues && !sent; i++)
		sent = leap_host_submit(link->host,
					leap__relay_next_queue(link, nr_queues),
					&req, 1);
	return sent;
}

int leap__relay_host_send_fused(struct leap__link *link, struct leap_req *first,
				struct leap_req *second)
{
	uint32_t nr_queues = leap_host_nr_queues(link->host), i;
	int sent = 0;

	for (i = 0; i < nr_queues && !sent; i++)
		sent = leap_host_submit_fused(link->host,
				leap__relay_next_queue(link, nr_queues), first,
				second);
	return sent;
}

static bool can_send(const struct leap__link *link)
{
	return link->ng || (link->host && !link->dead && link->was_live &&
			    !link->unfit);
}

static int try_send(struct leap__rbio *r)
{
	leap_status_t status = 0;
	int sent;

	if (!can_send(r->link))
		return SENT_WAIT;
	if (r->bio->op == LEAP_BIO_COMPARE_WRITE) {
		if (!take_wide(r))
			return SENT_WAIT;
		sent = leap__relay_fused_send(r);
	} else if (r->bio->op == LEAP_BIO_VECTOR) {
		sent = leap__relay_vector_send(r);
	} else if (make(r, &status)) {
		r->lost = r->refused ? r->lost : r->link->lost;
		sent = r->link->send(r->link, &r->req);
	} else {
		if (!status)
			return SENT_WAIT;
		finish(r, status);
		return SENT_GONE;
	}
	if (sent == 1)
		return SENT_GONE;
	if (!sent || sent == -ENOTCONN)
		return SENT_WAIT;
	finish(r, DNR(LEAP_SC_INTERNAL));
	return SENT_GONE;
}

/* ---- answers ---- */

/*
 * The far end's answer is the answer, but for what is between it and us: its
 * error log, its retry delays, its connection, and commands that it gave up
 * with its queues.
 */
leap_status_t leap__relay_answer(const struct leap_req *req)
{
	leap_status_t status = leap_req_status(req);
	leap_status_t code = LEAP_STATUS_CODE(status);

	if (likely(!status))
		return 0;
	/* Whether it is done nobody knows, and some are not to be done
	 * twice. */
	if (req->sys_errno || code == LEAP_SC_ABORT_SQ_DELETED ||
	    code == LEAP_SC_ABORT_REQUESTED)
		return leap__sqe_may_run_twice(&req->sqe) ?
		       LEAP_SC_PATH_CTRL : DNR(LEAP_SC_INTERNAL);
	if (LEAP_STATUS_SCT(code) == LEAP_SCT_PATH)
		return LEAP_SC_PATH_CTRL;
	return code | (status & LEAP_STATUS_DNR);
}

/* A command of a bio has ended: is there another one? */
static bool more(struct leap__rbio *r, leap_status_t *end)
{
	leap_status_t status;

	if (leap__relay_is_zone(r->bio))
		return leap__relay_zone_next(r, end);
	if (r->probe && (leap__relay_zone_probed(r, end) || !r->blocks))
		return !*end;
	if (r->link->relay->far.zone_blocks && leap__relay_zone_compare(r, end))
		return true;
	status = *end;
	if (!leap__relay_has_list(r->bio)) {
		r->done += r->blocks;
		return !status && r->done < r->bio->nr_blocks;
	}
	if (!status)
		return !leap__relay_list_next(r);
	if (r->bio->op == LEAP_BIO_COPY)
		r->bio->result = leap__relay_list_failed(r);
	return false;
}

static void req_done(struct leap_req *req)
{
	struct leap__rbio *r = (struct leap__rbio *)req;
	struct leap__link *link = r->link;
	leap_status_t status = leap__relay_answer(req);

	if (!more(r, &status))
		finish(r, status);
	else if (r->let_go)
		finish(r, LEAP_SC_PATH_CTRL);
	else
		wait_push(link, r);
	if (link->wait)
		leap__relay_drive(link);
}

void leap__relay_end(struct leap__rbio *r, leap_status_t status)
{
	struct leap__link *link = r->link;

	finish(r, status);
	if (link->wait)
		leap__relay_drive(link);
}

void leap__relay_drive(struct leap__link *link)
{
	struct leap__rbio *r;

	while (link->wait) {
		r = wait_pop(link);
		if (try_send(r) == SENT_WAIT) {
			wait_push(link, r);
			return;
		}
	}
}

void leap__relay_refuse(struct leap__link *link)
{
	leap_status_t status = link->unfit ? DNR(LEAP_SC_INTERNAL) :
				LEAP_SC_PATH_CTRL;
	struct leap__rbio *r = link->wait, *next;

	link->wait = NULL;
	link->wait_tail = &link->wait;
	for (; r; r = next) {
		next = r->next;
		leap__fetch_add(&link->relay->refused, 1u);
		finish(r, status);
	}
}

void leap__relay_submit(struct leap__link *link, struct leap_bio *bio)
{
	struct leap__rbio *r = rbio_of(bio);

	r->req.done = req_done;
	r->bio = bio;
	r->link = link;
	r->wide = NULL;
	r->done = 0;
	r->refused = 0;
	r->probe = 0;
	r->let_go = false;
	r->seq = ++link->seq;
	if (!link->wait && !link->refuses && try_send(r) == SENT_GONE)
		return;
	wait_append(link, r);
	if (link->refuses)
		leap__relay_refuse(link);
	else
		leap__fetch_add(&link->relay->held, 1u);
}

/* ---- memory that somebody wants back ---- */

static bool has_to_go(struct leap__rbio *r)
{
	const struct leap__link *link = r->link;
	uint32_t i;

	if (r->seq > link->go_upto)
		return false;
	r->let_go |= !link->go_buf;
	for (i = 0; !r->let_go && i < r->bio->nr_pieces; i++)
		r->let_go = r->bio->pieces[i].buf == link->go_buf;
	if (r->bio->op != LEAP_BIO_COMPARE_WRITE)
		return r->let_go;
	for (i = 0; !r->let_go && i < r->bio->expect->nr_pieces; i++)
		r->let_go = r->bio->expect->pieces[i].buf == link->go_buf;
	return r->let_go;
}

bool leap__relay_has_to_go(struct leap_req *req, void *arg)
{
	(void)arg;
	return has_to_go(leap__relay_rbio(req));
}

/*
 * The far end, or what is between it and us, may still be about to move data:
 * only when our connection is closed nothing of it can arrive any more.
 */
void leap__relay_host_let_go(struct leap__link *link)
{
	if (link->host && !link->closing && !link->dead)
		leap__host_let_go(link->host, leap__relay_has_to_go, NULL);
}

static void go_now(struct leap_timer *timer)
{
	struct leap__link *link = leap__list_entry(timer, struct leap__link,
						   go_timer);
	struct leap__rbio *r = link->wait, *next, *gone = NULL, **end = &gone;

	link->wait = NULL;
	link->wait_tail = &link->wait;
	for (; r; r = next) {
		next = r->next;
		if (!has_to_go(r)) {
			wait_append(link, r);
			continue;
		}
		r->next = NULL;
		*end = r;
		end = &r->next;
	}
	link->let_go(link);
	link->go_upto = 0;
	for (r = gone; r; r = next) {
		next = r->next;
		finish(r, LEAP_SC_PATH_CTRL);
	}
}

void leap__relay_let_go(struct leap__link *link, const struct leap_dmabuf *buf)
{
	if (link->go_upto && link->go_buf != buf)
		buf = NULL;
	link->go_buf = buf;
	link->go_timer.run = go_now;
	if (!link->go_upto)
		leap_timer_start(link->pg, &link->go_timer, LET_GO_NS);
	link->go_upto = link->seq;
}
