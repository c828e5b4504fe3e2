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

static void exchange_on(struct rdma_pair *p, const char *address,
			uint32_t flags, uint32_t inline_bytes,
			unsigned int delay)
{
	struct leap_qp_info info = { sizeof(info) };

	rdma_pair_start(p, address);
	p->f.delay = delay;
	rdma_open(&p->r, &p->f, p->host, 1, flags, inline_bytes);
	rdma_connect(&p->r);
	assert_int_equal(leap_qp_info(p->r.qp, &info), 0);
	assert_int_equal(info.flags, flags);
	rdma_ios(&p->r, 400);
	rdma_pair_end(p);
}

static void exchange(uint32_t bufs, uint32_t buf_bytes, uint32_t cmds,
		     uint32_t flags, uint32_t inline_bytes, unsigned int delay)
{
	struct rdma_pair p;

	rdma_pair_init(&p);
	p.pg = rdma_pollgroup(p.fabric, bufs, buf_bytes, cmds);
	exchange_on(&p, "127.0.0.1", flags, inline_bytes, delay);
}

static void test_plain(void **state)
{
	exchange(0, 0, 0, 0, 8192, 0);
	exchange(0, 0, 0, 0, 0, 3);
	exchange(0, 0, 0, LEAP_QP_NO_SQ_FLOW, 4096, 2);
}

static void test_v6(void **state)
{
	struct rdma_pair p;

	rdma_pair_init(&p);
	exchange_on(&p, "[::1]", 0, 8192, 0);
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
	struct rdma_run *r;
	struct rdma_pair p;

	rdma_pair_init(&p);
	r = &p.r;
	p.pg = rdma_pollgroup(p.fabric, 8, 4096, 0);
	p.io = rdma_pollgroup(p.fabric, 4, 4096, 0);
	rdma_pair_start(&p, "127.0.0.1");
	rdma_pair_open(&p, 0);
	assert_int_equal(p.f.target.vqp->max_data_bytes, 8 * 4096);
	r->max = 4 * 4096;
	rdma_ios(r, 1);
	r->max = 1000;
	rdma_ios(r, 100);
	/* What the pool cannot hold is refused, and nobody waits for ever. */
	r->max = 8 * 4096;
	r->may_fail = 1;
	rdma_load(r, 1000);
	RDMA_WAIT(r->done + r->left >= 1000, rdma_run_poll(r));
	assert_true(r->failed > 0);
	assert_int_equal(r->lost, 0);
	rdma_pair_end(&p);
}

/* READs one at a time and of one part each, and no data in descriptors. */
static void test_narrow_device(void **state)
{
	struct rdma_pair p;

	rdma_pair_init(&p);
	p.fabric->dev.caps.max_sge = 2;
	p.fabric->dev.caps.read_sges = 1;
	p.fabric->dev.caps.max_ord = 1;
	p.fabric->dev.caps.remote_sink = 1;
	p.pg = rdma_pollgroup(p.fabric, 300, 4096, 0);
	exchange_on(&p, "127.0.0.1", 0, 8192, 2);
}

/* A host end whose payload lies in one dmabuf. */
static void open_in_buf(struct rdma_pair *p)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;

	o.bytes = RDMA_DISK;
	assert_int_equal(leap_dmabuf_create(&o, &p->r.buf), 0);
	rdma_pair_start(p, "127.0.0.1");
	rdma_pair_open(p, 0);
}

/* Payload in one dmabuf is not copied: no bounce memory is touched. */
/* @on_demand: what the device says; @pins: of this memory it is not true. */
static void registered(uint8_t on_demand, uint32_t pins)
{
	struct rdma_pair p;
	uint32_t before;

	rdma_pair_init(&p);
	p.fabric->dev.caps.on_demand = on_demand;
	p.fabric->pins = pins;
	open_in_buf(&p);
	before = p.fabric->nr_mrs;
	rdma_ios(&p.r, 400);
	/* One region for all of it, made once. */
	assert_int_equal(p.fabric->nr_mrs, before + 1);
	assert_int_equal(p.fabric->nr_unpinned, on_demand && !pins);
	assert_int_equal(p.fabric->nr_refused, on_demand && pins);
	assert_true(p.fabric->nr_reads > 100 && p.fabric->nr_writes > 100);
	rdma_pair_end(&p);
	leap_dmabuf_put(p.r.buf);
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
	struct rdma_pair p;
	struct rdma_run *r;
	uint32_t before;
	int i;

	rdma_pair_init(&p);
	r = &p.r;
	open_in_buf(&p);
	before = p.fabric->nr_mrs;
	/* Commands are out that do not end. */
	p.f.delay = 1000000;
	r->max = 4096;
	rdma_load(r, RDMA_DEPTH - 1);
	RDMA_WAIT(p.f.nr_delayed, rdma_run_poll(r));
	assert_int_equal(p.fabric->nr_mrs, before + 1);
	leap__dmabuf_recall(r->buf, &recall);
	for (i = 0; i < 100; i++)
		rdma_run_poll(r);
	assert_int_not_equal(recall.upto, UINT64_MAX);
	assert_int_equal(p.fabric->nr_mrs, before + 1);
	for (i = 0; i < (int)p.f.nr_delayed; i++)
		p.f.due[i] = 1;
	p.f.delay = 0;
	RDMA_WAIT(r->done == RDMA_DEPTH - 1, rdma_run_poll(r));
	RDMA_WAIT(recall.upto == UINT64_MAX, rdma_run_poll(r));
	assert_int_equal(p.fabric->nr_mrs, before);
	/* Used again, and then nobody has it but the cache. */
	rdma_ios(r, 40);
	assert_int_equal(p.fabric->nr_mrs, before + 1);
	r->stop = 1;
	leap_dmabuf_put(r->buf);
	RDMA_WAIT(p.fabric->nr_mrs == before, rdma_run_poll(r));
	rdma_pair_end(&p);
}

/* Payload is in @buf for a while: each slot writes, and reads back. */
static void ios_in(struct rdma_run *r, struct leap_dmabuf *buf)
{
	uint8_t *own[RDMA_DEPTH - 1];
	uint32_t k;

	for (k = 0; k < RDMA_DEPTH - 1; k++) {
		own[k] = r->ios[k].data;
		r->ios[k].data = (uint8_t *)leap_dmabuf_addr(buf) +
				 k * RDMA_SLOT;
	}
	r->buf = buf;
	rdma_ios(r, 2 * (RDMA_DEPTH - 1));
	for (k = 0; k < RDMA_DEPTH - 1; k++)
		r->ios[k].data = own[k];
	r->buf = NULL;
}

/* More buffers than the cache holds, and a device that has no regions left. */
static void test_registrations(void **state)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct leap_dmabuf *bufs[MANY];
	struct rdma_pair p;
	uint32_t before, i;

	rdma_pair_init(&p);
	rdma_pair_start(&p, "127.0.0.1");
	rdma_pair_open(&p, 0);
	before = p.fabric->nr_mrs;
	o.bytes = RDMA_DISK;
	o.huge = LEAP_HUGE_NEVER;
	for (i = 0; i < COUNT(bufs); i++) {
		/* Towards the end there are no more to be had. */
		if (i == COUNT(bufs) - 10) {
			fake_lock(p.fabric);
			p.fabric->max_mrs = 1;
			fake_unlock(p.fabric);
		}
		assert_int_equal(leap_dmabuf_create(&o, &bufs[i]), 0);
		ios_in(&p.r, bufs[i]);
		assert_true(p.fabric->nr_mrs <= before + 64);
	}
	assert_true(p.fabric->nr_refused > 0);
	rdma_pair_end(&p);
	for (i = 0; i < COUNT(bufs); i++)
		leap_dmabuf_put(bufs[i]);
}

/* The controller end moves to another poll group at Connect. */
static void test_move(void **state)
{
	struct rdma_pair p;
	int i;

	rdma_pair_init(&p);
	p.pg = rdma_pollgroup(p.fabric, 16, 65536, 0);
	p.io = rdma_pollgroup(p.fabric, 16, 131072, 0);
	rdma_pair_start(&p, "127.0.0.1");
	for (i = 0; i < 5; i++) {
		rdma_pair_open(&p, 8192);
		assert_ptr_equal(p.f.target.vqp->pg, p.io);
		rdma_ios(&p.r, 100);
		rdma_close(&p.r);
	}
	rdma_pair_end(&p);
}

/* To a poll group whose buffers are smaller, so that a command takes more. */
static void test_move_to_small(void **state)
{
	struct rdma_pair p;

	rdma_pair_init(&p);
	p.pg = rdma_pollgroup(p.fabric, 16, 131072, 0);
	p.io = rdma_pollgroup(p.fabric, 600, 4096, 0);
	rdma_pair_start(&p, "127.0.0.1");
	p.f.delay = 3;
	rdma_pair_open(&p, 8192);
	assert_ptr_equal(p.f.target.vqp->pg, p.io);
	rdma_ios(&p.r, 300);
	rdma_pair_end(&p);
}

/* A connection that has just been lost moves: its old thread has none of it. */
static void test_move_dead(void **state)
{
	struct leap_pollgroup *io;
	struct rdma_pair p;
	struct leap_vqp *vqp;
	int i;

	rdma_pair_init_two(&p);
	io = rdma_pollgroup(p.fabric, 0, 0, 0);
	rdma_pair_start(&p, "127.0.0.1");
	p.f.target.hold_connect = 1;
	rdma_open(&p.r, &p.f, p.host, 1, 0, 8192);
	p.r.may_fail = 1;
	RDMA_WAIT(p.f.target.held, rdma_run_poll(&p.r));
	vqp = p.f.target.vqp;
	leap__rdma_kill(&((struct target *)vqp)->c, -ECONNRESET);
	leap_pollgroup_poll(p.pg, 0);
	assert_int_equal(p.f.target.lost, 0);
	/* What leap__vqp_move does. */
	vqp->ops->vqp_detach(vqp);
	leap__dispatch_add_peer(leap__dispatch(io), leap__dispatch(p.pg));
	vqp->pg = io;
	assert_int_equal(vqp->ops->vqp_attach(vqp), 0);
	for (i = 0; i < 3; i++)
		leap_pollgroup_poll(io, 0);
	assert_int_equal(p.f.target.lost, 1);
	leap_cmd_complete(p.f.target.held, 0);
	p.io = p.f.io = io;
	RDMA_WAIT(p.f.target.gone == 1, rdma_run_poll(&p.r));
	rdma_pair_end(&p);
}

/* The device goes while the group that queues came from has none: its buffers
 * are out of the device, too, before another takes its place. */
static void test_removed_elsewhere(void **state)
{
	struct fake_fabric *fabric;
	struct rdma_pair p;
	struct rdma_run *r;
	int i;

	rdma_pair_init_two(&p);
	fabric = p.fabric;
	r = &p.r;
	p.io = rdma_pollgroup(fabric, 0, 0, 0);
	rdma_pair_start(&p, "127.0.0.1");
	for (i = 0; i < 3; i++) {
		rdma_pair_open(&p, 8192);
		rdma_ios(r, 20);
		r->may_fail = 1;
		rdma_load(r, 1u << 30);
		if (i < 2)
			fake_remove_device(fabric);
		else
			r->stop = 1;
		RDMA_WAIT(r->lost || i == 2, rdma_run_poll(r));
		rdma_close(r);
		RDMA_WAIT(!fabric->nr_pds && !fabric->nr_mrs &&
			  p.f.target.gone == p.f.target.accepted,
			  rdma_run_poll(r));
		/* The listener is back. */
		RDMA_WAIT(fabric->nr_ids == 0 || i == 2, rdma_run_poll(r));
		RDMA_WAIT(fabric->nr_ids == 1, rdma_run_poll(r));
	}
	assert_int_equal(fabric->nr_late, 0);
	rdma_pair_end(&p);
}

/* Either end goes away in the middle, at any time; nothing stays behind. */
static void test_kills(void **state)
{
	unsigned int round, i, n;
	struct rdma_pair p;
	struct rdma_run *r;

	rdma_pair_init(&p);
	r = &p.r;
	p.host = rdma_pollgroup(p.fabric, 4, 4096, 0);
	p.pg = rdma_pollgroup(p.fabric, 40, 65536, 0);
	rdma_pair_start(&p, "127.0.0.1");
	p.f.delay = 4;
	for (round = 0; round < 100; round++) {
		rdma_open(r, &p.f, p.host, 1, 0, round & 2 ? 8192 : 0);
		n = (unsigned int)rand() % 100;
		if (round % 5)
			rdma_connect(r);
		r->may_fail = 1;
		if (round % 5)
			rdma_load(r, 1u << 30);
		for (i = 0; i < n; i++)
			rdma_run_poll(r);
		r->stop = 1;
		if (round % 5 && round & 4) {
			leap_vqp_close(p.f.target.vqp);
			RDMA_WAIT(r->lost, rdma_run_poll(r));
		}
		rdma_close(r);
		RDMA_WAIT(p.f.target.gone == p.f.target.accepted,
			  rdma_run_poll(r));
	}
	rdma_pair_end(&p);
}

/* Connect, and disconnect, many times: what there is stays the same. */
static void test_cycles(void **state)
{
	uint32_t mrs = 0, chans = 0, pds = 0;
	struct fake_fabric *fabric;
	struct rdma_pair p;
	int i;

	rdma_pair_init(&p);
	fabric = p.fabric;
	rdma_pair_start(&p, "127.0.0.1");
	for (i = 0; i < 500; i++) {
		rdma_open(&p.r, &p.f, p.host, (uint16_t)(i % 2), 0, 8192);
		rdma_connect(&p.r);
		rdma_close(&p.r);
		RDMA_WAIT(p.f.target.gone == p.f.target.accepted,
			  rdma_run_poll(&p.r));
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
	rdma_pair_end(&p);
}

/* An idle pair sleeps, and a command wakes it. */
static void test_sleep(void **state)
{
	struct rdma_pair p;
	int i;

	rdma_pair_init_two(&p);
	rdma_pair_start(&p, "127.0.0.1");
	rdma_pair_open(&p, 8192);
	rdma_ios(&p.r, 20);
	for (i = 0; i < 20; i++) {
		while (leap_pollgroup_poll(p.pg, 0) +
		       leap_pollgroup_poll(p.host, 0))
			;
		rdma_arm(p.pg);
		rdma_arm(p.host);
		/* Nothing to do: the sleep lasts. */
		assert_int_equal(leap_pollgroup_wait(p.pg, 2000000), 0);
		rdma_load(&p.r, 1);
		leap_qp_kick(p.r.qp);
		p.r.left = 0;
		/* Twenty seconds if it were not told. */
		while (!p.f.executed || p.r.done != 1) {
			assert_true(leap_pollgroup_wait(p.pg, 5000000000) >=
				    0);
			leap_pollgroup_poll(p.host, 0);
		}
	}
	assert_true(p.fabric->nr_arms > 0);
	rdma_pair_end(&p);
}

/* A batch is one post; and of a batch, one completion. */
static void test_batches(void **state)
{
	struct rdma_pair p;
	uint64_t posts;

	rdma_pair_init_two(&p);
	rdma_pair_start(&p, "127.0.0.1");
	rdma_pair_open(&p, 8192);
	p.r.max = 512;
	posts = p.fabric->nr_posts;
	p.r.stop = 0;
	rdma_load(&p.r, RDMA_DEPTH - 1);
	leap_qp_kick(p.r.qp);
	assert_int_equal(p.fabric->nr_posts, posts + 1);
	leap_pollgroup_poll(p.pg, 0);
	/* All in capsules, so all of them are answered at once. */
	assert_true(p.fabric->nr_posts <= posts + 3);
	RDMA_WAIT(p.r.done == RDMA_DEPTH - 1, rdma_run_poll(&p.r));
	rdma_pair_end(&p);
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
