/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nvmf.h - what NVMe over Fabrics adds to nvme.h: fabrics commands, the
 * discovery log, qualified names, and the private data of RDMA connections
 *
 * The command structs are 64 bytes and overlay struct leap_sqe: a capsule is
 * read as a leap_sqe first, and as one of these once its FCTYPE is known.
 */
#ifndef LEAPIO_NVMF_H
#define LEAPIO_NVMF_H

#include <leapio/nvme.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * ---- Fabrics commands (opcode LEAP_ADM_FABRICS): Base 2.0, "Fabrics Command
 * Type" ----
 */

#define LEAP_FCTYPE_PROP_SET	0x00
#define LEAP_FCTYPE_CONNECT	0x01
#define LEAP_FCTYPE_PROP_GET	0x04
#define LEAP_FCTYPE_AUTH_SEND	0x05
#define LEAP_FCTYPE_AUTH_RECV	0x06
#define LEAP_FCTYPE_DISCONNECT	0x08

/* What all fabrics commands share. */
struct leap_fab_sqe {
	uint8_t opc;		/* LEAP_ADM_FABRICS */
	uint8_t flags;		/* LEAP_SQE_PSDT_SGL */
	leap_le16 cid;
	uint8_t fctype;
	uint8_t rsvd5[19];
	struct leap_sgl_desc sgl1;
	uint8_t rsvd40[24];
};
LEAP_ASSERT_SIZE(struct leap_fab_sqe, LEAP_SQE_SIZE);
LEAP_ASSERT_AT(struct leap_fab_sqe, cid, 2);
LEAP_ASSERT_AT(struct leap_fab_sqe, fctype, 4);
LEAP_ASSERT_AT(struct leap_fab_sqe, sgl1, 24);

/* "Connect Command - Submission Queue Entry". */
struct leap_fab_connect {
	uint8_t opc;
	uint8_t flags;
	leap_le16 cid;
	uint8_t fctype;
	uint8_t rsvd5[19];
	struct leap_sgl_desc sgl1;	/* sizeof(struct leap_connect_data) */
	leap_le16 recfmt;	/* 0 */
	leap_le16 qid;
	leap_le16 sqsize;	/* 0's based */
	uint8_t cattr;		/* LEAP_CATTR_x */
	uint8_t rsvd47;
	leap_le32 kato;		/* ms, admin queue; 0 off */
	uint8_t rsvd52[12];
};
LEAP_ASSERT_SIZE(struct leap_fab_connect, LEAP_SQE_SIZE);
LEAP_ASSERT_AT(struct leap_fab_connect, fctype, 4);
LEAP_ASSERT_AT(struct leap_fab_connect, sgl1, 24);
LEAP_ASSERT_AT(struct leap_fab_connect, recfmt, 40);
LEAP_ASSERT_AT(struct leap_fab_connect, qid, 42);
LEAP_ASSERT_AT(struct leap_fab_connect, sqsize, 44);
LEAP_ASSERT_AT(struct leap_fab_connect, cattr, 46);
LEAP_ASSERT_AT(struct leap_fab_connect, kato, 48);

#define LEAP_CATTR_PRIO_MASK	0x03	/* in place */
#define LEAP_CATTR_NO_SQFLOW	(1u << 2)
#define LEAP_CATTR_DELETE	(1u << 3)	/* host may send Disconnect */

#define LEAP_NQN_FIELD		256	/* bytes of an NQN on the wire */
#define LEAP_NQN_MAX		223	/* longest name, without its NUL */
#define LEAP_NQN_MIN		11
#define LEAP_HOSTID_LEN		16
#define LEAP_NQN_DISCOVERY	"nqn.2014-08.org.nvmexpress.discovery"
#define LEAP_NQN_UUID_PREFIX	"nqn.2014-08.org.nvmexpress:uuid:"

/* "Connect Command - Data". */
struct leap_connect_data {
	uint8_t hostid[LEAP_HOSTID_LEN];
	leap_le16 cntlid;
	uint8_t rsvd18[238];
	char subnqn[LEAP_NQN_FIELD];
	char hostnqn[LEAP_NQN_FIELD];
	uint8_t rsvd768[256];
};
LEAP_ASSERT_SIZE(struct leap_connect_data, 1024);
LEAP_ASSERT_AT(struct leap_connect_data, cntlid, 16);
LEAP_ASSERT_AT(struct leap_connect_data, subnqn, 256);
LEAP_ASSERT_AT(struct leap_connect_data, hostnqn, 512);

#define LEAP_CNTLID_DYNAMIC	0xffffu
#define LEAP_CNTLID_STATIC_ANY	0xfffeu
#define LEAP_CNTLID_MIN		1u
#define LEAP_CNTLID_MAX		0xffefu

/* Connect: DW0 of the completion, on success and on LEAP_SC_FAB_PARAM. */
#define LEAP_CONNECT_DW0_CNTLID_SHIFT	0
#define LEAP_CONNECT_DW0_CNTLID_MASK	0xffffu
#define LEAP_CONNECT_DW0_ATR		(1u << 17)	/* must authenticate */
#define LEAP_CONNECT_DW0_ASCR		(1u << 18)	/* and concatenate */
#define LEAP_CONNECT_DW0_IPO_SHIFT	0
#define LEAP_CONNECT_DW0_IPO_MASK	0xffffu
#define LEAP_CONNECT_DW0_IATTR_DATA	(1u << 16)	/* else in the SQE */

/* "Property Set Command". */
struct leap_fab_prop_set {
	uint8_t opc;
	uint8_t flags;
	leap_le16 cid;
	uint8_t fctype;
	uint8_t rsvd5[35];
	uint8_t attrib;		/* bits 2:0, LEAP_PROP_SIZE_x */
	uint8_t rsvd41[3];
	leap_le32 ofst;		/* LEAP_REG_x */
	leap_le64 value;
	uint8_t rsvd56[8];
};
LEAP_ASSERT_SIZE(struct leap_fab_prop_set, LEAP_SQE_SIZE);
LEAP_ASSERT_AT(struct leap_fab_prop_set, attrib, 40);
LEAP_ASSERT_AT(struct leap_fab_prop_set, ofst, 44);
LEAP_ASSERT_AT(struct leap_fab_prop_set, value, 48);

/* "Property Get Command"; the value comes back in leap_cqe.result. */
struct leap_fab_prop_get {
	uint8_t opc;
	uint8_t flags;
	leap_le16 cid;
	uint8_t fctype;
	uint8_t rsvd5[35];
	uint8_t attrib;
	uint8_t rsvd41[3];
	leap_le32 ofst;
	uint8_t rsvd48[16];
};
LEAP_ASSERT_SIZE(struct leap_fab_prop_get, LEAP_SQE_SIZE);
LEAP_ASSERT_AT(struct leap_fab_prop_get, attrib, 40);
LEAP_ASSERT_AT(struct leap_fab_prop_get, ofst, 44);

#define LEAP_PROP_SIZE_MASK	0x07
#define LEAP_PROP_SIZE_4	0
#define LEAP_PROP_SIZE_8	1

/* "Disconnect Command": I/O queues only. */
struct leap_fab_disconnect {
	uint8_t opc;
	uint8_t flags;
	leap_le16 cid;
	uint8_t fctype;
	uint8_t rsvd5[35];
	leap_le16 recfmt;	/* 0 */
	uint8_t rsvd42[22];
};
LEAP_ASSERT_SIZE(struct leap_fab_disconnect, LEAP_SQE_SIZE);
LEAP_ASSERT_AT(struct leap_fab_disconnect, recfmt, 40);

/* "Authentication Send Command" and "Authentication Receive Command". */
struct leap_fab_auth {
	uint8_t opc;
	uint8_t flags;
	leap_le16 cid;
	uint8_t fctype;
	uint8_t rsvd5[19];
	struct leap_sgl_desc sgl1;
	uint8_t rsvd40;
	uint8_t spsp0;		/* 1 */
	uint8_t spsp1;		/* 1 */
	uint8_t secp;		/* LEAP_AUTH_SECP */
	leap_le32 len;		/* transfer or allocation length, bytes */
	uint8_t rsvd48[16];
};
LEAP_ASSERT_SIZE(struct leap_fab_auth, LEAP_SQE_SIZE);
LEAP_ASSERT_AT(struct leap_fab_auth, sgl1, 24);
LEAP_ASSERT_AT(struct leap_fab_auth, spsp0, 41);
LEAP_ASSERT_AT(struct leap_fab_auth, spsp1, 42);
LEAP_ASSERT_AT(struct leap_fab_auth, secp, 43);
LEAP_ASSERT_AT(struct leap_fab_auth, len, 44);
#define LEAP_AUTH_SECP		0xe9

/*
 * ---- Discovery log (LEAP_LID_DISCOVERY): Base 2.0, "Discovery Log Page" ----
 */

struct leap_disc_hdr {
	leap_le64 genctr;
	leap_le64 numrec;
	leap_le16 recfmt;	/* 0 */
	uint8_t dlpf;
	uint8_t rsvd19;
	leap_le32 tdlpl;
	uint8_t rsvd24[1000];	/* then the entries */
};
LEAP_ASSERT_SIZE(struct leap_disc_hdr, 1024);
LEAP_ASSERT_AT(struct leap_disc_hdr, numrec, 8);
LEAP_ASSERT_AT(struct leap_disc_hdr, recfmt, 16);
LEAP_ASSERT_AT(struct leap_disc_hdr, dlpf, 18);
LEAP_ASSERT_AT(struct leap_disc_hdr, tdlpl, 20);

#define LEAP_DISC_TRSVCID_LEN	32
#define LEAP_DISC_TRADDR_LEN	256
#define LEAP_DISC_TSAS_LEN	256

struct leap_disc_entry {
	uint8_t trtype;		/* LEAP_TRTYPE_x */
	uint8_t adrfam;		/* LEAP_ADRFAM_x */
	uint8_t subtype;	/* LEAP_DISC_SUB_x */
	uint8_t treq;		/* LEAP_TREQ_x */
	leap_le16 portid;
	leap_le16 cntlid;
	leap_le16 asqsz;	/* entries, 32 or more */
	leap_le16 eflags;	/* LEAP_DISC_EFLAG_x */
	uint8_t rsvd12[20];
	char trsvcid[LEAP_DISC_TRSVCID_LEN];	/* space padded */
	uint8_t rsvd64[192];
	char subnqn[LEAP_NQN_FIELD];
	char traddr[LEAP_DISC_TRADDR_LEN];
	uint8_t tsas[LEAP_DISC_TSAS_LEN];
};
LEAP_ASSERT_SIZE(struct leap_disc_entry, 1024);
LEAP_ASSERT_AT(struct leap_disc_entry, adrfam, 1);
LEAP_ASSERT_AT(struct leap_disc_entry, subtype, 2);
LEAP_ASSERT_AT(struct leap_disc_entry, treq, 3);
LEAP_ASSERT_AT(struct leap_disc_entry, portid, 4);
LEAP_ASSERT_AT(struct leap_disc_entry, cntlid, 6);
LEAP_ASSERT_AT(struct leap_disc_entry, asqsz, 8);
LEAP_ASSERT_AT(struct leap_disc_entry, eflags, 10);
LEAP_ASSERT_AT(struct leap_disc_entry, trsvcid, 32);
LEAP_ASSERT_AT(struct leap_disc_entry, subnqn, 256);
LEAP_ASSERT_AT(struct leap_disc_entry, traddr, 512);
LEAP_ASSERT_AT(struct leap_disc_entry, tsas, 768);

#define LEAP_TRTYPE_RDMA	1
#define LEAP_TRTYPE_FC		2
#define LEAP_TRTYPE_TCP		3
#define LEAP_TRTYPE_LOOP	254	/* intra-host */
#define LEAP_ADRFAM_IPV4	1
#define LEAP_ADRFAM_IPV6	2
#define LEAP_ADRFAM_IB		3
#define LEAP_ADRFAM_FC		4
#define LEAP_ADRFAM_LOOP	254
#define LEAP_DISC_SUB_REFERRAL	1
#define LEAP_DISC_SUB_NVM	2
#define LEAP_DISC_SUB_CURRENT	3
#define LEAP_TREQ_SECURE_MASK	0x03	/* in place */
#define LEAP_TREQ_SECURE_ANY	0
#define LEAP_TREQ_SECURE_YES	1
#define LEAP_TREQ_SECURE_NO	2
#define LEAP_TREQ_NO_SQFLOW	(1u << 2)	/* may be disabled */
#define LEAP_DISC_EFLAG_DUPRETINFO (1u << 0)
#define LEAP_DISC_EFLAG_EPCSD	(1u << 1)	/* explicit persistent */
#define LEAP_DISC_EFLAG_NCC	(1u << 2)
#define LEAP_DISC_MIN_ASQSZ	32
/* Get Log Page LSP. */
#define LEAP_DISC_LSP_EXTDLPE	(1u << 0)
#define LEAP_DISC_LSP_PLEO	(1u << 1)
#define LEAP_DISC_LSP_ALLSUBE	(1u << 2)

/* Transport specific address subtype, TCP. */
struct leap_tsas_tcp {
	uint8_t sectype;	/* LEAP_TSAS_TCP_x */
	uint8_t rsvd1[255];
};
LEAP_ASSERT_SIZE(struct leap_tsas_tcp, LEAP_DISC_TSAS_LEN);
#define LEAP_TSAS_TCP_NONE	0
#define LEAP_TSAS_TCP_TLS12	1
#define LEAP_TSAS_TCP_TLS13	2

/* Transport specific address subtype, RDMA. */
struct leap_tsas_rdma {
	uint8_t qptype;
	uint8_t prtype;
	uint8_t cms;
	uint8_t rsvd3[5];
	leap_le16 pkey;
	uint8_t rsvd10[246];
};
LEAP_ASSERT_SIZE(struct leap_tsas_rdma, LEAP_DISC_TSAS_LEN);
LEAP_ASSERT_AT(struct leap_tsas_rdma, prtype, 1);
LEAP_ASSERT_AT(struct leap_tsas_rdma, cms, 2);
LEAP_ASSERT_AT(struct leap_tsas_rdma, pkey, 8);
#define LEAP_RDMA_QPTYPE_RC	1
#define LEAP_RDMA_PRTYPE_NONE	1
#define LEAP_RDMA_PRTYPE_IB	2
#define LEAP_RDMA_PRTYPE_ROCE	3
#define LEAP_RDMA_PRTYPE_ROCEV2	4
#define LEAP_RDMA_PRTYPE_IWARP	5
#define LEAP_RDMA_CMS_RDMA_CM	1

#define LEAP_NVMF_PORT		4420
#define LEAP_NVMF_DISC_PORT	8009

/*
 * ---- RDMA connection manager: RDMA Transport 1.0, "RDMA_CM_REQUEST Private
 * Data Format" and its siblings ----
 */

struct leap_rdma_cm_req {
	leap_le16 recfmt;	/* 0 */
	leap_le16 qid;
	leap_le16 hrqsize;	/* plain count */
	leap_le16 hsqsize;	/* 0's based */
	leap_le16 cntlid;
	uint8_t rsvd10[22];
};
LEAP_ASSERT_SIZE(struct leap_rdma_cm_req, 32);
LEAP_ASSERT_AT(struct leap_rdma_cm_req, qid, 2);
LEAP_ASSERT_AT(struct leap_rdma_cm_req, hrqsize, 4);
LEAP_ASSERT_AT(struct leap_rdma_cm_req, hsqsize, 6);
LEAP_ASSERT_AT(struct leap_rdma_cm_req, cntlid, 8);

struct leap_rdma_cm_rep {
	leap_le16 recfmt;	/* 0 */
	leap_le16 crqsize;	/* plain count */
	uint8_t rsvd4[28];
};
LEAP_ASSERT_SIZE(struct leap_rdma_cm_rep, 32);
LEAP_ASSERT_AT(struct leap_rdma_cm_rep, crqsize, 2);

struct leap_rdma_cm_rej {
	leap_le16 recfmt;	/* 0 */
	leap_le16 sts;		/* LEAP_RDMA_REJ_x */
};
LEAP_ASSERT_SIZE(struct leap_rdma_cm_rej, 4);
LEAP_ASSERT_AT(struct leap_rdma_cm_rej, sts, 2);
#define LEAP_RDMA_REJ_LENGTH	1
#define LEAP_RDMA_REJ_RECFMT	2
#define LEAP_RDMA_REJ_QID	3
#define LEAP_RDMA_REJ_HSQSIZE	4
#define LEAP_RDMA_REJ_HRQSIZE	5
#define LEAP_RDMA_REJ_RESOURCES	6
#define LEAP_RDMA_REJ_IRD	7
#define LEAP_RDMA_REJ_ORD	8

/**
 * leap_nqn_check - is this an NVMe Qualified Name?
 *
 * @nqn: the name; need not end in NUL when it comes from the wire
 * @max: bytes that may be read at @nqn, as LEAP_NQN_FIELD
 *
 * Accepts both forms of Base 2.0, "NVMe Qualified Names": a date and a reverse
 * domain ("nqn.2014-08.com.example:disk1"), and a UUID behind
 * LEAP_NQN_UUID_PREFIX. The name must end in NUL within @max bytes, have
 * LEAP_NQN_MIN to LEAP_NQN_MAX bytes, and be UTF-8 without control characters.
 * Context: any
 * Returns: 0, or -EINVAL with the reason in leap_last_error()
 */
LEAP_API int leap_nqn_check(const char *nqn, size_t max);

#ifdef __cplusplus
}
#endif

#endif
