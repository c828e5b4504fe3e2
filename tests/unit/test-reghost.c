/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host end for controllers behind registers against one that is scripted:
 * bring-up and every way in which it fails, queue creation, payload of every
 * shape, doorbells, interrupts, completions that lie, and the end at any
 * moment.
 */
#include "fake-regs.h"

#include <poll.h>

#include <leapio/dmabuf.h>
#include <leapio/nvmf.h>
#include <leapio/pollgroup.h>

#define URL "fake:x/" FAKE_NQN
#define MB (1u << 20)

struct side {
	struct leap_qp *qp;
	int state;		/* 1 connected, -1 not */
	leap_status_t status;
	int err, lost, lost_err, closed;
};

struct cmd {
	struct leap_req req;	/* first */
	struct leap_piece piece[4];
	int done;
};

static struct leap_pollgroup *pg;
static struct side admin, io1;
static struct leap_dmabuf *mem;
static uint8_t *base;

static void on_connected(struct leap_qp *qp, leap_status_t status, int err,
			 void *arg)
{
	struct side *s = arg;

	s->state = status ? -1 : 1;
	s->status = status;
	s->err = err;
}

static void on_lost(struct leap_qp *qp, int err, void *arg)
{
	struct side *s = arg;

	s->lost++;
	s->lost_err = err;
}

static void on_closed(void *arg)
{
	((struct side *)arg)->closed++;
}

static void on_done(struct leap_req *req)
{
	((struct cmd *)req)->done++;
}

/* Until *@flag, or for 8 s. */
static int turn(const int *flag)
{
	uint64_t from = leap_pollgroup_now_ns(pg);

	while (!*flag && leap_pollgroup_now_ns(pg) - from < 8000000000ull) {
		leap_pollgroup_poll(pg, 0);
		fake_poll();
	}
	return *flag;
}

static void turns(int n)
{
	while (n--) {
		leap_pollgroup_poll(pg, 0);
		fake_poll();
	}
}

static struct leap_qp_opts opts_of(struct side *s, uint16_t qid)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;

	memset(s, 0, sizeof(*s));
	o.url = URL;
	o.qid = qid;
	o.cntlid = qid ? 3 : 0;
	o.depth = qid ? 16 : 0;
	o.connected = on_connected;
	o.lost = on_lost;
	o.arg = s;
	return o;
}

static int begin(struct side *s, const struct leap_qp_opts *o)
{
	return leap_qp_connect(pg, o, &s->qp);
}

static void finish(struct side *s)
{
	if (!s->qp)
		return;
	leap_qp_close(s->qp, on_closed, s);
	assert_int_equal(turn(&s->closed), 1);
	s->qp = NULL;
}

static void connect_admin(void)
{
	struct leap_qp_opts o = opts_of(&admin, 0);

	assert_int_equal(begin(&admin, &o), 0);
	assert_int_equal(turn(&admin.state), 1);
}

static void run(struct side *s, struct cmd *c)
{
	struct leap_req *req = &c->req;

	c->done = 0;
	c->req.done = on_done;
	assert_int_equal(leap_qp_submit(s->qp, &req, 1), 1);
	leap_qp_kick(s->qp);
	assert_int_equal(turn(&c->done), 1);
}

static leap_status_t set_cc(uint32_t cc)
{
	struct leap_fab_prop_set p = {
		.opc = LEAP_ADM_FABRICS, .fctype = LEAP_FCTYPE_PROP_SET,
		.ofst = leap_to_le32(LEAP_REG_CC), .value = leap_to_le64(cc),
	};
	struct cmd c = { 0 };

	memcpy(&c.req.sqe, &p, sizeof(p));
	run(&admin, &c);
	return leap_req_status(&c.req);
}

static uint32_t get(uint32_t reg)
{
	struct leap_fab_prop_get p = {
		.opc = LEAP_ADM_FABRICS, .fctype = LEAP_FCTYPE_PROP_GET,
		.ofst = leap_to_le32(reg),
	};
	struct cmd c = { 0 };

	memcpy(&c.req.sqe, &p, sizeof(p));
	run(&admin, &c);
	assert_int_equal(leap_req_status(&c.req), 0);
	return (uint32_t)leap_req_result(&c.req);
}

#define ON 0x00460001u

static void up(void)
{
	connect_admin();
	assert_int_equal(set_cc(ON), 0);
	assert_int_equal(get(LEAP_REG_CSTS), LEAP_CSTS_RDY);
}

static void connect_io(struct side *s, uint32_t flags)
{
	struct leap_qp_opts o = opts_of(s, 1);

	o.flags = flags;
	assert_int_equal(begin(s, &o), 0);
	assert_int_equal(turn(&s->state), 1);
}

/* A read or write of the first @nr pieces of @c. */
static void transfer(struct cmd *c, uint8_t opc, uint32_t nr)
{
	uint32_t i, len = 0;

	for (i = 0; i < nr; i++)
		len += c->piece[i].len_bytes;
	c->req.pieces = c->piece;
	c->req.nr_pieces = nr;
	c->req.sqe.opc = opc;
	c->req.sqe.nsid = leap_to_le32(1);
	c->req.sqe.cdw12 = leap_to_le32(len / 512 - 1);
	run(&io1, c);
	assert_int_equal(leap_req_status(&c->req), 0);
}

static void piece(struct cmd *c, uint32_t i, uint8_t *addr, uint32_t len)
{
	c->piece[i].addr = addr;
	c->piece[i].len_bytes = len;
	c->piece[i].buf = addr >= base && addr < base + 4 * MB ? mem : NULL;
}

/* Read what the device makes of it, and have it check what we send. */
static void both_ways(struct cmd *c, uint32_t nr)
{
	uint32_t i, k, pos = 0;

	for (i = 0; i < nr; i++)
		memset(c->piece[i].addr, 0xee, c->piece[i].len_bytes);
	transfer(c, LEAP_NVM_READ, nr);
	for (i = 0; i < nr; i++)
		for (k = 0; k < c->piece[i].len_bytes; k++, pos++)
			assert_int_equal(((uint8_t *)c->piece[i].addr)[k],
					 (uint8_t)(pos * 7 + (pos >> 8)));
	transfer(c, LEAP_NVM_WRITE, nr);
}

static int setup(void **state)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;

	fake_init();
	memset(&admin, 0, sizeof(admin));
	memset(&io1, 0, sizeof(io1));
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	o.bytes = 4 * MB;
	o.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_dmabuf_create(&o, &mem), 0);
	base = leap_dmabuf_addr(mem);
	return 0;
}

static int teardown(void **state)
{
	finish(&io1);
	finish(&admin);
	leap_dmabuf_put(mem);
	assert_int_equal(fake.maps, 0);
	if (leap_pollgroup_destroy(pg))
		fail_msg("%s", leap_last_error());
	return 0;
}

/* ---- bring-up ---- */

static void test_enable(void **state)
{
	struct leap_qp_info info = { .size = sizeof(info) };

	connect_admin();
	leap_qp_info(admin.qp, &info);
	assert_int_equal(info.cntlid, 3);
	assert_int_equal(fake.command, 0x406);
	assert_int_equal(fake.msix, 0x8000);
	assert_int_equal(fake.enables, 1);
	assert_int_equal(get(LEAP_REG_CC) & LEAP_CC_EN, 0);
	assert_int_equal(get(LEAP_REG_CSTS), 0);
	fake.ready_after = 3;
	assert_int_equal(set_cc(ON), 0);
	assert_int_equal(get(LEAP_REG_CSTS), LEAP_CSTS_RDY);
	assert_int_equal(get(LEAP_REG_CC), ON);
	assert_true((fake.aqa & 0xfff) + 1 > 32);
	/* Other page sizes than the rings have. */
	assert_int_equal(LEAP_STATUS_CODE(set_cc(ON | 1 << 7)),
			 LEAP_SC_INVALID_FIELD);
}

static void expect_down(int err)
{
	struct leap_qp_opts o = opts_of(&admin, 0);

	assert_int_equal(begin(&admin, &o), 0);
	assert_int_equal(turn(&admin.state), -1);
	assert_int_equal(admin.err, err);
	assert_int_equal(LEAP_STATUS_SCT(admin.status), 3);
}

static void test_never_ready(void **state)
{
	fake.never_ready = 1;
	expect_down(-ETIMEDOUT);
	assert_int_equal(fake.closes, 1);
}

static void test_fatal(void **state)
{
	fake.cfs = 1;
	expect_down(-EIO);
}

static void test_gone(void **state)
{
	fake.gone = 1;
	expect_down(-ENODEV);
}

static void test_large_pages(void **state)
{
	fake.cap |= LEAP_PUT(1ull, LEAP_CAP_MPSMIN);
	expect_down(-EOPNOTSUPP);
}

static void test_cannot_open(void **state)
{
	fake.open_err = -ECONNREFUSED;
	expect_down(-ECONNREFUSED);
}

static void test_cannot_map(void **state)
{
	fake.map_err = -ENOMEM;
	expect_down(-ENOMEM);
}

/* What a user sees of a controller that does not come up: CSTS, as it is. */
static void test_enable_fails(void **state)
{
	connect_admin();
	fake.never_ready = 1;
	assert_int_equal(set_cc(ON), 0);
	assert_int_equal(get(LEAP_REG_CSTS), 0);
	assert_int_equal(set_cc(0), 0);
	fake.never_ready = 0;
	fake.cfs = 1;
	assert_int_equal(set_cc(ON), 0);
	assert_int_equal(get(LEAP_REG_CSTS), LEAP_CSTS_CFS);
	assert_int_equal(set_cc(0), 0);
	fake.cfs = 0;
	assert_int_equal(set_cc(ON), 0);
	assert_int_equal(get(LEAP_REG_CSTS), LEAP_CSTS_RDY);
}

static void test_stays_ready(void **state)
{
	up();
	fake.stays_ready = 1;
	assert_int_equal(set_cc(0), 0);
	assert_int_equal(fake.resets, 1);
	assert_int_equal(fake.command, 0x406);
	assert_int_equal(set_cc(ON), 0);
	assert_int_equal(get(LEAP_REG_CSTS), LEAP_CSTS_RDY);
}

static void test_stays_ready_for_ever(void **state)
{
	struct leap_fab_prop_set p = {
		.opc = LEAP_ADM_FABRICS, .fctype = LEAP_FCTYPE_PROP_SET,
		.ofst = leap_to_le32(LEAP_REG_CC),
	};
	struct cmd c = { 0 };

	up();
	fake.stays_ready = 2;
	memcpy(&c.req.sqe, &p, sizeof(p));
	run(&admin, &c);
	assert_int_equal(c.req.sys_errno, -ETIMEDOUT);
	assert_int_equal(turn(&admin.lost), 1);
	assert_int_equal(admin.lost_err, -ETIMEDOUT);
}

static void test_names(void **state)
{
	struct leap_qp_opts o = opts_of(&admin, 0);

	o.url = "fake:x/nqn.2026-01.org.example:another";
	assert_int_equal(begin(&admin, &o), 0);
	assert_int_equal(turn(&admin.state), -1);
	assert_int_equal(LEAP_STATUS_CODE(admin.status), LEAP_SC_FAB_PARAM);
	finish(&admin);
	o = opts_of(&admin, 0);
	o.url = "fake:x/" LEAP_NQN_DISCOVERY;
	assert_int_equal(begin(&admin, &o), 0);
	assert_int_equal(turn(&admin.state), -1);
	assert_int_equal(LEAP_STATUS_CODE(admin.status), LEAP_SC_FAB_PARAM);
	finish(&admin);
	/* Older than names. */
	memset(fake.id.subnqn, 0, sizeof(fake.id.subnqn));
	connect_admin();
}

static void test_identify_refused(void **state)
{
	struct leap_qp_opts o = opts_of(&admin, 0);

	fake.refuse_id = LEAP_SC_INTERNAL;
	assert_int_equal(begin(&admin, &o), 0);
	assert_int_equal(turn(&admin.state), -1);
	assert_int_equal(admin.status, LEAP_SC_INTERNAL);
}

/* It never answers: the connect timeout, and then the end is ours. */
static void test_silent(void **state)
{
	struct leap_qp_opts o = opts_of(&admin, 0);

	fake.mute = 1;
	o.connect_timeout_ms = 50;
	assert_int_equal(begin(&admin, &o), 0);
	assert_int_equal(turn(&admin.state), -1);
	assert_int_equal(admin.err, -ETIMEDOUT);
	finish(&admin);
	fake.never_opens = 1;
	o = opts_of(&admin, 0);
	o.connect_timeout_ms = 50;
	assert_int_equal(begin(&admin, &o), 0);
	assert_int_equal(turn(&admin.state), -1);
	finish(&admin);
}

/* ---- queues ---- */

static void test_refused_queues(void **state)
{
	static const struct {
		leap_status_t cq, sq, seen;
	} rows[] = {
		{ LEAP_SC_QID_INVALID, 0, LEAP_SC_FAB_PARAM },
		{ LEAP_SC_QSIZE_INVALID, 0, LEAP_SC_FAB_PARAM },
		{ LEAP_SC_INT_VECTOR, 0, LEAP_SC_INT_VECTOR },
		{ 0, LEAP_SC_QID_INVALID, LEAP_SC_FAB_PARAM },
		{ 0, LEAP_SC_CQ_INVALID, LEAP_SC_CQ_INVALID },
	};
	struct leap_qp_opts o;
	unsigned int i;

	up();
	for (i = 0; i < COUNT(rows); i++) {
		fake.refuse_cq = rows[i].cq;
		fake.refuse_sq = rows[i].sq;
		o = opts_of(&io1, 1);
		assert_int_equal(begin(&io1, &o), 0);
		assert_int_equal(turn(&io1.state), -1);
		assert_int_equal(LEAP_STATUS_CODE(io1.status), rows[i].seen);
		assert_int_equal(fake.q[1].cq_size, 0);
		finish(&io1);
	}
	fake.refuse_cq = fake.refuse_sq = 0;
	connect_io(&io1, 0);
}

static void test_bad_io_connects(void **state)
{
	struct leap_qp_opts o = opts_of(&io1, 1);
	struct side two;

	assert_int_equal(begin(&io1, &o), -ENOTCONN);
	assert_last_error("no controller 3");
	io1.qp = NULL;
	connect_admin();
	/* Not enabled. */
	o = opts_of(&io1, 1);
	assert_int_equal(begin(&io1, &o), 0);
	assert_int_equal(turn(&io1.state), -1);
	assert_int_equal(LEAP_STATUS_CODE(io1.status), LEAP_SC_CMD_SEQUENCE);
	finish(&io1);
	assert_int_equal(set_cc(ON), 0);
	/* Deeper than CAP.MQES. */
	o = opts_of(&io1, 1);
	o.depth = 2000;
	assert_int_equal(begin(&io1, &o), 0);
	assert_int_equal(turn(&io1.state), -1);
	assert_int_equal(LEAP_STATUS_CODE(io1.status), LEAP_SC_FAB_PARAM);
	finish(&io1);
	connect_io(&io1, 0);
	o = opts_of(&two, 1);
	assert_int_equal(begin(&two, &o), -EBUSY);
}

/* What may not be asked for, and what is answered without the controller. */
static void test_own_answers(void **state)
{
	static const struct {
		uint8_t opc;
		uint32_t len;
		leap_status_t status;
	} rows[] = {
		{ LEAP_ADM_CREATE_CQ, 0, LEAP_SC_INVALID_OPCODE },
		{ LEAP_ADM_CREATE_SQ, 0, LEAP_SC_INVALID_OPCODE },
		{ LEAP_ADM_DELETE_CQ, 0, LEAP_SC_INVALID_OPCODE },
		{ LEAP_ADM_DELETE_SQ, 0, LEAP_SC_INVALID_OPCODE },
		{ LEAP_ADM_DBBUF_CONFIG, 0, LEAP_SC_INVALID_OPCODE },
		{ LEAP_ADM_IDENTIFY, 512, LEAP_SC_SGL_DATA_LEN },
		{ LEAP_ADM_IDENTIFY, 0, LEAP_SC_SGL_DATA_LEN },
		{ LEAP_ADM_IDENTIFY, 4096, 0 },
		{ LEAP_ADM_KEEP_ALIVE, 0, 0 },
	};
	unsigned int i;

	fake.id.kas = leap_to_le16(0);
	up();
	for (i = 0; i < COUNT(rows); i++) {
		struct cmd c = { 0 };

		c.req.sqe.opc = rows[i].opc;
		piece(&c, 0, base, rows[i].len);
		c.req.pieces = c.piece;
		c.req.nr_pieces = rows[i].len ? 1 : 0;
		run(&admin, &c);
		assert_int_equal(LEAP_STATUS_CODE(leap_req_status(&c.req)),
				 rows[i].status);
	}
}

static void test_disable_ends_queues(void **state)
{
	struct cmd c = { 0 }, aer = { 0 };
	struct leap_req *req = &c.req;

	up();
	connect_io(&io1, 0);
	fake.hold = 1;
	c.req.sqe.opc = LEAP_NVM_FLUSH;
	c.req.done = on_done;
	assert_int_equal(leap_qp_submit(io1.qp, &req, 1), 1);
	aer.req.sqe.opc = LEAP_ADM_AER;
	aer.req.done = on_done;
	req = &aer.req;
	assert_int_equal(leap_qp_submit(admin.qp, &req, 1), 1);
	turns(5);
	assert_int_equal(set_cc(0), 0);
	assert_int_equal(io1.lost, 1);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.req.sys_errno, -ECONNRESET);
	assert_int_equal(aer.done, 1);
	assert_int_equal(leap_req_status(&aer.req), LEAP_SC_ABORT_SQ_DELETED);
	finish(&io1);
	assert_int_equal(set_cc(ON), 0);
	connect_io(&io1, 0);
}

static void test_close_aborts(void **state)
{
	struct cmd c[3];
	struct leap_req *reqs[3];
	unsigned int i;

	up();
	connect_io(&io1, 0);
	fake.hold = 1;
	memset(c, 0, sizeof(c));
	for (i = 0; i < 3; i++) {
		c[i].req.sqe.opc = LEAP_NVM_FLUSH;
		c[i].req.done = on_done;
		reqs[i] = &c[i].req;
	}
	assert_int_equal(leap_qp_submit(io1.qp, reqs, 3), 3);
	turns(3);
	assert_int_equal(fake.nr_held, 3);
	finish(&io1);
	for (i = 0; i < 3; i++) {
		assert_int_equal(c[i].done, 1);
		assert_int_equal(c[i].req.sys_errno, -ECANCELED);
	}
	assert_int_equal(fake.q[1].sq_size, 0);
	assert_int_equal(fake.q[1].cq_size, 0);
}

/* ---- payload ---- */

static void shapes(uint32_t flags)
{
	static const uint32_t lens[] = {
		512, 4096, 4608, 8192, 12288, 65536, 131072, MB,
	};
	uint8_t *heap = malloc(MB);
	struct cmd c = { 0 };
	unsigned int i;

	up();
	connect_io(&io1, flags);
	/* The first one is bounced, while the device learns of the buffer. */
	piece(&c, 0, base, 4096);
	both_ways(&c, 1);
	turns(5);
	for (i = 0; i < COUNT(lens); i++) {
		piece(&c, 0, base, lens[i]);
		both_ways(&c, 1);
		piece(&c, 0, base + 512, lens[i]);
		both_ways(&c, 1);
		piece(&c, 0, base + 4, lens[i]);
		both_ways(&c, 1);
		piece(&c, 0, base + 3, lens[i]);
		both_ways(&c, 1);
		piece(&c, 0, heap, lens[i]);
		both_ways(&c, 1);
	}
	/* Pieces that meet at page borders, and pieces that do not. */
	piece(&c, 0, base + 512, 3584);
	piece(&c, 1, base + 5 * 4096, 8192);
	piece(&c, 2, base + 2 * 4096, 512);
	both_ways(&c, 3);
	piece(&c, 0, base + 1024, 1024);
	piece(&c, 1, base + 8192 + 512, 512);
	both_ways(&c, 2);
	piece(&c, 1, heap, 1024);
	both_ways(&c, 2);
	free(heap);
}

static void test_prps(void **state)
{
	shapes(0);
	assert_int_equal(fake.sgls, 0);
	assert_true(fake.lists > 10);
}

static void test_sgls(void **state)
{
	fake.id.sgls = leap_to_le32(LEAP_SGLS_BYTE);
	shapes(0);
	assert_int_equal(fake.prps, 0);
	assert_true(fake.lists > 3);
}

static void test_prps_by_choice(void **state)
{
	fake.id.sgls = leap_to_le32(LEAP_SGLS_BYTE);
	shapes(LEAP_QP_PRP);
	assert_int_equal(fake.sgls, 0);
}

/* Bounce memory runs out, and comes back. */
static void test_bounce_runs_out(void **state)
{
	static struct cmd c[15];
	uint8_t *heap = malloc(MB);
	struct leap_req *req;
	unsigned int i, n = 0, done = 0;

	memset(heap, 0, MB);
	up();
	connect_io(&io1, 0);
	fake.hold = 1;
	memset(c, 0, sizeof(c));
	for (i = 0; i < 15; i++) {
		piece(&c[i], 0, heap, MB);
		c[i].req.pieces = c[i].piece;
		c[i].req.nr_pieces = 1;
		c[i].req.sqe.opc = LEAP_NVM_FLUSH;
		c[i].req.done = on_done;
		req = &c[i].req;
		n += (unsigned int)leap_qp_submit(io1.qp, &req, 1);
	}
	assert_int_equal(n, 8);		/* of 8 MiB */
	turns(3);
	fake_release();
	turns(3);
	for (i = 0; i < 15; i++)
		done += (unsigned int)c[i].done;
	assert_int_equal(done, 8);
	req = &c[8].req;
	assert_int_equal(leap_qp_submit(io1.qp, &req, 1), 1);
	assert_int_equal(turn(&c[8].done), 1);
	free(heap);
}

/* ---- doorbells and interrupts ---- */

static void many(unsigned int n)
{
	struct cmd c = { 0 };

	piece(&c, 0, base, 512);
	while (n--)
		transfer(&c, LEAP_NVM_READ, 1);
}

static void test_trapped_doorbells(void **state)
{
	unsigned int before;

	up();
	connect_io(&io1, 0);
	before = fake.doorbells;
	many(1000);
	/* One a command, and the CQ head once in a while. */
	assert_in_range(fake.doorbells - before, 1000, 1200);
}

static void test_shadow_doorbells(void **state)
{
	unsigned int before;

	fake.id.oacs = leap_to_le16(LEAP_OACS_DBBUF);
	up();
	assert_int_not_equal(fake.shadow, 0);
	connect_io(&io1, 0);
	before = fake.doorbells;
	many(1000);
	assert_int_equal(fake.doorbells, before);
	finish(&io1);
	connect_io(&io1, 0);	/* from zero again */
	many(100);
}

static void test_shadow_refused(void **state)
{
	fake.id.oacs = leap_to_le16(LEAP_OACS_DBBUF);
	fake.refuse_dbbuf = LEAP_SC_INVALID_FIELD;
	up();
	assert_int_equal(fake.shadow, 0);
	connect_io(&io1, 0);
	many(10);
}

static int readable(void)
{
	struct pollfd p = { leap_pollgroup_fd(pg), POLLIN, 0 };

	return poll(&p, 1, 0);
}

static void test_interrupt(void **state)
{
	struct cmd c = { 0 };
	struct leap_req *req = &c.req;
	int i;

	up();
	connect_io(&io1, 0);
	assert_int_equal(fake.irqs, 0);
	fake.hold = 1;
	c.req.sqe.opc = LEAP_NVM_FLUSH;
	c.req.done = on_done;
	assert_int_equal(leap_qp_submit(io1.qp, &req, 1), 1);
	for (i = 0; i < 20 && leap_pollgroup_arm(pg); i++)
		leap_pollgroup_poll(pg, 0);
	assert_true(i < 20);
	assert_int_equal(fake.irqs, 1);
	assert_true(fake.irq_fd >= 0);
	assert_int_equal(readable(), 0);
	fake_release();
	assert_int_equal(readable(), 1);
	assert_int_equal(turn(&c.done), 1);
	/* Busy again: it is taken away. */
	many(400);
	assert_int_equal(fake.irqs, 2);
	assert_int_equal(fake.irq_fd, -1);
}

/* ---- lies ---- */

static void lie(int *what)
{
	struct cmd c = { 0 };
	struct leap_req *req = &c.req;

	up();
	connect_io(&io1, 0);
	*what = 1;
	c.req.sqe.opc = LEAP_NVM_FLUSH;
	c.req.done = on_done;
	assert_int_equal(leap_qp_submit(io1.qp, &req, 1), 1);
	assert_int_equal(turn(&io1.lost), 1);
	assert_int_equal(io1.lost_err, -EPROTO);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.req.sys_errno, -EPROTO);
	assert_int_equal(admin.lost, 1);
	assert_int_equal(leap_qp_submit(io1.qp, &req, 1), -ENOTCONN);
}

static void test_sqhd_lies(void **state)
{
	lie(&fake.lie_sqhd);
}

static void test_sqid_lies(void **state)
{
	lie(&fake.lie_sqid);
}

static void test_cid_lies(void **state)
{
	lie(&fake.lie_cid);
}

/* Not a completion: the command stays out, until its queue goes. */
static void test_wrong_phase(void **state)
{
	struct cmd c = { 0 };
	struct leap_req *req = &c.req;

	up();
	connect_io(&io1, 0);
	fake.wrong_phase = 1;
	c.req.sqe.opc = LEAP_NVM_FLUSH;
	c.req.done = on_done;
	assert_int_equal(leap_qp_submit(io1.qp, &req, 1), 1);
	turns(50);
	assert_int_equal(c.done, 0);
	assert_int_equal(io1.lost, 0);
	fake.wrong_phase = 0;
	finish(&io1);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.req.sys_errno, -ECANCELED);
}

static void test_lost(void **state)
{
	struct cmd c = { 0 };
	struct leap_req *req = &c.req;

	up();
	connect_io(&io1, 0);
	fake.hold = 1;
	c.req.sqe.opc = LEAP_NVM_FLUSH;
	c.req.done = on_done;
	assert_int_equal(leap_qp_submit(io1.qp, &req, 1), 1);
	turns(3);
	fake_lose(-EPIPE);
	assert_int_equal(turn(&io1.lost), 1);
	assert_int_equal(c.req.sys_errno, -EPIPE);
	assert_int_equal(admin.lost_err, -EPIPE);
}

/* ---- the end at any moment ---- */

static void test_close_any_time(void **state)
{
	struct leap_qp_opts o;
	int n;

	for (n = 0; n < 60; n++) {
		o = opts_of(&admin, 0);
		assert_int_equal(begin(&admin, &o), 0);
		turns(n);
		finish(&admin);
		assert_int_equal(fake.maps, 0);
	}
}

static void test_close_io_any_time(void **state)
{
	struct leap_qp_opts o;
	int n, admin_first;

	for (admin_first = 0; admin_first < 2; admin_first++)
		for (n = 0; n < 20; n++) {
			up();
			o = opts_of(&io1, 1);
			assert_int_equal(begin(&io1, &o), 0);
			turns(n);
			if (admin_first) {
				leap_qp_close(admin.qp, on_closed, &admin);
				finish(&io1);
				assert_int_equal(turn(&admin.closed), 1);
				admin.qp = NULL;
			} else {
				finish(&io1);
				finish(&admin);
			}
			assert_int_equal(fake.maps, 0);
		}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_enable), T(test_never_ready), T(test_fatal),
		T(test_gone), T(test_large_pages), T(test_cannot_open),
		T(test_cannot_map), T(test_enable_fails),
		T(test_stays_ready), T(test_stays_ready_for_ever),
		T(test_names), T(test_identify_refused), T(test_silent),
		T(test_refused_queues), T(test_bad_io_connects),
		T(test_own_answers), T(test_disable_ends_queues),
		T(test_close_aborts), T(test_prps), T(test_sgls),
		T(test_prps_by_choice), T(test_bounce_runs_out),
		T(test_trapped_doorbells), T(test_shadow_doorbells),
		T(test_shadow_refused), T(test_interrupt),
		T(test_sqhd_lies), T(test_sqid_lies), T(test_cid_lies),
		T(test_wrong_phase), T(test_lost), T(test_close_any_time),
		T(test_close_io_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
