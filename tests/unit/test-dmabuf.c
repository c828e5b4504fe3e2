/* SPDX-License-Identifier: BSD-3-Clause */
/* src/dmabuf: regions, imports that must be refused, registrars, pools. */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <leapio/dmabuf.h>

#include "fds.h"

static struct leap_dmabuf *create(uint64_t bytes, uint32_t huge)
{
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;
	struct leap_dmabuf *buf = NULL;

	opts.bytes = bytes;
	opts.huge = huge;
	assert_int_equal(leap_dmabuf_create(&opts, &buf), 0);
	return buf;
}

static void create_gives_sealed_zeroes(void **state)
{
	struct leap_dmabuf *buf = create(5000, LEAP_HUGE_NEVER);
	unsigned char *p = leap_dmabuf_addr(buf);
	uint64_t i;
	int fd = leap_dmabuf_fd(buf);

	assert_int_equal(leap_dmabuf_bytes(buf) % 4096, 0);
	assert_true(leap_dmabuf_bytes(buf) >= 5000);
	for (i = 0; i < leap_dmabuf_bytes(buf); i++)
		assert_int_equal(p[i], 0);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	leap_dmabuf_put(buf);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void create_auto_always_works(void **state)
{
	struct leap_dmabuf *buf = create(3 << 20, LEAP_HUGE_AUTO);
	uint32_t page = leap_dmabuf_page_bytes(buf);

	assert_true(page == 4096 || page == 2 << 20);
	assert_int_equal(leap_dmabuf_bytes(buf) % page, 0);
	memset(leap_dmabuf_addr(buf), 0x5a, leap_dmabuf_bytes(buf));
	leap_dmabuf_put(buf);
}

static void create_refuses(void **state)
{
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;
	struct leap_dmabuf *buf = NULL;

	assert_int_equal(leap_dmabuf_create(&opts, &buf), -EINVAL);
	assert_non_null(strstr(leap_last_error(), "bytes 0"));
	opts.bytes = UINT64_MAX;
	assert_int_equal(leap_dmabuf_create(&opts, &buf), -EINVAL);
	opts.bytes = 4096;
	opts.huge = 3;
	assert_int_equal(leap_dmabuf_create(&opts, &buf), -EINVAL);
	/* 32 TiB of huge pages exist nowhere that this test runs. */
	opts.huge = LEAP_HUGE_ALWAYS;
	opts.bytes = UINT64_C(1) << 45;
	assert_int_equal(leap_dmabuf_create(&opts, &buf), -ENOMEM);
	assert_null(buf);
}

static void import_shares_the_bytes(void **state)
{
	struct leap_dmabuf *a = create(16384, LEAP_HUGE_NEVER), *b = NULL;
	unsigned char *pa = leap_dmabuf_addr(a), *pb;

	assert_int_equal(leap_dmabuf_import(leap_dmabuf_fd(a), 4096, 100,
				LEAP_PERM_READ | LEAP_PERM_WRITE, &b), 0);
	pb = leap_dmabuf_addr(b);
	assert_int_equal(leap_dmabuf_bytes(b), 100);
	assert_true(leap_dmabuf_fd(a) != leap_dmabuf_fd(b));
	pb[99] = 0x77;
	assert_int_equal(pa[4096 + 99], 0x77);
	leap_dmabuf_put(a);
	/* b stands on its own. */
	assert_int_equal(pb[99], 0x77);
	leap_dmabuf_put(b);
}

static void import_refuses(void **state)
{
	struct leap_dmabuf *buf = NULL;
	int open_fd = fds_memory(8192, 0);
	int fd = fds_memory(8192, F_SEAL_SHRINK);
	int ro = fds_memory(8192, F_SEAL_SHRINK | F_SEAL_WRITE);
	int disk = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_int_equal(leap_dmabuf_import(open_fd, 0, 8192, 3, &buf),
			 -EACCES);
	assert_int_equal(leap_dmabuf_import(disk, 0, 4096, 1, &buf), -EACCES);
	assert_int_equal(leap_dmabuf_import(-1, 0, 4096, 1, &buf), -EBADF);
	assert_int_equal(leap_dmabuf_import(fd, 1, 4096, 3, &buf), -EINVAL);
	assert_int_equal(leap_dmabuf_import(fd, 4096, 4097, 3, &buf), -EINVAL);
	assert_int_equal(leap_dmabuf_import(fd, 8192, 1, 3, &buf), -EINVAL);
	assert_int_equal(leap_dmabuf_import(fd, 0, 0, 3, &buf), -EINVAL);
	assert_int_equal(leap_dmabuf_import(fd, 4096, UINT64_MAX, 3, &buf),
			 -EINVAL);
	assert_int_equal(leap_dmabuf_import(fd, UINT64_MAX - 4095, 4096, 3,
					    &buf), -EINVAL);
	assert_int_equal(leap_dmabuf_import(fd, 0, 8192, 0, &buf), -EINVAL);
	assert_int_equal(leap_dmabuf_import(fd, 0, 8192, 4, &buf), -EINVAL);
	assert_int_equal(leap_dmabuf_import(ro, 0, 8192, 3, &buf), -EACCES);
	assert_null(buf);
	assert_int_equal(leap_dmabuf_import(ro, 0, 8192, 1, &buf), 0);
	leap_dmabuf_put(buf);
	close(open_fd);
	close(fd);
	close(ro);
	close(disk);
}

struct device {
	struct leap_registrar reg;
	int adds, dels, fail;
};

static int device_add(struct leap_registrar *reg, struct leap_dmabuf *buf,
		      uint64_t *key)
{
	struct device *dev = (struct device *)reg;

	if (dev->fail)
		return dev->fail;
	*key = 1000 + (uint64_t)dev->adds++;
	return 0;
}

static void device_del(struct leap_registrar *reg, struct leap_dmabuf *buf,
		       uint64_t key)
{
	struct device *dev = (struct device *)reg;

	assert_int_equal(key, 1000);
	dev->dels++;
}

#define DEVICE { { sizeof(struct leap_registrar), "dev", device_add, \
		   device_del }, 0, 0, 0 }

static void registrars_are_counted(void **state)
{
	struct leap_dmabuf *buf = create(4096, LEAP_HUGE_NEVER);
	struct device a = DEVICE, b = DEVICE;
	uint64_t key = 0;

	assert_int_equal(leap_dmabuf_key(buf, &a.reg, &key), -ENOENT);
	assert_int_equal(leap_dmabuf_register(buf, &a.reg), 0);
	assert_int_equal(leap_dmabuf_register(buf, &a.reg), 0);
	assert_int_equal(a.adds, 1);
	assert_int_equal(leap_dmabuf_key(buf, &a.reg, &key), 0);
	assert_int_equal(key, 1000);
	leap_dmabuf_unregister(buf, &a.reg);
	assert_int_equal(a.dels, 0);
	leap_dmabuf_unregister(buf, &a.reg);
	assert_int_equal(a.dels, 1);
	assert_int_equal(leap_dmabuf_key(buf, &a.reg, &key), -ENOENT);
	leap_dmabuf_unregister(buf, &a.reg);
	assert_int_equal(a.dels, 1);

	b.fail = -EPERM;
	assert_int_equal(leap_dmabuf_register(buf, &b.reg), -EPERM);
	assert_int_equal(leap_dmabuf_key(buf, &b.reg, &key), -ENOENT);
	b.fail = 0;
	assert_int_equal(leap_dmabuf_register(buf, &b.reg), 0);
	leap_dmabuf_get(buf);
	leap_dmabuf_put(buf);
	assert_int_equal(b.dels, 0);
	leap_dmabuf_put(buf);
	assert_int_equal(b.dels, 1);
}

static void ninth_registrar_is_refused(void **state)
{
	struct leap_dmabuf *buf = create(4096, LEAP_HUGE_NEVER);
	struct device dev[9] = { DEVICE, DEVICE, DEVICE, DEVICE, DEVICE,
				 DEVICE, DEVICE, DEVICE, DEVICE };
	int i;

	for (i = 0; i < 8; i++)
		assert_int_equal(leap_dmabuf_register(buf, &dev[i].reg), 0);
	assert_int_equal(leap_dmabuf_register(buf, &dev[8].reg), -ENOSPC);
	assert_int_equal(dev[8].adds, 0);
	leap_dmabuf_put(buf);
	for (i = 0; i < 8; i++)
		assert_int_equal(dev[i].dels, 1);
}

static void pool_hands_out_all_once(void **state)
{
	struct leap_bufpool_opts opts = LEAP_BUFPOOL_OPTS_INIT;
	struct leap_bufpool *pool = NULL;
	unsigned char *elem[16], *base;
	int i, j;

	opts.elem_bytes = 1000;
	opts.nr = 16;
	opts.align_bytes = 512;
	opts.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_bufpool_create(&opts, &pool), 0);
	base = leap_dmabuf_addr(leap_bufpool_dmabuf(pool));
	for (i = 0; i < 16; i++) {
		elem[i] = leap_bufpool_get(pool);
		assert_non_null(elem[i]);
		assert_int_equal((uintptr_t)elem[i] % 512, 0);
		assert_true(elem[i] >= base && elem[i] + 1000 <= base +
			    leap_dmabuf_bytes(leap_bufpool_dmabuf(pool)));
		for (j = 0; j < i; j++)
			assert_true(elem[i] >= elem[j] + 1000 ||
				    elem[j] >= elem[i] + 1000);
	}
	assert_null(leap_bufpool_get(pool));
	assert_int_equal(leap_bufpool_destroy(pool), -EBUSY);
	for (i = 0; i < 16; i++)
		leap_bufpool_put(pool, elem[i]);
	assert_ptr_equal(leap_bufpool_get(pool), elem[15]);
	leap_bufpool_put(pool, elem[15]);
	assert_int_equal(leap_bufpool_free(pool), 16);
	assert_int_equal(leap_bufpool_destroy(pool), 0);
	assert_int_equal(leap_bufpool_destroy(NULL), 0);
}

static void pool_refuses(void **state)
{
	struct leap_bufpool_opts opts = LEAP_BUFPOOL_OPTS_INIT;
	struct leap_bufpool *pool = NULL;

	assert_int_equal(leap_bufpool_create(&opts, &pool), -EINVAL);
	opts.elem_bytes = 64;
	assert_int_equal(leap_bufpool_create(&opts, &pool), -EINVAL);
	opts.nr = 1;
	opts.align_bytes = 48;
	assert_int_equal(leap_bufpool_create(&opts, &pool), -EINVAL);
	opts.align_bytes = 8192;
	assert_int_equal(leap_bufpool_create(&opts, &pool), -EINVAL);
	assert_null(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_gives_sealed_zeroes),
		cmocka_unit_test(create_auto_always_works),
		cmocka_unit_test(create_refuses),
		cmocka_unit_test(import_shares_the_bytes),
		cmocka_unit_test(import_refuses),
		cmocka_unit_test(registrars_are_counted),
		cmocka_unit_test(ninth_registrar_is_refused),
		cmocka_unit_test(pool_hands_out_all_once),
		cmocka_unit_test(pool_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
