/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private data of connections to shared memory: pure functions of bytes, and
 * the address that both ends are given. What a peer sent is copied, checked,
 * and only then believed; the connection manager pads private data with zeroes.
 */
#include "transport/rdma/farmem.h"

#include "core/io/inet.h"
#include "core/io/transport.h"
#include "util/err.h"

#include <errno.h>
#include <string.h>

void leap__farmem_req_make(struct leap__farmem_req *req, const uint8_t *token)
{
	memcpy(req->magic, LEAP__FARMEM_MAGIC, sizeof(req->magic));
	memcpy(req->token, token, sizeof(req->token));
}

int leap__farmem_req_parse(const void *priv, uint32_t len, const uint8_t *token)
{
	struct leap__farmem_req req;
	uint8_t differ = 0;
	uint32_t i;

	if (len < sizeof(req))
		return -EPROTO;
	memcpy(&req, priv, sizeof(req));
	if (memcmp(req.magic, LEAP__FARMEM_MAGIC, sizeof(req.magic)))
		return -EPROTO;
	/* In a time that does not say how much of it was right. */
	for (i = 0; i < sizeof(req.token); i++)
		differ |= req.token[i] ^ token[i];
	return differ ? -EACCES : 0;
}

void leap__farmem_rep_make(struct leap__farmem_rep *rep,
			  const struct leap__farmem_mem *mem)
{
	memcpy(rep->magic, LEAP__FARMEM_MAGIC, sizeof(rep->magic));
	rep->addr = leap_to_le64(mem->addr);
	rep->bytes = leap_to_le64(mem->bytes);
	rep->key = leap_to_le32(mem->key);
	rep->perm = leap_to_le32(mem->perm);
}

int leap__farmem_rep_parse(const void *priv, uint32_t len,
			  struct leap__farmem_mem *mem)
{
	const uint32_t rw = LEAP_PERM_READ | LEAP_PERM_WRITE;
	struct leap__farmem_rep rep;

	if (len < sizeof(rep))
		return -EPROTO;
	memcpy(&rep, priv, sizeof(rep));
	mem->addr = leap_from_le64(rep.addr);
	mem->bytes = leap_from_le64(rep.bytes);
	mem->key = leap_from_le32(rep.key);
	mem->perm = leap_from_le32(rep.perm);
	if (memcmp(rep.magic, LEAP__FARMEM_MAGIC, sizeof(rep.magic)) ||
	    !mem->bytes || mem->addr + (mem->bytes - 1) < mem->addr ||
	    !mem->perm || (mem->perm & ~rw))
		return -EPROTO;
	return 0;
}

int leap__farmem_url(const char *call, const char *url, char *buf, size_t max,
		    struct sockaddr_storage *addr)
{
	const struct leap_transport_ops *ops;
	const char *address, *nqn;
	socklen_t len;
	int err;

	err = leap__url_split(call, url, 0, buf, max, &ops, &address, &nqn);
	if (err)
		return err;
	if (ops != &leap__rdma_transport || nqn)
		return leap__err(-EINVAL, "%s: url \"%s\" is not rdma://HOST:"
				 "PORT", call, url);
	return leap__inet_parse(call, address, addr, &len);
}
