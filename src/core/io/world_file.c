/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files of the real worlds: opening, locking and sizing them, and the
 * synchronous form of their operations, which the epoll world uses for all and
 * the uring world for those that io_uring is not asked to do. Knows nothing of
 * NVMe.
 */
#include "config.h"

#include "core/io/world_real.h"
#include "util/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* statfs f_type of file systems that other machines or daemons share. */
#define FS_9P		0x01021997
#define FS_NFS		0x6969
#define FS_FUSE		0x65735546	/* virtiofs says this too */
#define FS_CEPH		0x00c36400
#define FS_SMB2		0xfe534d42
#define FS_CIFS		0xff534d42

#define IOV_BATCH 64
#define ZERO_BYTES 65536

uint64_t leap__iov_bytes(const struct iovec *iov, int nr_iov)
{
	uint64_t bytes = 0;

	while (nr_iov-- > 0)
		bytes += iov++->iov_len;
	return bytes;
}

int leap__iov_rest(const struct iovec *iov, int nr_iov, uint64_t skip,
		   struct iovec *out, int max)
{
	int n = 0;

	for (; nr_iov > 0 && n < max; nr_iov--, iov++) {
		if (skip >= iov->iov_len) {
			skip -= iov->iov_len;
			continue;
		}
		out[n].iov_base = (char *)iov->iov_base + skip;
		out[n++].iov_len = iov->iov_len - skip;
		skip = 0;
	}
	return n;
}

/* Take the lock that says "this process and no other". */
static int lock_fd(int fd, const char *path, int flags, bool is_block)
{
	int second, held;

	if (!is_block && flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	/* Prove it: there are file systems where locks are only for show. */
	second = open(path, flags);
	if (second < 0)
		return is_block && errno == EBUSY ? 0 : -errno;
	held = !is_block && flock(second, LOCK_EX | LOCK_NB) &&
		errno == EWOULDBLOCK;
	close(second);
	return held ? 0 : -ENOLCK;
}

static int open_fd(const char *path, uint32_t flags, bool *is_block)
{
	int oflags = O_CLOEXEC | O_NOCTTY;
	struct stat st;
	int fd, rc = 0;

	oflags |= flags & LEAP__OPEN_WRITE ? O_RDWR : O_RDONLY;
	if (flags & LEAP__OPEN_DIRECT)
		oflags |= O_DIRECT;
	*is_block = !stat(path, &st) && S_ISBLK(st.st_mode);
	if (*is_block && (flags & LEAP__OPEN_LOCK))
		oflags |= O_EXCL;	/* claims the device */
	fd = open(path, !*is_block && (flags & LEAP__OPEN_CREATE) ?
		  oflags | O_CREAT : oflags, 0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		rc = -errno;
	else if (S_ISDIR(st.st_mode))
		rc = -EISDIR;
	else if (S_ISBLK(st.st_mode) != *is_block ||
		 (!*is_block && !S_ISREG(st.st_mode)))
		rc = -EINVAL;
	else if (flags & LEAP__OPEN_LOCK)
		rc = lock_fd(fd, path, oflags, *is_block);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

int leap__file_open(struct leap__world *w, const char *path, uint32_t flags,
		    uint64_t create_bytes, struct leap__wfd **out)
{
	struct leap__real_fd *f;
	uint32_t *lock = NULL;
	bool is_block;
	struct stat st;
	int fd, rc = 0;

	fd = open_fd(path, flags, &is_block);
	if (fd < 0)
		return fd;
	if ((flags & LEAP__OPEN_LOCK) && !is_block) {
		lock = malloc(sizeof(*lock));
		if (!lock) {
			close(fd);
			return -ENOMEM;
		}
		*lock = 1;
	}
	/* Only a file that is empty is new; its lock is ours by now. */
	if ((flags & LEAP__OPEN_CREATE) && create_bytes && !is_block &&
	    (fstat(fd, &st) ||
	     (!st.st_size && ftruncate(fd, (off_t)create_bytes))))
		rc = -errno;
	if (!rc)
		rc = leap__real_new_fd(leap__real(w), fd, LEAP__REAL_FILE, &f);
	if (rc) {
		free(lock);
		close(fd);
		return rc;
	}
	f->lock = lock;
	f->direct = (flags & LEAP__OPEN_DIRECT) != 0;
	*out = &f->wfd;
	return 0;
}

/*
 * All that it began has ended. Others may have the open file for longer than
 * that, so its lock does not wait for the last of them: a worker of io_uring
 * whose result we have seen, or a child between fork and exec. A device has
 * nothing but its descriptors.
 */
void leap__file_close(struct leap__real_fd *f)
{
	if (f->lock && leap__fetch_add(f->lock, -1u) == 1) {
		flock(f->fd, LOCK_UN);
		free(f->lock);
	}
	close(f->fd);
	leap__real_free_fd(f);
}

static uint32_t is_remote(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return 1;
	switch ((uint32_t)fs.f_type) {
	case FS_9P: case FS_NFS: case FS_FUSE: case FS_CEPH: case FS_SMB2:
	case FS_CIFS:
		return 1;
	}
	return 0;
}

static uint32_t direct_align(int fd, const struct stat *st, uint32_t block)
{
	char path[32];
	int probe;

#ifdef STATX_DIOALIGN
	struct statx sx;

	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) &&
	    (sx.stx_mask & STATX_DIOALIGN)) {
		if (!sx.stx_dio_offset_align)
			return 0;
		return sx.stx_dio_offset_align > sx.stx_dio_mem_align ?
			sx.stx_dio_offset_align : sx.stx_dio_mem_align;
	}
#endif
	if (S_ISBLK(st->st_mode))
		return block;
	/* Older kernels do not say: try, and assume a page. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	probe = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (probe < 0)
		return 0;
	close(probe);
	return 4096;
}

int leap__file_fstat(struct leap__wfd *wfd, struct leap__fstat *out)
{
	int fd = leap__real_fd(wfd)->fd;
	int block = 512;
	struct stat st;

	memset(out, 0, sizeof(*out));
	if (fstat(fd, &st))
		return -errno;
	if (S_ISBLK(st.st_mode)) {
		out->is_block = 1;
		if (ioctl(fd, BLKGETSIZE64, &out->bytes) ||
		    ioctl(fd, BLKSSZGET, &block))
			return -errno;
	} else {
		out->bytes = (uint64_t)st.st_size;
		out->fs_remote = is_remote(fd);
	}
	out->block_bytes = (uint32_t)block;
	out->direct_align = direct_align(fd, &st, out->block_bytes);
	return 0;
}

int leap__file_truncate(struct leap__wfd *f, uint64_t bytes)
{
	int rc;

	do
		rc = ftruncate(leap__real_fd(f)->fd, (off_t)bytes);
	while (rc && errno == EINTR);
	return rc ? -errno : 0;
}

static int64_t run_read(struct leap__real *r, struct leap__io *io,
			struct leap__real_fd *f)
{
	uint64_t all = leap__iov_bytes(io->iov, io->nr_iov), sofar = 0;
	struct iovec iov[IOV_BATCH];
	ssize_t n;
	int nr;

	while (sofar < all) {
		nr = leap__iov_rest(io->iov, io->nr_iov, sofar, iov, IOV_BATCH);
		r->w.syscalls++;
		n = preadv(f->fd, iov, nr, (off_t)(io->offset + sofar));
		if (n < 0 && errno == EINTR)
			continue;
		/* O_DIRECT: a file that ends inside a block */
		if (n < 0 && errno == EINVAL && f->direct && sofar % 512)
			break;
		if (n < 0)
			return -errno;
		if (!n)
			break;		/* the file ends here */
		sofar += (uint64_t)n;
	}
	return (int64_t)sofar;
}

static ssize_t write_dsync(int fd, const struct iovec *iov, int nr,
			   uint64_t offset)
{
#ifdef HAVE_PWRITEV2
	return pwritev2(fd, iov, nr, (off_t)offset, RWF_DSYNC);
#else
	errno = ENOSYS;
	return -1;
#endif
}

static ssize_t write_once(struct leap__real *r, struct leap__real_fd *f,
			  const struct iovec *iov, int nr, uint64_t offset,
			  bool fua)
{
	ssize_t n;

	r->w.syscalls++;
	if (!fua || f->no_dsync)
		return pwritev(f->fd, iov, nr, (off_t)offset);
	n = write_dsync(f->fd, iov, nr, offset);
	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
		f->no_dsync = true;
		return pwritev(f->fd, iov, nr, (off_t)offset);
	}
	return n;
}

static int64_t run_fsync(struct leap__real *r, struct leap__real_fd *f)
{
	int rc;

	do {
		r->w.syscalls++;
		rc = fdatasync(f->fd);
	} while (rc && errno == EINTR);
	return rc ? -errno : 0;
}

static int64_t run_write(struct leap__real *r, struct leap__io *io,
			 struct leap__real_fd *f)
{
	uint64_t all = leap__iov_bytes(io->iov, io->nr_iov), sofar = 0;
	bool fua = (io->flags & LEAP__IO_FUA) != 0;
	struct iovec iov[IOV_BATCH];
	int64_t rc = 0;
	ssize_t n;
	int nr;

	while (sofar < all) {
		nr = leap__iov_rest(io->iov, io->nr_iov, sofar, iov, IOV_BATCH);
		n = write_once(r, f, iov, nr, io->offset + sofar, fua);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		sofar += (uint64_t)n;
	}
	if (fua && f->no_dsync)
		rc = run_fsync(r, f);
	return rc < 0 ? rc : (int64_t)sofar;
}

static int64_t run_fallocate(struct leap__real *r, struct leap__io *io,
			     struct leap__real_fd *f, int mode)
{
	int rc;

	do {
		r->w.syscalls++;
		rc = fallocate(f->fd, mode | FALLOC_FL_KEEP_SIZE,
			       (off_t)io->offset, (off_t)io->len);
	} while (rc && errno == EINTR);
	return rc ? -errno : 0;
}

static int64_t write_zeros(struct leap__real *r, struct leap__io *io,
			   struct leap__real_fd *f)
{
	static const _Alignas(4096) char zeros[ZERO_BYTES];
	struct iovec iov[16];
	struct leap__io w = { .op = LEAP__IO_WRITE, .iov = iov };
	uint64_t done = 0, left;
	int64_t rc;

	while (done < io->len) {
		w.offset = io->offset + done;
		for (w.nr_iov = 0; w.nr_iov < 16 && done < io->len;
		     w.nr_iov++) {
			left = io->len - done;
			iov[w.nr_iov].iov_base = (void *)(uintptr_t)zeros;
			iov[w.nr_iov].iov_len =
				left < ZERO_BYTES ? left : ZERO_BYTES;
			done += iov[w.nr_iov].iov_len;
		}
		rc = run_write(r, &w, f);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int64_t run_zero(struct leap__real *r, struct leap__io *io,
			struct leap__real_fd *f)
{
	int64_t rc = -EOPNOTSUPP;

	if (io->flags & LEAP__IO_PUNCH)
		rc = run_fallocate(r, io, f, FALLOC_FL_PUNCH_HOLE);
	if (rc == -EOPNOTSUPP)
		rc = run_fallocate(r, io, f, FALLOC_FL_ZERO_RANGE);
	if (rc == -EOPNOTSUPP)
		rc = write_zeros(r, io, f);
	if (!rc && (io->flags & LEAP__IO_FUA))
		rc = run_fsync(r, f);
	return rc;
}

/* Do @io at once; returns its result. */
int64_t leap__file_run(struct leap__real *r, struct leap__io *io)
{
	struct leap__real_fd *f = leap__real_fd(io->wfd);

	switch (io->op) {
	case LEAP__IO_READ:
		return run_read(r, io, f);
	case LEAP__IO_WRITE:
		return run_write(r, io, f);
	case LEAP__IO_FSYNC:
		return run_fsync(r, f);
	case LEAP__IO_DISCARD:
		return run_fallocate(r, io, f, FALLOC_FL_PUNCH_HOLE);
	case LEAP__IO_ZERO:
		return run_zero(r, io, f);
	}
	return -EINVAL;
}

/*
 * A second descriptor of the same open file: the lock is held until both are
 * closed. The socket file of a listener stays with the first.
 */
int leap__real_share(struct leap__world *w, struct leap__wfd *wfd,
		     struct leap__wfd **out)
{
	struct leap__real_fd *from = leap__real_fd(wfd), *f;
	int fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	if (from->kind != LEAP__REAL_FILE) {
		rc = w->ops->adopt(w, fd, out);
		if (rc)
			close(fd);
		return rc;
	}
	rc = leap__real_new_fd(leap__real(w), fd, LEAP__REAL_FILE, &f);
	if (rc) {
		close(fd);
		return rc;
	}
	f->direct = from->direct;
	f->lock = from->lock;
	if (f->lock)
		leap__fetch_add(f->lock, 1u);
	*out = &f->wfd;
	return 0;
}
