/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages with descriptors over a Unix socket, against a peer that writes
 * bytes: cut anywhere, with too many descriptors, or with a socket; held,
 * paused and taken to another poll group; and a peer that does not read.
 */
#include "fds.h"
#include "unit.h"

#include <sys/eventfd.h>

#include "core/io/fdchan.h"

#define HEAD	4u		/* its first byte: bytes of the message */
#define MAX_IN	64u
#define WAITING	3u

static struct {
	struct leap_pollgroup *pg, *other;
	struct leap__fdchan chan;
	int peer;
	uint8_t in[MAX_IN];
	uint8_t last[MAX_IN];	/* the last message */
	uint32_t bytes, nr_fds, nr, nr_idle, nr_gone;
	int keep, err;		/* keep: take the first descriptor */
	int hold;
} t;

static int size(const uint8_t *head)
{
	return head[0] == 0xff ? -EBADMSG : head[0];
}

static void message(struct leap__fdchan *chan, uint32_t bytes)
{
	t.nr++;
	t.bytes = bytes;
	t.nr_fds = chan->nr_fds;
	memcpy(t.last, chan->in, bytes);
	if (t.keep && chan->nr_fds) {
		t.keep = chan->fds[0];
		chan->fds[0] = -1;
	}
	if (t.hold)
		leap__fdchan_hold(chan);
}

static void idle(struct leap__fdchan *chan)
{
	t.nr_idle++;
}

static void gone(struct leap__fdchan *chan, int err)
{
	t.nr_gone++;
	t.err = err;
}

static const struct leap__fdchan_end end = {
	.head_bytes = HEAD, .max_fds = 2, .max_waiting = WAITING,
	.size = size, .message = message, .idle = idle, .gone = gone,
};

static void settle(void)
{
	int i;

	for (i = 0; i < 20; i++) {
		leap_pollgroup_poll(t.pg, 0);
		leap_pollgroup_poll(t.other, 0);
	}
}

static int setup(void **state)
{
	struct leap__world *w;
	struct leap__wfd *wfd;
	int pair[2];

	memset(&t, 0, sizeof(t));
	assert_int_equal(leap_pollgroup_create(NULL, &t.pg), 0);
	assert_int_equal(leap_pollgroup_create(NULL, &t.other), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    pair), 0);
	t.peer = pair[0];
	w = leap__pollgroup_world(t.pg);
	assert_int_equal(w->ops->adopt(w, pair[1], &wfd), 0);
	leap__fdchan_start(&t.chan, &end, t.pg, wfd, t.in, sizeof(t.in));
	settle();
	return 0;
}

static int teardown(void **state)
{
	leap__fdchan_kill(&t.chan, 0);
	settle();
	assert_true(t.nr_gone == 1 || (t.chan.told && !t.nr_gone));
	if (t.peer >= 0)
		close(t.peer);
	return leap_pollgroup_destroy(t.pg) | leap_pollgroup_destroy(t.other);
}

static void say(const void *p, size_t n, const int *fds, uint32_t nr)
{
	assert_int_equal(fds_send(t.peer, p, n, fds, nr, 0), n);
}

/* Every cut of two messages, the second one no more than a head. */
static void test_cuts(void **state)
{
	static const uint8_t two[] = { 9, 1, 2, 3, 4, 5, 6, 7, 8, 4, 9, 9, 9 };
	uint32_t cut;

	for (cut = 1; cut < sizeof(two); cut++) {
		t.nr = 0;
		say(two, cut, NULL, 0);
		settle();
		assert_int_equal(t.nr, cut >= 9);
		say(two + cut, sizeof(two) - cut, NULL, 0);
		settle();
		assert_int_equal(t.nr, 2);
		assert_int_equal(t.bytes, 4);
		assert_memory_equal(t.last, two + 9, 4);
	}
	/* Between two messages it is no error. */
	close(t.peer);
	t.peer = -1;
	settle();
	assert_int_equal(t.nr_gone, 1);
	assert_int_equal(t.err, 0);
}

static void ends_with(uint8_t first, size_t n, int err)
{
	uint8_t bytes[MAX_IN] = { first };

	say(bytes, n, NULL, 0);
	settle();
	if (!t.nr_gone) {
		close(t.peer);
		t.peer = -1;
		settle();
	}
	assert_int_equal(t.nr, 0);
	assert_int_equal(t.nr_gone, 1);
	assert_int_equal(t.err, err);
}

static void test_cut_off(void **state)
{
	ends_with(9, 5, -ECONNRESET);
}

static void test_shorter_than_its_head(void **state)
{
	ends_with(3, 4, -EPROTO);
}

static void test_longer_than_the_buffer(void **state)
{
	ends_with(MAX_IN + 1, 4, -EPROTO);
}

static void test_refused(void **state)
{
	ends_with(0xff, 4, -EBADMSG);
}

/* They come with any byte of a message, and are gone after it, but for what the
 * handler keeps. */
static void test_fds(void **state)
{
	static const uint8_t msg[] = { 6, 0, 0, 0, 0, 0 };
	int fd[2] = { eventfd(0, EFD_CLOEXEC), open("/", O_RDONLY) };
	int before = fds_open();

	say(msg, 2, &fd[0], 1);
	settle();
	say(msg + 2, 4, &fd[1], 1);
	settle();
	assert_int_equal(t.nr, 1);
	assert_int_equal(t.nr_fds, 2);
	assert_int_equal(fds_open(), before);
	t.keep = 1;
	say(msg, 6, fd, 2);
	settle();
	assert_int_equal(t.nr, 2);
	assert_int_equal(fds_open(), before + 1);
	assert_true(leap__is_eventfd(t.keep));
	assert_false(leap__is_eventfd(fd[1]));
	close(t.keep);
	close(fd[0]);
	close(fd[1]);
}

static void bad_fds(const int *fds, uint32_t nr)
{
	static const uint8_t msg[] = { 4, 0, 0, 0 };
	int before = fds_open() - 1;	/* the channel's own */

	say(msg, 4, fds, nr);
	settle();
	assert_int_equal(t.nr, 0);
	assert_int_equal(t.nr_gone, 1);
	assert_true(t.err == -EPROTO || t.err == -EBADMSG);
	assert_int_equal(fds_open(), before);
}

static void test_too_many_fds(void **state)
{
	const int fds[3] = { 0, 0, 0 };

	bad_fds(fds, 3);
}

static void test_far_too_many_fds(void **state)
{
	int fds[20] = { 0 };

	if (unit_env("LEAP_CROSS")) {
		print_message("skip: qemu-user does not tell that descriptors "
			      "were cut off\n");
		skip();
	}
	bad_fds(fds, 20);
}

static void test_own_socket(void **state)
{
	bad_fds(&t.peer, 1);
}

static void test_hold(void **state)
{
	static const uint8_t two[] = { 4, 1, 0, 0, 4, 2, 0, 0 };

	t.hold = 1;
	say(two, sizeof(two), NULL, 0);
	settle();
	assert_int_equal(t.nr, 1);
	assert_int_equal(t.in[1], 1);
	leap__fdchan_resume(&t.chan);
	settle();
	assert_int_equal(t.nr, 2);
	assert_int_equal(t.last[1], 2);
}

static void test_pause(void **state)
{
	static const uint8_t two[] = { 4, 1, 0, 0, 4, 2, 0, 0 };

	/* In the middle of a message it waits for the end of that. */
	say(two, 6, NULL, 0);
	settle();
	leap__fdchan_pause(&t.chan);
	settle();
	assert_false(leap__fdchan_is_paused(&t.chan));
	say(two + 6, 2, NULL, 0);
	settle();
	assert_int_equal(t.nr, 2);
	assert_true(leap__fdchan_is_paused(&t.chan));
	say(two, 8, NULL, 0);
	settle();
	assert_int_equal(t.nr, 2);
	leap__fdchan_unpause(&t.chan);
	settle();
	assert_int_equal(t.nr, 4);
	/* At once, or twice, it has not been. */
	leap__fdchan_pause(&t.chan);
	leap__fdchan_unpause(&t.chan);
	leap__fdchan_pause(&t.chan);
	leap__fdchan_unpause(&t.chan);
	settle();
	say(two, 8, NULL, 0);
	settle();
	assert_int_equal(t.nr, 6);
	assert_int_equal(t.nr_gone, 0);
}

static void test_move(void **state)
{
	static const uint8_t one[] = { 4, 1, 0, 0 };
	struct leap_pollgroup *to = t.other;

	leap__fdchan_pause(&t.chan);
	settle();
	assert_true(leap__fdchan_is_paused(&t.chan));
	leap__fdchan_detach(&t.chan);
	say(one, 4, NULL, 0);
	assert_int_equal(leap__fdchan_attach(&t.chan, to), 0);
	leap__fdchan_unpause(&t.chan);
	settle();
	assert_int_equal(t.nr, 1);
	assert_false(leap__fdchan_peer_closed(&t.chan));
	/* And from there it is dropped: nobody is told. */
	leap__fdchan_pause(&t.chan);
	settle();
	leap__fdchan_drop(&t.chan);
	settle();
	assert_int_equal(t.nr_gone, 0);
	assert_true(leap__fdchan_peer_closed(&t.chan));
}

static void test_out(void **state)
{
	uint8_t a[2] = { 'a', 'b' }, b[3] = { 'c', 'd', 'e' }, got[16];
	struct iovec parts[2] = { { a, 2 }, { b, 3 } };

	assert_true(leap__fdchan_idle(&t.chan));
	leap__fdchan_post(&t.chan, parts, 2, NULL, 0);
	assert_false(leap__fdchan_idle(&t.chan));
	assert_int_equal(leap__fdchan_queue(&t.chan, "fg", 2, NULL, 0), 0);
	settle();
	assert_true(leap__fdchan_idle(&t.chan));
	assert_int_equal(t.nr_idle, 1);
	assert_int_equal(recv(t.peer, got, sizeof(got), MSG_DONTWAIT), 7);
	assert_memory_equal(got, "abcdefg", 7);
}

/* A peer that does not read: so many wait, and no descriptor is kept. */
static void test_not_read(void **state)
{
	static uint8_t big[1 << 20];
	int fd = eventfd(0, EFD_CLOEXEC), before = fds_open(), bad = -1;
	uint32_t i;

	assert_int_equal(leap__fdchan_queue(&t.chan, big, 4, &bad, 1), -EBADF);
	for (i = 0; i < WAITING; i++)
		assert_int_equal(leap__fdchan_queue(&t.chan, big, sizeof(big),
						    &fd, 1), 0);
	settle();
	assert_int_equal(leap__fdchan_queue(&t.chan, big, 4, &fd, 1),
			 -ENOBUFS);
	assert_int_equal(t.nr_gone, 0);
	assert_int_equal(fds_open(), before + (int)WAITING);
	leap__fdchan_send(&t.chan, big, 4, &fd, 1);
	settle();
	assert_int_equal(t.nr_gone, 1);
	assert_int_equal(t.err, -ENOBUFS);
	assert_int_equal(leap__fdchan_queue(&t.chan, big, 4, &fd, 1),
			 -ENOTCONN);
	assert_int_equal(fds_open(), before - 1);
	close(fd);
}

#define t(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		t(test_cuts), t(test_cut_off), t(test_shorter_than_its_head),
		t(test_longer_than_the_buffer), t(test_refused), t(test_fds),
		t(test_too_many_fds), t(test_far_too_many_fds),
		t(test_own_socket), t(test_hold), t(test_pause), t(test_move),
		t(test_out), t(test_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
