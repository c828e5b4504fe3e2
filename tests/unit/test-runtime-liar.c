/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Agents that lie, which a runtime must survive: whatever it is told of
 * controllers, memory, queues and interrupts, it refuses or serves, and goes
 * on.
 */
#include "fds.h"
#include "runtime-fixture.h"

#include <errno.h>
#include <sys/eventfd.h>

static void lie_about_ctrls(struct rf *s, int good, int bad, int ev)
{
	struct leap_link_msg m;

	m = rf_ctrl_add(1 << 20);
	assert_true(rf_ask(s, &m, -1) < 0);
	assert_true(rf_ask(s, &m, bad) < 0);	/* could be cut off */
	assert_true(rf_ask(s, &m, ev) < 0);
	m = rf_ctrl_add(2 << 20);
	assert_true(rf_ask(s, &m, good) < 0);
	m = rf_ctrl_add(0);
	assert_true(rf_ask(s, &m, good) < 0);
	m = rf_ctrl_add(1 << 20);
	m.u.ctrl.max_data_bytes = 1;
	assert_true(rf_ask(s, &m, good) < 0);
	m = rf_ctrl_add(1 << 20);
	strcpy(m.u.ctrl.nqn, "not an nqn");
	assert_true(rf_ask(s, &m, good) < 0);
	m = liar_say(LEAP_LINK_MEM_ADD);
	assert_int_equal(rf_ask(s, &m, good), -ENOENT);
	m = rf_ctrl_add(1 << 20);
	assert_int_equal(rf_ask(s, &m, good), 0);
	assert_true(rf_ask(s, &m, good) < 0);
}

static void lie_about_memory(struct rf *s, int good, int bad, int null)
{
	struct leap_link_msg m;

	m = liar_say(LEAP_LINK_MEM_ADD);
	m.u.mem.bytes = 1 << 20;
	m.u.mem.perm = ~0u;
	assert_true(rf_ask(s, &m, -1) < 0);
	assert_true(rf_ask(s, &m, null) < 0);
	assert_int_equal(rf_ask(s, &m, good), 0);
	assert_int_equal(rf_ask(s, &m, good), -EEXIST);
	/* A file that can be cut short: only when the agent says so. */
	m.u.mem.gpa.addr = 1ull << 32;
	m.u.mem.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	assert_int_equal(rf_ask(s, &m, bad), -EACCES);
	m.u.mem.perm |= LEAP_PERM_UNSEALED;
	assert_int_equal(rf_ask(s, &m, bad), 0);
}

/* Rings and records outside of what there is. */
static void lie_about_queues(struct rf *s)
{
	struct leap_link_msg m;

	m = liar_say(LEAP_LINK_CQ_ADD);
	m.u.cq.cqid = 1;
	m.u.cq.depth = 64;
	m.u.cq.doorbell = 1 << 20;
	assert_true(rf_ask(s, &m, -1) < 0);
	m.u.cq.doorbell = UINT64_MAX - 63;
	assert_true(rf_ask(s, &m, -1) < 0);
	m.u.cq.doorbell = 0;
	m.u.cq.gpa.addr = 1 << 20;
	assert_true(rf_ask(s, &m, -1) < 0);
	m.u.cq.gpa.addr = 4096;
	m.u.cq.depth = UINT32_MAX;
	assert_true(rf_ask(s, &m, -1) < 0);
	m.u.cq.depth = 64;
	m.u.cq.vector = UINT32_MAX;
	assert_int_equal(rf_ask(s, &m, -1), 0);
	assert_true(rf_ask(s, &m, -1) < 0);
	m = liar_say(LEAP_LINK_QP_ADD);
	m.u.qp.qid = 1;
	m.u.qp.cqid = 2;
	m.u.qp.sq_depth = 64;
	m.u.qp.page_bytes = 4096;
	assert_true(rf_ask(s, &m, -1) < 0);
	m.u.qp.cqid = 1;
	m.u.qp.sq.addr = 1 << 20;
	assert_true(rf_ask(s, &m, -1) < 0);
	m.u.qp.sq.addr = 8192;
	m.u.qp.record = 1 << 20;
	m.u.qp.record_bytes = 4096;
	assert_true(rf_ask(s, &m, -1) < 0);
}

static void test_lying_agent(void **state)
{
	struct rf *s = rf_new();
	int good = fds_memory(1 << 20, F_SEAL_SHRINK);
	int bad = fds_memory(1 << 20, 0);
	int ev = eventfd(0, EFD_CLOEXEC), null;
	struct leap_link_msg m;

	(void)state;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	rf_go(s);
	lie_about_ctrls(s, good, bad, ev);
	lie_about_memory(s, good, bad, null);
	lie_about_queues(s);
	m = liar_say(LEAP_LINK_IRQ);
	assert_true(rf_ask(s, &m, null) < 0);
	m.u.irq.vector = UINT32_MAX;
	assert_true(rf_ask(s, &m, ev) < 0);
	/* What is not there is gone. */
	m = liar_say(LEAP_LINK_QP_DEL);
	m.u.qp.qid = 9;
	assert_int_equal(rf_ask(s, &m, -1), 0);
	m = liar_say(LEAP_LINK_MEM_DEL);
	m.u.mem.bytes = 1 << 20;
	assert_true(rf_ask(s, &m, -1) <= 0);
	m = liar_say(LEAP_LINK_CTRL_DEL);
	assert_int_equal(rf_ask(s, &m, -1), 0);
	close(good);
	close(bad);
	close(ev);
	close(null);
	liar_end(&s->l);
	rf_free(s);
}

static void test_random_agent(void **state)
{
	struct rf *s = rf_new();
	struct test_rand r = { 6 };
	struct leap_link_msg m;
	int round, i, fd, good;

	(void)state;
	for (round = 0; round < 60; round++) {
		rf_go(s);
		good = fds_memory(1 << 20, F_SEAL_SHRINK);
		m = rf_ctrl_add(1 << 20);
		assert_int_equal(rf_ask(s, &m, good), 0);
		m = liar_say(LEAP_LINK_MEM_ADD);
		m.u.mem.bytes = 1 << 20;
		m.u.mem.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
		assert_int_equal(rf_ask(s, &m, good), 0);
		close(good);
		m = liar_say(LEAP_LINK_CQ_ADD);
		m.u.cq.cqid = 1;
		m.u.cq.depth = 16;
		assert_int_equal(rf_ask(s, &m, -1), 0);
		for (i = 0; i < 60; i++) {
			m = liar_anything(&r, 5);
			m.flags = 0;
			if (m.type == LEAP_LINK_QP_ADD) {
				m.u.qp.qid %= 4;
				m.u.qp.cqid %= 2;
				m.u.qp.sq_depth %= 64;
				m.u.qp.sq.addr &= 0xff000;
				m.u.qp.record_bytes = 0;
				m.u.qp.doorbell &= 0xfffc0;
			}
			fd = liar_any_fd(&r);
			liar_send_msg(&s->l, &m, fd);
			if (fd >= 0)
				close(fd);
			leap_pollgroup_poll(s->pg, 0);
			while (liar_hear(&s->l, &m) > 0)
				;
		}
		liar_end(&s->l);
	}
	rf_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lying_agent),
		cmocka_unit_test(test_random_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
