/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bad-peer: breaks the protocol where every single PDU is well formed, so that
 * the other end has to send its termination PDU.
 *
 *	bad-peer host PORT	data that no R2T asked for, to a target
 *	bad-peer target PORT	an R2T for no command, to one host
 *
 * exit: 0 the termination PDU came, with the right reason, and then the end of
 * the stream or nothing more; 1 it did not; 2 usage. Sockets and headers only:
 * knows nothing of the library's inside.
 */
#include <leapio/nvme_tcp.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define SECONDS 10

static const char *failed(const char *what)
{
	fprintf(stderr, "bad-peer: %s\n", what);
	return what;
}

static int get(int fd, void *to, size_t n)
{
	char *at = to;

	while (n) {
		ssize_t did = recv(fd, at, n, 0);

		if (did <= 0)
			return 0;
		at += did;
		n -= (size_t)did;
	}
	return 1;
}

static int put(int fd, const void *from, size_t n)
{
	return send(fd, from, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* A PDU, at most @max bytes of it; 0 = none came. */
static uint32_t get_pdu(int fd, void *to, uint32_t max)
{
	struct leap_tcp_hdr hdr;
	uint32_t plen;

	if (!get(fd, &hdr, sizeof(hdr)))
		return 0;
	plen = leap_from_le32(hdr.plen);
	if (plen < sizeof(hdr) || plen > max)
		return 0;
	memcpy(to, &hdr, sizeof(hdr));
	return get(fd, (char *)to + sizeof(hdr), plen - sizeof(hdr)) ? plen : 0;
}

static void header(struct leap_tcp_hdr *hdr, uint8_t type, uint8_t hlen,
		   uint32_t bytes)
{
	hdr->type = type;
	hdr->hlen = hlen;
	hdr->pdo = bytes ? hlen : 0;
	hdr->plen = leap_to_le32(hlen + bytes);
}

/* What comes last: a termination PDU of @type for a PDU out of sequence. */
static const char *expect_term(int fd, uint8_t type)
{
	char pdu[16384];
	struct leap_tcp_term term;
	uint32_t n;

	while ((n = get_pdu(fd, pdu, sizeof(pdu)))) {
		if ((uint8_t)pdu[0] != type)
			continue;
		memcpy(&term, pdu, sizeof(term));
		if (n < sizeof(term) ||
		    leap_from_le16(term.fes) != LEAP_TCP_FES_SEQUENCE)
			return failed("another reason");
		return NULL;
	}
	return failed("no termination PDU");
}

static const char *be_host(const struct sockaddr_in *addr)
{
	struct leap_tcp_ic_req req = { 0 };
	struct leap_tcp_ic_resp resp;
	struct timeval tv = { SECONDS, 0 };
	struct {
		struct leap_tcp_data data;
		char payload[512];
	} pdu = { 0 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return failed("no connection");
	header(&req.hdr, LEAP_TCP_IC_REQ, sizeof(req), 0);
	if (!put(fd, &req, sizeof(req)) || !get(fd, &resp, sizeof(resp)))
		return failed("no ICResp");
	header(&pdu.data.hdr, LEAP_TCP_H2C_DATA, sizeof(pdu.data),
	       sizeof(pdu.payload));
	pdu.data.hdr.flags = LEAP_TCP_F_LAST;
	pdu.data.datal = leap_to_le32(sizeof(pdu.payload));
	if (!put(fd, &pdu, sizeof(pdu)))
		return failed("no data");
	return expect_term(fd, LEAP_TCP_C2H_TERM);
}

static const char *be_target(const struct sockaddr_in *addr)
{
	struct leap_tcp_ic_resp resp = { 0 };
	struct leap_tcp_r2t r2t = { 0 };
	struct timeval tv = { SECONDS, 0 };
	int on = 1, fd, listener = socket(AF_INET, SOCK_STREAM, 0);
	char pdu[16384];

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (bind(listener, (const struct sockaddr *)addr, sizeof(*addr)) ||
	    listen(listener, 1))
		return failed("cannot listen");
	puts("listening");
	fflush(stdout);
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		return failed("nobody came");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	header(&resp.hdr, LEAP_TCP_IC_RESP, sizeof(resp), 0);
	resp.maxh2cdata = leap_to_le32(131072);
	if (!get_pdu(fd, pdu, sizeof(pdu)) || !put(fd, &resp, sizeof(resp)) ||
	    !get_pdu(fd, pdu, sizeof(pdu)))
		return failed("no Connect");
	header(&r2t.hdr, LEAP_TCP_R2T, sizeof(r2t), 0);
	r2t.cccid = leap_to_le16(0xfff0);
	r2t.r2tl = leap_to_le32(512);
	if (!put(fd, &r2t, sizeof(r2t)))
		return failed("no R2T");
	return expect_term(fd, LEAP_TCP_H2C_TERM);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int host = argc == 3 && !strcmp(argv[1], "host");

	if (argc != 3 || (!host && strcmp(argv[1], "target"))) {
		fputs("usage: bad-peer host|target PORT\n", stderr);
		return 2;
	}
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	addr.sin_port = htons((uint16_t)atoi(argv[2]));
	return (host ? be_host(&addr) : be_target(&addr)) != NULL;
}
