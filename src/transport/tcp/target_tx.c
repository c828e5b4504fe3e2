/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the controller end of an NVMe/TCP queue pair answers: ICResp, C2HData
 * and responses, as far as a send has room. R2Ts are target_data.c's.
 *
 * A command whose payload is in a send keeps it until that send is done.
 */
#include "transport/tcp/target.h"

#include <leapio/nvmf.h>

#include <string.h>

#include "util/plant.h"

static void gather_ic(struct target *t)
{
	union leap__tcp_pdu pdu;
	uint32_t max = t->limits.max_data & ~3u;

	memset(&pdu, 0, sizeof(pdu));
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_IC_RESP, 0, sizeof(pdu.ic_resp), 0,
		      sizeof(pdu.ic_resp));
	pdu.ic_resp.dgst = t->ic_dgst;
	pdu.ic_resp.maxh2cdata = leap_to_le32(max);
	leap__tcp_tx_hdr(&t->c, &pdu, sizeof(pdu.ic_resp));
	t->ic_due = 0;
	t->c.rules.hdgst = !!(t->ic_dgst & LEAP_TCP_DGST_HEADER);
	t->c.rules.ddgst = !!(t->ic_dgst & LEAP_TCP_DGST_DATA);
	t->c.rules.max_data = max;
	t->c.rules.ready = 1;
	t->c.state = LEAP__TCP_READY;
}

static void gather_rsp(struct target *t, struct leap_cmd *cmd)
{
	uint32_t head = sizeof(struct leap_tcp_rsp) +
			(t->c.rules.hdgst ? LEAP_TCP_DIGEST_LEN : 0);
	union leap__tcp_pdu pdu;

	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_RSP, 0, sizeof(pdu.rsp), 0, head);
	pdu.rsp.cqe.result = leap_to_le64(cmd->result);
	pdu.rsp.cqe.sqhd = leap_to_le16(cmd->sqhd);
	pdu.rsp.cqe.sqid = leap_to_le16(t->vqp.qid);
	pdu.rsp.cqe.cid = cmd->sqe.cid;
	pdu.rsp.cqe.status = leap_cqe_status_word(cmd->status, 0);
	leap__tcp_tx_hdr(&t->c, &pdu, head);
}

static int no_rsp(const struct target *t, const struct leap_cmd *cmd)
{
	/* Without flow control a response says nothing that LAST does not. */
	return t->vqp.sq_flow_off && !cmd->result && t->live;
}

/* 0 = the send is full in the middle of the payload */
static int gather_data(struct target *t)
{
	struct leap_cmd *cmd = t->tx_cmd;

	if (!leap__tcp_tx_data(&t->c))
		return 0;
	if (!no_rsp(t, cmd))
		gather_rsp(t, cmd);
	t->tx_cmd = NULL;
	cmd->link[0] = t->sending;
	t->sending = cmd;
	return 1;
}

static int gather_done(struct target *t, struct leap_cmd *cmd)
{
	struct leap__tcp_cursor cur = { cmd->pieces, 0 };
	union leap__tcp_pdu pdu;
	uint8_t flags = LEAP_TCP_F_LAST;

	t->inflight--;
	if (cmd->status || !cmd->nr_pieces ||
	    priv(cmd)->dir != LEAP_DIR_TO_HOST) {
		gather_rsp(t, cmd);
		if (LEAP_PLANT(DOUBLE_COMPLETE))
			gather_rsp(t, cmd);
		leap__tcp_release(t, cmd);
		return 1;
	}
	if (no_rsp(t, cmd))
		flags |= LEAP_TCP_F_SUCCESS;
	if (t->c.rules.ddgst)
		flags |= LEAP_TCP_F_DDGST;
	memset(&pdu.data, 0, sizeof(pdu.data));
	leap__tcp_hdr(&pdu.hdr, LEAP_TCP_C2H_DATA, flags, sizeof(pdu.data),
		      t->c.pdo, t->c.pdo + cmd->data_bytes +
		      (t->c.rules.ddgst ? LEAP_TCP_DIGEST_LEN : 0));
	pdu.data.cccid = cmd->sqe.cid;
	pdu.data.datal = leap_to_le32(cmd->data_bytes);
	leap__tcp_tx_hdr(&t->c, &pdu, t->c.pdo);
	leap__tcp_tx_begin(&t->c, cur, cmd->data_bytes);
	t->tx_cmd = cmd;
	return gather_data(t);
}

void leap__tcp_target_gather(struct leap__tcp_conn *c)
{
	struct target *t = of_conn(c);

	if (t->tx_cmd && !gather_data(t))
		return;
	if (t->wait.head)
		leap__tcp_retry_waiting(t);
	if (t->nr_aside)
		leap__tcp_retry_aside(t);
	if (t->ic_due)
		gather_ic(t);
	while (t->r2t.head && !leap__tcp_tx_full(c))
		leap__tcp_gather_r2t(t, t->r2t.head);
	while (t->done.head && !leap__tcp_tx_full(c))
		if (!gather_done(t, leap__cmdq_pop(&t->done)))
			return;
}

void leap__tcp_target_sent(struct leap__tcp_conn *c)
{
	struct target *t = of_conn(c);
	struct leap_cmd *cmd;

	while ((cmd = t->sending)) {
		t->sending = cmd->link[0];
		leap__tcp_release(t, cmd);
	}
	cmd = t->connect;
	t->connect = NULL;
	if (cmd)
		leap__tcp_data_ready(t, cmd);
}

void leap__tcp_cmd_complete(struct leap_cmd *cmd)
{
	struct target *t = (struct target *)cmd->vqp;
	struct leap_fab_sqe fab;

	/* A command that ends because its queue does is not answered: the host
	 * sends it again, where an error would reach the application. */
	if (t->vqp.dead || t->c.state > LEAP__TCP_CLOSING ||
	    (t->c.state == LEAP__TCP_CLOSING &&
	     cmd->status == LEAP_SC_ABORT_SQ_DELETED)) {
		leap__tcp_release(t, cmd);
		return;
	}
	if (!t->live) {
		memcpy(&fab, &cmd->sqe, sizeof(fab));
		if (fab.opc == LEAP_ADM_FABRICS && !cmd->status &&
		    fab.fctype == LEAP_FCTYPE_CONNECT) {
			t->live = 1;
			leap__tcp_timer_stop(&t->c);
			t->stall_timer = 0;
			cmd->sqhd = t->vqp.sq_flow_off ? 0xffff : cmd->sqhd;
		}
		t->c.rx.hold = 0;
		leap__tcp_resume(&t->c);
	}
	leap__cmdq_push(&t->done, cmd);
	leap__tcp_work(&t->c);
}
