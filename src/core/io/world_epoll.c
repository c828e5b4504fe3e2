/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The epoll world: sockets by readiness, files by ordinary system calls that
 * are made at submit and whose completions run in the next poll. It is what
 * remains where io_uring is not to be had, and the simplest real world. The
 * work is in world_real.c, world_sock.c and world_file.c.
 */
#include "config.h"

#include "core/io/world_real.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void epoll_submit(struct leap__world *w, struct leap__io *io)
{
	struct leap__real *r = leap__real(w);

	if (leap__real_fd(io->wfd)->kind == LEAP__REAL_FILE)
		leap__real_done(r, io, leap__file_run(r, io));
	else
		leap__sock_submit(r, io);
}

static void epoll_cancel(struct leap__world *w, struct leap__io *io)
{
	if (io->priv[LEAP__IO_STATE] == LEAP__IO_QUEUED)
		leap__sock_cancel(leap__real(w), io);
}

static void epoll_close(struct leap__wfd *wfd)
{
	struct leap__real_fd *f = leap__real_fd(wfd);

	if (f->kind != LEAP__REAL_FILE) {
		leap__sock_close(f);
		return;
	}
	leap__file_close(f);
}

static void epoll_destroy(struct leap__world *w)
{
	leap__real_fini(leap__real(w));
	free(w);
}

static const struct leap__world_ops epoll_ops = {
	.name = "epoll",
	.kind = LEAP_WORLD_EPOLL,
	.destroy = epoll_destroy,
	.submit = epoll_submit,
	.cancel = epoll_cancel,
	.poll = leap__real_poll,
	.flush = leap__real_flush,
	.arm = leap__real_arm,
	.sleep = leap__real_sleep,
	.fd = leap__real_epfd,
	.wake = leap__real_wake,
	.now_ns = leap__real_now_ns,
	.random = leap__real_random,
	.open = leap__file_open,
	.fstat = leap__file_fstat,
	.truncate = leap__file_truncate,
	.share = leap__real_share,
	.detach = leap__sock_detach,
	.attach = leap__sock_attach,
	.socket = leap__sock_socket,
	.listen = leap__sock_listen,
	.local_addr = leap__sock_local_addr,
	.peer_text = leap__sock_peer_text,
	.peer_closed = leap__sock_peer_closed,
	.adopt = leap__sock_adopt,
	.close = epoll_close,
	.wake_fd = leap__real_wake_fd,
	.borrow_fd = leap__real_borrow_fd,
	.peer_process = leap__sock_peer_process,
};

int leap__world_epoll_create(struct leap__world **out)
{
	struct leap__real *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	rc = leap__real_init(r, &epoll_ops);
	if (rc) {
		free(r);
		return rc;
	}
	*out = &r->w;
	return 0;
}
