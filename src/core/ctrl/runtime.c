/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The runtime: a target's I/O groups and namespaces in the service of an agent.
 * Connects and connects again, waits for its turn, drains for a successor. What
 * it tells of its namespaces is runtime_ns.c's, what it is lent
 * runtime_ctrl.c's.
 *
 *	connect --HELLO--> wait --go--> (program opens stacks) --ready--> active
 *	active --HANDOFF, destroy--> drain --> stop --> (agent ends us)
 *	any --the link ends--> drop what was lent --> lost --> connect
 */
#include "core/ctrl/runtime_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/info.h"
#include "util/opts.h"

#define MS		1000000ull
#define DRAIN_NS	(1000 * MS)	/* then what is left stays recorded */
#define REFUSED_NS	(500 * MS)

static void try_connect(struct leap_runtime *rt);

void leap__runtime_reply(struct leap_runtime *rt,
			 const struct leap_link_msg *question, int err, int fd)
{
	struct leap_link_msg m = *question;

	if (!rt->connected)
		return;
	m.flags = LEAP_LINK_REPLY;
	m.err = err > 0 ? -EIO : err;
	leap__lchan_send(&rt->chan, &m, fd);
}

void leap__runtime_tell(struct leap_runtime *rt, struct leap_link_msg *msg)
{
	if (!rt->connected)
		return;
	msg->flags = 0;
	msg->id = ++rt->last_id;
	leap__lchan_send(&rt->chan, msg, -1);
}

/* ---- our turn ---- */

void leap_runtime_ready(struct leap_runtime *rt, int err)
{
	if (!rt->going)
		return;
	rt->going = 0;
	if (!rt->connected || !rt->go.type) {
		leap__runtime_settle(rt);
		return;
	}
	if (!err)
		err = leap__runtime_tell_all(rt);
	rt->active = !err;
	leap__runtime_reply(rt, &rt->go, err, -1);
	rt->go.type = 0;
}

static int go(struct leap_runtime *rt, const struct leap_link_msg *msg)
{
	if (rt->active || rt->going || rt->draining)
		return -EPROTO;
	rt->go = *msg;
	rt->going = 1;
	if (rt->opts.go)
		rt->opts.go(rt->opts.arg);
	else
		leap_runtime_ready(rt, 0);
	return 0;
}

/* ---- giving it back ---- */

static void delete_all(struct leap_runtime *rt, uint32_t flags)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &rt->ctrls)
		leap__rctrl_delete_queues(leap__list_entry(pos,
					struct leap__rctrl, link), flags);
}

static void drain_late(struct leap_timer *timer)
{
	struct leap_runtime *rt =
		leap__list_entry(timer, struct leap_runtime, drain);

	delete_all(rt, 0);
}

static void start_drain(struct leap_runtime *rt)
{
	rt->draining = 1;
	leap_timer_start(rt->pg, &rt->drain, DRAIN_NS);
	delete_all(rt, LEAP__QPDEL_DRAIN);
	leap__runtime_settle(rt);
}

void leap_runtime_stopped(struct leap_runtime *rt)
{
	if (!rt->stopping)
		return;
	rt->stopping = 0;
	if (rt->handoff.type)
		leap__runtime_reply(rt, &rt->handoff, 0, -1);
	rt->handoff.type = 0;
	leap__runtime_settle(rt);
}

static void bye_said(struct leap_timer *timer)
{
	struct leap_runtime *rt =
		leap__list_entry(timer, struct leap_runtime, drain);

	leap__lchan_kill(&rt->chan, 0);
}

static void drained(struct leap_runtime *rt)
{
	struct leap_link_msg bye = { .type = LEAP_LINK_QUIESCE };

	leap_timer_stop(rt->pg, &rt->drain);
	rt->draining = 2;
	rt->active = 0;
	if (rt->destroying) {
		leap__runtime_tell(rt, &bye);
		/* Not before it is out. */
		rt->drain.run = bye_said;
		leap_timer_start(rt->pg, &rt->drain, MS);
		return;
	}
	rt->stopping = 1;
	if (rt->opts.stop)
		rt->opts.stop(rt->opts.arg);
	else
		leap_runtime_stopped(rt);
}

static int handoff(struct leap_runtime *rt, const struct leap_link_msg *msg)
{
	if (!rt->active || rt->draining)
		return -EPROTO;
	rt->handoff = *msg;
	start_drain(rt);
	return 0;
}

static void catch_errors(struct leap_runtime *rt,
			 void (*arrived)(struct leap__lmsg *m));

static void freed(struct leap_runtime *rt)
{
	void (*done)(void *arg) = rt->done;
	void *arg = rt->done_arg;

	leap_timer_stop(rt->pg, &rt->retry);
	leap_timer_stop(rt->pg, &rt->drain);
	leap__pollgroup_release(rt->pg);
	catch_errors(rt, leap__error_arrived);
	rt->target->runtime = NULL;
	free(rt);
	if (done)
		done(arg);
}

/* The link is gone, and all that came over it. */
static void all_dropped(struct leap_runtime *rt)
{
	int err = rt->err;

	if (rt->destroying) {
		freed(rt);
		return;
	}
	rt->err = 0;
	rt->draining = 0;
	leap_timer_start(rt->pg, &rt->retry,
			 err == -EBUSY || err == -EPERM ? REFUSED_NS :
			 rt->opts.retry_ms * MS);
	if (err && rt->opts.lost)
		rt->opts.lost(rt->opts.arg, err);
}

static int has_queues(const struct leap_runtime *rt)
{
	const struct leap__list *pos;

	leap__list_for_each(pos, &rt->ctrls)
		if (leap__rctrl_has_queues(leap__list_entry(pos,
						struct leap__rctrl, link)))
			return 1;
	return 0;
}

void leap__runtime_settle(struct leap_runtime *rt)
{
	if (rt->draining == 1 && rt->connected && !has_queues(rt))
		drained(rt);
	else if (!rt->connected && !rt->wfd && !rt->retry.armed &&
		 leap__list_empty(&rt->ctrls) && !rt->out && !rt->going &&
		 !rt->stopping)
		all_dropped(rt);
}

/* ---- questions about subsystems ---- */

struct stats {
	struct leap__round r;
	struct leap_runtime *rt;
	struct leap_link_msg q;
};

static void stats_done(struct leap__round *r)
{
	struct stats *s = r->arg;
	struct leap_runtime *rt = s->rt;

	s->q.u.stats_of.count = r->sum;
	leap__runtime_reply(rt, &s->q, 0, -1);
	leap__round_fini(r);
	free(s);
	rt->out--;
	leap__runtime_settle(rt);
}

static int stats(struct leap_runtime *rt, const struct leap_link_msg *msg)
{
	struct leap_subsystem *ss =
		leap_subsystem_find(rt->target, msg->u.stats_of.nqn);
	struct stats *s = ss ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return ss ? -ENOMEM : -ENOENT;
	s->rt = rt;
	s->q = *msg;
	s->r.done = stats_done;
	s->r.arg = s;
	if (leap__round_start(rt->target, &s->r, LEAP_LINK_STATS, ss)) {
		free(s);
		return -ENOMEM;
	}
	rt->out++;
	return 0;
}

/* An error of a command: for the agent's log, or that of a host of our own. */
static void error_arrived(struct leap__lmsg *m)
{
	struct leap_runtime *rt = m->arg;
	struct leap__list *pos;
	struct leap_link_msg out;

	leap__list_for_each(pos, &rt->ctrls) {
		struct leap__rctrl *c =
			leap__list_entry(pos, struct leap__rctrl, link);

		if (c != m->ctrl)
			continue;
		out = m->link;
		out.cntlid = c->id;
		leap__runtime_tell(rt, &out);
		leap__link_ask(m->group, m);
		return;
	}
	leap__error_arrived(m);
}

static void catch_errors(struct leap_runtime *rt,
			 void (*arrived)(struct leap__lmsg *m))
{
	uint32_t i, j;

	for (i = 0; i < rt->target->nr_groups; i++)
		for (j = 0; j < LEAP__IOC_NR_ERRORS; j++) {
			rt->target->groups[i]->errors[j].arg = rt;
			rt->target->groups[i]->errors[j].arrived = arrived;
		}
}

/* ---- the link ---- */

static int hello_back(struct leap_runtime *rt, const struct leap_link_msg *msg)
{
	if (msg->type != LEAP_LINK_HELLO || !(msg->flags & LEAP_LINK_REPLY))
		return -EPROTO;
	if (msg->err)
		return msg->err;
	if (msg->u.hello.version != LEAP_LINK_VERSION ||
	    msg->u.hello.role != LEAP_LINK_AGENT)
		return -EPROTO;
	rt->connected = 2;
	return 0;
}

static int question(struct leap_runtime *rt, const struct leap_link_msg *msg,
		    int fd)
{
	int err = 0;

	if (msg->flags & LEAP_LINK_REPLY)
		return -EPROTO;	/* we ask nothing after HELLO */
	if (!msg->cntlid)
		switch (msg->type) {
		case LEAP_LINK_RESUME:
			return go(rt, msg);
		case LEAP_LINK_HANDOFF:
			return handoff(rt, msg);
		case LEAP_LINK_KEEPALIVE:
			leap__runtime_reply(rt, msg, 0, -1);
			return 0;
		case LEAP_LINK_STATS:
			err = stats(rt, msg);
			if (err)
				leap__runtime_reply(rt, msg, err, -1);
			return 0;
		}
	if (!rt->active && rt->draining != 2)
		return -EPROTO;
	leap__rctrl_message(rt, msg, fd);
	return 0;
}

static struct leap_runtime *of_chan(struct leap__lchan *chan)
{
	return leap__list_entry(chan, struct leap_runtime, chan);
}

static void rt_message(struct leap__lchan *chan,
		       const struct leap_link_msg *msg, int fd)
{
	struct leap_runtime *rt = of_chan(chan);
	int err;

	err = rt->connected < 2 ? hello_back(rt, msg) : question(rt, msg, fd);
	if (fd >= 0)
		close(fd);
	if (err)
		leap__lchan_kill(chan, err);
}

static void rt_gone(struct leap__lchan *chan, int err)
{
	struct leap_runtime *rt = of_chan(chan);
	struct leap__list *pos, *tmp;

	rt->connected = 0;
	rt->active = 0;
	rt->err = err ? err : -ECONNRESET;
	rt->go.type = 0;
	rt->handoff.type = 0;
	leap_timer_stop(rt->pg, &rt->drain);
	leap__list_for_each_safe(pos, tmp, &rt->ctrls) {
		struct leap__rctrl *c =
			leap__list_entry(pos, struct leap__rctrl, link);

		c->answer_del = 0;
		leap__rctrl_end(c);
	}
	leap__runtime_settle(rt);
}

static const struct leap__lchan_end rt_end = {
	.message = rt_message,
	.gone = rt_gone,
};

static void say_hello(struct leap_runtime *rt)
{
	struct leap_link_msg m = {
		.type = LEAP_LINK_HELLO,
		.u.hello = {
			.version = LEAP_LINK_VERSION,
			.caps = rt->opts.standby ? LEAP_LINK_STANDBY : 0,
			.role = LEAP_LINK_RUNTIME,
		},
	};

	leap__runtime_tell(rt, &m);
}

static void connected(struct leap__io *io)
{
	struct leap_runtime *rt = io->arg;
	struct leap__world *w = leap__pollgroup_world(rt->pg);
	struct leap__wfd *wfd = rt->wfd;
	int pidfd = -1;

	rt->wfd = NULL;
	if (io->res || rt->destroying) {
		w->ops->close(wfd);
		if (rt->destroying)
			leap__runtime_settle(rt);
		else
			leap_timer_start(rt->pg, &rt->retry,
					 rt->opts.retry_ms * MS);
		return;
	}
	if (!w->ops->peer_process(wfd, &rt->agent_pid, &pidfd))
		close(pidfd);
	rt->connected = 1;
	leap__lchan_start(&rt->chan, &rt_end, rt->pg, wfd);
	say_hello(rt);
}

static void try_connect(struct leap_runtime *rt)
{
	struct leap__world *w = leap__pollgroup_world(rt->pg);

	if (w->ops->socket(w, AF_UNIX, &rt->wfd)) {
		rt->wfd = NULL;
		leap_timer_start(rt->pg, &rt->retry, rt->opts.retry_ms * MS);
		return;
	}
	memset(&rt->connect, 0, sizeof(rt->connect));
	rt->connect.op = LEAP__IO_CONNECT;
	rt->connect.wfd = rt->wfd;
	rt->connect.addr = (struct sockaddr *)&rt->addr;
	rt->connect.done = connected;
	rt->connect.arg = rt;
	leap__io_submit(w, &rt->connect);
}

static void retry_run(struct leap_timer *timer)
{
	try_connect(leap__list_entry(timer, struct leap_runtime, retry));
}

/* ---- life ---- */

int leap_runtime_create(struct leap_target *t,
			const struct leap_runtime_opts *opts,
			struct leap_runtime **out)
{
	struct leap_runtime *rt = calloc(1, sizeof(*rt));
	size_t len;
	int err;

	if (!rt)
		return leap__err(-ENOMEM, "leap_runtime_create: out of memory");
	err = leap__opts_copy(&rt->opts, sizeof(rt->opts), opts);
	len = !err && rt->opts.agent ? strlen(rt->opts.agent) : 0;
	if (!err && (!len || len >= sizeof(rt->addr.sun_path)))
		err = leap__err(-EINVAL,
				"leap_runtime_create: agent: path of %zu bytes",
				len);
	if (!err && (t->agent || t->runtime))
		err = leap__err(-EINVAL, "leap_runtime_create: the target has "
				"an agent or a runtime");
	if (err) {
		free(rt);
		return err;
	}
	rt->addr.sun_family = AF_UNIX;
	memcpy(rt->addr.sun_path, rt->opts.agent, len);
	rt->opts.agent = NULL;
	if (!rt->opts.retry_ms)
		rt->opts.retry_ms = 100;
	rt->target = t;
	rt->pg = t->home;
	leap__list_init(&rt->ctrls);
	rt->retry.run = retry_run;
	rt->drain.run = drain_late;
	t->runtime = rt;
	catch_errors(rt, error_arrived);
	leap__pollgroup_hold(rt->pg);
	leap_timer_start(rt->pg, &rt->retry, 0);
	*out = rt;
	return 0;
}

static void destroy_run(struct leap_timer *timer)
{
	leap__runtime_settle(leap__list_entry(timer, struct leap_runtime,
					      drain));
}

void leap_runtime_destroy(struct leap_runtime *rt, void (*done)(void *arg),
			  void *arg)
{
	if (!rt)
		return;
	rt->destroying = 1;
	rt->going = 0;
	rt->stopping = 0;
	rt->done = done;
	rt->done_arg = arg;
	leap_timer_stop(rt->pg, &rt->retry);
	if (rt->wfd)
		return;	/* it will come back */
	if (!rt->connected) {
		rt->drain.run = destroy_run;
		leap_timer_start(rt->pg, &rt->drain, 0);
	} else if (rt->active && !rt->draining) {
		start_drain(rt);
	} else {
		leap__lchan_kill(&rt->chan, 0);
	}
}

int leap_runtime_info(const struct leap_runtime *rt,
		      struct leap_runtime_info *info)
{
	struct leap_runtime_info i = { 0 };
	const struct leap__list *pos;

	i.connected = rt->connected == 2;
	i.active = rt->active;
	i.agent_pid = rt->connected ? rt->agent_pid : 0;
	leap__list_for_each(pos, &rt->ctrls) {
		const struct leap__rctrl *c =
			leap__list_entry(pos, struct leap__rctrl, link);

		i.nr_ctrls++;
		i.nr_queues += c->nr_qps;
		i.mem_bytes += c->mem_bytes;
	}
	return leap__info_copy("leap_runtime_info", info, &i, sizeof(i));
}
