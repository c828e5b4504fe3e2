/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * farmem-fixture.c - see farmem-fixture.h
 */
#include "farmem-fixture.h"

#include <stdio.h>
#include <sys/mman.h>

#include "transport/rdma/group.h"

struct fm fm;

uint64_t fm_lived_ns(void)
{
	return unit_lived_ns(&fm.lived, leap_pollgroup_now_ns(fm.pg));
}

void fm_poll(void *arg)
{
	(void)arg;
	leap_pollgroup_poll(fm.pg, 0);
	leap_pollgroup_poll(fm.owner, 0);
}

void fm_turn(const int *flag)
{
	uint64_t from = fm_lived_ns();

	while (!*flag) {
		fm_poll(NULL);
		assert_true(fm_lived_ns() - from < SECONDS(20));
	}
}

void fm_pass(uint64_t ns)
{
	uint64_t from = leap_pollgroup_now_ns(fm.pg);

	while (leap_pollgroup_now_ns(fm.pg) - from < ns)
		fm_poll(NULL);
	/* What the time has made due, however long this process stood still. */
	fm_poll(NULL);
}

/* ---- the owner ---- */

void fm_share(uint32_t perm)
{
	struct leap_share_opts o = LEAP_SHARE_OPTS_INIT;

	o.url = fm.url;
	o.buf = fm.pay.buf;
	o.perm = perm;
	memset(o.token, TOKEN, sizeof(o.token));
	assert_int_equal(leap_share_create(fm.owner, &o, &fm.share), 0);
	snprintf(fm.url, sizeof(fm.url), "%s", leap_share_url(fm.share));
}

void fm_unshare(void)
{
	int done = 0;

	leap_share_destroy(fm.share, set_flag, &done);
	fm.share = NULL;
	fm_turn(&done);
}

/* ---- who serves ---- */

static void on_opened(struct leap_farmem *far, int err, void *arg)
{
	(void)arg;
	if (!err)
		assert_true(leap_farmem_bytes(far) == BYTES);
	fm.opened = err ? err : 1;
}

struct leap_farmem_opts fm_opts(uint8_t token)
{
	struct leap_farmem_opts o = LEAP_FARMEM_OPTS_INIT;

	o.url = fm.url;
	o.opened = on_opened;
	memset(o.token, token, sizeof(o.token));
	fm.opened = 0;
	return o;
}

void fm_open(uint8_t token, int opened)
{
	struct leap_farmem_opts o = fm_opts(token);

	o.reconnect_ms = 5;
	o.loss_ms = 1000;
	assert_int_equal(leap_farmem_open(fm.pg, &o, &fm.far), 0);
	fm_turn(&fm.opened);
	assert_int_equal(fm.opened, opened);
}

void fm_close(void)
{
	int done = 0;

	leap_farmem_close(fm.far, set_flag, &done);
	fm.far = NULL;
	fm_turn(&done);
}

struct leap_farmem_info fm_info(void)
{
	struct leap_farmem_info i = { sizeof(i) };

	assert_int_equal(leap_farmem_info(fm.far, &i), 0);
	return i;
}

struct leap_ats_range fm_range(uint32_t perm)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = PAYLOAD;
	assert_int_equal(leap_farmem_range(fm.far, 0, BYTES, perm, &r), 0);
	return r;
}

void fm_mem_add(uint32_t perm)
{
	struct leap_ats_range r = fm_range(perm);

	assert_int_equal(leap_vdev_mem_add(fm.vdev, &r), 0);
}

void fm_mem_del_start(uint64_t bytes, int *done)
{
	*done = 0;
	assert_int_equal(leap_vdev_mem_del(fm.vdev, (leap_gpa_t){ PAYLOAD },
					   bytes, set_err, done), 0);
}

void fm_mem_del(uint64_t bytes)
{
	int done;

	fm_mem_del_start(bytes, &done);
	fm_turn(&done);
	assert_int_equal(done, 1);
}

static struct leap_pollgroup *pollgroup(void)
{
	struct leap_pollgroup *pg;

	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	assert_int_equal(leap__rdma_use(pg, &fm.fabric->v), 0);
	return pg;
}

static void start_guest(void)
{
	struct leap_subsystem *ss;

	fm.target = serve_target(fm.pg, FM_NQN, &ss);
	serve_ns(fm.pg, ss, "memory:2M", 1);
	assert_int_equal(leap_vdev_create(ss, NULL, &fm.vdev), 0);
	fm.g = gd_new(fm.vdev, 1 << 20, fm_poll, NULL);
	gd_up(fm.g, &fm.cq, &fm.sq, 64);
	fm.pay.g = fm.g;
	fm.pay.sq = &fm.sq;
}

static int setup_on(int iwarp)
{
	memset(&fm, 0, sizeof(fm));
	fm.pay.rnd.s = 11;
	fm.fabric = fake_fabric_create();
	fm.fabric->dev.caps.remote_sink = (uint8_t)iwarp;
	fm.owner = pollgroup();
	fm.pg = pollgroup();
	pay_make(&fm.pay, NULL);
	/* What a device reaches does not depend on page tables. */
	fm.fabric->alias_at = (uintptr_t)leap_dmabuf_addr(fm.pay.buf);
	fm.fabric->alias_bytes = BYTES;
	fm.fabric->alias = fm.pay.own;
	assert_int_equal(mprotect(leap_dmabuf_addr(fm.pay.buf), BYTES,
				  PROT_NONE), 0);
	snprintf(fm.url, sizeof(fm.url), "rdma://127.0.0.1:0");
	fm_share(FM_RW);
	start_guest();
	fm_open(TOKEN, 1);
	fm_mem_add(FM_RW);
	return 0;
}

int fm_setup(void **state)
{
	(void)state;
	return setup_on(0);
}

int fm_setup_iwarp(void **state)
{
	(void)state;
	return setup_on(1);
}

int fm_teardown(void **state)
{
	struct leap_pollgroup_stats st = { sizeof(st) };
	int done = 0;

	(void)state;
	leap_vdev_destroy(fm.vdev, set_flag, &done);
	fm_turn(&done);
	serve_stop(fm.pg, fm.target);
	gd_free(fm.g);
	if (fm.far)
		fm_close();
	if (fm.share)
		fm_unshare();
	pay_free(&fm.pay);
	assert_int_equal(leap_pollgroup_stats(fm.pg, &st), 0);
	assert_int_equal(st.bufs_in_use, 0);
	while (leap_pollgroup_destroy(fm.pg) == -EBUSY)
		fm_poll(NULL);
	while (leap_pollgroup_destroy(fm.owner) == -EBUSY)
		leap_pollgroup_poll(fm.owner, 0);
	assert_int_equal(fake_fabric_destroy(fm.fabric), 0);
	return 0;
}

/* ---- I/O ---- */

/* By time, not by turns as gd_wait. */
leap_status_t fm_ended(uint16_t cid)
{
	uint64_t from = fm_lived_ns();

	while (!fm.g->done[cid]) {
		gd_reap(fm.g, &fm.cq, &fm.sq);
		fm_poll(NULL);
		assert_true(fm_lived_ns() - from < SECONDS(20));
	}
	return gd_wait(fm.g, &fm.sq, cid);
}

leap_status_t fm_run_sqe(const struct leap_sqe *sqe)
{
	return fm_ended(gd_submit(fm.g, &fm.sq, sqe));
}

leap_status_t fm_run(uint8_t opc, uint32_t lba, uint32_t nr, uint32_t at)
{
	struct leap_sqe sqe = pay_sqe(&fm.pay, opc, lba, nr, at);

	return fm_run_sqe(&sqe);
}

void fm_settle(const uint16_t *cids, leap_status_t expect)
{
	uint32_t i;

	for (i = 0; i < OUT; i++) {
		fm_ended(cids[i]);
		assert_int_equal(fm.g->raw & ~LEAP_STATUS_MORE, expect);
	}
}

void fm_posted(uint32_t n)
{
	const struct leap__v_qp *qp = fake_id(fm.fabric, 0, 0)->qp;
	uint64_t from = fm_lived_ns();

	while (qp->sq_tail - qp->sq_head < n) {
		fm_poll(NULL);
		assert_true(fm_lived_ns() - from < SECONDS(20));
	}
}
