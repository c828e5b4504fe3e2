/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runtime.c - from a configuration to a running target
 *
 * Makes the poll groups (the library makes no threads: each I/O group gets a
 * pthread here), the target, its subsystems, namespaces and, last of all, its
 * listeners, so that nobody can connect to half of a configuration. Knows
 * nothing of files, options and control requests.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime.h"

#define STOP_NS		3000000000u
#define STOP_STEP_NS	5000000

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void log_line(void *arg, enum leap_log_level level, const char *text)
{
	static const char *const names[] = { "error", "warn", "info",
					     "debug" };

	if (level <= *(const uint32_t *)arg)
		fprintf(stderr, "socp: %s: %s\n", names[level], text);
}

static void group_stop(struct leap_msg *msg)
{
	struct group *g = (struct group *)((char *)msg -
					   offsetof(struct group, stop));

	g->quit = 1;
}

/* A connection to somewhere else that is being closed is waited for,
 * a while. */
static void destroy_group(struct leap_pollgroup *pg)
{
	uint64_t end = now_ns() + STOP_NS;

	while (leap_pollgroup_destroy(pg) == -EBUSY && now_ns() < end)
		leap_pollgroup_wait(pg, STOP_STEP_NS);
}

static void *group_main(void *arg)
{
	struct group *g = arg;

	g->err = leap_pollgroup_create(&g->opts, &g->pg);
	if (g->err)
		snprintf(g->error, sizeof(g->error), "%s", leap_last_error());
	sem_post(&g->ready);
	while (!g->err && !g->quit)
		leap_pollgroup_wait(g->pg, -1);
	destroy_group(g->pg);
	return NULL;
}

static int start_group(struct runtime *rt, struct group *g, char *error,
		       size_t max)
{
	char name[16];
	int rc;

	snprintf(name, sizeof(name), "io%u", rt->nr_groups + 1);
	g->opts = rt->pg_opts;
	g->opts.name = name;
	g->stop.run = group_stop;
	sem_init(&g->ready, 0, 0);
	rc = -pthread_create(&g->thread, NULL, group_main, g);
	if (rc) {
		snprintf(error, max, "--threads: %s", strerror(-rc));
		sem_destroy(&g->ready);
		return rc;
	}
	while (sem_wait(&g->ready))
		;
	if (g->err) {
		snprintf(error, max, "--threads: %s", g->error);
		pthread_join(g->thread, NULL);
		sem_destroy(&g->ready);
		return g->err;
	}
	rt->nr_groups++;
	rc = leap_target_add_group(rt->target, g->pg);
	if (rc)
		snprintf(error, max, "--threads: %s", leap_last_error());
	return rc;
}

static void stop_groups(struct runtime *rt)
{
	uint32_t i;

	for (i = 0; i < rt->nr_groups; i++) {
		leap_pollgroup_send(rt->groups[i].pg, &rt->groups[i].stop);
		pthread_join(rt->groups[i].thread, NULL);
		sem_destroy(&rt->groups[i].ready);
	}
	free(rt->groups);
	rt->groups = NULL;
	rt->nr_groups = 0;
}

static int allow_hosts(struct leap_subsystem *ss, const json_t *hosts)
{
	const json_t *host;
	size_t i;
	int rc = 0;

	json_array_foreach(hosts, i, host) {
		if (!rc)
			rc = leap_subsystem_allow(ss, json_string_value(host));
	}
	return rc;
}

int runtime_add_subsystem(struct runtime *rt,
			  const struct config_subsystem *s,
			  struct leap_subsystem **out)
{
	struct leap_subsystem_opts opts = LEAP_SUBSYSTEM_OPTS_INIT;
	json_t *note;
	int rc;

	opts.nqn = s->nqn;
	opts.serial = s->serial;
	opts.model = s->model;
	opts.allow_any_host = !json_array_size(s->hosts);
	rc = leap_subsystem_create(rt->target, &opts, out);
	if (rc)
		return rc;
	rc = allow_hosts(*out, s->hosts);
	if (!rc) {
		note = json_pack("{s:b, s:o}", "any_host",
				 (int)opts.allow_any_host, "hosts", s->hosts ?
				 json_deep_copy(s->hosts) : json_array());
		if (json_object_set_new(rt->subsystems, s->nqn, note))
			rc = -ENOMEM;
	}
	if (rc)
		leap_subsystem_destroy(*out, NULL, NULL);
	return rc;
}

int runtime_add_ns(struct runtime *rt, struct leap_subsystem *ss,
		   const struct config_ns *ns,
		   void (*added)(int err, void *arg), void *arg)
{
	struct leap_ns_opts opts = LEAP_NS_OPTS_INIT;
	int rc;

	rc = leap_bdev_open(rt->home, ns->stack, &opts.bdev);
	if (rc)
		return rc;
	opts.nsid = ns->nsid;
	opts.block_bytes = ns->block_bytes;
	opts.read_only = ns->read_only;
	memcpy(opts.uuid, ns->uuid, sizeof(opts.uuid));
	rc = leap_ns_add(ss, &opts, added, arg);
	if (rc < 0)
		leap_bdev_close(opts.bdev);
	return rc;
}

int runtime_add_listener(struct runtime *rt, const struct config_listener *l,
			 struct leap_listener **out, const char **why)
{
	struct leap_listener_opts opts = LEAP_LISTENER_OPTS_INIT;
	int rc;

	if (config_listener_opts(l, &opts, why))
		return -EINVAL;
	rc = leap_listener_create(rt->target, &opts, out);
	*why = leap_last_error();
	return rc;
}

static void start_added(int err, void *arg)
{
	struct runtime *rt = arg;

	rt->pending--;
	if (err)
		rt->failed = err;
}

/*
 * A predecessor that was killed holds its locks until its last write has
 * landed, a moment after it is gone: that is waited for.
 */
#define LOCK_TRIES	30
#define LOCK_WAIT_NS	100000000

static int add_when_unlocked(struct runtime *rt, struct leap_subsystem *ss,
			     const struct config_ns *ns, int check)
{
	const struct timespec pause = { .tv_nsec = LOCK_WAIT_NS };
	int rc, i;

	for (i = 0;; i++) {
		rc = runtime_add_ns(rt, ss, ns, start_added, rt);
		if (rc != -EBUSY || check || i == LOCK_TRIES)
			return rc;
		nanosleep(&pause, NULL);
	}
}

/* Whose stack a failure of adding is to be blamed on is known only while one
 * is added at a time. */
static int start_ns(struct runtime *rt, struct leap_subsystem *ss,
		    const struct config_ns *ns, int check, const char **why)
{
	int rc;

	rt->pending = 1;
	rc = add_when_unlocked(rt, ss, ns, check);
	if (rc == -EBUSY && check)
		return 0;	/* a running socp has it: it can be opened */
	*why = leap_last_error();
	if (rc < 0)
		return rc;
	while (rt->pending)
		leap_pollgroup_wait(rt->home, -1);
	if (rt->failed)
		*why = strerror(-rt->failed);
	return rt->failed;
}

static int start_subsystem(struct runtime *rt, struct config *c, int i,
			   int check)
{
	struct config_subsystem s = { 0 };
	struct leap_subsystem *ss;
	struct field_error err;
	struct config_ns ns;
	const char *why;
	const json_t *one;
	size_t n;
	int rc;

	rc = fields_read(json_array_get(c->subsystems, (size_t)i),
			 config_subsystem_fields, &s, &err);
	if (!rc)
		rc = runtime_add_subsystem(rt, &s, &ss);
	if (rc) {
		config_blame_ns(c, i, -1, leap_last_error());
		return rc;
	}
	/* Lent out, stacks are opened when it is our turn. */
	if (c->agent && !check)
		return 0;
	json_array_foreach(s.namespaces, n, one) {
		memset(&ns, 0, sizeof(ns));
		rc = fields_read(one, config_ns_fields, &ns, &err);
		why = err.text;
		if (!rc)
			rc = start_ns(rt, ss, &ns, check, &why);
		if (rc) {
			config_blame_ns(c, i, (int)n, why);
			return rc;
		}
	}
	return 0;
}

/* With @check their options are looked at, and nothing listens. */
static int start_listeners(struct runtime *rt, struct config *c, int check)
{
	struct leap_listener_opts opts = LEAP_LISTENER_OPTS_INIT;
	struct config_listener l;
	struct leap_listener *out;
	struct field_error err;
	const char *why;
	const json_t *one;
	size_t i;
	int rc;

	json_array_foreach(c->listeners, i, one) {
		memset(&l, 0, sizeof(l));
		rc = fields_read(one, config_listener_fields, &l, &err);
		why = err.text;
		if (!rc && check)
			rc = config_listener_opts(&l, &opts, &why);
		else if (!rc)
			rc = runtime_add_listener(rt, &l, &out, &why);
		if (rc) {
			config_blame_listener(c, (int)i, why);
			return rc;
		}
	}
	return 0;
}

static int start_all(struct runtime *rt, struct config *c, int check)
{
	struct leap_target_opts opts = LEAP_TARGET_OPTS_INIT;
	size_t i;
	int rc;

	opts.name = "socp";
	rc = leap_target_create(rt->home, &opts, &rt->target);
	if (rc) {
		snprintf(c->error, sizeof(c->error), "%s", leap_last_error());
		return rc;
	}
	rt->groups = calloc(c->threads + 1, sizeof(*rt->groups));
	if (!rt->groups)
		return -ENOMEM;
	for (i = 0; !rc && i < c->threads; i++)
		rc = start_group(rt, &rt->groups[i], c->error,
				 sizeof(c->error));
	for (i = 0; !rc && i < json_array_size(c->subsystems); i++)
		rc = start_subsystem(rt, c, (int)i, check);
	if (!rc)
		rc = start_listeners(rt, c, check);
	return rc;
}

/* Whether a namespace is a drive's, which takes payload from where it is. */
static int passes_on(const struct config *c)
{
	const json_t *ss, *ns;
	const char *stack;
	size_t i, k;

	json_array_foreach(c->subsystems, i, ss) {
		json_array_foreach(json_object_get(ss, "namespaces"), k, ns) {
			stack = json_string_value(json_object_get(ns, "stack"));
			if (stack && (strstr(stack, "nvme:") ||
				      strstr(stack, "lent:")))
				return 1;
		}
	}
	return 0;
}

int runtime_start(struct runtime *rt, struct config *c, int check)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;
	int rc;

	memset(rt, 0, sizeof(*rt));
	rt->start_ns = now_ns();
	opts.name = "home";
	opts.spin_ns = c->spin_us ? (int64_t)c->spin_us * 1000 : -1;
	opts.log = log_line;
	opts.log_arg = &c->log_level;
	opts.share_bufs = (uint32_t)passes_on(c);
	rt->pg_opts = opts;
	rt->subsystems = json_object();
	rc = leap_pollgroup_create(&opts, &rt->home);
	if (rc) {
		snprintf(c->error, sizeof(c->error), "%s", leap_last_error());
		json_decref(rt->subsystems);
		return rc;
	}
	rc = start_all(rt, c, check);
	if (rc) {
		runtime_destroy_target(rt);
		runtime_stop(rt);
	}
	return rc;
}

static void target_gone(void *arg)
{
	((struct runtime *)arg)->gone = 1;
}

void runtime_destroy_target(struct runtime *rt)
{
	if (!rt->target)
		return;
	leap_target_destroy(rt->target, target_gone, rt);
	while (!rt->gone)
		leap_pollgroup_wait(rt->home, -1);
	rt->target = NULL;
}

void runtime_stop(struct runtime *rt)
{
	stop_groups(rt);
	/* What the threads sent last. */
	while (leap_pollgroup_poll(rt->home, 0) > 0)
		;
	destroy_group(rt->home);
	json_decref(rt->subsystems);
}
