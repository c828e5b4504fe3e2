/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hosts that race with compare-and-write, over leaves that do it by themselves
 * and over those that need a claim: of every value that a block has, exactly
 * one pair makes the next; and what is written beside a pair does not get in
 * between its halves. Afterwards the sum is what was counted.
 */
#include "sim-test.h"

#include <stdlib.h>
#include <string.h>

#define COUNTER	40u	/* block */
#define TASKS	3u	/* of each host */

struct half {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	struct task *task;
	uint8_t data[BLOCK];
};

struct task {
	struct race *race;
	struct host *h;
	uint32_t queue;
	struct half read, first, second;
	uint32_t out;
	uint64_t value;
	uint32_t left;
};

/* More than one block around the counter's, but not it. */
struct noise {
	struct half half;	/* first */
	struct race *race;
	struct host *h;
};

struct race {
	struct world *w;
	struct task tasks[MAX_HOSTS * TASKS];
	struct noise noise;
	uint32_t nr_tasks, busy;
	uint64_t done, lost, unknown;
};

static void put_value(uint8_t *data, uint64_t value)
{
	uint32_t i;

	for (i = 0; i < BLOCK / 8; i++, data += 8)
		memcpy(data, &value, 8);
}

/* A block is one value all over, or it was torn. */
static uint64_t get_value(struct race *race, const uint8_t *data)
{
	uint64_t value, other;
	uint32_t i;

	memcpy(&value, data, 8);
	for (i = 1; i < BLOCK / 8; i++) {
		memcpy(&other, data + 8 * i, 8);
		if (other != value)
			world_fail(race->w,
				   "half of a block is %llu, half %llu",
				   (unsigned long long)value,
				   (unsigned long long)other);
	}
	return value;
}

static void fill(struct half *x, uint8_t opc, uint64_t block)
{
	memset(&x->req.sqe, 0, sizeof(x->req.sqe));
	x->req.sqe.opc = opc;
	x->req.sqe.nsid = leap_to_le32(1);
	x->req.sqe.cdw10 = leap_to_le32((uint32_t)block);
	memset(&x->piece, 0, sizeof(x->piece));
	x->piece.addr = x->data;
	x->piece.len_bytes = BLOCK;
	x->req.pieces = &x->piece;
	x->req.nr_pieces = 1;
}

/* ---- increments ---- */

static void task_next(struct task *t);

static void pair_done(struct leap_req *req)
{
	struct task *t = ((struct half *)req)->task;
	leap_status_t one, two;

	if (--t->out)
		return;
	one = leap_req_status(&t->first.req);
	two = leap_req_status(&t->second.req);
	if (!one && !two) {
		t->race->done++;
		t->left--;
	} else if (t->first.req.sys_errno || t->second.req.sys_errno) {
		/* The connection was lost: perhaps it was done. */
		t->race->unknown++;
		t->left--;
	} else if (LEAP_STATUS_CODE(one) == LEAP_SC_COMPARE_FAILED &&
		   LEAP_STATUS_CODE(two) == LEAP_SC_ABORT_FUSED_FAILED) {
		t->race->lost++;
	} else if (LEAP_STATUS_CODE(one) != LEAP_SC_ABORT_SQ_DELETED) {
		world_fail(t->race->w, "a pair ended with %#x and %#x", one,
			   two);
	}
	task_next(t);
}

static void read_done(struct leap_req *req)
{
	struct task *t = ((struct half *)req)->task;
	int rc;

	if (leap_req_status(req)) {
		world_fail(t->race->w, "a read ended with %#x",
			   leap_req_status(req));
		return;
	}
	t->value = get_value(t->race, t->read.data);
	fill(&t->first, LEAP_NVM_COMPARE, COUNTER);
	put_value(t->first.data, t->value);
	fill(&t->second, LEAP_NVM_WRITE, COUNTER);
	put_value(t->second.data, t->value + 1);
	t->out = 2;
	rc = leap_host_submit_fused(t->h->host, t->queue, &t->first.req,
				    &t->second.req);
	if (rc != 1)
		world_fail(t->race->w, "a pair is not taken: %d", rc);
}

static void task_next(struct task *t)
{
	struct leap_req *req = &t->read.req;

	if (!t->left || t->race->w->failed[0]) {
		t->race->busy--;
		return;
	}
	fill(&t->read, LEAP_NVM_READ, COUNTER);
	if (leap_host_submit(t->h->host, t->queue, &req, 1) != 1)
		world_fail(t->race->w, "a read is not taken");
}

static void noise_next(struct leap_req *req)
{
	struct noise *n = (struct noise *)req;
	static const uint8_t at[] = { COUNTER - 1, COUNTER + 1 };

	if (!n->race->busy || n->race->w->failed[0]) {
		n->race = NULL;
		return;
	}
	fill(&n->half, LEAP_NVM_WRITE, at[leap_sim_below(n->h->w->sim, 2)]);
	if (leap_host_submit(n->h->host, 1, &req, 1) != 1)
		world_fail(n->h->w, "a write is not taken");
}

static void start(struct race *race, uint32_t each)
{
	struct world *w = race->w;
	uint32_t i;

	for (i = 0; i < w->nr_hosts * TASKS; i++) {
		struct task *t = &race->tasks[i];

		t->race = race;
		t->h = &w->hosts[i / TASKS];
		t->queue = 1 + i % t->h->nr_queues;
		t->left = each;
		t->read.task = t->first.task = t->second.task = t;
		t->read.req.done = read_done;
		t->first.req.done = t->second.req.done = pair_done;
		race->busy++;
	}
	race->nr_tasks = i;
	for (i = 0; i < race->nr_tasks; i++)
		task_next(&race->tasks[i]);
	race->noise.race = race;
	race->noise.h = &w->hosts[0];
	race->noise.half.req.done = noise_next;
	noise_next(&race->noise.half.req);
}

static bool is_over(void *arg)
{
	struct race *race = arg;

	return !race->busy && !race->noise.race;
}

/* A command that is waited for; op_* know no values of ours. */
static struct half *one(struct race *race, uint8_t opc, uint64_t value)
{
	struct half *x = &race->tasks[0].read;
	struct op *op = &race->w->hosts[0].ops[0];

	op_read(op, 1, COUNTER, 1);
	op->kind = OP_FLUSH;	/* the model has no say here */
	op->req.sqe.opc = opc;
	put_value(op->buf, value);
	op_sync(op);
	if (!race->w->failed[0] && op->status)
		world_fail(race->w, "opcode %#x ended with %#x", opc,
			   op->status);
	memcpy(x->data, op->buf, BLOCK);
	return x;
}

static struct race *race_new(uint64_t seed, uint32_t what)
{
	static const struct {
		const char *stack, *disk;
	} stacks[] = {
		{ "file:d0", "d0" },
		{ "memory:256K", NULL },
		{ "trace -> file:d0", "d0" },
		{ "delay[write_us=30,read_us=10,jitter_us=200] -> file:d0",
		  "d0" },
		{ "delay[write_us=30,jitter_us=100] -> memory:256K", NULL },
	};
	struct race *race = calloc(1, sizeof(*race));
	uint32_t i, nr;

	if (!race)
		abort();
	race->w = world_new(seed, what);
	i = leap_sim_below(race->w->sim, 5);
	world_ns(race->w, 1, stacks[i].stack, stacks[i].disk);
	world_start_target(race->w, 1 + leap_sim_below(race->w->sim, 2));
	nr = 2 + leap_sim_below(race->w->sim, 2);
	for (i = 0; i < nr; i++)
		world_start_host(race->w, i,
				 1 + leap_sim_below(race->w->sim, 3));
	if (stacks[0].disk && race->w->ns[0].disk)
		leap_sim_disk_latency(race->w->sim, "d0", 0, 300000);
	if (!race->w->failed[0])
		one(race, LEAP_NVM_WRITE, 0);
	return race;
}

static uint64_t race_end(struct race *race)
{
	uint64_t hash = world_end(race->w);

	if (hash)
		free(race);
	else
		keep(race);
	return hash;
}

static void check_sum(struct race *race)
{
	uint64_t value;

	if (race->w->failed[0])
		return;
	value = get_value(race, one(race, LEAP_NVM_READ, 0)->data);
	if (value < race->done || value > race->done + race->unknown)
		world_fail(race->w, "the counter is %llu after %llu increments "
			   "(%llu more, perhaps)", (unsigned long long)value,
			   (unsigned long long)race->done,
			   (unsigned long long)race->unknown);
}

static uint64_t increments(uint64_t seed)
{
	struct race *race = race_new(seed, 0);

	if (!race->w->failed[0])
		start(race, 10);
	world_run(race->w, is_over, race, 60 * SECOND, "all are counted");
	if (!race->w->failed[0] &&
	    race->done != 10ull * TASKS * race->w->nr_hosts)
		world_fail(race->w, "%llu increments",
			   (unsigned long long)race->done);
	check_sum(race);
	return race_end(race);
}

/* What may have been done twice would be more than is unknown. */
static uint64_t lossy(uint64_t seed)
{
	struct race *race = race_new(seed, W_RESET);
	struct world *w = race->w;
	uint32_t i;

	if (!w->failed[0])
		start(race, 10);
	for (i = 0; i < 8 && !w->failed[0] && !is_over(race); i++) {
		world_pass(w, leap_sim_below(w->sim, 20) * MS / 10);
		leap_sim_net_reset(w->sim, TARGET,
			HOST((int)leap_sim_below(w->sim, w->nr_hosts)));
	}
	world_run(w, is_over, race, 60 * SECOND, "all are counted");
	for (i = 0; i < w->nr_hosts && !w->failed[0]; i++)
		world_wait_live(w, i);
	/* What was lost may still be in the disk. */
	world_pass(w, SECOND);
	check_sum(race);
	return race_end(race);
}

/* ---- against writes that do not compare ---- */

static void write_done(struct leap_req *req)
{
	struct task *t = ((struct half *)req)->task;

	if (leap_req_status(req))
		world_fail(t->race->w, "a write ended with %#x",
			   leap_req_status(req));
	t->race->busy--;
}

static void halves_done(struct leap_req *req)
{
	struct task *t = ((struct half *)req)->task;

	if (!--t->out)
		t->race->busy--;
}

static bool is_idle(void *arg)
{
	return !((struct race *)arg)->busy;
}

/* In whatever order the two were done, the write is seen last, or it was there
 * when the pair compared. */
static void round_of(struct race *race, uint64_t value)
{
	struct world *w = race->w;
	struct task *t = &race->tasks[0];
	struct leap_req *req = &t->read.req;
	struct host *other = &w->hosts[1];
	uint32_t first = leap_sim_below(w->sim, 2), i;

	t->race = race;
	t->read.task = t->first.task = t->second.task = t;
	t->read.req.done = write_done;
	t->first.req.done = t->second.req.done = halves_done;
	fill(&t->first, LEAP_NVM_COMPARE, COUNTER);
	put_value(t->first.data, value);
	fill(&t->second, LEAP_NVM_WRITE, COUNTER);
	put_value(t->second.data, value + 1);
	fill(&t->read, LEAP_NVM_WRITE, COUNTER);
	put_value(t->read.data, value + 2);
	t->out = 2;
	race->busy = 2;
	for (i = 0; i < 2; i++) {
		if (i == first)
			leap_host_submit(other->host, 1 + leap_sim_below(
					 w->sim, other->nr_queues), &req, 1);
		else
			leap_host_submit_fused(w->hosts[0].host, 1,
					       &t->first.req, &t->second.req);
		if (leap_sim_below(w->sim, 2))
			world_pass(w, leap_sim_below(w->sim, 200) * 1000);
	}
	world_run(w, is_idle, race, SECOND, "both end");
	if (w->failed[0])
		return;
	if (get_value(race, one(race, LEAP_NVM_READ, 0)->data) != value + 2)
		world_fail(w, "what was written came between compare and "
			   "write, and is lost");
}

static uint64_t against_writes(uint64_t seed)
{
	struct race *race = race_new(seed, 0);
	uint64_t value = 0;
	uint32_t i;

	for (i = 0; i < 12 && !race->w->failed[0]; i++, value += 2)
		round_of(race, value);
	return race_end(race);
}

/* ---- halves that stay alone ---- */

static uint64_t alone(uint64_t seed)
{
	struct race *race = race_new(seed, W_HOST_KILL);
	struct task *t = &race->tasks[0];
	struct leap_req *req = &t->first.req;
	struct world *w = race->w;
	uint64_t before = leap_sim_now_ns(w->sim);

	if (w->failed[0])
		return race_end(race);
	t->race = race;
	t->first.task = t;
	t->out = 1;
	race->busy = 1;
	fill(&t->first, LEAP_NVM_COMPARE, COUNTER);
	req->sqe.flags = LEAP_SQE_FUSE_FIRST;
	req->done = halves_done;
	leap_host_submit(w->hosts[1].host, 1, &req, 1);
	if (leap_sim_below(w->sim, 3) == 0) {
		/* Its host goes, and nothing is left of it. */
		world_pass(w, 10 * MS);
		world_kill_host(w, 1);
		return race_end(race);
	}
	world_run(w, is_idle, race, 5 * SECOND, "a half alone ends");
	if (!w->failed[0] && LEAP_STATUS_CODE(leap_req_status(req)) !=
	    LEAP_SC_ABORT_FUSED_MISSING)
		world_fail(w, "a half alone ended with %#x",
			   leap_req_status(req));
	if (!w->failed[0] && leap_sim_now_ns(w->sim) - before < SECOND)
		world_fail(w, "a half alone was not waited for");
	return race_end(race);
}

const struct sim_case fused_cases[] = {
	{ "increments", increments, 120, { NULL } },
	{ "increments, connections are reset", lossy, 120, { NULL } },
	{ "a pair against a write", against_writes, 120,
	  { "CLAIM_UNASKED", "CLAIM_UNSEEN" } },
	{ "a half alone", alone, 30, { NULL } },
	{ NULL, NULL, 0, { NULL } },
};
