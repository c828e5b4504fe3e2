/* SPDX-License-Identifier: BSD-3-Clause */
/* control.h - the control socket:
 * clients of a Unix socket that speak JSON-RPC */
#ifndef EXAMPLES_CONTROL_H
#define EXAMPLES_CONTROL_H

#include <sys/types.h>

#include "examples/common/loop.h"

struct jsonrpc_method;

#define CONTROL_MAX_CLIENTS 64

struct client;

struct control {
	struct watch watch;	/* the listening socket */
	struct loop *loop;
	const struct jsonrpc_method *methods;
	void *method_arg;
	struct client *clients;
	unsigned int nr_clients;
	char path[108];
	dev_t dev;		/* whose file it is: another may have taken */
	ino_t ino;		/* the name when we go */
};

/* 0 or -errno; a socket that nobody listens on any more is replaced. */
int control_start(struct control *ctl, struct loop *loop, const char *path,
		  const struct jsonrpc_method *methods, void *method_arg);

/* Close the clients and remove the socket. */
void control_stop(struct control *ctl);

#endif
