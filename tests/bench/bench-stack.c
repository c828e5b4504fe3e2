/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a command costs through host, loop://, controller and a stack, all on
 * one core: nanoseconds per 4 KiB read, without looking at a clock per command.
 *
 *	bench-stack [--json]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <leapio/leapio.h>

#define RUNS	7
#define TOTAL	400000u
#define MAX_QD	128u
#define NQN	"nqn.2014-08.org.example:bench"

struct bench {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_host *host;
	struct leap_req reqs[MAX_QD];
	struct leap_piece pieces[MAX_QD];
	uint64_t left, done, errors;
	uint32_t rnd;
};

static struct bench b;
static char payload[MAX_QD][4096];

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void send_next(struct leap_req *req)
{
	b.rnd = b.rnd * 1664525u + 1013904223u;
	req->sqe.cdw10 = leap_to_le32((b.rnd >> 12) % 4096 * 8);
	leap_host_submit(b.host, 1, &req, 1);
}

static void done(struct leap_req *req)
{
	b.done++;
	b.errors += leap_req_status(req) != 0;
	if (!b.left)
		return;
	b.left--;
	send_next(req);
}

static double run(uint32_t qd)
{
	uint64_t start;
	uint32_t i;

	b.done = 0;
	b.left = TOTAL - qd;
	start = now_ns();
	for (i = 0; i < qd; i++)
		send_next(&b.reqs[i]);
	while (b.done < TOTAL)
		leap_pollgroup_poll(b.pg, 0);
	return (double)(now_ns() - start) / TOTAL;
}

static double memcpy_floor(void)
{
	static char from[4096][4096];
	uint64_t start = now_ns();
	uint32_t i;

	for (i = 0; i < TOTAL; i++) {
		b.rnd = b.rnd * 1664525u + 1013904223u;
		memcpy(payload[i % MAX_QD], from[(b.rnd >> 12) % 4096], 4096);
		__asm__ volatile("" : : "r"(payload) : "memory");
	}
	return (double)(now_ns() - start) / TOTAL;
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void added(int err, void *arg)
{
	*(int *)arg = err ? -1 : 1;
}

static int set_up(const char *stack)
{
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lopts = LEAP_LISTENER_OPTS_INIT;
	struct leap_host_opts hopts = LEAP_HOST_OPTS_INIT;
	struct leap_ns_opts nopts = LEAP_NS_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_subsystem *ss;
	int is_added = 0;
	uint32_t i;

	memset(&b, 0, sizeof(b));
	sopts.nqn = NQN;
	sopts.allow_any_host = 1;
	lopts.url = "loop://";
	hopts.url = "loop://leapio/" NQN;
	hopts.depth = MAX_QD + 1;
	if (leap_pollgroup_create(NULL, &b.pg) ||
	    leap_target_create(b.pg, NULL, &b.target) ||
	    leap_subsystem_create(b.target, &sopts, &ss) ||
	    leap_bdev_open(b.pg, stack, &nopts.bdev) ||
	    leap_ns_add(ss, &nopts, added, &is_added) < 0 ||
	    leap_listener_create(b.target, &lopts, &listener))
		return -1;
	while (!is_added)
		leap_pollgroup_poll(b.pg, 0);
	hopts.target = b.target;
	if (is_added < 0 || leap_host_connect(b.pg, &hopts, &b.host))
		return -1;
	while (leap_host_state(b.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(b.pg, 100000000);
	for (i = 0; i < MAX_QD; i++) {
		b.pieces[i].addr = payload[i];
		b.pieces[i].len_bytes = 4096;
		b.reqs[i].sqe.opc = LEAP_NVM_READ;
		b.reqs[i].sqe.nsid = leap_to_le32(1);
		b.reqs[i].sqe.cdw12 = leap_to_le32(7);
		b.reqs[i].pieces = &b.pieces[i];
		b.reqs[i].nr_pieces = 1;
		b.reqs[i].done = done;
	}
	return leap_host_state(b.host) == LEAP_HOST_LIVE ? 0 : -1;
}

static int tear_down(void)
{
	int closed = 0;

	leap_host_close(b.host, set_flag, &closed);
	while (!closed)
		leap_pollgroup_wait(b.pg, -1);
	closed = 0;
	leap_target_destroy(b.target, set_flag, &closed);
	while (!closed)
		leap_pollgroup_wait(b.pg, -1);
	while (leap_pollgroup_poll(b.pg, 0))
		;
	return leap_pollgroup_destroy(b.pg);
}

static int cmp(const void *a, const void *c)
{
	double x = *(const double *)a, y = *(const double *)c;

	return x < y ? -1 : x > y;
}

static void one(const char *stack, uint32_t qd, int json, int first)
{
	double ns[RUNS], fl[RUNS];
	int r;

	for (r = 0; r < RUNS; r++) {
		fl[r] = memcpy_floor();
		ns[r] = run(qd);
	}
	qsort(ns, RUNS, sizeof(ns[0]), cmp);
	qsort(fl, RUNS, sizeof(fl[0]), cmp);
	if (json)
		printf("%s{\"stack\":\"%s\",\"depth\":%" PRIu32 ",\"min\":%.1f,"
		       "\"median\":%.1f,\"memcpy\":%.1f}", first ? "" : ",",
		       stack, qd, ns[0], ns[RUNS / 2], fl[0]);
	else
		printf("%-12s %6" PRIu32 " %10.1f %10.1f %10.1f\n", stack, qd,
		       ns[0], ns[RUNS / 2], fl[0]);
}

int main(int argc, char **argv)
{
	static const char *const stacks[] = { "null:16M", "memory:16M" };
	static const uint32_t depths[] = { 1, 32, 128 };
	int json = argc > 1 && !strcmp(argv[1], "--json");
	unsigned int s, d;

	if (json)
		printf("{\"bench\":\"stack-loop\",\"unit\":\"ns/command\","
		       "\"results\":[");
	else
		printf("4 KiB reads: host, loop://, controller, stack\n"
		       "%-12s %6s %10s %10s %10s\n", "stack", "depth",
		       "min ns", "median ns", "memcpy ns");
	for (s = 0; s < 2; s++) {
		if (set_up(stacks[s])) {
			fprintf(stderr, "bench-stack: %s: %s\n", stacks[s],
				leap_last_error());
			return 1;
		}
		for (d = 0; d < 3; d++)
			one(stacks[s], depths[d], json, !s && !d);
		if (b.errors || tear_down())
			return 1;
	}
	if (json)
		printf("]}\n");
	return 0;
}
