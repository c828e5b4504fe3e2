/* SPDX-License-Identifier: BSD-3-Clause */
#include "script-vqp.h"

#include <leapio/nvmf.h>
#include <leapio/pollgroup.h>

static struct script *of(struct leap_vqp *vqp)
{
	return (struct script *)vqp;
}

static void script_pull(struct leap_cmd *cmd, uint32_t len)
{
	struct script *s = of(cmd->vqp);

	assert_true(len <= SCRIPT_BUF);
	s->data_bytes = len;
	s->piece.addr = s->buf;
	s->piece.len_bytes = len;
	cmd->pieces = &s->piece;
	cmd->nr_pieces = 1;
	leap_cmd_ready(cmd, 0);
}

static void script_complete(struct leap_cmd *cmd)
{
	struct script *s = of(cmd->vqp);

	if (s->stopped || s->vqp.dead) {
		s->dropped++;
	} else {
		s->completes++;
		s->status = cmd->status;
		s->result = cmd->result;
	}
	leap_cmd_put(cmd);
}

static void script_resume(struct leap_vqp *vqp)
{
	(void)vqp;
}

static int script_attach(struct leap_vqp *vqp)
{
	(void)vqp;
	return 0;
}

static void script_vqp_close(struct leap_vqp *vqp)
{
	leap_vqp_lost(vqp, 0);
}

static void script_destroy(struct leap_vqp *vqp)
{
	of(vqp)->destroyed = 1;
}

const struct leap_transport_ops script_ops = {
	.size = sizeof(script_ops),
	.name = "script",
	.cmd_pull = script_pull,
	.cmd_complete = script_complete,
	.vqp_resume = script_resume,
	.vqp_detach = script_resume,
	.vqp_attach = script_attach,
	.vqp_close = script_vqp_close,
	.vqp_destroy = script_destroy,
};

void script_init(struct script *s, struct leap_pollgroup *pg,
		 struct leap_listener *listener)
{
	memset(s, 0, sizeof(*s));
	s->vqp.max_data_bytes = SCRIPT_BUF;
	strcpy(s->vqp.peer, "script");
	leap_vqp_init(&s->vqp, &script_ops, pg, listener);
	if (listener)
		assert_int_equal(leap_listener_accepted(listener, &s->vqp), 0);
}

void script_send(struct script *s, const void *sqe)
{
	struct leap_cmd *cmd = leap_cmd_get(&s->vqp);

	assert_non_null(cmd);
	memcpy(&cmd->sqe, sqe, sizeof(cmd->sqe));
	leap_vqp_deliver(&s->vqp, cmd);
}

leap_status_t script_cmd(struct script *s, const void *sqe)
{
	unsigned int before = s->completes, turns;

	script_send(s, sqe);
	for (turns = 0; s->completes == before; turns++) {
		assert_true(turns < 100000);
		leap_pollgroup_poll(s->vqp.pg, 0);
	}
	return (leap_status_t)(s->status & ~LEAP_STATUS_MORE);
}

leap_status_t script_connect(struct script *s, const char *subnqn,
			     const char *hostnqn, uint16_t qid, uint16_t cntlid)
{
	struct leap_connect_data *d = (void *)s->buf;
	struct leap_fab_connect sqe = { 0 };

	memset(d, 0, sizeof(*d));
	memset(d->hostid, 7, sizeof(d->hostid));
	d->cntlid = leap_to_le16(cntlid);
	strcpy(d->subnqn, subnqn);
	strcpy(d->hostnqn, hostnqn);
	sqe.opc = LEAP_ADM_FABRICS;
	sqe.flags = LEAP_SQE_PSDT_SGL;
	sqe.fctype = LEAP_FCTYPE_CONNECT;
	sqe.qid = leap_to_le16(qid);
	sqe.sqsize = leap_to_le16(31);
	return script_cmd(s, &sqe);
}

void script_close(struct script *s)
{
	unsigned int turns;

	if (!s->vqp.dead)
		leap_vqp_close(&s->vqp);
	for (turns = 0; !s->destroyed; turns++) {
		assert_true(turns < 100000);
		leap_pollgroup_poll(s->vqp.pg, 0);
	}
}
