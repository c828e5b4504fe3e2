/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ocssd.h - Open-Channel SSD 2.0 and 1.2 as they are on the wire
 *
 * A drive that shows its flash: groups of parallel units of chunks, which are
 * reset, written from their start and read block by block, up to 64 addresses
 * a command. An address has a field of fixed width for each of these; what is
 * beyond the count of a field is a hole.
 */
#ifndef LEAPIO_OCSSD_H
#define LEAPIO_OCSSD_H

#include <leapio/nvme.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Admin commands. */
#define LEAP_OCSSD_ADM_GEOMETRY	0xe2	/* 1.2: Identity */
#define LEAP_OCSSD_ADM_L2P	0xea	/* 1.2 */
#define LEAP_OCSSD_ADM_SET_BAD	0xf1	/* 1.2: Set Bad Block Table */
#define LEAP_OCSSD_ADM_GET_BAD	0xf2	/* 1.2 */
#define LEAP_OCSSD_LID_CHUNKS	0xca
#define LEAP_OCSSD_LID_NOTICES	0xd0
#define LEAP_OCSSD_FID_FEEDBACK	0xca

/* I/O commands; CDW10-11 is the address, or that of a list. */
#define LEAP_OCSSD_RESET	0x90	/* 1.2: Erase */
#define LEAP_OCSSD_WRITE	0x91
#define LEAP_OCSSD_READ		0x92
#define LEAP_OCSSD_COPY		0x93	/* CDW14-15: where to */
#define LEAP_OCSSD_MAX_ADDRS	64u

/* Namespaces that are open-channel say 1 in byte 384 of Identify. */
#define LEAP_OCSSD_NS_VENDOR	1

#define LEAP_SC_OCSSD_OFFLINE	LEAP_STATUS(2, 0xc0)
#define LEAP_SC_OCSSD_RESET	LEAP_STATUS(2, 0xc1)
#define LEAP_SC_OCSSD_ORDER	LEAP_STATUS(2, 0xf2)

struct leap_ocssd_geometry {
	uint8_t major;
	uint8_t minor;
	uint8_t rsvd2[6];
	uint8_t group_bits;	/* most significant */
	uint8_t pu_bits;
	uint8_t chunk_bits;
	uint8_t block_bits;	/* least */
	uint8_t rsvd12[4];
	leap_le32 mccap;
	uint8_t rsvd20[12];
	uint8_t wit;
	uint8_t rsvd33[31];
	leap_le16 num_grp;
	leap_le16 num_pu;	/* of a group */
	leap_le32 num_chk;	/* of a unit */
	leap_le32 clba;		/* blocks of a chunk */
	uint8_t rsvd76[52];
	leap_le32 ws_min;
	leap_le32 ws_opt;
	leap_le32 mw_cunits;
	leap_le32 maxoc;
	leap_le32 maxocpu;
	uint8_t rsvd148[44];
	leap_le32 trdt, trdm, twrt, twrm, tcrst, tcrsm;
	uint8_t rsvd216[2856];
	uint8_t vs[1024];
};
LEAP_ASSERT_SIZE(struct leap_ocssd_geometry, 4096);
LEAP_ASSERT_AT(struct leap_ocssd_geometry, mccap, 16);
LEAP_ASSERT_AT(struct leap_ocssd_geometry, wit, 32);
LEAP_ASSERT_AT(struct leap_ocssd_geometry, num_grp, 64);
LEAP_ASSERT_AT(struct leap_ocssd_geometry, ws_min, 128);
LEAP_ASSERT_AT(struct leap_ocssd_geometry, trdt, 192);
LEAP_ASSERT_AT(struct leap_ocssd_geometry, vs, 3072);
#define LEAP_OCSSD_MCCAP_COPY	1u
#define LEAP_OCSSD_MCCAP_RESETS	2u	/* of a free chunk, too */

/* Chunk information: log CAh, in the order of addresses. */
struct leap_ocssd_chunk {
	uint8_t cs;		/* LEAP_OCSSD_CS_* */
	uint8_t ct;
	uint8_t wli;
	uint8_t rsvd3[5];
	leap_le64 slba;
	leap_le64 cnlb;
	leap_le64 wp;		/* from slba */
};
LEAP_ASSERT_SIZE(struct leap_ocssd_chunk, 32);
#define LEAP_OCSSD_CS_FREE	1u
#define LEAP_OCSSD_CS_CLOSED	2u
#define LEAP_OCSSD_CS_OPEN	4u
#define LEAP_OCSSD_CS_OFFLINE	8u
#define LEAP_OCSSD_CT_SEQ	1u

/* Chunk notification: log D0h. */
struct leap_ocssd_notice {
	leap_le64 nc;		/* counts from 1 */
	leap_le64 lba;
	leap_le32 nsid;
	leap_le16 state;
	uint8_t mask;		/* LEAP_OCSSD_OF_* */
	uint8_t rsvd23[9];
	leap_le16 nlb;
	uint8_t rsvd34[30];
};
LEAP_ASSERT_SIZE(struct leap_ocssd_notice, 64);
#define LEAP_OCSSD_OF_CHUNK	2u
#define LEAP_OCSSD_WORN_OUT	8u	/* state: WIT exceeded */

/* Identity of 1.2, as far as a drive of one group of flash needs it. */
struct leap_ocssd12_ppaf {
	uint8_t ch_off, ch_len, lun_off, lun_len, pln_off, pln_len;
	uint8_t blk_off, blk_len, pg_off, pg_len, sec_off, sec_len;
	uint8_t rsvd12[4];
};

struct leap_ocssd12_group {
	uint8_t mtype, fmtype;
	uint8_t rsvd2[2];
	uint8_t num_ch, num_lun, num_pln;
	uint8_t rsvd7;
	leap_le16 num_blk, num_pg, fpg_sz, csecs, sos;
	uint8_t rsvd18[2];
	leap_le32 trdt, trdm, tprt, tprm, tbet, tbem, mpos, mccap;
	leap_le16 cpar;
	uint8_t rsvd54[906];
};
LEAP_ASSERT_SIZE(struct leap_ocssd12_group, 960);
LEAP_ASSERT_AT(struct leap_ocssd12_group, num_blk, 8);
LEAP_ASSERT_AT(struct leap_ocssd12_group, trdt, 20);
LEAP_ASSERT_AT(struct leap_ocssd12_group, cpar, 52);

struct leap_ocssd12_identity {
	uint8_t version;
	uint8_t vmnt;
	uint8_t cgrps;
	uint8_t rsvd3;
	leap_le32 cap;
	leap_le32 dom;
	struct leap_ocssd12_ppaf ppaf;
	uint8_t rsvd28[228];
	struct leap_ocssd12_group group[4];
};
LEAP_ASSERT_SIZE(struct leap_ocssd12_identity, 4096);
LEAP_ASSERT_AT(struct leap_ocssd12_identity, group, 256);

struct leap_ocssd12_bad {
	uint8_t magic[4];	/* "BBLT" */
	leap_le16 version;	/* 1 */
	leap_le16 revision;
	uint8_t rsvd8[4];
	leap_le32 total, factory, grown, device, host;
	uint8_t rsvd32[32];
	/* A byte of each block follows, LEAP_OCSSD12_*. */
};
LEAP_ASSERT_SIZE(struct leap_ocssd12_bad, 64);
LEAP_ASSERT_AT(struct leap_ocssd12_bad, total, 12);
#define LEAP_OCSSD12_GOOD	0u
#define LEAP_OCSSD12_BAD	1u
#define LEAP_OCSSD12_GROWN	2u

#ifdef __cplusplus
}
#endif

#endif
