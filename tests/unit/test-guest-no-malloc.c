/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path of a queue pair in guest memory allocates nothing: every
 * allocation of the program is counted while commands of all shapes run, with
 * both kinds of doorbells, full completion queues and sleeps.
 */
#include "guest-fixture.h"

#include "core/io/pollgroup.h"
#include "count.h"
#include "rand.h"

#define NR_PAGES 40u

struct load {
	struct gx gx;
	struct gx_cq cq;
	struct gx_sq sq[2];
	leap_gpa_t data, list;
	struct test_rand r;
};

static void set_up(struct load *l)
{
	leap_le64 *list;
	uint32_t i;

	memset(l, 0, sizeof(*l));
	gx_init(&l->gx);
	gx_cq(&l->gx, &l->cq, 1, 7, 0);
	gx_sq(&l->gx, &l->sq[0], 1, &l->cq, 16);
	gx_sq(&l->gx, &l->sq[1], 2, &l->cq, 9);
	l->data = gx_alloc(&l->gx, NR_PAGES * 4096, 4096);
	l->list = gx_alloc(&l->gx, 4096, 4096);
	list = gx_at(&l->gx, l->list);
	for (i = 0; i < NR_PAGES; i++)
		list[i] = leap_to_le64(l->data.addr + i * 7 % NR_PAGES * 4096);
}

static void submit(struct load *l, struct gx_sq *sq)
{
	uint32_t len = (1 + test_rand_below(&l->r, NR_PAGES - 1)) * 4096;
	struct leap_sqe sqe = gx_sqe((uint8_t)test_rand_below(&l->r, 3), 1, 0);

	sqe.cdw12 = leap_to_le32(len);
	sqe.prp1 = leap_to_le64(l->data.addr);
	sqe.prp2 = leap_to_le64(len > 8192 ? l->list.addr :
					     l->data.addr + 4096);
	if (test_rand_below(&l->r, 10) == 0)
		sqe.prp1 = leap_to_le64(8);	/* errors are free, too */
	gx_push(sq, &sqe);
}

static void run(struct load *l, uint64_t count)
{
	struct leap__cqe cqe;
	uint64_t done = 0;
	uint32_t i;

	while (done < count) {
		struct gx_sq *sq = &l->sq[test_rand_below(&l->r, 2)];

		for (i = test_rand_below(&l->r, 6); i && gx_room(sq); i--)
			submit(l, sq);
		gx_ring(sq);
		l->gx.hold = test_rand_below(&l->r, 2);
		gx_poll(&l->gx, 1);
		leap_pollgroup_arm(l->gx.pg);
		while (l->gx.nr_held)
			gx_let(&l->gx, test_rand_below(&l->r, l->gx.nr_held));
		gx_poll(&l->gx, 1);
		while (gx_reap(&l->cq, &cqe)) {
			l->sq[cqe.sqid - 1].head = cqe.sqhd;
			done++;
		}
		gx_ring_cq(&l->cq);
	}
}

static uint64_t nr_commands(void)
{
	return unit_is_slow() ? 20000 : 300000;
}

static void test_guest(void **state)
{
	uint64_t before;
	struct load l;

	set_up(&l);
	run(&l, 2000);		/* first touches */
	before = count_calls();
	assert_true(before > 0);
	run(&l, nr_commands());
	assert_int_equal(count_calls(), before);
	gx_sq_end(&l.sq[0]);
	gx_sq_end(&l.sq[1]);
	gx_cq_end(&l.cq);
	gx_fini(&l.gx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
