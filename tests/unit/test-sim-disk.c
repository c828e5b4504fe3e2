/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulator's disks: they and their locks behave as real ones, also when
 * the power is cut or whoever writes is killed; and their faults.
 */
#include "sim-world.h"

#define SECTOR 512

static void disk_op(struct leap_sim *sim, struct world_test *t,
		    struct leap__wfd *f, int op, int flags, void *buf,
		    size_t bytes, uint64_t offset, int64_t res)
{
	struct test_io x;

	io_prep(&x, op, f);
	x.iov = (struct iovec){ buf, bytes };
	x.io.flags = (uint8_t)flags;
	x.io.offset = offset;
	x.io.len = bytes;
	leap__io_submit(world_of(t), &x.io);
	run_io(sim, &x, res);
}

/* Sectors after a cut: what was flushed or FUA is there; the others hold one
 * of their versions, whole. Over the seeds, each version is seen. */
static void test_power_cut(void **state)
{
	enum { SECTORS = 16 };
	unsigned char buf[SECTORS * SECTOR], *now;
	unsigned int seen[4] = { 0 }, s, i, seed;

	for (seed = 0; seed < 60; seed++) {
		struct leap_sim *sim = seeded(seed);
		struct world_test t;
		struct leap__world *w;
		struct leap__wfd *f;
		struct test_io late;

		leap_sim_disk(sim, "d", sizeof(buf));
		enter(sim, &t, 1);
		w = world_of(&t);
		assert_int_equal(w->ops->open(w, "d", LEAP__OPEN_WRITE, 0, &f),
				 0);
		memset(buf, 1, sizeof(buf));
		disk_op(sim, &t, f, LEAP__IO_WRITE, 0, buf, sizeof(buf), 0,
			sizeof(buf));
		disk_op(sim, &t, f, LEAP__IO_FSYNC, 0, NULL, 0, 0, 0);
		memset(buf, 2, sizeof(buf));
		disk_op(sim, &t, f, LEAP__IO_WRITE, 0, buf, sizeof(buf), 0,
			sizeof(buf));
		memset(buf, 3, sizeof(buf));
		disk_op(sim, &t, f, LEAP__IO_WRITE, LEAP__IO_FUA, buf, SECTOR,
			4 * SECTOR, SECTOR);
		io_start(&t, &late, LEAP__IO_WRITE, f, buf, 4 * SECTOR,
			 8 * SECTOR);
		leap_sim_kill(sim, 1);
		leap_sim_power_cut(sim, NULL);
		now = (unsigned char *)(uintptr_t)
			leap_sim_disk_data(sim, "d", NULL);
		for (s = 0; s < SECTORS; s++) {
			unsigned char v = now[s * SECTOR];

			for (i = 1; i < SECTOR; i++)
				assert_int_equal(now[s * SECTOR + i], v);
			if (s == 4)
				assert_int_equal(v, 3);
			else if (s >= 8 && s < 12)
				assert_true(v >= 1 && v <= 3);
			else
				assert_true(v == 1 || v == 2);
			if (s != 4)
				seen[v]++;
		}
		assert_true(leap_sim_disk_unlocked(sim, "d"));
		leap_sim_destroy(sim);
	}
	assert_true(seen[1] > 50 && seen[2] > 50 && seen[3] > 5);
}

static void test_disk(void **state)
{
	struct leap_sim *sim = seeded(8);
	unsigned char out[3 * SECTOR], in[3 * SECTOR];
	struct leap__fstat st;
	struct world_test t;
	struct leap__world *w;
	struct leap__wfd *f, *f2;
	size_t i;

	enter(sim, &t, 1);
	w = world_of(&t);
	assert_int_equal(w->ops->open(w, "d", 0, 0, &f), -ENOENT);
	assert_int_equal(w->ops->open(w, "d", LEAP__OPEN_WRITE |
				      LEAP__OPEN_CREATE | LEAP__OPEN_LOCK,
				      10 * SECTOR, &f), 0);
	assert_int_equal(w->ops->fstat(f, &st), 0);
	assert_int_equal(st.bytes, 10 * SECTOR);
	assert_int_equal(w->ops->open(w, "d", LEAP__OPEN_LOCK, 0, &f2), -EBUSY);
	assert_int_equal(w->ops->share(w, f, &f2), 0);
	for (i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char)i;
	disk_op(sim, &t, f, LEAP__IO_WRITE, 0, out, sizeof(out), 100,
		sizeof(out));
	disk_op(sim, &t, f2, LEAP__IO_READ, 0, in, sizeof(in), 100,
		sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	disk_op(sim, &t, f, LEAP__IO_ZERO, 0, NULL, 50, 110, 0);
	memset(out + 10, 0, 50);
	disk_op(sim, &t, f, LEAP__IO_READ, 0, in, sizeof(in), 100,
		sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	disk_op(sim, &t, f, LEAP__IO_READ, 0, in, sizeof(in), 9 * SECTOR,
		SECTOR);
	/* Faults, as often as asked for. */
	leap_sim_disk_fail(sim, "d", LEAP_SIM_WRITES, -ENOSPC, 1000, 2);
	disk_op(sim, &t, f, LEAP__IO_READ, 0, in, SECTOR, 0, SECTOR);
	disk_op(sim, &t, f, LEAP__IO_WRITE, 0, out, SECTOR, 0, -ENOSPC);
	disk_op(sim, &t, f, LEAP__IO_WRITE, 0, out, SECTOR, 0, -ENOSPC);
	disk_op(sim, &t, f, LEAP__IO_WRITE, 0, out, SECTOR, 0, SECTOR);
	leap_sim_disk_fail(sim, "d", LEAP_SIM_FLUSHES, -EIO, 1000, 1);
	disk_op(sim, &t, f, LEAP__IO_FSYNC, 0, NULL, 0, 0, -EIO);
	w->ops->close(f);
	assert_false(leap_sim_disk_unlocked(sim, "d"));
	w->ops->close(f2);
	assert_true(leap_sim_disk_unlocked(sim, "d"));
	leave(&t);
	leap_sim_destroy(sim);
}

struct lock_wait {
	struct leap_sim *sim;
};

static bool unlocked(void *arg)
{
	return leap_sim_disk_unlocked(((struct lock_wait *)arg)->sim, "d");
}

/* The dead process's writes land or not, but never after its lock is free. */
static void test_kill(void **state)
{
	static struct test_io x[32];	/* belongs to the dead */
	unsigned char buf[SECTOR];
	int seed, landed = 0, waited = 0;
	struct test_io rx;

	for (seed = 0; seed < 40; seed++) {
		struct leap_sim *sim = seeded((uint64_t)seed);
		struct lock_wait lw = { sim };
		struct world_test dead, peer, next;
		struct leap__wfd *f, *sa, *sb;
		struct leap__world *w;
		const unsigned char *data;
		char in[8];
		int i;

		leap_sim_disk(sim, "d", 32 * SECTOR);
		enter(sim, &dead, 1);
		enter(sim, &peer, 2);
		connect_two(sim, &dead, &peer, &sa, &sb);
		w = world_of(&dead);
		assert_int_equal(w->ops->open(w, "d", LEAP__OPEN_WRITE |
					      LEAP__OPEN_LOCK, 0, &f), 0);
		memset(buf, 9, sizeof(buf));
		for (i = 0; i < 32; i++)
			io_start(&dead, &x[i], LEAP__IO_WRITE, f, buf, SECTOR,
				 (uint64_t)i * SECTOR);
		io_start(&peer, &rx, LEAP__IO_RECV, sb, in, 1, 0);
		leap_sim_kill(sim, 1);
		enter(sim, &next, 1);
		waited += !unlocked(&lw);
		assert_int_equal(leap_sim_run(sim, unlocked, &lw, SECOND), 1);
		data = leap_sim_disk_data(sim, "d", NULL);
		for (i = 0; i < 32; i++) {
			landed += data[i * SECTOR] == 9;
			assert_int_equal(x[i].nr_done, 0);
		}
		/* Its successor gets the lock, its peer the end of stream. */
		w = world_of(&next);
		assert_int_equal(w->ops->open(w, "d", LEAP__OPEN_WRITE |
					      LEAP__OPEN_LOCK, 0, &f), 0);
		w->ops->close(f);
		run_io(sim, &rx, 0);
		world_of(&peer)->ops->close(sb);
		leave(&peer);
		leave(&next);
		leap_sim_destroy(sim);
	}
	assert_true(waited > 10);
	assert_true(landed > 200 && landed < 40 * 32 - 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk),
		cmocka_unit_test(test_power_cut),
		cmocka_unit_test(test_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
