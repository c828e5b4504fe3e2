/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receiving: large reads into one linear buffer, every whole PDU parsed.
 *
 * A header is copied out before it is looked at. Capsules are handed over when
 * all of them is there. Payload of data PDUs is copied (and summed in the same
 * pass) from the buffer to where it belongs; when more of it is still to come
 * than the buffer holds, the next read goes there directly. Knows nothing of
 * commands; what a PDU means is for the end.
 */
#include "transport/tcp/conn.h"

#include "util/crc32c.h"
#include "util/plant.h"

#include <errno.h>
#include <string.h>

static uint32_t get_digest(const uint8_t *at)
{
	leap_le32 wire;

	memcpy(&wire, at, sizeof(wire));
	return leap_from_le32(wire);
}

int leap__tcp_ddgst_ok(const struct leap__tcp_shape *s, const uint8_t *data,
		       uint32_t crc)
{
	return !s->has_ddgst || get_digest(data + s->data) == crc;
}

/* The common header at the head is bad: as much of the PDU as there is. */
__attribute__((cold)) static int rx_bad(struct leap__tcp_conn *c,
					const struct leap__tcp_bad *bad)
{
	const uint8_t *at = c->rx.buf + c->rx.head;
	uint32_t len = at[2];	/* HLEN as received */

	if (len < sizeof(struct leap_tcp_hdr))
		len = sizeof(struct leap_tcp_hdr);
	if (len > c->rx.tail - c->rx.head)
		len = c->rx.tail - c->rx.head;
	leap__tcp_fatal(c, bad, at, len);
	return 0;
}

/* The header is all there. 1 = go on, 0 = stop. */
static int rx_pdu(struct leap__tcp_conn *c, const struct leap__tcp_shape *s)
{
	struct leap__tcp_rx *rx = &c->rx;
	const uint8_t *at = rx->buf + rx->head;
	union leap__tcp_pdu pdu;
	struct leap__tcp_bad bad;
	int stream;

	leap__tcp_copy_hdr(&pdu, at, s->hlen);
	if (s->has_hdgst) {
		bad.fes = LEAP_TCP_FES_HDGST;
		bad.fei = get_digest(at + s->hlen);
		if (leap__crc32c(0, at, s->hlen) != bad.fei)
			return rx_bad(c, &bad);
	}
	if (leap__tcp_check_body(s, &pdu, &bad))
		return rx_bad(c, &bad);
	stream = s->type == LEAP_TCP_H2C_DATA || s->type == LEAP_TCP_C2H_DATA;
	if (stream) {
		rx->left = s->data;
		rx->digest = s->has_ddgst;
		rx->crc = 0;
	}
	if (c->end->pdu(c, &pdu, s, at + s->head)) {
		rx->left = 0;
		rx->digest = 0;
		rx->paused = 1;
		return 0;
	}
	if (c->state > LEAP__TCP_READY)
		return 0;
	rx->head += stream ? s->head : s->plen;
	return 1;
}

/* 1 = a PDU was taken, 0 = more bytes needed, or stop */
static int rx_header(struct leap__tcp_conn *c)
{
	struct leap__tcp_rx *rx = &c->rx;
	uint32_t have = rx->tail - rx->head, need;
	struct leap__tcp_shape s;
	struct leap__tcp_bad bad;

	if (have < sizeof(struct leap_tcp_hdr))
		return 0;
	if (leap__tcp_check(&c->rules, rx->buf + rx->head, &s, &bad))
		return rx_bad(c, &bad);
	need = s.plen;
	if (s.type == LEAP_TCP_H2C_DATA || s.type == LEAP_TCP_C2H_DATA)
		need = s.head;
	if (have < need)
		return 0;
	return rx_pdu(c, &s);
}

static void rx_advance(struct leap__tcp_rx *rx, uint32_t n)
{
	rx->left -= n;
	rx->expect -= n < rx->expect ? n : rx->expect;
	rx->cur.off += n;
	if (rx->cur.off == rx->cur.piece->len_bytes) {
		rx->cur.piece++;
		rx->cur.off = 0;
	}
}

static int rx_payload(struct leap__tcp_conn *c)
{
	struct leap__tcp_rx *rx = &c->rx;

	while (rx->left && rx->head != rx->tail) {
		const struct leap_piece *p = rx->cur.piece;
		uint8_t *to = (uint8_t *)p->addr + rx->cur.off;
		uint32_t n = p->len_bytes - rx->cur.off;

		if (n > rx->left)
			n = rx->left;
		if (n > rx->tail - rx->head)
			n = rx->tail - rx->head;
		if (rx->digest)
			rx->crc = leap__crc32c_copy(to, rx->buf + rx->head, n,
						    rx->crc);
		else if (n)
			memcpy(to, rx->buf + rx->head, n);
		rx->head += n;
		rx_advance(rx, n);
	}
	return !rx->left;
}

/* Behind the data of a PDU: 1 = go on. */
static int rx_data_end(struct leap__tcp_conn *c)
{
	struct leap__tcp_rx *rx = &c->rx;
	int ok = 1;

	if (rx->digest) {
		if (rx->tail - rx->head < LEAP_TCP_DIGEST_LEN)
			return 0;
		ok = get_digest(rx->buf + rx->head) == rx->crc ||
		     LEAP_PLANT(DIGEST_UNCHECKED);
		rx->head += LEAP_TCP_DIGEST_LEN;
		rx->digest = 0;
	}
	c->end->data_end(c, ok);
	rx->cur.piece = NULL;
	return c->state <= LEAP__TCP_READY;
}

static void rx_parse(struct leap__tcp_conn *c)
{
	struct leap__tcp_rx *rx = &c->rx;
	int more = 1;

	while (more && !rx->hold && c->state <= LEAP__TCP_READY) {
		if (rx->left && !rx_payload(c))
			return;
		more = rx->cur.piece ? rx_data_end(c) : rx_header(c);
	}
}

/* Where the next bytes go. */
static void rx_post(struct leap__tcp_conn *c)
{
	struct leap__tcp_rx *rx = &c->rx;
	uint32_t room;

	rx->direct = 0;
	if (rx->left && rx->head == rx->tail &&
	    rx->cur.piece->len_bytes - rx->cur.off >= LEAP__TCP_DIRECT &&
	    rx->left >= LEAP__TCP_DIRECT) {
		room = rx->cur.piece->len_bytes - rx->cur.off;
		rx->direct = 1;
		rx->iov.iov_base = (uint8_t *)rx->cur.piece->addr + rx->cur.off;
		rx->iov.iov_len = room < rx->left ? room : rx->left;
	} else {
		if (rx->head == rx->tail) {
			rx->head = 0;
			rx->tail = 0;
		} else if (rx->size - rx->tail < rx->size / 2) {
			memmove(rx->buf, rx->buf + rx->head,
				rx->tail - rx->head);
			rx->tail -= rx->head;
			rx->head = 0;
		}
		room = rx->size - rx->tail;
		/* Much payload to come: take its header, not its data. */
		if (rx->expect >= 8 * LEAP__TCP_DIRECT &&
		    room > 2 * LEAP__TCP_DIRECT)
			room = 2 * LEAP__TCP_DIRECT;
		rx->iov.iov_base = rx->buf + rx->tail;
		rx->iov.iov_len = room;
	}
	rx->io.wfd = c->wfd;
	rx->io.iov = &rx->iov;
	rx->io.nr_iov = 1;
	rx->busy = 1;
	leap__io_submit(c->world, &rx->io);
}

/* After TermReq: whatever the peer still says is thrown away. */
static void rx_discard(struct leap__tcp_conn *c)
{
	c->rx.head = 0;
	c->rx.tail = 0;
	c->rx.left = 0;
	c->rx.cur.piece = NULL;
	rx_post(c);
}

void leap__tcp_rx_start(struct leap__tcp_conn *c)
{
	if (c->rx.busy || c->in_rx)
		return;
	c->in_rx = 1;
	c->rx.paused = 0;
	rx_parse(c);
	c->in_rx = 0;
	if (c->state == LEAP__TCP_TERM)
		rx_discard(c);
	else if (c->state <= LEAP__TCP_READY && !c->rx.paused && !c->rx.hold)
		rx_post(c);
}

static void recv_done(struct leap__io *io)
{
	struct leap__tcp_conn *c = io->arg;
	struct leap__tcp_rx *rx = &c->rx;
	uint32_t n;

	rx->busy = 0;
	if (c->state >= LEAP__TCP_DEAD) {
		leap__tcp_work(c);
		return;
	}
	if (io->res <= 0) {
		/* A half-close is a close: NVMe/TCP has no use for it. */
		leap__tcp_kill(c, io->res ? (int)io->res :
			       c->state == LEAP__TCP_TERM ? c->err : 0);
		return;
	}
	n = (uint32_t)io->res;
	if (c->state > LEAP__TCP_READY) {
		/* Nobody reads it any more. */
	} else if (rx->direct) {
		if (rx->digest)
			rx->crc = leap__crc32c(rx->crc,
					(uint8_t *)rx->cur.piece->addr +
					rx->cur.off, n);
		rx_advance(rx, n);
	} else {
		rx->tail += n;
	}
	leap__tcp_rx_start(c);
	leap__tcp_flush(c);
}

void leap__tcp_rx_init(struct leap__tcp_conn *c)
{
	c->rx.io.op = LEAP__IO_RECV;
	c->rx.io.done = recv_done;
	c->rx.io.arg = c;
}
