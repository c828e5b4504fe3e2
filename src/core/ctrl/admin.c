/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Admin commands: the table of those a controller has, the checks that all of
 * them share, fabrics commands, abort and keep alive, and how payload gets in
 * and out. What identify, features, logs and events say is in files of their
 * own; nothing here is on the data path.
 *
 * Spec: NVMe Base 2.0 s5 (admin commands), s6 (fabrics commands)
 */
#include "core/ctrl/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct leap__ctrl *leap__cmd_ctrl(const struct leap_cmd *cmd)
{
	return ((struct leap__conn *)cmd->vqp->handler_priv)->ctrl;
}

/* ---- endings and payload ---- */

void leap__admin_fail(struct leap__ctrl *c, struct leap_cmd *cmd,
		      leap_status_t status)
{
	struct leap_error_desc e = { 0 };

	if (LEAP_STATUS_CODE(status) != LEAP_SC_ABORT_REQUESTED &&
	    LEAP_STATUS_CODE(status) != LEAP_SC_ABORT_SQ_DELETED) {
		status |= LEAP_STATUS_MORE;
		e.cid = leap_from_le16(cmd->sqe.cid);
		e.status = status;
		e.location = LEAP_ID16_NONE;
		e.nsid = leap_from_le32(cmd->sqe.nsid);
		if (cmd->sqe.opc == LEAP_ADM_FABRICS)
			e.nsid = 0;
		e.opcode = cmd->sqe.opc;
		leap__error_log_add(c, &e);
	}
	leap_cmd_complete(cmd, status);
}

void leap__cmd_copy_out(struct leap_cmd *cmd, uint32_t offset, const void *buf,
			uint32_t len)
{
	const struct leap_piece *p = cmd->pieces;
	const uint8_t *src = buf;
	uint32_t n;

	if (!len)
		return;
	for (; offset >= p->len_bytes; p++)
		offset -= p->len_bytes;
	for (; len; p++, offset = 0) {
		n = p->len_bytes - offset;
		if (n > len)
			n = len;
		if (src) {
			memcpy((uint8_t *)p->addr + offset, src, n);
			src += n;
		} else {
			memset((uint8_t *)p->addr + offset, 0, n);
		}
		len -= n;
	}
}

void leap__cmd_zero_out(struct leap_cmd *cmd, uint32_t offset, uint32_t len)
{
	leap__cmd_copy_out(cmd, offset, NULL, len);
}

void leap__cmd_copy_in(const struct leap_cmd *cmd, void *buf, uint32_t len)
{
	const struct leap_piece *p = cmd->pieces;
	uint8_t *dst = buf;
	uint32_t n;

	for (; len; p++) {
		n = p->len_bytes < len ? p->len_bytes : len;
		memcpy(dst, p->addr, n);
		dst += n;
		len -= n;
	}
}

typedef leap_status_t (*fill_t)(struct leap__ctrl *c, struct leap_cmd *cmd,
				uint8_t *buf);

static void data_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ctrl *c = leap__cmd_ctrl(cmd);
	uint32_t len = (uint32_t)cmd->owner_priv[0];
	uint8_t *buf = NULL;
	fill_t fill;

	memcpy(&fill, &cmd->owner_priv[1], sizeof(fill));
	/* A length that was refused is the host's word only. */
	if (!status) {
		buf = leap__target_scratch(c->target, len);
		if (!buf)
			status = LEAP_SC_INTERNAL;
	}
	if (!status)
		status = fill(c, cmd, buf);
	if (status) {
		leap__admin_fail(c, cmd, status);
		return;
	}
	leap__cmd_copy_out(cmd, 0, buf, len);
	leap_cmd_complete(cmd, 0);
}

void leap__admin_data(struct leap_cmd *cmd, uint32_t len, fill_t fill)
{
	cmd->owner_priv[0] = len;
	memcpy(&cmd->owner_priv[1], &fill, sizeof(fill));
	leap_cmd_pull(cmd, len, data_ready);
}

/* ---- abort ---- */

static void abort_answered(struct leap__lmsg *m)
{
	struct leap__ctrl *c = m->arg;
	uint32_t i = (uint32_t)(m - c->aborts);
	struct leap_cmd *cmd = c->abort_cmds[i];

	c->abort_cmds[i] = NULL;
	cmd->result = m->link.u.abort.found ? 0 : LEAP_ABORT_DW0_NOT_ABORTED;
	leap_cmd_complete(cmd, 0);
	leap__ctrl_put(c);
}

static void admin_abort(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	uint32_t dw = leap_from_le32(cmd->sqe.cdw10), i;
	uint16_t sqid = LEAP_GET(dw, LEAP_ABORT_CDW10_SQID);
	uint16_t cid = LEAP_GET(dw, LEAP_ABORT_CDW10_CID);
	struct leap__lmsg *m;

	cmd->result = LEAP_ABORT_DW0_NOT_ABORTED;
	if (!sqid && leap__aer_abort(c, cid))
		cmd->result = 0;
	if (!sqid || sqid > c->target->opts.max_io_queues || !c->ioq[sqid]) {
		leap_cmd_complete(cmd, 0);
		return;
	}
	for (i = 0; i < LEAP__NR_ABORTS && c->abort_cmds[i]; i++)
		;
	if (i == LEAP__NR_ABORTS) {
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_ABORT_LIMIT));
		return;
	}
	c->abort_cmds[i] = cmd;
	m = &c->aborts[i];
	leap__link_init(m, LEAP_LINK_ABORT, abort_answered, c);
	m->ctrl = c;
	m->link.cntlid = c->cntlid;
	m->link.u.abort.qid = sqid;
	m->link.u.abort.cid = cid;
	c->refs++;
	leap__link_ask(c->ioq[sqid]->group, m);
}

static void admin_keep_alive(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	/* The timer has seen it, as it has seen every command. */
	(void)c;
	leap_cmd_complete(cmd, 0);
}

/* ---- fabrics commands ---- */

static void property_get(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	const struct leap_fab_prop_get *p =
		(const struct leap_fab_prop_get *)(const void *)&cmd->sqe;
	uint32_t bytes = (p->attrib & LEAP_PROP_SIZE_MASK) == LEAP_PROP_SIZE_8 ?
			 8 : 4;
	uint32_t offset = leap_from_le32(p->ofst);
	uint64_t value = 0;

	/* The size has to be the property's: CAP has 8 bytes, the rest 4. */
	if ((p->attrib & LEAP_PROP_SIZE_MASK) > LEAP_PROP_SIZE_8 ||
	    (bytes == 8) != (offset < LEAP_REG_VS) ||
	    leap__ctrl_prop_read(c, offset, bytes, &value)) {
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_INVALID_FIELD));
		return;
	}
	cmd->result = value;
	leap_cmd_complete(cmd, 0);
}

static void property_set(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	const struct leap_fab_prop_set *p =
		(const struct leap_fab_prop_set *)(const void *)&cmd->sqe;

	if ((p->attrib & LEAP_PROP_SIZE_MASK) != LEAP_PROP_SIZE_4 ||
	    leap__ctrl_prop_write(c, leap_from_le32(p->ofst), 4,
				  leap_from_le64(p->value)))
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_INVALID_FIELD));
	else
		leap_cmd_complete(cmd, 0);
}

static void admin_fabrics(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	const struct leap_fab_sqe *sqe =
		(const struct leap_fab_sqe *)(const void *)&cmd->sqe;

	switch (sqe->fctype) {
	case LEAP_FCTYPE_PROP_GET:
		property_get(c, cmd);
		break;
	case LEAP_FCTYPE_PROP_SET:
		property_set(c, cmd);
		break;
	case LEAP_FCTYPE_CONNECT:
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_CMD_SEQUENCE));
		break;
	case LEAP_FCTYPE_DISCONNECT:	/* I/O queues only */
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_FAB_QTYPE));
		break;
	default:
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_INVALID_FIELD));
	}
}

/* ---- the table ---- */

#define IO	1u	/* I/O controllers have it */
#define DISC	2u	/* discovery controllers have it */
#define FABRICS	4u	/* not those behind registers */
#define FRONT	8u	/* only those whose front end has it */

struct admin_op {
	uint8_t opc;
	uint8_t who;
	void (*run)(struct leap__ctrl *c, struct leap_cmd *cmd);
	uint32_t effects;	/* log 05h */
};

typedef void (*run_t)(struct leap__ctrl *c, struct leap_cmd *cmd);

/* What the front end has of the commands that are its own. */
static run_t front_op(const struct leap__ctrl *c, uint32_t opc)
{
	const struct leap__ctrl_front *f = c->front;

	if (!f)
		return NULL;
	switch (opc) {
	case LEAP_ADM_DELETE_SQ:
		return f->delete_sq;
	case LEAP_ADM_CREATE_SQ:
		return f->create_sq;
	case LEAP_ADM_DELETE_CQ:
		return f->delete_cq;
	case LEAP_ADM_CREATE_CQ:
		return f->create_cq;
	case LEAP_ADM_DBBUF_CONFIG:
		return f->dbbuf_config;
	default:
		return NULL;
	}
}

static void admin_front(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	front_op(c, cmd->sqe.opc)(c, cmd);
}

static const struct admin_op admin_ops[] = {
	{ LEAP_ADM_DELETE_SQ, IO | FRONT, admin_front, LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_CREATE_SQ, IO | FRONT, admin_front, LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_DELETE_CQ, IO | FRONT, admin_front, LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_CREATE_CQ, IO | FRONT, admin_front, LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_DBBUF_CONFIG, IO | FRONT, admin_front, LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_GET_LOG, IO | DISC, leap__admin_get_log,
	  LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_IDENTIFY, IO | DISC, leap__admin_identify,
	  LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_ABORT, IO | DISC, admin_abort, LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_SET_FEATURES, IO | DISC, leap__admin_set_features,
	  LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_GET_FEATURES, IO | DISC, leap__admin_get_features,
	  LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_AER, IO | DISC, leap__admin_aer, LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_KEEP_ALIVE, IO | DISC, admin_keep_alive,
	  LEAP_EFFECTS_CSUPP },
	{ LEAP_ADM_FABRICS, IO | DISC | FABRICS, admin_fabrics,
	  LEAP_EFFECTS_CSUPP },
};

#define NR_OPS (sizeof(admin_ops) / sizeof(admin_ops[0]))

static const struct admin_op *find_op(const struct leap__ctrl *c, uint32_t opc)
{
	uint32_t who = c->ss->discovery ? DISC : IO;
	size_t i;

	for (i = 0; i < NR_OPS; i++)
		if (admin_ops[i].opc == opc && (admin_ops[i].who & who) &&
		    !(c->front && (admin_ops[i].who & FABRICS)) &&
		    (!(admin_ops[i].who & FRONT) || front_op(c, opc)))
			return &admin_ops[i];
	return NULL;
}

uint32_t leap__admin_effects(const struct leap__ctrl *c, uint32_t opc)
{
	const struct admin_op *op = find_op(c, opc);

	return op ? op->effects : 0;
}

/*
 * No driver says this. A hypervisor that gives us the file of its guest's
 * memory and maps the same file privately shows us nothing but zeros.
 */
static void say_zeros(struct leap__ctrl *c, const struct leap_cmd *cmd)
{
	static const struct leap_sqe zeros;

	if (c->front && !memcmp(&cmd->sqe, &zeros, sizeof(zeros)))
		leap__pg_log_limited(c->target->home,
				     &c->target->home->peer_limit,
				     LEAP_LOG_WARN, "%s: an admin command of "
				     "zeros: is the memory of the guest shared "
				     "(share=on)?", c->peer);
}

static void admin_execute(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	struct leap__conn *conn = vqp->handler_priv;
	struct leap__ctrl *c = conn->ctrl;
	/* Capsules have an SGL; in registers' queues it is PRPs always. */
	uint8_t flags = c->front ? 0 : LEAP_SQE_PSDT_SGL;
	const struct admin_op *op;

	if (conn->connect) {
		/* It did not wait for the answer to Connect. */
		leap_cmd_complete(cmd, LEAP__DNR(LEAP_SC_CMD_SEQUENCE));
		return;
	}
	if (c->dead) {
		leap_cmd_complete(cmd, LEAP_SC_ABORT_SQ_DELETED);
		return;
	}
	leap__ctrl_seen(c);
	if (!cmd->sqe.opc)
		say_zeros(c, cmd);
	op = find_op(c, cmd->sqe.opc);
	if (!op && cmd->sqe.flags == flags && (c->csts & LEAP_CSTS_RDY) &&
	    leap__ocssd_admin(c, cmd))
		return;
	if (!op)
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_INVALID_OPCODE));
	else if (cmd->sqe.flags != flags)
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_INVALID_FIELD));
	else if (!(c->csts & LEAP_CSTS_RDY) && op->opc != LEAP_ADM_FABRICS)
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_CMD_SEQUENCE));
	else
		op->run(c, cmd);
}

/* ---- the end of the connection ---- */

static void admin_lost(struct leap_vqp *vqp, int err)
{
	struct leap__conn *conn = vqp->handler_priv;

	if (err == -EPROTO)
		conn->target->protocol_errors++;
	/* Registers outlive their queues. */
	if (!conn->ctrl->front)
		leap__ctrl_end(conn->ctrl);
}

static void admin_gone(struct leap_vqp *vqp)
{
	struct leap__conn *conn = vqp->handler_priv;
	struct leap_target *t = conn->target;
	struct leap__ctrl *c = conn->ctrl;

	if (c->conn == conn)
		c->conn = NULL;
	t->connections--;
	leap__conn_free(conn);
	leap__ctrl_put(c);
	leap__target_settle(t);
}

const struct leap_vqp_handler leap__admin_handler = {
	.size = sizeof(leap__admin_handler),
	.execute = admin_execute,
	.lost = admin_lost,
	.gone = admin_gone,
};
