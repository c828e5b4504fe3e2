/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ipv6.h - machines and containers where IPv6 is off, wholly or in part
 */
#ifndef LEAP_TESTS_IPV6_H
#define LEAP_TESTS_IPV6_H

#include "unit.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* The test is skipped, and says why, unless it can bind to @address. */
static inline void need_ipv6(const struct in6_addr *address)
{
	struct sockaddr_in6 sin6 = {
		.sin6_family = AF_INET6, .sin6_addr = *address,
	};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	int bad = fd < 0 || bind(fd, (struct sockaddr *)&sin6, sizeof(sin6));

	if (fd >= 0)
		close(fd);
	if (!bad)
		return;
	printf("skip: no IPv6 on this machine\n");
	skip();
}

#endif
