/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Admin commands of the driver's own, and of a lender's borrowers: they wait in
 * line until the admin queue has room, and only so many are out at once. One
 * that is not answered has the controller reset.
 *
 * Knows nothing of what they say.
 */
#include "core/io/regctrl.h"

#include <errno.h>

#define MS		1000000ull
#define CMD_NS		(30000 * MS)	/* where commands have no limit */

void leap__regcmd_late(struct leap_timer *timer)
{
	leap__regctrl_reset(leap__list_entry(timer, struct leap__regctrl,
					     cmd_timer), -ETIMEDOUT,
			    "no answer to an admin command of the driver");
}

static uint64_t cmd_ns(const struct leap__regctrl *c)
{
	return c->limit_ns ? c->limit_ns : CMD_NS;
}

static int issue(struct leap__regctrl *c, struct leap__regcmd *cmd)
{
	struct leap__regq *a = c->admin;
	int cid = -EAGAIN;

	if (c->cmds_out < LEAP__REG_OWN_CMDS)
		cid = leap__regq_slot(a, &cmd->req);
	if (cid < 0)
		return cid;
	a->slots[cid].own = true;
	if (leap__regq_push(a, (uint16_t)cid))
		return -EAGAIN;
	if (!c->cmds_out++)
		leap_timer_start(c->pg, &c->cmd_timer, cmd_ns(c));
	if (!c->watching)
		leap__regwatch_start(c);
	leap__regq_kick(a);
	return 0;
}

void leap__regctrl_pump(struct leap__regctrl *c)
{
	while (c->cmd_wait && c->admin->live && !issue(c, c->cmd_wait)) {
		c->cmd_wait = c->cmd_wait->next;
		if (!c->cmd_wait)
			c->cmd_wait_tail = &c->cmd_wait;
	}
}

void leap__regctrl_admin(struct leap__regctrl *c, struct leap__regcmd *cmd,
			 void (*done)(struct leap__regcmd *cmd,
				      leap_status_t status))
{
	cmd->done = done;
	cmd->next = NULL;
	cmd->req.lib[1] = leap_pieces_bytes(cmd->req.pieces,
					    cmd->req.nr_pieces);
	*c->cmd_wait_tail = cmd;
	c->cmd_wait_tail = &cmd->next;
	leap__regctrl_pump(c);
}

void leap__regctrl_cmd_done(struct leap__regctrl *c, struct leap__regcmd *cmd,
			    leap_status_t status)
{
	leap_timer_stop(c->pg, &c->cmd_timer);
	if (--c->cmds_out)
		leap_timer_start(c->pg, &c->cmd_timer, cmd_ns(c));
	cmd->done(cmd, status);
}

void leap__regctrl_drop_cmds(struct leap__regctrl *c)
{
	leap_timer_stop(c->pg, &c->cmd_timer);
	c->cmds_out = 0;
	c->abort_out = false;
	c->abort_q = NULL;
	c->cmd_wait = NULL;
	c->cmd_wait_tail = &c->cmd_wait;
}
