/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sgl.c - scatter gather lists to pieces of memory
 *
 * Segments are copied out of the guest's memory a chunk at a time, and each
 * descriptor is read once. The number of descriptors that one command may make
 * us look at is bounded, whatever lengths its segments claim.
 */
#include <errno.h>

#include <leapio/endian.h>

#include "ats/ats.h"
#include "util/plant.h"

#define SEG_CHUNK	16	/* descriptors copied at a time */
#define SEG_MAX_DESC	4096	/* descriptors looked at for one command */

struct walk {
	struct leap__ats_walk at;
	leap_status_t *status;
	uint64_t left;		/* bytes still to find */
	uint32_t flags;
	uint32_t nr_desc;
};

static int refuse(struct walk *w, leap_status_t status)
{
	*w->status = status | LEAP_STATUS_DNR;
	return -EIO;
}

static int translated(struct walk *w, int err)
{
	if (err == -ENOBUFS) {
		*w->status = LEAP_SC_INTERNAL;
		return err;
	}
	return err ? refuse(w, leap__ats_status(err)) : 0;
}

/* How much of a descriptor's length is wanted; more is an error unless this
 * controller takes longer lists. */
static int clip(struct walk *w, uint64_t *len)
{
	if (*len <= w->left)
		return 0;
	if (!(w->flags & LEAP_SGL_OVERSIZED))
		return refuse(w, LEAP_SC_SGL_DATA_LEN);
	*len = w->left;
	return 0;
}

static int data_block(struct walk *w, uint64_t gpa, uint64_t len)
{
	int err;

	if ((w->flags & LEAP_SGL_DWORD) && ((gpa | len) & 3))
		return refuse(w, LEAP_SC_INVALID_FIELD);
	err = clip(w, &len);
	if (err || !len)
		return err;
	err = leap__ats_add(&w->at, gpa, len);
	if (err)
		return translated(w, err);
	w->left -= len;
	return 0;
}

/* Data that the host does not want: a read fills the sink instead. For a write
 * a bit bucket is a descriptor without data. */
static int bit_bucket(struct walk *w, uint64_t len)
{
	int err;

	if (!(w->flags & LEAP_SGL_BIT_BUCKET))
		return refuse(w, LEAP_SC_SGL_TYPE);
	if (!(w->at.perm & LEAP_PERM_WRITE))
		return 0;
	err = clip(w, &len);
	if (err)
		return err;
	while (len) {
		uint32_t part = len < LEAP__ATS_SINK_BYTES ? (uint32_t)len :
			LEAP__ATS_SINK_BYTES;

		if (w->at.nr == w->at.max)
			return translated(w, -ENOBUFS);
		w->at.pieces[w->at.nr++] = (struct leap_piece){
			.addr = w->at.view->sink, .len_bytes = part };
		len -= part;
		w->left -= part;
	}
	return 0;
}

/*
 * One descriptor that is not a segment, or a segment: then *@seg is set.
 * @in_last: inside a last segment, where no segment may stand
 */
static int one(struct walk *w, const struct leap_sgl_desc *desc, int in_last,
	       const struct leap_sgl_desc **seg)
{
	uint64_t addr = leap_from_le64(desc->addr);
	uint32_t len = leap_from_le32(desc->len);

	if (++w->nr_desc > SEG_MAX_DESC)
		return refuse(w, LEAP_SC_SGL_COUNT);
	switch (desc->type) {
	case LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_ADDRESS):
		return data_block(w, addr, len);
	case LEAP_SGL_ID(LEAP_SGL_TYPE_BITBUCKET, LEAP_SGL_SUB_ADDRESS):
		return bit_bucket(w, len);
	case LEAP_SGL_ID(LEAP_SGL_TYPE_SEGMENT, LEAP_SGL_SUB_ADDRESS):
	case LEAP_SGL_ID(LEAP_SGL_TYPE_LAST, LEAP_SGL_SUB_ADDRESS):
		if (in_last || !len || len % 16)
			return refuse(w, LEAP_SC_SGL_SEGMENT);
		*seg = desc;
		return 0;
	default:
		return refuse(w, LEAP_SC_SGL_TYPE);
	}
}

/* A segment: data descriptors, and in the last place perhaps another one. */
static int segment(struct walk *w, struct leap_sgl_desc *seg, int *more)
{
	uint64_t at = leap_from_le64(seg->addr);
	uint32_t nr = leap_from_le32(seg->len) / 16, i, n;
	int last = LEAP_SGL_ID_TYPE(seg->type) == LEAP_SGL_TYPE_LAST;
	struct leap_sgl_desc desc[SEG_CHUNK];
	const struct leap_sgl_desc *found = NULL;
	int err;

	*more = 0;
	while (nr) {
		n = nr < SEG_CHUNK ? nr : SEG_CHUNK;
		err = leap_ats_copy_in(w->at.view, desc, (leap_gpa_t){ at },
				       n * sizeof(desc[0]));
		if (err)
			return translated(w, err);
		for (i = 0; i < n; i++) {
			err = one(w, &desc[i], last, &found);
			if (err)
				return err;
			/* A segment stands last in its segment. */
			if (found && (i != n - 1 || nr != n))
				return refuse(w, LEAP_SC_SGL_SEGMENT);
		}
		nr -= n;
		at += n * sizeof(desc[0]);
	}
	/* A segment that is not the last one must name its successor. */
	if (!found)
		return last ? 0 : refuse(w, LEAP_SC_SGL_SEGMENT);
	*seg = *found;
	*more = 1;
	if (LEAP_PLANT(DOUBLE_FETCH))
		return leap_ats_copy_in(w->at.view, seg,
					(leap_gpa_t){ at - sizeof(*seg) },
					sizeof(*seg));
	return 0;
}

static int walk(struct leap_ats_view *view, const struct leap_sgl_desc *sgl1,
		uint64_t len_bytes, uint32_t flags, uint32_t perm,
		struct leap_piece *pieces, uint32_t max, uint32_t *nr,
		struct leap_pins *pins, uint16_t *status)
{
	struct walk w = {
		.at = { .view = view, .pieces = pieces, .pins = pins,
			.perm = perm, .max = max,
			.range = &leap__ats_nothing },
		.status = status, .left = len_bytes, .flags = flags,
	};
	const struct leap_sgl_desc *found = NULL;
	struct leap_sgl_desc seg;
	int err, more;

	*nr = 0;
	*status = LEAP_SC_SUCCESS;
	err = one(&w, sgl1, 0, &found);
	more = !err && found;
	if (more)
		seg = *found;
	while (!err && more)
		err = segment(&w, &seg, &more);
	*nr = w.at.nr;
	if (err)
		return err;
	return w.left ? refuse(&w, LEAP_SC_SGL_DATA_LEN) : 0;
}

int leap_ats_sgl(struct leap_ats_view *view, const struct leap_sgl_desc *sgl1,
		 uint64_t len_bytes, uint32_t flags, uint32_t perm,
		 struct leap_piece *pieces, uint32_t max, uint32_t *nr,
		 struct leap_pins *pins, uint16_t *status)
{
	if (max && !(flags & LEAP_SGL_DWORD) &&
	    leap__ats_one_sgl(view, sgl1, len_bytes, perm, pieces, pins)) {
		*nr = 1;
		*status = LEAP_SC_SUCCESS;
		return 0;
	}
	return walk(view, sgl1, len_bytes, flags, perm, pieces, max, nr, pins,
		    status);
}
