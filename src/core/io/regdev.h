/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * regdev.h - how a host end reaches a controller behind registers
 *
 * A leap__regdev is the way to BAR 0, config space, interrupts and memory of
 * one PCI function: over a vfio-user socket, by VFIO, or by calls in the same
 * process. The register-level driver (regctrl.h) uses nothing else, so a new
 * way needs this table alone.
 *
 * Rules: submit never calls done; done runs in poll, once for each operation,
 * in the order of submits; an operation belongs to the device from submit until
 * done begins.
 */
#ifndef LEAP_CORE_IO_REGDEV_H
#define LEAP_CORE_IO_REGDEV_H

#include <leapio/qp.h>

#include <stdbool.h>

struct leap__regctrl;

enum leap__regop {
	LEAP__REG_READ,		/* BAR 0; @bytes 4 or 8 */
	LEAP__REG_WRITE,	/* done when the device has it */
	LEAP__REG_CONFIG_READ,	/* @bytes 1, 2 or 4 */
	LEAP__REG_CONFIG_WRITE,
	LEAP__REG_MAP,		/* let the device reach @buf at @offset */
	LEAP__REG_UNMAP,	/* done when it no longer does */
	LEAP__REG_IRQ,		/* have MSI-X vector @value signal @fd; -1:
				 * none */
	LEAP__REG_RESET,	/* function level reset */
};

struct leap__regio {
	uint8_t op;		/* enum leap__regop */
	uint8_t bytes;
	int fd;
	/* Register; UNMAP: device address; MAP: the same, which the device may
	 * change before done. */
	uint64_t offset;
	uint64_t value;		/* in, or out of a read; IRQ: vector */
	struct leap_dmabuf *buf;	/* MAP, UNMAP */
	/* Out of MAP, when the device is scattered: the device address of each
	 * 4 KiB of @buf. Of malloc; from done on the caller's. */
	uint64_t *pages;
	void (*done)(struct leap__regio *io, int err);
	void *arg;
	struct leap__regio *next;	/* device's */
	uint64_t priv;			/* device's */
};

/* Base of a device; embed it first. */
struct leap__regdev {
	const struct leap__regdev_ops *ops;
	struct leap_pollgroup *pg;
	struct leap__regctrl *ctrl;
	/* Shadow doorbells that somebody else has set up: two pages, since
	 * open. NULL: the end may set up its own. */
	uint8_t *shadow;
	/* Set by open: device addresses end here. 0 = at 2^48. */
	uint64_t iova_end;
	/* Set by open: what lies together in memory does not for the device,
	 * beyond pages of 4 KiB. */
	bool scattered;
};

struct leap__regdev_ops {
	uint32_t dev_bytes;	/* of the struct that embeds the base, zeroed */
	/* This side keeps the MSI-X table: it has to be written. */
	bool msix_table;
	/* It is no processor of this machine that reads and writes the rings:
	 * barriers have to reach further than the cores do. */
	bool device;
	/* Start opening @address; leap__reg_opened tells the end, in a later
	 * poll. 0, or -errno with last error text: it was never open. */
	int (*open)(struct leap__regdev *dev, const struct leap_qp_opts *opts,
		    const char *address);
	void (*submit)(struct leap__regdev *dev, struct leap__regio *io);
	/* A posted 4-byte write of BAR 0, in order with other doorbells. Of
	 * several to one offset that wait, the last is enough. */
	void (*doorbell)(struct leap__regdev *dev, uint32_t offset,
			 uint32_t value);
	/* The end of it: what was submitted is done with -ECANCELED, then
	 * leap__reg_closed is called, in a later poll. */
	void (*close)(struct leap__regdev *dev);

	/* The rest may be NULL. */

	/* Doorbells for another process: a descriptor that can be mapped, and
	 * where in it BAR 0's 1000h lies. Borrowed; -EOPNOTSUPP. */
	int (*doorbell_fd)(struct leap__regdev *dev, uint64_t *offset,
			   uint32_t *bytes);
	/* What the device calls an I/O queue, in doorbells and completions,
	 * once its CQ exists. NULL: as we do. */
	uint16_t (*queue_id)(struct leap__regdev *dev, uint16_t qid);
};

/* The device says, in poll: it is open (0) or cannot be opened (-errno; close
 * is called); it is lost: every operation has been or will be done with an
 * error; and that close has ended. */
void leap__reg_opened(struct leap__regdev *dev, int err);
void leap__reg_lost(struct leap__regdev *dev, int err);
void leap__reg_closed(struct leap__regdev *dev);

#endif
