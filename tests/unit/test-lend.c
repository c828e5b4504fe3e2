/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One drive behind registers lent to many: over a socket and in the same
 * process, on one thread and on several, with and without shadow doorbells.
 * Who gets how many queues, which admin commands pass, what hostile borrowers
 * reach, and what is left on the drive when they are gone.
 */
#include "rand.h"
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <leapio/leapio.h>

#include "core/io/dispatch.h"
#include "core/io/regctrl.h"
#include "transport/lend/proto.h"

#define NQN "nqn.2026-01.org.example:lent"
#define BLOCK 512u
#define BLOCKS 8192u
#define SLICE 512u		/* blocks of one borrower */
#define SECONDS(n) ((n) * 1000000000ull)

/* An assertion that may fail on any thread. */
#define MUST(x) \
	do { \
		if (!(x)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, \
				#x); \
			abort(); \
		} \
	} while (0)

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_vdev *vdev;
	struct leap_lender *lender;
	struct leap_vdev_info before;	/* of the drive, nothing lent */
	char path[64];
	int state;
} w;

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void added(int err, void *arg)
{
	*(int *)arg = err ? -1 : 1;
}

static void turn(const int *flag)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);

	while (!*flag) {
		leap_pollgroup_wait(w.pg, 1000000);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < SECONDS(20));
	}
}

static struct leap_vdev_info info(void)
{
	struct leap_vdev_info i = { .size = sizeof(i) };

	assert_int_equal(leap_vdev_info(w.vdev, &i), 0);
	return i;
}

static struct leap_lender_info lent(void)
{
	struct leap_lender_info i = { .size = sizeof(i) };

	assert_int_equal(leap_lender_info(w.lender, &i), 0);
	return i;
}

static void on_changed(struct leap_lender *l, enum leap_lender_state state,
		       int err, void *arg)
{
	w.state = (int)state;
}

static void wait_state(enum leap_lender_state state)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);

	while (w.state != (int)state) {
		leap_pollgroup_wait(w.pg, 1000000);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < SECONDS(20));
	}
}

static void add_ns(const char *stack)
{
	struct leap_ns_opts nopts = LEAP_NS_OPTS_INIT;
	int is_added = 0;

	assert_int_equal(leap_bdev_open(w.pg, stack, &nopts.bdev), 0);
	assert_true(leap_ns_add(w.ss, &nopts, added, &is_added) > 0);
	turn(&is_added);
}

static void start_lender(void)
{
	struct leap_lender_opts lopts = LEAP_LENDER_OPTS_INIT;

	lopts.url = "vdev://here/" NQN;
	lopts.vdev = w.vdev;
	lopts.path = w.path;
	lopts.max_queues = 8;
	lopts.max_borrowers = 6;
	lopts.reconnect_ms = 10;
	lopts.changed = on_changed;
	assert_int_equal(leap_lender_create(w.pg, &lopts, &w.lender), 0);
	wait_state(LEAP_LENDER_LIVE);
	w.before = info();
	assert_int_equal(lent().max_queues, 8);
}

static void start(uint32_t no_shadow, const char *stack)
{
	struct leap_subsystem_opts sopts = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_vdev_opts vopts = LEAP_VDEV_OPTS_INIT;

	memset(&w, 0, sizeof(w));
	snprintf(w.path, sizeof(w.path), "/tmp/leap-lend-%d.sock", getpid());
	sopts.nqn = NQN;
	sopts.allow_any_host = 1;
	vopts.no_shadow = no_shadow;
	vopts.nr_vectors = 4;
	assert_int_equal(leap_pollgroup_create(NULL, &w.pg), 0);
	assert_int_equal(leap_target_create(w.pg, NULL, &w.target), 0);
	assert_int_equal(leap_subsystem_create(w.target, &sopts, &w.ss), 0);
	add_ns(stack);
	assert_int_equal(leap_vdev_create(w.ss, &vopts, &w.vdev), 0);
	start_lender();
	assert_int_equal(lent().shadow, !no_shadow);
	assert_int_equal(lent().nr_vectors, 4);
}

static int setup(void **state)
{
	start(0, "memory:4M");
	return 0;
}

static int setup_trapped(void **state)
{
	start(1, "memory:4M");
	return 0;
}

static int setup_slow(void **state)
{
	start(0, "delay[write_us=5000,jitter_us=20000] -> memory:4M");
	return 0;
}

static void wait_unlent(void)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);

	while (lent().nr_borrowers) {
		leap_pollgroup_wait(w.pg, 1000000);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < SECONDS(20));
	}
	assert_int_equal(lent().nr_queues, 0);
	assert_int_equal(lent().nr_maps, 0);
	assert_int_equal(lent().nr_fencing, 0);
	assert_int_equal(info().nr_sqs, 0);
	assert_int_equal(info().nr_cqs, 0);
	assert_int_equal(info().nr_ranges, w.before.nr_ranges);
	assert_true(info().mem_bytes == w.before.mem_bytes);
}

static int teardown(void **state)
{
	int done = 0;

	leap_lender_destroy(w.lender, set_flag, &done);
	turn(&done);
	assert_int_equal(info().nr_ranges, 0);
	done = 0;
	leap_vdev_destroy(w.vdev, set_flag, &done);
	turn(&done);
	done = 0;
	leap_target_destroy(w.target, set_flag, &done);
	turn(&done);
	assert_int_equal(leap_pollgroup_destroy(w.pg), 0);
	unlink(w.path);
	return 0;
}

/* ---- a borrower that behaves, on any thread ------------------------- */

struct side {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct leap_dmabuf *mem;
	uint8_t *base;
	uint32_t nr_queues;
	uint32_t first;		/* block of its slice */
	uint32_t events;
	uint8_t copy[SLICE * BLOCK];
	struct test_rand rnd;
	int state;		/* of the host */
};

static void on_state(struct leap_host *host, enum leap_host_state state,
		     leap_status_t status, int err, void *arg)
{
	((struct side *)arg)->state = (int)state;
}

static void on_event(struct leap_host *host, uint32_t dw0, void *arg)
{
	((struct side *)arg)->events++;
}

/* @over: 1 over the socket, 0 in the process. */
static void side_start(struct side *s, struct leap_pollgroup *pg, int over,
		       uint32_t nr_queues, uint32_t nr)
{
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;
	char url[128];

	memset(s, 0, sizeof(*s));
	s->pg = pg;
	s->first = nr * SLICE;
	s->rnd.s = nr + 1;
	mopts.bytes = 1 << 20;
	MUST(!leap_dmabuf_create(&mopts, &s->mem));
	s->base = leap_dmabuf_addr(s->mem);
	snprintf(url, sizeof(url), "lent:%s/" NQN, over ? w.path : "//here");
	o.url = url;
	if (!over)
		o.lender = w.lender;
	o.nr_io_queues = nr_queues;
	o.depth = 16;
	o.reconnect_ms = 5;
	o.state = on_state;
	o.event = on_event;
	o.arg = s;
	MUST(!leap_host_connect(pg, &o, &s->host));
}

static void side_live(struct side *s)
{
	while (s->state == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(s->pg, 1000000);
	MUST(s->state == LEAP_HOST_LIVE);
	s->nr_queues = leap_host_nr_queues(s->host);
}

static void side_stop(struct side *s)
{
	int done = 0;

	leap_host_close(s->host, set_flag, &done);
	while (!done)
		leap_pollgroup_wait(s->pg, 1000000);
	leap_dmabuf_put(s->mem);
}

static void io(struct side *s, uint8_t opc, uint32_t lba, uint32_t nr,
	       uint8_t *at)
{
	struct leap_piece piece = {
		.addr = at, .len_bytes = nr * BLOCK, .buf = s->mem,
	};
	struct leap_req req = { .pieces = &piece, .nr_pieces = 1 };

	req.sqe.opc = opc;
	req.sqe.nsid = leap_to_le32(1);
	req.sqe.cdw10 = leap_to_le32(s->first + lba);
	req.sqe.cdw12 = leap_to_le32(nr - 1);
	MUST(!leap_host_sync(s->host, s->pg, 1 +
			     test_rand_below(&s->rnd, s->nr_queues), &req));
	MUST(!leap_req_status(&req));
}

static void check(struct side *s, uint32_t n)
{
	uint32_t i, k;

	for (k = 0; k < n; k++) {
		uint32_t nr = 1 + test_rand_below(&s->rnd, 64);
		uint32_t lba = test_rand_below(&s->rnd, SLICE - nr);
		uint8_t *p = s->base + 512 * test_rand_below(&s->rnd, 100);
		uint8_t *copy = s->copy + lba * BLOCK;

		if (test_rand_below(&s->rnd, 2)) {
			for (i = 0; i < nr * BLOCK; i++)
				copy[i] = p[i] =
					(uint8_t)test_rand_below(&s->rnd, 256);
			io(s, LEAP_NVM_WRITE, lba, nr, p);
		} else {
			memset(p, 0x5a, nr * BLOCK);
			io(s, LEAP_NVM_READ, lba, nr, p);
			MUST(!memcmp(p, copy, nr * BLOCK));
		}
	}
}

static uint64_t bounced(struct leap_pollgroup *pg)
{
	struct leap__list *list = &leap__dispatch(pg)->regctrls, *pos, *q;
	uint64_t n = 0;

	leap__list_for_each(pos, list)
		leap__list_for_each(q, &leap__list_entry(pos,
				struct leap__regctrl, link)->queues) {
			struct leap__regq *rq =
				leap__list_entry(q, struct leap__regq, link);

			n += rq->qid ? rq->qp->bounced : 0;
		}
	return n;
}

/* ---- behaving ------------------------------------------------------- */

static void one_after_the_other(int over)
{
	static struct side s;
	int k;

	for (k = 0; k < 3; k++) {
		side_start(&s, w.pg, over, 3, 0);
		side_live(&s);
		assert_int_equal(s.nr_queues, 3);
		if (k)
			io(&s, LEAP_NVM_READ, 0, 256, s.base);
		check(&s, 300);
		assert_int_equal(lent().nr_borrowers, 1);
		assert_int_equal(lent().nr_queues, 3);
		assert_int_equal(info().nr_sqs, 3);
		/* Three rings, the admin queue's, payload. */
		assert_int_equal(lent().nr_maps, 5);
		assert_int_equal(bounced(w.pg), 0);
		io(&s, LEAP_NVM_WRITE_ZEROES, 0, SLICE, s.base);
		memset(s.copy, 0, sizeof(s.copy));
		side_stop(&s);
		wait_unlent();
	}
	assert_int_equal(lent().ended, 3);
	assert_int_equal(lent().resets, 0);
}

static void test_socket(void **state)
{
	one_after_the_other(1);
	/* The drive is awake nearly always: its words are enough. */
	assert_in_range(lent().doorbells, 0, 900);
}

static void test_here(void **state)
{
	one_after_the_other(0);
}

static void test_trapped(void **state)
{
	one_after_the_other(1);
	assert_true(lent().doorbells > 900);
}

static void test_grants(void **state)
{
	static struct side s[4];
	struct leap_borrower_info b = { .size = sizeof(b) };
	uint32_t id = 0, queues = 0, k;

	for (k = 0; k < 3; k++) {
		side_start(&s[k], w.pg, (int)k & 1, 3, k);
		side_live(&s[k]);
	}
	assert_int_equal(s[0].nr_queues, 3);
	assert_int_equal(s[1].nr_queues, 3);
	assert_int_equal(s[2].nr_queues, 2);
	assert_int_equal(info().nr_sqs, 8);
	/* Nothing is left for a fourth. */
	side_start(&s[3], w.pg, 1, 3, 3);
	while (s[3].state == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(w.pg, 1000000);
	assert_int_equal(s[3].state, LEAP_HOST_FAILED);
	side_stop(&s[3]);
	while (!leap_lender_next(w.lender, id, &b)) {
		assert_true(b.id > id);
		assert_true(b.pid == getpid());
		assert_true(b.commands > 3);
		queues += b.nr_queues;
		id = b.id;
	}
	assert_int_equal(queues, 8);
	for (k = 0; k < 3; k++)
		check(&s[k], 100);
	/* What one gives back, another gets. */
	side_stop(&s[1]);
	side_start(&s[3], w.pg, 1, 3, 3);
	side_live(&s[3]);
	assert_int_equal(s[3].nr_queues, 3);
	for (k = 0; k < 4; k++)
		if (k != 1)
			check(&s[k], 100);
	for (k = 0; k < 4; k++)
		if (k != 1)
			side_stop(&s[k]);
	wait_unlent();
}

static void test_events(void **state)
{
	static struct side s[2];
	uint64_t from;

	side_start(&s[0], w.pg, 0, 1, 0);
	side_start(&s[1], w.pg, 1, 1, 1);
	side_live(&s[0]);
	side_live(&s[1]);
	add_ns("memory:1M");
	from = leap_pollgroup_now_ns(w.pg);
	while (!s[0].events || !s[1].events) {
		leap_pollgroup_wait(w.pg, 1000000);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < SECONDS(20));
	}
	side_stop(&s[0]);
	side_stop(&s[1]);
	wait_unlent();
}

static leap_status_t admin(struct side *s, const struct leap_sqe *sqe,
			   uint32_t bytes)
{
	struct leap_piece piece = { .addr = s->base, .len_bytes = bytes };
	struct leap_req req = { .sqe = *sqe };

	req.pieces = &piece;
	req.nr_pieces = bytes != 0;
	assert_int_equal(leap_host_sync(s->host, s->pg, 0, &req), 0);
	return LEAP_STATUS_CODE(leap_req_status(&req));
}

static void test_filter(void **state)
{
	struct leap_sqe q = { .opc = LEAP_ADM_IDENTIFY };
	static struct side s;

	side_start(&s, w.pg, 1, 1, 0);
	side_live(&s);
	q.cdw10 = leap_to_le32(LEAP_CNS_CTRL);
	assert_int_equal(admin(&s, &q, 4096), 0);
	assert_memory_equal(s.base, leap_lender_identify(w.lender), 4096);
	q.opc = LEAP_ADM_GET_LOG;
	q.nsid = leap_to_le32(LEAP_NSID_ALL);
	q.cdw10 = leap_to_le32(LEAP_LID_SMART | 127u << 16);
	assert_int_equal(admin(&s, &q, 512), 0);
	q = (struct leap_sqe){ .opc = LEAP_ADM_GET_FEATURES };
	q.cdw10 = leap_to_le32(LEAP_FID_NUM_QUEUES);
	assert_int_equal(admin(&s, &q, 0), 0);
	q.cdw10 = leap_to_le32(LEAP_FID_WRITE_CACHE);
	assert_int_equal(admin(&s, &q, 0), 0);
	/* What would change the drive for others. */
	q.opc = LEAP_ADM_SET_FEATURES;
	assert_int_equal(admin(&s, &q, 0), LEAP_SC_FEAT_NOT_CHANGEABLE);
	q.opc = LEAP_ADM_FORMAT;
	assert_int_equal(admin(&s, &q, 0), LEAP_SC_INVALID_OPCODE);
	q.opc = LEAP_ADM_SANITIZE;
	assert_int_equal(admin(&s, &q, 0), LEAP_SC_INVALID_OPCODE);
	q.opc = LEAP_ADM_NS_MGMT;
	assert_int_equal(admin(&s, &q, 0), LEAP_SC_INVALID_OPCODE);
	assert_int_equal(lent().refused, 4);
	side_stop(&s);
	wait_unlent();
}

/* Nobody polls but when there is something to do: commands from a group that
 * sleeps to a drive that sleeps, and back. */
static void *sleepy(void *arg)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup_stats a = { .size = sizeof(a) }, b = a;
	struct leap_pollgroup *pg;
	static struct side s;
	uint64_t from;
	int k;

	popts.spin_ns = -1;
	MUST(!leap_pollgroup_create(&popts, &pg));
	side_start(&s, pg, 1, 2, 0);
	side_live(&s);
	check(&s, 20);
	for (k = 0; k < 2; k++) {
		for (from = leap_pollgroup_now_ns(pg);
		     leap_pollgroup_now_ns(pg) - from < 100000000;)
			leap_pollgroup_wait(pg, 50000000);
		leap_pollgroup_stats(pg, &a);
		for (from = leap_pollgroup_now_ns(pg);
		     leap_pollgroup_now_ns(pg) - from < 500000000;)
			leap_pollgroup_wait(pg, 250000000);
		leap_pollgroup_stats(pg, &b);
		MUST(b.wakeups - a.wakeups < 6);
		check(&s, 50);
	}
	side_stop(&s);
	MUST(!leap_pollgroup_destroy(pg));
	atomic_store((atomic_int *)arg, 1);
	return NULL;
}

static void test_idle(void **state)
{
	atomic_int ended = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, sleepy, &ended), 0);
	while (!atomic_load(&ended))
		leap_pollgroup_wait(w.pg, 20000000);
	pthread_join(thread, NULL);
	wait_unlent();
}

/* ---- threads -------------------------------------------------------- */

#define NR_THREADS 3

struct worker {
	pthread_t thread;
	struct side s;
	uint32_t nr;
	atomic_int ended;
};

static void *work(void *arg)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;
	struct worker *x = arg;
	struct leap_pollgroup *pg;
	int k;

	popts.spin_ns = x->nr ? 0 : -1;
	MUST(!leap_pollgroup_create(&popts, &pg));
	for (k = 0; k < 3; k++) {
		side_start(&x->s, pg, 0, 2, x->nr);
		side_live(&x->s);
		MUST(x->s.nr_queues == 2);
		check(&x->s, 150);
		MUST(!bounced(pg));
		io(&x->s, LEAP_NVM_WRITE_ZEROES, 0, SLICE, x->s.base);
		side_stop(&x->s);
	}
	MUST(!leap_pollgroup_destroy(pg));
	atomic_store(&x->ended, 1);
	return NULL;
}

static void threads(void)
{
	static struct worker x[NR_THREADS];
	uint32_t i, left;

	memset(x, 0, sizeof(x));
	for (i = 0; i < NR_THREADS; i++) {
		x[i].nr = i;
		assert_int_equal(pthread_create(&x[i].thread, NULL, work,
						&x[i]), 0);
	}
	do {
		leap_pollgroup_wait(w.pg, 1000000);
		for (left = NR_THREADS, i = 0; i < NR_THREADS; i++)
			left -= (uint32_t)atomic_load(&x[i].ended);
	} while (left);
	for (i = 0; i < NR_THREADS; i++)
		pthread_join(x[i].thread, NULL);
	wait_unlent();
	assert_int_equal(lent().resets, 0);
}

static void test_threads(void **state)
{
	threads();
}

static void test_threads_trapped(void **state)
{
	threads();
}

/* ---- borrowers that do not behave ----------------------------------- */

struct raw {
	int fd;
	struct leap_dmabuf *mem;	/* rings: SQ, 4096: CQ, 8192: data */
	uint8_t *base;
	uint64_t iova;
	struct leap__lend_msg in;
};

static void raw_open(struct raw *r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;

	memset(r, 0, sizeof(*r));
	mopts.bytes = 1 << 20;
	mopts.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_dmabuf_create(&mopts, &r->mem), 0);
	r->base = leap_dmabuf_addr(r->mem);
	r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(addr.sun_path, w.path);
	assert_int_equal(connect(r->fd, (struct sockaddr *)&addr,
				 sizeof(addr)), 0);
}

static void raw_close(struct raw *r)
{
	close(r->fd);
	leap_dmabuf_put(r->mem);
}

static void raw_say(struct raw *r, const void *bytes, size_t n, int fd)
{
	char ctl[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;

	if (fd >= 0) {
		mh.msg_control = ctl;
		mh.msg_controllen = sizeof(ctl);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &fd, sizeof(int));
	}
	assert_int_equal(sendmsg(r->fd, &mh, MSG_NOSIGNAL), (ssize_t)n);
}

/* The next message, whose descriptor is of no use here; 0 = closed. */
static int raw_hear(struct raw *r)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);
	char ctl[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { &r->in, sizeof(r->in) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = ctl, .msg_controllen = sizeof(ctl) };
	struct cmsghdr *cm;
	ssize_t n;
	int fd;

	do {
		leap_pollgroup_wait(w.pg, 100000);
		n = recvmsg(r->fd, &mh, MSG_DONTWAIT);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < SECONDS(20));
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

static void raw_send(struct raw *r, enum leap__lend_type type)
{
	struct leap__lend_msg m = leap__lend_msg(type, 1);

	raw_say(r, &m, sizeof(m), -1);
}

static void raw_hello(struct raw *r)
{
	raw_open(r);
	raw_send(r, LEAP__LEND_HELLO);
	assert_int_equal(raw_hear(r), LEAP__LEND_WELCOME);
}

static void raw_mem(struct raw *r)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_MEM_ADD, 7);

	m.mem.bytes = leap_to_le64(1 << 20);
	raw_say(r, &m, sizeof(m), leap_dmabuf_fd(r->mem));
	assert_int_equal(raw_hear(r), LEAP__LEND_REPLY);
	assert_int_equal(leap_from_le32(r->in.id), 7);
	assert_int_equal(leap_from_le32(r->in.err), 0);
	r->iova = leap_from_le64(r->in.reply.value);
	assert_true(r->iova != 0);
}

static leap_status_t raw_admin(struct raw *r, struct leap_sqe sqe)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_ADMIN, 9);

	m.sqe = sqe;
	raw_say(r, &m, sizeof(m), -1);
	assert_int_equal(raw_hear(r), LEAP__LEND_DONE);
	assert_int_equal(leap_from_le32(r->in.id), 9);
	return LEAP_STATUS_CODE(leap_from_le16(r->in.done.status));
}

static leap_status_t raw_create(struct raw *r, uint8_t opc, uint32_t qid,
				uint32_t size, uint64_t at, uint32_t cdw11)
{
	struct leap_sqe q = { .opc = opc };

	q.prp1 = leap_to_le64(at);
	q.cdw10 = leap_to_le32(qid | (size - 1) << 16);
	q.cdw11 = leap_to_le32(cdw11);
	return raw_admin(r, q);
}

static void raw_queue(struct raw *r)
{
	assert_int_equal(raw_create(r, LEAP_ADM_CREATE_CQ, 1, 64,
				    r->iova + 4096, 3), 0);
	assert_int_equal(raw_create(r, LEAP_ADM_CREATE_SQ, 1, 64, r->iova,
				    1 | 1 << 16), 0);
}

/* Bytes that no borrower sends: the connection ends, and nothing is left. */
static void ends(struct raw *r, const void *bytes, size_t n, int fd)
{
	raw_say(r, bytes, n, fd);
	assert_int_equal(raw_hear(r), 0);
	raw_close(r);
	wait_unlent();
}

static void test_bad_messages(void **state)
{
	struct leap__lend_msg m;
	struct raw r;
	int type, pipes[2], k;

	for (k = 0; k < 4; k++) {
		m = leap__lend_msg(LEAP__LEND_HELLO, 0);
		if (k == 0)
			m.magic = leap_to_le32(1);
		if (k == 1)
			m.version = leap_to_le16(9);
		if (k == 2)
			m.bytes[63] = 1;
		if (k == 3)
			m.err = leap_to_le32(1);
		raw_open(&r);
		ends(&r, &m, sizeof(m), -1);
	}
	/* Nothing before HELLO, no HELLO twice, no lender's words. */
	for (type = 0; type < 20; type++) {
		m = leap__lend_msg((enum leap__lend_type)type, 0);
		if (type == LEAP__LEND_HELLO) {
			raw_hello(&r);
		} else {
			raw_open(&r);
		}
		ends(&r, &m, sizeof(m), -1);
	}
	/* Descriptors of the wrong kind, or where none belongs. */
	assert_int_equal(pipe(pipes), 0);
	m = leap__lend_msg(LEAP__LEND_IRQ, 0);
	raw_hello(&r);
	ends(&r, &m, sizeof(m), pipes[1]);
	m = leap__lend_msg(LEAP__LEND_DISABLE, 0);
	raw_hello(&r);
	ends(&r, &m, sizeof(m), pipes[1]);
	m = leap__lend_msg(LEAP__LEND_MEM_ADD, 0);
	m.mem.bytes = leap_to_le64(4096);
	raw_hello(&r);
	raw_say(&r, &m, sizeof(m), pipes[1]);
	assert_int_equal(raw_hear(&r), LEAP__LEND_REPLY);
	assert_int_equal(leap_from_le32(r.in.err), EACCES);
	raw_close(&r);
	wait_unlent();
	close(pipes[0]);
	close(pipes[1]);
}

static void test_bad_memory(void **state)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_MEM_ADD, 0);
	static const uint64_t bad[][2] = {
		{ 0, 0 }, { 1, 4096 }, { 0, 1ull << 47 }, { 1ull << 47, 4096 },
		{ UINT64_MAX - 4095, 4096 },
	};
	struct raw r;
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		m.mem.offset = leap_to_le64(bad[i][0]);
		m.mem.bytes = leap_to_le64(bad[i][1]);
		raw_hello(&r);
		ends(&r, &m, sizeof(m), leap_dmabuf_fd(r.mem));
	}
	/* Longer than the file; too many; not there. */
	raw_hello(&r);
	m.mem.offset = leap_to_le64(4096);
	m.mem.bytes = leap_to_le64(1 << 20);
	raw_say(&r, &m, sizeof(m), leap_dmabuf_fd(r.mem));
	assert_int_equal(raw_hear(&r), LEAP__LEND_REPLY);
	assert_int_equal(leap_from_le32(r.in.err), EINVAL);
	for (i = 0; i < LEAP__LEND_MAX_MAPS; i++)
		raw_mem(&r);
	m.mem.offset = leap_to_le64(0);
	raw_say(&r, &m, sizeof(m), leap_dmabuf_fd(r.mem));
	assert_int_equal(raw_hear(&r), LEAP__LEND_REPLY);
	assert_int_equal(leap_from_le32(r.in.err), ENOSPC);
	m = leap__lend_msg(LEAP__LEND_MEM_DEL, 3);
	m.mem.iova = leap_to_le64(r.iova + 4096);
	raw_say(&r, &m, sizeof(m), -1);
	assert_int_equal(raw_hear(&r), LEAP__LEND_REPLY);
	assert_int_equal(leap_from_le32(r.in.err), ENOENT);
	raw_close(&r);
	wait_unlent();
}

static void test_bad_queues(void **state)
{
	struct leap_sqe q = { .opc = LEAP_ADM_IDENTIFY };
	struct raw r, other;

	raw_hello(&r);
	raw_mem(&r);
	raw_hello(&other);
	raw_mem(&other);
	raw_queue(&other);
	assert_int_equal(raw_create(&r, LEAP_ADM_CREATE_CQ, 0, 64, r.iova, 3),
			 LEAP_SC_QID_INVALID);
	assert_int_equal(raw_create(&r, LEAP_ADM_CREATE_CQ, 65, 64, r.iova, 3),
			 LEAP_SC_QID_INVALID);
	assert_int_equal(raw_create(&r, LEAP_ADM_CREATE_CQ, 1, 64, 4096, 3),
			 LEAP_SC_INVALID_FIELD);
	/* Another's memory; beyond the end of its own. */
	assert_int_equal(raw_create(&r, LEAP_ADM_CREATE_CQ, 1, 64, other.iova,
				    3), LEAP_SC_INVALID_FIELD);
	assert_int_equal(raw_create(&r, LEAP_ADM_CREATE_CQ, 1, 64, r.iova +
				    (1 << 20) - 512, 3), LEAP_SC_INVALID_FIELD);
	assert_int_equal(raw_create(&r, LEAP_ADM_CREATE_SQ, 1, 64, r.iova,
				    1 | 1 << 16), LEAP_SC_CQ_INVALID);
	assert_int_equal(raw_create(&r, LEAP_ADM_DELETE_SQ, 1, 1, 0, 0),
			 LEAP_SC_QID_INVALID);
	assert_int_equal(raw_create(&r, LEAP_ADM_DELETE_CQ, 1, 1, 0, 0),
			 LEAP_SC_QID_INVALID);
	/* The device's word counts too: a size that it does not take. */
	raw_queue(&r);
	assert_int_equal(raw_create(&r, LEAP_ADM_CREATE_CQ, 1, 64,
				    r.iova + 4096, 3), LEAP_SC_QID_INVALID);
	assert_int_equal(raw_create(&r, LEAP_ADM_DELETE_CQ, 1, 1, 0, 0),
			 LEAP_SC_QUEUE_DELETION);
	/* Data into another's memory. */
	q.cdw10 = leap_to_le32(LEAP_CNS_CTRL);
	q.prp1 = leap_to_le64(other.iova);
	assert_int_equal(raw_admin(&r, q), LEAP_SC_DATA_TRANSFER);
	q.prp1 = leap_to_le64(r.iova + 8192);
	q.prp2 = leap_to_le64(other.iova);
	assert_int_equal(raw_admin(&r, q), LEAP_SC_DATA_TRANSFER);
	q.prp2 = leap_to_le64(0);
	assert_int_equal(raw_admin(&r, q), 0);
	assert_memory_equal(r.base + 8192, leap_lender_identify(w.lender),
			    4096);
	assert_int_equal(info().nr_sqs, 2);
	raw_close(&r);
	raw_close(&other);
	wait_unlent();
}

/* More admin commands than it may have, and one that never reads answers. */
static void test_floods(void **state)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_ADMIN, 0);
	struct raw r;
	int k, n;

	m.sqe.opc = LEAP_ADM_AER;
	for (k = 0; k < 2; k++) {
		raw_hello(&r);
		if (k) {
			raw_mem(&r);
			m.sqe.opc = LEAP_ADM_IDENTIFY;
			m.sqe.cdw10 = leap_to_le32(LEAP_CNS_CTRL);
			m.sqe.prp1 = leap_to_le64(r.iova);
		}
		for (n = 0; n < 100000; n++) {
			if (send(r.fd, &m, sizeof(m), MSG_DONTWAIT |
				 MSG_NOSIGNAL) < 0 && errno != EAGAIN)
				break;
			if (!(n & 15))
				leap_pollgroup_poll(w.pg, 0);
		}
		assert_true(n < 100000);
		raw_close(&r);
		wait_unlent();
	}
}


/* ---- fences --------------------------------------------------------- */

/* Writes of a borrower that is gone the moment it has rung. */
static void raw_writes(struct raw *r, uint32_t qid, uint32_t round)
{
	uint32_t i;
	struct leap_sqe *sq = (struct leap_sqe *)(void *)r->base;
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_RING, 0);

	memset(r->base + 8192, 0xa0 + (int)round, 4096);
	for (i = 0; i < 32; i++) {
		sq[i] = (struct leap_sqe){ .opc = LEAP_NVM_WRITE };
		sq[i].cid = leap_to_le16((uint16_t)i);
		sq[i].nsid = leap_to_le32(1);
		sq[i].cdw10 = leap_to_le32(i * 8);
		sq[i].cdw12 = leap_to_le32(7);
		sq[i].prp1 = leap_to_le64(r->iova + 8192);
	}
	m.doorbells.nr = leap_to_le32(1);
	m.doorbells.flags = leap_to_le32(LEAP__LEND_STORE);
	m.doorbells.db[0].offset = leap_to_le32(0x1000 + 8 * qid);
	m.doorbells.db[0].value = leap_to_le32(32);
	raw_say(r, &m, sizeof(m), -1);
}

static void test_fence(void **state)
{
	static struct side s;
	struct raw r;
	uint32_t qid, k, i, n;

	for (k = 0; k < 8; k++) {
		raw_hello(&r);
		raw_mem(&r);
		assert_int_equal(raw_create(&r, LEAP_ADM_CREATE_CQ, 1, 64,
					    r.iova + 4096, 3), 0);
		qid = leap_from_le16(r.in.done.qid);
		assert_int_equal(raw_create(&r, LEAP_ADM_CREATE_SQ, 1, 64,
					    r.iova, 1 | 1 << 16), 0);
		raw_writes(&r, qid, k);
		for (i = 0; i < k; i++)
			leap_pollgroup_poll(w.pg, 0);
		raw_close(&r);
		/* The successor writes what is to stay. */
		side_start(&s, w.pg, 1, 1, 0);
		side_live(&s);
		assert_int_equal(lent().nr_fencing, 0);
		memset(s.base, 0x11 + (int)k, 256 * BLOCK);
		io(&s, LEAP_NVM_WRITE, 0, 256, s.base);
		for (i = 0; i < 2; i++) {
			uint64_t from = leap_pollgroup_now_ns(w.pg);

			io(&s, LEAP_NVM_READ, 0, 256, s.base);
			for (n = 0; n < 256 * BLOCK; n++)
				assert_int_equal(s.base[n], 0x11 + k);
			while (leap_pollgroup_now_ns(w.pg) - from < 50000000)
				leap_pollgroup_wait(w.pg, 1000000);
		}
		side_stop(&s);
		wait_unlent();
	}
	assert_int_equal(lent().resets, 0);
	assert_int_equal(lent().ended, 16);
}

static void wait_side(struct side *s, int state)
{
	uint64_t from = leap_pollgroup_now_ns(w.pg);

	while (s->state != state) {
		leap_pollgroup_wait(s->pg, 1000000);
		assert_true(leap_pollgroup_now_ns(w.pg) - from < SECONDS(20));
	}
}

static void test_evict(void **state)
{
	struct leap_borrower_info b = { .size = sizeof(b) };
	static struct side s;
	int done = 0;

	side_start(&s, w.pg, 1, 2, 0);
	side_live(&s);
	check(&s, 50);
	assert_int_equal(leap_lender_next(w.lender, 0, &b), 0);
	assert_int_equal(leap_lender_evict(w.lender, b.id + 1, 0, set_flag,
					   &done), -ENOENT);
	/* This process is not killed for that. */
	assert_int_equal(leap_lender_evict(w.lender, b.id, 1, set_flag,
					   &done), 0);
	assert_int_equal(leap_lender_evict(w.lender, b.id, 0, NULL, NULL),
			 -EBUSY);
	turn(&done);
	wait_side(&s, LEAP_HOST_RECONNECTING);
	wait_side(&s, LEAP_HOST_LIVE);
	assert_int_equal(leap_lender_next(w.lender, b.id, &b), 0);
	check(&s, 50);
	assert_int_equal(lent().killed, 0);
	side_stop(&s);
	wait_unlent();
}

/* The drive stops answering: it is reset, and both go on. */
static void test_lost(void **state)
{
	struct leap__list *list = &leap__dispatch(w.pg)->regctrls;
	static struct side s[2];
	int k, i;

	for (i = 0; i < 2; i++) {
		side_start(&s[i], w.pg, i, 2, (uint32_t)i);
		side_live(&s[i]);
	}
	for (k = 1; k < 4; k++) {
		struct leap__list *pos = list->next;
		struct leap__regctrl *c;

		/* The lender's own is the one without a lender. */
		do {
			c = leap__list_entry(pos, struct leap__regctrl, link);
			pos = pos->next;
		} while (c->dev->ops->queue_id);
		leap__regctrl_fail(c, -ETIMEDOUT);
		wait_state(LEAP_LENDER_LOST);
		wait_state(LEAP_LENDER_LIVE);
		for (i = 0; i < 2; i++) {
			wait_side(&s[i], LEAP_HOST_LIVE);
			check(&s[i], 50);
		}
		assert_int_equal(lent().resets, k);
		assert_int_equal(lent().nr_queues, 4);
	}
	for (i = 0; i < 2; i++)
		side_stop(&s[i]);
	wait_unlent();
}

/* ---- memory that is wanted back ------------------------------------- */

static void test_buffer_gone(void **state)
{
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;
	static struct side s;
	uint32_t maps, k;
	uint64_t from;

	side_start(&s, w.pg, 1, 2, 0);
	side_live(&s);
	check(&s, 50);
	maps = lent().nr_maps;
	for (k = 0; k < 5; k++) {
		leap_dmabuf_put(s.mem);
		from = leap_pollgroup_now_ns(w.pg);
		while (lent().nr_maps == maps) {
			leap_pollgroup_wait(w.pg, 1000000);
			assert_true(leap_pollgroup_now_ns(w.pg) - from <
				    SECONDS(20));
		}
		assert_int_equal(lent().nr_maps, maps - 1);
		mopts.bytes = 1 << 20;
		assert_int_equal(leap_dmabuf_create(&mopts, &s.mem), 0);
		s.base = leap_dmabuf_addr(s.mem);
		check(&s, 50);
		assert_int_equal(lent().nr_maps, maps);
	}
	side_stop(&s);
	wait_unlent();
}

/* Another thread uses it meanwhile, and goes on: each wish is granted, and the
 * device knows it again afterwards. */
struct wish {
	struct leap__dmabuf_recall recall;
	atomic_int granted;
};

static void granted(struct leap__dmabuf_recall *recall)
{
	atomic_store(&leap__list_entry(recall, struct wish, recall)->granted,
		     1);
}

static void *use(void *arg)
{
	struct worker *x = arg;
	struct leap_pollgroup *pg;
	int k;

	MUST(!leap_pollgroup_create(NULL, &pg));
	side_start(&x->s, pg, 0, 2, 0);
	side_live(&x->s);
	atomic_store(&x->ended, 1);
	for (k = 0; atomic_load(&x->ended) == 1; k++)
		check(&x->s, 10);
	check(&x->s, 10);
	side_stop(&x->s);
	MUST(!leap_pollgroup_destroy(pg));
	atomic_store(&x->ended, 3);
	return NULL;
}

static void test_recall(void **state)
{
	static struct worker x;
	struct leap_dmabuf *mem;
	struct wish wish;
	uint64_t from;
	int k;

	memset(&x, 0, sizeof(x));
	assert_int_equal(pthread_create(&x.thread, NULL, use, &x), 0);
	while (!atomic_load(&x.ended))
		leap_pollgroup_wait(w.pg, 1000000);
	mem = leap_dmabuf_get(x.s.mem);
	for (k = 0; k < 50; k++) {
		atomic_store(&wish.granted, 0);
		wish.recall.done = granted;
		from = leap_pollgroup_now_ns(w.pg);
		leap__dmabuf_recall(mem, &wish.recall);
		while (!atomic_load(&wish.granted)) {
			leap_pollgroup_wait(w.pg, 100000);
			assert_true(leap_pollgroup_now_ns(w.pg) - from <
				    SECONDS(20));
		}
		while (leap_pollgroup_now_ns(w.pg) - from < (uint64_t)k * 50000)
			leap_pollgroup_wait(w.pg, 10000);
	}
	leap_dmabuf_put(mem);
	atomic_store(&x.ended, 2);
	while (atomic_load(&x.ended) != 3)
		leap_pollgroup_wait(w.pg, 1000000);
	pthread_join(x.thread, NULL);
	wait_unlent();
	assert_int_equal(lent().resets, 0);
}

#define T(f, s) cmocka_unit_test_setup_teardown(f, s, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_socket, setup), T(test_here, setup),
		T(test_trapped, setup_trapped), T(test_grants, setup),
		T(test_events, setup), T(test_filter, setup),
		T(test_idle, setup), T(test_threads, setup),
		T(test_threads_trapped, setup_trapped),
		T(test_bad_messages, setup), T(test_bad_memory, setup),
		T(test_bad_queues, setup), T(test_floods, setup),
		T(test_fence, setup_slow), T(test_evict, setup_slow),
		T(test_lost, setup), T(test_buffer_gone, setup),
		T(test_recall, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
