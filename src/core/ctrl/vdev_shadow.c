/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbell Buffer Config of a virtual function: groups are told where the pages
 * are, and from the answer on the guest rings there. Until then it may ring as
 * before, and make queues: what it rings goes into the words until it has taken
 * the answer, and queues that were made meanwhile have words like all others.
 *
 *	SHADOW to all groups --> (queues were made: once more) --> words --> answer
 *
 * How a queue looks at its words is core/guest's.
 *
 * Spec: NVMe Base 2.0 s5.8 (Doorbell Buffer Config)
 */
#include "core/ctrl/vdev_priv.h"

#include <errno.h>

#include "util/endian.h"

#define PAGE	4096u

/* ---- the words ---- */

/* Word @index; NULL: it was taken away already, which is the guest's own
 * affair. */
static leap_le32 *find_word(struct leap_vdev *v, uint32_t index,
			    struct leap_pins *pins)
{
	const uint32_t rw = LEAP_PERM_READ | LEAP_PERM_WRITE;
	leap_gpa_t at = { v->shadow_db.addr + index * 4u };
	struct leap_piece piece;

	if (leap_ats_translate(v->view, at, 4, rw, &piece, 1, pins) != 1 ||
	    piece.reach != LEAP_REACH_DIRECT)
		return NULL;
	return piece.addr;
}

/* A group has set it to what it knew when it was told. */
static void store_word(struct leap_vdev *v, uint32_t index, uint32_t value)
{
	struct leap_pins pins = { 0 };
	leap_le32 *word = find_word(v, index, &pins);

	if (word)
		leap__store_release(word, leap_to_le32(value));
	leap_ats_release(v->view, &pins);
}

/* Unless the guest rings there already: then the page is right. */
void leap__vdev_shadow_rung(struct leap_vdev *v, uint32_t index, uint32_t was,
			    uint32_t value)
{
	leap_le32 expect = leap_to_le32(was);
	struct leap_pins pins = { 0 };
	leap_le32 *word = find_word(v, index, &pins);

	while (word && !leap__compare_exchange(word, &expect,
					       leap_to_le32(value)))
		if (expect != leap_to_le32(was))
			break;
	leap_ats_release(v->view, &pins);
}

static void store_words(struct leap_vdev *v)
{
	uint32_t i;

	v->shadow_fresh = 1;
	for (i = 1; i < v->nr_queues; i++) {
		const struct leap__vsq *sq = (struct leap__vsq *)v->c->ioq[i];

		if (v->cq[i]) {
			store_word(v, 2 * i + 1, v->cq[i]->head);
			leap__iogroup_kick(v->cq[i]->io.group,
					   leap__vdev_db(v, i, 1));
		}
		if (sq) {
			store_word(v, 2 * i, sq->tail);
			leap__iogroup_kick(sq->io.group,
					   leap__vdev_db(v, i, 0));
		}
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
		r->m[i].link.u.shadow.doorbells = v->shadow_new_db;
		r->m[i].link.u.shadow.eventidx = v->shadow_new_ei;
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
	int err = r->err, first = !v->shadow;

	if (!err && !v->shadow_stale && v->shadow_missed) {
		err = send_all(v);
		if (!err)
			return;
	}
	v->shadow_cmd = NULL;
	if (!err && !v->shadow_stale) {
		v->shadow = 1;
		v->shadow_db = v->shadow_new_db;
		v->shadow_ei = v->shadow_new_ei;
		/* From other pages groups have it themselves. */
		if (first)
			store_words(v);
	} else if (err) {
		/* Some may have them. */
		leap__vdev_tell_shadow(v);
	}
	leap__vdev_answer(v, cmd, err);
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

void leap__vdev_dbbuf_config(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	struct leap_vdev *v = leap__vdev_of(c);
	uint64_t db = leap_from_le64(cmd->sqe.prp1);
	uint64_t ei = leap_from_le64(cmd->sqe.prp2);

	/* One page each, and both: nothing here switches it off. */
	if (!db || !ei || db % PAGE || ei % PAGE || db == ei) {
		leap__admin_fail(c, cmd, LEAP__DNR(LEAP_SC_INVALID_FIELD));
		return;
	}
	if (v->shadow_cmd || shadow_view(v)) {
		leap__admin_fail(c, cmd, LEAP_SC_INTERNAL);
		return;
	}
	v->shadow_new_db.addr = db;
	v->shadow_new_ei.addr = ei;
	v->shadow_cmd = cmd;
	v->shadow_stale = 0;
	c->refs++;
	v->told_shadow = 1;
	if (!send_all(v))
		return;
	v->shadow_cmd = NULL;
	leap__admin_fail(c, cmd, LEAP_SC_INTERNAL);
	leap__ctrl_put(c);
}

void leap__vdev_forget_shadow(struct leap_vdev *v)
{
	v->shadow = 0;
	v->shadow_fresh = 0;
	v->shadow_stale = 1;
	if (v->view && !leap_ats_detach(v->view))
		v->view = NULL;
}
