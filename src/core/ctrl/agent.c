/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The agent: who serves its controllers, and how one runtime follows another.
 *
 *	NONE --a runtime said HELLO--> STARTING --it is ready, replay--> SERVED
 *	any of them --lost, hung, or handed over--> FENCING --gone--> NONE
 *	FENCING --time is over--> UNFENCED --gone--> NONE
 *
 * Only one runtime has been told to go at any time, and the next is not told
 * before that one is fenced. Those that wait have nothing of ours. What the
 * admin half asks meanwhile is remote.c's.
 */
#include "core/ctrl/agent_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <leapio/upgrade.h>

#include "util/opts.h"

#define MS		1000000ull
#define SHORT_NS	(50 * MS)
#define BYE_NS		(500 * MS)	/* to exit by itself */
#define RETRY_NS	(100 * MS)	/* a runtime that could not start */

static void wait_at_most(struct leap_agent *a)
{
	if (a->opts.no_runtime_ms && !a->policy.armed)
		leap_timer_start(a->pg, &a->policy,
				 a->opts.no_runtime_ms * MS);
}

static void set_state(struct leap_agent *a, uint32_t state)
{
	/* The clock runs while nobody serves; one who drains still does. */
	if (state == LEAP_AGENT_SERVED)
		leap_timer_stop(a->pg, &a->policy);
	else if (state != LEAP_AGENT_HANDOFF)
		wait_at_most(a);
	if (a->state == state)
		return;
	a->state = state;
	if (a->opts.changed)
		a->opts.changed(a->opts.arg);
}

/* ---- the next runtime ---- */

void leap__agent_start_next(struct leap_agent *a)
{
	struct leap__session *s;

	if (a->active || a->replays || a->next.armed || a->resting ||
	    !a->target || a->target->destroying)
		return;
	s = leap__agent_pick(a);
	if (!s)
		return;
	leap__session_welcome(s, 0);
	a->active = s;
	s->since_ns = leap__pollgroup_now(a->pg);
	a->epoch++;
	a->go_id = leap__agent_next_id(a);
	leap__session_send(s, LEAP_LINK_RESUME, 0, a->go_id, 0);
	set_state(a, LEAP_AGENT_STARTING);
	leap__agent_hurry(a);
}

static void next_run(struct leap_timer *timer)
{
	leap__agent_start_next(
		leap__list_entry(timer, struct leap_agent, next));
}

static void handed(struct leap_agent *a, int err)
{
	void (*done)(void *arg, int err) = a->handed;

	a->handed = NULL;
	if (done)
		done(a->handed_arg, err);
}

static void served(struct leap_agent *a)
{
	a->info.attached++;
	if (a->lost_ns)
		a->info.pause_ns = leap__pollgroup_now(a->pg) - a->lost_ns;
	a->lost_ns = 0;
	set_state(a, LEAP_AGENT_SERVED);
	leap__agent_send_kept(a);
	handed(a, 0);
}

struct replay {
	struct leap_agent *agent;
	const void *ctrl;
};

static void replays_done(struct leap_agent *a)
{
	if (a->serving && a->state == LEAP_AGENT_STARTING)
		served(a);
	else
		leap__agent_start_next(a);
}

static void replayed(void *arg, int err)
{
	struct replay *r = arg;
	struct leap_agent *a = r->agent;
	struct leap_vdev *v = leap__agent_vdev(a, r->ctrl);

	free(r);
	/* One that the runtime cannot serve must not wait for ever. */
	if (err && err != -ECONNRESET && a->serving && v) {
		leap__pg_log(a->pg, LEAP_LOG_ERROR,
			     "agent: a controller could not be resumed: %s",
			     strerror(-err));
		leap__vdev_fatal(v, 0, err);
	}
	if (!--a->replays)
		replays_done(a);
}

static void replay_all(struct leap_agent *a)
{
	struct leap_vdev *v = NULL;

	a->replays = 1;
	while ((v = leap__vdev_next(a->target, v))) {
		struct replay *r;

		if (!leap__vdev_ctrl(v))
			continue;
		r = calloc(1, sizeof(*r));
		if (!r) {
			leap__vdev_fatal(v, 0, -ENOMEM);
			continue;
		}
		r->agent = a;
		r->ctrl = leap__vdev_ctrl(v);
		a->replays++;
		leap__vdev_replay(v, &a->group, replayed, r);
	}
	if (!--a->replays)
		replays_done(a);
}

static void go_answered(struct leap_agent *a, const struct leap_link_msg *msg)
{
	struct leap__session *s = a->active;

	a->go_id = 0;
	if (!msg->err) {
		leap__agent_trim_ns(a);
		a->serving = 1;
		replay_all(a);
		return;
	}
	/* It has got nothing yet. Others first, then again. */
	snprintf(a->info.error, sizeof(a->info.error),
		 "runtime %lld could not start: %s", (long long)s->pid,
		 strerror(-msg->err));
	leap__list_remove(&s->link);
	leap__list_push_back(&a->sessions, &s->link);
	a->active = NULL;
	leap_timer_start(a->pg, &a->next, RETRY_NS);
	set_state(a, LEAP_AGENT_NONE);
	handed(a, msg->err);
}

/* ---- the end of a runtime ---- */

static void rested(struct leap_agent *a)
{
	void (*done)(void *arg, int err) = a->rested;

	a->rested = NULL;
	if (done)
		done(a->rested_arg, 0);
}

static void fence_over(struct leap_agent *a)
{
	struct leap__session *s = a->active;

	leap_timer_stop(a->pg, &a->limit);
	a->active = NULL;
	a->info.fenced++;
	s->fenced = 1;
	if (!s->chan.chan.dead)
		leap__lchan_kill(&s->chan, -EOWNERDEAD);
	leap__agent_answer_fenced(a);
	set_state(a, LEAP_AGENT_NONE);
	leap__session_settle(s);
	rested(a);
	leap__agent_start_next(a);
}

static void fence_done(struct leap__fence *f)
{
	struct leap__session *s =
		leap__list_entry(f, struct leap__session, fence);

	fence_over(s->agent);
}

void leap_agent_fenced(struct leap_agent *a, int err)
{
	if (!a->active || (a->state != LEAP_AGENT_FENCING &&
			   a->state != LEAP_AGENT_UNFENCED))
		return;
	if (!err)
		fence_over(a);
	else
		snprintf(a->info.error, sizeof(a->info.error),
			 "runtime %lld: fence failed: %s",
			 (long long)a->active->pid, strerror(-err));
}

static void call_fence(struct leap_agent *a)
{
	if (a->opts.fence)
		a->opts.fence(a->opts.arg, a->active->pid);
	else
		leap__fence_start(&a->active->fence,
				  a->active->bye ? BYE_NS : 0, fence_done);
}

/* A handoff that does not end, a fence that does not. */
static void limit_run(struct leap_timer *timer)
{
	struct leap_agent *a =
		leap__list_entry(timer, struct leap_agent, limit);

	if (a->state == LEAP_AGENT_HANDOFF) {
		leap__agent_lose(a, -ETIMEDOUT, "it did not drain in time");
		return;
	}
	if (a->state == LEAP_AGENT_FENCING) {
		a->info.unfenced++;
		snprintf(a->info.error, sizeof(a->info.error),
			 "runtime %lld is not gone after %u ms",
			 (long long)a->active->pid, a->opts.fence_ms);
		leap__pg_log(a->pg, LEAP_LOG_ERROR, "agent: %s", a->info.error);
		set_state(a, LEAP_AGENT_UNFENCED);
	}
	leap__agent_cfs(a, 0);
	leap_timer_start(a->pg, &a->limit, a->opts.fence_ms * MS);
	/* Perhaps this time; it may be over when this returns. */
	if (a->opts.fence)
		call_fence(a);
}

static void policy_run(struct leap_timer *timer)
{
	struct leap_agent *a =
		leap__list_entry(timer, struct leap_agent, policy);

	leap__agent_cfs(a, 1);
	/* Whoever resets his controller now waits no longer than this one. */
	wait_at_most(a);
}

void leap__agent_lose(struct leap_agent *a, int err, const char *why)
{
	struct leap__session *s = a->active;

	if (a->state == LEAP_AGENT_FENCING || a->state == LEAP_AGENT_UNFENCED)
		return;
	snprintf(a->info.error, sizeof(a->info.error), "runtime %lld: %s%s%s",
		 (long long)s->pid, why, err ? ": " : "",
		 err ? strerror(-err) : "");
	leap__pg_log(a->pg, err ? LEAP_LOG_WARN : LEAP_LOG_INFO, "agent: %s",
		     a->info.error);
	leap__lchan_kill(&s->chan, err);
	a->serving = 0;
	a->go_id = 0;
	a->ping_ns = 0;
	if (!a->lost_ns)
		a->lost_ns = leap__pollgroup_now(a->pg);
	leap__agent_count_slots(a);
	set_state(a, LEAP_AGENT_FENCING);
	leap__agent_answer_lost(a);
	leap_timer_start(a->pg, &a->limit, a->opts.fence_ms * MS);
	call_fence(a);
}

/* ---- does it live? ---- */

static void arm_tick(struct leap_agent *a, int soon)
{
	a->hurry = (uint32_t)soon;
	if (soon)
		leap_timer_start(a->pg, &a->tick, SHORT_NS);
	else if (a->opts.keepalive_ms != UINT32_MAX)
		leap_timer_start(a->pg, &a->tick, a->opts.keepalive_ms * MS);
}

void leap__agent_hurry(struct leap_agent *a)
{
	if (!a->hurry || !a->tick.armed)
		arm_tick(a, 1);
}

static void ping(struct leap_agent *a)
{
	a->ping_ns = leap__pollgroup_now(a->pg);
	leap__session_send(a->active, LEAP_LINK_KEEPALIVE, 0,
			   leap__agent_next_id(a), 0);
}

static void tick_run(struct leap_timer *timer)
{
	struct leap_agent *a = leap__list_entry(timer, struct leap_agent, tick);
	struct leap__session *s = a->active;
	int soon;

	if (!s || s->chan.chan.dead) {
		a->hurry = 0;
		return;
	}
	if (a->ping_ns && s->chan.heard_ns >= a->ping_ns) {
		leap__agent_refuse_impatient(a, a->ping_ns);
		a->ping_ns = 0;
	}
	if (a->ping_ns && leap__pollgroup_now(a->pg) - a->ping_ns >
			  a->opts.fence_ms * MS / 2) {
		leap__agent_lose(a, -ETIMEDOUT, "it does not answer");
		return;
	}
	soon = a->pending.head || leap__agent_impatient(a) || !a->hurry;
	if (!a->ping_ns && soon)
		ping(a);
	arm_tick(a, a->ping_ns || soon);
}

/* ---- handoff ---- */

/*
 * It has drained, closed its stacks, and forgets guests before it connects
 * again: nothing to kill it for.
 */
static void let_go(struct leap_agent *a)
{
	struct leap__session *s = a->active;

	leap_timer_stop(a->pg, &a->limit);
	a->serving = 0;
	a->ping_ns = 0;
	leap__agent_count_slots(a);
	leap__lchan_kill(&s->chan, 0);
	leap__agent_answer_lost(a);
	a->active = NULL;
	s->fenced = 1;
	leap__agent_answer_fenced(a);
	set_state(a, LEAP_AGENT_NONE);
	leap__session_settle(s);
	rested(a);
}

static void handoff_answered(struct leap_agent *a,
			     const struct leap_link_msg *msg)
{
	a->go_id = 0;
	if (a->resting && !msg->err) {
		let_go(a);
		return;
	}
	leap__agent_lose(a, msg->err, msg->err ? "handoff refused" :
			 "handed over");
}

bool leap__agent_changes(struct leap_agent *a, const struct leap_link_msg *msg)
{
	if (!a->go_id || msg->id != a->go_id || msg->cntlid)
		return false;
	if (msg->type == LEAP_LINK_RESUME && a->state == LEAP_AGENT_STARTING)
		go_answered(a, msg);
	else if (msg->type == LEAP_LINK_HANDOFF &&
		 a->state == LEAP_AGENT_HANDOFF)
		handoff_answered(a, msg);
	else
		return false;
	return true;
}

static void ask_to_drain(struct leap_agent *a)
{
	a->lost_ns = leap__pollgroup_now(a->pg);
	a->go_id = leap__agent_next_id(a);
	set_state(a, LEAP_AGENT_HANDOFF);
	leap__session_send(a->active, LEAP_LINK_HANDOFF, 0, a->go_id, 0);
	leap_timer_start(a->pg, &a->limit, a->opts.fence_ms * MS);
	leap__agent_hurry(a);
}

int leap_agent_handoff(struct leap_agent *a,
		       void (*done)(void *arg, int err), void *arg)
{
	if (a->state == LEAP_AGENT_HANDOFF || a->handed ||
	    a->state == LEAP_AGENT_STARTING || a->state >= LEAP_AGENT_FENCING)
		return leap__err(-EBUSY,
				 "leap_agent_handoff: runtimes change already");
	if (a->state != LEAP_AGENT_SERVED)
		return leap__err(-ENOTCONN,
				 "leap_agent_handoff: no runtime serves");
	/* The one that serves is in the list too. */
	a->active->fenced = 1;
	if (!leap__agent_pick(a)) {
		a->active->fenced = 0;
		return leap__err(-ENOENT,
				 "leap_agent_handoff: no runtime stands by");
	}
	a->handed = done;
	a->handed_arg = arg;
	ask_to_drain(a);
	return 0;
}

/* ---- another process follows this one ---- */

int leap_agent_rest(struct leap_agent *a, void (*done)(void *arg, int err),
		    void *arg)
{
	if (a->resting || a->handed || (a->state != LEAP_AGENT_NONE &&
					a->state != LEAP_AGENT_SERVED))
		return leap__err(-EBUSY, "leap_agent_rest: runtimes change");
	a->resting = 1;
	a->rested = done;
	a->rested_arg = arg;
	if (a->state == LEAP_AGENT_NONE) {
		rested(a);
		return 0;
	}
	ask_to_drain(a);
	return 0;
}

void leap_agent_go_on(struct leap_agent *a)
{
	a->resting = 0;
	a->rested = NULL;
	leap__agent_start_next(a);
}

/* ---- life ---- */

static int check(const struct leap_target *t, struct leap_agent_opts *o)
{
	const struct leap__list *pos;

	if (!o->path || !*o->path || strlen(o->path) >=
	    sizeof(((struct sockaddr_un *)0)->sun_path))
		return leap__err(-EINVAL,
				 "leap_agent_create: path of %zu bytes",
				 o->path ? strlen(o->path) : 0);
	if (!leap__list_empty(&t->listeners) || t->nr_groups > 1 || t->agent)
		return leap__err(-EBUSY,
				 "leap_agent_create: the target is in use");
	leap__list_for_each(pos, &t->subsystems)
		if (leap__list_entry(pos, struct leap_subsystem, link)->nr_ns)
			return leap__err(-EBUSY,
				"leap_agent_create: the target has namespaces");
	if (!o->fence_ms)
		o->fence_ms = 2000;
	if (!o->keepalive_ms)
		o->keepalive_ms = 10000;
	return 0;
}

static int listen_at(struct leap_agent *a)
{
	struct leap__world *w = leap__pollgroup_world(a->pg);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct leap__wfd *wfd;
	int err;

	memcpy(addr.sun_path, a->opts.path, strlen(a->opts.path));
	err = w->ops->listen(w, (struct sockaddr *)&addr, sizeof(addr), 16,
			     a->opts.mode ? a->opts.mode : 0600, &wfd);
	if (err)
		return leap__err(err, "leap_agent_create: %s: %s", a->opts.path,
				 strerror(-err));
	return leap__acceptor_start(a->pg, wfd, leap__agent_accept, a,
				    &a->acceptor);
}

int leap_agent_create(struct leap_target *t, const struct leap_agent_opts *opts,
		      struct leap_agent **out)
{
	struct leap_agent *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return leap__err(-ENOMEM, "leap_agent_create: out of memory");
	err = leap__opts_copy(&a->opts, sizeof(a->opts), opts);
	if (!err)
		err = check(t, &a->opts);
	a->target = t;
	a->pg = t->home;
	if (!err)
		err = listen_at(a);
	if (err) {
		free(a);
		return err;
	}
	a->opts.path = NULL;	/* was the caller's */
	leap__list_init(&a->sessions);
	leap__list_init(&a->lents);
	leap__list_init(&a->tallies);
	leap__list_init(&a->group.qps);
	leap__asks_init(&a->pending);
	leap__asks_init(&a->fenced);
	leap__asks_init(&a->flushes);
	a->tick.run = tick_run;
	a->limit.run = limit_run;
	a->next.run = next_run;
	a->policy.run = policy_run;
	a->local = t->groups[0];
	a->group.remote = &leap__agent_remote;
	a->group.home = t->home;
	a->group.orphans = &t->orphans;
	t->groups[0] = &a->group;
	t->agent = a;
	leap__pollgroup_hold(a->pg);
	wait_at_most(a);
	*out = a;
	return 0;
}

void leap__agent_orphaned(struct leap_agent *a)
{
	a->target->groups[0] = a->local;
	a->target = NULL;
}

int leap_agent_destroy(struct leap_agent *a)
{
	struct leap__list *pos, *tmp;

	if (!a)
		return 0;
	if (a->target)
		return leap__err(-EBUSY,
				 "leap_agent_destroy: its target exists");
	leap__acceptor_stop(a->acceptor);
	leap_timer_stop(a->pg, &a->tick);
	leap_timer_stop(a->pg, &a->limit);
	leap_timer_stop(a->pg, &a->next);
	leap_timer_stop(a->pg, &a->policy);
	leap__agent_answer_fenced(a);
	leap__list_for_each_safe(pos, tmp, &a->lents)
		leap__agent_forget(leap__list_entry(pos, struct leap__lent,
						    link));
	leap__list_for_each_safe(pos, tmp, &a->tallies)
		free(leap__list_entry(pos, struct leap__tally, link));
	leap__list_init(&a->lents);
	leap__list_init(&a->tallies);
	a->active = NULL;
	/* One whose connection is gone was there for its fence alone, which
	 * nobody waits for any more. */
	leap__list_for_each_safe(pos, tmp, &a->sessions) {
		struct leap__session *s =
			leap__list_entry(pos, struct leap__session, link);

		leap__fence_stop(&s->fence);
		if (s->gone)
			leap__session_free(s);
		else
			leap__lchan_kill(&s->chan, -ENOTCONN);
	}
	a->destroyed = 1;
	/* Otherwise the last of them frees it. */
	if (!a->nr_sessions) {
		leap__pollgroup_release(a->pg);
		free(a);
	}
	return 0;
}
