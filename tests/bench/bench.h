/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench.h - clocks, latencies and medians that the benchmarks share
 */
#ifndef LEAP_TESTS_BENCH_H
#define LEAP_TESTS_BENCH_H

#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BENCH_HIST 1024

/* Latencies: 16 steps per power of two. */
struct bench_hist {
	uint64_t n[BENCH_HIST];
	uint64_t all;
};

static inline uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Is @flag among the arguments? */
static inline int bench_flag(int argc, char **argv, const char *flag)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], flag))
			return 1;
	return 0;
}

static inline void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % (int)sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static inline void bench_hist_add(struct bench_hist *h, uint64_t ns)
{
	unsigned int low = ns < 16 ? 0 :
			   59u - (unsigned int)__builtin_clzll(ns);
	unsigned int i = low * 16 + (unsigned int)((ns >> low) & 15);

	h->n[i < BENCH_HIST ? i : BENCH_HIST - 1]++;
	h->all++;
}

/* Nanoseconds that @part of all took at most. */
static inline double bench_hist_at(const struct bench_hist *h, double part)
{
	uint64_t want = (uint64_t)((double)h->all * part), sum = 0;
	unsigned int i;

	for (i = 0; i < BENCH_HIST; i++) {
		sum += h->n[i];
		if (sum > want)
			break;
	}
	return (double)((uint64_t)(16 + i % 16) << (i / 16));
}

static inline int bench_by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Sorts @v: its median; v[0] and v[n - 1] are the ends. */
static inline double bench_median(double *v, unsigned int n)
{
	qsort(v, n, sizeof(*v), bench_by_value);
	return n ? v[n / 2] : 0;
}

#endif
