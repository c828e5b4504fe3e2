/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's drive whose other end shares no memory with the guest's: relayed
 * over TCP, and over RDMA, where the far end reads and writes the guest's
 * memory by key. The far end is killed, or stopped, and the guest takes memory
 * back meanwhile.
 *
 *	guest driver -> vdev -> relay -> rdma: | rdma: -> file
 *
 * The far end has a poll group of its own; stopped means that nobody polls it.
 */
#include "fake-verbs.h"
#include "payload-fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <leapio/leapio.h>

#include "block/bdev.h"
#include "block/relay/relay.h"
#include "core/io/host.h"
#include "transport/rdma/group.h"

#define FAR_NQN	"nqn.2026-01.org.example:far"
#define NQN	"nqn.2026-01.org.example:near"
#define NAME	"leap-soc"
#define SECONDS(n) ((n) * 1000000000ull)

static struct {
	const char *kind;
	struct fake_fabric *fabric;	/* rdma */
	/* The far end. */
	struct leap_pollgroup *soc;
	struct leap_target *far;
	int stopped;
	char far_url[64], file[64];
	/* The agent. */
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *vdev;
	struct leap_bdev *bdev;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	struct payload pay;
	int opened;
} w;

static int is_rdma(void)
{
	return !strcmp(w.kind, "rdma");
}

static void poll_all(void *arg)
{
	leap_pollgroup_poll(w.pg, 0);
	if (w.soc && !w.stopped)
		leap_pollgroup_poll(w.soc, 0);
}

/* Polls, and checks that the flag is there before @ns of polling are over. */
static void turn_soon(const int *flag, uint64_t ns)
{
	struct unit_lived lived = { 0 };

	while (!*flag) {
		poll_all(NULL);
		assert_true(unit_lived_ns(&lived,
				leap_pollgroup_now_ns(w.pg)) < ns);
	}
}

static void turn(const int *flag)
{
	turn_soon(flag, SECONDS(20));
}

static void not_ready_soon(void)
{
	struct unit_lived lived = { 0 };

	while (gd_rd4(w.g, LEAP_REG_CSTS) & LEAP_CSTS_RDY) {
		poll_all(NULL);
		assert_true(unit_lived_ns(&lived,
				leap_pollgroup_now_ns(w.pg)) < SECONDS(2));
	}
}

static void pass(uint64_t ns)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);

	while (leap_pollgroup_now_ns(w.pg) - from < ns)
		poll_all(NULL);
}

/* ---- the far end ---- */

static struct leap_pollgroup *pollgroup(void)
{
	struct leap_pollgroup *pg;

	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	if (w.fabric)
		assert_int_equal(leap__rdma_use(pg, &w.fabric->v), 0);
	return pg;
}

static void far_start(void)
{
	struct leap_subsystem *ss;
	char text[128];

	w.soc = pollgroup();
	w.stopped = 0;
	w.far = serve_target(w.soc, FAR_NQN, &ss);
	snprintf(text, sizeof(text), "file:%s[create=4M]", w.file);
	serve_ns(w.soc, ss, text, 1);
	if (!*w.far_url)
		snprintf(w.far_url, sizeof(w.far_url), "%s://127.0.0.1:0",
			 w.kind);
	snprintf(text, sizeof(text), "%s", serve_at(w.far, w.far_url));
	memcpy(w.far_url, text, sizeof(w.far_url));
}

/* As a SIGKILL does: connections break, and nothing of it is answered. */
static void far_kill(void)
{
	struct leap__v_id *id;
	unsigned int n;
	int done = 0;

	w.stopped = 0;
	for (n = 0; w.fabric && (id = fake_id(w.fabric, 1, n)); n++)
		fake_break(id);
	leap_target_destroy(w.far, set_flag, &done);
	serve_await(w.soc, &done);
	while (leap_pollgroup_destroy(w.soc) == -EBUSY)
		leap_pollgroup_poll(w.soc, 0);
	w.soc = NULL;
}

/* ---- the agent ---- */

static void on_opened(int err, struct leap_bdev *bdev, void *arg)
{
	w.opened = err ? err : 1;
	w.bdev = bdev;
}

static void start_relay(void)
{
	struct leap_relay_opts opts = LEAP_RELAY_OPTS_INIT;
	char url[160];

	snprintf(url, sizeof(url), "%s/" FAR_NQN, w.far_url);
	opts.url = url;
	opts.nr_queues = 2;
	opts.reconnect_ms = 20;
	assert_int_equal(leap_relay_open(w.pg, &opts, on_opened, NULL), 0);
	turn(&w.opened);
	assert_int_equal(w.opened, 1);
}

static void start_guest(void)
{
	w.target = serve_target(w.pg, NQN, &w.ss);
	serve_bdev(w.pg, w.ss, w.bdev, 1);
	assert_int_equal(leap_vdev_create(w.ss, NULL, &w.vdev), 0);
	w.g = gd_new(w.vdev, 1 << 20, poll_all, NULL);
	gd_up(w.g, &w.cq, &w.sq, 64);
	w.pay.g = w.g;
	w.pay.sq = &w.sq;
}

static void start(const char *kind)
{
	int fd;

	memset(&w, 0, sizeof(w));
	w.kind = kind;
	w.pay.rnd.s = 5;
	snprintf(w.file, sizeof(w.file), "/tmp/leap-soc-XXXXXX");
	fd = mkstemp(w.file);
	assert_true(fd >= 0);
	close(fd);
	unlink(w.file);
	if (is_rdma())
		w.fabric = fake_fabric_create();
	w.pg = pollgroup();
	far_start();
	start_relay();
	start_guest();
	pay_make(&w.pay, NAME);
	if (w.fabric) {
		/* What a device reaches does not depend on page tables. */
		w.fabric->alias_at = (uintptr_t)leap_dmabuf_addr(w.pay.buf);
		w.fabric->alias_bytes = BYTES;
		w.fabric->alias = w.pay.own;
	}
	pay_add(&w.pay, w.vdev);
}

static int setup_rdma(void **state)
{
	start("rdma");
	return 0;
}

static int setup_tcp(void **state)
{
	start("tcp");
	return 0;
}

static int teardown(void **state)
{
	int done = 0;

	leap_vdev_destroy(w.vdev, set_flag, &done);
	turn(&done);
	done = 0;
	leap_target_destroy(w.target, set_flag, &done);
	turn(&done);
	gd_free(w.g);
	pay_free(&w.pay);
	while (leap_pollgroup_destroy(w.pg) == -EBUSY)
		poll_all(NULL);
	far_kill();
	unlink(w.file);
	if (w.fabric)
		assert_int_equal(fake_fabric_destroy(w.fabric), 0);
	return 0;
}

/* ---- what the tests look at ---- */

/* Commands whose payload was copied on the way out of this side. */
static uint64_t bounced(void)
{
	struct leap__list *pos;
	uint32_t queues = 0, i;
	uint64_t n = 0;

	leap__list_for_each(pos, &w.bdev->chans) {
		struct leap_chan *chan =
			leap__list_entry(pos, struct leap_chan, link);
		struct leap__link *link = *(struct leap__link **)chan->priv;

		for (i = 1; i <= link->host->nr_q; i++, queues++)
			n += link->host->q[i].qp->bounced;
	}
	assert_int_equal(queues, 2);
	/* Connect of each, whose data is the library's. */
	assert_true(n >= queues);
	return n - queues;
}

static leap_status_t run(const struct leap_sqe *sqe)
{
	return gd_cmd(w.g, &w.sq, sqe);
}

/* Regions of the payload that the device knows. */
static uint32_t known(void)
{
	uint64_t at = (uintptr_t)leap_dmabuf_addr(w.pay.buf);
	uint32_t i, n = 0;

	for (i = 0; w.fabric && i < FAKE_MRS; i++)
		n += w.fabric->mrs[i] && w.fabric->mrs[i]->addr == at;
	return n;
}

static void settle(const uint16_t *cids)
{
	uint32_t i;

	for (i = 0; i < OUT; i++)
		assert_int_equal(gd_wait(w.g, &w.sq, cids[i]), 0);
}

/* ---- tests ---- */

static void test_zero_copies(void **state)
{
	int k;

	pay_one(&w.pay, 1, run);
	assert_int_equal(known(), 1);
	assert_int_equal(mprotect(leap_dmabuf_addr(w.pay.buf), BYTES,
				  PROT_NONE), 0);
	for (k = 0; k < 400; k++)
		pay_one(&w.pay, k, run);
	assert_int_equal(bounced(), 0);
	assert_int_equal(known(), 1);
	assert_true(w.fabric->nr_reads > 200 && w.fabric->nr_writes > 200);
	far_kill();
	far_start();
	for (k = 0; k < 100; k++)
		pay_one(&w.pay, k, run);
	assert_int_equal(bounced(), 0);
}

/* The guest sees a pause. */
static void test_killed(void **state)
{
	uint16_t cids[OUT];
	uint32_t i, k;

	for (k = 0; k < 10; k++) {
		pay_load(&w.pay, cids, (uint8_t)k);
		for (i = 0; i < k * 3; i++)
			poll_all(NULL);
		far_kill();
		pass(SECONDS(1) / 20);
		far_start();
		settle(cids);
		pay_one(&w.pay, (int)k, run);
	}
}

/* Memory goes while a far end that lives does nothing. */
static void test_stopped_unmap(void **state)
{
	leap_gpa_t gpa = { PAYLOAD };
	uint16_t cids[OUT];
	uint32_t i;
	int done = 0;

	pay_one(&w.pay, 1, run);
	pay_load(&w.pay, cids, 0x33);
	w.stopped = 1;
	for (i = 0; i < 100; i++)
		poll_all(NULL);
	assert_int_equal(leap_vdev_mem_del(w.vdev, gpa, BYTES, set_err,
					   &done), 0);
	turn_soon(&done, SECONDS(2));
	assert_int_equal(done, 1);
	assert_int_equal(known(), 0);
	assert_int_equal(gd_rd4(w.g, LEAP_REG_CSTS) & LEAP_CSTS_CFS, 0);
	/* It wakes up, and whatever it does then does not get here. */
	memset(w.pay.own, 0xa5, BYTES);
	w.stopped = 0;
	pass(SECONDS(1) / 2);
	for (i = 0; i < BYTES; i++)
		assert_int_equal(w.pay.own[i], 0xa5);
	for (i = 0; i < OUT; i++) {
		leap_status_t status = gd_wait(w.g, &w.sq, cids[i]);

		/* One that may be tried again; or it was fetched too late. */
		assert_true(status == LEAP_SC_PATH_CTRL || !status ||
			    status == LEAP_SC_DATA_TRANSFER);
	}
	pay_add(&w.pay, w.vdev);
	for (i = 0; i < 20; i++)
		pay_one(&w.pay, (int)i, run);
}

/* The guest resets then. */
static void test_stopped_reset(void **state)
{
	uint16_t cids[OUT];
	uint32_t i;

	pay_one(&w.pay, 1, run);
	pay_load(&w.pay, cids, 0x44);
	w.stopped = 1;
	for (i = 0; i < 100; i++)
		poll_all(NULL);
	gd_wr4(w.g, LEAP_REG_CC, 0);
	not_ready_soon();
	assert_int_equal(gd_rd4(w.g, LEAP_REG_CSTS) & LEAP_CSTS_CFS, 0);
	memset(w.pay.own, 0xa5, BYTES);
	w.stopped = 0;
	pass(SECONDS(1) / 2);
	for (i = 0; i < BYTES; i++)
		assert_int_equal(w.pay.own[i], 0xa5);
	w.g->used = 0;
	gd_up(w.g, &w.cq, &w.sq, 64);
	for (i = 0; i < 20; i++)
		pay_one(&w.pay, (int)i, run);
}

/* Both, with a far end that is dead: commands wait for the next one, and are
 * waited for no more than those that are out. */
static void test_dead(void **state)
{
	leap_gpa_t gpa = { PAYLOAD };
	uint16_t cids[OUT];
	uint32_t i;
	int done = 0;

	pay_one(&w.pay, 1, run);
	pay_load(&w.pay, cids, 0x66);
	far_kill();
	pass(SECONDS(1) / 10);
	assert_int_equal(leap_vdev_mem_del(w.vdev, gpa, BYTES, set_err,
					   &done), 0);
	turn_soon(&done, SECONDS(2));
	assert_int_equal(done, 1);
	pay_add(&w.pay, w.vdev);
	for (i = 0; i < OUT; i++) {
		leap_status_t status = gd_wait(w.g, &w.sq, cids[i]);

		assert_true(status == LEAP_SC_PATH_CTRL || !status ||
			    status == LEAP_SC_DATA_TRANSFER);
	}
	pay_load(&w.pay, cids, 0x77);
	pass(SECONDS(1) / 10);
	gd_wr4(w.g, LEAP_REG_CC, 0);
	not_ready_soon();
	far_start();
	w.g->used = 0;
	gd_up(w.g, &w.cq, &w.sq, 64);
	for (i = 0; i < 20; i++)
		pay_one(&w.pay, (int)i, run);
}

/* Nothing is out: what the device knows is a cache, and goes with the range. */
static void test_eviction(void **state)
{
	leap_gpa_t gpa = { PAYLOAD };
	uint32_t k;
	int done;

	for (k = 0; k < 20; k++) {
		pay_one(&w.pay, (int)k, run);
		assert_int_equal(known(), 1);
		done = 0;
		assert_int_equal(leap_vdev_mem_del(w.vdev, gpa, BYTES,
						   set_err, &done), 0);
		turn(&done);
		assert_int_equal(done, 1);
		assert_int_equal(known(), 0);
		pay_add(&w.pay, w.vdev);
	}
	assert_int_equal(bounced(), 0);
}

/* A guest that only takes memory back which no command is in sees nothing. */
static void test_other_memory(void **state)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct leap_ats_range range = LEAP_ATS_RANGE_INIT;
	struct leap_dmabuf *other;
	uint16_t cids[OUT];
	int done = 0;

	o.bytes = 65536;
	assert_int_equal(leap_dmabuf_create(&o, &other), 0);
	range.gpa.addr = 2 * PAYLOAD;
	range.bytes = 65536;
	range.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	range.source = LEAP_ATS_DMABUF;
	range.buf = other;
	assert_int_equal(leap_vdev_mem_add(w.vdev, &range), 0);
	pay_load(&w.pay, cids, 0x55);
	w.stopped = 1;
	assert_int_equal(leap_vdev_mem_del(w.vdev, range.gpa, 65536,
					   set_err, &done), 0);
	turn(&done);
	assert_int_equal(done, 1);
	pass(SECONDS(3) / 2);
	w.stopped = 0;
	settle(cids);
	leap_dmabuf_put(other);
}

#define T(f, s) cmocka_unit_test_setup_teardown(f, s, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_zero_copies, setup_rdma), T(test_eviction, setup_rdma),
		T(test_killed, setup_rdma), T(test_killed, setup_tcp),
		T(test_stopped_unmap, setup_rdma),
		T(test_stopped_unmap, setup_tcp),
		T(test_stopped_reset, setup_rdma),
		T(test_stopped_reset, setup_tcp),
		T(test_dead, setup_rdma), T(test_dead, setup_tcp),
		T(test_other_memory, setup_rdma),
		T(test_other_memory, setup_tcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
