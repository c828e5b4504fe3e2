/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The load of a namespace with zones: a few of them are filled at once, each
 * from front to back by writes of one queue, or by appends of all queues. One
 * that is full is read back, compared, reset, and the next one takes its place.
 * At the end what is in the rest is read back too, and their write pointers
 * have to be where they were left.
 *
 *	FILL --full--> CHECK --read--> RESET --> FILL of another zone
 */
#include "perf.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ACTIVE	16u
#define REPORT_BYTES	4096u

enum zstate { FILL, CHECK, RESET };

struct zone {
	uint64_t index;
	uint64_t start, cap;	/* blocks */
	uint64_t next;		/* handed out, of the state that it is in */
	uint64_t filled;	/* CHECK: what is to be read */
	uint32_t out;
	enum zstate state;
	int begun;
	int over;		/* at the end: nothing left to do */
};

struct zslot {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	struct zrun *run;
	struct zone *zone;
	uint64_t lba;		/* of a write or read */
	uint64_t id;		/* of the first block written */
	uint64_t sent_ns;
	uint32_t nr;
	uint32_t number;
	int out;
};

struct zrun {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	const struct opts *o;
	struct leap_host_ns ns;
	struct result *r;
	struct zone zone[MAX_ACTIVE];
	struct zslot *slots;
	char *bufs;
	uint64_t *owner;	/* of each block in the range: 0 = nobody */
	uint64_t nr_zones, next_zone, next_id, left, rnd, filled;
	uint32_t nr_slots, nr_active, out;
	int stopping, ending;
};

/* ---- what is in a block ---- */

static void fill_block(const struct zrun *u, char *at, uint64_t id)
{
	uint64_t x = mix(u->o->seed ^ id), w;
	uint32_t i;

	memcpy(at, &id, 8);
	for (i = 8; i < u->ns.block_bytes; i += 8) {
		w = mix(x + i);
		memcpy(at + i, &w, 8);
	}
}

static int block_is(const struct zrun *u, const char *at, uint64_t id)
{
	uint64_t x = mix(u->o->seed ^ id), w;
	uint32_t i;

	if (memcmp(at, &id, 8))
		return 0;
	for (i = 8; i < u->ns.block_bytes; i += 8) {
		w = mix(x + i);
		if (memcmp(at + i, &w, 8))
			return 0;
	}
	return 1;
}

static void complain(struct zrun *u, uint64_t lba, const char *what)
{
	if (u->r->bad++ < 5)
		fprintf(stderr, "leap-perf: LBA %llu: %s\n",
			(unsigned long long)lba, what);
}

/* ---- zones ---- */

static int is_taken(const struct zrun *u, const struct zone *but,
		    uint64_t index)
{
	uint32_t i;

	for (i = 0; i < u->nr_active; i++)
		if (&u->zone[i] != but && u->zone[i].begun &&
		    u->zone[i].index == index)
			return 1;
	return 0;
}

static void begin_zone(struct zrun *u, struct zone *z)
{
	uint64_t cap = z->cap;

	/* One that is slow may have been overtaken by all others. */
	do
		z->index = u->next_zone++ % u->nr_zones;
	while (is_taken(u, z, z->index));
	z->begun = 1;
	z->start = z->index * u->ns.zone_blocks;
	z->cap = cap;
	z->next = 0;
	z->state = FILL;
	memset(u->owner + z->start, 0, u->ns.zone_blocks * sizeof(*u->owner));
}

/* A state whose commands have all come back may be over. */
static void advance(struct zrun *u, struct zone *z)
{
	if (z->out)
		return;
	if (z->state == FILL && (z->next == z->cap || u->ending)) {
		z->filled = z->next;
		z->next = 0;
		z->state = CHECK;
	}
	if (z->state == CHECK && z->next == z->filled) {
		u->filled += z->filled == z->cap;
		z->next = 0;
		z->state = RESET;
	}
	if (z->state == RESET && u->ending)
		z->over = 1;
}

/* ---- commands ---- */

static uint32_t pick_size(struct zrun *u, uint64_t left)
{
	uint32_t bb = u->ns.block_bytes;
	uint32_t lo = u->o->bs_min / bb, hi = u->o->bs_max / bb;
	uint32_t most = u->ns.append_bytes / bb;
	uint64_t nr;

	u->rnd = mix(u->rnd + 1);
	nr = lo + (hi > lo ? u->rnd % (hi - lo + 1) : 0);
	if (u->o->zoned == ZONED_APPEND && most && nr > most)
		nr = most;
	return (uint32_t)(nr < left ? nr : left);
}

static void prepare(struct zrun *u, struct zslot *s, struct zone *z)
{
	struct leap_sqe *sqe = &s->req.sqe;
	uint64_t lba = z->start + z->next;
	uint32_t i;

	s->zone = z;
	s->nr = 0;
	s->req.nr_pieces = z->state != RESET;
	sqe->cdw12 = sqe->cdw13 = leap_to_le32(0);
	if (z->state == RESET) {
		sqe->opc = LEAP_NVM_ZONE_MGMT_SEND;
		sqe->cdw13 = leap_to_le32(LEAP_ZSA_RESET);
		lba = z->start;
	} else if (z->state == CHECK) {
		sqe->opc = LEAP_NVM_READ;
		s->nr = pick_size(u, z->filled - z->next);
	} else {
		sqe->opc = u->o->zoned == ZONED_APPEND ? LEAP_NVM_ZONE_APPEND :
							 LEAP_NVM_WRITE;
		s->nr = pick_size(u, z->cap - z->next);
		s->id = u->next_id + 1;
		u->next_id += s->nr;
		for (i = 0; i < s->nr; i++)
			fill_block(u, (char *)s->piece.addr +
				   (size_t)i * u->ns.block_bytes, s->id + i);
	}
	s->lba = lba;
	if (sqe->opc == LEAP_NVM_ZONE_APPEND)
		lba = z->start;
	z->next += s->nr ? s->nr : 1;
	sqe->nsid = leap_to_le32(u->ns.nsid);
	sqe->cdw10 = leap_to_le32((uint32_t)lba);
	sqe->cdw11 = leap_to_le32((uint32_t)(lba >> 32));
	if (s->nr)
		sqe->cdw12 = leap_to_le32(s->nr - 1);
	s->piece.len_bytes = s->nr * u->ns.block_bytes;
}

static struct zone *pick_zone(struct zrun *u)
{
	struct zone *z;
	uint32_t i, from;

	u->rnd = mix(u->rnd + 1);
	from = (uint32_t)(u->rnd % u->nr_active);
	for (i = 0; i < u->nr_active; i++) {
		z = &u->zone[(from + i) % u->nr_active];
		advance(u, z);
		if (z->over || (z->state == FILL && z->next == z->cap) ||
		    (z->state == CHECK && z->next == z->filled) ||
		    (z->state == RESET && z->next))
			continue;
		return z;
	}
	return NULL;
}

static void send_next(struct zrun *u, struct zslot *s)
{
	struct leap_req *req = &s->req;
	struct zone *z;
	uint32_t queue;
	int n;

	if (u->stopping || (!u->ending && !u->left) || !(z = pick_zone(u)))
		return;
	prepare(u, s, z);
	/* The order of one queue is that of the writes to a zone. */
	queue = 1 + (req->sqe.opc == LEAP_NVM_WRITE ? (uint32_t)z->index :
		     s->number) % u->o->queues;
	s->sent_ns = now_ns();
	n = leap_host_submit(u->host, queue, &req, 1);
	if (n == 1) {
		s->out = 1;
		z->out++;
		u->out++;
		u->left -= !u->ending;
		return;
	}
	/* That queue is full: when one of it has come back. */
	if (!n && u->out) {
		z->next -= s->nr ? s->nr : 1;
		return;
	}
	u->r->errors++;
	u->r->lost = 1;
	u->stopping = 1;
}

/* ---- answers ---- */

static void written(struct zrun *u, struct zslot *s)
{
	uint64_t at = s->lba;
	uint32_t i;

	if (s->req.sqe.opc == LEAP_NVM_ZONE_APPEND)
		at = leap_req_result(&s->req);
	if (at < s->zone->start || s->nr > s->zone->cap ||
	    at - s->zone->start > s->zone->cap - s->nr) {
		complain(u, at, "appended outside of its zone");
		return;
	}
	for (i = 0; i < s->nr; i++) {
		if (u->owner[at + i])
			complain(u, at + i, "two appends went here");
		u->owner[at + i] = s->id + i;
	}
}

static void compare(struct zrun *u, struct zslot *s)
{
	uint32_t i;

	for (i = 0; i < s->nr; i++) {
		const char *at = (const char *)s->piece.addr +
				 (size_t)i * u->ns.block_bytes;

		if (!u->owner[s->lba + i])
			complain(u, s->lba + i, "nothing was written here");
		else if (!block_is(u, at, u->owner[s->lba + i]))
			complain(u, s->lba + i, "is not what was written");
	}
	u->r->verified += s->nr;
}

static void account(struct zrun *u, struct zslot *s)
{
	leap_status_t status = leap_req_status(&s->req);
	uint64_t ns = now_ns() - s->sent_ns;

	if (status) {
		/* What is in that zone is not known any more. */
		u->r->errors++;
		u->r->last_error = status;
		u->stopping = 1;
	} else if (s->zone->state == FILL) {
		written(u, s);
		hist_add(&u->r->write, ns);
		u->r->write_bytes += s->piece.len_bytes;
	} else if (s->zone->state == CHECK) {
		compare(u, s);
		hist_add(&u->r->read, ns);
		u->r->read_bytes += s->piece.len_bytes;
	} else {
		begin_zone(u, s->zone);
	}
}

static void done(struct leap_req *req)
{
	struct zslot *s = (struct zslot *)req;
	struct zrun *u = s->run;
	uint32_t i;

	s->out = 0;
	s->zone->out--;
	u->out--;
	account(u, s);
	/* Others may have waited for just this one. */
	for (i = 0; i < u->nr_slots; i++)
		if (!u->slots[i].out)
			send_next(u, &u->slots[i]);
}

/* ---- set-up ---- */

static void nothing(struct leap_req *req)
{
	(void)req;
}

/* One command, waited for. */
static int ask(struct zrun *u, uint8_t opc, uint64_t lba, uint32_t cdw12,
	       uint32_t cdw13, void *buf, uint32_t bytes)
{
	struct leap_piece piece = { .addr = buf, .len_bytes = bytes };
	struct leap_req req = { .done = nothing };
	leap_status_t status;

	req.pieces = &piece;
	req.nr_pieces = bytes ? 1 : 0;
	req.sqe.opc = opc;
	req.sqe.nsid = leap_to_le32(u->ns.nsid);
	req.sqe.cdw10 = leap_to_le32((uint32_t)lba);
	req.sqe.cdw11 = leap_to_le32((uint32_t)(lba >> 32));
	req.sqe.cdw12 = leap_to_le32(cdw12);
	req.sqe.cdw13 = leap_to_le32(cdw13);
	if (leap_host_sync(u->host, u->pg, 1, &req)) {
		u->r->lost = 1;
		return -1;
	}
	status = leap_req_status(&req);
	if (!status)
		return 0;
	u->r->errors++;
	u->r->last_error = status;
	return -1;
}

static int report_zone(struct zrun *u, uint64_t lba, struct leap_zone_desc *d)
{
	static _Alignas(4096) char buf[REPORT_BYTES];

	if (ask(u, LEAP_NVM_ZONE_MGMT_RECV, lba, REPORT_BYTES / 4 - 1,
		LEAP_ZMR_CDW13_PARTIAL, buf, REPORT_BYTES))
		return -1;
	memcpy(d, buf + sizeof(struct leap_zone_report), sizeof(*d));
	return 0;
}

static int begin(struct zrun *u)
{
	struct leap_zone_desc d;
	uint64_t cap, i;

	for (i = 0; i < u->nr_zones; i++)
		if (ask(u, LEAP_NVM_ZONE_MGMT_SEND, i * u->ns.zone_blocks, 0,
			LEAP_ZSA_RESET, NULL, 0))
			return -1;
	if (report_zone(u, 0, &d))
		return -1;
	/* The first's is that of all. */
	cap = leap_from_le64(d.zcap);
	if (!cap || cap > u->ns.zone_blocks) {
		fprintf(stderr, "leap-perf: a zone of capacity %llu\n",
			(unsigned long long)cap);
		return -1;
	}
	for (i = 0; i < u->nr_active; i++) {
		u->zone[i].cap = cap;
		begin_zone(u, &u->zone[i]);
	}
	return 0;
}

/* Where they were left: at the end of what was written. */
static void check_pointers(struct zrun *u)
{
	struct leap_zone_desc d;
	uint32_t i;

	for (i = 0; i < u->nr_active; i++) {
		struct zone *z = &u->zone[i];

		if (!z->over || z->filled == z->cap ||
		    report_zone(u, z->start, &d))
			continue;
		if (leap_from_le64(d.wp) != z->start + z->filled)
			complain(u, leap_from_le64(d.wp),
				 "a write pointer is not where it was left");
	}
}

static int alloc(struct zrun *u)
{
	size_t bytes = ((size_t)u->nr_slots * u->o->bs_max + 4095) / 4096 *
		       4096;
	uint32_t i;

	u->slots = calloc(u->nr_slots, sizeof(*u->slots));
	u->bufs = aligned_alloc(4096, bytes);
	u->owner = calloc(u->nr_zones * u->ns.zone_blocks, sizeof(*u->owner));
	if (!u->slots || !u->bufs || !u->owner)
		return -1;
	for (i = 0; i < u->nr_slots; i++) {
		struct zslot *s = &u->slots[i];

		s->run = u;
		s->number = i;
		s->piece.addr = u->bufs + (size_t)i * u->o->bs_max;
		s->req.pieces = &s->piece;
		s->req.done = done;
	}
	return 0;
}

static void drain(struct zrun *u, uint64_t until)
{
	uint32_t i;

	for (i = 0; i < u->nr_slots; i++)
		if (!u->slots[i].out)
			send_next(u, &u->slots[i]);
	while (u->out) {
		leap_pollgroup_wait(u->pg, 100000000);
		if (now_ns() >= until || perf_stop)
			u->left = 0;
	}
}

static int choose(struct zrun *u)
{
	uint64_t zones = u->ns.nr_blocks / u->ns.zone_blocks;
	uint64_t want = u->o->range / u->ns.block_bytes / u->ns.zone_blocks;

	u->nr_zones = want && want < zones ? want : zones;
	/* Who of is checked is in memory, 8 bytes of each block. */
	if (!want && u->nr_zones * u->ns.zone_blocks > 1u << 24)
		u->nr_zones = (1u << 24) / u->ns.zone_blocks;
	if (!u->nr_zones)
		u->nr_zones = 1;
	u->nr_active = MAX_ACTIVE;
	if (u->ns.max_open && u->ns.max_open < u->nr_active)
		u->nr_active = u->ns.max_open;
	if (u->ns.max_active && u->ns.max_active < u->nr_active)
		u->nr_active = u->ns.max_active;
	if (u->nr_zones < u->nr_active)
		u->nr_active = (uint32_t)u->nr_zones;
	return u->nr_active ? 0 : -1;
}

int zoned_run(struct leap_pollgroup *pg, struct leap_host *host,
	      const struct opts *o, const struct leap_host_ns *ns,
	      struct result *r)
{
	static struct zrun u;
	uint64_t start;

	u = (struct zrun){
		.pg = pg, .host = host, .o = o, .ns = *ns, .r = r,
		.left = o->count ? o->count : UINT64_MAX,
		.nr_slots = o->depth * o->queues, .rnd = o->seed,
	};
	if (choose(&u) || alloc(&u)) {
		fprintf(stderr, "leap-perf: out of memory\n");
		r->errors++;
	} else if (!begin(&u)) {
		start = now_ns();
		drain(&u, o->count ? UINT64_MAX :
		      start + (uint64_t)(o->seconds * 1e9));
		r->seconds = (double)(now_ns() - start) / 1e9;
		u.ending = 1;
		drain(&u, UINT64_MAX);
		if (!u.stopping)
			check_pointers(&u);
		if (!o->quiet)
			fprintf(stderr, "leap-perf: %llu zones filled\n",
				(unsigned long long)u.filled);
	}
	free(u.slots);
	free(u.bufs);
	free(u.owner);
	return 0;
}
