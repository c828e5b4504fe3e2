/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The I/O half with queues of a guest: link messages make and end them, and a
 * memory namespace stands behind.
 */
#include "guest-fixture.h"
#include "serve.h"

#include "core/ctrl/admin.h"
#include "core/ctrl/iogroup.h"

#define NQN "nqn.2014-08.org.example:disk"

struct half {
	struct gx gx;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap__iogroup *g;
	int ctrl;			/* an identity */
	struct leap__lmsg m;		/* one question at a time */
	bool answered;
	uint32_t errors;
	leap_gpa_t data;
};

struct io_cq {
	struct gx_cq gx;
	struct leap__iocq io;
};

struct io_sq {
	struct gx_sq gx;
	struct leap__ioqp io;
	int added, gone, stats, order;
};

static void error_came(struct leap__lmsg *m)
{
	struct half *h = m->arg;

	h->errors++;
	leap__link_ask(m->group, m);
}

static void set_up(struct half *h)
{
	int i;

	memset(h, 0, sizeof(*h));
	gx_init(&h->gx);
	h->target = serve_target(h->gx.pg, NQN, &h->ss);
	serve_ns(h->gx.pg, h->ss, "memory:4M", 1);
	h->g = h->target->groups[0];
	for (i = 0; i < LEAP__IOC_NR_ERRORS; i++) {
		h->g->errors[i].arrived = error_came;
		h->g->errors[i].arg = h;
	}
	h->data = gx_alloc(&h->gx, 65536, 4096);
}

static void tear_down(struct half *h)
{
	serve_stop(h->gx.pg, h->target);
	gx_fini(&h->gx);
}

static void answered(struct leap__lmsg *m)
{
	*(bool *)m->arg = true;
}

/* Ask the group, and wait for the answer. */
static int ask(struct half *h, struct leap__lmsg *m, uint16_t type,
	       void *subject)
{
	int i;

	h->answered = false;
	leap__link_init(m, type, answered, &h->answered);
	m->ctrl = &h->ctrl;
	m->subject = subject;
	leap__link_ask(h->g, m);
	for (i = 0; i < 20 && !h->answered; i++)
		gx_poll(&h->gx, 1);
	assert_true(h->answered);
	assert_true(m->link.flags & LEAP_LINK_REPLY);
	return m->link.err;
}

static int add_cq(struct half *h, struct io_cq *cq)
{
	cq->io.desc = cq->gx.desc;
	cq->io.ctrl = &h->ctrl;
	cq->io.guest = &h->gx.guest;
	cq->io.m.link.u.cq = cq->io.desc;
	return ask(h, &cq->io.m, LEAP_LINK_CQ_ADD, &cq->io);
}

static void make_cq(struct half *h, struct io_cq *cq, uint16_t id,
		    uint32_t vector)
{
	memset(cq, 0, sizeof(*cq));
	gx_cq_desc(&h->gx, &cq->gx, id, 16, vector);
	assert_int_equal(add_cq(h, cq), 0);
}

static void got_stats(struct leap__lmsg *m)
{
	struct io_sq *sq = m->arg;

	sq->stats = ++sq->order;
}

static void got_gone(struct leap__lmsg *m)
{
	struct io_sq *sq = m->arg;

	sq->gone = ++sq->order;
}

static int add_sq(struct half *h, struct io_sq *sq, struct io_cq *cq)
{
	sq->io.desc = sq->gx.desc;
	sq->io.ctrl = &h->ctrl;
	sq->io.guest = &h->gx.guest;
	sq->io.iocq = &cq->io;
	sq->io.ss = h->ss->ioss[0];
	sq->io.max_bytes = 65536;
	leap__link_init(&sq->io.stats, LEAP_LINK_STATS, got_stats, sq);
	leap__link_init(&sq->io.gone, LEAP_LINK_QP_DEL, got_gone, sq);
	return ask(h, &sq->io.add, LEAP_LINK_QP_ADD, &sq->io);
}

static void make_sq(struct half *h, struct io_sq *sq, uint16_t id,
		    struct io_cq *cq)
{
	memset(sq, 0, sizeof(*sq));
	gx_sq_desc(&h->gx, &sq->gx, id, &cq->gx, 16);
	assert_int_equal(add_sq(h, sq, cq), 0);
}

static void del_sq(struct half *h, struct io_sq *sq, uint32_t flags)
{
	sq->io.del.link.u.feature.value = flags;
	assert_int_equal(ask(h, &sq->io.del, LEAP_LINK_QP_DEL, &sq->io), 0);
}

static void end_sq(struct half *h, struct io_sq *sq)
{
	del_sq(h, sq, 0);
	gx_poll(&h->gx, 4);
	assert_int_equal(sq->stats, 1);
	assert_int_equal(sq->gone, 2);
}

static struct leap_sqe rw(struct half *h, uint8_t opc, uint64_t lba,
			  uint32_t nlb)
{
	return (struct leap_sqe){
		.opc = opc, .cid = leap_to_le16(7), .nsid = leap_to_le32(1),
		.prp1 = leap_to_le64(h->data.addr),
		.prp2 = leap_to_le64(h->data.addr + 4096),
		.cdw10 = leap_to_le32((uint32_t)lba),
		.cdw12 = leap_to_le32(nlb - 1),
	};
}

static void test_io(void **state)
{
	struct leap_sqe sqe;
	struct io_cq cq;
	struct io_sq sq;
	struct half h;
	uint8_t *data;
	uint32_t i;

	set_up(&h);
	make_cq(&h, &cq, 1, 1);
	make_sq(&h, &sq, 1, &cq);
	data = gx_at(&h.gx, h.data);
	for (i = 0; i < 8192; i++)
		data[i] = (uint8_t)(i * 13 + i / 256);
	sqe = rw(&h, LEAP_NVM_WRITE, 100, 16);
	assert_int_equal(gx_do(&sq.gx, &cq.gx, &sqe, NULL), 0);
	memset(data, 0, 8192);
	sqe = rw(&h, LEAP_NVM_READ, 100, 16);
	assert_int_equal(gx_do(&sq.gx, &cq.gx, &sqe, NULL), 0);
	for (i = 0; i < 8192; i++)
		assert_int_equal(data[i], (uint8_t)(i * 13 + i / 256));
	/* SGLs are as good; fused operations and fabrics are not. */
	memset(data, 0, 8192);
	sqe.flags = LEAP_SQE_PSDT_SGL;
	sqe.sgl1 = (struct leap_sgl_desc){
		.addr = leap_to_le64(h.data.addr), .len = leap_to_le32(8192) };
	assert_int_equal(gx_do(&sq.gx, &cq.gx, &sqe, NULL), 0);
	assert_int_equal(data[8191], (uint8_t)(8191 * 13 + 31));
	sqe.flags = 1;
	assert_int_equal(gx_do(&sq.gx, &cq.gx, &sqe, NULL) &
			 ~LEAP_STATUS_MORE,
			 LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR);
	sqe.flags = 0;
	sqe.opc = LEAP_NVM_FABRICS;
	assert_int_equal(gx_do(&sq.gx, &cq.gx, &sqe, NULL) &
			 ~LEAP_STATUS_MORE,
			 LEAP_SC_INVALID_OPCODE | LEAP_STATUS_DNR);
	gx_poll(&h.gx, 2);
	assert_int_equal(h.errors, 2);
	/* A flush has no payload. */
	sqe = (struct leap_sqe){ .nsid = leap_to_le32(1) };
	assert_int_equal(gx_do(&sq.gx, &cq.gx, &sqe, NULL), 0);
	end_sq(&h, &sq);
	assert_int_equal(sq.io.stats.link.u.stats.host_writes, 1);
	assert_int_equal(sq.io.stats.link.u.stats.host_reads, 2);
	assert_int_equal(ask(&h, &cq.io.m, LEAP_LINK_CQ_DEL, &cq.io), 0);
	assert_int_equal(cq.io.desc.seq, 6);
	assert_int_equal(cq.io.m.link.u.cq.seq, 6);
	tear_down(&h);
}

static void test_errors(void **state)
{
	struct io_sq bad, sq;
	struct io_cq cq;
	struct half h;

	set_up(&h);
	memset(&cq, 0, sizeof(cq));
	gx_cq_desc(&h.gx, &cq.gx, 1, 16, 1);
	cq.gx.desc.gpa.addr = 4096;
	assert_int_equal(add_cq(&h, &cq), -EFAULT);
	make_cq(&h, &cq, 1, 1);
	memset(&bad, 0, sizeof(bad));
	gx_sq_desc(&h.gx, &bad.gx, 1, &cq.gx, 16);
	bad.gx.desc.sq.addr = 4096;
	assert_int_equal(add_sq(&h, &bad, &cq), -EFAULT);
	gx_poll(&h.gx, 3);
	assert_int_equal(bad.stats, 1);
	assert_int_equal(bad.gone, 2);
	/* Deleted before its queue pair is gone: answered after that. */
	make_sq(&h, &sq, 1, &cq);
	h.answered = false;
	leap__link_init(&cq.io.m, LEAP_LINK_CQ_DEL, answered, &h.answered);
	leap__link_ask(h.g, &cq.io.m);
	gx_poll(&h.gx, 4);
	assert_false(h.answered);
	sq.io.del.link.u.feature.value = 0;
	leap__link_init(&sq.io.del, LEAP_LINK_QP_DEL, got_gone, &bad);
	sq.io.del.subject = &sq.io;
	leap__link_ask(h.g, &sq.io.del);
	gx_poll(&h.gx, 5);
	assert_int_equal(sq.gone, 2);
	assert_true(h.answered);
	tear_down(&h);
}

static void test_drain(void **state)
{
	struct leap__cqe cqe;
	struct leap_sqe sqe;
	struct io_cq cq;
	struct io_sq sq;
	struct half h;
	int i;

	set_up(&h);
	make_cq(&h, &cq, 1, 1);
	make_sq(&h, &sq, 1, &cq);
	sqe = rw(&h, LEAP_NVM_READ, 0, 1);
	for (i = 0; i < 5; i++)
		gx_push(&sq.gx, &sqe);
	gx_ring(&sq.gx);
	gx_poll(&h.gx, 1);
	del_sq(&h, &sq, LEAP__QPDEL_DRAIN);
	gx_poll(&h.gx, 4);
	assert_int_equal(sq.gone, 2);
	for (i = 0; i < 5; i++) {
		assert_true(gx_reap(&cq.gx, &cqe));
		assert_int_equal(cqe.status, 0);
	}
	assert_int_equal(ask(&h, &cq.io.m, LEAP_LINK_CQ_DEL, &cq.io), 0);
	assert_int_equal(cq.io.desc.seq, 5);
	tear_down(&h);
}

static void say_feature(struct half *h, uint32_t fid, uint32_t value)
{
	h->m.link.u.feature.fid = fid;
	h->m.link.u.feature.value = value;
	assert_int_equal(ask(h, &h->m, LEAP_LINK_FEATURE, NULL), 0);
}

/* What is said to all queues holds for those that are made later too. */
static void test_memo(void **state)
{
	struct leap_sqe sqe;
	struct leap__cqe cqe;
	leap_gpa_t db, ei;
	struct io_cq cq, cq2;
	struct io_sq sq;
	struct half h;
	int i;

	set_up(&h);
	db = gx_alloc(&h.gx, 4096, 4096);
	ei = gx_alloc(&h.gx, 4096, 4096);
	h.m.link.u.shadow.doorbells = db;
	h.m.link.u.shadow.eventidx = ei;
	assert_int_equal(ask(&h, &h.m, LEAP_LINK_SHADOW, NULL), 0);
	/* 3 entries, 25 ms */
	say_feature(&h, LEAP_FID_INT_COALESCE, 2 | 255 << 8);
	make_cq(&h, &cq, 1, 1);
	memset(&sq, 0, sizeof(sq));
	gx_sq_desc(&h.gx, &sq.gx, 1, &cq.gx, 16);
	sq.gx.desc.flags = LEAP_QPD_SHADOW;
	assert_int_equal(add_sq(&h, &sq, &cq), 0);
	sq.gx.shadow = (leap_le32 *)gx_at(&h.gx, db) + 2;
	sq.gx.eventidx = (leap_le32 *)gx_at(&h.gx, ei) + 2;
	sqe = rw(&h, LEAP_NVM_READ, 0, 1);
	gx_push(&sq.gx, &sqe);
	leap__store_release(sq.gx.shadow, leap_to_le32(1));
	sq.gx.rung = 1;
	gx_poll(&h.gx, 1);
	assert_true(gx_reap(&cq.gx, &cqe));
	assert_int_equal(h.gx.irqs[1], 0);
	for (i = 0; i < 2; i++)
		gx_push(&sq.gx, &sqe);
	gx_ring(&sq.gx);
	gx_poll(&h.gx, 1);
	assert_int_equal(h.gx.irqs[1], 1);
	/* Not for this vector any more; and one made later knows it. */
	say_feature(&h, LEAP_FID_INT_VECTOR, 1 | LEAP_FEAT_IV_CD);
	gx_push(&sq.gx, &sqe);
	gx_ring(&sq.gx);
	gx_poll(&h.gx, 1);
	assert_int_equal(h.gx.irqs[1], 2);
	make_cq(&h, &cq2, 2, 1);
	assert_int_equal(ask(&h, &cq2.io.m, LEAP_LINK_CQ_DEL, &cq2.io), 0);
	/* Defaults again: nothing is kept. */
	say_feature(&h, LEAP_FID_INT_VECTOR, 1);
	say_feature(&h, LEAP_FID_INT_COALESCE, 0);
	memset(&h.m.link.u, 0, sizeof(h.m.link.u));
	assert_int_equal(ask(&h, &h.m, LEAP_LINK_SHADOW, NULL), 0);
	assert_true(leap__list_empty(&h.g->memos));
	/* A page that is not there: all go on as before. */
	h.m.link.u.shadow.doorbells = db;
	h.m.link.u.shadow.eventidx.addr = 4096;
	assert_int_equal(ask(&h, &h.m, LEAP_LINK_SHADOW, NULL), -EFAULT);
	assert_true(leap__list_empty(&h.g->memos));
	end_sq(&h, &sq);
	assert_int_equal(ask(&h, &cq.io.m, LEAP_LINK_CQ_DEL, &cq.io), 0);
	tear_down(&h);
}

static void test_questions(void **state)
{
	struct leap_sqe sqe;
	struct io_cq cq;
	struct io_sq sq;
	struct half h;

	set_up(&h);
	make_cq(&h, &cq, 1, 1);
	make_sq(&h, &sq, 1, &cq);
	sqe = rw(&h, LEAP_NVM_WRITE, 0, 1);
	assert_int_equal(gx_do(&sq.gx, &cq.gx, &sqe, NULL), 0);
	assert_int_equal(ask(&h, &h.m, LEAP_LINK_KEEPALIVE, NULL), 0);
	assert_int_equal(h.m.link.u.abort.found, 1);
	assert_int_equal(ask(&h, &h.m, LEAP_LINK_KEEPALIVE, NULL), 0);
	assert_int_equal(h.m.link.u.abort.found, 0);
	h.m.link.u.abort.qid = 1;
	h.m.link.u.abort.cid = 7;
	assert_int_equal(ask(&h, &h.m, LEAP_LINK_ABORT, NULL), 0);
	assert_int_equal(h.m.link.u.abort.found, 0);
	leap__link_init(&h.m, LEAP_LINK_STATS, answered, &h.answered);
	h.m.ctrl = sq.io.ss->subsystem;
	leap__link_ask(h.g, &h.m);
	gx_poll(&h.gx, 2);
	assert_int_equal(h.m.link.u.stats.host_writes, 1);
	end_sq(&h, &sq);
	assert_int_equal(ask(&h, &cq.io.m, LEAP_LINK_CQ_DEL, &cq.io), 0);
	tear_down(&h);
}

/* Handed on: drained, then taken up by the same ring and record. */
static void test_hand_on(void **state)
{
	struct leap_sqe sqe;
	struct io_cq cq;
	struct io_sq sq;
	struct half h;
	int i;

	set_up(&h);
	make_cq(&h, &cq, 1, 1);
	make_sq(&h, &sq, 1, &cq);
	sqe = rw(&h, LEAP_NVM_WRITE, 3, 1);
	for (i = 0; i < 21; i++)
		assert_int_equal(gx_do(&sq.gx, &cq.gx, &sqe, NULL), 0);
	end_sq(&h, &sq);
	assert_int_equal(ask(&h, &cq.io.m, LEAP_LINK_CQ_DEL, &cq.io), 0);
	assert_int_equal(cq.io.desc.seq, 21);
	cq.gx.desc.seq = 21;
	cq.gx.desc.flags = LEAP_QPD_RESUME;
	sq.gx.desc.flags = LEAP_QPD_RESUME;
	sq.order = 0;
	assert_int_equal(add_cq(&h, &cq), 0);
	assert_int_equal(add_sq(&h, &sq, &cq), 0);
	gx_push(&sq.gx, &sqe);
	gx_ring(&sq.gx);
	gx_poll(&h.gx, 3);
	assert_int_equal(sq.io.nr_seen, 21);	/* not before RESUME */
	assert_int_equal(ask(&h, &h.m, LEAP_LINK_RESUME, NULL), 0);
	sq.gx.head = sq.gx.tail;
	gx_poll(&h.gx, 2);
	assert_int_equal(sq.io.nr_seen, 22);
	assert_int_equal(leap_from_le32(cq.gx.db->posted), 22);
	end_sq(&h, &sq);
	assert_int_equal(ask(&h, &cq.io.m, LEAP_LINK_CQ_DEL, &cq.io), 0);
	assert_int_equal(cq.io.desc.seq, 22);
	tear_down(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_memo),
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_hand_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
