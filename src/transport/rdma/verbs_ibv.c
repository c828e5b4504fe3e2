/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam over libibverbs and librdmacm: devices, memory, completions, and the
 * table of all of it. Only the verbs_ibv files call the libraries.
 *
 * Translates types and error conventions (positive errno, -1 and errno, NULL
 * and errno) and decides nothing.
 */
#include "config.h"

#include "transport/rdma/verbs_ibv.h"

#include <fcntl.h>
#include <string.h>

#define POLL_MAX 64

static uint8_t to_u8(int n)
{
	return (uint8_t)(n < 0 ? 0 : n > 255 ? 255 : n);
}

static int has_on_demand(struct ibv_context *ctx)
{
	const uint32_t all = IBV_ODP_SUPPORT_READ | IBV_ODP_SUPPORT_WRITE |
			     IBV_ODP_SUPPORT_SEND;
	struct ibv_device_attr_ex a = { .comp_mask = 0 };

	return !ibv_query_device_ex(ctx, NULL, &a) &&
	       a.odp_caps.general_caps & IBV_ODP_SUPPORT &&
	       (a.odp_caps.per_transport_caps.rc_odp_caps & all) == all;
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
	/* iWARP has no "receiver not ready": an empty queue ends the
	 * connection. */
	if (a.max_srq > 0 && a.max_srq_wr > 0 && a.max_srq_sge >= 2 &&
	    !caps->remote_sink)
		caps->max_srq = (uint32_t)a.max_srq_wr;
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
	ibv_dealloc_pd(pd_of(pd));
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
	mr = ibv_reg_mr(pd_of(pd), addr, bytes, flags);
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

static struct leap__v_cq *comp_next(struct leap__v_comp *comp)
{
	struct ibv_cq *cq;
	void *arg;

	if (ibv_get_cq_event(comp_of(comp), &cq, &arg))
		return NULL;
	ibv_ack_cq_events(cq, 1);
	return (struct leap__v_cq *)(void *)cq;
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

	return minus_rc(rc);
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
	struct ibv_wc wc[POLL_MAX];
	int i;

	if (n > POLL_MAX)
		n = POLL_MAX;
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

static const struct leap__verbs real = {
	.name = "libibverbs",
	.chan_create = leap__ibv_chan_create,
	.chan_destroy = leap__ibv_chan_destroy,
	.chan_fd = leap__ibv_chan_fd,
	.chan_get = leap__ibv_chan_get,
	.id_create = leap__ibv_id_create,
	.id_destroy = leap__ibv_id_destroy,
	.id_move = leap__ibv_id_move,
	.listen = leap__ibv_listen,
	.resolve_addr = leap__ibv_resolve_addr,
	.resolve_route = leap__ibv_resolve_route,
	.connect = leap__ibv_connect,
	.accept = leap__ibv_accept,
	.reject = leap__ibv_reject,
	.disconnect = leap__ibv_disconnect,
	.local_addr = leap__ibv_local_addr,
	.peer_addr = leap__ibv_peer_addr,
	.id_dev = leap__ibv_id_dev,
	.dev_caps = dev_caps,
	.pd_create = pd_create,
	.pd_destroy = pd_destroy,
	.mr_create = mr_create,
	.mr_destroy = mr_destroy,
	.comp_create = comp_create,
	.comp_destroy = comp_destroy,
	.comp_fd = comp_fd,
	.comp_next = comp_next,
	.cq_create = cq_create,
	.cq_destroy = cq_destroy,
	.cq_arm = cq_arm,
	.cq_poll = cq_poll,
	.qp_create = leap__ibv_qp_create,
	.qp_destroy = leap__ibv_qp_destroy,
	.srq_create = leap__ibv_srq_create,
	.srq_destroy = leap__ibv_srq_destroy,
	.srq_post = leap__ibv_srq_post,
	.dev_events = leap__ibv_dev_events,
	.post_send = leap__ibv_post_send,
	.post_recv = leap__ibv_post_recv,
};

const struct leap__verbs *leap__verbs_real(void)
{
	return &real;
}
