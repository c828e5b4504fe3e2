/* SPDX-License-Identifier: BSD-3-Clause */
#include "bad-fixture.h"

#include <stdio.h>

static void on_state(struct leap_host *host, enum leap_host_state state,
		     leap_status_t status, int sys_errno, void *arg)
{
	struct bad_world *w = arg;

	w->state = state;
	w->lives += state == LEAP_HOST_LIVE;
	w->losses += state == LEAP_HOST_RECONNECTING;
	if (state != LEAP_HOST_LIVE) {
		w->status = status;
		w->err = sys_errno;
		snprintf(w->text, sizeof(w->text), "%s", leap_last_error());
	}
}

static void on_event(struct leap_host *host, uint32_t dw0, void *arg)
{
	struct bad_world *w = arg;

	w->event = dw0;
	w->events++;
}

void bad_world_init(struct bad_world *w)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	struct leap_sim_opts sopts = { .seed = 1 };

	memset(w, 0, sizeof(*w));
	w->sim = leap_sim_create(&sopts);
	assert_non_null(w->sim);
	popts.world = LEAP_WORLD_SIM;
	popts.sim = w->sim;
	popts.nr_cmds = 64;
	popts.nr_bufs = 8;
	assert_int_equal(leap_pollgroup_create(&popts, &w->pg), 0);
	leap_sim_add(w->sim, w->pg);
	mopts.bytes = NR_IOS * IO_BYTES;
	mopts.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_dmabuf_create(&mopts, &w->mem), 0);
	w->opts = (struct leap_host_opts)LEAP_HOST_OPTS_INIT;
	w->opts.url = BAD_URL;
	w->opts.nr_io_queues = 2;
	w->opts.depth = 8;
	w->opts.timeout_ms = 2000;
	w->opts.reconnect_ms = 100;
	w->opts.loss_ms = 20000;
	w->opts.state = on_state;
	w->opts.event = on_event;
	w->opts.arg = w;
}

void bad_world_fini(struct bad_world *w)
{
	if (bad.complaints)
		fail_msg("the device complains %u times, first: %s",
			 bad.complaints, bad.complaint);
	assert_int_equal(bad.maps, 0);
	assert_int_equal(bad.opens, bad.closes);
	leap_dmabuf_put(w->mem);
	if (leap_pollgroup_destroy(w->pg))
		fail_msg("%s", leap_last_error());
	leap_sim_destroy(w->sim);
}

void bad_run(struct bad_world *w, bool (*until)(void *arg), uint64_t max_ns)
{
	int r = leap_sim_run(w->sim, until, w, max_ns);

	if (r != 1)
		fail_msg("hangs: %s (state %u, %u running, fault %u at %llu, "
			 "step %llu)", r ? "it goes on for ever" :
			 "nothing happens any more", w->state, w->running,
			 bad.fault, (unsigned long long)bad.at,
			 (unsigned long long)bad.steps);
}

static bool never(void *arg)
{
	return false;
}

void bad_pass(struct bad_world *w, uint64_t ns)
{
	leap_sim_run(w->sim, never, w, ns);
}

static bool is_settled(void *arg)
{
	struct bad_world *w = arg;

	return w->state == LEAP_HOST_LIVE || w->state == LEAP_HOST_FAILED;
}

enum leap_host_state bad_open_host(struct bad_world *w)
{
	w->state = LEAP_HOST_CONNECTING;
	assert_int_equal(leap_host_connect(w->pg, &w->opts, &w->host), 0);
	bad_run(w, is_settled, 60 * SECOND);
	return w->state;
}

void bad_note_closed(void *arg)
{
	((struct bad_world *)arg)->closed = 1;
}

bool bad_is_closed(void *arg)
{
	return ((struct bad_world *)arg)->closed;
}

void bad_close_host(struct bad_world *w)
{
	w->closed = 0;
	leap_host_close(w->host, bad_note_closed, w);
	bad_run(w, bad_is_closed, 300 * SECOND);
	w->host = NULL;
}

/* ---- load -------------------------------------------------------------- */

static void send(struct bad_io *io)
{
	uint32_t i = (uint32_t)(io - io->w->io);
	bool writes = !(io->turns & 1);
	struct leap_req *req = &io->req;

	memset(&req->sqe, 0, sizeof(req->sqe));
	req->sqe.opc = writes ? LEAP_NVM_WRITE : LEAP_NVM_READ;
	req->sqe.nsid = leap_to_le32(1 + i % BAD_NS);
	req->sqe.cdw10 = leap_to_le32(i * IO_BYTES / BAD_BLOCK);
	req->sqe.cdw12 = leap_to_le32(IO_BYTES / BAD_BLOCK - 1);
	if (writes)
		io->fill++;
	memset(io->piece.addr, writes ? io->fill + (int)i : 0xee, IO_BYTES);
	if (leap_host_submit(io->w->host, 1 + i % leap_host_nr_queues(
				     io->w->host), &req, 1) != 1) {
		io->turns = 0;
		io->failed++;
		io->w->running--;
	}
}

static void on_done(struct leap_req *req)
{
	struct bad_io *io = (struct bad_io *)req;
	uint32_t i = (uint32_t)(io - io->w->io), k;
	const uint8_t *p = io->piece.addr;

	io->done++;
	if (leap_req_status(req)) {
		io->failed++;
	} else if (req->sqe.opc == LEAP_NVM_READ && !io->failed) {
		for (k = 0; k < IO_BYTES; k++)
			io->wrong |= p[k] != (uint8_t)(io->fill + i);
	}
	if (--io->turns)
		send(io);
	else
		io->w->running--;
}

static bool all_done(void *arg)
{
	return !((struct bad_world *)arg)->running;
}

void bad_load_start(struct bad_world *w, uint32_t turns)
{
	uint32_t i;

	w->running = NR_IOS;
	for (i = 0; i < NR_IOS; i++) {
		struct bad_io *io = &w->io[i];

		memset(io, 0, sizeof(*io));
		io->w = w;
		io->turns = turns;
		io->piece.addr = (uint8_t *)leap_dmabuf_addr(w->mem) +
				 (size_t)i * IO_BYTES;
		io->piece.len_bytes = IO_BYTES;
		io->piece.buf = i % 3 ? w->mem : NULL;
		io->req.pieces = &io->piece;
		io->req.nr_pieces = 1;
		io->req.done = on_done;
		send(io);
	}
}

uint32_t bad_load_wait(struct bad_world *w)
{
	uint32_t i, failed = 0;

	bad_run(w, all_done, 200 * SECOND);
	for (i = 0; i < NR_IOS; i++) {
		failed += w->io[i].failed;
		assert_false(w->io[i].wrong);
	}
	return failed;
}

uint32_t bad_load(struct bad_world *w, uint32_t turns)
{
	bad_load_start(w, turns);
	return bad_load_wait(w);
}

static void adm_done(struct leap_req *req)
{
	struct bad_world *w = (struct bad_world *)(void *)
		((char *)req - offsetof(struct bad_world, adm));

	w->adm_done = 1;
}

static bool adm_is_done(void *arg)
{
	return ((struct bad_world *)arg)->adm_done;
}

leap_status_t bad_admin(struct bad_world *w, uint8_t opc, uint32_t nsid,
			uint32_t cdw10, uint32_t bytes)
{
	struct leap_req *req = &w->adm;

	memset(req, 0, sizeof(*req));
	w->adm_done = 0;
	w->adm_piece.addr = w->page;
	w->adm_piece.len_bytes = bytes;
	req->sqe.opc = opc;
	req->sqe.nsid = leap_to_le32(nsid);
	req->sqe.cdw10 = leap_to_le32(cdw10);
	req->pieces = &w->adm_piece;
	req->nr_pieces = bytes ? 1 : 0;
	req->done = adm_done;
	assert_int_equal(leap_host_submit(w->host, 0, &req, 1), 1);
	leap_host_kick(w->host, 0);
	bad_run(w, adm_is_done, 100 * SECOND);
	return leap_req_status(req);
}

enum leap_host_state bad_life(struct bad_world *w)
{
	enum leap_host_state state = bad_open_host(w);

	if (state == LEAP_HOST_LIVE) {
		bad_load(w, 4);
		state = w->state;
	}
	bad_close_host(w);
	return state;
}

/* ---- cmocka's ---- */

struct bad_world bad_shared;

int bad_set_up(void **state)
{
	bad_init();
	bad_world_init(&bad_shared);
	return 0;
}

int bad_tear_down(void **state)
{
	if (bad_shared.host)
		bad_close_host(&bad_shared);
	bad_world_fini(&bad_shared);
	bad_fini();
	return 0;
}

void bad_up(struct bad_world *w)
{
	if (bad_open_host(w) != LEAP_HOST_LIVE)
		fail_msg("%d, %x: %s", w->err, w->status, w->text);
}
