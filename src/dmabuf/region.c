/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that devices and peers may touch: one mapping of one fd.
 *
 * Sits under everything that carries payload. Owns the fd, the mapping, the
 * count of references and the list of devices that know the memory. Knows
 * nothing of guests, commands or what the bytes mean. Memory that its owner
 * could truncate is refused, because the library handles no SIGBUS.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <leapio/dmabuf.h>

#include "dmabuf/region.h"
#include "util/atomic.h"
#include "util/err.h"
#include "util/opts.h"

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#endif

#define HUGE_BYTES	(2u << 20)
#define REGISTRARS_MAX	8
#define BYTES_MAX	(UINT64_C(1) << 46)

struct registration {
	/* Published last, taken away first: see leap_dmabuf_key. */
	struct leap_registrar *reg;
	uint64_t key;
	uint32_t count;
};

struct leap_dmabuf {
	unsigned char *addr;
	uint64_t bytes;
	uint64_t map_bytes;
	uint64_t offset;	/* of addr in fd */
	uint32_t page_bytes;
	uint32_t refs;
	int fd;
	pthread_mutex_t lock;	/* of the registrations' counts, and of: */
	struct registration regs[REGISTRARS_MAX];
	struct leap__list holders;
	struct leap__list recalls;
	uint64_t nr_held;	/* holders so far */
	uint32_t nr_holders;	/* now; read without the lock too */
};

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Take @fd over; on failure it stays the caller's. */
static int map(int fd, uint64_t offset, uint64_t bytes, uint32_t page_bytes,
	       int prot, struct leap_dmabuf **out)
{
	struct leap_dmabuf *buf = calloc(1, sizeof(*buf));
	int err;

	if (!buf)
		return -ENOMEM;
	buf->map_bytes = round_up(bytes, page_bytes);
	buf->addr = mmap(NULL, buf->map_bytes, prot, MAP_SHARED, fd,
			 (off_t)offset);
	if (buf->addr == MAP_FAILED) {
		err = -errno;
		free(buf);
		return err;
	}
	pthread_mutex_init(&buf->lock, NULL);
	leap__list_init(&buf->holders);
	leap__list_init(&buf->recalls);
	buf->offset = offset;
	buf->fd = fd;
	buf->bytes = bytes;
	buf->page_bytes = page_bytes;
	buf->refs = 1;
	*out = buf;
	return 0;
}

/*
 * Huge pages are allocated here and not at the first touch, where an empty pool
 * would be a SIGBUS.
 */
static int create_kind(const char *name, uint64_t bytes, int huge,
		       struct leap_dmabuf **out)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	uint32_t page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
	int fd, err;

	if (huge) {
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
		page_bytes = HUGE_BYTES;
	}
	bytes = round_up(bytes, page_bytes);
	fd = memfd_create(name, flags);
	if (fd < 0)
		return -errno;
	err = ftruncate(fd, (off_t)bytes) ? -errno : 0;
	if (!err && huge && fallocate(fd, 0, 0, (off_t)bytes))
		err = -errno;
	if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		err = -errno;
	if (!err)
		err = map(fd, 0, bytes, page_bytes, PROT_READ | PROT_WRITE,
			  out);
	if (err)
		close(fd);
	return err;
}

int leap_dmabuf_create(const struct leap_dmabuf_opts *opts,
				struct leap_dmabuf **out)
{
	struct leap_dmabuf_opts o;
	const char *name;
	int err;

	err = leap__opts_copy(&o, sizeof(o), opts);
	if (err)
		return err;
	if (!o.bytes || o.bytes > BYTES_MAX)
		return leap__err(-EINVAL,
			"leap_dmabuf_create: bytes %llu is not 1 to 2^46",
			(unsigned long long)o.bytes);
	if (o.huge > LEAP_HUGE_ALWAYS)
		return leap__err(-EINVAL,
			"leap_dmabuf_create: huge %u is not known", o.huge);
	name = o.name ? o.name : "leapio";

	err = -ENOMEM;
	if (o.huge != LEAP_HUGE_NEVER)
		err = create_kind(name, o.bytes, 1, out);
	/* Why huge pages cannot be had differs by kernel; ordinary ones can. */
	if (err && o.huge != LEAP_HUGE_ALWAYS)
		err = create_kind(name, o.bytes, 0, out);
	if (!err)
		return 0;
	if (o.huge == LEAP_HUGE_ALWAYS || err == -ENOSPC || err == -EFBIG)
		err = -ENOMEM;
	return leap__err(err, "leap_dmabuf_create: no %llu bytes of %s pages",
			 (unsigned long long)o.bytes,
			 o.huge == LEAP_HUGE_ALWAYS ? "huge" : "ordinary");
}

uint32_t leap__dmabuf_fd_page_bytes(int fd)
{
	struct statfs fs;

	if (!fstatfs(fd, &fs) && fs.f_type == HUGETLBFS_MAGIC &&
	    fs.f_bsize >= 4096 && fs.f_bsize <= (1 << 30))
		return (uint32_t)fs.f_bsize;
	return (uint32_t)sysconf(_SC_PAGESIZE);
}

static int check_seals(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return leap__err(errno == EBADF ? -EBADF : -EACCES,
			"leap_dmabuf_import: fd %d is not a memory file", fd);
	if (!(seals & F_SEAL_SHRINK))
		return leap__err(-EACCES,
			"leap_dmabuf_import: fd %d lacks F_SEAL_SHRINK", fd);
	return 0;
}

static int import_check(int fd, uint64_t offset, uint64_t bytes,
			uint32_t perm, uint32_t page_bytes)
{
	struct stat st;
	int err = perm & LEAP_PERM_UNSEALED ? 0 : check_seals(fd);

	if (err)
		return err;
	/* After the seal: from here on the size can only grow. */
	if (fstat(fd, &st))
		return leap__err(-errno, "leap_dmabuf_import: fstat failed");
	if (offset % page_bytes)
		return leap__err(-EINVAL,
				 "leap_dmabuf_import: offset %llu is not a "
				 "multiple of %u",
				 (unsigned long long)offset, page_bytes);
	if (!bytes || st.st_size < 0 || offset > (uint64_t)st.st_size ||
	    bytes > (uint64_t)st.st_size - offset)
		return leap__err(-EINVAL,
				 "leap_dmabuf_import: %llu bytes at %llu "
				 "exceed the file's %lld",
				 (unsigned long long)bytes,
				 (unsigned long long)offset,
				 (long long)st.st_size);
	return 0;
}

int leap_dmabuf_import(int fd, uint64_t offset, uint64_t bytes,
				uint32_t perm, struct leap_dmabuf **out)
{
	const uint32_t rw = LEAP_PERM_READ | LEAP_PERM_WRITE;
	uint32_t page_bytes = leap__dmabuf_fd_page_bytes(fd);
	int prot = 0, own, err;

	if (!(perm & rw) || perm & ~(rw | LEAP_PERM_UNSEALED))
		return leap__err(-EINVAL,
			"leap_dmabuf_import: perm %#x is not 1 to 3", perm);
	err = import_check(fd, offset, bytes, perm, page_bytes);
	if (err)
		return err;
	if (perm & LEAP_PERM_READ)
		prot |= PROT_READ;
	if (perm & LEAP_PERM_WRITE)
		prot |= PROT_WRITE;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return leap__err(-errno, "leap_dmabuf_import: cannot dup fd %d",
				 fd);
	err = map(own, offset, bytes, page_bytes, prot, out);
	if (!err)
		return 0;
	close(own);
	if (err == -EPERM)
		err = -EACCES;
	return leap__err(err, "leap_dmabuf_import: cannot map %llu bytes",
			 (unsigned long long)bytes);
}

struct leap_dmabuf *leap_dmabuf_get(struct leap_dmabuf *buf)
{
	leap__fetch_add(&buf->refs, 1u);
	return buf;
}

/* ---- holders ---- */

static void ask_holders(struct leap_dmabuf *buf)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &buf->holders) {
		struct leap__dmabuf_holder *h =
			leap__list_entry(pos, struct leap__dmabuf_holder, link);

		h->wanted(h);
	}
}

void leap__dmabuf_hold(struct leap_dmabuf *buf, struct leap__dmabuf_holder *h)
{
	pthread_mutex_lock(&buf->lock);
	h->nr = ++buf->nr_held;
	leap__list_push_back(&buf->holders, &h->link);
	leap__store_relaxed(&buf->nr_holders, buf->nr_holders + 1);
	pthread_mutex_unlock(&buf->lock);
}

void leap__dmabuf_unhold(struct leap_dmabuf *buf,
			 struct leap__dmabuf_holder *h)
{
	struct leap__list *pos, *tmp, ended;
	uint64_t oldest = UINT64_MAX;

	leap__list_init(&ended);
	pthread_mutex_lock(&buf->lock);
	leap__list_remove(&h->link);
	leap__store_relaxed(&buf->nr_holders, buf->nr_holders - 1);
	if (!leap__list_empty(&buf->holders))
		oldest = leap__list_entry(buf->holders.next,
					  struct leap__dmabuf_holder, link)->nr;
	leap__list_for_each_safe(pos, tmp, &buf->recalls) {
		struct leap__dmabuf_recall *r =
			leap__list_entry(pos, struct leap__dmabuf_recall, link);

		if (oldest <= r->upto)
			continue;
		leap__list_remove(pos);
		leap__list_push_back(&ended, pos);
	}
	pthread_mutex_unlock(&buf->lock);
	while ((pos = leap__list_pop(&ended))) {
		struct leap__dmabuf_recall *r =
			leap__list_entry(pos, struct leap__dmabuf_recall, link);

		r->done(r);
	}
}

void leap__dmabuf_recall(struct leap_dmabuf *buf,
			 struct leap__dmabuf_recall *r)
{
	pthread_mutex_lock(&buf->lock);
	r->upto = buf->nr_held;
	leap__list_init(&r->link);
	if (!leap__list_empty(&buf->holders)) {
		leap__list_push_back(&buf->recalls, &r->link);
		ask_holders(buf);
		r = NULL;
	}
	pthread_mutex_unlock(&buf->lock);
	if (r)
		r->done(r);
}

/*
 * Drop one of several references; nobody but holders may be left. They cannot
 * let go of theirs before they have had the lock, so that the buffer outlives
 * what is done here. True: it was the last.
 */
static bool drop_held(struct leap_dmabuf *buf)
{
	uint32_t left;

	pthread_mutex_lock(&buf->lock);
	left = leap__fetch_add(&buf->refs, (uint32_t)-1) - 1;
	if (left && left == buf->nr_holders)
		ask_holders(buf);
	pthread_mutex_unlock(&buf->lock);
	return !left;
}

static bool drop(struct leap_dmabuf *buf)
{
	if (leap__load_relaxed(&buf->nr_holders))
		return drop_held(buf);
	/* Acquire and release: all use by others is before the unmap. */
	return leap__fetch_add(&buf->refs, (uint32_t)-1) == 1;
}

void leap_dmabuf_put(struct leap_dmabuf *buf)
{
	struct registration *r;

	if (!buf || !drop(buf))
		return;
	for (r = buf->regs; r < buf->regs + REGISTRARS_MAX; r++)
		if (r->reg)
			r->reg->del(r->reg, buf, r->key);
	munmap(buf->addr, buf->map_bytes);
	close(buf->fd);
	pthread_mutex_destroy(&buf->lock);
	free(buf);
}

void *leap_dmabuf_addr(const struct leap_dmabuf *buf)
{
	return buf->addr;
}

uint64_t leap_dmabuf_bytes(const struct leap_dmabuf *buf)
{
	return buf->bytes;
}

uint32_t leap_dmabuf_page_bytes(const struct leap_dmabuf *buf)
{
	return buf->page_bytes;
}

uint64_t leap__dmabuf_offset(const struct leap_dmabuf *buf)
{
	return buf->offset;
}

int leap_dmabuf_fd(const struct leap_dmabuf *buf)
{
	return buf->fd;
}

static struct registration *find(struct leap_dmabuf *buf,
				 const struct leap_registrar *reg)
{
	struct registration *r;

	for (r = buf->regs; r < buf->regs + REGISTRARS_MAX; r++)
		if (r->reg == reg)
			return r;
	return NULL;
}

int leap_dmabuf_register(struct leap_dmabuf *buf,
				  struct leap_registrar *reg)
{
	struct registration *r;
	int err = 0;

	if (!reg || !reg->add || !reg->del)
		return leap__err(-EINVAL,
			"leap_dmabuf_register: registrar without add or del");
	pthread_mutex_lock(&buf->lock);
	r = find(buf, reg);
	if (r) {
		r->count++;
		goto out;
	}
	r = find(buf, NULL);
	if (!r) {
		err = leap__err(-ENOSPC,
			"leap_dmabuf_register: all %d registrars are taken",
			REGISTRARS_MAX);
		goto out;
	}
	err = reg->add(reg, buf, &r->key);
	if (err) {
		err = leap__err(err, "leap_dmabuf_register: %s refused",
				reg->name ? reg->name : "registrar");
		goto out;
	}
	r->count = 1;
	/* Pairs with the load in leap_dmabuf_key: the key is there first. */
	leap__store_release(&r->reg, reg);
out:
	pthread_mutex_unlock(&buf->lock);
	return err;
}

void leap_dmabuf_unregister(struct leap_dmabuf *buf,
				     struct leap_registrar *reg)
{
	struct registration *r;

	if (!reg)
		return;
	pthread_mutex_lock(&buf->lock);
	r = find(buf, reg);
	if (r && !--r->count) {
		leap__store_relaxed(&r->reg, (struct leap_registrar *)NULL);
		reg->del(reg, buf, r->key);
	}
	pthread_mutex_unlock(&buf->lock);
}

int leap_dmabuf_key(const struct leap_dmabuf *buf,
			     const struct leap_registrar *reg, uint64_t *key)
{
	const struct registration *r;

	if (!reg)
		return -ENOENT;
	for (r = buf->regs; r < buf->regs + REGISTRARS_MAX; r++) {
		/* Pairs with the store in leap_dmabuf_register. */
		if (leap__load_acquire(&r->reg) == reg) {
			*key = r->key;
			return 0;
		}
	}
	return -ENOENT;
}
