/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp.h - the NVMe/TCP transport: what its files share
 */
#ifndef LEAP_TCP_TCP_H
#define LEAP_TCP_TCP_H

#include <leapio/plugin/transport_ops.h>

#include "core/io/acceptor.h"
#include "transport/tcp/conn.h"

struct leap__tcp_limits {
	uint32_t max_data;	/* bytes of one command */
	uint32_t inline_bytes;	/* in-capsule data of I/O commands */
	uint32_t max_depth;	/* entries of a queue */
};

/*
 * leap__tcp_target_start - a controller end on an accepted socket
 *
 * @wfd: transferred on success
 * @listener: NULL: the caller sets vqp->handler
 * Context: owner of @pg
 * Returns: 0 and *@out; -ENOMEM, or what leap_listener_accepted answered
 */
int leap__tcp_target_start(struct leap_pollgroup *pg,
			   const struct leap__tcp_limits *limits,
			   struct leap_listener *listener,
			   struct leap__wfd *wfd, struct leap_vqp **out);

/* target_data.c */
void leap__tcp_cmd_pull(struct leap_cmd *cmd, uint32_t len_bytes);

/* target_tx.c */
void leap__tcp_cmd_complete(struct leap_cmd *cmd);

/* target.c */
void leap__tcp_vqp_resume(struct leap_vqp *vqp);
int leap__tcp_vqp_peer_closed(struct leap_vqp *vqp);
int leap__tcp_vqp_local(struct leap_vqp *vqp, char *text, size_t max);
void leap__tcp_vqp_detach(struct leap_vqp *vqp);
int leap__tcp_vqp_attach(struct leap_vqp *vqp);
void leap__tcp_vqp_close(struct leap_vqp *vqp);
void leap__tcp_vqp_destroy(struct leap_vqp *vqp);

/* listener.c */
struct leap__tcp_listener {
	struct leap__acceptor *acceptor;
};

int leap__tcp_listen(struct leap_listener *listener, const char *address,
		     char *bound, size_t bound_max);
void leap__tcp_unlisten(struct leap_listener *listener);

/* host.c */
extern const struct leap_transport_ops leap__tcp_transport;

#endif
