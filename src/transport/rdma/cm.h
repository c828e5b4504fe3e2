/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cm.h - the private data of a connection
 */
#ifndef LEAP_RDMA_CM_H
#define LEAP_RDMA_CM_H

#include <leapio/nvmf.h>

/* What a controller end can serve. */
struct leap__rdma_limits {
	uint32_t max_qid;
	uint32_t max_depth;	/* entries */
	uint32_t max_admin;	/* entries of an admin queue */
};

/* What a host asks for. */
struct leap__rdma_ask {
	uint16_t qid;
	uint32_t depth;		/* entries of its send queue: HSQSIZE + 1 */
};

/* Receives, as a field says it that counts from 1 and has no room for 65536. */
static inline leap_le16 leap__rdma_cm_recvs(uint32_t n)
{
	return leap_to_le16((uint16_t)(n < 0xffff ? n : 0xffff));
}

/*
 * leap__rdma_parse_req - private data of a connection request
 *
 * @ird: RDMA READs that the host answers at once
 * Returns: 0 and *@ask, or LEAP_RDMA_REJ_x
 */
unsigned int leap__rdma_parse_req(const void *priv, uint32_t len, uint8_t ird,
				  const struct leap__rdma_limits *limits,
				  struct leap__rdma_ask *ask);

/* leap__rdma_parse_rep - 0, or -EPROTO. How many receives it speaks of does not
 * matter: a host has no more commands out than it asked for, and where a
 * controller posts fewer receives its device has ours wait. */
int leap__rdma_parse_rep(const void *priv, uint32_t len);

/* leap__rdma_parse_rej - LEAP_RDMA_REJ_x, or 0: none of ours */
unsigned int leap__rdma_parse_rej(const void *priv, uint32_t len);

/* leap__rdma_rej_str - in words. Never NULL. */
const char *leap__rdma_rej_str(unsigned int sts);

#endif
