/* SPDX-License-Identifier: BSD-3-Clause */
/* hook.h - the parts of femu-hook: what is wrong, a command line, processes */
#ifndef FEMU_HOOK_H
#define FEMU_HOOK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_PROBLEMS 16
#define MAX_DRIVES 16
#define MAX_NS 16
#define MAX_ARGS 512

/* Something that keeps the guest from its drives, or may. */
struct problem {
	const char *code;	/* stays the same over releases */
	int fatal;
	char text[640];
};

struct report {
	struct problem problems[MAX_PROBLEMS];
	unsigned int nr;
	unsigned int nr_fatal;
};

__attribute__((format(printf, 4, 5)))
void report_add(struct report *r, const char *code, int fatal,
		const char *fmt, ...);

/* A list of arguments that grows; texts are owned. */
struct args {
	char *v[MAX_ARGS + 1];	/* NULL after the last */
	unsigned int nr;
	int failed;		/* 1: no memory, or too many */
};

__attribute__((format(printf, 2, 3)))
void args_add(struct args *a, const char *fmt, ...);
void args_free(struct args *a);

/* As a shell reads it again. Owned by the caller, NULL: no memory. */
char *args_quoted(const struct args *a);

/* ---- ram.c: what the user's own arguments say about guest memory */

/*
 * 1: they say nothing, so that the caller is to give memory; 0: they give
 * memory that others can map; -1: they do not, which is in @r.
 */
int ram_look(char *const *argv, int argc, struct report *r);

/* ---- qemu.c: the program itself */
struct qemu {
	const char *program;
	char name[128];		/* as "QEMU 11.1.3", for messages */
	unsigned int major, minor, micro;
	int found;		/* it runs and says its version */
	int vfio_user;		/* it has the device */
};

void qemu_look(struct qemu *q, struct report *r);

/* ---- serve.c: who serves the drives */
struct serve {
	const char *agent;	/* socket of leap-hostd for runtimes, or NULL */
	const char *hostd;	/* programs */
	const char *socp;
	const char *nqn;
	const char *drives[MAX_DRIVES];	/* sockets */
	unsigned int nr_drives;
	const char *stacks[MAX_NS];	/* namespaces, from 1 */
	unsigned int nr_stacks;
	const char *control;	/* control socket of socp, or NULL */
	const char *irq;	/* of drives that are started, or NULL */
	pid_t started[2];	/* leap-hostd and socp; 0: not by us */
};

/* Is there a process that accepts connections at @path? */
int socket_answers(const char *path);

/* Find out who serves, start what is asked for and missing. 0 or -1, in @r. */
int serve_start(struct serve *s, struct report *r);

/* Without starting anything. */
void serve_look(const struct serve *s, struct report *r);

/* End what serve_start() started. */
void serve_stop(struct serve *s);

#endif
