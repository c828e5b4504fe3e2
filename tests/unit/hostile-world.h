/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostile-world.h - the drives of two guests, one of which means harm
 *
 * The bad one's memory lies between guards that nobody may write to; check_good
 * has the other one do verified I/O.
 */
#ifndef LEAP_TESTS_HOSTILE_WORLD_H
#define LEAP_TESTS_HOSTILE_WORLD_H

#include "guest-driver.h"
#include "rand.h"

#include <leapio/bdev.h>
#include <leapio/nvme.h>

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define NQN		"nqn.2026-01.org.example:bad"
#define NQN2		"nqn.2026-01.org.example:good"
#define RAM_BYTES	(4u << 20)	/* of the good one */
/* The bad one's RAM lies between two of nobody. */
#define GUARD		(256u << 10)
#define BAD_RAM		(1u << 20)
#define ROM_BYTES	(64u << 10)
#define ROM_GPA		0x200000000ull
#define MMIO_GPA	0x300000000ull
#define MMIO_BYTES	0x10000u

struct w {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss, *ss2;
	struct leap_vdev *bad;
	struct leap_dmabuf *mem, *rom;
	uint8_t *all, *ram;
	/* The good one. */
	struct leap_vdev *v2;
	struct gd *g2;
	struct gd_cq cq2;
	struct gd_sq sq2;
	uint32_t gen;
	uint64_t sq_at[5], cq_at[5];	/* rings of the bad one */
	struct test_rand r;
	pthread_t scribbler;
	atomic_int stop;
	uint32_t raised;
	/* Of the second half of its memory: is there; 1 it has gone. */
	int half_there, half_gone;
};

static inline struct leap_subsystem *add_ss(struct w *w, const char *nqn)
{
	struct leap_subsystem *ss = serve_subsystem(w->target, nqn);

	serve_ns(w->pg, ss, "memory:4M", 1);
	return ss;
}

static inline struct leap_dmabuf *make_mem(uint64_t bytes)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct leap_dmabuf *buf;

	o.bytes = bytes;
	o.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_dmabuf_create(&o, &buf), 0);
	return buf;
}

static inline void map(struct w *w, uint64_t gpa, uint64_t bytes, uint32_t perm,
		struct leap_dmabuf *buf, uint64_t offset)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = gpa;
	r.bytes = bytes;
	r.perm = perm;
	r.source = buf ? LEAP_ATS_DMABUF : LEAP_ATS_MESSAGE;
	r.buf = buf;
	r.offset = offset;
	assert_int_equal(leap_vdev_mem_add(w->bad, &r), 0);
}

static inline uint8_t guard_at(uint32_t i)
{
	return (uint8_t)(i * 7 + i / 4096);
}

static inline void fill_guards(struct w *w)
{
	uint8_t *rom = leap_dmabuf_addr(w->rom);
	uint32_t i;

	for (i = 0; i < GUARD; i++) {
		w->all[i] = guard_at(i);
		w->all[GUARD + BAD_RAM + i] = guard_at(i);
	}
	for (i = 0; i < ROM_BYTES; i++)
		rom[i] = guard_at(i);
}

static inline void check_guards(struct w *w)
{
	const uint8_t *rom = leap_dmabuf_addr(w->rom);
	uint32_t i;

	for (i = 0; i < GUARD; i++) {
		assert_int_equal(w->all[i], guard_at(i));
		assert_int_equal(w->all[GUARD + BAD_RAM + i], guard_at(i));
	}
	for (i = 0; i < ROM_BYTES; i++)
		assert_int_equal(rom[i], guard_at(i));
}

static inline void add_half(struct w *w)
{
	map(w, GD_BASE + BAD_RAM / 2, BAD_RAM / 2,
	    LEAP_PERM_READ | LEAP_PERM_WRITE, w->mem, GUARD + BAD_RAM / 2);
	w->half_there = 1;
}

static inline void on_raise(void *arg, uint32_t vector)
{
	assert_true(vector < 65);
	((struct w *)arg)->raised++;
}

static inline int set_up(void **state, uint32_t irqs)
{
	struct leap_vdev_opts o = LEAP_VDEV_OPTS_INIT;
	struct w *w = calloc(1, sizeof(*w));
	const uint32_t rw = LEAP_PERM_READ | LEAP_PERM_WRITE;

	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	assert_int_equal(leap_target_create(w->pg, NULL, &w->target), 0);
	w->ss = add_ss(w, NQN);
	w->ss2 = add_ss(w, NQN2);
	o.raise = on_raise;
	o.arg = w;
	o.irqs = irqs;
	assert_int_equal(leap_vdev_create(w->ss, &o, &w->bad), 0);
	w->mem = make_mem(2 * GUARD + BAD_RAM);
	w->rom = make_mem(ROM_BYTES);
	w->all = leap_dmabuf_addr(w->mem);
	w->ram = w->all + GUARD;
	fill_guards(w);
	/* In two halves, so that rings may lie across. */
	map(w, GD_BASE, BAD_RAM / 2, rw, w->mem, GUARD);
	add_half(w);
	map(w, ROM_GPA, ROM_BYTES, LEAP_PERM_READ, w->rom, 0);
	map(w, MMIO_GPA, MMIO_BYTES, rw, NULL, 0);
	assert_int_equal(leap_vdev_create(w->ss2, &o, &w->v2), 0);
	w->g2 = gd_new(w->v2, RAM_BYTES, serve_poll, w->pg);
	gd_up(w->g2, &w->cq2, &w->sq2, 16);
	w->r.s = 2026;
	*state = w;
	return 0;
}

static inline int set_up_msix(void **state)
{
	return set_up(state, LEAP_VDEV_HAS_MSIX);
}

static inline int set_up_msi(void **state)
{
	return set_up(state, LEAP_VDEV_HAS_MSI);
}

static inline int set_up_pin(void **state)
{
	return set_up(state, LEAP_VDEV_HAS_PIN);
}

static inline int tear_down(void **state)
{
	struct w *w = *state;

	check_guards(w);
	gd_unplug(w->pg, w->bad);
	gd_unplug(w->pg, w->v2);
	gd_free(w->g2);
	serve_stop(w->pg, w->target);
	leap_dmabuf_put(w->mem);
	leap_dmabuf_put(w->rom);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
	free(w);
	return 0;
}

/* ---- the good one ---- */

static inline void check_good(struct w *w)
{
	struct gd *g = w->g2;
	uint64_t used = g->used, buf = gd_alloc(g, 16384);
	uint8_t *p = gd_at(g, buf);
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, 64, 32);
	uint32_t i;

	w->gen++;
	for (i = 0; i < 16384; i++)
		p[i] = (uint8_t)(w->gen + i * 3);
	gd_prp(g, &sqe, buf, 16384);
	assert_int_equal(gd_cmd(g, &w->sq2, &sqe), 0);
	memset(p, 0, 16384);
	sqe.opc = LEAP_NVM_READ;
	assert_int_equal(gd_cmd(g, &w->sq2, &sqe), 0);
	for (i = 0; i < 16384; i++)
		assert_int_equal(p[i], (uint8_t)(w->gen + i * 3));
	g->used = used;
}

#endif
