/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Latency histograms, and the result as text and as JSON.
 */
#include "perf.h"

#include <string.h>

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int top;

	if (ns < HIST_SUB)
		return (unsigned int)ns;
	top = 63 - (unsigned int)__builtin_clzll(ns);
	return (top - 4) * HIST_SUB +
	       (unsigned int)(ns >> (top - 5)) % HIST_SUB;
}

static uint64_t bucket_ns(unsigned int b)
{
	unsigned int top = b / HIST_SUB + 4;

	if (b < HIST_SUB)
		return b;
	return (uint64_t)(HIST_SUB + b % HIST_SUB) << (top - 5);
}

void hist_add(struct hist *h, uint64_t ns)
{
	if (!h->n || ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
	h->n++;
	h->sum += ns;
	h->bucket[bucket_of(ns)]++;
}

uint64_t hist_percentile(const struct hist *h, double p)
{
	uint64_t want = (uint64_t)((double)h->n * p / 100.0), seen = 0;
	unsigned int b;

	for (b = 0; b < HIST_BUCKETS; b++) {
		seen += h->bucket[b];
		if (seen > want)
			return bucket_ns(b) < h->max ? bucket_ns(b) : h->max;
	}
	return h->max;
}

static const struct {
	const char *text, *key;
	double p;
} points[] = {
	{ "p50", "p50", 50 }, { "p90", "p90", 90 }, { "p99", "p99", 99 },
	{ "p99.9", "p99_9", 99.9 }, { "p99.99", "p99_99", 99.99 },
};

#define NR_POINTS (sizeof(points) / sizeof(points[0]))

static void text_line(const char *op, const struct hist *h, uint64_t bytes,
		      double seconds)
{
	unsigned int i;

	if (!h->n)
		return;
	printf("%-6s %11.0f IOPS %9.1f MB/s  latency us: mean %.1f", op,
	       (double)h->n / seconds, (double)bytes / seconds / 1e6,
	       (double)h->sum / (double)h->n / 1e3);
	for (i = 0; i < NR_POINTS; i++)
		printf(" %s %.1f", points[i].text,
		       (double)hist_percentile(h, points[i].p) / 1e3);
	printf(" max %.1f\n", (double)h->max / 1e3);
}

static void json_op(const char *op, const struct hist *h, uint64_t bytes,
		    double seconds)
{
	unsigned int i;

	printf("\"%s\":{\"commands\":%llu,\"bytes\":%llu,\"iops\":%.1f,"
	       "\"bytes_per_second\":%.1f,\"latency_ns\":{\"mean\":%.1f,"
	       "\"min\":%llu", op, (unsigned long long)h->n,
	       (unsigned long long)bytes, (double)h->n / seconds,
	       (double)bytes / seconds,
	       h->n ? (double)h->sum / (double)h->n : 0,
	       (unsigned long long)h->min);
	for (i = 0; i < NR_POINTS; i++)
		printf(",\"%s\":%llu", points[i].key, (unsigned long long)
		       hist_percentile(h, points[i].p));
	printf(",\"max\":%llu}}", (unsigned long long)h->max);
}

void report_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		if ((unsigned char)*s < 0x20)
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void report_json(const struct opts *o, const struct ns_info *ns,
			const struct verify *v, const struct result *r)
{
	int f;

	printf("{\"url\":");
	report_string(o->url);
	printf(",\"nsid\":%u,\"block_bytes\":%u,\"nr_blocks\":%llu,"
	       "\"depth\":%u,\"queues\":%u,\"seconds\":%.3f,",
	       ns->nsid, ns->block_bytes, (unsigned long long)ns->nr_blocks,
	       o->depth, o->queues, r->seconds);
	json_op("read", &r->read, r->read_bytes, r->seconds);
	putchar(',');
	json_op("write", &r->write, r->write_bytes, r->seconds);
	printf(",\"errors\":%llu,\"reconnects\":%llu,\"redriven\":%llu,"
	       "\"bounced\":%llu", (unsigned long long)r->errors,
	       (unsigned long long)r->reconnects,
	       (unsigned long long)r->redriven,
	       (unsigned long long)r->bounced);
	if (v || o->zoned) {
		printf(",\"verify\":{\"blocks\":%llu,\"bad\":%llu",
		       (unsigned long long)r->verified,
		       (unsigned long long)r->bad);
		for (f = FAULT_TORN; v && f < FAULT_NR; f++) {
			printf(",");
			report_string(verify_fault_name((enum fault)f));
			printf(":%llu", (unsigned long long)
			       verify_faults(v, (enum fault)f));
		}
		printf("}");
	}
	printf("}\n");
}

static void report_text(const struct opts *o, const struct verify *v,
			const struct result *r)
{
	int f;

	text_line("read", &r->read, r->read_bytes, r->seconds);
	text_line("write", &r->write, r->write_bytes, r->seconds);
	if (r->errors)
		printf("errors %llu, the last: %s\n",
		       (unsigned long long)r->errors,
		       leap_status_str(r->last_error));
	if (r->reconnects)
		printf("reconnects %llu, commands sent again %llu\n",
		       (unsigned long long)r->reconnects,
		       (unsigned long long)r->redriven);
	if (!v && !o->zoned)
		return;
	printf("verify: %llu blocks read, %llu bad",
	       (unsigned long long)r->verified, (unsigned long long)r->bad);
	for (f = FAULT_TORN; v && f < FAULT_NR; f++)
		if (verify_faults(v, (enum fault)f))
			printf(", %llu %s", (unsigned long long)
			       verify_faults(v, (enum fault)f),
			       verify_fault_name((enum fault)f));
	printf("\n");
}

void report(const struct opts *o, const struct ns_info *ns,
	    const struct verify *v, const struct result *r)
{
	if (o->json)
		report_json(o, ns, v, r);
	else
		report_text(o, v, r);
}
