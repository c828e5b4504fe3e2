/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs in shared memory between two processes, one core each.
 *
 *	bench-shm [--json] [--smoke]
 *
 * Floors, measured before and after each sample in the same two processes: the
 * round trip of a cache line between the cores, and memcpy of blocks with the
 * same footprint. A sample whose two floors differ by more than 20 % is dropped
 * and counted. The payload lies in a dmabuf, so nothing bounces.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "pair.h"

#define MAX_QD 128u
#define SAMPLES 7
#define DISK_BLOCKS 4096u	/* of 4 KiB: the part that is used */

struct io {
	struct leap_req req;
	struct leap_piece piece;
	uint64_t start;
};

static char path[64];
static unsigned int samples = SAMPLES;

static struct {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct leap_dmabuf *mem;
	struct io io[MAX_QD];
	struct bench_hist hist;
	uint64_t left, done;
	uint32_t rnd, errors;
	int stamps;
} h;

/* ---- floors ---- */

static double copy_block(uint32_t n)
{
	static uint8_t *disk;
	uint8_t *mem = leap_dmabuf_addr(h.mem);
	uint64_t start;
	uint32_t i;

	if (!disk) {
		disk = malloc(DISK_BLOCKS * 4096u);
		memset(disk, 1, DISK_BLOCKS * 4096u);
	}
	start = bench_now_ns();
	for (i = 0; i < n; i++) {
		h.rnd = h.rnd * 1664525u + 1013904223u;
		memcpy(mem + (size_t)(i % MAX_QD) * 4096,
		       disk + (size_t)(h.rnd >> 12) % DISK_BLOCKS * 4096, 4096);
		__asm__ volatile("" : : "r"(mem) : "memory");
	}
	return (double)(bench_now_ns() - start) / n;
}

/* ---- the host's process ---- */

static void send_next(struct io *io)
{
	struct leap_req *req = &io->req;

	h.rnd = h.rnd * 1664525u + 1013904223u;
	req->sqe.cdw10 = leap_to_le32((h.rnd >> 12) % DISK_BLOCKS);
	if (h.stamps)
		io->start = bench_now_ns();
	leap_host_submit(h.host, 1, &req, 1);
}

static void io_done(struct leap_req *req)
{
	struct io *io = (struct io *)req;

	h.done++;
	h.errors += leap_req_status(req) != 0;
	if (h.stamps)
		bench_hist_add(&h.hist, bench_now_ns() - io->start);
	if (!h.left)
		return;
	h.left--;
	send_next(io);
}

/* Nanoseconds per command. */
static double run(uint32_t nsid, uint8_t opc, uint32_t qd, uint32_t n)
{
	uint64_t start;
	uint32_t i;

	h.done = 0;
	h.left = n - qd;
	for (i = 0; i < qd; i++) {
		h.io[i].req.sqe.opc = opc;
		h.io[i].req.sqe.nsid = leap_to_le32(nsid);
	}
	start = bench_now_ns();
	for (i = 0; i < qd; i++)
		send_next(&h.io[i]);
	while (h.done < n)
		leap_pollgroup_poll(h.pg, 0);
	return (double)(bench_now_ns() - start) / n;
}

static void host_open(void)
{
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	char url[200];
	uint32_t i;

	mopts.bytes = MAX_QD * 4096u;
	snprintf(url, sizeof(url), "shm:%s/%s", path, PAIR_NQN);
	opts.url = url;
	opts.depth = MAX_QD + 1;
	if (leap_pollgroup_create(NULL, &h.pg) ||
	    leap_dmabuf_create(&mopts, &h.mem))
		pair_die("memory");
	h.host = pair_host(h.pg, &opts);
	for (i = 0; i < MAX_QD; i++) {
		struct io *io = &h.io[i];

		io->piece.addr = (uint8_t *)leap_dmabuf_addr(h.mem) + i * 4096;
		io->piece.buf = h.mem;
		io->piece.len_bytes = 4096;
		io->req.pieces = &io->piece;
		io->req.nr_pieces = 1;
		io->req.done = io_done;
	}
	run(2, LEAP_NVM_WRITE, 32, 20000);	/* the disk is all there */
}

struct row {
	const char *name, *floor;
	uint32_t nsid, qd;
	uint8_t opc;
};

static const struct row rows[] = {
	{ "4k read qd1 null", "line", 1, 1, LEAP_NVM_READ },
	{ "4k read qd32 null", "line", 1, 32, LEAP_NVM_READ },
	{ "4k read qd128 null", "line", 1, 128, LEAP_NVM_READ },
	{ "4k write qd128 null", "line", 1, 128, LEAP_NVM_WRITE },
	{ "4k read qd1 memory", "copy", 2, 1, LEAP_NVM_READ },
	{ "4k read qd32 memory", "copy", 2, 32, LEAP_NVM_READ },
	{ "4k write qd32 memory", "copy", 2, 32, LEAP_NVM_WRITE },
};

static void one(const struct row *r, uint32_t n, int json, int first)
{
	double ns[SAMPLES], fl[SAMPLES];
	unsigned int i, kept = 0, dropped = 0;

	for (i = 0; i < samples; i++) {
		int line = r->floor[0] == 'l';
		double a = line ? pair_line_ns(n) : copy_block(n);
		double v = run(r->nsid, r->opc, r->qd, n);
		double b = line ? pair_line_ns(n) : copy_block(n);

		if (a > b * 1.2 || b > a * 1.2) {
			dropped++;
			continue;
		}
		ns[kept] = v;
		fl[kept++] = (a + b) / 2;
	}
	h.stamps = 1;
	memset(&h.hist, 0, sizeof(h.hist));
	run(r->nsid, r->opc, r->qd, n);
	h.stamps = 0;
	bench_median(ns, kept);
	bench_median(fl, kept);
	if (!kept)
		ns[0] = fl[0] = 0;
	if (json)
		printf("%s\n  {\"name\": \"%s\", \"ns\": %.1f, "
		       "\"min_ns\": %.1f, \"max_ns\": %.1f, "
		       "\"floor\": \"%s\", \"floor_ns\": %.1f, "
		       "\"p50_ns\": %.0f, \"p99_ns\": %.0f, "
		       "\"p999_ns\": %.0f, \"samples\": %u, \"dropped\": %u}",
		       first ? "" : ",", r->name, ns[kept / 2], ns[0],
		       ns[kept ? kept - 1 : 0], r->floor, fl[kept / 2],
		       bench_hist_at(&h.hist, 0.5),
		       bench_hist_at(&h.hist, 0.99),
		       bench_hist_at(&h.hist, 0.999), kept, dropped);
	else
		printf("%-22s %8.1f %8.1f %8.1f  %-5s %8.1f %8.0f %8.0f %8.0f "
		       "%3u %3u\n", r->name, ns[kept / 2], ns[0],
		       ns[kept ? kept - 1 : 0], r->floor, fl[kept / 2],
		       bench_hist_at(&h.hist, 0.5),
		       bench_hist_at(&h.hist, 0.99),
		       bench_hist_at(&h.hist, 0.999), kept, dropped);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char url[80];
	const char *const urls[] = { url, NULL };
	const struct pair_opts pair = {
		.name = "bench-shm", .queue_depth = 256, .urls = urls,
		.ns = { "null:16M[block=4096]", "memory:16M[block=4096]" },
	};
	int json = 0, i;
	uint32_t n = 1000000;

	for (i = 1; i < argc; i++) {
		json |= !strcmp(argv[i], "--json");
		if (!strcmp(argv[i], "--smoke")) {
			n = 10000;
			samples = 3;
		}
	}
	snprintf(path, sizeof(path), "/tmp/leap-bench-%d.sock", (int)getpid());
	snprintf(url, sizeof(url), "shm:%s", path);
	pair_start(&pair);
	host_open();
	if (json)
		printf("{\"bench\": \"shm\", \"results\": [");
	else
		printf("shm between two processes, ns per command; line: round "
		       "trip of a cache line, copy: memcpy of 4 KiB\n"
		       "%-22s %8s %8s %8s  %-5s %8s %8s %8s %8s %3s %3s\n", "",
		       "median", "min", "max", "floor", "ns", "p50", "p99",
		       "p99.9", "n", "out");
	for (i = 0; i < (int)(sizeof(rows) / sizeof(rows[0])); i++)
		one(&rows[i], n, json, !i);
	if (json)
		printf("\n]}\n");
	pair_host_close(h.pg, h.host);
	pair_end();
	leap_dmabuf_put(h.mem);
	unlink(path);
	return h.errors || leap_pollgroup_destroy(h.pg) ? 1 : 0;
}
