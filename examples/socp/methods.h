/* SPDX-License-Identifier: BSD-3-Clause */
/* methods.h - what the control socket can be asked for */
#ifndef SOCP_METHODS_H
#define SOCP_METHODS_H

#include "examples/common/fields.h"
#include "examples/common/jsonrpc.h"
#include "runtime.h"

/* All methods; their argument is a struct runtime. */
extern const struct jsonrpc_method socp_methods[];

/* Read parameters; false when the call has been failed with what is wrong. */
int method_params(struct jsonrpc_call *call, const json_t *params,
		  const struct field *fields, void *out);

/* The subsystem, or NULL when the call has been failed. */
struct leap_subsystem *method_subsystem(struct jsonrpc_call *call,
					struct runtime *rt, const char *nqn);

/* show.c: methods that change nothing. */
void show_subsystems(struct jsonrpc_call *call, const json_t *params,
		     void *arg);
void show_namespaces(struct jsonrpc_call *call, const json_t *params,
		     void *arg);
void show_listeners(struct jsonrpc_call *call, const json_t *params,
		    void *arg);
void show_connections(struct jsonrpc_call *call, const json_t *params,
		      void *arg);
void show_drives(struct jsonrpc_call *call, const json_t *params, void *arg);
void show_drive(struct jsonrpc_call *call, const json_t *params, void *arg);
void show_stacks(struct jsonrpc_call *call, const json_t *params, void *arg);
void show_stats(struct jsonrpc_call *call, const json_t *params, void *arg);
void show_process(struct jsonrpc_call *call, const json_t *params, void *arg);

#endif
