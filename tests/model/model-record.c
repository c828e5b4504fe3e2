/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight record under the explorer: a runtime that serves a queue is
 * killed between any two accesses, successors take over (and are killed while
 * they do), and the host must find every command completed exactly once, its
 * data there, nothing that may not run twice done twice, and no interrupt
 * missing.  Once on one machine, where a dead process's stores still become
 * visible, and once across a window, where those in flight are lost.
 */
#include "core/io/record.h"
#include "explore.h"

#define IRQ_FD		2
#define CMDS_MAX	3
#define NR_SLOTS	2
#define NR_RUNTIMES	3
#define RING_MAX	3

/* Bit in a command that makes it one that may not run twice. */
#define ONCE		0x100u
#define STATUS_FAILED	0x4006u		/* do not retry, internal error */

/* What a runtime knows, lost when it dies. */
struct runtime {
	struct leap__slots slots;
	struct leap__slot slot[NR_SLOTS];
	uint16_t free[NR_SLOTS];
	struct leap__sqc sqc;
	struct leap__cqp cqp;
	struct leap__redo redo[NR_SLOTS];
	struct leap__recovery rec;
	uint64_t sqe[NR_SLOTS][8];
};

struct world {
	_Alignas(64) uint64_t sq[RING_MAX][8];
	_Alignas(64) struct leap__cqe_wire cq[RING_MAX];
	_Alignas(64) uint8_t record[LEAP_RECORD_HEADER_BYTES +
				    NR_SLOTS * LEAP_RECORD_SLOT_BYTES];
	/* Record and medium: for runtimes only, one after the other. */
	uint32_t medium[CMDS_MAX];	/* times that a ONCE command ran */
	leap_le32 db[2];
	uint32_t data[CMDS_MAX];	/* guest memory that commands fill */
	uint32_t nr_cmds, ring_size;
	bool window;
	struct leap__record_where where;
	struct runtime rt[NR_RUNTIMES];
	/* the host's */
	struct leap__sqp sqp;
	struct leap__cqc cqc;
	uint32_t submitted, completed;
	uint32_t answers[CMDS_MAX];
	uint16_t status[CMDS_MAX];
};

static struct world world;

static struct leap__ring_opts ring_opts(struct world *w, bool sq)
{
	return (struct leap__ring_opts) {
		.entries = sq ? (void *)w->sq : (void *)w->cq,
		.size = w->ring_size,
		.doorbell = &w->db[sq ? 0 : 1],
		.window = w->window,
	};
}

/* As leap__slots_init, in memory that the explorer saves and restores. */
static void fresh_runtime(struct world *w, struct runtime *rt)
{
	struct leap__ring_opts sq = ring_opts(w, true);
	struct leap__ring_opts cq = ring_opts(w, false);
	uint32_t i;

	leap__sqc_init(&rt->sqc, &sq);
	leap__cqp_init(&rt->cqp, &cq);
	rt->slots = (struct leap__slots) {
		.slot = rt->slot, .free = rt->free, .nr = NR_SLOTS,
		.nr_free = NR_SLOTS,
	};
	for (i = 0; i < NR_SLOTS; i++)
		rt->free[i] = (uint16_t)(NR_SLOTS - 1 - i);
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
		explore_check(cqe.sqid == 7);
		explore_check(cqe.status == 0 || cqe.status == STATUS_FAILED);
		w->status[n] = cqe.status;
		/* A good answer means that the data is there. */
		if (!cqe.status) {
			explore_check(cqe.dw0 == 50 + n);
			explore_check(leap__load_relaxed(&w->data[n]) ==
				      50 + n);
		}
		explore_check(leap__sqp_head(&w->sqp, cqe.sqhd) == 0);
		w->completed++;
	}
	leap__cqc_ring(&w->cqc);
}

static void host_submit(struct world *w)
{
	while (w->submitted < w->nr_cmds) {
		/* The CID in bytes 2 and 3; odd ones run once only. */
		uint64_t sqe[8] = {
			[0] = (uint64_t)w->submitted << 16,
			[7] = w->submitted | (w->submitted & 1 ? ONCE : 0),
		};

		if (leap__sqp_push(&w->sqp, sqe) < 0)
			break;
		w->submitted++;
	}
	leap__sqp_ring(&w->sqp);
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

/* What the command does: fills memory, or changes the medium as well. */
static void act(struct world *w, uint64_t cmd)
{
	uint32_t n = (uint32_t)cmd & 0xff;

	explore_check(n < w->nr_cmds);
	if (cmd & ONCE)
		leap__store_relaxed(&w->medium[n],
				    leap__load_relaxed(&w->medium[n]) + 1);
	leap__store_relaxed(&w->data[n], 50 + n);
}

static void finish(struct runtime *rt, uint16_t tag, uint64_t cmd,
		   uint16_t status)
{
	uint32_t n = (uint32_t)cmd & 0xff;
	struct leap__cqe cqe = {
		.dw0 = 50 + n, .sqid = 7, .cid = (uint16_t)n,
		.sqhd = leap__sqc_sqhd(&rt->sqc), .status = status,
	};

	explore_check(leap__cqp_space(&rt->cqp) >= 0);
	while (leap__slot_complete(&rt->slots, tag, &rt->cqp, &cqe) < 0) {
		explore_await();
		explore_check(leap__cqp_space(&rt->cqp) >= 0);
	}
}

/* Fetches all there is room for, runs it, completes the newest first. */
static void serve(struct world *w, struct runtime *rt)
{
	uint16_t tags[NR_SLOTS];
	int nr, tag;

	while (rt->sqc.seq < w->nr_cmds) {
		int n = leap__sqc_poll(&rt->sqc);

		explore_check(n >= 0);
		for (nr = 0; nr < n && rt->slots.nr_free; nr++) {
			tag = leap__slot_fetch(&rt->slots, &rt->sqc,
					       rt->sqe[nr]);
			explore_check(tag >= 0 && tag < NR_SLOTS);
			tags[nr] = (uint16_t)tag;
			explore_check(leap__slot_issue(&rt->slots,
						       tags[nr]) == 0);
			act(w, rt->sqe[nr][7]);
		}
		if (!nr) {
			explore_await();
			continue;
		}
		while (nr--)
			finish(rt, tags[nr], rt->sqe[nr][7], 0);
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

static void take_over(struct world *w, struct runtime *rt)
{
	uint32_t i;

	rt->rec = (struct leap__recovery) {
		.cqes = w->cq, .may_rerun = may_rerun, .redo = rt->redo,
	};
	explore_check(leap__slots_recover(&rt->slots, &w->where,
					  &rt->rec) == 0);
	leap__sqc_restore(&rt->sqc, rt->rec.sq_seq);
	explore_check(leap__cqp_restore(&rt->cqp, rt->rec.cq_seq,
		leap__le32_to_cpu(leap__load_acquire(&w->db[1]))) == 0);
	explore_check(leap__slots_repost(&rt->slots, &rt->rec, &rt->sqc,
					 &rt->cqp) >= 0);
	if (rt->rec.signal)
		leap__eventfd_signal(IRQ_FD);
	for (i = 0; i < rt->rec.nr; i++) {
		struct leap__redo *r = &rt->redo[i];
		uint64_t cmd = leap__get_le64(r->sqe + 56);

		if (r->act == LEAP__REDO_FAIL) {
			finish(rt, r->tag, cmd, STATUS_FAILED);
			continue;
		}
		explore_check(leap__slot_issue(&rt->slots, r->tag) == 0);
		act(w, cmd);
		finish(rt, r->tag, cmd, 0);
	}
	if (i)
		leap__eventfd_signal(IRQ_FD);
	serve(w, rt);
}

/* Threads: 0 host, 1 first runtime, 2 and 3 successors. */
static void runtime0(void *arg)
{
	struct world *w = arg;

	explore_check(leap__slots_attach(&w->rt[0].slots, &w->where) == 0);
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

/* ---- models --------------------------------------------------------------- */

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

static void setup(struct world *w, uint32_t nr_cmds, uint32_t ring_size,
		  bool window)
{
	struct leap_record_opts o = LEAP_RECORD_OPTS_INIT;
	struct leap__ring_opts sq, cq;
	int i;

	w->nr_cmds = nr_cmds;
	w->ring_size = ring_size;
	w->window = window;
	o.nr_slots = NR_SLOTS;
	o.sq_size = o.cq_size = w->ring_size;
	o.sqid = 7;
	o.cqid = 7;
	leap_record_format(w->record, sizeof(w->record), &o);
	w->where = (struct leap__record_where) {
		.mem = w->record, .bytes = sizeof(w->record),
		.sq_size = w->ring_size, .cq_size = w->ring_size,
		.sqid = 7, .cqid = 7,
		.window = window,
	};
	sq = ring_opts(w, true);
	cq = ring_opts(w, false);
	leap__sqp_init(&w->sqp, &sq);
	leap__cqc_init(&w->cqc, &cq);
	for (i = 0; i < NR_RUNTIMES; i++)
		fresh_runtime(w, &w->rt[i]);
	host_submit(w);
}

static void setup_wrap(void *arg)
{
	setup(arg, 3, 2, false);
}

static void setup_two(void *arg)
{
	setup(arg, 2, 3, false);
}

static void setup_window(void *arg)
{
	setup(arg, 2, 3, true);
}

static void setup_window_wrap(void *arg)
{
	setup(arg, 2, 2, true);
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

static const struct explore_case cases[] = {
	{ &wrap, { LEAP_PLANT_RECORD_EARLY_FREE,
		   LEAP_PLANT_RECORD_LIVE_ONLY, LEAP_PLANT_MISSING_SIGNAL } },
	{ &two, { LEAP_PLANT_RECORD_EARLY_FREE,
		    LEAP_PLANT_RECORD_NO_COMPLETING,
		    LEAP_PLANT_RECORD_REWRITES_CQE,
		    LEAP_PLANT_MISSING_SIGNAL } },
	{ &twice, { LEAP_PLANT_RECORD_EARLY_FREE,
		    LEAP_PLANT_RECORD_NO_COMPLETING } },
	{ &window, { LEAP_PLANT_RECORD_LATE_STATE,
		     LEAP_PLANT_RECORD_ISSUED_LATE,
		     LEAP_PLANT_RECORD_STEPS_OVERTAKE,
		     LEAP_PLANT_RECORD_EARLY_FREE } },
	{ &window_wrap, { LEAP_PLANT_NONE } },
};

int main(int argc, char **argv)
{
	return explore_main(argc, argv, cases,
			    sizeof(cases) / sizeof(cases[0]));
}
