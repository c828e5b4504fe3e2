/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVMe rings against a naive model: an unbounded array of what was pushed and
 * posted, 64-bit counters for everything, random batches, all doorbell forms.
 */
#include "core/io/ring.h"
#include "rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum form { TRAPPED, SHADOW, EVENTIDX };

/* Both ends of one queue pair, and what the naive model says about it. */
struct world {
	uint32_t size;
	enum form form;
	uint8_t *sqes;
	struct leap__cqe_wire *cqes;
	leap_le32 db[4];		/* SQ tail, CQ head, their EventIdx */
	struct leap__sqp sqp;
	struct leap__sqc sqc;
	struct leap__cqp cqp;
	struct leap__cqc cqc;
	uint64_t pushed, rung, fetched, posted, consumed;
	uint64_t cq_told;		/* consumed, as the controller knows */
	uint64_t sq_freed;		/* slots freed by SQHD */
	uint64_t kicks;
	bool armed, kicked;
	struct test_rand rnd;
};

static struct leap__ring_opts sq_opts(struct world *w)
{
	return (struct leap__ring_opts) {
		.entries = w->sqes, .size = w->size,
		.doorbell = w->form == TRAPPED ? NULL : &w->db[0],
		.eventidx = w->form == EVENTIDX ? &w->db[2] : NULL,
		.window = w->size & 1,
	};
}

static struct leap__ring_opts cq_opts(struct world *w)
{
	return (struct leap__ring_opts) {
		.entries = w->cqes, .size = w->size,
		.doorbell = w->form == TRAPPED ? NULL : &w->db[1],
		.eventidx = w->form == EVENTIDX ? &w->db[3] : NULL,
		.window = w->size & 1,
	};
}

static void world_init(struct world *w, uint32_t size, enum form form)
{
	struct leap__ring_opts sq, cq;

	memset(w, 0, sizeof(*w));
	w->size = size;
	w->form = form;
	w->rnd.s = size * 3 + form;
	w->sqes = aligned_alloc(64, (size_t)size * LEAP__SQE_BYTES);
	w->cqes = aligned_alloc(64, ((size_t)size * LEAP__CQE_BYTES + 63) &
				~(size_t)63);
	assert_non_null(w->sqes);
	assert_non_null(w->cqes);
	memset(w->cqes, 0, (size_t)size * LEAP__CQE_BYTES);
	sq = sq_opts(w);
	cq = cq_opts(w);
	assert_int_equal(leap__sqp_init(&w->sqp, &sq), 0);
	assert_int_equal(leap__sqc_init(&w->sqc, &sq), 0);
	assert_int_equal(leap__cqp_init(&w->cqp, &cq), 0);
	assert_int_equal(leap__cqc_init(&w->cqc, &cq), 0);
}

static void world_fini(struct world *w)
{
	free(w->sqes);
	free(w->cqes);
}

/* An entry that says which one it is, in every 8 bytes. */
static void make_sqe(uint64_t n, uint64_t sqe[8])
{
	int i;

	for (i = 0; i < 8; i++)
		sqe[i] = n * 0x100000001b3u + (uint64_t)i;
}

static void do_push(struct world *w)
{
	uint32_t n = test_rand_below(&w->rnd, w->size + 2);
	uint64_t sqe[8];

	assert_int_equal(leap__sqp_room(&w->sqp),
			 w->size - 1 - (w->pushed - w->sq_freed));
	while (n--) {
		int rc;

		make_sqe(w->pushed, sqe);
		rc = leap__sqp_push(&w->sqp, sqe);
		if (w->pushed - w->sq_freed == w->size - 1) {
			assert_int_equal(rc, -EAGAIN);
			return;
		}
		assert_int_equal(rc, 0);
		w->pushed++;
	}
}

static void do_ring(struct world *w)
{
	bool news = w->pushed != w->rung;
	int kick = leap__sqp_ring(&w->sqp);

	w->rung = w->pushed;
	if (!news)
		assert_int_equal(kick, 0);
	else if (w->form != EVENTIDX)
		assert_int_equal(kick, 1);
	else if (w->armed && !w->kicked)
		assert_int_equal(kick, 1);
	if (!kick)
		return;
	w->kicks++;
	w->kicked = true;
	assert_int_equal(leap__sqc_trap(&w->sqc, w->sqp.tail | 0xabc0000),
			 (int)(w->rung - w->fetched));
}

static void do_fetch(struct world *w)
{
	uint64_t got[8], want[8];
	int n = leap__sqc_poll(&w->sqc);
	int max;

	if (w->armed) {
		leap__sqc_disarm(&w->sqc);
		w->armed = w->kicked = false;
	}
	assert_int_equal(n, (int)(w->rung - w->fetched));
	max = (int)test_rand_below(&w->rnd, (uint32_t)n + 1);
	while (max--) {
		make_sqe(w->fetched, want);
		assert_int_equal(leap__sqc_take(&w->sqc, got), w->fetched);
		assert_memory_equal(got, want, sizeof(want));
		w->fetched++;
	}
	assert_int_equal(leap__sqc_sqhd(&w->sqc), w->fetched % w->size);
}

static void do_arm(struct world *w)
{
	int n;

	if (w->form != EVENTIDX || w->armed)
		return;
	n = leap__sqc_arm(&w->sqc);
	assert_int_equal(n, (int)(w->rung - w->fetched));
	/* Armed at the last tail seen by a look that found nothing newer. */
	if (!n)
		w->armed = true;
	else
		leap__sqc_disarm(&w->sqc);
}

static void do_post(struct world *w)
{
	uint32_t n;

	assert_int_equal(leap__cqp_space(&w->cqp),
			 (int)(w->size - 1 - (w->posted - w->cq_told)));
	n = test_rand_below(&w->rnd, leap__cqp_room(&w->cqp) + 1);
	while (n-- && w->posted < w->fetched) {
		struct leap__cqe cqe = {
			.dw0 = (uint32_t)w->posted * 7,
			.dw1 = ~(uint32_t)w->posted,
			.sqhd = leap__sqc_sqhd(&w->sqc),
			.sqid = 0x1234,
			.cid = (uint16_t)(w->posted * 3),
			.status = (uint16_t)(w->posted & 0x7fff),
		};

		assert_int_equal(w->cqp.tail, w->posted % w->size);
		assert_int_equal(w->cqp.phase, !(w->posted / w->size % 2));
		leap__cqp_post(&w->cqp, &cqe);
		w->posted++;
	}
}

static void do_consume(struct world *w)
{
	uint32_t n = test_rand_below(&w->rnd, w->size + 1);
	struct leap__cqe cqe;

	while (n--) {
		assert_int_equal(leap__cqc_ready(&w->cqc),
				 w->consumed < w->posted);
		if (!leap__cqc_next(&w->cqc, &cqe)) {
			assert_int_equal(w->consumed, w->posted);
			break;
		}
		assert_true(w->consumed < w->posted);
		assert_int_equal(cqe.dw0, (uint32_t)w->consumed * 7);
		assert_int_equal(cqe.dw1, ~(uint32_t)w->consumed);
		assert_int_equal(cqe.sqid, 0x1234);
		assert_int_equal(cqe.cid, (uint16_t)(w->consumed * 3));
		assert_int_equal(cqe.status, w->consumed & 0x7fff);
		assert_int_equal(leap__sqp_head(&w->sqp, cqe.sqhd), 0);
		while (w->sq_freed % w->size != cqe.sqhd)
			w->sq_freed++;
		w->consumed++;
	}
	if (leap__cqc_ring(&w->cqc))
		assert_true(leap__cqp_trap(&w->cqp, w->cqc.head) >= 0);
	w->cq_told = w->consumed;
}

static void run_world(uint32_t size, enum form form, uint64_t entries)
{
	struct world w;

	world_init(&w, size, form);
	while (w.consumed < entries) {
		switch (test_rand_below(&w.rnd, 6)) {
		case 0: do_push(&w); break;
		case 1: do_ring(&w); break;
		case 2: do_fetch(&w); break;
		case 3: do_arm(&w); break;
		case 4: do_post(&w); break;
		default: do_consume(&w); break;
		}
	}
	assert_true(w.posted >= entries);
	world_fini(&w);
}

static void test_random(void **state)
{
	static const uint32_t sizes[] = { 2, 3, 4, 5, 31, 64, 255, 1024 };
	size_t i;
	int form;

	(void)state;
	for (form = TRAPPED; form <= EVENTIDX; form++) {
		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			run_world(sizes[i], (enum form)form, 70000);
		/* The index itself wraps at 2^16 here. */
		run_world(65535, (enum form)form, 3 * 65536);
		run_world(65536, (enum form)form, 5 * 65536);
	}
}

/* Sequence numbers pass 2^32 while the ring wraps at an odd place. */
static void test_sequence_wrap(void **state)
{
	static const uint64_t starts[] = {
		(1ull << 32) - 10, (1ull << 16) - 10, (1ull << 48) - 3,
	};
	uint64_t sqe[8], got[8], seq;
	struct world w;
	size_t s;
	int i;

	(void)state;
	for (s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
		world_init(&w, 7, SHADOW);
		leap__sqc_restore(&w.sqc, starts[s]);
		assert_int_equal(leap__sqc_sqhd(&w.sqc), starts[s] % 7);
		w.sqp.head = w.sqp.tail = w.sqp.rung =
			(uint16_t)(starts[s] % 7);
		for (i = 0; i < 40; i++) {
			make_sqe((uint64_t)i, sqe);
			assert_int_equal(leap__sqp_push(&w.sqp, sqe), 0);
			assert_int_equal(leap__sqp_ring(&w.sqp), 1);
			assert_int_equal(leap__sqc_poll(&w.sqc), 1);
			seq = leap__sqc_take(&w.sqc, got);
			assert_true(seq == starts[s] + (uint64_t)i);
			assert_int_equal(leap__sqc_sqhd(&w.sqc),
					 (seq + 1) % 7);
			assert_memory_equal(sqe, got, sizeof(sqe));
			assert_int_equal(leap__sqp_head(&w.sqp,
					 leap__sqc_sqhd(&w.sqc)), 0);
		}
		world_fini(&w);
	}
}

static void test_hostile_tail(void **state)
{
	struct world w;
	uint32_t v;

	(void)state;
	world_init(&w, 5, SHADOW);
	for (v = 0; v < 0x20000; v++) {
		int want = (v & 0xffff) < 5 ? (int)(v & 0xffff) : -EPROTO;

		leap__sqc_restore(&w.sqc, 0);
		w.db[0] = leap__cpu_to_le32(v);
		assert_int_equal(leap__sqc_poll(&w.sqc), want);
		assert_int_equal(leap__sqc_pending(&w.sqc),
				 want < 0 ? 0 : want);
		assert_int_equal(leap__sqc_arm(&w.sqc), want);
	}
	/* Backwards over entries already announced. */
	leap__sqc_restore(&w.sqc, 3);
	w.db[0] = leap__cpu_to_le32(1);
	assert_int_equal(leap__sqc_poll(&w.sqc), 3);
	w.db[0] = leap__cpu_to_le32(0);
	assert_int_equal(leap__sqc_poll(&w.sqc), -EPROTO);
	assert_int_equal(leap__sqc_pending(&w.sqc), 3);
	world_fini(&w);

	world_init(&w, 5, TRAPPED);
	assert_int_equal(leap__sqc_trap(&w.sqc, 5), -EPROTO);
	assert_int_equal(leap__sqc_trap(&w.sqc, 0xffffffff), -EPROTO);
	assert_int_equal(leap__sqc_trap(&w.sqc, 4), 4);
	assert_int_equal(leap__sqc_trap(&w.sqc, 2), -EPROTO);
	assert_int_equal(leap__sqc_pending(&w.sqc), 4);
	world_fini(&w);
}

static void test_hostile_head(void **state)
{
	struct leap__cqe cqe = { .cid = 1 };
	struct world w;
	uint32_t v;

	(void)state;
	world_init(&w, 6, SHADOW);
	leap__cqp_post(&w.cqp, &cqe);
	leap__cqp_post(&w.cqp, &cqe);
	/* Two entries posted: heads 0, 1 and 2 are honest, others are not. */
	for (v = 0; v < 0x20000; v++) {
		uint32_t head = v & 0xffff;

		w.cqp.head = 0;
		w.db[1] = leap__cpu_to_le32(v);
		assert_int_equal(leap__cqp_space(&w.cqp),
				 head <= 2 ? (int)(3 + head) : -EPROTO);
		assert_int_equal(w.cqp.head, head <= 2 ? head : 0);
	}
	world_fini(&w);

	world_init(&w, 6, TRAPPED);
	leap__cqp_post(&w.cqp, &cqe);
	assert_int_equal(leap__cqp_trap(&w.cqp, 2), -EPROTO);
	assert_int_equal(leap__cqp_trap(&w.cqp, 6), -EPROTO);
	assert_int_equal(leap__cqp_trap(&w.cqp, 1), 5);
	assert_int_equal(leap__cqp_trap(&w.cqp, 0), -EPROTO);
	assert_int_equal(leap__cqp_restore(&w.cqp, 17, 6), -EPROTO);
	assert_int_equal(leap__cqp_restore(&w.cqp, 17, 0xffff), -EPROTO);
	assert_int_equal(leap__cqp_restore(&w.cqp, 17, 4), 0);
	assert_int_equal(w.cqp.tail, 5);
	assert_int_equal(w.cqp.phase, 1);
	assert_int_equal(leap__cqp_room(&w.cqp), 4);
	assert_int_equal(leap__cqp_restore(&w.cqp, 18, 5), 0);
	assert_int_equal(w.cqp.tail, 0);
	assert_int_equal(w.cqp.phase, 0);
	world_fini(&w);
}

static void test_hostile_sqhd(void **state)
{
	uint64_t sqe[8] = { 0 };
	struct world w;

	(void)state;
	world_init(&w, 4, TRAPPED);
	assert_int_equal(leap__sqp_push(&w.sqp, sqe), 0);
	assert_int_equal(leap__sqp_ring(&w.sqp), 1);
	assert_int_equal(leap__sqp_push(&w.sqp, sqe), 0);
	assert_int_equal(leap__sqp_head(&w.sqp, 2), -EPROTO); /* not rung */
	assert_int_equal(leap__sqp_head(&w.sqp, 4), -EPROTO);
	assert_int_equal(leap__sqp_head(&w.sqp, 0xffff), -EPROTO);
	assert_int_equal(leap__sqp_room(&w.sqp), 1);
	assert_int_equal(leap__sqp_head(&w.sqp, 1), 0);
	assert_int_equal(leap__sqp_room(&w.sqp), 2);
	leap__sqp_unpush(&w.sqp);
	assert_int_equal(leap__sqp_room(&w.sqp), 3);
	assert_int_equal(leap__sqp_ring(&w.sqp), 0);
	world_fini(&w);
}

/* Against the definition: did any step on the way land just past ei? */
static void test_eventidx_formula(void **state)
{
	uint32_t before, steps, ei, i;
	const uint32_t size = 13;

	(void)state;
	for (before = 0; before < size; before++)
		for (steps = 1; steps < size; steps++)
			for (ei = 0; ei < size; ei++) {
				uint32_t after = (before + steps) % size;
				bool want = false;

				for (i = 0; i < steps; i++)
					want |= (before + i) % size == ei;
				/* Never too few kicks. */
				if (want)
					assert_true(leap__eventidx_passed(
						(uint16_t)ei, (uint16_t)before,
						(uint16_t)after));
				/* Nor too many, but for the wrap. */
				else if (after > before)
					assert_false(leap__eventidx_passed(
						(uint16_t)ei, (uint16_t)before,
						(uint16_t)after));
			}
}

/* ---- who polls is not kicked ---- */

#define LAPS	50u

/*
 * A host that has up to @depth commands out and rings for each, and a
 * controller that polls, every time or now and then; it posts at once. Returns
 * the kicks.
 */
static uint32_t busy(uint32_t size, uint32_t depth, struct test_rand *rnd)
{
	uint64_t sqe[8] = { 0 };
	struct leap__cqe cqe = { 0 };
	uint32_t n, out = 0, kicks = 0, laps = LAPS * size;
	struct world w;

	world_init(&w, size, EVENTIDX);
	leap__sqc_disarm(&w.sqc);
	leap__cqp_disarm(&w.cqp);
	while (laps) {
		for (n = test_rand_below(rnd, depth + 1); n && out < depth;
		     n--) {
			assert_int_equal(leap__sqp_push(&w.sqp, sqe), 0);
			kicks += (uint32_t)leap__sqp_ring(&w.sqp);
			out++;
		}
		for (n = (uint32_t)leap__sqc_poll(&w.sqc); n; n--) {
			leap__sqc_take(&w.sqc, sqe);
			if (!leap__cqp_room(&w.cqp)) {
				assert_true(leap__cqp_space(&w.cqp) > 0);
				leap__cqp_disarm(&w.cqp);
			}
			cqe.sqhd = leap__sqc_sqhd(&w.sqc);
			leap__cqp_post(&w.cqp, &cqe);
		}
		while (laps && leap__cqc_next(&w.cqc, &cqe)) {
			assert_int_equal(leap__sqp_head(&w.sqp, cqe.sqhd), 0);
			kicks += (uint32_t)leap__cqc_ring(&w.cqc);
			out--;
			laps--;
		}
	}
	world_fini(&w);
	return kicks;
}

static void test_busy_no_kicks(void **state)
{
	static const uint32_t sizes[] = { 2, 3, 4, 5, 64, 129, 1024, 65536 };
	struct test_rand rnd = { .s = 77 };
	uint32_t i, size;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size = sizes[i];
		/* Not one, be the ring ever so often round. */
		assert_int_equal(busy(size, (size + 1) / 2, &rnd), 0);
		assert_int_equal(busy(size, 1, &rnd), 0);
		/* More than half of a lap from one look to the next: one. */
		assert_true(busy(size, size - 1, &rnd) <= 2 * LAPS);
	}
}

static void test_bad_opts(void **state)
{
	_Alignas(64) static uint8_t mem[128];
	leap_le32 words[2];
	struct leap__ring_opts o = { .entries = mem, .size = 2 };
	struct leap__cqp cqp;
	struct leap__sqc sqc;

	(void)state;
	assert_int_equal(leap__cqp_init(&cqp, &o), 0);
	o.size = 1;
	assert_int_equal(leap__cqp_init(&cqp, &o), -EINVAL);
	o.size = 0;
	assert_int_equal(leap__sqc_init(&sqc, &o), -EINVAL);
	o.size = 65537;
	assert_int_equal(leap__sqc_init(&sqc, &o), -EINVAL);
	o.size = 2;
	o.entries = mem + 4;
	assert_int_equal(leap__sqc_init(&sqc, &o), -EINVAL);
	o.entries = NULL;
	assert_int_equal(leap__sqc_init(&sqc, &o), -EINVAL);
	o.entries = mem;
	o.eventidx = &words[0];
	assert_int_equal(leap__sqc_init(&sqc, &o), -EINVAL);
	o.doorbell = (leap_le32 *)((uint8_t *)&words[1] + 1);
	assert_int_equal(leap__sqc_init(&sqc, &o), -EINVAL);
	o.doorbell = &words[1];
	assert_int_equal(leap__sqc_init(&sqc, &o), 0);
	assert_int_equal(leap__sqc_shadow(&sqc, NULL, &words[0]), -EINVAL);
}

/* Doorbell Buffer Config in the middle of a queue's life. */
static void test_shadow_switch(void **state)
{
	uint64_t sqe[8] = { 1 };
	struct world w;

	(void)state;
	world_init(&w, 8, TRAPPED);
	assert_int_equal(leap__sqp_push(&w.sqp, sqe), 0);
	assert_int_equal(leap__sqp_ring(&w.sqp), 1);
	assert_int_equal(leap__sqc_trap(&w.sqc, w.sqp.tail), 1);
	leap__sqc_take(&w.sqc, sqe);
	w.db[0] = 0xdeadbeef;
	w.db[2] = 0xdeadbeef;
	assert_int_equal(leap__sqc_shadow(&w.sqc, &w.db[0], &w.db[2]), 0);
	assert_int_equal(leap__le32_to_cpu(w.db[0]), 1 | LEAP__RING_UNRUNG);
	assert_int_equal(leap__le32_to_cpu(w.db[2]), 1);
	w.sqp.doorbell = &w.db[0];
	w.sqp.eventidx = &w.db[2];
	assert_int_equal(leap__sqc_poll(&w.sqc), 0);
	assert_int_equal(leap__sqp_push(&w.sqp, sqe), 0);
	assert_int_equal(leap__sqp_ring(&w.sqp), 1);
	assert_int_equal(leap__le32_to_cpu(w.db[0]), 2);
	assert_int_equal(leap__sqc_poll(&w.sqc), 1);
	/* A late trapped write of an old tail is only a reason to look. */
	assert_int_equal(leap__sqc_trap(&w.sqc, 1), 1);
	assert_int_equal(leap__cqp_shadow(&w.cqp, &w.db[1], &w.db[3]), 0);
	assert_int_equal(leap__cqp_space(&w.cqp), 7);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_sequence_wrap),
		cmocka_unit_test(test_hostile_tail),
		cmocka_unit_test(test_hostile_head),
		cmocka_unit_test(test_hostile_sqhd),
		cmocka_unit_test(test_eventidx_formula),
		cmocka_unit_test(test_busy_no_kicks),
		cmocka_unit_test(test_bad_opts),
		cmocka_unit_test(test_shadow_switch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
