/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unit.h - what every unit test includes first
 */
#ifndef LEAP_TESTS_UNIT_H
#define LEAP_TESTS_UNIT_H

#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <leapio/base.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The last failure's text has to say this. */
#define assert_last_error(part) \
	assert_non_null(strstr(leap_last_error(), part))

static inline int unit_env(const char *name)
{
	const char *text = getenv(name);

	return text && *text;
}

/*
 * Under an emulator or instruments, which make a program ten times as slow:
 * what only adds numbers is left to native builds, and to long runs.
 */
static inline int unit_is_emulated(void)
{
	return unit_env("LEAP_CROSS") && !unit_env("LEAP_LONG");
}

static inline int unit_is_slow(void)
{
	return (unit_env("LEAP_CROSS") || unit_env("LEAP_INSTRUMENTED")) &&
	       !unit_env("LEAP_LONG");
}

/*
 * Time as a test lives it, for what has to happen soon: between two looks 10 ms
 * count at most, for a machine with other work stops a process for longer.
 */
struct unit_lived {
	uint64_t last, ns;
};

static inline uint64_t unit_lived_ns(struct unit_lived *t, uint64_t now)
{
	uint64_t step = t->last ? now - t->last : 0;

	t->last = now;
	t->ns += step < 10000000 ? step : 10000000;
	return t->ns;
}

/*
 * For a loop that waits for another thread. Not sched_yield: where others have
 * work, whoever yields again and again hardly ever runs.
 */
static inline void unit_pause(void)
{
	const struct timespec ts = { .tv_nsec = 20000 };

	nanosleep(&ts, NULL);
}

/*
 * This program again, in the place of this process. argv[0] is left free: no
 * kernel runs a program for another machine, and there it takes the emulator.
 */
static inline void unit_exec_self(char **argv)
{
	char *emulator = getenv("LEAP_EMULATOR"), self[512];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		_exit(127);
	self[n] = '\0';
	if (!emulator || !*emulator) {
		execv(self, argv + 1);
		_exit(127);
	}
	/* Without a time limit, which would be a process of its own. */
	setenv("LEAP_TIMEOUT", "", 1);
	argv[0] = emulator;
	argv[1] = self;
	execv(emulator, argv);
	_exit(127);
}

/*
 * A copy of @n bytes in its own allocation: sanitizers and valgrind then see
 * any read or write one byte outside.
 */
static inline void *exact_copy(const void *p, size_t n)
{
	void *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	if (n)
		memcpy(copy, p, n);
	return copy;
}

static inline char *exact_string(const char *s)
{
	return exact_copy(s, strlen(s) + 1);
}

#endif
