/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.c - "vfio-user:/run/x.sock/NQN": a drive of a subsystem for whoever
 * connects to the socket
 *
 * The only file here that names the calls of leapio/vdev.h; everything behind
 * it sees a table of them.
 */
#include "transport/vfio-user/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/io/acceptor.h"
#include "core/io/pollgroup.h"
#include "core/io/regctrl.h"
#include "core/io/saved.h"
#include "core/io/transport.h"
#include "transport/vfio-user/host.h"
#include "util/err.h"

static const struct leap__vfu_vdev_ops vdev_ops = {
	.destroy = leap_vdev_destroy,
	.mem_add = leap_vdev_mem_add,
	.mem_sync = leap_vdev_mem_sync,
	.mem_del = leap_vdev_mem_del,
	.config_read = leap_vdev_config_read,
	.config_write = leap_vdev_config_write,
	.bar_read = leap_vdev_bar_read,
	.bar_write = leap_vdev_bar_write,
	.reset = leap_vdev_reset,
	.irq_fd = leap_vdev_irq_fd,
	.intx_level = leap_vdev_intx_level,
};

static int make_vdev(struct leap_listener *listener,
		     struct leap__vfu_server *s,
		     const struct leap__saved *saved, struct leap_vdev **vdev)
{
	struct leap_subsystem *ss = leap_listener_subsystem(listener);
	struct leap_vdev_opts opts = LEAP_VDEV_OPTS_INIT;

	opts.client_msix = 1;
	opts.irqs = leap_listener_opts(listener)->irqs;
	opts.intx = leap__vfu_intx;
	opts.arg = leap__vfu_server_dev(s);
	return saved ? leap__vdev_restore(ss, &opts, saved, vdev) :
	       leap_vdev_create(ss, &opts, vdev);
}

/* Somebody ended the controller; the socket is a drive's all the same. */
static int renew(void *arg, struct leap_vdev *old, struct leap_vdev **vdev)
{
	struct leap_listener *listener = arg;
	struct leap__vfu_listener *l = leap_listener_priv(listener);

	if (!leap__vdev_ended(old))
		return -EALREADY;
	return make_vdev(listener, l->server, NULL, vdev);
}

static int start(struct leap_listener *listener, struct leap__vfu_server *s,
		 struct leap_vdev *vdev, const char *path)
{
	struct leap__world *world =
		leap__pollgroup_world(leap_listener_pollgroup(listener));
	struct leap_vdev_info info = { .size = sizeof(info) };
	struct leap__wfd *wfd;
	int err;

	err = leap_vdev_info(vdev, &info);
	if (!err)
		err = leap__acceptor_listen("leap_listener_create", world,
					    path, leap_listener_opts(listener),
					    1, &wfd);
	if (!err)
		err = leap__vfu_server_start(s, wfd, vdev, info.nr_vectors,
					     info.irqs);
	return err;
}

/* ---- another process follows ---- */

static int save(struct leap_listener *listener, struct leap__saved *saved)
{
	struct leap__vfu_listener *l = leap_listener_priv(listener);
	int err = leap__vfu_server_save(l->server, NULL);

	if (!err)
		err = leap__vdev_save(leap__vfu_server_dev(l->server)->vdev,
				      saved);
	return err ? err : leap__vfu_server_save(l->server, saved);
}

static void carry_on(struct leap_listener *listener)
{
	struct leap__vfu_listener *l = leap_listener_priv(listener);

	leap__vfu_server_carry_on(l->server);
}

static const struct leap__keep_ops keep_ops = { save, carry_on };

/* A server with a drive that is connected to nobody or, @saved, to the client
 * that a predecessor had. */
static int make(struct leap_listener *listener, const char *address,
		const struct leap__saved *saved, struct leap__vfu_server **out)
{
	struct leap__vfu_server *s;
	struct leap_vdev *vdev;
	char name[160];
	int err;

	snprintf(name, sizeof(name), "vfio-user:%s", address);
	err = leap__vfu_server_create(leap_listener_pollgroup(listener),
				      &vdev_ops, name, &s);
	if (err)
		return leap__err(err, "leap_listener_create: out of memory");
	leap__vfu_server_dev(s)->trust_memory =
		leap_listener_opts(listener)->trust_memory;
	err = make_vdev(listener, s, saved, &vdev);
	if (err) {
		leap__vfu_server_free(s);
		return err;
	}
	err = start(listener, s, vdev, address);
	if (err) {
		leap_vdev_destroy(vdev, leap__vfu_server_free, s);
		return err;
	}
	if (saved)
		err = leap__vfu_server_restore(s, saved);
	if (err)
		leap__vfu_server_stop(s, NULL, NULL);
	else
		*out = s;
	return err;
}

int leap__vfu_listen(struct leap_listener *listener, const char *address,
		     char *bound, size_t bound_max)
{
	const struct leap__saved *saved = leap__listener_saved(listener);
	struct leap__vfu_listener *l = leap_listener_priv(listener);
	struct leap_subsystem *ss = leap_listener_subsystem(listener);
	int err;

	if (!ss)
		return leap__err(-EINVAL, "leap_listener_create: url \"%s\" "
				 "names no subsystem of this target: expected "
				 "vfio-user:PATH/NQN",
				 leap_listener_opts(listener)->url);
	err = saved ? make(listener, address, saved, &l->server) : -ENOENT;
	/* The guest loses its drive then; the others must not. */
	if (saved && err)
		leap__pg_log(leap_listener_pollgroup(listener), LEAP_LOG_ERROR,
			     "vfio-user:%s: the drive could not be carried "
			     "on: %s", address, strerror(-err));
	if (err)
		err = make(listener, address, NULL, &l->server);
	if (err)
		return err;
	leap__vfu_server_renews(l->server, renew, listener);
	leap__listener_keeps(listener, &keep_ops);
	snprintf(bound, bound_max, "%s/%s", address, leap_subsystem_nqn(ss));
	return 0;
}

void leap__vfu_unlisten(struct leap_listener *listener)
{
	struct leap__vfu_listener *l = leap_listener_priv(listener);

	leap__vfu_server_stop(l->server, NULL, NULL);
	l->server = NULL;
}

const struct leap_transport_ops leap__vfio_user_transport = {
	.size = sizeof(struct leap_transport_ops),
	.name = "vfio-user",
	.qp_bytes = sizeof(struct leap__regqp),
	.listener_bytes = sizeof(struct leap__vfu_listener),
	.qp_connect = leap__vfu_qp_connect,
	.qp_submit = leap__regqp_submit,
	.qp_submit_lists = leap__regqp_submit_lists,
	.qp_kick = leap__regqp_kick,
	.qp_close = leap__regqp_close,
	.listen = leap__vfu_listen,
	.unlisten = leap__vfu_unlisten,
};
