/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs in guest memory whose process is killed, again and again.
 *
 * A kill is a copy of all that outlives a process (guest memory, state memory,
 * the medium, interrupts that were raised), taken in the middle of a poll;
 * what the process does afterwards is undone, and a successor is given the
 * copy. Builds with planted bugs copy at the named points between two steps,
 * others where the device or the interrupt is called.
 */
#include "guest-fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/ctrl/iogroup.h"
#include "core/guest/queue.h"
#include "rand.h"

#define NR_SQS 2

static struct test_rand rng;

static uint32_t rand_below(uint32_t n)
{
	return test_rand_below(&rng, n);
}

/* ---- a guest that lives on ---- */

struct life {
	struct gx gx;
	struct gx_cq cq;
	struct gx_sq sq[NR_SQS];
	bool out[NR_SQS][64];		/* by CID: waits for its answer */
	uint32_t value[NR_SQS][64];	/* that its write carries */
	leap_gpa_t data[NR_SQS];	/* 64 words each */
	uint32_t irqs_seen;
	uint32_t left, done, redone;
	bool shadow;
	leap_gpa_t db, ei;
	/* The copy. */
	bool copied;
	uint32_t countdown;
	uint8_t *mem, *state, *disk;
	uint32_t irqs;
};

static struct life *life;

static void maybe_copy(void)
{
	if (!life->countdown || --life->countdown)
		return;
	life->copied = true;
	memcpy(life->mem, life->gx.mem, GX_RAM_BYTES);
	memcpy(life->state, life->gx.state, GX_STATE_BYTES);
	memcpy(life->disk, life->gx.disk, GX_DISK_BYTES);
	life->irqs = life->gx.irqs[1];
}

#ifdef LEAP_PLANTED
static uint32_t points_seen[LEAP_POINT_NR];

static void at_point(enum leap_point point)
{
	points_seen[point]++;
	maybe_copy();
}
#else
static void on_irq(struct gx *gx, uint32_t vector)
{
	(void)gx;
	(void)vector;
	maybe_copy();
}

static void on_execute(struct gx *gx, struct leap_cmd *cmd)
{
	(void)gx;
	(void)cmd;
	maybe_copy();
}
#endif

static void use_shadow(struct life *l)
{
	leap_le32 *db = gx_at(&l->gx, l->db), *ei = gx_at(&l->gx, l->ei);
	int i;

	for (i = 0; i < NR_SQS; i++) {
		assert_int_equal(leap__guest_vqp_shadow(l->sq[i].vqp, l->db,
							l->ei), 0);
		l->sq[i].shadow = db + 2 * l->sq[i].desc.qid;
		l->sq[i].eventidx = ei + 2 * l->sq[i].desc.qid;
	}
	l->cq.shadow = db + 3;
	l->cq.eventidx = ei + 3;
}

static void born(struct life *l, bool shadow)
{
	int i;

	memset(l, 0, sizeof(*l));
	gx_init_cmds(&l->gx, 12);
	gx_cq(&l->gx, &l->cq, 1, 5, 1);
	for (i = 0; i < NR_SQS; i++) {
		gx_sq(&l->gx, &l->sq[i], (uint16_t)(i + 1), &l->cq, 7);
		l->data[i] = gx_alloc(&l->gx, 4096, 4096);
	}
	l->mem = malloc(GX_RAM_BYTES);
	l->state = malloc(GX_STATE_BYTES);
	l->disk = malloc(GX_DISK_BYTES);
	l->db = gx_alloc(&l->gx, 4096, 4096);
	l->ei = gx_alloc(&l->gx, 4096, 4096);
	l->shadow = shadow;
	if (shadow)
		use_shadow(l);
	life = l;
#ifdef LEAP_PLANTED
	leap__plant_point = at_point;
#else
	l->gx.on_irq = on_irq;
	l->gx.on_execute = on_execute;
#endif
}

static void died(struct life *l)
{
	int i;

#ifdef LEAP_PLANTED
	leap__plant_point = NULL;
#endif
	l->countdown = 0;
	for (i = 0; i < NR_SQS; i++)
		gx_sq_end(&l->sq[i]);
	gx_cq_end(&l->cq);
	gx_fini(&l->gx);
	free(l->mem);
	free(l->state);
	free(l->disk);
}

/* The process dies where the copy was taken; another one takes over. */
static void killed(struct life *l)
{
	uint32_t flags = LEAP_QPD_RESUME | (l->shadow ? LEAP_QPD_SHADOW : 0);
	int i;

	l->countdown = 0;
	l->copied = false;
	for (i = 0; i < NR_SQS; i++)
		gx_sq_end(&l->sq[i]);
	gx_cq_end(&l->cq);
	memcpy(l->gx.mem, l->mem, GX_RAM_BYTES);
	memcpy(l->gx.state, l->state, GX_STATE_BYTES);
	memcpy(l->gx.disk, l->disk, GX_DISK_BYTES);
	l->gx.irqs[1] = l->irqs;
	l->cq.desc.flags = flags;
	assert_int_equal(leap__guest_cq_create(l->gx.pg, &l->gx.guest,
					       &l->cq.desc, &l->cq.cq), 0);
	for (i = 0; i < NR_SQS; i++) {
		l->sq[i].desc.flags = flags;
		gx_sq_make(&l->gx, &l->sq[i], &l->cq);
		l->redone += leap__guest_sq(l->sq[i].vqp)->rec.nr;
	}
	if (l->shadow)
		use_shadow(l);
	assert_int_equal(leap__guest_cq_restored(l->cq.cq), 0);
	for (i = 0; i < NR_SQS; i++)
		leap__guest_vqp_start(l->sq[i].vqp);
}

/* A write of one word, its own for each queue and CID. */
static void submit(struct life *l, uint32_t i)
{
	struct leap_sqe sqe;
	uint16_t cid = (uint16_t)rand_below(64);
	leap_le32 *data = gx_at(&l->gx, l->data[i]);

	if (l->out[i][cid] || !l->left || !gx_room(&l->sq[i]))
		return;
	l->left--;
	l->out[i][cid] = true;
	l->value[i][cid] = rand_below(UINT32_MAX);
	data[cid] = leap_to_le32(l->value[i][cid]);
	sqe = gx_sqe(GX_OP_WRITE, cid, (i * 64 + cid) * 4);
	sqe.cdw12 = leap_to_le32(4);
	sqe.prp1 = leap_to_le64(l->data[i].addr + cid * 4u);
	gx_push(&l->sq[i], &sqe);
}

/* A guest that looks into its ring after an interrupt only. */
static void interrupt(struct life *l)
{
	struct leap__cqe cqe;
	uint32_t i, v;

	if (l->irqs_seen == l->gx.irqs[1])
		return;
	l->irqs_seen = l->gx.irqs[1];
	while (gx_reap(&l->cq, &cqe)) {
		i = cqe.sqid - 1u;
		assert_true(i < NR_SQS && cqe.cid < 64);
		assert_int_equal(cqe.status, 0);
		assert_true(l->out[i][cqe.cid]);	/* exactly once */
		l->out[i][cqe.cid] = false;
		memcpy(&v, l->gx.disk + (i * 64 + cqe.cid) * 4, 4);
		assert_int_equal(leap_from_le32((leap_le32)v),
				 l->value[i][cqe.cid]);
		l->sq[i].head = cqe.sqhd;
		l->done++;
	}
	gx_ring_cq(&l->cq);
}

static void step(struct life *l)
{
	uint32_t i = rand_below(NR_SQS), n;

	for (n = rand_below(5); n; n--)
		submit(l, i);
	gx_ring(&l->sq[i]);
	l->gx.hold = rand_below(2);
	if (!l->countdown && !l->copied && rand_below(10) == 0)
		l->countdown = 1 + rand_below(20);
	gx_poll(&l->gx, (int)rand_below(3));
	while (l->gx.nr_held && rand_below(3) && !l->copied)
		gx_let(&l->gx, rand_below(l->gx.nr_held));
	gx_poll(&l->gx, 1);
	if (l->copied)
		killed(l);
	interrupt(l);
}

static void live(uint32_t seed, bool shadow, uint32_t *redone)
{
	uint32_t total = 300, idle = 0, before;
	struct life l;

	rng.s = seed;
	born(&l, shadow);
	l.left = total;
	while (l.done < total) {
		before = l.done;
		step(&l);
		idle = l.done == before ? idle + 1 : 0;
		assert_true(idle < 2000);	/* a lost interrupt */
	}
	assert_int_equal(l.gx.fatals, 0);
	*redone += l.redone;
	died(&l);
}

static void test_kills(void **state)
{
	uint32_t seed, redone = 0;

	for (seed = 1; seed <= 60; seed++)
		live(seed, false, &redone);
	assert_true(redone > 100);
#ifdef LEAP_PLANTED
	for (seed = 1; seed < LEAP_POINT_NR; seed++)
		assert_true(points_seen[seed] > 100);
#endif
}

static void test_kills_shadow(void **state)
{
	uint32_t seed, redone = 0;

	for (seed = 1; seed <= 60; seed++)
		live(1000 + seed, true, &redone);
	assert_true(redone > 100);
}

#ifdef LEAP_PLANTED
/* ---- real processes ---- */

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* What the parent shares with those who serve it, before there are queues. */
static struct life *born_shared(void)
{
	struct life *l = shared(sizeof(*l));
	int i;

	gx_init_cmds(&l->gx, 12);
	free(l->gx.state);
	free(l->gx.disk);
	l->gx.state = shared(GX_STATE_BYTES);
	l->gx.disk = shared(GX_DISK_BYTES);
	l->gx.guest.state = l->gx.state;
	gx_cq_desc(&l->gx, &l->cq, 1, 5, 1);
	for (i = 0; i < NR_SQS; i++) {
		gx_sq_desc(&l->gx, &l->sq[i], (uint16_t)(i + 1), &l->cq, 7);
		l->data[i] = gx_alloc(&l->gx, 4096, 4096);
	}
	l->left = UINT32_MAX;
	life = l;
	return l;
}

/* Until it is killed. */
static void serve(struct life *l, uint32_t flags)
{
	int i;

	l->gx.nr_held = 0;
	l->cq.desc.flags = flags;
	if (leap__guest_cq_create(l->gx.pg, &l->gx.guest, &l->cq.desc,
				  &l->cq.cq))
		_exit(1);
	for (i = 0; i < NR_SQS; i++) {
		l->sq[i].desc.flags = flags;
		if (leap__guest_vqp_create(l->gx.pg, &l->gx.guest, l->cq.cq,
				&l->sq[i].desc, NULL, &l->sq[i].vqp))
			_exit(2);
		l->sq[i].vqp->handler = &gx_handler;
		l->sq[i].vqp->handler_priv = &l->gx;
	}
	if (leap__guest_cq_restored(l->cq.cq))
		_exit(3);
	for (i = 0; i < NR_SQS; i++)
		leap__guest_vqp_start(l->sq[i].vqp);
	for (;;) {
		l->gx.hold = rand_below(2);
		gx_poll(&l->gx, 1);
		while (l->gx.nr_held && rand_below(3))
			gx_let(&l->gx, rand_below(l->gx.nr_held));
	}
}

static pid_t spawn(struct life *l, uint32_t flags, enum leap_point point,
		   int count)
{
	char text[64];
	pid_t pid;

	if (point)
		snprintf(text, sizeof(text), "%s:%d",
			 leap__plant_point_name(point), count);
	pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	if (point)
		setenv("LEAP_KILL_AT", text, 1);
	serve(l, flags);
	_exit(4);
}

static uint32_t nr_out(const struct life *l)
{
	uint32_t i, k, n = 0;

	for (i = 0; i < NR_SQS; i++)
		for (k = 0; k < 64; k++)
			n += l->out[i][k];
	return n;
}

/* The guest goes on until its server is dead, or all has been answered. */
static void guest_until(struct life *l, pid_t pid, bool quiet)
{
	time_t end = time(NULL) + 60;
	int status;

	while (quiet ? nr_out(l) != 0 : !waitpid(pid, &status, WNOHANG)) {
		uint32_t i = rand_below(NR_SQS);

		if (!quiet) {
			submit(l, i);
			gx_ring(&l->sq[i]);
		}
		interrupt(l);
		unit_pause();
		assert_true(time(NULL) < end);
	}
	if (quiet) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* First of all tests: points of this process would read the environment. */
static void test_sigkill(void **state)
{
	static const int counts[] = { 1, 2, 9, 40 };
	struct life *l = born_shared();
	uint32_t flags = 0;
	int point, k;

	rng.s = 5;
	for (k = 0; k < (int)COUNT(counts); k++) {
		for (point = 1; point < LEAP_POINT_NR; point++) {
			guest_until(l, spawn(l, flags, (enum leap_point)point,
					     counts[k]), false);
			flags = LEAP_QPD_RESUME;
		}
	}
	guest_until(l, spawn(l, flags, LEAP_POINT_NONE, 0), true);
	assert_true(l->done > 300);
	munmap(l->gx.state, GX_STATE_BYTES);
	munmap(l->gx.disk, GX_DISK_BYTES);
	l->gx.state = l->gx.disk = NULL;
	gx_fini(&l->gx);
	munmap(l, sizeof(*l));
}

/* Run the kills alone with a bug put back: they must fail. */
static void test_finds_bugs(void **state)
{
	static const char *const names[] = {
		"RECORD_EARLY_FREE", "RECORD_NO_COMPLETING",
		"RECORD_REWRITES_CQE", "RECORD_LIVE_ONLY", "MISSING_SIGNAL",
		"CQ_FULL_IGNORED", "PHASE_OFF_BY_ONE",
	};
	int status;
	size_t i;
	pid_t pid;

	for (i = 0; i < COUNT(names); i++) {
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			close(1);
			close(2);
			open("/dev/null", O_WRONLY);
			open("/dev/null", O_WRONLY);
			execl("/proc/self/exe", "test-guest-kill", names[i],
			      (char *)NULL);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			fail_msg("%s was not found", names[i]);
	}
}
#endif

int main(int argc, char **argv)
{
#ifdef LEAP_PLANTED
	const struct CMUnitTest kills[] = {
		cmocka_unit_test(test_kills),
		cmocka_unit_test(test_kills_shadow),
	};
#endif
	const struct CMUnitTest tests[] = {
#ifdef LEAP_PLANTED
		cmocka_unit_test(test_sigkill),
		cmocka_unit_test(test_finds_bugs),
#endif
		cmocka_unit_test(test_kills),
		cmocka_unit_test(test_kills_shadow),
	};

#ifdef LEAP_PLANTED
	if (argc > 1) {
		leap__plant_select(leap__plant_by_name(argv[1]));
		return cmocka_run_group_tests(kills, NULL, NULL);
	}
#endif
	(void)argc;
	(void)argv;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
