/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end against a controller that is written out PDU by PDU: reads,
 * writes, alignment and digests. What it refuses is in test-tcp-host-bad.c.
 */
#include "tcp-host-world.h"

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
		assert_memory_equal(h->reqs[0].data, data, BYTES);
		/* No response at all. */
		memset(h->reqs[0].data, 0, BYTES);
		cid = submit(h, 0, LEAP_NVM_READ, BYTES);
		send_c2h(h->p, cid, 0, data, BYTES,
			 LEAP_TCP_F_LAST | LEAP_TCP_F_SUCCESS);
		wait_done(h, 0, 0);
		assert_memory_equal(h->reqs[0].data, data, BYTES);
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
		fill(h->reqs[0].data, BYTES, 3);
		cid = submit(h, 0, LEAP_NVM_WRITE, 512);
		assert_int_equal(h->p->pdu.cmd.sqe.sgl1.type, SGL_CAPSULE);
		assert_int_equal(h->p->bytes, 512);
		assert_memory_equal(h->p->data, h->reqs[0].data, 512);
		send_rsp(h->p, cid, 0, 2);
		wait_done(h, 0, 0);
		cid = submit(h, 0, LEAP_NVM_WRITE, 513);
		assert_int_equal(h->p->pdu.cmd.sqe.sgl1.type, SGL_STREAM);
		assert_int_equal(h->p->bytes, 0);
		send_r2t(h->p, cid, 0xbeef, 0, 513);
		expect_h2c(h->p, cid, 0xbeef, 0, h->reqs[0].data, 513, 1);
		send_rsp(h->p, cid, 0, 2);
		wait_done(h, 0, 0);
		/* Four R2Ts at once; MAXH2CDATA cuts the long one. */
		cid = submit(h, 0, LEAP_NVM_WRITE, BYTES);
		send_r2t(h->p, cid, 1, 0, 1000);
		send_r2t(h->p, cid, 2, 1000, 17000);
		send_r2t(h->p, cid, 2, 18000, 1000);
		send_r2t(h->p, cid, 4, 19000, 1000);
		expect_h2c(h->p, cid, 1, 0, h->reqs[0].data, 1000, 1);
		expect_h2c(h->p, cid, 2, 1000, h->reqs[0].data, 8192, 0);
		expect_h2c(h->p, cid, 2, 9192, h->reqs[0].data, 8192, 0);
		expect_h2c(h->p, cid, 2, 17384, h->reqs[0].data, 616, 1);
		expect_h2c(h->p, cid, 2, 18000, h->reqs[0].data, 1000, 1);
		expect_h2c(h->p, cid, 4, 19000, h->reqs[0].data, 1000, 1);
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
		fill(h->reqs[0].data, 600, cpda);
		cid = submit(h, 0, LEAP_NVM_WRITE, 600);
		send_r2t(h->p, cid, 5, 0, 600);
		expect_h2c(h->p, cid, 5, 0, h->reqs[0].data, 600, 1);
		assert_int_equal(h->p->pdu.hdr.pdo,
				 leap__tcp_pdo(24, asked(flags) & 1, cpda));
		send_rsp(h->p, cid, 0, 2);
		wait_done(h, 0, 0);
		host_end(h);
	}
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
	host_cut(h);
	wait_lost(h, -EPROTO);
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
	unsigned int i;
	uint16_t cid;

	assert_non_null(data);
	host_ready(h, 0, 0, 16u << 20, 0);
	memset(data, 7, bytes);
	cid = submit_data(h, 0, LEAP_NVM_WRITE, data, bytes);
	send_r2t(h->p, cid, 1, 0, bytes);
	for (i = 0; i < 100; i++)
		peer_poll(h->p);
	send_rsp(h->p, cid, LEAP_SC_WRITE_FAULT, 0);
	for (i = 0; i < 100; i++)
		peer_poll(h->p);
	assert_int_equal(h->reqs[0].done, 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_cpda),
		cmocka_unit_test(test_digests),
		cmocka_unit_test(test_early_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
