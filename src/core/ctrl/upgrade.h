/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * upgrade.h - what a target has from the process before
 */
#ifndef LEAP_CORE_CTRL_UPGRADE_H
#define LEAP_CORE_CTRL_UPGRADE_H

#include <leapio/upgrade.h>

#include "core/ctrl/admin.h"
#include "core/io/saved.h"

/* A listener's drive. */
struct leap__kept {
	struct leap__list link;
	char *url;
	struct leap__saved saved;
};

/* The one of @l, and its namespaces are shown; NULL. The caller's to free. */
struct leap__kept *leap__kept_take(struct leap_target *t,
				   struct leap_listener *l);
void leap__kept_free(struct leap__kept *k);
/* Those that no listener took. */
void leap__kept_drop(struct leap_target *t);

#endif
