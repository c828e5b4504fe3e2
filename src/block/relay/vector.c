/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vector.c - open-channel commands of a relay
 *
 * The lists of addresses that a bio has were copied out of a guest's memory and
 * checked; they go as payload that the far end reads from memory of its driver,
 * and only a far end behind registers can. Addresses are what they are: there
 * is no window. The geometry, which never changes, is asked for before the
 * stack opens; what changes nobody can be asked at once, and is not offered.
 */
#include <errno.h>
#include <string.h>

#include <leapio/ocssd.h>

#include "block/relay/relay.h"
#include "core/io/host.h"

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

static uint8_t opcode(uint8_t op)
{
	switch (op) {
	case LEAP_VECTOR_WRITE:
		return LEAP_OCSSD_WRITE;
	case LEAP_VECTOR_READ:
		return LEAP_OCSSD_READ;
	case LEAP_VECTOR_COPY:
		return LEAP_OCSSD_COPY;
	default:
		return LEAP_OCSSD_RESET;
	}
}

static void vector_done(struct leap_req *req)
{
	struct leap__rbio *r = (struct leap__rbio *)req;
	leap_status_t status = leap__relay_answer(req);

	/* Failed addresses, a bit for each; of ours there are no others. */
	r->bio->result = req->sys_errno ? 0 : leap_req_result(req);
	if (r->bio->vector->nr < 64)
		r->bio->result &= (1ull << r->bio->vector->nr) - 1;
	leap__relay_end(r, status);
}

int leap__relay_vector_send(struct leap__rbio *r)
{
	const struct leap__relay *relay = r->link->relay;
	const struct leap_bio_vector *v = r->bio->vector;
	const struct leap_req_lists lists = {
		.at = v->at, .nr = v->nr,
		.to = v->op == LEAP_VECTOR_COPY ? v->to : NULL,
	};

	memset(&r->req.sqe, 0, sizeof(r->req.sqe));
	r->req.sqe.opc = opcode(v->op);
	r->req.sqe.nsid = leap_to_le32(relay->nsid);
	r->req.pieces = r->bio->pieces;
	r->req.nr_pieces = r->bio->nr_pieces;
	r->req.done = vector_done;
	return r->link->send_lists(r->link, &r->req, &lists);
}

int leap__relay_host_send_lists(struct leap__link *link, struct leap_req *req,
				const struct leap_req_lists *lists)
{
	uint32_t nr_queues = leap_host_nr_queues(link->host), i;
	int sent = 0;

	for (i = 0; i < nr_queues && !sent; i++)
		sent = leap_host_submit_lists(link->host,
				leap__relay_next_queue(link, nr_queues), req,
				lists);
	return sent;
}

/* ---- geometry ---- */

static void asked(struct leap_req *req)
{
	struct leap__relay_ask *ask = (struct leap__relay_ask *)req;

	/* What is none is a namespace like others: 1.2 and 2.0 say so. */
	if (!leap_req_status(req) && (ask->far->geometry[0] == 1 ||
				      ask->far->geometry[0] == 2))
		ask->far->caps |= LEAP_BDEV_VECTOR;
	ask->done(ask);
}

int leap__relay_ask_geometry(struct leap_host *host, uint32_t nsid,
			     struct leap__far *far,
			     struct leap__relay_ask *ask,
			     void (*done)(struct leap__relay_ask *ask))
{
	struct leap_req *req = &ask->req;
	int rc;

	if (!far->open_channel || !leap__host_takes_lists(host))
		return -EOPNOTSUPP;
	memset(ask, 0, sizeof(*ask));
	ask->far = far;
	ask->done = done;
	ask->piece.addr = far->geometry;
	ask->piece.len_bytes = sizeof(far->geometry);
	req->sqe.opc = LEAP_OCSSD_ADM_GEOMETRY;
	req->sqe.nsid = leap_to_le32(nsid);
	req->pieces = &ask->piece;
	req->nr_pieces = 1;
	req->done = asked;
	rc = leap_host_submit(host, 0, &req, 1);
	return rc == 1 ? 0 : rc ? rc : -EAGAIN;
}

leap_status_t leap__relay_admin(struct leap_bdev *bdev,
				struct leap_bdev_admin *a)
{
	const struct leap__relay *relay = leap_bdev_priv(bdev);

	if (a->op != LEAP_BDEV_GEOMETRY)
		return DNR(LEAP_SC_INVALID_OPCODE);
	if (a->bytes < sizeof(relay->far.geometry))
		return DNR(LEAP_SC_INVALID_FIELD);
	memcpy(a->buf, relay->far.geometry, sizeof(relay->far.geometry));
	return 0;
}
