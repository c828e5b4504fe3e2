/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PCI function as the kernel lends it, over a kernel of our own: how it is
 * opened and every way in which that fails, memory, and vectors.
 */
#include "fake-vfio.h"

#include <linux/vfio.h>
#include <stdio.h>
#include <unistd.h>

#include <leapio/leapio.h>

static struct fake_vfio fake;

static struct leap__vfio_link link_of(void)
{
	struct leap__vfio_link l = { .calls = &fake_vfio_calls, .arg = &fake };

	memcpy(l.address, FAKE_ADDRESS, sizeof(l.address));
	return l;
}

static void refuse(int err, const char *text)
{
	struct leap__vfio_link l = link_of();

	assert_int_equal(leap__vfio_link_open(&l), err);
	assert_last_error(text);
	fake_vfio_check_closed(&fake);
	fake_vfio_init(&fake);
}

static void test_refusals(void **state)
{
	fake_vfio_init(&fake);
	fake.no_group = 1;
	refuse(-ENODEV, "is not there, or in no IOMMU group");
	fake.unbound = 1;
	refuse(-ENODEV, "is not bound to vfio-pci (leap-hostd devices bind");
	fake.taken = -EBUSY;
	refuse(-EBUSY, "is in use: IOMMU group 7 is open elsewhere");
	fake.taken = -EACCES;
	refuse(-EACCES, "/dev/vfio/7 may not be opened by this user");
	fake.not_viable = 1;
	refuse(-EBUSY, "another device of IOMMU group 7 has a driver");
	fake.grows = 1;
	refuse(-EPROTO, "no config space");
}

static void test_addresses(void **state)
{
	static const char *const bad[] = {
		"", "0000:01:00", "0000:01:00.8", "0000:01:00.0x", "01:00.0",
		"../../../etc", "0000:01:00.0/..", "000g:01:00.0",
		"0000-01-00.0",
	};
	size_t i;

	assert_int_equal(leap__pci_check_address("x", "00aF:1f:0b.7"), 0);
	for (i = 0; i < COUNT(bad); i++) {
		assert_int_equal(leap__pci_check_address("x", bad[i]), -EINVAL);
		assert_last_error("is not a PCI address");
	}
}

/* Whichever call fails, nothing stays open. */
static void test_every_step(void **state)
{
	struct leap__vfio_link l;
	int n, err = -1;

	fake_vfio_init(&fake);
	for (n = 1; err; n++) {
		fake_vfio_init(&fake);
		fake.map_bar = 1;
		fake.fail_at = n;
		fake.fail_err = -EIO;
		l = link_of();
		err = leap__vfio_link_open(&l);
		if (err) {
			assert_true(strlen(leap_last_error()) > 20);
			fake_vfio_check_closed(&fake);
		}
		assert_true(n < 100);
		/* What is only good to know may fail. */
		if (!err && fake.calls >= n)
			err = -1;
		if (fake.device)
			leap__vfio_link_close(&l);
	}
	assert_true(n > 12);
	fake_vfio_check_closed(&fake);
}

static void test_no_iommu_group(void **state)
{
	struct leap__vfio_link l;

	fake_vfio_init(&fake);
	fake.no_iommu = 1;
	refuse(-EOPNOTSUPP, "in no-IOMMU mode, where it can write to all");
	fake.no_iommu = 1;
	l = link_of();
	l.no_iommu_ok = true;
	assert_int_equal(leap__vfio_link_open(&l), 0);
	assert_true(l.no_iommu);
	assert_string_equal(l.group_name, "noiommu-7");
	leap__vfio_link_close(&l);
	fake_vfio_check_closed(&fake);
}

static void test_pins(void **state)
{
	struct leap__vfio_link l;
	uint8_t *p = aligned_alloc(4096, 65536);
	uint64_t *pages;
	int i;

	fake_vfio_init(&fake);
	fake.no_iommu = 1;
	fake.lockable = 65536;
	l = link_of();
	l.no_iommu_ok = true;
	assert_int_equal(leap__vfio_link_open(&l), 0);
	assert_int_equal(leap__vfio_link_map(&l, p, 65536, 1, &pages), 0);
	for (i = 1; i < 16; i++)
		assert_int_equal(pages[i], pages[i - 1] - 4096);
	free(pages);
	assert_int_equal(leap__vfio_link_map(&l, p, 4096, 2, &pages), -ENOMEM);
	assert_null(pages);
	assert_int_equal(leap__vfio_link_unmap(&l, 4096, 2), -EIO);
	assert_int_equal(leap__vfio_link_unmap(&l, 65536, 1), 0);
	/* Pinned, but nobody says where it is. */
	fake.fail_at = fake.calls + 2;
	fake.fail_err = -EPERM;
	assert_int_equal(leap__vfio_link_map(&l, p, 4096, 3, &pages), -EPERM);
	assert_int_equal(fake.locked, 0);
	assert_int_equal(leap__vfio_link_map(&l, p, 4096, 4, &pages), 0);
	free(pages);
	leap__vfio_link_close(&l);
	fake_vfio_check_closed(&fake);
	free(p);
}

/* The kernel's own: what is pinned is there, and where it was. */
static void test_real_pin(void **state)
{
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;
	uint64_t pages[16], again[16];
	struct leap_dmabuf *buf;
	int fd, err, i;

	opts.bytes = sizeof(pages) / 8 * 4096;
	opts.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_dmabuf_create(&opts, &buf), 0);
	fd = leap__vfio_pin(NULL, leap_dmabuf_addr(buf), opts.bytes);
	if (fd == -ENOSYS || fd == -EPERM) {
		leap_dmabuf_put(buf);
		printf("skip: no io_uring: %s\n", strerror(-fd));
		skip();
	}
	assert_true(fd >= 0);
	err = leap__vfio_frames(NULL, leap_dmabuf_addr(buf), opts.bytes, pages);
	if (err) {
		assert_int_equal(err, -EPERM);	/* not root */
	} else {
		memset(leap_dmabuf_addr(buf), 0x5a, opts.bytes);
		assert_int_equal(leap__vfio_frames(NULL, leap_dmabuf_addr(buf),
						   opts.bytes, again), 0);
		assert_memory_equal(pages, again, sizeof(pages));
		for (i = 0; i < 16; i++)
			assert_int_equal(pages[i] & 4095, 0);
	}
	close(fd);
	leap_dmabuf_put(buf);
}

static int map(struct leap__vfio_link *l, uint8_t *p, uint64_t bytes,
	       uint64_t iova)
{
	uint64_t *pages;
	int err = leap__vfio_link_map(l, p, bytes, iova, &pages);

	assert_null(pages);
	return err;
}

static void test_memory(void **state)
{
	struct leap__vfio_link l;
	uint8_t *p = aligned_alloc(4096, 65536);

	fake_vfio_init(&fake);
	fake.short_ranges = 1;
	fake.lockable = 32768;
	l = link_of();
	assert_int_equal(leap__vfio_link_open(&l), 0);
	assert_int_equal(l.nr_ranges, 2);
	/* Where interrupt messages go, and beyond the end. */
	assert_int_equal(map(&l, p, 4096, 0xfee00000), -ENOSPC);
	assert_last_error("beyond what the IOMMU translates");
	assert_int_equal(map(&l, p, 8192, (1ull << 32) + (64u << 20) - 4096),
			 -ENOSPC);
	assert_int_equal(map(&l, p, 32768, 1ull << 32), 0);
	assert_int_equal(map(&l, p, 4096, 2u << 20), -ENOMEM);
	assert_int_equal(leap__vfio_link_unmap(&l, 4096, 77u << 12), -EIO);
	assert_int_equal(leap__vfio_link_unmap(&l, 32768, 1ull << 32), 0);
	assert_int_equal(map(&l, p, 4096, 2u << 20), 0);
	leap__vfio_link_close(&l);
	fake_vfio_check_closed(&fake);
	free(p);
}

/* A kernel that decides with the first vector how many there are. */
static void test_vectors(void **state)
{
	struct leap__vfio_link l;
	int old, i;

	for (old = 0; old < 2; old++) {
		fake_vfio_init(&fake);
		fake.old_msix = old;
		l = link_of();
		assert_int_equal(leap__vfio_link_open(&l), 0);
		assert_int_equal(l.nr_vectors, COUNT(fake.irq));
		for (i = 0; i < (int)COUNT(fake.irq); i++)
			assert_int_equal(leap__vfio_link_irq(&l,
				VFIO_PCI_MSIX_IRQ_INDEX, (uint32_t)i, 40 + i),
					 0);
		for (i = 0; i < (int)COUNT(fake.irq); i++)
			assert_int_equal(fake.irq[i], 40 + i);
		assert_int_equal(leap__vfio_link_irq(&l,
			VFIO_PCI_MSIX_IRQ_INDEX, 3, -1), 0);
		assert_int_equal(fake.irq[3], -1);
		leap__vfio_link_close(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_every_step),
		cmocka_unit_test(test_no_iommu_group),
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_real_pin),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
