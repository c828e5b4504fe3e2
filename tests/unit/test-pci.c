/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding PCI functions, binding and releasing them, on a made-up machine: what
 * is in use stays where it is, what was is put back, and nothing is left half
 * way.
 */
#include "pci-fixture.h"

#include <stdio.h>
#include <unistd.h>

/* ---- what a test says ---- */

static struct leap_pci_opts opts(void)
{
	struct leap_pci_opts o = LEAP_PCI_OPTS_INIT;

	o.root = px.root;
	return o;
}

static struct leap_pci_info info(const char *address)
{
	struct leap_pci_info i = { .size = sizeof(i) };
	struct leap_pci_opts o = opts();

	o.address = address;
	o.any_class = 1;
	assert_int_equal(leap_pci_next(&o, NULL, &i), 0);
	assert_int_equal(leap_pci_next(&o, i.address, &i), -ENOENT);
	return i;
}

static void subnqn_is(const char *address, const char *nqn)
{
	assert_string_equal(info(address).subnqn, nqn);
}

static int bind_it(const char *address)
{
	struct leap_pci_opts o = LEAP_PCI_OPTS_INIT;

	return leap__pci_bind(&px.s, address, &o);
}

static void driver_is(const char *address, const char *driver)
{
	assert_string_equal(info(address).driver, driver);
}

static void override_is(const char *address, const char *text)
{
	char path[256], override[64];

	snprintf(path, sizeof(path), DEVICES "%s/driver_override", address);
	assert_int_equal(leap__sysfs_read(px_at(path), override,
					  sizeof(override)), 0);
	assert_string_equal(override, text);
}

static void refused(const char *address, int err, const char *why)
{
	assert_int_equal(bind_it(address), err);
	assert_last_error(why);
	assert_string_not_equal(info(address).driver, "vfio-pci");
	override_is(address, "(null)");
	assert_string_equal(info(address).previous, "");
}

/* ---- tests ---- */

static void test_list(void **state)
{
	static const char *const drives[] = { DRIVE, PATHS, BARE };
	struct leap_pci_info i = { .size = sizeof(i) };
	struct leap_pci_opts o = opts();
	const char *after = NULL;
	size_t n;

	for (n = 0; n < COUNT(drives); n++) {
		assert_int_equal(leap_pci_next(&o, after, &i), 0);
		assert_string_equal(i.address, drives[n]);
		after = i.address;
	}
	assert_int_equal(leap_pci_next(&o, after, &i), -ENOENT);
	i = info(DRIVE);
	assert_string_equal(i.driver, "nvme");
	assert_int_equal(i.vendor, 0x1b36);
	assert_int_equal(i.device, 0x10);
	assert_int_equal(i.subvendor, 0x1af4);
	assert_int_equal(i.class_code, LEAP_PCI_CLASS_NVME);
	assert_int_equal(i.numa_node, 0);
	assert_int_equal(i.iommu_group, 5);
	assert_int_equal(i.in_use, 0);
	assert_string_equal(i.subnqn, "nqn.2026-01.org.example:one");
	i = info(BARE);
	assert_string_equal(i.driver, "");
	assert_int_equal(i.iommu_group, -1);
	assert_int_equal(i.numa_node, -1);
}

static int count(struct leap_pci_opts o)
{
	struct leap_pci_info i = { .size = sizeof(i) };
	const char *after = NULL;
	int n = 0;

	o.root = px.root;
	while (!leap_pci_next(&o, after, &i)) {
		after = i.address;
		n++;
	}
	return n;
}

#define COUNT_OF(...) \
	count((struct leap_pci_opts){ sizeof(struct leap_pci_opts), \
				      __VA_ARGS__ })

static void test_filters(void **state)
{
	assert_int_equal(COUNT_OF(.any_class = 1), 5);
	assert_int_equal(COUNT_OF(.class_code = 0x020000), 1);
	assert_int_equal(COUNT_OF(.class_code = 0x060000,
				  .class_mask = 0xff0000), 1);
	assert_int_equal(COUNT_OF(.driver = "nvme"), 2);
	assert_int_equal(COUNT_OF(.driver = ""), 1);
	assert_int_equal(COUNT_OF(.driver = "vfio-pci"), 0);
	assert_int_equal(COUNT_OF(.numa_mask = 1), 1);
	assert_int_equal(COUNT_OF(.numa_mask = 3), 2);
	assert_int_equal(COUNT_OF(.address = DRIVE), 1);
	assert_int_equal(COUNT_OF(.address = NET), 0);
}

static void test_bad_asks(void **state)
{
	struct leap_pci_info i = { .size = sizeof(i) };
	struct leap_pci_opts o = opts();

	o.address = "1:0.0";
	assert_int_equal(leap_pci_next(&o, NULL, &i), -EINVAL);
	o = opts();
	o.root = "/nonexistent";
	assert_int_equal(leap_pci_next(&o, NULL, &i), -EIO);
	assert_last_error("/nonexistent/sys/bus/pci cannot be read");
	o.state_dir = "relative";
	assert_int_equal(leap_pci_bind(DRIVE, &o), -EINVAL);
	o = opts();
	assert_int_equal(leap_pci_bind("../x", &o), -EINVAL);
	assert_int_equal(leap_pci_release("", &o), -EINVAL);
	assert_int_equal(leap_pci_bind("0000:09:00.0", &o), -ENODEV);
	assert_int_equal(leap_pci_release("0000:09:00.0", &o), -ENODEV);
}

static void test_bind_and_back(void **state)
{
	struct leap_pci_info i;

	assert_int_equal(bind_it(DRIVE), 0);
	i = info(DRIVE);
	assert_string_equal(i.driver, "vfio-pci");
	assert_string_equal(i.previous, "nvme");
	assert_int_equal(i.group_ready, 1);	/* bridges do not count */
	override_is(DRIVE, "vfio-pci");
	/* Its name outlives what its driver made of it. */
	assert_int_equal(rename(px_at(DEVICES DRIVE "/nvme"), px_at("/gone")),
			 0);
	assert_string_equal(info(DRIVE).subnqn, "nqn.2026-01.org.example:one");
	px.writes = 0;
	assert_int_equal(bind_it(DRIVE), 0);
	assert_int_equal(px.writes, 0);
	assert_string_equal(info(DRIVE).previous, "nvme");
	assert_int_equal(leap__pci_release(&px.s, DRIVE), 0);
	driver_is(DRIVE, "nvme");
	override_is(DRIVE, "(null)");
	assert_int_equal(leap__pci_release(&px.s, DRIVE), -ENOENT);
	assert_last_error("it was not bound by leap_pci_bind");
	driver_is(DRIVE, "nvme");
}

/* An override of somebody else's, and no driver at all, are put back, too. */
static void test_back_to_what_was(void **state)
{
	px_put(DRIVE, "driver_override", "nvme\n");
	assert_int_equal(bind_it(DRIVE), 0);
	assert_int_equal(leap__pci_release(&px.s, DRIVE), 0);
	override_is(DRIVE, "nvme");
	driver_is(DRIVE, "nvme");
	assert_int_equal(bind_it(BARE), 0);
	assert_string_equal(info(BARE).previous, "none");
	assert_int_equal(leap__pci_release(&px.s, BARE), 0);
	driver_is(BARE, "");
}

static void test_in_use(void **state)
{
	px_file("/proc/self/mountinfo",
	     "22 1 8:0 / / rw - ext4 /dev/sda rw\n"
	     "23 22 259:1 / /srv rw shared:2 - ext4 /dev/x rw\n");
	refused(DRIVE, -EBUSY, "nvme0n1p1 is mounted at /srv");
	assert_int_equal(info(DRIVE).in_use, 1);
	assert_string_equal(info(DRIVE).use, "nvme0n1p1 is mounted at /srv");
	/* A file system of several devices: by its source. */
	px_file("/proc/self/mountinfo",
	     "23 22 0:44 / /pool rw - btrfs /dev/nvme0n1 rw\n");
	refused(DRIVE, -EBUSY, "nvme0n1 is mounted at /pool");
	px_file("/proc/self/mountinfo", "");
	px_file("/proc/swaps",
		"Filename Type\n/dev/nvme0n1p1 partition 9 0 -2\n");
	refused(DRIVE, -EBUSY, "nvme0n1p1 is swap");
	px_file("/proc/swaps", "");
	px_dir(DEVICES DRIVE "/nvme/nvme0/nvme0n1/holders/dm-3");
	refused(DRIVE, -EBUSY, "nvme0n1 is part of dm-3");
	assert_int_equal(px.writes, 0);
}

static void test_group(void **state)
{
	/* Below the subsystem, not below the function. */
	px_file("/proc/self/mountinfo", "9 2 259:7 / /b rw - xfs /dev/y rw\n");
	refused(PATHS, -EBUSY, "nvme1n1 is mounted at /b");
	refused(NET, -EBUSY, "shares its IOMMU group with " PATHS ": nvme1n1");
	px_file("/proc/self/mountinfo", "");
	px_put(NET, "net/eth0/flags", "0x1003\n");
	refused(PATHS, -EBUSY, "shares its IOMMU group with " NET ": eth0 is "
		"up");
	px_put(NET, "net/eth0/flags", "0x1002\n");
	assert_int_equal(bind_it(PATHS), 0);
	assert_int_equal(info(PATHS).group_ready, 0);
	assert_int_equal(bind_it(NET), 0);
	assert_int_equal(info(PATHS).group_ready, 1);
	assert_int_equal(leap__pci_release(&px.s, NET), 0);
	driver_is(NET, "e1000");
	assert_int_equal(info(PATHS).group_ready, 0);
}

/* Whatever else an exclusive open says, it does not say that nobody has it. */
static void test_cannot_see(void **state)
{
	px_to("/dev/nvme0n1", "nvme0n1");
	assert_int_equal(bind_it(DRIVE), -ELOOP);
	assert_last_error("cannot see whether it is in use");
	driver_is(DRIVE, "nvme");
	assert_int_equal(info(DRIVE).in_use, 1);
	/* No node, no device behind it: nobody can have it open there. */
	unlink(px_at("/dev/nvme0n1"));
	assert_int_equal(bind_it(DRIVE), 0);
}

/* The kernel makes names for drives that have none, out of serial and model
 * numbers with blanks; and a drive may say anything at all. */
static void test_names(void **state)
{
	const char *made = "nqn.2014.08.org.nvmexpress:80868086S1   MODEL  X ";
	char nqn[256];

	px_put(DRIVE, "nvme/nvme0/subsysnqn", made);
	assert_int_equal(bind_it(DRIVE), 0);
	assert_string_equal(info(DRIVE).previous, "nvme");
	subnqn_is(DRIVE, made);
	assert_int_equal(leap__pci_release(&px.s, DRIVE), 0);
	driver_is(DRIVE, "nvme");
	memset(nqn, 'n', sizeof(nqn));
	nqn[223] = 0;
	px_put(DRIVE, "nvme/nvme0/subsysnqn", nqn);
	subnqn_is(DRIVE, nqn);
	nqn[223] = 'n';
	nqn[224] = 0;
	px_put(DRIVE, "nvme/nvme0/subsysnqn", nqn);
	subnqn_is(DRIVE, "");
	px_put(DRIVE, "nvme/nvme0/subsysnqn", "nqn.\033[2J\nx\n");
	subnqn_is(DRIVE, "");
	assert_int_equal(bind_it(DRIVE), 0);
	subnqn_is(DRIVE, "");
	assert_int_equal(leap__pci_release(&px.s, DRIVE), 0);
	driver_is(DRIVE, "nvme");
	/* What does not fit cannot be put back: then it is not taken. */
	px_put(DRIVE, "driver_override",
	       "a-driver-whose-name-is-too-long-to-keep\n");
	assert_int_equal(bind_it(DRIVE), -ENAMETOOLONG);
	driver_is(DRIVE, "nvme");
}

static void test_owner(void **state)
{
	struct leap_pci_opts o = LEAP_PCI_OPTS_INIT;

	/* There is no node to be given away: as if nothing had been asked. */
	o.set_owner = 1;
	o.uid = getuid();
	o.gid = getgid();
	assert_int_equal(leap__pci_bind(&px.s, DRIVE, &o), -ENOENT);
	assert_last_error("cannot be given away");
	driver_is(DRIVE, "nvme");
	override_is(DRIVE, "(null)");
	assert_int_equal(leap__pci_release(&px.s, DRIVE), -ENOENT);
	/* Somebody else has bound it: that stays. */
	px_drive_by(DRIVE, "vfio-pci");
	assert_int_equal(leap__pci_bind(&px.s, DRIVE, &o), -ENOENT);
	driver_is(DRIVE, "vfio-pci");
	px_file("/dev/vfio/5", "");
	assert_int_equal(leap__pci_bind(&px.s, DRIVE, &o), 0);
}

/* vfio-pci is not there, or does not want it: everything stays. */
static void test_not_taken(void **state)
{
	px.refuse = 1;
	refused(DRIVE, -EIO, "vfio-pci does not take " DRIVE);
	driver_is(DRIVE, "nvme");
	refused(BARE, -EIO, "is in no IOMMU group");
	driver_is(BARE, "");
	rmdir(px_at("/sys/bus/pci/drivers/vfio-pci"));
	refused(DRIVE, -ENOENT, "vfio-pci is not there (modprobe vfio-pci)");
	driver_is(DRIVE, "nvme");
}

/* Each write may fail: what was bound is back, or says so. */
static void test_failing_writes(void **state)
{
	int n;

	for (n = 1; n <= 3; n++) {
		px.writes = 0;
		px.fail_at = n;
		px.fail_err = -EIO;
		px.unbound = 0;
		assert_int_equal(bind_it(DRIVE), -EIO);
		px.fail_at = 0;
		driver_is(DRIVE, "nvme");
		override_is(DRIVE, "(null)");
		/* What has its driver still is not taken from it. */
		assert_int_equal(px.unbound, n == 3);
	}
	for (n = 1; n <= 3; n++) {
		assert_int_equal(bind_it(DRIVE), 0);
		px.writes = 0;
		px.fail_at = n;
		assert_int_equal(leap__pci_release(&px.s, DRIVE), -EIO);
		assert_last_error(n < 3 ? "vfio-pci keeps it" :
				  "nvme does not take it back");
		px.fail_at = 0;
		/* Asked again, it comes back. */
		assert_int_equal(leap__pci_release(&px.s, DRIVE), 0);
		driver_is(DRIVE, "nvme");
		override_is(DRIVE, "(null)");
	}
	assert_int_equal(bind_it(DRIVE), 0);
	px.keeps = 1;
	assert_int_equal(leap__pci_release(&px.s, DRIVE), -EIO);
	assert_last_error("nvme does not take it back");
	px.keeps = 0;
	assert_int_equal(leap__pci_release(&px.s, DRIVE), 0);
	driver_is(DRIVE, "nvme");
}

/* What was written down is not believed as it is. */
static void test_state_file(void **state)
{
	static const char *const bad[] = {
		"driver nvme\nowner me\n", "driver ../../x\n",
		"driver aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "nonsense",
		"override a b\n", "override \x01\n",
	};
	char path[256];
	size_t i;

	assert_int_equal(bind_it(DRIVE), 0);
	snprintf(path, sizeof(path), "/run/leapio/pci/" DRIVE);
	for (i = 0; i < COUNT(bad); i++) {
		px_file(path, bad[i]);
		assert_int_equal(leap__pci_release(&px.s, DRIVE), -EINVAL);
		driver_is(DRIVE, "vfio-pci");
	}
	/* Nor is a link followed. */
	unlink(px_at(path));
	px_to(path, px_at("/etc-passwd"));
	px_file("/etc-passwd", "driver nvme\n");
	assert_true(leap__pci_release(&px.s, DRIVE) < 0);
	driver_is(DRIVE, "vfio-pci");
}

/* Whoever drives it has the node of its group: no release without that. */
static void test_driven(void **state)
{
	assert_int_equal(bind_it(DRIVE), 0);
	px_dir("/dev/vfio/5");
	assert_int_equal(leap__pci_release(&px.s, DRIVE), -EISDIR);
	assert_last_error("cannot see whether it is driven");
	driver_is(DRIVE, "vfio-pci");
	rmdir(px_at("/dev/vfio/5"));
	px_file("/dev/vfio/5", "");
	assert_int_equal(leap__pci_release(&px.s, DRIVE), 0);
	driver_is(DRIVE, "nvme");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PX_T(test_list), PX_T(test_filters), PX_T(test_bad_asks),
		PX_T(test_bind_and_back), PX_T(test_back_to_what_was),
		PX_T(test_in_use), PX_T(test_group), PX_T(test_cannot_see),
		PX_T(test_names), PX_T(test_owner), PX_T(test_not_taken),
		PX_T(test_failing_writes), PX_T(test_state_file),
		PX_T(test_driven),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
