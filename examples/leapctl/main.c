/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leapctl - looks at a running socp and changes what it serves
 *
 * Words of the command line become one control request, its answer a table or
 * JSON. A table of commands says how. Exit codes: 0 done, 1 the target refused,
 * 2 usage, 3 no connection.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <leapio/base.h>

#include "client.h"
#include "examples/common/fields.h"
#include "examples/socp/config.h"
#include "show.h"

enum { DONE = 0, REFUSED = 1, USAGE = 2, NO_CONNECTION = 3 };

static const char help[] =
"usage: leapctl [OPTION...] COMMAND\n"
"Looks at a running socp or leap-hostd and changes what it serves.\n"
"\n"
"  subsystems [list]\n"
"  subsystems add NQN[,serial=TEXT][,model=TEXT] [HOSTNQN...]\n"
"  subsystems remove NQN\n"
"  hosts allow NQN HOSTNQN\n"
"  hosts deny NQN HOSTNQN\n"
"  ns list NQN\n"
"  ns add NQN [nsid=N,][block_bytes=N,][uuid=U,][read_only=on,]stack=STACK\n"
"  ns remove NQN NSID\n"
"  ns resize NQN NSID SIZE\n"
"  listeners [list]\n"
"  listeners add URL[,advertise=HOST:PORT]\n"
"  listeners remove URL\n"
"  connections [list [NQN]]\n"
"  connections disconnect NQN CNTLID\n"
"  stacks [NQN]          layers with counters and latencies\n"
"  stats                 counters of poll groups and target\n"
"  info                  the process\n"
"  status                of leap-hostd: which socp serves its drives\n"
"  handoff               of leap-hostd: from that socp to the one on standby\n"
"  upgrade               leap-hostd starts its own file again and goes on\n"
"  drives                drives, and who uses them\n"
"  lent                  of leap-hostd: devices that it lends, and to whom\n"
"  inspect NQN [CNTLID]  a drive of virtual machines: memory, IOTLBs, rings,\n"
"                        doorbells, commands in flight\n"
"  top [SECONDS [COUNT]] rates, every so many seconds\n"
"  call METHOD [PARAMS]  any control request, as JSON\n"
"\n"
"  --control PATH        the --control of that socp or leap-hostd\n"
"                        (default: $SOCP_CONTROL)\n"
"  --json                print the answer as JSON\n"
"  --help, --version\n"
"\n"
"Sizes take k, M, G, T.\n"
"\n"
"Exit: 0 done, 1 refused, 2 usage, 3 no connection.\n";

struct command {
	const char *noun;
	const char *verb;	/* NULL: the noun alone */
	const char *method;
	/* How arguments become parameters, in order:
	 * n nqn, h host, i nsid, c cntlid, s bytes, u url,
	 * S subsystem options, N namespace options, L listener options,
	 * H any number of hosts, ? what follows may be missing */
	const char *args;
	void (*show)(const json_t *result);
};

static const struct command commands[] = {
	{ "subsystems", "add", "subsystems.add", "SH", show_nothing },
	{ "subsystems", "remove", "subsystems.remove", "n", show_nothing },
	{ "subsystems", "list", "subsystems.list", "", show_subsystems },
	{ "subsystems", NULL, "subsystems.list", "", show_subsystems },
	{ "hosts", "allow", "hosts.allow", "nh", show_nothing },
	{ "hosts", "deny", "hosts.deny", "nh", show_nothing },
	{ "ns", "list", "ns.list", "n", show_namespaces },
	{ "ns", "add", "ns.add", "nN", show_nothing },
	{ "ns", "remove", "ns.remove", "ni", show_nothing },
	{ "ns", "resize", "ns.resize", "nis", show_nothing },
	{ "listeners", "add", "listeners.add", "L", show_nothing },
	{ "listeners", "remove", "listeners.remove", "u", show_nothing },
	{ "listeners", "list", "listeners.list", "", show_listeners },
	{ "listeners", NULL, "listeners.list", "", show_listeners },
	{ "connections", "disconnect", "connections.disconnect", "nc",
	  show_nothing },
	{ "connections", "list", "connections.list", "?n",
	  show_connections },
	{ "connections", NULL, "connections.list", "", show_connections },
	{ "stacks", NULL, "stacks.get", "?n", show_stacks },
	{ "stats", NULL, "stats.get", "", show_stats },
	{ "info", NULL, "process.info", "", show_info },
	{ "status", NULL, "agent.info", "", show_agent },
	{ "handoff", NULL, "agent.handoff", "", show_agent },
	{ "upgrade", NULL, "agent.upgrade", "", show_agent },
	{ "drives", NULL, "drives.list", "", show_drives },
	{ "lent", NULL, "lend.list", "", show_lent },
	{ "inspect", NULL, "drives.inspect", "n?c", show_drive },
	{ NULL },
};

static int usage(const char *fmt, const char *what)
{
	fprintf(stderr, "leapctl: ");
	fprintf(stderr, fmt, what);
	fprintf(stderr, " (leapctl --help lists the commands)\n");
	return USAGE;
}

static int set_number(json_t *params, const char *key, const char *arg)
{
	uint64_t n;

	if (size_from_text(arg, &n) || n > INT64_MAX)
		return usage("\"%s\": expected a number below 2^63, which "
			     "may end in k, M, G or T", arg);
	json_object_set_new(params, key, json_integer((json_int_t)n));
	return DONE;
}

static int set_text(json_t *params, const char *key, const char *arg)
{
	if (json_object_set_new(params, key, json_string(arg)))
		return usage("\"%s\": expected UTF-8 text", key);
	return DONE;
}

static int set_section(json_t *params, const char *arg,
		       const struct field *fields, const char *first,
		       const char *last)
{
	struct field_error err;
	json_t *section = fields_from_text(arg, fields, first, last, &err);

	if (!section)
		return usage("%s", err.text);
	json_object_update(params, section);
	json_decref(section);
	return DONE;
}

static int set_arg(json_t *params, char kind, const char *arg)
{
	switch (kind) {
	case 'n':
		return set_text(params, "nqn", arg);
	case 'h':
		return set_text(params, "host", arg);
	case 'u':
		return set_text(params, "url", arg);
	case 'i':
		return set_number(params, "nsid", arg);
	case 'c':
		return set_number(params, "cntlid", arg);
	case 's':
		return set_number(params, "bytes", arg);
	case 'S':
		return set_section(params, arg, config_subsystem_fields,
				   "nqn", NULL);
	case 'N':
		return set_section(params, arg, config_ns_fields, NULL,
				   "stack");
	default:
		return set_section(params, arg, config_listener_fields, "url",
				   NULL);
	}
}

static int set_args(json_t *params, const struct command *cmd, char **arg)
{
	const char *kind;
	json_t *hosts;
	int may_miss = 0;
	int rc = DONE;

	for (kind = cmd->args; *kind && !rc; kind++) {
		if (*kind == '?') {
			may_miss = 1;
		} else if (*kind == 'H') {
			hosts = json_array();
			for (; *arg; arg++)
				json_array_append_new(hosts,
						      json_string(*arg));
			json_object_set_new(params, "hosts", hosts);
		} else if (*arg) {
			rc = set_arg(params, *kind, *arg++);
		} else if (!may_miss) {
			return usage("%s: an argument is missing",
				     cmd->method);
		}
	}
	if (!rc && *arg)
		return usage("unexpected argument \"%s\"", *arg);
	return rc;
}

/* socp and leap-hostd have a socket each, and it is easy to name the other. */
static void complain(const char *method, const char *error)
{
	const struct command *cmd = commands;
	const char *whose = "socp";

	while (cmd->noun && strcmp(cmd->method, method))
		cmd++;
	if (!strncmp(method, "agent.", 6) || !strncmp(method, "lend.", 5))
		whose = "leap-hostd";
	if (cmd->noun && !strncmp(error, "no method ", 10))
		fprintf(stderr, "leapctl: %s here: ask the --control of "
			"%s\n", error, whose);
	else
		fprintf(stderr, "leapctl: %s\n", error);
}

static int ask(int fd, const char *method, json_t *params, json_t **result)
{
	char error[1024];
	int refused;

	*result = client_call(fd, method, params, error, sizeof(error),
			      &refused);
	if (*result)
		return DONE;
	complain(method, error);
	return refused ? REFUSED : NO_CONNECTION;
}

static int print_json(const json_t *v, size_t flags)
{
	if (json_dumpf(v, stdout, flags | JSON_ENCODE_ANY) ||
	    putchar('\n') == EOF || fflush(stdout))
		return REFUSED;
	return DONE;
}

static int top(int fd, char **arg, int json)
{
	double seconds = *arg ? atof(*arg++) : 1;
	long count = *arg ? atol(*arg++) : -1;
	json_t *before, *after, *rates;
	struct timespec ts;
	int rc;

	if (*arg || !(seconds >= 0.01 && seconds <= 86400) || !count)
		return usage("%s: expected SECONDS and COUNT", "top");
	ts.tv_sec = (time_t)seconds;
	ts.tv_nsec = (long)((seconds - (double)ts.tv_sec) * 1e9);
	rc = ask(fd, "stacks.get", json_object(), &before);
	while (!rc && count) {
		nanosleep(&ts, NULL);
		rc = ask(fd, "stacks.get", json_object(), &after);
		if (rc)
			break;
		if (json) {
			rates = top_rates(before, after, seconds);
			print_json(rates, JSON_COMPACT);
			json_decref(rates);
		} else {
			if (isatty(STDOUT_FILENO))
				printf("\033[H\033[J");
			show_top(before, after, seconds);
			fflush(stdout);
		}
		json_decref(before);
		before = after;
		count -= count > 0;
	}
	json_decref(before);
	return rc;
}

static int call(int fd, char **arg)
{
	json_t *params = *arg && arg[1] ? json_loads(arg[1], 0, NULL) :
					  json_object();
	json_t *result;
	int rc;

	if (!*arg || !params || (arg[1] && arg[2])) {
		json_decref(params);
		return usage("%s: expected METHOD and PARAMS as JSON", "call");
	}
	rc = ask(fd, *arg, params, &result);
	if (!rc)
		rc = print_json(result, JSON_INDENT(2));
	json_decref(result);
	return rc;
}

static int no_command(char **arg)
{
	char words[128];

	snprintf(words, sizeof(words), "%.60s%s%.60s", arg[0],
		 arg[1] ? " " : "", arg[1] ? arg[1] : "");
	return usage("no command \"%s\"", words);
}

static const struct command *find(char ***arg)
{
	const struct command *cmd;

	for (cmd = commands; cmd->noun; cmd++) {
		if (strcmp(cmd->noun, **arg))
			continue;
		if (cmd->verb && (!(*arg)[1] || strcmp(cmd->verb, (*arg)[1])))
			continue;
		*arg += cmd->verb ? 2 : 1;
		return cmd;
	}
	return NULL;
}

static int run(const char *path, char **arg, int json)
{
	const struct command *cmd = NULL;
	json_t *params = NULL;
	json_t *result;
	int special = !strcmp(*arg, "top") ? 1 : !strcmp(*arg, "call") ? 2 :
									 0;
	int fd, rc;

	if (!special) {
		cmd = find(&arg);
		if (!cmd)
			return no_command(arg);
		params = json_object();
		rc = set_args(params, cmd, arg);
		if (rc) {
			json_decref(params);
			return rc;
		}
	}
	fd = client_connect(path);
	if (fd < 0) {
		fprintf(stderr, "leapctl: %s: %s\n", path, strerror(-fd));
		json_decref(params);
		return NO_CONNECTION;
	}
	if (special) {
		rc = special == 1 ? top(fd, arg + 1, json) :
				    call(fd, arg + 1);
		close(fd);
		return rc;
	}
	rc = ask(fd, cmd->method, params, &result);
	if (!rc && json)
		rc = print_json(result, JSON_INDENT(2));
	else if (!rc)
		cmd->show(result);
	json_decref(result);
	close(fd);
	return rc;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "control", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = getenv("SOCP_CONTROL");
	int opt, json = 0;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			path = optarg;
			break;
		case 'j':
			json = 1;
			break;
		case 'h':
			fputs(help, stdout);
			return DONE;
		case 'v':
			printf("leapctl %s\n", leap_version());
			return DONE;
		default:
			return USAGE;
		}
	}
	if (optind == argc)
		return usage("%s", "a command is missing");
	if (!path || !*path)
		return usage("%s", "--control PATH is missing");
	return run(path, argv + optind, json);
}
