/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Targets: what belongs to all subsystems of one. Its poll groups, the
 * questions that go to all of them, drain and destroy. Subsystems, listeners
 * and connections register themselves here and say when they go
 * (leap__target_settle); nothing here knows what they do.
 */
#include "core/ctrl/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/ctrl/upgrade.h"
#include "core/io/info.h"
#include "core/io/transport.h"
#include "util/opts.h"

/* ---- questions to all groups ---- */

static void round_answered(struct leap__lmsg *m)
{
	struct leap__round *r = m->arg;

	if (m->link.err)
		r->err = m->link.err;
	if (m->link.type == LEAP_LINK_KEEPALIVE)
		r->found |= m->link.u.abort.found;
	else if (m->link.type == LEAP_LINK_STATS)
		leap__counters_add(&r->sum, &m->link.u.stats);
	if (!--r->pending)
		r->done(r);
}

struct leap__lmsg *leap__round_prepare(struct leap_target *t,
				       struct leap__round *r, uint16_t type)
{
	uint32_t i;

	if (r->nr < t->nr_groups) {
		free(r->m);
		r->m = calloc(t->nr_groups, sizeof(*r->m));
		r->nr = r->m ? t->nr_groups : 0;
	}
	if (!r->m)
		return NULL;
	for (i = 0; i < r->nr; i++)
		leap__link_init(&r->m[i], type, round_answered, r);
	return r->m;
}

void leap__round_send(struct leap_target *t, struct leap__round *r)
{
	uint32_t i;

	r->pending = r->nr;
	r->err = 0;
	r->found = 0;
	memset(&r->sum, 0, sizeof(r->sum));
	for (i = 0; i < r->nr; i++)
		leap__link_ask(t->groups[i], &r->m[i]);
}

int leap__round_start(struct leap_target *t, struct leap__round *r,
		      uint16_t type, const void *ctrl)
{
	uint32_t i;

	if (!leap__round_prepare(t, r, type))
		return -ENOMEM;
	for (i = 0; i < r->nr; i++)
		r->m[i].ctrl = ctrl;
	leap__round_send(t, r);
	return 0;
}

void leap__round_fini(struct leap__round *r)
{
	free(r->m);
	r->m = NULL;
	r->nr = 0;
}

/* ---- groups ---- */

uint32_t leap__target_first_io(const struct leap_target *t)
{
	return t->nr_groups > 1 ? 1 : 0;
}

struct leap__iogroup *leap__target_pick(struct leap_target *t)
{
	uint32_t first = leap__target_first_io(t);
	uint32_t n = t->nr_groups - first;

	return t->groups[first + t->next_group++ % n];
}

struct leap_pollgroup *leap__target_home(const struct leap_target *target)
{
	return target->home;
}

static void hello_answered(struct leap__lmsg *m)
{
	free(m);
}

static int add_group(struct leap_target *t, struct leap_pollgroup *pg)
{
	struct leap__lmsg *hello = calloc(1, sizeof(*hello));
	struct leap__iogroup *g;
	uint32_t i;
	int err;

	if (!hello)
		return -ENOMEM;
	err = leap__iogroup_create(pg, t->home, &t->orphans, t->nr_groups, &g);
	if (err) {
		free(hello);
		return err;
	}
	for (i = 0; i < LEAP__IOC_NR_ERRORS; i++)
		g->errors[i].arrived = leap__error_arrived;
	t->groups[t->nr_groups++] = g;
	leap__link_init(hello, LEAP_LINK_HELLO, hello_answered, NULL);
	leap__link_ask(g, hello);
	return 0;
}

int leap_target_add_group(struct leap_target *t, struct leap_pollgroup *pg)
{
	struct leap__list *pos;
	uint32_t i;
	int err;

	if (!leap__list_empty(&t->listeners))
		return leap__err(-EBUSY,
			"leap_target_add_group: a listener exists already");
	for (i = leap__target_first_io(t); i < t->nr_groups; i++)
		if (t->groups[i]->pg == pg && (i || t->nr_groups > 1))
			return leap__err(-EEXIST,
				"leap_target_add_group: it is one already");
	if (t->nr_groups == LEAP__MAX_GROUPS)
		return leap__err(-ENOSPC,
			"leap_target_add_group: more than %d groups",
			LEAP__MAX_GROUPS - 1);
	err = add_group(t, pg);
	leap__list_for_each(pos, &t->subsystems) {
		struct leap_subsystem *ss =
			leap__list_entry(pos, struct leap_subsystem, link);

		if (!err)
			err = leap__subsystem_add_group(ss, t->nr_groups - 1);
	}
	return err ? leap__err(err, "leap_target_add_group: out of memory") : 0;
}

/* ---- create ---- */

static int check_opts(struct leap_target_opts *o)
{
	if (!o->max_connections)
		o->max_connections = 4096;
	if (!o->mdts_bytes)
		o->mdts_bytes = 1u << 20;
	if (!o->max_io_queues)
		o->max_io_queues = 64;
	if (!o->queue_depth)
		o->queue_depth = 128;
	if (!o->inline_bytes)
		o->inline_bytes = 8192;
	if (o->mdts_bytes < 4096 || (o->mdts_bytes & (o->mdts_bytes - 1)) ||
	    o->mdts_bytes > 1u << 28)
		return leap__err(-EINVAL,
				 "leap_target_create: mdts_bytes %u is not a "
				 "power of two from 4096 to 2^28",
				 o->mdts_bytes);
	if (o->max_io_queues > 65534)
		return leap__err(-EINVAL,
			"leap_target_create: max_io_queues %u exceeds 65534",
			o->max_io_queues);
	if (o->queue_depth < 2 || o->queue_depth > 65536)
		return leap__err(-EINVAL,
			"leap_target_create: queue_depth %u is not 2..65536",
			o->queue_depth);
	if (o->inline_bytes % 16 || o->inline_bytes > 1u << 20)
		return leap__err(-EINVAL,
				 "leap_target_create: inline_bytes %u is no "
				 "multiple of 16 up to 2^20",
				 o->inline_bytes);
	return 0;
}

static int make_discovery(struct leap_target *t)
{
	struct leap_subsystem_opts opts = LEAP_SUBSYSTEM_OPTS_INIT;

	opts.nqn = LEAP_NQN_DISCOVERY;
	opts.allow_any_host = 1;
	opts.max_nsid = 1;
	return leap__subsystem_make(t, &opts, 1, &t->disc);
}

static void free_target(struct leap_target *t)
{
	uint32_t i;

	for (i = 0; i < t->nr_groups; i++)
		leap__iogroup_destroy(t->groups[i]);
	leap__round_fini(&t->bye);
	leap__orphans_fini(&t->orphans);
	leap__kept_drop(t);
	free(t->scratch);
	free(t);
}

int leap_target_create(struct leap_pollgroup *home,
		       const struct leap_target_opts *opts,
		       struct leap_target **out)
{
	struct leap_target *t = calloc(1, sizeof(*t));
	const char *name;
	int err;

	if (!t)
		return leap__err(-ENOMEM, "leap_target_create: out of memory");
	err = leap__opts_copy(&t->opts, sizeof(t->opts), opts);
	if (!err)
		err = check_opts(&t->opts);
	name = t->opts.name ? t->opts.name : "leapio";
	if (!err && strlen(name) >= sizeof(t->name))
		err = leap__err(-EINVAL,
			"leap_target_create: name of %zu bytes exceeds %zu",
			strlen(name), sizeof(t->name) - 1);
	if (err) {
		free(t);
		return err;
	}
	strcpy(t->name, name);
	t->opts.name = t->name;
	t->home = home;
	t->genctr = 1;
	t->next_portid = 1;
	leap__list_init(&t->subsystems);
	leap__list_init(&t->listeners);
	leap__list_init(&t->conns);
	leap__list_init(&t->vdevs);
	leap__list_init(&t->kept);
	leap__orphans_init(&t->orphans, leap__orphans_wake);
	/* The group's memory is what its HELLO will find: before it. */
	if (!leap__target_scratch(t, LEAP_IDENTIFY_SIZE) ||
	    make_discovery(t) || add_group(t, home)) {
		free(t->disc);
		free_target(t);
		return leap__err(-ENOMEM, "leap_target_create: out of memory");
	}
	leap__pollgroup_hold(home);
	*out = t;
	return 0;
}

uint8_t *leap__target_scratch(struct leap_target *t, size_t bytes)
{
	uint8_t *p;

	if (bytes > t->scratch_bytes) {
		p = realloc(t->scratch, bytes);
		if (!p)
			return NULL;
		t->scratch = p;
		t->scratch_bytes = bytes;
	}
	memset(t->scratch, 0, bytes);
	return t->scratch;
}

/* ---- the end ---- */

static void drain_ctrls(struct leap_subsystem *ss, uint32_t flags)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &ss->ctrls) {
		struct leap__ctrl *c =
			leap__list_entry(pos, struct leap__ctrl, link);

		if (flags)
			leap__ctrl_delete_ioqs(c, flags);
		if (!flags || !c->nr_ioqs)
			leap__ctrl_end(c);
	}
}

static void drain_all(struct leap_target *t, uint32_t flags)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &t->subsystems)
		drain_ctrls(leap__list_entry(pos, struct leap_subsystem, link),
			    flags);
	drain_ctrls(t->disc, 0);
	leap__list_for_each_safe(pos, tmp, &t->conns) {
		struct leap__conn *conn =
			leap__list_entry(pos, struct leap__conn, link);

		if (conn->vqp && (!conn->ctrl || !flags))
			leap_vqp_close(conn->vqp);
	}
}

static void drain_timeout(struct leap_timer *timer)
{
	struct leap_target *t =
		leap__list_entry(timer, struct leap_target, drain_timer);

	drain_all(t, 0);
	leap__target_settle(t);
}

void leap_target_drain(struct leap_target *t, uint32_t timeout_ms,
		       void (*drained)(void *arg), void *arg)
{
	struct leap__list *pos;

	t->draining = 1;
	t->drained = drained;
	t->drained_arg = arg;
	leap__list_for_each(pos, &t->listeners) {
		struct leap_listener *l =
			leap__list_entry(pos, struct leap_listener, link);

		if (l->ops) {
			l->ops->unlisten(l);
			l->ops = NULL;
		}
	}
	drain_all(t, LEAP__QPDEL_DRAIN);
	t->drain_timer.run = drain_timeout;
	leap_timer_start(t->home, &t->drain_timer,
			 (uint64_t)timeout_ms * 1000000);
	/* Without a connection nothing else would look. */
	leap__target_settle(t);
}

static void said_bye(struct leap__round *r)
{
	struct leap_target *t = r->arg;
	void (*destroyed)(void *arg) = t->destroyed;
	void *arg = t->destroyed_arg;

	leap_timer_stop(t->home, &t->drain_timer);
	leap_timer_stop(t->home, &t->settle_timer);
	leap__pollgroup_release(t->home);
	free_target(t);
	if (destroyed)
		destroyed(arg);
}

static void settle(struct leap_target *t)
{
	void (*drained)(void *arg) = t->drained;

	if (t->draining && drained && !t->connections) {
		t->drained = NULL;
		leap_timer_stop(t->home, &t->drain_timer);
		drained(t->drained_arg);
	}
	if (t->destroying != 1 || t->connections ||
	    !leap__list_empty(&t->subsystems) || t->disc)
		return;
	t->destroying = 2;
	t->bye.done = said_bye;
	t->bye.arg = t;
	leap__round_start(t, &t->bye, LEAP_LINK_QUIESCE, NULL);
}

static void settle_later(struct leap_timer *timer)
{
	settle(leap__list_entry(timer, struct leap_target, settle_timer));
}

/* Callers are in the middle of something: look from the next poll. */
void leap__target_settle(struct leap_target *t)
{
	t->settle_timer.run = settle_later;
	leap_timer_start(t->home, &t->settle_timer, 0);
}

static void disc_destroyed(void *arg)
{
	struct leap_target *t = arg;

	t->disc = NULL;
	leap__target_settle(t);
}

void leap_target_destroy(struct leap_target *t, void (*done)(void *arg),
			 void *arg)
{
	struct leap__list *pos, *tmp;

	if (!t)
		return;
	t->draining = 1;
	t->destroying = 1;
	t->drained = NULL;
	t->destroyed = done;
	t->destroyed_arg = arg;
	leap__list_for_each_safe(pos, tmp, &t->listeners)
		leap_listener_destroy(leap__list_entry(pos,
					struct leap_listener, link));
	drain_all(t, 0);
	leap__list_for_each_safe(pos, tmp, &t->subsystems) {
		struct leap_subsystem *ss =
			leap__list_entry(pos, struct leap_subsystem, link);

		if (!ss->dying)
			leap_subsystem_destroy(ss, NULL, NULL);
	}
	leap_subsystem_destroy(t->disc, disc_destroyed, t);
	leap__target_settle(t);
}

int leap_target_stats(const struct leap_target *t,
		      struct leap_target_stats *stats)
{
	struct leap__orphans *o = (struct leap__orphans *)&t->orphans;
	struct leap_target_stats s = { 0 };

	s.connections = t->connections;
	s.accepted = t->accepted;
	s.protocol_errors = t->protocol_errors;
	s.keep_alive_expired = t->keep_alive_expired;
	pthread_mutex_lock(&o->lock);
	s.orphans = o->nr - o->nr_claims;
	s.held = o->nr_held;
	pthread_mutex_unlock(&o->lock);
	return leap__info_copy("leap_target_stats", stats, &s, sizeof(s));
}
