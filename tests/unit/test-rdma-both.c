/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both ends of the RDMA transport against each other over the fake fabric:
 * sizes 0 to 1 MiB, in capsules and by keys, scattered payload, registered and
 * bounced, scarce buffers, commands and regions, devices with narrow limits,
 * delayed completions, moving between poll groups, and sudden ends.
 */
#include "rdma-fixture.h"

#include "core/io/dispatch.h"
#include "core/io/pool.h"
#include "dmabuf/region.h"
#include "transport/rdma/target.h"

#define MANY 90	/* dmabufs; the cache has 64 */

static void end(struct fake_fabric *f)
{
	assert_int_equal(fake_fabric_destroy(f), 0);
}

static void exchange_on(struct fake_fabric *fabric, struct leap_pollgroup *pg,
			const char *address, uint32_t flags,
			uint32_t inline_bytes, unsigned int delay)
{
	struct leap_qp_info info = { sizeof(info) };
	struct rdma_run r = { 0 };
	struct rdma_fixture f;

	rdma_start(&f, fabric, pg, address);
	f.delay = delay;
	rdma_open(&r, &f, pg, 1, flags, inline_bytes);
	rdma_connect(&r);
	assert_int_equal(leap_qp_info(r.qp, &info), 0);
	assert_int_equal(info.flags, flags);
	rdma_ios(&r, 400);
	rdma_close(&r);
	rdma_stop(&f);
	rdma_no_leak(pg);
}

static void exchange(uint32_t bufs, uint32_t buf_bytes, uint32_t cmds,
		     uint32_t flags, uint32_t inline_bytes, unsigned int delay)
{
	struct fake_fabric *fabric = fake_fabric_create();

	exchange_on(fabric, rdma_pollgroup(fabric, bufs, buf_bytes, cmds),
		    "127.0.0.1", flags, inline_bytes, delay);
	end(fabric);
}

static void test_plain(void **state)
{
	exchange(0, 0, 0, 0, 8192, 0);
	exchange(0, 0, 0, 0, 0, 3);
	exchange(0, 0, 0, LEAP_QP_NO_SQ_FLOW, 4096, 2);
}

static void test_v6(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();

	exchange_on(fabric, rdma_pollgroup(fabric, 0, 0, 0), "[::1]", 0, 8192,
		    0);
	end(fabric);
}

static void test_scarce(void **state)
{
	exchange(16, 65536, 0, 0, 8192, 4);
	/* Scatter lists of many descriptors. */
	exchange(300, 4096, 0, 0, 8192, 2);
	exchange(0, 0, 1, 0, 8192, 3);
	exchange(0, 0, 3, 0, 0, 0);
}

/* A pool smaller than the largest transfer, here or where the queue moves. */
static void test_tiny_pool(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *home = rdma_pollgroup(fabric, 8, 4096, 0);
	struct leap_pollgroup *io = rdma_pollgroup(fabric, 4, 4096, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;

	rdma_start(&f, fabric, home, "127.0.0.1");
	f.target.io = io;
	f.io = io;
	rdma_open(&r, &f, home, 1, 0, 0);
	rdma_connect(&r);
	assert_int_equal(f.target.vqp->max_data_bytes, 8 * 4096);
	r.max = 4 * 4096;
	rdma_ios(&r, 1);
	r.max = 1000;
	rdma_ios(&r, 100);
	/* What the pool cannot hold is refused, and nobody waits for ever. */
	r.max = 8 * 4096;
	r.may_fail = 1;
	rdma_load(&r, 1000);
	RDMA_WAIT(r.done + r.left >= 1000, rdma_run_poll(&r));
	assert_true(r.failed > 0);
	assert_int_equal(r.lost, 0);
	rdma_close(&r);
	rdma_stop(&f);
	rdma_no_leak(io);
	rdma_no_leak(home);
	end(fabric);
}

/* READs one at a time and of one part each, and no data in descriptors. */
static void test_narrow_device(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();

	fabric->dev.caps.max_sge = 2;
	fabric->dev.caps.read_sges = 1;
	fabric->dev.caps.max_ord = 1;
	fabric->dev.caps.remote_sink = 1;
	exchange_on(fabric, rdma_pollgroup(fabric, 300, 4096, 0), "127.0.0.1",
		    0, 8192, 2);
	end(fabric);
}

/* Payload in one dmabuf is not copied: no bounce memory is touched. */
/* @on_demand: what the device says; @pins: of this memory it is not true. */
static void registered(uint8_t on_demand, uint32_t pins)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *pg = rdma_pollgroup(fabric, 0, 0, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;
	uint32_t before;

	fabric->dev.caps.on_demand = on_demand;
	fabric->pins = pins;
	o.bytes = RDMA_DISK;
	assert_int_equal(leap_dmabuf_create(&o, &r.buf), 0);
	rdma_start(&f, fabric, pg, "127.0.0.1");
	rdma_open(&r, &f, pg, 1, 0, 0);
	rdma_connect(&r);
	before = fabric->nr_mrs;
	rdma_ios(&r, 400);
	/* One region for all of it, made once. */
	assert_int_equal(fabric->nr_mrs, before + 1);
	assert_int_equal(fabric->nr_unpinned, on_demand && !pins);
	assert_int_equal(fabric->nr_refused, on_demand && pins);
	assert_true(fabric->nr_reads > 100 && fabric->nr_writes > 100);
	rdma_close(&r);
	rdma_stop(&f);
	rdma_no_leak(pg);
	leap_dmabuf_put(r.buf);
	end(fabric);
}

static void test_registered(void **state)
{
	registered(0, 0);
	registered(1, 0);
	registered(1, 1);
}

static void is_back(struct leap__dmabuf_recall *recall)
{
	recall->upto = UINT64_MAX;
}

/* Memory that somebody wants back is out of reach once no command names it. */
static void test_recall(void **state)
{
	struct leap__dmabuf_recall recall = { .done = is_back };
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *pg = rdma_pollgroup(fabric, 0, 0, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;
	uint32_t before;
	int i;

	o.bytes = RDMA_DISK;
	assert_int_equal(leap_dmabuf_create(&o, &r.buf), 0);
	rdma_start(&f, fabric, pg, "127.0.0.1");
	rdma_open(&r, &f, pg, 1, 0, 0);
	rdma_connect(&r);
	before = fabric->nr_mrs;
	/* Commands are out that do not end. */
	f.delay = 1000000;
	r.max = 4096;
	rdma_load(&r, RDMA_DEPTH - 1);
	RDMA_WAIT(f.nr_delayed, rdma_run_poll(&r));
	assert_int_equal(fabric->nr_mrs, before + 1);
	leap__dmabuf_recall(r.buf, &recall);
	for (i = 0; i < 100; i++)
		rdma_run_poll(&r);
	assert_int_not_equal(recall.upto, UINT64_MAX);
	assert_int_equal(fabric->nr_mrs, before + 1);
	for (i = 0; i < (int)f.nr_delayed; i++)
		f.due[i] = 1;
	f.delay = 0;
	RDMA_WAIT(r.done == RDMA_DEPTH - 1, rdma_run_poll(&r));
	RDMA_WAIT(recall.upto == UINT64_MAX, rdma_run_poll(&r));
	assert_int_equal(fabric->nr_mrs, before);
	/* Used again, and then nobody has it but the cache. */
	rdma_ios(&r, 40);
	assert_int_equal(fabric->nr_mrs, before + 1);
	r.stop = 1;
	leap_dmabuf_put(r.buf);
	RDMA_WAIT(fabric->nr_mrs == before, rdma_run_poll(&r));
	rdma_close(&r);
	rdma_stop(&f);
	rdma_no_leak(pg);
	end(fabric);
}

/* More buffers than the cache holds, and a device that has no regions left. */
static void test_registrations(void **state)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct leap_dmabuf *bufs[MANY];
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *pg = rdma_pollgroup(fabric, 0, 0, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;
	uint32_t before, i;

	rdma_start(&f, fabric, pg, "127.0.0.1");
	rdma_open(&r, &f, pg, 1, 0, 0);
	rdma_connect(&r);
	before = fabric->nr_mrs;
	o.bytes = RDMA_DISK;
	o.huge = LEAP_HUGE_NEVER;
	for (i = 0; i < COUNT(bufs); i++) {
		uint8_t *own[RDMA_DEPTH - 1];
		uint32_t k;

		/* Towards the end there are no more to be had. */
		if (i == COUNT(bufs) - 10) {
			fake_lock(fabric);
			fabric->max_mrs = 1;
			fake_unlock(fabric);
		}
		assert_int_equal(leap_dmabuf_create(&o, &bufs[i]), 0);
		for (k = 0; k < RDMA_DEPTH - 1; k++) {
			own[k] = r.ios[k].data;
			r.ios[k].data = (uint8_t *)leap_dmabuf_addr(bufs[i]) +
					k * RDMA_SLOT;
		}
		r.buf = bufs[i];
		/* Each writes and reads back. */
		rdma_ios(&r, 2 * (RDMA_DEPTH - 1));
		for (k = 0; k < RDMA_DEPTH - 1; k++)
			r.ios[k].data = own[k];
		r.buf = NULL;
		assert_true(fabric->nr_mrs <= before + 64);
	}
	assert_true(fabric->nr_refused > 0);
	rdma_close(&r);
	rdma_stop(&f);
	rdma_no_leak(pg);
	for (i = 0; i < COUNT(bufs); i++)
		leap_dmabuf_put(bufs[i]);
	end(fabric);
}

/* The controller end moves to another poll group at Connect. */
static void test_move(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *home = rdma_pollgroup(fabric, 16, 65536, 0);
	struct leap_pollgroup *io = rdma_pollgroup(fabric, 16, 131072, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;
	int i;

	rdma_start(&f, fabric, home, "127.0.0.1");
	f.target.io = io;
	f.io = io;
	for (i = 0; i < 5; i++) {
		rdma_open(&r, &f, home, 1, 0, 8192);
		rdma_connect(&r);
		assert_ptr_equal(f.target.vqp->pg, io);
		rdma_ios(&r, 100);
		rdma_close(&r);
	}
	rdma_stop(&f);
	rdma_no_leak(io);
	rdma_no_leak(home);
	end(fabric);
}

/* To a poll group whose buffers are smaller, so that a command takes more. */
static void test_move_to_small(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *home = rdma_pollgroup(fabric, 16, 131072, 0);
	struct leap_pollgroup *io = rdma_pollgroup(fabric, 600, 4096, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;

	rdma_start(&f, fabric, home, "127.0.0.1");
	f.target.io = io;
	f.io = io;
	f.delay = 3;
	rdma_open(&r, &f, home, 1, 0, 8192);
	rdma_connect(&r);
	assert_ptr_equal(f.target.vqp->pg, io);
	rdma_ios(&r, 300);
	rdma_close(&r);
	rdma_stop(&f);
	rdma_no_leak(io);
	rdma_no_leak(home);
	end(fabric);
}

/* A connection that has just been lost moves: its old thread has no more of it. */
static void test_move_dead(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *host = rdma_pollgroup(fabric, 0, 0, 0);
	struct leap_pollgroup *home = rdma_pollgroup(fabric, 0, 0, 0);
	struct leap_pollgroup *io = rdma_pollgroup(fabric, 0, 0, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;
	struct leap_vqp *vqp;
	int i;

	rdma_start(&f, fabric, home, "127.0.0.1");
	f.target.hold_connect = 1;
	rdma_open(&r, &f, host, 1, 0, 8192);
	r.may_fail = 1;
	RDMA_WAIT(f.target.held, rdma_run_poll(&r));
	vqp = f.target.vqp;
	leap__rdma_kill(&((struct target *)vqp)->c, -ECONNRESET);
	leap_pollgroup_poll(home, 0);
	assert_int_equal(f.target.lost, 0);
	/* What leap__vqp_move does. */
	vqp->ops->vqp_detach(vqp);
	leap__dispatch_add_peer(leap__dispatch(io), leap__dispatch(home));
	vqp->pg = io;
	assert_int_equal(vqp->ops->vqp_attach(vqp), 0);
	for (i = 0; i < 3; i++)
		leap_pollgroup_poll(io, 0);
	assert_int_equal(f.target.lost, 1);
	leap_cmd_complete(f.target.held, 0);
	f.io = io;
	RDMA_WAIT(f.target.gone == 1, rdma_run_poll(&r));
	rdma_close(&r);
	rdma_stop(&f);
	for (i = 0; i < 3; i++)
		leap_pollgroup_poll(io, 0);
	rdma_no_leak(io);
	rdma_no_leak(home);
	rdma_no_leak(host);
	end(fabric);
}

/* The device goes while the group that queues came from has none: its buffers
 * are out of the device, too, before another takes its place. */
static void test_removed_elsewhere(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *host = rdma_pollgroup(fabric, 0, 0, 0);
	struct leap_pollgroup *home = rdma_pollgroup(fabric, 0, 0, 0);
	struct leap_pollgroup *io = rdma_pollgroup(fabric, 0, 0, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;
	int i;

	rdma_start(&f, fabric, home, "127.0.0.1");
	f.target.io = io;
	f.io = io;
	for (i = 0; i < 3; i++) {
		rdma_open(&r, &f, host, 1, 0, 8192);
		rdma_connect(&r);
		rdma_ios(&r, 20);
		r.may_fail = 1;
		rdma_load(&r, 1u << 30);
		if (i < 2)
			fake_remove_device(fabric);
		else
			r.stop = 1;
		RDMA_WAIT(r.lost || i == 2, rdma_run_poll(&r));
		rdma_close(&r);
		RDMA_WAIT(!fabric->nr_pds && !fabric->nr_mrs &&
			  f.target.gone == f.target.accepted,
			  rdma_run_poll(&r));
		/* The listener is back. */
		RDMA_WAIT(fabric->nr_ids == 0 || i == 2, rdma_run_poll(&r));
		RDMA_WAIT(fabric->nr_ids == 1, rdma_run_poll(&r));
	}
	assert_int_equal(fabric->nr_late, 0);
	rdma_stop(&f);
	rdma_no_leak(io);
	rdma_no_leak(home);
	rdma_no_leak(host);
	end(fabric);
}

/* Either end goes away in the middle, at any time; nothing stays behind. */
static void test_kills(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *host = rdma_pollgroup(fabric, 4, 4096, 0);
	struct leap_pollgroup *pg = rdma_pollgroup(fabric, 40, 65536, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;
	unsigned int round, i, n;

	rdma_start(&f, fabric, pg, "127.0.0.1");
	f.delay = 4;
	for (round = 0; round < 100; round++) {
		rdma_open(&r, &f, host, 1, 0, round & 2 ? 8192 : 0);
		n = (unsigned int)rand() % 100;
		if (round % 5)
			rdma_connect(&r);
		r.may_fail = 1;
		if (round % 5)
			rdma_load(&r, 1u << 30);
		for (i = 0; i < n; i++)
			rdma_run_poll(&r);
		r.stop = 1;
		if (round % 5 && round & 4) {
			leap_vqp_close(f.target.vqp);
			RDMA_WAIT(r.lost, rdma_run_poll(&r));
		}
		rdma_close(&r);
		RDMA_WAIT(f.target.gone == f.target.accepted,
			  rdma_run_poll(&r));
	}
	rdma_stop(&f);
	rdma_no_leak(pg);
	rdma_no_leak(host);
	end(fabric);
}

/* Connect, and disconnect, many times: what there is stays the same. */
static void test_cycles(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *pg = rdma_pollgroup(fabric, 0, 0, 0);
	uint32_t mrs = 0, chans = 0, pds = 0;
	struct rdma_run r = { 0 };
	struct rdma_fixture f;
	int i;

	rdma_start(&f, fabric, pg, "127.0.0.1");
	for (i = 0; i < 500; i++) {
		rdma_open(&r, &f, pg, (uint16_t)(i % 2), 0, 8192);
		rdma_connect(&r);
		rdma_close(&r);
		RDMA_WAIT(f.target.gone == f.target.accepted,
			  rdma_run_poll(&r));
		if (i == 10) {
			mrs = fabric->nr_mrs;
			chans = fabric->nr_chans;
			pds = fabric->nr_pds;
		}
	}
	assert_int_equal(fabric->nr_mrs, mrs);
	assert_int_equal(fabric->nr_chans, chans);
	assert_int_equal(fabric->nr_pds, pds);
	assert_int_equal(fabric->nr_qps, 0);
	rdma_stop(&f);
	rdma_no_leak(pg);
	end(fabric);
}

/* An idle pair sleeps, and a command wakes it. */
static void test_sleep(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *host = rdma_pollgroup(fabric, 0, 0, 0);
	struct leap_pollgroup *pg = rdma_pollgroup(fabric, 0, 0, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;
	int i;

	rdma_start(&f, fabric, pg, "127.0.0.1");
	rdma_open(&r, &f, host, 1, 0, 8192);
	rdma_connect(&r);
	rdma_ios(&r, 20);
	for (i = 0; i < 20; i++) {
		while (leap_pollgroup_poll(pg, 0) + leap_pollgroup_poll(host, 0))
			;
		while (leap_pollgroup_arm(pg))
			leap_pollgroup_poll(pg, 0);
		while (leap_pollgroup_arm(host))
			leap_pollgroup_poll(host, 0);
		/* Nothing to do: the sleep lasts. */
		assert_int_equal(leap_pollgroup_wait(pg, 2000000), 0);
		rdma_load(&r, 1);
		leap_qp_kick(r.qp);
		r.left = 0;
		/* Twenty seconds if it were not told. */
		while (!f.executed || r.done != 1) {
			assert_true(leap_pollgroup_wait(pg, 5000000000) >= 0);
			leap_pollgroup_poll(host, 0);
		}
	}
	assert_true(fabric->nr_arms > 0);
	rdma_close(&r);
	rdma_stop(&f);
	rdma_no_leak(pg);
	rdma_no_leak(host);
	end(fabric);
}

/* A batch is one post; and of a batch, one completion. */
static void test_batches(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *host = rdma_pollgroup(fabric, 0, 0, 0);
	struct leap_pollgroup *pg = rdma_pollgroup(fabric, 0, 0, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;
	uint64_t posts;

	rdma_start(&f, fabric, pg, "127.0.0.1");
	rdma_open(&r, &f, host, 1, 0, 8192);
	rdma_connect(&r);
	r.max = 512;
	posts = fabric->nr_posts;
	r.stop = 0;
	rdma_load(&r, RDMA_DEPTH - 1);
	leap_qp_kick(r.qp);
	assert_int_equal(fabric->nr_posts, posts + 1);
	leap_pollgroup_poll(pg, 0);
	/* All in capsules, so all of them are answered at once. */
	assert_true(fabric->nr_posts <= posts + 3);
	RDMA_WAIT(r.done == RDMA_DEPTH - 1, rdma_run_poll(&r));
	rdma_close(&r);
	rdma_stop(&f);
	rdma_no_leak(pg);
	rdma_no_leak(host);
	end(fabric);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_scarce),
		cmocka_unit_test(test_tiny_pool),
		cmocka_unit_test(test_narrow_device),
		cmocka_unit_test(test_registered),
		cmocka_unit_test(test_recall),
		cmocka_unit_test(test_registrations),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_move_to_small),
		cmocka_unit_test(test_move_dead),
		cmocka_unit_test(test_removed_elsewhere),
		cmocka_unit_test(test_kills),
		cmocka_unit_test(test_cycles),
		cmocka_unit_test(test_sleep),
		cmocka_unit_test(test_batches),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	/* All of it again, with fewer shared receives than there are entries of
	 * queues. */
	rdma_srq = 12;
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
