/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unmap.c - a range goes: every view lets go of it, then one completion
 *
 * An unmap publishes a table without the range and sends each view a message.
 * The view drops what it has cached, tells those who hold long-lived pins,
 * waits for its pins in the range, and the last view to do so frees the range
 * and tells the caller. Knows nothing of what pins are held for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ats/ats.h"
#include "util/atomic.h"
#include "util/err.h"
#include "util/plant.h"

static void recalled(struct leap__dmabuf_recall *recall)
{
	struct leap__ats_unmap *unmap =
		leap__list_entry(recall, struct leap__ats_unmap, recall);
	void (*done)(void *arg) = unmap->done;
	void *arg = unmap->arg;

	leap__ats_range_free(unmap->ats, unmap->range);
	free(unmap);
	done(arg);
}

/*
 * One of those who had to let go of a range has. After all views the devices:
 * commands that were handed on may have made the memory known to some.
 */
static void unmap_step(struct leap__ats_unmap *unmap)
{
	if (leap__fetch_add(&unmap->nr_left, (uint32_t)-1) != 1)
		return;
	unmap->recall.done = recalled;
	if (unmap->range->buf)
		leap__dmabuf_recall(unmap->range->buf, &unmap->recall);
	else
		recalled(&unmap->recall);
}

void leap__ats_end(struct leap__list *leaves)
{
	struct leap__list *at;

	while ((at = leap__list_pop(leaves)) != NULL)
		unmap_step(leap__list_entry(at,
				struct leap__ats_leave, link)->unmap);
}

void leap__ats_refresh(struct leap_ats_view *view)
{
	struct leap_ats *ats = view->ats;

	if (LEAP_PLANT(STALE_TRANSLATION))
		return;
	pthread_mutex_lock(&ats->lock);
	leap__ats_table_put(view->table);
	view->table = ats->table;
	view->table->refs++;
	view->gen = ats->gen;
	pthread_mutex_unlock(&ats->lock);
	/* What the IOTLB has is of an older generation. */
	view->last = &leap__ats_nothing;
}

void leap__ats_hook_add(struct leap_ats_view *view, struct leap__ats_hook *hook)
{
	leap__list_push_back(&view->hooks, &hook->link);
	pthread_mutex_lock(&view->ats->lock);
	view->nr_hooks++;
	pthread_mutex_unlock(&view->ats->lock);
}

void leap__ats_hook_del(struct leap_ats_view *view, struct leap__ats_hook *hook)
{
	if (view->next_hook == &hook->link)
		view->next_hook = hook->link.next;
	leap__list_remove(&hook->link);
	pthread_mutex_lock(&view->ats->lock);
	view->nr_hooks--;
	pthread_mutex_unlock(&view->ats->lock);
}

/* Call every hook: of @range, which is going, or of those that came. */
static void call_hooks(struct leap_ats_view *view,
		       const struct leap__ats_range *range)
{
	struct leap__list *at;

	for (at = view->hooks.next; at != &view->hooks; at = view->next_hook) {
		struct leap__ats_hook *hook =
			leap__list_entry(at, struct leap__ats_hook, link);

		view->next_hook = at->next;
		view->leaving = range;
		if (range && hook->going)
			hook->going(hook, (leap_gpa_t){ range->start },
				    range->last - range->start + 1);
		if (!range && hook->came)
			hook->came(hook);
	}
	view->next_hook = NULL;
	view->leaving = NULL;
}

/* Ranges go one after the other, also when a hook causes the next. */
static void run_going(struct leap_ats_view *view)
{
	struct leap__list *at, ended;

	leap__list_init(&ended);
	while (!view->next_hook &&
	       (at = leap__list_pop(&view->going)) != NULL) {
		struct leap__ats_unmap *unmap =
			leap__list_entry(at, struct leap__ats_leave,
					 link)->unmap;

		call_hooks(view, unmap->range);
		leap__list_push_back(view->pins[unmap->range->slot] ?
				     &view->draining : &ended, at);
	}
	leap__ats_end(&ended);
}

/* On the view's thread: the range is going; wait for what is pinned in it. */
static void view_leave(struct leap__ats_leave *leave)
{
	struct leap_ats_view *view = leave->view;

	if (!view) {
		unmap_step(leave->unmap);
		return;
	}
	leap__ats_refresh(view);
	pthread_mutex_lock(&view->ats->lock);
	leap__list_remove(&leave->link);
	pthread_mutex_unlock(&view->ats->lock);
	leap__list_push_back(&view->going, &leave->link);
	run_going(view);
}

void leap__ats_view_came(struct leap_msg *msg)
{
	struct leap_ats_view *view =
		leap__list_entry(msg, struct leap_ats_view, came);

	if (view->detached) {
		free(view);
		return;
	}
	/* A range that is mapped from here on sends the message anew. */
	pthread_mutex_lock(&view->ats->lock);
	view->came_sent = false;
	pthread_mutex_unlock(&view->ats->lock);
	call_hooks(view, NULL);
	run_going(view);
}

static void view_leave_msg(struct leap_msg *msg)
{
	view_leave((struct leap__ats_leave *)msg);
}

/* Under ats->lock: a table without range @at; NULL = out of memory. */
static struct leap__ats_table *without(const struct leap__ats_table *old,
				       uint32_t at)
{
	struct leap__ats_table *table;

	table = leap__ats_table_new(old->nr - 1);
	if (!table)
		return NULL;
	memcpy(table->range, old->range, at * sizeof(old->range[0]));
	memcpy(table->range + at, old->range + at + 1,
	       (old->nr - at - 1) * sizeof(old->range[0]));
	memcpy(table->start, old->start, at * sizeof(uint64_t));
	memcpy(table->start + at, old->start + at + 1,
	       (old->nr - at - 1) * sizeof(uint64_t));
	return table;
}

/* Under ats->lock: take the range out, make one leave for each view. */
static int unmap_begin(struct leap_ats *ats, uint32_t at,
		       struct leap__ats_unmap **out)
{
	struct leap__ats_unmap *unmap;
	struct leap__ats_table *table;
	struct leap_ats_view *view;
	uint32_t nr = 0;

	for (view = ats->views; view; view = view->next)
		nr++;
	unmap = calloc(1, sizeof(*unmap) + nr * sizeof(unmap->leave[0]));
	table = without(ats->table, at);
	if (!unmap || !table) {
		free(unmap);
		free(table);
		return leap__err(-ENOMEM, "leap_ats_unmap: out of memory");
	}
	unmap->ats = ats;
	unmap->range = ats->table->range[at];
	unmap->nr_left = nr + 1;
	leap__ats_publish(ats, table);
	*out = unmap;
	return (int)nr;
}

/* Under ats->lock, as a view that is not in the list may be gone. The views of
 * this thread are served by the caller, after the lock. */
static void unmap_tell(struct leap_ats *ats, struct leap__ats_unmap *unmap)
{
	struct leap__ats_leave *leave = unmap->leave;
	struct leap_ats_view *view;

	for (view = ats->views; view; view = view->next, leave++) {
		leave->msg.run = view_leave_msg;
		leave->unmap = unmap;
		leave->view = view;
		leave->here = pthread_equal(view->thread, pthread_self());
		leap__list_push_back(&view->leaves, &leave->link);
		if (!leave->here)
			leap_pollgroup_send(view->pg, &leave->msg);
	}
}

static int find_exact(const struct leap_ats *ats, uint64_t gpa, uint64_t bytes)
{
	uint32_t i;

	for (i = 0; bytes && i < ats->table->nr; i++)
		if (ats->table->start[i] == gpa &&
		    ats->table->range[i]->last == gpa + (bytes - 1))
			return (int)i;
	return leap__err(-ENOENT, "leap_ats_unmap: no range of %#llx bytes at "
			 "%#llx", (unsigned long long)bytes,
			 (unsigned long long)gpa);
}

int leap_ats_unmap(struct leap_ats *ats, leap_gpa_t gpa, uint64_t bytes,
		   void (*done)(void *arg), void *arg)
{
	struct leap__ats_unmap *unmap = NULL;
	int at, nr, i;

	pthread_mutex_lock(&ats->lock);
	at = find_exact(ats, gpa.addr, bytes);
	nr = at < 0 ? at : unmap_begin(ats, (uint32_t)at, &unmap);
	if (nr >= 0) {
		unmap->done = done;
		unmap->arg = arg;
		unmap_tell(ats, unmap);
	}
	pthread_mutex_unlock(&ats->lock);
	if (nr < 0)
		return nr;
	for (i = 0; i < nr; i++)
		if (unmap->leave[i].here)
			view_leave(&unmap->leave[i]);
	unmap_step(unmap);
	return 0;
}
