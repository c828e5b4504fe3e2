/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam over libibverbs: queue pairs, shared receive queues, and what is
 * posted to them. Decides nothing.
 */
#include "config.h"

#include "transport/rdma/verbs_ibv.h"

#include "util/atomic.h"

#include <leapio/base.h>

#include <fcntl.h>

#define POST_MAX 64

LEAP_STATIC_ASSERT(sizeof(struct leap__v_sge) == sizeof(struct ibv_sge));
LEAP_STATIC_ASSERT(offsetof(struct leap__v_sge, len) ==
		   offsetof(struct ibv_sge, length));
LEAP_STATIC_ASSERT(offsetof(struct leap__v_sge, lkey) ==
		   offsetof(struct ibv_sge, lkey));

/* What is not ours is told apart: others in this process may have queues on a
 * device, and the library opens it once. */
static const char ours;

static struct ibv_srq *srq_of(struct leap__v_srq *srq)
{
	return (struct ibv_srq *)(void *)srq;
}

int leap__ibv_qp_create(struct leap__v_id *id, struct leap__v_pd *pd,
			struct leap__v_cq *cq, struct leap__v_qp_caps *caps,
			struct leap__v_qp **out)
{
	struct ibv_qp_init_attr a = {
		.send_cq = cq_of(caps->send_cq ? caps->send_cq : cq),
		.recv_cq = cq_of(cq),
		.qp_type = IBV_QPT_RC,
		.srq = srq_of(caps->srq), .qp_context = caps->last_recv,
	};
	int err;

	a.cap.max_send_wr = caps->max_send;
	a.cap.max_recv_wr = caps->max_recv;
	a.cap.max_send_sge = caps->max_sge;
	a.cap.max_recv_sge = 2;
	a.cap.max_inline_data = caps->max_inline;
	err = minus_errno(rdma_create_qp(cm_id(id), pd_of(pd),
					 &a));
	if (err && caps->max_inline) {
		/* Not every device can carry data in its descriptors. */
		a.cap.max_inline_data = 0;
		err = minus_errno(rdma_create_qp(cm_id(id),
						 pd_of(pd),
						 &a));
	}
	if (err)
		return err;
	caps->max_inline = a.cap.max_inline_data;
	*out = (struct leap__v_qp *)(void *)cm_id(id)->qp;
	return 0;
}

void leap__ibv_qp_destroy(struct leap__v_id *id, struct leap__v_qp *qp)
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

int leap__ibv_post_send(struct leap__v_qp *qp, const struct leap__v_wr *from,
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
	return minus_rc(rc);
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

int leap__ibv_post_recv(struct leap__v_qp *qp, const struct leap__v_recv *r,
			uint32_t n)
{
	struct ibv_recv_wr wr[POST_MAX], *bad;
	int rc;

	if (!n || n > POST_MAX)
		return n ? -EINVAL : 0;
	to_recv(wr, r, n);
	rc = ibv_post_recv((struct ibv_qp *)(void *)qp, wr, &bad);
	return minus_rc(rc);
}

int leap__ibv_srq_create(struct leap__v_pd *pd, uint32_t recvs,
			 struct leap__v_srq **out)
{
	struct ibv_context *ctx = pd_of(pd)->context;
	struct ibv_srq_init_attr a = {
		.srq_context = (void *)(uintptr_t)&ours,
		.attr = { .max_wr = recvs, .max_sge = 2 },
	};
	int flags = fcntl(ctx->async_fd, F_GETFL);

	/* For dev_events, which several threads call. */
	if (flags < 0 || fcntl(ctx->async_fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	errno = 0;
	*out = (struct leap__v_srq *)(void *)ibv_create_srq(pd_of(pd), &a);
	return *out ? 0 : no_object();
}

void leap__ibv_srq_destroy(struct leap__v_srq *srq)
{
	ibv_destroy_srq(srq_of(srq));
}

int leap__ibv_srq_post(struct leap__v_srq *srq, const struct leap__v_recv *r,
		       uint32_t n)
{
	struct ibv_recv_wr wr[POST_MAX], *bad;

	if (!n || n > POST_MAX)
		return n ? -EINVAL : 0;
	to_recv(wr, r, n);
	return minus_rc(ibv_post_srq_recv(srq_of(srq), wr, &bad));
}

/* Destroying a queue pair waits until its events are acknowledged, so what is
 * set is there until then. */
void leap__ibv_dev_events(struct leap__v_dev *dev)
{
	struct ibv_async_event ev;

	while (!ibv_get_async_event(ctx_of(dev), &ev)) {
		if (ev.event_type == IBV_EVENT_QP_LAST_WQE_REACHED &&
		    ev.element.qp->srq &&
		    ev.element.qp->srq->srq_context == &ours)
			leap__store_release((uint32_t *)
					    ev.element.qp->qp_context, 1u);
		ibv_ack_async_event(&ev);
	}
}
