/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding PCI functions, binding and releasing them, in a made-up tree of /sys,
 * /proc and /dev, with a kernel that answers writes as the real one does: what
 * is in use stays where it is, what was is put back, and nothing is left half
 * way.
 *
 *	0000:01:00.0	drive of group 5, node 0: nvme0n1, nvme0n1p1
 *	0000:02:00.0	drive of group 6, node 1: nvme1, behind two paths
 *	0000:02:00.1	network, eth0, of group 6 as well
 *	0000:03:00.0	drive without a driver, in no group
 *	0000:00:01.0	bridge of group 5
 */
#include "unit.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <leapio/pci.h>

#include "transport/pcie/pci.h"

#define DRIVE	"0000:01:00.0"
#define PATHS	"0000:02:00.0"
#define NET	"0000:02:00.1"
#define BARE	"0000:03:00.0"
#define BRIDGE	"0000:00:01.0"
#define DEVICES	"/sys/devices/pci0000:00/"

static struct {
	char root[64];
	struct leap__sysfs s;
	int refuse;		/* vfio-pci takes nothing */
	int keeps;		/* drivers do not take anything back */
	int fail_at, fail_err;	/* which write fails, from 1 */
	int writes;
	int unbound;		/* how often somebody lost its driver */
} w;

/* ---- the tree ---- */

static char *at(const char *path)
{
	static char full[2][512];
	static int k;

	k ^= 1;
	snprintf(full[k], sizeof(full[k]), "%s%s", w.root, path);
	return full[k];
}

static void dir(const char *path)
{
	char *full = at(path), *p;

	for (p = full + strlen(w.root) + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		mkdir(full, 0755);
		*p = '/';
	}
	mkdir(full, 0755);
}

static void file(const char *path, const char *text)
{
	char parent[256];
	FILE *f;

	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = 0;
	dir(parent);
	f = fopen(at(path), "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void put(const char *address, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), DEVICES "%s/%s", address, name);
	file(path, text);
}

static void to(const char *path, const char *target)
{
	char parent[256];

	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = 0;
	dir(parent);
	unlink(at(path));
	assert_int_equal(symlink(target, at(path)), 0);
}

static void drive_by(const char *address, const char *driver)
{
	char path[256], target[256];

	snprintf(path, sizeof(path), DEVICES "%s/driver", address);
	if (!*driver) {
		unlink(at(path));
		return;
	}
	snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver);
	to(path, target);
}

static void function(const char *address, const char *class, int group,
		     const char *node)
{
	char path[256], target[256];

	put(address, "vendor", "0x1b36\n");
	put(address, "device", "0x0010\n");
	put(address, "class", class);
	put(address, "subsystem_vendor", "0x1af4\n");
	put(address, "subsystem_device", "0x1100\n");
	put(address, "irq", "11\n");
	put(address, "resource", "0x0 0x0 0x0\n");
	put(address, "numa_node", node);
	put(address, "driver_override", "(null)\n");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", address);
	snprintf(target, sizeof(target), "../../../devices/pci0000:00/%s",
		 address);
	to(path, target);
	if (group < 0)
		return;
	snprintf(path, sizeof(path), DEVICES "%s/iommu_group", address);
	snprintf(target, sizeof(target), "../../../kernel/iommu_groups/%d",
		 group);
	to(path, target);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices/%s",
		 group, address);
	to(path, "../../../../devices");
}

static void block(const char *name, const char *below, const char *dev)
{
	char path[256], target[256];

	snprintf(path, sizeof(path), "/sys/devices/%s/%s/dev", below, name);
	file(path, dev);
	snprintf(path, sizeof(path), "/sys/devices/%s/%s/holders", below, name);
	dir(path);
	snprintf(path, sizeof(path), "/sys/class/block/%s", name);
	snprintf(target, sizeof(target), "../../devices/%s/%s", below, name);
	to(path, target);
	snprintf(path, sizeof(path), "/dev/%s", name);
	file(path, "");
}

static void make_tree(void)
{
	dir("/sys/bus/pci/drivers/vfio-pci");
	dir("/sys/bus/pci/drivers/nvme");
	dir("/sys/bus/pci/drivers/e1000");
	function(DRIVE, "0x010802\n", 5, "0\n");
	function(PATHS, "0x010802\n", 6, "1\n");
	function(NET, "0x020000\n", 6, "1\n");
	function(BARE, "0x010802\n", -1, "-1\n");
	function(BRIDGE, "0x060400\n", 5, "-1\n");
	drive_by(DRIVE, "nvme");
	drive_by(PATHS, "nvme");
	drive_by(NET, "e1000");
	drive_by(BRIDGE, "pcieport");
	put(DRIVE, "nvme/nvme0/subsysnqn", "nqn.2026-01.org.example:one\n");
	put(PATHS, "nvme/nvme1/subsysnqn", "nqn.2026-01.org.example:two\n");
	block("nvme0n1", "pci0000:00/" DRIVE "/nvme/nvme0", "259:0\n");
	block("nvme0n1p1", "pci0000:00/" DRIVE "/nvme/nvme0/nvme0n1",
	      "259:1\n");
	block("nvme1n1", "virtual/nvme-subsystem/nvme-subsys1", "259:7\n");
	block("sda", "pci0000:00/0000:04:00.0/ata1", "8:0\n");
	to("/sys/class/nvme-subsystem/nvme-subsys1/nvme1", "../../nvme1");
	to("/sys/class/net/eth0",
	   "../../devices/pci0000:00/" NET "/net/eth0");
	put(NET, "net/eth0/flags", "0x1002\n");
	file("/proc/self/mountinfo",
	     "22 1 8:0 / / rw,relatime - ext4 /dev/sda rw\n"
	     "short line\n\n");
	file("/proc/swaps", "Filename Type Size Used Priority\n");
}

/* ---- the kernel ---- */

static int probe(const char *address)
{
	char path[256], override[64], driver[32];

	snprintf(path, sizeof(path), DEVICES "%s/driver_override", address);
	assert_int_equal(leap__sysfs_read(at(path), override,
					  sizeof(override)), 0);
	assert_int_equal(leap__pci_driver(&w.s, address, driver,
					  sizeof(driver)), 0);
	if (*driver)
		return 0;
	if (!strcmp(override, "vfio-pci"))
		drive_by(address, w.refuse ? "" : "vfio-pci");
	else if (!w.keeps)
		drive_by(address, !strcmp(address, NET) ? "e1000" : "nvme");
	return 0;
}

static int kernel_write(void *arg, const char *path, const char *text)
{
	const char *address = strstr(path, "/devices/");
	char name[16];

	if (++w.writes == w.fail_at)
		return w.fail_err;
	if (strstr(path, "/drivers_probe"))
		return probe(text);
	assert_non_null(address);
	snprintf(name, sizeof(name), "%.12s", address + 9);
	if (strstr(path, "/driver/unbind")) {
		assert_string_equal(name, text);
		drive_by(name, "");
		w.unbound++;
		return 0;
	}
	assert_non_null(strstr(path, "/driver_override"));
	put(name, "driver_override", *text == '\n' ? "(null)\n" : text);
	return 0;
}

static int setup(void **state)
{
	struct leap_pci_opts o = LEAP_PCI_OPTS_INIT, copy;

	memset(&w, 0, sizeof(w));
	strcpy(w.root, "/tmp/test-pci.XXXXXX");
	assert_non_null(mkdtemp(w.root));
	make_tree();
	o.root = w.root;
	assert_int_equal(leap__pci_opts("test", &o, &copy, &w.s), 0);
	w.s.write = kernel_write;
	return 0;
}

static int unlink_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	return remove(path);
}

static int teardown(void **state)
{
	return nftw(w.root, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what a test says ---- */

static struct leap_pci_opts opts(void)
{
	struct leap_pci_opts o = LEAP_PCI_OPTS_INIT;

	o.root = w.root;
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

	return leap__pci_bind(&w.s, address, &o);
}

static void driver_is(const char *address, const char *driver)
{
	assert_string_equal(info(address).driver, driver);
}

static void override_is(const char *address, const char *text)
{
	char path[256], override[64];

	snprintf(path, sizeof(path), DEVICES "%s/driver_override", address);
	assert_int_equal(leap__sysfs_read(at(path), override,
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

	o.root = w.root;
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
	assert_int_equal(rename(at(DEVICES DRIVE "/nvme"), at("/gone")), 0);
	assert_string_equal(info(DRIVE).subnqn, "nqn.2026-01.org.example:one");
	w.writes = 0;
	assert_int_equal(bind_it(DRIVE), 0);
	assert_int_equal(w.writes, 0);
	assert_string_equal(info(DRIVE).previous, "nvme");
	assert_int_equal(leap__pci_release(&w.s, DRIVE), 0);
	driver_is(DRIVE, "nvme");
	override_is(DRIVE, "(null)");
	assert_int_equal(leap__pci_release(&w.s, DRIVE), -ENOENT);
	assert_last_error("it was not bound by leap_pci_bind");
	driver_is(DRIVE, "nvme");
}

/* An override of somebody else's, and no driver at all, are put back, too. */
static void test_back_to_what_was(void **state)
{
	put(DRIVE, "driver_override", "nvme\n");
	assert_int_equal(bind_it(DRIVE), 0);
	assert_int_equal(leap__pci_release(&w.s, DRIVE), 0);
	override_is(DRIVE, "nvme");
	driver_is(DRIVE, "nvme");
	assert_int_equal(bind_it(BARE), 0);
	assert_string_equal(info(BARE).previous, "none");
	assert_int_equal(leap__pci_release(&w.s, BARE), 0);
	driver_is(BARE, "");
}

static void test_in_use(void **state)
{
	file("/proc/self/mountinfo",
	     "22 1 8:0 / / rw - ext4 /dev/sda rw\n"
	     "23 22 259:1 / /srv rw shared:2 - ext4 /dev/x rw\n");
	refused(DRIVE, -EBUSY, "nvme0n1p1 is mounted at /srv");
	assert_int_equal(info(DRIVE).in_use, 1);
	assert_string_equal(info(DRIVE).use, "nvme0n1p1 is mounted at /srv");
	/* A file system of several devices: by its source. */
	file("/proc/self/mountinfo",
	     "23 22 0:44 / /pool rw - btrfs /dev/nvme0n1 rw\n");
	refused(DRIVE, -EBUSY, "nvme0n1 is mounted at /pool");
	file("/proc/self/mountinfo", "");
	file("/proc/swaps", "Filename Type\n/dev/nvme0n1p1 partition 9 0 -2\n");
	refused(DRIVE, -EBUSY, "nvme0n1p1 is swap");
	file("/proc/swaps", "");
	dir(DEVICES DRIVE "/nvme/nvme0/nvme0n1/holders/dm-3");
	refused(DRIVE, -EBUSY, "nvme0n1 is part of dm-3");
	assert_int_equal(w.writes, 0);
}

static void test_group(void **state)
{
	/* Below the subsystem, not below the function. */
	file("/proc/self/mountinfo", "9 2 259:7 / /b rw - xfs /dev/y rw\n");
	refused(PATHS, -EBUSY, "nvme1n1 is mounted at /b");
	refused(NET, -EBUSY, "shares its IOMMU group with " PATHS ": nvme1n1");
	file("/proc/self/mountinfo", "");
	put(NET, "net/eth0/flags", "0x1003\n");
	refused(PATHS, -EBUSY, "shares its IOMMU group with " NET ": eth0 is "
		"up");
	put(NET, "net/eth0/flags", "0x1002\n");
	assert_int_equal(bind_it(PATHS), 0);
	assert_int_equal(info(PATHS).group_ready, 0);
	assert_int_equal(bind_it(NET), 0);
	assert_int_equal(info(PATHS).group_ready, 1);
	assert_int_equal(leap__pci_release(&w.s, NET), 0);
	driver_is(NET, "e1000");
	assert_int_equal(info(PATHS).group_ready, 0);
}

/* Whatever else an exclusive open says, it does not say that nobody has it. */
static void test_cannot_see(void **state)
{
	to("/dev/nvme0n1", "nvme0n1");
	assert_int_equal(bind_it(DRIVE), -ELOOP);
	assert_last_error("cannot see whether it is in use");
	driver_is(DRIVE, "nvme");
	assert_int_equal(info(DRIVE).in_use, 1);
	/* No node, no device behind it: nobody can have it open there. */
	unlink(at("/dev/nvme0n1"));
	assert_int_equal(bind_it(DRIVE), 0);
}

/* The kernel makes names for drives that have none, out of serial and model
 * numbers with blanks; and a drive may say anything at all. */
static void test_names(void **state)
{
	const char *made = "nqn.2014.08.org.nvmexpress:80868086S1    MODEL  X  ";
	char nqn[256];

	put(DRIVE, "nvme/nvme0/subsysnqn", made);
	assert_int_equal(bind_it(DRIVE), 0);
	assert_string_equal(info(DRIVE).previous, "nvme");
	subnqn_is(DRIVE, made);
	assert_int_equal(leap__pci_release(&w.s, DRIVE), 0);
	driver_is(DRIVE, "nvme");
	memset(nqn, 'n', sizeof(nqn));
	nqn[223] = 0;
	put(DRIVE, "nvme/nvme0/subsysnqn", nqn);
	subnqn_is(DRIVE, nqn);
	nqn[223] = 'n';
	nqn[224] = 0;
	put(DRIVE, "nvme/nvme0/subsysnqn", nqn);
	subnqn_is(DRIVE, "");
	put(DRIVE, "nvme/nvme0/subsysnqn", "nqn.\033[2J\nx\n");
	subnqn_is(DRIVE, "");
	assert_int_equal(bind_it(DRIVE), 0);
	subnqn_is(DRIVE, "");
	assert_int_equal(leap__pci_release(&w.s, DRIVE), 0);
	driver_is(DRIVE, "nvme");
	/* What does not fit cannot be put back: then it is not taken. */
	put(DRIVE, "driver_override", "a-driver-with-a-name-of-32-letters\n");
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
	assert_int_equal(leap__pci_bind(&w.s, DRIVE, &o), -ENOENT);
	assert_last_error("cannot be given away");
	driver_is(DRIVE, "nvme");
	override_is(DRIVE, "(null)");
	assert_int_equal(leap__pci_release(&w.s, DRIVE), -ENOENT);
	/* Somebody else has bound it: that stays. */
	drive_by(DRIVE, "vfio-pci");
	assert_int_equal(leap__pci_bind(&w.s, DRIVE, &o), -ENOENT);
	driver_is(DRIVE, "vfio-pci");
	file("/dev/vfio/5", "");
	assert_int_equal(leap__pci_bind(&w.s, DRIVE, &o), 0);
}

/* vfio-pci is not there, or does not want it: everything stays. */
static void test_not_taken(void **state)
{
	w.refuse = 1;
	refused(DRIVE, -EIO, "vfio-pci does not take " DRIVE);
	driver_is(DRIVE, "nvme");
	refused(BARE, -EIO, "is in no IOMMU group");
	driver_is(BARE, "");
	rmdir(at("/sys/bus/pci/drivers/vfio-pci"));
	refused(DRIVE, -ENOENT, "vfio-pci is not there (modprobe vfio-pci)");
	driver_is(DRIVE, "nvme");
}

/* Each write may fail: what was bound is back, or says so. */
static void test_failing_writes(void **state)
{
	int n;

	for (n = 1; n <= 3; n++) {
		w.writes = 0;
		w.fail_at = n;
		w.fail_err = -EIO;
		w.unbound = 0;
		assert_int_equal(bind_it(DRIVE), -EIO);
		w.fail_at = 0;
		driver_is(DRIVE, "nvme");
		override_is(DRIVE, "(null)");
		/* What has its driver still is not taken from it. */
		assert_int_equal(w.unbound, n == 3);
	}
	for (n = 1; n <= 3; n++) {
		assert_int_equal(bind_it(DRIVE), 0);
		w.writes = 0;
		w.fail_at = n;
		assert_int_equal(leap__pci_release(&w.s, DRIVE), -EIO);
		assert_last_error(n < 3 ? "vfio-pci keeps it" :
				  "nvme does not take it back");
		w.fail_at = 0;
		/* Asked again, it comes back. */
		assert_int_equal(leap__pci_release(&w.s, DRIVE), 0);
		driver_is(DRIVE, "nvme");
		override_is(DRIVE, "(null)");
	}
	assert_int_equal(bind_it(DRIVE), 0);
	w.keeps = 1;
	assert_int_equal(leap__pci_release(&w.s, DRIVE), -EIO);
	assert_last_error("nvme does not take it back");
	w.keeps = 0;
	assert_int_equal(leap__pci_release(&w.s, DRIVE), 0);
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
		file(path, bad[i]);
		assert_int_equal(leap__pci_release(&w.s, DRIVE), -EINVAL);
		driver_is(DRIVE, "vfio-pci");
	}
	/* Nor is a link followed. */
	unlink(at(path));
	to(path, at("/etc-passwd"));
	file("/etc-passwd", "driver nvme\n");
	assert_true(leap__pci_release(&w.s, DRIVE) < 0);
	driver_is(DRIVE, "vfio-pci");
}

/* Whoever drives it has the node of its group: no release without that. */
static void test_driven(void **state)
{
	assert_int_equal(bind_it(DRIVE), 0);
	dir("/dev/vfio/5");
	assert_int_equal(leap__pci_release(&w.s, DRIVE), -EISDIR);
	assert_last_error("cannot see whether it is driven");
	driver_is(DRIVE, "vfio-pci");
	rmdir(at("/dev/vfio/5"));
	file("/dev/vfio/5", "");
	assert_int_equal(leap__pci_release(&w.s, DRIVE), 0);
	driver_is(DRIVE, "nvme");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_list), T(test_filters), T(test_bad_asks),
		T(test_bind_and_back), T(test_back_to_what_was), T(test_in_use),
		T(test_group), T(test_cannot_see), T(test_names),
		T(test_owner), T(test_not_taken), T(test_failing_writes),
		T(test_state_file), T(test_driven),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
