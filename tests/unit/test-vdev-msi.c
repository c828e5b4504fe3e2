/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtual drive whose interrupts are messages by MSI, with the masks that it
 * has in registers, or the pin alone.
 */
#include "vdev-fixture.h"

#include <leapio/nvme.h>

#include <sys/eventfd.h>
#include <unistd.h>

/* Address and data of MSI: 4 messages of the 8 that there are. */
#define MSI_ON	(0x20 | 1)

static void msi_write(struct gd *g, uint32_t ctrl)
{
	uint32_t at = gd_cap(g, 0x05);

	gd_cfg_wr(g, at + 4, 0xfee01003, 4);
	gd_cfg_wr(g, at + 8, 0x1, 4);
	gd_cfg_wr(g, at + 12, 0x4032, 2);
	gd_cfg_wr(g, at + 2, ctrl, 2);
}

/* Its capability at @at, switched on; and no other one's. */
static void check_msi_space(struct vx *w, uint32_t at)
{
	struct leap_vdev_info info = { .size = sizeof(info) };
	struct gd *g = w->g;
	uint32_t data, i;
	uint64_t addr;

	assert_true(at && gd_cap(g, 0x01) && gd_cap(g, 0x10));
	assert_int_equal(gd_cap(g, 0x11), 0);
	assert_int_equal(gd_cfg(g, at + 2, 2), 0x86);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(info.irqs, LEAP_VDEV_HAS_MSI);
	assert_int_equal(info.nr_vectors, 8);
	/* There is no table. */
	gd_wr4(g, LEAP_VDEV_MSIX_TABLE, 0x1000);
	for (i = 0; i < 16; i += 4)
		assert_int_equal(gd_rd4(g, LEAP_VDEV_MSIX_TABLE + i), 0);
	assert_int_equal(leap_vdev_msix(w->v, 0, &addr, &data), 1);
	msi_write(g, MSI_ON);
	assert_int_equal(gd_cfg(g, at + 2, 2), 0x86 | MSI_ON);
	assert_int_equal(leap_vdev_msix(w->v, 3, &addr, &data), 0);
	assert_int_equal(addr, 0x1fee01000);
	assert_int_equal(data, 0x4033);
	assert_int_equal(leap_vdev_msix(w->v, 4, &addr, &data), 1);
	assert_int_equal(leap_vdev_msix(w->v, 8, &addr, &data), -EINVAL);
}

static void test_msi(void **state)
{
	struct vx *w = *state;
	struct leap_vdev_opts o = vx_opts(w);
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	uint32_t at, data;
	uint64_t addr;
	struct gd *g;
	uint16_t cid;

	o.irqs = LEAP_VDEV_HAS_MSI;
	o.nr_vectors = 5;
	vx_make(w, &o);
	g = w->g;
	at = gd_cap(g, 0x05);
	check_msi_space(w, at);
	assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(g, &w->cq, 1, 16);
	gd_sq_init(g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(g, &w->cq, 8, 1), LEAP_SC_INT_VECTOR);
	assert_int_equal(gd_create_cq(g, &w->cq, 5, 1), 0);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	vx_settle(w);
	assert_true(w->raised[0] > 0);
	/* More messages than were allowed: one comes when they are. */
	vx_check_io(w, &w->sq, 8, 1);
	vx_settle(w);
	assert_int_equal(w->raised[5], 0);
	msi_write(g, 0x71);
	assert_int_equal(w->raised[5], 1);
	vx_check_io(w, &w->sq, 8, 2);
	vx_settle(w);
	assert_int_equal(w->raised[5], 3);
	assert_int_equal(w->level, 0);
	/* The pin, when it is off; and nothing stays of it after a reset. */
	msi_write(g, 0);
	flush.cdw12 = leap_to_le32(0);
	cid = gd_submit(g, &w->sq, &flush);
	vx_settle(w);
	assert_int_equal(w->raised[5], 3);
	assert_int_equal(w->level, 1);
	assert_int_equal(gd_wait(g, &w->sq, cid), 0);
	assert_int_equal(w->level, 0);
	msi_write(g, MSI_ON);
	leap_vdev_reset(w->v, NULL, NULL);
	vx_settle(w);
	assert_int_equal(gd_cfg(g, at + 2, 2), 0x86);
	assert_int_equal(leap_vdev_msix(w->v, 0, &addr, &data), 1);
	assert_int_equal(addr, 0);
}

/* One read, on a queue with vector 2: how many interrupts that makes. */
static uint32_t more_of(struct vx *w, uint32_t lba)
{
	uint32_t was = w->raised[2];

	vx_check_io(w, &w->sq, 8, lba);
	vx_settle(w);
	return w->raised[2] - was;
}

static void up_with_vector_2(struct vx *w)
{
	assert_int_equal(gd_enable(w->g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(w->g, &w->cq, 1, 16);
	gd_sq_init(w->g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(w->g, &w->cq, 2, 1), 0);
	assert_int_equal(gd_create_sq(w->g, &w->sq), 0);
	vx_settle(w);
}

/* INTMS and INTMC mask messages of MSI: one that comes meanwhile waits. */
static void test_msi_masked(void **state)
{
	struct vx *w = *state;
	struct leap_vdev_opts o = vx_opts(w);
	struct leap_sqe get = {
		.opc = LEAP_ADM_GET_FEATURES,
		.cdw10 = leap_to_le32(LEAP_FID_NUM_QUEUES),
	};
	uint32_t data, admin;
	uint64_t addr;
	struct gd *g;

	o.irqs = LEAP_VDEV_HAS_MSI;
	o.nr_vectors = 4;
	vx_make(w, &o);
	g = w->g;
	msi_write(g, MSI_ON);
	up_with_vector_2(w);
	gd_wr4(g, LEAP_REG_INTMS, 1u << 2);
	assert_int_equal(leap_vdev_msix(w->v, 2, &addr, &data), 1);
	assert_int_equal(more_of(w, 1), 0);
	/* Another one's mask comes and goes. */
	gd_wr4(g, LEAP_REG_INTMS, 1);
	admin = w->raised[0];
	assert_int_equal(gd_cmd(g, &g->asq, &get), 0);
	vx_settle(w);
	assert_int_equal(w->raised[0], admin);
	gd_wr4(g, LEAP_REG_INTMC, 1);
	assert_int_equal(w->raised[0], admin + 1);
	assert_int_equal(w->raised[2], 0);
	gd_wr4(g, LEAP_REG_INTMC, 1u << 2);
	assert_int_equal(w->raised[2], 1);
	assert_int_equal(leap_vdev_msix(w->v, 2, &addr, &data), 0);
	assert_int_equal(more_of(w, 2), 2);
	/* A reset takes the mask off, and what it held back is nobody's. */
	gd_wr4(g, LEAP_REG_INTMS, ~0u);
	assert_int_equal(more_of(w, 3), 0);
	gd_disable(g);
	assert_int_equal(gd_rd4(g, LEAP_REG_INTMS), 0);
	assert_int_equal(w->raised[2], 3);
	up_with_vector_2(w);
	assert_int_equal(more_of(w, 4), 2);
	gd_wr4(g, LEAP_REG_INTMS, ~0u);
	assert_int_equal(more_of(w, 5), 0);
	leap_vdev_reset(w->v, NULL, NULL);
	vx_settle(w);
	assert_int_equal(w->raised[2], 5);
	gd_cfg_wr(g, 0x04, 0x0006, 2);
	msi_write(g, MSI_ON);
	up_with_vector_2(w);
	assert_int_equal(more_of(w, 6), 2);
}

/* With MSI-X they are to be left alone, and change nothing. */
static void test_msix_intms(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;

	gd_msix_enable(g, 1);
	vx_unmask(g, 0, 0);
	vx_unmask(g, 2, 0);
	up_with_vector_2(w);
	gd_wr4(g, LEAP_REG_INTMS, ~0u);
	assert_int_equal(more_of(w, 1), 2);
	gd_wr4(g, LEAP_REG_INTMC, ~0u);
	assert_int_equal(more_of(w, 2), 2);
}

/* Registers mask what the client's eventfds would be told, too. */
static void test_client_msi_masked(void **state)
{
	struct vx *w = *state;
	struct leap_vdev_opts o = vx_opts(w);
	int fd = eventfd(0, EFD_NONBLOCK);

	o.client_msix = 1;
	o.irqs = LEAP_VDEV_HAS_MSI;
	vx_make(w, &o);
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 2, fd), 0);
	up_with_vector_2(w);
	gd_wr4(w->g, LEAP_REG_INTMS, 1u << 2);
	vx_check_io(w, &w->sq, 8, 1);
	vx_settle(w);
	assert_int_equal(vx_taken(fd), 0);
	gd_wr4(w->g, LEAP_REG_INTMC, 1u << 2);
	assert_int_equal(vx_taken(fd), 1);
	vx_check_io(w, &w->sq, 8, 2);
	vx_settle(w);
	assert_int_equal(vx_taken(fd), 2);
	close(fd);
}

static void test_client_msi(void **state)
{
	struct vx *w = *state;
	struct leap_vdev_opts o = vx_opts(w);
	int fd = eventfd(0, EFD_NONBLOCK);

	o.client_msix = 1;
	o.irqs = LEAP_VDEV_HAS_MSI;
	vx_make(w, &o);
	/* As many as there can be. */
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 32, fd),
			 -EINVAL);
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 31, fd), 0);
	msi_write(w->g, 0x51);
	assert_int_equal(gd_enable(w->g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(w->g, &w->cq, 1, 16);
	gd_sq_init(w->g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(w->g, &w->cq, 31, 1), 0);
	assert_int_equal(gd_create_sq(w->g, &w->sq), 0);
	vx_check_io(w, &w->sq, 8, 1);
	vx_settle(w);
	assert_int_equal(vx_taken(fd), 2);
	close(fd);
}

static void test_pin_alone(void **state)
{
	struct vx *w = *state;
	struct leap_vdev_opts o = vx_opts(w);
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	uint32_t i, before[16];
	struct gd *g;
	uint16_t cid;

	o.irqs = LEAP_VDEV_HAS_PIN + 1;
	assert_int_equal(leap_vdev_create(w->ss, &o, &w->v), -EINVAL);
	assert_last_error("irqs 3 exceeds 2");
	w->v = NULL;
	o.irqs = LEAP_VDEV_HAS_PIN;
	vx_make(w, &o);
	g = w->g;
	assert_int_equal(gd_cap(g, 0x11) + gd_cap(g, 0x05), 0);
	assert_true(gd_cap(g, 0x10));
	/* Where the others have their capability nothing can be written. */
	for (i = 0; i < 16; i++) {
		before[i] = gd_cfg(g, 0x50 + i, 1);
		gd_cfg_wr(g, 0x50 + i, 0xff, 1);
	}
	for (i = 0; i < 16; i++)
		assert_int_equal(gd_cfg(g, 0x50 + i, 1), before[i]);
	assert_int_equal(gd_enable(g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(g, &w->cq, 1, 16);
	gd_sq_init(g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(g, &w->cq, 1, 1), LEAP_SC_INT_VECTOR);
	assert_int_equal(gd_create_cq(g, &w->cq, 0, 1), 0);
	assert_int_equal(gd_create_sq(g, &w->sq), 0);
	flush.cdw12 = leap_to_le32(0);
	cid = gd_submit(g, &w->sq, &flush);
	vx_settle(w);
	assert_int_equal(w->level, 1);
	assert_int_equal(gd_wait(g, &w->sq, cid), 0);
	assert_int_equal(w->level, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VX_B(test_msi),
		VX_B(test_msi_masked),
		VX_T(test_msix_intms),
		VX_B(test_client_msi),
		VX_B(test_client_msi_masked),
		VX_B(test_pin_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
