/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller-end dispatcher: the life of a command that has arrived.
 *
 *	FREE --get--> GOT --deliver--> HANDLER --complete--> DONE --put--> FREE
 *	                               |     ^
 *	                              pull  ready
 *	                               v     |
 *	                              PULLING -----put (connection died)--> FREE
 *
 * The only caller of the controller-end slots of a transport (pool.c calls
 * vqp_resume and vqp_destroy on its behalf). Every step is a few instructions
 * and asserts the state before it, so that a command cannot end twice. Knows
 * neither what a command means nor how it travels.
 */
#include "core/io/vqp.h"
#include "core/io/pool.h"

#include <assert.h>
#include <errno.h>

enum {
	CMD_FREE = 0,
	CMD_GOT,	/* with the transport, being filled */
	CMD_HANDLER,	/* with the handler */
	CMD_PULLING,	/* the same, payload on its way */
	CMD_DONE,	/* with the transport, being answered */
};

void leap_vqp_init(struct leap_vqp *vqp, const struct leap_transport_ops *ops,
		   struct leap_pollgroup *pg, struct leap_listener *listener)
{
	vqp->ops = ops;
	vqp->pg = pg;
	vqp->listener = listener;
	vqp->handler = NULL;
	vqp->handler_priv = NULL;
	vqp->nr_cmds = 0;
	vqp->qid = 0;
	vqp->depth = 0;
	vqp->dead = 0;
	vqp->sq_flow_off = 0;
	vqp->starved = 0;
	vqp->connected = 0;
	vqp->starved_link = NULL;
}

/*
 * Nobody has more than he leaves to the others, not counting what is kept for
 * those with few: so a peer that never lets its commands end cannot take all.
 * Many such peers can, and whoever has none then takes a spare slot: no more
 * are in use than there are controller ends. Small pools are for one peer, who
 * may empty them.
 */
static int has_share(const struct leap__dispatch *d, const struct leap_vqp *vqp)
{
	if (!d->cmds_kept || !vqp->nr_cmds)
		return 1;
	return d->cmds_in_use < d->nr_cmds &&
	       (vqp->nr_cmds < LEAP__CMDS_EACH ||
		d->nr_cmds - d->cmds_in_use > d->cmds_kept + vqp->nr_cmds);
}

struct leap_cmd *leap_cmd_get(struct leap_vqp *vqp)
{
	struct leap__dispatch *d = leap__dispatch(vqp->pg);
	struct leap_cmd *cmd = d->free_cmd;

	if (__builtin_expect(vqp->starved & LEAP__VQP_MOVING, 0)) {
		vqp->starved |= LEAP__VQP_HUNGRY;
		return NULL;
	}
	if (__builtin_expect(!has_share(d, vqp), 0)) {
		d->pool_empty++;
		leap_vqp_starved(vqp);
		return NULL;
	}
	if (cmd) {
		d->free_cmd = cmd->link[0];
	} else if (d->nr_fresh < d->nr_slots) {
		cmd = &d->cmds[d->nr_fresh];
		cmd->tag = d->nr_fresh++;
	} else {
		d->pool_empty++;
		leap_vqp_starved(vqp);
		return NULL;
	}
	assert(cmd->state == CMD_FREE && !vqp->dead);
	d->cmds_in_use++;
	vqp->nr_cmds++;
	cmd->vqp = vqp;
	cmd->pieces = NULL;
	cmd->nr_pieces = 0;
	cmd->data_bytes = 0;
	cmd->result = 0;
	cmd->flags = 0;
	cmd->pins.nr = 0;
	cmd->state = CMD_GOT;
	return cmd;
}

void leap_vqp_deliver(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	assert(cmd->state == CMD_GOT && cmd->vqp == vqp && !vqp->dead);
	cmd->state = CMD_HANDLER;
	vqp->handler->execute(vqp, cmd);
}

void leap_cmd_pull(struct leap_cmd *cmd, uint32_t len_bytes,
		   void (*ready)(struct leap_cmd *cmd, leap_status_t status))
{
	struct leap_vqp *vqp = cmd->vqp;

	assert(cmd->state == CMD_HANDLER);
	if (!len_bytes) {
		ready(cmd, 0);
		return;
	}
	if (len_bytes > vqp->max_data_bytes) {
		ready(cmd, LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
		return;
	}
	if (vqp->dead) {
		/* Nobody is left to send it, or to take it. */
		ready(cmd, LEAP_SC_ABORT_SQ_DELETED);
		return;
	}
	cmd->state = CMD_PULLING;
	cmd->data_bytes = len_bytes;
	cmd->ready = ready;
	vqp->ops->cmd_pull(cmd, len_bytes);
}

void leap_cmd_ready(struct leap_cmd *cmd, leap_status_t status)
{
	assert(cmd->state == CMD_PULLING);
	cmd->state = CMD_HANDLER;
	cmd->ready(cmd, status);
}

void leap_cmd_complete(struct leap_cmd *cmd, leap_status_t status)
{
	assert(cmd->state == CMD_HANDLER);
	cmd->state = CMD_DONE;
	cmd->status = status;
	cmd->vqp->ops->cmd_complete(cmd);
}

static int owns_cmd(const struct leap__dispatch *d, const struct leap_cmd *cmd)
{
	return (uintptr_t)cmd - (uintptr_t)d->cmds <
	       (uintptr_t)d->nr_slots * sizeof(*cmd);
}

static void put_own(struct leap__dispatch *d, struct leap_cmd *cmd)
{
	cmd->link[0] = d->free_cmd;
	d->free_cmd = cmd;
	d->cmds_in_use--;
	d->returned = 1;
}

static void cmd_is_home(struct leap_msg *msg)
{
	struct leap_cmd *cmd = (struct leap_cmd *)
		((char *)msg - offsetof(struct leap_cmd, owner_priv));

	put_own(cmd->owner, cmd);
}

/* The message travels in what was the handler's. */
static void put_foreign(struct leap__dispatch *d, struct leap_cmd *cmd)
{
	struct leap_msg *msg = (struct leap_msg *)cmd->owner_priv;
	uint32_t i;

	for (i = 0; i < d->nr_peers; i++) {
		if (!owns_cmd(d->peers[i], cmd))
			continue;
		cmd->owner = d->peers[i];
		msg->run = cmd_is_home;
		leap_pollgroup_send(d->peers[i]->pg, msg);
		return;
	}
	assert(!"a command of no pool");
}

void leap_cmd_put(struct leap_cmd *cmd)
{
	struct leap_vqp *vqp = cmd->vqp;
	struct leap__dispatch *d = leap__dispatch(vqp->pg);

	assert(cmd->state == CMD_DONE || cmd->state == CMD_GOT ||
	       cmd->state == CMD_PULLING);
	cmd->state = CMD_FREE;
	if (__builtin_expect(owns_cmd(d, cmd), 1))
		put_own(d, cmd);
	else
		put_foreign(d, cmd);
	if (!--vqp->nr_cmds && vqp->dead)
		leap__vqp_reap(vqp);
}

/* The handler may complete what it has while it is told. */
static void tell_lost(struct leap_vqp *vqp, int err)
{
	vqp->nr_cmds++;
	if (vqp->handler)
		vqp->handler->lost(vqp, err);
	if (!--vqp->nr_cmds)
		leap__vqp_reap(vqp);
}

void leap_vqp_lost(struct leap_vqp *vqp, int err)
{
	assert(!vqp->dead);
	leap__vqp_unstarve(vqp);
	vqp->dead = 1;
	/* On its way to another thread, which will be told. */
	if (!(vqp->starved & LEAP__VQP_MOVING))
		tell_lost(vqp, err);
}

int leap__vqp_is_ending(const struct leap_vqp *vqp)
{
	return vqp->dead || (vqp->starved & LEAP__VQP_CLOSING);
}

void leap_vqp_close(struct leap_vqp *vqp)
{
	if (leap__vqp_is_ending(vqp))
		return;
	vqp->starved |= LEAP__VQP_CLOSING;
	vqp->ops->vqp_close(vqp);
}

int leap__vqp_is_moving(const struct leap_vqp *vqp)
{
	return vqp->starved & LEAP__VQP_MOVING;
}

static void move_arrives(struct leap_msg *msg)
{
	struct leap__vqp_move *move = (struct leap__vqp_move *)msg;
	struct leap_vqp *vqp = move->vqp;
	int hungry = vqp->starved & LEAP__VQP_HUNGRY;
	int err = -ENOTCONN;

	leap__dispatch_add_peer(leap__dispatch(move->to),
				leap__dispatch(vqp->pg));
	vqp->pg = move->to;
	vqp->starved &= (uint8_t)~(LEAP__VQP_MOVING | LEAP__VQP_HUNGRY);
	if (!vqp->dead)
		err = vqp->ops->vqp_attach(vqp);
	if (err) {
		/* The Connect is still out, so it is not gone after this. */
		vqp->dead = 1;
		tell_lost(vqp, err);
	}
	move->moved(move, err);
	if (hungry && !vqp->dead)
		vqp->ops->vqp_resume(vqp);
}

static void move_departs(struct leap__vqp_move *move);

static void move_again(struct leap_msg *msg)
{
	move_departs((struct leap__vqp_move *)msg);
}

static void move_departs(struct leap__vqp_move *move)
{
	struct leap_vqp *vqp = move->vqp;

	/* Answers to what came before the Connect are still being sent. */
	if (vqp->nr_cmds > 1) {
		move->msg.run = move_again;
		leap_pollgroup_send(vqp->pg, &move->msg);
		return;
	}
	leap__vqp_unstarve(vqp);
	if (!vqp->dead)
		vqp->ops->vqp_detach(vqp);
	move->msg.run = move_arrives;
	leap_pollgroup_send(move->to, &move->msg);
}

static void move_deferred(struct leap__defer *defer)
{
	move_departs((struct leap__vqp_move *)((char *)defer -
		offsetof(struct leap__vqp_move, defer)));
}

void leap__vqp_move(struct leap__vqp_move *move)
{
	struct leap_vqp *vqp = move->vqp;

	assert(!vqp->dead && vqp->nr_cmds);
	vqp->starved |= LEAP__VQP_MOVING;
	move->defer = (struct leap__defer){ .run = move_deferred };
	leap__pollgroup_defer(vqp->pg, &move->defer);
}
