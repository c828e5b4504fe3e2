/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * jsonrpc.c - finds messages in a byte stream and runs them, one at a time
 *
 * The stream is cut into messages by counting brackets outside of strings, so
 * that a client may send one line per message or pretty-printed text. A text
 * that is no JSON is answered with a parse error and the stream goes on behind
 * it; a raw line end inside a string, which JSON forbids, ends such a text.
 * Knows neither sockets nor what the methods do.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"

struct jsonrpc_call {
	struct jsonrpc *rpc;	/* NULL: the client has gone */
	json_t *request;
	json_t *params;
	json_t *id;		/* NULL: a notification */
};

struct jsonrpc {
	struct jsonrpc_ops ops;
	char *buf;
	size_t len;
	size_t max;
	size_t scanned;		/* of buf, by the state below */
	size_t depth;
	bool in_string;
	bool escaped;
	/* The message that is being run. */
	json_t *message;
	json_t *answers;	/* of a batch */
	size_t next;		/* in a batch */
	struct jsonrpc_call *call;	/* that is still out */
	bool running;		/* in run_messages: answers do not recurse */
};

static void send_json(struct jsonrpc *rpc, json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT);
	size_t len;

	json_decref(answer);
	if (!text)
		return;
	len = strlen(text);
	text[len] = '\n';	/* in place of the NUL */
	rpc->ops.send(rpc->ops.send_arg, text, len + 1);
	free(text);
}

/* Text that was cut in the middle of a character is none to jansson. */
static json_t *plain_text(const char *text)
{
	json_t *v = json_string(text);
	char ascii[512];
	size_t i;

	if (v)
		return v;
	for (i = 0; text[i] && i < sizeof(ascii) - 1; i++)
		ascii[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	ascii[i] = 0;
	return json_string(ascii);
}

static json_t *error_answer(const json_t *id, int code, const char *text)
{
	return json_pack("{s:s, s:{s:i, s:o}, s:O?}", "jsonrpc", "2.0",
			 "error", "code", code, "message", plain_text(text),
			 "id", id);
}

/* One answer goes out, or into the batch that it belongs to. */
static void answer(struct jsonrpc *rpc, json_t *what)
{
	if (!what)
		what = error_answer(NULL, JSONRPC_INTERNAL, "out of memory");
	if (!what)
		return;
	if (rpc->answers)
		json_array_append_new(rpc->answers, what);
	else
		send_json(rpc, what);
}

static bool valid_id(const json_t *id)
{
	return !id || json_is_string(id) || json_is_number(id) ||
	       json_is_null(id);
}

static const char *request_error(const json_t *request)
{
	const json_t *version = json_object_get(request, "jsonrpc");
	const json_t *params = json_object_get(request, "params");

	if (!json_is_object(request))
		return "a request is an object";
	if (!version || !json_is_string(version) ||
	    strcmp(json_string_value(version), "2.0"))
		return "\"jsonrpc\" must be \"2.0\"";
	if (!json_is_string(json_object_get(request, "method")))
		return "\"method\" must be text";
	if (!valid_id(json_object_get(request, "id")))
		return "\"id\" must be text, a number or null";
	if (params && !json_is_object(params) && !json_is_array(params))
		return "\"params\" must be an object";
	return NULL;
}

static const struct jsonrpc_method *find(const struct jsonrpc *rpc,
					 const char *name)
{
	const struct jsonrpc_method *m;

	for (m = rpc->ops.methods; m->name; m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

static void start_call(struct jsonrpc *rpc, json_t *request)
{
	const struct jsonrpc_method *method;
	struct jsonrpc_call *call;
	json_t *params = json_object_get(request, "params");

	call = calloc(1, sizeof(*call));
	if (!call) {
		answer(rpc, NULL);
		return;
	}
	call->rpc = rpc;
	call->request = json_incref(request);
	call->id = json_object_get(request, "id");
	call->params = params ? json_incref(params) : json_object();
	rpc->call = call;
	method = find(rpc, json_string_value(json_object_get(request,
							     "method")));
	if (!method)
		jsonrpc_fail(call, JSONRPC_NO_METHOD, "no method \"%.64s\"",
			     json_string_value(json_object_get(request,
							       "method")));
	else if (json_is_array(call->params) && json_array_size(call->params))
		jsonrpc_fail(call, JSONRPC_INVALID_PARAMS,
			     "parameters are taken by name");
	else if (json_is_array(call->params)) {
		json_decref(call->params);
		call->params = json_object();
		method->run(call, call->params, rpc->ops.method_arg);
	} else {
		method->run(call, call->params, rpc->ops.method_arg);
	}
}

static void start_request(struct jsonrpc *rpc, json_t *request)
{
	const char *wrong = request_error(request);
	json_t *id = json_object_get(request, "id");

	if (wrong)
		answer(rpc, error_answer(valid_id(id) ? id : NULL,
					 JSONRPC_INVALID_REQUEST, wrong));
	else
		start_call(rpc, request);
}

static void message_done(struct jsonrpc *rpc)
{
	json_t *answers = rpc->answers;

	rpc->answers = NULL;
	json_decref(rpc->message);
	rpc->message = NULL;
	if (answers && json_array_size(answers))
		send_json(rpc, answers);
	else
		json_decref(answers);
}

/* Go on with the message until a call does not end at once. */
static void run_message(struct jsonrpc *rpc)
{
	json_t *request;

	while (rpc->message && !rpc->call) {
		if (!rpc->answers) {
			if (rpc->next++) {
				message_done(rpc);
				return;
			}
			start_request(rpc, rpc->message);
			continue;
		}
		request = json_array_get(rpc->message, rpc->next++);
		if (!request) {
			message_done(rpc);
			return;
		}
		start_request(rpc, request);
	}
}

static void start_message(struct jsonrpc *rpc, const char *text, size_t len)
{
	json_error_t err;
	char note[JSON_ERROR_TEXT_LENGTH + 64];

	rpc->message = json_loadb(text, len, JSON_REJECT_DUPLICATES, &err);
	if (!rpc->message) {
		snprintf(note, sizeof(note), "line %d, column %d: %s",
			 err.line, err.column, err.text);
		answer(rpc, error_answer(NULL, JSONRPC_PARSE, note));
		return;
	}
	rpc->next = 0;
	if (!json_is_array(rpc->message))
		return;
	if (!json_array_size(rpc->message) ||
	    json_array_size(rpc->message) > JSONRPC_MAX_BATCH) {
		snprintf(note, sizeof(note), "a batch has 1 to %d requests",
			 JSONRPC_MAX_BATCH);
		answer(rpc, error_answer(NULL, JSONRPC_INVALID_REQUEST, note));
		message_done(rpc);
		return;
	}
	rpc->answers = json_array();
}

/* One byte more of a text; true when it is the last of its message. */
static bool scan(struct jsonrpc *rpc, char c)
{
	if (rpc->in_string) {
		if (c == '\n')
			return true;
		if (rpc->escaped)
			rpc->escaped = false;
		else if (c == '\\')
			rpc->escaped = true;
		else if (c == '"')
			rpc->in_string = false;
		return false;
	}
	switch (c) {
	case '"':
		rpc->in_string = true;
		return false;
	case '{':
	case '[':
		rpc->depth++;
		return false;
	case '}':
	case ']':
		return rpc->depth <= 1 || !--rpc->depth;
	case '\n':
		return !rpc->depth;
	default:
		return false;
	}
}

static void drop(struct jsonrpc *rpc, size_t len)
{
	memmove(rpc->buf, rpc->buf + len, rpc->len - len);
	rpc->len -= len;
	rpc->scanned = 0;
	rpc->depth = 0;
	rpc->in_string = false;
	rpc->escaped = false;
}

static size_t blanks(const struct jsonrpc *rpc)
{
	size_t n = 0;

	while (n < rpc->len && (rpc->buf[n] == ' ' || rpc->buf[n] == '\t' ||
				rpc->buf[n] == '\r' || rpc->buf[n] == '\n'))
		n++;
	return n;
}

/* Find the next message; false when it is not all there. */
static bool next_message(struct jsonrpc *rpc)
{
	if (!rpc->scanned)
		drop(rpc, blanks(rpc));
	while (rpc->scanned < rpc->len) {
		if (!scan(rpc, rpc->buf[rpc->scanned++]))
			continue;
		start_message(rpc, rpc->buf, rpc->scanned);
		drop(rpc, rpc->scanned);
		return true;
	}
	return false;
}

static void run_messages(struct jsonrpc *rpc)
{
	rpc->running = true;
	do
		run_message(rpc);
	while (!rpc->message && next_message(rpc));
	rpc->running = false;
}

int jsonrpc_feed(struct jsonrpc *rpc, const char *bytes, size_t len)
{
	char note[64];
	size_t max = rpc->max ? rpc->max : 4096;
	char *buf;

	while (max < rpc->len + len)
		max *= 2;
	if (max != rpc->max) {
		buf = realloc(rpc->buf, max);
		if (!buf)
			return -ENOMEM;
		rpc->buf = buf;
		rpc->max = max;
	}
	if (len)
		memcpy(rpc->buf + rpc->len, bytes, len);
	rpc->len += len;
	if (rpc->message)
		return 0;
	run_messages(rpc);
	if (rpc->message || rpc->len <= JSONRPC_MAX_BYTES)
		return 0;
	snprintf(note, sizeof(note), "a message is longer than %u bytes",
		 JSONRPC_MAX_BYTES);
	answer(rpc, error_answer(NULL, JSONRPC_INVALID_REQUEST, note));
	return -EMSGSIZE;
}

int jsonrpc_busy(const struct jsonrpc *rpc)
{
	return rpc->message != NULL;
}

size_t jsonrpc_waiting(const struct jsonrpc *rpc)
{
	return rpc->message ? rpc->len : 0;
}

static void end_call(struct jsonrpc_call *call, json_t *what)
{
	struct jsonrpc *rpc = call->rpc;

	if (!rpc) {
		json_decref(what);
	} else {
		rpc->call = NULL;
		if (call->id)
			answer(rpc, what);
		else
			json_decref(what);
	}
	json_decref(call->params);
	json_decref(call->request);
	free(call);
	if (!rpc || rpc->running)
		return;
	run_messages(rpc);
	rpc->ops.ended(rpc->ops.send_arg);
}

void jsonrpc_result(struct jsonrpc_call *call, json_t *result)
{
	end_call(call, json_pack("{s:s, s:o, s:O?}", "jsonrpc", "2.0",
				 "result", result ? result : json_true(),
				 "id", call->id));
}

void jsonrpc_fail(struct jsonrpc_call *call, int code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	end_call(call, error_answer(call->id, code, text));
}

struct jsonrpc *jsonrpc_create(const struct jsonrpc_ops *ops)
{
	struct jsonrpc *rpc = calloc(1, sizeof(*rpc));

	if (rpc)
		rpc->ops = *ops;
	return rpc;
}

void jsonrpc_destroy(struct jsonrpc *rpc)
{
	if (!rpc)
		return;
	if (rpc->call)
		rpc->call->rpc = NULL;
	json_decref(rpc->message);
	json_decref(rpc->answers);
	free(rpc->buf);
	free(rpc);
}
