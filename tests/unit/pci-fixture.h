/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci-fixture.h - a made-up tree of /sys, /proc and /dev, with a kernel that
 * answers writes as the real one does
 *
 *	0000:01:00.0	drive of group 5, node 0: nvme0n1, nvme0n1p1
 *	0000:02:00.0	drive of group 6, node 1: nvme1, behind two paths
 *	0000:02:00.1	network, eth0, of group 6 as well
 *	0000:03:00.0	drive without a driver, in no group
 *	0000:00:01.0	bridge of group 5
 */
#ifndef LEAP_TESTS_PCI_FIXTURE_H
#define LEAP_TESTS_PCI_FIXTURE_H

#include "unit.h"

#include <leapio/pci.h>

#include "transport/pcie/pci.h"

#define DRIVE	"0000:01:00.0"
#define PATHS	"0000:02:00.0"
#define NET	"0000:02:00.1"
#define BARE	"0000:03:00.0"
#define BRIDGE	"0000:00:01.0"
#define DEVICES	"/sys/devices/pci0000:00/"

struct px {
	char root[64];
	struct leap__sysfs s;
	int refuse;		/* vfio-pci takes nothing */
	int keeps;		/* drivers do not take anything back */
	int fail_at, fail_err;	/* which write fails, from 1 */
	int writes;
	int unbound;		/* how often somebody lost its driver */
};

extern struct px px;

/* cmocka's. */
int px_set_up(void **state);
int px_tear_down(void **state);

#define PX_T(f) cmocka_unit_test_setup_teardown(f, px_set_up, px_tear_down)

/* Where a path of the tree is; good for two calls. */
char *px_at(const char *path);
void px_dir(const char *path);
void px_file(const char *path, const char *text);
/* A file of a function's. */
void px_put(const char *address, const char *name, const char *text);
/* A link, anew. */
void px_to(const char *path, const char *target);
/* "" = none */
void px_drive_by(const char *address, const char *driver);

#endif
