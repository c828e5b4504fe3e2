/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam over librdmacm: connections.
 *
 * Events are copied and acknowledged at once, so that no destroy ever waits for
 * one. Decides nothing.
 */
#include "config.h"

#include "transport/rdma/verbs_ibv.h"

#include <fcntl.h>
#include <string.h>

int leap__ibv_chan_create(const struct leap__verbs *v,
			  struct leap__v_chan **out)
{
	struct rdma_event_channel *c;
	int flags;

	(void)v;
	errno = 0;
	c = rdma_create_event_channel();
	if (!c)
		return errno ? -errno : -ENODEV;
	flags = fcntl(c->fd, F_GETFL);
	if (flags < 0 || fcntl(c->fd, F_SETFL, flags | O_NONBLOCK) ||
	    fcntl(c->fd, F_SETFD, FD_CLOEXEC)) {
		flags = -errno;
		rdma_destroy_event_channel(c);
		return flags;
	}
	*out = (struct leap__v_chan *)(void *)c;
	return 0;
}

static struct rdma_event_channel *chan_of(struct leap__v_chan *chan)
{
	return (struct rdma_event_channel *)(void *)chan;
}

void leap__ibv_chan_destroy(struct leap__v_chan *chan)
{
	rdma_destroy_event_channel(chan_of(chan));
}

int leap__ibv_chan_fd(struct leap__v_chan *chan)
{
	return chan_of(chan)->fd;
}

static uint8_t event_type(enum rdma_cm_event_type type)
{
	/* 1 more, so that 0 is none of them. */
	static const uint8_t types[] = {
		[RDMA_CM_EVENT_ADDR_RESOLVED] = LEAP__V_ADDR_RESOLVED + 1,
		[RDMA_CM_EVENT_ADDR_ERROR] = LEAP__V_ADDR_ERROR + 1,
		[RDMA_CM_EVENT_ROUTE_RESOLVED] = LEAP__V_ROUTE_RESOLVED + 1,
		[RDMA_CM_EVENT_ROUTE_ERROR] = LEAP__V_ROUTE_ERROR + 1,
		[RDMA_CM_EVENT_CONNECT_REQUEST] = LEAP__V_CONNECT_REQUEST + 1,
		[RDMA_CM_EVENT_CONNECT_RESPONSE] = LEAP__V_CONNECT_RESPONSE + 1,
		[RDMA_CM_EVENT_CONNECT_ERROR] = LEAP__V_CONNECT_ERROR + 1,
		[RDMA_CM_EVENT_UNREACHABLE] = LEAP__V_UNREACHABLE + 1,
		[RDMA_CM_EVENT_REJECTED] = LEAP__V_REJECTED + 1,
		[RDMA_CM_EVENT_ESTABLISHED] = LEAP__V_ESTABLISHED + 1,
		[RDMA_CM_EVENT_DISCONNECTED] = LEAP__V_DISCONNECTED + 1,
		[RDMA_CM_EVENT_DEVICE_REMOVAL] = LEAP__V_DEVICE_REMOVAL + 1,
		[RDMA_CM_EVENT_ADDR_CHANGE] = LEAP__V_ADDR_CHANGE + 1,
		[RDMA_CM_EVENT_TIMEWAIT_EXIT] = LEAP__V_TIMEWAIT_EXIT + 1,
	};
	unsigned int i = (unsigned int)type;

	return i < sizeof(types) && types[i] ? (uint8_t)(types[i] - 1) :
	       LEAP__V_OTHER;
}

int leap__ibv_chan_get(struct leap__v_chan *chan, struct leap__v_cm *cm)
{
	struct rdma_cm_event *ev;

	if (rdma_get_cm_event(chan_of(chan), &ev))
		return errno == EAGAIN || errno == EINTR ? 0 : no_object();
	cm->type = event_type(ev->event);
	cm->status = ev->status;
	cm->id = (struct leap__v_id *)(void *)ev->id;
	cm->ctx = cm->type == LEAP__V_CONNECT_REQUEST ?
		  ev->listen_id->context : ev->id->context;
	/* Of a request, in our words: see rdma_get_cm_event(3). */
	cm->ird = ev->param.conn.initiator_depth;
	cm->ord = ev->param.conn.responder_resources;
	cm->priv_len = 0;
	if (cm->type == LEAP__V_CONNECT_REQUEST ||
	    cm->type == LEAP__V_ESTABLISHED || cm->type == LEAP__V_REJECTED ||
	    cm->type == LEAP__V_CONNECT_RESPONSE)
		cm->priv_len = ev->param.conn.private_data ?
			       ev->param.conn.private_data_len : 0;
	if (cm->priv_len)
		memcpy(cm->priv, ev->param.conn.private_data, cm->priv_len);
	rdma_ack_cm_event(ev);
	return 1;
}

int leap__ibv_id_create(struct leap__v_chan *chan, void *ctx,
			struct leap__v_id **out)
{
	struct rdma_cm_id *id;

	if (rdma_create_id(chan_of(chan), &id, ctx, RDMA_PS_TCP))
		return no_object();
	*out = (struct leap__v_id *)(void *)id;
	return 0;
}

void leap__ibv_id_destroy(struct leap__v_id *id)
{
	rdma_destroy_id(cm_id(id));
}

int leap__ibv_id_move(struct leap__v_id *id, struct leap__v_chan *to, void *ctx)
{
	int err = minus_errno(rdma_migrate_id(cm_id(id), chan_of(to)));

	if (!err)
		cm_id(id)->context = ctx;
	return err;
}

int leap__ibv_listen(struct leap__v_id *id, const struct sockaddr *addr,
		     int backlog)
{
	int err = minus_errno(rdma_bind_addr(cm_id(id),
					     (struct sockaddr *)addr));

	return err ? err : minus_errno(rdma_listen(cm_id(id), backlog));
}

int leap__ibv_resolve_addr(struct leap__v_id *id, const struct sockaddr *addr,
			   int timeout_ms)
{
	return minus_errno(rdma_resolve_addr(cm_id(id), NULL,
					     (struct sockaddr *)addr,
					     timeout_ms));
}

int leap__ibv_resolve_route(struct leap__v_id *id, int timeout_ms)
{
	return minus_errno(rdma_resolve_route(cm_id(id), timeout_ms));
}

static struct rdma_conn_param conn_param(const struct leap__v_param *p)
{
	struct rdma_conn_param c = {
		.private_data = p->priv,
		.private_data_len = p->priv_len,
		.responder_resources = p->ird,
		.initiator_depth = p->ord,
		.retry_count = p->retries,
		.rnr_retry_count = p->rnr_retries,
		.flow_control = 1,
	};

	return c;
}

int leap__ibv_connect(struct leap__v_id *id, const struct leap__v_param *p)
{
	struct rdma_conn_param c = conn_param(p);

	return minus_errno(rdma_connect(cm_id(id), &c));
}

int leap__ibv_accept(struct leap__v_id *id, const struct leap__v_param *p)
{
	struct ibv_qp_attr rts = {
		.qp_state = IBV_QPS_RTS, .min_rnr_timer = p->rnr_timer,
	};
	struct rdma_conn_param c = conn_param(p);
	int err = minus_errno(rdma_accept(cm_id(id), &c));

	/* The library leaves it at 0, which means 655 ms. A device that does
	 * not let itself be told makes the peer wait that long. */
	if (!err && p->rnr_timer)
		ibv_modify_qp(cm_id(id)->qp, &rts,
			      IBV_QP_STATE | IBV_QP_MIN_RNR_TIMER);
	return err;
}

int leap__ibv_reject(struct leap__v_id *id, const void *priv, uint8_t len)
{
	return minus_errno(rdma_reject(cm_id(id), priv, len));
}

int leap__ibv_disconnect(struct leap__v_id *id)
{
	return minus_errno(rdma_disconnect(cm_id(id)));
}

static int copy_addr(const struct sockaddr *from, struct sockaddr_storage *to)
{
	memset(to, 0, sizeof(*to));
	if (!from)
		return -ENOTCONN;
	if (from->sa_family == AF_INET)
		memcpy(to, from, sizeof(struct sockaddr_in));
	else if (from->sa_family == AF_INET6)
		memcpy(to, from, sizeof(struct sockaddr_in6));
	else
		return -EAFNOSUPPORT;
	return 0;
}

int leap__ibv_local_addr(struct leap__v_id *id, struct sockaddr_storage *sa)
{
	return copy_addr(rdma_get_local_addr(cm_id(id)), sa);
}

int leap__ibv_peer_addr(struct leap__v_id *id, struct sockaddr_storage *sa)
{
	return copy_addr(rdma_get_peer_addr(cm_id(id)), sa);
}

struct leap__v_dev *leap__ibv_id_dev(struct leap__v_id *id)
{
	return (struct leap__v_dev *)(void *)cm_id(id)->verbs;
}
