/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * UUID text, and identifiers for namespaces that were given none.
 *
 * Low layer, used at set-up time. The derived values are a promise: hosts find
 * a drive again by them, so the hash and the names below can never change.
 */
#include "util/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/err.h"
#include "util/sha1.h"

/* Made once at random, for this purpose. */
static const uint8_t name_space[LEAP__UUID_LEN] = {
	0xa9, 0x32, 0x0c, 0xe8, 0xa2, 0xf8, 0x4a, 0xcd,
	0xa6, 0xad, 0x8b, 0x42, 0x69, 0x52, 0x81, 0x5e,
};

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int dash_before(unsigned byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

/* Stops at the first wrong character, so a short text is never overrun. */
int leap__uuid_parse(const char *text, uint8_t out[LEAP__UUID_LEN])
{
	uint8_t uuid[LEAP__UUID_LEN];
	const char *p = text;
	int high, low;
	unsigned i;

	for (i = 0; i < LEAP__UUID_LEN; i++) {
		if (dash_before(i) && *p++ != '-')
			goto bad;
		high = hex_value(*p);
		if (high < 0)
			goto bad;
		low = hex_value(*++p);
		if (low < 0)
			goto bad;
		p++;
		uuid[i] = (uint8_t)(high << 4 | low);
	}
	if (*p)
		goto bad;
	memcpy(out, uuid, sizeof(uuid));
	return 0;
bad:
	return leap__err(-EINVAL, "leap__uuid_parse: \"%.40s\" is not a UUID",
			 text);
}

void leap__uuid_format(const uint8_t uuid[LEAP__UUID_LEN],
		       char out[LEAP__UUID_TEXT])
{
	static const char digit[] = "0123456789abcdef";
	unsigned i;

	for (i = 0; i < LEAP__UUID_LEN; i++) {
		if (dash_before(i))
			*out++ = '-';
		*out++ = digit[uuid[i] >> 4];
		*out++ = digit[uuid[i] & 0xf];
	}
	*out = '\0';
}

static void hash_name(const char *kind, const char *nqn, uint32_t nsid,
		      uint8_t *out, size_t n)
{
	uint8_t digest[LEAP__SHA1_LEN];
	struct leap__sha1 sha;
	char tail[16];

	snprintf(tail, sizeof(tail), ":%lu", (unsigned long)nsid);
	leap__sha1_init(&sha);
	leap__sha1_add(&sha, name_space, sizeof(name_space));
	leap__sha1_add(&sha, kind, strlen(kind));
	leap__sha1_add(&sha, ":", 1);
	leap__sha1_add(&sha, nqn, strlen(nqn));
	leap__sha1_add(&sha, tail, strlen(tail));
	leap__sha1_end(&sha, digest);
	memcpy(out, digest, n);
}

void leap__ns_ids_derive(const char *nqn, uint32_t nsid,
			 struct leap__ns_ids *ids)
{
	hash_name("uuid", nqn, nsid, ids->uuid, sizeof(ids->uuid));
	ids->uuid[6] = (ids->uuid[6] & 0x0f) | 0x50;	/* version 5 */
	ids->uuid[8] = (ids->uuid[8] & 0x3f) | 0x80;	/* RFC 4122 */

	hash_name("nguid", nqn, nsid, ids->nguid, sizeof(ids->nguid));
	ids->nguid[8] = (ids->nguid[8] & ~1u) | 2;

	hash_name("eui64", nqn, nsid, ids->eui64, sizeof(ids->eui64));
	ids->eui64[0] = (ids->eui64[0] & ~1u) | 2;
}
