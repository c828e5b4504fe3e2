/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shm-fixture.c - see shm-fixture.h
 */
#include "shm-fixture.h"

#include <stdio.h>

#include <leapio/dmabuf.h>

#include "core/io/pollgroup.h"
#include "fds.h"
#include "rand.h"

struct shm_server shm;

/* ---- a target ---- */

static const struct leap__world_ops *real_ops;

static int attach(struct leap__world *w, struct leap__wfd *f)
{
	int err = real_ops->attach(w, f);

	if (atomic_load(&shm.attach_fails) <= 0)
		return err;
	/* As when the kernel has no watch to spare: it is in the world. */
	atomic_fetch_sub(&shm.attach_fails, 1);
	atomic_fetch_add(&shm.attach_failed, 1);
	return -ENOSPC;
}

static void tamper(struct leap_pollgroup *pg)
{
	static struct leap__world_ops ops;
	struct leap__world *w = leap__pollgroup_world(pg);

	real_ops = w->ops;
	ops = *w->ops;
	ops.attach = attach;
	w->ops = &ops;
}

static void *io_main(void *arg)
{
	struct shm_server *s = arg;

	assert_int_equal(leap_pollgroup_create(NULL, &s->io), 0);
	tamper(s->io);
	atomic_fetch_add(&s->ready, 1);
	while (!atomic_load(&s->stopped))
		leap_pollgroup_wait(s->io, 10000000);
	assert_int_equal(leap_pollgroup_destroy(s->io), 0);
	return NULL;
}

static void serve(struct shm_server *s, struct leap_pollgroup *pg)
{
	struct leap_subsystem *ss;
	char url[80];

	assert_int_equal(leap_target_create(pg, NULL, &s->target), 0);
	if (s->nr_threads > 1)
		assert_int_equal(leap_target_add_group(s->target, s->io), 0);
	ss = serve_subsystem(s->target, SHM_NQN);
	serve_ns(pg, ss, "memory:64M", 1);
	snprintf(url, sizeof(url), "shm:%s", s->path);
	serve_at(s->target, url);
}

static void *home_main(void *arg)
{
	struct shm_server *s = arg;
	struct leap_pollgroup *pg;

	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	serve(s, pg);
	atomic_fetch_add(&s->ready, 1);
	while (!atomic_load(&s->stop))
		leap_pollgroup_wait(pg, 10000000);
	serve_stop(pg, s->target);
	while (leap_pollgroup_poll(pg, 0))
		;
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
	atomic_store(&s->stopped, 1);
	return NULL;
}

static int start(int nr_threads)
{
	memset(&shm, 0, sizeof(shm));
	shm.nr_threads = nr_threads;
	snprintf(shm.path, sizeof(shm.path), "/tmp/leap-shm-%d.sock",
		 (int)getpid());
	if (nr_threads > 1)
		assert_int_equal(pthread_create(&shm.thread[1], NULL,
						io_main, &shm), 0);
	while (atomic_load(&shm.ready) < nr_threads - 1)
		usleep(1000);
	assert_int_equal(pthread_create(&shm.thread[0], NULL, home_main,
					&shm), 0);
	while (atomic_load(&shm.ready) < nr_threads)
		usleep(1000);
	return 0;
}

int shm_start_one(void **state)
{
	(void)state;
	return start(1);
}

int shm_start_two(void **state)
{
	(void)state;
	return start(2);
}

int shm_stop(void **state)
{
	int i;

	(void)state;
	atomic_store(&shm.stop, 1);
	for (i = 0; i < shm.nr_threads; i++)
		pthread_join(shm.thread[i], NULL);
	unlink(shm.path);
	return 0;
}

/* ---- a good host ---- */

uint32_t shm_below(uint32_t n)
{
	static struct test_rand rnd = { .s = 1 };

	return test_rand_below(&rnd, n);
}

int shm_host_try(struct leap_pollgroup *pg, struct leap_host **out)
{
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	char url[160];

	snprintf(url, sizeof(url), "shm:%s/%s", shm.path, SHM_NQN);
	ho.url = url;
	ho.nr_io_queues = 2;
	ho.depth = 32;
	if (leap_host_connect(pg, &ho, out))
		return 0;
	while (leap_host_state(*out) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(pg, 10000000);
	return leap_host_state(*out) == LEAP_HOST_LIVE;
}

void shm_host_close(struct leap_pollgroup *pg, struct leap_host *host)
{
	int closed = 0;

	leap_host_close(host, set_flag, &closed);
	while (!closed)
		leap_pollgroup_wait(pg, 10000000);
}

void shm_client_open(struct shm_client *c)
{
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;

	memset(c, 0, sizeof(*c));
	assert_int_equal(leap_pollgroup_create(NULL, &c->pg), 0);
	assert_true(shm_host_try(c->pg, &c->host));
	mo.bytes = 4u << 20;
	assert_int_equal(leap_dmabuf_create(&mo, &c->mem), 0);
	c->a = malloc(1 << 20);
	c->b = malloc(1 << 20);
}

void shm_client_close(struct shm_client *c)
{
	shm_host_close(c->pg, c->host);
	leap_dmabuf_put(c->mem);
	assert_int_equal(leap_pollgroup_destroy(c->pg), 0);
	free(c->a);
	free(c->b);
}

static void rw(struct shm_client *c, uint8_t opc, uint64_t lba, uint32_t nr,
	       struct leap_piece *pieces, uint32_t nr_pieces)
{
	struct leap_req req = { .pieces = pieces, .nr_pieces = nr_pieces };

	req.sqe.opc = opc;
	req.sqe.nsid = leap_to_le32(1);
	req.sqe.cdw10 = leap_to_le32((uint32_t)lba);
	req.sqe.cdw12 = leap_to_le32(nr - 1);
	assert_int_equal(leap_host_sync(c->host, c->pg, 1 + shm_below(2),
					&req), 0);
	assert_int_equal(leap_req_status(&req), 0);
}

void shm_check_io(struct shm_client *c, uint32_t nr, int in_place,
		  uint32_t cuts)
{
	uint8_t *mem = leap_dmabuf_addr(c->mem);
	uint8_t *from = in_place ? mem + shm_below(64) * 4 : c->a;
	uint8_t *to = in_place ? mem + (2u << 20) + shm_below(64) * 4 : c->b;
	struct leap_piece out[80] = { 0 }, in[80] = { 0 };
	uint32_t bytes = nr * 512, lba = shm_below(SHM_BLOCKS - nr);
	uint32_t i, at = 0, n;

	for (i = 0; i < bytes; i++)
		from[i] = (uint8_t)shm_below(256);
	memset(to, 0, bytes);
	for (i = 0; i < cuts && at < bytes; i++) {
		n = i == cuts - 1 ? bytes - at : 4 * (1 + shm_below(64));
		n = n < bytes - at ? n : bytes - at;
		out[i].addr = from + at;
		in[i].addr = to + at;
		out[i].len_bytes = in[i].len_bytes = n;
		out[i].buf = in[i].buf = in_place ? c->mem : NULL;
		at += n;
	}
	rw(c, LEAP_NVM_WRITE, lba, nr, out, i);
	rw(c, LEAP_NVM_READ, lba, nr, in, i);
	assert_memory_equal(from, to, bytes);
}

void shm_wait_for_fds(int n)
{
	int i;

	for (i = 0; i < 6000 && fds_open() > n; i++)
		usleep(10000);
	assert_true(fds_open() <= n);
}

void shm_good_one(void)
{
	struct shm_client c;

	shm_client_open(&c);
	shm_check_io(&c, 8, 1, 1);
	shm_client_close(&c);
}
