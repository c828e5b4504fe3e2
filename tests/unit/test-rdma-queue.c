/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The send queue of an RDMA connection over completions that the test writes
 * itself: what is done with, in which order, when a device says so out of
 * order.
 */
#include "rdma-fixture.h"

#define SIZE	128u

static struct {
	struct leap_pollgroup *pg;
	struct fake_fabric *fabric;
	struct leap__verbs v;
	struct leap__rdma_dev dev;
	struct leap__rdma_conn c;
	/* Of the device. */
	struct leap__v_wc wc;
	int nr_wc;
	uint64_t signaled[2 * SIZE];
	unsigned int nr_signaled;
	/* What the end was told. */
	void *done[SIZE];
	unsigned int nr_done;
} w;

static int post_send(struct leap__v_qp *qp, const struct leap__v_wr *wr,
		     uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (wr[i].flags & LEAP__V_SIGNALED)
			w.signaled[w.nr_signaled++] = wr[i].id;
	return 0;
}

static int cq_poll(struct leap__v_cq *cq, struct leap__v_wc *wc, int n)
{
	*wc = w.wc;
	n = w.nr_wc;
	w.nr_wc = 0;
	return n;
}

static void sent(struct leap__rdma_conn *c, uint32_t kind, void *ptr)
{
	w.done[w.nr_done++] = ptr;
}

static void gather(struct leap__rdma_conn *c)
{
}

static const struct leap__rdma_end end = { .sent = sent, .gather = gather };

static void begin(void)
{
	memset(&w, 0, sizeof(w));
	w.fabric = fake_fabric_create();
	w.pg = rdma_pollgroup(w.fabric, 0, 0, 0);
	w.v.post_send = post_send;
	w.v.cq_poll = cq_poll;
	w.c.v = &w.v;
	w.c.pg = w.pg;
	w.c.dev = &w.dev;
	w.c.end = &end;
	w.c.state = LEAP__RDMA_READY;
	w.c.sq_size = SIZE;
	w.c.ring_mask = SIZE - 1;
	w.c.ring = calloc(SIZE, sizeof(*w.c.ring));
	assert_non_null(w.c.ring);
	leap__rdma_queue_init(&w.c);
	w.c.defer.run = NULL;
}

static void finish(void)
{
	leap_timer_stop(w.pg, &w.c.stall);
	leap__pollgroup_undefer(w.pg, &w.c.defer);
	free(w.c.ring);
	rdma_no_leak(w.pg);
	assert_int_equal(fake_fabric_destroy(w.fabric), 0);
}

static uint32_t post(uint32_t op, uint32_t flags, void *ptr)
{
	struct leap__v_sge *sge;

	assert_true(leap__rdma_room(&w.c) > 0);
	leap__rdma_post(&w.c, op, 1, &sge, flags);
	if (ptr)
		leap__rdma_post_end(&w.c, 1, ptr);
	return w.c.sq_tail - 1;
}

/* The device says that @id is done; only what asked for it is told of. */
static void complete(uint32_t id)
{
	unsigned int i = 0;

	leap__rdma_flush(&w.c);
	while (i < w.nr_signaled && w.signaled[i] != id)
		i++;
	assert_true(i < w.nr_signaled);
	w.wc.id = id;
	w.nr_wc = 1;
	w.c.poller.poll(&w.c.poller, 32);
}

static int is_done(const void *ptr)
{
	unsigned int i;

	for (i = 0; i < w.nr_done; i++)
		if (w.done[i] == ptr)
			return 1;
	return 0;
}

/*
 * READs of one command that take more than a batch, whose completions come when
 * those of SENDs behind them have been there for long. Nothing of what the
 * queue is used for meanwhile is taken for done with them.
 */
static void test_late_chain(void **state)
{
	uint32_t last, read, id, i;
	int first, second;

	begin();
	for (i = 0; i < LEAP__RDMA_BATCH; i++)
		post(LEAP__V_READ, 0, NULL);
	last = post(LEAP__V_READ, LEAP__V_SIGNALED, &first);
	complete(post(LEAP__V_SEND, LEAP__V_SIGNALED, NULL));
	assert_false(is_done(&first));
	for (id = last + 1; leap__rdma_room(&w.c) > 1;)
		id = post(LEAP__V_SEND, LEAP__V_SIGNALED, NULL);
	read = post(LEAP__V_READ, LEAP__V_SIGNALED, &second);
	complete(id);
	complete(LEAP__RDMA_BATCH - 1);
	assert_false(is_done(&first));
	complete(last);
	assert_true(is_done(&first));
	complete(post(LEAP__V_SEND, LEAP__V_SIGNALED, NULL));
	assert_false(is_done(&second));
	complete(read);
	assert_true(is_done(&second));
	assert_int_equal(w.nr_done, 2);
	assert_int_equal(leap__rdma_room(&w.c), SIZE);
	finish();
}

/* The numbers of descriptors go round. */
static void test_wrap(void **state)
{
	int ends[3];
	uint32_t i;

	begin();
	w.c.sq_tail = UINT32_MAX - 1;
	w.c.sq_head = w.c.sq_tail;
	w.c.sq_done = w.c.sq_tail;
	for (i = 0; i < COUNT(ends); i++)
		post(LEAP__V_SEND, 0, &ends[i]);
	complete(w.c.sq_tail - 1);
	assert_int_equal(w.nr_done, COUNT(ends));
	assert_int_equal(leap__rdma_room(&w.c), SIZE);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_chain),
		cmocka_unit_test(test_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
