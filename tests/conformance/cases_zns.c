/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cases for namespaces with zones. NSID 4 has 16 zones of 16 LBAs of 4096
 * bytes, of which 12 can be written; 5 zones may be active and 3 open, 4 LBAs
 * appended at once; zone 14 is read-only, zone 15 offline. What happens to a
 * zone happens once, so all of them are of one I/O queue pair.
 */
#include "cases.h"

#include <stddef.h>
#include <string.h>

#define OK	LEAP_SC_SUCCESS
#define FIELD	LEAP_SC_INVALID_FIELD
#define NONS	LEAP_SC_INVALID_NS
#define RANGE	LEAP_SC_LBA_RANGE
#define OPCODE	LEAP_SC_INVALID_OPCODE
#define BF	LEAP_SC_ZONE_TRANSITION
#define CSI(n)	((uint32_t)(n) << 24)

#define NR_ZONES 16u
#define ZONE(n)	((n) * 16u)

/* ---- looking at what came back ---- */

static const char *is_zns_ns(const uint8_t *buf, uint32_t len)
{
	const struct leap_id_ns_zns *id = (const void *)buf;

	(void)len;
	if (leap_from_le32(id->mar) != 4 || leap_from_le32(id->mor) != 2)
		return "MAR or MOR";
	if (leap_from_le16(id->zoc) || leap_from_le16(id->ozcs))
		return "ZOC or OZCS";
	if (leap_from_le64(id->lbafe[1].zsze) != 16 || id->lbafe[1].zdes)
		return "LBA format extension";
	return NULL;
}

static const char *is_ns4(const uint8_t *buf, uint32_t len)
{
	const struct leap_id_ns *id = (const void *)buf;

	(void)len;
	return leap_from_le64(id->nsze) != NR_ZONES * 16 ||
	       id->lbaf[id->flbas & 15].lbads != 12 ? "size or format" : NULL;
}

static const char *is_zns_ctrl(const uint8_t *buf, uint32_t len)
{
	(void)len;
	return buf[0] == 2 ? NULL : "ZASL";
}

static const char *is_list4(const uint8_t *buf, uint32_t len)
{
	const struct leap_ns_list *l = (const void *)buf;

	(void)len;
	return leap_from_le32(l->nsid[0]) != 4 || l->nsid[1] ? "not 4" : NULL;
}

static const char *is_list123(const uint8_t *buf, uint32_t len)
{
	const struct leap_ns_list *l = (const void *)buf;

	(void)len;
	return leap_from_le32(l->nsid[2]) != 3 || l->nsid[3] ? "not 1, 2, 3" :
	       NULL;
}

static const char *is_csc(const uint8_t *buf, uint32_t len)
{
	(void)len;
	return buf[0] == 5 ? NULL : "not NVM and ZNS";
}

static const char *is_zns_desc(const uint8_t *buf, uint32_t len)
{
	uint32_t at = 0;

	for (; at + 5 <= len && buf[at]; at += 4u + buf[at + 1])
		if (buf[at] == LEAP_NIDT_CSI)
			return buf[at + 4] == LEAP_CSI_ZNS ? NULL : "not ZNS";
	return "no command set";
}

static const char *has_zone_effects(const uint8_t *buf, uint32_t len)
{
	const struct leap_log_effects *l = (const void *)buf;
	uint32_t op[3] = { LEAP_NVM_ZONE_APPEND, LEAP_NVM_ZONE_MGMT_SEND,
			   LEAP_NVM_ZONE_MGMT_RECV }, i;

	(void)len;
	for (i = 0; i < 3; i++)
		if (!(leap_from_le32(l->iocs[op[i]]) & LEAP_EFFECTS_CSUPP))
			return "a zone command is missing";
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

static struct leap_zone_desc desc(const uint8_t *buf, uint32_t i)
{
	struct leap_zone_desc d;

	memcpy(&d, buf + 64 * (i + 1), sizeof(d));
	return d;
}

/* All zones, of which none has been written. */
static const char *is_fresh(const uint8_t *buf, uint32_t len)
{
	uint32_t i;

	if (len != 64 * (NR_ZONES + 1) || buf[0] != NR_ZONES)
		return "number of zones";
	for (i = 0; i < NR_ZONES; i++) {
		struct leap_zone_desc d = desc(buf, i);
		uint8_t zs = i == 14 ? LEAP_ZS_READ_ONLY :
			     i == 15 ? LEAP_ZS_OFFLINE : LEAP_ZS_EMPTY;

		if (d.zt != LEAP_ZT_SEQ_WRITE || d.zs != zs << 4 ||
		    leap_from_le64(d.zcap) != 12 ||
		    leap_from_le64(d.zslba) != ZONE(i))
			return "a descriptor";
		if (leap_from_le64(d.wp) != (i < 14 ? ZONE(i) : UINT64_MAX))
			return "a write pointer";
	}
	return NULL;
}

static const char *counts_16(const uint8_t *buf, uint32_t len)
{
	return buf[0] == 16 && !is_zero(buf + 1, len - 1) ? NULL : "not 16";
}

static const char *counts_2(const uint8_t *buf, uint32_t len)
{
	return buf[0] == 2 && !is_zero(buf + 1, 63) &&
	       leap_from_le64(desc(buf, 1).zslba) == ZONE(6) && len == 192 ?
	       NULL : "not zones 5 and 6";
}

static const char *only_zone15(const uint8_t *buf, uint32_t len)
{
	(void)len;
	return buf[0] == 1 && leap_from_le64(desc(buf, 0).zslba) == ZONE(15) ?
	       NULL : "not zone 15";
}

static const char *state_is(const uint8_t *buf, uint8_t zs, uint64_t wp)
{
	struct leap_zone_desc d = desc(buf, 0);

	if (d.zs != zs << 4)
		return "state";
	return leap_from_le64(d.wp) == wp ? NULL : "write pointer";
}

static const char *z0_open8(const uint8_t *buf, uint32_t len)
{
	(void)len;
	return state_is(buf, LEAP_ZS_IMPLICIT_OPEN, 8);
}

static const char *z0_full(const uint8_t *buf, uint32_t len)
{
	(void)len;
	return state_is(buf, LEAP_ZS_FULL, UINT64_MAX);
}

static const char *z2_closed(const uint8_t *buf, uint32_t len)
{
	(void)len;
	return state_is(buf, LEAP_ZS_CLOSED, ZONE(2) + 2);
}

static const char *z2_explicit(const uint8_t *buf, uint32_t len)
{
	(void)len;
	return state_is(buf, LEAP_ZS_EXPLICIT_OPEN, ZONE(2) + 2);
}

static const char *z2_empty(const uint8_t *buf, uint32_t len)
{
	(void)len;
	return state_is(buf, LEAP_ZS_EMPTY, ZONE(2));
}

static const char *z3_empty(const uint8_t *buf, uint32_t len)
{
	(void)len;
	return state_is(buf, LEAP_ZS_EMPTY, ZONE(3));
}

/* ---- the table ---- */

#define SPEC_ID	"ZNS Command Set 1.1 s4.1.5 (Identify)"
#define SPEC_LG	"ZNS Command Set 1.1 s4.1.4 (Changed Zone List)"
#define SPEC_FT	"NVMe Base 2.0 s5.27.1.21 (I/O Command Set Profile)"
#define SPEC_ST	"ZNS Command Set 1.1 s2.1.1.4 (zone state machine)"
#define SPEC_WR	"ZNS Command Set 1.1 s3.4.4 (Write)"
#define SPEC_RD	"ZNS Command Set 1.1 s2.1.1.2.1 (reading in zones)"
#define SPEC_AP	"ZNS Command Set 1.1 s3.4.1 (Zone Append)"
#define SPEC_SD	"ZNS Command Set 1.1 s3.4.3 (Zone Management Send)"
#define SPEC_RV	"ZNS Command Set 1.1 s3.4.2 (Zone Management Receive)"

#define ID(nm, cns, nsid, d11, st, chk) \
	{ "zones: identify " nm, SPEC_ID, Q_ADMIN, LEAP_ADM_IDENTIFY, 0, 0, \
	  nsid, { cns, d11 }, 4096, 0, 0, st, 0, 0, 0, chk }
#define LOG(nm, lid, nsid, d14, st, chk) \
	{ "zones: log, " nm, SPEC_LG, Q_ADMIN, LEAP_ADM_GET_LOG, 0, 0, nsid, \
	  { (lid) | 1023u << 16, 0, 0, 0, d14 }, 4096, 0, 0, st, 0, 1, 0, chk }
#define FEAT(nm, op, v, st) \
	{ "zones: " nm, SPEC_FT, Q_ADMIN, op, 0, 0, 0, { 0x19, v }, 0, 0, 0, \
	  st, 0, 0, 0, NULL }

#define LBA(l)	(uint32_t)(l), (uint32_t)((uint64_t)(l) >> 32)
#define IO(nm, sp, op, ns, slba, n, seed, st) \
	{ "zones: " nm, sp, Q_ONE, op, 0, FILL_SEED, ns, \
	  { LBA(slba), (n) - 1u }, (op) == LEAP_NVM_WRITE_ZEROES ? 0 : \
	  (n) * (ns == 1 ? 512u : 4096u), seed, 0, st, 0, 0, 0, NULL }
#define WRITE(nm, slba, n, seed, st) \
	IO(nm, SPEC_WR, LEAP_NVM_WRITE, 4, slba, n, seed, st)
#define READ(nm, slba, n, seed, st) \
	IO(nm, SPEC_RD, LEAP_NVM_READ, 4, slba, n, seed, st)
#define APPEND(nm, ns, slba, n, seed, st, res) \
	{ "zones: append " nm, SPEC_AP, Q_ONE, LEAP_NVM_ZONE_APPEND, 0, \
	  FILL_SEED, ns, { LBA(slba), (n) - 1u }, \
	  (n) * (ns == 1 ? 512u : 4096u), seed, 0, st, 1, 0, res, NULL }
#define SEND(nm, ns, slba, d13, st) \
	{ "zones: " nm, SPEC_SD, Q_ONE, LEAP_NVM_ZONE_MGMT_SEND, 0, 0, ns, \
	  { LBA(slba), 0, d13 }, 0, 0, 0, st, 0, 0, 0, NULL }
#define REPORT(nm, ns, slba, d13, len, st, chk) \
	{ "zones: report " nm, SPEC_RV, Q_ONE, LEAP_NVM_ZONE_MGMT_RECV, 0, 0, \
	  ns, { LBA(slba), (len) / 4u - 1, d13 }, len, 0, 0, st, 0, 0, 0, chk }
#define STATE(nm, z, chk) REPORT(nm, 4, ZONE(z), PARTIAL, 128, OK, chk)

#define CLOSE	LEAP_ZSA_CLOSE
#define FINISH	LEAP_ZSA_FINISH
#define OPEN	LEAP_ZSA_OPEN
#define RESET	LEAP_ZSA_RESET
#define OFFLINE	LEAP_ZSA_OFFLINE
#define SELECT	LEAP_ZMS_CDW13_SELECT_ALL
#define PARTIAL	LEAP_ZMR_CDW13_PARTIAL
#define FILTER(n) ((n) << 8)

const struct testcase zns_cases[] = {
	ID("namespace", 5, 4, CSI(2), OK, is_zns_ns),
	ID("namespace without zones", 5, 1, CSI(2), FIELD, NULL),
	ID("inactive namespace", 5, 9, CSI(2), OK, is_zero),
	ID("namespace over NN", 5, 65, CSI(2), NONS, NULL),
	ID("its NVM part", 5, 4, CSI(0), OK, is_zero),
	ID("its size", 0, 4, 0, OK, is_ns4),
	ID("its descriptors", 3, 4, 0, OK, is_zns_desc),
	ID("controller", 6, 0, CSI(2), OK, is_zns_ctrl),
	ID("list", 7, 0, CSI(2), OK, is_list4),
	ID("list above 4", 7, 4, CSI(2), OK, is_zero),
	ID("list of the others", 7, 0, CSI(0), OK, is_list123),
	ID("list of key value", 7, 0, CSI(1), FIELD, NULL),
	ID("command sets", 0x1c | 0xffffu << 16, 0, 0, OK, is_csc),
	FEAT("get profile", LEAP_ADM_GET_FEATURES, 0, OK),
	FEAT("set profile 0", LEAP_ADM_SET_FEATURES, 0, OK),
	FEAT("set profile 1", LEAP_ADM_SET_FEATURES, 1,
	     LEAP_SC_IOCS_COMBINATION),
	LOG("effects", 5, 0xffffffff, CSI(2), OK, has_zone_effects),
	LOG("effects of key value", 5, 0xffffffff, CSI(1), FIELD, NULL),
	LOG("changed zones", 0xbf, 4, 0, OK, is_zero),
	LOG("changed zones of all", 0xbf, 0xffffffff, 0, NONS, NULL),
	LOG("changed zones without zones", 0xbf, 1, 0, FIELD, NULL),
	LOG("changed zones, inactive", 0xbf, 9, 0, NONS, NULL),

	REPORT("all", 4, 0, 0, 64 * 17, OK, is_fresh),
	REPORT("number only", 4, 0, 0, 64, OK, counts_16),
	REPORT("number that fits", 4, 0, PARTIAL, 64, OK, is_zero),
	REPORT("from the middle, partial", 4, ZONE(5) + 7, PARTIAL, 192, OK,
	       counts_2),
	REPORT("offline", 4, 0, FILTER(7), 256, OK, only_zone15),
	REPORT("the last LBA", 4, ZONE(16) - 1, 0, 128, OK, only_zone15),
	REPORT("behind the end", 4, ZONE(16), 0, 128, RANGE, NULL),
	REPORT("too short", 4, 0, 0, 60, FIELD, NULL),
	REPORT("more than MDTS", 4, 0, 0, MDTS + 64, FIELD, NULL),
	REPORT("extended", 4, 0, LEAP_ZRA_EXTENDED, 128, FIELD, NULL),
	REPORT("reserved filter", 4, 0, FILTER(8), 128, FIELD, NULL),
	REPORT("of no zones", 1, 0, 0, 128, OPCODE, NULL),
	REPORT("inactive namespace", 9, 0, 0, 128, NONS, NULL),

	WRITE("write not at the pointer", 1, 1, 0,
	      LEAP_SC_ZONE_INVALID_WRITE),
	WRITE("write 8", 0, 8, 5, OK),
	STATE("an open zone", 0, z0_open8),
	WRITE("write them again", 0, 8, 5, LEAP_SC_ZONE_INVALID_WRITE),
	WRITE("write over the capacity", 8, 5, 0, LEAP_SC_ZONE_BOUNDARY),
	WRITE("write over the namespace", ZONE(16) - 1, 2, 0, RANGE),
	READ("read what was written", 0, 8, 5, OK),
	READ("read behind the pointer", 8, 4, 0, OK),
	READ("read in two zones", 15, 2, 0, LEAP_SC_ZONE_BOUNDARY),
	READ("read an offline zone", ZONE(15), 1, 0, LEAP_SC_ZONE_OFFLINE),
	READ("read a read-only zone", ZONE(14), 1, 0, OK),
	IO("write zeroes at the pointer", SPEC_WR, LEAP_NVM_WRITE_ZEROES, 4,
	   8, 2, 0, OK),
	IO("write zeroes elsewhere", SPEC_WR, LEAP_NVM_WRITE_ZEROES, 4, 8, 2,
	   0, LEAP_SC_ZONE_INVALID_WRITE),
	WRITE("write the rest", 10, 2, 6, OK),
	STATE("a full zone", 0, z0_full),
	WRITE("write to a full zone", 12, 1, 0, LEAP_SC_ZONE_FULL),
	WRITE("write to a read-only zone", ZONE(14), 1, 0,
	      LEAP_SC_ZONE_READ_ONLY),
	WRITE("write to an offline zone", ZONE(15), 1, 0,
	      LEAP_SC_ZONE_OFFLINE),
	IO("compare", SPEC_RD, LEAP_NVM_COMPARE, 4, 0, 8, 5, OK),
	IO("compare something else", SPEC_RD, LEAP_NVM_COMPARE, 4, 0, 8, 7,
	   LEAP_SC_COMPARE_FAILED),

	APPEND("first", 4, ZONE(1), 2, 21, OK, ZONE(1)),
	APPEND("second", 4, ZONE(1), 4, 22, OK, ZONE(1) + 2),
	READ("read what was appended", ZONE(1) + 2, 4, 22, OK),
	APPEND("at no zone's start", 4, ZONE(1) + 1, 1, 0, FIELD, 0),
	APPEND("more than ZASL", 4, ZONE(1), 5, 0, FIELD, 0),
	APPEND("behind the end", 4, ZONE(16), 1, 0, RANGE, 0),
	APPEND("far behind", 4, 1ull << 63, 1, 0, RANGE, 0),
	APPEND("to a full zone", 4, 0, 1, 0, LEAP_SC_ZONE_FULL, 0),
	APPEND("to a read-only zone", 4, ZONE(14), 1, 0,
	       LEAP_SC_ZONE_READ_ONLY, 0),
	APPEND("to an offline zone", 4, ZONE(15), 1, 0, LEAP_SC_ZONE_OFFLINE,
	       0),
	APPEND("third", 4, ZONE(1), 4, 23, OK, ZONE(1) + 6),
	APPEND("over the capacity", 4, ZONE(1), 4, 0, LEAP_SC_ZONE_BOUNDARY,
	       0),
	APPEND("what fills it", 4, ZONE(1), 2, 24, OK, ZONE(1) + 10),
	APPEND("to what is full now", 4, ZONE(1), 1, 0, LEAP_SC_ZONE_FULL, 0),
	APPEND("of no zones", 1, 0, 1, 0, OPCODE, 0),
	APPEND("inactive namespace", 9, 0, 1, 0, NONS, 0),

	WRITE("write 2 to zone 2", ZONE(2), 2, 31, OK),
	SEND("close", 4, ZONE(2), CLOSE, OK),
	STATE("a closed zone", 2, z2_closed),
	SEND("close again", 4, ZONE(2), CLOSE, OK),
	SEND("open it", 4, ZONE(2), OPEN, OK),
	STATE("an opened zone", 2, z2_explicit),
	SEND("open an empty one", 4, ZONE(3), OPEN, OK),
	SEND("close it, nothing written", 4, ZONE(3), CLOSE, OK),
	STATE("an empty zone", 3, z3_empty),
	SEND("close an empty one", 4, ZONE(3), CLOSE, BF),
	SEND("close a full one", 4, ZONE(0), CLOSE, BF),
	SEND("open a full one", 4, ZONE(0), OPEN, BF),
	SEND("finish a full one", 4, ZONE(0), FINISH, OK),
	SEND("finish a read-only one", 4, ZONE(14), FINISH, BF),
	SEND("reset an offline one", 4, ZONE(15), RESET, BF),
	SEND("offline an offline one", 4, ZONE(15), OFFLINE, OK),
	SEND("offline an open one", 4, ZONE(2), OFFLINE, BF),
	SEND("reset", 4, ZONE(2), RESET, OK),
	STATE("a zone that was reset", 2, z2_empty),
	READ("read a zone that was reset", ZONE(2), 2, 0, OK),
	SEND("reset an empty one", 4, ZONE(2), RESET, OK),
	SEND("action 0", 4, 0, 0, FIELD),
	SEND("set an extension", 4, 0, LEAP_ZSA_SET_ZDE, FIELD),
	SEND("flush a random write area", 4, 0, LEAP_ZSA_ZRWA_FLUSH, FIELD),
	SEND("reserved action", 4, 0, 0xff, FIELD),
	SEND("open with a random write area", 4, ZONE(3),
	     OPEN | LEAP_ZMS_CDW13_ZRWAA, FIELD),
	SEND("reset at no zone's start", 4, ZONE(2) + 1, RESET, FIELD),
	SEND("reset behind the end", 4, ZONE(16), RESET, RANGE),
	SEND("reset of no zones", 1, 0, RESET, OPCODE),
	SEND("reset, inactive namespace", 9, 0, RESET, NONS),

	SEND("open 1 of 3", 4, ZONE(2), OPEN, OK),
	SEND("open 2 of 3", 4, ZONE(3), OPEN, OK),
	SEND("open 3 of 3", 4, ZONE(4), OPEN, OK),
	SEND("open one more", 4, ZONE(5), OPEN, LEAP_SC_ZONE_TOO_MANY_OPEN),
	WRITE("write to one more", ZONE(5), 1, 0, LEAP_SC_ZONE_TOO_MANY_OPEN),
	APPEND("to one more", 4, ZONE(5), 1, 0, LEAP_SC_ZONE_TOO_MANY_OPEN, 0),
	WRITE("write to one that is open", ZONE(4), 1, 0, OK),
	SEND("close that", 4, ZONE(4), CLOSE, OK),
	WRITE("write to one more now", ZONE(5), 1, 0, OK),
	WRITE("and to another: one is closed", ZONE(6), 1, 0, OK),
	WRITE("a sixth that is active", ZONE(7), 1, 0,
	      LEAP_SC_ZONE_TOO_MANY_ACTIVE),
	SEND("open all that are closed: too many", 4, 0, OPEN | SELECT,
	     LEAP_SC_ZONE_TOO_MANY_OPEN),
	SEND("close all", 4, 0, CLOSE | SELECT, OK),
	SEND("finish all", 4, 0, FINISH | SELECT, OK),
	SEND("reset all", 4, 77, RESET | SELECT, OK),
	REPORT("all as they were", 4, 0, 0, 64 * 17, OK, is_fresh),
	{ "zones: deallocate is advice", SPEC_ST, Q_ONE, LEAP_NVM_DSM, 0,
	  FILL_DSM, 4, { 0, LEAP_DSM_CDW11_AD }, 16, 0, 8, OK, 0, 0, 0,
	  NULL },
};

const unsigned int nr_zns_cases = sizeof(zns_cases) / sizeof(zns_cases[0]);
