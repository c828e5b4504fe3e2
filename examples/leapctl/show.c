/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * show.c - what the target answered, for people
 *
 * One function per kind of answer; missing fields show as 0 or "-", so that a
 * newer or older target is still readable. Asks for nothing itself.
 */
#include <stdio.h>
#include <string.h>

#include <leapio/bdev.h>

#include "examples/common/fields.h"
#include "examples/common/hist.h"
#include "examples/common/table.h"
#include "show.h"

static const char *const ops[] = { "read", "write", "flush", "other" };

static const char *text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "-";
}

static uint64_t number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static const char *size(const json_t *object, const char *key, char *buf)
{
	return size_to_text(number(object, key), buf, 32);
}

void show_nothing(const json_t *result)
{
	uint64_t nsid = number(result, "nsid");

	if (nsid)
		printf("namespace %llu\n", (unsigned long long)nsid);
	if (json_object_get(result, "url"))
		printf("listening on %s\n", text(result, "url"));
}

static void ns_row(struct table *t, const char *nqn, const json_t *ns)
{
	char buf[32];

	if (nqn)
		table_cell(t, "%s", nqn);
	table_cell(t, "%llu", (unsigned long long)number(ns, "nsid"));
	table_cell(t, "%s", size(ns, "bytes", buf));
	table_cell(t, "%llu", (unsigned long long)number(ns, "block_bytes"));
	table_cell(t, "%s", text(ns, "stack"));
}

void show_namespaces(const json_t *list)
{
	static const char *const heads[] = { "NSID", "SIZE", "BLOCK",
					     "STACK" };
	const json_t *ns;
	struct table t;
	size_t i;

	table_begin(&t, "rrrl", heads);
	json_array_foreach(list, i, ns)
		ns_row(&t, NULL, ns);
	table_end(&t);
}

void show_subsystems(const json_t *list)
{
	static const char *const heads[] = { "SUBSYSTEM", "HOSTS", "NSID",
					     "SIZE", "BLOCK", "STACK" };
	const json_t *ss, *ns, *all;
	struct table t;
	char hosts[16];
	size_t i, k;

	table_begin(&t, "lrrrrl", heads);
	json_array_foreach(list, i, ss) {
		all = json_object_get(ss, "namespaces");
		snprintf(hosts, sizeof(hosts), "%zu", json_array_size(
			 json_object_get(ss, "hosts")));
		for (k = 0; !k || k < json_array_size(all); k++) {
			ns = json_array_get(all, k);
			table_cell(&t, "%s", k ? "" : text(ss, "nqn"));
			table_cell(&t, "%s", k ? "" : json_is_true(
				   json_object_get(ss, "any_host")) ? "any" :
				   hosts);
			if (ns) {
				ns_row(&t, NULL, ns);
				continue;
			}
			table_cell(&t, "-");
			table_cell(&t, "-");
			table_cell(&t, "-");
			table_cell(&t, "-");
		}
	}
	table_end(&t);
}

void show_listeners(const json_t *list)
{
	const json_t *l;
	size_t i;

	json_array_foreach(list, i, l)
		printf("%s\n", text(l, "url"));
}

void show_connections(const json_t *list)
{
	static const char *const heads[] = { "SUBSYSTEM", "CNTLID", "QUEUES",
					     "KATO", "AGE", "PEER", "HOST" };
	const json_t *c;
	struct table t;
	char age[32];
	size_t i;

	table_begin(&t, "lrrrrll", heads);
	json_array_foreach(list, i, c) {
		table_cell(&t, "%s", text(c, "nqn"));
		table_cell(&t, "%llu", (unsigned long long)number(c,
								  "cntlid"));
		table_cell(&t, "%llu", (unsigned long long)number(c,
								"io_queues"));
		table_cell(&t, "%.1fs", (double)number(c, "kato_ms") / 1e3);
		table_cell(&t, "%s", time_to_text(number(c, "age_ns"), age,
						  sizeof(age)));
		table_cell(&t, "%s", text(c, "peer"));
		table_cell(&t, "%s", text(c, "hostnqn"));
	}
	table_end(&t);
}

static void read_hist(const json_t *op, uint64_t *hist)
{
	const json_t *list = json_object_get(op, "latency_log2_ns");
	int i;

	for (i = 0; i < LEAP_HIST_BUCKETS; i++)
		hist[i] = (uint64_t)json_integer_value(
				json_array_get(list, (size_t)i));
}

static void latency(struct table *t, const uint64_t *hist)
{
	static const unsigned int per_mille[] = { 500, 990, 999 };
	char buf[32];
	int i;

	for (i = 0; i < 3; i++)
		table_cell(t, "%s", time_to_text(hist_percentile(hist,
			   LEAP_HIST_BUCKETS, per_mille[i]), buf,
			   sizeof(buf)));
}

static void layer_rows(struct table *t, const json_t *layer, int depth)
{
	const json_t *all = json_object_get(layer, "ops");
	uint64_t hist[LEAP_HIST_BUCKETS];
	const json_t *child;
	char buf[32];
	size_t i;
	int k, rows = 0;

	for (k = 0; k < 4; k++) {
		const json_t *op = json_object_get(all, ops[k]);

		if (!number(op, "ops") && (k < 3 || rows))
			continue;
		table_cell(t, "%*s%s", 2 * depth, "",
			   rows++ ? "" : text(layer, "layer"));
		table_cell(t, "%s", number(op, "ops") ? ops[k] : "-");
		table_cell(t, "%llu", (unsigned long long)number(op, "ops"));
		table_cell(t, "%s", size(op, "bytes", buf));
		table_cell(t, "%llu", (unsigned long long)number(op,
								 "errors"));
		read_hist(op, hist);
		latency(t, hist);
	}
	json_array_foreach(json_object_get(layer, "children"), i, child)
		layer_rows(t, child, depth + 1);
}

/* Of the first relay below a layer. */
static void relay_line(const json_t *layer)
{
	const json_t *relay = json_object_get(layer, "relay"), *child, *v;
	const char *key;
	size_t i;

	json_array_foreach(json_object_get(layer, "children"), i, child)
		relay_line(child);
	if (!relay)
		return;
	printf("%s:", text(layer, "layer"));
	json_object_foreach((json_t *)relay, key, v)
		printf(" %s %lld", key, (long long)json_integer_value(v));
	printf("\n");
}

void show_stacks(const json_t *list)
{
	static const char *const heads[] = { "LAYER", "OP", "COUNT", "BYTES",
					     "ERRORS", "P50", "P99",
					     "P99.9" };
	const json_t *s;
	struct table t;
	size_t i;

	json_array_foreach(list, i, s) {
		printf("%s%s nsid %llu: %s\n", i ? "\n" : "", text(s, "nqn"),
		       (unsigned long long)number(s, "nsid"),
		       text(s, "stack"));
		table_begin(&t, "llrrrrrr", heads);
		layer_rows(&t, json_object_get(s, "top"), 0);
		table_end(&t);
		relay_line(json_object_get(s, "top"));
	}
}

void show_stats(const json_t *stats)
{
	static const char *const heads[] = { "GROUP", "POLLS", "EVENTS",
					     "SLEEPS", "WAKEUPS", "SYSCALLS",
					     "CMDS", "BUFS", "POOL EMPTY",
					     "BOUNCED" };
	static const char *const keys[] = { "polls", "events", "sleeps",
					    "wakeups", "syscalls",
					    "cmds_in_use", "bufs_in_use",
					    "pool_empty", "bounced" };
	const json_t *target = json_object_get(stats, "target");
	const json_t *group, *v;
	const char *key;
	struct table t;
	size_t i, k;

	json_object_foreach((json_t *)target, key, v)
		printf("%-20s %lld\n", key, (long long)json_integer_value(v));
	printf("\n");
	table_begin(&t, "lrrrrrrrrr", heads);
	json_array_foreach(json_object_get(stats, "pollgroups"), i, group) {
		table_cell(&t, "%s", text(group, "name"));
		for (k = 0; k < 9; k++)
			table_cell(&t, "%llu", (unsigned long long)
				   number(group, keys[k]));
	}
	table_end(&t);
}

void show_info(const json_t *info)
{
	const json_t *layer;
	char buf[32];
	size_t i;

	printf("version   %s\n", text(info, "version"));
	printf("process   %llu\n", (unsigned long long)number(info, "pid"));
	printf("uptime    %s\n", time_to_text(number(info, "uptime_ns"), buf,
					      sizeof(buf)));
	/* leap-hostd has no more. */
	if (!json_object_get(info, "layers"))
		return;
	printf("resident  %s\n", size(info, "resident_bytes", buf));
	printf("world     %s\n", text(info, "world"));
	printf("threads   1 + %llu\n", (unsigned long long)number(info,
							"io_threads"));
	printf("layers   ");
	json_array_foreach(json_object_get(info, "layers"), i, layer)
		printf(" %s", json_string_value(layer));
	printf("\n");
}

void show_agent(const json_t *info)
{
	const json_t *slots = json_object_get(info, "slots");
	char buf[32];

	printf("state     %s\n", text(info, "state"));
	if (number(info, "pid"))
		printf("runtime   %llu for %s\n",
		       (unsigned long long)number(info, "pid"),
		       time_to_text(number(info, "since_ns"), buf,
				    sizeof(buf)));
	printf("standby   %s\n", *text(info, "standby") ?
	       text(info, "standby") : "-");
	printf("lent      %llu controllers, %llu queues\n",
	       (unsigned long long)number(info, "controllers"),
	       (unsigned long long)number(info, "queues"));
	printf("runtimes  %llu attached, %llu fenced, %llu not in time, "
	       "%llu bad\n", (unsigned long long)number(info, "attached"),
	       (unsigned long long)number(info, "fenced"),
	       (unsigned long long)number(info, "unfenced"),
	       (unsigned long long)number(info, "bad_messages"));
	printf("pause     %s\n", time_to_text(number(info, "pause_ns"), buf,
					      sizeof(buf)));
	printf("slots     free %llu, fetched %llu, issued %llu, "
	       "completing %llu\n",
	       (unsigned long long)number(slots, "free"),
	       (unsigned long long)number(slots, "fetched"),
	       (unsigned long long)number(slots, "issued"),
	       (unsigned long long)number(slots, "completing"));
	if (*text(info, "last"))
		printf("last      %s\n", text(info, "last"));
}

void show_lent(const json_t *result)
{
	static const char *const heads[] = { "DEVICE", "STATE", "FREE", "ID",
					     "PID", "QUEUES", "MEMORY" };
	const json_t *device, *b, *all;
	struct table t;
	char buf[32];
	size_t i, j;

	table_begin(&t, "llrrrrr", heads);
	json_array_foreach(result, i, device) {
		all = json_object_get(device, "borrowers");
		for (j = 0; !j || j < json_array_size(all); j++) {
			b = json_array_get(all, j);
			table_cell(&t, "%s", j ? "" : text(device, "url"));
			table_cell(&t, "%s", j ? "" : text(device, "state"));
			table_cell(&t, "%llu", (unsigned long long)
				   (number(device, "max_queues") -
				    number(device, "queues")));
			table_cell(&t, "%llu", (unsigned long long)
				   number(b, "id"));
			table_cell(&t, "%llu", (unsigned long long)
				   number(b, "pid"));
			table_cell(&t, "%llu", (unsigned long long)
				   number(b, "queues"));
			table_cell(&t, "%s", size_to_text(number(b,
				   "map_bytes"), buf, sizeof(buf)));
		}
	}
	table_end(&t);
}

void show_drives(const json_t *result)
{
	static const char *const heads[] = { "SUBSYSTEM", "NAMESPACES",
					     "CNTLID", "QUEUES", "AGE" };
	const json_t *drive, *ctrl, *ctrls;
	struct table t;
	char buf[32];
	size_t i, j;

	table_begin(&t, "lrrrr", heads);
	json_array_foreach(json_object_get(result, "drives"), i, drive) {
		ctrls = json_object_get(drive, "controllers");
		for (j = 0; !j || j < json_array_size(ctrls); j++) {
			ctrl = json_array_get(ctrls, j);
			table_cell(&t, "%s", j ? "" : text(drive, "nqn"));
			table_cell(&t, "%zu", json_array_size(
				   json_object_get(drive, "namespaces")));
			table_cell(&t, "%llu", (unsigned long long)
				   number(ctrl, "cntlid"));
			table_cell(&t, "%llu", (unsigned long long)
				   number(ctrl, "queues"));
			table_cell(&t, "%s", ctrl ? time_to_text(number(ctrl,
				   "age_ns"), buf, sizeof(buf)) : "-");
		}
	}
	table_end(&t);
}

static const json_t *same_stack(const json_t *list, const json_t *s)
{
	const json_t *o;
	size_t i;

	json_array_foreach(list, i, o)
		if (!strcmp(text(o, "nqn"), text(s, "nqn")) &&
		    number(o, "nsid") == number(s, "nsid"))
			return o;
	return NULL;
}

static uint64_t grown(const json_t *before, const json_t *after,
		      const char *key)
{
	uint64_t a = number(before, key), b = number(after, key);

	return b >= a ? b - a : b;	/* the namespace was made anew */
}

json_t *top_rates(const json_t *before, const json_t *after, double seconds)
{
	uint64_t was[LEAP_HIST_BUCKETS], hist[LEAP_HIST_BUCKETS];
	json_t *out = json_array();
	const json_t *s, *a, *b;
	size_t i;
	int k, n;

	json_array_foreach(after, i, s) {
		for (k = 0; k < 4; k++) {
			b = json_object_get(json_object_get(json_object_get(s,
					"top"), "ops"), ops[k]);
			a = json_object_get(json_object_get(json_object_get(
					same_stack(before, s), "top"), "ops"),
					ops[k]);
			if (k > 1 && !grown(a, b, "ops"))
				continue;
			read_hist(a, was);
			read_hist(b, hist);
			for (n = 0; n < LEAP_HIST_BUCKETS; n++)
				hist[n] -= was[n] <= hist[n] ? was[n] : 0;
			json_array_append_new(out, json_pack(
				"{s:s, s:I, s:s, s:f, s:f, s:I, s:I, s:I}",
				"nqn", text(s, "nqn"), "nsid",
				(json_int_t)number(s, "nsid"), "op", ops[k],
				"iops", (double)grown(a, b, "ops") / seconds,
				"bytes_per_s",
				(double)grown(a, b, "bytes") / seconds,
				"p50_ns", (json_int_t)hist_percentile(hist,
						LEAP_HIST_BUCKETS, 500),
				"p99_ns", (json_int_t)hist_percentile(hist,
						LEAP_HIST_BUCKETS, 990),
				"p999_ns", (json_int_t)hist_percentile(hist,
						LEAP_HIST_BUCKETS, 999)));
		}
	}
	return out;
}

void show_top(const json_t *before, const json_t *after, double seconds)
{
	static const char *const heads[] = { "SUBSYSTEM", "NSID", "OP",
					     "IOPS", "BYTES/S", "P50", "P99",
					     "P99.9" };
	static const char *const keys[] = { "p50_ns", "p99_ns", "p999_ns" };
	json_t *rates = top_rates(before, after, seconds);
	const json_t *r;
	struct table t;
	char buf[32];
	size_t i;
	int k;

	table_begin(&t, "lrlrrrrr", heads);
	json_array_foreach(rates, i, r) {
		table_cell(&t, "%s", text(r, "nqn"));
		table_cell(&t, "%llu", (unsigned long long)number(r, "nsid"));
		table_cell(&t, "%s", text(r, "op"));
		table_cell(&t, "%.0f", json_number_value(
			   json_object_get(r, "iops")));
		table_cell(&t, "%s", size_to_text((uint64_t)json_number_value(
			   json_object_get(r, "bytes_per_s")), buf,
			   sizeof(buf)));
		for (k = 0; k < 3; k++)
			table_cell(&t, "%s", time_to_text(number(r, keys[k]),
				   buf, sizeof(buf)));
	}
	table_end(&t);
	json_decref(rates);
}
