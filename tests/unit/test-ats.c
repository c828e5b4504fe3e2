/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Address spaces: ranges, pins and unmapping, and those who are told of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#include "ats/ats.h"
#include "ats-fixture.h"
#include "fds.h"

static void test_translate_spans_and_merges(void **state)
{
	struct ats_world *w = *state;
	int n;

	n = leap_ats_translate(w->view, (leap_gpa_t){ LOW + 100 }, 3 * PAGE,
			       LEAP_PERM_WRITE, w->pieces, 1, &w->pins);
	assert_int_equal(n, 1);
	assert_ptr_equal(w->pieces[0].addr, ats_host(w, LOW + 100));
	assert_int_equal(w->pieces[0].len_bytes, 3 * PAGE);
	assert_ptr_equal(w->pieces[0].buf, w->ram[0]);
	assert_int_equal(w->pins.nr, 1);
	/* A hole behind the range. */
	assert_int_equal(leap_ats_translate(w->view, (leap_gpa_t){ LOW +
			 RAM_PAGES * PAGE - 1 }, 2, LEAP_PERM_READ, w->pieces,
			 4, &w->pins), -EFAULT);
	assert_int_equal(leap_ats_translate(w->view, (leap_gpa_t){
			 UINT64_MAX - 1 }, 16, LEAP_PERM_READ, w->pieces, 4,
			 &w->pins), -EFAULT);
	assert_int_equal(leap_ats_translate(w->view, (leap_gpa_t){ LOW }, 0,
			 LEAP_PERM_READ, w->pieces, 4, &w->pins), -EINVAL);
}

static void test_map_refuses(void **state)
{
	struct ats_world *w = *state;
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = LOW + PAGE;
	r.bytes = PAGE;
	r.perm = LEAP_PERM_READ;
	r.source = LEAP_ATS_MESSAGE;
	assert_int_equal(leap_ats_map(w->ats, &r), -EEXIST);
	assert_last_error("leap_ats_map: ");
	r.gpa.addr = LOW - PAGE;
	r.bytes = PAGE + 1;
	assert_int_equal(leap_ats_map(w->ats, &r), -EEXIST);
	r.gpa.addr = UINT64_MAX - 10;
	r.bytes = 100;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	r.bytes = 0;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	r.gpa.addr = 0;
	r.bytes = 16;
	r.perm = 8;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	r.perm = LEAP_PERM_READ;
	r.source = 77;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	/* The very last bytes of the address space are a range like others. */
	r.source = LEAP_ATS_MESSAGE;
	r.gpa.addr = UINT64_MAX - 15;
	assert_int_equal(leap_ats_map(w->ats, &r), 0);
	assert_int_equal(leap_ats_translate(w->view, r.gpa, 16, LEAP_PERM_READ,
					    w->pieces, 1, &w->pins), 1);
	assert_int_equal(w->pieces[0].reach, LEAP_REACH_MESSAGE);
	assert_int_equal(leap_ats_translate(w->view, r.gpa, 16,
			 LEAP_PERM_WRITE, w->pieces, 1, &w->pins), -EACCES);
}

/* From anywhere in a file; from one that may shrink only if that is trusted. */
static void test_map_files(void **state)
{
	struct ats_world *w = *state;
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	char text[8] = { 0 };

	r.fd = fds_memory(3 * PAGE, F_SEAL_SHRINK);
	assert_int_equal(pwrite(r.fd, "here", 4, PAGE + 100), 4);
	r.gpa.addr = 0x100;
	r.bytes = 2 * PAGE - 100;
	r.offset = PAGE + 100;
	r.perm = LEAP_PERM_READ;
	assert_int_equal(leap_ats_map(w->ats, &r), 0);
	assert_int_equal(leap_ats_copy_in(w->view, text, r.gpa, 4), 0);
	assert_string_equal(text, "here");
	r.gpa.addr = 0x10000000;
	r.bytes++;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	close(r.fd);
	r.fd = fds_memory(PAGE, 0);
	assert_int_equal(pwrite(r.fd, "there", 5, 0), 5);
	r.offset = 0;
	r.bytes = PAGE;
	assert_int_equal(leap_ats_map(w->ats, &r), -EACCES);
	assert_last_error("F_SEAL_SHRINK");
	r.perm |= LEAP_PERM_UNSEALED;
	assert_int_equal(leap_ats_map(w->ats, &r), 0);
	assert_int_equal(leap_ats_copy_in(w->view, text, r.gpa, 5), 0);
	assert_string_equal(text, "there");
	assert_int_equal(leap_ats_copy_out(w->view, r.gpa, text, 1), -EACCES);
	r.gpa.addr += PAGE;
	r.bytes++;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	close(r.fd);
}

static void count(void *arg)
{
	((struct ats_world *)arg)->unmapped++;
}

static void test_unmap_waits_for_pins(void **state)
{
	struct ats_world *w = *state;
	leap_gpa_t low = { LOW };

	assert_int_equal(leap_ats_translate(w->view, low, PAGE, LEAP_PERM_READ,
					    w->pieces, 1, &w->pins), 1);
	assert_int_equal(leap_ats_unmap(w->ats, low, PAGE, count, w), -ENOENT);
	assert_int_equal(leap_ats_unmap(w->ats, low, RAM_PAGES * PAGE, count,
					w), 0);
	assert_int_equal(w->unmapped, 0);
	assert_int_equal(leap_ats_detach(w->view), -EBUSY);
	/* Nothing new, not even from the cache; the old pin still holds. */
	struct leap_pins other = { 0 };

	assert_int_equal(leap_ats_translate(w->view, low, PAGE, LEAP_PERM_READ,
			 w->pieces, 1, &other), -EFAULT);
	*(volatile uint8_t *)ats_host(w, LOW) = 1;
	/* The same address may be mapped anew while the old range drains. */
	ats_map(w, 0, LOW, LEAP_PERM_READ);
	assert_int_equal(leap_ats_translate(w->view, low, PAGE, LEAP_PERM_READ,
					    w->pieces, 1, &other), 1);
	leap_ats_release(w->view, &w->pins);
	assert_int_equal(w->unmapped, 1);
	leap_ats_release(w->view, &other);
	assert_int_equal(w->unmapped, 1);
}

static void test_unmap_without_pins(void **state)
{
	struct ats_world *w = *state;

	assert_int_equal(leap_ats_unmap(w->ats, (leap_gpa_t){ LOW },
					RAM_PAGES * PAGE, count, w), 0);
	assert_int_equal(w->unmapped, 1);
}

/* A queue: holds its ring for as long as the range is there. */
struct ring {
	struct leap__ats_hook hook;
	struct leap_ats_view *view;
	struct leap_pins pins;
	struct ring *other;	/* taken out when this one is told, or NULL */
	leap_gpa_t gpa;
	int going, came;
	int later;		/* does not let go at once */
	int renewed;		/* another range is there already */
};

static void ring_take(struct ring *r)
{
	struct leap_piece piece;

	if (leap_ats_translate(r->view, r->gpa, PAGE, LEAP_PERM_READ, &piece, 1,
			       &r->pins) < 0)
		leap_ats_release(r->view, &r->pins);
}

static void ring_going(struct leap__ats_hook *hook, leap_gpa_t gpa,
		       uint64_t bytes)
{
	struct ring *r = (struct ring *)hook;
	struct leap_pins none = { 0 };
	struct leap_piece piece;

	if (r->gpa.addr - gpa.addr >= bytes)
		return;
	r->going++;
	assert_int_equal(leap_ats_translate(r->view, r->gpa, PAGE,
			 LEAP_PERM_READ, &piece, 1, &none), r->renewed ? 1 :
			 -EFAULT);
	leap_ats_release(r->view, &none);
	if (r->other)
		leap__ats_hook_del(r->view, &r->other->hook);
	r->other = NULL;
	if (!r->later)
		leap_ats_release(r->view, &r->pins);
}

static void ring_came(struct leap__ats_hook *hook)
{
	struct ring *r = (struct ring *)hook;

	r->came++;
	if (!r->pins.nr)
		ring_take(r);
}

static void ring_init(struct ats_world *w, struct ring *r, uint64_t gpa)
{
	*r = (struct ring){ .view = w->view, .gpa = { gpa } };
	r->hook.going = ring_going;
	r->hook.came = ring_came;
	leap__ats_hook_add(w->view, &r->hook);
	ring_take(r);
}

static void test_hooks_let_go_and_take(void **state)
{
	struct ats_world *w = *state;
	struct ring low, high;

	ring_init(w, &low, LOW);
	ring_init(w, &high, HIGH);
	assert_int_equal(low.pins.nr, 1);
	assert_int_equal(leap_ats_unmap(w->ats, low.gpa, RAM_PAGES * PAGE,
					count, w), 0);
	assert_int_equal(w->unmapped, 1);
	assert_int_equal(low.going, 1);
	assert_int_equal(high.going, 0);
	assert_int_equal(low.pins.nr, 0);
	/* One message for several maps, at the next poll. */
	ats_map(w, 0, LOW, LEAP_PERM_READ);
	ats_map(w, 1, HIGH + RAM_PAGES * PAGE, LEAP_PERM_READ);
	assert_int_equal(low.came, 0);
	leap_pollgroup_poll(w->pg, 0);
	assert_int_equal(low.came, 1);
	assert_int_equal(high.came, 1);
	assert_int_equal(low.pins.nr, 1);
	/* Who cannot let go at once does it later. */
	low.later = 1;
	assert_int_equal(leap_ats_unmap(w->ats, low.gpa, RAM_PAGES * PAGE,
					count, w), 0);
	assert_int_equal(low.going, 2);
	assert_int_equal(w->unmapped, 1);
	leap_ats_release(w->view, &low.pins);
	assert_int_equal(w->unmapped, 2);
	leap__ats_hook_del(w->view, &low.hook);
	leap__ats_hook_del(w->view, &high.hook);
	leap_ats_release(w->view, &high.pins);
	ats_map(w, 0, LOW, LEAP_PERM_READ);
	leap_pollgroup_poll(w->pg, 0);
	assert_int_equal(low.came, 1);
}

static void test_hook_takes_out_its_neighbour(void **state)
{
	struct ats_world *w = *state;
	struct ring a, b, c;

	ring_init(w, &a, LOW);
	ring_init(w, &b, LOW);
	ring_init(w, &c, LOW);
	leap_ats_release(w->view, &b.pins);
	a.other = &b;
	assert_int_equal(leap_ats_unmap(w->ats, a.gpa, RAM_PAGES * PAGE, count,
					w), 0);
	assert_int_equal(a.going, 1);
	assert_int_equal(b.going, 0);
	assert_int_equal(c.going, 1);
	assert_int_equal(w->unmapped, 1);
	leap__ats_hook_del(w->view, &a.hook);
	leap__ats_hook_del(w->view, &c.hook);
}

struct elsewhere {
	struct ats_world *w;
	sem_t ready, go;
	struct ring ring;
	int polls_first;
};

static void *elsewhere(void *arg)
{
	struct elsewhere *e = arg;
	struct leap_pollgroup *pg;
	struct leap_ats_view *view;

	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	assert_int_equal(leap_ats_attach(e->w->ats, pg, &view), 0);
	e->ring = (struct ring){ .view = view, .gpa = { LOW },
				 .renewed = 1 };
	e->ring.hook.going = ring_going;
	e->ring.hook.came = ring_came;
	leap__ats_hook_add(view, &e->ring.hook);
	ring_take(&e->ring);
	sem_post(&e->ready);
	sem_wait(&e->go);
	if (e->polls_first)
		leap_pollgroup_poll(pg, 0);
	leap__ats_hook_del(view, &e->ring.hook);
	leap_ats_release(view, &e->ring.pins);
	/* Its messages may still be on their way. */
	assert_int_equal(leap_ats_detach(view), 0);
	leap_pollgroup_poll(pg, 0);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
	return NULL;
}

static void test_messages_to_another_thread(void **state)
{
	struct ats_world *w = *state;
	struct elsewhere e = { .w = w };
	pthread_t thread;

	for (e.polls_first = 0; e.polls_first < 2; e.polls_first++) {
		w->unmapped = 0;
		sem_init(&e.ready, 0, 0);
		sem_init(&e.go, 0, 0);
		assert_int_equal(pthread_create(&thread, NULL, elsewhere, &e),
				 0);
		sem_wait(&e.ready);
		assert_int_equal(e.ring.pins.nr, 1);
		assert_int_equal(leap_ats_unmap(w->ats, (leap_gpa_t){ LOW },
						RAM_PAGES * PAGE, count, w), 0);
		ats_map(w, 0, LOW, LEAP_PERM_READ);
		assert_int_equal(w->unmapped, 0);
		sem_post(&e.go);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(w->unmapped, 1);
		assert_int_equal(e.ring.going, e.polls_first);
		assert_int_equal(e.ring.came, e.polls_first);
		sem_destroy(&e.ready);
		sem_destroy(&e.go);
	}
}

static void test_copies(void **state)
{
	struct ats_world *w = *state;
	uint8_t out[300], in[300];
	uint32_t i;

	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	assert_int_equal(leap_ats_copy_out(w->view, (leap_gpa_t){ HIGH + 3 },
					   out, sizeof(out)), 0);
	assert_int_equal(leap_ats_copy_in(w->view, in, (leap_gpa_t){ HIGH + 3 },
					  sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(leap_ats_copy_in(w->view, in, (leap_gpa_t){ 4 }, 4),
			 -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ATS_T(test_translate_spans_and_merges),
		ATS_T(test_map_refuses),
		ATS_T(test_map_files),
		ATS_T(test_unmap_waits_for_pins),
		ATS_T(test_unmap_without_pins),
		ATS_T(test_hooks_let_go_and_take),
		ATS_T(test_hook_takes_out_its_neighbour),
		ATS_T(test_messages_to_another_thread),
		ATS_T(test_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
