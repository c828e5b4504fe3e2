/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtual drive as a guest sees it: configuration space as firmware walks
 * it, registers, queues in every order, doorbells, interrupts of all kinds,
 * resets under I/O, memory that goes away, and drives that come and go.
 */
#include "guest-driver.h"
#include "rand.h"

#include <leapio/bdev.h>
#include <leapio/nvme.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include "core/ctrl/vdev_priv.h"

#define NQN		"nqn.2026-01.org.example:vdev"
#define RAM_BYTES	(16u << 20)
#define NR_VECTORS	65u

struct w {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *v;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	unsigned int raised[128];
	unsigned int intx_changes;
	int level;
};

static void poll_home(void *arg)
{
	leap_pollgroup_poll(((struct w *)arg)->pg, 0);
}

static void settle(struct w *w)
{
	int idle = 0;

	while (idle < 20)
		idle = leap_pollgroup_poll(w->pg, 0) > 0 ? 0 : idle + 1;
}

static void wait_for(struct w *w, const int *flag)
{
	uint64_t from = leap_pollgroup_now_ns(w->pg);

	while (!*flag) {
		leap_pollgroup_poll(w->pg, 0);
		assert_true(leap_pollgroup_now_ns(w->pg) - from <
			    10000000000ull);
	}
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void set_err(void *arg, int err)
{
	*(int *)arg = err ? err : 1;
}

static void on_raise(void *arg, uint32_t vector)
{
	((struct w *)arg)->raised[vector]++;
}

static void on_intx(void *arg, int level)
{
	struct w *w = arg;

	assert_int_not_equal(w->level, level);
	w->level = level;
	w->intx_changes++;
}

static void on_added(int err, void *arg)
{
	assert_int_equal(err, 0);
	*(int *)arg = 1;
}

static void add_ns(struct w *w, const char *stack, uint32_t nsid)
{
	struct leap_ns_opts opts = LEAP_NS_OPTS_INIT;
	int added = 0;

	opts.nsid = nsid;
	assert_int_equal(leap_bdev_open(w->pg, stack, &opts.bdev), 0);
	assert_int_equal(leap_ns_add(w->ss, &opts, on_added, &added),
			 (int)nsid);
	wait_for(w, &added);
}

static struct leap_vdev_opts vdev_opts(struct w *w)
{
	struct leap_vdev_opts o = LEAP_VDEV_OPTS_INIT;

	o.raise = on_raise;
	o.intx = on_intx;
	o.arg = w;
	return o;
}

static void make_vdev(struct w *w, const struct leap_vdev_opts *o)
{
	assert_int_equal(leap_vdev_create(w->ss, o, &w->v), 0);
	w->g = gd_new(w->v, RAM_BYTES, poll_home, w);
}

static void drop_vdev(struct w *w)
{
	int gone = 0;

	leap_vdev_destroy(w->v, set_flag, &gone);
	wait_for(w, &gone);
	gd_free(w->g);
	w->v = NULL;
	w->g = NULL;
}

static int set_up_bare(void **state)
{
	struct leap_subsystem_opts ss = LEAP_SUBSYSTEM_OPTS_INIT;
	struct w *w = calloc(1, sizeof(*w));

	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	assert_int_equal(leap_target_create(w->pg, NULL, &w->target), 0);
	ss.nqn = NQN;
	ss.allow_any_host = 1;
	ss.max_nsid = 16;
	assert_int_equal(leap_subsystem_create(w->target, &ss, &w->ss), 0);
	add_ns(w, "memory:16M", 1);
	*state = w;
	return 0;
}

static int set_up(void **state)
{
	struct leap_vdev_opts o;
	struct w *w;

	set_up_bare(state);
	w = *state;
	o = vdev_opts(w);
	make_vdev(w, &o);
	return 0;
}

static int tear_down(void **state)
{
	struct w *w = *state;
	int gone = 0;

	if (w->v)
		drop_vdev(w);
	leap_target_destroy(w->target, set_flag, &gone);
	wait_for(w, &gone);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
	free(w);
	return 0;
}

/* ---- configuration space ---- */

static void test_header(void **state)
{
	struct w *w = *state;
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
	struct w *w = *state;
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
	assert_int_equal(gd_cfg(g, msix + 2, 2) & 0x7ff, NR_VECTORS - 1);
	assert_int_equal(gd_cfg(g, msix + 4, 4), LEAP_VDEV_MSIX_TABLE);
	assert_int_equal(gd_cfg(g, msix + 8, 4), LEAP_VDEV_MSIX_PBA);
	gd_cfg_wr(g, msix + 2, 0xffff, 2);
	assert_int_equal(gd_cfg(g, msix + 2, 2), 0xc000 | (NR_VECTORS - 1));
	assert_int_equal(gd_cfg(g, pcie + 2, 2), 0x0002);
	assert_true(gd_cfg(g, pcie + 4, 4) & 1u << 28);
	assert_true(pcie + 0x3c <= 0x100);
	assert_int_equal(gd_cfg(g, pm + 2, 2) & 7, 3);
	gd_cfg_wr(g, pm + 4, 3, 2);
	assert_int_equal(gd_cfg(g, pm + 4, 2), 0x000b);
}

static void test_bar_accesses(void **state)
{
	struct w *w = *state;
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
			settle(w);
	}
	gd_wr4(g, LEAP_REG_CC, 0);
	settle(w);
	assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), 0);
}

/* ---- the state machine ---- */

static void test_enable(void **state)
{
	static const uint32_t sizes[][2] = {
		{ 2, 2 }, { 64, 256 }, { 32, 32 }, { 4096, 4096 }, { 2, 4096 },
	};
	struct w *w = *state;
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
	settle(w);
	assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), LEAP_CSTS_RDY |
			 LEAP_PUT(LEAP_CSTS_SHST_DONE, LEAP_CSTS_SHST));
	gd_disable(g);
}

/* Data of @nr blocks out and in again over the queue of the test. */
static void check_io(struct w *w, struct gd_sq *sq, uint32_t nr, uint32_t seed)
{
	struct gd *g = w->g;
	uint64_t used = g->used, buf = gd_alloc(g, nr * 512ull);
	uint8_t *p = gd_at(g, buf);
	struct leap_sqe sqe;
	uint32_t i;

	for (i = 0; i < nr * 512; i++)
		p[i] = (uint8_t)(seed + i / 512 * 3 + i);
	sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, seed % 64, nr);
	gd_prp(g, &sqe, buf, nr * 512);
	assert_int_equal(gd_cmd(g, sq, &sqe), 0);
	memset(p, 0, nr * 512ull);
	sqe.opc = LEAP_NVM_READ;
	assert_int_equal(gd_cmd(g, sq, &sqe), 0);
	for (i = 0; i < nr * 512; i++)
		assert_int_equal(p[i], (uint8_t)(seed + i / 512 * 3 + i));
	g->used = used;
}

static void test_io(void **state)
{
	struct w *w = *state;
	struct leap_vdev_info info = { .size = sizeof(info) };
	uint32_t i;

	gd_up(w->g, &w->cq, &w->sq, 4);
	for (i = 0; i < 500; i++)
		check_io(w, &w->sq, 1 + i % 256, i);
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
	struct w *w = *state;
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
	check_io(w, &w->sq, 8, 1);
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
	check_io(w, &w->sq, 8, 2);
}

/* Sizes in CC that are none of an SQE or CQE. */
static void test_entry_sizes(void **state)
{
	struct w *w = *state;
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
	check_io(w, &w->sq, 1, 3);
}

/* All 64 pairs; then all SQs on one CQ. */
static void test_many(void **state)
{
	struct w *w = *state;
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
			check_io(w, &sq[i], 4, i);
		if (turn) {
			assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_CQ, 1),
					 LEAP_SC_QUEUE_DELETION);
			for (i = 1; i <= 63; i++)
				assert_int_equal(gd_delete(g,
					LEAP_ADM_DELETE_SQ, (uint16_t)i), 0);
			check_io(w, &sq[64], 4, i);
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
	struct w *w = *state;
	struct gd *g = w->g;
	struct leap_sqe aer = { .opc = LEAP_ADM_AER }, log = { 0 };
	const struct leap_log_error *e;
	uint64_t page = gd_alloc(g, GD_PAGE);
	uint16_t cid[2];

	gd_up(g, &w->cq, &w->sq, 16);
	cid[0] = gd_submit(g, &g->asq, &aer);
	cid[1] = gd_submit(g, &g->asq, &aer);
	settle(w);
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
	settle(w);
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
	check_io(w, &w->sq, 8, 9);
}

/* Bus mastering off: nothing is fetched; on: what was rung is. */
static void test_bus_master(void **state)
{
	struct w *w = *state;
	struct gd *g = w->g;
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	uint16_t cid;

	gd_up(g, &w->cq, &w->sq, 16);
	sqe.cdw12 = leap_to_le32(0);
	gd_cfg_wr(g, 0x04, 0x0002, 2);
	cid = gd_submit(g, &w->sq, &sqe);
	settle(w);
	gd_reap(g, &w->cq, &w->sq);
	assert_false(g->done[cid]);
	gd_cfg_wr(g, 0x04, 0x0006, 2);
	assert_int_equal(gd_wait(g, &w->sq, cid), 0);
}

/* ---- interrupts ---- */

static uint64_t taken(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void unmask(struct gd *g, uint32_t vector, uint32_t data)
{
	uint64_t at = LEAP_VDEV_MSIX_TABLE + 16ull * vector;

	gd_wr8(g, at, 0xfee00000ull + vector * 0x1000);
	gd_wr4(g, at + 8, data);
	gd_wr4(g, at + 12, 0);
}

static void test_msix(void **state)
{
	struct w *w = *state;
	struct gd *g = w->g;
	uint32_t data, ctrl = gd_cap(g, 0x11) + 2;
	uint64_t addr;

	/* The table as it is after a reset. */
	assert_int_equal(gd_rd4(g, LEAP_VDEV_MSIX_TABLE + 12), 1);
	assert_int_equal(leap_vdev_msix(w->v, 3, &addr, &data), 1);
	assert_int_equal(leap_vdev_msix(w->v, 65, &addr, &data), -EINVAL);
	gd_msix_enable(g, 1);
	unmask(g, 3, 0x4033);
	assert_int_equal(leap_vdev_msix(w->v, 3, &addr, &data), 0);
	assert_int_equal(addr, 0xfee03000);
	assert_int_equal(data, 0x4033);
	assert_int_equal(gd_rd8(g, LEAP_VDEV_MSIX_TABLE + 16 * 65), 0);
	unmask(g, 0, 0);
	assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(g, &w->cq, 1, 16);
	gd_sq_init(g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(g, &w->cq, 3, 1), 0);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	settle(w);
	assert_true(w->raised[0] > 0);
	w->raised[3] = 0;
	check_io(w, &w->sq, 8, 1);
	settle(w);
	assert_int_equal(w->raised[3], 2);
	/* Masked: pending, and one when unmasked. */
	gd_wr4(g, LEAP_VDEV_MSIX_TABLE + 3 * 16 + 12, 1);
	check_io(w, &w->sq, 8, 2);
	settle(w);
	assert_int_equal(w->raised[3], 2);
	assert_int_equal(gd_rd8(g, LEAP_VDEV_MSIX_PBA), 8);
	gd_wr4(g, LEAP_VDEV_MSIX_TABLE + 3 * 16 + 12, 0);
	assert_int_equal(w->raised[3], 3);
	assert_int_equal(gd_rd8(g, LEAP_VDEV_MSIX_PBA), 0);
	/* The same for the mask of the function. */
	gd_cfg_wr(g, ctrl, 0xc000, 2);
	check_io(w, &w->sq, 8, 3);
	settle(w);
	assert_int_equal(w->raised[3], 3);
	assert_int_equal(gd_rd4(g, LEAP_VDEV_MSIX_PBA) & 8, 8);
	gd_cfg_wr(g, ctrl, 0x8000, 2);
	assert_int_equal(w->raised[3], 4);
	/* Without IEN never. */
	assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_SQ, 1), 0);
	assert_int_equal(gd_delete(g, LEAP_ADM_DELETE_CQ, 1), 0);
	gd_cq_init(g, &w->cq, 1, 16);
	gd_sq_init(g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(g, &w->cq, 3, 0), 0);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	check_io(w, &w->sq, 8, 4);
	settle(w);
	assert_int_equal(w->raised[3], 4);
	assert_int_equal(w->intx_changes, 0);
}

static void test_eventfd(void **state)
{
	struct w *w = *state;
	struct gd *g = w->g;
	int fd = eventfd(0, EFD_NONBLOCK), fd2 = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 65, fd),
			 -EINVAL);
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_INTX, 1, fd),
			 -EINVAL);
	assert_int_equal(leap_vdev_irq_fd(w->v, 2, 0, fd), -EINVAL);
	assert_last_error("no vector 0 of kind 2");
	gd_msix_enable(g, 1);
	unmask(g, 0, 0);
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, fd), 0);
	gd_up(g, &w->cq, &w->sq, 16);
	check_io(w, &w->sq, 8, 1);
	settle(w);
	assert_true(taken(fd) >= 4);
	assert_int_equal(w->raised[0], 0);
	/* Another one instead. */
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, fd2), 0);
	check_io(w, &w->sq, 8, 2);
	settle(w);
	assert_int_equal(taken(fd2), 2);
	assert_int_equal(taken(fd), 0);
	/* None: the call again. */
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, -1), 0);
	check_io(w, &w->sq, 8, 3);
	settle(w);
	assert_int_equal(taken(fd2), 0);
	assert_int_equal(w->raised[0], 2);
	close(fd);
	close(fd2);
}

static void test_client_msix(void **state)
{
	struct w *w = *state;
	struct leap_vdev_opts o = vdev_opts(w);
	int fd = eventfd(0, EFD_NONBLOCK);

	o.client_msix = 1;
	o.nr_vectors = 4;
	o.vendor_id = 0x1234;
	o.device_id = 0x5678;
	o.no_shadow = 1;
	make_vdev(w, &o);
	assert_int_equal(gd_cfg(w->g, 0, 4), 0x56781234);
	/* Masks are the client's; so is the table. */
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 3, fd), 0);
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 4, fd),
			 -EINVAL);
	assert_int_equal(gd_enable(w->g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(w->g, &w->cq, 1, 16);
	gd_sq_init(w->g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(w->g, &w->cq, 3, 1), 0);
	assert_int_equal(gd_create_sq(w->g, &w->sq), 0);
	check_io(w, &w->sq, 8, 1);
	settle(w);
	assert_int_equal(taken(fd), 2);
	assert_int_equal(gd_dbbuf(w->g), LEAP_SC_INVALID_OPCODE);
	/* Without eventfds it is the pin again. */
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 3, -1), 0);
	assert_int_equal(w->level, 0);
	close(fd);
}

static void test_intx(void **state)
{
	struct w *w = *state;
	struct gd *g = w->g;
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	int fd = eventfd(0, EFD_NONBLOCK);
	uint16_t cid;

	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_INTX, 0, fd), 0);
	gd_up(g, &w->cq, &w->sq, 16);
	settle(w);
	assert_int_equal(w->level, 0);
	taken(fd);
	flush.cdw12 = leap_to_le32(0);
	cid = gd_submit(g, &w->sq, &flush);
	settle(w);
	assert_int_equal(w->level, 1);
	assert_int_equal(leap_vdev_intx_level(w->v), 1);
	assert_int_equal(gd_cfg(g, 0x06, 2), 0x18);
	assert_int_equal(taken(fd), 1);
	/* INTMS and INTMC. */
	gd_wr4(g, LEAP_REG_INTMS, 1);
	assert_int_equal(w->level, 0);
	assert_int_equal(gd_rd4(g, LEAP_REG_INTMC), 1);
	gd_wr4(g, LEAP_REG_INTMC, 1);
	assert_int_equal(w->level, 1);
	/* Interrupt disable. */
	gd_cfg_wr(g, 0x04, 0x0406, 2);
	assert_int_equal(w->level, 0);
	gd_cfg_wr(g, 0x04, 0x0006, 2);
	assert_int_equal(w->level, 1);
	/* It falls when the last entry is taken. */
	assert_int_equal(gd_wait(g, &w->sq, cid), 0);
	assert_int_equal(w->level, 0);
	assert_int_equal(gd_cfg(g, 0x06, 2), 0x10);
	/* MSI-X takes over. */
	cid = gd_submit(g, &w->sq, &flush);
	settle(w);
	assert_int_equal(w->level, 1);
	gd_msix_enable(g, 1);
	assert_int_equal(w->level, 0);
	gd_msix_enable(g, 0);
	assert_int_equal(w->level, 1);
	gd_disable(g);
	assert_int_equal(w->level, 0);
	close(fd);
}

/* ---- shadow doorbells ---- */

static void test_shadow(void **state)
{
	static const uint64_t bad[][2] = {
		{ 0, 0 }, { AT, 0 }, { 0, AT }, { AT + 4, AT + 4096 },
		{ AT, AT + 4096 + 2048 }, { AT, AT },
	};
	struct w *w = *state;
	struct gd *g = w->g;
	struct leap_sqe sqe = { .opc = LEAP_ADM_DBBUF_CONFIG };
	struct leap_vdev_info info = { .size = sizeof(info) };
	struct gd_cq cq2;
	struct gd_sq sq2;
	uint64_t mmio;
	uint32_t i;

	/* With the pin every head would be trapped. */
	gd_msix_enable(g, 1);
	gd_up(g, &w->cq, &w->sq, 16);
	for (i = 0; i < COUNT(bad); i++) {
		sqe.prp1 = leap_to_le64(bad[i][0]);
		sqe.prp2 = leap_to_le64(bad[i][1]);
		assert_int_equal(gd_cmd(g, &g->asq, &sqe),
				 LEAP_SC_INVALID_FIELD);
	}
	sqe.prp1 = leap_to_le64(0x1000);	/* no memory there */
	sqe.prp2 = leap_to_le64(0x2000);
	assert_int_equal(gd_cmd(g, &g->asq, &sqe), LEAP_SC_DATA_TRANSFER);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(info.shadow, 0);
	for (i = 0; i < 50; i++)
		check_io(w, &w->sq, 8, i);
	assert_int_equal(gd_dbbuf(g), 0);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(info.shadow, 1);
	mmio = g->mmio;
	for (i = 0; i < 200; i++)
		check_io(w, &w->sq, 8, i);
	/* The group polls all the time: hardly any access is trapped. */
	assert_true(g->mmio - mmio < 60);
	/* Queues made later use it too. */
	gd_cq_init(g, &cq2, 2, 8);
	gd_sq_init(g, &sq2, 2, 8, &cq2);
	assert_int_equal(gd_create_cq(g, &cq2, 0, 1), 0);
	assert_int_equal(gd_create_sq(g, &sq2), 0);
	mmio = g->mmio;
	for (i = 0; i < 200; i++)
		check_io(w, &sq2, 8, i);
	assert_true(g->mmio - mmio < 120);
	/* The pin, if it takes over, follows heads that nobody rings. */
	gd_msix_enable(g, 0);
	for (i = 0; i < 1000 && w->level; i++) {
		usleep(200);
		leap_pollgroup_poll(w->pg, 0);
	}
	assert_int_equal(w->level, 0);
	/* Forgotten by a reset. */
	gd_disable(g);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(info.shadow, 0);
	gd_up(g, &w->cq, &w->sq, 16);
	for (i = 0; i < 50; i++)
		check_io(w, &w->sq, 8, i);
}

static void test_coalesce(void **state)
{
	struct w *w = *state;
	struct gd *g = w->g;
	struct leap_sqe set = { .opc = LEAP_ADM_SET_FEATURES };
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	uint32_t i;

	flush.cdw12 = leap_to_le32(0);
	gd_msix_enable(g, 1);
	unmask(g, 0, 0);
	unmask(g, 5, 0);
	assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
	/* 5 entries or 25.5 ms. */
	set.cdw10 = leap_to_le32(LEAP_FID_INT_COALESCE);
	set.cdw11 = leap_to_le32(0xff04);
	assert_int_equal(gd_cmd(g, &g->asq, &set), 0);
	gd_cq_init(g, &w->cq, 1, 64);
	gd_sq_init(g, &w->sq, 1, 64, &w->cq);
	assert_int_equal(gd_create_cq(g, &w->cq, 5, 1), 0);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	w->raised[5] = 0;
	for (i = 0; i < 20; i++)
		assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
	settle(w);
	assert_true(w->raised[5] <= 5);
	/* Not for this vector. */
	set.cdw10 = leap_to_le32(LEAP_FID_INT_VECTOR);
	set.cdw11 = leap_to_le32(5 | 1u << 16);
	assert_int_equal(gd_cmd(g, &g->asq, &set), 0);
	settle(w);
	w->raised[5] = 0;
	for (i = 0; i < 20; i++)
		assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
	settle(w);
	assert_true(w->raised[5] >= 20);
	set.cdw11 = leap_to_le32(65);
	assert_int_equal(gd_cmd(g, &g->asq, &set), LEAP_SC_INVALID_FIELD);
	/* A reset forgets both. */
	gd_disable(g);
	unmask(g, 0, 0);
	assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(g, &w->cq, 1, 64);
	gd_sq_init(g, &w->sq, 1, 64, &w->cq);
	assert_int_equal(gd_create_cq(g, &w->cq, 5, 1), 0);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	w->raised[5] = 0;
	for (i = 0; i < 20; i++)
		assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
	settle(w);
	assert_true(w->raised[5] >= 20);
}

/* ---- resets and memory ---- */

/* Leaves @nr commands under way in a slow namespace. */
static void start_slow(struct w *w, uint32_t nr)
{
	struct gd *g = w->g;
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_READ, 2, 0, 8);
	uint32_t i;

	sqe.prp1 = leap_to_le64(gd_alloc(g, GD_PAGE));
	for (i = 0; i < nr; i++)
		gd_push(g, &w->sq, &sqe);
	gd_ring_sq(g, &w->sq);
	for (i = 0; i < 10; i++)
		poll_home(w);
}

static void test_flr(void **state)
{
	struct w *w = *state;
	struct gd *g = w->g;
	uint32_t pcie = gd_cap(g, 0x10), how;
	uint64_t used = g->used;
	int done;

	add_ns(w, "delay[read_us=50000] -> memory:16M", 2);
	for (how = 0; how < 3; how++) {
		g->used = used;
		gd_msix_enable(g, 1);
		gd_up(g, &w->cq, &w->sq, 32);
		check_io(w, &w->sq, 8, how);
		start_slow(w, 20);
		done = 0;
		if (how == 0)
			leap_vdev_reset(w->v, set_err, &done);
		else if (how == 1)
			gd_cfg_wr(g, pcie + 8, 0x8000, 2);
		else
			gd_cfg_wr(g, pcie + 9, 0x80, 1);
		/* As after power on, at once. */
		assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), 0);
		assert_int_equal(gd_rd4(g, LEAP_REG_CC), 0);
		assert_int_equal(gd_rd4(g, LEAP_REG_AQA), 0);
		assert_int_equal(gd_rd8(g, LEAP_REG_ASQ), 0);
		assert_int_equal(gd_cfg(g, 0x04, 2), 0);
		assert_int_equal(gd_cfg(g, pcie + 8, 2) & 0x8000, 0);
		assert_int_equal(gd_cfg(g, gd_cap(g, 0x11) + 2, 2),
				 NR_VECTORS - 1);
		assert_false(done);
		if (how)
			leap_vdev_reset(w->v, set_err, &done);
		wait_for(w, &done);
		assert_int_equal(done, 1);
		assert_null(leap__vdev_ctrl(w->v)->conn);
		assert_int_equal(leap__vdev_ctrl(w->v)->nr_ioqs, 0);
	}
	/* Nothing to wait for. */
	done = 0;
	leap_vdev_reset(w->v, set_err, &done);
	assert_false(done);
	wait_for(w, &done);
	/* A guest that does not wait. */
	g->used = used;
	gd_up(g, &w->cq, &w->sq, 32);
	start_slow(w, 20);
	leap_vdev_reset(w->v, NULL, NULL);
	gd_up(g, &w->cq, &w->sq, 32);
	check_io(w, &w->sq, 8, 5);
}

static void test_reset_timeout(void **state)
{
	struct w *w = *state;
	int done = 0;

	add_ns(w, "delay[read_us=4000000] -> memory:16M", 2);
	gd_up(w->g, &w->cq, &w->sq, 32);
	start_slow(w, 3);
	leap_vdev_reset(w->v, set_err, &done);
	wait_for(w, &done);
	assert_int_equal(done, -ETIMEDOUT);
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CSTS), LEAP_CSTS_CFS);
	done = 0;
	leap_vdev_mem_del(w->v, (leap_gpa_t){ GD_BASE }, RAM_BYTES, set_err,
			  &done);
	wait_for(w, &done);
}

static void test_mem(void **state)
{
	struct w *w = *state;
	struct gd *g = w->g;
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	struct leap_vdev_info info = { .size = sizeof(info) };
	leap_gpa_t base = { GD_BASE };
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	uint16_t cid;
	int done = 0;

	r.gpa = base;
	r.bytes = RAM_BYTES;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = g->ram;
	assert_int_equal(leap_vdev_mem_add(w->v, &r), -EEXIST);
	assert_int_equal(leap_vdev_mem_del(w->v, base, 4096, set_err, &done),
			 -ENOENT);
	add_ns(w, "delay[read_us=50000] -> memory:16M", 2);
	gd_up(g, &w->cq, &w->sq, 32);
	start_slow(w, 10);
	/* Not before the reads have landed. */
	assert_int_equal(leap_vdev_mem_del(w->v, base, RAM_BYTES, set_err,
					   &done), 0);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(info.nr_ranges, 0);
	assert_int_equal(info.mem_bytes, 0);
	poll_home(w);
	assert_false(done);
	wait_for(w, &done);
	assert_int_equal(done, 1);
	assert_int_equal(leap_vdev_mem_del(w->v, base, RAM_BYTES, set_err,
					   &done), -ENOENT);
	/* Back again: the queues go on where they were. */
	assert_int_equal(leap_vdev_mem_add(w->v, &r), 0);
	flush.cdw12 = leap_to_le32(0);
	cid = gd_submit(g, &w->sq, &flush);
	assert_int_equal(gd_wait(g, &w->sq, cid), 0);
	assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	settle(w);
}

/* ---- a process that is replaced ---- */

/* As a new process does, after the old one has stopped where it stood. */
static void replace(struct w *w, struct leap__saved *s)
{
	struct leap_vdev_opts o = vdev_opts(w);
	int gone = 0, err;

	while ((err = leap__vdev_save(w->v, s)) == -EAGAIN)
		poll_home(w);
	assert_int_equal(err, 0);
	leap_vdev_destroy(w->v, set_flag, &gone);
	wait_for(w, &gone);
	w->v = NULL;
	assert_int_equal(leap__vdev_restore(w->ss, &o, s, &w->v), 0);
	w->g->v = w->v;
}

static void test_save(void **state)
{
	struct w *w = *state;
	struct gd *g = w->g;
	struct leap__saved s;
	struct leap_sqe aer = { .opc = LEAP_ADM_AER };
	struct leap_sqe slow = gd_sqe_rw(LEAP_NVM_READ, 2, 0, 8);
	struct leap_vdev_info before = { .size = sizeof(before) }, after;
	uint32_t turn, i, cmd, data;
	uint16_t cid[8], aer_cid;
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t addr;

	add_ns(w, "delay[read_us=20000] -> memory:16M", 2);
	gd_msix_enable(g, 1);
	unmask(g, 0, 0x4030);
	unmask(g, 7, 0x4037);
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 7, fd), 0);
	assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(g, &w->cq, 3, 20);
	gd_sq_init(g, &w->sq, 5, 12, &w->cq);
	assert_int_equal(gd_create_cq(g, &w->cq, 7, 1), 0);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	aer_cid = gd_submit(g, &g->asq, &aer);
	slow.prp1 = leap_to_le64(gd_alloc(g, GD_PAGE));
	for (turn = 0; turn < 6; turn++) {
		if (turn == 3)
			assert_int_equal(gd_dbbuf(g), 0);
		for (i = 0; i < 33; i++)
			check_io(w, &w->sq, 8, turn * 100 + i);
		for (i = 0; i < 8; i++)
			cid[i] = gd_submit(g, &w->sq, &slow);
		for (i = 0; i < turn; i++)
			poll_home(w);
		taken(fd);
		cmd = gd_cfg(g, 0x04, 2);
		assert_int_equal(leap_vdev_info(w->v, &before), 0);
		replace(w, &s);
		after.size = sizeof(after);
		assert_int_equal(leap_vdev_info(w->v, &after), 0);
		assert_int_equal(after.cntlid, before.cntlid);
		assert_int_equal(after.nr_sqs, 1);
		assert_int_equal(after.shadow, turn >= 3);
		assert_int_equal(after.mem_bytes, RAM_BYTES);
		assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), LEAP_CSTS_RDY);
		assert_int_equal(gd_rd4(g, LEAP_REG_CC), GD_CC_ENABLE);
		assert_int_equal(gd_cfg(g, 0x04, 2), cmd);
		assert_int_equal(leap_vdev_msix(w->v, 7, &addr, &data), 0);
		assert_int_equal(data, 0x4037);
		for (i = 0; i < 8; i++)
			assert_int_equal(gd_wait(g, &w->sq, cid[i]), 0);
		settle(w);
		assert_true(taken(fd) > 0);
		leap__saved_free(&s);
	}
	/* The event request is still there. */
	assert_false(g->done[aer_cid]);
	gd_wr4(g, LEAP_REG_SQTDBL(9, 0), 1);
	assert_int_equal(gd_wait(g, &g->asq, aer_cid), 0);
	assert_int_equal(leap_vdev_info(w->v, &after), 0);
	assert_true(after.commands >= 6 * (66 + 8));
	gd_disable(g);
	gd_up(g, &w->cq, &w->sq, 16);
	check_io(w, &w->sq, 8, 1);
	close(fd);
}

/* Whatever the bytes are, nothing is left behind. */
static void test_restore_noise(void **state)
{
	struct w *w = *state;
	struct leap__saved s, bad;
	struct leap_vdev *v;
	struct test_rand r = { 5 };
	uint32_t i, n;
	int err, gone;

	gd_up(w->g, &w->cq, &w->sq, 16);
	assert_int_equal(leap__vdev_save(w->v, &s), 0);
	assert_int_equal(leap__vdev_restore(w->ss, NULL, &s, &v), -EBUSY);
	drop_vdev(w);
	settle(w);
	bad = s;
	for (i = 0; i < 400; i++) {
		bad.len = i % 3 ? s.len : test_rand_below(&r, (uint32_t)s.len);
		bad.bytes = exact_copy(s.bytes, bad.len);
		for (n = test_rand_below(&r, 4); i % 3 && n; n--)
			bad.bytes[test_rand_below(&r, (uint32_t)bad.len)] =
				(uint8_t)test_rand_next(&r);
		err = leap__vdev_restore(w->ss, NULL, &bad, &v);
		if (!err) {
			settle(w);
			gone = 0;
			leap_vdev_destroy(v, set_flag, &gone);
			wait_for(w, &gone);
		}
		settle(w);
		free(bad.bytes);
	}
	leap__saved_free(&s);
	assert_null(leap__vdev_next(w->target, NULL));
}

/* ---- drives come and go ---- */

static void test_pull_out(void **state)
{
	struct w *w = *state;
	int gone = 0;
	uint8_t b[4];

	/* Under I/O. */
	add_ns(w, "delay[read_us=20000] -> memory:16M", 2);
	gd_up(w->g, &w->cq, &w->sq, 32);
	start_slow(w, 20);
	leap_vdev_destroy(w->v, set_flag, &gone);
	assert_false(gone);
	wait_for(w, &gone);
	gd_free(w->g);
	/* By the operator: the guest sees nothing there. */
	{
		struct leap_vdev_opts o = vdev_opts(w);

		make_vdev(w, &o);
	}
	gd_up(w->g, &w->cq, &w->sq, 32);
	start_slow(w, 20);
	assert_int_equal(leap_ctrl_disconnect(w->ss,
			 leap__vdev_ctrl(w->v)->cntlid), 0);
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CSTS), 0xffffffff);
	gd_wr4(w->g, LEAP_REG_CC, 0);
	settle(w);
	usleep(30000);
	settle(w);
	leap_vdev_config_read(w->v, 0, b, 4);
	assert_int_equal(b[0] & b[1] & b[2] & b[3], 0xff);
	gone = 0;
	leap_vdev_reset(w->v, set_err, &gone);
	wait_for(w, &gone);
	drop_vdev(w);
	/* With the whole subsystem. */
	{
		struct leap_vdev_opts o = vdev_opts(w);

		make_vdev(w, &o);
	}
	gd_up(w->g, &w->cq, &w->sq, 32);
	start_slow(w, 20);
	gone = 0;
	leap_subsystem_destroy(w->ss, set_flag, &gone);
	wait_for(w, &gone);
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CSTS), 0xffffffff);
}

#define NR_DRIVES 16

static unsigned int nr_fds(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 2048; fd++)
		n += dup2(fd, fd) == fd;
	return n;
}

static void test_hotplug(void **state)
{
	struct w *w = *state, x[NR_DRIVES];
	struct leap_vdev_opts o = vdev_opts(w);
	unsigned int turn, i, fds = nr_fds();
	struct test_rand r;
	int gone[NR_DRIVES];

	r.s = 16;
	memset(x, 0, sizeof(x));
	for (turn = 0; turn < 1000; turn++) {
		struct w *one = &x[test_rand_next(&r) % NR_DRIVES];

		i = (unsigned int)(one - x);
		if (!one->v) {
			*one = *w;
			o.arg = one;
			make_vdev(one, &o);
			gd_up(one->g, &one->cq, &one->sq, 16);
			check_io(one, &one->sq, 8, turn);
			continue;
		}
		check_io(one, &one->sq, 8, turn);
		gone[i] = 0;
		leap_vdev_destroy(one->v, set_flag, &gone[i]);
		wait_for(w, &gone[i]);
		gd_free(one->g);
		one->v = NULL;
	}
	for (i = 0; i < NR_DRIVES; i++)
		if (x[i].v) {
			drop_vdev(&x[i]);
		}
	settle(w);
	assert_int_equal(nr_fds(), fds);
	assert_null(leap__vdev_next(w->target, NULL));
}

static void test_bad_create(void **state)
{
	struct w *w = *state;
	struct leap_vdev_opts o = vdev_opts(w);
	struct leap_vdev *v = NULL;

	o.nr_vectors = 129;
	assert_int_equal(leap_vdev_create(w->ss, &o, &v), -EINVAL);
	assert_last_error("nr_vectors 129 exceeds 128");
	o = vdev_opts(w);
	o.hostnqn = "no nqn";
	assert_int_equal(leap_vdev_create(w->ss, &o, &v), -EINVAL);
	assert_last_error("hostnqn");
	assert_null(v);
	leap_vdev_destroy(NULL, NULL, NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define B(f) cmocka_unit_test_setup_teardown(f, set_up_bare, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_header),
		T(test_caps),
		T(test_bar_accesses),
		T(test_enable),
		T(test_io),
		T(test_refused),
		T(test_entry_sizes),
		T(test_many),
		T(test_bad_doorbells),
		T(test_bus_master),
		T(test_msix),
		T(test_eventfd),
		B(test_client_msix),
		T(test_intx),
		T(test_shadow),
		T(test_coalesce),
		T(test_flr),
		T(test_reset_timeout),
		T(test_mem),
		T(test_save),
		T(test_restore_noise),
		T(test_pull_out),
		B(test_hotplug),
		B(test_bad_create),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
