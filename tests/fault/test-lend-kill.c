/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process that has queue pairs on loan is killed under verified I/O, and a
 * successor goes on with the same blocks, over and over: at random moments,
 * while it connects, and stopped and taken out by the lender. The drive takes
 * its time for each write, so that many are in it when the killer comes.
 *
 * What was acknowledged is there; what was in flight is there or is not, and
 * stays so: no write of a dead process lands once its successor has looked.
 *
 * LEAP_KILLS=N in the environment: how many (default 20, in quick runs 5).
 */
#include "config.h"

#include "rand.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <leapio/leapio.h>

#include "util/plant.h"

#define NQN "nqn.2026-01.org.example:kill"
#define BLOCKS 96u
#define BLOCK 4096u
#define QD 24u
#define SECONDS(n) ((n) * 1000000000ull)

/* Outlives the processes that do the I/O. */
struct shared {
	atomic_uint issued[BLOCKS];	/* version, before it is submitted */
	atomic_uint acked[BLOCKS];	/* version, after it is completed */
	atomic_uint live;		/* this process has queues */
	atomic_uint rounds;		/* it has read all blocks so often */
	atomic_uint writes;
	atomic_uint bad;		/* 1 + block */
	atomic_uint bad_version, bad_want;
};

/* ---- the borrower: a process of its own ----------------------------- */

struct slot {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	uint32_t block, version;
	int busy, is_write;
};

static struct {
	struct shared *sh;
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct leap_dmabuf *mem;
	struct slot slot[QD];
	uint8_t used[BLOCKS];
	uint32_t nr_busy, next;
	int looking;		/* at all blocks, once, before it writes */
	struct test_rand rnd;
} c;

static void die(const char *what)
{
	fprintf(stderr, "borrower: %s: %s\n", what, leap_last_error());
	_exit(1);
}

static void fill(uint32_t *p, uint32_t block, uint32_t version)
{
	uint32_t i;

	for (i = 0; i < BLOCK / 4; i += 2) {
		p[i] = version ? block : 0;
		p[i + 1] = version ? version + i : 0;
	}
}

static int is_version(const uint32_t *p, uint32_t block, uint32_t version)
{
	static uint32_t want[BLOCK / 4];

	fill(want, block, version);
	return !memcmp(want, p, BLOCK);
}

/* The first look after a kill decides what became of a write in flight. */
static void check(struct slot *s)
{
	uint32_t acked = atomic_load(&c.sh->acked[s->block]);
	uint32_t issued = atomic_load(&c.sh->issued[s->block]);

	if (is_version(s->piece.addr, s->block, acked)) {
		atomic_store(&c.sh->issued[s->block], acked);
		return;
	}
	if (c.looking && is_version(s->piece.addr, s->block, issued)) {
		atomic_store(&c.sh->acked[s->block], issued);
		return;
	}
	atomic_store(&c.sh->bad_version, ((uint32_t *)s->piece.addr)[1]);
	atomic_store(&c.sh->bad_want, acked);
	atomic_store(&c.sh->bad, 1 + s->block);
	_exit(2);
}

static void done(struct leap_req *req)
{
	struct slot *s = (struct slot *)req;

	if (leap_req_status(req))
		die("a command failed");
	s->busy = 0;
	c.nr_busy--;
	c.used[s->block] = 0;
	if (s->is_write) {
		atomic_store(&c.sh->acked[s->block], s->version);
		atomic_fetch_add(&c.sh->writes, 1);
	} else {
		check(s);
	}
}

static void issue(struct slot *s, uint32_t block, int is_write)
{
	struct leap_req *req = &s->req;

	s->block = block;
	s->is_write = is_write;
	s->busy = 1;
	c.used[block] = 1;
	c.nr_busy++;
	if (is_write) {
		s->version = atomic_load(&c.sh->issued[block]) + 1 +
			     test_rand_below(&c.rnd, 1000);
		fill(s->piece.addr, block, s->version);
		atomic_store(&c.sh->issued[block], s->version);
	}
	memset(&req->sqe, 0, sizeof(req->sqe));
	req->sqe.opc = is_write ? LEAP_NVM_WRITE : LEAP_NVM_READ;
	req->sqe.nsid = leap_to_le32(1);
	req->sqe.cdw10 = leap_to_le32(block * (BLOCK / 512));
	req->sqe.cdw12 = leap_to_le32(BLOCK / 512 - 1);
	if (leap_host_submit(c.host, 1 + block % 2, &req, 1) != 1)
		die("submit");
}

static void look_at_all(void)
{
	c.looking = 1;
	c.next = 0;
	while (c.next < BLOCKS || c.nr_busy) {
		uint32_t i;

		for (i = 0; i < QD && c.next < BLOCKS; i++)
			if (!c.slot[i].busy)
				issue(&c.slot[i], c.next++, 0);
		leap_pollgroup_wait(c.pg, 1000000);
	}
	c.looking = 0;
	atomic_fetch_add(&c.sh->rounds, 1);
}

static void load(void)
{
	for (;;) {
		uint32_t i, block;

		for (i = 0; i < QD; i++) {
			block = test_rand_below(&c.rnd, BLOCKS);
			if (!c.slot[i].busy && !c.used[block])
				issue(&c.slot[i], block,
				      test_rand_below(&c.rnd, 4) != 0);
		}
		leap_pollgroup_wait(c.pg, 1000000);
	}
}

static void borrow(const char *path, int fd, uint32_t seed)
{
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;
	char url[200];
	uint32_t i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	c.rnd.s = seed;
	c.sh = mmap(NULL, sizeof(*c.sh), PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, 0);
	mopts.bytes = QD * BLOCK;
	if (c.sh == MAP_FAILED || leap_pollgroup_create(NULL, &c.pg) ||
	    leap_dmabuf_create(&mopts, &c.mem))
		die("memory");
	for (i = 0; i < QD; i++) {
		struct slot *s = &c.slot[i];

		s->piece.addr = (uint8_t *)leap_dmabuf_addr(c.mem) + i * BLOCK;
		s->piece.len_bytes = BLOCK;
		s->piece.buf = c.mem;
		s->req.pieces = &s->piece;
		s->req.nr_pieces = 1;
		s->req.done = done;
	}
	snprintf(url, sizeof(url), "lent:%s/" NQN, path);
	o.url = url;
	o.nr_io_queues = 2;
	o.depth = QD + 1;
	if (leap_host_connect(c.pg, &o, &c.host))
		die("connect");
	while (leap_host_state(c.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(c.pg, 1000000);
	if (leap_host_state(c.host) != LEAP_HOST_LIVE ||
	    leap_host_nr_queues(c.host) != 2)
		die("not live");
	atomic_store(&c.sh->live, 1);
	look_at_all();
	load();
}

/* ---- the lender, its drive, and the killer -------------------------- */

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *vdev;
	struct leap_lender *lender;
	struct leap_vdev_info before;
	struct shared *sh;
	struct test_rand rnd;
	char path[64];
	int fd, state;
	int expected;		/* that something is wrong: exit code then */
	pid_t pid;
} w;

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
		leap_pollgroup_wait(w.pg, 1000000);
}

static void on_changed(struct leap_lender *l, enum leap_lender_state state,
		       int err, void *arg)
{
	w.state = (int)state;
}

static struct leap_lender_info lent(void)
{
	struct leap_lender_info i = { .size = sizeof(i) };

	assert_int_equal(leap_lender_info(w.lender, &i), 0);
	return i;
}

static struct leap_vdev_info info(void)
{
	struct leap_vdev_info i = { .size = sizeof(i) };

	assert_int_equal(leap_vdev_info(w.vdev, &i), 0);
	return i;
}

static void start_lender(uint32_t no_shadow)
{
	struct leap_lender_opts lopts = LEAP_LENDER_OPTS_INIT;
	struct leap_vdev_opts vopts = LEAP_VDEV_OPTS_INIT;

	vopts.no_shadow = no_shadow;
	assert_int_equal(leap_vdev_create(w.ss, &vopts, &w.vdev), 0);
	lopts.url = "vdev://here/" NQN;
	lopts.vdev = w.vdev;
	lopts.path = w.path;
	/* The successor needs those of the dead. */
	lopts.max_queues = w.expected ? 32 : 2;
	lopts.changed = on_changed;
	assert_int_equal(leap_lender_create(w.pg, &lopts, &w.lender), 0);
	while (w.state != LEAP_LENDER_LIVE)
		leap_pollgroup_wait(w.pg, 1000000);
	w.before = info();
}

static void start(uint32_t no_shadow, const char *stack, int expected)
{
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_ns_opts nopts = LEAP_NS_OPTS_INIT;
	int is_added = 0;

	memset(&w, 0, sizeof(w));
	w.rnd.s = 11 + no_shadow;
	w.expected = expected;
	snprintf(w.path, sizeof(w.path), "/tmp/leap-kill-%d.sock", getpid());
	w.fd = memfd_create("leap-kill", 0);
	assert_int_equal(ftruncate(w.fd, sizeof(*w.sh)), 0);
	w.sh = mmap(NULL, sizeof(*w.sh), PROT_READ | PROT_WRITE, MAP_SHARED,
		    w.fd, 0);
	assert_true(w.sh != MAP_FAILED);
	sopts.nqn = NQN;
	sopts.allow_any_host = 1;
	assert_int_equal(leap_pollgroup_create(NULL, &w.pg), 0);
	assert_int_equal(leap_target_create(w.pg, NULL, &w.target), 0);
	assert_int_equal(leap_subsystem_create(w.target, &sopts, &w.ss), 0);
	assert_int_equal(leap_bdev_open(w.pg, stack, &nopts.bdev), 0);
	assert_true(leap_ns_add(w.ss, &nopts, added, &is_added) > 0);
	turn(&is_added);
	start_lender(no_shadow);
}

#define DRIVE "delay[write_us=2000,read_us=200,jitter_us=20000] -> memory:1M"
/* So slow that a dead process' writes are still in it when the next one has
 * looked at every block. */
#define SLOW_DRIVE "delay[write_us=400000,read_us=200] -> memory:1M"
#define STALE 7		/* exit code */

static int setup(void **state)
{
	start(0, DRIVE, 0);
	return 0;
}

static int setup_trapped(void **state)
{
	start(1, DRIVE, 0);
	return 0;
}

static int teardown(void **state)
{
	int is_gone = 0;

	leap_lender_destroy(w.lender, set_flag, &is_gone);
	turn(&is_gone);
	is_gone = 0;
	leap_vdev_destroy(w.vdev, set_flag, &is_gone);
	turn(&is_gone);
	is_gone = 0;
	leap_target_destroy(w.target, set_flag, &is_gone);
	turn(&is_gone);
	assert_int_equal(leap_pollgroup_destroy(w.pg), 0);
	munmap(w.sh, sizeof(*w.sh));
	close(w.fd);
	unlink(w.path);
	return 0;
}

static void spawn(void)
{
	char fd[16], seed[16];
	char *argv[] = { NULL, "test-lend-kill", "borrow", w.path, fd, seed,
			 NULL };

	snprintf(fd, sizeof(fd), "%d", w.fd);
	snprintf(seed, sizeof(seed), "%u",
		 1 + test_rand_below(&w.rnd, 1 << 30));
	atomic_store(&w.sh->live, 0);
	w.pid = fork();
	assert_true(w.pid >= 0);
	if (!w.pid)
		unit_exec_self(argv);
}

static void run_ms(uint32_t ms)
{
	uint64_t to = leap_pollgroup_now_ns(w.pg) + ms * 1000000ull;
	uint32_t bad;
	int status;

	while (leap_pollgroup_now_ns(w.pg) < to) {
		leap_pollgroup_wait(w.pg, 1000000);
		bad = atomic_load(&w.sh->bad);
		if (bad && w.expected)
			_exit(w.expected);
		if (bad)
			fail_msg("block %u: version %u, not %u", bad - 1,
				 atomic_load(&w.sh->bad_version),
				 atomic_load(&w.sh->bad_want));
		if (waitpid(w.pid, &status, WNOHANG) == w.pid)
			fail_msg("the borrower has ended: %#x", status);
	}
}

static void wait_rounds(uint32_t rounds)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);

	while (atomic_load(&w.sh->rounds) < rounds) {
		run_ms(1);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < SECONDS(120));
	}
}

static void kill_it(void)
{
	assert_int_equal(kill(w.pid, SIGKILL), 0);
	assert_int_equal(waitpid(w.pid, NULL, 0), w.pid);
}

static uint32_t nr_kills(void)
{
	const char *n = getenv("LEAP_KILLS");

	return n ? (uint32_t)atoi(n) : getenv("LEAP_SIM_QUICK") ? 5 : 20;
}

static void nothing_left(void)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);

	while (lent().nr_borrowers) {
		leap_pollgroup_wait(w.pg, 1000000);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < SECONDS(120));
	}
	assert_int_equal(lent().nr_queues, 0);
	assert_int_equal(lent().nr_maps, 0);
	assert_int_equal(info().nr_sqs, 0);
	assert_int_equal(info().nr_ranges, w.before.nr_ranges);
	assert_int_equal(lent().resets, 0);
}

static void kills(uint32_t n)
{
	uint32_t k, rounds = 0, early = 0;

	spawn();
	for (k = 0; k < n; k++) {
		/* Every fourth while it connects, or looks. */
		if (k % 4 == 3) {
			run_ms(test_rand_below(&w.rnd, 60));
			early += !atomic_load(&w.sh->live);
		} else {
			wait_rounds(rounds + 1);
			run_ms((w.expected ? 600 : 50) +
			       test_rand_below(&w.rnd, 200));
		}
		kill_it();
		rounds = atomic_load(&w.sh->rounds);
		spawn();
	}
	wait_rounds(rounds + 1);
	run_ms(300);
	printf("%u kills, %u before it was live, %u writes\n", n, early,
	       atomic_load(&w.sh->writes));
	assert_true(atomic_load(&w.sh->writes) > n * 10);
	kill_it();
	nothing_left();
	assert_int_equal(lent().killed, 0);
}

static void test_shadow(void **state)
{
	kills(nr_kills());
}

static void test_trapped(void **state)
{
	kills(nr_kills());
}

/*
 * The same with a lender that does not delete what the dead have left, in
 * builds with planted bugs: a stale write is seen. And on that drive without
 * the bug: none. Each in a process of its own, which is not put in order
 * afterwards.
 */
static int run_planted(enum leap_plant plant)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
#ifdef LEAP_PLANTED
		leap__plant_select(plant);
#endif
		start(0, SLOW_DRIVE, STALE);
		kills(3);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_control(void **state)
{
	assert_int_equal(run_planted(LEAP_PLANT_NONE), 0);
}

#ifdef LEAP_PLANTED
static void test_unfenced(void **state)
{
	int status = run_planted(LEAP_PLANT_LEND_UNFENCED);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), STALE);
}
#endif

/* One that lives and does nothing more is taken out by the lender. */
static void test_stopped(void **state)
{
	struct leap_borrower_info b = { .size = sizeof(b) };
	uint32_t k, rounds = 0;
	int status, is_out;

	for (k = 0; k < 3; k++) {
		spawn();
		wait_rounds(rounds + 1);
		run_ms(50);
		assert_int_equal(kill(w.pid, SIGSTOP), 0);
		assert_int_equal(leap_lender_next(w.lender, 0, &b), 0);
		assert_int_equal(b.pid, w.pid);
		is_out = 0;
		assert_int_equal(leap_lender_evict(w.lender, b.id, 1, set_flag,
						   &is_out), 0);
		turn(&is_out);
		assert_int_equal(lent().killed, k + 1);
		assert_int_equal(waitpid(w.pid, &status, 0), w.pid);
		assert_true(WIFSIGNALED(status));
		nothing_left();
		rounds = atomic_load(&w.sh->rounds);
	}
	spawn();
	wait_rounds(rounds + 1);
	kill_it();
	nothing_left();
}

#define T(f, s) cmocka_unit_test_setup_teardown(f, s, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_shadow, setup), T(test_trapped, setup_trapped),
		T(test_stopped, setup),
		cmocka_unit_test(test_control),
#ifdef LEAP_PLANTED
		cmocka_unit_test(test_unfenced),
#endif
	};

	if (argc == 5 && !strcmp(argv[1], "borrow")) {
		borrow(argv[2], atoi(argv[3]), (uint32_t)atoi(argv[4]));
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
