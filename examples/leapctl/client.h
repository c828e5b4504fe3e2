/* SPDX-License-Identifier: BSD-3-Clause */
/* client.h - ask a control socket one thing and wait for the answer */
#ifndef LEAPCTL_CLIENT_H
#define LEAPCTL_CLIENT_H

#include <jansson.h>

/* The descriptor, or -errno. */
int client_connect(const char *path);

/*
 * The result, a new reference; or NULL and @error: the target's words when it
 * answered (*refused = 1), else what is wrong with the connection.
 * @params is taken.
 */
json_t *client_call(int fd, const char *method, json_t *params, char *error,
		    size_t max, int *refused);

#endif
