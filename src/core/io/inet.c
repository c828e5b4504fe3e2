/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * "HOST:PORT" of the transports that have IP addresses, numeric, both ways.
 * Resolves no names and opens nothing.
 */
#include "core/io/inet.h"

#include "util/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static int bad_address(const char *call, const char *text)
{
	return leap__err(-EINVAL, "%s: %s: expected IPV4:PORT or [IPV6]:PORT",
			 call, text);
}

/* 0..65535, digits only; -1 = no port */
static long parse_port(const char *text)
{
	long port = 0;
	int n;

	for (n = 0; text[n] >= '0' && text[n] <= '9' && n < 6; n++)
		port = port * 10 + (text[n] - '0');
	return n && !text[n] && port <= 65535 ? port : -1;
}

int leap__inet_parse(const char *call, const char *text,
		     struct sockaddr_storage *addr, socklen_t *len)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;
	struct sockaddr_in *in = (struct sockaddr_in *)addr;
	const char *start = text, *end, *colon;
	char host[INET6_ADDRSTRLEN];
	long port;

	memset(addr, 0, sizeof(*addr));
	if (*text == '[') {
		start = text + 1;
		end = strchr(start, ']');
		colon = end ? end + 1 : NULL;
	} else {
		end = strrchr(text, ':');
		colon = end;
	}
	if (!end || *colon != ':' || (size_t)(end - start) >= sizeof(host))
		return bad_address(call, text);
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = 0;
	port = parse_port(colon + 1);
	if (port < 0)
		return bad_address(call, text);
	if (*text == '[' && inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		*len = sizeof(*in6);
		return 0;
	}
	if (*text != '[' && inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		*len = sizeof(*in);
		return 0;
	}
	return bad_address(call, text);
}

void leap__inet_text(const struct sockaddr_storage *addr, char *text,
		     size_t max)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
	const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
	char host[INET6_ADDRSTRLEN] = "";

	if (addr->ss_family == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		/* An IPv4 host of a listener on [::]. */
		inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host,
			  sizeof(host));
		snprintf(text, max, "%s:%u", host, ntohs(in6->sin6_port));
	} else if (addr->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(text, max, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, max, "%s:%u", host, ntohs(in->sin_port));
	}
}
