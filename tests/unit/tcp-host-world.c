/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp-host-world.c - see tcp-host-world.h
 */
#include "tcp-host-world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include <leapio/nvmf.h>

void on_connected(struct leap_qp *qp, leap_status_t status, int sys_errno,
		  void *arg)
{
	struct host *h = arg;

	h->connected++;
	h->status = status;
	h->sys_errno = sys_errno;
}

static void on_lost(struct leap_qp *qp, int sys_errno, void *arg)
{
	struct host *h = arg;

	h->lost++;
	h->sys_errno = sys_errno;
}

static void on_closed(void *arg)
{
	((struct host *)arg)->closed++;
}

static void on_done(struct leap_req *req)
{
	((struct host_req *)req)->done++;
}

struct host *host_new(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	struct host *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->pg = tcp_pollgroup(4, 4096);
	h->p = malloc(sizeof(*h->p));
	assert_non_null(h->p);
	h->p->fd = -1;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(h->listener, (struct sockaddr *)&addr,
			      sizeof(addr)), 0);
	assert_int_equal(listen(h->listener, 8), 0);
	return h;
}

void host_open(struct host *h, uint32_t flags, uint32_t inline_bytes)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	char url[128];
	unsigned int i;

	assert_int_equal(getsockname(h->listener, (struct sockaddr *)&addr,
				     &len), 0);
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%u/" TCP_NQN,
		 ntohs(addr.sin_port));
	h->connected = h->lost = h->closed = 0;
	for (i = 0; i < NR_REQS; i++)
		h->reqs[i].done = 0;
	opts.url = url;
	opts.qid = 1;
	opts.cntlid = 7;
	opts.depth = NR_REQS + 1;
	opts.flags = flags;
	opts.inline_bytes = inline_bytes;
	opts.connected = on_connected;
	opts.lost = on_lost;
	opts.arg = h;
	assert_int_equal(leap_qp_connect(h->pg, &opts, &h->qp), 0);
	leap_pollgroup_poll(h->pg, 0);
	peer_start(h->p, accept(h->listener, NULL, NULL), h->pg, NULL);
}

void host_end(struct host *h)
{
	leap_qp_close(h->qp, on_closed, h);
	TCP_WAIT(h->closed, leap_pollgroup_poll(h->pg, 0));
	assert_int_equal(h->closed, 1);
	host_cut(h);
}

void host_cut(struct host *h)
{
	if (h->p->fd >= 0)
		close(h->p->fd);
	h->p->fd = -1;
}

void host_free(struct host *h)
{
	close(h->listener);
	free(h->p);
	assert_int_equal(leap_pollgroup_destroy(h->pg), 0);
	free(h);
}

uint8_t asked(uint32_t flags)
{
	return (flags & LEAP_QP_HEADER_DIGEST ? 1 : 0) |
	       (flags & LEAP_QP_DATA_DIGEST ? 2 : 0);
}

void ic_resp(union leap__tcp_pdu *pdu, uint8_t cpda, uint8_t dgst,
	     uint32_t maxh2c)
{
	peer_hdr(pdu, LEAP_TCP_IC_RESP, 0, sizeof(pdu->ic_resp));
	pdu->ic_resp.cpda = cpda;
	pdu->ic_resp.dgst = dgst;
	pdu->ic_resp.maxh2cdata = leap_to_le32(maxh2c);
}

void answer_ic(struct host *h, uint32_t flags, uint8_t cpda, uint32_t maxh2c)
{
	union leap__tcp_pdu pdu;

	peer_expect(h->p, LEAP_TCP_IC_REQ);
	assert_int_equal(h->p->pdu.ic_req.pfv, 0);
	assert_int_equal(h->p->pdu.ic_req.hpda, 0);
	assert_int_equal(h->p->pdu.ic_req.dgst, asked(flags));
	assert_int_equal(leap_from_le32(h->p->pdu.ic_req.maxr2t), 3);
	ic_resp(&pdu, cpda, asked(flags), maxh2c);
	peer_pdu(h->p, &pdu, NULL, 0);
	h->p->hdgst = asked(flags) & 1;
	h->p->ddgst = asked(flags) & 2;
}

void send_rsp(struct peer *p, uint16_t cid, leap_status_t status,
	      uint16_t sqhd)
{
	union leap__tcp_pdu pdu;

	peer_hdr(&pdu, LEAP_TCP_RSP, 0, sizeof(pdu.rsp));
	pdu.rsp.cqe.cid = leap_to_le16(cid);
	pdu.rsp.cqe.sqhd = leap_to_le16(sqhd);
	pdu.rsp.cqe.status = leap_cqe_status_word(status, 0);
	peer_pdu(p, &pdu, NULL, 0);
}

void answer_connect(struct host *h, uint32_t flags)
{
	struct leap_fab_connect sqe;
	struct leap_connect_data data;

	peer_expect(h->p, LEAP_TCP_CMD);
	assert_int_equal(h->p->bytes, sizeof(data));
	memcpy(&sqe, &h->p->pdu.cmd.sqe, sizeof(sqe));
	memcpy(&data, h->p->data, sizeof(data));
	assert_int_equal(sqe.opc, LEAP_ADM_FABRICS);
	assert_int_equal(sqe.sgl1.type, SGL_CAPSULE);
	assert_int_equal(leap_from_le32(sqe.sgl1.len), sizeof(data));
	assert_int_equal(leap_from_le16(sqe.sqsize), NR_REQS);
	assert_string_equal(data.subnqn, TCP_NQN);
	send_rsp(h->p, leap_from_le16(sqe.cid), 0,
		 flags & LEAP_QP_NO_SQ_FLOW ? 0xffff : 1);
	TCP_WAIT(h->connected, leap_pollgroup_poll(h->pg, 0));
	assert_int_equal(h->connected, 1);
	assert_int_equal(h->status, 0);
}

void host_ready(struct host *h, uint32_t flags, uint8_t cpda, uint32_t maxh2c,
		uint32_t inline_bytes)
{
	host_open(h, flags, inline_bytes);
	answer_ic(h, flags, cpda, maxh2c);
	answer_connect(h, flags);
}

uint16_t submit_data(struct host *h, unsigned int i, uint8_t opc,
		     uint8_t *data, uint32_t bytes)
{
	struct leap_piece *pieces = h->reqs[i].pieces;
	struct leap_req *req = &h->reqs[i].req;

	memset(req, 0, sizeof(*req));
	req->sqe.opc = opc;
	req->done = on_done;
	memset(pieces, 0, sizeof(h->reqs[i].pieces));
	pieces[0].addr = data;
	pieces[0].len_bytes = bytes / 3;
	pieces[1].addr = data + bytes / 3;
	pieces[1].len_bytes = bytes - bytes / 3;
	req->pieces = pieces;
	req->nr_pieces = 2;
	assert_int_equal(leap_qp_submit(h->qp, &req, 1), 1);
	leap_qp_kick(h->qp);
	peer_expect(h->p, LEAP_TCP_CMD);
	assert_int_equal(h->p->pdu.cmd.sqe.opc, opc);
	assert_int_equal(leap_from_le32(h->p->pdu.cmd.sqe.sgl1.len), bytes);
	return leap_from_le16(h->p->pdu.cmd.sqe.cid);
}

uint16_t submit(struct host *h, unsigned int i, uint8_t opc, uint32_t bytes)
{
	return submit_data(h, i, opc, h->reqs[i].data, bytes);
}

void wait_done(struct host *h, unsigned int i, leap_status_t status)
{
	struct host_req *r = &h->reqs[i];

	TCP_WAIT(r->done, leap_pollgroup_poll(h->pg, 0));
	assert_int_equal(r->done, 1);
	r->done = 0;
	if (leap_req_status(&r->req) != status)
		fail_msg("status %x instead of %x", leap_req_status(&r->req),
			 status);
}

void fill(uint8_t *data, uint32_t bytes, unsigned int seed)
{
	uint32_t i;

	for (i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i * 5 + i / 253 + seed);
}

void send_c2h(struct peer *p, uint16_t cid, uint32_t at, const uint8_t *data,
	      uint32_t bytes, uint8_t flags)
{
	union leap__tcp_pdu pdu;

	peer_data(&pdu, LEAP_TCP_C2H_DATA, cid, 0, at, bytes, flags);
	peer_pdu(p, &pdu, data + at, bytes);
}

void send_r2t(struct peer *p, uint16_t cid, uint16_t tag, uint32_t at,
	      uint32_t bytes)
{
	union leap__tcp_pdu pdu;

	peer_hdr(&pdu, LEAP_TCP_R2T, 0, sizeof(pdu.r2t));
	pdu.r2t.cccid = leap_to_le16(cid);
	pdu.r2t.ttag = leap_to_le16(tag);
	pdu.r2t.r2to = leap_to_le32(at);
	pdu.r2t.r2tl = leap_to_le32(bytes);
	peer_pdu(p, &pdu, NULL, 0);
}

void wait_lost(struct host *h, int err)
{
	TCP_WAIT(h->lost, leap_pollgroup_poll(h->pg, 0));
	assert_int_equal(h->lost, 1);
	assert_int_equal(h->sys_errno, err);
}
