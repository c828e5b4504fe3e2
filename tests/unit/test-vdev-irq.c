/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MSI-X and the pin of a virtual drive, and its shadow doorbells.
 */
#include "vdev-fixture.h"

#include <leapio/nvme.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include "core/ctrl/vdev_priv.h"

#define AT	(GD_BASE + 0x100000)

/* ---- interrupts ---- */

static void test_msix(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	uint32_t data, ctrl = gd_cap(g, 0x11) + 2;
	uint64_t addr;

	/* The table as it is after a reset. */
	assert_int_equal(gd_rd4(g, LEAP_VDEV_MSIX_TABLE + 12), 1);
	assert_int_equal(leap_vdev_msix(w->v, 3, &addr, &data), 1);
	assert_int_equal(leap_vdev_msix(w->v, 65, &addr, &data), -EINVAL);
	gd_msix_enable(g, 1);
	vx_unmask(g, 3, 0x4033);
	assert_int_equal(leap_vdev_msix(w->v, 3, &addr, &data), 0);
	assert_int_equal(addr, 0xfee03000);
	assert_int_equal(data, 0x4033);
	assert_int_equal(gd_rd8(g, LEAP_VDEV_MSIX_TABLE + 16 * 65), 0);
	vx_unmask(g, 0, 0);
	assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(g, &w->cq, 1, 16);
	gd_sq_init(g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(g, &w->cq, 3, 1), 0);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	vx_settle(w);
	assert_true(w->raised[0] > 0);
	w->raised[3] = 0;
	vx_check_io(w, &w->sq, 8, 1);
	vx_settle(w);
	assert_int_equal(w->raised[3], 2);
	/* Masked: pending, and one when unmasked. */
	gd_wr4(g, LEAP_VDEV_MSIX_TABLE + 3 * 16 + 12, 1);
	vx_check_io(w, &w->sq, 8, 2);
	vx_settle(w);
	assert_int_equal(w->raised[3], 2);
	assert_int_equal(gd_rd8(g, LEAP_VDEV_MSIX_PBA), 8);
	gd_wr4(g, LEAP_VDEV_MSIX_TABLE + 3 * 16 + 12, 0);
	assert_int_equal(w->raised[3], 3);
	assert_int_equal(gd_rd8(g, LEAP_VDEV_MSIX_PBA), 0);
	/* The same for the mask of the function. */
	gd_cfg_wr(g, ctrl, 0xc000, 2);
	vx_check_io(w, &w->sq, 8, 3);
	vx_settle(w);
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
	vx_check_io(w, &w->sq, 8, 4);
	vx_settle(w);
	assert_int_equal(w->raised[3], 4);
	assert_int_equal(w->intx_changes, 0);
}

static void test_eventfd(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	int fd = eventfd(0, EFD_NONBLOCK), fd2 = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 65, fd),
			 -EINVAL);
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_INTX, 1, fd),
			 -EINVAL);
	assert_int_equal(leap_vdev_irq_fd(w->v, 2, 0, fd), -EINVAL);
	assert_last_error("no vector 0 of kind 2");
	gd_msix_enable(g, 1);
	vx_unmask(g, 0, 0);
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, fd), 0);
	gd_up(g, &w->cq, &w->sq, 16);
	vx_check_io(w, &w->sq, 8, 1);
	vx_settle(w);
	assert_true(vx_taken(fd) >= 4);
	assert_int_equal(w->raised[0], 0);
	/* Another one instead. */
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, fd2), 0);
	vx_check_io(w, &w->sq, 8, 2);
	vx_settle(w);
	assert_int_equal(vx_taken(fd2), 2);
	assert_int_equal(vx_taken(fd), 0);
	/* None: the call again. */
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, -1), 0);
	vx_check_io(w, &w->sq, 8, 3);
	vx_settle(w);
	assert_int_equal(vx_taken(fd2), 0);
	assert_int_equal(w->raised[0], 2);
	close(fd);
	close(fd2);
}

static void test_client_msix(void **state)
{
	struct vx *w = *state;
	struct leap_vdev_opts o = vx_opts(w);
	int fd = eventfd(0, EFD_NONBLOCK);

	o.client_msix = 1;
	o.nr_vectors = 4;
	o.vendor_id = 0x1234;
	o.device_id = 0x5678;
	o.no_shadow = 1;
	vx_make(w, &o);
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
	vx_check_io(w, &w->sq, 8, 1);
	vx_settle(w);
	assert_int_equal(vx_taken(fd), 2);
	assert_int_equal(gd_dbbuf(w->g), LEAP_SC_INVALID_OPCODE);
	/* Without eventfds it is the pin again. */
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 3, -1), 0);
	assert_int_equal(w->level, 0);
	close(fd);
}

static void test_intx(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	int fd = eventfd(0, EFD_NONBLOCK);
	uint16_t cid;

	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_INTX, 0, fd), 0);
	gd_up(g, &w->cq, &w->sq, 16);
	vx_settle(w);
	assert_int_equal(w->level, 0);
	vx_taken(fd);
	flush.cdw12 = leap_to_le32(0);
	cid = gd_submit(g, &w->sq, &flush);
	vx_settle(w);
	assert_int_equal(w->level, 1);
	assert_int_equal(leap_vdev_intx_level(w->v), 1);
	assert_int_equal(gd_cfg(g, 0x06, 2), 0x18);
	assert_int_equal(vx_taken(fd), 1);
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
	/* It falls when the last entry is vx_taken. */
	assert_int_equal(gd_wait(g, &w->sq, cid), 0);
	assert_int_equal(w->level, 0);
	assert_int_equal(gd_cfg(g, 0x06, 2), 0x10);
	/* MSI-X takes over. */
	cid = gd_submit(g, &w->sq, &flush);
	vx_settle(w);
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

static void refused_shadows(struct gd *g)
{
	static const uint64_t bad[][2] = {
		{ 0, 0 }, { AT, 0 }, { 0, AT }, { AT + 4, AT + 4096 },
		{ AT, AT + 4096 + 2048 }, { AT, AT },
	};
	struct leap_sqe sqe = { .opc = LEAP_ADM_DBBUF_CONFIG };
	uint32_t i;

	for (i = 0; i < COUNT(bad); i++) {
		sqe.prp1 = leap_to_le64(bad[i][0]);
		sqe.prp2 = leap_to_le64(bad[i][1]);
		assert_int_equal(gd_cmd(g, &g->asq, &sqe),
				 LEAP_SC_INVALID_FIELD);
	}
	sqe.prp1 = leap_to_le64(0x1000);	/* no memory there */
	sqe.prp2 = leap_to_le64(0x2000);
	assert_int_equal(gd_cmd(g, &g->asq, &sqe), LEAP_SC_DATA_TRANSFER);
}

static void test_shadow(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	struct leap_vdev_info info = { .size = sizeof(info) };
	struct gd_cq cq2;
	struct gd_sq sq2;
	uint64_t mmio;
	uint32_t i;

	/* With the pin every head would be trapped. */
	gd_msix_enable(g, 1);
	gd_up(g, &w->cq, &w->sq, 16);
	refused_shadows(g);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(info.shadow, 0);
	for (i = 0; i < 50; i++)
		vx_check_io(w, &w->sq, 8, i);
	assert_int_equal(gd_dbbuf(g), 0);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(info.shadow, 1);
	mmio = g->mmio;
	for (i = 0; i < 200; i++)
		vx_check_io(w, &w->sq, 8, i);
	/* The group polls all the time: hardly any access is trapped. */
	assert_true(g->mmio - mmio < 60);
	/* Queues made later use it too. */
	gd_cq_init(g, &cq2, 2, 8);
	gd_sq_init(g, &sq2, 2, 8, &cq2);
	assert_int_equal(gd_create_cq(g, &cq2, 0, 1), 0);
	assert_int_equal(gd_create_sq(g, &sq2), 0);
	mmio = g->mmio;
	for (i = 0; i < 200; i++)
		vx_check_io(w, &sq2, 8, i);
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
		vx_check_io(w, &w->sq, 8, i);
}

/*
 * With the pin, heads in a page move without our being told: they are looked
 * at, less and less often when a guest does not take what there is. Timers are
 * never early, however slow the machine is.
 */
static void test_pin_looks(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	uint64_t from;
	uint32_t looks;
	uint16_t cid;

	gd_msix_enable(g, 1);
	gd_up(g, &w->cq, &w->sq, 16);
	assert_int_equal(gd_dbbuf(g), 0);
	flush.cdw12 = leap_to_le32(0);
	cid = gd_submit(g, &w->sq, &flush);
	vx_settle(w);
	gd_msix_enable(g, 0);
	assert_int_equal(w->level, 1);
	from = leap_pollgroup_now_ns(w->pg);
	for (looks = 0; looks < 12;)
		looks += leap_pollgroup_wait(w->pg, 1000000000) > 0;
	assert_true(leap_pollgroup_now_ns(w->pg) - from > 40000000);
	/* It still falls. */
	assert_int_equal(gd_wait(g, &w->sq, cid), 0);
	for (looks = 0; looks < 100 && w->level; looks++)
		leap_pollgroup_wait(w->pg, 100000000);
	assert_int_equal(w->level, 0);
}

static void test_coalesce(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	struct leap_sqe set = { .opc = LEAP_ADM_SET_FEATURES };
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	uint64_t from;
	uint32_t i;

	flush.cdw12 = leap_to_le32(0);
	gd_msix_enable(g, 1);
	vx_unmask(g, 0, 0);
	vx_unmask(g, 5, 0);
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
	from = leap_pollgroup_now_ns(w->pg);
	for (i = 0; i < 20; i++)
		assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
	vx_settle(w);
	/* And those of the time that has passed. */
	assert_true(w->raised[5] <= 5 +
		    (leap_pollgroup_now_ns(w->pg) - from) / 25500000);
	/* Not for this vector. */
	set.cdw10 = leap_to_le32(LEAP_FID_INT_VECTOR);
	set.cdw11 = leap_to_le32(5 | 1u << 16);
	assert_int_equal(gd_cmd(g, &g->asq, &set), 0);
	vx_settle(w);
	w->raised[5] = 0;
	for (i = 0; i < 20; i++)
		assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
	vx_settle(w);
	assert_true(w->raised[5] >= 20);
	set.cdw11 = leap_to_le32(65);
	assert_int_equal(gd_cmd(g, &g->asq, &set), LEAP_SC_INVALID_FIELD);
	/* A reset forgets both. */
	gd_disable(g);
	vx_unmask(g, 0, 0);
	assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(g, &w->cq, 1, 64);
	gd_sq_init(g, &w->sq, 1, 64, &w->cq);
	assert_int_equal(gd_create_cq(g, &w->cq, 5, 1), 0);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	w->raised[5] = 0;
	for (i = 0; i < 20; i++)
		assert_int_equal(gd_cmd(g, &w->sq, &flush), 0);
	vx_settle(w);
	assert_true(w->raised[5] >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VX_T(test_msix),
		VX_T(test_eventfd),
		VX_B(test_client_msix),
		VX_T(test_intx),
		VX_T(test_shadow),
		VX_T(test_pin_looks),
		VX_T(test_coalesce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
