/* SPDX-License-Identifier: BSD-3-Clause */
/* hist.h - percentiles of latency histograms with buckets of powers of two */
#ifndef EXAMPLES_HIST_H
#define EXAMPLES_HIST_H

#include <stdint.h>

/*
 * Bucket i counts 2^i <= ns < 2^(i+1). Within a bucket the values are taken to
 * be spread evenly. @per_mille: 500 = median, 999 = p99.9. 0 for none at all.
 */
uint64_t hist_percentile(const uint64_t *hist, unsigned int nr,
			 unsigned int per_mille);

#endif
