/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.c - who may talk to a program, and how bytes go to and from them
 *
 * A Unix socket of mode 0600. Each client has a JSON-RPC dispatcher and a
 * bounded output buffer: a client that does not read its answers is not read
 * from, and holds up nobody else. Knows nothing of the methods.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "examples/common/control.h"
#include "examples/common/jsonrpc.h"

#define OUT_HIGH (1u << 20)	/* bytes not read by the client: pause it */
#define READ_BYTES 65536

struct client {
	struct watch watch;
	struct control *ctl;
	struct jsonrpc *rpc;
	struct client *next;
	struct client **prev;
	char *out;
	size_t out_len;
	size_t out_max;
	int eof;	/* it has nothing more to say: answer, then close */
	int deaf;	/* it was told that it asks too much: read and drop */
	int broken;	/* it cannot be answered any more */
};

static void client_free(struct client *c)
{
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->ctl->nr_clients--;
	loop_del(c->ctl->loop, &c->watch);
	close(c->watch.fd);
	jsonrpc_destroy(c->rpc);
	free(c->out);
	free(c);
}

static void client_flush(struct client *c)
{
	ssize_t n;

	while (c->out_len && !c->broken) {
		n = send(c->watch.fd, c->out, c->out_len,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			c->broken = 1;
			return;
		}
		c->out_len -= (size_t)n;
		memmove(c->out, c->out + n, c->out_len);
	}
}

static void client_send(void *arg, const char *text, size_t len)
{
	struct client *c = arg;
	size_t max = c->out_max ? c->out_max : 4096;
	char *out;

	while (max < c->out_len + len)
		max *= 2;
	if (max != c->out_max) {
		out = realloc(c->out, max);
		if (!out) {
			c->broken = 1;
			return;
		}
		c->out = out;
		c->out_max = max;
	}
	memcpy(c->out + c->out_len, text, len);
	c->out_len += len;
}

/* What to wait for next; the client may be gone after it. */
static void client_update(struct client *c)
{
	uint32_t events = 0;

	client_flush(c);
	if (c->broken ||
	    (c->eof && !c->out_len && !jsonrpc_busy(c->rpc))) {
		client_free(c);
		return;
	}
	if (c->out_len)
		events |= EPOLLOUT;
	if (!c->eof && c->out_len < OUT_HIGH &&
	    jsonrpc_waiting(c->rpc) < READ_BYTES)
		events |= EPOLLIN;
	loop_change(c->ctl->loop, &c->watch, events);
}

static void client_ended(void *arg)
{
	client_update(arg);
}

static void client_ready(struct watch *watch, uint32_t events)
{
	struct client *c = (struct client *)watch;
	char bytes[READ_BYTES];
	ssize_t n;

	if (events & EPOLLERR)
		c->broken = 1;
	if (!c->broken && !c->eof && (events & (EPOLLIN | EPOLLHUP))) {
		n = recv(watch->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (!n)
			c->eof = 1;
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			c->broken = 1;
		else if (n > 0 && !c->deaf)
			c->deaf = jsonrpc_feed(c->rpc, bytes, (size_t)n) != 0;
	}
	if ((events & EPOLLHUP) && c->eof)
		c->broken = 1;
	client_update(c);
}

static void accepted(struct watch *watch, uint32_t events)
{
	struct control *ctl = (struct control *)watch;
	struct jsonrpc_ops ops = {
		.methods = ctl->methods, .method_arg = ctl->method_arg,
		.send = client_send, .ended = client_ended,
	};
	struct client *c;
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	c = ctl->nr_clients < CONTROL_MAX_CLIENTS ? calloc(1, sizeof(*c)) :
						    NULL;
	if (c) {
		ops.send_arg = c;
		c->rpc = jsonrpc_create(&ops);
	}
	if (!c || !c->rpc) {
		free(c);
		close(fd);
		return;
	}
	c->watch = (struct watch){ fd, client_ready };
	c->ctl = ctl;
	c->next = ctl->clients;
	c->prev = &ctl->clients;
	if (c->next)
		c->next->prev = &c->next;
	ctl->clients = c;
	ctl->nr_clients++;
	if (loop_add(ctl->loop, &c->watch, EPOLLIN))
		client_free(c);
}

/* A socket file that a killed program left behind refuses connections. */
static int remove_stale(const struct sockaddr_un *sa)
{
	struct stat st;
	int fd, rc = -EADDRINUSE;

	if (lstat(sa->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) &&
	    errno == ECONNREFUSED)
		rc = unlink(sa->sun_path) ? -errno : 0;
	close(fd);
	return rc;
}

static int bind_private(int fd, const struct sockaddr_un *sa)
{
	mode_t mask = umask(0177);
	int rc = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) ? -errno :
								      0;

	umask(mask);
	return rc;
}

int control_start(struct control *ctl, struct loop *loop, const char *path,
		  const struct jsonrpc_method *methods, void *method_arg)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct stat st;
	int rc;

	memset(ctl, 0, sizeof(*ctl));
	if (!*path || strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	rc = remove_stale(&sa);
	if (rc)
		return rc;
	ctl->watch.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
			       SOCK_NONBLOCK, 0);
	if (ctl->watch.fd < 0)
		return -errno;
	ctl->watch.ready = accepted;
	ctl->loop = loop;
	ctl->methods = methods;
	ctl->method_arg = method_arg;
	rc = bind_private(ctl->watch.fd, &sa);
	if (!rc) {
		strcpy(ctl->path, path);
		if (!lstat(path, &st)) {
			ctl->dev = st.st_dev;
			ctl->ino = st.st_ino;
		}
		rc = listen(ctl->watch.fd, 16) ? -errno : 0;
	}
	if (!rc)
		rc = loop_add(loop, &ctl->watch, EPOLLIN);
	if (rc)
		control_stop(ctl);
	return rc;
}

void control_stop(struct control *ctl)
{
	struct stat st;

	if (!ctl->watch.ready)
		return;
	while (ctl->clients)
		client_free(ctl->clients);
	close(ctl->watch.fd);
	ctl->watch.ready = NULL;
	if (*ctl->path && !lstat(ctl->path, &st) && st.st_dev == ctl->dev &&
	    st.st_ino == ctl->ino)
		unlink(ctl->path);
}
