/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Namespaces as the admin half has them: a description, a stack, and one
 * leap__ions for each I/O group, which opens, serves and closes it there. The
 * admin half answers from the description and never touches the stack's data.
 *
 * Every change goes to all groups as messages and counts answers; hosts are
 * told when the last one is in.
 */
#include "core/ctrl/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/info.h"
#include "util/opts.h"
#include "util/plant.h"
#include "util/uuid.h"

/* Everybody who sees the namespace. */
static void tell_hosts(struct leap_subsystem *ss, uint32_t nsid)
{
	leap__aer_ns_changed(ss, nsid);
	if (ss->target->runtime)
		leap__runtime_ns_changed(ss->target->runtime, ss, nsid);
}

/* ---- closing ---- */

static void free_ns(struct leap__ns *ns)
{
	uint32_t i;

	for (i = 0; i < ns->nr_ions; i++)
		free(ns->ions[i]);
	free(ns);
}

static void closed(struct leap__ns *ns)
{
	struct leap_subsystem *ss = ns->ss;
	void (*done)(int err, void *arg) = ns->done;
	void *arg = ns->arg;
	int err = ns->err, close_err;

	if (ss->target->runtime)
		leap__runtime_ns_closed(ss->target->runtime, ns);
	if (ns->bdev)
		leap__bdev_unuse(ns->bdev, &ns->user);
	close_err = leap_bdev_close(ns->bdev);
	ss->ns[ns->desc.nsid] = NULL;
	ss->nr_ns--;
	free_ns(ns);
	if (done)
		done(err ? err : close_err, arg);
	leap__subsystem_settle(ss);
}

static void closed_one(struct leap__lmsg *m)
{
	struct leap__ns *ns = m->arg;

	if (m->link.err)
		ns->err = m->link.err;
	if (!--ns->pending && !ns->resizing)
		closed(ns);
}

static void start_closing(struct leap__ns *ns)
{
	uint32_t i;

	ns->state = LEAP__NS_CLOSING;
	ns->pending = 1;
	for (i = 0; i < ns->nr_ions; i++) {
		struct leap__ions *x = ns->ions[i];

		if (!x || x->m.link.err)
			continue;	/* never opened */
		leap__link_init(&x->m, LEAP_LINK_NS_DEL, closed_one, ns);
		x->m.subject = x;
		ns->pending++;
		leap__link_ask(ns->ss->target->groups[i], &x->m);
	}
	if (!--ns->pending && !ns->resizing)
		closed(ns);
}

/* ---- opening ---- */

static void tell_size(struct leap__ns *ns);

static void opened(struct leap__ns *ns)
{
	void (*done)(int err, void *arg) = ns->done;

	if (ns->err || ns->ss->dying) {
		start_closing(ns);
		return;
	}
	ns->done = NULL;
	ns->state = LEAP__NS_ACTIVE;
	if (ns->resize_again) {
		ns->resize_again = 0;
		tell_size(ns);
	}
	tell_hosts(ns->ss, ns->desc.nsid);
	if (done)
		done(0, ns->arg);
}

static void opened_one(struct leap__lmsg *m)
{
	struct leap__ns *ns = m->arg;

	if (m->link.err)
		ns->err = m->link.err;
	if (!--ns->pending && ns->state == LEAP__NS_OPENING)
		opened(ns);
}

static uint32_t log2_of(uint32_t bytes)
{
	return (uint32_t)__builtin_ctz(bytes);
}

int leap__ns_add_group(struct leap__ns *ns, uint32_t i)
{
	struct leap__ions *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->nsid = ns->desc.nsid;
	x->nr_lbas = ns->desc.nr_blocks;
	x->lba_shift = log2_of(ns->desc.block_bytes);
	x->stack_shift = x->lba_shift - log2_of(ns->stack_bytes);
	x->caps = ns->desc.caps;
	x->read_only = ns->desc.read_only;
	x->zone_lbas = ns->desc.zone_blocks;
	x->append_lbas = ns->desc.append_blocks;
	x->ss = ns->ss->ioss[i];
	x->bdev = ns->bdev;
	ns->ions[i] = x;
	if (ns->nr_ions <= i)
		ns->nr_ions = i + 1;
	leap__link_init(&x->m, LEAP_LINK_NS_ADD, opened_one, ns);
	x->m.subject = x;
	x->m.link.u.ns = ns->desc;
	ns->pending++;
	leap__link_ask(ns->ss->target->groups[i], &x->m);
	return 0;
}

static int pick_nsid(struct leap_subsystem *ss, uint32_t *nsid)
{
	if (*nsid > ss->max_nsid)
		return leap__err(-EINVAL, "leap_ns_add: nsid %u exceeds %u",
				 *nsid, ss->max_nsid);
	if (*nsid && ss->ns[*nsid])
		return leap__err(-EEXIST, "leap_ns_add: nsid %u exists",
				 *nsid);
	if (*nsid)
		return 0;
	for (*nsid = 1; *nsid <= ss->max_nsid; (*nsid)++)
		if (!ss->ns[*nsid])
			return 0;
	return leap__err(-ENOSPC, "leap_ns_add: %u namespaces exist",
			 ss->max_nsid);
}

/* Append answers with LBAs, reports and zones are in them: blocks of the stack
 * are what hosts see. */
static int describe_zones(struct leap_ns_desc *d, const struct leap_ns_opts *o,
			  const struct leap_bdev_info *info)
{
	struct leap_bdev_zones zones = { .size = sizeof(zones) };

	if ((info->caps & (LEAP_BDEV_ZONED | LEAP_BDEV_VECTOR)) &&
	    d->block_bytes != info->block_bytes)
		return leap__err(-EINVAL,
				 "leap_ns_add: block_bytes %u over zones or "
				 "chunks of blocks of %u",
				 d->block_bytes, info->block_bytes);
	if (leap_bdev_zones(o->bdev, &zones))
		return 0;
	d->csi = LEAP_CSI_ZNS;
	d->zone_blocks = zones.zone_blocks;
	d->max_active = zones.max_active;
	d->max_open = zones.max_open;
	d->append_blocks = zones.append_blocks;
	d->read_across = !!zones.read_across;
	return 0;
}

static int describe(struct leap__ns *ns, const struct leap_ns_opts *o)
{
	static const uint8_t none[16];
	struct leap_bdev_info info = { .size = sizeof(info) };
	struct leap_ns_desc *d = &ns->desc;
	struct leap__ns_ids ids;
	int err = leap_bdev_info(o->bdev, &info);

	if (err)
		return err;
	d->block_bytes = o->block_bytes ? o->block_bytes : info.block_bytes;
	if ((d->block_bytes != 512 && d->block_bytes != 4096) ||
	    d->block_bytes % info.block_bytes)
		return leap__err(-EINVAL,
			"leap_ns_add: block_bytes %u over blocks of %u bytes",
			d->block_bytes, info.block_bytes);
	ns->stack_bytes = info.block_bytes;
	d->nr_blocks = info.nr_blocks / (d->block_bytes / info.block_bytes);
	if (!d->nr_blocks)
		return leap__err(-EINVAL, "leap_ns_add: the stack is empty");
	d->caps = info.caps;
	/* Of a stack whose medium is others' as well: a block of its own, and
	 * perhaps no more. */
	if (d->block_bytes != info.block_bytes &&
	    !(d->caps & LEAP_BDEV_EXCLUSIVE))
		d->caps &= ~LEAP_BDEV_COMPARE_WRITE;
	d->read_only = o->read_only || (info.caps & LEAP_BDEV_READONLY);
	d->optimal_blocks = info.optimal_blocks /
			    (d->block_bytes / info.block_bytes);
	leap__ns_ids_derive(ns->ss->nqn, d->nsid, &ids);
	memcpy(d->uuid, memcmp(o->uuid, none, 16) ? o->uuid : ids.uuid, 16);
	memcpy(d->nguid, memcmp(o->nguid, none, 16) ? o->nguid : ids.nguid,
	       16);
	memcpy(d->eui64, ids.eui64, 8);
	return describe_zones(d, o, &info);
}

static void stack_resized(struct leap__bdev_user *user);
static void zone_changed(struct leap__bdev_user *user, uint64_t block);

int leap_ns_add(struct leap_subsystem *ss, const struct leap_ns_opts *opts,
		void (*added)(int err, void *arg), void *arg)
{
	struct leap_ns_opts o;
	struct leap__ns *ns;
	uint32_t i;
	int err;

	err = leap__opts_copy(&o, sizeof(o), opts);
	if (!err && (!o.bdev || ss->dying || ss->target->agent))
		err = leap__err(-EINVAL, "leap_ns_add: %s",
				!o.bdev ? "no bdev" : ss->dying ?
				"the subsystem is being destroyed" :
				"the target is an agent's");
	if (!err && ss->target->runtime)
		err = leap__runtime_ns_check(o.bdev);
	if (!err)
		err = pick_nsid(ss, &o.nsid);
	if (err)
		return err;
	ns = calloc(1, sizeof(*ns));
	if (!ns)
		return leap__err(-ENOMEM, "leap_ns_add: out of memory");
	ns->ss = ss;
	ns->desc.nsid = o.nsid;
	ns->bdev = o.bdev;
	ns->user.resized = stack_resized;
	ns->user.zone_changed = zone_changed;
	ns->done = added;
	ns->arg = arg;
	err = describe(ns, &o);
	if (err) {
		free(ns);
		return err;
	}
	ss->ns[o.nsid] = ns;
	ss->nr_ns++;
	if (ss->target->runtime)
		leap__runtime_ns_opening(ss->target->runtime, ns);
	/* Memory that runs out half way closes what was opened, as a group
	 * that cannot open it would. */
	ns->pending = 1;
	for (i = 0; i < ss->target->nr_groups && !ns->err; i++)
		ns->err = leap__ns_add_group(ns, i);
	if (ns->pending > 1)
		leap__bdev_use(ns->bdev, &ns->user);
	if (!--ns->pending) {
		ss->ns[o.nsid] = NULL;
		ss->nr_ns--;
		free_ns(ns);
		return leap__err(-ENOMEM, "leap_ns_add: out of memory");
	}
	return (int)o.nsid;
}

/* ---- a runtime's ---- */

static int bad_zones(const struct leap_ns_desc *d)
{
	if (d->reserved || d->read_across > 1)
		return 1;
	if (d->csi == LEAP_CSI_NVM)
		return d->zone_blocks || d->max_active || d->max_open ||
		       d->append_blocks || d->read_across ||
		       d->caps & LEAP_BDEV_ZONED;
	return d->csi != LEAP_CSI_ZNS || !d->zone_blocks ||
	       d->nr_blocks % d->zone_blocks ||
	       (d->max_active && d->max_open > d->max_active) ||
	       !(d->caps & LEAP_BDEV_ZONED);
}

static int check_desc(const struct leap_subsystem *ss,
		      const struct leap_ns_desc *d)
{
	if (!d->nsid || d->nsid > ss->max_nsid ||
	    (d->block_bytes != 512 && d->block_bytes != 4096) ||
	    !d->nr_blocks || d->nr_blocks > UINT64_MAX / d->block_bytes ||
	    d->read_only > 1 || bad_zones(d))
		return leap__err(-EINVAL,
			"leap__ns_show: nsid %u of %llu blocks of %u bytes",
			d->nsid, (unsigned long long)d->nr_blocks,
			d->block_bytes);
	return 0;
}

static void tell_size(struct leap__ns *ns);

/* The same but for its size? */
static int update(struct leap__ns *ns, const struct leap_ns_desc *d)
{
	struct leap_ns_desc was = ns->desc;

	was.nr_blocks = d->nr_blocks;
	if (memcmp(&was, d, sizeof(was)))
		return -EEXIST;
	if (ns->desc.nr_blocks == d->nr_blocks)
		return 0;
	ns->desc.nr_blocks = d->nr_blocks;
	if (ns->resizing || ns->state == LEAP__NS_OPENING)
		ns->resize_again = 1;
	else
		tell_size(ns);
	return 0;
}

int leap__ns_show(struct leap_subsystem *ss, const struct leap_ns_desc *desc,
		  uint32_t epoch)
{
	int err = ss->dying ? -EBUSY : check_desc(ss, desc);
	struct leap__ns *ns;

	if (err)
		return err;
	ns = ss->ns[desc->nsid];
	if (ns && ns->state == LEAP__NS_CLOSING)
		return leap__err(-EBUSY, "leap__ns_show: nsid %u is going",
				 desc->nsid);
	if (ns) {
		ns->shown = epoch;
		return update(ns, desc);
	}
	ns = calloc(1, sizeof(*ns));
	if (!ns)
		return leap__err(-ENOMEM, "leap__ns_show: out of memory");
	ns->ss = ss;
	ns->desc = *desc;
	ns->stack_bytes = desc->block_bytes;
	ns->shown = epoch;
	ss->ns[desc->nsid] = ns;
	ss->nr_ns++;
	err = leap__ns_add_group(ns, 0);
	if (err) {
		ss->ns[desc->nsid] = NULL;
		ss->nr_ns--;
		free_ns(ns);
	}
	return err;
}

/* ---- removal, resize ---- */

int leap_ns_remove(struct leap_subsystem *ss, uint32_t nsid,
		   void (*removed)(int err, void *arg), void *arg)
{
	struct leap__ns *ns = nsid && nsid <= ss->max_nsid ? ss->ns[nsid] :
							     NULL;

	if (!ns)
		return leap__err(-ENOENT, "leap_ns_remove: no nsid %u", nsid);
	/* One that is still opening sees ss->dying when it is open. */
	if (ns->state != LEAP__NS_ACTIVE)
		return leap__err(-EBUSY,
			"leap_ns_remove: nsid %u is being added or removed",
			nsid);
	ns->done = removed;
	ns->arg = arg;
	ns->err = 0;
	start_closing(ns);
	tell_hosts(ss, nsid);
	return 0;
}

static void resized_one(struct leap__lmsg *m);

static void tell_size(struct leap__ns *ns)
{
	uint32_t i;

	for (i = 0; i < ns->nr_ions; i++) {
		struct leap__ions *x = ns->ions[i];

		leap__link_init(&x->m_size, LEAP_LINK_NS_CHANGED, resized_one,
				ns);
		x->m_size.subject = x;
		x->m_size.link.u.ns = ns->desc;
		ns->resizing++;
		leap__link_ask(ns->ss->target->groups[i], &x->m_size);
	}
}

static void resized_one(struct leap__lmsg *m)
{
	struct leap__ns *ns = m->arg;

	if (--ns->resizing)
		return;
	if (ns->state == LEAP__NS_CLOSING) {
		if (!ns->pending)
			closed(ns);
		return;
	}
	if (ns->resize_again) {
		ns->resize_again = 0;
		tell_size(ns);
		return;
	}
	tell_hosts(ns->ss, ns->desc.nsid);
}

/* The stack says so: by leap_ns_resize, or because its medium changed. */
static void stack_resized(struct leap__bdev_user *user)
{
	struct leap__ns *ns = leap__list_entry(user, struct leap__ns, user);
	struct leap_bdev_info info = { .size = sizeof(info) };

	if (leap_bdev_info(ns->bdev, &info))
		return;
	ns->desc.nr_blocks = info.nr_blocks /
			     (ns->desc.block_bytes / info.block_bytes);
	if (ns->resizing || ns->state == LEAP__NS_OPENING)
		ns->resize_again = 1;
	else if (ns->state == LEAP__NS_ACTIVE && !LEAP_PLANT(RESIZE_UNTOLD))
		tell_size(ns);
}

static void zone_changed(struct leap__bdev_user *user, uint64_t block)
{
	struct leap__ns *ns = leap__list_entry(user, struct leap__ns, user);

	if (ns->state == LEAP__NS_ACTIVE && ns->desc.zone_blocks)
		leap__zns_changed(ns, block - block % ns->desc.zone_blocks);
}

int leap_ns_resize(struct leap_subsystem *ss, uint32_t nsid, uint64_t bytes)
{
	struct leap__ns *ns = leap__ns_active(ss, nsid);

	if (!ns)
		return leap__err(-ENOENT, "leap_ns_resize: no nsid %u", nsid);
	if (bytes % ns->desc.block_bytes || !bytes)
		return leap__err(-EINVAL,
			"leap_ns_resize: %llu bytes are no multiple of %u",
			(unsigned long long)bytes, ns->desc.block_bytes);
	return leap_bdev_resize(ns->bdev, bytes);
}

struct leap_bdev *leap_ns_bdev(const struct leap_subsystem *ss, uint32_t nsid)
{
	struct leap__ns *ns = leap__ns_active(ss, nsid);

	return ns ? ns->bdev : NULL;
}

int leap_ns_info(const struct leap_subsystem *ss, uint32_t nsid,
		 struct leap_ns_info *info)
{
	struct leap__ns *ns = leap__ns_active(ss, nsid);
	struct leap_ns_info i = { 0 };

	if (!ns)
		return leap__err(-ENOENT, "leap_ns_info: no nsid %u", nsid);
	i.nsid = nsid;
	i.block_bytes = ns->desc.block_bytes;
	i.nr_blocks = ns->desc.nr_blocks;
	memcpy(i.uuid, ns->desc.uuid, sizeof(i.uuid));
	memcpy(i.nguid, ns->desc.nguid, sizeof(i.nguid));
	i.read_only = ns->desc.read_only;
	i.csi = ns->desc.csi;
	i.zone_blocks = ns->desc.zone_blocks;
	return leap__info_copy("leap_ns_info", info, &i, sizeof(i));
}

uint32_t leap_ns_next(const struct leap_subsystem *ss, uint32_t after)
{
	while (++after && after <= ss->max_nsid)
		if (leap__ns_active(ss, after))
			return after;
	return 0;
}
