/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest whose payload is in another machine's memory: a drive's controller
 * reaches it by RDMA READ and WRITE alone, while connections break, the owner
 * comes and goes, and the guest takes memory back.
 */
#include "farmem-fixture.h"

#include "count.h"

static void test_moves(void **state)
{
	uint64_t reads = fm.fabric->nr_reads, writes = fm.fabric->nr_writes;
	int k;

	(void)state;
	for (k = 0; k < 300; k++)
		pay_one(&fm.pay, k, fm_run_sqe);
	assert_true(fm_info().reads >= 300 && fm_info().writes >= 300);
	assert_true(fm.fabric->nr_reads - reads == fm_info().reads);
	assert_true(fm.fabric->nr_writes - writes == fm_info().writes);
	assert_int_equal(fm_info().connections, 1);
	assert_int_equal(fm_info().failed, 0);
}

/* Over iWARP a WRITE that is done has been sent: the guest is told when it has
 * landed, which the answer to a READ says. */
static void test_landed(void **state)
{
	struct leap_sqe sqe = pay_sqe(&fm.pay, LEAP_NVM_READ, 0, 8, 0);
	uint64_t before;
	uint16_t cid;
	int k;

	(void)state;
	for (k = 0; k < 100; k++)
		pay_one(&fm.pay, k, fm_run_sqe);
	fm.fabric->late_reads = 1;
	before = fm.fabric->nr_writes;
	cid = gd_submit(fm.g, &fm.sq, &sqe);
	while (fm.fabric->nr_writes == before)
		fm_poll(NULL);
	for (k = 0; k < 200; k++)
		fm_poll(NULL);
	gd_reap(fm.g, &fm.cq, &fm.sq);
	assert_false(fm.g->done[cid]);
	fake_end_late(fm.fabric);
	assert_int_equal(fm_ended(cid), 0);
	fm.fabric->late_reads = 0;
}

/* What was allocated for the first commands serves all that follow. */
static void test_no_malloc(void **state)
{
	uint16_t cids[OUT];
	uint64_t before;
	uint32_t k;

	(void)state;
	for (k = 0; k < 20; k++) {
		pay_load(&fm.pay, cids, (uint8_t)k);
		fm_settle(cids, 0);
	}
	before = count_calls();
	assert_true(before > 0);
	for (k = 0; k < 500; k++) {
		pay_load(&fm.pay, cids, (uint8_t)k);
		fm_settle(cids, 0);
	}
	assert_int_equal(count_calls(), before);
	assert_true(fm_info().reads >= 500 * OUT / 2);
}

/* All of a command's parts are under way at once. */
static void test_at_once(void **state)
{
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, 0, 8 * 8);
	uint64_t list = gd_alloc(fm.g, GD_PAGE), posts;
	leap_le64 *entry = gd_at(fm.g, list);
	uint16_t cid;
	uint32_t i;

	(void)state;
	for (i = 0; i < 8; i++) {
		memset(fm.pay.own + i * 2 * GD_PAGE, (int)i + 1, GD_PAGE);
		entry[i] = leap_to_le64(PAYLOAD + (i + 1) * 2 * GD_PAGE);
	}
	sqe.prp1 = leap_to_le64(PAYLOAD);
	sqe.prp2 = leap_to_le64(list);
	fm.fabric->paused = 1;
	posts = fm_info().reads;
	cid = gd_submit(fm.g, &fm.sq, &sqe);
	fm_posted(8);
	assert_int_equal(fm_info().reads, posts);
	assert_int_equal(fake_id(fm.fabric, 0, 0)->qp->sq_tail -
			 fake_id(fm.fabric, 0, 0)->qp->sq_head, 8);
	fake_resume(fm.fabric);
	assert_int_equal(fm_ended(cid), 0);
	assert_int_equal(fm_info().reads, posts + 8);
	assert_int_equal(fm_run(LEAP_NVM_READ, 0, 64, 1 << 20), 0);
	for (i = 0; i < 64 * 512; i++)
		assert_int_equal(fm.pay.own[(1 << 20) + i], i / GD_PAGE + 1);
}

/* A connection that is lost is made again; the guest sees nothing of it. */
static void test_broken(void **state)
{
	uint16_t cids[OUT];
	uint32_t k, i;

	(void)state;
	for (k = 0; k < 40; k++) {
		fm.fabric->paused = k & 1;
		pay_load(&fm.pay, cids, (uint8_t)k);
		for (i = 0; i < k % 5; i++)
			fm_poll(NULL);
		if (k % 3)
			fake_break(fake_id(fm.fabric, 0, 0));
		else
			fake_break(fake_id(fm.fabric, 1, 0));
		fm.fabric->paused = 0;
		fm_settle(cids, 0);
		pay_one(&fm.pay, (int)k, fm_run_sqe);
	}
	assert_true(fm_info().connections > 30);
	assert_true(fm_info().redone > 100);
	assert_int_equal(fm_info().failed, 0);
}

/* The owner takes the memory back under load: errors that may be retried, and
 * soon; then it gives it anew, by another key. */
static void test_revoked(void **state)
{
	uint16_t cids[OUT];
	uint64_t from;

	(void)state;
	fm.fabric->paused = 1;
	pay_load(&fm.pay, cids, 1);
	fm_poll(NULL);
	fm_unshare();
	fm.fabric->paused = 0;
	memset(fm.pay.own, 0xa5, BYTES);
	from = fm_lived_ns();
	fm_settle(cids, LEAP_SC_DATA_TRANSFER);
	assert_true(fm_lived_ns() - from < SECONDS(2));
	assert_int_equal(fm_info().failed, OUT);
	/* Nothing has got there since. */
	assert_int_equal(fm_run(LEAP_NVM_READ, 0, 64, 0),
			 LEAP_SC_DATA_TRANSFER);
	assert_int_equal(fm.pay.own[0], 0xa5);
	fm_share(FM_RW);
	fm_pass(SECONDS(1) / 5);
	pay_one(&fm.pay, 1, fm_run_sqe);
	/* One that gives less is another one. */
	fm_unshare();
	fm_share(LEAP_PERM_READ);
	fm_pass(SECONDS(1) / 5);
	assert_int_equal(fm_run(LEAP_NVM_WRITE, 0, 64, 0),
			 LEAP_SC_DATA_TRANSFER);
	assert_int_equal(fm.g->raw & ~LEAP_STATUS_MORE, FAULT);
	fm_mem_del(BYTES);
	fm_close();
	fm_open(TOKEN, 1);
	fm_mem_add(LEAP_PERM_READ);
	assert_int_equal(fm_run(LEAP_NVM_WRITE, 0, 64, 0), 0);
}

/* A share that takes each connection, and ends it before anything has moved:
 * what waits fails in its time all the same, and an unmap is over by then. */
static void test_fickle(void **state)
{
	uint64_t from = fm_lived_ns(), seen = fm_info().connections;
	uint16_t cids[OUT];
	int done;

	(void)state;
	fm.fabric->paused = 1;
	pay_load(&fm.pay, cids, 1);
	fm_posted(OUT);
	fake_break(fake_id(fm.fabric, 0, 0));
	fm_mem_del_start(BYTES, &done);
	while (!done && fm_lived_ns() - from < SECONDS(6)) {
		fm_poll(NULL);
		if (fm_info().connections == seen)
			continue;
		seen = fm_info().connections;
		fake_break(fake_id(fm.fabric, 0, 0));
	}
	assert_int_equal(done, 1);
	assert_true(fm_lived_ns() - from < SECONDS(4));
	assert_true(fm_info().connections > 10);
	fm_settle(cids, LEAP_SC_DATA_TRANSFER);
	fm.fabric->paused = 0;
	fm_mem_add(FM_RW);
	pay_one(&fm.pay, 1, fm_run_sqe);
}

/* The owner goes and comes while commands wait: they see a pause. */
static void test_restarted(void **state)
{
	uint16_t cids[OUT];
	uint32_t k, i;

	(void)state;
	for (k = 0; k < 10; k++) {
		pay_load(&fm.pay, cids, (uint8_t)k);
		for (i = 0; i < k; i++)
			fm_poll(NULL);
		fm_unshare();
		fm_pass(SECONDS(1) / 50);
		fm_share(FM_RW);
		fm_settle(cids, 0);
		pay_one(&fm.pay, (int)k, fm_run_sqe);
	}
	assert_int_equal(fm_info().failed, 0);
	assert_int_equal(fm_info().connections, 11);
}

/* Memory goes while READs and WRITEs are out: the unmap waits for them. */
static void test_unmap(void **state)
{
	uint16_t cids[OUT];
	int done;
	uint32_t i;

	(void)state;
	fm.fabric->paused = 1;
	pay_load(&fm.pay, cids, 2);
	fm_posted(OUT);
	fm_mem_del_start(BYTES, &done);
	fm_pass(SECONDS(1) / 50);
	assert_int_equal(done, 0);
	fake_resume(fm.fabric);
	fm_turn(&done);
	assert_int_equal(done, 1);
	memset(fm.pay.own, 0xa5, BYTES);
	for (i = 0; i < OUT; i++) {
		fm_ended(cids[i]);
		/* What was fetched is written; what is to be brought may find
		 * nothing there any more. */
		assert_true(!fm.g->raw || (i & 1 &&
			    (fm.g->raw & ~LEAP_STATUS_MORE) == FAULT));
	}
	for (i = 0; i < BYTES; i++)
		assert_int_equal(fm.pay.own[i], 0xa5);
	fm_mem_add(FM_RW);
	pay_one(&fm.pay, 1, fm_run_sqe);
	/* Again, with a device that never answers: the end of the queue pair
	 * ends it. */
	fm.fabric->paused = 1;
	pay_load(&fm.pay, cids, 3);
	fm_posted(OUT);
	fm_mem_del_start(BYTES, &done);
	fm_turn(&done);
	assert_int_equal(done, 1);
	assert_int_equal(gd_rd4(fm.g, LEAP_REG_CSTS) & LEAP_CSTS_CFS, 0);
	memset(fm.pay.own, 0xa5, BYTES);
	fake_resume(fm.fabric);
	for (i = 0; i < OUT; i++)
		assert_int_equal(fm_ended(cids[i]), LEAP_SC_DATA_TRANSFER);
	fm_pass(SECONDS(1) / 50);
	for (i = 0; i < BYTES; i++)
		assert_int_equal(fm.pay.own[i], 0xa5);
	fm_mem_add(FM_RW);
	pay_one(&fm.pay, 2, fm_run_sqe);
}

/* The device is pulled out and is there again: the memory has another key. */
static void test_device(void **state)
{
	uint16_t cids[OUT];
	uint32_t i;

	(void)state;
	fm.fabric->paused = 1;
	pay_load(&fm.pay, cids, 4);
	fm_poll(NULL);
	fake_remove_device(fm.fabric);
	fm.fabric->paused = 0;
	for (i = 0; i < OUT; i++) {
		fm_ended(cids[i]);
		assert_true(fm.g->raw == 0 || LEAP_STATUS_CODE(fm.g->raw) ==
			    LEAP_SC_DATA_TRANSFER);
	}
	fm_pass(SECONDS(3) / 2);
	fm_mem_del(BYTES);
	fm_close();
	fm_open(TOKEN, 1);
	fm_mem_add(FM_RW);
	pay_one(&fm.pay, 1, fm_run_sqe);
}

/* Every call that makes something fails once. */
static void test_no_memory(void **state)
{
	int i, ok = 0;

	(void)state;
	fm_mem_del(BYTES);
	fm_close();
	for (i = 1; i < 40 && !ok; i++) {
		struct leap_farmem_opts o = fm_opts(TOKEN);

		fm.fabric->fail_calls = i;
		if (leap_farmem_open(fm.pg, &o, &fm.far))
			continue;
		fm_turn(&fm.opened);
		ok = fm.opened == 1 && fm.fabric->fail_calls;
		fm.fabric->fail_calls = 0;
		if (!ok)
			fm_close();
	}
	assert_true(ok && i > 5);
	fm_mem_add(FM_RW);
	pay_one(&fm.pay, 1, fm_run_sqe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FM_TEST(test_moves),
		cmocka_unit_test_setup_teardown(test_landed, fm_setup_iwarp,
						fm_teardown),
		FM_TEST(test_no_malloc),
		FM_TEST(test_at_once),
		FM_TEST(test_broken),
		FM_TEST(test_revoked),
		FM_TEST(test_fickle),
		FM_TEST(test_restarted),
		FM_TEST(test_unmap),
		FM_TEST(test_device),
		FM_TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
