/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/text.c: what people write, and what they should not have. */
#include "unit.h"

#include "util/text.h"

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "4096", 4096 },
		{ "512B", 512 },
		{ "1K", 1024 },
		{ "1k", 1024 },
		{ "64M", 64ull << 20 },
		{ "1GiB", 1ull << 30 },
		{ "2TiB", 2ull << 40 },
		{ "3P", 3ull << 50 },
		{ "15E", 15ull << 60 },
		{ "0x1000", 4096 },
		{ "18446744073709551615", UINT64_MAX },
	};
	uint64_t out;
	char *copy;
	size_t i;

	for (i = 0; i < COUNT(good); i++) {
		copy = exact_string(good[i].text);
		assert_int_equal(leap__text_size(copy, &out), 0);
		assert_true(out == good[i].bytes);
		free(copy);
	}
}

static void bad_sizes(void **state)
{
	static const struct {
		const char *text;
		int err;
	} bad[] = {
		{ "", -EINVAL },
		{ " 1", -EINVAL },
		{ "1 ", -EINVAL },
		{ "-1", -EINVAL },
		{ "+1", -EINVAL },
		{ "1.5G", -EINVAL },
		{ "M", -EINVAL },
		{ "1Q", -EINVAL },
		{ "1KB", -EINVAL },
		{ "1Ki", -EINVAL },
		{ "1GiBx", -EINVAL },
		{ "1BB", -EINVAL },
		{ "0x", -EINVAL },
		{ "0xg", -EINVAL },
		{ "16E", -ERANGE },
		{ "18446744073709551616", -ERANGE },
		{ "99999999999999999999999999999999", -ERANGE },
		{ "18014398509481984K", -ERANGE },
	};
	uint64_t out;
	char *copy;
	size_t i;

	for (i = 0; i < COUNT(bad); i++) {
		copy = exact_string(bad[i].text);
		out = 77;
		assert_int_equal(leap__text_size(copy, &out), bad[i].err);
		assert_last_error("leap__text_size: ");
		assert_true(out == 77);
		free(copy);
	}
}

static void numbers(void **state)
{
	uint64_t out = 77;

	assert_int_equal(leap__text_number("5", 5, 9, &out), 0);
	assert_true(out == 5);
	assert_int_equal(leap__text_number("9", 5, 9, &out), 0);
	assert_int_equal(leap__text_number("0x0A", 0, 10, &out), 0);
	assert_true(out == 10);
	assert_int_equal(leap__text_number("18446744073709551615", 0,
					   UINT64_MAX, &out), 0);
	assert_true(out == UINT64_MAX);
	out = 77;
	assert_int_equal(leap__text_number("4", 5, 9, &out), -ERANGE);
	assert_last_error("4 is not 5 to 9");
	assert_int_equal(leap__text_number("10", 5, 9, &out), -ERANGE);
	assert_int_equal(leap__text_number("18446744073709551616", 0,
					   UINT64_MAX, &out), -ERANGE);
	assert_int_equal(leap__text_number("", 0, 9, &out), -EINVAL);
	assert_int_equal(leap__text_number("5x", 0, 9, &out), -EINVAL);
	assert_int_equal(leap__text_number("-5", 0, 9, &out), -EINVAL);
	assert_int_equal(leap__text_number("1K", 0, 9, &out), -EINVAL);
	assert_true(out == 77);
}

static void escapes_go_there_and_back(void **state)
{
	char bytes[256], text[3 * 255 + 1], back[256];
	ssize_t n;
	int i;

	for (i = 0; i < 255; i++)
		bytes[i] = (char)(i + 1);
	n = leap__text_escape(text, sizeof(text), bytes, 255);
	assert_true(n > 255);
	assert_int_equal(strlen(text), n);
	for (i = 0; i < n; i++)
		assert_true(text[i] > ' ' && text[i] < 127);
	assert_int_equal(leap__text_unescape(back, sizeof(back), text), 255);
	assert_memory_equal(back, bytes, 255);
	/* In place. */
	assert_int_equal(leap__text_unescape(text, sizeof(text), text), 255);
	assert_memory_equal(text, bytes, 255);

	assert_int_equal(leap__text_escape(text, 10, "a b%c\0", 6), -ENOSPC);
	assert_int_equal(leap__text_escape(text, 13, "a b%c\0", 6), 12);
	assert_string_equal(text, "a%20b%25c%00");
	assert_int_equal(leap__text_escape(text, 1, "", 0), 0);
	assert_string_equal(text, "");
	assert_int_equal(leap__text_escape(text, 0, "", 0), -ENOSPC);
}

static void bad_escapes(void **state)
{
	static const char *const bad[] = { "%", "a%", "%4", "%4g", "%g4",
					   "%00", "a%%41", "%-1" };
	char out[8] = "same", *copy;
	size_t i;

	for (i = 0; i < COUNT(bad); i++) {
		copy = exact_string(bad[i]);
		assert_int_equal(leap__text_unescape(out, sizeof(out), copy),
				 -EINVAL);
		assert_string_equal(out, "same");
		free(copy);
	}
	assert_int_equal(leap__text_unescape(out, 3, "abc"), -ENOSPC);
	assert_int_equal(leap__text_unescape(out, 0, ""), -ENOSPC);
	assert_string_equal(out, "same");
	assert_int_equal(leap__text_unescape(out, 4, "%61bc"), 3);
	assert_string_equal(out, "abc");
}

static void words_of_a_line(void **state)
{
	char *line = exact_string(" one\t\"two three\" \"\" a=\\b "
				  "\"\\\"\\\\\\n\\t\\x41\" x#y # rest\n");
	static const char *const want[] = { "one", "two three", "", "a=\\b",
					    "\"\\\n\tA", "x#y" };
	const char *pos = line;
	char word[10];
	size_t i;

	for (i = 0; i < COUNT(want); i++) {
		assert_int_equal(leap__text_token(&pos, word, sizeof(word)), 1);
		assert_string_equal(word, want[i]);
	}
	assert_int_equal(leap__text_token(&pos, word, sizeof(word)), 0);
	assert_int_equal(leap__text_token(&pos, word, sizeof(word)), 0);
	free(line);
}

static void bad_words(void **state)
{
	static const char *const bad[] = { "\"open", "\"", "\"a\"b", "a\"b\"",
					   "\"\\", "\"\\q\"", "\"\\x\"",
					   "\"\\x4", "\"\\x00\"", "\"\\\"" };
	char word[8] = "same", *copy;
	const char *pos;
	size_t i;

	for (i = 0; i < COUNT(bad); i++) {
		copy = exact_string(bad[i]);
		pos = copy;
		assert_int_equal(leap__text_token(&pos, word, sizeof(word)),
				 -EINVAL);
		assert_ptr_equal(pos, copy);
		assert_string_equal(word, "same");
		free(copy);
	}
	pos = "abcdefgh";
	assert_int_equal(leap__text_token(&pos, word, sizeof(word)), -ENOSPC);
	pos = "abcdefg";
	assert_int_equal(leap__text_token(&pos, word, sizeof(word)), 1);
	pos = "";
	assert_int_equal(leap__text_token(&pos, word, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(bad_sizes),
		cmocka_unit_test(numbers),
		cmocka_unit_test(escapes_go_there_and_back),
		cmocka_unit_test(bad_escapes),
		cmocka_unit_test(words_of_a_line),
		cmocka_unit_test(bad_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
