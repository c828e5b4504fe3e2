/* SPDX-License-Identifier: BSD-3-Clause */
/* show.h - answers of the target as tables */
#ifndef LEAPCTL_SHOW_H
#define LEAPCTL_SHOW_H

#include <jansson.h>

void show_subsystems(const json_t *list);
void show_namespaces(const json_t *list);
void show_listeners(const json_t *list);
void show_connections(const json_t *list);
void show_stacks(const json_t *list);
void show_stats(const json_t *stats);
void show_info(const json_t *info);
void show_agent(const json_t *info);
void show_drives(const json_t *result);
void show_lent(const json_t *result);
void show_drive(const json_t *result);
void show_nothing(const json_t *result);

/* What happened between two answers of stacks.get, @seconds apart. */
void show_top(const json_t *before, const json_t *after, double seconds);
json_t *top_rates(const json_t *before, const json_t *after, double seconds);

#endif
