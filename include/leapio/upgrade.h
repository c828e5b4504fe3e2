/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * upgrade.h - a process with drives replaces itself by another program
 *
 * The guests keep their connections and notice a pause. The old process:
 *
 *	leap_agent_rest		the runtime drains and gives all back
 *	leap_target_save	until it is not -EAGAIN: a descriptor
 *	execve			tell the new program the descriptor's number
 *
 * From a save that succeeded to execve nothing may be polled. When execve
 * fails: leap_target_carry_on, leap_agent_go_on, and it is as it was. The new
 * program, with the same subsystems and listeners:
 *
 *	leap_target_restore	before its listeners are created
 *	leap_listener_create	takes up the drive of its URL
 *	leap_target_restore(target, -1)	ends those that nobody took
 *
 * Kept are the drives of vfio-user listeners whose client is connected, and
 * the namespaces that a runtime has shown. Counters of the agent begin anew.
 */
#ifndef LEAPIO_UPGRADE_H
#define LEAPIO_UPGRADE_H

#include <leapio/agent.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * leap_agent_rest - have the runtime give everything back, and start no other
 *
 * It drains, closes its stacks and connects again; one that does not answer is
 * fenced, as in a handoff.
 * @done: runs once, perhaps before this returns: no runtime has anything
 * Context: owner of home
 * Returns: 0
 * Errors:  -EBUSY runtimes change just now
 */
LEAP_API int leap_agent_rest(struct leap_agent *agent,
			     void (*done)(void *arg, int err), void *arg);

/* leap_agent_go_on - the next runtime may start. Context: owner of home */
LEAP_API void leap_agent_go_on(struct leap_agent *agent);

/**
 * leap_target_save - all its drives, in a descriptor that survives execve
 *
 * Clients are not listened to any more, from the first call on, at the next
 * end of a message.
 * Context: owner of home, not in poll
 * Returns: 0
 * Errors:  -EAGAIN a drive does something that ends by itself: poll, then call
 *          again; -EBUSY the agent does not rest; -EMFILE, -ENOMEM
 */
LEAP_API int leap_target_save(struct leap_target *target, int *fd);

/**
 * leap_target_carry_on - it was for nothing: listen to the clients
 *
 * @fd: of leap_target_save, closed with all that it names; -1 = none
 * Context: owner of home
 */
LEAP_API void leap_target_carry_on(struct leap_target *target, int fd);

/**
 * leap_target_restore - listeners that are created find their drives
 *
 * @fd: of leap_target_save in the process before, taken over; -1: no listener
 *      comes any more, the drives that are left are dropped
 * Context: owner of home
 * Returns: 0
 * Errors:  -EPROTO it is not of leap_target_save, -ENOMEM
 */
LEAP_API int leap_target_restore(struct leap_target *target, int fd);

#ifdef __cplusplus
}
#endif

#endif
