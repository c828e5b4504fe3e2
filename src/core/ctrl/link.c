/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.c - link messages as bytes
 *
 * A message is a 20-byte head (length of the whole, type, flags, id, err,
 * controller) and a body whose size its type fixes. One walk over the fields
 * serves both directions, so that they cannot differ. The decoder trusts
 * nothing: a type, flag or length that no encoder writes ends the link.
 */
#include <errno.h>
#include <string.h>

#include <leapio/link.h>

#include "util/endian.h"

#define HEAD_BYTES LEAP_LINK_HEAD_BYTES

/* One walk: out when @out is set, else in. */
struct walk {
	uint8_t *out;
	const uint8_t *in;
	size_t at;
};

static void f8(struct walk *w, uint8_t *v)
{
	if (w->out)
		w->out[w->at] = *v;
	else
		*v = w->in[w->at];
	w->at += 1;
}

static void f16(struct walk *w, uint16_t *v)
{
	if (w->out)
		leap__put_le16(w->out + w->at, *v);
	else
		*v = leap__get_le16(w->in + w->at);
	w->at += 2;
}

static void f32(struct walk *w, uint32_t *v)
{
	if (w->out)
		leap__put_le32(w->out + w->at, *v);
	else
		*v = leap__get_le32(w->in + w->at);
	w->at += 4;
}

static void f64(struct walk *w, uint64_t *v)
{
	if (w->out)
		leap__put_le64(w->out + w->at, *v);
	else
		*v = leap__get_le64(w->in + w->at);
	w->at += 8;
}

static void bytes(struct walk *w, uint8_t *v, size_t n)
{
	if (w->out)
		memcpy(w->out + w->at, v, n);
	else
		memcpy(v, w->in + w->at, n);
	w->at += n;
}

static void f_mem(struct walk *w, struct leap_link_msg *m)
{
	f32(w, &m->u.mem.ats_id);
	f32(w, &m->u.mem.perm);
	f64(w, &m->u.mem.gpa.addr);
	f64(w, &m->u.mem.bytes);
	f64(w, &m->u.mem.offset);
	f32(w, &m->u.mem.source);
	f32(w, &m->u.mem.key);
}

static void f_qp(struct walk *w, struct leap_qp_desc *q)
{
	f16(w, &q->qid);
	f16(w, &q->cntlid);
	f16(w, &q->cqid);
	f16(w, &q->reserved);
	f32(w, &q->sq_depth);
	f32(w, &q->cq_depth);
	f32(w, &q->flags);
	f32(w, &q->page_bytes);
	f64(w, &q->sq.addr);
	f64(w, &q->doorbell);
	f64(w, &q->record);
	f64(w, &q->record_bytes);
	bytes(w, q->hostid, sizeof(q->hostid));
}

static void f_cq(struct walk *w, struct leap_cq_desc *q)
{
	f16(w, &q->cqid);
	f16(w, &q->cntlid);
	f32(w, &q->depth);
	f64(w, &q->gpa.addr);
	f64(w, &q->doorbell);
	f64(w, &q->seq);
	f32(w, &q->vector);
	f32(w, &q->flags);
}

/* Ends in a NUL, whatever the peer wrote. */
static void text(struct walk *w, char *v, size_t n)
{
	bytes(w, (uint8_t *)v, n);
	if (w->out)
		w->out[w->at - 1] = 0;
	else
		v[n - 1] = 0;
}

static void f_ns(struct walk *w, struct leap_ns_desc *n)
{
	f32(w, &n->nsid);
	f32(w, &n->block_bytes);
	f64(w, &n->nr_blocks);
	f32(w, &n->caps);
	f32(w, &n->read_only);
	f32(w, &n->optimal_blocks);
	f32(w, &n->csi);
	bytes(w, n->uuid, sizeof(n->uuid));
	bytes(w, n->nguid, sizeof(n->nguid));
	bytes(w, n->eui64, sizeof(n->eui64));
	f32(w, &n->zone_blocks);
	f32(w, &n->max_active);
	f32(w, &n->max_open);
	f32(w, &n->append_blocks);
	f32(w, &n->read_across);
	f32(w, &n->reserved);
}

static void f_error(struct walk *w, struct leap_error_desc *e)
{
	f16(w, &e->sqid);
	f16(w, &e->cid);
	f16(w, &e->status);
	f16(w, &e->location);
	f32(w, &e->nsid);
	f8(w, &e->opcode);
	f8(w, &e->csi);
	f16(w, &e->reserved);
	f64(w, &e->lba);
}

static void f_stats(struct walk *w, struct leap_io_counters *c)
{
	f64(w, &c->host_reads);
	f64(w, &c->host_writes);
	f64(w, &c->blocks_512_read);
	f64(w, &c->blocks_512_written);
	f64(w, &c->media_errors);
	f64(w, &c->busy_ns);
}

/* What is not about one controller's memory and queues. 0, or -EINVAL: no such
 * type. */
static int other_body(struct walk *w, struct leap_link_msg *m)
{
	switch (m->type) {
	case LEAP_LINK_NS_ADD:
	case LEAP_LINK_NS_DEL:
	case LEAP_LINK_NS_CHANGED:
		f_ns(w, &m->u.ns_of.desc);
		text(w, m->u.ns_of.nqn, sizeof(m->u.ns_of.nqn));
		return 0;
	case LEAP_LINK_IRQ:
		f32(w, &m->u.irq.vector);
		f32(w, &m->u.irq.reserved);
		return 0;
	case LEAP_LINK_QUIESCE:
	case LEAP_LINK_RESUME:
	case LEAP_LINK_HANDOFF:
	case LEAP_LINK_KEEPALIVE:
		return 0;
	case LEAP_LINK_ABORT:
		f16(w, &m->u.abort.qid);
		f16(w, &m->u.abort.cid);
		f32(w, &m->u.abort.found);
		return 0;
	case LEAP_LINK_ERROR:
		f_error(w, &m->u.error);
		return 0;
	case LEAP_LINK_FLUSH:
		return 0;
	case LEAP_LINK_STATS:
		f_stats(w, &m->u.stats_of.count);
		text(w, m->u.stats_of.nqn, sizeof(m->u.stats_of.nqn));
		f32(w, &m->u.stats_of.qid);
		f32(w, &m->u.stats_of.reserved);
		return 0;
	case LEAP_LINK_FEATURE:
		f32(w, &m->u.feature.fid);
		f32(w, &m->u.feature.nsid);
		f32(w, &m->u.feature.value);
		f32(w, &m->u.feature.reserved);
		return 0;
	default:
		return -EINVAL;
	}
}

/* 0, or -EINVAL: no such type. */
static int body(struct walk *w, struct leap_link_msg *m)
{
	switch (m->type) {
	case LEAP_LINK_HELLO:
		f32(w, &m->u.hello.version);
		f32(w, &m->u.hello.caps);
		f32(w, &m->u.hello.role);
		f32(w, &m->u.hello.reserved);
		return 0;
	case LEAP_LINK_MEM_ADD:
	case LEAP_LINK_MEM_DEL:
	case LEAP_LINK_TRANSLATE:
	case LEAP_LINK_INVALIDATE:
		f_mem(w, m);
		return 0;
	case LEAP_LINK_QP_ADD:
	case LEAP_LINK_QP_DEL:
	case LEAP_LINK_PQP_GRANT:
	case LEAP_LINK_PQP_REVOKE:
		f_qp(w, &m->u.qp);
		return 0;
	case LEAP_LINK_CQ_ADD:
	case LEAP_LINK_CQ_DEL:
		f_cq(w, &m->u.cq);
		return 0;
	case LEAP_LINK_CTRL_ADD:
	case LEAP_LINK_CTRL_DEL:
		text(w, m->u.ctrl.nqn, sizeof(m->u.ctrl.nqn));
		f64(w, &m->u.ctrl.state_bytes);
		f32(w, &m->u.ctrl.max_data_bytes);
		f32(w, &m->u.ctrl.reserved);
		return 0;
	case LEAP_LINK_SHADOW:
		f64(w, &m->u.shadow.doorbells.addr);
		f64(w, &m->u.shadow.eventidx.addr);
		return 0;
	case LEAP_LINK_LEAF:
		text(w, m->u.leaf.path, sizeof(m->u.leaf.path));
		f32(w, &m->u.leaf.released);
		f32(w, &m->u.leaf.reserved);
		return 0;
	case LEAP_LINK_FATAL:
		f16(w, &m->u.fatal.qid);
		f16(w, &m->u.fatal.reserved);
		f32(w, (uint32_t *)&m->u.fatal.err);
		return 0;
	default:
		return other_body(w, m);
	}
}

static void head(struct walk *w, struct leap_link_msg *m, uint32_t *len)
{
	uint32_t err = (uint32_t)m->err;

	f32(w, len);
	f16(w, &m->type);
	f16(w, &m->flags);
	f32(w, &m->id);
	f32(w, &err);
	f16(w, &m->cntlid);
	f16(w, &m->reserved);
	m->err = (int32_t)err;
}

/* No body is longer than the union. */
#define MAX_BYTES (HEAD_BYTES + sizeof(((struct leap_link_msg *)0)->u))

int leap_link_encode(const struct leap_link_msg *msg, void *buf, size_t max)
{
	struct leap_link_msg m = *msg;
	uint8_t bytes_out[MAX_BYTES] = { 0 };
	struct walk w = { .out = bytes_out, .at = HEAD_BYTES };
	uint32_t len;

	if (body(&w, &m))
		return -EINVAL;
	len = (uint32_t)w.at;
	if (len > max)
		return -ENOSPC;
	w.at = 0;
	head(&w, &m, &len);
	memcpy(buf, bytes_out, len);
	return (int)len;
}

int leap_link_decode(const void *buf, size_t n, struct leap_link_msg *msg)
{
	struct leap_link_msg m = { 0 };
	uint8_t whole[MAX_BYTES] = { 0 };
	struct walk w = { .in = whole };
	uint32_t len;

	if (n < HEAD_BYTES)
		return 0;
	memcpy(whole, buf, HEAD_BYTES);
	head(&w, &m, &len);
	if (len < HEAD_BYTES || len > MAX_BYTES ||
	    (m.flags & ~LEAP_LINK_REPLY) || m.err > 0 || m.err < -4095 ||
	    m.reserved)
		return -EPROTO;
	if (n < len)
		return 0;
	memcpy(whole, buf, len);
	if (body(&w, &m) || w.at != len)
		return -EPROTO;
	*msg = m;
	return (int)len;
}
