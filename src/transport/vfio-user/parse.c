/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parse.c - the commands of a vfio-user client, bounded
 *
 * First thing behind the socket. Copies the fixed part of a payload to aligned
 * private memory and checks all that can be checked without knowing the
 * device. Must not know sockets, devices or memory.
 */
#include "transport/vfio-user/parse.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

int leap__vfu_size(const uint8_t *head)
{
	struct leap__vfu_hdr hdr;
	uint32_t type;

	memcpy(&hdr, head, sizeof(hdr));
	type = hdr.flags & LEAP__VFU_TYPE;
	if (hdr.size < sizeof(hdr) || hdr.size > INT_MAX ||
	    (type != LEAP__VFU_COMMAND && type != LEAP__VFU_REPLY))
		return -EPROTO;
	/* An error has no payload, and only replies can be one. */
	if (hdr.flags & LEAP__VFU_ERROR &&
	    (type != LEAP__VFU_REPLY || hdr.size != sizeof(hdr)))
		return -EPROTO;
	return (int)hdr.size;
}

/* The fixed part; what may follow it is @more. */
static int fixed(void *out, size_t out_bytes, const void *payload,
		 uint32_t bytes, uint32_t *more)
{
	if (bytes < out_bytes || (bytes > out_bytes && !more))
		return -EINVAL;
	memcpy(out, payload, out_bytes);
	if (more)
		*more = bytes - (uint32_t)out_bytes;
	return 0;
}

static int parse_version(struct leap__vfu_req *req, const void *payload,
			 uint32_t bytes)
{
	uint32_t more;
	int err;

	err = fixed(&req->version, sizeof(req->version), payload, bytes,
		    &more);
	if (err)
		return err;
	if (req->version.major != LEAP__VFU_MAJOR)
		return -EINVAL;
	return leap__vfu_caps_parse((const char *)payload +
				    sizeof(req->version), more, &req->caps);
}

static int parse_map(struct leap__vfu_req *req, const void *payload,
		     uint32_t bytes, uint32_t nr_fds)
{
	const struct leap__vfu_dma_map *map = &req->map;
	const uint32_t rw = LEAP__VFU_MAP_READ | LEAP__VFU_MAP_WRITE;
	int err;

	err = fixed(&req->map, sizeof(req->map), payload, bytes, NULL);
	if (err)
		return err;
	if (map->argsz < sizeof(*map) || nr_fds > 1 || !(map->flags & rw) ||
	    map->flags & ~(rw | LEAP__VFU_MAP_MODES))
		return -EINVAL;
	if (!map->bytes || map->addr + (map->bytes - 1) < map->addr ||
	    map->offset + map->bytes < map->offset)
		return -EINVAL;
	return 0;
}

static int parse_unmap(struct leap__vfu_req *req, const void *payload,
		       uint32_t bytes)
{
	const struct leap__vfu_dma_unmap *unmap = &req->unmap;
	uint32_t more;
	int err;

	err = fixed(&req->unmap, sizeof(req->unmap), payload, bytes, &more);
	if (err)
		return err;
	if (unmap->argsz < sizeof(*unmap))
		return -EINVAL;
	if (unmap->flags & LEAP__VFU_UNMAP_DIRTY)
		return -ENOTSUP;
	if (more || unmap->flags & ~LEAP__VFU_UNMAP_ALL)
		return -EINVAL;
	if (unmap->flags & LEAP__VFU_UNMAP_ALL)
		return unmap->addr || unmap->bytes ? -EINVAL : 0;
	if (!unmap->bytes || unmap->addr + (unmap->bytes - 1) < unmap->addr)
		return -EINVAL;
	return 0;
}

static int one_bit(uint32_t v)
{
	return v && !(v & (v - 1));
}

static int parse_set_irqs(struct leap__vfu_req *req, const void *payload,
			  uint32_t bytes, uint32_t nr_fds)
{
	const struct leap__vfu_set_irqs *set = &req->set;
	uint32_t data, more;
	int err;

	err = fixed(&req->set, sizeof(req->set), payload, bytes, &more);
	if (err)
		return err;
	data = set->flags & LEAP__VFU_SET_DATA;
	if (set->argsz < sizeof(*set) || !one_bit(data) ||
	    !one_bit(set->flags & LEAP__VFU_SET_ACTION) ||
	    set->flags & ~(LEAP__VFU_SET_DATA | LEAP__VFU_SET_ACTION) ||
	    set->start + set->count < set->start)
		return -EINVAL;
	if (more != (data == LEAP__VFU_SET_BOOL ? set->count : 0))
		return -EINVAL;
	/* Descriptors for all, or for none: then they are taken away. */
	if (nr_fds && (data != LEAP__VFU_SET_EVENTFD || nr_fds != set->count))
		return -EINVAL;
	/* Nothing of nothing means the whole index, switched off. */
	if (!set->count && set->flags !=
			   (LEAP__VFU_SET_NONE | LEAP__VFU_SET_TRIGGER))
		return -EINVAL;
	req->bools = (const uint8_t *)payload + sizeof(*set);
	return 0;
}

static int parse_access(struct leap__vfu_req *req, const void *payload,
			uint32_t bytes, bool write)
{
	const struct leap__vfu_access *a = &req->access;
	uint32_t more;
	int err;

	err = fixed(&req->access, sizeof(req->access), payload, bytes, &more);
	if (err)
		return err;
	if (!a->count || a->count > LEAP__VFU_MAX_DATA ||
	    a->offset + a->count < a->offset || more != (write ? a->count : 0))
		return -EINVAL;
	req->data = (const uint8_t *)payload + sizeof(*a);
	return 0;
}

void leap__vfu_write_at(const struct leap__vfu_req *req, uint64_t i,
			struct leap__vfu_write1 *out)
{
	memcpy(out, req->writes + i * sizeof(*out), sizeof(*out));
}

static int parse_multi(struct leap__vfu_req *req, const void *payload,
		       uint32_t bytes)
{
	struct leap__vfu_write1 one;
	uint32_t more;
	uint64_t i;
	int err;

	err = fixed(&req->nr_writes, sizeof(req->nr_writes), payload, bytes,
		    &more);
	if (err)
		return err;
	if (!req->nr_writes || req->nr_writes > LEAP__VFU_MAX_MULTI ||
	    more != req->nr_writes * sizeof(one))
		return -EINVAL;
	req->writes = (const uint8_t *)payload + sizeof(req->nr_writes);
	for (i = 0; i < req->nr_writes; i++) {
		leap__vfu_write_at(req, i, &one);
		if (!one.count || one.count > sizeof(one.data) ||
		    one.offset + one.count < one.offset)
			return -EINVAL;
	}
	return 0;
}

/* The questions whose answers have the form of the question. */
static int parse_info(struct leap__vfu_req *req, const void *payload,
		      uint32_t bytes)
{
	size_t n = req->hdr.cmd == LEAP__VFU_REGION_INFO ?
		sizeof(req->region) : sizeof(req->device);
	int err;

	/* All four open with argsz, which is what the answer may take. */
	err = fixed(&req->region, n, payload, bytes, NULL);
	if (!err && req->region.argsz < n)
		err = -EINVAL;
	return err;
}

static int parse_payload(struct leap__vfu_req *req, const void *payload,
			 uint32_t bytes, uint32_t nr_fds)
{
	switch (req->hdr.cmd) {
	case LEAP__VFU_VERSION:
		return parse_version(req, payload, bytes);
	case LEAP__VFU_DMA_MAP:
		return parse_map(req, payload, bytes, nr_fds);
	case LEAP__VFU_DMA_UNMAP:
		return parse_unmap(req, payload, bytes);
	case LEAP__VFU_GET_INFO:
	case LEAP__VFU_REGION_INFO:
	case LEAP__VFU_REGION_IO_FDS:
	case LEAP__VFU_IRQ_INFO:
		return parse_info(req, payload, bytes);
	case LEAP__VFU_SET_IRQS:
		return parse_set_irqs(req, payload, bytes, nr_fds);
	case LEAP__VFU_REGION_READ:
		return parse_access(req, payload, bytes, false);
	case LEAP__VFU_REGION_WRITE:
		return parse_access(req, payload, bytes, true);
	case LEAP__VFU_WRITE_MULTI:
		return parse_multi(req, payload, bytes);
	case LEAP__VFU_RESET:
		return bytes ? -EINVAL : 0;
	default:
		return -EOPNOTSUPP;
	}
}

int leap__vfu_parse(const struct leap__vfu_hdr *hdr, const void *payload,
		    uint32_t bytes, uint32_t nr_fds,
		    struct leap__vfu_req *req)
{
	memset(req, 0, sizeof(*req));
	req->hdr = *hdr;
	req->no_reply = hdr->flags & LEAP__VFU_NO_REPLY;
	if ((hdr->flags & LEAP__VFU_TYPE) != LEAP__VFU_COMMAND)
		return -EINVAL;
	if (nr_fds && hdr->cmd != LEAP__VFU_DMA_MAP &&
	    hdr->cmd != LEAP__VFU_SET_IRQS)
		return -EINVAL;
	return parse_payload(req, payload, bytes, nr_fds);
}
