/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A leap_host over a drive of the same process (vdev://), with a real target,
 * queues and PRP walker behind the registers: data of every shape against a
 * copy, sleeping for interrupts, and memory that is given back.
 */
#include "rand.h"
#include "serve.h"

#include <leapio/leapio.h>

#define NQN "nqn.2026-01.org.example:drive"
#define BLOCK 512u
#define BLOCKS 8192u
#define MOST 131072u
#define MEM (2u * MOST)
#define NR_PIECES 5

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *vdev;
	struct leap_host *host;
	struct leap_dmabuf *mem;
	uint8_t *base, *heap, *copy;
	struct test_rand rnd;
} w;

static uint32_t below(uint32_t n)
{
	return test_rand_below(&w.rnd, n);
}

static void turn(const int *flag)
{
	while (!*flag)
		leap_pollgroup_wait(w.pg, 100000000);
}

static int setup(void **state)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;

	memset(&w, 0, sizeof(w));
	w.rnd.s = 1;
	popts.spin_ns = -1;	/* sleep whenever there is nothing to do */
	assert_int_equal(leap_pollgroup_create(&popts, &w.pg), 0);
	w.target = serve_target(w.pg, NQN, &w.ss);
	serve_ns(w.pg, w.ss, "memory:4M", 1);
	assert_int_equal(leap_vdev_create(w.ss, NULL, &w.vdev), 0);
	mopts.bytes = MEM;
	assert_int_equal(leap_dmabuf_create(&mopts, &w.mem), 0);
	w.base = leap_dmabuf_addr(w.mem);
	w.heap = malloc(MEM);
	w.copy = calloc(BLOCKS, BLOCK);
	return 0;
}

static int teardown(void **state)
{
	int done = 0;

	leap_vdev_destroy(w.vdev, set_flag, &done);
	turn(&done);
	serve_stop(w.pg, w.target);
	leap_dmabuf_put(w.mem);
	free(w.heap);
	free(w.copy);
	assert_int_equal(leap_pollgroup_destroy(w.pg), 0);
	return 0;
}

static void open_host(uint32_t flags)
{
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;

	o.url = "vdev://here/" NQN;
	o.vdev = w.vdev;
	o.nr_io_queues = 3;
	o.flags = flags;
	assert_int_equal(leap_host_connect(w.pg, &o, &w.host), 0);
	while (leap_host_state(w.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(w.pg, 100000000);
	assert_int_equal(leap_host_state(w.host), LEAP_HOST_LIVE);
	assert_int_equal(leap_host_nr_queues(w.host), 3);
}

static struct leap_vdev_info info(void)
{
	struct leap_vdev_info i = { .size = sizeof(i) };

	assert_int_equal(leap_vdev_info(w.vdev, &i), 0);
	return i;
}

static void close_host(void)
{
	int done = 0;

	leap_host_close(w.host, set_flag, &done);
	turn(&done);
	assert_int_equal(info().nr_ranges, 0);
	assert_int_equal(info().nr_sqs, 0);
	assert_int_equal(info().cc, 0);
}

/* Pieces of @len bytes in all, here and there. Their number. */
static uint32_t cut(struct leap_piece *p, uint32_t len)
{
	int heap = below(4) == 0;
	uint8_t *at = (heap ? w.heap : w.base) +
		      below(3) * 4 * below(2048);
	uint32_t n = 0, part;

	memset(p, 0, NR_PIECES * sizeof(*p));
	while (len) {
		part = n + 1 == NR_PIECES || below(2) ? len :
			1 + below(len);
		if (part > 4096 && part < len && below(2))
			part &= ~4095u;
		p[n].addr = at;
		p[n].len_bytes = part;
		p[n++].buf = heap ? NULL : w.mem;
		at += part;
		len -= part;
	}
	return n;
}

static uint8_t *nth(const struct leap_piece *p, uint32_t i)
{
	while (i >= p->len_bytes)
		i -= (p++)->len_bytes;
	return (uint8_t *)p->addr + i;
}

static void one(void)
{
	uint32_t nr = 1 + below(below(4) ?
				    16 : MOST / BLOCK), i;
	uint32_t lba = below(BLOCKS - nr);
	int is_write = below(2) == 0;
	uint8_t *here = w.copy + (size_t)lba * BLOCK;
	struct leap_piece pieces[NR_PIECES];
	struct leap_req req = { .pieces = pieces };

	req.nr_pieces = cut(pieces, nr * BLOCK);
	req.sqe.opc = is_write ? LEAP_NVM_WRITE : LEAP_NVM_READ;
	req.sqe.nsid = leap_to_le32(1);
	req.sqe.cdw10 = leap_to_le32(lba);
	req.sqe.cdw12 = leap_to_le32(nr - 1);
	for (i = 0; i < nr * BLOCK; i++) {
		*nth(pieces, i) = is_write ? (uint8_t)below(256) : 0x5a;
		if (is_write)
			here[i] = *nth(pieces, i);
	}
	assert_int_equal(leap_host_sync(w.host, w.pg,
					1 + below(3), &req), 0);
	assert_int_equal(leap_req_status(&req), 0);
	for (i = 0; i < nr * BLOCK; i++)
		if (*nth(pieces, i) != here[i])
			fail_msg("LBA %u + byte %u", lba, i);
}

static void data(uint32_t flags)
{
	int i, k;

	for (k = 0; k < 3; k++) {
		open_host(flags);
		for (i = 0; i < 300; i++)
			one();
		assert_true(info().nr_ranges > 0);
		close_host();
	}
}

static void test_data_sgl(void **state)
{
	data(0);
}

static void test_data_prp(void **state)
{
	data(LEAP_QP_PRP);
}

/* Half a second without a command: it sleeps, and does not wake up. */
static void test_idle(void **state)
{
	struct leap_pollgroup_stats a = { .size = sizeof(a) }, b = a;
	uint64_t from;

	open_host(0);
	one();
	for (from = leap_pollgroup_now_ns(w.pg);
	     leap_pollgroup_now_ns(w.pg) - from < 100000000;)
		leap_pollgroup_wait(w.pg, 50000000);
	leap_pollgroup_stats(w.pg, &a);
	for (from = leap_pollgroup_now_ns(w.pg);
	     leap_pollgroup_now_ns(w.pg) - from < 500000000;)
		leap_pollgroup_wait(w.pg, 250000000);
	leap_pollgroup_stats(w.pg, &b);
	assert_in_range(b.wakeups - a.wakeups, 0, 5);
	one();
	close_host();
}

static void test_needs_a_drive(void **state)
{
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;

	o.url = "vdev://here/" NQN;
	assert_int_equal(leap_host_connect(w.pg, &o, &w.host), -EINVAL);
	assert_last_error("vdev:// needs opts.vdev");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_data_sgl), T(test_data_prp), T(test_idle),
		T(test_needs_a_drive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
