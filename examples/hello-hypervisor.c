/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hello-hypervisor.c - a toy machine with a virtual NVMe drive inside
 *
 *	cc -o machine hello-hypervisor.c $(pkg-config --cflags --libs libleapio)
 *
 * Its RAM is an array. Its guest's driver is the library's own host end, whose
 * accesses arrive at the drive by the calls that a hypervisor makes for its
 * guest (leapio/vdev.h): one poll group serves both.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <leapio/leapio.h>

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, leap_last_error());
	exit(1);
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

int main(void)
{
	struct leap_subsystem_opts ss_opts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_ns_opts ns_opts = LEAP_NS_OPTS_INIT;
	struct leap_dmabuf_opts ram_opts = LEAP_DMABUF_OPTS_INIT;
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct leap_vdev_info info = { .size = sizeof(info) };
	struct leap_piece block = { .len_bytes = 512 };
	struct leap_req req = { .pieces = &block, .nr_pieces = 1 };
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_host *guest;
	int off = 0;

	/* The machine: RAM, and a drive on the bus. */
	must(leap_pollgroup_create(NULL, &pg), "poll group");
	must(leap_target_create(pg, NULL, &target), "target");
	ss_opts.nqn = "nqn.2024-01.io.example:toy";
	must(leap_subsystem_create(target, &ss_opts, &ss), "subsystem");
	must(leap_bdev_open(pg, "memory:16M", &ns_opts.bdev), "drive");
	must(leap_ns_add(ss, &ns_opts, NULL, NULL), "namespace");
	must(leap_vdev_create(ss, NULL, &opts.vdev), "vdev");
	ram_opts.bytes = 1 << 20;
	must(leap_dmabuf_create(&ram_opts, &block.buf), "ram");
	block.addr = leap_dmabuf_addr(block.buf);
	/* Its guest boots, and reads a block. */
	opts.url = "vdev://toy/nqn.2024-01.io.example:toy";
	opts.loss_ms = UINT32_MAX;
	must(leap_host_connect(pg, &opts, &guest), "boot");
	while (leap_host_state(guest) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(pg, -1);
	req.sqe.opc = LEAP_NVM_READ;
	req.sqe.nsid = leap_to_le32(1);
	must(leap_host_sync(guest, pg, 1, &req), "read");
	must(leap_vdev_info(opts.vdev, &info), "info");
	printf("read: %s; %u queues, %llu doorbells\n",
	       leap_status_str(leap_req_status(&req)), info.nr_sqs,
	       (unsigned long long)info.doorbells);
	/* It is switched off. */
	leap_host_close(guest, set_flag, &off);
	while (!off)
		leap_pollgroup_wait(pg, -1);
	leap_vdev_destroy(opts.vdev, NULL, NULL);
	leap_target_destroy(target, NULL, NULL);
	while (leap_pollgroup_destroy(pg) == -EBUSY)
		leap_pollgroup_wait(pg, 1000000);
	leap_dmabuf_put(block.buf);
	return leap_req_status(&req) != 0;
}
