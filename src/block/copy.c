/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The source ranges of Copy: from payload, which its owner may change at any
 * moment, into a list of our own, each byte read once. Knows both formats
 * within one namespace; protection information in them is for nobody here.
 *
 * Spec: NVM Command Set 1.0 s3.2.2 (Copy)
 */
#include "block/copy.h"

#include <stddef.h>
#include <string.h>

#include "util/atomic.h"

#define DNR(sc)		((leap_status_t)((sc) | LEAP_STATUS_DNR))

/* What both formats begin with. */
#define HEAD_BYTES	18u

LEAP_STATIC_ASSERT(offsetof(struct leap_copy_range0, slba) ==
		   offsetof(struct leap_copy_range1, slba) &&
		   offsetof(struct leap_copy_range0, nlb) ==
		   offsetof(struct leap_copy_range1, nlb) &&
		   offsetof(struct leap_copy_range0, nlb) + 2 == HEAD_BYTES);

struct cursor {
	const struct leap_piece *piece, *end;
	uint32_t at;
};

/* The next @n bytes to @to, or past them when that is NULL; false: there are
 * none. */
static int take(struct cursor *c, uint8_t *to, uint32_t n)
{
	uint32_t part;

	while (n) {
		if (c->piece == c->end)
			return 0;
		part = c->piece->len_bytes - c->at;
		if (!part) {
			c->piece++;
			c->at = 0;
			continue;
		}
		if (part > n)
			part = n;
		if (to) {
			leap__copy_from_shared(to, (const uint8_t *)
					       c->piece->addr + c->at, part);
			to += part;
		}
		c->at += part;
		n -= part;
	}
	return 1;
}

leap_status_t leap__copy_list_read(const struct leap_sqe *sqe,
				   const struct leap_piece *pieces,
				   uint32_t nr_pieces, uint64_t nr_blocks,
				   struct leap__copy_list *list, uint32_t *bad)
{
	uint32_t bytes = leap_copy_entry_bytes(sqe);
	struct cursor c = { pieces, pieces + nr_pieces, 0 };
	struct leap__copy_range *r = list->range;
	struct leap_copy_range0 entry;

	*bad = 0;
	if (!bytes)
		return DNR(LEAP_SC_INVALID_FIELD);
	list->nr = LEAP_GET(leap_from_le32(sqe->cdw12), LEAP_COPY_CDW12_NR) + 1;
	list->nr_blocks = 0;
	for (; *bad < list->nr; ++*bad, r++) {
		if (!take(&c, (uint8_t *)&entry, HEAD_BYTES) ||
		    !take(&c, NULL, bytes - HEAD_BYTES))
			return DNR(LEAP_SC_SGL_DATA_LEN);
		r->block = leap_from_le64(entry.slba);
		r->nr_blocks = leap_from_le16(entry.nlb) + 1u;
		if (r->nr_blocks > nr_blocks ||
		    r->block > nr_blocks - r->nr_blocks)
			return DNR(LEAP_SC_LBA_RANGE);
		list->nr_blocks += r->nr_blocks;
	}
	return 0;
}
