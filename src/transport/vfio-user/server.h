/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server.h - the socket of one device: one client at a time
 */
#ifndef LEAP_VFIO_USER_SERVER_H
#define LEAP_VFIO_USER_SERVER_H

#include <leapio/plugin/transport_ops.h>

#include "transport/vfio-user/device.h"

struct leap__vfu_server;

/*
 * leap__vfu_server_create - a server without socket and device
 *
 * @name: for logs; copied
 * Context: owner of @pg
 * Returns: 0, -ENOMEM
 */
int leap__vfu_server_create(struct leap_pollgroup *pg,
			    const struct leap__vfu_vdev_ops *ops,
			    const char *name, struct leap__vfu_server **out);

/* Argument of the vdev's callbacks. */
struct leap__vfu_dev *leap__vfu_server_dev(struct leap__vfu_server *s);

/*
 * leap__vfu_server_start - accept clients for @vdev
 *
 * @wfd: a listening socket, taken over in any case
 * Context: owner
 * Returns: 0, -ENOMEM: the vdev stays the caller's
 */
int leap__vfu_server_start(struct leap__vfu_server *s, struct leap__wfd *wfd,
			   struct leap_vdev *vdev, uint32_t nr_vectors,
			   uint32_t irqs);

/*
 * leap__vfu_server_renews - who comes after the drive was pulled out has another
 *
 * @renew: asked whenever a client has gone. 0 and *@vdev, which takes the place
 *         of the old one: that is destroyed before anybody is served again
 */
void leap__vfu_server_renews(struct leap__vfu_server *s,
			     int (*renew)(void *arg, struct leap_vdev *old,
					  struct leap_vdev **vdev),
			     void *arg);

/* One that was not started. */
void leap__vfu_server_free(void *server);

/*
 * leap__vfu_server_stop - end the client, destroy the vdev, free
 *
 * @stopped: runs once, perhaps before this returns; may be NULL
 * Context: owner
 */
void leap__vfu_server_stop(struct leap__vfu_server *s,
			   void (*stopped)(void *arg), void *arg);

/*
 * For a process that follows. save: 0; -ENOENT no client; -EAGAIN poll and ask
 * again. restore: after start, with a vdev that is restored; when it fails the
 * server is to be stopped. Context: owner
 */
int leap__vfu_server_save(struct leap__vfu_server *s,
			  struct leap__saved *saved);
void leap__vfu_server_carry_on(struct leap__vfu_server *s);
int leap__vfu_server_restore(struct leap__vfu_server *s,
			     const struct leap__saved *saved);

/* A client is being served. Context: owner */
bool leap__vfu_server_busy(const struct leap__vfu_server *s);

/* listener.c: "vfio-user:PATH/NQN" */
struct leap__vfu_listener {
	struct leap__vfu_server *server;
};

int leap__vfu_listen(struct leap_listener *listener, const char *address,
		     char *bound, size_t bound_max);
void leap__vfu_unlisten(struct leap_listener *listener);

#endif
