/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp-peer.h - the other side of a connection, written out PDU by PDU
 *
 * Holds one end of a socket pair; polls the poll group of the end under test
 * whenever it has to wait.
 */
#ifndef LEAP_TESTS_TCP_PEER_H
#define LEAP_TESTS_TCP_PEER_H

#include "tcp-fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include "util/crc32c.h"

#define PEER_MAX (2u << 20)

struct peer {
	int fd;
	int hdgst, ddgst;
	struct leap_pollgroup *pg;
	struct tcp_fixture *f;		/* may be NULL */
	uint8_t in[PEER_MAX];
	uint32_t have;
	/* The last PDU received, digests checked. */
	union leap__tcp_pdu pdu;
	uint8_t *data;
	uint32_t bytes;
};

static inline void peer_poll(struct peer *p)
{
	leap_pollgroup_poll(p->pg, 0);
	if (p->f)
		tcp_fixture_poll(p->f);
}

static inline void peer_start(struct peer *p, int fd,
			      struct leap_pollgroup *pg, struct tcp_fixture *f)
{
	p->fd = fd;
	p->hdgst = p->ddgst = 0;
	p->pg = pg;
	p->f = f;
	p->have = 0;
	fcntl(fd, F_SETFL, O_NONBLOCK);
}

static inline void peer_send(struct peer *p, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;
	uint64_t end_ns = tcp_now_ns() + 120000000000u;

	while (n && tcp_now_ns() < end_ns) {
		ssize_t did = send(p->fd, at, n, MSG_NOSIGNAL);

		if (did > 0) {
			at += did;
			n -= (size_t)did;
		} else {
			/* A peer that has ended it takes no more: fine. */
			if (errno != EAGAIN)
				return;
			peer_poll(p);
		}
	}
	assert_int_equal(n, 0);
}

/* The whole of a PDU in a buffer; returns its length. */
static inline uint32_t peer_build(struct peer *p, uint8_t *out,
				  union leap__tcp_pdu *pdu, const void *data,
				  uint32_t bytes)
{
	uint32_t head = pdu->hdr.hlen, tail;
	leap_le32 crc;

	if (p->hdgst) {
		pdu->hdr.flags |= LEAP_TCP_F_HDGST;
		head += 4;
	}
	pdu->hdr.pdo = (uint8_t)(bytes ? head : 0);
	tail = bytes && p->ddgst ? 4 : 0;
	if (tail)
		pdu->hdr.flags |= LEAP_TCP_F_DDGST;
	pdu->hdr.plen = leap_to_le32(head + bytes + tail);
	memcpy(out, pdu, pdu->hdr.hlen);
	if (p->hdgst) {
		crc = leap_to_le32(leap__crc32c(0, out, pdu->hdr.hlen));
		memcpy(out + pdu->hdr.hlen, &crc, 4);
	}
	if (bytes)
		memcpy(out + head, data, bytes);
	if (tail) {
		crc = leap_to_le32(leap__crc32c(0, data, bytes));
		memcpy(out + head + bytes, &crc, 4);
	}
	return head + bytes + tail;
}

static inline void peer_pdu(struct peer *p, union leap__tcp_pdu *pdu,
			    const void *data, uint32_t bytes)
{
	uint8_t *out = malloc(256 + bytes);

	assert_non_null(out);
	peer_send(p, out, peer_build(p, out, pdu, data, bytes));
	free(out);
}

/* 1 = a PDU, 0 = end of stream */
static inline int peer_recv(struct peer *p)
{
	uint32_t plen = 0, head;
	uint64_t end_ns = tcp_now_ns() + 120000000000u;
	uint8_t *pdu;

	while (tcp_now_ns() < end_ns) {
		uint32_t need = p->have < 8 ? 8 : plen;
		ssize_t n;

		if (p->have >= 8) {
			plen = (uint32_t)p->in[4] | (uint32_t)p->in[5] << 8 |
			       (uint32_t)p->in[6] << 16 |
			       (uint32_t)p->in[7] << 24;
			assert_true(plen >= 8 && plen <= PEER_MAX);
			need = plen;
			if (p->have >= plen)
				break;
		}
		n = recv(p->fd, p->in + p->have, need - p->have, 0);
		if (!n || (n < 0 && errno == ECONNRESET))
			return 0;
		if (n > 0)
			p->have += (uint32_t)n;
		else
			peer_poll(p);
	}
	assert_true(p->have >= 8 && p->have == plen);
	p->have = 0;
	pdu = p->in;
	head = pdu[2];
	assert_true(head <= sizeof(p->pdu));
	memcpy(&p->pdu, pdu, head);
	if (pdu[1] & LEAP_TCP_F_HDGST) {
		leap_le32 crc;

		assert_true(p->hdgst);
		memcpy(&crc, pdu + head, 4);
		assert_int_equal(leap_from_le32(crc),
				 leap__crc32c(0, pdu, head));
		head += 4;
	} else {
		assert_true(!p->hdgst || pdu[0] < LEAP_TCP_CMD);
	}
	if (pdu[3])
		head = pdu[3];
	p->data = pdu + head;
	p->bytes = plen - head;
	if (pdu[1] & LEAP_TCP_F_DDGST) {
		leap_le32 crc;

		assert_true(p->ddgst);
		p->bytes -= 4;
		memcpy(&crc, p->data + p->bytes, 4);
		assert_int_equal(leap_from_le32(crc),
				 leap__crc32c(0, p->data, p->bytes));
	}
	return 1;
}

static inline void peer_expect(struct peer *p, uint8_t type)
{
	assert_int_equal(peer_recv(p), 1);
	if (p->pdu.hdr.type != type)
		fail_msg("pdu type %u instead of %u", p->pdu.hdr.type, type);
}

/* The termination PDU with this reason and header, then the end. */
static inline void peer_expect_term(struct peer *p, uint8_t type, uint16_t fes,
				    uint32_t fei, const void *hdr)
{
	int i;

	peer_expect(p, type);
	if (leap_from_le16(p->pdu.term.fes) != fes ||
	    leap_tcp_term_fei(&p->pdu.term) != fei)
		fail_msg("fes %u fei %u instead of fes %u fei %u",
			 leap_from_le16(p->pdu.term.fes),
			 leap_tcp_term_fei(&p->pdu.term), fes, fei);
	assert_true(p->bytes >= 8 && p->bytes <= LEAP_TCP_TERM_MAX_DATA);
	assert_memory_equal(p->data, hdr, p->bytes);
	/* It waits for us to close, and reads what we still say. */
	for (i = 0; i < 20; i++) {
		peer_send(p, "garbage", 7);
		peer_poll(p);
	}
}

static inline void peer_hdr(union leap__tcp_pdu *pdu, uint8_t type,
			    uint8_t flags, uint8_t hlen)
{
	memset(pdu, 0, sizeof(*pdu));
	leap__tcp_hdr(&pdu->hdr, type, flags, hlen, 0, hlen);
}

/* A command capsule; no payload in it. */
static inline void peer_sqe(union leap__tcp_pdu *pdu, uint8_t opc, uint16_t cid,
			    uint32_t at, uint32_t bytes, uint8_t sgl)
{
	peer_hdr(pdu, LEAP_TCP_CMD, 0, sizeof(pdu->cmd));
	pdu->cmd.sqe.opc = opc;
	pdu->cmd.sqe.flags = LEAP_SQE_PSDT_SGL;
	pdu->cmd.sqe.cid = leap_to_le16(cid);
	pdu->cmd.sqe.sgl1.len = leap_to_le32(bytes);
	pdu->cmd.sqe.sgl1.type = sgl;
	pdu->cmd.sqe.cdw10 = leap_to_le32(at);
	pdu->cmd.sqe.cdw12 = leap_to_le32(bytes);
}

static inline void peer_data(union leap__tcp_pdu *pdu, uint8_t type,
			     uint16_t cid, uint16_t ttag, uint32_t at,
			     uint32_t bytes, uint8_t flags)
{
	peer_hdr(pdu, type, flags, sizeof(pdu->data));
	pdu->data.cccid = leap_to_le16(cid);
	pdu->data.ttag = leap_to_le16(ttag);
	pdu->data.datao = leap_to_le32(at);
	pdu->data.datal = leap_to_le32(bytes);
}

#define SGL_CAPSULE LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_OFFSET)
#define SGL_STREAM LEAP_SGL_ID(LEAP_SGL_TYPE_TRANSPORT, LEAP_SGL_SUB_TRANSPORT)

#endif
