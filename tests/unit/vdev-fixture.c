/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdev-fixture.c - see vdev-fixture.h
 */
#include "vdev-fixture.h"

#include <leapio/bdev.h>
#include <leapio/nvme.h>

#include <unistd.h>

#define NQN		"nqn.2026-01.org.example:vdev"

void vx_poll(void *arg)
{
	serve_poll(((struct vx *)arg)->pg);
}

void vx_settle(struct vx *w)
{
	serve_settle(w->pg);
}

static void on_raise(void *arg, uint32_t vector)
{
	((struct vx *)arg)->raised[vector]++;
}

static void on_intx(void *arg, int level)
{
	struct vx *w = arg;

	assert_int_not_equal(w->level, level);
	w->level = level;
	w->intx_changes++;
}

static void on_log(void *arg, enum leap_log_level level, const char *text)
{
	(void)level;
	(void)text;
	((struct vx *)arg)->logged++;
}

struct leap_vdev_opts vx_opts(struct vx *w)
{
	struct leap_vdev_opts o = LEAP_VDEV_OPTS_INIT;

	o.raise = on_raise;
	o.intx = on_intx;
	o.arg = w;
	return o;
}

void vx_make(struct vx *w, const struct leap_vdev_opts *o)
{
	assert_int_equal(leap_vdev_create(w->ss, o, &w->v), 0);
	w->g = gd_new(w->v, VX_RAM, vx_poll, w);
}

void vx_drop(struct vx *w)
{
	gd_unplug(w->pg, w->v);
	gd_free(w->g);
	w->v = NULL;
	w->g = NULL;
}

int vx_set_up_bare(void **state)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_subsystem_opts ss = LEAP_SUBSYSTEM_OPTS_INIT;
	struct vx *w = calloc(1, sizeof(*w));

	po.log = on_log;
	po.log_arg = w;
	assert_int_equal(leap_pollgroup_create(&po, &w->pg), 0);
	assert_int_equal(leap_target_create(w->pg, NULL, &w->target), 0);
	ss.nqn = NQN;
	ss.allow_any_host = 1;
	ss.max_nsid = 16;
	assert_int_equal(leap_subsystem_create(w->target, &ss, &w->ss), 0);
	serve_ns(w->pg, w->ss, "memory:16M", 1);
	*state = w;
	return 0;
}

int vx_set_up(void **state)
{
	struct leap_vdev_opts o;
	struct vx *w;

	vx_set_up_bare(state);
	w = *state;
	o = vx_opts(w);
	vx_make(w, &o);
	return 0;
}

int vx_tear_down(void **state)
{
	struct vx *w = *state;
	int i;

	if (w->v)
		vx_drop(w);
	serve_stop(w->pg, w->target);
	/* Who drives a device takes leave of it in later polls. */
	for (i = 0; leap_pollgroup_destroy(w->pg); i++) {
		assert_true(i < 5000);
		leap_pollgroup_wait(w->pg, 1000000);
	}
	free(w);
	return 0;
}

/* Data of @nr blocks out and in again over the queue of the test. */
void vx_check_io(struct vx *w, struct gd_sq *sq, uint32_t nr, uint32_t seed)
{
	struct gd *g = w->g;
	uint64_t used = g->used, buf = gd_alloc(g, nr * 512ull);
	uint8_t *p = gd_at(g, buf);
	struct leap_sqe sqe;
	uint32_t i;

	for (i = 0; i < nr * 512; i++)
		p[i] = (uint8_t)(seed + i / 512 * 3 + i);
	sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, seed % 64, nr);
	gd_prp(g, &sqe, buf, nr * 512);
	assert_int_equal(gd_cmd(g, sq, &sqe), 0);
	memset(p, 0, nr * 512ull);
	sqe.opc = LEAP_NVM_READ;
	assert_int_equal(gd_cmd(g, sq, &sqe), 0);
	for (i = 0; i < nr * 512; i++)
		assert_int_equal(p[i], (uint8_t)(seed + i / 512 * 3 + i));
	g->used = used;
}

/* Leaves @nr commands under way in a slow namespace. */
void vx_start_slow(struct vx *w, uint32_t nr)
{
	struct gd *g = w->g;
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_READ, 2, 0, 8);
	uint32_t i;

	sqe.prp1 = leap_to_le64(gd_alloc(g, GD_PAGE));
	for (i = 0; i < nr; i++)
		gd_push(g, &w->sq, &sqe);
	gd_ring_sq(g, &w->sq);
	for (i = 0; i < 10; i++)
		vx_poll(w);
}

uint64_t vx_taken(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

void vx_unmask(struct gd *g, uint32_t vector, uint32_t data)
{
	uint64_t at = LEAP_VDEV_MSIX_TABLE + 16ull * vector;

	gd_wr8(g, at, 0xfee00000ull + vector * 0x1000);
	gd_wr4(g, at + 8, data);
	gd_wr4(g, at + 12, 0);
}
