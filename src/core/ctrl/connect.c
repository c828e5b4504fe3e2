/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections before they are anybody's: a new controller end waits at home
 * for its Connect command, which makes a controller (admin queue) or takes the
 * connection to the I/O group that will serve it (I/O queue).
 *
 * A host that connects anew may have closed earlier connections without our
 * having read all that it sent over them. Before its Connect is answered every
 * group ends those unread (the barrier), so that nothing old is executed after
 * something new.
 *
 * Spec: NVMe Base 2.0 s3.3.2.2 (queue creation over fabrics), s6.3 (Connect)
 */
#include "core/ctrl/admin.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* DW0 of a Connect refused with Invalid Parameters: where the bad field is. */
#define IN_SQE(field)	((uint32_t)offsetof(struct leap_fab_connect, field))
#define IN_DATA(field)	((uint32_t)offsetof(struct leap_connect_data, field) | \
			 LEAP_CONNECT_DW0_IATTR_DATA)

static const struct leap_fab_connect *sqe_of(const struct leap_cmd *cmd)
{
	return (const struct leap_fab_connect *)(const void *)&cmd->sqe;
}

static void refuse(struct leap__conn *conn, leap_status_t status,
		   uint32_t where)
{
	struct leap_cmd *cmd = conn->connect;

	conn->connect = NULL;
	cmd->result = where;
	leap_cmd_complete(cmd, LEAP__DNR(status));
}

/* ---- the end of a connection at home ---- */

void leap__conn_free(struct leap__conn *conn)
{
	struct leap_target *t = conn->target;

	leap__list_remove(&conn->link);
	leap_timer_stop(t->home, &conn->timer);
	leap__round_fini(&conn->barrier);
	free(conn);
}

static void conn_lost(struct leap_vqp *vqp, int err)
{
	struct leap__conn *conn = vqp->handler_priv;

	leap_timer_stop(conn->target->home, &conn->timer);
	if (err == -EPROTO)
		conn->target->protocol_errors++;
}

static void conn_gone(struct leap_vqp *vqp)
{
	struct leap__conn *conn = vqp->handler_priv;
	struct leap_target *t = conn->target;

	t->connections--;
	leap__conn_free(conn);
	leap__target_settle(t);
}

static void connect_timeout(struct leap_timer *timer)
{
	struct leap__conn *conn =
		leap__list_entry(timer, struct leap__conn, timer);

	if (!conn->connect)
		leap_vqp_close(conn->vqp);
}

/* ---- admin queue ---- */

static void mark_connected(struct leap_vqp *vqp, const struct leap_cmd *cmd)
{
	const struct leap_fab_connect *sqe = sqe_of(cmd);

	vqp->qid = leap_from_le16(sqe->qid);
	vqp->depth = (uint16_t)(leap_from_le16(sqe->sqsize) + 1);
	vqp->sq_flow_off = !!(sqe->cattr & LEAP_CATTR_NO_SQFLOW);
	vqp->connected = 1;
}

/* All earlier connections of the host that it has closed are ended. */
static void barrier_done(struct leap__round *r)
{
	struct leap__conn *conn = r->arg;
	struct leap__ctrl *c = conn->ctrl;
	struct leap_cmd *cmd = conn->connect;

	conn->connect = NULL;
	if (conn->vqp->dead || c->dead) {
		leap_cmd_complete(cmd, LEAP_SC_ABORT_SQ_DELETED);
		return;
	}
	mark_connected(conn->vqp, cmd);
	leap__ctrl_seen(c);
	cmd->result = c->cntlid;
	leap_cmd_complete(cmd, 0);
}

/* The same for admin queues, which are ours. */
static void end_closed_admins(struct leap__conn *conn)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &conn->target->conns) {
		struct leap__conn *x =
			leap__list_entry(pos, struct leap__conn, link);

		if (x == conn || !x->ctrl || !x->vqp || x->vqp->dead ||
		    memcmp(x->ctrl->hostid, conn->data.hostid, 16))
			continue;
		if (x->vqp->ops->vqp_peer_closed &&
		    x->vqp->ops->vqp_peer_closed(x->vqp))
			leap_vqp_close(x->vqp);
	}
}

static int start_barrier(struct leap__conn *conn)
{
	struct leap_target *t = conn->target;
	struct leap__round *r = &conn->barrier;
	uint32_t i;

	if (!leap__round_prepare(t, r, LEAP_LINK_QUIESCE))
		return -ENOMEM;
	for (i = 0; i < r->nr; i++)
		memcpy(r->m[i].link.u.qp.hostid, conn->data.hostid, 16);
	r->done = barrier_done;
	r->arg = conn;
	end_closed_admins(conn);
	leap__round_send(t, r);
	return 0;
}

static void set_kato(struct leap__ctrl *c, uint32_t ms)
{
	if (!ms && c->ss->discovery)
		ms = LEAP__DISC_KATO_MS;
	c->kato_connect_ms = ms;
	leap__ctrl_set_kato(c, ms);
}

static void connect_admin(struct leap__conn *conn, struct leap_subsystem *ss)
{
	const struct leap_fab_connect *sqe = sqe_of(conn->connect);
	struct leap_vqp *vqp = conn->vqp;
	struct leap__ctrl *c;

	if (leap_from_le16(conn->data.cntlid) != LEAP_CNTLID_DYNAMIC) {
		refuse(conn, LEAP_SC_FAB_PARAM, IN_DATA(cntlid));
		return;
	}
	if (!leap_from_le16(sqe->sqsize) ||
	    leap_from_le16(sqe->sqsize) >= LEAP_AQ_MAX_ENTRIES) {
		refuse(conn, LEAP_SC_FAB_PARAM, IN_SQE(sqsize));
		return;
	}
	if (conn->target->draining || leap__ctrl_create(ss, &c)) {
		refuse(conn, LEAP_SC_FAB_BUSY, 0);
		return;
	}
	memcpy(c->hostnqn, conn->data.hostnqn, sizeof(c->hostnqn));
	memcpy(c->hostid, conn->data.hostid, sizeof(c->hostid));
	memcpy(c->peer, vqp->peer, sizeof(c->peer));
	c->conn = conn;
	c->refs++;
	conn->ctrl = c;
	vqp->handler = &leap__admin_handler;
	leap_timer_stop(conn->target->home, &conn->timer);
	set_kato(c, leap_from_le32(sqe->kato));
	if (start_barrier(conn)) {
		leap__ctrl_end(c);
		refuse(conn, LEAP_SC_FAB_BUSY, 0);
	}
}

/* ---- I/O queue ---- */

static leap_status_t check_io(struct leap__conn *conn,
			      const struct leap_subsystem *ss,
			      struct leap__ctrl **out, uint32_t *where)
{
	const struct leap_fab_connect *sqe = sqe_of(conn->connect);
	const struct leap_connect_data *d = &conn->data;
	uint16_t qid = leap_from_le16(sqe->qid);
	struct leap__ctrl *c;

	c = leap__subsystem_ctrl(ss, leap_from_le16(d->cntlid));
	*where = IN_DATA(cntlid);
	if (!c || c->front)
		return LEAP_SC_FAB_PARAM;
	*where = IN_DATA(hostnqn);
	if (strcmp(c->hostnqn, d->hostnqn))
		return LEAP_SC_FAB_PARAM;
	*where = IN_DATA(hostid);
	if (memcmp(c->hostid, d->hostid, 16))
		return LEAP_SC_FAB_PARAM;
	*where = IN_SQE(qid);
	if (ss->discovery || qid > c->granted)
		return LEAP_SC_FAB_PARAM;
	*where = IN_SQE(sqsize);
	if (!leap_from_le16(sqe->sqsize) ||
	    leap_from_le16(sqe->sqsize) > LEAP_GET(c->cap, LEAP_CAP_MQES))
		return LEAP_SC_FAB_PARAM;
	*where = 0;
	if (!(c->csts & LEAP_CSTS_RDY) || c->resetting || c->ioq[qid])
		return LEAP_SC_CMD_SEQUENCE;
	/* Base 2.0 s3.1.3.5: entry sizes must have been set by now. */
	if (LEAP_GET(c->cc, LEAP_CC_IOSQES) != 6 ||
	    LEAP_GET(c->cc, LEAP_CC_IOCQES) != 4)
		return LEAP_SC_QSIZE_INVALID;
	*out = c;
	return 0;
}

static void fill_qp(struct leap__ioqp *q, struct leap__conn *conn,
		    struct leap__ctrl *c)
{
	q->vqp = conn->vqp;
	q->connect = conn->connect;
	q->desc.qid = conn->vqp->qid;
	q->desc.cntlid = c->cntlid;
	q->desc.sq_depth = conn->vqp->depth;
	q->desc.cq_depth = conn->vqp->depth;
	memcpy(q->desc.hostid, c->hostid, 16);
	q->ctrl = c;
	q->max_bytes = c->target->opts.mdts_bytes;
	if (q->max_bytes > conn->vqp->max_data_bytes)
		q->max_bytes = conn->vqp->max_data_bytes;
	q->write_through = !c->feat[LEAP__FEAT_WRITE_CACHE];
}

static void connect_io(struct leap__conn *conn, struct leap_subsystem *ss)
{
	struct leap_target *t = conn->target;
	struct leap__ctrl *c = NULL;
	struct leap__iogroup *g;
	struct leap__ioqp *q;
	leap_status_t status;
	uint32_t where = 0;

	status = check_io(conn, ss, &c, &where);
	if (status) {
		refuse(conn, status, where);
		return;
	}
	/* An agent's group takes no connections: those belong to a runtime. */
	q = t->draining || t->agent ? NULL : calloc(1, sizeof(*q));
	if (!q) {
		refuse(conn, LEAP_SC_FAB_BUSY, 0);
		return;
	}
	mark_connected(conn->vqp, conn->connect);
	fill_qp(q, conn, c);
	g = leap__target_pick(t);
	q->ss = ss->ioss[g->index];
	conn->connect->result = c->cntlid;
	leap__ctrl_add_ioq(c, q);
	leap__ctrl_seen(c);
	leap__conn_free(conn);
	leap__ioqp_add(g, q);
}

/* ---- Connect ---- */

static leap_status_t check_data(struct leap__conn *conn,
				struct leap_subsystem **ss, uint32_t *where)
{
	static const uint8_t nobody[16];
	const struct leap_connect_data *d = &conn->data;

	*where = IN_DATA(subnqn);
	if (leap_nqn_check(d->subnqn, sizeof(d->subnqn)))
		return LEAP_SC_FAB_PARAM;
	*ss = leap_subsystem_find(conn->target, d->subnqn);
	if (!strcmp(d->subnqn, LEAP_NQN_DISCOVERY))
		*ss = conn->target->disc;
	if (!*ss || (*ss)->dying)
		return LEAP_SC_FAB_PARAM;
	*where = IN_DATA(hostnqn);
	if (leap_nqn_check(d->hostnqn, sizeof(d->hostnqn)))
		return LEAP_SC_FAB_PARAM;
	*where = IN_DATA(hostid);
	if (!memcmp(d->hostid, nobody, 16))
		return LEAP_SC_FAB_PARAM;
	*where = 0;
	if (!leap__subsystem_allows(*ss, d->hostnqn))
		return LEAP_SC_FAB_HOST;
	return 0;
}

static void connect_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__conn *conn = cmd->vqp->handler_priv;
	struct leap_subsystem *ss = NULL;
	uint32_t where = 0;

	conn->connect = cmd;
	if (status) {
		conn->connect = NULL;
		leap_cmd_complete(cmd, status);
		return;
	}
	leap__cmd_copy_in(cmd, &conn->data, sizeof(conn->data));
	status = check_data(conn, &ss, &where);
	if (status)
		refuse(conn, status, where);
	else if (leap_from_le16(sqe_of(cmd)->qid))
		connect_io(conn, ss);
	else
		connect_admin(conn, ss);
}

static void conn_execute(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	const struct leap_fab_connect *sqe = sqe_of(cmd);
	struct leap__conn *conn = vqp->handler_priv;

	if (sqe->opc != LEAP_ADM_FABRICS ||
	    sqe->fctype != LEAP_FCTYPE_CONNECT || conn->connect)
		leap_cmd_complete(cmd, LEAP__DNR(LEAP_SC_CMD_SEQUENCE));
	else if (sqe->flags != LEAP_SQE_PSDT_SGL)
		leap_cmd_complete(cmd, LEAP__DNR(LEAP_SC_INVALID_FIELD));
	else if (leap_from_le16(sqe->recfmt))
		leap_cmd_complete(cmd, LEAP__DNR(LEAP_SC_FAB_FORMAT));
	else
		leap_cmd_pull(cmd, sizeof(struct leap_connect_data),
			      connect_ready);
}

static const struct leap_vqp_handler conn_handler = {
	.size = sizeof(conn_handler),
	.execute = conn_execute,
	.lost = conn_lost,
	.gone = conn_gone,
};

int leap__conn_room(const struct leap_target *t)
{
	return t->draining || t->connections >= t->opts.max_connections ?
	       -EBUSY : 0;
}

int leap__conn_accept(struct leap_listener *l, struct leap_vqp *vqp)
{
	struct leap_target *t = l->target;
	int err = leap__conn_room(t);
	struct leap__conn *conn;

	if (err)
		return err;
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	conn->target = t;
	conn->vqp = vqp;
	conn->timer.run = connect_timeout;
	vqp->handler = &conn_handler;
	vqp->handler_priv = conn;
	leap__list_push_back(&t->conns, &conn->link);
	leap_timer_start(t->home, &conn->timer, LEAP__CONNECT_MS * 1000000ull);
	t->connections++;
	t->accepted++;
	return 0;
}
