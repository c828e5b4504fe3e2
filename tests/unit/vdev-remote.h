/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdev-remote.h - a virtual drive whose other group is in another process,
 * which is a script here: it writes down what it is told, answers as it is
 * bidden, or not yet
 */
#ifndef LEAP_TESTS_VDEV_REMOTE_H
#define LEAP_TESTS_VDEV_REMOTE_H

#include "guest-driver.h"

#include <fcntl.h>

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

/* ---- the other process ---- */

static inline void gone(struct far *f, struct leap__ioqp *q)
{
	q->gone.ctrl = q->ctrl;
	q->gone.link.flags = LEAP_LINK_REPLY;
	leap__link_tell(&f->g, &q->gone);
}

static inline void answer(struct far *f, struct leap__lmsg *m)
{
	int err = f->err_of[m->link.type];

	leap__link_answer(m, err);
	if ((m->link.type == LEAP_LINK_QP_ADD && err && err != -ECONNRESET) ||
	    (m->link.type == LEAP_LINK_QP_DEL && !err))
		gone(f, m->subject);
}

static inline void far_ask(struct leap__iogroup *g, struct leap__lmsg *m)
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

static inline void far_kick(struct leap__iogroup *g, struct leap_doorbell *db)
{
	struct far *f = (struct far *)g;

	f->kicks++;
	f->kicked = db;
}

static const struct leap__remote_ops far_ops = { far_ask, far_kick };

/* The next thing said must be this. */
static inline const struct leap_link_msg *said(struct far *f, uint32_t *at,
					uint16_t type)
{
	const struct leap_link_msg *m = &f->said[*at];

	assert_true(*at < f->nr);
	if (m->type != type)
		fail_msg("message %u is %u, not %u", *at, m->type, type);
	(*at)++;
	return m;
}

static inline int set_up(void **state)
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
	w->g = gd_new(w->v, RAM_BYTES, serve_poll, w->pg);
	*state = w;
	return 0;
}

static inline int tear_down(void **state)
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

static inline void make_queues(struct w *w)
{
	assert_int_equal(gd_enable(w->g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(w->g, &w->cq, 1, 32);
	gd_sq_init(w->g, &w->sq, 1, 16, &w->cq);
	assert_int_equal(gd_create_cq(w->g, &w->cq, 0, 1), 0);
	assert_int_equal(gd_create_sq(w->g, &w->sq), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
