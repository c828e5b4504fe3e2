/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bdev.h - stacks of block services
 *
 * A stack is written as text and prints back as the same text:
 *
 *	trace -> delay[read_us=100] -> file:/srv/disk.img[direct=off]
 *
 *	stack := layer [ "->" stack ]
 *	layer := name [ ":" argument ] [ "[" key=value { "," key=value } "]" ]
 *	         [ "(" stack { "," stack } ")" ]
 *
 * An argument or value with any of  ,[]()"\ or space in it, or the sequence
 * "->", is written in double quotes, with \" and \\ inside. Layers above
 * stand to the left. plugin/bdev_ops.h says how to write one.
 */
#ifndef LEAPIO_BDEV_H
#define LEAPIO_BDEV_H

#include <leapio/mem.h>
#include <leapio/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_bdev;
struct leap_pollgroup;

/**
 * leap_bdev_open - open every layer of a stack, top to bottom or nothing
 *
 * Takes all locks of the stack before it returns.
 * @pg:    control calls of the stack (open, resize, close) use its world
 * @stack: borrowed for the call
 * @out:   the caller owns the top (leap_bdev_close, or leap_ns_add takes it);
 *         children belong to their parents
 * Context: owner of @pg; may block
 * Returns: 0
 * Errors:  -EINVAL text (leap_last_error gives the column), -ENOENT no such
 *          layer in this build, -EBUSY locked by another, or the leaf's errno
 */
LEAP_API int leap_bdev_open(struct leap_pollgroup *pg, const char *stack,
			    struct leap_bdev **out);

/**
 * leap_bdev_close - close all layers; NULL is a no-op
 *
 * Context: owner of the pg it was opened with
 * Returns: 0, or -EBUSY while a namespace or a channel uses it
 */
LEAP_API int leap_bdev_close(struct leap_bdev *bdev);

/**
 * leap_bdev_print - the stack as text
 *
 * Context: owner
 * Returns: length without NUL; as snprintf, may be >= @max
 */
LEAP_API int leap_bdev_print(const struct leap_bdev *bdev, char *text,
			     size_t max);

struct leap_bdev_info {
	size_t size;
	const char *name;	/* of the layer; static */
	uint32_t block_bytes;	/* smallest unit of I/O: 512 or 4096 */
	uint32_t caps;		/* LEAP_BDEV_* of plugin/bdev_ops.h */
	uint64_t nr_blocks;
	uint32_t optimal_blocks;	/* 0 = unknown */
	uint32_t nr_children;
};

/* leap_bdev_info - of one layer. Context: any. Returns: 0, -EINVAL */
LEAP_API int leap_bdev_info(const struct leap_bdev *bdev,
			    struct leap_bdev_info *info);

/* leap_bdev_child - the i-th layer below, or NULL; borrowed. Context: owner */
LEAP_API struct leap_bdev *leap_bdev_child(const struct leap_bdev *bdev,
					   uint32_t i);

/**
 * leap_bdev_resize - change the size of the leaf, online
 *
 * Below a namespace use leap_ns_resize, which tells the hosts as well.
 * @bytes: the new size
 * Context: owner
 * Returns: 0
 * Errors:  -EOPNOTSUPP, -EINVAL not a multiple of the block size, -ENOSPC more
 *          than the leaf was made for, or there is room for
 */
LEAP_API int leap_bdev_resize(struct leap_bdev *bdev, uint64_t bytes);

/**
 * leap_bdev_locks - the files and devices whose locks a stack holds, by which
 * others learn that nothing of it is under way any more
 *
 * @tell: runs for each, before this returns
 * Context: owner
 * Returns: how many
 * Errors:  -ENOLCK a layer has no lock that outlives its process's last
 *          operation, -ENAMETOOLONG
 */
LEAP_API int leap_bdev_locks(const struct leap_bdev *bdev,
			     void (*tell)(void *arg, const char *path),
			     void *arg);

/* Operations that are counted apart. */
enum leap_bdev_stat_op {
	LEAP_BDEV_STAT_READ = 0,
	LEAP_BDEV_STAT_WRITE = 1,
	LEAP_BDEV_STAT_FLUSH = 2,
	LEAP_BDEV_STAT_OTHER = 3,	/* discard, write zeroes, compare */
	LEAP_BDEV_STAT_NR = 4,
};

#define LEAP_HIST_BUCKETS 40

struct leap_bdev_op_stats {
	uint64_t ops;
	uint64_t bytes;
	uint64_t errors;
	/* Latency: bucket i counts 2^i <= ns < 2^(i+1). */
	uint64_t hist[LEAP_HIST_BUCKETS];
};

struct leap_bdev_stats {
	size_t size;
	struct leap_bdev_op_stats op[LEAP_BDEV_STAT_NR];
};

/**
 * leap_bdev_stats - counters of one layer, over all its channels
 *
 * Each poll group adds to its own channel without locks; sums may miss what is
 * being counted at this moment.
 * Context: any
 * Returns: 0, -EINVAL
 */
LEAP_API int leap_bdev_stats(const struct leap_bdev *bdev,
			     struct leap_bdev_stats *stats);

/**
 * leap_bdev_types - names of the layers in this build, NULL-terminated
 *
 * Context: any
 */
LEAP_API const char *const *leap_bdev_types(void);

/**
 * leap_bdev_help - what a layer takes: argument and options, a line for each
 *
 * @type: one of leap_bdev_types
 * Context: any
 * Returns: static text without a newline at its end; NULL = no such layer
 */
LEAP_API const char *leap_bdev_help(const char *type);

#ifdef __cplusplus
}
#endif

#endif
