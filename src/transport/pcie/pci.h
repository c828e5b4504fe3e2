/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci.h - what the files behind leapio/pci.h share
 *
 *	leap_pci_next		pci.c	(libpci)
 *	leap_pci_bind, release	bind.c
 *	  who uses it		use.c
 *	  /sys, /proc, /dev	sysfs.c
 */
#ifndef LEAP_TRANSPORT_PCIE_PCI_H
#define LEAP_TRANSPORT_PCIE_PCI_H

#include <stdbool.h>
#include <stddef.h>

#include <leapio/pci.h>

#define LEAP__PCI_PATH	768u

/* What is at "/", or what a test puts there. */
struct leap__sysfs {
	char root[256];		/* "" = the machine's own */
	char state_dir[256];
	/* A word to a file of the kernel's; NULL = write(2). 0, -errno */
	int (*write)(void *arg, const char *path, const char *text);
	void *arg;
};

/* ---- sysfs.c; 0 or more, or -errno without text ---- */

/* root + @fmt. -ENAMETOOLONG */
int leap__sysfs_path(const struct leap__sysfs *s, char *path, const char *fmt,
		     ...) __attribute__((format(printf, 3, 4)));
/* The first line of the file, without its end. -ENAMETOOLONG: that has @max
 * bytes or more, and @text none. */
int leap__sysfs_read(const char *path, char *text, size_t max);
int leap__sysfs_write(const struct leap__sysfs *s, const char *path,
		      const char *text);
/* Where a link leads, whole; and the last part of that. */
int leap__sysfs_link(const char *path, char *target, size_t max);
int leap__sysfs_name(const char *path, char *name, size_t max);
/* @each for every entry of a directory until it returns non-zero, which is the
 * result; no directory: 0. */
int leap__sysfs_each(const char *dir, int (*each)(const char *name, void *arg),
		     void *arg);

/* What has the function, "" = nothing. 0, -ENODEV no such function. */
int leap__pci_driver(const struct leap__sysfs *s, const char *address,
		     char *driver, size_t max);
/* -1 = none */
int leap__pci_group(const struct leap__sysfs *s, const char *address);

/* ---- use.c ---- */

/* Block devices that are held while nobody else may take them. */
#define LEAP__PCI_HELD	256u

struct leap__pci_held {
	int fds[LEAP__PCI_HELD];
	unsigned int nr;
};

/*
 * Is anything of @address in use? 1 and @why, 0, or -errno. @held, when it is
 * not NULL, gets what has been opened: to be let go by leap__pci_let_go in any
 * case.
 */
int leap__pci_in_use(const struct leap__sysfs *s, const char *address,
		     char *why, size_t max, struct leap__pci_held *held);
void leap__pci_let_go(struct leap__pci_held *held);
/* Its NQN as the kernel's driver knows it; "" when it has none, or one that
 * could not be shown. */
void leap__pci_subnqn(const struct leap__sysfs *s, const char *address,
		      char *nqn, size_t max);
/* No control characters: a name comes from the drive, and goes to terminals
 * and into files of lines. Blanks are in names that the kernel makes up. */
bool leap__pci_name_ok(const char *name);

/* ---- bind.c ---- */

/* What a function was before it was bound. */
struct leap__pci_was {
	char driver[32];
	char override[32];
	char subnqn[224];
};

/* 0, -ENOENT nothing is written down, -EINVAL not by us. */
int leap__pci_state_read(const struct leap__sysfs *s, const char *address,
			 struct leap__pci_was *was);
int leap__pci_bind(const struct leap__sysfs *s, const char *address,
		   const struct leap_pci_opts *opts);
int leap__pci_release(const struct leap__sysfs *s, const char *address);
/* May @address be used by way of VFIO, as far as its group goes? */
bool leap__pci_group_ready(const struct leap__sysfs *s, const char *address);

/* pci.c: options checked and taken over. 0, -errno with last error text. */
int leap__pci_opts(const char *call, const struct leap_pci_opts *from,
		   struct leap_pci_opts *o, struct leap__sysfs *s);

#endif
