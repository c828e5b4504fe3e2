/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end of NVMe/TCP against any stream of bytes, with two reads and two
 * writes in flight. Each request comes back once, whatever the peer says.
 */
#include "fuzz-tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <leapio/qp.h>

#define NR 4
#define BYTES 1000

static struct leap_pollgroup *pg;
static struct leap_qp *qp;
static struct leap_req reqs[NR];
static struct leap_piece pieces[NR];
static uint8_t payload[NR][BYTES];
static unsigned int done, accepted, connected, closed;
static int listener = -1;
static struct sockaddr_in addr;

static void on_done(struct leap_req *req)
{
	done++;
	FUZZ_CHECK(done <= accepted);
}

static void on_connected(struct leap_qp *q, leap_status_t status, int err,
			 void *arg)
{
	struct leap_req *list[NR];
	int i, n;

	connected++;
	if (status)
		return;
	for (i = 0; i < NR; i++) {
		memset(&reqs[i], 0, sizeof(reqs[i]));
		reqs[i].sqe.opc = i & 1 ? LEAP_NVM_WRITE : LEAP_NVM_READ;
		pieces[i].addr = payload[i];
		pieces[i].len_bytes = BYTES;
		reqs[i].pieces = &pieces[i];
		reqs[i].nr_pieces = 1;
		reqs[i].done = on_done;
		list[i] = &reqs[i];
	}
	n = leap_qp_submit(q, list, NR);
	FUZZ_CHECK(n == NR);
	accepted = (unsigned int)n;
}

static void on_closed(void *arg)
{
	closed++;
}

static void step(void)
{
}

static void init(void)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;
	socklen_t len = sizeof(addr);

	if (pg)
		return;
	opts.world = LEAP_WORLD_EPOLL;
	opts.nr_bufs = 1;
	opts.buf_bytes = 4096;
	FUZZ_CHECK(!leap_pollgroup_create(&opts, &pg));
	addr.sin_family = AF_INET;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(!bind(listener, (struct sockaddr *)&addr, len));
	FUZZ_CHECK(!listen(listener, 16));
	FUZZ_CHECK(!getsockname(listener, (struct sockaddr *)&addr, &len));
}

static void wait_for(int fd, uint32_t bytes)
{
	static uint8_t bin[8192];
	uint32_t have = 0;
	ssize_t n;

	while (have < bytes) {
		leap_pollgroup_poll(pg, 0);
		n = recv(fd, bin, bytes - have, MSG_DONTWAIT);
		FUZZ_CHECK(n);
		if (n > 0)
			have += (uint32_t)n;
	}
}

static void handshake(int fd, uint8_t how, uint8_t more)
{
	union leap__tcp_pdu pdu;
	uint8_t out[256];
	uint32_t n;

	wait_for(fd, 128);
	memset(&pdu, 0, sizeof(pdu));
	pdu.hdr.type = LEAP_TCP_IC_RESP;
	pdu.hdr.hlen = 128;
	pdu.ic_resp.dgst = how >> 1 & 3;
	pdu.ic_resp.maxh2cdata = leap_to_le32(4096);
	n = fuzz_pdu(out, 0, &pdu, NULL, 0);
	fuzz_feed(fd, pg, 0, out, n, step);
	/* The CID of the first command: slot 0, first generation. */
	memset(&pdu, 0, sizeof(pdu));
	pdu.hdr.type = LEAP_TCP_RSP;
	pdu.hdr.hlen = 24;
	pdu.rsp.cqe.cid = leap_to_le16(1u << 3);
	pdu.rsp.cqe.sqhd = leap_to_le16(more & FUZZ_NO_FLOW ? 0xffff : 1);
	n = fuzz_pdu(out, how, &pdu, NULL, 0);
	fuzz_feed(fd, pg, 0, out, n, step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	char url[128];
	int fd, i;

	if (size < 2)
		return 0;
	init();
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%u/"
		 "nqn.2014-08.org.example:disk", ntohs(addr.sin_port));
	done = accepted = connected = closed = 0;
	opts.url = url;
	opts.qid = 1;
	opts.cntlid = 1;
	opts.depth = 8;
	opts.flags = (data[0] & FUZZ_HDGST ? LEAP_QP_HEADER_DIGEST : 0) |
		     (data[0] & FUZZ_DDGST ? LEAP_QP_DATA_DIGEST : 0) |
		     (data[1] & FUZZ_NO_FLOW ? LEAP_QP_NO_SQ_FLOW : 0);
	opts.inline_bytes = data[1] >> 4 ? 4096 : 0;
	opts.connected = on_connected;
	FUZZ_CHECK(!leap_qp_connect(pg, &opts, &qp));
	leap_pollgroup_poll(pg, 0);
	fd = accept(listener, NULL, NULL);
	FUZZ_CHECK(fd >= 0);
	if (data[0] & FUZZ_HANDSHAKE)
		handshake(fd, data[0], data[1]);
	fuzz_feed(fd, pg, data[0], data + 2, size - 2, step);
	for (i = 0; i < 5; i++)
		leap_pollgroup_poll(pg, 0);
	if (data[1] & FUZZ_LATER)
		close(fd);
	leap_qp_close(qp, on_closed, NULL);
	while (!closed)
		leap_pollgroup_poll(pg, 0);
	FUZZ_CHECK(done == accepted && connected <= 1);
	if (!(data[1] & FUZZ_LATER))
		close(fd);
	return 0;
}
