/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdev-fixture.h - a target with one virtual drive and its guest, for the tests
 * of what a guest sees
 */
#ifndef LEAP_TESTS_VDEV_FIXTURE_H
#define LEAP_TESTS_VDEV_FIXTURE_H

#include "guest-driver.h"

#define VX_RAM		(16u << 20)
#define VX_VECTORS	65u

struct vx {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *v;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	unsigned int raised[128];
	unsigned int intx_changes;
	unsigned int logged;		/* lines */
	int level;
};

/* cmocka's: a target, a subsystem with namespace 1, with or without a drive. */
int vx_set_up(void **state);
int vx_set_up_bare(void **state);
int vx_tear_down(void **state);

#define VX_T(f) cmocka_unit_test_setup_teardown(f, vx_set_up, vx_tear_down)
#define VX_B(f) cmocka_unit_test_setup_teardown(f, vx_set_up_bare, vx_tear_down)

/* Poll once; until nothing happens any more. */
void vx_poll(void *arg);
void vx_settle(struct vx *w);

struct leap_vdev_opts vx_opts(struct vx *w);
void vx_make(struct vx *w, const struct leap_vdev_opts *o);
void vx_drop(struct vx *w);

/* Data of @nr blocks out and in again. */
void vx_check_io(struct vx *w, struct gd_sq *sq, uint32_t nr, uint32_t seed);
/* Leaves @nr commands under way in namespace 2, which is slow. */
void vx_start_slow(struct vx *w, uint32_t nr);
/* What an eventfd counted. */
uint64_t vx_taken(int fd);
/* Vector @vector of the MSI-X table, with @data. */
void vx_unmask(struct gd *g, uint32_t vector, uint32_t data);

#endif
