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

/* Each defined in src/transport/NAME/, where that is built. */
extern const struct leap_transport_ops leap__loop_transport;
extern const struct leap_transport_ops leap__vdev_transport;
extern const struct leap_transport_ops leap__lent_transport;
extern const struct leap_transport_ops leap__tcp_transport;
extern const struct leap_transport_ops leap__shm_transport;
extern const struct leap_transport_ops leap__rdma_transport;
extern const struct leap_transport_ops leap__vfio_user_transport;
extern const struct leap_transport_ops leap__pcie_transport;

/* Of a batch: the first two are to be taken together, or not at all. */
static inline int leap__req_is_first(const struct leap_req *req)
{
	return (req->sqe.flags & LEAP_SQE_FUSE_MASK) == LEAP_SQE_FUSE_FIRST;
}

/*
 * leap__target_home - where its listeners live; never changes. The one thing
 * that loop:// needs of a target beyond what target.h says: its host end sends
 * a message there, which walks the listeners. Implemented by core/ctrl.
 * Context: any
 */
struct leap_pollgroup *leap__target_home(const struct leap_target *target);

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
