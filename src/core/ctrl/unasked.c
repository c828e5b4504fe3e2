/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a runtime tells an agent by itself: which namespaces it serves, which
 * locks it holds, errors for the log, interrupts that have no eventfd, queues
 * that are beyond use. Everything is checked here: a lie may hurt the guests
 * whose I/O the runtime has anyway, and nobody else.
 */
#include "core/ctrl/agent_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- namespaces ---- */

/* A namespace that became another one comes back when the old one is gone. */
struct again {
	struct leap_agent *agent;
	char nqn[LEAP_NQN_FIELD];
	struct leap_ns_desc desc;
};

static void show(struct leap_agent *a, const char *nqn,
		 const struct leap_ns_desc *d);

static void removed(int err, void *arg)
{
	struct again *again = arg;

	(void)err;
	if (again->agent->target)
		show(again->agent, again->nqn, &again->desc);
	free(again);
}

static void replace(struct leap_agent *a, struct leap_subsystem *ss,
		    const struct leap_ns_desc *d)
{
	struct again *again = calloc(1, sizeof(*again));

	if (!again)
		return;
	again->agent = a;
	memcpy(again->nqn, ss->nqn, sizeof(ss->nqn));
	again->desc = *d;
	if (leap_ns_remove(ss, d->nsid, removed, again))
		free(again);
}

static void show(struct leap_agent *a, const char *nqn,
		 const struct leap_ns_desc *d)
{
	struct leap_subsystem *ss = leap_subsystem_find(a->target, nqn);
	int err;

	/* It may serve more than is ours. */
	if (!ss)
		return;
	err = leap__ns_show(ss, d, a->epoch);
	if (err == -EEXIST)
		replace(a, ss, d);
	else if (err)
		leap__pg_log(a->pg, LEAP_LOG_WARN,
			     "agent: namespace %u of %s: %s", d->nsid, nqn,
			     leap_last_error());
}

static void unshow(struct leap_agent *a, const char *nqn, uint32_t nsid)
{
	struct leap_subsystem *ss = leap_subsystem_find(a->target, nqn);

	if (ss && leap__ns_active(ss, nsid))
		leap_ns_remove(ss, nsid, NULL, NULL);
}

void leap__agent_trim_ns(struct leap_agent *a)
{
	struct leap_subsystem *ss = NULL;
	uint32_t nsid;

	while ((ss = leap_subsystem_next(a->target, ss)))
		for (nsid = leap_ns_next(ss, 0); nsid;
		     nsid = leap_ns_next(ss, nsid))
			if (leap__ns_active(ss, nsid)->shown != a->epoch)
				leap_ns_remove(ss, nsid, NULL, NULL);
}

/* ---- the rest ---- */

/* Whom it is about; NULL: not of this runtime, or pulled out. */
static struct leap_vdev *vdev_of(struct leap_agent *a,
				 const struct leap_link_msg *msg)
{
	struct leap__lent *l = leap__agent_lent_by_id(a, msg->cntlid);

	return l ? leap__agent_vdev(a, l->ctrl) : NULL;
}

static void error(struct leap_agent *a, const struct leap_link_msg *msg)
{
	struct leap_vdev *v = vdev_of(a, msg);

	if (v)
		leap__error_log_add(leap__vdev_ctrl(v), &msg->u.error);
}

static void irq(struct leap_agent *a, const struct leap_link_msg *msg)
{
	struct leap_vdev *v = vdev_of(a, msg);

	if (v)
		leap__vdev_irq(v, msg->u.irq.vector);
}

static void fatal(struct leap_agent *a, const struct leap_link_msg *msg)
{
	struct leap_vdev *v = vdev_of(a, msg);
	int err = msg->u.fatal.err;

	if (!v)
		return;
	if (err >= 0 || err < -4095)
		err = -EIO;
	leap__pg_log(a->pg, LEAP_LOG_WARN,
		     "agent: the runtime gave up queue %u: %s",
		     msg->u.fatal.qid, strerror(-err));
	leap__vdev_fatal(v, msg->u.fatal.qid, err);
}

/* Of a queue that is going: what it has counted in all. */
static void last_stats(struct leap_agent *a, const struct leap_link_msg *msg)
{
	struct leap__lent *l = leap__agent_lent_by_id(a, msg->cntlid);
	struct leap__list *pos;

	leap__list_for_each(pos, &a->group.qps) {
		struct leap__ioqp *q =
			leap__list_entry(pos, struct leap__ioqp, link);

		if (l && q->ctrl == l->ctrl &&
		    q->desc.qid == msg->u.stats_of.qid)
			q->count = msg->u.stats_of.count;
	}
}

int leap__agent_unasked(struct leap_agent *a, struct leap__session *s,
			const struct leap_link_msg *msg)
{
	/* Who waits has nothing to say; and nobody asks, because answers would
	 * pile up here for one that does not read them. */
	if (s != a->active || !a->target)
		return -EPROTO;
	switch (msg->type) {
	case LEAP_LINK_NS_ADD:
	case LEAP_LINK_NS_CHANGED:
		show(a, msg->u.ns_of.nqn, &msg->u.ns_of.desc);
		return 0;
	case LEAP_LINK_NS_DEL:
		unshow(a, msg->u.ns_of.nqn, msg->u.ns_of.desc.nsid);
		return 0;
	case LEAP_LINK_LEAF:
		return leap__fence_leaf(&s->fence, msg->u.leaf.path,
					msg->u.leaf.released != 0);
	case LEAP_LINK_ERROR:
		error(a, msg);
		return 0;
	case LEAP_LINK_IRQ:
		irq(a, msg);
		return 0;
	case LEAP_LINK_FATAL:
		fatal(a, msg);
		return 0;
	case LEAP_LINK_STATS:
		last_stats(a, msg);
		return 0;
	case LEAP_LINK_QUIESCE:
		s->bye = 1;
		return 0;
	}
	return -EPROTO;
}
