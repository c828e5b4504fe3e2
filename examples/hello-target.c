/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hello-target.c - serve a memory drive over NVMe/TCP
 *
 *	cc -o target hello-target.c $(pkg-config --cflags --libs libleapio)
 *	./target 4420			# until its input ends (Ctrl-D)
 *	nvme connect -t tcp -a 127.0.0.1 -s 4420 -n nqn.2024-01.io.example:hello
 *
 * Without a port, one that is free is taken, and the program ends after a
 * tenth of a second: enough to see that it works.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <leapio/leapio.h>

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, leap_last_error());
	exit(1);
}

/* Poll when busy; sleep on the group's descriptor and our own when idle. */
static void run(struct leap_pollgroup *pg, int timeout_ms)
{
	struct pollfd fds[2] = {
		{ leap_pollgroup_fd(pg), POLLIN, 0 },
		{ timeout_ms < 0 ? STDIN_FILENO : -1, POLLIN, 0 },
	};
	char line[256];

	for (;;) {
		if (leap_pollgroup_poll(pg, 0) > 0 || leap_pollgroup_arm(pg))
			continue;
		if (!poll(fds, 2, timeout_ms))
			return;
		if (fds[1].revents &&
		    read(STDIN_FILENO, line, sizeof(line)) <= 0)
			return;
	}
}

int main(int argc, char **argv)
{
	struct leap_subsystem_opts ss_opts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts listen_opts = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts ns_opts = LEAP_NS_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_subsystem *ss;
	struct leap_pollgroup *pg;
	struct leap_target *target;
	char url[64];

	must(leap_pollgroup_create(NULL, &pg), "poll group");
	must(leap_target_create(pg, NULL, &target), "target");
	ss_opts.nqn = "nqn.2024-01.io.example:hello";
	ss_opts.allow_any_host = 1;
	must(leap_subsystem_create(target, &ss_opts, &ss), "subsystem");
	must(leap_bdev_open(pg, "memory:16M", &ns_opts.bdev), "drive");
	must(leap_ns_add(ss, &ns_opts, NULL, NULL), "namespace");
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%s",
		 argc > 1 ? argv[1] : "0");
	listen_opts.url = url;
	must(leap_listener_create(target, &listen_opts, &listener), "listen");
	printf("serving on %s\n", leap_listener_url(listener));
	fflush(stdout);
	run(pg, argc > 1 ? -1 : 100);
	leap_target_destroy(target, NULL, NULL);
	while (leap_pollgroup_destroy(pg) == -EBUSY)
		leap_pollgroup_wait(pg, 1000000);
	return 0;
}
