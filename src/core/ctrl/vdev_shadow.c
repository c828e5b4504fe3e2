/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbell Buffer Config of a virtual function: groups are told where the pages
 * are, and from the answer on the guest rings there. Until it has taken the
 * answer it may ring as before, and make queues, which have words like others.
 *
 *	words --> SHADOW to all groups --> (queues came: once more) --> what was
 *	rung meanwhile --> answer
 *
 * A word bears the mark of who has set it up until the guest stores there, be
 * it before the answer, as kernels may. As long as it does, what is trapped
 * goes there too; then never again, since a doorbell that was posted may be
 * older than the word by any time. Groups set up the words of their queues, and
 * so does the home, before: in another process there may be nobody who does,
 * and whoever comes later takes up what he finds. How a queue looks at its
 * words is core/guest's.
 *
 * Other pages only after a reset. One that overtakes the answer from before the
 * reset waits for that.
 *
 * Spec: NVMe Base 2.0 s5.8 (Doorbell Buffer Config)
 */
#include "core/ctrl/vdev_priv.h"

#include <errno.h>

#include "core/io/ring.h"
#include "util/endian.h"

#define PAGE	4096u
#define OURS	LEAP__RING_UNRUNG
/* A guest that stores there all the time wants to be taken for one that has. */
#define TRIES	64

/* ---- the words ---- */

/* Word @index of a page; NULL: it was taken away, which is the guest's own
 * affair. */
static leap_le32 *find_word(struct leap_vdev *v, leap_gpa_t page,
			    uint32_t index, struct leap_pins *pins)
{
	const uint32_t rw = LEAP_PERM_READ | LEAP_PERM_WRITE;
	leap_gpa_t at = { page.addr + index * 4u };
	struct leap_piece piece;

	if (index * 4u >= PAGE ||
	    leap_ats_translate(v->view, at, 4, rw, &piece, 1, pins) != 1 ||
	    piece.reach != LEAP_REACH_DIRECT)
		return NULL;
	return piece.addr;
}

void leap__vdev_shadow_rung(struct leap_vdev *v, uint32_t index,
			    uint32_t value)
{
	struct leap_pins pins = { 0 };
	leap_le32 *word = find_word(v, v->shadow_db, index, &pins);
	leap_le32 was = word ? leap__load_relaxed(word) : 0;
	int i;

	for (i = 0; i < TRIES && (leap_from_le32(was) & OURS); i++)
		if (leap__compare_exchange(word, &was,
					   leap_to_le32(value | OURS)))
			break;
	leap_ats_release(v->view, &pins);
}

static int is_there(struct leap_vdev *v, leap_gpa_t page)
{
	struct leap_pins pins = { 0 };
	int found = find_word(v, page, 0, &pins) != NULL;

	leap_ats_release(v->view, &pins);
	return found;
}

static uint32_t trapped(const struct leap_vdev *v, uint32_t qid, uint32_t cq)
{
	struct leap_doorbell *db = leap__vdev_db(v, qid, cq);

	return leap_from_le32(leap__load_relaxed(&db->value)) & 0xffff;
}

void leap__vdev_shadow_fresh(struct leap_vdev *v, uint32_t qid, uint32_t cq)
{
	struct leap_pins pins = { 0 };
	leap_le32 *word;

	if (!v->shadow && (!v->shadow_cmd || v->shadow_stale))
		return;
	word = find_word(v, v->shadow_db, 2 * qid + cq, &pins);
	if (word)
		leap__store_relaxed(word, leap_to_le32(trapped(v, qid, cq) |
						       OURS));
	leap_ats_release(v->view, &pins);
}

static void fresh_words(struct leap_vdev *v)
{
	uint32_t i;

	for (i = 1; i < v->nr_queues; i++) {
		if (v->cq[i])
			leap__vdev_shadow_fresh(v, i, 1);
		if (v->c->ioq[i])
			leap__vdev_shadow_fresh(v, i, 0);
	}
}

/*
 * A group has set it to what it knew when it was told, and looks nowhere else
 * since: here is all that was trapped.
 */
static void begin_word(struct leap_vdev *v, struct leap__iogroup *g,
		       uint32_t qid, uint32_t cq)
{
	leap__vdev_shadow_rung(v, 2 * qid + cq, trapped(v, qid, cq));
	leap__iogroup_kick(g, leap__vdev_db(v, qid, cq));
}

static void begin_words(struct leap_vdev *v)
{
	uint32_t i;

	for (i = 1; i < v->nr_queues; i++) {
		const struct leap__ioqp *sq = v->c->ioq[i];

		if (v->cq[i])
			begin_word(v, v->cq[i]->io.group, i, 1);
		if (sq)
			begin_word(v, sq->group, i, 0);
	}
}

/* ---- the command ---- */

static void shadow_answered(struct leap__round *r);

/* 0, -ENOMEM */
static int send_all(struct leap_vdev *v)
{
	struct leap__round *r = &v->shadow_round;
	uint32_t i;

	if (!leap__round_prepare(v->target, r, LEAP_LINK_SHADOW))
		return -ENOMEM;
	for (i = 0; i < r->nr; i++) {
		r->m[i].ctrl = v->c;
		r->m[i].subject = &v->guest;
		r->m[i].fd = -1;
		r->m[i].link.cntlid = v->c->cntlid;
		r->m[i].link.u.shadow.doorbells = v->shadow_db;
		r->m[i].link.u.shadow.eventidx = v->shadow_ei;
	}
	r->done = shadow_answered;
	r->arg = v;
	v->shadow_missed = 0;
	leap__round_send(v->target, r);
	return 0;
}

static void shadow_answered(struct leap__round *r)
{
	struct leap_vdev *v = r->arg;
	struct leap__ctrl *c = v->c;
	struct leap_cmd *cmd = v->shadow_cmd;
	int err = r->err;

	if (!err && !v->shadow_stale && v->shadow_missed) {
		err = send_all(v);
		if (!err)
			return;
	}
	v->shadow_cmd = NULL;
	if (!err && !v->shadow_stale) {
		v->shadow = 1;
		begin_words(v);
	} else if (err) {
		/* Some may use them. */
		leap__vdev_tell_shadow(v);
	}
	leap__vdev_answer(v, cmd, err);
	cmd = v->shadow_next;
	v->shadow_next = NULL;
	if (cmd)
		leap__vdev_dbbuf_config(c, cmd);
	leap__ctrl_put(c);
	leap__vdev_settle(v);
}

/*
 * The home looks at shadow heads for the pin. Attached before any queue uses
 * the pages; without it the pin would be stuck, so then there is no shadow.
 */
static int shadow_view(struct leap_vdev *v)
{
	return v->view ? 0 : leap_ats_attach(v->guest.ats, v->home, &v->view);
}

static leap_status_t check(struct leap_vdev *v, uint64_t db, uint64_t ei)
{
	const leap_gpa_t page[] = { { db }, { ei } };

	/* One page each, and both: nothing here switches it off. */
	if (!db || !ei || db % PAGE || ei % PAGE || db == ei)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	/* From one page to another what is rung on the way would be lost. */
	if (v->shadow && (db != v->shadow_db.addr || ei != v->shadow_ei.addr))
		return LEAP__DNR(LEAP_SC_CMD_SEQUENCE);
	if (v->shadow_cmd || shadow_view(v))
		return LEAP_SC_INTERNAL;
	return is_there(v, page[0]) && is_there(v, page[1]) ? 0 :
	       LEAP__DNR(LEAP_SC_DATA_TRANSFER);
}

void leap__vdev_dbbuf_config(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	struct leap_vdev *v = leap__vdev_of(c);
	uint64_t db = leap_from_le64(cmd->sqe.prp1);
	uint64_t ei = leap_from_le64(cmd->sqe.prp2);
	leap_status_t status;

	if (v->shadow_cmd && v->shadow_stale && !v->shadow_next) {
		v->shadow_next = cmd;
		return;
	}
	status = check(v, db, ei);
	if (status) {
		leap__admin_fail(c, cmd, status);
		return;
	}
	if (v->shadow) {
		leap_cmd_complete(cmd, 0);
		return;
	}
	v->shadow_db.addr = db;
	v->shadow_ei.addr = ei;
	v->shadow_cmd = cmd;
	v->shadow_stale = 0;
	v->told_shadow = 1;
	c->refs++;
	fresh_words(v);
	if (!send_all(v))
		return;
	v->shadow_cmd = NULL;
	leap__admin_fail(c, cmd, LEAP_SC_INTERNAL);
	leap__ctrl_put(c);
}

void leap__vdev_forget_shadow(struct leap_vdev *v)
{
	struct leap_cmd *cmd = v->shadow_next;

	v->shadow = 0;
	v->shadow_stale = 1;
	v->shadow_next = NULL;
	if (cmd)
		leap_cmd_complete(cmd, LEAP_SC_ABORT_SQ_DELETED);
	if (v->view && !leap_ats_detach(v->view))
		v->view = NULL;
}
