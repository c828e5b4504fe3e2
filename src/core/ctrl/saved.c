/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a process leaves to its successor, as bytes and descriptors: items of
 * tag, length and bytes, in the byte order of the machine that both run on, and
 * descriptors that items name by index. Knows no item.
 */
#include "core/io/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int make_room(struct leap__saved *s, size_t bytes)
{
	size_t room = s->len + bytes;
	uint8_t *p;

	if (room <= s->room)
		return 0;
	p = realloc(s->bytes, room * 2);
	if (!p)
		return -ENOMEM;
	s->bytes = p;
	s->room = room * 2;
	return 0;
}

int leap__saved_put(struct leap__saved *s, uint32_t tag, const void *data,
		    uint32_t len)
{
	uint8_t *p;
	int err = make_room(s, 8 + (size_t)len);

	if (err)
		return err;
	p = s->bytes + s->len;
	memcpy(p, &tag, 4);
	memcpy(p + 4, &len, 4);
	if (len)
		memcpy(p + 8, data, len);
	s->len += 8 + len;
	return 0;
}

int leap__saved_put_fd(struct leap__saved *s, int fd, uint32_t *index)
{
	int *p;

	*index = LEAP__SAVED_NO_FD;
	if (fd < 0)
		return 0;
	p = realloc(s->fds, (s->nr_fds + 1) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	s->fds = p;
	p[s->nr_fds] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (p[s->nr_fds] < 0)
		return -errno;
	*index = s->nr_fds++;
	return 0;
}

const uint8_t *leap__saved_find(const struct leap__saved *s, uint32_t tag,
				uint32_t nth, uint32_t *len)
{
	size_t at = 0;
	uint32_t t;

	while (s->len - at >= 8) {
		memcpy(&t, s->bytes + at, 4);
		memcpy(len, s->bytes + at + 4, 4);
		at += 8;
		if (*len > s->len - at)
			return NULL;
		if (t == tag && !nth--)
			return s->bytes + at;
		at += *len;
	}
	return NULL;
}

int leap__saved_fd(const struct leap__saved *s, uint32_t index, int *fd)
{
	*fd = -1;
	if (index == LEAP__SAVED_NO_FD)
		return 0;
	if (index >= s->nr_fds)
		return -EPROTO;
	*fd = fcntl(s->fds[index], F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? -errno : 0;
}

void leap__saved_free(struct leap__saved *s)
{
	uint32_t i;

	for (i = 0; i < s->nr_fds; i++)
		close(s->fds[i]);
	free(s->fds);
	free(s->bytes);
	memset(s, 0, sizeof(*s));
}
