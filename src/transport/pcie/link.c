/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's side of a borrowed PCI function: the group that it is in, the
 * container that holds the memory it may reach, its registers and interrupts.
 *
 *	sysfs iommu_group -> group node -> viable -> container <- group
 *		-> IOMMU type -> device: info, BAR 0, config, interrupts
 *
 * One device, one group, one container: what a device can reach is what its
 * own controller has mapped. Every refusal gets a text that says what to do.
 * Knows nothing of NVMe beyond how much of BAR 0 there has to be.
 *
 * Spec: Linux Documentation/driver-api/vfio.rst, <linux/vfio.h>
 */
#include "config.h"

#include "transport/pcie/vfio.h"

#include <ctype.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <leapio/nvme.h>

#include "util/err.h"

#define VECTORS		32u	/* of a kernel that cannot add any later */
#define PAGE_MASK	4095u

static int call(const struct leap__vfio_link *l, int fd, unsigned long request,
		void *data)
{
	return l->calls->ioctl(l->arg, fd, request, data);
}

int leap__pci_check_address(const char *caller, const char *address)
{
	static const char shape[] = "xxxx:xx:xx.o";
	size_t i;

	for (i = 0; i < sizeof(shape); i++) {
		char c = address[i];

		if (shape[i] == 'x' ? isxdigit((unsigned char)c) :
		    shape[i] == 'o' ? c >= '0' && c <= '7' : c == shape[i])
			continue;
		return leap__err(-EINVAL, "%s: \"%.32s\" is not a PCI address "
				 "like 0000:01:00.0", caller, address);
	}
	return 0;
}

/* ---- group and container ----------------------------------------------- */

/* A node that another process holds, that is not ours to open, or not there. */
static int open_node(struct leap__vfio_link *l, const char *name, int *fd)
{
	char path[64];
	int rc;

	snprintf(path, sizeof(path), "/dev/vfio/%s", name);
	rc = l->calls->open(l->arg, path);
	if (rc < 0)
		return rc;
	*fd = rc;
	return 0;
}

static int no_group_node(const struct leap__vfio_link *l, int err,
			 const char *group)
{
	switch (err) {
	case -ENOENT:
		return leap__err(-ENODEV, "leap_qp_connect: %s is not bound to "
				 "vfio-pci (leap-hostd devices bind %s)",
				 l->address, l->address);
	case -EBUSY:
		return leap__err(err, "leap_qp_connect: %s is in use: IOMMU "
				 "group %s is open elsewhere", l->address,
				 group);
	case -EACCES:
	case -EPERM:
		return leap__err(err, "leap_qp_connect: /dev/vfio/%s may not "
				 "be opened by this user", group);
	default:
		return leap__err(err, "leap_qp_connect: cannot open "
				 "/dev/vfio/%s: %s", group, strerror(-err));
	}
}

static int open_group(struct leap__vfio_link *l)
{
	char path[64], number[12];
	int err;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 l->address);
	err = l->calls->link(l->arg, path, number, sizeof(number));
	if (err)
		return leap__err(-ENODEV, "leap_qp_connect: %s is not there, "
				 "or in no IOMMU group (is it bound to "
				 "vfio-pci? is there an IOMMU?)", l->address);
	snprintf(l->group_name, sizeof(l->group_name), "%s", number);
	err = open_node(l, l->group_name, &l->group);
	if (err != -ENOENT)
		return err ? no_group_node(l, err, l->group_name) : 0;
	snprintf(l->group_name, sizeof(l->group_name), "noiommu-%s", number);
	err = open_node(l, l->group_name, &l->group);
	l->no_iommu = !err;
	if (err)
		return no_group_node(l, err, l->group_name);
	return l->no_iommu_ok ? 0 :
		leap__err(-EOPNOTSUPP, "leap_qp_connect: %s: VFIO has it in "
			  "no-IOMMU mode, where it can write to all memory; "
			  "an IOMMU is needed, or ?noiommu=1", l->address);
}

static int check_group(struct leap__vfio_link *l)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int err = call(l, l->group, VFIO_GROUP_GET_STATUS, &status);

	if (err < 0)
		return leap__err(err, "leap_qp_connect: %s: no status of group "
				 "%s: %s", l->address, l->group_name,
				 strerror(-err));
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return leap__err(-EBUSY, "leap_qp_connect: %s: another device "
				 "of IOMMU group %s has a driver of its own "
				 "(leap-hostd devices list)", l->address,
				 l->group_name);
	if (status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET)
		return leap__err(-EBUSY, "leap_qp_connect: %s is in use",
				 l->address);
	return 0;
}

/* The kind of memory management, or 0. */
static unsigned long iommu_type(const struct leap__vfio_link *l)
{
	static const unsigned long types[] = { VFIO_TYPE1v2_IOMMU,
					       VFIO_TYPE1_IOMMU };
	size_t i;

	if (l->no_iommu)
		return call(l, l->container, VFIO_CHECK_EXTENSION,
			    (void *)(uintptr_t)VFIO_NOIOMMU_IOMMU) > 0 ?
			VFIO_NOIOMMU_IOMMU : 0;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (call(l, l->container, VFIO_CHECK_EXTENSION,
			 (void *)(uintptr_t)types[i]) > 0)
			return types[i];
	return 0;
}

static int open_container(struct leap__vfio_link *l)
{
	unsigned long type;
	int err = open_node(l, "vfio", &l->container);

	if (err)
		return leap__err(err, "leap_qp_connect: cannot open "
				 "/dev/vfio/vfio: %s", strerror(-err));
	if (call(l, l->container, VFIO_GET_API_VERSION, NULL) !=
	    VFIO_API_VERSION)
		return leap__err(-EPROTONOSUPPORT, "leap_qp_connect: VFIO of "
				 "another version");
	type = iommu_type(l);
	if (!type)
		return leap__err(-EOPNOTSUPP, "leap_qp_connect: VFIO has no "
				 "%s mode for %s", l->no_iommu ? "no-IOMMU" :
				 "type 1 IOMMU", l->address);
	err = call(l, l->group, VFIO_GROUP_SET_CONTAINER, &l->container);
	if (err >= 0)
		err = call(l, l->container, VFIO_SET_IOMMU,
			   (void *)(uintptr_t)type);
	if (err < 0)
		return leap__err(err, "leap_qp_connect: %s: group %s cannot be "
				 "set up: %s", l->address, l->group_name,
				 strerror(-err));
	return 0;
}

/* ---- the device -------------------------------------------------------- */

static int read_regions(struct leap__vfio_link *l)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ |
			    VFIO_REGION_INFO_FLAG_WRITE;
	struct vfio_region_info *r;
	int err;

	r = leap__vfio_info(l, l->device, VFIO_DEVICE_GET_REGION_INFO,
		     VFIO_PCI_CONFIG_REGION_INDEX, sizeof(*r), &err);
	if (!r)
		return leap__err(err, "leap_qp_connect: %s: no config space: "
				 "%s", l->address, strerror(-err));
	l->config_at = r->offset;
	l->config_bytes = r->size;
	free(r);
	r = leap__vfio_info(l, l->device, VFIO_DEVICE_GET_REGION_INFO,
		     VFIO_PCI_BAR0_REGION_INDEX, sizeof(*r), &err);
	if (!r)
		return leap__err(err, "leap_qp_connect: %s: no BAR 0: %s",
				 l->address, strerror(-err));
	l->bar_at = r->offset;
	l->bar_bytes = r->size;
	l->map_bytes = leap__vfio_mappable(r) & ~(uint64_t)PAGE_MASK;
	err = (r->flags & rw) == rw ? 0 : -EACCES;
	free(r);
	if (err || l->bar_bytes < LEAP_REG_DBL + 8 || l->config_bytes < 256)
		return leap__err(-EPROTONOSUPPORT, "leap_qp_connect: %s does "
				 "not look like an NVMe controller",
				 l->address);
	if (!l->map_bytes)
		return 0;	/* every register by a call, then */
	err = l->calls->map(l->arg, l->device, l->bar_at,
			    (size_t)l->map_bytes, (void **)&l->bar);
	if (err) {
		l->bar = NULL;
		return leap__err(err, "leap_qp_connect: %s: BAR 0 cannot be "
				 "mapped: %s", l->address, strerror(-err));
	}
	return 0;
}

static uint32_t irq_count(const struct leap__vfio_link *l, uint32_t index,
			  bool *fixed)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

	if (index >= l->nr_irqs ||
	    call(l, l->device, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0 ||
	    !(info.flags & VFIO_IRQ_INFO_EVENTFD))
		return 0;
	*fixed = info.flags & VFIO_IRQ_INFO_NORESIZE;
	return info.count;
}

bool leap__vfio_link_has_irq(const struct leap__vfio_link *l, uint32_t index)
{
	bool fixed;

	return irq_count(l, index, &fixed) != 0;
}

static int open_device(struct leap__vfio_link *l)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int err = call(l, l->group, VFIO_GROUP_GET_DEVICE_FD, l->address);

	if (err < 0)
		return leap__err(err, "leap_qp_connect: the kernel does not "
				 "give %s: %s", l->address, strerror(-err));
	l->device = err;
	err = call(l, l->device, VFIO_DEVICE_GET_INFO, &info);
	if (err < 0 || !(info.flags & VFIO_DEVICE_FLAGS_PCI) ||
	    info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX)
		return leap__err(err < 0 ? err : -EPROTONOSUPPORT,
				 "leap_qp_connect: %s is not a PCI function "
				 "to VFIO", l->address);
	l->can_reset = info.flags & VFIO_DEVICE_FLAGS_RESET;
	l->nr_irqs = info.num_irqs;
	l->nr_vectors = irq_count(l, VFIO_PCI_MSIX_IRQ_INDEX,
				  &l->msix_fixed);
	return read_regions(l);
}

int leap__vfio_link_open(struct leap__vfio_link *l)
{
	int err;

	l->container = l->group = l->device = -1;
	leap__list_init(&l->pins);
	err = open_group(l);
	if (!err)
		err = check_group(l);
	if (!err)
		err = open_container(l);
	if (!err)
		err = open_device(l);
	if (!err)
		leap__vfio_read_ranges(l);
	else
		leap__vfio_link_close(l);
	return err;
}

static void close_fd(struct leap__vfio_link *l, int *fd)
{
	if (*fd >= 0)
		l->calls->close(l->arg, *fd);
	*fd = -1;
}

static void unpin(const struct leap__vfio_link *l, struct leap__vfio_pin *pin)
{
	l->calls->close(l->arg, pin->fd);
	free(pin);
}

/* With its descriptor the device loses bus mastering, and is reset if that is
 * possible; the memory goes with the container, after it. */
void leap__vfio_link_close(struct leap__vfio_link *l)
{
	struct leap__list *pos;

	if (l->bar)
		l->calls->unmap(l->arg, l->bar, (size_t)l->map_bytes);
	l->bar = NULL;
	l->map_bytes = 0;
	close_fd(l, &l->device);
	close_fd(l, &l->group);
	close_fd(l, &l->container);
	while ((pos = leap__list_pop(&l->pins)))
		unpin(l, leap__list_entry(pos, struct leap__vfio_pin, link));
}

/* ---- memory ------------------------------------------------------------ */

static bool in_range(const struct leap__vfio_link *l, uint64_t iova,
		     uint64_t bytes)
{
	uint32_t i;

	for (i = 0; i < l->nr_ranges; i++)
		if (iova >= l->ranges[i].first && iova <= l->ranges[i].last &&
		    bytes - 1 <= l->ranges[i].last - iova)
			return true;
	return !l->nr_ranges;
}

uint64_t leap__vfio_link_end(const struct leap__vfio_link *l, uint64_t iova)
{
	uint32_t i;

	for (i = 0; i < l->nr_ranges; i++)
		if (iova >= l->ranges[i].first && iova <= l->ranges[i].last)
			return l->ranges[i].last == UINT64_MAX ? 0 :
				l->ranges[i].last + 1;
	return 0;
}

static int map_refused(const struct leap__vfio_link *l, uint64_t bytes, int err)
{
	unsigned long long mb = bytes >> 20;
	struct rlimit lim;

	if (err == -ENOMEM && !getrlimit(RLIMIT_MEMLOCK, &lim) &&
	    lim.rlim_cur != RLIM_INFINITY)
		return leap__err(err, "%s: %llu MiB may not be locked for the "
				 "device; the limit is %llu KiB (ulimit -l)",
				 l->address, mb,
				 (unsigned long long)lim.rlim_cur >> 10);
	if (err == -ENOSPC)
		return leap__err(err, "%s: no more mappings for the device "
				 "(vfio_iommu_type1.dma_entry_limit)",
				 l->address);
	return leap__err(err, "%s: %llu MiB cannot be mapped for the device: "
			 "%s", l->address, mb, strerror(-err));
}

/* Without an IOMMU the device is told where memory is, and nothing stops it
 * from being told anything else. */
static int pin(struct leap__vfio_link *l, void *addr, uint64_t bytes,
	       uint64_t iova, uint64_t **pages)
{
	struct leap__vfio_pin *p = calloc(1, sizeof(*p));
	uint64_t *at = calloc(bytes / LEAP__VFIO_PAGE, sizeof(*at));
	int err = -ENOMEM;

	if (p && at)
		err = p->fd = l->calls->pin(l->arg, addr, (size_t)bytes);
	if (err >= 0) {
		err = l->calls->frames(l->arg, addr, (size_t)bytes, at);
		if (err)
			l->calls->close(l->arg, p->fd);
	}
	if (err) {
		free(p);
		free(at);
		return map_refused(l, bytes, err);
	}
	p->iova = iova;
	leap__list_push_back(&l->pins, &p->link);
	*pages = at;
	return 0;
}

static int unpin_at(struct leap__vfio_link *l, uint64_t iova)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &l->pins) {
		struct leap__vfio_pin *p =
			leap__list_entry(pos, struct leap__vfio_pin, link);

		if (p->iova != iova)
			continue;
		leap__list_remove(pos);
		unpin(l, p);
		return 0;
	}
	return -EIO;
}

int leap__vfio_link_map(struct leap__vfio_link *l, void *addr, uint64_t bytes,
			uint64_t iova, uint64_t **pages)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)addr, .iova = iova, .size = bytes,
	};
	int err;

	*pages = NULL;
	if (l->no_iommu)
		return pin(l, addr, bytes, iova, pages);
	if (!in_range(l, iova, bytes))
		return leap__err(-ENOSPC, "%s: device address %#llx is beyond "
				 "what the IOMMU translates", l->address,
				 (unsigned long long)iova);
	err = call(l, l->container, VFIO_IOMMU_MAP_DMA, &map);
	return err < 0 ? map_refused(l, bytes, err) : 0;
}

int leap__vfio_link_unmap(struct leap__vfio_link *l, uint64_t bytes,
			  uint64_t iova)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = iova, .size = bytes,
	};
	int err;

	if (l->no_iommu)
		return unpin_at(l, iova);
	err = call(l, l->container, VFIO_IOMMU_UNMAP_DMA, &unmap);
	if (err < 0)
		return err;
	/* The kernel says how much it took away. */
	return unmap.size == bytes ? 0 : -EIO;
}

/* ---- interrupts and reset ---------------------------------------------- */

static int set_irq(const struct leap__vfio_link *l, uint32_t index,
		   uint32_t vector, int fd)
{
	/* The set is followed by one descriptor for each vector. */
	union {
		struct vfio_irq_set set;
		uint8_t bytes[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	} s;
	int32_t fd32 = fd;
	int err;

	memset(&s, 0, sizeof(s));
	s.set.argsz = sizeof(s.bytes);
	s.set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	s.set.index = index;
	s.set.start = vector;
	s.set.count = 1;
	memcpy(s.bytes + sizeof(s.set), &fd32, sizeof(fd32));
	err = call(l, l->device, VFIO_DEVICE_SET_IRQS, &s);
	return err < 0 ? err : 0;
}

int leap__vfio_link_irq(struct leap__vfio_link *l, uint32_t index,
			uint32_t vector, int fd)
{
	uint32_t most = l->nr_vectors < VECTORS ? l->nr_vectors : VECTORS;
	int err;

	/* Older kernels: the first one decides how many there are. */
	if (index == VFIO_PCI_MSIX_IRQ_INDEX && l->msix_fixed && !l->msix_on &&
	    set_irq(l, index, most - 1, -1))
		l->msix_fixed = false;
	err = set_irq(l, index, vector, fd);
	if (!err && index == VFIO_PCI_MSIX_IRQ_INDEX)
		l->msix_on = true;
	return err;
}

int leap__vfio_link_reset(const struct leap__vfio_link *l)
{
	int err;

	if (!l->can_reset)
		return -EOPNOTSUPP;
	err = call(l, l->device, VFIO_DEVICE_RESET, NULL);
	return err < 0 ? err : 0;
}
