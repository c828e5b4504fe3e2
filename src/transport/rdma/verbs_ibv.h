/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verbs_ibv.h - what the files over libibverbs and librdmacm share: our types
 * are the libraries' own by another name, and parts of the table
 */
#ifndef LEAP_RDMA_VERBS_IBV_H
#define LEAP_RDMA_VERBS_IBV_H

#include "transport/rdma/verbs.h"

#include <errno.h>
#include <rdma/rdma_cma.h>
#include <stddef.h>

static inline struct rdma_cm_id *cm_id(struct leap__v_id *id)
{
	return (struct rdma_cm_id *)(void *)id;
}

static inline struct ibv_context *ctx_of(struct leap__v_dev *dev)
{
	return (struct ibv_context *)(void *)dev;
}

static inline struct ibv_pd *pd_of(struct leap__v_pd *pd)
{
	return (struct ibv_pd *)(void *)pd;
}

static inline struct ibv_cq *cq_of(struct leap__v_cq *cq)
{
	return (struct ibv_cq *)(void *)cq;
}

/* 0, or -1 and errno. */
static inline int minus_errno(int rc)
{
	if (!rc)
		return 0;
	return errno ? -errno : -EIO;
}

/* 0, or errno itself. */
static inline int minus_rc(int rc)
{
	return rc ? -(rc < 0 ? EIO : rc) : 0;
}

/* NULL and errno. */
static inline int no_object(void)
{
	return errno ? -errno : -ENOMEM;
}

/* verbs_ibv_cm.c */
int leap__ibv_chan_create(const struct leap__verbs *v,
			  struct leap__v_chan **out);
void leap__ibv_chan_destroy(struct leap__v_chan *chan);
int leap__ibv_chan_fd(struct leap__v_chan *chan);
int leap__ibv_chan_get(struct leap__v_chan *chan, struct leap__v_cm *cm);
int leap__ibv_id_create(struct leap__v_chan *chan, void *ctx,
			struct leap__v_id **out);
void leap__ibv_id_destroy(struct leap__v_id *id);
int leap__ibv_id_move(struct leap__v_id *id, struct leap__v_chan *to,
		      void *ctx);
int leap__ibv_listen(struct leap__v_id *id, const struct sockaddr *addr,
		     int backlog);
int leap__ibv_resolve_addr(struct leap__v_id *id, const struct sockaddr *addr,
			   int timeout_ms);
int leap__ibv_resolve_route(struct leap__v_id *id, int timeout_ms);
int leap__ibv_connect(struct leap__v_id *id, const struct leap__v_param *p);
int leap__ibv_accept(struct leap__v_id *id, const struct leap__v_param *p);
int leap__ibv_reject(struct leap__v_id *id, const void *priv, uint8_t len);
int leap__ibv_disconnect(struct leap__v_id *id);
int leap__ibv_local_addr(struct leap__v_id *id, struct sockaddr_storage *sa);
int leap__ibv_peer_addr(struct leap__v_id *id, struct sockaddr_storage *sa);
struct leap__v_dev *leap__ibv_id_dev(struct leap__v_id *id);

/* verbs_ibv_qp.c */
int leap__ibv_qp_create(struct leap__v_id *id, struct leap__v_pd *pd,
			struct leap__v_cq *cq, struct leap__v_qp_caps *caps,
			struct leap__v_qp **out);
void leap__ibv_qp_destroy(struct leap__v_id *id, struct leap__v_qp *qp);
int leap__ibv_post_send(struct leap__v_qp *qp, const struct leap__v_wr *from,
			uint32_t n);
int leap__ibv_post_recv(struct leap__v_qp *qp, const struct leap__v_recv *r,
			uint32_t n);
int leap__ibv_srq_create(struct leap__v_pd *pd, uint32_t recvs,
			 struct leap__v_srq **out);
void leap__ibv_srq_destroy(struct leap__v_srq *srq);
int leap__ibv_srq_post(struct leap__v_srq *srq, const struct leap__v_recv *r,
		       uint32_t n);
void leap__ibv_dev_events(struct leap__v_dev *dev);

#endif
