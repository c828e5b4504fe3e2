/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings under the explorer: a host and a controller move commands through
 * rings so small that every few commands are a wrap and a full ring, first
 * polling, then sleeping with EventIdx on both rings.
 */
#include "core/io/ring.h"
#include "explore.h"

#define KICK_SQ	0	/* fake eventfd the controller sleeps on */

struct world {
	_Alignas(64) uint64_t sq[4][8];
	_Alignas(64) struct leap__cqe_wire cq[4];
	leap_le32 db[4];
	uint32_t nr_cmds;
	struct leap__sqp sqp;
	struct leap__cqc cqc;
	struct leap__sqc sqc;
	struct leap__cqp cqp;
	uint32_t submitted, completed;	/* the host's */
	uint32_t taken, posted;		/* the controller's */
};

static struct world world;

enum sleeps { POLLS, SQ_EVENTIDX, BOTH_EVENTIDX };

static void build(struct world *w, uint32_t sq_size, uint32_t cq_size,
		  uint32_t nr_cmds, enum sleeps how)
{
	struct leap__ring_opts sq = {
		.entries = w->sq, .size = sq_size, .doorbell = &w->db[0],
		.eventidx = how ? &w->db[2] : NULL,
	};
	struct leap__ring_opts cq = {
		.entries = w->cq, .size = cq_size, .doorbell = &w->db[1],
		.eventidx = how == BOTH_EVENTIDX ? &w->db[3] : NULL,
	};

	w->nr_cmds = nr_cmds;
	leap__sqp_init(&w->sqp, &sq);
	leap__cqc_init(&w->cqc, &cq);
	leap__sqc_init(&w->sqc, &sq);
	leap__cqp_init(&w->cqp, &cq);
	/* As Doorbell Buffer Config does it. */
	if (how)
		leap__sqc_shadow(&w->sqc, &w->db[0], &w->db[2]);
	if (how == BOTH_EVENTIDX)
		leap__cqp_shadow(&w->cqp, &w->db[1], &w->db[3]);
}

static void kick(void)
{
	leap__eventfd_signal(KICK_SQ);
}

/* ---- host ---------------------------------------------------------------- */

static bool host_submit(struct world *w)
{
	uint64_t sqe[8] = { 0 };
	bool any = false;

	while (w->submitted < w->nr_cmds) {
		/* Both halves of the copy say which command it is. */
		sqe[0] = w->submitted + 1;
		sqe[7] = ~(uint64_t)(w->submitted + 1);
		if (leap__sqp_push(&w->sqp, sqe) < 0)
			break;
		w->submitted++;
		any = true;
	}
	if (any && leap__sqp_ring(&w->sqp) && w->sqp.eventidx)
		kick();
	return any;
}

static bool host_reap(struct world *w)
{
	struct leap__cqe cqe;
	bool any = false;

	while (leap__cqc_next(&w->cqc, &cqe)) {
		explore_check(w->completed < w->submitted);
		explore_check(cqe.dw0 == w->completed + 1);
		explore_check(cqe.dw1 == ~cqe.dw0);
		explore_check(cqe.cid == (uint16_t)(cqe.dw0 * 3));
		explore_check(leap__sqp_head(&w->sqp, cqe.sqhd) == 0);
		w->completed++;
		any = true;
	}
	if (any && leap__cqc_ring(&w->cqc) && w->cqc.eventidx)
		kick();
	return any;
}

static void host(void *arg)
{
	struct world *w = arg;

	while (w->completed < w->nr_cmds) {
		bool any = host_submit(w);

		any |= host_reap(w);
		if (!any)
			explore_await();
	}
}

/* ---- controller ---------------------------------------------------------- */

/* One turn of a controller that takes and completes one by one. */
static bool serve(struct world *w)
{
	bool any = false;
	int n = leap__sqc_poll(&w->sqc);

	explore_check(n >= 0);
	while (n--) {
		struct leap__cqe cqe = { .sqid = 1 };
		uint64_t sqe[8];

		explore_check(leap__cqp_space(&w->cqp) >= 0);
		if (!leap__cqp_room(&w->cqp))
			break;
		explore_check(leap__sqc_take(&w->sqc, sqe) == w->taken);
		w->taken++;
		explore_check(sqe[0] == w->taken);
		explore_check(sqe[7] == ~(uint64_t)w->taken);
		cqe.dw0 = w->taken;
		cqe.dw1 = ~w->taken;
		cqe.cid = (uint16_t)(w->taken * 3);
		cqe.sqhd = leap__sqc_sqhd(&w->sqc);
		leap__cqp_post(&w->cqp, &cqe);
		w->posted++;
		any = true;
	}
	return any;
}

static void controller_polls(void *arg)
{
	struct world *w = arg;

	while (w->posted < w->nr_cmds)
		if (!serve(w))
			explore_await();
}

static void controller_sleeps(void *arg)
{
	struct world *w = arg;

	leap__sqc_disarm(&w->sqc);
	leap__cqp_disarm(&w->cqp);
	while (w->posted < w->nr_cmds) {
		int sq, cq;

		if (serve(w))
			continue;
		/* Blocked on a full CQ, new commands are no help. */
		cq = leap__cqp_room(&w->cqp) ? 0 : leap__cqp_arm(&w->cqp);
		explore_check(cq >= 0);
		sq = leap__cqp_room(&w->cqp) ? leap__sqc_arm(&w->sqc) : 0;
		explore_check(sq >= 0);
		if (!sq && !cq)
			explore_wait(KICK_SQ);
		if (leap__cqp_room(&w->cqp))
			leap__sqc_disarm(&w->sqc);
		else
			leap__cqp_disarm(&w->cqp);
	}
}

/* ---- models ---- */

static void final(void *arg, unsigned int stuck)
{
	struct world *w = arg;

	if (stuck)
		explore_fail("a thread waits for ever with work pending");
	else if (w->completed != w->nr_cmds || w->posted != w->nr_cmds)
		explore_fail("not every command completed once");
}

static void setup_small(void *arg)
{
	build(arg, 2, 2, 5, POLLS);
}

static void setup_batch(void *arg)
{
	build(arg, 3, 2, 4, POLLS);
}

static void setup_eventidx(void *arg)
{
	build(arg, 2, 2, 2, BOTH_EVENTIDX);
}

static void setup_eventidx_batch(void *arg)
{
	build(arg, 3, 3, 2, SQ_EVENTIDX);
}

static const struct explore_model small = {
	.name = "ring-2-2", .world = &world, .world_bytes = sizeof(world),
	.setup = setup_small, .thread = { host, controller_polls },
	.final = final,
};

static const struct explore_model batch = {
	.name = "ring-3-2", .world = &world, .world_bytes = sizeof(world),
	.setup = setup_batch, .thread = { host, controller_polls },
	.final = final,
};

static const struct explore_model eventidx = {
	.name = "eventidx-2-2", .world = &world, .world_bytes = sizeof(world),
	.setup = setup_eventidx, .thread = { host, controller_sleeps },
	.final = final,
};

static const struct explore_model eventidx_batch = {
	.name = "eventidx-3-3", .world = &world, .world_bytes = sizeof(world),
	.setup = setup_eventidx_batch, .thread = { host, controller_sleeps },
	.final = final,
};

static const struct explore_case cases[] = {
	{ &small, { LEAP_PLANT_MISSING_RELEASE_SQ,
		    LEAP_PLANT_MISSING_ACQUIRE_SQ,
		    LEAP_PLANT_MISSING_RELEASE_CQE,
		    LEAP_PLANT_MISSING_ACQUIRE_CQE,
		    LEAP_PLANT_PHASE_OFF_BY_ONE } },
	{ &batch, { LEAP_PLANT_CQ_FULL_IGNORED,
		    LEAP_PLANT_EARLY_SLOT_FREE } },
	{ &eventidx, { LEAP_PLANT_EVENTIDX_NO_REREAD,
		       LEAP_PLANT_EVENTIDX_NO_FENCE,
		       LEAP_PLANT_DOORBELL_NO_FENCE } },
	{ &eventidx_batch, { LEAP_PLANT_NONE } },
};

int main(int argc, char **argv)
{
	return explore_main(argc, argv, cases,
			    sizeof(cases) / sizeof(cases[0]));
}
