/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where to: "SCHEME:ADDRESS/NQN" cut into a transport, its address and a
 * subsystem NQN. The address is the transport's to read.
 *
 * One or two slashes after the colon are the same ("tcp://HOST:PORT") unless
 * the address is a path ("shm:/run/x.sock"): only "//" is taken off.
 */
#include "core/io/transport.h"

#include <errno.h>
#include <string.h>

#include <leapio/nvmf.h>

#include "util/err.h"

static const struct leap_transport_ops *find_transport(const char *scheme)
{
	const struct leap_transport_ops *const *t = leap__transports();

	for (; *t; t++)
		if (!strcmp((*t)->name, scheme))
			return *t;
	return NULL;
}

int leap__url_split(const char *call, const char *url, int nqn_needed,
		    char *buf, size_t buf_max,
		    const struct leap_transport_ops **ops,
		    const char **address, const char **nqn)
{
	char *colon, *slash, *addr;

	*nqn = NULL;
	if (!url || !*url)
		return leap__err(-EINVAL, "%s: url is empty", call);
	if (strlen(url) >= buf_max)
		return leap__err(-EINVAL, "%s: url of %zu bytes exceeds %zu",
				 call, strlen(url), buf_max - 1);
	strcpy(buf, url);
	colon = strchr(buf, ':');
	if (!colon || colon == buf)
		return leap__err(-EINVAL, "%s: url \"%s\" has no scheme", call,
				 url);
	*colon = 0;
	*ops = find_transport(buf);
	if (!*ops)
		return leap__err(-EPROTONOSUPPORT,
				 "%s: no transport \"%s\" in this build", call,
				 buf);
	addr = colon + 1;
	if (addr[0] == '/' && addr[1] == '/')
		addr += 2;
	*address = addr;
	slash = strrchr(addr, '/');
	/* A path without NQN ends in a file name, not in a subsystem. */
	if (slash && (nqn_needed || !strncmp(slash + 1, "nqn.", 4))) {
		*slash = 0;
		*nqn = slash + 1;
	}
	if (!*nqn) {
		if (nqn_needed)
			return leap__err(-EINVAL, "%s: url \"%s\" has no NQN",
					 call, url);
		return 0;
	}
	if (leap_nqn_check(*nqn, LEAP_NQN_FIELD))
		return leap__err(-EINVAL, "%s: url \"%s\": %s", call, url,
				 leap_last_error());
	return 0;
}
