/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Slots and the in-flight record: against a naive list of commands with the
 * runtime replaced at random moments, and against records full of nonsense.
 * (Kills between two stores are the explorer's: tests/model/model-record.c.)
 */
#include "core/io/record.h"
#include "rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SQ_SIZE	11
#define CQ_SIZE	7
#define NR_SLOTS 5

enum life { NEVER, RUNG, FETCHED, ISSUED, DONE };

/* A host, a controller with its record, and what the host knows. */
struct world {
	_Alignas(64) uint8_t sq[SQ_SIZE * LEAP__SQE_BYTES];
	_Alignas(64) struct leap__cqe_wire cq[CQ_SIZE];
	_Alignas(64) uint8_t mem[LEAP_RECORD_HEADER_BYTES +
				 NR_SLOTS * LEAP_RECORD_SLOT_BYTES];
	leap_le32 db[2];
	struct leap__sqp sqp;
	struct leap__cqc cqc;
	struct leap__sqc sqc;
	struct leap__cqp cqp;
	struct leap__slots slots;
	struct leap__record_where where;
	enum life life[1 << 16];
	uint64_t base;			/* sequence number of command 0 */
	uint32_t nr_rung, nr_fetched, nr_done;
	uint32_t cmd_of_tag[NR_SLOTS];
	uint32_t kills, reruns, fails;
	struct test_rand rnd;
};

static struct leap__ring_opts ring_opts(struct world *w, bool sq)
{
	return (struct leap__ring_opts) {
		.entries = sq ? (void *)w->sq : (void *)w->cq,
		.size = sq ? SQ_SIZE : CQ_SIZE,
		.doorbell = &w->db[sq ? 0 : 1],
	};
}

static void format(struct world *w)
{
	struct leap_record_opts o = LEAP_RECORD_OPTS_INIT;

	o.nr_slots = NR_SLOTS;
	o.sq_size = SQ_SIZE;
	o.cq_size = CQ_SIZE;
	o.sqid = 3;
	o.cqid = 4;
	assert_int_equal(leap_record_format(w->mem, sizeof(w->mem), &o), 0);
	w->where = (struct leap__record_where) {
		.mem = w->mem, .bytes = sizeof(w->mem), .sq_size = SQ_SIZE,
		.cq_size = CQ_SIZE, .sqid = 3, .cqid = 4,
	};
}

static struct leap_record_slot *slot_mem(struct world *w, int tag)
{
	return (struct leap_record_slot *)(void *)
		(w->mem + LEAP_RECORD_HEADER_BYTES) + tag;
}

static struct world *world_new(uint64_t seed)
{
	struct world *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);
	struct leap__ring_opts sq, cq;

	assert_non_null(w);
	memset(w, 0, sizeof(*w));
	w->rnd.s = seed;
	sq = ring_opts(w, true);
	cq = ring_opts(w, false);
	assert_int_equal(leap__sqp_init(&w->sqp, &sq), 0);
	assert_int_equal(leap__cqc_init(&w->cqc, &cq), 0);
	assert_int_equal(leap__sqc_init(&w->sqc, &sq), 0);
	assert_int_equal(leap__cqp_init(&w->cqp, &cq), 0);
	format(w);
	assert_int_equal(leap__slots_init(&w->slots, NR_SLOTS), 0);
	assert_int_equal(leap__slots_attach(&w->slots, &w->where), 0);
	return w;
}

static void world_free(struct world *w)
{
	leap__slots_fini(&w->slots);
	free(w);
}

static void host_submit(struct world *w)
{
	leap_le32 sqe[16] = { 0 };

	sqe[0] = leap__cpu_to_le32((w->nr_rung & 0xffff) << 16);
	sqe[10] = leap__cpu_to_le32(w->nr_rung);
	if (leap__sqp_push(&w->sqp, sqe) < 0)
		return;
	leap__sqp_ring(&w->sqp);
	w->life[w->nr_rung++] = RUNG;
}

static void host_reap(struct world *w)
{
	struct leap__cqe cqe;

	while (leap__cqc_next(&w->cqc, &cqe)) {
		assert_int_equal(cqe.sqid, 3);
		assert_int_equal(cqe.cid, cqe.dw0 & 0xffff);
		assert_true(cqe.dw0 < w->nr_fetched);
		/* Once, and only after it was fetched. */
		assert_true(w->life[cqe.dw0] == FETCHED ||
			    w->life[cqe.dw0] == ISSUED);
		assert_int_equal(cqe.dw1, ~cqe.dw0);
		w->life[cqe.dw0] = DONE;
		w->nr_done++;
		assert_int_equal(leap__sqp_head(&w->sqp, cqe.sqhd), 0);
		if (!test_rand_below(&w->rnd, 3))
			break;
	}
	leap__cqc_ring(&w->cqc);
}

static void ctrl_fetch(struct world *w)
{
	leap_le32 sqe[16];
	int tag;

	if (leap__sqc_poll(&w->sqc) <= 0)
		return;
	tag = leap__slot_fetch(&w->slots, &w->sqc, sqe);
	if (tag < 0) {
		assert_int_equal(tag, -EAGAIN);
		assert_int_equal(w->slots.nr_free, 0);
		return;
	}
	assert_int_equal(leap__le32_to_cpu(sqe[10]), w->nr_fetched);
	w->life[w->nr_fetched] = FETCHED;
	w->cmd_of_tag[tag] = w->nr_fetched++;
}

static void ctrl_issue(struct world *w)
{
	uint16_t tag = (uint16_t)test_rand_below(&w->rnd, NR_SLOTS);
	int rc = leap__slot_issue(&w->slots, tag);

	if (w->slots.slot[tag].state == LEAP_RECORD_FREE)
		assert_int_equal(rc, -EINVAL);
	if (rc == 0)
		w->life[w->cmd_of_tag[tag]] = ISSUED;
}

static void ctrl_complete(struct world *w, bool half)
{
	uint16_t tag = (uint16_t)test_rand_below(&w->rnd, NR_SLOTS);
	uint32_t cmd = w->cmd_of_tag[tag];
	struct leap__cqe cqe = {
		.dw0 = cmd, .dw1 = ~cmd, .sqid = 3, .cid = (uint16_t)cmd,
		.sqhd = leap__sqc_sqhd(&w->sqc),
	};
	struct leap_record_slot *m = slot_mem(w, tag);
	int rc;

	assert_true(leap__cqp_space(&w->cqp) >= 0);
	if (half) {
		/* The steps of a completion that died before the phase. */
		if (w->slots.slot[tag].state == LEAP_RECORD_FREE ||
		    !leap__cqp_room(&w->cqp))
			return;
		m->result = leap__cpu_to_le64(cmd | (uint64_t)~cmd << 32);
		m->status = 0;
		m->cq = leap__cpu_to_le64(w->cqp.seq + 1);
		if (test_rand_below(&w->rnd, 2))
			m->control = leap__cpu_to_le64(
				(w->slots.slot[tag].seq + 1) << 3 |
				LEAP_RECORD_COMPLETING);
		return;
	}
	rc = leap__slot_complete(&w->slots, tag, &w->cqp, &cqe);
	if (!leap__cqp_room(&w->cqp) && rc)
		assert_true(rc == -EAGAIN || rc == -EINVAL);
}

static bool odd_ones_run_again(const void *sqe, uint64_t note, void *arg)
{
	struct world *w = arg;
	uint32_t cmd = leap__get_le32((const uint8_t *)sqe + 40);

	assert_int_equal(note, 0);
	assert_int_equal(w->life[cmd], ISSUED);
	return cmd & 1;
}

/* Everything private is lost; a successor takes over. */
static void kill_and_recover(struct world *w)
{
	struct leap__redo redo[NR_SLOTS];
	struct leap__recovery rec = {
		.cqes = w->cq, .may_rerun = odd_ones_run_again, .arg = w,
		.redo = redo,
	};
	struct leap__ring_opts sq = ring_opts(w, true);
	struct leap__ring_opts cq = ring_opts(w, false);
	uint32_t i;

	leap__slots_fini(&w->slots);
	memset(&w->sqc, 0xee, sizeof(w->sqc));
	memset(&w->cqp, 0xee, sizeof(w->cqp));
	memset(w->cmd_of_tag, 0xee, sizeof(w->cmd_of_tag));
	assert_int_equal(leap__slots_init(&w->slots, NR_SLOTS), 0);
	assert_int_equal(leap__sqc_init(&w->sqc, &sq), 0);
	assert_int_equal(leap__cqp_init(&w->cqp, &cq), 0);
	assert_int_equal(leap__slots_recover(&w->slots, &w->where, &rec), 0);
	assert_true(rec.signal);
	assert_true(rec.sq_seq == w->base + w->nr_fetched);
	leap__sqc_restore(&w->sqc, rec.sq_seq);
	assert_int_equal(leap__cqp_restore(&w->cqp, rec.cq_seq,
					   leap__le32_to_cpu(w->db[1])), 0);
	assert_true(leap__slots_repost(&w->slots, &rec, &w->sqc, &w->cqp) >= 0);
	for (i = 0; i < rec.nr; i++) {
		struct leap__redo *r = &redo[i];
		uint32_t cmd = leap__get_le32(r->sqe + 40);

		assert_true(r->seq == w->base + cmd);
		assert_true(!i || r->seq > r[-1].seq);
		assert_true(r->tag < NR_SLOTS);
		if (w->life[cmd] == FETCHED)
			assert_int_equal(r->act, LEAP__REDO_RUN);
		else
			assert_int_equal(r->act, cmd & 1 ? LEAP__REDO_RUN :
					 LEAP__REDO_FAIL);
		w->reruns += r->act == LEAP__REDO_RUN;
		w->fails += r->act == LEAP__REDO_FAIL;
		w->cmd_of_tag[r->tag] = cmd;
	}
	assert_int_equal(w->slots.nr_free, NR_SLOTS - rec.nr);
	w->kills++;
}

/* Every command that was rung is, in the end, completed exactly once. */
static void drain(struct world *w)
{
	uint32_t idle;

	for (idle = 0; w->nr_done < w->nr_rung; idle++) {
		assert_true(idle < 100000);
		ctrl_fetch(w);
		ctrl_complete(w, false);
		host_reap(w);
	}
	assert_int_equal(w->slots.nr_free, NR_SLOTS);
}

static void test_random_kills(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 20; seed++) {
		struct world *w = world_new(seed);
		uint32_t want = 3000;

		while (w->nr_rung < want) {
			switch (test_rand_below(&w->rnd, 12)) {
			case 0: case 1: host_submit(w); break;
			case 2: case 3: host_reap(w); break;
			case 4: case 5: case 6: ctrl_fetch(w); break;
			case 7: case 8: ctrl_issue(w); break;
			case 9: case 10: ctrl_complete(w, false); break;
			default:
				if (test_rand_below(&w->rnd, 4))
					break;
				ctrl_complete(w, true);
				kill_and_recover(w);
			}
		}
		drain(w);
		assert_true(w->kills > 10 && w->reruns > 10 && w->fails > 10);
		world_free(w);
	}
}

/* A record whose sequence numbers are about to pass 2^32. */
static void test_sequence_wrap(void **state)
{
	static const uint64_t starts[] = {
		(1ull << 16) - 3, (1ull << 32) - 3, (1ull << 48) + 1,
	};
	size_t s;
	int i;

	(void)state;
	for (s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
		struct world *w = world_new(s);

		w->base = starts[s];
		slot_mem(w, 2)->control = leap__cpu_to_le64(w->base << 3);
		slot_mem(w, 3)->cq = leap__cpu_to_le64(w->base);
		w->sqp.head = w->sqp.tail = w->sqp.rung =
			(uint16_t)(w->base % SQ_SIZE);
		w->cqc.head = w->cqc.rung = (uint16_t)(w->base % CQ_SIZE);
		w->cqc.phase = leap__cq_phase(w->base, CQ_SIZE);
		w->db[0] = leap__cpu_to_le32(w->sqp.tail);
		w->db[1] = leap__cpu_to_le32(w->cqc.head);
		/* The whole ring as it was after base completions. */
		for (i = 0; i < CQ_SIZE; i++)
			w->cq[i].last = leap__cpu_to_le32((uint32_t)
				(i < w->cqc.head ? w->cqc.phase :
				 !w->cqc.phase) << 16);
		kill_and_recover(w);
		assert_int_equal(w->slots.nr_free, NR_SLOTS);
		for (i = 0; i < 200; i++) {
			host_submit(w);
			ctrl_fetch(w);
			ctrl_issue(w);
			ctrl_complete(w, false);
			host_reap(w);
			if (i % 17 == 0)
				kill_and_recover(w);
		}
		drain(w);
		world_free(w);
	}
}

static void test_transitions(void **state)
{
	struct leap__slots s;
	struct leap__slot_step step = { .to = LEAP_RECORD_FETCHED };
	struct leap__cqe cqe = { .cid = 9 };
	uint8_t sqe[64] = { 0 };
	struct world *w = world_new(1);

	(void)state;
	assert_int_equal(leap__slots_init(&s, 0), -EINVAL);
	assert_int_equal(leap__slots_init(&s, 65536), -EINVAL);
	assert_int_equal(leap__slots_init(&s, 3), 0);
	assert_int_equal(leap__slot_advance(&s, 0, &step), -EINVAL); /* sqe */
	step.sqe = sqe;
	assert_int_equal(leap__slot_advance(&s, 1, &step), -EINVAL); /* top */
	assert_int_equal(leap__slot_advance(&s, 3, &step), -EINVAL); /* range */
	assert_int_equal(leap__slot_issue(&s, 0), -EINVAL);
	assert_int_equal(leap__slot_drop(&s, 0), -EINVAL);
	assert_int_equal(leap__slot_complete(&s, 0, &w->cqp, &cqe), -EINVAL);
	assert_int_equal(leap__slot_advance(&s, 0, &step), 0);
	assert_int_equal(leap__slot_advance(&s, 0, &step), -EINVAL);
	assert_int_equal(leap__slot_complete(&s, 0, NULL, &cqe), -EINVAL);
	assert_int_equal(leap__slot_issue(&s, 0), 0);
	assert_int_equal(leap__slot_issue(&s, 0), -EINVAL);
	w->cqp.head = 1;			/* full */
	assert_int_equal(leap__slot_complete(&s, 0, &w->cqp, &cqe), -EAGAIN);
	assert_int_equal(s.slot[0].state, LEAP_RECORD_ISSUED);
	w->cqp.head = 0;
	assert_int_equal(leap__slots_attach(&s, &w->where), -EBUSY);
	assert_int_equal(leap__slot_complete(&s, 0, &w->cqp, &cqe), 0);
	assert_int_equal(s.nr_free, 3);
	assert_int_equal(w->cqp.seq, 1);
	leap__slots_fini(&s);
	world_free(w);
}

static void test_format(void **state)
{
	_Alignas(64) static uint8_t mem[2048];
	struct {
		struct leap_record_opts o;
		uint64_t future;
	} x = { LEAP_RECORD_OPTS_INIT, 0 };

	(void)state;
	assert_int_equal(leap_record_bytes(0), 0);
	assert_int_equal(leap_record_bytes(65536), 0);
	assert_int_equal(leap_record_bytes(65535), 128 * 65536);
	x.o.nr_slots = 4;
	x.o.sq_size = 2;
	x.o.cq_size = 65536;
	assert_int_equal(leap_record_format(mem, sizeof(mem), &x.o), 0);
	assert_int_equal(leap_record_format(mem, 5 * 128 - 1, &x.o), -ENOSPC);
	assert_int_equal(leap_record_format(mem + 8, 1024, &x.o), -EINVAL);
	assert_int_equal(leap_record_format(NULL, 1024, &x.o), -EINVAL);
	x.o.sq_size = 1;
	assert_int_equal(leap_record_format(mem, 1024, &x.o), -EINVAL);
	x.o.sq_size = 2;
	x.o.cq_size = 65537;
	assert_int_equal(leap_record_format(mem, 1024, &x.o), -EINVAL);
	x.o.cq_size = 2;
	x.o.size = sizeof(x);
	assert_int_equal(leap_record_format(mem, 1024, &x.o), 0);
	x.future = 1;
	assert_int_equal(leap_record_format(mem, 1024, &x.o), -E2BIG);
	x.o.size = 4;
	assert_int_equal(leap_record_format(mem, 1024, &x.o), -EINVAL);
}

/* A header that is not the one the link spoke of; slots already used. */
static void test_wrong_header(void **state)
{
	struct world *w = world_new(7);
	struct leap__redo redo[NR_SLOTS];
	struct leap__recovery rec = { .cqes = w->cq, .redo = redo };
	struct leap__slots s;
	struct leap__record_where where;
	size_t i;

	(void)state;
	assert_int_equal(leap__slots_init(&s, NR_SLOTS), 0);
	for (i = 0; i < 28; i++) {
		w->mem[i] ^= 0x10;
		assert_int_equal(leap__slots_attach(&s, &w->where), -EPROTO);
		assert_int_equal(leap__slots_recover(&s, &w->where, &rec),
				 -EPROTO);
		w->mem[i] ^= 0x10;
	}
	where = w->where;
	where.bytes--;
	assert_int_equal(leap__slots_attach(&s, &where), -EPROTO);
	slot_mem(w, 4)->control = leap__cpu_to_le64(8);
	assert_int_equal(leap__slots_attach(&s, &w->where), -EPROTO);
	assert_int_equal(leap__slots_recover(&s, &w->where, &rec), 0);
	assert_true(rec.sq_seq == 1);
	leap__slots_fini(&s);
	world_free(w);
}

static int recover_with(struct world *w, struct leap__recovery *rec)
{
	struct leap__slots s;
	bool seen[NR_SLOTS] = { false };
	uint32_t i;
	int rc;

	assert_int_equal(leap__slots_init(&s, NR_SLOTS), 0);
	rc = leap__slots_recover(&s, &w->where, rec);
	if (rc < 0) {
		assert_int_equal(rc, -EPROTO);
		assert_int_equal(s.nr_free, NR_SLOTS);
		assert_null(s.shared);
		leap__slots_fini(&s);
		return rc;
	}
	assert_true(rec->nr <= NR_SLOTS);
	for (i = 0; i < rec->nr; i++) {
		assert_true(rec->redo[i].tag < NR_SLOTS);
		assert_false(seen[rec->redo[i].tag]);
		seen[rec->redo[i].tag] = true;
		assert_true(!i || rec->redo[i].seq > rec->redo[i - 1].seq);
		assert_true(rec->redo[i].seq < rec->sq_seq);
		assert_true(rec->redo[i].act <= LEAP__REDO_POST);
	}
	assert_int_equal(s.nr_free, NR_SLOTS - rec->nr);
	leap__slots_fini(&s);
	return 0;
}

/* Whatever is in the slots: -EPROTO, or an answer that makes sense. */
static void test_nonsense(void **state)
{
	struct world *w = world_new(5);
	struct leap__redo redo[NR_SLOTS];
	struct leap__recovery rec = { .cqes = w->cq, .redo = redo };
	uint32_t i, j, good = 0, bad = 0;

	(void)state;
	for (i = 0; i < 200000; i++) {
		uint8_t *slots = w->mem + LEAP_RECORD_HEADER_BYTES;

		if (i % 16 == 0)
			memset(slots, 0, NR_SLOTS * LEAP_RECORD_SLOT_BYTES);
		for (j = test_rand_below(&w->rnd, 4); j; j--) {
			struct leap_record_slot *m = slot_mem(w,
				(int)test_rand_below(&w->rnd, NR_SLOTS));
			uint64_t v = test_rand_next(&w->rnd) >>
				     test_rand_below(&w->rnd, 64);

			switch (test_rand_below(&w->rnd, 4)) {
			case 0: m->cq = v; break;
			case 1: m->status = (uint32_t)v; break;
			default: m->control = v; break;
			}
		}
		w->cq[test_rand_below(&w->rnd, CQ_SIZE)].last =
			(uint32_t)test_rand_next(&w->rnd);
		if (recover_with(w, &rec) < 0)
			bad++;
		else
			good++;
	}
	assert_true(good > 1000);
	assert_true(bad > 1000);
	world_free(w);
}

/* Each thing that no series of steps can leave is refused. */
static void test_impossible(void **state)
{
	struct world *w = world_new(5);
	struct leap__redo redo[NR_SLOTS];
	struct leap__recovery rec = { .cqes = w->cq, .redo = redo };
	struct leap_record_slot *a = slot_mem(w, 0), *b = slot_mem(w, 1);
	const uint64_t seq5 = 6u << 3, seq6 = 7u << 3;

	(void)state;
	a->control = leap__cpu_to_le64(seq5 | LEAP_RECORD_FETCHED);
	b->control = leap__cpu_to_le64(seq5 | LEAP_RECORD_ISSUED);
	assert_int_equal(recover_with(w, &rec), -EPROTO);	/* twice */
	b->control = leap__cpu_to_le64(seq6 | LEAP_RECORD_ISSUED);
	assert_int_equal(recover_with(w, &rec), 0);
	assert_int_equal(rec.nr, 2);
	b->control = leap__cpu_to_le64(seq6 | 4);
	assert_int_equal(recover_with(w, &rec), -EPROTO);	/* state */
	b->control = leap__cpu_to_le64(LEAP_RECORD_FETCHED);
	assert_int_equal(recover_with(w, &rec), -EPROTO);	/* no number */
	b->control = leap__cpu_to_le64(seq6 | LEAP_RECORD_COMPLETING);
	assert_int_equal(recover_with(w, &rec), -EPROTO);	/* no place */
	b->cq = leap__cpu_to_le64(3);
	assert_int_equal(recover_with(w, &rec), 0);
	assert_int_equal(redo[1].act, LEAP__REDO_POST);
	assert_true(rec.cq_seq == 2);
	b->status = leap__cpu_to_le32(0x8000);
	assert_int_equal(recover_with(w, &rec), -EPROTO);	/* status */
	b->status = 0;
	a->cq = leap__cpu_to_le64(4);
	assert_int_equal(recover_with(w, &rec), -EPROTO);	/* not last */
	a->cq = leap__cpu_to_le64(2);
	assert_int_equal(recover_with(w, &rec), 0);
	a->control = leap__cpu_to_le64(seq5 | LEAP_RECORD_COMPLETING);
	assert_int_equal(recover_with(w, &rec), -EPROTO);	/* two */
	a->control = leap__cpu_to_le64(UINT64_MAX & ~(uint64_t)7);
	assert_int_equal(recover_with(w, &rec), -EPROTO);	/* too large */
	a->control = 0;
	/* The host has the answer: freed, also in the record. */
	w->cq[2].last = leap__cpu_to_le32(1u << 16);
	assert_int_equal(recover_with(w, &rec), 0);
	assert_int_equal(rec.nr, 0);
	assert_true(rec.cq_seq == 3);
	assert_true(leap__le64_to_cpu(b->control) == seq6);
	world_free(w);
}

static void test_note(void **state)
{
	struct world *w = world_new(5);
	struct leap__redo redo[NR_SLOTS];
	struct leap__recovery rec = { .cqes = w->cq, .redo = redo };

	(void)state;
	host_submit(w);
	ctrl_fetch(w);
	leap__slot_note(&w->slots, 0, 0x123456789abcull);
	assert_int_equal(leap__slot_issue(&w->slots, 0), 0);
	assert_int_equal(recover_with(w, &rec), 0);
	assert_true(redo[0].note == 0x123456789abcull);
	ctrl_complete(w, false);
	while (w->slots.nr_free != NR_SLOTS)
		ctrl_complete(w, false);
	host_submit(w);
	ctrl_fetch(w);
	assert_int_equal(recover_with(w, &rec), 0);
	assert_int_equal(rec.nr, 1);
	assert_true(redo[0].note == 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_kills),
		cmocka_unit_test(test_sequence_wrap),
		cmocka_unit_test(test_transitions),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_wrong_header),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_impossible),
		cmocka_unit_test(test_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
