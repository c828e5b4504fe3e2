/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An open-channel drive behind the embedding API: a guest that reads its
 * geometry and chunks, writes by lists of addresses that lie in its memory, and
 * runs a translation layer over it. Version 2.0, and 1.2 beside it.
 */
#include "ocssd-fixture.h"

static struct leap_ocssd_chunk chunk(struct vx *w, uint32_t i)
{
	struct leap_ocssd_chunk c[2];

	assert_int_equal(adm(w, LEAP_ADM_GET_LOG, LEAP_OCSSD_LID_CHUNKS |
			     15u << 16, i * 32, 0, c, 64), 0);
	return c[0];
}

static void geometry_and_chunks(void **state)
{
	struct leap_ocssd_geometry g;
	struct vx *w = *state;
	struct leap_id_ns id;
	struct leap_sqe sqe = { .opc = LEAP_OCSSD_ADM_GEOMETRY };
	uint32_t i;

	bring_up(w, DRIVE ",maxoc=5,maxocpu=2]");
	assert_int_equal(adm(w, LEAP_ADM_IDENTIFY, LEAP_CNS_NS, 0, 0, &id,
			     4096), 0);
	assert_int_equal(id.vs[0], 1);
	assert_int_equal(leap_from_le64(id.nsze), 2 << 11);
	assert_int_equal(adm(w, LEAP_OCSSD_ADM_GEOMETRY, 0, 0, 0, &g,
			     sizeof(g)), 0);
	assert_int_equal(g.major, 2);
	assert_int_equal(g.group_bits, 1);
	assert_int_equal(g.pu_bits, 2);
	assert_int_equal(g.chunk_bits, 4);
	assert_int_equal(g.block_bits, 5);
	assert_int_equal(leap_from_le16(g.num_grp), 2);
	assert_int_equal(leap_from_le16(g.num_pu), 3);
	assert_int_equal(leap_from_le32(g.num_chk), 12);
	assert_int_equal(leap_from_le32(g.clba), 24);
	assert_int_equal(leap_from_le32(g.ws_min), 4);
	assert_int_equal(leap_from_le32(g.mw_cunits), 8);
	assert_int_equal(leap_from_le32(g.maxoc), 5);
	for (i = 0; i < 72; i++) {
		struct leap_ocssd_chunk c = chunk(w, i);

		assert_int_equal(c.cs, LEAP_OCSSD_CS_FREE);
		assert_int_equal(leap_from_le64(c.slba),
				 ppa(i / 36, i / 12 % 3, i % 12, 0));
		assert_int_equal(leap_from_le64(c.cnlb), 24);
	}
	/* The log has an end; other namespaces have none of it. */
	assert_int_equal(adm(w, LEAP_ADM_GET_LOG, LEAP_OCSSD_LID_CHUNKS |
			     15u << 16, 72 * 32 + 4, 0, &g, 64),
			 LEAP_SC_INVALID_FIELD);
	sqe.nsid = leap_to_le32(1);
	assert_int_equal(gd_cmd(w->g, &w->g->asq, &sqe),
			 LEAP_SC_INVALID_OPCODE);
	sqe.opc = LEAP_OCSSD_RESET;
	assert_int_equal(gd_cmd(w->g, &w->sq, &sqe), LEAP_SC_INVALID_OPCODE);
	assert_int_equal(adm(w, LEAP_ADM_SET_FEATURES, LEAP_OCSSD_FID_FEEDBACK |
			     (uint64_t)1 << 32, 0, 0, NULL, 0), 0);
	assert_int_equal(adm(w, LEAP_ADM_GET_FEATURES, LEAP_OCSSD_FID_FEEDBACK,
			     0, 0, NULL, 0), 0);
	assert_int_equal(w->g->result, 1);
	assert_int_equal(adm(w, LEAP_OCSSD_ADM_GET_BAD, 0, 0, 0, &g, 4096),
			 LEAP_SC_INVALID_OPCODE);
}

/* With 8 of chunk 3 written. */
static void refused_vectors(struct vx *w, uint8_t *out)
{
	uint64_t at[2], bad;
	uint8_t in[2 * B];

	/* Out of order, not whole units, a hole, another's end. */
	at[0] = ppa(0, 1, 3, 9);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at, NULL, 1, out, &bad),
			 LEAP_SC_OCSSD_ORDER);
	assert_int_equal(bad, 1);
	at[0] = ppa(0, 1, 3, 8);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at, NULL, 1, out, &bad),
			 LEAP_SC_INVALID_FIELD);
	at[0] = ppa(0, 3, 0, 0);
	at[1] = ppa(0, 0, 0, 24);
	assert_int_equal(vec(w, LEAP_OCSSD_READ, at, NULL, 2, in, &bad),
			 LEAP_SC_LBA_RANGE);
	assert_int_equal(bad, 3);
	at[1] = 1ull << 40;
	assert_int_equal(vec(w, LEAP_OCSSD_READ, at, NULL, 2, in, &bad),
			 LEAP_SC_LBA_RANGE);
	assert_int_equal(bad, 2);
}

static void vectors(void **state)
{
	static uint8_t out[64 * B], in[64 * B];
	struct vx *w = *state;
	uint64_t at[64], to[64], bad;
	uint32_t i;

	bring_up(w, DRIVE ",maxoc=5,maxocpu=2]");
	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / B);
	/* Two chunks at once, in turns. */
	for (i = 0; i < 16; i++)
		at[i] = ppa(i % 2, 1, 3, i / 2);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at, NULL, 16, out, &bad), 0);
	assert_int_equal(bad, 0);
	assert_int_equal(chunk(w, 15).cs, LEAP_OCSSD_CS_OPEN);
	assert_int_equal(leap_from_le64(chunk(w, 15).wp), 8);
	/* Not readable yet: all are of the last 8. */
	assert_int_equal(vec(w, LEAP_OCSSD_READ, at, NULL, 16, in, &bad),
			 LEAP_SC_UNRECOVERED_READ);
	assert_int_equal(bad, 0xffff);
	refused_vectors(w, out);
	/* The rest, and then it is closed and shows all. */
	for (i = 0; i < 16; i++)
		at[i] = ppa(0, 1, 3, 8 + i);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at, NULL, 16, out + 16 * B,
			     &bad), 0);
	assert_int_equal(chunk(w, 15).cs, LEAP_OCSSD_CS_CLOSED);
	for (i = 0; i < 24; i++)
		at[i] = ppa(0, 1, 3, i);
	assert_int_equal(vec(w, LEAP_OCSSD_READ, at, NULL, 24, in, &bad), 0);
	for (i = 0; i < 24; i++)
		assert_memory_equal(in + i * B, out + (i < 8 ? 2 * i : 8 + i) *
				    B, B);
	/* Copied by the drive. */
	for (i = 0; i < 24; i++)
		to[i] = ppa(1, 0, 7, i);
	assert_int_equal(vec(w, LEAP_OCSSD_COPY, at, to, 24, NULL, &bad), 0);
	memset(in, 0, sizeof(in));
	assert_int_equal(vec(w, LEAP_OCSSD_READ, to, NULL, 24, in, &bad), 0);
	assert_memory_equal(in, out, B);
	/* Resets: of one that is free, it is wrong. */
	at[0] = ppa(0, 1, 3, 0);
	at[1] = ppa(0, 1, 4, 0);
	assert_int_equal(vec(w, LEAP_OCSSD_RESET, at, NULL, 2, NULL, &bad),
			 LEAP_SC_OCSSD_RESET);
	assert_int_equal(bad, 2);
	assert_int_equal(chunk(w, 15).cs, LEAP_OCSSD_CS_FREE);
}

/* More open ones than there may be of a unit. */
static void too_many_open(void **state)
{
	static uint8_t out[4 * B];
	struct vx *w = *state;
	uint64_t at[12], bad;
	uint32_t i;

	bring_up(w, DRIVE ",maxoc=5,maxocpu=2]");
	for (i = 0; i < 12; i++)
		at[i] = ppa(0, 2, i / 4, i % 4);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at, NULL, 4, out, &bad), 0);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at + 4, NULL, 4, out, &bad),
			 0);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at + 8, NULL, 4, out, &bad),
			 LEAP_SC_WRITE_FAULT);
	assert_int_equal(bad, 15);
}

/* Those that one command opens count, too. */
static void opened_at_once(void **state)
{
	static uint8_t out[12 * B];
	struct vx *w = *state;
	uint64_t at[12], bad;
	uint32_t i;

	bring_up(w, DRIVE ",maxocpu=2]");
	for (i = 0; i < 12; i++)
		at[i] = ppa(0, 1, i / 4, i % 4);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at, NULL, 12, out, &bad),
			 LEAP_SC_WRITE_FAULT);
	assert_true(bad & 0xf00 && !(bad & 0xff));
	assert_int_equal(chunk(w, 12).cs, LEAP_OCSSD_CS_FREE);
	for (i = 8; i < 12; i++)
		at[i] = ppa(0, 2, 0, i % 4);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at, NULL, 12, out, &bad), 0);
	for (i = 0; i < 4; i++)
		at[i] = ppa(0, 1, 2, i);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at, NULL, 4, out, &bad),
			 LEAP_SC_WRITE_FAULT);
}

/* What the fields of the older version's identity cannot say. */
static void too_large_for_1_2(void **state)
{
	static const char *const drives[] = {
		"groups=256,pus=1,chunks=1,blocks=4,ws_min=4",
		"groups=1,pus=256,chunks=1,blocks=4,ws_min=4",
		"groups=1,pus=1,chunks=1,blocks=65536,ws_min=1",
		"groups=1,pus=1,chunks=1,blocks=64,ws_min=16",
	};
	struct vx *w = *state;
	struct leap_bdev *bdev;
	char text[128];
	size_t i;

	bring_up(w, DRIVE "]");
	for (i = 0; i < sizeof(drives) / sizeof(drives[0]); i++) {
		snprintf(text, sizeof(text), "ocssd[%s]", drives[i]);
		assert_int_equal(leap_bdev_open(w->pg, text, &bdev), 0);
		assert_int_equal(leap_bdev_close(bdev), 0);
		snprintf(text, sizeof(text), "ocssd[%s,version=1]", drives[i]);
		assert_int_equal(leap_bdev_open(w->pg, text, &bdev), -EINVAL);
	}
}

/* Lists that are not where they could be. */
static void hostile_lists(void **state)
{
	struct vx *w = *state;
	struct leap_sqe sqe = { .opc = LEAP_OCSSD_RESET };

	bring_up(w, DRIVE "]");
	sqe.nsid = leap_to_le32(NSID);
	sqe.cdw10 = leap_to_le32(0x10);		/* no memory there */
	sqe.cdw12 = leap_to_le32(3);
	assert_int_equal(gd_cmd(w->g, &w->sq, &sqe), LEAP_SC_DATA_TRANSFER);
	sqe.cdw10 = leap_to_le32(0x13);
	assert_int_equal(gd_cmd(w->g, &w->sq, &sqe), LEAP_SC_INVALID_FIELD);
	sqe.cdw12 = leap_to_le32(64);		/* 65 */
	assert_int_equal(gd_cmd(w->g, &w->sq, &sqe), LEAP_SC_INVALID_FIELD);
	sqe.cdw12 = leap_to_le32(3);
	sqe.cdw10 = leap_to_le32(0xfffffff8u);
	sqe.cdw11 = leap_to_le32(0xffffffffu);
	assert_int_equal(gd_cmd(w->g, &w->sq, &sqe), LEAP_SC_DATA_TRANSFER);
}

/* ---- the translation layer ---- */

static void translation_layer(void **state)
{
	struct leap_ocssd_notice notice[2];
	struct vx *w = *state;
	struct pblk *p;

	bring_up(w, DRIVE ",wear=9]");
	p = pblk_run(w, 9000);
	/* It had to collect, by both ways, and chunks wore out. */
	assert_true(pblk_stats(p)->resets > 100);
	assert_true(pblk_stats(p)->copied > 100);
	assert_true(pblk_stats(p)->moved > 100);
	assert_true(pblk_stats(p)->offline > 0);
	assert_int_equal(adm(w, LEAP_ADM_GET_LOG, LEAP_OCSSD_LID_NOTICES |
			     31u << 16, 0, 0, notice, 128), 0);
	assert_int_equal(leap_from_le64(notice[0].nc), pblk_stats(p)->offline);
	assert_int_equal(leap_from_le16(notice[0].state),
			 LEAP_OCSSD_WORN_OUT);
	pblk_free(p);
}

/* ---- version 1.2 ---- */

static void version_1_2(void **state)
{
	static uint8_t out[8 * B], in[8 * B], table[4096];
	const struct leap_ocssd12_bad *head = (const void *)table;
	struct leap_ocssd12_identity id;
	struct vx *w = *state;
	uint64_t at[8], bad, l2p[8];
	uint32_t i;

	bring_up(w, "ocssd[groups=2,pus=3,chunks=12,blocks=32,ws_min=4,"
		 "version=1]");
	assert_int_equal(adm(w, LEAP_OCSSD_ADM_GEOMETRY, 0, 0, 0, &id,
			     sizeof(id)), 0);
	assert_int_equal(id.version, 1);
	assert_int_equal(id.cgrps, 1);
	assert_int_equal(id.ppaf.sec_len, 2);
	assert_int_equal(id.ppaf.pg_off, 2);
	assert_int_equal(id.ppaf.pg_len, 3);
	assert_int_equal(id.ppaf.blk_off, 5);
	assert_int_equal(id.group[0].num_ch, 2);
	assert_int_equal(id.group[0].num_lun, 3);
	assert_int_equal(leap_from_le16(id.group[0].num_blk), 12);
	assert_int_equal(leap_from_le16(id.group[0].num_pg), 8);
	assert_int_equal(leap_from_le16(id.group[0].fpg_sz), 4 * B);
	assert_int_equal(adm(w, LEAP_OCSSD_ADM_L2P, 0, 8, 0, l2p, 64), 0);
	assert_true(l2p[0] == UINT64_MAX && l2p[7] == UINT64_MAX);
	/* Erase what is erased; write two pages; read them. */
	at[0] = ppa(1, 2, 5, 0);
	assert_int_equal(vec(w, LEAP_OCSSD_RESET, at, NULL, 1, NULL, &bad), 0);
	for (i = 0; i < 8; i++)
		at[i] = ppa(1, 2, 5, i);
	memset(out, 0x5a, sizeof(out));
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at, NULL, 8, out, &bad), 0);
	assert_int_equal(vec(w, LEAP_OCSSD_READ, at, NULL, 8, in, &bad), 0);
	assert_memory_equal(in, out, sizeof(out));
	/* A block that its host takes for bad. */
	assert_int_equal(adm(w, LEAP_OCSSD_ADM_SET_BAD, ppa(1, 2, 6, 0),
			     LEAP_OCSSD12_GROWN << 16, 0, NULL, 0), 0);
	assert_int_equal(adm(w, LEAP_OCSSD_ADM_SET_BAD, ppa(1, 3, 6, 0),
			     LEAP_OCSSD12_GROWN << 16, 0, NULL, 0),
			 LEAP_SC_LBA_RANGE);
	assert_int_equal(adm(w, LEAP_OCSSD_ADM_GET_BAD, ppa(1, 2, 0, 0), 0, 0,
			     table, sizeof(table)), 0);
	assert_memory_equal(head->magic, "BBLT", 4);
	assert_int_equal(leap_from_le32(head->total), 12);
	assert_int_equal(leap_from_le32(head->grown), 1);
	for (i = 0; i < 12; i++)
		assert_int_equal(table[64 + i], i == 6 ? LEAP_OCSSD12_GROWN :
				 LEAP_OCSSD12_GOOD);
	at[0] = ppa(1, 2, 6, 0);
	assert_int_equal(vec(w, LEAP_OCSSD_RESET, at, NULL, 1, NULL, &bad),
			 LEAP_SC_OCSSD_OFFLINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VX_B(geometry_and_chunks),
		VX_B(vectors),
		VX_B(too_many_open),
		VX_B(opened_at_once),
		VX_B(too_large_for_1_2),
		VX_B(hostile_lists),
		VX_B(translation_layer),
		VX_B(version_1_2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
