/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin queue pair of a virtual function, one for every time that it is
 * enabled: the last one may still be going when the next is there. It is in the
 * memory of the guest, on the home poll group, and its commands are admin.c's.
 */
#include "core/ctrl/vdev_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void admin_left(struct leap_msg *msg)
{
	struct leap__vadmin *a = (struct leap__vadmin *)(void *)
		((char *)msg - offsetof(struct leap__vadmin, msg));
	struct leap_vdev *v = a->v;

	leap__guest_cq_destroy(a->cq);
	leap__list_remove(&a->link);
	free(a);
	leap__vdev_settle(v);
}

static struct leap__vadmin *admin_of(struct leap_vdev *v,
				     const struct leap_vqp *vqp)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &v->admins) {
		struct leap__vadmin *a =
			leap__list_entry(pos, struct leap__vadmin, link);

		if (a->vqp == vqp)
			return a;
	}
	return NULL;
}

static void admin_execute(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	leap__admin_handler.execute(vqp, cmd);
}

static void admin_lost(struct leap_vqp *vqp, int err)
{
	leap__admin_handler.lost(vqp, err);
}

static void admin_gone(struct leap_vqp *vqp)
{
	struct leap__conn *conn = vqp->handler_priv;
	struct leap__vadmin *a = admin_of(leap__vdev_of(conn->ctrl), vqp);

	leap__admin_handler.gone(vqp);
	/* Its CQ after it: it is destroyed when this returns. */
	a->msg.run = admin_left;
	leap_pollgroup_send(a->v->home, &a->msg);
}

static const struct leap_vqp_handler admin_handler = {
	.size = sizeof(admin_handler),
	.execute = admin_execute,
	.lost = admin_lost,
	.gone = admin_gone,
};

static int admin_create(struct leap_vdev *v, struct leap__vadmin *a,
			uint32_t flags)
{
	struct leap_cq_desc *cq = &v->admin_cq.io.desc;
	struct leap__ctrl *c = v->c;
	struct leap_qp_desc qp = { 0 };
	int err;

	memset(cq, 0, sizeof(*cq));
	cq->cntlid = c->cntlid;
	cq->depth = LEAP_GET(c->aqa, LEAP_AQA_ACQS) + 1;
	cq->gpa.addr = c->acq;
	cq->doorbell = leap__vdev_db_offset(v, 0, 1);
	qp.sq_depth = LEAP_GET(c->aqa, LEAP_AQA_ASQS) + 1;
	qp.cq_depth = cq->depth;
	qp.sq.addr = c->asq;
	cq->flags = qp.flags = flags;
	if (!flags) {
		leap__vdev_fresh_doorbell(v, 0, 0);
		leap__vdev_fresh_doorbell(v, 0, 1);
		v->admin_cq.head = 0;
		v->admin_cq.posted = 0;
		v->admin_tail = 0;
	}
	leap__vdev_fill_qp(v, &qp);
	err = leap__vdev_place_record(v, &qp);
	if (err)
		return err;
	v->admin_depth = qp.sq_depth;
	err = leap__guest_cq_create(v->home, &v->guest, cq, &a->cq);
	if (err)
		return err;
	err = leap__guest_vqp_create(v->home, &v->guest, a->cq, &qp, NULL,
				     &a->vqp);
	if (err)
		leap__guest_cq_destroy(a->cq);
	return err;
}

static int admin_start(struct leap_vdev *v, uint32_t flags)
{
	struct leap__ctrl *c = v->c;
	struct leap__vadmin *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->v = v;
	err = admin_create(v, a, flags);
	if (err) {
		leap__pg_log_limited(v->home, &v->home->peer_limit,
				     LEAP_LOG_WARN, "controller %u: admin "
				     "queues at %llx and %llx: %s", c->cntlid,
				     (unsigned long long)c->asq,
				     (unsigned long long)c->acq,
				     strerror(-err));
		free(a);
		return err;
	}
	leap__list_push_back(&v->admins, &a->link);
	err = leap__ctrl_adopt_admin(c, a->vqp);
	if (err) {
		/* Without a handler nobody is told; it goes all the same. */
		leap_vqp_close(a->vqp);
		a->msg.run = admin_left;
		leap_pollgroup_send(v->home, &a->msg);
		return err;
	}
	a->vqp->handler = &admin_handler;
	v->started = 1;
	if (flags)
		err = leap__guest_cq_restored(a->cq);
	if (!err)
		leap__guest_vqp_start(a->vqp);
	return err;
}

int leap__vdev_admin_start(struct leap__ctrl *c, void *arg)
{
	/* From the last time; its queues have gone. */
	leap__vdev_tell_forget(arg);
	(void)c;
	return admin_start(arg, 0);
}

int leap__vdev_resume_admin(struct leap_vdev *v)
{
	int err = admin_start(v, LEAP_QPD_RESUME);

	v->c->started = v->started != 0;
	return err;
}
