/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.h - the inside of a host end: what host.c and host_tx.c share, and
 * nobody else sees
 */
#ifndef LEAP_TCP_HOST_H
#define LEAP_TCP_HOST_H

#include "core/io/transport.h"
#include "transport/tcp/tcp.h"

#define NO_SLOT		0xffffu
#define MAX_R2TS	4u	/* that we let a command have: MAXR2T + 1 */
#define MAX_DATA	(64u << 20)	/* bytes of one request */

#define SENT		1u	/* its capsule has been gathered */
#define QUEUED		2u	/* on txq; may outlive its request */
#define IN_SEND		4u	/* payload is in the pending send */
#define DONE		8u	/* answered; completes when sent */
#define DIGEST_BAD	16u

struct hslot {
	struct leap_req *req;
	struct hslot *next_tx, *next_sending;
	struct leap__tcp_cursor rx_cur, tx_cur;
	uint32_t len;		/* payload, bytes */
	uint32_t got;		/* received */
	uint32_t sent;		/* by H2CData */
	uint32_t asked;		/* by R2Ts */
	uint32_t r2t_end[MAX_R2TS];	/* oldest first from r2t_first */
	uint16_t r2t_tag[MAX_R2TS];
	uint8_t r2t_first, nr_r2ts;
	uint8_t flags, dir;
	uint16_t gen, next_free;
	struct leap_cqe cqe;
};

struct host {
	struct leap_qp qp;		/* first */
	struct leap__tcp_conn c;
	struct leap__io connect;
	struct sockaddr_storage addr;
	struct hslot *slots;
	uint32_t nr_slots;
	uint32_t max_h2c;		/* MAXH2CDATA */
	uint16_t free_slot;
	uint8_t slot_bits;
	uint8_t ic_due;			/* ICReq is to be sent */
	uint8_t closing;		/* leap_qp_closed is awaited */
	uint8_t capsule_pdo;
	uint8_t rx_flags;		/* of the C2HData under way */
	struct hslot *txq, **txq_tail;
	struct hslot *sending;
	struct hslot *tx_slot;		/* payload is being gathered */
	struct hslot *rx_slot;		/* payload is arriving */
};

static inline struct host *of_conn(struct leap__tcp_conn *c)
{
	return (struct host *)((char *)c - offsetof(struct host, c));
}

static inline uint16_t cid_of(const struct host *h, const struct hslot *s)
{
	return (uint16_t)(s->gen << h->slot_bits | (uint16_t)(s - h->slots));
}

static inline void queue_tx(struct host *h, struct hslot *s)
{
	if (!(s->flags & QUEUED)) {
		s->flags |= QUEUED;
		s->next_tx = NULL;
		*h->txq_tail = s;
		h->txq_tail = &s->next_tx;
	}
	leap__tcp_work(&h->c);
}

static inline struct leap_req *slot_free(struct host *h, struct hslot *s)
{
	struct leap_req *req = s->req;

	s->req = NULL;
	s->nr_r2ts = 0;
	s->next_free = h->free_slot;
	h->free_slot = (uint16_t)(s - h->slots);
	return req;
}

static inline void finish(struct host *h, struct hslot *s)
{
	struct leap_req *req;

	if (s->flags & IN_SEND || s == h->tx_slot) {
		s->flags |= DONE;
		return;
	}
	req = slot_free(h, s);
	req->cqe = s->cqe;
	leap_qp_complete(&h->qp, req);
}

/* host_tx.c */
int leap__tcp_qp_submit(struct leap_qp *qp, struct leap_req *const *reqs,
			unsigned int n);
void leap__tcp_host_gather(struct leap__tcp_conn *c);
void leap__tcp_host_sent(struct leap__tcp_conn *c);

#endif
