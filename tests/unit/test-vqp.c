/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller-end dispatcher and its pools, over a transport that only
 * counts: who waits for a command gets one in turn, a dead controller end lasts
 * until its last command is back, and what moves to another group goes home.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/dispatch.h"
#include "core/io/pollgroup.h"
#include "core/io/vqp.h"

struct end {
	struct leap_vqp vqp;	/* first */
	unsigned int wants;	/* commands to get at a resume */
	unsigned int wants_bufs;
	unsigned int got, resumes, completes, closes, destroyed, lost, gone;
	unsigned int detaches, attaches;
	int attach_err;
	int hold_pull;
	int lost_err;
	struct leap_cmd *cmds[16];
	void *bufs[16];
	unsigned int nr_bufs;
	leap_status_t ready_status;
	unsigned int readies;
};

static struct end *end_of(struct leap_vqp *vqp)
{
	return (struct end *)vqp;
}

static void take(struct end *e)
{
	while (e->wants) {
		e->cmds[e->got] = leap_cmd_get(&e->vqp);
		if (!e->cmds[e->got])
			return;
		e->got++;
		e->wants--;
	}
	while (e->wants_bufs) {
		e->bufs[e->nr_bufs] = leap_pollgroup_buf_get(e->vqp.pg);
		if (!e->bufs[e->nr_bufs]) {
			leap_vqp_starved(&e->vqp);
			return;
		}
		e->nr_bufs++;
		e->wants_bufs--;
	}
}

static void count_pull(struct leap_cmd *cmd, uint32_t len)
{
	if (!end_of(cmd->vqp)->hold_pull)
		leap_cmd_ready(cmd, 0);
}

static void count_complete(struct leap_cmd *cmd)
{
	end_of(cmd->vqp)->completes++;
	leap_cmd_put(cmd);
}

static void count_resume(struct leap_vqp *vqp)
{
	end_of(vqp)->resumes++;
	take(end_of(vqp));
}

static void count_detach(struct leap_vqp *vqp)
{
	end_of(vqp)->detaches++;
}

static int count_attach(struct leap_vqp *vqp)
{
	end_of(vqp)->attaches++;
	return end_of(vqp)->attach_err;
}

static void count_close(struct leap_vqp *vqp)
{
	end_of(vqp)->closes++;
}

static void count_destroy(struct leap_vqp *vqp)
{
	assert_int_equal(end_of(vqp)->gone, 1);
	end_of(vqp)->destroyed++;
}

static const struct leap_transport_ops ops = {
	.size = sizeof(ops), .name = "count",
	.cmd_pull = count_pull, .cmd_complete = count_complete,
	.vqp_resume = count_resume, .vqp_detach = count_detach,
	.vqp_attach = count_attach, .vqp_close = count_close,
	.vqp_destroy = count_destroy,
};

static void execute(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
}

static void lost(struct leap_vqp *vqp, int err)
{
	end_of(vqp)->lost++;
	end_of(vqp)->lost_err = err;
}

static void gone(struct leap_vqp *vqp)
{
	assert_int_equal(end_of(vqp)->destroyed, 0);
	end_of(vqp)->gone++;
}

static const struct leap_vqp_handler handler = {
	sizeof(handler), execute, lost, gone,
};

static struct leap_pollgroup *new_pg(void)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup *pg;

	opts.nr_cmds = 4;
	opts.nr_bufs = 2;
	opts.buf_bytes = 4096;
	assert_int_equal(leap_pollgroup_create(&opts, &pg), 0);
	return pg;
}

static void end_init(struct end *e, struct leap_pollgroup *pg)
{
	memset(e, 0, sizeof(*e));
	e->vqp.max_data_bytes = 8192;
	leap_vqp_init(&e->vqp, &ops, pg, NULL);
	e->vqp.handler = &handler;
}

static void poll3(struct leap_pollgroup *pg)
{
	int i;

	for (i = 0; i < 3; i++)
		leap_pollgroup_poll(pg, 0);
}

static void give_back(struct end *e)
{
	leap_cmd_put(e->cmds[--e->got]);
}

static void finish(struct end *e, struct leap_pollgroup *pg)
{
	while (e->nr_bufs)
		leap_pollgroup_buf_put(pg, e->bufs[--e->nr_bufs]);
	while (e->got)
		give_back(e);
	leap_vqp_lost(&e->vqp, 0);
	assert_int_equal(e->destroyed, 0);
	poll3(pg);
	assert_int_equal(e->lost, 1);
	assert_int_equal(e->gone, 1);
	assert_int_equal(e->destroyed, 1);
}

static void test_turns(void **state)
{
	struct leap_pollgroup_stats st = { sizeof(st) };
	struct leap_pollgroup *pg = new_pg();
	struct end a, b, c;
	struct leap_cmd *last;

	end_init(&a, pg);
	end_init(&b, pg);
	end_init(&c, pg);
	a.wants = 6;
	b.wants = 2;
	c.wants = 1;
	take(&a);
	take(&b);
	take(&c);
	assert_int_equal(a.got, 4);
	assert_int_equal(b.got + c.got, 0);
	assert_int_equal(leap_pollgroup_stats(pg, &st), 0);
	assert_int_equal(st.cmds_in_use, 4);
	assert_true(st.pool_empty >= 3);
	poll3(pg);
	assert_int_equal(a.resumes, 0);		/* nothing came back */
	/* One slot at a time: a, b, c, a, b. */
	give_back(&a);
	poll3(pg);
	assert_int_equal(a.got, 4);
	assert_int_equal(a.resumes, 1);
	give_back(&a);
	poll3(pg);
	assert_int_equal(b.got, 1);
	give_back(&a);
	poll3(pg);
	assert_int_equal(c.got, 1);
	give_back(&a);
	poll3(pg);
	assert_int_equal(a.got, 2);
	/* Last in, first out. */
	last = c.cmds[0];
	give_back(&c);
	poll3(pg);
	assert_int_equal(b.got, 2);
	assert_ptr_equal(b.cmds[1], last);
	finish(&a, pg);
	finish(&b, pg);
	finish(&c, pg);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

static void test_buffers(void **state)
{
	struct leap_pollgroup *pg = new_pg();
	struct end a, b;
	void *buf;

	end_init(&a, pg);
	end_init(&b, pg);
	assert_int_equal(leap_pollgroup_buf_bytes(pg), 4096);
	a.wants_bufs = 2;
	b.wants_bufs = 1;
	take(&a);
	take(&b);
	assert_int_equal(a.nr_bufs, 2);
	assert_int_equal(b.nr_bufs, 0);
	memset(a.bufs[0], 1, 4096);
	memset(a.bufs[1], 2, 4096);
	assert_int_equal(((char *)a.bufs[0])[4095], 1);
	buf = a.bufs[--a.nr_bufs];
	leap_pollgroup_buf_put(pg, buf);
	poll3(pg);
	assert_int_equal(b.nr_bufs, 1);
	assert_ptr_equal(b.bufs[0], buf);
	/* Whoever dies waiting is not asked again. */
	a.wants_bufs = 1;
	take(&a);
	finish(&a, pg);
	poll3(pg);
	assert_int_equal(a.resumes, 0);
	finish(&b, pg);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

#define POOL 1024

/* Takes as much of @depth as it gets; never gives any back. */
static unsigned int hog(struct end *e, unsigned int depth)
{
	unsigned int n = 0;

	while (n < depth && leap_cmd_get(&e->vqp))
		n++;
	return n;
}

static void let_go(struct end *e, struct leap_cmd *cmds, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (cmds[i].vqp == &e->vqp && cmds[i].state)
			leap_cmd_put(&cmds[i]);
}

/*
 * @nr hostile ends hold all that they can get, each at full depth. An end that
 * comes late still has a command whenever it has none, and when it wanted
 * several, its turn comes although nobody else ever gives one back.
 */
static void one_more(unsigned int nr, unsigned int least)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup_stats st = { sizeof(st) };
	struct end *bad = calloc(nr, sizeof(*bad)), good;
	struct leap_pollgroup *pg;
	unsigned int i, held = 0;

	opts.nr_cmds = POOL;
	assert_non_null(bad);
	assert_int_equal(leap_pollgroup_create(&opts, &pg), 0);
	for (i = 0; i < nr; i++) {
		end_init(&bad[i], pg);
		held += hog(&bad[i], 128);
		assert_true(bad[i].vqp.nr_cmds >= 1);
	}
	assert_in_range(held, least, POOL + nr);
	end_init(&good, pg);
	for (i = 0; i < 100; i++) {
		good.wants = 1;
		take(&good);
		assert_int_equal(good.got, 1);
		give_back(&good);
		poll3(pg);
	}
	good.wants = 9;
	take(&good);
	assert_in_range(good.got, 1, 8);
	while (good.got)
		give_back(&good);
	poll3(pg);
	assert_in_range(good.got, 1, 8);
	assert_int_equal(leap_pollgroup_stats(pg, &st), 0);
	assert_int_equal(st.cmds_in_use, held + good.got);
	finish(&good, pg);
	for (i = 0; i < nr; i++) {
		leap_vqp_lost(&bad[i].vqp, 0);
		let_go(&bad[i], leap__dispatch(pg)->cmds,
		       leap__dispatch(pg)->nr_fresh);
	}
	poll3(pg);
	assert_int_equal(leap_pollgroup_stats(pg, &st), 0);
	assert_int_equal(st.cmds_in_use, 0);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
	free(bad);
}

static void test_hostile_crowd(void **state)
{
	/* The first few have all but what is kept, the others 8 each: this
	 * leaves 16 of the pool, */
	one_more(40, POOL - 16);
	/* this nothing, */
	one_more(64, POOL);
	/* and these are as many as max_connections lets in with one more. */
	one_more(4095, POOL + 3000);
}

static void note_ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct end *e = end_of(cmd->vqp);

	e->readies++;
	e->ready_status = status;
}

static void test_pull(void **state)
{
	struct leap_pollgroup *pg = new_pg();
	struct leap_cmd *cmd;
	struct end a;

	end_init(&a, pg);
	cmd = leap_cmd_get(&a.vqp);
	leap_vqp_deliver(&a.vqp, cmd);
	leap_cmd_pull(cmd, 0, note_ready);
	assert_int_equal(a.readies, 1);
	assert_int_equal(cmd->nr_pieces, 0);
	leap_cmd_pull(cmd, 8193, note_ready);
	assert_int_equal(a.readies, 2);
	assert_int_equal(a.ready_status,
			 LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
	a.hold_pull = 1;
	leap_cmd_pull(cmd, 8192, note_ready);
	assert_int_equal(a.readies, 2);
	assert_int_equal(cmd->data_bytes, 8192);
	leap_cmd_ready(cmd, LEAP_SC_SGL_DATA_LEN);
	assert_int_equal(a.ready_status, LEAP_SC_SGL_DATA_LEN);
	leap_cmd_complete(cmd, LEAP_SC_SGL_DATA_LEN);
	assert_int_equal(a.completes, 1);
	/* The connection dies while payload is on its way. */
	cmd = leap_cmd_get(&a.vqp);
	leap_vqp_deliver(&a.vqp, cmd);
	leap_cmd_pull(cmd, 512, note_ready);
	leap_cmd_put(cmd);
	finish(&a, pg);
	assert_int_equal(a.readies, 3);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

static void test_orphans(void **state)
{
	struct leap_pollgroup *pg = new_pg();
	struct leap_cmd *x, *y;
	struct end a;

	end_init(&a, pg);
	x = leap_cmd_get(&a.vqp);
	y = leap_cmd_get(&a.vqp);
	leap_vqp_deliver(&a.vqp, x);
	leap_vqp_deliver(&a.vqp, y);
	leap_vqp_close(&a.vqp);
	leap_vqp_close(&a.vqp);
	assert_int_equal(a.closes, 1);
	leap_vqp_lost(&a.vqp, -EPIPE);
	leap_vqp_close(&a.vqp);
	assert_int_equal(a.closes, 1);
	assert_int_equal(a.lost, 1);
	assert_int_equal(a.lost_err, -EPIPE);
	poll3(pg);
	assert_int_equal(a.gone, 0);
	/* Too late for payload: told so, nothing is moved. */
	leap_cmd_pull(x, 512, note_ready);
	assert_int_equal(a.ready_status, LEAP_SC_ABORT_SQ_DELETED);
	leap_cmd_complete(x, 0);
	poll3(pg);
	assert_int_equal(a.gone, 0);
	leap_cmd_complete(y, 0);
	assert_int_equal(a.gone, 0);
	poll3(pg);
	assert_int_equal(a.gone, 1);
	assert_int_equal(a.destroyed, 1);
	assert_int_equal(a.completes, 2);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

struct moved {
	struct leap__vqp_move move;
	unsigned int runs;
	int err;
};

static void moved(struct leap__vqp_move *move, int err)
{
	((struct moved *)move)->runs++;
	((struct moved *)move)->err = err;
}

static uint64_t cmds_in_use(struct leap_pollgroup *pg)
{
	struct leap_pollgroup_stats st = { sizeof(st) };

	assert_int_equal(leap_pollgroup_stats(pg, &st), 0);
	return st.cmds_in_use + 100 * st.bufs_in_use;
}

static void test_move(void **state)
{
	struct leap_pollgroup *one = new_pg(), *two = new_pg();
	struct moved m = { { .to = two, .moved = moved } };
	struct leap_cmd *cmd, *early;
	struct end a;
	void *buf;

	end_init(&a, one);
	m.move.vqp = &a.vqp;
	cmd = leap_cmd_get(&a.vqp);
	buf = leap_pollgroup_buf_get(one);
	leap_vqp_deliver(&a.vqp, cmd);
	/* An answer that is still being sent holds it up. */
	early = leap_cmd_get(&a.vqp);
	leap__vqp_move(&m.move);
	assert_int_equal(a.detaches, 0);
	poll3(one);
	assert_int_equal(a.detaches, 0);
	leap_cmd_put(early);
	poll3(one);
	assert_int_equal(a.detaches, 1);
	assert_int_equal(a.attaches, 0);
	/* Nothing more arrives until it is there. */
	a.wants = 1;
	take(&a);
	assert_int_equal(a.got, 0);
	poll3(one);
	assert_int_equal(m.runs, 0);
	poll3(two);
	assert_int_equal(a.got, 1);
	give_back(&a);
	assert_int_equal(m.runs, 1);
	assert_int_equal(m.err, 0);
	assert_ptr_equal(a.vqp.pg, two);
	assert_int_equal(cmds_in_use(one), 101);
	leap_cmd_complete(cmd, 0);
	leap_pollgroup_buf_put(two, buf);
	assert_int_equal(a.vqp.nr_cmds, 0);
	assert_int_equal(cmds_in_use(two), 0);
	poll3(one);
	assert_int_equal(cmds_in_use(one), 0);
	cmd = leap_cmd_get(&a.vqp);
	assert_int_equal(cmds_in_use(two), 1);
	leap_cmd_put(cmd);
	finish(&a, two);
	assert_int_equal(leap_pollgroup_destroy(one), 0);
	assert_int_equal(leap_pollgroup_destroy(two), 0);
}

static void test_move_fails(void **state)
{
	struct leap_pollgroup *one = new_pg(), *two = new_pg();
	struct moved m = { { .to = two, .moved = moved } };
	struct leap_cmd *cmd;
	struct end a;

	end_init(&a, one);
	a.attach_err = -ENOMEM;
	m.move.vqp = &a.vqp;
	cmd = leap_cmd_get(&a.vqp);
	leap_vqp_deliver(&a.vqp, cmd);
	leap__vqp_move(&m.move);
	poll3(one);
	poll3(two);
	assert_int_equal(m.err, -ENOMEM);
	assert_int_equal(a.lost, 1);
	assert_int_equal(a.gone, 0);
	leap_cmd_complete(cmd, 0);
	poll3(two);
	poll3(one);
	assert_int_equal(a.gone, 1);
	assert_int_equal(a.destroyed, 1);
	assert_int_equal(leap_pollgroup_destroy(one), 0);
	assert_int_equal(leap_pollgroup_destroy(two), 0);
}

/* Lost after the move was asked for: the new thread is told. */
static void test_move_dies(void **state)
{
	struct leap_pollgroup *one = new_pg(), *two = new_pg();
	struct moved m = { { .to = two, .moved = moved } };
	struct leap_cmd *cmd;
	struct end a;

	end_init(&a, one);
	m.move.vqp = &a.vqp;
	cmd = leap_cmd_get(&a.vqp);
	leap_vqp_deliver(&a.vqp, cmd);
	leap__vqp_move(&m.move);
	leap_vqp_lost(&a.vqp, -EPIPE);
	poll3(one);
	assert_int_equal(a.lost + m.runs, 0);
	poll3(two);
	assert_int_equal(a.detaches, 0);
	assert_int_equal(a.lost, 1);
	assert_int_equal(m.err, -ENOTCONN);
	leap_cmd_complete(cmd, 0);
	poll3(two);
	poll3(one);
	assert_int_equal(a.gone, 1);
	assert_int_equal(cmds_in_use(one), 0);
	assert_int_equal(leap_pollgroup_destroy(one), 0);
	assert_int_equal(leap_pollgroup_destroy(two), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_hostile_crowd),
		cmocka_unit_test(test_buffers),
		cmocka_unit_test(test_pull),
		cmocka_unit_test(test_orphans),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_move_fails),
		cmocka_unit_test(test_move_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
