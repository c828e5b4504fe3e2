/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device end of vfio-user: memory that is mapped and unmapped, what ends
 * later than it was asked for, interrupts.
 */
#define _GNU_SOURCE
#include "vfu-fixture.h"

#include "util/maplimit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- memory -------------------------------------------------------------- */

static void test_map(void **state)
{
	int fd = fds_memory(1 << 20, F_SEAL_SHRINK);

	(void)state;
	assert_int_equal(vfu_map(&vf.c, 0, 0xa0000, fd, 0, RW), 0);
	assert_int_equal(vf.vdev.maps[0].source, LEAP_ATS_FD);
	assert_int_equal(vf.vdev.maps[0].perm,
			 LEAP_PERM_READ | LEAP_PERM_WRITE);
	assert_int_equal(vfu_map(&vf.c, 0xc0000, 0x8000, fd, 0x80000,
				 LEAP__VFU_MAP_READ), 0);
	assert_int_equal(vf.vdev.maps[1].perm, LEAP_PERM_READ);
	assert_int_equal(vf.vdev.maps[1].offset, 0x80000);
	/* A ROM: without a file. */
	assert_int_equal(vfu_map(&vf.c, 0xfffc0000, 0x40000, -1, 7,
				 LEAP__VFU_MAP_READ), 0);
	assert_int_equal(vf.vdev.maps[2].source, LEAP_ATS_MESSAGE);
	assert_null(strstr(vf.log, "memory-backend-memfd"));
	assert_int_equal(vfu_map(&vf.c, 1ull << 32, 4096, -1, 0, RW), 0);
	assert_non_null(strstr(vf.log, "memory-backend-memfd"));
	/* To the top of what there is. */
	assert_int_equal(vfu_map(&vf.c, UINT64_MAX - 4095, 4096, -1, 0, RW), 0);
	assert_int_equal(vf.vdev.nr_maps, 5);
	/* Descriptors are ours no longer. */
	close(fd);
	assert_int_equal(vfu_unmap(&vf.c, 0xc0000, 0x8000, 0), 0);
	assert_int_equal(vfu_unmap(&vf.c, 0xc0000, 0x8000, 0), ENOENT);
	assert_int_equal(vf.vdev.nr_maps, 4);
	assert_int_equal(vfu_map(&vf.c, 0xc0000, 0x4000, -1, 0,
				 LEAP__VFU_MAP_READ), 0);
	assert_int_equal(vfu_unmap(&vf.c, 0, 0, LEAP__VFU_UNMAP_ALL), 0);
	assert_int_equal(vf.vdev.nr_maps, 0);
	assert_int_equal(vfu_unmap(&vf.c, 0, 0, LEAP__VFU_UNMAP_ALL), 0);
}

static void test_bad_map(void **state)
{
	struct leap__vfu_dma_map m = {
		.argsz = 32, .flags = RW, .addr = 0, .bytes = 4096,
	};
	int fd = fds_memory(1 << 16, F_SEAL_SHRINK), two[2] = { fd, fd };

	(void)state;
	assert_int_equal(vfu_map(&vf.c, 0x10000, 0x10000, fd, 0, RW), 0);
	assert_int_equal(vfu_map(&vf.c, 0x10000, 0x10000, fd, 0, RW), EEXIST);
	assert_int_equal(vfu_map(&vf.c, 0x1f000, 0x2000, fd, 0, RW), EEXIST);
	assert_int_equal(vfu_map(&vf.c, 0xf000, 0x1001, fd, 0, RW), EEXIST);
	assert_int_equal(vfu_map(&vf.c, 0, UINT64_MAX, -1, 0, RW), EEXIST);
	assert_int_equal(vfu_map(&vf.c, 0x12000, 0x1000, -1, 0, RW), EEXIST);
	assert_int_equal(vfu_map(&vf.c, 0x40000, 0, fd, 0, RW), EINVAL);
	assert_int_equal(vfu_map(&vf.c, UINT64_MAX, 2, fd, 0, RW), EINVAL);
	assert_int_equal(vfu_map(&vf.c, 0x40000, 4096, fd, UINT64_MAX, RW),
			 EINVAL);
	assert_int_equal(vfu_map(&vf.c, 0x40000, 4096, fd, 0, 0), EINVAL);
	assert_int_equal(vfu_map(&vf.c, 0x40000, 4096, fd, 0, 0x13), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_DMA_MAP, &m, 31), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_DMA_MAP, &m, 0), EINVAL);
	assert_int_equal(vfu_ask(&vf.c, LEAP__VFU_DMA_MAP, &m, 32, two, 2,
				 NULL),
			 EINVAL);
	m.argsz = 31;
	assert_int_equal(vf_ask(LEAP__VFU_DMA_MAP, &m, 32), EINVAL);
	vf.vdev.mem_add_err = -ENOMEM;
	assert_int_equal(vfu_map(&vf.c, 0x40000, 4096, fd, 0, RW), ENOMEM);
	assert_int_equal(vf.vdev.nr_maps, 1);
	close(fd);
}

/* Files have any length; addresses of this process are for others too. */
static void test_more_than_there_is(void **state)
{
	uint64_t most = leap__map_limit() & ~4095ull;
	int fd = fds_memory(most + 4096, F_SEAL_SHRINK);

	(void)state;
	assert_true(most > 1 << 20);
	assert_int_equal(vfu_map(&vf.c, 0, most + 4096, fd, 0, RW), ENOSPC);
	assert_int_equal(vfu_map(&vf.c, 0, 8192, fd, 0, RW), 0);
	assert_int_equal(vfu_map(&vf.c, 8192, most, fd, 0, RW), ENOSPC);
	assert_int_equal(vfu_map(&vf.c, 8192, most - 8192, fd, 0, RW), 0);
	assert_int_equal(vfu_map(&vf.c, most, 4096, fd, 0, RW), ENOSPC);
	/* What is not mapped here takes nothing. */
	assert_int_equal(vfu_map(&vf.c, most, most, -1, 0, RW), 0);
	assert_int_equal(vfu_unmap(&vf.c, 0, 8192, 0), 0);
	assert_int_equal(vfu_map(&vf.c, 0, 4096, fd, 0, RW), 0);
	assert_int_equal(vfu_map(&vf.c, 4096, 4096, fd, 0, RW), 0);
	assert_int_equal(vfu_unmap(&vf.c, 0, 0, LEAP__VFU_UNMAP_ALL), 0);
	assert_int_equal(vfu_map(&vf.c, 0, most, fd, 0, RW), 0);
	close(fd);
}

/* A file that could be cut short under a load: kept, not used, explained. */
static void test_unsealed(void **state)
{
	int fd = fds_memory(1 << 16, 0);

	(void)state;
	vf.vdev.mem_add_err = -EACCES;
	assert_int_equal(vfu_map(&vf.c, 0, 0x10000, fd, 0, RW), 0);
	assert_int_equal(vf.vdev.maps[0].source, LEAP_ATS_MESSAGE);
	assert_non_null(strstr(vf.log, "the test said so"));
	assert_non_null(strstr(vf.log, "memory-backend-memfd"));
	assert_int_equal(vfu_unmap(&vf.c, 0, 0x10000, 0), 0);
	close(fd);
}

static void test_bad_unmap(void **state)
{
	struct leap__vfu_dma_unmap u = { .argsz = 24, .bytes = 4096 };

	(void)state;
	assert_int_equal(vfu_map(&vf.c, 0x10000, 0x10000, -1, 0, RW), 0);
	assert_int_equal(vfu_unmap(&vf.c, 0x10000, 0x1000, 0), ENOENT);
	assert_int_equal(vfu_unmap(&vf.c, 0x11000, 0xf000, 0), ENOENT);
	assert_int_equal(vfu_unmap(&vf.c, 0xf000, 0x11000, 0), ENOENT);
	assert_int_equal(vfu_unmap(&vf.c, 0x10000, 0, 0), EINVAL);
	assert_int_equal(vfu_unmap(&vf.c, UINT64_MAX, 2, 0), EINVAL);
	assert_int_equal(vfu_unmap(&vf.c, 0x10000, 0x10000, 1), EOPNOTSUPP);
	assert_int_equal(vfu_unmap(&vf.c, 0x10000, 0x10000, 4), EINVAL);
	assert_int_equal(vfu_unmap(&vf.c, 0x10000, 0x10000, 2), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_DMA_UNMAP, &u, 23), EINVAL);
	u.argsz = 8;
	assert_int_equal(vf_ask(LEAP__VFU_DMA_UNMAP, &u, 24), EINVAL);
	assert_int_equal(vf.vdev.nr_maps, 1);
	assert_int_equal(vfu_unmap(&vf.c, 0x10000, 0x10000, 0), 0);
}

/* ---- what ends later ----------------------------------------------------- */

/* A guest is told of memory when whoever serves it knows it. */
static void test_map_waits(void **state)
{
	struct leap__vfu_dma_map m = {
		.argsz = 32, .flags = RW, .addr = 0x10000, .bytes = 0x1000,
	};
	uint32_t v = 7;
	int i;

	(void)state;
	vf.vdev.hold = 1;
	for (i = 0; i < 2; i++, m.addr += 0x1000) {
		vfu_send(&vf.c, LEAP__VFU_DMA_MAP, 0, &m, sizeof(m), NULL, 0);
		assert_int_equal(vfu_peek(&vf.c), -1);
		vfu_write(&vf.c, 0, 0x1000, &v, 4, LEAP__VFU_NO_REPLY);
		vfu_settle(vf.pg);
		assert_int_equal(vf.vdev.writes, i);
		/* One that was not told in time is by its successor. */
		fake_vdev_end(&vf.vdev, i ? -ETIMEDOUT : 0);
		assert_int_equal(vfu_peek(&vf.c), 0);
		assert_int_equal(vf.c.hdr.flags, LEAP__VFU_REPLY);
		vfu_settle(vf.pg);
		assert_int_equal(vf.vdev.writes, i + 1);
	}
	assert_int_equal(vf.vdev.nr_maps, 2);
	vf.vdev.hold = 0;
}

static void test_unmap_waits(void **state)
{
	struct leap__vfu_dma_unmap u = {
		.argsz = 24, .addr = 0x10000, .bytes = 0x1000,
	};
	uint32_t v = 7;

	(void)state;
	assert_int_equal(vfu_map(&vf.c, 0x10000, 0x1000, -1, 0, RW), 0);
	vf.vdev.hold = 1;
	vfu_send(&vf.c, LEAP__VFU_DMA_UNMAP, 0, &u, sizeof(u), NULL, 0);
	assert_int_equal(vfu_peek(&vf.c), -1);
	/* What comes behind it waits. */
	vfu_write(&vf.c, 0, 0x1000, &v, 4, LEAP__VFU_NO_REPLY);
	vfu_settle(vf.pg);
	assert_int_equal(vf.vdev.writes, 0);
	fake_vdev_end(&vf.vdev, 0);
	assert_int_equal(vfu_peek(&vf.c), sizeof(u));
	assert_int_equal(vf.c.hdr.flags, LEAP__VFU_REPLY);
	vfu_settle(vf.pg);
	assert_int_equal(vf.vdev.writes, 1);
	/* It was not fenced: an error, and it can be asked for again. */
	vf.vdev.hold = 0;
	assert_int_equal(vfu_map(&vf.c, 0x10000, 0x1000, -1, 0, RW), 0);
	vf.vdev.hold = 1;
	vfu_send(&vf.c, LEAP__VFU_DMA_UNMAP, 0, &u, sizeof(u), NULL, 0);
	vfu_settle(vf.pg);
	fake_vdev_end(&vf.vdev, -ETIMEDOUT);
	assert_int_equal(vfu_peek(&vf.c), 0);
	assert_int_equal(vf.c.hdr.flags, LEAP__VFU_REPLY | LEAP__VFU_ERROR);
	assert_int_equal(vf.c.hdr.err, ETIMEDOUT);
	vf.vdev.hold = 0;
	assert_int_equal(vfu_unmap(&vf.c, 0x10000, 0x1000, 0), 0);
}

static void test_unmap_all_waits(void **state)
{
	struct leap__vfu_dma_unmap u = { .argsz = 24, .flags = 2 };
	uint64_t i;

	(void)state;
	for (i = 0; i < 20; i++)
		assert_int_equal(vfu_map(&vf.c, i << 20, 1 << 19, -1, 0, RW),
				 0);
	vf.vdev.hold = 1;
	vfu_send(&vf.c, LEAP__VFU_DMA_UNMAP, 0, &u, sizeof(u), NULL, 0);
	assert_int_equal(vfu_peek(&vf.c), -1);
	assert_int_equal(vf.vdev.nr_later, 20);
	fake_vdev_end(&vf.vdev, 0);
	assert_int_equal(vfu_peek(&vf.c), sizeof(u));
	assert_int_equal(vf.vdev.nr_maps, 0);
	/* One that nobody wants to hear of. */
	vfu_send(&vf.c, LEAP__VFU_DMA_UNMAP, LEAP__VFU_NO_REPLY, &u, sizeof(u),
		 NULL, 0);
	assert_int_equal(vfu_peek(&vf.c), -1);
}

static void test_reset_waits(void **state)
{
	(void)state;
	vf.vdev.hold = 1;
	vfu_send(&vf.c, LEAP__VFU_RESET, 0, NULL, 0, NULL, 0);
	assert_int_equal(vfu_peek(&vf.c), -1);
	assert_int_equal(vf.vdev.resets, 1);
	fake_vdev_end(&vf.vdev, 0);
	assert_int_equal(vfu_peek(&vf.c), 0);
	assert_int_equal(vf.c.hdr.flags, LEAP__VFU_REPLY);
	vfu_send(&vf.c, LEAP__VFU_RESET, 0, NULL, 0, NULL, 0);
	vfu_settle(vf.pg);
	fake_vdev_end(&vf.vdev, -ETIMEDOUT);
	assert_int_equal(vfu_peek(&vf.c), 0);
	assert_int_equal(vf.c.hdr.err, ETIMEDOUT);
}

/* ---- interrupts ---------------------------------------------------------- */

static void test_msix(void **state)
{
	int fds[VF_VECTORS], none = -1;
	uint8_t bools[4] = { 0, 1, 0, 255 };
	uint32_t i;

	(void)state;
	for (i = 0; i < VF_VECTORS; i++)
		fds[i] = vf_event();
	/* In pieces of what one message can take. */
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 2, 0, 16, NULL, fds, 16), 0);
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 2, 16, 1, NULL, fds + 16, 1),
			 0);
	for (i = 0; i < VF_VECTORS; i++)
		assert_true(vf.vdev.irq[i] >= 0);
	/* The client tries them. */
	assert_int_equal(vfu_set_irqs(&vf.c, E_NONE, 2, 16, 1, NULL, &none, 0),
			 0);
	assert_int_equal(vf_fired(fds[16]), 1);
	assert_int_equal(vfu_set_irqs(&vf.c, LEAP__VFU_SET_BOOL |
				      LEAP__VFU_SET_TRIGGER, 2, 1, 4, bools,
				      &none, 0), 0);
	assert_int_equal(vf_fired(fds[1]), 0);
	assert_int_equal(vf_fired(fds[2]), 1);
	assert_int_equal(vf_fired(fds[4]), 1);
	/* One is taken away, then all. */
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 2, 3, 2, NULL, &none, 0), 0);
	assert_int_equal(vf.vdev.irq[3], -1);
	assert_int_equal(vf.vdev.irq[4], -1);
	assert_true(vf.vdev.irq[5] >= 0);
	assert_int_equal(vfu_set_irqs(&vf.c, E_NONE, 2, 0, 0, NULL, &none, 0),
			 0);
	for (i = 0; i < VF_VECTORS; i++)
		assert_int_equal(vf.vdev.irq[i], -1);
	assert_int_equal(vfu_set_irqs(&vf.c, E_NONE, 2, 0, 1, NULL, &none, 0),
			 0);
	assert_int_equal(vf_fired(fds[0]), 0);
	vf.vdev.irq_err = -EMFILE;
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 2, 0, 1, NULL, fds, 1),
			 EMFILE);
	vf.vdev.irq_err = 0;
	for (i = 0; i < VF_VECTORS; i++)
		close(fds[i]);
}

static void test_intx(void **state)
{
	struct leap__vfu_dev *dev = leap__vfu_server_dev(vf.server);
	int fd = vf_event(), none = -1;

	(void)state;
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 0, 0, 1, NULL, &fd, 1), 0);
	assert_int_equal(vf_fired(fd), 0);
	vf.vdev.intx_level = 1;
	leap__vfu_intx(dev, 1);
	assert_int_equal(vf_fired(fd), 1);
	/* Masked by that until the client says so. */
	leap__vfu_intx(dev, 0);
	leap__vfu_intx(dev, 1);
	assert_int_equal(vf_fired(fd), 0);
	assert_int_equal(vfu_set_irqs(&vf.c, LEAP__VFU_SET_NONE |
				      LEAP__VFU_SET_UNMASK, 0, 0, 1, NULL,
				      &none, 0), 0);
	assert_int_equal(vf_fired(fd), 1);	/* still asserted */
	vf.vdev.intx_level = 0;
	leap__vfu_intx(dev, 0);
	assert_int_equal(vfu_set_irqs(&vf.c, LEAP__VFU_SET_NONE |
				      LEAP__VFU_SET_UNMASK, 0, 0, 1, NULL,
				      &none, 0), 0);
	assert_int_equal(vf_fired(fd), 0);
	assert_int_equal(vfu_set_irqs(&vf.c, LEAP__VFU_SET_BOOL |
				      LEAP__VFU_SET_MASK, 0, 0, 1, "\1", &none,
				      0), 0);
	vf.vdev.intx_level = 1;
	leap__vfu_intx(dev, 1);
	assert_int_equal(vf_fired(fd), 0);
	/* One who comes with a new eventfd hears what is pending. */
	assert_int_equal(vfu_set_irqs(&vf.c, E_NONE, 0, 0, 0, NULL, &none, 0),
			 0);
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 0, 0, 1, NULL, &fd, 1), 0);
	assert_int_equal(vf_fired(fd), 1);
	close(fd);
}

static void test_bad_irqs(void **state)
{
	static const struct {
		uint32_t flags, index, start, count;
		int want;
	} bad[] = {
		{ E_NONE, 5, 0, 1, EINVAL }, { E_NONE, 99, 0, 0, EINVAL },
		{ E_NONE, 1, 0, 1, EINVAL },
		{ E_NONE, 2, VF_VECTORS, 1, EINVAL },
		{ E_NONE, 2, 0, VF_VECTORS + 1, EINVAL },
		{ E_NONE, 2, UINT32_MAX, 2, EINVAL },
		{ E_NONE, 2, VF_VECTORS + 1, 0, EINVAL },
		{ E_NONE, 0, 0, 2, EINVAL },
		{ LEAP__VFU_SET_NONE, 2, 0, 1, EINVAL },
		{ LEAP__VFU_SET_TRIGGER, 2, 0, 1, EINVAL },
		{ 0, 2, 0, 0, EINVAL }, { 0x25, 2, 0, 1, EINVAL },
		{ 0x31, 2, 0, 1, EINVAL }, { 0x61, 2, 0, 1, EINVAL },
		{ E_FD, 2, 0, 0, EINVAL },
		{ LEAP__VFU_SET_NONE | LEAP__VFU_SET_MASK, 2, 0, 0, EINVAL },
		{ LEAP__VFU_SET_NONE | LEAP__VFU_SET_MASK, 2, 0, 1, ENOTSUP },
		{ LEAP__VFU_SET_EVENTFD | LEAP__VFU_SET_UNMASK, 0, 0, 1,
		  ENOTSUP },
	};
	int fds[3] = { vf_event(), vf_event(), -1 }, none = -1;
	uint8_t p[24] = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		assert_int_equal(vfu_set_irqs(&vf.c, bad[i].flags, bad[i].index,
				bad[i].start, bad[i].count, p, &none, 0),
				 bad[i].want);
	/* More or fewer descriptors than vectors; some where none belong. */
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 2, 0, 1, NULL, fds, 2),
			 EINVAL);
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 2, 0, 3, NULL, fds, 2),
			 EINVAL);
	assert_int_equal(vfu_set_irqs(&vf.c, E_NONE, 2, 0, 1, NULL, fds, 1),
			 EINVAL);
	assert_int_equal(vfu_ask(&vf.c, LEAP__VFU_RESET, NULL, 0, fds, 1, NULL),
			 EINVAL);
	/* Not an eventfd. */
	fds[2] = fds_memory(4096, F_SEAL_SHRINK);
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 2, 0, 1, NULL, fds + 2, 1),
			 EINVAL);
	for (i = 0; i < 3; i++)
		close(fds[i]);
	for (i = 0; i < VF_VECTORS; i++)
		assert_int_equal(vf.vdev.irq[i], -1);
}

static void test_bad_irq_lengths(void **state)
{
	struct leap__vfu_set_irqs set = {
		.argsz = 20, .flags = E_NONE, .index = 2, .count = 1,
	};
	uint8_t p[24] = { 0 };
	size_t i;

	(void)state;
	memcpy(p, &set, sizeof(set));
	assert_int_equal(vf_ask(LEAP__VFU_SET_IRQS, p, 19), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_SET_IRQS, p, 21), EINVAL);
	set.flags = LEAP__VFU_SET_BOOL | LEAP__VFU_SET_TRIGGER;
	memcpy(p, &set, sizeof(set));
	assert_int_equal(vf_ask(LEAP__VFU_SET_IRQS, p, 20), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_SET_IRQS, p, 22), EINVAL);
	set.argsz = 19;
	memcpy(p, &set, sizeof(set));
	assert_int_equal(vf_ask(LEAP__VFU_SET_IRQS, p, 21), EINVAL);
	for (i = 0; i < VF_VECTORS; i++)
		assert_int_equal(vf.vdev.irq[i], -1);
}

static void test_other_irqs(void **state)
{
	int fd = vf_event(), none = -1;
	uint32_t index;

	(void)state;
	for (index = 3; index < 5; index++) {
		assert_int_equal(vfu_set_irqs(&vf.c, E_FD, index, 0, 1, NULL,
					      &fd, 1), 0);
		assert_int_equal(vfu_set_irqs(&vf.c, E_NONE, index, 0, 1, NULL,
					      &none, 0), 0);
		assert_int_equal(vf_fired(fd), 1);
		assert_int_equal(vfu_set_irqs(&vf.c, E_NONE, index, 0, 0, NULL,
					      &none, 0), 0);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VF_LIVE(test_map),
		VF_LIVE(test_bad_map),
		VF_LIVE(test_more_than_there_is),
		VF_LIVE(test_unsealed),
		VF_LIVE(test_bad_unmap),
		VF_LIVE(test_map_waits),
		VF_LIVE(test_unmap_waits),
		VF_LIVE(test_unmap_all_waits),
		VF_LIVE(test_reset_waits),
		VF_LIVE(test_msix),
		VF_LIVE(test_intx),
		VF_LIVE(test_bad_irqs),
		VF_LIVE(test_bad_irq_lengths),
		VF_LIVE(test_other_irqs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
