/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.h - the host end over vfio-user
 */
#ifndef LEAP_VFIO_USER_HOST_H
#define LEAP_VFIO_USER_HOST_H

#include <leapio/plugin/transport_ops.h>

/* The slot of a transport's table; the others are leap__regqp_*. */
int leap__vfu_qp_connect(struct leap_qp *qp, const char *address);

#endif
