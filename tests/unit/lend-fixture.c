/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The drive is one of this process, lent by 8 queues to at most 6 borrowers.
 */
#include "fds.h"
#include "lend-fixture.h"

#include <sys/un.h>

struct lx lx;

void lx_turn_once(uint64_t from)
{
	leap_pollgroup_wait(lx.pg, 1000000);
	assert_true(leap_pollgroup_now_ns(lx.pg) - from < LX_SECONDS(120));
}

void lx_turn(const int *flag)
{
	uint64_t from = leap_pollgroup_now_ns(lx.pg);

	while (!*flag)
		lx_turn_once(from);
}

struct leap_vdev_info lx_info(void)
{
	struct leap_vdev_info i = { .size = sizeof(i) };

	assert_int_equal(leap_vdev_info(lx.vdev, &i), 0);
	return i;
}

struct leap_lender_info lx_lent(void)
{
	struct leap_lender_info i = { .size = sizeof(i) };

	assert_int_equal(leap_lender_info(lx.lender, &i), 0);
	return i;
}

static void on_changed(struct leap_lender *l, enum leap_lender_state state,
		       int err, void *arg)
{
	lx.state = (int)state;
}

void lx_wait_state(enum leap_lender_state state)
{
	uint64_t from = leap_pollgroup_now_ns(lx.pg);

	while (lx.state != (int)state)
		lx_turn_once(from);
}

void lx_add_ns(const char *stack)
{
	struct leap_ns_opts nopts = LEAP_NS_OPTS_INIT;
	int is_added = 0;

	assert_int_equal(leap_bdev_open(lx.pg, stack, &nopts.bdev), 0);
	assert_true(leap_ns_add(lx.ss, &nopts, ns_done, &is_added) > 0);
	lx_turn(&is_added);
	assert_int_equal(is_added, 1);
}

static void start_lender(void)
{
	struct leap_lender_opts lopts = LEAP_LENDER_OPTS_INIT;

	lopts.url = "vdev://here/" LX_NQN;
	lopts.vdev = lx.vdev;
	lopts.path = lx.path;
	lopts.max_queues = 8;
	lopts.max_borrowers = 6;
	lopts.reconnect_ms = 10;
	lopts.changed = on_changed;
	assert_int_equal(leap_lender_create(lx.pg, &lopts, &lx.lender), 0);
	lx_wait_state(LEAP_LENDER_LIVE);
	lx.before = lx_info();
	assert_int_equal(lx_lent().max_queues, 8);
}

static void start(uint32_t no_shadow, const char *stack)
{
	struct leap_vdev_opts vopts = LEAP_VDEV_OPTS_INIT;

	memset(&lx, 0, sizeof(lx));
	snprintf(lx.path, sizeof(lx.path), "/tmp/leap-lend-%d.sock", getpid());
	vopts.no_shadow = no_shadow;
	vopts.nr_vectors = 4;
	assert_int_equal(leap_pollgroup_create(NULL, &lx.pg), 0);
	lx.target = serve_target(lx.pg, LX_NQN, &lx.ss);
	lx_add_ns(stack);
	assert_int_equal(leap_vdev_create(lx.ss, &vopts, &lx.vdev), 0);
	start_lender();
	assert_int_equal(lx_lent().shadow, !no_shadow);
	assert_int_equal(lx_lent().nr_vectors, 4);
}

int lx_set_up(void **state)
{
	start(0, "memory:4M");
	return 0;
}

int lx_set_up_trapped(void **state)
{
	start(1, "memory:4M");
	return 0;
}

int lx_set_up_slow(void **state)
{
	start(0, "delay[write_us=5000,jitter_us=20000] -> memory:4M");
	return 0;
}

void lx_wait_unlent(void)
{
	uint64_t from = leap_pollgroup_now_ns(lx.pg);

	while (lx_lent().nr_borrowers)
		lx_turn_once(from);
	assert_int_equal(lx_lent().nr_queues, 0);
	assert_int_equal(lx_lent().nr_maps, 0);
	assert_int_equal(lx_lent().nr_fencing, 0);
	assert_int_equal(lx_info().nr_sqs, 0);
	assert_int_equal(lx_info().nr_cqs, 0);
	assert_int_equal(lx_info().nr_ranges, lx.before.nr_ranges);
	assert_true(lx_info().mem_bytes == lx.before.mem_bytes);
}

int lx_tear_down(void **state)
{
	int done = 0;

	leap_lender_destroy(lx.lender, set_flag, &done);
	lx_turn(&done);
	assert_int_equal(lx_info().nr_ranges, 0);
	done = 0;
	leap_vdev_destroy(lx.vdev, set_flag, &done);
	lx_turn(&done);
	serve_stop(lx.pg, lx.target);
	assert_int_equal(leap_pollgroup_destroy(lx.pg), 0);
	unlink(lx.path);
	return 0;
}

/* ---- a borrower that behaves, on any thread ------------------------- */

static void on_state(struct leap_host *host, enum leap_host_state state,
		     leap_status_t status, int err, void *arg)
{
	((struct lx_side *)arg)->state = (int)state;
}

static void on_event(struct leap_host *host, uint32_t dw0, void *arg)
{
	((struct lx_side *)arg)->events++;
}

void lx_side_start(struct lx_side *s, struct leap_pollgroup *pg, int over,
		   uint32_t nr_queues, uint32_t nr)
{
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;
	char url[128];

	memset(s, 0, sizeof(*s));
	s->pg = pg;
	s->first = nr * LX_SLICE;
	s->rnd.s = nr + 1;
	mopts.bytes = 1 << 20;
	LX_MUST(!leap_dmabuf_create(&mopts, &s->mem));
	s->base = leap_dmabuf_addr(s->mem);
	snprintf(url, sizeof(url), "lent:%s/" LX_NQN,
		 over ? lx.path : "//here");
	o.url = url;
	if (!over)
		o.lender = lx.lender;
	o.nr_io_queues = nr_queues;
	o.depth = 16;
	o.reconnect_ms = 5;
	o.state = on_state;
	o.event = on_event;
	o.arg = s;
	LX_MUST(!leap_host_connect(pg, &o, &s->host));
}

void lx_side_live(struct lx_side *s)
{
	while (s->state == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(s->pg, 1000000);
	LX_MUST(s->state == LEAP_HOST_LIVE);
	s->nr_queues = leap_host_nr_queues(s->host);
}

void lx_side_stop(struct lx_side *s)
{
	int done = 0;

	leap_host_close(s->host, set_flag, &done);
	while (!done)
		leap_pollgroup_wait(s->pg, 1000000);
	leap_dmabuf_put(s->mem);
}

void lx_io(struct lx_side *s, uint8_t opc, uint32_t lba, uint32_t nr,
	   uint8_t *at)
{
	struct leap_piece piece = {
		.addr = at, .len_bytes = nr * LX_BLOCK, .buf = s->mem,
	};
	struct leap_req req = { .pieces = &piece, .nr_pieces = 1 };

	req.sqe.opc = opc;
	req.sqe.nsid = leap_to_le32(1);
	req.sqe.cdw10 = leap_to_le32(s->first + lba);
	req.sqe.cdw12 = leap_to_le32(nr - 1);
	LX_MUST(!leap_host_sync(s->host, s->pg, 1 +
			     test_rand_below(&s->rnd, s->nr_queues), &req));
	LX_MUST(!leap_req_status(&req));
}

void lx_check(struct lx_side *s, uint32_t n)
{
	uint32_t i, k;

	for (k = 0; k < n; k++) {
		uint32_t nr = 1 + test_rand_below(&s->rnd, 64);
		uint32_t lba = test_rand_below(&s->rnd, LX_SLICE - nr);
		uint8_t *p = s->base + 512 * test_rand_below(&s->rnd, 100);
		uint8_t *copy = s->copy + lba * LX_BLOCK;

		if (test_rand_below(&s->rnd, 2)) {
			for (i = 0; i < nr * LX_BLOCK; i++)
				copy[i] = p[i] =
					(uint8_t)test_rand_below(&s->rnd, 256);
			lx_io(s, LEAP_NVM_WRITE, lba, nr, p);
		} else {
			memset(p, 0x5a, nr * LX_BLOCK);
			lx_io(s, LEAP_NVM_READ, lba, nr, p);
			LX_MUST(!memcmp(p, copy, nr * LX_BLOCK));
		}
	}
}

/* ---- one that speaks by itself -------------------------------------- */

void lx_raw_open(struct lx_raw *r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;

	memset(r, 0, sizeof(*r));
	mopts.bytes = 1 << 20;
	mopts.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_dmabuf_create(&mopts, &r->mem), 0);
	r->base = leap_dmabuf_addr(r->mem);
	r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(addr.sun_path, lx.path);
	assert_int_equal(connect(r->fd, (struct sockaddr *)&addr,
				 sizeof(addr)), 0);
}

void lx_raw_close(struct lx_raw *r)
{
	close(r->fd);
	leap_dmabuf_put(r->mem);
}

void lx_raw_say(struct lx_raw *r, const void *bytes, size_t n, int fd)
{
	assert_int_equal(fds_send(r->fd, bytes, n, &fd, fd >= 0, 0),
			 (ssize_t)n);
}

int lx_raw_hear(struct lx_raw *r)
{
	uint64_t from = leap_pollgroup_now_ns(lx.pg);
	char ctl[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { &r->in, sizeof(r->in) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = ctl, .msg_controllen = sizeof(ctl) };
	struct cmsghdr *cm;
	ssize_t n;
	int fd;

	do {
		leap_pollgroup_wait(lx.pg, 100000);
		n = recvmsg(r->fd, &mh, MSG_DONTWAIT);
		assert_true(leap_pollgroup_now_ns(lx.pg) - from <
			    LX_SECONDS(120));
	} while (n < 0 && errno == EAGAIN);
	cm = n > 0 ? CMSG_FIRSTHDR(&mh) : NULL;
	if (cm) {
		memcpy(&fd, CMSG_DATA(cm), sizeof(fd));
		close(fd);
	}
	if (n <= 0)
		return 0;
	assert_int_equal(n, (ssize_t)sizeof(r->in));
	return leap_from_le16(r->in.type);
}

void lx_raw_send(struct lx_raw *r, enum leap__lend_type type)
{
	struct leap__lend_msg m = leap__lend_msg(type, 1);

	lx_raw_say(r, &m, sizeof(m), -1);
}

void lx_raw_hello(struct lx_raw *r)
{
	lx_raw_open(r);
	lx_raw_send(r, LEAP__LEND_HELLO);
	assert_int_equal(lx_raw_hear(r), LEAP__LEND_WELCOME);
}

void lx_raw_mem(struct lx_raw *r)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_MEM_ADD, 7);

	m.mem.bytes = leap_to_le64(1 << 20);
	lx_raw_say(r, &m, sizeof(m), leap_dmabuf_fd(r->mem));
	assert_int_equal(lx_raw_hear(r), LEAP__LEND_REPLY);
	assert_int_equal(leap_from_le32(r->in.id), 7);
	assert_int_equal(leap_from_le32(r->in.err), 0);
	r->iova = leap_from_le64(r->in.reply.value);
	assert_true(r->iova != 0);
}

leap_status_t lx_raw_admin(struct lx_raw *r, struct leap_sqe sqe)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_ADMIN, 9);

	m.sqe = sqe;
	lx_raw_say(r, &m, sizeof(m), -1);
	assert_int_equal(lx_raw_hear(r), LEAP__LEND_DONE);
	assert_int_equal(leap_from_le32(r->in.id), 9);
	return LEAP_STATUS_CODE(leap_from_le16(r->in.done.status));
}

leap_status_t lx_raw_create(struct lx_raw *r, uint8_t opc, uint32_t qid,
			    uint32_t size, uint64_t at, uint32_t cdw11)
{
	struct leap_sqe q = { .opc = opc };

	q.prp1 = leap_to_le64(at);
	q.cdw10 = leap_to_le32(qid | (size - 1) << 16);
	q.cdw11 = leap_to_le32(cdw11);
	return lx_raw_admin(r, q);
}

uint32_t lx_raw_queue(struct lx_raw *r)
{
	uint32_t qid;

	assert_int_equal(lx_raw_create(r, LEAP_ADM_CREATE_CQ, 1, 64,
				       r->iova + 4096, 3), 0);
	qid = leap_from_le16(r->in.done.qid);
	assert_int_equal(lx_raw_create(r, LEAP_ADM_CREATE_SQ, 1, 64, r->iova,
				       1 | 1 << 16), 0);
	return qid;
}

void lx_raw_ring(struct lx_raw *r, uint32_t qid, uint32_t tail)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_RING, 0);

	m.doorbells.nr = leap_to_le32(1);
	m.doorbells.flags = leap_to_le32(LEAP__LEND_STORE);
	m.doorbells.db[0].offset = leap_to_le32(0x1000 + 8 * qid);
	m.doorbells.db[0].value = leap_to_le32(tail);
	lx_raw_say(r, &m, sizeof(m), -1);
}
