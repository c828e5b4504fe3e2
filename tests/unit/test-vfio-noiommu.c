/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pcie transport without an IOMMU: for who asks for it and for nobody else,
 * over a kernel in which no two pages of pinned memory lie together.
 */
#include "vfio-fixture.h"

#include <stdio.h>
#include <unistd.h>

static void test_no_iommu_group(void **state)
{
	struct leap__vfio_link l;

	fake_vfio_init(&fake);
	fake.no_iommu = 1;
	vf_refuse(-EOPNOTSUPP, "in no-IOMMU mode, where it can write to all");
	fake.no_iommu = 1;
	l = vf_link_of();
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
	l = vf_link_of();
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

/* Only who says that he wants it gets it. */
static void test_no_iommu_asked(void **state)
{
	struct leap_lender_opts lopts = LEAP_LENDER_OPTS_INIT;
	struct leap_lender *lender;

	fake.no_iommu = 1;
	assert_int_equal(vf_start(0), -EOPNOTSUPP);
	assert_last_error("an IOMMU is needed, or ?noiommu=1");
	fake_vfio_check_closed(&fake);
	vf.url = "pcie:" FAKE_ADDRESS "?noiommu=0/" NQN;
	assert_int_equal(vf_start(0), -EINVAL);
	assert_last_error("only ?noiommu=1 may follow an address");
	vf.url = "pcie:" FAKE_ADDRESS "1?noiommu=1/" NQN;
	assert_int_equal(vf_start(0), -EINVAL);
	assert_last_error("is not a PCI address");
	lopts.url = NO_IOMMU_URL;
	assert_int_equal(leap_lender_create(vf.pg, &lopts, &lender),
			 -EOPNOTSUPP);
	assert_last_error("without an IOMMU a device cannot be lent");
	/* Asked for and not needed: then it is not used. */
	fake.no_iommu = 0;
	vf.url = NO_IOMMU_URL;
	vf_open_host(0);
	vf_some(20);
	assert_int_equal(vf.warned, 0);
	vf_close_host();
}

/* No two pages lie together; every list has to say where each is. */
static void test_no_iommu_data(void **state)
{
	static const uint32_t flags[] = { 0, LEAP_QP_PRP };
	size_t k;

	fake.no_iommu = 1;
	vf.url = NO_IOMMU_URL;
	for (k = 0; k < COUNT(flags); k++) {
		vf_open_host(flags[k]);
		assert_non_null(strstr(vf.log, "can write to all memory"));
		vf_some(200);
		assert_true(fake.locked >= MEM);
		assert_int_equal(vf_bounced(), k * 200);
		vf.elsewhere = 1;
		vf_some(200);
		assert_int_equal(vf_bounced(), k * 200 + 200);
		vf.elsewhere = 0;
		vf_some(50);
		vf_close_host();
		assert_int_equal(vf.warned, 1 + (int)k);
	}
}

static void test_no_iommu_lock(void **state)
{
	fake.no_iommu = 1;
	vf.url = NO_IOMMU_URL;
	vf_open_host(0);
	fake.lockable = fake.locked;
	vf_some(100);
	assert_int_equal(fake.locked, fake.lockable);
	assert_int_equal(vf.warned, 2);
	vf_close_host();
}

static void test_no_iommu_calls(void **state)
{
	fake.no_iommu = 1;
	vf.url = NO_IOMMU_URL;
	vf_any_call();
}

/* A ring longer than what lies together cannot be used. */
static void test_no_iommu_rings(void **state)
{
	fake.no_iommu = 1;
	vf.url = NO_IOMMU_URL;
	vf.depth = 128;
	assert_int_equal(vf_start(0), 0);
	while (leap_host_state(vf.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(vf.pg, 100000000);
	assert_int_equal(leap_host_state(vf.host), LEAP_HOST_FAILED);
	assert_last_error("without huge pages");
	vf_close_host();
	fake.piece = 2;
	vf_open_host(0);
	vf_some(200);
	vf_close_host();
}

#define T(f) cmocka_unit_test_setup_teardown(f, vf_setup, vf_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_iommu_group),
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_real_pin),
		T(test_no_iommu_asked), T(test_no_iommu_data),
		T(test_no_iommu_lock), T(test_no_iommu_calls),
		T(test_no_iommu_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
