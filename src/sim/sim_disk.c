/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated disks: a volatile cache over what is durable, sectors that
 * never tear, faults, locks, and writes that land after their process has died.
 *
 * An operation lands (its effect) and is done (its completion) at two moments.
 * What has landed is in data, and in a log of sector versions until it is
 * flushed; a power cut keeps any of a sector's versions.
 */
#include "sim/sim_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MAX 16384u

struct sim_version {
	uint64_t sector;
	uint64_t seq;		/* of the write that landed */
	unsigned char data[SIM_SECTOR];
};

struct sim_disk {
	char name[108];
	uint64_t bytes;		/* what fstat says */
	uint64_t room;		/* of data and durable, whole sectors */
	unsigned char *data;
	unsigned char *durable;
	struct sim_version *log;	/* oldest first */
	size_t nr_log, max_log;
	uint64_t write_seq;
	uint32_t lock_files;	/* open files that share the lock */
	uint32_t lock_inflight;	/* operations begun under it */
	uint32_t fail_what, fail_of_1000, fail_times;
	int fail_err;
	uint32_t min_ns, max_ns;
	struct leap_sim_disk_counts counts;
	struct sim_dio *dios;
	struct sim_disk *next;
};

/* One operation under way. */
struct sim_dio {
	struct sim_event ev;
	struct sim_disk *disk;
	struct leap__io *io;	/* NULL: nobody waits any more */
	struct sim_world *world;
	bool locked;
	bool landed;
	uint8_t op, flags;
	int err;		/* how it will end, when it fails */
	uint64_t offset, len;
	uint64_t flush_seq;
	uint64_t done_ns;	/* from landing to done */
	unsigned char *copy;
	struct sim_dio *next_of_fd, **prev_of_fd;	/* prev NULL: closed */
	struct sim_dio *next, **prev;			/* of the disk */
};

static struct sim_disk *find(struct leap_sim *sim, const char *name)
{
	struct sim_disk *d;

	for (d = sim->disks; d; d = d->next)
		if (!strcmp(d->name, name))
			return d;
	return NULL;
}

uint64_t sim_disk_bytes(const struct sim_disk *d)
{
	return d->bytes;
}

int sim_disk_resize(struct sim_disk *d, uint64_t bytes)
{
	uint64_t room = (bytes + SIM_SECTOR - 1) / SIM_SECTOR * SIM_SECTOR;

	if (room > d->room) {
		d->data = sim_realloc(d->data, room);
		d->durable = sim_realloc(d->durable, room);
		memset(d->data + d->room, 0, room - d->room);
		memset(d->durable + d->room, 0, room - d->room);
		d->room = room;
	}
	d->bytes = bytes;
	return 0;
}

int leap_sim_disk(struct leap_sim *sim, const char *name, uint64_t bytes)
{
	struct sim_disk *d;

	if (find(sim, name))
		return -EEXIST;
	d = sim_alloc(sizeof(*d));
	strncpy(d->name, name, sizeof(d->name) - 1);
	sim_disk_resize(d, bytes);
	d->next = sim->disks;
	sim->disks = d;
	return 0;
}

/* ---- versions ------------------------------------------------------------ */

/* To the medium: all versions up to @seq, oldest first. */
static void flush_to(struct sim_disk *d, uint64_t seq)
{
	size_t i, kept = 0;

	for (i = 0; i < d->nr_log; i++) {
		if (d->log[i].seq > seq) {
			d->log[kept++] = d->log[i];
			continue;
		}
		memcpy(d->durable + d->log[i].sector * SIM_SECTOR,
		       d->log[i].data, SIM_SECTOR);
	}
	d->nr_log = kept;
}

static void log_sector(struct sim_disk *d, uint64_t sector)
{
	struct sim_version *v;

	/* A cache is only so big: the oldest half goes to the medium. */
	if (d->nr_log >= LOG_MAX)
		flush_to(d, d->log[LOG_MAX / 2].seq);
	if (d->nr_log == d->max_log) {
		d->max_log = d->max_log * 2 + 64;
		d->log = sim_realloc(d->log, d->max_log * sizeof(*d->log));
	}
	v = &d->log[d->nr_log++];
	v->sector = sector;
	v->seq = d->write_seq;
	memcpy(v->data, d->data + sector * SIM_SECTOR, SIM_SECTOR);
}

/* A FUA write: nothing older may come back over these sectors. */
static void make_durable(struct sim_disk *d, uint64_t first, uint64_t last)
{
	size_t i, kept = 0;

	for (i = 0; i < d->nr_log; i++)
		if (d->log[i].sector < first || d->log[i].sector > last)
			d->log[kept++] = d->log[i];
	d->nr_log = kept;
	memcpy(d->durable + first * SIM_SECTOR, d->data + first * SIM_SECTOR,
	       (last - first + 1) * SIM_SECTOR);
}

/* @part of 1000: how likely each sector lands; 1000 = all of the write. */
static void land_write(struct leap_sim *sim, struct sim_dio *o, uint32_t part)
{
	struct sim_disk *d = o->disk;
	uint64_t end = o->offset + o->len, at, stop, s;

	if (!o->len)
		return;
	if (end > d->bytes)
		sim_disk_resize(d, end);
	d->write_seq++;
	for (s = o->offset / SIM_SECTOR; s * SIM_SECTOR < end; s++) {
		if (part < 1000 && !sim_chance(sim, part))
			continue;
		at = s * SIM_SECTOR > o->offset ? s * SIM_SECTOR : o->offset;
		stop = (s + 1) * SIM_SECTOR < end ? (s + 1) * SIM_SECTOR : end;
		if (o->copy)
			memcpy(d->data + at, o->copy + (at - o->offset),
			       stop - at);
		else
			memset(d->data + at, 0, stop - at);
		log_sector(d, s);
	}
	if ((o->flags & LEAP__IO_FUA) && part == 1000)
		make_durable(d, o->offset / SIM_SECTOR,
			     (end - 1) / SIM_SECTOR);
}

/* ---- operations ---------------------------------------------------------- */

static bool is_write(const struct sim_dio *o)
{
	return o->op == LEAP__IO_WRITE || o->op == LEAP__IO_ZERO ||
		o->op == LEAP__IO_DISCARD;
}

static void leave_fd(struct sim_dio *o)
{
	if (!o->prev_of_fd)
		return;
	*o->prev_of_fd = o->next_of_fd;
	if (o->next_of_fd)
		o->next_of_fd->prev_of_fd = o->prev_of_fd;
	o->prev_of_fd = NULL;
}

static void dio_free(struct leap_sim *sim, struct sim_dio *o)
{
	sim_unschedule(sim, &o->ev);
	leave_fd(o);
	*o->prev = o->next;
	if (o->next)
		o->next->prev = o->prev;
	o->disk->lock_inflight -= o->locked;
	free(o->copy);
	free(o);
}

static void scatter(struct leap__io *io, const unsigned char *from,
		    uint64_t bytes)
{
	unsigned int i;
	size_t n;

	for (i = 0; i < io->nr_iov && bytes; i++) {
		n = io->iov[i].iov_len < bytes ? io->iov[i].iov_len : bytes;
		memcpy(io->iov[i].iov_base, from, n);
		from += n;
		bytes -= n;
	}
}

static void count(struct leap_sim_disk_counts *c, const struct sim_dio *o)
{
	c->reads += o->op == LEAP__IO_READ;
	c->writes += is_write(o);
	c->fuas += is_write(o) && (o->flags & LEAP__IO_FUA);
	c->flushes += o->op == LEAP__IO_FSYNC;
}

static void dio_done(struct leap_sim *sim, struct sim_event *ev)
{
	struct sim_dio *o = (struct sim_dio *)ev;
	bool moves = o->op == LEAP__IO_READ || o->op == LEAP__IO_WRITE;

	if (!o->err)
		count(&o->disk->counts, o);
	if (o->io) {
		if (o->op == LEAP__IO_READ && !o->err)
			scatter(o->io, o->copy, o->len);
		sim_done(o->world, o->io, o->err ? o->err :
			 moves ? (int64_t)o->len : 0);
	}
	dio_free(sim, o);
}

static void land_read(struct sim_dio *o)
{
	struct sim_disk *d = o->disk;

	if (o->offset >= d->bytes)
		o->len = 0;
	else if (o->len > d->bytes - o->offset)
		o->len = d->bytes - o->offset;
	memcpy(o->copy, d->data + o->offset, o->len);
}

static void dio_land(struct leap_sim *sim, struct sim_event *ev)
{
	struct sim_dio *o = (struct sim_dio *)ev;

	o->landed = true;
	if (o->err) {
		if (is_write(o))
			land_write(sim, o, 500 * leap_sim_below(sim, 2));
	} else if (is_write(o)) {
		land_write(sim, o, 1000);
	} else if (o->op == LEAP__IO_FSYNC) {
		flush_to(o->disk, o->flush_seq);
	} else {
		land_read(o);
	}
	sim_trace(sim, o->op == LEAP__IO_READ ? "read" : is_write(o) ?
		  "write" : "flush", o->offset, o->len, o->copy,
		  o->copy ? o->len : 0);
	sim_schedule(sim, &o->ev, o->done_ns, dio_done);
}

static int fault(struct leap_sim *sim, struct sim_disk *d,
		 const struct sim_dio *o)
{
	uint32_t what = o->op == LEAP__IO_READ ? LEAP_SIM_READS :
		is_write(o) ? LEAP_SIM_WRITES : LEAP_SIM_FLUSHES;

	if (!d->fail_times || !(d->fail_what & what) ||
	    !sim_chance(sim, d->fail_of_1000))
		return 0;
	d->fail_times--;
	return d->fail_err;
}

static uint64_t latency(struct leap_sim *sim, const struct sim_disk *d)
{
	if (d->max_ns)
		return sim_between(sim, d->min_ns, d->max_ns);
	return sim_between(sim, sim->opts.disk_min_ns, sim->opts.disk_max_ns);
}

static void copy_in(struct sim_dio *o, const struct leap__io *io)
{
	unsigned char *to;
	unsigned int i;

	for (o->len = 0, i = 0; i < io->nr_iov; i++)
		o->len += io->iov[i].iov_len;
	o->copy = to = sim_alloc(o->len + 1);
	for (i = 0; i < io->nr_iov && o->op == LEAP__IO_WRITE; i++) {
		memcpy(to, io->iov[i].iov_base, io->iov[i].iov_len);
		to += io->iov[i].iov_len;
	}
}

void sim_disk_submit(struct sim_world *w, struct leap__io *io)
{
	struct sim_fd *f = sim_fd(io->wfd);
	struct sim_disk *d = f->disk;
	struct leap_sim *sim = w->sim;
	struct sim_dio *o;
	uint64_t ns;

	w->w.syscalls++;
	o = sim_alloc(sizeof(*o));
	o->op = io->op;
	o->flags = io->flags;
	if (is_write(o) && !f->writable) {
		free(o);
		sim_done(w, io, -EBADF);
		return;
	}
	o->disk = d;
	o->io = io;
	o->world = w;
	o->offset = io->offset;
	o->len = io->len;
	o->flush_seq = d->write_seq;
	o->locked = f->locked;
	d->lock_inflight += o->locked;
	if (o->op == LEAP__IO_READ || o->op == LEAP__IO_WRITE)
		copy_in(o, io);
	o->err = fault(sim, d, o);
	o->next_of_fd = f->dios;
	o->prev_of_fd = &f->dios;
	if (o->next_of_fd)
		o->next_of_fd->prev_of_fd = &o->next_of_fd;
	f->dios = o;
	o->next = d->dios;
	o->prev = &d->dios;
	if (o->next)
		o->next->prev = &o->next;
	d->dios = o;
	io->priv[2] = (uintptr_t)o;
	ns = latency(sim, d);
	o->done_ns = sim_between(sim, 0, ns / 2);
	sim_schedule(sim, &o->ev, ns - o->done_ns, dio_land);
}

/* It may be too late, as with a real one. */
void sim_disk_cancel(struct sim_world *w, struct leap__io *io)
{
	struct sim_dio *o = (struct sim_dio *)(uintptr_t)io->priv[2];

	if (o->landed || sim_chance(w->sim, 500))
		return;
	dio_free(w->sim, o);
	sim_done(w, io, -ECANCELED);
}

/* ---- files --------------------------------------------------------------- */

int sim_disk_open(struct sim_world *w, const char *path, uint32_t flags,
		  uint64_t create_bytes, struct sim_fd **out)
{
	struct sim_disk *d = find(w->sim, path);
	struct sim_fd *f;

	if (!d && !(flags & LEAP__OPEN_CREATE))
		return -ENOENT;
	if (!d)
		leap_sim_disk(w->sim, path, 0);
	d = find(w->sim, path);
	if ((flags & LEAP__OPEN_LOCK) && (d->lock_files || d->lock_inflight))
		return -EBUSY;
	if ((flags & LEAP__OPEN_CREATE) && !d->bytes)
		sim_disk_resize(d, create_bytes);
	f = sim_fd_new(w, SIM_FILE);
	f->disk = d;
	f->writable = (flags & LEAP__OPEN_WRITE) != 0;
	f->locked = (flags & LEAP__OPEN_LOCK) != 0;
	d->lock_files += f->locked;
	sim_trace(w->sim, "open", f->id, flags, NULL, 0);
	*out = f;
	return 0;
}

struct sim_fd *sim_disk_share(struct sim_world *w, struct sim_fd *from)
{
	struct sim_fd *f = sim_fd_new(w, SIM_FILE);

	f->disk = from->disk;
	f->writable = from->writable;
	f->locked = from->locked;
	f->disk->lock_files += f->locked;
	return f;
}

/*
 * What is under way goes on without anybody waiting; of a process that was
 * killed, some never reaches the disk and some takes its time.
 */
void sim_disk_close(struct sim_fd *f)
{
	struct sim_world *w = sim_fd_world(f);
	struct leap_sim *sim = w->sim;
	struct sim_dio *o;

	while ((o = f->dios)) {
		leave_fd(o);
		if (!w->dead)
			sim_done(w, o->io, -ECANCELED);
		o->io = NULL;
		if (!w->dead || o->landed)
			continue;
		if (sim_chance(sim, 300)) {
			dio_free(sim, o);
		} else if (sim_chance(sim, 300)) {
			sim_unschedule(sim, &o->ev);
			sim_schedule(sim, &o->ev, 10 * latency(sim, o->disk),
				     dio_land);
		}
	}
	f->disk->lock_files -= f->locked;
	f->locked = false;
}

void sim_disk_free(struct leap_sim *sim)
{
	struct sim_disk *d;

	while ((d = sim->disks)) {
		sim->disks = d->next;
		while (d->dios)
			dio_free(sim, d->dios);
		free(d->data);
		free(d->durable);
		free(d->log);
		free(d);
	}
}

/* ---- faults -------------------------------------------------------------- */

void leap_sim_disk_fail(struct leap_sim *sim, const char *name, uint32_t what,
			int err, uint32_t per_1000, uint32_t times)
{
	struct sim_disk *d = find(sim, name);

	if (!d)
		return;
	d->fail_what = what;
	d->fail_err = err;
	d->fail_of_1000 = per_1000;
	d->fail_times = times;
}

void leap_sim_disk_latency(struct leap_sim *sim, const char *name,
			   uint32_t min_ns, uint32_t max_ns)
{
	struct sim_disk *d = find(sim, name);

	if (!d)
		return;
	d->min_ns = min_ns;
	d->max_ns = max_ns;
}

static void cut(struct leap_sim *sim, struct sim_disk *d)
{
	/* From "all was still in the cache" to "all had been written". */
	uint32_t keep = 250 * leap_sim_below(sim, 5);
	struct sim_dio *o;
	size_t i;

	while ((o = d->dios)) {
		if (is_write(o) && !o->landed) {
			o->flags = 0;
			land_write(sim, o, 500 * leap_sim_below(sim, 2));
		}
		if (o->io)
			sim_done(o->world, o->io, -EIO);
		dio_free(sim, o);
	}
	for (i = 0; i < d->nr_log; i++)
		if (sim_chance(sim, keep))
			memcpy(d->durable + d->log[i].sector * SIM_SECTOR,
			       d->log[i].data, SIM_SECTOR);
	d->nr_log = 0;
	memcpy(d->data, d->durable, d->room);
	sim_trace(sim, "cut", keep, d->room, d->data, d->room);
}

void leap_sim_power_cut(struct leap_sim *sim, const char *name)
{
	struct sim_disk *d;

	for (d = sim->disks; d; d = d->next)
		if (!name || !strcmp(d->name, name))
			cut(sim, d);
}

void leap_sim_disk_count(struct leap_sim *sim, const char *name,
			 struct leap_sim_disk_counts *counts)
{
	struct sim_disk *d = find(sim, name);

	memset(counts, 0, sizeof(*counts));
	if (d)
		*counts = d->counts;
}

const void *leap_sim_disk_data(struct leap_sim *sim, const char *name,
			       uint64_t *bytes)
{
	struct sim_disk *d = find(sim, name);

	if (!d)
		return NULL;
	if (bytes)
		*bytes = d->bytes;
	return d->data;
}

bool leap_sim_disk_unlocked(struct leap_sim *sim, const char *name)
{
	struct sim_disk *d = find(sim, name);

	return d && !d->lock_files && !d->lock_inflight;
}
