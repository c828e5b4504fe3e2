/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hot path allocates nothing: a target with a memory namespace and a host
 * in one process, over every transport of the build. Every allocation of the
 * program and of the libraries that it uses is counted, and its address space
 * must not grow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <leapio/leapio.h>

#include "core/io/transport.h"
#include "count.h"
#include "fake-verbs.h"
#include "serve.h"
#include "transport/rdma/group.h"

#define NQN	"nqn.2014-08.org.example:disk"
#define DEPTH	24
#define BLOCKS	(16u << 20 >> 9)

static struct fake_fabric *fabric;	/* under rdma, or NULL */
static uint32_t srq;

struct world {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_host *host;
	struct leap_vdev *vdev;
	uint64_t left, out, errors;
	uint32_t rnd;
};

struct slot {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	struct world *w;
	char data[8192];
};

static void next(struct slot *s)
{
	struct world *w = s->w;
	struct leap_req *req = &s->req;
	uint32_t nr;

	if (!w->left)
		return;
	w->left--;
	w->rnd = w->rnd * 1664525u + 1013904223u;
	nr = 1 + (w->rnd >> 8) % 16;
	req->sqe.opc = w->rnd >> 31 ? LEAP_NVM_READ : LEAP_NVM_WRITE;
	req->sqe.nsid = leap_to_le32(1);
	req->sqe.cdw10 = leap_to_le32((w->rnd >> 12) % (BLOCKS - 16));
	req->sqe.cdw12 = leap_to_le32(nr - 1);
	s->piece.len_bytes = nr * 512;
	w->out += (uint64_t)(leap_host_submit(w->host, 1, &req, 1) == 1);
}

static void done(struct leap_req *req)
{
	struct slot *s = (struct slot *)req;

	s->w->out--;
	s->w->errors += leap_req_status(req) != 0;
	next(s);
}

static void run(struct world *w, struct slot *slots, uint64_t count)
{
	int i;

	w->left = count;
	for (i = 0; i < DEPTH; i++)
		next(&slots[i]);
	while (w->out)
		leap_pollgroup_wait(w->pg, 1000000000);
}

static const char *set_up(struct world *w, const char *listen)
{
	struct leap_listener_opts opts = LEAP_LISTENER_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_subsystem *ss;

	memset(w, 0, sizeof(*w));
	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	if (fabric)
		assert_int_equal(leap__rdma_use(w->pg, &fabric->v), 0);
	w->target = serve_target(w->pg, NQN, &ss);
	serve_ns(w->pg, ss, "memory:16M", 1);
	if (!listen) {
		assert_int_equal(leap_vdev_create(ss, NULL, &w->vdev), 0);
		return NULL;
	}
	opts.url = listen;
	opts.srq = srq;
	assert_int_equal(leap_listener_create(w->target, &opts, &listener), 0);
	return leap_listener_url(listener);
}

static void tear_down(struct world *w)
{
	int closed = 0;

	leap_host_close(w->host, set_flag, &closed);
	while (!closed)
		leap_pollgroup_wait(w->pg, 1000000000);
	closed = !w->vdev;
	leap_vdev_destroy(w->vdev, set_flag, &closed);
	while (!closed)
		leap_pollgroup_wait(w->pg, 1000000000);
	serve_stop(w->pg, w->target);
	while (leap_pollgroup_poll(w->pg, 0))
		;
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
}

/* Of the address space; without allocating. */
static unsigned long nr_pages(void)
{
	char text[128] = "";
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strtoul(text, NULL, 10);
}

static uint64_t count(void)
{
	return unit_is_slow() ? 20000 : 1000000;
}

static void over(const char *listen, const char *connect)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct slot *slots = calloc(DEPTH, sizeof(*slots));
	unsigned long pages;
	uint64_t before;
	const char *bound;
	struct world w;
	char url[256];
	int i;

	bound = set_up(&w, listen);
	snprintf(url, sizeof(url), "%s/%s", connect ? connect : bound, NQN);
	opts.url = url;
	opts.target = w.target;
	opts.vdev = w.vdev;
	assert_int_equal(leap_host_connect(w.pg, &opts, &w.host), 0);
	while (leap_host_state(w.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(w.pg, 1000000000);
	assert_int_equal(leap_host_state(w.host), LEAP_HOST_LIVE);
	for (i = 0; i < DEPTH; i++) {
		slots[i].w = &w;
		slots[i].piece.addr = slots[i].data;
		slots[i].req.pieces = &slots[i].piece;
		slots[i].req.nr_pieces = 1;
		slots[i].req.done = done;
	}
	run(&w, slots, 1000);		/* first touches */
	pages = nr_pages();
	before = count_calls();
	assert_true(before > 0);
	run(&w, slots, count());
	assert_int_equal(count_calls(), before);
	/* The stack may grow by a few. */
	assert_in_range(nr_pages(), 0, pages + 16);
	assert_int_equal(w.errors, 0);
	assert_int_equal(w.left, 0);
	tear_down(&w);
	free(slots);
}

static int have(const char *name)
{
	const struct leap_transport_ops *const *t = leap__transports();

	for (; *t; t++)
		if (!strcmp((*t)->name, name))
			return 1;
	return 0;
}

static void test_loop(void **state)
{
	over("loop://", "loop://leapio");
}

static void test_tcp(void **state)
{
	if (!have("tcp"))
		skip();
	over("tcp://127.0.0.1:0", NULL);
}

static void test_rdma(void **state)
{
	fabric = fake_fabric_create();
	over("rdma://127.0.0.1:0", NULL);
	/* Again, with receives that are shared and too few. */
	srq = DEPTH / 2;
	over("rdma://127.0.0.1:0", NULL);
	assert_int_equal(fake_fabric_destroy(fabric), 0);
	fabric = NULL;
	srq = 0;
}

static void test_shm(void **state)
{
	char url[64];

	if (!have("shm"))
		skip();
	snprintf(url, sizeof(url), "shm:/tmp/leap-malloc-%d.sock",
		 (int)getpid());
	over(url, NULL);
}

static void test_vdev(void **state)
{
	over(NULL, "vdev://x");
}

static void test_vfio_user(void **state)
{
	char listen[160], connect[80];

	if (!have("vfio-user"))
		skip();
	snprintf(connect, sizeof(connect),
		 "vfio-user:/tmp/leap-malloc-%d.sock", (int)getpid());
	snprintf(listen, sizeof(listen), "%s/%s", connect, NQN);
	over(listen, connect);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_rdma),
		cmocka_unit_test(test_shm),
		cmocka_unit_test(test_vdev),
		cmocka_unit_test(test_vfio_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
