/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The transports of this build: the only place that names them. A transport
 * that was not configured is an absent file and an absent line here.
 */
#include "config.h"
#include "core/io/transport.h"

#include <stddef.h>

const struct leap_transport_ops *const *leap__transports(void)
{
	static const struct leap_transport_ops *const all[] = {
		&leap__loop_transport,
		&leap__vdev_transport,
		&leap__lent_transport,
		/* Without the libraries, it says so when it is used. */
		&leap__rdma_transport,
#ifdef LEAP_WITH_TCP
		&leap__tcp_transport,
#endif
#ifdef LEAP_WITH_SHM
		&leap__shm_transport,
#endif
#ifdef LEAP_WITH_VFIO_USER
		&leap__vfio_user_transport,
#endif
#ifdef LEAP_WITH_PCIE
		&leap__pcie_transport,
#endif
		NULL,
	};

	return all;
}
