/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The poll group: one loop over messages, timers, pollers and the world, and
 * the way to sleep on all of them. Everything above runs from here; what the
 * sources mean, it does not know.
 *
 * Sleeping without losing a wake-up. A source is one of: the world, whose fd
 * stays readable once something happened; a poller, whose arm() asks its
 * producer for a signal to that fd and then looks again; the message queue,
 * whose senders signal when they find need_wake set (wake.h has the argument);
 * a timer, for which the world arms its fd. leap_pollgroup_arm() asks each for
 * a wake-up first and looks at it after that, so work either is seen here or
 * makes the fd readable. Nothing is taken back until the next poll looks at
 * every source again.
 */
#include "config.h"

#include "core/io/pollgroup.h"
#include "core/io/dispatch.h"
#include "util/err.h"
#include "util/opts.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPIN_NS_DEFAULT 50000
/* Events one poller may handle before the others have their turn. */
#define POLLER_BUDGET 256
#define LOG_WINDOW_NS 5000000000ull
#define LOG_WINDOW_LINES 10

static struct leap_msg *msg_of(struct leap__msg *link)
{
	return (struct leap_msg *)((char *)link -
				   offsetof(struct leap_msg, next));
}

static int world_create(const struct leap_pollgroup_opts *opts,
			struct leap__world **out)
{
	static const char call[] = "leap_pollgroup_create";
	struct leap__sim_head *sim = (struct leap__sim_head *)opts->sim;
	int rc;

	switch (opts->world) {
	case LEAP_WORLD_AUTO:
		rc = leap__world_uring_create(out);
		if (rc)		/* no io_uring here, which is fine */
			rc = leap__world_epoll_create(out);
		break;
	case LEAP_WORLD_EPOLL:
		rc = leap__world_epoll_create(out);
		break;
	case LEAP_WORLD_URING:
		rc = leap__world_uring_create(out);
		break;
	case LEAP_WORLD_SIM:
		if (!sim)
			return leap__err(-EINVAL, "%s: world sim needs a "
					 "simulator in opts.sim", call);
		rc = sim->world_create(opts->sim, out);
		break;
	default:
		return leap__err(-EINVAL, "%s: world %u is none of enum "
				 "leap_world_kind", call, opts->world);
	}
	if (rc)
		leap__err(rc, "%s: world %u: %s", call, opts->world,
			  strerror(-rc));
	return rc;
}

static void ring_init(struct leap_poller *head)
{
	head->link[0] = head->link[1] = head;
}

static int opts_fill(struct leap_pollgroup_opts *o)
{
	if (!o->nr_cmds)
		o->nr_cmds = 1024;
	if (!o->nr_bufs)
		o->nr_bufs = 256;
	if (!o->buf_bytes)
		o->buf_bytes = 131072;
	if (!o->spin_ns)
		o->spin_ns = SPIN_NS_DEFAULT;
	if (o->nr_cmds > 65535)
		return leap__err(-EINVAL, "leap_pollgroup_create: nr_cmds %u "
				 "exceeds 65535", o->nr_cmds);
	if (o->buf_bytes % 4096)
		return leap__err(-EINVAL, "leap_pollgroup_create: buf_bytes "
				 "%u is no multiple of 4096", o->buf_bytes);
	if (o->share_bufs > 1)
		return leap__err(-EINVAL, "leap_pollgroup_create: share_bufs "
				 "%u is not 0 or 1", o->share_bufs);
	if (o->spin_ns < -1)
		return leap__err(-EINVAL, "leap_pollgroup_create: spin_ns "
				 "%lld is below -1", (long long)o->spin_ns);
	return 0;
}

int leap_pollgroup_create(const struct leap_pollgroup_opts *opts,
			  struct leap_pollgroup **out)
{
	struct leap_pollgroup *pg;
	int rc;

	pg = aligned_alloc(64, sizeof(*pg));
	if (!pg)
		return leap__err(-ENOMEM, "leap_pollgroup_create: no memory");
	memset(pg, 0, sizeof(*pg));
	rc = leap__opts_copy(&pg->opts, sizeof(pg->opts), opts);
	if (!rc)
		rc = opts_fill(&pg->opts);
	if (!rc)
		rc = world_create(&pg->opts, &pg->world);
	if (rc < 0) {
		free(pg);
		return rc;
	}
	snprintf(pg->name, sizeof(pg->name), "%s",
		 pg->opts.name ? pg->opts.name : "pg");
	pg->opts.name = pg->name;
	pg->owner = pthread_self();
	pg->defers_tail = &pg->defers;
	ring_init(&pg->pollers);
	ring_init(&pg->fresh);
	rc = leap__dispatch_create(pg);
	if (rc < 0) {
		pg->world->ops->destroy(pg->world);
		free(pg);
		return rc;
	}
	*out = pg;
	return 0;
}

/* What still needs the group, NULL = nothing. */
static const char *in_use(const struct leap_pollgroup *pg)
{
	if (pg->polling)
		return "called from a callback";
	if (pg->head.users)
		return "queue pairs, listeners or targets use it";
	if (pg->nr_timers)
		return "timers run";
	if (pg->pollers.link[0] != &pg->pollers ||
	    pg->fresh.link[0] != &pg->fresh)
		return "pollers are there";
	if (pg->msgs || leap__load_relaxed(&pg->msgq.top) || pg->defers)
		return "messages wait, poll first";
	return NULL;
}

struct leap__pg_ext *leap__pollgroup_ext(const struct leap_pollgroup *pg,
					 const void *key)
{
	struct leap__pg_ext *ext = pg->exts;

	while (ext && ext->key != key)
		ext = ext->next;
	return ext;
}

void leap__pollgroup_add_ext(struct leap_pollgroup *pg,
			     struct leap__pg_ext *ext)
{
	ext->next = pg->exts;
	pg->exts = ext;
}

static void free_exts(struct leap_pollgroup *pg)
{
	struct leap__pg_ext *ext;

	while ((ext = pg->exts)) {
		pg->exts = ext->next;
		ext->free(ext);
	}
}

int leap_pollgroup_destroy(struct leap_pollgroup *pg)
{
	const char *why;

	if (!pg)
		return 0;
	why = in_use(pg);
	if (why)
		return leap__err(-EBUSY, "leap_pollgroup_destroy: %s: %s",
				 pg->name, why);
	/* A few instructions of another thread; see leap_pollgroup_send. */
	while (leap__load_acquire(&pg->senders))
		sched_yield();
	free_exts(pg);
	if (pg->dispatch_free)
		pg->dispatch_free(pg);
	pg->world->ops->destroy(pg->world);
	free(pg);
	return 0;
}

static int run_msgs(struct leap_pollgroup *pg, unsigned int max)
{
	struct leap_msg *msg;
	int n = 0;

	if (!pg->msgs)
		pg->msgs = leap__msgq_take(&pg->msgq);
	/* Those sent from here on wait for the next poll. */
	while (pg->msgs && (!max || n < (int)max)) {
		msg = msg_of(pg->msgs);
		pg->msgs = pg->msgs->next;
		msg->run(msg);
		n++;
	}
	return n;
}

static void ring_del(struct leap_poller *p)
{
	p->link[0]->link[1] = p->link[1];
	p->link[1]->link[0] = p->link[0];
	p->link[0] = p->link[1] = NULL;
}

static void ring_add(struct leap_poller *head, struct leap_poller *p)
{
	p->link[0] = head;
	p->link[1] = head->link[1];
	p->link[1]->link[0] = p;
	head->link[1] = p;
}

static int run_pollers(struct leap_pollgroup *pg, unsigned int max)
{
	struct leap_poller *p;
	unsigned int budget;
	int n = 0;

	while (__builtin_expect(pg->fresh.link[0] != &pg->fresh, 0)) {
		p = pg->fresh.link[0];
		ring_del(p);
		ring_add(&pg->pollers, p);
	}
	p = pg->pollers.link[0];
	for (; p != &pg->pollers; p = pg->cursor) {
		/* Whoever deletes the next one moves the cursor on. */
		pg->cursor = p->link[0];
		budget = POLLER_BUDGET;
		if (max && max < budget + (unsigned int)n)
			budget = (int)max > n ? max - (unsigned int)n : 1;
		n += p->poll(p, budget);
	}
	pg->cursor = NULL;
	return n;
}

void leap__pollgroup_defer(struct leap_pollgroup *pg, struct leap__defer *defer)
{
	if (defer->prev)
		return;
	defer->next = NULL;
	defer->prev = pg->defers_tail;
	*pg->defers_tail = defer;
	pg->defers_tail = &defer->next;
}

void leap__pollgroup_undefer(struct leap_pollgroup *pg,
			     struct leap__defer *defer)
{
	if (!defer->prev)
		return;
	*defer->prev = defer->next;
	if (defer->next)
		defer->next->prev = defer->prev;
	else
		pg->defers_tail = defer->prev;
	defer->prev = NULL;
}

/* Those deferred while this runs are run too: they are of this batch. */
static void run_defers(struct leap_pollgroup *pg)
{
	struct leap__defer *d;

	while ((d = pg->defers)) {
		leap__pollgroup_undefer(pg, d);
		d->run(d);
	}
}

/*
 * The order: what others want of us, then completions of the world, then what
 * the batch left for its end, then everything submitted goes out at once.
 */
int leap_pollgroup_poll(struct leap_pollgroup *pg, unsigned int max)
{
	struct leap__world *w = pg->world;
	unsigned int left = max;
	int n = 0;

	if (pg->armed)
		leap__wake_disarm(&pg->need_wake);
	pg->polling = true;
	pg->now_ns = w->ops->now_ns(w);
	if (pg->msgs || !leap__msgq_empty(&pg->msgq))
		n += run_msgs(pg, max);
	if (pg->timers)
		n += leap__timers_run(pg, max);
	n += run_pollers(pg, max);
	if (max)
		left = (int)max > n ? max - (unsigned int)n : 1;
	n += w->ops->poll(w, left);
	if (pg->defers)
		run_defers(pg);
	w->ops->flush(w);
	pg->polling = false;
	pg->stats.polls++;
	pg->stats.events += (uint64_t)n;
	if (pg->armed) {
		pg->armed = false;
		if (n)
			pg->stats.wakeups++;
	}
	return n;
}

int leap_pollgroup_fd(const struct leap_pollgroup *pg)
{
	return pg->world->ops->fd(pg->world);
}

/* Ask every source for a wake-up, then look at it; 1 when one has work. */
static int arm_sources(struct leap_pollgroup *pg)
{
	struct leap_poller *p;

	if (pg->msgs || pg->defers || pg->fresh.link[0] != &pg->fresh)
		return 1;
	if (leap__msgq_arm(&pg->msgq, &pg->need_wake))
		return 1;
	for (p = pg->pollers.link[0]; p != &pg->pollers; p = pg->cursor) {
		pg->cursor = p->link[0];
		if (p->arm && p->arm(p)) {
			pg->cursor = NULL;
			return 1;
		}
	}
	pg->cursor = NULL;
	return 0;
}

static int arm(struct leap_pollgroup *pg, uint64_t fd_deadline_ns)
{
	struct leap__world *w = pg->world;

	if (arm_sources(pg) || w->ops->arm(w, fd_deadline_ns)) {
		leap__wake_disarm(&pg->need_wake);
		pg->armed = false;
		return 1;
	}
	/* Armed again without a poll in between is the same sleep. */
	if (!pg->armed)
		pg->stats.sleeps++;
	pg->armed = true;
	return 0;
}

int leap_pollgroup_arm(struct leap_pollgroup *pg)
{
	uint64_t next = leap__timers_next(pg);

	if (next != UINT64_MAX && next <= leap_pollgroup_now_ns(pg))
		return 1;
	return arm(pg, next);
}

int leap_pollgroup_wait(struct leap_pollgroup *pg, int64_t timeout_ns)
{
	uint64_t now, next, until = UINT64_MAX;
	int n, rc;

	n = leap_pollgroup_poll(pg, 0);
	if (n) {
		pg->idle_since_ns = 0;
		return n;
	}
	now = pg->now_ns;
	if (!pg->idle_since_ns)
		pg->idle_since_ns = now;
	if (timeout_ns == 0 ||
	    (pg->opts.spin_ns > 0 &&
	     now - pg->idle_since_ns < (uint64_t)pg->opts.spin_ns))
		return 0;
	if (timeout_ns > 0)
		until = now + (uint64_t)timeout_ns;
	next = leap__timers_next(pg);
	if (next < until)
		until = next;
	if (arm(pg, UINT64_MAX))
		return leap_pollgroup_poll(pg, 0);
	rc = pg->world->ops->sleep(pg->world, until);
	n = leap_pollgroup_poll(pg, 0);
	if (n)
		pg->idle_since_ns = 0;
	return n ? n : rc;
}

uint64_t leap_pollgroup_now_ns(const struct leap_pollgroup *pg)
{
	return pg->polling ? pg->now_ns : pg->world->ops->now_ns(pg->world);
}

static void push_and_wake(struct leap_pollgroup *pg, struct leap_msg *msg)
{
	if (leap__msgq_send(&pg->msgq, (struct leap__msg *)&msg->next,
			    &pg->need_wake))
		pg->world->ops->wake(pg->world);
}

/*
 * The owner may run the message and destroy the group before another thread
 * has looked at need_wake: destroy waits for those who are between the two.
 */
void leap_pollgroup_send(struct leap_pollgroup *pg, struct leap_msg *msg)
{
	if (pthread_equal(pg->owner, pthread_self())) {
		push_and_wake(pg, msg);
		return;
	}
	leap__fetch_add(&pg->senders, 1u);
	push_and_wake(pg, msg);
	leap__fetch_add(&pg->senders, (uint32_t)-1);
}

void leap_pollgroup_add_poller(struct leap_pollgroup *pg,
			       struct leap_poller *poller)
{
	ring_add(&pg->fresh, poller);
}

void leap_pollgroup_del_poller(struct leap_pollgroup *pg,
			       struct leap_poller *poller)
{
	if (pg->cursor == poller)
		pg->cursor = poller->link[0];
	ring_del(poller);
}

int leap_pollgroup_stats(const struct leap_pollgroup *pg,
			 struct leap_pollgroup_stats *stats)
{
	struct leap_pollgroup_stats all = pg->stats;
	size_t size = stats->size;

	if (size < sizeof(size_t))
		return -EINVAL;
	if (size > sizeof(all)) {
		memset((char *)stats + sizeof(all), 0, size - sizeof(all));
		all.size = sizeof(all);
	} else {
		all.size = size;
	}
	all.syscalls = pg->world->syscalls;
	leap__dispatch_stats(pg->head.dispatch, &all);
	memcpy(stats, &all, all.size);
	return 0;
}

int leap_pollgroup_world(const struct leap_pollgroup *pg)
{
	return pg->world->ops->kind;
}

struct leap__world *leap__pollgroup_world(struct leap_pollgroup *pg)
{
	return pg->world;
}

static void log_text(struct leap_pollgroup *pg, enum leap_log_level level,
		     const char *fmt, va_list ap)
{
	int saved = errno;
	char text[768];

	vsnprintf(text, sizeof(text), fmt, ap);
	pg->opts.log(pg->opts.log_arg, level, text);
	errno = saved;
}

void leap__pg_log(struct leap_pollgroup *pg, enum leap_log_level level,
		  const char *fmt, ...)
{
	va_list ap;

	if (!pg->opts.log)
		return;
	va_start(ap, fmt);
	log_text(pg, level, fmt, ap);
	va_end(ap);
}

void leap__pg_log_limited(struct leap_pollgroup *pg,
			  struct leap__log_limit *limit,
			  enum leap_log_level level, const char *fmt, ...)
{
	uint64_t now = leap_pollgroup_now_ns(pg);
	va_list ap;

	if (!pg->opts.log)
		return;
	if (now - limit->window_ns >= LOG_WINDOW_NS) {
		if (limit->dropped)
			leap__pg_log(pg, level, "%u lines like this left out",
				     limit->dropped);
		*limit = (struct leap__log_limit){ .window_ns = now };
	}
	if (limit->used == LOG_WINDOW_LINES) {
		limit->dropped++;
		return;
	}
	limit->used++;
	va_start(ap, fmt);
	log_text(pg, level, fmt, ap);
	va_end(ap);
}
