/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller behind registers, from the host's side: it finds out what it has
 * before it, enables and disables it, sends admin commands of its own, and ends
 * it. Every step is one access whose answer starts the next; nothing waits
 * except on timers.
 *
 *	OPENING -> OPEN --probe--> UP <--> (enabled or not, as the user wants)
 *	    |        |             |
 *	    |        +-------------+--end--> ENDING: disable, reset --> DEAD
 *	    +---- lost, timeout, lies: device closed ------------------> DEAD
 *
 * The memory of queues, and requests in it, are let go only when the device is
 * closed: until then it may write to them.
 *
 * Knows neither leap_qp requests nor fabrics commands (regqp.c), nor how
 * registers are reached (regdev.h).
 *
 * Spec: NVMe Base 2.0 s3.5.1 (memory-based initialization), s3.7.2 (controller
 * level reset), s5.8 (Doorbell Buffer Config); PCI Local Bus 3.0 s6.7
 */
#include "core/io/regctrl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/dispatch.h"
#include "util/atomic.h"
#include "util/err.h"

#define MS		1000000ull
#define CSTS_POLL_NS	MS
#define CMD_NS		(5000 * MS)
#define END_NS		(3000 * MS)
#define ALL_ONES	0xffffffffu
#define PROBE_CC	(LEAP_CC_EN | LEAP_PUT(6u, LEAP_CC_IOSQES) | \
			 LEAP_PUT(4u, LEAP_CC_IOCQES))

#define PCI_COMMAND	0x04
#define PCI_CLASS	0x08
#define PCI_CAPS	0x34
#define PCI_CAP_MSIX	0x11
#define PCI_MAX_CAPS	48u
#define PCI_CLASS_NVME	0x0108u
/* Memory, bus master, no INTx. */
#define PCI_COMMAND_ON	0x0406u
#define MSIX_ENABLE	0x8000u
#define MSIX_MASK_ALL	0x4000u
/* Where an interrupt message would go; the eventfd is what is used. */
#define MSI_ADDRESS	0xfee00000u

typedef void (*next_fn)(struct leap__regctrl *c, uint64_t value);

/* ---- one access after the other ------------------------------------------------ */

static void close_device(struct leap__regctrl *c)
{
	if (leap__regctrl_dead(c))
		return;
	c->state = LEAP__REGCTRL_DEAD;
	c->enabled = false;
	c->seq_done = NULL;
	leap_timer_stop(c->pg, &c->timer);
	leap_timer_stop(c->pg, &c->cmd_timer);
	leap__regirq_stop(c);
	c->dev->ops->close(c->dev);
}

void leap__regctrl_fail(struct leap__regctrl *c, int err)
{
	if (!leap__regctrl_dead(c) && c->state != LEAP__REGCTRL_ENDING)
		c->err = err;
	close_device(c);
}

static void end_start(struct leap__regctrl *c);

static void io_done(struct leap__regio *io, int err)
{
	struct leap__regctrl *c = io->arg;
	next_fn next = c->io_next;

	c->io_busy = false;
	if (leap__regctrl_dead(c))
		return;
	if (err)
		leap__regctrl_fail(c, err);
	else if (c->state == LEAP__REGCTRL_ENDING && !c->seq_done)
		end_start(c);
	else
		next(c, io->value);
}

static void ask(struct leap__regctrl *c, enum leap__regop op,
		uint64_t offset, uint8_t bytes, uint64_t value, next_fn next)
{
	c->io_next = next;
	c->io_busy = true;
	c->io = (struct leap__regio){
		.op = (uint8_t)op, .bytes = bytes, .fd = -1, .offset = offset,
		.value = value, .done = io_done, .arg = c,
	};
	c->dev->ops->submit(c->dev, &c->io);
}

static void reg_read(struct leap__regctrl *c, uint32_t reg, uint8_t bytes,
		     next_fn next)
{
	ask(c, LEAP__REG_READ, reg, bytes, 0, next);
}

static void reg_write(struct leap__regctrl *c, uint32_t reg, uint8_t bytes,
		      uint64_t value, next_fn next)
{
	ask(c, LEAP__REG_WRITE, reg, bytes, value, next);
}

/* A sequence that the user asked for is over. */
static void seq_end(struct leap__regctrl *c, int err)
{
	void (*done)(struct leap__regctrl *c, int err) = c->seq_done;

	c->seq_done = NULL;
	done(c, err);
}

/* ---- CSTS.RDY -------------------------------------------------------------------- */

static void csts_read(struct leap__regctrl *c, uint64_t value);
static void now_disabled(struct leap__regctrl *c);
static void now_enabled(struct leap__regctrl *c);

static void csts_again(struct leap_timer *timer)
{
	reg_read(leap__list_entry(timer, struct leap__regctrl, timer),
		 LEAP_REG_CSTS, 4, csts_read);
}

static void csts_wait(struct leap__regctrl *c, uint32_t want)
{
	c->want = want;
	c->deadline_ns = leap_pollgroup_now_ns(c->pg) + c->to_ns;
	reg_read(c, LEAP_REG_CSTS, 4, csts_read);
}

static void back_on_bus(struct leap__regctrl *c, uint64_t value)
{
	csts_wait(c, 0);
}

/* The reset has switched off bus mastering, and MSI-X. */
static void reset_after_timeout(struct leap__regctrl *c, uint64_t value)
{
	c->cc = 0;
	c->irq_refused = true;
	c->irq_on = false;
	ask(c, LEAP__REG_CONFIG_WRITE, PCI_COMMAND, 2, PCI_COMMAND_ON,
	       back_on_bus);
}

/* Too late. A controller that stays up is reset, once, for its memory. */
static void csts_timeout(struct leap__regctrl *c)
{
	if (c->want) {
		seq_end(c, -ETIMEDOUT);
	} else if (!c->reset_tried) {
		c->reset_tried = true;
		ask(c, LEAP__REG_RESET, 0, 0, 0, reset_after_timeout);
	} else {
		leap__regctrl_fail(c, -ETIMEDOUT);
	}
}

static void csts_read(struct leap__regctrl *c, uint64_t value)
{
	uint32_t csts = (uint32_t)value;

	if (csts == ALL_ONES)
		leap__regctrl_fail(c, -ENODEV);
	else if (c->want && (csts & LEAP_CSTS_CFS))
		seq_end(c, -EIO);
	else if ((csts & LEAP_CSTS_RDY) != c->want) {
		if (leap_pollgroup_now_ns(c->pg) >= c->deadline_ns)
			csts_timeout(c);
		else
			leap_timer_start(c->pg, &c->timer, CSTS_POLL_NS);
	} else if (c->want)
		now_enabled(c);
	else
		now_disabled(c);
}

/* ---- disable --------------------------------------------------------------------- */

static void now_disabled(struct leap__regctrl *c)
{
	c->shadow = false;
	c->admin->live = false;
	leap__list_remove(&c->admin->link);
	seq_end(c, 0);
}

static void wait_not_ready(struct leap__regctrl *c, uint64_t value)
{
	csts_wait(c, 0);
}

static void disable_cc(struct leap__regctrl *c, uint64_t value)
{
	const uint32_t off = LEAP_CC_EN |
			     LEAP_CC_SHN_MASK << LEAP_CC_SHN_SHIFT;
	uint32_t cc = (uint32_t)value;

	if (cc == ALL_ONES) {
		leap__regctrl_fail(c, -ENODEV);
		return;
	}
	c->cc = cc & ~off;
	if (cc & LEAP_CC_EN)
		reg_write(c, LEAP_REG_CC, 4, c->cc, wait_not_ready);
	else
		csts_wait(c, 0);
}

void leap__regctrl_disable(struct leap__regctrl *c,
			   void (*done)(struct leap__regctrl *c, int err))
{
	c->enabled = false;
	c->seq_done = done;
	c->reset_tried = false;
	reg_read(c, LEAP_REG_CC, 4, disable_cc);
}

/* ---- enable ---------------------------------------------------------------------- */

/* A controller that refuses goes on with doorbells in registers. */
static void dbbuf_done(struct leap__regcmd *cmd, leap_status_t status)
{
	struct leap__regctrl *c = cmd->arg;

	c->shadow = !status;
	seq_end(c, 0);
}

static void now_enabled(struct leap__regctrl *c)
{
	struct leap__regq *a = c->admin;
	struct leap_sqe *sqe = &c->cmd.req.sqe;

	c->enabled = true;
	a->live = true;
	leap__list_push_back(&c->queues, &a->link);
	if (c->dev->shadow)
		c->shadow = true;
	if (c->shadow || !(leap_from_le16(c->id->oacs) & LEAP_OACS_DBBUF)) {
		seq_end(c, 0);
		return;
	}
	memset(a->base + a->extra_at, 0, 2 * LEAP__REG_PAGE);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opc = LEAP_ADM_DBBUF_CONFIG;
	sqe->prp1 = leap_to_le64(a->iova + a->extra_at);
	sqe->prp2 = leap_to_le64(a->iova + a->extra_at + LEAP__REG_PAGE);
	c->cmd.req.nr_pieces = 0;
	leap__regctrl_admin(c, &c->cmd, dbbuf_done);
}

static void wait_ready(struct leap__regctrl *c, uint64_t value)
{
	c->cc = c->seq_cc;
	csts_wait(c, LEAP_CSTS_RDY);
}

static void write_cc(struct leap__regctrl *c, uint64_t value)
{
	reg_write(c, LEAP_REG_CC, 4, c->seq_cc, wait_ready);
}

static void write_acq(struct leap__regctrl *c, uint64_t value)
{
	reg_write(c, LEAP_REG_ACQ, 8, c->admin->iova + c->admin->cq_at,
		  write_cc);
}

static void write_asq(struct leap__regctrl *c, uint64_t value)
{
	reg_write(c, LEAP_REG_ASQ, 8, c->admin->iova, write_acq);
}

void leap__regctrl_enable(struct leap__regctrl *c, uint32_t cc,
			  void (*done)(struct leap__regctrl *c, int err))
{
	const struct leap__regq *a = c->admin;
	uint32_t aqa = LEAP_PUT(a->sq_size - 1, LEAP_AQA_ASQS) |
		       LEAP_PUT(a->cq_size - 1, LEAP_AQA_ACQS);

	leap__regq_restart(c->admin);
	c->seq_done = done;
	c->seq_cc = cc | LEAP_CC_EN;
	reg_write(c, LEAP_REG_AQA, 4, aqa, write_asq);
}

/* ---- admin commands of our own ------------------------------------------------------ */

static void cmd_timeout(struct leap_timer *timer)
{
	leap__regctrl_fail(leap__list_entry(timer, struct leap__regctrl,
					    cmd_timer), -ETIMEDOUT);
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
		leap_timer_start(c->pg, &c->cmd_timer, CMD_NS);
	leap__regq_kick(a);
	return 0;
}

void leap__regctrl_unpark(struct leap__regctrl *c)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &c->queues)
		leap__regq_unpark(leap__list_entry(pos, struct leap__regq,
						   link));
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
		leap_timer_start(c->pg, &c->cmd_timer, CMD_NS);
	cmd->done(cmd, status);
}

void leap__regctrl_drop_cmds(struct leap__regctrl *c)
{
	leap_timer_stop(c->pg, &c->cmd_timer);
	c->cmds_out = 0;
	c->cmd_wait = NULL;
	c->cmd_wait_tail = &c->cmd_wait;
}

/* ---- probe: what is there ------------------------------------------------------------- */

static void probe_end(struct leap__regctrl *c, int err)
{
	leap__regctrl_drop_cmds(c);
	c->state = LEAP__REGCTRL_UP;
	c->probed(c, 0, c->probe_status);
}

static void identified(struct leap__regcmd *cmd, leap_status_t status)
{
	struct leap__regctrl *c = cmd->arg;

	c->probe_status = status;
	leap__regctrl_disable(c, probe_end);
}

static void probe_enabled(struct leap__regctrl *c, int err)
{
	struct leap__regcmd *cmd = &c->cmd;

	if (err) {
		leap__regctrl_fail(c, err);
		return;
	}
	memset(&cmd->req.sqe, 0, sizeof(cmd->req.sqe));
	cmd->req.sqe.opc = LEAP_ADM_IDENTIFY;
	cmd->req.sqe.cdw10 = leap_to_le32(LEAP_CNS_CTRL);
	cmd->piece.addr = c->id;
	cmd->piece.len_bytes = LEAP_IDENTIFY_SIZE;
	cmd->req.pieces = &cmd->piece;
	cmd->req.nr_pieces = 1;
	leap__regctrl_admin(c, cmd, identified);
}

static void probe_disabled(struct leap__regctrl *c, int err)
{
	leap__regctrl_enable(c, PROBE_CC, probe_enabled);
}

static void admin_mapped(void *arg, int err)
{
	struct leap__regctrl *c = arg;

	if (leap__regctrl_dead(c))
		return;
	if (err) {
		leap__regctrl_fail(c, err);
		return;
	}
	c->admin->iova = leap__regmem_iova(c, c->admin->map);
	if (c->state == LEAP__REGCTRL_ENDING)
		end_start(c);
	else
		leap__regctrl_disable(c, probe_disabled);
}

static void make_admin(struct leap__regctrl *c)
{
	struct leap_qp *qp = &((struct leap__regqp *)c->owner)->qp;
	uint32_t sq = qp->depth + LEAP__REG_OWN_CMDS;
	uint32_t cq;
	int map;

	if (sq > LEAP_AQ_MAX_ENTRIES)
		sq = LEAP_AQ_MAX_ENTRIES;
	cq = 2 * sq < LEAP_AQ_MAX_ENTRIES ? 2 * sq : LEAP_AQ_MAX_ENTRIES;
	if (leap__regq_init(c->admin, c, qp, sq, cq)) {
		leap__regctrl_fail(c, -ENOMEM);
		return;
	}
	((struct leap__regqp *)c->owner)->q_init = true;
	c->admin->bounce_all = true;
	map = leap__regmem_map(c, c->admin->mem, admin_mapped, c);
	if (map < 0)
		leap__regctrl_fail(c, map);
	else
		c->admin->map = (uint16_t)map;
}

static void crto_read(struct leap__regctrl *c, uint64_t value)
{
	uint64_t ns = LEAP_GET((uint32_t)value, LEAP_CRTO_CRWMT) * 500 * MS;

	if (ns > c->to_ns)
		c->to_ns = ns;
	make_admin(c);
}

static void cap_read(struct leap__regctrl *c, uint64_t value)
{
	c->cap = value;
	if (value == UINT64_MAX) {
		leap__regctrl_fail(c, -ENODEV);
		return;
	}
	if (LEAP_GET(value, LEAP_CAP_MPSMIN) || !LEAP_GET(value, LEAP_CAP_MQES) ||
	    !(value & LEAP_CAP_CSS_NVM)) {
		leap__regctrl_fail(c, -EOPNOTSUPP);
		return;
	}
	c->to_ns = (LEAP_GET(value, LEAP_CAP_TO) + 1) * 500 * MS;
	if (value & LEAP_CAP_CRMS_RWM)
		reg_read(c, LEAP_REG_CRTO, 4, crto_read);
	else
		make_admin(c);
}

/* ---- PCI ------------------------------------------------------------------------------ */

static void pci_done(struct leap__regctrl *c, uint64_t value)
{
	reg_read(c, LEAP_REG_CAP, 8, cap_read);
}

static void msix_unmask(struct leap__regctrl *c, uint64_t value)
{
	reg_write(c, c->msix_table + 12, 4, 0, pci_done);
}

static void msix_data(struct leap__regctrl *c, uint64_t value)
{
	reg_write(c, c->msix_table + 8, 4, 0, msix_unmask);
}

static void msix_upper(struct leap__regctrl *c, uint64_t value)
{
	reg_write(c, c->msix_table + 4, 4, 0, msix_data);
}

static void msix_on(struct leap__regctrl *c, uint64_t value)
{
	if (c->dev->ops->msix_table && c->msix_table != UINT32_MAX)
		reg_write(c, c->msix_table, 4, MSI_ADDRESS, msix_upper);
	else
		pci_done(c, 0);
}

static void msix_table(struct leap__regctrl *c, uint64_t value)
{
	/* Bits 2:0 say in which BAR. */
	c->msix_table = value & 7 ? UINT32_MAX : (uint32_t)value;
	ask(c, LEAP__REG_CONFIG_WRITE, c->pci_at + 2, 2, MSIX_ENABLE,
	       msix_on);
}

static void pci_cap(struct leap__regctrl *c, uint64_t value);

static void pci_next(struct leap__regctrl *c, uint64_t at)
{
	c->pci_at = (uint32_t)at & 0xfc;
	if (c->pci_at < 0x40 || !c->pci_left--)
		pci_done(c, 0);		/* no MSI-X: no interrupts */
	else
		ask(c, LEAP__REG_CONFIG_READ, c->pci_at, 4, 0, pci_cap);
}

static void pci_cap(struct leap__regctrl *c, uint64_t value)
{
	if ((value & 0xff) != PCI_CAP_MSIX) {
		pci_next(c, value >> 8 & 0xff);
		return;
	}
	c->nr_vectors = (uint32_t)(value >> 16 & 0x7ff) + 1;
	ask(c, LEAP__REG_CONFIG_READ, c->pci_at + 4, 4, 0, msix_table);
}

static void pci_caps(struct leap__regctrl *c, uint64_t value)
{
	c->pci_left = PCI_MAX_CAPS;
	ask(c, LEAP__REG_CONFIG_READ, PCI_CAPS, 1, 0, pci_next);
}

static void pci_class(struct leap__regctrl *c, uint64_t value)
{
	if (value == ALL_ONES || value >> 16 != PCI_CLASS_NVME) {
		leap__regctrl_fail(c, value == ALL_ONES ? -ENODEV :
						  -EPROTONOSUPPORT);
		return;
	}
	ask(c, LEAP__REG_CONFIG_WRITE, PCI_COMMAND, 2, PCI_COMMAND_ON,
	       pci_caps);
}

void leap__regctrl_probe(struct leap__regctrl *c)
{
	ask(c, LEAP__REG_CONFIG_READ, PCI_CLASS, 4, 0, pci_class);
}

/* ---- opening and ending ------------------------------------------------------------- */

static void end_closed(struct leap__regctrl *c, uint64_t value)
{
	close_device(c);
}

static void end_disabled(struct leap__regctrl *c, int err)
{
	c->seq_done = end_disabled;	/* io_done: this is the end's access */
	ask(c, LEAP__REG_RESET, 0, 0, 0, end_closed);
}

static void end_start(struct leap__regctrl *c)
{
	if (c->cap && c->admin->iova)
		leap__regctrl_disable(c, end_disabled);
	else
		end_disabled(c, 0);
}

static void end_timeout(struct leap_timer *timer)
{
	close_device(leap__list_entry(timer, struct leap__regctrl, cmd_timer));
}

void leap__regctrl_end(struct leap__regctrl *c)
{
	bool opening = c->state == LEAP__REGCTRL_OPENING;

	if (leap__regctrl_dead(c) || c->state == LEAP__REGCTRL_ENDING)
		return;
	c->err = -ECONNRESET;
	c->state = LEAP__REGCTRL_ENDING;
	if (opening) {
		close_device(c);
		return;
	}
	c->enabled = false;
	c->admin->live = false;
	c->seq_done = NULL;
	leap_timer_stop(c->pg, &c->timer);
	leap__regctrl_drop_cmds(c);
	c->cmd_timer.run = end_timeout;
	leap_timer_start(c->pg, &c->cmd_timer, END_NS);
	/* Memory that is being mapped comes to admin_mapped. */
	if (!c->io_busy && !(c->admin->mem && !c->admin->iova))
		end_start(c);
}

void leap__reg_opened(struct leap__regdev *dev, int err)
{
	struct leap__regctrl *c = dev->ctrl;

	if (leap__regctrl_dead(c))
		return;
	if (err) {
		leap__regctrl_fail(c, err);
		return;
	}
	c->state = LEAP__REGCTRL_OPEN;
	leap__regqp_opened(c->owner);
}

void leap__reg_lost(struct leap__regdev *dev, int err)
{
	leap__regctrl_fail(dev->ctrl, err ? err : -ECONNRESET);
}

void leap__regctrl_settle(struct leap__regctrl *c)
{
	struct leap__list *l;

	if (!c->dev_closed || c->irq_watching)
		return;
	/* No holder is left then, and nobody sends the message any more. */
	leap__regmem_free(c);
	if (leap__load_acquire(&c->recall_sent))
		return;
	if (c->polled)
		leap_pollgroup_del_poller(c->pg, &c->poller);
	c->polled = false;
	leap__list_remove(&c->link);
	leap__regctrl_drop_cmds(c);
	while ((l = leap__list_pop(&c->qps)))
		leap__regqp_ended(leap__list_entry(l, struct leap__regqp, link),
				  c->err);
	free(c->maps);
	free(c->id);
	free(c->dev);
	free(c);
}

void leap__reg_closed(struct leap__regdev *dev)
{
	dev->ctrl->dev_closed = true;
	leap__regctrl_settle(dev->ctrl);
}

static struct leap__regctrl *alloc_ctrl(const struct leap__regdev_ops *ops)
{
	struct leap__regctrl *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->maps = calloc(LEAP__REG_REGIONS, sizeof(*c->maps));
	c->id = calloc(1, sizeof(*c->id));
	c->dev = calloc(1, ops->dev_bytes);
	if (c->maps && c->id && c->dev)
		return c;
	free(c->maps);
	free(c->id);
	free(c->dev);
	free(c);
	return NULL;
}

int leap__regctrl_create(struct leap_qp *qp,
			 const struct leap__regdev_ops *ops,
			 const char *address, struct leap__regctrl **out)
{
	struct leap__regctrl *c;
	int err;

	if (strlen(address) >= sizeof(c->address))
		return leap__err(-EINVAL, "leap_qp_connect: address of %zu "
				 "bytes exceeds %zu", strlen(address),
				 sizeof(c->address) - 1);
	c = alloc_ctrl(ops);
	if (!c)
		return leap__err(-ENOMEM, "leap_qp_connect: out of memory");
	c->pg = qp->pg;
	strcpy(c->address, address);
	c->owner = qp;
	c->admin = &((struct leap__regqp *)qp)->q;
	c->cmd.arg = c;
	c->timer.run = csts_again;
	c->cmd_timer.run = cmd_timeout;
	c->cmd_wait_tail = &c->cmd_wait;
	c->next_iova = LEAP__REG_IOVA;
	c->recall.run = leap__regmem_recall_run;
	c->irq_fd = -1;
	leap__list_init(&c->qps);
	leap__list_init(&c->queues);
	c->dev->ops = ops;
	c->dev->pg = qp->pg;
	c->dev->ctrl = c;
	err = ops->open(c->dev, &qp->opts, address);
	if (err) {
		free(c->maps);
		free(c->id);
		free(c->dev);
		free(c);
		return err;
	}
	leap__list_push_back(&leap__dispatch(c->pg)->regctrls, &c->link);
	leap__regirq_start(c);
	*out = c;
	return 0;
}
