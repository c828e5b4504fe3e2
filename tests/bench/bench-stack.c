/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a command costs through host, loop://, controller and a stack, all on
 * one core: nanoseconds per command, without looking at a clock per command.
 * Requests that have come back in a poll are submitted again in one call.
 *
 * A read of null fills its buffer with zeroes: memcpy of the same size, beside
 * it, says how much of that is moving bytes. A write of null moves none.
 *
 *	bench-stack [--json] [--smoke]
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/leapio.h>

#include "bench.h"

#define RUNS	7
#define MAX_QD	128u
#define NQN	"nqn.2014-08.org.example:bench"

struct bench {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_host *host;
	struct leap_req reqs[MAX_QD];
	struct leap_piece pieces[MAX_QD];
	struct leap_req *again[MAX_QD];
	uint64_t left, done, errors;
	uint32_t rnd, nr_again;
};

struct row {
	const char *stack, *op;
	uint32_t bytes, qd;
	uint8_t opc;
};

static const struct row rows[] = {
	{ "null:16M", "write", 4096, 1, LEAP_NVM_WRITE },
	{ "null:16M", "write", 4096, 32, LEAP_NVM_WRITE },
	{ "null:16M", "write", 4096, 128, LEAP_NVM_WRITE },
	{ "null:16M", "read", 512, 32, LEAP_NVM_READ },
	{ "null:16M", "read", 4096, 1, LEAP_NVM_READ },
	{ "null:16M", "read", 4096, 32, LEAP_NVM_READ },
	{ "null:16M", "read", 4096, 128, LEAP_NVM_READ },
	{ "memory:16M", "read", 4096, 1, LEAP_NVM_READ },
	{ "memory:16M", "read", 4096, 32, LEAP_NVM_READ },
	{ "memory:16M", "write", 4096, 32, LEAP_NVM_WRITE },
	{ "memory:16M", "read", 4096, 128, LEAP_NVM_READ },
};

static struct bench b;
static uint32_t total = 400000, runs = RUNS;
static char payload[MAX_QD][4096];

static void aim(struct leap_req *req)
{
	b.rnd = b.rnd * 1664525u + 1013904223u;
	req->sqe.cdw10 = leap_to_le32((b.rnd >> 12) % 4096 * 8);
	b.again[b.nr_again++] = req;
}

static void done(struct leap_req *req)
{
	b.done++;
	b.errors += leap_req_status(req) != 0;
	if (!b.left)
		return;
	b.left--;
	aim(req);
}

static double run(const struct row *row)
{
	uint64_t start;
	uint32_t i;

	b.done = 0;
	b.left = total - row->qd;
	for (i = 0; i < row->qd; i++) {
		b.pieces[i].len_bytes = row->bytes;
		b.reqs[i].sqe.opc = row->opc;
		b.reqs[i].sqe.cdw12 = leap_to_le32(row->bytes / 512 - 1);
		aim(&b.reqs[i]);
	}
	start = bench_now_ns();
	while (b.done < total) {
		if (b.nr_again)
			leap_host_submit(b.host, 1, b.again, b.nr_again);
		b.nr_again = 0;
		leap_pollgroup_poll(b.pg, 0);
	}
	return (double)(bench_now_ns() - start) / total;
}

static double memcpy_floor(uint32_t bytes)
{
	static char from[4096][4096];
	uint64_t start = bench_now_ns();
	uint32_t i;

	for (i = 0; i < total; i++) {
		b.rnd = b.rnd * 1664525u + 1013904223u;
		memcpy(payload[i % MAX_QD], from[(b.rnd >> 12) % 4096], bytes);
		__asm__ volatile("" : : "r"(payload) : "memory");
	}
	return (double)(bench_now_ns() - start) / total;
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
		b.reqs[i].sqe.nsid = leap_to_le32(1);
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

static void one(const struct row *row, int json)
{
	double ns[RUNS], fl[RUNS];
	uint32_t r;

	for (r = 0; r < runs; r++) {
		fl[r] = memcpy_floor(row->bytes);
		ns[r] = run(row);
	}
	bench_median(ns, runs);
	bench_median(fl, runs);
	if (json)
		printf("%s\n{\"stack\":\"%s\",\"op\":\"%s\",\"bytes\":%" PRIu32
		       ",\"depth\":%" PRIu32 ",\"min\":%.1f,\"median\":%.1f,"
		       "\"memcpy\":%.1f}", row == rows ? "" : ",", row->stack,
		       row->op, row->bytes, row->qd, ns[0], ns[runs / 2],
		       fl[0]);
	else
		printf("%-12s %-5s %5" PRIu32 " %6" PRIu32 " %10.1f %10.1f "
		       "%10.1f\n", row->stack, row->op, row->bytes, row->qd,
		       ns[0], ns[runs / 2], fl[0]);
}

int main(int argc, char **argv)
{
	int json = bench_flag(argc, argv, "--json");
	const char *open = NULL;
	unsigned int i;

	if (bench_flag(argc, argv, "--smoke")) {
		total = 20000;
		runs = 3;
	}
	if (json)
		printf("{\"bench\":\"stack-loop\",\"unit\":\"ns/command\","
		       "\"results\":[");
	else
		printf("host, loop://, controller, stack\n"
		       "%-12s %-5s %5s %6s %10s %10s %10s\n", "stack", "op",
		       "bytes", "depth", "min ns", "median ns", "memcpy ns");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!open || strcmp(open, rows[i].stack)) {
			if (open && (b.errors || tear_down()))
				return 1;
			open = rows[i].stack;
			if (set_up(open)) {
				fprintf(stderr, "bench-stack: %s: %s\n", open,
					leap_last_error());
				return 1;
			}
		}
		one(&rows[i], json);
	}
	if (json)
		printf("]}\n");
	return b.errors || tear_down() ? 1 : 0;
}
