/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/list.h: order, removal from the middle, splicing. */
#include "unit.h"

#include "util/list.h"

struct item {
	int value;
	struct leap__list link;
};

static int value_of(const struct leap__list *l)
{
	return leap__list_entry(l, struct item, link)->value;
}

/* The list holds exactly the digits of @want, read forwards and backwards. */
static void assert_list(struct leap__list *head, const char *want)
{
	struct leap__list *pos;
	size_t i = 0;

	leap__list_for_each(pos, head) {
		assert_true(want[i]);
		assert_int_equal(value_of(pos), want[i] - '0');
		i++;
	}
	assert_int_equal(want[i], '\0');
	for (pos = head->prev; pos != head; pos = pos->prev)
		assert_int_equal(value_of(pos), want[--i] - '0');
	assert_int_equal(i, 0);
}

static void make(struct item *items, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		items[i].value = (int)i;
		leap__list_init(&items[i].link);
	}
}

static void pushes_keep_order(void **state)
{
	struct leap__list head = LEAP__LIST_INIT(head);
	struct item it[4];

	make(it, 4);
	assert_true(leap__list_empty(&head));
	assert_null(leap__list_first(&head));
	leap__list_push_back(&head, &it[1].link);
	leap__list_push_back(&head, &it[2].link);
	leap__list_push_front(&head, &it[0].link);
	leap__list_insert(&it[0].link, &it[3].link);
	assert_false(leap__list_empty(&head));
	assert_list(&head, "0312");
	assert_ptr_equal(leap__list_first(&head), &it[0].link);
}

static void removal_anywhere_and_twice(void **state)
{
	struct leap__list head = LEAP__LIST_INIT(head);
	struct item it[5];
	int i;

	make(it, 5);
	for (i = 0; i < 5; i++)
		leap__list_push_back(&head, &it[i].link);
	leap__list_remove(&it[2].link);
	assert_list(&head, "0134");
	leap__list_remove(&it[2].link);
	assert_list(&head, "0134");
	leap__list_remove(&it[0].link);
	leap__list_remove(&it[4].link);
	assert_list(&head, "13");
	assert_true(leap__list_empty(&it[4].link));
	assert_ptr_equal(leap__list_pop(&head), &it[1].link);
	assert_ptr_equal(leap__list_pop(&head), &it[3].link);
	assert_null(leap__list_pop(&head));
	assert_true(leap__list_empty(&head));
}

static void splice_moves_all(void **state)
{
	struct leap__list a = LEAP__LIST_INIT(a), b = LEAP__LIST_INIT(b);
	struct item it[4];

	make(it, 4);
	leap__list_splice(&a, &b);
	assert_list(&a, "");
	leap__list_push_back(&b, &it[0].link);
	leap__list_push_back(&b, &it[1].link);
	leap__list_splice(&a, &b);
	assert_list(&a, "01");
	assert_list(&b, "");
	leap__list_push_back(&b, &it[2].link);
	leap__list_push_back(&b, &it[3].link);
	leap__list_splice(&a, &b);
	assert_list(&a, "0123");
	leap__list_splice(&a, &b);
	assert_list(&a, "0123");
	assert_list(&b, "");
}

static void elements_may_be_freed_on_the_way(void **state)
{
	struct leap__list head = LEAP__LIST_INIT(head), *pos, *tmp;
	struct item *it;
	int i, sum = 0;

	for (i = 0; i < 10; i++) {
		it = malloc(sizeof(*it));
		assert_non_null(it);
		it->value = i;
		leap__list_push_back(&head, &it->link);
	}
	leap__list_for_each_safe(pos, tmp, &head) {
		it = leap__list_entry(pos, struct item, link);
		sum += it->value;
		leap__list_remove(pos);
		free(it);
	}
	assert_int_equal(sum, 45);
	assert_true(leap__list_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pushes_keep_order),
		cmocka_unit_test(removal_anywhere_and_twice),
		cmocka_unit_test(splice_moves_all),
		cmocka_unit_test(elements_may_be_freed_on_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
