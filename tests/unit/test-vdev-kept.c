/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a virtual drive keeps across the processes that serve it, and what it
 * shows when that is damaged; and what a guest can do to the pin and to resets.
 */
#include "fds.h"
#include "guest-driver.h"


#include <leapio/bdev.h>
#include <leapio/nvme.h>
#include <leapio/record.h>

#include "core/ctrl/vdev_priv.h"

#define NQN		"nqn.2026-01.org.example:kept"
#define RAM_BYTES	(4u << 20)
#define ELSEWHERE	(1ull << 40)

struct w {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *v;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	uint32_t resets;
	int over;
};

static int set_up(void **state)
{
	struct w *w = calloc(1, sizeof(*w));

	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	w->target = serve_target(w->pg, NQN, &w->ss);
	serve_ns(w->pg, w->ss, "memory:1M", 1);
	assert_int_equal(leap_vdev_create(w->ss, NULL, &w->v), 0);
	w->g = gd_new(w->v, RAM_BYTES, serve_poll, w->pg);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct w *w = *state;

	gd_unplug(w->pg, w->v);
	gd_free(w->g);
	serve_stop(w->pg, w->target);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
	free(w);
	return 0;
}

/* As a new process does, after @harm. */
static void replace(struct w *w, void (*harm)(struct w *w))
{
	struct leap__saved s;
	int err;

	while ((err = leap__vdev_save(w->v, &s)) == -EAGAIN)
		serve_poll(w->pg);
	assert_int_equal(err, 0);
	gd_unplug(w->pg, w->v);
	if (harm) {
		w->v = (void *)&s;
		harm(w);
	}
	assert_int_equal(leap__vdev_restore(w->ss, NULL, &s, &w->v), 0);
	w->g->v = w->v;
	leap__saved_free(&s);
}

/* ---- memory that begins in the middle of a file ---- */

static struct leap_dmabuf *part_of_a_file(void)
{
	const uint64_t at = 2u << 20;
	struct leap_dmabuf *buf;
	uint64_t i, word;
	int fd = fds_memory(4 << 20, F_SEAL_SHRINK);

	for (i = 0; i < 4u << 20; i += 4096) {
		word = i;
		assert_int_equal(pwrite(fd, &word, 8, (off_t)i), 8);
	}
	assert_int_equal(leap_dmabuf_import(fd, at, 2 << 20, LEAP_PERM_READ |
					    LEAP_PERM_WRITE, &buf), 0);
	close(fd);
	return buf;
}

static uint64_t word_at(struct w *w, uint64_t addr)
{
	struct leap_ats_view *view;
	uint64_t word = 0;

	assert_int_equal(leap_ats_attach(w->v->guest.ats, w->pg, &view), 0);
	assert_int_equal(leap_ats_copy_in(view, &word, (leap_gpa_t){ addr },
					  sizeof(word)), 0);
	assert_int_equal(leap_ats_detach(view), 0);
	return word;
}

static void test_offset(void **state)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	struct w *w = *state;

	r.source = LEAP_ATS_DMABUF;
	r.buf = part_of_a_file();
	r.gpa.addr = ELSEWHERE;
	r.offset = 1 << 20;
	r.bytes = 1 << 20;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	assert_int_equal(leap_vdev_mem_add(w->v, &r), 0);
	assert_int_equal(word_at(w, ELSEWHERE), 3 << 20);
	replace(w, NULL);
	assert_int_equal(word_at(w, ELSEWHERE), 3 << 20);
	assert_int_equal(word_at(w, ELSEWHERE + 4096), (3 << 20) + 4096);
	leap_dmabuf_put(r.buf);
}

/* ---- a record that nobody can have left so ---- */

static void spoil_record(struct w *w)
{
	const struct leap__saved *s = (const void *)w->v;
	struct leap_record_header h;
	uint8_t *p;
	uint32_t i;
	off_t at, end;

	for (i = 0; i < s->nr_fds; i++) {
		end = lseek(s->fds[i], 0, SEEK_END);
		for (at = 0; at + (off_t)sizeof(h) <= end; at += 64) {
			if (pread(s->fds[i], &h, sizeof(h), at) !=
			    (ssize_t)sizeof(h))
				break;
			if (leap_from_le32(h.magic) != LEAP_RECORD_MAGIC ||
			    leap_from_le16(h.sqid) != 1)
				continue;
			p = mmap(NULL, (size_t)end, PROT_READ | PROT_WRITE,
				 MAP_SHARED, s->fds[i], 0);
			assert_true(p != MAP_FAILED);
			memset(p + at + sizeof(h), 0xff, 128);
			munmap(p, (size_t)end);
			return;
		}
	}
	fail_msg("no record");
}

/* The guest must not wait for a queue that is not there. */
static void test_damaged(void **state)
{
	struct w *w = *state;

	gd_up(w->g, &w->cq, &w->sq, 16);
	replace(w, spoil_record);
	serve_settle(w->pg);
	assert_int_equal(gd_rd4(w->g, LEAP_REG_CSTS),
			 LEAP_CSTS_RDY | LEAP_CSTS_CFS);
	gd_disable(w->g);
	gd_up(w->g, &w->cq, &w->sq, 16);
}

/* ---- the pin ---- */

/* The upper half of a head means nothing, in a shadow page either. */
static void test_pin_head(void **state)
{
	struct w *w = *state;
	struct gd *g = w->g;
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_FLUSH, 1, 0, 1);
	leap_le32 *head;

	gd_up(g, &w->cq, &w->sq, 16);
	assert_int_equal(gd_dbbuf(g), 0);
	sqe.cdw12 = leap_to_le32(0);
	gd_cmd(g, &w->sq, &sqe);
	serve_settle(w->pg);
	assert_int_equal(leap_vdev_intx_level(w->v), 0);
	head = (leap_le32 *)gd_at(g, g->shadow) + 3;
	assert_int_equal(leap_from_le32(*head), 1);
	*head = leap_to_le32(0x50001);
	assert_int_equal(leap_vdev_intx_level(w->v), 0);
	*head = leap_to_le32(1);
}

/* ---- memory that does not come back ---- */

static void set_done(void *arg, int err)
{
	*(int *)arg = err ? err : 1;
}

/* Who asks again for memory that he could not have back in time is told the
 * truth: not yet, and then that it is his. */
static void test_asked_again(void **state)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	struct w *w = *state;
	const leap_gpa_t gpa = { ELSEWHERE };
	struct leap_pins pins = { .nr = 0 };
	struct leap_ats_view *view;
	struct leap_piece piece;
	int done = 0;

	r.source = LEAP_ATS_DMABUF;
	r.buf = w->g->ram;
	r.gpa = gpa;
	r.bytes = 1 << 20;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	assert_int_equal(leap_vdev_mem_add(w->v, &r), 0);
	/* A leaf that has it for a long time. */
	assert_int_equal(leap_ats_attach(w->v->guest.ats, w->pg, &view), 0);
	assert_int_equal(leap_ats_translate(view, gpa, 4096, LEAP_PERM_WRITE,
					    &piece, 1, &pins), 1);
	assert_int_equal(leap_vdev_mem_del(w->v, gpa, r.bytes, set_done,
					   &done), 0);
	/* Not while somebody is still to be told. */
	assert_int_equal(leap_vdev_mem_del(w->v, gpa, r.bytes, set_done,
					   &done), -ENOENT);
	serve_await(w->pg, &done);
	assert_int_equal(done, -ETIMEDOUT);
	done = 0;
	assert_int_equal(leap_vdev_mem_del(w->v, gpa, r.bytes, set_done,
					   &done), 0);
	serve_settle(w->pg);
	assert_int_equal(done, 0);
	serve_await(w->pg, &done);
	assert_int_equal(done, -ETIMEDOUT);
	done = 0;
	assert_int_equal(leap_vdev_mem_del(w->v, gpa, r.bytes, set_done,
					   &done), 0);
	leap_ats_release(view, &pins);
	serve_await(w->pg, &done);
	assert_int_equal(done, 1);
	assert_int_equal(leap_vdev_mem_del(w->v, gpa, r.bytes, set_done,
					   &done), -ENOENT);
	assert_int_equal(leap_ats_detach(view), 0);
}

/* ---- resets ---- */

static void again(void *arg, int err)
{
	struct w *w = arg;

	assert_int_equal(err, 0);
	if (++w->resets == 100)
		w->over = 1;
	else
		leap_vdev_reset(w->v, again, w);
}

/* Who is told that one is over starts the next: that one has to be over too. */
static void test_reset_again(void **state)
{
	struct w *w = *state;

	gd_up(w->g, &w->cq, &w->sq, 16);
	leap_vdev_reset(w->v, again, w);
	while (!w->over) {
		uint32_t before = w->resets;

		serve_poll(w->pg);
		assert_in_range(w->resets, before, before + 1);
	}
	gd_up(w->g, &w->cq, &w->sq, 16);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_offset), T(test_damaged), T(test_pin_head),
		T(test_asked_again), T(test_reset_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
