/* SPDX-License-Identifier: BSD-3-Clause */
/* config.h - what socp is to serve, from a file or a command line */
#ifndef SOCP_CONFIG_H
#define SOCP_CONFIG_H

#include <jansson.h>
#include <stdint.h>

#include "examples/common/fields.h"

#define CONFIG_MAX_BYTES (4u << 20)	/* of a config file */

/* Sections; they read the same from a file, an option and a control request.
 * Texts are borrowed from the JSON that was read. */
struct config_subsystem {
	const char *nqn;
	const char *serial;
	const char *model;
	json_t *hosts;		/* texts; NULL or empty = any host */
	json_t *namespaces;	/* config_ns */
};

struct config_ns {
	const char *nqn;	/* control requests only */
	uint32_t nsid;
	const char *stack;
	uint32_t block_bytes;
	uint8_t uuid[16];
	uint32_t read_only;
};

struct config_listener {
	const char *url;
	const char *advertise;
	const char *mode;	/* of a Unix socket, octal */
	const char *owner;	/* of it: USER or USER:GROUP */
	uint32_t trust_memory;
	const char *irq;	/* of a drive: msix, msi or intx */
	uint32_t srq;		/* of rdma: shared receives */
};

/* leap-hostd: a device whose queue pairs it lends. */
struct config_lend {
	const char *url;	/* of the device, with NQN */
	const char *path;	/* where borrowers connect */
	const char *mode;	/* of the socket, octal */
	const char *owner;	/* of it: USER or USER:GROUP */
	uint32_t queues;	/* asked of the device; 0 = 64 */
	uint32_t kill;		/* borrowers that break the rules */
};

struct leap_listener_opts;

/* "0660" and "USER:GROUP" as numbers: 0, or -EINVAL and *@why. */
int config_mode(const char *text, uint32_t *mode, const char **why);
int config_owner(const char *text, uint32_t *uid, uint32_t *gid,
		 const char **why);
/* What leap_listener_opts has of a listener's section, but for its URL. */
int config_listener_opts(const struct config_listener *l,
			 struct leap_listener_opts *opts, const char **why);

extern const struct field config_subsystem_fields[];
extern const struct field config_ns_fields[];
extern const struct field config_listener_fields[];
extern const struct field config_ns_request_fields[];
extern const struct field config_lend_fields[];

/*
 * All of it, as one JSON object: the file's, with what the options said added
 * or put in its place. Sections keep where they came from.
 */
struct config {
	json_t *root;
	const char *control;	/* borrowed from root */
	const char *agent;	/* socket between leap-hostd and socp */
	uint32_t standby;	/* socp: another may be serving */
	uint32_t fence_ms;	/* leap-hostd: see leap_agent_opts */
	uint32_t keepalive_ms;
	uint32_t no_runtime_ms;
	uint32_t threads;
	uint32_t spin_us;
	uint32_t log_level;
	json_t *subsystems;	/* arrays, borrowed from root, never NULL */
	json_t *listeners;
	json_t *lends;
	json_t *drives;		/* --vfio-user; listeners in the end */
	char *file;		/* its name and text, for error messages; */
	char *text;		/* NULL without a file */
	size_t file_subsystems;	/* how many of them the file has */
	size_t file_listeners;
	size_t file_lends;
	size_t first_drive;	/* of listeners: --vfio-user's begin there */
	int hostd;		/* leap-hostd's, whose options have other names */
	char error[512];	/* what failed last, with its place */
};

/* An empty configuration. 0 or -ENOMEM. */
int config_init(struct config *c);
void config_free(struct config *c);

/* Read a file. 0, or -errno and c->error as "FILE:LINE: ..., expected ...". */
int config_read(struct config *c, const char *file);

/* The same from memory; @file is for messages only. */
int config_parse(struct config *c, const char *file, const char *text,
		 size_t len);

/* One command line option, without its dashes. 0, or -errno and c->error;
 * -ENOENT an option that is not the configuration's. */
int config_option(struct config *c, const char *name, const char *value);

/* Everything is there: fill in the fields above. 0 or -errno and c->error. */
int config_finish(struct config *c);

/*
 * Say in c->error that a section failed: "FILE:LINE: text" or "--ns: text".
 * @sub, @ns: indexes of a subsystem and its namespace, or -1.
 */
void config_blame_ns(struct config *c, int sub, int ns, const char *text);
void config_blame_listener(struct config *c, int listener, const char *text);
void config_blame_lend(struct config *c, int lend, const char *text);

#endif
