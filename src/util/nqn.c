/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVMe Qualified Names: the one check that all names pass, whether they come
 * from a caller, a Connect or a discovery log.
 *
 * Reads at most the bytes it is given and stops at the first NUL. Strict about
 * what could hurt (length, encoding, control characters), lenient about how a
 * peer spells its domain.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include <leapio/nvmf.h>

#include "util/err.h"
#include "util/uuid.h"

#define PREFIX_LEN (sizeof(LEAP_NQN_UUID_PREFIX) - 1)

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int is_domain_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/*
 * Bytes of the UTF-8 sequence at @s, 0 when it is not one: overlong forms,
 * surrogates and values over 10FFFFh are not, nor are control characters.
 */
static size_t utf8_len(const unsigned char *s, size_t n)
{
	uint32_t c, min;
	size_t len, i;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (s[0] >= 0xc2 && s[0] <= 0xdf) {
		len = 2;
		c = s[0] & 0x1f;
		min = 0xa0;	/* 80h..9Fh are controls */
	} else if (s[0] >= 0xe0 && s[0] <= 0xef) {
		len = 3;
		c = s[0] & 0x0f;
		min = 0x800;
	} else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		len = 4;
		c = s[0] & 0x07;
		min = 0x10000;
	} else {
		return 0;
	}
	if (len > n)
		return 0;
	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return len;
}

/* "nqn.2014-08." and how far it goes; 0 when it is not there. */
static size_t date_len(const char *s, size_t n)
{
	static const char shape[] = "nqn.dddd-dd.";
	size_t i;
	int month;

	if (n < sizeof(shape) - 1)
		return 0;
	for (i = 0; i < sizeof(shape) - 1; i++)
		if (shape[i] == 'd' ? !is_digit(s[i]) : s[i] != shape[i])
			return 0;
	month = (s[9] - '0') * 10 + s[10] - '0';
	return month >= 1 && month <= 12 ? i : 0;
}

/* One or more labels, dots between them, up to the end or a colon. */
static int domain_ok(const char *s, size_t n)
{
	size_t i, label = 0;

	for (i = 0; i < n && s[i] != ':'; i++) {
		if (s[i] == '.') {
			if (!label)
				return 0;
			label = 0;
		} else if (is_domain_char(s[i])) {
			label++;
		} else {
			return 0;
		}
	}
	return label > 0;
}

int leap_nqn_check(const char *nqn, size_t max)
{
	uint8_t uuid[16];
	size_t len, i, step;

	if (!nqn)
		return leap__err(-EINVAL, "leap_nqn_check: name is NULL");
	len = strnlen(nqn, max);
	if (len == max)
		return leap__err(-EINVAL,
				 "leap_nqn_check: no NUL in %zu bytes", max);
	for (i = 0; i < len; i += step) {
		step = utf8_len((const unsigned char *)nqn + i, len - i);
		if (!step)
			return leap__err(-EINVAL,
				"leap_nqn_check: byte %zu is not text in UTF-8",
				i);
	}
	if (len < LEAP_NQN_MIN)
		return leap__err(-EINVAL, "leap_nqn_check: length %zu of "
				 "\"%s\" is not %d to %d", len, nqn,
				 LEAP_NQN_MIN, LEAP_NQN_MAX);
	if (len > LEAP_NQN_MAX)
		return leap__err(-EINVAL,
				 "leap_nqn_check: length %zu is not %d to %d",
				 len, LEAP_NQN_MIN, LEAP_NQN_MAX);
	i = date_len(nqn, len);
	if (!i)
		return leap__err(-EINVAL,
			"leap_nqn_check: \"%s\" does not open with a date",
			nqn);
	if (!domain_ok(nqn + i, len - i))
		return leap__err(-EINVAL,
			"leap_nqn_check: \"%s\" has no reverse domain", nqn);
	if (!strncmp(nqn, LEAP_NQN_UUID_PREFIX, PREFIX_LEN) &&
	    leap__uuid_parse(nqn + PREFIX_LEN, uuid))
		return leap__err(-EINVAL,
			"leap_nqn_check: \"%s\" does not end in a UUID", nqn);
	return 0;
}
