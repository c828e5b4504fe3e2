/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * qemu.c - asks QEMU, or FEMU, which is one, what it is and what it can
 *
 * Runs it twice, with --version and with -device help, and reads what it
 * prints. Knows nothing of the guest that it is to run.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hook.h"

#define OUTPUT_MAX (1u << 20)
#define WAIT_MS 20000

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static pid_t start(char *const argv[], int out)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execvp(argv[0], argv);
	_exit(127);
}

/* What comes until the end or until WAIT_MS are over. */
static void collect(int fd, char *out)
{
	int64_t end = now_ms() + WAIT_MS;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	ssize_t n;

	while (len + 1 < OUTPUT_MAX) {
		int64_t left = end - now_ms();

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			break;
		n = read(fd, out + len, OUTPUT_MAX - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	out[len] = '\0';
}

/* Run it; its output is the caller's to free. NULL, or exit status in *rc. */
static char *output_of(char *const argv[], int *rc)
{
	char *out = malloc(OUTPUT_MAX);
	int fds[2], status = 0;
	pid_t pid;

	if (!out || pipe2(fds, O_CLOEXEC)) {
		free(out);
		return NULL;
	}
	pid = start(argv, fds[1]);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		free(out);
		return NULL;
	}
	collect(fds[0], out);
	close(fds[0]);
	kill(pid, SIGKILL);	/* it has ended, or will not by itself */
	waitpid(pid, &status, 0);
	*rc = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return out;
}

static int look_version(struct qemu *q, struct report *r)
{
	char *argv[] = { (char *)(uintptr_t)q->program, "--version", NULL };
	const char *at;
	int rc = -1;
	char *out = output_of(argv, &rc);

	if (!out || rc == 127) {
		report_add(r, "no-qemu", 1, "%s does not run: install QEMU "
			   "10.2 or newer, or name one by --qemu", q->program);
	} else {
		at = strstr(out, "version ");
		q->found = at && sscanf(at, "version %u.%u.%u", &q->major,
					&q->minor, &q->micro) == 3;
		if (!q->found)
			report_add(r, "not-qemu", 1, "%s --version says no "
				   "version of QEMU", q->program);
	}
	free(out);
	if (!q->found)
		return -1;
	snprintf(q->name, sizeof(q->name), "QEMU %u.%u.%u", q->major,
		 q->minor, q->micro);
	return 0;
}

static void look_device(struct qemu *q, struct report *r)
{
	char *argv[] = { (char *)(uintptr_t)q->program, "-device", "help",
			 NULL };
	int old = q->major < 10 || (q->major == 10 && q->minor < 1);
	int rc = -1;
	char *out = output_of(argv, &rc);

	q->vfio_user = out && strstr(out, "\"vfio-user-pci\"");
	free(out);
	if (q->vfio_user)
		return;
	report_add(r, "no-vfio-user", 1, "%s (%s) has no device "
		   "vfio-user-pci: %s", q->program, q->name, old ?
		   "it came with QEMU 10.1. A FEMU that was built on something "
		   "older has to be rebuilt on a newer QEMU; for a drive "
		   "without FEMU's models any newer QEMU will do (--qemu)" :
		   "it was built without it. It is there where QEMU was "
		   "configured with --enable-vfio-user-client and for a "
		   "target that has PCI");
}

void qemu_look(struct qemu *q, struct report *r)
{
	if (look_version(q, r))
		return;
	look_device(q, r);
	/*
	 * These put data of DMA messages at byte 12 of the payload, with a
	 * 32-bit count; the protocol has byte 16 and 64 bits. Memory that the
	 * server maps takes no messages.
	 */
	if (q->major == 10 && q->minor == 1)
		report_add(r, "dma-layout", 0, "%s lays DMA_READ and DMA_WRITE "
			   "out otherwise than the vfio-user protocol: a "
			   "guest works as long as all its memory is shared, "
			   "and any other memory that it lets the drive use "
			   "fails; 10.2 and newer are right", q->name);
}
