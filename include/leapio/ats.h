/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ats.h - the address space of one guest or peer
 *
 * An ats turns addresses that a guest wrote (leap_gpa_t) into pieces of memory
 * that this side can use, and says when memory that the guest takes back is no
 * longer in use. Ranges are set by the control path; each poll group that
 * serves the guest has a view of its own, with a translation cache and pin
 * counts, so that the hot path takes no lock and touches no shared line.
 *
 *	guest address --view--> piece (pinned) ... leap_ats_release()
 *	unmap: new translations fail -> pins of all views drain -> a completion
 */
#ifndef LEAPIO_ATS_H
#define LEAPIO_ATS_H

#include <leapio/mem.h>
#include <leapio/nvme.h>
#include <leapio/pollgroup.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_ats;
struct leap_ats_view;
struct leap_pollgroup;

struct leap_ats_opts {
	size_t size;
	uint32_t max_ranges;	/* 0 = 65535, which is the most */
	uint32_t iotlb_entries;	/* per view, power of two <= 4096; 0 = 64 */
};

#define LEAP_ATS_OPTS_INIT LEAP_OPTS_INIT(struct leap_ats_opts)

/* Where the bytes of a range come from. */
enum leap_ats_source {
	LEAP_ATS_FD = 0,	/* fd + offset, mapped here: direct */
	LEAP_ATS_DMABUF = 1,	/* a dmabuf that exists already: direct */
	LEAP_ATS_REMOTE = 2,	/* remote address + key: one-sided (farmem.h) */
	LEAP_ATS_MESSAGE = 3,	/* no fd: bytes come by messages (vfio-user) */
	LEAP_ATS_CALLBACK = 4,	/* a function says where it is: direct */
};

struct leap_ats_io;

/*
 * What stands behind a range that is not simply mapped. Called on the threads
 * of the views, several at a time, until leap_ats_unmap of the range is done.
 */
struct leap_ats_ops {
	size_t size;
	/*
	 * LEAP_ATS_CALLBACK: *@addr = where the byte at @offset of the range
	 * is. Returns how many of @bytes lie there in one piece, or <= 0 for
	 * none. Asked for each translation; the answer is not kept, but has to
	 * stand until the range is unmapped. Hot path: must not block.
	 */
	int64_t (*addr)(void *arg, uint64_t offset, uint64_t bytes,
			uint32_t perm, void **addr);
	/*
	 * LEAP_ATS_MESSAGE: move @bytes, at most max_bytes, between @buf and
	 * guest address @gpa. 0: leap_ats_io_done(@io) is called, or will be,
	 * from any thread. Otherwise a negative errno, and it is not. Both NULL
	 * with a range that nobody can reach.
	 */
	int (*read)(void *arg, leap_gpa_t gpa, void *buf, uint32_t bytes,
		    struct leap_ats_io *io);
	int (*write)(void *arg, leap_gpa_t gpa, const void *buf,
		     uint32_t bytes, struct leap_ats_io *io);
	uint32_t max_bytes;	/* of one message or move; 0 = no limit */
	/*
	 * LEAP_ATS_REMOTE: move all of @remote, a one-sided piece, into @buf,
	 * or with @out not 0 the other way. @buf lies in a payload buffer of
	 * the io's poll group (leap_pollgroup_buf_get). Answers as read and
	 * write do. NULL with a range that nobody can reach.
	 */
	int (*move)(void *arg, const struct leap_piece *remote, void *buf,
		    int out, struct leap_ats_io *io);
};

#define LEAP_ATS_OPS_INIT LEAP_OPTS_INIT(struct leap_ats_ops)

struct leap_ats_range {
	size_t size;
	leap_gpa_t gpa;		/* first address; any alignment */
	uint64_t bytes;
	uint32_t perm;		/* enum leap_perm: what we may do */
	uint32_t source;	/* enum leap_ats_source */
	int fd;			/* LEAP_ATS_FD; duplicated. Any offset */
	uint32_t key;		/* LEAP_ATS_REMOTE */
	uint64_t offset;	/* in the fd or dmabuf; remote address */
	struct leap_dmabuf *buf;	/* LEAP_ATS_DMABUF; shared (get) */
	const struct leap_ats_ops *ops;	/* _CALLBACK, _MESSAGE, _REMOTE;
					 * copied */
	void *arg;		/* of ops */
};

#define LEAP_ATS_RANGE_INIT LEAP_OPTS_INIT(struct leap_ats_range)

/**
 * leap_ats_create - an empty address space
 *
 * Context: any-locked
 * Returns: 0
 * Errors:  -EINVAL, -ENOMEM
 */
LEAP_API int leap_ats_create(const struct leap_ats_opts *opts,
			     struct leap_ats **out);

/**
 * leap_ats_destroy - free an address space
 *
 * Context: any-locked
 * Returns: 0, or -EBUSY while views are attached
 */
LEAP_API int leap_ats_destroy(struct leap_ats *ats);

/**
 * leap_ats_map - add a range
 *
 * Context: any-locked (one control thread at a time)
 * Returns: 0
 * Errors:  -EEXIST overlaps a range, -EINVAL empty, wraps, or bad source,
 *          -ENOSPC max_ranges, -EACCES fd without F_SEAL_SHRINK, -ENOMEM
 */
LEAP_API int leap_ats_map(struct leap_ats *ats,
			  const struct leap_ats_range *range);

/**
 * leap_ats_unmap - take a range back
 *
 * New translations fail, in each view as soon as it has heard. @done runs once,
 * when no view can reach the range and every pin in it has been released: only
 * then may the guest be told that the memory is its own again. With no pins
 * @done may run before this returns.
 * @gpa, @bytes: exactly a range that was mapped
 * @done: runs on the thread of the last release, or of this call
 * Context: any-locked (one control thread at a time)
 * Returns: 0
 * Errors:  -ENOENT no such range (any more), -ENOMEM; @done will not run
 */
LEAP_API int leap_ats_unmap(struct leap_ats *ats, leap_gpa_t gpa,
			    uint64_t bytes,
			    void (*done)(void *arg), void *arg);

/**
 * leap_ats_attach - a poll group starts to use the address space
 *
 * Context: owner of @pg
 * Returns: 0
 * Errors:  -ENOMEM
 */
LEAP_API int leap_ats_attach(struct leap_ats *ats, struct leap_pollgroup *pg,
			     struct leap_ats_view **out);

/**
 * leap_ats_detach - and stops
 *
 * Context: owner
 * Returns: 0, or -EBUSY while the view holds pins
 */
LEAP_API int leap_ats_detach(struct leap_ats_view *view);

#define LEAP_PINS_MAX 7

/* What one command holds: give it to leap_ats_release when it has left. */
struct leap_pins {
	uint16_t nr;		/* distinct ranges pinned */
	uint16_t range[LEAP_PINS_MAX];	/* library's */
};

/**
 * leap_ats_translate - pieces for one range of guest addresses, pinned
 *
 * @perm:   LEAP_PERM_READ, _WRITE or both
 * @pieces: out, shape [max], ascending; adjacent pieces of one mapping are one
 * @pins:   in/out; starts as { 0 }, grows over several calls of one command
 *
 * Context: owner, hot path
 * Returns: entries written, 1..max
 * Errors:  -EFAULT hole, -EACCES permission, -ENOBUFS more than @max pieces or
 *          more than LEAP_PINS_MAX ranges, -EINVAL no bytes; what is pinned
 *          then is in @pins all the same
 */
LEAP_API int leap_ats_translate(struct leap_ats_view *view, leap_gpa_t gpa,
				uint64_t len_bytes, uint32_t perm,
				struct leap_piece *pieces, uint32_t max,
				struct leap_pins *pins);

/**
 * leap_ats_release - the command no longer touches what it pinned
 *
 * Context: owner, hot path
 */
LEAP_API void leap_ats_release(struct leap_ats_view *view,
			       struct leap_pins *pins);

/**
 * leap_ats_copy_in - copy guest memory into private memory, once
 * leap_ats_copy_out - and back
 *
 * For PRP lists, SGL segments and payloads that carry LBAs: what is checked
 * must be what is used.
 * Context: owner
 * Returns: 0
 * Errors:  -EFAULT, -EACCES, -EAGAIN reached by messages (leap_ats_read) or
 *          one-sided
 */
LEAP_API int leap_ats_copy_in(struct leap_ats_view *view, void *dst,
			      leap_gpa_t src, uint64_t len_bytes);
LEAP_API int leap_ats_copy_out(struct leap_ats_view *view, leap_gpa_t dst,
			       const void *src, uint64_t len_bytes);

/* One copy that may have to go through messages. */
struct leap_ats_io {
	leap_gpa_t gpa;
	void *buf;
	uint32_t bytes;
	/* On the view's thread; @err 0 or a negative errno. */
	void (*done)(struct leap_ats_io *io, int err);
	void *arg;		/* the caller's */
	/* The library's from here on. */
	struct leap_ats_view *view;
	struct leap_msg msg;
	struct leap_pins pins;
	uint32_t moved;
	uint32_t part;
	int32_t err;
	uint32_t is_write;
	/* Of whoever moves it, while it is under way. */
	struct leap_ats_io *next;
	void *local;
	uint64_t remote;
};

/**
 * leap_ats_read - copy guest memory into @io->buf, whatever its source
 * leap_ats_write - and back
 *
 * Ranges that are reached by messages or moves are pinned while these are under
 * way. @io is borrowed until it is done; for a remote range @io->buf is to lie
 * in a payload buffer of the view's poll group.
 * Context: owner
 * Returns: 1 all was copied, @io->done is not called; 0 it will be called
 * Errors:  -EFAULT, -EACCES, -EAGAIN nobody can reach the range, what a
 *          message's sender answered; @io->done is not called
 */
LEAP_API int leap_ats_read(struct leap_ats_view *view, struct leap_ats_io *io);
LEAP_API int leap_ats_write(struct leap_ats_view *view,
			    struct leap_ats_io *io);

/* leap_ats_io_pollgroup - whose view it is of, for leap_ats_ops.
 * Context: any */
LEAP_API struct leap_pollgroup *
leap_ats_io_pollgroup(const struct leap_ats_io *io);

/**
 * leap_ats_io_done - what leap_ats_ops.read, .write or .move began has ended
 *
 * @err: 0 or a negative errno
 * Context: any
 */
LEAP_API void leap_ats_io_done(struct leap_ats_io *io, int err);

/**
 * leap_ats_prp - walk PRP1/PRP2 and lists to pieces
 *
 * @page_bytes: 4096 << CC.MPS
 * Context: owner, hot path
 * Returns: 0 and *@nr pieces, adjacent ones merged
 * Errors:  a status, not an errno, because the guest gets it: see @status.
 *          -EIO with *@status = PRP Offset Invalid 0/13, Data Transfer Error
 *          0/04, Invalid Field 0/02; -ENOBUFS more than @max
 * Spec:    NVMe Base 2.0 s4.1.1 (PRP entry and list)
 */
LEAP_API int leap_ats_prp(struct leap_ats_view *view, leap_gpa_t prp1,
			  leap_gpa_t prp2, uint64_t len_bytes,
			  uint32_t page_bytes, uint32_t perm,
			  struct leap_piece *pieces, uint32_t max, uint32_t *nr,
			  struct leap_pins *pins, uint16_t *status);

/* What a controller supports of SGLs. */
#define LEAP_SGL_BIT_BUCKET	1u	/* SGLS bit 16 */
#define LEAP_SGL_OVERSIZED	2u	/* SGLS bit 18 */
#define LEAP_SGL_DWORD		4u	/* SGLS 1:0 = 10b */

/**
 * leap_ats_sgl - walk an SGL to pieces
 *
 * @sgl1:  the descriptor of the command, already private
 * @flags: LEAP_SGL_*: what this controller supports
 * Context: owner, hot path
 * Returns: as leap_ats_prp; bit buckets of a read give no piece
 * Spec:    NVMe Base 2.0 s4.1.2 (SGL)
 */
LEAP_API int leap_ats_sgl(struct leap_ats_view *view,
			  const struct leap_sgl_desc *sgl1, uint64_t len_bytes,
			  uint32_t flags, uint32_t perm,
			  struct leap_piece *pieces, uint32_t max, uint32_t *nr,
			  struct leap_pins *pins, uint16_t *status);

struct leap_ats_stats {
	size_t size;
	uint64_t nr_ranges;
	uint64_t hits;		/* IOTLB; of the view asked */
	uint64_t misses;
	uint64_t faults;
	uint64_t pins;		/* held now */
};

/* leap_ats_view_stats - counters of one view. Context: owner */
LEAP_API int leap_ats_view_stats(const struct leap_ats_view *view,
				 struct leap_ats_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
