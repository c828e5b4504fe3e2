/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end against a controller that is written out PDU by PDU.
 */
#include "tcp-peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include <leapio/nvmf.h>

#define BYTES 20000u
#define NR_REQS 8

struct host {
	struct leap_pollgroup *pg;
	struct leap_qp *qp;
	struct peer *p;
	int listener;
	struct leap_req reqs[NR_REQS];
	struct leap_piece pieces[NR_REQS][2];
	uint8_t data[NR_REQS][BYTES];
	unsigned int done[NR_REQS];
	unsigned int connected, lost, closed;
	leap_status_t status;
	int sys_errno;
};

static void on_connected(struct leap_qp *qp, leap_status_t status,
			 int sys_errno, void *arg)
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
	struct host *h = *(struct host **)&req->lib[0];
	unsigned int i;

	for (i = 0; i < NR_REQS; i++)
		if (req == &h->reqs[i])
			h->done[i]++;
}

static struct host *host_new(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	struct host *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->pg = tcp_pollgroup(4, 4096);
	h->p = malloc(sizeof(*h->p));
	assert_non_null(h->p);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(h->listener, (struct sockaddr *)&addr,
			      sizeof(addr)), 0);
	assert_int_equal(listen(h->listener, 8), 0);
	return h;
}

static void host_open(struct host *h, uint32_t flags, uint32_t inline_bytes)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	char url[128];

	assert_int_equal(getsockname(h->listener, (struct sockaddr *)&addr,
				     &len), 0);
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%u/" TCP_NQN,
		 ntohs(addr.sin_port));
	h->connected = h->lost = h->closed = 0;
	memset(h->done, 0, sizeof(h->done));
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

static void host_end(struct host *h)
{

	leap_qp_close(h->qp, on_closed, h);
	TCP_WAIT(h->closed, leap_pollgroup_poll(h->pg, 0));
	assert_int_equal(h->closed, 1);
	close(h->p->fd);
}

static void host_free(struct host *h)
{
	close(h->listener);
	free(h->p);
	assert_int_equal(leap_pollgroup_destroy(h->pg), 0);
	free(h);
}

static uint8_t asked(uint32_t flags)
{
	return (flags & LEAP_QP_HEADER_DIGEST ? 1 : 0) |
	       (flags & LEAP_QP_DATA_DIGEST ? 2 : 0);
}

static void ic_resp(union leap__tcp_pdu *pdu, uint8_t cpda, uint8_t dgst,
		    uint32_t maxh2c)
{
	peer_hdr(pdu, LEAP_TCP_IC_RESP, 0, sizeof(pdu->ic_resp));
	pdu->ic_resp.cpda = cpda;
	pdu->ic_resp.dgst = dgst;
	pdu->ic_resp.maxh2cdata = leap_to_le32(maxh2c);
}

static void answer_ic(struct host *h, uint32_t flags, uint8_t cpda,
		      uint32_t maxh2c)
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

static void send_rsp(struct peer *p, uint16_t cid, leap_status_t status,
		     uint16_t sqhd)
{
	union leap__tcp_pdu pdu;

	peer_hdr(&pdu, LEAP_TCP_RSP, 0, sizeof(pdu.rsp));
	pdu.rsp.cqe.cid = leap_to_le16(cid);
	pdu.rsp.cqe.sqhd = leap_to_le16(sqhd);
	pdu.rsp.cqe.status = leap_cqe_status_word(status, 0);
	peer_pdu(p, &pdu, NULL, 0);
}

static void answer_connect(struct host *h, uint32_t flags)
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

static void host_ready(struct host *h, uint32_t flags, uint8_t cpda,
		       uint32_t maxh2c, uint32_t inline_bytes)
{
	host_open(h, flags, inline_bytes);
	answer_ic(h, flags, cpda, maxh2c);
	answer_connect(h, flags);
}

/* Submit request @i and receive its capsule; returns its CID. */
static uint16_t submit(struct host *h, unsigned int i, uint8_t opc,
		       uint32_t bytes)
{
	struct leap_req *req = &h->reqs[i];

	memset(req, 0, sizeof(*req));
	req->sqe.opc = opc;
	req->done = on_done;
	memset(h->pieces[i], 0, sizeof(h->pieces[i]));
	h->pieces[i][0].addr = h->data[i];
	h->pieces[i][0].len_bytes = bytes / 3;
	h->pieces[i][1].addr = h->data[i] + bytes / 3;
	h->pieces[i][1].len_bytes = bytes - bytes / 3;
	req->pieces = h->pieces[i];
	req->nr_pieces = 2;
	assert_int_equal(leap_qp_submit(h->qp, &req, 1), 1);
	*(struct host **)&req->lib[0] = h;
	leap_qp_kick(h->qp);
	peer_expect(h->p, LEAP_TCP_CMD);
	assert_int_equal(h->p->pdu.cmd.sqe.opc, opc);
	assert_int_equal(leap_from_le32(h->p->pdu.cmd.sqe.sgl1.len), bytes);
	return leap_from_le16(h->p->pdu.cmd.sqe.cid);
}

static void wait_done(struct host *h, unsigned int i, leap_status_t status)
{
	TCP_WAIT(h->done[i], leap_pollgroup_poll(h->pg, 0));
	assert_int_equal(h->done[i], 1);
	h->done[i] = 0;
	if (leap_req_status(&h->reqs[i]) != status)
		fail_msg("status %x instead of %x",
			 leap_req_status(&h->reqs[i]), status);
}

static void fill(uint8_t *data, uint32_t bytes, unsigned int seed)
{
	uint32_t i;

	for (i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i * 5 + i / 253 + seed);
}

static void send_c2h(struct peer *p, uint16_t cid, uint32_t at,
		     const uint8_t *data, uint32_t bytes, uint8_t flags)
{
	union leap__tcp_pdu pdu;

	peer_data(&pdu, LEAP_TCP_C2H_DATA, cid, 0, at, bytes, flags);
	peer_pdu(p, &pdu, data + at, bytes);
}

static const uint32_t all_flags[] = {
	0, LEAP_QP_HEADER_DIGEST, LEAP_QP_DATA_DIGEST,
	LEAP_QP_HEADER_DIGEST | LEAP_QP_DATA_DIGEST | LEAP_QP_NO_SQ_FLOW,
};

static void test_read(void **state)
{
	static uint8_t data[BYTES];
	struct host *h = host_new();
	unsigned int i;
	uint16_t cid;

	fill(data, BYTES, 1);
	for (i = 0; i < COUNT(all_flags); i++) {
		host_ready(h, all_flags[i], 0, 65536, 0);
		cid = submit(h, 0, LEAP_NVM_READ, BYTES);
		assert_int_equal(h->p->pdu.cmd.sqe.sgl1.type, SGL_STREAM);
		send_c2h(h->p, cid, 0, data, 7, 0);
		send_c2h(h->p, cid, 7, data, 10000, 0);
		send_c2h(h->p, cid, 10007, data, BYTES - 10007,
			 LEAP_TCP_F_LAST);
		send_rsp(h->p, cid, 0, 3);
		wait_done(h, 0, 0);
		assert_memory_equal(h->data[0], data, BYTES);
		/* No response at all. */
		memset(h->data[0], 0, BYTES);
		cid = submit(h, 0, LEAP_NVM_READ, BYTES);
		send_c2h(h->p, cid, 0, data, BYTES,
			 LEAP_TCP_F_LAST | LEAP_TCP_F_SUCCESS);
		wait_done(h, 0, 0);
		assert_memory_equal(h->data[0], data, BYTES);
		/* An error instead of data, and too little data. */
		cid = submit(h, 1, LEAP_NVM_READ, 512);
		send_rsp(h->p, cid, LEAP_SC_LBA_RANGE, 3);
		wait_done(h, 1, LEAP_SC_LBA_RANGE);
		cid = submit(h, 1, LEAP_NVM_READ, 512);
		send_c2h(h->p, cid, 0, data, 100, 0);
		send_rsp(h->p, cid, 0, 3);
		wait_done(h, 1, LEAP_SC_DATA_TRANSFER);
		host_end(h);
	}
	host_free(h);
}

static void send_r2t(struct peer *p, uint16_t cid, uint16_t tag, uint32_t at,
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

static void expect_h2c(struct peer *p, uint16_t cid, uint16_t tag, uint32_t at,
		       const uint8_t *data, uint32_t bytes, int last)
{
	peer_expect(p, LEAP_TCP_H2C_DATA);
	assert_int_equal(leap_from_le16(p->pdu.data.cccid), cid);
	assert_int_equal(leap_from_le16(p->pdu.data.ttag), tag);
	assert_int_equal(leap_from_le32(p->pdu.data.datao), at);
	assert_int_equal(leap_from_le32(p->pdu.data.datal), bytes);
	assert_int_equal(p->bytes, bytes);
	assert_int_equal(!!(p->pdu.hdr.flags & LEAP_TCP_F_LAST), last);
	assert_memory_equal(p->data, data + at, bytes);
}

static void test_write(void **state)
{
	struct host *h = host_new();
	unsigned int i;
	uint16_t cid;

	for (i = 0; i < COUNT(all_flags); i++) {
		host_ready(h, all_flags[i], 0, 8192, 512);
		/* In the capsule, and one byte too many for it. */
		fill(h->data[0], BYTES, 3);
		cid = submit(h, 0, LEAP_NVM_WRITE, 512);
		assert_int_equal(h->p->pdu.cmd.sqe.sgl1.type, SGL_CAPSULE);
		assert_int_equal(h->p->bytes, 512);
		assert_memory_equal(h->p->data, h->data[0], 512);
		send_rsp(h->p, cid, 0, 2);
		wait_done(h, 0, 0);
		cid = submit(h, 0, LEAP_NVM_WRITE, 513);
		assert_int_equal(h->p->pdu.cmd.sqe.sgl1.type, SGL_STREAM);
		assert_int_equal(h->p->bytes, 0);
		send_r2t(h->p, cid, 0xbeef, 0, 513);
		expect_h2c(h->p, cid, 0xbeef, 0, h->data[0], 513, 1);
		send_rsp(h->p, cid, 0, 2);
		wait_done(h, 0, 0);
		/* Four R2Ts at once; MAXH2CDATA cuts the long one. */
		cid = submit(h, 0, LEAP_NVM_WRITE, BYTES);
		send_r2t(h->p, cid, 1, 0, 1000);
		send_r2t(h->p, cid, 2, 1000, 17000);
		send_r2t(h->p, cid, 2, 18000, 1000);
		send_r2t(h->p, cid, 4, 19000, 1000);
		expect_h2c(h->p, cid, 1, 0, h->data[0], 1000, 1);
		expect_h2c(h->p, cid, 2, 1000, h->data[0], 8192, 0);
		expect_h2c(h->p, cid, 2, 9192, h->data[0], 8192, 0);
		expect_h2c(h->p, cid, 2, 17384, h->data[0], 616, 1);
		expect_h2c(h->p, cid, 2, 18000, h->data[0], 1000, 1);
		expect_h2c(h->p, cid, 4, 19000, h->data[0], 1000, 1);
		send_rsp(h->p, cid, 0, 2);
		wait_done(h, 0, 0);
		/* Refused with an R2T open. */
		cid = submit(h, 0, LEAP_NVM_WRITE, BYTES);
		send_rsp(h->p, cid, LEAP_SC_NS_WRITE_PROTECTED, 2);
		wait_done(h, 0, LEAP_SC_NS_WRITE_PROTECTED);
		host_end(h);
	}
	host_free(h);
}

static void test_cpda(void **state)
{
	struct host *h = host_new();
	uint8_t cpda;
	uint16_t cid;

	for (cpda = 0; cpda <= LEAP_TCP_MAX_PDA; cpda++) {
		uint32_t flags = all_flags[cpda & 3];

		host_open(h, flags, 512);
		answer_ic(h, flags, cpda, 8192);
		answer_connect(h, flags);
		assert_int_equal(h->p->pdu.hdr.pdo,
				 leap__tcp_pdo(72, asked(flags) & 1, cpda));
		fill(h->data[0], 600, cpda);
		cid = submit(h, 0, LEAP_NVM_WRITE, 600);
		send_r2t(h->p, cid, 5, 0, 600);
		expect_h2c(h->p, cid, 5, 0, h->data[0], 600, 1);
		assert_int_equal(h->p->pdu.hdr.pdo,
				 leap__tcp_pdo(24, asked(flags) & 1, cpda));
		send_rsp(h->p, cid, 0, 2);
		wait_done(h, 0, 0);
		host_end(h);
	}
	host_free(h);
}

static void test_bad_ic(void **state)
{
	static const struct {
		uint16_t pfv;
		uint8_t cpda, dgst;
		uint32_t max, fei;
	} cases[] = {
		{ 1, 0, 0, 4096, 8 },
		{ 0, 32, 0, 4096, 10 },
		{ 0, 0, 2, 4096, 11 },
		{ 0, 0, 3, 4096, 11 },
		{ 0, 0, 0, 4092, 12 },
		{ 0, 0, 0, 65535, 12 },
	};
	struct host *h = host_new();
	union leap__tcp_pdu pdu;
	unsigned int i;

	for (i = 0; i < COUNT(cases); i++) {
		host_open(h, LEAP_QP_HEADER_DIGEST, 0);
		peer_expect(h->p, LEAP_TCP_IC_REQ);
		ic_resp(&pdu, cases[i].cpda, cases[i].dgst, cases[i].max);
		pdu.ic_resp.pfv = leap_to_le16(cases[i].pfv);
		peer_pdu(h->p, &pdu, NULL, 0);
		peer_expect_term(h->p, LEAP_TCP_H2C_TERM, 1, cases[i].fei, &pdu);
		close(h->p->fd);
		TCP_WAIT(h->connected, leap_pollgroup_poll(h->pg, 0));
		assert_int_equal(h->connected, 1);
		assert_int_equal(h->status, LEAP_SC_PATH_HOST);
		assert_int_equal(h->sys_errno, -EPROTO);
		h->p->fd = -1;
		host_end(h);
	}
	host_free(h);
}

enum bad {
	RSP_CID, RSP_FREE_CID, RSP_OLD_CID, DATA_CID, DATA_WRITE, DATA_GAP,
	DATA_OVER, DATA_EARLY_LAST, DATA_NO_LAST, SUCCESS_NO_LAST, R2T_CID,
	R2T_READ, R2T_GAP, R2T_OVER, R2T_EMPTY, R2T_FIFTH, SECOND_IC, CMD,
	NR_BAD
};

/* Request 0 is a read of 1000 bytes, request 1 a write of 1000. */
static void build_bad(union leap__tcp_pdu *pdu, enum bad what, uint16_t rd,
		      uint16_t wr, uint16_t *fes, uint32_t *fei, uint32_t *n)
{
	*fes = LEAP_TCP_FES_SEQUENCE;
	*fei = 0;
	*n = 0;
	peer_hdr(pdu, LEAP_TCP_RSP, 0, sizeof(pdu->rsp));
	switch (what) {
	case RSP_CID:
		pdu->rsp.cqe.cid = leap_to_le16(rd ^ 0x8000);
		return;
	case RSP_FREE_CID:
		pdu->rsp.cqe.cid = leap_to_le16(rd ^ 0x0f);
		return;
	case RSP_OLD_CID:
		pdu->rsp.cqe.cid = leap_to_le16((uint16_t)(rd - 16));
		return;
	case SECOND_IC:
		ic_resp(pdu, 0, 0, 4096);
		return;
	case CMD:
		peer_sqe(pdu, 1, 1, 0, 0, SGL_STREAM);
		*fes = LEAP_TCP_FES_HDR_FIELD;
		return;
	default:
		break;
	}
	if (what <= SUCCESS_NO_LAST) {
		*n = 500;
		peer_data(pdu, LEAP_TCP_C2H_DATA, rd, 0, 0, *n, 0);
		if (what == DATA_CID || what == DATA_WRITE) {
			pdu->data.cccid = leap_to_le16(what == DATA_WRITE ?
						       wr : rd ^ 0x8000);
			return;
		}
		*fes = LEAP_TCP_FES_RANGE;
		if (what == DATA_GAP)
			pdu->data.datao = leap_to_le32(4);
		if (what == DATA_OVER)
			*n = 1001;
		if (what >= DATA_EARLY_LAST) {
			*fes = LEAP_TCP_FES_HDR_FIELD;
			*fei = 1;
		}
		if (what == DATA_EARLY_LAST)
			pdu->hdr.flags = LEAP_TCP_F_LAST;
		if (what == DATA_NO_LAST)
			*n = 1000;
		if (what == SUCCESS_NO_LAST)
			pdu->hdr.flags = LEAP_TCP_F_SUCCESS;
		pdu->data.datal = leap_to_le32(*n);
		return;
	}
	peer_hdr(pdu, LEAP_TCP_R2T, 0, sizeof(pdu->r2t));
	pdu->r2t.cccid = leap_to_le16(what == R2T_CID ? wr ^ 0x8000 :
				      what == R2T_READ ? rd : wr);
	pdu->r2t.r2tl = leap_to_le32(what == R2T_OVER ? 1001 : 100);
	pdu->r2t.r2to = leap_to_le32(what == R2T_GAP ? 8 : 0);
	if (what == R2T_OVER || what == R2T_GAP)
		*fes = LEAP_TCP_FES_RANGE;
	if (what == R2T_EMPTY) {
		pdu->r2t.r2tl = 0;
		*fes = LEAP_TCP_FES_HDR_FIELD;
		*fei = 16;
	}
}

static void wait_lost(struct host *h, int err)
{
	TCP_WAIT(h->lost, leap_pollgroup_poll(h->pg, 0));
	assert_int_equal(h->lost, 1);
	assert_int_equal(h->sys_errno, err);
}

static void test_refused(void **state)
{
	static uint8_t data[2000];
	struct host *h = host_new();
	union leap__tcp_pdu pdu;
	uint8_t out[4096];
	uint16_t fes, rd, wr, i;
	uint32_t fei, n, len;
	int what;

	for (what = 0; what < NR_BAD; what++) {
		host_ready(h, 0, 0, 8192, 0);
		rd = submit(h, 0, LEAP_NVM_READ, 1000);
		wr = submit(h, 1, LEAP_NVM_WRITE, 1000);
		build_bad(&pdu, what, rd, wr, &fes, &fei, &n);
		if (what == R2T_FIFTH) {
			/* All in one packet, so that none is answered yet. */
			len = 0;
			for (i = 0; i < 5; i++) {
				pdu.r2t.r2to = leap_to_le32(i * 100u);
				len += peer_build(h->p, out + len, &pdu, data,
						  0);
			}
			peer_send(h->p, out, len);
			fes = LEAP_TCP_FES_LIMIT;
		} else {
			len = peer_build(h->p, out, &pdu, data, n);
			peer_send(h->p, out, len);
		}
		peer_expect_term(h->p, LEAP_TCP_H2C_TERM, fes, fei, &pdu);
		close(h->p->fd);
		wait_lost(h, -EPROTO);
		wait_done(h, 0, LEAP_SC_PATH_HOST);
		wait_done(h, 1, LEAP_SC_PATH_HOST);
		assert_int_equal(h->reqs[0].sys_errno, -EPROTO);
		h->p->fd = -1;
		host_end(h);
	}
	/* The controller ends it: no answer to a termination. */
	host_ready(h, 0, 0, 8192, 0);
	submit(h, 0, LEAP_NVM_READ, 1000);
	peer_hdr(&pdu, LEAP_TCP_C2H_TERM, 0, sizeof(pdu.term));
	peer_pdu(h->p, &pdu, NULL, 0);
	assert_int_equal(peer_recv(h->p), 0);
	wait_lost(h, -ECONNABORTED);
	wait_done(h, 0, LEAP_SC_PATH_HOST);
	host_end(h);
	host_free(h);
}

static void test_digests(void **state)
{
	static uint8_t data[BYTES];
	struct host *h = host_new();
	union leap__tcp_pdu pdu;
	uint8_t *out = malloc(BYTES + 256);
	uint32_t n;
	uint16_t cid;

	assert_non_null(out);
	host_ready(h, LEAP_QP_HEADER_DIGEST | LEAP_QP_DATA_DIGEST, 0, 8192, 0);
	/* A bad data digest, with and without a response. */
	cid = submit(h, 0, LEAP_NVM_READ, BYTES);
	peer_data(&pdu, LEAP_TCP_C2H_DATA, cid, 0, 0, BYTES, LEAP_TCP_F_LAST);
	n = peer_build(h->p, out, &pdu, data, BYTES);
	out[n - 1] ^= 1;
	peer_send(h->p, out, n);
	send_rsp(h->p, cid, 0, 1);
	wait_done(h, 0, LEAP_SC_TRANSIENT_TRANSPORT);
	cid = submit(h, 0, LEAP_NVM_READ, BYTES);
	peer_data(&pdu, LEAP_TCP_C2H_DATA, cid, 0, 0, BYTES,
		  LEAP_TCP_F_LAST | LEAP_TCP_F_SUCCESS);
	n = peer_build(h->p, out, &pdu, data, BYTES);
	out[BYTES / 2] ^= 1;
	peer_send(h->p, out, n);
	wait_done(h, 0, LEAP_SC_TRANSIENT_TRANSPORT);
	/* It is still there. */
	cid = submit(h, 0, LEAP_NVM_READ, 100);
	send_c2h(h->p, cid, 0, data, 100, LEAP_TCP_F_LAST);
	send_rsp(h->p, cid, 0, 1);
	wait_done(h, 0, 0);
	/* A bad header digest ends it. */
	cid = submit(h, 0, LEAP_NVM_READ, 100);
	peer_hdr(&pdu, LEAP_TCP_RSP, 0, sizeof(pdu.rsp));
	pdu.rsp.cqe.cid = leap_to_le16(cid);
	n = peer_build(h->p, out, &pdu, NULL, 0);
	memcpy(out + 24, "\1\2\3\4", 4);
	peer_send(h->p, out, n);
	peer_expect_term(h->p, LEAP_TCP_H2C_TERM, LEAP_TCP_FES_HDGST,
			 0x04030201, &pdu);
	close(h->p->fd);
	wait_lost(h, -EPROTO);
	h->p->fd = -1;
	host_end(h);
	host_free(h);
	free(out);
}

/* Answered while its payload is still on its way: its memory stays ours. */
static void test_early_answer(void **state)
{
	struct host *h = host_new();
	uint32_t bytes = 8u << 20, got;
	uint8_t *data = malloc(bytes);
	struct leap_req *req = &h->reqs[0];
	unsigned int i;
	uint16_t cid;

	assert_non_null(data);
	host_ready(h, 0, 0, 16u << 20, 0);
	memset(req, 0, sizeof(*req));
	req->sqe.opc = LEAP_NVM_WRITE;
	req->done = on_done;
	memset(&h->pieces[0][0], 0, sizeof(h->pieces[0][0]));
	h->pieces[0][0].addr = data;
	h->pieces[0][0].len_bytes = bytes;
	req->pieces = h->pieces[0];
	req->nr_pieces = 1;
	memset(data, 7, bytes);
	assert_int_equal(leap_qp_submit(h->qp, &req, 1), 1);
	*(struct host **)&req->lib[0] = h;
	peer_expect(h->p, LEAP_TCP_CMD);
	cid = leap_from_le16(h->p->pdu.cmd.sqe.cid);
	send_r2t(h->p, cid, 1, 0, bytes);
	for (i = 0; i < 100; i++)
		peer_poll(h->p);
	send_rsp(h->p, cid, LEAP_SC_WRITE_FAULT, 0);
	for (i = 0; i < 100; i++)
		peer_poll(h->p);
	assert_int_equal(h->done[0], 0);
	for (got = 0; got < bytes + 24; ) {
		ssize_t n = recv(h->p->fd, h->p->in, PEER_MAX, 0);

		if (n > 0)
			got += (uint32_t)n;
		else
			peer_poll(h->p);
	}
	wait_done(h, 0, LEAP_SC_WRITE_FAULT);
	host_end(h);
	host_free(h);
	free(data);
}

/* A session's answers in one buffer, cut anywhere. */
static void test_every_byte(void **state)
{
	static uint8_t data[1000];
	struct host *h = host_new();
	uint32_t i, n, len, at, step;
	union leap__tcp_pdu pdu;
	uint8_t out[4096];
	uint16_t rd, wr;
	unsigned int k;

	fill(data, sizeof(data), 8);
	for (step = 0; step < 2; step++)
	for (k = 0, len = 1; k <= len; k += 1) {
		host_ready(h, all_flags[3 * step], 0, 8192, 0);
		rd = submit(h, 0, LEAP_NVM_READ, 1000);
		wr = submit(h, 1, LEAP_NVM_WRITE, 1000);
		peer_data(&pdu, LEAP_TCP_C2H_DATA, rd, 0, 0, 600, 0);
		len = peer_build(h->p, out, &pdu, data, 600);
		peer_hdr(&pdu, LEAP_TCP_R2T, 0, sizeof(pdu.r2t));
		pdu.r2t.cccid = leap_to_le16(wr);
		pdu.r2t.r2tl = leap_to_le32(1000);
		len += peer_build(h->p, out + len, &pdu, NULL, 0);
		peer_data(&pdu, LEAP_TCP_C2H_DATA, rd, 0, 600, 400, 12);
		len += peer_build(h->p, out + len, &pdu, data + 600, 400);
		peer_hdr(&pdu, LEAP_TCP_RSP, 0, sizeof(pdu.rsp));
		pdu.rsp.cqe.cid = leap_to_le16(wr);
		len += peer_build(h->p, out + len, &pdu, NULL, 0);
		if (k) {
			/* The controller is gone after k - 1 bytes. */
			peer_send(h->p, out, k - 1);
			for (i = 0; i < 3; i++)
				peer_poll(h->p);
			close(h->p->fd);
			h->p->fd = -1;
			TCP_WAIT(h->lost, leap_pollgroup_poll(h->pg, 0));
			assert_int_equal(h->lost, 1);
			assert_int_equal(h->done[0], 1);
			assert_int_equal(h->done[1], 1);
		} else {
			for (at = 0; at < len; at += n) {
				n = 1;
				peer_send(h->p, out + at, n);
				for (i = 0; i < 2; i++)
					peer_poll(h->p);
			}
			wait_done(h, 0, 0);
			wait_done(h, 1, 0);
			assert_memory_equal(h->data[0], data, 1000);
		}
		host_end(h);
	}
	host_free(h);
}

static void test_refused_connection(void **state)
{
	struct host *h = host_new();

	/* Nobody listens; and an address that is none. */
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;

	opts.url = "tcp://127.0.0.1:1/" TCP_NQN;
	opts.connected = on_connected;
	opts.arg = h;
	assert_int_equal(leap_qp_connect(h->pg, &opts, &h->qp), 0);
	TCP_WAIT(h->connected, leap_pollgroup_poll(h->pg, 0));
	assert_int_equal(h->status, LEAP_SC_PATH_HOST);
	assert_int_equal(h->sys_errno, -ECONNREFUSED);
	h->p->fd = -1;
	host_end(h);
	opts.url = "tcp://localhost:4420/" TCP_NQN;
	assert_int_equal(leap_qp_connect(h->pg, &opts, &h->qp), -EINVAL);
	assert_last_error("IPV4:PORT");
	opts.url = "tcp://127.0.0.1:70000/" TCP_NQN;
	assert_int_equal(leap_qp_connect(h->pg, &opts, &h->qp), -EINVAL);
	opts.url = "tcp://::1:4420/" TCP_NQN;
	assert_int_equal(leap_qp_connect(h->pg, &opts, &h->qp), -EINVAL);
	/* Closed while it connects, and while it shakes hands. */
	host_open(h, 0, 0);
	h->closed = 0;
	host_end(h);
	host_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_cpda),
		cmocka_unit_test(test_bad_ic),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_digests),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_refused_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
