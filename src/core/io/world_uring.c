/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The uring world: sockets as in world_sock.c, files through one io_uring ring
 * whose submissions go out in batches, at the end of a poll. An eventfd that
 * the ring signals is in the epoll set, so that a completion ends a sleep. It
 * sits under every file leaf; the caller's buffers go to the kernel as is.
 *
 * The completion queue cannot overflow: no more operations are given to the
 * kernel than it has entries; the others wait here. A read or write that the
 * kernel cuts short is continued piece by piece. Cancelling asks the kernel;
 * the operation completes when the kernel says so, as its memory is in use
 * until then.
 */
#include "config.h"

#include "core/io/world_real.h"

#include <errno.h>

#ifdef LEAP_WITH_URING
#include <liburing.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SQ_ENTRIES 256
#define CQ_ENTRIES 4096
#define NR_SLOTS 128		/* fixed files */
#define IOV_ONCE 1024		/* UIO_MAXIOV */
#define REAP_BATCH 64

/* io->priv[LEAP__IO_STEP] */
enum {
	STEP_MAIN,
	STEP_FSYNC,		/* a FUA write that needs an fdatasync */
	STEP_CANCELED,		/* asked to end: not continued */
};

struct leap__uring {
	struct io_uring ring;
	int event_fd;		/* signalled when there is work to collect */
	bool enabled;		/* by the thread that submits first */
	uint32_t nr_inflight;	/* cancels included */
	uint32_t nr_cq;
	struct leap__io_queue wait;	/* not yet given to the kernel */
	int free_slots[NR_SLOTS];
	int nr_free_slots;
};

/* ---- one operation ------------------------------------------------------- */

static void prep_rw(struct leap__uring *u, struct io_uring_sqe *sqe,
		    struct leap__io *io, struct leap__real_fd *f, int fd)
{
	uint64_t sofar = io->priv[LEAP__IO_SOFAR];
	bool rd = io->op == LEAP__IO_READ;
	unsigned int nr = io->nr_iov < IOV_ONCE ? io->nr_iov : IOV_ONCE;
	struct iovec one;

	(void)u;
	if (sofar || io->nr_iov == 1) {
		/* What is left, one piece at a time: needs no vector. */
		if (!leap__iov_rest(io->iov, io->nr_iov, sofar, &one, 1))
			one = (struct iovec){ 0 };
		if (rd)
			io_uring_prep_read(sqe, fd, one.iov_base,
					   (unsigned int)one.iov_len,
					   io->offset + sofar);
		else
			io_uring_prep_write(sqe, fd, one.iov_base,
					    (unsigned int)one.iov_len,
					    io->offset + sofar);
	} else if (rd) {
		io_uring_prep_readv(sqe, fd, io->iov, nr, io->offset);
	} else {
		io_uring_prep_writev(sqe, fd, io->iov, nr, io->offset);
	}
	if (!rd && (io->flags & LEAP__IO_FUA) && !f->no_dsync)
		sqe->rw_flags = RWF_DSYNC;
}

static void prep(struct leap__uring *u, struct io_uring_sqe *sqe,
		 struct leap__io *io)
{
	struct leap__real_fd *f = leap__real_fd(io->wfd);
	int fd = f->slot >= 0 ? f->slot : f->fd;
	int mode = FALLOC_FL_KEEP_SIZE;

	switch (io->priv[LEAP__IO_STEP] == STEP_FSYNC ? LEAP__IO_FSYNC :
		io->op) {
	case LEAP__IO_READ:
	case LEAP__IO_WRITE:
		prep_rw(u, sqe, io, f, fd);
		break;
	case LEAP__IO_FSYNC:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	case LEAP__IO_ZERO:
		mode |= io->flags & LEAP__IO_PUNCH ? FALLOC_FL_PUNCH_HOLE :
			FALLOC_FL_ZERO_RANGE;
		io_uring_prep_fallocate(sqe, fd, mode, (off_t)io->offset,
					(off_t)io->len);
		break;
	case LEAP__IO_DISCARD:
		io_uring_prep_fallocate(sqe, fd, mode | FALLOC_FL_PUNCH_HOLE,
					(off_t)io->offset, (off_t)io->len);
		break;
	}
	if (f->slot >= 0)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, io);
}

static void put_in(struct leap__io *io, struct leap__real_fd *f)
{
	io->priv[LEAP__IO_STATE] = LEAP__IO_KERNEL;
	io->link[1] = NULL;
	io->link[0] = f->inflight;
	if (f->inflight)
		f->inflight->link[1] = io;
	f->inflight = io;
	f->nr_inflight++;
}

static void take_out(struct leap__io *io, struct leap__real_fd *f)
{
	if (io->link[1])
		io->link[1]->link[0] = io->link[0];
	else
		f->inflight = io->link[0];
	if (io->link[0])
		io->link[0]->link[1] = io->link[1];
	f->nr_inflight--;
}

static void close_now(struct leap__real *r, struct leap__real_fd *f)
{
	struct leap__uring *u = r->uring;
	int none = -1;

	if (f->slot >= 0) {
		/* The ring's own reference holds locks too. */
		io_uring_register_files_update(&u->ring, (unsigned int)f->slot,
					       &none, 1);
		u->free_slots[u->nr_free_slots++] = f->slot;
	}
	leap__file_close(f);
}

static void again(struct leap__uring *u, struct leap__io *io)
{
	io->priv[LEAP__IO_STATE] = LEAP__IO_QUEUED;
	leap__ioq_push(&u->wait, io);
}

/* The kernel lacks something: do it another way. True when that is under way
 * or done. */
static bool fall_back(struct leap__real *r, struct leap__io *io,
		      struct leap__real_fd *f)
{
	if (io->op == LEAP__IO_WRITE && (io->flags & LEAP__IO_FUA) &&
	    !f->no_dsync && io->priv[LEAP__IO_STEP] == STEP_MAIN) {
		f->no_dsync = true;
		again(r->uring, io);
		return true;
	}
	if (io->op != LEAP__IO_ZERO)
		return false;
	leap__real_done(r, io, leap__file_run(r, io));
	return true;
}

static void complete_rw(struct leap__real *r, struct leap__io *io,
			struct leap__real_fd *f, int64_t res)
{
	uint64_t all = leap__iov_bytes(io->iov, io->nr_iov);
	uint64_t sofar = io->priv[LEAP__IO_SOFAR] += (uint64_t)res;

	if (io->priv[LEAP__IO_STEP] == STEP_CANCELED) {
		leap__real_done(r, io, sofar == all ? (int64_t)sofar :
				-ECANCELED);
	} else if (sofar < all && res) {
		again(r->uring, io);
	} else if (io->op == LEAP__IO_READ) {
		leap__real_done(r, io, (int64_t)sofar);
	} else if (sofar < all) {
		leap__real_done(r, io, -EIO);
	} else if ((io->flags & LEAP__IO_FUA) && f->no_dsync) {
		io->priv[LEAP__IO_STEP] = STEP_FSYNC;
		again(r->uring, io);
	} else {
		leap__real_done(r, io, (int64_t)sofar);
	}
}

static void complete(struct leap__real *r, struct leap__io *io, int64_t res)
{
	struct leap__real_fd *f = leap__real_fd(io->wfd);
	uint64_t sofar = io->priv[LEAP__IO_SOFAR];
	bool rw = io->op == LEAP__IO_READ || io->op == LEAP__IO_WRITE;
	bool canceled = io->priv[LEAP__IO_STEP] == STEP_CANCELED;

	take_out(io, f);
	if ((res == -EAGAIN || res == -EINTR) && !canceled)
		again(r->uring, io);
	else if (res == -EOPNOTSUPP && !canceled && fall_back(r, io, f))
		;
	else if (res == -EINVAL && rw && sofar && f->direct && sofar % 512)
		/* O_DIRECT behind a file's end that lies inside a block */
		leap__real_done(r, io, io->op == LEAP__IO_READ ?
				(int64_t)sofar : -EIO);
	else if (res < 0)
		leap__real_done(r, io, canceled ? -ECANCELED : res);
	else if (io->priv[LEAP__IO_STEP] == STEP_FSYNC)
		leap__real_done(r, io, (int64_t)sofar);
	else if (rw)
		complete_rw(r, io, f, res);
	else
		leap__real_done(r, io, 0);
	if (f->closing && !f->nr_inflight)
		close_now(r, f);
}

/* ---- the ring ------------------------------------------------------------ */

static void submit_sqes(struct leap__real *r)
{
	struct leap__uring *u = r->uring;
	int rc;

	if (!io_uring_sq_ready(&u->ring))
		return;
	if (!u->enabled) {
		/* liburing 2.3 declares a function for this, without code. */
		r->w.syscalls++;
		syscall(__NR_io_uring_register, u->ring.ring_fd,
			IORING_REGISTER_ENABLE_RINGS, NULL, 0);
		u->enabled = true;
	}
	do {
		r->w.syscalls++;
		rc = io_uring_submit(&u->ring);
	} while (rc == -EINTR);
	/* -EAGAIN, -EBUSY: still in the ring; do not sleep, try again. */
	if (rc < 0)
		r->woken = true;
}

static struct io_uring_sqe *get_sqe(struct leap__real *r)
{
	struct io_uring_sqe *sqe;

	if (r->uring->nr_inflight == r->uring->nr_cq)
		return NULL;
	sqe = io_uring_get_sqe(&r->uring->ring);
	if (!sqe) {
		submit_sqes(r);
		sqe = io_uring_get_sqe(&r->uring->ring);
	}
	if (sqe)
		r->uring->nr_inflight++;
	return sqe;
}

static void push(struct leap__real *r)
{
	struct leap__uring *u = r->uring;
	struct io_uring_sqe *sqe;
	struct leap__io *io;

	while (u->wait.head && (sqe = get_sqe(r))) {
		io = leap__ioq_pop(&u->wait);
		prep(u, sqe, io);
		put_in(io, leap__real_fd(io->wfd));
	}
	submit_sqes(r);
}

static void reap(struct leap__real *r)
{
	struct leap__uring *u = r->uring;
	struct io_uring_cqe *cqe[REAP_BATCH];
	unsigned int i, n;

	while (u->nr_inflight) {
		if (io_uring_cq_ready(&u->ring) == 0 &&
		    !(IO_URING_READ_ONCE(*u->ring.sq.kflags) &
		      IORING_SQ_TASKRUN))
			return;
		n = io_uring_peek_batch_cqe(&u->ring, cqe, REAP_BATCH);
		if (!n)
			return;
		for (i = 0; i < n; i++) {
			struct leap__io *io = io_uring_cqe_get_data(cqe[i]);

			u->nr_inflight--;
			if (io)
				complete(r, io, cqe[i]->res);
		}
		io_uring_cq_advance(&u->ring, n);
	}
}

/* leap__real calls this wherever it tries sockets. */
static void uring_turn(struct leap__real *r)
{
	struct leap__uring *u = r->uring;

	if (!u->nr_inflight && !u->wait.head)
		return;
	push(r);
	reap(r);
	if (u->wait.head)	/* continued, or there is room again */
		push(r);
}

/* ---- the world's slots --------------------------------------------------- */

static void uring_submit(struct leap__world *w, struct leap__io *io)
{
	struct leap__real *r = leap__real(w);

	if (leap__real_fd(io->wfd)->kind != LEAP__REAL_FILE) {
		leap__sock_submit(r, io);
		return;
	}
	io->priv[LEAP__IO_SOFAR] = 0;
	io->priv[LEAP__IO_STEP] = STEP_MAIN;
	if (io->op < LEAP__IO_READ || io->op > LEAP__IO_ZERO)
		leap__real_done(r, io, -EINVAL);
	else
		again(r->uring, io);
}

static void uring_cancel(struct leap__world *w, struct leap__io *io)
{
	struct leap__real *r = leap__real(w);
	struct io_uring_sqe *sqe;

	switch (io->priv[LEAP__IO_STATE]) {
	case LEAP__IO_QUEUED:
		if (leap__ioq_del(&r->uring->wait, io))
			leap__real_done(r, io, -ECANCELED);
		else
			leap__sock_cancel(r, io);
		return;
	case LEAP__IO_KERNEL:
		io->priv[LEAP__IO_STEP] = STEP_CANCELED;
		sqe = get_sqe(r);
		if (!sqe)
			return;		/* then it ends by itself */
		io_uring_prep_cancel(sqe, io, 0);
		io_uring_sqe_set_data(sqe, NULL);
		return;
	}
}

static void uring_close(struct leap__wfd *wfd)
{
	struct leap__real_fd *f = leap__real_fd(wfd);
	struct leap__real *r = leap__real(wfd->world);
	struct leap__io **p, *io;

	if (f->kind != LEAP__REAL_FILE) {
		leap__sock_close(f);
		return;
	}
	for (p = &r->uring->wait.head; (io = *p); ) {
		if (io->wfd != wfd) {
			p = &io->link[0];
			continue;
		}
		leap__ioq_del(&r->uring->wait, io);
		leap__real_done(r, io, -ECANCELED);
	}
	for (io = f->inflight; io; io = io->link[0])
		uring_cancel(&r->w, io);
	f->closing = true;
	if (!f->nr_inflight)
		close_now(r, f);
}

static int uring_open(struct leap__world *w, const char *path, uint32_t flags,
		      uint64_t create_bytes, struct leap__wfd **out)
{
	struct leap__uring *u = leap__real(w)->uring;
	struct leap__real_fd *f;
	int rc = leap__file_open(w, path, flags, create_bytes, out);

	if (rc || !u->nr_free_slots)
		return rc;
	f = leap__real_fd(*out);
	f->slot = u->free_slots[u->nr_free_slots - 1];
	if (io_uring_register_files_update(&u->ring, (unsigned int)f->slot,
					   &f->fd, 1) == 1)
		u->nr_free_slots--;
	else
		f->slot = -1;	/* works without */
	return 0;
}

static void ring_free(struct leap__uring *u)
{
	io_uring_queue_exit(&u->ring);
	if (u->event_fd >= 0)
		close(u->event_fd);
	free(u);
}

/* Files in the kernel's hands are waited for: it writes to their memory. */
static void uring_destroy(struct leap__world *w)
{
	struct leap__real *r = leap__real(w);
	struct leap__real_fd *f, *next;
	struct io_uring_cqe *cqe;
	int rc = 0;

	for (f = r->all; f; f = next) {
		next = f->next;
		if (!f->closing)
			w->ops->close(&f->wfd);
	}
	push(r);
	while (r->uring->nr_inflight && rc != -EBADFD && rc != -EEXIST) {
		rc = io_uring_wait_cqe(&r->uring->ring, &cqe);
		reap(r);
	}
	ring_free(r->uring);
	leap__real_fini(r);
	free(r);
}

static const struct leap__world_ops uring_ops = {
	.name = "uring",
	.kind = LEAP_WORLD_URING,
	.destroy = uring_destroy,
	.submit = uring_submit,
	.cancel = uring_cancel,
	.poll = leap__real_poll,
	.flush = leap__real_flush,
	.arm = leap__real_arm,
	.sleep = leap__real_sleep,
	.fd = leap__real_epfd,
	.wake = leap__real_wake,
	.now_ns = leap__real_now_ns,
	.random = leap__real_random,
	.open = uring_open,
	.fstat = leap__file_fstat,
	.truncate = leap__file_truncate,
	.share = leap__real_share,
	.detach = leap__sock_detach,
	.attach = leap__sock_attach,
	.socket = leap__sock_socket,
	.listen = leap__sock_listen,
	.local_addr = leap__sock_local_addr,
	.peer_text = leap__sock_peer_text,
	.peer_closed = leap__sock_peer_closed,
	.adopt = leap__sock_adopt,
	.close = uring_close,
	.wake_fd = leap__real_wake_fd,
	.borrow_fd = leap__real_borrow_fd,
	.peer_process = leap__sock_peer_process,
};

/*
 * Task work deferred to our own calls: completions then neither interrupt us
 * nor end a sleep in epoll with EINTR, and the flag says when there are some.
 * Enabled later, so that the thread that submits first is the issuer, whoever
 * made the group. Kernels before 6.1 know less.
 */
static int ring_init(struct leap__uring *u)
{
	static const unsigned int flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
			IORING_SETUP_R_DISABLED,
		0,
	};
	struct io_uring_params p;
	unsigned int i;
	int rc = -ENOSYS;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		memset(&p, 0, sizeof(p));
		p.flags = flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
		p.cq_entries = CQ_ENTRIES;
		rc = io_uring_queue_init_params(SQ_ENTRIES, &u->ring, &p);
		if (rc != -EINVAL)
			break;
	}
	if (rc < 0)
		return rc;
	u->enabled = !(p.flags & IORING_SETUP_R_DISABLED);
	u->nr_cq = p.cq_entries;
	if (!io_uring_register_files_sparse(&u->ring, NR_SLOTS))
		for (i = 0; i < NR_SLOTS; i++)
			u->free_slots[u->nr_free_slots++] = (int)i;
	return 0;
}

/* Operations that files cannot do without; all in Linux 5.6. */
static bool probe(struct leap__uring *u)
{
	static const int ops[] = {
		IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV,
		IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE,
		IORING_OP_ASYNC_CANCEL,
	};
	struct io_uring_probe *p = io_uring_get_probe_ring(&u->ring);
	bool ok = p != NULL;
	unsigned int i;

	for (i = 0; ok && i < sizeof(ops) / sizeof(ops[0]); i++)
		ok = io_uring_opcode_supported(p, ops[i]);
	io_uring_free_probe(p);
	return ok;
}

/*
 * Deferred task work does not wake those who poll the ring's own fd, but does
 * signal an eventfd. It is never read: each signal is an edge.
 */
static int ring_wakes(struct leap__real *r, struct leap__uring *u)
{
	int rc;

	u->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (u->event_fd < 0)
		return -errno;
	rc = io_uring_register_eventfd(&u->ring, u->event_fd);
	return rc ? rc : leap__real_add_epoll(r, u->event_fd, &r->uring);
}

static int ring_create(struct leap__real *r)
{
	struct leap__uring *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return -ENOMEM;
	leap__ioq_init(&u->wait);
	u->event_fd = -1;
	rc = ring_init(u);
	if (rc) {
		free(u);
		/* Switched off, filtered, or an emulator without it. */
		return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE ?
			rc : -ENOSYS;
	}
	rc = probe(u) ? ring_wakes(r, u) : -ENOSYS;
	if (rc) {
		ring_free(u);
		return rc;
	}
	r->uring = u;
	r->ring = uring_turn;
	return 0;
}

int leap__world_uring_create(struct leap__world **out)
{
	struct leap__real *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	rc = leap__real_init(r, &uring_ops);
	if (rc) {
		free(r);
		return rc;
	}
	rc = ring_create(r);
	if (rc) {
		leap__real_fini(r);
		free(r);
		return rc;
	}
	*out = &r->w;
	return 0;
}

#else

int leap__world_uring_create(struct leap__world **out)
{
	(void)out;
	return -ENOSYS;		/* built without liburing */
}

#endif
