/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serve.h - what a test serves, where nothing about it matters: a target whose
 * subsystem takes every host, namespaces, a listener; and waiting for it all
 */
#ifndef LEAP_TESTS_SERVE_H
#define LEAP_TESTS_SERVE_H

#include "unit.h"

#include <leapio/bdev.h>
#include <leapio/pollgroup.h>
#include <leapio/target.h>

/* Callbacks that set an int: to 1, or to the error. */
static inline void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static inline void set_err(void *arg, int err)
{
	*(int *)arg = err ? err : 1;
}

/* The same, as leap_ns_add and leap_ns_remove have it. */
static inline void ns_done(int err, void *arg)
{
	set_err(arg, err);
}

/* For those who take a function to poll with, and its argument. */
static inline void serve_poll(void *pg)
{
	leap_pollgroup_poll(pg, 0);
}

/* Poll until nothing has happened for a while. */
static inline void serve_settle(struct leap_pollgroup *pg)
{
	int idle = 0;

	while (idle < 20)
		idle = leap_pollgroup_poll(pg, 0) > 0 ? 0 : idle + 1;
}

/* Poll until *@flag, or fail the test after 20 s of its life. */
static inline void serve_await(struct leap_pollgroup *pg, const int *flag)
{
	struct unit_lived lived = { 0 };

	while (!*flag) {
		leap_pollgroup_poll(pg, 0);
		assert_true(unit_lived_ns(&lived, leap_pollgroup_now_ns(pg)) <
			    20000000000ull);
	}
}

static inline struct leap_subsystem *
serve_subsystem(struct leap_target *target, const char *nqn)
{
	struct leap_subsystem_opts opts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_subsystem *ss;

	opts.nqn = nqn;
	opts.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(target, &opts, &ss), 0);
	return ss;
}

static inline struct leap_target *serve_target(struct leap_pollgroup *pg,
					       const char *nqn,
					       struct leap_subsystem **ss)
{
	struct leap_target *target;

	assert_int_equal(leap_target_create(pg, NULL, &target), 0);
	*ss = serve_subsystem(target, nqn);
	return target;
}

/* Namespace @nsid of @ss, whose home is @pg, is there when this returns. */
static inline void serve_bdev(struct leap_pollgroup *pg,
			      struct leap_subsystem *ss,
			      struct leap_bdev *bdev, uint32_t nsid)
{
	struct leap_ns_opts opts = LEAP_NS_OPTS_INIT;
	int added = 0;

	opts.nsid = nsid;
	opts.bdev = bdev;
	assert_int_equal(leap_ns_add(ss, &opts, ns_done, &added), (int)nsid);
	serve_await(pg, &added);
	assert_int_equal(added, 1);
}

static inline void serve_ns(struct leap_pollgroup *pg,
			    struct leap_subsystem *ss, const char *stack,
			    uint32_t nsid)
{
	struct leap_bdev *bdev;

	assert_int_equal(leap_bdev_open(pg, stack, &bdev), 0);
	serve_bdev(pg, ss, bdev, nsid);
}

/* Its URL, with a port where @url leaves that to the system. */
static inline const char *serve_at(struct leap_target *target, const char *url)
{
	struct leap_listener_opts opts = LEAP_LISTENER_OPTS_INIT;
	struct leap_listener *listener;

	opts.url = url;
	assert_int_equal(leap_listener_create(target, &opts, &listener), 0);
	return leap_listener_url(listener);
}

/* All of it is gone when this returns. */
static inline void serve_stop(struct leap_pollgroup *pg,
			      struct leap_target *target)
{
	int gone = 0;

	leap_target_destroy(target, set_flag, &gone);
	serve_await(pg, &gone);
}

#endif
