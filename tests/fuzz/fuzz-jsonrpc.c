/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz-jsonrpc.c - a client of the control socket that sends anything
 *
 * The first byte says in what portions the rest arrives, and so where messages
 * are cut. Some methods answer at once, some later, one never. Whatever is sent
 * back must be a line of JSON, and there must never be more than one call out.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "examples/common/fields.h"
#include "examples/common/jsonrpc.h"

struct state {
	struct jsonrpc_call *out;
	unsigned int calls_out;
};

static void now(struct jsonrpc_call *call, const json_t *params, void *arg)
{
	(void)arg;
	jsonrpc_result(call, json_deep_copy(params));
}

static void later(struct jsonrpc_call *call, const json_t *params, void *arg)
{
	struct state *s = arg;

	(void)params;
	if (s->out || s->calls_out++)
		abort();
	s->out = call;
}

static void fields(struct jsonrpc_call *call, const json_t *params, void *arg)
{
	static const struct field table[] = {
		{ "text", FIELD_STR, 1, 0, 8 },
		{ "size", FIELD_SIZE, 0, 8, 1 << 30 },
		{ "number", FIELD_U32, 0, 16, 0 },
		{ "flag", FIELD_BOOL, 0, 20, 0 },
		{ "uuid", FIELD_UUID, 0, 24, 0 },
		{ "list", FIELD_ARRAY, 0, 40, 0 },
		{ NULL, FIELD_STR, 0, 0, 0 },
	};
	uint64_t out[6] = { 0 };
	struct field_error err;

	(void)arg;
	if (fields_read(params, table, out, &err))
		jsonrpc_fail(call, JSONRPC_INVALID_PARAMS, "%s", err.text);
	else
		jsonrpc_result(call, NULL);
}

static const struct jsonrpc_method methods[] = {
	{ "now", now }, { "later", later }, { "fields", fields },
	{ NULL, NULL },
};

static void sent(void *arg, const char *text, size_t len)
{
	json_t *v;

	(void)arg;
	if (!len || text[len - 1] != '\n' || memchr(text, '\n', len - 1))
		abort();
	v = json_loadb(text, len, 0, NULL);
	if (!v)
		abort();
	json_decref(v);
}

static void ended(void *arg)
{
	(void)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state s = { NULL, 0 };
	struct jsonrpc_ops ops = { methods, &s, sent, ended, NULL };
	struct jsonrpc *rpc = jsonrpc_create(&ops);
	struct jsonrpc_call *call;
	size_t portion = size ? data[0] + 1u : 1;
	size_t at, n;

	for (at = 1; rpc && at < size; at += n) {
		n = size - at < portion ? size - at : portion;
		if (jsonrpc_feed(rpc, (const char *)data + at, n))
			break;
		call = s.out;
		if (call && (at & 1)) {
			s.out = NULL;
			s.calls_out = 0;
			jsonrpc_result(call, NULL);
		}
	}
	jsonrpc_destroy(rpc);
	/* Its client has gone; it still ends, once. */
	if (s.out)
		jsonrpc_fail(s.out, JSONRPC_INTERNAL, "late");
	return 0;
}
