/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runtimes that lie, which an agent must survive and fence. The liar is this
 * test, by hand: it encodes what it likes and sends whatever descriptors it
 * likes beside it. Agents that lie are test-runtime-liar.c's.
 */
#include "liar.h"
#include "rand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void test_hello(void **state)
{
	static const char junk[64] = "GET / HTTP/1.1\r\n\r\n";
	struct af *f = af_new(1);
	struct leap_link_msg m;
	struct liar *l;

	(void)state;
	l = liar_attach(f);
	liar_send_bytes(l, junk, sizeof(junk), NULL, 0);
	assert_int_equal(liar_serve(f, l, 3000), -1);
	liar_detach(f, l);
	l = liar_attach(f);
	liar_say_hello(l, 99, LEAP_LINK_RUNTIME);
	assert_int_equal(liar_wait_msg(f, l, &m), 1);
	assert_int_equal(m.err, -EPROTONOSUPPORT);
	liar_detach(f, l);
	l = liar_attach(f);
	liar_say_hello(l, LEAP_LINK_VERSION, LEAP_LINK_AGENT);
	assert_int_equal(liar_serve(f, l, 3000), -1);
	liar_detach(f, l);
	l = liar_attach(f);
	m = liar_say(LEAP_LINK_NS_ADD);
	liar_send_msg(l, &m, -1);
	assert_int_equal(liar_serve(f, l, 3000), -1);
	liar_detach(f, l);
	/* None of them was ever told to go. */
	assert_int_equal(f->fences, 0);
	assert_int_equal(leap_ns_next(f->ss, 0), 0);
	l = liar_active(f);
	assert_int_equal(leap_ns_next(f->ss, 0), 1);
	liar_detach(f, l);
	assert_int_equal(leap_ns_next(f->ss, 0), 1);
	af_free(f);
}

static void test_namespaces(void **state)
{
	struct af *f = af_new(1);
	struct liar *l = liar_active(f);
	struct leap_ns_desc d;
	int i;

	(void)state;
	for (i = 0; i < 7; i++) {
		d = liar_good_ns();
		d.nsid = 2;
		switch (i) {
		case 0: d.nsid = 0; break;
		case 1: d.nsid = UINT32_MAX; break;
		case 2: d.block_bytes = 513; break;
		case 3: d.block_bytes = 0; break;
		case 4: d.nr_blocks = 0; break;
		case 5: d.nr_blocks = UINT64_MAX; break;
		case 6: d.csi = 9; break;
		}
		liar_say_ns(l, &d, AF_NQN);
	}
	d = liar_good_ns();
	d.nsid = 3;
	liar_say_ns(l, &d, "nqn.2026-01.org.example:nobody");
	assert_int_equal(liar_serve(f, l, 50), 0);
	assert_int_equal(leap_ns_next(f->ss, 1), 0);
	/* Another size, another namespace, and gone. */
	d = liar_good_ns();
	for (i = 0; i < 50; i++) {
		d.nr_blocks = 1000 + (uint64_t)i;
		d.block_bytes = i % 3 ? 512 : 4096;
		liar_say_ns(l, &d, AF_NQN);
	}
	assert_int_equal(liar_serve(f, l, 100), 0);
	assert_int_equal(leap_ns_next(f->ss, 0), 1);
	{
		struct leap_link_msg m = liar_say(LEAP_LINK_NS_DEL);

		m.u.ns_of.desc.nsid = 1;
		strcpy(m.u.ns_of.nqn, AF_NQN);
		liar_send_msg(l, &m, -1);
		liar_send_msg(l, &m, -1);
	}
	assert_int_equal(liar_serve(f, l, 50), 0);
	assert_int_equal(leap_ns_next(f->ss, 0), 0);
	liar_detach(f, l);
	af_free(f);
}

static void test_replies(void **state)
{
	struct af *f = af_new(1);
	struct leap_link_msg m;
	struct liar *l;
	int fds[2];

	(void)state;
	/* To a question that nobody asked. */
	l = liar_active(f);
	m = liar_say(LEAP_LINK_MEM_DEL);
	m.flags = LEAP_LINK_REPLY;
	m.id = 12345;
	liar_send_msg(l, &m, -1);
	liar_must_end(f, l);
	/* What only agents say. */
	l = liar_active(f);
	m = liar_say(LEAP_LINK_CTRL_ADD);
	liar_send_msg(l, &m, -1);
	liar_must_end(f, l);
	/* A lock that nobody could look at. */
	l = liar_active(f);
	m = liar_say(LEAP_LINK_LEAF);
	strcpy(m.u.leaf.path, "disk");
	liar_send_msg(l, &m, -1);
	liar_must_end(f, l);
	/* More descriptors than a message has. */
	l = liar_active(f);
	{
		uint8_t buf[256];
		int n;

		m = liar_say(LEAP_LINK_KEEPALIVE);
		n = leap_link_encode(&m, buf, sizeof(buf));
		assert_int_equal(pipe(fds), 0);
		liar_send_bytes(l, buf, (size_t)n, fds, 2);
		close(fds[0]);
		close(fds[1]);
	}
	liar_must_end(f, l);
	af_free(f);
}

static void test_queues(void **state)
{
	struct af *f = af_new(1);
	struct leap_link_msg m;
	struct liar *l;
	int fds[2];

	(void)state;
	/* Not an eventfd: writing to it could block. */
	l = liar_active(f);
	liar_start_create(f, l);
	assert_int_equal(liar_hear_type(f, l, LEAP_LINK_QP_ADD, &m), 1);
	assert_int_equal(pipe(fds), 0);
	liar_reply(l, &m, 0, fds[1]);
	liar_must_end(f, l);
	close(fds[0]);
	close(fds[1]);
	gd_disable(f->g);
	/* The right id, another type. */
	l = liar_active(f);
	liar_start_create(f, l);
	assert_int_equal(liar_hear_type(f, l, LEAP_LINK_QP_ADD, &m), 1);
	m.type = LEAP_LINK_CQ_ADD;
	liar_reply(l, &m, 0, -1);
	liar_must_end(f, l);
	gd_disable(f->g);
	/* Refused: the guest is told, and everybody lives. */
	l = liar_active(f);
	liar_start_create(f, l);
	assert_int_equal(liar_hear_type(f, l, LEAP_LINK_QP_ADD, &m), 1);
	liar_reply(l, &m, -ENOMEM, -1);
	assert_int_equal(liar_serve(f, l, 50), 0);
	gd_reap(f->g, &f->g->acq, &f->g->asq);
	assert_int_equal(LEAP_STATUS_CODE(f->g->status[(uint16_t)
						       (f->g->cid - 1)]),
			 LEAP_SC_INTERNAL);
	gd_wr4(f->g, LEAP_REG_CC, 0);
	assert_int_equal(liar_serve(f, l, 50), 0);
	assert_int_equal(gd_rd4(f->g, LEAP_REG_CSTS), 0);
	liar_detach(f, l);
	af_free(f);
}

/* Alive, and never done: no fence, but an answer in time, and CFS. */
static void test_never_done(void **state)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct leap_dmabuf *extra;
	struct af *f = af_new(1);
	struct liar *l = liar_active(f);
	struct unit_lived lived = { 0 };
	uint64_t from;
	int done = 0;

	(void)state;
	o.bytes = 1 << 20;
	assert_int_equal(leap_dmabuf_create(&o, &extra), 0);
	r.gpa.addr = GD_BASE + (1ull << 32);
	r.bytes = 1 << 20;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = extra;
	assert_int_equal(leap_vdev_mem_add(f->v, &r), 0);
	assert_int_equal(liar_serve(f, l, 50), 0);
	l->mute = 1;
	from = af_ms();
	assert_int_equal(leap_vdev_mem_del(f->v, r.gpa, r.bytes, set_err,
					   &done), 0);
	while (!done) {
		assert_int_equal(liar_serve(f, l, 5), 0);
		unit_lived_ns(&lived, af_ms() * 1000000);
	}
	assert_int_equal(done, -ETIMEDOUT);
	assert_true(af_ms() - from >= 1500);
	assert_true(lived.ns <= 2600000000);
	assert_true(gd_rd4(f->g, LEAP_REG_CSTS) & LEAP_CSTS_CFS);
	assert_int_equal(f->fences, 0);
	liar_detach(f, l);
	leap_dmabuf_put(extra);
	af_free(f);
}

/* A fence that fails for good: nobody else is let in, and it is said. */
static int unfenced(struct af *f)
{
	return af_info(f).state == LEAP_AGENT_UNFENCED;
}

static void test_no_fence(void **state)
{
	struct af *f = af_new(1);
	struct liar *l = liar_active(f), *next;
	struct unit_lived lived = { 0 };
	struct leap_link_msg m;
	uint64_t from;
	int done = 0;

	(void)state;
	f->self_fence = 0;
	liar_end(l);
	free(l);
	from = af_ms();
	while (!f->fences)
		af_poll(f);
	leap_vdev_reset(f->v, set_err, &done);
	next = liar_attach(f);
	liar_say_hello(next, LEAP_LINK_VERSION, LEAP_LINK_RUNTIME);
	while (!unfenced(f)) {
		af_poll(f);
		assert_true(af_lives(&lived, 3500));
	}
	assert_true(af_ms() - from >= 1500);
	assert_int_equal(af_info(f).unfenced, 1);
	while (liar_hear(next, &m) > 0)
		assert_int_not_equal(m.type, LEAP_LINK_RESUME);
	/* At last. */
	f->self_fence = 1;
	leap_agent_fenced(f->agent, 0);
	assert_int_equal(liar_hear_type(f, next, LEAP_LINK_RESUME, &m), 1);
	liar_end(next);
	free(next);
	af_until(f, af_none, 5000);
	af_free(f);
}

/* Anything, to an agent that has just been served: it may end the link, and
 * that is all. */
static void test_random_runtime(void **state)
{
	struct af *f = af_new(1);
	struct test_rand r = { 5 };
	int round, i, fd;

	(void)state;
	for (round = 0; round < 60; round++) {
		struct liar *l = liar_active(f);

		for (i = 0; i < 40; i++) {
			struct leap_link_msg m = liar_anything(&r, l->cntlid);

			fd = liar_any_fd(&r);
			liar_send_msg(l, &m, fd);
			if (fd >= 0)
				close(fd);
			if (liar_serve(f, l, 0))
				break;
			af_poll(f);
		}
		liar_detach(f, l);
	}
	af_free(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_queues),
		cmocka_unit_test(test_never_done),
		cmocka_unit_test(test_no_fence),
		cmocka_unit_test(test_random_runtime),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
