/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVMe/TCP under virtual time: hosts that take all they can get, and stall or
 * read nothing, cost the others nothing.
 */
#include "sim-rig.h"

#define HOSTILE 3		/* process of the first */
#define OPS 200

static bool is_done(void *arg)
{
	return !((struct end *)arg)->left &&
	       ((struct end *)arg)->done == OPS;
}

static struct rig *playing;

static void good_done(struct leap_req *req)
{
	struct end *e = &playing->good;

	assert_int_equal(leap_req_status(req), 0);
	e->done++;
	if (!e->left)
		return;
	e->left--;
	end_submit(playing, e, req,
		   e->left % 2 ? LEAP_NVM_READ : LEAP_NVM_WRITE,
		   e->piece.len_bytes);
}

static void bad_done(struct leap_req *req)
{
	uint32_t i;

	for (i = 0; i < NR_HOSTILE; i++) {
		struct end *e = &playing->bad[i];

		if (req < e->reqs || req >= e->reqs + DEPTH)
			continue;
		e->done++;
		e->failed += leap_req_status(req) != 0;
	}
}

/*
 * A full queue of large commands; the process is stopped as soon as the target
 * has taken the first, so that it sends no data, or takes none.
 */
static void attack(struct rig *r, struct end *e, int nr, uint8_t opc)
{
	uint32_t i;

	end_start(r, e, nr);
	r->cmds = rig_cmds(r);
	for (i = 0; i < DEPTH - 1; i++) {
		e->reqs[i].done = bad_done;
		end_submit(r, e, &e->reqs[i], opc, LARGE);
	}
	leap_host_kick(e->host, 1);
	assert_int_equal(leap_sim_run(r->sim, rig_is_busy, r, SECOND), 1);
	leap_sim_stop(r->sim, nr);
	/* What it has sent so far arrives. */
	assert_int_equal(leap_sim_run(r->sim, NULL, NULL, 10 * MS), -ETIME);
}

/* @ops of @bytes at depth 8, each half a write, half a read. */
static void work(struct rig *r, uint32_t bytes, uint64_t max_ns)
{
	struct end *e = &r->good;
	uint32_t i;

	e->done = 0;
	e->left = OPS - 8;
	for (i = 0; i < 8; i++) {
		e->reqs[i].done = good_done;
		end_submit(r, e, &e->reqs[i], LEAP_NVM_WRITE, bytes);
	}
	assert_int_equal(leap_sim_run(r->sim, is_done, e, max_ns), 1);
}

static bool bad_is_over(void *arg)
{
	struct rig *r = arg;
	uint32_t i;

	for (i = 0; i < NR_HOSTILE; i++)
		if (r->bad[i].done < DEPTH - 1)
			return false;
	return true;
}

static void play_hostile(uint8_t opc)
{
	static struct rig r;
	uint64_t start;
	uint32_t i;

	rig_open(&r, opc);
	playing = &r;
	end_start(&r, &r.good, GOOD);
	for (i = 0; i < NR_HOSTILE; i++)
		attack(&r, &r.bad[i], HOSTILE + (int)i, opc);
	assert_true(rig_cmds(&r) > 256);
	start = leap_sim_now_ns(r.sim);
	work(&r, 4096, SECOND);
	work(&r, 131072, SECOND);
	work(&r, LARGE, 4 * SECOND);
	/* Nobody was thrown out meanwhile, so nothing was given back. */
	assert_true(leap_sim_now_ns(r.sim) - start < 10 * SECOND);
	assert_int_equal(rig_connections(&r), 2 + 2 * NR_HOSTILE);
	/* And those who were only slow get what they asked for. */
	for (i = 0; i < NR_HOSTILE; i++)
		leap_sim_continue(r.sim, HOSTILE + (int)i);
	assert_int_equal(leap_sim_run(r.sim, bad_is_over, &r, 60 * SECOND), 1);
	for (i = 0; i < NR_HOSTILE; i++) {
		assert_int_equal(r.bad[i].failed, 0);
		end_stop(&r, &r.bad[i]);
	}
	end_stop(&r, &r.good);
	rig_close(&r);
}

static void test_stalled_writers(void **state)
{
	play_hostile(LEAP_NVM_WRITE);
}

static void test_slow_readers(void **state)
{
	play_hostile(LEAP_NVM_READ);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stalled_writers),
		cmocka_unit_test(test_slow_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
