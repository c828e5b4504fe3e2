/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log pages. Each is built whole in the target's scratch memory, then the
 * window that was asked for is copied out; what lies beyond the log's end is
 * zeroes, never memory. SMART asks the I/O half for its counters first. The
 * error log is fed from both halves.
 *
 * Spec: NVMe Base 2.0 s5.16 (Get Log Page)
 */
#include "core/ctrl/admin.h"

#include <string.h>

#include "core/io/vqp.h"

#define IO	1u	/* I/O controllers have it */
#define DISC	2u	/* discovery controllers have it */

/* ---- the window ---- */

static uint64_t log_offset(const struct leap_sqe *sqe)
{
	return (uint64_t)leap_from_le32(sqe->cdw13) << 32 |
	       leap_from_le32(sqe->cdw12);
}

/* Bytes asked for; at most what 32 bits hold, which no transport carries. */
static uint32_t log_len(const struct leap_sqe *sqe)
{
	uint64_t numd = LEAP_GET(leap_from_le32(sqe->cdw10),
				 LEAP_LOG_CDW10_NUMDL) |
			LEAP_GET(leap_from_le32(sqe->cdw11),
				 LEAP_LOG_CDW11_NUMDU) << 16;
	uint64_t len = (numd + 1) * 4;

	return len > UINT32_MAX ? UINT32_MAX - 3 : (uint32_t)len;
}

static uint32_t log_csi(const struct leap_sqe *sqe)
{
	return LEAP_GET(leap_from_le32(sqe->cdw14), LEAP_LOG_CDW14_CSI);
}

static int retain(const struct leap_cmd *cmd)
{
	return !!(leap_from_le32(cmd->sqe.cdw10) & LEAP_LOG_CDW10_RAE);
}

static void send_window(struct leap__ctrl *c, struct leap_cmd *cmd,
			const uint8_t *log, size_t bytes)
{
	uint64_t from = log_offset(&cmd->sqe);
	uint32_t len = cmd->data_bytes, n;

	/* NVMe Base 2.0 s5.16.1: an offset beyond the log is refused. */
	if (from > bytes) {
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_INVALID_FIELD));
		return;
	}
	n = bytes - from < len ? (uint32_t)(bytes - from) : len;
	leap__cmd_copy_out(cmd, 0, log + from, n);
	leap__cmd_zero_out(cmd, n, len - n);
	leap_cmd_complete(cmd, 0);
}

/* ---- error log ---- */

void leap__error_log_add(struct leap__ctrl *c, const struct leap_error_desc *e)
{
	struct leap_log_error *x =
		&c->errors[c->error_count++ % LEAP__NR_ERRORS];

	memset(x, 0, sizeof(*x));
	x->count = leap_to_le64(c->error_count);
	x->sqid = leap_to_le16(e->sqid);
	x->cid = leap_to_le16(e->cid);
	x->status = leap_cqe_status_word(e->status, 0);
	x->loc = leap_to_le16(e->location);
	x->lba = leap_to_le64(e->lba);
	x->nsid = leap_to_le32(e->nsid);
	x->trtype = c->conn && c->conn->vqp ? c->conn->vqp->ops->trtype : 0;
	x->csi = e->csi;
	x->opc = e->opcode;
	x->version = 1;
}

/* From the I/O half; the memory goes back to it. */
void leap__error_arrived(struct leap__lmsg *m)
{
	/* The controller is still there: its queue pair has not been told
	 * gone, which would come after this. */
	struct leap__ctrl *c = (struct leap__ctrl *)(uintptr_t)m->ctrl;

	leap__error_log_add(c, &m->link.u.error);
	leap__link_ask(m->group, m);
}

static size_t log_errors(struct leap__ctrl *c, struct leap_cmd *cmd,
			 uint8_t *buf)
{
	uint64_t n = c->error_count, i;

	(void)cmd;
	for (i = 0; i < LEAP__NR_ERRORS && i < n; i++)
		memcpy(buf + i * sizeof(c->errors[0]),
		       &c->errors[(n - 1 - i) % LEAP__NR_ERRORS],
		       sizeof(c->errors[0]));
	return sizeof(c->errors);
}

/* ---- SMART ---- */

static void put128(struct leap_le128 *to, uint64_t v)
{
	to->lo = leap_to_le64(v);
	to->hi = leap_to_le64(0);
}

/* What a threshold that the host has set makes of a constant temperature. */
uint8_t leap__smart_warnings(const struct leap__ctrl *c)
{
	uint32_t over = c->feat[LEAP__FEAT_TEMP_OVER];
	uint32_t under = c->feat[LEAP__FEAT_TEMP_UNDER];

	return LEAP__TEMPERATURE_K >= over || LEAP__TEMPERATURE_K <= under ?
	       LEAP_SMART_TEMPERATURE : 0;
}

/* Of the subsystem: controllers come and go with every connection. */
static void build_smart(struct leap__ctrl *c, uint8_t *buf)
{
	struct leap_log_smart *s = (struct leap_log_smart *)(void *)buf;
	const struct leap_io_counters *a = &c->ss->count, *b = &c->stats.sum;
	uint64_t age = leap_pollgroup_now_ns(c->target->home) -
		       c->ss->created_ns;

	s->critical = leap__smart_warnings(c);
	s->temp[0] = LEAP__TEMPERATURE_K & 0xff;
	s->temp[1] = LEAP__TEMPERATURE_K >> 8;
	s->spare = 100;
	s->spare_thresh = 10;
	/* Units of 1000 x 512 bytes, rounded up. */
	put128(&s->units_read, (a->blocks_512_read + b->blocks_512_read +
				999) / 1000);
	put128(&s->units_written, (a->blocks_512_written +
				   b->blocks_512_written + 999) / 1000);
	put128(&s->host_reads, a->host_reads + b->host_reads);
	put128(&s->host_writes, a->host_writes + b->host_writes);
	put128(&s->busy_min, (a->busy_ns + b->busy_ns) / 60000000000ull);
	put128(&s->power_cycles, 1);
	put128(&s->power_on_hours, age / 3600000000000ull);
	put128(&s->media_errors, a->media_errors + b->media_errors);
	put128(&s->error_entries, c->error_count);
}

static void smart_round(struct leap__ctrl *c);

static void smart_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ctrl *c = leap__cmd_ctrl(cmd);

	if (status) {
		leap__admin_fail(c, cmd, status);
		return;
	}
	cmd->link[0] = c->stats_next;
	c->stats_next = cmd;
	smart_round(c);
}

static void smart_counted(struct leap__round *r)
{
	struct leap__ctrl *c = r->arg;
	struct leap_cmd *cmd = c->stats_cmds, *next;
	uint8_t *buf;

	c->stats_cmds = NULL;
	for (; cmd; cmd = next) {
		next = cmd->link[0];
		/* A reset does not wait for the groups. */
		if (leap__vqp_is_ending(cmd->vqp)) {
			leap_cmd_complete(cmd, LEAP_SC_ABORT_SQ_DELETED);
			continue;
		}
		buf = leap__target_scratch(c->target,
					   sizeof(struct leap_log_smart));
		build_smart(c, buf);
		if (!retain(cmd))
			leap__aer_unmask(c, LEAP__EVENT_TEMPERATURE);
		send_window(c, cmd, buf, sizeof(struct leap_log_smart));
	}
	if (c->stats_next && !c->dead)
		smart_round(c);
	while ((cmd = c->dead ? c->stats_next : NULL)) {
		c->stats_next = cmd->link[0];
		leap_cmd_complete(cmd, LEAP_SC_ABORT_SQ_DELETED);
	}
	leap__ctrl_put(c);
}

/* Those who ask while a count is under way get the next one. */
static void smart_round(struct leap__ctrl *c)
{
	if (c->stats_cmds)
		return;
	c->stats_cmds = c->stats_next;
	c->stats_next = NULL;
	c->stats.done = smart_counted;
	c->stats.arg = c;
	c->refs++;
	if (leap__round_start(c->target, &c->stats, LEAP_LINK_STATS, c->ss)) {
		struct leap_cmd *cmd = c->stats_cmds;

		c->stats_cmds = NULL;
		c->refs--;
		leap__admin_fail(c, cmd, LEAP_SC_INTERNAL);
	}
}

/* ---- small ones ---- */

static size_t log_fw_slot(struct leap__ctrl *c, struct leap_cmd *cmd,
			  uint8_t *buf)
{
	struct leap_log_fw_slot *log = (struct leap_log_fw_slot *)(void *)buf;

	(void)c;
	(void)cmd;
	log->afi = 1;
	memcpy(log->frs[0], LEAP__FW_REV, LEAP_FR_LEN);
	return sizeof(*log);
}

static size_t log_changed_ns(struct leap__ctrl *c, struct leap_cmd *cmd,
			     uint8_t *buf)
{
	struct leap_ns_list *log = (struct leap_ns_list *)(void *)buf;
	uint32_t i;

	if (c->nr_changed_ns > LEAP__NR_CHANGED_NS)
		log->nsid[0] = leap_to_le32(LEAP_NSID_ALL);
	else
		for (i = 0; i < c->nr_changed_ns; i++)
			log->nsid[i] = leap_to_le32(c->changed_ns[i]);
	if (!retain(cmd) && !log_offset(&cmd->sqe))
		c->nr_changed_ns = 0;
	return sizeof(*log);
}

static size_t log_changed_zones(struct leap__ctrl *c, struct leap_cmd *cmd,
				uint8_t *buf)
{
	leap__zns_changed_log(c, leap_from_le32(cmd->sqe.nsid),
			      !retain(cmd) && !log_offset(&cmd->sqe), buf);
	return sizeof(struct leap_log_changed_zones);
}

static const uint8_t io_opcodes[] = {
	LEAP_NVM_FLUSH, LEAP_NVM_WRITE, LEAP_NVM_READ, LEAP_NVM_COMPARE,
	LEAP_NVM_WRITE_ZEROES, LEAP_NVM_DSM, LEAP_NVM_VERIFY,
	/* Of namespaces without zones only. */
	LEAP_NVM_COPY,
	/* Of namespaces with zones only. */
	LEAP_NVM_ZONE_MGMT_SEND, LEAP_NVM_ZONE_MGMT_RECV, LEAP_NVM_ZONE_APPEND,
};

static int is_zone_opcode(uint32_t opc)
{
	return opc == LEAP_NVM_ZONE_MGMT_SEND ||
	       opc == LEAP_NVM_ZONE_MGMT_RECV || opc == LEAP_NVM_ZONE_APPEND;
}

uint32_t leap__io_effects(const struct leap__ctrl *c, uint32_t csi,
			  uint32_t opc)
{
	size_t i;

	for (i = 0; i < sizeof(io_opcodes); i++) {
		if (io_opcodes[i] != opc || c->ss->discovery ||
		    (is_zone_opcode(opc) && csi != LEAP_CSI_ZNS) ||
		    (opc == LEAP_NVM_COPY && csi == LEAP_CSI_ZNS))
			continue;
		/* LBCC: contents of logical blocks change. */
		return opc == LEAP_NVM_WRITE || opc == LEAP_NVM_WRITE_ZEROES ||
		       opc == LEAP_NVM_DSM || opc == LEAP_NVM_COPY ||
		       opc == LEAP_NVM_ZONE_APPEND ||
		       opc == LEAP_NVM_ZONE_MGMT_SEND ?
		       LEAP_EFFECTS_CSUPP | LEAP_EFFECTS_LBCC :
		       LEAP_EFFECTS_CSUPP;
	}
	return 0;
}

static size_t log_effects(struct leap__ctrl *c, struct leap_cmd *cmd,
			  uint8_t *buf)
{
	struct leap_log_effects *log = (struct leap_log_effects *)(void *)buf;
	uint32_t csi = log_csi(&cmd->sqe), i;

	for (i = 0; i < 256; i++) {
		log->acs[i] = leap_to_le32(leap__admin_effects(c, i));
		log->iocs[i] = leap_to_le32(leap__io_effects(c, csi, i));
	}
	return sizeof(*log);
}

static size_t log_fid_effects(struct leap__ctrl *c, struct leap_cmd *cmd,
			      uint8_t *buf)
{
	struct leap_log_fid_effects *log =
		(struct leap_log_fid_effects *)(void *)buf;
	uint32_t i;

	(void)cmd;
	for (i = 0; i < 256; i++)
		log->fis[i] = leap_to_le32(leap__features_effects(c, i));
	return sizeof(*log);
}

static size_t log_supported(struct leap__ctrl *c, struct leap_cmd *cmd,
			    uint8_t *buf);

/* ---- the table ---- */

struct log_page {
	uint8_t lid;
	uint8_t who;
	/* NULL: a path of its own. Builds at most 4096 bytes; its size. */
	size_t (*build)(struct leap__ctrl *c, struct leap_cmd *cmd,
			uint8_t *buf);
	int event;	/* unmasked by reading it; -1 = none */
};

static const struct log_page pages[] = {
	{ LEAP_LID_SUPPORTED, IO | DISC, log_supported, -1 },
	{ LEAP_LID_ERROR, IO | DISC, log_errors, LEAP__EVENT_BAD_DB_REG },
	{ LEAP_LID_SMART, IO, NULL, LEAP__EVENT_TEMPERATURE },
	{ LEAP_LID_FW_SLOT, IO, log_fw_slot, -1 },
	{ LEAP_LID_CHANGED_NS, IO, log_changed_ns, LEAP__EVENT_NS_CHANGED },
	{ LEAP_LID_EFFECTS, IO, log_effects, -1 },
	{ LEAP_LID_FID_EFFECTS, IO | DISC, log_fid_effects, -1 },
	{ LEAP_LID_CHANGED_ZONES, IO, log_changed_zones,
	  LEAP__EVENT_ZONE_CHANGED },
	{ LEAP_LID_DISCOVERY, DISC, NULL, LEAP__EVENT_DISCOVERY },
};

#define NR_PAGES (sizeof(pages) / sizeof(pages[0]))

static const struct log_page *find(const struct leap__ctrl *c, uint32_t lid)
{
	uint32_t who = c->ss->discovery ? DISC : IO;
	size_t i;

	for (i = 0; i < NR_PAGES; i++)
		if (pages[i].lid == lid && (pages[i].who & who))
			return &pages[i];
	return NULL;
}

static size_t log_supported(struct leap__ctrl *c, struct leap_cmd *cmd,
			    uint8_t *buf)
{
	struct leap_log_supported *log =
		(struct leap_log_supported *)(void *)buf;
	uint32_t i;

	(void)cmd;
	for (i = 0; i < 256; i++)
		if (find(c, i))
			log->lids[i] = leap_to_le32(LEAP_LIDS_LSUPP);
	return sizeof(*log);
}

static uint32_t log_lid(const struct leap_cmd *cmd)
{
	return LEAP_GET(leap_from_le32(cmd->sqe.cdw10), LEAP_LOG_CDW10_LID);
}

static void log_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ctrl *c = leap__cmd_ctrl(cmd);
	const struct log_page *p = find(c, log_lid(cmd));
	uint8_t *buf = NULL;
	size_t bytes = 0;

	if (!status && p->build) {
		buf = leap__target_scratch(c->target, LEAP_IDENTIFY_SIZE);
		bytes = p->build(c, cmd, buf);
	} else if (!status && leap__discovery_log(c, &buf, &bytes)) {
		status = LEAP_SC_INTERNAL;
	}
	if (status) {
		leap__admin_fail(c, cmd, status);
		return;
	}
	if (p->event >= 0 && !retain(cmd) && !log_offset(&cmd->sqe)) {
		leap__aer_unmask(c, (enum leap__event)p->event);
		if (p->event == LEAP__EVENT_BAD_DB_REG)
			leap__aer_unmask(c, LEAP__EVENT_BAD_DB_VALUE);
	}
	send_window(c, cmd, buf, bytes);
}

/* The one log that is of a namespace alone. */
static leap_status_t check_zone_log(const struct leap__ctrl *c, uint32_t nsid)
{
	const struct leap__ns *ns = leap__ns_active(c->ss, nsid);

	if (!ns || !leap__zns_visible(c, ns))
		return LEAP__DNR(LEAP_SC_INVALID_NS);
	return ns->desc.csi == LEAP_CSI_ZNS ? 0 :
	       LEAP__DNR(LEAP_SC_INVALID_FIELD);
}

/* What can be said before there is room for the answer. */
static leap_status_t check_log(const struct leap__ctrl *c,
			       const struct leap_sqe *sqe,
			       const struct log_page *p)
{
	uint32_t nsid = leap_from_le32(sqe->nsid);

	if (!p)
		return LEAP__DNR(LEAP_SC_LOG_PAGE);
	if (log_offset(sqe) % 4)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	/* By index offsets (OT) are not offered: LPA has no such log. */
	if (leap_from_le32(sqe->cdw14) & LEAP_LOG_CDW14_OT)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	if (p->lid == LEAP_LID_EFFECTS && log_csi(sqe) != LEAP_CSI_NVM &&
	    log_csi(sqe) != LEAP_CSI_ZNS)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	if (p->lid == LEAP_LID_CHANGED_ZONES)
		return check_zone_log(c, nsid);
	/* All are of the controller; SMART is asked for namespaces too, and
	 * LPA bit 0 says that we have none of those. */
	if (nsid && nsid != LEAP_NSID_ALL) {
		if (nsid > c->ss->max_nsid)
			return LEAP__DNR(LEAP_SC_INVALID_NS);
		if (p->lid == LEAP_LID_SMART)
			return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	}
	return 0;
}

void leap__admin_get_log(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	const struct log_page *p = find(c, log_lid(cmd));
	leap_status_t status = check_log(c, &cmd->sqe, p);

	if (!p && leap__ocssd_log(c, cmd, log_len(&cmd->sqe)))
		return;
	if (status)
		leap__admin_fail(c, cmd, status);
	else
		leap_cmd_pull(cmd, log_len(&cmd->sqe),
			      p->lid == LEAP_LID_SMART ? smart_ready :
							 log_ready);
}
