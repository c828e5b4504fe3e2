/* SPDX-License-Identifier: BSD-3-Clause */
#include "config.h"
#include "fake-target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/transport.h"
#include "core/io/vqp.h"

struct move {
	struct leap__vqp_move move;
	struct leap_cmd *cmd;
};

static struct leap_target *target_of(struct leap_vqp *vqp)
{
	return vqp->handler_priv;
}

static void moved(struct leap__vqp_move *move, int err)
{
	struct move *m = (struct move *)move;

	leap_cmd_complete(m->cmd, err ? LEAP_SC_INTERNAL : 0);
	free(m);
}

static void connect_ready(struct leap_cmd *cmd, leap_status_t status)
{
	const struct leap_fab_connect *sqe =
		(const struct leap_fab_connect *)&cmd->sqe;
	struct leap_vqp *vqp = cmd->vqp;
	struct leap_target *t = target_of(vqp);
	struct move *m;

	if (!status)
		status = t->connect_status;
	if (status) {
		leap_cmd_complete(cmd, status);
		return;
	}
	memcpy(&t->data, cmd->pieces[0].addr, sizeof(t->data));
	vqp->qid = leap_from_le16(sqe->qid);
	vqp->depth = (uint16_t)(leap_from_le16(sqe->sqsize) + 1);
	vqp->sq_flow_off = !!(sqe->cattr & LEAP_CATTR_NO_SQFLOW);
	vqp->connected = 1;
	cmd->result = 7;
	if (t->hold_connect) {
		t->held = cmd;
	} else if (t->io && vqp->qid) {
		m = calloc(1, sizeof(*m));
		m->cmd = cmd;
		m->move.vqp = vqp;
		m->move.to = t->io;
		m->move.moved = moved;
		leap__vqp_move(&m->move);
	} else {
		leap_cmd_complete(cmd, 0);
	}
}

static void fake_execute(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	struct leap_target *t = target_of(vqp);

	if (!vqp->connected)
		leap_cmd_pull(cmd, sizeof(t->data), connect_ready);
	else if (t->execute)
		t->execute(t, cmd);
	else
		leap_cmd_complete(cmd, 0);
}

static void fake_lost(struct leap_vqp *vqp, int err)
{
	target_of(vqp)->lost++;
	target_of(vqp)->lost_err = err;
}

static void fake_gone(struct leap_vqp *vqp)
{
	target_of(vqp)->gone++;
}

static const struct leap_vqp_handler handler = {
	sizeof(handler), fake_execute, fake_lost, fake_gone,
};

void fake_target_init(struct leap_target *t, struct leap_pollgroup *home)
{
	memset(t, 0, sizeof(*t));
	t->home = home;
	t->listener.target = t;
	t->listener_opts.size = sizeof(t->listener_opts);
	t->opts.size = sizeof(t->opts);
	t->opts.name = "fake";
	t->opts.mdts_bytes = 1 << 20;
	t->opts.inline_bytes = 8192;
	t->opts.queue_depth = 128;
	t->opts.max_io_queues = 64;
}

int leap_listener_room(const struct leap_listener *l)
{
	const struct leap_target *t = l->target;
	uint32_t max = t->opts.max_connections;

	return max && t->accepted - t->gone >= max ? -EBUSY : 0;
}

int leap_listener_accepted(struct leap_listener *l, struct leap_vqp *vqp)
{
	struct leap_target *t = l->target;

	if (t->refuse || leap_listener_room(l))
		return t->refuse ? t->refuse : -EBUSY;
	t->accepted++;
	t->vqp = vqp;
	vqp->handler = &handler;
	vqp->handler_priv = t;
	return 0;
}

struct leap_listener *leap_listener_next(const struct leap_target *t,
					 const struct leap_listener *after)
{
	return after ? NULL : (struct leap_listener *)&t->listener;
}

const char *leap_listener_url(const struct leap_listener *l)
{
	return "loop://";
}

void *leap_listener_priv(struct leap_listener *l)
{
	return l->priv;
}

struct leap_pollgroup *leap_listener_pollgroup(const struct leap_listener *l)
{
	return l->target->home;
}

const struct leap_listener_opts *
leap_listener_opts(const struct leap_listener *l)
{
	return &l->target->listener_opts;
}

const struct leap_target_opts *
leap_listener_target_opts(const struct leap_listener *l)
{
	return &l->target->opts;
}

struct leap_pollgroup *leap__target_home(const struct leap_target *t)
{
	return t->home;
}

/* Those without drives of a real target behind them. */
const struct leap_transport_ops *const *leap__transports(void)
{
	static const struct leap_transport_ops *const all[] = {
		&leap__loop_transport,
		&leap__rdma_transport,
#ifdef LEAP_WITH_TCP
		&leap__tcp_transport,
#endif
#ifdef LEAP_WITH_SHM
		&leap__shm_transport,
#endif
		NULL,
	};

	return all;
}
