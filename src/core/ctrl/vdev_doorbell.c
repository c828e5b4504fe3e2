/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbells of a virtual function: what the guest rings is checked here,
 * stored in state memory where whoever serves the queue sees it, and that one
 * woken if he sleeps. Also what the INTx pin depends on: how far completion
 * queues have been filled and emptied.
 *
 * Spec: NVMe PCIe Transport 1.0 s3.1.2 (doorbells); NVMe Base 2.0 s5.2
 * (asynchronous events, error status)
 */
#include "core/ctrl/vdev_priv.h"

#include "util/endian.h"

/* A queue that is not there, or a place outside it. */
static void bad_doorbell(struct leap_vdev *v, uint32_t qid,
			 enum leap__event ev)
{
	struct leap_error_desc e = { 0 };

	if (!(v->c->csts & LEAP_CSTS_RDY))
		return;
	e.sqid = (uint16_t)qid;
	e.cid = LEAP_ID16_NONE;
	e.status = LEAP_SC_INVALID_FIELD;
	e.location = LEAP_ID16_NONE;
	leap__error_log_add(v->c, &e);
	leap__aer_event(v->c, ev);
}

/* Publish the value, then see whether somebody sleeps. */
static void ring(struct leap_vdev *v, struct leap__iogroup *g, uint32_t qid,
		 uint32_t cq, uint32_t value)
{
	struct leap_doorbell *db = leap__vdev_db(v, qid, cq);

	if (!leap__vdev_bus_master(v))
		return;
	leap__store_release(&db->value, leap_to_le32(value));
	if (v->shadow && qid)
		leap__vdev_shadow_rung(v, 2 * qid + cq, value);
	leap__iogroup_kick(g, db);
}

/*
 * The value that was rung last again says nothing new, except with shadow
 * doorbells: there it says that somewhere between the two the page has moved.
 */
static int bad_value(const struct leap_vdev *v, uint32_t qid, uint32_t value,
		     uint32_t last, uint32_t depth)
{
	return value >= depth || (value == last && !(v->shadow && qid));
}

void leap__vdev_sq_doorbell(struct leap_vdev *v, uint32_t qid, uint32_t v32)
{
	struct leap__vsq *sq = qid && qid < v->nr_queues ?
			       (struct leap__vsq *)v->c->ioq[qid] : NULL;
	uint32_t value = v32 & 0xffff, depth, *last;

	if (qid ? !sq : !v->started) {
		bad_doorbell(v, qid, LEAP__EVENT_BAD_DB_REG);
		return;
	}
	last = sq ? &sq->tail : &v->admin_tail;
	depth = sq ? sq->io.desc.sq_depth : v->admin_depth;
	if (bad_value(v, qid, value, *last, depth)) {
		bad_doorbell(v, qid, LEAP__EVENT_BAD_DB_VALUE);
		return;
	}
	*last = value;
	ring(v, sq ? sq->io.group : v->target->groups[0], qid, 0, value);
}

static struct leap__vcq *find_cq(struct leap_vdev *v, uint32_t qid)
{
	if (!qid)
		return v->started ? &v->admin_cq : NULL;
	return qid < v->nr_queues ? v->cq[qid] : NULL;
}

void leap__vdev_cq_doorbell(struct leap_vdev *v, uint32_t qid, uint32_t v32)
{
	struct leap__vcq *cq = find_cq(v, qid);
	uint32_t value = v32 & 0xffff;

	if (!cq) {
		bad_doorbell(v, qid, LEAP__EVENT_BAD_DB_REG);
		return;
	}
	if (bad_value(v, qid, value, cq->head, cq->io.desc.depth)) {
		bad_doorbell(v, qid, LEAP__EVENT_BAD_DB_VALUE);
		return;
	}
	cq->head = value;
	ring(v, qid ? cq->io.group : v->target->groups[0], qid, 1, value);
	leap__vdev_intx_update(v);
}

void leap__vdev_ring_all(struct leap_vdev *v)
{
	uint32_t i;

	if (v->started) {
		ring(v, v->target->groups[0], 0, 1, v->admin_cq.head);
		ring(v, v->target->groups[0], 0, 0, v->admin_tail);
	}
	for (i = 1; i < v->nr_queues; i++) {
		struct leap__vsq *sq = (struct leap__vsq *)v->c->ioq[i];

		if (v->cq[i])
			ring(v, v->cq[i]->io.group, i, 1, v->cq[i]->head);
		if (sq)
			ring(v, sq->io.group, i, 0, sq->tail);
	}
}

/* ---- completions and heads ---- */

uint64_t leap__vdev_cq_posted(struct leap_vdev *v, struct leap__vcq *cq)
{
	struct leap_doorbell *db = leap__vdev_db(v, cq->io.desc.cqid, 1);
	uint32_t now = leap_from_le32(leap__load_acquire(&db->posted));

	cq->posted += now - (uint32_t)cq->posted;
	return cq->posted;
}

static uint32_t head_of(struct leap_vdev *v, struct leap__vcq *cq)
{
	leap_gpa_t at = v->shadow_db;
	leap_le32 head;

	if (!v->shadow || !v->view || !cq->io.desc.cqid)
		return cq->head;
	at.addr += (2u * cq->io.desc.cqid + 1) * 4;
	if (leap_ats_copy_in(v->view, &head, at, sizeof(head)))
		return cq->head;
	return leap_from_le32(head) & 0xffff;
}

int leap__vdev_cq_waiting(struct leap_vdev *v, struct leap__vcq *cq)
{
	return leap__vdev_cq_posted(v, cq) % cq->io.desc.depth !=
	       head_of(v, cq);
}
