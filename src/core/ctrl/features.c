/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Features: what a host sets and asks. Simple ones are 32 bits with a default
 * in one table; those with data, or that somebody has to obey, have functions.
 * Nothing is saved over power cycles: "saved" answers the default, as the
 * specification has it for features that cannot be saved.
 *
 * Spec: NVMe Base 2.0 s5.15 (Get Features), s5.27 (Set Features)
 */
#include "core/ctrl/admin.h"

#include <string.h>

#define IO	1u	/* I/O controllers have it */
#define DISC	2u	/* discovery controllers have it */
#define CHANGE	4u	/* may be set */
#define NS	8u	/* per namespace in the standard; one value here */
#define DATA	16u	/* has a payload */
#define REGS	32u	/* only those behind registers have it */

struct feature {
	uint8_t fid;
	uint8_t flags;
	uint8_t slot;		/* enum leap__feat, or LEAP__FEAT_NR */
	uint8_t data;		/* payload in units of 8 bytes */
	uint32_t def;
	uint32_t mask;		/* bits that may be set */
};

static const struct feature features[] = {
	{ LEAP_FID_ARBITRATION, IO | CHANGE, LEAP__FEAT_ARBITRATION, 0,
	  LEAP_FEAT_ARB_AB_MASK, 0xffffff07 },
	{ LEAP_FID_POWER, IO | CHANGE, LEAP__FEAT_POWER, 0, 0, 0xe0 },
	{ LEAP_FID_TEMP_THRESHOLD, IO | CHANGE, LEAP__FEAT_TEMP_OVER, 0,
	  LEAP__WCTEMP_K, 0x3fffff },
	{ LEAP_FID_ERROR_RECOVERY, IO | CHANGE | NS, LEAP__FEAT_ERROR_RECOVERY,
	  0, 0, LEAP_FEAT_ERR_TLER_MASK },
	{ LEAP_FID_WRITE_CACHE, IO | CHANGE, LEAP__FEAT_WRITE_CACHE, 0,
	  LEAP_FEAT_WC_WCE, LEAP_FEAT_WC_WCE },
	{ LEAP_FID_NUM_QUEUES, IO | CHANGE, LEAP__FEAT_NR, 0, 0, 0xffffffff },
	{ LEAP_FID_INT_COALESCE, IO | CHANGE | REGS,
	  LEAP__FEAT_INTR_COALESCE, 0, 0, 0xffff },
	{ LEAP_FID_INT_VECTOR, IO | CHANGE | REGS, LEAP__FEAT_NR, 0, 0,
	  LEAP_FEAT_IV_IV_MASK | LEAP_FEAT_IV_CD },
	{ LEAP_FID_WRITE_ATOMIC, IO | CHANGE, LEAP__FEAT_WRITE_ATOMIC, 0, 0,
	  LEAP_FEAT_WA_DN },
	{ LEAP_FID_ASYNC_EVENT, IO | DISC | CHANGE, LEAP__FEAT_ASYNC_EVENT, 0,
	  0, 0xffffffff },
	{ LEAP_FID_TIMESTAMP, IO | CHANGE | DATA, LEAP__FEAT_NR, 1, 0, 0 },
	{ LEAP_FID_KATO, IO | DISC | CHANGE, LEAP__FEAT_NR, 0, 0,
	  0xffffffff },
	{ LEAP_FID_HOST_BEHAVIOR, IO | CHANGE | DATA, LEAP__FEAT_NR, 64, 0,
	  0 },
	/* One combination of command sets: all of them. */
	{ LEAP_FID_IOCS_PROFILE, IO | CHANGE, LEAP__FEAT_NR, 0, 0, 0x1ff },
	{ LEAP_FID_HOST_ID, IO | DATA, LEAP__FEAT_NR, 2, 0, 0 },
};

#define NR_FEATURES (sizeof(features) / sizeof(features[0]))

static const struct feature *find(const struct leap__ctrl *c, uint32_t fid)
{
	uint32_t who = c->ss->discovery ? DISC : IO;
	size_t i;

	for (i = 0; i < NR_FEATURES; i++)
		if (features[i].fid == fid && (features[i].flags & who) &&
		    (c->front || !(features[i].flags & REGS)))
			return &features[i];
	return NULL;
}

/* Payload of a feature that has one. */
static uint32_t data_bytes(const struct leap__ctrl *c,
			   const struct leap_sqe *sqe, const struct feature *f)
{
	/* The short form of a host identifier. */
	if (f->fid == LEAP_FID_HOST_ID && c->front &&
	    !(leap_from_le32(sqe->cdw11) & LEAP_FEAT_HOSTID_EXHID))
		return 8;
	return f->data * 8u;
}

uint32_t leap__features_effects(const struct leap__ctrl *c, uint32_t fid)
{
	const struct feature *f = find(c, fid);

	/* Scope, bits 31:20: controller is bit 1 of it. */
	return f ? LEAP_FIS_FSUPP | LEAP_PUT(2u, LEAP_FIS_FSP) : 0;
}

/* Events that a host of before OAES expects to be on stay on. */
static uint32_t async_default(const struct leap__ctrl *c)
{
	return (leap__aer_oaes(c) & ~LEAP_AEC_ZONE_DESC) |
	       (c->ss->discovery ? 0 :
				    LEAP_SMART_RELIABILITY |
				    LEAP_SMART_READ_ONLY);
}

void leap__features_reset(struct leap__ctrl *c)
{
	size_t i;

	for (i = 0; i < NR_FEATURES; i++)
		if (features[i].slot < LEAP__FEAT_NR)
			c->feat[features[i].slot] = features[i].def;
	c->feat[LEAP__FEAT_TEMP_UNDER] = 0;
	c->feat[LEAP__FEAT_ASYNC_EVENT] = async_default(c);
	c->granted = c->target->opts.max_io_queues;
	memset(c->host_behavior, 0, sizeof(c->host_behavior));
	memset(c->coalesce_off, 0, sizeof(c->coalesce_off));
	if (c->kato_ms != c->kato_connect_ms)
		leap__ctrl_set_kato(c, c->kato_connect_ms);
}

/* ---- set ---- */

static uint32_t num_queues(uint32_t n)
{
	return LEAP_PUT(n - 1, LEAP_FEAT_NQ_NSQ) |
	       LEAP_PUT(n - 1, LEAP_FEAT_NQ_NCQ);
}

static leap_status_t set_num_queues(struct leap__ctrl *c, uint32_t v,
				    uint64_t *result)
{
	uint32_t nsq = LEAP_GET(v, LEAP_FEAT_NQ_NSQ);
	uint32_t ncq = LEAP_GET(v, LEAP_FEAT_NQ_NCQ);
	uint32_t n = (nsq < ncq ? nsq : ncq) + 1;

	if (nsq == 0xffff || ncq == 0xffff)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	if (c->nr_ioqs || c->nr_iocqs)
		return LEAP__DNR(LEAP_SC_CMD_SEQUENCE);
	if (n > c->target->opts.max_io_queues)
		n = c->target->opts.max_io_queues;
	c->granted = n;
	*result = num_queues(n);
	return 0;
}

/* Write through, on every I/O queue there is, before it is answered. */
static void cache_set(struct leap__round *r)
{
	struct leap__ctrl *c = r->arg;
	struct leap_cmd *cmd = c->feat_cmd;

	c->feat_cmd = NULL;
	leap_cmd_complete(cmd, 0);
	leap__ctrl_put(c);
}

static void set_write_cache(struct leap__ctrl *c, struct leap_cmd *cmd,
			    uint32_t v)
{
	struct leap__round *r = &c->feat_round;
	uint32_t i;

	if (c->feat_cmd || !leap__round_prepare(c->target, r,
						LEAP_LINK_FEATURE)) {
		leap__admin_fail(c, cmd, LEAP_SC_INTERNAL);
		return;
	}
	c->feat[LEAP__FEAT_WRITE_CACHE] = v;
	for (i = 0; i < r->nr; i++) {
		r->m[i].ctrl = c;
		r->m[i].link.u.feature.fid = LEAP_FID_WRITE_CACHE;
		r->m[i].link.u.feature.value = v;
	}
	r->done = cache_set;
	r->arg = c;
	c->feat_cmd = cmd;
	c->refs++;
	leap__round_send(c->target, r);
}

static leap_status_t set_temp(struct leap__ctrl *c, uint32_t v)
{
	uint32_t sensor = LEAP_GET(v, LEAP_FEAT_TEMP_TMPSEL);
	uint32_t which = LEAP_GET(v, LEAP_FEAT_TEMP_THSEL);

	/* The composite temperature (0) or all sensors (Fh). */
	if ((sensor && sensor != 0xf) || which > LEAP_FEAT_TEMP_THSEL_UNDER)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	c->feat[which ? LEAP__FEAT_TEMP_UNDER : LEAP__FEAT_TEMP_OVER] =
		LEAP_GET(v, LEAP_FEAT_TEMP_TMPTH);
	if (leap__smart_warnings(c) & LEAP_SMART_TEMPERATURE)
		leap__aer_event(c, LEAP__EVENT_TEMPERATURE);
	return 0;
}

/* One bit a vector, behind registers only. */
static leap_status_t set_vector(struct leap__ctrl *c, uint32_t v)
{
	uint32_t iv = LEAP_GET(v, LEAP_FEAT_IV_IV);
	uint32_t bit = 1u << iv % 32;

	if (iv >= c->front->nr_vectors)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	c->coalesce_off[iv / 32] &= ~bit;
	if (v & LEAP_FEAT_IV_CD)
		c->coalesce_off[iv / 32] |= bit;
	if (c->front->coalesce)
		c->front->coalesce(c, c->front_arg);
	return 0;
}

static leap_status_t get_vector(const struct leap__ctrl *c, uint32_t v,
				int current, uint64_t *result)
{
	uint32_t iv = LEAP_GET(v, LEAP_FEAT_IV_IV);

	if (iv >= c->front->nr_vectors)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	*result = iv;
	if (current && (c->coalesce_off[iv / 32] & 1u << iv % 32))
		*result |= LEAP_FEAT_IV_CD;
	return 0;
}

static leap_status_t set_data(struct leap__ctrl *c, uint32_t fid,
			      const uint8_t *data)
{
	struct leap_feat_timestamp ts;
	uint32_t i;

	if (fid == LEAP_FID_HOST_BEHAVIOR) {
		/* ACRE and the like are one bit each; we offer none of what
		 * the others would switch on. */
		if (data[0] > 1 || data[1] > 1 || data[2] > 1)
			return LEAP__DNR(LEAP_SC_INVALID_FIELD);
		memcpy(c->host_behavior, data, sizeof(c->host_behavior));
		return 0;
	}
	if (fid == LEAP_FID_HOST_ID) {
		memcpy(c->hostid, data, sizeof(c->hostid));
		return 0;
	}
	memcpy(&ts, data, sizeof(ts));
	c->timestamp_ms = 0;
	for (i = 0; i < 6; i++)
		c->timestamp_ms |= (uint64_t)ts.ms[i] << 8 * i;
	c->timestamp_ns = leap_pollgroup_now_ns(c->target->home);
	c->timestamp_origin = 1;	/* set by the host */
	return 0;
}

static void set_data_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap__ctrl *c = leap__cmd_ctrl(cmd);
	uint32_t fid = LEAP_GET(leap_from_le32(cmd->sqe.cdw10),
				LEAP_FEAT_CDW10_FID);
	uint8_t data[512] = { 0 };

	if (!status) {
		leap__cmd_copy_in(cmd, data,
				  data_bytes(c, &cmd->sqe, find(c, fid)));
		status = set_data(c, fid, data);
	}
	if (status)
		leap__admin_fail(c, cmd, status);
	else
		leap_cmd_complete(cmd, 0);
}

static leap_status_t set_simple(struct leap__ctrl *c, const struct feature *f,
				uint32_t v, uint64_t *result)
{
	if (v & ~f->mask)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	switch (f->fid) {
	case LEAP_FID_NUM_QUEUES:
		return set_num_queues(c, v, result);
	case LEAP_FID_TEMP_THRESHOLD:
		return set_temp(c, v);
	case LEAP_FID_INT_VECTOR:
		return set_vector(c, v);
	case LEAP_FID_IOCS_PROFILE:
		return v ? LEAP__DNR(LEAP_SC_IOCS_COMBINATION) : 0;
	case LEAP_FID_KATO:
		/* Fabrics controllers may not switch it off for discovery. */
		if (!v && c->ss->discovery)
			return LEAP__DNR(LEAP_SC_KATO_INVALID);
		leap__ctrl_set_kato(c, v);
		return 0;
	}
	c->feat[f->slot] = v;
	if (f->fid == LEAP_FID_INT_COALESCE && c->front->coalesce)
		c->front->coalesce(c, c->front_arg);
	return 0;
}

/*
 * On fabrics it came with Connect. Behind registers it is set once, before
 * there are I/O queues that write in its name.
 */
static leap_status_t check_set_hostid(const struct leap__ctrl *c, uint32_t dw)
{
	if (!c->front || c->nr_ioqs)
		return LEAP__DNR(LEAP_SC_CMD_SEQUENCE);
	return dw & ~LEAP_FEAT_HOSTID_EXHID ?
	       LEAP__DNR(LEAP_SC_INVALID_FIELD) : 0;
}

/* May it be set, at this namespace? */
static leap_status_t check_set(const struct leap__ctrl *c,
			       const struct leap_sqe *sqe,
			       const struct feature *f)
{
	uint32_t nsid = leap_from_le32(sqe->nsid);

	if (!f)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	if (leap_from_le32(sqe->cdw10) & LEAP_FEAT_CDW10_SV)
		return LEAP__DNR(LEAP_SC_FEAT_NOT_SAVEABLE);
	if (f->fid == LEAP_FID_HOST_ID)
		return check_set_hostid(c, leap_from_le32(sqe->cdw11));
	if (f->flags & NS) {
		if (nsid != LEAP_NSID_ALL && !leap__ns_active(c->ss, nsid))
			return LEAP__DNR(LEAP_SC_INVALID_NS);
	} else if (nsid && nsid != LEAP_NSID_ALL) {
		return nsid > c->ss->max_nsid ?
		       LEAP__DNR(LEAP_SC_INVALID_NS) :
		       LEAP__DNR(LEAP_SC_FEAT_NOT_NS);
	}
	return 0;
}

void leap__admin_set_features(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	uint32_t fid = LEAP_GET(leap_from_le32(cmd->sqe.cdw10),
				LEAP_FEAT_CDW10_FID);
	const struct feature *f = find(c, fid);
	uint32_t v = leap_from_le32(cmd->sqe.cdw11);
	leap_status_t status = check_set(c, &cmd->sqe, f);

	if (!f && leap__ocssd_feature(c, cmd))
		return;
	if (!status && (f->flags & DATA)) {
		leap_cmd_pull(cmd, data_bytes(c, &cmd->sqe, f),
			      set_data_ready);
		return;
	}
	if (!status && fid == LEAP_FID_WRITE_CACHE && !(v & ~f->mask)) {
		set_write_cache(c, cmd, v);
		return;
	}
	if (!status)
		status = set_simple(c, f, v, &cmd->result);
	if (status)
		leap__admin_fail(c, cmd, status);
	else
		leap_cmd_complete(cmd, 0);
}

/* ---- get ---- */

static leap_status_t fill_data(struct leap__ctrl *c, struct leap_cmd *cmd,
			       uint8_t *buf)
{
	uint32_t dw10 = leap_from_le32(cmd->sqe.cdw10), i;
	uint32_t sel = LEAP_GET(dw10, LEAP_FEAT_CDW10_SEL);
	struct leap_feat_timestamp ts = { 0 };
	uint64_t now;

	if (LEAP_GET(dw10, LEAP_FEAT_CDW10_FID) == LEAP_FID_HOST_ID) {
		memcpy(buf, c->hostid, cmd->data_bytes);
		return 0;
	}
	if (sel != LEAP_FEAT_SEL_CURRENT)
		return 0;	/* zeroes are the default of both */
	if (LEAP_GET(dw10, LEAP_FEAT_CDW10_FID) == LEAP_FID_HOST_BEHAVIOR) {
		memcpy(buf, c->host_behavior, sizeof(c->host_behavior));
		return 0;
	}
	now = c->timestamp_ms + (leap_pollgroup_now_ns(c->target->home) -
		(c->timestamp_origin ? c->timestamp_ns : c->created_ns)) /
		1000000;
	for (i = 0; i < 6; i++)
		ts.ms[i] = (uint8_t)(now >> 8 * i);
	ts.attr = (uint8_t)(c->timestamp_origin << 1);
	memcpy(buf, &ts, sizeof(ts));
	return 0;
}

static leap_status_t get_simple(const struct leap__ctrl *c,
				const struct feature *f,
				const struct leap_sqe *sqe, uint64_t *result)
{
	uint32_t sel = LEAP_GET(leap_from_le32(sqe->cdw10),
				LEAP_FEAT_CDW10_SEL);
	uint32_t v = leap_from_le32(sqe->cdw11);
	uint32_t which = LEAP_GET(v, LEAP_FEAT_TEMP_THSEL);
	int current = sel == LEAP_FEAT_SEL_CURRENT;

	switch (f->fid) {
	case LEAP_FID_NUM_QUEUES:
		*result = num_queues(current ? c->granted :
					       c->target->opts.max_io_queues);
		return 0;
	case LEAP_FID_INT_VECTOR:
		return get_vector(c, v, current, result);
	case LEAP_FID_IOCS_PROFILE:
		*result = 0;
		return 0;
	case LEAP_FID_KATO:
		*result = current ? c->kato_ms : c->kato_connect_ms;
		return 0;
	case LEAP_FID_ASYNC_EVENT:
		*result = current ? c->feat[f->slot] : async_default(c);
		return 0;
	case LEAP_FID_TEMP_THRESHOLD:
		if (LEAP_GET(v, LEAP_FEAT_TEMP_TMPSEL) || which > 1)
			return LEAP__DNR(LEAP_SC_INVALID_FIELD);
		if (which)
			*result = current ? c->feat[LEAP__FEAT_TEMP_UNDER] : 0;
		else
			*result = current ? c->feat[f->slot] : f->def;
		return 0;
	}
	*result = current ? c->feat[f->slot] : f->def;
	return 0;
}

static uint32_t capabilities(const struct leap__ctrl *c,
			     const struct feature *f)
{
	int change = (f->flags & CHANGE) ||
		     (f->fid == LEAP_FID_HOST_ID && c->front);

	return (change ? LEAP_FEAT_CAP_CHANGE : 0) |
	       (f->flags & NS ? LEAP_FEAT_CAP_NS : 0);
}

static leap_status_t check_get(const struct leap__ctrl *c,
			       const struct leap_sqe *sqe,
			       const struct feature *f)
{
	uint32_t sel = LEAP_GET(leap_from_le32(sqe->cdw10),
				LEAP_FEAT_CDW10_SEL);
	uint32_t nsid = leap_from_le32(sqe->nsid);

	if (!f || sel > LEAP_FEAT_SEL_CAPS)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	if (sel == LEAP_FEAT_SEL_CAPS)
		return 0;
	if (f->flags & NS) {
		if (!leap__ns_active(c->ss, nsid))
			return LEAP__DNR(LEAP_SC_INVALID_NS);
	} else if (nsid && nsid != LEAP_NSID_ALL && nsid > c->ss->max_nsid) {
		return LEAP__DNR(LEAP_SC_INVALID_NS);
	}
	/* Fabrics hosts have the 16-byte form only. */
	if (f->fid == LEAP_FID_HOST_ID && !c->front &&
	    !(leap_from_le32(sqe->cdw11) & LEAP_FEAT_HOSTID_EXHID))
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	return 0;
}

void leap__admin_get_features(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	uint32_t dw10 = leap_from_le32(cmd->sqe.cdw10);
	const struct feature *f = find(c, LEAP_GET(dw10, LEAP_FEAT_CDW10_FID));
	leap_status_t status = check_get(c, &cmd->sqe, f);

	if (!f && leap__ocssd_feature(c, cmd))
		return;
	if (!status &&
	    LEAP_GET(dw10, LEAP_FEAT_CDW10_SEL) == LEAP_FEAT_SEL_CAPS) {
		cmd->result = capabilities(c, f);
		leap_cmd_complete(cmd, 0);
		return;
	}
	if (!status && (f->flags & DATA)) {
		leap__admin_data(cmd, data_bytes(c, &cmd->sqe, f), fill_data);
		return;
	}
	if (!status)
		status = get_simple(c, f, &cmd->sqe, &cmd->result);
	if (status)
		leap__admin_fail(c, cmd, status);
	else
		leap_cmd_complete(cmd, 0);
}
