/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdev.h - the inside of a virtual PCI function, for those who carry its I/O
 * side to another process (the agent end of a link)
 *
 * A vdev asks groups by link messages only: CTRL_ADD (fd: state memory),
 * MEM_ADD (fd) and MEM_DEL go to remote groups; CQ_ADD, QP_ADD, RESUME, CQ_DEL,
 * QP_DEL, SHADOW, IRQ (fd: eventfd), FEATURE to the group that has the queue.
 */
#ifndef LEAP_CORE_CTRL_VDEV_H
#define LEAP_CORE_CTRL_VDEV_H

#include <leapio/vdev.h>

#include "core/ctrl/admin.h"
#include "core/io/saved.h"

/* Walk the vdevs of a target; NULL = first. */
struct leap_vdev *leap__vdev_next(const struct leap_target *t,
				  const struct leap_vdev *after);
struct leap__ctrl *leap__vdev_ctrl(const struct leap_vdev *v);

/*
 * Tell a remote group all of @v again, because another process serves it from
 * now on: CTRL_ADD, MEM_ADD for each range, IRQ, CQ_ADD, QP_ADD with
 * LEAP_QPD_RESUME, SHADOW, then RESUME. Answers of messages that were out to
 * the predecessor must have been given (-ECONNRESET) before.
 * @done: runs once, in poll: 0, or the first error of an answer
 */
void leap__vdev_replay(struct leap_vdev *v, struct leap__iogroup *g,
		       void (*done)(void *arg, int err), void *arg);

/* leap__vdev_ended - its controller was ended, by somebody else than destroy:
 * what is left is an empty slot (saved.h). Context: owner of home */

/*
 * leap__vdev_save - take it down for a successor, who carries on where this
 * process stops: the guest sees nothing of it
 *
 * From here on the vdev must not be polled, but for its destruction: what it
 * did would be done again.
 * Errors: -EAGAIN something is under way that ends by itself (a queue that
 *         comes or goes, a reset): poll and try again; -ENODEV, -ENOMEM,
 *         -EMFILE
 *
 * leap__vdev_restore - carry on, with the same controller id. Memory without a
 * descriptor is to be added again by the caller. Interrupts without eventfds go
 * to @opts.
 * Errors: -EPROTO the bytes are not of leap__vdev_save, -EBUSY the controller
 *         id is taken, or as leap_vdev_create and leap_vdev_mem_add
 */

/* The I/O side wants a vector raised, and has no eventfd. Context: home */
void leap__vdev_irq(struct leap_vdev *v, uint32_t vector);
/* It gave up a queue: CFS. Context: home */
void leap__vdev_fatal(struct leap_vdev *v, uint16_t qid, int err);

#endif
