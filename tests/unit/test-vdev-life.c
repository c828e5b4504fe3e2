/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a virtual drive: resets under I/O, memory that goes away, a
 * process that is replaced, drives that come and go, in every order.
 */
#include "fds.h"
#include "rand.h"
#include "vdev-fixture.h"

#include <leapio/nvme.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include "core/ctrl/vdev_priv.h"

/* ---- resets and memory ---- */

static void test_flr(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	uint32_t pcie = gd_cap(g, 0x10), how;
	uint64_t used = g->used;
	int done;

	serve_ns(w->pg, w->ss, "delay[read_us=50000] -> memory:16M", 2);
	for (how = 0; how < 3; how++) {
		g->used = used;
		gd_msix_enable(g, 1);
		gd_up(g, &w->cq, &w->sq, 32);
		vx_check_io(w, &w->sq, 8, how);
		vx_start_slow(w, 20);
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
				 VX_VECTORS - 1);
		assert_false(done);
		if (how)
			leap_vdev_reset(w->v, set_err, &done);
		serve_await(w->pg, &done);
		assert_int_equal(done, 1);
		assert_null(leap__vdev_ctrl(w->v)->conn);
		assert_int_equal(leap__vdev_ctrl(w->v)->nr_ioqs, 0);
	}
	/* Nothing to wait for. */
	done = 0;
	leap_vdev_reset(w->v, set_err, &done);
	assert_false(done);
	serve_await(w->pg, &done);
	/* A guest that does not wait. */
	g->used = used;
	gd_up(g, &w->cq, &w->sq, 32);
	vx_start_slow(w, 20);
	leap_vdev_reset(w->v, NULL, NULL);
	gd_up(g, &w->cq, &w->sq, 32);
	vx_check_io(w, &w->sq, 8, 5);
}

/* A guest may ask for a keep alive timer, and then be silent. That fails its
 * controller, which a reset brings back: no other connection will. */
static void test_silent(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	struct leap_sqe set = { .opc = LEAP_ADM_SET_FEATURES };
	struct unit_lived lived = { 0 };

	gd_up(g, &w->cq, &w->sq, 16);
	set.cdw10 = leap_to_le32(LEAP_FID_KATO);
	set.cdw11 = leap_to_le32(1);
	assert_int_equal(gd_cmd(g, &g->asq, &set), 0);
	while (!(gd_rd4(g, LEAP_REG_CSTS) & LEAP_CSTS_CFS)) {
		leap_pollgroup_wait(w->pg, 10000000);
		assert_true(unit_lived_ns(&lived, leap_pollgroup_now_ns(w->pg))
			    < 20000000000ull);
	}
	assert_int_equal(gd_rd4(g, LEAP_REG_VS), LEAP_VS_2_0);
	gd_disable(g);
	gd_up(g, &w->cq, &w->sq, 16);
	vx_check_io(w, &w->sq, 8, 1);
}

static void test_reset_timeout(void **state)
{
	struct vx *w = *state;
	int done = 0;

	serve_ns(w->pg, w->ss, "delay[read_us=4000000] -> memory:16M", 2);
	gd_up(w->g, &w->cq, &w->sq, 32);
	vx_start_slow(w, 3);
	leap_vdev_reset(w->v, set_err, &done);
	serve_await(w->pg, &done);
	assert_int_equal(done, -ETIMEDOUT);
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CSTS), LEAP_CSTS_CFS);
	done = 0;
	leap_vdev_mem_del(w->v, (leap_gpa_t){ GD_BASE }, VX_RAM, set_err,
			  &done);
	serve_await(w->pg, &done);
}

static void test_mem(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	struct leap_vdev_info info = { .size = sizeof(info) };
	leap_gpa_t base = { GD_BASE };
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	uint16_t cid;
	int done = 0;

	r.gpa = base;
	r.bytes = VX_RAM;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = g->ram;
	assert_int_equal(leap_vdev_mem_add(w->v, &r), -EEXIST);
	assert_int_equal(leap_vdev_mem_del(w->v, base, 4096, set_err, &done),
			 -ENOENT);
	serve_ns(w->pg, w->ss, "delay[read_us=500000] -> memory:16M", 2);
	gd_up(g, &w->cq, &w->sq, 32);
	vx_start_slow(w, 10);
	/* Not before the reads have landed. */
	assert_int_equal(leap_vdev_mem_del(w->v, base, VX_RAM, set_err,
					   &done), 0);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(info.nr_ranges, 0);
	assert_int_equal(info.mem_bytes, 0);
	vx_poll(w);
	assert_false(done);
	serve_await(w->pg, &done);
	assert_int_equal(done, 1);
	assert_int_equal(leap_vdev_mem_del(w->v, base, VX_RAM, set_err,
					   &done), -ENOENT);
	/* Back again: the queues go on where they were. */
	assert_int_equal(leap_vdev_mem_add(w->v, &r), 0);
	flush.cdw12 = leap_to_le32(0);
	cid = gd_submit(g, &w->sq, &flush);
	assert_int_equal(gd_wait(g, &w->sq, cid), 0);
	assert_int_equal(gd_rd4(g, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	vx_settle(w);
}

/* ---- a process that is replaced ---- */

/* As a new process does, after the old one has stopped where it stood. */
static void replace(struct vx *w, struct leap__saved *s)
{
	struct leap_vdev_opts o = vx_opts(w);
	int gone = 0, err;

	while ((err = leap__vdev_save(w->v, s)) == -EAGAIN)
		vx_poll(w);
	assert_int_equal(err, 0);
	leap_vdev_destroy(w->v, set_flag, &gone);
	serve_await(w->pg, &gone);
	w->v = NULL;
	assert_int_equal(leap__vdev_restore(w->ss, &o, s, &w->v), 0);
	w->g->v = w->v;
}

static void check_same(struct vx *w, const struct leap_vdev_info *before,
		       int shadow)
{
	struct leap_vdev_info after = { .size = sizeof(after) };
	uint64_t addr;
	uint32_t data;

	assert_int_equal(leap_vdev_info(w->v, &after), 0);
	assert_int_equal(after.cntlid, before->cntlid);
	assert_int_equal(after.nr_sqs, 1);
	assert_int_equal(after.shadow, shadow);
	assert_int_equal(after.mem_bytes, VX_RAM);
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CSTS), LEAP_CSTS_RDY);
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CC), GD_CC_ENABLE);
	assert_int_equal(leap_vdev_msix(w->v, 7, &addr, &data), 0);
	assert_int_equal(data, 0x4037);
}

static void test_save(void **state)
{
	struct vx *w = *state;
	struct gd *g = w->g;
	struct leap__saved s;
	struct leap_sqe aer = { .opc = LEAP_ADM_AER };
	struct leap_sqe slow = gd_sqe_rw(LEAP_NVM_READ, 2, 0, 8);
	struct leap_vdev_info before = { .size = sizeof(before) };
	struct leap_vdev_info after = { .size = sizeof(after) };
	uint16_t cid[8], aer_cid;
	int fd = eventfd(0, EFD_NONBLOCK);
	uint32_t turn, i, cmd;

	serve_ns(w->pg, w->ss, "delay[read_us=200000] -> memory:16M", 2);
	gd_msix_enable(g, 1);
	vx_unmask(g, 0, 0x4030);
	vx_unmask(g, 7, 0x4037);
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
			vx_check_io(w, &w->sq, 8, turn * 100 + i);
		for (i = 0; i < 8; i++)
			cid[i] = gd_submit(g, &w->sq, &slow);
		for (i = 0; i < turn; i++)
			vx_poll(w);
		vx_taken(fd);
		cmd = gd_cfg(g, 0x04, 2);
		assert_int_equal(leap_vdev_info(w->v, &before), 0);
		replace(w, &s);
		check_same(w, &before, turn >= 3);
		assert_int_equal(gd_cfg(g, 0x04, 2), cmd);
		for (i = 0; i < 8; i++)
			assert_int_equal(gd_wait(g, &w->sq, cid[i]), 0);
		vx_settle(w);
		assert_true(vx_taken(fd) > 0);
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
	vx_check_io(w, &w->sq, 8, 1);
	close(fd);
}

/* What the guest has found is what it keeps, whatever the next is told. */
static void test_save_msi(void **state)
{
	struct vx *w = *state;
	struct leap_vdev_info info = { .size = sizeof(info) };
	struct leap_vdev_opts o = vx_opts(w);
	struct leap__saved s;
	uint32_t at, data;
	uint64_t addr;

	o.irqs = LEAP_VDEV_HAS_MSI;
	o.nr_vectors = 4;
	vx_make(w, &o);
	at = gd_cap(w->g, 0x05);
	gd_cfg_wr(w->g, at + 4, 0xfee00000, 4);
	gd_cfg_wr(w->g, at + 12, 0x4030, 2);
	gd_cfg_wr(w->g, at + 2, 0x21, 2);
	assert_int_equal(gd_enable(w->g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(w->g, &w->cq, 1, 16);
	gd_sq_init(w->g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(w->g, &w->cq, 3, 1), 0);
	assert_int_equal(gd_create_sq(w->g, &w->sq), 0);
	replace(w, &s);
	leap__saved_free(&s);
	assert_int_equal(gd_cap(w->g, 0x05), at);
	assert_int_equal(leap_vdev_info(w->v, &info), 0);
	assert_int_equal(info.irqs, LEAP_VDEV_HAS_MSI);
	assert_int_equal(leap_vdev_msix(w->v, 3, &addr, &data), 0);
	assert_int_equal(addr, 0xfee00000);
	assert_int_equal(data, 0x4033);
	w->raised[3] = 0;
	vx_check_io(w, &w->sq, 8, 1);
	vx_settle(w);
	/* One more may come of the change itself. */
	assert_in_range(w->raised[3], 2, 3);
}

/* Whatever the bytes are, nothing is left behind. */
static void test_restore_noise(void **state)
{
	struct vx *w = *state;
	struct leap__saved s, bad;
	struct leap_vdev *v;
	struct test_rand r = { 5 };
	uint32_t i, n;
	int err, gone;

	gd_up(w->g, &w->cq, &w->sq, 16);
	assert_int_equal(leap__vdev_save(w->v, &s), 0);
	assert_int_equal(leap__vdev_restore(w->ss, NULL, &s, &v), -EBUSY);
	vx_drop(w);
	vx_settle(w);
	bad = s;
	for (i = 0; i < 400; i++) {
		bad.len = i % 3 ? s.len : test_rand_below(&r, (uint32_t)s.len);
		bad.bytes = exact_copy(s.bytes, bad.len);
		for (n = test_rand_below(&r, 4); i % 3 && n; n--)
			bad.bytes[test_rand_below(&r, (uint32_t)bad.len)] =
				(uint8_t)test_rand_next(&r);
		err = leap__vdev_restore(w->ss, NULL, &bad, &v);
		if (!err) {
			vx_settle(w);
			gone = 0;
			leap_vdev_destroy(v, set_flag, &gone);
			serve_await(w->pg, &gone);
		}
		vx_settle(w);
		free(bad.bytes);
	}
	leap__saved_free(&s);
	assert_null(leap__vdev_next(w->target, NULL));
}

/* ---- drives come and go ---- */

static void test_pull_out(void **state)
{
	struct vx *w = *state;
	int gone = 0;
	uint8_t b[4];

	/* Under I/O. */
	serve_ns(w->pg, w->ss, "delay[read_us=20000] -> memory:16M", 2);
	gd_up(w->g, &w->cq, &w->sq, 32);
	vx_start_slow(w, 20);
	leap_vdev_destroy(w->v, set_flag, &gone);
	assert_false(gone);
	serve_await(w->pg, &gone);
	gd_free(w->g);
	/* By the operator: the guest sees nothing there. */
	{
		struct leap_vdev_opts o = vx_opts(w);

		vx_make(w, &o);
	}
	gd_up(w->g, &w->cq, &w->sq, 32);
	vx_start_slow(w, 20);
	assert_int_equal(leap_ctrl_disconnect(w->ss,
			 leap__vdev_ctrl(w->v)->cntlid), 0);
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CSTS), 0xffffffff);
	gd_wr4(w->g, LEAP_REG_CC, 0);
	vx_settle(w);
	usleep(30000);
	vx_settle(w);
	leap_vdev_config_read(w->v, 0, b, 4);
	assert_int_equal(b[0] & b[1] & b[2] & b[3], 0xff);
	gone = 0;
	leap_vdev_reset(w->v, set_err, &gone);
	serve_await(w->pg, &gone);
	vx_drop(w);
	/* With the whole subsystem. */
	{
		struct leap_vdev_opts o = vx_opts(w);

		vx_make(w, &o);
	}
	gd_up(w->g, &w->cq, &w->sq, 32);
	vx_start_slow(w, 20);
	gone = 0;
	leap_subsystem_destroy(w->ss, set_flag, &gone);
	serve_await(w->pg, &gone);
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CSTS), 0xffffffff);
}

/* Who asked for a reset or an unmap, and what he does when it is over. */
struct asked {
	struct vx *w;
	int times, err;
	int pulls;		/* pull the drive out then */
	int gone;
};

static void answered(void *arg, int err)
{
	struct asked *a = arg;

	a->times++;
	a->err = err;
	if (!a->pulls)
		return;
	leap_vdev_destroy(a->w->v, set_flag, &a->gone);
}

static void busy_drive(struct vx *w)
{
	gd_up(w->g, &w->cq, &w->sq, 32);
	vx_start_slow(w, 20);
}

/* The target is told to go while a reset, an unmap, or both wait for commands
 * in a leaf; or the other way round. Each is over, and once. */
static void test_reset_and_target_goes(void **state)
{
	struct vx *w = *state;
	struct asked reset = { .w = w }, unmap = { .w = w };
	int gone = 0;

	serve_ns(w->pg, w->ss, "delay[read_us=20000] -> memory:16M", 2);
	busy_drive(w);
	leap_vdev_reset(w->v, answered, &reset);
	assert_int_equal(leap_vdev_mem_del(w->v, (leap_gpa_t){ GD_BASE },
					   VX_RAM, answered, &unmap), 0);
	assert_int_equal(reset.times + unmap.times, 0);
	leap_subsystem_destroy(w->ss, set_flag, &gone);
	serve_await(w->pg, &gone);
	serve_await(w->pg, &reset.times);
	serve_await(w->pg, &unmap.times);
	vx_settle(w);
	assert_int_equal(reset.times, 1);
	assert_int_equal(unmap.times, 1);
	assert_int_equal(unmap.err, 0);
	/* What is left is an empty slot, and can be reset too. */
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CSTS), 0xffffffff);
	leap_vdev_reset(w->v, answered, &reset);
	vx_settle(w);
	assert_int_equal(reset.times, 2);
	assert_int_equal(reset.err, 0);
}

static void test_target_goes_and_reset(void **state)
{
	struct vx *w = *state;
	struct asked reset = { .w = w }, unmap = { .w = w };
	int gone = 0;

	serve_ns(w->pg, w->ss, "delay[read_us=20000] -> memory:16M", 2);
	busy_drive(w);
	leap_subsystem_destroy(w->ss, set_flag, &gone);
	leap_vdev_reset(w->v, answered, &reset);
	assert_int_equal(leap_vdev_mem_del(w->v, (leap_gpa_t){ GD_BASE },
					   VX_RAM, answered, &unmap), 0);
	serve_await(w->pg, &reset.times);
	serve_await(w->pg, &unmap.times);
	serve_await(w->pg, &gone);
	vx_settle(w);
	assert_int_equal(reset.times, 1);
	assert_int_equal(unmap.times, 1);
}

/* The drive goes from the callback of a reset, with others still waiting, each
 * of which is told once before it is gone. */
static void test_destroy_from_reset(void **state)
{
	struct vx *w = *state;
	struct leap_vdev_opts o = vx_opts(w);
	struct asked a[4];
	uint32_t turn, i, n;

	serve_ns(w->pg, w->ss, "delay[read_us=20000] -> memory:16M", 2);
	for (turn = 0; turn < 6; turn++) {
		/* Which of them pulls it out, and whether there is I/O. */
		memset(a, 0, sizeof(a));
		if (turn < 3)
			busy_drive(w);
		for (i = 0; i < 3; i++) {
			a[i].w = w;
			a[i].pulls = i == turn % 3;
			leap_vdev_reset(w->v, answered, &a[i]);
		}
		a[3].w = w;
		assert_int_equal(leap_vdev_mem_del(w->v,
				 (leap_gpa_t){ GD_BASE }, VX_RAM, answered,
				 &a[3]), 0);
		serve_await(w->pg, &a[turn % 3].gone);
		for (n = 0, i = 0; i < 4; i++)
			n += (uint32_t)a[i].times;
		assert_int_equal(n, 4);
		vx_settle(w);
		for (i = 0; i < 4; i++)
			assert_int_equal(a[i].times, 1);
		gd_free(w->g);
		w->v = NULL;
		vx_make(w, &o);
	}
}

/* And from that of an unmap. */
static void test_destroy_from_unmap(void **state)
{
	struct vx *w = *state;
	struct asked unmap = { .w = w, .pulls = 1 }, reset = { .w = w };

	serve_ns(w->pg, w->ss, "delay[read_us=20000] -> memory:16M", 2);
	busy_drive(w);
	assert_int_equal(leap_vdev_mem_del(w->v, (leap_gpa_t){ GD_BASE },
					   VX_RAM, answered, &unmap), 0);
	leap_vdev_reset(w->v, answered, &reset);
	serve_await(w->pg, &unmap.gone);
	assert_int_equal(unmap.times, 1);
	assert_int_equal(reset.times, 1);
	gd_free(w->g);
	w->v = NULL;
}

#define NR_DRIVES 16

static void test_hotplug(void **state)
{
	struct vx *w = *state, x[NR_DRIVES];
	struct leap_vdev_opts o = vx_opts(w);
	unsigned int turns = unit_is_emulated() ? 200 : 1000;
	int fds = fds_open();
	unsigned int turn, i;
	struct test_rand r;
	int gone[NR_DRIVES];

	r.s = 16;
	memset(x, 0, sizeof(x));
	for (turn = 0; turn < turns; turn++) {
		struct vx *one = &x[test_rand_next(&r) % NR_DRIVES];

		i = (unsigned int)(one - x);
		if (!one->v) {
			*one = *w;
			o.arg = one;
			vx_make(one, &o);
			gd_up(one->g, &one->cq, &one->sq, 16);
			vx_check_io(one, &one->sq, 8, turn);
			continue;
		}
		vx_check_io(one, &one->sq, 8, turn);
		gone[i] = 0;
		leap_vdev_destroy(one->v, set_flag, &gone[i]);
		serve_await(w->pg, &gone[i]);
		gd_free(one->g);
		one->v = NULL;
	}
	for (i = 0; i < NR_DRIVES; i++)
		if (x[i].v) {
			vx_drop(&x[i]);
		}
	vx_settle(w);
	assert_int_equal(fds_open(), fds);
	assert_null(leap__vdev_next(w->target, NULL));
}

static void test_bad_create(void **state)
{
	struct vx *w = *state;
	struct leap_vdev_opts o = vx_opts(w);
	struct leap_vdev *v = NULL;

	o.nr_vectors = 129;
	assert_int_equal(leap_vdev_create(w->ss, &o, &v), -EINVAL);
	assert_last_error("nr_vectors 129 exceeds 128");
	o = vx_opts(w);
	o.hostnqn = "no nqn";
	assert_int_equal(leap_vdev_create(w->ss, &o, &v), -EINVAL);
	assert_last_error("hostnqn");
	assert_null(v);
	leap_vdev_destroy(NULL, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VX_T(test_flr),
		VX_T(test_silent),
		VX_T(test_reset_timeout),
		VX_T(test_mem),
		VX_T(test_save), VX_B(test_save_msi),
		VX_T(test_restore_noise),
		VX_T(test_pull_out),
		VX_T(test_reset_and_target_goes),
		VX_T(test_target_goes_and_reset),
		VX_T(test_destroy_from_reset),
		VX_T(test_destroy_from_unmap),
		VX_B(test_hotplug),
		VX_B(test_bad_create),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
