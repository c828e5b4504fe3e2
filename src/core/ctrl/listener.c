/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listeners: a URL turned into a transport that accepts connections for a
 * target. Keeps the transport's private memory and what transports ask about
 * their target; hands each new controller end to connect.c.
 */
#include "core/ctrl/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ctrl/upgrade.h"
#include "core/io/transport.h"
#include "util/opts.h"

#define URL_MAX 512

static void free_listener(struct leap_listener *l)
{
	free(l->url);
	free(l->advertise);
	free(l);
}

static int set_text(struct leap_listener *l,
		    const struct leap_transport_ops *ops)
{
	/* As it was given, with the address that was bound in its place. */
	const char *colon = strchr(l->url, ':');
	const char *slashes = colon && !strncmp(colon + 1, "//", 2) ? "//" : "";

	snprintf(l->text, sizeof(l->text), "%s:%s%s", ops->name, slashes,
		 l->bound);
	return 0;
}

static int start(struct leap_listener *l, const struct leap_transport_ops *ops,
		 const char *address)
{
	int err;

	l->ops = ops;
	err = ops->listen(l, address, l->bound, sizeof(l->bound));
	if (err)
		return err;
	return set_text(l, ops);
}

static int take_opts(struct leap_listener *l,
		     const struct leap_listener_opts *opts)
{
	l->opts = *opts;
	if (!l->opts.backlog)
		l->opts.backlog = 128;
	if (!l->opts.mode)
		l->opts.mode = 0600;
	l->url = strdup(opts->url);
	if (opts->advertise)
		l->advertise = strdup(opts->advertise);
	if (!l->url || (opts->advertise && !l->advertise))
		return leap__err(-ENOMEM,
				 "leap_listener_create: out of memory");
	l->opts.url = l->url;
	l->opts.advertise = l->advertise;
	return 0;
}

static int check_advertise(const char *text)
{
	const char *colon = text ? strrchr(text, ':') : NULL;

	if (!text)
		return 0;
	if (!colon || colon == text || strlen(colon + 1) > 5 || !colon[1] ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
	    !atoi(colon + 1) || atoi(colon + 1) > 65535 ||
	    strlen(text) > LEAP_DISC_TRADDR_LEN)
		return leap__err(-EINVAL,
				 "leap_listener_create: advertise \"%s\" is "
				 "not HOST:PORT",
				 text);
	return 0;
}

int leap_listener_create(struct leap_target *t,
			 const struct leap_listener_opts *opts,
			 struct leap_listener **out)
{
	const struct leap_transport_ops *ops;
	struct leap_listener_opts o;
	struct leap_listener *l;
	struct leap__kept *kept;
	const char *address, *nqn;
	char buf[URL_MAX];
	int err;

	err = leap__opts_copy(&o, sizeof(o), opts);
	if (!err && t->draining)
		err = leap__err(-EBUSY, "leap_listener_create: target drains");
	if (!err)
		err = leap__url_split("leap_listener_create", o.url, 0, buf,
				      sizeof(buf), &ops, &address, &nqn);
	if (!err && !ops->listen)
		err = leap__err(-EINVAL, "leap_listener_create: %s: is for "
				"hosts alone, nothing listens there",
				ops->name);
	if (!err)
		err = check_advertise(o.advertise);
	if (err)
		return err;
	l = calloc(1, sizeof(*l) + ops->listener_bytes);
	if (!l)
		return leap__err(-ENOMEM,
				 "leap_listener_create: out of memory");
	l->target = t;
	l->portid = t->next_portid++;
	if (nqn)
		l->ss = leap_subsystem_find(t, nqn);
	err = take_opts(l, &o);
	kept = err ? NULL : leap__kept_take(t, l);
	l->saved = kept ? &kept->saved : NULL;
	if (!err)
		err = start(l, ops, address);
	l->saved = NULL;
	leap__kept_free(kept);
	if (err) {
		free_listener(l);
		return err;
	}
	leap__list_push_back(&t->listeners, &l->link);
	leap__target_changed(t);
	*out = l;
	return 0;
}

void leap_listener_destroy(struct leap_listener *l)
{
	struct leap__list *pos;
	struct leap_target *t;

	if (!l)
		return;
	t = l->target;
	if (l->ops)
		l->ops->unlisten(l);
	leap__list_remove(&l->link);
	/* Connections stay, and must not look back. */
	leap__list_for_each(pos, &t->conns) {
		struct leap__conn *conn =
			leap__list_entry(pos, struct leap__conn, link);

		if (conn->vqp && conn->vqp->listener == l)
			conn->vqp->listener = NULL;
	}
	free_listener(l);
	leap__target_changed(t);
}

const char *leap_listener_url(const struct leap_listener *l)
{
	return l->text;
}

struct leap_listener *leap_listener_next(const struct leap_target *t,
					 const struct leap_listener *after)
{
	const struct leap__list *next =
		after ? after->link.next : t->listeners.next;

	if (next == &t->listeners)
		return NULL;
	return leap__list_entry(next, struct leap_listener, link);
}

/* ---- for transports ---- */

int leap_listener_room(const struct leap_listener *l)
{
	return leap__conn_room(l->target);
}

int leap_listener_accepted(struct leap_listener *l, struct leap_vqp *vqp)
{
	return leap__conn_accept(l, vqp);
}

void *leap_listener_priv(struct leap_listener *l)
{
	return l->priv;
}

struct leap_pollgroup *leap_listener_pollgroup(const struct leap_listener *l)
{
	return l->target->home;
}

struct leap_subsystem *
leap_listener_subsystem(const struct leap_listener *l)
{
	return l->ss;
}

const struct leap_listener_opts *
leap_listener_opts(const struct leap_listener *l)
{
	return &l->opts;
}

const struct leap_target_opts *
leap_listener_target_opts(const struct leap_listener *l)
{
	return &l->target->opts;
}

void leap__listener_keeps(struct leap_listener *l,
			  const struct leap__keep_ops *ops)
{
	l->keep = ops;
}

const struct leap__saved *leap__listener_saved(const struct leap_listener *l)
{
	return l->saved;
}
