/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver by the book, over a drive that answers as a test wants, in virtual
 * time: capabilities at their ends, devices with quirks, Identify data that
 * makes no sense, doorbells, limits of commands, events, logs, resets.
 */
#include "bad-fixture.h"

#include <leapio/nvmf.h>
#include <leapio/vdev.h>

#include "core/io/dispatch.h"
#include "core/io/regctrl.h"

#define CAP(name, n) LEAP_PUT((uint64_t)(n), name)

#define T(f) cmocka_unit_test_setup_teardown(f, bad_set_up, bad_tear_down)

static struct bad_world *const w = &bad_shared;

static void refused(int err, const char *text)
{
	assert_int_equal(bad_open_host(w), LEAP_HOST_FAILED);
	assert_int_equal(w->err, err);
	if (!strstr(w->text, text))
		fail_msg("\"%s\" without \"%s\"", w->text, text);
}

static void set_cap(uint64_t mask, uint64_t value)
{
	bad.cap = (bad.cap & ~mask) | value;
}

/* ---- capabilities ---- */

static void test_life(void **state)
{
	struct leap_host_ns ns = { .size = sizeof(ns) };

	bad_up(w);
	assert_int_equal(leap_host_nr_queues(w->host), 2);
	assert_int_equal(leap_host_ns_next(w->host, 0, &ns), 0);
	assert_int_equal(ns.nsid, 1);
	assert_int_equal(leap_host_ns_next(w->host, 1, &ns), 0);
	assert_int_equal(ns.nsid, 2);
	assert_int_equal(ns.nr_blocks, BAD_BLOCKS);
	assert_int_equal(bad_load(w, 20), 0);
	assert_int_equal(bad.shutdowns, 0);
	bad_close_host(w);
	assert_int_equal(bad.shutdowns, 1);
}

static void test_page_size(void **state)
{
	set_cap(CAP(LEAP_CAP_MPSMIN, 15), CAP(LEAP_CAP_MPSMIN, 4));
	refused(-EOPNOTSUPP, "MPSMIN: pages of 64 KiB");
}

static void test_command_sets(void **state)
{
	set_cap(LEAP_CAP_CSS_NVM, LEAP_CAP_CSS_ADMIN);
	refused(-EOPNOTSUPP, "CAP.CSS");
}

static void test_one_entry(void **state)
{
	set_cap(0xffff, 0);
	refused(-EOPNOTSUPP, "CAP.MQES");
}

static void test_two_entries(void **state)
{
	set_cap(0xffff, 1);
	bad_up(w);
	assert_int_equal(bad_load(w, 20), 0);
	assert_int_equal(bad.q[1].sq_size, 2);
	assert_int_equal(bad.q[1].cq_size, 2);
}

static void test_three_entries(void **state)
{
	set_cap(0xffff, 2);
	bad_up(w);
	assert_int_equal(bad_load(w, 20), 0);
	assert_int_equal(bad.q[1].sq_size, 3);
}

static void test_strides(void **state)
{
	uint32_t dstrd[] = { 1, 4, 9 };
	unsigned int i, shadow;

	for (i = 0; i < COUNT(dstrd); i++)
		for (shadow = 0; shadow < 2; shadow++) {
			set_cap(CAP(LEAP_CAP_DSTRD, 15),
				CAP(LEAP_CAP_DSTRD, dstrd[i]));
			bad.id.oacs = leap_to_le16(shadow ? LEAP_OACS_DBBUF :
						   0);
			bad_up(w);
			assert_int_equal(bad_load(w, 8), 0);
			bad_close_host(w);
		}
}

/* CAP.TO says half a second, CRTO ten: it takes five. */
static void test_ready_timeout(void **state)
{
	uint64_t from = leap_sim_now_ns(w->sim);

	set_cap(CAP(LEAP_CAP_TO, 255), LEAP_CAP_CRMS_RWM);
	bad.crto = 20;
	bad.ready_after = 2500;
	bad_up(w);
	assert_true(leap_sim_now_ns(w->sim) - from > 5 * SECOND);
}

static void test_never_ready(void **state)
{
	bad.never_ready = true;
	refused(-ETIMEDOUT, "not ready after 1000 ms");
	assert_true(bad.resets > 0);
}

/* It does not go down when it is told to, but a reset helps; or does not. */
static void test_never_down(void **state)
{
	bad.never_down = true;
	bad_up(w);
	assert_true(bad.resets > 0);
	assert_int_equal(bad_load(w, 4), 0);
	bad_close_host(w);
	bad.reset_fails = true;
	refused(-ETIMEDOUT, "still ready after a reset");
}

static void test_not_nvme(void **state)
{
	bad.pci_class = 0x01060100;
	refused(-EPROTONOSUPPORT, "class 010601");
}

/* ---- quirks ---- */

static void test_slow_csts(void **state)
{
	uint64_t from = leap_sim_now_ns(w->sim);

	bad_up(w);
	assert_true(leap_sim_now_ns(w->sim) - from < SECOND);
	bad_close_host(w);
	bad.pci_id = 0x0540u << 16 | 0x1c5f;
	from = leap_sim_now_ns(w->sim);
	bad_up(w);
	assert_true(leap_sim_now_ns(w->sim) - from > 2300 * MS);
}

/* Says one entry, takes 64. */
static void test_known_depth(void **state)
{
	bad.pci_id = 0xa821u << 16 | 0x144d;
	set_cap(0xffff, 0);
	bad.max_entries = 64;
	w->opts.depth = 128;
	bad_up(w);
	assert_int_equal(bad_load(w, 8), 0);
	assert_int_equal(bad.q[1].sq_size, 64);
}

static void test_one_command(void **state)
{
	bad.pci_id = 0x2001u << 16 | 0x106b;
	bad_up(w);
	assert_int_equal(bad_load(w, 8), 0);
	assert_int_equal(bad.q[1].sq_size, 2);
}

static void test_known_bad(void **state)
{
	bad.pci_id = 0x2005u << 16 | 0x106b;
	refused(-EOPNOTSUPP, "106b:2005");
}

static void test_no_write_zeroes(void **state)
{
	bad_up(w);
	assert_true(leap_from_le16(leap_host_identify(w->host)->oncs) &
		    LEAP_ONCS_WRITE_ZEROES);
	bad_close_host(w);
	bad.pci_id = 0x1504u << 16 | 0x1c5c;
	bad_up(w);
	assert_int_equal(leap_from_le16(leap_host_identify(w->host)->oncs),
			 LEAP_ONCS_DSM);
}

static void test_no_descriptors(void **state)
{
	bad_up(w);
	assert_int_equal(bad.ns_descs, BAD_NS);
	bad_close_host(w);
	bad.pci_id = 0x2263u << 16 | 0x126f;
	bad_up(w);
	assert_int_equal(bad.ns_descs, BAD_NS);
}

static void test_no_name(void **state)
{
	strcpy((char *)bad.id.subnqn, "nqn.2014-08.org.example:all-of-them");
	assert_int_equal(bad_open_host(w), LEAP_HOST_FAILED);
	bad_close_host(w);
	bad.pci_id = 0x5016u << 16 | 0x1987;
	bad_up(w);
}

/* ---- Identify data that makes no sense ---- */

static void make_sense(void (*spoil)(void))
{
	bad_fini();
	bad_init();
	spoil();
	if (bad_open_host(w) == LEAP_HOST_LIVE &&
	    !leap_host_ns_next(w->host, 0, &(struct leap_host_ns){
				       .size = sizeof(struct leap_host_ns) }))
		bad_load(w, 4);
	bad_close_host(w);
}

static void all_ones(void)
{
	memset(&bad.id, 0xff, sizeof(bad.id));
	memset(bad.ns, 0xff, sizeof(bad.ns));
	bad.ignores_shadow = true;
}

static void all_zero(void)
{
	memset(&bad.id, 0, sizeof(bad.id));
	memset(bad.ns, 0, sizeof(bad.ns));
}

static void no_blocks(void)
{
	bad.ns[0].lbaf[0].lbads = 0;
	bad.ns[1].nsze = leap_to_le64(0);
}

static void huge_blocks(void)
{
	bad.ns[0].lbaf[0].lbads = 63;
	bad.ns[1].flbas = 0x6f;
}

static void odd_sgls(void)
{
	bad.id.sgls = leap_to_le32(0xfffffffe);
	bad.id.mdts = 255;
}

static void test_nonsense(void **state)
{
	make_sense(all_ones);
	make_sense(all_zero);
	make_sense(no_blocks);
	assert_int_equal(w->io[0].failed, 0);
	make_sense(huge_blocks);
	make_sense(odd_sgls);
}

static void test_mdts(void **state)
{
	struct leap_piece piece = {
		.addr = leap_dmabuf_addr(w->mem), .len_bytes = 8192 + 512,
		.buf = w->mem,
	};
	struct leap_req req = { .pieces = &piece, .nr_pieces = 1 }, *r = &req;

	bad.id.mdts = 1;
	bad_up(w);
	assert_int_equal(leap_host_submit(w->host, 1, &r, 1), -EINVAL);
	assert_last_error("payload of 8704 bytes exceeds 8192");
}

/* ---- doorbells ---- */

static bool running_none(void *arg)
{
	return !((struct bad_world *)arg)->running;
}

static void one_done(struct leap_req *req)
{
	w->running--;
}

/* Sixteen commands in a batch: one store to the doorbell. */
static void test_batch(void **state)
{
	static struct leap_req reqs[16];
	struct leap_req *list[16];
	unsigned int i, before;

	w->opts.depth = 32;
	w->opts.nr_io_queues = 1;
	bad_up(w);
	memset(reqs, 0, sizeof(reqs));
	for (i = 0; i < 16; i++) {
		reqs[i].sqe.opc = LEAP_NVM_FLUSH;
		reqs[i].sqe.nsid = leap_to_le32(1);
		reqs[i].done = one_done;
		list[i] = &reqs[i];
	}
	w->running = 16;
	before = bad.doorbells[1];
	assert_int_equal(leap_host_submit(w->host, 1, list, 16), 16);
	assert_int_equal(bad.doorbells[1], before);
	leap_host_kick(w->host, 1);
	assert_int_equal(bad.doorbells[1], before + 1);
	bad_run(w, running_none, SECOND);
	assert_int_equal(bad.doorbells[1], before + 1);
	/* And without a kick, one at a time, in one poll: one as well. */
	w->running = 16;
	for (i = 0; i < 16; i++)
		assert_int_equal(leap_host_submit(w->host, 1, &list[i], 1), 1);
	bad_run(w, running_none, SECOND);
	assert_int_equal(bad.doorbells[1], before + 2);
}

static void test_shadow(void **state)
{
	bad.id.oacs = leap_to_le16(LEAP_OACS_DBBUF);
	bad_up(w);
	assert_int_not_equal(bad.shadow, 0);
	assert_int_equal(bad_load(w, 40), 0);
	assert_int_equal(w->losses, 0);
}

/* It took the pages and does not look: slow, but it works. */
static void test_shadow_ignored(void **state)
{
	bad.id.oacs = leap_to_le16(LEAP_OACS_DBBUF);
	bad.ignores_shadow = true;
	w->opts.timeout_ms = 20000;
	bad_up(w);
	assert_int_equal(bad_load(w, 4), 0);
	assert_int_equal(w->losses, 0);
}

/* ---- events and logs ---- */

static bool has_event(void *arg)
{
	return ((struct bad_world *)arg)->events > 0;
}

static void test_events(void **state)
{
	struct leap_host_ns ns = { .size = sizeof(ns) };

	bad_up(w);
	bad_pass(w, SECOND);
	assert_int_equal(bad.nr_aers, 4);
	assert_int_equal(bad.events & LEAP_AEC_SMART_MASK, 0x1f);
	assert_int_equal(bad_event(LEAP_AER_DW0(LEAP_AER_TYPE_SMART,
			 LEAP_AER_SMART_SPARE, LEAP_LID_SMART)), 0);
	bad_pass(w, 2 * MS);
	bad_run(w, has_event, SECOND);
	assert_int_equal(LEAP_AER_LID(w->event), LEAP_LID_SMART);
	w->events = 0;
	bad.ns[1].nsze = leap_to_le64(77);
	assert_int_equal(bad_event(LEAP_AER_DW0(LEAP_AER_TYPE_NOTICE, 0,
						LEAP_LID_CHANGED_NS)), 0);
	bad_run(w, has_event, SECOND);
	assert_int_equal(leap_host_ns_next(w->host, 1, &ns), 0);
	assert_int_equal(ns.nr_blocks, 77);
	bad_pass(w, SECOND);
	assert_int_equal(bad.nr_aers, 4);
}

static void test_logs(void **state)
{
	struct leap_log_error *e = (void *)w->page;
	struct leap_log_smart *s = (void *)w->page;

	bad_up(w);
	assert_int_equal(bad_admin(w, LEAP_ADM_GET_LOG, LEAP_NSID_ALL,
				   LEAP_LID_ERROR | 15u << 16, 64), 0);
	assert_int_equal(leap_from_le64(e->count), 1);
	assert_int_equal(leap_from_le32(e->nsid), 2);
	assert_int_equal(bad_admin(w, LEAP_ADM_GET_LOG, LEAP_NSID_ALL,
				   LEAP_LID_SMART | 127u << 16, 512), 0);
	assert_int_equal(s->critical, LEAP_SMART_SPARE);
	assert_int_equal(s->spare, 3);
}

/* ---- over queue pairs alone ---- */

static int state_of_qp;
static leap_status_t qp_status;

static void on_connected(struct leap_qp *qp, leap_status_t status, int err,
			 void *arg)
{
	state_of_qp = status ? -1 : 1;
	qp_status = status;
}

static bool qp_is_settled(void *arg)
{
	return state_of_qp != 0;
}

static struct leap_qp *connect_qp(uint16_t qid)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;
	struct leap_qp *qp;

	o.url = BAD_URL;
	o.qid = qid;
	o.cntlid = qid ? 3 : 0;
	o.connected = on_connected;
	state_of_qp = 0;
	assert_int_equal(leap_qp_connect(w->pg, &o, &qp), 0);
	bad_run(w, qp_is_settled, 20 * SECOND);
	return qp;
}

static void close_qp(struct leap_qp *qp)
{
	w->closed = 0;
	leap_qp_close(qp, bad_note_closed, w);
	bad_run(w, bad_is_closed, 20 * SECOND);
}

static void run_qp(struct leap_qp *qp, struct leap_req *req)
{
	req->done = one_done;
	w->running = 1;
	assert_int_equal(leap_qp_submit(qp, &req, 1), 1);
	leap_qp_kick(qp);
	bad_run(w, running_none, 20 * SECOND);
}

static leap_status_t set_property(struct leap_qp *qp, uint32_t ofst,
				  uint32_t value)
{
	struct leap_fab_prop_set p = {
		.opc = LEAP_ADM_FABRICS, .fctype = LEAP_FCTYPE_PROP_SET,
		.ofst = leap_to_le32(ofst), .value = leap_to_le64(value),
	};
	struct leap_req req = { 0 };

	memcpy(&req.sqe, &p, sizeof(p));
	run_qp(qp, &req);
	return leap_req_status(&req);
}

/* What Set Features has granted is the limit, whatever the device takes. */
static void test_grant(void **state)
{
	struct leap_req req = { 0 };
	struct leap_qp *admin, *io;

	bad.nr_queues = 2;
	bad.trusts_grant = true;
	admin = connect_qp(0);
	assert_int_equal(set_property(admin, LEAP_REG_CC, 0x00460001), 0);
	io = connect_qp(5);
	assert_int_equal(state_of_qp, 1);
	close_qp(io);
	req.sqe.opc = LEAP_ADM_SET_FEATURES;
	req.sqe.cdw10 = leap_to_le32(LEAP_FID_NUM_QUEUES);
	req.sqe.cdw11 = leap_to_le32(0x00070007);
	run_qp(admin, &req);
	io = connect_qp(3);
	assert_int_equal(LEAP_STATUS_CODE(qp_status), LEAP_SC_FAB_PARAM);
	assert_int_equal(bad.q[3].cq_size, 0);
	close_qp(io);
	io = connect_qp(2);
	assert_int_equal(state_of_qp, 1);
	close_qp(io);
	close_qp(admin);
	/* It was not told to shut down: that is part of the close. */
	assert_int_equal(bad.shutdowns, 1);
}

static void test_subsystem_reset(void **state)
{
	struct leap_qp *admin = connect_qp(0);

	assert_int_equal(set_property(admin, LEAP_REG_CC, 0x00460001), 0);
	assert_int_equal(LEAP_STATUS_CODE(set_property(admin, LEAP_REG_NSSR,
				LEAP_NSSR_MAGIC)), LEAP_SC_INVALID_FIELD);
	close_qp(admin);
	bad.cap |= LEAP_CAP_NSSRS;
	admin = connect_qp(0);
	assert_int_equal(set_property(admin, LEAP_REG_CC, 0x00460001), 0);
	set_property(admin, LEAP_REG_NSSR, LEAP_NSSR_MAGIC);
	assert_int_equal(bad.subsystem_resets, 1);
	close_qp(admin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_life), T(test_page_size), T(test_command_sets),
		T(test_one_entry), T(test_two_entries), T(test_three_entries),
		T(test_strides), T(test_ready_timeout), T(test_never_ready),
		T(test_never_down), T(test_not_nvme), T(test_slow_csts),
		T(test_known_depth), T(test_one_command), T(test_known_bad),
		T(test_no_write_zeroes), T(test_no_descriptors),
		T(test_no_name), T(test_nonsense), T(test_mdts), T(test_batch),
		T(test_shadow), T(test_shadow_ignored), T(test_events),
		T(test_logs), T(test_grant), T(test_subsystem_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
