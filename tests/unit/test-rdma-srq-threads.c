/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shared receives whose queues are on several threads, while connections break:
 * what was written is read back, and in the end all receives are there.
 *
 * Queues are accepted by the first thread, which is the hosts' too, and served
 * by the others.
 */
#include "fake-verbs.h"
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <leapio/leapio.h>

#include "transport/rdma/group.h"
#include "util/atomic.h"

#define NQN	"nqn.2026-01.org.example:shared"
#define WORKERS	2u
#define QUEUES	4u
#define SHARED	20u
#define OUT	32u		/* commands at once */
#define BLOCKS	8u		/* of one */
#define BREAKS	20u
#define BETWEEN	150u		/* commands from one break to the next */
#define SECONDS(n) ((n) * 1000000000ull)

struct worker {
	pthread_t thread;
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg;
	uint32_t ready, stop;
};

struct io {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	uint32_t turn, lba;
	uint8_t data[BLOCKS * 512];
};

static struct {
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_listener *listener;
	struct leap_host *host;
	struct worker workers[WORKERS];
	struct io ios[OUT];
	uint32_t done, stop, out;
} w;

static void *work(void *arg)
{
	struct worker *k = arg;

	if (leap_pollgroup_create(NULL, &k->pg) ||
	    leap__rdma_use(k->pg, &k->fabric->v))
		abort();
	leap__store_release(&k->ready, 1u);
	while (!leap__load_acquire(&k->stop))
		leap_pollgroup_poll(k->pg, 0);
	while (leap_pollgroup_destroy(k->pg) == -EBUSY)
		leap_pollgroup_poll(k->pg, 0);
	return NULL;
}

static void flag(void *arg)
{
	*(int *)arg = 1;
}

static void added(int err, void *arg)
{
	*(int *)arg = err ? -1 : 1;
}

#define TURN(cond) do { \
	uint64_t from_ = leap_pollgroup_now_ns(w.pg); \
	while (!(cond)) { \
		leap_pollgroup_poll(w.pg, 0); \
		assert_true(leap_pollgroup_now_ns(w.pg) - from_ < \
			    SECONDS(60)); \
	} \
} while (0)

static void serve(void)
{
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct leap_subsystem *ss;
	int is_added = 0;
	uint32_t i;

	assert_int_equal(leap_target_create(w.pg, NULL, &w.target), 0);
	for (i = 0; i < WORKERS; i++)
		assert_int_equal(leap_target_add_group(w.target,
						       w.workers[i].pg), 0);
	so.nqn = NQN;
	so.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(w.target, &so, &ss), 0);
	assert_int_equal(leap_bdev_open(w.pg, "memory:1M", &no.bdev), 0);
	assert_true(leap_ns_add(ss, &no, added, &is_added) > 0);
	TURN(is_added);
	lo.url = "rdma://127.0.0.1:0";
	lo.srq = SHARED;
	assert_int_equal(leap_listener_create(w.target, &lo, &w.listener), 0);
}

static void begin(void)
{
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	char url[128];
	uint32_t i;

	w.fabric = fake_fabric_create();
	/* One of a capsule that it is in the middle of, and it says when. */
	w.fabric->srq_takes = 1;
	assert_int_equal(leap_pollgroup_create(NULL, &w.pg), 0);
	assert_int_equal(leap__rdma_use(w.pg, &w.fabric->v), 0);
	for (i = 0; i < WORKERS; i++) {
		w.workers[i].fabric = w.fabric;
		assert_int_equal(pthread_create(&w.workers[i].thread, NULL,
						work, &w.workers[i]), 0);
		TURN(leap__load_acquire(&w.workers[i].ready));
	}
	serve();
	snprintf(url, sizeof(url), "%s/" NQN, leap_listener_url(w.listener));
	ho.url = url;
	ho.nr_io_queues = QUEUES;
	ho.reconnect_ms = 1;
	assert_int_equal(leap_host_connect(w.pg, &ho, &w.host), 0);
	TURN(leap_host_state(w.host) == LEAP_HOST_LIVE);
}

static void next(struct io *io);

static void on_done(struct leap_req *req)
{
	struct io *io = (struct io *)req;
	uint32_t i, bad = 0;

	assert_int_equal(leap_req_status(req), 0);
	for (i = 0; io->turn & 1 && i < sizeof(io->data); i++)
		bad |= io->data[i] ^ (uint8_t)(io->lba + io->turn / 2);
	assert_int_equal(bad, 0);
	io->turn++;
	w.done++;
	w.out--;
	if (!w.stop)
		next(io);
}

/* Turns: write, and read it back. */
static void next(struct io *io)
{
	struct leap_req *reqs[] = { &io->req };

	memset(io->data, io->turn & 1 ? 0 : (int)(io->lba + io->turn / 2),
	       sizeof(io->data));
	memset(&io->req.sqe, 0, sizeof(io->req.sqe));
	io->req.sqe.opc = io->turn & 1 ? LEAP_NVM_READ : LEAP_NVM_WRITE;
	io->req.sqe.nsid = leap_to_le32(1);
	io->req.sqe.cdw10 = leap_to_le32(io->lba);
	io->req.sqe.cdw12 = leap_to_le32(BLOCKS - 1);
	io->piece.addr = io->data;
	io->piece.len_bytes = sizeof(io->data);
	io->req.pieces = &io->piece;
	io->req.nr_pieces = 1;
	io->req.done = on_done;
	w.out++;
	assert_int_equal(leap_host_submit(w.host, 1 + (uint32_t)(io - w.ios) %
					  QUEUES, reqs, 1), 1);
}

/* Both ends' queue pairs of some connection, at once; there may be none. */
static void break_one(uint32_t n)
{
	struct leap__v_id *id;

	fake_lock(w.fabric);
	for (id = w.fabric->ids; id; id = id->next)
		if (id->passive && id->state == FAKE_LINKED && id->qp &&
		    id->qp->srq && !n--)
			break;
	if (id)
		fake_apart(id, 1);
	fake_unlock(w.fabric);
}

static void end(void)
{
	int gone = 0;
	uint32_t i;

	leap_host_close(w.host, flag, &gone);
	TURN(gone);
	leap_listener_destroy(w.listener);
	gone = 0;
	leap_target_destroy(w.target, flag, &gone);
	TURN(gone);
	for (i = 0; i < WORKERS; i++) {
		leap__store_release(&w.workers[i].stop, 1u);
		pthread_join(w.workers[i].thread, NULL);
	}
	while (leap_pollgroup_destroy(w.pg) == -EBUSY)
		leap_pollgroup_poll(w.pg, 0);
	assert_int_equal(fake_fabric_destroy(w.fabric), 0);
}

static void test_threads(void **state)
{
	uint32_t i, k;

	begin();
	for (i = 0; i < OUT; i++) {
		w.ios[i].lba = i * BLOCKS;
		next(&w.ios[i]);
	}
	for (k = 0; k < BREAKS; k++) {
		uint32_t upto = w.done + BETWEEN;

		TURN(w.done >= upto);
		break_one(k % QUEUES);
	}
	w.stop = 1;
	TURN(!w.out);
	TURN(fake_srq_recvs(w.fabric) == SHARED);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
