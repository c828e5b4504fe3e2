/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What wakes an end of an RDMA connection that sleeps: messages always, and
 * that something which was posted is done only when somebody waits for that.
 * Nothing is lost by sleeping through the rest of it.
 */
#include "rdma-world.h"

#include "core/io/dispatch.h"

#include <poll.h>

static int is_woken(struct leap_pollgroup *pg)
{
	struct pollfd p = { .fd = leap_pollgroup_fd(pg), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static uint32_t bufs(const struct world *w)
{
	return leap__dispatch(w->pg)->bufs_in_use;
}

static void read_512(struct world *w, uint16_t cid)
{
	send_io(&w->p, LEAP_NVM_READ, 0, 512, cid);
	polls(w);
}

/* A host without a receive for the answer that it asks for. */
static void ask(struct world *w, uint16_t qid)
{
	connect_sqe(&w->p, qid);
	peer_send(&w->p, LEAP_SQE_SIZE);
	assert_non_null(answer(w));
	read_512(w, 7);
}

static void begin_asleep(struct world *w)
{
	link_up(w, 1);
	ask(w, 1);
	assert_int_equal(bufs(w), 1);
	rdma_arm(w->pg);
	assert_false(is_woken(w->pg));
}

/* The answer goes out, and whoever sent it sleeps on. */
static void test_answer(void **state)
{
	struct world w;

	begin_asleep(&w);
	peer_recv(&w.p, 0);
	assert_int_equal(peer_completion(&w.p), 1);
	assert_int_equal(peer_completion(&w.p), 1);
	assert_int_equal(w.p.wc.id, 1000);
	assert_false(is_woken(w.pg));
	assert_int_equal(bufs(&w), 1);
	/* The next command wakes it, and it sees both. */
	peer_recv(&w.p, 0);
	send_io(&w.p, LEAP_NVM_READ, 0, 512, 8);
	assert_true(is_woken(w.pg));
	status_is(&w, 8, 0);
	polls(&w);
	assert_int_equal(bufs(&w), 0);
	finish(&w);
}

/* But not while another connection waits for the buffer that it frees. */
static void test_answer_frees(void **state)
{
	void *taken[1024];
	struct peer first;
	struct world w;
	uint32_t n = 0;

	link_up(&w, 1);
	while (leap__bufs_free(leap__dispatch(w.pg)) > 1)
		taken[n++] = leap_pollgroup_buf_get(w.pg);
	ask(&w, 1);
	first = w.p;
	peer_init(&w.p, w.fabric);
	request(&w, 2, LEAP__V_ESTABLISHED);
	connect_sqe(&w.p, 2);
	peer_send(&w.p, LEAP_SQE_SIZE);
	polls(&w);
	assert_non_null(leap__dispatch(w.pg)->starved);
	rdma_arm(w.pg);
	assert_false(is_woken(w.pg));
	peer_recv(&first, 0);
	assert_true(is_woken(w.pg));
	assert_non_null(answer(&w));
	while (n)
		leap_pollgroup_buf_put(w.pg, taken[--n]);
	peer_fini(&first);
	finish(&w);
}

/* A command goes on when its payload is there. */
static void test_read(void **state)
{
	struct world w;

	live(&w);
	w.fabric->late_reads = 1;
	send_io(&w.p, LEAP_NVM_WRITE, 0, 8192, 1);
	polls(&w);
	rdma_arm(w.pg);
	assert_false(is_woken(w.pg));
	fake_end_late(w.fabric);
	assert_true(is_woken(w.pg));
	status_is(&w, 1, 0);
	finish(&w);
}

/* Whoever closes waits for the last answer. */
static void test_close(void **state)
{
	struct world w;

	begin_asleep(&w);
	leap_vqp_close(w.f.target.vqp);
	polls(&w);
	rdma_arm(w.pg);
	assert_false(is_woken(w.pg));
	peer_recv(&w.p, 0);
	assert_true(is_woken(w.pg));
	gone(&w);
	finish(&w);
}

/* What was slept through has not stalled. */
static void test_stall(void **state)
{
	struct world w;

	begin_asleep(&w);
	/* Connect was answered in the first time. */
	assert_true(stall_time(&w));
	rdma_arm(w.pg);
	peer_recv(&w.p, 0);
	assert_false(is_woken(w.pg));
	assert_true(stall_time(&w));
	assert_int_equal(bufs(&w), 0);
	polls(&w);
	assert_int_equal(w.f.target.lost, 0);
	finish(&w);
}

/* A host is woken by the answer, not by that its command is out. */
static void test_host(void **state)
{
	struct rdma_pair p;
	int i;

	rdma_pair_init_two(&p);
	rdma_pair_start(&p, "127.0.0.1");
	rdma_pair_open(&p, 8192);
	p.fabric->paused = 1;
	rdma_load(&p.r, 1);
	p.r.left = 0;
	leap_qp_kick(p.r.qp);
	for (i = 0; i < 80; i++)
		rdma_run_poll(&p.r);
	rdma_arm(p.host);
	rdma_arm(p.pg);
	assert_false(is_woken(p.host) || is_woken(p.pg));
	fake_resume(p.fabric);
	assert_true(is_woken(p.pg));
	assert_false(is_woken(p.host));
	RDMA_WAIT(is_woken(p.host), rdma_poll(&p.f));
	RDMA_WAIT(p.r.done == 1, leap_pollgroup_poll(p.host, 0));
	rdma_pair_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_answer_frees),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
