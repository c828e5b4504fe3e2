/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The explorer: runs shipped C in every order that a weakly ordered machine
 * allows, and looks at every state that can be reached.
 *
 * A model is a world (one flat struct), 2 to 4 threads that run library code
 * built with -DLEAP_EXPLORE, and checks.  Threads are coroutines; every shared
 * access stops in the explorer.  The search is depth first over whole states
 * (world, stacks, registers, store buffers); a state seen before, by 128-bit
 * hash, is not entered again, so that loops end and the search is exhaustive.
 * Running out of any bound is reported as truncation, and truncation is a
 * failure.
 *
 * Memory model (at least what ARMv8 and x86 may do, with the exceptions below):
 *  - Stores wait in a buffer of their thread and reach memory in any order,
 *    except: two to overlapping bytes keep theirs; a release store waits for
 *    all before it; none passes leap__dma_publish() before which others still
 *    wait.  The thread itself sees its stores at once.
 *  - leap__full_fence() and the acquire-release read-modify-writes wait until
 *    the buffer is empty.  A relaxed one waits for stores to its own bytes.
 *    Only the fence also keeps later loads behind: a read-modify-write may
 *    have read as early as its value was there, and orders no more than that.
 *  - A load may have been performed at any moment since the thread's last
 *    ordering point, and so return an older value; acquire loads, and
 *    leap__dma_observe() for all loads before it, are ordering points at the
 *    moment of their own value; full fences are one now.  Loads of the same
 *    bytes never go back in time.
 *  - Address and control dependencies order nothing (weaker than ARM).
 *  - Memory is multi-copy atomic, as ARMv8 and x86 are.
 *  - Copies of 64 bytes move as two halves of 32 bytes, each at once.
 * Not covered: a store that becomes visible before an older load of its
 * thread is performed (load buffering).
 *
 * A signal on an eventfd orders as a release, a wait as an acquire, as the
 * lock inside the kernel does.
 */
#ifndef LEAP__MODEL_EXPLORE_H
#define LEAP__MODEL_EXPLORE_H

#include "util/plant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPLORE_THREADS	4
#define EXPLORE_FDS	4	/* fake eventfds: 0 .. 3 */

struct explore_model {
	const char *name;
	void *world;
	size_t world_bytes;
	/* Fills the world; accessors act on memory at once here. */
	void (*setup)(void *world);
	void (*thread[EXPLORE_THREADS])(void *world);
	/*
	 * Nothing can move any more.  @stuck: bit i when thread i has not
	 * returned (blocked for ever); killed threads are not stuck.
	 */
	void (*final)(void *world, unsigned int stuck);
	/* Threads that may be killed, each between any two accesses. */
	unsigned int killable;
	/*
	 * Stores a killed thread made that were not visible yet: false: will
	 * be (a process of this machine), true: are lost (across a window).
	 */
	bool kill_loses_stores;
	/*
	 * Memory that nobody reads before it has joined its writer (and so
	 * sees all that the dead one stored): the order in which stores there
	 * become visible makes no difference, and is not explored.  Ignored
	 * when kills lose stores.
	 */
	void *quiet;
	size_t quiet_bytes;
	/*
	 * Stores of one thread that may wait at once; the next one waits for
	 * room, as in a real buffer.  0: 16
	 */
	uint32_t buffer;
	/*
	 * Threads whose stores are visible at once, in order, up to their next
	 * load: for those that another model explores.
	 */
	unsigned int strong;
};

struct explore_result {
	uint64_t states;
	uint64_t steps;
	uint64_t executions;	/* paths to an end or to a state seen before */
	uint64_t ends;		/* states in which nothing can move */
	uint32_t max_depth;
	bool truncated;
	char violation[160];	/* "" when none */
};

/*
 * Explores everything, or until the first violation.
 * @seed: 0, or another order of the same search
 */
struct explore_result explore_run(const struct explore_model *model,
				  uint64_t seed, uint64_t max_states);

/* After a violation: how it came about, one step a line, on stdout. */
void explore_print_trace(void);

/* ---- for model threads and final() ------------------------------------- */

/* A violation: the search ends here.  Does not return in a thread. */
void explore_fail(const char *what);

#define explore_check(cond) \
	do { \
		if (!(cond)) \
			explore_fail(#cond); \
	} while (0)

/*
 * Blocks until some store has become visible since this thread's last await
 * (the first one passes), and then sees all that is visible.  What a polling
 * loop calls when it found nothing: a loop without it is not found stuck.
 */
void explore_await(void);

/* Sleeps until the fake eventfd is readable, and makes it unreadable. */
void explore_wait(int fd);

/*
 * Blocks until thread @i has returned, or was killed and its stores are
 * visible or lost.  Returns true when it was killed.
 */
bool explore_join(int i);

/* One of n: every one is explored. */
unsigned int explore_choose(unsigned int n);

/* ---- the frame of a model program --------------------------------------- */

struct explore_case {
	const struct explore_model *model;
	/* Each must make the model fail; ends with LEAP_PLANT_NONE. */
	enum leap_plant plants[8];
};

/*
 * Runs every model without a bug, to the end (no violation allowed), and with
 * each of its planted ones (a violation demanded, within a few bounded
 * searches in different orders), and prints one line each.
 * Returns: the exit status of the program
 */
int explore_main(int argc, char **argv, const struct explore_case *cases,
		 size_t nr);

#endif
