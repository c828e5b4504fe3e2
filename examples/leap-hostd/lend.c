/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lend.c - devices that leap-hostd owns, and lends queue pairs of
 *
 * A device that cannot be reached, or was given up, is tried again for as long
 * as the program runs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <stddef.h>
#include <string.h>

#include <leapio/lend.h>

#include "hostd.h"

#define RETRY_NS	1000000000u

struct lending {
	struct hostd *h;
	struct config_lend conf;	/* texts of the configuration */
	struct leap_lender_opts opts;
	struct leap_lender *lender;	/* NULL: none at the moment */
	struct leap_timer retry;
	struct leap_msg work;
	int work_sent;
	int said;			/* of what was complained last */
	int ending;			/* it has been destroyed;
					 * not yet gone */
};

static void lend(struct lending *x);

static void again(struct leap_timer *timer)
{
	lend((struct lending *)(void *)((char *)timer -
		offsetof(struct lending, retry)));
}

static void later(struct lending *x)
{
	x->retry.run = again;
	leap_timer_start(x->h->home, &x->retry, RETRY_NS);
}

static void ended(void *arg)
{
	struct lending *x = arg;

	x->lender = NULL;
	x->ending = 0;
	if (!x->h->stopping)
		later(x);
	else if (!--x->h->nr_lending)
		hostd_lend_stopped(x->h);
}

/* Not from the lender's own callback. */
static void give_up(struct leap_msg *msg)
{
	struct lending *x = (struct lending *)(void *)((char *)msg -
		offsetof(struct lending, work));

	x->work_sent = 0;
	if (!x->lender || x->h->stopping)
		return;
	x->ending = 1;
	leap_lender_destroy(x->lender, ended, x);
}

static void changed(struct leap_lender *lender, enum leap_lender_state state,
		    int err, void *arg)
{
	struct lending *x = arg;

	(void)lender;
	if (state == LEAP_LENDER_LIVE)
		printf("leap-hostd: lends %s at %s\n", x->conf.url,
		       x->conf.path);
	else if (state == LEAP_LENDER_LOST || err != x->said)
		fprintf(stderr, "leap-hostd: %s: %s: %s; trying again\n",
			x->conf.url, state == LEAP_LENDER_LOST ? "lost" :
			"cannot be used", strerror(-err));
	x->said = state == LEAP_LENDER_FAILED ? err : 0;
	fflush(stdout);
	if (state != LEAP_LENDER_FAILED || x->work_sent)
		return;
	x->work_sent = 1;
	x->work.run = give_up;
	leap_pollgroup_send(x->h->home, &x->work);
}

static void lend(struct lending *x)
{
	if (!leap_lender_create(x->h->home, &x->opts, &x->lender))
		return;
	fprintf(stderr, "leap-hostd: %s: %s\n", x->conf.url,
		leap_last_error());
	x->lender = NULL;
	later(x);
}

static int start_one(struct hostd *h, struct lending *x, const char **why)
{
	int rc;

	x->h = h;
	x->opts = (struct leap_lender_opts)LEAP_LENDER_OPTS_INIT;
	x->opts.url = x->conf.url;
	x->opts.path = x->conf.path;
	x->opts.max_queues = x->conf.queues;
	x->opts.kill = x->conf.kill;
	x->opts.changed = changed;
	x->opts.arg = x;
	if (x->conf.mode && config_mode(x->conf.mode, &x->opts.mode, why))
		return -EINVAL;
	if (x->conf.owner) {
		x->opts.set_owner = 1;
		if (config_owner(x->conf.owner, &x->opts.uid, &x->opts.gid,
				 why))
			return -EINVAL;
	}
	/* What is wrong with it from the start is said at once. */
	rc = leap_lender_create(h->home, &x->opts, &x->lender);
	if (rc)
		*why = leap_last_error();
	return rc;
}

int hostd_lend_start(struct hostd *h)
{
	struct config *c = &h->config;
	struct field_error err;
	const char *why;
	const json_t *one;
	size_t i;
	int rc;

	h->lendings = calloc(json_array_size(c->lends) + 1,
			     sizeof(*h->lendings));
	if (!h->lendings)
		return -ENOMEM;
	json_array_foreach(c->lends, i, one) {
		why = err.text;
		rc = fields_read(one, config_lend_fields, &h->lendings[i].conf,
				 &err);
		if (!rc)
			rc = start_one(h, &h->lendings[i], &why);
		if (rc) {
			config_blame_lend(c, (int)i, why);
			return rc;
		}
		h->nr_lending++;
	}
	return 0;
}

void hostd_lend_stop(struct hostd *h)
{
	unsigned int i, n = h->nr_lending;

	h->nr_lending++;	/* ours: it ends below at the earliest */
	for (i = 0; i < n; i++) {
		struct lending *x = &h->lendings[i];

		leap_timer_stop(h->home, &x->retry);
		if (!x->lender)
			h->nr_lending--;
		else if (!x->ending)
			leap_lender_destroy(x->lender, ended, x);
	}
	if (!--h->nr_lending)
		hostd_lend_stopped(h);
}

/* ---- control ---- */

static json_t *borrowers_json(const struct leap_lender *l)
{
	struct leap_borrower_info b = { sizeof(b) };
	json_t *all = json_array();

	for (b.id = 0; !leap_lender_next(l, b.id, &b);)
		json_array_append_new(all, json_pack(
			"{s:i, s:I, s:i, s:i, s:I, s:b}", "id", (int)b.id,
			"pid", (json_int_t)b.pid, "queues", (int)b.nr_queues,
			"maps", (int)b.nr_maps, "map_bytes",
			(json_int_t)b.map_bytes, "fencing", (int)b.fencing));
	return all;
}

static json_t *lending_json(const struct lending *x)
{
	static const char *const states[] = { "opening", "live", "lost",
					      "failed" };
	struct leap_lender_info i = { sizeof(i) };

	i.state = LEAP_LENDER_FAILED;
	if (x->lender)
		leap_lender_info(x->lender, &i);
	return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:I, "
			 "s:o}",
			 "url", x->conf.url, "path", x->conf.path,
			 "state", states[i.state < 4 ? i.state : 3],
			 "max_queues", (int)i.max_queues,
			 "queues", (int)i.nr_queues,
			 "fencing", (int)i.nr_fencing,
			 "ended", (json_int_t)i.ended,
			 "killed", (json_int_t)i.killed,
			 "refused", (json_int_t)i.refused,
			 "resets", (json_int_t)i.resets,
			 "borrowers", x->lender ? borrowers_json(x->lender) :
						  json_array());
}

json_t *hostd_lend_json(const struct hostd *h)
{
	json_t *all = json_array();
	unsigned int i;

	for (i = 0; i < h->nr_lending; i++)
		json_array_append_new(all, lending_json(&h->lendings[i]));
	return all;
}
