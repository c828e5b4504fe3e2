/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller end against a host that is written out PDU by PDU: what it
 * answers, and what it asks for. What it refuses is in test-tcp-target-bad.c.
 */
#include "tcp-world.h"

#include <sys/ioctl.h>

static uint8_t *pattern(uint32_t bytes, unsigned int seed)
{
	uint8_t *data = malloc(bytes);
	uint32_t i;

	assert_non_null(data);
	for (i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i * 7 + i / 251 + seed);
	return data;
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
		assert_int_equal(w.p->pdu.hdr.pdo % LEAP_TCP_PDU_ALIGN(hpda),
				 0);
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

/* A new peer's Connect without its data, up to the R2T for that. */
static uint16_t connect_asks(struct world *w)
{
	union leap__tcp_pdu pdu;

	new_peer(w);
	send_ic(w->p, 0, 0, 0);
	connect_pdu(&pdu, 0, 7);
	pdu.cmd.sqe.sgl1.type = SGL_STREAM;
	peer_pdu(w->p, &pdu, NULL, 0);
	return expect_r2t(w->p, 0x4321, 0, sizeof(struct leap_connect_data));
}

/* The data of a Connect may be asked for like any other. */
static void test_connect_by_r2t(void **state)
{
	struct leap_connect_data data;
	union leap__tcp_pdu flush;
	struct world w;
	uint16_t ttag;

	open_world(&w, 16, 65536);
	memset(&data, 1, sizeof(data));
	ttag = connect_asks(&w);
	send_h2c(w.p, 0x4321, ttag, 0, (uint8_t *)&data, sizeof(data), 1);
	expect_rsp(w.p, 0x4321, 0);
	assert_memory_equal(&w.f.target.data, &data, sizeof(data));
	peer_sqe(&flush, LEAP_NVM_FLUSH, 9, 0, 0, SGL_STREAM);
	peer_pdu(w.p, &flush, NULL, 0);
	expect_rsp(w.p, 9, 0);
	end_peer(&w);
	/* A peer that goes without it is gone at once. */
	connect_asks(&w);
	end_peer(&w);
	/* And a command in the place of it is none. */
	connect_asks(&w);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_capsule),
		cmocka_unit_test(test_hpda),
		cmocka_unit_test(test_success_flag),
		cmocka_unit_test(test_r2t),
		cmocka_unit_test(test_same_cid),
		cmocka_unit_test(test_data_digest),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_connect_by_r2t),
		cmocka_unit_test(test_connect_guesses_r2t),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
