/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Subsystems: a name, the hosts that may use it, its namespaces by NSID and
 * its controllers by CNTLID. The discovery service is one without namespaces.
 * Keeps the tables; what is in them is ns.c's and ctrl.c's.
 */
#include "core/ctrl/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/info.h"
#include "util/opts.h"
#include "util/sha1.h"

#define MAX_NSID_LIMIT (1u << 20)

static int check_text(const char *what, const char *s, size_t max)
{
	size_t i, len = strlen(s);

	if (len > max)
		return leap__err(-EINVAL,
			"leap_subsystem_create: %s of %zu bytes exceeds %zu",
			what, len, max);
	for (i = 0; i < len; i++)
		if (s[i] < 0x20 || s[i] > 0x7e)
			return leap__err(-EINVAL,
					 "leap_subsystem_create: %s is not "
					 "printable ASCII",
					 what);
	return 0;
}

/* The same for the same NQN, on every machine. */
static void derive_serial(struct leap_subsystem *ss)
{
	uint8_t hash[LEAP__SHA1_LEN];
	struct leap__sha1 sha;

	leap__sha1_init(&sha);
	leap__sha1_add(&sha, ss->nqn, strlen(ss->nqn));
	leap__sha1_end(&sha, hash);
	snprintf(ss->serial, sizeof(ss->serial),
		 "%02x%02x%02x%02x%02x%02x%02x%02x", hash[0], hash[1], hash[2],
		 hash[3], hash[4], hash[5], hash[6], hash[7]);
}

static int take_opts(struct leap_subsystem *ss,
		     const struct leap_subsystem_opts *o)
{
	int err;

	if (!o->nqn || leap_nqn_check(o->nqn, strlen(o->nqn) + 1))
		return leap__err(-EINVAL, "leap_subsystem_create: nqn: %s",
				 o->nqn ? leap_last_error() : "not given");
	err = check_text("serial", o->serial ? o->serial : "", LEAP_SN_LEN);
	if (!err)
		err = check_text("model", o->model ? o->model : "",
				 LEAP_MN_LEN);
	if (!err && o->max_nsid > MAX_NSID_LIMIT)
		err = leap__err(-EINVAL,
			"leap_subsystem_create: max_nsid %u exceeds %u",
			o->max_nsid, MAX_NSID_LIMIT);
	if (!err && o->max_ctrls > LEAP_CNTLID_MAX)
		err = leap__err(-EINVAL,
			"leap_subsystem_create: max_ctrls %u exceeds %u",
			o->max_ctrls, LEAP_CNTLID_MAX);
	if (err)
		return err;
	strcpy(ss->nqn, o->nqn);
	strcpy(ss->model, o->model ? o->model : "libleapio");
	if (o->serial)
		strcpy(ss->serial, o->serial);
	else
		derive_serial(ss);
	ss->allow_any_host = o->allow_any_host;
	ss->max_nsid = o->max_nsid ? o->max_nsid : 1024;
	ss->max_ctrls = o->max_ctrls ? o->max_ctrls : 1024;
	return 0;
}

static void free_subsystem(struct leap_subsystem *ss)
{
	struct leap__list *item;
	uint32_t i;

	while ((item = leap__list_pop(&ss->hosts)))
		free(leap__list_entry(item, struct leap__host, link));
	for (i = 0; i < LEAP__MAX_GROUPS; i++)
		free(ss->ioss[i]);
	free(ss->ns);
	free(ss);
}

static int add_ioss(struct leap_subsystem *ss, uint32_t i)
{
	struct leap__ioss *s = calloc(1, sizeof(*s) +
				(ss->max_nsid + 1) * sizeof(s->ns[0]));

	if (!s)
		return -ENOMEM;
	s->subsystem = ss;
	s->max_nsid = ss->max_nsid;
	ss->ioss[i] = s;
	return 0;
}

int leap__subsystem_add_group(struct leap_subsystem *ss, uint32_t i)
{
	int err = add_ioss(ss, i);
	uint32_t nsid;

	for (nsid = 1; !err && nsid <= ss->max_nsid; nsid++)
		if (ss->ns[nsid])
			err = leap__ns_add_group(ss->ns[nsid], i);
	return err;
}

int leap__subsystem_make(struct leap_target *t,
			 const struct leap_subsystem_opts *opts, int discovery,
			 struct leap_subsystem **out)
{
	struct leap_subsystem *ss = calloc(1, sizeof(*ss));
	uint32_t i;
	int err;

	if (!ss)
		return leap__err(-ENOMEM,
				 "leap_subsystem_create: out of memory");
	ss->target = t;
	ss->discovery = discovery;
	ss->created_ns = leap_pollgroup_now_ns(t->home);
	leap__list_init(&ss->link);
	leap__list_init(&ss->hosts);
	leap__list_init(&ss->ctrls);
	err = take_opts(ss, opts);
	if (!err) {
		ss->ns = calloc(ss->max_nsid + 1, sizeof(struct leap__ns *));
		for (i = 0; ss->ns && i < t->nr_groups && !err; i++)
			err = add_ioss(ss, i);
		if (!ss->ns || err)
			err = leap__err(-ENOMEM,
				"leap_subsystem_create: out of memory");
	}
	if (err) {
		free_subsystem(ss);
		return err;
	}
	*out = ss;
	return 0;
}

int leap_subsystem_create(struct leap_target *t,
			  const struct leap_subsystem_opts *opts,
			  struct leap_subsystem **out)
{
	struct leap_subsystem_opts o;
	struct leap_subsystem *ss;
	int err;

	err = leap__opts_copy(&o, sizeof(o), opts);
	if (!err && o.nqn && (leap_subsystem_find(t, o.nqn) ||
			      !strcmp(o.nqn, LEAP_NQN_DISCOVERY)))
		err = leap__err(-EEXIST,
			"leap_subsystem_create: \"%s\" exists already", o.nqn);
	if (!err && t->destroying)
		err = leap__err(-EINVAL,
			"leap_subsystem_create: the target is being destroyed");
	if (!err)
		err = leap__subsystem_make(t, &o, 0, &ss);
	if (err)
		return err;
	leap__list_push_back(&t->subsystems, &ss->link);
	leap__target_changed(t);
	*out = ss;
	return 0;
}

/* ---- the end ---- */

void leap__subsystem_settle(struct leap_subsystem *ss)
{
	void (*destroyed)(void *arg) = ss->destroyed;
	void *arg = ss->destroyed_arg;
	struct leap_target *t = ss->target;

	if (!ss->dying || ss->nr_ctrls || ss->nr_ns)
		return;
	leap__list_remove(&ss->link);
	if (ss->discovery)
		t->disc = NULL;
	free_subsystem(ss);
	if (destroyed)
		destroyed(arg);
	leap__target_settle(t);
}

static void settle_in_poll(struct leap_timer *timer)
{
	leap__subsystem_settle(leap__list_entry(timer, struct leap_subsystem,
						settle_timer));
}

/* Listeners that are a device of this subsystem end with it. */
static void close_listeners(struct leap_subsystem *ss)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &ss->target->listeners) {
		struct leap_listener *l =
			leap__list_entry(pos, struct leap_listener, link);

		if (l->ss != ss)
			continue;
		l->ss = NULL;
		if (l->ops)
			l->ops->unlisten(l);
		l->ops = NULL;
	}
}

void leap_subsystem_destroy(struct leap_subsystem *ss, void (*done)(void *arg),
			    void *arg)
{
	struct leap__list *pos, *tmp;
	uint32_t nsid;

	if (!ss)
		return;
	ss->dying = 1;
	ss->destroyed = done;
	ss->destroyed_arg = arg;
	close_listeners(ss);
	leap__list_for_each_safe(pos, tmp, &ss->ctrls)
		leap__ctrl_end(leap__list_entry(pos, struct leap__ctrl, link));
	for (nsid = 1; nsid <= ss->max_nsid; nsid++)
		if (ss->ns[nsid])
			leap_ns_remove(ss, nsid, NULL, NULL);
	leap__target_changed(ss->target);
	/* Controllers and namespaces that go later look themselves. */
	if (!ss->nr_ctrls && !ss->nr_ns) {
		ss->settle_timer.run = settle_in_poll;
		leap_timer_start(ss->target->home, &ss->settle_timer, 0);
	}
}

/* ---- walking ---- */

struct leap_subsystem *leap_subsystem_find(const struct leap_target *t,
					   const char *nqn)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &t->subsystems) {
		struct leap_subsystem *ss =
			leap__list_entry(pos, struct leap_subsystem, link);

		if (!strcmp(ss->nqn, nqn))
			return ss;
	}
	return NULL;
}

struct leap_subsystem *leap_subsystem_next(const struct leap_target *t,
					   const struct leap_subsystem *after)
{
	const struct leap__list *next =
		after ? after->link.next : t->subsystems.next;

	if (next == &t->subsystems)
		return NULL;
	return leap__list_entry(next, struct leap_subsystem, link);
}

const char *leap_subsystem_nqn(const struct leap_subsystem *ss)
{
	return ss->nqn;
}

/* ---- hosts ---- */

static struct leap__host *find_host(const struct leap_subsystem *ss,
				    const char *nqn)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &ss->hosts) {
		struct leap__host *h =
			leap__list_entry(pos, struct leap__host, link);

		if (!strcmp(h->nqn, nqn))
			return h;
	}
	return NULL;
}

int leap__subsystem_allows(const struct leap_subsystem *ss, const char *nqn)
{
	return ss->allow_any_host || find_host(ss, nqn);
}

int leap_subsystem_allow(struct leap_subsystem *ss, const char *hostnqn)
{
	struct leap__host *h;

	if (leap_nqn_check(hostnqn, strlen(hostnqn) + 1))
		return leap__err(-EINVAL, "leap_subsystem_allow: %s",
				 leap_last_error());
	if (find_host(ss, hostnqn))
		return 0;
	h = calloc(1, sizeof(*h));
	if (!h)
		return leap__err(-ENOMEM,
				 "leap_subsystem_allow: out of memory");
	strcpy(h->nqn, hostnqn);
	leap__list_push_back(&ss->hosts, &h->link);
	leap__target_changed(ss->target);
	return 0;
}

int leap_subsystem_deny(struct leap_subsystem *ss, const char *hostnqn)
{
	struct leap__host *h = find_host(ss, hostnqn);
	struct leap__list *pos, *tmp;

	if (!h)
		return leap__err(-ENOENT,
			"leap_subsystem_deny: \"%s\" is not on the list",
			hostnqn);
	leap__list_remove(&h->link);
	free(h);
	if (!ss->allow_any_host)
		leap__list_for_each_safe(pos, tmp, &ss->ctrls) {
			struct leap__ctrl *c =
				leap__list_entry(pos, struct leap__ctrl, link);

			if (!strcmp(c->hostnqn, hostnqn))
				leap__ctrl_end(c);
		}
	leap__target_changed(ss->target);
	return 0;
}

/* ---- controllers ---- */

struct leap__ctrl *leap__subsystem_ctrl(const struct leap_subsystem *ss,
					uint32_t cntlid)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &ss->ctrls) {
		struct leap__ctrl *c =
			leap__list_entry(pos, struct leap__ctrl, link);

		if (c->cntlid == cntlid && !c->dead)
			return c;
	}
	return NULL;
}

int leap_ctrl_next(const struct leap_target *t,
		   const struct leap_subsystem *ss, uint32_t after,
		   struct leap_ctrl_info *info)
{
	const struct leap__ctrl *best = NULL;
	struct leap_ctrl_info i;
	struct leap__list *pos;

	if (!ss)
		ss = t->disc;
	leap__list_for_each(pos, &ss->ctrls) {
		struct leap__ctrl *c =
			leap__list_entry(pos, struct leap__ctrl, link);

		if (!c->dead && c->cntlid > after &&
		    (!best || c->cntlid < best->cntlid))
			best = c;
	}
	if (!best)
		return -ENOENT;
	memset(&i, 0, sizeof(i));
	i.cntlid = best->cntlid;
	i.nr_io_queues = (uint16_t)best->nr_ioqs;
	i.kato_ms = best->kato_ms;
	memcpy(i.hostnqn, best->hostnqn, sizeof(i.hostnqn));
	memcpy(i.hostid, best->hostid, sizeof(i.hostid));
	memcpy(i.peer, best->peer, sizeof(i.peer));
	i.age_ns = leap_pollgroup_now_ns(t->home) - best->created_ns;
	return leap__info_copy("leap_ctrl_next", info, &i, sizeof(i));
}

int leap_ctrl_disconnect(struct leap_subsystem *ss, uint16_t cntlid)
{
	struct leap__ctrl *c = leap__subsystem_ctrl(ss, cntlid);

	if (!c)
		return leap__err(-ENOENT,
			"leap_ctrl_disconnect: no controller %u", cntlid);
	leap__ctrl_end(c);
	return 0;
}
