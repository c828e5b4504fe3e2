/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller end against a host that is written out PDU by PDU, and wrong:
 * what it refuses and how, and that nothing stays behind when the host goes
 * away at any byte.
 */
#include "tcp-world.h"

static void test_descriptors(void **state)
{
	static const struct {
		uint8_t opc, flags, sgl;
		uint32_t sgl_len, want, capsule, at;
		leap_status_t status;
	} cases[] = {
		{ LEAP_NVM_READ, 0x40, SGL_CAPSULE, 512, 512, 0, 0,
		  LEAP_SC_INVALID_FIELD },
		{ LEAP_NVM_READ, 0x40, SGL_STREAM, 511, 512, 0, 0,
		  LEAP_SC_SGL_DATA_LEN },
		{ LEAP_NVM_READ, 0x00, SGL_STREAM, 512, 512, 0, 0,
		  LEAP_SC_INVALID_FIELD },
		{ LEAP_NVM_READ, 0x80, SGL_STREAM, 512, 512, 0, 0,
		  LEAP_SC_INVALID_FIELD },
		{ LEAP_NVM_READ, 0x40, 0x00, 512, 512, 0, 0,
		  LEAP_SC_SGL_TYPE },
		{ LEAP_NVM_READ, 0x40, 0x40, 512, 512, 0, 0,
		  LEAP_SC_SGL_TYPE },
		{ LEAP_NVM_READ, 0x40, 0x20, 512, 512, 0, 0,
		  LEAP_SC_SGL_TYPE },
		{ LEAP_NVM_READ, 0x40, 0x50, 512, 512, 0, 0,
		  LEAP_SC_INVALID_FIELD },
		{ LEAP_NVM_WRITE, 0x40, SGL_STREAM, 511, 512, 0, 0,
		  LEAP_SC_SGL_DATA_LEN },
		{ LEAP_NVM_WRITE, 0x40, SGL_CAPSULE, 512, 512, 511, 0,
		  LEAP_SC_SGL_OFFSET },
		{ LEAP_NVM_WRITE, 0x40, SGL_CAPSULE, 512, 512, 512, 1,
		  LEAP_SC_SGL_OFFSET },
		{ LEAP_NVM_WRITE, 0x40, SGL_CAPSULE, 0xffffffff, 512, 512, 0,
		  LEAP_SC_SGL_OFFSET },
		{ LEAP_NVM_WRITE, 0x40, SGL_CAPSULE, 511, 512, 512, 0,
		  LEAP_SC_SGL_DATA_LEN },
		{ LEAP_NVM_WRITE, 0x40, SGL_CAPSULE, 512, 512, 0, 0,
		  LEAP_SC_SGL_DATA_LEN },
		{ LEAP_NVM_WRITE, 0x40, SGL_STREAM, 0, 2u << 20, 0, 0,
		  LEAP_SC_INVALID_FIELD },
	};
	static uint8_t data[512];
	union leap__tcp_pdu pdu;
	struct world w;
	unsigned int i;

	open_world(&w, 16, 65536);
	ready_peer(&w, 0, 0, 0, 0);
	for (i = 0; i < COUNT(cases); i++) {
		peer_sqe(&pdu, cases[i].opc, (uint16_t)i, 0, 0, cases[i].sgl);
		pdu.cmd.sqe.flags = cases[i].flags;
		pdu.cmd.sqe.sgl1.len = leap_to_le32(cases[i].sgl_len);
		pdu.cmd.sqe.sgl1.addr = leap_to_le64(cases[i].at);
		pdu.cmd.sqe.cdw12 = leap_to_le32(cases[i].want);
		peer_pdu(w.p, &pdu, data, cases[i].capsule);
		expect_rsp(w.p, (uint16_t)i,
			   cases[i].status | LEAP_STATUS_DNR);
	}
	end_peer(&w);
	close_world(&w);
}

/* What is sent to be refused, after what has been agreed on. */
enum bad {
	BAD_TYPE, BAD_HLEN, BAD_FLAGS, BAD_PDO, BAD_PLEN, SECOND_IC,
	CAPSULE_TOO_LONG, TOO_DEEP,
	DATA_TOO_LONG, DATA_NO_R2T, DATA_TAG, DATA_CID, DATA_AT, DATA_OVER,
	DATA_NOT_LAST, DATA_LAST, DATA_DATAL,
	NR_BAD
};

/* The reason that is given, and where it says what is wrong. */
static const struct {
	uint16_t fes;
	uint32_t fei;
} reasons[NR_BAD] = {
	[BAD_TYPE]	   = { LEAP_TCP_FES_HDR_FIELD, 0 },
	[BAD_HLEN]	   = { LEAP_TCP_FES_HDR_FIELD, 2 },
	[BAD_FLAGS]	   = { LEAP_TCP_FES_HDR_FIELD, 1 },
	[BAD_PDO]	   = { LEAP_TCP_FES_HDR_FIELD, 3 },
	[BAD_PLEN]	   = { LEAP_TCP_FES_HDR_FIELD, 4 },
	[SECOND_IC]	   = { LEAP_TCP_FES_SEQUENCE, 0 },
	[CAPSULE_TOO_LONG] = { LEAP_TCP_FES_LIMIT, 0 },
	[TOO_DEEP]	   = { LEAP_TCP_FES_SEQUENCE, 0 },
	[DATA_TOO_LONG]	   = { LEAP_TCP_FES_LIMIT, 0 },
	[DATA_NO_R2T]	   = { LEAP_TCP_FES_SEQUENCE, 0 },
	[DATA_TAG]	   = { LEAP_TCP_FES_SEQUENCE, 0 },
	[DATA_CID]	   = { LEAP_TCP_FES_SEQUENCE, 0 },
	[DATA_AT]	   = { LEAP_TCP_FES_RANGE, 0 },
	[DATA_OVER]	   = { LEAP_TCP_FES_RANGE, 0 },
	[DATA_NOT_LAST]	   = { LEAP_TCP_FES_HDR_FIELD, 1 },
	[DATA_LAST]	   = { LEAP_TCP_FES_HDR_FIELD, 1 },
	[DATA_DATAL]	   = { LEAP_TCP_FES_HDR_FIELD, 16 },
};

static const uint8_t junk[16384];

static void send_bad_cmd(struct world *w, enum bad what,
			 union leap__tcp_pdu *pdu)
{
	struct peer *p = w->p;
	int i;

	peer_sqe(pdu, LEAP_NVM_READ, 1, 0, 512, SGL_STREAM);
	switch (what) {
	case BAD_TYPE:
		pdu->hdr.type = LEAP_TCP_RSP;
		break;
	case BAD_HLEN:
		pdu->hdr.hlen = 64;
		break;
	case BAD_FLAGS:
		pdu->hdr.flags = LEAP_TCP_F_DDGST;
		break;
	case BAD_PDO:
		pdu->hdr.plen = leap_to_le32(100);
		pdu->hdr.pdo = 70;
		break;
	case BAD_PLEN:
		pdu->hdr.plen = leap_to_le32(60);
		break;
	case SECOND_IC:
		peer_hdr(pdu, LEAP_TCP_IC_REQ, 0, sizeof(pdu->ic_req));
		break;
	case CAPSULE_TOO_LONG:
		peer_sqe(pdu, LEAP_NVM_WRITE, 1, 0, 8193, SGL_CAPSULE);
		pdu->hdr.pdo = 72;
		pdu->hdr.plen = leap_to_le32(72 + 8193);
		break;
	default:
		/* SQSIZE 7 is 8 entries; the ninth is one too many. */
		w->f.delay = 1u << 30;
		for (i = 0; i < 8; i++)
			send_read(p, (uint16_t)i, 0, 512);
	}
	peer_send(p, pdu, what == SECOND_IC ? 128 : 72);
	if (what == CAPSULE_TOO_LONG)
		peer_send(p, junk, 8193);
}

/* Data PDUs; but for its length, the codec finds nothing wrong with any. */
static void send_bad_data(struct world *w, enum bad what,
			  union leap__tcp_pdu *pdu)
{
	uint32_t n = 1000, at = what == DATA_AT ? 4 : 0;
	uint16_t tag = 0, cid = what == DATA_CID ? 2 : 1;
	int last = what == DATA_LAST || what == DATA_OVER ||
		   what == DATA_TOO_LONG;

	if (what != DATA_NO_R2T) {
		send_write(w->p, 1, 0, 10000);
		tag = expect_r2t(w->p, 1, 0, 10000);
	}
	if (what == DATA_TAG)
		tag ^= 0x80;
	if (what == DATA_OVER)
		n = 10001;
	if (what == DATA_NOT_LAST)
		n = 10000;
	if (what == DATA_TOO_LONG)
		n = (1 << 20) + 1;
	peer_data(pdu, LEAP_TCP_H2C_DATA, cid, tag, at, n,
		  last ? LEAP_TCP_F_LAST : 0);
	if (what == DATA_DATAL)
		pdu->data.datal = leap_to_le32(n - 1);
	pdu->hdr.pdo = 24;
	pdu->hdr.plen = leap_to_le32(24 + n);
	peer_send(w->p, pdu, 24);
	if (what != DATA_TOO_LONG)
		peer_send(w->p, junk, n);
}

static void test_refused(void **state)
{
	union leap__tcp_pdu pdu;
	struct world w;
	int what;

	open_world(&w, 16, 65536);
	for (what = 0; what < NR_BAD; what++) {
		ready_peer(&w, 0, 0, 0, 0);
		if (what < DATA_TOO_LONG)
			send_bad_cmd(&w, what, &pdu);
		else
			send_bad_data(&w, what, &pdu);
		peer_expect_term(w.p, LEAP_TCP_C2H_TERM, reasons[what].fes,
				 reasons[what].fei, &pdu);
		if (what == TOO_DEEP) {
			/* Those in flight come back after the connection. */
			unsigned int i;

			for (i = 0; i < w.f.nr_delayed; i++)
				w.f.due[i] = 40;
			w.f.delay = 0;
		}
		end_peer(&w);
	}
	close_world(&w);
}

static void test_refused_early(void **state)
{
	union leap__tcp_pdu pdu;
	struct world w;

	open_world(&w, 16, 65536);
	/* A command before ICReq. */
	new_peer(&w);
	peer_sqe(&pdu, LEAP_NVM_READ, 1, 0, 512, SGL_STREAM);
	peer_pdu(w.p, &pdu, NULL, 0);
	peer_expect_term(w.p, LEAP_TCP_C2H_TERM, LEAP_TCP_FES_SEQUENCE, 0,
			 &pdu);
	end_peer(&w);
	/* PFV and HPDA. */
	new_peer(&w);
	peer_hdr(&pdu, LEAP_TCP_IC_REQ, 0, sizeof(pdu.ic_req));
	pdu.ic_req.pfv = leap_to_le16(1);
	peer_pdu(w.p, &pdu, NULL, 0);
	peer_expect_term(w.p, LEAP_TCP_C2H_TERM, 1, 8, &pdu);
	end_peer(&w);
	new_peer(&w);
	peer_hdr(&pdu, LEAP_TCP_IC_REQ, 0, sizeof(pdu.ic_req));
	pdu.ic_req.hpda = 32;
	peer_pdu(w.p, &pdu, NULL, 0);
	peer_expect_term(w.p, LEAP_TCP_C2H_TERM, 1, 10, &pdu);
	end_peer(&w);
	/* Not NVMe/TCP at all. */
	new_peer(&w);
	peer_send(w.p, "GET / HTTP/1.0\r\n", 16);
	peer_expect_term(w.p, LEAP_TCP_C2H_TERM, 1, 0, "GET / HTTP/1.0\r\n");
	end_peer(&w);
	/* A header digest, and what arrived of it. */
	ready_peer(&w, 0, 1, 0, 0);
	peer_sqe(&pdu, LEAP_NVM_READ, 1, 0, 512, SGL_STREAM);
	pdu.hdr.flags = LEAP_TCP_F_HDGST;
	pdu.hdr.plen = leap_to_le32(76);
	peer_send(w.p, &pdu, 72);
	peer_send(w.p, "\1\2\3\4", 4);
	peer_expect_term(w.p, LEAP_TCP_C2H_TERM, LEAP_TCP_FES_HDGST, 0x04030201,
			 &pdu);
	end_peer(&w);
	/* A termination is not answered with another. */
	ready_peer(&w, 0, 0, 0, 0);
	peer_hdr(&pdu, LEAP_TCP_H2C_TERM, 0, sizeof(pdu.term));
	peer_pdu(w.p, &pdu, NULL, 0);
	assert_int_equal(peer_recv(w.p), 0);
	end_peer(&w);
	/* Half a close is a close. */
	ready_peer(&w, 0, 0, 0, 0);
	shutdown(w.p->fd, SHUT_WR);
	assert_int_equal(peer_recv(w.p), 0);
	end_peer(&w);
	close_world(&w);
}

/*
 * Tags of the R2T below. In bits of the stream: the first slot, its fourth use
 * after Connect, a write and a read. In one go: the third slot, because the
 * write and the read before it still have theirs.
 */
#define TAG_BITS (4 << 7)
#define TAG_AT_ONCE (1 << 7 | 2)

/* A whole exchange in four parts; a host waits for an answer between them. */
static uint32_t script(struct peer *p, uint8_t *out, uint8_t dgst,
		       uint16_t tag, uint32_t *cut)
{
	static uint8_t data[2000];
	struct leap_connect_data cd;
	union leap__tcp_pdu pdu;
	uint32_t n;

	p->hdgst = p->ddgst = 0;
	memset(&cd, 1, sizeof(cd));
	peer_hdr(&pdu, LEAP_TCP_IC_REQ, 0, sizeof(pdu.ic_req));
	pdu.ic_req.dgst = dgst;
	n = peer_build(p, out, &pdu, NULL, 0);
	cut[0] = n;
	p->hdgst = dgst & 1;
	p->ddgst = dgst & 2;
	connect_pdu(&pdu, 0, 7);
	n += peer_build(p, out + n, &pdu, &cd, sizeof(cd));
	cut[1] = n;
	peer_sqe(&pdu, LEAP_NVM_WRITE, 1, 0, 100, SGL_CAPSULE);
	n += peer_build(p, out + n, &pdu, data, 100);
	peer_sqe(&pdu, LEAP_NVM_READ, 2, 0, 100, SGL_STREAM);
	n += peer_build(p, out + n, &pdu, NULL, 0);
	peer_sqe(&pdu, LEAP_NVM_WRITE, 3, 0, 600, SGL_STREAM);
	n += peer_build(p, out + n, &pdu, NULL, 0);
	cut[2] = n;
	peer_data(&pdu, LEAP_TCP_H2C_DATA, 3, tag, 0, 300, 0);
	n += peer_build(p, out + n, &pdu, data, 300);
	peer_data(&pdu, LEAP_TCP_H2C_DATA, 3, tag, 300, 300, LEAP_TCP_F_LAST);
	n += peer_build(p, out + n, &pdu, data, 300);
	cut[3] = n;
	return n;
}

static void send_script(struct world *w, const uint8_t *bytes,
			const uint32_t *cut, uint32_t upto, uint32_t step)
{
	uint32_t at = 0, part = 0, n, i;

	while (at < upto) {
		n = cut[part] - at;
		if (n > step)
			n = step;
		if (n > upto - at)
			n = upto - at;
		peer_send(w->p, bytes + at, n);
		at += n;
		for (i = 0; i < 3; i++)
			peer_poll(w->p);
		if (at == cut[part])
			part++;
	}
}

static void expect_script(struct peer *p)
{
	peer_expect(p, LEAP_TCP_IC_RESP);
	expect_rsp(p, 0x4321, 0);
	/* All three in one read: R2Ts go first in the send. */
	peer_expect(p, LEAP_TCP_R2T);
	expect_rsp(p, 1, 0);
	peer_expect(p, LEAP_TCP_C2H_DATA);
	expect_rsp(p, 2, 0);
	expect_rsp(p, 3, 0);
}

static void test_every_byte(void **state)
{
	static uint8_t bytes[8192];
	uint32_t cut[4], n, i;
	struct world w;
	uint8_t dgst;

	open_world(&w, 16, 65536);
	for (dgst = 0; dgst < 4; dgst += 3) {
		/* Split at every byte. */
		for (i = 1; i < 80; i += 1 + i / 8) {
			new_peer(&w);
			n = script(w.p, bytes, dgst, TAG_BITS, cut);
			send_script(&w, bytes, cut, n, i);
			if (i > 40 || i == 1) {
				int hd = w.p->hdgst;

				w.p->hdgst = 0;
				peer_expect(w.p, LEAP_TCP_IC_RESP);
				w.p->hdgst = hd;
				expect_rsp(w.p, 0x4321, 0);
			}
			end_peer(&w);
		}
		/* The host is gone after any byte. */
		n = script(w.p, bytes, dgst, TAG_AT_ONCE, cut);
		for (i = 0; i <= n; i++) {
			new_peer(&w);
			script(w.p, bytes, dgst, TAG_AT_ONCE, cut);
			send_script(&w, bytes, cut, i, 4096);
			end_peer(&w);
		}
	}
	new_peer(&w);
	n = script(w.p, bytes, 0, TAG_BITS, cut);
	send_script(&w, bytes, cut, n, 1);
	peer_expect(w.p, LEAP_TCP_IC_RESP);
	expect_rsp(w.p, 0x4321, 0);
	expect_rsp(w.p, 1, 0);
	peer_expect(w.p, LEAP_TCP_C2H_DATA);
	expect_rsp(w.p, 2, 0);
	peer_expect(w.p, LEAP_TCP_R2T);
	expect_rsp(w.p, 3, 0);
	end_peer(&w);
	new_peer(&w);
	n = script(w.p, bytes, 0, TAG_AT_ONCE, cut);
	send_script(&w, bytes, cut, n, 4096);
	expect_script(w.p);
	end_peer(&w);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_early),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
