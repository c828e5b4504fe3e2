/* SPDX-License-Identifier: BSD-3-Clause */
/* runtime.h - the target that socp serves, and its poll groups */
#ifndef SOCP_RUNTIME_H
#define SOCP_RUNTIME_H

#include <pthread.h>
#include <semaphore.h>

#include <leapio/agent.h>
#include <leapio/pollgroup.h>
#include <leapio/target.h>

#include "config.h"

/* A poll group on a thread of its own. */
struct group {
	pthread_t thread;
	sem_t ready;
	struct leap_pollgroup_opts opts;
	struct leap_pollgroup *pg;	/* set when ready */
	int err;
	char error[256];
	int quit;			/* owner's */
	struct leap_msg stop;
	struct leap_target *target;
};

struct runtime {
	struct leap_pollgroup *home;
	struct leap_target *target;
	struct leap_runtime *lent;	/* of --agent, lend.c's; NULL */
	struct group *groups;
	uint32_t nr_groups;
	struct leap_pollgroup_opts pg_opts;
	json_t *subsystems;	/* NQN -> what it was made with */
	uint64_t start_ns;
	int pending;		/* namespaces that are being added */
	int failed;		/* errno of one that could not be */
	int gone;		/* the target has been destroyed */
};

/*
 * Make what the configuration says, all or nothing: on failure everything that
 * was made is gone again and c->error says where and why. With @check nothing
 * is listened on. 0 or -errno.
 */
int runtime_start(struct runtime *rt, struct config *c, int check);

/* After the target is gone: stop the threads and free the rest. */
void runtime_stop(struct runtime *rt);

/* Destroy the target and poll until it is gone. */
void runtime_destroy_target(struct runtime *rt);

/*
 * Add one subsystem without its namespaces, or one namespace. -errno leaves no
 * trace; leap_last_error() has the words.
 */
int runtime_add_subsystem(struct runtime *rt,
			  const struct config_subsystem *s,
			  struct leap_subsystem **out);
int runtime_add_ns(struct runtime *rt, struct leap_subsystem *ss,
		   const struct config_ns *ns,
		   void (*added)(int err, void *arg), void *arg);
/* On failure *@why says so: borrowed. */
int runtime_add_listener(struct runtime *rt, const struct config_listener *l,
			 struct leap_listener **out, const char **why);

#endif
