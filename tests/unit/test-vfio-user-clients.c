/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients of the device end of vfio-user: what they send in pieces, all at once
 * and with descriptors, how they come and go, and what QEMU does until firmware
 * runs.
 */
#include "vfu-fixture.h"

#include <unistd.h>

static void test_too_many_fds(void **state)
{
	int fds[17], i;

	(void)state;
	if (unit_env("LEAP_CROSS")) {
		print_message("skip: qemu-user does not tell that descriptors "
			      "were cut off\n");
		skip();
	}
	for (i = 0; i < 17; i++)
		fds[i] = vf_event();
	vfu_send(&vf.c, LEAP__VFU_RESET, 0, NULL, 0, fds, 17);
	assert_true(vf_hung_up());
	for (i = 0; i < 17; i++)
		close(fds[i]);
}

/* A client's own end of the socket would outlive it here. */
static void test_own_socket(void **state)
{
	struct leap__vfu_hdr h = { 1, LEAP__VFU_DMA_MAP, 48, 0, 0 };

	(void)state;
	vfu_raw(&vf.c, &h, sizeof(h), &vf.c.sock, 1);
	assert_true(vf_hung_up());
}

/* A message in pieces, two in one, and one that never ends. */
static void test_pieces(void **state)
{
	struct leap__vfu_access a = { 0, 7, 4 };
	struct leap__vfu_hdr h = { 7, LEAP__VFU_REGION_READ, 32, 0, 0 };
	uint8_t both[64];
	int i;

	(void)state;
	memcpy(both, &h, 16);
	memcpy(both + 16, &a, 16);
	memcpy(both + 32, both, 32);
	for (i = 0; i < 32; i++)
		vfu_raw(&vf.c, both + i, 1, NULL, 0);
	assert_int_equal(vfu_peek(&vf.c), 20);
	assert_int_equal(vf.c.hdr.id, 7);
	vfu_raw(&vf.c, both, 64, NULL, 0);
	assert_int_equal(vfu_peek(&vf.c), 20);
	assert_int_equal(vfu_peek(&vf.c), 20);
	vfu_raw(&vf.c, both, 31, NULL, 0);
	assert_int_equal(vfu_peek(&vf.c), -1);
}

/* Descriptors go with the message that they came with, however many follow. */
static void test_pipelined(void **state)
{
	struct leap__vfu_set_irqs set = {
		.argsz = 20, .flags = E_FD, .index = 2, .count = 1,
	};
	int fds[8], i;

	(void)state;
	for (i = 0; i < 8; i++) {
		fds[i] = vf_event();
		set.start = (uint32_t)i;
		vfu_send(&vf.c, LEAP__VFU_SET_IRQS, LEAP__VFU_NO_REPLY, &set,
			 sizeof(set), i % 2 ? NULL : &fds[i], i % 2 ? 0 : 1);
	}
	vfu_settle(vf.pg);
	for (i = 0; i < 8; i++) {
		assert_int_equal(vf.vdev.irq[i] >= 0, !(i % 2));
		close(fds[i]);
	}
}

static void test_second_client(void **state)
{
	static struct vfu_client b;
	int fd = vf_event();

	(void)state;
	assert_int_equal(vfu_connect(&b, vf.pg, vf.path), 0);
	assert_int_equal(vfu_hello(&b), -2);
	vfu_close(&b);
	assert_non_null(strstr(vf.log, "second client"));
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 2, 0, 1, NULL, &fd, 1), 0);
	assert_int_equal(vfu_map(&vf.c, 0, 4096, -1, 0, RW), 0);
	/* The first one dies; the next is served when it is forgotten. */
	vf.vdev.hold = 1;
	vfu_close(&vf.c);
	vfu_settle(vf.pg);
	assert_int_equal(vf.vdev.irq[0], -1);
	assert_int_equal(vf.vdev.resets, 1);
	assert_true(leap__vfu_server_busy(vf.server));
	assert_int_equal(vfu_connect(&vf.c, vf.pg, vf.path), 0);
	vfu_send(&vf.c, LEAP__VFU_VERSION, 0, "\0\0\0", 4, NULL, 0);
	assert_int_equal(vfu_peek(&vf.c), -1);
	fake_vdev_end(&vf.vdev, 0);	/* reset */
	assert_int_equal(vfu_peek(&vf.c), -1);
	assert_int_equal(vf.vdev.nr_later, 1);
	fake_vdev_end(&vf.vdev, 0);	/* memory */
	assert_true(vfu_peek(&vf.c) > 4);
	vf.vdev.hold = 0;
	assert_int_equal(vfu_map(&vf.c, 0, 4096, -1, 0, RW), 0);
	close(fd);
}

/* It goes in the middle of an unmap, and nobody is left to be answered. */
static void test_gone_in_unmap(void **state)
{
	struct leap__vfu_dma_unmap u = { .argsz = 24, .bytes = 4096 };

	(void)state;
	assert_int_equal(vfu_map(&vf.c, 0, 4096, -1, 0, RW), 0);
	assert_int_equal(vfu_map(&vf.c, 8192, 4096, -1, 0, RW), 0);
	vf.vdev.hold = 1;
	vfu_send(&vf.c, LEAP__VFU_DMA_UNMAP, 0, &u, sizeof(u), NULL, 0);
	vfu_settle(vf.pg);
	assert_int_equal(vf.vdev.nr_later, 1);
	vfu_close(&vf.c);
	vfu_settle(vf.pg);
	/* A newcomer finds out that it is dead, and waits. */
	assert_int_equal(vfu_connect(&vf.c, vf.pg, vf.path), 0);
	vfu_send(&vf.c, LEAP__VFU_VERSION, 0, "\0\0\0", 4, NULL, 0);
	assert_int_equal(vfu_peek(&vf.c), -1);
	vf.vdev.hold = 0;
	fake_vdev_end(&vf.vdev, 0);
	assert_true(vfu_peek(&vf.c) > 4);
	assert_int_equal(vf.vdev.nr_maps, 0);
	assert_int_equal(vf.vdev.resets, 1);
}

static void test_stop_while_serving(void **state)
{
	(void)state;
	assert_int_equal(vfu_map(&vf.c, 0, 4096, -1, 0, RW), 0);
	vf.vdev.hold = 1;
	leap__vfu_server_stop(vf.server, vf_count, &vf.stopped);
	vfu_settle(vf.pg);
	assert_int_equal(vf.stopped, 0);
	fake_vdev_end(&vf.vdev, 0);
	assert_int_equal(vf.stopped, 0);
	fake_vdev_end(&vf.vdev, -ETIMEDOUT);
	assert_int_equal(vf.stopped, 1);
	assert_int_equal(vf.vdev.destroyed, 1);
	assert_true(vf_hung_up());
	/* For vf_tear_down: a new one. */
	vfu_close(&vf.c);
	assert_int_equal(leap_pollgroup_destroy(vf.pg), 0);
	vf_set_up(state);
}

/* ---- what QEMU says until firmware runs ---------------------------------- */

static void qemu_memory(int fd)
{
	uint64_t at;
	int i;

	assert_int_equal(vfu_map(&vf.c, 0, 0x40000000, fd, 0, RW), 0);
	assert_int_equal(vfu_map(&vf.c, 0xfffc0000, 0x40000, -1, 0, 1), 0);
	/* The BIOS moves its shadow around. */
	for (i = 0; i < 4; i++) {
		assert_int_equal(vfu_unmap(&vf.c, 0, 0x40000000, 0), 0);
		assert_int_equal(vfu_map(&vf.c, 0, 0xc0000, fd, 0, RW), 0);
		for (at = 0xc0000; at < 0x100000; at += 0x8000)
			assert_int_equal(vfu_map(&vf.c, at, 0x8000, fd, at, 1),
					 0);
		assert_int_equal(vfu_map(&vf.c, 0x100000, 0x3ff00000, fd,
					 0x100000, RW), 0);
		for (at = 0xc0000; at < 0x100000; at += 0x8000)
			assert_int_equal(vfu_unmap(&vf.c, at, 0x8000, 0), 0);
		assert_int_equal(vfu_unmap(&vf.c, 0, 0xc0000, 0), 0);
		assert_int_equal(vfu_unmap(&vf.c, 0x100000, 0x3ff00000, 0), 0);
		assert_int_equal(vfu_map(&vf.c, 0, 0x40000000, fd, 0, RW), 0);
	}
	assert_int_equal(vf.vdev.nr_maps, 2);
}

static void qemu_device(int fd)
{
	struct leap__vfu_device_info d = { .argsz = 24 };
	struct leap__vfu_region_info r = { .argsz = 32 };
	struct leap__vfu_irq_info q = { .argsz = 16 };
	uint8_t config[4096];
	uint32_t v, i, ones = 0xffffffff;
	int none = -1;

	assert_int_equal(vf_ask(LEAP__VFU_GET_INFO, &d, sizeof(d)), 0);
	for (i = 0; i < 7; i++) {
		r.index = i < 6 ? i : 7;
		assert_int_equal(vf_ask(LEAP__VFU_REGION_INFO, &r, sizeof(r)),
				 0);
	}
	q.index = 3;
	assert_int_equal(vf_ask(LEAP__VFU_IRQ_INFO, &q, sizeof(q)), 0);
	assert_int_equal(vfu_read(&vf.c, 7, 0, config, sizeof(config)), 0);
	vfu_write(&vf.c, 7, 0x30, &ones, 4, LEAP__VFU_NO_REPLY);
	assert_int_equal(vfu_read(&vf.c, 0, 0, &v, 4), 0);
	q.index = 2;
	assert_int_equal(vf_ask(LEAP__VFU_IRQ_INFO, &q, sizeof(q)), 0);
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 0, 0, 1, NULL, &fd, 1), 0);
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 3, 0, 1, NULL, &fd, 1), 0);
	assert_int_equal(vfu_set_irqs(&vf.c, E_NONE, 0, 0, 0, NULL, &none, 0),
			 0);
	assert_int_equal(vfu_read(&vf.c, 7, 4, &v, 2), 0);
	vfu_write(&vf.c, 7, 4, &v, 2, LEAP__VFU_NO_REPLY);
	assert_int_equal(vf_ask(LEAP__VFU_RESET, NULL, 0), 0);
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, 0, 0, 1, NULL, &fd, 1), 0);
	for (i = 0x10; i < 0x28; i += 4)
		vfu_write(&vf.c, 7, i, &ones, 4, LEAP__VFU_NO_REPLY);
	assert_int_equal(vfu_read(&vf.c, 7, 4, &v, 2), 0);
	assert_int_equal(vf.vdev.resets, 1);
}

static void test_qemu_start(void **state)
{
	int ram = fds_memory(0x40000000, F_SEAL_SHRINK), fd = vf_event();

	(void)state;
	qemu_memory(ram);
	qemu_device(fd);
	close(ram);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VF_LIVE(test_too_many_fds),
		VF_LIVE(test_own_socket),
		VF_LIVE(test_pieces),
		VF_LIVE(test_pipelined),
		VF_LIVE(test_second_client),
		VF_LIVE(test_gone_in_unmap),
		VF_LIVE(test_stop_while_serving),
		VF_LIVE(test_qemu_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
