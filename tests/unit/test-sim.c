/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulator: a seed replays to the byte, time is virtual, streams behave as
 * real ones, and each fault of the network does what its comment says.
 */
#include "sim-world.h"

#include <sys/stat.h>

/* ---- replay -------------------------------------------------------------- */

/* A server that echoes and writes each byte it gets to its disk; a client that
 * checks. All by callbacks, so that the order is the scheduler's. */
struct echo {
	struct leap_sim *sim;
	struct world_test client, server;
	struct leap__wfd *c, *s, *disk;
	struct test_io crx, ctx, srx, stx, wr;
	unsigned char out[20000], in[20000], buf[3000];
	size_t got, sent, echoed, written;
	int server_busy;
	bool finished;
};

static struct echo *of(struct leap__io *io)
{
	return io->arg;
}

static void submit(struct echo *e, struct test_io *x, int op,
		   struct leap__wfd *f, const void *buf, size_t bytes,
		   uint64_t offset, void (*done)(struct leap__io *io))
{
	io_prep(x, op, f);
	x->iov = (struct iovec){ (void *)(uintptr_t)buf, bytes };
	x->io.offset = offset;
	x->io.done = done;
	x->io.arg = e;
	leap__io_submit(f->world, &x->io);
}

static void client_got(struct leap__io *io)
{
	struct echo *e = of(io);

	assert_true(io->res > 0);
	e->got += (size_t)io->res;
	if (e->got == sizeof(e->in)) {
		e->finished = true;
		return;
	}
	submit(e, &e->crx, LEAP__IO_RECV, e->c, e->in + e->got,
	       sizeof(e->in) - e->got, 0, client_got);
}

static void client_sent(struct leap__io *io)
{
	assert_int_equal(io->res, sizeof(of(io)->out));
}

static void server_got(struct leap__io *io);

static void server_step(struct leap__io *io)
{
	struct echo *e = of(io);

	assert_int_equal(io->res, e->srx.io.res);
	if (--e->server_busy)
		return;
	submit(e, &e->srx, LEAP__IO_RECV, e->s, e->buf, sizeof(e->buf), 0,
	       server_got);
}

static void server_got(struct leap__io *io)
{
	struct echo *e = of(io);
	size_t n = (size_t)io->res;

	if (io->res <= 0)
		return;
	e->server_busy = 2;
	submit(e, &e->wr, LEAP__IO_WRITE, e->disk, e->buf, n, e->written,
	       server_step);
	submit(e, &e->stx, LEAP__IO_SEND, e->s, e->buf, n, 0, server_step);
	e->written += n;
}

static bool echo_finished(void *arg)
{
	return ((struct echo *)arg)->finished;
}

static uint64_t echo_run(uint64_t seed)
{
	struct echo *e = calloc(1, sizeof(*e));
	struct leap__world *w;
	uint64_t hash;
	size_t i;

	e->sim = seeded(seed);
	for (i = 0; i < sizeof(e->out); i++)
		e->out[i] = (unsigned char)(i * 31 + i / 256);
	assert_int_equal(leap_sim_disk(e->sim, "disk0", 32768), 0);
	assert_int_equal(leap_sim_disk(e->sim, "disk0", 1), -EEXIST);
	enter(e->sim, &e->server, 1);
	enter(e->sim, &e->client, 2);
	w = world_of(&e->server);
	assert_int_equal(w->ops->open(w, "disk0", LEAP__OPEN_WRITE |
				      LEAP__OPEN_LOCK, 0, &e->disk), 0);
	connect_two(e->sim, &e->client, &e->server, &e->c, &e->s);
	submit(e, &e->srx, LEAP__IO_RECV, e->s, e->buf, sizeof(e->buf), 0,
	       server_got);
	submit(e, &e->crx, LEAP__IO_RECV, e->c, e->in, sizeof(e->in), 0,
	       client_got);
	submit(e, &e->ctx, LEAP__IO_SEND, e->c, e->out, sizeof(e->out), 0,
	       client_sent);
	assert_int_equal(leap_sim_run(e->sim, echo_finished, e, 10 * SECOND),
			 1);
	assert_memory_equal(e->in, e->out, sizeof(e->out));
	assert_int_equal(leap_sim_run(e->sim, NULL, NULL, 10 * SECOND), 0);
	assert_memory_equal(leap_sim_disk_data(e->sim, "disk0", NULL), e->out,
			    sizeof(e->out));
	e->c->world->ops->close(e->c);
	assert_int_equal(leap_sim_run(e->sim, NULL, NULL, SECOND), 0);
	w->ops->close(e->s);
	w->ops->close(e->disk);
	assert_true(leap_sim_disk_unlocked(e->sim, "disk0"));
	hash = leap_sim_trace_hash(e->sim);
	leave(&e->client);
	leave(&e->server);
	leap_sim_destroy(e->sim);
	free(e);
	return hash;
}

static void test_replay(void **state)
{
	uint64_t seed, hash, last = 0;

	for (seed = 0; seed < 100; seed++) {
		hash = echo_run(seed);
		assert_true(hash == echo_run(seed));
		assert_true(hash != last);
		last = hash;
	}
}

/* ---- sleeping, messages, timers ------------------------------------------ */

struct ping {
	struct leap_msg msg;
	struct leap_timer timer;
	struct leap_pollgroup *to, *from;
	int count;
};

static void ping_run(struct leap_msg *msg)
{
	struct ping *p = (struct ping *)msg;
	struct leap_pollgroup *pg = p->to;

	p->to = p->from;
	p->from = pg;
	if (++p->count < 1000)
		leap_pollgroup_send(p->to, &p->msg);
}

static bool pinged(void *arg)
{
	return ((struct ping *)arg)->count == 1000;
}

static void tick(struct leap_timer *t)
{
	struct ping *p = (struct ping *)((char *)t -
					 offsetof(struct ping, timer));

	p->count++;
}

static bool ticked(void *arg)
{
	return ((struct ping *)arg)->count > 0;
}

static void test_clock(void **state)
{
	struct leap_sim *sim = seeded(3);
	struct world_test a, b;
	struct ping p = { { ping_run } };
	uint64_t start = leap_sim_now_ns(sim);

	enter(sim, &a, 1);
	enter(sim, &b, 1);
	/* Two groups that wake each other, and sleep in between. */
	p.to = a.pg;
	p.from = b.pg;
	leap_pollgroup_send(a.pg, &p.msg);
	assert_int_equal(leap_sim_run(sim, pinged, &p, SECOND), 1);
	/* An hour costs nothing, and the clock is right to the poll. */
	p.count = 0;
	p.timer.run = tick;
	start = leap_sim_now_ns(sim);
	leap_timer_start(a.pg, &p.timer, 3600 * SECOND);
	assert_int_equal(leap_sim_run(sim, ticked, &p, 3599 * SECOND), -ETIME);
	assert_int_equal(leap_sim_run(sim, ticked, &p, 2 * SECOND), 1);
	assert_true(leap_sim_now_ns(sim) - start - 3600 * SECOND < 100000);
	/* Nothing left to do, ever. */
	assert_int_equal(leap_sim_run(sim, NULL, NULL, UINT64_MAX), 0);
	/* wait: the others go on, and a timeout is virtual too. */
	start = leap_sim_now_ns(sim);
	assert_int_equal(leap_pollgroup_wait(a.pg, 5 * SECOND), 0);
	assert_true(leap_sim_now_ns(sim) - start >= 5 * SECOND);
	/* A stopped process does nothing until it goes on. */
	p.count = 0;
	leap_timer_start(b.pg, &p.timer, 10);
	leap_sim_stop(sim, 1);
	assert_int_equal(leap_sim_run(sim, ticked, &p, SECOND), 0);
	leap_sim_continue(sim, 1);
	assert_int_equal(leap_sim_run(sim, ticked, &p, SECOND), 1);
	leave(&a);
	leave(&b);
	leap_sim_destroy(sim);
}

/* ---- network faults ------------------------------------------------------ */

static void test_hold(void **state)
{
	struct leap_sim *sim = seeded(5);
	struct world_test a, b;
	struct leap__wfd *sa, *sb;
	struct test_io rx, tx, back, brx;
	char buf[8] = "", buf2[8] = "";

	enter(sim, &a, 1);
	enter(sim, &b, 2);
	connect_two(sim, &a, &b, &sa, &sb);
	assert_int_equal(leap_sim_net_count(sim, 1, 2), 1);
	leap_sim_net_hold(sim, 1, 2);
	io_start(&b, &rx, LEAP__IO_RECV, sb, buf, 1, 0);
	io_start(&a, &tx, LEAP__IO_SEND, sa, "x", 1, 0);
	run_io(sim, &tx, 1);
	/* Half-open: the other direction lives. */
	io_start(&a, &brx, LEAP__IO_RECV, sa, buf2, 1, 0);
	io_start(&b, &back, LEAP__IO_SEND, sb, "y", 1, 0);
	run_io(sim, &back, 1);
	run_io(sim, &brx, 1);
	assert_int_equal(leap_sim_run(sim, is_done, &rx, 60 * SECOND), 0);
	leap_sim_net_release(sim, LEAP_SIM_ANY, 2);
	run_io(sim, &rx, 1);
	assert_int_equal(buf[0], 'x');
	/* Cut: both ends find out, and there is no connection any more. */
	io_start(&b, &rx, LEAP__IO_RECV, sb, buf, 1, 0);
	io_start(&a, &brx, LEAP__IO_RECV, sa, buf, 1, 0);
	leap_sim_net_reset(sim, 2, LEAP_SIM_ANY);
	run_io(sim, &rx, -ECONNRESET);
	run_io(sim, &brx, -ECONNRESET);
	io_start(&a, &tx, LEAP__IO_SEND, sa, "x", 1, 0);
	run_io(sim, &tx, -EPIPE);
	assert_int_equal(world_of(&a)->ops->peer_closed(sa), 1);
	world_of(&a)->ops->close(sa);
	world_of(&b)->ops->close(sb);
	assert_int_equal(leap_sim_net_count(sim, 1, 2), 0);
	leave(&a);
	leave(&b);
	leap_sim_destroy(sim);
}

/* What is sent before the sender hears of a reset comes after it, with what was
 * sent earlier gone: nobody gets a stream with a hole. */
static void test_reset_has_no_hole(void **state)
{
	struct test_io rx, tx;
	struct leap__wfd *sa, *sb;
	struct world_test a, b;
	uint32_t seed;

	for (seed = 1; seed <= 32; seed++) {
		struct leap_sim *sim = seeded(seed);
		char buf[8] = "";

		enter(sim, &a, 1);
		enter(sim, &b, 2);
		connect_two(sim, &a, &b, &sa, &sb);
		io_start(&a, &tx, LEAP__IO_SEND, sa, "x", 1, 0);
		run_io(sim, &tx, 1);
		leap_sim_net_reset(sim, 1, 2);
		io_start(&a, &tx, LEAP__IO_SEND, sa, "y", 1, 0);
		leap_sim_run(sim, is_done, &tx, SECOND);
		leap_sim_run(sim, NULL, NULL, SECOND);
		io_start(&b, &rx, LEAP__IO_RECV, sb, buf, 1, 0);
		run_io(sim, &rx, -ECONNRESET);
		world_of(&a)->ops->close(sa);
		world_of(&b)->ops->close(sb);
		leave(&a);
		leave(&b);
		leap_sim_destroy(sim);
	}
}

/* A descriptor of @a's arrives at @b. */
static void pass_fd(struct leap_sim *sim, struct world_test *a,
		    struct leap__wfd *sa, struct world_test *b,
		    struct leap__wfd *sb)
{
	int fds[LEAP__IO_FDS_MAX], null;
	struct test_io rx, tx;
	struct stat st;
	char buf[64];

	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	io_prep(&tx, LEAP__IO_SENDMSG, sa);
	tx.iov = (struct iovec){ (char[]){ "fd" }, 2 };
	tx.io.fds = &null;
	tx.io.nr_fds = 1;
	leap__io_submit(world_of(a), &tx.io);
	io_prep(&rx, LEAP__IO_RECVMSG, sb);
	rx.iov = (struct iovec){ buf, sizeof(buf) };
	rx.io.fds = fds;
	leap__io_submit(world_of(b), &rx.io);
	assert_int_equal(leap_sim_run(sim, is_done, &rx, SECOND), 1);
	assert_int_equal(rx.io.nr_fds, 1);
	assert_int_equal(fstat(fds[0], &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	close(fds[0]);
	close(null);
	run_io(sim, &tx, 2);
}

static void test_streams(void **state)
{
	struct leap_sim *sim = seeded(6);
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/sock" };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = 7 };
	struct world_test a, b;
	struct leap__world *w;
	struct leap__wfd *sa, *sb, *l, *s;
	struct test_io rx, tx, conn, pending;
	char buf[64];

	enter(sim, &a, 1);
	enter(sim, &b, 2);
	w = world_of(&a);
	/* Nobody there. */
	assert_int_equal(w->ops->socket(w, AF_INET, &s), 0);
	io_prep(&conn, LEAP__IO_CONNECT, s);
	conn.io.addr = (struct sockaddr *)&in;
	leap__io_submit(w, &conn.io);
	run_io(sim, &conn, -ECONNREFUSED);
	w->ops->close(s);
	/* Unix: a path is taken once; descriptors arrive. */
	assert_int_equal(w->ops->listen(w, (struct sockaddr *)&un, sizeof(un),
					1, 0, &l), 0);
	assert_int_equal(w->ops->listen(w, (struct sockaddr *)&un, sizeof(un),
					1, 0, &s), -EADDRINUSE);
	w->ops->close(l);
	connect_two(sim, &a, &b, &sa, &sb);
	pass_fd(sim, &a, sa, &b, sb);
	/* Cancel, then end of stream after the data. */
	io_start(&a, &rx, LEAP__IO_RECV, sa, buf, 1, 0);
	w->ops->cancel(w, &rx.io);
	run_io(sim, &rx, -ECANCELED);
	io_start(&b, &tx, LEAP__IO_SEND, sb, "z", 1, 0);
	run_io(sim, &tx, 1);
	io_start(&b, &pending, LEAP__IO_RECV, sb, buf, 64, 0);
	world_of(&b)->ops->close(sb);
	run_io(sim, &pending, -ECANCELED);
	io_start(&a, &rx, LEAP__IO_RECV, sa, buf, 64, 0);
	run_io(sim, &rx, 1);
	io_start(&a, &rx, LEAP__IO_RECV, sa, buf, 64, 0);
	run_io(sim, &rx, 0);
	w->ops->close(sa);
	leave(&a);
	leave(&b);
	leap_sim_destroy(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_reset_has_no_hole),
		cmocka_unit_test(test_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
