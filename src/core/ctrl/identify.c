/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Identify: what a controller and its namespaces are, from the descriptions
 * that the admin half caches. Fills one zeroed page per CNS; sends nothing
 * itself.
 *
 * Spec: NVMe Base 2.0 s5.17 (Identify), NVM Command Set 1.0 s4.1.5
 */
#include "core/ctrl/admin.h"

#include <string.h>

#include <leapio/ocssd.h>

#define MAX_TRANSPORT_DESCS 1
#define ANY_CSI 256u

static void put_text(char *dst, size_t len, const char *text)
{
	size_t n = strlen(text);

	memset(dst, ' ', len);
	memcpy(dst, text, n < len ? n : len);
}

static uint8_t log2_pages(uint32_t bytes)
{
	uint8_t n = 0;

	while (8192u << n <= bytes && n < 16)
		n++;
	return n;
}

/* ---- controller ---- */

/* FUSES is a controller's, and has to hold for all of its namespaces of the NVM
 * command set; without any, nobody knows. */
static int fuses(const struct leap_subsystem *ss)
{
	uint32_t nsid;
	int some = 0;

	for (nsid = 1; nsid <= ss->max_nsid; nsid++) {
		const struct leap__ns *ns = leap__ns_active(ss, nsid);

		if (!ns || ns->desc.csi != LEAP_CSI_NVM)
			continue;
		if (!(ns->desc.caps & (LEAP_BDEV_COMPARE_WRITE |
				       LEAP_BDEV_EXCLUSIVE)))
			return 0;
		some = 1;
	}
	return some;
}

static void id_io(struct leap__ctrl *c, struct leap_id_ctrl *id)
{
	const struct leap_target_opts *o = &c->target->opts;

	id->cntrltype = LEAP_CNTRLTYPE_IO;
	id->cmic = LEAP_CMIC_MULTI_PORT | LEAP_CMIC_MULTI_CTRL;
	id->rtd3e = leap_to_le32(LEAP__RTD3E_US);
	id->lpa = LEAP_LPA_EFFECTS | LEAP_LPA_EXTENDED | LEAP_LPA_SUPPORTED;
	id->wctemp = leap_to_le16(LEAP__WCTEMP_K);
	id->cctemp = leap_to_le16(LEAP__CCTEMP_K);
	id->sqes = 0x66;
	id->cqes = 0x44;
	id->nn = leap_to_le32(c->ss->max_nsid);
	id->mnan = leap_to_le32(c->ss->max_nsid);
	id->oncs = leap_to_le16(LEAP_ONCS_COMPARE | LEAP_ONCS_DSM |
				LEAP_ONCS_WRITE_ZEROES |
				LEAP_ONCS_FEAT_SAVE | LEAP_ONCS_TIMESTAMP |
				LEAP_ONCS_VERIFY | LEAP_ONCS_COPY);
	/* ACWU 0: of one LBA. */
	if (fuses(c->ss))
		id->fuses = leap_to_le16(LEAP_FUSES_COMPARE_WRITE);
	id->ocfs = leap_to_le16(LEAP_OCFS_FORMAT0 | LEAP_OCFS_FORMAT1);
	id->vwc = LEAP_VWC_PRESENT | LEAP_VWC_FLUSH_ALL_YES;
	id->psd[0].mp = leap_to_le16(2500);	/* 25 W, nominal */
	if (c->front) {
		id->vid = leap_to_le16(c->front->vendor_id);
		id->ssvid = leap_to_le16(c->front->subsystem_vendor_id);
		if (c->front->dbbuf_config)
			id->oacs = leap_to_le16(LEAP_OACS_DBBUF);
		if (c->front->create_sq)
			id->sgls = leap_to_le32(LEAP_SGLS_BYTE |
						LEAP_SGLS_BITBUCKET);
		return;
	}
	id->ioccsz = leap_to_le32((LEAP_SQE_SIZE + o->inline_bytes) / 16);
	id->iorcsz = leap_to_le32(LEAP_CQE_SIZE / 16);
	id->msdbd = MAX_TRANSPORT_DESCS;
	id->ofcs = leap_to_le16(LEAP_OFCS_DISCONNECT);
}

static uint32_t max_transfer(const struct leap__ctrl *c)
{
	uint32_t bytes = c->target->opts.mdts_bytes;

	if (c->conn && c->conn->vqp &&
	    c->conn->vqp->max_data_bytes < bytes)
		bytes = c->conn->vqp->max_data_bytes;
	return bytes;
}

/* Hosts over RDMA name their memory by keys. */
static int keyed(const struct leap__ctrl *c)
{
	return c->conn && c->conn->vqp &&
	       c->conn->vqp->ops->trtype == LEAP_TRTYPE_RDMA;
}

static leap_status_t id_ctrl(struct leap__ctrl *c, struct leap_cmd *cmd,
			     uint8_t *buf)
{
	struct leap_id_ctrl *id = (struct leap_id_ctrl *)(void *)buf;

	(void)cmd;
	put_text(id->sn, sizeof(id->sn), c->ss->serial);
	put_text(id->mn, sizeof(id->mn), c->ss->model);
	put_text(id->fr, sizeof(id->fr), LEAP__FW_REV);
	id->mdts = log2_pages(max_transfer(c));
	id->cntlid = leap_to_le16(c->cntlid);
	id->ver = leap_to_le32(LEAP_VS_2_0);
	id->oaes = leap_to_le32(leap__aer_oaes(c));
	id->ctratt = leap_to_le32(LEAP_CTRATT_HOSTID_128 | LEAP_CTRATT_TBKAS);
	id->acl = LEAP__NR_ABORTS - 1;
	id->aerl = LEAP__NR_AERS - 1;
	id->frmw = LEAP_PUT(1, LEAP_FRMW_SLOTS) | LEAP_FRMW_SLOT1_RO;
	id->elpe = LEAP__NR_ERRORS - 1;
	id->kas = leap_to_le16(LEAP__KAS_MS / 100);
	id->maxcmd = leap_to_le16((uint16_t)
		(LEAP_GET(c->cap, LEAP_CAP_MQES) < 0xffff ?
		 LEAP_GET(c->cap, LEAP_CAP_MQES) + 1 : 0xffff));
	if (!c->front)
		id->sgls = leap_to_le32(LEAP_SGLS_BYTE | LEAP_SGLS_OFFSET |
					(keyed(c) ? LEAP_SGLS_KEYED :
					 LEAP_SGLS_TRANSPORT));
	memcpy(id->subnqn, c->ss->nqn, strlen(c->ss->nqn));
	if (c->ss->discovery) {
		id->cntrltype = LEAP_CNTRLTYPE_DISCOVERY;
		id->dctype = LEAP_DCTYPE_DDC;
		id->lpa = LEAP_LPA_EXTENDED | LEAP_LPA_SUPPORTED;
	} else {
		id_io(c, id);
	}
	return 0;
}

/* ---- namespaces ---- */

static leap_status_t find_ns(const struct leap__ctrl *c,
			     const struct leap_cmd *cmd, struct leap__ns **ns)
{
	uint32_t nsid = leap_from_le32(cmd->sqe.nsid);

	*ns = NULL;
	if (!nsid || nsid > c->ss->max_nsid)
		return LEAP__DNR(LEAP_SC_INVALID_NS);
	*ns = leap__ns_active(c->ss, nsid);
	if (*ns && !leap__zns_visible(c, *ns))
		*ns = NULL;
	return 0;
}

/* What all namespaces have in common, for NSID FFFFFFFFh as well. */
static void id_formats(struct leap_id_ns *id)
{
	id->nlbaf = 1;
	id->lbaf[0].lbads = 9;
	id->lbaf[1].lbads = 12;
	id->nmic = LEAP_NMIC_SHARED;
}

static leap_status_t id_ns(struct leap__ctrl *c, struct leap_cmd *cmd,
			   uint8_t *buf)
{
	struct leap_id_ns *id = (struct leap_id_ns *)(void *)buf;
	const struct leap_ns_desc *d;
	struct leap__ns *ns;
	leap_status_t status;
	uint64_t bytes;

	if (leap_from_le32(cmd->sqe.nsid) == LEAP_NSID_ALL) {
		id_formats(id);
		return 0;
	}
	status = find_ns(c, cmd, &ns);
	if (status || !ns)
		return status;	/* inactive: zeroes */
	d = &ns->desc;
	id_formats(id);
	bytes = d->nr_blocks * d->block_bytes;
	id->nsze = leap_to_le64(d->nr_blocks);
	id->ncap = id->nsze;
	id->nuse = id->nsze;
	id->nvmcap.lo = leap_to_le64(bytes);
	id->flbas = d->block_bytes == 4096;
	if (d->caps & LEAP_BDEV_ZERO_DISCARD)
		id->dlfeat = LEAP_DLFEAT_READ_ZEROES | LEAP_DLFEAT_WZ_DEAC;
	if (d->optimal_blocks > 1) {
		/* Figures "NPWG", "NPWA", ...: one grain for all. */
		uint16_t n = d->optimal_blocks > 65536 ? 65535 :
			     (uint16_t)(d->optimal_blocks - 1);

		id->nsfeat = LEAP_NSFEAT_OPTPERF;
		id->npwg = leap_to_le16(n);
		id->npwa = id->npwg;
		id->npdg = id->npwg;
		id->npda = id->npwg;
		id->nows = id->npwg;
	}
	if (!(d->caps & LEAP_BDEV_ZONED)) {
		id->mssrl = leap_to_le16((uint16_t)(LEAP__COPY_RANGE_BYTES /
						    d->block_bytes));
		id->mcl = leap_to_le32(LEAP__COPY_BYTES / d->block_bytes);
		id->msrc = LEAP__COPY_RANGES - 1;
	}
	id->nsattr = d->read_only ? LEAP_NSATTR_WP : 0;
	if (d->caps & LEAP_BDEV_VECTOR)
		id->vs[0] = LEAP_OCSSD_NS_VENDOR;
	memcpy(id->nguid, d->nguid, 16);
	memcpy(id->eui64, d->eui64, 8);
	return 0;
}

static leap_status_t id_ns_indep(struct leap__ctrl *c, struct leap_cmd *cmd,
				 uint8_t *buf)
{
	struct leap_id_ns_indep *id = (struct leap_id_ns_indep *)(void *)buf;
	struct leap__ns *ns;
	leap_status_t status = find_ns(c, cmd, &ns);

	if (status || !ns)
		return status;
	id->nmic = LEAP_NMIC_SHARED;
	id->nsattr = ns->desc.read_only ? LEAP_NSATTR_WP : 0;
	id->nstat = LEAP_NSTAT_READY;
	return 0;
}

static uint8_t *put_desc(uint8_t *p, uint8_t type, uint8_t len,
			 const void *value)
{
	struct leap_ns_id_desc d = { .nidt = type, .nidl = len };

	memcpy(p, &d, sizeof(d));
	memcpy(p + sizeof(d), value, len);
	return p + sizeof(d) + len;
}

static leap_status_t id_ns_desc(struct leap__ctrl *c, struct leap_cmd *cmd,
				uint8_t *buf)
{
	struct leap__ns *ns;
	leap_status_t status = find_ns(c, cmd, &ns);
	uint8_t csi;

	if (status)
		return status;
	if (!ns)
		return LEAP__DNR(LEAP_SC_INVALID_NS);
	csi = (uint8_t)ns->desc.csi;
	buf = put_desc(buf, LEAP_NIDT_EUI64, LEAP_NIDL_EUI64, ns->desc.eui64);
	buf = put_desc(buf, LEAP_NIDT_NGUID, LEAP_NIDL_NGUID, ns->desc.nguid);
	buf = put_desc(buf, LEAP_NIDT_UUID, LEAP_NIDL_UUID, ns->desc.uuid);
	put_desc(buf, LEAP_NIDT_CSI, LEAP_NIDL_CSI, &csi);
	return 0;
}

/* Those that the host may see; of one command set, or of all. */
static leap_status_t ns_list(struct leap__ctrl *c, struct leap_cmd *cmd,
			     uint8_t *buf, uint32_t csi)
{
	struct leap_ns_list *list = (struct leap_ns_list *)(void *)buf;
	uint32_t nsid = leap_from_le32(cmd->sqe.nsid), n = 0;

	if (nsid >= LEAP_NSID_ALL - 1)
		return LEAP__DNR(LEAP_SC_INVALID_NS);
	while (n < LEAP_NS_LIST_MAX && (nsid = leap_ns_next(c->ss, nsid))) {
		const struct leap__ns *ns = c->ss->ns[nsid];

		if (leap__zns_visible(c, ns) &&
		    (csi == ANY_CSI || csi == ns->desc.csi))
			list->nsid[n++] = leap_to_le32(nsid);
	}
	return 0;
}

static leap_status_t id_ns_list(struct leap__ctrl *c, struct leap_cmd *cmd,
				uint8_t *buf)
{
	return ns_list(c, cmd, buf, ANY_CSI);
}

static uint32_t csi_of(const struct leap_cmd *cmd)
{
	return LEAP_GET(leap_from_le32(cmd->sqe.cdw11),
			LEAP_IDENTIFY_CDW11_CSI);
}

static int has_csi(uint32_t csi)
{
	return csi == LEAP_CSI_NVM || csi == LEAP_CSI_ZNS;
}

static leap_status_t id_csi_ns_list(struct leap__ctrl *c, struct leap_cmd *cmd,
				    uint8_t *buf)
{
	if (!has_csi(csi_of(cmd)))
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	return ns_list(c, cmd, buf, csi_of(cmd));
}

/* CNS 05h: no protection information, so what is set is of zones. One with
 * zones has the commands of the NVM command set too. */
static leap_status_t id_csi_ns(struct leap__ctrl *c, struct leap_cmd *cmd,
			       uint8_t *buf)
{
	struct leap__ns *ns;
	leap_status_t status;

	if (!has_csi(csi_of(cmd)))
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	status = find_ns(c, cmd, &ns);
	if (status || !ns || csi_of(cmd) == LEAP_CSI_NVM)
		return status;
	if (ns->desc.csi != LEAP_CSI_ZNS)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	leap__zns_id_ns(ns, buf);
	return 0;
}

static leap_status_t id_csi_ctrl(struct leap__ctrl *c, struct leap_cmd *cmd,
				 uint8_t *buf)
{
	/* NVM: all zero, no limits beyond those of the commands themselves. */
	if (csi_of(cmd) == LEAP_CSI_ZNS)
		leap__zns_id_ctrl(c, buf);
	return has_csi(csi_of(cmd)) ? 0 : LEAP__DNR(LEAP_SC_INVALID_FIELD);
}

/* ---- the rest ---- */

static leap_status_t id_ctrl_list(struct leap__ctrl *c, struct leap_cmd *cmd,
				  uint8_t *buf)
{
	struct leap_ctrl_list *list = (struct leap_ctrl_list *)(void *)buf;
	struct leap_ctrl_info info = { .size = sizeof(info) };
	uint32_t from = LEAP_GET(leap_from_le32(cmd->sqe.cdw10),
				 LEAP_IDENTIFY_CDW10_CNTID);
	uint32_t cns = LEAP_GET(leap_from_le32(cmd->sqe.cdw10),
				LEAP_IDENTIFY_CDW10_CNS);
	uint16_t n = 0;

	/* 12h asks for those attached to a namespace: all of them are. */
	if (cns == LEAP_CNS_CTRL_NS_LIST &&
	    !leap__ns_active(c->ss, leap_from_le32(cmd->sqe.nsid)))
		return LEAP__DNR(LEAP_SC_INVALID_NS);
	from = from ? from - 1 : 0;
	while (n < LEAP_CTRL_LIST_MAX &&
	       !leap_ctrl_next(c->target, c->ss, from, &info)) {
		from = info.cntlid;
		list->cntlid[n++] = leap_to_le16(info.cntlid);
	}
	list->num = leap_to_le16(n);
	return 0;
}

static leap_status_t id_csc(struct leap__ctrl *c, struct leap_cmd *cmd,
			    uint8_t *buf)
{
	struct leap_id_csc *id = (struct leap_id_csc *)(void *)buf;
	uint32_t cntid = LEAP_GET(leap_from_le32(cmd->sqe.cdw10),
				  LEAP_IDENTIFY_CDW10_CNTID);

	if (cntid != LEAP_ID16_NONE && cntid != c->cntlid &&
	    !leap__subsystem_ctrl(c->ss, cntid))
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	id->vector[0] = leap_to_le64(1ull << LEAP_CSI_NVM |
				     1ull << LEAP_CSI_ZNS);
	return 0;
}

static const struct {
	uint8_t cns;
	uint8_t discovery;	/* a discovery controller answers it too */
	leap_status_t (*fill)(struct leap__ctrl *c, struct leap_cmd *cmd,
			      uint8_t *buf);
} table[] = {
	{ LEAP_CNS_NS, 0, id_ns },
	{ LEAP_CNS_CTRL, 1, id_ctrl },
	{ LEAP_CNS_NS_ACTIVE, 0, id_ns_list },
	{ LEAP_CNS_NS_DESC, 0, id_ns_desc },
	{ LEAP_CNS_CSI_NS, 0, id_csi_ns },
	{ LEAP_CNS_CSI_CTRL, 0, id_csi_ctrl },
	{ LEAP_CNS_CSI_NS_ACTIVE, 0, id_csi_ns_list },
	{ LEAP_CNS_NS_INDEP, 0, id_ns_indep },
	{ LEAP_CNS_CTRL_NS_LIST, 0, id_ctrl_list },
	{ LEAP_CNS_CTRL_LIST, 0, id_ctrl_list },
	{ LEAP_CNS_CSC, 0, id_csc },
};

void leap__admin_identify(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	uint32_t cns = LEAP_GET(leap_from_le32(cmd->sqe.cdw10),
				LEAP_IDENTIFY_CDW10_CNS);
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].cns != cns ||
		    (c->ss->discovery && !table[i].discovery))
			continue;
		leap__admin_data(cmd, LEAP_IDENTIFY_SIZE, table[i].fill);
		return;
	}
	leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_INVALID_FIELD));
}
