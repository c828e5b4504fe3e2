/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Peers of a target over TCP that stop half way, at any byte, and peers that
 * ask for much and read nothing, while good hosts do verified I/O: those go on
 * as if nothing was, and the process stays small.
 */
#include "fault.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <leapio/nvmf.h>

#include "transport/tcp/pdu.h"

#define NR_GOOD 4u
#define NR_HALF 48u
#define NR_SLOW 4u
#define SLOW_DEPTH 127u
#define SLOW_BLOCKS 256u	/* 128 KiB */

static struct fault_host good[NR_GOOD];

static int dial(const struct fault_server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct timeval tv = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;
	unsigned int port;

	assert_int_equal(sscanf(s->url, "tcp://127.0.0.1:%u", &port), 1);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((uint16_t)port);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void recv_all(int fd, void *buf, size_t n)
{
	assert_int_equal(recv(fd, buf, n, MSG_WAITALL), n);
}

static uint32_t ic_req(uint8_t *out)
{
	union leap__tcp_pdu pdu;

	memset(&pdu, 0, sizeof(pdu));
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_IC_REQ, 0, 128, 0, 128);
	memcpy(out, &pdu, 128);
	return 128;
}

static uint32_t capsule(uint8_t *out, const void *sqe, const void *data,
			uint32_t bytes)
{
	union leap__tcp_pdu pdu;

	memset(&pdu, 0, sizeof(pdu));
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_CMD, 0, 72, bytes ? 72 : 0,
		      72 + bytes);
	memcpy(&pdu.cmd.sqe, sqe, 64);
	memcpy(out, &pdu, 72);
	if (bytes)
		memcpy(out + 72, data, bytes);
	return 72 + bytes;
}

static uint32_t connect_capsule(uint8_t *out, uint32_t peer, uint16_t qid,
				uint16_t cntlid)
{
	struct leap_connect_data data;
	struct leap_fab_connect c;

	memset(&c, 0, sizeof(c));
	memset(&data, 0, sizeof(data));
	c.opc = LEAP_ADM_FABRICS;
	c.flags = LEAP_SQE_PSDT_SGL;
	c.fctype = LEAP_FCTYPE_CONNECT;
	c.qid = leap_to_le16(qid);
	c.sqsize = leap_to_le16(qid ? SLOW_DEPTH : 31);
	c.sgl1.len = leap_to_le32(sizeof(data));
	c.sgl1.type = LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_OFFSET);
	memset(data.hostid, 0x77, sizeof(data.hostid));
	data.hostid[0] = (uint8_t)peer;
	data.cntlid = leap_to_le16(cntlid);
	strcpy((char *)data.subnqn, FAULT_NQN);
	strcpy((char *)data.hostnqn, "nqn.2026-01.org.example:peer");
	return capsule(out, &c, &data, sizeof(data));
}

static struct leap_cqe response(int fd)
{
	struct leap_tcp_rsp rsp;

	recv_all(fd, &rsp, sizeof(rsp));
	assert_int_equal(rsp.hdr.type, LEAP_TCP_RSP);
	assert_int_equal(leap_from_le16(rsp.cqe.status) >> 1, 0);
	return rsp.cqe;
}

static void send_all(int fd, const void *buf, uint32_t n)
{
	assert_int_equal(send(fd, buf, n, MSG_NOSIGNAL), n);
}

/* Hand-shake and Connect; returns the controller's ID. */
static uint16_t join(int fd, uint32_t peer, uint16_t qid, uint16_t cntlid)
{
	uint8_t buf[2048];
	struct leap_cqe cqe;

	send_all(fd, buf, ic_req(buf));
	recv_all(fd, buf, 128);
	send_all(fd, buf, connect_capsule(buf, peer, qid, cntlid));
	cqe = response(fd);
	return (uint16_t)leap_from_le64(cqe.result);
}

static void enable(int fd)
{
	struct leap_fab_prop_set set;
	uint8_t buf[128];

	memset(&set, 0, sizeof(set));
	set.opc = LEAP_ADM_FABRICS;
	set.flags = LEAP_SQE_PSDT_SGL;
	set.fctype = LEAP_FCTYPE_PROP_SET;
	set.ofst = leap_to_le32(LEAP_REG_CC);
	set.value = leap_to_le64(0x00460001);
	send_all(fd, buf, capsule(buf, &set, NULL, 0));
	response(fd);
}

/* Asks for all it may ask for. */
static void ask(int fd)
{
	struct leap_sqe sqe;
	uint8_t buf[128];
	uint32_t i;

	for (i = 0; i < SLOW_DEPTH; i++) {
		memset(&sqe, 0, sizeof(sqe));
		sqe.opc = LEAP_NVM_READ;
		sqe.flags = LEAP_SQE_PSDT_SGL;
		sqe.cid = leap_to_le16((uint16_t)i);
		sqe.nsid = leap_to_le32(1);
		sqe.sgl1.len = leap_to_le32(SLOW_BLOCKS * 512);
		sqe.sgl1.type = LEAP_SGL_ID(LEAP_SGL_TYPE_TRANSPORT,
					    LEAP_SGL_SUB_TRANSPORT);
		sqe.cdw12 = leap_to_le32(SLOW_BLOCKS - 1);
		send_all(fd, buf, capsule(buf, &sqe, NULL, 0));
	}
}

/* ---- good hosts ---- */

static struct leap_pollgroup *pg;

static uint64_t verified(void)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < NR_GOOD; i++)
		sum += good[i].verified;
	return sum;
}

static void open_good(const struct fault_server *s)
{
	uint32_t i;

	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	for (i = 0; i < NR_GOOD; i++) {
		fault_host_init(&good[i], pg, i);
		fault_host_open(&good[i], s->url, NULL);
	}
}

/* Each of them reads @n blocks; in @ms at most. */
static void work(uint32_t n, uint32_t ms)
{
	uint64_t until = fault_now_ns() + ms * 1000000ull, from[NR_GOOD];
	uint32_t i, left;

	for (i = 0; i < NR_GOOD; i++)
		from[i] = good[i].verified;
	do {
		leap_pollgroup_wait(pg, 1000000);
		for (i = left = 0; i < NR_GOOD; i++) {
			fault_host_feed(&good[i]);
			left += good[i].verified < from[i] + n;
			assert_int_equal(good[i].failed, 0);
			assert_int_equal(good[i].wrong, 0);
		}
		if (left && fault_now_ns() > until)
			fail_msg("%u good hosts stand still", left);
	} while (left);
}

static void close_good(void)
{
	uint64_t until = fault_now_ns() + 120000000000ull;
	uint32_t i;

	for (i = 0; i < NR_GOOD; i++)
		fault_host_close(&good[i]);
	for (i = 0; i < NR_GOOD; i++)
		while (!good[i].closed) {
			assert_true(fault_now_ns() < until);
			leap_pollgroup_wait(pg, 1000000);
		}
	while (leap_pollgroup_poll(pg, 0))
		;
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* ---- cases ---- */

/* Of the whole exchange up to Connect, the first @bytes, then silence. */
static int half(const struct fault_server *s, uint32_t peer, uint32_t bytes)
{
	uint8_t buf[2048];
	uint32_t n = ic_req(buf);
	int fd = dial(s);

	n += connect_capsule(buf + n, peer, 0, 0xffff);
	send_all(fd, buf, bytes < n ? bytes : n);
	return fd;
}

static void test_half_open(void **state)
{
	struct fault_server s = { .kind = "tcp", .stack = { "memory:64M" } };
	uint32_t i, round, total = 128 + 72 + 1024;
	int fd[NR_HALF];
	uint64_t rss = 0, full;

	fault_serve(&s, 1);
	/* With every block of the leaf written, which takes a while. */
	full = fault_rss_bytes() + (64u << 20);
	open_good(&s);
	work(50, 20000);
	for (round = 0; round < 6; round++) {
		for (i = 0; i < NR_HALF; i++)
			fd[i] = half(&s, i, (i * 6 + round) * total /
				     (6 * NR_HALF));
		work(50, 10000);
		/* Some say that they are done, some vanish, some reset. */
		for (i = 0; i < NR_HALF; i++) {
			struct linger hard = { 1, 0 };

			if (i % 3 == 1)
				shutdown(fd[i], SHUT_WR);
			if (i % 3 == 2)
				setsockopt(fd[i], SOL_SOCKET, SO_LINGER, &hard,
					   sizeof(hard));
		}
		work(20, 10000);
		for (i = 0; i < NR_HALF; i++)
			close(fd[i]);
		work(20, 10000);
		/* A slow machine has not had all at once at first. */
		if (round == 2)
			rss = fault_rss_bytes();
	}
	if (!fault_slow())
		assert_in_range(fault_rss_bytes(), 0,
				(rss > full ? rss : full) + (8u << 20));
	/* Two of each good host. */
	for (i = 0; i < 100 && fault_stats(&s).connections != 2 * NR_GOOD; i++)
		work(1, 10000);
	assert_int_equal(fault_stats(&s).connections, 2 * NR_GOOD);
	printf("# half open: %llu blocks verified beside %u of them\n",
	       (unsigned long long)verified(), 6 * NR_HALF);
	close_good();
	fault_end(&s);
}

static void test_slow_readers(void **state)
{
	struct fault_server s = { .kind = "tcp", .stack = { "memory:64M" } };
	int admin[NR_SLOW], io[NR_SLOW];
	uint64_t rss;
	uint32_t i;

	fault_serve(&s, 1);
	open_good(&s);
	work(50, 20000);
	rss = fault_rss_bytes();
	for (i = 0; i < NR_SLOW; i++) {
		uint16_t cntlid;

		admin[i] = dial(&s);
		cntlid = join(admin[i], i, 0, 0xffff);
		enable(admin[i]);
		io[i] = dial(&s);
		join(io[i], i, 1, cntlid);
		ask(io[i]);
		work(20, 10000);
	}
	work(300, 20000);
	/* They have asked for 64 MiB; all payload buffers of a group are 32,
	 * and each connection has some memory of its own. */
	if (!fault_slow())
		assert_in_range(fault_rss_bytes(), 0, rss + (60u << 20));
	for (i = 0; i < NR_SLOW; i++) {
		close(io[i]);
		close(admin[i]);
	}
	for (i = 0; i < 100 && fault_stats(&s).connections != 2 * NR_GOOD; i++)
		work(1, 10000);
	assert_int_equal(fault_stats(&s).connections, 2 * NR_GOOD);
	assert_int_equal(fault_stats(&s).orphans, 0);
	work(50, 10000);
	close_good();
	fault_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_open),
		cmocka_unit_test(test_slow_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
