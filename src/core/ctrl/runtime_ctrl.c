/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Controllers that an agent has lent to this process: their memory, mapped from
 * the descriptors that came along, and what is asked of them but for their
 * queues (runtime_queues.c).
 *
 *	CTRL_ADD  MEM_ADD ...  CQ_ADD  QP_ADD ... RESUME   (agent asks)
 *	   end:  QP_DEL -> gone -> CQ_DEL -> groups forget it -> memory unmapped
 *
 * Every question is answered, with what became of it.
 */
#include "core/ctrl/runtime_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STATE_BYTES	(1ull << 30)

struct leap__rctrl *leap__rctrl_find(struct leap_runtime *rt, uint16_t id)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &rt->ctrls) {
		struct leap__rctrl *c =
			leap__list_entry(pos, struct leap__rctrl, link);

		if (c->id == id)
			return c;
	}
	return NULL;
}

/* ---- questions that go on to groups ---- */

/* To one group. */
struct ask {
	struct leap__lmsg m;		/* first */
	struct leap__rctrl *c;
	struct leap_link_msg q;
};

static void ask_answered(struct leap__lmsg *m)
{
	struct ask *a = (struct ask *)m;
	struct leap__rctrl *c = a->c;

	if (a->q.type == LEAP_LINK_ABORT)
		a->q.u.abort.found = m->link.u.abort.found;
	leap__runtime_reply(c->rt, &a->q, m->link.err, -1);
	free(a);
	c->out--;
	leap__rctrl_settle(c);
}

static void ask_group(struct leap__rctrl *c, const struct leap_link_msg *q,
		      struct leap__iogroup *g, void *subject)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (!a) {
		leap__runtime_reply(c->rt, q, -ENOMEM, -1);
		return;
	}
	a->c = c;
	a->q = *q;
	leap__link_init(&a->m, q->type, ask_answered, NULL);
	a->m.link = *q;
	a->m.ctrl = c;
	a->m.subject = subject;
	c->out++;
	leap__link_ask(g, &a->m);
}

/* To all of them. */
struct round {
	struct leap__round r;
	struct leap__rctrl *c;
	struct leap_link_msg q;
	int answer;
};

static void round_done(struct leap__round *r)
{
	struct round *o = r->arg;
	struct leap__rctrl *c = o->c;

	if (o->answer)
		leap__runtime_reply(c->rt, &o->q, r->err, -1);
	leap__round_fini(r);
	free(o);
	c->out--;
	leap__rctrl_settle(c);
}

static int ask_all(struct leap__rctrl *c, const struct leap_link_msg *q,
		   int answer)
{
	struct leap_target *t = c->rt->target;
	struct round *o = calloc(1, sizeof(*o));
	uint32_t i;

	if (!o || !leap__round_prepare(t, &o->r, q->type)) {
		free(o);
		if (answer)
			leap__runtime_reply(c->rt, q, -ENOMEM, -1);
		return -ENOMEM;
	}
	o->c = c;
	o->q = *q;
	o->answer = answer;
	o->r.done = round_done;
	o->r.arg = o;
	for (i = 0; i < o->r.nr; i++) {
		o->r.m[i].link.u = q->u;
		o->r.m[i].ctrl = c;
		o->r.m[i].subject = &c->guest;
	}
	c->out++;
	leap__round_send(t, &o->r);
	return 0;
}

/* ---- the end ---- */

static void free_ctrl(struct leap__rctrl *c)
{
	struct leap_runtime *rt = c->rt;

	leap_timer_stop(rt->pg, &c->settle_timer);
	leap__list_remove(&c->link);
	leap__rctrl_irq_fini(c);
	leap_dmabuf_put(c->state);
	if (c->answer_del)
		leap__runtime_reply(rt, &c->del, 0, -1);
	free(c);
	leap__runtime_settle(rt);
}

static void settle(struct leap_timer *timer)
{
	struct leap__rctrl *c =
		leap__list_entry(timer, struct leap__rctrl, settle_timer);
	struct leap_link_msg bye = { .type = LEAP_LINK_CTRL_DEL };

	if (c->ending || c->rt->draining)
		leap__rctrl_close_cqs(c);
	if (c->rt->draining)
		leap__runtime_settle(c->rt);
	if (!c->ending || leap__rctrl_has_queues(c) || c->out ||
	    leap__load_relaxed(&c->poked))
		return;
	if (!c->said_end) {
		c->said_end = 1;
		if (!ask_all(c, &bye, 0))
			return;
	}
	/* Views of other groups may be on their way out. */
	if (c->guest.ats && leap_ats_destroy(c->guest.ats)) {
		leap_timer_start(c->rt->pg, timer, 1000000);
		return;
	}
	c->guest.ats = NULL;
	free_ctrl(c);
}

void leap__rctrl_settle(struct leap__rctrl *c)
{
	leap_timer_start(c->rt->pg, &c->settle_timer, 0);
}

/* ---- memory ---- */

static int mem_add(struct leap__rctrl *c, const struct leap_link_msg *msg,
		   int fd)
{
	struct leap_ats_range range = LEAP_ATS_RANGE_INIT;
	int err;

	/* Without a descriptor there is no way to it from here: commands that
	 * name it fail as if it were not there. */
	if (msg->u.mem.source != LEAP_ATS_FD)
		return 0;
	if (fd < 0)
		return -EINVAL;
	range.gpa = msg->u.mem.gpa;
	range.bytes = msg->u.mem.bytes;
	/* Whom the agent trusts with files that can be cut short we trust. */
	range.perm = msg->u.mem.perm & (LEAP_PERM_READ | LEAP_PERM_WRITE |
					LEAP_PERM_UNSEALED);
	range.source = LEAP_ATS_FD;
	range.fd = fd;
	range.offset = msg->u.mem.offset;
	err = leap_ats_map(c->guest.ats, &range);
	if (!err)
		c->mem_bytes += range.bytes;
	return err;
}

struct unmap {
	struct leap_msg msg;		/* first */
	struct leap__rctrl *c;
	struct leap_link_msg q;
};

static void unmapped(struct leap_msg *msg)
{
	struct unmap *u = (struct unmap *)msg;
	struct leap__rctrl *c = u->c;

	c->mem_bytes -= u->q.u.mem.bytes;
	leap__runtime_reply(c->rt, &u->q, 0, -1);
	free(u);
	c->out--;
	leap__rctrl_settle(c);
}

/* On whichever thread released the last pin. */
static void unpinned(void *arg)
{
	struct unmap *u = arg;

	u->msg.run = unmapped;
	leap_pollgroup_send(u->c->rt->pg, &u->msg);
}

static void mem_del(struct leap__rctrl *c, const struct leap_link_msg *msg)
{
	struct unmap *u = calloc(1, sizeof(*u));
	int err = -ENOMEM;

	if (u) {
		u->c = c;
		u->q = *msg;
		c->out++;
		err = leap_ats_unmap(c->guest.ats, msg->u.mem.gpa,
				     msg->u.mem.bytes, unpinned, u);
	}
	if (!err)
		return;
	/* One that was never mapped is not in use. */
	if (u)
		c->out--;
	free(u);
	leap__runtime_reply(c->rt, msg, err == -ENOENT ? 0 : err, -1);
}

/* ---- controllers ---- */

static int pick_subsystem(struct leap_runtime *rt, const char *nqn,
			  struct leap_subsystem **out)
{
	struct leap_subsystem_opts opts = LEAP_SUBSYSTEM_OPTS_INIT;

	*out = leap_subsystem_find(rt->target, nqn);
	if (*out)
		return (*out)->dying ? -ESHUTDOWN : 0;
	/* A drive without namespaces, as far as we know. */
	opts.nqn = nqn;
	return leap_subsystem_create(rt->target, &opts, out);
}

static int ctrl_make(struct leap__rctrl *c, const struct leap_link_msg *msg,
		     int fd)
{
	uint64_t bytes = msg->u.ctrl.state_bytes;
	uint32_t mdts = msg->u.ctrl.max_data_bytes;
	int err;

	if (fd < 0 || bytes < sizeof(struct leap_doorbell) ||
	    bytes > MAX_STATE_BYTES || mdts < 4096 || mdts > 1u << 28)
		return -EINVAL;
	err = pick_subsystem(c->rt, msg->u.ctrl.nqn, &c->ss);
	if (!err)
		err = leap_dmabuf_import(fd, 0, bytes, LEAP_PERM_READ |
					 LEAP_PERM_WRITE, &c->state);
	if (!err)
		err = leap_ats_create(NULL, &c->guest.ats);
	if (!err)
		err = leap__rctrl_irq_init(c);
	if (err)
		return err;
	c->guest.state = leap_dmabuf_addr(c->state);
	c->guest.state_bytes = bytes;
	c->guest.max_data_bytes = mdts;
	return 0;
}

static int ctrl_add(struct leap_runtime *rt, const struct leap_link_msg *msg,
		    int fd)
{
	struct leap__rctrl *c;
	int err;

	if (!msg->cntlid || leap__rctrl_find(rt, msg->cntlid))
		return -EEXIST;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->rt = rt;
	c->id = msg->cntlid;
	c->sink_fd = -1;
	c->settle_timer.run = settle;
	leap__list_init(&c->qps);
	leap__list_init(&c->cqs);
	err = ctrl_make(c, msg, fd);
	if (!err) {
		leap__list_push_back(&rt->ctrls, &c->link);
		return 0;
	}
	leap__rctrl_irq_fini(c);
	if (c->guest.ats)
		leap_ats_destroy(c->guest.ats);
	leap_dmabuf_put(c->state);
	free(c);
	return err;
}

void leap__rctrl_end(struct leap__rctrl *c)
{
	c->ending = 1;
	leap__rctrl_delete_queues(c, 0);
}

static void ctrl_del(struct leap__rctrl *c, const struct leap_link_msg *msg)
{
	if (c->answer_del) {
		leap__runtime_reply(c->rt, msg, -EALREADY, -1);
		return;
	}
	c->answer_del = 1;
	c->del = *msg;
	leap__rctrl_end(c);
}

static void abort_one(struct leap__rctrl *c, const struct leap_link_msg *msg)
{
	struct leap__rqp *q = leap__rctrl_find_qp(c, msg->u.abort.qid);
	struct leap_link_msg none = *msg;

	if (q) {
		ask_group(c, msg, q->io.group, NULL);
		return;
	}
	none.u.abort.found = 0;
	leap__runtime_reply(c->rt, &none, 0, -1);
}

/* Those that are answered from here; the rest answer later. */
static int message(struct leap__rctrl *c, const struct leap_link_msg *msg,
		   int fd)
{
	int err;

	switch (msg->type) {
	case LEAP_LINK_MEM_ADD:
		return mem_add(c, msg, fd);
	case LEAP_LINK_IRQ:
		return leap__rctrl_irq_fd(c, msg->u.irq.vector, fd);
	case LEAP_LINK_MEM_DEL:
		mem_del(c, msg);
		return 1;
	case LEAP_LINK_CQ_ADD:
		err = leap__rctrl_cq_add(c, msg);
		return err ? err : 1;
	case LEAP_LINK_QP_ADD:
		err = leap__rctrl_qp_add(c, msg);
		return err ? err : 1;
	case LEAP_LINK_CQ_DEL:
		leap__rctrl_cq_del(c, msg);
		return 1;
	case LEAP_LINK_QP_DEL:
		leap__rctrl_qp_del(c, msg);
		return 1;
	case LEAP_LINK_CTRL_DEL:
		ctrl_del(c, msg);
		return 1;
	case LEAP_LINK_ABORT:
		abort_one(c, msg);
		return 1;
	case LEAP_LINK_FLUSH:
		ask_group(c, msg, c->rt->target->groups[0], c->ss->ioss[0]);
		return 1;
	case LEAP_LINK_SHADOW:
	case LEAP_LINK_FEATURE:
	case LEAP_LINK_RESUME:
		ask_all(c, msg, 1);
		return 1;
	}
	return -EOPNOTSUPP;
}

void leap__rctrl_message(struct leap_runtime *rt,
			 const struct leap_link_msg *msg, int fd)
{
	struct leap__rctrl *c = leap__rctrl_find(rt, msg->cntlid);
	int rc;

	if (msg->type == LEAP_LINK_CTRL_ADD)
		rc = ctrl_add(rt, msg, fd);
	else if (!c)
		rc = -ENOENT;
	else
		rc = message(c, msg, fd);
	if (rc <= 0)
		leap__runtime_reply(rt, msg, rc, -1);
}
