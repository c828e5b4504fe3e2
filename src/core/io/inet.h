/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inet.h - addresses of the transports over IP
 */
#ifndef LEAP_CORE_IO_INET_H
#define LEAP_CORE_IO_INET_H

#include <stddef.h>
#include <sys/socket.h>

/* "HOST:PORT" or "[HOST]:PORT", numeric. 0, or -EINVAL with last error. */
int leap__inet_parse(const char *call, const char *text,
		     struct sockaddr_storage *addr, socklen_t *len);

/* And back. */
void leap__inet_text(const struct sockaddr_storage *addr, char *text,
		     size_t max);

#endif
