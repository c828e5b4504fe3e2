/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay: a namespace, or a window of one, of a controller elsewhere. A leaf.
 *
 *	relay:URL[nsid=N,start=BLOCK,blocks=N,queues=N,depth=N,hostnqn=NQN,
 *	          loss_ms=N,reconnect_ms=N]
 *
 * Before it opens, somebody has to look at the far namespace (look.c):
 * leap_relay_open does that in the caller's poll group; opened from text, in a
 * poll group that lasts as long as the look.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/bdev.h"
#include "block/relay/relay.h"
#include "core/io/pollgroup.h"
#include "util/atomic.h"
#include "util/err.h"
#include "util/opts.h"

#define LOSS_MS		30000u
#define RECONNECT_MS	1000u
#define TEXT_MAX	1024
#define MAX_NLB		65536u		/* that a field can say */

/* A table of its own for a stack whose far end has been looked at. */
struct looked_at {
	struct leap_bdev_ops ops;	/* first */
	struct leap__far far;
	struct leap_target *target;
	struct looked_at **holder;	/* to be told when it is freed */
};

/* ---- the layer ---- */

static int u32_opt(struct leap_bdev *bdev, const char *key, uint32_t fallback,
		   uint32_t max, uint32_t *out)
{
	uint64_t v;
	int err = leap_bdev_opt_u64(bdev, key, fallback, max, &v);

	*out = err ? 0 : (uint32_t)v;
	return err;
}

int leap__relay_opts(struct leap_bdev *bdev, struct leap__relay *relay)
{
	int err;

	relay->url = leap_bdev_arg(bdev);
	if (!relay->url)
		return leap__err(-EINVAL, "%s: a URL is missing, as in "
				 "relay:tcp://HOST:PORT/NQN", relay->name);
	err = leap_bdev_opt_str(bdev, "hostnqn", NULL, &relay->hostnqn);
	if (!err)
		err = u32_opt(bdev, "nsid", 1, LEAP_NSID_ALL - 1, &relay->nsid);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "start", 0, UINT64_MAX,
					&relay->start);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "blocks", 0, UINT64_MAX,
					&relay->blocks);
	if (!err)
		err = u32_opt(bdev, "queues", 1, 64, &relay->nr_queues);
	if (!err)
		err = u32_opt(bdev, "depth", 128, 65536, &relay->depth);
	if (!err)
		err = u32_opt(bdev, "loss_ms", LOSS_MS, UINT32_MAX - 1,
			      &relay->loss_ms);
	if (!err)
		err = u32_opt(bdev, "reconnect_ms", RECONNECT_MS, 3600000,
			      &relay->reconnect_ms);
	if (!err && (!relay->nsid || !relay->nr_queues || relay->depth < 2 ||
		     !relay->reconnect_ms))
		err = leap__err(-EINVAL, "%s: nsid, queues and reconnect_ms "
				"are at least 1, depth 2", relay->name);
	return err;
}

/*
 * Type 1 tags each block with the low half of its LBA, so that a window shows
 * tags that are not its own; and the bytes beside the blocks have no place in a
 * stack, whatever is in them.
 */
static int check_format(const struct leap__relay *relay)
{
	if (relay->far.pi_type == 1)
		return leap__err(-EOPNOTSUPP, "%s: namespace %u has "
			"protection information type 1, whose reference tags "
			"are its own LBAs", relay->name, relay->nsid);
	if (relay->far.metadata_bytes)
		return leap__err(-EOPNOTSUPP, "%s: namespace %u has %u "
			"bytes of metadata per block%s, which nobody here "
			"carries", relay->name, relay->nsid,
			relay->far.metadata_bytes, relay->far.pi_type ?
			" and protection information" : "");
	if (relay->far.block_bytes != 512 && relay->far.block_bytes != 4096)
		return leap__err(-EOPNOTSUPP, "%s: namespace %u has blocks "
			"of %u bytes, not 512 or 4096", relay->name,
			relay->nsid, relay->far.block_bytes);
	return 0;
}

static int check_window(const struct leap__relay *relay)
{
	uint64_t far = relay->far.nr_blocks;

	if (relay->far.caps & LEAP_BDEV_VECTOR &&
	    (relay->start || relay->blocks))
		return leap__err(-EINVAL, "%s: no window of an open-channel "
				 "drive: its addresses have holes",
				 relay->name);
	if (relay->start < far && relay->blocks <= far - relay->start)
		return 0;
	return leap__err(-EINVAL, "%s: %llu blocks at %llu are not in the "
			 "far namespace's %llu", relay->name,
			 (unsigned long long)relay->blocks,
			 (unsigned long long)relay->start,
			 (unsigned long long)far);
}

int leap__relay_describe(struct leap_bdev *bdev, struct leap__relay *relay)
{
	int err = check_format(relay);

	if (!err)
		err = check_window(relay);
	if (!err)
		err = leap__relay_zones_open(bdev, relay);
	if (err)
		return err;
	relay->shift = (uint32_t)__builtin_ctz(relay->far.block_bytes);
	relay->max_blocks = relay->far.max_bytes >> relay->shift;
	if (relay->max_blocks > MAX_NLB)
		relay->max_blocks = MAX_NLB;
	leap_bdev_set(bdev, relay->far.block_bytes, relay->blocks ?
		      relay->blocks : relay->far.nr_blocks - relay->start,
		      relay->far.caps);
	return 0;
}

int leap__relay_note_make(struct leap_bdev *bdev, struct leap__relay *relay)
{
	relay->note = calloc(1, sizeof(*relay->note));
	if (!relay->note)
		return leap__err(-ENOMEM, "%s: out of memory", relay->name);
	relay->note->msg.run = leap__relay_note_run;
	relay->note->bdev = bdev;
	relay->note->pg = leap_bdev_pollgroup(bdev);
	return 0;
}

void leap__relay_note_drop(struct leap__relay *relay)
{
	struct leap__relay_note *note = relay->note;

	if (!note)
		return;
	relay->note = NULL;
	note->bdev = NULL;
	/* Nobody sends it any more; one that is on its way frees it. */
	if (!leap__exchange(&note->sent, 1u))
		free(note);
}

static int relay_open(struct leap_bdev *bdev)
{
	struct leap__relay *relay = leap_bdev_priv(bdev);
	struct looked_at *known = NULL;
	int err;

	relay->name = "relay";
	err = leap__relay_opts(bdev, relay);
	if (err)
		return err;
	if (bdev->table != &leap__relay_ops) {
		known = (struct looked_at *)bdev->table;
		relay->target = known->target;
		relay->far = known->far;
	} else {
		err = leap__relay_look_and_wait(relay, &relay->far);
	}
	if (!err)
		err = leap__relay_describe(bdev, relay);
	return err ? err : leap__relay_note_make(bdev, relay);
}

static void relay_close(struct leap_bdev *bdev)
{
	leap__relay_note_drop(leap_bdev_priv(bdev));
	if (bdev->table != &leap__relay_ops) {
		struct looked_at *known = (struct looked_at *)bdev->table;

		bdev->table = &leap__relay_ops;
		if (known->holder)
			*known->holder = NULL;
		free(known);
	}
}

int leap__relay_chan_open(struct leap_chan *chan)
{
	struct leap__link **link = leap_chan_priv(chan);

	return leap__relay_link_open(leap_bdev_priv(leap_chan_bdev(chan)),
				     leap_chan_pollgroup(chan), link);
}

void leap__relay_chan_close(struct leap_chan *chan)
{
	struct leap__link **link = leap_chan_priv(chan);

	leap__relay_link_close(*link);
}

void leap__relay_bio(struct leap_chan *chan, struct leap_bio *bio)
{
	struct leap__link **link = leap_chan_priv(chan);

	leap__relay_submit(*link, bio);
}

void leap__relay_chan_let_go(struct leap_chan *chan,
			     const struct leap_dmabuf *buf)
{
	struct leap__link **link = leap_chan_priv(chan);

	leap__relay_let_go(*link, buf);
}

const struct leap_bdev_ops leap__relay_ops = {
	.size = sizeof(struct leap_bdev_ops),
	.name = "relay",
	.help = "relay:URL       a namespace served elsewhere\n"
		LEAP__RELAY_HELP,
	.bdev_bytes = sizeof(struct leap__relay),
	.chan_bytes = sizeof(struct leap__link *),
	.bio_bytes = sizeof(struct leap__rbio),
	.open = relay_open,
	.close = relay_close,
	.chan_open = leap__relay_chan_open,
	.chan_close = leap__relay_chan_close,
	.submit = leap__relay_bio,
	.admin = leap__relay_admin,
	.let_go = leap__relay_chan_let_go,
};

/* ---- opening from options ---- */

struct opening {
	struct leap__relay_looking look;	/* first */
	struct looked_at *known;
	struct leap_pollgroup *pg;
	void (*opened)(int err, struct leap_bdev *bdev, void *arg);
	void *arg;
	struct leap__relay relay;	/* what a look has to know */
	char text[TEXT_MAX];
};

static void opening_looked(struct leap__relay_looking *look)
{
	struct opening *o = (struct opening *)look;
	const struct leap_bdev_ops *own[] = { &o->known->ops, NULL };
	struct leap_bdev *bdev = NULL;
	int err = look->err;

	if (err)
		leap__relay_look_error(&o->relay, look);
	o->known->far = look->far;
	if (!err)
		err = leap_bdev_open_with(o->pg, o->text, own, &bdev);
	/* The stack frees it from here on. One that opened the relay and
	 * failed above it has freed it already. */
	if (bdev) {
		o->known->holder = NULL;
		o->known = NULL;
	}
	leap__pollgroup_release(o->pg);
	o->opened(err, bdev, o->arg);
	free((char *)o->relay.url);
	free((char *)o->relay.hostnqn);
	free(o->known);
	free(o);
}

static int opening_text(struct opening *o, const struct leap_relay_opts *opts)
{
	const struct leap__relay *r = &o->relay;
	int n;

	n = snprintf(o->text, sizeof(o->text),
		     "%s%srelay:\"%s\"[nsid=%u,start=%llu,blocks=%llu,"
		     "queues=%u,depth=%u,loss_ms=%u,reconnect_ms=%u%s%s%s]",
		     opts->above ? opts->above : "", opts->above ? " -> " : "",
		     r->url, r->nsid, (unsigned long long)r->start,
		     (unsigned long long)r->blocks, r->nr_queues, r->depth,
		     r->loss_ms, r->reconnect_ms, r->hostnqn ? ",hostnqn=\"" :
		     "", r->hostnqn ? r->hostnqn : "", r->hostnqn ? "\"" : "");
	if (n < 0 || n >= (int)sizeof(o->text))
		return leap__err(-EINVAL, "leap_relay_open: options of more "
				 "than %d bytes", TEXT_MAX);
	return 0;
}

static int opening_fill(struct opening *o, const struct leap_relay_opts *opts)
{
	struct leap__relay *r = &o->relay;

	if (!opts->url)
		return leap__err(-EINVAL, "leap_relay_open: no url");
	r->name = "relay";
	r->url = strdup(opts->url);
	r->hostnqn = opts->hostnqn ? strdup(opts->hostnqn) : NULL;
	o->known = calloc(1, sizeof(*o->known));
	if (!r->url || (opts->hostnqn && !r->hostnqn) || !o->known)
		return leap__err(-ENOMEM, "leap_relay_open: out of memory");
	o->known->ops = leap__relay_ops;
	o->known->holder = &o->known;
	o->known->target = r->target = opts->target;
	r->nsid = opts->nsid ? opts->nsid : 1;
	r->start = opts->start_block;
	r->blocks = opts->nr_blocks;
	r->nr_queues = opts->nr_queues ? opts->nr_queues : 1;
	r->depth = opts->depth ? opts->depth : 128;
	r->loss_ms = opts->loss_ms ? opts->loss_ms : LOSS_MS;
	r->reconnect_ms = opts->reconnect_ms ? opts->reconnect_ms :
		RECONNECT_MS;
	return opening_text(o, opts);
}

int leap_relay_open(struct leap_pollgroup *pg,
		    const struct leap_relay_opts *user,
		    void (*opened)(int err, struct leap_bdev *bdev, void *arg),
		    void *arg)
{
	struct leap_relay_opts opts;
	struct opening *o;
	int err;

	err = leap__opts_copy(&opts, sizeof(opts), user);
	if (err)
		return err;
	o = calloc(1, sizeof(*o));
	if (!o)
		return leap__err(-ENOMEM, "leap_relay_open: out of memory");
	o->pg = pg;
	o->opened = opened;
	o->arg = arg;
	o->look.done = opening_looked;
	err = opening_fill(o, &opts);
	if (!err)
		err = leap__relay_look_start(&o->look, pg, &o->relay);
	if (err) {
		free((char *)o->relay.url);
		free((char *)o->relay.hostnqn);
		free(o->known);
		free(o);
		return err;
	}
	leap__pollgroup_hold(pg);
	return 0;
}

/* ---- questions ---- */

static const struct leap_bdev *find(const struct leap_bdev *bdev)
{
	const struct leap_bdev *found;
	uint32_t i;

	if (bdev->ops.submit == leap__relay_bio)
		return bdev;
	for (i = 0; i < bdev->nr_children; i++) {
		found = find(bdev->children[i]);
		if (found)
			return found;
	}
	return NULL;
}

int leap_relay_info(const struct leap_bdev *bdev, struct leap_relay_info *info)
{
	struct leap_relay_info now = { sizeof(now) };
	size_t size = info->size;
	struct leap__relay *r;

	if (size < sizeof(size) || size > sizeof(now))
		return leap__err(-EINVAL, "leap_relay_info: size %zu", size);
	bdev = find(bdev);
	if (!bdev)
		return leap__err(-ENOENT, "leap_relay_info: no relay in it");
	r = leap_bdev_priv(bdev);
	now.groups_live = leap__load_relaxed(&r->groups_live);
	now.lost = leap__load_relaxed(&r->lost);
	now.reconnects = leap__load_relaxed(&r->reconnects);
	now.held = leap__load_relaxed(&r->held);
	now.split = leap__load_relaxed(&r->split);
	now.refused = leap__load_relaxed(&r->refused);
	now.bounced = leap__load_relaxed(&r->bounced);
	memcpy(info, &now, size);
	info->size = size;
	return 0;
}
