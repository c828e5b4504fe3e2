/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a look inside a drive shows: of one that this process serves, with
 * commands held in its stack; of one whose runtime was killed with commands in
 * flight; and of state memory that somebody has scribbled over.
 */
#include "agent-fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/ctrl/vdev_priv.h"

#define NR	8	/* commands held */

struct seen {
	struct leap_vdev_mem_info mem[8];
	struct leap_vdev_cq_info cq[8];
	struct leap_vdev_sq_info sq[8];
	struct leap_vdev_slot_info slot[64];
	uint32_t nr_mem, nr_cq, nr_sq, nr_slot;
	int done;
};

static struct seen seen;

static void on_mem(void *arg, const struct leap_vdev_mem_info *i)
{
	struct seen *s = arg;

	assert_false(s->done);
	assert_true(s->nr_mem < 8);
	s->mem[s->nr_mem++] = *i;
}

static void on_cq(void *arg, const struct leap_vdev_cq_info *i)
{
	struct seen *s = arg;

	assert_true(s->nr_cq < 8);
	s->cq[s->nr_cq++] = *i;
}

static void on_sq(void *arg, const struct leap_vdev_sq_info *i)
{
	struct seen *s = arg;

	assert_true(s->nr_sq < 8);
	s->sq[s->nr_sq++] = *i;
}

static void on_slot(void *arg, const struct leap_vdev_slot_info *i)
{
	struct seen *s = arg;

	/* After the queue that they are of. */
	assert_true(s->nr_sq && s->sq[s->nr_sq - 1].sqid == i->sqid);
	assert_true(s->nr_slot < 64);
	s->slot[s->nr_slot++] = *i;
}

static void on_done(void *arg)
{
	struct seen *s = arg;

	assert_false(s->done);
	s->done = 1;
}

static struct leap_vdev_inspect_ops all_ops(void)
{
	struct leap_vdev_inspect_ops o = LEAP_VDEV_INSPECT_OPS_INIT;

	o.mem = on_mem;
	o.cq = on_cq;
	o.sq = on_sq;
	o.slot = on_slot;
	o.done = on_done;
	return o;
}

static void look(struct leap_vdev *v, void (*poll)(void *arg), void *arg)
{
	struct leap_vdev_inspect_ops o = all_ops();
	uint64_t from = af_ms();

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(leap_vdev_inspect(v, &o, &seen), 0);
	assert_false(seen.done);
	memset(&o, 0, sizeof(o));	/* a copy was taken */
	while (!seen.done) {
		poll(arg);
		assert_true(af_ms() - from < 60000);
	}
}

/* Writes of 8 blocks each to LBA 8 * i. */
static void submit(struct gd *g, struct gd_sq *sq, uint64_t buf, uint16_t *cid)
{
	struct leap_sqe sqe;
	int i;

	for (i = 0; i < NR; i++) {
		sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, (uint64_t)i * 8, 8);
		gd_prp(g, &sqe, buf, GD_PAGE);
		cid[i] = gd_submit(g, sq, &sqe);
	}
}

/* The commands of submit() are there, and nothing else. */
static void check_held(const uint16_t *cid, uint32_t state)
{
	uint32_t i, tags = 0;

	assert_int_equal(seen.nr_sq, 2);
	assert_int_equal(seen.sq[1].sqid, 1);
	assert_int_equal(seen.sq[1].cqid, 1);
	assert_int_equal(seen.sq[1].depth, 64);
	assert_int_equal(seen.sq[1].nr_slots, 63);
	assert_int_equal(seen.sq[1].bad_slots, 0);
	assert_int_equal(seen.sq[1].slots[state], NR);
	assert_int_equal(seen.sq[1].slots[LEAP_RECORD_FREE], 63 - NR);
	assert_int_equal(seen.sq[1].fetched, NR);
	assert_int_equal(seen.sq[1].head, NR);
	assert_int_equal(seen.sq[1].tail, NR);
	assert_int_equal(seen.nr_slot, NR);
	for (i = 0; i < NR; i++) {
		const struct leap_vdev_slot_info *s = &seen.slot[i];

		assert_int_equal(s->sqid, 1);
		assert_int_equal(s->state, state);
		assert_true(s->seq < NR);
		assert_false(tags >> s->seq & 1);
		tags |= 1u << s->seq;
		assert_int_equal(s->opcode, LEAP_NVM_WRITE);
		assert_int_equal(s->cid, cid[s->seq]);
		assert_int_equal(s->nsid, 1);
		assert_int_equal(s->slba, s->seq * 8);
	}
}

/* ---- served here ---- */

struct w {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *v;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	uint64_t buf;
};

static int set_up(void **state)
{
	struct w *w = calloc(1, sizeof(*w));

	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	w->target = serve_target(w->pg, AF_NQN, &w->ss);
	/* Held for as long as it may take to look. */
	serve_ns(w->pg, w->ss, "delay[write_us=1500000] -> memory:1M", 1);
	assert_int_equal(leap_vdev_create(w->ss, NULL, &w->v), 0);
	w->g = gd_new(w->v, AF_RAM, serve_poll, w->pg);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct w *w = *state;

	if (w->v)
		gd_unplug(w->pg, w->v);
	gd_free(w->g);
	serve_stop(w->pg, w->target);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
	free(w);
	return 0;
}

/* While NR commands are under way. */
static void check_rings(const struct w *w)
{
	assert_int_equal(seen.sq[0].sqid, 0);
	assert_int_equal(seen.sq[0].depth, 32);
	assert_int_equal(seen.sq[0].gpa.addr, w->g->asq.gpa);
	assert_int_equal(seen.sq[0].fetched, 2);	/* the Creates */
	assert_int_equal(seen.sq[0].tail, w->g->asq.tail);
	assert_true(seen.sq[0].served);
	assert_true(seen.sq[1].served);
	assert_int_equal(seen.sq[1].gpa.addr, w->sq.gpa);
	assert_int_equal(seen.sq[1].db.value, NR);
	assert_false(seen.sq[1].db.has_shadow);
	assert_int_equal(seen.nr_cq, 2);
	assert_int_equal(seen.cq[0].cqid, 0);
	assert_true(seen.cq[0].has_view);
	assert_int_equal(seen.cq[0].db.posted, 2);
	assert_int_equal(seen.cq[1].cqid, 1);
	assert_int_equal(seen.cq[1].nr_sqs, 1);
	assert_int_equal(seen.cq[1].depth, 64);
	assert_int_equal(seen.cq[1].gpa.addr, w->cq.gpa);
	assert_int_equal(seen.cq[1].vector, 0);
	assert_int_equal(seen.cq[1].tail, 0);
	assert_true(seen.cq[1].has_view);
	assert_int_equal(seen.cq[1].view.nr_ranges, 1);
	assert_int_equal(seen.cq[1].view.faults, 0);
}

static void test_live(void **state)
{
	struct w *w = *state;
	uint16_t cid[NR];
	uint64_t before;
	int i;

	/* Nothing is set up: only its memory is there. */
	look(w->v, serve_poll, w->pg);
	assert_int_equal(seen.nr_mem, 1);
	assert_int_equal(seen.mem[0].gpa.addr, GD_BASE);
	assert_int_equal(seen.mem[0].bytes, AF_RAM);
	assert_int_equal(seen.mem[0].perm, LEAP_PERM_READ | LEAP_PERM_WRITE);
	assert_int_equal(seen.nr_cq + seen.nr_sq + seen.nr_slot, 0);

	gd_up(w->g, &w->cq, &w->sq, 64);
	w->buf = gd_alloc(w->g, GD_PAGE);
	submit(w->g, &w->sq, w->buf, cid);
	look(w->v, serve_poll, w->pg);
	check_held(cid, LEAP_RECORD_ISSUED);
	check_rings(w);
	/* Both rings; payload is looked up when the delay is over. */
	assert_int_equal(seen.cq[1].view.pins, 2);
	before = seen.cq[1].view.hits + seen.cq[1].view.misses;

	for (i = 0; i < NR; i++)
		assert_int_equal(gd_wait(w->g, &w->sq, cid[i]), 0);
	look(w->v, serve_poll, w->pg);
	assert_true(seen.cq[1].view.hits + seen.cq[1].view.misses >=
		    before + NR);
	assert_int_equal(seen.cq[1].view.pins, 2);
	assert_int_equal(seen.nr_slot, 0);
	assert_int_equal(seen.sq[1].slots[LEAP_RECORD_FREE], 63);
	assert_int_equal(seen.sq[1].fetched, NR);
	assert_int_equal(seen.cq[1].tail, NR);
	assert_int_equal(seen.cq[1].head, w->cq.head);
	assert_int_equal(seen.cq[1].db.posted, NR);
	gd_disable(w->g);
	look(w->v, serve_poll, w->pg);
	assert_int_equal(seen.nr_cq + seen.nr_sq, 0);
}

static void test_shadow(void **state)
{
	struct w *w = *state;
	uint16_t cid[NR];
	int i;

	gd_up(w->g, &w->cq, &w->sq, 64);
	w->buf = gd_alloc(w->g, GD_PAGE);
	assert_int_equal(gd_dbbuf(w->g), 0);
	submit(w->g, &w->sq, w->buf, cid);
	for (i = 0; i < 4; i++)
		serve_poll(w->pg);
	look(w->v, serve_poll, w->pg);
	check_held(cid, LEAP_RECORD_ISSUED);
	assert_true(seen.sq[1].db.has_shadow);
	assert_int_equal(seen.sq[1].db.shadow, NR);
	assert_true(seen.cq[1].db.has_shadow);
	assert_false(seen.sq[0].db.has_shadow);
	for (i = 0; i < NR; i++)
		assert_int_equal(gd_wait(w->g, &w->sq, cid[i]), 0);
	look(w->v, serve_poll, w->pg);
	assert_int_equal(seen.cq[1].head, w->cq.head);
	gd_disable(w->g);
}

/* A look that is under way when the drive goes. */
static void test_going(void **state)
{
	struct leap_vdev_inspect_ops o = all_ops();
	struct w *w = *state;
	int gone = 0;

	gd_up(w->g, &w->cq, &w->sq, 64);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(leap_vdev_inspect(w->v, &o, &seen), 0);
	leap_vdev_destroy(w->v, set_flag, &gone);
	serve_await(w->pg, &gone);
	assert_true(seen.done);
	w->v = NULL;
}

static void test_refused(void **state)
{
	struct leap_vdev_inspect_ops o = LEAP_VDEV_INSPECT_OPS_INIT;
	struct w *w = *state;

	assert_int_equal(leap_vdev_inspect(w->v, &o, NULL), -EINVAL);
	o.size = 3;
	assert_int_equal(leap_vdev_inspect(w->v, &o, NULL), -EINVAL);
	/* Who wants nothing but the end of it gets that. */
	memset(&seen, 0, sizeof(seen));
	o = (struct leap_vdev_inspect_ops)LEAP_VDEV_INSPECT_OPS_INIT;
	o.done = on_done;
	assert_int_equal(leap_vdev_inspect(w->v, &o, &seen), 0);
	serve_await(w->pg, &seen.done);
}

static struct leap_record_slot *slots_of(struct w *w, uint32_t *nr_at)
{
	uint8_t *at = w->v->guest.state +
		      2ull * w->v->nr_queues * sizeof(struct leap_doorbell) +
		      w->v->record_bytes;

	*nr_at = (uint32_t)(at - w->v->guest.state) +
		 (uint32_t)offsetof(struct leap_record_header, nr_slots);
	return (void *)(at + LEAP_RECORD_HEADER_BYTES);
}

/* State memory as no runtime can leave it. */
static void test_damage(void **state)
{
	struct w *w = *state;
	struct leap_record_slot *slot;
	struct leap_record_slot kept[3];
	leap_le32 *nr;
	uint32_t at;

	gd_up(w->g, &w->cq, &w->sq, 64);
	slot = slots_of(w, &at);
	nr = (void *)(w->v->guest.state + at);
	assert_int_equal(leap_from_le32(*nr), 63);
	memcpy(kept, slot, sizeof(kept));
	slot[0].control = leap_to_le64(5ull << 3 | 7);
	slot[1].control = leap_to_le64(UINT64_MAX);
	slot[2].control = leap_to_le64(LEAP_RECORD_ISSUED);
	look(w->v, serve_poll, w->pg);
	assert_int_equal(seen.sq[1].bad_slots, 3);
	assert_int_equal(seen.sq[1].slots[LEAP_RECORD_FREE], 60);
	assert_int_equal(seen.sq[1].fetched, 0);
	assert_int_equal(seen.nr_slot, 0);
	memcpy(slot, kept, sizeof(kept));
	*nr = leap_to_le32(UINT32_MAX);
	look(w->v, serve_poll, w->pg);
	assert_int_equal(seen.sq[1].nr_slots, 0);
	assert_int_equal(seen.nr_slot, 0);
	*nr = leap_to_le32(63);
	gd_disable(w->g);
}

/* ---- served by another process ---- */

static int has_issued(struct af *f)
{
	look(f->v, af_poll, f);
	return seen.nr_sq > 1 && seen.sq[1].slots[LEAP_RECORD_ISSUED] == NR;
}

static void test_killed(void **state)
{
	struct af *f = af_new(0);
	uint16_t cid[NR];
	uint64_t buf;
	int i;

	(void)state;
	snprintf(f->stack, sizeof(f->stack),
		 "delay[write_us=30000000] -> file:%s[create=%uk]", f->file,
		 AF_BLOCKS / 2);
	af_start(f, 1, 0);
	af_until(f, af_served, 10000);
	gd_up(f->g, &f->cq, &f->sq, 64);
	buf = gd_alloc(f->g, GD_PAGE);
	submit(f->g, &f->sq, buf, cid);
	af_until(f, has_issued, 10000);
	check_held(cid, LEAP_RECORD_ISSUED);
	assert_true(seen.sq[0].served);		/* the admin queue is ours */
	assert_false(seen.sq[1].served);
	assert_false(seen.cq[1].has_view);
	/* The same, and nobody is there. */
	af_kill(f, f->pid, SIGKILL);
	af_until(f, af_none, 10000);
	look(f->v, af_poll, f);
	check_held(cid, LEAP_RECORD_ISSUED);
	/* The next one takes them over. */
	snprintf(f->stack, sizeof(f->stack), "file:%s[create=%uk]", f->file,
		 AF_BLOCKS / 2);
	af_start(f, 0, 0);
	af_until(f, af_served, 10000);
	for (i = 0; i < NR; i++)
		assert_int_equal(gd_wait(f->g, &f->sq, cid[i]), 0);
	af_until(f, af_served, 10000);
	look(f->v, af_poll, f);
	assert_int_equal(seen.nr_slot, 0);
	assert_int_equal(seen.sq[1].fetched, NR);
	assert_int_equal(seen.cq[1].tail, NR);
	af_kill(f, f->pid, SIGKILL);
	af_until(f, af_none, 10000);
	af_free(f);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_live),
		T(test_shadow),
		T(test_going),
		T(test_refused),
		T(test_damage),
		cmocka_unit_test(test_killed),
	};

	af_maybe_runtime(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
