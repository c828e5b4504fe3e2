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
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <leapio/leapio.h>

#include "bench.h"

#define NQN "nqn.2014-08.org.example:bench"
#define MAX_QD 128u
#define SAMPLES 7
#define DISK_BLOCKS 4096u	/* of 4 KiB: the part that is used */

/* What the two processes share beside the queue pairs. */
struct shared {
	_Alignas(64) uint32_t ping;
	_Alignas(64) uint32_t pong;
	_Alignas(64) uint32_t mode;	/* 0 serve, 1 ping-pong, 2 end */
	_Alignas(64) uint32_t ready;
};

struct io {
	struct leap_req req;
	struct leap_piece piece;
	uint64_t start;
};

static struct shared *sh;
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

static void die(const char *what)
{
	fprintf(stderr, "bench-shm: %s: %s\n", what, leap_last_error());
	exit(1);
}

/* ---- the serving process --------------------------------------------------- */

static void add_ns(struct leap_pollgroup *pg, struct leap_subsystem *ss,
		   const char *stack)
{
	struct leap_ns_opts opts = LEAP_NS_OPTS_INIT;

	if (leap_bdev_open(pg, stack, &opts.bdev) ||
	    leap_ns_add(ss, &opts, NULL, NULL) < 0)
		die(stack);
}

static void answer_pings(void)
{
	uint32_t v, last = 0;

	while (__atomic_load_n(&sh->mode, __ATOMIC_RELAXED) == 1) {
		v = __atomic_load_n(&sh->ping, __ATOMIC_ACQUIRE);
		if (v == last)
			continue;
		last = v;
		__atomic_store_n(&sh->pong, v, __ATOMIC_RELEASE);
	}
}

static void serve(void)
{
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lopts = LEAP_LISTENER_OPTS_INIT;
	struct leap_target_opts topts = LEAP_TARGET_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_subsystem *ss;
	struct leap_target *target;
	struct leap_pollgroup *pg;
	char url[80];
	uint32_t mode;

	bench_pin(1);
	topts.queue_depth = 256;
	sopts.nqn = NQN;
	sopts.allow_any_host = 1;
	snprintf(url, sizeof(url), "shm:%s", path);
	lopts.url = url;
	if (leap_pollgroup_create(NULL, &pg) ||
	    leap_target_create(pg, &topts, &target) ||
	    leap_subsystem_create(target, &sopts, &ss))
		die("target");
	add_ns(pg, ss, "null:16M[block=4096]");
	add_ns(pg, ss, "memory:16M[block=4096]");
	if (leap_listener_create(target, &lopts, &listener))
		die("listener");
	__atomic_store_n(&sh->ready, 1, __ATOMIC_RELEASE);
	while ((mode = __atomic_load_n(&sh->mode, __ATOMIC_RELAXED)) != 2) {
		if (mode == 1)
			answer_pings();
		leap_pollgroup_poll(pg, 0);
	}
	_exit(0);
}

/* ---- floors ------------------------------------------------------------------ */

static double line_round_trip(uint32_t n)
{
	uint64_t start;
	uint32_t i, base = sh->ping;

	__atomic_store_n(&sh->mode, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&sh->ping, ++base, __ATOMIC_RELEASE);
	while (__atomic_load_n(&sh->pong, __ATOMIC_ACQUIRE) != base)
		;
	start = bench_now_ns();
	for (i = 1; i <= n; i++) {
		__atomic_store_n(&sh->ping, base + i, __ATOMIC_RELEASE);
		while (__atomic_load_n(&sh->pong, __ATOMIC_ACQUIRE) != base + i)
			;
	}
	start = bench_now_ns() - start;
	__atomic_store_n(&sh->mode, 0, __ATOMIC_RELEASE);
	return (double)start / n;
}

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

/* ---- the host's process ------------------------------------------------------ */

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

	bench_pin(0);
	mopts.bytes = MAX_QD * 4096u;
	snprintf(url, sizeof(url), "shm:%s/%s", path, NQN);
	opts.url = url;
	opts.depth = MAX_QD + 1;
	if (leap_pollgroup_create(NULL, &h.pg) ||
	    leap_dmabuf_create(&mopts, &h.mem) ||
	    leap_host_connect(h.pg, &opts, &h.host))
		die("host");
	while (leap_host_state(h.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_poll(h.pg, 0);
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
		double a = line ? line_round_trip(n) : copy_block(n);
		double v = run(r->nsid, r->opc, r->qd, n);
		double b = line ? line_round_trip(n) : copy_block(n);

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
		printf("%s\n  {\"name\": \"%s\", \"ns\": %.1f, \"min_ns\": %.1f, "
		       "\"max_ns\": %.1f, \"floor\": \"%s\", \"floor_ns\": "
		       "%.1f, \"p50_ns\": %.0f, \"p99_ns\": %.0f, "
		       "\"p999_ns\": %.0f, \"samples\": %u, \"dropped\": %u}",
		       first ? "" : ",", r->name, ns[kept / 2], ns[0],
		       ns[kept ? kept - 1 : 0], r->floor, fl[kept / 2],
		       bench_hist_at(&h.hist, 0.5), bench_hist_at(&h.hist, 0.99),
		       bench_hist_at(&h.hist, 0.999), kept, dropped);
	else
		printf("%-22s %8.1f %8.1f %8.1f  %-5s %8.1f %8.0f %8.0f %8.0f "
		       "%3u %3u\n", r->name, ns[kept / 2], ns[0],
		       ns[kept ? kept - 1 : 0], r->floor, fl[kept / 2],
		       bench_hist_at(&h.hist, 0.5), bench_hist_at(&h.hist, 0.99),
		       bench_hist_at(&h.hist, 0.999), kept, dropped);
	fflush(stdout);
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

int main(int argc, char **argv)
{
	int json = 0, closed = 0, i;
	uint32_t n = 1000000;
	pid_t pid;

	for (i = 1; i < argc; i++) {
		json |= !strcmp(argv[i], "--json");
		if (!strcmp(argv[i], "--smoke")) {
			n = 10000;
			samples = 3;
		}
	}
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(path, sizeof(path), "/tmp/leap-bench-%d.sock", (int)getpid());
	pid = fork();
	if (!pid)
		serve();
	while (!__atomic_load_n(&sh->ready, __ATOMIC_ACQUIRE))
		if (waitpid(pid, NULL, WNOHANG))
			return 1;
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
	leap_host_close(h.host, set_flag, &closed);
	while (!closed)
		leap_pollgroup_poll(h.pg, 0);
	__atomic_store_n(&sh->mode, 2, __ATOMIC_RELEASE);
	waitpid(pid, NULL, 0);
	leap_dmabuf_put(h.mem);
	unlink(path);
	return h.errors || leap_pollgroup_destroy(h.pg) ? 1 : 0;
}
