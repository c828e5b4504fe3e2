/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of a PCI function over a kernel of our own: how it is opened and
 * every way in which that fails, a drive of this process behind it with data of
 * every shape, memory that may not be locked, and a device that is wanted back.
 */
#include "vfio-fixture.h"

#include <linux/vfio.h>
#include <stdio.h>
#include <unistd.h>

#include <leapio/leapio.h>

#include "core/io/regctrl.h"
#include "core/io/transport.h"

#define OUT 31	/* so many that the CQ doorbell is rung */

/* ---- one link ---- */

static void test_refusals(void **state)
{
	fake_vfio_init(&fake);
	fake.no_group = 1;
	vf_refuse(-ENODEV, "is not there, or in no IOMMU group");
	fake.unbound = 1;
	vf_refuse(-ENODEV, "is not bound to vfio-pci (leap-hostd devices bind");
	fake.taken = -EBUSY;
	vf_refuse(-EBUSY, "is in use: IOMMU group 7 is open elsewhere");
	fake.taken = -EACCES;
	vf_refuse(-EACCES, "/dev/vfio/7 may not be opened by this user");
	fake.not_viable = 1;
	vf_refuse(-EBUSY, "another device of IOMMU group 7 has a driver");
	fake.grows = 1;
	vf_refuse(-EPROTO, "no config space");
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
		l = vf_link_of();
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
	l = vf_link_of();
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
		l = vf_link_of();
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

/* ---- a host over it ---- */

static void test_data(void **state)
{
	static const uint32_t flags[] = { 0, LEAP_QP_PRP };
	size_t k;

	for (k = 0; k < COUNT(flags); k++) {
		vf_open_host(flags[k]);
		vf_some(200);
		assert_true(fake.locked >= MEM);
		vf_close_host();
	}
	assert_int_equal(vf.warned, 0);
	assert_int_equal(vf_bounced(), 0);
}

/* What may not be locked is bounced; somebody is told, with the way out. */
static void test_memlock(void **state)
{
	vf_open_host(0);
	fake.lockable = fake.locked;
	vf_some(100);
	assert_int_equal(fake.locked, fake.lockable);
	assert_int_equal(vf_bounced(), 100);
	assert_int_equal(vf.warned, 1);
	assert_non_null(strstr(vf.log, FAKE_ADDRESS));
	vf_close_host();
	/* Not even queues. */
	fake.lockable = 4096;
	assert_int_equal(vf_start(0), 0);
	while (leap_host_state(vf.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(vf.pg, 100000000);
	assert_int_equal(leap_host_state(vf.host), LEAP_HOST_FAILED);
	vf_close_host();
}

/* An IOMMU translates only so many addresses: they are used again. */
static void test_few_addresses(void **state)
{
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	struct leap_piece piece = { .len_bytes = 4096 };
	uint64_t locked;
	int k;

	fake.short_ranges = 1;
	vf_open_host(0);
	locked = fake.locked;
	mopts.bytes = 1 << 20;
	mopts.huge = LEAP_HUGE_NEVER;
	for (k = 0; k < 64; k++) {
		struct leap_req req = { .pieces = &piece, .nr_pieces = 1 };

		assert_int_equal(leap_dmabuf_create(&mopts, &piece.buf), 0);
		piece.addr = leap_dmabuf_addr(piece.buf);
		req.sqe.opc = LEAP_NVM_READ;
		req.sqe.nsid = leap_to_le32(1);
		req.sqe.cdw12 = leap_to_le32(7);
		assert_int_equal(leap_host_sync(vf.host, vf.pg, 1, &req), 0);
		assert_int_equal(leap_req_status(&req), 0);
		assert_int_equal(fake.locked, locked + (1 << 20));
		leap_dmabuf_put(piece.buf);
		while (fake.locked > locked)
			leap_pollgroup_poll(vf.pg, 0);
	}
	assert_int_equal(vf.warned, 0);
	vf_close_host();
}

static void test_any_call(void **state)
{
	vf_any_call();
}

/* Half a second without a command: it sleeps, and does not wake up. */
static void test_idle(void **state)
{
	struct leap_pollgroup_stats a = { .size = sizeof(a) }, b = a;
	uint64_t from;

	vf_open_host(0);
	vf_some(10);
	for (from = leap_pollgroup_now_ns(vf.pg);
	     leap_pollgroup_now_ns(vf.pg) - from < 100000000;)
		leap_pollgroup_wait(vf.pg, 50000000);
	assert_true(fake.irq[0] >= 0);
	leap_pollgroup_stats(vf.pg, &a);
	for (from = leap_pollgroup_now_ns(vf.pg);
	     leap_pollgroup_now_ns(vf.pg) - from < 500000000;)
		leap_pollgroup_wait(vf.pg, 250000000);
	leap_pollgroup_stats(vf.pg, &b);
	assert_in_range(b.wakeups - a.wakeups, 0, 5);
	vf_some(10);
	vf_close_host();
}

static void count_done(struct leap_req *req)
{
	++*(int *)req->lib[0];
	assert_int_equal(leap_req_status(req), 0);
}

/* @req[OUT] on their way; *@done counts. */
static void send_reads(struct leap_req *req, struct leap_piece *piece,
		       int *done)
{
	struct leap_req *r;
	int i;

	memset(req, 0, OUT * sizeof(*req));
	for (i = 0; i < OUT; i++) {
		r = &req[i];
		piece[i] = (struct leap_piece){
			.addr = vf.base + i * 4096, .len_bytes = 4096,
			.buf = vf.mem,
		};
		r->sqe.opc = LEAP_NVM_READ;
		r->sqe.nsid = leap_to_le32(1);
		r->sqe.cdw12 = leap_to_le32(7);
		r->pieces = &piece[i];
		r->nr_pieces = 1;
		r->done = count_done;
		r->lib[0] = (uintptr_t)done;
		assert_int_equal(leap_host_submit(vf.host, 1, &r, 1),
				 1);
	}
}

/* Unplugged: let go at once, with commands out; when it is there again, go on.
 * Nothing of the device is touched in between. */
static void test_wanted_back(void **state)
{
	struct leap_piece piece[OUT];
	struct leap_req req[OUT];
	int done;
	const uint64_t one_event = 1;
	int k;

	vf_open_host(0);
	for (k = 0; k < 40; k++) {
		int fd = k % 2 ? fake.err_fd : fake.req_fd;

		vf_some(3);
		assert_true(fd >= 0);
		fake.no_group = 1;
		done = 0;
		send_reads(req, piece, &done);
		leap_pollgroup_poll(vf.pg, (unsigned int)k % 4);
		assert_int_equal(write(fd, &one_event, 8), 8);
		while (fake.device)
			leap_pollgroup_wait(vf.pg, 100000000);
		assert_non_null(strstr(vf.log, "the kernel wants it back"));
		fake_vfio_check_closed(&fake);
		fake.no_group = 0;
		while (leap_host_state(vf.host) != LEAP_HOST_LIVE || done < OUT)
			leap_pollgroup_wait(vf.pg, 100000000);
	}
	vf_some(20);
	vf_close_host();
}

/* ---- registers that are mapped ---- */

static uint32_t reg(uint32_t at)
{
	return leap_from_le32(*(volatile leap_le32 *)(void *)(fake.bar + at));
}

static void set_reg(uint32_t at, uint32_t value)
{
	*(volatile leap_le32 *)(void *)(fake.bar + at) = leap_to_le32(value);
}

static void test_mapped(void **state)
{
	struct leap_vdev *vdev = fake.vdev;
	int done = 0;

	fake.vdev = NULL;
	fake.map_bar = 1;
	fake.can_reset = 1;
	fake.config[9] = 2;
	fake.config[10] = 8;
	fake.config[11] = 1;
	set_reg(LEAP_REG_CAP, 0x02010fff);	/* 1 s; 4096 entries */
	set_reg(LEAP_REG_CAP + 4, 0x20);	/* NVM command set */
	set_reg(LEAP_REG_VS, 0x20000);
	assert_int_equal(vf_start(0), 0);
	while (!reg(LEAP_REG_DBL)) {
		leap_pollgroup_poll(vf.pg, 0);
		set_reg(LEAP_REG_CSTS, reg(LEAP_REG_CC) & 1);
	}
	/* Identify waits; nobody will do it. */
	assert_int_equal(reg(LEAP_REG_DBL), 1);
	assert_int_equal(fake.config[4], 6);
	assert_int_equal(reg(LEAP_REG_ASQ + 4), 1);	/* from 4 GiB on */
	assert_int_equal(reg(LEAP_REG_ASQ) & 4095, 0);
	assert_int_equal(reg(LEAP_REG_ACQ + 4), 1);
	assert_true(reg(LEAP_REG_ACQ) > reg(LEAP_REG_ASQ));
	leap_host_close(vf.host, set_flag, &done);
	while (!done) {
		leap_pollgroup_poll(vf.pg, 0);
		set_reg(LEAP_REG_CSTS, reg(LEAP_REG_CC) & 1);
	}
	assert_int_equal(reg(LEAP_REG_CC) & 1, 0);
	assert_int_equal(fake.resets, 1);
	fake_vfio_check_closed(&fake);
	fake.vdev = vdev;
}

#define T(f) cmocka_unit_test_setup_teardown(f, vf_setup, vf_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_every_step),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_vectors),
		T(test_data), T(test_memlock), T(test_few_addresses),
		T(test_any_call), T(test_idle), T(test_wanted_back),
		T(test_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
