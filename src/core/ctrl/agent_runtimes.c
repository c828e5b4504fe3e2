/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runtimes that have connected to an agent: their HELLO, those that wait, what
 * they say until their connection ends, and what is told of them. Each must be
 * a process that the agent could kill. Which of them serves, and for how long,
 * is agent.c's.
 */
#include "core/ctrl/agent_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/info.h"

#define MS		1000000ull
#define HELLO_NS	(5000 * MS)
#define REFUSED_NS	(500 * MS)

void leap__session_send(struct leap__session *s, uint16_t type, uint16_t flags,
		       uint32_t id, int err)
{
	struct leap_link_msg m = {
		.type = type, .flags = flags, .id = id, .err = err,
	};

	if (type == LEAP_LINK_HELLO) {
		m.u.hello.version = LEAP_LINK_VERSION;
		m.u.hello.role = LEAP_LINK_AGENT;
	}
	leap__lchan_send(&s->chan, &m, -1);
}

void leap__session_free(struct leap__session *s)
{
	struct leap_agent *a = s->agent;

	leap_timer_stop(a->pg, &s->timer);
	leap__fence_fini(&s->fence);
	leap__list_remove(&s->link);
	a->nr_sessions--;
	free(s);
}

void leap__session_settle(struct leap__session *s)
{
	struct leap_agent *a = s->agent;

	if (s->gone && s != a->active)
		leap__session_free(s);
	if (a->destroyed && !a->nr_sessions) {
		leap__pollgroup_release(a->pg);
		free(a);
	}
}

void leap__session_welcome(struct leap__session *s, int err)
{
	if (s->welcome)
		return;
	s->welcome = 1;
	s->refused = err != 0;
	leap__session_send(s, LEAP_LINK_HELLO, LEAP_LINK_REPLY, s->hello_id,
			   err);
	/* Time to read it, and then it makes room. */
	if (err)
		leap_timer_start(s->agent->pg, &s->timer, REFUSED_NS);
}

/* Another serves, and it lives. */
void leap__agent_refuse_impatient(struct leap_agent *a, uint64_t asked_ns)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &a->sessions) {
		struct leap__session *s =
			leap__list_entry(pos, struct leap__session, link);

		/* For one that came later it may have been the last word. */
		if (s->hello && !s->welcome && s->hello_ns < asked_ns)
			leap__session_welcome(s, -EBUSY);
	}
}

int leap__agent_impatient(const struct leap_agent *a)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &a->sessions) {
		struct leap__session *s =
			leap__list_entry(pos, struct leap__session, link);

		if (s->hello && !s->welcome)
			return 1;
	}
	return 0;
}

static int hello(struct leap__session *s, const struct leap_link_msg *msg)
{
	struct leap_agent *a = s->agent;

	if (msg->type != LEAP_LINK_HELLO || (msg->flags & LEAP_LINK_REPLY) ||
	    msg->u.hello.role != LEAP_LINK_RUNTIME)
		return -EPROTO;
	s->hello_id = msg->id;
	leap_timer_stop(a->pg, &s->timer);
	if (msg->u.hello.version != LEAP_LINK_VERSION) {
		leap__session_welcome(s, -EPROTONOSUPPORT);
		return 0;
	}
	if (s->stranger) {
		snprintf(a->info.error, sizeof(a->info.error),
			 "runtime %lld cannot be fenced: %s",
			 (long long)s->pid, strerror(-s->stranger));
		leap__pg_log(a->pg, LEAP_LOG_ERROR, "agent: %s", a->info.error);
		leap__session_welcome(s, -EPERM);
		return 0;
	}
	s->hello = 1;
	s->hello_ns = leap__pollgroup_now(a->pg);
	s->standby = msg->u.hello.caps & LEAP_LINK_STANDBY;
	if (s->standby || !a->active)
		leap__session_welcome(s, 0);
	else
		leap__agent_hurry(a);	/* to know whether that one lives */
	leap__agent_start_next(a);
	return 0;
}

static int replied(struct leap_agent *a, struct leap__session *s,
		   const struct leap_link_msg *msg, int *fd)
{
	if (msg->type == LEAP_LINK_KEEPALIVE)
		return 0;	/* that it came is the answer */
	if (s != a->active)
		return -EPROTO;
	return leap__agent_changes(a, msg) ? 0 :
	       leap__agent_reply(a, msg, fd);
}

static struct leap__session *of_chan(struct leap__lchan *chan)
{
	return (struct leap__session *)((char *)chan -
				offsetof(struct leap__session, chan));
}

static void session_message(struct leap__lchan *chan,
			    const struct leap_link_msg *msg, int fd)
{
	struct leap__session *s = of_chan(chan);
	struct leap_agent *a = s->agent;
	int err;

	if (s->refused || !a->target)
		err = -EPROTO;
	else if (!s->hello)
		err = hello(s, msg);
	else if (msg->flags & LEAP_LINK_REPLY)
		err = replied(a, s, msg, &fd);
	else
		err = leap__agent_unasked(a, s, msg);
	if (fd >= 0)
		close(fd);
	if (!err)
		return;
	a->info.bad_messages += !s->refused;
	leap__lchan_kill(chan, err);
	if (s == a->active)
		leap__agent_lose(a, err, "a bad message");
}

static void session_gone(struct leap__lchan *chan, int err)
{
	struct leap__session *s = of_chan(chan);
	struct leap_agent *a = s->agent;

	if (err == -EPROTO && s->hello && !s->refused &&
	    (a->state == LEAP_AGENT_STARTING || a->state == LEAP_AGENT_SERVED))
		a->info.bad_messages++;
	if (s == a->active)
		leap__agent_lose(a, err, err == -EPROTO ? "a bad message" :
				 "the connection ended");
	/* Not before: the fence may be over already. */
	s->gone = 1;
	leap__session_settle(s);
}

static const struct leap__lchan_end session_end = {
	.message = session_message,
	.gone = session_gone,
};

/* It has not said HELLO, or was refused and is still there. */
static void hello_timeout(struct leap_timer *timer)
{
	struct leap__session *s =
		leap__list_entry(timer, struct leap__session, timer);

	leap__lchan_kill(&s->chan, -ETIMEDOUT);
}

/* It must be a process that we could kill. */
static int known_process(struct leap_agent *a, struct leap__session *s,
			 struct leap__wfd *wfd)
{
	int err, pidfd = -1;

	err = leap__pollgroup_world(a->pg)->ops->peer_process(wfd, &s->pid,
							   &pidfd);
	if (!err && a->opts.fence)
		close(pidfd);
	else if (!err)
		err = leap__fence_process(&s->fence, s->pid, pidfd);
	return err;
}

int leap__agent_accept(void *arg, struct leap__wfd *wfd)
{
	struct leap_agent *a = arg;
	struct leap__session *s;

	if (a->nr_sessions == LEAP__AGENT_SESSIONS)
		return -EBUSY;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->agent = a;
	leap__fence_init(&s->fence, a->pg);
	s->stranger = known_process(a, s, wfd);
	leap__list_push_back(&a->sessions, &s->link);
	a->nr_sessions++;
	leap__lchan_start(&s->chan, &session_end, a->pg, wfd);
	s->timer.run = hello_timeout;
	leap_timer_start(a->pg, &s->timer, HELLO_NS);
	return 0;
}

struct leap__session *leap__agent_pick(struct leap_agent *a)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &a->sessions) {
		struct leap__session *s =
			leap__list_entry(pos, struct leap__session, link);

		if (s->hello && !s->refused && !s->chan.chan.dead && !s->fenced)
			return s;
	}
	return NULL;
}
static void list_standby(const struct leap_agent *a, char *text, size_t max)
{
	const struct leap__list *pos;
	size_t at = 0;

	leap__list_for_each(pos, &a->sessions) {
		const struct leap__session *s =
			leap__list_entry(pos, struct leap__session, link);

		if (s == a->active || !s->hello || s->refused || at >= max)
			continue;
		at += (size_t)snprintf(text + at, max - at, "%s%lld",
				       at ? " " : "", (long long)s->pid);
	}
}

int leap_agent_info(const struct leap_agent *a, struct leap_agent_info *info)
{
	struct leap_agent_info i = a->info;
	const struct leap__list *pos;

	i.state = a->state;
	if (a->active) {
		i.pid = a->active->pid;
		i.since_ns = a->active->since_ns;
	}
	leap__list_for_each(pos, &a->sessions) {
		const struct leap__session *s =
			leap__list_entry(pos, struct leap__session, link);

		i.nr_standby += s != a->active && s->hello && !s->refused;
	}
	leap__list_for_each(pos, &a->lents)
		i.nr_ctrls += leap__list_entry(pos, struct leap__lent,
					       link)->told;
	leap__list_for_each(pos, &a->group.qps)
		i.nr_queues++;
	list_standby(a, i.standby, sizeof(i.standby));
	return leap__info_copy("leap_agent_info", info, &i, sizeof(i));
}
