/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the library itself costs: nanoseconds per command over loop:// on one
 * core, with a handler that asks for the payload and completes at once.
 *
 *	bench-loopback [--json] [--smoke]
 *
 * Each depth is run nine times; minimum and median are printed. Beside it the
 * floor: the same number of indirect calls and 64-byte copies without rings.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/fake-target.h"
#include "bench.h"

#define RUNS	9
#define MAX_QD	128u

struct bench {
	struct leap_pollgroup *pg;
	struct leap_target target;
	struct leap_qp *qp;
	struct leap_req reqs[MAX_QD];
	struct leap_piece piece;
	uint64_t left, done;
	int up, closed;
};

static struct bench b;
static uint32_t total = 1000000, runs = RUNS;
static char payload[4096];

static void null_ready(struct leap_cmd *cmd, leap_status_t status)
{
	leap_cmd_complete(cmd, status);
}

static void null_execute(struct leap_target *t, struct leap_cmd *cmd)
{
	leap_cmd_pull(cmd, sizeof(payload), null_ready);
}

static void done(struct leap_req *req)
{
	b.done++;
	if (!b.left)
		return;
	b.left--;
	leap_qp_submit(b.qp, &req, 1);
}

static void connected(struct leap_qp *qp, leap_status_t status, int sys_errno,
		      void *arg)
{
	b.up = status ? -1 : 1;
}

static void closed(void *arg)
{
	b.closed = 1;
}

static double run(uint32_t qd)
{
	struct leap_req *req;
	uint64_t start;
	uint32_t i;

	b.done = 0;
	b.left = total - qd;
	start = bench_now_ns();
	for (i = 0; i < qd; i++) {
		req = &b.reqs[i];
		req->sqe.opc = LEAP_NVM_READ;
		req->pieces = &b.piece;
		req->nr_pieces = 1;
		req->done = done;
		if (leap_qp_submit(b.qp, &req, 1) != 1)
			exit(1);
	}
	while (b.done < total)
		leap_pollgroup_poll(b.pg, 0);
	return (double)(bench_now_ns() - start) / total;
}

static void floor_done(struct leap_req *req)
{
	b.done++;
}

/* One copy of an entry, three indirect calls: what no transport can avoid. */
static double floor_run(void)
{
	void (*volatile fn)(struct leap_req *req) = floor_done;
	static struct leap_sqe copy[MAX_QD];
	uint64_t start = bench_now_ns();
	uint32_t i;

	for (i = 0; i < total; i++) {
		struct leap_req *req = &b.reqs[i % MAX_QD];

		req->sqe.cid = leap_to_le16((uint16_t)i);
		copy[i % MAX_QD] = req->sqe;
		fn(req);
		fn(req);
		fn(req);
		__asm__ volatile("" : : "r"(copy) : "memory");
	}
	return (double)(bench_now_ns() - start) / total;
}

int main(int argc, char **argv)
{
	static const uint32_t depths[] = { 1, 32, 128 };
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	int json = bench_flag(argc, argv, "--json");
	double ns[RUNS], fl[RUNS];
	unsigned int d, r;

	if (bench_flag(argc, argv, "--smoke")) {
		total = 50000;
		runs = 3;
	}
	if (leap_pollgroup_create(NULL, &b.pg))
		return 1;
	fake_target_init(&b.target, b.pg);
	b.target.execute = null_execute;
	b.piece.addr = payload;
	b.piece.len_bytes = sizeof(payload);
	opts.url = "loop://fake/nqn.2014-08.org.example:bench";
	opts.qid = 1;
	opts.cntlid = 7;
	opts.depth = MAX_QD + 1;
	opts.target = &b.target;
	opts.connected = connected;
	if (leap_qp_connect(b.pg, &opts, &b.qp))
		return 1;
	while (!b.up)
		leap_pollgroup_poll(b.pg, 0);
	if (b.up < 0)
		return 1;
	if (!json)
		printf("loop://, null handler, one core\n%6s %10s %10s %10s\n",
		       "depth", "min ns", "median ns", "floor ns");
	else
		printf("{\"bench\":\"loopback-null\",\"unit\":\"ns/command\","
		       "\"results\":[");
	for (d = 0; d < 3; d++) {
		for (r = 0; r < runs; r++) {
			fl[r] = floor_run();
			ns[r] = run(depths[d]);
		}
		bench_median(ns, runs);
		bench_median(fl, runs);
		if (json)
			printf("%s{\"depth\":%" PRIu32 ",\"min\":%.1f,"
			       "\"median\":%.1f,\"floor\":%.1f}", d ? "," : "",
			       depths[d], ns[0], ns[runs / 2], fl[0]);
		else
			printf("%6" PRIu32 " %10.1f %10.1f %10.1f\n", depths[d],
			       ns[0], ns[runs / 2], fl[0]);
	}
	if (json)
		printf("]}\n");
	leap_qp_close(b.qp, closed, NULL);
	while (!b.closed)
		leap_pollgroup_poll(b.pg, 0);
	return leap_pollgroup_destroy(b.pg) ? 1 : 0;
}
