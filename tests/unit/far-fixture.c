/* SPDX-License-Identifier: BSD-3-Clause */
#include "far-fixture.h"

#include <leapio/host.h>
#include <leapio/nvmf.h>

#define NQN	"nqn.2026-01.org.example:far"

static struct far *far_of(struct leap_cmd *cmd)
{
	return (struct far *)cmd->vqp->handler_priv;
}

/* ---- admin -------------------------------------------------------------- */

static void put_descs(const struct far *f, uint8_t *to)
{
	to[0] = LEAP_NIDT_CSI;
	to[1] = LEAP_NIDL_CSI;
	to[4] = f->csi;
}

static void identify_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct far *f = far_of(cmd);
	uint32_t cns = leap_from_le32(cmd->sqe.cdw10) & 0xff;
	uint32_t csi = LEAP_GET(leap_from_le32(cmd->sqe.cdw11),
				LEAP_IDENTIFY_CDW11_CSI);
	uint8_t *to = cmd->pieces[0].addr;

	assert_int_equal(status, 0);
	switch (cns) {
	case LEAP_CNS_CTRL:
		memcpy(to, &f->id, 4096);
		break;
	case LEAP_CNS_CSI_CTRL:
		memcpy(to, csi == LEAP_CSI_ZNS ? (void *)&f->ctrl_zns :
		       (void *)&f->nvm, 4096);
		break;
	case LEAP_CNS_CSI_NS:
		memcpy(to, &f->zns, 4096);
		break;
	case LEAP_CNS_NS:
		memcpy(to, &f->ns, 4096);
		break;
	case LEAP_CNS_NS_DESC:
		put_descs(f, to);
		break;
	case LEAP_CNS_NS_ACTIVE:
		to[0] = leap_from_le32(cmd->sqe.nsid) ? 0 : 1;
		break;
	}
	leap_cmd_complete(cmd, 0);
}

static void properties(struct far *f, struct leap_cmd *cmd)
{
	const struct leap_fab_prop_set *p =
		(const struct leap_fab_prop_set *)(const void *)&cmd->sqe;
	uint32_t ofst = leap_from_le32(p->ofst);

	if (p->fctype == LEAP_FCTYPE_PROP_SET)
		f->cc = (uint32_t)leap_from_le64(p->value);
	else if (ofst == LEAP_REG_CAP)
		cmd->result = LEAP_PUT(127ull, LEAP_CAP_MQES) | LEAP_CAP_CQR |
			      LEAP_PUT(1ull, LEAP_CAP_TO);
	else if (ofst == LEAP_REG_VS)
		cmd->result = LEAP_VS_1_4;
	else if (LEAP_GET(f->cc, LEAP_CC_SHN))
		cmd->result = LEAP_PUT(LEAP_CSTS_SHST_DONE, LEAP_CSTS_SHST);
	else
		cmd->result = f->cc & LEAP_CC_EN ? LEAP_CSTS_RDY : 0;
	leap_cmd_complete(cmd, 0);
}

static void log_ready(struct leap_cmd *cmd, leap_status_t status)
{
	assert_int_equal(status, 0);
	leap_cmd_complete(cmd, 0);
}

static void admin(struct far *f, struct leap_cmd *cmd)
{
	switch (cmd->sqe.opc) {
	case LEAP_ADM_FABRICS:
		properties(f, cmd);
		return;
	case LEAP_ADM_IDENTIFY:
		leap_cmd_pull(cmd, 4096, identify_ready);
		return;
	case LEAP_ADM_GET_LOG:
		leap_cmd_pull(cmd, 4096, log_ready);
		return;
	case LEAP_ADM_AER:
		assert_true(f->nr_aers < 8);
		f->aers[f->nr_aers++] = cmd;
		return;
	}
	leap_cmd_complete(cmd, 0);
}

void far_drop_aers(struct far *f)
{
	while (f->nr_aers)
		leap_cmd_complete(f->aers[--f->nr_aers],
				  LEAP_SC_ABORT_SQ_DELETED);
}

void far_ns_changed(struct far *f)
{
	struct leap_cmd *cmd;

	assert_true(f->nr_aers > 0);
	cmd = f->aers[--f->nr_aers];
	cmd->result = LEAP_AER_DW0(LEAP_AER_TYPE_NOTICE,
				   LEAP_AER_NOTICE_NS_CHANGED,
				   LEAP_LID_CHANGED_NS);
	leap_cmd_complete(cmd, 0);
}

/* ---- I/O ---------------------------------------------------------------- */

/* Every connection: the host comes again with new ones. */
static void cut(struct far *f)
{
	uint32_t i;

	for (i = 0; i < 8; i++)
		if (f->vqps[i])
			leap_vqp_close(f->vqps[i]);
	memset(f->vqps, 0, sizeof(f->vqps));
	far_drop_aers(f);
}

static void keep(struct far *f, struct leap_cmd *cmd)
{
	struct got *g = &f->got[f->nr];
	uint32_t i, at = 0, n;

	assert_true(f->nr++ < 300);
	g->sqe = cmd->sqe;
	g->bytes = cmd->data_bytes;
	for (i = 0; i < cmd->nr_pieces && !(cmd->sqe.opc & 2); i++) {
		n = cmd->pieces[i].len_bytes;
		if (n > sizeof(g->list) - at)
			n = (uint32_t)sizeof(g->list) - at;
		memcpy(g->list + at, cmd->pieces[i].addr, n);
		at += n;
	}
}

static void io_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct far *f = far_of(cmd);

	assert_int_equal(status, 0);
	keep(f, cmd);
	if (f->nr == f->cut_at) {
		f->cut_cmd = cmd;
		f->cut_lost = f->target.lost + 2;
		cut(f);
	} else if (f->nr == f->fail_at) {
		cmd->result = f->fail_result;
		leap_cmd_complete(cmd, f->fail_status);
	} else if (!f->answer || !f->answer(f, cmd)) {
		leap_cmd_complete(cmd, 0);
	}
}

static uint32_t bytes_of(const struct far *f, const struct leap_sqe *sqe)
{
	uint32_t shift = f->ns.lbaf[0].lbads;

	switch (sqe->opc) {
	case LEAP_NVM_DSM:
		return ((leap_from_le32(sqe->cdw10) & 0xff) + 1) * 16;
	case LEAP_NVM_COPY:
		return ((leap_from_le32(sqe->cdw12) & 0xff) + 1) * 32;
	case LEAP_NVM_ZONE_MGMT_RECV:
		return (leap_from_le32(sqe->cdw12) + 1) * 4;
	case LEAP_NVM_READ:
	case LEAP_NVM_WRITE:
	case LEAP_NVM_COMPARE:
	case LEAP_NVM_ZONE_APPEND:
		return leap_sqe_nlb(sqe) << shift;
	default:
		return 0;
	}
}

static void execute(struct leap_target *t, struct leap_cmd *cmd)
{
	struct far *f = (struct far *)t;

	if (cmd->vqp->qid < 8)
		f->vqps[cmd->vqp->qid] = cmd->vqp;
	if (!cmd->vqp->qid)
		admin(f, cmd);
	else
		leap_cmd_pull(cmd, bytes_of(f, &cmd->sqe), io_ready);
}

/* ---- the relay ---------------------------------------------------------- */

int far_set_up(void **state)
{
	struct far *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	*state = f;
	assert_int_equal(leap_pollgroup_create(NULL, &f->pg), 0);
	fake_target_init(&f->target, f->pg);
	f->target.execute = execute;
	f->id.cntrltype = LEAP_CNTRLTYPE_IO;
	f->id.ioccsz = leap_to_le32(4 + 512);
	f->id.ver = leap_to_le32(LEAP_VS_1_4);
	f->id.oaes = leap_to_le32(LEAP_AEC_NS_ATTR);
	f->id.oncs = leap_to_le16(LEAP_ONCS_COMPARE | LEAP_ONCS_DSM |
				  LEAP_ONCS_WRITE_ZEROES | LEAP_ONCS_VERIFY |
				  LEAP_ONCS_COPY);
	f->id.ocfs = leap_to_le16(LEAP_OCFS_FORMAT0);
	f->ns.nsze = leap_to_le64(FAR_BLOCKS);
	f->ns.lbaf[0].lbads = 9;
	f->ns.mssrl = leap_to_le16(65535);
	f->ns.mcl = leap_to_le32(1u << 24);
	f->ns.msrc = 255;
	f->fail_status = LEAP_SC_WRITE_FAULT;
	f->relay = (struct leap_relay_opts)LEAP_RELAY_OPTS_INIT;
	f->relay.url = "loop://fake/" NQN;
	f->relay.target = &f->target;
	f->relay.start_block = FAR_START;
	f->relay.nr_blocks = 1ull << 34;
	f->relay.reconnect_ms = 5;
	return 0;
}

static void opened(int err, struct leap_bdev *bdev, void *arg)
{
	struct far *f = arg;

	f->bdev = bdev;
	f->err = err;
	f->flag = 1;
}

/* Answered to nobody. */
static void drop_cut(struct far *f)
{
	struct leap_cmd *cmd = f->cut_cmd;

	if (!cmd || f->target.lost < f->cut_lost)
		return;
	f->cut_cmd = NULL;
	leap_cmd_complete(cmd, 0);
}

void far_settle(struct far *f, int *flag)
{
	int i;

	for (i = 0; !*flag || f->cut_cmd; i++) {
		assert_true(i < 20000);
		drop_cut(f);
		if (f->target.lost + 1 > f->target.accepted)
			far_drop_aers(f);
		leap_pollgroup_wait(f->pg, 1000000);
	}
}

int far_open(struct far *f)
{
	f->flag = 0;
	assert_int_equal(leap_relay_open(f->pg, &f->relay, opened, f), 0);
	far_settle(f, &f->flag);
	far_drop_aers(f);
	if (f->err)
		return f->err;
	assert_int_equal(leap_chan_open(f->bdev, f->pg, 8, &f->chan), 0);
	return 0;
}

int far_tear_down(void **state)
{
	struct far *f = *state;
	int i;

	if (f->chan)
		assert_int_equal(leap_chan_close(f->chan), 0);
	far_drop_aers(f);
	if (f->bdev)
		assert_int_equal(leap_bdev_close(f->bdev), 0);
	for (i = 0; leap_pollgroup_destroy(f->pg); i++) {
		assert_true(i < 5000);
		far_drop_aers(f);
		leap_pollgroup_wait(f->pg, 1000000);
	}
	free(f);
	return 0;
}

static void bio_ended(struct leap_bio *bio, leap_status_t status)
{
	struct far *f = bio->arg;

	f->flag = 1;
	f->err = status;
}

leap_status_t far_run(struct far *f, uint8_t op, uint64_t block, uint32_t nr,
		      const struct leap_sqe *sqe, void *payload,
		      uint32_t bytes, uint64_t *result)
{
	struct leap_piece piece = { .addr = payload, .len_bytes = bytes };
	struct leap_bio *bio = leap_bio_get(f->chan);

	bio->op = op;
	bio->flags = f->bio_flags;
	bio->block = block;
	bio->nr_blocks = nr;
	bio->sqe = sqe;
	bio->pieces = &piece;
	bio->nr_pieces = bytes ? 1 : 0;
	bio->done = bio_ended;
	bio->arg = f;
	bio->result = result ? *result : 0;
	f->flag = 0;
	f->nr = 0;
	leap_bio_submit(f->chan, bio);
	far_settle(f, &f->flag);
	if (result)
		*result = bio->result;
	leap_bio_put(f->chan, bio);
	return (leap_status_t)f->err;
}
