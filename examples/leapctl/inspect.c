/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inspect.c - the answer of drives.inspect, for people
 *
 * One block for each controller: what it is, then memory, completion queues,
 * submission queues and commands in flight as tables. What this process does
 * not know shows as "-". Asks for nothing itself.
 */
#include <stdio.h>
#include <string.h>

#include "examples/common/fields.h"
#include "examples/common/table.h"
#include "show.h"

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

static long long number(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static int is(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* A number, or "-" when there is no such object. */
static void cell(struct table *t, const json_t *o, const char *key)
{
	if (json_object_get(o, key))
		table_cell(t, "%lld", number(o, key));
	else
		table_cell(t, "-");
}

static void show_mem(const json_t *ctrl)
{
	static const char *const heads[] = { "MEMORY", "SIZE", "PERM",
					     "SOURCE" };
	const json_t *m;
	struct table t;
	char buf[32];
	size_t i;

	table_begin(&t, "rrll", heads);
	json_array_foreach(json_object_get(ctrl, "memory"), i, m) {
		table_cell(&t, "%s", text(m, "gpa"));
		table_cell(&t, "%s", size_to_text((uint64_t)number(m, "bytes"),
						  buf, sizeof(buf)));
		table_cell(&t, "%s", text(m, "perm"));
		table_cell(&t, "%s", text(m, "source"));
	}
	table_end(&t);
	if (number(ctrl, "memory_left_off"))
		printf("... and %lld more\n", number(ctrl, "memory_left_off"));
}

static void show_cqs(const json_t *ctrl)
{
	static const char *const heads[] = { "CQ", "DEPTH", "RING", "VECTOR",
					     "HEAD", "TAIL", "DOORBELL",
					     "SHADOW", "HITS", "MISSES",
					     "FAULTS", "PINS" };
	const json_t *q, *db, *tlb;
	struct table t;
	size_t i;

	table_begin(&t, "rrrrrrrrrrrr", heads);
	json_array_foreach(json_object_get(ctrl, "cqs"), i, q) {
		db = json_object_get(q, "doorbell");
		tlb = json_object_get(q, "iotlb");
		cell(&t, q, "cqid");
		cell(&t, q, "depth");
		table_cell(&t, "%s", text(q, "gpa"));
		if (number(q, "vector") < 0)
			table_cell(&t, "-");
		else if (is(q, "pin"))
			table_cell(&t, "pin");
		else
			cell(&t, q, "vector");
		cell(&t, q, "head");
		cell(&t, q, "tail");
		cell(&t, db, "value");
		cell(&t, db, "shadow");
		cell(&t, tlb, "hits");
		cell(&t, tlb, "misses");
		cell(&t, tlb, "faults");
		cell(&t, tlb, "pins");
	}
	table_end(&t);
}

static void show_sqs(const json_t *ctrl)
{
	static const char *const heads[] = { "SQ", "CQ", "DEPTH", "RING",
					     "HEAD", "TAIL", "DOORBELL",
					     "SHADOW", "SLEEPS", "FETCHED",
					     "ISSUED", "COMPLETING" };
	const json_t *q, *db, *slots;
	struct table t;
	size_t i;

	table_begin(&t, "rrrrrrrrrrrr", heads);
	json_array_foreach(json_object_get(ctrl, "sqs"), i, q) {
		db = json_object_get(q, "doorbell");
		slots = json_object_get(q, "slots");
		cell(&t, q, "sqid");
		cell(&t, q, "cqid");
		cell(&t, q, "depth");
		table_cell(&t, "%s", text(q, "gpa"));
		cell(&t, q, "head");
		cell(&t, q, "tail");
		cell(&t, db, "value");
		cell(&t, db, "shadow");
		table_cell(&t, "%s", is(db, "wake") ? "yes" : "no");
		cell(&t, slots, "fetched");
		cell(&t, slots, "issued");
		cell(&t, slots, "completing");
	}
	table_end(&t);
	json_array_foreach(json_object_get(ctrl, "sqs"), i, q) {
		slots = json_object_get(q, "slots");
		if (!number(slots, "all"))
			printf("SQ %lld: its record cannot be read\n",
			       number(q, "sqid"));
		else if (number(slots, "bad"))
			printf("SQ %lld: %lld damaged slots\n",
			       number(q, "sqid"), number(slots, "bad"));
	}
}

static void show_slots(const json_t *ctrl)
{
	static const char *const heads[] = { "SQ", "TAG", "STATE", "SEQ",
					     "OPCODE", "CID", "NSID",
					     "SLBA" };
	const json_t *list = json_object_get(ctrl, "slots");
	const json_t *s;
	struct table t;
	size_t i;

	if (!json_array_size(list)) {
		printf("nothing in flight\n");
		return;
	}
	table_begin(&t, "rrlrrrrr", heads);
	json_array_foreach(list, i, s) {
		cell(&t, s, "sqid");
		cell(&t, s, "tag");
		table_cell(&t, "%s", text(s, "state"));
		cell(&t, s, "seq");
		table_cell(&t, "%02llx", (unsigned long long)number(s,
								"opcode"));
		cell(&t, s, "cid");
		cell(&t, s, "nsid");
		table_cell(&t, "%s", text(s, "slba"));
	}
	table_end(&t);
}

void show_drive(const json_t *result)
{
	const json_t *all = json_object_get(result, "controllers");
	const json_t *c;
	char buf[32];
	size_t i;

	if (!json_array_size(all))
		printf("%s: no virtual machine uses it\n", text(result, "nqn"));
	json_array_foreach(all, i, c) {
		printf("%s%s controller %lld: ", i ? "\n" : "",
		       text(result, "nqn"), number(c, "cntlid"));
		if (is(c, "lent"))
			printf("lent by an agent, ");
		else
			printf("CC %s, CSTS %s, %s doorbells, %lld trapped, "
			       "%lld commands, ", text(c, "cc"),
			       text(c, "csts"), is(c, "shadow") ? "shadow" :
			       "trapped", number(c, "doorbells"),
			       number(c, "commands"));
		printf("%s of memory\n", size_to_text((uint64_t)number(c,
		       "mem_bytes"), buf, sizeof(buf)));
		show_mem(c);
		show_cqs(c);
		show_sqs(c);
		show_slots(c);
	}
	if (number(result, "slots_left_off"))
		printf("... and %lld commands more\n",
		       number(result, "slots_left_off"));
}
