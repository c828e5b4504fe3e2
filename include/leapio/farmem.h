/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * farmem.h - memory of another machine, read and written without asking it
 *
 * A *share* is memory that its owner gives to those who connect, for RDMA READ
 * and WRITE; *far memory* is the other end: it makes ranges of an address space
 * (ats.h) whose bytes are moved between the owner's memory and the payload
 * buffers of the poll group that serves the command. Layers do not notice.
 *
 *	owner:  dmabuf -> leap_share_create("rdma://192.0.2.1:4430")
 *	user:   leap_farmem_open(the same) -> leap_farmem_range -> leap_ats_map
 *
 * The owner's processor has no part in a transfer. What fences it is the end of
 * the queue pair: a share whose end has been told is touched by nobody.
 *
 * Payload may lie in such memory; rings, PRP lists and SGL segments may not.
 */
#ifndef LEAPIO_FARMEM_H
#define LEAPIO_FARMEM_H

#include <leapio/ats.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_dmabuf;
struct leap_farmem;
struct leap_share;

#define LEAP_SHARE_TOKEN 16

struct leap_share_opts {
	size_t size;
	const char *url;	/* "rdma://192.0.2.1:4430"; port 0 = any */
	struct leap_dmabuf *buf;	/* shared (get) */
	uint32_t perm;		/* enum leap_perm: what the others may do */
	uint32_t max_peers;	/* connections at once; 0 = 64 */
	/* What those who connect must know. */
	uint8_t token[LEAP_SHARE_TOKEN];
};

#define LEAP_SHARE_OPTS_INIT LEAP_OPTS_INIT(struct leap_share_opts)

/**
 * leap_share_create - give memory to those who connect
 *
 * All of it is registered as long as anybody is connected.
 * Context: owner of @pg
 * Returns: 0
 * Errors:  -EINVAL, -EPROTONOSUPPORT this build has no RDMA, -ENOMEM, what
 *          listening answered
 */
LEAP_API int leap_share_create(struct leap_pollgroup *pg,
			       const struct leap_share_opts *opts,
			       struct leap_share **out);

/* leap_share_url - with the port that it has; borrowed. Context: owner */
LEAP_API const char *leap_share_url(const struct leap_share *share);

struct leap_share_info {
	size_t size;
	uint64_t peers;		/* connected now */
	uint64_t accepted;
	uint64_t refused;
};

/* leap_share_info - counters. Context: owner. Returns: 0, -EINVAL */
LEAP_API int leap_share_info(const struct leap_share *share,
			     struct leap_share_info *info);

/**
 * leap_share_destroy - take the memory back
 *
 * Transfers that are under way fail at the other end. @done runs later, in
 * poll, when nobody reaches the memory any more; it may be NULL. NULL @share is
 * a no-op.
 * Context: owner
 */
LEAP_API void leap_share_destroy(struct leap_share *share,
				 void (*done)(void *arg), void *arg);

struct leap_farmem_opts {
	size_t size;
	const char *url;	/* of the share */
	uint32_t reconnect_ms;	/* between two tries; 0 = 100 */
	/* When nothing has moved for so long, the connection is ended and what
	 * waits for it fails; 0 = 1500. An unmap waits for no more. */
	uint32_t loss_ms;
	uint32_t depth;		/* transfers under way at once; 0 = 128 */
	uint8_t token[LEAP_SHARE_TOKEN];
	/*
	 * Once, in poll: 0 and it may be used; or it could not be reached, and
	 * is to be closed.
	 */
	void (*opened)(struct leap_farmem *far, int err, void *arg);
	void *arg;
};

#define LEAP_FARMEM_OPTS_INIT LEAP_OPTS_INIT(struct leap_farmem_opts)

/**
 * leap_farmem_open - connect to a share
 *
 * Poll groups that serve queues of an address space with such ranges get a
 * connection of their own each, when they first need one. A connection that is
 * lost is made again, and what was under way is moved again.
 * Context: owner of @pg
 * Returns: 0, opts->opened will run
 * Errors:  -EINVAL, -EPROTONOSUPPORT, -ENOMEM; opened does not run
 */
LEAP_API int leap_farmem_open(struct leap_pollgroup *pg,
			     const struct leap_farmem_opts *opts,
			     struct leap_farmem **out);

/* leap_farmem_bytes - of the share. Context: any, after opened */
LEAP_API uint64_t leap_farmem_bytes(const struct leap_farmem *far);

/**
 * leap_farmem_range - a range of an address space in the share
 *
 * Fills all of @range but gpa, which is the caller's. Map it, and unmap it
 * before it is closed.
 * Context: any, after opened
 * Returns: 0
 * Errors:  -EINVAL not in the share, -EACCES more than the share gives
 */
LEAP_API int leap_farmem_range(struct leap_farmem *far, uint64_t offset,
			      uint64_t bytes, uint32_t perm,
			      struct leap_ats_range *range);

struct leap_farmem_info {
	size_t size;
	uint64_t reads;		/* transfers done, this way */
	uint64_t writes;	/* and that */
	uint64_t bytes;
	uint64_t failed;
	uint64_t redone;	/* moved again over a new connection */
	uint64_t connections;	/* since it was opened */
	uint64_t groups;	/* poll groups that have one */
};

/* leap_farmem_info - counters of all its poll groups. Context: any. Returns: 0,
 * -EINVAL */
LEAP_API int leap_farmem_info(struct leap_farmem *far,
			     struct leap_farmem_info *info);

/**
 * leap_farmem_close - no range of it is mapped any more
 *
 * @closed runs later, in poll, when its connections are gone; it may be NULL.
 * NULL @far is a no-op.
 * Context: owner of the poll group that it was opened in
 */
LEAP_API void leap_farmem_close(struct leap_farmem *far,
			       void (*closed)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif

#endif
