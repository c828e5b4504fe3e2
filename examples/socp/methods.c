/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * methods.c - control requests that change what is served
 *
 * Each checks all of its parameters, then makes one change through the
 * library, which does it whole or not at all; so a request that fails has
 * changed nothing. They run on the thread of the home poll group.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "methods.h"

int method_params(struct jsonrpc_call *call, const json_t *params,
		  const struct field *fields, void *out)
{
	struct field_error err;

	if (!fields_read(params, fields, out, &err))
		return 1;
	jsonrpc_fail(call, JSONRPC_INVALID_PARAMS, "%s", err.text);
	return 0;
}

struct leap_subsystem *method_subsystem(struct jsonrpc_call *call,
					struct runtime *rt, const char *nqn)
{
	struct leap_subsystem *ss = leap_subsystem_find(rt->target, nqn);

	if (!ss)
		jsonrpc_fail(call, JSONRPC_REFUSED, "no subsystem \"%s\"",
			     nqn);
	return ss;
}

static void refused(struct jsonrpc_call *call, const char *what, int err)
{
	const char *why = leap_last_error();

	jsonrpc_fail(call, JSONRPC_REFUSED, "%s: %s", what,
		     *why ? why : strerror(-err));
}

/* What a change that ends later has to answer. */
struct change {
	struct jsonrpc_call *call;
	const char *what;
	json_t *result;
};

static struct change *change_begin(struct jsonrpc_call *call,
				   const char *what)
{
	struct change *ch = calloc(1, sizeof(*ch));

	if (!ch) {
		jsonrpc_fail(call, JSONRPC_INTERNAL, "out of memory");
		return NULL;
	}
	ch->call = call;
	ch->what = what;
	return ch;
}

static void change_ended(int err, void *arg)
{
	struct change *ch = arg;

	if (err) {
		json_decref(ch->result);
		jsonrpc_fail(ch->call, JSONRPC_REFUSED, "%s: %s", ch->what,
			     strerror(-err));
	} else {
		jsonrpc_result(ch->call, ch->result);
	}
	free(ch);
}

static void change_done(void *arg)
{
	change_ended(0, arg);
}

static void change_refused(struct change *ch, int err)
{
	refused(ch->call, ch->what, err);
	free(ch);
}

static int hosts_are_text(struct jsonrpc_call *call, const json_t *hosts)
{
	const json_t *host;
	size_t i;

	json_array_foreach(hosts, i, host) {
		if (json_is_string(host))
			continue;
		jsonrpc_fail(call, JSONRPC_INVALID_PARAMS,
			     "\"hosts\": expected an array of NQNs");
		return 0;
	}
	return 1;
}

static void subsystem_add(struct jsonrpc_call *call, const json_t *params,
			  void *arg)
{
	struct config_subsystem s = { 0 };
	struct leap_subsystem *ss;
	int rc;

	if (!method_params(call, params, config_subsystem_fields, &s) ||
	    !hosts_are_text(call, s.hosts))
		return;
	if (s.namespaces) {
		jsonrpc_fail(call, JSONRPC_INVALID_PARAMS,
			     "\"namespaces\": expected to be added by ns.add");
		return;
	}
	rc = runtime_add_subsystem(arg, &s, &ss);
	if (rc)
		refused(call, "subsystems.add", rc);
	else
		jsonrpc_result(call, NULL);
}

struct name_params {
	const char *nqn;
	const char *host;
	uint32_t id;
	uint64_t bytes;
};

static const struct field nqn_fields[] = {
	{ "nqn", FIELD_STR, 1, offsetof(struct name_params, nqn) }, { NULL },
};

static const struct field host_fields[] = {
	{ "nqn", FIELD_STR, 1, offsetof(struct name_params, nqn) },
	{ "host", FIELD_STR, 1, offsetof(struct name_params, host) },
	{ NULL },
};

static const struct field nsid_fields[] = {
	{ "nqn", FIELD_STR, 1, offsetof(struct name_params, nqn) },
	{ "nsid", FIELD_U32, 1, offsetof(struct name_params, id) },
	{ NULL },
};

static const struct field resize_fields[] = {
	{ "nqn", FIELD_STR, 1, offsetof(struct name_params, nqn) },
	{ "nsid", FIELD_U32, 1, offsetof(struct name_params, id) },
	{ "bytes", FIELD_SIZE, 1, offsetof(struct name_params, bytes) },
	{ NULL },
};

static const struct field cntlid_fields[] = {
	{ "nqn", FIELD_STR, 1, offsetof(struct name_params, nqn) },
	{ "cntlid", FIELD_U32, 1, offsetof(struct name_params, id), 0xffff },
	{ NULL },
};

static void subsystem_remove(struct jsonrpc_call *call, const json_t *params,
			     void *arg)
{
	struct runtime *rt = arg;
	struct name_params p = { 0 };
	struct leap_subsystem *ss;
	struct change *ch;

	if (!method_params(call, params, nqn_fields, &p))
		return;
	ss = method_subsystem(call, rt, p.nqn);
	ch = ss ? change_begin(call, "subsystems.remove") : NULL;
	if (!ch)
		return;
	json_object_del(rt->subsystems, p.nqn);
	leap_subsystem_destroy(ss, change_done, ch);
}

/* The hosts of a subsystem that does not let everybody in. */
static json_t *hosts_of(struct jsonrpc_call *call, struct runtime *rt,
			const char *nqn)
{
	json_t *note = json_object_get(rt->subsystems, nqn);

	if (!json_is_true(json_object_get(note, "any_host")))
		return json_object_get(note, "hosts");
	jsonrpc_fail(call, JSONRPC_REFUSED, "subsystem \"%s\" was made "
		     "without hosts: any host may connect", nqn);
	return NULL;
}

static void host_allow(struct jsonrpc_call *call, const json_t *params,
		       void *arg)
{
	struct runtime *rt = arg;
	struct name_params p = { 0 };
	struct leap_subsystem *ss;
	const json_t *host;
	json_t *hosts;
	size_t i;
	int rc;

	if (!method_params(call, params, host_fields, &p))
		return;
	ss = method_subsystem(call, rt, p.nqn);
	hosts = ss ? hosts_of(call, rt, p.nqn) : NULL;
	if (!hosts)
		return;
	json_array_foreach(hosts, i, host) {
		if (strcmp(json_string_value(host), p.host))
			continue;
		jsonrpc_result(call, NULL);
		return;
	}
	rc = leap_subsystem_allow(ss, p.host);
	if (rc) {
		refused(call, "hosts.allow", rc);
		return;
	}
	json_array_append_new(hosts, json_string(p.host));
	jsonrpc_result(call, NULL);
}

static void host_deny(struct jsonrpc_call *call, const json_t *params,
		      void *arg)
{
	struct runtime *rt = arg;
	struct name_params p = { 0 };
	struct leap_subsystem *ss;
	json_t *hosts;
	size_t i;

	if (!method_params(call, params, host_fields, &p))
		return;
	ss = method_subsystem(call, rt, p.nqn);
	hosts = ss ? hosts_of(call, rt, p.nqn) : NULL;
	if (!hosts)
		return;
	if (leap_subsystem_deny(ss, p.host)) {
		jsonrpc_fail(call, JSONRPC_REFUSED,
			     "hosts.deny: \"%s\" is not one of its hosts",
			     p.host);
		return;
	}
	for (i = json_array_size(hosts); i-- > 0; )
		if (!strcmp(json_string_value(json_array_get(hosts, i)),
			    p.host))
			json_array_remove(hosts, i);
	jsonrpc_result(call, NULL);
}

static void ns_add(struct jsonrpc_call *call, const json_t *params, void *arg)
{
	struct config_ns ns = { 0 };
	struct leap_subsystem *ss;
	struct change *ch;
	int rc;

	if (!method_params(call, params, config_ns_request_fields, &ns))
		return;
	ss = method_subsystem(call, arg, ns.nqn);
	ch = ss ? change_begin(call, "ns.add") : NULL;
	if (!ch)
		return;
	rc = runtime_add_ns(arg, ss, &ns, change_ended, ch);
	if (rc < 0)
		change_refused(ch, rc);
	else
		ch->result = json_pack("{s:i}", "nsid", rc);
}

static void ns_remove(struct jsonrpc_call *call, const json_t *params,
		      void *arg)
{
	struct name_params p = { 0 };
	struct leap_subsystem *ss;
	struct change *ch;
	int rc;

	if (!method_params(call, params, nsid_fields, &p))
		return;
	ss = method_subsystem(call, arg, p.nqn);
	ch = ss ? change_begin(call, "ns.remove") : NULL;
	if (!ch)
		return;
	rc = leap_ns_remove(ss, p.id, change_ended, ch);
	if (rc)
		change_refused(ch, rc);
}

static void ns_resize(struct jsonrpc_call *call, const json_t *params,
		      void *arg)
{
	struct name_params p = { 0 };
	struct leap_subsystem *ss;
	int rc;

	if (!method_params(call, params, resize_fields, &p))
		return;
	ss = method_subsystem(call, arg, p.nqn);
	if (!ss)
		return;
	rc = leap_ns_resize(ss, p.id, p.bytes);
	if (rc)
		refused(call, "ns.resize", rc);
	else
		jsonrpc_result(call, NULL);
}

static void listener_add(struct jsonrpc_call *call, const json_t *params,
			 void *arg)
{
	struct config_listener l = { 0 };
	struct leap_listener *out;
	const char *why;

	if (!method_params(call, params, config_listener_fields, &l))
		return;
	if (runtime_add_listener(arg, &l, &out, &why))
		jsonrpc_fail(call, JSONRPC_REFUSED, "listeners.add: %s", why);
	else
		jsonrpc_result(call, json_pack("{s:s}", "url",
					       leap_listener_url(out)));
}

static void listener_remove(struct jsonrpc_call *call, const json_t *params,
			    void *arg)
{
	static const struct field fields[] = {
		{ "url", FIELD_STR, 1, offsetof(struct name_params, nqn) },
		{ NULL },
	};
	struct runtime *rt = arg;
	struct leap_listener *l = NULL;
	struct name_params p = { 0 };

	if (!method_params(call, params, fields, &p))
		return;
	while ((l = leap_listener_next(rt->target, l)))
		if (!strcmp(leap_listener_url(l), p.nqn))
			break;
	if (!l) {
		jsonrpc_fail(call, JSONRPC_REFUSED, "no listener \"%s\"",
			     p.nqn);
		return;
	}
	leap_listener_destroy(l);
	jsonrpc_result(call, NULL);
}

static void disconnect(struct jsonrpc_call *call, const json_t *params,
		       void *arg)
{
	struct name_params p = { 0 };
	struct leap_subsystem *ss;

	if (!method_params(call, params, cntlid_fields, &p))
		return;
	ss = method_subsystem(call, arg, p.nqn);
	if (!ss)
		return;
	if (leap_ctrl_disconnect(ss, (uint16_t)p.id))
		jsonrpc_fail(call, JSONRPC_REFUSED, "no controller %u in "
			     "subsystem \"%s\"", p.id, p.nqn);
	else
		jsonrpc_result(call, NULL);
}

const struct jsonrpc_method socp_methods[] = {
	{ "subsystems.list", show_subsystems },
	{ "subsystems.add", subsystem_add },
	{ "subsystems.remove", subsystem_remove },
	{ "hosts.allow", host_allow },
	{ "hosts.deny", host_deny },
	{ "ns.list", show_namespaces },
	{ "ns.add", ns_add },
	{ "ns.remove", ns_remove },
	{ "ns.resize", ns_resize },
	{ "listeners.list", show_listeners },
	{ "listeners.add", listener_add },
	{ "listeners.remove", listener_remove },
	{ "connections.list", show_connections },
	{ "connections.disconnect", disconnect },
	{ "drives.list", show_drives },
	{ "drives.inspect", show_drive },
	{ "stacks.get", show_stacks },
	{ "stats.get", show_stats },
	{ "process.info", show_process },
	{ NULL, NULL },
};
