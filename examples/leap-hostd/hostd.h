/* SPDX-License-Identifier: BSD-3-Clause */
/* hostd.h - what the files of leap-hostd share */
#ifndef HOSTD_HOSTD_H
#define HOSTD_HOSTD_H

#include <leapio/agent.h>
#include <leapio/pollgroup.h>
#include <leapio/target.h>

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
	struct leap_agent *agent;
	uint64_t start_ns;
	int stopping;
};

/* methods.c: all methods; their argument is a struct hostd. */
extern const struct jsonrpc_method hostd_methods[];

#endif
