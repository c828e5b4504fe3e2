/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transport.h - the transports of this build
 */
#ifndef LEAP_CORE_IO_TRANSPORT_H
#define LEAP_CORE_IO_TRANSPORT_H

#include <leapio/plugin/transport_ops.h>

/* NULL-terminated; the only place that names an implementation is
 * src/transport/registry.c. */
const struct leap_transport_ops *const *leap__transports(void);

/*
 * Split "tcp://HOST:PORT/NQN" in scheme, address and NQN (NULL when the URL has
 * none and @nqn_needed is 0). @buf takes the pieces. 0, -EINVAL with last error
 * text, -EPROTONOSUPPORT.
 */
int leap__url_split(const char *call, const char *url, int nqn_needed,
		    char *buf, size_t buf_max,
		    const struct leap_transport_ops **ops,
		    const char **address, const char **nqn);

#endif
