/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctrl.h - what ctrl.c and property.c share
 */
#ifndef LEAP_CORE_CTRL_CTRL_H
#define LEAP_CORE_CTRL_CTRL_H

#include "core/ctrl/admin.h"

void leap__ctrl_init_props(struct leap__ctrl *c);
/* Nothing is fetched or posted any more. */
void leap__ctrl_stop_front(struct leap__ctrl *c);
/* The last I/O queue of a controller that is being reset has gone. */
void leap__ctrl_reset_done(struct leap__ctrl *c);

#endif
