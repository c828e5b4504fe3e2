/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The explorer's machine: coroutines, store buffers, the log of visible
 * stores, and the hooks that the accessors call.  See explore.h for what the
 * memory model covers.  Knows neither what it runs nor what comes next: that
 * is search.c.
 */
#undef _FORTIFY_SOURCE	/* its longjmp refuses to change stacks */
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <ucontext.h>

struct run x;
_Alignas(64) uint8_t stacks[EXPLORE_THREADS][STACK_BYTES];

void truncate_run(const char *why)
{
	if (!x.res.truncated)
		snprintf(x.res.violation, sizeof(x.res.violation),
			 "truncated: %s", why);
	x.res.truncated = true;
	x.failed = true;
}

/* ---- coroutines --------------------------------------------------------- */

static inline uint8_t *stack_pointer(void)
{
	uint8_t *sp;

#if defined(__x86_64__)
	__asm__ volatile("mov %%rsp, %0" : "=r"(sp));
#elif defined(__aarch64__)
	__asm__ volatile("mov %0, sp" : "=r"(sp));
#else
	sp = (uint8_t *)__builtin_frame_address(0) - 512;
#endif
	return sp;
}

/* Stops the running thread at x.current->op until the search performs it. */
static __attribute__((noinline)) void stop_here(void)
{
	struct thread *t = x.current;

	t->sp = stack_pointer();
	if (!_setjmp(t->ctx))
		_longjmp(x.back, 1);
}

static void resume(struct thread *t)
{
	x.current = t;
	if (!_setjmp(x.back))
		_longjmp(t->ctx, 1);
	x.current = NULL;
}

static void thread_entry(void)
{
	x.model->thread[x.current - x.m.thread](x.model->world);
	x.current->life = RETURNED;
	stop_here();
}

void start_thread(int i)
{
	static ucontext_t main_uc;
	ucontext_t uc;
	struct thread *t = &x.m.thread[i];

	memset(stacks[i], 0, STACK_BYTES);
	getcontext(&uc);
	uc.uc_stack.ss_sp = stacks[i];
	uc.uc_stack.ss_size = STACK_BYTES;
	uc.uc_link = NULL;
	makecontext(&uc, thread_entry, 0);
	t->changed = 1;
	x.current = t;
	if (!_setjmp(x.back))
		swapcontext(&main_uc, &uc);
	x.current = NULL;
}

void explore_fail(const char *what)
{
	if (!x.failed)
		snprintf(x.res.violation, sizeof(x.res.violation), "%s", what);
	x.failed = true;
	if (x.current)
		stop_here();
}

static uint8_t *perform(enum op_kind kind, const void *addr, size_t bytes,
			int order, int sub, uint64_t value, uint64_t expect)
{
	struct thread *t = x.current;

	t->op = (struct op) {
		.kind = kind, .order = order, .sub = sub,
		.bytes = (uint32_t)bytes, .addr = (uint8_t *)(uintptr_t)addr,
		.value = value, .expect = expect,
	};
	stop_here();
	return t->result;
}

/* ---- memory -------------------------------------------------------------- */

bool overlap(const uint8_t *a, uint32_t an, const uint8_t *b,
		    uint32_t bn)
{
	return a < b + bn && b < a + an;
}

/* Copies the part of [src, src+sn) that lies in [dst_addr, +dn) to dst. */
static void overlay(uint8_t *dst, const uint8_t *dst_addr, uint32_t dn,
		    const uint8_t *src_addr, uint32_t sn, const uint8_t *src)
{
	uint32_t i;

	for (i = 0; i < dn; i++)
		if (dst_addr + i >= src_addr && dst_addr + i < src_addr + sn)
			dst[i] = src[dst_addr + i - src_addr];
}

static void set_coherence(struct thread *t, uint8_t *addr, uint32_t bytes,
			  uint32_t time)
{
	uint32_t i, n = 0;

	for (i = 0; i < t->nr_coh; i++) {
		struct coherence *c = &t->coh[i];

		if (c->time <= t->floor ||
		    (c->addr == addr && c->bytes == bytes && c->time <= time))
			continue;
		t->coh[n++] = *c;
	}
	t->nr_coh = n;
	if (time <= t->floor)
		return;
	if (n == COH_MAX) {
		truncate_run("coherence list");
		return;
	}
	t->coh[t->nr_coh++] = (struct coherence) { addr, bytes, time };
}

static void raise_floor(struct thread *t, uint32_t time)
{
	if (time > t->floor)
		t->floor = time;
	if (t->last_load < t->floor)
		t->last_load = t->floor;
}

/* Makes a store visible, now. */
static void commit(struct thread *t, uint8_t *addr, uint32_t bytes,
		   const uint8_t *data)
{
	struct logged *l;
	int i;

	if (x.m.nr_log == LOG_MAX) {
		truncate_run("store log");
		return;
	}
	x.m.now++;
	l = &x.m.log[x.m.nr_log++];
	memset(l, 0, sizeof(*l));
	l->addr = addr;
	l->bytes = bytes;
	l->time = x.m.now;
	memcpy(l->old, addr, bytes);
	memcpy(addr, data, bytes);
	if (t)
		set_coherence(t, addr, bytes, x.m.now);
	for (i = 0; i < x.nr_threads; i++)
		x.m.thread[i].changed = 1;
}

/* A thread in such an operation sees everything visible when it goes on. */
bool will_see_now(const struct thread *t)
{
	return t->life != READY || t->op.kind == OP_WAIT ||
	       t->op.kind == OP_AWAIT || t->op.kind == OP_JOIN;
}

/* Forgets stores that every thread is bound to see. */
void trim_log(void)
{
	uint32_t low = x.m.now, n = 0, i;
	int k;

	for (k = 0; k < x.nr_threads; k++)
		if (!will_see_now(&x.m.thread[k]) &&
		    x.m.thread[k].floor < low)
			low = x.m.thread[k].floor;
	while (n < x.m.nr_log && x.m.log[n].time <= low)
		n++;
	if (!n)
		return;
	x.m.nr_log -= n;
	for (i = 0; i < x.m.nr_log; i++)
		x.m.log[i] = x.m.log[i + n];
}

/* The bytes as they were at a moment, with the thread's own stores on top. */
static void read_at(struct thread *t, uint8_t *addr, uint32_t bytes,
		    uint32_t time, uint8_t *out)
{
	uint32_t i;

	memcpy(out, addr, bytes);
	for (i = x.m.nr_log; i-- && x.m.log[i].time > time; )
		overlay(out, addr, bytes, x.m.log[i].addr, x.m.log[i].bytes,
			x.m.log[i].old);
	for (i = 0; i < t->nr_buf; i++)
		overlay(out, addr, bytes, t->buf[i].addr, t->buf[i].bytes,
			t->buf[i].data);
}

/* ---- store buffers ------------------------------------------------------- */

static void pop_barriers(struct thread *t)
{
	uint32_t i, n = 0;

	while (n < t->nr_buf && !t->buf[n].bytes)
		n++;
	if (!n)
		return;
	t->nr_buf -= n;
	for (i = 0; i < t->nr_buf; i++)
		t->buf[i] = t->buf[i + n];
}

static void buffer_store(struct thread *t, uint8_t *addr, uint32_t bytes,
			 const void *data, bool release)
{
	struct buffered *b;

	if (t->nr_buf == BUF_MAX) {
		truncate_run("store buffer");
		return;
	}
	b = &t->buf[t->nr_buf++];
	memset(b, 0, sizeof(*b));
	b->addr = addr;
	b->bytes = bytes;
	b->release = release;
	if (bytes)
		memcpy(b->data, data, bytes);
	else
		pop_barriers(t);
}

static bool buffer_is_full(const struct thread *t)
{
	uint32_t max = x.model->buffer ? x.model->buffer : BUF_DEFAULT;

	return t->nr_buf >= max;
}

bool may_drain(const struct thread *t, uint32_t n)
{
	const struct buffered *b = &t->buf[n];
	uint32_t i;

	if (!b->bytes || (b->release && n))
		return false;
	for (i = 0; i < n; i++)
		if (!t->buf[i].bytes ||
		    overlap(t->buf[i].addr, t->buf[i].bytes, b->addr, b->bytes))
			return false;
	return true;
}

void drain(struct thread *t, uint32_t n)
{
	struct buffered b = t->buf[n];

	for (t->nr_buf--; n < t->nr_buf; n++)
		t->buf[n] = t->buf[n + 1];
	pop_barriers(t);
	commit(t, b.addr, b.bytes, b.data);
}

static bool has_buffered(const struct thread *t, const struct op *op)
{
	uint32_t i;

	for (i = 0; i < t->nr_buf; i++)
		if (overlap(t->buf[i].addr, t->buf[i].bytes, op->addr,
			    op->bytes))
			return true;
	return false;
}

/* ---- hooks of util/atomic.h ---------------------------------------------- */

static uint64_t narrow(const uint8_t *p, size_t bytes)
{
	uint8_t v8;
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (bytes) {
	case 1: memcpy(&v8, p, 1); return v8;
	case 2: memcpy(&v16, p, 2); return v16;
	case 4: memcpy(&v32, p, 4); return v32;
	default: memcpy(&v64, p, 8); return v64;
	}
}

static void widen(uint8_t *p, uint64_t v, size_t bytes)
{
	uint8_t v8 = (uint8_t)v;
	uint16_t v16 = (uint16_t)v;
	uint32_t v32 = (uint32_t)v;

	switch (bytes) {
	case 1: memcpy(p, &v8, 1); break;
	case 2: memcpy(p, &v16, 2); break;
	case 4: memcpy(p, &v32, 4); break;
	default: memcpy(p, &v, 8); break;
	}
}

static bool is_quiet(const void *p)
{
	const uint8_t *q = x.model->quiet;

	return q && !x.model->kill_loses_stores && (const uint8_t *)p >= q &&
	       (const uint8_t *)p < q + x.model->quiet_bytes;
}

uint64_t leap__explore_load(const void *p, size_t bytes,
			    enum leap__explore_order order)
{
	if (!x.current || is_quiet(p))
		return narrow(p, bytes);
	return narrow(perform(OP_LOAD, p, bytes, order, 0, 0, 0), bytes);
}

/*
 * A store only enters the buffer: no stop, unless death may come between and
 * makes a difference: a buffer that is lost holds every way to die already.
 */
static void do_store(void *p, const uint8_t *data, size_t bytes, int order)
{
	struct thread *t = x.current;

	if (!t) {
		memcpy(p, data, bytes);
		return;
	}
	if ((x.model->killable >> (t - x.m.thread) & 1 &&
	     !x.model->kill_loses_stores) || buffer_is_full(t))
		perform(OP_STORE, p, bytes, order, 0, 0, 0);
	if (is_quiet(p)) {
		memcpy(p, data, bytes);
		return;
	}
	if (x.model->strong >> (t - x.m.thread) & 1) {
		commit(t, p, (uint32_t)bytes, data);
		return;
	}
	buffer_store(t, p, (uint32_t)bytes, data,
		     order == LEAP__EXPLORE_RELEASE);
}

void leap__explore_store(void *p, uint64_t v, size_t bytes,
			 enum leap__explore_order order)
{
	uint8_t data[8];

	widen(data, v, bytes);
	do_store(p, data, bytes, (int)order);
}

uint64_t leap__explore_rmw(void *p, uint64_t v, size_t bytes,
			   enum leap__explore_op op,
			   enum leap__explore_order order)
{
	uint64_t old;

	if (x.current)
		return narrow(perform(OP_RMW, p, bytes, order, op, v, 0),
			      bytes);
	old = narrow(p, bytes);
	widen(p, op == LEAP__EXPLORE_FETCH_ADD ? old + v : v, bytes);
	return old;
}

int leap__explore_cas(void *p, void *expect, uint64_t v, size_t bytes,
		      enum leap__explore_order order)
{
	uint64_t want = narrow(expect, bytes), found;
	int ok;

	if (x.current) {
		found = narrow(perform(OP_CAS, p, bytes, order, 0, v, want),
			       bytes);
		ok = (int)x.current->ok;
	} else {
		found = narrow(p, bytes);
		ok = found == want;
		if (ok)
			widen(p, v, bytes);
	}
	widen(expect, found, bytes);
	return ok;
}

void leap__explore_fence(enum leap__explore_fence kind)
{
	struct thread *t = x.current;

	if (!t)
		return;
	if (kind == LEAP__EXPLORE_FULL)
		perform(OP_FULL, NULL, 0, 0, 0, 0, 0);
	else if (kind == LEAP__EXPLORE_PUBLISH)
		buffer_store(t, NULL, 0, NULL, false);
	else
		raise_floor(t, t->last_load);
}

void leap__explore_copy_from(void *dst, const void *src, size_t bytes)
{
	size_t i, n;

	for (i = 0; i < bytes; i += n) {
		n = bytes - i < GRAIN ? bytes - i : GRAIN;
		if (!x.current || is_quiet(src))
			memcpy((uint8_t *)dst + i, (const uint8_t *)src + i, n);
		else
			memcpy((uint8_t *)dst + i,
			       perform(OP_LOAD, (const uint8_t *)src + i, n,
				       LEAP__EXPLORE_RELAXED, 0, 0, 0), n);
	}
}

void leap__explore_copy_to(void *dst, const void *src, size_t bytes)
{
	size_t i, n;

	for (i = 0; i < bytes; i += n) {
		n = bytes - i < GRAIN ? bytes - i : GRAIN;
		do_store((uint8_t *)dst + i, (const uint8_t *)src + i, n,
			 LEAP__EXPLORE_RELAXED);
	}
}

int leap__explore_signal(int fd)
{
	if (x.current)
		perform(OP_SIGNAL, NULL, 0, 0, fd, 0, 0);
	else
		x.m.fds[fd] = 1;
	return 8;
}

void explore_wait(int fd)
{
	perform(OP_WAIT, NULL, 0, 0, fd, 0, 0);
}

void explore_await(void)
{
	perform(OP_AWAIT, NULL, 0, 0, 0, 0, 0);
}

bool explore_join(int i)
{
	perform(OP_JOIN, NULL, 0, 0, i, 0, 0);
	return x.m.thread[i].life == KILLED;
}

unsigned int explore_choose(unsigned int n)
{
	return (unsigned int)narrow(perform(OP_CHOOSE, NULL, 0, 0, (int)n, 0,
					    0), 4);
}

/* ---- operations ---- */

bool op_is_enabled(const struct thread *t)
{
	const struct op *op = &t->op;
	const struct thread *other;

	switch (op->kind) {
	case OP_FULL:
	case OP_SIGNAL:
		return !t->nr_buf;
	case OP_RMW:
	case OP_CAS:
		return op->order == LEAP__EXPLORE_RELAXED ?
			!has_buffered(t, op) : !t->nr_buf;
	case OP_STORE:
		return !buffer_is_full(t);
	case OP_WAIT:
		return x.m.fds[op->sub];
	case OP_AWAIT:
		return t->changed;
	case OP_JOIN:
		other = &x.m.thread[op->sub];
		return other->life != READY && !other->nr_buf;
	default:
		return true;
	}
}

static void do_rmw(struct thread *t)
{
	const struct op *op = &t->op;
	uint64_t old = narrow(op->addr, op->bytes), v = op->value;
	uint32_t earliest = t->floor, i;
	uint8_t data[8];

	/*
	 * Its read half may have been performed as early as the value it read
	 * was there, and that is all that acquire orders later loads after:
	 * it is no store-load fence.
	 */
	for (i = 0; i < x.m.nr_log; i++)
		if (overlap(x.m.log[i].addr, x.m.log[i].bytes, op->addr,
			    op->bytes) && x.m.log[i].time > earliest)
			earliest = x.m.log[i].time;
	if (op->kind == OP_CAS)
		t->ok = old == op->expect;
	else if (op->sub == LEAP__EXPLORE_FETCH_ADD)
		v += old;
	widen(t->result, old, op->bytes);
	widen(data, v, op->bytes);
	if (op->kind == OP_RMW || t->ok)
		commit(t, op->addr, op->bytes, data);
	if (op->order != LEAP__EXPLORE_RELAXED)
		raise_floor(t, earliest);
	set_coherence(t, op->addr, op->bytes, x.m.now);
}

void do_op(struct thread *t, uint32_t time, uint32_t choice)
{
	const struct op *op = &t->op;

	memset(t->result, 0, sizeof(t->result));
	switch (op->kind) {
	case OP_LOAD:
		read_at(t, op->addr, op->bytes, time, t->result);
		if (time > t->last_load)
			t->last_load = time;
		if (op->order == LEAP__EXPLORE_ACQUIRE)
			raise_floor(t, time);
		set_coherence(t, op->addr, op->bytes, time);
		break;
	case OP_RMW:
	case OP_CAS:
		do_rmw(t);
		break;
	case OP_SIGNAL:
		x.m.fds[op->sub] = 1;
		break;
	case OP_WAIT:
		x.m.fds[op->sub] = 0;
		raise_floor(t, x.m.now);
		break;
	case OP_AWAIT:
		t->changed = 0;
		raise_floor(t, x.m.now);
		break;
	case OP_FULL:
	case OP_JOIN:
		raise_floor(t, x.m.now);
		break;
	case OP_CHOOSE:
		memcpy(t->result, &choice, 4);
		break;
	case OP_STORE:
		break;
	}
	resume(t);
}
