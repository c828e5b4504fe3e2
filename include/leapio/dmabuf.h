/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dmabuf.h - memory that devices and peers may touch
 *
 * A dmabuf is one mapping of an fd (memfd: huge pages when there are some,
 * ordinary pages otherwise) that can be exported to another process and
 * registered with devices. A bufpool cuts one into equal buffers without
 * locks, for one thread.
 */
#ifndef LEAPIO_DMABUF_H
#define LEAPIO_DMABUF_H

#include <leapio/mem.h>

#ifdef __cplusplus
extern "C" {
#endif

enum leap_huge {
	LEAP_HUGE_AUTO = 0,	/* 2 MiB pages when free ones exist */
	LEAP_HUGE_NEVER = 1,
	LEAP_HUGE_ALWAYS = 2,	/* -ENOMEM without them */
};

struct leap_dmabuf_opts {
	size_t size;
	uint64_t bytes;		/* rounded up to the page size in use */
	uint32_t huge;		/* enum leap_huge */
	uint32_t reserved;
	const char *name;	/* for /proc; copied; NULL = "leapio" */
};

#define LEAP_DMABUF_OPTS_INIT LEAP_OPTS_INIT(struct leap_dmabuf_opts)

/**
 * leap_dmabuf_create - new zeroed memory, sealed against shrinking
 *
 * @out: the caller owns one reference (leap_dmabuf_put)
 * Context: any-locked
 * Returns: 0
 * Errors:  -EINVAL size 0 or too large, -ENOMEM
 */
LEAP_API int leap_dmabuf_create(const struct leap_dmabuf_opts *opts,
				struct leap_dmabuf **out);

/**
 * leap_dmabuf_import - map memory that somebody else made
 *
 * @fd:     duplicated; the caller keeps its own. Must be a regular memory file
 *          with F_SEAL_SHRINK, so that its owner cannot take pages away under
 *          a load or store (there is no SIGBUS handler)
 * @offset: of the first byte, a multiple of the page size
 * @perm:   enum leap_perm bits for the mapping
 *
 * Context: any-locked
 * Returns: 0
 * Errors:  -EACCES unsealed, -EINVAL misaligned or beyond the file, -ENOMEM
 */
LEAP_API int leap_dmabuf_import(int fd, uint64_t offset, uint64_t bytes,
				uint32_t perm, struct leap_dmabuf **out);

/* leap_dmabuf_get - take a reference. Context: any */
LEAP_API struct leap_dmabuf *leap_dmabuf_get(struct leap_dmabuf *buf);

/**
 * leap_dmabuf_put - drop a reference; the last one unregisters and unmaps
 *
 * NULL is a no-op. Context: any
 */
LEAP_API void leap_dmabuf_put(struct leap_dmabuf *buf);

/* leap_dmabuf_addr - first byte in this process. Context: any, hot path */
LEAP_API void *leap_dmabuf_addr(const struct leap_dmabuf *buf);

/* leap_dmabuf_bytes - usable length in bytes. Context: any, hot path */
LEAP_API uint64_t leap_dmabuf_bytes(const struct leap_dmabuf *buf);

/* leap_dmabuf_page_bytes - size of the pages it got. Context: any */
LEAP_API uint32_t leap_dmabuf_page_bytes(const struct leap_dmabuf *buf);

/**
 * leap_dmabuf_fd - the fd behind the memory, to pass to another process
 *
 * Borrowed: valid while the caller holds its reference. Never -1.
 * Context: any
 */
LEAP_API int leap_dmabuf_fd(const struct leap_dmabuf *buf);

/*
 * Registration: a device (RDMA protection domain, VFIO container, io_uring)
 * that must know memory before it may touch it. One registrar object a device.
 */
struct leap_registrar {
	size_t size;		/* sizeof(struct leap_registrar) */
	const char *name;
	/* Register all of @buf; *@key is what the device calls it. 0/-errno */
	int (*add)(struct leap_registrar *reg, struct leap_dmabuf *buf,
		   uint64_t *key);
	void (*del)(struct leap_registrar *reg, struct leap_dmabuf *buf,
		    uint64_t key);
};

/**
 * leap_dmabuf_register - make a buffer known to a device
 *
 * Counted: registering twice costs nothing the second time. A buffer takes at
 * most 8 registrars.
 * @reg: borrowed until leap_dmabuf_unregister or the last put
 * Context: any-locked
 * Returns: 0
 * Errors:  -ENOSPC too many registrars, or what @reg->add answered
 */
LEAP_API int leap_dmabuf_register(struct leap_dmabuf *buf,
				  struct leap_registrar *reg);

/* leap_dmabuf_unregister - undo one registration. Context: any-locked */
LEAP_API void leap_dmabuf_unregister(struct leap_dmabuf *buf,
				     struct leap_registrar *reg);

/**
 * leap_dmabuf_key - what @reg calls the buffer
 *
 * Context: any, hot path
 * Returns: 0 and *@key, or -ENOENT
 */
LEAP_API int leap_dmabuf_key(const struct leap_dmabuf *buf,
			     const struct leap_registrar *reg, uint64_t *key);

struct leap_bufpool_opts {
	size_t size;
	uint32_t elem_bytes;	/* rounded up to @align_bytes */
	uint32_t nr;		/* number of buffers, >= 1 */
	uint32_t align_bytes;	/* power of two <= 4096; 0 = 64 */
	uint32_t huge;		/* enum leap_huge */
};

#define LEAP_BUFPOOL_OPTS_INIT LEAP_OPTS_INIT(struct leap_bufpool_opts)

struct leap_bufpool;

/**
 * leap_bufpool_create - nr equal buffers in one dmabuf
 *
 * Context: setup
 * Returns: 0
 * Errors:  -EINVAL, -ENOMEM
 */
LEAP_API int leap_bufpool_create(const struct leap_bufpool_opts *opts,
				 struct leap_bufpool **out);

/**
 * leap_bufpool_destroy - free a pool
 *
 * Context: setup
 * Returns: 0, or -EBUSY while buffers are out
 */
LEAP_API int leap_bufpool_destroy(struct leap_bufpool *pool);

/**
 * leap_bufpool_get - one buffer, or NULL when all are out
 *
 * Last in, first out, so that hot buffers stay in the cache.
 * Context: owner, hot path
 */
LEAP_API void *leap_bufpool_get(struct leap_bufpool *pool);

/**
 * leap_bufpool_put - give a buffer back to the pool that it came from
 *
 * Context: owner, hot path
 */
LEAP_API void leap_bufpool_put(struct leap_bufpool *pool, void *elem);

/* leap_bufpool_dmabuf - the memory of a pool, borrowed. Context: any */
LEAP_API struct leap_dmabuf *
leap_bufpool_dmabuf(const struct leap_bufpool *pool);

/* leap_bufpool_free - how many buffers are free now. Context: owner */
LEAP_API uint32_t leap_bufpool_free(const struct leap_bufpool *pool);

#ifdef __cplusplus
}
#endif

#endif
