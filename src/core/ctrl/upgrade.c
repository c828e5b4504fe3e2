/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The drives of a target in one file of memory, for the program that replaces
 * this one by execve, and out of it again. Of each drive: the URL of its
 * listener, what that and the controller have saved, the namespaces that were
 * shown, and the numbers of descriptors, which stay what they are.
 *
 * Knows nothing of what is saved; the two programs run on one machine.
 */
#define _GNU_SOURCE
#include "core/ctrl/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/ctrl/agent_priv.h"

#define MAGIC	0x3147505550414c45ull
#define T_NS	LEAP__SAVED_TARGET
#define BYTES_MAX (1u << 30)

struct entry {
	uint64_t magic, bytes;
	uint32_t url, nr_fds;	/* bytes, the NUL among them; fds follow */
};

/* ---- save ---- */

static int put_namespaces(const struct leap_subsystem *ss,
			  struct leap__saved *s)
{
	uint32_t nsid;
	int err = 0;

	for (nsid = leap_ns_next(ss, 0); nsid && !err;
	     nsid = leap_ns_next(ss, nsid)) {
		const struct leap__ns *ns =
			leap__ns_active((struct leap_subsystem *)ss, nsid);

		if (ns)
			err = leap__saved_put(s, T_NS, &ns->desc,
					      sizeof(ns->desc));
	}
	return err;
}

static int write_all(int fd, const void *p, size_t n)
{
	const uint8_t *at = p;
	ssize_t done;

	while (n) {
		done = write(fd, at, n);
		if (done <= 0)
			return done ? -errno : -EIO;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

static int write_one(int fd, const struct leap__kept *k)
{
	struct entry e = {
		MAGIC, k->saved.len, (uint32_t)strlen(k->url) + 1,
		k->saved.nr_fds,
	};
	int err = write_all(fd, &e, sizeof(e));

	if (!err)
		err = write_all(fd, k->url, e.url);
	if (!err)
		err = write_all(fd, k->saved.fds,
				e.nr_fds * sizeof(*k->saved.fds));
	return err ? err : write_all(fd, k->saved.bytes, k->saved.len);
}

static int save_one(struct leap_listener *l, struct leap__list *list)
{
	struct leap__kept *k;
	int err;

	if (!l->keep)
		return 0;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	err = l->keep->save(l, &k->saved);
	if (!err && l->ss)
		err = put_namespaces(l->ss, &k->saved);
	if (!err) {
		k->url = strdup(l->url);
		err = k->url ? 0 : -ENOMEM;
	}
	if (err)
		leap__kept_free(k);
	else
		leap__list_push_back(list, &k->link);
	return err == -ENOENT ? 0 : err;
}

/* Exec keeps them, or does not any more. */
static void inherit(const struct leap__saved *s, int yes)
{
	uint32_t i;

	for (i = 0; i < s->nr_fds; i++)
		fcntl(s->fds[i], F_SETFD, yes ? 0 : FD_CLOEXEC);
}

static void drop_list(struct leap__list *list)
{
	struct leap__list *item;

	while ((item = leap__list_pop(list)))
		leap__kept_free(leap__list_entry(item, struct leap__kept,
						 link));
}

/* The descriptors are the file's from now on. */
static void give_fds(struct leap__list *list)
{
	struct leap__list *pos;

	leap__list_for_each(pos, list) {
		struct leap__kept *k =
			leap__list_entry(pos, struct leap__kept, link);

		inherit(&k->saved, 1);
		k->saved.nr_fds = 0;
	}
}

int leap_target_save(struct leap_target *t, int *out)
{
	struct leap__list list, *pos;
	int fd, err = 0, rc;

	if (t->agent && t->agent->active)
		return leap__err(-EBUSY, "leap_target_save: a runtime serves");
	leap__list_init(&list);
	/* All of them, so that all come to rest together. */
	leap__list_for_each(pos, &t->listeners) {
		rc = save_one(leap__list_entry(pos, struct leap_listener,
					       link), &list);
		if (rc && (!err || err == -EAGAIN))
			err = rc;
	}
	fd = err ? -1 : memfd_create("leapio-drives", 0);
	if (!err && fd < 0)
		err = -errno;
	if (!err)
		leap__list_for_each(pos, &list)
			if (!err)
				err = write_one(fd, leap__list_entry(pos,
						struct leap__kept, link));
	if (!err)
		give_fds(&list);
	else if (fd >= 0)
		close(fd);
	drop_list(&list);
	if (!err)
		*out = fd;
	return err ? leap__err(err, "leap_target_save: %s", err == -EAGAIN ?
			       "a drive is busy" : strerror(-err)) : 0;
}

/* ---- restore ---- */

static int read_one(struct leap__list *list, const uint8_t **at, size_t *left)
{
	struct leap__kept *k;
	struct entry e;

	if (*left < sizeof(e))
		return -EPROTO;
	memcpy(&e, *at, sizeof(e));
	*at += sizeof(e);
	*left -= sizeof(e);
	if (e.magic != MAGIC || !e.url || e.url > *left ||
	    e.nr_fds > (*left - e.url) / sizeof(int) ||
	    e.bytes > *left - e.url - e.nr_fds * sizeof(int) ||
	    (*at)[e.url - 1])
		return -EPROTO;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	leap__list_push_back(list, &k->link);
	k->url = strdup((const char *)*at);
	k->saved.fds = calloc(e.nr_fds + 1, sizeof(int));
	k->saved.bytes = malloc(e.bytes + 1);
	if (!k->url || !k->saved.fds || !k->saved.bytes)
		return -ENOMEM;
	*at += e.url;
	memcpy(k->saved.fds, *at, e.nr_fds * sizeof(int));
	*at += e.nr_fds * sizeof(int);
	memcpy(k->saved.bytes, *at, e.bytes);
	*at += e.bytes;
	*left -= e.url + e.nr_fds * sizeof(int) + e.bytes;
	k->saved.nr_fds = e.nr_fds;
	k->saved.len = e.bytes;
	inherit(&k->saved, 0);
	return 0;
}

/* Closes @fd. */
static int read_all(struct leap__list *list, int fd)
{
	const uint8_t *at;
	struct stat st;
	size_t left;
	void *map;
	int err = 0;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > BYTES_MAX) {
		close(fd);
		return -EPROTO;
	}
	left = (size_t)st.st_size;
	map = left ? mmap(NULL, left, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	close(fd);
	if (map == MAP_FAILED)
		return -errno;
	at = map;
	while (left && !err)
		err = read_one(list, &at, &left);
	if (map)
		munmap(map, (size_t)st.st_size);
	return err;
}

void leap_target_carry_on(struct leap_target *t, int fd)
{
	struct leap__list list, *pos;

	leap__list_init(&list);
	if (fd >= 0)
		read_all(&list, fd);
	drop_list(&list);
	leap__list_for_each(pos, &t->listeners) {
		struct leap_listener *l =
			leap__list_entry(pos, struct leap_listener, link);

		if (l->keep)
			l->keep->carry_on(l);
	}
}

int leap_target_restore(struct leap_target *t, int fd)
{
	int err;

	leap__kept_drop(t);
	err = fd < 0 ? 0 : read_all(&t->kept, fd);
	return err ? leap__err(err, "leap_target_restore: %s", err == -EPROTO ?
			       "not a file of leap_target_save" :
			       strerror(-err)) : 0;
}

void leap__kept_free(struct leap__kept *k)
{
	if (!k)
		return;
	leap__saved_free(&k->saved);
	free(k->url);
	free(k);
}

void leap__kept_drop(struct leap_target *t)
{
	drop_list(&t->kept);
}

static void show_namespaces(struct leap_subsystem *ss,
			    const struct leap__saved *s)
{
	struct leap_ns_desc d;
	const uint8_t *p;
	uint32_t n, len;

	for (n = 0; (p = leap__saved_find(s, T_NS, n, &len)); n++) {
		if (len != sizeof(d))
			continue;
		memcpy(&d, p, sizeof(d));
		/* What is wrong with one its runtime will say again. */
		leap__ns_show(ss, &d, 0);
	}
}

struct leap__kept *leap__kept_take(struct leap_target *t,
				   struct leap_listener *l)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &t->kept) {
		struct leap__kept *k =
			leap__list_entry(pos, struct leap__kept, link);

		if (strcmp(k->url, l->url))
			continue;
		leap__list_remove(&k->link);
		if (l->ss && t->agent)
			show_namespaces(l->ss, &k->saved);
		return k;
	}
	return NULL;
}
