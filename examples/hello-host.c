/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hello-host.c - connect to a target, list its namespaces, read a block
 *
 *	cc -o host hello-host.c $(pkg-config --cflags --libs libleapio)
 *	./host tcp://127.0.0.1:4420/nqn.2024-01.io.example:hello
 *
 * Without a URL it serves a drive itself, over TCP, and uses that.
 */
#include <stdio.h>
#include <stdlib.h>

#include <leapio/leapio.h>

#define NQN "nqn.2024-01.io.example:hello"

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, leap_last_error());
	exit(1);
}

static void serve(struct leap_pollgroup *pg, char *url, size_t max)
{
	struct leap_subsystem_opts ss_opts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts listen_opts = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts ns_opts = LEAP_NS_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_subsystem *ss;
	struct leap_target *target;

	must(leap_target_create(pg, NULL, &target), "target");
	ss_opts.nqn = NQN;
	ss_opts.allow_any_host = 1;
	must(leap_subsystem_create(target, &ss_opts, &ss), "subsystem");
	must(leap_bdev_open(pg, "memory:16M", &ns_opts.bdev), "drive");
	must(leap_ns_add(ss, &ns_opts, NULL, NULL), "namespace");
	listen_opts.url = "tcp://127.0.0.1:0";
	must(leap_listener_create(target, &listen_opts, &listener), "listen");
	snprintf(url, max, "%s/" NQN, leap_listener_url(listener));
}

int main(int argc, char **argv)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct leap_host_ns ns = { .size = sizeof(ns) };
	static unsigned char block[4096];
	struct leap_piece piece = { .addr = block };
	struct leap_req req = { .pieces = &piece, .nr_pieces = 1 };
	struct leap_pollgroup *pg;
	struct leap_host *host;
	char url[256];

	must(leap_pollgroup_create(NULL, &pg), "poll group");
	if (argc < 2)
		serve(pg, url, sizeof(url));
	opts.url = argc < 2 ? url : argv[1];
	opts.loss_ms = UINT32_MAX;
	must(leap_host_connect(pg, &opts, &host), "connect");
	while (leap_host_state(host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(pg, -1);
	if (leap_host_state(host) != LEAP_HOST_LIVE ||
	    leap_host_ns_next(host, 0, &ns)) {
		fprintf(stderr, "%s: no connection or no drive\n", opts.url);
		return 1;
	}
	printf("namespace %u: %llu blocks of %u bytes\n", ns.nsid,
	       (unsigned long long)ns.nr_blocks, ns.block_bytes);
	piece.len_bytes = ns.block_bytes;
	req.sqe.opc = LEAP_NVM_READ;
	req.sqe.nsid = leap_to_le32(ns.nsid);
	must(leap_host_sync(host, pg, 1, &req), "read");
	printf("block 0: %s, first byte %02x\n",
	       leap_status_str(leap_req_status(&req)), block[0]);
	return leap_req_status(&req) != 0;
}
