/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * saved.h - what a drive needs of the process that has it, for the next one
 *
 * Items of tag, length and bytes, and descriptors that items name by index.
 * The controller writes its own first (core/ctrl/vdev_save.c), a transport adds
 * its own; neither looks at the other's. Implemented by core/ctrl.
 */
#ifndef LEAP_CORE_IO_SAVED_H
#define LEAP_CORE_IO_SAVED_H

#include <stdbool.h>

#include <leapio/vdev.h>

struct leap__saved {
	uint8_t *bytes;
	size_t len, room;
	int *fds;
	uint32_t nr_fds;
};

#define LEAP__SAVED_NO_FD	UINT32_MAX
#define LEAP__SAVED_TRANSPORT	0x1000u	/* tags from here: a transport's */
#define LEAP__SAVED_TARGET	0x2000u	/* and from here the target's */

/* Add an item. 0, -ENOMEM */
int leap__saved_put(struct leap__saved *s, uint32_t tag, const void *data,
		    uint32_t len);
/* Add a copy of @fd; -1 has the index LEAP__SAVED_NO_FD. 0, -errno */
int leap__saved_put_fd(struct leap__saved *s, int fd, uint32_t *index);
/* The @nth item of @tag: its bytes; NULL */
const uint8_t *leap__saved_find(const struct leap__saved *s, uint32_t tag,
				uint32_t nth, uint32_t *len);
/* A copy of a descriptor: -1 none was saved, else -errno. */
int leap__saved_fd(const struct leap__saved *s, uint32_t index, int *fd);
void leap__saved_free(struct leap__saved *s);

/* See core/ctrl/vdev.h. */
bool leap__vdev_ended(const struct leap_vdev *v);
int leap__vdev_save(const struct leap_vdev *v, struct leap__saved *s);
int leap__vdev_restore(struct leap_subsystem *ss,
		       const struct leap_vdev_opts *opts,
		       const struct leap__saved *s, struct leap_vdev **out);

struct leap__keep_ops {
	/* Take no more messages, and when none is half done, add all. 0;
	 * -EAGAIN poll and ask again; -ENOENT there is nothing to keep */
	int (*save)(struct leap_listener *l, struct leap__saved *s);
	/* It was for nothing: serve. */
	void (*carry_on)(struct leap_listener *l);
};

/* A transport whose listeners can be kept says so in listen. */
void leap__listener_keeps(struct leap_listener *l,
			  const struct leap__keep_ops *ops);
/* What the predecessor had here; NULL = nothing. For listen. */
const struct leap__saved *leap__listener_saved(const struct leap_listener *l);

#endif
