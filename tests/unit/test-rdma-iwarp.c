/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host end over iWARP, whose peer may not look at the first messages before
 * more comes: it is sent WRITEs of no bytes until it answers, and only then.
 */
#include "rdma-fixture.h"

#include "transport/rdma/host.h"

struct world {
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg;
	struct rdma_fixture f;
	struct rdma_run r;
};

static void polls(struct world *w)
{
	int i;

	for (i = 0; i < 100; i++)
		rdma_run_poll(&w->r);
}

/* @deaf: posts that are not looked at before the next one. */
static void begin(struct world *w, int iwarp, uint32_t deaf)
{
	memset(w, 0, sizeof(*w));
	w->fabric = fake_fabric_create();
	w->fabric->dev.caps.remote_sink = (uint8_t)iwarp;
	w->fabric->deaf = deaf;
	w->pg = rdma_pollgroup(w->fabric, 0, 0, 0);
	rdma_start(&w->f, w->fabric, w->pg, "127.0.0.1");
	rdma_open(&w->r, &w->f, w->pg, 1, 0, 8192);
	polls(w);
}

static void finish(struct world *w)
{
	rdma_close(&w->r);
	rdma_stop(&w->f);
	rdma_no_leak(w->pg);
	assert_int_equal(fake_fabric_destroy(w->fabric), 0);
}

/* As if its time were over. 1 = there was something to be late for */
static int nudge(struct world *w)
{
	struct leap__rdma_conn *c = &((struct host *)w->r.qp)->c;
	int was = c->timer.armed;

	if (was) {
		leap_timer_stop(w->pg, &c->timer);
		c->timer.run(&c->timer);
		polls(w);
	}
	return was;
}

/* The Connect is heard with the WRITE that follows. */
static void test_one(void **state)
{
	struct world w;

	begin(&w, 1, 1);
	assert_int_equal(w.r.connected, 0);
	assert_int_equal(w.fabric->nr_sends, 0);
	assert_true(nudge(&w));
	assert_int_equal(w.r.connected, 1);
	assert_int_equal(w.r.status, 0);
	assert_int_equal(w.fabric->nr_writes, 1);
	w.fabric->deaf = 0;
	rdma_ios(&w.r, 40);
	/* It was the last one. */
	nudge(&w);
	assert_false(nudge(&w));
	finish(&w);
}

/* Or not even then; and for one that never hears, it ends. */
static void test_many(void **state)
{
	struct world w;
	int n;

	begin(&w, 1, 3);
	for (n = 1; n <= 3; n++) {
		assert_int_equal(w.r.connected, 0);
		assert_true(nudge(&w));
	}
	assert_int_equal(w.r.connected, 1);
	assert_int_equal(w.fabric->nr_writes, 3);
	w.fabric->deaf = 0;
	finish(&w);
	begin(&w, 1, 1000);
	for (n = 0; nudge(&w); n++)
		assert_int_equal(w.r.connected, 0);
	assert_int_equal(n, LEAP__RDMA_NUDGES);
	finish(&w);
}

/* Who has answered is left alone, and so is who cannot be deaf. */
static void test_none(void **state)
{
	struct world w;

	begin(&w, 1, 0);
	assert_int_equal(w.r.connected, 1);
	nudge(&w);
	assert_false(nudge(&w));
	assert_int_equal(w.fabric->nr_writes, 0);
	finish(&w);
	begin(&w, 0, 0);
	assert_int_equal(w.r.connected, 1);
	assert_false(nudge(&w));
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
