/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * io.c - copies that may go through messages, or be moved by a device
 *
 * Memory that came without an fd is reached by asking its owner, who answers
 * later and on a thread of its own; a peer's memory by RDMA. A copy goes
 * through its ranges one after the other: mapped ones at once, the others a
 * message or a move at a time. Knows nothing of what carries them.
 */
#include <errno.h>

#include "ats/ats.h"
#include "util/atomic.h"

/* Begin to move io->part bytes at @remote. */
static int move(struct leap_ats_io *io, const struct leap__ats_range *range,
		uint64_t remote)
{
	struct leap_piece piece = {
		.remote = remote, .key = range->key, .len_bytes = io->part,
		.reach = LEAP_REACH_ONE_SIDED, .range = range->slot,
	};

	return range->ops.move(range->arg, &piece,
			       (uint8_t *)io->buf + io->moved,
			       (int)io->is_write, io);
}

/* Ask for the next part. 0: it will be answered. */
static int ask(struct leap_ats_io *io, const struct leap__ats_range *range,
	       uint64_t gpa)
{
	const struct leap_ats_ops *ops = &range->ops;
	uint8_t *buf = (uint8_t *)io->buf + io->moved;
	struct leap_pins before = io->pins;
	uint64_t part = io->bytes - io->moved;
	int err;

	if (range->source == LEAP_ATS_REMOTE ? !ops->move : !ops->read)
		return -EAGAIN;
	if (part - 1 > range->last - gpa)
		part = range->last - gpa + 1;
	if (ops->max_bytes && part > ops->max_bytes)
		part = ops->max_bytes;
	/* Hold this one before the last one is let go: a view without pins
	 * may be detached. */
	io->pins.nr = 0;
	leap__ats_pin(io->view, &io->pins, range);
	leap_ats_release(io->view, &before);
	io->part = (uint32_t)part;
	if (range->source == LEAP_ATS_REMOTE)
		err = move(io, range, range->remote + (gpa - range->start));
	else
		err = io->is_write ?
			ops->write(range->arg, (leap_gpa_t){ gpa }, buf,
				   io->part, io) :
			ops->read(range->arg, (leap_gpa_t){ gpa }, buf,
				  io->part, io);
	if (err)
		leap_ats_release(io->view, &io->pins);
	return err > 0 ? -EIO : err;
}

/* 1 all was moved, 0 a message is under way. */
static int run(struct leap_ats_io *io)
{
	uint32_t perm = io->is_write ? LEAP_PERM_WRITE : LEAP_PERM_READ;
	const struct leap__ats_range *range;
	uint64_t gpa, part;
	uint8_t *buf;
	int err;

	while (io->moved < io->bytes) {
		gpa = io->gpa.addr + io->moved;
		if (gpa < io->gpa.addr)
			return -EFAULT;
		range = leap__ats_find(io->view, gpa);
		if (!range)
			return -EFAULT;
		if ((range->perm & perm) != perm)
			return -EACCES;
		if (range->source == LEAP_ATS_MESSAGE ||
		    range->source == LEAP_ATS_REMOTE)
			return ask(io, range, gpa);
		part = io->bytes - io->moved;
		if (part - 1 > range->last - gpa)
			part = range->last - gpa + 1;
		buf = (uint8_t *)io->buf + io->moved;
		err = io->is_write ?
			leap_ats_copy_out(io->view, (leap_gpa_t){ gpa }, buf,
					  part) :
			leap_ats_copy_in(io->view, buf, (leap_gpa_t){ gpa },
					 part);
		if (err)
			return err;
		io->moved += (uint32_t)part;
	}
	return 1;
}

static int start(struct leap_ats_view *view, struct leap_ats_io *io,
		 uint32_t is_write)
{
	io->view = view;
	io->is_write = is_write;
	io->moved = 0;
	io->pins.nr = 0;
	return run(io);
}

int leap_ats_read(struct leap_ats_view *view, struct leap_ats_io *io)
{
	return start(view, io, 0);
}

int leap_ats_write(struct leap_ats_view *view, struct leap_ats_io *io)
{
	return start(view, io, 1);
}

struct leap_pollgroup *leap_ats_io_pollgroup(const struct leap_ats_io *io)
{
	return io->view->pg;
}

static void answered(struct leap_msg *msg)
{
	struct leap_ats_io *io = leap__list_entry(msg, struct leap_ats_io, msg);
	int err = io->err;

	if (!err) {
		io->moved += io->part;
		err = run(io);
		if (!err)
			return;
	}
	/* The range may end with this, and the view with the range. */
	leap_ats_release(io->view, &io->pins);
	io->done(io, err < 0 ? err : 0);
}

void leap_ats_io_done(struct leap_ats_io *io, int err)
{
	io->err = err > 0 ? -EIO : err;
	io->msg.run = answered;
	leap_pollgroup_send(io->view->pg, &io->msg);
}
