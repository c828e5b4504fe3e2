/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * upgrade.c - leap-hostd replaces itself by the file that it was started from
 *
 * The pid, its options and its drives stay; sockets on which it listens are
 * made anew. Until execve has succeeded everything can be taken back, and after
 * it nothing: so the file first runs as a child that does all but listen, with
 * the same options and the same drives.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostd.h"

#define SAVE_NS	1000000000u	/* for what is under way to end */
#define STEP_NS	1000000
#define TRIAL_MS	2000	/* guests wait meanwhile */

static const char option[] = "--restore=";
static const char trial[] = ",trial";

void hostd_upgrade_init(struct hostd *h, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", h->self, sizeof(h->self) - 1);

	h->self[n > 0 ? n : 0] = 0;
	h->argv = argv;
	h->restore_fd = -1;
}

int hostd_restore_option(struct hostd *h, const char *value)
{
	char *end;
	long fd = strtol(value, &end, 10);

	if (end == value || fd < 3 || fd > 1 << 30 || *end++ != ',')
		return -EINVAL;
	h->restore_fd = (int)fd;
	h->upgrades = (unsigned int)strtoul(end, &end, 10);
	h->trial = !strcmp(end, trial);
	return *end && !h->trial ? -EINVAL : 0;
}

static void rested(void *arg, int err)
{
	struct hostd *h = arg;

	(void)err;
	h->upgrading = 1;
	h->loop.quit = 1;
}

/* The state of a lender cannot be handed on, nor what a relay has out. */
static int lends(const struct hostd *h)
{
	return !h->agent || h->nr_lending || h->own;
}

int hostd_upgrade_start(struct hostd *h)
{
	if (lends(h))
		return -EBUSY;
	return leap_agent_rest(h->agent, rested, h);
}

const char *hostd_upgrade_error(const struct hostd *h)
{
	return lends(h) ? "not while devices are lent, or drives are "
				  "relayed: start it anew" :
			  leap_last_error();
}

static int save(struct hostd *h, int *fd)
{
	uint64_t end = leap_pollgroup_now_ns(h->home) + SAVE_NS;
	int rc;

	while ((rc = leap_target_save(h->target, fd)) == -EAGAIN &&
	       leap_pollgroup_now_ns(h->home) < end)
		leap_pollgroup_wait(h->home, STEP_NS);
	if (rc)
		fprintf(stderr, "leap-hostd: upgrade: %s\n",
			leap_last_error());
	return rc;
}

/* Kill it if it takes too long; -errno, or 0 when it ended with 0. */
static int await(pid_t pid)
{
	struct pollfd p = { .events = POLLIN };
	int status = 0, late;

	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	late = p.fd < 0 || poll(&p, 1, TRIAL_MS) != 1;
	if (p.fd >= 0)
		close(p.fd);
	if (late)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (late)
		return -ETIMEDOUT;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -ECANCELED;
}

static int try(struct hostd *h, char **argv)
{
	pid_t pid;
	int rc = posix_spawn(&pid, h->self, NULL, NULL, argv, environ);

	return rc ? -rc : await(pid);
}

/* argv with our option in the place of the last one. */
static int run(struct hostd *h, int fd)
{
	char text[sizeof(option) + sizeof(trial) + 32], **argv;
	int i, n = 0, rc;

	while (h->argv[n])
		n++;
	argv = calloc((size_t)n + 2, sizeof(*argv));
	if (!argv)
		return -ENOMEM;
	for (i = 0, n = 0; h->argv[i]; i++)
		if (strncmp(h->argv[i], option, sizeof(option) - 1))
			argv[n++] = h->argv[i];
	argv[n] = text;
	snprintf(text, sizeof(text), "%s%d,%u%s", option, fd, h->upgrades + 1,
		 trial);
	rc = try(h, argv);
	if (!rc) {
		*strstr(text, trial) = 0;
		execv(h->self, argv);
		rc = -errno;
	}
	free(argv);
	return rc;
}

void hostd_upgrade(struct hostd *h)
{
	int fd = -1, rc = save(h, &fd);

	if (!rc) {
		rc = run(h, fd);
		fprintf(stderr, "leap-hostd: upgrade: %s: %s\n", h->self,
			rc == -ECANCELED ? "it does not start with these "
			"options and drives" : strerror(-rc));
	}
	leap_target_carry_on(h->target, fd);
	leap_agent_go_on(h->agent);
	h->upgrading = 0;
	h->loop.quit = 0;
}
