/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receives that the I/O queues of a device share: none is lost with a
 * connection that breaks, whatever its device does with those that it was in
 * the middle of; a host that floods does not keep the others from theirs; and
 * where there are none to be shared, or none can be made, each queue has its
 * own.
 */
#include "rdma-peer.h"

#include "transport/rdma/target.h"

#define DEPTH	16
#define SHARED	24u
#define BREAKS	1000u

/* A device, a controller end on it, and a host that stays all the time, so that
 * the shared queue does. */
struct world {
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg, *host;
	struct rdma_fixture f;
	struct rdma_run stays;
};

/* Hosts at once, the @k-th: each its own part of the disk. */
static void open_at(struct world *w, struct rdma_run *r, unsigned int k)
{
	unsigned int i;

	memset(r, 0, sizeof(*r));
	rdma_open(r, &w->f, w->host, (uint16_t)(1 + k), 0, 8192);
	r->max = 8192;
	for (i = 0; i < COUNT(r->ios); i++)
		r->ios[i].at += k * 8192;
	rdma_connect(r);
}

static void begin(struct world *w, uint32_t srq)
{
	memset(w, 0, sizeof(*w));
	rdma_srq = srq;
	w->fabric = fake_fabric_create();
	w->pg = rdma_pollgroup(w->fabric, 160, 8192, 0);
	w->host = rdma_pollgroup(w->fabric, 0, 0, 0);
	rdma_start(&w->f, w->fabric, w->pg, "127.0.0.1");
	open_at(w, &w->stays, 0);
}

/* @io: another poll group that they were served in, or NULL */
static void finish_with(struct world *w, struct leap_pollgroup *io)
{
	rdma_close(&w->stays);
	rdma_stop(&w->f);
	if (io)
		rdma_no_leak(io);
	rdma_no_leak(w->host);
	rdma_no_leak(w->pg);
	assert_int_equal(fake_fabric_destroy(w->fabric), 0);
	rdma_srq = 0;
}

static void finish(struct world *w)
{
	finish_with(w, NULL);
}

static struct leap__rdma_srq *shared(struct world *w)
{
	return ((struct target *)w->f.target.vqp)->srq;
}

static void polls(struct world *w)
{
	int i;

	for (i = 0; i < 80; i++)
		rdma_run_poll(&w->stays);
}

/* Another host, which does something and is cut off in the middle of it. */
static void one_break(struct world *w, unsigned int round)
{
	struct fake_fabric *f = w->fabric;
	struct rdma_run r = { 0 };
	unsigned int i, n = (unsigned int)rand() % 60;

	rdma_open(&r, &w->f, w->host, 2, 0, round & 1 ? 8192 : 0);
	r.may_fail = 1;
	fake_lock(f);
	f->srq_takes = (unsigned int)rand() % 4;
	if (round % 3 == 0)
		f->die_after = 1 + (int)n;
	else if (round % 3 == 1)
		f->leave_after = 1 + (int)n;
	fake_unlock(f);
	if (round % 4) {
		RDMA_WAIT(r.connected, rdma_run_poll(&r));
		rdma_load(&r, 1u << 30);
	}
	for (i = 0; i < n; i++)
		rdma_run_poll(&r);
	if (round % 3 == 2 && fake_id(f, 1, 0))
		fake_break(fake_id(f, 1, 0));
	r.stop = 1;
	RDMA_WAIT(r.lost || r.connected, rdma_run_poll(&r));
	rdma_close(&r);
	fake_lock(f);
	f->die_after = 0;
	f->leave_after = 0;
	fake_unlock(f);
	RDMA_WAIT(w->f.target.gone + 1 >= w->f.target.accepted,
		  rdma_run_poll(&w->stays));
}

/* The host that stays was the one that was hit: it comes again. */
static void stays_again(struct world *w)
{
	if (!w->stays.lost)
		return;
	rdma_close(&w->stays);
	open_at(w, &w->stays, 0);
}

static void breaks(struct world *w, unsigned int rounds)
{
	unsigned int round;

	w->f.delay = 3;
	assert_int_equal(fake_srq_recvs(w->fabric), SHARED);
	for (round = 0; round < rounds; round++) {
		one_break(w, round);
		stays_again(w);
		RDMA_WAIT(!w->f.nr_delayed, rdma_run_poll(&w->stays));
		polls(w);
		assert_int_equal(fake_srq_recvs(w->fabric), SHARED);
		assert_int_equal(w->fabric->nr_srqs, 1);
	}
	rdma_ios(&w->stays, 100);
}

/* After each of them, all receives are back. */
static void test_breaks(void **state)
{
	struct world w;

	begin(&w, SHARED);
	breaks(&w, BREAKS);
	finish(&w);
}

/* They move to a poll group that has hardly any commands and buffers, and break
 * while what they have sent is put aside. */
static void test_breaks_aside(void **state)
{
	struct leap_pollgroup *io;
	struct world w;

	begin(&w, SHARED);
	io = rdma_pollgroup(w.fabric, 4, 8192, 4);
	w.f.io = io;
	w.f.target.io = io;
	breaks(&w, BREAKS / 2);
	finish_with(&w, io);
}

/* A device that drops what it was in the middle of. There are spares; and with
 * the last connection the queue goes, and comes anew with the next. */
static void test_drops(void **state)
{
	struct leap__rdma_srq *srq;
	unsigned int round, lost;
	struct world w;

	begin(&w, 64);
	srq = shared(&w);
	w.fabric->srq_drops = 1;
	for (round = 0; round < 12; round++) {
		struct rdma_run r;

		w.fabric->srq_takes = 0;
		open_at(&w, &r, 1);
		rdma_ios(&r, 20);
		/* One that it had begun with. */
		w.fabric->srq_takes = 1;
		r.may_fail = 1;
		fake_break(fake_id(w.fabric, 1, 0));
		RDMA_WAIT(r.lost, rdma_run_poll(&r));
		rdma_close(&r);
		w.fabric->srq_takes = 0;
		polls(&w);
		/* The others go on for long enough to see that it is
		 * missing. */
		rdma_ios(&w.stays, 600);
	}
	lost = 12;
	/* Of the last one nobody has looked yet. */
	assert_true(srq->missing >= lost - 1);
	assert_true(srq->spares_used >= lost - 1);
	assert_true(fake_srq_recvs(w.fabric) >= 64 - 1);
	assert_true(fake_srq_recvs(w.fabric) <= srq->total);
	rdma_close(&w.stays);
	RDMA_WAIT(!w.fabric->nr_srqs, rdma_poll(&w.f));
	open_at(&w, &w.stays, 0);
	assert_int_equal(fake_srq_recvs(w.fabric), 64);
	finish(&w);
}

/* What was thought missing comes back after all: it is not used twice. */
static void test_late_receive(void **state)
{
	struct leap__rdma_srq *srq;
	uint32_t i;
	struct world w;

	begin(&w, SHARED);
	srq = shared(&w);
	/* As if all that are there had been there for long. */
	leap__fetch_add(&srq->posted, UINT64_C(1000000));
	for (i = 0; i < 2; i++) {
		struct rdma_run r = { 0 };

		rdma_open(&r, &w.f, w.host, 2, 0, 8192);
		rdma_connect(&r);
		rdma_ios(&r, 200);
		rdma_close(&r);
	}
	/* The spares are in, and all others went round meanwhile. */
	assert_int_equal(srq->spares_used, srq->total - srq->nr);
	assert_int_equal(srq->missing, 0);
	polls(&w);
	assert_int_equal(fake_srq_recvs(w.fabric), srq->total);
	finish(&w);
}

/* A device that never says which was the last: that has its time. */
static void test_silent_device(void **state)
{
	struct world w;
	uint64_t from;
	int i;

	begin(&w, SHARED);
	w.fabric->srq_silent = 1;
	for (i = 0; i < 3; i++) {
		struct rdma_run r = { 0 };

		rdma_open(&r, &w.f, w.host, 2, 0, 8192);
		rdma_connect(&r);
		rdma_ios(&r, 20);
		w.fabric->srq_takes = 2;
		from = rdma_now_ns();
		rdma_close(&r);
		RDMA_WAIT(w.f.target.gone + 1 == w.f.target.accepted,
			  rdma_run_poll(&w.stays));
		assert_true(rdma_now_ns() - from >=
			    LEAP__RDMA_DRAINS * 900000u);
		/* What completed is back all the same. */
		assert_int_equal(fake_srq_recvs(w.fabric), SHARED);
	}
	w.fabric->srq_silent = 0;
	finish(&w);
}

/* Hosts that keep all that they may, and more, for as long as they like: there
 * is always something left for the others. */
static void test_greedy(void **state)
{
	struct rdma_run greedy[4] = { 0 };
	struct world w;
	unsigned int i, k, stuck = 0;

	begin(&w, 10);
	w.f.delay = 1000000;
	for (i = 0; i < COUNT(greedy); i++) {
		open_at(&w, &greedy[i], 1 + i);
		/* Writes, all of them in capsules, none of which ends. */
		greedy[i].max = 1024;
		rdma_load(&greedy[i], RDMA_DEPTH - 1);
		polls(&w);
	}
	stuck = w.f.nr_delayed;
	assert_true(stuck > 3 * DEPTH);
	assert_true(fake_srq_recvs(w.fabric) >= 10 / 2);
	w.f.delay = 0;
	w.stays.max = 8192;
	rdma_ios(&w.stays, 500);
	assert_int_equal(w.f.nr_delayed, stuck);
	for (i = 0; i < w.f.nr_delayed; i++)
		w.f.due[i] = 1;
	for (i = 0; i < COUNT(greedy); i++) {
		RDMA_WAIT(greedy[i].done == RDMA_DEPTH - 1,
			  rdma_run_poll(&greedy[i]));
		/* And what was copied out is what was written. */
		for (k = 0; k < 2; k++)
			rdma_ios(&greedy[i], 2 * (RDMA_DEPTH - 1));
		rdma_close(&greedy[i]);
	}
	polls(&w);
	assert_int_equal(fake_srq_recvs(w.fabric), 10);
	finish(&w);
}

/* Hosts of another poll group, where commands have run out: those that wait for
 * one there do not wait in receives that the others need. */
static void waiting(uint32_t bytes)
{
	struct rdma_run busy[4] = { 0 };
	struct leap_pollgroup *io;
	unsigned int i;
	struct world w;

	begin(&w, 10);
	io = rdma_pollgroup(w.fabric, 8, 8192, 16);
	w.f.io = io;
	w.f.target.io = io;
	w.f.delay = 1000000;
	for (i = 0; i < COUNT(busy); i++) {
		open_at(&w, &busy[i], 1 + i);
		busy[i].max = bytes;
		rdma_load(&busy[i], RDMA_DEPTH - 1);
		polls(&w);
	}
	assert_in_range(w.f.nr_delayed, 1, 16);
	for (i = 0; i < w.f.nr_delayed; i++)
		w.f.due[i] = UINT32_MAX;
	w.f.delay = 0;
	rdma_ios(&w.stays, 500);
	assert_true(fake_srq_recvs(w.fabric) >= 10 / 2);
	for (i = 0; i < w.f.nr_delayed; i++)
		w.f.due[i] = 1;
	for (i = 0; i < COUNT(busy); i++) {
		RDMA_WAIT(busy[i].done == RDMA_DEPTH - 1,
			  rdma_run_poll(&busy[i]));
		assert_int_equal(busy[i].failed, 0);
		rdma_ios(&busy[i], 4 * RDMA_DEPTH);
		rdma_close(&busy[i]);
	}
	polls(&w);
	assert_int_equal(fake_srq_recvs(w.fabric), 10);
	finish_with(&w, io);
}

static void test_waiting(void **state)
{
	waiting(0);
	waiting(1024);
}

/* A host that sends all that it may before its Connect is answered, which it
 * may not: it keeps nobody from his. */
static void test_before_connect(void **state)
{
	struct leap_rdma_cm_req req = peer_req(2, DEPTH);
	struct leap_fab_connect *sqe;
	struct leap_sgl_keyed data;
	uint64_t from;
	struct world w;
	struct peer p;
	int i;

	begin(&w, 10);
	w.f.target.hold_connect = 1;
	peer_init(&p, w.fabric);
	peer_ask(&p, w.f.url, &req, 32, 16, DEPTH);
	polls(&w);
	sqe = (struct leap_fab_connect *)(void *)p.out;
	sqe->opc = LEAP_ADM_FABRICS;
	sqe->fctype = LEAP_FCTYPE_CONNECT;
	sqe->qid = leap_to_le16(2);
	sqe->sqsize = leap_to_le16(DEPTH - 1);
	leap_sgl_keyed_set(&data, (uintptr_t)p.data, 1024, p.data_keys.rkey,
			   LEAP_SGL_ID(LEAP_SGL_TYPE_KEYED,
				       LEAP_SGL_SUB_ADDRESS));
	memcpy(p.out + offsetof(struct leap_sqe, sgl1), &data, sizeof(data));
	p.out[1] = LEAP_SQE_PSDT_SGL;
	for (i = 0; i < DEPTH; i++)
		peer_send(&p, LEAP_SQE_SIZE);
	polls(&w);
	from = rdma_now_ns();
	rdma_ios(&w.stays, 100);
	/* It has 10 s to connect, and they did not wait for that. */
	assert_true(rdma_now_ns() - from < UINT64_C(5000000000));
	assert_true(fake_srq_recvs(w.fabric) >= 10 / 2);
	leap_cmd_complete(w.f.target.held, LEAP_SC_INTERNAL);
	peer_fini(&p);
	polls(&w);
	finish(&w);
}

/* Fewer than what is on its way: everybody waits, and is served. */
static void test_too_few(void **state)
{
	static const uint32_t counts[] = { 1, 2, 5 };
	struct rdma_run r[3] = { 0 };
	unsigned int i, k;
	struct world w;

	for (i = 0; i < COUNT(counts); i++) {
		begin(&w, counts[i]);
		w.f.delay = 4;
		for (k = 0; k < COUNT(r); k++) {
			open_at(&w, &r[k], 1 + k);
			rdma_load(&r[k], 200);
		}
		for (k = 0; k < COUNT(r); k++) {
			RDMA_WAIT(r[k].done == 200, rdma_run_poll(&r[k]));
			assert_int_equal(r[k].failed, 0);
		}
		assert_true(w.fabric->nr_srq_empty > 0);
		for (k = 0; k < COUNT(r); k++)
			rdma_close(&r[k]);
		polls(&w);
		assert_int_equal(fake_srq_recvs(w.fabric), counts[i]);
		finish(&w);
	}
}

/* Commands that outlive their connection have its receives until they end: with
 * the shared queue still there, and not. */
static void test_orphans(void **state)
{
	struct rdma_run r = { 0 };
	unsigned int i, alone;
	struct world w;

	for (alone = 0; alone < 2; alone++) {
		begin(&w, SHARED);
		w.f.delay = 1000000;
		memset(&r, 0, sizeof(r));
		rdma_open(&r, &w.f, w.host, 2, 0, 8192);
		rdma_connect(&r);
		r.max = 1024;
		r.may_fail = 1;
		rdma_load(&r, 4);
		RDMA_WAIT(w.f.nr_delayed == 4, rdma_run_poll(&r));
		fake_break(fake_id(w.fabric, 1, 0));
		RDMA_WAIT(r.lost && w.f.target.lost == 1, rdma_run_poll(&r));
		polls(&w);
		assert_int_equal(w.f.target.gone, 0);
		/* Those of no data have none. */
		assert_in_range(fake_srq_recvs(w.fabric), SHARED - 4,
				SHARED - 1);
		if (alone) {
			w.stays.stop = 1;
			leap_qp_close(w.stays.qp, NULL, NULL);
			RDMA_WAIT(!w.fabric->nr_srqs,
				  rdma_run_poll(&w.stays));
		}
		for (i = 0; i < w.f.nr_delayed; i++)
			w.f.due[i] = 1;
		RDMA_WAIT(w.f.target.gone == 1 + alone,
			  rdma_run_poll(&w.stays));
		if (!alone)
			assert_int_equal(fake_srq_recvs(w.fabric), SHARED);
		rdma_close(&r);
		if (alone) {
			for (i = 0; i < COUNT(w.stays.ios); i++)
				free(w.stays.ios[i].data);
			open_at(&w, &w.stays, 0);
		}
		finish(&w);
	}
}

/* The device goes while some are out, and another takes its place. */
static void test_removed(void **state)
{
	struct world w;
	int i;

	begin(&w, SHARED);
	w.f.delay = 4;
	for (i = 0; i < 4; i++) {
		w.fabric->srq_takes = 2;
		w.stays.may_fail = 1;
		rdma_load(&w.stays, 1u << 30);
		polls(&w);
		fake_remove_device(w.fabric);
		RDMA_WAIT(w.stays.lost, rdma_run_poll(&w.stays));
		rdma_close(&w.stays);
		RDMA_WAIT(w.f.target.gone == w.f.target.accepted &&
			  !w.fabric->nr_pds, rdma_run_poll(&w.stays));
		assert_int_equal(w.fabric->nr_srqs, 0);
		/* The listener is back. */
		RDMA_WAIT(w.fabric->nr_ids == 0, rdma_run_poll(&w.stays));
		RDMA_WAIT(w.fabric->nr_ids == 1, rdma_run_poll(&w.stays));
		open_at(&w, &w.stays, 0);
		assert_int_equal(fake_srq_recvs(w.fabric), SHARED);
	}
	assert_int_equal(w.fabric->nr_late, 0);
	finish(&w);
}

/* Which queues take part, and with how many. */
static void test_who(void **state)
{
	struct rdma_run admin = { 0 }, r = { 0 };
	struct rdma_fixture plain;
	uint32_t mrs;
	struct world w;

	begin(&w, SHARED);
	/* An admin queue has its own. */
	rdma_open(&admin, &w.f, w.host, 0, 0, 0);
	rdma_connect(&admin);
	assert_null(shared(&w));
	/* Another listener of the same device, without the option, too. */
	rdma_srq = 0;
	rdma_start(&plain, w.fabric, w.pg, "127.0.0.1");
	mrs = w.fabric->nr_mrs;
	rdma_open(&r, &plain, w.host, 2, 0, 8192);
	rdma_connect(&r);
	assert_null(((struct target *)plain.target.vqp)->srq);
	assert_true(w.fabric->nr_mrs > mrs);
	rdma_ios(&r, 40);
	rdma_close(&r);
	rdma_stop(&plain);
	rdma_close(&admin);
	finish(&w);
	/* More than the device has: those of the device. */
	begin(&w, 65536);
	assert_int_equal(shared(&w)->total, w.fabric->dev.caps.max_srq);
	rdma_ios(&w.stays, 40);
	finish(&w);
}

/* That is not a number of receives. */
static void test_too_many(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *pg = rdma_pollgroup(fabric, 0, 0, 0);
	struct leap_target target;
	char bound[64];

	fake_target_init(&target, pg);
	target.listener_opts.srq = 65537;
	assert_int_equal(leap__rdma_listen(&target.listener, "127.0.0.1:0",
					   bound, sizeof(bound)), -EINVAL);
	assert_string_equal(leap_last_error(), "leap_listener_create: srq "
			    "65537 exceeds 65536");
	rdma_no_leak(pg);
	assert_int_equal(fake_fabric_destroy(fabric), 0);
}

/* A device that cannot: they have their own. */
static void test_none(void **state)
{
	struct fake_fabric *fabric = fake_fabric_create();
	struct leap_pollgroup *pg = rdma_pollgroup(fabric, 0, 0, 0);
	struct rdma_run r = { 0 };
	struct rdma_fixture f;

	rdma_srq = SHARED;
	fabric->dev.caps.max_srq = 0;
	rdma_start(&f, fabric, pg, "127.0.0.1");
	rdma_open(&r, &f, pg, 1, 0, 8192);
	rdma_connect(&r);
	assert_int_equal(fabric->nr_srqs, 0);
	assert_null(((struct target *)f.target.vqp)->srq);
	rdma_ios(&r, 100);
	rdma_close(&r);
	rdma_stop(&f);
	rdma_no_leak(pg);
	assert_int_equal(fake_fabric_destroy(fabric), 0);
	rdma_srq = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_breaks),
		cmocka_unit_test(test_breaks_aside),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_late_receive),
		cmocka_unit_test(test_silent_device),
		cmocka_unit_test(test_greedy),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_before_connect),
		cmocka_unit_test(test_too_few),
		cmocka_unit_test(test_orphans),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_who),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
