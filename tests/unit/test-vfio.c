/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of a PCI function over a kernel of our own, with a drive of this
 * process behind it: data of every shape, memory that may not be locked, and a
 * device that is wanted back.
 */
#include "fake-vfio.h"
#include "rand.h"

#include <linux/vfio.h>
#include <stdio.h>
#include <unistd.h>

#include <leapio/leapio.h>

#include "core/io/regctrl.h"
#include "core/io/transport.h"

#define NQN "nqn.2026-01.org.example:drive"
#define URL "pcie:" FAKE_ADDRESS "/" NQN
#define NO_IOMMU_URL "pcie:" FAKE_ADDRESS "?noiommu=1/" NQN
#define BLOCK 512u
#define BLOCKS 8192u
#define MOST 65536u
#define MEM (4u << 20)
#define OUT 31	/* so many that the CQ doorbell is rung */

static struct fake_vfio fake;
static struct leap__regdev_ops fake_dev_ops;

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_host *host;
	struct leap_dmabuf *mem;
	uint8_t *base, *copy;
	struct test_rand rnd;
	const char *url;
	uint32_t depth;
	int elsewhere;		/* payload is not in a dmabuf */
	char log[256];
	int warned;
} w;

/* ---- the transport, over the fake ---- */

static int fake_dev_open(struct leap__regdev *dev,
			 const struct leap_qp_opts *opts, const char *address)
{
	return leap__vfio_open(dev, address, &fake_vfio_calls, &fake);
}

static int fake_connect(struct leap_qp *qp, const char *address)
{
	fake_dev_ops = leap__vfio_dev_ops;
	fake_dev_ops.open = fake_dev_open;
	return leap__regqp_connect(qp, address, &fake_dev_ops);
}

const struct leap_transport_ops *const *leap__transports(void)
{
	static struct leap_transport_ops ops;
	static const struct leap_transport_ops *const all[] = { &ops, NULL };

	ops = leap__pcie_transport;
	ops.qp_connect = fake_connect;
	return all;
}

/* ---- a host over it ---- */

static uint32_t below(uint32_t n)
{
	return test_rand_below(&w.rnd, n);
}

static uint64_t bounced(void)
{
	struct leap_pollgroup_stats s = { .size = sizeof(s) };

	assert_int_equal(leap_pollgroup_stats(w.pg, &s), 0);
	return s.bounced;
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void added(int err, void *arg)
{
	*(int *)arg = err ? -1 : 1;
}

static void turn(const int *flag)
{
	while (!*flag)
		leap_pollgroup_wait(w.pg, 100000000);
}

static void log_line(void *arg, enum leap_log_level level, const char *text)
{
	if (level > LEAP_LOG_WARN)
		return;
	w.warned++;
	snprintf(w.log, sizeof(w.log), "%s", text);
}

static int setup(void **state)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	struct leap_ns_opts nopts = LEAP_NS_OPTS_INIT;
	int is_added = 0;

	memset(&w, 0, sizeof(w));
	fake_vfio_init(&fake);
	w.rnd.s = 1;
	w.url = URL;
	w.depth = 32;
	popts.spin_ns = -1;	/* sleep whenever there is nothing to do */
	popts.log = log_line;
	sopts.nqn = NQN;
	sopts.allow_any_host = 1;
	assert_int_equal(leap_pollgroup_create(&popts, &w.pg), 0);
	assert_int_equal(leap_target_create(w.pg, NULL, &w.target), 0);
	assert_int_equal(leap_subsystem_create(w.target, &sopts, &w.ss), 0);
	assert_int_equal(leap_bdev_open(w.pg, "memory:4M", &nopts.bdev), 0);
	assert_true(leap_ns_add(w.ss, &nopts, added, &is_added) > 0);
	turn(&is_added);
	assert_int_equal(leap_vdev_create(w.ss, NULL, &fake.vdev), 0);
	mopts.bytes = MEM;
	mopts.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_dmabuf_create(&mopts, &w.mem), 0);
	w.base = leap_dmabuf_addr(w.mem);
	w.copy = calloc(BLOCKS, BLOCK);
	return 0;
}

static int teardown(void **state)
{
	int done = 0;

	leap_vdev_destroy(fake.vdev, set_flag, &done);
	if (fake.vdev)
		turn(&done);
	done = 0;
	leap_target_destroy(w.target, set_flag, &done);
	turn(&done);
	leap_dmabuf_put(w.mem);
	free(w.copy);
	assert_int_equal(leap_pollgroup_destroy(w.pg), 0);
	return 0;
}

static int start(uint32_t flags)
{
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;

	o.url = w.url;
	o.nr_io_queues = 2;
	o.depth = w.depth;
	o.flags = flags;
	o.reconnect_ms = 1;
	w.host = NULL;
	return leap_host_connect(w.pg, &o, &w.host);
}

static void open_host(uint32_t flags)
{
	assert_int_equal(start(flags), 0);
	while (leap_host_state(w.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(w.pg, 100000000);
	assert_int_equal(leap_host_state(w.host), LEAP_HOST_LIVE);
}

/* The drive hears of memory that is gone in its own time. */
static void close_host(void)
{
	size_t i;
	int done = 0;

	leap_host_close(w.host, set_flag, &done);
	turn(&done);
	fake_vfio_check_closed(&fake);
	for (i = 0; i < FAKE_DMA; i++)
		while (fake.dma[i].bytes)
			leap_pollgroup_poll(w.pg, 0);
}

static void one(uint32_t queue)
{
	uint32_t nr = 1 + below(below(4) ? 16 : MOST / BLOCK), i;
	uint32_t lba = below(BLOCKS - nr), n = nr * BLOCK;
	int is_write = below(2) == 0;
	uint8_t *here = w.copy + (size_t)lba * BLOCK;
	struct leap_piece piece = {
		.addr = w.base + below(1024) * 4, .len_bytes = n,
		.buf = w.elsewhere ? NULL : w.mem,
	};
	struct leap_req req = { .pieces = &piece, .nr_pieces = 1 };
	uint8_t *p = piece.addr;

	req.sqe.opc = is_write ? LEAP_NVM_WRITE : LEAP_NVM_READ;
	req.sqe.nsid = leap_to_le32(1);
	req.sqe.cdw10 = leap_to_le32(lba);
	req.sqe.cdw12 = leap_to_le32(nr - 1);
	for (i = 0; i < n; i++) {
		p[i] = is_write ? (uint8_t)below(256) : 0x5a;
		if (is_write)
			here[i] = p[i];
	}
	assert_int_equal(leap_host_sync(w.host, w.pg, queue, &req), 0);
	assert_int_equal(leap_req_status(&req), 0);
	assert_memory_equal(p, here, n);
}

static void some(int n)
{
	while (n--)
		one(1 + below(2));
}

static void test_data(void **state)
{
	static const uint32_t flags[] = { 0, LEAP_QP_PRP };
	size_t k;

	for (k = 0; k < COUNT(flags); k++) {
		open_host(flags[k]);
		some(200);
		assert_true(fake.locked >= MEM);
		close_host();
	}
	assert_int_equal(w.warned, 0);
	assert_int_equal(bounced(), 0);
}

/* What may not be locked is bounced; somebody is told, with the way out. */
static void test_memlock(void **state)
{
	open_host(0);
	fake.lockable = fake.locked;
	some(100);
	assert_int_equal(fake.locked, fake.lockable);
	assert_int_equal(bounced(), 100);
	assert_int_equal(w.warned, 1);
	assert_non_null(strstr(w.log, FAKE_ADDRESS));
	close_host();
	/* Not even queues. */
	fake.lockable = 4096;
	assert_int_equal(start(0), 0);
	while (leap_host_state(w.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(w.pg, 100000000);
	assert_int_equal(leap_host_state(w.host), LEAP_HOST_FAILED);
	close_host();
}

/* An IOMMU translates only so many addresses: they are used again. */
static void test_few_addresses(void **state)
{
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	struct leap_piece piece = { .len_bytes = 4096 };
	uint64_t locked;
	int k;

	fake.short_ranges = 1;
	open_host(0);
	locked = fake.locked;
	mopts.bytes = 1 << 20;
	mopts.huge = LEAP_HUGE_NEVER;
	for (k = 0; k < 64; k++) {
		struct leap_req req = { .pieces = &piece, .nr_pieces = 1 };

		assert_int_equal(leap_dmabuf_create(&mopts, &piece.buf), 0);
		piece.addr = leap_dmabuf_addr(piece.buf);
		req.sqe.opc = LEAP_NVM_READ;
		req.sqe.nsid = leap_to_le32(1);
		req.sqe.cdw12 = leap_to_le32(7);
		assert_int_equal(leap_host_sync(w.host, w.pg, 1, &req), 0);
		assert_int_equal(leap_req_status(&req), 0);
		assert_int_equal(fake.locked, locked + (1 << 20));
		leap_dmabuf_put(piece.buf);
		while (fake.locked > locked)
			leap_pollgroup_poll(w.pg, 0);
	}
	assert_int_equal(w.warned, 0);
	close_host();
}

/* Any one call of bring-up fails: the host says so, or goes on without. */
static void any_call(void)
{
	int n, calls, live = 0, failed = 0;

	open_host(0);
	calls = fake.calls;
	close_host();
	for (n = 1; n <= calls; n++) {
		fake.calls = 0;
		fake.fail_at = n;
		fake.fail_err = -EIO;
		if (start(0)) {
			failed++;
			fake_vfio_check_closed(&fake);
			continue;
		}
		while (leap_host_state(w.host) == LEAP_HOST_CONNECTING)
			leap_pollgroup_wait(w.pg, 100000000);
		if (leap_host_state(w.host) == LEAP_HOST_LIVE) {
			some(2);
			live++;
		} else {
			failed++;
		}
		fake.fail_at = 0;
		close_host();
	}
	assert_true(failed > 30);
	assert_true(live > 0);
}

static void test_any_call(void **state)
{
	any_call();
}

/* ---- without an IOMMU ---- */

/* Only who says that he wants it gets it. */
static void test_no_iommu_asked(void **state)
{
	struct leap_lender_opts lopts = LEAP_LENDER_OPTS_INIT;
	struct leap_lender *lender;

	fake.no_iommu = 1;
	assert_int_equal(start(0), -EOPNOTSUPP);
	assert_last_error("an IOMMU is needed, or ?noiommu=1");
	fake_vfio_check_closed(&fake);
	w.url = "pcie:" FAKE_ADDRESS "?noiommu=0/" NQN;
	assert_int_equal(start(0), -EINVAL);
	assert_last_error("only ?noiommu=1 may follow an address");
	w.url = "pcie:" FAKE_ADDRESS "1?noiommu=1/" NQN;
	assert_int_equal(start(0), -EINVAL);
	assert_last_error("is not a PCI address");
	lopts.url = NO_IOMMU_URL;
	assert_int_equal(leap_lender_create(w.pg, &lopts, &lender),
			 -EOPNOTSUPP);
	assert_last_error("without an IOMMU a device cannot be lent");
	/* Asked for and not needed: then it is not used. */
	fake.no_iommu = 0;
	w.url = NO_IOMMU_URL;
	open_host(0);
	some(20);
	assert_int_equal(w.warned, 0);
	close_host();
}

/* No two pages lie together; every list has to say where each is. */
static void test_no_iommu_data(void **state)
{
	static const uint32_t flags[] = { 0, LEAP_QP_PRP };
	size_t k;

	fake.no_iommu = 1;
	w.url = NO_IOMMU_URL;
	for (k = 0; k < COUNT(flags); k++) {
		open_host(flags[k]);
		assert_non_null(strstr(w.log, "can write to all memory"));
		some(200);
		assert_true(fake.locked >= MEM);
		assert_int_equal(bounced(), k * 200);
		w.elsewhere = 1;
		some(200);
		assert_int_equal(bounced(), k * 200 + 200);
		w.elsewhere = 0;
		some(50);
		close_host();
		assert_int_equal(w.warned, 1 + (int)k);
	}
}

static void test_no_iommu_lock(void **state)
{
	fake.no_iommu = 1;
	w.url = NO_IOMMU_URL;
	open_host(0);
	fake.lockable = fake.locked;
	some(100);
	assert_int_equal(fake.locked, fake.lockable);
	assert_int_equal(w.warned, 2);
	close_host();
}

static void test_no_iommu_calls(void **state)
{
	fake.no_iommu = 1;
	w.url = NO_IOMMU_URL;
	any_call();
}

/* A ring longer than what lies together cannot be used. */
static void test_no_iommu_rings(void **state)
{
	fake.no_iommu = 1;
	w.url = NO_IOMMU_URL;
	w.depth = 128;
	assert_int_equal(start(0), 0);
	while (leap_host_state(w.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(w.pg, 100000000);
	assert_int_equal(leap_host_state(w.host), LEAP_HOST_FAILED);
	assert_last_error("without huge pages");
	close_host();
	fake.piece = 2;
	open_host(0);
	some(200);
	close_host();
}

/* Half a second without a command: it sleeps, and does not wake up. */
static void test_idle(void **state)
{
	struct leap_pollgroup_stats a = { .size = sizeof(a) }, b = a;
	uint64_t from;

	open_host(0);
	some(10);
	for (from = leap_pollgroup_now_ns(w.pg);
	     leap_pollgroup_now_ns(w.pg) - from < 100000000;)
		leap_pollgroup_wait(w.pg, 50000000);
	assert_true(fake.irq[0] >= 0);
	leap_pollgroup_stats(w.pg, &a);
	for (from = leap_pollgroup_now_ns(w.pg);
	     leap_pollgroup_now_ns(w.pg) - from < 500000000;)
		leap_pollgroup_wait(w.pg, 250000000);
	leap_pollgroup_stats(w.pg, &b);
	assert_in_range(b.wakeups - a.wakeups, 0, 5);
	some(10);
	close_host();
}

static void count_done(struct leap_req *req)
{
	++*(int *)req->lib[0];
	assert_int_equal(leap_req_status(req), 0);
}

/* @req[OUT] on their way; *@done counts. */
static void send_reads(struct leap_req *req, struct leap_piece *piece,
		       int *done)
{
	struct leap_req *r;
	int i;

	memset(req, 0, OUT * sizeof(*req));
	for (i = 0; i < OUT; i++) {
		r = &req[i];
		piece[i] = (struct leap_piece){
			.addr = w.base + i * 4096, .len_bytes = 4096,
			.buf = w.mem,
		};
		r->sqe.opc = LEAP_NVM_READ;
		r->sqe.nsid = leap_to_le32(1);
		r->sqe.cdw12 = leap_to_le32(7);
		r->pieces = &piece[i];
		r->nr_pieces = 1;
		r->done = count_done;
		r->lib[0] = (uintptr_t)done;
		assert_int_equal(leap_host_submit(w.host, 1, &r, 1),
				 1);
	}
}

/* Unplugged: let go at once, with commands out; when it is there again, go on.
 * Nothing of the device is touched in between. */
static void test_wanted_back(void **state)
{
	struct leap_piece piece[OUT];
	struct leap_req req[OUT];
	int done;
	const uint64_t one_event = 1;
	int k;

	open_host(0);
	for (k = 0; k < 40; k++) {
		int fd = k % 2 ? fake.err_fd : fake.req_fd;

		some(3);
		assert_true(fd >= 0);
		fake.no_group = 1;
		done = 0;
		send_reads(req, piece, &done);
		leap_pollgroup_poll(w.pg, (unsigned int)k % 4);
		assert_int_equal(write(fd, &one_event, 8), 8);
		while (fake.device)
			leap_pollgroup_wait(w.pg, 100000000);
		assert_non_null(strstr(w.log, "the kernel wants it back"));
		fake_vfio_check_closed(&fake);
		fake.no_group = 0;
		while (leap_host_state(w.host) != LEAP_HOST_LIVE || done < OUT)
			leap_pollgroup_wait(w.pg, 100000000);
	}
	some(20);
	close_host();
}

/* ---- registers that are mapped ---- */

static uint32_t reg(uint32_t at)
{
	return leap_from_le32(*(volatile leap_le32 *)(void *)(fake.bar + at));
}

static void set_reg(uint32_t at, uint32_t value)
{
	*(volatile leap_le32 *)(void *)(fake.bar + at) = leap_to_le32(value);
}

static void test_mapped(void **state)
{
	struct leap_vdev *vdev = fake.vdev;
	int done = 0;

	fake.vdev = NULL;
	fake.map_bar = 1;
	fake.can_reset = 1;
	fake.config[9] = 2;
	fake.config[10] = 8;
	fake.config[11] = 1;
	set_reg(LEAP_REG_CAP, 0x02010fff);	/* 1 s; 4096 entries */
	set_reg(LEAP_REG_CAP + 4, 0x20);	/* NVM command set */
	set_reg(LEAP_REG_VS, 0x20000);
	assert_int_equal(start(0), 0);
	while (!reg(LEAP_REG_DBL)) {
		leap_pollgroup_poll(w.pg, 0);
		set_reg(LEAP_REG_CSTS, reg(LEAP_REG_CC) & 1);
	}
	/* Identify waits; nobody will do it. */
	assert_int_equal(reg(LEAP_REG_DBL), 1);
	assert_int_equal(fake.config[4], 6);
	assert_int_equal(reg(LEAP_REG_ASQ + 4), 1);	/* from 4 GiB on */
	assert_int_equal(reg(LEAP_REG_ASQ) & 4095, 0);
	assert_int_equal(reg(LEAP_REG_ACQ + 4), 1);
	assert_true(reg(LEAP_REG_ACQ) > reg(LEAP_REG_ASQ));
	leap_host_close(w.host, set_flag, &done);
	while (!done) {
		leap_pollgroup_poll(w.pg, 0);
		set_reg(LEAP_REG_CSTS, reg(LEAP_REG_CC) & 1);
	}
	assert_int_equal(reg(LEAP_REG_CC) & 1, 0);
	assert_int_equal(fake.resets, 1);
	fake_vfio_check_closed(&fake);
	fake.vdev = vdev;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_data), T(test_memlock), T(test_few_addresses),
		T(test_any_call), T(test_idle), T(test_wanted_back),
		T(test_mapped), T(test_no_iommu_asked),
		T(test_no_iommu_data), T(test_no_iommu_lock),
		T(test_no_iommu_calls), T(test_no_iommu_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
