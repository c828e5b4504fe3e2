/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the drive behind fake-vfio.c reaches of this process: by an IOMMU, or,
 * without one, whatever is pinned.
 */
#include "fake-vfio.h"

#include <linux/vfio.h>

#define PIN_PAGES	16384u		/* of one, at most */
#define PHYS		(1ull << 40)	/* where the first one begins */

typedef int64_t addr_fn(void *arg, uint64_t offset, uint64_t bytes,
			uint32_t perm, void **addr);

static void show(struct fake_vfio *f, uint64_t at, uint64_t bytes,
		 addr_fn *addr, void *arg)
{
	struct leap_ats_range range = LEAP_ATS_RANGE_INIT;
	struct leap_ats_ops ops = LEAP_ATS_OPS_INIT;

	ops.addr = addr;
	range.gpa.addr = at;
	range.bytes = bytes;
	range.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	range.source = LEAP_ATS_CALLBACK;
	range.ops = &ops;
	range.arg = arg;
	assert_int_equal(leap_vdev_mem_add(f->vdev, &range), 0);
}

/* ---- by an IOMMU ---- */

static int64_t where(void *arg, uint64_t offset, uint64_t bytes, uint32_t perm,
		     void **addr)
{
	struct fake_dma *dma = arg;

	if (!dma->bytes || dma->gone || offset >= dma->bytes)
		return 0;
	*addr = dma->addr + offset;
	return (int64_t)(bytes < dma->bytes - offset ? bytes :
			 dma->bytes - offset);
}

int fake_vfio_map(struct fake_vfio *f,
		  const struct vfio_iommu_type1_dma_map *m)
{
	size_t i, at = FAKE_DMA;

	assert_int_equal(m->argsz, sizeof(*m));
	assert_int_equal(f->set_iommu, 1);
	assert_int_equal((m->vaddr | m->iova | m->size) & 4095, 0);
	assert_true(m->size > 0);
	for (i = 0; i < FAKE_DMA; i++) {
		const struct fake_dma *d = &f->dma[i];

		if (!d->bytes)
			at = i;
		else if (m->iova < d->iova + d->bytes &&
			 d->iova < m->iova + m->size)
			return -EEXIST;
	}
	if (at == FAKE_DMA)
		return -ENOSPC;
	if (f->lockable && f->locked + m->size > f->lockable)
		return -ENOMEM;
	f->dma[at] = (struct fake_dma){
		m->iova, m->size, (uint8_t *)(uintptr_t)m->vaddr, 0,
	};
	f->locked += m->size;
	if (f->vdev)
		show(f, m->iova, m->size, where, &f->dma[at]);
	return 0;
}

static void forgotten(void *arg, int err)
{
	memset(arg, 0, sizeof(struct fake_dma));
}

void fake_vfio_forget(struct fake_vfio *f, struct fake_dma *d)
{
	leap_gpa_t gpa = { d->iova };

	f->locked -= d->bytes;
	d->gone = 1;
	if (!f->vdev)
		forgotten(d, 0);
	else
		assert_int_equal(leap_vdev_mem_del(f->vdev, gpa, d->bytes,
						   forgotten, d), 0);
}

int fake_vfio_unmap(struct fake_vfio *f, struct vfio_iommu_type1_dma_unmap *u)
{
	size_t i;

	for (i = 0; i < FAKE_DMA; i++) {
		struct fake_dma *d = &f->dma[i];

		if (!d->bytes || d->gone || d->iova != u->iova)
			continue;
		assert_int_equal(d->bytes, u->size);
		fake_vfio_forget(f, d);
		return 0;
	}
	u->size = 0;
	return 0;
}

/* ---- without ---- */

/* Pieces of so many pages each, the last one first. */
static uint64_t swapped(const struct fake_vfio *f, uint64_t page)
{
	uint64_t piece = f->piece ? f->piece : 1;

	return (PIN_PAGES / piece - 1 - page / piece) * piece + page % piece;
}

static int64_t where_phys(void *arg, uint64_t offset, uint64_t bytes,
			  uint32_t perm, void **addr)
{
	struct fake_vfio *f = arg;
	const struct fake_pin *p = &f->pin[offset / 4096 / PIN_PAGES];
	uint64_t page = swapped(f, offset / 4096 % PIN_PAGES);
	uint64_t left = 4096 - offset % 4096;

	if (!p->addr || page >= p->pages) {
		f->strays += f->device;
		return 0;
	}
	*addr = p->addr + page * 4096 + offset % 4096;
	return (int64_t)(bytes < left ? bytes : left);
}

/* For good: there is nobody to stop it. */
void fake_vfio_reach_all(struct fake_vfio *f)
{
	if (f->reaches_all)
		return;
	f->reaches_all = 1;
	show(f, PHYS, (uint64_t)FAKE_DMA * PIN_PAGES * 4096, where_phys, f);
}

int fake_vfio_pin(void *arg, void *addr, size_t bytes)
{
	struct fake_vfio *f = arg;
	int err = fake_vfio_turn(f), i;

	if (err)
		return err;
	assert_int_equal(f->no_iommu, 1);
	assert_int_equal(((uintptr_t)addr | bytes) & 4095, 0);
	assert_in_range(bytes / 4096, 1, PIN_PAGES);
	if (f->lockable && f->locked + bytes > f->lockable)
		return -ENOMEM;
	for (i = 0; f->pin[i].addr; i++)
		assert_int_not_equal(i, FAKE_DMA - 1);
	f->pin[i] = (struct fake_pin){ addr, bytes / 4096 };
	f->locked += bytes;
	return FAKE_PIN + i;
}

int fake_vfio_frames(void *arg, const void *addr, size_t bytes,
		     uint64_t *pages)
{
	struct fake_vfio *f = arg;
	uint64_t page;
	int err = fake_vfio_turn(f), i;

	if (err)
		return err;
	for (i = 0; f->pin[i].addr != addr; i++)
		assert_int_not_equal(i, FAKE_DMA - 1);
	assert_int_equal(f->pin[i].pages, bytes / 4096);
	for (page = 0; page < bytes / 4096; page++)
		pages[page] = PHYS + ((uint64_t)i * PIN_PAGES +
				      swapped(f, page)) * 4096;
	return 0;
}

void fake_vfio_unpin(struct fake_vfio *f, int fd)
{
	int i = fd - FAKE_PIN;

	assert_in_range(i, 0, FAKE_DMA - 1);
	assert_non_null(f->pin[i].addr);
	f->locked -= f->pin[i].pages * 4096;
	f->pin[i].addr = NULL;
}
