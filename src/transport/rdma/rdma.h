/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rdma.h - the NVMe/RDMA transport: what its files share
 */
#ifndef LEAP_RDMA_RDMA_H
#define LEAP_RDMA_RDMA_H

#include <leapio/plugin/transport_ops.h>

#include "transport/rdma/cm.h"
#include "transport/rdma/conn.h"

#define LEAP__RDMA_ADMIN_DEPTH	128u	/* entries of an admin queue, at most */
#define LEAP__RDMA_RNR_TIMER	8u	/* where we may have none: 160 us */

struct leap__rdma_listener {
	struct leap__rdma_listen *listen;
};

int leap__rdma_listen(struct leap_listener *listener, const char *address,
		      char *bound, size_t bound_max);
void leap__rdma_unlisten(struct leap_listener *listener);

/*
 * leap__rdma_target_start - a controller end for a connection request
 *
 * @cm: the request; its id is taken over, also when it is refused
 * @listener: NULL: the caller sets vqp->handler
 * @srq: receives that the device's I/O queues share; 0 = each has its own
 * Context: owner of @pg
 * Returns: 0 and *@out; negative errno, or LEAP_RDMA_REJ_x
 */
int leap__rdma_target_start(struct leap_pollgroup *pg,
			    const struct leap_target_opts *opts,
			    struct leap_listener *listener, uint32_t srq,
			    const struct leap__v_cm *cm, struct leap_vqp **out);

/* target.c, target_data.c */
void leap__rdma_cmd_pull(struct leap_cmd *cmd, uint32_t len_bytes);
void leap__rdma_cmd_complete(struct leap_cmd *cmd);
void leap__rdma_vqp_resume(struct leap_vqp *vqp);
void leap__rdma_vqp_detach(struct leap_vqp *vqp);
int leap__rdma_vqp_attach(struct leap_vqp *vqp);
void leap__rdma_vqp_close(struct leap_vqp *vqp);
void leap__rdma_vqp_destroy(struct leap_vqp *vqp);
int leap__rdma_vqp_peer_closed(struct leap_vqp *vqp);
int leap__rdma_vqp_local(struct leap_vqp *vqp, char *text, size_t max);

#endif
