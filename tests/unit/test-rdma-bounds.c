/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The RDMA transport at the ends of what may be asked of it: the deepest queue
 * that there is, and devices that have hardly enough.
 */
#include "rdma-fixture.h"

#include "transport/rdma/target.h"

struct world {
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg;
	struct rdma_fixture f;
	struct leap_qp *qp;
	int connected, closed;
	leap_status_t status;
	int err;
};

static void begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->fabric = fake_fabric_create();
	w->pg = rdma_pollgroup(w->fabric, 64, 4096, 0);
	rdma_start(&w->f, w->fabric, w->pg, "127.0.0.1");
}

static void finish(struct world *w)
{
	rdma_stop(&w->f);
	rdma_no_leak(w->pg);
	assert_int_equal(fake_fabric_destroy(w->fabric), 0);
	rdma_srq = 0;
}

static void on_connected(struct leap_qp *qp, leap_status_t status, int err,
			 void *arg)
{
	struct world *w = arg;

	w->connected = 1;
	w->status = status;
	w->err = err;
}

static void on_lost(struct leap_qp *qp, int err, void *arg)
{
}

static void on_closed(void *arg)
{
	*(int *)arg = 1;
}

static void connect_at(struct world *w, uint32_t depth)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;

	opts.url = w->f.url;
	opts.qid = 1;
	opts.cntlid = 7;
	opts.depth = depth;
	opts.connected = on_connected;
	opts.lost = on_lost;
	opts.arg = w;
	assert_int_equal(leap_qp_connect(w->pg, &opts, &w->qp), 0);
	RDMA_WAIT(w->connected, rdma_poll(&w->f));
}

static void close_it(struct world *w)
{
	leap_qp_close(w->qp, on_closed, &w->closed);
	RDMA_WAIT(w->closed, rdma_poll(&w->f));
}

/* 65536 entries, which a field of 16 bits says only where it counts from 0. */
static void test_deepest(void **state)
{
	struct world w;

	begin(&w);
	w.fabric->dev.caps.max_wr = 1 << 18;
	w.fabric->dev.caps.max_cqe = 1 << 20;
	w.f.target.opts.queue_depth = 65536;
	w.f.target.opts.inline_bytes = 0;
	connect_at(&w, 65536);
	assert_int_equal(w.err, 0);
	assert_int_equal(w.status, 0);
	assert_int_equal(((struct target *)w.f.target.vqp)->depth, 65536);
	close_it(&w);
	finish(&w);
}

/* A device whose completion queues have room for a queue's own receives and not
 * for all that are shared. */
static void test_few_completions(void **state)
{
	struct world w;

	uint32_t n;

	for (n = 0; n < 2; n++) {
		rdma_srq = n ? 1024 : 0;
		begin(&w);
		w.fabric->dev.caps.max_cqe = 512;
		connect_at(&w, 128);
		assert_int_equal(w.err, 0);
		assert_int_equal(w.status, 0);
		assert_int_equal(w.fabric->nr_srqs, n);
		close_it(&w);
		finish(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deepest),
		cmocka_unit_test(test_few_completions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
