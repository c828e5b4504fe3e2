/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight record under the explorer: a runtime that serves a queue is
 * killed between any two accesses, successors take over (and are killed while
 * they do), and the host must find every command completed exactly once, its
 * data there, nothing that may not run twice done twice, and no interrupt
 * missing.  No command may run again once its completion can be seen.  On one
 * machine, where a dead process's stores still become visible, and across a
 * window, where those in flight are lost; with a completion queue of one
 * submission queue, and with one that two of them share.
 */
#include "core/io/record.h"
#include "explore.h"

#include <string.h>

#define IRQ_FD		2
#define CMDS_MAX	3
#define NR_SLOTS	2
#define NR_RUNTIMES	3
#define RING_MAX	3
#define NR_SQS		2
#define SQID		7	/* of the first */

/* Bit in a command that makes it one that may not run twice. */
#define ONCE		0x100u
#define STATUS_FAILED	0x4006u		/* do not retry, internal error */

/* What a runtime knows of a submission queue, lost when it dies. */
struct queue {
	struct leap__slots slots;
	struct leap__slot slot[NR_SLOTS];
	uint16_t free[NR_SLOTS];
	struct leap__sqc sqc;
	struct leap__redo redo[NR_SLOTS];
	struct leap__recovery rec;
};

struct runtime {
	struct queue q[NR_SQS];
	struct leap__cqp cqp;
	uint64_t sqe[NR_SLOTS * NR_SQS][8];
};

struct world {
	_Alignas(64) uint64_t sq[NR_SQS][RING_MAX][8];
	_Alignas(64) struct leap__cqe_wire cq[RING_MAX];
	_Alignas(64) uint8_t record[NR_SQS][LEAP_RECORD_HEADER_BYTES +
				    NR_SLOTS * LEAP_RECORD_SLOT_BYTES];
	/* Record and medium: for runtimes only, one after the other. */
	uint32_t medium[CMDS_MAX];	/* times that a ONCE command ran */
	leap_le32 db[NR_SQS + 1];	/* the last: of the CQ */
	uint32_t data[CMDS_MAX];	/* guest memory that commands fill */
	uint32_t nr_cmds, ring_size, nr_sqs;
	bool window;
	struct leap__record_where where[NR_SQS];
	struct runtime rt[NR_RUNTIMES];
	/* the host's */
	struct leap__sqp sqp[NR_SQS];
	struct leap__cqc cqc;
	uint32_t submitted, completed;
	uint32_t answers[CMDS_MAX];
	uint16_t status[CMDS_MAX];
};

static struct world world;

static struct leap__ring_opts ring_opts(struct world *w, void *entries,
					uint32_t db)
{
	return (struct leap__ring_opts) {
		.entries = entries,
		.size = w->ring_size,
		.doorbell = &w->db[db],
		.window = w->window,
	};
}

/* As leap__slots_init, in memory that the explorer saves and restores. */
static void fresh_runtime(struct world *w, struct runtime *rt)
{
	struct leap__ring_opts o = ring_opts(w, w->cq, NR_SQS);
	uint32_t i, k;

	leap__cqp_init(&rt->cqp, &o);
	for (k = 0; k < w->nr_sqs; k++) {
		struct queue *q = &rt->q[k];

		o = ring_opts(w, w->sq[k], k);
		leap__sqc_init(&q->sqc, &o);
		q->slots = (struct leap__slots) {
			.slot = q->slot, .free = q->free, .nr = NR_SLOTS,
			.nr_free = NR_SLOTS,
		};
		for (i = 0; i < NR_SLOTS; i++)
			q->free[i] = (uint16_t)(NR_SLOTS - 1 - i);
	}
}

/* ---- host ---------------------------------------------------------------- */

static void host_reap(struct world *w)
{
	struct leap__cqe cqe;
	uint32_t n;

	while (leap__cqc_next(&w->cqc, &cqe)) {
		n = cqe.cid;
		explore_check(n < w->submitted);
		explore_check(!w->answers[n]);
		w->answers[n]++;
		explore_check(cqe.sqid == SQID + n % w->nr_sqs);
		explore_check(cqe.status == 0 || cqe.status == STATUS_FAILED);
		w->status[n] = cqe.status;
		/* A good answer means that the data is there. */
		if (!cqe.status) {
			explore_check(cqe.dw0 == 50 + n);
			explore_check(leap__load_relaxed(&w->data[n]) ==
				      50 + n);
		}
		explore_check(leap__sqp_head(&w->sqp[n % w->nr_sqs],
					     cqe.sqhd) == 0);
		w->completed++;
	}
	leap__cqc_ring(&w->cqc);
}

static void host_submit(struct world *w)
{
	uint32_t k;

	while (w->submitted < w->nr_cmds) {
		/* The CID in bytes 2 and 3; odd ones run once only. */
		uint64_t sqe[8] = {
			[0] = (uint64_t)w->submitted << 16,
			[7] = w->submitted | (w->submitted & 1 ? ONCE : 0),
		};

		if (leap__sqp_push(&w->sqp[w->submitted % w->nr_sqs], sqe) < 0)
			break;
		w->submitted++;
	}
	for (k = 0; k < w->nr_sqs; k++)
		leap__sqp_ring(&w->sqp[k]);
}

/* Sends what fits (the first time in setup), sleeps on the interrupt. */
static void host(void *arg)
{
	struct world *w = arg;

	for (;;) {
		explore_wait(IRQ_FD);
		host_reap(w);
		if (w->completed == w->nr_cmds)
			break;
		host_submit(w);
	}
}

/* ---- runtime ------------------------------------------------------------- */

/* Can the host see, or has it seen, that command @n has completed? Looks at
 * memory as it is, from outside of the model. */
static bool is_answered(const struct world *w, uint32_t n)
{
	uint32_t at = w->cqc.head, i, last;
	uint8_t phase = w->cqc.phase;

	if (w->answers[n])
		return true;
	for (i = 0; i < w->ring_size; i++) {
		memcpy(&last, &w->cq[at].last, sizeof(last));
		last = leap__le32_to_cpu((leap_le32)last);
		if ((last >> 16 & 1) != phase)
			return false;
		if ((last & 0xffff) == n)
			return true;
		if (++at == w->ring_size) {
			at = 0;
			phase = !phase;
		}
	}
	return false;
}

/* What the command does: fills memory, or changes the medium as well. */
static void act(struct world *w, uint64_t cmd)
{
	uint32_t n = (uint32_t)cmd & 0xff;

	explore_check(n < w->nr_cmds);
	explore_check(!is_answered(w, n));
	if (cmd & ONCE)
		leap__store_relaxed(&w->medium[n],
				    leap__load_relaxed(&w->medium[n]) + 1);
	leap__store_relaxed(&w->data[n], 50 + n);
}

static void finish(struct world *w, struct runtime *rt, uint16_t tag,
		   uint64_t cmd, uint16_t status)
{
	uint32_t n = (uint32_t)cmd & 0xff, k = n % w->nr_sqs;
	struct queue *q = &rt->q[k];
	struct leap__cqe cqe = {
		.dw0 = 50 + n, .sqid = (uint16_t)(SQID + k),
		.cid = (uint16_t)n, .sqhd = leap__sqc_sqhd(&q->sqc),
		.status = status,
	};

	explore_check(leap__cqp_space(&rt->cqp) >= 0);
	while (leap__slot_complete(&q->slots, tag, &rt->cqp, &cqe) < 0) {
		/* A batch ends where the ring is full. */
		leap__eventfd_signal(IRQ_FD);
		explore_await();
		explore_check(leap__cqp_space(&rt->cqp) >= 0);
	}
}

static uint64_t nr_fetched(const struct world *w, const struct runtime *rt)
{
	uint64_t n = 0;
	uint32_t k;

	for (k = 0; k < w->nr_sqs; k++)
		n += rt->q[k].sqc.seq;
	return n;
}

/* Fetches what one queue has, as far as there is room, and runs it. */
static int fetch(struct world *w, struct runtime *rt, struct queue *q,
		 uint16_t *tags, int nr)
{
	int n = leap__sqc_poll(&q->sqc), tag;

	explore_check(n >= 0);
	for (; n && q->slots.nr_free; n--, nr++) {
		tag = leap__slot_fetch(&q->slots, &q->sqc, rt->sqe[nr]);
		explore_check(tag >= 0 && tag < NR_SLOTS);
		tags[nr] = (uint16_t)tag;
		explore_check(leap__slot_issue(&q->slots, tags[nr]) == 0);
		act(w, rt->sqe[nr][7]);
	}
	return nr;
}

/* Fetches all there is room for, runs it, completes the newest first. */
static void serve(struct world *w, struct runtime *rt)
{
	uint16_t tags[NR_SLOTS * NR_SQS];
	uint32_t k;
	int nr;

	while (nr_fetched(w, rt) < w->nr_cmds) {
		for (k = 0, nr = 0; k < w->nr_sqs; k++)
			nr = fetch(w, rt, &rt->q[k], tags, nr);
		if (!nr) {
			explore_await();
			continue;
		}
		while (nr--)
			finish(w, rt, tags[nr], rt->sqe[nr][7], 0);
		/* One interrupt for the batch. */
		leap__eventfd_signal(IRQ_FD);
	}
}

static bool may_rerun(const void *sqe, uint64_t note, void *arg)
{
	(void)note;
	(void)arg;
	return !(leap__get_le64((const uint8_t *)sqe + 56) & ONCE);
}

/* One queue's record; its queue goes on from there. */
static void recover(struct world *w, struct queue *q, uint32_t k)
{
	q->rec = (struct leap__recovery) {
		.cqes = w->cq, .may_rerun = may_rerun, .redo = q->redo,
	};
	explore_check(leap__slots_recover(&q->slots, &w->where[k],
					  &q->rec) == 0);
	leap__sqc_restore(&q->sqc, q->rec.sq_seq);
}

/* What is left in a queue. Returns how much that was. */
static uint32_t redrive(struct world *w, struct runtime *rt, struct queue *q)
{
	uint32_t i;

	for (i = 0; i < q->rec.nr; i++) {
		struct leap__redo *r = &q->redo[i];
		uint64_t cmd = leap__get_le64(r->sqe + 56);

		if (r->act == LEAP__REDO_FAIL) {
			finish(w, rt, r->tag, cmd, STATUS_FAILED);
			continue;
		}
		explore_check(leap__slot_issue(&q->slots, r->tag) == 0);
		act(w, cmd);
		finish(w, rt, r->tag, cmd, 0);
	}
	return i;
}

/* The completion queue goes on behind the last of all records. */
static void take_over(struct world *w, struct runtime *rt)
{
	uint64_t cq_seq = 0;
	bool signal = false;
	uint32_t k, n = 0;

	for (k = 0; k < w->nr_sqs; k++) {
		recover(w, &rt->q[k], k);
		if (rt->q[k].rec.cq_seq > cq_seq &&
		    !(k && LEAP_PLANT(RECORD_CQ_BEHIND)))
			cq_seq = rt->q[k].rec.cq_seq;
		signal |= rt->q[k].rec.signal;
	}
	explore_check(leap__cqp_restore(&rt->cqp, cq_seq,
		leap__le32_to_cpu(leap__load_acquire(&w->db[NR_SQS]))) == 0);
	for (k = 0; k < w->nr_sqs; k++)
		explore_check(leap__slots_repost(&rt->q[k].slots,
				&rt->q[k].rec, &rt->q[k].sqc, &rt->cqp) >= 0);
	if (signal)
		leap__eventfd_signal(IRQ_FD);
	for (k = 0; k < w->nr_sqs; k++)
		n += redrive(w, rt, &rt->q[k]);
	if (n)
		leap__eventfd_signal(IRQ_FD);
	serve(w, rt);
}

/* Threads: 0 host, 1 first runtime, 2 and 3 successors. */
static void runtime0(void *arg)
{
	struct world *w = arg;

	uint32_t k;

	for (k = 0; k < w->nr_sqs; k++)
		explore_check(leap__slots_attach(&w->rt[0].q[k].slots,
						 &w->where[k]) == 0);
	serve(w, &w->rt[0]);
}

static void runtime1(void *arg)
{
	struct world *w = arg;

	if (explore_join(1))
		take_over(w, &w->rt[1]);
}

static void runtime2(void *arg)
{
	struct world *w = arg;

	if (explore_join(2))
		take_over(w, &w->rt[2]);
}

/* ---- models ---- */

static void final(void *arg, unsigned int stuck)
{
	struct world *w = arg;
	uint32_t n;

	if (stuck) {
		explore_fail("somebody waits for ever");
		return;
	}
	for (n = 0; n < w->nr_cmds; n++) {
		explore_check(w->answers[n] == 1);
		explore_check(w->medium[n] <= 1);
		if (n & 1 && !w->status[n])
			explore_check(w->medium[n] == 1);
		/* Only what may not run twice may fail. */
		if (!(n & 1))
			explore_check(!w->status[n]);
	}
	/* Nothing more in the ring than the host took. */
	explore_check(!leap__cqc_ready(&w->cqc));
}

static void setup_queue(struct world *w, uint32_t k)
{
	struct leap_record_opts o = LEAP_RECORD_OPTS_INIT;
	struct leap__ring_opts sq = ring_opts(w, w->sq[k], k);

	o.nr_slots = NR_SLOTS;
	o.sq_size = o.cq_size = w->ring_size;
	o.sqid = (uint16_t)(SQID + k);
	o.cqid = SQID;
	leap_record_format(w->record[k], sizeof(w->record[k]), &o);
	w->where[k] = (struct leap__record_where) {
		.mem = w->record[k], .bytes = sizeof(w->record[k]),
		.sq_size = w->ring_size, .cq_size = w->ring_size,
		.sqid = o.sqid, .cqid = SQID,
		.window = w->window,
	};
	leap__sqp_init(&w->sqp[k], &sq);
}

static void setup(struct world *w, uint32_t nr_cmds, uint32_t ring_size,
		  bool window, uint32_t nr_sqs)
{
	struct leap__ring_opts cq;
	uint32_t i;

	w->nr_cmds = nr_cmds;
	w->ring_size = ring_size;
	w->window = window;
	w->nr_sqs = nr_sqs;
	for (i = 0; i < nr_sqs; i++)
		setup_queue(w, i);
	cq = ring_opts(w, w->cq, NR_SQS);
	leap__cqc_init(&w->cqc, &cq);
	for (i = 0; i < NR_RUNTIMES; i++)
		fresh_runtime(w, &w->rt[i]);
	host_submit(w);
}

static void setup_wrap(void *arg)
{
	setup(arg, 3, 2, false, 1);
}

static void setup_two(void *arg)
{
	setup(arg, 2, 3, false, 1);
}

static void setup_window(void *arg)
{
	setup(arg, 2, 3, true, 1);
}

static void setup_window_wrap(void *arg)
{
	setup(arg, 2, 2, true, 1);
}

static void setup_shared(void *arg)
{
	setup(arg, 2, 3, false, 2);
}

static void setup_shared_wrap(void *arg)
{
	setup(arg, 3, 2, false, 2);
}

#define QUIET \
	.quiet = world.record, .quiet_bytes = offsetof(struct world, db) - \
					       offsetof(struct world, record)

static const struct explore_model wrap = {
	.name = "record-wrap", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_wrap,
	.thread = { host, runtime0, runtime1 }, .final = final,
	.killable = 1u << 1, QUIET,
};

static const struct explore_model two = {
	.name = "record-two", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_two,
	.thread = { host, runtime0, runtime1 }, .final = final,
	.killable = 1u << 1, QUIET,
};

static const struct explore_model twice = {
	.name = "record-killed-twice", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_two,
	.thread = { host, runtime0, runtime1, runtime2 }, .final = final,
	.killable = 1u << 1 | 1u << 2, QUIET,
	.strong = 1u << 0 | 1u << 3,
};

static const struct explore_model window = {
	.name = "record-window", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_window,
	.thread = { host, runtime0, runtime1 }, .final = final,
	.killable = 1u << 1, .kill_loses_stores = true, .buffer = 4,
	.strong = 1u << 0 | 1u << 2,
};

static const struct explore_model window_wrap = {
	.name = "record-window-wrap", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_window_wrap,
	.thread = { host, runtime0, runtime1, runtime2 }, .final = final,
	.killable = 1u << 1, .kill_loses_stores = true, .buffer = 4,
	.strong = 1u << 0 | 1u << 2,
};

static const struct explore_model shared = {
	.name = "record-shared-cq", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_shared,
	.thread = { host, runtime0, runtime1 }, .final = final,
	.killable = 1u << 1, QUIET,
};

static const struct explore_model shared_wrap = {
	.name = "record-shared-cq-wrap", .world = &world,
	.world_bytes = sizeof(world), .setup = setup_shared_wrap,
	.thread = { host, runtime0, runtime1, runtime2 }, .final = final,
	.killable = 1u << 1 | 1u << 2, QUIET,
	.strong = 1u << 0 | 1u << 3,
};

static const struct explore_case cases[] = {
	{ &wrap, { LEAP_PLANT_RECORD_EARLY_FREE,
		   LEAP_PLANT_RECORD_LIVE_ONLY, LEAP_PLANT_MISSING_SIGNAL } },
	{ &two, { LEAP_PLANT_RECORD_EARLY_FREE,
		    LEAP_PLANT_RECORD_NO_COMPLETING,
		    LEAP_PLANT_RECORD_REWRITES_CQE,
		    LEAP_PLANT_RECORD_REDRIVES_VISIBLE,
		    LEAP_PLANT_MISSING_SIGNAL } },
	{ &twice, { LEAP_PLANT_RECORD_EARLY_FREE,
		    LEAP_PLANT_RECORD_NO_COMPLETING } },
	{ &window, { LEAP_PLANT_RECORD_LATE_STATE,
		     LEAP_PLANT_RECORD_ISSUED_LATE,
		     LEAP_PLANT_RECORD_STEPS_OVERTAKE,
		     LEAP_PLANT_RECORD_EARLY_FREE } },
	{ &window_wrap, { LEAP_PLANT_NONE } },
	{ &shared, { LEAP_PLANT_RECORD_EARLY_FREE,
		     LEAP_PLANT_RECORD_NO_COMPLETING,
		     LEAP_PLANT_RECORD_REDRIVES_VISIBLE,
		     LEAP_PLANT_RECORD_CQ_BEHIND,
		     LEAP_PLANT_MISSING_SIGNAL } },
	{ &shared_wrap, { LEAP_PLANT_RECORD_LIVE_ONLY } },
};

int main(int argc, char **argv)
{
	return explore_main(argc, argv, cases,
			    sizeof(cases) / sizeof(cases[0]));
}
