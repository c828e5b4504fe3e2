/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake-vfio.h - a kernel that lends one PCI function: the state machine of
 * group, container and device as VFIO keeps it, over a drive of this process
 *
 * Everything that is asked in the wrong order, twice, or not undone fails the
 * test. Any one call can be made to fail.
 */
#ifndef LEAP_TESTS_FAKE_VFIO_H
#define LEAP_TESTS_FAKE_VFIO_H

#include "unit.h"

#include <leapio/vdev.h>

#include "transport/pcie/vfio.h"

#define FAKE_ADDRESS	"0000:01:00.0"
#define FAKE_BAR	16384u
#define FAKE_DMA	64
#define FAKE_PIN	2000	/* file descriptors from here are of pins */

struct fake_dma {
	uint64_t iova, bytes;	/* bytes 0 = free */
	uint8_t *addr;
	int gone;		/* the drive has still to hear of it */
};

/* Memory that may not move; its pages are where nobody would guess. */
struct fake_pin {
	uint8_t *addr;		/* NULL = free */
	uint64_t pages;
};

struct fake_vfio {
	/* what it is */
	struct leap_vdev *vdev;	/* NULL: registers are plain memory */
	int no_group;		/* the function is not there */
	int unbound;		/* its group has no node */
	int no_iommu;
	uint64_t piece;		/* no_iommu: pages that lie together; 0 = 1 */
	int not_viable;
	int taken;		/* open errno of the group's node */
	int old_msix;		/* vectors cannot be added */
	int map_bar;		/* BAR 0 may be mapped, all of it but a page */
	int can_reset;
	int grows;		/* no answer fits the room it asked for */
	int short_ranges;	/* device addresses end at 4 GiB + 64 MiB */
	uint64_t lockable;	/* bytes; 0 = no limit */
	/* which call fails, counted from 1; 0 = none */
	int fail_at, fail_err;
	/* what it saw */
	int calls;
	int container, group, device;	/* open */
	int set_container, set_iommu;
	int mapped;		/* BAR 0 */
	int resets;
	int msix_on, msix_vectors;
	int irq[8];
	int req_fd, err_fd;
	uint64_t locked;
	struct fake_dma dma[FAKE_DMA];
	int reaches_all;	/* the drive, every pin */
	struct fake_pin pin[FAKE_DMA];
	int strays;		/* how often it looked for what is not there */
	uint8_t config[4096];
	uint8_t bar[FAKE_BAR];
};

extern const struct leap__vfio_calls fake_vfio_calls;

void fake_vfio_init(struct fake_vfio *f);
/* Nothing is open, mapped or armed any more. */
void fake_vfio_check_closed(const struct fake_vfio *f);

/* Between the parts of it. */
struct vfio_iommu_type1_dma_map;
struct vfio_iommu_type1_dma_unmap;

/* Fails the call that it is the turn of. */
int fake_vfio_turn(struct fake_vfio *f);
int fake_vfio_map(struct fake_vfio *f,
		  const struct vfio_iommu_type1_dma_map *m);
int fake_vfio_unmap(struct fake_vfio *f, struct vfio_iommu_type1_dma_unmap *u);
void fake_vfio_forget(struct fake_vfio *f, struct fake_dma *d);
void fake_vfio_reach_all(struct fake_vfio *f);
/* Of fake_vfio_calls. */
int fake_vfio_pin(void *arg, void *addr, size_t bytes);
int fake_vfio_frames(void *arg, const void *addr, size_t bytes,
		     uint64_t *pages);
void fake_vfio_unpin(struct fake_vfio *f, int fd);

#endif
