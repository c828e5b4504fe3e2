/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hello-loopback.c - a drive and its user in one process
 *
 *	cc -o hello hello-loopback.c $(pkg-config --cflags --libs libleapio)
 *	./hello
 *
 * Serves a memory drive, connects to it as a host would, writes a block and
 * reads it back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/leapio.h>

#define NQN "nqn.2024-01.io.example:hello"

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, leap_last_error());
	exit(1);
}

static struct leap_target *serve(struct leap_pollgroup *pg)
{
	struct leap_subsystem_opts ss_opts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts listen_opts = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts ns_opts = LEAP_NS_OPTS_INIT;
	struct leap_subsystem *ss;
	struct leap_listener *listener;
	struct leap_target *target;

	must(leap_target_create(pg, NULL, &target), "target");
	ss_opts.nqn = NQN;
	ss_opts.allow_any_host = 1;
	must(leap_subsystem_create(target, &ss_opts, &ss), "subsystem");
	must(leap_bdev_open(pg, "memory:16M", &ns_opts.bdev), "drive");
	must(leap_ns_add(ss, &ns_opts, NULL, NULL), "namespace");
	listen_opts.url = "loop://";
	must(leap_listener_create(target, &listen_opts, &listener), "listen");
	return target;
}

/* One block of namespace 1, out or in. */
static void io(struct leap_pollgroup *pg, struct leap_host *host,
	       uint8_t opcode, char *block)
{
	struct leap_piece piece = { .addr = block, .len_bytes = 512 };
	struct leap_req req = { .pieces = &piece, .nr_pieces = 1 };

	req.sqe.opc = opcode;
	req.sqe.nsid = leap_to_le32(1);
	must(leap_host_sync(host, pg, 1, &req), "submit");
	if (leap_req_status(&req)) {
		printf("%s\n", leap_status_str(leap_req_status(&req)));
		exit(1);
	}
}

int main(void)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	char out[512] = "hello, drive", in[512] = "";
	struct leap_pollgroup *pg;
	struct leap_host *host;

	must(leap_pollgroup_create(NULL, &pg), "poll group");
	opts.target = serve(pg);
	opts.url = "loop://leapio/" NQN;
	must(leap_host_connect(pg, &opts, &host), "connect");
	while (leap_host_state(host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(pg, -1);
	io(pg, host, LEAP_NVM_WRITE, out);
	io(pg, host, LEAP_NVM_READ, in);
	printf("read back: %s\n", in);
	return strcmp(in, out) != 0;
}
