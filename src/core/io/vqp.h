/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vqp.h - controller ends between poll groups
 */
#ifndef LEAP_CORE_IO_VQP_H
#define LEAP_CORE_IO_VQP_H

#include <leapio/plugin/transport_ops.h>

#include "core/io/pollgroup.h"

/*
 * A controller end on its way to another poll group. The caller's memory, in
 * use until @moved begins.
 */
struct leap__vqp_move {
	struct leap_msg msg;		/* library's */
	struct leap__defer defer;	/* library's */
	struct leap_vqp *vqp;
	struct leap_pollgroup *to;
	/*
	 * On the thread of @to, in poll. From here on the controller end, and
	 * the one command that came along (Connect), belong to that thread:
	 * complete it there. @err: lost on the way, or the transport could not
	 * attach; handler->lost has run, and the command is an orphan.
	 */
	void (*moved)(struct leap__vqp_move *move, int err);
	void *arg;
};

/*
 * leap__vqp_move - detach at the end of this poll, attach in @move->to, then
 * call @move->moved
 *
 * Detaching waits for the end of the poll, so that no transport is moved from
 * under its own feet, and until no command but the Connect is out, whose
 * payload must have been consumed: nobody touches its pieces any more. No other
 * command arrives meanwhile. The Connect keeps its slot, and its buffers their
 * place in the pool they came from; both go home by message when the new thread
 * puts them. May move to the group it is in.
 * Context: owner of vqp->pg
 */
void leap__vqp_move(struct leap__vqp_move *move);

/* leap__vqp_is_moving - on its way: let nothing happen to it here. Context:
 * owner */
int leap__vqp_is_moving(const struct leap_vqp *vqp);

/* leap__vqp_is_ending - it was closed, or is lost: whoever is at its other end
 * may use the memory of its commands for something else. Context: owner */
int leap__vqp_is_ending(const struct leap_vqp *vqp);

#endif
