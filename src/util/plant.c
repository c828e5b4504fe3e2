/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which planted bug is on.  Built with -DLEAP_PLANTED only (models, and all of
 * the library with --enable-planted): the variables here are the reason that it
 * is no part of ordinary builds.  It must not know what any of the bugs do.
 */
#include "util/plant.h"

#include <stddef.h>
#include <string.h>

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
