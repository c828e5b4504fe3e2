/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * As test-no-memory, over RDMA: a target of two poll groups with shared
 * receives, or a share of memory, and one who connects to it and moves some
 * bytes; and one allocation of the library fails, the first, then the second,
 * and so on; then one of what it wants of the device; then the connection, at
 * each operation.
 * What the fabric itself allocates is there.
 */
#include "fault.h"

#include "count.h"
#include "fake-verbs.h"
#include "fds.h"

#include <stdio.h>

#include <leapio/leapio.h>

#include "transport/rdma/group.h"

#define BYTES	65536u

static struct {
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg[3];	/* home, I/O, and who connects */
	struct leap_target *target;
	struct leap_dmabuf *buf;
	uint8_t *data;
	int live, over, done;
} w;

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void on_added(int err, void *arg)
{
	assert_int_equal(err, 0);
	*(int *)arg = 1;
}

static void wait_for(const int *flag, const int *other)
{
	uint64_t until = fault_now_ns() + 30000000000ull;
	int i;

	while (!*flag && !*other) {
		assert_true(fault_now_ns() < until);
		for (i = 0; i < 3; i++)
			leap_pollgroup_poll(w.pg[i], 0);
	}
}

/* Not while the fabric does something. */
static int is_ours(void)
{
	if (pthread_mutex_trylock(&w.fabric->lock))
		return 0;
	pthread_mutex_unlock(&w.fabric->lock);
	return 1;
}

/* ---- a target and its host ---- */

static void serve(void)
{
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct leap_subsystem *ss;
	int added = 0;

	assert_int_equal(leap_target_create(w.pg[0], NULL, &w.target), 0);
	assert_int_equal(leap_target_add_group(w.target, w.pg[1]), 0);
	so.nqn = FAULT_NQN;
	so.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(w.target, &so, &ss), 0);
	assert_int_equal(leap_bdev_open(w.pg[0], "memory:1M", &no.bdev), 0);
	assert_int_equal(leap_ns_add(ss, &no, on_added, &added), 1);
	wait_for(&added, &added);
}

static void on_state(struct leap_host *host, enum leap_host_state state,
		     leap_status_t status, int err, void *arg)
{
	w.live |= state == LEAP_HOST_LIVE;
	w.over |= state == LEAP_HOST_FAILED;
}

static void on_done(struct leap_req *req)
{
	w.done = 1;
	w.over |= leap_req_status(req) != 0;
}

/* One command of @nr blocks. */
static void run(struct leap_host *host, uint8_t opc, uint16_t nr)
{
	struct leap_piece piece = {
		.addr = w.data, .len_bytes = nr * 512u,
	};
	struct leap_req req = {
		.pieces = &piece, .nr_pieces = 1, .done = on_done,
	};
	struct leap_req *reqs[] = { &req };

	w.done = 0;
	req.sqe.opc = opc;
	req.sqe.nsid = leap_to_le32(1);
	req.sqe.cdw12 = leap_to_le32(nr - 1u);
	if (leap_host_submit(host, 1, reqs, 1) == 1)
		wait_for(&w.done, &w.done);
	else
		w.over = 1;
}

static void use_target(void)
{
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_host *host;
	char url[200];
	int closed = 0;

	lo.url = "rdma://127.0.0.1:0";
	lo.srq = 16;
	if (leap_listener_create(w.target, &lo, &listener))
		return;
	snprintf(url, sizeof(url), "%s/%s", leap_listener_url(listener),
		 FAULT_NQN);
	ho.url = url;
	ho.depth = 32;
	ho.loss_ms = UINT32_MAX;
	ho.state = on_state;
	if (leap_host_connect(w.pg[2], &ho, &host))
		return;
	wait_for(&w.live, &w.over);
	if (!w.over) {
		run(host, LEAP_NVM_WRITE, 8);
		run(host, LEAP_NVM_WRITE, 128);
		run(host, LEAP_NVM_READ, 128);
	}
	leap_host_close(host, set_flag, &closed);
	wait_for(&closed, &closed);
}

static void stop(void)
{
	int gone = 0;

	leap_target_destroy(w.target, set_flag, &gone);
	wait_for(&gone, &gone);
}

/* ---- shared memory and its user ---- */

static void make_memory(void)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;

	o.bytes = BYTES;
	assert_int_equal(leap_dmabuf_create(&o, &w.buf), 0);
}

static void on_opened(struct leap_farmem *far, int err, void *arg)
{
	w.live |= !err;
	w.over |= err != 0;
}

static void use_farmem(const char *url)
{
	struct leap_farmem_opts o = LEAP_FARMEM_OPTS_INIT;
	struct leap_farmem *far;
	int closed = 0;

	o.url = url;
	o.opened = on_opened;
	if (leap_farmem_open(w.pg[2], &o, &far))
		return;
	wait_for(&w.live, &w.over);
	leap_farmem_close(far, set_flag, &closed);
	wait_for(&closed, &closed);
}

static void use_share(void)
{
	struct leap_share_opts o = LEAP_SHARE_OPTS_INIT;
	struct leap_share *share;
	int done = 0;

	o.url = "rdma://127.0.0.1:0";
	o.buf = w.buf;
	o.perm = LEAP_PERM_READ;
	if (leap_share_create(w.pg[0], &o, &share))
		return;
	use_farmem(leap_share_url(share));
	leap_share_destroy(share, set_flag, &done);
	wait_for(&done, &done);
}

static void drop_memory(void)
{
	leap_dmabuf_put(w.buf);
}

/* ---- one after the other ---- */

static void begin(void)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	int i;

	memset(&w, 0, sizeof(w));
	w.fabric = fake_fabric_create();
	w.data = calloc(1, BYTES);
	assert_non_null(w.data);
	po.world = LEAP_WORLD_EPOLL;
	for (i = 0; i < 3; i++) {
		assert_int_equal(leap_pollgroup_create(&po, &w.pg[i]), 0);
		assert_int_equal(leap__rdma_use(w.pg[i], &w.fabric->v), 0);
	}
}

static unsigned int finish(void)
{
	uint64_t until = fault_now_ns() + 30000000000ull;
	int i;

	for (i = 0; i < 3; i++)
		while (leap_pollgroup_destroy(w.pg[i]) == -EBUSY) {
			assert_true(fault_now_ns() < until);
			leap_pollgroup_poll(w.pg[i], 0);
		}
	free(w.data);
	return fake_fabric_destroy(w.fabric);
}

/* What fails, the @n-th: an allocation of the library, something that it wants
 * of the device, or the connection at an operation, without a word or with
 * one. */
enum { ALLOCATION, CALL, DIES, LEAVES };

static int *countdown(int what)
{
	return what == CALL ? &w.fabric->fail_calls :
	       what == DIES ? &w.fabric->die_after : &w.fabric->leave_after;
}

static void fail_one(int what, int n)
{
	if (what == ALLOCATION)
		count_fail((uint64_t)n);
	else
		*countdown(what) = n;
}

/* 1 = it has. */
static int has_failed(int what)
{
	int left;

	if (what == ALLOCATION)
		return !count_fail(0);
	left = *countdown(what);
	*countdown(what) = 0;
	return !left;
}

static void nothing_left(int n, int what, int64_t blocks, int fds,
			 unsigned int left)
{
	static const char *const names[] = {
		"allocation", "call", "operation", "operation",
	};

	if (blocks || left || fds)
		fail_msg("%s %d failed: %lld blocks, %u of the device and %d "
			 "descriptors are left", names[what], n,
			 (long long)blocks, left, fds);
}

static void over(void (*make)(void), void (*use)(void), void (*drop)(void),
		 int what)
{
	int fds = fds_open(), i, failed = 1;
	int64_t blocks = 0;
	unsigned int left;

	count_when(is_ours);
	for (i = 0; failed; i++) {
		begin();
		make();
		fail_one(what, i);
		use();
		failed = has_failed(what);
		drop();
		left = finish();
		if (!i)		/* it fills what is kept */
			blocks = count_blocks();
		nothing_left(i, what, count_blocks() - blocks,
			     fds_open() - fds, left);
		assert_true(i < 2000);
	}
	/* The last one had all that it asked for. */
	assert_true(w.live && !w.over);
	assert_true(i > 10);
	count_when(NULL);
}

static void test_target(void **state)
{
	int what;

	for (what = ALLOCATION; what <= LEAVES; what++)
		over(serve, use_target, stop, what);
}

static void test_share(void **state)
{
	over(make_memory, use_share, drop_memory, ALLOCATION);
	over(make_memory, use_share, drop_memory, CALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
