/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp-host-world.h - a host end and a controller (tcp-peer.h) that speaks to it
 * by hand, one PDU at a time
 */
#ifndef LEAP_TESTS_TCP_HOST_WORLD_H
#define LEAP_TESTS_TCP_HOST_WORLD_H

#include "tcp-peer.h"

#define BYTES 20000u
#define NR_REQS 8

struct host_req {
	struct leap_req req;
	struct leap_piece pieces[2];
	uint8_t data[BYTES];
	unsigned int done;
};

struct host {
	struct leap_pollgroup *pg;
	struct leap_qp *qp;
	struct peer *p;
	int listener;
	struct host_req reqs[NR_REQS];
	unsigned int connected, lost, closed;
	leap_status_t status;
	int sys_errno;
};

/* Every combination of digests, and one without flow control of its queue. */
static const uint32_t all_flags[] = {
	0, LEAP_QP_HEADER_DIGEST, LEAP_QP_DATA_DIGEST,
	LEAP_QP_HEADER_DIGEST | LEAP_QP_DATA_DIGEST | LEAP_QP_NO_SQ_FLOW,
};

struct host *host_new(void);
void host_free(struct host *h);
/* Its connection is there; nothing has been said. */
void host_open(struct host *h, uint32_t flags, uint32_t inline_bytes);
/* The same, and ICReq and Connect have been answered. */
void host_ready(struct host *h, uint32_t flags, uint8_t cpda, uint32_t maxh2c,
		uint32_t inline_bytes);
void host_end(struct host *h);
/* The connection ends on the controller's side. */
void host_cut(struct host *h);

/* The digests that leap_qp_opts.flags ask for, as ICReq has them. */
uint8_t asked(uint32_t flags);
void ic_resp(union leap__tcp_pdu *pdu, uint8_t cpda, uint8_t dgst,
	     uint32_t maxh2c);
void answer_ic(struct host *h, uint32_t flags, uint8_t cpda, uint32_t maxh2c);
void answer_connect(struct host *h, uint32_t flags);
void send_rsp(struct peer *p, uint16_t cid, leap_status_t status,
	      uint16_t sqhd);
void send_r2t(struct peer *p, uint16_t cid, uint16_t tag, uint32_t at,
	      uint32_t bytes);
void send_c2h(struct peer *p, uint16_t cid, uint32_t at, const uint8_t *data,
	      uint32_t bytes, uint8_t flags);

/* Submit request @i, whose data is its own or @data, and receive its capsule;
 * returns its CID. */
uint16_t submit(struct host *h, unsigned int i, uint8_t opc, uint32_t bytes);
uint16_t submit_data(struct host *h, unsigned int i, uint8_t opc,
		     uint8_t *data, uint32_t bytes);
void wait_done(struct host *h, unsigned int i, leap_status_t status);
void wait_lost(struct host *h, int err);
void on_connected(struct leap_qp *qp, leap_status_t status, int sys_errno,
		  void *arg);

void fill(uint8_t *data, uint32_t bytes, unsigned int seed);

#endif
