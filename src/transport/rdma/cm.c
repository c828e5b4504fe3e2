/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private data of the connection manager's messages: pure functions of bytes.
 *
 * RDMA Transport 1.0, "RDMA_CM_REQUEST Private Data Format" and its siblings.
 * What a peer sent is copied, checked, and only then believed; the connection
 * manager pads private data with zeroes, so that more than was sent may arrive.
 */
#include "transport/rdma/cm.h"

#include <errno.h>
#include <string.h>

unsigned int leap__rdma_parse_req(const void *priv, uint32_t len, uint8_t ird,
				  const struct leap__rdma_limits *limits,
				  struct leap__rdma_ask *ask)
{
	struct leap_rdma_cm_req req;

	if (len < sizeof(req))
		return LEAP_RDMA_REJ_LENGTH;
	memcpy(&req, priv, sizeof(req));
	if (leap_from_le16(req.recfmt))
		return LEAP_RDMA_REJ_RECFMT;
	ask->qid = leap_from_le16(req.qid);
	ask->depth = leap_from_le16(req.hsqsize) + 1u;
	if (ask->qid > limits->max_qid)
		return LEAP_RDMA_REJ_QID;
	if (ask->depth < 2 ||
	    ask->depth > (ask->qid ? limits->max_depth : limits->max_admin))
		return LEAP_RDMA_REJ_HSQSIZE;
	if (!leap_from_le16(req.hrqsize))
		return LEAP_RDMA_REJ_HRQSIZE;
	/* Commands that write could never be served. */
	if (!ird)
		return LEAP_RDMA_REJ_IRD;
	return 0;
}

int leap__rdma_parse_rep(const void *priv, uint32_t len)
{
	struct leap_rdma_cm_rep rep;

	/* Not all controllers say anything, and nothing depends on it. */
	if (len < offsetof(struct leap_rdma_cm_rep, rsvd4))
		return 0;
	memset(&rep, 0, sizeof(rep));
	memcpy(&rep, priv, len < sizeof(rep) ? len : sizeof(rep));
	return leap_from_le16(rep.recfmt) ? -EPROTO : 0;
}

unsigned int leap__rdma_parse_rej(const void *priv, uint32_t len)
{
	struct leap_rdma_cm_rej rej;

	if (len < sizeof(rej))
		return 0;
	memcpy(&rej, priv, sizeof(rej));
	return leap_from_le16(rej.recfmt) ? 0 : leap_from_le16(rej.sts);
}

const char *leap__rdma_rej_str(unsigned int sts)
{
	static const char *const text[] = {
		[LEAP_RDMA_REJ_LENGTH] = "invalid private data length",
		[LEAP_RDMA_REJ_RECFMT] = "invalid RECFMT",
		[LEAP_RDMA_REJ_QID] = "invalid queue ID",
		[LEAP_RDMA_REJ_HSQSIZE] = "invalid HSQSIZE",
		[LEAP_RDMA_REJ_HRQSIZE] = "invalid HRQSIZE",
		[LEAP_RDMA_REJ_RESOURCES] = "no resources",
		[LEAP_RDMA_REJ_IRD] = "invalid IRD",
		[LEAP_RDMA_REJ_ORD] = "invalid ORD",
	};

	return sts && sts < sizeof(text) / sizeof(text[0]) ? text[sts] :
	       "no reason given";
}
