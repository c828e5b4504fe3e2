/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's half: it binds what is probed to the driver that the override
 * names, or else to the one of its class, unless a test has it refuse.
 */
#include "pci-fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct px px;

/* ---- the tree ---- */

char *px_at(const char *path)
{
	static char full[2][512];
	static int k;

	k ^= 1;
	snprintf(full[k], sizeof(full[k]), "%s%s", px.root, path);
	return full[k];
}

void px_dir(const char *path)
{
	char *full = px_at(path), *p;

	for (p = full + strlen(px.root) + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		mkdir(full, 0755);
		*p = '/';
	}
	mkdir(full, 0755);
}

void px_file(const char *path, const char *text)
{
	char parent[256];
	FILE *f;

	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = 0;
	px_dir(parent);
	f = fopen(px_at(path), "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

void px_put(const char *address, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), DEVICES "%s/%s", address, name);
	px_file(path, text);
}

void px_to(const char *path, const char *target)
{
	char parent[256];

	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = 0;
	px_dir(parent);
	unlink(px_at(path));
	assert_int_equal(symlink(target, px_at(path)), 0);
}

void px_drive_by(const char *address, const char *driver)
{
	char path[256], target[256];

	snprintf(path, sizeof(path), DEVICES "%s/driver", address);
	if (!*driver) {
		unlink(px_at(path));
		return;
	}
	snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver);
	px_to(path, target);
}

static void function(const char *address, const char *class, int group,
		     const char *node)
{
	char path[256], target[256];

	px_put(address, "vendor", "0x1b36\n");
	px_put(address, "device", "0x0010\n");
	px_put(address, "class", class);
	px_put(address, "subsystem_vendor", "0x1af4\n");
	px_put(address, "subsystem_device", "0x1100\n");
	px_put(address, "irq", "11\n");
	px_put(address, "resource", "0x0 0x0 0x0\n");
	px_put(address, "numa_node", node);
	px_put(address, "driver_override", "(null)\n");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", address);
	snprintf(target, sizeof(target), "../../../devices/pci0000:00/%s",
		 address);
	px_to(path, target);
	if (group < 0)
		return;
	snprintf(path, sizeof(path), DEVICES "%s/iommu_group", address);
	snprintf(target, sizeof(target), "../../../kernel/iommu_groups/%d",
		 group);
	px_to(path, target);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices/%s",
		 group, address);
	px_to(path, "../../../../devices");
}

static void block(const char *name, const char *below, const char *dev)
{
	char path[256], target[256];

	snprintf(path, sizeof(path), "/sys/devices/%s/%s/dev", below, name);
	px_file(path, dev);
	snprintf(path, sizeof(path), "/sys/devices/%s/%s/holders", below, name);
	px_dir(path);
	snprintf(path, sizeof(path), "/sys/class/block/%s", name);
	snprintf(target, sizeof(target), "../../devices/%s/%s", below, name);
	px_to(path, target);
	snprintf(path, sizeof(path), "/dev/%s", name);
	px_file(path, "");
}

static void make_tree(void)
{
	px_dir("/sys/bus/pci/drivers/vfio-pci");
	px_dir("/sys/bus/pci/drivers/nvme");
	px_dir("/sys/bus/pci/drivers/e1000");
	function(DRIVE, "0x010802\n", 5, "0\n");
	function(PATHS, "0x010802\n", 6, "1\n");
	function(NET, "0x020000\n", 6, "1\n");
	function(BARE, "0x010802\n", -1, "-1\n");
	function(BRIDGE, "0x060400\n", 5, "-1\n");
	px_drive_by(DRIVE, "nvme");
	px_drive_by(PATHS, "nvme");
	px_drive_by(NET, "e1000");
	px_drive_by(BRIDGE, "pcieport");
	px_put(DRIVE, "nvme/nvme0/subsysnqn", "nqn.2026-01.org.example:one\n");
	px_put(PATHS, "nvme/nvme1/subsysnqn", "nqn.2026-01.org.example:two\n");
	block("nvme0n1", "pci0000:00/" DRIVE "/nvme/nvme0", "259:0\n");
	block("nvme0n1p1", "pci0000:00/" DRIVE "/nvme/nvme0/nvme0n1",
	      "259:1\n");
	block("nvme1n1", "virtual/nvme-subsystem/nvme-subsys1", "259:7\n");
	block("sda", "pci0000:00/0000:04:00.0/ata1", "8:0\n");
	px_to("/sys/class/nvme-subsystem/nvme-subsys1/nvme1", "../../nvme1");
	px_to("/sys/class/net/eth0",
	   "../../devices/pci0000:00/" NET "/net/eth0");
	px_put(NET, "net/eth0/flags", "0x1002\n");
	px_file("/proc/self/mountinfo",
	     "22 1 8:0 / / rw,relatime - ext4 /dev/sda rw\n"
	     "short line\n\n");
	px_file("/proc/swaps", "Filename Type Size Used Priority\n");
}

/* ---- the kernel ---- */

static int probe(const char *address)
{
	char path[256], override[64], driver[32];

	snprintf(path, sizeof(path), DEVICES "%s/driver_override", address);
	assert_int_equal(leap__sysfs_read(px_at(path), override,
					  sizeof(override)), 0);
	assert_int_equal(leap__pci_driver(&px.s, address, driver,
					  sizeof(driver)), 0);
	if (*driver)
		return 0;
	if (!strcmp(override, "vfio-pci"))
		px_drive_by(address, px.refuse ? "" : "vfio-pci");
	else if (!px.keeps)
		px_drive_by(address, !strcmp(address, NET) ? "e1000" : "nvme");
	return 0;
}

static int kernel_write(void *arg, const char *path, const char *text)
{
	const char *address = strstr(path, "/devices/");
	char name[16];

	if (++px.writes == px.fail_at)
		return px.fail_err;
	if (strstr(path, "/drivers_probe"))
		return probe(text);
	assert_non_null(address);
	snprintf(name, sizeof(name), "%.12s", address + 9);
	if (strstr(path, "/driver/unbind")) {
		assert_string_equal(name, text);
		px_drive_by(name, "");
		px.unbound++;
		return 0;
	}
	assert_non_null(strstr(path, "/driver_override"));
	px_put(name, "driver_override", *text == '\n' ? "(null)\n" : text);
	return 0;
}

int px_set_up(void **state)
{
	struct leap_pci_opts o = LEAP_PCI_OPTS_INIT, copy;

	memset(&px, 0, sizeof(px));
	strcpy(px.root, "/tmp/test-pci.XXXXXX");
	assert_non_null(mkdtemp(px.root));
	make_tree();
	o.root = px.root;
	assert_int_equal(leap__pci_opts("test", &o, &copy, &px.s), 0);
	px.s.write = kernel_write;
	return 0;
}

static int unlink_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	return remove(path);
}

int px_tear_down(void **state)
{
	return nftw(px.root, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
}
