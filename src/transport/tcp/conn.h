/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conn.h - one TCP connection: a stream of PDUs in, gathered sends out
 *
 * What both ends have in common. An end embeds a conn and gives it a table of
 * what is its own. Everything runs on the thread of conn->pg, in poll.
 *
 *	HELLO -> READY -> CLOSING -> DEAD -> GONE
 *	   \________\___> TERM ____/
 */
#ifndef LEAP_TCP_CONN_H
#define LEAP_TCP_CONN_H

#include <leapio/mem.h>

#include "core/io/pollgroup.h"
#include "core/io/world.h"
#include "transport/tcp/pdu.h"

#define LEAP__TCP_RX_BYTES	262144u	/* holds many PDUs, read at once */
#define LEAP__TCP_TX_IOVS	256u
#define LEAP__TCP_TX_HDRS	16384u	/* headers and digests of one send */
#define LEAP__TCP_TX_BATCH	524288u	/* bytes of one send, about */
#define LEAP__TCP_DIRECT	4096u	/* payload left that skips the buffer */
#define LEAP__TCP_HELLO_MS	10000u	/* ICReq and Connect, each */
#define LEAP__TCP_LINGER_MS	1000u	/* for the peer to read TermReq */
#define LEAP__TCP_STALL_MS	15000u	/* R2T without data; close */

enum leap__tcp_state {
	LEAP__TCP_HELLO,	/* TCP connect, ICReq, ICResp */
	LEAP__TCP_READY,
	LEAP__TCP_CLOSING,	/* what is queued goes out, then close */
	LEAP__TCP_TERM,		/* TermReq goes out, then wait for the peer */
	LEAP__TCP_DEAD,		/* socket closed; operations come back */
	LEAP__TCP_GONE,		/* end->gone has run */
};

/* A place in a list of pieces. */
struct leap__tcp_cursor {
	const struct leap_piece *piece;
	uint32_t off;
};

struct leap__tcp_conn;

/* What an end does with a connection. */
struct leap__tcp_end {
	/*
	 * A PDU: its header, and all of its data when that follows in @data
	 * (capsules and terminations; leap__tcp_ddgst_ok checks its digest).
	 * Of a data PDU only the header is there; conn->rx.cur is to be set,
	 * and the data comes before data_end.
	 * Returns 0 = taken, 1 = cannot take it now, leap__tcp_resume later.
	 */
	int (*pdu)(struct leap__tcp_conn *c, const union leap__tcp_pdu *pdu,
		   const struct leap__tcp_shape *s, const uint8_t *data);
	void (*data_end)(struct leap__tcp_conn *c, int ddgst_ok);
	/* Put PDUs into the send until nothing is left or tx_full. */
	void (*gather)(struct leap__tcp_conn *c);
	/* The last send is out: what it used may be reused. */
	void (*sent)(struct leap__tcp_conn *c);
	/* No operation is pending any more; conn->err says why. */
	void (*gone)(struct leap__tcp_conn *c);
	/* conn->timer ran out in state HELLO or READY. */
	void (*timeout)(struct leap__tcp_conn *c);
};

struct leap__tcp_rx {
	struct leap__io io;
	struct iovec iov;
	uint8_t *buf;
	uint32_t size;		/* of buf; set before conn_init, or default */
	uint32_t head, tail;	/* bytes not parsed yet */
	uint32_t left;		/* of the data PDU under way */
	uint32_t crc;
	uint8_t busy;		/* an operation is pending */
	uint8_t direct;		/* it goes to the payload itself */
	uint8_t digest;		/* a data digest is due after left */
	uint8_t paused;		/* the end could not take a PDU */
	uint8_t hold;		/* the end wants nothing more for now: no
				 * parsing, and no operation pending */
	uint32_t expect;	/* bytes of data PDUs that will come, about */
	struct leap__tcp_cursor cur;
};

struct leap__tcp_tx {
	struct leap__io io;
	uint8_t *hdrs;
	struct iovec *iov;
	uint32_t nr_iov;
	uint32_t hdrs_used;
	uint32_t bytes;
	uint8_t busy;
	uint8_t term_sent;
	/* Payload of the PDU that is being gathered. */
	struct leap__tcp_cursor cur;
	uint32_t left;
	uint32_t crc;
	uint8_t digest;		/* is due after left */
};

struct leap__tcp_conn {
	const struct leap__tcp_end *end;
	struct leap_pollgroup *pg;
	struct leap__world *world;
	struct leap__wfd *wfd;
	uint8_t state;		/* enum leap__tcp_state */
	uint8_t pdo;		/* of the data PDUs that we send */
	uint8_t in_rx;		/* parse is on the stack: send follows */
	uint8_t connecting;	/* the end's own operation is pending */
	int err;
	struct leap__tcp_rules rules;
	struct leap__tcp_rx rx;
	struct leap__tcp_tx tx;
	struct leap__defer defer;
	struct leap_timer timer;
	uint32_t term_bytes;
	uint8_t term[sizeof(struct leap_tcp_term) + LEAP_TCP_TERM_MAX_DATA];
};

/* conn.c */
int leap__tcp_conn_init(struct leap__tcp_conn *c,
			const struct leap__tcp_end *end,
			struct leap_pollgroup *pg, struct leap__wfd *wfd);
void leap__tcp_conn_fini(struct leap__tcp_conn *c);

/* Something is to be sent, parsed or finished: look at the end of this poll. */
void leap__tcp_work(struct leap__tcp_conn *c);

/* The end can take PDUs again (paused), or wants them (hold cleared). */
void leap__tcp_resume(struct leap__tcp_conn *c);

/* A fatal protocol error of the peer: TermReq, linger, close. */
void leap__tcp_fatal(struct leap__tcp_conn *c, const struct leap__tcp_bad *bad,
		     const void *hdr, uint32_t len);

/* Send what is queued, then close with @err = 0. */
void leap__tcp_close(struct leap__tcp_conn *c);

/* Close now. */
void leap__tcp_kill(struct leap__tcp_conn *c, int err);

void leap__tcp_timer(struct leap__tcp_conn *c, uint32_t ms);
void leap__tcp_timer_stop(struct leap__tcp_conn *c);

/* rx.c */
void leap__tcp_rx_init(struct leap__tcp_conn *c);
void leap__tcp_rx_start(struct leap__tcp_conn *c);	/* parse, receive */

/* Is @crc what the digest behind @data says? 1 when there is none. */
int leap__tcp_ddgst_ok(const struct leap__tcp_shape *s, const uint8_t *data,
		       uint32_t crc);

/* tx.c */
void leap__tcp_tx_init(struct leap__tcp_conn *c);
void leap__tcp_flush(struct leap__tcp_conn *c);

/* 1 when the send has no room for another PDU. */
static inline int leap__tcp_tx_full(const struct leap__tcp_conn *c)
{
	return c->tx.hdrs_used > LEAP__TCP_TX_HDRS - 512 ||
	       c->tx.nr_iov > LEAP__TCP_TX_IOVS - 4 ||
	       c->tx.bytes >= LEAP__TCP_TX_BATCH;
}

/*
 * Append a header (flags and lengths filled in), its digest, and padding up to
 * @head. Only while not full.
 */
void leap__tcp_tx_hdr(struct leap__tcp_conn *c, union leap__tcp_pdu *pdu,
		      uint32_t head);

/* Its payload follows: set the cursor,
 * then leap__tcp_tx_data till it says 1. */
void leap__tcp_tx_begin(struct leap__tcp_conn *c, struct leap__tcp_cursor cur,
			uint32_t bytes);
int leap__tcp_tx_data(struct leap__tcp_conn *c);

#endif
