/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pool.h - what pool.c and vqp.c share
 */
#ifndef LEAP_CORE_IO_POOL_H
#define LEAP_CORE_IO_POOL_H

#include "core/io/dispatch.h"

/* leap_vqp.starved */
#define LEAP__VQP_STARVED	1u
#define LEAP__VQP_CLOSING	2u	/* ops->vqp_close has been called */
#define LEAP__VQP_MOVING	4u	/* to another group */
#define LEAP__VQP_HUNGRY	8u	/* wanted a command meanwhile */

/* No longer waiting; no-op when it is not. */
void leap__vqp_unstarve(struct leap_vqp *vqp);

/* Dead and empty: goes away in a later poll, so that no caller of
 * leap_cmd_put or leap_vqp_lost finds it freed under its feet. */
void leap__vqp_reap(struct leap_vqp *vqp);

/* Commands and buffers of @peer may come to be put in @d. */
void leap__dispatch_add_peer(struct leap__dispatch *d,
			     struct leap__dispatch *peer);

#endif
