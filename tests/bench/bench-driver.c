/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a command costs the driver: submit and complete, 4 KiB reads in batches
 * of the queue depth, one core, payload in a dmabuf that the device knows.
 *
 *	bench-driver [--json] [--smoke]
 *
 *	stub		a drive that answers at once; its own work is measured
 *			alone and shown as floor: the rest is the driver's
 *	host		the same through leap_host
 *	loop null	our controller, without registers, over a null leaf
 *	vdev null	our controller behind registers, in the same poll group
 *	vfio-user null	the same in another process: what the host's core does,
 *			waiting for the other included
 *	passed through	vdev, relay leaf, the drive that answers at once: a
 *			guest's command on its way to a drive. "over" is what
 *			is neither the guest's driver nor a host over the
 *			drive: the controller and the relay
 *
 * Many short samples of each, the fastest of which nothing interrupted; the
 * median says how far from that the others were.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <leapio/leapio.h>
#include <leapio/nvmf.h>

#include "bench.h"
#include "stub-device.h"

#define NQN "nqn.2014-08.org.example:bench"
#define MAX_QD 128u
#define BYTES 4096u
#define SAMPLES 200u

enum way { STUB, HOST, LOOP, VDEV, VFIO_USER, PASSED, NR_WAYS };

static const char *const names[NR_WAYS] = {
	"stub", "host over stub", "loop null", "vdev null", "vfio-user null",
	"passed through",
};

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_vdev *vdev[2];	/* over null, over the relay */
	struct leap_qp *admin[NR_WAYS], *qp[NR_WAYS];
	struct leap_host *host;
	struct leap_dmabuf *mem;
	struct leap_req req[MAX_QD];
	struct leap_piece piece[MAX_QD];
	struct leap_req *again[MAX_QD];	/* done: to be sent */
	uint32_t nr_again;
	uint64_t done, errors;
	pid_t server;
	char path[80];
} b;

static void die(const char *what)
{
	fprintf(stderr, "bench-driver: %s: %s\n", what, leap_last_error());
	if (b.server > 0)
		kill(b.server, SIGKILL);
	exit(1);
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void turn(const int *flag)
{
	while (!*flag)
		leap_pollgroup_poll(b.pg, 0);
}

/* ---- a target ---------------------------------------------------------- */

static void added(int err, void *arg)
{
	if (err)
		die("namespace");
	*(int *)arg = 1;
}

static struct leap_subsystem *make_ss(struct leap_pollgroup *pg,
				      const char *nqn, const char *stack)
{
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_ns_opts nopts = LEAP_NS_OPTS_INIT;
	struct leap_subsystem *ss;
	int done = 0;

	sopts.nqn = nqn;
	sopts.allow_any_host = 1;
	if (leap_subsystem_create(b.target, &sopts, &ss) ||
	    leap_bdev_open(pg, stack, &nopts.bdev) ||
	    leap_ns_add(ss, &nopts, added, &done) < 0)
		die(stack);
	while (!done)
		leap_pollgroup_poll(pg, 0);
	return ss;
}

/* The process behind the socket. */
static void serve(int ready)
{
	struct leap_listener_opts lopts = LEAP_LISTENER_OPTS_INIT;
	struct leap_target_opts topts = LEAP_TARGET_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_pollgroup *pg;
	char url[160];

	bench_pin(1);
	topts.queue_depth = 1024;
	if (leap_pollgroup_create(NULL, &pg) ||
	    leap_target_create(pg, &topts, &b.target))
		_exit(1);
	make_ss(pg, NQN, "null:32M[block=4096]");
	snprintf(url, sizeof(url), "vfio-user:%s/" NQN, b.path);
	lopts.url = url;
	if (leap_listener_create(b.target, &lopts, &listener))
		_exit(2);
	if (write(ready, "", 1) != 1)
		_exit(1);
	while (getppid() != 1)
		leap_pollgroup_poll(pg, 0);
	_exit(0);
}

/* 0: this build has no vfio-user. */
static int start_server(void)
{
	int fds[2], status;
	char c;

	snprintf(b.path, sizeof(b.path), "/tmp/leap-bench-driver-%d.sock",
		 (int)getpid());
	if (pipe(fds))
		die("pipe");
	b.server = fork();
	if (!b.server) {
		close(fds[0]);
		serve(fds[1]);
	}
	close(fds[1]);
	if (read(fds[0], &c, 1) == 1)
		return 1;
	waitpid(b.server, &status, 0);
	b.server = 0;
	return 0;
}

/* ---- queue pairs ------------------------------------------------------- */

static void on_connected(struct leap_qp *qp, leap_status_t status, int err,
			 void *arg)
{
	if (status) {
		fprintf(stderr, "bench-driver: %s\n", leap_status_str(status));
		die("connect");
	}
	*(int *)arg = 1;
}

static struct leap_qp *connect_qp(const char *url, struct leap_vdev *vdev,
				  uint16_t qid, uint16_t cntlid)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;
	struct leap_qp *qp;
	int done = 0;

	o.url = url;
	o.vdev = vdev;
	o.target = b.target;
	o.qid = qid;
	o.cntlid = cntlid;
	o.depth = qid ? MAX_QD + 1 : 32;
	o.flags = LEAP_QP_PRP;
	o.connected = on_connected;
	o.arg = &done;
	if (leap_qp_connect(b.pg, &o, &qp))
		die(url);
	turn(&done);
	return qp;
}

static void enabled(struct leap_req *req)
{
	if (leap_req_status(req))
		die("enable");
	b.done++;
}

static void open_qp(enum way way, const char *url, struct leap_vdev *vdev)
{
	struct leap_fab_prop_set set = {
		.opc = LEAP_ADM_FABRICS, .fctype = LEAP_FCTYPE_PROP_SET,
		.ofst = leap_to_le32(LEAP_REG_CC),
		.value = leap_to_le64(0x00460001),
	};
	struct leap_qp_info info = { .size = sizeof(info) };
	struct leap_req req, *r = &req;

	b.admin[way] = connect_qp(url, vdev, 0, 0);
	memset(&req, 0, sizeof(req));
	memcpy(&req.sqe, &set, sizeof(set));
	req.done = enabled;
	b.done = 0;
	leap_qp_submit(b.admin[way], &r, 1);
	leap_qp_kick(b.admin[way]);
	while (!b.done)
		leap_pollgroup_poll(b.pg, 0);
	leap_qp_info(b.admin[way], &info);
	b.qp[way] = connect_qp(url, vdev, 1, info.cntlid);
}

static void open_host(void)
{
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;

	o.url = "stub:y/" STUB_NQN;
	o.depth = MAX_QD + 1;
	if (leap_host_connect(b.pg, &o, &b.host))
		die("host");
	while (leap_host_state(b.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_poll(b.pg, 0);
	if (leap_host_state(b.host) != LEAP_HOST_LIVE)
		die("host");
}

static void on_done(struct leap_req *req)
{
	b.done++;
	b.errors += leap_req_status(req) != 0;
	b.again[b.nr_again++] = req;
}

static void open_all(void)
{
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	struct leap_listener_opts lopts = LEAP_LISTENER_OPTS_INIT;
	struct leap_target_opts topts = LEAP_TARGET_OPTS_INIT;
	int with_vfio_user = start_server();
	struct leap_listener *listener;
	char url[200];
	uint32_t i;

	bench_pin(0);
	mopts.bytes = MAX_QD * BYTES;
	topts.queue_depth = 1024;
	if (leap_pollgroup_create(NULL, &b.pg) ||
	    leap_dmabuf_create(&mopts, &b.mem) ||
	    leap_target_create(b.pg, &topts, &b.target))
		die("target");
	if (leap_vdev_create(make_ss(b.pg, NQN, "null:32M[block=4096]"), NULL,
			     &b.vdev[0]) ||
	    leap_vdev_create(make_ss(b.pg, NQN "-relay", "relay:\"stub:z/"
				     STUB_NQN "\"[depth=129]"), NULL,
			     &b.vdev[1]))
		die("vdev");
	lopts.url = "loop://";
	if (leap_listener_create(b.target, &lopts, &listener))
		die("loop");
	open_qp(STUB, "stub:x/" STUB_NQN, NULL);
	open_host();
	open_qp(LOOP, "loop://leapio/" NQN, NULL);
	open_qp(VDEV, "vdev://null/" NQN, b.vdev[0]);
	open_qp(PASSED, "vdev://relay/" NQN "-relay", b.vdev[1]);
	snprintf(url, sizeof(url), "vfio-user:%s/" NQN, b.path);
	if (with_vfio_user)
		open_qp(VFIO_USER, url, NULL);
	for (i = 0; i < MAX_QD; i++) {
		b.piece[i].addr = (uint8_t *)leap_dmabuf_addr(b.mem) +
				  (size_t)i * BYTES;
		b.piece[i].len_bytes = BYTES;
		b.piece[i].buf = b.mem;
		b.req[i].pieces = &b.piece[i];
		b.req[i].nr_pieces = 1;
		b.req[i].sqe.opc = LEAP_NVM_READ;
		b.req[i].sqe.nsid = leap_to_le32(1);
		b.req[i].done = on_done;
	}
}

/* ---- measuring --------------------------------------------------------- */

static uint32_t send_all(enum way way, struct leap_req *const *reqs, uint32_t n)
{
	int took;

	if (way == HOST) {
		took = leap_host_submit(b.host, 1, reqs, n);
		leap_host_kick(b.host, 1);
	} else {
		took = leap_qp_submit(b.qp[way], reqs, n);
		leap_qp_kick(b.qp[way]);
	}
	if (took != (int)n)
		die("submit");
	return n;
}

/* Nanoseconds per command. What came back in a poll goes out in one batch. */
static double run(enum way way, uint32_t qd, uint32_t n)
{
	struct leap_req *batch[MAX_QD];
	uint32_t i, nr;
	uint64_t start;

	b.done = 0;
	for (i = 0; i < qd; i++)
		batch[i] = &b.req[i];
	b.nr_again = 0;
	start = bench_now_ns();
	send_all(way, batch, qd);
	while (b.done < n) {
		leap_pollgroup_poll(b.pg, 0);
		nr = b.nr_again;
		if (!nr)
			continue;
		memcpy(batch, b.again, nr * sizeof(batch[0]));
		b.nr_again = 0;
		send_all(way, batch, nr);
	}
	start = bench_now_ns() - start;
	n = (uint32_t)b.done;
	while (b.nr_again < qd)
		leap_pollgroup_poll(b.pg, 0);
	return (double)start / n;
}

struct cell {
	double min, median;
};

static struct cell cell_of(double *v, uint32_t n)
{
	struct cell c;

	c.median = bench_median(v, n);
	c.min = v[0];
	return c;
}

static void report(const char *name, uint32_t qd, struct cell c, double floor,
		   double over, int json, int *first)
{
	if (json) {
		printf("%s\n  {\"name\": \"%s qd%u\", \"ns\": %.1f, "
		       "\"median_ns\": %.1f, \"floor_ns\": %.1f, "
		       "\"over_ns\": %.1f}", *first ? "" : ",", name, qd,
		       c.min, c.median, floor, over);
		*first = 0;
		return;
	}
	printf("%-16s qd%-4u %9.1f %9.1f", name, qd, c.min, c.median);
	if (floor > 0)
		printf(" %7.1f %7.1f", floor, c.min - floor);
	if (over > 0)
		printf(" %23.1f over", over);
	printf("\n");
}

static void measure(uint32_t qd, uint32_t samples, uint32_t n, int json,
		    int *first)
{
	static double v[NR_WAYS + 1][SAMPLES];
	struct cell c[NR_WAYS + 1];
	uint32_t i, k;
	double over;

	/* All in turn: what disturbs one sample disturbs its neighbours. */
	for (i = 0; i < samples; i++) {
		for (k = 0; k < NR_WAYS; k++)
			if (k == HOST || b.qp[k])
				/* Two processes: short, or the scheduler is
				 * in every sample. */
				v[k][i] = run(k, qd, k == VFIO_USER ? n / 8 :
					      n);
		v[NR_WAYS][i] = stub_floor(qd, n);
	}
	for (k = 0; k <= NR_WAYS; k++)
		c[k] = cell_of(v[k], samples);
	for (k = 0; k < NR_WAYS; k++) {
		if (k != HOST && !b.qp[k])
			continue;
		over = k != PASSED ? 0 : c[k].min - c[HOST].min -
			(c[STUB].min - c[NR_WAYS].min);
		report(names[k], qd, c[k], k == STUB || k == HOST ?
		       c[NR_WAYS].min : 0, over, json, first);
	}
}

static void close_qp(struct leap_qp *qp)
{
	int closed = 0;

	if (!qp)
		return;
	leap_qp_close(qp, set_flag, &closed);
	turn(&closed);
}

static void close_all(void)
{
	int k, done = 0;

	for (k = 0; k < NR_WAYS; k++) {
		close_qp(b.qp[k]);
		close_qp(b.admin[k]);
	}
	leap_host_close(b.host, set_flag, &done);
	turn(&done);
	for (k = 0; k < 2; k++) {
		done = 0;
		leap_vdev_destroy(b.vdev[k], set_flag, &done);
		turn(&done);
	}
	done = 0;
	leap_target_destroy(b.target, set_flag, &done);
	turn(&done);
	leap_dmabuf_put(b.mem);
	if (b.server) {
		kill(b.server, SIGTERM);
		waitpid(b.server, NULL, 0);
		unlink(b.path);
	}
}

int main(int argc, char **argv)
{
	static const uint32_t qds[] = { 1, 32, 128 };
	int json = bench_flag(argc, argv, "--json"), first = 1;
	uint32_t samples = SAMPLES, n = 4096, i;

	if (bench_flag(argc, argv, "--smoke")) {
		samples = 5;
		n = 512;
	}
	open_all();
	if (json)
		printf("{\"bench\": \"driver\", \"results\": [");
	else
		printf("ns per command, the fastest of %u samples and their "
		       "median; floor: the drive's own, and the driver alone\n"
		       "%-21s %10s %9s %7s %7s\n", samples, "", "fastest",
		       "median", "floor", "driver");
	for (i = 0; i < sizeof(qds) / sizeof(qds[0]); i++)
		measure(qds[i], samples, n, json, &first);
	if (json)
		printf("\n]}\n");
	close_all();
	if (b.errors)
		fprintf(stderr, "%llu commands failed\n",
			(unsigned long long)b.errors);
	/* The drive's last timers. */
	for (i = 0; i < 10000 && leap_pollgroup_destroy(b.pg); i++)
		leap_pollgroup_wait(b.pg, 1000000);
	return b.errors || i == 10000 ? 1 : 0;
}
