/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio.h - a PCI function that the kernel has lent to this process
 *
 *	regdev (core/io/regdev.h)		vfio.c
 *	  open and close, memory, interrupts	link.c, link_info.c
 *	    the kernel				struct leap__vfio_calls
 *	      memory that does not move		pin.c
 *
 * The table of calls is where a test puts a kernel of its own.
 */
#ifndef LEAP_TRANSPORT_PCIE_VFIO_H
#define LEAP_TRANSPORT_PCIE_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/io/regdev.h"
#include "util/list.h"

/* "DDDD:BB:DD.F" and a NUL. */
#define LEAP__PCI_ADDRESS	13u
#define LEAP__VFIO_PAGE		4096u
#define LEAP__VFIO_RANGES	16u	/* of device addresses; at most */

/* All return 0 or more, or -errno. */
struct leap__vfio_calls {
	int (*open)(void *arg, const char *path);
	int (*ioctl)(void *arg, int fd, unsigned long request, void *data);
	int (*map)(void *arg, int fd, uint64_t offset, size_t bytes,
		   void **out);
	void (*unmap)(void *arg, void *addr, size_t bytes);
	ssize_t (*pread)(void *arg, int fd, void *buf, size_t bytes,
			 uint64_t offset);
	ssize_t (*pwrite)(void *arg, int fd, const void *buf, size_t bytes,
			  uint64_t offset);
	void (*close)(void *arg, int fd);
	/* The last part of where the link at @path points to. */
	int (*link)(void *arg, const char *path, char *name, size_t max);
	/* Have the pages at @addr stay where they are, for as long as what is
	 * returned, a descriptor, is open; and where each 4 KiB of them is.
	 * Without an IOMMU. */
	int (*pin)(void *arg, void *addr, size_t bytes);
	int (*frames)(void *arg, const void *addr, size_t bytes,
		      uint64_t *pages);
};

extern const struct leap__vfio_calls leap__vfio_kernel;

struct leap__vfio_range {
	uint64_t first, last;
};

/* Memory that stays where it is. */
struct leap__vfio_pin {
	struct leap__list link;
	uint64_t iova;		/* what it is called; the device does not */
	int fd;
};

/* A device that is open. */
struct leap__vfio_link {
	const struct leap__vfio_calls *calls;
	void *arg;		/* of calls */
	char address[LEAP__PCI_ADDRESS];
	char group_name[24];	/* "7", "noiommu-0" */
	bool no_iommu_ok;	/* asked for, by whoever knows what it means */
	bool no_iommu;
	struct leap__list pins;	/* no_iommu */
	bool can_reset;
	int container, group, device;	/* -1 = not open */
	uint32_t nr_irqs;
	uint32_t nr_vectors;		/* MSI-X */
	bool msix_fixed;	/* their number, from the first one on */
	bool msix_on;
	uint64_t config_at, config_bytes;
	uint64_t bar_at, bar_bytes;
	uint8_t *bar;			/* the first of it, mapped */
	uint64_t map_bytes;
	uint32_t nr_ranges;		/* 0: the kernel does not say */
	struct leap__vfio_range ranges[LEAP__VFIO_RANGES];
};

/* 0, or -EINVAL: @address is not "DDDD:BB:DD.F". */
int leap__pci_check_address(const char *call, const char *address);

/* Opens what @l->address says; calls and arg are set. 0, or -errno with last
 * error text and nothing open. */
int leap__vfio_link_open(struct leap__vfio_link *l);
/* The device is switched off, then its memory is forgotten. */
void leap__vfio_link_close(struct leap__vfio_link *l);
/* link_info.c */

struct vfio_region_info;

/* Ask with the struct that the kernel wants room for; @min is what we know of
 * it, @index is for regions. The answer is the caller's to free; NULL: *@err
 * says. */
void *leap__vfio_info(const struct leap__vfio_link *l, int fd,
		      unsigned long request, uint32_t index, uint32_t min,
		      int *err);
/* Bytes from offset 0 of a region that may be mapped. */
uint64_t leap__vfio_mappable(const struct vfio_region_info *r);
/* Which device addresses may be used; old kernels do not say. */
void leap__vfio_read_ranges(struct leap__vfio_link *l);

/* link.c: what the device reaches */

/* Let the device reach @bytes at @addr as @iova; without an IOMMU *@pages gets
 * their addresses (regdev.h), and @iova is a name only. 0, or -errno with last
 * error text. */
int leap__vfio_link_map(struct leap__vfio_link *l, void *addr, uint64_t bytes,
			uint64_t iova, uint64_t **pages);
int leap__vfio_link_unmap(struct leap__vfio_link *l, uint64_t bytes,
			  uint64_t iova);
/* Where the range of device addresses that @iova is in ends; 0 = not known. */
uint64_t leap__vfio_link_end(const struct leap__vfio_link *l, uint64_t iova);
/* pin.c: of leap__vfio_calls. */
int leap__vfio_pin(void *arg, void *addr, size_t bytes);
int leap__vfio_frames(void *arg, const void *addr, size_t bytes,
		      uint64_t *pages);
/* Have vector @vector of kind @index (VFIO_PCI_*_IRQ_INDEX) signal @fd; -1:
 * none. */
int leap__vfio_link_irq(struct leap__vfio_link *l, uint32_t index,
			uint32_t vector, int fd);
/* Does the device have interrupts of that kind? */
bool leap__vfio_link_has_irq(const struct leap__vfio_link *l, uint32_t index);
int leap__vfio_link_reset(const struct leap__vfio_link *l);

/* The table of the transport; tests put another open into a copy of it. */
extern const struct leap__regdev_ops leap__vfio_dev_ops;
int leap__vfio_open(struct leap__regdev *dev, const char *address,
		    const struct leap__vfio_calls *calls, void *arg);

#endif
