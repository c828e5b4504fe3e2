/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An address space against a naive table: random maps, unmaps, translations
 * and releases; then the same from several threads at once, with memory that
 * changes as soon as an unmap says that it may.
 */
#include <pthread.h>

#include <leapio/ats.h>
#include <leapio/dmabuf.h>
#include <leapio/pollgroup.h>

#include "rand.h"
#include "unit.h"
#include "util/atomic.h"

#ifndef ROUNDS
#define ROUNDS 1000000u
#endif
#define MEM_BYTES (4u << 20)
#define NR 40u			/* ranges of the naive table */
#define NR_HELD 16u
#define MAX_PIECES 64u
#define SPACE (1ull << 30)	/* addresses are taken from here and the top */

struct naive {
	uint64_t gpa, bytes, offset;
	uint32_t perm, source;
	uint32_t pins;		/* by held commands */
	int mapped, leaving;
};

struct held {
	struct leap_pins pins;
	uint32_t nr, range[LEAP_PINS_MAX];
};

static struct naive table[NR];
static struct held held[NR_HELD];
static struct test_rand state = { 7 };
static uint32_t nr_done, nr_good, nr_bad;
static struct leap_dmabuf *mem;
static struct leap_ats *ats;
static struct leap_ats_view *view;

static uint32_t rnd(uint32_t n)
{
	return test_rand_below(&state, n);
}

static uint64_t some_gpa(void)
{
	uint64_t gpa = (uint64_t)rnd(SPACE >> 12) << 12;

	switch (rnd(8)) {
	case 0: return gpa + rnd(4096);
	case 1: return 0 - (uint64_t)rnd(1 << 20) - 1;
	case 2: return rnd(1 << 16);
	/* Near one that exists, so that overlaps and neighbours are common. */
	case 3: case 4: case 5: {
		const struct naive *n = &table[rnd(NR)];

		return n->gpa + rnd(3) * (n->bytes / 2) - rnd(2);
	}
	default: return gpa;
	}
}

static uint64_t last_of(const struct naive *n)
{
	return n->gpa + (n->bytes - 1);
}

static struct naive *naive_find(uint64_t gpa)
{
	uint32_t i;

	for (i = 0; i < NR; i++)
		if (table[i].mapped && gpa >= table[i].gpa &&
		    gpa <= last_of(&table[i]))
			return &table[i];
	return NULL;
}

static void gone(void *arg)
{
	struct naive *n = arg;

	assert_true(n->leaving);
	assert_int_equal(n->pins, 0);
	n->leaving = 0;
	nr_done++;
}

static void do_map(void)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	struct naive *n = &table[rnd(NR)];
	int want = 0, got;
	uint32_t i;

	if (n->mapped || n->leaving)
		return;
	*n = (struct naive){ .gpa = some_gpa(),
		.bytes = 1 + rnd(rnd(2) ? 1 << 14 : 1 << 20),
		.offset = rnd(MEM_BYTES), .perm = 1 + rnd(3) };
	n->source = rnd(4) ? LEAP_ATS_DMABUF :
		rnd(2) ? LEAP_ATS_REMOTE : LEAP_ATS_MESSAGE;
	if (last_of(n) < n->gpa)
		want = -EINVAL;
	else if (n->source == LEAP_ATS_DMABUF &&
		 n->offset + n->bytes > MEM_BYTES)
		want = -EINVAL;
	for (i = 0; !want && i < NR; i++)
		if (table[i].mapped && table[i].gpa <= last_of(n) &&
		    n->gpa <= last_of(&table[i]))
			want = -EEXIST;
	r.gpa.addr = n->gpa;
	r.bytes = n->bytes;
	r.offset = n->offset;
	r.perm = n->perm;
	r.source = n->source;
	r.buf = n->source == LEAP_ATS_DMABUF ? mem : NULL;
	r.key = 77;
	got = leap_ats_map(ats, &r);
	assert_int_equal(got, want);
	n->mapped = !got;
}

static void do_unmap(void)
{
	struct naive *n = &table[rnd(NR)];
	leap_gpa_t gpa = { n->gpa };

	if (!n->mapped)
		return;
	assert_int_equal(leap_ats_unmap(ats, gpa, n->bytes + 1, gone, n),
			 -ENOENT);
	n->mapped = 0;
	n->leaving = 1;
	assert_int_equal(leap_ats_unmap(ats, gpa, n->bytes, gone, n), 0);
	assert_int_equal(n->leaving, n->pins != 0);
}

static void release(struct held *h)
{
	struct naive *leaving[LEAP_PINS_MAX];
	uint32_t i;

	for (i = 0; i < h->nr; i++) {
		leaving[i] = &table[h->range[i]];
		leaving[i]->pins--;
	}
	leap_ats_release(view, &h->pins);
	for (i = 0; i < h->nr; i++)
		if (!leaving[i]->pins)
			assert_false(leaving[i]->leaving);
	h->nr = 0;
}

/* What the naive table says, piece by piece against what came. */
static void check(struct held *h, uint64_t gpa, uint64_t len, uint32_t perm,
		  const struct leap_piece *pieces, int got)
{
	uint32_t piece = 0, in = 0;
	uint64_t part;

	while (len) {
		struct naive *n = naive_find(gpa);
		uint64_t at;

		if (!n || (n->perm & perm) != perm ||
		    h->nr == LEAP_PINS_MAX) {
			assert_int_equal(got, !n ? -EFAULT :
					 (n->perm & perm) != perm ? -EACCES :
					 -ENOBUFS);
			nr_bad++;
			return;
		}
		n->pins++;
		h->range[h->nr++] = (uint32_t)(n - table);
		at = gpa - n->gpa;
		part = n->bytes - at < len ? n->bytes - at : len;
		gpa += part;
		len -= part;
		while (got > 0 && part) {
			const struct leap_piece *p = &pieces[piece];
			uint64_t step = p->len_bytes - in;

			assert_true(piece < (uint32_t)got);
			if (step > part)
				step = part;
			switch (n->source) {
			case LEAP_ATS_DMABUF:
				assert_ptr_equal((uint8_t *)p->addr + in,
					(uint8_t *)leap_dmabuf_addr(mem) +
					n->offset + at);
				assert_int_equal(p->reach, LEAP_REACH_DIRECT);
				break;
			case LEAP_ATS_REMOTE:
				assert_true(p->remote + in == n->offset + at);
				assert_int_equal(p->key, 77);
				break;
			default:
				assert_true(p->remote + in == n->gpa + at);
				assert_int_equal(p->reach, LEAP_REACH_MESSAGE);
			}
			at += step;
			part -= step;
			in += (uint32_t)step;
			if (in == p->len_bytes) {
				piece++;
				in = 0;
			}
		}
	}
	assert_int_equal(piece, got);
	assert_int_equal(in, 0);
	nr_good++;
}

static void do_translate(void)
{
	struct leap_piece pieces[MAX_PIECES];
	struct held *h = &held[rnd(NR_HELD)];
	uint64_t gpa = some_gpa(), len = 1 + rnd(rnd(3) ? 8192 : 1 << 19);
	uint32_t perm = 1 + rnd(3);
	int got;

	release(h);
	got = leap_ats_translate(view, (leap_gpa_t){ gpa }, len, perm, pieces,
				 MAX_PIECES, &h->pins);
	if (gpa + len - 1 < gpa) {
		assert_int_equal(got, -EFAULT);
		return;
	}
	check(h, gpa, len, perm, pieces, got);
}

static void test_random_against_naive(void **unused)
{
	uint32_t rounds = unit_is_slow() ? ROUNDS / 10 : ROUNDS;
	struct leap_ats_opts opts = LEAP_ATS_OPTS_INIT;
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;
	struct leap_pollgroup *pg;
	uint32_t i;

	(void)unused;
	mo.bytes = MEM_BYTES;
	assert_int_equal(leap_dmabuf_create(&mo, &mem), 0);
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	opts.max_ranges = 2 * NR;
	opts.iotlb_entries = 8;
	assert_int_equal(leap_ats_create(&opts, &ats), 0);
	assert_int_equal(leap_ats_attach(ats, pg, &view), 0);
	for (i = 0; i < rounds; i++) {
		switch (rnd(8)) {
		case 0: do_map(); break;
		case 1: if (rnd(3)) do_unmap(); break;
		case 2: release(&held[rnd(NR_HELD)]); break;
		default: do_translate();
		}
	}
	/* Each kind of answer was frequent. */
	assert_true(nr_done > rounds / 100);
	assert_true(nr_good > rounds / 100);
	assert_true(nr_bad > rounds / 100);
	for (i = 0; i < NR_HELD; i++)
		release(&held[i]);
	assert_int_equal(leap_ats_detach(view), 0);
	assert_int_equal(leap_ats_destroy(ats), 0);
	leap_dmabuf_put(mem);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* --- several threads --- */

#define THREADS 3
#define CELLS 8u
#define CELL 4096u
#define LIVE 0x11
#define DEAD 0xdd

struct shared {
	struct leap_ats *ats;
	struct leap_dmabuf *mem;
	uint32_t stop, ready;
	uint32_t gone[CELLS];
};

struct user {
	struct shared *s;
	pthread_t thread;
	struct test_rand seed;
	uint64_t seen, wrong;
};

/* Reads what it translated, a little later, as a command would. */
static void *use(void *arg)
{
	struct user *u = arg;
	struct leap_pollgroup *pg;
	struct leap_ats_view *v;
	struct leap_pins pins[4] = { { 0 } };
	struct leap_piece piece[4];
	int have[4] = { 0 };
	uint32_t i, turns = 0;

	if (leap_pollgroup_create(NULL, &pg) ||
	    leap_ats_attach(u->s->ats, pg, &v))
		return "set-up";
	leap__fetch_add(&u->s->ready, 1u);
	while (!leap__load_acquire(&u->s->stop)) {
		uint32_t n = test_rand_below(&u->seed, 4);
		uint64_t gpa = test_rand_below(&u->seed, CELLS) * CELL;

		for (i = 0; have[n] && i < CELL; i += 512)
			u->wrong += ((volatile uint8_t *)
				     piece[n].addr)[i] != LIVE;
		leap_ats_release(v, &pins[n]);
		have[n] = leap_ats_translate(v, (leap_gpa_t){ gpa }, CELL,
					     LEAP_PERM_READ, &piece[n], 1,
					     &pins[n]) == 1;
		u->seen += (uint64_t)have[n];
		leap_pollgroup_poll(pg, 0);
		/* There may be more of us than processors: who unmaps would
		 * wait for the end of a time slice, each time. */
		if (!(++turns % 16))
			unit_pause();
	}
	for (i = 0; i < 4; i++)
		leap_ats_release(v, &pins[i]);
	if (leap_ats_detach(v))
		return "detach";
	while (leap_pollgroup_poll(pg, 0))
		;
	return leap_pollgroup_destroy(pg) ? "destroy" : NULL;
}

static void set_gone(void *arg)
{
	leap__store_release((uint32_t *)arg, 1u);
}

static void cell_map(struct shared *s, uint32_t c)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	memset((uint8_t *)leap_dmabuf_addr(s->mem) + c * CELL, LIVE, CELL);
	r.gpa.addr = (uint64_t)c * CELL;
	r.bytes = CELL;
	r.perm = LEAP_PERM_READ;
	r.source = LEAP_ATS_DMABUF;
	r.buf = s->mem;
	r.offset = (uint64_t)c * CELL;
	assert_int_equal(leap_ats_map(s->ats, &r), 0);
}

static void test_unmap_under_translation(void **unused)
{
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;
	struct shared s = { 0 };
	struct user u[THREADS] = { { 0 } };
	uint64_t seen = 0;
	struct test_rand seed = { 99 };
	uint32_t rounds = unit_is_slow() ? 500 : 2000, i, c;
	void *ret;

	(void)unused;
	mo.bytes = CELLS * CELL;
	assert_int_equal(leap_dmabuf_create(&mo, &s.mem), 0);
	assert_int_equal(leap_ats_create(NULL, &s.ats), 0);
	for (c = 0; c < CELLS; c++)
		cell_map(&s, c);
	for (i = 0; i < THREADS; i++) {
		u[i].s = &s;
		u[i].seed.s = i + 1;
		assert_int_equal(pthread_create(&u[i].thread, NULL, use,
						&u[i]), 0);
	}
	while (leap__load_acquire(&s.ready) < THREADS)
		unit_pause();
	for (i = 0; i < rounds; i++) {
		c = test_rand_below(&seed, CELLS);
		leap__store_relaxed(&s.gone[c], 0u);
		assert_int_equal(leap_ats_unmap(s.ats,
				 (leap_gpa_t){ (uint64_t)c * CELL }, CELL,
				 set_gone, &s.gone[c]), 0);
		while (!leap__load_acquire(&s.gone[c]))
			unit_pause();
		/* The memory is the guest's own again. */
		memset((uint8_t *)leap_dmabuf_addr(s.mem) + c * CELL, DEAD,
		       CELL);
		cell_map(&s, c);
	}
	leap__store_release(&s.stop, 1u);
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(u[i].thread, &ret), 0);
		assert_null(ret);
		assert_int_equal(u[i].wrong, 0);
		seen += u[i].seen;
	}
	assert_true(seen > rounds / 2);
	assert_int_equal(leap_ats_destroy(s.ats), 0);
	leap_dmabuf_put(s.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_against_naive),
		cmocka_unit_test(test_unmap_under_translation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
