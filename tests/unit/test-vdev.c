/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtual drive as a guest sees it: configuration space as firmware walks
 * it, registers, queues in every order, doorbells.
 */
#include "rand.h"
#include "vdev-fixture.h"

#include <leapio/nvme.h>

#include "core/ctrl/vdev_priv.h"

/* ---- configuration space ---- */

static void test_header(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	uint8_t all[LEAP_VDEV_CONFIG_BYTES + 8];
	uint32_t lo, i;

	assert_int_equal(gd_cfg(g, 0x08, 4) >> 8, 0x010802);
	assert_int_equal(gd_cfg(g, 0x0e, 1), 0);
	assert_int_equal(gd_cfg(g, 0x06, 2), 0x10);
	assert_int_equal(gd_cfg(g, 0x3d, 1), 1);
	assert_true(gd_cfg(g, 0x00, 2) && gd_cfg(g, 0x00, 2) != 0xffff);
	/* Sizing, dword by dword. */
	gd_cfg_wr(g, 0x10, 0xffffffff, 4);
	gd_cfg_wr(g, 0x14, 0xffffffff, 4);
	lo = gd_cfg(g, 0x10, 4);
	assert_int_equal(lo & 0xf, 0x4);
	assert_int_equal(~(lo & ~0xfu) + 1, LEAP_VDEV_BAR_BYTES);
	assert_int_equal(gd_cfg(g, 0x14, 4), 0xffffffff);
	for (i = 0x18; i < 0x28; i += 4) {
		gd_cfg_wr(g, i, 0xffffffff, 4);
		assert_int_equal(gd_cfg(g, i, 4), 0);
	}
	gd_cfg_wr(g, 0x30, 0xfffff801, 4);
	assert_int_equal(gd_cfg(g, 0x30, 4), 0);
	/* An address, by bytes. */
	for (i = 0; i < 8; i++)
		gd_cfg_wr(g, 0x10 + i, 0x10u * (i + 1), 1);
	assert_int_equal(gd_cfg(g, 0x10, 4), 0x40300000u | 0x4);
	assert_int_equal(gd_cfg(g, 0x14, 4), 0x80706050u);
	/* Command bits that exist, and those that do not. */
	gd_cfg_wr(g, 0x04, 0xffff, 2);
	assert_int_equal(gd_cfg(g, 0x04, 2), 0x0546);
	assert_int_equal(gd_cfg(g, 0x06, 2), 0x10);
	gd_cfg_wr(g, 0x3c, 0xffff, 2);
	assert_int_equal(gd_cfg(g, 0x3c, 2), 0x01ff);
	/* Identifiers are not written. */
	lo = gd_cfg(g, 0, 4);
	gd_cfg_wr(g, 0, ~lo, 4);
	assert_int_equal(gd_cfg(g, 0, 4), lo);
	leap_vdev_config_read(w->v, 0, all, sizeof(all));
	assert_int_equal(all[LEAP_VDEV_CONFIG_BYTES - 1], 0);
	assert_int_equal(all[LEAP_VDEV_CONFIG_BYTES], 0xff);
	leap_vdev_config_write(w->v, LEAP_VDEV_CONFIG_BYTES - 2, all, 8);
	leap_vdev_config_write(w->v, UINT64_MAX - 1, all, 4);
}

static void test_caps(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	uint32_t at = gd_cfg(g, 0x34, 1), msix = gd_cap(g, 0x11), turns = 0;
	uint32_t pcie = gd_cap(g, 0x10), pm = gd_cap(g, 0x01);
	uint8_t seen[256] = { 0 };

	while (at) {
		assert_true(at >= 0x40 && at % 4 == 0 && at < 0x100);
		assert_false(seen[at]);
		seen[at] = 1;
		assert_true(++turns < 10);
		at = gd_cfg(g, at + 1, 1);
	}
	assert_int_equal(turns, 3);
	assert_int_equal(gd_cfg(g, msix + 2, 2) & 0x7ff, VX_VECTORS - 1);
	assert_int_equal(gd_cfg(g, msix + 4, 4), LEAP_VDEV_MSIX_TABLE);
	assert_int_equal(gd_cfg(g, msix + 8, 4), LEAP_VDEV_MSIX_PBA);
	gd_cfg_wr(g, msix + 2, 0xffff, 2);
	assert_int_equal(gd_cfg(g, msix + 2, 2), 0xc000 | (VX_VECTORS - 1));
	assert_int_equal(gd_cfg(g, pcie + 2, 2), 0x0002);
	assert_true(gd_cfg(g, pcie + 4, 4) & 1u << 28);
	assert_true(pcie + 0x3c <= 0x100);
	assert_int_equal(gd_cfg(g, pm + 2, 2) & 7, 3);
	gd_cfg_wr(g, pm + 4, 3, 2);
	assert_int_equal(gd_cfg(g, pm + 4, 2), 0x000b);
}

static void test_bar_accesses(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	struct test_rand r;
	uint8_t buf[64];
	uint32_t i, n;
	uint64_t at;

	assert_int_equal(gd_rd4(g, LEAP_REG_VS), LEAP_VS_2_0);
	assert_int_equal(gd_rd8(g, LEAP_REG_CAP) & 0xffff, 127);
	assert_int_equal(gd_rd4(g, LEAP_REG_CAP + 4),
			 gd_rd8(g, LEAP_REG_CAP) >> 32);
	/* Two bytes of a register, and nothing beyond the end. */
	leap_vdev_bar_read(w->v, LEAP_REG_VS + 2, buf, 2);
	assert_int_equal(buf[0] | buf[1] << 8, 2);
	leap_vdev_bar_read(w->v, LEAP_VDEV_BAR_BYTES - 2, buf, 4);
	assert_int_equal(buf[1], 0);
	assert_int_equal(buf[2], 0xff);
	assert_int_equal(gd_rd4(g, LEAP_REG_DBL), 0);
	/* Noise of all sizes at all places. */
	r.s = 7;
	for (i = 0; i < 200000; i++) {
		at = test_rand_next(&r) % (LEAP_VDEV_BAR_BYTES + 64);
		n = (uint32_t)(test_rand_next(&r) % (sizeof(buf) + 1));
		memset(buf, (int)test_rand_next(&r), sizeof(buf));
		if (test_rand_next(&r) & 1)
			leap_vdev_bar_write(w->v, at, buf, n);
		else
			leap_vdev_bar_read(w->v, at, buf, n);
		if (!(i % 1000))
			vx_settle(w);
	}
	gd_wr4(g, LEAP_REG_CC, 0);
	vx_settle(w);
	assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), 0);
}

/* Where addresses end, nothing begins again. */
static void test_wrapped_accesses(void **state)
{
	const uint64_t at = UINT64_MAX - 15;
	struct vx *w = *state;
	uint8_t ones[64], buf[64];
	uint32_t command = gd_cfg(w->g, 0x04, 2);

	memset(ones, 0xff, sizeof(ones));
	leap_vdev_config_write(w->v, at, ones, sizeof(ones));
	leap_vdev_bar_write(w->v, at, ones, 8);
	assert_int_equal(gd_cfg(w->g, 0x04, 2), command);
	memset(buf, 0, sizeof(buf));
	leap_vdev_config_read(w->v, at, buf, sizeof(buf));
	assert_memory_equal(buf, ones, sizeof(buf));
	memset(buf, 0, sizeof(buf));
	leap_vdev_bar_read(w->v, at, buf, sizeof(buf));
	assert_memory_equal(buf, ones, sizeof(buf));
}

/* ---- the state machine ---- */

/* What a guest can do for ever does not fill a log. */
static void test_log_flood(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	uint32_t i;

	gd_bus_master(g);
	gd_wr4(g, LEAP_REG_AQA, 0x000f000f);
	gd_wr8(g, LEAP_REG_ASQ, 0x1000);	/* no memory there */
	gd_wr8(g, LEAP_REG_ACQ, 0x2000);
	for (i = 0; i < 5000; i++) {
		gd_wr4(g, LEAP_REG_CC, GD_CC_ENABLE);
		assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), LEAP_CSTS_CFS);
		gd_wr4(g, LEAP_REG_CC, 0);
	}
	assert_true(w->logged && w->logged < 1000);
}

static void test_enable(void **state)
{
	static const uint32_t sizes[][2] = {
		{ 2, 2 }, { 64, 256 }, { 32, 32 }, { 4096, 4096 }, { 2, 4096 },
	};
	struct vx *w = *state;
	struct gd *g = w->g;
	struct leap_sqe id = { .opc = LEAP_ADM_IDENTIFY };
	const struct leap_id_ctrl *ctrl;
	struct leap_vdev_info info = { .size = sizeof(info) };
	uint64_t page = gd_alloc(g, GD_PAGE), used;
	uint32_t i, n;

	id.prp1 = leap_to_le64(page);
	id.cdw10 = leap_to_le32(LEAP_CNS_CTRL);
	for (i = 0; i < COUNT(sizes); i++) {
		used = g->used;
		assert_int_equal(gd_enable(g, sizes[i][0], sizes[i][1]),
				 LEAP_CSTS_RDY);
		for (n = 0; n < 300; n++)
			assert_int_equal(gd_cmd(g, &g->asq, &id), 0);
		gd_disable(g);
		g->used = used;
	}
	ctrl = gd_at(g, page);
	assert_int_equal(leap_from_le16(ctrl->oacs), LEAP_OACS_DBBUF);
	assert_int_equal(leap_from_le16(ctrl->vid), gd_cfg(g, 0, 2));
	assert_int_equal(ctrl->cntrltype, LEAP_CNTRLTYPE_IO);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(leap_from_le16(ctrl->cntlid), info.cntlid);
	/* Queues outside memory: failed, and a reset mends it. */
	gd_wr8(g, LEAP_REG_ASQ, 0x1000);
	gd_wr4(g, LEAP_REG_CC, GD_CC_ENABLE);
	assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), LEAP_CSTS_CFS);
	gd_disable(g);
	assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
	assert_int_equal(gd_cmd(g, &g->asq, &id), 0);
	/* Shutdown. */
	gd_wr4(g, LEAP_REG_CC, GD_CC_ENABLE | 1u << LEAP_CC_SHN_SHIFT);
	vx_settle(w);
	assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), LEAP_CSTS_RDY |
			 LEAP_PUT(LEAP_CSTS_SHST_DONE, LEAP_CSTS_SHST));
	gd_disable(g);
}

static void test_io(void **state)
{
	struct vx *w = *state;
	struct leap_vdev_info info = { .size = sizeof(info) };
	uint32_t i;

	gd_up(w->g, &w->cq, &w->sq, 4);
	for (i = 0; i < 500; i++)
		vx_check_io(w, &w->sq, 1 + i % 256, i);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(info.commands, 1000);
	assert_int_equal(info.nr_sqs, 1);
	assert_int_equal(info.nr_cqs, 1);
	assert_true(info.doorbells >= 2000);
	gd_disable(w->g);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(info.commands, 1000);
	assert_int_equal(info.nr_sqs + info.nr_cqs, 0);
}

/* ---- queues ---- */

struct bad {
	uint32_t cdw10, cdw11;
	uint64_t prp1;
	leap_status_t status;
};

#define AT	(GD_BASE + 0x100000)

static const struct bad bad_cqs[] = {
	{ 0x001f0000, 1, AT, LEAP_SC_QID_INVALID },
	{ 0x001f0041, 1, AT, LEAP_SC_QID_INVALID },
	{ 0x001fffff, 1, AT, LEAP_SC_QID_INVALID },
	{ 0x001f0001, 1, AT, LEAP_SC_QID_INVALID },	/* exists */
	{ 0x00000002, 1, AT, LEAP_SC_QSIZE_INVALID },
	{ 0x00800002, 1, AT, LEAP_SC_QSIZE_INVALID },
	{ 0xffff0002, 1, AT, LEAP_SC_QSIZE_INVALID },
	{ 0x001f0002, 1, AT + 8, LEAP_SC_PRP_OFFSET },
	{ 0x001f0002, 1, AT + 2048, LEAP_SC_PRP_OFFSET },
	{ 0x001f0002, 3 | 65u << 16, AT, LEAP_SC_INT_VECTOR },
	{ 0x001f0002, 3 | 0xffffu << 16, AT, LEAP_SC_INT_VECTOR },
	{ 0x001f0002, 3 | 1u << 16, AT, LEAP_SC_INT_VECTOR }, /* no MSI-X */
	{ 0x001f0002, 2, AT, LEAP_SC_INVALID_FIELD },	/* PC 0 */
	{ 0x001f0002, 1, 0x1000, LEAP_SC_DATA_TRANSFER },
};

static const struct bad bad_sqs[] = {
	{ 0x001f0001, 1, AT, LEAP_SC_QID_INVALID },	/* CQID 0 */
	{ 0x001f0001, 1 | 65u << 16, AT, LEAP_SC_QID_INVALID },
	{ 0x001f0001, 1 | 2u << 16, AT, LEAP_SC_CQ_INVALID },
	{ 0x001f0000, 1 | 1u << 16, AT, LEAP_SC_QID_INVALID },
	{ 0x001f0041, 1 | 1u << 16, AT, LEAP_SC_QID_INVALID },
	{ 0x001f0001, 1 | 1u << 16, AT, LEAP_SC_QID_INVALID },	/* exists */
	{ 0x00000002, 1 | 1u << 16, AT, LEAP_SC_QSIZE_INVALID },
	{ 0x00800002, 1 | 1u << 16, AT, LEAP_SC_QSIZE_INVALID },
	{ 0x001f0002, 1 | 1u << 16, AT + 16, LEAP_SC_PRP_OFFSET },
	{ 0x001f0002, 0 | 1u << 16, AT, LEAP_SC_INVALID_FIELD },
	{ 0x001f0002, 1 | 1u << 16, 0x1000, LEAP_SC_DATA_TRANSFER },
};

static void refuse_all(struct gd *g, uint8_t opc, const struct bad *bad,
		       size_t nr)
{
	struct leap_sqe sqe = { .opc = opc };
	size_t i;

	for (i = 0; i < nr; i++) {
		sqe.cdw10 = leap_to_le32(bad[i].cdw10);
		sqe.cdw11 = leap_to_le32(bad[i].cdw11);
		sqe.prp1 = leap_to_le64(bad[i].prp1);
		if (gd_cmd(g, &g->asq, &sqe) != bad[i].status)
			fail_msg("opcode %x, case %zu: %x", opc, i, g->raw);
		assert_true(g->raw & LEAP_STATUS_DNR);
	}
}

static void test_refused(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	uint32_t turn;

	gd_up(g, &w->cq, &w->sq, 32);
	for (turn = 0; turn < 3; turn++) {
		refuse_all(g, LEAP_ADM_CREATE_CQ, bad_cqs, COUNT(bad_cqs));
		refuse_all(g, LEAP_ADM_CREATE_SQ, bad_sqs, COUNT(bad_sqs));
	}
	/* Deletion: of nothing, in the wrong order, twice. */
	assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_SQ, 0),
			 LEAP_SC_QID_INVALID);
	assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_CQ, 0),
			 LEAP_SC_QID_INVALID);
	assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_SQ, 2),
			 LEAP_SC_QID_INVALID);
	assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_CQ, 0xffff),
			 LEAP_SC_QID_INVALID);
	assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_CQ, 1),
			 LEAP_SC_QUEUE_DELETION);
	vx_check_io(w, &w->sq, 8, 1);
	assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_SQ, 1), 0);
	assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_SQ, 1),
			 LEAP_SC_QID_INVALID);
	assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_CQ, 1), 0);
	assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_CQ, 1),
			 LEAP_SC_QID_INVALID);
	/* And again. */
	gd_cq_init(g, &w->cq, 1, 16);
	gd_sq_init(g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(g, &w->cq, 0, 0), 0);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	vx_check_io(w, &w->sq, 8, 2);
}

/* Sizes in CC that are none of an SQE or CQE. */
static void test_entry_sizes(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;

	assert_int_equal(gd_enable(g, 8, 8), LEAP_CSTS_RDY);
	gd_wr4(g, LEAP_REG_CC, 0x00000001);
	gd_cq_init(g, &w->cq, 1, 8);
	assert_int_equal(gd_create_cq(g, &w->cq, 0, 0),
			 LEAP_SC_QSIZE_INVALID);
	gd_wr4(g, LEAP_REG_CC, 0x00400001);
	assert_int_equal(gd_create_cq(g, &w->cq, 0, 0), 0);
	gd_sq_init(g, &w->sq, 1, 8, &w->cq);
	assert_int_equal(gd_create_sq(g, &w->sq), LEAP_SC_QSIZE_INVALID);
	gd_wr4(g, LEAP_REG_CC, GD_CC_ENABLE);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	vx_check_io(w, &w->sq, 1, 3);
}

/* All 64 pairs; then all SQs on one CQ. */
static void test_many(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	struct gd_cq cq[65];
	struct gd_sq sq[65];
	uint32_t i, turn;
	uint64_t used;

	for (turn = 0; turn < 2; turn++) {
		used = g->used;
		assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
		for (i = 1; i <= 64; i++) {
			if (!turn || i == 1) {
				gd_cq_init(g, &cq[i], (uint16_t)i, 16);
				assert_int_equal(gd_create_cq(g, &cq[i], 0, 1),
						 0);
			}
			gd_sq_init(g, &sq[i], (uint16_t)i, 8,
				   turn ? &cq[1] : &cq[i]);
			assert_int_equal(gd_create_sq(g, &sq[i]), 0);
		}
		for (i = 1; i <= 64; i++)
			vx_check_io(w, &sq[i], 4, i);
		if (turn) {
			assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_CQ, 1),
					 LEAP_SC_QUEUE_DELETION);
			for (i = 1; i <= 63; i++)
				assert_int_equal(gd_delete(g,
					LEAP_ADM_DELETE_SQ, (uint16_t)i), 0);
			vx_check_io(w, &sq[64], 4, i);
			assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_CQ, 1),
					 LEAP_SC_QUEUE_DELETION);
			assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_SQ, 64),
					 0);
			assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_CQ, 1),
					 0);
		}
		gd_disable(g);
		g->used = used;
	}
}

/* Doorbells of nothing and beyond the ring: told once each. */
static void test_bad_doorbells(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	struct leap_sqe aer = { .opc = LEAP_ADM_AER }, log = { 0 };
	const struct leap_log_error *e;
	uint64_t page = gd_alloc(g, GD_PAGE);
	uint16_t cid[2];

	gd_up(g, &w->cq, &w->sq, 16);
	cid[0] = gd_submit(g, &g->asq, &aer);
	cid[1] = gd_submit(g, &g->asq, &aer);
	vx_settle(w);
	gd_wr4(g, LEAP_REG_SQTDBL(2, 0), 1);
	gd_wr4(g, LEAP_REG_CQHDBL(64, 0), 1);
	gd_wr4(g, LEAP_REG_CQHDBL(511, 0), 1);
	assert_int_equal(gd_wait(g, &g->asq, cid[1]), 0);
	assert_int_equal(g->result, LEAP_AER_DW0(LEAP_AER_TYPE_ERROR,
			 LEAP_AER_ERROR_BAD_DB_REG, LEAP_LID_ERROR));
	gd_wr4(g, LEAP_REG_SQTDBL(1, 0), 16);
	gd_wr4(g, LEAP_REG_CQHDBL(1, 0), 0xffff);
	gd_wr4(g, LEAP_REG_SQTDBL(1, 0), 0);	/* as it was */
	assert_int_equal(gd_wait(g, &g->asq, cid[0]), 0);
	assert_int_equal(g->result, LEAP_AER_DW0(LEAP_AER_TYPE_ERROR,
			 LEAP_AER_ERROR_BAD_DB_VALUE, LEAP_LID_ERROR));
	/* Told once, until the log is read. */
	cid[0] = gd_submit(g, &g->asq, &aer);
	gd_wr4(g, LEAP_REG_SQTDBL(3, 0), 1);
	vx_settle(w);
	gd_reap(g, &g->acq, &g->asq);
	assert_false(g->done[cid[0]]);
	log.opc = LEAP_ADM_GET_LOG;
	log.prp1 = leap_to_le64(page);
	log.cdw10 = leap_to_le32(1023u << 16 | LEAP_LID_ERROR);
	assert_int_equal(gd_cmd(g, &g->asq, &log), 0);
	e = gd_at(g, page);
	assert_int_equal(leap_from_le16(e->sqid), 3);
	assert_int_equal(leap_from_le64(e->count), 7);
	assert_int_equal(gd_wait(g, &g->asq, cid[0]), 0);
	vx_check_io(w, &w->sq, 8, 9);
}

/* Bus mastering off: nothing is fetched; on: what was rung is. */
static void test_bus_master(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	uint16_t cid;

	gd_up(g, &w->cq, &w->sq, 16);
	sqe.cdw12 = leap_to_le32(0);
	gd_cfg_wr(g, 0x04, 0x0002, 2);
	cid = gd_submit(g, &w->sq, &sqe);
	vx_settle(w);
	gd_reap(g, &w->cq, &w->sq);
	assert_false(g->done[cid]);
	gd_cfg_wr(g, 0x04, 0x0006, 2);
	assert_int_equal(gd_wait(g, &w->sq, cid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VX_T(test_header),
		VX_T(test_caps),
		VX_T(test_bar_accesses), VX_T(test_wrapped_accesses),
		VX_T(test_log_flood),
		VX_T(test_enable),
		VX_T(test_io),
		VX_T(test_refused),
		VX_T(test_entry_sizes),
		VX_T(test_many),
		VX_T(test_bad_doorbells),
		VX_T(test_bus_master),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
