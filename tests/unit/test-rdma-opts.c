/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What may be asked of the RDMA transport: the deepest queue that there is,
 * devices that have hardly enough, and payload buffers that others are told of.
 */
#include "rdma-fixture.h"

#include "core/io/dispatch.h"

#include "transport/rdma/target.h"

struct world {
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg;
	struct rdma_fixture f;
	struct leap_qp *qp;
	int connected, closed;
	unsigned int named;	/* commands with payload in shared memory */
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

/* As much data a command as a target may allow, and a pool that has it. */
static void test_largest_data(void **state)
{
	struct world w;

	memset(&w, 0, sizeof(w));
	w.fabric = fake_fabric_create();
	w.pg = rdma_pollgroup(w.fabric, 1 << 16, 4096, 0);
	rdma_start(&w.f, w.fabric, w.pg, "127.0.0.1");
	w.f.target.opts.mdts_bytes = 1u << 28;
	connect_at(&w, 128);
	assert_int_equal(w.err, 0);
	assert_int_equal(w.status, 0);
	/* MDTS comes from this, and a keyed descriptor has 24 bits. */
	assert_in_range(w.f.target.vqp->max_data_bytes, 1u << 23,
			(1u << 24) - 1);
	close_it(&w);
	finish(&w);
}

static void ready(struct leap_cmd *cmd, leap_status_t status)
{
	const struct leap__dispatch *d = leap__dispatch(cmd->vqp->pg);
	struct leap_target *t = cmd->vqp->handler_priv;
	uint32_t i;

	assert_int_equal(status, 0);
	for (i = 0; i < cmd->nr_pieces; i++)
		assert_ptr_equal(cmd->pieces[i].buf, d->bufs_mem);
	((struct world *)t->arg)->named += d->bufs_mem != NULL;
	leap_cmd_complete(cmd, 0);
}

static void execute(struct leap_target *t, struct leap_cmd *cmd)
{
	leap_cmd_pull(cmd, 9000, ready);
}

static void on_done(struct leap_req *req)
{
	assert_int_equal(leap_req_status(req), 0);
	req->done = NULL;
}

static void one_command(struct world *w, uint8_t opc)
{
	static uint8_t data[9000];
	struct leap_piece piece = { .addr = data, .len_bytes = sizeof(data) };
	struct leap_req req = {
		.pieces = &piece, .nr_pieces = 1, .done = on_done,
	};
	struct leap_req *reqs[] = { &req };

	req.sqe.opc = opc;
	assert_int_equal(leap_qp_submit(w->qp, reqs, 1), 1);
	RDMA_WAIT(!req.done, rdma_poll(&w->f));
}

/* A poll group whose buffers are shared: who serves is told where they lie, and
 * can have a drive read and write them; else there is nothing to tell. */
static void shared_bufs(uint32_t share)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct world w;

	memset(&w, 0, sizeof(w));
	w.fabric = fake_fabric_create();
	po.world = LEAP_WORLD_EPOLL;
	po.share_bufs = share;
	assert_int_equal(leap_pollgroup_create(&po, &w.pg), 0);
	assert_int_equal(leap__rdma_use(w.pg, &w.fabric->v), 0);
	rdma_start(&w.f, w.fabric, w.pg, "127.0.0.1");
	w.f.target.execute = execute;
	w.f.target.arg = &w;
	connect_at(&w, 32);
	one_command(&w, LEAP_NVM_WRITE);
	one_command(&w, LEAP_NVM_READ);
	assert_int_equal(w.named, share ? 2 : 0);
	close_it(&w);
	finish(&w);
}

static void test_shared_bufs(void **state)
{
	shared_bufs(0);
	shared_bufs(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deepest),
		cmocka_unit_test(test_few_completions),
		cmocka_unit_test(test_largest_data),
		cmocka_unit_test(test_shared_bufs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
