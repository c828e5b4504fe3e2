/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a virtual drive says to a group in another process: every message in
 * its place and with its descriptor, nothing freed before it is answered, and
 * all of it again for a successor. The other process is a script here.
 */
#include "guest-driver.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <leapio/bdev.h>
#include <leapio/nvme.h>

#include "core/ctrl/vdev_priv.h"

#define NQN		"nqn.2026-01.org.example:remote"
#define RAM_BYTES	(4u << 20)
#define NR_SAID		256

struct far {
	struct leap__iogroup g;		/* first: freed by the target */
	struct leap_link_msg said[NR_SAID];
	int had_fd[NR_SAID];
	uint32_t nr;
	uint32_t kicks;
	struct leap_doorbell *kicked;
	uint16_t mute;			/* type that is not answered */
	struct leap__lmsg *held;
	int err_of[32];			/* by type */
};

struct w {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *v;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	struct far *far;
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

/* ---- the other process ---- */

static void gone(struct far *f, struct leap__ioqp *q)
{
	q->gone.ctrl = q->ctrl;
	q->gone.link.flags = LEAP_LINK_REPLY;
	leap__link_tell(&f->g, &q->gone);
}

static void answer(struct far *f, struct leap__lmsg *m)
{
	int err = f->err_of[m->link.type];

	leap__link_answer(m, err);
	if ((m->link.type == LEAP_LINK_QP_ADD && err && err != -ECONNRESET) ||
	    (m->link.type == LEAP_LINK_QP_DEL && !err))
		gone(f, m->subject);
}

static void far_ask(struct leap__iogroup *g, struct leap__lmsg *m)
{
	struct far *f = (struct far *)g;

	switch (m->link.type) {
	case LEAP_LINK_CTRL_ADD:
	case LEAP_LINK_MEM_ADD:
	case LEAP_LINK_IRQ:
		/* The descriptor is there now, whatever happens to ours. */
		f->had_fd[f->nr % NR_SAID] =
			m->fd >= 0 && fcntl(m->fd, F_GETFD) >= 0;
		break;
	case LEAP_LINK_HELLO:
	case LEAP_LINK_NS_ADD:
	case LEAP_LINK_NS_DEL:
	case LEAP_LINK_QUIESCE:
		leap__link_answer(m, 0);
		return;
	}
	f->said[f->nr++ % NR_SAID] = m->link;
	if (m->link.type == f->mute) {
		f->held = m;
		return;
	}
	answer(f, m);
}

static void far_kick(struct leap__iogroup *g, struct leap_doorbell *db)
{
	struct far *f = (struct far *)g;

	f->kicks++;
	f->kicked = db;
}

static const struct leap__remote_ops far_ops = { far_ask, far_kick };

/* The next thing said must be this. */
static const struct leap_link_msg *said(struct far *f, uint32_t *at,
					uint16_t type)
{
	const struct leap_link_msg *m = &f->said[*at];

	assert_true(*at < f->nr);
	if (m->type != type)
		fail_msg("message %u is %u, not %u", *at, m->type, type);
	(*at)++;
	return m;
}

static int set_up(void **state)
{
	struct leap_vdev_opts o = LEAP_VDEV_OPTS_INIT;
	struct w *w = calloc(1, sizeof(*w));

	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	assert_int_equal(leap_target_create(w->pg, NULL, &w->target), 0);
	w->far = calloc(1, sizeof(*w->far));
	w->far->g.remote = &far_ops;
	w->far->g.home = w->pg;
	w->far->g.index = 1;
	leap__list_init(&w->far->g.qps);
	leap__list_init(&w->far->g.cqs);
	leap__list_init(&w->far->g.memos);
	w->target->groups[w->target->nr_groups++] = &w->far->g;
	w->ss = serve_subsystem(w->target, NQN);
	serve_ns(w->pg, w->ss, "memory:1M", 1);
	o.client_msix = 1;
	assert_int_equal(leap_vdev_create(w->ss, &o, &w->v), 0);
	w->g = gd_new(w->v, RAM_BYTES, poll_home, w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct w *w = *state;

	if (w->v)
		gd_unplug(w->pg, w->v);
	gd_free(w->g);
	serve_stop(w->pg, w->target);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
	free(w);
	return 0;
}

/* ---- tests ---- */

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

static void make_queues(struct w *w)
{
	assert_int_equal(gd_enable(w->g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(w->g, &w->cq, 1, 32);
	gd_sq_init(w->g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(w->g, &w->cq, 0, 1), 0);
	assert_int_equal(gd_create_sq(w->g, &w->sq), 0);
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

/* One cannot reach the pages: none uses them. */
static void test_shadow_refused(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	const struct leap_link_msg *m;
	uint32_t at;

	make_queues(w);
	at = f->nr;
	f->err_of[LEAP_LINK_SHADOW] = -EFAULT;
	assert_int_equal(gd_dbbuf(w->g), LEAP_SC_DATA_TRANSFER);
	f->err_of[LEAP_LINK_SHADOW] = 0;
	settle(w);
	m = said(f, &at, LEAP_LINK_SHADOW);
	assert_int_not_equal(m->u.shadow.doorbells.addr, 0);
	m = said(f, &at, LEAP_LINK_SHADOW);
	assert_int_equal(m->u.shadow.doorbells.addr, 0);
	assert_int_equal(at, f->nr);
}

/* Its successor is told as well, before the guest may ring there. */
static void test_shadow_missed(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	struct leap_sqe sqe = { .opc = LEAP_ADM_DBBUF_CONFIG };
	const struct leap_link_msg *m;
	struct leap__lmsg *held;
	uint64_t db = gd_alloc(w->g, GD_PAGE);
	uint32_t at;
	uint16_t cid;
	int done = 0;

	make_queues(w);
	sqe.prp1 = leap_to_le64(db);
	sqe.prp2 = leap_to_le64(gd_alloc(w->g, GD_PAGE));
	f->mute = LEAP_LINK_SHADOW;
	cid = gd_submit(w->g, &w->g->asq, &sqe);
	settle(w);
	held = f->held;
	leap__vdev_replay(w->v, &f->g, set_err, &done);
	serve_await(w->pg, &done);
	at = f->nr;
	leap__link_answer(held, 0);
	settle(w);
	m = said(f, &at, LEAP_LINK_SHADOW);
	assert_int_equal(m->u.shadow.doorbells.addr, db);
	gd_reap(w->g, &w->g->acq, &w->g->asq);
	assert_false(w->g->done[cid]);
	leap__link_answer(f->held, 0);
	f->mute = 0;
	assert_int_equal(gd_wait(w->g, &w->g->asq, cid), 0);
	assert_int_equal(at, f->nr);
}

/*
 * What was trapped before the answer, and after it, goes into a word that is as
 * the other process has set it up; never into one that the guest has stored to.
 */
static void test_shadow_words(void **state)
{
	struct w *w = *state;
	struct leap_sqe sqe = { .opc = LEAP_ADM_DBBUF_CONFIG };
	uint64_t db = gd_alloc(w->g, GD_PAGE);
	leap_le32 *page = gd_at(w->g, db);
	const leap_le32 fresh = leap_to_le32(LEAP__RING_UNRUNG);
	uint16_t cid;

	make_queues(w);
	sqe.prp1 = leap_to_le64(db);
	sqe.prp2 = leap_to_le64(gd_alloc(w->g, GD_PAGE));
	w->far->mute = LEAP_LINK_SHADOW;
	cid = gd_submit(w->g, &w->g->asq, &sqe);
	settle(w);
	page[2] = page[3] = fresh;
	gd_wr4(w->g, LEAP_REG_SQTDBL(1, 0), 3);
	gd_wr4(w->g, LEAP_REG_CQHDBL(1, 0), 1);
	page[3] = leap_to_le32(2);
	leap__link_answer(w->far->held, 0);
	w->far->mute = 0;
	assert_int_equal(gd_wait(w->g, &w->g->asq, cid), 0);
	assert_int_equal(leap_from_le32(page[2]), 3 | LEAP__RING_UNRUNG);
	assert_int_equal(leap_from_le32(page[3]), 2);
	gd_wr4(w->g, LEAP_REG_SQTDBL(1, 0), 5);
	gd_wr4(w->g, LEAP_REG_CQHDBL(1, 0), 3);
	assert_int_equal(leap_from_le32(page[2]), 5 | LEAP__RING_UNRUNG);
	assert_int_equal(leap_from_le32(page[3]), 2);
	page[2] = leap_to_le32(6);
	gd_wr4(w->g, LEAP_REG_SQTDBL(1, 0), 4);
	assert_int_equal(leap_from_le32(page[2]), 6);
	assert_ptr_equal(w->far->kicked, leap__vdev_db(w->v, 1, 0));
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
	settle(w);
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
	settle(w);
	assert_int_equal(w->v->cq[1]->io.desc.seq, 5);
	/* An error is told; the rest was said all the same. */
	f->err_of[LEAP_LINK_QP_ADD] = -EPROTO;
	done = 0;
	f->mute = LEAP_LINK_RESUME;
	leap__vdev_replay(w->v, &f->g, set_err, &done);
	settle(w);
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
	settle(w);
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
	settle(w);
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
	settle(w);
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
	settle(w);
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
	settle(w);
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

/* ---- interrupts ---- */

static int pin_is_up(struct w *w)
{
	return !!(gd_cfg(w->g, 0x06, 2) & 0x08);
}

static uint64_t signals(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/*
 * Back from messages to the pin: until the other process has let go of the
 * eventfd, its interrupts go to one that nobody reads any more.
 */
static void test_eventfd_goes(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	int fd = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, fd), 0);
	make_queues(w);
	f->mute = LEAP_LINK_IRQ;
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, -1), 0);
	settle(w);
	assert_false(pin_is_up(w));
	leap__vdev_db(w->v, 1, 1)->posted = leap_to_le32(1);
	leap__link_answer(f->held, 0);
	settle(w);
	assert_true(pin_is_up(w));
	gd_disable(w->g);
	assert_false(pin_is_up(w));
	close(fd);
}

/* It may have as many descriptors as it can: interrupts come by here then. */
static void test_eventfd_refused(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	int fd = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 1, fd), 0);
	settle(w);
	make_queues(w);
	/* Those that it has are its own. */
	assert_false(leap__guest_wants_irq(&w->v->guest));
	assert_int_equal(signals(fd), 0);
	f->mute = LEAP_LINK_IRQ;
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, fd), 0);
	settle(w);
	assert_int_equal(signals(fd), 0);
	leap__link_answer(f->held, -EMFILE);
	settle(w);
	assert_true(leap__guest_wants_irq(&w->v->guest));
	/* What was raised before it knew that is not known to anybody. */
	assert_int_equal(signals(fd), 1);
	leap__vdev_irq(w->v, 0);
	assert_int_equal(signals(fd), 1);
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_life),
		T(test_refused),
		T(test_features),
		T(test_shadow_refused),
		T(test_shadow_missed),
		T(test_shadow_words),
		T(test_replay),
		T(test_mem_sync),
		T(test_mem_del),
		T(test_mem_offset),
		T(test_reset),
		T(test_eventfd_goes),
		T(test_eventfd_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
