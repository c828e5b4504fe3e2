/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Agents that lie, which a runtime must survive: whatever it is told of
 * controllers, memory, queues and interrupts, it refuses or serves, and goes
 * on.
 */
#include "fds.h"
#include "liar.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/un.h>

struct served {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_runtime *rt;
	struct liar l;
	int listen_fd;
	char dir[64], sock[96];
};

static struct served *served_new(void)
{
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_runtime_opts ro = LEAP_RUNTIME_OPTS_INIT;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct served *s = calloc(1, sizeof(*s));

	strcpy(s->dir, "/tmp/leap-liar-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->sock, sizeof(s->sock), "%s/agent", s->dir);
	strcpy(sa.sun_path, s->sock);
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
			      SOCK_NONBLOCK, 0);
	assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&sa,
			      sizeof(sa)), 0);
	assert_int_equal(listen(s->listen_fd, 4), 0);
	assert_int_equal(leap_pollgroup_create(NULL, &s->pg), 0);
	assert_int_equal(leap_target_create(s->pg, NULL, &s->target), 0);
	so.nqn = AF_NQN;
	assert_int_equal(leap_subsystem_create(s->target, &so, &s->ss), 0);
	ro.agent = s->sock;
	ro.retry_ms = 1;
	assert_int_equal(leap_runtime_create(s->target, &ro, &s->rt), 0);
	return s;
}

static int hear_served(struct served *s, struct leap_link_msg *m)
{
	struct unit_lived lived = { 0 };
	int rc;

	while (!(rc = liar_hear(&s->l, m))) {
		leap_pollgroup_poll(s->pg, 0);
		assert_true(af_lives(&lived, 5000));
	}
	return rc;
}

/* Connected, and told to go. */
static void served_go(struct served *s)
{
	struct unit_lived lived = { 0 };
	struct leap_link_msg m;
	int fd;

	while ((fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC)) < 0) {
		leap_pollgroup_poll(s->pg, 0);
		assert_true(af_lives(&lived, 5000));
	}
	liar_init(&s->l, fd);
	assert_int_equal(hear_served(s, &m), 1);
	assert_int_equal(m.type, LEAP_LINK_HELLO);
	m.u.hello.role = LEAP_LINK_AGENT;
	liar_reply(&s->l, &m, 0, -1);
	m = liar_say(LEAP_LINK_RESUME);
	m.id = 1;
	liar_send_msg(&s->l, &m, -1);
	assert_int_equal(hear_served(s, &m), 1);
	assert_int_equal(m.type, LEAP_LINK_RESUME);
	assert_int_equal(m.err, 0);
}

/* The runtime's answer to @m. */
static int ask(struct served *s, struct leap_link_msg *m, int fd)
{
	struct leap_link_msg got;

	m->id = ++s->l.next_id + 1000;
	m->cntlid = 5;
	liar_send_msg(&s->l, m, fd);
	do
		assert_int_equal(hear_served(s, &got), 1);
	while (!(got.flags & LEAP_LINK_REPLY) || got.id != m->id);
	assert_int_equal(got.type, m->type);
	return got.err;
}

static void served_free(struct served *s)
{
	struct unit_lived lived = { 0 };
	int gone = 0, destroyed = 0;

	leap_runtime_destroy(s->rt, set_flag, &gone);
	while (!gone) {
		leap_pollgroup_poll(s->pg, 0);
		assert_true(af_lives(&lived, 5000));
	}
	leap_target_destroy(s->target, set_flag, &destroyed);
	while (!destroyed)
		leap_pollgroup_poll(s->pg, 0);
	while (leap_pollgroup_destroy(s->pg))
		leap_pollgroup_poll(s->pg, 0);
	close(s->listen_fd);
	unlink(s->sock);
	rmdir(s->dir);
	free(s);
}

static struct leap_link_msg ctrl_add(uint64_t bytes)
{
	struct leap_link_msg m = liar_say(LEAP_LINK_CTRL_ADD);

	strcpy(m.u.ctrl.nqn, AF_NQN);
	m.u.ctrl.state_bytes = bytes;
	m.u.ctrl.max_data_bytes = 1 << 17;
	return m;
}

static void lie_about_ctrls(struct served *s, int good, int bad, int ev)
{
	struct leap_link_msg m;

	m = ctrl_add(1 << 20);
	assert_true(ask(s, &m, -1) < 0);
	assert_true(ask(s, &m, bad) < 0);	/* could be cut off */
	assert_true(ask(s, &m, ev) < 0);
	m = ctrl_add(2 << 20);
	assert_true(ask(s, &m, good) < 0);
	m = ctrl_add(0);
	assert_true(ask(s, &m, good) < 0);
	m = ctrl_add(1 << 20);
	m.u.ctrl.max_data_bytes = 1;
	assert_true(ask(s, &m, good) < 0);
	m = ctrl_add(1 << 20);
	strcpy(m.u.ctrl.nqn, "not an nqn");
	assert_true(ask(s, &m, good) < 0);
	m = liar_say(LEAP_LINK_MEM_ADD);
	assert_int_equal(ask(s, &m, good), -ENOENT);
	m = ctrl_add(1 << 20);
	assert_int_equal(ask(s, &m, good), 0);
	assert_true(ask(s, &m, good) < 0);
}

static void lie_about_memory(struct served *s, int good, int bad, int null)
{
	struct leap_link_msg m;

	m = liar_say(LEAP_LINK_MEM_ADD);
	m.u.mem.bytes = 1 << 20;
	m.u.mem.perm = ~0u;
	assert_true(ask(s, &m, -1) < 0);
	assert_true(ask(s, &m, null) < 0);
	assert_int_equal(ask(s, &m, good), 0);
	assert_int_equal(ask(s, &m, good), -EEXIST);
	/* A file that can be cut short: only when the agent says so. */
	m.u.mem.gpa.addr = 1ull << 32;
	m.u.mem.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	assert_int_equal(ask(s, &m, bad), -EACCES);
	m.u.mem.perm |= LEAP_PERM_UNSEALED;
	assert_int_equal(ask(s, &m, bad), 0);
}

/* Rings and records outside of what there is. */
static void lie_about_queues(struct served *s)
{
	struct leap_link_msg m;

	m = liar_say(LEAP_LINK_CQ_ADD);
	m.u.cq.cqid = 1;
	m.u.cq.depth = 64;
	m.u.cq.doorbell = 1 << 20;
	assert_true(ask(s, &m, -1) < 0);
	m.u.cq.doorbell = UINT64_MAX - 63;
	assert_true(ask(s, &m, -1) < 0);
	m.u.cq.doorbell = 0;
	m.u.cq.gpa.addr = 1 << 20;
	assert_true(ask(s, &m, -1) < 0);
	m.u.cq.gpa.addr = 4096;
	m.u.cq.depth = UINT32_MAX;
	assert_true(ask(s, &m, -1) < 0);
	m.u.cq.depth = 64;
	m.u.cq.vector = UINT32_MAX;
	assert_int_equal(ask(s, &m, -1), 0);
	assert_true(ask(s, &m, -1) < 0);
	m = liar_say(LEAP_LINK_QP_ADD);
	m.u.qp.qid = 1;
	m.u.qp.cqid = 2;
	m.u.qp.sq_depth = 64;
	m.u.qp.page_bytes = 4096;
	assert_true(ask(s, &m, -1) < 0);
	m.u.qp.cqid = 1;
	m.u.qp.sq.addr = 1 << 20;
	assert_true(ask(s, &m, -1) < 0);
	m.u.qp.sq.addr = 8192;
	m.u.qp.record = 1 << 20;
	m.u.qp.record_bytes = 4096;
	assert_true(ask(s, &m, -1) < 0);
}

static void test_lying_agent(void **state)
{
	struct served *s = served_new();
	int good = fds_memory(1 << 20, F_SEAL_SHRINK);
	int bad = fds_memory(1 << 20, 0);
	int ev = eventfd(0, EFD_CLOEXEC), null;
	struct leap_link_msg m;

	(void)state;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	served_go(s);
	lie_about_ctrls(s, good, bad, ev);
	lie_about_memory(s, good, bad, null);
	lie_about_queues(s);
	m = liar_say(LEAP_LINK_IRQ);
	assert_true(ask(s, &m, null) < 0);
	m.u.irq.vector = UINT32_MAX;
	assert_true(ask(s, &m, ev) < 0);
	/* What is not there is gone. */
	m = liar_say(LEAP_LINK_QP_DEL);
	m.u.qp.qid = 9;
	assert_int_equal(ask(s, &m, -1), 0);
	m = liar_say(LEAP_LINK_MEM_DEL);
	m.u.mem.bytes = 1 << 20;
	assert_true(ask(s, &m, -1) <= 0);
	m = liar_say(LEAP_LINK_CTRL_DEL);
	assert_int_equal(ask(s, &m, -1), 0);
	close(good);
	close(bad);
	close(ev);
	close(null);
	liar_end(&s->l);
	served_free(s);
}

static void test_random_agent(void **state)
{
	struct served *s = served_new();
	struct test_rand r = { 6 };
	struct leap_link_msg m;
	int round, i, fd, good;

	(void)state;
	for (round = 0; round < 60; round++) {
		served_go(s);
		good = fds_memory(1 << 20, F_SEAL_SHRINK);
		m = ctrl_add(1 << 20);
		assert_int_equal(ask(s, &m, good), 0);
		m = liar_say(LEAP_LINK_MEM_ADD);
		m.u.mem.bytes = 1 << 20;
		m.u.mem.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
		assert_int_equal(ask(s, &m, good), 0);
		close(good);
		m = liar_say(LEAP_LINK_CQ_ADD);
		m.u.cq.cqid = 1;
		m.u.cq.depth = 16;
		assert_int_equal(ask(s, &m, -1), 0);
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
	served_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lying_agent),
		cmocka_unit_test(test_random_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
