/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The target and the hosts of the fault tests. A host owns a range of blocks;
 * after it lost its connection, a block may hold what was acknowledged last or
 * what was on its way then, and from the first read on only the one that was
 * read: an old write that lands later is seen as wrong.
 */
#include "fault.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "core/io/transport.h"
#include "util/atomic.h"

#define WAIT_NS 60000000000ull

static int have(const char *name)
{
	const struct leap_transport_ops *const *t = leap__transports();

	for (; *t; t++)
		if (!strcmp((*t)->name, name))
			return 1;
	return 0;
}

/* ---- a target ---- */

static void *run(void *arg)
{
	struct leap_pollgroup_opts o = LEAP_POLLGROUP_OPTS_INIT;
	struct fault_thread *t = arg;

	o.world = t->s->world;
	assert_int_equal(leap_pollgroup_create(&o, &t->pg), 0);
	leap__store_release(&t->ready, 1u);
	while (!leap__load_acquire(&t->stop))
		leap_pollgroup_wait(t->pg, 10000000);
	/* Nobody may still be sending to a group that goes. */
	leap__store_release(&t->idle, 1u);
	while (!leap__load_acquire(&t->die))
		usleep(200);
	assert_int_equal(leap_pollgroup_destroy(t->pg), 0);
	return NULL;
}

static void added(int err, void *arg)
{
	struct fault_server *s = arg;

	assert_int_equal(err, 0);
	if (!--s->pending)
		leap__store_release(&s->up, 1u);
}

static void listen_on(struct fault_server *s)
{
	struct leap_listener_opts o = LEAP_LISTENER_OPTS_INIT;
	struct leap_listener *listener;

	o.url = s->url;
	if (!strcmp(s->kind, "loop"))
		snprintf(s->url, sizeof(s->url), "loop://");
	else if (!strcmp(s->kind, "tcp"))
		snprintf(s->url, sizeof(s->url), "tcp://127.0.0.1:0");
	else
		snprintf(s->url, sizeof(s->url), "shm:%s", s->path);
	assert_int_equal(leap_listener_create(s->target, &o, &listener), 0);
	snprintf(s->url, sizeof(s->url), "%s/%s", strcmp(s->kind, "loop") ?
		 leap_listener_url(listener) : "loop://leapio", FAULT_NQN);
}

static struct fault_server *server_of(struct leap_msg *msg)
{
	return ((struct fault_thread *)(void *)
		((char *)msg - offsetof(struct fault_thread, msg)))->s;
}

static void serve_msg(struct leap_msg *msg)
{
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct fault_server *s = server_of(msg);
	struct leap_pollgroup *home = s->thread[0].pg;
	unsigned int i;

	assert_int_equal(leap_target_create(home, NULL, &s->target), 0);
	for (i = 1; i < s->nr_threads; i++)
		assert_int_equal(leap_target_add_group(s->target,
						       s->thread[i].pg), 0);
	so.nqn = FAULT_NQN;
	so.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(s->target, &so, &s->ss), 0);
	s->pending = 1;
	for (i = 0; s->stack[i]; i++) {
		struct leap_ns_opts o = LEAP_NS_OPTS_INIT;

		if (leap_bdev_open(home, s->stack[i], &o.bdev))
			fail_msg("%s: %s", s->stack[i], leap_last_error());
		s->pending++;
		assert_int_equal(leap_ns_add(s->ss, &o, added, s), i + 1);
	}
	listen_on(s);
	added(0, s);
}

void fault_serve(struct fault_server *s, unsigned int nr_groups)
{
	unsigned int i;

	if (!have(s->kind))
		skip();
	s->nr_threads = 1 + nr_groups;
	snprintf(s->path, sizeof(s->path), "/tmp/leap-fault-%d.sock",
		 (int)getpid());
	for (i = 0; i < s->nr_threads; i++) {
		s->thread[i].s = s;
		assert_int_equal(pthread_create(&s->thread[i].id, NULL, run,
						&s->thread[i]), 0);
		while (!leap__load_acquire(&s->thread[i].ready))
			usleep(200);
	}
	s->thread[0].msg.run = serve_msg;
	leap_pollgroup_send(s->thread[0].pg, &s->thread[0].msg);
	while (!leap__load_acquire(&s->up))
		usleep(200);
}

static void target_gone(void *arg)
{
	leap__store_release((unsigned int *)arg, 1u);
}

static void end_msg(struct leap_msg *msg)
{
	struct fault_server *s = server_of(msg);

	leap_target_destroy(s->target, target_gone, &s->gone);
}

static void stats_msg(struct leap_msg *msg)
{
	struct fault_server *s = server_of(msg);

	s->stats.size = sizeof(s->stats);
	assert_int_equal(leap_target_stats(s->target, &s->stats), 0);
	leap__store_release(&s->up, 1u);
}

struct leap_target_stats fault_stats(struct fault_server *s)
{
	leap__store_release(&s->up, 0u);
	s->thread[0].msg.run = stats_msg;
	leap_pollgroup_send(s->thread[0].pg, &s->thread[0].msg);
	while (!leap__load_acquire(&s->up))
		usleep(200);
	return s->stats;
}

void fault_end(struct fault_server *s)
{
	uint64_t until = fault_now_ns() + WAIT_NS;
	unsigned int i;

	s->thread[0].msg.run = end_msg;
	leap_pollgroup_send(s->thread[0].pg, &s->thread[0].msg);
	while (!leap__load_acquire(&s->gone)) {
		assert_true(fault_now_ns() < until);
		usleep(1000);
	}
	for (i = 0; i < s->nr_threads; i++)
		leap__store_release(&s->thread[i].stop, 1u);
	for (i = 0; i < s->nr_threads; i++)
		while (!leap__load_acquire(&s->thread[i].idle))
			usleep(200);
	for (i = 0; i < s->nr_threads; i++) {
		leap__store_release(&s->thread[i].die, 1u);
		pthread_join(s->thread[i].id, NULL);
	}
	unlink(s->path);
}

/* ---- hosts ---- */

static uint32_t rnd(struct fault_host *h, uint32_t n)
{
	h->rnd = h->rnd * 1664525u + 1013904223u;
	return (h->rnd >> 8) % n;
}

static uint32_t word(const struct fault_host *h, uint32_t block, uint32_t gen,
		     uint32_t i)
{
	return gen ? gen * 2654435761u + h->index * 40503u + block * 129u + i :
		0;
}

static void read_back(struct fault_slot *s)
{
	struct fault_host *h = s->h;
	struct fault_block *b = &h->block[s->block];
	uint32_t i, gen = b->acked;

	if (b->maybe && s->data[0] == word(h, s->block, b->maybe, 0))
		gen = b->maybe;
	for (i = 0; i < COUNT(s->data); i++) {
		if (s->data[i] == word(h, s->block, gen, i))
			continue;
		h->wrong++;
		break;
	}
	b->acked = gen;
	b->maybe = 0;
	h->verified++;
}

static void next(struct fault_slot *s);

static void done(struct leap_req *req)
{
	struct fault_slot *s = (struct fault_slot *)req;
	struct fault_block *b = &s->h->block[s->block];
	struct fault_host *h = s->h;

	h->in_flight--;
	b->busy = 0;
	if (leap_req_status(req)) {
		/* One of several writes in doubt is never overwritten: the
		 * block is read before it is written again. */
		if (req->sqe.opc == LEAP_NVM_WRITE)
			b->maybe = s->gen;
		h->failed += !h->closing;
		return;
	}
	if (req->sqe.opc == LEAP_NVM_WRITE) {
		b->acked = s->gen;
		h->acked++;
	} else {
		read_back(s);
	}
	if (!h->closing)
		next(s);
}

static void next(struct fault_slot *s)
{
	struct leap_req *req = &s->req;
	struct fault_host *h = s->h;
	struct fault_block *b;
	uint32_t i;

	if (h->check) {
		s->block = --h->check;
	} else {
		do
			s->block = rnd(h, FAULT_BLOCKS);
		while (h->block[s->block].busy);
	}
	b = &h->block[s->block];
	req->sqe.opc = !h->check && !b->maybe && rnd(h, 2) ? LEAP_NVM_WRITE :
		LEAP_NVM_READ;
	if (req->sqe.opc == LEAP_NVM_WRITE) {
		s->gen = ++h->gen;
		for (i = 0; i < COUNT(s->data); i++)
			s->data[i] = word(h, s->block, s->gen, i);
	}
	req->sqe.nsid = leap_to_le32(h->nsid);
	req->sqe.cdw10 = leap_to_le32(h->index * FAULT_BLOCKS + s->block);
	if (leap_host_submit(h->host, 1, &req, 1) != 1)
		return;
	b->busy = 1;
	h->in_flight++;
}

void fault_host_init(struct fault_host *h, struct leap_pollgroup *pg,
		     uint32_t index)
{
	uint32_t i;

	memset(h, 0, sizeof(*h));
	h->pg = pg;
	h->index = index;
	h->nsid = 1;
	h->rnd = index;
	for (i = 0; i < FAULT_SLOTS; i++) {
		h->slot[i].h = h;
		h->slot[i].piece.addr = h->slot[i].data;
		h->slot[i].piece.len_bytes = sizeof(h->slot[i].data);
		h->slot[i].req.pieces = &h->slot[i].piece;
		h->slot[i].req.nr_pieces = 1;
		h->slot[i].req.done = done;
	}
}

void fault_host_open(struct fault_host *h, const char *url,
		     struct leap_target *target)
{
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;

	o.url = url;
	o.target = target;
	o.depth = 16;
	o.loss_ms = UINT32_MAX;
	memset(o.hostid, 0x5a, sizeof(o.hostid));
	o.hostid[0] = (uint8_t)h->index;
	h->check = FAULT_BLOCKS;
	h->closing = h->closed = 0;
	if (leap_host_connect(h->pg, &o, &h->host))
		fail_msg("%s", leap_last_error());
}

void fault_host_feed(struct fault_host *h)
{
	uint32_t i;

	if (h->closing || leap_host_state(h->host) != LEAP_HOST_LIVE)
		return;
	for (i = 0; !h->in_flight && i < FAULT_SLOTS; i++)
		next(&h->slot[i]);
}

static void closed(void *arg)
{
	struct fault_host *h = arg;

	h->closed = 1;
	h->host = NULL;
}

void fault_host_close(struct fault_host *h)
{
	h->closing = 1;
	leap_host_close(h->host, closed, h);
}

leap_status_t fault_cmd(struct leap_host *host, struct leap_pollgroup *pg,
			uint8_t opc, uint32_t nsid, uint64_t lba,
			uint32_t nr_blocks, void *data)
{
	struct leap_piece piece = {
		.addr = data, .len_bytes = nr_blocks * 512,
	};
	struct leap_req req = { .pieces = &piece, .nr_pieces = data ? 1 : 0 };

	req.sqe.opc = opc;
	req.sqe.nsid = leap_to_le32(nsid);
	req.sqe.cdw10 = leap_to_le32((uint32_t)lba);
	req.sqe.cdw12 = leap_to_le32(nr_blocks ? nr_blocks - 1 : 0);
	assert_int_equal(leap_host_sync(host, pg, 1, &req), 0);
	return leap_req_status(&req);
}

/* ---- the process ---- */

uint64_t fault_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t fault_rss_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long size, rss;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &rss), 2);
	fclose(f);
	return (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
}

int fault_slow(void)
{
	const char *cross = getenv("LEAP_CROSS");
	const char *instrumented = getenv("LEAP_INSTRUMENTED");

	return (cross && *cross) || (instrumented && *instrumented);
}
