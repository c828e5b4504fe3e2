/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is behind the registers: PCI identity and MSI-X, CAP and CRTO, the admin
 * queue's memory, Identify Controller; and what is known of devices that are
 * not what they say.
 *
 *	config space -> CAP -> CRTO -> admin queue -> disable -> enable
 *		-> Identify -> disable: probed
 *
 * All that is read here is the device's word: what this driver cannot work with
 * is refused, with the reason for leap_last_error in the callback. Knows
 * nothing of I/O queues.
 *
 * Spec: NVMe Base 2.0 s3.1.3 (properties), s3.5.1 (memory-based
 * initialization); PCI Local Bus 3.0 s6.7, s6.8.2 (MSI-X)
 */
#include "core/io/regctrl.h"

#include <errno.h>
#include <string.h>

#include "util/err.h"

#define MS		1000000ull
#define ALL_ONES	0xffffffffu
#define PROBE_CC	(LEAP_CC_EN | LEAP_PUT(6u, LEAP_CC_IOSQES) | \
			 LEAP_PUT(4u, LEAP_CC_IOCQES))

#define PCI_ID		0x00
#define PCI_COMMAND	0x04
#define PCI_CLASS	0x08
#define PCI_CAPS	0x34
#define PCI_CAP_MSIX	0x11
#define PCI_MAX_CAPS	48u
#define PCI_CLASS_NVME	0x0108u
#define MSIX_ENABLE	0x8000u
/* Where an interrupt message would go; the eventfd is what is used. */
#define MSI_ADDRESS	0xfee00000u

/* ---- devices that are not what they say -------------------------------- */

/*
 * By PCI vendor and device id. Each is a fact that the kernel's driver found
 * out; what concerns power states, multipath or names is none of this driver's
 * business.
 */
static const struct {
	uint16_t vendor, device;
	uint16_t quirks;
} known[] = {
	/* Reads CSTS wrongly for a while after CC.EN has been cleared. */
	{ 0x1bb1, 0x0100, LEAP__REGQ_SLOW_CSTS | LEAP__REGQ_NO_NS_DESC },
	{ 0x1c58, 0x0003, LEAP__REGQ_SLOW_CSTS },
	{ 0x1c58, 0x0023, LEAP__REGQ_SLOW_CSTS },
	{ 0x1c5f, 0x0540, LEAP__REGQ_SLOW_CSTS },
	/* Says that it has queues of one entry; takes 64. */
	{ 0x144d, 0xa821, LEAP__REGQ_SLOW_CSTS | LEAP__REGQ_MQES_64 },
	{ 0x144d, 0xa822, LEAP__REGQ_SLOW_CSTS | LEAP__REGQ_MQES_64 |
			  LEAP__REGQ_NO_ZEROES | LEAP__REGQ_NO_NAME },
	/* Resets itself, or loses data, with more than one command out. */
	{ 0x106b, 0x2001, LEAP__REGQ_ONE_CMD },
	/* Misreads PRP lists that begin elsewhere. */
	{ 0x1217, 0x8760, LEAP__REGQ_LIST_512 },
	/* Submission entries of 128 bytes, tags shared by all queues. */
	{ 0x106b, 0x2005, LEAP__REGQ_REFUSE },
	/* Fails or forgets Write Zeroes that it offers. */
	{ 0x8086, 0xf1a5, LEAP__REGQ_NO_ZEROES },
	{ 0x8086, 0x5845, LEAP__REGQ_NO_ZEROES },
	{ 0x1c5c, 0x1504, LEAP__REGQ_NO_ZEROES },
	{ 0x15b7, 0x2001, LEAP__REGQ_NO_ZEROES },
	{ 0x1d97, 0x2263, LEAP__REGQ_NO_ZEROES },
	{ 0x1987, 0x5019, LEAP__REGQ_NO_ZEROES },
	{ 0x1987, 0x5021, LEAP__REGQ_NO_ZEROES },
	/* Hangs on Identify of namespace descriptors. */
	{ 0x126f, 0x2263, LEAP__REGQ_NO_NS_DESC },
	{ 0x1b4b, 0x1092, LEAP__REGQ_NO_NS_DESC | LEAP__REGQ_NO_NAME },
	/* All that were made have one SUBNQN. */
	{ 0x8086, 0x0a54, LEAP__REGQ_NO_NAME },
	{ 0x8086, 0xf1a6, LEAP__REGQ_NO_NAME },
	{ 0x1987, 0x5016, LEAP__REGQ_NO_NAME },
	{ 0x10ec, 0x5762, LEAP__REGQ_NO_NAME },
	{ 0x1cc1, 0x8201, LEAP__REGQ_NO_NAME },
};

uint16_t leap__regprobe_quirks(uint16_t vendor, uint16_t device)
{
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].vendor == vendor && known[i].device == device)
			return known[i].quirks;
	return 0;
}

uint64_t leap__regprobe_cap(const struct leap__regctrl *c, uint64_t cap)
{
	uint64_t mqes = LEAP_GET(cap, LEAP_CAP_MQES);

	if ((c->quirks & LEAP__REGQ_MQES_64) && !mqes)
		mqes = 63;
	if ((c->quirks & LEAP__REGQ_ONE_CMD) && mqes > 1)
		mqes = 1;
	cap &= ~(LEAP_CAP_MQES_MASK << LEAP_CAP_MQES_SHIFT);
	return cap | LEAP_PUT(mqes, LEAP_CAP_MQES);
}

/* Identify Controller as it should have been answered. */
void leap__regprobe_correct(const struct leap__regctrl *c,
			    struct leap_id_ctrl *id)
{
	uint16_t oncs = leap_from_le16(id->oncs);

	if (c->quirks & LEAP__REGQ_NO_ZEROES)
		id->oncs = leap_to_le16(oncs & (uint16_t)
					~LEAP_ONCS_WRITE_ZEROES);
}

/* ---- Identify ---------------------------------------------------------- */

/*
 * How long a shutdown may take. RTD3E is in microseconds; the kernel's driver
 * takes what is there for true up to a minute, and so does this one.
 */
uint64_t leap__regprobe_shutdown_ns(const struct leap_id_ctrl *id)
{
	uint64_t ns = (uint64_t)leap_from_le32(id->rtd3e) * 1000;

	if (ns < 2000 * MS)
		return 2000 * MS;
	return ns < 60000 * MS ? ns : 60000 * MS;
}

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
	leap__regprobe_correct(c, c->id);
	c->shutdown_ns = leap__regprobe_shutdown_ns(c->id);
	leap__regctrl_disable(c, probe_end);
}

static void probe_enabled(struct leap__regctrl *c, int err)
{
	struct leap__regcmd *cmd = &c->cmd;

	if (err) {
		if (err == -EIO)
			leap__regctrl_reset(c, err, "CSTS.CFS when enabled");
		else
			leap__regctrl_reset(c, err, "not ready after %llu ms",
				(unsigned long long)(c->to_ns / MS));
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

/* ---- the admin queue --------------------------------------------------- */

static void admin_mapped(void *arg, int err)
{
	struct leap__regctrl *c = arg;

	if (leap__regctrl_dead(c))
		return;
	if (err) {
		leap__regctrl_refuse(c, err, "cannot reach the admin queue");
		return;
	}
	if (!leap__regq_mapped(c->admin)) {
		leap__regctrl_refuse(c, -ENOMEM, "the admin queue is not in "
				     "one piece of memory");
		return;
	}
	if (c->state == LEAP__REGCTRL_ENDING)
		leap__regctrl_end_now(c);
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

/* ---- capabilities ------------------------------------------------------ */

static void crto_read(struct leap__regctrl *c, uint64_t value)
{
	uint64_t ns = LEAP_GET((uint32_t)value, LEAP_CRTO_CRWMT) * 500 * MS;

	c->crto = (uint32_t)value;
	/* All ones is not a time. */
	if ((uint32_t)value != ALL_ONES && ns > c->to_ns)
		c->to_ns = ns;
	make_admin(c);
}

static void cap_read(struct leap__regctrl *c, uint64_t value)
{
	uint32_t mpsmin = (uint32_t)LEAP_GET(value, LEAP_CAP_MPSMIN);

	if (value == UINT64_MAX) {
		leap__regctrl_refuse(c, -ENODEV, "CAP reads as all ones");
		return;
	}
	c->cap = leap__regprobe_cap(c, value);
	if (mpsmin) {
		leap__regctrl_refuse(c, -EOPNOTSUPP, "CAP.MPSMIN: pages of %u "
				     "KiB, not 4", 4u << mpsmin);
	} else if (!LEAP_GET(c->cap, LEAP_CAP_MQES)) {
		leap__regctrl_refuse(c, -EOPNOTSUPP, "CAP.MQES: queues of one "
				     "entry");
	} else if (!(value & LEAP_CAP_CSS_NVM)) {
		leap__regctrl_refuse(c, -EOPNOTSUPP, "CAP.CSS: no NVM command "
				     "set");
	} else {
		c->to_ns = (LEAP_GET(value, LEAP_CAP_TO) + 1) * 500 * MS;
		if (value & LEAP_CAP_CRMS_RWM)
			leap__regctrl_ask(c, LEAP__REG_READ, LEAP_REG_CRTO, 4,
					  0, crto_read);
		else
			make_admin(c);
	}
}

/* ---- PCI --------------------------------------------------------------- */

static void pci_done(struct leap__regctrl *c, uint64_t value)
{
	leap__regctrl_ask(c, LEAP__REG_READ, LEAP_REG_CAP, 8, 0, cap_read);
}

static void msix_unmask(struct leap__regctrl *c, uint64_t value)
{
	leap__regctrl_ask(c, LEAP__REG_WRITE, c->msix_table + 12, 4, 0,
			  pci_done);
}

static void msix_data(struct leap__regctrl *c, uint64_t value)
{
	leap__regctrl_ask(c, LEAP__REG_WRITE, c->msix_table + 8, 4, 0,
			  msix_unmask);
}

static void msix_upper(struct leap__regctrl *c, uint64_t value)
{
	leap__regctrl_ask(c, LEAP__REG_WRITE, c->msix_table + 4, 4, 0,
			  msix_data);
}

static void msix_on(struct leap__regctrl *c, uint64_t value)
{
	if (c->dev->ops->msix_table && c->msix_table != UINT32_MAX)
		leap__regctrl_ask(c, LEAP__REG_WRITE, c->msix_table, 4,
				  MSI_ADDRESS, msix_upper);
	else
		pci_done(c, 0);
}

static void msix_table(struct leap__regctrl *c, uint64_t value)
{
	/* Bits 2:0 say in which BAR. */
	c->msix_table = value & 7 ? UINT32_MAX : (uint32_t)value;
	leap__regctrl_ask(c, LEAP__REG_CONFIG_WRITE, c->pci_at + 2, 2,
			  MSIX_ENABLE, msix_on);
}

static void pci_cap(struct leap__regctrl *c, uint64_t value);

static void pci_next(struct leap__regctrl *c, uint64_t at)
{
	c->pci_at = (uint32_t)at & 0xfc;
	if (c->pci_at < 0x40 || !c->pci_left--)
		pci_done(c, 0);		/* no MSI-X: no interrupts */
	else
		leap__regctrl_ask(c, LEAP__REG_CONFIG_READ, c->pci_at, 4, 0,
				  pci_cap);
}

static void pci_cap(struct leap__regctrl *c, uint64_t value)
{
	if ((value & 0xff) != PCI_CAP_MSIX) {
		pci_next(c, value >> 8 & 0xff);
		return;
	}
	c->nr_vectors = (uint32_t)(value >> 16 & 0x7ff) + 1;
	leap__regctrl_ask(c, LEAP__REG_CONFIG_READ, c->pci_at + 4, 4, 0,
			  msix_table);
}

static void pci_caps(struct leap__regctrl *c, uint64_t value)
{
	c->pci_left = PCI_MAX_CAPS;
	leap__regctrl_ask(c, LEAP__REG_CONFIG_READ, PCI_CAPS, 1, 0, pci_next);
}

static void pci_class(struct leap__regctrl *c, uint64_t value)
{
	if (value == ALL_ONES)
		leap__regctrl_refuse(c, -ENODEV, "no device there");
	else if (value >> 16 != PCI_CLASS_NVME)
		leap__regctrl_refuse(c, -EPROTONOSUPPORT, "class %06x is not "
				     "that of an NVMe controller",
				     (unsigned int)(value >> 8));
	else
		leap__regctrl_ask(c, LEAP__REG_CONFIG_WRITE, PCI_COMMAND, 2,
				  LEAP__REG_PCI_ON, pci_caps);
}

static void pci_id(struct leap__regctrl *c, uint64_t value)
{
	c->quirks = leap__regprobe_quirks((uint16_t)value,
					  (uint16_t)(value >> 16));
	if (c->quirks & LEAP__REGQ_REFUSE)
		leap__regctrl_refuse(c, -EOPNOTSUPP, "device %04x:%04x does "
				     "not keep to NVMe",
				     (unsigned int)(value & 0xffff),
				     (unsigned int)(value >> 16));
	else
		leap__regctrl_ask(c, LEAP__REG_CONFIG_READ, PCI_CLASS, 4, 0,
				  pci_class);
}

void leap__regctrl_probe(struct leap__regctrl *c)
{
	leap__regctrl_ask(c, LEAP__REG_CONFIG_READ, PCI_ID, 4, 0, pci_id);
}
