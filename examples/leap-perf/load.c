/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The load: queues x depth slots, each with one command out at all times. A
 * slot that completes picks its next command in the callback.
 */
#include "perf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096u

struct run;

struct slot {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	struct run *run;
	uint32_t queue;
	uint32_t nr;		/* blocks */
	uint64_t lba;
	uint64_t sent_ns;
	uint32_t *floor;	/* verify: generation that must be there */
	int out;
};

struct run {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	const struct opts *o;
	const struct ns_info *ns;
	struct verify *v;
	struct result *r;
	struct slot *slots;
	struct leap_dmabuf *mem;
	char *bufs;
	uint32_t buf_bytes;	/* of one slot */
	uint32_t nr_slots;
	uint32_t out;
	uint64_t blocks;	/* of the range */
	uint64_t left;		/* commands that may still be sent */
	uint64_t next_lba;
	uint64_t rnd;
	int read_back;
	int stopping;
};

static uint64_t rnd(struct run *u)
{
	u->rnd ^= u->rnd << 13;
	u->rnd ^= u->rnd >> 7;
	u->rnd ^= u->rnd << 17;
	return u->rnd;
}

static void pick_size(struct run *u, struct slot *s)
{
	uint32_t bb = u->ns->block_bytes;
	uint32_t lo = u->o->bs_min / bb, hi = u->o->bs_max / bb;

	s->nr = lo + (hi > lo ? (uint32_t)(rnd(u) % (hi - lo + 1)) : 0);
	if (s->nr > u->blocks)
		s->nr = (uint32_t)u->blocks;
}

static void pick_lba(struct run *u, struct slot *s)
{
	if (u->o->sequential) {
		if (u->next_lba + s->nr > u->blocks)
			u->next_lba = 0;
		s->lba = u->next_lba;
		u->next_lba += s->nr;
		return;
	}
	/* Multiples of the size, as drives like it. */
	s->lba = rnd(u) % (u->blocks / s->nr) * s->nr;
}

/* Everything written, from front to back. 0 at the end. */
static int pick_read_back(struct run *u, struct slot *s)
{
	uint64_t lba = u->next_lba;
	uint32_t most = u->o->bs_max / u->ns->block_bytes;

	while (lba < u->blocks && !verify_is_written(u->v, lba))
		lba++;
	s->lba = lba;
	for (s->nr = 0; lba < u->blocks && s->nr < most &&
	     verify_is_written(u->v, lba); lba++)
		s->nr++;
	u->next_lba = lba;
	s->req.sqe.opc = LEAP_NVM_READ;
	return s->nr != 0;
}

/* 0 = nothing that may be sent now. */
static int pick(struct run *u, struct slot *s)
{
	int tries;

	if (u->read_back)
		return pick_read_back(u, s);
	for (tries = 0; tries < 8; tries++) {
		pick_size(u, s);
		pick_lba(u, s);
		s->req.sqe.opc = rnd(u) % 100 < u->o->read_percent ?
				 LEAP_NVM_READ : LEAP_NVM_WRITE;
		if (!u->v || s->req.sqe.opc == LEAP_NVM_READ ||
		    verify_may_write(u->v, s->lba, s->nr))
			return 1;
	}
	/* All those places are being written: read instead. */
	s->req.sqe.opc = LEAP_NVM_READ;
	return 1;
}

static void send_next(struct run *u, struct slot *s)
{
	struct leap_req *req = &s->req;
	int n;

	if (u->stopping || !u->left || !pick(u, s))
		return;
	u->left--;
	req->sqe.nsid = leap_to_le32(u->ns->nsid);
	req->sqe.cdw10 = leap_to_le32((uint32_t)s->lba);
	req->sqe.cdw11 = leap_to_le32((uint32_t)(s->lba >> 32));
	req->sqe.cdw12 = leap_to_le32(s->nr - 1);
	s->piece.len_bytes = s->nr * u->ns->block_bytes;
	if (u->o->misalign)
		s->piece.addr = u->bufs + (size_t)(s - u->slots) *
				u->buf_bytes + rnd(u) % (PAGE / 4) * 4;
	if (u->v && req->sqe.opc == LEAP_NVM_WRITE)
		verify_write_start(u->v, s->lba, s->nr, s->piece.addr);
	else if (u->v)
		verify_read_start(u->v, s->lba, s->nr, s->floor);
	s->sent_ns = now_ns();
	n = leap_host_submit(u->host, s->queue, &req, 1);
	if (n == 1) {
		s->out = 1;
		u->out++;
		return;
	}
	if (u->v && req->sqe.opc == LEAP_NVM_WRITE)
		verify_write_end(u->v, s->lba, s->nr, 0);
	u->r->errors++;
	u->r->lost = 1;
	u->stopping = 1;
}

static void account(struct run *u, struct slot *s, leap_status_t status)
{
	int write = s->req.sqe.opc == LEAP_NVM_WRITE;
	uint64_t ns = now_ns() - s->sent_ns;

	if (u->v && write)
		verify_write_end(u->v, s->lba, s->nr, !status);
	if (status) {
		u->r->errors++;
		u->r->last_error = status;
		return;
	}
	if (u->v && !write) {
		u->r->verified += s->nr;
		u->r->bad += verify_read_end(u->v, s->lba, s->nr, s->piece.addr,
					     s->floor);
	}
	if (u->read_back)
		return;
	hist_add(write ? &u->r->write : &u->r->read, ns);
	if (write)
		u->r->write_bytes += s->piece.len_bytes;
	else
		u->r->read_bytes += s->piece.len_bytes;
}

static void done(struct leap_req *req)
{
	struct slot *s = (struct slot *)req;
	struct run *u = s->run;

	s->out = 0;
	u->out--;
	account(u, s, leap_req_status(req));
	send_next(u, s);
}

static int alloc_slots(struct run *u)
{
	struct leap_dmabuf_opts mem = LEAP_DMABUF_OPTS_INIT;
	uint32_t i, most = u->o->bs_max / u->ns->block_bytes;
	struct slot *s;

	u->buf_bytes = (u->o->bs_max + PAGE - 1) / PAGE * PAGE +
		       (u->o->misalign ? PAGE : 0);
	mem.bytes = (uint64_t)u->nr_slots * u->buf_bytes;
	mem.name = "leap-perf";
	u->slots = calloc(u->nr_slots, sizeof(*u->slots));
	if (!u->slots || leap_dmabuf_create(&mem, &u->mem))
		return -1;
	u->bufs = leap_dmabuf_addr(u->mem);
	memset(u->bufs, 0xa5, mem.bytes);
	for (i = 0; i < u->nr_slots; i++) {
		s = &u->slots[i];
		s->run = u;
		s->queue = 1 + i % u->o->queues;
		s->piece.addr = u->bufs + (size_t)i * u->buf_bytes;
		s->piece.buf = u->mem;
		s->req.pieces = &s->piece;
		s->req.nr_pieces = 1;
		s->req.done = done;
		s->floor = calloc(most, sizeof(*s->floor));
		if (!s->floor)
			return -1;
	}
	return 0;
}

static void free_slots(struct run *u)
{
	uint32_t i;

	for (i = 0; u->slots && i < u->nr_slots; i++)
		free(u->slots[i].floor);
	free(u->slots);
	leap_dmabuf_put(u->mem);
}

static void progress(struct run *u, uint64_t start, uint64_t *last_n)
{
	uint64_t n = u->r->read.n + u->r->write.n;
	const char *state = "";

	if (u->o->quiet || u->read_back)
		return;
	if (leap_host_state(u->host) == LEAP_HOST_RECONNECTING)
		state = " reconnecting";
	fprintf(stderr, "\r%6.1f s %10llu IOPS %12llu commands%s   ",
		(double)(now_ns() - start) / 1e9,
		(unsigned long long)(n - *last_n), (unsigned long long)n,
		state);
	*last_n = n;
}

static void loop(struct run *u)
{
	uint64_t start = now_ns(), tick = start + 1000000000u, last_n = 0, now;
	uint64_t until = UINT64_MAX;
	uint32_t i;

	if (!u->read_back && !u->o->count)
		until = start + (uint64_t)(u->o->seconds * 1e9);
	for (i = 0; i < u->nr_slots; i++)
		send_next(u, &u->slots[i]);
	while (u->out) {
		leap_pollgroup_wait(u->pg, 100000000);
		now = now_ns();
		if (now >= until || perf_stop)
			u->stopping = 1;
		if (now >= tick) {
			tick = now + 1000000000u;
			progress(u, start, &last_n);
		}
	}
	if (!u->read_back)
		u->r->seconds = (double)(now_ns() - start) / 1e9;
	if (!u->o->quiet && !u->read_back && now_ns() - start > 1000000000u)
		fprintf(stderr, "\n");
}

static int run(struct run *u)
{
	struct leap_host_stats stats = { sizeof(stats) };
	struct leap_pollgroup_stats group = { sizeof(group) };
	uint64_t range = u->o->range;

	if (!range && u->v)
		range = 1ull << 30;
	u->blocks = range ? range / u->ns->block_bytes : u->ns->nr_blocks;
	if (u->blocks > u->ns->nr_blocks)
		u->blocks = u->ns->nr_blocks;
	u->nr_slots = u->o->depth * u->o->queues;
	u->rnd = u->o->seed * 0x9e3779b97f4a7c15ull | 1;
	if (alloc_slots(u)) {
		fprintf(stderr, "leap-perf: out of memory\n");
		free_slots(u);
		return -1;
	}
	loop(u);
	leap_host_stats(u->host, &stats);
	u->r->reconnects = stats.reconnects;
	u->r->redriven = stats.redriven;
	leap_pollgroup_stats(u->pg, &group);
	u->r->bounced = group.bounced;
	if (leap_host_state(u->host) == LEAP_HOST_FAILED)
		u->r->lost = 1;
	free_slots(u);
	return 0;
}

int load_run(struct leap_pollgroup *pg, struct leap_host *host,
	     const struct opts *o, const struct ns_info *ns, struct verify *v,
	     struct result *r)
{
	struct run u = {
		.pg = pg, .host = host, .o = o, .ns = ns, .v = v, .r = r,
		.left = o->count ? o->count : UINT64_MAX,
	};

	return run(&u);
}

int load_read_back(struct leap_pollgroup *pg, struct leap_host *host,
		   const struct opts *o, const struct ns_info *ns,
		   struct verify *v, struct result *r)
{
	struct run u = {
		.pg = pg, .host = host, .o = o, .ns = ns, .v = v, .r = r,
		.left = UINT64_MAX, .read_back = 1,
	};

	return run(&u);
}
