/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A drive behind registers between two processes, one core each, beside shared
 * memory queue pairs of the same two processes.
 *
 *	bench-vfio-user [--json] [--smoke] [--busy]
 *
 * One process serves a null and a memory namespace over vfio-user, twice, and
 * over shm, and as the runtime of an agent, a third process; the other is host
 * of all four: shm, vfio-user with SGLs, vfio-user with PRPs as guests use
 * them, and the same to the agent's drive, which only the process that answers
 * the hypervisor tells from the third. Each sample of a row takes one of each
 * in turn, with the round trip of a cache line before and after; a sample whose
 * floors differ by more than 20 % is dropped and counted. Payload lies in a
 * dmabuf.
 *
 * --busy is for a machine that has other things to do: many short samples of
 * each, and the fastest, which is the one that nothing interrupted.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "pair.h"

#define MAX_QD 128u
#define BIG 131072u
#define SAMPLES 7
#define BUSY_SAMPLES 100
#define DISK_BLOCKS 4096u	/* of 4 KiB: the part that is used */
#define NR_WAYS 4
#define AGENT 3		/* the way by the agent */

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
	{ "agent PRP", "vfio-user", "agent", LEAP_QP_PRP },
};

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

/* Where a way's server listens; of one more than there are:
 * the agent's link. */
static void path_of(char *path, size_t max, unsigned int way)
{
	snprintf(path, max, "/tmp/leap-bench-%d-%s.sock", pid_of_test,
		 way < NR_WAYS ? ways[way].suffix : "link");
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
	snprintf(url, sizeof(url), "%s:%s/%s", ways[way].scheme, path,
		 PAIR_NQN);
	opts.url = url;
	opts.depth = MAX_QD + 1;
	opts.flags = ways[way].flags;
	h.host[way] = pair_host(h.pg, &opts);
}

static void open_all(void)
{
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	const struct row fill = {
		"", 2, 32, BIG, LEAP_NVM_WRITE, 0, 0,
	};
	unsigned int i;

	mopts.bytes = MAX_QD * BIG;
	if (leap_pollgroup_create(NULL, &h.pg) ||
	    leap_dmabuf_create(&mopts, &h.mem))
		pair_die("memory");
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
		double a = pair_line_ns(busy ? 200 : 20000), b;

		/* None of them always has the same one before it. */
		for (k = 0; k < NR_WAYS; k++) {
			unsigned int way = (k + i) % NR_WAYS;

			res->ns[way][res->kept] = run(way, r, n);
		}
		b = pair_line_ns(busy ? 200 : 20000);
		if (!busy && (a > b * 1.2 || b > a * 1.2))
			res->dropped++;
		else
			res->floor[res->kept++] = (a + b) / 2;
	}
	for (k = 0; k < NR_WAYS; k++)
		bench_median(res->ns[k], res->kept);
	bench_median(res->floor, res->kept);
}

static double ratio(double of, double to)
{
	return to > 0 ? of / to : 0;
}

static void report_json(const struct row *r, const struct result *res,
			unsigned int mid, int first)
{
	double shm = res->ns[0][mid], sgl = res->ns[1][mid];
	double prp = res->ns[2][mid], agent = res->ns[AGENT][mid];

	printf("%s\n  {\"name\": \"%s\", \"shm_ns\": %.1f, "
	       "\"vfio_user_ns\": %.1f, \"vfio_user_prp_ns\": %.1f, "
	       "\"agent_prp_ns\": %.1f, \"shm_by_sgl\": %.3f, "
	       "\"shm_by_prp\": %.3f, \"prp_by_agent\": %.3f, "
	       "\"line_ns\": %.1f, \"recorded_ns\": %.0f, \"aim\": "
	       "%.2f, \"samples\": %u, \"dropped\": %u}",
	       first ? "" : ",", r->name, shm, sgl, prp, agent,
	       ratio(shm, sgl), ratio(shm, prp), ratio(prp, agent),
	       res->floor[mid], r->recorded_ns, r->aim, res->kept,
	       res->dropped);
}

static void report(const struct row *r, struct result *res, int json,
		   int first)
{
	unsigned int mid = busy ? 0 : res->kept / 2;
	double shm = res->ns[0][mid], sgl = res->ns[1][mid];
	double prp = res->ns[2][mid], agent = res->ns[AGENT][mid];

	if (json) {
		report_json(r, res, mid, first);
		return;
	}
	printf("%-24s %9.1f %9.1f %9.1f %9.1f %6.2f %6.2f %6.2f %7.1f",
	       r->name, shm, sgl, prp, agent, ratio(shm, sgl), ratio(shm, prp),
	       ratio(prp, agent), res->floor[mid]);
	if (r->recorded_ns > 0)
		printf(" %5.0f %5.2f (%4.2f)", r->recorded_ns,
		       ratio(r->recorded_ns, prp), r->aim);
	printf("%*s %u/%u\n", r->recorded_ns > 0 ? 1 : 20, "", res->kept,
	       res->dropped);
	fflush(stdout);
}

static void close_all(void)
{
	unsigned int i;
	char path[80];

	for (i = 0; i < NR_WAYS; i++) {
		pair_host_close(h.pg, h.host[i]);
		path_of(path, sizeof(path), i);
		unlink(path);
	}
	path_of(path, sizeof(path), NR_WAYS);
	unlink(path);
}

/* Listeners of the serving process, and the drive of the agent. */
static void make_urls(struct pair_opts *pair)
{
	static char urls[NR_WAYS][200], link[80];
	static const char *list[NR_WAYS];
	unsigned int i;
	char path[80];

	for (i = 0; i < NR_WAYS; i++) {
		path_of(path, sizeof(path), i);
		snprintf(urls[i], sizeof(urls[i]), "%s:%s%s", ways[i].scheme,
			 path, i ? "/" PAIR_NQN : "");
		list[i] = i == AGENT ? NULL : urls[i];
	}
	path_of(link, sizeof(link), NR_WAYS);
	pair->urls = list;
	pair->agent = link;
	pair->agent_url = urls[AGENT];
}

int main(int argc, char **argv)
{
	int json = bench_flag(argc, argv, "--json");
	uint32_t n = 400000;
	struct pair_opts pair = {
		.name = "bench-vfio-user", .queue_depth = 1024,
		.ns = { "null:32M[block=4096]", "memory:32M[block=4096]" },
	};
	static struct result res;
	unsigned int i;

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
	make_urls(&pair);
	pair_start(&pair);
	open_all();
	if (json)
		printf("{\"bench\": \"vfio-user\", \"results\": [");
	else
		printf("ns per command; then shm's time over vfio-user's and "
		       "the single process's over the\nagent's (1 = as fast), "
		       "line: round trip of a cache line; recorded: of a well-"
		       "known\npolled target, and how many times as fast as "
		       "that PRPs are (aim)\n"
		       "%-24s %9s %9s %9s %9s %6s %6s %6s %7s %5s\n", "",
		       "shm", "vfio sgl", "vfio prp", "agent prp", "sgl",
		       "prp", "agent", "line", "rec.");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		measure(&rows[i], n, &res);
		report(&rows[i], &res, json, !i);
	}
	if (json)
		printf("\n]}\n");
	close_all();
	pair_end();
	leap_dmabuf_put(h.mem);
	return h.errors || leap_pollgroup_destroy(h.pg) ? 1 : 0;
}
