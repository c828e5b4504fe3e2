/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake-vdev.h - a PCI function that remembers what was done to it and ends
 * unmaps and resets when the test says so
 */
#ifndef LEAP_TESTS_FAKE_VDEV_H
#define LEAP_TESTS_FAKE_VDEV_H

#include "transport/vfio-user/device.h"

#define FAKE_MAPS	64
#define FAKE_LATER	64

struct fake_later {
	void (*done)(void *arg, int err);
	void *arg;
	int map;		/* index, -1 = a reset */
};

struct fake_vdev {
	uint8_t bar[LEAP_VDEV_BAR_BYTES];
	uint8_t config[LEAP_VDEV_CONFIG_BYTES];
	struct leap_ats_range maps[FAKE_MAPS];
	struct leap_ats_ops map_ops[FAKE_MAPS];
	int map_used[FAKE_MAPS];
	uint32_t nr_maps;
	struct fake_later later[FAKE_LATER];
	uint32_t nr_later;
	int hold;		/* keep what ends later */
	int mem_add_err;
	int mem_del_err;
	uint32_t resets;
	uint32_t writes;
	int irq[LEAP__VFU_MAX_VECTORS];	/* fds given; -1 */
	int irq_err;
	int intx_level;
	int destroyed;
};

extern const struct leap__vfu_vdev_ops fake_vdev_ops;

void fake_vdev_init(struct fake_vdev *v);
/* Now they end, with this; those that begin meanwhile wait. */
void fake_vdev_end(struct fake_vdev *v, int err);

#endif
