/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hello-hypervisor.c - a toy machine with a virtual NVMe drive inside
 *
 *	cc -o machine hello-hypervisor.c $(pkg-config --cflags --libs libleapio)
 *	./machine
 *
 * Its RAM is an array, its guest a few loads and stores: it finds the drive on
 * its bus, sets up an admin queue, asks who is there, and takes an interrupt.
 * A hypervisor forwards what its guest does in the same way.
 */
#include <stdio.h>
#include <stdlib.h>

#include <leapio/leapio.h>

#define RAM_BYTES 0x10000u
enum { ASQ = 0x1000, ACQ = 0x2000, DATA = 0x3000 };	/* in the RAM */

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, leap_last_error());
	exit(1);
}

static void store(struct leap_vdev *drive, unsigned int reg, uint32_t value)
{
	leap_le32 le = leap_to_le32(value);

	leap_vdev_bar_write(drive, reg, &le, sizeof(le));
}

static void pin_changed(void *interrupts, int level)
{
	*(unsigned int *)interrupts += (unsigned int)level;
}

static struct leap_vdev *build_drive(struct leap_pollgroup *pg, void *interrupts)
{
	struct leap_subsystem_opts ss_opts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_vdev_opts opts = LEAP_VDEV_OPTS_INIT;
	struct leap_ns_opts ns_opts = LEAP_NS_OPTS_INIT;
	struct leap_subsystem *ss;
	struct leap_target *target;
	struct leap_vdev *drive;

	must(leap_target_create(pg, NULL, &target), "target");
	ss_opts.nqn = "nqn.2024-01.io.example:toy";
	must(leap_subsystem_create(target, &ss_opts, &ss), "subsystem");
	must(leap_bdev_open(pg, "memory:16M", &ns_opts.bdev), "drive");
	must(leap_ns_add(ss, &ns_opts, NULL, NULL), "namespace");
	opts.intx = pin_changed;
	opts.arg = interrupts;
	must(leap_vdev_create(ss, &opts, &drive), "vdev");
	return drive;
}

int main(void)
{
	struct leap_dmabuf_opts ram_opts = LEAP_DMABUF_OPTS_INIT;
	struct leap_ats_range range = LEAP_ATS_RANGE_INIT;
	const leap_le16 on = leap_to_le16(6);	/* memory, bus master */
	unsigned int interrupts = 0;
	struct leap_pollgroup *pg;
	struct leap_vdev *drive;
	struct leap_sqe *sqe;
	leap_le32 id[3];
	char *ram;

	/* The machine: RAM at 0, a drive on the bus. */
	must(leap_pollgroup_create(NULL, &pg), "poll group");
	drive = build_drive(pg, &interrupts);
	ram_opts.bytes = range.bytes = RAM_BYTES;
	must(leap_dmabuf_create(&ram_opts, &range.buf), "ram");
	range.source = LEAP_ATS_DMABUF;
	range.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	must(leap_vdev_mem_add(drive, &range), "ram");
	ram = leap_dmabuf_addr(range.buf);

	/* The guest. */
	leap_vdev_config_read(drive, 0, id, sizeof(id));
	leap_vdev_config_write(drive, 4, &on, sizeof(on));
	store(drive, LEAP_REG_AQA, 0x000f000f);
	store(drive, LEAP_REG_ASQ, ASQ);
	store(drive, LEAP_REG_ACQ, ACQ);
	store(drive, LEAP_REG_CC, 0x00460001);
	sqe = (struct leap_sqe *)(void *)(ram + ASQ);
	sqe->opc = LEAP_ADM_IDENTIFY;
	sqe->cdw10 = leap_to_le32(LEAP_CNS_CTRL);
	sqe->prp1 = leap_to_le64(DATA);
	store(drive, LEAP_REG_SQTDBL(0, 0), 1);
	while (!interrupts)
		leap_pollgroup_wait(pg, -1);
	store(drive, LEAP_REG_CQHDBL(0, 0), 1);
	printf("%08x, class %06x: \"%.40s\", %u interrupt\n",
	       leap_from_le32(id[0]), leap_from_le32(id[2]) >> 8,
	       ((struct leap_id_ctrl *)(void *)(ram + DATA))->mn, interrupts);
	return 0;
}
