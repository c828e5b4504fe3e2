/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller end against a host that is written out PDU by PDU: what it
 * answers, what it refuses and how, and that nothing stays behind when the host
 * goes away at any byte.
 */
#include "tcp-peer.h"

#include <leapio/nvmf.h>

#include <sys/ioctl.h>

struct world {
	struct leap_pollgroup *pg;
	struct tcp_fixture f;
	struct peer *p;
};

static void open_world(struct world *w, uint32_t bufs, uint32_t buf_bytes)
{
	memset(w, 0, sizeof(*w));
	w->pg = tcp_pollgroup(bufs, buf_bytes);
	w->p = malloc(sizeof(*w->p));
	assert_non_null(w->p);
}

static void new_peer(struct world *w)
{
	peer_start(w->p, tcp_fixture_pair(&w->f, w->pg), w->pg, &w->f);
}

/* Close the peer, and see everything go back. */
static void end_peer(struct world *w)
{
	struct leap_pollgroup_stats st = { sizeof(st) };
	close(w->p->fd);
	TCP_WAIT(w->f.target.gone == w->f.target.accepted, peer_poll(w->p));
	assert_int_equal(w->f.target.gone, w->f.target.accepted);
	assert_int_equal(leap_pollgroup_stats(w->pg, &st), 0);
	assert_int_equal(st.cmds_in_use, 0);
	assert_int_equal(st.bufs_in_use, 0);
}

static void close_world(struct world *w)
{
	tcp_fixture_stop(&w->f);
	free(w->p);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
}

static void send_ic(struct peer *p, uint8_t hpda, uint8_t dgst, uint32_t maxr2t)
{
	union leap__tcp_pdu pdu;

	peer_hdr(&pdu, LEAP_TCP_IC_REQ, 0, sizeof(pdu.ic_req));
	pdu.ic_req.hpda = hpda;
	pdu.ic_req.dgst = dgst;
	pdu.ic_req.maxr2t = leap_to_le32(maxr2t);
	peer_pdu(p, &pdu, NULL, 0);
	peer_expect(p, LEAP_TCP_IC_RESP);
	assert_int_equal(p->pdu.ic_resp.pfv, 0);
	assert_int_equal(p->pdu.ic_resp.cpda, 0);
	assert_int_equal(p->pdu.ic_resp.dgst, dgst & 3);
	assert_int_equal(leap_from_le32(p->pdu.ic_resp.maxh2cdata), 1 << 20);
	p->hdgst = dgst & LEAP_TCP_DGST_HEADER;
	p->ddgst = dgst & LEAP_TCP_DGST_DATA;
}

static void connect_pdu(union leap__tcp_pdu *pdu, uint8_t cattr, uint16_t sqsize)
{
	struct leap_fab_connect *sqe = (struct leap_fab_connect *)&pdu->cmd.sqe;

	peer_sqe(pdu, LEAP_ADM_FABRICS, 0x4321, 0,
		 sizeof(struct leap_connect_data), SGL_CAPSULE);
	sqe->fctype = LEAP_FCTYPE_CONNECT;
	memset((uint8_t *)sqe + 40, 0, 24);
	sqe->qid = leap_to_le16(1);
	sqe->sqsize = leap_to_le16(sqsize);
	sqe->cattr = cattr;
}

static void expect_rsp(struct peer *p, uint16_t cid, leap_status_t status)
{
	peer_expect(p, LEAP_TCP_RSP);
	assert_int_equal(leap_from_le16(p->pdu.rsp.cqe.cid), cid);
	if (leap_cqe_status(&p->pdu.rsp.cqe) != status)
		fail_msg("status %x instead of %x",
			 leap_cqe_status(&p->pdu.rsp.cqe), status);
}

static void send_connect(struct peer *p, uint8_t cattr, uint16_t sqsize)
{
	struct leap_connect_data data;
	union leap__tcp_pdu pdu;

	memset(&data, 1, sizeof(data));
	connect_pdu(&pdu, cattr, sqsize);
	peer_pdu(p, &pdu, &data, sizeof(data));
	expect_rsp(p, 0x4321, 0);
	assert_int_equal(leap_from_le16(p->pdu.rsp.cqe.sqhd),
			 cattr & LEAP_CATTR_NO_SQFLOW ? 0xffff : 1);
	assert_memory_equal(&p->f->target.data, &data, sizeof(data));
}

/* A connected peer with @dgst and MAXR2T. */
static void ready_peer(struct world *w, uint8_t hpda, uint8_t dgst,
		       uint32_t maxr2t, uint8_t cattr)
{
	new_peer(w);
	send_ic(w->p, hpda, dgst, maxr2t);
	send_connect(w->p, cattr, 7);
}

static uint8_t *pattern(uint32_t bytes, unsigned int seed)
{
	uint8_t *data = malloc(bytes);
	uint32_t i;

	assert_non_null(data);
	for (i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i * 7 + i / 251 + seed);
	return data;
}

static void send_read(struct peer *p, uint16_t cid, uint32_t at, uint32_t bytes)
{
	union leap__tcp_pdu pdu;

	peer_sqe(&pdu, LEAP_NVM_READ, cid, at, bytes, SGL_STREAM);
	peer_pdu(p, &pdu, NULL, 0);
}

static void expect_data(struct peer *p, uint16_t cid, const void *data,
			uint32_t bytes, uint8_t flags)
{
	peer_expect(p, LEAP_TCP_C2H_DATA);
	assert_int_equal(leap_from_le16(p->pdu.data.cccid), cid);
	assert_int_equal(leap_from_le32(p->pdu.data.datao), 0);
	assert_int_equal(leap_from_le32(p->pdu.data.datal), bytes);
	assert_int_equal(p->pdu.hdr.flags & (LEAP_TCP_F_LAST |
					     LEAP_TCP_F_SUCCESS), flags);
	assert_int_equal(p->bytes, bytes);
	assert_memory_equal(p->data, data, bytes);
}

static void test_in_capsule(void **state)
{
	uint8_t *data = pattern(8192, 3);
	union leap__tcp_pdu pdu;
	struct world w;
	uint8_t dgst;

	open_world(&w, 16, 65536);
	for (dgst = 0; dgst < 4; dgst++) {
		ready_peer(&w, 0, dgst, 0, 0);
		peer_sqe(&pdu, LEAP_NVM_WRITE, 7, 4096, 8192, SGL_CAPSULE);
		peer_pdu(w.p, &pdu, data, 8192);
		expect_rsp(w.p, 7, 0);
		assert_int_equal(leap_from_le16(w.p->pdu.rsp.cqe.sqhd), 2);
		assert_int_equal(leap_from_le16(w.p->pdu.rsp.cqe.sqid), 1);
		assert_memory_equal(w.f.disk + 4096, data, 8192);
		/* an offset into the capsule */
		peer_sqe(&pdu, LEAP_NVM_WRITE, 8, 0, 100, SGL_CAPSULE);
		pdu.cmd.sqe.sgl1.addr = leap_to_le64(500);
		peer_pdu(w.p, &pdu, data, 600);
		expect_rsp(w.p, 8, 0);
		assert_memory_equal(w.f.disk, data + 500, 100);
		send_read(w.p, 9, 4096, 8192);
		expect_data(w.p, 9, data, 8192, LEAP_TCP_F_LAST);
		expect_rsp(w.p, 9, 0);
		end_peer(&w);
	}
	close_world(&w);
	free(data);
}

static void test_hpda(void **state)
{
	uint8_t *data = pattern(5000, 9);
	struct world w;
	uint8_t hpda;

	open_world(&w, 16, 65536);
	for (hpda = 0; hpda <= LEAP_TCP_MAX_PDA; hpda++) {
		ready_peer(&w, hpda, hpda & 3, 0, 0);
		memcpy(w.f.disk, data, 5000);
		send_read(w.p, hpda, 0, 5000);
		expect_data(w.p, hpda, data, 5000, LEAP_TCP_F_LAST);
		assert_int_equal(w.p->pdu.hdr.pdo % LEAP_TCP_PDU_ALIGN(hpda), 0);
		assert_int_equal(w.p->pdu.hdr.pdo,
				 leap__tcp_pdo(24, hpda & 1, hpda));
		expect_rsp(w.p, hpda, 0);
		end_peer(&w);
	}
	close_world(&w);
	free(data);
}

static void test_success_flag(void **state)
{
	union leap__tcp_pdu pdu;
	struct world w;

	open_world(&w, 16, 65536);
	ready_peer(&w, 0, 0, 0, LEAP_CATTR_NO_SQFLOW);
	send_read(w.p, 1, 0, 4096);
	expect_data(w.p, 1, w.f.disk, 4096,
		    LEAP_TCP_F_LAST | LEAP_TCP_F_SUCCESS);
	/* A result needs its response. */
	peer_sqe(&pdu, LEAP_NVM_READ, 2, 0, 512, SGL_STREAM);
	pdu.cmd.sqe.cdw13 = leap_to_le32(5);
	peer_pdu(w.p, &pdu, NULL, 0);
	expect_data(w.p, 2, w.f.disk, 512, LEAP_TCP_F_LAST);
	expect_rsp(w.p, 2, 0);
	assert_int_equal(leap_from_le64(w.p->pdu.rsp.cqe.result), 5);
	assert_int_equal(w.p->pdu.rsp.cqe.sqhd, 0);
	/* A failed read sends no data. */
	w.f.fail = LEAP_SC_UNRECOVERED_READ;
	send_read(w.p, 3, 0, 4096);
	expect_rsp(w.p, 3, LEAP_SC_UNRECOVERED_READ);
	end_peer(&w);
	close_world(&w);
}

static uint16_t expect_r2t(struct peer *p, uint16_t cid, uint32_t at,
			   uint32_t bytes)
{
	peer_expect(p, LEAP_TCP_R2T);
	assert_int_equal(leap_from_le16(p->pdu.r2t.cccid), cid);
	assert_int_equal(leap_from_le32(p->pdu.r2t.r2to), at);
	assert_int_equal(leap_from_le32(p->pdu.r2t.r2tl), bytes);
	return leap_from_le16(p->pdu.r2t.ttag);
}

static void send_write(struct peer *p, uint16_t cid, uint32_t at,
		       uint32_t bytes)
{
	union leap__tcp_pdu pdu;

	peer_sqe(&pdu, LEAP_NVM_WRITE, cid, at, bytes, SGL_STREAM);
	peer_pdu(p, &pdu, NULL, 0);
}

static void send_h2c(struct peer *p, uint16_t cid, uint16_t ttag, uint32_t at,
		     const uint8_t *data, uint32_t bytes, int last)
{
	union leap__tcp_pdu pdu;

	peer_data(&pdu, LEAP_TCP_H2C_DATA, cid, ttag, at, bytes,
		  last ? LEAP_TCP_F_LAST : 0);
	peer_pdu(p, &pdu, data + at, bytes);
}

static void some_polls(struct peer *p)
{
	int i;

	for (i = 0; i < 20; i++)
		peer_poll(p);
}

/* Nothing comes for some polls. */
static void expect_silence(struct peer *p)
{
	uint8_t byte;

	some_polls(p);
	assert_int_equal(recv(p->fd, &byte, 1, MSG_PEEK), -1);
	assert_int_equal(errno, EAGAIN);
}

static void test_r2t(void **state)
{
	uint8_t *data = pattern(1 << 20, 1);
	struct world w;
	uint16_t tag;
	uint8_t dgst;

	open_world(&w, 32, 65536);
	for (dgst = 0; dgst < 4; dgst++) {
		/* One at a time: one for all, whatever its size. */
		ready_peer(&w, 0, dgst, 0, 0);
		send_write(w.p, 1, 0, 1 << 20);
		tag = expect_r2t(w.p, 1, 0, 1 << 20);
		expect_silence(w.p);
		send_h2c(w.p, 1, tag, 0, data, 1000, 0);
		send_h2c(w.p, 1, tag, 1000, data, 500000, 0);
		send_h2c(w.p, 1, tag, 501000, data, (1 << 20) - 501000, 1);
		expect_rsp(w.p, 1, 0);
		assert_memory_equal(w.f.disk, data, 1 << 20);
		end_peer(&w);
		/* Three at a time. */
		ready_peer(&w, 0, dgst, 2, 0);
		send_write(w.p, 2, 0, 300000);
		tag = expect_r2t(w.p, 2, 0, 65536);
		expect_r2t(w.p, 2, 65536, 65536);
		expect_r2t(w.p, 2, 131072, 65536);
		expect_silence(w.p);
		send_h2c(w.p, 2, tag, 0, data, 65536, 1);
		tag = expect_r2t(w.p, 2, 196608, 65536);
		expect_silence(w.p);
		send_h2c(w.p, 2, tag, 65536, data, 65536, 1);
		expect_r2t(w.p, 2, 262144, 300000 - 262144);
		send_h2c(w.p, 2, tag, 131072, data, 65536, 1);
		send_h2c(w.p, 2, tag, 196608, data, 65536, 1);
		send_h2c(w.p, 2, tag, 262144, data, 300000 - 262144, 1);
		expect_rsp(w.p, 2, 0);
		assert_memory_equal(w.f.disk, data, 300000);
		end_peer(&w);
	}
	close_world(&w);
	free(data);
}

/* The same CID twice: each R2T has a tag of its own. */
static void test_same_cid(void **state)
{
	uint8_t *one = pattern(20000, 1), *two = pattern(20000, 2);
	uint16_t a, b;
	struct world w;

	open_world(&w, 16, 65536);
	ready_peer(&w, 0, 0, 0, 0);
	send_write(w.p, 5, 0, 20000);
	send_write(w.p, 5, 100000, 20000);
	a = expect_r2t(w.p, 5, 0, 20000);
	b = expect_r2t(w.p, 5, 0, 20000);
	assert_int_not_equal(a, b);
	send_h2c(w.p, 5, b, 0, two, 20000, 1);
	expect_rsp(w.p, 5, 0);
	send_h2c(w.p, 5, a, 0, one, 20000, 1);
	expect_rsp(w.p, 5, 0);
	assert_memory_equal(w.f.disk, one, 20000);
	assert_memory_equal(w.f.disk + 100000, two, 20000);
	end_peer(&w);
	close_world(&w);
	free(one);
	free(two);
}

static void flip(struct peer *p, union leap__tcp_pdu *pdu, const void *data,
		 uint32_t bytes, uint32_t where)
{
	uint8_t *out = malloc(256 + bytes);
	uint32_t n;

	assert_non_null(out);
	n = peer_build(p, out, pdu, data, bytes);
	out[where < n ? where : n - 1] ^= 0x10;
	peer_send(p, out, n);
	free(out);
}

/* A bad data digest fails its command and nothing else. */
static void test_data_digest(void **state)
{
	uint8_t *data = pattern(40000, 1);
	union leap__tcp_pdu pdu;
	struct world w;
	uint16_t tag;

	open_world(&w, 16, 65536);
	ready_peer(&w, 0, 3, 0, 0);
	peer_sqe(&pdu, LEAP_NVM_WRITE, 1, 0, 512, SGL_CAPSULE);
	flip(w.p, &pdu, data, 512, 100);
	expect_rsp(w.p, 1, LEAP_SC_TRANSIENT_TRANSPORT);
	assert_int_equal(w.f.executed, 0);
	send_write(w.p, 2, 0, 40000);
	tag = expect_r2t(w.p, 2, 0, 40000);
	peer_data(&pdu, LEAP_TCP_H2C_DATA, 2, tag, 0, 20000, 0);
	flip(w.p, &pdu, data, 20000, 1u << 30);
	send_h2c(w.p, 2, tag, 20000, data, 20000, 1);
	expect_rsp(w.p, 2, LEAP_SC_TRANSIENT_TRANSPORT);
	assert_int_equal(w.f.disk[1], 0);
	peer_sqe(&pdu, LEAP_NVM_WRITE, 3, 0, 512, SGL_CAPSULE);
	peer_pdu(w.p, &pdu, data, 512);
	expect_rsp(w.p, 3, 0);
	end_peer(&w);
	close_world(&w);
	free(data);
}

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
	CAPSULE_TOO_LONG, DATA_TOO_LONG, DATA_NO_R2T, DATA_TAG, DATA_CID,
	DATA_AT, DATA_OVER, DATA_NOT_LAST, DATA_LAST, DATA_DATAL, TOO_DEEP,
	NR_BAD
};

static void send_bad(struct world *w, enum bad what, union leap__tcp_pdu *pdu,
		     uint16_t *fes, uint32_t *fei)
{
	static uint8_t data[16384];
	struct peer *p = w->p;
	uint16_t tag = 0;
	uint32_t n = 1000, at = 0;
	int i;

	*fes = LEAP_TCP_FES_HDR_FIELD;
	*fei = 0;
	if (what >= DATA_TOO_LONG && what <= DATA_DATAL &&
	    what != DATA_NO_R2T) {
		send_write(p, 1, 0, 10000);
		tag = expect_r2t(p, 1, 0, 10000);
	}
	peer_sqe(pdu, LEAP_NVM_READ, 1, 0, 512, SGL_STREAM);
	switch (what) {
	case BAD_TYPE:
		pdu->hdr.type = LEAP_TCP_RSP;
		break;
	case BAD_HLEN:
		pdu->hdr.hlen = 64;
		*fei = 2;
		break;
	case BAD_FLAGS:
		pdu->hdr.flags = LEAP_TCP_F_DDGST;
		*fei = 1;
		break;
	case BAD_PDO:
		pdu->hdr.plen = leap_to_le32(100);
		pdu->hdr.pdo = 70;
		*fei = 3;
		break;
	case BAD_PLEN:
		pdu->hdr.plen = leap_to_le32(60);
		*fei = 4;
		break;
	case SECOND_IC:
		peer_hdr(pdu, LEAP_TCP_IC_REQ, 0, sizeof(pdu->ic_req));
		*fes = LEAP_TCP_FES_SEQUENCE;
		break;
	case CAPSULE_TOO_LONG:
		peer_sqe(pdu, LEAP_NVM_WRITE, 1, 0, 8193, SGL_CAPSULE);
		pdu->hdr.pdo = 72;
		pdu->hdr.plen = leap_to_le32(72 + 8193);
		peer_send(p, pdu, 72);
		peer_send(p, data, 8193);
		*fes = LEAP_TCP_FES_LIMIT;
		return;
	case DATA_TOO_LONG:
		peer_data(pdu, LEAP_TCP_H2C_DATA, 1, tag, 0, (1 << 20) + 1, 4);
		pdu->hdr.pdo = 24;
		pdu->hdr.plen = leap_to_le32(24 + (1 << 20) + 1);
		peer_send(p, pdu, 24);
		*fes = LEAP_TCP_FES_LIMIT;
		return;
	case TOO_DEEP:
		/* SQSIZE 7 is 8 entries; the ninth is one too many. */
		w->f.delay = 1u << 30;
		for (i = 0; i < 8; i++)
			send_read(p, (uint16_t)i, 0, 512);
		*fes = LEAP_TCP_FES_SEQUENCE;
		peer_send(p, pdu, 72);
		return;
	default:
		break;
	}
	if (what < DATA_NO_R2T) {
		peer_send(p, pdu, what == SECOND_IC ? 128 : 72);
		return;
	}
	/* Data PDUs that the codec finds nothing wrong with. */
	*fes = what <= DATA_CID ? LEAP_TCP_FES_SEQUENCE : LEAP_TCP_FES_RANGE;
	if (what == DATA_TAG)
		tag ^= 0x80;
	if (what == DATA_AT)
		at = 4;
	if (what == DATA_OVER)
		n = 10001;
	if (what == DATA_NOT_LAST)
		n = 10000;
	peer_data(pdu, LEAP_TCP_H2C_DATA, what == DATA_CID ? 2 : 1, tag, at, n,
		  what == DATA_LAST || what == DATA_OVER ? LEAP_TCP_F_LAST : 0);
	if (what >= DATA_NOT_LAST) {
		*fes = LEAP_TCP_FES_HDR_FIELD;
		*fei = what == DATA_DATAL ? 16 : 1;
	}
	if (what == DATA_DATAL)
		pdu->data.datal = leap_to_le32(n - 1);
	pdu->hdr.pdo = 24;
	pdu->hdr.plen = leap_to_le32(24 + n);
	peer_send(p, pdu, 24);
	peer_send(p, data, n);
}

static void test_refused(void **state)
{
	union leap__tcp_pdu pdu;
	struct world w;
	uint16_t fes;
	uint32_t fei;
	int what;

	open_world(&w, 16, 65536);
	for (what = 0; what < NR_BAD; what++) {
		ready_peer(&w, 0, 0, 0, 0);
		send_bad(&w, what, &pdu, &fes, &fei);
		peer_expect_term(w.p, LEAP_TCP_C2H_TERM, fes, fei, &pdu);
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
	peer_expect_term(w.p, LEAP_TCP_C2H_TERM, LEAP_TCP_FES_SEQUENCE, 0, &pdu);
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

/* The data of a Connect may be asked for like any other. */
static void test_connect_by_r2t(void **state)
{
	struct leap_connect_data data;
	union leap__tcp_pdu pdu, flush;
	struct world w;
	uint16_t ttag;

	open_world(&w, 16, 65536);
	memset(&data, 1, sizeof(data));
	connect_pdu(&pdu, 0, 7);
	pdu.cmd.sqe.sgl1.type = SGL_STREAM;
	new_peer(&w);
	send_ic(w.p, 0, 0, 0);
	peer_pdu(w.p, &pdu, NULL, 0);
	ttag = expect_r2t(w.p, 0x4321, 0, sizeof(data));
	send_h2c(w.p, 0x4321, ttag, 0, (uint8_t *)&data, sizeof(data), 1);
	expect_rsp(w.p, 0x4321, 0);
	assert_memory_equal(&w.f.target.data, &data, sizeof(data));
	peer_sqe(&flush, LEAP_NVM_FLUSH, 9, 0, 0, SGL_STREAM);
	peer_pdu(w.p, &flush, NULL, 0);
	expect_rsp(w.p, 9, 0);
	end_peer(&w);
	/* A peer that goes without it is gone at once. */
	new_peer(&w);
	send_ic(w.p, 0, 0, 0);
	peer_pdu(w.p, &pdu, NULL, 0);
	expect_r2t(w.p, 0x4321, 0, sizeof(data));
	end_peer(&w);
	/* And a command in the place of it is none. */
	new_peer(&w);
	send_ic(w.p, 0, 0, 0);
	peer_pdu(w.p, &pdu, NULL, 0);
	expect_r2t(w.p, 0x4321, 0, sizeof(data));
	peer_pdu(w.p, &flush, NULL, 0);
	peer_expect_term(w.p, LEAP_TCP_C2H_TERM, LEAP_TCP_FES_SEQUENCE, 0,
			 &flush);
	end_peer(&w);
	close_world(&w);
}

/* Nothing that the end under test sends goes out; returns the bytes of junk
 * that are to be read before it does. */
static uint32_t fill_socket(struct world *w)
{
	static const uint8_t junk[4096];
	uint32_t bytes = 0;
	ssize_t n;

	while ((n = send(w->f.fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0)
		bytes += (uint32_t)n;
	assert_int_equal(errno, EAGAIN);
	return bytes;
}

static void drain_socket(struct world *w, uint32_t bytes)
{
	uint8_t junk[4096];
	ssize_t n;

	while (bytes) {
		n = recv(w->p->fd, junk, bytes < sizeof(junk) ?
			 bytes : sizeof(junk), 0);
		assert_true(n > 0);
		bytes -= (uint32_t)n;
	}
}

/*
 * The first command of a connection has the first slot, in its first use: a
 * host need not have seen the R2T to answer it.
 */
#define TAG_FIRST (1 << 7)

/* Connect with its data, while the R2T is still on its way out. */
static uint32_t guess_r2t(struct world *w, struct leap_connect_data *data)
{
	union leap__tcp_pdu pdu;
	uint32_t junk;
	int unread;

	new_peer(w);
	send_ic(w->p, 0, 0, 0);
	junk = fill_socket(w);
	connect_pdu(&pdu, 0, 7);
	pdu.cmd.sqe.sgl1.type = SGL_STREAM;
	peer_pdu(w->p, &pdu, NULL, 0);
	some_polls(w->p);
	send_h2c(w->p, 0x4321, TAG_FIRST, 0, (uint8_t *)data, sizeof(*data),
		 1);
	some_polls(w->p);
	assert_int_equal(ioctl(w->p->fd, TIOCOUTQ, &unread), 0);
	assert_int_equal(unread, 0);
	/* A Connect moves its queue pair, which cannot be while it sends. */
	assert_false(w->f.target.vqp->connected);
	return junk;
}

static void test_connect_guesses_r2t(void **state)
{
	struct leap_connect_data data;
	struct world w;

	open_world(&w, 16, 65536);
	memset(&data, 1, sizeof(data));
	drain_socket(&w, guess_r2t(&w, &data));
	assert_int_equal(expect_r2t(w.p, 0x4321, 0, sizeof(data)), TAG_FIRST);
	expect_rsp(w.p, 0x4321, 0);
	assert_memory_equal(&w.f.target.data, &data, sizeof(data));
	end_peer(&w);
	/* One that leaves instead of reading. */
	memset(&w.f.target.data, 0, sizeof(data));
	guess_r2t(&w, &data);
	end_peer(&w);
	assert_memory_not_equal(&w.f.target.data, &data, sizeof(data));
	close_world(&w);
}

/* A host that asks for much and reads nothing for a while. */
static void test_slow_reader(void **state)
{
	uint8_t *data = pattern(200000, 4);
	struct world w;
	uint16_t i;
	int n;

	open_world(&w, 16, 65536);
	ready_peer(&w, 0, 2, 0, 0);
	memcpy(w.f.disk, data, 200000);
	for (i = 0; i < 8; i++)
		send_read(w.p, i, i, 190000);
	for (n = 0; n < 1000; n++)
		peer_poll(w.p);
	for (i = 0; i < 8; i++) {
		expect_data(w.p, i, data + i, 190000, LEAP_TCP_F_LAST);
		expect_rsp(w.p, i, 0);
	}
	end_peer(&w);
	close_world(&w);
	free(data);
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
		cmocka_unit_test(test_in_capsule),
		cmocka_unit_test(test_hpda),
		cmocka_unit_test(test_success_flag),
		cmocka_unit_test(test_r2t),
		cmocka_unit_test(test_same_cid),
		cmocka_unit_test(test_data_digest),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_early),
		cmocka_unit_test(test_connect_by_r2t),
		cmocka_unit_test(test_connect_guesses_r2t),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
