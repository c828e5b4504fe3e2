/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the block layer costs: nanoseconds per bio through leaves that end at
 * once, on one core, and what each layer on top adds.
 *
 *	bench-block [--json] [--smoke]
 *
 * Each stack is run nine times; minimum and median are printed. Floors, between
 * the runs: an indirect call of the same shape, and memcpy of 4 KiB blocks over
 * the same footprint.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/plugin/bdev_ops.h>
#include <leapio/pollgroup.h>

#include "bench.h"

#define RUNS	9
#define BLOCKS	16384u		/* 64 MiB of 4 KiB blocks */

static unsigned char payload[4096] __attribute__((aligned(4096)));
static uint64_t done_count;
static uint32_t total = 400000, runs = RUNS, rows;

static void bench_done(struct leap_bio *bio, leap_status_t status)
{
	done_count += !status;
}

/* Not one cache line after the other: i-th block of a walk over all. */
static uint64_t walk(uint32_t i)
{
	return (i * 7919u) % BLOCKS;
}

/* Bios come from a poller, as they do from a transport. */
struct feeder {
	struct leap_poller poller;	/* first */
	struct leap_chan *chan;
	struct leap_piece piece;
	uint32_t next;
	uint8_t op;
};

static int feed(struct leap_poller *poller, unsigned int budget)
{
	struct feeder *f = (struct feeder *)poller;
	struct leap_bio *bio;
	int n;

	for (n = 0; n < 64 && f->next < total; n++) {
		bio = leap_bio_get(f->chan);
		bio->op = f->op;
		bio->block = walk(f->next++);
		bio->nr_blocks = 1;
		bio->pieces = &f->piece;
		bio->nr_pieces = 1;
		bio->done = bench_done;
		leap_bio_submit(f->chan, bio);
		leap_bio_put(f->chan, bio);
	}
	return n;
}

static double run_stack(struct leap_pollgroup *pg, struct leap_chan *chan,
			int op, uint32_t bytes)
{
	struct feeder f = { .poller.poll = feed, .chan = chan,
			    .piece = { .addr = payload, .len_bytes = bytes },
			    .op = (uint8_t)op };
	uint64_t start, want = done_count + total;

	leap_pollgroup_add_poller(pg, &f.poller);
	start = bench_now_ns();
	while (f.next < total)
		leap_pollgroup_poll(pg, 0);
	start = bench_now_ns() - start;
	leap_pollgroup_del_poller(pg, &f.poller);
	if (done_count != want) {
		fprintf(stderr, "bench-block: bios failed\n");
		exit(1);
	}
	return (double)start / total;
}

static double run_call(void)
{
	void (*volatile call)(struct leap_bio *, leap_status_t) = bench_done;
	struct leap_bio bio;
	uint64_t start = bench_now_ns();
	uint32_t i;

	for (i = 0; i < total; i++)
		call(&bio, 0);
	return (double)(bench_now_ns() - start) / total;
}

static double run_memcpy(unsigned char *area, int op)
{
	uint64_t start = bench_now_ns();
	uint32_t i;

	for (i = 0; i < total; i++) {
		unsigned char *at = area + walk(i) * 4096;

		if (op == LEAP_BIO_READ)
			memcpy(payload, at, 4096);
		else
			memcpy(at, payload, 4096);
		__asm__ volatile("" : : : "memory");
	}
	return (double)(bench_now_ns() - start) / total;
}

static void report(int json, const char *name, const char *op, double *ns,
		   double floor_ns)
{
	bench_median(ns, runs);
	if (json)
		printf("%s{\"stack\":\"%s\",\"op\":\"%s\",\"min_ns\":%.1f,"
		       "\"median_ns\":%.1f,\"floor_ns\":%.1f}",
		       rows++ ? ",\n" : "{\"bench\":\"block\",\"results\":[\n",
		       name, op, ns[0], ns[runs / 2], floor_ns);
	else
		printf("%-44s %-5s %8.1f %8.1f %8.1f\n", name, op, ns[0],
		       ns[runs / 2], floor_ns);
}

static void bench(struct leap_pollgroup *pg, int json, const char *text,
		  int op, unsigned char *area)
{
	double ns[RUNS], floor_ns[RUNS];
	struct leap_bdev *bdev;
	struct leap_chan *chan;
	uint32_t i;

	if (leap_bdev_open(pg, text, &bdev) ||
	    leap_chan_open(bdev, pg, 16, &chan)) {
		fprintf(stderr, "%s\n", leap_last_error());
		exit(1);
	}
	run_stack(pg, chan, LEAP_BIO_WRITE, 4096);	/* pages are there */
	for (i = 0; i < runs; i++) {
		floor_ns[i] = area ? run_memcpy(area, op) : run_call();
		ns[i] = run_stack(pg, chan, op, 4096);
	}
	bench_median(floor_ns, runs);
	report(json, text, op == LEAP_BIO_READ ? "read" : "write", ns,
	       floor_ns[runs / 2]);
	leap_chan_close(chan);
	leap_bdev_close(bdev);
}

int main(int argc, char **argv)
{
	int json = bench_flag(argc, argv, "--json");
	unsigned char *area = malloc((size_t)BLOCKS * 4096);
	struct leap_pollgroup *pg;

	if (bench_flag(argc, argv, "--smoke")) {
		total = 40000;
		runs = 3;
	}
	if (!area || leap_pollgroup_create(NULL, &pg))
		return 1;
	memset(area, 1, (size_t)BLOCKS * 4096);
	if (!json)
		printf("%-44s %-5s %8s %8s %8s\n", "stack", "op", "min ns",
		       "median", "floor");
	bench(pg, json, "null:64M[block=4096]", LEAP_BIO_WRITE, NULL);
	bench(pg, json, "trace -> null:64M[block=4096]", LEAP_BIO_WRITE, NULL);
	bench(pg, json, "delay -> delay -> null:64M[block=4096]",
	      LEAP_BIO_WRITE, NULL);
	bench(pg, json, "memory:64M[block=4096]", LEAP_BIO_READ, area);
	bench(pg, json, "memory:64M[block=4096]", LEAP_BIO_WRITE, area);
	if (json)
		printf("]}\n");
	leap_pollgroup_destroy(pg);
	free(area);
	return 0;
}
