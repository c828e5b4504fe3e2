/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A world: one target process over simulated disks, some host processes, and
 * how they are killed, started again and taken apart. Every end is a leak
 * check. Knows nothing of what the commands are.
 */
#include "sim-test.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What killed processes have had stays reachable, as their memory does. */
struct kept {
	struct kept *next;
	void *p;
};

static struct kept *graveyard;

void keep(void *p)
{
	struct kept *k = malloc(sizeof(*k));

	if (!k)
		abort();
	k->p = p;
	k->next = graveyard;
	graveyard = k;
}

/* ---- running and failing ------------------------------------------------- */

void world_note(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!sim_verbose)
		return;
	printf("# %12llu == ", (unsigned long long)leap_sim_now_ns(w->sim));
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* The first failure is the one that counts. */
void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failed[0])
		return;
	va_start(ap, fmt);
	vsnprintf(w->failed, sizeof(w->failed), fmt, ap);
	va_end(ap);
	world_note(w, "FAILED: %s", w->failed);
}

struct until {
	struct world *w;
	bool (*until)(void *arg);
	void *arg;
};

static bool stop(void *arg)
{
	struct until *u = arg;

	return u->w->failed[0] || (u->until && u->until(u->arg));
}

void world_pass(struct world *w, uint64_t ns)
{
	struct until u = { .w = w };

	if (!w->failed[0])
		leap_sim_run(w->sim, stop, &u, ns);
}

bool world_run(struct world *w, bool (*until)(void *arg), void *arg,
	       uint64_t ns, const char *what)
{
	struct until u = { w, until, arg };

	if (w->failed[0])
		return false;
	if (leap_sim_run(w->sim, stop, &u, ns) != 1)
		world_fail(w, "never: %s", what);
	return !w->failed[0];
}

static void gone(void *arg)
{
	((struct world *)arg)->gone++;
}

static bool is_gone(void *arg)
{
	return ((struct world *)arg)->gone;
}

/* ---- the target ---------------------------------------------------------- */

static struct leap_pollgroup *new_group(struct world *w, int process)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup *pg = NULL;

	leap_sim_enter(w->sim, process);
	o.world = LEAP_WORLD_SIM;
	o.sim = w->sim;
	/* Few and small, so that they run out. */
	o.nr_cmds = 48;
	o.nr_bufs = 20;
	o.buf_bytes = 8192;
	if (leap_pollgroup_create(&o, &pg))
		abort();
	leap_sim_add(w->sim, pg);
	return pg;
}

static void open_ns(struct world *w, uint32_t i)
{
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct ns *ns = &w->ns[i];

	no.nsid = i + 1;
	no.block_bytes = ns->lba * BLOCK;
	leap_sim_enter(w->sim, TARGET);
	if (leap_bdev_open(w->tpg[0], ns->stack, &no.bdev))
		world_fail(w, "open %s: %s", ns->stack, leap_last_error());
	else if (leap_ns_add(w->ss, &no, NULL, NULL) != (int)i + 1)
		world_fail(w, "leap_ns_add: %s", leap_last_error());
}

void world_start_target(struct world *w, uint32_t nr_groups)
{
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_target_opts to = LEAP_TARGET_OPTS_INIT;
	uint32_t i;

	w->nr_tpg = nr_groups;
	for (i = 0; i < nr_groups; i++)
		w->tpg[i] = new_group(w, i && w->second_process ?
				      w->second_process : TARGET);
	to.mdts_bytes = OP_BYTES;
	to.queue_depth = 32;
	if (leap_target_create(w->tpg[0], &to, &w->target))
		abort();
	for (i = 0; i < nr_groups && nr_groups > 1; i++)
		if (leap_target_add_group(w->target, w->tpg[w->second_process ?
							    1 - i : i]))
			world_fail(w, "add_group: %s", leap_last_error());
	so.nqn = NQN;
	so.allow_any_host = 1;
	if (leap_subsystem_create(w->target, &so, &w->ss))
		abort();
	for (i = 0; i < w->nr_ns; i++)
		if (w->ns[i].there)
			open_ns(w, i);
	lo.url = "tcp://127.0.0.1:4420";
	if (leap_listener_create(w->target, &lo, &w->listener))
		world_fail(w, "listen: %s", leap_last_error());
	lo.url = "shm:/sim/drive";
	if (leap_listener_create(w->target, &lo, &w->shm_listener))
		world_fail(w, "listen: %s", leap_last_error());
}

static bool disks_free(void *arg)
{
	struct world *w = arg;
	uint32_t i;

	for (i = 0; i < w->nr_ns; i++)
		if (w->ns[i].disk &&
		    !leap_sim_disk_unlocked(w->sim, w->ns[i].disk))
			return false;
	return true;
}

static void bury_target(struct world *w)
{
	uint32_t i;

	leap_sim_kill(w->sim, TARGET);
	w->done_at_kill = w->done;
	for (i = 0; i < w->nr_tpg; i++)
		keep(w->tpg[i]);
	keep(w->target);
	keep(w->ss);
	for (i = 0; i < w->nr_ns; i++) {
		/* Whatever it was about to do, nobody was told. */
		if (w->ns[i].changing)
			w->ns[i].there = true;
		w->ns[i].changing = false;
	}
}

void world_kill_target(struct world *w)
{
	uint32_t nr = 1 + leap_sim_below(w->sim, 2);

	world_note(w, "target killed");
	bury_target(w);
	world_run(w, disks_free, w, 10 * SECOND, "a free lock after SIGKILL");
	if (!w->failed[0])
		world_start_target(w, nr);
}

void world_cut_power(struct world *w)
{
	uint32_t nr = 1 + leap_sim_below(w->sim, 2), i;

	world_note(w, "power cut");
	bury_target(w);
	leap_sim_power_cut(w->sim, NULL);
	w->cut_ns = leap_sim_now_ns(w->sim);
	for (i = 0; i < w->nr_ns; i++)
		model_power_cut(w->ns[i].model);
	world_run(w, disks_free, w, 10 * SECOND, "a free lock after the cut");
	if (!w->failed[0])
		world_start_target(w, nr);
}

/* ---- hosts --------------------------------------------------------------- */

static void state_changed(struct leap_host *host, enum leap_host_state state,
			  leap_status_t status, int sys_errno, void *arg)
{
	struct host *h = arg;

	(void)host;
	world_note(h->w, "host %u: state %d (%#x, %d)", h->i, (int)state,
		   status, sys_errno);
	h->state = (int)state;
	h->live_ns = leap_sim_now_ns(h->w->sim);
	if (state == LEAP_HOST_FAILED)
		world_fail(h->w, "host %u gave up: status %#x, errno %d", h->i,
			   status, sys_errno);
}

static void event_came(struct leap_host *host, uint32_t dw0, void *arg)
{
	struct host *h = arg;

	(void)host;
	world_note(h->w, "host %u: event %#x", h->i, dw0);
	h->events++;
}

static bool is_live(void *arg)
{
	return ((struct host *)arg)->state == LEAP_HOST_LIVE;
}

void world_wait_live(struct world *w, uint32_t i)
{
	world_run(w, is_live, &w->hosts[i], 20 * SECOND, "the host is live");
}

void world_connect_host(struct world *w, uint32_t i, uint32_t nr_queues)
{
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	struct host *h = &w->hosts[i];
	uint32_t k;

	if (i >= w->nr_hosts)
		w->nr_hosts = i + 1;
	h->w = w;
	h->i = i;
	h->nr_queues = nr_queues;
	h->state = LEAP_HOST_CONNECTING;
	h->pg = new_group(w, HOST((int)i));
	h->ops = calloc(MAX_OPS, sizeof(*h->ops));
	for (k = 0; k < MAX_OPS; k++)
		op_init(&h->ops[k], h);
	op_init(&h->admin, h);
	ho.url = h->shm ? "shm:/sim/drive/" NQN : "tcp://127.0.0.1:4420/" NQN;
	ho.hostid[0] = (uint8_t)(i + 1);
	ho.nr_io_queues = nr_queues;
	ho.depth = 32;
	ho.kato_ms = w->kato_ms;
	ho.reconnect_ms = 5;
	ho.flags = h->flags;
	ho.state = state_changed;
	ho.event = event_came;
	ho.arg = h;
	if (leap_host_connect(h->pg, &ho, &h->host))
		world_fail(w, "connect: %s", leap_last_error());
}

void world_start_host(struct world *w, uint32_t i, uint32_t nr_queues)
{
	world_connect_host(w, i, nr_queues);
	world_wait_live(w, i);
}

void world_forget_host(struct world *w, uint32_t i)
{
	struct leap_host_stats hs = { sizeof(hs) };
	struct host *h = &w->hosts[i];
	uint32_t k;

	leap_host_stats(h->host, &hs);
	h->reconnects += hs.reconnects;
	for (k = 0; k < MAX_OPS; k++) {
		w->busy -= h->ops[k].busy;
		keep(h->ops[k].buf);
	}
	w->busy -= h->admin.busy;
	keep(h->admin.buf);
	keep(h->ops);
	keep(h->pg);
	keep(h->host);
	for (k = 0; k < w->nr_ns; k++)
		model_host_died(w->ns[k].model, i);
}

void world_kill_host(struct world *w, uint32_t i)
{
	world_note(w, "host %u killed", i);
	leap_sim_kill(w->sim, HOST((int)i));
	world_forget_host(w, i);
	/* Longer than a FIN can take: a new machine boots, too. */
	world_pass(w, MS);
	world_start_host(w, i, w->hosts[i].nr_queues);
}

/* ---- the world ----------------------------------------------------------- */

static void trace(void *arg, uint64_t now_ns, const char *text)
{
	(void)arg;
	printf("# %12llu %s\n", (unsigned long long)now_ns, text);
}

struct world *world_new(uint64_t seed, uint32_t what)
{
	struct world *w = calloc(1, sizeof(*w));
	struct leap_sim_opts so = {
		.seed = seed,
		/* A FIN cannot be overtaken by a whole new connection. */
		.net_min_ns = 8000, .net_max_ns = 30000,
		.trace = sim_verbose ? trace : NULL,
	};

	if (!w)
		abort();
	w->seed = seed;
	w->what = what;
	w->kato_ms = 500;
	w->sim = leap_sim_create(&so);
	if (!w->sim)
		abort();
	return w;
}

void world_ns(struct world *w, uint32_t nsid, const char *stack,
	      const char *disk)
{
	struct ns *ns = &w->ns[nsid - 1];

	if (nsid > w->nr_ns)
		w->nr_ns = nsid;
	ns->stack = stack;
	ns->disk = disk;
	ns->blocks = MODEL_BLOCKS + 64;
	ns->lba = 1;
	ns->there = true;
	ns->model = model_new();
	if (disk)
		leap_sim_disk(w->sim, disk, ns->blocks * BLOCK);
}

/* ---- the end ------------------------------------------------------------- */

static void check_group(struct world *w, struct leap_pollgroup *pg,
			const char *whose)
{
	struct leap_pollgroup_stats ps = { sizeof(ps) };
	int err;

	leap_pollgroup_stats(pg, &ps);
	if (ps.cmds_in_use || ps.bufs_in_use)
		world_fail(w, "leak: %llu commands, %llu buffers of the %s",
			   (unsigned long long)ps.cmds_in_use,
			   (unsigned long long)ps.bufs_in_use, whose);
	if (w->failed[0])
		return;
	err = leap_pollgroup_destroy(pg);
	if (err)
		world_fail(w, "leak: poll group of the %s is in use: %d", whose,
			   err);
}

static bool target_idle(void *arg)
{
	struct leap_target_stats ts = { sizeof(ts) };
	struct world *w = arg;

	leap_target_stats(w->target, &ts);
	return !ts.connections && !ts.orphans && !ts.held;
}

static void close_host(struct world *w, uint32_t i)
{
	struct leap_host_stats hs = { sizeof(hs) };
	struct host *h = &w->hosts[i];

	leap_host_stats(h->host, &hs);
	h->reconnects += hs.reconnects;
	if (h->reconnects && !(w->what & (W_ALL | W_CORRUPT)))
		world_fail(w, "host %u lost its connection though nothing "
			   "happened to it", i);
	w->gone = 0;
	leap_host_close(h->host, gone, w);
	world_run(w, is_gone, w, 20 * SECOND, "a host closes");
	if (!w->failed[0])
		check_group(w, h->pg, "host");
}

static void free_ops(struct host *h)
{
	uint32_t k;

	for (k = 0; k < MAX_OPS; k++)
		free(h->ops[k].buf);
	free(h->admin.buf);
	free(h->ops);
}

static void end_hosts(struct world *w)
{
	uint32_t i;

	for (i = 0; i < w->nr_hosts && !w->failed[0]; i++)
		close_host(w, i);
}

static void end_target(struct world *w)
{
	struct leap_target_stats ts = { sizeof(ts) };
	uint32_t i;

	world_run(w, target_idle, w, 20 * SECOND,
		  "no connection, no orphan, no held command at the target");
	if (w->failed[0])
		return;
	leap_target_stats(w->target, &ts);
	if (ts.protocol_errors && !(w->what & W_CORRUPT))
		world_fail(w, "%llu protocol errors",
			   (unsigned long long)ts.protocol_errors);
	w->gone = 0;
	leap_target_destroy(w->target, gone, w);
	world_run(w, is_gone, w, 20 * SECOND, "the target goes");
	for (i = 0; i < w->nr_tpg && !w->failed[0]; i++)
		check_group(w, w->tpg[i], "target");
}

static void end_sim(struct world *w)
{
	int n;

	if (leap_sim_run(w->sim, NULL, NULL, 100 * SECOND))
		world_fail(w, "leak: something still happens at the end");
	n = leap_sim_net_count(w->sim, LEAP_SIM_ANY, LEAP_SIM_ANY);
	if (n)
		world_fail(w, "leak: %d connections", n);
	if (!disks_free(w))
		world_fail(w, "leak: a disk is still locked");
}

uint64_t world_end(struct world *w)
{
	uint64_t hash = 0;
	uint32_t i;

	end_hosts(w);
	if (!w->failed[0])
		end_target(w);
	if (!w->failed[0])
		end_sim(w);
	snprintf(sim_why, sizeof(sim_why), "%s", w->failed);
	if (w->failed[0]) {
		/* Nobody knows what still uses what. */
		keep(w);
		return 0;
	}
	hash = leap_sim_trace_hash(w->sim) | 1;
	for (i = 0; i < w->nr_hosts; i++)
		free_ops(&w->hosts[i]);
	for (i = 0; i < w->nr_ns; i++)
		model_free(w->ns[i].model);
	leap_sim_destroy(w->sim);
	free(w);
	return hash;
}
