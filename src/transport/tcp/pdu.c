/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The PDU codec: one header at a time, checked before anything depends on it.
 *
 * Pure functions over bytes: knows neither sockets nor commands, and is the
 * same for both ends. Which type may come from whom, with which length, which
 * digests and how much data, is decided here and nowhere else. Reserved bits
 * and bytes are not looked at, as the standard asks of a receiver.
 */
#include "transport/tcp/pdu.h"

#include <errno.h>
#include <string.h>

#define TO_HOST	1u	/* sent by the controller */
#define TO_CTRL	2u
#define EARLY	4u	/* before the connection is ready, and only then */
#define ANY	8u	/* at any time */
#define HDGST	16u
#define DATA	32u	/* always has data */
#define MAYBE	64u	/* may have data */

#define FEI_TYPE	0
#define FEI_FLAGS	1
#define FEI_HLEN	2
#define FEI_PDO		3
#define FEI_PLEN	4

/* NVMe/TCP 1.0, "PDU Types" and the figure of each PDU. */
static const struct {
	uint8_t hlen;
	uint8_t traits;
} kinds[] = {
	[LEAP_TCP_IC_REQ] = { 128, TO_CTRL | EARLY },
	[LEAP_TCP_IC_RESP] = { 128, TO_HOST | EARLY },
	[LEAP_TCP_H2C_TERM] = { 24, TO_CTRL | ANY | MAYBE },
	[LEAP_TCP_C2H_TERM] = { 24, TO_HOST | ANY | MAYBE },
	[LEAP_TCP_CMD] = { 72, TO_CTRL | HDGST | MAYBE },
	[LEAP_TCP_RSP] = { 24, TO_HOST | HDGST },
	[LEAP_TCP_H2C_DATA] = { 24, TO_CTRL | HDGST | DATA },
	[LEAP_TCP_C2H_DATA] = { 24, TO_HOST | HDGST | DATA },
	[0x08] = { 0, 0 },
	[LEAP_TCP_R2T] = { 24, TO_HOST | HDGST },
};

__attribute__((cold)) static int bad_pdu(struct leap__tcp_bad *bad,
					 uint16_t fes, uint32_t fei)
{
	bad->fes = fes;
	bad->fei = fei;
	return -EPROTO;
}

/* PDO, PLEN and the data digest flag of a PDU that may carry data. */
static int check_data(const struct leap__tcp_rules *rules,
		      const struct leap_tcp_hdr *hdr, uint8_t traits,
		      struct leap__tcp_shape *s, struct leap__tcp_bad *bad)
{
	uint32_t least = s->head, tail, max;

	if (s->plen == least && (traits & MAYBE)) {
		if (hdr->flags & LEAP_TCP_F_DDGST)
			return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_FLAGS);
		return 0;
	}
	if (!!(hdr->flags & LEAP_TCP_F_DDGST) != !!rules->ddgst)
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_FLAGS);
	if (hdr->pdo < least || (hdr->pdo & 3))
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_PDO);
	s->has_ddgst = rules->ddgst;
	s->head = hdr->pdo;
	tail = s->has_ddgst ? LEAP_TCP_DIGEST_LEN : 0;
	if (s->plen <= s->head + tail)
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_PLEN);
	s->data = s->plen - s->head - tail;
	max = (traits & MAYBE) ? rules->max_capsule : rules->max_data;
	if (s->data > max)
		return bad_pdu(bad, LEAP_TCP_FES_LIMIT, 0);
	return 0;
}

/* Termination PDUs carry the bad header right behind their own. */
static int check_term(struct leap__tcp_shape *s, struct leap__tcp_bad *bad)
{
	if (s->plen > (uint32_t)s->hlen + LEAP_TCP_TERM_MAX_DATA)
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_PLEN);
	s->data = s->plen - s->hlen;
	return 0;
}

int leap__tcp_check(const struct leap__tcp_rules *rules, const void *ch,
		    struct leap__tcp_shape *s, struct leap__tcp_bad *bad)
{
	struct leap_tcp_hdr hdr;
	uint8_t traits;

	memcpy(&hdr, ch, sizeof(hdr));
	if (hdr.type >= sizeof(kinds) / sizeof(kinds[0]))
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_TYPE);
	traits = kinds[hdr.type].traits;
	if (!(traits & (rules->host ? TO_HOST : TO_CTRL)))
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_TYPE);
	if (!(traits & ANY) && !(traits & EARLY) != !!rules->ready)
		return bad_pdu(bad, LEAP_TCP_FES_SEQUENCE, 0);
	if (hdr.hlen != kinds[hdr.type].hlen)
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_HLEN);
	s->type = hdr.type;
	s->hlen = hdr.hlen;
	s->has_hdgst = (traits & HDGST) && rules->hdgst;
	s->has_ddgst = 0;
	if (!!(hdr.flags & LEAP_TCP_F_HDGST) != !!s->has_hdgst)
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_FLAGS);
	s->head = hdr.hlen + (s->has_hdgst ? LEAP_TCP_DIGEST_LEN : 0);
	s->plen = leap_from_le32(hdr.plen);
	s->data = 0;
	if (s->plen < s->head)
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_PLEN);
	if (traits & ANY)
		return check_term(s, bad);
	if (traits & (DATA | MAYBE))
		return check_data(rules, &hdr, traits, s, bad);
	if (hdr.flags & LEAP_TCP_F_DDGST)
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_FLAGS);
	if (s->plen != s->head)
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_PLEN);
	return 0;
}

static int check_ic(const union leap__tcp_pdu *pdu, struct leap__tcp_bad *bad)
{
	const struct leap_tcp_ic_resp *resp = &pdu->ic_resp;
	uint32_t max;

	/* ICReq and ICResp share the places of PFV and HPDA / CPDA. */
	if (leap_from_le16(resp->pfv))
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD,
			       offsetof(struct leap_tcp_ic_resp, pfv));
	if (resp->cpda > LEAP_TCP_MAX_PDA)
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD,
			       offsetof(struct leap_tcp_ic_resp, cpda));
	if (resp->hdr.type == LEAP_TCP_IC_REQ)
		return 0;
	max = leap_from_le32(resp->maxh2cdata);
	if (max < LEAP_TCP_MIN_MAXH2CDATA || (max & 3))
		return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD,
			       offsetof(struct leap_tcp_ic_resp, maxh2cdata));
	return 0;
}

int leap__tcp_check_body(const struct leap__tcp_shape *s,
			 const union leap__tcp_pdu *pdu,
			 struct leap__tcp_bad *bad)
{
	switch (s->type) {
	case LEAP_TCP_IC_REQ:
	case LEAP_TCP_IC_RESP:
		return check_ic(pdu, bad);
	case LEAP_TCP_H2C_DATA:
	case LEAP_TCP_C2H_DATA:
		if (leap_from_le32(pdu->data.datal) != s->data)
			return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD,
				       offsetof(struct leap_tcp_data, datal));
		if ((pdu->hdr.flags & LEAP_TCP_F_SUCCESS) &&
		    s->type == LEAP_TCP_C2H_DATA &&
		    !(pdu->hdr.flags & LEAP_TCP_F_LAST))
			return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD, FEI_FLAGS);
		return 0;
	case LEAP_TCP_R2T:
		if (!leap_from_le32(pdu->r2t.r2tl))
			return bad_pdu(bad, LEAP_TCP_FES_HDR_FIELD,
				       offsetof(struct leap_tcp_r2t, r2tl));
		return 0;
	default:
		return 0;
	}
}

void leap__tcp_hdr(struct leap_tcp_hdr *hdr, uint8_t type, uint8_t flags,
		   uint8_t hlen, uint8_t pdo, uint32_t plen)
{
	hdr->type = type;
	hdr->flags = flags;
	hdr->hlen = hlen;
	hdr->pdo = pdo;
	hdr->plen = leap_to_le32(plen);
}

uint8_t leap__tcp_pdo(uint8_t hlen, uint8_t hdgst, uint8_t pda)
{
	uint32_t at = hlen + (hdgst ? LEAP_TCP_DIGEST_LEN : 0u);
	uint32_t step = LEAP_TCP_PDU_ALIGN(pda);

	return (uint8_t)((at + step - 1) / step * step);
}

uint32_t leap__tcp_term(uint8_t *out, uint8_t type,
			const struct leap__tcp_bad *bad, const void *bad_hdr,
			uint32_t len)
{
	struct leap_tcp_term term;

	if (len > LEAP_TCP_TERM_MAX_DATA)
		len = LEAP_TCP_TERM_MAX_DATA;
	memset(&term, 0, sizeof(term));
	leap__tcp_hdr(&term.hdr, type, 0, sizeof(term), 0,
		      (uint32_t)sizeof(term) + len);
	term.fes = leap_to_le16(bad->fes);
	leap_tcp_term_set_fei(&term, bad->fei);
	memcpy(out, &term, sizeof(term));
	if (len)
		memcpy(out + sizeof(term), bad_hdr, len);
	return (uint32_t)sizeof(term) + len;
}
