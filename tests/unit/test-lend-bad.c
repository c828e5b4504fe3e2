/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a borrower may not do: admin commands that would change the drive for
 * others, messages that none sends, memory and queues that are not its own, and
 * more of everything than there is.
 */
#include "fds.h"
#include "lend-fixture.h"

#include <sys/eventfd.h>
#include <sys/resource.h>

#include <leapio/plugin/bdev_ops.h>

static leap_status_t admin(struct lx_side *s, const struct leap_sqe *sqe,
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
	static struct lx_side s;

	lx_side_start(&s, lx.pg, 1, 1, 0);
	lx_side_live(&s);
	q.cdw10 = leap_to_le32(LEAP_CNS_CTRL);
	assert_int_equal(admin(&s, &q, 4096), 0);
	assert_memory_equal(s.base, leap_lender_identify(lx.lender), 4096);
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
	assert_int_equal(lx_lent().refused, 4);
	lx_side_stop(&s);
	lx_wait_unlent();
}

/* All that is not read, and none of what the driver above keeps back. */
static void test_opcodes(void **state)
{
	struct leap_sqe q = { .opc = 0 };
	uint64_t refused = 0;
	struct lx_raw r;
	uint32_t opc;

	lx_raw_hello(&r);
	lx_raw_mem(&r);
	for (opc = 0; opc < 256; opc++) {
		switch (opc) {
		case LEAP_ADM_DELETE_SQ:
		case LEAP_ADM_CREATE_SQ:
		case LEAP_ADM_GET_LOG:
		case LEAP_ADM_DELETE_CQ:
		case LEAP_ADM_CREATE_CQ:
		case LEAP_ADM_IDENTIFY:
		case LEAP_ADM_ABORT:
		case LEAP_ADM_SET_FEATURES:
		case LEAP_ADM_GET_FEATURES:
		case LEAP_ADM_AER:
		case LEAP_ADM_KEEP_ALIVE:
			continue;
		}
		q.opc = (uint8_t)opc;
		q.prp1 = leap_to_le64(r.iova + 8192);
		assert_int_equal(lx_raw_admin(&r, q), LEAP_SC_INVALID_OPCODE);
		assert_int_equal(lx_lent().refused, ++refused);
	}
	q.opc = LEAP_ADM_SET_FEATURES;
	for (opc = 0; opc < 256; opc++) {
		if (opc == LEAP_FID_NUM_QUEUES || opc == LEAP_FID_KATO ||
		    opc == LEAP_FID_ASYNC_EVENT)
			continue;
		q.cdw10 = leap_to_le32(opc);
		assert_int_equal(lx_raw_admin(&r, q),
				 LEAP_SC_FEAT_NOT_CHANGEABLE);
		q.cdw10 = leap_to_le32(opc | 1u << 31);
		assert_int_equal(lx_raw_admin(&r, q),
				 LEAP_SC_FEAT_NOT_SAVEABLE);
	}
	lx_raw_close(&r);
	lx_wait_unlent();
}

/* A log's own field starts measurements, makes snapshots, opens contexts: it
 * passes where it is known to choose only what is read. */
static void test_log_fields(void **state)
{
	struct leap_sqe q = { .opc = LEAP_ADM_GET_LOG };
	struct lx_raw r;
	uint32_t lid, n = 0;

	lx_raw_hello(&r);
	lx_raw_mem(&r);
	q.prp1 = leap_to_le64(r.iova + 8192);
	for (lid = 0; lid < 256; lid++) {
		uint64_t refused = lx_lent().refused;

		q.cdw10 = leap_to_le32(lid | 1u << 8 | 3u << 16);
		lx_raw_admin(&r, q);
		if (lx_lent().refused != refused)
			continue;
		n++;
		assert_true(lid == LEAP_LID_ANA || lid == LEAP_LID_LOCKDOWN ||
			    lid == LEAP_LID_BOOT_PARTITION ||
			    lid == LEAP_LID_FDP_EVENTS);
	}
	assert_int_equal(n, 4);
	q.cdw10 = leap_to_le32(LEAP_LID_SMART | 127u << 16);
	q.nsid = leap_to_le32(LEAP_NSID_ALL);
	assert_int_equal(lx_raw_admin(&r, q), 0);
	lx_raw_close(&r);
	lx_wait_unlent();
}

/* Events keep their second word: which namespace it was. */
static void test_event_words(void **state)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_ADMIN, 5);
	struct leap_ns_opts nopts = LEAP_NS_OPTS_INIT;
	struct lx_raw r;
	uint64_t result;
	int nsid;

	assert_int_equal(leap_bdev_open(lx.pg, "zoned:1M[zone=64K]",
					&nopts.bdev), 0);
	nsid = leap_ns_add(lx.ss, &nopts, NULL, NULL);
	assert_true(nsid > 1);
	lx_raw_hello(&r);
	do {
		m.sqe.opc = LEAP_ADM_AER;
		lx_raw_say(&r, &m, sizeof(m), -1);
		leap_bdev_zone_changed(nopts.bdev, 0);
		assert_int_equal(lx_raw_hear(&r), LEAP__LEND_DONE);
		result = leap_from_le64(r.in.done.result);
	} while (LEAP_AER_LID(result) != LEAP_LID_CHANGED_ZONES);
	assert_int_equal(result >> 32, nsid);
	lx_raw_close(&r);
	lx_wait_unlent();
}

/* A controller that has been disabled knows nothing of what it was told. */
static void test_forgets(void **state)
{
	struct leap_sqe q = { .opc = LEAP_ADM_SET_FEATURES };
	struct lx_raw r;

	lx_raw_hello(&r);
	q.cdw10 = leap_to_le32(LEAP_FID_ASYNC_EVENT);
	q.cdw11 = leap_to_le32(0x100);
	assert_int_equal(lx_raw_admin(&r, q), 0);
	q.opc = LEAP_ADM_GET_FEATURES;
	assert_int_equal(lx_raw_admin(&r, q), 0);
	assert_int_equal(leap_from_le64(r.in.done.result), 0x100);
	lx_raw_send(&r, LEAP__LEND_DISABLE);
	assert_int_equal(lx_raw_hear(&r), LEAP__LEND_REPLY);
	assert_int_equal(lx_raw_admin(&r, q), 0);
	assert_int_equal(leap_from_le64(r.in.done.result), 0);
	lx_raw_close(&r);
	lx_wait_unlent();
}

/* ---- messages, memory, queues ---- */

/* Bytes that no borrower sends: the connection ends, and nothing is left. */
static void ends(struct lx_raw *r, const void *bytes, size_t n, int fd)
{
	lx_raw_say(r, bytes, n, fd);
	assert_int_equal(lx_raw_hear(r), 0);
	lx_raw_close(r);
	lx_wait_unlent();
}

static void test_bad_messages(void **state)
{
	struct leap__lend_msg m;
	struct lx_raw r;
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
		lx_raw_open(&r);
		ends(&r, &m, sizeof(m), -1);
	}
	/* Nothing before HELLO, no HELLO twice, no lender's words. */
	for (type = 0; type < 20; type++) {
		m = leap__lend_msg((enum leap__lend_type)type, 0);
		if (type == LEAP__LEND_HELLO) {
			lx_raw_hello(&r);
		} else {
			lx_raw_open(&r);
		}
		ends(&r, &m, sizeof(m), -1);
	}
	/* Descriptors of the wrong kind, or where none belongs. */
	assert_int_equal(pipe(pipes), 0);
	m = leap__lend_msg(LEAP__LEND_IRQ, 0);
	lx_raw_hello(&r);
	ends(&r, &m, sizeof(m), pipes[1]);
	m = leap__lend_msg(LEAP__LEND_DISABLE, 0);
	lx_raw_hello(&r);
	ends(&r, &m, sizeof(m), pipes[1]);
	m = leap__lend_msg(LEAP__LEND_MEM_ADD, 0);
	m.mem.bytes = leap_to_le64(4096);
	lx_raw_hello(&r);
	lx_raw_say(&r, &m, sizeof(m), pipes[1]);
	assert_int_equal(lx_raw_hear(&r), LEAP__LEND_REPLY);
	assert_int_equal(leap_from_le32(r.in.err), EACCES);
	lx_raw_close(&r);
	lx_wait_unlent();
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
	struct lx_raw r;
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		m.mem.offset = leap_to_le64(bad[i][0]);
		m.mem.bytes = leap_to_le64(bad[i][1]);
		lx_raw_hello(&r);
		ends(&r, &m, sizeof(m), leap_dmabuf_fd(r.mem));
	}
	/* Longer than the file; too many; not there. */
	lx_raw_hello(&r);
	m.mem.offset = leap_to_le64(4096);
	m.mem.bytes = leap_to_le64(1 << 20);
	lx_raw_say(&r, &m, sizeof(m), leap_dmabuf_fd(r.mem));
	assert_int_equal(lx_raw_hear(&r), LEAP__LEND_REPLY);
	assert_int_equal(leap_from_le32(r.in.err), EINVAL);
	for (i = 0; i < LEAP__LEND_MAX_MAPS; i++)
		lx_raw_mem(&r);
	m.mem.offset = leap_to_le64(0);
	lx_raw_say(&r, &m, sizeof(m), leap_dmabuf_fd(r.mem));
	assert_int_equal(lx_raw_hear(&r), LEAP__LEND_REPLY);
	assert_int_equal(leap_from_le32(r.in.err), ENOSPC);
	m = leap__lend_msg(LEAP__LEND_MEM_DEL, 3);
	m.mem.iova = leap_to_le64(r.iova + 4096);
	lx_raw_say(&r, &m, sizeof(m), -1);
	assert_int_equal(lx_raw_hear(&r), LEAP__LEND_REPLY);
	assert_int_equal(leap_from_le32(r.in.err), ENOENT);
	lx_raw_close(&r);
	lx_wait_unlent();
}

static void test_bad_queues(void **state)
{
	struct leap_sqe q = { .opc = LEAP_ADM_IDENTIFY };
	struct lx_raw r, other;

	lx_raw_hello(&r);
	lx_raw_mem(&r);
	lx_raw_hello(&other);
	lx_raw_mem(&other);
	lx_raw_queue(&other);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_CREATE_CQ, 0, 64,
				       r.iova, 3), LEAP_SC_QID_INVALID);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_CREATE_CQ, 65, 64,
				       r.iova, 3), LEAP_SC_QID_INVALID);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_CREATE_CQ, 1, 64, 4096, 3),
			 LEAP_SC_INVALID_FIELD);
	/* Another's memory; beyond the end of its own. */
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_CREATE_CQ, 1, 64,
				       other.iova, 3), LEAP_SC_INVALID_FIELD);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_CREATE_CQ, 1, 64, r.iova +
				    (1 << 20) - 512, 3), LEAP_SC_INVALID_FIELD);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_CREATE_SQ, 1, 64, r.iova,
				    1 | 1 << 16), LEAP_SC_CQ_INVALID);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_DELETE_SQ, 1, 1, 0, 0),
			 LEAP_SC_QID_INVALID);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_DELETE_CQ, 1, 1, 0, 0),
			 LEAP_SC_QID_INVALID);
	/* The device's word counts too: a size that it does not take. */
	lx_raw_queue(&r);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_CREATE_CQ, 1, 64,
				    r.iova + 4096, 3), LEAP_SC_QID_INVALID);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_DELETE_CQ, 1, 1, 0, 0),
			 LEAP_SC_QUEUE_DELETION);
	/* Data into another's memory. */
	q.cdw10 = leap_to_le32(LEAP_CNS_CTRL);
	q.prp1 = leap_to_le64(other.iova);
	assert_int_equal(lx_raw_admin(&r, q), LEAP_SC_DATA_TRANSFER);
	q.prp1 = leap_to_le64(r.iova + 8192);
	q.prp2 = leap_to_le64(other.iova);
	assert_int_equal(lx_raw_admin(&r, q), LEAP_SC_DATA_TRANSFER);
	q.prp2 = leap_to_le64(0);
	assert_int_equal(lx_raw_admin(&r, q), 0);
	assert_memory_equal(r.base + 8192, leap_lender_identify(lx.lender),
			    4096);
	assert_int_equal(lx_info().nr_sqs, 2);
	lx_raw_close(&r);
	lx_raw_close(&other);
	lx_wait_unlent();
}

static uint32_t unmap(struct lx_raw *r)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_MEM_DEL, 3);

	m.mem.iova = leap_to_le64(r->iova);
	lx_raw_say(r, &m, sizeof(m), -1);
	assert_int_equal(lx_raw_hear(r), LEAP__LEND_REPLY);
	return leap_from_le32(r->in.err);
}

/* Memory with rings in it: their addresses would be somebody else's, and the
 * drive would write there. */
static void test_rings_stay(void **state)
{
	struct lx_raw r;

	lx_raw_hello(&r);
	lx_raw_mem(&r);
	lx_raw_queue(&r);
	assert_int_equal(unmap(&r), EBUSY);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_DELETE_SQ, 1, 1, 0, 0), 0);
	assert_int_equal(unmap(&r), EBUSY);
	assert_int_equal(lx_raw_create(&r, LEAP_ADM_DELETE_CQ, 1, 1, 0, 0), 0);
	assert_int_equal(unmap(&r), 0);
	assert_int_equal(unmap(&r), ENOENT);
	lx_raw_close(&r);
	lx_wait_unlent();
}

/* Memory that nobody has, and an address space full of it. */
static void test_vast_memory(void **state)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_MEM_ADD, 0);
	int fd = fds_memory(1ull << 44, F_SEAL_SHRINK);
	struct lx_raw r;
	int k;

	lx_raw_hello(&r);
	m.mem.bytes = leap_to_le64(1ull << 44);
	for (k = 0; k < 8; k++) {
		lx_raw_say(&r, &m, sizeof(m), fd);
		assert_int_equal(lx_raw_hear(&r), LEAP__LEND_REPLY);
		assert_int_equal(leap_from_le32(r.in.err), ENOSPC);
	}
	lx_raw_mem(&r);
	lx_raw_close(&r);
	lx_wait_unlent();
	close(fd);
}

static void ask_irq(struct lx_raw *r, int event)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_IRQ, 0);

	lx_raw_say(r, &m, sizeof(m), event);
	assert_int_equal(lx_raw_hear(r), LEAP__LEND_REPLY);
}

/* With the last descriptor that there is: an answer of 0 means interrupts. */
static void test_no_descriptors(void **state)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), last;
	uint64_t count, from = leap_pollgroup_now_ns(lx.pg);
	struct rlimit all, few;
	struct leap_sqe *sq;
	struct lx_raw r;
	uint32_t qid;

	lx_raw_hello(&r);
	lx_raw_mem(&r);
	qid = lx_raw_queue(&r);
	last = dup(event);
	close(last);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	few = all;
	few.rlim_cur = (rlim_t)last + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	ask_irq(&r, event);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	if (leap_from_le32(r.in.err)) {
		assert_int_equal(leap_from_le32(r.in.err), EMFILE);
		ask_irq(&r, event);
		assert_int_equal(leap_from_le32(r.in.err), 0);
	}
	sq = (struct leap_sqe *)(void *)r.base;
	*sq = (struct leap_sqe){ .opc = LEAP_NVM_FLUSH };
	sq->nsid = leap_to_le32(1);
	lx_raw_ring(&r, qid, 1);
	while (read(event, &count, sizeof(count)) != sizeof(count))
		lx_turn_once(from);
	close(event);
	lx_raw_close(&r);
	lx_wait_unlent();
}

/* Whoever connects and says nothing does not take the place of those who do. */
static void test_silent(void **state)
{
	struct lx_raw r[10];
	static struct lx_side s;
	uint64_t from = leap_pollgroup_now_ns(lx.pg);
	int k;

	for (k = 0; k < 10; k++) {
		lx_raw_open(&r[k]);
		lx_turn_once(from);
	}
	lx_side_start(&s, lx.pg, 1, 1, 0);
	lx_side_live(&s);
	lx_check(&s, 20);
	lx_side_stop(&s);
	assert_in_range(lx_lent().nr_borrowers, 1, 6);
	for (k = 0; k < 10; k++)
		lx_raw_close(&r[k]);
	lx_wait_unlent();
}

/* More admin commands than it may have, and one that never reads answers. */
static void test_floods(void **state)
{
	struct leap__lend_msg m = leap__lend_msg(LEAP__LEND_ADMIN, 0);
	struct lx_raw r;
	int k, n;

	m.sqe.opc = LEAP_ADM_AER;
	for (k = 0; k < 2; k++) {
		lx_raw_hello(&r);
		if (k) {
			lx_raw_mem(&r);
			m.sqe.opc = LEAP_ADM_IDENTIFY;
			m.sqe.cdw10 = leap_to_le32(LEAP_CNS_CTRL);
			m.sqe.prp1 = leap_to_le64(r.iova);
		}
		for (n = 0; n < 100000; n++) {
			if (send(r.fd, &m, sizeof(m), MSG_DONTWAIT |
				 MSG_NOSIGNAL) < 0 && errno != EAGAIN)
				break;
			if (!(n & 15))
				leap_pollgroup_poll(lx.pg, 0);
		}
		assert_true(n < 100000);
		lx_raw_close(&r);
		lx_wait_unlent();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LX_T(test_filter, lx_set_up), LX_T(test_opcodes, lx_set_up),
		LX_T(test_log_fields, lx_set_up),
		LX_T(test_forgets, lx_set_up),
		LX_T(test_event_words, lx_set_up),
		LX_T(test_vast_memory, lx_set_up),
		LX_T(test_rings_stay, lx_set_up),
		LX_T(test_no_descriptors, lx_set_up),
		LX_T(test_bad_messages, lx_set_up),
		LX_T(test_bad_memory, lx_set_up),
		LX_T(test_bad_queues, lx_set_up),
		LX_T(test_silent, lx_set_up), LX_T(test_floods, lx_set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
