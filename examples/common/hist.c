/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hist.c - reads percentiles out of the histograms that the library keeps
 *
 * A layer counts latencies in buckets of powers of two; a person wants p50 and
 * p99. The answer is as exact as the buckets: within a factor of two, and
 * usually much nearer.
 */
#include "hist.h"

uint64_t hist_percentile(const uint64_t *hist, unsigned int nr,
			 unsigned int per_mille)
{
	uint64_t total = 0;
	uint64_t seen = 0;
	double rank;
	double part;
	unsigned int i;

	for (i = 0; i < nr; i++)
		total += hist[i];
	if (!total)
		return 0;
	rank = (double)total * per_mille / 1000;
	for (i = 0; i < nr; i++) {
		if (hist[i] && (double)(seen + hist[i]) >= rank)
			break;
		seen += hist[i];
	}
	if (i == nr)
		return UINT64_MAX;
	part = (rank - (double)seen) / (double)hist[i];
	return (uint64_t)((double)(1ULL << i) * (1 + part));
}
