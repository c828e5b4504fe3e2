/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * FLUSH and FUA reach the medium before they are answered: counted at the disk,
 * and by power cuts, which a kill alone would not show.
 */
#include "sim-test.h"

#include <errno.h>

static struct world *begin(uint64_t seed, uint32_t what)
{
	struct world *w = world_new(seed, what);

	world_ns(w, 1, leap_sim_below(w->sim, 2) ? "file:d0" :
		 "trace -> delay[write_us=20,flush_us=30] -> file:d0", "d0");
	world_start_target(w, 1 + leap_sim_below(w->sim, 2));
	world_start_host(w, 0, 1 + leap_sim_below(w->sim, 2));
	return w;
}

static void write_some(struct world *w, bool fua)
{
	uint32_t nr = 1 + leap_sim_below(w->sim, 40);

	op_write(&w->hosts[0].ops[0], 1,
		 leap_sim_below(w->sim, MODEL_BLOCKS - nr), nr, fua);
	op_sync(&w->hosts[0].ops[0]);
}

/* What the disk was asked for between two looks. */
static void expect(struct world *w, struct leap_sim_disk_counts *last,
		   bool durable, bool flush, const char *what)
{
	struct leap_sim_disk_counts now;
	uint64_t fuas, flushes;

	leap_sim_disk_count(w->sim, "d0", &now);
	fuas = now.fuas - last->fuas;
	flushes = now.flushes - last->flushes;
	*last = now;
	if (flush && !flushes)
		world_fail(w, "%s was answered before a flush", what);
	else if (durable && !fuas && !flushes)
		world_fail(w, "%s was answered before it was durable", what);
	else if (!durable && !flush && (fuas || flushes))
		world_fail(w, "%s flushed the disk for nothing", what);
}

static void set_cache(struct world *w, uint32_t on)
{
	struct op *op = &w->hosts[0].admin;

	op_admin(op, LEAP_ADM_SET_FEATURES, 0x06, on);
	op_sync(op);
	if (op->status)
		world_fail(w, "Set Features ended with %#x", op->status);
}

static uint64_t counted(uint64_t seed)
{
	struct world *w = begin(seed, 0);
	struct op *op = &w->hosts[0].ops[0];
	struct leap_sim_disk_counts last = { 0 };
	uint32_t i;

	leap_sim_disk_count(w->sim, "d0", &last);
	for (i = 0; i < 10 && !w->failed[0]; i++) {
		write_some(w, false);
		expect(w, &last, false, false, "a write");
		write_some(w, true);
		expect(w, &last, true, false, "a FUA write");
		op_flush(op, 1);
		op_sync(op);
		expect(w, &last, false, true, "a FLUSH");
		op_zeroes(op, 1, 3 * i, 5);
		op_sync(op);
		expect(w, &last, op->fua, false, "a Write Zeroes");
	}
	set_cache(w, 0);
	write_some(w, false);
	expect(w, &last, true, false, "a write without write cache");
	set_cache(w, 1);
	leap_sim_disk_count(w->sim, "d0", &last);
	write_some(w, false);
	expect(w, &last, false, false, "a write with write cache");
	load_check_all(w);
	return world_end(w);
}

static uint64_t cut(uint64_t seed)
{
	struct world *w = begin(seed, W_ALL);
	struct op *op = &w->hosts[0].ops[0];
	uint32_t i, k;

	for (i = 0; i < 4 && !w->failed[0]; i++) {
		for (k = 0; k < 12 && !w->failed[0]; k++)
			write_some(w, leap_sim_below(w->sim, 2));
		if (leap_sim_below(w->sim, 2)) {
			op_flush(op, 1);
			op_sync(op);
		}
		for (k = leap_sim_below(w->sim, 3); k; k--)
			write_some(w, false);
		if (w->failed[0])
			break;
		world_cut_power(w);
		world_pass(w, 2 * MS);
		world_wait_live(w, 0);
		op->final = false;
		load_check_all(w);
	}
	return world_end(w);
}

/* A flush has failed: what it was for may be gone, and no later one is true. */
static uint64_t latched(uint64_t seed)
{
	struct world *w = begin(seed, W_ALL | W_DISK | W_FLUSH_FAIL);
	struct op *op = &w->hosts[0].ops[0];
	uint32_t i;

	write_some(w, false);
	leap_sim_disk_fail(w->sim, "d0", LEAP_SIM_FLUSHES, -EIO, 1000, 1);
	for (i = 0; i < 3 && !w->failed[0]; i++) {
		op_flush(op, 1);
		op_sync(op);
		if (!op->status)
			world_fail(w, "FLUSH %u after a failed one says that "
				   "all is well", i);
	}
	write_some(w, true);
	if (!op->status)
		world_fail(w, "FUA after a failed FLUSH says that all is well");
	if (!w->failed[0])
		world_kill_target(w);
	world_pass(w, 2 * MS);
	world_wait_live(w, 0);
	if (!w->failed[0]) {
		op_flush(op, 1);
		op_sync(op);
		if (op->status)
			world_fail(w, "FLUSH after a new start: %#x",
				   op->status);
	}
	load_check_all(w);
	return world_end(w);
}

/* Verify and Compare look at the medium, at all of it. */
static uint64_t looked(uint64_t seed)
{
	struct world *w = begin(seed, W_DISK);
	struct op *op = &w->hosts[0].ops[0];
	struct leap_sim_disk_counts before, after;
	uint32_t nr = 1 + leap_sim_below(w->sim, 100);

	op_write(op, 1, 7, nr, false);
	op_sync(op);
	leap_sim_disk_count(w->sim, "d0", &before);
	op_verify(op, 1, 7, nr);
	op_sync(op);
	leap_sim_disk_count(w->sim, "d0", &after);
	if (op->status || after.reads == before.reads)
		world_fail(w, "Verify ends with %#x after %llu reads",
			   op->status,
			   (unsigned long long)(after.reads - before.reads));
	op_compare(op, 1, 7, nr, false);
	op_sync(op);
	if (op->status)
		world_fail(w, "Compare of what is there: %#x", op->status);
	op_compare(op, 1, 7, nr, true);
	op_sync(op);
	if (LEAP_STATUS_CODE(op->status) != LEAP_SC_COMPARE_FAILED)
		world_fail(w, "Compare of something else: %#x", op->status);
	leap_sim_disk_fail(w->sim, "d0", LEAP_SIM_READS, -EIO, 1000, 1);
	op_verify(op, 1, 7, nr);
	op_sync(op);
	if (LEAP_STATUS_CODE(op->status) != LEAP_SC_UNRECOVERED_READ)
		world_fail(w, "Verify of what cannot be read: %#x",
			   op->status);
	load_check_all(w);
	return world_end(w);
}

const struct sim_case durable_cases[] = {
	{ "counted at the disk", counted, 150,
	  { "ACK_BEFORE_FLUSH", "FUA_IGNORED" } },
	{ "power cut", cut, 60, { "ACK_BEFORE_FLUSH", "FUA_IGNORED" } },
	{ "failed flush", latched, 60, { "FSYNC_UNLATCHED" } },
	{ "verify and compare", looked, 60,
	  { "VERIFY_UNREAD", "COMPARE_SHORT" } },
	{ NULL, NULL, 0, { NULL } },
};
