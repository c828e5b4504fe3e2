/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver against any drive: the bytes say what registers, Identify data and
 * completions are, in the simulator's time. A host with two queues writes and
 * reads; whatever the drive answers, each request comes back once, all ends in
 * bounded time, and the drive was never pointed at memory that is not its own.
 *
 *	0	bit 0 shadow doorbells, 1 SGLs, 2 stays gone, 3 sticky, 4 no
 *		Abort, 5 PRPs alone, 6 another quirk
 *	1	a fault that strikes once,
 *	2-3	at this step
 *	4-	see bad_byte: by 0 what is asked for is honest
 */
#include "fuzz-target.h"

#include <leapio/dmabuf.h>
#include <leapio/host.h>

#include "sim/sim.h"
#include "tests/unit/bad-device.h"

#define NR 8u
#define BYTES 16384u
#define SECOND 1000000000ull

static struct leap_sim *sim;
static struct leap_pollgroup *pg;
static struct leap_host *host;
static struct leap_dmabuf *mem;
static struct leap_req reqs[NR];
static struct leap_piece pieces[NR];
static unsigned int out, turns;
static int settled, closed;

static void send_next(struct leap_req *req)
{
	uint32_t i = (uint32_t)(req - reqs);

	memset(&req->sqe, 0, sizeof(req->sqe));
	req->sqe.opc = turns & 1 ? LEAP_NVM_READ : LEAP_NVM_WRITE;
	req->sqe.nsid = leap_to_le32(1 + i % BAD_NS);
	req->sqe.cdw10 = leap_to_le32(i * BYTES / BAD_BLOCK);
	req->sqe.cdw12 = leap_to_le32(BYTES / BAD_BLOCK - 1);
	if (leap_host_submit(host, 1 + i % leap_host_nr_queues(host), &req,
			     1) == 1)
		out++;
}

static void on_done(struct leap_req *req)
{
	FUZZ_CHECK(out > 0);
	out--;
	if (turns) {
		turns--;
		send_next(req);
	}
}

static void on_state(struct leap_host *h, enum leap_host_state state,
		     leap_status_t status, int err, void *arg)
{
	settled |= state == LEAP_HOST_LIVE || state == LEAP_HOST_FAILED;
}

static void on_closed(void *arg)
{
	closed = 1;
}

static bool is_settled(void *arg)
{
	return settled;
}

static bool is_idle(void *arg)
{
	return !out;
}

static bool is_closed(void *arg)
{
	return closed;
}

static void load(void)
{
	uint32_t i;

	turns = 24;
	for (i = 0; i < NR; i++) {
		pieces[i].addr = (uint8_t *)leap_dmabuf_addr(mem) +
				 (size_t)i * BYTES;
		pieces[i].len_bytes = BYTES;
		pieces[i].buf = i % 3 ? mem : NULL;
		memset(&reqs[i], 0, sizeof(reqs[i]));
		reqs[i].pieces = &pieces[i];
		reqs[i].nr_pieces = 1;
		reqs[i].done = on_done;
		send_next(&reqs[i]);
	}
	FUZZ_CHECK(leap_sim_run(sim, is_idle, NULL, 600 * SECOND) == 1);
}

static void run_host(uint8_t flags)
{
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;

	o.url = BAD_URL;
	o.nr_io_queues = 2;
	o.depth = 8;
	o.timeout_ms = 1000;
	o.reconnect_ms = 100;
	o.loss_ms = 3000;
	o.flags = flags & 32 ? LEAP_QP_PRP : 0;
	o.state = on_state;
	settled = closed = 0;
	out = 0;
	FUZZ_CHECK(!leap_host_connect(pg, &o, &host));
	FUZZ_CHECK(leap_sim_run(sim, is_settled, NULL, 300 * SECOND) == 1);
	if (leap_host_state(host) == LEAP_HOST_LIVE &&
	    leap_host_nr_queues(host))
		load();
	leap_host_close(host, on_closed, NULL);
	FUZZ_CHECK(leap_sim_run(sim, is_closed, NULL, 600 * SECOND) == 1);
}

static void make_bad(const uint8_t *data, size_t size)
{
	static const uint32_t quirky[] = {
		0xa822144d, 0x2001106b, 0x87601217, 0x01001bb1,
	};
	uint8_t flags = data[0];

	bad_init();
	if (flags & 1)
		bad.id.oacs = leap_to_le16(LEAP_OACS_DBBUF);
	if (flags & 2)
		bad.id.sgls = leap_to_le32(LEAP_SGLS_BYTE);
	bad.stays_gone = flags >> 2 & 1;
	bad.sticky = flags >> 3 & 1;
	bad.ignores_abort = flags >> 4 & 1;
	if (flags & 64)
		bad.pci_id = quirky[flags >> 7 | (data[2] & 1) << 1];
	bad.fault = data[1] % (BAD_LATE + 1);
	bad.at = data[2] | (uint32_t)(data[3] & 1) << 8;
	bad.bytes = data + 4;
	bad.nr_bytes = size - 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;
	struct leap_sim_opts so = { .seed = 1 };

	if (size < 4)
		return 0;
	make_bad(data, size);
	sim = leap_sim_create(&so);
	FUZZ_CHECK(sim);
	po.world = LEAP_WORLD_SIM;
	po.sim = sim;
	po.nr_cmds = 8;
	po.nr_bufs = 1;
	po.buf_bytes = 4096;
	FUZZ_CHECK(!leap_pollgroup_create(&po, &pg));
	leap_sim_add(sim, pg);
	mo.bytes = NR * BYTES;
	mo.huge = LEAP_HUGE_NEVER;
	FUZZ_CHECK(!leap_dmabuf_create(&mo, &mem));
	run_host(data[0]);
	if (bad.complaints)
		fprintf(stderr, "the drive complains: %s\n", bad.complaint);
	FUZZ_CHECK(!bad.complaints && !bad.maps && bad.opens == bad.closes);
	leap_dmabuf_put(mem);
	FUZZ_CHECK(!leap_pollgroup_destroy(pg));
	leap_sim_destroy(sim);
	bad_fini();
	return 0;
}
