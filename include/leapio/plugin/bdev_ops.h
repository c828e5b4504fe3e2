/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * plugin/bdev_ops.h - how to write a layer of a block stack
 *
 * A layer is a table of at most a dozen functions. The dispatcher (bdev.c) has
 * checked range, flags and payload before it calls one, fills in defaults for
 * missing slots, and counts; nobody re-checks. Each poll group that uses the
 * stack has a channel of each layer; a channel is used by one thread.
 *
 * A bio is one operation. It comes with scratch for every layer below it, laid
 * out when the stack is opened, so that no layer allocates on the data path:
 * a service gets its child bios from leap_bio_child().
 */
#ifndef LEAPIO_PLUGIN_BDEV_OPS_H
#define LEAPIO_PLUGIN_BDEV_OPS_H

#include <leapio/bdev.h>
#include <leapio/nvme.h>

#ifdef __cplusplus
extern "C" {
#endif

enum leap_bio_op {
	LEAP_BIO_READ = 0,
	LEAP_BIO_WRITE = 1,
	LEAP_BIO_FLUSH = 2,	/* all completed writes become durable */
	LEAP_BIO_WRITE_ZEROES = 3,
	LEAP_BIO_DISCARD = 4,	/* advisory */
	LEAP_BIO_COMPARE = 5,	/* payload against media */
	/* Dataset management: the payload, which its owner may change under
	 * us, is 1 to 256 struct leap_dsm_range; block and nr_blocks are 0.
	 * Only to layers with LEAP_BDEV_RANGES. */
	LEAP_BIO_RANGES = 6,
	LEAP_BIO_VERIFY = 7,	/* media can be read; no payload */
	/* Copy: the payload, as above, is 1 to 256 descriptors of the format
	 * in CDW12 of leap_bio.sqe, of this same bdev; block is where it goes,
	 * nr_blocks the sum of all, which may be another one by now. When it
	 * fails, result is the first range that was not copied. Only to layers
	 * with LEAP_BDEV_COPY. */
	LEAP_BIO_COPY = 8,
	/* Only to layers with LEAP_BDEV_ZONED. Append: block is the start of a
	 * zone, result where it went. Send: block is the start of a zone, or 0
	 * with LEAP_BIO_ZONE_ALL; result is the action, LEAP_ZSA_CLOSE to
	 * _OFFLINE; no payload. Report: block is any of the first zone; the
	 * payload, 64 bytes and more, gets a struct leap_zone_report with
	 * descriptors, of which result says as CDW13 of Zone Management
	 * Receive does. All in blocks of this bdev. */
	LEAP_BIO_ZONE_APPEND = 9,
	LEAP_BIO_ZONE_SEND = 10,
	LEAP_BIO_ZONE_REPORT = 11,
	/* Only to layers with LEAP_BDEV_VECTOR: bio.vector says what and where;
	 * block and nr_blocks are 0. Pieces are the blocks of a write or read,
	 * in the order of the list. result is a bit for each address that
	 * failed; a write or copy that has one has done nothing. */
	LEAP_BIO_VECTOR = 12,
	/* Pieces are written if the blocks are those of bio.expect, and nothing
	 * that anybody else writes comes in between. Ends with Compare Failure
	 * if they are not. result of any other failure: 0 nothing was
	 * compared, 1 it was equal, and the write has failed. Only to layers
	 * with LEAP_BDEV_COMPARE_WRITE. */
	LEAP_BIO_COMPARE_WRITE = 13,
};

#define LEAP_BIO_FUA	1u	/* durable before it completes */
#define LEAP_BIO_DEAC	2u	/* write zeroes: may deallocate */
#define LEAP_BIO_ZONE_ALL	4u	/* zone send: all zones */

/* What a layer can do; services usually pass on what their children have. */
#define LEAP_BDEV_FUA		1u	/* LEAP_BIO_FUA; else flush after */
#define LEAP_BDEV_FLUSH		2u	/* has a volatile cache */
#define LEAP_BDEV_DISCARD	4u
#define LEAP_BDEV_WRITE_ZEROES	8u
#define LEAP_BDEV_COMPARE	16u
#define LEAP_BDEV_ZERO_DISCARD	32u	/* discarded blocks read as zeroes */
#define LEAP_BDEV_READONLY	64u
#define LEAP_BDEV_REMOTE_PIECES	128u	/* accepts pieces that are not direct */
#define LEAP_BDEV_FENCEABLE	256u	/* its lock outlives in-flight writes */
#define LEAP_BDEV_RANGES	512u	/* takes LEAP_BIO_RANGES */
#define LEAP_BDEV_VERIFY	1024u	/* else it is read and dropped */
#define LEAP_BDEV_COPY		2048u
#define LEAP_BDEV_ZONED		4096u	/* zones; see leap_bdev_set_zones */
#define LEAP_BDEV_VECTOR	8192u	/* open channel */
#define LEAP_BDEV_COMPARE_WRITE	16384u
/* Nobody else writes to the medium while it is open here: who keeps writes of
 * this bdev apart has kept all of them apart. */
#define LEAP_BDEV_EXCLUSIVE	32768u

struct leap_chan;

enum leap_vector_op {
	LEAP_VECTOR_RESET = 0,	/* of the chunk of each address */
	LEAP_VECTOR_WRITE = 1,
	LEAP_VECTOR_READ = 2,
	LEAP_VECTOR_COPY = 3,
};

#define LEAP_VECTOR_MAX 64u

/* Addresses, a private copy: in blocks of the bdev, whose holes are its own. */
struct leap_bio_vector {
	uint8_t op;		/* enum leap_vector_op */
	uint8_t nr;		/* 1 to LEAP_VECTOR_MAX */
	uint8_t reserved[6];
	uint64_t at[LEAP_VECTOR_MAX];
	uint64_t to[LEAP_VECTOR_MAX];	/* of a copy */
};

/* What a host asks an open-channel drive beside I/O (ocssd.h). */
enum leap_bdev_admin_op {
	LEAP_BDEV_GEOMETRY = 0,	/* 4096 bytes, as the drive's version has it */
	LEAP_BDEV_CHUNKS = 1,	/* log CAh from offset on */
	LEAP_BDEV_NOTICES = 2,	/* log D0h from offset on */
	LEAP_BDEV_SET_FEEDBACK = 3,	/* value */
	LEAP_BDEV_GET_FEEDBACK = 4,
	LEAP_BDEV_L2P = 5,	/* 8 bytes of each block from offset on */
	LEAP_BDEV_GET_BAD = 6,	/* table of the unit of address offset */
	LEAP_BDEV_SET_BAD = 7,	/* block at address offset is value */
};

struct leap_bdev_admin {
	uint32_t op;		/* enum leap_bdev_admin_op */
	uint32_t bytes;		/* of buf, which is zeroed */
	uint64_t offset;
	uint64_t value;		/* in, or out */
	void *buf;
};

/* What a compare-and-write compares with: as many bytes as it writes. */
struct leap_bio_expect {
	const struct leap_piece *pieces;
	uint32_t nr_pieces;
	uint32_t reserved;
	const struct leap_sqe *sqe;	/* as leap_bio.sqe, of the compare */
};

struct leap_bio {
	uint8_t op;		/* enum leap_bio_op */
	uint8_t flags;		/* LEAP_BIO_* */
	uint16_t nr_pieces;
	uint32_t nr_blocks;	/* one-based; 0 for flush */
	uint64_t block;		/* first block */
	const struct leap_piece *pieces;	/* borrowed until done */
	/* Runs exactly once; may run before submit returns. */
	void (*done)(struct leap_bio *bio, leap_status_t status);
	void *arg;		/* submitter's */
	struct leap_chan *chan;	/* dispatcher's: where it was submitted */
	uint64_t start_ns;	/* dispatcher's */
	uint64_t tag;		/* submitter's: for traces and orphans */
	/* The command as its host sent it, for hints that a bio has no place
	 * for; or NULL. Its range is not the bio's. */
	const struct leap_sqe *sqe;
	/* Out: where an append went, failed vectors, the failed range of a
	 * copy. In: of zone send and report what to do. A layer gives its
	 * child's to the bio above. */
	uint64_t result;
	union {			/* borrowed, or NULL */
		const struct leap_bio_vector *vector;
		const struct leap_bio_expect *expect;	/* COMPARE_WRITE */
	};
	/* scratch of the layers follows */
};

struct leap_bdev_ops {
	size_t size;
	const char *name;
	const char *help;	/* one line per option: leap_bdev_help */
	uint32_t nr_children_min;
	uint32_t nr_children_max;
	uint32_t bdev_bytes;	/* private memory of a bdev, zeroed */
	uint32_t chan_bytes;	/* private memory of a channel, zeroed */
	uint32_t bio_bytes;	/* private scratch in each bio */
	uint32_t bio_children;	/* child bios of each bio, per child layer */

	/*
	 * Children are open already. Read the options with leap_bdev_opt_*,
	 * set the geometry with leap_bdev_set. Unknown options are refused by
	 * the dispatcher after this returns. 0 or -errno + last error text.
	 */
	int (*open)(struct leap_bdev *bdev);
	void (*close)(struct leap_bdev *bdev);

	/* On the thread of the poll group. Channels of children are open. */
	int (*chan_open)(struct leap_chan *chan);
	void (*chan_close)(struct leap_chan *chan);

	/* Hot path: start @bio; call leap_bio_done() now or later. */
	void (*submit)(struct leap_chan *chan, struct leap_bio *bio);

	/* Control thread: change the size; then leap_bdev_set. */
	int (*resize)(struct leap_bdev *bdev, uint64_t bytes);
	/* A child changed its size. Default: pass it on. */
	void (*child_resized)(struct leap_bdev *bdev);

	/*
	 * The absolute path of the file or device whose lock this layer itself
	 * holds while an operation of it can be under way, even after its
	 * process was killed. Length without NUL; 0 = nothing of it outlives
	 * the process, which is the default; -ENOLCK something may, and no lock
	 * says for how long; -ENAMETOOLONG.
	 */
	int (*lock_path)(const struct leap_bdev *bdev, char *path, size_t max);

	/*
	 * With LEAP_BDEV_VECTOR: answered at once, on the control thread, while
	 * I/O goes on. Default: the only child's.
	 */
	leap_status_t (*admin)(struct leap_bdev *bdev,
			       struct leap_bdev_admin *a);

	/*
	 * Somebody wants payload memory back, and the operations that are under
	 * way in it are no longer worth waiting for: end them, at the latest a
	 * second from now, in a way after which nothing of theirs can touch
	 * it. Those that end by themselves until then need no help. For layers
	 * whose operations may take as long as another machine likes; others
	 * leave it out. Children are told by the dispatcher.
	 * @buf: the memory; NULL = all operations
	 */
	void (*let_go)(struct leap_chan *chan, const struct leap_dmabuf *buf);
};

/* leap_bdev_admin - ask an open-channel drive; Invalid Opcode if it is none.
 * Context: owner of the pg the stack was opened with */
LEAP_API leap_status_t leap_bdev_admin(struct leap_bdev *bdev,
				       struct leap_bdev_admin *a);

/* leap_bdev_priv - the bdev_bytes of a layer. Context: any, hot path */
LEAP_API void *leap_bdev_priv(const struct leap_bdev *bdev);

/* leap_bdev_pollgroup - the group the stack was opened with. Context: any */
LEAP_API struct leap_pollgroup *leap_bdev_pollgroup(const struct leap_bdev *b);

/**
 * leap_bdev_set - set or change geometry and capabilities
 *
 * In open, in resize, or on the control thread when the medium changed; those
 * who use the bdev are told of a new size.
 * @block_bytes: 512 or 4096, fixed once opened
 * Context: owner of the pg the stack was opened with
 */
LEAP_API void leap_bdev_set(struct leap_bdev *bdev, uint32_t block_bytes,
			    uint64_t nr_blocks, uint32_t caps);

/*
 * Zones of a bdev with LEAP_BDEV_ZONED, in its blocks. Every zone is as long as
 * all others and begins at a multiple of that.
 */
struct leap_bdev_zones {
	size_t size;
	uint32_t zone_blocks;	/* nr_blocks is a multiple of it */
	uint32_t max_active;	/* 0 = no limit */
	uint32_t max_open;	/* 0 = no limit */
	uint32_t append_blocks;	/* most in one append; 0 = no limit */
	uint32_t read_across;	/* one read may lie in two zones */
	uint32_t reserved;
};

/**
 * leap_bdev_set_zones - in open, before or after leap_bdev_set: what its zones
 * are; those that have one child have the child's unless they say otherwise
 *
 * Context: open
 */
LEAP_API void leap_bdev_set_zones(struct leap_bdev *bdev,
				  const struct leap_bdev_zones *zones);

/* leap_bdev_zones - of a layer. Context: any. Returns: 0, -EINVAL, -ENOENT it
 * has none */
LEAP_API int leap_bdev_zones(const struct leap_bdev *bdev,
			     struct leap_bdev_zones *zones);

/**
 * leap_bdev_zone_changed - a zone is not as its users left it: it has become
 * read-only or offline by itself
 *
 * @block: any of the zone, in blocks of @bdev; layers above it must have the
 *         same blocks
 * Context: owner of the pg the stack was opened with
 */
LEAP_API void leap_bdev_zone_changed(struct leap_bdev *bdev, uint64_t block);

/* leap_bdev_arg - the text after "name:", or NULL. Context: open */
LEAP_API const char *leap_bdev_arg(const struct leap_bdev *bdev);

/**
 * leap_bdev_opt_* - an option of the stack text, or @fallback
 *
 * @key: NULL = the text after "name:", so that "null:1G" needs no key
 *
 * Mark the option as known. Numbers take k, M, G, T suffixes of 1024.
 * Context: open
 * Returns: 0 and *@out; -EINVAL with last error text for a malformed value
 */
LEAP_API int leap_bdev_opt_u64(struct leap_bdev *bdev, const char *key,
			       uint64_t fallback, uint64_t max, uint64_t *out);
LEAP_API int leap_bdev_opt_bool(struct leap_bdev *bdev, const char *key,
				int fallback, int *out);
LEAP_API int leap_bdev_opt_str(struct leap_bdev *bdev, const char *key,
			       const char *fallback, const char **out);

/* leap_chan_priv - the chan_bytes of a channel. Context: owner, hot path */
LEAP_API void *leap_chan_priv(const struct leap_chan *chan);

/* leap_chan_bdev - whose channel it is. Context: owner, hot path */
LEAP_API struct leap_bdev *leap_chan_bdev(const struct leap_chan *chan);

/* leap_chan_pollgroup - its poll group. Context: owner, hot path */
LEAP_API struct leap_pollgroup *leap_chan_pollgroup(const struct leap_chan *c);

/* leap_chan_child - channel of the i-th child. Context: owner, hot path */
LEAP_API struct leap_chan *leap_chan_child(const struct leap_chan *chan,
					   uint32_t i);

/* leap_bio_priv - this layer's scratch (bio_bytes). Context: owner, hot path */
LEAP_API void *leap_bio_priv(const struct leap_bio *bio);

/**
 * leap_bio_child - a bio for the i-th child, n-th of bio_children
 *
 * A copy of @bio with @done set and arg = @bio, ready for leap_bio_submit.
 * Context: owner, hot path
 */
LEAP_API struct leap_bio *
leap_bio_child(struct leap_bio *bio, uint32_t i, uint32_t n,
	       void (*done)(struct leap_bio *child, leap_status_t status));

/* leap_bio_submit - hand a bio to a channel. Context: owner, hot path */
LEAP_API void leap_bio_submit(struct leap_chan *chan, struct leap_bio *bio);

/* leap_bio_done - the layer has finished @bio. Context: owner, hot path */
LEAP_API void leap_bio_done(struct leap_bio *bio, leap_status_t status);

/*
 * For those who stand above a stack.
 */

/**
 * leap_chan_open - a channel of a stack for a poll group
 *
 * @nr_bios: how many bios may be out at once
 * Context: owner of @pg
 * Returns: 0
 * Errors:  -ENOMEM, or what a layer answered
 */
LEAP_API int leap_chan_open(struct leap_bdev *bdev, struct leap_pollgroup *pg,
			    uint32_t nr_bios, struct leap_chan **out);

/* leap_chan_close - 0, or -EBUSY while bios are out. Context: owner */
LEAP_API int leap_chan_close(struct leap_chan *chan);

/* leap_bio_get - a bio of a channel's pool, or NULL.
 * Context: owner, hot path */
LEAP_API struct leap_bio *leap_bio_get(struct leap_chan *chan);

/* leap_bio_put - and back. Context: owner, hot path */
LEAP_API void leap_bio_put(struct leap_chan *chan, struct leap_bio *bio);

/**
 * leap_bdev_open_with - leap_bdev_open with layers of the program's own
 *
 * @own: NULL-terminated; looked at before the built-in ones; borrowed until
 *       the stack is closed
 * Context: as leap_bdev_open
 * Returns, Errors: as leap_bdev_open; -EINVAL a table without submit
 */
LEAP_API int leap_bdev_open_with(struct leap_pollgroup *pg, const char *stack,
				 const struct leap_bdev_ops *const *own,
				 struct leap_bdev **out);

#ifdef __cplusplus
}
#endif

#endif
