/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * world.h - the seam to the world: files, sockets, time and chance
 *
 * Everything a poll group wants from outside is an operation (leap__io) given
 * to its world, which calls back when it is complete. Three worlds implement
 * the table: epoll (sockets by readiness, files synchronously), uring (the same
 * sockets, files by io_uring) and sim (virtual time, network and disks). Code
 * above the seam cannot tell them apart.
 *
 * Rules: submit never calls done; done runs from leap__world_poll only, on the
 * owner's thread; an operation and what it points to belong to the world from
 * submit until done begins; every submitted operation is done exactly once,
 * with -ECANCELED after leap__world_cancel or leap__world_close if it had not
 * ended by itself.
 */
#ifndef LEAP_CORE_IO_WORLD_H
#define LEAP_CORE_IO_WORLD_H

#include <sys/socket.h>
#include <sys/uio.h>

#include <leapio/pollgroup.h>

struct leap__world;

/* A file or socket of a world. Real worlds embed it; owned by the world. */
struct leap__wfd;

enum leap__io_op {
	LEAP__IO_ACCEPT,	/* res 0: @wfd_out is the connection */
	LEAP__IO_CONNECT,	/* to @addr; res 0 when established */
	LEAP__IO_RECV,		/* res = bytes > 0, 0 = end of stream. Any
				 * number of bytes that fit in iov[0] */
	LEAP__IO_SEND,		/* all of iov, in order; res = bytes. One send
				 * at a time per socket. iov array may change */
	LEAP__IO_RECVMSG,	/* Unix sockets: as RECV, with up to
				 * LEAP__IO_FDS_MAX fds in @fds / @nr_fds,
				 * which the caller then owns */
	LEAP__IO_SENDMSG,	/* as SEND, with @nr_fds of @fds (borrowed) */
	LEAP__IO_READ,		/* files: iov at @offset; res = bytes, short
				 * only at the end of the file */
	LEAP__IO_WRITE,		/* res = bytes; never short on success.
				 * LEAP__IO_FUA: durable (RWF_DSYNC) */
	LEAP__IO_FSYNC,		/* data and what is needed to find it */
	LEAP__IO_DISCARD,	/* punch @len at @offset */
	LEAP__IO_ZERO,		/* zero @len at @offset, keep the size;
				 * LEAP__IO_PUNCH: may deallocate */
	LEAP__IO_WATCH,		/* res 0 once @wfd is readable (eventfd), and
				 * what is in it read; LEAP__IO_PEEK: left for
				 * whoever submitted it to read */
};

#define LEAP__IO_FDS_MAX	16	/* with one message */

#define LEAP__IO_FUA	1u
#define LEAP__IO_PUNCH	2u
#define LEAP__IO_PEEK	4u

struct leap__io {
	uint8_t op;			/* enum leap__io_op */
	uint8_t flags;
	uint16_t nr_iov;
	uint32_t nr_fds;
	struct leap__wfd *wfd;
	struct iovec *iov;
	uint64_t offset;
	uint64_t len;
	union {
		const struct sockaddr *addr;
		struct leap__wfd *wfd_out;
		int *fds;
	};
	void (*done)(struct leap__io *io);
	void *arg;
	int64_t res;
	struct leap__io *link[2];	/* world's */
	uint64_t priv[4];		/* world's */
};

struct leap__fstat {
	uint64_t bytes;
	uint32_t block_bytes;	/* logical block of a device, else 512 */
	uint32_t is_block;
	uint32_t direct_align;	/* O_DIRECT alignment, 0 = no O_DIRECT */
	uint32_t fs_remote;	/* 9p, virtiofs, NFS: locks are not seen */
};

/* leap__world_open flags */
#define LEAP__OPEN_WRITE	1u
#define LEAP__OPEN_DIRECT	2u	/* -EINVAL where it cannot be had */
#define LEAP__OPEN_CREATE	4u
#define LEAP__OPEN_LOCK		8u	/* flock (files), O_EXCL (devices): held
					 * until the last in-flight write of a
					 * killed process landed; -EBUSY. Files
					 * give it up once closed, devices maybe
					 * a moment later */

struct leap__world_ops {
	const char *name;
	int kind;		/* enum leap_world_kind */
	void (*destroy)(struct leap__world *w);
	/* Take @io over. */
	void (*submit)(struct leap__world *w, struct leap__io *io);
	void (*cancel)(struct leap__world *w, struct leap__io *io);
	/* Push out what was submitted, run up to @max completions; 0 = no
	 * bound. Never sleeps. Returns completions run. */
	int (*poll)(struct leap__world *w, unsigned int max);
	/* Push out what was submitted; runs no completions. */
	void (*flush)(struct leap__world *w);
	/* About to sleep until @deadline_ns (UINT64_MAX = none): arm the fd.
	 * 1 when something is complete already. */
	int (*arm)(struct leap__world *w, uint64_t deadline_ns);
	/* Sleep on the fd; a real world polls it, the simulator advances. 0
	 * also when a signal ends it. */
	int (*sleep)(struct leap__world *w, uint64_t deadline_ns);
	int (*fd)(struct leap__world *w);
	/* Wake this world from any thread: makes the fd readable. */
	void (*wake)(struct leap__world *w);
	uint64_t (*now_ns)(struct leap__world *w);
	uint64_t (*random)(struct leap__world *w);

	/* Control path, synchronous. */
	int (*open)(struct leap__world *w, const char *path, uint32_t flags,
		    uint64_t create_bytes, struct leap__wfd **out);
	int (*fstat)(struct leap__wfd *f, struct leap__fstat *st);
	int (*truncate)(struct leap__wfd *f, uint64_t bytes);
	/* The same file or socket, for use in another world of its kind. */
	int (*share)(struct leap__world *w, struct leap__wfd *f,
		     struct leap__wfd **out);
	/* Move a socket: no operations may be pending on it. In between it
	 * belongs to no world, and is not to be closed. The new world's owner
	 * attaches it; it is in that world even when attach fails. */
	int (*detach)(struct leap__wfd *f);
	int (*attach)(struct leap__world *w, struct leap__wfd *f);
	int (*socket)(struct leap__world *w, int family,
		      struct leap__wfd **out);
	int (*listen)(struct leap__world *w, const struct sockaddr *addr,
		      socklen_t addr_len, int backlog, uint32_t mode,
		      struct leap__wfd **out);
	int (*local_addr)(struct leap__wfd *f, struct sockaddr_storage *addr);
	int (*peer_text)(struct leap__wfd *f, char *text, size_t max);
	/* 1 when the peer has closed its side, whatever is still unread. */
	int (*peer_closed)(struct leap__wfd *f);
	/* Take over a real fd (eventfd, stream socket): the world's when 0 is
	 * returned, and only then. The simulator: -EOPNOTSUPP. */
	int (*adopt)(struct leap__world *w, int fd, struct leap__wfd **out);
	/* Pending operations end with -ECANCELED; then it is closed. */
	void (*close)(struct leap__wfd *f);
	/* An eventfd, borrowed, by which another process does what wake does.
	 * The simulator: -EOPNOTSUPP. */
	int (*wake_fd)(struct leap__world *w);
	/* The process at the other end of a Unix socket, and a pidfd of it,
	 * which the caller owns. -ESRCH it is not to be seen from here; the
	 * simulator: -EOPNOTSUPP. */
	int (*peer_process)(struct leap__wfd *f, int64_t *pid, int *pidfd);
	/* The descriptor below, to be copied for another process. The
	 * simulator has none: NULL. */
	int (*borrow_fd)(struct leap__wfd *f);
};

/* Base of a world; embed it first. */
struct leap__world {
	const struct leap__world_ops *ops;
	uint64_t syscalls;	/* counted by real worlds; by the simulator too:
				 * what a real one would have made */
};

struct leap__wfd {
	struct leap__world *world;
};

int leap__world_epoll_create(struct leap__world **out);
int leap__world_uring_create(struct leap__world **out);	/* -ENOSYS */

/*
 * struct leap_sim opens with this, so that the library reaches the simulator,
 * which it does not link, through the pointer that the caller gives it.
 */
struct leap__sim_head {
	int (*world_create)(struct leap_sim *sim, struct leap__world **out);
};

/* Short forms. */
struct leap__world *leap__pollgroup_world(struct leap_pollgroup *pg);

static inline void leap__io_submit(struct leap__world *w, struct leap__io *io)
{
	w->ops->submit(w, io);
}

#endif
