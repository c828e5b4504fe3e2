/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leap-perf - load and verify a drive over any transport of the library
 */
#include "perf.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

volatile int perf_stop;

static const char help[] =
"usage: leap-perf [OPTION...] URL\n"
"       leap-perf [OPTION...] --discover tcp://HOST:PORT\n"
"Loads a drive, and verifies what it holds.\n"
"\n"
"URL: tcp://HOST:PORT/NQN, rdma://HOST:PORT/NQN, shm:PATH/NQN,\n"
"     vfio-user:PATH/NQN, pcie:DDDD:BB:DD.F/NQN, lent:PATH/NQN, or\n"
"     loop://NAME/NQN with --stack\n"
"\n"
"  -m, --mix PERCENT     share of reads (default 100; --verify: 50)\n"
"  -s, --seq             sequential, not random\n"
"  -b, --bs SIZE[-SIZE]  bytes of a command, or a range (default 4k)\n"
"  -d, --depth N         commands out on each queue (default 32)\n"
"  -q, --queues N        I/O queues (default 1)\n"
"  -t, --time SECONDS    how long (default 10)\n"
"  -c, --count N         how many commands, instead of a time\n"
"  -r, --range SIZE      use only the first bytes (--verify: default 1g)\n"
"  -n, --nsid N          namespace (default: the first)\n"
"      --verify          patterns in what is written; check what is read, and\n"
"                        at the end read back all that was written\n"
"      --prp             behind registers: payload by PRPs, not SGLs\n"
"      --zoned MODE      fill zones by write or append, read them back, reset\n"
"                        them; they lose what was in them\n"
"      --misalign        buffers begin anywhere in a page, at multiples of 4\n"
"      --spin-us N       poll that long before sleeping; 0 = sleep at once\n"
"      --seed N          of addresses and patterns (default: the clock)\n"
"      --loss MS         give up that long after a lost connection (600000)\n"
"      --reconnect MS    wait between tries (1000)\n"
"      --timeout MS      give up on a drive behind registers whose commands\n"
"                        take longer (30000): abort, then reset\n"
"      --hostnqn NQN     who we are\n"
"      --digest          header and data digests\n"
"      --hdgst, --ddgst  only the one or the other\n"
"      --stack TEXT      loop://: the drive, as memory:64M\n"
"      --discover URL    print the discovery log\n"
"      --json            result, or discovery log, as JSON on stdout\n"
"      --quiet           no progress line\n"
"  -h, --help, --version\n"
"\n"
"Exit: 0 good, 1 commands failed, 2 usage, 3 wrong data, 4 no connection.\n";

enum {
	OPT_VERIFY = 256, OPT_SEED, OPT_LOSS, OPT_RECONNECT, OPT_HOSTNQN,
	OPT_DIGEST, OPT_HDGST, OPT_DDGST, OPT_STACK, OPT_DISCOVER, OPT_JSON,
	OPT_QUIET, OPT_MISALIGN, OPT_SPIN, OPT_PRP, OPT_ZONED, OPT_TIMEOUT,
	OPT_VERSION,
};

static const struct option long_opts[] = {
	{ "mix", 1, NULL, 'm' }, { "seq", 0, NULL, 's' },
	{ "bs", 1, NULL, 'b' }, { "depth", 1, NULL, 'd' },
	{ "queues", 1, NULL, 'q' }, { "time", 1, NULL, 't' },
	{ "count", 1, NULL, 'c' }, { "range", 1, NULL, 'r' },
	{ "nsid", 1, NULL, 'n' }, { "verify", 0, NULL, OPT_VERIFY },
	{ "seed", 1, NULL, OPT_SEED }, { "loss", 1, NULL, OPT_LOSS },
	{ "reconnect", 1, NULL, OPT_RECONNECT },
	{ "timeout", 1, NULL, OPT_TIMEOUT },
	{ "hostnqn", 1, NULL, OPT_HOSTNQN },
	{ "digest", 0, NULL, OPT_DIGEST }, { "hdgst", 0, NULL, OPT_HDGST },
	{ "ddgst", 0, NULL, OPT_DDGST }, { "stack", 1, NULL, OPT_STACK },
	{ "discover", 1, NULL, OPT_DISCOVER }, { "json", 0, NULL, OPT_JSON },
	{ "prp", 0, NULL, OPT_PRP }, { "zoned", 1, NULL, OPT_ZONED },
	{ "misalign", 0, NULL, OPT_MISALIGN }, { "spin-us", 1, NULL, OPT_SPIN },
	{ "quiet", 0, NULL, OPT_QUIET }, { "help", 0, NULL, 'h' },
	{ "version", 0, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The first one ends the load when what is out has come back; over a connection
 * that is lost that may take as long as --loss; the second does not wait. */
static void on_signal(int sig)
{
	if (perf_stop)
		_exit(PERF_NO_CONNECTION);
	perf_stop = 1;
}

static void usage(const char *what, const char *value)
{
	fprintf(stderr, "leap-perf: %s%s%s; see --help\n", what,
		value ? " " : "", value ? value : "");
	exit(PERF_USAGE);
}

/* "4k", "1m", "512"; *@end is what follows. */
static uint64_t size_of(const char *text, char **end)
{
	static const char units[] = "kmgKMG";
	const char *unit;
	unsigned int bits = 0;
	uint64_t n;

	errno = 0;
	n = strtoull(text, end, 0);
	if (*end == text || *text == '-')
		usage("not a size:", text);
	if (**end && (unit = strchr(units, **end))) {
		bits = 10 * (1 + (unsigned int)(unit - units) % 3);
		++*end;
	}
	if (errno || n > UINT64_MAX >> bits)
		usage("too large:", text);
	return n << bits;
}

static uint64_t number(const char *option, const char *text, uint64_t min,
		       uint64_t max)
{
	char what[96];
	char *end;
	uint64_t n = size_of(text, &end);

	if (!*end && n >= min && n <= max)
		return n;
	snprintf(what, sizeof(what), "--%s takes %llu to %llu, not", option,
		 (unsigned long long)min, (unsigned long long)max);
	usage(what, text);
	return 0;
}

static double seconds_of(const char *text)
{
	char *end;
	double n = strtod(text, &end);

	if (end == text || *end || !(n > 0))
		usage("--time takes seconds, more than 0, not", text);
	return n;
}

static void parse_bs(struct opts *o, const char *text)
{
	char *end;
	uint64_t lo = size_of(text, &end), hi = lo;

	if (*end == '-')
		hi = size_of(end + 1, &end);
	if (*end || lo < 512 || hi < lo || hi > 64u << 20)
		usage("--bs takes 512 to 64m, or a range of them, not", text);
	o->bs_min = (uint32_t)lo;
	o->bs_max = (uint32_t)hi;
}

static void parse_zoned(struct opts *o, const char *text)
{
	o->zoned = !strcmp(text, "write") ? ZONED_WRITE :
		   !strcmp(text, "append") ? ZONED_APPEND : ZONED_NOT;
	if (!o->zoned)
		usage("--zoned takes write or append, not", text);
}

static void parse_one(struct opts *o, int c, const char *arg)
{
	switch (c) {
	case OPT_ZONED: parse_zoned(o, arg); break;
	case 'm': o->read_percent = (uint32_t)number("mix", arg, 0, 100); break;
	case 's': o->sequential = 1; break;
	case 'b': parse_bs(o, arg); break;
	case 'd': o->depth = (uint32_t)number("depth", arg, 1, 65535); break;
	case 'q': o->queues = (uint32_t)number("queues", arg, 1, 1024); break;
	case 't': o->seconds = seconds_of(arg); break;
	case 'c': o->count = number("count", arg, 1, UINT64_MAX); break;
	case 'r': o->range = number("range", arg, 512, UINT64_MAX); break;
	case 'n': o->nsid = (uint32_t)number("nsid", arg, 1, 0xfffffffe); break;
	case OPT_VERIFY: o->verify = 1; break;
	case OPT_SEED: o->seed = number("seed", arg, 0, UINT64_MAX); break;
	case OPT_LOSS:
		o->loss_ms = (uint32_t)number("loss", arg, 1, UINT32_MAX);
		break;
	case OPT_RECONNECT:
		o->reconnect_ms = (uint32_t)number("reconnect", arg, 1,
						   UINT32_MAX);
		break;
	case OPT_TIMEOUT:
		o->timeout_ms = (uint32_t)number("timeout", arg, 1,
						 UINT32_MAX - 1);
		break;
	case OPT_HOSTNQN: o->hostnqn = arg; break;
	case OPT_DIGEST:
		o->qp_flags |= LEAP_QP_HEADER_DIGEST | LEAP_QP_DATA_DIGEST;
		break;
	case OPT_HDGST: o->qp_flags |= LEAP_QP_HEADER_DIGEST; break;
	case OPT_DDGST: o->qp_flags |= LEAP_QP_DATA_DIGEST; break;
	case OPT_STACK: o->stack = arg; break;
	case OPT_DISCOVER: o->discover = arg; break;
	case OPT_JSON: o->json = 1; break;
	case OPT_QUIET: o->quiet = 1; break;
	case OPT_PRP: o->qp_flags |= LEAP_QP_PRP; break;
	case OPT_MISALIGN: o->misalign = 1; break;
	case OPT_SPIN:
		o->spin_ns = (int64_t)number("spin-us", arg, 0, 1u << 30) *
			     1000;
		if (!o->spin_ns)
			o->spin_ns = -1;
		break;
	case 'h':
		fputs(help, stdout);
		exit(PERF_OK);
	case OPT_VERSION:
		printf("leap-perf %s\n", leap_version());
		exit(PERF_OK);
	default:
		exit(PERF_USAGE);	/* getopt has said why */
	}
}

static void parse(struct opts *o, int argc, char **argv)
{
	int c;

	*o = (struct opts){
		.bs_min = 4096, .bs_max = 4096, .read_percent = UINT32_MAX,
		.depth = 32, .queues = 1, .seconds = 10, .seed = now_ns(),
		.quiet = !isatty(2),
	};
	while ((c = getopt_long(argc, argv, "m:sb:d:q:t:c:r:n:h", long_opts,
				NULL)) != -1)
		parse_one(o, c, optarg);
	if (o->read_percent == UINT32_MAX)
		o->read_percent = o->verify ? 50 : 100;
	if (o->discover && optind == argc)
		return;
	if (o->discover || optind != argc - 1)
		usage("one URL is needed", NULL);
	o->url = argv[optind];
	if (!strncmp(o->url, "loop:", 5) != (o->stack != NULL))
		usage("loop:// and --stack go together", NULL);
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

struct waiting {
	int added, err;
};

static void on_added(int err, void *arg)
{
	struct waiting *w = arg;

	w->added = 1;
	w->err = err;
}

/* The target of a loop:// URL, in this process. NULL = said why. */
static struct leap_target *make_target(struct leap_pollgroup *pg,
				       const struct opts *o)
{
	struct leap_target_opts topts = LEAP_TARGET_OPTS_INIT;
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lopts = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts nopts = LEAP_NS_OPTS_INIT;
	const char *name = o->url + 5 + 2 * !strncmp(o->url + 5, "//", 2);
	const char *slash = strchr(name, '/');
	struct leap_target *target = NULL;
	struct leap_listener *listener;
	struct leap_subsystem *ss;
	struct waiting w = { 0 };
	char text[64];

	if (!slash || (size_t)(slash - name) >= sizeof(text))
		usage("not a loop:// URL:", o->url);
	snprintf(text, sizeof(text), "%.*s", (int)(slash - name), name);
	topts.name = text;
	sopts.nqn = slash + 1;
	sopts.allow_any_host = 1;
	lopts.url = "loop://";
	if (leap_target_create(pg, &topts, &target) ||
	    leap_subsystem_create(target, &sopts, &ss) ||
	    leap_bdev_open(pg, o->stack, &nopts.bdev) ||
	    leap_ns_add(ss, &nopts, on_added, &w) < 0 ||
	    leap_listener_create(target, &lopts, &listener)) {
		fprintf(stderr, "leap-perf: %s\n", leap_last_error());
		return NULL;
	}
	while (!w.added)
		leap_pollgroup_wait(pg, -1);
	if (w.err) {
		fprintf(stderr, "leap-perf: namespace: %s\n", strerror(-w.err));
		return NULL;
	}
	return target;
}

int wait_live(struct leap_pollgroup *pg, struct leap_host *host)
{
	while (leap_host_state(host) == LEAP_HOST_CONNECTING && !perf_stop)
		leap_pollgroup_wait(pg, 100000000);
	return leap_host_state(host) == LEAP_HOST_LIVE ? 0 : -1;
}

void say_state(struct leap_host *host, enum leap_host_state state,
	       leap_status_t status, int sys_errno, void *arg)
{
	static const char *const what[] = {
		"connecting", "connected", "lost the connection", "gave up",
	};
	const struct opts *o = arg;
	const char *why = leap_status_str(status);

	if (state == LEAP_HOST_LIVE)
		return;
	/* As an answer to Connect; for that there is one meaning. */
	if (LEAP_STATUS_CODE(status) == LEAP_SC_FAB_PARAM)
		why = "Connect Invalid Parameters: is there such a subsystem?";
	else if (LEAP_STATUS_CODE(status) == LEAP_SC_FAB_HOST)
		why = "Connect Invalid Host: does the subsystem let it in?";
	fprintf(stderr, "%sleap-perf: %s: %s\n", o->quiet ? "" : "\n",
		what[state], sys_errno ? strerror(-sys_errno) : why);
}

static int find_ns(struct leap_host *host, struct opts *o, struct ns_info *out,
		   struct leap_host_ns *all)
{
	struct leap_host_ns ns = { sizeof(ns) };

	if (leap_host_ns_next(host, o->nsid ? o->nsid - 1 : 0, &ns) ||
	    (o->nsid && ns.nsid != o->nsid)) {
		fprintf(stderr, "leap-perf: no namespace %u\n", o->nsid);
		return -1;
	}
	if (o->bs_min % ns.block_bytes || o->bs_max % ns.block_bytes ||
	    o->bs_max / ns.block_bytes > 65536) {
		fprintf(stderr, "leap-perf: size %u-%u with blocks of %u\n",
			o->bs_min, o->bs_max, ns.block_bytes);
		return -1;
	}
	if (o->zoned && !ns.zone_blocks) {
		fprintf(stderr, "leap-perf: namespace %u has no zones\n",
			ns.nsid);
		return -1;
	}
	out->nsid = ns.nsid;
	out->block_bytes = ns.block_bytes;
	out->nr_blocks = ns.nr_blocks;
	*all = ns;
	if (o->queues > leap_host_nr_queues(host))
		o->queues = leap_host_nr_queues(host);
	return 0;
}

static int load(struct leap_pollgroup *pg, struct leap_host *host,
		struct opts *o)
{
	static struct result r;
	struct verify *v = NULL;
	struct leap_host_ns all;
	struct ns_info ns;
	uint64_t blocks;
	int rc;

	if (find_ns(host, o, &ns, &all))
		return PERF_USAGE;
	if (o->verify && !o->zoned) {
		if (!o->range)
			o->range = 1ull << 30;
		blocks = o->range / ns.block_bytes;
		if (blocks > ns.nr_blocks)
			blocks = ns.nr_blocks;
		v = verify_create(blocks, ns.block_bytes, o->seed);
		if (!v) {
			fprintf(stderr, "leap-perf: out of memory\n");
			return PERF_IO_ERROR;
		}
	}
	rc = o->zoned ? zoned_run(pg, host, o, &all, &r) :
			load_run(pg, host, o, &ns, v, &r);
	/* A signal ends the load; what it has written is read back all the
	 * same, unless there is another one. */
	perf_stop = 0;
	if (!rc && v && !r.lost)
		rc = load_read_back(pg, host, o, &ns, v, &r);
	report(o, &ns, v, &r);
	verify_destroy(v);
	if (r.bad)
		return PERF_BAD_DATA;
	if (r.lost)
		return PERF_NO_CONNECTION;
	return rc || r.errors ? PERF_IO_ERROR : PERF_OK;
}

static void log_line(void *arg, enum leap_log_level level, const char *text)
{
	if (level <= LEAP_LOG_WARN)
		fprintf(stderr, "leap-perf: %s\n", text);
}

static int run(struct opts *o)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	struct leap_target *target = NULL;
	struct leap_pollgroup *pg;
	struct leap_host *host;
	int rc, closed = 0;

	po.spin_ns = o->spin_ns;
	po.log = log_line;
	if (leap_pollgroup_create(&po, &pg)) {
		fprintf(stderr, "leap-perf: %s\n", leap_last_error());
		return PERF_NO_CONNECTION;
	}
	if (o->stack && !(target = make_target(pg, o)))
		return PERF_USAGE;
	ho.url = o->url;
	ho.hostnqn = o->hostnqn;
	ho.nr_io_queues = o->queues;
	ho.depth = o->depth + 1 < 2 ? 2 : o->depth + 1;
	ho.flags = o->qp_flags;
	ho.loss_ms = o->loss_ms;
	ho.reconnect_ms = o->reconnect_ms;
	ho.timeout_ms = o->timeout_ms;
	ho.target = target;
	ho.state = say_state;
	ho.arg = o;
	rc = leap_host_connect(pg, &ho, &host);
	if (rc) {
		fprintf(stderr, "leap-perf: %s\n", leap_last_error());
		return rc == -EINVAL || rc == -EPROTONOSUPPORT ? PERF_USAGE :
			PERF_NO_CONNECTION;
	}
	rc = wait_live(pg, host) ? PERF_NO_CONNECTION : load(pg, host, o);
	leap_host_close(host, set_flag, &closed);
	while (!closed)
		leap_pollgroup_wait(pg, -1);
	if (target) {
		closed = 0;
		leap_target_destroy(target, set_flag, &closed);
		while (!closed)
			leap_pollgroup_wait(pg, -1);
	}
	while (leap_pollgroup_poll(pg, 0))
		;
	leap_pollgroup_destroy(pg);
	return rc;
}

int main(int argc, char **argv)
{
	struct opts o;

	parse(&o, argc, argv);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGPIPE, SIG_IGN);
	return o.discover ? discover_run(&o) : run(&o);
}
