/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs in shared memory, and a host end that lies in every field that it
 * can write, from its first message to what it stores in the rings: it is cut
 * off, while a good one goes on.
 */
#include "fds.h"
#include "shm-fixture.h"

#include <sys/un.h>

#include "transport/shm/proto.h"

static int liar_connect(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = 5 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, shm.path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)),
			 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd;
}

/* The kernel's work for a ring that was torn down interrupts like a signal. */
static ssize_t liar_recv(int fd, void *buf, size_t len)
{
	ssize_t n;

	do
		n = recv(fd, buf, len, MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	return n;
}

static void liar_send(int fd, const struct leap__shm_msg *msg, int pass,
		      uint32_t nr_pass)
{
	const int fds[] = { pass, pass, pass };

	assert_true(nr_pass <= COUNT(fds));
	/* The target may have had enough already. */
	if (fds_send(fd, msg, sizeof(*msg), fds, nr_pass, 0) < 0)
		assert_true(errno == EPIPE || errno == ECONNRESET);
}

/* What it says is @type, and its error. */
static uint32_t liar_hear(int fd, uint16_t type)
{
	struct leap__shm_msg got;

	assert_int_equal(liar_recv(fd, &got, sizeof(got)), sizeof(got));
	assert_int_equal(leap_from_le16(got.type), type);
	return leap_from_le32(got.err);
}

/* The connection is ended by the target; what it says before is read away. */
static void expect_end(int fd)
{
	uint8_t buf[256];
	ssize_t n;

	do
		n = liar_recv(fd, buf, sizeof(buf));
	while (n > 0);
	assert_true(n == 0 || errno == ECONNRESET);
	close(fd);
}

static struct leap__shm_msg message(uint16_t type)
{
	return (struct leap__shm_msg){
		.magic = leap_to_le32(LEAP__SHM_MAGIC),
		.version = leap_to_le16(LEAP__SHM_VERSION),
		.type = leap_to_le16(type),
	};
}

static void liar_hello(uint32_t depth, uint64_t claim, uint64_t bytes, int seal,
		       uint32_t nr_fds)
{
	struct leap__shm_msg msg = message(LEAP__SHM_HELLO);
	int mem = fds_memory(bytes, seal ? F_SEAL_SHRINK : 0);
	int fd = liar_connect();

	msg.depth = leap_to_le32(depth);
	msg.bytes = leap_to_le64(claim);
	liar_send(fd, &msg, mem, nr_fds);
	close(mem);
	expect_end(fd);
}

/* Attach by the book; returns the socket and the mapped memory. */
static int liar_attach(uint32_t depth, uint8_t **base)
{
	struct leap__shm_msg msg = message(LEAP__SHM_HELLO);
	uint64_t bytes = leap__shm_bytes(depth);
	int fd = liar_connect(), mem = fds_memory(bytes, F_SEAL_SHRINK);

	*base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	assert_true(*base != MAP_FAILED);
	msg.depth = leap_to_le32(depth);
	msg.bytes = leap_to_le64(bytes);
	liar_send(fd, &msg, mem, 1);
	close(mem);
	assert_int_equal(liar_hear(fd, LEAP__SHM_WELCOME), 0);
	return fd;
}

static void test_bad_hand_shake(void **state)
{
	uint64_t bytes = leap__shm_bytes(32);
	struct leap__shm_msg msg;
	struct shm_client c;
	int fd, mem;
	uint32_t i;

	shm_client_open(&c);
	liar_hello(32, bytes, bytes, 0, 1);		/* not sealed */
	liar_hello(32, bytes, bytes - 4096, 1, 1);	/* shorter than said */
	liar_hello(32, bytes - 1, bytes, 1, 1);		/* says too little */
	liar_hello(32, UINT64_MAX, bytes, 1, 1);
	liar_hello(0, bytes, bytes, 1, 1);
	liar_hello(1, bytes, bytes, 1, 1);
	liar_hello(65536, bytes, bytes, 1, 1);
	liar_hello(UINT32_MAX, bytes, bytes, 1, 1);
	liar_hello(32, bytes, bytes, 1, 0);		/* no descriptor */
	liar_hello(32, bytes, bytes, 1, 3);		/* too many */
	for (i = 0; i < 300; i++) {
		uint8_t *p = (uint8_t *)&msg;

		msg = message((uint16_t)(1 + shm_below(7)));
		p[shm_below(64)] = (uint8_t)shm_below(256);
		p[shm_below(64)] = (uint8_t)shm_below(256);
		fd = liar_connect();
		mem = fds_memory(4096, F_SEAL_SHRINK);
		liar_send(fd, &msg, mem, shm_below(4));
		liar_send(fd, &msg, mem, 1);
		close(mem);
		shutdown(fd, SHUT_WR);
		expect_end(fd);
	}
	shm_check_io(&c, 100, 1, 3);
	shm_client_close(&c);
}

static void store32(uint8_t *base, uint32_t at, uint32_t v)
{
	__atomic_store_n((uint32_t *)(base + at), leap_to_le32(v),
			 __ATOMIC_SEQ_CST);
}

static void kick(int fd)
{
	struct leap__shm_msg msg = message(LEAP__SHM_KICK);

	liar_send(fd, &msg, -1, 0);
}

static void test_lies_in_rings(void **state)
{
	struct shm_client c;
	uint8_t *base;
	int fd, i;

	shm_client_open(&c);
	fd = liar_attach(8, &base);
	store32(base, LEAP__SHM_SQ_TAIL, 8);
	kick(fd);
	expect_end(fd);
	munmap(base, leap__shm_bytes(8));
	fd = liar_attach(8, &base);
	store32(base, LEAP__SHM_SQ_TAIL, 0xffff);
	kick(fd);
	expect_end(fd);
	munmap(base, leap__shm_bytes(8));
	/* Commands of noise: each gets its completion, or the end. */
	for (i = 0; i < 200; i++) {
		uint32_t j;

		fd = liar_attach(8, &base);
		for (j = 0; j < 8 * 64; j++)
			base[LEAP__SHM_SQ + j] = (uint8_t)shm_below(256);
		store32(base, LEAP__SHM_SQ_TAIL, 1 + shm_below(7));
		store32(base, LEAP__SHM_CQ_HEAD, shm_below(9));
		kick(fd);
		if (i % 2)
			usleep(200);
		close(fd);
		munmap(base, leap__shm_bytes(8));
	}
	shm_check_io(&c, 100, 1, 3);
	shm_client_close(&c);
}

static void test_memory_lies(void **state)
{
	struct leap__shm_msg msg = message(LEAP__SHM_MEM_ADD);
	uint8_t *base;
	int fd, mem;

	fd = liar_attach(8, &base);
	/* Not sealed: refused, and nothing else happens. */
	msg.region = leap_to_le32(1);
	msg.bytes = leap_to_le64(8192);
	mem = fds_memory(8192, 0);
	liar_send(fd, &msg, mem, 1);
	assert_int_not_equal(liar_hear(fd, LEAP__SHM_MEM_ADDED), 0);
	close(mem);
	/* Sealed: taken. Twice: refused. Region 0 is not to be had. */
	mem = fds_memory(8192, F_SEAL_SHRINK);
	liar_send(fd, &msg, mem, 1);
	assert_int_equal(liar_hear(fd, LEAP__SHM_MEM_ADDED), 0);
	/* It cannot take the pages away any more. */
	assert_int_equal(ftruncate(mem, 0), -1);
	liar_send(fd, &msg, mem, 1);
	assert_int_not_equal(liar_hear(fd, LEAP__SHM_MEM_ADDED), 0);
	msg.region = 0;
	liar_send(fd, &msg, mem, 1);
	close(mem);
	expect_end(fd);
	munmap(base, leap__shm_bytes(8));
}

static void test_no_fd_growth(void **state)
{
	uint8_t *base;
	int i, fd, before = 0;

	for (i = 0; i < 200; i++) {
		if (i == 20)
			before = fds_open();
		fd = liar_attach(8, &base);
		munmap(base, leap__shm_bytes(8));
		close(fd);
		if (i % 10 == 0)
			shm_good_one();
	}
	shm_wait_for_fds(before + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SHM_TEST(test_bad_hand_shake, shm_start_two),
		SHM_TEST(test_lies_in_rings, shm_start_two),
		SHM_TEST(test_memory_lies, shm_start_one),
		SHM_TEST(test_no_fd_growth, shm_start_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
