/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file: a regular file or a block device, through the world of the poll group.
 * A leaf.
 *
 *	file:PATH[direct=auto|on|off,lock=on|off,readonly=on|off,create=SIZE,
 *		  block=512|4096,rescan_ms=N]
 *
 * This half opens, locks and sizes. The file is opened by this process,
 * close-on-exec, and locked with flock (files) or O_EXCL (devices): both are
 * held until the last write in flight of a killed process has landed, so that a
 * successor cannot be overtaken by it. Other machines do not see such locks on
 * 9p, virtiofs or NFS, so there the drive is not LEAP_BDEV_FENCEABLE.
 *
 * Without io_uring the world does each operation by a system call at once: a
 * slow disk then blocks every queue pair of the poll group.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/file/file.h"
#include "util/err.h"

#define SIZE_MAX_BYTES	(UINT64_C(1) << 62)
#define RESCAN_MS	5000

struct file_opts {
	const char *path;
	const char *direct;
	int lock;
	int readonly;
	uint64_t create;
	uint64_t block;		/* 0 = not given */
	uint64_t rescan_ms;	/* 0 = never */
};

static int opts_read(struct leap_bdev *bdev, struct file_opts *o)
{
	int err;

	o->path = leap_bdev_arg(bdev);
	if (!o->path || !*o->path)
		return leap__err(-EINVAL, "file: the path is missing");
	leap_bdev_opt_str(bdev, "direct", "auto", &o->direct);
	if (strcmp(o->direct, "auto") && strcmp(o->direct, "on") &&
	    strcmp(o->direct, "off"))
		return leap__err(-EINVAL,
				 "file: direct \"%s\" is not auto, on or off",
				 o->direct);
	err = leap_bdev_opt_bool(bdev, "readonly", 0, &o->readonly);
	/* Several may read what nobody writes. */
	if (!err)
		err = leap_bdev_opt_bool(bdev, "lock", !o->readonly, &o->lock);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "create", 0, SIZE_MAX_BYTES,
					&o->create);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "block", 0, 4096, &o->block);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "rescan_ms", RESCAN_MS, 86400000,
					&o->rescan_ms);
	if (err)
		return err;
	if (o->block && o->block != 512 && o->block != 4096)
		return leap__err(-EINVAL, "file: block %llu is not 512 or 4096",
				 (unsigned long long)o->block);
	if (o->readonly && o->create)
		return leap__err(-EINVAL, "file: readonly and create exclude "
				 "each other");
	return 0;
}

static int file_open_as(struct leap__file *f, const struct file_opts *o,
			int direct)
{
	uint32_t flags = 0;
	int err;

	if (!o->readonly)
		flags |= LEAP__OPEN_WRITE;
	if (o->create)
		flags |= LEAP__OPEN_CREATE;
	if (o->lock)
		flags |= LEAP__OPEN_LOCK;
	if (direct)
		flags |= LEAP__OPEN_DIRECT;
	err = f->world->ops->open(f->world, o->path, flags, o->create, &f->wfd);
	if (!err)
		return 0;
	f->wfd = NULL;
	if (err == -EBUSY)
		return leap__err(err, "file: %s is locked by another", o->path);
	if (err == -ENOLCK)
		return leap__err(err, "file: locks of %s are only for show",
				 o->path);
	if (err == -EINVAL && !direct)
		return leap__err(err, "file: %s is neither a regular file nor "
				 "a block device", o->path);
	return leap__err(err, "file: cannot open %s: %s", o->path,
			 strerror(-err));
}

/*
 * O_DIRECT goes in units that only the open file can tell, so the first open is
 * a buffered one. Sizes below a unit cannot be had by it.
 */
static int open_best(struct leap__file *f, const struct file_opts *o,
		     struct leap__fstat *st)
{
	struct file_opts again = *o;
	int err = file_open_as(f, o, 0);

	if (err)
		return err;
	err = f->world->ops->fstat(f->wfd, st);
	if (err)
		return leap__err(err, "file: cannot stat %s", o->path);
	f->is_block = st->is_block;
	f->block_bytes = (uint32_t)o->block;
	if (!o->block)
		f->block_bytes = st->is_block && st->block_bytes > 512 ?
				 4096 : 512;
	if (st->is_block && f->block_bytes < st->block_bytes)
		return leap__err(-EINVAL,
			"file: block %u is less than the %u of %s",
			f->block_bytes, st->block_bytes, o->path);
	f->align = 1;
	if (!strcmp(o->direct, "off"))
		return 0;
	if (!st->direct_align || st->direct_align > f->block_bytes) {
		if (strcmp(o->direct, "on"))
			return 0;
		return leap__err(-EINVAL,
			"file: O_DIRECT of %s needs units of %u, block is %u",
			o->path, st->direct_align, f->block_bytes);
	}
	/* The lock is let go for a moment: nothing was done under it yet. */
	f->world->ops->close(f->wfd);
	f->wfd = NULL;
	err = file_open_as(f, &again, 1);
	if (!err) {
		f->align = st->direct_align;
		return 0;
	}
	if (err != -EINVAL || !strcmp(o->direct, "on"))
		return err;
	return file_open_as(f, &again, 0);
}

static uint32_t file_caps(const struct leap__file *f,
			  const struct file_opts *o,
			  const struct leap__fstat *st)
{
	uint32_t caps = LEAP_BDEV_FUA | LEAP_BDEV_FLUSH | LEAP_BDEV_DISCARD |
			LEAP_BDEV_WRITE_ZEROES | LEAP_BDEV_COMPARE;

	if (!f->is_block)
		caps |= LEAP_BDEV_ZERO_DISCARD;
	if (o->readonly)
		caps |= LEAP_BDEV_READONLY;
	if (o->lock && !st->fs_remote)
		caps |= LEAP_BDEV_FENCEABLE | LEAP_BDEV_EXCLUSIVE;
	return caps;
}

/* Take over the size that the file has by now, if it is a usable one. */
static int size_take(struct leap__file *f)
{
	struct leap_bdev_info info = { sizeof(info) };
	struct leap__fstat st;
	int err;

	err = f->world->ops->fstat(f->wfd, &st);
	if (err)
		return err;
	leap_bdev_info(f->bdev, &info);
	if (st.bytes / f->block_bytes)
		leap_bdev_set(f->bdev, f->block_bytes,
			      st.bytes / f->block_bytes, info.caps);
	return 0;
}

static void rescan(struct leap_timer *timer)
{
	struct leap__file *f = (struct leap__file *)timer;

	size_take(f);
	leap_timer_start(leap_bdev_pollgroup(f->bdev), timer, f->rescan_ns);
}

static void file_close(struct leap_bdev *bdev)
{
	struct leap__file *f = leap_bdev_priv(bdev);

	leap_timer_stop(leap_bdev_pollgroup(bdev), &f->rescan);
	if (f->wfd)
		f->world->ops->close(f->wfd);
	f->wfd = NULL;
	free(f->path);
	f->path = NULL;
}

/* Reads of a file that is only read outlive the process too. */
static int file_lock_path(const struct leap_bdev *bdev, char *path, size_t max)
{
	const struct leap__file *f = leap_bdev_priv(bdev);
	size_t len;

	if (!f->path)
		return -ENOLCK;
	len = strlen(f->path);
	if (len >= max)
		return -ENAMETOOLONG;
	memcpy(path, f->path, len + 1);
	return (int)len;
}

static int file_open(struct leap_bdev *bdev)
{
	struct leap__file *f = leap_bdev_priv(bdev);
	struct leap__fstat st;
	struct file_opts o;
	int err;

	err = opts_read(bdev, &o);
	if (err)
		return err;
	f->bdev = bdev;
	f->world = leap__pollgroup_world(leap_bdev_pollgroup(bdev));
	f->readonly = (uint32_t)o.readonly;
	err = open_best(f, &o, &st);
	if (!err && f->world->ops->fstat(f->wfd, &st))
		err = leap__err(-EIO, "file: cannot stat %s", o.path);
	if (!err && st.bytes < f->block_bytes)
		err = leap__err(-EINVAL,
			"file: %s of %llu bytes is less than a block of %u",
			o.path, (unsigned long long)st.bytes, f->block_bytes);
	if (err) {
		file_close(bdev);
		return err;
	}
	leap_bdev_set(bdev, f->block_bytes, st.bytes / f->block_bytes,
		      file_caps(f, &o, &st));
	/* The simulator's files have none; no agent is in its worlds. */
	if (o.lock && !st.fs_remote)
		f->path = realpath(o.path, NULL);
	f->rescan.run = rescan;
	f->rescan_ns = o.rescan_ms * 1000000;
	if (f->rescan_ns)
		leap_timer_start(leap_bdev_pollgroup(bdev), &f->rescan,
				 f->rescan_ns);
	return 0;
}

static int file_resize(struct leap_bdev *bdev, uint64_t bytes)
{
	struct leap__file *f = leap_bdev_priv(bdev);
	int err;

	if (f->is_block || f->readonly)
		return leap__err(-EOPNOTSUPP, "leap_bdev_resize: file is %s",
				 f->is_block ? "a device" : "read-only");
	err = f->world->ops->truncate(f->wfd, bytes);
	if (!err)
		err = size_take(f);
	if (err == -EFBIG)
		err = -ENOSPC;
	if (err)
		return leap__err(err, "leap_bdev_resize: %llu bytes: %s",
				 (unsigned long long)bytes,
				 strerror(-err));
	return 0;
}

static void file_chan_close(struct leap_chan *chan)
{
	struct leap__file_chan *fc = leap_chan_priv(chan);

	leap_bufpool_destroy(fc->bounce);
	if (fc->wfd && fc->wfd != fc->file->wfd)
		fc->world->ops->close(fc->wfd);
}

static int file_chan_open(struct leap_chan *chan)
{
	struct leap_bufpool_opts pool = LEAP_BUFPOOL_OPTS_INIT;
	struct leap__file_chan *fc = leap_chan_priv(chan);
	int err;

	fc->file = leap_bdev_priv(leap_chan_bdev(chan));
	fc->world = leap__pollgroup_world(leap_chan_pollgroup(chan));
	fc->tail = &fc->waiting;
	pool.elem_bytes = LEAP__FILE_BOUNCE_BYTES;
	pool.nr = LEAP__FILE_BOUNCE_NR;
	pool.align_bytes = 4096;
	pool.huge = LEAP_HUGE_NEVER;
	err = leap_bufpool_create(&pool, &fc->bounce);
	if (err)
		return err;
	if (fc->world == fc->file->world) {
		fc->wfd = fc->file->wfd;
		return 0;
	}
	if (fc->world->ops->kind != fc->file->world->ops->kind)
		err = leap__err(-EINVAL,
			"leap_chan_open: file: world %s, opened in world %s",
			fc->world->ops->name, fc->file->world->ops->name);
	else
		err = fc->world->ops->share(fc->world, fc->file->wfd,
					    &fc->wfd);
	if (err)
		file_chan_close(chan);
	return err;
}

const struct leap_bdev_ops leap__file_ops = {
	.size = sizeof(struct leap_bdev_ops),
	.name = "file",
	.help = "file:PATH           a regular file or a block device\n"
		"direct=auto|on|off  O_DIRECT; auto: where block allows it\n"
		"lock=on|off         keep others away; off when readonly\n"
		"readonly=on|off     refuse writes\n"
		"create=SIZE         make it, or give an empty file its size\n"
		"block=512|4096      block size; 512, or what a device has\n"
		"rescan_ms=N         look for a new size; 5000, 0 = never",
	.bdev_bytes = sizeof(struct leap__file),
	.chan_bytes = sizeof(struct leap__file_chan),
	.bio_bytes = sizeof(struct leap__file_bio),
	.open = file_open,
	.close = file_close,
	.chan_open = file_chan_open,
	.chan_close = file_chan_close,
	.submit = leap__file_submit,
	.resize = file_resize,
	.lock_path = file_lock_path,
};
