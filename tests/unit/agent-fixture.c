/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent-fixture.c - see agent-fixture.h
 */
#include "agent-fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t af_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int af_lives(struct unit_lived *lived, uint64_t ms)
{
	return unit_lived_ns(lived, af_ms() * 1000000) < ms * 1000000;
}

static unsigned int errors;

unsigned int af_errors(void)
{
	return errors;
}

static void log_line(void *arg, enum leap_log_level level, const char *text)
{
	errors += level == LEAP_LOG_ERROR;
	if (getenv("AF_LOG") || (level == LEAP_LOG_ERROR && getenv("AF_ERR")))
		fprintf(stderr, "# %s: %s\n", (const char *)arg, text);
}

static struct leap_pollgroup *make_group(const char *name)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup *pg;

	o.name = name;
	o.nr_cmds = 256;
	o.nr_bufs = 16;
	o.log = log_line;
	o.log_arg = (void *)(uintptr_t)name;
	if (leap_pollgroup_create(&o, &pg)) {
		fprintf(stderr, "%s\n", leap_last_error());
		abort();
	}
	return pg;
}

static struct leap_target *make_target(struct leap_pollgroup *pg)
{
	struct leap_target_opts o = LEAP_TARGET_OPTS_INIT;
	struct leap_target *t;

	o.max_io_queues = 8;
	if (leap_target_create(pg, &o, &t))
		abort();
	return t;
}

static struct leap_subsystem *make_subsystem(struct leap_target *t)
{
	struct leap_subsystem_opts o = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_subsystem *ss;

	o.nqn = AF_NQN;
	o.allow_any_host = 1;
	if (leap_subsystem_create(t, &o, &ss))
		abort();
	return ss;
}

/* ---- the agent ---- */

void af_poll(void *arg)
{
	const struct timespec pause = { .tv_nsec = 20000 };
	struct af *f = arg;

	if (leap_pollgroup_poll(f->pg, 0) <= 0)
		nanosleep(&pause, NULL);
}

struct leap_agent_info af_info(struct af *f)
{
	struct leap_agent_info i = { .size = sizeof(i) };

	assert_int_equal(leap_agent_info(f->agent, &i), 0);
	return i;
}

int af_served(struct af *f)
{
	return af_info(f).state == LEAP_AGENT_SERVED;
}

int af_none(struct af *f)
{
	return af_info(f).state == LEAP_AGENT_NONE;
}

uint64_t af_until(struct af *f, int (*done)(struct af *f), uint64_t ms)
{
	struct unit_lived lived = { 0 };
	uint64_t from = af_ms();

	while (!done(f)) {
		af_poll(f);
		if (!af_lives(&lived, ms))
			fail_msg("state %u after %llu ms: %s", af_info(f).state,
				 (unsigned long long)ms, af_info(f).error);
	}
	return af_ms() - from;
}

static void changed(void *arg)
{
	((struct af *)arg)->changes++;
}

static void fence(void *arg, int64_t pid)
{
	struct af *f = arg;

	f->fences++;
	assert_int_equal(pid, getpid());
	if (f->self_fence)
		leap_agent_fenced(f->agent, 0);
}

static void on_raise(void *arg, uint32_t vector)
{
	(void)vector;
	((struct af *)arg)->raised++;
}

struct af *af_new(int own_fence)
{
	return af_new_bound(own_fence, 0);
}

struct af *af_new_bound(int own_fence, uint32_t no_runtime_ms)
{
	struct leap_agent_opts ao = LEAP_AGENT_OPTS_INIT;
	struct leap_vdev_opts vo = LEAP_VDEV_OPTS_INIT;
	struct af *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/leap-agent-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->sock, sizeof(f->sock), "%s/agent.sock", f->dir);
	snprintf(f->file, sizeof(f->file), "%s/disk", f->dir);
	snprintf(f->stack, sizeof(f->stack), "file:%s[create=%uk]", f->file,
		 AF_BLOCKS / 2);
	f->pg = make_group("agent");
	f->target = make_target(f->pg);
	f->ss = make_subsystem(f->target);
	ao.path = f->sock;
	ao.changed = changed;
	ao.fence = own_fence ? fence : NULL;
	ao.arg = f;
	ao.no_runtime_ms = no_runtime_ms;
	f->self_fence = 1;
	assert_int_equal(leap_agent_create(f->target, &ao, &f->agent), 0);
	vo.raise = on_raise;
	vo.arg = f;
	assert_int_equal(leap_vdev_create(f->ss, &vo, &f->v), 0);
	f->g = gd_new(f->v, AF_RAM, af_poll, f);
	return f;
}

void af_free(struct af *f)
{
	struct unit_lived lived = { 0 };
	int gone = 0, destroyed = 0;

	leap_vdev_destroy(f->v, set_flag, &gone);
	while (!gone) {
		af_poll(f);
		assert_true(af_lives(&lived, 10000));
	}
	gd_free(f->g);
	leap_target_destroy(f->target, set_flag, &destroyed);
	while (!destroyed) {
		af_poll(f);
		assert_true(af_lives(&lived, 20000));
	}
	assert_int_equal(leap_agent_destroy(f->agent), 0);
	while (leap_pollgroup_destroy(f->pg)) {
		af_poll(f);
		assert_true(af_lives(&lived, 30000));
	}
	unlink(f->file);
	unlink(f->sock);
	rmdir(f->dir);
	free(f);
}

/* ---- processes ---- */

pid_t af_start(struct af *f, int threads, int standby)
{
	char nr[16], sb[16];
	pid_t pid;

	snprintf(nr, sizeof(nr), "%d", threads);
	snprintf(sb, sizeof(sb), "%d", standby);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		char *argv[] = { NULL, "test-agent", "--runtime", f->sock,
				 f->stack, nr, sb, NULL };

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		unit_exec_self(argv);
	}
	f->pid = pid;
	return pid;
}

void af_kill(struct af *f, pid_t pid, int sig)
{
	int status;

	(void)f;
	kill(pid, sig);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

struct child {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_runtime *rt;
	const char *stack;
	struct leap_pollgroup *io[8];
};

static void added(int err, void *arg)
{
	struct child *c = arg;

	leap_runtime_ready(c->rt, err);
}

static void child_go(void *arg)
{
	struct leap_ns_opts o = LEAP_NS_OPTS_INIT;
	struct child *c = arg;
	int err;

	if (leap_ns_bdev(c->ss, 1)) {
		leap_runtime_ready(c->rt, 0);
		return;
	}
	err = leap_bdev_open(c->pg, c->stack, &o.bdev);
	if (!err) {
		o.nsid = 1;
		err = leap_ns_add(c->ss, &o, added, c);
		if (err < 0)
			leap_bdev_close(o.bdev);
	}
	if (err < 0)
		leap_runtime_ready(c->rt, err);
}

static void removed(int err, void *arg)
{
	struct child *c = arg;

	(void)err;
	leap_runtime_stopped(c->rt);
}

static void child_stop(void *arg)
{
	struct child *c = arg;

	if (leap_ns_remove(c->ss, 1, removed, c))
		leap_runtime_stopped(c->rt);
}

static void child_lost(void *arg, int err)
{
	(void)arg;
	if (err == -EBUSY)
		_exit(16);
}

struct io_thread {
	struct child *c;
	int i;
	int ready;
};

static void *io_main(void *arg)
{
	struct io_thread *t = arg;
	struct leap_pollgroup *pg = make_group("io");

	t->c->io[t->i] = pg;
	__atomic_store_n(&t->ready, 1, __ATOMIC_RELEASE);
	for (;;)
		leap_pollgroup_wait(pg, -1);
	return NULL;
}

static void start_threads(struct child *c, int n)
{
	static struct io_thread t[8];
	pthread_t thread;
	int i;

	for (i = 0; i < n && i < 8; i++) {
		t[i] = (struct io_thread){ c, i, 0 };
		if (pthread_create(&thread, NULL, io_main, &t[i]))
			abort();
		while (!__atomic_load_n(&t[i].ready, __ATOMIC_ACQUIRE))
			unit_pause();
		if (leap_target_add_group(c->target, c->io[i]))
			abort();
	}
}

void af_maybe_runtime(int argc, char **argv)
{
	struct leap_runtime_opts o = LEAP_RUNTIME_OPTS_INIT;
	static struct child c;

	if (argc != 6 || strcmp(argv[1], "--runtime"))
		return;
	c.stack = argv[3];
	c.pg = make_group("runtime");
	c.target = make_target(c.pg);
	start_threads(&c, atoi(argv[4]));
	c.ss = make_subsystem(c.target);
	o.agent = argv[2];
	o.standby = (uint32_t)atoi(argv[5]);
	o.retry_ms = 5;
	o.go = child_go;
	o.stop = child_stop;
	o.lost = child_lost;
	o.arg = &c;
	if (leap_runtime_create(c.target, &o, &c.rt))
		_exit(1);
	for (;;)
		leap_pollgroup_wait(c.pg, -1);
}
