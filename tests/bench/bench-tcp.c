/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVMe/TCP over 127.0.0.1, host on one core and target on another, against a
 * floor: a raw exchange of the same byte counts at the same depth, which reads
 * and sends as much at once as we do, in both directions at a time, from and to
 * as much memory, and copies nothing. It spins, but not on a socket that takes
 * no more: each try would hold the lock that the other side's data needs. Both
 * run in a network namespace of their own, under Reno (net.h).
 *
 *	bench-tcp [--json] [--smoke] [--one-thread] [--ms MS] [--samples N]
 *		[--only TEXT]
 *
 * With --one-thread both sides take turns in one thread and rates are commands
 * per second of processor time: what they cost, even on a busy machine.
 *
 * Every sample is floor, ours, floor, in the same two threads. A sample whose
 * two floors differ by more than 20 % is dropped and counted. A floor that we
 * beat by more than the noise is no floor: the run fails.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <leapio/bdev.h>
#include <leapio/host.h>
#include <leapio/pollgroup.h>
#include <leapio/target.h>

#include "bench.h"
#include "net.h"

#define NQN "nqn.2014-08.org.example:bench"
#define MAX_QD 128u
#define MAX_BYTES 131072u
#define RECV_BYTES 262144u
#define BATCH_BYTES 524288u
#define MAX_SAMPLES 64
#define REQ_BYTES 72u
#define RSP_BYTES 24u
#define BLOCKS 2048u		/* of 4096 bytes, the part of the disk used */

static const struct test {
	const char *name, *leaf;
	uint32_t bytes, qd, flags;
	int write;
} tests[] = {
#define T4(op, w, leaf, f, tag) \
	{ op " 4k qd1 " leaf tag, leaf, 4096, 1, f, w }, \
	{ op " 4k qd4 " leaf tag, leaf, 4096, 4, f, w }, \
	{ op " 4k qd32 " leaf tag, leaf, 4096, 32, f, w }, \
	{ op " 4k qd128 " leaf tag, leaf, 4096, 128, f, w }
#define DG (LEAP_QP_HEADER_DIGEST | LEAP_QP_DATA_DIGEST)
	T4("read", 0, "null", 0, ""),
	T4("write", 1, "null", 0, ""),
	{ "read 4k qd128 null digests", "null", 4096, 128, DG, 0 },
	{ "write 4k qd128 null digests", "null", 4096, 128, DG, 1 },
	{ "read 4k qd1 null digests", "null", 4096, 1, DG, 0 },
	{ "read 4k qd1 memory", "memory", 4096, 1, 0, 0 },
	{ "read 4k qd128 memory", "memory", 4096, 128, 0, 0 },
	{ "write 4k qd128 memory", "memory", 4096, 128, 0, 1 },
	{ "read 128k qd32 null", "null", 131072, 32, 0, 0 },
	{ "write 128k qd32 null", "null", 131072, 32, 0, 1 },
	{ "read 128k qd32 null digests", "null", 131072, 32, DG, 0 },
	{ "write 128k qd32 null digests", "null", 131072, 32, DG, 1 },
};

struct result {
	uint64_t n;		/* commands */
	double rate;		/* commands per second */
	double p50, p999;	/* microseconds */
};

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "bench-tcp: %s: %s\n", what, leap_last_error());
	exit(1);
}

/* ---- the raw exchange ---- */

struct floor {
	int fd;
	uint32_t in_bytes, out_bytes, data_bytes;	/* of one message */
	uint8_t *in, *data, *hdr;
	/* Payload comes from and goes to as much memory as ours. */
	uint32_t in_at, in_span, data_at, data_span;
	uint32_t have;
	uint32_t owed;			/* messages to send, not begun */
	int blocked;			/* the socket takes no more now */
	uint32_t nr_iov, at_iov;	/* what is left to send */
	struct iovec iov[3 * MAX_QD];
};

/*
 * One side of it. @disk: payload is that of a medium, else there are as many
 * buffers as commands.
 */
static void floor_init(struct floor *f, int fd, const struct test *t, int disk,
		       int server)
{
	int one = 1, sends = server ? !t->write : t->write;
	/* C2HData, data, response; or a response. */
	uint32_t rsp = RSP_BYTES + (t->write ? 0 : RSP_BYTES + t->bytes);
	uint32_t req = REQ_BYTES + (t->write ? t->bytes : 0);

	memset(f, 0, sizeof(*f));
	f->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	f->in_bytes = server ? req : rsp;
	f->out_bytes = server ? rsp : req;
	f->data_bytes = sends ? t->bytes : 0;
	f->data_span = disk ? BLOCKS * 4096 : t->qd * t->bytes;
	f->in_span = sends ? 0 : f->data_span;
	if (f->in_span < RECV_BYTES)
		f->in_span = RECV_BYTES;
	f->in = malloc(f->in_span);
	f->data = malloc(f->data_span);
	f->hdr = calloc(1, 65536);
	memset(f->in, 1, f->in_span);
	memset(f->data, 1, f->data_span);
}

static void floor_fini(struct floor *f)
{
	close(f->fd);
	free(f->in);
	free(f->data);
	free(f->hdr);
}

static void *floor_data(struct floor *f)
{
	void *at = f->data + f->data_at;

	f->data_at += f->data_bytes;
	if (f->data_at + f->data_bytes > f->data_span)
		f->data_at = 0;
	return at;
}

/* Messages of out_bytes, of which data_bytes from elsewhere: as many as are
 * owed and go into one send of ours. */
static void floor_fill(struct floor *f)
{
	uint32_t hdr = f->out_bytes - f->data_bytes, nr = 0, i;
	uint32_t max = BATCH_BYTES / f->out_bytes, n = f->owed;
	struct iovec *iov = f->iov;

	if (n > max)
		n = max;
	if (n > MAX_QD)
		n = MAX_QD;
	f->owed -= n;
	for (i = 0; i < n; i++) {
		/* Header and response of neighbours are side by side. */
		iov[nr].iov_base = f->hdr;
		iov[nr++].iov_len = hdr;
		if (f->data_bytes) {
			iov[nr].iov_base = floor_data(f);
			iov[nr++].iov_len = f->data_bytes;
		} else if (nr > 1) {
			nr--;
			iov[nr - 1].iov_len += hdr;
		}
	}
	f->nr_iov = nr;
	f->at_iov = 0;
}

static void floor_push(struct floor *f)
{
	struct iovec *iov;
	struct msghdr msg;
	ssize_t did;

	f->blocked = 0;
	for (;;) {
		if (f->at_iov == f->nr_iov) {
			if (!f->owed)
				return;
			floor_fill(f);
		}
		iov = &f->iov[f->at_iov];
		memset(&msg, 0, sizeof(msg));
		msg.msg_iov = iov;
		msg.msg_iovlen = f->nr_iov - f->at_iov;
		did = sendmsg(f->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		f->blocked = did < 0 && errno == EAGAIN;
		if (f->blocked)
			return;
		if (did < 0) {
			/* Closed: recv will say so. */
			f->nr_iov = f->at_iov = 0;
			f->owed = 0;
			return;
		}
		for (; f->at_iov < f->nr_iov && (size_t)did >= iov->iov_len;
		     iov++, f->at_iov++)
			did -= (ssize_t)iov->iov_len;
		if (f->at_iov < f->nr_iov) {
			iov->iov_base = (char *)iov->iov_base + did;
			iov->iov_len -= (size_t)did;
		}
	}
}

/* Whole messages that have arrived; -1 = end. */
static int floor_recv(struct floor *f)
{
	ssize_t n = recv(f->fd, f->in + f->in_at, RECV_BYTES, MSG_DONTWAIT);
	int msgs;

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return -1;
	f->in_at += (uint32_t)n;
	if (f->in_at + RECV_BYTES > f->in_span)
		f->in_at = 0;
	f->have += (uint32_t)n;
	msgs = (int)(f->have / f->in_bytes);
	f->have %= f->in_bytes;
	return msgs;
}

/* Each message that has arrived is to be answered by one; their number, or
 * -1 = end. */
static int floor_step(struct floor *f)
{
	struct pollfd p = { .fd = f->fd, .events = POLLIN | POLLOUT };
	int n = 0;

	if (f->blocked) {
		poll(&p, 1, 0);
		if (p.revents & POLLOUT)
			floor_push(f);
	}
	if (!f->blocked || (p.revents & ~POLLOUT))
		n = floor_recv(f);
	if (n > 0) {
		f->owed += (uint32_t)n;
		if (!f->blocked)
			floor_push(f);
	}
	return n;
}

/* ---- the server's thread ---- */

struct server {
	pthread_t thread;
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_listener *listener;
	_Atomic int stop, ready;
	_Atomic int floor_fd;	/* a raw connection to serve, -1 = none */
	const struct test *floor_test;
	char url[256];
	int destroyed, one_thread;
	int fd;			/* raw connection being served */
	struct floor floor;
};

static void gone(void *arg)
{
	((struct server *)arg)->destroyed = 1;
}

static void add_ns(struct server *s, struct leap_subsystem *ss,
		   const char *stack)
{
	struct leap_ns_opts opts = LEAP_NS_OPTS_INIT;

	if (leap_bdev_open(s->pg, stack, &opts.bdev))
		die(stack);
	if (leap_ns_add(ss, &opts, NULL, NULL) < 0)
		die("leap_ns_add");
}

static void serve_setup(struct server *s)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_target_opts topts = LEAP_TARGET_OPTS_INIT;
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lopts = LEAP_LISTENER_OPTS_INIT;
	struct leap_subsystem *ss;

	popts.world = LEAP_WORLD_EPOLL;
	if (leap_pollgroup_create(&popts, &s->pg))
		die("leap_pollgroup_create");
	topts.queue_depth = 256;
	if (leap_target_create(s->pg, &topts, &s->target))
		die("leap_target_create");
	sopts.nqn = NQN;
	sopts.allow_any_host = 1;
	if (leap_subsystem_create(s->target, &sopts, &ss))
		die("leap_subsystem_create");
	add_ns(s, ss, "null:16M[block=4096]");
	add_ns(s, ss, "memory:16M[block=4096]");
	lopts.url = "tcp://127.0.0.1:0";
	if (leap_listener_create(s->target, &lopts, &s->listener))
		die("leap_listener_create");
	snprintf(s->url, sizeof(s->url), "%s/" NQN,
		 leap_listener_url(s->listener));
}

/* One turn of the server: a poll, or one step of the raw exchange. */
static void turn(struct server *s)
{
	struct floor *f = &s->floor;

	if (s->fd < 0) {
		leap_pollgroup_poll(s->pg, 0);
		s->fd = atomic_load_explicit(&s->floor_fd,
					     memory_order_acquire);
		if (s->fd < 0)
			return;
		floor_init(f, s->fd, s->floor_test,
			   !strcmp(s->floor_test->leaf, "memory"), 1);
	}
	if (floor_step(f) < 0) {
		floor_fini(f);
		s->fd = -1;
		atomic_store(&s->floor_fd, -1);
	}
}

static void serve_end(struct server *s)
{
	leap_target_destroy(s->target, gone, s);
	while (!s->destroyed)
		leap_pollgroup_poll(s->pg, 0);
	leap_pollgroup_destroy(s->pg);
}

static void *serve(void *arg)
{
	struct server *s = arg;

	bench_pin(1);
	serve_setup(s);
	atomic_store(&s->ready, 1);
	while (!atomic_load_explicit(&s->stop, memory_order_relaxed))
		turn(s);
	serve_end(s);
	return NULL;
}

/* With one thread for both sides the server has a turn. */
static void other(struct server *s)
{
	if (s->one_thread)
		turn(s);
}

/* ---- the host's side ---- */

static struct result floor_run(struct server *s, const struct test *t,
			       uint64_t ns)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	static struct bench_hist hist;
	uint64_t starts[MAX_QD], now, start, end, total = 0, at = 0;
	struct result r;
	struct floor f;
	int l, fd, n, i;
	uint64_t cpu;

	memset(&hist, 0, sizeof(hist));
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(l, (struct sockaddr *)&addr, sizeof(addr)) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&addr, &len))
		die("floor listen");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&addr, len))
		die("floor connect");
	floor_init(&f, fd, t, 0, 0);
	s->floor_test = t;
	atomic_store_explicit(&s->floor_fd, accept(l, NULL, NULL),
			      memory_order_release);
	cpu = cpu_ns();
	start = bench_now_ns();
	end = start + ns;
	for (i = 0; i < (int)t->qd; i++)
		starts[i] = start;
	f.owed = t->qd;
	floor_push(&f);
	do {
		other(s);
		n = floor_step(&f);
		if (n < 0)
			die("the floor's connection");
		now = bench_now_ns();
		for (i = 0; i < n; i++) {
			bench_hist_add(&hist, now - starts[at]);
			starts[at] = now;
			at = at + 1 == t->qd ? 0 : at + 1;
		}
		total += (uint64_t)n;
	} while (now < end);
	cpu = cpu_ns() - cpu;
	floor_fini(&f);
	close(l);
	while (atomic_load(&s->floor_fd) >= 0)
		other(s);
	r.n = total;
	r.rate = (double)total * 1e9 /
		(double)(s->one_thread ? cpu : now - start);
	r.p50 = bench_hist_at(&hist, 0.5) / 1000;
	r.p999 = bench_hist_at(&hist, 0.999) / 1000;
	return r;
}

struct io {
	struct leap_req req;
	struct leap_piece piece;
	uint64_t start;
};

static struct {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct io ios[MAX_QD];
	struct leap_req *again[MAX_QD];
	uint8_t *data;
	struct bench_hist hist;
	uint64_t total, block, now;
	uint32_t nr_again, nsid;
	const struct test *t;
	int live, closed, failed;
} h;

static void host_state(struct leap_host *host, enum leap_host_state state,
		       leap_status_t status, int sys_errno, void *arg)
{
	h.live = state == LEAP_HOST_LIVE ? 1 : -1;
	if (h.live < 0)
		fprintf(stderr, "bench-tcp: host state %d: %s, errno %d\n",
			state, leap_status_str(status), sys_errno);
}

static void host_closed(void *arg)
{
	h.closed = 1;
}

static void io_done(struct leap_req *req)
{
	if (leap_req_status(req))
		h.failed = 1;
	if (!h.now)
		h.now = bench_now_ns();
	bench_hist_add(&h.hist, h.now - ((struct io *)req)->start);
	h.total++;
	h.again[h.nr_again++] = req;
}

static void io_fill(struct io *io, uint64_t now)
{
	uint32_t blocks = h.t->bytes / 4096;

	io->start = now;
	io->req.sqe.opc = h.t->write ? LEAP_NVM_WRITE : LEAP_NVM_READ;
	io->req.sqe.nsid = leap_to_le32(h.nsid);
	io->req.sqe.cdw10 = leap_to_le32((uint32_t)h.block);
	io->req.sqe.cdw12 = leap_to_le32(blocks - 1);
	h.block = h.block + blocks + blocks > BLOCKS ? 0 : h.block + blocks;
}

static void host_open(struct server *s, const struct test *t)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;

	memset(&h.hist, 0, sizeof(h.hist));
	h.live = h.closed = 0;
	h.total = 0;
	h.nr_again = 0;
	h.t = t;
	h.nsid = strcmp(t->leaf, "null") ? 2 : 1;
	opts.url = s->url;
	opts.nr_io_queues = 1;
	opts.depth = t->qd + 1 < 8 ? 8 : t->qd + 1;
	opts.flags = t->flags;
	opts.loss_ms = UINT32_MAX;
	opts.state = host_state;
	if (leap_host_connect(h.pg, &opts, &h.host))
		die("leap_host_connect");
	while (!h.live) {
		leap_pollgroup_poll(h.pg, 0);
		other(s);
	}
	if (h.live < 0)
		die("connect");
}

static struct result our_run(struct server *s, const struct test *t,
			     uint64_t ns)
{
	uint64_t start, end;
	struct result r;
	uint64_t cpu;
	uint32_t i;

	host_open(s, t);
	cpu = cpu_ns();
	start = bench_now_ns();
	end = start + ns;
	for (i = 0; i < t->qd; i++) {
		struct io *io = &h.ios[i];

		io->piece.addr = h.data + (size_t)i * t->bytes;
		io->piece.len_bytes = t->bytes;
		io->req.pieces = &io->piece;
		io->req.nr_pieces = 1;
		io->req.done = io_done;
		h.again[h.nr_again++] = &io->req;
	}
	h.now = start;
	do {
		for (i = 0; i < h.nr_again; i++)
			io_fill((struct io *)h.again[i], h.now);
		if (h.nr_again) {
			i = h.nr_again;
			h.nr_again = 0;
			if (leap_host_submit(h.host, 1, h.again, i) != (int)i)
				die("leap_host_submit");
			leap_host_kick(h.host, 1);
		}
		h.now = 0;
		other(s);
		leap_pollgroup_poll(h.pg, 0);
	} while ((h.now ? h.now : (h.now = bench_now_ns())) < end);
	cpu = cpu_ns() - cpu;
	r.n = h.total;
	r.rate = (double)h.total * 1e9 /
		(double)(s->one_thread ? cpu : h.now - start);
	while (h.nr_again < t->qd) {
		leap_pollgroup_poll(h.pg, 0);
		other(s);
	}
	r.p50 = bench_hist_at(&h.hist, 0.5) / 1000;
	r.p999 = bench_hist_at(&h.hist, 0.999) / 1000;
	leap_host_close(h.host, host_closed, NULL);
	while (!h.closed) {
		leap_pollgroup_poll(h.pg, 0);
		other(s);
	}
	if (h.failed)
		die("a command failed");
	return r;
}

static int run_test(struct server *s, const struct test *t, unsigned int n,
		    uint64_t ns, int json, int first)
{
	double ratio[MAX_SAMPLES], rate[MAX_SAMPLES], fl[MAX_SAMPLES];
	double p50[MAX_SAMPLES], p999[MAX_SAMPLES], fp999[MAX_SAMPLES];
	unsigned int i, kept = 0, dropped = 0;
	double worst;

	for (i = 0; i < n; i++) {
		struct result a = floor_run(s, t, ns);
		struct result o = our_run(s, t, ns);
		struct result b = floor_run(s, t, ns);
		double mean = (a.rate + b.rate) / 2;

		if (!a.n || !b.n || a.rate > b.rate * 1.2 ||
		    b.rate > a.rate * 1.2) {
			dropped++;
			continue;
		}
		ratio[kept] = o.rate / mean;
		rate[kept] = o.rate;
		fl[kept] = mean;
		p50[kept] = o.p50;
		p999[kept] = o.p999;
		fp999[kept++] = (a.p999 + b.p999) / 2;
	}
	worst = bench_median(ratio, kept);
	if (json)
		printf("%s\n  {\"name\": \"%s\", \"ratio\": %.3f, "
		       "\"iops\": %.0f, \"floor\": %.0f, \"p50_us\": %.1f, "
		       "\"p999_us\": %.1f, \"floor_p999_us\": %.1f, "
		       "\"samples\": %u, \"dropped\": %u}", first ? "" : ",",
		       t->name, worst, bench_median(rate, kept),
		       bench_median(fl, kept),
		       bench_median(p50, kept), bench_median(p999, kept),
		       bench_median(fp999, kept), kept, dropped);
	else
		printf("%-30s %6.3f %9.0f %9.0f %8.1f %8.1f %8.1f %4u %4u\n",
		       t->name, worst, bench_median(rate, kept),
		       bench_median(fl, kept),
		       bench_median(p50, kept), bench_median(p999, kept),
		       bench_median(fp999, kept), kept, dropped);
	fflush(stdout);
	/* One or two samples say nothing. */
	return kept > 2 && worst > 1.1;
}

struct choice {
	int json, one_thread;
	unsigned int samples;
	uint64_t ms;		/* of a sample */
	const char *only;	/* what a test's name has in it */
};

static struct choice choose(int argc, char **argv)
{
	struct choice c = { .samples = 5, .ms = 200, .only = "" };
	int a;

	for (a = 1; a < argc; a++) {
		if (!strcmp(argv[a], "--json"))
			c.json = 1;
		else if (!strcmp(argv[a], "--one-thread"))
			c.one_thread = 1;
		else if (!strcmp(argv[a], "--smoke"))
			c.ms = 10, c.samples = 2;
		else if (!strcmp(argv[a], "--ms") && a + 1 < argc)
			c.ms = strtoull(argv[++a], NULL, 10);
		else if (!strcmp(argv[a], "--samples") && a + 1 < argc)
			c.samples = (unsigned int)atoi(argv[++a]);
		else if (!strcmp(argv[a], "--only") && a + 1 < argc)
			c.only = argv[++a];
		else
			die("usage: [--json] [--smoke] [--one-thread] "
			    "[--ms MS] [--samples N] [--only TEXT]");
	}
	if (c.samples > MAX_SAMPLES)
		c.samples = MAX_SAMPLES;
	return c;
}

int main(int argc, char **argv)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;
	struct choice c = choose(argc, argv);
	static struct server s;
	unsigned int i;
	int bad = 0, first = 1;

	bench_net("bench-tcp");
	s.one_thread = c.one_thread;
	atomic_store(&s.floor_fd, -1);
	s.fd = -1;
	if (s.one_thread)
		serve_setup(&s);
	else if (pthread_create(&s.thread, NULL, serve, &s))
		die("pthread_create");
	bench_pin(0);
	while (!s.one_thread && !atomic_load(&s.ready))
		sched_yield();
	popts.world = LEAP_WORLD_EPOLL;
	if (leap_pollgroup_create(&popts, &h.pg))
		die("leap_pollgroup_create");
	h.data = malloc((size_t)MAX_QD * MAX_BYTES);
	memset(h.data, 2, (size_t)MAX_QD * MAX_BYTES);
	if (c.json)
		printf("{\"bench\": \"tcp\", \"results\": [");
	else
		printf("%-30s %6s %9s %9s %8s %8s %8s %4s %4s\n", "", "ratio",
		       "iops", "floor", "p50 us", "p999 us", "f p999", "kept",
		       "drop");
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (!strstr(tests[i].name, c.only))
			continue;
		bad |= run_test(&s, &tests[i], c.samples, c.ms * 1000000u,
				c.json, first);
		first = 0;
	}
	if (c.json)
		printf("\n]}\n");
	atomic_store(&s.stop, 1);
	if (s.one_thread)
		serve_end(&s);
	else
		pthread_join(s.thread, NULL);
	leap_pollgroup_destroy(h.pg);
	free(h.data);
	if (bad)
		fprintf(stderr, "bench-tcp: a floor was beaten\n");
	return bad;
}
