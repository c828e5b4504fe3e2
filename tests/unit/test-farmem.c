/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest whose payload is in another machine's memory: a drive's controller
 * that reaches it by RDMA READ and WRITE alone, over the fake fabric, while
 * connections break, keys are wrong, and the guest takes memory back.
 *
 *	guest driver -> vdev -> memory leaf
 *	                  \--- READ, WRITE ---> share of the owner
 *
 * The owner's mapping of the memory is PROT_NONE, and so nobody but the device
 * touches it.
 */
#include "count.h"
#include "fake-verbs.h"
#include "payload-fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <leapio/leapio.h>

#include "transport/rdma/farmem.h"
#include "transport/rdma/group.h"

#define NQN	"nqn.2026-01.org.example:far-memory"
#define SECONDS(n) ((n) * 1000000000ull)
#define FAULT	(LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR)

static struct {
	struct fake_fabric *fabric;
	/* The owner of the memory. */
	struct leap_pollgroup *owner;
	struct leap_share *share;
	char url[64];
	int stopped;
	/* Who serves the drive. */
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_vdev *vdev;
	struct leap_farmem *far;
	int opened;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	struct payload pay;
	struct unit_lived lived;
} w;

static uint64_t lived_ns(void)
{
	return unit_lived_ns(&w.lived, leap_pollgroup_now_ns(w.pg));
}

static void poll_all(void *arg)
{
	(void)arg;
	leap_pollgroup_poll(w.pg, 0);
	if (!w.stopped)
		leap_pollgroup_poll(w.owner, 0);
}

static void turn(const int *flag)
{
	uint64_t from = lived_ns();

	while (!*flag) {
		poll_all(NULL);
		assert_true(lived_ns() - from < SECONDS(20));
	}
}

static void pass(uint64_t ns)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);

	while (leap_pollgroup_now_ns(w.pg) - from < ns)
		poll_all(NULL);
	/* What the time has made due, however long this process stood still. */
	poll_all(NULL);
}

/* ---- the owner ---- */

static void share(uint32_t perm)
{
	struct leap_share_opts o = LEAP_SHARE_OPTS_INIT;

	o.url = w.url;
	o.buf = w.pay.buf;
	o.perm = perm;
	memset(o.token, 0x77, sizeof(o.token));
	assert_int_equal(leap_share_create(w.owner, &o, &w.share), 0);
	snprintf(w.url, sizeof(w.url), "%s", leap_share_url(w.share));
}

static void unshare(void)
{
	int done = 0;

	leap_share_destroy(w.share, set_flag, &done);
	w.share = NULL;
	turn(&done);
}

/* ---- who serves ---- */

static void on_opened(struct leap_farmem *far, int err, void *arg)
{
	(void)arg;
	if (!err)
		assert_true(leap_farmem_bytes(far) == BYTES);
	w.opened = err ? err : 1;
}

static void far_open(uint8_t token)
{
	struct leap_farmem_opts o = LEAP_FARMEM_OPTS_INIT;

	o.url = w.url;
	o.reconnect_ms = 5;
	o.loss_ms = 1000;
	o.opened = on_opened;
	memset(o.token, token, sizeof(o.token));
	w.opened = 0;
	assert_int_equal(leap_farmem_open(w.pg, &o, &w.far), 0);
	turn(&w.opened);
}

static void far_close(void)
{
	int done = 0;

	leap_farmem_close(w.far, set_flag, &done);
	w.far = NULL;
	turn(&done);
}

static struct leap_farmem_info info(void)
{
	struct leap_farmem_info i = { sizeof(i) };

	assert_int_equal(leap_farmem_info(w.far, &i), 0);
	return i;
}

static struct leap_ats_range range(uint64_t offset, uint64_t bytes)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = PAYLOAD + offset;
	assert_int_equal(leap_farmem_range(w.far, offset, bytes,
					   LEAP_PERM_READ | LEAP_PERM_WRITE,
					   &r), 0);
	return r;
}

static void mem_add(void)
{
	struct leap_ats_range r = range(0, BYTES);

	assert_int_equal(leap_vdev_mem_add(w.vdev, &r), 0);
}

static void mem_del(uint64_t offset, uint64_t bytes)
{
	int done = 0;

	assert_int_equal(leap_vdev_mem_del(w.vdev,
			 (leap_gpa_t){ PAYLOAD + offset }, bytes, set_err,
			 &done), 0);
	turn(&done);
	assert_int_equal(done, 1);
}

static struct leap_pollgroup *pollgroup(void)
{
	struct leap_pollgroup *pg;

	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	assert_int_equal(leap__rdma_use(pg, &w.fabric->v), 0);
	return pg;
}

static void start_guest(void)
{
	struct leap_subsystem *ss;

	w.target = serve_target(w.pg, NQN, &ss);
	serve_ns(w.pg, ss, "memory:2M", 1);
	assert_int_equal(leap_vdev_create(ss, NULL, &w.vdev), 0);
	w.g = gd_new(w.vdev, 1 << 20, poll_all, NULL);
	gd_up(w.g, &w.cq, &w.sq, 64);
	w.pay.g = w.g;
	w.pay.sq = &w.sq;
}

static int setup_on(int iwarp)
{
	memset(&w, 0, sizeof(w));
	w.pay.rnd.s = 11;
	w.fabric = fake_fabric_create();
	w.fabric->dev.caps.remote_sink = (uint8_t)iwarp;
	w.owner = pollgroup();
	w.pg = pollgroup();
	pay_make(&w.pay, NULL);
	/* What a device reaches does not depend on page tables. */
	w.fabric->alias_at = (uintptr_t)leap_dmabuf_addr(w.pay.buf);
	w.fabric->alias_bytes = BYTES;
	w.fabric->alias = w.pay.own;
	assert_int_equal(mprotect(leap_dmabuf_addr(w.pay.buf), BYTES,
				  PROT_NONE), 0);
	snprintf(w.url, sizeof(w.url), "rdma://127.0.0.1:0");
	share(LEAP_PERM_READ | LEAP_PERM_WRITE);
	start_guest();
	far_open(0x77);
	assert_int_equal(w.opened, 1);
	mem_add();
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_on(0);
}

static int setup_iwarp(void **state)
{
	(void)state;
	return setup_on(1);
}

static int teardown(void **state)
{
	struct leap_pollgroup_stats st = { sizeof(st) };
	int done = 0;

	(void)state;
	leap_vdev_destroy(w.vdev, set_flag, &done);
	turn(&done);
	serve_stop(w.pg, w.target);
	gd_free(w.g);
	if (w.far)
		far_close();
	if (w.share)
		unshare();
	pay_free(&w.pay);
	assert_int_equal(leap_pollgroup_stats(w.pg, &st), 0);
	assert_int_equal(st.bufs_in_use, 0);
	while (leap_pollgroup_destroy(w.pg) == -EBUSY)
		poll_all(NULL);
	while (leap_pollgroup_destroy(w.owner) == -EBUSY)
		leap_pollgroup_poll(w.owner, 0);
	assert_int_equal(fake_fabric_destroy(w.fabric), 0);
	return 0;
}

/* ---- I/O ---- */

/* By time, not by turns as gd_wait. */
static leap_status_t ended(uint16_t cid)
{
	uint64_t from = lived_ns();

	while (!w.g->done[cid]) {
		gd_reap(w.g, &w.cq, &w.sq);
		poll_all(NULL);
		assert_true(lived_ns() - from < SECONDS(20));
	}
	return gd_wait(w.g, &w.sq, cid);
}

static leap_status_t run_sqe(const struct leap_sqe *sqe)
{
	return ended(gd_submit(w.g, &w.sq, sqe));
}

static leap_status_t run(uint8_t opc, uint32_t lba, uint32_t nr, uint32_t at)
{
	struct leap_sqe sqe = pay_sqe(&w.pay, opc, lba, nr, at);

	return run_sqe(&sqe);
}

static void settle(const uint16_t *cids, leap_status_t expect)
{
	uint32_t i;

	for (i = 0; i < OUT; i++) {
		ended(cids[i]);
		assert_int_equal(w.g->raw & ~LEAP_STATUS_MORE, expect);
	}
}

/* While the fabric is paused: until that many moves wait in it. */
static void posted(uint32_t n)
{
	const struct leap__v_qp *qp = fake_id(w.fabric, 0, 0)->qp;
	uint64_t from = lived_ns();

	while (qp->sq_tail - qp->sq_head < n) {
		poll_all(NULL);
		assert_true(lived_ns() - from < SECONDS(20));
	}
}

/* ---- tests ---- */

static void test_moves(void **state)
{
	uint64_t reads = w.fabric->nr_reads, writes = w.fabric->nr_writes;
	int k;

	(void)state;
	for (k = 0; k < 300; k++)
		pay_one(&w.pay, k, run_sqe);
	assert_true(info().reads >= 300 && info().writes >= 300);
	assert_true(w.fabric->nr_reads - reads == info().reads);
	assert_true(w.fabric->nr_writes - writes == info().writes);
	assert_int_equal(info().connections, 1);
	assert_int_equal(info().failed, 0);
}

/* Over iWARP a WRITE that is done has been sent: the guest is told when it has
 * landed, which the answer to a READ says. */
static void test_landed(void **state)
{
	struct leap_sqe sqe = pay_sqe(&w.pay, LEAP_NVM_READ, 0, 8, 0);
	uint64_t before;
	uint16_t cid;
	int k;

	(void)state;
	for (k = 0; k < 100; k++)
		pay_one(&w.pay, k, run_sqe);
	w.fabric->late_reads = 1;
	before = w.fabric->nr_writes;
	cid = gd_submit(w.g, &w.sq, &sqe);
	while (w.fabric->nr_writes == before)
		poll_all(NULL);
	for (k = 0; k < 200; k++)
		poll_all(NULL);
	gd_reap(w.g, &w.cq, &w.sq);
	assert_false(w.g->done[cid]);
	fake_end_late(w.fabric);
	assert_int_equal(ended(cid), 0);
	w.fabric->late_reads = 0;
}

/* What was allocated for the first commands serves all that follow. */
static void test_no_malloc(void **state)
{
	uint16_t cids[OUT];
	uint64_t before;
	uint32_t k;

	(void)state;
	for (k = 0; k < 20; k++) {
		pay_load(&w.pay, cids, (uint8_t)k);
		settle(cids, 0);
	}
	before = count_calls();
	assert_true(before > 0);
	for (k = 0; k < 500; k++) {
		pay_load(&w.pay, cids, (uint8_t)k);
		settle(cids, 0);
	}
	assert_int_equal(count_calls(), before);
	assert_true(info().reads >= 500 * OUT / 2);
}

/* All of a command's parts are under way at once. */
static void test_at_once(void **state)
{
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, 0, 8 * 8);
	uint64_t list = gd_alloc(w.g, GD_PAGE), posts;
	leap_le64 *entry = gd_at(w.g, list);
	uint16_t cid;
	uint32_t i;

	(void)state;
	for (i = 0; i < 8; i++) {
		memset(w.pay.own + i * 2 * GD_PAGE, (int)i + 1, GD_PAGE);
		entry[i] = leap_to_le64(PAYLOAD + (i + 1) * 2 * GD_PAGE);
	}
	sqe.prp1 = leap_to_le64(PAYLOAD);
	sqe.prp2 = leap_to_le64(list);
	w.fabric->paused = 1;
	posts = info().reads;
	cid = gd_submit(w.g, &w.sq, &sqe);
	posted(8);
	assert_int_equal(info().reads, posts);
	assert_int_equal(fake_id(w.fabric, 0, 0)->qp->sq_tail -
			 fake_id(w.fabric, 0, 0)->qp->sq_head, 8);
	fake_resume(w.fabric);
	assert_int_equal(ended(cid), 0);
	assert_int_equal(info().reads, posts + 8);
	assert_int_equal(run(LEAP_NVM_READ, 0, 64, 1 << 20),
			 0);
	for (i = 0; i < 64 * 512; i++)
		assert_int_equal(w.pay.own[(1 << 20) + i], i / GD_PAGE + 1);
}

/* A connection that is lost is made again; the guest sees nothing of it. */
static void test_broken(void **state)
{
	uint16_t cids[OUT];
	uint32_t k, i;

	(void)state;
	for (k = 0; k < 40; k++) {
		w.fabric->paused = k & 1;
		pay_load(&w.pay, cids, (uint8_t)k);
		for (i = 0; i < k % 5; i++)
			poll_all(NULL);
		if (k % 3)
			fake_break(fake_id(w.fabric, 0, 0));
		else
			fake_break(fake_id(w.fabric, 1, 0));
		w.fabric->paused = 0;
		settle(cids, 0);
		pay_one(&w.pay, (int)k, run_sqe);
	}
	assert_true(info().connections > 30);
	assert_true(info().redone > 100);
	assert_int_equal(info().failed, 0);
}

/* The owner takes the memory back under load: errors that may be retried, and
 * soon; then it gives it anew, by another key. */
static void test_revoked(void **state)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	uint16_t cids[OUT];
	uint64_t from;

	(void)state;
	w.fabric->paused = 1;
	pay_load(&w.pay, cids, 1);
	poll_all(NULL);
	unshare();
	w.fabric->paused = 0;
	memset(w.pay.own, 0xa5, BYTES);
	from = lived_ns();
	settle(cids, LEAP_SC_DATA_TRANSFER);
	assert_true(lived_ns() - from < SECONDS(2));
	assert_int_equal(info().failed, OUT);
	/* Nothing has got there since. */
	assert_int_equal(run(LEAP_NVM_READ, 0, 64, 0), LEAP_SC_DATA_TRANSFER);
	assert_int_equal(w.pay.own[0], 0xa5);
	share(LEAP_PERM_READ | LEAP_PERM_WRITE);
	pass(SECONDS(1) / 5);
	pay_one(&w.pay, 1, run_sqe);
	/* One that gives less is another one. */
	unshare();
	share(LEAP_PERM_READ);
	pass(SECONDS(1) / 5);
	assert_int_equal(run(LEAP_NVM_WRITE, 0, 64, 0), LEAP_SC_DATA_TRANSFER);
	assert_int_equal(w.g->raw & ~LEAP_STATUS_MORE, FAULT);
	mem_del(0, BYTES);
	far_close();
	far_open(0x77);
	assert_int_equal(w.opened, 1);
	assert_int_equal(leap_farmem_range(w.far, 0, BYTES, LEAP_PERM_READ,
					   &r), 0);
	r.gpa.addr = PAYLOAD;
	assert_int_equal(leap_vdev_mem_add(w.vdev, &r), 0);
	assert_int_equal(run(LEAP_NVM_WRITE, 0, 64, 0), 0);
}

/* A share that takes each connection, and ends it before anything has moved:
 * what waits fails in its time all the same, and an unmap is over by then. */
static void test_fickle(void **state)
{
	uint64_t from = lived_ns(), seen = info().connections;
	uint16_t cids[OUT];
	int done = 0;

	(void)state;
	w.fabric->paused = 1;
	pay_load(&w.pay, cids, 1);
	posted(OUT);
	fake_break(fake_id(w.fabric, 0, 0));
	assert_int_equal(leap_vdev_mem_del(w.vdev, (leap_gpa_t){ PAYLOAD },
					   BYTES, set_err, &done), 0);
	while (!done && lived_ns() - from < SECONDS(6)) {
		poll_all(NULL);
		if (info().connections == seen)
			continue;
		seen = info().connections;
		fake_break(fake_id(w.fabric, 0, 0));
	}
	assert_int_equal(done, 1);
	assert_true(lived_ns() - from < SECONDS(4));
	assert_true(info().connections > 10);
	settle(cids, LEAP_SC_DATA_TRANSFER);
	w.fabric->paused = 0;
	mem_add();
	pay_one(&w.pay, 1, run_sqe);
}

/* The owner goes and comes while commands wait: they see a pause. */
static void test_restarted(void **state)
{
	uint16_t cids[OUT];
	uint32_t k, i;

	(void)state;
	for (k = 0; k < 10; k++) {
		pay_load(&w.pay, cids, (uint8_t)k);
		for (i = 0; i < k; i++)
			poll_all(NULL);
		unshare();
		pass(SECONDS(1) / 50);
		share(LEAP_PERM_READ | LEAP_PERM_WRITE);
		settle(cids, 0);
		pay_one(&w.pay, (int)k, run_sqe);
	}
	assert_int_equal(info().failed, 0);
	assert_int_equal(info().connections, 11);
}

/* Memory goes while READs and WRITEs are out: the unmap waits for them. */
static void test_unmap(void **state)
{
	uint16_t cids[OUT];
	int done = 0;
	uint32_t i;

	(void)state;
	w.fabric->paused = 1;
	pay_load(&w.pay, cids, 2);
	posted(OUT);
	assert_int_equal(leap_vdev_mem_del(w.vdev, (leap_gpa_t){ PAYLOAD },
					   BYTES, set_err, &done), 0);
	pass(SECONDS(1) / 50);
	assert_int_equal(done, 0);
	fake_resume(w.fabric);
	turn(&done);
	assert_int_equal(done, 1);
	memset(w.pay.own, 0xa5, BYTES);
	for (i = 0; i < OUT; i++) {
		ended(cids[i]);
		/* What was fetched is written; what is to be brought may find
		 * nothing there any more. */
		assert_true(!w.g->raw || (i & 1 &&
			    (w.g->raw & ~LEAP_STATUS_MORE) == FAULT));
	}
	for (i = 0; i < BYTES; i++)
		assert_int_equal(w.pay.own[i], 0xa5);
	mem_add();
	pay_one(&w.pay, 1, run_sqe);
	/* Again, with a device that never answers: the end of the queue pair
	 * ends it. */
	w.fabric->paused = 1;
	pay_load(&w.pay, cids, 3);
	posted(OUT);
	done = 0;
	assert_int_equal(leap_vdev_mem_del(w.vdev, (leap_gpa_t){ PAYLOAD },
					   BYTES, set_err, &done), 0);
	turn(&done);
	assert_int_equal(done, 1);
	assert_int_equal(gd_rd4(w.g, LEAP_REG_CSTS) & LEAP_CSTS_CFS, 0);
	memset(w.pay.own, 0xa5, BYTES);
	fake_resume(w.fabric);
	for (i = 0; i < OUT; i++)
		assert_int_equal(ended(cids[i]),
				 LEAP_SC_DATA_TRANSFER);
	pass(SECONDS(1) / 50);
	for (i = 0; i < BYTES; i++)
		assert_int_equal(w.pay.own[i], 0xa5);
	mem_add();
	pay_one(&w.pay, 2, run_sqe);
}

/* The device forgets what the key of the memory opens. */
static void invalidate(void)
{
	uint64_t at = (uintptr_t)leap_dmabuf_addr(w.pay.buf);
	uint32_t i, n = 0;

	fake_lock(w.fabric);
	for (i = 0; i < FAKE_MRS; i++)
		if (w.fabric->mrs[i] && w.fabric->mrs[i]->addr == at)
			n += w.fabric->mrs[i]->invalid = 1;
	fake_unlock(w.fabric);
	assert_int_equal(n, 1);
}

/* Both ends do, the owner before it is connected to again: while it has one on
 * the device, it keeps the key that opens nothing. */
static void let_go(uint64_t failures)
{
	struct leap_share_info si = { sizeof(si) };
	uint64_t from = lived_ns();

	while (info().failed < failures) {
		leap_pollgroup_poll(w.pg, 0);
		assert_true(lived_ns() - from < SECONDS(20));
	}
	do {
		leap_pollgroup_poll(w.owner, 0);
		assert_int_equal(leap_share_info(w.share, &si), 0);
		assert_true(lived_ns() - from < SECONDS(20));
	} while (si.peers);
}

/* A key that opens nothing: the queue pair breaks, and the one command that was
 * refused fails; what was out beside it goes on. */
static void test_wrong_key(void **state)
{
	struct leap_ats_range r;
	uint16_t cids[OUT];
	uint32_t k, i;

	(void)state;
	for (k = 0; k < 10; k++) {
		w.fabric->paused = 1;
		pay_load(&w.pay, cids, (uint8_t)k);
		posted(OUT);
		invalidate();
		fake_resume(w.fabric);
		let_go(k + 1);
		for (i = 0; i < OUT; i++) {
			ended(cids[i]);
			assert_int_equal(w.g->raw & ~LEAP_STATUS_MORE,
					 i ? 0 : FAULT);
		}
		pay_one(&w.pay, (int)k, run_sqe);
	}
	assert_int_equal(info().failed, 10);
	assert_int_equal(info().connections, 11);
	/* A range of another key is refused here. */
	mem_del(0, BYTES);
	r = range(0, BYTES);
	r.key ^= 0x10000;
	assert_int_equal(leap_vdev_mem_add(w.vdev, &r), 0);
	assert_int_equal(run(LEAP_NVM_WRITE, 0, 8, 0), LEAP_SC_DATA_TRANSFER);
	assert_int_equal(w.g->raw & ~LEAP_STATUS_MORE, FAULT);
	assert_int_equal(info().connections, 11);
}

/* A range that leaves the share is refused here, the connection stays. */
static void test_bounds(void **state)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	(void)state;
	assert_int_equal(leap_farmem_range(w.far, 1, BYTES, LEAP_PERM_READ,
					   &r), -EINVAL);
	assert_int_equal(leap_farmem_range(w.far, BYTES, 1, LEAP_PERM_READ,
					   &r), -EINVAL);
	assert_int_equal(leap_farmem_range(w.far, 0, 0, LEAP_PERM_READ, &r),
			 -EINVAL);
	mem_del(0, BYTES);
	r = range(0, BYTES);
	r.bytes += 65536;
	r.offset += BYTES / 2;
	assert_int_equal(leap_vdev_mem_add(w.vdev, &r), 0);
	assert_int_equal(run(LEAP_NVM_WRITE, 0, 8, BYTES / 2 - 4096),
			 0);
	/* One byte behind it. */
	assert_int_equal(run(LEAP_NVM_WRITE, 0, 8, BYTES / 2 - 4092),
			 LEAP_SC_DATA_TRANSFER);
	assert_int_equal(w.g->raw & ~LEAP_STATUS_MORE, FAULT);
	/* Beyond the range itself. */
	assert_int_equal(run(LEAP_NVM_WRITE, 0, 8, BYTES + 65536),
			 LEAP_SC_DATA_TRANSFER);
	assert_int_equal(info().connections, 1);
	mem_del(0, BYTES + 65536);
	mem_add();
	pay_one(&w.pay, 1, run_sqe);
}

/* What is given for reading is read; the rest is refused on this side. */
static void test_permission(void **state)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	(void)state;
	mem_del(0, BYTES);
	far_close();
	unshare();
	share(LEAP_PERM_READ);
	far_open(0x77);
	assert_int_equal(w.opened, 1);
	assert_int_equal(leap_farmem_range(w.far, 0, BYTES, LEAP_PERM_WRITE,
					   &r), -EACCES);
	assert_int_equal(leap_farmem_range(w.far, 0, BYTES, LEAP_PERM_READ,
					   &r), 0);
	r.gpa.addr = PAYLOAD;
	assert_int_equal(leap_vdev_mem_add(w.vdev, &r), 0);
	assert_int_equal(run(LEAP_NVM_WRITE, 0, 8, 0),
			 0);
	assert_int_equal(run(LEAP_NVM_READ, 0, 8, 0),
			 LEAP_SC_DATA_TRANSFER);
	assert_int_equal(info().connections, 1);
	mem_del(0, BYTES);
	/* And by the device, for one who says that he may. */
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	assert_int_equal(leap_vdev_mem_add(w.vdev, &r), 0);
	memset(w.pay.own, 0x3c, 4096);
	assert_int_equal(run(LEAP_NVM_READ, 100, 8, 0),
			 LEAP_SC_DATA_TRANSFER);
	assert_int_equal(w.pay.own[0], 0x3c);
	assert_int_equal(run(LEAP_NVM_WRITE, 0, 8, 0),
			 0);
	assert_true(info().connections > 1);
	mem_del(0, BYTES);
}

/* Lists in far memory are not read: the guest is told so. */
static void test_lists(void **state)
{
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, 0, 64);

	(void)state;
	sqe.prp1 = leap_to_le64(PAYLOAD);
	sqe.prp2 = leap_to_le64(PAYLOAD + 65536);
	assert_int_equal(gd_cmd(w.g, &w.sq, &sqe), LEAP_SC_DATA_TRANSFER);
	pay_one(&w.pay, 1, run_sqe);
}

/* Those who do not know the token, and those who are no share. */
static void test_strangers(void **state)
{
	struct leap_share_info si = { sizeof(si) };
	struct leap_farmem *far = w.far;

	(void)state;
	far_open(0x78);
	assert_int_equal(w.opened, -ECONNREFUSED);
	far_close();
	assert_int_equal(leap_share_info(w.share, &si), 0);
	assert_int_equal(si.refused, 1);
	assert_int_equal(si.peers, 1);
	w.far = far;
	pay_one(&w.pay, 1, run_sqe);
}

static void on_host(struct leap_host *h, enum leap_host_state state,
		    leap_status_t status, int err, void *arg)
{
	(void)h;
	(void)status;
	(void)err;
	if (state == LEAP_HOST_FAILED)
		*(int *)arg = 1;
}

/* Far memory of an NVMe target, and a host of a share: neither is had. */
static void test_other_kind(void **state)
{
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_share_info si = { sizeof(si) };
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_farmem *far = w.far;
	int failed = 0, closed = 0;
	struct leap_host *host;
	char url[200];

	(void)state;
	snprintf(url, sizeof(url), "%s/" NQN, w.url);
	ho.url = url;
	ho.state = on_host;
	ho.arg = &failed;
	assert_int_equal(leap_host_connect(w.pg, &ho, &host), 0);
	turn(&failed);
	leap_host_close(host, set_flag, &closed);
	turn(&closed);
	assert_int_equal(leap_share_info(w.share, &si), 0);
	assert_true(si.refused >= 1);
	lo.url = "rdma://127.0.0.1:0";
	assert_int_equal(leap_listener_create(w.target, &lo, &listener), 0);
	snprintf(w.url, sizeof(w.url), "%s", leap_listener_url(listener));
	far_open(0x77);
	assert_int_equal(w.opened, -ECONNREFUSED);
	far_close();
	w.far = far;
	pay_one(&w.pay, 1, run_sqe);
}

/* Private data cut short, damaged, or impossible. */
static void test_private_data(void **state)
{
	static const uint8_t token[LEAP_SHARE_TOKEN] = { 1, 2, 3 };
	static const struct leap__farmem_mem bad[] = {
		{ 4096, 0, 1, 3 }, { UINT64_MAX - 4094, 4096, 1, 3 },
		{ 4096, 4096, 1, 0 }, { 4096, 4096, 1, 4 },
		{ 4096, 4096, 1, 7 }, { 2, UINT64_MAX, 1, 1 },
	};
	struct leap__farmem_mem mem = { 0xfffffffffffff000ull, 4096, 9, 3 };
	struct leap__farmem_req req;
	struct leap__farmem_rep rep;
	uint8_t raw[64] = { 0 };
	uint32_t i;

	(void)state;
	leap__farmem_req_make(&req, token);
	for (i = 0; i < sizeof(raw); i++) {
		memcpy(raw, &req, sizeof(req));
		assert_int_equal(leap__farmem_req_parse(raw, i, token),
				 i < sizeof(req) ? -EPROTO : 0);
		raw[i] ^= 0x40;
		assert_int_equal(leap__farmem_req_parse(raw, sizeof(raw),
							token),
				 i < 8 ? -EPROTO : i < sizeof(req) ?
				 -EACCES : 0);
		raw[i] ^= 0x40;
	}
	leap__farmem_rep_make(&rep, &mem);
	memset(raw, 0, sizeof(raw));
	memcpy(raw, &rep, sizeof(rep));
	for (i = 0; i < sizeof(raw); i++)
		assert_int_equal(leap__farmem_rep_parse(raw, i, &mem),
				 i < sizeof(rep) ? -EPROTO : 0);
	assert_true(mem.addr == 0xfffffffffffff000ull && mem.bytes == 4096 &&
		    mem.key == 9 && mem.perm == 3);
	raw[0] ^= 1;
	assert_int_equal(leap__farmem_rep_parse(raw, sizeof(raw), &mem),
			 -EPROTO);
	for (i = 0; i < COUNT(bad); i++) {
		leap__farmem_rep_make(&rep, &bad[i]);
		assert_int_equal(leap__farmem_rep_parse(&rep, sizeof(rep),
							&mem), -EPROTO);
	}
}

/* The device is pulled out and is there again: the memory has another key. */
static void test_device(void **state)
{
	uint16_t cids[OUT];
	uint32_t i;

	(void)state;
	w.fabric->paused = 1;
	pay_load(&w.pay, cids, 4);
	poll_all(NULL);
	fake_remove_device(w.fabric);
	w.fabric->paused = 0;
	for (i = 0; i < OUT; i++) {
		ended(cids[i]);
		assert_true(w.g->raw == 0 || LEAP_STATUS_CODE(w.g->raw) ==
			    LEAP_SC_DATA_TRANSFER);
	}
	pass(SECONDS(3) / 2);
	mem_del(0, BYTES);
	far_close();
	far_open(0x77);
	assert_int_equal(w.opened, 1);
	mem_add();
	pay_one(&w.pay, 1, run_sqe);
}

/* Every call that makes something fails once. */
static void test_no_memory(void **state)
{
	int i, ok = 0;

	(void)state;
	mem_del(0, BYTES);
	far_close();
	for (i = 1; i < 40 && !ok; i++) {
		struct leap_farmem_opts o = LEAP_FARMEM_OPTS_INIT;

		o.url = w.url;
		o.opened = on_opened;
		memset(o.token, 0x77, sizeof(o.token));
		w.opened = 0;
		w.fabric->fail_calls = i;
		if (leap_farmem_open(w.pg, &o, &w.far))
			continue;
		turn(&w.opened);
		ok = w.opened == 1 && w.fabric->fail_calls;
		w.fabric->fail_calls = 0;
		if (!ok)
			far_close();
	}
	assert_true(ok && i > 5);
	mem_add();
	pay_one(&w.pay, 1, run_sqe);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_moves), T(test_no_malloc), T(test_at_once), T(test_broken),
		T(test_revoked), T(test_fickle), T(test_restarted), T(test_unmap),
		T(test_wrong_key),
		T(test_bounds), T(test_permission), T(test_lists),
		T(test_strangers), T(test_other_kind), T(test_device),
		T(test_no_memory), cmocka_unit_test(test_private_data),
		cmocka_unit_test_setup_teardown(test_landed, setup_iwarp,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
