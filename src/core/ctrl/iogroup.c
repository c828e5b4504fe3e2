/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The I/O half of all controllers on one poll group: takes link messages, owns
 * the namespaces' channels and sees them through their ends. Messages about
 * queue pairs are ioqp.c's, those of guests' queues ioguest.c's; what a command
 * means is dispatch_io.c's; features, identify and properties are the admin
 * half's and never looked at here.
 */
#include "core/ctrl/iogroup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/dispatch.h"

/* ---- messages ---- */

static void group_message(struct leap_msg *msg);

void leap__link_ask(struct leap__iogroup *g, struct leap__lmsg *m)
{
	m->group = g;
	m->link.flags &= (uint16_t)~LEAP_LINK_REPLY;
	if (g->remote) {
		g->remote->ask(g, m);
		return;
	}
	m->msg.run = group_message;
	leap_pollgroup_send(g->pg, &m->msg);
}

static void home_message(struct leap_msg *msg)
{
	struct leap__lmsg *m = (struct leap__lmsg *)msg;

	m->arrived(m);
}

void leap__link_tell(struct leap__iogroup *g, struct leap__lmsg *m)
{
	m->group = g;
	m->msg.run = home_message;
	leap_pollgroup_send(g->home, &m->msg);
}

void leap__link_answer(struct leap__lmsg *m, int err)
{
	m->link.flags |= LEAP_LINK_REPLY;
	m->link.err = err;
	leap__link_tell(m->group, m);
}

/* ---- namespaces ---- */

void leap__ions_put(struct leap__ions *ns)
{
	struct leap__lmsg *m = ns->closing;
	int err;

	if (ns->busy || !m)
		return;
	ns->closing = NULL;
	err = leap_chan_close(ns->chan);
	ns->chan = NULL;
	leap__link_answer(m, err);
}

static void ns_add(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap__ions *ns = m->subject;
	int err;

	if ((ns->caps & LEAP_BDEV_VECTOR) && leap__ocssd_prepare(g)) {
		leap__link_answer(m, -ENOMEM);
		return;
	}
	/* One bio a command, and one for the flush of a shutdown. */
	err = leap_chan_open(ns->bdev, g->pg, g->nr_cmds + 1, &ns->chan);
	if (!err)
		ns->ss->ns[ns->nsid] = ns;
	leap__link_answer(m, err);
}

static void ns_del(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct leap__ions *ns = m->subject;

	leap__zns_closing(g, ns);
	ns->ss->ns[ns->nsid] = NULL;
	ns->closing = m;
	leap__ions_put(ns);
}

static void ns_changed(struct leap__lmsg *m)
{
	struct leap__ions *ns = m->subject;

	ns->nr_lbas = m->link.u.ns.nr_blocks;
	leap__link_answer(m, 0);
}

/*
 * FLUSH: all namespaces of a subsystem, one after the other. However many of its
 * controllers shut down at once, each waits for its turn, and finds a bio.
 */
static void flush_some(struct leap__ioss *ss);

static void flush_done(struct leap_bio *bio, leap_status_t status)
{
	struct leap__lmsg *m = bio->arg;
	struct leap__ions *ns = m->at;

	leap_bio_put(ns->chan, bio);
	if (status)
		m->link.u.feature.value = status;
	flush_some(ns->ss);
	ns->busy--;
	leap__ions_put(ns);
}

/* 1: one is under way, 0: all are done. */
static int flush_next(struct leap__ioss *ss, struct leap__lmsg *m)
{
	struct leap_bio *bio;
	uint32_t nsid;

	while ((nsid = ++m->link.u.feature.nsid) <= ss->max_nsid) {
		struct leap__ions *ns = ss->ns[nsid];

		if (!ns || !(ns->caps & LEAP_BDEV_FLUSH))
			continue;
		bio = leap_bio_get(ns->chan);
		if (!bio) {
			m->link.u.feature.value = LEAP_SC_NS_NOT_READY;
			continue;
		}
		bio->op = LEAP_BIO_FLUSH;
		bio->flags = 0;
		bio->nr_pieces = 0;
		bio->nr_blocks = 0;
		bio->block = 0;
		bio->pieces = NULL;
		bio->done = flush_done;
		bio->arg = m;
		m->at = ns;
		ns->busy++;
		leap_bio_submit(ns->chan, bio);
		return 1;
	}
	return 0;
}

static void flush_some(struct leap__ioss *ss)
{
	struct leap__lmsg *m = ss->flushes;

	/* With the last answer the subsystem may go. */
	while (m && !flush_next(ss, m)) {
		struct leap__lmsg *next = m->next;

		ss->flushes = next;
		leap__link_answer(m, m->link.u.feature.value ? -EIO : 0);
		m = next;
	}
}

static void flush_all(struct leap__lmsg *m)
{
	struct leap__ioss *ss = m->subject;
	struct leap__lmsg **last = &ss->flushes;

	m->link.u.feature.nsid = 0;
	m->link.u.feature.value = 0;
	m->next = NULL;
	while (*last)
		last = &(*last)->next;
	*last = m;
	if (ss->flushes == m)
		flush_some(ss);
}

/* ---- the group ---- */

static void error_is_back(struct leap__iogroup *g, struct leap__lmsg *m)
{
	m->next = g->free_errors;
	g->free_errors = m;
}

static void group_message(struct leap_msg *msg)
{
	struct leap__lmsg *m = (struct leap__lmsg *)msg;
	struct leap__iogroup *g = m->group;

	if (leap__ioguest_message(g, m) || leap__ioqp_message(g, m))
		return;
	switch (m->link.type) {
	case LEAP_LINK_HELLO:
		leap__pollgroup_hold(g->pg);
		leap__link_answer(m, 0);
		break;
	case LEAP_LINK_NS_ADD:
		ns_add(g, m);
		break;
	case LEAP_LINK_NS_DEL:
		ns_del(g, m);
		break;
	case LEAP_LINK_NS_CHANGED:
		ns_changed(m);
		break;
	case LEAP_LINK_QUIESCE:
		/* The last message: queue pairs and namespaces have gone
		 * before. */
		leap__pollgroup_release(g->pg);
		leap__link_answer(m, 0);
		break;
	case LEAP_LINK_ERROR:
		error_is_back(g, m);
		break;
	case LEAP_LINK_FLUSH:
		flush_all(m);
		break;
	default:
		leap__link_answer(m, -EOPNOTSUPP);
	}
}

static void recheck(struct leap_msg *msg)
{
	struct leap__iogroup *g = (struct leap__iogroup *)(void *)
		((char *)msg - offsetof(struct leap__iogroup, recheck));

	/* Before the look, so that an orphan that leaves after it sends
	 * again: pairs with the exchange in leap__orphans_wake. */
	leap__exchange(&g->recheck_sent, 0u);
	leap__io_recheck(g);
}

void leap__orphans_wake(void *group)
{
	struct leap__iogroup *g = group;

	if (!leap__exchange(&g->recheck_sent, 1u))
		leap_pollgroup_send(g->pg, &g->recheck);
}

int leap__iogroup_create(struct leap_pollgroup *pg, struct leap_pollgroup *home,
			 struct leap__orphans *orphans, uint32_t index,
			 struct leap__iogroup **out)
{
	struct leap__iogroup *g = calloc(1, sizeof(*g));
	uint32_t i;

	if (!g)
		return -ENOMEM;
	g->pg = pg;
	g->home = home;
	g->orphans = orphans;
	g->index = index;
	g->nr_cmds = leap__dispatch(pg)->nr_slots;
	leap__cmds_init(&g->held);
	leap__cmds_init(&g->compares);
	leap__cmds_init(&g->zone_wait);
	g->recheck.run = recheck;
	leap__list_init(&g->qps);
	leap__list_init(&g->cqs);
	leap__list_init(&g->memos);
	leap__list_init(&g->claim_wait);
	leap__list_init(&g->asked);
	g->inflight = calloc(g->nr_cmds, sizeof(*g->inflight));
	g->scratch = aligned_alloc(4096, LEAP__IOC_SCRATCH_BYTES +
				   LEAP__CLAIM_BYTES);
	if (!g->inflight || !g->scratch) {
		leap__iogroup_destroy(g);
		return -ENOMEM;
	}
	/* A leaf may leave alone what it finds to be zero, which instruments
	 * then take for memory that nobody has written. */
	memset(g->scratch, 0, LEAP__IOC_SCRATCH_BYTES + LEAP__CLAIM_BYTES);
	for (i = 0; i < LEAP__IOC_NR_ERRORS; i++) {
		g->errors[i].link.type = LEAP_LINK_ERROR;
		error_is_back(g, &g->errors[i]);
	}
	g->claim_block = g->scratch + LEAP__IOC_SCRATCH_BYTES;
	leap__orphans_join(orphans, index, g);
	*out = g;
	return 0;
}

void leap__iogroup_destroy(struct leap__iogroup *g)
{
	if (!g)
		return;
	leap__ioguest_fini(g);
	free(g->inflight);
	free(g->scratch);
	free(g->vectors);
	free(g);
}
