/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Giving a PCI function to vfio-pci, and back.
 *
 *	bind     unused? -> what it was is written down -> driver_override =
 *		 vfio-pci -> unbind -> probe -> taken? else back
 *	release  not driven? -> override as it was -> unbind -> probe -> taken?
 *
 * driver_override names one function, so that no other of its kind goes along.
 * What it was is a file of a directory that only root may write; it is read
 * back as if somebody else had written it.
 */
#include "config.h"

#include "transport/pcie/pci.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/err.h"

#define VFIO		"vfio-pci"
#define BRIDGE		"0x0604"	/* class and subclass */
#define STATE_MAX	512u

/* ---- what it was ------------------------------------------------------- */

/* A driver's name: nothing that could lead elsewhere. */
static int take_driver(char *to, size_t max, const char *from)
{
	size_t n = strlen(from), i;

	if (n >= max)
		return -EINVAL;
	for (i = 0; i < n; i++)
		if (!isgraph((unsigned char)from[i]) || from[i] == '/')
			return -EINVAL;
	memcpy(to, from, n + 1);
	return 0;
}

static int take_name(char *to, size_t max, const char *from)
{
	if (strlen(from) >= max || !leap__pci_name_ok(from))
		return -EINVAL;
	strcpy(to, from);
	return 0;
}

static int state_path(const struct leap__sysfs *s, const char *address,
		      char *path)
{
	int n = snprintf(path, LEAP__PCI_PATH, "%s%s/%s", s->root,
			 s->state_dir, address);

	return n < 0 || n >= (int)LEAP__PCI_PATH ? -ENAMETOOLONG : 0;
}

int leap__pci_state_read(const struct leap__sysfs *s, const char *address,
			 struct leap__pci_was *was)
{
	char path[LEAP__PCI_PATH], text[STATE_MAX], *line, *save = NULL;
	int fd, err = state_path(s, address, path);
	ssize_t n;

	memset(was, 0, sizeof(*was));
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	text[n] = 0;
	for (line = strtok_r(text, "\n", &save); line && !err;
	     line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "driver ", 7))
			err = take_driver(was->driver, sizeof(was->driver),
					  line + 7);
		else if (!strncmp(line, "override ", 9))
			err = take_driver(was->override,
					  sizeof(was->override), line + 9);
		else if (!strncmp(line, "subnqn ", 7))
			err = take_name(was->subnqn, sizeof(was->subnqn),
					line + 7);
		else
			err = -EINVAL;
	}
	return err;
}

/* Its last directory is made; whoever wants another path makes that. */
static int state_write(const struct leap__sysfs *s, const char *address,
		       const struct leap__pci_was *was)
{
	char path[LEAP__PCI_PATH], text[STATE_MAX], *slash;
	int n = snprintf(text, sizeof(text), "driver %s\noverride %s\n"
			 "subnqn %s\n", was->driver, was->override,
			 was->subnqn);
	int fd, err = state_path(s, address, path);

	if (err)
		return err;
	for (slash = path + strlen(s->root) + 1; (slash = strchr(slash, '/'));
	     slash++) {
		*slash = 0;
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		  0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)n) != n)
		err = -EIO;
	if (close(fd) && !err)
		err = -EIO;
	return err;
}

static void state_remove(const struct leap__sysfs *s, const char *address)
{
	char path[LEAP__PCI_PATH];

	if (!state_path(s, address, path))
		unlink(path);
}

/* ---- the others of its group ------------------------------------------- */

struct group {
	const struct leap__sysfs *s;
	const char *address;	/* of whom they are the others */
	char why[160];
	int ready;
};

static bool is_bridge(const struct leap__sysfs *s, const char *address)
{
	char path[LEAP__PCI_PATH], class[16];

	return !leap__sysfs_path(s, path, "/sys/bus/pci/devices/%s/class",
				 address) &&
	       !leap__sysfs_read(path, class, sizeof(class)) &&
	       !strncmp(class, BRIDGE, strlen(BRIDGE));
}

static int others(struct group *g, int (*each)(const char *name, void *arg))
{
	char path[LEAP__PCI_PATH];

	if (leap__sysfs_path(g->s, path,
			     "/sys/bus/pci/devices/%s/iommu_group/devices",
			     g->address))
		return -ENAMETOOLONG;
	return leap__sysfs_each(path, each, g);
}

static int is_used(const char *name, void *arg)
{
	struct group *g = arg;
	char why[128];
	int rc;

	if (!strcmp(name, g->address) || is_bridge(g->s, name))
		return 0;
	rc = leap__pci_in_use(g->s, name, why, sizeof(why), NULL);
	if (rc > 0)
		snprintf(g->why, sizeof(g->why), "%.16s: %s", name, why);
	return rc;
}

static int is_foreign(const char *name, void *arg)
{
	struct group *g = arg;
	char driver[32];

	return !is_bridge(g->s, name) &&
	       !leap__pci_driver(g->s, name, driver, sizeof(driver)) &&
	       driver[0] && strcmp(driver, VFIO) && strcmp(driver, "pci-stub");
}

bool leap__pci_group_ready(const struct leap__sysfs *s, const char *address)
{
	struct group g = { .s = s, .address = address };
	char driver[32];

	return !leap__pci_driver(s, address, driver, sizeof(driver)) &&
	       !strcmp(driver, VFIO) && !others(&g, is_foreign);
}

/* ---- changing hands ---------------------------------------------------- */

static int put(const struct leap__sysfs *s, const char *address,
	       const char *file, const char *text)
{
	char path[LEAP__PCI_PATH];
	int err = leap__sysfs_path(s, path, "/sys/bus/pci/devices/%s/%s",
				   address, file);

	return err ? err : leap__sysfs_write(s, path, text);
}

/* From one driver to another, "" = none: the override decides who takes it. */
static int move(const struct leap__sysfs *s, const char *address,
		const char *from, const char *to, const char *override)
{
	char path[LEAP__PCI_PATH];
	int err = put(s, address, "driver_override", *override ? override :
		      "\n");

	if (!err && *from)
		err = put(s, address, "driver/unbind", address);
	if (err || !*to)
		return err;
	err = leap__sysfs_path(s, path, "/sys/bus/pci/drivers_probe");
	if (!err)
		err = leap__sysfs_write(s, path, address);
	return err;
}

static bool has_driver(const struct leap__sysfs *s, const char *address,
		       const char *name)
{
	char driver[32];

	return !leap__pci_driver(s, address, driver, sizeof(driver)) &&
	       !strcmp(driver, name);
}

static int check_bind(const struct leap__sysfs *s, const char *address,
		      struct leap__pci_held *held)
{
	struct group g = { .s = s, .address = address };
	char path[LEAP__PCI_PATH], why[128];
	int rc;

	if (leap__sysfs_path(s, path, "/sys/bus/pci/drivers/" VFIO) ||
	    access(path, F_OK))
		return leap__err(-ENOENT, "leap_pci_bind: " VFIO " is not "
				 "there (modprobe " VFIO ")");
	rc = leap__pci_in_use(s, address, why, sizeof(why), held);
	if (rc > 0)
		return leap__err(-EBUSY, "leap_pci_bind: %s: %s", address, why);
	if (!rc)
		rc = others(&g, is_used);
	if (rc > 0)
		return leap__err(-EBUSY, "leap_pci_bind: %s shares its IOMMU "
				 "group with %s", address, g.why);
	return rc < 0 ? leap__err(rc, "leap_pci_bind: %s: cannot see whether "
				  "it is in use: %s", address, strerror(-rc)) :
		0;
}

static int read_was(const struct leap__sysfs *s, const char *address,
		    const char *driver, struct leap__pci_was *was)
{
	char path[LEAP__PCI_PATH];
	int err;

	memset(was, 0, sizeof(*was));
	strcpy(was->driver, driver);
	leap__pci_subnqn(s, address, was->subnqn, sizeof(was->subnqn));
	err = leap__sysfs_path(s, path,
			       "/sys/bus/pci/devices/%s/driver_override",
			       address);
	if (!err)
		err = leap__sysfs_read(path, was->override,
				       sizeof(was->override));
	if (!strcmp(was->override, "(null)"))
		was->override[0] = 0;
	return err;
}

/* The node of its IOMMU group. 0, -ENOENT, -ENAMETOOLONG */
static int node_path(const struct leap__sysfs *s, const char *address,
		     char *path)
{
	int group = leap__pci_group(s, address), err;

	if (group < 0)
		return -ENOENT;
	err = leap__sysfs_path(s, path, "/dev/vfio/%d", group);
	if (err || !access(path, F_OK))
		return err;
	err = leap__sysfs_path(s, path, "/dev/vfio/noiommu-%d", group);
	return err || !access(path, F_OK) ? err : -ENOENT;
}

/* Its new owner's, if there is to be one. */
static int give_node(const struct leap__sysfs *s, const char *address,
		     const struct leap_pci_opts *opts)
{
	char path[LEAP__PCI_PATH];
	int err;

	if (!opts->set_owner)
		return 0;
	err = node_path(s, address, path);
	if (!err && chown(path, opts->uid, opts->gid))
		err = -errno;
	return err ? leap__err(err, "leap_pci_bind: %s: the node of its IOMMU "
			       "group cannot be given away: %s", address,
			       strerror(-err)) : 0;
}

/* As it was before, as far as it can be had. */
static void undo(const struct leap__sysfs *s, const char *address,
		 const struct leap__pci_was *was)
{
	char driver[32];

	if (has_driver(s, address, was->driver))
		put(s, address, "driver_override",
		    *was->override ? was->override : "\n");
	else if (!leap__pci_driver(s, address, driver, sizeof(driver)))
		move(s, address, driver, was->driver, was->override);
	/* Else leap_pci_release may do better. */
	if (has_driver(s, address, was->driver))
		state_remove(s, address);
}

static int not_taken(const struct leap__sysfs *s, const char *address, int err)
{
	if (leap__pci_group(s, address) < 0)
		return leap__err(-EIO, "leap_pci_bind: %s is in no IOMMU "
				 "group: there is no IOMMU, or it is off, and "
				 "so is VFIO's no-IOMMU mode", address);
	return leap__err(err ? err : -EIO, "leap_pci_bind: " VFIO " does not "
			 "take %s", address);
}

static int bind_held(const struct leap__sysfs *s, const char *address,
		     const char *driver, const struct leap_pci_opts *opts)
{
	struct leap__pci_was was;
	int err = read_was(s, address, driver, &was);

	if (!err)
		err = state_write(s, address, &was);
	if (err)
		return leap__err(err, "leap_pci_bind: %s: what it was cannot "
				 "be written down in %s: %s", address,
				 s->state_dir, strerror(-err));
	err = move(s, address, driver, VFIO, VFIO);
	if (err || !has_driver(s, address, VFIO))
		err = not_taken(s, address, err);
	else
		err = give_node(s, address, opts);
	if (err)
		undo(s, address, &was);
	return err;
}

int leap__pci_bind(const struct leap__sysfs *s, const char *address,
		   const struct leap_pci_opts *opts)
{
	struct leap__pci_held held = { .nr = 0 };
	char driver[32];
	int err = leap__pci_driver(s, address, driver, sizeof(driver));

	if (err)
		return leap__err(err, "leap_pci_bind: %s: %s", address,
				 err == -ENODEV ? "no such PCI function" :
				 strerror(-err));
	if (!strcmp(driver, VFIO))
		return give_node(s, address, opts);
	err = check_bind(s, address, &held);
	if (!err)
		err = bind_held(s, address, driver, opts);
	leap__pci_let_go(&held);
	return err;
}

/* ---- back -------------------------------------------------------------- */

/* Holds the node of the group meanwhile: who has a device of it open has that,
 * and taking it away would wait for him. */
static int hold_group(const struct leap__sysfs *s, const char *address, int *fd)
{
	char path[LEAP__PCI_PATH];
	int err = node_path(s, address, path);

	*fd = -1;
	if (err)
		return err == -ENOENT ? 0 : err;
	*fd = open(path, O_RDWR | O_CLOEXEC);
	return *fd < 0 && errno != ENOENT ? -errno : 0;
}

static int give_back(const struct leap__sysfs *s, const char *address,
		     const char *driver, const struct leap__pci_was *was)
{
	int err = move(s, address, driver, was->driver, was->override);

	if (has_driver(s, address, was->driver))
		return err ? leap__err(err, "leap_pci_release: %s: its "
				       "driver_override cannot be put back: %s",
				       address, strerror(-err)) : 0;
	if (has_driver(s, address, VFIO))
		return leap__err(err ? err : -EIO, "leap_pci_release: %s: "
				 VFIO " keeps it", address);
	return leap__err(err ? err : -EIO, "leap_pci_release: %s: %s does not "
			 "take it back", address, was->driver);
}

/* A function that has lost its driver on the way there or back is released,
 * too. */
int leap__pci_release(const struct leap__sysfs *s, const char *address)
{
	struct leap__pci_was was;
	char driver[32];
	int fd, err = leap__pci_driver(s, address, driver, sizeof(driver));

	if (err)
		return leap__err(err, "leap_pci_release: %s: %s", address,
				 err == -ENODEV ? "no such PCI function" :
				 strerror(-err));
	err = leap__pci_state_read(s, address, &was);
	if (err || (*driver && strcmp(driver, VFIO)))
		return leap__err(err && err != -ENOENT ? err : -ENOENT,
				 "leap_pci_release: %s: it was not bound by "
				 "leap_pci_bind", address);
	err = hold_group(s, address, &fd);
	if (err == -EBUSY)
		return leap__err(err, "leap_pci_release: %s is driven by a "
				 "process", address);
	if (err)
		return leap__err(err, "leap_pci_release: %s: cannot see "
				 "whether it is driven: %s", address,
				 strerror(-err));
	err = give_back(s, address, driver, &was);
	if (fd >= 0)
		close(fd);
	if (!err)
		state_remove(s, address);
	return err;
}
