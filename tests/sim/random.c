/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Worlds by chance: how many hosts, queues and poll groups, which stacks, what
 * goes wrong and when, all from the seed. A case says what may go wrong.
 */
#include "sim-test.h"

#include <errno.h>
#include <stdio.h>

static const char *const disk_stacks[] = {
	"file:d0",
	"trace -> file:d0",
	"delay[write_us=40,jitter_us=300] -> file:d0",
	"trace -> delay[read_us=30,flush_us=200,jitter_us=50] -> file:d0",
};

static const char *const bad_stacks[] = {
	"error[op=write,rate=30000,torn=on,status=write] -> file:d0",
	"error[op=read,rate=30000,status=read] -> trace -> file:d0",
};

static void build(struct world *w)
{
	struct leap_sim *sim = w->sim;
	uint32_t i, n, nr = 1 + leap_sim_below(sim, 2);

	if ((w->what & W_DISK) && leap_sim_below(sim, 2))
		world_ns(w, 1, bad_stacks[leap_sim_below(sim, 2)], "d0");
	else
		world_ns(w, 1, disk_stacks[leap_sim_below(sim, 4)], "d0");
	world_ns(w, 2, "file:d1", "d1");
	if (!(w->what & (W_KILL | W_CUT)))
		world_ns(w, 3, leap_sim_below(sim, 2) ? "memory:160K" :
			 "trace -> memory:160K", NULL);
	/* Blocks of 4096 bytes over a stack that has them of 512. */
	for (i = 0; i < w->nr_ns; i++)
		w->ns[i].lba = leap_sim_below(sim, 3) ? 1 : 8;
	world_start_target(w, nr);
	n = 1 + leap_sim_below(sim, MAX_HOSTS);
	for (i = 0; i < n; i++) {
		if (w->what & W_DIGESTS && leap_sim_below(sim, 4))
			w->hosts[i].flags = LEAP_QP_HEADER_DIGEST |
					    LEAP_QP_DATA_DIGEST;
		if (w->what & W_CORRUPT)
			w->hosts[i].flags = LEAP_QP_HEADER_DIGEST |
					    LEAP_QP_DATA_DIGEST;
		if (!leap_sim_below(sim, 3))
			w->hosts[i].flags |= LEAP_QP_NO_SQ_FLOW;
		if (!(w->what & W_CORRUPT) && !leap_sim_below(sim, 3)) {
			w->hosts[i].shm = true;
			w->hosts[i].flags = 0;
		}
		world_start_host(w, i, 1 + leap_sim_below(sim, 4));
		if (w->failed[0])
			return;
	}
}

/* ---- namespaces ---------------------------------------------------------- */

static void ns_removed(int err, void *arg)
{
	struct ns *ns = arg;

	(void)err;
	ns->changing = false;
}

static void ns_added(int err, void *arg)
{
	struct ns *ns = arg;

	ns->changing = false;
	ns->there = !err;
}

/* The second namespace comes and goes; the first grows and shrinks. */
static void change_ns(struct world *w)
{
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct ns *ns = &w->ns[1];
	int rc;

	if (leap_sim_below(w->sim, 2)) {
		w->ns[0].blocks = MODEL_BLOCKS + 8 +
			8 * leap_sim_below(w->sim, 20);
		world_note(w, "resize to %llu",
			   (unsigned long long)w->ns[0].blocks);
		rc = leap_ns_resize(w->ss, 1, w->ns[0].blocks * BLOCK);
		if (rc)
			world_fail(w, "leap_ns_resize: %d", rc);
		return;
	}
	if (ns->changing)
		return;
	if (ns->there) {
		world_note(w, "remove nsid 2");
		ns->changing = true;
		ns->there = false;
		rc = leap_ns_remove(w->ss, 2, ns_removed, ns);
		if (rc)
			world_fail(w, "leap_ns_remove: %d", rc);
		return;
	}
	/* Its own late writes may still hold the lock. */
	leap_sim_enter(w->sim, TARGET);
	rc = leap_bdev_open(w->tpg[0], ns->stack, &no.bdev);
	if (rc) {
		if (rc != -EBUSY)
			world_fail(w, "leap_bdev_open: %d", rc);
		return;
	}
	world_note(w, "add nsid 2");
	no.nsid = 2;
	no.block_bytes = ns->lba * BLOCK;
	ns->changing = true;
	rc = leap_ns_add(w->ss, &no, ns_added, ns);
	if (rc != 2)
		world_fail(w, "leap_ns_add: %d", rc);
}

static bool ns_settled(void *arg)
{
	return !((struct world *)arg)->ns[1].changing;
}

/* What a host knows of namespace @nsid is what there is. */
static bool knows(struct host *h, uint32_t nsid)
{
	struct ns *ns = &h->w->ns[nsid - 1];
	struct leap_host_ns info = { sizeof(info) };
	int rc = leap_host_ns_next(h->host, nsid - 1, &info);

	if (rc || info.nsid != nsid)
		return !ns->there;
	return ns->there && info.nr_blocks == ns->blocks / ns->lba &&
	       info.block_bytes == ns->lba * BLOCK;
}

static bool all_know(void *arg)
{
	struct world *w = arg;
	uint32_t i, k;

	for (i = 0; i < w->nr_hosts; i++) {
		for (k = 1; k <= 2; k++)
			if (!knows(&w->hosts[i], k))
				return false;
	}
	return true;
}

/* ---- trouble ------------------------------------------------------------- */

static void disk_trouble(struct world *w)
{
	static const uint32_t kinds[] = {
		LEAP_SIM_READS, LEAP_SIM_WRITES,
		LEAP_SIM_READS | LEAP_SIM_WRITES,
	};
	uint32_t what = kinds[leap_sim_below(w->sim, 3)];

	if (w->what & W_FLUSH_FAIL)
		what |= LEAP_SIM_FLUSHES;
	if (leap_sim_below(w->sim, 4))
		leap_sim_disk_fail(w->sim, "d0", what, leap_sim_below(w->sim,
				   2) ? -EIO : -ENOSPC, 200, 5);
	else
		leap_sim_disk_latency(w->sim, "d0", 10000,
				      leap_sim_below(w->sim, 2) * 4000000);
}

static void hold(struct world *w, struct host *h)
{
	int process = HOST((int)h->i);
	bool to = leap_sim_below(w->sim, 2), from = leap_sim_below(w->sim, 2);
	uint64_t ns = (1 + leap_sim_below(w->sim, 20)) * MS;

	/* Longer than keep alive, now and then. */
	if (!leap_sim_below(w->sim, 6))
		ns = 3 * SECOND;
	if (to || !from)
		leap_sim_net_hold(w->sim, TARGET, process);
	if (from)
		leap_sim_net_hold(w->sim, process, TARGET);
	world_pass(w, ns);
	leap_sim_net_release(w->sim, TARGET, process);
	leap_sim_net_release(w->sim, process, TARGET);
}

static void disconnect(struct world *w)
{
	struct leap_ctrl_info info = { sizeof(info) };

	if (leap_ctrl_next(w->target, w->ss, 0, &info))
		return;
	world_note(w, "disconnect controller %u", info.cntlid);
	leap_ctrl_disconnect(w->ss, info.cntlid);
}

static void one_trouble(struct world *w, uint32_t what)
{
	struct host *h = &w->hosts[leap_sim_below(w->sim, w->nr_hosts)];
	int process;

	switch (what) {
	case W_RESET:
		leap_sim_net_reset(w->sim, TARGET, HOST((int)h->i));
		break;
	case W_HOLD:
		hold(w, h);
		break;
	case W_STOP:
		process = leap_sim_below(w->sim, 2) ? TARGET : HOST((int)h->i);
		leap_sim_stop(w->sim, process);
		world_pass(w, (1 + leap_sim_below(w->sim, 30)) * MS);
		leap_sim_continue(w->sim, process);
		break;
	case W_KILL:
		if (w->done >= w->done_at_kill + 15)
			world_kill_target(w);
		break;
	case W_CUT:
		if (w->done >= w->done_at_kill + 15)
			world_cut_power(w);
		break;
	case W_DISK:
		disk_trouble(w);
		break;
	case W_NS:
		change_ns(w);
		break;
	case W_DISCONNECT:
		disconnect(w);
		break;
	case W_CC:
		load_reset_controller(h);
		break;
	case W_HOST_KILL:
		world_kill_host(w, h->i);
		if (!w->failed[0])
			load_start(h);
		break;
	case W_CORRUPT:
		leap_sim_net_corrupt(w->sim, leap_sim_below(w->sim, 2) ?
				     HOST((int)h->i) : TARGET, 150, 600);
		break;
	case W_ABORT:
		load_abort_one(h);
		break;
	}
}

#define NOT_EVENTS (W_DIGESTS | W_FLUSH_FAIL)

static void trouble(struct world *w)
{
	uint32_t bits = w->what & ~NOT_EVENTS, n = 0, i;

	for (i = 0; i < 32; i++)
		n += bits >> i & 1;
	if (!n || leap_sim_below(w->sim, 3) == 0)
		return;
	n = leap_sim_below(w->sim, n);
	for (i = 0; i < 32; i++)
		if ((bits >> i & 1) && !n--)
			one_trouble(w, 1u << i);
}

static void calm_down(struct world *w)
{
	uint32_t i;

	leap_sim_disk_fail(w->sim, "d0", 0, 0, 0, 0);
	leap_sim_disk_latency(w->sim, "d0", 0, 0);
	for (i = 0; i <= w->nr_hosts; i++)
		leap_sim_net_corrupt(w->sim, TARGET + (int)i, 0, 0);
	/* A byte of a length may have changed: the peer waits for the rest. */
	if (w->what & W_CORRUPT) {
		world_pass(w, SECOND);
		leap_sim_net_reset(w->sim, TARGET, LEAP_SIM_ANY);
	}
	world_run(w, load_is_over, w, 60 * SECOND, "every command ends");
	for (i = 0; i < w->nr_hosts; i++)
		world_wait_live(w, i);
}

static uint64_t play(uint64_t seed, uint32_t what)
{
	struct world *w = world_new(seed, what);
	uint32_t i;

	build(w);
	w->left = 250;
	for (i = 0; i < w->nr_hosts && !w->failed[0]; i++)
		load_start(&w->hosts[i]);
	for (i = 0; i < 400 && !w->failed[0] && !load_is_over(w); i++) {
		world_pass(w, (1 + leap_sim_below(w->sim, 15)) * MS / 10);
		if (!w->failed[0] && !load_is_over(w))
			trouble(w);
	}
	if (!w->failed[0])
		calm_down(w);
	world_run(w, ns_settled, w, 10 * SECOND, "a namespace comes or goes");
	if (what & W_NS)
		world_run(w, all_know, w, 20 * SECOND,
			  "hosts know what became of the namespaces");
	if (!w->failed[0])
		load_check_all(w);
	return world_end(w);
}

static uint64_t calm(uint64_t seed)
{
	return play(seed, W_DIGESTS);
}

static uint64_t net(uint64_t seed)
{
	return play(seed, W_RESET | W_HOLD | W_STOP | W_DIGESTS);
}

static uint64_t resets(uint64_t seed)
{
	return play(seed, W_DISCONNECT | W_CC | W_ABORT | W_RESET);
}

static uint64_t corrupt(uint64_t seed)
{
	return play(seed, W_CORRUPT | W_DIGESTS);
}

static uint64_t disk(uint64_t seed)
{
	return play(seed, W_DISK | (seed % 3 ? 0 : W_FLUSH_FAIL));
}

static uint64_t kill_target(uint64_t seed)
{
	return play(seed, W_KILL | W_RESET);
}

static uint64_t power(uint64_t seed)
{
	return play(seed, W_CUT);
}

static uint64_t namespaces(uint64_t seed)
{
	return play(seed, W_NS | (seed % 2 ? W_RESET : 0));
}

static uint64_t hosts_die(uint64_t seed)
{
	return play(seed, W_HOST_KILL | W_RESET | W_STOP);
}

static uint64_t everything(uint64_t seed)
{
	return play(seed, W_ALL | W_DISK | W_DIGESTS);
}

const struct sim_case world_cases[] = {
	{ "calm", calm, 200, { "DOUBLE_COMPLETE", "R2T_OVERLAP",
			      "ZEROES_SHORT", "COMPARE_SHORT",
			      "LBA_UNSCALED", "SHM_CHUNK_STUCK" } },
	{ "net", net, 200, { "BUFFER_LEAK", "REDRIVE_LOST" } },
	{ "resets", resets, 200, { "BUFFER_LEAK" } },
	{ "corrupt", corrupt, 200, { "DIGEST_UNCHECKED" } },
	{ "disk", disk, 200, { NULL } },
	{ "kill", kill_target, 200, { NULL } },
	{ "power", power, 200, { "ACK_BEFORE_FLUSH", "FUA_IGNORED" } },
	{ "namespaces", namespaces, 200, { "RESIZE_UNTOLD", "AER_LOST" } },
	{ "hosts die", hosts_die, 200, { NULL } },
	{ "everything", everything, 400, { NULL } },
	{ NULL, NULL, 0, { NULL } },
};
