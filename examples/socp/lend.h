/* SPDX-License-Identifier: BSD-3-Clause */
/* lend.h - serving the drives of an agent (leap-hostd) in another process */
#ifndef SOCP_LEND_H
#define SOCP_LEND_H

#include <leapio/agent.h>

#include "config.h"
#include "runtime.h"

struct lend {
	struct runtime *rt;
	struct config *c;
	struct leap_runtime *lr;	/* NULL: not in use */
	uint32_t open;			/* our stacks are */
	uint32_t pending;		/* namespaces that come or go */
	int err;			/* of one that did not come */
	int failed;			/* refused at start: end with it */
	void (*ended)(void *arg);	/* told once, when it is */
	void *arg;
};

/* Attach to c->agent: namespaces open when it is our turn. 0 or -errno. */
int lend_start(struct lend *l, struct runtime *rt, struct config *c,
	       void (*refused)(void *arg), void *arg);

/* Give everything back; @done runs when it is. */
void lend_stop(struct lend *l, void (*done)(void *arg), void *arg);

#endif
