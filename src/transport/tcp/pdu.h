/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pdu.h - one PDU header at a time: check, parse, build; no I/O
 */
#ifndef LEAP_TCP_PDU_H
#define LEAP_TCP_PDU_H

#include <string.h>

#include <leapio/nvme_tcp.h>

/* The longest header; data starts at byte PDO <= 255. */
#define LEAP__TCP_MAX_HLEN 128u

/* A header, copied out of the stream; aligned for every field. */
union leap__tcp_pdu {
	struct leap_tcp_hdr hdr;
	struct leap_tcp_ic_req ic_req;
	struct leap_tcp_ic_resp ic_resp;
	struct leap_tcp_term term;
	struct leap_tcp_cmd cmd;
	struct leap_tcp_rsp rsp;
	struct leap_tcp_data data;
	struct leap_tcp_r2t r2t;
	uint8_t raw[LEAP__TCP_MAX_HLEN];
	uint64_t align;
};

/* What a connection has agreed on, as far as headers depend on it. */
struct leap__tcp_rules {
	uint8_t host;		/* 1: we are the host end */
	uint8_t ready;		/* ICReq and ICResp have been exchanged */
	uint8_t hdgst;		/* header digests on */
	uint8_t ddgst;		/* data digests on */
	uint32_t max_capsule;	/* in-capsule bytes that we take */
	uint32_t max_data;	/* bytes of one data PDU that we take */
};

/* Why a PDU is fatal: NVMe/TCP 1.0, "Fatal Error Status". */
struct leap__tcp_bad {
	uint16_t fes;
	uint32_t fei;
};

/* A PDU that passed the check of its common header. */
struct leap__tcp_shape {
	uint8_t type;
	uint8_t hlen;
	uint8_t has_hdgst;
	uint8_t has_ddgst;
	uint32_t head;		/* bytes before the data, digest and pad too */
	uint32_t data;		/* bytes of data */
	uint32_t plen;		/* all of it */
};

/*
 * leap__tcp_check - the common header of a PDU that arrives
 *
 * @ch: its first 8 bytes
 * Returns: 0 and *@shape, or -EPROTO and *@bad
 */
int leap__tcp_check(const struct leap__tcp_rules *rules, const void *ch,
		    struct leap__tcp_shape *shape, struct leap__tcp_bad *bad);

/*
 * leap__tcp_check_body - what the fields of the whole header must satisfy by
 * themselves
 *
 * @pdu: its HLEN bytes, header digest already checked
 * Returns: 0, or -EPROTO and *@bad
 */
int leap__tcp_check_body(const struct leap__tcp_shape *shape,
			 const union leap__tcp_pdu *pdu,
			 struct leap__tcp_bad *bad);

/* leap__tcp_hdr - fill a common header; digest flags are added when sent */
void leap__tcp_hdr(struct leap_tcp_hdr *hdr, uint8_t type, uint8_t flags,
		   uint8_t hlen, uint8_t pdo, uint32_t plen);

/* leap__tcp_pdo - where data starts behind a header of @hlen */
uint8_t leap__tcp_pdo(uint8_t hlen, uint8_t hdgst, uint8_t pda);

/*
 * leap__tcp_term - build a termination PDU
 *
 * @out: LEAP_TCP_TERM_MAX_DATA + 24 bytes
 * @bad_hdr, @len: the offending header, cut to LEAP_TCP_TERM_MAX_DATA
 * Returns: its length
 */
uint32_t leap__tcp_term(uint8_t *out, uint8_t type,
			const struct leap__tcp_bad *bad, const void *bad_hdr,
			uint32_t len);

/*
 * Headers have three lengths. Known ones are a few moves; of a length that is
 * only known to be small compilers make a "rep movs", which takes longer than
 * the rest of a header. The common header by itself, so that whoever copies the
 * entry behind it finds that in one store, and does not wait for two.
 */
static inline void leap__tcp_copy_hdr(void *to, const void *from,
				      uint32_t hlen)
{
	enum { CH = sizeof(struct leap_tcp_hdr) };
	uint8_t *rest = (uint8_t *)to + CH;
	const uint8_t *src = (const uint8_t *)from + CH;

	memcpy(to, from, CH);
	if (hlen == sizeof(struct leap_tcp_rsp))
		memcpy(rest, src, sizeof(struct leap_tcp_rsp) - CH);
	else if (hlen == sizeof(struct leap_tcp_cmd))
		memcpy(rest, src, sizeof(struct leap_tcp_cmd) - CH);
	else
		memcpy(rest, src, sizeof(union leap__tcp_pdu) - CH);
}

#endif
