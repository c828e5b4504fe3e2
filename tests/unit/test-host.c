/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leap_host against a scripted controller over loop://: bring-up, namespaces,
 * events, keep alive, a connection lost under load, giving up, shutdown, and
 * closing after any number of polls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/host.h>

#include "fake-target.h"

#define NQN "nqn.2014-08.org.example:disk"
#define BLOCKS 64
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The scripted controller. */
struct script {
	struct leap_target target;	/* first */
	struct leap_pollgroup *pg;
	uint32_t cc;
	unsigned int csts_reads, rdy_after, shst_reads, shst_after;
	unsigned int nr_queues;		/* granted */
	uint32_t nsids[4];
	struct leap_vqp *vqps[8];	/* by qid */
	struct leap_cmd *aers[8];
	unsigned int nr_aers;
	unsigned int keep_alives, late_keep_alives, log_reads, shutdowns, writes;
	int hold_io, never_ready, hold_ka;
	struct leap_cmd *held_ka;
	struct leap_cmd *held[64];
	unsigned int nr_held;
	uint8_t cntrltype;
	char media[BLOCKS][512];
	/* the host's side */
	struct leap_host *host;
	enum leap_host_state state;
	unsigned int states[4];
	leap_status_t why;
	int err;
	unsigned int events, closed;
	int closing;
	uint32_t last_event;
};

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

static void begin(struct script *s)
{
	memset(s, 0, sizeof(*s));
	assert_int_equal(leap_pollgroup_create(NULL, &s->pg), 0);
	fake_target_init(&s->target, s->pg);
	s->target.execute = execute;
	s->nr_queues = 2;
	s->cntrltype = LEAP_CNTRLTYPE_IO;
	s->nsids[0] = 1;
	s->nsids[1] = 5;
}

static void open_host(struct script *s, struct leap_host_opts *opts)
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

#define WAIT(s, cond) do { \
	uint64_t until = leap_pollgroup_now_ns((s)->pg) + 10000000000ull; \
	while (!(cond) && leap_pollgroup_now_ns((s)->pg) < until) \
		leap_pollgroup_wait((s)->pg, 1000000); \
	assert_true(cond); \
} while (0)

/* AERs that the controller still has are given back, as a real one would. */
static void drop_aers(struct script *s)
{
	while (s->nr_aers)
		leap_cmd_complete(s->aers[--s->nr_aers],
				  LEAP_SC_ABORT_SQ_DELETED);
}

static void end(struct script *s)
{
	struct leap_pollgroup_stats stats = { sizeof(stats) };
	uint64_t until = leap_pollgroup_now_ns(s->pg) + 10000000000ull;
	int i;

	if (!s->closing)
		leap_host_close(s->host, on_closed, s);
	while (!s->closed && leap_pollgroup_now_ns(s->pg) < until) {
		if (s->target.lost)
			drop_aers(s);
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

struct io {
	struct leap_req req;
	struct leap_piece piece;
	unsigned int done;
	char data[512];
};

static unsigned int nr_done;

static void io_done(struct leap_req *req)
{
	((struct io *)req)->done++;
	nr_done++;
}

static struct leap_req *io_init(struct io *io, uint8_t opc, uint64_t lba)
{
	memset(io, 0, sizeof(*io));
	io->req.sqe.opc = opc;
	io->req.sqe.nsid = leap_to_le32(1);
	io->req.sqe.cdw10 = leap_to_le32((uint32_t)lba);
	io->piece.addr = io->data;
	io->piece.len_bytes = 512;
	io->req.pieces = &io->piece;
	io->req.nr_pieces = 1;
	io->req.done = io_done;
	return &io->req;
}

static void test_live_and_io(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct leap_host_ns ns = { sizeof(ns) };
	struct script *s = malloc(sizeof(*s));
	struct leap_req *req;
	struct io io;

	begin(s);
	s->rdy_after = 3;
	open_host(s, &opts);
	req = io_init(&io, LEAP_NVM_WRITE, 3);
	assert_int_equal(leap_host_submit(s->host, 1, &req, 1), -ENOTCONN);
	WAIT(s, s->state == LEAP_HOST_LIVE);
	assert_int_equal(s->csts_reads, 4);
	assert_int_equal(s->cc & LEAP_CC_EN, LEAP_CC_EN);
	assert_int_equal(leap_host_nr_queues(s->host), 2);
	assert_int_equal(leap_host_identify(s->host)->aerl, 1);
	assert_int_equal(s->nr_aers, 0);
	WAIT(s, s->nr_aers == 2);
	assert_int_equal(leap_host_ns_next(s->host, 0, &ns), 0);
	assert_int_equal(ns.nsid, 1);
	assert_int_equal(ns.block_bytes, 512);
	assert_int_equal(ns.nr_blocks, BLOCKS);
	assert_int_equal(ns.uuid[15], 1);
	assert_int_equal(ns.nguid[0], 1);
	assert_int_equal(leap_host_ns_next(s->host, 1, &ns), 0);
	assert_int_equal(ns.nsid, 5);
	assert_int_equal(leap_host_ns_next(s->host, 5, &ns), -ENOENT);

	memset(io.data, 'x', 512);
	assert_int_equal(leap_host_sync(s->host, s->pg, 2, req), 0);
	assert_int_equal(leap_req_status(req), 0);
	req = io_init(&io, LEAP_NVM_READ, 3);
	assert_int_equal(leap_host_sync(s->host, s->pg, 1, req), 0);
	assert_int_equal(io.data[511], 'x');
	assert_int_equal(leap_host_submit(s->host, 3, &req, 1), -EINVAL);
	assert_non_null(strstr(leap_last_error(), "queue 3 exceeds 2"));
	leap_host_close(s->host, on_closed, s);
	s->closing = 1;
	assert_int_equal(leap_host_submit(s->host, 1, &req, 1), -ENOTCONN);
	end(s);
	assert_int_equal(s->shutdowns, 1);
	free(s);
}

static void test_event(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct leap_host_ns ns = { sizeof(ns) };
	struct leap_host_stats stats = { sizeof(stats) };
	struct script *s = malloc(sizeof(*s));
	struct leap_cmd *cmd;

	begin(s);
	opts.kato_ms = 40;
	open_host(s, &opts);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->nr_aers == 2);
	s->nsids[1] = 2;
	s->nsids[2] = 9;
	cmd = s->aers[--s->nr_aers];
	cmd->result = LEAP_AER_DW0(LEAP_AER_TYPE_NOTICE,
				   LEAP_AER_NOTICE_NS_CHANGED,
				   LEAP_LID_CHANGED_NS);
	leap_cmd_complete(cmd, 0);
	WAIT(s, s->events == 1);
	assert_int_equal(s->log_reads, 1);
	assert_int_equal(LEAP_AER_LID(s->last_event), LEAP_LID_CHANGED_NS);
	assert_int_equal(leap_host_ns_next(s->host, 1, &ns), 0);
	assert_int_equal(ns.nsid, 2);
	assert_int_equal(leap_host_ns_next(s->host, 2, &ns), 0);
	assert_int_equal(ns.nsid, 9);
	WAIT(s, s->nr_aers == 2);
	WAIT(s, s->keep_alives >= 3);
	assert_int_equal(leap_host_stats(s->host, &stats), 0);
	assert_int_equal(stats.events, 1);
	assert_int_equal(stats.reconnects, 0);
	end(s);
	free(s);
}

static void cut(struct script *s)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		if (s->vqps[i])
			leap_vqp_close(s->vqps[i]);
	memset(s->vqps, 0, sizeof(s->vqps));
}

static void test_lost_under_load(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct leap_host_stats stats = { sizeof(stats) };
	struct script *s = malloc(sizeof(*s));
	struct leap_req *req;
	struct io io[12];
	unsigned int i;

	begin(s);
	opts.reconnect_ms = 5;
	opts.depth = 16;
	open_host(s, &opts);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->nr_aers == 2);
	s->hold_io = 1;
	nr_done = 0;
	for (i = 0; i < 8; i++) {
		req = io_init(&io[i], LEAP_NVM_WRITE, i);
		memset(io[i].data, 'a' + (int)i, 512);
		assert_int_equal(leap_host_submit(s->host, 1 + i % 2, &req, 1),
				 1);
	}
	WAIT(s, s->nr_held == 8);
	cut(s);
	WAIT(s, s->target.lost == 3);
	drop_aers(s);
	while (s->nr_held)
		leap_cmd_complete(s->held[--s->nr_held], 0);
	s->hold_io = 0;
	WAIT(s, s->state == LEAP_HOST_RECONNECTING);
	for (; i < 12; i++) {
		req = io_init(&io[i], LEAP_NVM_WRITE, i);
		memset(io[i].data, 'a' + (int)i, 512);
		assert_int_equal(leap_host_submit(s->host, 1, &req, 1), 1);
	}
	assert_int_equal(nr_done, 0);
	WAIT(s, s->state == LEAP_HOST_LIVE);
	WAIT(s, nr_done == 12);
	for (i = 0; i < 12; i++) {
		assert_int_equal(io[i].done, 1);
		assert_int_equal(leap_req_status(&io[i].req), 0);
		assert_int_equal(s->media[i][511], 'a' + (int)i);
	}
	assert_int_equal(s->writes, 12);
	assert_int_equal(leap_host_stats(s->host, &stats), 0);
	assert_int_equal(stats.reconnects, 1);
	assert_int_equal(stats.redriven, 8);
	end(s);
	free(s);
}

/* Each was out when the connection went: does it go again? */
static void test_not_twice(void **state)
{
	static const struct {
		uint8_t opc, flags;
		int again;
	} t[] = {
		{ LEAP_NVM_READ, 0, 1 }, { LEAP_NVM_FLUSH, 0, 1 },
		{ LEAP_NVM_ZONE_MGMT_SEND, 0, 1 },
		{ LEAP_NVM_COPY, 0, 0 }, { LEAP_NVM_ZONE_APPEND, 0, 0 },
		{ LEAP_NVM_RESV_ACQUIRE, 0, 0 },
		{ LEAP_NVM_RESV_RELEASE, 0, 0 },
		/* What nobody here knows. */
		{ LEAP_NVM_VENDOR, 0, 0 }, { 0xff, 0, 0 }, { 0x2b, 0, 0 },
		{ LEAP_NVM_COMPARE, LEAP_SQE_FUSE_FIRST, 0 },
		{ LEAP_NVM_WRITE, LEAP_SQE_FUSE_SECOND, 0 },
	};
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = malloc(sizeof(*s));
	struct io io[COUNT(t)];
	struct leap_req *req;
	unsigned int i, again = 0;

	begin(s);
	opts.reconnect_ms = 5;
	opts.nr_io_queues = 1;
	open_host(s, &opts);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->nr_aers == 2);
	s->hold_io = 1;
	nr_done = 0;
	for (i = 0; i < COUNT(t); i++) {
		req = io_init(&io[i], t[i].opc, 0);
		req->sqe.flags = t[i].flags;
		assert_int_equal(leap_host_submit(s->host, 1, &req, 1), 1);
		again += (unsigned int)t[i].again;
	}
	WAIT(s, s->nr_held == COUNT(t));
	cut(s);
	WAIT(s, s->target.lost == 2);
	drop_aers(s);
	while (s->nr_held)
		leap_cmd_complete(s->held[--s->nr_held], 0);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->nr_held == again);
	assert_int_equal(nr_done, COUNT(t) - again);
	while (s->nr_held)
		leap_cmd_complete(s->held[--s->nr_held], 0);
	WAIT(s, nr_done == COUNT(t));
	for (i = 0; i < COUNT(t); i++) {
		assert_int_equal(io[i].done, 1);
		assert_int_equal(!leap_req_status(&io[i].req), t[i].again);
		assert_int_equal(!io[i].req.sys_errno, t[i].again);
	}
	end(s);
	free(s);
}

/* Sends writes 0..n-1 on queues 1, 2 and 3 in turn. */
static void write_all(struct script *s, struct io *io, unsigned int n)
{
	struct leap_req *req;
	unsigned int i;

	for (i = 0; i < n; i++) {
		req = io_init(&io[i], LEAP_NVM_WRITE, i);
		memset(io[i].data, 'A' + (int)i, 512);
		assert_int_equal(leap_host_submit(s->host, 1 + i % 3, &req, 1),
				 1);
	}
}

static void check_all(struct script *s, struct io *io, unsigned int n)
{
	unsigned int i;

	WAIT(s, nr_done == n);
	for (i = 0; i < n; i++) {
		assert_int_equal(io[i].done, 1);
		assert_int_equal(leap_req_status(&io[i].req), 0);
		assert_int_equal(s->media[i][511], 'A' + (int)i);
	}
	memset(s->media, 0, sizeof(s->media));
	nr_done = 0;
}

static void lose(struct script *s, unsigned int nr_queues)
{
	unsigned int lost = s->target.lost + 1 + s->nr_queues;

	s->nr_queues = nr_queues;
	cut(s);
	WAIT(s, s->target.lost == lost);
	drop_aers(s);
	while (s->nr_held)
		leap_cmd_complete(s->held[--s->nr_held], 0);
	s->hold_io = 0;
	WAIT(s, s->state == LEAP_HOST_RECONNECTING);
}

/* A bad count of addresses is said at once, whether the command could go or
 * has to wait; and nothing of it is sent later. */
static void test_bad_lists(void **state)
{
	static const uint64_t at[65];
	struct leap_req_lists lists = { .at = at };
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = malloc(sizeof(*s));
	struct leap_req *req;
	struct io io;
	int away;

	begin(s);
	opts.reconnect_ms = 5;
	opts.nr_io_queues = 1;
	s->nr_queues = 1;
	open_host(s, &opts);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->nr_aers == 2);
	req = io_init(&io, LEAP_NVM_READ, 0);
	nr_done = 0;
	assert_int_equal(leap_host_submit(s->host, 1, &req, 1), 1);
	WAIT(s, nr_done == 1);
	req = io_init(&io, LEAP_NVM_WRITE, 0);
	for (away = 0; away < 2; away++) {
		lists.nr = 0;
		assert_int_equal(leap_host_submit_lists(s->host, 1, req,
							&lists), -EINVAL);
		lists.nr = 65;
		assert_int_equal(leap_host_submit_lists(s->host, 1, req,
							&lists), -EINVAL);
		assert_non_null(strstr(leap_last_error(), "nr 65 is not 1 to"));
		if (away)
			break;
		lists.nr = 2;
		assert_int_equal(leap_host_submit_lists(s->host, 1, req,
							&lists), -EOPNOTSUPP);
		assert_non_null(strstr(leap_last_error(), "nr 2 over a"));
		lose(s, 1);
	}
	WAIT(s, s->state == LEAP_HOST_LIVE);
	leap_pollgroup_wait(s->pg, 1000000);
	assert_int_equal(nr_done, 1);
	assert_int_equal(s->writes, 0);
	end(s);
	free(s);
}

/* Three queues, then one, of which all three make use, then two, then three. */
static void test_fewer_queues(void **state)
{
	static const unsigned int granted[] = { 1, 2, 3 };
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = malloc(sizeof(*s));
	struct io *io = calloc(18, sizeof(*io));
	unsigned int i, q, up;

	begin(s);
	s->nr_queues = 3;
	opts.nr_io_queues = 3;
	opts.reconnect_ms = 5;
	opts.depth = 8;
	open_host(s, &opts);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->nr_aers == 2);
	nr_done = 0;
	for (i = 0; i < 3; i++) {
		/* More than a connection takes: some wait for the others. */
		s->hold_io = 1;
		write_all(s, io, 18);
		WAIT(s, s->nr_held >= 7);
		lose(s, granted[i]);
		WAIT(s, s->state == LEAP_HOST_LIVE);
		check_all(s, io, 18);
		assert_int_equal(leap_host_nr_queues(s->host), 3);
		for (q = 1, up = 0; q < 8; q++)
			up += s->vqps[q] != NULL;
		assert_int_equal(up, granted[i]);
		/* And again, live. */
		write_all(s, io, 18);
		check_all(s, io, 18);
	}
	end(s);
	free(io);
	free(s);
}

static void test_gives_up(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = malloc(sizeof(*s));
	struct leap_req *req;
	struct io io;

	begin(s);
	opts.reconnect_ms = 5;
	opts.loss_ms = 30;
	open_host(s, &opts);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->nr_aers == 2);
	s->target.refuse = -ECONNREFUSED;
	cut(s);
	WAIT(s, s->target.lost == 1);
	drop_aers(s);
	WAIT(s, s->state == LEAP_HOST_RECONNECTING);
	nr_done = 0;
	req = io_init(&io, LEAP_NVM_READ, 0);
	assert_int_equal(leap_host_submit(s->host, 1, &req, 1), 1);
	WAIT(s, s->state == LEAP_HOST_FAILED);
	assert_int_equal(s->err, -ECONNREFUSED);
	WAIT(s, nr_done == 1);
	assert_int_equal(leap_req_status(req), LEAP_SC_PATH_HOST);
	assert_int_equal(req->sys_errno, -ECONNREFUSED);
	assert_int_equal(leap_host_submit(s->host, 1, &req, 1), -ENOTCONN);
	end(s);
	free(s);
}

/* A controller that is stuck: half of KATO after a Keep Alive it is left. */
static void test_no_keep_alive(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = malloc(sizeof(*s));

	begin(s);
	s->hold_ka = 1;
	opts.kato_ms = 40;
	opts.reconnect_ms = 5;
	open_host(s, &opts);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->nr_aers == 2);
	WAIT(s, s->state == LEAP_HOST_RECONNECTING);
	assert_int_equal(s->err, -ETIMEDOUT);
	assert_int_equal(s->keep_alives, 1);
	s->hold_ka = 0;
	WAIT(s, s->target.lost == 3);
	leap_cmd_complete(s->held_ka, 0);
	drop_aers(s);
	WAIT(s, s->state == LEAP_HOST_LIVE);
	assert_int_equal(s->states[LEAP_HOST_LIVE], 2);
	end(s);
	free(s);
}

/* A controller that shuts down has no timer to be kept from running out, and
 * some call such a command an error. */
static void test_quiet_shutdown(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = malloc(sizeof(*s));

	begin(s);
	opts.kato_ms = 4;
	s->shst_after = 20;
	open_host(s, &opts);
	WAIT(s, s->state == LEAP_HOST_LIVE && s->keep_alives > 2);
	end(s);
	assert_true(s->shst_reads > s->shst_after);
	assert_int_equal(s->late_keep_alives, 0);
	free(s);
}

static void test_first_try_fails(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct script *s = malloc(sizeof(*s));

	begin(s);
	s->target.connect_status = LEAP_SC_FAB_HOST | LEAP_STATUS_DNR;
	open_host(s, &opts);
	WAIT(s, s->state == LEAP_HOST_FAILED);
	assert_int_equal(s->why, LEAP_SC_FAB_HOST | LEAP_STATUS_DNR);
	assert_int_equal(s->states[LEAP_HOST_LIVE], 0);
	end(s);
	/* Enabled, but never ready: CAP.TO is over after a second. */
	begin(s);
	s->never_ready = 1;
	open_host(s, &opts);
	WAIT(s, s->state == LEAP_HOST_FAILED);
	assert_int_equal(s->err, -ETIMEDOUT);
	end(s);
	free(s);
}

static void test_discovery(void **state)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	struct leap_host_ns ns = { sizeof(ns) };
	struct script *s = malloc(sizeof(*s));

	begin(s);
	s->cntrltype = LEAP_CNTRLTYPE_DISCOVERY;
	opts.url = "loop://fake/" LEAP_NQN_DISCOVERY;
	open_host(s, &opts);
	WAIT(s, s->state == LEAP_HOST_LIVE);
	assert_int_equal(leap_host_nr_queues(s->host), 0);
	assert_int_equal(leap_host_ns_next(s->host, 0, &ns), -ENOENT);
	assert_int_equal(s->target.accepted, 1);
	end(s);
	free(s);
}

static void test_close_at_any_time(void **state)
{
	struct script *s = malloc(sizeof(*s));
	int polls, i;

	for (polls = 0; polls < 60; polls++) {
		struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;

		begin(s);
		open_host(s, &opts);
		for (i = 0; i < polls; i++)
			leap_pollgroup_poll(s->pg, 0);
		end(s);
	}
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_live_and_io),
		cmocka_unit_test(test_event),
		cmocka_unit_test(test_lost_under_load),
		cmocka_unit_test(test_not_twice),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_fewer_queues),
		cmocka_unit_test(test_gives_up),
		cmocka_unit_test(test_no_keep_alive),
		cmocka_unit_test(test_quiet_shutdown),
		cmocka_unit_test(test_first_try_fails),
		cmocka_unit_test(test_discovery),
		cmocka_unit_test(test_close_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
