/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host that connects, does one read on each of its I/O queues, says so and
 * then only keeps its connections alive until its standard input ends: what
 * the target does meanwhile, its wake-ups and its end, is what process.sh
 * looks at.
 *
 *	idle-host URL QUEUES KATO_MS
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <leapio/leapio.h>

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "idle-host: %s: %s\n", what, leap_last_error());
	exit(1);
}

static void read_block(struct leap_host *host, struct leap_pollgroup *pg,
		       uint32_t queue)
{
	static unsigned char block[4096];
	struct leap_host_ns ns = { .size = sizeof(ns) };
	struct leap_piece piece = { .addr = block };
	struct leap_req req = { .pieces = &piece, .nr_pieces = 1 };

	must(leap_host_ns_next(host, 0, &ns), "namespace");
	piece.len_bytes = ns.block_bytes;
	req.sqe.opc = LEAP_NVM_READ;
	req.sqe.nsid = leap_to_le32(ns.nsid);
	must(leap_host_sync(host, pg, queue, &req), "read");
	if (leap_req_status(&req)) {
		fprintf(stderr, "idle-host: read: %s\n",
			leap_status_str(leap_req_status(&req)));
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct pollfd fds[2] = {
		{ .fd = 0, .events = POLLIN }, { .events = POLLIN },
	};
	struct leap_pollgroup *pg;
	struct leap_host *host;
	uint32_t i;

	if (argc != 4) {
		fprintf(stderr, "usage: idle-host URL QUEUES KATO_MS\n");
		return 2;
	}
	must(leap_pollgroup_create(NULL, &pg), "poll group");
	opts.url = argv[1];
	opts.nr_io_queues = (uint32_t)strtoul(argv[2], NULL, 0);
	opts.kato_ms = (uint32_t)strtoul(argv[3], NULL, 0);
	opts.loss_ms = UINT32_MAX;
	must(leap_host_connect(pg, &opts, &host), "connect");
	while (leap_host_state(host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(pg, -1);
	if (leap_host_nr_queues(host) != opts.nr_io_queues) {
		fprintf(stderr, "idle-host: %u queues, wanted %u\n",
			leap_host_nr_queues(host), opts.nr_io_queues);
		return 1;
	}
	for (i = 1; i <= opts.nr_io_queues; i++)
		read_block(host, pg, i);
	printf("connected\n");
	fflush(stdout);
	fds[1].fd = leap_pollgroup_fd(pg);
	while (!fds[0].revents) {
		leap_pollgroup_poll(pg, 0);
		if (!leap_pollgroup_arm(pg))
			poll(fds, 2, -1);
	}
	return 0;
}
