/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wire headers: structs against byte images, so that a big-endian machine
 * has to give the same bytes as a little-endian one.
 */
#include "unit.h"

#include <leapio/nvme_tcp.h>
#include <leapio/nvmf.h>

static void integers_are_little_endian(void **state)
{
	leap_le16 a = leap_to_le16(0x0102);
	leap_le32 b = leap_to_le32(0x01020304);
	leap_le64 c = leap_to_le64(0x0102030405060708);

	assert_memory_equal(&a, "\2\1", 2);
	assert_memory_equal(&b, "\4\3\2\1", 4);
	assert_memory_equal(&c, "\10\7\6\5\4\3\2\1", 8);
	assert_int_equal(leap_from_le16(a), 0x0102);
	assert_int_equal(leap_from_le32(b), 0x01020304);
	assert_true(leap_from_le64(c) == 0x0102030405060708);
}

static void read_command(void **state)
{
	static const unsigned char wire[64] = {
		0x02, 0x40, 0x34, 0x12, 0x01, 0, 0, 0,
		[24] = 0x00, 0x10, 0, 0, 0x01, 0, 0, 0x80,	/* prp1 */
		[32] = 0x00, 0x20, 0, 0, 0, 0, 0, 0,
		[40] = 0xef, 0xbe, 0xad, 0xde, 0x05, 0, 0, 0,	/* slba */
		[48] = 0x07, 0, 0, 0x40,
	};
	struct leap_sqe sqe;

	memcpy(&sqe, wire, sizeof(sqe));
	assert_int_equal(sqe.opc, LEAP_NVM_READ);
	assert_int_equal(sqe.flags & LEAP_SQE_PSDT_MASK, LEAP_SQE_PSDT_SGL);
	assert_int_equal(leap_from_le16(sqe.cid), 0x1234);
	assert_int_equal(leap_from_le32(sqe.nsid), 1);
	assert_true(leap_from_le64(sqe.prp1) == 0x8000000100001000);
	assert_true(leap_from_le64(sqe.prp2) == 0x2000);
	assert_true(leap_sqe_slba(&sqe) == 0x5deadbeef);
	assert_int_equal(leap_sqe_nlb(&sqe), 8);
	assert_int_equal(leap_from_le32(sqe.cdw12), LEAP_IO_CDW12_FUA | 7);
	assert_int_equal(LEAP_OPC_DIR(LEAP_NVM_READ), LEAP_DIR_TO_HOST);
	assert_int_equal(LEAP_OPC_DIR(LEAP_NVM_WRITE), LEAP_DIR_TO_CTRL);
	sqe.cdw12 = leap_to_le32(0xffff);
	assert_int_equal(leap_sqe_nlb(&sqe), 65536);
}

static void completion(void **state)
{
	static const unsigned char wire[16] = {
		0x78, 0x56, 0x34, 0x12, 0xf0, 0xde, 0xbc, 0x9a,
		0x10, 0, 0x01, 0, 0x34, 0x12, 0x01, 0x81,
	};
	struct leap_cqe cqe;

	memset(&cqe, 0, sizeof(cqe));
	cqe.result = leap_to_le64(0x9abcdef012345678);
	cqe.sqhd = leap_to_le16(16);
	cqe.sqid = leap_to_le16(1);
	cqe.cid = leap_to_le16(0x1234);
	cqe.status = leap_cqe_status_word(LEAP_SC_LBA_RANGE | LEAP_STATUS_DNR,
					  1);
	assert_memory_equal(&cqe, wire, sizeof(wire));
	assert_int_equal(leap_from_le32(cqe.dw0), 0x12345678);
	assert_int_equal(leap_from_le32(cqe.dw1), 0x9abcdef0);
	assert_int_equal(leap_cqe_phase(&cqe), 1);
	assert_int_equal(leap_cqe_status(&cqe), 0x4080);
	cqe.status = leap_cqe_status_word(0x7fff, 0);
	assert_int_equal(leap_cqe_status(&cqe), 0x7fff);
	assert_int_equal(leap_cqe_phase(&cqe), 0);
}

static void keyed_descriptor(void **state)
{
	static const unsigned char wire[16] = {
		8, 7, 6, 5, 4, 3, 2, 1, 0xcc, 0xbb, 0xaa,
		0x44, 0x33, 0x22, 0x91, 0x4f,
	};
	struct leap_sgl_keyed s;

	leap_sgl_keyed_set(&s, 0x0102030405060708, 0xaabbcc, 0x91223344,
			   LEAP_SGL_ID(LEAP_SGL_TYPE_KEYED,
				       LEAP_SGL_SUB_INVALIDATE));
	assert_memory_equal(&s, wire, sizeof(wire));
	assert_int_equal(leap_sgl_keyed_len(&s), 0xaabbcc);
	assert_true(leap_sgl_keyed_key(&s) == 0x91223344u);
	assert_int_equal(LEAP_SGL_ID_TYPE(s.type), LEAP_SGL_TYPE_KEYED);
	assert_int_equal(LEAP_SGL_ID(LEAP_SGL_TYPE_TRANSPORT,
				     LEAP_SGL_SUB_TRANSPORT), 0x5a);
}

static void registers(void **state)
{
	const uint32_t cc = LEAP_CC_EN | LEAP_PUT(6, LEAP_CC_IOSQES) |
			    LEAP_PUT(4, LEAP_CC_IOCQES);
	const uint64_t cap = LEAP_PUT(1023, LEAP_CAP_MQES) | LEAP_CAP_CQR |
			     LEAP_PUT(30, LEAP_CAP_TO) | LEAP_CAP_CSS_NVM |
			     LEAP_PUT(4, LEAP_CAP_MPSMAX);

	/* What firmware drivers write to enable a controller. */
	assert_int_equal(cc, 0x00460001);
	assert_int_equal(LEAP_GET(cc, LEAP_CC_IOCQES), 4);
	assert_int_equal(LEAP_GET(cc, LEAP_CC_SHN), LEAP_CC_SHN_NONE);
	assert_true(cap == 0x004000201e0103ff);
	assert_int_equal(LEAP_GET(cap, LEAP_CAP_MQES), 1023);
	assert_int_equal(LEAP_GET(cap, LEAP_CAP_MPSMAX), 4);
	assert_int_equal(LEAP_VS_2_0, 0x00020000);
	assert_int_equal(LEAP_REG_SQTDBL(0, 0), 0x1000);
	assert_int_equal(LEAP_REG_CQHDBL(0, 0), 0x1004);
	assert_int_equal(LEAP_REG_SQTDBL(3, 2), 0x1000 + 6 * 16);
	assert_int_equal(LEAP_REG_CQHDBL(3, 2), 0x1000 + 7 * 16);
	assert_int_equal(LEAP_AER_DW0(LEAP_AER_TYPE_NOTICE,
				      LEAP_AER_NOTICE_DISCOVERY,
				      LEAP_LID_DISCOVERY), 0x70f002);
}

/* A discovery Connect as Linux 6.12 sends it over TCP. */
static void connect_capsule(void **state)
{
	static const unsigned char wire[72] = {
		0x04, 0x00, 0x48, 0x48, 0x48, 0x04, 0x00, 0x00,
		[8] = 0x7f, 0x40, 0x00, 0x00, 0x01,
		[8 + 24 + 8] = 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
		[8 + 40] = 0x00, 0x00, 0x00, 0x00, 0x1f, 0x00, 0x00, 0x00,
	};
	struct leap_tcp_cmd pdu;
	struct leap_fab_connect c;

	memcpy(&pdu, wire, sizeof(pdu));
	assert_int_equal(pdu.hdr.type, LEAP_TCP_CMD);
	assert_int_equal(pdu.hdr.hlen, sizeof(struct leap_tcp_cmd));
	assert_int_equal(leap_from_le32(pdu.hdr.plen), 72 + 1024);
	assert_int_equal(pdu.sqe.opc, LEAP_ADM_FABRICS);
	memcpy(&c, &pdu.sqe, sizeof(c));
	assert_int_equal(c.fctype, LEAP_FCTYPE_CONNECT);
	assert_int_equal(leap_from_le32(c.sgl1.len),
			 sizeof(struct leap_connect_data));
	assert_int_equal(c.sgl1.type, LEAP_SGL_ID(LEAP_SGL_TYPE_DATA,
						  LEAP_SGL_SUB_OFFSET));
	assert_int_equal(leap_from_le16(c.qid), 0);
	assert_int_equal(leap_from_le16(c.sqsize), 31);
	assert_int_equal(leap_from_le32(c.kato), 0);
}

static void term_error_information(void **state)
{
	static const unsigned char wire[6] = { 3, 0, 0x83, 0x92, 0x06, 0xe3 };
	struct leap_tcp_term t;

	memset(&t, 0, sizeof(t));
	t.fes = leap_to_le16(LEAP_TCP_FES_HDGST);
	leap_tcp_term_set_fei(&t, 0xe3069283);
	assert_memory_equal(&t.fes, wire, sizeof(wire));
	assert_true(leap_tcp_term_fei(&t) == 0xe3069283);
	assert_int_equal(LEAP_TCP_PDU_ALIGN(0), 4);
	assert_int_equal(LEAP_TCP_PDU_ALIGN(LEAP_TCP_MAX_PDA), 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_little_endian),
		cmocka_unit_test(read_command),
		cmocka_unit_test(completion),
		cmocka_unit_test(keyed_descriptor),
		cmocka_unit_test(registers),
		cmocka_unit_test(connect_capsule),
		cmocka_unit_test(term_error_information),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
