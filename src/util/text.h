/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * text.h - numbers, sizes and strings as people write them in configurations
 *
 * Every function bounds what it reads by the NUL and what it writes by a size,
 * refuses what it does not fully understand, and leaves outputs untouched when
 * it fails. Failures set leap_last_error().
 */
#ifndef LEAP_UTIL_TEXT_H
#define LEAP_UTIL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * leap__text_number - an unsigned number within limits
 *
 * @s: decimal, or hexadecimal after 0x; no sign, no blanks, nothing after it
 * Returns: 0; -EINVAL not a number; -ERANGE outside @min..@max
 */
int leap__text_number(const char *s, uint64_t min, uint64_t max,
		      uint64_t *out);

/**
 * leap__text_size - a number of bytes: "4096", "64K", "64KiB", "1G", "2TiB"
 *
 * K, M, G, T, P and E (or k to e) are powers of 1024, with or without "iB".
 * "KB" and the like are refused, because people disagree on them.
 * Returns: 0; -EINVAL not a size; -ERANGE 2^64 bytes or more
 */
int leap__text_size(const char *s, uint64_t *out);

/**
 * leap__text_escape - bytes to text of letters, digits, "-._~/:" and %XX
 *
 * @dst: gets the text and a NUL; 3 * @n + 1 bytes are always enough
 * Returns: length without the NUL; -ENOSPC
 */
ssize_t leap__text_escape(char *dst, size_t size, const void *src, size_t n);

/**
 * leap__text_unescape - undo %XX
 *
 * @dst: gets the bytes and a NUL; may be @src; strlen(src) + 1 always enough
 *
 * %00 is refused: the result is a string.
 * Returns: length without the NUL; -EINVAL bad escape; -ENOSPC
 */
ssize_t leap__text_unescape(char *dst, size_t size, const char *src);

/**
 * leap__text_token - the next word of a line
 *
 * @pos: in: where to read; out: behind the word (unchanged on failure)
 * @dst: gets the word and a NUL
 *
 * Words stand between blanks. In double quotes a word may hold blanks, may be
 * empty, and knows \\ \" \n \t and \xHH (not \x00). '#' where a word could
 * start makes the rest of the line a comment.
 * Returns: 1 a word; 0 end of line; -EINVAL bad quoting; -ENOSPC
 */
int leap__text_token(const char **pos, char *dst, size_t size);

#endif
