/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ram.c - can others map the guest memory that QEMU's arguments give?
 *
 * Reads only the options that decide that: -m, -mem-path, -object of a memory
 * backend, and -machine and -numa, which say which backend becomes memory. What
 * QEMU itself would refuse is left to it.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "hook.h"

#define MAX_BACKENDS 32
#define TEXT_MAX 128

struct backend {
	char id[TEXT_MAX];
	char type[TEXT_MAX];
	int shared;
	int used;
};

struct ram {
	struct backend backends[MAX_BACKENDS];
	unsigned int nr;
	char users[MAX_BACKENDS][TEXT_MAX];	/* ids that became memory */
	unsigned int nr_users;
	const char *m;		/* of -m */
	const char *path;	/* of -mem-path */
};

/* @key's value in "first,key=value,..." where ",," is a comma.
 * 1: it is there. */
static int list_get(const char *list, const char *key, char *out, size_t max)
{
	size_t len = strlen(key), n = 0;

	while (*list) {
		int hit = !strncmp(list, key, len) && list[len] == '=';

		if (hit)
			list += len + 1;
		for (; *list; list++) {
			if (*list == ',' && *++list != ',')
				break;
			if (hit && n + 1 < max)
				out[n++] = *list;
		}
		if (hit) {
			out[n] = '\0';
			return 1;
		}
	}
	return 0;
}

static int is_on(const char *text)
{
	return !strcmp(text, "on") || !strcmp(text, "yes") ||
	       !strcmp(text, "true") || !strcmp(text, "y");
}

/* Kinds that are shared unless told otherwise. */
static int shared_by_default(const char *type)
{
	return !strcmp(type, "memory-backend-memfd") ||
	       !strcmp(type, "memory-backend-shm");
}

static void add_backend(struct ram *ram, const char *type, const char *id,
			int shared)
{
	struct backend *b;

	if (strncmp(type, "memory-backend-", 15) || ram->nr == MAX_BACKENDS)
		return;
	b = &ram->backends[ram->nr++];
	snprintf(b->id, sizeof(b->id), "%s", id);
	snprintf(b->type, sizeof(b->type), "%s", type);
	b->shared = shared >= 0 ? shared : shared_by_default(type);
}

static void object_json(struct ram *ram, const char *arg)
{
	json_t *o = json_loads(arg, 0, NULL);
	const char *type = json_string_value(json_object_get(o, "qom-type"));
	const char *id = json_string_value(json_object_get(o, "id"));
	const json_t *share = json_object_get(o, "share");

	if (type && id)
		add_backend(ram, type, id, share ? json_is_true(share) : -1);
	json_decref(o);
}

static void object(struct ram *ram, const char *arg)
{
	char type[TEXT_MAX] = "", id[TEXT_MAX] = "", share[TEXT_MAX];
	size_t len = strcspn(arg, ",");

	if (*arg == '{') {
		object_json(ram, arg);
		return;
	}
	if (!list_get(arg, "qom-type", type, sizeof(type)) &&
	    len < sizeof(type)) {
		memcpy(type, arg, len);
		type[len] = '\0';
	}
	list_get(arg, "id", id, sizeof(id));
	add_backend(ram, type, id, list_get(arg, "share", share,
					    sizeof(share)) ?
		    is_on(share) : -1);
}

/* -machine and -numa name backends. */
static void user(struct ram *ram, const char *arg, const char *key)
{
	char id[TEXT_MAX];

	if (ram->nr_users < MAX_BACKENDS &&
	    list_get(arg, key, id, sizeof(id)))
		strcpy(ram->users[ram->nr_users++], id);
}

static void read_args(struct ram *ram, char *const *argv, int argc)
{
	const char *name, *arg;
	int i;

	for (i = 0; i + 1 < argc; i++) {
		if (*argv[i] != '-')
			continue;
		name = argv[i] + (argv[i][1] == '-' ? 2 : 1);
		arg = argv[i + 1];
		if (!strcmp(name, "m"))
			ram->m = arg;
		else if (!strcmp(name, "mem-path"))
			ram->path = arg;
		else if (!strcmp(name, "object"))
			object(ram, arg);
		else if (!strcmp(name, "machine") || !strcmp(name, "M"))
			user(ram, arg, "memory-backend");
		else if (!strcmp(name, "numa"))
			user(ram, arg, "memdev");
		else
			continue;
		i++;
	}
}

#define WHY "the server of a drive has to map guest memory, and "

static int check_user(struct ram *ram, const char *id, struct report *r)
{
	unsigned int i;

	for (i = 0; i < ram->nr; i++) {
		struct backend *b = &ram->backends[i];

		if (strcmp(b->id, id))
			continue;
		if (b->shared)
			return 0;
		report_add(r, "ram-private", 1, WHY "-object %s,id=%s is "
			   "private to QEMU: give it share=on", b->type, id);
		return -1;
	}
	report_add(r, "ram-no-backend", 1, "guest memory is to be \"%s\", but "
		   "no -object memory-backend-... has that id", id);
	return -1;
}

int ram_look(char *const *argv, int argc, struct report *r)
{
	struct ram ram = { .nr = 0 };
	int rc = 0;
	unsigned int i;

	read_args(&ram, argv, argc);
	for (i = 0; i < ram.nr_users; i++)
		if (check_user(&ram, ram.users[i], r))
			rc = -1;
	if (ram.nr_users)
		return rc;
	if (ram.nr) {
		report_add(r, "ram-unused", 1, "-object %s,id=%s is not the "
			   "guest's memory yet: add -machine memory-backend=%s",
			   ram.backends[0].type, ram.backends[0].id,
			   ram.backends[0].id);
		return -1;
	}
	if (!ram.m && !ram.path)
		return 1;
	report_add(r, "ram-private", 1, WHY "-m%s%s alone makes memory that is "
		   "private to QEMU: leave it out and give --mem %s, or add "
		   "-object memory-backend-memfd,id=ram,size=%s,share=on "
		   "-machine memory-backend=ram", ram.m ? " " : "em-path ",
		   ram.m ? ram.m : ram.path, ram.m ? ram.m : "SIZE",
		   ram.m ? ram.m : "SIZE");
	return -1;
}
