/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The messages of lending: what may come, from which end, with which
 * descriptors. Knows nothing of what they do.
 */
#include "transport/lend/proto.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define PAGE		4096u

/* What each type has: which end sends it, descriptors, bytes behind the head
 * that it uses. */
static const struct {
	uint8_t borrower, min_fds, max_fds, bytes;
} rules[] = {
	[LEAP__LEND_HELLO] = { 1, 0, 0, 0 },
	[LEAP__LEND_WELCOME] = { 0, 0, 2, 40 },
	[LEAP__LEND_MEM_ADD] = { 1, 1, 1, 16 },
	[LEAP__LEND_MEM_DEL] = { 1, 0, 0, 24 },
	[LEAP__LEND_ADMIN] = { 1, 0, 0, 64 },
	[LEAP__LEND_DISABLE] = { 1, 0, 0, 0 },
	[LEAP__LEND_IRQ] = { 1, 0, 1, 0 },
	[LEAP__LEND_RING] = { 1, 0, 0, 64 },
	[LEAP__LEND_REPLY] = { 0, 0, 0, 8 },
	[LEAP__LEND_DONE] = { 0, 0, 0, 12 },
	[LEAP__LEND_BYE] = { 1, 0, 0, 0 },
};

static int check_mem(const struct leap__lend_msg *msg)
{
	uint64_t offset = leap_from_le64(msg->mem.offset);
	uint64_t bytes = leap_from_le64(msg->mem.bytes);

	if (offset % PAGE || !bytes || bytes > 1ull << 46 ||
	    offset > 1ull << 46)
		return -EPROTO;
	return 0;
}

static int check_welcome(const struct leap__lend_msg *msg, uint32_t nr_fds)
{
	uint32_t flags = leap_from_le32(msg->welcome.flags);
	uint32_t bytes = leap_from_le32(msg->welcome.page_bytes);
	uint64_t page = leap_from_le64(msg->welcome.page_offset);
	uint64_t shadow = leap_from_le64(msg->welcome.shadow_offset);

	if (flags & ~(LEAP__LEND_SHADOW | LEAP__LEND_PAGE) ||
	    nr_fds != (flags & 1) + (flags >> 1) || page % PAGE ||
	    shadow % PAGE)
		return -EPROTO;
	if (flags & LEAP__LEND_PAGE ? bytes < 8 || bytes > LEAP__LEND_MAX_PAGE :
				      bytes || page)
		return -EPROTO;
	return !(flags & LEAP__LEND_SHADOW) && shadow ? -EPROTO : 0;
}

int leap__lend_check(const struct leap__lend_msg *msg, int from_borrower,
		     uint32_t nr_fds)
{
	static const uint8_t zero[sizeof(msg->bytes)];
	uint32_t type = leap_from_le16(msg->type);
	uint32_t used;

	if (leap_from_le32(msg->magic) != LEAP__LEND_MAGIC ||
	    leap_from_le16(msg->version) != LEAP__LEND_VERSION ||
	    !type || type >= sizeof(rules) / sizeof(rules[0]) ||
	    rules[type].borrower != !!from_borrower ||
	    nr_fds < rules[type].min_fds || nr_fds > rules[type].max_fds)
		return -EPROTO;
	used = rules[type].bytes;
	if (memcmp(msg->bytes + used, zero, sizeof(zero) - used))
		return -EPROTO;
	if (leap_from_le32(msg->err) > 4095 ||
	    (leap_from_le32(msg->err) && type != LEAP__LEND_REPLY))
		return -EPROTO;
	if (type == LEAP__LEND_MEM_ADD && check_mem(msg))
		return -EPROTO;
	if (type == LEAP__LEND_WELCOME && check_welcome(msg, nr_fds))
		return -EPROTO;
	if (type == LEAP__LEND_RING &&
	    (leap_from_le32(msg->doorbells.nr) > LEAP__LEND_DOORBELLS ||
	     leap_from_le32(msg->doorbells.flags) > LEAP__LEND_STORE))
		return -EPROTO;
	return (int)type;
}

struct leap__lend_msg leap__lend_msg(enum leap__lend_type type, uint32_t id)
{
	return (struct leap__lend_msg){
		.magic = leap_to_le32(LEAP__LEND_MAGIC),
		.version = leap_to_le16(LEAP__LEND_VERSION),
		.type = leap_to_le16((uint16_t)type),
		.id = leap_to_le32(id),
	};
}
