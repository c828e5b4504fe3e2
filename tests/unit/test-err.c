/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/err.c: the text belongs to the thread and survives wrapping. */
#include "unit.h"

#include <pthread.h>

#include "util/err.h"

static void returns_what_it_is_given(void **state)
{
	assert_int_equal(leap__err(-EINVAL, "leap_x: depth %d exceeds %d", 9,
				   8), -EINVAL);
	assert_string_equal(leap_last_error(), "leap_x: depth 9 exceeds 8");
}

static void next_failure_replaces_the_text(void **state)
{
	leap__err(-EINVAL, "a long text that comes first");
	leap__err(-EIO, "short");
	assert_string_equal(leap_last_error(), "short");
}

static void long_text_is_cut(void **state)
{
	char text[5000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	leap__err(-EIO, "%s", text);
	assert_true(strlen(leap_last_error()) > 100);
	assert_true(strlen(leap_last_error()) < 1000);
	assert_memory_equal(leap_last_error(), text,
			    strlen(leap_last_error()));
}

static void text_can_wrap_itself(void **state)
{
	leap__err(-EINVAL, "inner: reason");
	leap__err(-EIO, "outer: %s", leap_last_error());
	assert_string_equal(leap_last_error(), "outer: inner: reason");
}

static void errno_is_left_alone(void **state)
{
	errno = ENOTTY;
	leap__err(-EINVAL, "%d", 1);
	assert_int_equal(errno, ENOTTY);
}

static void *other_thread(void *arg)
{
	int ok = leap_last_error()[0] == '\0';

	leap__err(-EIO, "from the other thread");
	return ok ? arg : NULL;
}

static void each_thread_has_its_own(void **state)
{
	pthread_t thread;
	void *result;
	int token;

	leap__err(-EINVAL, "mine");
	assert_int_equal(pthread_create(&thread, NULL, other_thread, &token),
			 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, &token);
	assert_string_equal(leap_last_error(), "mine");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(returns_what_it_is_given),
		cmocka_unit_test(next_failure_replaces_the_text),
		cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(text_can_wrap_itself),
		cmocka_unit_test(errno_is_left_alone),
		cmocka_unit_test(each_thread_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
