/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fence of a process on this machine. It is killed through its pidfd, so
 * that no other process can be meant; then its exit is awaited, and then the
 * locks of the files and devices that it had open, because the kernel may still
 * be working on its last reads and writes. flock and O_EXCL are held until the
 * last of those has landed.
 *
 * Knows nothing of links and queues. Descriptors here are ours for a moment
 * only: a lock that we held would be in the way of the successor.
 */
#define _GNU_SOURCE	/* O_PATH */
#include "core/io/fence.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424	/* on every architecture */
#endif

#define LOOK_NS		1000000u	/* between looks */
#define MAX_LEAVES	4096u

/* A path names the file to the runtime and us. What is waited for is the file
 * itself: until then it may have lost its name, or given it to another. */
struct leaf {
	struct leap__list link;
	uint32_t users;		/* stacks may share a file, read-only */
	int fd;			/* O_PATH: opens nothing, locks nothing */
	char path[];
};

void leap__fence_init(struct leap__fence *f, struct leap_pollgroup *pg)
{
	memset(f, 0, sizeof(*f));
	f->pg = pg;
	f->pidfd = -1;
	leap__list_init(&f->leaves);
}

int leap__fence_process(struct leap__fence *f, int64_t pid, int pidfd)
{
	f->pid = pid;
	f->pidfd = pidfd;
	if (pid == getpid())
		return -EPERM;
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) &&
	    errno != ESRCH)
		return -errno;
	return 0;
}

static struct leaf *find(struct leap__fence *f, const char *path)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &f->leaves) {
		struct leaf *l = leap__list_entry(pos, struct leaf, link);

		if (!strcmp(l->path, path))
			return l;
	}
	return NULL;
}

static void forget(struct leap__fence *f, struct leaf *l)
{
	leap__list_remove(&l->link);
	f->nr_leaves--;
	close(l->fd);
	free(l);
}

/* The file behind @at, which is O_PATH, anew. */
static int reopen(int at, int flags)
{
	char path[sizeof("/proc/self/fd/") + 12];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | flags);
}

/* A regular file or a block device; of others no lock says anything. */
static int has_lock(int at, int *is_block)
{
	struct stat st;

	*is_block = 0;
	if (fstat(at, &st))
		return 0;
	*is_block = S_ISBLK(st.st_mode);
	return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
}

/* O_PATH; what cannot be looked at in the end is refused now. */
static int open_leaf(const char *path)
{
	int is_block, fd, at = open(path, O_PATH | O_CLOEXEC);

	if (at < 0)
		return -errno;
	if (!has_lock(at, &is_block))
		return at;
	fd = reopen(at, 0);
	if (fd < 0) {
		fd = -errno;
		close(at);
		return fd;
	}
	close(fd);
	return at;
}

int leap__fence_leaf(struct leap__fence *f, const char *path, int released)
{
	struct leaf *l = find(f, path);
	int err;

	if (released) {
		if (l && !--l->users)
			forget(f, l);
		return 0;
	}
	if (l) {
		l->users++;
		return 0;
	}
	if (path[0] != '/')
		return -EINVAL;
	if (f->nr_leaves == MAX_LEAVES)
		return -ENOSPC;
	l = calloc(1, sizeof(*l) + strlen(path) + 1);
	if (!l)
		return -ENOMEM;
	l->fd = open_leaf(path);
	if (l->fd < 0) {
		err = l->fd;
		free(l);
		return err;
	}
	strcpy(l->path, path);
	l->users = 1;
	leap__list_push_back(&f->leaves, &l->link);
	f->nr_leaves++;
	return 0;
}

/* Could we have the lock? Then whoever had it is done. */
static int is_free(const struct leaf *l)
{
	int fd, is_block, rc;

	if (!has_lock(l->fd, &is_block))
		return 1;
	fd = reopen(l->fd, is_block ? O_EXCL : 0);
	/* A disk that has been taken out gets no more writes. */
	if (fd < 0)
		return errno == ENXIO || errno == ENODEV;
	rc = is_block || !flock(fd, LOCK_EX | LOCK_NB);
	close(fd);
	return rc;
}

static int has_exited(struct leap__fence *f)
{
	struct pollfd p = { f->pidfd, POLLIN, 0 };

	return f->exited || f->pidfd < 0 ||
	       (poll(&p, 1, 0) == 1 && (p.revents & POLLIN));
}

static void kill_it(struct leap__fence *f)
{
	if (f->killed || f->pidfd < 0 ||
	    leap_pollgroup_now_ns(f->pg) < f->kill_ns)
		return;
	f->killed = 1;
	syscall(SYS_pidfd_send_signal, f->pidfd, SIGKILL, NULL, 0);
}

static void look(struct leap_timer *timer)
{
	struct leap__fence *f =
		leap__list_entry(timer, struct leap__fence, timer);
	struct leap__list *pos, *tmp;

	f->exited = (uint32_t)has_exited(f);
	if (f->exited)
		leap__list_for_each_safe(pos, tmp, &f->leaves) {
			struct leaf *l =
				leap__list_entry(pos, struct leaf, link);

			if (!is_free(l))
				break;
			forget(f, l);
		}
	if (f->exited && leap__list_empty(&f->leaves)) {
		f->running = 0;
		f->done(f);
		return;
	}
	kill_it(f);
	leap_timer_start(f->pg, &f->timer, LOOK_NS);
}

void leap__fence_start(struct leap__fence *f, uint64_t grace_ns,
		       void (*done)(struct leap__fence *f))
{
	if (f->running)
		return;
	f->running = 1;
	f->done = done;
	f->kill_ns = leap_pollgroup_now_ns(f->pg) + grace_ns;
	kill_it(f);
	f->timer.run = look;
	leap_timer_start(f->pg, &f->timer, 0);
}

void leap__fence_stop(struct leap__fence *f)
{
	leap_timer_stop(f->pg, &f->timer);
	f->running = 0;
}

void leap__fence_fini(struct leap__fence *f)
{
	leap__fence_stop(f);
	while (!leap__list_empty(&f->leaves))
		forget(f, leap__list_entry(f->leaves.next, struct leaf, link));
	if (f->pidfd >= 0)
		close(f->pidfd);
	f->pidfd = -1;
}
