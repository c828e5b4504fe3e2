/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam over libibverbs and librdmacm: the only file that calls them.
 *
 * Translates types and error conventions (positive errno, -1 and errno, NULL
 * and errno) and decides nothing. Events are copied and acknowledged at once,
 * so that no destroy ever waits for one.
 */
#include "config.h"

#include "transport/rdma/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <rdma/rdma_cma.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/base.h>

#define POST_MAX 64

/* Ours are the libraries' own, by another name. */
static struct rdma_cm_id *cm_id(struct leap__v_id *id)
{
	return (struct rdma_cm_id *)(void *)id;
}

static struct ibv_context *ctx_of(struct leap__v_dev *dev)
{
	return (struct ibv_context *)(void *)dev;
}

LEAP_STATIC_ASSERT(sizeof(struct leap__v_sge) == sizeof(struct ibv_sge));
LEAP_STATIC_ASSERT(offsetof(struct leap__v_sge, len) ==
		   offsetof(struct ibv_sge, length));
LEAP_STATIC_ASSERT(offsetof(struct leap__v_sge, lkey) ==
		   offsetof(struct ibv_sge, lkey));

static int minus_errno(int rc)
{
	if (!rc)
		return 0;
	return errno ? -errno : -EIO;
}

/* NULL and errno. */
static int no_object(void)
{
	return errno ? -errno : -ENOMEM;
}

/* ---- connection manager ---- */

static int chan_create(const struct leap__verbs *v, struct leap__v_chan **out)
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

static void chan_destroy(struct leap__v_chan *chan)
{
	rdma_destroy_event_channel(chan_of(chan));
}

static int chan_fd(struct leap__v_chan *chan)
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

static int chan_get(struct leap__v_chan *chan, struct leap__v_cm *cm)
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

static int id_create(struct leap__v_chan *chan, void *ctx,
		     struct leap__v_id **out)
{
	struct rdma_cm_id *id;

	if (rdma_create_id(chan_of(chan), &id, ctx, RDMA_PS_TCP))
		return no_object();
	*out = (struct leap__v_id *)(void *)id;
	return 0;
}

static void id_destroy(struct leap__v_id *id)
{
	rdma_destroy_id(cm_id(id));
}

static int id_move(struct leap__v_id *id, struct leap__v_chan *to, void *ctx)
{
	int err = minus_errno(rdma_migrate_id(cm_id(id), chan_of(to)));

	if (!err)
		cm_id(id)->context = ctx;
	return err;
}

static int v_listen(struct leap__v_id *id, const struct sockaddr *addr,
		    int backlog)
{
	int err = minus_errno(rdma_bind_addr(cm_id(id),
					     (struct sockaddr *)addr));

	return err ? err : minus_errno(rdma_listen(cm_id(id), backlog));
}

static int resolve_addr(struct leap__v_id *id, const struct sockaddr *addr,
			int timeout_ms)
{
	return minus_errno(rdma_resolve_addr(cm_id(id), NULL,
					     (struct sockaddr *)addr,
					     timeout_ms));
}

static int resolve_route(struct leap__v_id *id, int timeout_ms)
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

static int v_connect(struct leap__v_id *id, const struct leap__v_param *p)
{
	struct rdma_conn_param c = conn_param(p);

	return minus_errno(rdma_connect(cm_id(id), &c));
}

static int v_accept(struct leap__v_id *id, const struct leap__v_param *p)
{
	struct rdma_conn_param c = conn_param(p);

	return minus_errno(rdma_accept(cm_id(id), &c));
}

static int v_reject(struct leap__v_id *id, const void *priv, uint8_t len)
{
	return minus_errno(rdma_reject(cm_id(id), priv, len));
}

static int v_disconnect(struct leap__v_id *id)
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

static int local_addr(struct leap__v_id *id, struct sockaddr_storage *sa)
{
	return copy_addr(rdma_get_local_addr(cm_id(id)), sa);
}

static int peer_addr(struct leap__v_id *id, struct sockaddr_storage *sa)
{
	return copy_addr(rdma_get_peer_addr(cm_id(id)), sa);
}

static struct leap__v_dev *id_dev(struct leap__v_id *id)
{
	return (struct leap__v_dev *)(void *)cm_id(id)->verbs;
}

/* ---- device ---- */

static uint8_t to_u8(int n)
{
	return (uint8_t)(n < 0 ? 0 : n > 255 ? 255 : n);
}

static int has_on_demand(struct ibv_context *ctx)
{
	const uint32_t both = IBV_ODP_SUPPORT_READ | IBV_ODP_SUPPORT_WRITE;
	struct ibv_device_attr_ex a = { .comp_mask = 0 };

	return !ibv_query_device_ex(ctx, NULL, &a) &&
	       a.odp_caps.general_caps & IBV_ODP_SUPPORT &&
	       (a.odp_caps.per_transport_caps.rc_odp_caps & both) == both;
}

static int dev_caps(struct leap__v_dev *dev, struct leap__v_caps *caps)
{
	struct ibv_context *ctx = ctx_of(dev);
	struct ibv_device_attr a;
	int rc = ibv_query_device(ctx, &a);

	if (rc)
		return -rc;
	memset(caps, 0, sizeof(*caps));
	caps->max_wr = (uint32_t)a.max_qp_wr;
	caps->max_sge = (uint32_t)a.max_sge;
	caps->max_cqe = (uint32_t)a.max_cqe;
	caps->max_ird = to_u8(a.max_qp_rd_atom);
	caps->max_ord = to_u8(a.max_qp_init_rd_atom);
	caps->remote_sink =
		ctx->device->transport_type == IBV_TRANSPORT_IWARP;
	caps->on_demand = (uint8_t)has_on_demand(ctx);
	/* RDMA READ may take fewer, on iWARP one. */
	caps->read_sges = caps->max_sge;
	if (a.max_sge_rd > 0 && a.max_sge_rd < a.max_sge)
		caps->read_sges = (uint32_t)a.max_sge_rd;
	return 0;
}

static int pd_create(struct leap__v_dev *dev, struct leap__v_pd **out)
{
	errno = 0;
	*out = (struct leap__v_pd *)(void *)ibv_alloc_pd(ctx_of(dev));
	return *out ? 0 : no_object();
}

static void pd_destroy(struct leap__v_pd *pd)
{
	ibv_dealloc_pd((struct ibv_pd *)(void *)pd);
}

static int mr_create(struct leap__v_pd *pd, void *addr, uint64_t bytes,
		     uint32_t access, struct leap__v_keys *keys,
		     struct leap__v_mr **out)
{
	int flags = IBV_ACCESS_LOCAL_WRITE;
	struct ibv_mr *mr;

	if (access & LEAP__V_REMOTE_READ)
		flags |= IBV_ACCESS_REMOTE_READ;
	if (access & LEAP__V_REMOTE_WRITE)
		flags |= IBV_ACCESS_REMOTE_WRITE;
	if (access & LEAP__V_ON_DEMAND)
		flags |= IBV_ACCESS_ON_DEMAND;
	errno = 0;
	mr = ibv_reg_mr((struct ibv_pd *)(void *)pd, addr, bytes, flags);
	if (!mr)
		return no_object();
	keys->lkey = mr->lkey;
	keys->rkey = mr->rkey;
	*out = (struct leap__v_mr *)(void *)mr;
	return 0;
}

static void mr_destroy(struct leap__v_mr *mr)
{
	ibv_dereg_mr((struct ibv_mr *)(void *)mr);
}

static struct ibv_comp_channel *comp_of(struct leap__v_comp *comp)
{
	return (struct ibv_comp_channel *)(void *)comp;
}

static int comp_create(struct leap__v_dev *dev, struct leap__v_comp **out)
{
	struct ibv_comp_channel *c;
	int flags;

	errno = 0;
	c = ibv_create_comp_channel(ctx_of(dev));
	if (!c)
		return no_object();
	flags = fcntl(c->fd, F_GETFL);
	if (flags < 0 || fcntl(c->fd, F_SETFL, flags | O_NONBLOCK)) {
		flags = -errno;
		ibv_destroy_comp_channel(c);
		return flags;
	}
	*out = (struct leap__v_comp *)(void *)c;
	return 0;
}

static void comp_destroy(struct leap__v_comp *comp)
{
	ibv_destroy_comp_channel(comp_of(comp));
}

static int comp_fd(struct leap__v_comp *comp)
{
	return comp_of(comp)->fd;
}

static void comp_drain(struct leap__v_comp *comp)
{
	struct ibv_cq *cq;
	void *arg;

	while (!ibv_get_cq_event(comp_of(comp), &cq, &arg))
		ibv_ack_cq_events(cq, 1);
}

static struct ibv_cq *cq_of(struct leap__v_cq *cq)
{
	return (struct ibv_cq *)(void *)cq;
}

static int cq_create(struct leap__v_dev *dev, uint32_t entries,
		     struct leap__v_comp *comp, struct leap__v_cq **out)
{
	errno = 0;
	*out = (struct leap__v_cq *)(void *)
		ibv_create_cq(ctx_of(dev), (int)entries, NULL,
			      comp_of(comp), 0);
	return *out ? 0 : no_object();
}

static void cq_destroy(struct leap__v_cq *cq)
{
	ibv_destroy_cq(cq_of(cq));
}

static int cq_arm(struct leap__v_cq *cq)
{
	int rc = ibv_req_notify_cq(cq_of(cq), 0);

	return rc ? -(rc < 0 ? EIO : rc) : 0;
}

static uint32_t wc_status(enum ibv_wc_status status)
{
	switch (status) {
	case IBV_WC_SUCCESS:
		return LEAP__V_OK;
	case IBV_WC_WR_FLUSH_ERR:
		return LEAP__V_FLUSHED;
	case IBV_WC_LOC_LEN_ERR:
	case IBV_WC_LOC_QP_OP_ERR:
	case IBV_WC_LOC_PROT_ERR:
	case IBV_WC_LOC_ACCESS_ERR:
		return LEAP__V_LOCAL;
	case IBV_WC_REM_ACCESS_ERR:
		return LEAP__V_ACCESS;
	case IBV_WC_REM_INV_REQ_ERR:
	case IBV_WC_REM_OP_ERR:
		return LEAP__V_REMOTE;
	case IBV_WC_RETRY_EXC_ERR:
		return LEAP__V_RETRY;
	case IBV_WC_RNR_RETRY_EXC_ERR:
		return LEAP__V_RNR;
	default:
		return LEAP__V_BROKEN;
	}
}

static int cq_poll(struct leap__v_cq *cq, struct leap__v_wc *out, int n)
{
	struct ibv_wc wc[POST_MAX];
	int i;

	if (n > POST_MAX)
		n = POST_MAX;
	n = ibv_poll_cq(cq_of(cq), n, wc);
	if (n < 0)
		return -EIO;
	for (i = 0; i < n; i++) {
		out[i].id = wc[i].wr_id;
		out[i].status = wc_status(wc[i].status);
		out[i].bytes = wc[i].byte_len;
		out[i].flags = !out[i].status &&
			       (wc[i].wc_flags & IBV_WC_WITH_INV) ?
			       LEAP__V_WITH_INV : 0;
	}
	return n;
}

/* ---- queue pairs ---- */

static int qp_create(struct leap__v_id *id, struct leap__v_pd *pd,
		     struct leap__v_cq *cq, struct leap__v_qp_caps *caps,
		     struct leap__v_qp **out)
{
	struct ibv_qp_init_attr a = {
		.send_cq = cq_of(cq), .recv_cq = cq_of(cq),
		.qp_type = IBV_QPT_RC,
	};
	int err;

	a.cap.max_send_wr = caps->max_send;
	a.cap.max_recv_wr = caps->max_recv;
	a.cap.max_send_sge = caps->max_sge;
	a.cap.max_recv_sge = 2;
	a.cap.max_inline_data = caps->max_inline;
	err = minus_errno(rdma_create_qp(cm_id(id), (struct ibv_pd *)(void *)pd,
					 &a));
	if (err && caps->max_inline) {
		/* Not every device can carry data in its descriptors. */
		a.cap.max_inline_data = 0;
		err = minus_errno(rdma_create_qp(cm_id(id),
						 (struct ibv_pd *)(void *)pd,
						 &a));
	}
	if (err)
		return err;
	caps->max_inline = a.cap.max_inline_data;
	*out = (struct leap__v_qp *)(void *)cm_id(id)->qp;
	return 0;
}

static void qp_destroy(struct leap__v_id *id, struct leap__v_qp *qp)
{
	(void)qp;
	rdma_destroy_qp(cm_id(id));
}

static enum ibv_wr_opcode opcode(uint8_t op)
{
	switch (op) {
	case LEAP__V_SEND_INV:
		return IBV_WR_SEND_WITH_INV;
	case LEAP__V_READ:
		return IBV_WR_RDMA_READ;
	case LEAP__V_WRITE:
		return IBV_WR_RDMA_WRITE;
	default:
		return IBV_WR_SEND;
	}
}

static int post_send(struct leap__v_qp *qp, const struct leap__v_wr *from,
		     uint32_t n)
{
	struct ibv_send_wr wr[POST_MAX], *bad;
	uint32_t i;
	int rc;

	if (!n || n > POST_MAX)
		return n ? -EINVAL : 0;
	for (i = 0; i < n; i++) {
		struct ibv_send_wr *w = &wr[i];

		w->wr_id = from[i].id;
		w->next = i + 1 < n ? w + 1 : NULL;
		w->sg_list = (struct ibv_sge *)(uintptr_t)from[i].sge;
		w->num_sge = from[i].nr_sge;
		w->opcode = opcode(from[i].op);
		w->send_flags = 0;
		if (from[i].flags & LEAP__V_SIGNALED)
			w->send_flags |= IBV_SEND_SIGNALED;
		if (from[i].flags & LEAP__V_INLINE)
			w->send_flags |= IBV_SEND_INLINE;
		/* siw's provider takes the key to invalidate from rdma.rkey. */
		w->invalidate_rkey = from[i].key;
		w->wr.rdma.remote_addr = from[i].remote;
		w->wr.rdma.rkey = from[i].key;
	}
	rc = ibv_post_send((struct ibv_qp *)(void *)qp, wr, &bad);
	return rc ? -(rc < 0 ? EIO : rc) : 0;
}

static void to_recv(struct ibv_recv_wr *wr, const struct leap__v_recv *r,
		    uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		wr[i].wr_id = r[i].id;
		wr[i].next = i + 1 < n ? &wr[i + 1] : NULL;
		wr[i].sg_list = (struct ibv_sge *)(uintptr_t)r[i].sge;
		wr[i].num_sge = (int)r[i].nr_sge;
	}
}

static int post_recv(struct leap__v_qp *qp, const struct leap__v_recv *r,
		     uint32_t n)
{
	struct ibv_recv_wr wr[POST_MAX], *bad;
	int rc;

	if (!n || n > POST_MAX)
		return n ? -EINVAL : 0;
	to_recv(wr, r, n);
	rc = ibv_post_recv((struct ibv_qp *)(void *)qp, wr, &bad);
	return rc ? -(rc < 0 ? EIO : rc) : 0;
}

static const struct leap__verbs real = {
	.name = "libibverbs",
	.chan_create = chan_create,
	.chan_destroy = chan_destroy,
	.chan_fd = chan_fd,
	.chan_get = chan_get,
	.id_create = id_create,
	.id_destroy = id_destroy,
	.id_move = id_move,
	.listen = v_listen,
	.resolve_addr = resolve_addr,
	.resolve_route = resolve_route,
	.connect = v_connect,
	.accept = v_accept,
	.reject = v_reject,
	.disconnect = v_disconnect,
	.local_addr = local_addr,
	.peer_addr = peer_addr,
	.id_dev = id_dev,
	.dev_caps = dev_caps,
	.pd_create = pd_create,
	.pd_destroy = pd_destroy,
	.mr_create = mr_create,
	.mr_destroy = mr_destroy,
	.comp_create = comp_create,
	.comp_destroy = comp_destroy,
	.comp_fd = comp_fd,
	.comp_drain = comp_drain,
	.cq_create = cq_create,
	.cq_destroy = cq_destroy,
	.cq_arm = cq_arm,
	.cq_poll = cq_poll,
	.qp_create = qp_create,
	.qp_destroy = qp_destroy,
	.post_send = post_send,
	.post_recv = post_recv,
};

const struct leap__verbs *leap__verbs_real(void)
{
	return &real;
}
