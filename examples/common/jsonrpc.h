/* SPDX-License-Identifier: BSD-3-Clause */
/* jsonrpc.h - JSON-RPC 2.0 for one client: bytes in, calls, bytes out */
#ifndef EXAMPLES_JSONRPC_H
#define EXAMPLES_JSONRPC_H

#include <jansson.h>
#include <stddef.h>

#define JSONRPC_MAX_BYTES (1u << 20)	/* of one message, also of a batch */
#define JSONRPC_MAX_BATCH 1024

/* JSON-RPC 2.0 s5.1, and below -32000 is ours. */
enum {
	JSONRPC_PARSE = -32700,
	JSONRPC_INVALID_REQUEST = -32600,
	JSONRPC_NO_METHOD = -32601,
	JSONRPC_INVALID_PARAMS = -32602,
	JSONRPC_INTERNAL = -32603,
	JSONRPC_REFUSED = -32000,	/* understood, and not done */
};

struct jsonrpc;
struct jsonrpc_call;

struct jsonrpc_method {
	const char *name;
	/*
	 * Ends, now or later, in exactly one jsonrpc_result or jsonrpc_fail.
	 * @params is an object, empty when none was sent; borrowed until then.
	 */
	void (*run)(struct jsonrpc_call *call, const json_t *params, void *arg);
};

struct jsonrpc_ops {
	const struct jsonrpc_method *methods;	/* ends with a NULL name */
	void *method_arg;
	/* Takes a whole line of output, newline included; borrowed. */
	void (*send)(void *send_arg, const char *text, size_t len);
	/* A call that was out has ended; may destroy the jsonrpc. */
	void (*ended)(void *send_arg);
	void *send_arg;
};

struct jsonrpc *jsonrpc_create(const struct jsonrpc_ops *ops);

/* Calls that are still out end without an answer. */
void jsonrpc_destroy(struct jsonrpc *rpc);

/*
 * Take bytes of the client. Messages are objects or arrays, one after the
 * other, whitespace between them or not. They run one at a time, in order.
 * 0; -EMSGSIZE a message that is too long (the client was told: close it);
 * -ENOMEM.
 */
int jsonrpc_feed(struct jsonrpc *rpc, const char *bytes, size_t len);

/* Is a call still out; how many bytes wait behind it. */
int jsonrpc_busy(const struct jsonrpc *rpc);
size_t jsonrpc_waiting(const struct jsonrpc *rpc);

/* @result is taken; NULL stands for true. */
void jsonrpc_result(struct jsonrpc_call *call, json_t *result);
void jsonrpc_fail(struct jsonrpc_call *call, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
