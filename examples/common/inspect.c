/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inspect.c - the inside of drives, as JSON, for the control sockets of socp
 * and leap-hostd
 *
 * A drive is a subsystem; each of its controllers that a virtual machine uses
 * is looked at by the library, which tells the items one by one, later. They
 * are collected here until the last is done. Lists that would make the answer
 * too long for a message end early and say how much was left off.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/record.h>
#include <leapio/vdev.h>

#include "examples/common/fields.h"
#include "examples/common/inspect.h"

#define MAX_RANGES	512	/* of one controller */
#define MAX_SLOTS	1024	/* of all */

/* ---- drives.list ---- */

static json_t *controllers(const struct leap_target *t,
			   const struct leap_subsystem *ss)
{
	struct leap_ctrl_info i = { sizeof(i) };
	json_t *list = json_array();
	uint32_t after = 0;

	while (!leap_ctrl_next(t, ss, after, &i)) {
		json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:I}",
			"cntlid", (int)i.cntlid, "queues", (int)i.nr_io_queues,
			"host", i.hostnqn, "age_ns", (json_int_t)i.age_ns));
		after = i.cntlid;
		i.size = sizeof(i);
	}
	return list;
}

static json_t *nsids(const struct leap_subsystem *ss)
{
	json_t *list = json_array();
	uint32_t nsid = 0;

	while ((nsid = leap_ns_next(ss, nsid)))
		json_array_append_new(list, json_integer((json_int_t)nsid));
	return list;
}

json_t *inspect_drives(const struct leap_target *t)
{
	struct leap_subsystem *ss = NULL;
	struct leap_listener *l = NULL;
	json_t *drives = json_array(), *urls = json_array();

	while (t && (ss = leap_subsystem_next(t, ss)))
		json_array_append_new(drives, json_pack("{s:s, s:o, s:o}",
			"nqn", leap_subsystem_nqn(ss), "namespaces", nsids(ss),
			"controllers", controllers(t, ss)));
	while (t && (l = leap_listener_next(t, l)))
		json_array_append_new(urls,
				      json_string(leap_listener_url(l)));
	return json_pack("{s:o, s:o}", "drives", drives, "sockets", urls);
}

/* ---- drives.inspect ---- */

/* One answer, of several looks. */
struct look {
	struct jsonrpc_call *call;
	json_t *result;
	json_t *ctrls;
	uint32_t pending;
	uint32_t nr_slots;
	uint32_t slots_left;	/* not listed */
};

/* One controller of it. */
struct part {
	struct look *look;
	json_t *ctrl, *mem, *cqs, *sqs, *slots;
	uint32_t mem_left;
};

static const char *const states[] = { "free", "fetched", "issued",
				      "completing" };

static json_t *hex(uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)v);
	return json_string(text);
}

static void on_mem(void *arg, const struct leap_vdev_mem_info *i)
{
	static const char *const sources[] = { "fd", "dmabuf", "remote",
					       "message", "callback" };
	static const char *const perms[] = { "-", "r", "w", "rw" };
	struct part *p = arg;

	if (json_array_size(p->mem) >= MAX_RANGES) {
		p->mem_left++;
		return;
	}
	json_array_append_new(p->mem, json_pack("{s:o, s:I, s:s, s:s}",
		"gpa", hex(i->gpa.addr), "bytes", (json_int_t)i->bytes,
		"perm", perms[i->perm & 3], "source",
		i->source < 5 ? sources[i->source] : "?"));
}

static json_t *doorbell(const struct leap_vdev_db_info *db)
{
	json_t *o = json_pack("{s:I, s:b}", "value", (json_int_t)db->value,
			      "wake", db->wake != 0);

	if (db->has_shadow) {
		json_object_set_new(o, "shadow", json_integer(db->shadow));
		json_object_set_new(o, "eventidx",
				    json_integer(db->eventidx));
	}
	return o;
}

static json_t *iotlb(const struct leap_ats_stats *s)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "hits", (json_int_t)s->hits,
			 "misses", (json_int_t)s->misses,
			 "faults", (json_int_t)s->faults,
			 "pins", (json_int_t)s->pins);
}

static void on_cq(void *arg, const struct leap_vdev_cq_info *i)
{
	struct part *p = arg;
	json_t *o = json_pack("{s:i, s:i, s:I, s:o, s:I, s:b, s:I, s:I, s:I, "
			      "s:o}", "cqid", (int)i->cqid,
			      "sqs", (int)i->nr_sqs,
			      "depth", (json_int_t)i->depth,
			      "gpa", hex(i->gpa.addr),
			      "vector", i->vector == UINT32_MAX ?
			      (json_int_t)-1 : (json_int_t)i->vector,
			      "pin", (int)i->pin,
			      "head", (json_int_t)i->head,
			      "tail", (json_int_t)i->tail,
			      "posted", (json_int_t)i->db.posted,
			      "doorbell", doorbell(&i->db));

	if (i->has_view)
		json_object_set_new(o, "iotlb", iotlb(&i->view));
	json_array_append_new(p->cqs, o);
}

static void on_sq(void *arg, const struct leap_vdev_sq_info *i)
{
	struct part *p = arg;
	json_t *o = json_pack("{s:i, s:i, s:I, s:o, s:I, s:I, s:I, s:o}",
			      "sqid", (int)i->sqid, "cqid", (int)i->cqid,
			      "depth", (json_int_t)i->depth,
			      "gpa", hex(i->gpa.addr),
			      "head", (json_int_t)i->head,
			      "tail", (json_int_t)i->tail,
			      "fetched", (json_int_t)i->fetched,
			      "doorbell", doorbell(&i->db));

	json_object_set_new(o, "slots", json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I}",
		"all", (json_int_t)i->nr_slots,
		"free", (json_int_t)i->slots[LEAP_RECORD_FREE],
		"fetched", (json_int_t)i->slots[LEAP_RECORD_FETCHED],
		"issued", (json_int_t)i->slots[LEAP_RECORD_ISSUED],
		"completing", (json_int_t)i->slots[LEAP_RECORD_COMPLETING],
		"bad", (json_int_t)i->bad_slots));
	if (i->served)
		json_object_set_new(o, "served", json_pack(
			"{s:b, s:b, s:b, s:I, s:I, s:I}",
			"sleeps", (int)i->armed, "stopped", (int)i->stopped,
			"no_memory", (int)i->no_memory,
			"interrupts", (json_int_t)i->interrupts,
			"kicks", (json_int_t)i->kicks,
			"bad_doorbells", (json_int_t)i->bad_doorbells));
	json_array_append_new(p->sqs, o);
}

static void on_slot(void *arg, const struct leap_vdev_slot_info *i)
{
	struct part *p = arg;

	if (p->look->nr_slots >= MAX_SLOTS) {
		p->look->slots_left++;
		return;
	}
	p->look->nr_slots++;
	json_array_append_new(p->slots, json_pack(
		"{s:i, s:i, s:s, s:I, s:i, s:i, s:I, s:o}",
		"sqid", (int)i->sqid, "tag", (int)i->tag,
		"state", states[i->state & 3], "seq", (json_int_t)i->seq,
		"opcode", (int)i->opcode, "cid", (int)i->cid,
		"nsid", (json_int_t)i->nsid, "slba", hex(i->slba)));
}

static void look_done(struct look *l)
{
	if (--l->pending)
		return;
	if (l->slots_left)
		json_object_set_new(l->result, "slots_left_off",
				    json_integer(l->slots_left));
	jsonrpc_result(l->call, l->result);
	free(l);
}

static void on_done(void *arg)
{
	struct part *p = arg;
	struct look *l = p->look;

	if (p->mem_left)
		json_object_set_new(p->ctrl, "memory_left_off",
				    json_integer(p->mem_left));
	free(p);
	look_done(l);
}

static json_t *ctrl_json(struct leap_vdev *v)
{
	struct leap_vdev_info i = { sizeof(i) };

	if (leap_vdev_info(v, &i))
		return json_object();
	return json_pack("{s:i, s:o, s:o, s:b, s:I, s:I, s:I, s:I}",
			 "cntlid", (int)i.cntlid, "cc", hex(i.cc),
			 "csts", hex(i.csts), "shadow", (int)i.shadow,
			 "doorbells", (json_int_t)i.doorbells,
			 "commands", (json_int_t)i.commands,
			 "mem_ranges", (json_int_t)i.nr_ranges,
			 "mem_bytes", (json_int_t)i.mem_bytes);
}

static json_t *add_list(json_t *object, const char *key)
{
	json_t *list = json_array();

	json_object_set_new(object, key, list);
	return list;
}

/* A controller, @ctrl of which is taken: its part, or NULL. */
static struct part *part_new(struct look *l, json_t *ctrl,
			     struct leap_vdev_inspect_ops *ops)
{
	struct part *p = calloc(1, sizeof(*p));

	if (!p) {
		json_decref(ctrl);
		return NULL;
	}
	*ops = (struct leap_vdev_inspect_ops)LEAP_VDEV_INSPECT_OPS_INIT;
	ops->mem = on_mem;
	ops->cq = on_cq;
	ops->sq = on_sq;
	ops->slot = on_slot;
	ops->done = on_done;
	p->look = l;
	p->ctrl = ctrl;
	p->mem = add_list(ctrl, "memory");
	p->cqs = add_list(ctrl, "cqs");
	p->sqs = add_list(ctrl, "sqs");
	p->slots = add_list(ctrl, "slots");
	return p;
}

static void started(struct look *l, struct part *p, int err)
{
	if (err) {
		json_decref(p->ctrl);
		free(p);
		return;
	}
	json_array_append_new(l->ctrls, p->ctrl);
	l->pending++;
}

static void start_own(struct look *l, const struct leap_target *t,
		      const struct leap_subsystem *ss, uint32_t cntlid)
{
	struct leap_ctrl_info i = { sizeof(i) };
	struct leap_vdev_inspect_ops ops;
	struct leap_vdev *v;
	uint32_t after = 0;
	struct part *p;

	while (!leap_ctrl_next(t, ss, after, &i)) {
		after = i.cntlid;
		i.size = sizeof(i);
		v = leap_vdev_find(ss, i.cntlid);
		if (!v || (cntlid && cntlid != i.cntlid))
			continue;
		p = part_new(l, ctrl_json(v), &ops);
		if (p)
			started(l, p, leap_vdev_inspect(v, &ops, p));
	}
}

static void start_lent(struct look *l, struct leap_runtime *rt,
		       const char *nqn, uint32_t cntlid)
{
	struct leap_runtime_ctrl_info i = { sizeof(i) };
	struct leap_vdev_inspect_ops ops;
	uint32_t after = 0;
	struct part *p;

	while (rt && !leap_runtime_ctrl_next(rt, after, &i)) {
		after = i.cntlid;
		if (strcmp(i.nqn, nqn) || (cntlid && cntlid != i.cntlid))
			continue;
		p = part_new(l, json_pack("{s:i, s:b, s:I}",
					  "cntlid", (int)i.cntlid, "lent", 1,
					  "mem_bytes",
					  (json_int_t)i.mem_bytes), &ops);
		if (p)
			started(l, p, leap_runtime_inspect(rt, i.cntlid, &ops,
							   p));
	}
}

struct drive_params {
	const char *nqn;
	uint32_t cntlid;
};

void inspect_drive(struct jsonrpc_call *call, const json_t *params,
		   struct leap_target *t, struct leap_runtime *lent)
{
	static const struct field fields[] = {
		{ "nqn", FIELD_STR, 1, offsetof(struct drive_params, nqn) },
		{ "cntlid", FIELD_U32, 0,
		  offsetof(struct drive_params, cntlid), 0xffff },
		{ NULL },
	};
	struct drive_params p = { 0 };
	struct leap_subsystem *ss;
	struct field_error err;
	struct look *l;

	if (fields_read(params, fields, &p, &err)) {
		jsonrpc_fail(call, JSONRPC_INVALID_PARAMS, "%s", err.text);
		return;
	}
	ss = t ? leap_subsystem_find(t, p.nqn) : NULL;
	if (!ss) {
		jsonrpc_fail(call, JSONRPC_REFUSED, "no drive \"%s\"", p.nqn);
		return;
	}
	l = calloc(1, sizeof(*l));
	if (!l) {
		jsonrpc_fail(call, JSONRPC_INTERNAL, "out of memory");
		return;
	}
	l->call = call;
	l->result = json_pack("{s:s}", "nqn", p.nqn);
	l->ctrls = add_list(l->result, "controllers");
	l->pending = 1;
	start_own(l, t, ss, p.cntlid);
	start_lent(l, lent, p.nqn, p.cntlid);
	/* None at all is fine, unless one was asked for. */
	if (p.cntlid && l->pending == 1) {
		jsonrpc_fail(call, JSONRPC_REFUSED, "drive \"%s\" has no "
			     "controller %u of a virtual machine", p.nqn,
			     p.cntlid);
		json_decref(l->result);
		free(l);
		return;
	}
	look_done(l);
}
