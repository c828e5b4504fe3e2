/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files of the real worlds: every operation, ends of files, direct I/O, depth
 * beyond the ring, locks between processes, cancel and close under way, and
 * the sleeping group that a completion wakes.
 */
#include "core/io/world.h"
#include "world-fixture.h"

#include <sys/file.h>
#include <sys/wait.h>

#define MIB (1u << 20)

static struct leap__wfd *open_file(struct world_test *t, uint32_t flags,
				   uint64_t bytes, int want)
{
	struct leap__wfd *f = NULL;
	char path[128];

	tmp_path(t, path, sizeof(path), "file");
	assert_int_equal(world_of(t)->ops->open(world_of(t), path, flags, bytes,
						&f), want);
	return f;
}

static void remove_file(struct world_test *t)
{
	char path[128];

	tmp_path(t, path, sizeof(path), "file");
	assert_int_equal(unlink(path), 0);
}

static void fill(unsigned char *p, size_t bytes, unsigned int seed)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		p[i] = (unsigned char)(seed + i * 13 + i / 256);
}

static void op(struct world_test *t, struct leap__wfd *f, int what,
	       int flags, uint64_t offset, uint64_t len, int64_t res)
{
	struct test_io x;

	io_prep(&x, what, f);
	x.io.flags = (uint8_t)flags;
	x.io.offset = offset;
	x.io.len = len;
	x.io.nr_iov = 0;
	leap__io_submit(world_of(t), &x.io);
	io_wait(t, &x, res);
}

/* A MiB is as in @out; @in is room to read it to. */
static void holds(struct world_test *t, struct leap__wfd *f,
		  const unsigned char *out, unsigned char *in)
{
	struct test_io x;

	io_start(t, &x, LEAP__IO_READ, f, in, MIB, 0);
	io_wait(t, &x, MIB);
	assert_memory_equal(in, out, MIB);
}

static void test_ops(void **state)
{
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	unsigned char *out = malloc(MIB), *in = malloc(MIB);
	struct leap__fstat st;
	struct leap__wfd *f;
	struct test_io x;

	open_file(t, LEAP__OPEN_WRITE, 0, -ENOENT);
	f = open_file(t, LEAP__OPEN_WRITE | LEAP__OPEN_CREATE, MIB, 0);
	assert_int_equal(w->ops->fstat(f, &st), 0);
	assert_int_equal(st.bytes, MIB);
	assert_int_equal(st.is_block, 0);
	assert_int_equal(st.block_bytes, 512);
	fill(out, MIB, 1);
	io_start(t, &x, LEAP__IO_WRITE, f, out, MIB / 2, 0);
	assert_int_equal(x.nr_done, 0);
	io_wait(t, &x, MIB / 2);
	io_prep(&x, LEAP__IO_WRITE, f);
	x.iov = (struct iovec){ out + MIB / 2, MIB / 2 };
	x.io.flags = LEAP__IO_FUA;
	x.io.offset = MIB / 2;
	leap__io_submit(w, &x.io);
	io_wait(t, &x, MIB / 2);
	op(t, f, LEAP__IO_FSYNC, 0, 0, 0, 0);
	holds(t, f, out, in);

	op(t, f, LEAP__IO_DISCARD, 0, 65536, 65536, 0);
	op(t, f, LEAP__IO_ZERO, 0, 262144, 4096, 0);
	op(t, f, LEAP__IO_ZERO, LEAP__IO_PUNCH | LEAP__IO_FUA, 300000, 10, 0);
	memset(out + 65536, 0, 65536);
	memset(out + 262144, 0, 4096);
	memset(out + 300000, 0, 10);
	holds(t, f, out, in);

	/* The end of the file: short, then nothing. */
	io_start(t, &x, LEAP__IO_READ, f, in, 8192, MIB - 1000);
	io_wait(t, &x, 1000);
	io_start(t, &x, LEAP__IO_READ, f, in, 8192, MIB + 8192);
	io_wait(t, &x, 0);
	assert_int_equal(w->ops->truncate(f, 12345), 0);
	assert_int_equal(w->ops->fstat(f, &st), 0);
	assert_int_equal(st.bytes, 12345);
	io_start(t, &x, LEAP__IO_RECV, f, in, 1, 0);
	io_wait(t, &x, -EINVAL);
	w->ops->close(f);

	/* A file that is there keeps its size; read-only stays so. */
	f = open_file(t, LEAP__OPEN_CREATE, MIB, 0);
	assert_int_equal(w->ops->fstat(f, &st), 0);
	assert_int_equal(st.bytes, 12345);
	io_start(t, &x, LEAP__IO_WRITE, f, out, 10, 0);
	io_wait(t, &x, -EBADF);
	w->ops->close(f);
	remove_file(t);
	free(in);
	free(out);
}

/* Thousands of pieces and thousands of operations at once. */
static void test_depth(void **state)
{
	enum { NR = 6000, BYTES = 1024, PIECES = 2500 };
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	struct test_io *x = calloc(NR, sizeof(*x)), v;
	unsigned char *out = malloc((size_t)NR * BYTES);
	unsigned char *in = calloc(NR, BYTES);
	struct iovec *iov = calloc(PIECES, sizeof(*iov));
	struct leap__wfd *f;
	int i;

	assert_true(x && out && in && iov);
	fill(out, (size_t)NR * BYTES, 9);
	f = open_file(t, LEAP__OPEN_WRITE | LEAP__OPEN_CREATE,
		      (uint64_t)NR * BYTES, 0);
	for (i = 0; i < NR; i++)
		io_start(t, &x[i], LEAP__IO_WRITE, f, out + i * BYTES, BYTES,
			 (uint64_t)i * BYTES);
	for (i = 0; i < NR; i++)
		io_wait(t, &x[i], BYTES);
	for (i = 0; i < NR; i++)
		io_start(t, &x[i], LEAP__IO_READ, f, in + i * BYTES, BYTES,
			 (uint64_t)i * BYTES);
	for (i = 0; i < NR; i++)
		io_wait(t, &x[i], BYTES);
	assert_memory_equal(in, out, (size_t)NR * BYTES);

	memset(in, 0, (size_t)NR * BYTES);
	for (i = 0; i < PIECES; i++) {
		iov[i].iov_base = in + i * 777;
		iov[i].iov_len = 777;
	}
	io_prep(&v, LEAP__IO_READ, f);
	v.io.iov = iov;
	v.io.nr_iov = PIECES;
	leap__io_submit(w, &v.io);
	io_wait(t, &v, PIECES * 777);
	assert_memory_equal(in, out, PIECES * 777);
	for (i = 0; i < PIECES; i++)
		iov[i].iov_base = out + NR * BYTES - (i + 1) * 777;
	io_prep(&v, LEAP__IO_WRITE, f);
	v.io.iov = iov;
	v.io.nr_iov = PIECES;
	leap__io_submit(w, &v.io);
	io_wait(t, &v, PIECES * 777);
	io_start(t, &v, LEAP__IO_READ, f, in, PIECES * 777, 0);
	io_wait(t, &v, PIECES * 777);
	for (i = 0; i < PIECES; i++)
		assert_memory_equal(in + i * 777,
				    out + NR * BYTES - (i + 1) * 777, 777);
	w->ops->close(f);
	remove_file(t);
	free(x);
	free(out);
	free(in);
	free(iov);
}

static void test_direct(void **state)
{
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	struct leap__wfd *f = NULL;
	struct leap__fstat st;
	struct test_io x;
	const char *cross;
	char path[128];
	char *buf;
	int i, rc;

	tmp_path(t, path, sizeof(path), "file");
	rc = w->ops->open(w, path, LEAP__OPEN_WRITE | LEAP__OPEN_CREATE |
			  LEAP__OPEN_DIRECT, MIB, &f);
	if (rc == -EINVAL) {	/* a file system without O_DIRECT */
		f = open_file(t, LEAP__OPEN_WRITE | LEAP__OPEN_CREATE, MIB, 0);
		assert_int_equal(w->ops->fstat(f, &st), 0);
		assert_int_equal(st.direct_align, 0);
		w->ops->close(f);
		remove_file(t);
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(w->ops->fstat(f, &st), 0);
	cross = getenv("LEAP_CROSS");
	if (!st.direct_align && cross && *cross) {
		w->ops->close(f);
		remove_file(t);
		print_message("# no alignment of direct I/O from an "
			      "emulator\n");
		skip();
	}
	assert_true(st.direct_align >= 512 && st.direct_align <= 4096);
	buf = aligned_alloc(4096, 65536);
	fill((unsigned char *)buf, 65536, 5);
	/* Sleep until it is done, as an event loop does: no wake-up lost. */
	for (i = 0; i < 200; i++) {
		io_start(t, &x, i % 2 ? LEAP__IO_READ : LEAP__IO_WRITE, f, buf,
			 65536, (uint64_t)(i / 2 % 16) * 65536);
		while (!x.nr_done) {
			if (leap_pollgroup_poll(t->pg, 0) ||
			    leap_pollgroup_arm(t->pg))
				continue;
			assert_int_equal(fd_readable(t, 10000), 1);
		}
		assert_int_equal(x.io.res, 65536);
	}
	free(buf);
	w->ops->close(f);
	remove_file(t);
}

/* What another process gets when it tries to take the lock of our file. */
static int lock_elsewhere(struct world_test *t)
{
	struct world_test other;
	struct leap__world *w;
	struct leap__wfd *f;
	char path[128];
	int rc, status;
	pid_t pid;

	tmp_path(t, path, sizeof(path), "file");
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		world_setup_kind(&other, t->kind);
		w = world_of(&other);
		rc = w->ops->open(w, path, LEAP__OPEN_WRITE | LEAP__OPEN_LOCK,
				  0, &f);
		if (!rc)
			w->ops->close(f);
		world_teardown_kind(&other);
		_exit(-rc);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void test_lock(void **state)
{
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	uint32_t flags = LEAP__OPEN_WRITE | LEAP__OPEN_LOCK;
	struct leap__wfd *f, *f2;
	struct test_io x;
	char data[512] = "locked";

	f = open_file(t, flags | LEAP__OPEN_CREATE, MIB, 0);
	assert_int_equal(lock_elsewhere(t), -EBUSY);
	open_file(t, flags, 0, -EBUSY);
	/* A share is the same open file: the lock lasts for both. */
	assert_int_equal(w->ops->share(w, f, &f2), 0);
	io_start(t, &x, LEAP__IO_WRITE, f, data, sizeof(data), 0);
	io_wait(t, &x, sizeof(data));
	w->ops->close(f);
	assert_int_equal(lock_elsewhere(t), -EBUSY);
	io_start(t, &x, LEAP__IO_READ, f2, data, sizeof(data), 0);
	io_wait(t, &x, sizeof(data));
	w->ops->close(f2);
	assert_int_equal(lock_elsewhere(t), 0);
	f = open_file(t, flags, 0, 0);
	w->ops->close(f);
	remove_file(t);
}

/* Closed is unlocked, whoever else still has the open file. */
static void test_lock_ends(void **state)
{
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	struct leap__wfd *f, *f2;
	int fds[2], status;
	pid_t pid;
	char c;

	assert_int_equal(pipe(fds), 0);
	f = open_file(t, LEAP__OPEN_WRITE | LEAP__OPEN_LOCK |
		      LEAP__OPEN_CREATE, MIB, 0);
	assert_int_equal(w->ops->share(w, f, &f2), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fds[1]);
		_exit((int)read(fds[0], &c, 1));
	}
	w->ops->close(f);
	assert_int_equal(lock_elsewhere(t), -EBUSY);
	w->ops->close(f2);
	assert_int_equal(lock_elsewhere(t), 0);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	remove_file(t);
}

/* Whatever has been started is done once, and then the file is closed. */
static void test_close(void **state)
{
	enum { NR = 500 };
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	struct test_io *x = calloc(NR, sizeof(*x));
	char *buf = aligned_alloc(4096, 4096 * NR);
	int i, round, ended = 0;
	struct leap__wfd *f;

	memset(buf, 7, 4096 * NR);
	for (round = 0; round < 20; round++) {
		f = open_file(t, LEAP__OPEN_WRITE | LEAP__OPEN_CREATE |
			      LEAP__OPEN_LOCK, 4096 * NR, 0);
		for (i = 0; i < NR; i++)
			io_start(t, &x[i], i % 3 ? LEAP__IO_WRITE :
				 LEAP__IO_READ, f, buf + 4096 * i, 4096,
				 4096u * (unsigned int)i);
		if (round % 2)
			w->ops->flush(w);
		for (i = 0; i < NR; i += 7)
			w->ops->cancel(w, &x[i].io);
		w->ops->close(f);
		for (i = 0; i < NR; i++) {
			io_wait_any(t, &x[i]);
			ended += x[i].io.res == 4096;
			assert_true(x[i].io.res == 4096 ||
				    x[i].io.res == -ECANCELED);
		}
		/* The lock goes with the last of them. */
		poll_some(t, 2);
		f = open_file(t, LEAP__OPEN_WRITE | LEAP__OPEN_LOCK, 0, 0);
		w->ops->close(f);
	}
	if (t->kind == LEAP_WORLD_EPOLL)
		assert_int_equal(ended, 20 * NR);
	remove_file(t);
	free(x);
	free(buf);
}

/* What is no file or device of blocks is refused. */
static void test_kinds(void **state)
{
	struct world_test *t = *state;
	struct leap__world *w = world_of(t);
	struct leap__wfd *f;

	assert_int_equal(w->ops->open(w, "/dev/full", LEAP__OPEN_WRITE, 0, &f),
			 -EINVAL);
	assert_int_equal(w->ops->open(w, ".", 0, 0, &f), -EISDIR);
}

#define CASES(setup) { \
	cmocka_unit_test_setup_teardown(test_ops, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_depth, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_direct, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_lock, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_lock_ends, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_close, setup, teardown), \
	cmocka_unit_test_setup_teardown(test_kinds, setup, teardown), \
}

int main(void)
{
	static const struct CMUnitTest epoll[] = CASES(setup_epoll);
	static const struct CMUnitTest uring[] = CASES(setup_uring);

	return run_worlds(epoll, uring, sizeof(epoll) / sizeof(epoll[0]));
}
