/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lend.c - socp as the runtime of an agent
 *
 * The stacks of the configuration are opened when the agent says that it is our
 * turn, because that takes their locks, and closed when another takes over. A
 * stack that cannot be opened is tried again when the agent asks again. Which
 * queues are lent, and how they are served, is the library's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lend.h"

static void settle_go(struct lend *l);

/* ---- closing ---- */

static void closed(int err, void *arg);

/* What a failed attempt has left, or all: the namespaces of every subsystem. */
static void close_all(struct lend *l)
{
	struct leap_subsystem *ss = NULL;
	uint32_t nsid;

	l->pending = 1;
	while ((ss = leap_subsystem_next(l->rt->target, ss)))
		for (nsid = leap_ns_next(ss, 0); nsid;
		     nsid = leap_ns_next(ss, nsid))
			l->pending += !leap_ns_remove(ss, nsid, closed, l);
	closed(0, l);
}

static void closed(int err, void *arg)
{
	struct lend *l = arg;

	(void)err;
	if (--l->pending)
		return;
	l->open = 0;
	if (!l->lr)
		return;
	if (l->err)
		leap_runtime_ready(l->lr, l->err);
	else
		leap_runtime_stopped(l->lr);
}

static void stop(void *arg)
{
	struct lend *l = arg;

	l->err = 0;
	close_all(l);
}

/* ---- opening ---- */

static void added(int err, void *arg)
{
	struct lend *l = arg;

	if (err)
		l->err = err;
	if (!--l->pending)
		settle_go(l);
}

static void settle_go(struct lend *l)
{
	if (l->err) {
		close_all(l);
		return;
	}
	l->open = 1;
	if (!l->lr)
		return;
	leap_runtime_ready(l->lr, 0);
}

static void open_one(struct lend *l, int sub, int n, const json_t *one,
		     struct leap_subsystem *ss)
{
	struct config_ns ns = { 0 };
	struct field_error err;
	int rc = fields_read(one, config_ns_fields, &ns, &err);

	l->pending++;
	if (!rc)
		rc = runtime_add_ns(l->rt, ss, &ns, added, l);
	if (rc >= 0)
		return;
	l->pending--;
	l->err = rc;
	config_blame_ns(l->c, sub, n, leap_last_error());
	fprintf(stderr, "socp: %s\n", l->c->error);
}

static void open_subsystem(struct lend *l, int sub)
{
	struct config_subsystem s = { 0 };
	struct leap_subsystem *ss;
	struct field_error err;
	const json_t *one;
	size_t n;

	if (fields_read(json_array_get(l->c->subsystems, (size_t)sub),
			config_subsystem_fields, &s, &err))
		return;
	ss = leap_subsystem_find(l->rt->target, s.nqn);
	json_array_foreach(s.namespaces, n, one)
		if (ss && !l->err)
			open_one(l, sub, (int)n, one, ss);
}

static void go(void *arg)
{
	struct lend *l = arg;
	size_t i;

	/* The agent was away, and our stacks are open still. */
	if (l->open) {
		leap_runtime_ready(l->lr, 0);
		return;
	}
	l->err = 0;
	l->pending = 1;
	for (i = 0; i < json_array_size(l->c->subsystems); i++)
		open_subsystem(l, (int)i);
	added(0, l);
}

static void lost(void *arg, int err)
{
	struct lend *l = arg;

	if (err == -EBUSY && !l->c->standby) {
		fprintf(stderr, "socp: --agent %s: another socp serves; to "
			"wait for its end say --standby\n", l->c->agent);
		l->failed = err;
		if (l->ended)
			l->ended(l->arg);
		return;
	}
	fprintf(stderr, "socp: --agent %s: %s; trying again\n", l->c->agent,
		strerror(-err));
}

int lend_start(struct lend *l, struct runtime *rt, struct config *c,
	       void (*refused)(void *arg), void *arg)
{
	struct leap_runtime_opts opts = LEAP_RUNTIME_OPTS_INIT;
	int rc;

	l->rt = rt;
	l->c = c;
	l->ended = refused;
	l->arg = arg;
	opts.agent = c->agent;
	opts.standby = c->standby;
	opts.go = go;
	opts.stop = stop;
	opts.lost = lost;
	opts.arg = l;
	rc = leap_runtime_create(rt->target, &opts, &l->lr);
	rt->lent = rc ? NULL : l->lr;
	if (!rc && access(c->agent, F_OK))
		fprintf(stderr, "socp: --agent %s: %s; trying again\n",
			c->agent, strerror(errno));
	return rc;
}

void lend_stop(struct lend *l, void (*done)(void *arg), void *arg)
{
	struct leap_runtime *lr = l->lr;

	l->lr = NULL;
	l->rt->lent = NULL;
	leap_runtime_destroy(lr, done, arg);
}
