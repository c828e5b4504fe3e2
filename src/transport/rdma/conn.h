/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conn.h - one RDMA connection: a queue pair with a completion queue of its own
 *
 * What both ends have in common. An end embeds a conn and gives it a table of
 * what is its own. Everything runs on the thread of conn->pg, in poll.
 *
 *	SETUP -> READY -> CLOSING -> DEAD -> GONE
 *	    \________\__________/
 *
 * DEAD to GONE takes until the end of the poll, or until what it took of shared
 * receives has come back: then the queue pair has been destroyed, and with it
 * every descriptor that was posted. That is the fence: after it nobody moves
 * bytes through this connection, and memory goes back.
 *
 * Completion queue, completion channel and event channel belong to this one
 * connection, because the thread that will serve a queue is known only when its
 * Connect command has arrived, while a queue pair keeps its completion queue
 * for life. So all of them move together.
 */
#ifndef LEAP_RDMA_CONN_H
#define LEAP_RDMA_CONN_H

#include "transport/rdma/group.h"

#define LEAP__RDMA_HELLO_MS	10000u	/* from accept to Connect */
#define LEAP__RDMA_RESOLVE_MS	2000u	/* address and route, each */
#define LEAP__RDMA_LINGER_MS	1000u	/* for the last answers to get out */
#define LEAP__RDMA_STALL_MS	15000u	/* nothing posted gets done; close */
/* A queue may wait for its own slow reads of a peer that is slow, too. */
#define LEAP__RDMA_RETRIES	7u
#define LEAP__RDMA_RNR_RETRIES	7u	/* a peer that posts no receive: wait */
#define LEAP__RDMA_BATCH	64u	/* descriptors of one post */
#define LEAP__RDMA_SGES		256u	/* of them all */
#define LEAP__RDMA_MAX_SGE	16u	/* of one */
#define LEAP__RDMA_WCS		32u	/* completions of one poll */
#define LEAP__RDMA_DRAINS	250u	/* ms, for the last of shared
					 * receives */
#define LEAP__RDMA_NUDGE_MS	100u	/* for a peer that has not answered at
					 * all; then twice as long, and so on */
#define LEAP__RDMA_NUDGES	6u
#define LEAP__RDMA_RECV_ID	(UINT64_C(1) << 63)

enum leap__rdma_state {
	LEAP__RDMA_SETUP,
	LEAP__RDMA_READY,
	LEAP__RDMA_CLOSING,	/* what is posted goes out, then close */
	LEAP__RDMA_DEAD,
	LEAP__RDMA_GONE,
};

/* How far one that connects has come. */
enum leap__rdma_step {
	LEAP__RDMA_ADDR,
	LEAP__RDMA_ROUTE,
	LEAP__RDMA_ASKED,
	LEAP__RDMA_LINKED,
};

struct leap__rdma_conn;

struct leap__rdma_end {
	/* A message of @bytes has come into receive @slot. */
	void (*recv)(struct leap__rdma_conn *c, uint32_t slot, uint32_t bytes,
		     uint32_t flags);
	/* What was posted with @kind and @ptr is done with. In order. */
	void (*sent)(struct leap__rdma_conn *c, uint32_t kind, void *ptr);
	/* Post what there is. */
	void (*gather)(struct leap__rdma_conn *c);
	/* An event that is not the end of the connection; those who connect
	 * have leap__rdma_connecting. */
	void (*event)(struct leap__rdma_conn *c, const struct leap__v_cm *cm);
	/* The way is known: make the queues and connect. 0, negative errno.
	 * This and the next two: of those who connect. */
	int (*ask)(struct leap__rdma_conn *c);
	/* The peer has accepted: leap__rdma_up or leap__rdma_kill. */
	void (*accepted)(struct leap__rdma_conn *c,
			 const struct leap__v_cm *cm);
	/* It has refused. Negative errno. */
	int (*refused)(struct leap__rdma_conn *c, const struct leap__v_cm *cm);
	/* The queue pair is no more; conn->err says why. */
	void (*gone)(struct leap__rdma_conn *c);
	/* 1 = somebody waits until what is posted is done: whoever sleeps is
	 * to be woken for that. NULL = always. */
	int (*waiting)(struct leap__rdma_conn *c);
};

/* Where receives are: of two parts each, the second may be empty. */
struct leap__rdma_recvs {
	uint64_t at[2];
	uint32_t bytes[2], lkey;
};

struct leap__rdma_sent {
	void *ptr;
	uint32_t kind;
	uint32_t own;	/* a READ whose own completion has not come */
};

struct leap__rdma_conn {
	const struct leap__rdma_end *end;
	const struct leap__verbs *v;
	struct leap_pollgroup *pg;
	const void *realm;		/* group.h; the end sets it first */
	struct leap__rdma_dev *dev;
	struct leap__rdma_pool *pool;
	struct leap__v_chan *chan;
	struct leap__v_id *id;
	struct leap__v_qp *qp;
	struct leap__v_cq *cq;		/* of receives, and of the rest if that
					 * has none of its own */
	struct leap__v_cq *send_cq;	/* or NULL */
	struct leap__v_comp *comp;
	struct leap__v_mr *mr[2];	/* of the end; go after the queue */
	uint8_t state;			/* enum leap__rdma_state */
	uint8_t polled;			/* the poller is in */
	uint8_t armed;			/* the queue will tell */
	uint8_t armed_sends;		/* send_cq will */
	uint8_t linked;			/* connect or accept was called */
	uint8_t handling;		/* completions: a post follows */
	uint8_t step;			/* enum leap__rdma_step */
	uint8_t stalling;		/* stall runs */
	uint8_t nudging;		/* timer is for the next nudge */
	uint8_t nudges;			/* how many there were */
	uint8_t heard;			/* the peer has answered something */
	int err;
	struct leap_poller poller;
	struct leap__defer defer;
	struct leap_timer timer;	/* the state waits for no longer, or
					 * nudging */
	struct leap_timer stall;
	uint32_t stall_head;		/* sq_head when that was started */
	struct leap__rdma_watch *watch;
	struct leap__rdma_watch *ending; /* its operation is to come back */
	uint32_t max_sge;
	uint32_t inline_ok;	/* bytes that a descriptor may carry itself */
	/* The send queue: what is posted or in the batch, by sequence. */
	struct leap__rdma_sent *ring;
	uint32_t sq_size, ring_mask;
	uint32_t sq_tail, sq_head;
	uint32_t sq_done;		/* behind what has completed last */
	/* The batch that is being filled. */
	uint32_t nr_wr, nr_sge, nr_recv;
	struct leap__v_wr wr[LEAP__RDMA_BATCH];
	struct leap__v_sge sge[LEAP__RDMA_SGES];
	uint32_t recv[LEAP__RDMA_BATCH];	/* slots */
	struct leap__rdma_recvs recvs;
	/* Instead of those, until the queue pair is gone; or NULL. */
	struct leap__rdma_srq *srq;
	uint32_t last_recv;		/* it will take no more of them */
	uint32_t drains;		/* how often that was asked */
	/* Seen while arming. */
	uint32_t nr_wc;
	struct leap__v_wc wc[LEAP__RDMA_WCS];
};

/* queue.c: who polls it, and who sees that it stalls. */
void leap__rdma_queue_init(struct leap__rdma_conn *c);

/* An event channel, with @id on it or a new id. */
int leap__rdma_conn_init(struct leap__rdma_conn *c,
			 const struct leap__rdma_end *end,
			 struct leap_pollgroup *pg, struct leap__v_id *id);

/* Which device it is, once that is known; leap__rdma_conn_qp does it, too. */
int leap__rdma_conn_dev(struct leap__rdma_conn *c);

/*
 * leap__rdma_conn_qp - queue pair and completion queue, once the device is
 * known; events and completions are looked at from here on
 *
 * @sends: descriptors posted at once; fewer when the device has fewer
 * @recvs: of its own; not looked at when c->srq is set
 */
int leap__rdma_conn_qp(struct leap__rdma_conn *c, uint32_t sends,
		       uint32_t recvs, uint32_t max_inline);

/* Frees all but what the end owns, now; no callback. */
void leap__rdma_conn_fini(struct leap__rdma_conn *c);

/* connect.c */

/*
 * leap__rdma_connect - begin to connect to @addr; @c is zeroed
 *
 * @ms: until it is accepted
 * Returns: 0; or negative errno, and nothing is left of it
 */
int leap__rdma_connect(struct leap__rdma_conn *c,
		       const struct leap__rdma_end *end,
		       struct leap_pollgroup *pg,
		       const struct sockaddr_storage *addr, uint32_t ms);

/* For end->ask: the connection manager's part. 0, negative errno. */
int leap__rdma_ask(struct leap__rdma_conn *c, const struct leap__v_param *p);

/* For end->event of those who connect. */
void leap__rdma_connecting(struct leap__rdma_conn *c,
			   const struct leap__v_cm *cm);

/* conn.c: the peer has accepted what we asked for: READY. */
void leap__rdma_up(struct leap__rdma_conn *c);

/* A WRITE of no bytes, when there is room: of a peer that is not there any more
 * the device then says so. */
void leap__rdma_touch(struct leap__rdma_conn *c);

/* Something is to be posted or ended: look at the end of this poll. */
static inline void leap__rdma_work(struct leap__rdma_conn *c)
{
	leap__pollgroup_defer(c->pg, &c->defer);
}

/* Descriptors that the send queue has room for. */
static inline uint32_t leap__rdma_room(const struct leap__rdma_conn *c)
{
	return c->sq_size - (c->sq_tail - c->sq_head);
}

/*
 * leap__rdma_post - a descriptor of @nr_sge parts, which the caller fills
 *
 * Only while there is room. The last of each batch is signalled; @flags asks
 * for more.
 */
struct leap__v_wr *leap__rdma_post(struct leap__rdma_conn *c, uint32_t op,
				   uint32_t nr_sge, struct leap__v_sge **sge,
				   uint32_t flags);

/* What happens when the descriptor posted last is done. */
static inline void leap__rdma_post_end(struct leap__rdma_conn *c,
				       uint32_t kind, void *ptr)
{
	struct leap__rdma_sent *s = &c->ring[(c->sq_tail - 1) & c->ring_mask];

	s->kind = kind;
	s->ptr = ptr;
}

/* Descriptors that READs (LEAP__V_READ) or WRITEs of @nr pieces take. */
uint32_t leap__rdma_nr_moves(const struct leap__rdma_conn *c, uint32_t op,
			     uint32_t nr);

/*
 * leap__rdma_post_move - READs from @remote, a one-sided piece, into @nr pieces
 * of ours, or WRITEs out of them
 *
 * What the pieces have is moved, so @remote has it too; and there is room.
 * @flags are of the last descriptor.
 */
void leap__rdma_post_move(struct leap__rdma_conn *c, uint32_t op,
			  const struct leap_piece *remote,
			  const struct leap_piece *pieces, uint32_t nr,
			  uint32_t lkey, uint32_t flags);

/* Receive @slot may be filled again. Not after GONE. */
void leap__rdma_post_recv(struct leap__rdma_conn *c, uint32_t slot);

/* Descriptors and their parts, of @n receives. */
void leap__rdma_recvs_fill(const struct leap__rdma_recvs *at,
			   const uint32_t *slots, uint32_t n,
			   struct leap__v_recv *r, struct leap__v_sge *sge);

/* Shared receives of a connection that is DEAD go back unread. */
void leap__rdma_unread(struct leap__rdma_conn *c);

/* Push the batches out; gather first, and not from a completion. */
void leap__rdma_push(struct leap__rdma_conn *c);
void leap__rdma_flush(struct leap__rdma_conn *c);

/* For end->recv, of an end that is sent nothing. */
void leap__rdma_no_recv(struct leap__rdma_conn *c, uint32_t slot,
			uint32_t bytes, uint32_t flags);

/* The peer broke a rule. */
void leap__rdma_fatal(struct leap__rdma_conn *c, const char *what);

/* When what is posted has gone out, close with error 0. */
void leap__rdma_close(struct leap__rdma_conn *c);

/* Close now. */
void leap__rdma_kill(struct leap__rdma_conn *c, int err);

/* Read events that nobody has read yet. */
void leap__rdma_events(struct leap__rdma_conn *c);

/* In so much time the connection is ended, unless the timer is stopped. */
void leap__rdma_timer(struct leap__rdma_conn *c, uint32_t ms);

/* To another poll group: on the old thread, then on the new one. */
void leap__rdma_conn_detach(struct leap__rdma_conn *c);
int leap__rdma_conn_attach(struct leap__rdma_conn *c,
			   struct leap_pollgroup *pg);

/* watch.c */

/*
 * leap__rdma_watch - @fired runs in poll when one of @fds (-1 = none) is
 * readable, and again while it stays so
 */
int leap__rdma_watch(struct leap_pollgroup *pg, const int fds[2],
		     void (*fired)(void *arg), void *arg,
		     struct leap__rdma_watch **out);
/* Safe from @fired. @ended, if any, runs later in poll, with the same argument:
 * then the poll group is not used any more. NULL is a no-op. */
void leap__rdma_unwatch(struct leap__rdma_watch *w, void (*ended)(void *arg));
/* @ended is not called any more: its argument goes elsewhere. NULL: no-op. */
void leap__rdma_disown(struct leap__rdma_watch *w);

#endif
