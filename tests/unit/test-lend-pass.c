/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's drive that is a relay to queue pairs lent from a drive in another
 * process: its payload is never touched here, and memory that the guest takes
 * back leaves the far drive before it is told so.
 *
 *	guest driver -> vdev -> relay -> lent: -> lender -> vfio-user: | process
 */
#include "payload-fixture.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <leapio/leapio.h>

#include "core/io/dispatch.h"
#include "core/io/regctrl.h"

#define FAR_NQN	"nqn.2026-01.org.example:far"
#define NQN	"nqn.2026-01.org.example:near"
#define NAME	"leap-payload"
#define SECONDS(n) ((n) * 1000000000ull)

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *vdev;
	struct leap_lender *lender;
	struct leap_bdev *bdev;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	struct payload pay;
	char far_path[64], path[64];
	int state, opened;
	pid_t pid;
} w;

static void poll_all(void *arg)
{
	leap_pollgroup_wait(w.pg, 100000);
}

static void turn(const int *flag)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);

	while (!*flag) {
		poll_all(NULL);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < SECONDS(120));
	}
}

/* ---- the process with the drive ------------------------------------- */

static void must(int ok)
{
	if (!ok)
		_exit(1);
}

static void serve(int ready, const char *stack)
{
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lopts = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts nopts = LEAP_NS_OPTS_INIT;
	struct leap_listener *listener;
	struct leap_subsystem *ss;
	struct leap_target *target;
	struct leap_pollgroup *pg;
	char url[160];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sopts.nqn = FAR_NQN;
	sopts.allow_any_host = 1;
	must(!leap_pollgroup_create(NULL, &pg));
	must(!leap_target_create(pg, NULL, &target));
	must(!leap_subsystem_create(target, &sopts, &ss));
	must(!leap_bdev_open(pg, stack, &nopts.bdev));
	must(leap_ns_add(ss, &nopts, NULL, NULL) > 0);
	snprintf(url, sizeof(url), "vfio-user:%s/" FAR_NQN, w.far_path);
	lopts.url = url;
	must(!leap_listener_create(target, &lopts, &listener));
	must(write(ready, "r", 1) == 1);
	for (;;)
		leap_pollgroup_wait(pg, -1);
}

static void start_far(const char *stack)
{
	int pipes[2];
	char c;

	snprintf(w.far_path, sizeof(w.far_path), "/tmp/leap-far-%d.sock",
		 getpid());
	snprintf(w.path, sizeof(w.path), "/tmp/leap-near-%d.sock", getpid());
	assert_int_equal(pipe(pipes), 0);
	w.pid = fork();
	assert_true(w.pid >= 0);
	if (!w.pid)
		serve(pipes[1], stack);
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &c, 1), 1);
	close(pipes[0]);
}

/* ---- this one ------------------------------------------------------- */

static void on_changed(struct leap_lender *l, enum leap_lender_state state,
		       int err, void *arg)
{
	w.state = (int)state;
}

static void on_opened(int err, struct leap_bdev *bdev, void *arg)
{
	w.opened = err ? err : 1;
	w.bdev = bdev;
}

static void start_relay(void)
{
	struct leap_lender_opts lopts = LEAP_LENDER_OPTS_INIT;
	struct leap_relay_opts ropts = LEAP_RELAY_OPTS_INIT;
	char url[160];

	snprintf(url, sizeof(url), "vfio-user:%s/" FAR_NQN, w.far_path);
	lopts.url = url;
	lopts.path = w.path;
	lopts.changed = on_changed;
	assert_int_equal(leap_lender_create(w.pg, &lopts, &w.lender), 0);
	while (w.state == LEAP_LENDER_OPENING)
		poll_all(NULL);
	assert_int_equal(w.state, LEAP_LENDER_LIVE);
	snprintf(url, sizeof(url), "lent:%s/" FAR_NQN, w.path);
	ropts.url = url;
	ropts.nr_queues = 2;
	assert_int_equal(leap_relay_open(w.pg, &ropts, on_opened, NULL), 0);
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

static void start(const char *stack, uint32_t share_bufs)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;

	memset(&w, 0, sizeof(w));
	w.pay.rnd.s = 5;
	start_far(stack);
	popts.share_bufs = share_bufs;
	assert_int_equal(leap_pollgroup_create(&popts, &w.pg), 0);
	start_relay();
	start_guest();
	pay_make(&w.pay, NAME);
}

static int setup(void **state)
{
	start("memory:4M", 0);
	return 0;
}

static int setup_shared(void **state)
{
	start("memory:4M", 1);
	return 0;
}

static int setup_slow(void **state)
{
	start("delay[read_us=3000,write_us=3000] -> memory:4M", 0);
	return 0;
}

static int teardown(void **state)
{
	int done = 0;

	gd_unplug(w.pg, w.vdev);
	serve_stop(w.pg, w.target);
	leap_lender_destroy(w.lender, set_flag, &done);
	turn(&done);
	gd_free(w.g);
	pay_free(&w.pay);
	assert_int_equal(leap_pollgroup_destroy(w.pg), 0);
	kill(w.pid, SIGKILL);
	waitpid(w.pid, NULL, 0);
	unlink(w.path);
	unlink(w.far_path);
	return 0;
}

static struct leap_lender_info lent(void)
{
	struct leap_lender_info i = { .size = sizeof(i) };

	assert_int_equal(leap_lender_info(w.lender, &i), 0);
	return i;
}

/* Of the queue pairs that this process has. */
static uint64_t bounced(void)
{
	struct leap__list *list = &leap__dispatch(w.pg)->regctrls, *pos, *q;
	uint64_t n = 0;
	uint32_t queues = 0;

	leap__list_for_each(pos, list)
		leap__list_for_each(q, &leap__list_entry(pos,
				struct leap__regctrl, link)->queues) {
			struct leap__regq *rq =
				leap__list_entry(q, struct leap__regq, link);

			queues += rq->qid != 0;
			n += rq->qid ? rq->qp->bounced : 0;
		}
	assert_int_equal(queues, 2);
	return n;
}

static leap_status_t run(const struct leap_sqe *sqe)
{
	return gd_cmd(w.g, &w.sq, sqe);
}

/* All mappings of the payload in this process but the guest's. Their number. */
static int forbid(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long from, to;
	char line[512];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, NAME) ||
		    sscanf(line, "%lx-%lx", &from, &to) != 2 ||
		    from == (unsigned long)(uintptr_t)w.pay.own)
			continue;
		assert_int_equal(mprotect((void *)from, to - from, PROT_NONE),
				 0);
		n++;
	}
	fclose(f);
	return n;
}

static void test_zero_copies(void **state)
{
	int k;

	pay_add(&w.pay, w.vdev);
	assert_int_equal(forbid(), 1);
	pay_one(&w.pay, 1, run);
	/* The lender's has come. */
	assert_int_equal(forbid(), 2);
	for (k = 0; k < 400; k++)
		pay_one(&w.pay, k, run);
	assert_int_equal(forbid(), 2);
	assert_int_equal(bounced(), 0);
	assert_int_equal(lent().nr_borrowers, 1);
}

/* Commands are out when the guest takes the memory back. */
static void test_taken_back(void **state)
{
	leap_gpa_t gpa = { PAYLOAD };
	uint32_t before, seen = 0, k, i;
	uint16_t cids[16];
	struct leap_sqe sqe;
	int done;

	while (lent().nr_queues < 2)
		poll_all(NULL);
	before = lent().nr_maps;
	for (k = 0; k < 10; k++) {
		w.g->used = 256 << 10;
		pay_add(&w.pay, w.vdev);
		for (i = 0; i < 16; i++) {
			sqe = pay_sqe(&w.pay, i & 1 ? LEAP_NVM_READ :
				      LEAP_NVM_WRITE,
				      i * 64, 64, i * 65536);
			cids[i] = gd_submit(w.g, &w.sq, &sqe);
		}
		for (i = 0; i < (k & 3) * 4; i++)
			poll_all(NULL);
		/* In some rounds the far drive surely knows it. */
		for (i = 0; k % 3 == 2 && lent().nr_maps == before; i++) {
			assert_true(i < 10000);
			poll_all(NULL);
		}
		done = 0;
		seen += lent().nr_maps > before;
		assert_int_equal(leap_vdev_mem_del(w.vdev, gpa, BYTES, set_err,
						   &done), 0);
		turn(&done);
		assert_int_equal(done, 1);
		/* No mapping of it is left here but the guest's own two. */
		assert_int_equal(lent().nr_maps, before);
		assert_int_equal(forbid(), 1);
		for (i = 0; i < 16; i++) {
			leap_status_t status = gd_wait(w.g, &w.sq, cids[i]);

			/* Fetched before, or too late. */
			assert_true(!status ||
				    status == LEAP_SC_DATA_TRANSFER ||
				    status == LEAP_SC_PRP_OFFSET ||
				    status == LEAP_SC_INVALID_FIELD);
		}
		assert_int_equal(mprotect(leap_dmabuf_addr(w.pay.buf), BYTES,
					  PROT_READ | PROT_WRITE), 0);
	}
	assert_true(seen > 0);
	assert_int_equal(bounced(), 0);
	pay_add(&w.pay, w.vdev);
	for (i = 0; i < 20; i++)
		pay_one(&w.pay, (int)i, run);
	assert_int_equal(lent().nr_maps, before + 1);
	assert_int_equal(lent().resets, 0);
}

/* ---- a host far away ------------------------------------------------ */

static void tcp_one(struct leap_host *host, uint8_t opc, uint32_t lba,
		    uint8_t *at, uint32_t nr)
{
	struct leap_piece piece = { .addr = at, .len_bytes = nr * 512 };
	struct leap_req req = { .pieces = &piece, .nr_pieces = 1 };

	req.sqe.opc = opc;
	req.sqe.nsid = leap_to_le32(1);
	req.sqe.cdw10 = leap_to_le32(lba);
	req.sqe.cdw12 = leap_to_le32(nr - 1);
	assert_int_equal(leap_host_sync(host, w.pg, 1, &req), 0);
	assert_int_equal(leap_req_status(&req), 0);
}

/* Through a socket, and then as it is: how many were copied once more. */
static uint64_t by_tcp(void)
{
	struct leap_pollgroup_stats s = { .size = sizeof(s) };
	struct leap_host_opts hopts = LEAP_HOST_OPTS_INIT;
	struct leap_host *host;
	uint8_t *out = w.pay.own, *in = w.pay.own + (1 << 20);
	uint32_t k, i, nr;
	char url[200];
	int done = 0;

	snprintf(url, sizeof(url), "%s/" NQN,
		 serve_at(w.target, "tcp://127.0.0.1:0"));
	hopts.url = url;
	assert_int_equal(leap_host_connect(w.pg, &hopts, &host), 0);
	while (leap_host_state(host) == LEAP_HOST_CONNECTING)
		poll_all(NULL);
	assert_int_equal(leap_host_state(host), LEAP_HOST_LIVE);
	for (k = 0; k < 100; k++) {
		nr = k % 2 ? 1 + k % 8 : 600;	/* in the capsule, by R2T */
		for (i = 0; i < nr * 512; i++)
			out[i] = (uint8_t)(i * 7 + k);
		memset(in, 0, nr * 512);
		tcp_one(host, LEAP_NVM_WRITE, k * 8, out, nr);
		tcp_one(host, LEAP_NVM_READ, k * 8, in, nr);
		assert_memory_equal(in, out, nr * 512);
	}
	leap_host_close(host, set_flag, &done);
	turn(&done);
	assert_int_equal(leap_pollgroup_stats(w.pg, &s), 0);
	return s.bounced;
}

static void test_tcp_shared(void **state)
{
	assert_int_equal(by_tcp(), 0);
}

/* Nothing is shown to the drive that was not asked for. */
static void test_tcp_private(void **state)
{
	assert_int_equal(by_tcp(), 200);
}

#define T(f, s) cmocka_unit_test_setup_teardown(f, s, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_zero_copies, setup), T(test_taken_back, setup_slow),
		T(test_tcp_shared, setup_shared), T(test_tcp_private, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
