/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Far memory used by several poll groups, each on a thread of its own, while
 * connections break and the range is taken back: one lane for each, and the
 * unmap ends when the last of them has let go.
 */
#include "fake-verbs.h"
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <leapio/dmabuf.h>
#include <leapio/farmem.h>

#include "transport/rdma/group.h"
#include "util/atomic.h"

#define WORKERS	3u
#define GPA	0x40000000ull
#define EACH	65536u		/* bytes of a worker */
#define BREAKS	20u
#define ROUNDS	20u		/* from one to the next */
#define SECONDS(n) ((n) * 1000000000ull)

struct worker {
	pthread_t thread;
	struct leap_ats *ats;
	struct fake_fabric *fabric;
	uint32_t index;
	uint32_t rounds;	/* done; read by the main thread */
	uint32_t refused;	/* the range is gone, as it should be */
	uint32_t bad;
	uint32_t stop;		/* the main thread's */
	uint32_t attached;
	/* One copy. */
	struct leap_ats_io io;
	int busy, err;
};

static struct {
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg;
	struct leap_share *share;
	struct leap_farmem *far;
	struct leap_dmabuf *buf;
	struct leap_ats *ats;
	struct worker workers[WORKERS];
	int opened;
} w;

static void on_done(struct leap_ats_io *io, int err)
{
	struct worker *k = io->arg;

	k->busy = 0;
	k->err = err;
}

/* 0, or why it was not moved. */
static int copy(struct worker *k, struct leap_pollgroup *pg,
		struct leap_ats_view *view, uint8_t *buf, uint32_t at,
		uint32_t bytes, int out)
{
	int rc;

	memset(&k->io, 0, sizeof(k->io));
	k->io.gpa.addr = GPA + k->index * EACH + at;
	k->io.buf = buf;
	k->io.bytes = bytes;
	k->io.done = on_done;
	k->io.arg = k;
	k->busy = 1;
	rc = out ? leap_ats_write(view, &k->io) : leap_ats_read(view, &k->io);
	if (rc)
		return rc < 0 ? rc : -EINVAL;
	while (k->busy)
		leap_pollgroup_poll(pg, 0);
	return k->err;
}

static void round_trip(struct worker *k, struct leap_pollgroup *pg,
		       struct leap_ats_view *view, uint8_t *a, uint8_t *b)
{
	uint32_t i, at = k->rounds * 100 % 32768, bytes = 1 + k->rounds * 37 %
		32000;
	int err;

	for (i = 0; i < bytes; i++)
		a[i] = (uint8_t)(i * 7 + k->rounds + k->index);
	memset(b, 0xee, bytes);
	err = copy(k, pg, view, a, at, bytes, 1);
	if (!err)
		err = copy(k, pg, view, b, at, bytes, 0);
	if (err == -EFAULT)
		leap__store_release(&k->refused, 1u);
	else if (err || memcmp(a, b, bytes))
		leap__store_release(&k->bad, 1u);
	leap__store_release(&k->rounds, k->rounds + 1);
}

static void *work(void *arg)
{
	struct worker *k = arg;
	struct leap_ats_view *view;
	struct leap_pollgroup *pg;
	uint8_t *a, *b;

	if (leap_pollgroup_create(NULL, &pg) ||
	    leap__rdma_use(pg, &k->fabric->v) ||
	    leap_ats_attach(k->ats, pg, &view))
		abort();
	a = leap_pollgroup_buf_get(pg);
	b = leap_pollgroup_buf_get(pg);
	leap__store_release(&k->attached, 1u);
	while (!k->refused && !k->bad)
		round_trip(k, pg, view, a, b);
	while (leap__load_acquire(&k->stop) < 1)
		leap_pollgroup_poll(pg, 0);
	if (leap_ats_detach(view))
		abort();
	leap_pollgroup_buf_put(pg, a);
	leap_pollgroup_buf_put(pg, b);
	leap__store_release(&k->attached, 0u);
	/* Its lane is closed from another thread, in our poll. */
	while (leap__load_acquire(&k->stop) < 2)
		leap_pollgroup_poll(pg, 0);
	while (leap_pollgroup_destroy(pg) == -EBUSY)
		leap_pollgroup_poll(pg, 0);
	return NULL;
}

static void flag(void *arg)
{
	leap__store_release((uint32_t *)arg, 1u);
}

static void on_opened(struct leap_farmem *far, int err, void *arg)
{
	(void)far;
	(void)arg;
	w.opened = err ? err : 1;
}

static void turn(const uint32_t *what, uint32_t want)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);

	while (leap__load_acquire(what) < want) {
		leap_pollgroup_poll(w.pg, 0);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < SECONDS(60));
	}
}

static void begin(void)
{
	struct leap_farmem_opts fo = LEAP_FARMEM_OPTS_INIT;
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;
	struct leap_share_opts so = LEAP_SHARE_OPTS_INIT;
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	w.fabric = fake_fabric_create();
	assert_int_equal(leap_pollgroup_create(NULL, &w.pg), 0);
	assert_int_equal(leap__rdma_use(w.pg, &w.fabric->v), 0);
	mo.bytes = WORKERS * EACH;
	assert_int_equal(leap_dmabuf_create(&mo, &w.buf), 0);
	so.url = "rdma://127.0.0.1:0";
	so.buf = w.buf;
	so.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	assert_int_equal(leap_share_create(w.pg, &so, &w.share), 0);
	fo.url = leap_share_url(w.share);
	fo.reconnect_ms = 2;
	fo.loss_ms = 20000;
	fo.opened = on_opened;
	assert_int_equal(leap_farmem_open(w.pg, &fo, &w.far), 0);
	while (!w.opened)
		leap_pollgroup_poll(w.pg, 0);
	assert_int_equal(w.opened, 1);
	assert_int_equal(leap_ats_create(NULL, &w.ats), 0);
	assert_int_equal(leap_farmem_range(w.far, 0, WORKERS * EACH,
					   LEAP_PERM_READ | LEAP_PERM_WRITE,
					   &r), 0);
	r.gpa.addr = GPA;
	assert_int_equal(leap_ats_map(w.ats, &r), 0);
}

static void end(void)
{
	uint32_t done = 0, i;

	leap_farmem_close(w.far, flag, &done);
	turn(&done, 1);
	for (i = 0; i < WORKERS; i++) {
		leap__store_release(&w.workers[i].stop, 2u);
		pthread_join(w.workers[i].thread, NULL);
	}
	done = 0;
	leap_share_destroy(w.share, flag, &done);
	turn(&done, 1);
	assert_int_equal(leap_ats_destroy(w.ats), 0);
	leap_dmabuf_put(w.buf);
	while (leap_pollgroup_destroy(w.pg) == -EBUSY)
		leap_pollgroup_poll(w.pg, 0);
	assert_int_equal(fake_fabric_destroy(w.fabric), 0);
}

/* The queue pair that was made last breaks; there may be none. */
static void break_one(void)
{
	struct leap__v_id *id;

	fake_lock(w.fabric);
	for (id = w.fabric->ids; id; id = id->next)
		if (!id->passive && id->state == FAKE_LINKED && id->qp)
			break;
	if (id) {
		fake_apart(id, 0);
		fake_flush(id->qp);
	}
	fake_unlock(w.fabric);
}

static void test_lanes(void **state)
{
	struct leap_farmem_info info = { sizeof(info) };
	uint32_t i, k, done = 0;

	(void)state;
	begin();
	for (i = 0; i < WORKERS; i++) {
		w.workers[i].index = i;
		w.workers[i].ats = w.ats;
		w.workers[i].fabric = w.fabric;
		assert_int_equal(pthread_create(&w.workers[i].thread, NULL,
						work, &w.workers[i]), 0);
	}
	for (k = 0; k < BREAKS; k++) {
		for (i = 0; i < WORKERS; i++)
			turn(&w.workers[i].rounds, ROUNDS + leap__load_acquire(
				&w.workers[i].rounds));
		break_one();
	}
	assert_int_equal(leap_farmem_info(w.far, &info), 0);
	assert_int_equal(info.groups, WORKERS + 1);
	assert_true(info.connections > WORKERS + 1);
	assert_true(info.writes >= WORKERS * BREAKS * ROUNDS);
	assert_int_equal(info.failed, 0);
	/* Under load. */
	assert_int_equal(leap_ats_unmap(w.ats, (leap_gpa_t){ GPA },
					WORKERS * EACH, flag, &done), 0);
	turn(&done, 1);
	for (i = 0; i < WORKERS; i++) {
		turn(&w.workers[i].refused, 1);
		assert_int_equal(w.workers[i].bad, 0);
		leap__store_release(&w.workers[i].stop, 1u);
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lanes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
