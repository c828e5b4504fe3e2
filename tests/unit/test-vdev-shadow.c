/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbell Buffer Config while the guest goes on: what it rings and which
 * queues it makes before it has the answer, doorbells that come later than they
 * were rung, the command a second time. That shadow doorbells spare accesses is
 * test-vdev-irq's and test-vdev-doorbells'.
 */
#include "vdev-fixture.h"

#include <leapio/nvme.h>

/* Doorbell Buffer Config, with which @turns later something else is done. */
static uint16_t ask_config(struct vx *w, int turns, uint64_t *db, uint64_t *ei)
{
	struct leap_sqe config = { .opc = LEAP_ADM_DBBUF_CONFIG };
	uint16_t cid;

	*db = gd_alloc(w->g, GD_PAGE);
	*ei = gd_alloc(w->g, GD_PAGE);
	config.prp1 = leap_to_le64(*db);
	config.prp2 = leap_to_le64(*ei);
	cid = gd_submit(w->g, &w->g->asq, &config);
	while (turns--)
		vx_poll(w);
	return cid;
}

static void has_shadow(struct gd *g, uint64_t db, uint64_t ei)
{
	g->shadow = db;
	g->eventidx = ei;
}

/*
 * It is on its way, and another processor of the guest rings as before, because
 * it may: the words hold that when the answer is there.
 */
static void test_rung_meanwhile(void **state)
{
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	struct vx *w = *state;
	struct gd *g = w->g;
	uint16_t asked, cid;
	uint64_t db, ei;
	int turns;

	for (turns = 0; turns < 10; turns++) {
		gd_up(g, &w->cq, &w->sq, 8);
		asked = ask_config(w, turns, &db, &ei);
		cid = gd_submit(g, &w->sq, &flush);
		assert_int_equal(gd_wait(g, &g->asq, asked), 0);
		has_shadow(g, db, ei);
		assert_int_equal(gd_wait(g, &w->sq, cid), 0);
		gd_disable(g);
		has_shadow(g, 0, 0);
	}
}

/* Or makes a queue, which has such words like all others. */
static void test_made_meanwhile(void **state)
{
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	struct vx *w = *state;
	struct gd *g = w->g;
	uint16_t asked, cid;
	uint64_t db, ei;
	struct leap_sqe create;
	struct gd_sq sq2;
	int turns, i;

	for (turns = 0; turns < 10; turns++) {
		gd_up(g, &w->cq, &w->sq, 8);
		gd_sq_init(g, &sq2, 2, 8, &w->cq);
		create = gd_sqe_create_sq(&sq2);
		asked = ask_config(w, turns, &db, &ei);
		cid = gd_submit(g, &g->asq, &create);
		assert_int_equal(gd_wait(g, &g->asq, asked), 0);
		has_shadow(g, db, ei);
		assert_int_equal(gd_wait(g, &g->asq, cid), 0);
		for (i = 0; i < 20; i++) {
			assert_int_equal(gd_cmd(g, &sq2, &flush), 0);
			assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
		}
		gd_disable(g);
		has_shadow(g, 0, 0);
	}
}

/* One that rings in the page before it has the answer, as kernels do: that is
 * not taken back. */
static void test_rung_early(void **state)
{
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	struct leap_vdev_info info = { .size = sizeof(info) };
	struct vx *w = *state;
	struct gd *g = w->g;
	uint16_t asked, cid[3];
	uint64_t db, ei, before;
	int turns, i;

	for (turns = 0; turns < 10; turns++) {
		gd_up(g, &w->cq, &w->sq, 8);
		assert_int_equal(leap_vdev_info(w->v, &info), 0);
		before = info.commands;
		asked = ask_config(w, turns, &db, &ei);
		has_shadow(g, db, ei);
		/* The second one's doorbell is the page alone. */
		cid[0] = gd_submit(g, &w->sq, &flush);
		cid[1] = gd_submit(g, &w->sq, &flush);
		assert_int_equal(gd_wait(g, &g->asq, asked), 0);
		cid[2] = gd_submit(g, &w->sq, &flush);
		for (i = 0; i < 3; i++)
			assert_int_equal(gd_wait(g, &w->sq, cid[i]), 0);
		for (i = 0; i < 20; i++)
			assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
		vx_settle(w);
		assert_int_equal(leap_vdev_info(w->v, &info), 0);
		assert_int_equal(info.commands - before, 23);
		gd_disable(g);
		has_shadow(g, 0, 0);
	}
}

/* What is stored in the page for doorbell @index. */
static uint32_t word(struct gd *g, uint64_t db, uint32_t index)
{
	const leap_le32 *page = gd_at(g, db);

	return leap_from_le32(page[index]) & 0xffff;
}

/*
 * A doorbell from before the answer, which a posted write brings after it, is
 * none that the page knows of.
 */
static void test_rung_late(void **state)
{
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	struct vx *w = *state;
	struct gd *g = w->g;
	uint16_t asked, cid[3];
	uint64_t db, ei;
	uint32_t i;

	gd_up(g, &w->cq, &w->sq, 8);
	for (i = 0; i < 6; i++)
		assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
	asked = ask_config(w, 0, &db, &ei);
	vx_settle(w);
	for (i = 0; i < COUNT(cid); i++)
		cid[i] = gd_submit(g, &w->sq, &flush);
	for (i = 0; i < COUNT(cid); i++)
		assert_int_equal(gd_wait(g, &w->sq, cid[i]), 0);
	assert_int_equal(word(g, db, 2), w->sq.tail);
	assert_int_equal(word(g, db, 3), w->cq.head);
	assert_int_equal(gd_wait(g, &g->asq, asked), 0);
	has_shadow(g, db, ei);
	for (i = 0; i < 20; i++)
		assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
}

/*
 * But one may come as late as it likes: where the guest has rung in the page
 * once, the page is right. This one does not tell how far it is with the admin
 * queue.
 */
static void test_rung_too_late(void **state)
{
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	struct leap_vdev_info info = { .size = sizeof(info) };
	struct vx *w = *state;
	struct gd *g = w->g;
	uint64_t db, ei, commands;
	uint32_t i, late;

	gd_up(g, &w->cq, &w->sq, 8);
	ask_config(w, 0, &db, &ei);
	vx_settle(w);
	has_shadow(g, db, ei);
	for (i = 0; i < 80; i++) {
		assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
		assert_int_equal(leap_vdev_info(w->v, &info), 0);
		commands = info.commands;
		/* As if rung a lap ago, and again from where the page is. */
		gd_wr4(g, LEAP_REG_SQTDBL(1, 0), w->sq.tail);
		gd_wr4(g, LEAP_REG_CQHDBL(1, 0), w->cq.head);
		for (late = 0; late < 8; late++) {
			gd_wr4(g, LEAP_REG_SQTDBL(1, 0), late);
			gd_wr4(g, LEAP_REG_CQHDBL(1, 0), late);
		}
		vx_settle(w);
		assert_int_equal(word(g, db, 2), w->sq.tail);
		assert_int_equal(word(g, db, 3), w->cq.head);
		assert_int_equal(leap_vdev_info(w->v, &info), 0);
		assert_int_equal(info.commands, commands);
	}
}

/* The same pages again are all right; others are not, wherever they are. */
static void test_configured_again(void **state)
{
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	struct leap_sqe again = { .opc = LEAP_ADM_DBBUF_CONFIG };
	struct vx *w = *state;
	struct gd *g = w->g;
	uint64_t pages[] = { gd_alloc(g, GD_PAGE), 0x1000 };
	uint32_t i, n;

	gd_up(g, &w->cq, &w->sq, 8);
	for (i = 0; i < 3; i++)
		assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
	assert_int_equal(gd_dbbuf(g), 0);
	for (n = 0; n < 12; n++) {
		for (i = 0; i < 5; i++)
			assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
		again.prp1 = leap_to_le64(pages[n % 2]);
		again.prp2 = leap_to_le64(g->eventidx);
		assert_int_equal(gd_cmd(g, &g->asq, &again),
				 LEAP_SC_CMD_SEQUENCE);
		assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
		again.prp1 = leap_to_le64(g->shadow);
		assert_int_equal(gd_cmd(g, &g->asq, &again), 0);
	}
}

/*
 * After a reset it is sent again, as kernels do, and the pages may be others:
 * those of before are the guest's for anything.
 */
static void test_after_reset(void **state)
{
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	struct vx *w = *state;
	struct gd *g = w->g;
	uint64_t db, ei, k;
	uint32_t i, n;

	for (n = 0; n < 6; n++) {
		gd_up(g, &w->cq, &w->sq, 8);
		assert_int_equal(gd_dbbuf(g), 0);
		for (i = 0; i < 5; i++)
			assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
		db = g->shadow;
		ei = g->eventidx;
		has_shadow(g, 0, 0);
		if (n % 2) {
			leap_vdev_reset(w->v, NULL, NULL);
			gd_bus_master(g);
		} else {
			gd_disable(g);
		}
		memset(gd_at(g, db), 0xa5, GD_PAGE);
		memset(gd_at(g, ei), 0xa5, GD_PAGE);
		gd_up(g, &w->cq, &w->sq, 8);
		for (i = 0; i < 5; i++)
			assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
		assert_int_equal(gd_dbbuf(g), 0);
		assert_int_not_equal(g->shadow, db);
		for (i = 0; i < 20; i++)
			assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
		for (k = 0; k < GD_PAGE; k++)
			if (*(uint8_t *)gd_at(g, db + k) != 0xa5 ||
			    *(uint8_t *)gd_at(g, ei + k) != 0xa5)
				fail_msg("byte %u was written", (unsigned)k);
		gd_disable(g);
		has_shadow(g, 0, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VX_T(test_rung_meanwhile),
		VX_T(test_made_meanwhile),
		VX_T(test_rung_early),
		VX_T(test_rung_late),
		VX_T(test_rung_too_late),
		VX_T(test_configured_again),
		VX_T(test_after_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
