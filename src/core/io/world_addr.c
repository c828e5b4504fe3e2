/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control path of the sockets of the real worlds: making them, listening,
 * taking over descriptors, and saying who is at either end. Not on any data
 * path.
 */
#include "config.h"

#include "core/io/world_real.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434	/* on every architecture */
#endif

void leap__sock_nodelay(struct leap__real_fd *f)
{
	int one = 1;

	if (!f->is_unix)
		setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int new_socket(struct leap__real *r, int family,
		      enum leap__real_kind kind, struct leap__real_fd **out)
{
	int fd, rc;

	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return -EAFNOSUPPORT;
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	rc = leap__real_new_fd(r, fd, kind, out);
	if (rc)
		close(fd);
	else
		(*out)->is_unix = family == AF_UNIX;
	return rc;
}

int leap__sock_socket(struct leap__world *w, int family, struct leap__wfd **out)
{
	struct leap__real_fd *f;
	int rc = new_socket(leap__real(w), family, LEAP__REAL_STREAM, &f);

	if (!rc)
		*out = &f->wfd;
	return rc;
}

/* Whoever made this socket file is gone: nobody listens behind it. */
static bool is_stale(const struct sockaddr *addr, socklen_t len)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
	struct stat st;
	int fd, err = 0;

	if (lstat(un->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (connect(fd, addr, len))
		err = errno;
	close(fd);
	return err == ECONNREFUSED;
}

static int bind_unix(struct leap__real_fd *f, const struct sockaddr *addr,
		     socklen_t len, uint32_t mode)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
	size_t max = len - offsetof(struct sockaddr_un, sun_path);
	struct stat st;
	int rc;

	if (!un->sun_path[0] || strnlen(un->sun_path, max) >= max)
		return -EINVAL;
	rc = bind(f->fd, addr, len) ? -errno : 0;
	if (rc == -EADDRINUSE && is_stale(addr, len)) {
		unlink(un->sun_path);
		rc = bind(f->fd, addr, len) ? -errno : 0;
	}
	if (rc)
		return rc;
	/* Nobody can connect before listen, so the mode is in time. */
	if ((mode && chmod(un->sun_path, mode)) || lstat(un->sun_path, &st)) {
		rc = -errno;
		unlink(un->sun_path);
		return rc;
	}
	f->unlink_path = strdup(un->sun_path);
	f->unlink_dev = st.st_dev;
	f->unlink_ino = st.st_ino;
	return 0;
}

static int bind_inet(struct leap__real_fd *f, const struct sockaddr *addr,
		     socklen_t len)
{
	int one = 1;

	if (setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		return -errno;
	return bind(f->fd, addr, len) ? -errno : 0;
}

/* Remove our socket file, unless it is somebody else's by now. */
void leap__sock_unlink(struct leap__real_fd *f)
{
	struct stat st;

	if (f->unlink_path && !lstat(f->unlink_path, &st) &&
	    st.st_dev == f->unlink_dev && st.st_ino == f->unlink_ino)
		unlink(f->unlink_path);
}

int leap__sock_listen(struct leap__world *w, const struct sockaddr *addr,
		      socklen_t len, int backlog, uint32_t mode,
		      struct leap__wfd **out)
{
	struct leap__real_fd *f;
	int rc;

	if (len < sizeof(struct sockaddr_in) ||
	    (addr->sa_family == AF_UNIX && len > sizeof(struct sockaddr_un)))
		return -EINVAL;
	rc = new_socket(leap__real(w), addr->sa_family, LEAP__REAL_LISTENER,
			&f);
	if (rc)
		return rc;
	rc = f->is_unix ? bind_unix(f, addr, len, mode) :
		bind_inet(f, addr, len);
	if (!rc && listen(f->fd, backlog > 0 ? backlog : SOMAXCONN))
		rc = -errno;
	if (!rc)
		rc = leap__real_watch(f, EPOLLIN);
	if (rc) {
		leap__sock_close(f);
		return rc;
	}
	*out = &f->wfd;
	return 0;
}

int leap__sock_local_addr(struct leap__wfd *f, struct sockaddr_storage *addr)
{
	socklen_t len = sizeof(*addr);

	memset(addr, 0, sizeof(*addr));
	if (getsockname(leap__real_fd(f)->fd, (struct sockaddr *)addr, &len))
		return -errno;
	return 0;
}

static int unix_peer(int fd, char *text, size_t max)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	snprintf(text, max, "pid %d uid %u", (int)cred.pid,
		 (unsigned int)cred.uid);
	return 0;
}

int leap__sock_peer_text(struct leap__wfd *f, char *text, size_t max)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	char host[INET6_ADDRSTRLEN];
	socklen_t len = sizeof(ss);
	int fd = leap__real_fd(f)->fd;

	if (getpeername(fd, (struct sockaddr *)&ss, &len))
		return -errno;
	switch (ss.ss_family) {
	case AF_INET:
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, max, "%s:%u", host, ntohs(in->sin_port));
		return 0;
	case AF_INET6:
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(text, max, "[%s]:%u", host, ntohs(in6->sin6_port));
		return 0;
	case AF_UNIX:
		return unix_peer(fd, text, max);
	}
	return -EAFNOSUPPORT;
}

int leap__sock_peer_closed(struct leap__wfd *f)
{
	struct pollfd p = { leap__real_fd(f)->fd, POLLRDHUP, 0 };

	if (f->world)
		f->world->syscalls++;
	if (poll(&p, 1, 0) < 0)
		return 0;
	return (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/*
 * The pid is the one that connected; whoever has it now is that process only
 * if the connection still stands when its pidfd is there.
 */
int leap__sock_peer_process(struct leap__wfd *f, int64_t *pid, int *pidfd)
{
	int fd = leap__real_fd(f)->fd;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	if (cred.pid <= 0)
		return -ESRCH;	/* another pid namespace */
	*pid = cred.pid;
	*pidfd = (int)syscall(SYS_pidfd_open, cred.pid, 0);
	if (*pidfd < 0)
		return -errno;
	if (!leap__sock_peer_closed(f))
		return 0;
	close(*pidfd);
	*pidfd = -1;
	return -ESRCH;
}

static int kind_of_fd(int fd, bool *is_unix)
{
	socklen_t len = sizeof(int);
	int domain, type, listening = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len))
		return errno == ENOTSOCK ? LEAP__REAL_EVENT : -errno;
	len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len))
		return -errno;
	if (type != SOCK_STREAM)
		return -EPROTOTYPE;
	*is_unix = domain == AF_UNIX;
	len = sizeof(int);
	getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len);
	return listening ? LEAP__REAL_LISTENER : LEAP__REAL_STREAM;
}

static int set_nonblock(int fd)
{
	int one = 1;

	return ioctl(fd, FIONBIO, &one) ? -errno : 0;
}

/* The world owns @fd when this returns 0, and only then. */
int leap__sock_adopt(struct leap__world *w, int fd, struct leap__wfd **out)
{
	struct leap__real_fd *f;
	bool is_unix = false;
	int kind, rc;

	kind = kind_of_fd(fd, &is_unix);
	if (kind < 0)
		return kind;
	rc = set_nonblock(fd);
	if (!rc)
		rc = leap__real_new_fd(leap__real(w), fd,
				       (enum leap__real_kind)kind, &f);
	if (rc)
		return rc;
	f->is_unix = is_unix;
	f->may_read = true;
	f->may_write = true;
	rc = leap__real_watch(f, EPOLLIN | EPOLLRDHUP);
	if (rc) {
		leap__real_free_fd(f);
		return rc;
	}
	*out = &f->wfd;
	return 0;
}
