/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * After a connection is lost, nothing of it may land over what its host writes
 * later: the old write is in the disk's queue, or not even read from the socket
 * of the dead connection, when the host comes back. Also what a held command
 * owes: an end, when it is aborted; and that silent hosts are let go.
 */
#include "sim-test.h"

#include "core/io/host.h"
#include "core/io/pollgroup.h"

#include <string.h>

static struct world *one_disk(uint64_t seed, uint32_t what)
{
	struct world *w = world_new(seed, what);

	world_ns(w, 1, leap_sim_below(w->sim, 2) ? "file:d0" :
		 "trace -> file:d0", "d0");
	return w;
}

/* The disk takes its time with what it gets now. */
static void disk_slow(struct world *w)
{
	leap_sim_disk_latency(w->sim, "d0", 200 * MS, 220 * MS);
}

static void disk_fast(struct world *w)
{
	leap_sim_disk_latency(w->sim, "d0", 0, 0);
}

/* Overlaps the blocks @at of the old write, somehow. */
static void overwrite(struct op *op, uint32_t at, uint32_t nr)
{
	struct leap_sim *sim = op->h->w->sim;
	uint32_t first = at + leap_sim_below(sim, nr);

	op_write(op, 1, first, 1 + leap_sim_below(sim, 8),
		 leap_sim_below(sim, 2));
	op_sync(op);
}

static void lose(struct world *w)
{
	switch (leap_sim_below(w->sim, 3)) {
	case 0:
		world_kill_host(w, 0);
		return;
	case 1:
		leap_sim_net_reset(w->sim, TARGET, HOST(0));
		break;
	default:
		load_reset_controller(&w->hosts[0]);
		world_run(w, op_is_done, &w->hosts[0].admin, SECOND,
			  "CC.EN is cleared");
	}
	world_pass(w, 2 * MS);
	world_wait_live(w, 0);
}

static uint64_t in_disk(uint64_t seed)
{
	struct world *w = one_disk(seed, W_ALL);
	uint32_t at = leap_sim_below(w->sim, 100);
	uint32_t nr = 1 + leap_sim_below(w->sim, 40);

	world_start_target(w, 1 + leap_sim_below(w->sim, 2));
	world_start_host(w, 0, 1 + leap_sim_below(w->sim, 3));
	disk_slow(w);
	op_write(&w->hosts[0].ops[0], 1, at, nr, false);
	op_send(&w->hosts[0].ops[0]);
	world_pass(w, 2 * MS);
	disk_fast(w);
	lose(w);
	/* A host that lived on sends it again; then it writes anew. */
	world_run(w, op_is_done, &w->hosts[0].ops[0], 20 * SECOND,
		  "the write that was sent again ends");
	overwrite(&w->hosts[0].ops[1], at, nr);
	overwrite(&w->hosts[0].ops[2], at, nr);
	world_pass(w, SECOND);
	load_check_all(w);
	return world_end(w);
}

/* ---- not read from the socket yet ---------------------------------------- */

#define THREAD2 9	/* the second poll group's: stops by itself */
#define BUSY_QUEUES 6

static bool has_message(void *arg)
{
	struct world *w = arg;

	return !leap__msgq_empty(&w->tpg[1]->msgq);
}

static bool is_live_or_message(void *arg)
{
	struct world *w = arg;

	return w->hosts[0].state == LEAP_HOST_LIVE || has_message(arg);
}

/*
 * The second thread runs only to answer messages of the first, and comes to
 * other connections before it comes to the dead one.
 */
static void come_back_slowly(struct world *w)
{
	/* Nor does the home of the controller know that its host is gone. */
	leap_sim_net_hold_first(w->sim, HOST(0), TARGET);
	leap_sim_kill(w->sim, HOST(0));
	world_pass(w, MS);
	world_forget_host(w, 0);
	world_connect_host(w, 0, 1);
	while (world_run(w, is_live_or_message, w, 20 * SECOND,
			 "the host comes back") &&
	       w->hosts[0].state != LEAP_HOST_LIVE) {
		world_note(w, "the second thread takes a message");
		leap_pollgroup_poll(w->tpg[1], 1);
	}
}

static uint64_t in_socket(uint64_t seed)
{
	struct world *w = one_disk(seed, W_ALL);
	uint32_t at = leap_sim_below(w->sim, 100), i;
	uint32_t nr = 1 + leap_sim_below(w->sim, 10);

	w->second_process = THREAD2;
	world_start_target(w, 2);
	world_start_host(w, 0, 1);
	world_start_host(w, 1, BUSY_QUEUES);
	world_pass(w, MS);
	leap_sim_stop(w->sim, THREAD2);
	op_write(&w->hosts[0].ops[0], 1, at, nr, false);
	op_send(&w->hosts[0].ops[0]);
	for (i = 0; i < BUSY_QUEUES; i++) {
		struct op *op = &w->hosts[1].ops[i];

		op->queue = i + 1;
		op_read(op, 1, 200, 4);
		op_send(op);
	}
	world_pass(w, MS);
	come_back_slowly(w);
	overwrite(&w->hosts[0].ops[1], at, nr);
	leap_sim_continue(w->sim, THREAD2);
	world_pass(w, MS);
	leap_sim_net_release(w->sim, HOST(0), TARGET);
	world_pass(w, SECOND);
	load_check_all(w);
	return world_end(w);
}

/* ---- a held command is aborted ------------------------------------------- */

static uint64_t held_abort(uint64_t seed)
{
	struct world *w = one_disk(seed, W_ALL);
	struct host *h = &w->hosts[0];
	struct op *op;

	world_start_target(w, 1 + leap_sim_below(w->sim, 2));
	world_start_host(w, 0, 1);
	op = &h->ops[1];
	disk_slow(w);
	op_write(&h->ops[0], 1, 10, 4, false);
	op_send(&h->ops[0]);
	world_pass(w, 2 * MS);
	leap_sim_net_reset(w->sim, TARGET, HOST(0));
	world_pass(w, 2 * MS);
	world_wait_live(w, 0);
	op_write(op, 1, 12, 4, false);
	op_send(op);
	world_pass(w, 2 * MS);
	if (!op->busy)
		world_fail(w, "a write over one that is in the disk was not "
			   "held back");
	if (!w->failed[0])
		load_abort(h, op);
	world_run(w, op_is_done, op, SECOND / 20, "an aborted command ends");
	if (!w->failed[0] &&
	    LEAP_STATUS_CODE(op->status) != LEAP_SC_ABORT_REQUESTED)
		world_fail(w, "an aborted command ended with %#x", op->status);
	world_run(w, op_is_done, &h->ops[0], 20 * SECOND, "the write ends");
	load_check_all(w);
	return world_end(w);
}

/* ---- silent hosts -------------------------------------------------------- */

static bool nobody_there(void *arg)
{
	struct leap_target_stats ts = { sizeof(ts) };
	struct world *w = arg;

	leap_target_stats(w->target, &ts);
	return !ts.connections;
}

static uint64_t silent(uint64_t seed)
{
	struct leap_target_stats ts = { sizeof(ts) };
	struct world *w = one_disk(seed, W_ALL);
	struct host *h = &w->hosts[0];

	world_start_target(w, 1 + leap_sim_below(w->sim, 2));
	world_start_host(w, 0, 1 + leap_sim_below(w->sim, 4));
	op_write(&h->ops[0], 1, 10, 128, false);
	op_send(&h->ops[0]);
	world_pass(w, leap_sim_below(w->sim, 1000) * 1000);
	leap_sim_net_hold(w->sim, HOST(0), TARGET);
	if (leap_sim_below(w->sim, 2))
		leap_sim_net_hold(w->sim, TARGET, HOST(0));
	leap_sim_kill(w->sim, HOST(0));
	world_forget_host(w, 0);
	w->nr_hosts = 0;
	world_run(w, nobody_there, w, 10 * SECOND,
		  "a host that fell silent is let go");
	leap_target_stats(w->target, &ts);
	if (!ts.keep_alive_expired)
		world_fail(w, "keep alive did not expire");
	leap_sim_net_release(w->sim, HOST(0), TARGET);
	leap_sim_net_release(w->sim, TARGET, HOST(0));
	if (!w->failed[0])
		world_start_host(w, 0, 1);
	if (!w->failed[0])
		load_check_all(w);
	return world_end(w);
}

const struct sim_case late_cases[] = {
	{ "old write in the disk", in_disk, 150,
	  { "LATE_WRITE_RECONNECT", "ORPHAN_FORGOTTEN" } },
	{ "old write in the socket", in_socket, 100, { "UNREAD_RECONNECT" } },
	{ "held command aborted", held_abort, 100, { "LOST_ABORT" } },
	{ "silent host", silent, 100, { "KEEP_ALIVE_NEVER" } },
	{ NULL, NULL, 0, { NULL } },
};
