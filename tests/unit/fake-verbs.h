/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake-verbs.h - an RDMA fabric inside this process
 *
 * A device whose queue pairs really move bytes between the memory that was
 * registered, with keys, bounds, access rights, receives that run out, flushed
 * queues and completion channels; and a connection manager whose events come in
 * the order in which things happened, or as a test scripts them. Any number of
 * threads may use one fabric: one lock guards all of it.
 *
 * fake-cm.c has connections, fake-qp.c queue pairs, fake-srq.c shared receives,
 * fake-verbs.c memory, completions, and the fabric itself.
 */
#ifndef FAKE_VERBS_H
#define FAKE_VERBS_H

#include "transport/rdma/verbs.h"

#include <pthread.h>

#define FAKE_SGES	16
#define FAKE_INLINE	64
#define FAKE_MRS	65536
#define FAKE_DEVS	16
#define FAKE_TAKEN	4

struct fake_fabric;

struct fake_event {
	struct leap__v_cm cm;
	struct fake_event *next;
};

struct leap__v_chan {
	struct fake_fabric *f;
	int fd;
	struct fake_event *head, **tail;
};

enum fake_id_state {
	FAKE_IDLE,
	FAKE_LISTENING,
	FAKE_ASKED,		/* connect called, or asked to accept */
	FAKE_LINKED,
	FAKE_APART,		/* disconnected, rejected, or peer gone */
};

struct leap__v_id {
	struct fake_fabric *f;
	struct leap__v_chan *chan;
	void *ctx;
	int state;
	int passive;
	int left;		/* we have called disconnect, or told so */
	struct leap__v_id *peer;
	struct leap__v_dev *dev;
	struct leap__v_qp *qp;
	struct sockaddr_storage local, remote;
	uint8_t rnr_retries;
	uint8_t ird, ord;		/* as connect or accept said */
	struct leap__v_id *next;	/* of the fabric */
};

struct leap__v_dev {
	struct fake_fabric *f;
	struct leap__v_caps caps;
	uint32_t nr_ids;	/* with queue pairs, or to have them */
	int removed;
};

struct leap__v_pd {
	struct leap__v_dev *dev;
	uint32_t users;
};

struct leap__v_mr {
	struct leap__v_pd *pd;
	uint64_t addr, bytes;
	uint32_t access;
	uint32_t key;
	int may_invalidate;
	int invalid;
};

struct leap__v_comp {
	struct fake_fabric *f;
	int fd;
	struct leap__v_cq *told[2];	/* each at most once */
	uint32_t nr_told;
};

struct leap__v_cq {
	struct fake_fabric *f;
	struct leap__v_comp *comp;
	struct leap__v_wc *wc;
	uint32_t size, head, tail;
	int armed;
};

struct fake_recv {
	uint64_t id;
	uint32_t nr_sge;
	struct leap__v_sge sge[2];
};

struct fake_rq {
	struct fake_recv *r;
	uint32_t size, head, tail;
};

struct leap__v_srq {
	struct fake_fabric *f;
	struct leap__v_pd *pd;
	struct fake_rq rq;
	uint32_t max, users;
	struct leap__v_srq *next;	/* of the fabric */
};

struct fake_send {
	struct leap__v_wr wr;
	struct leap__v_sge sge[FAKE_SGES];
	uint8_t data[FAKE_INLINE];
};

struct leap__v_qp {
	struct fake_fabric *f;
	struct leap__v_id *id;
	struct leap__v_pd *pd;
	struct leap__v_cq *cq;
	struct leap__v_cq *send_cq;
	struct leap__v_qp_caps caps;
	struct fake_rq rq;
	struct leap__v_srq *srq;	/* instead, or NULL */
	struct fake_send *sq;
	uint32_t sq_head, sq_tail;	/* posted, not executed */
	uint32_t nr_posts;
	int error;
	uint64_t taken[FAKE_TAKEN];	/* shared receives, not completed */
	uint32_t nr_taken;
	int said_last;
	struct fake_send late;		/* a READ under way; see late_reads */
	int has_late;
};

/* What a test may ask for; under the lock where other threads run. */
struct fake_fabric {
	struct leap__verbs v;		/* first: what leap__rdma_use wants */
	pthread_mutex_t lock;
	struct leap__v_dev dev;		/* what caps new ones have */
	struct leap__v_dev *devs[FAKE_DEVS];	/* all that were there */
	uint32_t nr_devs;
	struct leap__v_id *ids;
	struct leap__v_srq *srqs;
	uint32_t turn;			/* who is first at a shared receive */
	struct leap__v_mr **mrs;	/* by index of the key */
	uint32_t next_mr, key_gen;
	uint16_t next_port;
	/* Faults. */
	uint32_t max_mrs;		/* 0 = no bound */
	uint32_t pins;			/* nothing is registered on demand,
					 * whatever caps say */
	uint32_t nr_unpinned;		/* registered on demand, in all */
	uint32_t srq_takes;		/* shared receives that a queue pair has
					 * taken when it breaks; they complete
					 * some time later */
	int srq_drops;			/* those never complete */
	int srq_silent;			/* and the last one is never told */
	int paused;			/* nothing posted is executed */
	/* The device has its own way to this memory: it goes there. */
	uint64_t alias_at, alias_bytes;
	uint8_t *alias;
	uint32_t deaf;			/* as siw: so many posts of who has
					 * connected are not looked at before
					 * the next */
	int late_reads;			/* as siw: what is behind a READ is done
					 * before it, until fake_end_late */
	int fail_post;			/* errno of the next post_send, once */
	int fail_calls;			/* countdown: that call to make
					 * something fails */
	int die_after;			/* countdown: that many operations on,
					 * the connection breaks without a
					 * word */
	int leave_after;		/* the same, and the peer says so */
	uint8_t swap_from, swap_to;	/* an event instead of another, once;
					 * swap_on switches it on */
	uint8_t swap_on;
	uint8_t mute;			/* no events at all */
	int swap_status;
	uint8_t max_ird;		/* said to the passive side, or 0: as
					 * it was asked for */
	uint8_t no_ird;
	/* What there is, to be 0 in the end. */
	uint32_t nr_chans, nr_ids, nr_pds, nr_mrs, nr_comps, nr_cqs, nr_qps,
		 nr_srqs;
	/* What happened. */
	uint64_t nr_posts, nr_sends, nr_reads, nr_writes, nr_invalidated,
		 nr_polls, nr_arms, nr_refused, nr_srq_empty, nr_qps_made;
	/* Given back after the device was closed: a use after free. */
	uint64_t nr_late;
};

struct fake_fabric *fake_fabric_create(void);
/* How many objects are left: 0. */
unsigned int fake_fabric_destroy(struct fake_fabric *f);

/* Run what was posted while paused. */
void fake_resume(struct fake_fabric *f);

/* Receives that are in the shared queue made last; 0 = there is none. */
uint32_t fake_srq_recvs(struct fake_fabric *f);

/* READs under way are done. */
void fake_end_late(struct fake_fabric *f);

/* The @n-th id, newest first, that is (not) passive and not a listener. */
struct leap__v_id *fake_id(struct fake_fabric *f, int passive, unsigned int n);

/* An event out of the blue. */
void fake_event(struct leap__v_id *id, unsigned int type, int status,
		const void *priv, uint32_t len);

/* The device is pulled out: queues break, everybody on it is told, and it is
 * closed with its last id. What asks for one from then on gets another. */
void fake_remove_device(struct fake_fabric *f);

/* Break a connection: queues of both ends are flushed; nobody is told. */
void fake_break(struct leap__v_id *id);

/* Let a key be invalidated by the peer, as of memory windows. */
void fake_may_invalidate(struct fake_fabric *f, uint32_t key);
/* 1 = it was. */
int fake_is_invalid(struct fake_fabric *f, uint32_t key);

/* Between the files; the lock is held. */
void fake_dev_use(struct leap__v_id *id);
void fake_late(const struct leap__v_dev *dev);
void fake_run(struct leap__v_qp *qp);
void fake_flush(struct leap__v_qp *qp);
void fake_tell(struct leap__v_id *id, unsigned int type, int status,
	       const void *priv, uint32_t len);
void fake_apart(struct leap__v_id *id, int told);
/* Where @len bytes at @addr are, or NULL. */
uint8_t *fake_reach(struct fake_fabric *f, const struct leap__v_pd *pd,
		    uint32_t key, uint64_t addr, uint64_t len, uint32_t access);
void fake_cm_ops(struct leap__verbs *v);
void fake_qp_ops(struct leap__verbs *v);
void fake_srq_ops(struct leap__verbs *v);
void fake_flush_shared(struct leap__v_qp *qp);
void fake_complete(struct leap__v_cq *cq, uint64_t id, uint32_t status,
		   uint32_t bytes, uint32_t flags);
int fake_rq_create(struct fake_rq *rq, uint32_t size);
int fake_rq_post(struct fake_rq *rq, uint32_t max,
		 const struct leap__v_recv *r, uint32_t n);

static inline void fake_lock(struct fake_fabric *f)
{
	pthread_mutex_lock(&f->lock);
}

static inline void fake_unlock(struct fake_fabric *f)
{
	pthread_mutex_unlock(&f->lock);
}

/* 1 = this creating call is to fail. */
static inline int fake_fails(struct fake_fabric *f)
{
	return f->fail_calls && !--f->fail_calls;
}

#endif
