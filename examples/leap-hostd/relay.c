/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay.c - drives whose runtime cannot reach guest memory: leap-hostd serves
 * their queues itself, and hands each command on to a socp elsewhere
 *
 * Such a namespace is a relay and nothing else: what could block, or has locks
 * that a successor would have to wait for, stays on the other side. A far end
 * that cannot be reached is tried again for as long as the program runs; its
 * namespace is there when it has been looked at once.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/relay.h>

#include "hostd.h"

#define RETRY_NS	1000000000u

struct relayed {
	struct hostd *h;
	struct leap_subsystem *ss;
	struct config_ns ns;		/* texts of the configuration */
	struct leap_relay_opts opts;	/* texts of @text */
	char *text;
	struct leap_timer retry;
	int opening;
	int complained;
	struct relayed *next;
};

/* ---- the stack's text ---- */

static const char form[] = "expected [LAYER -> ]relay:URL[nsid=N,...]: what "
			   "leap-hostd serves itself is served elsewhere";

static int number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text < '0' || *text > '9' || *end || errno || *out > max ?
	       -EINVAL : 0;
}

static int one_option(struct leap_relay_opts *o, const char *key, char *value)
{
	const struct {
		const char *key;
		uint32_t *to;
	} small[] = {
		{ "nsid", &o->nsid }, { "queues", &o->nr_queues },
		{ "depth", &o->depth }, { "loss_ms", &o->loss_ms },
		{ "reconnect_ms", &o->reconnect_ms },
	};
	uint64_t n = 0;
	size_t i;

	if (!strcmp(key, "hostnqn")) {
		o->hostnqn = value;
		return 0;
	}
	if (!strcmp(key, "start"))
		return number(value, UINT64_MAX, &o->start_block);
	if (!strcmp(key, "blocks"))
		return number(value, UINT64_MAX, &o->nr_blocks);
	for (i = 0; i < sizeof(small) / sizeof(*small); i++)
		if (!strcmp(key, small[i].key)) {
			/* 0 would be a default there. */
			if (number(value, UINT32_MAX - 1, &n) ||
			    (!n && small[i].to != &o->loss_ms))
				return -EINVAL;
			*small[i].to = n ? (uint32_t)n : 1;
			return 0;
		}
	return -EINVAL;
}

/* "nsid=1,queues=2" */
static int options(struct leap_relay_opts *o, char *text)
{
	char *eq, *next;

	for (; text && *text; text = next) {
		next = strchr(text, ',');
		if (next)
			*next++ = 0;
		eq = strchr(text, '=');
		if (!eq)
			return -EINVAL;
		*eq = 0;
		if (one_option(o, text, eq + 1))
			return -EINVAL;
	}
	return 0;
}

static int read_stack(struct relayed *x)
{
	static const char name[] = "relay:";
	size_t len = strlen(x->ns.stack);
	char *url, *arrow, *open = NULL;

	x->opts = (struct leap_relay_opts)LEAP_RELAY_OPTS_INIT;
	x->text = strdup(x->ns.stack);
	if (!x->text)
		return -ENOMEM;
	url = strstr(x->text, name);
	if (!url)
		return -EINVAL;
	/* The last pair of brackets; the address may have one of its own. */
	if (x->text[len - 1] == ']') {
		x->text[len - 1] = 0;
		open = strrchr(x->text, '[');
		if (!open || open < url)
			return -EINVAL;
		*open++ = 0;
	}
	if (url > x->text) {
		arrow = url;
		while (arrow > x->text && arrow[-1] == ' ')
			arrow--;
		if (arrow - x->text < 3 || strncmp(arrow - 2, "->", 2))
			return -EINVAL;
		arrow -= 2;
		while (arrow > x->text && arrow[-1] == ' ')
			arrow--;
		*arrow = 0;
		x->opts.above = x->text;
	}
	url += sizeof(name) - 1;
	x->opts.url = url;
	return *url ? options(&x->opts, open) : -EINVAL;
}

/* ---- one namespace ---- */

static int open_relay(struct relayed *x);
static void again(struct leap_timer *timer);

static void failed(struct relayed *x, const char *why)
{
	if (!x->complained)
		fprintf(stderr, "leap-hostd: %s: %s; trying again\n",
			x->ns.stack, why);
	x->complained = 1;
	x->retry.run = again;
	if (!x->h->stopping)
		leap_timer_start(x->h->home, &x->retry, RETRY_NS);
}

static void again(struct leap_timer *timer)
{
	struct relayed *x = (struct relayed *)(void *)((char *)timer -
		offsetof(struct relayed, retry));

	if (open_relay(x))
		failed(x, leap_last_error());
}

/* Nothing is under way in it any more. */
static void settle(struct relayed *x)
{
	x->opening = 0;
	if (x->h->stopping)
		hostd_relay_stop(x->h);
}

static void added(int err, void *arg)
{
	struct relayed *x = arg;

	if (err)
		failed(x, strerror(-err));
	else if (!x->h->stopping)
		printf("leap-hostd: relays %s\n", x->ns.stack);
	fflush(stdout);
	settle(x);
}

static void opened(int err, struct leap_bdev *bdev, void *arg)
{
	struct leap_ns_opts opts = LEAP_NS_OPTS_INIT;
	struct relayed *x = arg;

	if (err || x->h->stopping) {
		if (bdev)
			leap_bdev_close(bdev);
		failed(x, leap_last_error());
		settle(x);
		return;
	}
	opts.bdev = bdev;
	opts.nsid = x->ns.nsid;
	opts.block_bytes = x->ns.block_bytes;
	opts.read_only = x->ns.read_only;
	memcpy(opts.uuid, x->ns.uuid, sizeof(opts.uuid));
	if (leap_ns_add(x->ss, &opts, added, x) > 0)
		return;
	leap_bdev_close(bdev);
	failed(x, leap_last_error());
	settle(x);
}

/* 0, perhaps to be tried again; -EINVAL it will never open. */
static int open_relay(struct relayed *x)
{
	int rc;

	x->opening = 1;
	rc = leap_relay_open(x->h->home, &x->opts, opened, x);
	if (!rc)
		return 0;
	x->opening = 0;
	if (rc == -EINVAL || rc == -EPROTONOSUPPORT)
		return -EINVAL;
	failed(x, leap_last_error());
	return 0;
}

/* ---- all of them ---- */

static int ensure_target(struct hostd *h)
{
	struct leap_target_opts opts = LEAP_TARGET_OPTS_INIT;

	if (h->own)
		return 0;
	opts.name = "leap-hostd";
	return leap_target_create(h->home, &opts, &h->own);
}

static int start_ns(struct hostd *h, struct leap_subsystem *ss,
		    const json_t *one, const char **why)
{
	struct relayed *x = calloc(1, sizeof(*x));
	struct field_error err;
	int rc;

	if (!x)
		return -ENOMEM;
	x->h = h;
	x->ss = ss;
	x->next = h->relayed;
	h->relayed = x;
	*why = form;
	rc = fields_read(one, config_ns_fields, &x->ns, &err);
	if (rc)
		return rc;
	rc = read_stack(x);
	*why = form;
	if (!rc) {
		rc = open_relay(x);
		*why = leap_last_error();
	}
	return rc;
}

int hostd_relay_add(struct hostd *h, const struct config_subsystem *s,
		    int index)
{
	struct leap_subsystem_opts opts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_subsystem *ss;
	const char *why = "out of memory";
	const json_t *one;
	size_t i;
	int rc;

	opts.nqn = s->nqn;
	opts.serial = s->serial;
	opts.model = s->model;
	opts.allow_any_host = 1;
	rc = ensure_target(h);
	if (!rc)
		rc = leap_subsystem_create(h->own, &opts, &ss);
	if (rc) {
		config_blame_ns(&h->config, index, -1, leap_last_error());
		return rc;
	}
	json_array_foreach(s->namespaces, i, one) {
		rc = start_ns(h, ss, one, &why);
		if (rc) {
			config_blame_ns(&h->config, index, (int)i, why);
			return rc;
		}
	}
	return 0;
}

static void own_gone(void *arg)
{
	struct hostd *h = arg;
	struct relayed *x;

	h->own = NULL;
	while ((x = h->relayed)) {
		h->relayed = x->next;
		free(x->text);
		free(x);
	}
	hostd_relay_stopped(h);
}

void hostd_relay_stop(struct hostd *h)
{
	struct relayed *x;

	if (!h->own) {
		hostd_relay_stopped(h);
		return;
	}
	for (x = h->relayed; x; x = x->next) {
		leap_timer_stop(h->home, &x->retry);
		if (x->opening)
			return;		/* settle comes here again */
	}
	leap_target_destroy(h->own, own_gone, h);
}
