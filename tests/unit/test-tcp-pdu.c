/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The PDU codec: every field of every header, good and bad, from bytes as they
 * stand on the wire, so that it also holds on big-endian machines.
 */
#include "unit.h"

#include "transport/tcp/pdu.h"

#define HF LEAP_TCP_FES_HDR_FIELD
#define SEQ LEAP_TCP_FES_SEQUENCE
#define LIM LEAP_TCP_FES_LIMIT

static const struct leap__tcp_rules early_ctrl = { .max_capsule = 8192 };
static const struct leap__tcp_rules early_host = { .host = 1 };
static const struct leap__tcp_rules ctrl = {
	.ready = 1, .max_capsule = 8192, .max_data = 131072 };
static const struct leap__tcp_rules ctrl_dg = {
	.ready = 1, .hdgst = 1, .ddgst = 1, .max_capsule = 8192,
	.max_data = 131072 };
static const struct leap__tcp_rules host = {
	.host = 1, .ready = 1, .max_data = 1 << 20 };
static const struct leap__tcp_rules host_dg = {
	.host = 1, .ready = 1, .hdgst = 1, .ddgst = 1, .max_data = 1 << 20 };

#define PLEN(n) (uint8_t)(n), (uint8_t)((n) >> 8), (uint8_t)((n) >> 16), \
		(uint8_t)((uint32_t)(n) >> 24)

static const struct {
	const struct leap__tcp_rules *rules;
	uint8_t ch[8];
	uint16_t fes;		/* 0 = good */
	uint32_t fei;
	uint32_t head, data;	/* when good */
} cases[] = {
	/* types and directions */
	{ &early_ctrl, { 0, 0, 128, 0, PLEN(128) }, 0, 0, 128, 0 },
	{ &early_host, { 1, 0, 128, 0, PLEN(128) }, 0, 0, 128, 0 },
	{ &early_ctrl, { 1, 0, 128, 0, PLEN(128) }, HF, 0 },
	{ &early_host, { 0, 0, 128, 0, PLEN(128) }, HF, 0 },
	{ &ctrl, { 8, 0, 24, 0, PLEN(24) }, HF, 0 },
	{ &host, { 8, 0, 24, 0, PLEN(24) }, HF, 0 },
	{ &ctrl, { 9, 0, 24, 0, PLEN(24) }, HF, 0 },
	{ &ctrl, { 10, 0, 24, 0, PLEN(24) }, HF, 0 },
	{ &ctrl, { 255, 0, 24, 0, PLEN(24) }, HF, 0 },
	{ &ctrl, { 5, 0, 24, 0, PLEN(24) }, HF, 0 },
	{ &ctrl, { 7, 0, 24, 24, PLEN(28) }, HF, 0 },
	{ &ctrl, { 3, 0, 24, 0, PLEN(24) }, HF, 0 },
	{ &host, { 2, 0, 24, 0, PLEN(24) }, HF, 0 },
	{ &host, { 4, 0, 72, 0, PLEN(72) }, HF, 0 },
	{ &host, { 6, 0, 24, 24, PLEN(28) }, HF, 0 },
	/* sequence */
	{ &ctrl, { 0, 0, 128, 0, PLEN(128) }, SEQ, 0 },
	{ &host, { 1, 0, 128, 0, PLEN(128) }, SEQ, 0 },
	{ &early_ctrl, { 4, 0, 72, 0, PLEN(72) }, SEQ, 0 },
	{ &early_ctrl, { 6, 0, 24, 24, PLEN(28) }, SEQ, 0 },
	{ &early_host, { 5, 0, 24, 0, PLEN(24) }, SEQ, 0 },
	{ &early_host, { 7, 0, 24, 24, PLEN(28) }, SEQ, 0 },
	{ &early_host, { 9, 0, 24, 0, PLEN(24) }, SEQ, 0 },
	/* terminations, at any time */
	{ &early_ctrl, { 2, 0, 24, 0, PLEN(24) }, 0, 0, 24, 0 },
	{ &ctrl, { 2, 0, 24, 0, PLEN(152) }, 0, 0, 24, 128 },
	{ &ctrl_dg, { 2, 0, 24, 0, PLEN(152) }, 0, 0, 24, 128 },
	{ &host, { 3, 0, 24, 0, PLEN(48) }, 0, 0, 24, 24 },
	{ &ctrl, { 2, 0, 24, 0, PLEN(153) }, HF, 4 },
	{ &ctrl, { 2, 0, 24, 0, PLEN(23) }, HF, 4 },
	{ &ctrl_dg, { 2, 1, 24, 0, PLEN(28) }, HF, 1 },
	/* HLEN */
	{ &early_ctrl, { 0, 0, 127, 0, PLEN(128) }, HF, 2 },
	{ &early_ctrl, { 0, 0, 0, 0, PLEN(128) }, HF, 2 },
	{ &ctrl, { 4, 0, 71, 0, PLEN(72) }, HF, 2 },
	{ &ctrl, { 4, 0, 73, 0, PLEN(73) }, HF, 2 },
	{ &ctrl, { 6, 0, 255, 24, PLEN(28) }, HF, 2 },
	{ &host, { 5, 0, 20, 0, PLEN(24) }, HF, 2 },
	{ &host, { 7, 0, 25, 28, PLEN(32) }, HF, 2 },
	{ &host, { 9, 0, 8, 0, PLEN(24) }, HF, 2 },
	/* flags: header digest */
	{ &early_ctrl, { 0, 1, 128, 0, PLEN(132) }, HF, 1 },
	{ &ctrl, { 4, 1, 72, 0, PLEN(76) }, HF, 1 },
	{ &ctrl_dg, { 4, 0, 72, 0, PLEN(72) }, HF, 1 },
	{ &ctrl_dg, { 4, 1, 72, 0, PLEN(76) }, 0, 0, 76, 0 },
	{ &host, { 5, 1, 24, 0, PLEN(28) }, HF, 1 },
	{ &host_dg, { 5, 1, 24, 0, PLEN(28) }, 0, 0, 28, 0 },
	{ &host_dg, { 9, 1, 24, 0, PLEN(28) }, 0, 0, 28, 0 },
	{ &host_dg, { 9, 0, 24, 0, PLEN(24) }, HF, 1 },
	/* flags: data digest */
	{ &host_dg, { 5, 3, 24, 0, PLEN(28) }, HF, 1 },
	{ &host_dg, { 9, 3, 24, 0, PLEN(28) }, HF, 1 },
	{ &ctrl, { 4, 2, 72, 0, PLEN(72) }, HF, 1 },
	{ &ctrl_dg, { 4, 3, 72, 0, PLEN(76) }, HF, 1 },
	{ &ctrl, { 4, 2, 72, 72, PLEN(76 + 4) }, HF, 1 },
	{ &ctrl_dg, { 4, 1, 72, 76, PLEN(76 + 4 + 4) }, HF, 1 },
	{ &ctrl_dg, { 4, 3, 72, 76, PLEN(76 + 4 + 4) }, 0, 0, 76, 4 },
	{ &ctrl_dg, { 6, 3, 24, 28, PLEN(28 + 512 + 4) }, 0, 0, 28, 512 },
	{ &ctrl_dg, { 6, 1, 24, 28, PLEN(28 + 512) }, HF, 1 },
	{ &host, { 7, 2, 24, 24, PLEN(24 + 512) }, HF, 1 },
	{ &host_dg, { 7, 7, 24, 28, PLEN(28 + 512 + 4) }, 0, 0, 28, 512 },
	/* PDO */
	{ &ctrl, { 4, 0, 72, 0, PLEN(72) }, 0, 0, 72, 0 },
	{ &ctrl, { 4, 0, 72, 72, PLEN(72 + 1024) }, 0, 0, 72, 1024 },
	{ &ctrl, { 4, 0, 72, 71, PLEN(72 + 1024) }, HF, 3 },
	{ &ctrl, { 4, 0, 72, 0, PLEN(72 + 1024) }, HF, 3 },
	{ &ctrl, { 4, 0, 72, 73, PLEN(72 + 1024) }, HF, 3 },
	{ &ctrl, { 4, 0, 72, 128, PLEN(128 + 1024) }, 0, 0, 128, 1024 },
	{ &ctrl, { 4, 0, 72, 252, PLEN(252 + 1) }, 0, 0, 252, 1 },
	{ &ctrl_dg, { 4, 3, 72, 72, PLEN(72 + 4 + 1024) }, HF, 3 },
	{ &ctrl, { 6, 4, 24, 20, PLEN(24 + 512) }, HF, 3 },
	{ &host, { 7, 4, 24, 128, PLEN(128 + 4096) }, 0, 0, 128, 4096 },
	/* PLEN */
	{ &early_ctrl, { 0, 0, 128, 0, PLEN(127) }, HF, 4 },
	{ &early_ctrl, { 0, 0, 128, 0, PLEN(129) }, HF, 4 },
	{ &early_host, { 1, 0, 128, 0, PLEN(132) }, HF, 4 },
	{ &ctrl, { 4, 0, 72, 0, PLEN(71) }, HF, 4 },
	{ &ctrl, { 4, 0, 72, 0, PLEN(0) }, HF, 4 },
	{ &ctrl, { 4, 0, 72, 76, PLEN(76) }, HF, 4 },
	{ &ctrl_dg, { 4, 3, 72, 76, PLEN(76 + 4) }, HF, 4 },
	{ &ctrl, { 6, 4, 24, 24, PLEN(24) }, HF, 4 },
	{ &host, { 5, 0, 24, 0, PLEN(25) }, HF, 4 },
	{ &host, { 9, 0, 24, 0, PLEN(28) }, HF, 4 },
	{ &host_dg, { 5, 1, 24, 0, PLEN(24) }, HF, 4 },
	/* limits */
	{ &ctrl, { 4, 0, 72, 72, PLEN(72 + 8192) }, 0, 0, 72, 8192 },
	{ &ctrl, { 4, 0, 72, 72, PLEN(72 + 8193) }, LIM, 0 },
	{ &ctrl, { 4, 0, 72, 72, PLEN(0xffffffffu) }, LIM, 0 },
	{ &ctrl, { 6, 4, 24, 24, PLEN(24 + 131072) }, 0, 0, 24, 131072 },
	{ &ctrl, { 6, 4, 24, 24, PLEN(24 + 131073) }, LIM, 0 },
	{ &ctrl_dg, { 6, 7, 24, 28, PLEN(28 + 131072 + 4) }, 0, 0, 28, 131072 },
	{ &ctrl_dg, { 6, 7, 24, 28, PLEN(28 + 131073 + 4) }, LIM, 0 },
	{ &host, { 7, 4, 24, 24, PLEN(0xffffffffu) }, LIM, 0 },
	/* reserved flags are not looked at */
	{ &ctrl, { 4, 0xf0, 72, 0, PLEN(72) }, 0, 0, 72, 0 },
};

static void test_common(void **state)
{
	unsigned int i;

	for (i = 0; i < COUNT(cases); i++) {
		uint8_t *ch = exact_copy(cases[i].ch, 8);
		struct leap__tcp_bad bad = { 0, 0 };
		struct leap__tcp_shape s;
		int rc = leap__tcp_check(cases[i].rules, ch, &s, &bad);

		if (rc != (cases[i].fes ? -EPROTO : 0) ||
		    (rc && (bad.fes != cases[i].fes ||
			    bad.fei != cases[i].fei)) ||
		    (!rc && (s.head != cases[i].head ||
			     s.data != cases[i].data)))
			fail_msg("case %u: rc %d fes %u fei %u", i, rc,
				 bad.fes, bad.fei);
		free(ch);
	}
}

/* A header by its bytes: those that are named, the rest zero. */
static int body(uint8_t type, uint8_t flags, uint32_t data, unsigned int at,
		const char *bytes, unsigned int n, struct leap__tcp_bad *bad)
{
	struct leap__tcp_shape s = { .type = type, .data = data };
	union leap__tcp_pdu pdu;

	memset(&pdu, 0, sizeof(pdu));
	pdu.raw[0] = type;
	pdu.raw[1] = flags;
	memcpy(pdu.raw + at, bytes, n);
	memset(bad, 0, sizeof(*bad));
	return leap__tcp_check_body(&s, &pdu, bad);
}

static void bad_body(uint8_t type, uint8_t flags, uint32_t data,
		     unsigned int at, const char *bytes, unsigned int n,
		     uint32_t fei)
{
	struct leap__tcp_bad bad;

	assert_int_equal(body(type, flags, data, at, bytes, n, &bad), -EPROTO);
	assert_int_equal(bad.fes, HF);
	assert_int_equal(bad.fei, fei);
}

static void good_body(uint8_t type, uint8_t flags, uint32_t data,
		      unsigned int at, const char *bytes, unsigned int n)
{
	struct leap__tcp_bad bad;

	assert_int_equal(body(type, flags, data, at, bytes, n, &bad), 0);
}

static void test_bodies(void **state)
{
	/* PFV, HPDA */
	good_body(0, 0, 0, 8, "\0\0\0\3\0\0\0\0", 8);
	good_body(0, 0, 0, 8, "\0\0\37\0\377\377\377\377", 8);
	bad_body(0, 0, 0, 8, "\1\0", 2, 8);
	bad_body(0, 0, 0, 8, "\0\1", 2, 8);
	bad_body(0, 0, 0, 8, "\0\0\40", 3, 10);
	/* PFV, CPDA, MAXH2CDATA */
	good_body(1, 0, 0, 8, "\0\0\0\0\0\20\0\0", 8);
	good_body(1, 0, 0, 8, "\0\0\37\3\374\377\377\377", 8);
	bad_body(1, 0, 0, 8, "\1\0\0\0\0\20\0\0", 8, 8);
	bad_body(1, 0, 0, 8, "\0\0\40\0\0\20\0\0", 8, 10);
	bad_body(1, 0, 0, 8, "\0\0\0\0\374\17\0\0", 8, 12);
	bad_body(1, 0, 0, 8, "\0\0\0\0\377\377\0\0", 8, 12);
	bad_body(1, 0, 0, 8, "\0\0\0\0\0\0\0\0", 8, 12);
	/* DATAL against PLEN, SUCCESS without LAST */
	good_body(6, 0, 512, 16, "\0\2\0\0", 4);
	bad_body(6, 0, 512, 16, "\1\2\0\0", 4, 16);
	bad_body(6, 0, 512, 16, "\0\0\2\0", 4, 16);
	good_body(7, 12, 512, 16, "\0\2\0\0", 4);
	bad_body(7, 8, 512, 16, "\0\2\0\0", 4, 1);
	good_body(6, 8, 512, 16, "\0\2\0\0", 4);
	/* R2TL */
	good_body(9, 0, 0, 16, "\0\0\0\200", 4);
	bad_body(9, 0, 0, 16, "\0\0\0\0", 4, 16);
}

static void test_pdo(void **state)
{
	unsigned int pda;

	assert_int_equal(leap__tcp_pdo(72, 0, 0), 72);
	assert_int_equal(leap__tcp_pdo(72, 1, 0), 76);
	assert_int_equal(leap__tcp_pdo(24, 0, 0), 24);
	assert_int_equal(leap__tcp_pdo(24, 1, 0), 28);
	assert_int_equal(leap__tcp_pdo(24, 0, 31), 128);
	assert_int_equal(leap__tcp_pdo(72, 1, 31), 128);
	assert_int_equal(leap__tcp_pdo(24, 1, 15), 64);
	for (pda = 0; pda <= LEAP_TCP_MAX_PDA; pda++) {
		unsigned int at = leap__tcp_pdo(24, 1, (uint8_t)pda);

		assert_true(at >= 28);
		assert_int_equal(at % LEAP_TCP_PDU_ALIGN(pda), 0);
		assert_true(at - 28 < LEAP_TCP_PDU_ALIGN(pda));
	}
}

static void test_build(void **state)
{
	static const uint8_t wire[] = {
		2, 0, 24, 0, 28, 0, 0, 0, 4, 0, 0x78, 0x56, 0x34, 0x12,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c', 'd' };
	const struct leap__tcp_bad bad = { 4, 0x12345678 };
	uint8_t out[24 + 128], hdr[200];
	struct leap_tcp_hdr h;

	assert_int_equal(leap__tcp_term(out, 2, &bad, "abcd", 4), 28);
	assert_memory_equal(out, wire, sizeof(wire));
	memset(hdr, 7, sizeof(hdr));
	assert_int_equal(leap__tcp_term(out, 3, &bad, hdr, sizeof(hdr)), 152);
	assert_int_equal(out[4], 152);
	assert_int_equal(out[151], 7);
	assert_int_equal(leap__tcp_term(out, 3, &bad, NULL, 0), 24);
	leap__tcp_hdr(&h, 7, 12, 24, 28, 0x01020304);
	assert_memory_equal(&h, "\7\14\30\34\4\3\2\1", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_common),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_pdo),
		cmocka_unit_test(test_build),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
