/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a virtual drive says to a group in another process: every message in
 * its place and with its descriptor, nothing freed before it is answered, and
 * all of it again for a successor. The other process is a script here.
 */
#include "vdev-remote.h"

#include <sys/eventfd.h>
#include <unistd.h>

static void check_beginning(struct w *w, uint32_t *at)
{
	const struct leap_link_msg *m;
	struct far *f = w->far;

	m = said(f, at, LEAP_LINK_CTRL_ADD);
	assert_true(f->had_fd[0]);
	assert_string_equal(m->u.ctrl.nqn, NQN);
	assert_int_equal(m->u.ctrl.state_bytes, w->v->guest.state_bytes);
	m = said(f, at, LEAP_LINK_MEM_ADD);
	assert_true(f->had_fd[1]);
	assert_int_equal(m->u.mem.gpa.addr, GD_BASE);
	assert_int_equal(m->u.mem.bytes, RAM_BYTES);
	assert_int_equal(m->u.mem.source, LEAP_ATS_FD);
}

static void test_life(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	const struct leap_link_msg *m;
	struct leap_sqe flush = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	uint32_t at = 0, kicks;
	int fd = eventfd(0, 0), done = 0;

	check_beginning(w, &at);
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 2, fd), 0);
	close(fd);
	m = said(f, &at, LEAP_LINK_IRQ);
	assert_true(f->had_fd[2]);
	assert_int_equal(m->u.irq.vector, 2);
	/* Queues. */
	assert_int_equal(gd_enable(w->g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(w->g, &w->cq, 5, 32);
	gd_sq_init(w->g, &w->sq, 7, 16, &w->cq);
	assert_int_equal(gd_create_cq(w->g, &w->cq, 2, 1), 0);
	assert_int_equal(gd_create_sq(w->g, &w->sq), 0);
	m = said(f, &at, LEAP_LINK_CQ_ADD);
	assert_int_equal(m->u.cq.cqid, 5);
	assert_int_equal(m->u.cq.depth, 32);
	assert_int_equal(m->u.cq.gpa.addr, w->cq.gpa);
	assert_int_equal(m->u.cq.vector, 2);
	assert_int_equal(m->u.cq.flags, 0);
	m = said(f, &at, LEAP_LINK_QP_ADD);
	assert_int_equal(m->u.qp.qid, 7);
	assert_int_equal(m->u.qp.cqid, 5);
	assert_int_equal(m->u.qp.sq_depth, 16);
	assert_int_equal(m->u.qp.cq_depth, 32);
	assert_int_equal(m->u.qp.sq.addr, w->sq.gpa);
	assert_int_equal(m->u.qp.page_bytes, 4096);
	assert_int_equal(m->u.qp.record_bytes, leap_record_bytes(15));
	assert_true(m->u.qp.record + m->u.qp.record_bytes <=
		    w->v->guest.state_bytes);
	/* A doorbell is a word and a kick. */
	kicks = f->kicks;
	gd_submit(w->g, &w->sq, &flush);
	assert_int_equal(f->kicks, kicks + 1);
	assert_int_equal(leap_from_le32(f->kicked->value), 1);
	assert_ptr_equal((uint8_t *)f->kicked,
			 w->v->guest.state + m->u.qp.doorbell);
	/* The end: queues, then the controller. */
	leap_vdev_destroy(w->v, set_flag, &done);
	serve_await(w->pg, &done);
	w->v = NULL;
	said(f, &at, LEAP_LINK_QP_DEL);
	said(f, &at, LEAP_LINK_CQ_DEL);
	said(f, &at, LEAP_LINK_CTRL_DEL);
	assert_int_equal(at, f->nr);
}

static void test_refused(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;

	assert_int_equal(gd_enable(w->g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(w->g, &w->cq, 1, 32);
	gd_sq_init(w->g, &w->sq, 1, 16, &w->cq);
	f->err_of[LEAP_LINK_CQ_ADD] = -EFAULT;
	assert_int_equal(gd_create_cq(w->g, &w->cq, 0, 1),
			 LEAP_SC_DATA_TRANSFER);
	f->err_of[LEAP_LINK_CQ_ADD] = 0;
	assert_int_equal(gd_create_cq(w->g, &w->cq, 0, 1), 0);
	f->err_of[LEAP_LINK_QP_ADD] = -ENOMEM;
	assert_int_equal(gd_create_sq(w->g, &w->sq), LEAP_SC_INTERNAL);
	/* Who is gone is replaced by somebody who will be told. */
	f->err_of[LEAP_LINK_QP_ADD] = -ECONNRESET;
	assert_int_equal(gd_create_sq(w->g, &w->sq), 0);
	assert_int_equal(gd_delete(w->g, LEAP_ADM_DELETE_CQ, 1),
			 LEAP_SC_QUEUE_DELETION);
	assert_int_equal(gd_delete(w->g, LEAP_ADM_DELETE_SQ, 1), 0);
	f->err_of[LEAP_LINK_CQ_DEL] = -ECONNRESET;
	assert_int_equal(gd_delete(w->g, LEAP_ADM_DELETE_CQ, 1), 0);
}

static void test_features(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	struct leap_sqe set = { .opc = LEAP_ADM_SET_FEATURES };
	const struct leap_link_msg *m;
	uint32_t at;

	make_queues(w);
	at = f->nr;
	set.cdw10 = leap_to_le32(LEAP_FID_INT_COALESCE);
	set.cdw11 = leap_to_le32(0x0a03);
	assert_int_equal(gd_cmd(w->g, &w->g->asq, &set), 0);
	m = said(f, &at, LEAP_LINK_FEATURE);
	assert_int_equal(m->u.feature.fid, LEAP_FID_INT_COALESCE);
	assert_int_equal(m->u.feature.value, 0x0a03);
	set.cdw10 = leap_to_le32(LEAP_FID_INT_VECTOR);
	set.cdw11 = leap_to_le32(9 | LEAP_FEAT_IV_CD);
	assert_int_equal(gd_cmd(w->g, &w->g->asq, &set), 0);
	m = said(f, &at, LEAP_LINK_FEATURE);
	assert_int_equal(m->u.feature.fid, LEAP_FID_INT_VECTOR);
	assert_int_equal(m->u.feature.value, 9 | LEAP_FEAT_IV_CD);
	assert_int_equal(gd_dbbuf(w->g), 0);
	m = said(f, &at, LEAP_LINK_SHADOW);
	assert_int_equal(m->u.shadow.doorbells.addr, w->g->shadow);
	assert_int_equal(m->u.shadow.eventidx.addr, w->g->eventidx);
	assert_int_equal(at, f->nr);
	/* Nothing of it is left for the next time. */
	gd_disable(w->g);
	said(f, &at, LEAP_LINK_QP_DEL);
	said(f, &at, LEAP_LINK_CQ_DEL);
	make_queues(w);
	m = said(f, &at, LEAP_LINK_FEATURE);
	assert_int_equal(m->u.feature.value, 9);
	m = said(f, &at, LEAP_LINK_FEATURE);
	assert_int_equal(m->u.feature.value, 0);
	m = said(f, &at, LEAP_LINK_SHADOW);
	assert_int_equal(m->u.shadow.doorbells.addr, 0);
	/* No MSI-X: the pin. */
	m = said(f, &at, LEAP_LINK_CQ_ADD);
	assert_int_equal(m->u.cq.flags, LEAP_QPD_PIN);
	m = said(f, &at, LEAP_LINK_QP_ADD);
	assert_int_equal(m->u.qp.flags, 0);
}

static void test_replay(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	struct leap_sqe del = gd_sqe_delete(LEAP_ADM_DELETE_SQ, 2);
	const struct leap_link_msg *m;
	struct gd_sq sq2;
	int fd = eventfd(0, 0), done = 0;
	uint32_t at;

	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, fd), 0);
	close(fd);
	make_queues(w);
	assert_int_equal(gd_dbbuf(w->g), 0);
	gd_sq_init(w->g, &sq2, 2, 16, &w->cq);
	assert_int_equal(gd_create_sq(w->g, &sq2), 0);
	assert_int_equal(f->said[f->nr - 1].u.qp.flags, LEAP_QPD_SHADOW);
	/* One that was asked to go is not told again. */
	f->mute = LEAP_LINK_QP_DEL;
	gd_submit(w->g, &w->g->asq, &del);
	serve_settle(w->pg);
	assert_non_null(f->held);
	f->mute = 0;
	/* The predecessor posted 5 entries, and another queue's are lost. */
	leap__vdev_db(w->v, 1, 1)->posted = leap_to_le32(5);
	at = f->nr;
	leap__vdev_replay(w->v, &f->g, set_err, &done);
	assert_false(done);
	serve_await(w->pg, &done);
	assert_int_equal(done, 1);
	said(f, &at, LEAP_LINK_CTRL_ADD);
	assert_true(f->had_fd[at - 1]);
	said(f, &at, LEAP_LINK_MEM_ADD);
	assert_true(f->had_fd[at - 1]);
	said(f, &at, LEAP_LINK_IRQ);
	assert_true(f->had_fd[at - 1]);
	m = said(f, &at, LEAP_LINK_CQ_ADD);
	assert_int_equal(m->u.cq.flags & LEAP_QPD_RESUME, LEAP_QPD_RESUME);
	m = said(f, &at, LEAP_LINK_QP_ADD);
	assert_int_equal(m->u.qp.qid, 1);
	assert_int_equal(m->u.qp.flags & LEAP_QPD_RESUME, LEAP_QPD_RESUME);
	said(f, &at, LEAP_LINK_SHADOW);
	said(f, &at, LEAP_LINK_RESUME);
	assert_int_equal(at, f->nr);
	/* It goes, and what it posted is remembered with the ring. */
	answer(f, f->held);
	serve_settle(w->pg);
	assert_int_equal(w->v->cq[1]->io.desc.seq, 5);
	/* An error is told; the rest was said all the same. */
	f->err_of[LEAP_LINK_QP_ADD] = -EPROTO;
	done = 0;
	f->mute = LEAP_LINK_RESUME;
	leap__vdev_replay(w->v, &f->g, set_err, &done);
	serve_settle(w->pg);
	assert_int_equal(done, 0);
	leap__link_answer(f->held, 0);
	serve_await(w->pg, &done);
	assert_int_equal(done, -EPROTO);
}

/* Who adds memory learns when the other process has it. */
static void test_mem_sync(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	int done = 0, late = 0;

	leap_vdev_mem_sync(w->v, set_err, &done);
	serve_await(w->pg, &done);
	assert_int_equal(done, 1);
	r.gpa.addr = GD_BASE + RAM_BYTES;
	r.bytes = RAM_BYTES;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = w->g->ram;
	f->mute = LEAP_LINK_MEM_ADD;
	assert_int_equal(leap_vdev_mem_add(w->v, &r), 0);
	done = 0;
	leap_vdev_mem_sync(w->v, set_err, &done);
	leap_vdev_mem_sync(w->v, set_err, &late);
	serve_settle(w->pg);
	assert_int_equal(done, 0);
	leap__link_answer(f->held, 0);
	serve_await(w->pg, &done);
	assert_int_equal(done, 1);
	assert_int_equal(late, 1);
	/* One that does not say so in time: the guest's drive is as it was. */
	r.gpa.addr += RAM_BYTES;
	assert_int_equal(leap_vdev_mem_add(w->v, &r), 0);
	done = 0;
	leap_vdev_mem_sync(w->v, set_err, &done);
	serve_await(w->pg, &done);
	assert_int_equal(done, -ETIMEDOUT);
	assert_false(gd_rd4(w->g, LEAP_REG_CSTS) & LEAP_CSTS_CFS);
	leap__link_answer(f->held, 0);
	f->mute = 0;
}

static void test_mem_del(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	leap_gpa_t base = { GD_BASE };
	const struct leap_link_msg *m;
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	uint32_t at = f->nr;
	int done = 0;

	r.gpa = base;
	r.bytes = RAM_BYTES;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = w->g->ram;
	f->mute = LEAP_LINK_MEM_DEL;
	assert_int_equal(leap_vdev_mem_del(w->v, base, RAM_BYTES, set_err,
					   &done), 0);
	serve_settle(w->pg);
	assert_false(done);
	m = said(f, &at, LEAP_LINK_MEM_DEL);
	assert_int_equal(m->u.mem.gpa.addr, GD_BASE);
	assert_int_equal(m->u.mem.bytes, RAM_BYTES);
	leap__link_answer(f->held, 0);
	serve_await(w->pg, &done);
	assert_int_equal(done, 1);
	/* One that never answers: after 2 s, and the guest sees it. */
	assert_int_equal(leap_vdev_mem_add(w->v, &r), 0);
	make_queues(w);
	done = 0;
	assert_int_equal(leap_vdev_mem_del(w->v, base, RAM_BYTES, set_err,
					   &done), 0);
	serve_await(w->pg, &done);
	assert_int_equal(done, -ETIMEDOUT);
	assert_true(gd_rd4(w->g, LEAP_REG_CSTS) & LEAP_CSTS_CFS);
	/* Late, and nobody cares. */
	leap__link_answer(f->held, -ECONNRESET);
	serve_settle(w->pg);
	assert_int_equal(done, -ETIMEDOUT);
	/* Who cannot be fenced says so. */
	f->mute = 0;
	f->err_of[LEAP_LINK_MEM_DEL] = -ETIMEDOUT;
	assert_int_equal(leap_vdev_mem_add(w->v, &r), 0);
	done = 0;
	assert_int_equal(leap_vdev_mem_del(w->v, base, RAM_BYTES, set_err,
					   &done), 0);
	serve_await(w->pg, &done);
	assert_int_equal(done, -ETIMEDOUT);
}

/* Memory that begins in the middle of its file: there it has to be found. */
static void test_mem_offset(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	const struct leap_link_msg *m;
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	uint32_t at = f->nr;
	struct leap_dmabuf *part;

	assert_int_equal(leap_dmabuf_import(leap_dmabuf_fd(w->g->ram), 2 << 20,
					    1 << 20, LEAP_PERM_READ, &part), 0);
	r.gpa.addr = 1ull << 40;
	r.offset = 1 << 16;
	r.bytes = 1 << 16;
	r.perm = LEAP_PERM_READ;
	r.source = LEAP_ATS_DMABUF;
	r.buf = part;
	assert_int_equal(leap_vdev_mem_add(w->v, &r), 0);
	m = said(f, &at, LEAP_LINK_MEM_ADD);
	assert_int_equal(m->u.mem.source, LEAP_ATS_FD);
	assert_int_equal(m->u.mem.offset, (2 << 20) + (1 << 16));
	leap_dmabuf_put(part);
	serve_settle(w->pg);
}

/* A reset is over when the other process has let go. */
static void test_reset(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	int done = 0;

	make_queues(w);
	f->mute = LEAP_LINK_QP_DEL;
	leap_vdev_reset(w->v, set_err, &done);
	serve_settle(w->pg);
	assert_false(done);
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CSTS), 0);
	answer(f, f->held);
	serve_await(w->pg, &done);
	assert_int_equal(done, 1);
	assert_int_equal(f->said[f->nr - 1].type, LEAP_LINK_CQ_DEL);
	/* Interrupts and the end of a queue, told by the other side. */
	make_queues(w);
	leap__vdev_irq(w->v, 0);
	leap__vdev_fatal(w->v, 1, -EPROTO);
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CSTS),
			 LEAP_CSTS_RDY | LEAP_CSTS_CFS);
	f->mute = 0;
	gd_disable(w->g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_life),
		T(test_refused),
		T(test_features),
		T(test_replay),
		T(test_mem_sync),
		T(test_mem_del),
		T(test_mem_offset),
		T(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
