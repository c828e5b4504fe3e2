/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of another machine, as ranges of an address space: the user's end of
 * farmem.h. Owns the options, what the share has said of itself, and the end of
 * all lanes (farmem_lane.c), which move the bytes. Knows nothing of commands.
 */
#include "transport/rdma/farmem_lane.h"

#include "core/io/info.h"
#include "util/atomic.h"
#include "util/err.h"
#include "util/list.h"
#include "util/opts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECONNECT_MS	100u
#define LOSS_MS		1500u
#define DEPTH		128u
#define MAX_DEPTH	4096u
#define MS		1000000u

static void farmem_free(struct leap_farmem *r)
{
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void farmem_end(struct leap_msg *msg)
{
	struct leap_farmem *r = leap__list_entry(msg, struct leap_farmem, end);
	void (*closed)(void *arg) = r->closed;
	void *arg = r->closed_arg;

	leap__pollgroup_release(r->pg);
	farmem_free(r);
	if (closed)
		closed(arg);
}

void leap__farmem_leave(struct leap_farmem *r)
{
	if (leap__fetch_add(&r->nr_left, (uint32_t)-1) != 1)
		return;
	r->end.run = farmem_end;
	leap_pollgroup_send(r->pg, &r->end);
}

static int farmem_fill(struct leap_farmem *r, const struct leap_farmem_opts *o)
{
	char buf[128];

	pthread_mutex_init(&r->lock, NULL);
	if (!o->opened)
		return leap__err(-EINVAL, "leap_farmem_open: opened is not "
				 "set");
	if (o->depth > MAX_DEPTH)
		return leap__err(-EINVAL, "leap_farmem_open: depth %u exceeds "
				 "%u", o->depth, MAX_DEPTH);
	r->reconnect_ms = o->reconnect_ms ? o->reconnect_ms : RECONNECT_MS;
	r->loss_ns = (uint64_t)(o->loss_ms ? o->loss_ms : LOSS_MS) * MS;
	r->depth = o->depth ? o->depth : DEPTH;
	r->opened = o->opened;
	r->arg = o->arg;
	r->ops = (struct leap_ats_ops)LEAP_ATS_OPS_INIT;
	r->ops.move = leap__farmem_move;
	r->nr_left = 1;
	memcpy(r->token, o->token, sizeof(r->token));
	return leap__farmem_url("leap_farmem_open", o->url, buf, sizeof(buf),
			       &r->addr);
}

int leap_farmem_open(struct leap_pollgroup *pg,
		    const struct leap_farmem_opts *user,
		    struct leap_farmem **out)
{
	struct leap__farmem_lane *l = NULL;
	struct leap_farmem_opts opts;
	struct leap_farmem *r;
	int err;

	*out = NULL;
	err = leap__opts_copy(&opts, sizeof(opts), user);
	if (err)
		return err;
	r = calloc(1, sizeof(*r));
	if (!r)
		return leap__err(-ENOMEM, "leap_farmem_open: out of memory");
	r->pg = pg;
	err = farmem_fill(r, &opts);
	if (!err && !leap__rdma_verbs(pg, "leap_farmem_open"))
		err = -EPROTONOSUPPORT;
	if (!err) {
		l = leap__farmem_lane_make(r, pg);
		err = l ? leap__farmem_lane_connect(l) : -ENOMEM;
		if (err)
			leap__err(err, "leap_farmem_open: %s: %s", opts.url,
				  strerror(-err));
	}
	if (err) {
		if (l)
			leap__farmem_lane_free(l);
		farmem_free(r);
		return err;
	}
	leap__farmem_lane_add(r, l);
	leap__pollgroup_hold(pg);
	*out = r;
	return 0;
}

uint64_t leap_farmem_bytes(const struct leap_farmem *r)
{
	return r->mem.bytes;
}

int leap_farmem_range(struct leap_farmem *r, uint64_t offset, uint64_t bytes,
		     uint32_t perm, struct leap_ats_range *range)
{
	if (!bytes || offset > r->mem.bytes || bytes > r->mem.bytes - offset)
		return leap__err(-EINVAL, "leap_farmem_range: %#llx bytes at "
				 "%#llx are not in %#llx",
				 (unsigned long long)bytes,
				 (unsigned long long)offset,
				 (unsigned long long)r->mem.bytes);
	if (perm & ~r->mem.perm)
		return leap__err(-EACCES, "leap_farmem_range: perm %#x exceeds "
				 "%#x, which the share gives", perm,
				 r->mem.perm);
	range->bytes = bytes;
	range->perm = perm;
	range->source = LEAP_ATS_REMOTE;
	range->offset = r->mem.addr + offset;
	range->key = r->mem.key;
	range->ops = &r->ops;
	range->arg = r;
	return 0;
}

int leap_farmem_info(struct leap_farmem *r, struct leap_farmem_info *info)
{
	struct leap_farmem_info all = { sizeof(all) };
	const struct leap__farmem_lane *l;

	pthread_mutex_lock(&r->lock);
	for (l = r->lanes; l; l = l->next) {
		const struct leap_farmem_info *n = &l->count;

		all.reads += leap__load_relaxed(&n->reads);
		all.writes += leap__load_relaxed(&n->writes);
		all.bytes += leap__load_relaxed(&n->bytes);
		all.failed += leap__load_relaxed(&n->failed);
		all.redone += leap__load_relaxed(&n->redone);
		all.connections += leap__load_relaxed(&n->connections);
		all.groups++;
	}
	pthread_mutex_unlock(&r->lock);
	return leap__info_copy("leap_farmem_info", info, &all, sizeof(all));
}

void leap_farmem_close(struct leap_farmem *r, void (*closed)(void *arg),
		      void *arg)
{
	struct leap__farmem_lane *l, *next;

	if (!r)
		return;
	r->opened = NULL;
	r->closed = closed;
	r->closed_arg = arg;
	for (l = r->lanes; l; l = next) {
		next = l->next;
		l->work.run = leap__farmem_lane_close;
		leap_pollgroup_send(l->pg, &l->work);
	}
	leap__farmem_leave(r);
}
