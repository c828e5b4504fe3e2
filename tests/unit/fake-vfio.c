/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake-vfio.h"

#include <linux/vfio.h>
#include <stdio.h>

#define CONTAINER	1000
#define GROUP		1001
#define DEVICE		1002
#define CONFIG_AT	(7ull << 40)
#define MSIX_CAP	0x11

void fake_vfio_init(struct fake_vfio *f)
{
	size_t i;

	memset(f, 0, sizeof(*f));
	f->req_fd = f->err_fd = -1;
	for (i = 0; i < COUNT(f->irq); i++)
		f->irq[i] = -1;
}

void fake_vfio_check_closed(const struct fake_vfio *f)
{
	size_t i;

	assert_int_equal(f->device, 0);
	assert_int_equal(f->group, 0);
	assert_int_equal(f->container, 0);
	assert_int_equal(f->mapped, 0);
	assert_int_equal(f->locked, 0);
	for (i = 0; i < FAKE_DMA; i++) {
		assert_int_equal(f->dma[i].bytes && !f->dma[i].gone, 0);
		assert_null(f->pin[i].addr);
	}
	assert_int_equal(f->strays, 0);
}

int fake_vfio_turn(struct fake_vfio *f)
{
	return ++f->calls == f->fail_at ? f->fail_err : 0;
}

/* ---- interrupts: the kernel keeps the MSI-X table ---- */

static uint32_t config(const struct fake_vfio *f, uint64_t at, uint32_t bytes)
{
	leap_le32 le = leap_to_le32(0);

	leap_vdev_config_read(f->vdev, at, &le, bytes);
	return leap_from_le32(le);
}

static void bar32(const struct fake_vfio *f, uint64_t at, uint32_t value)
{
	leap_le32 le = leap_to_le32(value);

	leap_vdev_bar_write(f->vdev, at, &le, sizeof(le));
}

static void program(const struct fake_vfio *f, uint32_t vector)
{
	uint32_t at = config(f, 0x34, 1), table;
	leap_le16 on = leap_to_le16(0x8000);

	while (at && config(f, at, 1) != MSIX_CAP)
		at = config(f, at + 1, 1);
	assert_int_not_equal(at, 0);
	leap_vdev_config_write(f->vdev, at + 2, &on, sizeof(on));
	table = config(f, at + 4, 4) + vector * 16;
	bar32(f, table, 0xfee00000);
	bar32(f, table + 4, 0);
	bar32(f, table + 8, vector);
	bar32(f, table + 12, 0);
}

static int set_msix(struct fake_vfio *f, uint32_t start, int fd)
{
	if (start >= COUNT(f->irq))
		return -EINVAL;
	if (!f->msix_on) {
		f->msix_on = 1;
		f->msix_vectors = (int)start + 1;
	} else if ((int)start >= f->msix_vectors) {
		if (f->old_msix)
			return -EINVAL;
		f->msix_vectors = (int)start + 1;
	}
	f->irq[start] = fd;
	if (!f->vdev)
		return 0;
	if (fd >= 0)
		program(f, start);
	return leap_vdev_irq_fd(f->vdev, LEAP_VDEV_MSIX, start, fd);
}

static int set_irqs(struct fake_vfio *f, const struct vfio_irq_set *s)
{
	int32_t fd;

	assert_int_equal(s->flags, VFIO_IRQ_SET_DATA_EVENTFD |
				   VFIO_IRQ_SET_ACTION_TRIGGER);
	assert_int_equal(s->count, 1);
	assert_int_equal(s->argsz, sizeof(*s) + sizeof(fd));
	memcpy(&fd, s->data, sizeof(fd));
	switch (s->index) {
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return set_msix(f, s->start, fd);
	case VFIO_PCI_REQ_IRQ_INDEX:
		f->req_fd = fd;
		return 0;
	case VFIO_PCI_ERR_IRQ_INDEX:
		f->err_fd = fd;
		return 0;
	default:
		return -EINVAL;
	}
}

/* ---- answers ---- */

static int region_info(struct fake_vfio *f, struct vfio_region_info *r)
{
	const struct vfio_region_info_cap_sparse_mmap cap = {
		.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .nr_areas = 1,
	};
	const struct vfio_region_sparse_mmap_area area = {
		.size = FAKE_BAR - 4096,
	};
	const uint32_t more = sizeof(cap) + sizeof(area);

	r->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	r->offset = r->index == VFIO_PCI_CONFIG_REGION_INDEX ? CONFIG_AT : 0;
	r->size = r->index == VFIO_PCI_CONFIG_REGION_INDEX ? 4096 : FAKE_BAR;
	r->cap_offset = 0;
	if (f->grows)
		r->argsz += 8;
	if (r->index || !f->map_bar)
		return 0;
	r->flags |= VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
	if (r->argsz < sizeof(*r) + more) {
		r->argsz = sizeof(*r) + more;
		return 0;
	}
	r->cap_offset = sizeof(*r);
	memcpy(r + 1, &cap, sizeof(cap));
	memcpy((uint8_t *)(r + 1) + sizeof(cap), &area, sizeof(area));
	return 0;
}

static int irq_info(struct fake_vfio *f, struct vfio_irq_info *i)
{
	i->flags = VFIO_IRQ_INFO_EVENTFD;
	i->count = 1;
	if (i->index == VFIO_PCI_MSIX_IRQ_INDEX) {
		i->count = COUNT(f->irq);
		if (f->old_msix)
			i->flags |= VFIO_IRQ_INFO_NORESIZE;
	}
	return 0;
}

static int iommu_info(struct fake_vfio *f, struct vfio_iommu_type1_info *i)
{
	const struct vfio_iommu_type1_info_cap_iova_range cap = {
		.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
		.nr_iovas = 2,
	};
	struct vfio_iova_range ranges[] = {
		{ 0, 0xfedfffff }, { 0xfef00000, (1ull << 39) - 1 },
	};
	uint32_t room = i->argsz;

	if (f->short_ranges)
		ranges[1].end = (1ull << 32) + (64u << 20) - 1;
	i->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	i->iova_pgsizes = 4096;
	i->argsz = sizeof(*i) + sizeof(cap) + sizeof(ranges);
	i->cap_offset = 0;
	if (room < i->argsz)
		return 0;
	i->cap_offset = sizeof(*i);
	memcpy(i + 1, &cap, sizeof(cap));
	memcpy((uint8_t *)(i + 1) + sizeof(cap), ranges, sizeof(ranges));
	return 0;
}

/* ---- calls ---- */

static int group_ioctl(struct fake_vfio *f, unsigned long request, void *data)
{
	struct vfio_group_status *status = data;

	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		status->flags = f->not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		assert_int_equal(*(int *)data, CONTAINER);
		assert_int_equal(f->set_container++, 0);
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		assert_int_equal(f->set_iommu, 1);
		assert_string_equal(data, FAKE_ADDRESS);
		assert_int_equal(f->device++, 0);
		return DEVICE;
	default:
		fail_msg("group ioctl %lu", request);
		return -ENOTTY;
	}
}

static int container_ioctl(struct fake_vfio *f, unsigned long request,
			   void *data)
{
	uintptr_t type = (uintptr_t)data;

	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return type == (f->no_iommu ? VFIO_NOIOMMU_IOMMU :
					      VFIO_TYPE1v2_IOMMU);
	case VFIO_SET_IOMMU:
		assert_int_equal(f->set_container, 1);
		assert_int_equal(f->set_iommu++, 0);
		assert_int_equal(type == VFIO_NOIOMMU_IOMMU, f->no_iommu);
		if (f->no_iommu && f->vdev)
			fake_vfio_reach_all(f);
		return 0;
	case VFIO_IOMMU_GET_INFO:
		assert_int_equal(f->no_iommu, 0);
		return iommu_info(f, data);
	case VFIO_IOMMU_MAP_DMA:
		assert_int_equal(f->no_iommu, 0);
		return fake_vfio_map(f, data);
	case VFIO_IOMMU_UNMAP_DMA:
		assert_int_equal(f->no_iommu, 0);
		return fake_vfio_unmap(f, data);
	default:
		fail_msg("container ioctl %lu", request);
		return -ENOTTY;
	}
}

static int device_ioctl(struct fake_vfio *f, unsigned long request, void *data)
{
	struct vfio_device_info *info = data;

	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		info->flags = VFIO_DEVICE_FLAGS_PCI |
			      (f->can_reset ? VFIO_DEVICE_FLAGS_RESET : 0);
		info->num_regions = VFIO_PCI_NUM_REGIONS;
		info->num_irqs = VFIO_PCI_NUM_IRQS;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(f, data);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return irq_info(f, data);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(f, data);
	case VFIO_DEVICE_RESET:
		f->resets++;
		return 0;
	default:
		fail_msg("device ioctl %lu", request);
		return -ENOTTY;
	}
}

static int fake_open(void *arg, const char *path)
{
	struct fake_vfio *f = arg;
	int err = fake_vfio_turn(f);

	if (err)
		return err;
	if (!strcmp(path, "/dev/vfio/vfio")) {
		assert_int_equal(f->container++, 0);
		return CONTAINER;
	}
	if (f->unbound || strcmp(path, f->no_iommu ? "/dev/vfio/noiommu-7" :
						     "/dev/vfio/7"))
		return -ENOENT;
	if (f->taken)
		return f->taken;
	assert_int_equal(f->group++, 0);
	return GROUP;
}

static int fake_ioctl(void *arg, int fd, unsigned long request, void *data)
{
	struct fake_vfio *f = arg;
	int err = fake_vfio_turn(f);

	if (err)
		return err;
	switch (fd) {
	case CONTAINER:
		assert_int_equal(f->container, 1);
		return container_ioctl(f, request, data);
	case GROUP:
		assert_int_equal(f->group, 1);
		return group_ioctl(f, request, data);
	case DEVICE:
		assert_int_equal(f->device, 1);
		return device_ioctl(f, request, data);
	default:
		fail_msg("ioctl of fd %d", fd);
		return -EBADF;
	}
}

static int fake_map(void *arg, int fd, uint64_t offset, size_t bytes,
		    void **out)
{
	struct fake_vfio *f = arg;
	int err = fake_vfio_turn(f);

	if (err)
		return err;
	assert_int_equal(fd, DEVICE);
	assert_int_equal(offset, 0);
	assert_int_equal(bytes, FAKE_BAR - 4096);
	f->mapped++;
	*out = f->bar;
	return 0;
}

static void fake_unmap(void *arg, void *addr, size_t bytes)
{
	struct fake_vfio *f = arg;

	assert_ptr_equal(addr, f->bar);
	assert_int_equal(f->device, 1);
	f->mapped--;
}

static ssize_t fake_pread(void *arg, int fd, void *buf, size_t bytes,
			  uint64_t offset)
{
	struct fake_vfio *f = arg;
	int err = fake_vfio_turn(f);

	if (err)
		return err;
	assert_int_equal(fd, DEVICE);
	if (offset >= CONFIG_AT && f->vdev)
		leap_vdev_config_read(f->vdev, offset - CONFIG_AT, buf,
				      (uint32_t)bytes);
	else if (f->vdev)
		leap_vdev_bar_read(f->vdev, offset, buf, (uint32_t)bytes);
	else if (offset >= CONFIG_AT)
		memcpy(buf, f->config + (offset - CONFIG_AT), bytes);
	else
		memcpy(buf, f->bar + offset, bytes);
	return (ssize_t)bytes;
}

static ssize_t fake_pwrite(void *arg, int fd, const void *buf, size_t bytes,
			   uint64_t offset)
{
	struct fake_vfio *f = arg;
	int err = fake_vfio_turn(f);

	if (err)
		return err;
	assert_int_equal(fd, DEVICE);
	if (offset >= CONFIG_AT && f->vdev)
		leap_vdev_config_write(f->vdev, offset - CONFIG_AT, buf,
				       (uint32_t)bytes);
	else if (f->vdev)
		leap_vdev_bar_write(f->vdev, offset, buf, (uint32_t)bytes);
	else if (offset >= CONFIG_AT)
		memcpy(f->config + (offset - CONFIG_AT), buf, bytes);
	else
		memcpy(f->bar + offset, buf, bytes);
	return (ssize_t)bytes;
}

static void close_device(struct fake_vfio *f)
{
	size_t i;

	for (i = 0; i < COUNT(f->irq); i++) {
		if (f->irq[i] >= 0 && f->vdev)
			leap_vdev_irq_fd(f->vdev, LEAP_VDEV_MSIX, (uint32_t)i,
					 -1);
		f->irq[i] = -1;
	}
	f->msix_on = f->msix_vectors = 0;
	f->req_fd = f->err_fd = -1;
	if (f->vdev)
		leap_vdev_reset(f->vdev, NULL, NULL);
	f->device--;
}

/* In the right order: memory goes last. */
static void fake_close(void *arg, int fd)
{
	struct fake_vfio *f = arg;
	size_t i;

	if (fd >= FAKE_PIN) {
		fake_vfio_unpin(f, fd);
	} else if (fd == DEVICE) {
		close_device(f);
	} else if (fd == GROUP) {
		assert_int_equal(f->device, 0);
		f->group--;
		f->set_container = 0;
	} else {
		assert_int_equal(fd, CONTAINER);
		assert_int_equal(f->group, 0);
		f->container--;
		f->set_iommu = 0;
		for (i = 0; i < FAKE_DMA; i++)
			if (f->dma[i].bytes && !f->dma[i].gone)
				fake_vfio_forget(f, &f->dma[i]);
	}
}

static int fake_link(void *arg, const char *path, char *name, size_t max)
{
	struct fake_vfio *f = arg;
	int err = fake_vfio_turn(f);

	if (err)
		return err;
	assert_string_equal(path, "/sys/bus/pci/devices/" FAKE_ADDRESS
			    "/iommu_group");
	if (f->no_group)
		return -ENOENT;
	snprintf(name, max, "7");
	return 0;
}

const struct leap__vfio_calls fake_vfio_calls = {
	.open = fake_open,
	.ioctl = fake_ioctl,
	.map = fake_map,
	.unmap = fake_unmap,
	.pread = fake_pread,
	.pwrite = fake_pwrite,
	.close = fake_close,
	.link = fake_link,
	.pin = fake_vfio_pin,
	.frames = fake_vfio_frames,
};
