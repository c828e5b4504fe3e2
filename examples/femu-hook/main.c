/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * femu-hook - puts virtual NVMe drives into guests of QEMU and FEMU
 *
 * Looks at QEMU and at the user's own arguments, says what is missing, starts
 * or joins who serves the drives, and prints or runs the command line with
 * memory that the server can map and a vfio-user device per drive. All that
 * serves is in other programs.
 */
#define PROGRAM "femu-hook"
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <leapio/base.h>

#include "hook.h"

enum { DONE = 0, MISSING = 1, USAGE = 2, FAILED = 3 };

struct program {
	struct qemu qemu;
	struct serve serve;
	struct report report;
	struct args command;
	const char *mem;
	int json, check, run;
};

static const char help[] =
"usage: femu-hook [OPTION...] --drive SOCKET... [-- QEMU-ARGUMENT...]\n"
"Puts NVMe drives that socp or leap-hostd serve into a guest of QEMU or FEMU:\n"
"prints the command line, or says what is missing.\n"
"\n"
"  --drive SOCKET        a drive's vfio-user socket (repeat)\n"
"  --qemu PROGRAM        QEMU or FEMU (default qemu-system-x86_64)\n"
"  --mem SIZE            guest memory, when the arguments give none (default 1G)\n"
"  --agent SOCKET        join the leap-hostd whose socket for runtimes that is,\n"
"                        or start it for the drives\n"
"  --ns STACK            a namespace of the drives (repeat): start socp for it\n"
"  --nqn NQN             subsystem of the drives that are started\n"
"                        (default nqn.2024-01.io.libleapio:femu-hook)\n"
"  --control SOCKET      control socket of the socp that is started\n"
"  --irq msix|msi|intx   what drives that are started interrupt by; QEMU up to\n"
"                        11.1 does not survive device_del of one with msix\n"
"  --hostd PROGRAM       (default leap-hostd)\n"
"  --socp PROGRAM        (default socp)\n"
"  --check               start nothing, print no command line\n"
"  --run                 run QEMU; what was started for it ends with it\n"
"  --json                print an object\n"
"  --help, --version\n"
"\n"
"Exit: 0 done (with --run: QEMU's own), 1 something is missing, 2 usage,\n"
"3 QEMU could not be run.\n"
"\n"
"  femu-hook --drive /tmp/drive.sock --ns memory:64M --run -- \\\n"
"       -nographic disk.img\n";

static const struct option options[] = {
	{ "drive", required_argument, NULL, 'd' },
	{ "qemu", required_argument, NULL, 'q' },
	{ "mem", required_argument, NULL, 'm' },
	{ "agent", required_argument, NULL, 'a' },
	{ "ns", required_argument, NULL, 'n' },
	{ "nqn", required_argument, NULL, 'N' },
	{ "control", required_argument, NULL, 'c' },
	{ "irq", required_argument, NULL, 'i' },
	{ "hostd", required_argument, NULL, 'H' },
	{ "socp", required_argument, NULL, 's' },
	{ "check", no_argument, NULL, 'k' },
	{ "run", no_argument, NULL, 'r' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'v' },
	{ NULL, 0, NULL, 0 },
};

static int usage(const char *text)
{
	fprintf(stderr, "%s: %s (--help shows the options)\n", PROGRAM, text);
	return USAGE;
}

static int add_text(const char **list, unsigned int *nr, unsigned int max)
{
	if (*nr == max)
		return usage("too many drives or namespaces, 16 are possible");
	list[(*nr)++] = optarg;
	return DONE;
}

/* Options with a value that is kept as it is. */
static const char **text_of(struct program *p, int opt)
{
	switch (opt) {
	case 'q':
		return &p->qemu.program;
	case 'm':
		return &p->mem;
	case 'a':
		return &p->serve.agent;
	case 'N':
		return &p->serve.nqn;
	case 'c':
		return &p->serve.control;
	case 'i':
		return &p->serve.irq;
	case 'H':
		return &p->serve.hostd;
	case 's':
		return &p->serve.socp;
	default:
		return NULL;
	}
}

static int read_option(struct program *p, int opt)
{
	const char **text = text_of(p, opt);

	if (opt == 'i' && strcmp(optarg, "msix") && strcmp(optarg, "msi") &&
	    strcmp(optarg, "intx"))
		return usage("--irq takes msix, msi or intx");
	if (text) {
		*text = optarg;
		return DONE;
	}
	switch (opt) {
	case 'd':
		return add_text(p->serve.drives, &p->serve.nr_drives,
				MAX_DRIVES);
	case 'n':
		return add_text(p->serve.stacks, &p->serve.nr_stacks, MAX_NS);
	case 'k':
		p->check = 1;
		return DONE;
	case 'r':
		p->run = 1;
		return DONE;
	case 'j':
		p->json = 1;
		return DONE;
	case 'h':
		fputs(help, stdout);
		exit(DONE);
	case 'v':
		printf("%s %s\n", PROGRAM, leap_version());
		exit(DONE);
	default:
		return USAGE;
	}
}

static int read_options(struct program *p, int argc, char **argv)
{
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		rc = read_option(p, opt);
		if (rc)
			return rc;
	}
	if (optind < argc && strcmp(argv[optind - 1], "--"))
		return usage("QEMU's own arguments go after --");
	if (!p->serve.nr_drives)
		return usage("no --drive was given");
	if (p->run && p->json)
		return usage("--run and --json cannot go together");
	return DONE;
}

/* JSON, which knows how to quote any path. */
static void add_drive(struct args *a, unsigned int nr, const char *path)
{
	json_t *o = json_pack("{s:s, s:o, s:{s:s, s:s}}",
			      "driver", "vfio-user-pci",
			      "id", json_sprintf("leap%u", nr),
			      "socket", "type", "unix", "path", path);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	args_add(a, "-device");
	if (text)
		args_add(a, "%s", text);
	else
		a->failed = 1;
	free(text);
	json_decref(o);
}

static void make_command(struct program *p, char **argv, int argc, int memory)
{
	struct args *a = &p->command;
	unsigned int nr;
	int i;

	args_add(a, "%s", p->qemu.program);
	for (i = 0; i < argc; i++)
		args_add(a, "%s", argv[i]);
	if (memory) {
		args_add(a, "-m");
		args_add(a, "%s", p->mem);
		args_add(a, "-object");
		args_add(a, "memory-backend-memfd,id=leapram,size=%s,share=on",
			 p->mem);
		args_add(a, "-machine");
		args_add(a, "memory-backend=leapram");
	}
	for (nr = 0; nr < p->serve.nr_drives; nr++)
		add_drive(a, nr, p->serve.drives[nr]);
	if (a->failed)
		report_add(&p->report, "too-long", 1, "the command line has "
			   "more than %u arguments, or a path that is not "
			   "UTF-8", MAX_ARGS);
}

static void print_problems(const struct report *r)
{
	unsigned int i;

	for (i = 0; i < r->nr; i++)
		fprintf(stderr, "%s: %s: %s\n", PROGRAM,
			r->problems[i].fatal ? "missing" : "note",
			r->problems[i].text);
}

static void print_json(const struct program *p)
{
	json_t *problems = json_array(), *command = json_array(), *o;
	unsigned int i;

	for (i = 0; i < p->report.nr; i++) {
		const struct problem *b = &p->report.problems[i];

		json_array_append_new(problems, json_pack(
			"{s:s, s:b, s:s}", "code", b->code, "fatal",
			b->fatal, "text", b->text));
	}
	for (i = 0; !p->check && !p->report.nr_fatal && i < p->command.nr; i++)
		json_array_append_new(command, json_string(p->command.v[i]));
	o = json_pack("{s:{s:s, s:s, s:b}, s:o, s:o, s:[ii]}",
		      "qemu", "program", p->qemu.program,
		      "name", p->qemu.name, "vfio_user", p->qemu.vfio_user,
		      "problems", problems, "command", command,
		      "started", (int)p->serve.started[0],
		      (int)p->serve.started[1]);
	json_dumpf(o, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(o);
}

static void print_command(const struct program *p)
{
	char *text = args_quoted(&p->command);
	unsigned int i;

	if (text)
		puts(text);
	free(text);
	for (i = 0; i < 2; i++)
		if (p->serve.started[i])
			fprintf(stderr, "%s: started %s, process %d\n", PROGRAM,
				i ? p->serve.socp : p->serve.hostd,
				(int)p->serve.started[i]);
}

/*
 * QEMU has the terminal; what ends it from there is not for us. What would end
 * us ends QEMU, so that there is somebody to stop what was started for it.
 */
static int run(struct program *p)
{
	int sig, status = 0;
	sigset_t set, old;
	pid_t pid;

	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &old);
	pid = fork();
	if (!pid) {
		signal(SIGINT, SIG_DFL);
		signal(SIGQUIT, SIG_DFL);
		sigprocmask(SIG_SETMASK, &old, NULL);
		execvp(p->command.v[0], p->command.v);
		_exit(127);
	}
	if (pid < 0) {
		fprintf(stderr, "%s: %s\n", PROGRAM, strerror(errno));
		return FAILED;
	}
	while (!waitpid(pid, &status, WNOHANG)) {
		sig = sigwaitinfo(&set, NULL);
		if (sig == SIGHUP || sig == SIGTERM)
			kill(pid, sig);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 127) {
		fprintf(stderr, "%s: %s did not end by itself\n", PROGRAM,
			p->qemu.program);
		return FAILED;
	}
	return WEXITSTATUS(status);
}

/* All that is wrong, then, if nothing is, all that is to be done. */
static int work(struct program *p, char **argv, int argc)
{
	int memory = ram_look(argv, argc, &p->report);

	qemu_look(&p->qemu, &p->report);
	serve_look(&p->serve, &p->report);
	make_command(p, argv, argc, memory > 0);
	if (!p->report.nr_fatal && !p->check)
		serve_start(&p->serve, &p->report);
	print_problems(&p->report);
	if (p->json)
		print_json(p);
	if (p->report.nr_fatal) {
		serve_stop(&p->serve);
		return MISSING;
	}
	if (p->run) {
		int rc = run(p);

		serve_stop(&p->serve);
		return rc;
	}
	if (!p->json && !p->check)
		print_command(p);
	return DONE;
}

int main(int argc, char **argv)
{
	static struct program p = {
		.qemu.program = "qemu-system-x86_64",
		.serve.hostd = "leap-hostd",
		.serve.socp = "socp",
		.serve.nqn = "nqn.2024-01.io.libleapio:femu-hook",
		.mem = "1G",
	};
	int rc = read_options(&p, argc, argv);

	if (!rc)
		rc = work(&p, argv + optind, argc - optind);
	args_free(&p.command);
	return rc;
}
