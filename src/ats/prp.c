/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prp.c - PRP1, PRP2 and PRP lists to pieces of memory
 *
 * Lists are copied out of the guest's memory before they are looked at, a part
 * of a page at a time, and each entry is read once. Knows nothing of commands
 * beyond their two pointers.
 */
#include <errno.h>

#include <leapio/endian.h>

#include "ats/ats.h"

#define LIST_CHUNK 64	/* entries copied at a time */

struct walk {
	struct leap__ats_walk at;
	leap_status_t *status;
	uint64_t left;		/* bytes still to find */
	uint32_t page_bytes;
};

static int refuse(struct walk *w, leap_status_t status)
{
	*w->status = status | LEAP_STATUS_DNR;
	return -EIO;
}

static int failed(struct walk *w, int err)
{
	if (err != -ENOBUFS)
		return refuse(w, leap__ats_status(err));
	*w->status = LEAP_SC_INTERNAL;
	return err;
}

static inline int add(struct walk *w, uint64_t gpa, uint64_t len)
{
	int err = leap__ats_add(&w->at, gpa, len);

	if (err)
		return failed(w, err);
	w->left -= len;
	return 0;
}

static inline int add_page(struct walk *w, uint64_t gpa)
{
	if (gpa & (w->page_bytes - 1))
		return refuse(w, LEAP_SC_PRP_OFFSET);
	return add(w, gpa, w->left < w->page_bytes ? w->left : w->page_bytes);
}

/*
 * One page of a list, from @list to the end of its page. *@next becomes the
 * address of the next page of the list, when there must be one: the last slot
 * of a page is a link exactly if the pages still to come do not fit in it.
 */
static int walk_page(struct walk *w, uint64_t list, uint64_t *next)
{
	uint64_t slots = (w->page_bytes - (list & (w->page_bytes - 1))) / 8;
	leap_le64 entry[LIST_CHUNK];
	uint64_t n, i;
	int err;

	while (slots && w->left) {
		uint64_t pages = (w->left + w->page_bytes - 1) / w->page_bytes;
		int linked = pages > slots;

		n = slots < LIST_CHUNK ? slots : LIST_CHUNK;
		if (n > pages)
			n = pages;
		err = leap_ats_copy_in(w->at.view, entry, (leap_gpa_t){ list },
				       n * 8);
		if (err)
			return refuse(w, leap__ats_status(err));
		for (i = 0; i < n; i++) {
			uint64_t gpa = leap_from_le64(entry[i]);

			if (linked && i == slots - 1) {
				*next = gpa;
				return 0;
			}
			err = add_page(w, gpa);
			if (err)
				return err;
		}
		list += n * 8;
		slots -= n;
	}
	return 0;
}

static int walk_list(struct walk *w, uint64_t list)
{
	int err;

	if (list & 7)
		return refuse(w, LEAP_SC_PRP_OFFSET);
	for (;;) {
		uint64_t next = 0;

		err = walk_page(w, list, &next);
		if (err || !w->left)
			return err;
		/* Each link page but the first holds a page of entries, so
		 * that a circle of links ends when the length is used up. */
		if (next & (w->page_bytes - 1))
			return refuse(w, LEAP_SC_PRP_OFFSET);
		list = next;
	}
}

static int walk(struct leap_ats_view *view, leap_gpa_t prp1, leap_gpa_t prp2,
		uint64_t len_bytes, uint32_t page_bytes, uint32_t perm,
		struct leap_piece *pieces, uint32_t max, uint32_t *nr,
		struct leap_pins *pins, uint16_t *status)
{
	struct walk w = {
		.at = { .view = view, .pieces = pieces, .pins = pins,
			.perm = perm, .max = max,
			.range = &leap__ats_nothing },
		.status = status, .left = len_bytes, .page_bytes = page_bytes,
	};
	uint64_t first = page_bytes - (prp1.addr & (page_bytes - 1));
	int err;

	*nr = 0;
	*status = LEAP_SC_SUCCESS;
	if (prp1.addr & 3)
		return refuse(&w, LEAP_SC_PRP_OFFSET);
	if (!len_bytes)
		return 0;
	err = add(&w, prp1.addr, first < w.left ? first : w.left);
	if (!err && w.left)
		err = w.left <= page_bytes ? add_page(&w, prp2.addr) :
			walk_list(&w, prp2.addr);
	*nr = w.at.nr;
	return err;
}

int leap_ats_prp(struct leap_ats_view *view, leap_gpa_t prp1, leap_gpa_t prp2,
		 uint64_t len_bytes, uint32_t page_bytes, uint32_t perm,
		 struct leap_piece *pieces, uint32_t max, uint32_t *nr,
		 struct leap_pins *pins, uint16_t *status)
{
	if (max && leap__ats_one_prp(view, prp1.addr, len_bytes, page_bytes,
				     perm, pieces, pins)) {
		*nr = 1;
		*status = LEAP_SC_SUCCESS;
		return 0;
	}
	return walk(view, prp1, prp2, len_bytes, page_bytes, perm, pieces, max,
		    nr, pins, status);
}
