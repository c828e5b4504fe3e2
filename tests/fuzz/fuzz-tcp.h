/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz-tcp.h - an input of the two TCP fuzz targets, and how it is fed
 *
 * Byte 0: 1 shake hands first, 2 header digests, 4 data digests; bits 4:3 how
 * the stream is cut. Byte 1: 1 answers come later, 2 no SQ flow control. The
 * rest is what the peer sends.
 */
#ifndef LEAP_FUZZ_TCP_H
#define LEAP_FUZZ_TCP_H

#include "fuzz.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/io/pollgroup.h"
#include "transport/tcp/tcp.h"
#include "util/crc32c.h"

#define FUZZ_HANDSHAKE	1u
#define FUZZ_HDGST	2u
#define FUZZ_DDGST	4u
#define FUZZ_LATER	1u
#define FUZZ_NO_FLOW	2u

/* Read and forget what the end says. */
static inline void fuzz_drain(int fd)
{
	static uint8_t bin[65536];

	while (recv(fd, bin, sizeof(bin), MSG_DONTWAIT) > 0)
		;
}

static inline void fuzz_feed(int fd, struct leap_pollgroup *pg, uint8_t how,
			     const uint8_t *data, size_t size,
			     void (*step)(void))
{
	static const size_t cuts[] = { 1u << 20, 1, 7, 64 };
	size_t cut = cuts[how >> 3 & 3], n;
	unsigned int tries = 0;

	while (size && tries < 100) {
		n = size < cut ? size : cut;
		n = (size_t)send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == (size_t)-1) {
			tries++;
			n = 0;
		}
		data += n;
		size -= n;
		leap_pollgroup_poll(pg, 0);
		step();
		fuzz_drain(fd);
	}
}

static inline void fuzz_no_leak(struct leap_pollgroup *pg)
{
	struct leap_pollgroup_stats st = { sizeof(st) };

	FUZZ_CHECK(!leap_pollgroup_stats(pg, &st));
	FUZZ_CHECK(!st.cmds_in_use && !st.bufs_in_use);
}

/* A whole PDU with its digests; returns its length. */
static inline uint32_t fuzz_pdu(uint8_t *out, uint8_t how,
				union leap__tcp_pdu *pdu, const void *data,
				uint32_t bytes)
{
	uint32_t head = pdu->hdr.hlen, plen;
	leap_le32 crc;

	head += how & FUZZ_HDGST ? 4 : 0;
	plen = head + bytes + (bytes && how & FUZZ_DDGST ? 4 : 0);
	leap__tcp_hdr(&pdu->hdr, pdu->hdr.type,
		      (how & FUZZ_HDGST ? LEAP_TCP_F_HDGST : 0) |
		      (bytes && how & FUZZ_DDGST ? LEAP_TCP_F_DDGST : 0),
		      pdu->hdr.hlen, (uint8_t)(bytes ? head : 0), plen);
	memcpy(out, pdu, pdu->hdr.hlen);
	crc = leap_to_le32(leap__crc32c(0, out, pdu->hdr.hlen));
	if (how & FUZZ_HDGST)
		memcpy(out + pdu->hdr.hlen, &crc, 4);
	if (bytes)
		memcpy(out + head, data, bytes);
	crc = leap_to_le32(leap__crc32c(0, data, bytes));
	if (plen > head + bytes)
		memcpy(out + head + bytes, &crc, 4);
	return plen;
}

#endif
