/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * show.c - control requests that only look
 *
 * Turns what the library lists and counts into JSON. Counters of a poll group
 * are read by its own thread, so their answer comes a message later. Changes
 * nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <leapio/relay.h>
#include <leapio/vdev.h>

#include "examples/common/inspect.h"
#include "methods.h"

static const struct field no_fields[] = { { NULL } };

static const struct field nqn_fields[] = {
	{ "nqn", FIELD_STR, 0, 0 }, { NULL },
};

static json_t *stack_text(const struct leap_bdev *bdev)
{
	int len = leap_bdev_print(bdev, NULL, 0);
	char *text = len < 0 ? NULL : malloc((size_t)len + 1);
	json_t *v = NULL;

	if (text && leap_bdev_print(bdev, text, (size_t)len + 1) == len)
		v = json_string(text);
	free(text);
	return v ? v : json_null();
}

static json_t *one_ns(const struct leap_subsystem *ss, uint32_t nsid)
{
	struct leap_ns_info info = { sizeof(info) };

	if (leap_ns_info(ss, nsid, &info))
		return NULL;
	return json_pack("{s:I, s:i, s:I, s:I, s:o}",
			 "nsid", (json_int_t)nsid,
			 "block_bytes", (int)info.block_bytes,
			 "blocks", (json_int_t)info.nr_blocks,
			 "bytes", (json_int_t)(info.nr_blocks *
					       info.block_bytes),
			 "stack", stack_text(leap_ns_bdev(ss, nsid)));
}

static json_t *all_ns(const struct leap_subsystem *ss)
{
	json_t *list = json_array();
	uint32_t nsid = 0;
	json_t *one;

	while ((nsid = leap_ns_next(ss, nsid))) {
		one = one_ns(ss, nsid);
		if (one)
			json_array_append_new(list, one);
	}
	return list;
}

void show_subsystems(struct jsonrpc_call *call, const json_t *params,
		     void *arg)
{
	struct runtime *rt = arg;
	struct leap_subsystem *ss = NULL;
	json_t *list;
	const char *nqn;

	if (!method_params(call, params, no_fields, NULL))
		return;
	list = json_array();
	while ((ss = leap_subsystem_next(rt->target, ss))) {
		json_t *note;

		nqn = leap_subsystem_nqn(ss);
		note = json_object_get(rt->subsystems, nqn);
		json_array_append_new(list, json_pack("{s:s, s:O?, s:O?, s:o}",
			"nqn", nqn, "any_host",
			json_object_get(note, "any_host"), "hosts",
			json_object_get(note, "hosts"), "namespaces",
			all_ns(ss)));
	}
	jsonrpc_result(call, list);
}

void show_namespaces(struct jsonrpc_call *call, const json_t *params,
		     void *arg)
{
	static const struct field fields[] = {
		{ "nqn", FIELD_STR, 1, 0 }, { NULL },
	};
	struct leap_subsystem *ss;
	const char *nqn;

	if (!method_params(call, params, fields, &nqn))
		return;
	ss = method_subsystem(call, arg, nqn);
	if (ss)
		jsonrpc_result(call, all_ns(ss));
}

void show_listeners(struct jsonrpc_call *call, const json_t *params,
		    void *arg)
{
	struct runtime *rt = arg;
	struct leap_listener *l = NULL;
	json_t *list;

	if (!method_params(call, params, no_fields, NULL))
		return;
	list = json_array();
	while ((l = leap_listener_next(rt->target, l)))
		json_array_append_new(list, json_pack("{s:s}", "url",
						      leap_listener_url(l)));
	jsonrpc_result(call, list);
}

/* What only the controller of a guest has; NULL: it is another's. */
static json_t *one_vdev(const struct leap_subsystem *ss, uint16_t cntlid)
{
	struct leap_vdev *v = ss ? leap_vdev_find(ss, cntlid) : NULL;
	struct leap_vdev_info i = { sizeof(i) };

	if (!v || leap_vdev_info(v, &i))
		return NULL;
	return json_pack("{s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:i, s:i}",
			 "doorbells", (json_int_t)i.doorbells,
			 "commands", (json_int_t)i.commands,
			 "shadow_doorbells", (int)i.shadow,
			 "mem_ranges", (json_int_t)i.nr_ranges,
			 "mem_bytes", (json_int_t)i.mem_bytes,
			 "cc", (json_int_t)i.cc, "csts", (json_int_t)i.csts,
			 "sqs", (int)i.nr_sqs, "cqs", (int)i.nr_cqs);
}

static json_t *one_ctrl(const struct leap_subsystem *ss, const char *nqn,
			const struct leap_ctrl_info *info)
{
	char hostid[33];
	int i;

	for (i = 0; i < 16; i++)
		snprintf(hostid + 2 * i, 3, "%02x", info->hostid[i]);
	return json_pack("{s:s, s:i, s:s, s:s, s:s, s:i, s:I, s:I, s:o*}",
			 "nqn", nqn, "cntlid", (int)info->cntlid,
			 "hostnqn", info->hostnqn, "hostid", hostid,
			 "peer", info->peer,
			 "io_queues", (int)info->nr_io_queues,
			 "kato_ms", (json_int_t)info->kato_ms,
			 "age_ns", (json_int_t)info->age_ns,
			 "guest", one_vdev(ss, info->cntlid));
}

static void add_ctrls(json_t *list, const struct leap_target *target,
		      const struct leap_subsystem *ss, const char *nqn)
{
	struct leap_ctrl_info info = { sizeof(info) };
	uint32_t after = 0;
	json_t *one;

	while (!leap_ctrl_next(target, ss, after, &info)) {
		after = info.cntlid;
		one = one_ctrl(ss, nqn, &info);
		if (one)	/* a host's name that is no UTF-8 is not */
			json_array_append_new(list, one);
	}
}

/* An answer about all subsystems, or the one that is named:
 * *@nqn, else NULL. */
static json_t *begin_list(struct jsonrpc_call *call, struct runtime *rt,
			  const json_t *params, const char **nqn)
{
	if (!method_params(call, params, nqn_fields, nqn) ||
	    (*nqn && !method_subsystem(call, rt, *nqn)))
		return NULL;
	return json_array();
}

/* The next subsystem that it is about. */
static struct leap_subsystem *next_of(const struct runtime *rt,
				      struct leap_subsystem *ss,
				      const char *nqn)
{
	do {
		ss = leap_subsystem_next(rt->target, ss);
	} while (ss && nqn && strcmp(leap_subsystem_nqn(ss), nqn));
	return ss;
}

void show_connections(struct jsonrpc_call *call, const json_t *params,
		      void *arg)
{
	struct runtime *rt = arg;
	struct leap_subsystem *ss = NULL;
	const char *nqn = NULL;
	json_t *list = begin_list(call, rt, params, &nqn);

	if (!list)
		return;
	if (!nqn)
		add_ctrls(list, rt->target, NULL, LEAP_NQN_DISCOVERY);
	while ((ss = next_of(rt, ss, nqn)))
		add_ctrls(list, rt->target, ss, leap_subsystem_nqn(ss));
	jsonrpc_result(call, list);
}

void show_drives(struct jsonrpc_call *call, const json_t *params, void *arg)
{
	struct runtime *rt = arg;

	if (method_params(call, params, no_fields, NULL))
		jsonrpc_result(call, inspect_drives(rt->target));
}

void show_drive(struct jsonrpc_call *call, const json_t *params, void *arg)
{
	struct runtime *rt = arg;

	inspect_drive(call, params, rt->target, rt->lent);
}

static json_t *op_stats(const struct leap_bdev_op_stats *op)
{
	json_t *hist = json_array();
	int i, n = LEAP_HIST_BUCKETS;

	while (n > 0 && !op->hist[n - 1])
		n--;
	for (i = 0; i < n; i++)
		json_array_append_new(hist,
				      json_integer((json_int_t)op->hist[i]));
	return json_pack("{s:I, s:I, s:I, s:o}", "ops", (json_int_t)op->ops,
			 "bytes", (json_int_t)op->bytes,
			 "errors", (json_int_t)op->errors, "latency_log2_ns",
			 hist);
}

/* What a leaf that hands commands on says of that; NULL = it is none. */
static json_t *relay_stats(const struct leap_bdev *leaf)
{
	struct leap_relay_info r = { sizeof(r) };

	if (leap_relay_info(leaf, &r))
		return NULL;
	return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "groups_live", (int)r.groups_live,
			 "lost", (json_int_t)r.lost,
			 "reconnects", (json_int_t)r.reconnects,
			 "held", (json_int_t)r.held,
			 "split", (json_int_t)r.split,
			 "refused", (json_int_t)r.refused,
			 "bounced", (json_int_t)r.bounced);
}

static json_t *one_layer(const struct leap_bdev *bdev)
{
	static const char *const names[] = { "read", "write", "flush",
					     "other" };
	struct leap_bdev_info info = { sizeof(info) };
	struct leap_bdev_stats stats = { sizeof(stats) };
	json_t *ops = json_object();
	json_t *children = json_array();
	json_t *layer, *relay;
	uint32_t i;

	leap_bdev_info(bdev, &info);
	leap_bdev_stats(bdev, &stats);
	for (i = 0; i < LEAP_BDEV_STAT_NR; i++)
		json_object_set_new(ops, names[i], op_stats(&stats.op[i]));
	for (i = 0; i < info.nr_children; i++)
		json_array_append_new(children,
				      one_layer(leap_bdev_child(bdev, i)));
	layer = json_pack("{s:s, s:i, s:I, s:o, s:o}", "layer", info.name,
			  "block_bytes", (int)info.block_bytes,
			  "blocks", (json_int_t)info.nr_blocks,
			  "ops", ops, "children", children);
	relay = info.nr_children ? NULL : relay_stats(bdev);
	if (relay)
		json_object_set_new(layer, "relay", relay);
	return layer;
}

static void add_stacks(json_t *list, const struct leap_subsystem *ss)
{
	uint32_t nsid = 0;
	struct leap_bdev *bdev;

	while ((nsid = leap_ns_next(ss, nsid))) {
		bdev = leap_ns_bdev(ss, nsid);
		if (!bdev)
			continue;
		json_array_append_new(list, json_pack("{s:s, s:I, s:o, s:o}",
			"nqn", leap_subsystem_nqn(ss),
			"nsid", (json_int_t)nsid, "stack", stack_text(bdev),
			"top", one_layer(bdev)));
	}
}

void show_stacks(struct jsonrpc_call *call, const json_t *params, void *arg)
{
	struct runtime *rt = arg;
	struct leap_subsystem *ss = NULL;
	const char *nqn = NULL;
	json_t *list = begin_list(call, rt, params, &nqn);

	if (!list)
		return;
	while ((ss = next_of(rt, ss, nqn)))
		add_stacks(list, ss);
	jsonrpc_result(call, list);
}

/* Counters of every poll group, each read by its owner. */
struct stats_part {
	struct leap_msg msg;
	struct stats_job *job;
	struct leap_pollgroup *pg;
	struct leap_pollgroup_stats stats;
};

struct stats_job {
	struct jsonrpc_call *call;
	struct runtime *rt;
	uint32_t left;
	struct stats_part parts[];	/* home, then the I/O groups */
};

static json_t *group_stats(const char *name,
			   const struct leap_pollgroup_stats *s)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "name", name, "polls", (json_int_t)s->polls,
			 "events", (json_int_t)s->events,
			 "sleeps", (json_int_t)s->sleeps,
			 "wakeups", (json_int_t)s->wakeups,
			 "syscalls", (json_int_t)s->syscalls,
			 "cmds_in_use", (json_int_t)s->cmds_in_use,
			 "bufs_in_use", (json_int_t)s->bufs_in_use,
			 "pool_empty", (json_int_t)s->pool_empty,
			 "bounced", (json_int_t)s->bounced);
}

static json_t *target_stats(const struct runtime *rt)
{
	struct leap_target_stats s = { sizeof(s) };

	/* While the process drains there may be no target left to ask. */
	if (!rt->target || leap_target_stats(rt->target, &s))
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}",
			 "connections", (json_int_t)s.connections,
			 "accepted", (json_int_t)s.accepted,
			 "protocol_errors", (json_int_t)s.protocol_errors,
			 "keep_alive_expired",
			 (json_int_t)s.keep_alive_expired,
			 "orphans", (json_int_t)s.orphans,
			 "held", (json_int_t)s.held);
}

static void stats_answer(struct stats_job *job)
{
	json_t *groups = json_array();
	char name[16] = "home";
	uint32_t i;

	for (i = 0; i <= job->rt->nr_groups; i++) {
		if (i)
			snprintf(name, sizeof(name), "io%u", i);
		json_array_append_new(groups,
				      group_stats(name, &job->parts[i].stats));
	}
	jsonrpc_result(job->call, json_pack("{s:o, s:o}", "target",
					    target_stats(job->rt),
					    "pollgroups", groups));
	free(job);
}

static void stats_back(struct leap_msg *msg)
{
	struct stats_part *part = (struct stats_part *)msg;

	if (!--part->job->left)
		stats_answer(part->job);
}

static void stats_read(struct leap_msg *msg)
{
	struct stats_part *part = (struct stats_part *)msg;

	part->stats.size = sizeof(part->stats);
	leap_pollgroup_stats(part->pg, &part->stats);
	msg->run = stats_back;
	leap_pollgroup_send(part->job->rt->home, msg);
}

void show_stats(struct jsonrpc_call *call, const json_t *params, void *arg)
{
	struct runtime *rt = arg;
	struct stats_job *job;
	uint32_t i, n = rt->nr_groups + 1;

	if (!method_params(call, params, no_fields, NULL))
		return;
	job = calloc(1, sizeof(*job) + n * sizeof(job->parts[0]));
	if (!job) {
		jsonrpc_fail(call, JSONRPC_INTERNAL, "out of memory");
		return;
	}
	job->call = call;
	job->rt = rt;
	job->left = n;
	for (i = 0; i < n; i++) {
		job->parts[i].job = job;
		job->parts[i].msg.run = stats_read;
		job->parts[i].pg = i ? rt->groups[i - 1].pg : rt->home;
		leap_pollgroup_send(job->parts[i].pg, &job->parts[i].msg);
	}
}

static json_int_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long total, resident = 0;

	if (f) {
		if (fscanf(f, "%lld %lld", &total, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	return resident * sysconf(_SC_PAGESIZE);
}

void show_process(struct jsonrpc_call *call, const json_t *params, void *arg)
{
	static const char *const worlds[] = { "auto", "epoll", "uring",
					      "sim" };
	struct runtime *rt = arg;
	const char *const *type = leap_bdev_types();
	int world = leap_pollgroup_world(rt->home);
	json_t *layers = json_array();
	struct timespec ts;

	if (!method_params(call, params, no_fields, NULL)) {
		json_decref(layers);
		return;
	}
	for (; *type; type++)
		json_array_append_new(layers, json_string(*type));
	clock_gettime(CLOCK_MONOTONIC, &ts);
	jsonrpc_result(call, json_pack("{s:i, s:s, s:I, s:I, s:s, s:i, s:o}",
		"pid", (int)getpid(), "version", leap_version(),
		"uptime_ns", (json_int_t)((uint64_t)ts.tv_sec * 1000000000u +
				(uint64_t)ts.tv_nsec - rt->start_ns),
		"resident_bytes", resident_bytes(),
		"world", worlds[world & 3], "io_threads", (int)rt->nr_groups,
		"layers", layers));
}
