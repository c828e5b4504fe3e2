/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands of any kind with any payload, to a real target: fabrics, admin and
 * I/O. PDUs around them are well-formed, so that all of them arrive.
 *
 * Byte 0: 1 Connect first, 2 and enable, 4 and an I/O queue. Then for each
 * command: a byte (1: to the I/O queue, 2: a Connect by the book with the SQE
 * as a mask over it, 4: R2Ts are answered), two bytes of payload length, 64 of
 * SQE, payload.
 */
#include "fuzz-target.h"

#include "transport/tcp/tcp.h"

static struct fuzz_target f;
static uint8_t in[2][131072];
static uint32_t have[2];
static int fds[2];
static uint16_t cntlid;

static void open_queue(int i)
{
	static const struct leap__tcp_limits limits = { 65536, 8192, 16 };
	struct leap__world *w = leap__pollgroup_world(f.pg);
	struct leap__wfd *wfd;
	struct leap_vqp *vqp;
	int pair[2];

	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	FUZZ_CHECK(!w->ops->adopt(w, pair[0], &wfd));
	FUZZ_CHECK(!leap__tcp_target_start(f.pg, &limits, f.listener, wfd,
					   &vqp));
	fds[i] = pair[1];
	have[i] = 0;
}

static void put(int i, const void *bytes, size_t n)
{
	uint32_t tries;
	const uint8_t *at = bytes;
	ssize_t did;

	for (tries = 0; n && tries < 1000; tries++) {
		did = send(fds[i], at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (did > 0) {
			at += did;
			n -= (size_t)did;
		}
		leap_pollgroup_poll(f.pg, 0);
	}
}

/* Zeros, as much as an R2T asks for. */
static void answer(int i, const struct leap_tcp_r2t *r2t)
{
	static uint8_t zero[65536];
	union leap__tcp_pdu pdu;
	uint32_t n = leap_from_le32(r2t->r2tl);

	FUZZ_CHECK(n && n <= sizeof(zero));
	memset(&pdu, 0, sizeof(pdu));
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_H2C_DATA, LEAP_TCP_F_LAST, 24, 24,
		      24 + n);
	pdu.data.cccid = r2t->cccid;
	pdu.data.ttag = r2t->ttag;
	pdu.data.datao = r2t->r2to;
	pdu.data.datal = r2t->r2tl;
	put(i, &pdu, 24);
	put(i, zero, n);
}

/* What the target says has to be whole PDUs. */
static void hear(int i, int answers)
{
	union leap__tcp_pdu pdu;
	uint32_t plen;
	ssize_t n;

	leap_pollgroup_poll(f.pg, 0);
	while ((n = recv(fds[i], in[i] + have[i], sizeof(in[i]) - have[i],
			 MSG_DONTWAIT)) > 0) {
		have[i] += (uint32_t)n;
		while (have[i] >= 8) {
			memcpy(&pdu, in[i], 8);
			plen = leap_from_le32(pdu.hdr.plen);
			FUZZ_CHECK(plen >= 8 && pdu.hdr.hlen <= plen);
			FUZZ_CHECK(pdu.hdr.hlen <= 128 && plen < 70000);
			if (have[i] < plen && have[i] < sizeof(in[i]))
				break;
			FUZZ_CHECK(plen <= have[i]);
			memcpy(&pdu, in[i], pdu.hdr.hlen);
			if (pdu.hdr.type == LEAP_TCP_RSP && i == 0 && !cntlid)
				cntlid = (uint16_t)leap_from_le64(
					pdu.rsp.cqe.result);
			have[i] -= plen;
			memmove(in[i], in[i] + plen, have[i]);
			if (pdu.hdr.type == LEAP_TCP_R2T && answers)
				answer(i, &pdu.r2t);
		}
		leap_pollgroup_poll(f.pg, 0);
	}
}

static void shake(int i)
{
	union leap__tcp_pdu pdu;

	memset(&pdu, 0, sizeof(pdu));
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_IC_REQ, 0, 128, 0, 128);
	put(i, &pdu, 128);
	hear(i, 0);
}

static void send_command(int i, const void *sqe, const void *data,
			 uint32_t bytes)
{
	union leap__tcp_pdu pdu;

	memset(&pdu, 0, sizeof(pdu));
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_CMD, 0, 72,
		      (uint8_t)(bytes ? 72 : 0), 72 + bytes);
	memcpy(&pdu.cmd.sqe, sqe, 64);
	put(i, &pdu, 72);
	put(i, data, bytes);
	hear(i, 0);
}

static void join(int i)
{
	struct leap_connect_data d;
	struct leap_fab_connect c;

	fuzz_connect(&c, &d, (uint16_t)i, i ? cntlid : 0xffff, 16);
	send_command(i, &c, &d, sizeof(d));
}

/* A Connect with some bits of command and data changed. */
static void bent_connect(int i, const uint8_t *sqe, const uint8_t *data,
			 uint32_t bytes)
{
	struct leap_connect_data d;
	struct leap_fab_connect c;
	uint32_t j;

	fuzz_connect(&c, &d, (uint16_t)i, i ? cntlid : 0xffff, 16);
	for (j = 0; j < sizeof(c); j++)
		((uint8_t *)&c)[j] ^= sqe[j];
	for (j = 0; j < bytes && j < sizeof(d); j++)
		((uint8_t *)&d)[j] ^= data[j];
	send_command(i, &c, &d, sizeof(d));
}

static void commands(const uint8_t *data, size_t size)
{
	uint32_t bytes;
	int i;

	while (size >= 67) {
		i = data[0] & 1;
		bytes = data[1] | (uint32_t)data[2] << 8;
		bytes %= 8193;
		if (bytes > size - 67)
			bytes = (uint32_t)(size - 67);
		if (data[0] & 2)
			bent_connect(i, data + 3, data + 67, bytes);
		else
			send_command(i, data + 3, data + 67, bytes);
		hear(i, data[0] & 4);
		data += 67 + bytes;
		size -= 67 + bytes;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leap_fab_prop_set set;
	int i;

	if (size < 68)
		return 0;
	fuzz_target_init(&f, "tcp://127.0.0.1:0");
	cntlid = 0;
	open_queue(0);
	open_queue(1);
	shake(0);
	shake(1);
	if (data[0] & 1)
		join(0);
	if (data[0] & 2) {
		fuzz_enable(&set);
		send_command(0, &set, NULL, 0);
	}
	if (data[0] & 4)
		join(1);
	commands(data + 1, size - 1);
	for (i = 0; i < 2; i++) {
		hear(i, 0);
		close(fds[i]);
	}
	fuzz_target_settle(&f);
	return 0;
}
