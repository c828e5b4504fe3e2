/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leap-hostd - owns the drives of virtual machines, whoever serves them
 *
 * Has the hypervisors' sockets, the guests' memory and everything else that
 * must not be lost; socp --agent attaches to it and serves the I/O, or, where
 * it cannot reach that memory, is relayed each command. Boring on purpose: it
 * opens no stack but relays and is not restarted when socp is. What it does
 * with drives is the library's.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "hostd.h"

static const char help[] =
"usage: leap-hostd [--listen SOCKET] [--lend URL=PATH...] [OPTION...]\n"
"       leap-hostd --subsystem NQN --ns stack=relay:URL --vfio-user PATH=NQN\n"
"       leap-hostd devices list|bind|release ...\n"
"Owns the drives of virtual machines; socp --agent SOCKET serves their I/O and\n"
"may be killed, upgraded or replaced meanwhile. Options may stand in a JSON\n"
"file, too.\n"
"\n"
"  --listen SOCKET       where socp attaches\n"
"  --vfio-user PATH=NQN[,mode=OCTAL][,owner=USER[:GROUP]][,trust_memory=on]\n"
"              [,irq=msix|msi|intx]\n"
"                        a drive for a hypervisor\n"
"  --lend URL=PATH[,mode=OCTAL][,owner=USER[:GROUP]][,queues=N][,kill=on]\n"
"                        own the device at pcie:ADDRESS/NQN or another URL of\n"
"                        registers; queue pairs of it are lent at PATH\n"
"                        (relay:lent:PATH/NQN)\n"
"  --subsystem NQN[,serial=TEXT][,model=TEXT]\n"
"                        what a drive says of itself; made without it, too\n"
"  --ns [nsid=N,][uuid=U,][read_only=on,]stack=relay:URL[nsid=N,...]\n"
"                        a namespace of the last --subsystem, which is then\n"
"                        served here, by a socp that shares no memory with us\n"
"  --config FILE         read this configuration\n"
"  --control PATH        control socket, for leapctl status, handoff, inspect\n"
"  --fence-ms N          how long a reset or an unmap may take when socp does\n"
"                        not answer (default 2000)\n"
"  --keepalive-ms N      how often socp is asked whether it lives (10000)\n"
"  --no-runtime-ms N     without socp guests wait so long, then their drives\n"
"                        fail (default 0: they wait for ever)\n"
"  --spin-us N           how long to poll before sleeping (default 50)\n"
"  --log-level LEVEL     error, warn, info or debug (default warn)\n"
"  --help, --version\n"
"\n"
"Exit: 0 told to by a signal; 1 it could not start; 2 usage.\n"
"\n"
"At SIGUSR2 or leapctl upgrade it starts its own file again, perhaps a newer\n"
"one, and goes on with the drives: their guests notice a short pause.\n"
"\n"
"  leap-hostd --listen /run/leap.sock --control /run/hostd.sock \\\n"
"             --vfio-user /run/vm1.sock=nqn.2024-01.io.x:vm1\n"
"  socp --agent /run/leap.sock --config /etc/vm1.json\n";

static const struct option options[] = {
	{ "listen", required_argument, NULL, 'a' },
	{ "vfio-user", required_argument, NULL, 'd' },
	{ "lend", required_argument, NULL, 'l' },
	{ "subsystem", required_argument, NULL, 'c' },
	{ "ns", required_argument, NULL, 'c' },
	{ "config", required_argument, NULL, 'c' },
	{ "control", required_argument, NULL, 'c' },
	{ "fence-ms", required_argument, NULL, 'c' },
	{ "keepalive-ms", required_argument, NULL, 'c' },
	{ "no-runtime-ms", required_argument, NULL, 'c' },
	{ "spin-us", required_argument, NULL, 'c' },
	{ "log-level", required_argument, NULL, 'c' },
	{ "restore", required_argument, NULL, 'r' },	/* upgrade.c's */
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'v' },
	{ NULL, 0, NULL, 0 },
};

/* PATH=NQN,rest: a listener "vfio-user:PATH/NQN,rest". */
static int drive_option(struct config *c, const char *value)
{
	const char *eq = strstr(value, "=nqn.");
	char *text;
	int rc;

	if (!eq || eq == value) {
		snprintf(c->error, sizeof(c->error),
			 "--vfio-user: \"%.128s\": expected PATH=NQN", value);
		return -EINVAL;
	}
	text = malloc(strlen(value) + sizeof("vfio-user:"));
	if (!text)
		return -ENOMEM;
	sprintf(text, "vfio-user:%.*s/%s", (int)(eq - value), value, eq + 1);
	rc = config_option(c, "listen", text);
	free(text);
	return rc;
}

/* URL=PATH,rest: paths begin with a slash, and queries URLs have none. */
static int lend_option(struct config *c, const char *value)
{
	const char *eq = strstr(value, "=/");
	char *text;
	int rc;

	if (!eq || eq == value) {
		snprintf(c->error, sizeof(c->error),
			 "--lend: \"%.128s\": expected URL=/PATH", value);
		return -EINVAL;
	}
	text = malloc(strlen(value) + sizeof(",url="));
	if (!text)
		return -ENOMEM;
	sprintf(text, "%s,url=%.*s", eq + 1, (int)(eq - value), value);
	rc = config_option(c, "lend", text);
	free(text);
	return rc;
}

static int one_option(struct config *c, int opt, const char *name,
		      const char *value)
{
	switch (opt) {
	case 'a':
		return config_option(c, "agent", value);
	case 'd':
		return drive_option(c, value);
	case 'l':
		return lend_option(c, value);
	default:
		return config_option(c, name, value);
	}
}

/* Does it serve drives itself? */
static int has_own(const struct config *c)
{
	const json_t *one;
	size_t i;

	json_array_foreach(c->subsystems, i, one)
		if (json_array_size(json_object_get(one, "namespaces")))
			return 1;
	return 0;
}

/* Exits for --help and --version; 0, 1 failed, 2 usage. */
static int read_options(struct hostd *h, int argc, char **argv)
{
	struct config *c = &h->config;
	int index, opt, rc = 0;

	while ((opt = getopt_long(argc, argv, "", options, &index)) != -1) {
		switch (opt) {
		case 'h':
			fputs(help, stdout);
			exit(0);
		case 'v':
			printf("leap-hostd %s\n", leap_version());
			exit(0);
		case '?':
			return 2;
		}
		if (opt == 'r')
			rc = hostd_restore_option(h, optarg);
		else
			rc = one_option(c, opt, options[index].name, optarg);
		if (rc) {
			fprintf(stderr, "leap-hostd: %s\n", *c->error ?
				c->error : strerror(-rc));
			return 1;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "leap-hostd: unexpected argument \"%s\"\n",
			argv[optind]);
		return 2;
	}
	rc = config_finish(c);
	if (!rc && !c->agent && !json_array_size(c->lends) && !has_own(c)) {
		rc = -EINVAL;
		snprintf(c->error, sizeof(c->error),
			 "nothing to do: expected --listen SOCKET, --lend, a "
			 "subsystem with --ns, or a --config with one");
	}
	if (rc)
		fprintf(stderr, "leap-hostd: %s\n", c->error);
	return rc ? 1 : 0;
}

/* ---- start ---- */

static void log_line(void *arg, enum leap_log_level level, const char *text)
{
	static const char *const names[] = { "error", "warn", "info",
					     "debug" };

	if (level <= *(const uint32_t *)arg)
		fprintf(stderr, "leap-hostd: %s: %s\n", names[level], text);
}

static int add_subsystem(struct hostd *h, const struct config_subsystem *s)
{
	struct leap_subsystem_opts opts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_subsystem *ss;

	opts.nqn = s->nqn;
	opts.serial = s->serial;
	opts.model = s->model;
	opts.allow_any_host = 1;
	return leap_subsystem_create(h->target, &opts, &ss);
}

static int start_subsystems(struct hostd *h)
{
	struct config *c = &h->config;
	struct config_subsystem s;
	struct field_error err;
	const json_t *one;
	size_t i;
	int rc;

	json_array_foreach(c->subsystems, i, one) {
		memset(&s, 0, sizeof(s));
		rc = fields_read(one, config_subsystem_fields, &s, &err);
		if (!rc && json_array_size(s.namespaces)) {
			rc = hostd_relay_add(h, &s, (int)i);
			if (rc)
				return rc;
			continue;
		}
		if (!rc)
			rc = add_subsystem(h, &s);
		if (rc) {
			config_blame_ns(c, (int)i, -1, leap_last_error());
			return rc;
		}
	}
	return 0;
}

/* Whose drive it is; of the agent's where nobody has
 * described its subsystem. */
static int find_target(struct hostd *h, const char *url,
		       struct leap_target **out)
{
	const char *nqn = strrchr(url, '/');
	struct config_subsystem s = { .nqn = nqn ? nqn + 1 : "" };

	*out = h->own;
	if (h->own && leap_subsystem_find(h->own, s.nqn))
		return 0;
	*out = h->target;
	if (!h->config.agent)
		return -EINVAL;
	if (leap_subsystem_find(h->target, s.nqn))
		return 0;
	return add_subsystem(h, &s);
}

static int add_listener(struct hostd *h, const struct config_listener *l,
			const char **why)
{
	struct leap_listener_opts opts = LEAP_LISTENER_OPTS_INIT;
	struct leap_listener *out;
	struct leap_target *target;
	int rc;

	if (strncmp(l->url, "vfio-user:", 10)) {
		*why = "expected vfio-user:PATH/NQN: hosts connect to socp";
		return -EINVAL;
	}
	if (config_listener_opts(l, &opts, why))
		return -EINVAL;
	rc = find_target(h, l->url, &target);
	if (rc == -EINVAL && !h->config.agent) {
		*why = "expected --listen SOCKET, or a subsystem with --ns";
		return rc;
	}
	if (!rc && !h->trial)
		rc = leap_listener_create(target, &opts, &out);
	*why = leap_last_error();
	return rc;
}

static int start_listeners(struct hostd *h)
{
	struct config *c = &h->config;
	struct config_listener l;
	struct field_error err;
	const char *why = NULL;
	const json_t *one;
	size_t i;
	int rc;

	json_array_foreach(c->listeners, i, one) {
		memset(&l, 0, sizeof(l));
		rc = fields_read(one, config_listener_fields, &l, &err);
		why = err.text;
		if (!rc)
			rc = add_listener(h, &l, &why);
		if (rc) {
			config_blame_listener(c, (int)i, why);
			return rc;
		}
	}
	return 0;
}

static int start_agent(struct hostd *h)
{
	struct leap_target_opts topts = LEAP_TARGET_OPTS_INIT;
	struct leap_agent_opts aopts = LEAP_AGENT_OPTS_INIT;
	struct config *c = &h->config;
	int rc;

	topts.name = "leap-hostd";
	rc = leap_target_create(h->home, &topts, &h->target);
	if (rc || h->trial || !c->agent)
		goto out;
	aopts.path = c->agent;
	aopts.fence_ms = c->fence_ms;
	aopts.keepalive_ms = c->keepalive_ms;
	aopts.no_runtime_ms = c->no_runtime_ms;
	rc = leap_agent_create(h->target, &aopts, &h->agent);
out:
	if (rc)
		snprintf(c->error, sizeof(c->error), "%s", leap_last_error());
	return rc;
}

/* ---- the end ---- */

static void target_gone(void *arg)
{
	struct hostd *h = arg;

	h->target = NULL;
	h->loop.quit = 1;
}

static void stop(struct hostd *h)
{
	h->stopping = 1;
	control_stop(&h->control);
	hostd_relay_stop(h);
}

void hostd_relay_stopped(struct hostd *h)
{
	hostd_lend_stop(h);
}

void hostd_lend_stopped(struct hostd *h)
{
	leap_target_destroy(h->target, target_gone, h);
}

static void signalled(struct watch *watch, uint32_t events)
{
	struct hostd *h = (struct hostd *)watch;
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR2) {
		if (!h->stopping && hostd_upgrade_start(h))
			fprintf(stderr, "leap-hostd: upgrade: %s\n",
				hostd_upgrade_error(h));
		return;
	}
	if (h->stopping)
		_exit(1);
	stop(h);
}

/* Also after a start that failed half way. */
static void end(struct hostd *h)
{
	if (h->target && !h->stopping)
		stop(h);
	while (h->target)
		leap_pollgroup_wait(h->home, -1);
	leap_agent_destroy(h->agent);
	free(h->lendings);
	while (h->home && leap_pollgroup_destroy(h->home) == -EBUSY)
		leap_pollgroup_wait(h->home, -1);
}

static int catch_signals(struct hostd *h)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	h->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	h->signals.ready = signalled;
	return h->signals.fd < 0 ? -errno : 0;
}

static int start(struct hostd *h)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;
	struct config *c = &h->config;
	struct timespec ts;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	h->start_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	opts.name = "hostd";
	opts.spin_ns = c->spin_us ? (int64_t)c->spin_us * 1000 : -1;
	opts.log = log_line;
	opts.log_arg = &c->log_level;
	rc = leap_pollgroup_create(&opts, &h->home);
	if (!rc)
		rc = start_agent(h);
	if (!rc)
		rc = start_subsystems(h);
	if (!rc && h->restore_fd >= 0) {
		rc = leap_target_restore(h->target, h->restore_fd);
		if (rc)
			snprintf(c->error, sizeof(c->error), "%s",
				 leap_last_error());
	}
	if (!rc)
		rc = start_listeners(h);
	if (!rc)
		rc = leap_target_restore(h->target, -1);
	if (!rc && !h->trial)
		rc = hostd_lend_start(h);
	if (!rc)
		rc = loop_init(&h->loop, h->home, (uint64_t)c->spin_us * 1000);
	if (!rc)
		rc = loop_add(&h->loop, &h->signals, EPOLLIN);
	if (!rc && c->control && !h->trial) {
		rc = control_start(&h->control, &h->loop, c->control,
				   hostd_methods, h);
		if (rc)
			snprintf(c->error, sizeof(c->error),
				 "control socket %s: %s", c->control,
				 strerror(-rc));
	}
	if (rc)
		fprintf(stderr, "leap-hostd: %s\n", *c->error ? c->error :
			strerror(-rc));
	return rc;
}

static void say_ready(const struct hostd *h)
{
	struct leap_listener *l = NULL;

	if (h->agent)
		printf("leap-hostd: socp attaches at %s, drives",
		       h->config.agent);
	else
		printf("leap-hostd: %s", h->own ? "drives" : "only lends");
	while ((l = leap_listener_next(h->target, l)))
		printf(" %s", leap_listener_url(l));
	while (h->own && (l = leap_listener_next(h->own, l)))
		printf(" %s", leap_listener_url(l));
	if (h->config.control)
		printf(", control %s", h->config.control);
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct hostd h;
	struct rlimit lim;
	int rc;

	if (argc > 1 && !strcmp(argv[1], "devices"))
		return hostd_devices(argc - 1, argv + 1);
	if (config_init(&h.config))
		return 1;
	h.config.hostd = 1;
	hostd_upgrade_init(&h, argv);
	rc = read_options(&h, argc, argv);
	if (rc) {
		config_free(&h.config);
		return rc;
	}
	/* Every range of guest memory is a descriptor. */
	if (!getrlimit(RLIMIT_NOFILE, &lim)) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	rc = catch_signals(&h);
	if (!rc)
		rc = start(&h);
	if (!rc && !h.trial) {
		say_ready(&h);
		loop_run(&h.loop);
		while (h.upgrading && !h.stopping) {
			hostd_upgrade(&h);
			loop_run(&h.loop);
		}
	}
	if (!rc)
		loop_fini(&h.loop);
	end(&h);
	config_free(&h.config);
	return rc ? 1 : 0;
}
