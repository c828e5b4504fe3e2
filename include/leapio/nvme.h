/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nvme.h - what NVMe puts on the wire and in memory: queue entries,
 * registers, identify data, log pages, status codes
 *
 * Structs overlay guest memory and network buffers: every field is
 * little-endian (leap_le*), every size and offset is asserted, and there are
 * no bitfields. Sub-fields are masks over the host value: LEAP_x (one bit), or
 * LEAP_x_SHIFT with LEAP_x_MASK (unshifted), read by LEAP_GET() and built by
 * LEAP_PUT(). Counts keep the standard's form here (often "0's based": one
 * less than the count); the library's calls take plain counts.
 *
 * Names follow the NVM Express Base 2.0, NVM Command Set 1.0 and Zoned
 * Namespace 1.1 specifications; each struct cites the figure it renders.
 */
#ifndef LEAPIO_NVME_H
#define LEAPIO_NVME_H

#include <leapio/base.h>
#include <leapio/endian.h>
#include <leapio/status.h>

/* LEAP_GET(cap, LEAP_CAP_MQES); LEAP_PUT(6, LEAP_CC_IOSQES) */
#define LEAP_GET(val, name)	(((val) >> name##_SHIFT) & name##_MASK)
#define LEAP_PUT(val, name)	((name##_MASK & (val)) << name##_SHIFT)

/* 128-bit counters (SMART, capacities): never more than 64 bits in practice. */
struct leap_le128 {
	leap_le64 lo;
	leap_le64 hi;
};
LEAP_ASSERT_SIZE(struct leap_le128, 16);

#define LEAP_NSID_ALL		0xffffffffu	/* broadcast */
#define LEAP_IDENTIFY_SIZE	4096		/* bytes, every CNS */
#define LEAP_SQE_SIZE		64
#define LEAP_CQE_SIZE		16
#define LEAP_AQ_MAX_ENTRIES	4096
#define LEAP_IOQ_MAX_ENTRIES	65536
/* HOSTID, CNTLID and error-log fields that mean "none". */
#define LEAP_ID16_NONE		0xffffu

/*
 * ---- Scatter gather lists: Base 2.0, figures "SGL Descriptor Format" ----
 */

/* Data block, segment, last segment, bit bucket, transport data block. */
struct leap_sgl_desc {
	leap_le64 addr;		/* address, or offset into the capsule */
	leap_le32 len;		/* bytes; a multiple of 16 for segments */
	uint8_t rsvd12[3];
	uint8_t type;		/* LEAP_SGL_TYPE_x << 4 | LEAP_SGL_SUB_x */
};
LEAP_ASSERT_SIZE(struct leap_sgl_desc, 16);
LEAP_ASSERT_AT(struct leap_sgl_desc, len, 8);
LEAP_ASSERT_AT(struct leap_sgl_desc, type, 15);

/* Keyed data block: the length has 24 bits, the key stands unaligned. */
struct leap_sgl_keyed {
	leap_le64 addr;
	uint8_t len[3];
	uint8_t key[4];
	uint8_t type;
};
LEAP_ASSERT_SIZE(struct leap_sgl_keyed, 16);
LEAP_ASSERT_AT(struct leap_sgl_keyed, len, 8);
LEAP_ASSERT_AT(struct leap_sgl_keyed, key, 11);
LEAP_ASSERT_AT(struct leap_sgl_keyed, type, 15);

#define LEAP_SGL_TYPE_DATA	0x0
#define LEAP_SGL_TYPE_BITBUCKET	0x1
#define LEAP_SGL_TYPE_SEGMENT	0x2
#define LEAP_SGL_TYPE_LAST	0x3
#define LEAP_SGL_TYPE_KEYED	0x4
#define LEAP_SGL_TYPE_TRANSPORT	0x5
#define LEAP_SGL_TYPE_VENDOR	0xf

#define LEAP_SGL_SUB_ADDRESS	0x0
#define LEAP_SGL_SUB_OFFSET	0x1	/* into in-capsule data */
#define LEAP_SGL_SUB_TRANSPORT	0xa
#define LEAP_SGL_SUB_INVALIDATE	0xf	/* keyed: and invalidate the key */

#define LEAP_SGL_ID(type, sub)	((uint8_t)((type) << 4 | (sub)))
#define LEAP_SGL_ID_TYPE(id)	((id) >> 4)
#define LEAP_SGL_ID_SUB(id)	((id) & 0xf)

static inline uint32_t leap_sgl_keyed_len(const struct leap_sgl_keyed *s)
{
	return (uint32_t)s->len[0] | (uint32_t)s->len[1] << 8 |
	       (uint32_t)s->len[2] << 16;
}

static inline uint32_t leap_sgl_keyed_key(const struct leap_sgl_keyed *s)
{
	return (uint32_t)s->key[0] | (uint32_t)s->key[1] << 8 |
	       (uint32_t)s->key[2] << 16 | (uint32_t)s->key[3] << 24;
}

static inline void leap_sgl_keyed_set(struct leap_sgl_keyed *s, uint64_t addr,
				      uint32_t len, uint32_t key, uint8_t type)
{
	s->addr = leap_to_le64(addr);
	s->len[0] = len & 0xff;
	s->len[1] = len >> 8 & 0xff;
	s->len[2] = len >> 16 & 0xff;
	s->key[0] = key & 0xff;
	s->key[1] = key >> 8 & 0xff;
	s->key[2] = key >> 16 & 0xff;
	s->key[3] = (uint8_t)(key >> 24);
	s->type = type;
}

/*
 * ---- Queue entries: Base 2.0, figures "Common Command Format" and "Common
 * Completion Queue Entry Layout" ----
 */

struct leap_sqe {
	uint8_t opc;
	uint8_t flags;		/* LEAP_SQE_FUSE_x | LEAP_SQE_PSDT_x */
	leap_le16 cid;
	leap_le32 nsid;
	leap_le32 cdw2;
	leap_le32 cdw3;
	leap_le64 mptr;
	__extension__ union {
		__extension__ struct {
			leap_le64 prp1;
			leap_le64 prp2;
		};
		struct leap_sgl_desc sgl1;
		struct leap_sgl_keyed sgl1_keyed;
	};
	leap_le32 cdw10;
	leap_le32 cdw11;
	leap_le32 cdw12;
	leap_le32 cdw13;
	leap_le32 cdw14;
	leap_le32 cdw15;
};
LEAP_ASSERT_SIZE(struct leap_sqe, LEAP_SQE_SIZE);
LEAP_ASSERT_AT(struct leap_sqe, flags, 1);
LEAP_ASSERT_AT(struct leap_sqe, cid, 2);
LEAP_ASSERT_AT(struct leap_sqe, nsid, 4);
LEAP_ASSERT_AT(struct leap_sqe, cdw2, 8);
LEAP_ASSERT_AT(struct leap_sqe, cdw3, 12);
LEAP_ASSERT_AT(struct leap_sqe, mptr, 16);
LEAP_ASSERT_AT(struct leap_sqe, prp1, 24);
LEAP_ASSERT_AT(struct leap_sqe, prp2, 32);
LEAP_ASSERT_AT(struct leap_sqe, sgl1, 24);
LEAP_ASSERT_AT(struct leap_sqe, cdw10, 40);
LEAP_ASSERT_AT(struct leap_sqe, cdw11, 44);
LEAP_ASSERT_AT(struct leap_sqe, cdw12, 48);
LEAP_ASSERT_AT(struct leap_sqe, cdw13, 52);
LEAP_ASSERT_AT(struct leap_sqe, cdw14, 56);
LEAP_ASSERT_AT(struct leap_sqe, cdw15, 60);

#define LEAP_SQE_FUSE_MASK	0x03	/* in place, within sqe.flags */
#define LEAP_SQE_FUSE_NONE	0x00
#define LEAP_SQE_FUSE_FIRST	0x01
#define LEAP_SQE_FUSE_SECOND	0x02
#define LEAP_SQE_PSDT_MASK	0xc0
#define LEAP_SQE_PSDT_PRP	0x00
#define LEAP_SQE_PSDT_SGL	0x40	/* metadata contiguous */
#define LEAP_SQE_PSDT_SGL_MSGL	0x80	/* metadata by SGL too */

/* Data direction: bits 1:0 of an opcode (of FCTYPE for fabrics commands). */
#define LEAP_OPC_DIR(opc)	((opc) & 3)
#define LEAP_DIR_NONE		0
#define LEAP_DIR_TO_CTRL	1
#define LEAP_DIR_TO_HOST	2
#define LEAP_DIR_BOTH		3

struct leap_cqe {
	__extension__ union {
		__extension__ struct {
			leap_le32 dw0;
			leap_le32 dw1;
		};
		leap_le64 result;
	};
	leap_le16 sqhd;
	leap_le16 sqid;
	leap_le16 cid;
	leap_le16 status;	/* bit 0 phase, bits 15:1 leap_status_t */
};
LEAP_ASSERT_SIZE(struct leap_cqe, LEAP_CQE_SIZE);
LEAP_ASSERT_AT(struct leap_cqe, dw1, 4);
LEAP_ASSERT_AT(struct leap_cqe, sqhd, 8);
LEAP_ASSERT_AT(struct leap_cqe, sqid, 10);
LEAP_ASSERT_AT(struct leap_cqe, cid, 12);
LEAP_ASSERT_AT(struct leap_cqe, status, 14);

#define LEAP_CQE_PHASE		0x0001u

static inline leap_status_t leap_cqe_status(const struct leap_cqe *cqe)
{
	return (leap_status_t)(leap_from_le16(cqe->status) >> 1);
}

static inline unsigned leap_cqe_phase(const struct leap_cqe *cqe)
{
	return leap_from_le16(cqe->status) & LEAP_CQE_PHASE;
}

/* The status word of a completion; @phase is 0 or 1 (0 on fabrics). */
static inline leap_le16 leap_cqe_status_word(leap_status_t st, unsigned phase)
{
	return leap_to_le16((uint16_t)((unsigned)st << 1 | (phase & 1)));
}

/* CDW10 and CDW11 together: SLBA, SDLBA, ZSLBA of an I/O command. */
static inline uint64_t leap_sqe_slba(const struct leap_sqe *sqe)
{
	return (uint64_t)leap_from_le32(sqe->cdw11) << 32 |
	       leap_from_le32(sqe->cdw10);
}

/* CDW12 NLB as a plain count, 1..65536. */
static inline uint32_t leap_sqe_nlb(const struct leap_sqe *sqe)
{
	return (leap_from_le32(sqe->cdw12) & 0xffff) + 1;
}

/*
 * ---- Controller properties: Base 2.0, figure "Property Definition" ----
 */

#define LEAP_REG_CAP		0x00
#define LEAP_REG_VS		0x08
#define LEAP_REG_INTMS		0x0c
#define LEAP_REG_INTMC		0x10
#define LEAP_REG_CC		0x14
#define LEAP_REG_CSTS		0x1c
#define LEAP_REG_NSSR		0x20
#define LEAP_REG_AQA		0x24
#define LEAP_REG_ASQ		0x28
#define LEAP_REG_ACQ		0x30
#define LEAP_REG_CMBLOC		0x38
#define LEAP_REG_CMBSZ		0x3c
#define LEAP_REG_BPINFO		0x40
#define LEAP_REG_BPRSEL		0x44
#define LEAP_REG_BPMBL		0x48
#define LEAP_REG_CMBMSC		0x50
#define LEAP_REG_CMBSTS		0x58
#define LEAP_REG_CMBEBS		0x5c
#define LEAP_REG_CMBSWTP	0x60
#define LEAP_REG_NSSD		0x64
#define LEAP_REG_CRTO		0x68
#define LEAP_REG_PMRCAP		0xe00
#define LEAP_REG_PMRCTL		0xe04
#define LEAP_REG_PMRSTS		0xe08
#define LEAP_REG_PMREBS		0xe0c
#define LEAP_REG_PMRSWTP	0xe10
#define LEAP_REG_PMRMSCL	0xe14
#define LEAP_REG_PMRMSCU	0xe18
#define LEAP_REG_DBL		0x1000	/* first doorbell */

/* Byte offset of a doorbell, in BAR0; dstrd is CAP.DSTRD. */
#define LEAP_REG_SQTDBL(qid, dstrd) \
	(LEAP_REG_DBL + 2u * (qid) * (4u << (dstrd)))
#define LEAP_REG_CQHDBL(qid, dstrd) \
	(LEAP_REG_DBL + (2u * (qid) + 1u) * (4u << (dstrd)))

/* CAP: 64 bits. */
#define LEAP_CAP_MQES_SHIFT	0	/* 0's based */
#define LEAP_CAP_MQES_MASK	0xffffull
#define LEAP_CAP_CQR		(1ull << 16)
#define LEAP_CAP_AMS_WRR	(1ull << 17)
#define LEAP_CAP_AMS_VENDOR	(1ull << 18)
#define LEAP_CAP_TO_SHIFT	24	/* 500 ms */
#define LEAP_CAP_TO_MASK	0xffull
#define LEAP_CAP_DSTRD_SHIFT	32	/* stride 4 << n bytes */
#define LEAP_CAP_DSTRD_MASK	0xfull
#define LEAP_CAP_NSSRS		(1ull << 36)
#define LEAP_CAP_CSS_NVM	(1ull << 37)
#define LEAP_CAP_CSS_IOCS	(1ull << 43)	/* I/O command sets, CNS 1Ch */
#define LEAP_CAP_CSS_ADMIN	(1ull << 44)	/* no I/O command set */
#define LEAP_CAP_BPS		(1ull << 45)
#define LEAP_CAP_CPS_SHIFT	46
#define LEAP_CAP_CPS_MASK	0x3ull
#define LEAP_CAP_MPSMIN_SHIFT	48	/* 2^(12 + n) bytes */
#define LEAP_CAP_MPSMIN_MASK	0xfull
#define LEAP_CAP_MPSMAX_SHIFT	52
#define LEAP_CAP_MPSMAX_MASK	0xfull
#define LEAP_CAP_PMRS		(1ull << 56)
#define LEAP_CAP_CMBS		(1ull << 57)
#define LEAP_CAP_NSSS		(1ull << 58)
#define LEAP_CAP_CRMS_RWM	(1ull << 59)	/* ready with media */
#define LEAP_CAP_CRMS_RIM	(1ull << 60)	/* ready before media */

/* VS, and Identify Controller VER. */
#define LEAP_VS(major, minor, tertiary) \
	((uint32_t)(major) << 16 | (uint32_t)(minor) << 8 | (tertiary))
#define LEAP_VS_1_4		LEAP_VS(1, 4, 0)
#define LEAP_VS_2_0		LEAP_VS(2, 0, 0)

/* CC: 32 bits. */
#define LEAP_CC_EN		(1u << 0)
#define LEAP_CC_CSS_SHIFT	4
#define LEAP_CC_CSS_MASK	0x7u
#define LEAP_CC_CSS_NVM		0u
#define LEAP_CC_CSS_ALL		6u	/* all I/O command sets supported */
#define LEAP_CC_CSS_ADMIN	7u
#define LEAP_CC_MPS_SHIFT	7	/* 2^(12 + n) bytes */
#define LEAP_CC_MPS_MASK	0xfu
#define LEAP_CC_AMS_SHIFT	11
#define LEAP_CC_AMS_MASK	0x7u
#define LEAP_CC_AMS_RR		0u
#define LEAP_CC_AMS_WRR		1u
#define LEAP_CC_AMS_VENDOR	7u
#define LEAP_CC_SHN_SHIFT	14
#define LEAP_CC_SHN_MASK	0x3u
#define LEAP_CC_SHN_NONE	0u
#define LEAP_CC_SHN_NORMAL	1u
#define LEAP_CC_SHN_ABRUPT	2u
#define LEAP_CC_IOSQES_SHIFT	16	/* 6: 2^6 bytes */
#define LEAP_CC_IOSQES_MASK	0xfu
#define LEAP_CC_IOCQES_SHIFT	20	/* 4: 2^4 bytes */
#define LEAP_CC_IOCQES_MASK	0xfu
#define LEAP_CC_CRIME		(1u << 24)

/* CSTS: 32 bits. */
#define LEAP_CSTS_RDY		(1u << 0)
#define LEAP_CSTS_CFS		(1u << 1)
#define LEAP_CSTS_SHST_SHIFT	2
#define LEAP_CSTS_SHST_MASK	0x3u
#define LEAP_CSTS_SHST_NONE	0u
#define LEAP_CSTS_SHST_BUSY	1u
#define LEAP_CSTS_SHST_DONE	2u
#define LEAP_CSTS_NSSRO		(1u << 4)	/* write 1 to clear */
#define LEAP_CSTS_PP		(1u << 5)
#define LEAP_CSTS_ST		(1u << 6)

/* AQA: both 0's based. */
#define LEAP_AQA_ASQS_SHIFT	0
#define LEAP_AQA_ASQS_MASK	0xfffu
#define LEAP_AQA_ACQS_SHIFT	16
#define LEAP_AQA_ACQS_MASK	0xfffu

#define LEAP_NSSR_MAGIC		0x4e564d65u	/* "NVMe" */
#define LEAP_NSSD_NORMAL	0x4e726d6cu	/* "Nrml" */
#define LEAP_NSSD_ABRUPT	0x41627074u	/* "Abpt" */

#define LEAP_CRTO_CRWMT_SHIFT	0	/* 500 ms */
#define LEAP_CRTO_CRWMT_MASK	0xffffu
#define LEAP_CRTO_CRIMT_SHIFT	16
#define LEAP_CRTO_CRIMT_MASK	0xffffu

#define LEAP_CMBLOC_BIR_SHIFT	0
#define LEAP_CMBLOC_BIR_MASK	0x7u
#define LEAP_CMBLOC_OFST_SHIFT	12	/* in CMBSZ.SZU units */
#define LEAP_CMBLOC_OFST_MASK	0xfffffu
#define LEAP_CMBSZ_SQS		(1u << 0)
#define LEAP_CMBSZ_CQS		(1u << 1)
#define LEAP_CMBSZ_LISTS	(1u << 2)
#define LEAP_CMBSZ_RDS		(1u << 3)
#define LEAP_CMBSZ_WDS		(1u << 4)
#define LEAP_CMBSZ_SZU_SHIFT	8	/* 4 KiB << (4 * n) */
#define LEAP_CMBSZ_SZU_MASK	0xfu
#define LEAP_CMBSZ_SZ_SHIFT	12
#define LEAP_CMBSZ_SZ_MASK	0xfffffu
#define LEAP_CMBMSC_CRE		(1ull << 0)
#define LEAP_CMBMSC_CMSE	(1ull << 1)
#define LEAP_CMBMSC_CBA		(~0xfffull)	/* in place */
#define LEAP_CMBSTS_CBAI	(1u << 0)

/*
 * ---- Opcodes: Base 2.0, "Opcodes for Admin Commands"; NVM Command Set 1.0,
 * "Opcodes for NVM Commands"; ZNS 1.1 ----
 */

#define LEAP_ADM_DELETE_SQ	0x00
#define LEAP_ADM_CREATE_SQ	0x01
#define LEAP_ADM_GET_LOG	0x02
#define LEAP_ADM_DELETE_CQ	0x04
#define LEAP_ADM_CREATE_CQ	0x05
#define LEAP_ADM_IDENTIFY	0x06
#define LEAP_ADM_ABORT		0x08
#define LEAP_ADM_SET_FEATURES	0x09
#define LEAP_ADM_GET_FEATURES	0x0a
#define LEAP_ADM_AER		0x0c
#define LEAP_ADM_NS_MGMT	0x0d
#define LEAP_ADM_FW_COMMIT	0x10
#define LEAP_ADM_FW_DOWNLOAD	0x11
#define LEAP_ADM_SELF_TEST	0x14
#define LEAP_ADM_NS_ATTACH	0x15
#define LEAP_ADM_KEEP_ALIVE	0x18
#define LEAP_ADM_DIRECTIVE_SEND	0x19
#define LEAP_ADM_DIRECTIVE_RECV	0x1a
#define LEAP_ADM_VIRT_MGMT	0x1c
#define LEAP_ADM_MI_SEND	0x1d
#define LEAP_ADM_MI_RECV	0x1e
#define LEAP_ADM_CAPACITY_MGMT	0x20
#define LEAP_ADM_LOCKDOWN	0x24
#define LEAP_ADM_DBBUF_CONFIG	0x7c
#define LEAP_ADM_FABRICS	0x7f
#define LEAP_ADM_FORMAT		0x80
#define LEAP_ADM_SECURITY_SEND	0x81
#define LEAP_ADM_SECURITY_RECV	0x82
#define LEAP_ADM_SANITIZE	0x84
#define LEAP_ADM_GET_LBA_STATUS	0x86
#define LEAP_ADM_VENDOR		0xc0	/* first vendor specific opcode */

#define LEAP_NVM_FLUSH		0x00
#define LEAP_NVM_WRITE		0x01
#define LEAP_NVM_READ		0x02
#define LEAP_NVM_WRITE_UNCOR	0x04
#define LEAP_NVM_COMPARE	0x05
#define LEAP_NVM_WRITE_ZEROES	0x08
#define LEAP_NVM_DSM		0x09
#define LEAP_NVM_VERIFY		0x0c
#define LEAP_NVM_RESV_REGISTER	0x0d
#define LEAP_NVM_RESV_REPORT	0x0e
#define LEAP_NVM_RESV_ACQUIRE	0x11
#define LEAP_NVM_IO_MGMT_RECV	0x12
#define LEAP_NVM_RESV_RELEASE	0x15
#define LEAP_NVM_CANCEL		0x18
#define LEAP_NVM_COPY		0x19
#define LEAP_NVM_IO_MGMT_SEND	0x1d
#define LEAP_NVM_ZONE_MGMT_SEND	0x79
#define LEAP_NVM_ZONE_MGMT_RECV	0x7a
#define LEAP_NVM_ZONE_APPEND	0x7d
#define LEAP_NVM_FABRICS	0x7f	/* authentication on an I/O queue */
#define LEAP_NVM_VENDOR		0x80

/* Command set identifiers. */
#define LEAP_CSI_NVM		0
#define LEAP_CSI_KV		1
#define LEAP_CSI_ZNS		2

/*
 * ---- Admin command dwords ----
 */

/* Create and Delete I/O queues. */
#define LEAP_Q_CDW10_QID_SHIFT	0
#define LEAP_Q_CDW10_QID_MASK	0xffffu
#define LEAP_Q_CDW10_QSIZE_SHIFT 16	/* 0's based */
#define LEAP_Q_CDW10_QSIZE_MASK	0xffffu
#define LEAP_Q_CDW11_PC		(1u << 0)
#define LEAP_CQ_CDW11_IEN	(1u << 1)
#define LEAP_CQ_CDW11_IV_SHIFT	16
#define LEAP_CQ_CDW11_IV_MASK	0xffffu
#define LEAP_SQ_CDW11_QPRIO_SHIFT 1
#define LEAP_SQ_CDW11_QPRIO_MASK 0x3u
#define LEAP_SQ_CDW11_CQID_SHIFT 16
#define LEAP_SQ_CDW11_CQID_MASK	0xffffu

/* Identify. */
#define LEAP_IDENTIFY_CDW10_CNS_SHIFT	0
#define LEAP_IDENTIFY_CDW10_CNS_MASK	0xffu
#define LEAP_IDENTIFY_CDW10_CNTID_SHIFT	16
#define LEAP_IDENTIFY_CDW10_CNTID_MASK	0xffffu
#define LEAP_IDENTIFY_CDW11_CNSSID_SHIFT 0
#define LEAP_IDENTIFY_CDW11_CNSSID_MASK	0xffffu
#define LEAP_IDENTIFY_CDW11_CSI_SHIFT	24
#define LEAP_IDENTIFY_CDW11_CSI_MASK	0xffu

#define LEAP_CNS_NS		0x00
#define LEAP_CNS_CTRL		0x01
#define LEAP_CNS_NS_ACTIVE	0x02
#define LEAP_CNS_NS_DESC	0x03
#define LEAP_CNS_NVMSET		0x04
#define LEAP_CNS_CSI_NS		0x05
#define LEAP_CNS_CSI_CTRL	0x06
#define LEAP_CNS_CSI_NS_ACTIVE	0x07
#define LEAP_CNS_NS_INDEP	0x08
#define LEAP_CNS_NS_UDF		0x09	/* by user data format */
#define LEAP_CNS_CSI_NS_UDF	0x0a
#define LEAP_CNS_NS_ALLOC_LIST	0x10
#define LEAP_CNS_NS_ALLOC	0x11
#define LEAP_CNS_CTRL_NS_LIST	0x12
#define LEAP_CNS_CTRL_LIST	0x13
#define LEAP_CNS_PRIMARY_CTRL	0x14
#define LEAP_CNS_SECONDARY_LIST	0x15
#define LEAP_CNS_NS_GRANULARITY	0x16
#define LEAP_CNS_UUID_LIST	0x17
#define LEAP_CNS_DOMAIN_LIST	0x18
#define LEAP_CNS_ENDGRP_LIST	0x19
#define LEAP_CNS_CSI_ALLOC_LIST	0x1a
#define LEAP_CNS_CSI_NS_ALLOC	0x1b
#define LEAP_CNS_CSC		0x1c	/* I/O command set combinations */

/* Get Log Page. */
#define LEAP_LOG_CDW10_LID_SHIFT	0
#define LEAP_LOG_CDW10_LID_MASK		0xffu
#define LEAP_LOG_CDW10_LSP_SHIFT	8
#define LEAP_LOG_CDW10_LSP_MASK		0x7fu
#define LEAP_LOG_CDW10_RAE		(1u << 15)
#define LEAP_LOG_CDW10_NUMDL_SHIFT	16	/* 0's based dwords */
#define LEAP_LOG_CDW10_NUMDL_MASK	0xffffu
#define LEAP_LOG_CDW11_NUMDU_SHIFT	0
#define LEAP_LOG_CDW11_NUMDU_MASK	0xffffu
#define LEAP_LOG_CDW11_LSI_SHIFT	16
#define LEAP_LOG_CDW11_LSI_MASK		0xffffu
#define LEAP_LOG_CDW14_UUID_SHIFT	0
#define LEAP_LOG_CDW14_UUID_MASK	0x7fu
#define LEAP_LOG_CDW14_OT		(1u << 23)
#define LEAP_LOG_CDW14_CSI_SHIFT	24
#define LEAP_LOG_CDW14_CSI_MASK		0xffu

#define LEAP_LID_SUPPORTED	0x00
#define LEAP_LID_ERROR		0x01
#define LEAP_LID_SMART		0x02
#define LEAP_LID_FW_SLOT	0x03
#define LEAP_LID_CHANGED_NS	0x04
#define LEAP_LID_EFFECTS	0x05
#define LEAP_LID_SELF_TEST	0x06
#define LEAP_LID_TELEMETRY_HOST	0x07
#define LEAP_LID_TELEMETRY_CTRL	0x08
#define LEAP_LID_ENDGRP		0x09
#define LEAP_LID_PREDLAT_SET	0x0a
#define LEAP_LID_PREDLAT_AGG	0x0b
#define LEAP_LID_ANA		0x0c
#define LEAP_LID_PERSISTENT	0x0d
#define LEAP_LID_LBA_STATUS	0x0e
#define LEAP_LID_ENDGRP_AGG	0x0f
#define LEAP_LID_FID_EFFECTS	0x12
#define LEAP_LID_MI_EFFECTS	0x13
#define LEAP_LID_LOCKDOWN	0x14
#define LEAP_LID_BOOT_PARTITION	0x15
#define LEAP_LID_ROTATIONAL	0x16
#define LEAP_LID_DISPERSED_NS	0x18
#define LEAP_LID_FDP_CONFIGS	0x20
#define LEAP_LID_FDP_RUH_USAGE	0x21
#define LEAP_LID_FDP_STATS	0x22
#define LEAP_LID_FDP_EVENTS	0x23
#define LEAP_LID_DISCOVERY	0x70
#define LEAP_LID_RESERVATION	0x80
#define LEAP_LID_SANITIZE	0x81
#define LEAP_LID_CHANGED_ZONES	0xbf
#define LEAP_LID_VENDOR		0xc0	/* first vendor specific page */

/* Set and Get Features. */
#define LEAP_FEAT_CDW10_FID_SHIFT	0
#define LEAP_FEAT_CDW10_FID_MASK	0xffu
#define LEAP_FEAT_CDW10_SEL_SHIFT	8	/* Get */
#define LEAP_FEAT_CDW10_SEL_MASK	0x7u
#define LEAP_FEAT_CDW10_SV		(1u << 31)	/* Set */
#define LEAP_FEAT_SEL_CURRENT	0u
#define LEAP_FEAT_SEL_DEFAULT	1u
#define LEAP_FEAT_SEL_SAVED	2u
#define LEAP_FEAT_SEL_CAPS	3u
#define LEAP_FEAT_CAP_SAVEABLE	(1u << 0)	/* DW0 of SEL_CAPS */
#define LEAP_FEAT_CAP_NS	(1u << 1)
#define LEAP_FEAT_CAP_CHANGE	(1u << 2)

#define LEAP_FID_ARBITRATION	0x01
#define LEAP_FID_POWER		0x02
#define LEAP_FID_LBA_RANGE	0x03
#define LEAP_FID_TEMP_THRESHOLD	0x04
#define LEAP_FID_ERROR_RECOVERY	0x05
#define LEAP_FID_WRITE_CACHE	0x06
#define LEAP_FID_NUM_QUEUES	0x07
#define LEAP_FID_INT_COALESCE	0x08
#define LEAP_FID_INT_VECTOR	0x09
#define LEAP_FID_WRITE_ATOMIC	0x0a
#define LEAP_FID_ASYNC_EVENT	0x0b
#define LEAP_FID_APST		0x0c
#define LEAP_FID_HMB		0x0d
#define LEAP_FID_TIMESTAMP	0x0e
#define LEAP_FID_KATO		0x0f
#define LEAP_FID_HCTM		0x10
#define LEAP_FID_NOPPS		0x11
#define LEAP_FID_RRL		0x12
#define LEAP_FID_PREDLAT_CONFIG	0x13
#define LEAP_FID_PREDLAT_WINDOW	0x14
#define LEAP_FID_LBA_STATUS	0x15
#define LEAP_FID_HOST_BEHAVIOR	0x16
#define LEAP_FID_SANITIZE	0x17
#define LEAP_FID_ENDGRP_EVENT	0x18
#define LEAP_FID_IOCS_PROFILE	0x19
#define LEAP_FID_SPINUP		0x1a
#define LEAP_FID_FDP		0x1d
#define LEAP_FID_FDP_EVENTS	0x1e
#define LEAP_FID_ENH_CTRL_META	0x7d
#define LEAP_FID_CTRL_META	0x7e
#define LEAP_FID_NS_META	0x7f
#define LEAP_FID_SW_PROGRESS	0x80
#define LEAP_FID_HOST_ID	0x81
#define LEAP_FID_RESV_NOTIFY	0x82
#define LEAP_FID_RESV_PERSIST	0x83
#define LEAP_FID_WRITE_PROTECT	0x84

#define LEAP_FEAT_ARB_AB_SHIFT		0	/* 2^n, 7 no limit */
#define LEAP_FEAT_ARB_AB_MASK		0x7u
#define LEAP_FEAT_ARB_LPW_SHIFT		8	/* weights are 0's based */
#define LEAP_FEAT_ARB_LPW_MASK		0xffu
#define LEAP_FEAT_ARB_MPW_SHIFT		16
#define LEAP_FEAT_ARB_MPW_MASK		0xffu
#define LEAP_FEAT_ARB_HPW_SHIFT		24
#define LEAP_FEAT_ARB_HPW_MASK		0xffu
#define LEAP_FEAT_PM_PS_SHIFT		0
#define LEAP_FEAT_PM_PS_MASK		0x1fu
#define LEAP_FEAT_PM_WH_SHIFT		5
#define LEAP_FEAT_PM_WH_MASK		0x7u
#define LEAP_FEAT_TEMP_TMPTH_SHIFT	0	/* kelvin */
#define LEAP_FEAT_TEMP_TMPTH_MASK	0xffffu
#define LEAP_FEAT_TEMP_TMPSEL_SHIFT	16
#define LEAP_FEAT_TEMP_TMPSEL_MASK	0xfu
#define LEAP_FEAT_TEMP_THSEL_SHIFT	20
#define LEAP_FEAT_TEMP_THSEL_MASK	0x3u
#define LEAP_FEAT_TEMP_THSEL_OVER	0u
#define LEAP_FEAT_TEMP_THSEL_UNDER	1u
#define LEAP_FEAT_ERR_TLER_SHIFT	0	/* 100 ms */
#define LEAP_FEAT_ERR_TLER_MASK		0xffffu
#define LEAP_FEAT_ERR_DULBE		(1u << 16)
#define LEAP_FEAT_WC_WCE		(1u << 0)
#define LEAP_FEAT_NQ_NSQ_SHIFT		0	/* both 0's based */
#define LEAP_FEAT_NQ_NSQ_MASK		0xffffu
#define LEAP_FEAT_NQ_NCQ_SHIFT		16
#define LEAP_FEAT_NQ_NCQ_MASK		0xffffu
#define LEAP_FEAT_IC_THR_SHIFT		0	/* 0's based entries */
#define LEAP_FEAT_IC_THR_MASK		0xffu
#define LEAP_FEAT_IC_TIME_SHIFT		8	/* 100 us */
#define LEAP_FEAT_IC_TIME_MASK		0xffu
#define LEAP_FEAT_IV_IV_SHIFT		0
#define LEAP_FEAT_IV_IV_MASK		0xffffu
#define LEAP_FEAT_IV_CD			(1u << 16)
#define LEAP_FEAT_WA_DN			(1u << 0)
#define LEAP_FEAT_APST_APSTE		(1u << 0)
#define LEAP_FEAT_HMB_EHM		(1u << 0)
#define LEAP_FEAT_HMB_MR		(1u << 1)
#define LEAP_FEAT_NOPPS_NOPPME		(1u << 0)
#define LEAP_FEAT_SANITIZE_NODRM	(1u << 0)
#define LEAP_FEAT_HOSTID_EXHID		(1u << 0)	/* 16 bytes */
#define LEAP_FEAT_RESVN_REGPRE		(1u << 1)
#define LEAP_FEAT_RESVN_RESREL		(1u << 2)
#define LEAP_FEAT_RESVN_RESPRE		(1u << 3)
#define LEAP_FEAT_RESVP_PTPL		(1u << 0)
#define LEAP_FEAT_WP_SHIFT		0
#define LEAP_FEAT_WP_MASK		0x7u
#define LEAP_FEAT_WP_NONE		0u
#define LEAP_FEAT_WP_PROTECT		1u
#define LEAP_FEAT_WP_UNTIL_POWER	2u
#define LEAP_FEAT_WP_PERMANENT		3u

/* Asynchronous Event Configuration and Identify Controller OAES. */
#define LEAP_AEC_SMART_MASK	0xffu	/* as the SMART critical warning */
#define LEAP_AEC_NS_ATTR	(1u << 8)
#define LEAP_AEC_FW_ACTIVATION	(1u << 9)
#define LEAP_AEC_TELEMETRY	(1u << 10)
#define LEAP_AEC_ANA		(1u << 11)
#define LEAP_AEC_PREDLAT	(1u << 12)
#define LEAP_AEC_LBA_STATUS	(1u << 13)
#define LEAP_AEC_ENDGRP		(1u << 14)
#define LEAP_AEC_SHUTDOWN	(1u << 15)
#define LEAP_AEC_ZONE_DESC	(1u << 27)
#define LEAP_AEC_DISCOVERY	(1u << 31)

/* Timestamp feature: Base 2.0, "Timestamp - Data Structure". */
struct leap_feat_timestamp {
	uint8_t ms[6];		/* since 1970-01-01 UTC */
	uint8_t attr;		/* bit 0 synch, bits 3:1 origin */
	uint8_t rsvd7;
};
LEAP_ASSERT_SIZE(struct leap_feat_timestamp, 8);
LEAP_ASSERT_AT(struct leap_feat_timestamp, attr, 6);

/* Host Behavior Support feature: Base 2.0, same name. */
struct leap_feat_host_behavior {
	uint8_t acre;
	uint8_t etdas;
	uint8_t lbafee;
	uint8_t hdisns;
	leap_le16 cdfe;		/* bits 2 and 3: copy formats 2h and 3h */
	uint8_t rsvd6[506];
};
LEAP_ASSERT_SIZE(struct leap_feat_host_behavior, 512);
LEAP_ASSERT_AT(struct leap_feat_host_behavior, lbafee, 2);
LEAP_ASSERT_AT(struct leap_feat_host_behavior, cdfe, 4);

/* Abort. */
#define LEAP_ABORT_CDW10_SQID_SHIFT	0
#define LEAP_ABORT_CDW10_SQID_MASK	0xffffu
#define LEAP_ABORT_CDW10_CID_SHIFT	16
#define LEAP_ABORT_CDW10_CID_MASK	0xffffu
#define LEAP_ABORT_DW0_NOT_ABORTED	(1u << 0)

/* Asynchronous Event Request: DW0 of its completion. */
#define LEAP_AER_DW0(type, info, lid) \
	((uint32_t)(type) | (uint32_t)(info) << 8 | (uint32_t)(lid) << 16)
#define LEAP_AER_TYPE(dw0)		((dw0) & 0x7u)
#define LEAP_AER_INFO(dw0)		((dw0) >> 8 & 0xffu)
#define LEAP_AER_LID(dw0)		((dw0) >> 16 & 0xffu)
#define LEAP_AER_TYPE_ERROR		0
#define LEAP_AER_TYPE_SMART		1
#define LEAP_AER_TYPE_NOTICE		2
#define LEAP_AER_TYPE_IMMEDIATE		3
#define LEAP_AER_TYPE_IOCS		6
#define LEAP_AER_TYPE_VENDOR		7
#define LEAP_AER_ERROR_BAD_DB_REG	0x00
#define LEAP_AER_ERROR_BAD_DB_VALUE	0x01
#define LEAP_AER_ERROR_DIAGNOSTIC	0x02
#define LEAP_AER_ERROR_PERSISTENT	0x03
#define LEAP_AER_ERROR_TRANSIENT	0x04
#define LEAP_AER_ERROR_FW_LOAD		0x05
#define LEAP_AER_SMART_RELIABILITY	0x00
#define LEAP_AER_SMART_TEMPERATURE	0x01
#define LEAP_AER_SMART_SPARE		0x02
#define LEAP_AER_NOTICE_NS_CHANGED	0x00
#define LEAP_AER_NOTICE_FW_ACTIVATION	0x01
#define LEAP_AER_NOTICE_TELEMETRY	0x02
#define LEAP_AER_NOTICE_ANA		0x03
#define LEAP_AER_NOTICE_PREDLAT		0x04
#define LEAP_AER_NOTICE_LBA_STATUS	0x05
#define LEAP_AER_NOTICE_ENDGRP		0x06
#define LEAP_AER_NOTICE_ZONE_DESC	0xef
#define LEAP_AER_NOTICE_DISCOVERY	0xf0
#define LEAP_AER_IMMEDIATE_SHUTDOWN	0x00
#define LEAP_AER_IOCS_RESERVATION	0x00
#define LEAP_AER_IOCS_SANITIZE		0x01

/* Namespace Management and Attachment. */
#define LEAP_NSMGMT_CDW10_SEL_SHIFT	0
#define LEAP_NSMGMT_CDW10_SEL_MASK	0xfu
#define LEAP_NSMGMT_SEL_CREATE		0u
#define LEAP_NSMGMT_SEL_DELETE		1u
#define LEAP_NSMGMT_CDW11_CSI_SHIFT	24
#define LEAP_NSMGMT_CDW11_CSI_MASK	0xffu
#define LEAP_NSATTACH_SEL_ATTACH	0u
#define LEAP_NSATTACH_SEL_DETACH	1u

/* Format NVM. */
#define LEAP_FORMAT_CDW10_LBAFL_SHIFT	0
#define LEAP_FORMAT_CDW10_LBAFL_MASK	0xfu
#define LEAP_FORMAT_CDW10_MSET		(1u << 4)
#define LEAP_FORMAT_CDW10_PI_SHIFT	5
#define LEAP_FORMAT_CDW10_PI_MASK	0x7u
#define LEAP_FORMAT_CDW10_PIL		(1u << 8)
#define LEAP_FORMAT_CDW10_SES_SHIFT	9
#define LEAP_FORMAT_CDW10_SES_MASK	0x7u
#define LEAP_FORMAT_SES_NONE		0u
#define LEAP_FORMAT_SES_USER		1u
#define LEAP_FORMAT_SES_CRYPTO		2u
#define LEAP_FORMAT_CDW10_LBAFU_SHIFT	12
#define LEAP_FORMAT_CDW10_LBAFU_MASK	0x3u

/* Sanitize. */
#define LEAP_SANITIZE_CDW10_SANACT_SHIFT 0
#define LEAP_SANITIZE_CDW10_SANACT_MASK	0x7u
#define LEAP_SANITIZE_ACT_EXIT_FAILURE	1u
#define LEAP_SANITIZE_ACT_BLOCK		2u
#define LEAP_SANITIZE_ACT_OVERWRITE	3u
#define LEAP_SANITIZE_ACT_CRYPTO	4u
#define LEAP_SANITIZE_CDW10_AUSE	(1u << 3)
#define LEAP_SANITIZE_CDW10_OWPASS_SHIFT 4
#define LEAP_SANITIZE_CDW10_OWPASS_MASK	0xfu
#define LEAP_SANITIZE_CDW10_OIPBP	(1u << 8)
#define LEAP_SANITIZE_CDW10_NDAS	(1u << 9)

/* Directive Send and Receive. */
#define LEAP_DIRECTIVE_CDW11_DOPER_SHIFT 0
#define LEAP_DIRECTIVE_CDW11_DOPER_MASK	0xffu
#define LEAP_DIRECTIVE_CDW11_DTYPE_SHIFT 8
#define LEAP_DIRECTIVE_CDW11_DTYPE_MASK	0xffu
#define LEAP_DIRECTIVE_CDW11_DSPEC_SHIFT 16
#define LEAP_DIRECTIVE_CDW11_DSPEC_MASK	0xffffu
#define LEAP_DTYPE_IDENTIFY		0u
#define LEAP_DTYPE_STREAMS		1u
#define LEAP_DTYPE_PLACEMENT		2u

/*
 * ---- I/O command dwords: NVM Command Set 1.0, figures "Command Dword n" of
 * Read, Write, Copy and Dataset Management; ZNS 1.1 for zone commands ----
 */

/* Read, Write, Compare, Verify, Write Zeroes, Write Uncorrectable. */
#define LEAP_IO_CDW12_NLB_SHIFT		0	/* 0's based */
#define LEAP_IO_CDW12_NLB_MASK		0xffffu
#define LEAP_IO_CDW12_DTYPE_SHIFT	20
#define LEAP_IO_CDW12_DTYPE_MASK	0xfu
#define LEAP_IO_CDW12_STC		(1u << 24)
#define LEAP_IO_CDW12_DEAC		(1u << 25)	/* Write Zeroes */
#define LEAP_IO_CDW12_PIREMAP		(1u << 25)	/* Zone Append */
#define LEAP_IO_CDW12_PRCHK_REF		(1u << 26)
#define LEAP_IO_CDW12_PRCHK_APP		(1u << 27)
#define LEAP_IO_CDW12_PRCHK_GUARD	(1u << 28)
#define LEAP_IO_CDW12_PRACT		(1u << 29)
#define LEAP_IO_CDW12_FUA		(1u << 30)
#define LEAP_IO_CDW12_LR		(1u << 31)
#define LEAP_IO_CDW13_DSM_SHIFT		0
#define LEAP_IO_CDW13_DSM_MASK		0xffu
#define LEAP_IO_CDW13_DSPEC_SHIFT	16
#define LEAP_IO_CDW13_DSPEC_MASK	0xffffu
#define LEAP_IO_CDW15_APPTAG_SHIFT	0
#define LEAP_IO_CDW15_APPTAG_MASK	0xffffu
#define LEAP_IO_CDW15_APPMASK_SHIFT	16
#define LEAP_IO_CDW15_APPMASK_MASK	0xffffu

/* Dataset Management. */
#define LEAP_DSM_CDW10_NR_SHIFT		0	/* 0's based */
#define LEAP_DSM_CDW10_NR_MASK		0xffu
#define LEAP_DSM_CDW11_IDR		(1u << 0)
#define LEAP_DSM_CDW11_IDW		(1u << 1)
#define LEAP_DSM_CDW11_AD		(1u << 2)	/* deallocate */
#define LEAP_DSM_MAX_RANGES		256

/* NVM Command Set 1.0, "Dataset Management - Range Definition". */
struct leap_dsm_range {
	leap_le32 cattr;
	leap_le32 nlb;		/* a plain count, may be 0 */
	leap_le64 slba;
};
LEAP_ASSERT_SIZE(struct leap_dsm_range, 16);
LEAP_ASSERT_AT(struct leap_dsm_range, nlb, 4);
LEAP_ASSERT_AT(struct leap_dsm_range, slba, 8);

/* Copy. */
#define LEAP_COPY_CDW12_NR_SHIFT	0	/* 0's based */
#define LEAP_COPY_CDW12_NR_MASK		0xffu
#define LEAP_COPY_CDW12_DF_SHIFT	8	/* descriptor format */
#define LEAP_COPY_CDW12_DF_MASK		0xfu
#define LEAP_COPY_CDW12_PRINFOR_SHIFT	12
#define LEAP_COPY_CDW12_PRINFOR_MASK	0xfu
#define LEAP_COPY_CDW12_DTYPE_SHIFT	20
#define LEAP_COPY_CDW12_DTYPE_MASK	0xfu
#define LEAP_COPY_CDW12_PRINFOW_SHIFT	26
#define LEAP_COPY_CDW12_PRINFOW_MASK	0xfu
#define LEAP_COPY_CDW12_FUA		(1u << 30)
#define LEAP_COPY_CDW12_LR		(1u << 31)

/* "Copy - Source Range Entries", formats 0h and 2h. */
struct leap_copy_range0 {
	leap_le32 snsid;	/* format 2h, else reserved */
	uint8_t rsvd4[4];
	leap_le64 slba;
	leap_le16 nlb;		/* 0's based */
	uint8_t rsvd18[4];
	leap_le16 sopt;		/* format 2h, else reserved */
	leap_le32 elbrt;
	leap_le16 elbat;
	leap_le16 elbatm;
};
LEAP_ASSERT_SIZE(struct leap_copy_range0, 32);
LEAP_ASSERT_AT(struct leap_copy_range0, slba, 8);
LEAP_ASSERT_AT(struct leap_copy_range0, nlb, 16);
LEAP_ASSERT_AT(struct leap_copy_range0, sopt, 22);
LEAP_ASSERT_AT(struct leap_copy_range0, elbrt, 24);
LEAP_ASSERT_AT(struct leap_copy_range0, elbat, 28);
LEAP_ASSERT_AT(struct leap_copy_range0, elbatm, 30);

/* "Copy - Source Range Entries", formats 1h and 3h (wide reference tags). */
struct leap_copy_range1 {
	leap_le32 snsid;	/* format 3h, else reserved */
	uint8_t rsvd4[4];
	leap_le64 slba;
	leap_le16 nlb;		/* 0's based */
	uint8_t rsvd18[4];
	leap_le16 sopt;		/* format 3h, else reserved */
	uint8_t rsvd24[2];
	uint8_t elbt[10];
	leap_le16 elbat;
	leap_le16 elbatm;
};
LEAP_ASSERT_SIZE(struct leap_copy_range1, 40);
LEAP_ASSERT_AT(struct leap_copy_range1, slba, 8);
LEAP_ASSERT_AT(struct leap_copy_range1, nlb, 16);
LEAP_ASSERT_AT(struct leap_copy_range1, elbt, 26);
LEAP_ASSERT_AT(struct leap_copy_range1, elbat, 36);
LEAP_ASSERT_AT(struct leap_copy_range1, elbatm, 38);

/* Bytes of a source range entry of Copy; 0 = a format of more than one
 * namespace, or a reserved one. */
static inline uint32_t leap_copy_entry_bytes(const struct leap_sqe *sqe)
{
	switch (LEAP_GET(leap_from_le32(sqe->cdw12), LEAP_COPY_CDW12_DF)) {
	case 0:
		return sizeof(struct leap_copy_range0);
	case 1:
		return sizeof(struct leap_copy_range1);
	default:
		return 0;
	}
}

/* Reservations: Base 2.0, "Reservation Register/Acquire/Release/Report". */
#define LEAP_RESV_CDW10_ACT_SHIFT	0	/* RREGA, RACQA, RRELA */
#define LEAP_RESV_CDW10_ACT_MASK	0x7u
#define LEAP_RESV_CDW10_IEKEY		(1u << 3)
#define LEAP_RESV_CDW10_RTYPE_SHIFT	8
#define LEAP_RESV_CDW10_RTYPE_MASK	0xffu
#define LEAP_RESV_CDW10_CPTPL_SHIFT	30
#define LEAP_RESV_CDW10_CPTPL_MASK	0x3u
#define LEAP_RESV_CDW11_EDS		(1u << 0)	/* Report */
#define LEAP_RESV_REG_REGISTER		0u
#define LEAP_RESV_REG_UNREGISTER	1u
#define LEAP_RESV_REG_REPLACE		2u
#define LEAP_RESV_ACQ_ACQUIRE		0u
#define LEAP_RESV_ACQ_PREEMPT		1u
#define LEAP_RESV_ACQ_PREEMPT_ABORT	2u
#define LEAP_RESV_REL_RELEASE		0u
#define LEAP_RESV_REL_CLEAR		1u
#define LEAP_RESV_CPTPL_KEEP		0u
#define LEAP_RESV_CPTPL_CLEAR		2u
#define LEAP_RESV_CPTPL_SET		3u
#define LEAP_RESV_TYPE_NONE		0u
#define LEAP_RESV_TYPE_WE		1u	/* write exclusive */
#define LEAP_RESV_TYPE_EA		2u	/* exclusive access */
#define LEAP_RESV_TYPE_WERO		3u	/* registrants only */
#define LEAP_RESV_TYPE_EARO		4u
#define LEAP_RESV_TYPE_WEAR		5u	/* all registrants */
#define LEAP_RESV_TYPE_EAAR		6u

struct leap_resv_register {
	leap_le64 crkey;
	leap_le64 nrkey;
};
LEAP_ASSERT_SIZE(struct leap_resv_register, 16);
LEAP_ASSERT_AT(struct leap_resv_register, nrkey, 8);

struct leap_resv_acquire {
	leap_le64 crkey;
	leap_le64 prkey;
};
LEAP_ASSERT_SIZE(struct leap_resv_acquire, 16);
LEAP_ASSERT_AT(struct leap_resv_acquire, prkey, 8);

struct leap_resv_release {
	leap_le64 crkey;
};
LEAP_ASSERT_SIZE(struct leap_resv_release, 8);

/* Head of the report; the extended form pads it to 64 bytes. */
struct leap_resv_report {
	leap_le32 gen;
	uint8_t rtype;
	uint8_t regctl[2];	/* unaligned le16: number of registrants */
	uint8_t rsvd7[2];
	uint8_t ptpls;
	uint8_t rsvd10[14];
};
LEAP_ASSERT_SIZE(struct leap_resv_report, 24);
LEAP_ASSERT_AT(struct leap_resv_report, rtype, 4);
LEAP_ASSERT_AT(struct leap_resv_report, regctl, 5);
LEAP_ASSERT_AT(struct leap_resv_report, ptpls, 9);
#define LEAP_RESV_REPORT_EXT_SIZE	64

#define LEAP_RESV_RCSTS_HOLDER		(1u << 0)

struct leap_resv_registrant {
	leap_le16 cntlid;
	uint8_t rcsts;
	uint8_t rsvd3[5];
	uint8_t hostid[8];
	leap_le64 rkey;
};
LEAP_ASSERT_SIZE(struct leap_resv_registrant, 24);
LEAP_ASSERT_AT(struct leap_resv_registrant, rcsts, 2);
LEAP_ASSERT_AT(struct leap_resv_registrant, hostid, 8);
LEAP_ASSERT_AT(struct leap_resv_registrant, rkey, 16);

/* Key and host identifier stand in the other order in this form. */
struct leap_resv_registrant_ext {
	leap_le16 cntlid;
	uint8_t rcsts;
	uint8_t rsvd3[5];
	leap_le64 rkey;
	uint8_t hostid[16];
	uint8_t rsvd32[32];
};
LEAP_ASSERT_SIZE(struct leap_resv_registrant_ext, 64);
LEAP_ASSERT_AT(struct leap_resv_registrant_ext, rcsts, 2);
LEAP_ASSERT_AT(struct leap_resv_registrant_ext, rkey, 8);
LEAP_ASSERT_AT(struct leap_resv_registrant_ext, hostid, 16);

/*
 * Protection information: the one big-endian thing on this wire, so bytes.
 * NVM Command Set 1.0, "16b Guard Protection Information Format".
 */
struct leap_pi16 {
	uint8_t guard[2];
	uint8_t app[2];
	uint8_t ref[4];
};
LEAP_ASSERT_SIZE(struct leap_pi16, 8);

struct leap_pi64 {
	uint8_t guard[8];
	uint8_t app[2];
	uint8_t sr[6];		/* storage tag and reference tag */
};
LEAP_ASSERT_SIZE(struct leap_pi64, 16);

/*
 * ---- Identify data ----
 */

/* Base 2.0, "Identify - Power State Descriptor Data Structure". */
struct leap_power_state {
	leap_le16 mp;		/* 0.01 W, or 0.0001 W with FLAG_MXPS */
	uint8_t rsvd2;
	uint8_t flags;
	leap_le32 enlat;	/* us */
	leap_le32 exlat;	/* us */
	uint8_t rrt;
	uint8_t rrl;
	uint8_t rwt;
	uint8_t rwl;
	leap_le16 idlp;
	uint8_t ips;
	uint8_t rsvd19;
	leap_le16 actp;
	uint8_t apw_aps;
	uint8_t rsvd23[9];
};
LEAP_ASSERT_SIZE(struct leap_power_state, 32);
LEAP_ASSERT_AT(struct leap_power_state, flags, 3);
LEAP_ASSERT_AT(struct leap_power_state, enlat, 4);
LEAP_ASSERT_AT(struct leap_power_state, exlat, 8);
LEAP_ASSERT_AT(struct leap_power_state, rrt, 12);
LEAP_ASSERT_AT(struct leap_power_state, rwl, 15);
LEAP_ASSERT_AT(struct leap_power_state, idlp, 16);
LEAP_ASSERT_AT(struct leap_power_state, ips, 18);
LEAP_ASSERT_AT(struct leap_power_state, actp, 20);
LEAP_ASSERT_AT(struct leap_power_state, apw_aps, 22);

#define LEAP_PSD_FLAG_MXPS	(1u << 0)
#define LEAP_PSD_FLAG_NOPS	(1u << 1)

#define LEAP_SN_LEN		20
#define LEAP_MN_LEN		40
#define LEAP_FR_LEN		8

/* Base 2.0, "Identify - Identify Controller Data Structure" (CNS 01h). */
struct leap_id_ctrl {
	leap_le16 vid;
	leap_le16 ssvid;
	char sn[LEAP_SN_LEN];	/* ASCII, space padded, no NUL */
	char mn[LEAP_MN_LEN];
	char fr[LEAP_FR_LEN];
	uint8_t rab;
	uint8_t ieee[3];
	uint8_t cmic;
	uint8_t mdts;		/* 2^n pages of CAP.MPSMIN; 0 no limit */
	leap_le16 cntlid;
	leap_le32 ver;
	leap_le32 rtd3r;	/* us */
	leap_le32 rtd3e;	/* us */
	leap_le32 oaes;		/* LEAP_AEC_x */
	leap_le32 ctratt;
	leap_le16 rrls;
	uint8_t rsvd102[9];
	uint8_t cntrltype;
	uint8_t fguid[16];
	leap_le16 crdt[3];	/* 100 ms */
	uint8_t rsvd134[119];
	uint8_t nvmsr;
	uint8_t vwci;
	uint8_t mec;
	leap_le16 oacs;
	uint8_t acl;		/* 0's based */
	uint8_t aerl;		/* 0's based */
	uint8_t frmw;
	uint8_t lpa;
	uint8_t elpe;		/* 0's based */
	uint8_t npss;		/* 0's based */
	uint8_t avscc;
	uint8_t apsta;
	leap_le16 wctemp;	/* kelvin */
	leap_le16 cctemp;
	leap_le16 mtfa;		/* 100 ms */
	leap_le32 hmpre;	/* 4 KiB */
	leap_le32 hmmin;
	struct leap_le128 tnvmcap;	/* bytes */
	struct leap_le128 unvmcap;
	leap_le32 rpmbs;
	leap_le16 edstt;	/* minutes */
	uint8_t dsto;
	uint8_t fwug;		/* 4 KiB */
	leap_le16 kas;		/* 100 ms */
	leap_le16 hctma;
	leap_le16 mntmt;
	leap_le16 mxtmt;
	leap_le32 sanicap;
	leap_le32 hmminds;
	leap_le16 hmmaxd;
	leap_le16 nsetidmax;
	leap_le16 endgidmax;
	uint8_t anatt;		/* seconds */
	uint8_t anacap;
	leap_le32 anagrpmax;
	leap_le32 nanagrpid;
	leap_le32 pels;		/* 64 KiB */
	leap_le16 domainid;
	uint8_t rsvd358[10];
	struct leap_le128 megcap;
	uint8_t rsvd384[128];
	uint8_t sqes;		/* 66h */
	uint8_t cqes;		/* 44h */
	leap_le16 maxcmd;
	leap_le32 nn;
	leap_le16 oncs;
	leap_le16 fuses;
	uint8_t fna;
	uint8_t vwc;
	leap_le16 awun;		/* 0's based */
	leap_le16 awupf;
	uint8_t icsvscc;
	uint8_t nwpc;
	leap_le16 acwu;		/* 0's based */
	leap_le16 ocfs;
	leap_le32 sgls;
	leap_le32 mnan;
	struct leap_le128 maxdna;
	leap_le32 maxcna;
	uint8_t rsvd564[204];
	char subnqn[256];	/* NUL padded */
	uint8_t rsvd1024[768];
	leap_le32 ioccsz;	/* 16 bytes */
	leap_le32 iorcsz;
	leap_le16 icdoff;
	uint8_t fcatt;
	uint8_t msdbd;
	leap_le16 ofcs;
	uint8_t dctype;
	uint8_t rsvd1807[241];
	struct leap_power_state psd[32];
	uint8_t vs[1024];
};
LEAP_ASSERT_SIZE(struct leap_id_ctrl, LEAP_IDENTIFY_SIZE);
LEAP_ASSERT_AT(struct leap_id_ctrl, sn, 4);
LEAP_ASSERT_AT(struct leap_id_ctrl, mn, 24);
LEAP_ASSERT_AT(struct leap_id_ctrl, fr, 64);
LEAP_ASSERT_AT(struct leap_id_ctrl, rab, 72);
LEAP_ASSERT_AT(struct leap_id_ctrl, ieee, 73);
LEAP_ASSERT_AT(struct leap_id_ctrl, cmic, 76);
LEAP_ASSERT_AT(struct leap_id_ctrl, mdts, 77);
LEAP_ASSERT_AT(struct leap_id_ctrl, cntlid, 78);
LEAP_ASSERT_AT(struct leap_id_ctrl, ver, 80);
LEAP_ASSERT_AT(struct leap_id_ctrl, rtd3r, 84);
LEAP_ASSERT_AT(struct leap_id_ctrl, rtd3e, 88);
LEAP_ASSERT_AT(struct leap_id_ctrl, oaes, 92);
LEAP_ASSERT_AT(struct leap_id_ctrl, ctratt, 96);
LEAP_ASSERT_AT(struct leap_id_ctrl, rrls, 100);
LEAP_ASSERT_AT(struct leap_id_ctrl, cntrltype, 111);
LEAP_ASSERT_AT(struct leap_id_ctrl, fguid, 112);
LEAP_ASSERT_AT(struct leap_id_ctrl, crdt, 128);
LEAP_ASSERT_AT(struct leap_id_ctrl, nvmsr, 253);
LEAP_ASSERT_AT(struct leap_id_ctrl, vwci, 254);
LEAP_ASSERT_AT(struct leap_id_ctrl, mec, 255);
LEAP_ASSERT_AT(struct leap_id_ctrl, oacs, 256);
LEAP_ASSERT_AT(struct leap_id_ctrl, acl, 258);
LEAP_ASSERT_AT(struct leap_id_ctrl, aerl, 259);
LEAP_ASSERT_AT(struct leap_id_ctrl, frmw, 260);
LEAP_ASSERT_AT(struct leap_id_ctrl, lpa, 261);
LEAP_ASSERT_AT(struct leap_id_ctrl, elpe, 262);
LEAP_ASSERT_AT(struct leap_id_ctrl, npss, 263);
LEAP_ASSERT_AT(struct leap_id_ctrl, avscc, 264);
LEAP_ASSERT_AT(struct leap_id_ctrl, apsta, 265);
LEAP_ASSERT_AT(struct leap_id_ctrl, wctemp, 266);
LEAP_ASSERT_AT(struct leap_id_ctrl, cctemp, 268);
LEAP_ASSERT_AT(struct leap_id_ctrl, mtfa, 270);
LEAP_ASSERT_AT(struct leap_id_ctrl, hmpre, 272);
LEAP_ASSERT_AT(struct leap_id_ctrl, hmmin, 276);
LEAP_ASSERT_AT(struct leap_id_ctrl, tnvmcap, 280);
LEAP_ASSERT_AT(struct leap_id_ctrl, unvmcap, 296);
LEAP_ASSERT_AT(struct leap_id_ctrl, rpmbs, 312);
LEAP_ASSERT_AT(struct leap_id_ctrl, edstt, 316);
LEAP_ASSERT_AT(struct leap_id_ctrl, dsto, 318);
LEAP_ASSERT_AT(struct leap_id_ctrl, fwug, 319);
LEAP_ASSERT_AT(struct leap_id_ctrl, kas, 320);
LEAP_ASSERT_AT(struct leap_id_ctrl, hctma, 322);
LEAP_ASSERT_AT(struct leap_id_ctrl, mntmt, 324);
LEAP_ASSERT_AT(struct leap_id_ctrl, mxtmt, 326);
LEAP_ASSERT_AT(struct leap_id_ctrl, sanicap, 328);
LEAP_ASSERT_AT(struct leap_id_ctrl, hmminds, 332);
LEAP_ASSERT_AT(struct leap_id_ctrl, hmmaxd, 336);
LEAP_ASSERT_AT(struct leap_id_ctrl, nsetidmax, 338);
LEAP_ASSERT_AT(struct leap_id_ctrl, endgidmax, 340);
LEAP_ASSERT_AT(struct leap_id_ctrl, anatt, 342);
LEAP_ASSERT_AT(struct leap_id_ctrl, anacap, 343);
LEAP_ASSERT_AT(struct leap_id_ctrl, anagrpmax, 344);
LEAP_ASSERT_AT(struct leap_id_ctrl, nanagrpid, 348);
LEAP_ASSERT_AT(struct leap_id_ctrl, pels, 352);
LEAP_ASSERT_AT(struct leap_id_ctrl, domainid, 356);
LEAP_ASSERT_AT(struct leap_id_ctrl, megcap, 368);
LEAP_ASSERT_AT(struct leap_id_ctrl, sqes, 512);
LEAP_ASSERT_AT(struct leap_id_ctrl, cqes, 513);
LEAP_ASSERT_AT(struct leap_id_ctrl, maxcmd, 514);
LEAP_ASSERT_AT(struct leap_id_ctrl, nn, 516);
LEAP_ASSERT_AT(struct leap_id_ctrl, oncs, 520);
LEAP_ASSERT_AT(struct leap_id_ctrl, fuses, 522);
LEAP_ASSERT_AT(struct leap_id_ctrl, fna, 524);
LEAP_ASSERT_AT(struct leap_id_ctrl, vwc, 525);
LEAP_ASSERT_AT(struct leap_id_ctrl, awun, 526);
LEAP_ASSERT_AT(struct leap_id_ctrl, awupf, 528);
LEAP_ASSERT_AT(struct leap_id_ctrl, icsvscc, 530);
LEAP_ASSERT_AT(struct leap_id_ctrl, nwpc, 531);
LEAP_ASSERT_AT(struct leap_id_ctrl, acwu, 532);
LEAP_ASSERT_AT(struct leap_id_ctrl, ocfs, 534);
LEAP_ASSERT_AT(struct leap_id_ctrl, sgls, 536);
LEAP_ASSERT_AT(struct leap_id_ctrl, mnan, 540);
LEAP_ASSERT_AT(struct leap_id_ctrl, maxdna, 544);
LEAP_ASSERT_AT(struct leap_id_ctrl, maxcna, 560);
LEAP_ASSERT_AT(struct leap_id_ctrl, subnqn, 768);
LEAP_ASSERT_AT(struct leap_id_ctrl, ioccsz, 1792);
LEAP_ASSERT_AT(struct leap_id_ctrl, iorcsz, 1796);
LEAP_ASSERT_AT(struct leap_id_ctrl, icdoff, 1800);
LEAP_ASSERT_AT(struct leap_id_ctrl, fcatt, 1802);
LEAP_ASSERT_AT(struct leap_id_ctrl, msdbd, 1803);
LEAP_ASSERT_AT(struct leap_id_ctrl, ofcs, 1804);
LEAP_ASSERT_AT(struct leap_id_ctrl, dctype, 1806);
LEAP_ASSERT_AT(struct leap_id_ctrl, psd, 2048);
LEAP_ASSERT_AT(struct leap_id_ctrl, vs, 3072);

#define LEAP_CMIC_MULTI_PORT	(1u << 0)
#define LEAP_CMIC_MULTI_CTRL	(1u << 1)
#define LEAP_CMIC_SRIOV_VF	(1u << 2)
#define LEAP_CMIC_ANA		(1u << 3)
#define LEAP_CTRATT_HOSTID_128	(1u << 0)
#define LEAP_CTRATT_NON_OP_POWER (1u << 1)
#define LEAP_CTRATT_NVM_SETS	(1u << 2)
#define LEAP_CTRATT_RRL		(1u << 3)
#define LEAP_CTRATT_ENDGRPS	(1u << 4)
#define LEAP_CTRATT_PREDLAT	(1u << 5)
#define LEAP_CTRATT_TBKAS	(1u << 6)
#define LEAP_CTRATT_NS_GRANULARITY (1u << 7)
#define LEAP_CTRATT_SQ_ASSOC	(1u << 8)
#define LEAP_CTRATT_UUID_LIST	(1u << 9)
#define LEAP_CTRATT_MDS		(1u << 10)
#define LEAP_CTRATT_FIXED_CAP	(1u << 11)
#define LEAP_CTRATT_VARIABLE_CAP (1u << 12)
#define LEAP_CTRATT_DEL_ENDGRP	(1u << 13)
#define LEAP_CTRATT_DEL_NVM_SET	(1u << 14)
#define LEAP_CTRATT_ELBAS	(1u << 15)
#define LEAP_CTRATT_MEM		(1u << 16)	/* MDTS excludes metadata */
#define LEAP_CTRATT_FDP		(1u << 19)
#define LEAP_CNTRLTYPE_IO	1
#define LEAP_CNTRLTYPE_DISCOVERY 2
#define LEAP_CNTRLTYPE_ADMIN	3
#define LEAP_OACS_SECURITY	(1u << 0)
#define LEAP_OACS_FORMAT	(1u << 1)
#define LEAP_OACS_FIRMWARE	(1u << 2)
#define LEAP_OACS_NS_MGMT	(1u << 3)
#define LEAP_OACS_SELF_TEST	(1u << 4)
#define LEAP_OACS_DIRECTIVES	(1u << 5)
#define LEAP_OACS_MI		(1u << 6)
#define LEAP_OACS_VIRT_MGMT	(1u << 7)
#define LEAP_OACS_DBBUF		(1u << 8)
#define LEAP_OACS_LBA_STATUS	(1u << 9)
#define LEAP_OACS_LOCKDOWN	(1u << 10)
#define LEAP_FRMW_SLOT1_RO	(1u << 0)
#define LEAP_FRMW_SLOTS_SHIFT	1
#define LEAP_FRMW_SLOTS_MASK	0x7u
#define LEAP_FRMW_NO_RESET	(1u << 4)
#define LEAP_FRMW_MUD		(1u << 5)
#define LEAP_LPA_SMART_NS	(1u << 0)
#define LEAP_LPA_EFFECTS	(1u << 1)
#define LEAP_LPA_EXTENDED	(1u << 2)	/* LPO and NUMDU */
#define LEAP_LPA_TELEMETRY	(1u << 3)
#define LEAP_LPA_PERSISTENT	(1u << 4)
#define LEAP_LPA_SUPPORTED	(1u << 5)	/* logs 00h, 12h, 13h */
#define LEAP_LPA_TELEMETRY4	(1u << 6)
#define LEAP_SANICAP_CRYPTO	(1u << 0)
#define LEAP_SANICAP_BLOCK	(1u << 1)
#define LEAP_SANICAP_OVERWRITE	(1u << 2)
#define LEAP_SANICAP_NDI	(1u << 29)
#define LEAP_SANICAP_NODMMAS_SHIFT 30
#define LEAP_SANICAP_NODMMAS_MASK 0x3u
#define LEAP_ANACAP_OPTIMIZED	(1u << 0)
#define LEAP_ANACAP_NONOPTIMIZED (1u << 1)
#define LEAP_ANACAP_INACCESSIBLE (1u << 2)
#define LEAP_ANACAP_LOSS	(1u << 3)
#define LEAP_ANACAP_CHANGE	(1u << 4)
#define LEAP_ANACAP_CONST_GROUP	(1u << 6)
#define LEAP_ANACAP_SETTABLE	(1u << 7)
#define LEAP_ONCS_COMPARE	(1u << 0)
#define LEAP_ONCS_WRITE_UNCOR	(1u << 1)
#define LEAP_ONCS_DSM		(1u << 2)
#define LEAP_ONCS_WRITE_ZEROES	(1u << 3)
#define LEAP_ONCS_FEAT_SAVE	(1u << 4)
#define LEAP_ONCS_RESERVATIONS	(1u << 5)
#define LEAP_ONCS_TIMESTAMP	(1u << 6)
#define LEAP_ONCS_VERIFY	(1u << 7)
#define LEAP_ONCS_COPY		(1u << 8)
#define LEAP_ONCS_COPY_ATOMIC	(1u << 9)
#define LEAP_ONCS_COPY_FAST	(1u << 10)
#define LEAP_OCFS_FORMAT0	(1u << 0)
#define LEAP_OCFS_FORMAT1	(1u << 1)
#define LEAP_FUSES_COMPARE_WRITE (1u << 0)
#define LEAP_FNA_FORMAT_ALL	(1u << 0)
#define LEAP_FNA_ERASE_ALL	(1u << 1)
#define LEAP_FNA_CRYPTO		(1u << 2)
#define LEAP_FNA_NO_BROADCAST	(1u << 3)
#define LEAP_VWC_PRESENT	(1u << 0)
#define LEAP_VWC_FLUSH_ALL_NO	(2u << 1)
#define LEAP_VWC_FLUSH_ALL_YES	(3u << 1)
#define LEAP_NWPC_PROTECT	(1u << 0)
#define LEAP_NWPC_UNTIL_POWER	(1u << 1)
#define LEAP_NWPC_PERMANENT	(1u << 2)
#define LEAP_SGLS_BYTE		(1u << 0)	/* bits 1:0 */
#define LEAP_SGLS_DWORD		(2u << 0)
#define LEAP_SGLS_KEYED		(1u << 2)
#define LEAP_SGLS_BITBUCKET	(1u << 16)
#define LEAP_SGLS_META_BYTE	(1u << 17)
#define LEAP_SGLS_OVERSIZE	(1u << 18)
#define LEAP_SGLS_META_SGL	(1u << 19)
#define LEAP_SGLS_OFFSET	(1u << 20)
#define LEAP_SGLS_TRANSPORT	(1u << 21)
#define LEAP_FCATT_STATIC	(1u << 0)
#define LEAP_OFCS_DISCONNECT	(1u << 0)
#define LEAP_DCTYPE_DDC		1
#define LEAP_DCTYPE_CDC		2
/* Indices of id_ctrl.psd, id_ns.lbaf and friends. */
#define LEAP_PSD_COUNT		32
#define LEAP_LBAF_COUNT		64

/* NVM Command Set 1.0, "LBA Format Data Structure". */
struct leap_lbaf {
	leap_le16 ms;		/* metadata bytes */
	uint8_t lbads;		/* 2^n bytes, 9 or more; 0 not available */
	uint8_t rp;		/* bits 1:0 */
};
LEAP_ASSERT_SIZE(struct leap_lbaf, 4);
LEAP_ASSERT_AT(struct leap_lbaf, lbads, 2);

/*
 * NVM Command Set 1.0, "Identify Namespace Data Structure" (CNS 00h, 11h; also
 * the data of Namespace Management create).
 */
struct leap_id_ns {
	leap_le64 nsze;		/* LBAs */
	leap_le64 ncap;
	leap_le64 nuse;
	uint8_t nsfeat;
	uint8_t nlbaf;		/* 0's based */
	uint8_t flbas;
	uint8_t mc;
	uint8_t dpc;
	uint8_t dps;
	uint8_t nmic;
	uint8_t rescap;
	uint8_t fpi;
	uint8_t dlfeat;
	leap_le16 nawun;	/* 0's based, as all but nabo and noiob */
	leap_le16 nawupf;
	leap_le16 nacwu;
	leap_le16 nabsn;
	leap_le16 nabo;
	leap_le16 nabspf;
	leap_le16 noiob;
	struct leap_le128 nvmcap;	/* bytes */
	leap_le16 npwg;		/* 0's based, as the next four */
	leap_le16 npwa;
	leap_le16 npdg;
	leap_le16 npda;
	leap_le16 nows;
	leap_le16 mssrl;
	leap_le32 mcl;
	uint8_t msrc;		/* 0's based */
	uint8_t rsvd81[11];
	leap_le32 anagrpid;
	uint8_t rsvd96[3];
	uint8_t nsattr;
	leap_le16 nvmsetid;
	leap_le16 endgid;
	uint8_t nguid[16];	/* big-endian */
	uint8_t eui64[8];	/* big-endian */
	struct leap_lbaf lbaf[LEAP_LBAF_COUNT];
	uint8_t vs[3712];
};
LEAP_ASSERT_SIZE(struct leap_id_ns, LEAP_IDENTIFY_SIZE);
LEAP_ASSERT_AT(struct leap_id_ns, ncap, 8);
LEAP_ASSERT_AT(struct leap_id_ns, nuse, 16);
LEAP_ASSERT_AT(struct leap_id_ns, nsfeat, 24);
LEAP_ASSERT_AT(struct leap_id_ns, nlbaf, 25);
LEAP_ASSERT_AT(struct leap_id_ns, flbas, 26);
LEAP_ASSERT_AT(struct leap_id_ns, mc, 27);
LEAP_ASSERT_AT(struct leap_id_ns, dpc, 28);
LEAP_ASSERT_AT(struct leap_id_ns, dps, 29);
LEAP_ASSERT_AT(struct leap_id_ns, nmic, 30);
LEAP_ASSERT_AT(struct leap_id_ns, rescap, 31);
LEAP_ASSERT_AT(struct leap_id_ns, fpi, 32);
LEAP_ASSERT_AT(struct leap_id_ns, dlfeat, 33);
LEAP_ASSERT_AT(struct leap_id_ns, nawun, 34);
LEAP_ASSERT_AT(struct leap_id_ns, nawupf, 36);
LEAP_ASSERT_AT(struct leap_id_ns, nacwu, 38);
LEAP_ASSERT_AT(struct leap_id_ns, nabsn, 40);
LEAP_ASSERT_AT(struct leap_id_ns, nabo, 42);
LEAP_ASSERT_AT(struct leap_id_ns, nabspf, 44);
LEAP_ASSERT_AT(struct leap_id_ns, noiob, 46);
LEAP_ASSERT_AT(struct leap_id_ns, nvmcap, 48);
LEAP_ASSERT_AT(struct leap_id_ns, npwg, 64);
LEAP_ASSERT_AT(struct leap_id_ns, npwa, 66);
LEAP_ASSERT_AT(struct leap_id_ns, npdg, 68);
LEAP_ASSERT_AT(struct leap_id_ns, npda, 70);
LEAP_ASSERT_AT(struct leap_id_ns, nows, 72);
LEAP_ASSERT_AT(struct leap_id_ns, mssrl, 74);
LEAP_ASSERT_AT(struct leap_id_ns, mcl, 76);
LEAP_ASSERT_AT(struct leap_id_ns, msrc, 80);
LEAP_ASSERT_AT(struct leap_id_ns, anagrpid, 92);
LEAP_ASSERT_AT(struct leap_id_ns, nsattr, 99);
LEAP_ASSERT_AT(struct leap_id_ns, nvmsetid, 100);
LEAP_ASSERT_AT(struct leap_id_ns, endgid, 102);
LEAP_ASSERT_AT(struct leap_id_ns, nguid, 104);
LEAP_ASSERT_AT(struct leap_id_ns, eui64, 120);
LEAP_ASSERT_AT(struct leap_id_ns, lbaf, 128);
LEAP_ASSERT_AT(struct leap_id_ns, vs, 384);

#define LEAP_NSFEAT_THIN	(1u << 0)
#define LEAP_NSFEAT_NSABP	(1u << 1)	/* NAWUN and the like valid */
#define LEAP_NSFEAT_DAE		(1u << 2)	/* DULBE supported */
#define LEAP_NSFEAT_UIDREUSE	(1u << 3)
#define LEAP_NSFEAT_OPTPERF	(1u << 4)	/* NPWG and the like valid */
#define LEAP_FLBAS_LOW_SHIFT	0
#define LEAP_FLBAS_LOW_MASK	0xfu
#define LEAP_FLBAS_EXTENDED	(1u << 4)
#define LEAP_FLBAS_HIGH_SHIFT	5
#define LEAP_FLBAS_HIGH_MASK	0x3u
#define LEAP_MC_EXTENDED	(1u << 0)
#define LEAP_MC_SEPARATE	(1u << 1)
#define LEAP_DPC_TYPE1		(1u << 0)
#define LEAP_DPC_TYPE2		(1u << 1)
#define LEAP_DPC_TYPE3		(1u << 2)
#define LEAP_DPC_FIRST		(1u << 3)
#define LEAP_DPC_LAST		(1u << 4)
#define LEAP_DPS_TYPE_SHIFT	0
#define LEAP_DPS_TYPE_MASK	0x7u
#define LEAP_DPS_FIRST		(1u << 3)
#define LEAP_NMIC_SHARED	(1u << 0)
#define LEAP_NMIC_DISPERSED	(1u << 1)
#define LEAP_RESCAP_PTPL	(1u << 0)
#define LEAP_RESCAP_WE		(1u << 1)
#define LEAP_RESCAP_EA		(1u << 2)
#define LEAP_RESCAP_WERO	(1u << 3)
#define LEAP_RESCAP_EARO	(1u << 4)
#define LEAP_RESCAP_WEAR	(1u << 5)
#define LEAP_RESCAP_EAAR	(1u << 6)
#define LEAP_RESCAP_IEKEY13	(1u << 7)
#define LEAP_FPI_SUPPORTED	(1u << 7)
#define LEAP_DLFEAT_READ_MASK	0x7u		/* in place */
#define LEAP_DLFEAT_READ_ZEROES	1u
#define LEAP_DLFEAT_READ_ONES	2u
#define LEAP_DLFEAT_WZ_DEAC	(1u << 3)
#define LEAP_DLFEAT_GUARD_CRC	(1u << 4)
#define LEAP_NSATTR_WP		(1u << 0)

/* NVM Command Set 1.0, CNS 05h CSI 00h. */
struct leap_id_ns_nvm {
	leap_le64 lbstm;
	uint8_t pic;
	uint8_t rsvd9[3];
	leap_le32 elbaf[LEAP_LBAF_COUNT];
	uint8_t rsvd268[3828];
};
LEAP_ASSERT_SIZE(struct leap_id_ns_nvm, LEAP_IDENTIFY_SIZE);
LEAP_ASSERT_AT(struct leap_id_ns_nvm, pic, 8);
LEAP_ASSERT_AT(struct leap_id_ns_nvm, elbaf, 12);
#define LEAP_ELBAF_STS_SHIFT	0
#define LEAP_ELBAF_STS_MASK	0x7fu
#define LEAP_ELBAF_PIF_SHIFT	7
#define LEAP_ELBAF_PIF_MASK	0x3u
#define LEAP_PIF_16B		0u
#define LEAP_PIF_32B		1u
#define LEAP_PIF_64B		2u

/* NVM Command Set 1.0, CNS 06h CSI 00h. */
struct leap_id_ctrl_nvm {
	uint8_t vsl;		/* 2^n pages of CAP.MPSMIN; 0 no limit */
	uint8_t wzsl;
	uint8_t wusl;
	uint8_t dmrl;		/* ranges; 0 no limit */
	leap_le32 dmrsl;	/* LBAs per range */
	leap_le64 dmsl;		/* LBAs per command */
	uint8_t rsvd16[4080];
};
LEAP_ASSERT_SIZE(struct leap_id_ctrl_nvm, LEAP_IDENTIFY_SIZE);
LEAP_ASSERT_AT(struct leap_id_ctrl_nvm, dmrl, 3);
LEAP_ASSERT_AT(struct leap_id_ctrl_nvm, dmrsl, 4);
LEAP_ASSERT_AT(struct leap_id_ctrl_nvm, dmsl, 8);

/* Base 2.0, "I/O Command Set Independent Identify Namespace" (CNS 08h). */
struct leap_id_ns_indep {
	uint8_t nsfeat;
	uint8_t nmic;
	uint8_t rescap;
	uint8_t fpi;
	leap_le32 anagrpid;
	uint8_t nsattr;
	uint8_t rsvd9;
	leap_le16 nvmsetid;
	leap_le16 endgid;
	uint8_t nstat;
	uint8_t rsvd15[4081];
};
LEAP_ASSERT_SIZE(struct leap_id_ns_indep, LEAP_IDENTIFY_SIZE);
LEAP_ASSERT_AT(struct leap_id_ns_indep, anagrpid, 4);
LEAP_ASSERT_AT(struct leap_id_ns_indep, nsattr, 8);
LEAP_ASSERT_AT(struct leap_id_ns_indep, nvmsetid, 10);
LEAP_ASSERT_AT(struct leap_id_ns_indep, endgid, 12);
LEAP_ASSERT_AT(struct leap_id_ns_indep, nstat, 14);
#define LEAP_NS_INDEP_ROTATIONAL (1u << 4)	/* nsfeat */
#define LEAP_NS_INDEP_NO_VWC	(1u << 5)
#define LEAP_NSTAT_READY	(1u << 0)

/* Base 2.0, "Namespace Identification Descriptor" (CNS 03h): NIDL follow. */
struct leap_ns_id_desc {
	uint8_t nidt;
	uint8_t nidl;
	uint8_t rsvd2[2];
};
LEAP_ASSERT_SIZE(struct leap_ns_id_desc, 4);
LEAP_ASSERT_AT(struct leap_ns_id_desc, nidl, 1);
#define LEAP_NIDT_EUI64		1
#define LEAP_NIDT_NGUID		2
#define LEAP_NIDT_UUID		3
#define LEAP_NIDT_CSI		4
#define LEAP_NIDL_EUI64		8
#define LEAP_NIDL_NGUID		16
#define LEAP_NIDL_UUID		16
#define LEAP_NIDL_CSI		1

/* Base 2.0, "Namespace List" (CNS 02h, 07h, 10h, 1Ah; log 04h). */
#define LEAP_NS_LIST_MAX	1024
struct leap_ns_list {
	leap_le32 nsid[LEAP_NS_LIST_MAX];	/* ascending, zero ends */
};
LEAP_ASSERT_SIZE(struct leap_ns_list, LEAP_IDENTIFY_SIZE);

/* Base 2.0, "Controller List Format" (CNS 12h, 13h; attachment). */
#define LEAP_CTRL_LIST_MAX	2047
struct leap_ctrl_list {
	leap_le16 num;
	leap_le16 cntlid[LEAP_CTRL_LIST_MAX];	/* ascending */
};
LEAP_ASSERT_SIZE(struct leap_ctrl_list, LEAP_IDENTIFY_SIZE);
LEAP_ASSERT_AT(struct leap_ctrl_list, cntlid, 2);

/* Base 2.0, "Identify I/O Command Set data structure" (CNS 1Ch). */
struct leap_id_csc {
	leap_le64 vector[512];	/* 1 << LEAP_CSI_x */
};
LEAP_ASSERT_SIZE(struct leap_id_csc, LEAP_IDENTIFY_SIZE);

/*
 * ---- Log pages ----
 */

/* Base 2.0, "Supported Log Pages" (LID 00h). */
struct leap_log_supported {
	leap_le32 lids[256];
};
LEAP_ASSERT_SIZE(struct leap_log_supported, 1024);
#define LEAP_LIDS_LSUPP		(1u << 0)
#define LEAP_LIDS_IOS		(1u << 1)

/* Base 2.0, "Error Information Log Entry" (LID 01h), newest first. */
struct leap_log_error {
	leap_le64 count;	/* from 1; 0 is an empty entry */
	leap_le16 sqid;
	leap_le16 cid;
	leap_le16 status;	/* as in the completion, with phase */
	leap_le16 loc;		/* bits 7:0 byte, 10:8 bit */
	leap_le64 lba;
	leap_le32 nsid;
	uint8_t vs;
	uint8_t trtype;
	uint8_t csi;
	uint8_t opc;
	leap_le64 cs;
	leap_le16 trtype_spec;
	uint8_t rsvd42[21];
	uint8_t version;
};
LEAP_ASSERT_SIZE(struct leap_log_error, 64);
LEAP_ASSERT_AT(struct leap_log_error, sqid, 8);
LEAP_ASSERT_AT(struct leap_log_error, cid, 10);
LEAP_ASSERT_AT(struct leap_log_error, status, 12);
LEAP_ASSERT_AT(struct leap_log_error, loc, 14);
LEAP_ASSERT_AT(struct leap_log_error, lba, 16);
LEAP_ASSERT_AT(struct leap_log_error, nsid, 24);
LEAP_ASSERT_AT(struct leap_log_error, vs, 28);
LEAP_ASSERT_AT(struct leap_log_error, trtype, 29);
LEAP_ASSERT_AT(struct leap_log_error, csi, 30);
LEAP_ASSERT_AT(struct leap_log_error, opc, 31);
LEAP_ASSERT_AT(struct leap_log_error, cs, 32);
LEAP_ASSERT_AT(struct leap_log_error, trtype_spec, 40);
LEAP_ASSERT_AT(struct leap_log_error, version, 63);

/* Base 2.0, "SMART / Health Information Log Page" (LID 02h). */
struct leap_log_smart {
	uint8_t critical;	/* LEAP_SMART_x */
	uint8_t temp[2];	/* unaligned le16, kelvin */
	uint8_t spare;		/* percent */
	uint8_t spare_thresh;
	uint8_t used;		/* percent, may pass 100 */
	uint8_t endgrp_critical;
	uint8_t rsvd7[25];
	struct leap_le128 units_read;	/* 1000 * 512 bytes, rounded up */
	struct leap_le128 units_written;
	struct leap_le128 host_reads;
	struct leap_le128 host_writes;
	struct leap_le128 busy_min;
	struct leap_le128 power_cycles;
	struct leap_le128 power_on_hours;
	struct leap_le128 unsafe_shutdowns;
	struct leap_le128 media_errors;
	struct leap_le128 error_entries;
	leap_le32 warn_temp_min;
	leap_le32 crit_temp_min;
	leap_le16 sensor[8];	/* kelvin */
	leap_le32 tmt1_count;
	leap_le32 tmt2_count;
	leap_le32 tmt1_sec;
	leap_le32 tmt2_sec;
	uint8_t rsvd232[280];
};
LEAP_ASSERT_SIZE(struct leap_log_smart, 512);
LEAP_ASSERT_AT(struct leap_log_smart, temp, 1);
LEAP_ASSERT_AT(struct leap_log_smart, spare, 3);
LEAP_ASSERT_AT(struct leap_log_smart, spare_thresh, 4);
LEAP_ASSERT_AT(struct leap_log_smart, used, 5);
LEAP_ASSERT_AT(struct leap_log_smart, units_read, 32);
LEAP_ASSERT_AT(struct leap_log_smart, units_written, 48);
LEAP_ASSERT_AT(struct leap_log_smart, host_reads, 64);
LEAP_ASSERT_AT(struct leap_log_smart, host_writes, 80);
LEAP_ASSERT_AT(struct leap_log_smart, busy_min, 96);
LEAP_ASSERT_AT(struct leap_log_smart, power_cycles, 112);
LEAP_ASSERT_AT(struct leap_log_smart, power_on_hours, 128);
LEAP_ASSERT_AT(struct leap_log_smart, unsafe_shutdowns, 144);
LEAP_ASSERT_AT(struct leap_log_smart, media_errors, 160);
LEAP_ASSERT_AT(struct leap_log_smart, error_entries, 176);
LEAP_ASSERT_AT(struct leap_log_smart, warn_temp_min, 192);
LEAP_ASSERT_AT(struct leap_log_smart, crit_temp_min, 196);
LEAP_ASSERT_AT(struct leap_log_smart, sensor, 200);
LEAP_ASSERT_AT(struct leap_log_smart, tmt1_count, 216);
#define LEAP_SMART_SPARE	(1u << 0)
#define LEAP_SMART_TEMPERATURE	(1u << 1)
#define LEAP_SMART_RELIABILITY	(1u << 2)
#define LEAP_SMART_READ_ONLY	(1u << 3)
#define LEAP_SMART_BACKUP	(1u << 4)
#define LEAP_SMART_PMR		(1u << 5)

/* Base 2.0, "Firmware Slot Information Log Page" (LID 03h). */
struct leap_log_fw_slot {
	uint8_t afi;		/* bits 2:0 active, 6:4 at next reset */
	uint8_t rsvd1[7];
	char frs[7][LEAP_FR_LEN];
	uint8_t rsvd64[448];
};
LEAP_ASSERT_SIZE(struct leap_log_fw_slot, 512);
LEAP_ASSERT_AT(struct leap_log_fw_slot, frs, 8);

/*
 * LID 04h is a struct leap_ns_list; more than LEAP_NS_LIST_MAX changes make
 * its first entry LEAP_NSID_ALL and the rest zero.
 */

/* Base 2.0, "Commands Supported and Effects Log Page" (LID 05h). */
struct leap_log_effects {
	leap_le32 acs[256];
	leap_le32 iocs[256];
	uint8_t rsvd2048[2048];
};
LEAP_ASSERT_SIZE(struct leap_log_effects, 4096);
LEAP_ASSERT_AT(struct leap_log_effects, iocs, 1024);
#define LEAP_EFFECTS_CSUPP	(1u << 0)
#define LEAP_EFFECTS_LBCC	(1u << 1)
#define LEAP_EFFECTS_NCC	(1u << 2)
#define LEAP_EFFECTS_NIC	(1u << 3)
#define LEAP_EFFECTS_CCC	(1u << 4)
#define LEAP_EFFECTS_CSE_SHIFT	16
#define LEAP_EFFECTS_CSE_MASK	0x7u
#define LEAP_EFFECTS_CSE_NS	1u
#define LEAP_EFFECTS_CSE_CTRL	2u
#define LEAP_EFFECTS_UUID	(1u << 19)

/* Base 2.0, "Device Self-test Log" (LID 06h). */
struct leap_selftest_result {
	uint8_t status;
	uint8_t segment;
	uint8_t valid;
	uint8_t rsvd3;
	uint8_t poh[8];		/* unaligned le64 in odd entries */
	leap_le32 nsid;
	uint8_t failing_lba[8];
	uint8_t sct;
	uint8_t sc;
	uint8_t vs[2];
};
LEAP_ASSERT_SIZE(struct leap_selftest_result, 28);
LEAP_ASSERT_AT(struct leap_selftest_result, nsid, 12);
LEAP_ASSERT_AT(struct leap_selftest_result, failing_lba, 16);
LEAP_ASSERT_AT(struct leap_selftest_result, sct, 24);

struct leap_log_selftest {
	uint8_t current;
	uint8_t completion;	/* percent */
	uint8_t rsvd2[2];
	struct leap_selftest_result result[20];
};
LEAP_ASSERT_SIZE(struct leap_log_selftest, 564);
LEAP_ASSERT_AT(struct leap_log_selftest, result, 4);

/* Base 2.0, "Asymmetric Namespace Access Log Page" (LID 0Ch). */
struct leap_log_ana {
	leap_le64 chgcnt;
	leap_le16 ngrps;
	uint8_t rsvd10[6];	/* then the groups, ascending */
};
LEAP_ASSERT_SIZE(struct leap_log_ana, 16);
LEAP_ASSERT_AT(struct leap_log_ana, ngrps, 8);
#define LEAP_ANA_LSP_RGO	(1u << 0)

struct leap_ana_group {
	leap_le32 grpid;
	leap_le32 nnsids;
	leap_le64 chgcnt;
	uint8_t state;		/* bits 3:0, LEAP_ANA_x */
	uint8_t rsvd17[15];	/* then nnsids leap_le32 */
};
LEAP_ASSERT_SIZE(struct leap_ana_group, 32);
LEAP_ASSERT_AT(struct leap_ana_group, nnsids, 4);
LEAP_ASSERT_AT(struct leap_ana_group, chgcnt, 8);
LEAP_ASSERT_AT(struct leap_ana_group, state, 16);
#define LEAP_ANA_OPTIMIZED	0x1
#define LEAP_ANA_NONOPTIMIZED	0x2
#define LEAP_ANA_INACCESSIBLE	0x3
#define LEAP_ANA_LOSS		0x4
#define LEAP_ANA_CHANGE		0xf

/* Base 2.0, "Feature Identifiers Supported and Effects" (LID 12h). */
struct leap_log_fid_effects {
	leap_le32 fis[256];
};
LEAP_ASSERT_SIZE(struct leap_log_fid_effects, 1024);
#define LEAP_FIS_FSUPP		(1u << 0)
#define LEAP_FIS_UDCC		(1u << 1)
#define LEAP_FIS_NCC		(1u << 2)
#define LEAP_FIS_NIC		(1u << 3)
#define LEAP_FIS_CCC		(1u << 4)
#define LEAP_FIS_UUID		(1u << 19)
#define LEAP_FIS_FSP_SHIFT	20
#define LEAP_FIS_FSP_MASK	0xfffu

/* Base 2.0, "Reservation Notification Log Page" (LID 80h). */
struct leap_log_resv {
	leap_le64 count;
	uint8_t type;		/* LEAP_RESV_NOTE_x */
	uint8_t pages;		/* more pages that wait */
	uint8_t rsvd10[2];
	leap_le32 nsid;
	uint8_t rsvd16[48];
};
LEAP_ASSERT_SIZE(struct leap_log_resv, 64);
LEAP_ASSERT_AT(struct leap_log_resv, type, 8);
LEAP_ASSERT_AT(struct leap_log_resv, pages, 9);
LEAP_ASSERT_AT(struct leap_log_resv, nsid, 12);
#define LEAP_RESV_NOTE_EMPTY		0
#define LEAP_RESV_NOTE_REG_PREEMPTED	1
#define LEAP_RESV_NOTE_RELEASED		2
#define LEAP_RESV_NOTE_PREEMPTED	3

/* Base 2.0, "Sanitize Status Log Page" (LID 81h). */
struct leap_log_sanitize {
	leap_le16 sprog;	/* of 65536; FFFFh done or idle */
	leap_le16 sstat;
	leap_le32 scdw10;
	leap_le32 eto;		/* estimates in seconds, FFFFFFFFh unknown */
	leap_le32 etbe;
	leap_le32 etce;
	leap_le32 etond;
	leap_le32 etbend;
	leap_le32 etcend;
	uint8_t rsvd32[480];
};
LEAP_ASSERT_SIZE(struct leap_log_sanitize, 512);
LEAP_ASSERT_AT(struct leap_log_sanitize, sstat, 2);
LEAP_ASSERT_AT(struct leap_log_sanitize, scdw10, 4);
LEAP_ASSERT_AT(struct leap_log_sanitize, eto, 8);

/*
 * ---- Zoned namespaces: ZNS Command Set 1.1 ----
 */

/* "Identify Namespace Data Structure, Zoned Namespace" (CNS 05h CSI 02h). */
struct leap_lbafe {
	leap_le64 zsze;		/* LBAs */
	uint8_t zdes;		/* 64 bytes */
	uint8_t rsvd9[7];
};
LEAP_ASSERT_SIZE(struct leap_lbafe, 16);
LEAP_ASSERT_AT(struct leap_lbafe, zdes, 8);

struct leap_id_ns_zns {
	leap_le16 zoc;
	leap_le16 ozcs;
	leap_le32 mar;		/* 0's based, FFFFFFFFh no limit */
	leap_le32 mor;
	leap_le32 rrl;
	leap_le32 frl;
	leap_le32 rrl_more[3];
	leap_le32 frl_more[3];
	leap_le32 numzrwa;
	leap_le16 zrwafg;
	leap_le16 zrwasz;
	uint8_t zrwacap;
	uint8_t rsvd53[2763];
	struct leap_lbafe lbafe[LEAP_LBAF_COUNT];
	uint8_t vs[256];
};
LEAP_ASSERT_SIZE(struct leap_id_ns_zns, LEAP_IDENTIFY_SIZE);
LEAP_ASSERT_AT(struct leap_id_ns_zns, ozcs, 2);
LEAP_ASSERT_AT(struct leap_id_ns_zns, mar, 4);
LEAP_ASSERT_AT(struct leap_id_ns_zns, mor, 8);
LEAP_ASSERT_AT(struct leap_id_ns_zns, rrl, 12);
LEAP_ASSERT_AT(struct leap_id_ns_zns, frl, 16);
LEAP_ASSERT_AT(struct leap_id_ns_zns, rrl_more, 20);
LEAP_ASSERT_AT(struct leap_id_ns_zns, numzrwa, 44);
LEAP_ASSERT_AT(struct leap_id_ns_zns, zrwafg, 48);
LEAP_ASSERT_AT(struct leap_id_ns_zns, zrwasz, 50);
LEAP_ASSERT_AT(struct leap_id_ns_zns, zrwacap, 52);
LEAP_ASSERT_AT(struct leap_id_ns_zns, lbafe, 2816);
LEAP_ASSERT_AT(struct leap_id_ns_zns, vs, 3840);
#define LEAP_ZOC_VARIABLE_CAP	(1u << 0)
#define LEAP_ZOC_EXCURSIONS	(1u << 1)
#define LEAP_OZCS_READ_CROSS	(1u << 0)
#define LEAP_OZCS_ZRWA		(1u << 1)
#define LEAP_ZNS_NO_LIMIT	0xffffffffu

/* CNS 06h CSI 02h. */
struct leap_id_ctrl_zns {
	uint8_t zasl;		/* 2^n pages of CAP.MPSMIN; 0 is MDTS */
	uint8_t rsvd1[4095];
};
LEAP_ASSERT_SIZE(struct leap_id_ctrl_zns, LEAP_IDENTIFY_SIZE);

/* "Zone Descriptor". */
struct leap_zone_desc {
	uint8_t zt;		/* bits 3:0 */
	uint8_t zs;		/* bits 7:4, LEAP_ZS_x << 4 */
	uint8_t za;		/* LEAP_ZA_x */
	uint8_t zai;
	uint8_t rsvd4[4];
	leap_le64 zcap;
	leap_le64 zslba;
	leap_le64 wp;		/* all ones when not valid */
	uint8_t rsvd32[32];
};
LEAP_ASSERT_SIZE(struct leap_zone_desc, 64);
LEAP_ASSERT_AT(struct leap_zone_desc, zs, 1);
LEAP_ASSERT_AT(struct leap_zone_desc, za, 2);
LEAP_ASSERT_AT(struct leap_zone_desc, zcap, 8);
LEAP_ASSERT_AT(struct leap_zone_desc, zslba, 16);
LEAP_ASSERT_AT(struct leap_zone_desc, wp, 24);
#define LEAP_ZT_SEQ_WRITE	0x2
#define LEAP_ZS_EMPTY		0x1
#define LEAP_ZS_IMPLICIT_OPEN	0x2
#define LEAP_ZS_EXPLICIT_OPEN	0x3
#define LEAP_ZS_CLOSED		0x4
#define LEAP_ZS_READ_ONLY	0xd
#define LEAP_ZS_FULL		0xe
#define LEAP_ZS_OFFLINE		0xf
#define LEAP_ZA_ZFC		(1u << 0)
#define LEAP_ZA_FZR		(1u << 1)
#define LEAP_ZA_RZR		(1u << 2)
#define LEAP_ZA_ZRWAV		(1u << 3)
#define LEAP_ZA_ZDEV		(1u << 7)

/* "Report Zones Data Structure": descriptors follow. */
struct leap_zone_report {
	leap_le64 nzones;
	uint8_t rsvd8[56];
};
LEAP_ASSERT_SIZE(struct leap_zone_report, 64);

/* Zone Management Send and Receive. */
#define LEAP_ZMS_CDW13_ZSA_SHIFT	0
#define LEAP_ZMS_CDW13_ZSA_MASK		0xffu
#define LEAP_ZMS_CDW13_SELECT_ALL	(1u << 8)
#define LEAP_ZMS_CDW13_ZRWAA		(1u << 9)
#define LEAP_ZSA_CLOSE			0x01u
#define LEAP_ZSA_FINISH			0x02u
#define LEAP_ZSA_OPEN			0x03u
#define LEAP_ZSA_RESET			0x04u
#define LEAP_ZSA_OFFLINE		0x05u
#define LEAP_ZSA_SET_ZDE		0x10u
#define LEAP_ZSA_ZRWA_FLUSH		0x11u
#define LEAP_ZMR_CDW13_ZRA_SHIFT	0
#define LEAP_ZMR_CDW13_ZRA_MASK		0xffu
#define LEAP_ZMR_CDW13_ZRASF_SHIFT	8
#define LEAP_ZMR_CDW13_ZRASF_MASK	0xffu
#define LEAP_ZMR_CDW13_PARTIAL		(1u << 16)
#define LEAP_ZRA_REPORT			0u
#define LEAP_ZRA_EXTENDED		1u
#define LEAP_ZRASF_ALL			0u
#define LEAP_ZRASF_EMPTY		1u
#define LEAP_ZRASF_IMPLICIT_OPEN	2u
#define LEAP_ZRASF_EXPLICIT_OPEN	3u
#define LEAP_ZRASF_CLOSED		4u
#define LEAP_ZRASF_FULL			5u
#define LEAP_ZRASF_READ_ONLY		6u
#define LEAP_ZRASF_OFFLINE		7u

/* "Changed Zone List" (LID BFh). */
#define LEAP_CHANGED_ZONES_MAX		511
struct leap_log_changed_zones {
	leap_le16 nrzid;	/* FFFFh: more than the list holds */
	uint8_t rsvd2[6];
	leap_le64 zslba[LEAP_CHANGED_ZONES_MAX];
};
LEAP_ASSERT_SIZE(struct leap_log_changed_zones, 4096);
LEAP_ASSERT_AT(struct leap_log_changed_zones, zslba, 8);

/*
 * ---- Status codes: Base 2.0, "Status Code - Generic Command Status Values"
 * and its siblings; leap_status_t values without DNR ----
 */

#define LEAP_SCT_GENERIC	0
#define LEAP_SCT_COMMAND	1
#define LEAP_SCT_MEDIA		2
#define LEAP_SCT_PATH		3
#define LEAP_SCT_VENDOR		7
#define LEAP_STATUS_SCT(st)	((st) >> 8 & 0x7)
#define LEAP_STATUS_SC(st)	((st) & 0xff)
#define LEAP_STATUS_CRD_SHIFT	11
#define LEAP_STATUS_CRD_MASK	0x3u

/* Generic. */
#define LEAP_SC_SUCCESS			LEAP_STATUS(0, 0x00)
#define LEAP_SC_INVALID_OPCODE		LEAP_STATUS(0, 0x01)
#define LEAP_SC_INVALID_FIELD		LEAP_STATUS(0, 0x02)
#define LEAP_SC_CID_CONFLICT		LEAP_STATUS(0, 0x03)
#define LEAP_SC_DATA_TRANSFER		LEAP_STATUS(0, 0x04)
#define LEAP_SC_POWER_LOSS		LEAP_STATUS(0, 0x05)
#define LEAP_SC_INTERNAL		LEAP_STATUS(0, 0x06)
#define LEAP_SC_ABORT_REQUESTED		LEAP_STATUS(0, 0x07)
#define LEAP_SC_ABORT_SQ_DELETED	LEAP_STATUS(0, 0x08)
#define LEAP_SC_ABORT_FUSED_FAILED	LEAP_STATUS(0, 0x09)
#define LEAP_SC_ABORT_FUSED_MISSING	LEAP_STATUS(0, 0x0a)
#define LEAP_SC_INVALID_NS		LEAP_STATUS(0, 0x0b)
#define LEAP_SC_CMD_SEQUENCE		LEAP_STATUS(0, 0x0c)
#define LEAP_SC_SGL_SEGMENT		LEAP_STATUS(0, 0x0d)
#define LEAP_SC_SGL_COUNT		LEAP_STATUS(0, 0x0e)
#define LEAP_SC_SGL_DATA_LEN		LEAP_STATUS(0, 0x0f)
#define LEAP_SC_SGL_META_LEN		LEAP_STATUS(0, 0x10)
#define LEAP_SC_SGL_TYPE		LEAP_STATUS(0, 0x11)
#define LEAP_SC_CMB_USE			LEAP_STATUS(0, 0x12)
#define LEAP_SC_PRP_OFFSET		LEAP_STATUS(0, 0x13)
#define LEAP_SC_ATOMIC_UNIT		LEAP_STATUS(0, 0x14)
#define LEAP_SC_OP_DENIED		LEAP_STATUS(0, 0x15)
#define LEAP_SC_SGL_OFFSET		LEAP_STATUS(0, 0x16)
#define LEAP_SC_HOSTID_INCONSISTENT	LEAP_STATUS(0, 0x18)
#define LEAP_SC_KATO_EXPIRED		LEAP_STATUS(0, 0x19)
#define LEAP_SC_KATO_INVALID		LEAP_STATUS(0, 0x1a)
#define LEAP_SC_ABORT_PREEMPTED		LEAP_STATUS(0, 0x1b)
#define LEAP_SC_SANITIZE_FAILED		LEAP_STATUS(0, 0x1c)
#define LEAP_SC_SANITIZE_IN_PROGRESS	LEAP_STATUS(0, 0x1d)
#define LEAP_SC_SGL_GRANULARITY		LEAP_STATUS(0, 0x1e)
#define LEAP_SC_CMB_UNSUPPORTED		LEAP_STATUS(0, 0x1f)
#define LEAP_SC_NS_WRITE_PROTECTED	LEAP_STATUS(0, 0x20)
#define LEAP_SC_INTERRUPTED		LEAP_STATUS(0, 0x21)
#define LEAP_SC_TRANSIENT_TRANSPORT	LEAP_STATUS(0, 0x22)
#define LEAP_SC_LOCKDOWN		LEAP_STATUS(0, 0x23)
#define LEAP_SC_MEDIA_NOT_READY		LEAP_STATUS(0, 0x24)
#define LEAP_SC_FDP_DISABLED		LEAP_STATUS(0, 0x29)
#define LEAP_SC_PLACEMENT_LIST		LEAP_STATUS(0, 0x2a)
#define LEAP_SC_LBA_RANGE		LEAP_STATUS(0, 0x80)
#define LEAP_SC_CAPACITY_EXCEEDED	LEAP_STATUS(0, 0x81)
#define LEAP_SC_NS_NOT_READY		LEAP_STATUS(0, 0x82)
#define LEAP_SC_RESV_CONFLICT		LEAP_STATUS(0, 0x83)
#define LEAP_SC_FORMAT_IN_PROGRESS	LEAP_STATUS(0, 0x84)
#define LEAP_SC_KV_VALUE_SIZE		LEAP_STATUS(0, 0x85)
#define LEAP_SC_KV_KEY_SIZE		LEAP_STATUS(0, 0x86)
#define LEAP_SC_KV_NO_KEY		LEAP_STATUS(0, 0x87)
#define LEAP_SC_KV_UNRECOVERED		LEAP_STATUS(0, 0x88)
#define LEAP_SC_KV_KEY_EXISTS		LEAP_STATUS(0, 0x89)

/* Command specific. */
#define LEAP_SC_CQ_INVALID		LEAP_STATUS(1, 0x00)
#define LEAP_SC_QID_INVALID		LEAP_STATUS(1, 0x01)
#define LEAP_SC_QSIZE_INVALID		LEAP_STATUS(1, 0x02)
#define LEAP_SC_ABORT_LIMIT		LEAP_STATUS(1, 0x03)
#define LEAP_SC_AER_LIMIT		LEAP_STATUS(1, 0x05)
#define LEAP_SC_FW_SLOT			LEAP_STATUS(1, 0x06)
#define LEAP_SC_FW_IMAGE		LEAP_STATUS(1, 0x07)
#define LEAP_SC_INT_VECTOR		LEAP_STATUS(1, 0x08)
#define LEAP_SC_LOG_PAGE		LEAP_STATUS(1, 0x09)
#define LEAP_SC_FORMAT_INVALID		LEAP_STATUS(1, 0x0a)
#define LEAP_SC_FW_CONV_RESET		LEAP_STATUS(1, 0x0b)
#define LEAP_SC_QUEUE_DELETION		LEAP_STATUS(1, 0x0c)
#define LEAP_SC_FEAT_NOT_SAVEABLE	LEAP_STATUS(1, 0x0d)
#define LEAP_SC_FEAT_NOT_CHANGEABLE	LEAP_STATUS(1, 0x0e)
#define LEAP_SC_FEAT_NOT_NS		LEAP_STATUS(1, 0x0f)
#define LEAP_SC_FW_SUBSYS_RESET		LEAP_STATUS(1, 0x10)
#define LEAP_SC_FW_CTRL_RESET		LEAP_STATUS(1, 0x11)
#define LEAP_SC_FW_MAX_TIME		LEAP_STATUS(1, 0x12)
#define LEAP_SC_FW_PROHIBITED		LEAP_STATUS(1, 0x13)
#define LEAP_SC_OVERLAPPING_RANGE	LEAP_STATUS(1, 0x14)
#define LEAP_SC_NS_NO_CAPACITY		LEAP_STATUS(1, 0x15)
#define LEAP_SC_NSID_UNAVAILABLE	LEAP_STATUS(1, 0x16)
#define LEAP_SC_NS_ATTACHED		LEAP_STATUS(1, 0x18)
#define LEAP_SC_NS_PRIVATE		LEAP_STATUS(1, 0x19)
#define LEAP_SC_NS_NOT_ATTACHED		LEAP_STATUS(1, 0x1a)
#define LEAP_SC_NS_THIN_UNSUPPORTED	LEAP_STATUS(1, 0x1b)
#define LEAP_SC_CTRL_LIST		LEAP_STATUS(1, 0x1c)
#define LEAP_SC_SELF_TEST_RUNNING	LEAP_STATUS(1, 0x1d)
#define LEAP_SC_BOOT_PARTITION		LEAP_STATUS(1, 0x1e)
#define LEAP_SC_CTRL_ID			LEAP_STATUS(1, 0x1f)
#define LEAP_SC_SECONDARY_STATE		LEAP_STATUS(1, 0x20)
#define LEAP_SC_NUM_RESOURCES		LEAP_STATUS(1, 0x21)
#define LEAP_SC_RESOURCE_ID		LEAP_STATUS(1, 0x22)
#define LEAP_SC_SANITIZE_PMR		LEAP_STATUS(1, 0x23)
#define LEAP_SC_ANA_GROUP_ID		LEAP_STATUS(1, 0x24)
#define LEAP_SC_ANA_ATTACH		LEAP_STATUS(1, 0x25)
#define LEAP_SC_POOL_NO_CAPACITY	LEAP_STATUS(1, 0x26)
#define LEAP_SC_NS_ATTACH_LIMIT		LEAP_STATUS(1, 0x27)
#define LEAP_SC_PROHIBIT_UNSUPPORTED	LEAP_STATUS(1, 0x28)
#define LEAP_SC_IOCS_UNSUPPORTED	LEAP_STATUS(1, 0x29)
#define LEAP_SC_IOCS_NOT_ENABLED	LEAP_STATUS(1, 0x2a)
#define LEAP_SC_IOCS_COMBINATION	LEAP_STATUS(1, 0x2b)
#define LEAP_SC_IOCS_INVALID		LEAP_STATUS(1, 0x2c)
#define LEAP_SC_ID_UNAVAILABLE		LEAP_STATUS(1, 0x2d)
#define LEAP_SC_STREAM_RESOURCE		LEAP_STATUS(1, 0x7f)
#define LEAP_SC_CONFLICTING_ATTR	LEAP_STATUS(1, 0x80)
#define LEAP_SC_PI_INVALID		LEAP_STATUS(1, 0x81)
#define LEAP_SC_READ_ONLY_RANGE		LEAP_STATUS(1, 0x82)
#define LEAP_SC_SIZE_LIMIT		LEAP_STATUS(1, 0x83)
#define LEAP_SC_ZONE_BOUNDARY		LEAP_STATUS(1, 0xb8)
#define LEAP_SC_ZONE_FULL		LEAP_STATUS(1, 0xb9)
#define LEAP_SC_ZONE_READ_ONLY		LEAP_STATUS(1, 0xba)
#define LEAP_SC_ZONE_OFFLINE		LEAP_STATUS(1, 0xbb)
#define LEAP_SC_ZONE_INVALID_WRITE	LEAP_STATUS(1, 0xbc)
#define LEAP_SC_ZONE_TOO_MANY_ACTIVE	LEAP_STATUS(1, 0xbd)
#define LEAP_SC_ZONE_TOO_MANY_OPEN	LEAP_STATUS(1, 0xbe)
#define LEAP_SC_ZONE_TRANSITION		LEAP_STATUS(1, 0xbf)
/* Command specific, with the meaning that fabrics commands give them. */
#define LEAP_SC_FAB_FORMAT		LEAP_STATUS(1, 0x80)
#define LEAP_SC_FAB_BUSY		LEAP_STATUS(1, 0x81)
#define LEAP_SC_FAB_PARAM		LEAP_STATUS(1, 0x82)
#define LEAP_SC_FAB_RESTART		LEAP_STATUS(1, 0x83)
#define LEAP_SC_FAB_HOST		LEAP_STATUS(1, 0x84)
#define LEAP_SC_FAB_QTYPE		LEAP_STATUS(1, 0x85)
#define LEAP_SC_FAB_DISC_RESTART	LEAP_STATUS(1, 0x90)
#define LEAP_SC_FAB_AUTH_REQUIRED	LEAP_STATUS(1, 0x91)

/* Media and data integrity. */
#define LEAP_SC_WRITE_FAULT		LEAP_STATUS(2, 0x80)
#define LEAP_SC_UNRECOVERED_READ	LEAP_STATUS(2, 0x81)
#define LEAP_SC_GUARD_CHECK		LEAP_STATUS(2, 0x82)
#define LEAP_SC_APPTAG_CHECK		LEAP_STATUS(2, 0x83)
#define LEAP_SC_REFTAG_CHECK		LEAP_STATUS(2, 0x84)
#define LEAP_SC_COMPARE_FAILED		LEAP_STATUS(2, 0x85)
#define LEAP_SC_ACCESS_DENIED		LEAP_STATUS(2, 0x86)
#define LEAP_SC_DEALLOCATED		LEAP_STATUS(2, 0x87)
#define LEAP_SC_STORAGE_TAG_CHECK	LEAP_STATUS(2, 0x88)

/* Path related. */
#define LEAP_SC_PATH_INTERNAL		LEAP_STATUS(3, 0x00)
#define LEAP_SC_ANA_LOSS		LEAP_STATUS(3, 0x01)
#define LEAP_SC_ANA_INACCESSIBLE	LEAP_STATUS(3, 0x02)
#define LEAP_SC_ANA_TRANSITION		LEAP_STATUS(3, 0x03)
#define LEAP_SC_PATH_CTRL		LEAP_STATUS(3, 0x60)
#define LEAP_SC_PATH_HOST		LEAP_STATUS(3, 0x70)
#define LEAP_SC_PATH_HOST_ABORTED	LEAP_STATUS(3, 0x71)

#endif
