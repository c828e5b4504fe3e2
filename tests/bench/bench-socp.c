/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * socp as a process: milliseconds from exec until a connection is accepted, and
 * resident memory then, with one subsystem and nobody connected.
 *
 *	bench-socp [--json] [--smoke]
 *
 * The floor is exec of a program that does nothing (true).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define RUNS	15
#define NQN	"nqn.2014-08.org.example:bench"

static char control[64];
static int mute;

static void die(const char *what)
{
	fprintf(stderr, "bench-socp: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* A port that was free a moment ago. */
static struct sockaddr_in free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		die("port");
	close(fd);
	return a;
}

static int answers(const struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), ok;

	ok = !connect(fd, (const struct sockaddr *)a, sizeof(*a));
	close(fd);
	return ok;
}

static pid_t spawn(char *const *argv)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	if (mute) {
		if (!freopen("/dev/null", "w", stdout) ||
		    !freopen("/dev/null", "w", stderr))
			_exit(127);
	}
	execv(argv[0], argv);
	_exit(127);
}

static double resident_kib(pid_t pid)
{
	char path[64], line[128];
	double kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %lf", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

static double run_socp(const char *program, double *kib)
{
	struct sockaddr_in a = free_port();
	char url[64], *argv[] = { (char *)program, "--listen", url,
		"--subsystem", NQN, "--ns", "nsid=1,stack=null:1G",
		"--control", control, NULL };
	uint64_t start;
	double ms;
	pid_t pid;

	snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", ntohs(a.sin_port));
	start = bench_now_ns();
	pid = spawn(argv);
	while (!answers(&a)) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			die("socp ended");
		if (bench_now_ns() - start > 10000000000u)
			die("socp does not listen");
		usleep(50);
	}
	ms = (double)(bench_now_ns() - start) / 1e6;
	usleep(100000);
	*kib = resident_kib(pid);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return ms;
}

static double run_true(void)
{
	char *argv[] = { "/bin/true", NULL };
	uint64_t start = bench_now_ns();

	waitpid(spawn(argv), NULL, 0);
	return (double)(bench_now_ns() - start) / 1e6;
}

int main(int argc, char **argv)
{
	const char *program = "../../examples/socp/.libs/socp";
	unsigned int n = bench_flag(argc, argv, "--smoke") ? 3 : RUNS, i;
	double ms[RUNS], kib[RUNS], floor_ms[RUNS];

	/* Not libtool's script, which takes longer than the program. */
	if (access(program, X_OK))
		program = "../../examples/socp/socp";
	if (access(program, X_OK))
		die(program);
	setenv("LD_LIBRARY_PATH", "../../.libs", 1);
	mute = 1;
	snprintf(control, sizeof(control), "/tmp/bench-socp-%d.ctl",
		 (int)getpid());
	for (i = 0; i < n; i++) {
		floor_ms[i] = run_true();
		ms[i] = run_socp(program, &kib[i]);
	}
	bench_median(ms, n);
	bench_median(kib, n);
	bench_median(floor_ms, n);
	unlink(control);
	if (bench_flag(argc, argv, "--json"))
		printf("{\"bench\":\"socp\",\"results\":[{\"listen_ms\":%.2f,"
		       "\"listen_max_ms\":%.2f,\"exec_ms\":%.2f,"
		       "\"resident_kib\":%.0f}]}\n", ms[n / 2], ms[n - 1],
		       floor_ms[n / 2], kib[n - 1]);
	else
		printf("exec to listening %.2f ms (worst %.2f), exec alone "
		       "%.2f ms, resident %.0f KiB\n", ms[n / 2], ms[n - 1],
		       floor_ms[n / 2], kib[n - 1]);
	return 0;
}
