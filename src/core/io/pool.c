/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pools of a poll group: payload buffers, and the controller ends that wait
 * for a buffer or a command, or for their last breath.
 *
 * Owned by one thread. A buffer that came along when a controller end moved
 * here from another group goes home by message. Memory that was never asked
 * for is never touched, so large pools cost address space only. Must not know
 * transports other than by the two slots that it calls for the dispatcher.
 */
#include "core/io/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <leapio/dmabuf.h>

/* Pages that cost nothing until they are touched. */
static void *map_pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void dispatch_free(struct leap_pollgroup *pg)
{
	struct leap__dispatch *d = pg->head.dispatch;

	if (!d)
		return;
	assert(!d->cmds_in_use && !d->bufs_in_use && !d->polling);
	if (d->bufs_mem)
		leap_dmabuf_put(d->bufs_mem);
	else if (d->bufs)
		munmap(d->bufs, (size_t)d->nr_bufs * d->buf_bytes);
	if (d->cmds)
		munmap(d->cmds, d->nr_slots * sizeof(*d->cmds));
	free(d->free_bufs);
	free(d);
	pg->head.dispatch = NULL;
}

static char *make_bufs(struct leap__dispatch *d, bool share)
{
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;

	opts.bytes = (uint64_t)d->nr_bufs * d->buf_bytes;
	opts.huge = LEAP_HUGE_NEVER;
	opts.name = "leapio-bufs";
	if (!share)
		return map_pages((size_t)opts.bytes);
	if (leap_dmabuf_create(&opts, &d->bufs_mem))
		return NULL;
	return leap_dmabuf_addr(d->bufs_mem);
}

int leap__dispatch_create(struct leap_pollgroup *pg)
{
	const struct leap_pollgroup_opts *opts = leap__pollgroup_opts(pg);
	struct leap__dispatch *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->pg = pg;
	d->nr_cmds = opts->nr_cmds;
	d->cmds_kept = d->nr_cmds < 8 * LEAP__CMDS_EACH ? 0 : d->nr_cmds / 4;
	d->nr_bufs = opts->nr_bufs;
	d->buf_bytes = opts->buf_bytes;
	d->starved_tail = &d->starved;
	leap__list_init(&d->regctrls);
	d->nr_slots = d->nr_cmds + (d->cmds_kept ? LEAP__CMDS_SPARE : 0);
	d->cmds = map_pages(d->nr_slots * sizeof(*d->cmds));
	d->free_bufs = calloc(d->nr_bufs, sizeof(*d->free_bufs));
	d->bufs = make_bufs(d, opts->share_bufs);
	pg->head.dispatch = d;
	pg->dispatch_free = dispatch_free;
	if (!d->cmds || !d->free_bufs || !d->bufs) {
		dispatch_free(pg);
		return -ENOMEM;
	}
	return 0;
}

void leap__dispatch_stats(const struct leap__dispatch *d,
			  struct leap_pollgroup_stats *stats)
{
	stats->cmds_in_use = d->cmds_in_use;
	stats->bufs_in_use = d->bufs_in_use;
	stats->pool_empty = d->pool_empty;
	stats->bounced = d->bounced;
}

/* ---- those who wait ----------------------------------------------------- */

/* Last commands are back: nobody may touch these any more. */
static int reap(struct leap__dispatch *d)
{
	struct leap_vqp *vqp;
	int n = 0;

	while ((vqp = d->reap)) {
		d->reap = vqp->starved_link;
		if (vqp->handler)
			vqp->handler->gone(vqp);
		vqp->ops->vqp_destroy(vqp);
		n++;
	}
	return n;
}

static int pools_have_room(const struct leap__dispatch *d)
{
	return d->cmds_in_use < d->nr_cmds && d->bufs_in_use < d->nr_bufs;
}

/*
 * Those whose last command has come back meanwhile have a spare slot, whatever
 * the others hold: they do not wait behind those who will never let go.
 */
static int resume_idle(struct leap__dispatch *d)
{
	struct leap_vqp *vqp;
	int i, n = 0;

	for (vqp = d->starved; vqp; vqp = vqp->starved_link)
		n += !vqp->nr_cmds;
	for (i = 0; i < n; i++) {
		/* From the start: the one before may have changed the queue. */
		for (vqp = d->starved; vqp && vqp->nr_cmds;)
			vqp = vqp->starved_link;
		if (!vqp)
			break;
		leap__vqp_unstarve(vqp);
		vqp->ops->vqp_resume(vqp);
	}
	return i;
}

/*
 * At least the first in the queue gets its turn; the next ones only while
 * there is room, so that whoever took the last slot queues up behind those
 * who got none.
 */
static int resume(struct leap__dispatch *d)
{
	struct leap_vqp *vqp, *last = NULL;
	int n = 0;

	if (!d->returned || !d->starved)
		return 0;
	d->returned = 0;
	for (vqp = d->starved; vqp; vqp = vqp->starved_link)
		last = vqp;
	do {
		vqp = d->starved;
		leap__vqp_unstarve(vqp);
		vqp->ops->vqp_resume(vqp);
		n++;
	} while (vqp != last && d->starved && pools_have_room(d));
	return d->cmds_kept && d->starved ? n + resume_idle(d) : n;
}

static int pool_poll(struct leap_poller *poller, unsigned int budget)
{
	struct leap__dispatch *d = (struct leap__dispatch *)
		((char *)poller - offsetof(struct leap__dispatch, poller));
	int n = resume(d);

	n += reap(d);
	if (!d->starved && !d->reap) {
		d->polling = 0;
		leap_pollgroup_del_poller(d->pg, &d->poller);
	}
	return n;
}

static int pool_arm(struct leap_poller *poller)
{
	struct leap__dispatch *d = (struct leap__dispatch *)
		((char *)poller - offsetof(struct leap__dispatch, poller));

	return d->reap || (d->starved && d->returned);
}

static void start_polling(struct leap__dispatch *d)
{
	if (d->polling)
		return;
	d->polling = 1;
	d->poller.poll = pool_poll;
	d->poller.arm = pool_arm;
	leap_pollgroup_add_poller(d->pg, &d->poller);
}

void leap_vqp_starved(struct leap_vqp *vqp)
{
	struct leap__dispatch *d = leap__dispatch(vqp->pg);

	if ((vqp->starved & LEAP__VQP_STARVED) || vqp->dead)
		return;
	vqp->starved |= LEAP__VQP_STARVED;
	vqp->starved_link = NULL;
	*d->starved_tail = vqp;
	d->starved_tail = &vqp->starved_link;
	start_polling(d);
}

void leap__vqp_unstarve(struct leap_vqp *vqp)
{
	struct leap__dispatch *d = leap__dispatch(vqp->pg);
	struct leap_vqp **at;

	if (!(vqp->starved & LEAP__VQP_STARVED))
		return;
	for (at = &d->starved; *at != vqp; at = &(*at)->starved_link)
		;
	*at = vqp->starved_link;
	if (!*at)
		d->starved_tail = at;
	vqp->starved &= (uint8_t)~LEAP__VQP_STARVED;
	vqp->starved_link = NULL;
}

void leap__vqp_reap(struct leap_vqp *vqp)
{
	struct leap__dispatch *d = leap__dispatch(vqp->pg);

	vqp->starved_link = d->reap;
	d->reap = vqp;
	start_polling(d);
}

/* ---- payload buffers ---------------------------------------------------- */

uint32_t leap_pollgroup_buf_bytes(const struct leap_pollgroup *pg)
{
	return pg->head.dispatch->buf_bytes;
}

void *leap_pollgroup_buf_get(struct leap_pollgroup *pg)
{
	struct leap__dispatch *d = leap__dispatch(pg);
	void *buf;

	if (d->nr_free) {
		buf = d->free_bufs[--d->nr_free];
	} else if (d->nr_bufs_fresh < d->nr_bufs) {
		buf = d->bufs + (size_t)d->nr_bufs_fresh++ * d->buf_bytes;
	} else {
		d->pool_empty++;
		return NULL;
	}
	d->bufs_in_use++;
	return buf;
}

uint32_t leap__bufs_take(struct leap__dispatch *d, uint32_t bytes,
			 struct leap_piece *p)
{
	uint32_t n;

	for (n = 0; bytes; n++, p++) {
		memset(p, 0, sizeof(*p));
		p->addr = leap_pollgroup_buf_get(d->pg);
		p->buf = d->bufs_mem;
		p->len_bytes = bytes < d->buf_bytes ? bytes : d->buf_bytes;
		bytes -= p->len_bytes;
	}
	return n;
}

static int owns_buf(const struct leap__dispatch *d, const void *buf)
{
	return (uintptr_t)buf - (uintptr_t)d->bufs <
	       (uintptr_t)d->nr_bufs * d->buf_bytes;
}

static void put_own(struct leap__dispatch *d, void *buf)
{
	assert(((uintptr_t)buf - (uintptr_t)d->bufs) % d->buf_bytes == 0);
	assert(d->nr_free < d->nr_bufs_fresh);
	d->free_bufs[d->nr_free++] = buf;
	d->bufs_in_use--;
	d->returned = 1;
}

/* Stands in the buffer while that travels home. */
struct buf_msg {
	struct leap_msg msg;
	struct leap__dispatch *home;
};

static void buf_is_home(struct leap_msg *msg)
{
	struct buf_msg *m = (struct buf_msg *)msg;

	put_own(m->home, m);
}

static void put_foreign(struct leap__dispatch *d, void *buf)
{
	struct buf_msg *m = buf;
	uint32_t i;

	for (i = 0; i < d->nr_peers; i++) {
		if (!owns_buf(d->peers[i], buf))
			continue;
		m->home = d->peers[i];
		m->msg.run = buf_is_home;
		leap_pollgroup_send(m->home->pg, &m->msg);
		return;
	}
	assert(!"a buffer of no pool");
}

void leap_pollgroup_buf_put(struct leap_pollgroup *pg, void *buf)
{
	struct leap__dispatch *d = leap__dispatch(pg);

	if (owns_buf(d, buf))
		put_own(d, buf);
	else
		put_foreign(d, buf);
}

void leap__dispatch_add_peer(struct leap__dispatch *d,
			     struct leap__dispatch *peer)
{
	uint32_t i;

	for (i = 0; i < d->nr_peers; i++)
		if (d->peers[i] == peer)
			return;
	assert(d->nr_peers < LEAP__DISPATCH_PEERS);
	if (d != peer)
		d->peers[d->nr_peers++] = peer;
}
