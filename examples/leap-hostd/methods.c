/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * methods.c - what the control socket of leap-hostd can be asked for
 *
 * Who serves its drives, the change from one socp to the next, the drives. They
 * run on the thread of the home poll group.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "examples/common/fields.h"
#include "examples/common/inspect.h"
#include "examples/common/jsonrpc.h"
#include "hostd.h"

static const struct field no_fields[] = { { NULL } };

static int no_params(struct jsonrpc_call *call, const json_t *params)
{
	struct field_error err;

	if (!fields_read(params, no_fields, NULL, &err))
		return 1;
	jsonrpc_fail(call, JSONRPC_INVALID_PARAMS, "%s", err.text);
	return 0;
}

static json_t *info_json(const struct hostd *h)
{
	static const char *const states[] = { "waiting", "starting", "served",
					      "handoff", "fencing",
					      "unfenced" };
	struct leap_agent_info i = { sizeof(i) };
	uint64_t now = leap_pollgroup_now_ns(h->home);

	leap_agent_info(h->agent, &i);
	return json_pack("{s:s, s:I, s:I, s:s, s:i, s:i, s:I, s:I, s:I, s:I, "
			 "s:I, s:{s:I, s:I, s:I, s:I}, s:s}",
			 "state", states[i.state < 6 ? i.state : 0],
			 "pid", (json_int_t)i.pid,
			 "since_ns", (json_int_t)(i.pid ? now - i.since_ns : 0),
			 "standby", i.standby,
			 "controllers", (int)i.nr_ctrls,
			 "queues", (int)i.nr_queues,
			 "attached", (json_int_t)i.attached,
			 "fenced", (json_int_t)i.fenced,
			 "unfenced", (json_int_t)i.unfenced,
			 "bad_messages", (json_int_t)i.bad_messages,
			 "pause_ns", (json_int_t)i.pause_ns,
			 "slots", "free", (json_int_t)i.slots[0],
			 "fetched", (json_int_t)i.slots[1],
			 "issued", (json_int_t)i.slots[2],
			 "completing", (json_int_t)i.slots[3],
			 "last", i.error);
}

static int has_agent(struct jsonrpc_call *call, const struct hostd *h)
{
	if (h->agent)
		return 1;
	jsonrpc_fail(call, JSONRPC_REFUSED, "it only %s: no --listen",
		     h->own ? "relays" : "lends");
	return 0;
}

static void agent_info(struct jsonrpc_call *call, const json_t *params,
		       void *arg)
{
	if (no_params(call, params) && has_agent(call, arg))
		jsonrpc_result(call, info_json(arg));
}

struct handoff {
	struct jsonrpc_call *call;
	struct hostd *h;
};

static void handed(void *arg, int err)
{
	struct handoff *ho = arg;

	if (err)
		jsonrpc_fail(ho->call, JSONRPC_REFUSED, "handoff: %s",
			     strerror(-err));
	else
		jsonrpc_result(ho->call, info_json(ho->h));
	free(ho);
}

static void agent_handoff(struct jsonrpc_call *call, const json_t *params,
			  void *arg)
{
	struct hostd *h = arg;
	struct handoff *ho;

	if (!no_params(call, params) || !has_agent(call, h))
		return;
	ho = calloc(1, sizeof(*ho));
	if (!ho) {
		jsonrpc_fail(call, JSONRPC_INTERNAL, "out of memory");
		return;
	}
	ho->call = call;
	ho->h = h;
	if (!leap_agent_handoff(h->agent, handed, ho))
		return;
	jsonrpc_fail(call, JSONRPC_REFUSED, "%s", leap_last_error());
	free(ho);
}

/* The answer is out before the end of this program. */
static void agent_upgrade(struct jsonrpc_call *call, const json_t *params,
			  void *arg)
{
	struct hostd *h = arg;

	if (!no_params(call, params))
		return;
	if (hostd_upgrade_start(h))
		jsonrpc_fail(call, JSONRPC_REFUSED, "%s",
			     hostd_upgrade_error(h));
	else
		jsonrpc_result(call, info_json(h));
}

static void lend_list(struct jsonrpc_call *call, const json_t *params,
		      void *arg)
{
	if (no_params(call, params))
		jsonrpc_result(call, hostd_lend_json(arg));
}

static void drives_list(struct jsonrpc_call *call, const json_t *params,
			void *arg)
{
	const struct hostd *h = arg;
	json_t *all, *own;

	if (!no_params(call, params))
		return;
	all = inspect_drives(h->target);
	own = inspect_drives(h->own);
	json_array_extend(json_object_get(all, "drives"),
			  json_object_get(own, "drives"));
	json_array_extend(json_object_get(all, "sockets"),
			  json_object_get(own, "sockets"));
	json_decref(own);
	jsonrpc_result(call, all);
}

static void drives_inspect(struct jsonrpc_call *call, const json_t *params,
			   void *arg)
{
	const char *nqn = json_string_value(json_object_get(params, "nqn"));
	const struct hostd *h = arg;
	int own = h->own && nqn && leap_subsystem_find(h->own, nqn);

	inspect_drive(call, params, own ? h->own : h->target, NULL);
}

static void process_info(struct jsonrpc_call *call, const json_t *params,
			 void *arg)
{
	struct leap_pollgroup_stats s = { sizeof(s) };
	struct hostd *h = arg;
	struct timespec ts;

	if (!no_params(call, params))
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	leap_pollgroup_stats(h->home, &s);
	jsonrpc_result(call, json_pack(
		"{s:i, s:i, s:s, s:I, s:I, s:I, s:I, s:I}",
		"pid", (int)getpid(), "upgrades", (int)h->upgrades,
		"version", leap_version(),
		"uptime_ns", (json_int_t)((uint64_t)ts.tv_sec * 1000000000u +
				(uint64_t)ts.tv_nsec - h->start_ns),
		"polls", (json_int_t)s.polls, "sleeps", (json_int_t)s.sleeps,
		"wakeups", (json_int_t)s.wakeups,
		"bounced", (json_int_t)s.bounced));
}

const struct jsonrpc_method hostd_methods[] = {
	{ "agent.info", agent_info },
	{ "agent.handoff", agent_handoff },
	{ "agent.upgrade", agent_upgrade },
	{ "drives.list", drives_list },
	{ "lend.list", lend_list },
	{ "drives.inspect", drives_inspect },
	{ "process.info", process_info },
	{ NULL, NULL },
};
