/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's memory, as it is given and taken back. A range is kept here as it
 * was given, because other processes are told of it later too (vdev_link.c);
 * who may reach it is the translation service's. What is taken back is gone
 * when its last pin is, and when every process that was told has let go.
 */
#include "core/ctrl/vdev_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/opts.h"

/* ---- given ---- */

static void drop_range(struct leap__vrange *r)
{
	if (r->range.fd >= 0)
		close(r->range.fd);
	leap_dmabuf_put(r->range.buf);
	free(r);
}

void leap__vdev_mem_fini(struct leap_vdev *v)
{
	struct leap__list *item;

	while ((item = leap__list_pop(&v->ranges)))
		drop_range(leap__list_entry(item, struct leap__vrange, link));
}

/* What is needed to tell another process of it, now or later. */
static int keep_range(struct leap__vrange *r,
		      const struct leap_ats_range *range)
{
	int err = leap__opts_copy_for("leap_vdev_mem_add", &r->range,
				      sizeof(r->range), range);
	struct leap_dmabuf *buf = r->range.buf;
	int fd = r->range.fd;

	r->range.fd = -1;
	r->range.buf = NULL;
	r->range.ops = NULL;
	r->range.arg = NULL;
	if (err)
		return err;
	if (r->range.source == LEAP_ATS_FD) {
		r->range.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (r->range.fd < 0)
			return leap__err(-errno, "leap_vdev_mem_add: fd %d: %s",
					 fd, strerror(errno));
	}
	if (r->range.source == LEAP_ATS_DMABUF && buf)
		r->range.buf = leap_dmabuf_get(buf);
	return 0;
}

int leap_vdev_mem_add(struct leap_vdev *v, const struct leap_ats_range *range)
{
	struct leap__vrange *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return leap__err(-ENOMEM, "leap_vdev_mem_add: out of memory");
	r->range.fd = -1;
	err = keep_range(r, range);
	if (!err)
		err = leap_ats_map(v->guest.ats, range);
	if (err) {
		drop_range(r);
		return err;
	}
	leap__list_push_back(&v->ranges, &r->link);
	v->nr_ranges++;
	v->mem_bytes += r->range.bytes;
	if (v->c && !v->told_end)
		leap__vdev_tell_mem(v, r);
	return 0;
}

void leap_vdev_mem_sync(struct leap_vdev *v, void (*done)(void *arg, int err),
			void *arg)
{
	if (v->mem_out)
		leap__vdev_wait(v, &v->mem_waits, 0, done, arg);
	else
		done(arg, 0);
}

/* ---- taken back ---- */

/* A range that is being taken back. */
struct memop {
	struct leap_msg msg;
	struct leap_timer timer;
	struct leap__list link;		/* of the vdev */
	struct leap_vdev *v;
	leap_gpa_t gpa;
	uint64_t bytes;
	uint32_t pending;
	int err;
	uint32_t reported;
	void (*done)(void *arg, int err);
	void *arg;
};

static void memop_report(struct memop *op, int err)
{
	if (op->reported)
		return;
	op->reported = 1;
	if (err && op->v->c)
		op->v->c->csts |= LEAP_CSTS_CFS;
	if (op->done)
		op->done(op->arg, err);
}

static void memop_answered(void *arg, int err)
{
	struct memop *op = arg;
	struct leap_vdev *v = op->v;

	/* Who could not be fenced may still do what he likes with it. Any
	 * other error comes from one that does not have it. */
	if (err == -ETIMEDOUT)
		op->err = err;
	if (--op->pending)
		return;
	leap_timer_stop(v->home, &op->timer);
	leap__list_remove(&op->link);
	memop_report(op, op->err);
	free(op);
	leap__vdev_settle(v);
}

static void memop_drained(struct leap_msg *msg)
{
	memop_answered((struct memop *)msg, 0);
}

/* On whichever thread released the last pin. */
static void memop_unpinned(void *arg)
{
	struct memop *op = arg;

	op->msg.run = memop_drained;
	leap_pollgroup_send(op->v->home, &op->msg);
}

static void memop_late(struct leap_timer *timer)
{
	memop_report(leap__list_entry(timer, struct memop, timer),
		     -ETIMEDOUT);
}

/* It took too long for who asked before, and is not over yet. */
static struct memop *find_late(const struct leap_vdev *v, leap_gpa_t gpa,
			       uint64_t bytes)
{
	const struct leap__list *pos;

	leap__list_for_each(pos, &v->memops) {
		struct memop *op = leap__list_entry(pos, struct memop, link);

		if (op->gpa.addr == gpa.addr && op->bytes == bytes &&
		    op->reported)
			return op;
	}
	return NULL;
}

static void memop_wait(struct memop *op, void (*done)(void *arg, int err),
		       void *arg)
{
	op->reported = 0;
	op->done = done;
	op->arg = arg;
	leap_timer_start(op->v->home, &op->timer,
			 LEAP__VDEV_FENCE_MS * 1000000ull);
}

static struct leap__vrange *find_range(const struct leap_vdev *v,
				       leap_gpa_t gpa, uint64_t bytes)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &v->ranges) {
		struct leap__vrange *r =
			leap__list_entry(pos, struct leap__vrange, link);

		if (r->range.gpa.addr == gpa.addr && r->range.bytes == bytes)
			return r;
	}
	return NULL;
}

int leap_vdev_mem_del(struct leap_vdev *v, leap_gpa_t gpa, uint64_t bytes,
		      void (*done)(void *arg, int err), void *arg)
{
	struct leap__vrange *r = find_range(v, gpa, bytes);
	struct memop *op = r ? NULL : find_late(v, gpa, bytes);
	int err;

	if (op) {
		memop_wait(op, done, arg);
		return 0;
	}
	if (!r)
		return leap__err(-ENOENT,
			"leap_vdev_mem_del: no range of %llu bytes at %llx",
			(unsigned long long)bytes,
			(unsigned long long)gpa.addr);
	op = calloc(1, sizeof(*op));
	if (!op)
		return leap__err(-ENOMEM, "leap_vdev_mem_del: out of memory");
	op->v = v;
	op->gpa = gpa;
	op->bytes = bytes;
	op->pending = 1;
	op->timer.run = memop_late;
	err = leap_ats_unmap(v->guest.ats, gpa, bytes, memop_unpinned, op);
	if (err) {
		free(op);
		return err;
	}
	leap__list_push_back(&v->memops, &op->link);
	leap__list_remove(&r->link);
	drop_range(r);
	v->nr_ranges--;
	v->mem_bytes -= bytes;
	memop_wait(op, done, arg);
	if (v->c && !v->told_end)
		op->pending += (uint32_t)leap__vdev_tell_mem_del(v, gpa, bytes,
						memop_answered, op);
	return 0;
}
