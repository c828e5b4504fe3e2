/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client.c - one JSON-RPC call over a Unix socket, waiting for its answer
 *
 * One call is out at a time, so the next line is its answer. Gives up when the
 * other side is silent for half a minute. Knows nothing of the methods.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"

#define ANSWER_MAX (64u << 20)

int client_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = 30 };
	int fd, err;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int send_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len) {
		n = send(fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* One line, without its end; or NULL and *err. */
static char *receive_line(int fd, int *err)
{
	size_t len = 0, max = 0;
	char *text = NULL, *more;
	ssize_t n;

	for (;;) {
		if (len + 1 >= max) {
			max = max ? 2 * max : 65536;
			more = max <= ANSWER_MAX ? realloc(text, max) : NULL;
			if (!more) {
				*err = -EMSGSIZE;
				break;
			}
			text = more;
		}
		n = recv(fd, text + len, max - len - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			*err = !n ? -ECONNRESET :
			       errno == EAGAIN ? -ETIMEDOUT : -errno;
			break;
		}
		len += (size_t)n;
		if (text[len - 1] == '\n') {
			text[len - 1] = 0;
			return text;
		}
	}
	free(text);
	return NULL;
}

static int send_call(int fd, const char *method, json_t *params)
{
	json_t *request = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0",
				    "id", 1, "method", method, "params",
				    params);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	int rc = text ? 0 : -EINVAL;

	/* In one piece, its NUL as a newline: leap-hostd may be another program
	 * before there is a second. */
	if (!rc) {
		text[len] = '\n';
		rc = send_all(fd, text, len + 1);
	}
	free(text);
	json_decref(request);
	return rc;
}

json_t *client_call(int fd, const char *method, json_t *params, char *error,
		    size_t max, int *refused)
{
	const char *message;
	json_t *answer, *result;
	char *line = NULL;
	int rc;

	*refused = 0;
	rc = send_call(fd, method, params);
	if (!rc)
		line = receive_line(fd, &rc);
	if (!line) {
		snprintf(error, max, "%s", strerror(-rc));
		return NULL;
	}
	answer = json_loads(line, 0, NULL);
	free(line);
	result = json_object_get(answer, "result");
	message = json_string_value(json_object_get(
			json_object_get(answer, "error"), "message"));
	if (message) {
		*refused = 1;
		snprintf(error, max, "%s", message);
	} else if (!result) {
		snprintf(error, max, "the answer is no JSON-RPC response");
	}
	json_incref(result);
	json_decref(answer);
	return result;
}
