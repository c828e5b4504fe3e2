/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs in shared memory, against a real target with a memory drive:
 * every size, in place and bounced, over threads; and a host end that lies in
 * every field that it can write, while a good one goes on.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <leapio/dmabuf.h>
#include <leapio/host.h>
#include <leapio/pollgroup.h>
#include <leapio/target.h>

#include "core/io/pollgroup.h"
#include "serve.h"
#include "transport/shm/proto.h"

#define NQN "nqn.2024-01.io.example:shm"
#define BLOCKS (64u * 2048)

/* ---- a target on threads of its own ---------------------------------------- */

struct server {
	pthread_t thread[2];
	char path[64];
	int nr_threads;
	atomic_int ready, stop, stopped;
	struct leap_pollgroup *io;
	struct leap_target *target;
};

static struct server server;

/* ---- a poll group that cannot take a socket, now and then ------------------ */

static const struct leap__world_ops *real_ops;
static atomic_int attach_fails;	/* so many times from now on */
static atomic_int attach_failed;

static int attach(struct leap__world *w, struct leap__wfd *f)
{
	int err = real_ops->attach(w, f);

	if (atomic_load(&attach_fails) <= 0)
		return err;
	/* As when the kernel has no watch to spare: it is in the world. */
	atomic_fetch_sub(&attach_fails, 1);
	atomic_fetch_add(&attach_failed, 1);
	return -ENOSPC;
}

static void tamper(struct leap_pollgroup *pg)
{
	static struct leap__world_ops ops;
	struct leap__world *w = leap__pollgroup_world(pg);

	real_ops = w->ops;
	ops = *w->ops;
	ops.attach = attach;
	w->ops = &ops;
}

static void *io_main(void *arg)
{
	struct server *s = arg;

	assert_int_equal(leap_pollgroup_create(NULL, &s->io), 0);
	tamper(s->io);
	atomic_fetch_add(&s->ready, 1);
	while (!atomic_load(&s->stopped))
		leap_pollgroup_wait(s->io, 10000000);
	assert_int_equal(leap_pollgroup_destroy(s->io), 0);
	return NULL;
}

static void serve(struct server *s, struct leap_pollgroup *pg)
{
	struct leap_subsystem *ss;
	char url[80];

	assert_int_equal(leap_target_create(pg, NULL, &s->target), 0);
	if (s->nr_threads > 1)
		assert_int_equal(leap_target_add_group(s->target, s->io), 0);
	ss = serve_subsystem(s->target, NQN);
	serve_ns(pg, ss, "memory:64M", 1);
	snprintf(url, sizeof(url), "shm:%s", s->path);
	serve_at(s->target, url);
}

static void *home_main(void *arg)
{
	struct server *s = arg;
	struct leap_pollgroup *pg;

	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	serve(s, pg);
	atomic_fetch_add(&s->ready, 1);
	while (!atomic_load(&s->stop))
		leap_pollgroup_wait(pg, 10000000);
	serve_stop(pg, s->target);
	while (leap_pollgroup_poll(pg, 0))
		;
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
	atomic_store(&s->stopped, 1);
	return NULL;
}

static int start_server(int nr_threads)
{
	memset(&server, 0, sizeof(server));
	server.nr_threads = nr_threads;
	snprintf(server.path, sizeof(server.path), "/tmp/leap-shm-%d.sock",
		 (int)getpid());
	if (nr_threads > 1)
		assert_int_equal(pthread_create(&server.thread[1], NULL,
						io_main, &server), 0);
	while (atomic_load(&server.ready) < nr_threads - 1)
		usleep(1000);
	assert_int_equal(pthread_create(&server.thread[0], NULL, home_main,
					&server), 0);
	while (atomic_load(&server.ready) < nr_threads)
		usleep(1000);
	return 0;
}

static int start_one(void **state)
{
	return start_server(1);
}

static int start_two(void **state)
{
	return start_server(2);
}

static int stop(void **state)
{
	int i;

	atomic_store(&server.stop, 1);
	for (i = 0; i < server.nr_threads; i++)
		pthread_join(server.thread[i], NULL);
	unlink(server.path);
	return 0;
}

/* ---- a good host ------------------------------------------------------------ */

struct client {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	uint8_t *a, *b;
	struct leap_dmabuf *mem;
	uint32_t nr_queues;
};

static uint32_t seed = 1;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static int client_try(struct leap_pollgroup *pg, struct leap_host **out)
{
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	char url[160];

	snprintf(url, sizeof(url), "shm:%s/%s", server.path, NQN);
	ho.url = url;
	ho.nr_io_queues = 2;
	ho.depth = 32;
	if (leap_host_connect(pg, &ho, out))
		return 0;
	while (leap_host_state(*out) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(pg, 10000000);
	return leap_host_state(*out) == LEAP_HOST_LIVE;
}

static void host_close(struct leap_pollgroup *pg, struct leap_host *host)
{
	int closed = 0;

	leap_host_close(host, set_flag, &closed);
	while (!closed)
		leap_pollgroup_wait(pg, 10000000);
}

static void client_open(struct client *c)
{
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;

	memset(c, 0, sizeof(*c));
	assert_int_equal(leap_pollgroup_create(NULL, &c->pg), 0);
	assert_true(client_try(c->pg, &c->host));
	mo.bytes = 4u << 20;
	assert_int_equal(leap_dmabuf_create(&mo, &c->mem), 0);
	c->a = malloc(1 << 20);
	c->b = malloc(1 << 20);
}

static void client_close(struct client *c)
{
	host_close(c->pg, c->host);
	leap_dmabuf_put(c->mem);
	assert_int_equal(leap_pollgroup_destroy(c->pg), 0);
	free(c->a);
	free(c->b);
}

static void rw(struct client *c, uint8_t opc, uint64_t lba, uint32_t nr,
	       struct leap_piece *pieces, uint32_t nr_pieces)
{
	struct leap_req req = { .pieces = pieces, .nr_pieces = nr_pieces };

	req.sqe.opc = opc;
	req.sqe.nsid = leap_to_le32(1);
	req.sqe.cdw10 = leap_to_le32((uint32_t)lba);
	req.sqe.cdw12 = leap_to_le32(nr - 1);
	assert_int_equal(leap_host_sync(c->host, c->pg, 1 + rnd(2), &req), 0);
	assert_int_equal(leap_req_status(&req), 0);
}

/* @nr blocks out of one buffer and back into another, both cut in pieces. */
static void write_and_read(struct client *c, uint32_t nr, int in_place,
			   uint32_t cuts)
{
	uint8_t *mem = leap_dmabuf_addr(c->mem);
	uint8_t *from = in_place ? mem + rnd(64) * 4 : c->a;
	uint8_t *to = in_place ? mem + (2u << 20) + rnd(64) * 4 : c->b;
	struct leap_piece out[80] = { 0 }, in[80] = { 0 };
	uint32_t bytes = nr * 512, lba = rnd(BLOCKS - nr), i, at = 0, n;

	for (i = 0; i < bytes; i++)
		from[i] = (uint8_t)rnd(256);
	memset(to, 0, bytes);
	for (i = 0; i < cuts && at < bytes; i++) {
		n = i == cuts - 1 ? bytes - at : 4 * (1 + rnd(64));
		n = n < bytes - at ? n : bytes - at;
		out[i].addr = from + at;
		in[i].addr = to + at;
		out[i].len_bytes = in[i].len_bytes = n;
		out[i].buf = in[i].buf = in_place ? c->mem : NULL;
		at += n;
	}
	rw(c, LEAP_NVM_WRITE, lba, nr, out, i);
	rw(c, LEAP_NVM_READ, lba, nr, in, i);
	assert_memory_equal(from, to, bytes);
}

static void sizes(void)
{
	struct client c;
	uint32_t i;

	client_open(&c);
	for (i = 0; i < 400; i++)
		write_and_read(&c, i % 8 ? 1 + rnd(64) : 1 + rnd(2048),
			       i & 1, 1 + rnd(i % 16 == 3 ? 80 : 4));
	client_close(&c);
}

static void test_sizes(void **state)
{
	sizes();
}

/* ---- a host that lies --------------------------------------------------------- */

static int liar_connect(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = 5 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, server.path);
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
		      int nr_pass)
{
	union {
		char buf[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} ctl = { { 0 } };
	struct iovec iov = { (void *)(uintptr_t)msg, sizeof(*msg) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;
	int i;

	if (nr_pass) {
		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE((size_t)nr_pass * sizeof(int));
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN((size_t)nr_pass * sizeof(int));
		for (i = 0; i < nr_pass; i++)
			memcpy(CMSG_DATA(cm) + (size_t)i * sizeof(int), &pass,
			       sizeof(int));
	}
	/* The target may have had enough already. */
	if (sendmsg(fd, &mh, MSG_NOSIGNAL) < 0)
		assert_true(errno == EPIPE || errno == ECONNRESET);
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

static int memory(uint64_t bytes, int seal)
{
	int fd = memfd_create("liar", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	if (seal)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

static void liar_hello(uint32_t depth, uint64_t claim, uint64_t bytes, int seal,
		       int nr_fds)
{
	struct leap__shm_msg msg = message(LEAP__SHM_HELLO);
	int fd = liar_connect(), mem = memory(bytes, seal);

	msg.depth = leap_to_le32(depth);
	msg.bytes = leap_to_le64(claim);
	liar_send(fd, &msg, mem, nr_fds);
	close(mem);
	expect_end(fd);
}

/* Attach by the book; returns the socket and the mapped memory. */
static int liar_attach(uint32_t depth, uint8_t **base)
{
	struct leap__shm_msg msg = message(LEAP__SHM_HELLO), got;
	uint64_t bytes = leap__shm_bytes(depth);
	int fd = liar_connect(), mem = memory(bytes, 1);

	*base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	assert_true(*base != MAP_FAILED);
	msg.depth = leap_to_le32(depth);
	msg.bytes = leap_to_le64(bytes);
	liar_send(fd, &msg, mem, 1);
	close(mem);
	assert_int_equal(liar_recv(fd, &got, sizeof(got)), sizeof(got));
	assert_int_equal(leap_from_le16(got.type), LEAP__SHM_WELCOME);
	assert_int_equal(leap_from_le32(got.err), 0);
	return fd;
}

static void test_bad_hand_shake(void **state)
{
	uint64_t bytes = leap__shm_bytes(32);
	struct leap__shm_msg msg;
	struct client c;
	int fd, mem;
	uint32_t i;

	client_open(&c);
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

		msg = message((uint16_t)(1 + rnd(7)));
		p[rnd(64)] = (uint8_t)rnd(256);
		p[rnd(64)] = (uint8_t)rnd(256);
		fd = liar_connect();
		mem = memory(4096, 1);
		liar_send(fd, &msg, mem, (int)rnd(4));
		liar_send(fd, &msg, mem, 1);
		close(mem);
		shutdown(fd, SHUT_WR);
		expect_end(fd);
	}
	write_and_read(&c, 100, 1, 3);
	client_close(&c);
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
	struct client c;
	uint8_t *base;
	int fd, i;

	client_open(&c);
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
			base[LEAP__SHM_SQ + j] = (uint8_t)rnd(256);
		store32(base, LEAP__SHM_SQ_TAIL, 1 + rnd(7));
		store32(base, LEAP__SHM_CQ_HEAD, rnd(9));
		kick(fd);
		if (i % 2)
			usleep(200);
		close(fd);
		munmap(base, leap__shm_bytes(8));
	}
	write_and_read(&c, 100, 1, 3);
	client_close(&c);
}

static void test_memory_lies(void **state)
{
	struct leap__shm_msg msg = message(LEAP__SHM_MEM_ADD), got;
	uint8_t *base;
	int fd, mem;

	fd = liar_attach(8, &base);
	/* Not sealed: refused, and nothing else happens. */
	msg.region = leap_to_le32(1);
	msg.bytes = leap_to_le64(8192);
	mem = memory(8192, 0);
	liar_send(fd, &msg, mem, 1);
	assert_int_equal(liar_recv(fd, &got, sizeof(got)), sizeof(got));
	assert_int_not_equal(leap_from_le32(got.err), 0);
	close(mem);
	/* Sealed: taken. Twice: refused. Region 0 is not to be had. */
	mem = memory(8192, 1);
	liar_send(fd, &msg, mem, 1);
	assert_int_equal(liar_recv(fd, &got, sizeof(got)), sizeof(got));
	assert_int_equal(leap_from_le32(got.err), 0);
	/* It cannot take the pages away any more. */
	assert_int_equal(ftruncate(mem, 0), -1);
	liar_send(fd, &msg, mem, 1);
	assert_int_equal(liar_recv(fd, &got, sizeof(got)), sizeof(got));
	assert_int_not_equal(leap_from_le32(got.err), 0);
	msg.region = 0;
	liar_send(fd, &msg, mem, 1);
	close(mem);
	expect_end(fd);
	munmap(base, leap__shm_bytes(8));
}

static int nr_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void wait_for_fds(int n)
{
	int i;

	for (i = 0; i < 500 && nr_fds() > n; i++)
		usleep(10000);
	assert_true(nr_fds() <= n);
}

static void test_no_fd_growth(void **state)
{
	uint8_t *base;
	int i, fd, before = 0;

	for (i = 0; i < 200; i++) {
		struct client c;

		if (i == 20)
			before = nr_fds();
		fd = liar_attach(8, &base);
		munmap(base, leap__shm_bytes(8));
		close(fd);
		if (i % 10 == 0) {
			client_open(&c);
			write_and_read(&c, 8, 1, 1);
			client_close(&c);
		}
	}
	wait_for_fds(before + 2);
}

static void good_one(void)
{
	struct client c;

	client_open(&c);
	write_and_read(&c, 8, 1, 1);
	client_close(&c);
}

/* The group that is to serve a queue pair does not get it: the first of a host,
 * or the second; nothing of it stays behind, and the next host is served. */
static void test_attach_fails(void **state)
{
	struct leap_pollgroup *pg;
	struct leap_host *host;
	int i, fds;

	(void)state;
	good_one();
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	fds = nr_fds();
	for (i = 1; i <= 20; i++) {
		atomic_store(&attach_failed, 0);
		atomic_store(&attach_fails, 1 + i % 3);
		assert_false(client_try(pg, &host));
		host_close(pg, host);
		assert_true(atomic_load(&attach_failed) > 0);
		atomic_store(&attach_fails, 0);
		wait_for_fds(fds);
		good_one();
	}
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* A process with room for @n more descriptors, then one more, until it is room
 * enough: each step of an attach is without once. */
static void test_full_table(void **state)
{
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct rlimit old, lim;
	int n, fds, ok = 0, failed = 0;

	(void)state;
	good_one();
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	fds = nr_fds();
	for (n = 0; n < 64 && !ok; n++) {
		lim = old;
		/* nr_fds has counted its own, and ".", and "..". */
		lim.rlim_cur = (rlim_t)(fds - 3 + n);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
		host = NULL;
		ok = client_try(pg, &host);
		if (host)
			host_close(pg, host);
		failed += !ok;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		wait_for_fds(fds);
		good_one();
	}
	assert_true(ok && failed >= 3);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* ---- those that wait for each other's room ----------------------------- */

#define MANY	1000u
#define PARTS	40u		/* more than fit into a command */
#define STACK	(96u << 10)	/* a sanitizer wants some for itself */

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_host *host;
	struct leap_dmabuf *mem;
	struct leap_piece piece[PARTS];
	struct leap_req req[MANY], *ptr[MANY];
	uint32_t done;
	leap_status_t status;
} many;

static void many_done(struct leap_req *req)
{
	many.done++;
	many.status |= leap_req_status(req);
}

static void add_ns(struct leap_subsystem *ss, const char *drive)
{
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;

	assert_int_equal(leap_bdev_open(many.pg, drive, &no.bdev), 0);
	assert_true(leap_ns_add(ss, &no, NULL, NULL) > 0);
	while (leap_pollgroup_poll(many.pg, 0))
		;
}

static void many_open(const char *path)
{
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_target_opts to = LEAP_TARGET_OPTS_INIT;
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_subsystem *ss;
	char url[160];

	assert_int_equal(leap_pollgroup_create(NULL, &many.pg), 0);
	to.queue_depth = MANY + 1;
	assert_int_equal(leap_target_create(many.pg, &to, &many.target), 0);
	so.nqn = NQN;
	so.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(many.target, &so, &ss), 0);
	add_ns(ss, "delay[read_us=100000] -> memory:1M");
	add_ns(ss, "null:1M");
	snprintf(url, sizeof(url), "shm:%s", path);
	lo.url = url;
	assert_int_equal(leap_listener_create(many.target, &lo, &listener), 0);
	snprintf(url, sizeof(url), "shm:%s/" NQN, path);
	ho.url = url;
	ho.nr_io_queues = 1;
	ho.depth = MANY + 1;
	assert_int_equal(leap_host_connect(many.pg, &ho, &many.host), 0);
	while (leap_host_state(many.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(many.pg, 10000000);
	mo.bytes = 1u << 20;
	assert_int_equal(leap_dmabuf_create(&mo, &many.mem), 0);
}

static void many_close(void)
{
	int gone = 0;

	host_close(many.pg, many.host);
	leap_target_destroy(many.target, set_flag, &gone);
	while (!gone)
		leap_pollgroup_wait(many.pg, 10000000);
	leap_dmabuf_put(many.mem);
	assert_int_equal(leap_pollgroup_destroy(many.pg), 0);
}

static void many_submit(uint32_t n)
{
	uint32_t i;

	many.done = 0;
	for (i = 0; i < PARTS; i++) {
		many.piece[i].addr = (uint8_t *)leap_dmabuf_addr(many.mem) +
				     i * 8192;
		many.piece[i].len_bytes = 512;
		many.piece[i].buf = many.mem;
	}
	for (i = 0; i < n; i++) {
		many.ptr[i] = &many.req[i];
		many.req[i] = (struct leap_req){
			.pieces = many.piece, .nr_pieces = PARTS,
			.done = many_done,
		};
		many.req[i].sqe.opc = LEAP_NVM_READ;
		many.req[i].sqe.nsid = leap_to_le32(i < 4 ? 1 : 2);
		many.req[i].sqe.cdw12 = leap_to_le32(PARTS - 1);
	}
	assert_int_equal(leap_host_submit(many.host, 1, many.ptr, n), n);
	while (many.done < n)
		leap_pollgroup_wait(many.pg, 10000000);
	assert_int_equal(many.status, 0);
}

static void *many_main(void *arg)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/leap-shm-many-%d.sock",
		 (int)getpid());
	memset(&many, 0, sizeof(many));
	many_open(path);
	many_submit(1);		/* the memory is mapped from now on */
	many_submit(MANY);
	many_close();
	return arg;
}

/* Four reads of a drive that takes its time have all the room there is for long
 * lists; all others are of one that answers at once. Whoever gets the room
 * gives it on, and that takes no more stack for many than for a few. */
static void test_many_wait(void **state)
{
	size_t stack = unit_env("LEAP_INSTRUMENTED") ? 16 * STACK : STACK;
	long least = sysconf(_SC_THREAD_STACK_MIN);
	pthread_attr_t attr;
	pthread_t id;

	if (least > 0 && stack < (size_t)least)
		stack = (size_t)least;
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, stack), 0);
	assert_int_equal(pthread_create(&id, &attr, many_main, NULL), 0);
	assert_int_equal(pthread_join(id, NULL), 0);
	pthread_attr_destroy(&attr);
}

#define t(f, s) cmocka_unit_test_setup_teardown(f, s, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		t(test_sizes, start_one),
		t(test_sizes, start_two),
		t(test_bad_hand_shake, start_two),
		t(test_lies_in_rings, start_two),
		t(test_memory_lies, start_one),
		t(test_no_fd_growth, start_two),
		t(test_attach_fails, start_two),
		t(test_full_table, start_one),
		t(test_full_table, start_two),
		cmocka_unit_test(test_many_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
