/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfu-client.c - see vfu-client.h
 */
#define _GNU_SOURCE
#include "fds.h"
#include "vfu-client.h"

#include <errno.h>
#include <sys/un.h>

#include <leapio/pollgroup.h>

#define PATIENCE 20000

int vfu_connect(struct vfu_client *c, struct leap_pollgroup *pg,
		const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	memset(c, 0, sizeof(*c));
	c->pg = pg;
	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	c->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->sock < 0)
		return -1;
	return connect(c->sock, (struct sockaddr *)&addr, sizeof(addr));
}

void vfu_close(struct vfu_client *c)
{
	if (c->sock >= 0)
		close(c->sock);
	c->sock = -1;
}

void vfu_settle(struct leap_pollgroup *pg)
{
	int idle = 0;

	while (idle < 40)
		idle = leap_pollgroup_poll(pg, 0) ? 0 : idle + 1;
}

void vfu_raw(struct vfu_client *c, const void *p, size_t n, const int *fds,
	     uint32_t nr_fds)
{
	const char *at = p;
	ssize_t sent;

	while (n) {
		sent = fds_send(c->sock, at, n, fds, nr_fds, MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN)
			return;
		leap_pollgroup_poll(c->pg, 0);
		if (sent < 0)
			continue;
		nr_fds = 0;
		at += sent;
		n -= (size_t)sent;
	}
}

void vfu_send(struct vfu_client *c, uint16_t cmd, uint32_t flags,
	      const void *payload, size_t n, const int *fds, uint32_t nr_fds)
{
	static uint8_t msg[sizeof(struct leap__vfu_hdr) + (1 << 17)];
	struct leap__vfu_hdr hdr = {
		.id = ++c->id, .cmd = cmd, .flags = flags,
		.size = (uint32_t)(sizeof(hdr) + n),
	};

	memcpy(msg, &hdr, sizeof(hdr));
	if (n)
		memcpy(msg + sizeof(hdr), payload, n);
	vfu_raw(c, msg, sizeof(hdr) + n, fds, nr_fds);
}

/* All @n bytes, of which none need be there: 1, 0 nothing, -2 the end. */
static int get(struct vfu_client *c, void *p, size_t n, int patience)
{
	uint8_t *to = p;
	size_t got = 0;
	ssize_t rc;

	while (got < n) {
		leap_pollgroup_poll(c->pg, 0);
		rc = recv(c->sock, to + got, n - got, MSG_DONTWAIT);
		if (rc > 0)
			got += (size_t)rc;
		else if (!rc || errno != EAGAIN)
			return -2;
		else if (!patience--)
			return 0;
	}
	return 1;
}

static int answer(struct vfu_client *c, int patience)
{
	int rc = get(c, &c->hdr, sizeof(c->hdr), patience);

	if (rc <= 0)
		return rc ? rc : -1;
	if (c->hdr.size < sizeof(c->hdr) ||
	    c->hdr.size - sizeof(c->hdr) > sizeof(c->in))
		return -2;
	rc = get(c, c->in, c->hdr.size - sizeof(c->hdr), PATIENCE);
	return rc <= 0 ? -2 : (int)(c->hdr.size - sizeof(c->hdr));
}

int vfu_peek(struct vfu_client *c)
{
	return answer(c, 60);
}

static int last_errno(struct vfu_client *c, int rc, int *bytes)
{
	if (rc < 0)
		return rc;
	if (bytes)
		*bytes = rc;
	/* An error is a header, and says so; an answer says nothing of one. */
	if (c->hdr.flags == (LEAP__VFU_REPLY | LEAP__VFU_ERROR))
		return rc || !c->hdr.err ? -3 : (int)c->hdr.err;
	return c->hdr.flags != LEAP__VFU_REPLY || c->hdr.err ? -3 : 0;
}

int vfu_ask(struct vfu_client *c, uint16_t cmd, const void *payload, size_t n,
	    const int *fds, uint32_t nr_fds, int *bytes)
{
	int rc;

	vfu_send(c, cmd, 0, payload, n, fds, nr_fds);
	rc = last_errno(c, answer(c, PATIENCE), bytes);
	if (rc >= 0 && (c->hdr.id != c->id || c->hdr.cmd != cmd))
		return -3;
	return rc;
}

int vfu_hello(struct vfu_client *c)
{
	static const char json[] = "{\"capabilities\":{\"max_msg_fds\":16,"
		"\"max_data_xfer_size\":1048576,\"pgsizes\":4096,"
		"\"max_dma_maps\":65535,\"migration\":{\"pgsize\":4096,"
		"\"max_bitmap_size\":268435456},\"write_multiple\":true}}";
	uint8_t msg[sizeof(struct leap__vfu_version) + sizeof(json)] = { 0 };

	memcpy(msg + sizeof(struct leap__vfu_version), json, sizeof(json));
	return vfu_ask(c, LEAP__VFU_VERSION, msg, sizeof(msg), NULL, 0, NULL);
}

int vfu_map(struct vfu_client *c, uint64_t addr, uint64_t bytes, int fd,
	    uint64_t offset, uint32_t flags)
{
	struct leap__vfu_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .offset = offset,
		.addr = addr, .bytes = bytes,
	};

	return vfu_ask(c, LEAP__VFU_DMA_MAP, &map, sizeof(map), &fd, fd >= 0,
		       NULL);
}

int vfu_unmap(struct vfu_client *c, uint64_t addr, uint64_t bytes,
	      uint32_t flags)
{
	struct leap__vfu_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = flags, .addr = addr,
		.bytes = bytes,
	};
	int n = 0, rc;

	rc = vfu_ask(c, LEAP__VFU_DMA_UNMAP, &unmap, sizeof(unmap), NULL, 0,
		     &n);
	if (!rc && (n != sizeof(unmap) || memcmp(c->in, &unmap, sizeof(unmap))))
		return -3;
	return rc;
}

int vfu_read(struct vfu_client *c, uint32_t region, uint64_t offset, void *buf,
	     uint32_t count)
{
	struct leap__vfu_access a = { offset, region, count };
	int n = 0, rc;

	rc = vfu_ask(c, LEAP__VFU_REGION_READ, &a, sizeof(a), NULL, 0, &n);
	if (rc)
		return rc;
	if (n != (int)(sizeof(a) + count) || memcmp(c->in, &a, sizeof(a)))
		return -3;
	memcpy(buf, c->in + sizeof(a), count);
	return 0;
}

int vfu_write(struct vfu_client *c, uint32_t region, uint64_t offset,
	      const void *buf, uint32_t count, uint32_t flags)
{
	static uint8_t msg[sizeof(struct leap__vfu_access) +
			   LEAP__VFU_MAX_DATA];
	struct leap__vfu_access a = { offset, region, count };

	memcpy(msg, &a, sizeof(a));
	memcpy(msg + sizeof(a), buf, count);
	if (!flags)
		return vfu_ask(c, LEAP__VFU_REGION_WRITE, msg,
			       sizeof(a) + count, NULL, 0, NULL);
	vfu_send(c, LEAP__VFU_REGION_WRITE, flags, msg, sizeof(a) + count,
		 NULL, 0);
	return 0;
}

int vfu_set_irqs(struct vfu_client *c, uint32_t flags, uint32_t index,
		 uint32_t start, uint32_t count, const void *bools,
		 const int *fds, uint32_t nr_fds)
{
	uint8_t msg[sizeof(struct leap__vfu_set_irqs) + 4096];
	struct leap__vfu_set_irqs set = {
		.flags = flags, .index = index, .start = start, .count = count,
	};
	size_t n = flags & LEAP__VFU_SET_BOOL ? count : 0;

	set.argsz = (uint32_t)(sizeof(set) + n);
	memcpy(msg, &set, sizeof(set));
	if (n)
		memcpy(msg + sizeof(set), bools, n);
	return vfu_ask(c, LEAP__VFU_SET_IRQS, msg, sizeof(set) + n, fds,
		       nr_fds, NULL);
}
