/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A drive behind registers between two processes, one core each, beside shared
 * memory queue pairs of the same two processes.
 *
 *	bench-vfio-user [--json] [--smoke] [--busy]
 *
 * One process serves a null and a memory namespace over vfio-user, twice, and
 * over shm; the other is host of all three: shm, vfio-user with SGLs, vfio-user
 * with PRPs as guests use them. Each sample of a row takes one of each in turn,
 * with the round trip of a cache line before and after; a sample whose floors
 * differ by more than 20 % is dropped and counted. Payload lies in a dmabuf.
 *
 * --busy is for a machine that has other things to do: many short samples of
 * each, and the fastest, which is the one that nothing interrupted.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <leapio/leapio.h>

#include "bench.h"

#define NQN "nqn.2014-08.org.example:bench"
#define MAX_QD 128u
#define BIG 131072u
#define SAMPLES 7
#define BUSY_SAMPLES 100
#define DISK_BLOCKS 4096u	/* of 4 KiB: the part that is used */
#define NR_WAYS 3

struct shared {
	_Alignas(64) uint32_t ping;
	_Alignas(64) uint32_t pong;
	_Alignas(64) uint32_t mode;	/* 0 serve, 1 ping-pong, 2 end */
	_Alignas(64) uint32_t ready;
};

struct io {
	struct leap_req req;
	struct leap_piece piece;
	struct leap_host *host;
};

static const struct {
	const char *name, *scheme, *suffix;
	uint32_t flags;
} ways[NR_WAYS] = {
	{ "shm", "shm", "shm", 0 },
	{ "vfio-user", "vfio-user", "sgl", 0 },
	{ "vfio-user PRP", "vfio-user", "prp", LEAP_QP_PRP },
};

static struct shared *sh;
static unsigned int samples = SAMPLES;
static int busy;
static int pid_of_test;

static struct {
	struct leap_pollgroup *pg;
	struct leap_host *host[NR_WAYS];
	struct leap_dmabuf *mem;
	struct io io[MAX_QD];
	uint64_t left, done;
	uint32_t rnd, errors, blocks;
} h;

static void die(const char *what)
{
	fprintf(stderr, "bench-vfio-user: %s: %s\n", what, leap_last_error());
	exit(1);
}

static void path_of(char *path, size_t max, unsigned int way)
{
	snprintf(path, max, "/tmp/leap-bench-%d-%s.sock", pid_of_test,
		 ways[way].suffix);
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

static void listen_all(struct leap_target *target)
{
	struct leap_listener_opts lopts = LEAP_LISTENER_OPTS_INIT;
	struct leap_listener *listener;
	char url[200], path[80];
	unsigned int i;

	for (i = 0; i < NR_WAYS; i++) {
		path_of(path, sizeof(path), i);
		snprintf(url, sizeof(url), "%s:%s%s", ways[i].scheme, path,
			 i ? "/" NQN : "");
		lopts.url = url;
		if (leap_listener_create(target, &lopts, &listener))
			die("listener");
	}
}

static void serve(void)
{
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_target_opts topts = LEAP_TARGET_OPTS_INIT;
	struct leap_subsystem *ss;
	struct leap_target *target;
	struct leap_pollgroup *pg;
	uint32_t mode;

	bench_pin(1);
	topts.queue_depth = 1024;
	sopts.nqn = NQN;
	sopts.allow_any_host = 1;
	if (leap_pollgroup_create(NULL, &pg) ||
	    leap_target_create(pg, &topts, &target) ||
	    leap_subsystem_create(target, &sopts, &ss))
		die("target");
	add_ns(pg, ss, "null:32M[block=4096]");
	add_ns(pg, ss, "memory:32M[block=4096]");
	listen_all(target);
	__atomic_store_n(&sh->ready, 1, __ATOMIC_RELEASE);
	while ((mode = __atomic_load_n(&sh->mode, __ATOMIC_RELAXED)) != 2) {
		if (mode == 1)
			answer_pings();
		leap_pollgroup_poll(pg, 0);
	}
	_exit(0);
}

/* ---- the host's process ------------------------------------------------------ */

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

static void send_next(struct io *io)
{
	struct leap_req *req = &io->req;

	h.rnd = h.rnd * 1664525u + 1013904223u;
	req->sqe.cdw10 = leap_to_le32((h.rnd >> 12) % DISK_BLOCKS);
	leap_host_submit(io->host, 1, &req, 1);
}

static void io_done(struct leap_req *req)
{
	h.done++;
	h.errors += leap_req_status(req) != 0;
	if (!h.left)
		return;
	h.left--;
	send_next((struct io *)req);
}

struct row {
	const char *name;
	uint32_t nsid, qd, bytes;
	uint8_t opc;
	double recorded_ns;	/* a polled target's of that kind; 0 = none */
	double aim;		/* times as fast as that */
};

/* Nanoseconds per command. */
static double run(unsigned int way, const struct row *r, uint32_t n)
{
	uint64_t start;
	uint32_t i;

	h.done = 0;
	h.left = n - r->qd;
	for (i = 0; i < r->qd; i++) {
		struct io *io = &h.io[i];

		io->host = h.host[way];
		io->piece.addr = (uint8_t *)leap_dmabuf_addr(h.mem) +
				 (size_t)i * r->bytes;
		io->piece.len_bytes = r->bytes;
		io->req.sqe.opc = r->opc;
		io->req.sqe.nsid = leap_to_le32(r->nsid);
		io->req.sqe.cdw12 = leap_to_le32(r->bytes / 4096 - 1);
	}
	start = bench_now_ns();
	for (i = 0; i < r->qd; i++)
		send_next(&h.io[i]);
	while (h.done < n)
		leap_pollgroup_poll(h.pg, 0);
	return (double)(bench_now_ns() - start) / n;
}

static void host_open(unsigned int way)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	char url[200], path[80];

	path_of(path, sizeof(path), way);
	snprintf(url, sizeof(url), "%s:%s/%s", ways[way].scheme, path, NQN);
	opts.url = url;
	opts.depth = MAX_QD + 1;
	opts.flags = ways[way].flags;
	if (leap_host_connect(h.pg, &opts, &h.host[way]))
		die("host");
	while (leap_host_state(h.host[way]) == LEAP_HOST_CONNECTING)
		leap_pollgroup_poll(h.pg, 0);
	if (leap_host_state(h.host[way]) != LEAP_HOST_LIVE)
		die(ways[way].name);
}

static void open_all(void)
{
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	const struct row fill = {
		"", 2, 32, BIG, LEAP_NVM_WRITE, 0, 0,
	};
	unsigned int i;

	bench_pin(0);
	mopts.bytes = MAX_QD * BIG;
	if (leap_pollgroup_create(NULL, &h.pg) ||
	    leap_dmabuf_create(&mopts, &h.mem))
		die("memory");
	memset(leap_dmabuf_addr(h.mem), 1, MAX_QD * BIG);
	for (i = 0; i < MAX_QD; i++) {
		h.io[i].piece.buf = h.mem;
		h.io[i].req.pieces = &h.io[i].piece;
		h.io[i].req.nr_pieces = 1;
		h.io[i].req.done = io_done;
	}
	for (i = 0; i < NR_WAYS; i++) {
		host_open(i);
		run(i, &fill, 4000);	/* the disk is all there */
	}
}

static const struct row rows[] = {
	{ "4k read qd1 null", 1, 1, 4096, LEAP_NVM_READ, 850, 1.5 },
	{ "4k read qd32 null", 1, 32, 4096, LEAP_NVM_READ, 0, 0 },
	{ "4k read qd128 null", 1, 128, 4096, LEAP_NVM_READ, 156, 1.5 },
	{ "4k write qd128 null", 1, 128, 4096, LEAP_NVM_WRITE, 0, 0 },
	{ "4k read qd1 memory", 2, 1, 4096, LEAP_NVM_READ, 1626, 1.25 },
	{ "4k read qd32 memory", 2, 32, 4096, LEAP_NVM_READ, 0, 0 },
	{ "4k read qd128 memory", 2, 128, 4096, LEAP_NVM_READ, 847, 1.25 },
	{ "4k write qd32 memory", 2, 32, 4096, LEAP_NVM_WRITE, 0, 0 },
	{ "128k read qd1 null", 1, 1, BIG, LEAP_NVM_READ, 0, 0 },
	{ "128k read qd32 null", 1, 32, BIG, LEAP_NVM_READ, 0, 0 },
	{ "128k read qd128 null", 1, 128, BIG, LEAP_NVM_READ, 0, 0 },
	{ "128k read qd1 memory", 2, 1, BIG, LEAP_NVM_READ, 0, 0 },
	{ "128k read qd32 memory", 2, 32, BIG, LEAP_NVM_READ, 0, 0 },
	{ "128k read qd128 memory", 2, 128, BIG, LEAP_NVM_READ, 0, 0 },
	{ "128k write qd32 memory", 2, 32, BIG, LEAP_NVM_WRITE, 0, 0 },
};

struct result {
	double ns[NR_WAYS][BUSY_SAMPLES], floor[BUSY_SAMPLES];
	unsigned int kept, dropped;
};

static void measure(const struct row *r, uint32_t n, struct result *res)
{
	unsigned int i, k;

	if (r->bytes == BIG && r->nsid == 2)
		n /= busy ? 10 : 20;
	if (n < 4 * r->qd)
		n = 4 * r->qd;
	memset(res, 0, sizeof(*res));
	for (i = 0; i < samples; i++) {
		double a = line_round_trip(busy ? 200 : 20000), b;

		for (k = 0; k < NR_WAYS; k++)
			res->ns[k][res->kept] = run(k, r, n);
		b = line_round_trip(busy ? 200 : 20000);
		if (!busy && (a > b * 1.2 || b > a * 1.2))
			res->dropped++;
		else
			res->floor[res->kept++] = (a + b) / 2;
	}
	for (k = 0; k < NR_WAYS; k++)
		bench_median(res->ns[k], res->kept);
	bench_median(res->floor, res->kept);
}

static void report(const struct row *r, struct result *res, int json,
		   int first)
{
	unsigned int mid = busy ? 0 : res->kept / 2;
	double shm = res->ns[0][mid], sgl = res->ns[1][mid];
	double prp = res->ns[2][mid];

	if (json) {
		printf("%s\n  {\"name\": \"%s\", \"shm_ns\": %.1f, "
		       "\"vfio_user_ns\": %.1f, \"vfio_user_prp_ns\": %.1f, "
		       "\"line_ns\": %.1f, \"recorded_ns\": %.0f, \"aim\": "
		       "%.2f, \"samples\": %u, \"dropped\": %u}",
		       first ? "" : ",", r->name, shm, sgl, prp,
		       res->floor[mid], r->recorded_ns, r->aim, res->kept,
		       res->dropped);
		return;
	}
	printf("%-24s %9.1f %9.1f %9.1f %6.2f %6.2f %7.1f", r->name, shm, sgl,
	       prp, sgl ? shm / sgl : 0, prp ? shm / prp : 0,
	       res->floor[mid]);
	if (r->recorded_ns > 0)
		printf(" %5.0f %5.2f (%4.2f)", r->recorded_ns,
		       prp ? r->recorded_ns / prp : 0, r->aim);
	printf("%*s %u/%u\n", r->recorded_ns > 0 ? 1 : 20, "", res->kept,
	       res->dropped);
	fflush(stdout);
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void close_all(void)
{
	unsigned int i;
	char path[80];

	for (i = 0; i < NR_WAYS; i++) {
		int closed = 0;

		leap_host_close(h.host[i], set_flag, &closed);
		while (!closed)
			leap_pollgroup_poll(h.pg, 0);
		path_of(path, sizeof(path), i);
		unlink(path);
	}
}

int main(int argc, char **argv)
{
	int json = bench_flag(argc, argv, "--json");
	uint32_t n = 400000;
	static struct result res;
	unsigned int i;
	pid_t pid;

	if (bench_flag(argc, argv, "--smoke")) {
		n = 4000;
		samples = 3;
	}
	busy = bench_flag(argc, argv, "--busy");
	if (busy) {
		n = 1000;
		samples = BUSY_SAMPLES;
	}
	pid_of_test = (int)getpid();
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid)
		serve();
	while (!__atomic_load_n(&sh->ready, __ATOMIC_ACQUIRE))
		if (waitpid(pid, NULL, WNOHANG))
			return 1;
	open_all();
	if (json)
		printf("{\"bench\": \"vfio-user\", \"results\": [");
	else
		printf("ns per command; then shm's time over vfio-user's (1 = "
		       "as fast), line: round trip of a cache line;\nrecorded: "
		       "of a well-known polled target, and how many times as "
		       "fast as that PRPs are (aim)\n%-24s %9s %9s %9s %6s %6s "
		       "%7s %5s\n", "", "shm", "vfio sgl", "vfio prp", "sgl",
		       "prp", "line", "rec.");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		measure(&rows[i], n, &res);
		report(&rows[i], &res, json, !i);
	}
	if (json)
		printf("\n]}\n");
	close_all();
	__atomic_store_n(&sh->mode, 2, __ATOMIC_RELEASE);
	waitpid(pid, NULL, 0);
	leap_dmabuf_put(h.mem);
	return h.errors || leap_pollgroup_destroy(h.pg) ? 1 : 0;
}
