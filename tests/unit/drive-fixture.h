/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drive-fixture.h - a drive that is somebody else's: a controller behind a
 * vfio-user socket, which a thread of its own serves
 */
#ifndef LEAP_TESTS_DRIVE_FIXTURE_H
#define LEAP_TESTS_DRIVE_FIXTURE_H

#include "serve.h"

#include <pthread.h>

#define DRIVE_NQN	"nqn.2026-01.org.example:ssd"

struct drive {
	char path[64];		/* of the socket */
	char url[80];		/* of the same, without a name */
	const char *stack;	/* behind namespace 1 */
	pthread_t thread;
	int up, stop;		/* atomic */
};

/* It is there when this returns; again after a stop, at the same place. */
void drive_start(struct drive *d, const char *stack);
void drive_stop(struct drive *d);

#endif
