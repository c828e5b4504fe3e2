/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Host processes over shared memory that are killed in the middle of their I/O,
 * with commands in a slow leaf: the orphans drain, the memory and descriptors
 * go, the host of another process goes on, and a successor with the same name
 * finds what was acknowledged.
 */
#include "fault.h"
#include "fds.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS (fault_slow() ? 4u : 20u)

/* What the child knows, where it outlives it. */
static struct fault_host *victim;

static void child(const struct fault_server *s)
{
	struct leap_pollgroup *pg;
	uint32_t i;

	if (leap_pollgroup_create(NULL, &pg))
		_exit(2);
	victim->pg = pg;
	victim->host = NULL;
	victim->in_flight = 0;
	for (i = 0; i < FAULT_BLOCKS; i++) {
		victim->block[i].busy = 0;
	}
	fault_host_open(victim, s->url, NULL);
	for (;;) {
		leap_pollgroup_wait(pg, 1000000);
		fault_host_feed(victim);
	}
}

/* What was on its way when it died may be there. */
static void doubt(void)
{
	uint32_t i;

	for (i = 0; i < FAULT_SLOTS; i++) {
		struct fault_slot *slot = &victim->slot[i];
		struct fault_block *b = &victim->block[slot->block];

		if (b->busy && slot->req.sqe.opc == LEAP_NVM_WRITE)
			b->maybe = slot->gen;
	}
}

static void work(struct fault_host *h, uint32_t n)
{
	uint64_t until = fault_now_ns() + 120000000000ull, from = h->verified;

	while (h->verified < from + n) {
		leap_pollgroup_wait(h->pg, 1000000);
		fault_host_feed(h);
		assert_int_equal(h->failed, 0);
		assert_int_equal(h->wrong, 0);
		assert_true(fault_now_ns() < until);
	}
}

static void one_round(struct fault_server *s, struct fault_host *good,
		      uint32_t round)
{
	uint64_t until = fault_now_ns() + 120000000000ull;
	volatile uint64_t *seen = &victim->verified;
	uint64_t from = *seen;
	int status;
	pid_t pid;

	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		child(s);
	while (*seen < from + FAULT_BLOCKS + round) {
		work(good, 1);
		assert_true(fault_now_ns() < until);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	doubt();
	assert_int_equal(victim->wrong, 0);
	assert_int_equal(victim->failed, 0);
}

static void test_killed(void **state)
{
	struct fault_server s = { .kind = "shm",
		.stack = { "delay[read_us=500,write_us=3000] -> memory:16M" } };
	struct leap_target_stats st;
	struct fault_host good;
	struct leap_pollgroup *pg;
	uint64_t most = 0;
	uint32_t i, fds;

	victim = mmap(NULL, sizeof(*victim), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(victim != MAP_FAILED);
	fault_host_init(victim, NULL, 1);
	fault_serve(&s, 1);
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	fault_host_init(&good, pg, 0);
	fault_host_open(&good, s.url, NULL);
	work(&good, 20);
	fds = (uint32_t)fds_open();
	for (i = 0; i < ROUNDS; i++) {
		one_round(&s, &good, i);
		st = fault_stats(&s);
		most = st.orphans > most ? st.orphans : most;
	}
	printf("# %u killed, %llu orphans at once at most, %llu blocks "
	       "verified by them\n",
	       ROUNDS, (unsigned long long)most,
	       (unsigned long long)victim->verified);
	work(&good, 50);
	for (i = 0; i < 1000 && fault_stats(&s).connections != 2; i++)
		work(&good, 1);
	st = fault_stats(&s);
	assert_int_equal(st.connections, 2);
	assert_int_equal(st.orphans, 0);
	assert_int_equal(st.held, 0);
	assert_int_equal(fds_open(), fds);
	fault_host_close(&good);
	while (!good.closed)
		leap_pollgroup_wait(pg, 1000000);
	while (leap_pollgroup_poll(pg, 0))
		;
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
	fault_end(&s);
	munmap(victim, sizeof(*victim));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
