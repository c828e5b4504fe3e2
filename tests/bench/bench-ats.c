/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a translation costs: nanoseconds per 4 KiB page of a PRP list.
 *
 * "hit": the pages lie in one range, whose translation is cached, at random
 * places, so that no two pieces merge. "tlb": each page lies in another of the
 * ranges than the one before, all of them in the IOTLB. "miss": the same with
 * an IOTLB that holds nothing of use: every page is a search of the table. With
 * one range a miss is a single look-up after all caches were emptied.
 *
 *	bench-ats [--json] [--smoke]
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/leapio.h>

#include "ats/ats.h"
#include "bench.h"

#define RUNS	15
#define PAGE	4096u
#define PAGES	32u		/* of one command: 128 KiB */
#define SPACING	(8ull << 21)	/* ranges lie apart, in IOTLB slots too */

/* Places of the two lists, in a range of their own. */
#define LIST	(1ull << 45)

struct bench {
	struct leap_pollgroup *pg;
	struct leap_dmabuf *buf;
	struct leap_ats *ats;
	struct leap_ats_view *view;
	struct leap_piece pieces[PAGES + 1];
	uint64_t prp1;
	uint32_t rnd, nr_ranges;
};

static struct bench b;
static uint32_t commands = 20000, runs = RUNS;

static uint32_t rnd(uint32_t n)
{
	b.rnd = b.rnd * 1664525u + 1013904223u;
	return (b.rnd >> 8) % n;
}

static int map(uint64_t gpa, uint64_t bytes, uint64_t offset)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = gpa;
	r.bytes = bytes;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = b.buf;
	r.offset = offset;
	return leap_ats_map(b.ats, &r);
}

static int set_up(uint32_t nr_ranges, uint32_t iotlb)
{
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;
	struct leap_ats_opts ao = LEAP_ATS_OPTS_INIT;
	uint32_t i;

	b.nr_ranges = nr_ranges;
	mo.bytes = 16u << 20;
	ao.iotlb_entries = iotlb;
	if (leap_pollgroup_create(NULL, &b.pg) ||
	    leap_dmabuf_create(&mo, &b.buf) || leap_ats_create(&ao, &b.ats) ||
	    leap_ats_attach(b.ats, b.pg, &b.view) ||
	    map(LIST, PAGE, 0))
		return -1;
	for (i = 0; i < nr_ranges; i++)
		if (map(i * SPACING, nr_ranges > 1 ? PAGE : 8u << 20,
			PAGE * (1 + 2 * i)))
			return -1;
	return 0;
}

static int tear_down(void)
{
	int err = leap_ats_detach(b.view) || leap_ats_destroy(b.ats) ||
		leap_pollgroup_destroy(b.pg);

	leap_dmabuf_put(b.buf);
	return err;
}

/* A list of pages: in the one range at random, or each in another range. */
static void make_list(void)
{
	leap_le64 *list = leap_dmabuf_addr(b.buf);
	uint32_t i, range = rnd(b.nr_ranges);

	for (i = 0; i < PAGES; i++) {
		uint64_t gpa = b.nr_ranges > 1 ? range * SPACING :
			rnd(1000) * 2ull * PAGE + (i & 1) * PAGE;

		if (i)
			list[i - 1] = leap_to_le64(gpa);
		else
			b.prp1 = gpa;
		range = (range + 1 + rnd(b.nr_ranges / 2 + 1)) % b.nr_ranges;
	}
}

/* One PRP walk of 32 pages, over and over. */
static double run_prp(void)
{
	struct leap_pins pins = { 0 };
	uint64_t start, ns = 0;
	uint32_t i, j, nr = 0;
	uint16_t status;
	int err = 0;

	for (i = 0; i < commands / 100; i++) {
		make_list();
		start = bench_now_ns();
		for (j = 0; j < 100; j++) {
			err |= leap_ats_prp(b.view, (leap_gpa_t){ b.prp1 },
				(leap_gpa_t){ LIST }, PAGES * PAGE, PAGE,
				LEAP_PERM_WRITE, b.pieces, PAGES + 1, &nr,
				&pins, &status);
			leap_ats_release(b.view, &pins);
		}
		ns += bench_now_ns() - start;
	}
	return err || nr < PAGES / 2 ? -1 : (double)ns / (commands * PAGES);
}

/*
 * Single pages, each in another range: 4 KiB commands of one PRP. @empty: with
 * all caches emptied before each.
 */
static double run_single(int empty)
{
	struct leap_pins pins = { 0 };
	uint64_t gpa[64], start, ns = 0;
	uint32_t i, j, nr = 0;
	uint16_t status;
	int err = 0;

	for (i = 0; i < commands / 2; i++) {
		for (j = 0; j < 64; j++)
			gpa[j] = b.nr_ranges > 1 ? rnd(b.nr_ranges) * SPACING :
				rnd(1000) * 2ull * PAGE;
		start = bench_now_ns();
		for (j = 0; j < 64; j++) {
			if (empty)
				leap__ats_forget(b.view);
			err |= leap_ats_prp(b.view, (leap_gpa_t){ gpa[j] },
				(leap_gpa_t){ 0 }, PAGE, PAGE, LEAP_PERM_WRITE,
				b.pieces, PAGES, &nr, &pins, &status);
			leap_ats_release(b.view, &pins);
		}
		ns += bench_now_ns() - start;
	}
	return err ? -1 : (double)ns / (commands / 2 * 64);
}

struct row {
	const char *what;
	uint32_t nr_ranges, iotlb;
	int prp;	/* a list, or single pages */
	double aim;
};

static const struct row rows[] = {
	{ "hit, list", 1, 64, 1, 5 },
	{ "hit, single", 1, 64, 0, 0 },
	{ "tlb, single", 16, 4096, 0, 0 },
	{ "miss", 1, 1, 0, 40 },
	{ "miss", 16, 1, 0, 40 },
	{ "miss", 256, 1, 0, 40 },
};

static int one(const struct row *row, int json)
{
	struct leap_ats_stats st = { sizeof(st) };
	double ns[RUNS], median;
	uint32_t r;

	if (set_up(row->nr_ranges, row->iotlb))
		return -1;
	for (r = 0; r < runs; r++) {
		ns[r] = row->prp ? run_prp() : run_single(row->iotlb == 1);
		if (ns[r] < 0)
			return -1;
	}
	median = bench_median(ns, runs);
	leap_ats_view_stats(b.view, &st);
	if (json)
		printf("%s\n{\"what\":\"%s\",\"ranges\":%" PRIu32
		       ",\"min\":%.2f,\"median\":%.2f,\"max\":%.2f,"
		       "\"misses\":%.3f,\"aim\":%.0f}", row == rows ? "" : ",",
		       row->what, row->nr_ranges, ns[0], median, ns[runs - 1],
		       (double)st.misses / (double)(st.hits + st.misses),
		       row->aim);
	else
		printf("%-12s %6" PRIu32 " %8.2f %9.2f %8.2f %8.3f %5.0f\n",
		       row->what, row->nr_ranges, ns[0], median, ns[runs - 1],
		       (double)st.misses / (double)(st.hits + st.misses),
		       row->aim);
	return tear_down();
}

int main(int argc, char **argv)
{
	int json = bench_flag(argc, argv, "--json");
	uint32_t i;

	if (bench_flag(argc, argv, "--smoke")) {
		commands = 1000;
		runs = 3;
	}
	if (json)
		printf("{\"bench\":\"ats\",\"unit\":\"ns/page\",\"results\":[");
	else
		printf("%-12s %6s %8s %9s %8s %8s %5s\n", "page", "ranges",
		       "min ns", "median ns", "max ns", "misses", "aim");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (one(&rows[i], json)) {
			fprintf(stderr, "bench-ats: %s\n", leap_last_error());
			return 1;
		}
	if (json)
		printf("]}\n");
	return 0;
}
