/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The only way library code touches memory that another thread, process,
 * guest or device may touch at the same moment.
 *
 * Accessors are type generic over pointers to u8, u16, u32, u64 and (for
 * queues inside one process) pointers.  They never tear and are never elided
 * or repeated by the compiler, so a value that was loaded once may be checked
 * and then used.  They carry no byte order: see util/endian.h.
 *
 *                          x86-64               AArch64
 *   leap__load_relaxed     mov                  ldr
 *   leap__load_acquire     mov                  ldapr / ldar
 *   leap__store_relaxed    mov                  str
 *   leap__store_release    mov                  stlr
 *   leap__dma_publish      (compiler only)      dmb oshst
 *   leap__dma_observe      (compiler only)      dmb oshld
 *   leap__full_fence       lock or / mfence     dmb osh
 *
 * x86 gives for free: no load passes an older load, no store passes an older
 * store or load.  What it does not give, and what leap__full_fence is for: a
 * load may pass an older store to another address.  ARM gives none of this
 * for free; every ordering that matters here has to be asked for by name, and
 * each caller names its partner on the other side.
 *
 * Acquire and release order cacheable memory among the cores of one coherent
 * machine.  When the other side is a device or a machine behind PCIe (a BAR
 * window), put leap__dma_publish before the store that publishes and
 * leap__dma_observe after the load that observes; read-modify-write accessors
 * do not work across such a window at all.
 *
 * Built with -DLEAP_EXPLORE every accessor and barrier calls the explorer
 * (tests/model/explore.h) instead, which chooses the next thread and which
 * buffered store becomes visible.  Library objects never contain such calls.
 */
#ifndef LEAP__UTIL_ATOMIC_H
#define LEAP__UTIL_ATOMIC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "util/plant.h"

#ifdef LEAP_EXPLORE

enum leap__explore_order {
	LEAP__EXPLORE_RELAXED,
	LEAP__EXPLORE_ACQUIRE,
	LEAP__EXPLORE_RELEASE,
	LEAP__EXPLORE_ACQ_REL,
};

enum leap__explore_fence {
	LEAP__EXPLORE_PUBLISH,		/* store-store */
	LEAP__EXPLORE_OBSERVE,		/* load-load and load-store */
	LEAP__EXPLORE_FULL,		/* everything, store-load too */
};

enum leap__explore_op {
	LEAP__EXPLORE_EXCHANGE,
	LEAP__EXPLORE_FETCH_ADD,
};

uint64_t leap__explore_load(const void *p, size_t bytes,
			    enum leap__explore_order order);
void leap__explore_store(void *p, uint64_t v, size_t bytes,
			 enum leap__explore_order order);
uint64_t leap__explore_rmw(void *p, uint64_t v, size_t bytes,
			   enum leap__explore_op op,
			   enum leap__explore_order order);
int leap__explore_cas(void *p, void *expect, uint64_t v, size_t bytes,
		      enum leap__explore_order order);
void leap__explore_fence(enum leap__explore_fence kind);
void leap__explore_copy_from(void *dst, const void *src, size_t bytes);
void leap__explore_copy_to(void *dst, const void *src, size_t bytes);
int leap__explore_signal(int fd);

/* Pointers and integers both pass through one 64-bit argument. */
#define LEAP__EXPLORE_U64(v)	((uint64_t)(v))

#define leap__load_relaxed(p) \
	((__typeof__(*(p)))leap__explore_load((p), sizeof(*(p)), \
					      LEAP__EXPLORE_RELAXED))
#define leap__load_acquire(p) \
	((__typeof__(*(p)))leap__explore_load((p), sizeof(*(p)), \
					      LEAP__EXPLORE_ACQUIRE))
#define leap__store_relaxed(p, v) \
	leap__explore_store((p), LEAP__EXPLORE_U64(v), sizeof(*(p)), \
			    LEAP__EXPLORE_RELAXED)
#define leap__store_release(p, v) \
	leap__explore_store((p), LEAP__EXPLORE_U64(v), sizeof(*(p)), \
			    LEAP__EXPLORE_RELEASE)
/* Its value may be of no use to the caller. */
#define leap__exchange(p, v) __extension__ ({ \
	(__typeof__(*(p)))leap__explore_rmw((p), LEAP__EXPLORE_U64(v), \
		sizeof(*(p)), LEAP__EXPLORE_EXCHANGE, LEAP__EXPLORE_ACQ_REL); })
#define leap__fetch_add(p, v) \
	((__typeof__(*(p)))leap__explore_rmw((p), LEAP__EXPLORE_U64(v), \
		sizeof(*(p)), LEAP__EXPLORE_FETCH_ADD, LEAP__EXPLORE_ACQ_REL))
#define leap__compare_exchange(p, expect, v) \
	leap__explore_cas((p), (expect), LEAP__EXPLORE_U64(v), sizeof(*(p)), \
			  LEAP__EXPLORE_ACQ_REL)
#define leap__compare_exchange_relaxed(p, expect, v) \
	leap__explore_cas((p), (expect), LEAP__EXPLORE_U64(v), sizeof(*(p)), \
			  LEAP__EXPLORE_RELAXED)
#define leap__dma_publish()	leap__explore_fence(LEAP__EXPLORE_PUBLISH)
#define leap__dma_observe()	leap__explore_fence(LEAP__EXPLORE_OBSERVE)
#define leap__full_fence()	leap__explore_fence(LEAP__EXPLORE_FULL)
#define leap__copy_from_shared(dst, src, n) \
	leap__explore_copy_from((dst), (src), (n))
#define leap__copy_to_shared(dst, src, n) \
	leap__explore_copy_to((dst), (src), (n))
#define leap__eventfd_signal(fd)	leap__explore_signal(fd)

#else /* !LEAP_EXPLORE */

/*
 * leap__load_relaxed(p): the value, no order.  For hints (is the queue
 * empty?) and for words that only this side writes.
 */
#define leap__load_relaxed(p)	__atomic_load_n((p), __ATOMIC_RELAXED)

/*
 * leap__load_acquire(p): what the writer stored before its release store of
 * the value that is returned here may be read after this load.
 */
#define leap__load_acquire(p)	__atomic_load_n((p), __ATOMIC_ACQUIRE)

/* leap__store_relaxed(p, v): one untorn store, no order. */
#define leap__store_relaxed(p, v) \
	__atomic_store_n((p), (v), __ATOMIC_RELAXED)

/*
 * leap__store_release(p, v): everything this thread loaded or stored before is
 * visible to whoever sees v through an acquire load.  It does NOT order v
 * before later loads: that is leap__full_fence's job.
 */
#define leap__store_release(p, v) \
	__atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Acquire and release at once; coherent memory of one machine only. */
#define leap__exchange(p, v)	__atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define leap__fetch_add(p, v)	__atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)

/*
 * leap__compare_exchange(p, expect, v): non-zero when *p was *expect and is
 * now v; otherwise *expect is what was found.  May fail for no reason, so it
 * is used in loops only.
 */
#define leap__compare_exchange(p, expect, v) \
	__atomic_compare_exchange_n((p), (expect), (v), 1, \
				    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define leap__compare_exchange_relaxed(p, expect, v) \
	__atomic_compare_exchange_n((p), (expect), (v), 1, \
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED)

/*
 * leap__dma_publish(): stores before it are visible to a device or to the far
 * side of a window before stores after it.
 */
static inline void leap__dma_publish(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb oshst" : : : "memory");
#elif defined(__x86_64__) || defined(__i386__)
	/* Write-back memory: stores stay in order.  A write-combining
	 * mapping is not used for rings on x86. */
	__asm__ volatile("" : : : "memory");
#else
	__sync_synchronize();
#endif
}

/*
 * leap__dma_observe(): loads before it (of a phase, of a tail) happen before
 * loads and stores after it (of the entry).
 */
static inline void leap__dma_observe(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb oshld" : : : "memory");
#elif defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("" : : : "memory");
#else
	__sync_synchronize();
#endif
}

/*
 * leap__full_fence(): the store-load barrier of sleeping and waking.  "I store
 * my flag, then look at yours" on both sides: without it both may miss the
 * other's store, on x86 too.
 */
static inline void leap__full_fence(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb osh" : : : "memory");
#elif defined(__x86_64__)
	/* Cheaper than mfence, as strong for write-back memory. */
	__asm__ volatile("lock; orl $0, -4(%%rsp)" : : : "memory", "cc");
#else
	__sync_synchronize();
#endif
}

/*
 * leap__copy_from_shared(dst, src, n): one copy out of memory the peer may be
 * writing.  The bytes may be a mixture if it does; they are read once, and
 * nothing that follows can make the compiler look at src again.  Order comes
 * from the acquire load that said the bytes are there.
 */
static inline void leap__copy_from_shared(void *dst, const void *src, size_t n)
{
	memcpy(dst, src, n);
	__asm__ volatile("" : : : "memory");
	LEAP_YIELD(src, n);
}

/*
 * leap__copy_to_shared(dst, src, n): plain stores, published by the release
 * store that follows.  src must be private.
 */
static inline void leap__copy_to_shared(void *dst, const void *src, size_t n)
{
	memcpy(dst, src, n);
	__asm__ volatile("" : : : "memory");
}

/*
 * leap__eventfd_signal(fd): one write of 1, as write(2) answers.  Here so that
 * the explorer can see who wakes whom.
 */
static inline ssize_t leap__eventfd_signal(int fd)
{
	const uint64_t one = 1;

	return write(fd, &one, sizeof(one));
}

#endif /* LEAP_EXPLORE */

/* leap__cpu_relax(): one turn of a spin loop. */
static inline void leap__cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" : : : "memory");
#else
	__asm__ volatile("" : : : "memory");
#endif
}

#endif
