/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * srq.h - receives that the I/O queues of a device share, at the controller end
 *
 * A receive is either with the device (seq says since when) or with a
 * connection (its owner), on whichever thread that is: the device hands it over
 * with a completion and takes it back with a post, which needs no lock of ours.
 *
 * What a queue pair has taken when it breaks completes before it is destroyed,
 * by the rules: conn.c waits for that. Some devices drop what they were in the
 * middle of. A receive that has not come back while the queue went round four
 * times is missing, and a spare goes in its place; it is not used for anything
 * else, because it may come back after all.
 */
#ifndef LEAP_RDMA_SRQ_H
#define LEAP_RDMA_SRQ_H

#include "transport/rdma/conn.h"

#include "util/atomic.h"

#define LEAP__RDMA_SRQ_MISSING	UINT64_MAX

struct leap__rdma_srq_slot {
	uint64_t seq;		/* of its post; 0 = with @owner */
	const void *owner;	/* NULL = nobody's: a spare */
};

struct leap__rdma_srq {
	struct leap__rdma_dev *dev;
	const struct leap__verbs *v;
	struct leap__rdma_srq *next;	/* of the device */
	uint32_t asked;		/* how many were asked for */
	uint32_t nr;		/* that are to be in turn */
	uint32_t total;		/* and spares */
	uint32_t capsule_bytes;
	uint32_t refs;		/* of the memory */
	uint32_t missing;
	uint64_t posted;
	uint8_t *mem;
	struct leap__rdma_recvs recvs;
	/* Under the device's lock. */
	uint32_t conns;		/* also looked at without it */
	uint32_t spares_used;
	struct leap__v_mr *mr;
	pthread_mutex_t lock;	/* @srq against those whose queue
				 * pair is gone */
	struct leap__v_srq *srq;	/* NULL: the last one has ended */
	struct leap__rdma_srq_slot slots[];
};

/*
 * leap__rdma_srq_join - for a connection over @d that is to take part; the
 * first makes it
 *
 * @nr: receives; fewer when the device has fewer
 * Context: any
 * Returns: 0 and *@out, to be left when its queue pair is no more, and then
 * put;
 *          -EOPNOTSUPP, -ENOMEM and what the device answers
 */
int leap__rdma_srq_join(struct leap__rdma_dev *d, uint32_t nr,
			uint32_t capsule_bytes, struct leap__rdma_srq **out);
void leap__rdma_srq_leave(struct leap__rdma_srq *s);

/* leap__rdma_srq_put - what is still @owner's goes back, and the memory when it
 * was the last. NULL: no-op. Context: the owner's thread */
void leap__rdma_srq_put(struct leap__rdma_srq *s, const void *owner);

/* leap__rdma_srq_post - back to the device, from one that has joined; at most
 * LEAP__RDMA_BATCH. 0, or what the device answers. Context: the owner's */
int leap__rdma_srq_post(struct leap__rdma_srq *s, const uint32_t *slots,
			uint32_t n);

/* leap__rdma_srq_give - the same from one that has left.
 * Context: the owner's */
void leap__rdma_srq_give(struct leap__rdma_srq *s, uint32_t slot);

/* A completion has handed it over. */
static inline void leap__rdma_srq_take(struct leap__rdma_srq *s, uint32_t slot,
				       const void *owner)
{
	struct leap__rdma_srq_slot *at = &s->slots[slot];

	if (__builtin_expect(leap__exchange(&at->seq, UINT64_C(0)) ==
			     LEAP__RDMA_SRQ_MISSING, 0))
		leap__fetch_add(&s->missing, (uint32_t)-1);
	leap__store_relaxed(&at->owner, owner);
}

/* What a queue may keep for as long as its commands take: of all queues
 * together half, so that the other half goes round. */
static inline uint32_t leap__rdma_srq_share(const struct leap__rdma_srq *s)
{
	uint32_t conns = leap__load_relaxed(&s->conns);

	return s->nr / (2 * (conns ? conns : 1));
}

#endif
