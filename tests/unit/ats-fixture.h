/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ats-fixture.h - an address space of two ranges, a view of it, and where its
 * bytes are, by a model
 */
#ifndef LEAP_TESTS_ATS_FIXTURE_H
#define LEAP_TESTS_ATS_FIXTURE_H

#include "unit.h"

#include <leapio/ats.h>
#include <leapio/dmabuf.h>
#include <leapio/endian.h>
#include <leapio/pollgroup.h>

#define PAGE 4096u
#define RAM_PAGES 256u
#define LOW 0x10000ull		/* guest address of the first range */
#define HIGH 0x100000000ull	/* of the second */
#define MAX_PIECES 600

struct ats_world {
	struct leap_pollgroup *pg;
	struct leap_dmabuf *ram[2];
	struct leap_ats *ats;
	struct leap_ats_view *view;
	struct leap_piece pieces[MAX_PIECES];
	struct leap_pins pins;
	uint32_t nr;
	uint16_t status;
	int unmapped;
};

static inline void ats_map(struct ats_world *w, int i, uint64_t gpa,
			   uint32_t perm)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = gpa;
	r.bytes = RAM_PAGES * PAGE;
	r.perm = perm;
	r.source = LEAP_ATS_DMABUF;
	r.buf = w->ram[i];
	assert_int_equal(leap_ats_map(w->ats, &r), 0);
}

static inline int ats_set_up(void **state)
{
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;
	struct ats_world *w = calloc(1, sizeof(*w));
	int i;

	assert_non_null(w);
	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	opts.bytes = RAM_PAGES * PAGE;
	for (i = 0; i < 2; i++)
		assert_int_equal(leap_dmabuf_create(&opts, &w->ram[i]), 0);
	assert_int_equal(leap_ats_create(NULL, &w->ats), 0);
	assert_int_equal(leap_ats_attach(w->ats, w->pg, &w->view), 0);
	ats_map(w, 0, LOW, LEAP_PERM_READ | LEAP_PERM_WRITE);
	ats_map(w, 1, HIGH, LEAP_PERM_READ | LEAP_PERM_WRITE);
	*state = w;
	return 0;
}

static inline int ats_tear_down(void **state)
{
	struct ats_world *w = *state;

	leap_ats_release(w->view, &w->pins);
	assert_int_equal(leap_ats_detach(w->view), 0);
	assert_int_equal(leap_ats_destroy(w->ats), 0);
	leap_dmabuf_put(w->ram[0]);
	leap_dmabuf_put(w->ram[1]);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
	free(w);
	return 0;
}

/* Where a guest address is in this process, by the model. */
static inline uint8_t *ats_host(struct ats_world *w, uint64_t gpa)
{
	if (gpa >= LOW && gpa < LOW + RAM_PAGES * PAGE)
		return (uint8_t *)leap_dmabuf_addr(w->ram[0]) + (gpa - LOW);
	if (gpa >= HIGH && gpa < HIGH + RAM_PAGES * PAGE)
		return (uint8_t *)leap_dmabuf_addr(w->ram[1]) + (gpa - HIGH);
	return NULL;
}

#define ATS_T(f) cmocka_unit_test_setup_teardown(f, ats_set_up, ats_tear_down)

#endif
