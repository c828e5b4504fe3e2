/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who uses a PCI function: what the kernel has made of it (block devices, the
 * namespaces of a drive with several paths, network interfaces), and whether
 * somebody holds on to that. Asked before a function is taken from its driver.
 *
 * Mounts, holders and swap are looked for so that the answer can name them; an
 * exclusive open is what decides, since every one of them is one, in other
 * mount namespaces too.
 */
#include "config.h"

#include "transport/pcie/pci.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME	64u

struct search {
	const struct leap__sysfs *s;
	const char *address;
	char subsys[NAME];	/* of its namespaces, "" = none */
	const char *ctrl;	/* while that is looked for */
	const char *block;	/* while its users are */
	char *why;
	size_t max;
	struct leap__pci_held *held;
};

static int say(struct search *q, const char *block, const char *what,
	       const char *by)
{
	char *c;

	snprintf(q->why, q->max, "%s %s%s", block, what, by);
	for (c = q->why; *c; c++)	/* of a mount point, say */
		if (iscntrl((unsigned char)*c))
			*c = '?';
	return 1;
}

/* ---- what belongs to it ------------------------------------------------ */

static int is_ctrl(const char *name, void *arg)
{
	struct search *q = arg;

	return !strcmp(name, q->ctrl);
}

static int look_subsys(const char *name, void *arg)
{
	struct search *q = arg;
	char path[LEAP__PCI_PATH];
	int rc;

	if (strlen(name) >= NAME ||
	    leap__sysfs_path(q->s, path, "/sys/class/nvme-subsystem/%s", name))
		return 0;
	rc = leap__sysfs_each(path, is_ctrl, q);
	if (rc == 1)
		strcpy(q->subsys, name);
	return rc == 1;
}

/* A drive with several paths has its namespaces below its subsystem. */
static int look_ctrl(const char *name, void *arg)
{
	struct search *q = arg;
	char path[LEAP__PCI_PATH];

	if (leap__sysfs_path(q->s, path, "/sys/class/nvme-subsystem"))
		return 0;
	q->ctrl = name;
	return leap__sysfs_each(path, look_subsys, q) == 1;
}

static void find_subsys(struct search *q)
{
	char path[LEAP__PCI_PATH];

	q->subsys[0] = 0;
	if (!leap__sysfs_path(q->s, path, "/sys/bus/pci/devices/%s/nvme",
			      q->address))
		leap__sysfs_each(path, look_ctrl, q);
}

/* Is a part of @target "/@a/@b/"? @a may be NULL. */
static bool passes(const char *target, const char *a, const char *b)
{
	char part[2 * NAME + 4];

	snprintf(part, sizeof(part), "/%s%s%s/", a ? a : "", a ? "/" : "", b);
	return strstr(target, part) != NULL;
}

/* Is /sys/class/@class/@name made of the function? */
static bool is_ours(const struct search *q, const char *class,
		    const char *name)
{
	char path[LEAP__PCI_PATH], target[LEAP__PCI_PATH];

	if (leap__sysfs_path(q->s, path, "/sys/class/%s/%s", class, name) ||
	    leap__sysfs_link(path, target, sizeof(target)))
		return false;
	return passes(target, NULL, q->address) ||
	       (q->subsys[0] && passes(target, "nvme-subsystem", q->subsys));
}

/* ---- who has it -------------------------------------------------------- */

static int any(const char *name, void *arg)
{
	snprintf(arg, NAME, "%s", name);
	return 1;
}

static int look_holders(struct search *q, const char *block)
{
	char path[LEAP__PCI_PATH], holder[NAME];

	if (leap__sysfs_path(q->s, path, "/sys/class/block/%s/holders", block))
		return 0;
	return leap__sysfs_each(path, any, holder) == 1 ?
		say(q, block, "is part of ", holder) : 0;
}

/* "... ... MAJOR:MINOR root MOUNTPOINT ... - TYPE SOURCE ..." */
static int look_mount(struct search *q, const char *block, const char *dev,
		      char *line)
{
	char *word[5], *save = NULL, *dash = strstr(line, " - "), *source;
	char node[NAME + 8];
	int i;

	if (!dash)
		return 0;
	*dash = 0;
	source = dash + 3 + strcspn(dash + 3, " ");
	source += strspn(source, " ");
	source[strcspn(source, " \n")] = 0;
	for (i = 0; i < 5; i++) {
		word[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!word[i])
			return 0;
	}
	snprintf(node, sizeof(node), "/dev/%s", block);
	if (strcmp(word[2], dev) && strcmp(source, node))
		return 0;
	return say(q, block, "is mounted at ", word[4]);
}

static int each_line(struct search *q, const char *file, const char *block,
		     const char *dev,
		     int (*look)(struct search *q, const char *block,
				 const char *dev, char *line))
{
	char path[LEAP__PCI_PATH], *line = NULL;
	size_t room = 0;
	int rc = 0;
	FILE *f;

	if (leap__sysfs_path(q->s, path, "%s", file))
		return 0;
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (!rc && getline(&line, &room, f) > 0)
		rc = look(q, block, dev, line);
	free(line);
	fclose(f);
	return rc;
}

static int look_swap(struct search *q, const char *block, const char *dev,
		     char *line)
{
	char node[NAME + 8];

	snprintf(node, sizeof(node), "/dev/%s", block);
	line[strcspn(line, " \t\n")] = 0;
	return strcmp(line, node) ? 0 : say(q, block, "is swap", "");
}

static int not_opened(struct search *q, const char *block, int err)
{
	switch (err) {
	case EBUSY:
		return say(q, block, "is in use (opened exclusively)", "");
	case ENOENT:		/* no node: nobody can open it there */
	case ENXIO:		/* nothing behind it any more */
	case ENODEV:
	case ENOMEDIUM:
		return 0;
	default:
		return -err;
	}
}

/* It is ours from here on, or somebody else's. */
static int look_open(struct search *q, const char *block)
{
	char path[LEAP__PCI_PATH], *c;
	int fd;

	if (leap__sysfs_path(q->s, path, "/dev/%s", block))
		return -ENAMETOOLONG;
	/* What is a directory of /dev is said so in names of sysfs. */
	while ((c = strchr(path + strlen(q->s->root), '!')))
		*c = '/';
	fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return not_opened(q, block, errno);
	if (!q->held || q->held->nr == LEAP__PCI_HELD) {
		close(fd);
		return q->held ? -EMFILE : 0;
	}
	q->held->fds[q->held->nr++] = fd;
	return 0;
}

static int look_block(const char *name, void *arg)
{
	char path[LEAP__PCI_PATH], dev[24] = "";
	struct search *q = arg;
	int rc;

	if (strlen(name) >= NAME || !is_ours(q, "block", name))
		return 0;
	if (leap__sysfs_path(q->s, path, "/sys/class/block/%s/dev", name) ||
	    leap__sysfs_read(path, dev, sizeof(dev)))
		dev[0] = 0;
	rc = each_line(q, "/proc/self/mountinfo", name, dev, look_mount);
	if (!rc)
		rc = each_line(q, "/proc/swaps", name, dev, look_swap);
	if (!rc)
		rc = look_holders(q, name);
	return rc ? rc : look_open(q, name);
}

static int look_net(const char *name, void *arg)
{
	char path[LEAP__PCI_PATH], flags[24];
	struct search *q = arg;

	if (strlen(name) >= NAME || !is_ours(q, "net", name) ||
	    leap__sysfs_path(q->s, path, "/sys/class/net/%s/flags", name) ||
	    leap__sysfs_read(path, flags, sizeof(flags)))
		return 0;
	return strtoul(flags, NULL, 0) & 1 ? say(q, name, "is up", "") : 0;
}

int leap__pci_in_use(const struct leap__sysfs *s, const char *address,
		     char *why, size_t max, struct leap__pci_held *held)
{
	struct search q = {
		.s = s, .address = address, .why = why, .max = max,
		.held = held,
	};
	char path[LEAP__PCI_PATH];
	int rc;

	why[0] = 0;
	find_subsys(&q);
	rc = leap__sysfs_path(s, path, "/sys/class/block");
	if (!rc)
		rc = leap__sysfs_each(path, look_block, &q);
	if (!rc)
		rc = leap__sysfs_path(s, path, "/sys/class/net");
	if (!rc)
		rc = leap__sysfs_each(path, look_net, &q);
	return rc;
}

void leap__pci_let_go(struct leap__pci_held *held)
{
	while (held->nr)
		close(held->fds[--held->nr]);
}

/* ---- its name ---------------------------------------------------------- */

bool leap__pci_name_ok(const char *name)
{
	while (*name && !iscntrl((unsigned char)*name))
		name++;
	return !*name;
}

void leap__pci_subnqn(const struct leap__sysfs *s, const char *address,
		      char *nqn, size_t max)
{
	char path[LEAP__PCI_PATH], ctrl[NAME];

	nqn[0] = 0;
	if (leap__sysfs_path(s, path, "/sys/bus/pci/devices/%s/nvme",
			     address) ||
	    leap__sysfs_each(path, any, ctrl) != 1 ||
	    leap__sysfs_path(s, path,
			     "/sys/bus/pci/devices/%s/nvme/%s/subsysnqn",
			     address, ctrl) ||
	    leap__sysfs_read(path, nqn, max) || !leap__pci_name_ok(nqn))
		nqn[0] = 0;
}
