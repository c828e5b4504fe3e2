/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a runtime tells its agent of the namespaces that it has: their
 * descriptions, and the locks by which the agent learns that nothing of them is
 * under way any more. Sits between ns.c and the link; knows no controllers.
 */
#include "core/ctrl/runtime_priv.h"

#include <errno.h>
#include <string.h>

struct leaf_arg {
	struct leap_runtime *rt;
	uint32_t released;
};

static void tell_leaf(void *arg, const char *path)
{
	struct leaf_arg *l = arg;
	struct leap_link_msg m = { .type = LEAP_LINK_LEAF };

	strncpy(m.u.leaf.path, path, sizeof(m.u.leaf.path) - 1);
	m.u.leaf.released = l->released;
	leap__runtime_tell(l->rt, &m);
}

static void check_leaf(void *arg, const char *path)
{
	if (strlen(path) >= LEAP_LINK_PATH_MAX)
		*(int *)arg = -ENAMETOOLONG;
}

int leap__runtime_ns_check(const struct leap_bdev *bdev)
{
	int err = 0, rc = leap_bdev_locks(bdev, check_leaf, &err);

	if (rc < 0)
		return rc;
	return err ? leap__err(err, "leap_ns_add: the path of a lock exceeds "
			       "%u bytes", LEAP_LINK_PATH_MAX - 1) : 0;
}

static void tell_leaves(struct leap_runtime *rt, const struct leap__ns *ns,
			uint32_t released)
{
	struct leaf_arg arg = { rt, released };

	leap_bdev_locks(ns->bdev, tell_leaf, &arg);
}

static void tell_ns(struct leap_runtime *rt, struct leap_subsystem *ss,
		    uint32_t nsid)
{
	struct leap__ns *ns = leap__ns_active(ss, nsid);
	struct leap_link_msg m = {
		.type = ns ? LEAP_LINK_NS_ADD : LEAP_LINK_NS_DEL,
	};

	m.u.ns_of.desc.nsid = nsid;
	if (ns)
		m.u.ns_of.desc = ns->desc;
	memcpy(m.u.ns_of.nqn, ss->nqn, sizeof(ss->nqn));
	leap__runtime_tell(rt, &m);
}

void leap__runtime_ns_opening(struct leap_runtime *rt,
			      const struct leap__ns *ns)
{
	if (rt->active)
		tell_leaves(rt, ns, 0);
}

void leap__runtime_ns_changed(struct leap_runtime *rt,
			      struct leap_subsystem *ss, uint32_t nsid)
{
	if (rt->active)
		tell_ns(rt, ss, nsid);
}

void leap__runtime_ns_closed(struct leap_runtime *rt,
			     const struct leap__ns *ns)
{
	if (rt->active)
		tell_leaves(rt, ns, 1);
}

int leap__runtime_tell_all(struct leap_runtime *rt)
{
	struct leap_subsystem *ss = NULL;
	uint32_t nsid;
	int err;

	while ((ss = leap_subsystem_next(rt->target, ss)))
		for (nsid = 1; nsid <= ss->max_nsid; nsid++) {
			if (!ss->ns[nsid])
				continue;
			err = leap__runtime_ns_check(ss->ns[nsid]->bdev);
			if (err)
				return err;
			tell_leaves(rt, ss->ns[nsid], 0);
			if (leap__ns_active(ss, nsid))
				tell_ns(rt, ss, nsid);
		}
	return 0;
}
