/* SPDX-License-Identifier: BSD-3-Clause */
/* hostd.h - what the files of leap-hostd share */
#ifndef HOSTD_HOSTD_H
#define HOSTD_HOSTD_H

#include <leapio/agent.h>
#include <leapio/pollgroup.h>
#include <leapio/target.h>
#include <leapio/upgrade.h>

#include "examples/common/control.h"
#include "examples/common/jsonrpc.h"
#include "examples/common/loop.h"
#include "examples/socp/config.h"

struct hostd {
	struct watch signals;		/* first */
	struct loop loop;
	struct config config;
	struct control control;
	struct leap_pollgroup *home;
	struct leap_target *target;	/* NULL: gone */
	struct leap_target *own;	/* relay.c's drives; NULL: none */
	struct relayed *relayed;
	struct leap_agent *agent;
	uint64_t start_ns;
	int stopping;
	/* The program that follows this one. */
	char **argv;
	char self[4096];	/* the file that was started */
	int upgrading;
	int restore_fd;		/* from the one before; -1 = none */
	int trial;		/* only to see whether it would start */
	unsigned int upgrades;
	/* lend.c's */
	struct lending *lendings;
	unsigned int nr_lending;
};

/* lend.c */

/* 0, or -errno and config.error. */
int hostd_lend_start(struct hostd *h);
/* Then hostd_lend_stopped, perhaps from within. */
void hostd_lend_stop(struct hostd *h);
json_t *hostd_lend_json(const struct hostd *h);
/* main.c's. */
void hostd_lend_stopped(struct hostd *h);

/* relay.c */

/* A subsystem with namespaces. 0, or -errno and config.error. */
int hostd_relay_add(struct hostd *h, const struct config_subsystem *s,
		    int index);
/* Then hostd_relay_stopped, perhaps from within. */
void hostd_relay_stop(struct hostd *h);
/* main.c's. */
void hostd_relay_stopped(struct hostd *h);

/* upgrade.c */

/* Start; main.c calls hostd_upgrade when the loop has been left for it. 0, or
 * -errno with leap_last_error. */
int hostd_upgrade_start(struct hostd *h);
/* Why that failed. */
const char *hostd_upgrade_error(const struct hostd *h);
/* Returns only when it failed: everything is as it was. */
void hostd_upgrade(struct hostd *h);
/* "FD,COUNT" of --restore, perhaps with ",trial". 0, -EINVAL */
int hostd_restore_option(struct hostd *h, const char *value);
void hostd_upgrade_init(struct hostd *h, char **argv);

/* devices.c: "leap-hostd devices ...", from that word on. An exit code. */
int hostd_devices(int argc, char **argv);

/* methods.c: all methods; their argument is a struct hostd. */
extern const struct jsonrpc_method hostd_methods[];

#endif
