/* SPDX-License-Identifier: BSD-3-Clause */
#include "drive-fixture.h"

#include <stdio.h>

static void *drive_main(void *arg)
{
	struct leap_subsystem *ss;
	struct leap_target *target;
	struct leap_pollgroup *pg;
	struct drive *d = arg;
	char url[160];

	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	target = serve_target(pg, DRIVE_NQN, &ss);
	serve_ns(pg, ss, d->stack, 1);
	snprintf(url, sizeof(url), "%s/" DRIVE_NQN, d->url);
	serve_at(target, url);
	__atomic_store_n(&d->up, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&d->stop, __ATOMIC_ACQUIRE))
		leap_pollgroup_wait(pg, 5000000);
	serve_stop(pg, target);
	while (leap_pollgroup_destroy(pg))
		leap_pollgroup_wait(pg, 1000000);
	return NULL;
}

void drive_start(struct drive *d, const char *stack)
{
	memset(d, 0, sizeof(*d));
	d->stack = stack;
	snprintf(d->path, sizeof(d->path), "/tmp/leap-drive-%d", getpid());
	snprintf(d->url, sizeof(d->url), "vfio-user:%s", d->path);
	assert_int_equal(pthread_create(&d->thread, NULL, drive_main, d), 0);
	while (!__atomic_load_n(&d->up, __ATOMIC_ACQUIRE))
		usleep(1000);
}

void drive_stop(struct drive *d)
{
	__atomic_store_n(&d->stop, 1, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(d->thread, NULL), 0);
	unlink(d->path);
}
