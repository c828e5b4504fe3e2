/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin.c - what an open-channel drive tells of itself: geometry, or identity
 * of version 1.2, chunks, notices, bad blocks. Called on the control thread
 * while I/O goes on, so that everything is looked at while it is held.
 */
#include <string.h>

#include "block/ocssd/ocssd.h"
#include "util/atomic.h"

#define DNR(sc)	((leap_status_t)((sc) | LEAP_STATUS_DNR))

static void geometry(const struct leap__ocssd *o, void *buf)
{
	struct leap_ocssd_geometry *g = buf;

	g->major = 2;
	g->group_bits = (uint8_t)__builtin_ctz(o->groups - 1 ?
				2u << (31 - __builtin_clz(o->groups - 1)) : 1);
	g->pu_bits = (uint8_t)(o->group_shift - o->pu_shift);
	g->chunk_bits = (uint8_t)(o->pu_shift - o->chunk_shift);
	g->block_bits = (uint8_t)o->chunk_shift;
	g->mccap = leap_to_le32(LEAP_OCSSD_MCCAP_COPY);
	g->num_grp = leap_to_le16((uint16_t)o->groups);
	g->num_pu = leap_to_le16((uint16_t)o->pus);
	g->num_chk = leap_to_le32(o->chunks);
	g->clba = leap_to_le32(o->blocks);
	g->ws_min = leap_to_le32(o->ws_min);
	g->ws_opt = leap_to_le32(o->ws_opt);
	g->mw_cunits = leap_to_le32(o->cunits);
	g->maxoc = leap_to_le32(o->maxoc);
	g->maxocpu = leap_to_le32(o->maxocpu);
}

/* A page is a unit of writing, of one plane. */
static void identity(const struct leap__ocssd *o, void *buf)
{
	struct leap_ocssd12_identity *id = buf;
	struct leap_ocssd12_group *g = &id->group[0];
	uint32_t sec = (uint32_t)__builtin_ctz(o->ws_min);

	id->version = 1;
	id->cgrps = 1;
	id->ppaf.sec_len = (uint8_t)sec;
	id->ppaf.pln_off = (uint8_t)sec;
	id->ppaf.pg_off = (uint8_t)sec;
	id->ppaf.pg_len = (uint8_t)(o->chunk_shift - sec);
	id->ppaf.blk_off = (uint8_t)o->chunk_shift;
	id->ppaf.blk_len = (uint8_t)(o->pu_shift - o->chunk_shift);
	id->ppaf.lun_off = (uint8_t)o->pu_shift;
	id->ppaf.lun_len = (uint8_t)(o->group_shift - o->pu_shift);
	id->ppaf.ch_off = (uint8_t)o->group_shift;
	id->ppaf.ch_len = 8;
	g->num_ch = (uint8_t)o->groups;
	g->num_lun = (uint8_t)o->pus;
	g->num_pln = 1;
	g->num_blk = leap_to_le16((uint16_t)o->chunks);
	g->num_pg = leap_to_le16((uint16_t)(o->blocks / o->ws_min));
	g->fpg_sz = leap_to_le16((uint16_t)(o->ws_min << o->shift));
	g->csecs = leap_to_le16((uint16_t)(1u << o->shift));
	g->mpos = leap_to_le32(0x010101);
}

/* Entries of @each bytes, of which @one makes the i-th, from any offset on. */
static leap_status_t entries(struct leap__ocssd *o, struct leap_bdev_admin *a,
			     uint64_t nr, uint32_t each,
			     void (*one)(const struct leap__ocssd *o,
					 uint64_t i, void *entry))
{
	uint64_t at = a->offset, put = 0;
	uint8_t entry[64];

	if (at > nr * each)
		return DNR(LEAP_SC_INVALID_FIELD);
	while (put < a->bytes && at < nr * each) {
		uint64_t n = each - at % each;

		if (n > a->bytes - put)
			n = a->bytes - put;
		memset(entry, 0, sizeof(entry));
		one(o, at / each, entry);
		memcpy((uint8_t *)a->buf + put, entry + at % each, n);
		put += n;
		at += n;
	}
	return 0;
}

static void chunk_entry(const struct leap__ocssd *o, uint64_t i, void *entry)
{
	const struct leap__oc_chunk *c = &o->chunk[i];
	struct leap_ocssd_chunk info = { .ct = LEAP_OCSSD_CT_SEQ };

	info.cs = c->marked ? LEAP_OCSSD_CS_OFFLINE : c->state;
	info.wli = o->wear ? (uint8_t)(c->resets * 255u / o->wear) : 0;
	info.slba = leap_to_le64(leap__oc_address(o, (uint32_t)i));
	info.cnlb = leap_to_le64(o->blocks);
	info.wp = leap_to_le64(c->wp);
	memcpy(entry, &info, sizeof(info));
}

static void notice_entry(const struct leap__ocssd *o, uint64_t i, void *entry)
{
	if (i < o->nr_notices)
		memcpy(entry, &o->notice[(o->nr_notices - 1 - i) %
					 LEAP__OCSSD_NOTICES], 64);
}

/* No block is anywhere: the drive has no map. */
static void map_entry(const struct leap__ocssd *o, uint64_t i, void *entry)
{
	(void)o;
	(void)i;
	memset(entry, 0xff, 8);
}

static leap_status_t bad_table(struct leap__ocssd *o,
			       struct leap_bdev_admin *a)
{
	struct leap_ocssd12_bad head = { .magic = "BBLT" };
	struct leap__oc_chunk *first;
	uint32_t block, i, n, bad = 0, grown = 0;
	uint64_t unit = a->offset >> o->pu_shift << o->pu_shift;
	uint8_t *to = a->buf;

	first = leap__oc_find(o, unit, &block);
	if (!first)
		return DNR(LEAP_SC_LBA_RANGE);
	if (a->bytes < sizeof(head))
		return DNR(LEAP_SC_INVALID_FIELD);
	n = a->bytes - (uint32_t)sizeof(head);
	for (i = 0; i < o->chunks; i++) {
		uint8_t mark = first[i].state == LEAP_OCSSD_CS_OFFLINE ?
			       LEAP_OCSSD12_GROWN : first[i].marked;

		bad += mark == LEAP_OCSSD12_BAD;
		grown += mark == LEAP_OCSSD12_GROWN;
		if (i < n)
			to[sizeof(head) + i] = mark;
	}
	head.version = leap_to_le16(1);
	head.total = leap_to_le32(o->chunks);
	head.factory = leap_to_le32(bad);
	head.grown = leap_to_le32(grown);
	memcpy(to, &head, sizeof(head));
	return 0;
}

static leap_status_t answer(struct leap__ocssd *o, struct leap_bdev_admin *a)
{
	leap_status_t status = 0;

	switch (a->op) {
	case LEAP_BDEV_GEOMETRY:
		if (a->bytes < 4096)
			return DNR(LEAP_SC_INVALID_FIELD);
		if (o->version == 2)
			geometry(o, a->buf);
		else
			identity(o, a->buf);
		return 0;
	case LEAP_BDEV_CHUNKS:
		return entries(o, a, o->nr_chunks, 32, chunk_entry);
	case LEAP_BDEV_NOTICES:
		return entries(o, a, LEAP__OCSSD_NOTICES, 64, notice_entry);
	case LEAP_BDEV_SET_FEEDBACK:
		if (a->value > 3)
			return DNR(LEAP_SC_INVALID_FIELD);
		o->feedback = a->value;
		return 0;
	case LEAP_BDEV_GET_FEEDBACK:
		a->value = o->feedback;
		return 0;
	}
	if (o->version == 2)
		return DNR(LEAP_SC_INVALID_OPCODE);
	switch (a->op) {
	case LEAP_BDEV_L2P:
		/* Before it is bytes, which may wrap. */
		if (a->offset >= (uint64_t)o->nr_chunks * o->blocks)
			return DNR(LEAP_SC_LBA_RANGE);
		a->offset *= 8;
		return entries(o, a, (uint64_t)o->nr_chunks * o->blocks, 8,
			       map_entry);
	case LEAP_BDEV_GET_BAD:
		return bad_table(o, a);
	case LEAP_BDEV_SET_BAD:
		if (a->value > LEAP_OCSSD12_GROWN)
			return DNR(LEAP_SC_INVALID_FIELD);
		status = leap__oc_mark(o, a->offset, (uint8_t)a->value);
		return status ? DNR(status) : 0;
	}
	return DNR(LEAP_SC_INVALID_OPCODE);
}

leap_status_t leap__oc_admin(struct leap_bdev *bdev,
			     struct leap_bdev_admin *a)
{
	struct leap__ocssd *o = leap_bdev_priv(bdev);
	leap_status_t status;

	while (leap__exchange(&o->held, 1u))
		leap__cpu_relax();
	status = answer(o, a);
	leap__store_release(&o->held, 0u);
	return status;
}
