/* SPDX-License-Identifier: BSD-3-Clause */
/* What the two halves of the explorer share:
 * machine.c runs, search.c chooses. */
#ifndef LEAP__MODEL_INTERNAL_H
#define LEAP__MODEL_INTERNAL_H

#include "explore.h"
#include "util/atomic.h"

#include <setjmp.h>

#define STACK_BYTES	(64 * 1024)
#define BUF_MAX		32	/* barriers count, so twice the default */
#define BUF_DEFAULT	16
#define LOG_MAX		128
#define COH_MAX		48
#define GRAIN		32
#define RED_ZONE	128

enum op_kind {
	OP_LOAD, OP_STORE, OP_RMW, OP_CAS, OP_FULL, OP_SIGNAL, OP_WAIT,
	OP_AWAIT, OP_JOIN, OP_CHOOSE,
};

/* What a thread wants to do next. */
struct op {
	enum op_kind kind;
	int order;
	int sub;		/* rmw operation, fd, thread, or choices */
	uint32_t bytes;
	uint8_t *addr;
	uint64_t value;
	uint64_t expect;
};

/* A store that is not visible yet; bytes 0 is a publish barrier. */
struct buffered {
	uint8_t *addr;
	uint32_t bytes;
	uint32_t release;
	uint8_t data[GRAIN];
};

/* A moment before which this thread may not read these bytes again. */
struct coherence {
	uint8_t *addr;
	uint32_t bytes;
	uint32_t time;
};

enum life { READY, RETURNED, KILLED };

struct thread {
	jmp_buf ctx;
	uint8_t *sp;
	enum life life;
	struct op op;
	uint8_t result[GRAIN];
	uint32_t ok;			/* of a compare-and-exchange */
	uint32_t floor;			/* loads are not performed before */
	uint32_t last_load;		/* latest moment of any load */
	uint32_t changed;		/* a store since the last await */
	uint32_t nr_buf, nr_coh;
	struct buffered buf[BUF_MAX];
	struct coherence coh[COH_MAX];
};

/* A store that became visible, and what was there before. */
struct logged {
	uint8_t *addr;
	uint32_t bytes;
	uint32_t time;
	uint8_t old[GRAIN];
};

/* All that changes, besides the world and the stacks. */
struct machine {
	uint32_t now;
	uint32_t nr_log;
	uint32_t fds[EXPLORE_FDS];
	struct thread thread[EXPLORE_THREADS];
	struct logged log[LOG_MAX];
};

/* The run that is under way. */
struct run {
	const struct explore_model *model;
	struct machine m;
	struct thread *current;		/* NULL: the explorer itself */
	int nr_threads;
	jmp_buf back;
	struct explore_result res;
	bool failed;
};

extern struct run x;
extern uint8_t stacks[EXPLORE_THREADS][STACK_BYTES];

void truncate_run(const char *why);

/* Runs thread @i from its start to its first operation. */
void start_thread(int i);

/* Performs the thread's operation (a load: as of @time) and runs it on. */
void do_op(struct thread *t, uint32_t time, uint32_t choice);
bool op_is_enabled(const struct thread *t);

/* Store @n of a thread's buffer: may it become visible next; make it so. */
bool may_drain(const struct thread *t, uint32_t n);
void drain(struct thread *t, uint32_t n);

/* A thread in such an operation sees everything visible when it goes on. */
bool will_see_now(const struct thread *t);

/* Forgets stores that every thread is bound to see. */
void trim_log(void);

bool overlap(const uint8_t *a, uint32_t an, const uint8_t *b, uint32_t bn);

#endif
