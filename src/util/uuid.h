/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uuid.h - UUID text, and the stable identifiers of a namespace
 */
#ifndef LEAP_UTIL_UUID_H
#define LEAP_UTIL_UUID_H

#include <stdint.h>

#define LEAP__UUID_LEN	16
#define LEAP__UUID_TEXT	37	/* bytes, with the NUL */

/* What Identify reports, in wire byte order. */
struct leap__ns_ids {
	uint8_t uuid[LEAP__UUID_LEN];
	uint8_t nguid[16];
	uint8_t eui64[8];
};

/**
 * leap__uuid_parse - text of RFC 4122 s3 to bytes in network order
 *
 * @text: 36 characters and a NUL, hex digits of either case
 * Returns: 0, or -EINVAL with @out untouched and leap_last_error() set
 */
int leap__uuid_parse(const char *text, uint8_t out[LEAP__UUID_LEN]);

/** leap__uuid_format - bytes to 36 lower-case characters and a NUL */
void leap__uuid_format(const uint8_t uuid[LEAP__UUID_LEN],
		       char out[LEAP__UUID_TEXT]);

/**
 * leap__ns_ids_derive - identifiers of a namespace that was given none
 *
 * @nqn: of the subsystem; @nsid: of the namespace
 *
 * The same pair always gives the same identifiers, on every machine and in
 * every release. All three are SHA-1 name hashes, made as RFC 4122 s4.3 makes
 * version 5 UUIDs: over a name space UUID of this library and the name
 * "<kind>:<nqn>:<nsid in decimal>", <kind> being uuid, nguid or eui64. UUID is
 * the version 5 UUID itself. NGUID and EUI64 are the first bytes of their
 * hash, with the "locally administered" bit set and the "group" bit cleared in
 * the first byte of the place where an OUI stands (byte 8 of NGUID, byte 0 of
 * EUI64), so that they never meet an assigned one. EUI64 has 62 bits of hash:
 * prefer the others where that is allowed.
 */
void leap__ns_ids_derive(const char *nqn, uint32_t nsid,
			 struct leap__ns_ids *ids);

#endif
