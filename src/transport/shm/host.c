/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of a shared-memory queue pair, and the transport's table.
 *
 * Makes the memory, and the rings in it. Payload that lies in a dmabuf is named
 * where it is, once the controller end has mapped it; all other payload passes
 * through bounce chunks. What the controller writes is checked like a guest's:
 * a completion for a slot that is not in use ends the connection.
 */
#include "transport/shm/shm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <leapio/dmabuf.h>

#include "core/io/chunks.h"
#include "core/io/connector.h"
#include "core/io/dispatch.h"
#include "core/io/ring.h"
#include "core/io/transport.h"
#include "core/io/wake.h"
#include "transport/shm/chan.h"
#include "util/err.h"

#define MAX_DATA (LEAP__SHM_SGL_DESCS * LEAP__SHM_CHUNK)
#define REAP_MAX 64
#define RETRY_NS 2000000u	/* between tries of a full backlog */

enum region_state {
	REGION_FREE = 0,
	REGION_ASKED,		/* MEM_ADD is on its way */
	REGION_READY,
	REGION_REFUSED,		/* stays so: this buffer is bounced */
};

struct region {
	struct leap_dmabuf *buf;	/* a reference */
	enum region_state state;
};

struct slot {
	struct leap_req *req;	/* NULL = free */
	uint16_t chunks;	/* first bounce chunk, chained;
				 * or LEAP__NO_CHUNK */
};

struct host {
	struct leap_qp qp;		/* first */
	struct leap__shm_chan chan;
	struct leap__connector connector;
	struct leap_dmabuf *mem;
	uint8_t *base;
	struct leap__sqp sqp;
	struct leap__cqc cqc;
	leap_le32 *wake;
	struct leap_poller poller;
	struct leap__defer end_of_batch;
	struct leap_msg closed;		/* close of what is gone already */
	struct slot *slots;
	uint16_t *free_slots;
	struct leap__chunks chunks;
	uint32_t nr_free_slots;
	uint32_t nr_regions;		/* region 0 included */
	struct region regions[LEAP__SHM_MAX_REGIONS];
	bool up;
	bool polled;			/* poller is added */
	bool armed;
	bool closing;
	bool gone;			/* chan has told */
};

static struct host *of_chan(struct leap__shm_chan *chan)
{
	return (struct host *)((char *)chan - offsetof(struct host, chan));
}

_Static_assert(LEAP__SHM_CHUNK == LEAP__CHUNK_BYTES &&
	       LEAP__SHM_NR_CHUNKS == LEAP__CHUNKS, "chunks of the protocol");

/* ---- payload ---- */

/* The region of a buffer, when the controller end has mapped it. A buffer that
 * is new is offered to it, and bounced until the answer is there. */
static int region_of(struct host *h, struct leap_dmabuf *buf)
{
	struct leap__shm_msg msg;
	uint32_t i;

	for (i = 1; i < h->nr_regions; i++)
		if (h->regions[i].buf == buf)
			return h->regions[i].state == REGION_READY ?
				(int)i : -EAGAIN;
	if (i == LEAP__SHM_MAX_REGIONS)
		return -ENOSPC;
	msg = leap__shm_msg(LEAP__SHM_MEM_ADD);
	msg.region = leap_to_le32(i);
	msg.bytes = leap_to_le64(leap_dmabuf_bytes(buf));
	if (leap__shm_chan_send(&h->chan, &msg, leap_dmabuf_fd(buf)))
		return -EAGAIN;
	h->regions[i].buf = leap_dmabuf_get(buf);
	h->regions[i].state = REGION_ASKED;
	h->nr_regions++;
	return -EAGAIN;
}

static struct leap_sgl_desc *sgl_of(struct host *h, uint16_t cid)
{
	return (struct leap_sgl_desc *)
		(h->base + leap__shm_sgl(h->qp.depth, cid));
}

static void set_desc(struct leap_sgl_desc *desc, uint8_t type, uint64_t addr,
		     uint32_t len)
{
	memset(desc, 0, sizeof(*desc));
	desc->addr = leap_to_le64(addr);
	desc->len = leap_to_le32(len);
	desc->type = type;
}

/* SGL1 for @nr descriptors, which stand in the slot's segment if several. */
static void set_sgl1(struct host *h, struct leap_sqe *sqe, uint16_t cid,
		     uint32_t nr)
{
	if (nr == 1)
		sqe->sgl1 = *sgl_of(h, cid);
	else
		set_desc(&sqe->sgl1, LEAP_SGL_ID(LEAP_SGL_TYPE_LAST,
						 LEAP_SGL_SUB_ADDRESS),
			 leap__shm_sgl(h->qp.depth, cid), nr * 16);
}

static bool describe_in_place(struct host *h, struct leap_req *req,
			      struct leap_sqe *sqe, uint16_t cid)
{
	struct leap_sgl_desc *desc = sgl_of(h, cid);
	uint32_t i;

	if (req->nr_pieces > LEAP__SHM_SGL_DESCS)
		return false;
	for (i = 0; i < req->nr_pieces; i++) {
		const struct leap_piece *p = &req->pieces[i];
		int region = p->buf ? region_of(h, p->buf) : -ENOENT;
		uint64_t at;

		if (region < 0)
			return false;
		at = (uint64_t)((uint8_t *)p->addr -
				(uint8_t *)leap_dmabuf_addr(p->buf));
		set_desc(&desc[i], LEAP_SGL_ID(LEAP_SGL_TYPE_DATA,
					       LEAP_SGL_SUB_ADDRESS),
			 (uint64_t)region << LEAP__SHM_REGION_SHIFT | at,
			 p->len_bytes);
	}
	set_sgl1(h, sqe, cid, req->nr_pieces);
	return true;
}

static bool describe_bounced(struct host *h, struct leap_req *req,
			     struct leap_sqe *sqe, uint16_t cid, uint32_t len)
{
	uint32_t nr = leap__chunks_for(len), i;
	uint16_t chunk = leap__chunks_take(&h->chunks, nr);
	struct leap_sgl_desc *desc = sgl_of(h, cid);

	if (chunk == LEAP__NO_CHUNK)
		return false;
	leap__qp_bounced(&h->qp);
	h->slots[cid].chunks = chunk;
	leap__chunks_fill(&h->chunks, chunk, req);
	for (i = 0; i < nr; i++, chunk = h->chunks.next[chunk]) {
		uint32_t part = len < LEAP__SHM_CHUNK ? len : LEAP__SHM_CHUNK;

		set_desc(&desc[i], LEAP_SGL_ID(LEAP_SGL_TYPE_DATA,
					       LEAP_SGL_SUB_ADDRESS),
			 leap__shm_chunk(h->qp.depth, chunk), part);
		len -= part;
	}
	set_sgl1(h, sqe, cid, nr);
	return true;
}

static void put_chunks(struct host *h, struct slot *slot)
{
	leap__chunks_put(&h->chunks, slot->chunks);
	slot->chunks = LEAP__NO_CHUNK;
}

/* ---- submit and complete ---- */

static bool start(struct host *h, struct leap_req *req)
{
	uint64_t len = leap_pieces_bytes(req->pieces, req->nr_pieces);
	uint16_t cid = h->free_slots[h->nr_free_slots - 1];
	struct leap_sqe *sqe = &req->sqe;

	sqe->cid = leap_to_le16(cid);
	sqe->flags = (uint8_t)((sqe->flags & LEAP_SQE_FUSE_MASK) |
			       LEAP_SQE_PSDT_SGL);
	memset(&sqe->sgl1, 0, sizeof(sqe->sgl1));
	if (len && !describe_in_place(h, req, sqe, cid) &&
	    !describe_bounced(h, req, sqe, cid, (uint32_t)len))
		return false;
	if (leap__sqp_push(&h->sqp, sqe)) {
		put_chunks(h, &h->slots[cid]);
		return false;
	}
	h->slots[cid].req = req;
	h->nr_free_slots--;
	return true;
}

/* Whatever memory their payload is in. */
static bool two_fit(const struct host *h, struct leap_req *const *reqs)
{
	uint64_t len0 = leap_pieces_bytes(reqs[0]->pieces, reqs[0]->nr_pieces);
	uint64_t len1 = leap_pieces_bytes(reqs[1]->pieces, reqs[1]->nr_pieces);

	return h->nr_free_slots >= 2 && leap__sqp_room(&h->sqp) >= 2 &&
	       h->chunks.nr_free >= leap__chunks_for(len0) +
				    leap__chunks_for(len1);
}

static int shm_submit(struct leap_qp *qp, struct leap_req *const *reqs,
		      unsigned int n)
{
	struct host *h = (struct host *)qp;
	unsigned int i;

	if (h->gone || h->chan.c.dead)
		return -ENOTCONN;
	if (n > 1 && leap__req_is_first(reqs[0]) && !two_fit(h, reqs))
		return 0;
	for (i = 0; i < n && h->nr_free_slots; i++)
		if (!start(h, reqs[i]))
			break;
	if (i)
		leap__pollgroup_defer(qp->pg, &h->end_of_batch);
	return (int)i;
}

static void shm_kick(struct leap_qp *qp)
{
	struct host *h = (struct host *)qp;

	if (h->up && !h->chan.c.dead && leap__sqp_ring(&h->sqp))
		leap__shm_chan_kick(&h->chan);
}

static void end_of_batch(struct leap__defer *defer)
{
	struct host *h = (struct host *)
		((char *)defer - offsetof(struct host, end_of_batch));

	shm_kick(&h->qp);
}

static bool reads(const struct leap_sqe *sqe)
{
	uint8_t bits = sqe->opc == LEAP_ADM_FABRICS ?
		(uint8_t)leap_from_le32(sqe->nsid) : sqe->opc;

	return bits & 2;
}

static int finish(struct host *h, const struct leap__cqe *cqe)
{
	struct leap_req *req;
	struct slot *slot;

	if (cqe->cid >= h->qp.depth || !h->slots[cqe->cid].req ||
	    leap__sqp_head(&h->sqp, cqe->sqhd))
		return -EPROTO;
	slot = &h->slots[cqe->cid];
	req = slot->req;
	slot->req = NULL;
	h->free_slots[h->nr_free_slots++] = cqe->cid;
	req->cqe.dw0 = leap_to_le32(cqe->dw0);
	req->cqe.dw1 = leap_to_le32(cqe->dw1);
	req->cqe.sqhd = leap_to_le16(cqe->sqhd);
	req->cqe.sqid = leap_to_le16(cqe->sqid);
	req->cqe.cid = leap_to_le16(cqe->cid);
	req->cqe.status = leap_to_le16((uint16_t)(cqe->status << 1));
	if (slot->chunks != LEAP__NO_CHUNK) {
		if (reads(&req->sqe) && !cqe->status)
			leap__chunks_drain(&h->chunks, slot->chunks, req);
		put_chunks(h, slot);
	}
	leap_qp_complete(&h->qp, req);
	return 0;
}

static int host_poll(struct leap_poller *poller, unsigned int budget)
{
	struct host *h = (struct host *)
		((char *)poller - offsetof(struct host, poller));
	struct leap__cqe cqe;
	int n = 0;

	if (h->chan.c.dead)
		return 0;
	if (h->armed) {
		h->armed = false;
		leap__wake_disarm(h->wake);
	}
	while (n < REAP_MAX && leap__cqc_next(&h->cqc, &cqe)) {
		n++;
		if (finish(h, &cqe)) {
			leap__shm_chan_kill(&h->chan, -EPROTO);
			return n;
		}
	}
	if (n && leap__cqc_ring(&h->cqc))
		leap__shm_chan_kick(&h->chan);
	return n;
}

static int host_arm(struct leap_poller *poller)
{
	struct host *h = (struct host *)
		((char *)poller - offsetof(struct host, poller));

	if (h->chan.c.dead)
		return 0;
	h->armed = true;
	leap__wake_arm(h->wake);
	return leap__cqc_ready(&h->cqc);
}

/* ---- hand-shake ---- */

static void host_message(struct leap__shm_chan *chan, int type,
			 const struct leap__shm_msg *msg, int fd)
{
	struct host *h = of_chan(chan);
	uint32_t region = leap_from_le32(msg->region);
	int err = -(int)(leap_from_le32(msg->err) & 0xfff);

	switch (type) {
	case LEAP__SHM_WELCOME:
		if (h->up || err) {
			leap__shm_chan_kill(chan, err ? err : -EPROTO);
			return;
		}
		h->up = true;
		h->qp.max_data_bytes = MAX_DATA;
		leap_pollgroup_add_poller(h->qp.pg, &h->poller);
		h->polled = true;
		leap_qp_transport_up(&h->qp);
		break;
	case LEAP__SHM_MEM_ADDED:
		if (region >= h->nr_regions ||
		    h->regions[region].state != REGION_ASKED) {
			leap__shm_chan_kill(chan, -EPROTO);
			return;
		}
		h->regions[region].state = err ? REGION_REFUSED : REGION_READY;
		break;
	default:	/* a kick: we are awake, which was its purpose */
		break;
	}
}

static void fail_all(struct host *h, int err)
{
	uint32_t cid;

	for (cid = 0; cid < h->qp.depth; cid++) {
		struct leap_req *req = h->slots[cid].req;

		if (!req)
			continue;
		h->slots[cid].req = NULL;
		put_chunks(h, &h->slots[cid]);
		h->free_slots[h->nr_free_slots++] = (uint16_t)cid;
		leap_qp_fail(&h->qp, req, err);
	}
}

static void host_free(struct host *h)
{
	uint32_t i;

	leap__pollgroup_undefer(h->qp.pg, &h->end_of_batch);
	for (i = 1; i < h->nr_regions; i++)
		leap_dmabuf_put(h->regions[i].buf);
	leap_dmabuf_put(h->mem);
	free(h->slots);
	free(h->free_slots);
	leap__chunks_fini(&h->chunks);
}

static void ended(struct host *h, int err)
{
	h->gone = true;
	if (h->polled)
		leap_pollgroup_del_poller(h->qp.pg, &h->poller);
	h->polled = false;
	if (h->closing) {
		fail_all(h, -ECANCELED);
		host_free(h);
		leap_qp_closed(&h->qp);
		return;
	}
	if (!err)
		err = -ECONNRESET;
	fail_all(h, err);
	leap_qp_transport_down(&h->qp, err);
}

static void host_gone(struct leap__shm_chan *chan, int err)
{
	ended(of_chan(chan), err);
}

static const struct leap__shm_chan_end host_end = {
	.host = true,
	.message = host_message,
	.gone = host_gone,
};

static void connected(struct leap__connector *c, struct leap__wfd *wfd, int err)
{
	struct host *h = (struct host *)
		((char *)c - offsetof(struct host, connector));
	struct leap__shm_msg msg;

	if (err) {
		ended(h, err);
		return;
	}
	leap__shm_chan_start(&h->chan, &host_end, h->qp.pg, wfd);
	msg = leap__shm_msg(LEAP__SHM_HELLO);
	msg.depth = leap_to_le32(h->qp.depth);
	msg.bytes = leap_to_le64(leap_dmabuf_bytes(h->mem));
	if (leap__shm_chan_send(&h->chan, &msg, leap_dmabuf_fd(h->mem)))
		leap__shm_chan_kill(&h->chan, -EMFILE);
}

static int set_up_rings(struct host *h)
{
	uint32_t depth = h->qp.depth;
	struct leap__ring_opts sq = {
		.entries = h->base + LEAP__SHM_SQ, .size = depth,
		.doorbell = (leap_le32 *)(h->base + LEAP__SHM_SQ_TAIL),
		.eventidx = (leap_le32 *)(h->base + LEAP__SHM_SQ_EVENTIDX),
	};
	struct leap__ring_opts cq = {
		.entries = h->base + leap__shm_cq(depth), .size = depth,
		.doorbell = (leap_le32 *)(h->base + LEAP__SHM_CQ_HEAD),
		.eventidx = (leap_le32 *)(h->base + LEAP__SHM_CQ_EVENTIDX),
	};
	int err;

	h->wake = (leap_le32 *)(h->base + LEAP__SHM_HOST_WAKE);
	err = leap__sqp_init(&h->sqp, &sq);
	return err ? err : leap__cqc_init(&h->cqc, &cq);
}

static int host_memory(struct host *h)
{
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;
	uint32_t depth = h->qp.depth, i;
	int err;

	opts.bytes = leap__shm_bytes(depth);
	opts.huge = LEAP_HUGE_NEVER;	/* most of it is never touched */
	opts.name = "leapio-shm-qp";
	err = leap_dmabuf_create(&opts, &h->mem);
	if (err)
		return err;
	h->base = leap_dmabuf_addr(h->mem);
	h->slots = calloc(depth, sizeof(*h->slots));
	h->free_slots = calloc(depth, sizeof(*h->free_slots));
	h->chunks.mem = h->base + leap__shm_chunk(depth, 0);
	if (!h->slots || !h->free_slots || leap__chunks_init(&h->chunks))
		return leap__err(-ENOMEM, "leap_qp_connect: out of memory");
	for (i = 0; i < depth; i++) {
		h->slots[i].chunks = LEAP__NO_CHUNK;
		h->free_slots[i] = (uint16_t)(depth - 1 - i);
	}
	h->nr_free_slots = depth;
	h->nr_regions = 1;
	return set_up_rings(h);
}

static int shm_connect(struct leap_qp *qp, const char *address)
{
	struct host *h = (struct host *)qp;
	int err;

	if (qp->depth > LEAP__SHM_MAX_DEPTH)
		return leap__err(-EINVAL, "leap_qp_connect: depth %u exceeds "
				 "%u of shm", qp->depth, LEAP__SHM_MAX_DEPTH);
	h->poller.poll = host_poll;
	h->poller.arm = host_arm;
	h->end_of_batch.run = end_of_batch;
	err = host_memory(h);
	if (!err)
		err = leap__connector_start(&h->connector, qp->pg, address,
					    connected);
	if (err)
		host_free(h);
	return err;
}

static void close_later(struct leap_msg *msg)
{
	struct host *h = (struct host *)
		((char *)msg - offsetof(struct host, closed));

	host_free(h);
	leap_qp_closed(&h->qp);
}

static void shm_close(struct leap_qp *qp)
{
	struct host *h = (struct host *)qp;

	h->closing = true;
	if (leap__connector_busy(&h->connector)) {
		leap__connector_stop(&h->connector);
	} else if (h->gone) {
		h->closed.run = close_later;
		leap_pollgroup_send(qp->pg, &h->closed);
	} else {
		leap__shm_chan_kill(&h->chan, -ECANCELED);
	}
}

const struct leap_transport_ops leap__shm_transport = {
	.size = sizeof(struct leap_transport_ops),
	.name = "shm",
	.trtype = 0,
	.qp_bytes = sizeof(struct host),
	.listener_bytes = sizeof(struct leap__shm_listener),
	.qp_connect = shm_connect,
	.qp_submit = shm_submit,
	.qp_kick = shm_kick,
	.qp_close = shm_close,
	.listen = leap__shm_listen,
	.unlisten = leap__shm_unlisten,
	.cmd_pull = leap__shm_cmd_pull,
	.cmd_complete = leap__shm_cmd_complete,
	.vqp_resume = leap__shm_vqp_resume,
	.vqp_detach = leap__shm_vqp_detach,
	.vqp_attach = leap__shm_vqp_attach,
	.vqp_close = leap__shm_vqp_close,
	.vqp_destroy = leap__shm_vqp_destroy,
	.vqp_peer_closed = leap__shm_vqp_peer_closed,
};
