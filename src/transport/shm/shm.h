/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shm.h - the two ends and the listener of the shared-memory transport
 */
#ifndef LEAP_SHM_SHM_H
#define LEAP_SHM_SHM_H

#include <leapio/plugin/transport_ops.h>

#include "core/io/acceptor.h"

/* target.c */
int leap__shm_target_start(struct leap_listener *listener,
			   struct leap__wfd *wfd);
void leap__shm_cmd_complete(struct leap_cmd *cmd);
void leap__shm_vqp_resume(struct leap_vqp *vqp);
void leap__shm_vqp_detach(struct leap_vqp *vqp);
int leap__shm_vqp_attach(struct leap_vqp *vqp);
void leap__shm_vqp_close(struct leap_vqp *vqp);
void leap__shm_vqp_destroy(struct leap_vqp *vqp);
int leap__shm_vqp_peer_closed(struct leap_vqp *vqp);

/* target_data.c */
void leap__shm_cmd_pull(struct leap_cmd *cmd, uint32_t len_bytes);

/* listener.c */
struct leap__shm_listener {
	struct leap__acceptor *acceptor;
};

int leap__shm_listen(struct leap_listener *listener, const char *address,
		     char *bound, size_t bound_max);
void leap__shm_unlisten(struct leap_listener *listener);

#endif
