/* SPDX-License-Identifier: BSD-3-Clause */
/* inspect.h - control requests about the drives of virtual machines */
#ifndef EXAMPLES_INSPECT_H
#define EXAMPLES_INSPECT_H

#include <jansson.h>

#include <leapio/agent.h>
#include <leapio/target.h>

#include "examples/common/jsonrpc.h"

/* "drives": subsystems, their NSIDs and controllers; "sockets". A new
 * reference. @target may be NULL. */
json_t *inspect_drives(const struct leap_target *target);

/* drives.inspect with @params "nqn" and perhaps "cntlid"; ends the call.
 * @lent: controllers that an agent has lent are shown, too; may be NULL. */
void inspect_drive(struct jsonrpc_call *call, const json_t *params,
		   struct leap_target *target, struct leap_runtime *lent);

#endif
