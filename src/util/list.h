/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * list.h - intrusive doubly linked list
 *
 * The links live in the caller's struct, so nothing is ever allocated and an
 * element takes itself out in constant time. A list head is a leap__list too:
 * the element before the first. An element that is in no list points to
 * itself once initialized, which makes removing it again harmless.
 */
#ifndef LEAP_UTIL_LIST_H
#define LEAP_UTIL_LIST_H

#include <stddef.h>

struct leap__list {
	struct leap__list *next;
	struct leap__list *prev;
};

#define LEAP__LIST_INIT(name)	{ &(name), &(name) }

/* The struct that holds the links at @ptr as its @member. */
#define leap__list_entry(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void leap__list_init(struct leap__list *l)
{
	l->next = l;
	l->prev = l;
}

static inline int leap__list_empty(const struct leap__list *l)
{
	return l->next == l;
}

/* Put @item, which is in no list, right after @at. */
static inline void leap__list_insert(struct leap__list *at,
				     struct leap__list *item)
{
	item->next = at->next;
	item->prev = at;
	at->next->prev = item;
	at->next = item;
}

static inline void leap__list_push_front(struct leap__list *head,
					 struct leap__list *item)
{
	leap__list_insert(head, item);
}

static inline void leap__list_push_back(struct leap__list *head,
					struct leap__list *item)
{
	leap__list_insert(head->prev, item);
}

/* Leaves @item initialized: in no list. */
static inline void leap__list_remove(struct leap__list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	leap__list_init(item);
}

/* The first element, or NULL. */
static inline struct leap__list *leap__list_first(const struct leap__list *head)
{
	return leap__list_empty(head) ? NULL : head->next;
}

/* Take the first element out, or give NULL. */
static inline struct leap__list *leap__list_pop(struct leap__list *head)
{
	struct leap__list *item = leap__list_first(head);

	if (item)
		leap__list_remove(item);
	return item;
}

/* Move all of @from to the end of @to; @from is empty afterwards. */
static inline void leap__list_splice(struct leap__list *to,
				     struct leap__list *from)
{
	if (leap__list_empty(from))
		return;
	from->next->prev = to->prev;
	from->prev->next = to;
	to->prev->next = from->next;
	to->prev = from->prev;
	leap__list_init(from);
}

/* The body must not remove @pos; use the _safe form for that. */
#define leap__list_for_each(pos, head) \
	for ((pos) = (head)->next; (pos) != (head); (pos) = (pos)->next)

/* The body may remove or free @pos, and nothing else. */
#define leap__list_for_each_safe(pos, tmp, head) \
	for ((pos) = (head)->next, (tmp) = (pos)->next; (pos) != (head); \
	     (pos) = (tmp), (tmp) = (pos)->next)

#endif
