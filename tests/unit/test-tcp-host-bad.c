/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end against a controller that is written out PDU by PDU, and wrong,
 * gone after any byte, or not there at all.
 */
#include "tcp-host-world.h"

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
		peer_expect_term(h->p, LEAP_TCP_H2C_TERM,
				 LEAP_TCP_FES_HDR_FIELD, cases[i].fei, &pdu);
		host_cut(h);
		TCP_WAIT(h->connected, leap_pollgroup_poll(h->pg, 0));
		assert_int_equal(h->connected, 1);
		assert_int_equal(h->status, LEAP_SC_PATH_HOST);
		assert_int_equal(h->sys_errno, -EPROTO);
		host_end(h);
	}
	host_free(h);
}

enum bad {
	RSP_CID, RSP_FREE_CID, RSP_OLD_CID, SECOND_IC, CMD,
	DATA_CID, DATA_WRITE, DATA_GAP, DATA_OVER, DATA_EARLY_LAST,
	DATA_NO_LAST, SUCCESS_NO_LAST,
	R2T_CID, R2T_READ, R2T_GAP, R2T_OVER, R2T_EMPTY, R2T_FIFTH,
	NR_BAD
};

static const struct {
	uint16_t fes;
	uint32_t fei;
} reasons[NR_BAD] = {
	[RSP_CID]	  = { LEAP_TCP_FES_SEQUENCE, 0 },
	[RSP_FREE_CID]	  = { LEAP_TCP_FES_SEQUENCE, 0 },
	[RSP_OLD_CID]	  = { LEAP_TCP_FES_SEQUENCE, 0 },
	[SECOND_IC]	  = { LEAP_TCP_FES_SEQUENCE, 0 },
	[CMD]		  = { LEAP_TCP_FES_HDR_FIELD, 0 },
	[DATA_CID]	  = { LEAP_TCP_FES_SEQUENCE, 0 },
	[DATA_WRITE]	  = { LEAP_TCP_FES_SEQUENCE, 0 },
	[DATA_GAP]	  = { LEAP_TCP_FES_RANGE, 0 },
	[DATA_OVER]	  = { LEAP_TCP_FES_RANGE, 0 },
	[DATA_EARLY_LAST] = { LEAP_TCP_FES_HDR_FIELD, 1 },
	[DATA_NO_LAST]	  = { LEAP_TCP_FES_HDR_FIELD, 1 },
	[SUCCESS_NO_LAST] = { LEAP_TCP_FES_HDR_FIELD, 1 },
	[R2T_CID]	  = { LEAP_TCP_FES_SEQUENCE, 0 },
	[R2T_READ]	  = { LEAP_TCP_FES_SEQUENCE, 0 },
	[R2T_GAP]	  = { LEAP_TCP_FES_RANGE, 0 },
	[R2T_OVER]	  = { LEAP_TCP_FES_RANGE, 0 },
	[R2T_EMPTY]	  = { LEAP_TCP_FES_HDR_FIELD, 16 },
	[R2T_FIFTH]	  = { LEAP_TCP_FES_LIMIT, 0 },
};

/* Request 0 is a read of 1000 bytes, request 1 a write of 1000. */
static void build_bad_rsp(union leap__tcp_pdu *pdu, enum bad what, uint16_t rd)
{
	peer_hdr(pdu, LEAP_TCP_RSP, 0, sizeof(pdu->rsp));
	switch (what) {
	case RSP_CID:
		pdu->rsp.cqe.cid = leap_to_le16(rd ^ 0x8000);
		break;
	case RSP_FREE_CID:
		pdu->rsp.cqe.cid = leap_to_le16(rd ^ 0x0f);
		break;
	case RSP_OLD_CID:
		pdu->rsp.cqe.cid = leap_to_le16((uint16_t)(rd - 16));
		break;
	case SECOND_IC:
		ic_resp(pdu, 0, 0, 4096);
		break;
	default:
		peer_sqe(pdu, 1, 1, 0, 0, SGL_STREAM);
	}
}

/* Returns the bytes that follow. */
static uint32_t build_bad_data(union leap__tcp_pdu *pdu, enum bad what,
			       uint16_t rd, uint16_t wr)
{
	uint16_t cid = what == DATA_CID ? rd ^ 0x8000 :
		       what == DATA_WRITE ? wr : rd;
	uint32_t n = what == DATA_OVER ? 1001 :
		     what == DATA_NO_LAST ? 1000 : 500;

	peer_data(pdu, LEAP_TCP_C2H_DATA, cid, 0, what == DATA_GAP ? 4 : 0, n,
		  what == DATA_EARLY_LAST ? LEAP_TCP_F_LAST :
		  what == SUCCESS_NO_LAST ? LEAP_TCP_F_SUCCESS : 0);
	return n;
}

static void build_bad_r2t(union leap__tcp_pdu *pdu, enum bad what, uint16_t rd,
			  uint16_t wr)
{
	uint16_t cid = what == R2T_CID ? wr ^ 0x8000 :
		       what == R2T_READ ? rd : wr;

	peer_hdr(pdu, LEAP_TCP_R2T, 0, sizeof(pdu->r2t));
	pdu->r2t.cccid = leap_to_le16(cid);
	pdu->r2t.r2tl = leap_to_le32(what == R2T_OVER ? 1001 :
				     what == R2T_EMPTY ? 0 : 100);
	pdu->r2t.r2to = leap_to_le32(what == R2T_GAP ? 8 : 0);
}

/* In one packet. */
static void send_bad(struct host *h, union leap__tcp_pdu *pdu, enum bad what)
{
	static const uint8_t data[2000];
	uint16_t rd = submit(h, 0, LEAP_NVM_READ, 1000);
	uint16_t wr = submit(h, 1, LEAP_NVM_WRITE, 1000);
	uint32_t n = 0, len, i;
	uint8_t out[4096];

	if (what < DATA_CID)
		build_bad_rsp(pdu, what, rd);
	else if (what < R2T_CID)
		n = build_bad_data(pdu, what, rd, wr);
	else
		build_bad_r2t(pdu, what, rd, wr);
	len = peer_build(h->p, out, pdu, data, n);
	/* None of the five is answered yet when the last one comes. */
	for (i = 1; what == R2T_FIFTH && i < 5; i++) {
		pdu->r2t.r2to = leap_to_le32(i * 100u);
		len += peer_build(h->p, out + len, pdu, data, 0);
	}
	peer_send(h->p, out, len);
}

static void test_refused(void **state)
{
	struct host *h = host_new();
	union leap__tcp_pdu pdu;
	int what;

	for (what = 0; what < NR_BAD; what++) {
		host_ready(h, 0, 0, 8192, 0);
		send_bad(h, &pdu, what);
		peer_expect_term(h->p, LEAP_TCP_H2C_TERM, reasons[what].fes,
				 reasons[what].fei, &pdu);
		host_cut(h);
		wait_lost(h, -EPROTO);
		wait_done(h, 0, LEAP_SC_PATH_HOST);
		wait_done(h, 1, LEAP_SC_PATH_HOST);
		assert_int_equal(h->reqs[0].req.sys_errno, -EPROTO);
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

/* All answers of a read and a write, in one buffer; returns their bytes. */
static uint32_t build_session(struct host *h, uint8_t *out,
			      const uint8_t *data)
{
	uint16_t rd = submit(h, 0, LEAP_NVM_READ, 1000);
	uint16_t wr = submit(h, 1, LEAP_NVM_WRITE, 1000);
	union leap__tcp_pdu pdu;
	uint32_t len;

	peer_data(&pdu, LEAP_TCP_C2H_DATA, rd, 0, 0, 600, 0);
	len = peer_build(h->p, out, &pdu, data, 600);
	peer_hdr(&pdu, LEAP_TCP_R2T, 0, sizeof(pdu.r2t));
	pdu.r2t.cccid = leap_to_le16(wr);
	pdu.r2t.r2tl = leap_to_le32(1000);
	len += peer_build(h->p, out + len, &pdu, NULL, 0);
	peer_data(&pdu, LEAP_TCP_C2H_DATA, rd, 0, 600, 400,
		  LEAP_TCP_F_LAST | LEAP_TCP_F_SUCCESS);
	len += peer_build(h->p, out + len, &pdu, data + 600, 400);
	peer_hdr(&pdu, LEAP_TCP_RSP, 0, sizeof(pdu.rsp));
	pdu.rsp.cqe.cid = leap_to_le16(wr);
	return len + peer_build(h->p, out + len, &pdu, NULL, 0);
}

/* Byte by byte. */
static uint32_t session_in_bytes(struct host *h, const uint8_t *data)
{
	uint8_t out[4096];
	uint32_t len = build_session(h, out, data), i;

	for (i = 0; i < len; i++) {
		peer_send(h->p, out + i, 1);
		peer_poll(h->p);
		peer_poll(h->p);
	}
	wait_done(h, 0, 0);
	wait_done(h, 1, 0);
	assert_memory_equal(h->reqs[0].data, data, 1000);
	return len;
}

/* The controller is gone after @n bytes. */
static void session_cut(struct host *h, const uint8_t *data, uint32_t n)
{
	uint8_t out[4096];
	uint32_t i;

	build_session(h, out, data);
	peer_send(h->p, out, n);
	for (i = 0; i < 3; i++)
		peer_poll(h->p);
	host_cut(h);
	TCP_WAIT(h->lost, leap_pollgroup_poll(h->pg, 0));
	assert_int_equal(h->lost, 1);
	assert_int_equal(h->reqs[0].done, 1);
	assert_int_equal(h->reqs[1].done, 1);
}

static void test_every_byte(void **state)
{
	struct host *h = host_new();
	uint8_t data[1000];
	uint32_t i, n, len;

	fill(data, sizeof(data), 8);
	for (i = 0; i < COUNT(all_flags); i += 3) {
		host_ready(h, all_flags[i], 0, 8192, 0);
		len = session_in_bytes(h, data);
		host_end(h);
		for (n = 0; n < len; n++) {
			host_ready(h, all_flags[i], 0, 8192, 0);
			session_cut(h, data, n);
			host_end(h);
		}
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
		cmocka_unit_test(test_bad_ic),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_refused_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
