/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cases for the admin queue of an I/O controller, and for that of a discovery
 * controller.
 */
#include "cases.h"

#include <stddef.h>
#include <string.h>

#define OK	LEAP_SC_SUCCESS
#define FIELD	LEAP_SC_INVALID_FIELD
#define NONS	LEAP_SC_INVALID_NS
#define ALL	LEAP_NSID_ALL

/* ---- looking at what came back ---- */

static const char *is_ctrl(const uint8_t *buf, uint32_t len)
{
	const struct leap_id_ctrl *id = (const void *)buf;

	(void)len;
	if (id->sqes != 0x66 || id->cqes != 0x44)
		return "entry sizes";
	if (leap_from_le32(id->nn) != MAX_NSID)
		return "NN";
	if (!leap_from_le16(id->kas) || leap_from_le32(id->ioccsz) < 4 ||
	    leap_from_le32(id->iorcsz) < 1)
		return "what fabrics hosts insist on";
	if (id->mdts != 4)
		return "MDTS";
	if (id->cntrltype != LEAP_CNTRLTYPE_IO)
		return "CNTRLTYPE";
	return NULL;
}

static const char *is_disc(const uint8_t *buf, uint32_t len)
{
	const struct leap_id_ctrl *id = (const void *)buf;

	(void)len;
	if (id->cntrltype != LEAP_CNTRLTYPE_DISCOVERY)
		return "CNTRLTYPE";
	if (strcmp(id->subnqn, LEAP_NQN_DISCOVERY))
		return "SUBNQN";
	return NULL;
}

static const char *is_ns1(const uint8_t *buf, uint32_t len)
{
	const struct leap_id_ns *id = (const void *)buf;

	(void)len;
	if (leap_from_le64(id->nsze) != NS1_LBAS ||
	    id->lbaf[id->flbas & 15].lbads != 9)
		return "size or format";
	return NULL;
}

static const char *is_ns2(const uint8_t *buf, uint32_t len)
{
	const struct leap_id_ns *id = (const void *)buf;

	(void)len;
	if (leap_from_le64(id->nsze) != NS2_LBAS ||
	    id->lbaf[id->flbas & 15].lbads != 12)
		return "size or format";
	return NULL;
}

static const char *is_zero(const uint8_t *buf, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		if (buf[i])
			return "not all zeroes";
	return NULL;
}

static const char *is_list1234(const uint8_t *buf, uint32_t len)
{
	const struct leap_ns_list *l = (const void *)buf;

	(void)len;
	if (leap_from_le32(l->nsid[0]) != 1 ||
	    leap_from_le32(l->nsid[1]) != 2 ||
	    leap_from_le32(l->nsid[2]) != 3 ||
	    leap_from_le32(l->nsid[3]) != 4 || l->nsid[4])
		return "not 1, 2, 3, 4";
	return NULL;
}

static const char *is_list123(const uint8_t *buf, uint32_t len)
{
	const struct leap_ns_list *l = (const void *)buf;

	(void)len;
	return leap_from_le32(l->nsid[2]) != 3 || l->nsid[3] ? "not 1, 2, 3" :
	       NULL;
}

static const char *is_list4(const uint8_t *buf, uint32_t len)
{
	const struct leap_ns_list *l = (const void *)buf;

	(void)len;
	return leap_from_le32(l->nsid[0]) != 4 || l->nsid[1] ? "not 4" : NULL;
}

static const char *is_descs(const uint8_t *buf, uint32_t len)
{
	uint32_t at = 0, seen = 0;

	while (at + 4 <= len && buf[at]) {
		seen |= 1u << buf[at];
		at += 4u + buf[at + 1];
	}
	/* EUI64, NGUID, UUID, CSI */
	return seen == 0x1e ? NULL : "not all identifiers";
}

static const char *has_error(const uint8_t *buf, uint32_t len)
{
	const struct leap_log_error *e = (const void *)buf;

	(void)len;
	return leap_from_le64(e->count) ? NULL : "no entry";
}

static const char *has_effects(const uint8_t *buf, uint32_t len)
{
	const struct leap_log_effects *l = (const void *)buf;

	(void)len;
	if (!(leap_from_le32(l->acs[LEAP_ADM_IDENTIFY]) & LEAP_EFFECTS_CSUPP) ||
	    !(leap_from_le32(l->iocs[LEAP_NVM_WRITE]) & LEAP_EFFECTS_LBCC) ||
	    leap_from_le32(l->acs[LEAP_ADM_FORMAT]))
		return "wrong effects";
	return NULL;
}

static const char *has_smart(const uint8_t *buf, uint32_t len)
{
	const struct leap_log_smart *s = (const void *)buf;

	(void)len;
	return leap_from_le64(s->host_reads.lo) ? NULL : "no reads counted";
}

static const char *has_logs(const uint8_t *buf, uint32_t len)
{
	const struct leap_log_supported *l = (const void *)buf;

	(void)len;
	return leap_from_le32(l->lids[LEAP_LID_SMART]) & LEAP_LIDS_LSUPP &&
	       !l->lids[LEAP_LID_ANA] ? NULL : "wrong pages";
}

static const char *is_fw(const uint8_t *buf, uint32_t len)
{
	(void)len;
	return buf[0] == 1 && buf[8] != 0 ? NULL : "no slot 1";
}

static const char *is_hostid(const uint8_t *buf, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		if (buf[i] != 1)
			return "not ours";
	return NULL;
}

/* ---- opcodes ---- */

#define SPEC_OP	"NVMe Base 2.0 s5 (Admin Command Set)"
#define NO_OP(code) ADMIN("opcode " #code " is not there", SPEC_OP, code, 0, \
			  0, 0, 0, LEAP_SC_INVALID_OPCODE)

/* ---- identify ---- */

#define SPEC_ID	"NVMe Base 2.0 s5.17 (Identify)"
#define ID(nm, cns, nsid, d11, st, chk) \
	{ "identify: " nm, SPEC_ID, Q_ADMIN, LEAP_ADM_IDENTIFY, 0, 0, nsid, \
	  { cns, d11 }, 4096, 0, 0, st, 0, 0, 0, chk }
#define CSI(n)	((uint32_t)(n) << 24)

/* ---- logs ---- */

#define SPEC_LOG "NVMe Base 2.0 s5.16 (Get Log Page)"
#define LOG(nm, lid, nsid, bytes, lpo, d14, st, chk) \
	{ "log: " nm, SPEC_LOG, Q_ADMIN, LEAP_ADM_GET_LOG, 0, 0, nsid, \
	  { (lid) | ((bytes) / 4 - 1) << 16, 0, lpo, 0, d14 }, bytes, 0, 0, \
	  st, 0, 1, 0, chk }

/* ---- features ---- */

#define SPEC_FEAT "NVMe Base 2.0 s5.27 (Set Features)"
#define SPEC_GET "NVMe Base 2.0 s5.15 (Get Features)"
#define SET(nm, fid, v, st) \
	{ "set feature: " nm, SPEC_FEAT, Q_ADMIN, LEAP_ADM_SET_FEATURES, 0, \
	  0, 0, { fid, v }, 0, 0, 0, st, 0, 0, 0, NULL }
#define GET(nm, fid, sel, v, st, res) \
	{ "get feature: " nm, SPEC_GET, Q_ADMIN, LEAP_ADM_GET_FEATURES, 0, \
	  0, 0, { (fid) | (sel) << 8, v }, 0, 0, 0, st, 1, 0, res, NULL }
#define CHANGE	LEAP_FEAT_CAP_CHANGE
#define PERNS	(LEAP_FEAT_CAP_CHANGE | LEAP_FEAT_CAP_NS)

/* All four answers of a feature that is a number. */
#define FEAT(nm, fid, def, good) \
	GET(nm ", default", fid, 1, 0, OK, def), \
	GET(nm ", current", fid, 0, 0, OK, def), \
	SET(nm, fid, good, OK), \
	GET(nm ", as set", fid, 0, 0, OK, good), \
	GET(nm ", saved is default", fid, 2, 0, OK, def), \
	GET(nm ", capabilities", fid, 3, 0, OK, CHANGE), \
	SET(nm ", saved", (fid) | 1u << 31, good, \
	    LEAP_SC_FEAT_NOT_SAVEABLE), \
	SET(nm ", back", fid, def, OK)

/* ---- properties ---- */

#define SPEC_PROP "NVMe Base 2.0 s6.5 (Property Get), s6.6 (Property Set)"
/* ATTRIB is byte 40, OFST bytes 44-47, VALUE from byte 48. */
#define PGET(nm, size8, ofst, st) \
	{ "property get: " nm, SPEC_PROP, Q_ADMIN, LEAP_ADM_FABRICS, 0, 0, \
	  LEAP_FCTYPE_PROP_GET, { size8, ofst }, 0, 0, 0, st, 0, 0, 0, NULL }
#define PSET(nm, size8, ofst, v, st) \
	{ "property set: " nm, SPEC_PROP, Q_ADMIN, LEAP_ADM_FABRICS, 0, 0, \
	  LEAP_FCTYPE_PROP_SET, { size8, ofst, v }, 0, 0, 0, st, 0, 0, 0, \
	  NULL }

/* Without the fields that only capsules need. */
static const char *is_ctrl_regs(const uint8_t *buf, uint32_t len)
{
	struct leap_id_ctrl id;

	(void)len;
	memcpy(&id, buf, sizeof(id));
	if (leap_from_le32(id.ioccsz) || leap_from_le32(id.iorcsz))
		return "capsules";
	if (!leap_from_le16(id.vid))
		return "no PCI vendor";
	id.ioccsz = id.iorcsz = leap_to_le32(4);
	return is_ctrl((const uint8_t *)&id, sizeof(id));
}

const struct difference differences[] = {
	{ "identify: controller", OK, "PCI vendor, SGLs of addresses, Doorbell "
	  "Buffer Config; no capsule sizes", is_ctrl_regs },
	{ "set feature: interrupt coalescing", OK, "there are interrupts",
	  NULL },
	{ "set feature: interrupt vectors", OK, "there are interrupts", NULL },
	{ "get feature: host identifier", OK, "the drive's owner says whose it "
	  "is, not Connect", NULL },
	{ "get feature: host identifier, 8 bytes", OK, "the short form is for "
	  "memory-based controllers", NULL },
};

const unsigned int nr_differences =
	sizeof(differences) / sizeof(differences[0]);

const struct testcase admin_cases[] = {
	NO_OP(0x00), NO_OP(0x01), NO_OP(0x04), NO_OP(0x05), NO_OP(0x0d),
	NO_OP(0x10), NO_OP(0x11), NO_OP(0x14), NO_OP(0x15), NO_OP(0x19),
	NO_OP(0x1a), NO_OP(0x1c), NO_OP(0x1d), NO_OP(0x1e), NO_OP(0x20),
	NO_OP(0x24), NO_OP(0x7c), NO_OP(0x80), NO_OP(0x81), NO_OP(0x82),
	NO_OP(0x84), NO_OP(0x86), NO_OP(0xc0), NO_OP(0xff),

	ID("controller", 1, 0, 0, OK, is_ctrl),
	ID("namespace 1", 0, 1, 0, OK, is_ns1),
	ID("namespace 2", 0, 2, 0, OK, is_ns2),
	ID("namespace, inactive", 0, 5, 0, OK, is_zero),
	ID("namespace 0", 0, 0, 0, NONS, NULL),
	ID("namespace over NN", 0, 65, 0, NONS, NULL),
	ID("namespace, common", 0, ALL, 0, OK, NULL),
	ID("active list", 2, 0, 0, OK, is_list1234),
	ID("active list above 3", 2, 3, 0, OK, is_list4),
	ID("active list above 4", 2, 4, 0, OK, is_zero),
	ID("active list above FFFFFFFDh", 2, 0xfffffffd, 0, OK, is_zero),
	ID("active list above FFFFFFFEh", 2, 0xfffffffe, 0, NONS, NULL),
	ID("active list above FFFFFFFFh", 2, ALL, 0, NONS, NULL),
	ID("descriptors", 3, 1, 0, OK, is_descs),
	ID("descriptors of an inactive namespace", 3, 6, 0, NONS, NULL),
	ID("descriptors of NSID 0", 3, 0, 0, NONS, NULL),
	ID("descriptors over NN", 3, 65, 0, NONS, NULL),
	ID("descriptors of all", 3, ALL, 0, NONS, NULL),
	ID("NVM sets", 4, 0, 0, FIELD, NULL),
	ID("NVM namespace", 5, 1, 0, OK, is_zero),
	ID("zoned namespace", 5, 1, CSI(2), FIELD, NULL),
	ID("NVM namespace over NN", 5, 65, 0, NONS, NULL),
	ID("NVM controller", 6, 0, 0, OK, NULL),
	ID("key value controller", 6, 0, CSI(1), FIELD, NULL),
	ID("NVM active list", 7, 0, 0, OK, is_list123),
	ID("independent namespace", 8, 1, 0, OK, NULL),
	ID("independent namespace over NN", 8, 65, 0, NONS, NULL),
	ID("allocated list", 0x10, 0, 0, FIELD, NULL),
	ID("allocated namespace", 0x11, 1, 0, FIELD, NULL),
	ID("controllers of a namespace", 0x12, 1, 0, OK, NULL),
	ID("controllers of an inactive one", 0x12, 9, 0, NONS, NULL),
	ID("all controllers", 0x13, 0, 0, OK, NULL),
	ID("controllers from FFFFh", 0x13 | 0xffffu << 16, 0, 0, OK, is_zero),
	ID("primary controller", 0x14, 0, 0, FIELD, NULL),
	ID("secondary controllers", 0x15, 0, 0, FIELD, NULL),
	ID("granularity", 0x16, 0, 0, FIELD, NULL),
	ID("UUID list", 0x17, 0, 0, FIELD, NULL),
	ID("domains", 0x18, 0, 0, FIELD, NULL),
	ID("command set combinations", 0x1c | 0xffffu << 16, 0, 0, OK, NULL),
	ID("combinations of no controller", 0x1c | 0x7777u << 16, 0, 0, FIELD,
	   NULL),
	ID("CNS 1Dh", 0x1d, 0, 0, FIELD, NULL),
	ID("CNS FFh", 0xff, 0, 0, FIELD, NULL),
	ADMIN("identify: payload too short", SPEC_ID, LEAP_ADM_IDENTIFY, 0, 1,
	      0, 512, LEAP_SC_SGL_DATA_LEN),

	LOG("supported pages", 0x00, ALL, 1024, 0, 0, OK, has_logs),
	LOG("errors", 0x01, ALL, 4096, 0, 0, OK, has_error),
	LOG("newest error", 0x01, 0, 64, 0, 0, OK, has_error),
	LOG("SMART", 0x02, ALL, 512, 0, 0, OK, has_smart),
	LOG("SMART, NSID 0", 0x02, 0, 512, 0, 0, OK, has_smart),
	LOG("SMART of a namespace", 0x02, 1, 512, 0, 0, FIELD, NULL),
	LOG("SMART over NN", 0x02, 65, 512, 0, 0, NONS, NULL),
	LOG("SMART from the middle", 0x02, ALL, 256, 256, 0, OK, NULL),
	LOG("firmware slots", 0x03, ALL, 512, 0, 0, OK, is_fw),
	LOG("changed namespaces", 0x04, ALL, 4096, 0, 0, OK, is_zero),
	LOG("effects", 0x05, ALL, 4096, 0, 0, OK, has_effects),
	LOG("effects of another command set", 0x05, ALL, 4096, 0,
	    3u << 24, FIELD, NULL),
	LOG("more than there is", 0x03, ALL, 1024, 0, 0, OK, is_fw),
	LOG("from the very end", 0x03, ALL, 64, 512, 0, OK, is_zero),
	LOG("from behind the end", 0x03, ALL, 64, 516, 0, FIELD, NULL),
	LOG("from far behind", 0x05, ALL, 64, 0xfffffffc, 0, FIELD, NULL),
	LOG("offset not a dword", 0x05, ALL, 64, 2, 0, FIELD, NULL),
	LOG("by index", 0x05, ALL, 64, 0, 1u << 23, FIELD, NULL),
	LOG("one dword", 0x05, ALL, 4, 0, 0, OK, NULL),
	LOG("feature effects", 0x12, ALL, 1024, 0, 0, OK, NULL),
	LOG("self-test", 0x06, ALL, 512, 0, 0, LEAP_SC_LOG_PAGE, NULL),
	LOG("telemetry, host", 0x07, ALL, 512, 0, 0, LEAP_SC_LOG_PAGE, NULL),
	LOG("telemetry, controller", 0x08, ALL, 512, 0, 0, LEAP_SC_LOG_PAGE,
	    NULL),
	LOG("endurance group", 0x09, ALL, 512, 0, 0, LEAP_SC_LOG_PAGE, NULL),
	LOG("ANA", 0x0c, ALL, 512, 0, 0, LEAP_SC_LOG_PAGE, NULL),
	LOG("persistent events", 0x0d, ALL, 512, 0, 0, LEAP_SC_LOG_PAGE, NULL),
	LOG("discovery", 0x70, 0, 1024, 0, 0, LEAP_SC_LOG_PAGE, NULL),
	LOG("reservations", 0x80, ALL, 64, 0, 0, LEAP_SC_LOG_PAGE, NULL),
	LOG("sanitize", 0x81, ALL, 512, 0, 0, LEAP_SC_LOG_PAGE, NULL),
	LOG("page CAh", 0xca, ALL, 512, 0, 0, LEAP_SC_LOG_PAGE, NULL),
	{ "log: payload too short", SPEC_LOG, Q_ADMIN, LEAP_ADM_GET_LOG, 0, 0,
	  ALL, { 0x05 | 1023u << 16 }, 2048, 0, 0, LEAP_SC_SGL_DATA_LEN, 0, 0,
	  0, NULL },

	FEAT("arbitration", 0x01, 7, 3),
	FEAT("power management", 0x02, 0, 0),
	FEAT("temperature threshold", 0x04, 343, 350),
	FEAT("write cache", 0x06, 1, 0),
	FEAT("write atomicity", 0x0a, 0, 1),
	GET("events, default", 0x0b, 1, 0, OK, 0x10c),
	SET("events", 0x0b, 0x100, OK),
	GET("events, as set", 0x0b, 0, 0, OK, 0x100),
	SET("events, back", 0x0b, 0x10c, OK),
	SET("arbitration, reserved bits", 0x01, 0x80, FIELD),
	SET("power state 1", 0x02, 1, FIELD),
	SET("temperature of sensor 3", 0x04, 300 | 3u << 16, FIELD),
	SET("temperature, reserved threshold", 0x04, 300 | 2u << 20, FIELD),
	SET("temperature, under", 0x04, 270 | 1u << 20, OK),
	GET("temperature, under", 0x04, 0, 1u << 20, OK, 270),
	SET("temperature, under, back", 0x04, 0 | 1u << 20, OK),
	SET("write cache, reserved bits", 0x06, 2, FIELD),
	GET("error recovery without namespace", 0x05, 0, 0, NONS, 0),
	{ "get feature: error recovery", SPEC_GET, Q_ADMIN,
	  LEAP_ADM_GET_FEATURES, 0, 0, 1, { 0x05 }, 0, 0, 0, OK, 1, 0, 0,
	  NULL },
	{ "set feature: error recovery", SPEC_FEAT, Q_ADMIN,
	  LEAP_ADM_SET_FEATURES, 0, 0, 1, { 0x05, 10 }, 0, 0, 0, OK, 0, 0, 0,
	  NULL },
	{ "set feature: error recovery, DULBE", SPEC_FEAT, Q_ADMIN,
	  LEAP_ADM_SET_FEATURES, 0, 0, 1, { 0x05, 1u << 16 }, 0, 0, 0, FIELD,
	  0, 0, 0, NULL },
	{ "set feature: error recovery, inactive namespace", SPEC_FEAT,
	  Q_ADMIN, LEAP_ADM_SET_FEATURES, 0, 0, 9, { 0x05, 10 }, 0, 0, 0,
	  NONS, 0, 0, 0, NULL },
	GET("error recovery, capabilities", 0x05, 3, 0, OK, PERNS),
	{ "set feature: arbitration of a namespace", SPEC_FEAT, Q_ADMIN,
	  LEAP_ADM_SET_FEATURES, 0, 0, 1, { 0x01, 3 }, 0, 0, 0,
	  LEAP_SC_FEAT_NOT_NS, 0, 0, 0, NULL },
	{ "set feature: arbitration over NN", SPEC_FEAT, Q_ADMIN,
	  LEAP_ADM_SET_FEATURES, 0, 0, 99, { 0x01, 3 }, 0, 0, 0, NONS, 0, 0,
	  0, NULL },
	SET("number of queues, FFFFh", 0x07, 0xffff, FIELD),
	SET("number of queues, FFFFh of the others", 0x07, 0xffff0000, FIELD),
	SET("number of queues with queues", 0x07, 0x00030003,
	    LEAP_SC_CMD_SEQUENCE),
	GET("number of queues", 0x07, 0, 0, OK, 0x003f003f),
	GET("number of queues, capabilities", 0x07, 3, 0, OK, CHANGE),
	SET("interrupt coalescing", 0x08, 1, FIELD),
	SET("interrupt vectors", 0x09, 1, FIELD),
	SET("keep alive", 0x0f, 60000, OK),
	GET("keep alive", 0x0f, 0, 0, OK, 60000),
	SET("keep alive, rounded up", 0x0f, 60001, OK),
	GET("keep alive, rounded up", 0x0f, 0, 0, OK, 60100),
	SET("keep alive, off", 0x0f, 0, OK),
	{ "set feature: timestamp", SPEC_FEAT, Q_ADMIN, LEAP_ADM_SET_FEATURES,
	  0, FILL_SEED, 0, { 0x0e }, 8, 3, 0, OK, 0, 0, 0, NULL },
	{ "get feature: timestamp", SPEC_GET, Q_ADMIN, LEAP_ADM_GET_FEATURES,
	  0, 0, 0, { 0x0e }, 8, 0, 0, OK, 0, 1, 0, NULL },
	{ "set feature: host behavior", SPEC_FEAT, Q_ADMIN,
	  LEAP_ADM_SET_FEATURES, 0, FILL_SEED, 0, { 0x16 }, 512, 0, 0, OK, 0,
	  0, 0, NULL },
	{ "set feature: host behavior, reserved", SPEC_FEAT, Q_ADMIN,
	  LEAP_ADM_SET_FEATURES, 0, FILL_SEED, 0, { 0x16 }, 512, 77, 0,
	  FIELD, 0, 0, 0, NULL },
	{ "get feature: host behavior", SPEC_GET, Q_ADMIN,
	  LEAP_ADM_GET_FEATURES, 0, 0, 0, { 0x16 }, 512, 0, 0, OK, 0, 0, 0,
	  is_zero },
	{ "get feature: host identifier", SPEC_GET, Q_ADMIN,
	  LEAP_ADM_GET_FEATURES, 0, 0, 0, { 0x81, 1 }, 16, 0, 0, OK, 0, 0, 0,
	  is_hostid },
	{ "get feature: host identifier, 8 bytes", SPEC_GET, Q_ADMIN,
	  LEAP_ADM_GET_FEATURES, 0, 0, 0, { 0x81, 0 }, 8, 0, 0, FIELD, 0, 0,
	  0, NULL },
	{ "set feature: host identifier", SPEC_FEAT, Q_ADMIN,
	  LEAP_ADM_SET_FEATURES, 0, FILL_SEED, 0, { 0x81, 1 }, 16, 3, 0,
	  LEAP_SC_CMD_SEQUENCE, 0, 0, 0, NULL },
	SET("feature 00h", 0x00, 0, FIELD),
	SET("LBA ranges", 0x03, 0, FIELD),
	SET("power state transitions", 0x0c, 0, FIELD),
	SET("host memory", 0x0d, 1, FIELD),
	SET("reservations", 0x82, 0, FIELD),
	SET("write protection", 0x84, 1, FIELD),
	SET("vendor", 0xc0, 0, FIELD),
	GET("feature 00h", 0x00, 0, 0, FIELD, 0),
	GET("vendor", 0xc0, 0, 0, FIELD, 0),
	GET("reserved selection", 0x01, 4, 0, FIELD, 0),

	{ "abort: nothing there", "NVMe Base 2.0 s5.1 (Abort)", Q_ADMIN,
	  LEAP_ADM_ABORT, 0, 0, 0, { 1 | 0x1234u << 16 }, 0, 0, 0, OK, 1, 0,
	  1, NULL },
	{ "abort: no such queue", "NVMe Base 2.0 s5.1 (Abort)", Q_ADMIN,
	  LEAP_ADM_ABORT, 0, 0, 0, { 999 }, 0, 0, 0, OK, 1, 0, 1, NULL },
	{ "abort: admin queue", "NVMe Base 2.0 s5.1 (Abort)", Q_ADMIN,
	  LEAP_ADM_ABORT, 0, 0, 0, { 0x4321u << 16 }, 0, 0, 0, OK, 1, 0, 1,
	  NULL },
	ADMIN("keep alive", "NVMe Base 2.0 s5.18 (Keep Alive)",
	      LEAP_ADM_KEEP_ALIVE, 0, 0, 0, 0, OK),

	PGET("CAP", 1, LEAP_REG_CAP, OK),
	PGET("CAP, 4 bytes", 0, LEAP_REG_CAP, FIELD),
	PGET("CAP, upper half", 0, LEAP_REG_CAP + 4, FIELD),
	PGET("VS", 0, LEAP_REG_VS, OK),
	PGET("VS, 8 bytes", 1, LEAP_REG_VS, FIELD),
	PGET("CC", 0, LEAP_REG_CC, OK),
	PGET("CSTS", 0, LEAP_REG_CSTS, OK),
	PGET("CRTO", 0, LEAP_REG_CRTO, OK),
	PGET("INTMS", 0, LEAP_REG_INTMS, FIELD),
	PGET("AQA", 0, LEAP_REG_AQA, FIELD),
	PGET("ASQ", 1, LEAP_REG_ASQ, FIELD),
	PGET("doorbell", 0, 0x1000, FIELD),
	PGET("odd offset", 0, 0x15, FIELD),
	PGET("offset FFFFFFFCh", 0, 0xfffffffc, FIELD),
	PGET("reserved size", 2, LEAP_REG_VS, FIELD),
	PSET("CAP", 1, LEAP_REG_CAP, 0, FIELD),
	PSET("VS", 0, LEAP_REG_VS, 0, FIELD),
	PSET("CSTS", 0, LEAP_REG_CSTS, 0, FIELD),
	PSET("NSSR", 0, LEAP_REG_NSSR, LEAP_NSSR_MAGIC, FIELD),
	PSET("AQA", 0, LEAP_REG_AQA, 0, FIELD),
	PSET("CC, 8 bytes", 1, LEAP_REG_CC, 0x00460001, FIELD),
	PSET("CC, nothing new", 0, LEAP_REG_CC, 0x00460061, OK),
	{ "Connect twice", "NVMe Base 2.0 s6.3 (Connect)", Q_ADMIN,
	  LEAP_ADM_FABRICS, 0, FILL_SEED, LEAP_FCTYPE_CONNECT, { 0, 0x1f },
	  1024, 0, 0, LEAP_SC_CMD_SEQUENCE, 0, 0, 0, NULL },
	{ "Disconnect of an admin queue", "NVMe Base 2.0 s6.4 (Disconnect)",
	  Q_ADMIN, LEAP_ADM_FABRICS, 0, 0, LEAP_FCTYPE_DISCONNECT, { 0 }, 0,
	  0, 0, LEAP_SC_FAB_QTYPE, 0, 0, 0, NULL },
	{ "unknown fabrics command", "NVMe Base 2.0 s6", Q_ADMIN,
	  LEAP_ADM_FABRICS, 0, 0, 0x44, { 0 }, 0, 0, 0, FIELD, 0, 0, 0,
	  NULL },
	{ "fused identify", "NVMe Base 2.0 s6.2 (Fused Operations)", Q_ADMIN,
	  LEAP_ADM_KEEP_ALIVE, 1, 0, 0, { 0 }, 0, 0, 0, FIELD, 0, 0, 0,
	  NULL },
};

const unsigned int nr_admin_cases =
	sizeof(admin_cases) / sizeof(admin_cases[0]);

#define SPEC_DISC "NVMe Base 2.0 s3.1.2.3 (Discovery Controller)"
#define DISC(nm, opc, nsid, d10, d11, len, st, chk) \
	{ "discovery: " nm, SPEC_DISC, Q_DISC, opc, 0, 0, nsid, \
	  { d10, d11 }, len, 0, 0, st, 0, 1, 0, chk }
#define DLOG(lid, bytes) ((lid) | ((bytes) / 4 - 1) << 16)

const struct testcase disc_cases[] = {
	DISC("identify", LEAP_ADM_IDENTIFY, 0, 1, 0, 4096, OK, is_disc),
	DISC("identify namespace", LEAP_ADM_IDENTIFY, 1, 0, 0, 4096, FIELD,
	     NULL),
	DISC("identify active list", LEAP_ADM_IDENTIFY, 0, 2, 0, 4096, FIELD,
	     NULL),
	DISC("log", LEAP_ADM_GET_LOG, 0, DLOG(0x70, 1024), 0, 1024, OK, NULL),
	DISC("log, more than there is", LEAP_ADM_GET_LOG, 0,
	     DLOG(0x70, 16384), 0, 16384, OK, NULL),
	DISC("supported pages", LEAP_ADM_GET_LOG, 0, DLOG(0x00, 1024), 0,
	     1024, OK, NULL),
	DISC("SMART", LEAP_ADM_GET_LOG, 0, DLOG(0x02, 512), 0, 512,
	     LEAP_SC_LOG_PAGE, NULL),
	DISC("effects", LEAP_ADM_GET_LOG, 0, DLOG(0x05, 4096), 0, 4096,
	     LEAP_SC_LOG_PAGE, NULL),
	DISC("get events", LEAP_ADM_GET_FEATURES, 0, 0x0b, 0, 0, OK, NULL),
	DISC("set events", LEAP_ADM_SET_FEATURES, 0, 0x0b, 1u << 31, 0, OK,
	     NULL),
	DISC("get keep alive", LEAP_ADM_GET_FEATURES, 0, 0x0f, 0, 0, OK,
	     NULL),
	DISC("keep alive off", LEAP_ADM_SET_FEATURES, 0, 0x0f, 0, 0,
	     LEAP_SC_KATO_INVALID, NULL),
	DISC("number of queues", LEAP_ADM_SET_FEATURES, 0, 0x07, 0, 0, FIELD,
	     NULL),
	DISC("keep alive", LEAP_ADM_KEEP_ALIVE, 0, 0, 0, 0, OK, NULL),
	DISC("create a queue", LEAP_ADM_CREATE_CQ, 0, 1, 0, 0,
	     LEAP_SC_INVALID_OPCODE, NULL),
	DISC("format", LEAP_ADM_FORMAT, 1, 0, 0, 0, LEAP_SC_INVALID_OPCODE,
	     NULL),
};

const unsigned int nr_disc_cases = sizeof(disc_cases) / sizeof(disc_cases[0]);
