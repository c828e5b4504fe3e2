/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Relays under many commands whose data is checked, and a far end that becomes
 * another, goes and comes meanwhile.
 */
#include "rand.h"
#include "relay-pair.h"

static void test_grows_with_the_far_end(void **state)
{
	struct world *w = *state;
	struct leap_host_ns ns = { sizeof(ns) };
	int i;

	near_blocks = 0;
	start(w, 1);
	assert_int_equal(leap_host_ns_next(w->host, 0, &ns), 0);
	assert_int_equal(ns.nr_blocks, FAR_BLOCKS - START);
	assert_int_equal(leap_ns_resize(w->far_ss, 1, 2 * FAR_BLOCKS * BLOCK),
			 0);
	for (i = 0; i < 500 && ns.nr_blocks != 2 * FAR_BLOCKS - START; i++) {
		rx_run_for(w, 10);
		assert_int_equal(leap_host_ns_next(w->host, 0, &ns), 0);
	}
	assert_int_equal(ns.nr_blocks, 2 * FAR_BLOCKS - START);
	assert_int_equal(cmd(w, w->host, LEAP_NVM_READ, 2 * FAR_BLOCKS -
			     START - 1, 1, w->buf, BLOCK), 0);
}

static void far_becomes(struct world *w, const char *stack)
{
	struct leap_bdev *bdev;

	assert_int_equal(leap_ns_remove(w->far_ss, 1, rx_set_err, w), 0);
	rx_wait_flag(w);
	assert_int_equal(leap_bdev_open(w->pg, stack, &bdev), 0);
	rx_add_ns(w, w->far_ss, bdev);
}

/* Blocks of another size are refused, and when they are right again they are
 * good again. */
static void test_unfit_for_a_while(void **state)
{
	struct world *w = *state;
	leap_status_t status = 0;
	int i;

	start(w, 1);
	far_becomes(w, "memory:16M[block=4096]");
	for (i = 0; i < 500 && !status; i++) {
		rx_run_for(w, 10);
		status = cmd(w, w->host, LEAP_NVM_FLUSH, 0, 0, NULL, 0);
	}
	assert_int_equal(status, LEAP_SC_INTERNAL | DNR);
	far_becomes(w, "memory:16M");
	for (i = 0; i < 300 && status; i++) {
		rx_run_for(w, 10);
		status = cmd(w, w->host, LEAP_NVM_READ, 4, 1, w->buf, BLOCK);
	}
	assert_int_equal(status, 0);
}

/* --- many commands, verified --- */

#define DEPTH	48u
#define SLOT	64u	/* blocks that belong to one of them */

struct io {
	struct leap_req req;	/* first */
	struct run *run;
	struct leap_piece piece;
	uint8_t data[SLOT * BLOCK];
	uint32_t lba, nlb, turn, queue;
	uint8_t fill;
};

struct run {
	struct world *w;
	struct test_rand rnd;
	uint32_t left, out, good, bad, path;
	struct io io[DEPTH];
};

static void io_next(struct io *io)
{
	struct run *r = io->run;
	struct leap_req *req = &io->req;

	if (!r->left)
		return;
	r->left--;
	r->out++;
	if (!(io->turn & 1)) {
		io->nlb = 1 + test_rand_below(&r->rnd, SLOT);
		io->fill = (uint8_t)test_rand_next(&r->rnd);
	}
	memset(io->data, io->turn & 1 ? ~io->fill : io->fill, io->nlb * BLOCK);
	io->piece = (struct leap_piece){ .addr = io->data,
		.len_bytes = io->nlb * BLOCK };
	req->pieces = &io->piece;
	req->nr_pieces = 1;
	req->sqe = (struct leap_sqe){ .opc = io->turn & 1 ? LEAP_NVM_READ :
		LEAP_NVM_WRITE };
	req->sqe.nsid = leap_to_le32(1);
	req->sqe.cdw10 = leap_to_le32(io->lba);
	req->sqe.cdw12 = leap_to_le32(io->nlb - 1);
	assert_int_equal(leap_host_submit(r->w->host, io->queue, &req, 1), 1);
}

static void io_done(struct leap_req *req)
{
	struct io *io = (struct io *)req;
	struct run *r = io->run;
	leap_status_t status = leap_req_status(req);
	uint32_t i;

	r->out--;
	if (status) {
		r->bad++;
		r->path += LEAP_STATUS_CODE(status) == LEAP_SC_PATH_CTRL &&
			   !(status & DNR);
		io->turn = 0;
	} else {
		r->good++;
		if (io->turn & 1)
			for (i = 0; i < io->nlb * BLOCK; i++)
				assert_int_equal(io->data[i], io->fill);
		io->turn++;
	}
	io_next(io);
}

static struct run *run_start(struct world *w, uint32_t nr, uint32_t queues)
{
	struct run *r = calloc(1, sizeof(*r));
	uint32_t i;

	assert_non_null(r);
	r->w = w;
	r->rnd.s = 11;
	r->left = nr;
	for (i = 0; i < DEPTH; i++) {
		r->io[i].run = r;
		r->io[i].lba = i * SLOT;
		r->io[i].queue = 1 + i % queues;
		r->io[i].req.done = io_done;
		io_next(&r->io[i]);
	}
	return r;
}

static void run_wait(struct run *r, uint32_t left)
{
	uint64_t end = leap_pollgroup_now_ns(r->w->pg) + 60000000000u;

	while (r->left > left || (!left && r->out)) {
		leap_pollgroup_wait(r->w->pg, 10000000);
		assert_true(leap_pollgroup_now_ns(r->w->pg) < end);
	}
}

static void test_n_onto_m(void **state)
{
	struct world *w = *state;
	struct run *r;

	nr_queues = 3;
	start(w, 5);
	r = run_start(w, 4000, 5);
	run_wait(r, 0);
	assert_int_equal(r->good, 4000);
	free(r);
}

/* Ends every connection of the far target; @stay: it may be connected anew. */
static void cut_far(struct world *w, int stay)
{
	struct leap_ctrl_info info = { sizeof(info) };
	uint16_t ids[64];
	uint32_t nr = 0, i;

	if (!stay)
		leap_listener_destroy(w->far_listener);
	while (nr < 64 && !leap_ctrl_next(w->far, w->far_ss, nr ? ids[nr - 1] :
					  0, &info))
		ids[nr++] = info.cntlid;
	for (i = 0; i < nr; i++)
		leap_ctrl_disconnect(w->far_ss, ids[i]);
}

static void drop_direct(struct world *w)
{
	leap_host_close(w->direct, rx_set_flag, w);
	rx_wait_flag(w);
	w->direct = NULL;
}

static void test_far_end_cut_under_io(void **state)
{
	struct leap_relay_info info = { sizeof(info) };
	struct world *w = *state;
	struct run *r;
	int i;

	start(w, 2);
	drop_direct(w);
	r = run_start(w, 6000, 2);
	for (i = 0; i < 5; i++) {
		run_wait(r, 5000 - 1000 * (uint32_t)i);
		cut_far(w, i & 1);
		rx_run_for(w, 50);
		if (!(i & 1))
			listen_far(w);
	}
	run_wait(r, 0);
	/* The host saw a pause and nothing else. */
	assert_int_equal(r->good, 6000);
	assert_int_equal(leap_relay_info(w->stack, &info), 0);
	assert_true(info.reconnects >= 3);
	assert_int_equal(info.lost, 0);
	assert_int_equal(info.refused, 0);
	assert_int_equal(info.groups_live, 1);
	free(r);
}

static void test_far_end_lost(void **state)
{
	struct leap_relay_info info = { sizeof(info) };
	struct world *w = *state;
	uint64_t then, took = UINT64_MAX;
	struct run *r;
	int i;

	loss_ms = 150;
	start(w, 1);
	drop_direct(w);
	r = run_start(w, 400, 1);
	run_wait(r, 100);
	then = leap_pollgroup_now_ns(w->pg);
	cut_far(w, 0);
	run_wait(r, 0);
	/* Held, then failed in a way that may be tried again. */
	assert_true(leap_pollgroup_now_ns(w->pg) - then > 100000000);
	assert_true(r->bad >= DEPTH);
	assert_int_equal(r->bad, r->path);
	assert_int_equal(leap_relay_info(w->stack, &info), 0);
	assert_int_equal(info.lost, 1);
	assert_int_equal(info.groups_live, 0);
	/* Later ones at once: not all of them held is enough. */
	for (i = 0; i < 20 && took >= 100000000; i++) {
		then = leap_pollgroup_now_ns(w->pg);
		assert_int_equal(cmd(w, w->host, LEAP_NVM_READ, 0, 1, w->buf,
				     BLOCK), LEAP_SC_PATH_CTRL);
		took = leap_pollgroup_now_ns(w->pg) - then;
	}
	assert_true(took < 100000000);
	/* And it comes back. */
	listen_far(w);
	then = leap_pollgroup_now_ns(w->pg);
	while (!info.groups_live) {
		leap_pollgroup_wait(w->pg, 10000000);
		leap_relay_info(w->stack, &info);
		assert_true(leap_pollgroup_now_ns(w->pg) - then < 60000000000u);
	}
	assert_int_equal(cmd(w, w->host, LEAP_NVM_READ, 0, 1, w->buf, BLOCK),
			 0);
	free(r);
}

/* A relay that is closed while its far end is away. */
static void test_closed_while_away(void **state)
{
	struct world *w = *state;

	loss_ms = 60;
	start(w, 1);
	drop_direct(w);
	cut_far(w, 0);
	rx_run_for(w, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		both(test_grows_with_the_far_end),
		both(test_unfit_for_a_while),
		both(test_n_onto_m),
		t(test_far_end_cut_under_io),
		t(test_far_end_lost),
		t(test_closed_while_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
