/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Namespaces with zones behind a controller: the order of writes over a stack
 * that swaps them, connections that are lost, who sees them, zones that break,
 * and what a relay's window shows of them.
 */
#include "ctrl-fixture.h"

#include <stdio.h>

#include <leapio/nvmf.h>
#include <leapio/plugin/bdev_ops.h>
#include <leapio/relay.h>

#include "block/zoned/zoned.h"
#include "core/ctrl/admin.h"

#define NSID	9
#define ZONE(n)	((uint64_t)(n) * 16)
#define B	4096u

static struct leap_sqe zsend(uint64_t lba, uint32_t action)
{
	struct leap_sqe sqe = fx_rw(LEAP_NVM_ZONE_MGMT_SEND, NSID, lba, 1);

	sqe.cdw12 = leap_to_le32(0);
	sqe.cdw13 = leap_to_le32(action);
	return sqe;
}

/* State and pointer of a zone. */
static uint8_t zone(struct fx *fx, struct leap_qp *qp, uint64_t lba,
		    uint64_t *wp)
{
	struct leap_sqe sqe = fx_rw(LEAP_NVM_ZONE_MGMT_RECV, NSID, lba, 1);
	struct leap_zone_desc d;
	uint8_t buf[128];

	sqe.cdw12 = leap_to_le32(31);
	sqe.cdw13 = leap_to_le32(LEAP_ZMR_CDW13_PARTIAL);
	assert_int_equal(fx_cmd(fx, qp, &sqe, buf, sizeof(buf)), 0);
	memcpy(&d, buf + 64, sizeof(d));
	*wp = leap_from_le64(d.wp);
	return d.zs >> 4;
}

static int setup(void **state)
{
	struct fx_connect how = { 0 };
	struct fx *fx;

	fx_setup(state);
	fx = *state;
	fx_add_ns(fx, "delay[write_us=200,jitter_us=3000] -> "
		  "zoned:1M[zone=64K,max_active=8]", NSID, 0, 0);
	assert_int_equal(fx_connect(fx, &how, &fx->admin), 0);
	return 0;
}

static int setup_live(void **state)
{
	struct fx *fx;

	setup(state);
	fx = *state;
	assert_int_equal(fx_prop_set(fx, LEAP_REG_CC, 0x00460061), 0);
	return 0;
}

/* All at once, to three zones: a delay that differs from one to the next would
 * swap them. */
static void writes_arrive_in_order(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *qp = fx_io(fx, 1);
	static struct fx_req r[48];
	static uint8_t out[48][B], back[16 * B];
	struct leap_sqe sqe;
	uint32_t i;
	uint64_t wp;

	for (i = 0; i < 48; i++) {
		uint8_t opc = i % 16 == 5 ? LEAP_NVM_WRITE_ZEROES :
			      LEAP_NVM_WRITE;

		memset(out[i], (int)i + 1, B);
		sqe = fx_rw(opc, NSID, ZONE(i % 3) + i / 3, 1);
		memset(&r[i], 0, sizeof(r[i]));
		fx_submit(fx, qp, &r[i], &sqe, opc == LEAP_NVM_WRITE ? out[i] :
			  NULL, opc == LEAP_NVM_WRITE ? B : 0);
	}
	for (i = 0; i < 48; i++) {
		fx_wait(fx, &r[i].done);
		assert_int_equal(r[i].status, 0);
	}
	for (i = 0; i < 3; i++) {
		uint32_t k;

		assert_int_equal(zone(fx, qp, ZONE(i), &wp), LEAP_ZS_FULL);
		sqe = fx_rw(LEAP_NVM_READ, NSID, ZONE(i), 16);
		assert_int_equal(fx_cmd(fx, qp, &sqe, back, sizeof(back)), 0);
		for (k = 0; k < 16; k++)
			assert_int_equal(back[k * B + 9],
					 (k * 3 + i) % 16 == 5 ? 0 :
					 (int)(k * 3 + i) + 1);
	}
	fx_close(fx, qp);
}

/* Appends have no order, and every one a place of its own. */
static void appends_do_not_wait(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *qp = fx_io(fx, 1);
	static struct fx_req r[16];
	static uint8_t out[B];
	uint32_t i, seen = 0;
	struct leap_sqe sqe;

	for (i = 0; i < 16; i++) {
		sqe = fx_rw(LEAP_NVM_ZONE_APPEND, NSID, ZONE(4), 1);
		memset(&r[i], 0, sizeof(r[i]));
		fx_submit(fx, qp, &r[i], &sqe, out, B);
	}
	for (i = 0; i < 16; i++) {
		uint64_t at;

		fx_wait(fx, &r[i].done);
		assert_int_equal(r[i].status, 0);
		at = leap_req_result(&r[i].req) - ZONE(4);
		assert_true(at < 16 && !(seen & 1u << at));
		seen |= 1u << at;
	}
	fx_close(fx, qp);
}

/* What a failed write leaves behind it fails as well, and nothing hangs. */
static void a_failure_lets_the_rest_go(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *qp = fx_io(fx, 1);
	static struct fx_req r[8];
	static uint8_t out[B];
	struct leap_sqe sqe;
	uint64_t wp;
	uint32_t i;

	for (i = 0; i < 8; i++) {
		sqe = fx_rw(LEAP_NVM_WRITE, NSID, ZONE(1) + i + (i > 2), 1);
		memset(&r[i], 0, sizeof(r[i]));
		/* One has a payload of the wrong length. */
		fx_submit(fx, qp, &r[i], &sqe, out, i == 1 ? 512 : B);
	}
	for (i = 0; i < 8; i++) {
		fx_wait(fx, &r[i].done);
		assert_int_equal(LEAP_STATUS_CODE(r[i].status), !i ? 0 :
				 i == 1 ? LEAP_SC_SGL_DATA_LEN :
				 LEAP_SC_ZONE_INVALID_WRITE);
	}
	assert_int_equal(zone(fx, qp, ZONE(1), &wp), LEAP_ZS_IMPLICIT_OPEN);
	assert_int_equal(wp, ZONE(1) + 1);
	fx_close(fx, qp);
}

/* Those that wait for their zone go with their connection, and those of another
 * host's connection go on. */
static void a_lost_connection_leaves_no_gap(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *a = fx_io(fx, 1), *b = fx_io(fx, 2);
	static struct fx_req r[8], s[4];
	static uint8_t out[B];
	struct leap_sqe sqe;
	uint64_t wp;
	uint32_t i;

	for (i = 0; i < 8; i++) {
		sqe = fx_rw(LEAP_NVM_WRITE, NSID, ZONE(1) + i, 1);
		memset(&r[i], 0, sizeof(r[i]));
		fx_submit(fx, a, &r[i], &sqe, out, B);
	}
	leap_pollgroup_poll(fx->pg, 0);
	fx_close(fx, a);
	/* The same host: waits for the one that was in the leaf. */
	sqe = zsend(ZONE(1), LEAP_ZSA_RESET);
	assert_int_equal(fx_cmd(fx, b, &sqe, NULL, 0), 0);
	assert_int_equal(zone(fx, b, ZONE(1), &wp), LEAP_ZS_EMPTY);
	for (i = 0; i < 4; i++) {
		sqe = fx_rw(LEAP_NVM_WRITE, NSID, ZONE(1) + i, 1);
		memset(&s[i], 0, sizeof(s[i]));
		fx_submit(fx, b, &s[i], &sqe, out, B);
	}
	for (i = 0; i < 4; i++) {
		fx_wait(fx, &s[i].done);
		assert_int_equal(s[i].status, 0);
	}
	assert_int_equal(zone(fx, b, ZONE(1), &wp), LEAP_ZS_IMPLICIT_OPEN);
	assert_int_equal(wp, ZONE(1) + 4);
	fx_close(fx, b);
}

/* ---- commands that a dead predecessor may have executed ---- */

static void execute_again(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	cmd->flags = LEAP_CMD_AGAIN;
	leap__io_execute(vqp, cmd);
}

static void make_again(struct fx *fx, int again)
{
	static struct leap_vqp_handler handler;
	struct leap__list *pos;

	handler = leap__io_handler;
	handler.execute = execute_again;
	leap__list_for_each(pos, &fx->target->groups[0]->qps)
		leap__list_entry(pos, struct leap__ioqp, link)->vqp->handler =
			again ? &handler : &leap__io_handler;
}

static leap_status_t put(struct fx *fx, struct leap_qp *qp, uint64_t lba,
			 uint32_t nr, uint8_t byte)
{
	struct leap_sqe sqe = fx_rw(LEAP_NVM_WRITE, NSID, lba, nr);
	static uint8_t out[16 * B];

	memset(out, byte, sizeof(out));
	return fx_cmd(fx, qp, &sqe, out, nr * B);
}

static void what_was_done_is_not_refused(void **state)
{
	struct fx *fx = *state;
	struct leap_qp *qp = fx_io(fx, 1);
	uint64_t wp;

	assert_int_equal(put(fx, qp, ZONE(1), 4, 7), 0);
	assert_int_equal(put(fx, qp, ZONE(1), 4, 7),
			 LEAP_SC_ZONE_INVALID_WRITE);
	assert_int_equal(put(fx, qp, ZONE(2), 16, 8), 0);
	make_again(fx, 1);
	/* It was done; it was not; something else is there. */
	assert_int_equal(put(fx, qp, ZONE(1), 4, 7), 0);
	assert_int_equal(put(fx, qp, ZONE(2), 16, 8), 0);
	assert_int_equal(put(fx, qp, ZONE(1) + 4, 2, 9), 0);
	assert_int_equal(put(fx, qp, ZONE(1), 4, 6),
			 LEAP_SC_ZONE_INVALID_WRITE);
	assert_int_equal(put(fx, qp, ZONE(2), 16, 9), LEAP_SC_ZONE_FULL);
	/* Where nothing was written there are zeroes, too. */
	assert_int_equal(put(fx, qp, ZONE(1) + 9, 2, 0),
			 LEAP_SC_ZONE_INVALID_WRITE);
	assert_int_equal(zone(fx, qp, ZONE(1), &wp), LEAP_ZS_IMPLICIT_OPEN);
	assert_int_equal(wp, ZONE(1) + 6);
	make_again(fx, 0);
	fx_close(fx, qp);
}

/* CC.CSS 000b: hosts of one command set do not see the others. */
static void seen_by_those_who_ask(void **state)
{
	struct leap_sqe list = fx_identify(LEAP_CNS_NS_ACTIVE, 8);
	struct leap_sqe ns = fx_identify(LEAP_CNS_NS, NSID);
	struct leap_sqe descs = fx_identify(LEAP_CNS_NS_DESC, NSID);
	static uint8_t buf[4096], zero[4096];
	struct fx *fx = *state;

	fx_enable(fx);
	assert_int_equal(fx_cmd(fx, fx->admin, &list, buf, 4096), 0);
	assert_memory_equal(buf, zero, 4096);
	assert_int_equal(fx_cmd(fx, fx->admin, &ns, buf, 4096), 0);
	assert_memory_equal(buf, zero, 4096);
	assert_int_equal(fx_cmd(fx, fx->admin, &descs, buf, 4096),
			 LEAP_SC_INVALID_NS);
	assert_int_equal(fx_prop_set(fx, LEAP_REG_CC, 0), 0);
	fx_settle(fx);
	assert_int_equal(fx_prop_set(fx, LEAP_REG_CC, 0x00460061), 0);
	assert_int_equal(fx_cmd(fx, fx->admin, &list, buf, 4096), 0);
	assert_int_equal(buf[0], NSID);
}

static void changed_zones(struct fx *fx, uint32_t nsid, uint32_t nr,
			  uint64_t first)
{
	struct leap_sqe sqe = fx_log(LEAP_LID_CHANGED_ZONES, 4096);
	struct leap_log_changed_zones log;

	sqe.nsid = leap_to_le32(nsid);
	assert_int_equal(fx_cmd(fx, fx->admin, &sqe, &log, sizeof(log)), 0);
	assert_int_equal(leap_from_le16(log.nrzid), nr);
	assert_int_equal(leap_from_le64(log.zslba[0]), first);
}

static void broken_zones_are_told(void **state)
{
	struct leap_sqe on = fx_feature(LEAP_ADM_SET_FEATURES,
					LEAP_FID_ASYNC_EVENT, 0,
					LEAP_AEC_ZONE_DESC);
	struct leap_sqe aer = { .opc = LEAP_ADM_AER };
	struct fx_req r = { 0 };
	struct fx *fx = *state;
	struct leap_bdev *leaf;
	uint32_t i;

	assert_int_equal(fx_cmd(fx, fx->admin, &on, NULL, 0), 0);
	fx_add_ns(fx, "trace -> zoned:8M[zone=64K]", 10, 0, 0);
	leaf = leap_bdev_child(leap_ns_bdev(fx->ss, NSID), 0);
	fx_submit(fx, fx->admin, &r, &aer, NULL, 0);
	fx_settle(fx);
	assert_int_equal(leap__zoned_break(leaf, 3, LEAP_ZS_READ_ONLY), 0);
	fx_wait(fx, &r.done);
	assert_int_equal(leap_req_result(&r.req),
			 (uint64_t)NSID << 32 | LEAP_LID_CHANGED_ZONES << 16 |
			 LEAP_AER_NOTICE_ZONE_DESC << 8 | LEAP_AER_TYPE_NOTICE);
	assert_int_equal(leap__zoned_break(leaf, 5, LEAP_ZS_OFFLINE), 0);
	changed_zones(fx, NSID, 2, ZONE(3));
	changed_zones(fx, NSID, 0, 0);
	/* More than there is room for. */
	leaf = leap_bdev_child(leap_ns_bdev(fx->ss, 10), 0);
	for (i = 0; i < 65; i++)
		leap__zoned_break(leaf, i, LEAP_ZS_OFFLINE);
	changed_zones(fx, 10, 0xffff, 0);
	changed_zones(fx, 10, 0, 0);
}

/* ---- a window ---- */

struct opened {
	struct leap_bdev *bdev;
	int err, done;
};

static void on_opened(int err, struct leap_bdev *bdev, void *arg)
{
	struct opened *o = arg;

	o->err = err;
	o->bdev = bdev;
	o->done = 1;
}

static int open_window(struct fx *fx, uint64_t start, uint64_t blocks,
		       struct leap_bdev **out)
{
	struct leap_relay_opts ro = LEAP_RELAY_OPTS_INIT;
	struct opened o = { 0 };

	ro.url = "loop://leapio/" FX_NQN;
	ro.nsid = NSID;
	ro.start_block = start;
	ro.nr_blocks = blocks;
	ro.target = fx->target;
	assert_int_equal(leap_relay_open(fx->pg, &ro, on_opened, &o), 0);
	fx_wait(fx, &o.done);
	*out = o.bdev;
	return o.err;
}

static void bio_done(struct leap_bio *bio, leap_status_t status)
{
	*(int *)bio->arg = 1 + (int)status;
}

static leap_status_t bio_run(struct fx *fx, struct leap_chan *chan, uint8_t op,
			     uint8_t flags, uint64_t block, uint32_t nr,
			     uint64_t *result, void *buf, uint32_t bytes)
{
	struct leap_piece p = { .addr = buf, .len_bytes = bytes };
	struct leap_bio *bio = leap_bio_get(chan);
	int done = 0;

	bio->op = op;
	bio->flags = flags;
	bio->block = block;
	bio->nr_blocks = nr;
	bio->pieces = &p;
	bio->nr_pieces = bytes ? 1 : 0;
	bio->result = *result;
	bio->done = bio_done;
	bio->arg = &done;
	leap_bio_submit(chan, bio);
	fx_wait(fx, &done);
	*result = bio->result;
	leap_bio_put(chan, bio);
	return (leap_status_t)(done - 1);
}

/* Every zone of the window, as the far end has it but for where it is. */
static void check_window(struct fx *fx, struct leap_chan *chan, uint32_t first,
			 uint32_t nr, struct leap_qp *qp)
{
	static uint8_t buf[64 * 17];
	struct leap_zone_desc d;
	uint64_t result = 0, wp;
	uint8_t zs;
	uint32_t i;

	assert_int_equal(bio_run(fx, chan, LEAP_BIO_ZONE_REPORT, 0, 0, 0,
				 &result, buf, sizeof(buf)), 0);
	assert_int_equal(buf[0], nr);
	for (i = 0; i < 16; i++) {
		memcpy(&d, buf + 64 * (i + 1), sizeof(d));
		if (i >= nr) {
			assert_int_equal(d.zt, 0);
			continue;
		}
		zs = zone(fx, qp, ZONE(first + i), &wp);
		assert_int_equal(d.zs >> 4, zs);
		assert_int_equal(leap_from_le64(d.zslba), ZONE(i));
		assert_true(leap_from_le64(d.wp) == (wp == UINT64_MAX ? wp :
						     wp - ZONE(first)));
	}
}

static void windows_of_zones(void **state)
{
	struct leap_bdev_zones zones = { .size = sizeof(zones) };
	struct fx *fx = *state;
	struct leap_qp *qp = fx_io(fx, 1);
	static uint8_t out[2 * B];
	struct leap_chan *chan;
	struct leap_bdev *bdev;
	struct leap_sqe sqe;
	uint64_t r = 0, wp;
	uint32_t i;

	assert_int_equal(open_window(fx, 8, 32, &bdev), -EINVAL);
	assert_int_equal(open_window(fx, 16, 40, &bdev), -EINVAL);
	/* Zones 4 to 9 of 16; some of them and of the others are open. */
	assert_int_equal(open_window(fx, ZONE(4), ZONE(6), &bdev), 0);
	assert_int_equal(leap_bdev_zones(bdev, &zones), 0);
	assert_int_equal(zones.zone_blocks, 16);
	assert_int_equal(leap_chan_open(bdev, fx->pg, 8, &chan), 0);
	for (i = 2; i < 8; i += 2) {
		sqe = fx_rw(LEAP_NVM_WRITE, NSID, ZONE(i), 2);
		assert_int_equal(fx_cmd(fx, qp, &sqe, out, 2 * B), 0);
	}
	check_window(fx, chan, 4, 6, qp);
	r = 0;
	assert_int_equal(bio_run(fx, chan, LEAP_BIO_ZONE_APPEND, 0, ZONE(2), 1,
				 &r, out, B), 0);
	assert_int_equal(r, ZONE(2) + 2);
	r = LEAP_ZSA_FINISH;
	assert_int_equal(bio_run(fx, chan, LEAP_BIO_ZONE_SEND, 0, ZONE(5), 0,
				 &r, NULL, 0), 0);
	assert_int_equal(zone(fx, qp, ZONE(9), &wp), LEAP_ZS_FULL);
	check_window(fx, chan, 4, 6, qp);
	/* All: of the window. */
	r = LEAP_ZSA_CLOSE;
	assert_int_equal(bio_run(fx, chan, LEAP_BIO_ZONE_SEND,
				 LEAP_BIO_ZONE_ALL, 0, 0, &r, NULL, 0), 0);
	assert_int_equal(zone(fx, qp, ZONE(4), &wp), LEAP_ZS_CLOSED);
	assert_int_equal(zone(fx, qp, ZONE(6), &wp), LEAP_ZS_CLOSED);
	assert_int_equal(zone(fx, qp, ZONE(2), &wp), LEAP_ZS_IMPLICIT_OPEN);
	assert_int_equal(zone(fx, qp, ZONE(5), &wp), LEAP_ZS_EMPTY);
	r = LEAP_ZSA_FINISH;
	assert_int_equal(bio_run(fx, chan, LEAP_BIO_ZONE_SEND,
				 LEAP_BIO_ZONE_ALL, 0, 0, &r, NULL, 0), 0);
	assert_int_equal(zone(fx, qp, ZONE(4), &wp), LEAP_ZS_FULL);
	assert_int_equal(zone(fx, qp, ZONE(5), &wp), LEAP_ZS_EMPTY);
	r = LEAP_ZSA_RESET;
	assert_int_equal(bio_run(fx, chan, LEAP_BIO_ZONE_SEND,
				 LEAP_BIO_ZONE_ALL, 0, 0, &r, NULL, 0), 0);
	assert_int_equal(zone(fx, qp, ZONE(4), &wp), LEAP_ZS_EMPTY);
	assert_int_equal(zone(fx, qp, ZONE(2), &wp), LEAP_ZS_IMPLICIT_OPEN);
	check_window(fx, chan, 4, 6, qp);
	assert_int_equal(leap_chan_close(chan), 0);
	assert_int_equal(leap_bdev_close(bdev), 0);
	fx_settle(fx);
	fx_close(fx, qp);
	for (i = 0; i < 200; i++)
		leap_pollgroup_wait(fx->pg, 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_arrive_in_order,
						setup_live, fx_teardown),
		cmocka_unit_test_setup_teardown(appends_do_not_wait,
						setup_live, fx_teardown),
		cmocka_unit_test_setup_teardown(a_failure_lets_the_rest_go,
						setup_live, fx_teardown),
		cmocka_unit_test_setup_teardown(a_lost_connection_leaves_no_gap,
						setup_live, fx_teardown),
		cmocka_unit_test_setup_teardown(what_was_done_is_not_refused,
						setup_live, fx_teardown),
		cmocka_unit_test_setup_teardown(seen_by_those_who_ask, setup,
						fx_teardown),
		cmocka_unit_test_setup_teardown(broken_zones_are_told,
						setup_live, fx_teardown),
		cmocka_unit_test_setup_teardown(windows_of_zones, setup_live,
						fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
