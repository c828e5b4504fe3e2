/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config.c - the configuration as one checked JSON object
 *
 * A file is parsed and checked section by section; options of the command line
 * become the same sections behind those of the file. Every refusal says where:
 * file and line, or the option. Opens, creates and starts nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <leapio/pollgroup.h>

#include "config.h"
#include "examples/common/where.h"

const struct field config_subsystem_fields[] = {
	{ "nqn", FIELD_STR, 1, offsetof(struct config_subsystem, nqn), 223 },
	{ "serial", FIELD_STR, 0, offsetof(struct config_subsystem, serial),
	  20 },
	{ "model", FIELD_STR, 0, offsetof(struct config_subsystem, model),
	  40 },
	{ "hosts", FIELD_ARRAY, 0, offsetof(struct config_subsystem, hosts) },
	{ "namespaces", FIELD_ARRAY, 0,
	  offsetof(struct config_subsystem, namespaces) },
	{ NULL },
};

#define NS_FIELDS \
	{ "nsid", FIELD_U32, 0, offsetof(struct config_ns, nsid), \
	  0xfffffffe }, \
	{ "block_bytes", FIELD_U32, 0, \
	  offsetof(struct config_ns, block_bytes), 4096 }, \
	{ "uuid", FIELD_UUID, 0, offsetof(struct config_ns, uuid) }, \
	{ "read_only", FIELD_BOOL, 0, \
	  offsetof(struct config_ns, read_only) }, \
	{ "stack", FIELD_STR, 1, offsetof(struct config_ns, stack) }

const struct field config_ns_fields[] = { NS_FIELDS, { NULL } };

const struct field config_ns_request_fields[] = {
	{ "nqn", FIELD_STR, 1, offsetof(struct config_ns, nqn), 223 },
	NS_FIELDS,
	{ NULL },
};

const struct field config_listener_fields[] = {
	{ "url", FIELD_STR, 1, offsetof(struct config_listener, url) },
	{ "advertise", FIELD_STR, 0,
	  offsetof(struct config_listener, advertise) },
	{ "mode", FIELD_STR, 0, offsetof(struct config_listener, mode), 4 },
	{ "owner", FIELD_STR, 0, offsetof(struct config_listener, owner), 64 },
	{ "trust_memory", FIELD_BOOL, 0,
	  offsetof(struct config_listener, trust_memory) },
	{ "irq", FIELD_STR, 0, offsetof(struct config_listener, irq), 4 },
	{ "srq", FIELD_U32, 0, offsetof(struct config_listener, srq), 65536 },
	{ NULL },
};

const struct field config_lend_fields[] = {
	{ "url", FIELD_STR, 1, offsetof(struct config_lend, url) },
	{ "path", FIELD_STR, 1, offsetof(struct config_lend, path), 107 },
	{ "mode", FIELD_STR, 0, offsetof(struct config_lend, mode), 4 },
	{ "owner", FIELD_STR, 0, offsetof(struct config_lend, owner), 64 },
	{ "queues", FIELD_U32, 0, offsetof(struct config_lend, queues), 1023 },
	{ "kill", FIELD_BOOL, 0, offsetof(struct config_lend, kill) },
	{ NULL },
};

/* --vfio-user: a listener whose URL has to wait for its subsystem. */
static const struct field drive_fields[] = {
	{ "path", FIELD_STR, 1, offsetof(struct config_listener, url), 107 },
	{ "mode", FIELD_STR, 0, offsetof(struct config_listener, mode), 4 },
	{ "owner", FIELD_STR, 0, offsetof(struct config_listener, owner), 64 },
	{ "trust_memory", FIELD_BOOL, 0,
	  offsetof(struct config_listener, trust_memory) },
	{ "irq", FIELD_STR, 0, offsetof(struct config_listener, irq), 4 },
	{ NULL },
};

struct top {
	const char *control;
	const char *agent;
	uint32_t standby;
	uint32_t fence_ms;
	uint32_t keepalive_ms;
	uint32_t no_runtime_ms;
	const char *log_level;
	uint32_t threads;
	uint32_t spin_us;
	json_t *subsystems;
	json_t *listeners;
	json_t *lends;
};

static const struct field top_fields[] = {
	{ "control", FIELD_STR, 0, offsetof(struct top, control), 107 },
	{ "agent", FIELD_STR, 0, offsetof(struct top, agent), 107 },
	{ "standby", FIELD_BOOL, 0, offsetof(struct top, standby) },
	{ "fence_ms", FIELD_U32, 0, offsetof(struct top, fence_ms), 60000 },
	{ "keepalive_ms", FIELD_U32, 0, offsetof(struct top, keepalive_ms),
	  86400000 },
	{ "no_runtime_ms", FIELD_U32, 0, offsetof(struct top, no_runtime_ms),
	  86400000 },
	{ "log_level", FIELD_STR, 0, offsetof(struct top, log_level) },
	{ "threads", FIELD_U32, 0, offsetof(struct top, threads), 64 },
	{ "spin_us", FIELD_U32, 0, offsetof(struct top, spin_us), 1000000 },
	{ "subsystems", FIELD_ARRAY, 0, offsetof(struct top, subsystems) },
	{ "listeners", FIELD_ARRAY, 0, offsetof(struct top, listeners) },
	{ "lends", FIELD_ARRAY, 0, offsetof(struct top, lends) },
	{ NULL },
};

static const char *const levels[] = { "error", "warn", "info", "debug" };

int config_init(struct config *c)
{
	memset(c, 0, sizeof(*c));
	c->root = json_pack("{s:[], s:[], s:[]}", "subsystems", "listeners",
			    "lends");
	if (!c->root)
		return -ENOMEM;
	c->subsystems = json_object_get(c->root, "subsystems");
	c->listeners = json_object_get(c->root, "listeners");
	c->lends = json_object_get(c->root, "lends");
	c->drives = json_array();
	return c->drives ? 0 : -ENOMEM;
}

void config_free(struct config *c)
{
	json_decref(c->root);
	json_decref(c->drives);
	free(c->file);
	free(c->text);
	memset(c, 0, sizeof(*c));
}

/* "FILE:LINE: text" for a place in the file. */
static int blame(struct config *c, const struct where_step *path,
		 const char *text)
{
	snprintf(c->error, sizeof(c->error), "%.128s:%d: %s", c->file,
		 where_line(c->text, path), text);
	return -EINVAL;
}

static int check_section(struct config *c, struct where_step *path, int depth,
			 const json_t *object, const struct field *fields,
			 void *out)
{
	struct field_error err;

	if (!fields_read(object, fields, out, &err))
		return 0;
	path[depth] = (struct where_step){ err.key, -1 };
	if (err.key)
		path[depth + 1] = (struct where_step){ NULL, -1 };
	return blame(c, path, err.text);
}

static int check_hosts(struct config *c, struct where_step *path, int depth,
		       const json_t *hosts)
{
	const json_t *host;
	size_t i;

	path[depth++] = (struct where_step){ "hosts", -1 };
	json_array_foreach(hosts, i, host) {
		if (json_is_string(host) && json_string_length(host) <= 223)
			continue;
		path[depth++] = (struct where_step){ NULL, (int)i };
		path[depth] = (struct where_step){ NULL, -1 };
		return blame(c, path, "expected the NQN of a host, at most "
			     "223 bytes of text");
	}
	return 0;
}

static int check_subsystem(struct config *c, struct where_step *path,
			   const json_t *object)
{
	struct config_subsystem s = { 0 };
	struct config_ns ns;
	const json_t *one;
	size_t i;
	int rc;

	rc = check_section(c, path, 2, object, config_subsystem_fields, &s);
	if (!rc)
		rc = check_hosts(c, path, 2, s.hosts);
	json_array_foreach(s.namespaces, i, one) {
		if (rc)
			break;
		path[2] = (struct where_step){ "namespaces", -1 };
		path[3] = (struct where_step){ NULL, (int)i };
		memset(&ns, 0, sizeof(ns));
		rc = check_section(c, path, 4, one, config_ns_fields, &ns);
	}
	return rc;
}

/* Arrays of the file go in front of what options gave before. */
static int adopt(json_t *to, const json_t *from, size_t *count)
{
	size_t i;

	*count = json_array_size(from);
	for (i = 0; i < *count; i++)
		if (json_array_insert(to, i, json_array_get(from, i)))
			return -ENOMEM;
	return 0;
}

static int check_all(struct config *c, const json_t *root)
{
	struct where_step path[8] = { { NULL, -1 } };
	struct top top = { 0 };
	struct config_listener l;
	struct config_lend lend;
	const json_t *one;
	size_t i;
	int rc;

	rc = check_section(c, path, 0, root, top_fields, &top);
	path[0] = (struct where_step){ "subsystems", -1 };
	json_array_foreach(top.subsystems, i, one) {
		if (rc)
			return rc;
		path[1] = (struct where_step){ NULL, (int)i };
		rc = check_subsystem(c, path, one);
	}
	path[0] = (struct where_step){ "listeners", -1 };
	json_array_foreach(top.listeners, i, one) {
		if (rc)
			return rc;
		path[1] = (struct where_step){ NULL, (int)i };
		memset(&l, 0, sizeof(l));
		rc = check_section(c, path, 2, one, config_listener_fields,
				   &l);
	}
	path[0] = (struct where_step){ "lends", -1 };
	json_array_foreach(top.lends, i, one) {
		if (rc)
			return rc;
		path[1] = (struct where_step){ NULL, (int)i };
		memset(&lend, 0, sizeof(lend));
		rc = check_section(c, path, 2, one, config_lend_fields, &lend);
	}
	return rc;
}

static int log_level(const char *name, uint32_t *level)
{
	for (*level = 0; *level < 4; ++*level)
		if (!strcmp(levels[*level], name))
			return 0;
	return -EINVAL;
}

int config_parse(struct config *c, const char *file, const char *text,
		 size_t len)
{
	const char *const scalars[] = { "control", "log_level", "threads",
					"spin_us", "agent", "standby",
					"fence_ms", "keepalive_ms",
					"no_runtime_ms" };
	struct where_step path[2] = { { "log_level", -1 }, { NULL, -1 } };
	json_error_t err;
	const json_t *v;
	uint32_t level;
	json_t *root;
	size_t i;
	int rc;

	c->file = strdup(file);
	c->text = strndup(text, len);
	if (!c->file || !c->text)
		return -ENOMEM;
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &err);
	if (!root) {
		snprintf(c->error, sizeof(c->error),
			 "%.128s:%d: expected JSON: %s", file, err.line,
			 err.text);
		return -EINVAL;
	}
	rc = check_all(c, root);
	v = json_object_get(root, "log_level");
	if (!rc && v && log_level(json_string_value(v), &level))
		rc = blame(c, path, "\"log_level\": expected error, warn, "
			   "info or debug");
	if (!rc)
		rc = adopt(c->subsystems, json_object_get(root, "subsystems"),
			   &c->file_subsystems);
	if (!rc)
		rc = adopt(c->listeners, json_object_get(root, "listeners"),
			   &c->file_listeners);
	if (!rc)
		rc = adopt(c->lends, json_object_get(root, "lends"),
			   &c->file_lends);
	/* An option is stronger than the file, wherever it stands. */
	for (i = 0; !rc && i < sizeof(scalars) / sizeof(*scalars); i++) {
		json_t *from = json_object_get(root, scalars[i]);

		if (from && !json_object_get(c->root, scalars[i]))
			rc = json_object_set(c->root, scalars[i], from);
	}
	json_decref(root);
	return rc;
}

int config_read(struct config *c, const char *file)
{
	char *text = NULL;
	struct stat st;
	size_t len = 0;
	FILE *f;
	int rc = 0;

	if (c->file) {
		snprintf(c->error, sizeof(c->error),
			 "--config: expected to be given once");
		return -EINVAL;
	}
	f = fopen(file, "re");
	if (!f || fstat(fileno(f), &st))
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	else if (st.st_size > CONFIG_MAX_BYTES)
		rc = -EFBIG;
	if (!rc) {
		text = malloc((size_t)st.st_size + 1);
		rc = text ? 0 : -ENOMEM;
	}
	if (!rc)
		len = fread(text, 1, (size_t)st.st_size, f);
	if (!rc && ferror(f))
		rc = -EIO;
	if (rc)
		snprintf(c->error, sizeof(c->error),
			 "%.128s: expected a config file of at most %u MiB: "
			 "%s", file, CONFIG_MAX_BYTES >> 20, strerror(-rc));
	else
		rc = config_parse(c, file, text, len);
	if (f)
		fclose(f);
	free(text);
	return rc;
}

static int option_error(struct config *c, const char *name, const char *text)
{
	snprintf(c->error, sizeof(c->error), "--%s: %s", name, text);
	return -EINVAL;
}

/* The array in the last subsystem given by option, made when it is absent. */
static json_t *last_array(struct config *c, const char *name)
{
	size_t n = json_array_size(c->subsystems);
	json_t *last = n ? json_array_get(c->subsystems, n - 1) : NULL;
	json_t *array;

	if (!last || n <= c->file_subsystems)
		return NULL;
	array = json_object_get(last, name);
	if (!array && !json_object_set_new(last, name, json_array()))
		array = json_object_get(last, name);
	return array;
}

static int option_section(struct config *c, const char *name,
			  const char *value, json_t *array,
			  const struct field *fields, const char *first,
			  const char *last)
{
	union {
		struct config_subsystem subsystem;
		struct config_ns ns;
		struct config_listener listener;
		struct config_lend lend;
	} out;
	struct field_error err;
	json_t *object;

	if (!array)
		return option_error(c, name, "expected after the --subsystem "
				    "that it belongs to");
	object = fields_from_text(value, fields, first, last, &err);
	if (!object)
		return option_error(c, name, err.text);
	memset(&out, 0, sizeof(out));
	if (fields_read(object, fields, &out, &err)) {
		json_decref(object);
		return option_error(c, name, err.text);
	}
	return json_array_append_new(array, object) ? -ENOMEM : 0;
}

static int option_scalar(struct config *c, const char *name, const char *key,
			 const char *value)
{
	struct top top = { 0 };
	struct field_error err;
	json_t *one = json_object();
	char *end;
	long long n = strtoll(value, &end, 10);
	int number = strcmp(key, "control") && strcmp(key, "log_level") &&
		     strcmp(key, "agent");
	int rc = 0;

	if (json_object_set_new(one, key, number && *value && !*end ?
				json_integer(n) : json_string(value)))
		rc = option_error(c, name, "expected UTF-8 text");
	else if (fields_read(one, top_fields, &top, &err))
		rc = option_error(c, name, err.text);
	else if (top.log_level && log_level(top.log_level, &top.threads))
		rc = option_error(c, name, "expected error, warn, info or "
				  "debug");
	else
		rc = json_object_update(c->root, one);
	json_decref(one);
	return rc;
}

int config_option(struct config *c, const char *name, const char *value)
{
	json_t *hosts;

	if (!strcmp(name, "config"))
		return config_read(c, value);
	if (!strcmp(name, "listen"))
		return option_section(c, name, value, c->listeners,
				      config_listener_fields, "url", NULL);
	if (!strcmp(name, "lend"))
		return option_section(c, name, value, c->lends,
				      config_lend_fields, "path", NULL);
	if (!strcmp(name, "vfio-user"))
		return option_section(c, name, value, c->drives, drive_fields,
				      "path", NULL);
	if (!strcmp(name, "subsystem"))
		return option_section(c, name, value, c->subsystems,
				      config_subsystem_fields, "nqn", NULL);
	if (!strcmp(name, "ns"))
		return option_section(c, name, value,
				      last_array(c, "namespaces"),
				      config_ns_fields, NULL, "stack");
	if (!strcmp(name, "host")) {
		hosts = last_array(c, "hosts");
		if (!hosts)
			return option_error(c, name, "expected after the "
				"--subsystem that it belongs to");
		return json_array_append_new(hosts, json_string(value)) ?
			option_error(c, name, "expected UTF-8 text") : 0;
	}
	if (!strcmp(name, "agent"))
		return option_scalar(c, c->hostd ? "listen" : name, name,
				     value);
	if (!strcmp(name, "control") || !strcmp(name, "threads"))
		return option_scalar(c, name, name, value);
	if (!strcmp(name, "standby"))
		return json_object_set_new(c->root, "standby", json_true()) ?
			-ENOMEM : 0;
	if (!strcmp(name, "fence-ms"))
		return option_scalar(c, name, "fence_ms", value);
	if (!strcmp(name, "keepalive-ms"))
		return option_scalar(c, name, "keepalive_ms", value);
	if (!strcmp(name, "no-runtime-ms"))
		return option_scalar(c, name, "no_runtime_ms", value);
	if (!strcmp(name, "spin-us"))
		return option_scalar(c, name, "spin_us", value);
	if (!strcmp(name, "log-level"))
		return option_scalar(c, name, "log_level", value);
	return -ENOENT;
}

/* A path of --vfio-user and the only subsystem make a listener's URL. */
static int add_drives(struct config *c)
{
	json_t *drive, *url, *path;
	const char *nqn;
	size_t i;

	c->first_drive = json_array_size(c->listeners);
	json_array_foreach(c->drives, i, drive) {
		if (json_array_size(c->subsystems) != 1)
			return option_error(c, "vfio-user", "expected one "
				"subsystem; with more say --listen "
				"vfio-user:PATH/NQN");
		path = json_object_get(drive, "path");
		nqn = json_string_value(json_object_get(
			json_array_get(c->subsystems, 0), "nqn"));
		url = json_sprintf("vfio-user:%s/%s", json_string_value(path),
				   nqn ? nqn : "");
		if (!url || json_object_set_new(drive, "url", url) ||
		    json_object_del(drive, "path") ||
		    json_array_append(c->listeners, drive))
			return -ENOMEM;
	}
	json_array_clear(c->drives);
	return 0;
}

int config_finish(struct config *c)
{
	struct top top = { .spin_us = 50, .log_level = "warn" };
	struct field_error err;
	int rc;

	rc = add_drives(c);
	if (rc)
		return rc;
	if (fields_read(c->root, top_fields, &top, &err))
		return option_error(c, "config", err.text);
	c->control = top.control;
	c->agent = top.agent;
	c->standby = top.standby;
	c->fence_ms = top.fence_ms;
	c->keepalive_ms = top.keepalive_ms;
	c->no_runtime_ms = top.no_runtime_ms;
	c->threads = top.threads;
	c->spin_us = top.spin_us;
	log_level(top.log_level, &c->log_level);
	if (json_array_size(c->listeners) || json_array_size(c->lends) ||
	    c->control || c->agent || c->hostd)
		return 0;
	snprintf(c->error, sizeof(c->error), "nothing to do: expected "
		 "--listen, --vfio-user, --agent, --control, or a --config "
		 "with one");
	return -EINVAL;
}

void config_blame_ns(struct config *c, int sub, int ns, const char *text)
{
	struct where_step path[] = {
		{ "subsystems", -1 }, { NULL, sub }, { "namespaces", -1 },
		{ NULL, ns }, { "stack", -1 }, { NULL, -1 },
	};

	if ((size_t)sub >= c->file_subsystems) {
		option_error(c, ns < 0 ? "subsystem" : "ns", text);
		return;
	}
	if (ns < 0)
		path[2] = (struct where_step){ NULL, -1 };
	blame(c, path, text);
}

/* Number @i of a list, of which the file has the first @from_file, and options
 * of that name the others. */
static void blame_one(struct config *c, const char *list, int i,
		      size_t from_file, const char *option, const char *text)
{
	struct where_step path[] = {
		{ list, -1 }, { NULL, i }, { NULL, -1 },
	};

	if ((size_t)i >= from_file)
		option_error(c, option, text);
	else
		blame(c, path, text);
}

void config_blame_listener(struct config *c, int listener, const char *text)
{
	blame_one(c, "listeners", listener, c->file_listeners,
		  !c->hostd && (size_t)listener < c->first_drive ? "listen" :
		  "vfio-user",
		  text);
}

void config_blame_lend(struct config *c, int lend, const char *text)
{
	blame_one(c, "lends", lend, c->file_lends, "lend", text);
}
