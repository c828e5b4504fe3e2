/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The explorer's search: what can happen next in a state, saving and
 * restoring states, and going through all of them, depth first.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX	20000

static const char *const op_names[] = {
	"load", "store", "rmw", "cas", "fence", "signal", "wait", "await",
	"join", "choose",
};

enum move_kind { MOVE_OP, MOVE_DRAIN, MOVE_KILL };

struct move {
	uint8_t kind;
	uint8_t thread;
	uint8_t index;		/* buffer entry, or choice */
	uint32_t time;		/* of a load */
};

#define MOVES_MAX	64

/* One state on the current path. */
struct frame {
	uint8_t *saved;
	size_t saved_max;
	struct move move[MOVES_MAX];
	uint32_t nr, next;
};

static struct {
	struct frame *frames;
	uint32_t depth;
	uint64_t (*seen)[2];
	uint64_t seen_mask, seen_nr;
	uint64_t dice;		/* order of moves; 0: as listed */
} g;

/* ---- moves --------------------------------------------------------------- */

static void add_move(struct frame *f, enum move_kind kind, int thread,
		     uint32_t index, uint32_t time)
{
	if (f->nr == MOVES_MAX) {
		truncate_run("moves of one state");
		return;
	}
	f->move[f->nr++] = (struct move) {
		(uint8_t)kind, (uint8_t)thread, (uint8_t)index, time,
	};
}

/* A load: one move for every value it may return, each as early as may be. */
static void add_loads(struct frame *f, int k)
{
	struct thread *t = &x.m.thread[k];
	const struct op *op = &t->op;
	uint32_t time = t->floor, i;

	for (i = 0; i < t->nr_coh; i++)
		if (overlap(t->coh[i].addr, t->coh[i].bytes, op->addr,
			    op->bytes) && t->coh[i].time > time)
			time = t->coh[i].time;
	add_move(f, MOVE_OP, k, 0, time);
	for (i = 0; i < x.m.nr_log; i++)
		if (x.m.log[i].time > time &&
		    overlap(x.m.log[i].addr, x.m.log[i].bytes, op->addr,
			    op->bytes))
			add_move(f, MOVE_OP, k, 0, x.m.log[i].time);
}

/*
 * Death before waiting for another's is no new case.  Nor is death before a
 * load: the load would have changed nothing but the dead thread, so the stop
 * after it stands for both (unless stores in the buffer are lost: then there
 * are no stops at stores).
 */
static bool death_matters(const struct thread *t)
{
	if (t->op.kind == OP_JOIN)
		return false;
	return t->op.kind != OP_LOAD || x.model->kill_loses_stores;
}

static void list_moves(struct frame *f)
{
	uint32_t i;
	int k;

	f->nr = f->next = 0;
	for (k = 0; k < x.nr_threads; k++) {
		struct thread *t = &x.m.thread[k];

		for (i = 0; i < t->nr_buf; i++)
			if (may_drain(t, i))
				add_move(f, MOVE_DRAIN, k, i, 0);
		if (t->life != READY)
			continue;
		if (t->op.kind == OP_LOAD)
			add_loads(f, k);
		else if (t->op.kind == OP_CHOOSE)
			for (i = 0; i < (uint32_t)t->op.sub; i++)
				add_move(f, MOVE_OP, k, i, 0);
		else if (op_is_enabled(t))
			add_move(f, MOVE_OP, k, 0, 0);
		if (x.model->killable >> k & 1 && death_matters(t))
			add_move(f, MOVE_KILL, k, 0, 0);
	}
}

static void do_move(const struct move *mv)
{
	struct thread *t = &x.m.thread[mv->thread];

	switch (mv->kind) {
	case MOVE_DRAIN:
		drain(t, mv->index);
		break;
	case MOVE_KILL:
		t->life = KILLED;
		if (x.model->kill_loses_stores)
			t->nr_buf = 0;
		break;
	default:
		do_op(t, mv->time, mv->index);
		break;
	}
	trim_log();
	x.res.steps++;
}

/* ---- states -------------------------------------------------------------- */

static size_t stack_live(int i)
{
	if (x.m.thread[i].life != READY)
		return 0;
	return (size_t)(stacks[i] + STACK_BYTES - x.m.thread[i].sp) + RED_ZONE;
}

static void put(uint8_t **p, const void *from, size_t n)
{
	memcpy(*p, from, n);
	*p += n;
}

static void get(const uint8_t **p, void *to, size_t n)
{
	memcpy(to, *p, n);
	*p += n;
}

/* The part of the machine before the log: threads that exist, no others. */
static size_t machine_bytes(void)
{
	return offsetof(struct machine, thread) +
	       (size_t)x.nr_threads * sizeof(struct thread);
}

static void save(struct frame *f)
{
	size_t n = machine_bytes() + x.m.nr_log * sizeof(x.m.log[0]) +
		   x.model->world_bytes;
	uint8_t *p;
	int i;

	for (i = 0; i < x.nr_threads; i++)
		n += stack_live(i);
	if (n > f->saved_max) {
		free(f->saved);
		f->saved = malloc(n * 2);
		f->saved_max = n * 2;
		if (!f->saved)
			abort();
	}
	p = f->saved;
	put(&p, &x.m, machine_bytes());
	put(&p, x.m.log, x.m.nr_log * sizeof(x.m.log[0]));
	put(&p, x.model->world, x.model->world_bytes);
	for (i = 0; i < x.nr_threads; i++) {
		n = stack_live(i);
		put(&p, stacks[i] + STACK_BYTES - n, n);
	}
}

static void restore(const struct frame *f)
{
	const uint8_t *p = f->saved;
	size_t n;
	int i;

	get(&p, &x.m, machine_bytes());
	get(&p, x.m.log, x.m.nr_log * sizeof(x.m.log[0]));
	get(&p, x.model->world, x.model->world_bytes);
	for (i = 0; i < x.nr_threads; i++) {
		n = stack_live(i);
		get(&p, stacks[i] + STACK_BYTES - n, n);
	}
}

struct hash {
	uint64_t a, b;
};

static void hash_word(struct hash *h, uint64_t v)
{
	h->a = (h->a ^ v) * 0x9e3779b97f4a7c15u;
	h->a ^= h->a >> 29;
	h->b = (h->b + v) * 0xc2b2ae3d27d4eb4fu;
	h->b ^= h->b >> 32;
}

static void hash_bytes(struct hash *h, const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t v;

	for (; n >= 8; n -= 8, b += 8) {
		memcpy(&v, b, 8);
		hash_word(h, v);
	}
	v = n;
	memcpy(&v, b, n);
	hash_word(h, v);
}

/* Moments matter only by which logged stores they come after. */
static uint64_t rank(uint32_t time)
{
	uint32_t i = 0;

	while (i < x.m.nr_log && x.m.log[i].time <= time)
		i++;
	return i;
}

static void hash_thread(struct hash *h, int k)
{
	const struct thread *t = &x.m.thread[k];
	bool blind = !will_see_now(t);
	uint32_t i;

	hash_word(h, (uint64_t)t->life << 32 | t->nr_buf);
	for (i = 0; i < t->nr_buf; i++)
		hash_bytes(h, &t->buf[i], sizeof(t->buf[i]));
	if (t->life != READY)
		return;
	hash_word(h, t->changed);
	hash_bytes(h, &t->op, sizeof(t->op));
	hash_bytes(h, t->ctx, sizeof(t->ctx));
	hash_bytes(h, t->sp, (size_t)(stacks[k] + STACK_BYTES - t->sp));
	if (!blind)
		return;
	hash_word(h, rank(t->floor) << 32 | rank(t->last_load));
	for (i = 0; i < t->nr_coh; i++) {
		uint64_t r = rank(t->coh[i].time);

		if (r <= rank(t->floor))
			continue;
		hash_word(h, (uintptr_t)t->coh[i].addr);
		hash_word(h, r << 32 | t->coh[i].bytes);
	}
}

static struct hash hash_state(void)
{
	struct hash h = { 1, 2 };
	uint32_t i;
	int k;

	hash_bytes(&h, x.model->world, x.model->world_bytes);
	hash_bytes(&h, x.m.fds, sizeof(x.m.fds));
	for (k = 0; k < x.nr_threads; k++)
		hash_thread(&h, k);
	for (i = 0; i < x.m.nr_log; i++) {
		hash_word(&h, (uintptr_t)x.m.log[i].addr);
		hash_word(&h, x.m.log[i].bytes);
		hash_bytes(&h, x.m.log[i].old, sizeof(x.m.log[i].old));
	}
	if (!h.a && !h.b)
		h.a = 1;
	return h;
}

static void grow_seen(void)
{
	uint64_t (*old)[2] = g.seen;
	uint64_t n = g.seen_mask + 1, i, j;

	g.seen = calloc(n * 2, sizeof(*g.seen));
	if (!g.seen)
		abort();
	g.seen_mask = n * 2 - 1;
	for (i = 0; i < n; i++) {
		if (!old[i][0] && !old[i][1])
			continue;
		for (j = old[i][0] & g.seen_mask; g.seen[j][0] | g.seen[j][1];
		     j = (j + 1) & g.seen_mask)
			;
		memcpy(g.seen[j], old[i], sizeof(old[i]));
	}
	free(old);
}

/* Remembers the state; true when it is new. */
static bool is_new(void)
{
	struct hash h = hash_state();
	uint64_t j;

	for (j = h.a & g.seen_mask; g.seen[j][0] | g.seen[j][1];
	     j = (j + 1) & g.seen_mask)
		if (g.seen[j][0] == h.a && g.seen[j][1] == h.b)
			return false;
	g.seen[j][0] = h.a;
	g.seen[j][1] = h.b;
	if (++g.seen_nr * 2 > g.seen_mask)
		grow_seen();
	return true;
}

/* ---- search -------------------------------------------------------------- */

/* Another order finds another way to the same bug; completeness is the same. */
static void shuffle(struct frame *f)
{
	uint32_t i, j;

	if (!g.dice)
		return;
	for (i = f->nr; i > 1; i--) {
		struct move mv = f->move[i - 1];

		g.dice = g.dice * 6364136223846793005u + 1442695040888963407u;
		j = (uint32_t)((g.dice >> 33) % i);
		f->move[i - 1] = f->move[j];
		f->move[j] = mv;
	}
}

/* A new state: list what can happen; if nothing can, it is an end. */
static void enter(uint64_t max_states)
{
	struct frame *f = &g.frames[g.depth];
	unsigned int stuck = 0;
	int k;

	if (++x.res.states > max_states) {
		truncate_run("states");
		return;
	}
	list_moves(f);
	if (f->nr) {
		shuffle(f);
		save(f);
		return;
	}
	x.res.ends++;
	for (k = 0; k < x.nr_threads; k++)
		if (x.m.thread[k].life == READY)
			stuck |= 1u << k;
	x.model->final(x.model->world, stuck);
}

static void search(uint64_t max_states)
{
	is_new();
	enter(max_states);
	while (!x.failed) {
		struct frame *f = &g.frames[g.depth];

		if (f->next == f->nr) {
			if (!g.depth)
				break;
			g.depth--;
			continue;
		}
		restore(f);
		do_move(&f->move[f->next++]);
		if (x.failed)
			break;
		if (!is_new()) {
			x.res.executions++;
			continue;
		}
		if (g.depth + 1 == DEPTH_MAX) {
			truncate_run("depth");
			break;
		}
		if (++g.depth > x.res.max_depth)
			x.res.max_depth = g.depth;
		enter(max_states);
		if (!g.frames[g.depth].nr)
			x.res.executions++;
	}
}

/* How the current path came about, from the states saved along it. */
void explore_print_trace(void)
{
	static const char *const orders[] = { "", " acquire", " release",
					      " acq_rel" };
	uint32_t d, i;

	for (d = 0; d <= g.depth; d++) {
		const struct frame *f = &g.frames[d];
		const struct move *mv = &f->move[f->next - 1];
		const uint8_t *addr;
		struct machine m;
		const struct op *op;

		if (!f->next || !f->nr)
			continue;
		memcpy(&m, f->saved, machine_bytes());
		op = &m.thread[mv->thread].op;
		printf("  %4u thread %u ", d, mv->thread);
		addr = op->addr;
		if (mv->kind == MOVE_DRAIN) {
			const struct buffered *b =
				&m.thread[mv->thread].buf[mv->index];

			printf("visible world+%ld = ", (long)(b->addr -
				(uint8_t *)x.model->world));
			for (i = b->bytes; i--; )
				printf("%02x", b->data[i]);
			printf("\n");
		} else if (mv->kind == MOVE_KILL) {
			printf("KILLED\n");
		} else if (addr) {
			printf("%s%s world+%ld, %u bytes\n",
			       op_names[op->kind], orders[op->order],
			       (long)(addr - (uint8_t *)x.model->world),
			       op->bytes);
		} else {
			printf("%s %d\n", op_names[op->kind],
			       op->kind == OP_CHOOSE ? mv->index : op->sub);
		}
	}
}

struct explore_result explore_run(const struct explore_model *model,
				  uint64_t seed, uint64_t max_states)
{
	int i;

	for (i = 0; g.frames && i < DEPTH_MAX; i++)
		free(g.frames[i].saved);
	free(g.frames);
	free(g.seen);
	memset(&g, 0, sizeof(g));
	memset(&x, 0, sizeof(x));
	x.model = model;
	g.dice = seed;
	g.frames = calloc(DEPTH_MAX, sizeof(*g.frames));
	g.seen_mask = (1 << 16) - 1;
	g.seen = calloc(g.seen_mask + 1, sizeof(*g.seen));
	if (!g.frames || !g.seen)
		abort();
	memset(model->world, 0, model->world_bytes);
	model->setup(model->world);
	while (x.nr_threads < EXPLORE_THREADS && model->thread[x.nr_threads])
		x.nr_threads++;
	for (i = 0; i < x.nr_threads; i++)
		start_thread(i);
	if (!x.failed)
		search(max_states);
	return x.res;
}
