/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci.h - finding PCI functions, and taking them from the kernel
 *
 * A drive that the kernel's own driver has cannot be driven by this library
 * ("pcie:" in qp.h) until somebody gives it to vfio-pci. Nothing here or
 * elsewhere in the library does so by itself: bind and release are calls of
 * their own, for a privileged tool such as `leap-hostd devices`. What was there
 * before is written down, and release puts it back.
 */
#ifndef LEAPIO_PCI_H
#define LEAPIO_PCI_H

#include <leapio/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LEAP_PCI_CLASS_NVME	0x010802u
#define LEAP_PCI_CLASS_MASK	0xffffffu

struct leap_pci_opts {
	size_t size;
	/* Which functions leap_pci_next finds; zeros find every NVMe drive. */
	const char *address;	/* "0000:01:00.0"; NULL = any */
	const char *driver;	/* that has it now, "" = none; NULL = any */
	uint32_t class_code;	/* base class, subclass, interface; 0 = NVMe */
	uint32_t class_mask;	/* bits of it that count; 0 = all 24 */
	uint64_t numa_mask;	/* bit N: node N will do; 0 = any */
	/* Whom leap_pci_bind gives the device to: the node of its IOMMU group
	 * becomes theirs when set_owner is not 0. */
	uint32_t set_owner;
	uint32_t uid;
	uint32_t gid;
	uint32_t any_class;	/* not 0: class_code does not matter */
	/* Where bind writes down what was; NULL = "/run/leapio/pci". */
	const char *state_dir;
	/* Looked at in the place of "/"; NULL = "/". */
	const char *root;
};

#define LEAP_PCI_OPTS_INIT LEAP_OPTS_INIT(struct leap_pci_opts)

struct leap_pci_info {
	size_t size;
	char address[16];	/* "0000:01:00.0" */
	char driver[32];	/* "" = none */
	/* Had it before leap_pci_bind, "none" = nobody; "" = it is not bound
	 * by that. */
	char previous[32];
	uint16_t vendor, device;
	uint16_t subvendor, subdevice;
	uint32_t class_code;
	int32_t numa_node;	/* -1 = not known */
	int32_t iommu_group;	/* -1 = none */
	/* Nobody but vfio-pci has a part of its IOMMU group: it can be used. */
	uint8_t group_ready;
	uint8_t in_use;		/* leap_pci_bind would refuse it */
	uint8_t reserved[2];
	char use[128];		/* by what: "nvme0n1p1 is mounted at /" */
	/* The subsystem NQN, as its driver said or bind wrote down; "" = not
	 * known, or with control characters in it. */
	char subnqn[224];
	char name[128];		/* vendor and device as people know them */
};

/**
 * leap_pci_next - the next function in order of addresses
 *
 * @after: address of the one before; NULL = the first
 * @info:  size is set by the caller
 * Context: any-locked
 * Returns: 0
 * Errors:  -ENOENT there are no more, -EINVAL, -EIO the bus cannot be read,
 *          -EOPNOTSUPP this build has no pcie transport
 */
LEAP_API int leap_pci_next(const struct leap_pci_opts *opts, const char *after,
			   struct leap_pci_info *info);

/**
 * leap_pci_bind - take a function from its driver and give it to vfio-pci
 *
 * Refused while the function is in use: a block device of it is mounted, has
 * holders, is swap, or is open exclusively; a network interface of it is up; or
 * the same is true of another function of its IOMMU group. Its block devices
 * are held while it changes hands, so that none can be mounted meanwhile. When
 * vfio-pci does not take it, or the node of its group cannot be given away, it
 * goes back to where it was.
 *
 * A function that vfio-pci has already is left as it is.
 * Context: any-locked; needs root
 * Returns: 0
 * Errors:  -EBUSY in use, -ENODEV no such function, -ENOENT vfio-pci is not
 *          loaded, or there is no node to be given away, -EACCES, -EIO it was
 *          not taken, -EOPNOTSUPP; others: whether it is in use, or what it
 *          was, cannot be found out
 */
LEAP_API int leap_pci_bind(const char *address,
			   const struct leap_pci_opts *opts);

/**
 * leap_pci_release - undo leap_pci_bind
 *
 * Its driver_override is put back, and its driver; one that had none is left
 * without. What failed half way may be tried again.
 * Context: any-locked; needs root
 * Returns: 0
 * Errors:  -EBUSY somebody drives it now, -ENOENT it was not bound by
 *          leap_pci_bind, -EIO its driver did not take it back, -ENODEV,
 *          -EACCES, -EOPNOTSUPP
 */
LEAP_API int leap_pci_release(const char *address,
			      const struct leap_pci_opts *opts);

#ifdef __cplusplus
}
#endif

#endif
