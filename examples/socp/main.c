/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * socp - serves virtual NVMe drives: targets from a configuration
 *
 * Reads options and config file, starts what they say or nothing, then runs
 * one loop for the home poll group, signals and the control socket. What it
 * does with drives is the library's.
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
#include <unistd.h>

#include "config.h"
#include "examples/common/control.h"
#include "examples/common/loop.h"
#include "lend.h"
#include "methods.h"
#include "runtime.h"

#define DRAIN_MS 5000u

struct program {
	struct watch signals;
	struct loop loop;
	struct config config;
	struct runtime rt;
	struct control control;
	struct lend lend;
	int stopping;
};

static const char help[] =
"usage: socp [OPTION...]\n"
"Serves virtual NVMe drives. Options may stand in a JSON file, too.\n"
"\n"
"  --config FILE         read this configuration\n"
"  --listen URL[,advertise=HOST:PORT][,mode=OCTAL][,owner=USER[:GROUP]][,srq=N]\n"
"                        tcp://127.0.0.1:4420, tcp://[::1]:0,\n"
"                        rdma://10.0.0.1:4420, shm:/PATH,\n"
"                        vfio-user:/PATH/NQN; mode and owner of a socket;\n"
"                        receives that the I/O queues of rdma share\n"
"  --vfio-user PATH[,mode=OCTAL][,owner=USER[:GROUP]][,trust_memory=on]\n"
"              [,irq=msix|msi|intx]\n"
"                        a drive for one virtual machine, of the only subsystem\n"
"  --subsystem NQN[,serial=TEXT][,model=TEXT]\n"
"  --ns [nsid=N,][block_bytes=N,][uuid=U,][read_only=on,]stack=STACK\n"
"                        a namespace of the last --subsystem\n"
"  --host NQN            a host that the last --subsystem lets in\n"
"                        (none given: any host)\n"
"  --control PATH        control socket, for leapctl\n"
"  --agent PATH          serve the drives of the leap-hostd at this socket\n"
"  --standby             even while another socp does: wait for its end, or\n"
"                        for leapctl handoff\n"
"  --threads N           I/O threads beside the first one (default 0)\n"
"  --spin-us N           how long to poll before sleeping (default 50)\n"
"  --log-level LEVEL     error, warn, info or debug (default warn)\n"
"  --check-config        check options, open stacks, listen on nothing, end\n"
"  --layers              what stacks are made of, with the options of each\n"
"  --help, --version\n"
"\n"
"Exit: 0 told to by a signal, or checked; 1 it could not start; 2 usage.\n"
"\n"
"  socp --listen tcp://127.0.0.1:4420 --subsystem nqn.2024-01.io.x:disk \\\n"
"       --ns stack=memory:64M --control /tmp/socp.sock\n";

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "listen", required_argument, NULL, 'c' },
	{ "vfio-user", required_argument, NULL, 'c' },
	{ "subsystem", required_argument, NULL, 'c' },
	{ "ns", required_argument, NULL, 'c' },
	{ "host", required_argument, NULL, 'c' },
	{ "control", required_argument, NULL, 'c' },
	{ "agent", required_argument, NULL, 'c' },
	{ "standby", no_argument, NULL, 'c' },
	{ "threads", required_argument, NULL, 'c' },
	{ "spin-us", required_argument, NULL, 'c' },
	{ "log-level", required_argument, NULL, 'c' },
	{ "check-config", no_argument, NULL, 'k' },
	{ "layers", no_argument, NULL, 'l' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'v' },
	{ NULL, 0, NULL, 0 },
};

static void print_layers(void)
{
	const char *const *type;
	const char *line, *end;

	for (type = leap_bdev_types(); *type; type++) {
		printf("%s\n", *type);
		for (line = leap_bdev_help(*type); *line; line = end) {
			end = strchrnul(line, '\n');
			printf("    %.*s\n", (int)(end - line), line);
			end += *end == '\n';
		}
	}
}

/* Exits for --help, --layers and --version; 0, 1 failed, 2 usage. */
static int read_options(struct config *c, int argc, char **argv, int *check)
{
	int index, opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, &index)) != -1) {
		switch (opt) {
		case 'c':
			rc = config_option(c, options[index].name, optarg);
			if (!rc)
				break;
			fprintf(stderr, "socp: %s\n", *c->error ? c->error :
				strerror(-rc));
			return 1;
		case 'k':
			*check = 1;
			break;
		case 'h':
			fputs(help, stdout);
			exit(0);
		case 'l':
			print_layers();
			exit(0);
		case 'v':
			printf("socp %s\n", leap_version());
			exit(0);
		default:
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "socp: unexpected argument \"%s\"\n",
			argv[optind]);
		return 2;
	}
	rc = config_finish(c);
	if (rc)
		fprintf(stderr, "socp: %s\n", c->error);
	return rc ? 1 : 0;
}

static void target_gone(void *arg)
{
	struct program *p = arg;

	p->rt.target = NULL;
	p->loop.quit = 1;
}

static void drained(void *arg)
{
	struct program *p = arg;

	control_stop(&p->control);
	leap_target_destroy(p->rt.target, target_gone, p);
}

static void given_back(void *arg)
{
	struct program *p = arg;

	leap_target_drain(p->rt.target, DRAIN_MS, drained, p);
}

static void stop(struct program *p)
{
	p->stopping = 1;
	if (p->lend.lr)
		lend_stop(&p->lend, given_back, p);
	else
		given_back(p);
}

/* The agent has another socp: nothing to do here. */
static void refused(void *arg)
{
	struct program *p = arg;

	if (!p->stopping)
		stop(p);
}

static void signalled(struct watch *watch, uint32_t events)
{
	struct program *p = (struct program *)watch;
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (p->stopping)
		_exit(1);
	stop(p);
}

/* Before any thread is made, so that only the loop gets signals. */
static int catch_signals(struct program *p)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	p->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	p->signals.ready = signalled;
	return p->signals.fd < 0 ? -errno : 0;
}

/* Every connection is a descriptor: take what an ordinary user may have. */
static void raise_limits(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

static void say_ready(const struct program *p)
{
	struct leap_listener *l = NULL;

	printf("socp: listening on");
	while ((l = leap_listener_next(p->rt.target, l)))
		printf(" %s", leap_listener_url(l));
	if (p->config.control)
		printf("%s control %s", leap_listener_next(p->rt.target, NULL)
		       ? "," : "", p->config.control);
	if (p->config.agent)
		printf(" agent %s", p->config.agent);
	printf("\n");
	fflush(stdout);
}

static int start(struct program *p, int check)
{
	struct config *c = &p->config;
	int rc = runtime_start(&p->rt, c, check);

	if (rc) {
		fprintf(stderr, "socp: %s\n", c->error);
		return rc;
	}
	rc = loop_init(&p->loop, p->rt.home, (uint64_t)c->spin_us * 1000);
	if (!rc)
		rc = loop_add(&p->loop, &p->signals, EPOLLIN);
	if (!rc && c->control && !check) {
		rc = control_start(&p->control, &p->loop, c->control,
				   socp_methods, &p->rt);
		if (rc)
			fprintf(stderr, "socp: control socket %s: %s\n",
				c->control, strerror(-rc));
	}
	if (!rc && c->agent && !check) {
		rc = lend_start(&p->lend, &p->rt, c, refused, p);
		if (rc)
			fprintf(stderr, "socp: --agent: %s\n",
				leap_last_error());
	}
	if (rc || check) {
		runtime_destroy_target(&p->rt);
		loop_fini(&p->loop);
		runtime_stop(&p->rt);
	}
	return rc;
}

int main(int argc, char **argv)
{
	static struct program p;
	int check = 0;
	int rc;

	if (config_init(&p.config))
		return 1;
	rc = read_options(&p.config, argc, argv, &check);
	if (rc) {
		config_free(&p.config);
		return rc;
	}
	raise_limits();
	rc = catch_signals(&p);
	if (!rc)
		rc = start(&p, check);
	if (!rc && check)
		printf("socp: the configuration is good\n");
	if (!rc && !check) {
		say_ready(&p);
		loop_run(&p.loop);
		loop_fini(&p.loop);
		runtime_stop(&p.rt);
	}
	config_free(&p.config);
	return rc || p.lend.failed ? 1 : 0;
}
