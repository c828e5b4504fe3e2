/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every allocation of the program, counted, by any thread.
 */
#define _GNU_SOURCE
#include "count.h"

/* Libraries have to find these, too. */
#pragma GCC visibility push(default)

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t nr_calls;
static int64_t nr_blocks;
static uint64_t fails_in;	/* allocations; one thread's tests set it */
static int (*fails_when)(void);
static int (*fails_when)(void);

uint64_t count_calls(void)
{
	return __atomic_load_n(&nr_calls, __ATOMIC_RELAXED);
}

int64_t count_blocks(void)
{
	return __atomic_load_n(&nr_blocks, __ATOMIC_RELAXED);
}

uint64_t count_fail(uint64_t nth)
{
	return __atomic_exchange_n(&fails_in, nth, __ATOMIC_RELAXED);
}

void count_when(int (*when)(void))
{
	fails_when = when;
}

static int fails(void)
{
	if (!__atomic_load_n(&fails_in, __ATOMIC_RELAXED) ||
	    (fails_when && !fails_when()))
		return 0;
	return !__atomic_sub_fetch(&fails_in, 1, __ATOMIC_RELAXED);
}

static void *got(void *p)
{
	__atomic_fetch_add(&nr_calls, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&nr_blocks, p != NULL, __ATOMIC_RELAXED);
	return p;
}

static void *moved(void *old, void *p)
{
	if (!old)
		return got(p);
	__atomic_fetch_add(&nr_calls, 1, __ATOMIC_RELAXED);
	return p;
}

static void gave(void *p)
{
	__atomic_fetch_add(&nr_calls, p != NULL, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&nr_blocks, p != NULL, __ATOMIC_RELAXED);
}

#ifdef COUNT_WRAP
#define REAL(name) __real_##name
#define OURS(name) __wrap_##name
#else
#define REAL(name) __libc_##name
#define OURS(name) name
#endif

void *REAL(malloc)(size_t n);
void *REAL(calloc)(size_t n, size_t m);
void *REAL(realloc)(void *p, size_t n);
void REAL(free)(void *p);
void *OURS(malloc)(size_t n);
void *OURS(calloc)(size_t n, size_t m);
void *OURS(realloc)(void *p, size_t n);
void *OURS(aligned_alloc)(size_t a, size_t n);
void OURS(free)(void *p);

void *OURS(malloc)(size_t n)
{
	return fails() ? NULL : got(REAL(malloc)(n));
}

void *OURS(calloc)(size_t n, size_t m)
{
	return fails() ? NULL : got(REAL(calloc)(n, m));
}

void *OURS(realloc)(void *p, size_t n)
{
	return fails() ? NULL : moved(p, REAL(realloc)(p, n));
}

void OURS(free)(void *p)
{
	gave(p);
	REAL(free)(p);
}

#ifdef COUNT_WRAP
void *__real_aligned_alloc(size_t a, size_t n);
char *__wrap_strdup(const char *s);

void *__wrap_aligned_alloc(size_t a, size_t n)
{
	return fails() ? NULL : got(__real_aligned_alloc(a, n));
}

/* Allocates inside libc, where nothing is wrapped. */
char *__wrap_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = __wrap_malloc(n);

	return copy ? memcpy(copy, s, n) : NULL;
}
#else
void *__libc_memalign(size_t a, size_t n);

void *aligned_alloc(size_t a, size_t n)
{
	return fails() ? NULL : got(__libc_memalign(a, n));
}

void *memalign(size_t a, size_t n);

void *memalign(size_t a, size_t n)
{
	return got(__libc_memalign(a, n));
}

int posix_memalign(void **out, size_t a, size_t n);

int posix_memalign(void **out, size_t a, size_t n)
{
	*out = got(__libc_memalign(a, n));
	return *out ? 0 : ENOMEM;
}

static void *map(void *addr, size_t len, int prot, int flags, int fd,
		 uint64_t off)
{
	__atomic_fetch_add(&nr_calls, 1, __ATOMIC_RELAXED);
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
}

#undef mmap
#undef mmap64
void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return map(addr, len, prot, flags, fd, (uint64_t)off);
}

void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t off)
{
	return map(addr, len, prot, flags, fd, (uint64_t)off);
}

int munmap(void *addr, size_t len)
{
	__atomic_fetch_add(&nr_calls, 1, __ATOMIC_RELAXED);
	return (int)syscall(SYS_munmap, addr, len);
}
#endif
