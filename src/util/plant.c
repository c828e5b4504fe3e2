/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which planted bug is on.  Built with -DLEAP_PLANTED only (models, and all of
 * the library with --enable-planted): the variables here are the reason that it
 * is no part of ordinary builds.  It must not know what any of the bugs do.
 */
#include "util/plant.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef LEAP_PLANTED
#error "plant.c belongs to builds with planted bugs only"
#endif

static enum leap_plant selected;

void (*leap__plant_copied)(const void *src, size_t n);

static const struct {
	const char *name;
	const char *text;
} plants[LEAP_PLANT_NR] = {
	[LEAP_PLANT_NONE] = { "NONE", "nothing is broken" },
#define PLANT_ROW(n, t) [LEAP_PLANT_##n] = { #n, t },
	LEAP__PLANT_LIST(PLANT_ROW)
#undef PLANT_ROW
};

void leap__plant_select(enum leap_plant plant)
{
	selected = plant;
}

enum leap_plant leap__plant_selected(void)
{
	return selected;
}

enum leap_plant leap__plant_by_name(const char *name)
{
	int i;

	for (i = 1; i < LEAP_PLANT_NR; i++)
		if (!strcmp(plants[i].name, name))
			return (enum leap_plant)i;
	return LEAP_PLANT_NONE;
}

const char *leap__plant_name(enum leap_plant plant)
{
	return plant < LEAP_PLANT_NR ? plants[plant].name : "?";
}

const char *leap__plant_text(enum leap_plant plant)
{
	return plant < LEAP_PLANT_NR ? plants[plant].text : "?";
}

/* ---- points ---- */

void (*leap__plant_point)(enum leap_point point);

static pthread_once_t kill_once = PTHREAD_ONCE_INIT;
static enum leap_point kill_at;
static unsigned long kill_left;

static const char *const points[LEAP_POINT_NR] = {
	[LEAP_POINT_NONE] = "NONE",
#define POINT_ROW(n, t) [LEAP_POINT_##n] = #n,
	LEAP__POINT_LIST(POINT_ROW)
#undef POINT_ROW
};

enum leap_point leap__plant_point_by_name(const char *name)
{
	size_t n = strcspn(name, ":");
	int i;

	for (i = 1; i < LEAP_POINT_NR; i++)
		if (strlen(points[i]) == n && !strncmp(points[i], name, n))
			return (enum leap_point)i;
	return LEAP_POINT_NONE;
}

const char *leap__plant_point_name(enum leap_point point)
{
	return point < LEAP_POINT_NR ? points[point] : "?";
}

static void read_environment(void)
{
	const char *text = getenv("LEAP_KILL_AT");
	const char *count = text ? strchr(text, ':') : NULL;

	if (!text)
		return;
	kill_at = leap__plant_point_by_name(text);
	kill_left = count ? strtoul(count + 1, NULL, 10) : 1;
}

void leap__plant_at(enum leap_point point)
{
	if (leap__plant_point) {
		leap__plant_point(point);
		return;
	}
	pthread_once(&kill_once, read_environment);
	if (point == kill_at &&
	    __atomic_fetch_sub(&kill_left, 1, __ATOMIC_RELAXED) == 1)
		kill(getpid(), SIGKILL);
}
