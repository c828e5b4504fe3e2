/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending: everything that is ready goes out in one gathered send.
 *
 * Headers, digests and padding are built side by side in an arena, so that
 * neighbours share an iovec; payload is sent from where it lies. One send is
 * pending at a time; what becomes ready meanwhile is in the next. Knows PDUs
 * only as headers and payload; what to send is for the end's gather.
 */
#include "transport/tcp/conn.h"

#include "util/crc32c.h"

#include <errno.h>
#include <string.h>

/* Room in the arena, part of the send; the caller has looked at tx_full. */
static uint8_t *tx_room(struct leap__tcp_tx *tx, uint32_t bytes)
{
	uint8_t *at = tx->hdrs + tx->hdrs_used;
	struct iovec *last = tx->nr_iov ? &tx->iov[tx->nr_iov - 1] : NULL;

	if (last && (uint8_t *)last->iov_base + last->iov_len == at) {
		last->iov_len += bytes;
	} else {
		tx->iov[tx->nr_iov].iov_base = at;
		tx->iov[tx->nr_iov++].iov_len = bytes;
	}
	tx->hdrs_used += bytes;
	tx->bytes += bytes;
	return at;
}

static void put_digest(uint8_t *at, uint32_t crc)
{
	leap_le32 wire = leap_to_le32(crc);

	memcpy(at, &wire, sizeof(wire));
}

void leap__tcp_tx_hdr(struct leap__tcp_conn *c, union leap__tcp_pdu *pdu,
		      uint32_t head)
{
	uint32_t hlen = pdu->hdr.hlen, used = hlen;
	uint8_t *at = tx_room(&c->tx, head);

	if (c->rules.hdgst && c->rules.ready) {
		pdu->hdr.flags |= LEAP_TCP_F_HDGST;
		leap__tcp_copy_hdr(at, pdu, hlen);
		put_digest(at + hlen, leap__crc32c(0, at, hlen));
		used += LEAP_TCP_DIGEST_LEN;
	} else {
		leap__tcp_copy_hdr(at, pdu, hlen);
	}
	if (used < head)
		memset(at + used, 0, head - used);
}

void leap__tcp_tx_begin(struct leap__tcp_conn *c, struct leap__tcp_cursor cur,
			uint32_t bytes)
{
	struct leap__tcp_tx *tx = &c->tx;

	tx->cur = cur;
	tx->left = bytes;
	tx->digest = c->rules.ddgst;
	tx->crc = 0;
}

int leap__tcp_tx_data(struct leap__tcp_conn *c)
{
	struct leap__tcp_tx *tx = &c->tx;

	while (tx->left) {
		const struct leap_piece *p = tx->cur.piece;
		uint32_t n = p->len_bytes - tx->cur.off;
		uint8_t *at = (uint8_t *)p->addr + tx->cur.off;

		if (tx->nr_iov > LEAP__TCP_TX_IOVS - 4)
			return 0;
		if (n > tx->left)
			n = tx->left;
		if (tx->digest)
			tx->crc = leap__crc32c(tx->crc, at, n);
		if (n) {
			tx->iov[tx->nr_iov].iov_base = at;
			tx->iov[tx->nr_iov++].iov_len = n;
		}
		tx->bytes += n;
		tx->left -= n;
		tx->cur.off += n;
		if (tx->cur.off == p->len_bytes) {
			tx->cur.piece++;
			tx->cur.off = 0;
		}
	}
	if (tx->digest) {
		put_digest(tx_room(tx, LEAP_TCP_DIGEST_LEN), tx->crc);
		tx->digest = 0;
	}
	return 1;
}

__attribute__((cold)) static void gather_term(struct leap__tcp_conn *c)
{
	if (c->tx.term_sent || !leap__tcp_tx_data(c))
		return;
	memcpy(tx_room(&c->tx, c->term_bytes), c->term, c->term_bytes);
	c->tx.term_sent = 1;
}

void leap__tcp_flush(struct leap__tcp_conn *c)
{
	struct leap__tcp_tx *tx = &c->tx;

	if (tx->busy || c->state >= LEAP__TCP_DEAD)
		return;
	tx->nr_iov = 0;
	tx->hdrs_used = 0;
	tx->bytes = 0;
	if (c->state == LEAP__TCP_TERM)
		gather_term(c);
	else
		c->end->gather(c);
	if (!tx->nr_iov) {
		if (c->state == LEAP__TCP_CLOSING)
			leap__tcp_kill(c, 0);
		return;
	}
	tx->io.wfd = c->wfd;
	tx->io.iov = tx->iov;
	tx->io.nr_iov = (uint16_t)tx->nr_iov;
	tx->busy = 1;
	leap__io_submit(c->world, &tx->io);
}

static void send_done(struct leap__io *io)
{
	struct leap__tcp_conn *c = io->arg;

	c->tx.busy = 0;
	if (c->state >= LEAP__TCP_DEAD) {
		leap__tcp_work(c);
		return;
	}
	if (io->res < 0) {
		leap__tcp_kill(c, (int)io->res);
		return;
	}
	c->end->sent(c);
	if (c->rx.paused)
		leap__tcp_resume(c);
	leap__tcp_work(c);
}

void leap__tcp_tx_init(struct leap__tcp_conn *c)
{
	c->tx.io.op = LEAP__IO_SEND;
	c->tx.io.done = send_done;
	c->tx.io.arg = c;
}
