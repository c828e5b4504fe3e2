/* SPDX-License-Identifier: BSD-3-Clause */
/* src/block/stack.c: texts that print back, texts that are refused where. */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <leapio/base.h>

#include "block/stack.h"

static void check_round_trip(const char *text, const char *want)
{
	struct leap__stack *stack = NULL;
	char out[LEAP__STACK_MAX_BYTES];

	if (leap__stack_parse("t", text, &stack))
		fail_msg("%s: %s", text, leap_last_error());
	assert_int_equal(leap__stack_print(&stack->layers[0], out, sizeof(out)),
			 strlen(want));
	assert_string_equal(out, want);
	free(stack);
}

static void canonical_text_prints_as_itself(void **state)
{
	static const char *const texts[] = {
		"null",
		"memory:64M",
		"memory:64M[block=4096]",
		"trace -> delay[read_us=100] -> file:/srv/disk.img[direct=off]",
		"mirror(memory:1G, file:/a, trace -> null)",
		"qos[iops=10,bytes=1M] -> cache -> stripe(null, null)",
		"a(b(c(d)))",
		"file:\"/with space, comma\"[lock=on]",
		"file:\"a\\\"b\\\\c\"",
		"file:\"x->y\"",
		"file:\"\"",
		"file:/a-b[k=\"[]\"]",
		"error[rate=0.5,op=read]",
		"a- -> b",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		check_round_trip(texts[i], texts[i]);
}

static void blanks_are_normalised(void **state)
{
	check_round_trip("  a->b  ", "a -> b");
	check_round_trip("a[ k=v , l=w ]", "a[k=v,l=w]");
	check_round_trip("m( a,b )", "m(a, b)");
	check_round_trip("a:x->b", "a:x -> b");
	check_round_trip("a:\"x\"", "a:x");
}

static void errors_name_the_column(void **state)
{
	static const struct {
		const char *text;
		const char *column;
	} bad[] = {
		{ "", "column 1:" },
		{ "   ", "column 4:" },
		{ "->", "column 1:" },
		{ "a ->", "column 5:" },
		{ "a b", "column 3:" },
		{ "a:", "column 3:" },
		{ "A", "column 1:" },
		{ "a[", "column 3:" },
		{ "a[]", "column 3:" },
		{ "a[k]", "column 4:" },
		{ "a[k=]", "column 5:" },
		{ "a[k=v", "column 6:" },
		{ "a[k=v,k=w]", "column 7:" },
		{ "a[k=v,]", "column 7:" },
		{ "a(", "column 3:" },
		{ "a()", "column 3:" },
		{ "a(b", "column 4:" },
		{ "a(b,)", "column 5:" },
		{ "a(b) -> c", "column 6:" },
		{ "a)", "column 2:" },
		{ "a:\"b", "column 3:" },
		{ "a:\"b\\n\"", "column 6:" },
		{ "a:b\nc", "column 4:" },
		{ "a -> -> b", "column 6:" },
	};
	struct leap__stack *stack = NULL;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(leap__stack_parse("t", bad[i].text, &stack),
				 -EINVAL);
		if (!strstr(leap_last_error(), bad[i].column))
			fail_msg("%s: %s", bad[i].text, leap_last_error());
	}
	assert_int_equal(leap__stack_parse("t", NULL, &stack), -EINVAL);
	assert_null(stack);
}

static void repeat(char *text, const char *word, int n)
{
	*text = 0;
	while (n--)
		strcat(text, word);
}

static void limits_hold(void **state)
{
	struct leap__stack *stack = NULL;
	char text[8192];

	repeat(text, "a->", LEAP__STACK_MAX_DEPTH - 1);
	strcat(text, "a");
	assert_int_equal(leap__stack_parse("t", text, &stack), 0);
	free(stack);
	strcat(text, "->a");
	assert_int_equal(leap__stack_parse("t", text, &stack), -EINVAL);
	repeat(text, "a(", 1000);
	assert_int_equal(leap__stack_parse("t", text, &stack), -EINVAL);
	assert_non_null(strstr(leap_last_error(), "too deep"));

	strcpy(text, "a(a");
	repeat(text + 3, ",a", LEAP__STACK_MAX_LAYERS - 2);
	strcat(text, ")");
	assert_int_equal(leap__stack_parse("t", text, &stack), 0);
	assert_int_equal(stack->nr_layers, LEAP__STACK_MAX_LAYERS);
	free(stack);
	text[strlen(text) - 1] = 0;
	strcat(text, ",a)");
	assert_int_equal(leap__stack_parse("t", text, &stack), -EINVAL);
	assert_non_null(strstr(leap_last_error(), "too many layers"));

	memset(text, 'a', sizeof(text));
	text[LEAP__STACK_MAX_BYTES] = 0;
	assert_int_equal(leap__stack_parse("t", text, &stack), -EINVAL);
	text[LEAP__STACK_MAX_BYTES - 1] = 0;
	assert_int_equal(leap__stack_parse("t", text, &stack), 0);
	assert_int_equal(strlen(stack->layers[0].name),
			 LEAP__STACK_MAX_BYTES - 1);
	free(stack);
}

static void print_is_bounded(void **state)
{
	const char *text = "trace -> memory:1G[block=512]";
	struct leap__stack *stack = NULL;
	char out[64];
	size_t max;

	assert_int_equal(leap__stack_parse("t", text, &stack), 0);
	for (max = 0; max < sizeof(out); max++) {
		memset(out, '#', sizeof(out));
		assert_int_equal(leap__stack_print(&stack->layers[0], out,
						   max), strlen(text));
		assert_int_equal(out[max], '#');
		if (max) {
			assert_true(strlen(out) < max);
			assert_memory_equal(out, text, strlen(out));
		}
	}
	free(stack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_text_prints_as_itself),
		cmocka_unit_test(blanks_are_normalised),
		cmocka_unit_test(errors_name_the_column),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(print_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
