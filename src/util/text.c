/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers, sizes and strings as people write them in configurations.
 *
 * Low layer. Written out by hand because strtoull() takes signs, blanks and
 * the locale's ideas, and forgets to say where a number ended. Must not know
 * what any of the texts mean.
 */
#include "util/text.h"

#include <errno.h>
#include <string.h>

#include "util/err.h"

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

/* Digits of @base at @s: 0 with *@end behind them, -EINVAL none, -ERANGE. */
static int digits(const char *s, unsigned base, uint64_t *out,
		  const char **end)
{
	uint64_t v = 0;
	const char *p;
	int d;

	for (p = s; (d = hex_value(*p)) >= 0 && (unsigned)d < base; p++) {
		if (v > (UINT64_MAX - (unsigned)d) / base)
			return -ERANGE;
		v = v * base + (unsigned)d;
	}
	if (p == s)
		return -EINVAL;
	*out = v;
	*end = p;
	return 0;
}

static int any_number(const char *s, uint64_t *out, const char **end)
{
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		return digits(s + 2, 16, out, end);
	return digits(s, 10, out, end);
}

int leap__text_number(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *end = NULL;
	uint64_t v = 0;
	int err;

	err = any_number(s, &v, &end);
	if (err == -EINVAL || (!err && *end))
		return leap__err(-EINVAL,
			"leap__text_number: \"%.40s\" is not a number", s);
	if (err || v < min || v > max)
		return leap__err(-ERANGE,
			"leap__text_number: %.40s is not %llu to %llu", s,
			(unsigned long long)min, (unsigned long long)max);
	*out = v;
	return 0;
}

/* Bits to shift for a unit, -1 when it is none. */
static int unit_shift(const char *unit)
{
	static const char letter[] = "KMGTPE";
	const char *at;
	char c = *unit;

	if (!c)
		return 0;
	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'B' && !unit[1])
		return 0;
	at = strchr(letter, c);
	if (!at || (unit[1] && strcmp(unit + 1, "iB")))
		return -1;
	return 10 * (int)(at - letter + 1);
}

int leap__text_size(const char *s, uint64_t *out)
{
	const char *end = NULL;
	uint64_t v = 0;
	int err, shift;

	err = any_number(s, &v, &end);
	shift = err ? 0 : unit_shift(end);
	if (err == -EINVAL || shift < 0)
		return leap__err(-EINVAL,
			"leap__text_size: \"%.40s\" is not like 64M or 1GiB",
			s);
	if (err || v > UINT64_MAX >> shift)
		return leap__err(-ERANGE,
			"leap__text_size: %.40s is 2^64 bytes or more", s);
	*out = v << shift;
	return 0;
}

static int is_plain(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || (c && strchr("-._~/:", c));
}

ssize_t leap__text_escape(char *dst, size_t size, const void *src, size_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	const unsigned char *p = src;
	size_t i, len = 0;

	for (i = 0; i < n; i++)
		len += is_plain(p[i]) ? 1 : 3;
	if (len >= size)
		return leap__err(-ENOSPC,
			"leap__text_escape: %zu bytes do not fit in %zu",
			len + 1, size);
	for (i = 0; i < n; i++) {
		if (is_plain(p[i])) {
			*dst++ = (char)p[i];
			continue;
		}
		*dst++ = '%';
		*dst++ = hex[p[i] >> 4];
		*dst++ = hex[p[i] & 0xf];
	}
	*dst = '\0';
	return (ssize_t)len;
}

/* The byte that two hex digits at @s name; -1 when they do not, or name 00h. */
static int hex_byte(const char *s)
{
	int high = hex_value(s[0]);
	int low = high < 0 ? -1 : hex_value(s[1]);

	if (low < 0 || !(high | low))
		return -1;
	return high << 4 | low;
}

ssize_t leap__text_unescape(char *dst, size_t size, const char *src)
{
	const char *p;
	size_t len = 0;

	/* First look, then write: @dst may be @src. */
	for (p = src; *p; p++, len++) {
		if (*p != '%')
			continue;
		if (hex_byte(p + 1) < 0)
			return leap__err(-EINVAL,
				"leap__text_unescape: bad escape at byte %zu",
				(size_t)(p - src));
		p += 2;
	}
	if (len >= size)
		return leap__err(-ENOSPC,
			"leap__text_unescape: %zu bytes do not fit in %zu",
			len + 1, size);
	for (p = src; *p; p++) {
		if (*p == '%') {
			*dst++ = (char)hex_byte(p + 1);
			p += 2;
		} else {
			*dst++ = *p;
		}
	}
	*dst = '\0';
	return (ssize_t)len;
}

static int is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The character behind a backslash at *@p, which moves on; -1 for none such. */
static int backslash(const char **p)
{
	int c = *(*p)++;

	switch (c) {
	case '\\':
	case '"':
		return c;
	case 'n':
		return '\n';
	case 't':
		return '\t';
	case 'x':
		c = hex_byte(*p);
		if (c >= 0)
			*p += 2;
		return c;
	default:
		return -1;
	}
}

/*
 * One word at @p into @dst, or, with @dst NULL, only its length into *@len.
 * Returns the end of the word, or NULL for bad quoting.
 */
static const char *scan_word(const char *p, char *dst, size_t *len)
{
	int quoted = *p == '"', c;
	size_t n = 0;

	for (p += quoted; *p && (quoted ? *p != '"' : !is_blank(*p)); n++) {
		c = (unsigned char)*p++;
		if (c == '"')
			return NULL;	/* a quote inside a bare word */
		if (quoted && c == '\\') {
			c = backslash(&p);
			if (c < 0)
				return NULL;
		}
		if (dst)
			dst[n] = (char)c;
	}
	*len = n;
	if (!quoted)
		return p;
	/* The closing quote, and a blank or the end behind it. */
	if (*p++ != '"' || (*p && !is_blank(*p)))
		return NULL;
	return p;
}

int leap__text_token(const char **pos, char *dst, size_t size)
{
	const char *p = *pos, *end;
	size_t len = 0;

	while (is_blank(*p))
		p++;
	if (!*p || *p == '#')
		return 0;
	end = scan_word(p, NULL, &len);
	if (!end)
		return leap__err(-EINVAL,
			"leap__text_token: bad quoting in %.40s", p);
	if (len >= size)
		return leap__err(-ENOSPC,
			"leap__text_token: %zu bytes do not fit in %zu",
			len + 1, size);
	scan_word(p, dst, &len);
	dst[len] = '\0';
	*pos = end;
	return 1;
}
