/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a target costs when it is not flat out: processor time of its thread per
 * command over NVMe/TCP at 25, 50 and 100 % of the rate that it can serve, once
 * with a thread that sleeps when idle and once with one that always polls.
 *
 *	bench-load [--json] [--smoke]
 *
 * 4 KiB reads of a null namespace, at most 32 out, host and target on a core
 * each. The full rate is measured first, with the polling target; the host then
 * sends at a fixed pace and never more than is due.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/leapio.h>

#include "bench.h"
#include "net.h"

#define NQN	"nqn.2014-08.org.example:bench"
#define QD	32u

struct target {
	pthread_t thread;
	_Atomic int ready, stop;
	int64_t spin_ns;
	char url[256];
};

static struct {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct leap_req reqs[QD], *idle[QD];
	struct leap_piece pieces[QD];
	uint64_t due_ns[QD];		/* when it should have been sent */
	struct bench_hist hist;
	uint32_t nr_idle, failed;
	uint64_t sent, now;
} h;

static char data[QD][4096];

static void die(const char *what)
{
	fprintf(stderr, "bench-load: %s: %s\n", what, leap_last_error());
	exit(1);
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void *serve(void *arg)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lopts = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts nopts = LEAP_NS_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_subsystem *ss;
	struct leap_pollgroup *pg;
	struct leap_target *t;
	struct target *target = arg;
	int gone = 0;

	bench_pin(1);
	popts.spin_ns = target->spin_ns;
	sopts.nqn = NQN;
	sopts.allow_any_host = 1;
	lopts.url = "tcp://127.0.0.1:0";
	if (leap_pollgroup_create(&popts, &pg) ||
	    leap_target_create(pg, NULL, &t) ||
	    leap_subsystem_create(t, &sopts, &ss) ||
	    leap_bdev_open(pg, "null:16M[block=4096]", &nopts.bdev) ||
	    leap_ns_add(ss, &nopts, NULL, NULL) < 0 ||
	    leap_listener_create(t, &lopts, &listener))
		die("target");
	snprintf(target->url, sizeof(target->url), "%s/" NQN,
		 leap_listener_url(listener));
	atomic_store(&target->ready, 1);
	/* The timeout: nobody tells a sleeping thread to stop. */
	while (!atomic_load_explicit(&target->stop, memory_order_relaxed))
		leap_pollgroup_wait(pg, 10000000);
	leap_target_destroy(t, set_flag, &gone);
	while (!gone)
		leap_pollgroup_poll(pg, 0);
	leap_pollgroup_destroy(pg);
	return NULL;
}

static void io_done(struct leap_req *req)
{
	h.failed += leap_req_status(req) != 0;
	if (!h.now)
		h.now = bench_now_ns();
	bench_hist_add(&h.hist, h.now - h.due_ns[req - h.reqs]);
	h.idle[h.nr_idle++] = req;
}

static void host_open(const char *url)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	uint32_t i;

	memset(&h, 0, sizeof(h));
	opts.url = url;
	opts.depth = QD + 1;
	if (leap_pollgroup_create(NULL, &h.pg) ||
	    leap_host_connect(h.pg, &opts, &h.host))
		die("host");
	while (leap_host_state(h.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_poll(h.pg, 0);
	if (leap_host_state(h.host) != LEAP_HOST_LIVE)
		die("connect");
	for (i = 0; i < QD; i++) {
		h.pieces[i].addr = data[i];
		h.pieces[i].len_bytes = 4096;
		h.reqs[i].sqe.opc = LEAP_NVM_READ;
		h.reqs[i].sqe.nsid = leap_to_le32(1);
		h.reqs[i].pieces = &h.pieces[i];
		h.reqs[i].nr_pieces = 1;
		h.reqs[i].done = io_done;
		h.idle[h.nr_idle++] = &h.reqs[i];
	}
}

static void host_close(void)
{
	int closed = 0;

	leap_host_close(h.host, set_flag, &closed);
	while (!closed)
		leap_pollgroup_poll(h.pg, 0);
	leap_pollgroup_destroy(h.pg);
}

static uint64_t target_cpu(const struct target *t)
{
	struct timespec ts;
	clockid_t clock;

	if (pthread_getcpuclockid(t->thread, &clock) ||
	    clock_gettime(clock, &ts))
		die("clock of the target's thread");
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Commands for @ns nanoseconds, @rate a second, 0 = as many as go. */
static double drive(double rate, uint64_t ns)
{
	uint64_t start = bench_now_ns(), due = 0;
	struct leap_req *batch[QD];
	uint32_t n;

	h.sent = 0;
	memset(&h.hist, 0, sizeof(h.hist));
	do {
		h.now = bench_now_ns();
		if (rate > 0)
			due = (uint64_t)((double)(h.now - start) * rate / 1e9);
		for (n = 0; h.nr_idle && (rate <= 0 || h.sent < due); n++) {
			batch[n] = h.idle[--h.nr_idle];
			h.due_ns[batch[n] - h.reqs] = rate <= 0 ? h.now :
				start + (uint64_t)((double)h.sent * 1e9 / rate);
			h.sent++;
		}
		if (n && leap_host_submit(h.host, 1, batch, n) != (int)n)
			die("leap_host_submit");
		h.now = 0;
		leap_pollgroup_poll(h.pg, 0);
	} while (bench_now_ns() - start < ns);
	ns = bench_now_ns() - start;
	while (h.nr_idle < QD)
		leap_pollgroup_poll(h.pg, 0);
	return (double)h.sent * 1e9 / (double)ns;
}

static void target_start(struct target *t, int64_t spin_ns)
{
	memset(t, 0, sizeof(*t));
	t->spin_ns = spin_ns;
	if (pthread_create(&t->thread, NULL, serve, t))
		die("pthread_create");
	while (!atomic_load(&t->ready))
		sched_yield();
	host_open(t->url);
	drive(0, 20000000);
}

static void target_stop(struct target *t)
{
	host_close();
	atomic_store(&t->stop, 1);
	pthread_join(t->thread, NULL);
	if (h.failed)
		die("a command failed");
}

static void one(const struct target *t, const char *mode, double part,
		double full, uint64_t ns, int json, int first)
{
	uint64_t cpu = target_cpu(t);
	/* All that goes at 100 %: a pace just below would never be reached. */
	double rate = drive(part < 1 ? part * full : 0, ns);
	double each;

	cpu = target_cpu(t) - cpu;
	each = (double)cpu / (double)h.sent;
	if (json)
		printf("%s\n{\"mode\":\"%s\",\"load\":%.2f,\"iops\":%.0f,"
		       "\"target_cpu_ns\":%.0f,\"p50_us\":%.1f,"
		       "\"p99_us\":%.1f}", first ? "" : ",", mode, part, rate,
		       each, bench_hist_at(&h.hist, 0.5) / 1000,
		       bench_hist_at(&h.hist, 0.99) / 1000);
	else
		printf("%-9s %4.0f%% %9.0f %13.0f %8.1f %8.1f\n", mode,
		       part * 100, rate, each,
		       bench_hist_at(&h.hist, 0.5) / 1000,
		       bench_hist_at(&h.hist, 0.99) / 1000);
}

int main(int argc, char **argv)
{
	static const double parts[] = { 0.25, 0.5, 1 };
	static const struct {
		const char *name;
		int64_t spin_ns;
	} modes[] = { { "polling", INT64_MAX }, { "adaptive", 0 } };
	uint64_t ns = bench_flag(argc, argv, "--smoke") ? 200000000u :
							  2000000000u;
	int json = bench_flag(argc, argv, "--json");
	double full = 0;
	struct target t;
	unsigned int m, i;

	bench_net("bench-load");
	bench_pin(0);
	if (json)
		printf("{\"bench\":\"load\",\"results\":[");
	else
		printf("%-9s %5s %9s %13s %8s %8s\n", "target", "load", "iops",
		       "target cpu ns", "p50 us", "p99 us");
	for (m = 0; m < 2; m++) {
		target_start(&t, modes[m].spin_ns);
		if (!m)
			full = drive(0, ns / 2);
		for (i = 0; i < 3; i++)
			one(&t, modes[m].name, parts[i], full, ns, json,
			    !m && !i);
		target_stop(&t);
	}
	if (json)
		printf("\n]}\n");
	return 0;
}
