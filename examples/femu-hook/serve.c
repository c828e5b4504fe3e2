/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serve.c - finds who serves the drives, or starts it
 *
 * Whoever accepts connections at a drive's socket serves it. Where nobody does,
 * leap-hostd is started for it when an agent socket was named, else socp; they
 * go on when we end, unless serve_stop() is called.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hook.h"

#define START_MS 10000
#define STEP_MS 20

enum { HOSTD, SOCP };

int socket_answers(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, rc;

	if (strlen(path) >= sizeof(sa.sun_path))
		return 0;
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	rc = connect(fd, (struct sockaddr *)&sa, sizeof(sa));
	close(fd);
	return !rc;
}

static int all_answer(const struct serve *s)
{
	unsigned int i;

	for (i = 0; i < s->nr_drives; i++)
		if (!socket_answers(s->drives[i]))
			return 0;
	return 1;
}

void serve_look(const struct serve *s, struct report *r)
{
	unsigned int i;

	for (i = 0; i < s->nr_drives; i++)
		if (strlen(s->drives[i]) >=
		    sizeof(((struct sockaddr_un *)0)->sun_path))
			report_add(r, "long-path", 1, "%s is too long for a "
				   "socket", s->drives[i]);
	if (s->agent || s->nr_stacks)
		return;
	for (i = 0; i < s->nr_drives; i++)
		if (!socket_answers(s->drives[i]))
			report_add(r, "no-server", 1, "nobody serves %s: start "
				   "socp --vfio-user %s there, or have it "
				   "started by --ns STACK or --agent SOCKET",
				   s->drives[i], s->drives[i]);
}

static int start(struct serve *s, int which, struct args *a, struct report *r)
{
	pid_t pid;

	if (a->failed) {
		report_add(r, "no-memory", 1, "%s: too many arguments",
			   a->v[0]);
		return -1;
	}
	pid = fork();
	if (!pid) {
		setsid();
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(a->v[0], a->v);
		fprintf(stderr, "femu-hook: %s: %s\n", a->v[0],
			strerror(errno));
		_exit(127);
	}
	if (pid < 0) {
		report_add(r, "no-process", 1, "%s: %s", a->v[0],
			   strerror(errno));
		return -1;
	}
	s->started[which] = pid;
	return 0;
}

/* Until @path answers; NULL: all drives. */
static int wait_for(struct serve *s, int which, const char *path,
		    const char *program, struct report *r)
{
	struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	int ms;

	for (ms = 0; ms < START_MS; ms += STEP_MS) {
		if (path ? socket_answers(path) : all_answer(s))
			return 0;
		if (waitpid(s->started[which], NULL, WNOHANG) > 0) {
			s->started[which] = 0;
			break;
		}
		nanosleep(&step, NULL);
	}
	report_add(r, "not-started", 1, "%s was started and does not serve %s",
		   program, path ? path : s->drives[0]);
	return -1;
}

static int start_hostd(struct serve *s, struct report *r)
{
	struct args a = { .nr = 0 };
	unsigned int i;
	int rc;

	args_add(&a, "%s", s->hostd);
	args_add(&a, "--listen");
	args_add(&a, "%s", s->agent);
	for (i = 0; i < s->nr_drives; i++) {
		args_add(&a, "--vfio-user");
		args_add(&a, "%s=%s%s%s", s->drives[i], s->nqn,
			 s->irq ? ",irq=" : "", s->irq ? s->irq : "");
	}
	rc = start(s, HOSTD, &a, r);
	args_free(&a);
	if (!rc)
		rc = wait_for(s, HOSTD, s->agent, s->hostd, r);
	return rc ? rc : wait_for(s, HOSTD, NULL, s->hostd, r);
}

static int start_socp(struct serve *s, struct report *r)
{
	struct args a = { .nr = 0 };
	unsigned int i;
	int rc;

	args_add(&a, "%s", s->socp);
	args_add(&a, "--subsystem");
	args_add(&a, "%s", s->nqn);
	for (i = 0; i < s->nr_stacks; i++) {
		args_add(&a, "--ns");
		args_add(&a, "nsid=%u,stack=%s", i + 1, s->stacks[i]);
	}
	if (s->agent) {
		args_add(&a, "--agent");
		args_add(&a, "%s", s->agent);
	}
	for (i = 0; !s->agent && i < s->nr_drives; i++) {
		args_add(&a, "--vfio-user");
		args_add(&a, "%s%s%s", s->drives[i], s->irq ? ",irq=" : "",
			 s->irq ? s->irq : "");
	}
	if (s->control) {
		args_add(&a, "--control");
		args_add(&a, "%s", s->control);
	}
	rc = start(s, SOCP, &a, r);
	args_free(&a);
	if (!rc && s->control)
		rc = wait_for(s, SOCP, s->control, s->socp, r);
	return rc ? rc : wait_for(s, SOCP, NULL, s->socp, r);
}

int serve_start(struct serve *s, struct report *r)
{
	int there = all_answer(s);

	if (s->agent) {
		if (!there && start_hostd(s, r))
			return -1;
		return s->nr_stacks ? start_socp(s, r) : 0;
	}
	return !there && s->nr_stacks ? start_socp(s, r) : 0;
}

void serve_stop(struct serve *s)
{
	int which;

	/* the runtime first: it says goodbye to its agent */
	for (which = SOCP; which >= HOSTD; which--) {
		if (!s->started[which])
			continue;
		kill(s->started[which], SIGTERM);
		waitpid(s->started[which], NULL, 0);
		s->started[which] = 0;
	}
}
