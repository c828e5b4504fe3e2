/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * world_real.h - what the epoll and the uring world share
 *
 * Sockets work the same in both: operations are tried at once, and when the
 * kernel says "not now" the edge-triggered epoll set says when. The uring world
 * replaces what concerns files.
 */
#ifndef LEAP_CORE_IO_WORLD_REAL_H
#define LEAP_CORE_IO_WORLD_REAL_H

#include "core/io/world.h"

#include <stdbool.h>

/* Sockets that are received from directly while they are busy. */
#define LEAP__HOT_MAX 2

enum leap__real_kind {
	LEAP__REAL_FILE,
	LEAP__REAL_STREAM,	/* TCP or Unix connection */
	LEAP__REAL_LISTENER,
	LEAP__REAL_EVENT,	/* eventfd */
};

/* Operations of one kind, oldest first; io->link[0] is the next. */
struct leap__io_queue {
	struct leap__io *head;
	struct leap__io **tail;
};

struct leap__real_fd {
	struct leap__wfd wfd;
	int fd;
	uint8_t kind;		/* enum leap__real_kind */
	bool is_unix;
	bool in_epoll;
	bool want_out;		/* EPOLLOUT is in the epoll interest */
	bool may_read;		/* a read may find something */
	bool may_write;
	bool connecting;
	bool hup;		/* end of stream or error is on its way */
	bool dirty;		/* on the world's list of things to try */
	bool hot;
	bool direct;		/* O_DIRECT */
	bool no_dsync;		/* RWF_DSYNC refused: write, then fdatasync */
	bool closing;		/* freed when nr_inflight is 0 */
	uint32_t misses;	/* direct receives in a row without data */
	struct leap__io_queue rx;
	struct leap__io_queue tx;
	struct leap__real_fd *dirty_next, **dirty_prev;
	struct leap__real_fd *next, **prev;	/* all of the world */
	uint32_t *lock;		/* of a locked file: how many share it */
	char *unlink_path;	/* Unix listener: remove at close */
	uint64_t unlink_dev, unlink_ino;
	/* uring world */
	int slot;		/* fixed file, -1 = none */
	uint32_t nr_inflight;
	struct leap__io *inflight;	/* doubly linked by link[] */
};

struct leap__real {
	struct leap__world w;
	int epfd;
	int wake_fd;
	int timer_fd;
	uint64_t timer_at_ns;	/* what timer_fd is set to, 0 = nothing */
	bool look;		/* epoll must be asked in the next poll */
	bool fresh;		/* the last sleep has asked it just now */
	bool woken;		/* by another thread, since the last poll */
	bool no_pwait2;
	uint32_t skipped;	/* polls without asking epoll */
	bool found;		/* the last look found something */
	uint32_t crowded;	/* polls to go with too many busy sockets */
	uint32_t nr_hot;
	struct leap__real_fd *hot[LEAP__HOT_MAX];
	struct leap__real_fd *dirty;
	struct leap__real_fd *all;
	struct leap__io_queue done;
	uint32_t nr_done;
	/* uring world: submit what waits for the ring, collect what is done. */
	void (*ring)(struct leap__real *r);
	struct leap__uring *uring;
};

static inline struct leap__real *leap__real(struct leap__world *w)
{
	return (struct leap__real *)w;
}

static inline struct leap__real_fd *leap__real_fd(struct leap__wfd *f)
{
	return (struct leap__real_fd *)f;
}

/* io->priv[] of the real worlds. */
enum { LEAP__IO_STATE, LEAP__IO_SOFAR, LEAP__IO_STEP };
enum { LEAP__IO_IDLE, LEAP__IO_QUEUED, LEAP__IO_KERNEL, LEAP__IO_DONE };

/* io queues */
static inline void leap__ioq_init(struct leap__io_queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

static inline void leap__ioq_push(struct leap__io_queue *q, struct leap__io *io)
{
	io->link[0] = NULL;
	*q->tail = io;
	q->tail = &io->link[0];
}

static inline struct leap__io *leap__ioq_pop(struct leap__io_queue *q)
{
	struct leap__io *io = q->head;

	if (io) {
		q->head = io->link[0];
		if (!q->head)
			q->tail = &q->head;
	}
	return io;
}

/* True when it was there. */
bool leap__ioq_del(struct leap__io_queue *q, struct leap__io *io);

/* world_real.c: shared between the two worlds */
int leap__real_init(struct leap__real *r, const struct leap__world_ops *ops);
void leap__real_fini(struct leap__real *r);
void leap__real_done(struct leap__real *r, struct leap__io *io, int64_t res);
int leap__real_new_fd(struct leap__real *r, int fd, enum leap__real_kind kind,
		      struct leap__real_fd **out);
void leap__real_free_fd(struct leap__real_fd *f);
int leap__real_watch(struct leap__real_fd *f, uint32_t events);
void leap__real_unwatch(struct leap__real_fd *f);
void leap__real_mark(struct leap__real *r, struct leap__real_fd *f);
void leap__real_unmark(struct leap__real *r, struct leap__real_fd *f);
void leap__real_look(struct leap__real *r);
void leap__real_try_all(struct leap__real *r);
int leap__real_run_done(struct leap__real *r, unsigned int max);
int leap__real_add_epoll(struct leap__real *r, int fd, void *ptr);
int leap__real_poll(struct leap__world *w, unsigned int max);
void leap__real_flush(struct leap__world *w);
int leap__real_arm(struct leap__world *w, uint64_t deadline_ns);
int leap__real_sleep(struct leap__world *w, uint64_t deadline_ns);
int leap__real_epfd(struct leap__world *w);
void leap__real_wake(struct leap__world *w);
int leap__real_wake_fd(struct leap__world *w);
int leap__real_borrow_fd(struct leap__wfd *f);
uint64_t leap__real_now_ns(struct leap__world *w);
uint64_t leap__real_random(struct leap__world *w);
void leap__real_cool(struct leap__real *r, struct leap__real_fd *f);

/* world_sock.c: streams, listeners, eventfds */
void leap__sock_submit(struct leap__real *r, struct leap__io *io);
bool leap__sock_cancel(struct leap__real *r, struct leap__io *io);
void leap__sock_try(struct leap__real *r, struct leap__real_fd *f);
int leap__sock_detach(struct leap__wfd *f);
int leap__sock_attach(struct leap__world *w, struct leap__wfd *f);
void leap__sock_close(struct leap__real_fd *f);

/* world_addr.c: control path of sockets */
int leap__sock_socket(struct leap__world *w, int family,
		      struct leap__wfd **out);
int leap__sock_listen(struct leap__world *w, const struct sockaddr *addr,
		      socklen_t addr_len, int backlog, uint32_t mode,
		      struct leap__wfd **out);
int leap__sock_local_addr(struct leap__wfd *f, struct sockaddr_storage *addr);
int leap__sock_peer_text(struct leap__wfd *f, char *text, size_t max);
int leap__sock_peer_closed(struct leap__wfd *f);
int leap__sock_peer_process(struct leap__wfd *f, int64_t *pid, int *pidfd);
int leap__sock_adopt(struct leap__world *w, int fd, struct leap__wfd **out);
void leap__sock_nodelay(struct leap__real_fd *f);
void leap__sock_unlink(struct leap__real_fd *f);

/* world_file.c: files, synchronously */
int leap__file_open(struct leap__world *w, const char *path, uint32_t flags,
		    uint64_t create_bytes, struct leap__wfd **out);
void leap__file_close(struct leap__real_fd *f);
int leap__file_fstat(struct leap__wfd *f, struct leap__fstat *st);
int leap__file_truncate(struct leap__wfd *f, uint64_t bytes);
int leap__real_share(struct leap__world *w, struct leap__wfd *f,
		     struct leap__wfd **out);
int64_t leap__file_run(struct leap__real *r, struct leap__io *io);
/* The part of @iov behind @skip bytes; returns entries in @out. */
int leap__iov_rest(const struct iovec *iov, int nr_iov, uint64_t skip,
		   struct iovec *out, int max);
uint64_t leap__iov_bytes(const struct iovec *iov, int nr_iov);

#endif
