/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Entries that no host of ours would send, bit by bit: every value of the
 * flags byte (fused operations, PRPs and segments where only an SGL goes),
 * commands before and instead of Connect, and properties in wrong sizes.
 */
#include "ctrl-fixture.h"
#include "script-vqp.h"

#include <leapio/nvmf.h>

#define REFUSED	(LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR)
#define LONE	(LEAP_SC_ABORT_FUSED_MISSING | LEAP_STATUS_DNR)

struct rx {
	struct fx *fx;
	struct script *admin, *io;
};

static struct script *open_script(struct fx *fx)
{
	struct script *s = malloc(sizeof(*s));

	script_init(s, fx->pg, fx->listener);
	return s;
}

static leap_status_t property(struct script *s, uint8_t type, uint8_t attrib,
			      uint32_t offset, uint64_t value)
{
	struct leap_fab_prop_set sqe = { 0 };

	sqe.opc = LEAP_ADM_FABRICS;
	sqe.flags = LEAP_SQE_PSDT_SGL;
	sqe.fctype = type;
	sqe.attrib = attrib;
	sqe.ofst = leap_to_le32(offset);
	sqe.value = leap_to_le64(value);
	return script_cmd(s, &sqe);
}

static int set_up(void **state)
{
	struct rx *rx = calloc(1, sizeof(*rx));

	fx_setup((void **)&rx->fx);
	rx->admin = open_script(rx->fx);
	assert_int_equal(script_connect(rx->admin, FX_NQN, FX_HOST, 0,
					LEAP_CNTLID_DYNAMIC), 0);
	rx->fx->cntlid = (uint16_t)rx->admin->result;
	assert_int_equal(property(rx->admin, LEAP_FCTYPE_PROP_SET, 0,
				  LEAP_REG_CC, 0x00460001), 0);
	rx->io = open_script(rx->fx);
	assert_int_equal(script_connect(rx->io, FX_NQN, FX_HOST, 1,
					rx->fx->cntlid), 0);
	*state = rx;
	return 0;
}

static int tear_down(void **state)
{
	struct rx *rx = *state;
	struct fx *fx = rx->fx;

	script_close(rx->io);
	script_close(rx->admin);
	free(rx->io);
	free(rx->admin);
	free(rx);
	return fx_teardown((void **)&fx);
}

/* A first half waits for what comes next, which ends it. */
static void lone_first(struct script *s, const struct leap_sqe *sqe)
{
	unsigned int before = s->completes;
	struct leap_sqe next = *sqe;

	script_send(s, sqe);
	leap_pollgroup_poll(s->vqp.pg, 0);
	assert_int_equal(s->completes, before);
	next.flags = LEAP_SQE_FUSE_MASK;
	assert_int_equal(script_cmd(s, &next), REFUSED);
	assert_int_equal(s->completes, before + 2);
}

/* One value of the byte is a command; no other reaches payload or leaf. */
static void each_flags(struct script *s, struct leap_sqe *sqe)
{
	uint32_t flags, fuse;
	leap_status_t status;
	int io = s->vqp.qid != 0;

	for (flags = 0; flags < 256; flags++) {
		fuse = flags & LEAP_SQE_FUSE_MASK;
		sqe->flags = (uint8_t)flags;
		s->data_bytes = 0;
		status = REFUSED;
		if (flags == LEAP_SQE_PSDT_SGL)
			status = 0;
		else if (io && fuse == LEAP_SQE_FUSE_SECOND &&
			 sqe->opc == LEAP_NVM_WRITE)
			status = LONE;
		if (io && fuse == LEAP_SQE_FUSE_FIRST &&
		    sqe->opc == LEAP_NVM_COMPARE)
			lone_first(s, sqe);
		else
			assert_int_equal(script_cmd(s, sqe), status);
		if (status)
			assert_int_equal(s->data_bytes, 0);
	}
}

static void test_flags(void **state)
{
	struct rx *rx = *state;
	struct leap_sqe id = fx_identify(LEAP_CNS_CTRL, 0);
	struct leap_sqe rd = fx_rw(LEAP_NVM_READ, 1, 0, 8);
	struct leap_sqe wr = fx_rw(LEAP_NVM_WRITE, 1, 0, 8);
	struct leap_sqe cmp = fx_rw(LEAP_NVM_COMPARE, 1, 0, 8);
	struct leap_sqe flush = { 0 };

	each_flags(rx->admin, &id);
	/* A fused pair is a compare and a write: neither half is done. */
	memset(rx->io->buf, 0xa5, 4096);
	each_flags(rx->io, &wr);
	each_flags(rx->io, &cmp);
	each_flags(rx->io, &rd);
	flush.opc = LEAP_NVM_FLUSH;
	flush.nsid = leap_to_le32(1);
	each_flags(rx->io, &flush);
}

static void test_fused_write_writes_nothing(void **state)
{
	struct rx *rx = *state;
	struct leap_sqe rd = fx_rw(LEAP_NVM_READ, 1, 64, 8);
	struct leap_sqe wr = fx_rw(LEAP_NVM_WRITE, 1, 64, 8);
	uint32_t i;

	rd.flags = LEAP_SQE_PSDT_SGL;
	wr.flags = LEAP_SQE_PSDT_SGL | LEAP_SQE_FUSE_SECOND;
	memset(rx->io->buf, 0xff, 4096);
	assert_int_equal(script_cmd(rx->io, &wr), LONE);
	assert_int_equal(script_cmd(rx->io, &rd), 0);
	for (i = 0; i < 4096; i++)
		assert_int_equal(rx->io->buf[i], 0);
}

static void test_before_connect(void **state)
{
	struct rx *rx = *state;
	struct script *s = open_script(rx->fx);
	struct leap_fab_connect sqe = { 0 };
	struct leap_sqe id = fx_identify(LEAP_CNS_CTRL, 0);
	uint32_t flags;

	id.flags = LEAP_SQE_PSDT_SGL;
	assert_int_equal(script_cmd(s, &id),
			 LEAP_SC_CMD_SEQUENCE | LEAP_STATUS_DNR);
	assert_int_equal(property(s, LEAP_FCTYPE_PROP_SET, 0, LEAP_REG_CC, 1),
			 LEAP_SC_CMD_SEQUENCE | LEAP_STATUS_DNR);
	sqe.opc = LEAP_ADM_FABRICS;
	sqe.fctype = LEAP_FCTYPE_CONNECT;
	for (flags = 0; flags < 256; flags++) {
		sqe.flags = (uint8_t)flags;
		if (flags != LEAP_SQE_PSDT_SGL)
			assert_int_equal(script_cmd(s, &sqe), REFUSED);
	}
	sqe.flags = LEAP_SQE_PSDT_SGL;
	sqe.recfmt = leap_to_le16(1);
	assert_int_equal(script_cmd(s, &sqe),
			 LEAP_SC_FAB_FORMAT | LEAP_STATUS_DNR);
	/* None of them was held against it. */
	assert_int_equal(script_connect(s, FX_NQN, FX_HOST, 2,
					rx->fx->cntlid), 0);
	script_close(s);
	free(s);
}

static void test_connect_again(void **state)
{
	struct rx *rx = *state;
	struct leap_sqe rd = fx_rw(LEAP_NVM_READ, 1, 0, 8);

	rd.flags = LEAP_SQE_PSDT_SGL;
	assert_int_equal(script_connect(rx->admin, FX_NQN, FX_HOST, 0,
					LEAP_CNTLID_DYNAMIC),
			 LEAP_SC_CMD_SEQUENCE | LEAP_STATUS_DNR);
	assert_int_equal(script_connect(rx->io, FX_NQN, FX_HOST, 1,
					rx->fx->cntlid) & LEAP_STATUS_DNR,
			 LEAP_STATUS_DNR);
	assert_int_equal(script_cmd(rx->io, &rd), 0);
}

static void test_properties(void **state)
{
	struct rx *rx = *state;
	struct script *s = rx->admin;
	uint32_t attrib, offset;

	for (attrib = 2; attrib < 8; attrib++)
		for (offset = 0; offset < 0x70; offset += 4) {
			assert_int_equal(property(s, LEAP_FCTYPE_PROP_GET,
					 (uint8_t)attrib, offset, 0), REFUSED);
			assert_int_equal(property(s, LEAP_FCTYPE_PROP_SET,
					 (uint8_t)attrib, offset, 0), REFUSED);
		}
	/* No registers of memory queues here, in no size and no half. */
	for (offset = 0; offset < 0x1010; offset++) {
		if (offset == LEAP_REG_CC)
			continue;
		assert_int_equal(property(s, LEAP_FCTYPE_PROP_SET, 0, offset,
					  ~0ull), REFUSED);
		assert_int_equal(property(s, LEAP_FCTYPE_PROP_SET, 1, offset,
					  ~0ull), REFUSED);
	}
	assert_int_equal(property(s, LEAP_FCTYPE_PROP_GET, 0, LEAP_REG_AQA,
				  0), REFUSED);
	assert_int_equal(property(s, LEAP_FCTYPE_PROP_GET, 0, UINT32_MAX, 0),
			 REFUSED);
	assert_int_equal(property(s, LEAP_FCTYPE_PROP_GET, 0, LEAP_REG_CSTS,
				  0), 0);
	assert_int_equal(s->result, LEAP_CSTS_RDY);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_flags),
		T(test_fused_write_writes_nothing),
		T(test_before_connect),
		T(test_connect_again),
		T(test_properties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
