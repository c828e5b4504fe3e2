/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which PCI functions there are: libpci finds and names them, the rest is what
 * bind.c and use.c know.
 *
 * libpci ends the process when something goes wrong, unless its error handler
 * leaves by another way: here it jumps back to the call that asked. Between the
 * two there is nothing but libpci.
 */
#include "config.h"

#include "transport/pcie/pci.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pci/pci.h>

#include "core/io/info.h"
#include "transport/pcie/vfio.h"
#include "util/err.h"
#include "util/opts.h"

#define FILL (PCI_FILL_IDENT | PCI_FILL_CLASS | PCI_FILL_CLASS_EXT | \
	      PCI_FILL_SUBSYS | PCI_FILL_NUMA_NODE)

/* Of this thread's call of libpci: its handlers are told nothing. */
static __thread jmp_buf *way_out;

static void __attribute__((noreturn, format(printf, 1, 2)))
on_error(char *fmt, ...)
{
	longjmp(*way_out, 1);
}

static void __attribute__((format(printf, 1, 2))) be_quiet(char *fmt, ...)
{
}

/* ---- options ----------------------------------------------------------- */

int leap__pci_opts(const char *call, const struct leap_pci_opts *from,
		   struct leap_pci_opts *o, struct leap__sysfs *s)
{
	const char *dir;
	int err = leap__opts_copy_for(call, o, sizeof(*o), from);

	if (err)
		return err;
	memset(s, 0, sizeof(*s));
	if (!o->class_code)
		o->class_code = LEAP_PCI_CLASS_NVME;
	if (!o->class_mask)
		o->class_mask = LEAP_PCI_CLASS_MASK;
	if (o->any_class)
		o->class_mask = o->class_code = 0;
	dir = o->state_dir ? o->state_dir : "/run/leapio/pci";
	if (o->root && strlen(o->root) >= sizeof(s->root))
		return leap__err(-EINVAL, "%s: root of %zu bytes exceeds %zu",
				 call, strlen(o->root), sizeof(s->root) - 1);
	if (dir[0] != '/' || strlen(dir) >= sizeof(s->state_dir))
		return leap__err(-EINVAL, "%s: state_dir is not a path of at "
				 "most %zu bytes", call,
				 sizeof(s->state_dir) - 1);
	if (o->root && strcmp(o->root, "/"))
		strcpy(s->root, o->root);
	strcpy(s->state_dir, dir);
	return o->address ? leap__pci_check_address(call, o->address) : 0;
}

/* ---- libpci ------------------------------------------------------------ */

static void print_address(const struct pci_dev *dev, char *address, size_t max)
{
	snprintf(address, max, "%04x:%02x:%02x.%d", (unsigned int)dev->domain,
		 dev->bus, dev->dev, dev->func);
}

static uint32_t class_of(const struct pci_dev *dev)
{
	return (uint32_t)dev->device_class << 8 | dev->prog_if;
}

/* 0, or -EIO: it has gone meanwhile. */
static int fill(struct pci_dev *dev)
{
	jmp_buf out;
	int rc = -EIO;

	way_out = &out;
	if (!setjmp(out)) {
		pci_fill_info(dev, FILL);
		rc = 0;
	}
	way_out = NULL;
	return rc;
}

static int scan(struct pci_access *pci)
{
	jmp_buf out;
	int rc = -EIO;

	way_out = &out;
	if (!setjmp(out)) {
		pci_init(pci);
		pci_scan_bus(pci);
		rc = 0;
	}
	way_out = NULL;
	return rc;
}

static struct pci_access *open_bus(const struct leap__sysfs *s)
{
	struct pci_access *pci = pci_alloc();
	char path[LEAP__PCI_PATH];

	if (leap__sysfs_path(s, path, "/sys/bus/pci"))
		path[0] = 0;
	pci->method = PCI_ACCESS_SYS_BUS_PCI;
	pci->error = on_error;
	pci->warning = be_quiet;
	pci->debug = be_quiet;
	if (!pci_set_param(pci, (char *)"sysfs.path", path) && !scan(pci))
		return pci;
	pci_cleanup(pci);
	return NULL;
}

static void name_of(struct pci_access *pci, const struct pci_dev *dev,
		    char *name, size_t max)
{
	jmp_buf out;

	way_out = &out;
	if (setjmp(out) ||
	    !pci_lookup_name(pci, name, (int)max,
			     PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE |
			     PCI_LOOKUP_NO_NUMBERS | PCI_LOOKUP_NO_HWDB,
			     dev->vendor_id,
			     dev->device_id) || !strcmp(name, "???"))
		name[0] = 0;
	way_out = NULL;
}

/* ---- the list ---------------------------------------------------------- */

static bool fits(const struct leap__sysfs *s, const struct leap_pci_opts *o,
		 const struct pci_dev *dev, const char *address)
{
	char driver[32];

	if ((class_of(dev) ^ o->class_code) & o->class_mask)
		return false;
	if (o->address && strcmp(o->address, address))
		return false;
	if (o->numa_mask && (dev->numa_node < 0 || dev->numa_node > 63 ||
			     !(o->numa_mask >> dev->numa_node & 1)))
		return false;
	return !o->driver ||
	       (!leap__pci_driver(s, address, driver, sizeof(driver)) &&
		!strcmp(driver, o->driver));
}

static void describe(const struct leap__sysfs *s, struct pci_access *pci,
		     const struct pci_dev *dev, struct leap_pci_info *info)
{
	struct leap__pci_was was;
	int rc;

	memset(info, 0, sizeof(*info));
	print_address(dev, info->address, sizeof(info->address));
	leap__pci_driver(s, info->address, info->driver, sizeof(info->driver));
	info->vendor = dev->vendor_id;
	info->device = dev->device_id;
	info->subvendor = dev->subsys_vendor_id;
	info->subdevice = dev->subsys_id;
	info->class_code = class_of(dev);
	info->numa_node = dev->numa_node;
	info->iommu_group = leap__pci_group(s, info->address);
	info->group_ready = leap__pci_group_ready(s, info->address);
	rc = leap__pci_in_use(s, info->address, info->use, sizeof(info->use),
			      NULL);
	info->in_use = rc != 0;
	if (rc < 0)
		snprintf(info->use, sizeof(info->use), "not known: %s",
			 strerror(-rc));
	leap__pci_subnqn(s, info->address, info->subnqn, sizeof(info->subnqn));
	if (!leap__pci_state_read(s, info->address, &was) &&
	    !strcmp(info->driver, "vfio-pci")) {
		strcpy(info->previous, *was.driver ? was.driver : "none");
		strcpy(info->subnqn, was.subnqn);
	}
	name_of(pci, dev, info->name, sizeof(info->name));
}

/* The first after @after that fits. */
static struct pci_dev *find(const struct leap__sysfs *s,
			    const struct leap_pci_opts *o,
			    struct pci_access *pci, const char *after)
{
	struct pci_dev *dev, *best = NULL;
	char address[24], first[24] = "";

	for (dev = pci->devices; dev; dev = dev->next) {
		print_address(dev, address, sizeof(address));
		if (after && strcmp(address, after) <= 0)
			continue;
		if (best && strcmp(address, first) >= 0)
			continue;
		if (fill(dev) || !fits(s, o, dev, address))
			continue;
		best = dev;
		strcpy(first, address);
	}
	return best;
}

int leap_pci_next(const struct leap_pci_opts *opts, const char *after,
		  struct leap_pci_info *info)
{
	struct leap_pci_info found;
	struct leap_pci_opts o;
	struct leap__sysfs s;
	struct pci_access *pci;
	struct pci_dev *dev;
	int err = leap__pci_opts("leap_pci_next", opts, &o, &s);

	if (err)
		return err;
	pci = open_bus(&s);
	if (!pci)
		return leap__err(-EIO, "leap_pci_next: %s/sys/bus/pci cannot "
				 "be read", s.root);
	dev = find(&s, &o, pci, after);
	if (dev)
		describe(&s, pci, dev, &found);
	pci_cleanup(pci);
	if (!dev)
		return -ENOENT;
	return leap__info_copy("leap_pci_next", info, &found, sizeof(found));
}

int leap_pci_bind(const char *address, const struct leap_pci_opts *opts)
{
	struct leap_pci_opts o;
	struct leap__sysfs s;
	int err = leap__pci_opts("leap_pci_bind", opts, &o, &s);

	if (!err)
		err = leap__pci_check_address("leap_pci_bind", address);
	return err ? err : leap__pci_bind(&s, address, &o);
}

int leap_pci_release(const char *address, const struct leap_pci_opts *opts)
{
	struct leap_pci_opts o;
	struct leap__sysfs s;
	int err = leap__pci_opts("leap_pci_release", opts, &o, &s);

	if (!err)
		err = leap__pci_check_address("leap_pci_release", address);
	return err ? err : leap__pci_release(&s, address);
}
