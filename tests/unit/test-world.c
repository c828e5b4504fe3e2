/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The real worlds: every case runs over epoll and over uring. Sockets with
 * partial sends, end of stream, cancel and close, descriptors passed along;
 * files with all operations.
 */
#include "core/io/world.h"
#include "world-fixture.h"

#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

/* ---- streams ------------------------------------------------------------ */

static void test_tcp_echo(void **state)
{
	struct world_test *t = *state;
	char text[80], buf[64] = { 0 };
	struct leap__wfd *a, *b;
	struct leap__world *w = world_of(t);
	struct test_io rx, tx;
	uint64_t calls;

	tcp_pair(t, &a, &b);
	assert_int_equal(w->ops->peer_text(a, text, sizeof(text)), 0);
	assert_memory_equal(text, "127.0.0.1:", 10);
	assert_int_equal(w->ops->peer_closed(a), 0);

	/* A receive that waits, then a send to it. */
	io_start(t, &rx, LEAP__IO_RECV, b, buf, sizeof(buf), 0);
	poll_some(t, 3);
	assert_int_equal(rx.nr_done, 0);
	io_start(t, &tx, LEAP__IO_SEND, a, "hello", 5, 0);
	assert_int_equal(tx.nr_done, 0);	/* never inside submit */
	io_wait(t, &tx, 5);
	io_wait(t, &rx, 5);
	assert_memory_equal(buf, "hello", 5);

	/* When both are busy, a message costs one send and few receives. */
	poll_some(t, 200);
	calls = w->syscalls;
	io_start(t, &rx, LEAP__IO_RECV, b, buf, sizeof(buf), 0);
	io_start(t, &tx, LEAP__IO_SEND, a, "again", 5, 0);
	io_wait(t, &tx, 5);
	io_wait(t, &rx, 5);
	assert_true(w->syscalls - calls <= 6);

	w->ops->close(a);
	assert_int_equal(w->ops->peer_closed(b), 1);
	io_start(t, &rx, LEAP__IO_RECV, b, buf, sizeof(buf), 0);
	io_wait(t, &rx, 0);		/* end of stream */
	io_start(t, &rx, LEAP__IO_RECV, b, buf, sizeof(buf), 0);
	io_wait(t, &rx, 0);		/* and it stays so */
	w->ops->close(b);
}

/* More than the socket holds, in many pieces, read slowly. */
static void partial(struct world_test *t, struct leap__wfd *a,
		    struct leap__wfd *b)
{
	enum { PIECES = 3000, PIECE = 5003 };
	struct leap__world *w = world_of(t);
	size_t all = (size_t)PIECES * PIECE, got = 0, i;
	unsigned char *data = malloc(all), *in = malloc(65536);
	struct iovec *iov = calloc(PIECES, sizeof(*iov));
	struct test_io rx, tx;

	assert_true(data && in && iov);
	for (i = 0; i < all; i++)
		data[i] = (unsigned char)(i * 7 + i / 251);
	for (i = 0; i < PIECES; i++) {
		iov[i].iov_base = data + i * PIECE;
		iov[i].iov_len = PIECE;
	}
	io_prep(&tx, LEAP__IO_SEND, a);
	tx.io.iov = iov;
	tx.io.nr_iov = PIECES;
	leap__io_submit(w, &tx.io);
	poll_some(t, 10);
	assert_int_equal(tx.nr_done, 0);
	while (got < all) {
		io_start(t, &rx, LEAP__IO_RECV, b, in, 65536, 0);
		io_wait_any(t, &rx);
		assert_true(rx.io.res > 0);
		assert_memory_equal(in, data + got, (size_t)rx.io.res);
		got += (size_t)rx.io.res;
	}
	io_wait(t, &tx, (int64_t)all);
	w->ops->close(a);
	w->ops->close(b);
	free(data);
	free(in);
	free(iov);
}

static void test_partial_tcp(void **state)
{
	struct leap__wfd *a, *b;

	tcp_pair(*state, &a, &b);
	partial(*state, a, b);
}

static void test_partial_unix(void **state)
{
	struct leap__wfd *a, *b;

	unix_pair(*state, &a, &b);
	partial(*state, a, b);
}

/* Many connections, each with its own echo; none is starved or mixed up. */
static void test_many(void **state)
{
	enum { NR = 100, ROUNDS = 20 };
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	struct leap__wfd *a[NR], *b[NR];
	struct test_io rx[NR], tx[NR];
	int out[NR], in[NR], i, round;

	for (i = 0; i < NR; i++)
		tcp_pair(t, &a[i], &b[i]);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < NR; i++) {
			out[i] = i * 1000 + round;
			io_start(t, &rx[i], LEAP__IO_RECV, b[i], &in[i], 4, 0);
		}
		for (i = 0; i < NR; i++)
			io_start(t, &tx[i], LEAP__IO_SEND, a[i], &out[i], 4, 0);
		for (i = 0; i < NR; i++) {
			io_wait(t, &rx[i], 4);
			io_wait(t, &tx[i], 4);
			assert_int_equal(in[i], out[i]);
		}
	}
	for (i = 0; i < NR; i++) {
		w->ops->close(a[i]);
		w->ops->close(b[i]);
	}
}

/* A message wakes the group when it sleeps, busy socket or not. */
static void test_sleep(void **state)
{
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	struct leap__wfd *a, *b;
	struct test_io rx, tx;
	char buf[8];
	int i;

	tcp_pair(t, &a, &b);
	for (i = 0; i < 200; i++) {
		io_start(t, &rx, LEAP__IO_RECV, b, buf, sizeof(buf), 0);
		poll_some(t, i % 20);
		while (leap_pollgroup_arm(t->pg))
			leap_pollgroup_poll(t->pg, 0);
		assert_int_equal(fd_readable(t, 0), 0);
		assert_int_equal(rx.nr_done, 0);
		/* Without a poll in between: arm pushes it out. */
		io_start(t, &tx, LEAP__IO_SEND, a, "x", 1, 0);
		while (!leap_pollgroup_arm(t->pg))
			assert_int_equal(fd_readable(t, 5000), 1);
		io_wait(t, &rx, 1);
		io_wait(t, &tx, 1);
	}
	w->ops->close(a);
	w->ops->close(b);
}

static void test_cancel(void **state)
{
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	struct test_io rx[3], tx;
	struct leap__wfd *a, *b;
	char buf[8];
	int i;

	unix_pair(t, &a, &b);
	for (i = 0; i < 3; i++)
		io_start(t, &rx[i], LEAP__IO_RECV, b, buf, sizeof(buf), 0);
	w->ops->cancel(w, &rx[1].io);
	assert_int_equal(rx[1].nr_done, 0);
	io_wait(t, &rx[1], -ECANCELED);
	io_start(t, &tx, LEAP__IO_SEND, a, "1", 1, 0);
	io_wait(t, &rx[0], 1);
	/* Done, but not called yet: cancel is too late and harmless. */
	io_start(t, &tx, LEAP__IO_SEND, a, "2", 1, 0);
	w->ops->flush(w);
	w->ops->cancel(w, &tx.io);
	io_wait(t, &tx, 1);
	io_wait(t, &rx[2], 1);
	/* Close ends what is pending, once. */
	for (i = 0; i < 3; i++)
		io_start(t, &rx[i], LEAP__IO_RECV, b, buf, sizeof(buf), 0);
	w->ops->close(b);
	poll_some(t, 5);
	for (i = 0; i < 3; i++) {
		assert_int_equal(rx[i].nr_done, 1);
		assert_int_equal(rx[i].io.res, -ECANCELED);
	}
	io_start(t, &tx, LEAP__IO_SEND, a, "3", 1, 0);
	io_wait(t, &tx, -EPIPE);
	/* An operation that does not fit is refused in done as well. */
	io_start(t, &tx, LEAP__IO_ACCEPT, a, NULL, 0, 0);
	io_wait(t, &tx, -EINVAL);
	w->ops->close(a);
}

static void test_refused(void **state)
{
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_storage ss;
	struct leap__wfd *l, *s;
	struct test_io io;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(w->ops->listen(w, (struct sockaddr *)&in, sizeof(in),
					0, 0, &l), 0);
	assert_int_equal(w->ops->local_addr(l, &ss), 0);
	w->ops->close(l);
	assert_int_equal(w->ops->socket(w, AF_INET, &s), 0);
	io_prep(&io, LEAP__IO_CONNECT, s);
	io.io.addr = (struct sockaddr *)&ss;
	leap__io_submit(w, &io.io);
	io_wait(t, &io, -ECONNREFUSED);
	w->ops->close(s);
	assert_int_equal(w->ops->socket(w, AF_PACKET, &s), -EAFNOSUPPORT);
}

static void test_fds(void **state)
{
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	int send_fds[2], got[LEAP__IO_FDS_MAX], i;
	struct leap__wfd *a, *b, *ev;
	struct test_io rx, tx, watch;
	struct stat st;
	char buf[16];

	unix_pair(t, &a, &b);
	send_fds[0] = eventfd(0, EFD_CLOEXEC);
	send_fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	io_prep(&rx, LEAP__IO_RECVMSG, b);
	rx.iov = (struct iovec){ buf, sizeof(buf) };
	rx.io.fds = got;
	leap__io_submit(w, &rx.io);
	io_prep(&tx, LEAP__IO_SENDMSG, a);
	tx.iov = (struct iovec){ (char[]){ "fds" }, 3 };
	tx.io.fds = send_fds;
	tx.io.nr_fds = 2;
	leap__io_submit(w, &tx.io);
	io_wait(t, &tx, 3);
	io_wait(t, &rx, 3);
	assert_int_equal(rx.io.nr_fds, 2);
	assert_int_equal(fstat(got[1], &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	for (i = 0; i < 2; i++)
		assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
	/* What arrived is an eventfd: watch it, and signal it by ours. */
	assert_int_equal(w->ops->adopt(w, got[0], &ev), 0);
	for (i = 0; i < 3; i++) {
		io_start(t, &watch, LEAP__IO_WATCH, ev, NULL, 0, 0);
		poll_some(t, 3);
		assert_int_equal(watch.nr_done, 0);
		assert_int_equal(eventfd_write(send_fds[0], 3), 0);
		io_wait(t, &watch, 0);
	}
	w->ops->close(ev);
	close(got[1]);
	close(send_fds[0]);
	close(send_fds[1]);
	w->ops->close(a);
	w->ops->close(b);
}

/* A socket moves to another group with what arrived meanwhile. */
static void test_move(void **state)
{
	struct world_test *t = *state;
	struct leap__world *w = world_of(t), *w2;
	struct leap__wfd *a, *b;
	struct world_test other;
	struct test_io rx, tx;
	char buf[16];

	world_setup_kind(&other, t->kind);
	w2 = world_of(&other);
	tcp_pair(t, &a, &b);
	io_start(t, &rx, LEAP__IO_RECV, b, buf, sizeof(buf), 0);
	assert_int_equal(w->ops->detach(b), -EBUSY);
	w->ops->cancel(w, &rx.io);
	io_wait(t, &rx, -ECANCELED);
	assert_int_equal(w->ops->detach(b), 0);
	io_start(t, &tx, LEAP__IO_SEND, a, "moved", 5, 0);
	io_wait(t, &tx, 5);
	assert_int_equal(w2->ops->attach(w2, b), 0);
	io_start(&other, &rx, LEAP__IO_RECV, b, buf, sizeof(buf), 0);
	io_wait(&other, &rx, 5);
	w2->ops->close(b);
	w->ops->close(a);
	world_teardown_kind(&other);
}

static void test_unix_listen(void **state)
{
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr *addr = (struct sockaddr *)&un;
	struct leap__wfd *l, *l2;
	struct stat st;
	int fd;

	tmp_path(t, un.sun_path, sizeof(un.sun_path), "sock");
	/* A socket file that nobody listens behind is replaced ... */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, addr, sizeof(un)), 0);
	close(fd);
	assert_int_equal(w->ops->listen(w, addr, sizeof(un), 8, 0600, &l), 0);
	assert_int_equal(stat(un.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* ... one that is in use is not, and another file neither. */
	assert_int_equal(w->ops->listen(w, addr, sizeof(un), 8, 0600, &l2),
			 -EADDRINUSE);
	w->ops->close(l);
	assert_int_equal(stat(un.sun_path, &st), -1);
	fd = open(un.sun_path, O_CREAT | O_RDWR, 0600);
	close(fd);
	assert_int_equal(w->ops->listen(w, addr, sizeof(un), 8, 0600, &l),
			 -EADDRINUSE);
	assert_int_equal(stat(un.sun_path, &st), 0);
	unlink(un.sun_path);
}

#define CASES(setup) { \
	cmocka_unit_test_setup_teardown(test_tcp_echo, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_partial_tcp, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_partial_unix, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_many, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_sleep, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_cancel, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_refused, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_fds, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_move, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_unix_listen, setup, teardown), \
}

int main(void)
{
	static const struct CMUnitTest epoll[] = CASES(setup_epoll);
	static const struct CMUnitTest uring[] = CASES(setup_uring);

	return run_worlds(epoll, uring, sizeof(epoll) / sizeof(epoll[0]));
}
