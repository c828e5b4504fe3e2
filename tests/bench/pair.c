/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pair.c - see pair.h
 */
#define _GNU_SOURCE
#include "pair.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { SERVE, PING_PONG, END };

/* What the two processes share beside the queue pairs. */
struct shared {
	_Alignas(64) uint32_t ping;
	_Alignas(64) uint32_t pong;
	_Alignas(64) uint32_t mode;
	_Alignas(64) uint32_t ready;
	uint32_t agent_ready;
};

static struct shared *sh;
static const char *name;
static pid_t pid, agent_pid;

void pair_die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", name, what, leap_last_error());
	exit(1);
}

/* ---- the serving process ---- */

static void add_ns(struct leap_pollgroup *pg, struct leap_subsystem *ss,
		   const char *stack)
{
	struct leap_ns_opts opts = LEAP_NS_OPTS_INIT;

	if (leap_bdev_open(pg, stack, &opts.bdev) ||
	    leap_ns_add(ss, &opts, NULL, NULL) < 0)
		pair_die(stack);
}

static void answer_pings(void)
{
	uint32_t v, last = 0;

	while (__atomic_load_n(&sh->mode, __ATOMIC_RELAXED) == PING_PONG) {
		v = __atomic_load_n(&sh->ping, __ATOMIC_ACQUIRE);
		if (v == last)
			continue;
		last = v;
		__atomic_store_n(&sh->pong, v, __ATOMIC_RELEASE);
	}
}

static struct leap_subsystem *make_target(const struct pair_opts *opts,
					  struct leap_pollgroup **pg,
					  struct leap_target **target)
{
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_target_opts topts = LEAP_TARGET_OPTS_INIT;
	struct leap_subsystem *ss;

	topts.queue_depth = opts->queue_depth;
	sopts.nqn = PAIR_NQN;
	sopts.allow_any_host = 1;
	if (leap_pollgroup_create(NULL, pg) ||
	    leap_target_create(*pg, &topts, target) ||
	    leap_subsystem_create(*target, &sopts, &ss))
		pair_die("target");
	return ss;
}

static void listen_at(struct leap_target *target, const char *url)
{
	struct leap_listener_opts opts = LEAP_LISTENER_OPTS_INIT;
	struct leap_listener *listener;

	opts.url = url;
	if (leap_listener_create(target, &opts, &listener))
		pair_die("listener");
}

/* The stacks are open: two other ways to them share this one's. */
static void go(void *arg)
{
	leap_runtime_ready(*(struct leap_runtime **)arg, 0);
}

static void serve_agent(const struct pair_opts *opts,
			struct leap_pollgroup *pg, struct leap_target *target)
{
	struct leap_runtime_opts ropts = LEAP_RUNTIME_OPTS_INIT;
	struct leap_runtime_info info = { .size = sizeof(info) };
	static struct leap_runtime *rt;

	ropts.agent = opts->agent;
	ropts.go = go;
	ropts.arg = &rt;
	if (leap_runtime_create(target, &ropts, &rt))
		pair_die("runtime");
	while (!leap_runtime_info(rt, &info) && !info.active)
		leap_pollgroup_poll(pg, 0);
}

static void serve(const struct pair_opts *opts)
{
	struct leap_subsystem *ss;
	struct leap_target *target;
	struct leap_pollgroup *pg;
	uint32_t i, mode;

	/* It would spin for ever after a parent that was killed. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bench_pin(1);
	ss = make_target(opts, &pg, &target);
	add_ns(pg, ss, opts->ns[0]);
	add_ns(pg, ss, opts->ns[1]);
	for (i = 0; opts->urls[i]; i++)
		listen_at(target, opts->urls[i]);
	if (opts->agent)
		serve_agent(opts, pg, target);
	__atomic_store_n(&sh->ready, 1, __ATOMIC_RELEASE);
	while ((mode = __atomic_load_n(&sh->mode, __ATOMIC_RELAXED)) != END) {
		if (mode == PING_PONG)
			answer_pings();
		leap_pollgroup_poll(pg, 0);
	}
	_exit(0);
}

/* Has work at a drive's start only, and shares the first core for that. */
static void own(const struct pair_opts *opts)
{
	struct leap_agent_opts aopts = LEAP_AGENT_OPTS_INIT;
	struct leap_target *target;
	struct leap_pollgroup *pg;
	struct leap_agent *agent;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bench_pin(0);
	make_target(opts, &pg, &target);
	aopts.path = opts->agent;
	/* The other one spins, and answers in time or never. */
	aopts.keepalive_ms = UINT32_MAX;
	if (leap_agent_create(target, &aopts, &agent))
		pair_die("agent");
	listen_at(target, opts->agent_url);
	__atomic_store_n(&sh->agent_ready, 1, __ATOMIC_RELEASE);
	for (;;)
		leap_pollgroup_wait(pg, -1);
}

static void wait_for(const uint32_t *flag, pid_t process)
{
	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE))
		if (waitpid(process, NULL, WNOHANG))
			exit(1);
}

void pair_start(const struct pair_opts *opts)
{
	name = opts->name;
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	agent_pid = opts->agent ? fork() : 0;
	if (opts->agent && !agent_pid)
		own(opts);
	if (agent_pid)
		wait_for(&sh->agent_ready, agent_pid);
	pid = fork();
	if (!pid)
		serve(opts);
	wait_for(&sh->ready, pid);
	bench_pin(0);
}

void pair_end(void)
{
	__atomic_store_n(&sh->mode, END, __ATOMIC_RELEASE);
	waitpid(pid, NULL, 0);
	if (agent_pid > 0) {
		kill(agent_pid, SIGKILL);
		waitpid(agent_pid, NULL, 0);
	}
}

/* ---- the other one ---- */

double pair_line_ns(uint32_t n)
{
	uint64_t start;
	uint32_t i, base = sh->ping;

	__atomic_store_n(&sh->mode, PING_PONG, __ATOMIC_RELEASE);
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
	__atomic_store_n(&sh->mode, SERVE, __ATOMIC_RELEASE);
	return (double)start / n;
}

struct leap_host *pair_host(struct leap_pollgroup *pg,
			    const struct leap_host_opts *opts)
{
	struct leap_host *host;

	if (leap_host_connect(pg, opts, &host))
		pair_die(opts->url);
	while (leap_host_state(host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_poll(pg, 0);
	if (leap_host_state(host) != LEAP_HOST_LIVE)
		pair_die(opts->url);
	return host;
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

void pair_host_close(struct leap_pollgroup *pg, struct leap_host *host)
{
	int closed = 0;

	leap_host_close(host, set_flag, &closed);
	while (!closed)
		leap_pollgroup_poll(pg, 0);
}
