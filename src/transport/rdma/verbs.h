/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verbs.h - the seam to RDMA: every verbs and connection manager call we make
 *
 * One table, filled by verbs_ibv.c over libibverbs and librdmacm, and by a fake
 * fabric in the tests. Types are our own, so that everything above builds and
 * is tested without the libraries. Handles are opaque and belong to whoever
 * implements the table.
 *
 * Calls answer 0 or a count, or negative errno. One queue pair is used by one
 * thread at a time; everything that it consists of may move to another thread
 * between two calls. A device, a protection domain and a shared receive queue
 * are used by any number of threads at once.
 */
#ifndef LEAP_RDMA_VERBS_H
#define LEAP_RDMA_VERBS_H

#include <stdint.h>
#include <sys/socket.h>

struct leap__v_chan;	/* connection manager events */
struct leap__v_id;	/* a listener, or one end of a connection */
struct leap__v_dev;	/* a device */
struct leap__v_pd;
struct leap__v_mr;
struct leap__v_comp;	/* completion channel: tells of completions */
struct leap__v_cq;
struct leap__v_qp;
struct leap__v_srq;	/* receives that queue pairs share */

enum leap__v_event {
	LEAP__V_ADDR_RESOLVED,
	LEAP__V_ADDR_ERROR,
	LEAP__V_ROUTE_RESOLVED,
	LEAP__V_ROUTE_ERROR,
	LEAP__V_CONNECT_REQUEST,
	LEAP__V_CONNECT_RESPONSE,
	LEAP__V_CONNECT_ERROR,
	LEAP__V_UNREACHABLE,
	LEAP__V_REJECTED,
	LEAP__V_ESTABLISHED,
	LEAP__V_DISCONNECTED,
	LEAP__V_DEVICE_REMOVAL,
	LEAP__V_ADDR_CHANGE,
	LEAP__V_TIMEWAIT_EXIT,
	LEAP__V_OTHER,
	LEAP__V_NR_EVENTS
};

#define LEAP__V_PRIV_MAX 256u

/* An event, copied and acknowledged. */
struct leap__v_cm {
	uint8_t type;		/* enum leap__v_event */
	uint8_t ird;		/* RDMA READs that the peer answers at once */
	uint8_t ord;		/* ... and that it wants to have out */
	uint8_t reserved;
	uint32_t priv_len;	/* zeroes may follow what was sent */
	int status;
	struct leap__v_id *id;	/* CONNECT_REQUEST: the new one, ours */
	void *ctx;		/* of @id; CONNECT_REQUEST: of the listener */
	uint8_t priv[LEAP__V_PRIV_MAX];
};

struct leap__v_param {
	const void *priv;
	uint8_t priv_len;
	uint8_t ird;
	uint8_t ord;
	uint8_t retries;
	uint8_t rnr_retries;	/* 7 = for ever */
	uint8_t rnr_timer;	/* accept: how long a peer waits that finds no
				 * receive, by the code of InfiniBand; 0 = as
				 * the library has it */
};

struct leap__v_caps {
	uint32_t max_wr;	/* of a queue */
	uint32_t max_sge;
	uint32_t read_sges;	/* of an RDMA READ */
	uint32_t max_cqe;
	uint32_t max_srq;	/* receives of a shared queue; 0 = has none, or
				 * a peer that finds it empty is cut off */
	uint8_t max_ird;
	uint8_t max_ord;
	uint8_t remote_sink;	/* iWARP: the target of an RDMA READ must be
				 * registered for remote writing */
	uint8_t on_demand;	/* memory may be registered unpinned, for RDMA
				 * READs and WRITEs of the far side and to be
				 * sent from */
};

/* In: what is asked; out: what there is. */
struct leap__v_qp_caps {
	uint32_t max_send;
	uint32_t max_recv;
	uint32_t max_sge;	/* of both */
	uint32_t max_inline;
	/* In: completions of what is posted go there; NULL = to the other. */
	struct leap__v_cq *send_cq;
	/* In: receives come from here, and max_recv is 0; or NULL. */
	struct leap__v_srq *srq;
	/* Set when the queue pair, in error, will take no more from there, and
	 * all that it took has completed: dev_events sees to it. */
	uint32_t *last_recv;
};

struct leap__v_sge {
	uint64_t addr;
	uint32_t len;
	uint32_t lkey;
};

enum leap__v_op {
	LEAP__V_SEND,
	LEAP__V_SEND_INV,	/* and invalidate @key at the peer */
	LEAP__V_READ,
	LEAP__V_WRITE,
};

#define LEAP__V_SIGNALED	1u
#define LEAP__V_INLINE		2u

struct leap__v_wr {
	uint64_t id;
	uint64_t remote;
	const struct leap__v_sge *sge;
	uint32_t key;		/* of @remote, or to invalidate */
	uint16_t nr_sge;
	uint8_t op;		/* enum leap__v_op */
	uint8_t flags;
};

struct leap__v_recv {
	uint64_t id;
	const struct leap__v_sge *sge;
	uint32_t nr_sge;
};

enum leap__v_status {
	LEAP__V_OK,
	LEAP__V_FLUSHED,	/* the queue pair is in error */
	LEAP__V_LOCAL,		/* our own descriptor, memory or length */
	LEAP__V_ACCESS,		/* the peer's memory refuses */
	LEAP__V_REMOTE,		/* the peer could not take it */
	LEAP__V_RETRY,		/* the peer does not answer */
	LEAP__V_RNR,		/* the peer posts no receives */
	LEAP__V_BROKEN,
};

#define LEAP__V_WITH_INV	1u	/* the peer has invalidated a key */

struct leap__v_wc {
	uint64_t id;
	uint32_t status;	/* enum leap__v_status; then only id counts */
	uint32_t bytes;		/* received */
	uint32_t flags;
	uint32_t reserved;
};

/* Of memory. We may always read and write it. */
#define LEAP__V_REMOTE_READ	1u
#define LEAP__V_REMOTE_WRITE	2u
#define LEAP__V_ON_DEMAND	4u	/* not pinned: pages come when used */

struct leap__v_keys {
	uint32_t lkey;
	uint32_t rkey;
};

struct leap__verbs {
	const char *name;

	/* Connection manager. */
	int (*chan_create)(const struct leap__verbs *v,
			   struct leap__v_chan **out);
	void (*chan_destroy)(struct leap__v_chan *chan);
	int (*chan_fd)(struct leap__v_chan *chan);
	/* 1 = an event, 0 = none now. */
	int (*chan_get)(struct leap__v_chan *chan, struct leap__v_cm *cm);
	int (*id_create)(struct leap__v_chan *chan, void *ctx,
			 struct leap__v_id **out);
	/* Its events are gone with it. */
	void (*id_destroy)(struct leap__v_id *id);
	/* To another channel and context, with events that are waiting. */
	int (*id_move)(struct leap__v_id *id, struct leap__v_chan *to,
		       void *ctx);
	int (*listen)(struct leap__v_id *id, const struct sockaddr *addr,
		      int backlog);
	int (*resolve_addr)(struct leap__v_id *id, const struct sockaddr *addr,
			    int timeout_ms);
	int (*resolve_route)(struct leap__v_id *id, int timeout_ms);
	int (*connect)(struct leap__v_id *id, const struct leap__v_param *p);
	int (*accept)(struct leap__v_id *id, const struct leap__v_param *p);
	int (*reject)(struct leap__v_id *id, const void *priv, uint8_t len);
	int (*disconnect)(struct leap__v_id *id);
	int (*local_addr)(struct leap__v_id *id, struct sockaddr_storage *sa);
	int (*peer_addr)(struct leap__v_id *id, struct sockaddr_storage *sa);
	/* NULL = not known yet. Borrowed; the same for all ids of a device. */
	struct leap__v_dev *(*id_dev)(struct leap__v_id *id);

	/* Device. */
	int (*dev_caps)(struct leap__v_dev *dev, struct leap__v_caps *caps);
	int (*pd_create)(struct leap__v_dev *dev, struct leap__v_pd **out);
	void (*pd_destroy)(struct leap__v_pd *pd);
	int (*mr_create)(struct leap__v_pd *pd, void *addr, uint64_t bytes,
			 uint32_t access, struct leap__v_keys *keys,
			 struct leap__v_mr **out);
	void (*mr_destroy)(struct leap__v_mr *mr);
	int (*comp_create)(struct leap__v_dev *dev, struct leap__v_comp **out);
	void (*comp_destroy)(struct leap__v_comp *comp);
	int (*comp_fd)(struct leap__v_comp *comp);
	/* The next queue that it has told of, which is not armed any more;
	 * NULL = none. */
	struct leap__v_cq *(*comp_next)(struct leap__v_comp *comp);
	int (*cq_create)(struct leap__v_dev *dev, uint32_t entries,
			 struct leap__v_comp *comp, struct leap__v_cq **out);
	void (*cq_destroy)(struct leap__v_cq *cq);
	/* Tell of the next completion. Those that came before are not told. */
	int (*cq_arm)(struct leap__v_cq *cq);
	int (*cq_poll)(struct leap__v_cq *cq, struct leap__v_wc *wc, int n);
	int (*qp_create)(struct leap__v_id *id, struct leap__v_pd *pd,
			 struct leap__v_cq *cq, struct leap__v_qp_caps *caps,
			 struct leap__v_qp **out);
	/* When it returns, nobody touches memory through it any more. */
	void (*qp_destroy)(struct leap__v_id *id, struct leap__v_qp *qp);
	int (*srq_create)(struct leap__v_pd *pd, uint32_t recvs,
			  struct leap__v_srq **out);
	/* After its queue pairs. */
	void (*srq_destroy)(struct leap__v_srq *srq);
	/* All or none of @n. Any thread. */
	int (*srq_post)(struct leap__v_srq *srq, const struct leap__v_recv *r,
			uint32_t n);
	/* Take what the device has said of queue pairs of shared receive
	 * queues, whichever thread's they are. Any thread. */
	void (*dev_events)(struct leap__v_dev *dev);
	/* All or none of @n; on failure the queue pair is to be closed. */
	int (*post_send)(struct leap__v_qp *qp, const struct leap__v_wr *wr,
			 uint32_t n);
	int (*post_recv)(struct leap__v_qp *qp, const struct leap__v_recv *r,
			 uint32_t n);
};

/* Of this build: over libibverbs, or NULL. */
const struct leap__verbs *leap__verbs_real(void);

#endif
