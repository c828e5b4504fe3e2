/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtual drive and a group in another process while that does not know yet
 * what has changed: shadow doorbells that are being set up, eventfds that come
 * and go.
 */
#include "vdev-remote.h"

#include <sys/eventfd.h>
#include <unistd.h>

/* One cannot reach the pages: none uses them. */
static void test_shadow_refused(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	const struct leap_link_msg *m;
	uint32_t at;

	make_queues(w);
	at = f->nr;
	f->err_of[LEAP_LINK_SHADOW] = -EFAULT;
	assert_int_equal(gd_dbbuf(w->g), LEAP_SC_DATA_TRANSFER);
	f->err_of[LEAP_LINK_SHADOW] = 0;
	serve_settle(w->pg);
	m = said(f, &at, LEAP_LINK_SHADOW);
	assert_int_not_equal(m->u.shadow.doorbells.addr, 0);
	m = said(f, &at, LEAP_LINK_SHADOW);
	assert_int_equal(m->u.shadow.doorbells.addr, 0);
	assert_int_equal(at, f->nr);
}

/* Doorbell Buffer Config; @db is where it has its first page. */
static uint16_t ask_config(struct w *w, uint64_t *db)
{
	struct leap_sqe sqe = { .opc = LEAP_ADM_DBBUF_CONFIG };

	*db = gd_alloc(w->g, GD_PAGE);
	sqe.prp1 = leap_to_le64(*db);
	sqe.prp2 = leap_to_le64(gd_alloc(w->g, GD_PAGE));
	return gd_submit(w->g, &w->g->asq, &sqe);
}

/* Its successor is told as well, before the guest may ring there. */
static void test_shadow_missed(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	const struct leap_link_msg *m;
	struct leap__lmsg *held;
	uint64_t db;
	uint32_t at;
	uint16_t cid;
	int done = 0;

	make_queues(w);
	f->mute = LEAP_LINK_SHADOW;
	cid = ask_config(w, &db);
	serve_settle(w->pg);
	held = f->held;
	leap__vdev_replay(w->v, &f->g, set_err, &done);
	serve_await(w->pg, &done);
	at = f->nr;
	leap__link_answer(held, 0);
	serve_settle(w->pg);
	m = said(f, &at, LEAP_LINK_SHADOW);
	assert_int_equal(m->u.shadow.doorbells.addr, db);
	gd_reap(w->g, &w->g->acq, &w->g->asq);
	assert_false(w->g->done[cid]);
	leap__link_answer(f->held, 0);
	f->mute = 0;
	assert_int_equal(gd_wait(w->g, &w->g->asq, cid), 0);
	assert_int_equal(at, f->nr);
}

/*
 * A reset, and the answer from before it is not there: it is sent again, with
 * other pages, and waits for that. Those of before are left alone.
 */
static void test_shadow_reset(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	const struct leap_link_msg *m;
	struct leap__lmsg *held;
	uint64_t db[3], i;
	uint16_t cid;
	uint32_t at;

	make_queues(w);
	f->mute = LEAP_LINK_SHADOW;
	ask_config(w, &db[0]);
	serve_settle(w->pg);
	held = f->held;
	gd_disable(w->g);
	memset(gd_at(w->g, db[0]), 0xa5, GD_PAGE);
	f->mute = 0;
	make_queues(w);
	ask_config(w, &db[1]);
	serve_settle(w->pg);
	/* It goes with the next one. */
	gd_disable(w->g);
	make_queues(w);
	at = f->nr;
	cid = ask_config(w, &db[2]);
	serve_settle(w->pg);
	gd_reap(w->g, &w->g->acq, &w->g->asq);
	assert_false(w->g->done[cid]);
	assert_int_equal(at, f->nr);
	leap__link_answer(held, 0);
	assert_int_equal(gd_wait(w->g, &w->g->asq, cid), 0);
	m = said(f, &at, LEAP_LINK_SHADOW);
	assert_int_equal(m->u.shadow.doorbells.addr, db[2]);
	assert_int_equal(at, f->nr);
	for (i = 0; i < GD_PAGE; i++)
		assert_int_equal(*(uint8_t *)gd_at(w->g, db[0] + i), 0xa5);
}

/* A log page that waits for the other process when the guest resets: once that
 * is over the memory is the guest's for anything. */
static void test_log_reset(void **state)
{
	struct w *w = *state;
	struct leap_sqe get = { .opc = LEAP_ADM_GET_LOG };
	uint64_t buf = gd_alloc(w->g, GD_PAGE), i;

	make_queues(w);
	get.nsid = leap_to_le32(LEAP_NSID_ALL);
	get.cdw10 = leap_to_le32(127u << 16 | LEAP_LID_SMART);
	gd_prp(w->g, &get, buf, 512);
	w->far->mute = LEAP_LINK_STATS;
	gd_submit(w->g, &w->g->asq, &get);
	serve_settle(w->pg);
	assert_non_null(w->far->held);
	gd_disable(w->g);
	memset(gd_at(w->g, buf), 0xa5, GD_PAGE);
	leap__link_answer(w->far->held, 0);
	w->far->mute = 0;
	serve_settle(w->pg);
	for (i = 0; i < GD_PAGE; i++)
		assert_int_equal(*(uint8_t *)gd_at(w->g, buf + i), 0xa5);
}

/*
 * What was trapped before the answer, and after it, goes into a word that is as
 * the other process has set it up; never into one that the guest has stored to.
 */
static void test_shadow_words(void **state)
{
	struct w *w = *state;
	leap_le32 *page;
	const leap_le32 fresh = leap_to_le32(LEAP__RING_UNRUNG);
	uint64_t db;
	uint16_t cid;

	make_queues(w);
	w->far->mute = LEAP_LINK_SHADOW;
	cid = ask_config(w, &db);
	page = gd_at(w->g, db);
	serve_settle(w->pg);
	/* Set up, whether anybody there does it or not. */
	assert_int_equal(leap_from_le32(page[2]), LEAP__RING_UNRUNG);
	assert_int_equal(leap_from_le32(page[3]), LEAP__RING_UNRUNG);
	page[2] = page[3] = fresh;
	gd_wr4(w->g, LEAP_REG_SQTDBL(1, 0), 3);
	gd_wr4(w->g, LEAP_REG_CQHDBL(1, 0), 1);
	page[3] = leap_to_le32(2);
	leap__link_answer(w->far->held, 0);
	w->far->mute = 0;
	assert_int_equal(gd_wait(w->g, &w->g->asq, cid), 0);
	assert_int_equal(leap_from_le32(page[2]), 3 | LEAP__RING_UNRUNG);
	assert_int_equal(leap_from_le32(page[3]), 2);
	gd_wr4(w->g, LEAP_REG_SQTDBL(1, 0), 5);
	gd_wr4(w->g, LEAP_REG_CQHDBL(1, 0), 3);
	assert_int_equal(leap_from_le32(page[2]), 5 | LEAP__RING_UNRUNG);
	assert_int_equal(leap_from_le32(page[3]), 2);
	page[2] = leap_to_le32(6);
	gd_wr4(w->g, LEAP_REG_SQTDBL(1, 0), 4);
	assert_int_equal(leap_from_le32(page[2]), 6);
	assert_ptr_equal(w->far->kicked, leap__vdev_db(w->v, 1, 0));
}

/* ---- interrupts ---- */

static int pin_is_up(struct w *w)
{
	return !!(gd_cfg(w->g, 0x06, 2) & 0x08);
}

static uint64_t signals(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/*
 * Back from messages to the pin: until the other process has let go of the
 * eventfd, its interrupts go to one that nobody reads any more.
 */
static void test_eventfd_goes(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	int fd = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, fd), 0);
	make_queues(w);
	f->mute = LEAP_LINK_IRQ;
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, -1), 0);
	serve_settle(w->pg);
	assert_false(pin_is_up(w));
	leap__vdev_db(w->v, 1, 1)->posted = leap_to_le32(1);
	leap__link_answer(f->held, 0);
	serve_settle(w->pg);
	assert_true(pin_is_up(w));
	gd_disable(w->g);
	assert_false(pin_is_up(w));
	close(fd);
}

/* It may have as many descriptors as it can: interrupts come by here then. */
static void test_eventfd_refused(void **state)
{
	struct w *w = *state;
	struct far *f = w->far;
	int fd = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 1, fd), 0);
	serve_settle(w->pg);
	make_queues(w);
	/* Those that it has are its own. */
	assert_false(leap__guest_wants_irq(&w->v->guest));
	assert_int_equal(signals(fd), 0);
	f->mute = LEAP_LINK_IRQ;
	assert_int_equal(leap_vdev_irq_fd(w->v, LEAP_VDEV_MSIX, 0, fd), 0);
	serve_settle(w->pg);
	assert_int_equal(signals(fd), 0);
	leap__link_answer(f->held, -EMFILE);
	serve_settle(w->pg);
	assert_true(leap__guest_wants_irq(&w->v->guest));
	/* What was raised before it knew that is not known to anybody. */
	assert_int_equal(signals(fd), 1);
	leap__vdev_irq(w->v, 0);
	assert_int_equal(signals(fd), 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_shadow_refused),
		T(test_shadow_missed),
		T(test_shadow_reset),
		T(test_log_reset),
		T(test_shadow_words),
		T(test_eventfd_goes),
		T(test_eventfd_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
