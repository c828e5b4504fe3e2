/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runtime-fixture.h - a runtime in this process, whose agent is the test
 */
#ifndef LEAP_TESTS_RUNTIME_FIXTURE_H
#define LEAP_TESTS_RUNTIME_FIXTURE_H

#include "liar.h"

#define RF_CNTLID	5	/* of the controller that is lent */

struct rf {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_runtime *rt;
	struct liar l;
	int listen_fd;
	char dir[64], sock[96];
};

struct rf *rf_new(void);
/* Connected, and told to go. */
void rf_go(struct rf *f);
/* Poll until something is heard: as liar_hear. */
int rf_hear(struct rf *f, struct leap_link_msg *m);
/* The runtime's answer to @m, about RF_CNTLID; what it asks meanwhile is not
 * kept. */
int rf_ask(struct rf *f, struct leap_link_msg *m, int fd);
void rf_free(struct rf *f);

struct leap_link_msg rf_ctrl_add(uint64_t bytes);

#endif
