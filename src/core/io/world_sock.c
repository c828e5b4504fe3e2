/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Streams, listeners and eventfds of the real worlds: operations are tried when
 * they are submitted or when an edge says that it may help, and wait in their
 * queue otherwise. It sits on every byte of TCP and Unix sockets; world_real.c
 * says when to try. Nothing here calls back.
 */
#include "config.h"

#include "core/io/world_real.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <unistd.h>

/* Direct receives without data until a socket is no longer busy. */
#define COLD_AFTER 128
/* Polls for which more busy sockets than LEAP__HOT_MAX mean: ask epoll. */
#define CROWDED_POLLS 64
#define SEND_IOV_MAX 1024
#define FDS_MAX LEAP__IO_FDS_MAX

/* It had data: is it worth receiving from without asking? */
static void warm(struct leap__real *r, struct leap__real_fd *f)
{
	f->misses = 0;
	if (f->hot)
		return;
	if (r->nr_hot == LEAP__HOT_MAX) {
		r->crowded = CROWDED_POLLS;
		return;
	}
	f->hot = true;
	r->hot[r->nr_hot++] = f;
}

static ssize_t recv_fds(struct leap__real_fd *f, struct leap__io *io)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} ctl;
	struct msghdr msg = {
		.msg_iov = io->iov, .msg_iovlen = 1,
		.msg_control = ctl.buf, .msg_controllen = sizeof(ctl.buf),
	};
	struct cmsghdr *c;
	ssize_t n;

	io->nr_fds = 0;
	n = recvmsg(f->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(io->fds + io->nr_fds, CMSG_DATA(c), bytes);
		io->nr_fds += (uint32_t)(bytes / sizeof(int));
	}
	if (!(msg.msg_flags & MSG_CTRUNC))
		return n;
	/* More than we take: a peer that does this is broken or hostile. */
	while (io->nr_fds)
		close(io->fds[--io->nr_fds]);
	return -EBADMSG;
}

static ssize_t recv_once(struct leap__real_fd *f, struct leap__io *io)
{
	ssize_t n;

	if (io->op == LEAP__IO_RECVMSG)
		return recv_fds(f, io);
	n = recv(f->fd, io->iov[0].iov_base, io->iov[0].iov_len, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

/*
 * TCP that gave less than asked for is empty now, and more makes an edge, but
 * for the end of the stream: its edge may have been taken already. A Unix
 * socket also stops where descriptors are attached, so only EAGAIN tells.
 */
static void try_recv(struct leap__real *r, struct leap__real_fd *f)
{
	struct leap__io *io;
	ssize_t n;

	while ((io = f->rx.head) && f->may_read) {
		r->w.syscalls++;
		n = recv_once(f, io);
		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			f->may_read = false;
			if (f->hot && ++f->misses > COLD_AFTER)
				leap__real_cool(r, f);
			return;
		}
		if (n > 0) {
			warm(r, f);
			if ((size_t)n < io->iov[0].iov_len && !f->hup &&
			    !f->is_unix)
				f->may_read = false;
		}
		leap__ioq_pop(&f->rx);
		leap__real_done(r, io, n);
	}
}

static ssize_t send_once(struct leap__real_fd *f, struct leap__io *io)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} ctl;
	struct msghdr msg = { .msg_iov = io->iov, .msg_iovlen = io->nr_iov };
	struct cmsghdr *c;
	ssize_t n;

	if (msg.msg_iovlen > SEND_IOV_MAX)
		msg.msg_iovlen = SEND_IOV_MAX;
	/* Descriptors go with the first byte. */
	if (io->op == LEAP__IO_SENDMSG && io->nr_fds &&
	    !io->priv[LEAP__IO_SOFAR]) {
		msg.msg_control = ctl.buf;
		msg.msg_controllen = CMSG_SPACE(io->nr_fds * sizeof(int));
		memset(ctl.buf, 0, sizeof(ctl.buf));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(io->nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), io->fds, io->nr_fds * sizeof(int));
	}
	n = sendmsg(f->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

/* Take @n sent bytes off the front of the vector; true when none is left. */
static bool advance(struct leap__io *io, size_t n)
{
	io->priv[LEAP__IO_SOFAR] += n;
	while (io->nr_iov && n >= io->iov->iov_len) {
		n -= io->iov->iov_len;
		io->iov++;
		io->nr_iov--;
	}
	if (n) {
		io->iov->iov_base = (char *)io->iov->iov_base + n;
		io->iov->iov_len -= n;
	}
	return !io->nr_iov;
}

static void end_tx(struct leap__real *r, struct leap__real_fd *f, int64_t res)
{
	leap__real_done(r, leap__ioq_pop(&f->tx), res);
}

/* No room: have epoll say when there is. */
static void wait_out(struct leap__real *r, struct leap__real_fd *f)
{
	int rc;

	f->may_write = false;
	if (f->want_out)
		return;
	/* Changing the interest looks again: room made meanwhile is seen. */
	rc = leap__real_watch(f, EPOLLIN | EPOLLRDHUP | EPOLLOUT);
	if (rc)
		end_tx(r, f, rc);
}

static socklen_t addr_len(const struct sockaddr *addr)
{
	switch (addr->sa_family) {
	case AF_INET:
		return sizeof(struct sockaddr_in);
	case AF_INET6:
		return sizeof(struct sockaddr_in6);
	case AF_UNIX:
		return sizeof(struct sockaddr_un);
	}
	return 0;
}

static void start_connect(struct leap__real *r, struct leap__real_fd *f)
{
	struct leap__io *io = f->tx.head;
	socklen_t len = addr_len(io->addr);
	int rc;

	if (!len || f->in_epoll) {
		end_tx(r, f, f->in_epoll ? -EISCONN : -EAFNOSUPPORT);
		return;
	}
	leap__sock_nodelay(f);
	do {
		r->w.syscalls++;
		rc = connect(f->fd, io->addr, len) ? -errno : 0;
	} while (rc == -EINTR);
	if (rc && rc != -EINPROGRESS) {
		end_tx(r, f, rc);
		return;
	}
	f->connecting = rc != 0;
	f->may_write = !rc;
	/* Not before: a socket without a peer looks hung up. */
	rc = leap__real_watch(f, EPOLLIN | EPOLLRDHUP |
			      (f->connecting ? EPOLLOUT : 0));
	if (rc || !f->connecting) {
		f->connecting = false;
		end_tx(r, f, rc);
	}
}

static void end_connect(struct leap__real *r, struct leap__real_fd *f)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (!f->may_write)
		return;
	r->w.syscalls++;
	if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	f->connecting = false;
	if (!err)
		leap__real_watch(f, EPOLLIN | EPOLLRDHUP);
	end_tx(r, f, -err);
}

static void try_send(struct leap__real *r, struct leap__real_fd *f)
{
	struct leap__io *io;
	ssize_t n;

	while ((io = f->tx.head)) {
		if (f->connecting) {
			end_connect(r, f);
			if (f->connecting)
				return;
			continue;
		}
		if (io->op == LEAP__IO_CONNECT) {
			start_connect(r, f);
			if (f->connecting)
				return;
			continue;
		}
		if (!f->may_write && f->want_out)
			return;
		r->w.syscalls++;
		n = send_once(f, io);
		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			wait_out(r, f);
			return;
		}
		if (n < 0)
			end_tx(r, f, n);
		else if (advance(io, (size_t)n))
			end_tx(r, f, (int64_t)io->priv[LEAP__IO_SOFAR]);
	}
}

static int accept_one(struct leap__real *r, struct leap__real_fd *l,
		      struct leap__wfd **out)
{
	struct leap__real_fd *f;
	int fd, rc;

	do {
		r->w.syscalls++;
		fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return -errno;
	rc = leap__real_new_fd(r, fd, LEAP__REAL_STREAM, &f);
	if (rc) {
		close(fd);
		return rc;
	}
	f->is_unix = l->is_unix;
	f->may_read = true;
	f->may_write = true;
	leap__sock_nodelay(f);
	rc = leap__real_watch(f, EPOLLIN | EPOLLRDHUP);
	if (rc) {
		r->w.ops->close(&f->wfd);
		return rc;
	}
	*out = &f->wfd;
	return 0;
}

static void try_accept(struct leap__real *r, struct leap__real_fd *f)
{
	struct leap__io *io;
	int rc;

	while ((io = f->rx.head) && f->may_read) {
		rc = accept_one(r, f, &io->wfd_out);
		if (rc == -EAGAIN) {
			f->may_read = false;
			return;
		}
		leap__ioq_pop(&f->rx);
		leap__real_done(r, io, rc);
	}
}

/* Edges are not enough where somebody else reads: there may be more. */
static bool peek(struct leap__real *r, struct leap__real_fd *f)
{
	struct pollfd p = { .fd = f->fd, .events = POLLIN };

	r->w.syscalls++;
	f->may_read = poll(&p, 1, 0) != 0;
	return f->may_read;
}

static void try_event(struct leap__real *r, struct leap__real_fd *f)
{
	struct leap__io *io;
	uint64_t count;
	ssize_t n;

	while ((io = f->rx.head) && f->may_read) {
		if (io->flags & LEAP__IO_PEEK) {
			if (!peek(r, f))
				return;
			leap__ioq_pop(&f->rx);
			leap__real_done(r, io, 0);
			return;
		}
		r->w.syscalls++;
		n = read(f->fd, &count, sizeof(count));
		if (n < 0 && errno == EINTR)
			continue;
		f->may_read = false;	/* read: it is 0 now */
		if (n < 0 && errno == EAGAIN)
			return;
		leap__ioq_pop(&f->rx);
		leap__real_done(r, io, n < 0 ? -errno : 0);
	}
}

void leap__sock_try(struct leap__real *r, struct leap__real_fd *f)
{
	switch (f->kind) {
	case LEAP__REAL_STREAM:
		if (f->tx.head)
			try_send(r, f);
		if (!f->connecting)
			try_recv(r, f);
		return;
	case LEAP__REAL_LISTENER:
		try_accept(r, f);
		return;
	case LEAP__REAL_EVENT:
		try_event(r, f);
		return;
	}
}

static bool fits(const struct leap__real_fd *f, unsigned int op)
{
	switch (op) {
	case LEAP__IO_ACCEPT:
		return f->kind == LEAP__REAL_LISTENER;
	case LEAP__IO_WATCH:
		return f->kind == LEAP__REAL_EVENT;
	case LEAP__IO_RECVMSG:
	case LEAP__IO_SENDMSG:
		return f->kind == LEAP__REAL_STREAM && f->is_unix;
	default:
		return f->kind == LEAP__REAL_STREAM;
	}
}

void leap__sock_submit(struct leap__real *r, struct leap__io *io)
{
	struct leap__real_fd *f = leap__real_fd(io->wfd);
	bool tx = io->op == LEAP__IO_SEND || io->op == LEAP__IO_SENDMSG ||
		io->op == LEAP__IO_CONNECT;

	io->priv[LEAP__IO_SOFAR] = 0;
	if (!fits(f, io->op) ||
	    (io->op == LEAP__IO_SENDMSG && io->nr_fds > FDS_MAX)) {
		leap__real_done(r, io, -EINVAL);
		return;
	}
	io->priv[LEAP__IO_STATE] = LEAP__IO_QUEUED;
	leap__ioq_push(tx ? &f->tx : &f->rx, io);
	if (tx || f->may_read)
		leap__real_mark(r, f);
}

bool leap__sock_cancel(struct leap__real *r, struct leap__io *io)
{
	struct leap__real_fd *f = leap__real_fd(io->wfd);

	if (!leap__ioq_del(&f->rx, io) && !leap__ioq_del(&f->tx, io))
		return false;
	leap__real_done(r, io, -ECANCELED);
	return true;
}

int leap__sock_detach(struct leap__wfd *wfd)
{
	struct leap__real_fd *f = leap__real_fd(wfd);
	struct leap__real *r = leap__real(wfd->world);

	if (f->rx.head || f->tx.head)
		return -EBUSY;
	leap__real_cool(r, f);
	leap__real_unmark(r, f);
	leap__real_unwatch(f);
	*f->prev = f->next;
	if (f->next)
		f->next->prev = f->prev;
	wfd->world = NULL;
	return 0;
}

int leap__sock_attach(struct leap__world *w, struct leap__wfd *wfd)
{
	struct leap__real_fd *f = leap__real_fd(wfd);
	struct leap__real *r = leap__real(w);

	wfd->world = w;
	f->next = r->all;
	f->prev = &r->all;
	if (f->next)
		f->next->prev = &f->next;
	r->all = f;
	/* What came while nobody looked made no edge here. */
	f->may_read = true;
	f->may_write = true;
	return leap__real_watch(f, EPOLLIN | EPOLLRDHUP);
}

void leap__sock_close(struct leap__real_fd *f)
{
	struct leap__real *r = leap__real(f->wfd.world);
	struct leap__io *io;

	while ((io = leap__ioq_pop(&f->rx)) || (io = leap__ioq_pop(&f->tx)))
		leap__real_done(r, io, -ECANCELED);
	leap__real_cool(r, f);
	leap__real_unmark(r, f);
	leap__real_unwatch(f);
	leap__sock_unlink(f);
	close(f->fd);
	leap__real_free_fd(f);
}
