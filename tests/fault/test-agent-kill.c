/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's drive whose runtime is killed under load, over and over: at random
 * moments, while it starts, while it hands over, and, in builds with planted
 * bugs, at every named point between the steps of a command. The guest takes
 * completions only after an interrupt. Every command is answered once and
 * without error, every acknowledged write is there, every read saw the last
 * one.
 *
 * LEAP_KILLS=N in the environment: how many random ones (default 5).
 */
#include "config.h"

#include "agent-fixture.h"
#include "rand.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/plant.h"

#define QD		24
#define BLOCKS		(AF_BLOCKS / 8)
#define STUCK_MS	120000

struct slot {
	uint64_t page;
	uint32_t block;
	uint32_t version;	/* written, or to be read */
	uint16_t cid;
	uint8_t opc;
	uint8_t busy;
};

struct load {
	struct af *f;
	struct test_rand rnd;
	struct slot slot[QD];
	uint32_t acked[BLOCKS];
	uint8_t used[BLOCKS];
	uint32_t version;
	uint32_t nr_busy;
	unsigned int seen;	/* interrupts */
	uint64_t done;
	uint64_t last_ms;
	uint64_t lost_ms;	/* a runtime was killed; 0 = answered since */
	uint64_t pause[4096];
	uint32_t nr_pauses;
};

static void fill(void *page, uint32_t block, uint32_t version)
{
	uint32_t *p = page, i;

	for (i = 0; i < GD_PAGE / 4; i += 2) {
		p[i] = version ? block : 0;
		p[i + 1] = version ? version + i : 0;
	}
}

static void check(const struct load *l, const struct slot *s)
{
	static uint32_t want[GD_PAGE / 4];

	fill(want, s->block, s->version);
	if (memcmp(want, gd_at(l->f->g, s->page), GD_PAGE))
		fail_msg("block %u: read version %u of block %u, not %u",
			 s->block,
			 ((uint32_t *)gd_at(l->f->g, s->page))[1],
			 ((uint32_t *)gd_at(l->f->g, s->page))[0], s->version);
}

static void issue(struct load *l, struct slot *s)
{
	struct af *f = l->f;
	struct leap_sqe sqe;
	uint32_t dice = test_rand_below(&l->rnd, 100);

	do
		s->block = test_rand_below(&l->rnd, BLOCKS);
	while (l->used[s->block]);
	s->opc = dice < 60 ? LEAP_NVM_WRITE : dice < 90 ? LEAP_NVM_READ :
		 dice < 95 ? LEAP_NVM_WRITE_ZEROES : LEAP_NVM_FLUSH;
	sqe = gd_sqe_rw(s->opc, 1, s->block * 8ull, 8);
	s->version = l->acked[s->block];
	if (s->opc == LEAP_NVM_WRITE) {
		s->version = ++l->version;
		fill(gd_at(f->g, s->page), s->block, s->version);
	} else if (s->opc == LEAP_NVM_READ) {
		memset(gd_at(f->g, s->page), 0xa5, GD_PAGE);
	} else if (s->opc == LEAP_NVM_WRITE_ZEROES) {
		s->version = 0;
	} else {
		memset(&sqe, 0, sizeof(sqe));
		sqe.opc = LEAP_NVM_FLUSH;
		sqe.nsid = leap_to_le32(1);
	}
	if (s->opc == LEAP_NVM_WRITE || s->opc == LEAP_NVM_READ)
		gd_prp(f->g, &sqe, s->page, GD_PAGE);
	l->used[s->block] = 1;
	s->busy = 1;
	l->nr_busy++;
	s->cid = gd_submit(f->g, &f->sq, &sqe);
}

static void finish(struct load *l, struct slot *s)
{
	leap_status_t status = l->f->g->status[s->cid];

	if (status)
		fail_msg("opcode %x of block %u: status %x", s->opc, s->block,
			 status);
	if (s->opc == LEAP_NVM_READ)
		check(l, s);
	else if (s->opc != LEAP_NVM_FLUSH)
		l->acked[s->block] = s->version;
	l->used[s->block] = 0;
	s->busy = 0;
	l->nr_busy--;
	l->done++;
}

static void took_answers(struct load *l)
{
	l->last_ms = af_ms();
	if (!l->lost_ms)
		return;
	if (l->nr_pauses < COUNT(l->pause))
		l->pause[l->nr_pauses++] = l->last_ms - l->lost_ms;
	l->lost_ms = 0;
}

static void reap(struct load *l)
{
	struct af *f = l->f;
	int i, n, found = 0;

	if (f->raised == l->seen)
		return;
	l->seen = f->raised;
	n = gd_reap(f->g, &f->cq, &f->sq);
	for (i = 0; i < QD; i++)
		if (l->slot[i].busy && f->g->done[l->slot[i].cid]) {
			finish(l, &l->slot[i]);
			found++;
		}
	if (n != found)
		fail_msg("%d completions for %d commands", n, found);
	if (n)
		took_answers(l);
}

/* One turn; @more: new commands for those that were answered. */
static void turn(struct load *l, int more)
{
	int i;

	for (i = 0; more && i < QD; i++)
		if (!l->slot[i].busy)
			issue(l, &l->slot[i]);
	af_poll(l->f);
	reap(l);
	if (l->nr_busy && af_ms() - l->last_ms > STUCK_MS)
		fail_msg("%u commands are never answered; state %u, %s",
			 l->nr_busy, af_info(l->f).state, af_info(l->f).error);
}

static void run_ms(struct load *l, uint32_t ms)
{
	uint64_t from = af_ms();

	while (af_ms() - from < ms)
		turn(l, 1);
}

static void run_until(struct load *l, int (*until)(struct af *f))
{
	uint64_t from = af_ms();

	while (!until(l->f)) {
		turn(l, 1);
		assert_true(af_ms() - from < STUCK_MS);
	}
}

static void drain(struct load *l)
{
	while (l->nr_busy)
		turn(l, 0);
}

static struct load *load_new(int shadow, uint64_t seed)
{
	struct load *l = calloc(1, sizeof(*l));
	struct af *f = l->f = af_new(0);
	int i;

	l->rnd.s = seed;
	gd_msix_enable(f->g, 1);
	for (i = 0; i < 4; i++)
		gd_wr4(f->g, LEAP_VDEV_MSIX_TABLE + 16u * (uint32_t)i + 12, 0);
	gd_up(f->g, &f->cq, &f->sq, 64);
	if (shadow)
		assert_int_equal(gd_dbbuf(f->g), 0);
	for (i = 0; i < QD; i++)
		l->slot[i].page = gd_alloc(f->g, GD_PAGE);
	l->seen = f->raised;
	l->last_ms = af_ms();
	return l;
}

/* What is in the file, when nobody has it any more. */
static void check_file(struct load *l)
{
	static uint32_t want[GD_PAGE / 4], got[GD_PAGE / 4];
	int fd = open(l->f->file, O_RDONLY | O_CLOEXEC);
	uint32_t i;

	assert_true(fd >= 0);
	for (i = 0; i < BLOCKS; i++) {
		assert_int_equal(pread(fd, got, GD_PAGE, i * (off_t)GD_PAGE),
				 GD_PAGE);
		fill(want, i, l->acked[i]);
		if (memcmp(want, got, GD_PAGE))
			fail_msg("block %u of the file: version %u, not %u", i,
				 got[1], l->acked[i]);
	}
	close(fd);
}

static void load_end(struct load *l)
{
	drain(l);
	af_kill(l->f, l->f->pid, SIGKILL);
	check_file(l);
	af_free(l->f);
	free(l);
}

static void print_slots(struct load *l, const char *what)
{
	struct leap_agent_info i = af_info(l->f);

	print_message("# %s: slots fetched %llu issued %llu completing %llu\n",
		      what, (unsigned long long)i.slots[1],
		      (unsigned long long)i.slots[2],
		      (unsigned long long)i.slots[3]);
}

static int lost(struct af *f)
{
	return af_info(f).state >= LEAP_AGENT_FENCING || af_none(f);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void print_pauses(struct load *l)
{
	qsort(l->pause, l->nr_pauses, sizeof(l->pause[0]), compare);
	if (l->nr_pauses)
		print_message("# %u kills, %llu commands, pause: median %llu "
			      "ms, maximum %llu ms\n", l->nr_pauses,
			      (unsigned long long)l->done,
			      (unsigned long long)l->pause[l->nr_pauses / 2],
			      (unsigned long long)l->pause[l->nr_pauses - 1]);
}

static int nr_kills(void)
{
	const char *text = getenv("LEAP_KILLS");

	return text ? atoi(text) : 5;
}

static void kill_it(struct load *l)
{
	l->lost_ms = af_ms();
	af_kill(l->f, l->f->pid, SIGKILL);
	run_until(l, lost);
}

static void random_kills(int shadow, int threads)
{
	struct load *l = load_new(shadow, 42 + (uint64_t)shadow);
	int i;

	af_start(l->f, threads, 0);
	for (i = 0; i < nr_kills(); i++) {
		run_until(l, af_served);
		run_ms(l, 1 + test_rand_below(&l->rnd, 60));
		kill_it(l);
		print_slots(l, "killed at random");
		af_start(l->f, threads, 0);
		/* Some are killed before they serve. */
		if (i % 5 == 4) {
			run_ms(l, test_rand_below(&l->rnd, 20));
			af_kill(l->f, l->f->pid, SIGKILL);
			af_start(l->f, threads, 0);
		}
	}
	run_until(l, af_served);
	run_ms(l, 50);
	print_pauses(l);
	load_end(l);
}

static void test_trapped(void **state)
{
	(void)state;
	random_kills(0, 0);
}

static void test_shadow(void **state)
{
	(void)state;
	random_kills(1, 1);
}

static int has_standby(struct af *f)
{
	return af_info(f).nr_standby == 1;
}

/* Handing over under load, and dying in the middle of it. */
static void test_handoff(void **state)
{
	struct load *l = load_new(1, 7);
	int i, done;
	pid_t old;

	(void)state;
	af_start(l->f, 1, 0);
	for (i = 0; i < nr_kills(); i++) {
		run_until(l, af_served);
		old = l->f->pid;
		af_start(l->f, 1, 1);
		run_until(l, has_standby);
		run_ms(l, 20);
		done = 0;
		l->lost_ms = af_ms();
		assert_int_equal(leap_agent_handoff(l->f->agent, set_err,
						    &done), 0);
		if (i % 3 == 2) {
			run_ms(l, test_rand_below(&l->rnd, 3));
			kill(old, SIGKILL);
		}
		while (!done)
			turn(l, 1);
		assert_int_equal(done, 1);
		assert_int_equal(waitpid(old, NULL, 0), old);
		print_slots(l, "handed over");
		print_message("# pause %llu us\n", (unsigned long long)
			      (af_info(l->f).pause_ns / 1000));
		run_ms(l, 10);
	}
	load_end(l);
}

/* The guest resets while nobody serves it, again and again. */
static void test_resets(void **state)
{
	struct load *l = load_new(0, 9);
	struct af *f = l->f;
	uint64_t used = f->g->used;
	int i, j;

	(void)state;
	af_start(f, 1, 0);
	for (i = 0; i < nr_kills(); i++) {
		run_until(l, af_served);
		run_ms(l, 10);
		drain(l);
		for (j = 0; j < QD; j++)
			issue(l, &l->slot[j]);
		l->lost_ms = 0;
		af_kill(f, f->pid, SIGKILL);
		gd_disable(f->g);
		/* What was under way is either there or not. */
		for (j = 0; j < QD; j++) {
			l->slot[j].busy = 0;
			l->used[l->slot[j].block] = 0;
			l->nr_busy--;
		}
		af_start(f, 1, 0);
		f->g->used = used;
		gd_msix_enable(f->g, 1);
		gd_up(f->g, &f->cq, &f->sq, 64);
		l->last_ms = af_ms();
		for (j = 0; j < QD; j++) {
			struct slot *s = &l->slot[j];

			if (s->opc != LEAP_NVM_WRITE &&
			    s->opc != LEAP_NVM_WRITE_ZEROES)
				continue;
			/* Settled by writing it anew. */
			{
				struct leap_sqe sqe =
					gd_sqe_rw(LEAP_NVM_WRITE, 1,
						  s->block * 8ull, 8);

				l->acked[s->block] = ++l->version;
				fill(gd_at(f->g, s->page), s->block,
				     l->version);
				gd_prp(f->g, &sqe, s->page, GD_PAGE);
				assert_int_equal(gd_cmd(f->g, &f->sq, &sqe),
						 0);
			}
		}
		l->seen = f->raised - 1;
	}
	run_until(l, af_served);
	run_ms(l, 20);
	load_end(l);
}

#ifdef LEAP_PLANTED
static int dead(struct af *f)
{
	return f->pid && waitpid(f->pid, NULL, WNOHANG) == f->pid;
}

/* At each point, early and late. */
static void test_points(void **state)
{
	static const char *const points[] = {
#define POINT_NAME(name, text) #name,
		LEAP__POINT_LIST(POINT_NAME)
#undef POINT_NAME
	};
	static const unsigned int counts[] = { 1, 30, 400 };
	struct load *l = load_new(0, 11);
	uint64_t hit[4] = { 0 };
	char text[64];
	size_t p, c, i;

	(void)state;
	for (p = 0; p < COUNT(points); p++)
		for (c = 0; c < COUNT(counts); c++) {
			snprintf(text, sizeof(text), "%s:%u", points[p],
				 counts[c]);
			setenv("LEAP_KILL_AT", text, 1);
			l->lost_ms = 0;
			af_start(l->f, (int)c % 2, 0);
			unsetenv("LEAP_KILL_AT");
			run_until(l, dead);
			l->lost_ms = af_ms();
			run_until(l, lost);
			print_slots(l, text);
			for (i = 0; i < 4; i++)
				hit[i] += af_info(l->f).slots[i];
		}
	for (i = 0; i < 4; i++)
		assert_true(hit[i]);
	af_start(l->f, 1, 0);
	run_until(l, af_served);
	run_ms(l, 50);
	print_pauses(l);
	load_end(l);
}
#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trapped),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_handoff),
		cmocka_unit_test(test_resets),
#ifdef LEAP_PLANTED
		cmocka_unit_test(test_points),
#endif
	};

	af_maybe_runtime(argc, argv);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
