/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timers of a poll group: an intrusive pairing heap of caller-owned nodes. It
 * sits beside pollgroup.c, which asks for the next deadline and runs what is
 * due; it knows no clock and never sleeps.
 *
 * Keep-alive timers are pushed back by every command and hardly ever run, so
 * pushing back must cost nothing: a timer that is moved to a later time stays
 * where it is in the heap, under its old key, and is moved only when it comes
 * to the top. Timers due at the same time run in the order of their start.
 */
#include "core/io/pollgroup.h"

/* link[]: first child; next sibling; previous sibling, or parent if first. */
enum { CHILD, NEXT, PREV };

static bool before(const struct leap_timer *a, const struct leap_timer *b)
{
	if (a->key_ns != b->key_ns)
		return a->key_ns < b->key_ns;
	return (int32_t)(a->key_seq - b->key_seq) < 0;
}

/* Join two heaps whose roots have no siblings; either may be NULL. */
static struct leap_timer *meld(struct leap_timer *a, struct leap_timer *b)
{
	struct leap_timer *child;

	if (!a || !b)
		return a ? a : b;
	if (before(b, a)) {
		child = a;
		a = b;
		b = child;
	}
	child = a->link[CHILD];
	b->link[NEXT] = child;
	b->link[PREV] = a;
	if (child)
		child->link[PREV] = b;
	a->link[CHILD] = b;
	return a;
}

/* Join a list of siblings: in pairs from the left, then from the right. */
static struct leap_timer *meld_siblings(struct leap_timer *first)
{
	struct leap_timer *pairs = NULL, *root = NULL, *a, *b, *next;

	for (; first; first = next) {
		a = first;
		b = a->link[NEXT];
		next = b ? b->link[NEXT] : NULL;
		a->link[NEXT] = a->link[PREV] = NULL;
		if (b)
			b->link[NEXT] = b->link[PREV] = NULL;
		a = meld(a, b);
		a->link[NEXT] = pairs;
		pairs = a;
	}
	for (; pairs; pairs = next) {
		next = pairs->link[NEXT];
		pairs->link[NEXT] = NULL;
		root = meld(root, pairs);
	}
	if (root)
		root->link[PREV] = NULL;
	return root;
}

static void heap_add(struct leap_pollgroup *pg, struct leap_timer *t)
{
	t->link[CHILD] = t->link[NEXT] = t->link[PREV] = NULL;
	pg->timers = meld(pg->timers, t);
}

static void heap_del(struct leap_pollgroup *pg, struct leap_timer *t)
{
	struct leap_timer *sub = meld_siblings(t->link[CHILD]);

	if (t == pg->timers) {
		pg->timers = sub;
		return;
	}
	if (t->link[PREV]->link[CHILD] == t)
		t->link[PREV]->link[CHILD] = t->link[NEXT];
	else
		t->link[PREV]->link[NEXT] = t->link[NEXT];
	if (t->link[NEXT])
		t->link[NEXT]->link[PREV] = t->link[PREV];
	pg->timers = meld(pg->timers, sub);
}

/* The top with its true deadline, after moving those that were pushed back. */
static struct leap_timer *top(struct leap_pollgroup *pg)
{
	struct leap_timer *t;

	while ((t = pg->timers) && t->key_ns != t->at_ns) {
		heap_del(pg, t);
		t->key_ns = t->at_ns;
		t->key_seq = t->at_seq;
		heap_add(pg, t);
	}
	return t;
}

void leap_timer_start(struct leap_pollgroup *pg, struct leap_timer *timer,
		      uint64_t delay_ns)
{
	uint64_t now = leap_pollgroup_now_ns(pg);
	uint64_t at = now + delay_ns;

	if (at < now)
		at = UINT64_MAX - 1;	/* in 584 years */
	timer->at_ns = at;
	timer->at_seq = ++pg->timer_seq;
	if (timer->armed && at > timer->key_ns)
		return;		/* pushed back: top() moves it in time */
	if (timer->armed)
		heap_del(pg, timer);
	else
		pg->nr_timers++;
	timer->armed = 1;
	timer->key_ns = at;
	timer->key_seq = timer->at_seq;
	heap_add(pg, timer);
}

void leap_timer_stop(struct leap_pollgroup *pg, struct leap_timer *timer)
{
	if (!timer->armed)
		return;
	heap_del(pg, timer);
	timer->armed = 0;
	pg->nr_timers--;
}

uint64_t leap__timers_next(struct leap_pollgroup *pg)
{
	struct leap_timer *t = top(pg);

	return t ? t->at_ns : UINT64_MAX;
}

int leap__timers_run(struct leap_pollgroup *pg, unsigned int max)
{
	/* A timer that is started from here on waits for the next batch, so
	 * that one which restarts itself at once cannot hold us for ever. */
	uint32_t last = pg->timer_seq;
	struct leap_timer *t;
	int n = 0;

	while ((t = top(pg)) && t->at_ns <= pg->now_ns) {
		if ((int32_t)(t->at_seq - last) > 0 || (max && n == (int)max))
			break;
		heap_del(pg, t);
		t->armed = 0;
		pg->nr_timers--;
		t->run(t);
		n++;
	}
	return n;
}
