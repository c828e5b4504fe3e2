/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nvme_tcp.h - the protocol data units of NVMe/TCP
 *
 * On the wire a PDU is: header (HLEN bytes) | header digest | padding up to
 * PDO | data | data digest. The structs here are the headers. Names follow the
 * NVMe/TCP Transport 1.0 specification; each struct cites its figure.
 */
#ifndef LEAPIO_NVME_TCP_H
#define LEAPIO_NVME_TCP_H

#include <leapio/nvme.h>

#define LEAP_TCP_DIGEST_LEN	4
/* In-capsule bytes that admin and fabrics commands may always carry. */
#define LEAP_TCP_ADMIN_ICD	8192
#define LEAP_TCP_MIN_MAXH2CDATA	4096
#define LEAP_TCP_MAX_PDA	31	/* HPDA and CPDA, 0's based dwords */
#define LEAP_TCP_PDU_ALIGN(pda)	(((pda) + 1u) * 4u)	/* bytes */

/* "PDU Type". */
#define LEAP_TCP_IC_REQ		0x00
#define LEAP_TCP_IC_RESP	0x01
#define LEAP_TCP_H2C_TERM	0x02
#define LEAP_TCP_C2H_TERM	0x03
#define LEAP_TCP_CMD		0x04
#define LEAP_TCP_RSP		0x05
#define LEAP_TCP_H2C_DATA	0x06
#define LEAP_TCP_C2H_DATA	0x07
#define LEAP_TCP_R2T		0x09

/* Flags of the common header. */
#define LEAP_TCP_F_HDGST	(1u << 0)
#define LEAP_TCP_F_DDGST	(1u << 1)
#define LEAP_TCP_F_LAST		(1u << 2)	/* data PDUs */
#define LEAP_TCP_F_SUCCESS	(1u << 3)	/* no response follows */

/* "PDU Common Header (CH)". */
struct leap_tcp_hdr {
	uint8_t type;
	uint8_t flags;
	uint8_t hlen;		/* bytes, without the digest */
	uint8_t pdo;		/* byte offset of the data; 0 when none */
	leap_le32 plen;		/* bytes, all of the PDU */
};
LEAP_ASSERT_SIZE(struct leap_tcp_hdr, 8);
LEAP_ASSERT_AT(struct leap_tcp_hdr, flags, 1);
LEAP_ASSERT_AT(struct leap_tcp_hdr, hlen, 2);
LEAP_ASSERT_AT(struct leap_tcp_hdr, pdo, 3);
LEAP_ASSERT_AT(struct leap_tcp_hdr, plen, 4);

/* Bits of the DGST byte of ICReq and ICResp. */
#define LEAP_TCP_DGST_HEADER	(1u << 0)
#define LEAP_TCP_DGST_DATA	(1u << 1)

/* "Initialize Connection Request PDU (ICReq)". */
struct leap_tcp_ic_req {
	struct leap_tcp_hdr hdr;
	leap_le16 pfv;		/* 0 */
	uint8_t hpda;		/* 0's based dwords */
	uint8_t dgst;
	leap_le32 maxr2t;	/* 0's based */
	uint8_t rsvd16[112];
};
LEAP_ASSERT_SIZE(struct leap_tcp_ic_req, 128);
LEAP_ASSERT_AT(struct leap_tcp_ic_req, pfv, 8);
LEAP_ASSERT_AT(struct leap_tcp_ic_req, hpda, 10);
LEAP_ASSERT_AT(struct leap_tcp_ic_req, dgst, 11);
LEAP_ASSERT_AT(struct leap_tcp_ic_req, maxr2t, 12);

/* "Initialize Connection Response PDU (ICResp)". */
struct leap_tcp_ic_resp {
	struct leap_tcp_hdr hdr;
	leap_le16 pfv;		/* 0 */
	uint8_t cpda;		/* 0's based dwords */
	uint8_t dgst;
	leap_le32 maxh2cdata;	/* bytes, a multiple of 4 */
	uint8_t rsvd16[112];
};
LEAP_ASSERT_SIZE(struct leap_tcp_ic_resp, 128);
LEAP_ASSERT_AT(struct leap_tcp_ic_resp, pfv, 8);
LEAP_ASSERT_AT(struct leap_tcp_ic_resp, cpda, 10);
LEAP_ASSERT_AT(struct leap_tcp_ic_resp, dgst, 11);
LEAP_ASSERT_AT(struct leap_tcp_ic_resp, maxh2cdata, 12);

/*
 * "Host to Controller Terminate Connection Request PDU (H2CTermReq)" and its
 * twin; up to LEAP_TCP_TERM_MAX_DATA bytes of the bad header follow.
 */
struct leap_tcp_term {
	struct leap_tcp_hdr hdr;
	leap_le16 fes;		/* LEAP_TCP_FES_x */
	uint8_t fei[4];		/* unaligned le32 */
	uint8_t rsvd14[10];
};
LEAP_ASSERT_SIZE(struct leap_tcp_term, 24);
LEAP_ASSERT_AT(struct leap_tcp_term, fes, 8);
LEAP_ASSERT_AT(struct leap_tcp_term, fei, 10);
#define LEAP_TCP_TERM_MAX_DATA	128

/* "Fatal Error Status"; FEI is an offset for 1 and 6, the digest for 3. */
#define LEAP_TCP_FES_HDR_FIELD	0x01
#define LEAP_TCP_FES_SEQUENCE	0x02
#define LEAP_TCP_FES_HDGST	0x03
#define LEAP_TCP_FES_RANGE	0x04
#define LEAP_TCP_FES_LIMIT	0x05	/* R2T limit, data transfer limit */
#define LEAP_TCP_FES_UNSUPPORTED 0x06

static inline uint32_t leap_tcp_term_fei(const struct leap_tcp_term *t)
{
	return (uint32_t)t->fei[0] | (uint32_t)t->fei[1] << 8 |
	       (uint32_t)t->fei[2] << 16 | (uint32_t)t->fei[3] << 24;
}

static inline void leap_tcp_term_set_fei(struct leap_tcp_term *t, uint32_t fei)
{
	t->fei[0] = fei & 0xff;
	t->fei[1] = fei >> 8 & 0xff;
	t->fei[2] = fei >> 16 & 0xff;
	t->fei[3] = (uint8_t)(fei >> 24);
}

/* "Command Capsule PDU (CapsuleCmd)". */
struct leap_tcp_cmd {
	struct leap_tcp_hdr hdr;
	struct leap_sqe sqe;
};
LEAP_ASSERT_SIZE(struct leap_tcp_cmd, 72);
LEAP_ASSERT_AT(struct leap_tcp_cmd, sqe, 8);

/* "Response Capsule PDU (CapsuleResp)". */
struct leap_tcp_rsp {
	struct leap_tcp_hdr hdr;
	struct leap_cqe cqe;
};
LEAP_ASSERT_SIZE(struct leap_tcp_rsp, 24);
LEAP_ASSERT_AT(struct leap_tcp_rsp, cqe, 8);

/* "Host To Controller Data Transfer PDU (H2CData)" and C2HData. */
struct leap_tcp_data {
	struct leap_tcp_hdr hdr;
	leap_le16 cccid;	/* raw CID of the command */
	leap_le16 ttag;		/* H2CData: of the R2T; C2HData: reserved */
	leap_le32 datao;	/* bytes from the start of the command's data */
	leap_le32 datal;	/* bytes */
	uint8_t rsvd20[4];
};
LEAP_ASSERT_SIZE(struct leap_tcp_data, 24);
LEAP_ASSERT_AT(struct leap_tcp_data, cccid, 8);
LEAP_ASSERT_AT(struct leap_tcp_data, ttag, 10);
LEAP_ASSERT_AT(struct leap_tcp_data, datao, 12);
LEAP_ASSERT_AT(struct leap_tcp_data, datal, 16);

/* "Ready to Transfer PDU (R2T)". */
struct leap_tcp_r2t {
	struct leap_tcp_hdr hdr;
	leap_le16 cccid;
	leap_le16 ttag;
	leap_le32 r2to;		/* bytes */
	leap_le32 r2tl;
	uint8_t rsvd20[4];
};
LEAP_ASSERT_SIZE(struct leap_tcp_r2t, 24);
LEAP_ASSERT_AT(struct leap_tcp_r2t, cccid, 8);
LEAP_ASSERT_AT(struct leap_tcp_r2t, ttag, 10);
LEAP_ASSERT_AT(struct leap_tcp_r2t, r2to, 12);
LEAP_ASSERT_AT(struct leap_tcp_r2t, r2tl, 16);

#endif
