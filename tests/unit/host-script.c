/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The scripted controller: it answers what a host needs on its way up, keeps
 * AERs and what it was told to hold, and counts. It cannot fail a command.
 */
#include "host-script.h"

static struct script *script_of(struct leap_target *t)
{
	return (struct script *)t;
}

static void ready_identify(struct leap_cmd *cmd, leap_status_t status)
{
	struct script *s = script_of(cmd->vqp->handler_priv);
	uint32_t cns = leap_from_le32(cmd->sqe.cdw10) & 0xff;
	uint32_t nsid = leap_from_le32(cmd->sqe.nsid);
	void *data = cmd->pieces ? cmd->pieces[0].addr : NULL;
	struct leap_id_ctrl *ctrl = data;
	struct leap_id_ns *ns = data;
	struct leap_ns_list *list = data;
	uint8_t *desc = data;
	unsigned int i, n = 0;

	assert_int_equal(status, 0);
	switch (cns) {
	case LEAP_CNS_CTRL:
		ctrl->oaes = leap_to_le32(LEAP_AEC_NS_ATTR);
		ctrl->aerl = 1;
		ctrl->cntrltype = s->cntrltype;
		ctrl->ioccsz = leap_to_le32(4 + 512);
		break;
	case LEAP_CNS_NS_ACTIVE:
		for (i = 0; i < 4; i++)
			if (s->nsids[i] > nsid)
				list->nsid[n++] = leap_to_le32(s->nsids[i]);
		break;
	case LEAP_CNS_NS:
		ns->nsze = leap_to_le64(BLOCKS);
		ns->lbaf[0].lbads = 9;
		ns->nguid[0] = (uint8_t)nsid;
		break;
	case LEAP_CNS_NS_DESC:
		desc[0] = LEAP_NIDT_EUI64;
		desc[1] = 8;
		desc[12] = LEAP_NIDT_UUID;
		desc[13] = 16;
		memset(desc + 16, (int)nsid, 16);
		break;
	default:
		fail_msg("Identify CNS %x", cns);
	}
	leap_cmd_complete(cmd, 0);
}

static void ready_log(struct leap_cmd *cmd, leap_status_t status)
{
	script_of(cmd->vqp->handler_priv)->log_reads++;
	leap_cmd_complete(cmd, status);
}

static void fabrics(struct script *s, struct leap_cmd *cmd)
{
	const struct leap_fab_prop_set *p =
		(const struct leap_fab_prop_set *)&cmd->sqe;
	uint32_t ofst = leap_from_le32(p->ofst);

	if (p->fctype == LEAP_FCTYPE_PROP_SET) {
		assert_int_equal(ofst, LEAP_REG_CC);
		s->cc = (uint32_t)leap_from_le64(p->value);
		s->shutdowns += LEAP_GET(s->cc, LEAP_CC_SHN) != 0;
	} else if (ofst == LEAP_REG_CAP) {
		assert_int_equal(p->attrib, LEAP_PROP_SIZE_8);
		cmd->result = LEAP_PUT(127ull, LEAP_CAP_MQES) |
			      LEAP_CAP_CQR | LEAP_PUT(1ull, LEAP_CAP_TO);
	} else if (ofst == LEAP_REG_VS) {
		cmd->result = LEAP_VS_1_4;
	} else {
		assert_int_equal(ofst, LEAP_REG_CSTS);
		if (!s->never_ready && s->csts_reads++ >= s->rdy_after &&
		    (s->cc & LEAP_CC_EN))
			cmd->result = LEAP_CSTS_RDY;
		if (LEAP_GET(s->cc, LEAP_CC_SHN) &&
		    s->shst_reads++ >= s->shst_after)
			cmd->result |= LEAP_PUT(LEAP_CSTS_SHST_DONE,
						LEAP_CSTS_SHST);
	}
	leap_cmd_complete(cmd, 0);
}

static void admin(struct script *s, struct leap_cmd *cmd)
{
	uint32_t dw10 = leap_from_le32(cmd->sqe.cdw10);

	switch (cmd->sqe.opc) {
	case LEAP_ADM_FABRICS:
		fabrics(s, cmd);
		return;
	case LEAP_ADM_IDENTIFY:
		leap_cmd_pull(cmd, 4096, ready_identify);
		return;
	case LEAP_ADM_GET_LOG:
		leap_cmd_pull(cmd, ((dw10 >> 16) + 1) * 4, ready_log);
		return;
	case LEAP_ADM_AER:
		s->aers[s->nr_aers++] = cmd;
		return;
	case LEAP_ADM_KEEP_ALIVE:
		s->keep_alives++;
		s->late_keep_alives += LEAP_GET(s->cc, LEAP_CC_SHN) != 0;
		if (!s->hold_ka)
			break;
		s->held_ka = cmd;
		return;
	case LEAP_ADM_SET_FEATURES:
		if ((dw10 & 0xff) == LEAP_FID_NUM_QUEUES)
			cmd->result = (s->nr_queues - 1) * 0x10001u;
		break;
	default:
		fail_msg("admin opcode %x", cmd->sqe.opc);
	}
	leap_cmd_complete(cmd, 0);
}

static void ready_io(struct leap_cmd *cmd, leap_status_t status)
{
	struct script *s = script_of(cmd->vqp->handler_priv);
	void *block = s->media[leap_sqe_slba(&cmd->sqe)];

	assert_int_equal(status, 0);
	if (cmd->sqe.opc == LEAP_NVM_WRITE) {
		memcpy(block, cmd->pieces[0].addr, 512);
		s->writes++;
	} else {
		memcpy(cmd->pieces[0].addr, block, 512);
	}
	leap_cmd_complete(cmd, 0);
}

static void execute(struct leap_target *t, struct leap_cmd *cmd)
{
	struct script *s = script_of(t);

	s->vqps[cmd->vqp->qid] = cmd->vqp;
	if (!cmd->vqp->qid)
		admin(s, cmd);
	else if (s->hold_io)
		s->held[s->nr_held++] = cmd;
	else
		leap_cmd_pull(cmd, 512, ready_io);
}

static void on_state(struct leap_host *h, enum leap_host_state state,
		     leap_status_t status, int err, void *arg)
{
	struct script *s = arg;

	s->state = state;
	s->states[state]++;
	s->why = status;
	s->err = err;
	assert_int_equal(leap_host_state(h), state);
}

static void on_event(struct leap_host *h, uint32_t dw0, void *arg)
{
	struct script *s = arg;

	s->events++;
	s->last_event = dw0;
}

static void on_closed(void *arg)
{
	((struct script *)arg)->closed++;
}

struct script *script_begin(void)
{
	static struct script script;
	struct script *s = &script;

	memset(s, 0, sizeof(*s));
	assert_int_equal(leap_pollgroup_create(NULL, &s->pg), 0);
	fake_target_init(&s->target, s->pg);
	s->target.execute = execute;
	s->nr_queues = 2;
	s->cntrltype = LEAP_CNTRLTYPE_IO;
	s->nsids[0] = 1;
	s->nsids[1] = 5;
	return s;
}

void script_open(struct script *s, struct leap_host_opts *opts)
{
	opts->url = opts->url ? opts->url : "loop://fake/" NQN;
	opts->target = &s->target;
	opts->state = on_state;
	opts->event = on_event;
	opts->arg = s;
	if (!opts->nr_io_queues)
		opts->nr_io_queues = 4;
	assert_int_equal(leap_host_connect(s->pg, opts, &s->host), 0);
	assert_int_equal(leap_host_state(s->host), LEAP_HOST_CONNECTING);
}

void script_up(struct script *s, struct leap_host_opts *opts)
{
	script_open(s, opts);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->nr_aers == 2);
}

void script_drop_aers(struct script *s)
{
	while (s->nr_aers)
		leap_cmd_complete(s->aers[--s->nr_aers],
				  LEAP_SC_ABORT_SQ_DELETED);
}

void script_cut(struct script *s, unsigned int nr)
{
	unsigned int lost = s->target.lost + nr, i;

	for (i = 0; i < COUNT(s->vqps); i++)
		if (s->vqps[i])
			leap_vqp_close(s->vqps[i]);
	memset(s->vqps, 0, sizeof(s->vqps));
	WAIT(s, s->target.lost == lost);
	script_drop_aers(s);
}

void script_release(struct script *s)
{
	while (s->nr_held)
		leap_cmd_complete(s->held[--s->nr_held], 0);
}

void script_close(struct script *s)
{
	leap_host_close(s->host, on_closed, s);
	s->closing = 1;
}

void script_end(struct script *s)
{
	struct leap_pollgroup_stats stats = { sizeof(stats) };
	uint64_t until = leap_pollgroup_now_ns(s->pg) + 60000000000ull;
	int i;

	if (!s->closing)
		script_close(s);
	while (!s->closed && leap_pollgroup_now_ns(s->pg) < until) {
		if (s->target.lost)
			script_drop_aers(s);
		leap_pollgroup_wait(s->pg, 1000000);
	}
	assert_int_equal(s->closed, 1);
	for (i = 0; i < 10; i++)
		leap_pollgroup_poll(s->pg, 0);
	assert_int_equal(leap_pollgroup_stats(s->pg, &stats), 0);
	assert_int_equal(stats.cmds_in_use, 0);
	assert_int_equal(s->target.gone, s->target.accepted);
	assert_int_equal(leap_pollgroup_destroy(s->pg), 0);
}

/* ---- I/O ---- */

static void io_done(struct leap_req *req)
{
	struct io *io = (struct io *)req;

	io->done++;
	io->s->nr_done++;
}

struct leap_req *io_init(struct script *s, struct io *io, uint8_t opc,
			 uint64_t lba, int fill)
{
	memset(io, 0, sizeof(*io));
	memset(io->data, fill, sizeof(io->data));
	io->req.sqe.opc = opc;
	io->req.sqe.nsid = leap_to_le32(1);
	io->req.sqe.cdw10 = leap_to_le32((uint32_t)lba);
	io->piece.addr = io->data;
	io->piece.len_bytes = sizeof(io->data);
	io->req.pieces = &io->piece;
	io->req.nr_pieces = 1;
	io->req.done = io_done;
	io->s = s;
	return &io->req;
}

void io_submit(struct script *s, struct io *io, uint32_t q, uint8_t opc,
	       uint64_t lba, int fill)
{
	struct leap_req *req = io_init(s, io, opc, lba, fill);

	assert_int_equal(leap_host_submit(s->host, q, &req, 1), 1);
}
