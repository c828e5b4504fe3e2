/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Disks that are full, fail, or do less than they were asked: the host gets the
 * status that says so, the process lives, and the other drives do not notice.
 */
#define _GNU_SOURCE
#include "fault.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIG 256u	/* blocks of a large command */

static struct leap_pollgroup *pg;
static struct leap_host *host;
static uint8_t data[BIG * 512], back[BIG * 512];
static char folder[64];

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void connect_to(struct fault_server *s)
{
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;

	fault_serve(s, 1);
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	o.url = s->url;
	o.target = s->target;
	assert_int_equal(leap_host_connect(pg, &o, &host), 0);
	while (leap_host_state(host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(pg, 1000000);
	assert_int_equal(leap_host_state(host), LEAP_HOST_LIVE);
}

static void end(struct fault_server *s)
{
	int closed = 0;

	leap_host_close(host, set_flag, &closed);
	while (!closed)
		leap_pollgroup_wait(pg, 1000000);
	while (leap_pollgroup_poll(pg, 0))
		;
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
	fault_end(s);
}

static leap_status_t cmd(uint8_t opc, uint32_t nsid, uint64_t lba, uint32_t nr,
			 void *buf)
{
	/* Without More and Do Not Retry. */
	return fault_cmd(host, pg, opc, nsid, lba, nr, buf) & 0x7ff;
}

static void fill(uint32_t with)
{
	uint32_t i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (i >> 9) + with);
}

/* Write, read, flush: all well. */
static void well(uint32_t nsid, uint64_t lba, uint32_t nr)
{
	fill(nsid + (uint32_t)lba);
	assert_int_equal(cmd(LEAP_NVM_WRITE, nsid, lba, nr, data), 0);
	memset(back, 0, sizeof(back));
	assert_int_equal(cmd(LEAP_NVM_READ, nsid, lba, nr, back), 0);
	assert_memory_equal(data, back, nr * 512);
	assert_int_equal(cmd(LEAP_NVM_FLUSH, nsid, 0, 0, NULL), 0);
}

/* Writes from the start until one fails; all before it are there. */
static void until_full(uint32_t nsid, leap_status_t want)
{
	leap_status_t status = 0;
	uint64_t lba;

	for (lba = 0; lba < 65536 && !status; lba += BIG) {
		fill((uint32_t)lba);
		status = cmd(LEAP_NVM_WRITE, nsid, lba, BIG, data);
		well(2, lba % 1024, 8);
	}
	assert_int_equal(status, want);
	assert_true(lba > BIG);
	for (lba -= 2 * BIG;; lba -= BIG) {
		fill((uint32_t)lba);
		assert_int_equal(cmd(LEAP_NVM_READ, nsid, lba, BIG, back), 0);
		assert_memory_equal(data, back, sizeof(data));
		if (!lba)
			break;
	}
}

static void make_file(char *path, size_t max, const char *name, off_t bytes)
{
	int fd;

	snprintf(path, max, "%s/%s", folder, name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	close(fd);
}

static void make_folder(void)
{
	strcpy(folder, "/tmp/leap-disk-XXXXXX");
	assert_non_null(mkdtemp(folder));
}

static void test_no_space(void **state)
{
	static const uint32_t worlds[] = { LEAP_WORLD_AUTO, LEAP_WORLD_EPOLL };
	char path[96], stack[128];
	uint32_t i;

	make_folder();
	if (unshare(CLONE_NEWNS) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("leap", folder, "tmpfs", 0, "size=4m")) {
		rmdir(folder);
		print_message("# no private tmpfs here: %s\n", strerror(errno));
		skip();
	}
	for (i = 0; i < COUNT(worlds); i++) {
		struct fault_server s = { .kind = "loop", .world = worlds[i],
			.stack = { stack, "memory:16M" } };

		make_file(path, sizeof(path), "disk", 32 << 20);
		snprintf(stack, sizeof(stack), "file:%s", path);
		connect_to(&s);
		until_full(1, LEAP_SC_CAPACITY_EXCEEDED);
		well(2, 0, BIG);
		end(&s);
		unlink(path);
	}
	assert_int_equal(umount(folder), 0);
	rmdir(folder);
}

/* The limit of a file's size: a write that reaches it is cut short first. */
static void test_short(void **state)
{
	struct rlimit old, small;
	char path[96], stack[128];
	struct fault_server s = { .kind = "loop", .world = LEAP_WORLD_EPOLL,
		.stack = { stack, "memory:16M" } };

	make_folder();
	make_file(path, sizeof(path), "disk", 8 << 20);
	snprintf(stack, sizeof(stack), "file:%s[direct=off]", path);
	connect_to(&s);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = (BIG * 3 + BIG / 2) * 512;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	until_full(1, LEAP_SC_CAPACITY_EXCEEDED);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	well(1, BIG * 3, BIG);
	/* A file that ends before the drive does. */
	assert_int_equal(truncate(path, BIG * 512 + 512 * 3 + 100), 0);
	assert_int_not_equal(cmd(LEAP_NVM_READ, 1, BIG, BIG, back), 0);
	assert_int_not_equal(cmd(LEAP_NVM_READ, 1, BIG * 4, 8, back), 0);
	assert_int_equal(cmd(LEAP_NVM_READ, 1, 0, BIG, back), 0);
	well(2, 0, BIG);
	end(&s);
	unlink(path);
	rmdir(folder);
}

static void test_errors(void **state)
{
	struct fault_server s = { .kind = "loop", .stack = {
		"error[op=read,block=64,blocks=8,status=read] -> memory:16M",
		"memory:16M",
		"error[op=write,after=3,count=2,status=write,torn=on]"
		" -> memory:16M",
		"error[op=any,status=internal] -> memory:16M" } };
	uint32_t i;

	connect_to(&s);
	for (i = 0; i < 3; i++) {
		well(2, i * 300, BIG);
		well(1, 0, 64);
		assert_int_equal(cmd(LEAP_NVM_READ, 1, 63, 2, back),
				 LEAP_SC_UNRECOVERED_READ);
		assert_int_equal(cmd(LEAP_NVM_READ, 1, 71, 1, back),
				 LEAP_SC_UNRECOVERED_READ);
		well(1, 72, BIG);
		assert_int_equal(cmd(LEAP_NVM_WRITE, 4, 0, 1, data),
				 LEAP_SC_INTERNAL);
		assert_int_equal(cmd(LEAP_NVM_READ, 4, 0, 1, back),
				 LEAP_SC_INTERNAL);
	}
	for (i = 0; i < 3; i++)
		well(3, i * BIG, BIG);
	fill(99);
	assert_int_equal(cmd(LEAP_NVM_WRITE, 3, 0, BIG, data),
			 LEAP_SC_WRITE_FAULT);
	/* Torn: the first half is new, the rest is not. */
	assert_int_equal(cmd(LEAP_NVM_READ, 3, 0, BIG, back), 0);
	assert_memory_equal(back, data, BIG / 2 * 512);
	assert_memory_not_equal(back + BIG / 2 * 512, data + BIG / 2 * 512,
				512);
	assert_int_equal(cmd(LEAP_NVM_WRITE, 3, 0, 1, data),
			 LEAP_SC_WRITE_FAULT);
	well(3, 0, BIG);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_short),
		/* It leaves the namespace. */
		cmocka_unit_test(test_no_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
