/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp-world.h - a controller end and a host (tcp-peer.h) that speaks to it by
 * hand, one PDU at a time
 */
#ifndef LEAP_TESTS_TCP_WORLD_H
#define LEAP_TESTS_TCP_WORLD_H

#include "tcp-peer.h"

#include <leapio/nvmf.h>

struct world {
	struct leap_pollgroup *pg;
	struct tcp_fixture f;
	struct peer *p;
};

static inline void open_world(struct world *w, uint32_t bufs,
			      uint32_t buf_bytes)
{
	memset(w, 0, sizeof(*w));
	w->pg = tcp_pollgroup(bufs, buf_bytes);
	w->p = malloc(sizeof(*w->p));
	assert_non_null(w->p);
}

static inline void new_peer(struct world *w)
{
	peer_start(w->p, tcp_fixture_pair(&w->f, w->pg), w->pg, &w->f);
}

/* Close the peer, and see everything go back. */
static inline void end_peer(struct world *w)
{
	struct leap_pollgroup_stats st = { sizeof(st) };

	close(w->p->fd);
	TCP_WAIT(w->f.target.gone == w->f.target.accepted, peer_poll(w->p));
	assert_int_equal(w->f.target.gone, w->f.target.accepted);
	assert_int_equal(leap_pollgroup_stats(w->pg, &st), 0);
	assert_int_equal(st.cmds_in_use, 0);
	assert_int_equal(st.bufs_in_use, 0);
}

static inline void close_world(struct world *w)
{
	tcp_fixture_stop(&w->f);
	free(w->p);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
}

static inline void send_ic(struct peer *p, uint8_t hpda, uint8_t dgst,
			   uint32_t maxr2t)
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

static inline void connect_pdu(union leap__tcp_pdu *pdu, uint8_t cattr,
			       uint16_t sqsize)
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

static inline void expect_rsp(struct peer *p, uint16_t cid,
			      leap_status_t status)
{
	peer_expect(p, LEAP_TCP_RSP);
	assert_int_equal(leap_from_le16(p->pdu.rsp.cqe.cid), cid);
	if (leap_cqe_status(&p->pdu.rsp.cqe) != status)
		fail_msg("status %x instead of %x",
			 leap_cqe_status(&p->pdu.rsp.cqe), status);
}

static inline void send_connect(struct peer *p, uint8_t cattr, uint16_t sqsize)
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
static inline void ready_peer(struct world *w, uint8_t hpda, uint8_t dgst,
			      uint32_t maxr2t, uint8_t cattr)
{
	new_peer(w);
	send_ic(w->p, hpda, dgst, maxr2t);
	send_connect(w->p, cattr, 7);
}

static inline void send_read(struct peer *p, uint16_t cid, uint32_t at,
			     uint32_t bytes)
{
	union leap__tcp_pdu pdu;

	peer_sqe(&pdu, LEAP_NVM_READ, cid, at, bytes, SGL_STREAM);
	peer_pdu(p, &pdu, NULL, 0);
}

static inline uint16_t expect_r2t(struct peer *p, uint16_t cid, uint32_t at,
				  uint32_t bytes)
{
	peer_expect(p, LEAP_TCP_R2T);
	assert_int_equal(leap_from_le16(p->pdu.r2t.cccid), cid);
	assert_int_equal(leap_from_le32(p->pdu.r2t.r2to), at);
	assert_int_equal(leap_from_le32(p->pdu.r2t.r2tl), bytes);
	return leap_from_le16(p->pdu.r2t.ttag);
}

static inline void send_write(struct peer *p, uint16_t cid, uint32_t at,
			      uint32_t bytes)
{
	union leap__tcp_pdu pdu;

	peer_sqe(&pdu, LEAP_NVM_WRITE, cid, at, bytes, SGL_STREAM);
	peer_pdu(p, &pdu, NULL, 0);
}

static inline void send_h2c(struct peer *p, uint16_t cid, uint16_t ttag,
			    uint32_t at, const uint8_t *data, uint32_t bytes,
			    int last)
{
	union leap__tcp_pdu pdu;

	peer_data(&pdu, LEAP_TCP_H2C_DATA, cid, ttag, at, bytes,
		  last ? LEAP_TCP_F_LAST : 0);
	peer_pdu(p, &pdu, data + at, bytes);
}

static inline void some_polls(struct peer *p)
{
	int i;

	for (i = 0; i < 20; i++)
		peer_poll(p);
}

#endif
