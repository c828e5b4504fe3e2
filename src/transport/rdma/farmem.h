/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * farmem.h - what the two ends of shared memory say when they connect
 *
 * Ours alone: private data of the connection manager, little-endian. Nothing is
 * sent over the connection.
 */
#ifndef LEAP_RDMA_FARMEM_H
#define LEAP_RDMA_FARMEM_H

#include <leapio/endian.h>
#include <leapio/dmabuf.h>
#include <leapio/farmem.h>

#include "transport/rdma/conn.h"

/* Of a request. */
struct leap__farmem_req {
	char magic[8];
	uint8_t token[LEAP_SHARE_TOKEN];
};

/* Of its acceptance: where the memory is. */
struct leap__farmem_rep {
	char magic[8];
	leap_le64 addr;
	leap_le64 bytes;
	leap_le32 key;
	leap_le32 perm;
};

LEAP_STATIC_ASSERT(sizeof(struct leap__farmem_req) == 24);
LEAP_STATIC_ASSERT(sizeof(struct leap__farmem_rep) == 32);

#define LEAP__FARMEM_MAGIC "leapMEM1"

/* The memory of a share, as it says. */
struct leap__farmem_mem {
	uint64_t addr;
	uint64_t bytes;
	uint32_t key;
	uint32_t perm;
};

void leap__farmem_req_make(struct leap__farmem_req *req, const uint8_t *token);
/* Private data of a peer: 0, -EPROTO not of this kind, -EACCES other token. */
int leap__farmem_req_parse(const void *priv, uint32_t len,
			  const uint8_t *token);
void leap__farmem_rep_make(struct leap__farmem_rep *rep,
			  const struct leap__farmem_mem *mem);
/* 0, or -EPROTO. */
int leap__farmem_rep_parse(const void *priv, uint32_t len,
			  struct leap__farmem_mem *mem);

/* leap__farmem_url - the address in an "rdma:" URL, cut out of @buf. 0,
 * -EINVAL, -EPROTONOSUPPORT, with last error. */
int leap__farmem_url(const char *call, const char *url, char *buf, size_t max,
		    struct sockaddr_storage *addr);

#endif
