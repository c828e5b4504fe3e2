/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/sha1.c: published vectors, and any cut of the input. */
#include "unit.h"

#include "util/sha1.h"

static void assert_digest(struct leap__sha1 *s, const char *hex)
{
	static const char digit[] = "0123456789abcdef";
	uint8_t out[LEAP__SHA1_LEN];
	unsigned i;

	leap__sha1_end(s, out);
	for (i = 0; i < sizeof(out); i++) {
		assert_int_equal(digit[out[i] >> 4], hex[2 * i]);
		assert_int_equal(digit[out[i] & 15], hex[2 * i + 1]);
	}
}

static void vectors(void **state)
{
	static const struct {
		const char *text, *hex;
	} v[] = {
		{ "", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
		{ "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
	};
	struct leap__sha1 s;
	size_t i;

	for (i = 0; i < COUNT(v); i++) {
		leap__sha1_init(&s);
		leap__sha1_add(&s, v[i].text, strlen(v[i].text));
		assert_digest(&s, v[i].hex);
	}
}

static void a_million_letters_in_odd_pieces(void **state)
{
	char a[997];
	struct leap__sha1 s;
	size_t left, part;

	memset(a, 'a', sizeof(a));
	leap__sha1_init(&s);
	for (left = 1000000; left; left -= part) {
		part = left % sizeof(a) + 1;
		if (part > left)
			part = left;
		if (part > sizeof(a))
			part = sizeof(a);
		leap__sha1_add(&s, a, part);
	}
	assert_digest(&s, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

static void length_around_the_padding(void **state)
{
	uint8_t one[LEAP__SHA1_LEN], two[LEAP__SHA1_LEN], buf[130];
	struct leap__sha1 s;
	size_t n, i;

	memset(buf, 'x', sizeof(buf));
	for (n = 50; n <= sizeof(buf); n++) {
		leap__sha1_init(&s);
		leap__sha1_add(&s, buf, n);
		leap__sha1_end(&s, one);
		leap__sha1_init(&s);
		for (i = 0; i < n; i++)
			leap__sha1_add(&s, buf + i, 1);
		leap__sha1_end(&s, two);
		assert_memory_equal(one, two, sizeof(one));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(a_million_letters_in_odd_pieces),
		cmocka_unit_test(length_around_the_padding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
